"""The WSGI application in front of moto: control endpoint, faults, latency, one lock, call log, AWS-shaped errors."""

import io
import os
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from emulator.calls import Call, CallLog
from emulator.errors import Answer, answer, code_in, crashed
from emulator.faults import Faults
from emulator.lock import BACKEND
from emulator.patches import stacks
from emulator.request import AwsRequest, read

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Control = Callable[[str, str, dict[str, Any]], tuple[int, Any]]

CONTROL_PREFIX = "/_lab/"
MAX_BODY = 8 * 1024 * 1024


class LabApp:
    def __init__(self, moto: WsgiApp, calls: CallLog, faults: Faults) -> None:
        self.moto = moto
        self.calls = calls
        self.faults = faults
        self.latency_ms = 0.0
        self.stopping = threading.Event()
        self.control: WsgiApp | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "").startswith(CONTROL_PREFIX) and self.control:
            return self.control(environ, start_response)
        body = _take_body(environ)
        request = read(environ, body)
        started_at, started = time.time(), time.perf_counter()
        if self.latency_ms:
            time.sleep(self.latency_ms / 1000)
        fault = self.faults.take(request)
        if fault is None:
            reply = self._ask_moto(environ, request)
        elif fault.kind == "hang":
            self._log(request, started_at, started, 0, None, "hang")
            self.stopping.wait(3600)
            reply = answer(request.protocol, 500, "InternalFailure", "The lab let this call hang.")
        elif fault.kind == "drop":
            self._log(request, started_at, started, 0, None, "drop")
            _reset_connection(environ)
            return []
        elif fault.kind == "lose":
            lost = self._ask_moto(environ, request)
            self._log(request, started_at, started, int(lost.status[:3]), None, "lose")
            _reset_connection(environ)
            return []
        else:
            reply = fault.answer(request)
        status = int(reply.status[:3])
        code = code_in(reply.body, reply.headers) if status >= 400 else None
        if not fault or fault.kind != "hang":
            self._log(request, started_at, started, status, code, fault.kind if fault else None)
        start_response(reply.status, reply.headers)
        return [reply.body]

    def _ask_moto(self, environ: dict[str, Any], request: AwsRequest) -> Answer:
        captured: list[Any] = ["500 Internal Server Error", []]

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            captured[:] = [status, headers]

        try:
            with BACKEND:
                if request.service == "cloudformation":
                    stacks.install_in_cloudformation()
                parts = self.moto(environ, start_response)
                body = b"".join(parts)
                close = getattr(parts, "close", None)
                if close:
                    close()
        except Exception:
            traceback.print_exc()
            return crashed(request, 500)
        status = int(captured[0][:3])
        if status in (404, 500, 501) and body[:9].lower() == b"<!doctype":
            return crashed(request, status)
        return Answer(captured[0], captured[1], body)

    def _log(
        self, request: AwsRequest, at: float, started: float, status: int, code: str | None, fault: str | None
    ) -> None:
        ms = round(1000 * (time.perf_counter() - started), 3)
        self.calls.add(
            Call(
                service=request.service, action=request.action, region=request.region, status=status, ms=ms,
                at=round(at, 6), code=code, fault=fault, params=request.params,
            )
        )


def _take_body(environ: dict[str, Any]) -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not 0 < length <= MAX_BODY:
        return b""
    body: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _reset_connection(environ: dict[str, Any]) -> None:
    """Close with a TCP reset and no answer, as a broken network path does."""
    connection: socket.socket | None = environ.get("werkzeug.socket")
    if connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # close() would wait for the server's own file objects; the descriptor itself is closed now.
        os.close(connection.detach())
    raise ConnectionError("dropped by the lab")
