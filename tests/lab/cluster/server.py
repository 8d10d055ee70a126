"""The API server over HTTP, and beside it `/_lab/`, where a test makes workloads and arms faults.

| request                     | fields (`*` required)                                                                        |
| --------------------------- | -------------------------------------------------------------------------------------------- |
| POST workload               | `workload*` (deployment/web), `images*` {container: image}, `init`, `namespace` (shop),         |
|                             | `replicas` (3), `labels`, `annotations`, `managers`, `owner`, `spec` (fields of the spec), `count` |
| GET workload?workload=      | `images` (of the template), `runs` {image: ready pods}, `pods`, `object`, `history`            |
| POST edit                   | `workload*`, `patch*` (a merge patch), as somebody else would                                  |
| POST pod                    | `workload*`, `image*`: one pod's first container is given another image by hand                |
| POST delete, drop-history   | `workload*`                                                                                   |
| POST behave                 | `image*` (a part of it), `as*`: good, pull-error, crash, die (once its rollout is over), unready |
| POST fault, DELETE faults   | one of `status` (401, 429, 500 ...), `forbidden` (as RBAC refuses), `admission` (a webhook's     |
|                             | message), `hang`, `drop`, `lose` (carried out, not answered), `race` (written to meanwhile);    |
|                             | and which: `method`, `path` (a part of it), `times` (1) or `forever`, `after`                   |
| GET calls?since=            | every request: `method`, `path`, `query`, `status`, `body`                                    |
| POST reset                  | an empty cluster                                                                              |
"""

import contextlib
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cluster import control, recorded
from cluster.api import Api, Refused

Json = dict[str, Any]

TOKEN = "lab"
HANG_SECONDS = 3600.0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    api: Api

    def handle_one(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = json.loads(raw) if raw else None
        if url.path.startswith("/_lab/"):
            status, answer = control.handle(self.api, self.command, url.path.removeprefix("/_lab/"), query, body)
            return self.answer(status, answer)
        fault = self.api.faults.take(self.command, url.path)
        if fault and fault.get("hang"):
            time.sleep(HANG_SECONDS)
        if fault and fault.get("drop"):
            self.close_connection = True
            return None
        status, answer = self.ask(url.path, query, body, fault or {})
        self.api.note(self.command, url.path, query, status, body)
        # An order that is carried out, and whose answer gets lost on the way.
        if fault and fault.get("lose"):
            self.close_connection = True
            return None
        return self.answer(status, answer)

    def ask(self, path: str, query: Json, body: Any, fault: Json) -> tuple[int, Any]:
        try:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise Refused(401, recorded.refusal("401-invalid-token"))
            if fault.get("status") == 429:
                return 429, recorded.too_many()
            if "status" in fault:
                raise Refused(fault["status"], {"kind": "Status", "message": "injected by the lab", "code": fault["status"]})
            kind = self.headers.get("Content-Type", "")
            return 200, self.api.handle(self.command, path, query, kind, body, fault)
        except Refused as refused:
            return refused.status, refused.body

    def answer(self, status: int, answer: Any) -> None:
        is_text = isinstance(answer, str)
        payload = (answer if is_text else json.dumps(answer)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8" if is_text else "application/json")
        self.send_header("Content-Length", str(len(payload)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(payload)

    def do_GET(self) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.handle_one()

    do_POST = do_PATCH = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve(folder: Path) -> tuple[str, Path]:
    """Its address, and a kubeconfig that leads to it: contexts lab, exec (a plugin has the token) and stranger."""
    handler = type("LabHandler", (Handler,), {"api": Api()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    file = folder / "kubeconfig"
    file.write_text(json.dumps(kubeconfig(f"http://{address}"), indent=1))
    return address, file


def kubeconfig(server: str) -> Json:
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": TOKEN}}
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/echo", "args": [json.dumps(credential)],
        "interactiveMode": "Never",
    }
    broken = {**plugin, "command": "/bin/sh", "args": ["-c", "echo secret-token; echo session expired >&2; exit 7"]}
    users = {"lab": {"token": TOKEN}, "exec": {"exec": plugin}, "broken": {"exec": broken}, "stranger": {"token": "no"}}
    contexts = [{"name": n, "context": {"cluster": "lab", "user": n, "namespace": "shop"}} for n in users]
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "lab", "contexts": contexts,
        "clusters": [{"name": "lab", "cluster": {"server": server}}],
        "users": [{"name": name, "user": user} for name, user in users.items()],
    }
