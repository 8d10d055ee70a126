"""A reverse proxy in front of the open registry that misbehaves on request.

Control, on the proxy's own address: `POST /_faults` with {kind, repo?, method?, path?, times?|forever?, ...},
`GET /_faults`, `DELETE /_faults`. Without faults it passes everything through unchanged. `GET /_calls` tells the newest
requests, oldest first, each with `method` and `path`.

kind                 what a client sees, and the extra fields
-------------------  ------------------------------------------------------------------------------------------------
status               `status` (401, 403, 404, 429, 500 ...), `code`, `message`, `retry_after` (seconds)
hang                 nothing, until the client gives up
reset                a TCP reset instead of an answer
wrong-digest         a Docker-Content-Digest header that does not belong to the manifest
corrupt              manifest bytes that do not hash to their digest
moving-tag           the tag `from` answers its own manifest once, then that of the tag or digest `to`
immutable            a PUT of an existing tag is refused; `style` oci (400 TAG_INVALID) or ecr (400 with ECR's text)
no-location          a manifest PUT answered without a Location header
paged-tags           tags/list in pages of `size`, with RFC 5988 Link headers (as the distribution specification allows)
"""

import argparse
import collections
import contextlib
import http.client
import json
import re
import socket
import struct
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Probe = Callable[[], str | None]
Headers = list[tuple[str, str]]

HANG_SECONDS = 3600.0
KEPT_CALLS = 10_000
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host"}
PATH = re.compile(r"^/v2/(?P<repo>.+)/(?P<what>manifests|blobs|tags|referrers)/(?P<ref>[^?]*)")
CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "MANIFEST_UNKNOWN", 429: "TOOMANYREQUESTS", 500: "UNKNOWN"}
KINDS = (
    "status", "hang", "reset", "wrong-digest", "corrupt", "moving-tag", "immutable", "no-location", "paged-tags",
)
ECR_TAG_EXISTS = "The image tag '{tag}' already exists in the '{repo}' repository and cannot be overwritten because the tag is immutable."


@dataclass
class Fault:
    kind: str
    repo: str = "*"
    method: str = "*"
    path: str = ""
    """Only requests whose path contains this."""
    times: int | None = 1
    after: int = 0
    status: int = 500
    code: str | None = None
    message: str = "injected by the lab"
    retry_after: int | None = None
    source: str | None = None
    to: str | None = None
    style: str = "oci"
    size: int = 2
    hits: int = 0

    def concerns(self, method: str, path: str) -> bool:
        match = PATH.match(path)
        repo, what, ref = (match["repo"], match["what"], match["ref"]) if match else ("", "", "")
        if self.repo not in ("*", repo) or self.method not in ("*", method) or self.path not in path:
            return False
        if self.kind in ("wrong-digest", "corrupt"):
            return what == "manifests" and method in ("GET", "HEAD")
        if self.kind == "moving-tag":
            return what == "manifests" and method in ("GET", "HEAD") and ref == self.source
        if self.kind in ("immutable", "no-location"):
            return what == "manifests" and method == "PUT"
        if self.kind == "paged-tags":
            return what == "tags" and method == "GET"
        return path.startswith("/v2")


