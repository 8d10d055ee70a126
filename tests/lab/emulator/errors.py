"""AWS-shaped error answers, in each wire protocol.

Shapes: "Making requests to Amazon EC2" (ec2), the API references' "Common errors" pages (query, JSON),
smithy.io "AWS JSON 1.1 protocol" and "Smithy RPC v2 CBOR protocol", S3 "Error responses".
"""

import json
import re
import uuid
from dataclasses import dataclass
from xml.sax.saxutils import escape

from emulator.request import AwsRequest, Protocol

REASONS = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict",
    412: "Precondition Failed", 429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable",
}
_CODE = re.compile(rb"<Code>([^<]+)</Code>")


@dataclass
class Answer:
    status: str
    headers: list[tuple[str, str]]
    body: bytes


def answer(protocol: Protocol, status: int, code: str, message: str) -> Answer:
    request_id = str(uuid.uuid4())
    line = f"{status} {REASONS.get(status, 'Error')}"
    if protocol in ("json", "rest-json"):
        content_type = "application/x-amz-json-1.1" if protocol == "json" else "application/json"
        body = json.dumps({"__type": code, "message": message}).encode()
        extra = [("x-amzn-ErrorType", code), ("x-amzn-RequestId", request_id)]
    elif protocol == "cbor":
        content_type = "application/cbor"
        body = _cbor_map({"__type": code, "message": message})
        extra = [("smithy-protocol", "rpc-v2-cbor"), ("x-amzn-RequestId", request_id)]
    else:
        content_type = "text/xml;charset=UTF-8"
        body = _xml(protocol, status, code, message, request_id).encode()
        extra = [("x-amzn-RequestId", request_id)]
    return Answer(line, [("Content-Type", content_type), ("Content-Length", str(len(body))), *extra], body)


def _xml(protocol: Protocol, status: int, code: str, message: str, request_id: str) -> str:
    error = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    if protocol == "ec2":
        return f"{head}<Response><Errors><Error>{error}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    if protocol == "rest-xml":
        return f"{head}<Error>{error}<RequestId>{request_id}</RequestId></Error>"
    kind = "Receiver" if status >= 500 else "Sender"
    return (
        f"{head}<ErrorResponse><Error><Type>{kind}</Type>{error}</Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )


def _cbor_map(values: dict[str, str]) -> bytes:
    def text(value: str) -> bytes:
        raw = value.encode()
        if len(raw) < 24:
            return bytes([0x60 | len(raw)]) + raw
        return bytes([0x79]) + len(raw).to_bytes(2, "big") + raw

    return bytes([0xA0 | len(values)]) + b"".join(text(key) + text(value) for key, value in values.items())


def code_in(body: bytes, headers: list[tuple[str, str]]) -> str | None:
    """The AWS error code in a failed answer, for the call log."""
    for name, value in headers:
        if name.lower() == "x-amzn-errortype" and value:
            return value.split(":")[0]
    found = _CODE.search(body)
    if found:
        return found[1].decode("utf-8", "replace")
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return str(document.get("__type", "")).split("#")[-1] or None if isinstance(document, dict) else None


def crashed(request: AwsRequest, status: int) -> Answer:
    """moto answers an unknown or crashing action with an HTML page; AWS answers in the service's own shape."""
    message = f"{request.service} {request.action} is not implemented by the emulator, or it crashed (HTTP {status})."
    return answer(request.protocol, 500, "InternalFailure", message)
