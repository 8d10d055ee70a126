"""What a raw HTTP request asks of AWS: service, action, region and wire protocol."""

import json
import re
import urllib.parse
from dataclasses import dataclass, field
from typing import Any, Literal

Protocol = Literal["ec2", "query", "json", "cbor", "rest-json", "rest-xml"]

# Signing names that differ from the name people use for the service.
ALIASES = {"monitoring": "cloudwatch", "elasticloadbalancing": "elbv2"}
REST_JSON = {"lambda"}
REST_XML = {"s3", "route53"}
MAX_LOGGED_PARAMS = 250
MAX_LOGGED_VALUE = 300

_SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/")


@dataclass
class AwsRequest:
    service: str
    action: str
    region: str
    protocol: Protocol
    params: dict[str, str] = field(default_factory=dict)


def read(environ: dict[str, Any], body: bytes) -> AwsRequest:
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    region, service = (scope[1], scope[2]) if scope else ("-", "-")
    service = ALIASES.get(service, service)
    path = environ.get("PATH_INFO", "")
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if environ.get("HTTP_SMITHY_PROTOCOL") == "rpc-v2-cbor":
        return AwsRequest(service, path.rsplit("/", 1)[-1], region, "cbor")
    if target:
        return AwsRequest(service, target.split(".")[-1], region, "json", _json_params(body))
    form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
    if form and b"Action=" in body:
        params = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        action = params.pop("Action", "")
        params.pop("Version", None)
        protocol: Protocol = "ec2" if service == "ec2" else "query"
        return AwsRequest(service, action, region, protocol, _trim(params))
    if service == "s3":
        action, params = _s3(environ.get("REQUEST_METHOD", "GET"), path, environ.get("QUERY_STRING", ""))
        return AwsRequest(service, action, region, "rest-xml", params)
    protocol = "rest-json" if service in REST_JSON else "rest-xml"
    return AwsRequest(service, f"{environ.get('REQUEST_METHOD', 'GET')} {path}", region, protocol)


def _s3(method: str, path: str, query: str) -> tuple[str, dict[str, str]]:
    """The operation, by method and path (S3 API reference); only those of buckets and whole objects have their name."""
    bucket, _, key = path.lstrip("/").partition("/")
    params = {name: value for name, value in (("Bucket", bucket), ("Key", key)) if value}
    asked = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    params.update((name, asked[name]) for name in ("prefix", "versionId") if asked.get(name))
    plain = not set(asked) - {"x-id", "list-type", "prefix", "max-keys", "encoding-type", "continuation-token",
                              "start-after", "delimiter", "versionId", "fetch-owner"}
    if not plain or not bucket:
        return f"{method} {path}", params
    if key:
        known = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
    else:
        listing = "ListObjectsV2" if asked.get("list-type") == "2" else "ListObjects"
        known = {"GET": listing, "HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
    return known.get(method, f"{method} {path}"), params


def _json_params(body: bytes) -> dict[str, str]:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return {}
    return _trim({key: value if isinstance(value, str) else json.dumps(value) for key, value in document.items()})


def _trim(params: dict[str, str]) -> dict[str, str]:
    return {key: value[:MAX_LOGGED_VALUE] for key, value in list(params.items())[:MAX_LOGGED_PARAMS]}
