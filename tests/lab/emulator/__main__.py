"""Serve the emulator on loopback: `python -m emulator --ready FILE [--port N] [--log FILE] ...`.

Writes its port into the ready file once it answers quickly.
"""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler, make_server

from emulator import clock
from emulator.app import LabApp
from emulator.calls import CallLog
from emulator.control import Control
from emulator.faults import Faults
from emulator.patches import trail
from emulator.warm import make_moto
from emulator.warm_calls import first_calls


class Handler(WSGIRequestHandler):
    # Headers and body in one write. In two, Go's net/http may lose the answer while its request is being put away, and
    # Terraform's provider then asks a second time for what was made already (AlreadyExists, InvalidSubnet.Conflict).
    wbufsize = 1 << 20
    disable_nagle_algorithm = True


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="emulator")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ready", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--time-scale", type=float, default=1.0)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    clock.set_scale(options.time_scale)
    faults = Faults()
    calls = CallLog(options.log)
    trail.follow(calls)
    moto = make_moto()
    app = LabApp(moto, calls, faults)
    app.latency_ms = options.latency_ms
    app.control = Control(app)
    first_calls(moto)
    server = make_server("127.0.0.1", options.port, app, threaded=True, request_handler=Handler)
    os.environ["MOTO_PORT"] = str(server.server_port)
    partial = options.ready.with_suffix(".partial")
    partial.write_text(str(server.server_port))
    partial.rename(options.ready)
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
