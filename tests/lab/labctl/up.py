"""Start a lab, or find the one that already runs, and print its environment for a shell to read."""

import argparse
import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from labctl import places, processes

TIMEOUT_SECONDS = 70.0
DEFAULT_SCALE = 0.02


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="up", description='Start the lab. Use it as: eval "$(tests/lab/up)"',
        epilog="Running it again with the same --dir finds the running lab and prints the same lines.",
    )
    parser.add_argument("--time-scale", type=float, help=f"AWS's waiting times are multiplied by this ({DEFAULT_SCALE})")
    parser.add_argument("--latency-ms", type=float, help="added to every AWS call (0)")
    parser.add_argument("--dir", help="where the lab keeps its state (tests/lab/.run/default)")
    parser.add_argument("--port", type=int, default=0, help="the AWS emulator's port (any free one)")
    parser.add_argument("--watch-pid", type=int, help="the lab stops itself when this process is gone")
    return parser.parse_args()


def running(lab: Path) -> dict[str, Any] | None:
    state, parent = places.read(lab / places.STATE), places.read(lab / places.SUPERVISOR)
    if state and parent and processes.alive(parent["pid"], parent["start"]):
        return state
    return None


def launch(lab: Path, options: argparse.Namespace) -> dict[str, Any]:
    parent = places.read(lab / places.SUPERVISOR)
    if parent:  # half started, or being stopped
        processes.stop(parent["pid"], parent["start"])
    if lab.exists():
        shutil.rmtree(lab)
    lab.mkdir(parents=True)
    places.remember(lab)
    scale = DEFAULT_SCALE if options.time_scale is None else options.time_scale
    command = [
        sys.executable, "-S", "-m", "labctl.supervisor", "--dir", str(lab), "--port", str(options.port),
        "--time-scale", str(scale), "--latency-ms", str(options.latency_ms or 0),
    ]
    if options.watch_pid:
        command += ["--watch-pid", str(options.watch_pid)]
    with (lab / "supervisor.log").open("ab") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=places.HERE
        )
    end = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < end and child.poll() is None:
        state = running(lab)
        if state:
            return state
        time.sleep(0.02)
    processes.stop(child.pid, processes.started(child.pid))
    raise SystemExit(f"lab up: could not start: {(lab / 'supervisor.log').read_text().strip()}")


def adjust(state: dict[str, Any], options: argparse.Namespace) -> None:
    """Bring the settings of a lab that was running already in line with what was asked now."""
    base = state["exports"]["AWS_ENDPOINT_URL"] + "/_lab/"
    wanted = {"time-scale": ("value", options.time_scale), "latency": ("ms", options.latency_ms)}
    for path, (field, value) in wanted.items():
        if value is not None:
            urllib.request.urlopen(base + path, data=json.dumps({field: value}).encode(), timeout=10).close()


def main() -> int:
    options = arguments()
    # $IMGCTL_LAB is not read here: it names a lab to talk to, and may be left over from an earlier one.
    lab = Path(options.dir).resolve() if options.dir else places.RUN / "default"
    lab.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with open(lab.with_name(f".{lab.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = running(lab)
        if state:
            adjust(state, options)
            print(f"lab: already running in {lab}", file=sys.stderr)
        else:
            state = launch(lab, options)
            print(f"lab: ready in {time.monotonic() - began:.1f} s; state and logs in {lab}", file=sys.stderr)
    for name, value in state["exports"].items():
        print(f"export {name}={shlex.quote(value)}")
    if os.isatty(1):
        print('lab: use it as: eval "$(tests/lab/up)"', file=sys.stderr)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