class Faults:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.all: list[Fault] = []
        self.calls: collections.deque[dict[str, str]] = collections.deque(maxlen=KEPT_CALLS)

    def take(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.all:
                if (fault.times is not None and fault.times <= 0) or not fault.concerns(method, path):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.hits += 1
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def add(self, body: dict[str, Any]) -> None:
        if body.get("kind") not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        lasting = body["kind"] in ("immutable", "paged-tags", "moving-tag", "no-location")
        body = {("source" if key == "from" else key): value for key, value in body.items()}
        if body.pop("forever", lasting and "times" not in body):
            body["times"] = None
        with self.lock:
            self.all.append(Fault(**body))


@dataclass
class Reply:
    status: int
    headers: Headers
    body: bytes

    def set(self, name: str, value: str | None) -> None:
        self.headers = [(key, kept) for key, kept in self.headers if key.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def refusal(status: int, code: str, message: str) -> Reply:
    body = json.dumps({"errors": [{"code": code, "message": message, "detail": None}]}).encode()
    return Reply(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstream = ""
    faults: Faults

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def forward(self, method: str, path: str, body: bytes) -> Reply:
        host = f"{self.server.server_address[0]}:{self.server.server_address[1]}"
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        headers = {key: value for key, value in self.headers.items() if key.lower() not in HOP_BY_HOP}
        if not body:
            headers = {key: value for key, value in headers.items() if key.lower() not in ("content-length", "expect")}
        # With our own address as Host, the registry's Location headers lead back to this proxy.
        headers["Host"] = host
        with contextlib.closing(connection):
            connection.request(method, path, body=body or None, headers=headers)
            reply = connection.getresponse()
            kept = [(key, value) for key, value in reply.getheaders() if key.lower() not in HOP_BY_HOP]
            return Reply(reply.status, kept, reply.read())

    def answer(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        if reply.get("Content-Length") is None and reply.status not in (204, 304):
            reply.set("Content-Length", str(len(reply.body)))
        for key, value in reply.headers:
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        if self.path.startswith("/_faults"):
            self.answer(self.control(body))
            return
        if self.path == "/_calls":
            self.answer(Reply(200, [("Content-Type", "application/json")], json.dumps({"calls": list(self.faults.calls)}).encode()))
            return
        self.faults.calls.append({"method": self.command, "path": self.path})
        fault = self.faults.take(self.command, self.path)
        if fault is None:
            self.answer(self.forward(self.command, self.path, body))
        elif fault.kind == "hang":
            threading.Event().wait(HANG_SECONDS)
        elif fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        else:
            self.answer(self.misbehave(fault, body))

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

    def control(self, body: bytes) -> Reply:
        try:
            if self.command == "POST":
                self.faults.add(json.loads(body))
            elif self.command == "DELETE":
                with self.faults.lock:
                    self.faults.all.clear()
        except (ValueError, TypeError) as problem:
            return refusal(400, "BAD_FAULT", str(problem))
        with self.faults.lock:
            text = json.dumps({"faults": [asdict(fault) for fault in self.faults.all]}).encode()
        return Reply(200, [("Content-Type", "application/json")], text)

    def misbehave(self, fault: Fault, body: bytes) -> Reply:
        kinds: dict[str, Callable[[Fault, bytes], Reply]] = {
            "status": self.refuse, "wrong-digest": self.wrong_digest, "corrupt": self.corrupt,
            "moving-tag": self.moving_tag, "immutable": self.immutable, "no-location": self.no_location,
            "paged-tags": self.paged_tags,
        }
        return kinds[fault.kind](fault, body)

    def refuse(self, fault: Fault, _: bytes) -> Reply:
        reply = refusal(fault.status, fault.code or CODES.get(fault.status, "UNKNOWN"), fault.message)
        if fault.retry_after is not None:
            reply.set("Retry-After", str(fault.retry_after))
        if fault.status == 401:
            reply.set("WWW-Authenticate", 'Basic realm="imgctl-lab"')
        return reply

    def wrong_digest(self, _: Fault, body: bytes) -> Reply:
        reply = self.forward(self.command, self.path, body)
        reply.set("Docker-Content-Digest", "sha256:" + "0" * 64)
        return reply

    def corrupt(self, _: Fault, body: bytes) -> Reply:
        """The same length and still JSON, but other bytes: only hashing finds it."""
        reply = self.forward(self.command, self.path, body)
        reply.body = reply.body.replace(b'"schemaVersion"', b'"schemaVersioM"', 1)
        return reply

    def moving_tag(self, fault: Fault, body: bytes) -> Reply:
        path = self.path
        if fault.hits > 1 and fault.source and fault.to:
            path = path.replace(f"/manifests/{fault.source}", f"/manifests/{fault.to}")
        return self.forward(self.command, path, body)

    def immutable(self, fault: Fault, body: bytes) -> Reply:
        match = PATH.match(self.path)
        assert match
        head = self.forward("HEAD", self.path, b"")
        if head.status != 200 and self.existing(match) is None:
            return self.forward(self.command, self.path, body)
        if fault.style == "ecr":
            # Amazon ECR User Guide "Preventing image tags from being overwritten": ImageTagAlreadyExistsException;
            # over the registry protocol a push shows it as code TAG_INVALID.
            return refusal(400, "TAG_INVALID", ECR_TAG_EXISTS.format(tag=match["ref"], repo=match["repo"]))
        return refusal(fault.status if fault.status != 500 else 400, fault.code or "TAG_INVALID", "tag is immutable")

    def existing(self, match: "re.Match[str]") -> str | None:
        """The tag, when the repository has it (a HEAD without Accept cannot see an index)."""
        listing = self.forward("GET", f"/v2/{match['repo']}/tags/list", b"")
        tags = json.loads(listing.body).get("tags") or [] if listing.status == 200 else []
        return match["ref"] if match["ref"] in tags else None

    def no_location(self, _: Fault, body: bytes) -> Reply:
        reply = self.forward(self.command, self.path, body)
        reply.set("Location", None)
        return reply

    def paged_tags(self, fault: Fault, _: bytes) -> Reply:
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        reply = self.forward("GET", parts.path, b"")
        if reply.status != 200:
            return reply
        document = json.loads(reply.body)
        tags = [tag for tag in sorted(document.get("tags") or []) if tag > query.get("last", "")]
        size = min(int(query.get("n", fault.size)), fault.size)
        document["tags"] = tags[:size]
        if len(tags) > size:
            following = urllib.parse.urlencode({"n": size, "last": tags[size - 1]})
            reply.set("Link", f'<{parts.path}?{following}>; rel="next"')
        reply.body = json.dumps(document).encode()
        reply.set("Content-Length", str(len(reply.body)))
        return reply


def serve(upstream: str, port: int = 0) -> str:
    """Start the proxy in threads of this process; its address."""
    handler = type("BoundHandler", (Handler,), {"upstream": upstream, "faults": Faults()})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_address[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upstream", help="the real registry, host:port")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    print(serve(options.upstream, options.port), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
