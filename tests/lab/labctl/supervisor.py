"""The lab's one parent process: starts its servers, says when all answer, and ends them all when it ends.

It ends on SIGTERM, when a server dies, when its directory goes away, or when the watched process (--watch-pid) is gone.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType

import registry_faults
from cluster import server as cluster
from labctl import places, processes

POLL_SECONDS = 0.2
START_SECONDS = 60.0
CREDENTIALS = {"user": "ci", "password": "s3cret"}
CONFIG = """version: 0.1
log: {{ level: info, formatter: text, accesslog: {{ disabled: true }} }}
storage:
  filesystem: {{ rootdirectory: {data} }}
  delete: {{ enabled: true }}
http: {{ addr: "127.0.0.1:0" }}
{auth}"""
AUTH = "auth:\n  htpasswd: {{ realm: imgctl-lab, path: {path} }}\n"


class Stopped(Exception):
    pass


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="supervisor")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--time-scale", type=float, default=1.0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--watch-pid", type=int)
    return parser.parse_args()


def registry_binary() -> str:
    own = places.VENV / "registry/usr/bin/docker-registry"
    found = shutil.which("docker-registry") or shutil.which("registry") or (str(own) if own.exists() else None)
    if not found:
        raise RuntimeError("no OCI registry binary: run tests/lab/setup")
    return found


class Supervisor:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.dir: Path = options.dir
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.watched_start = processes.started(options.watch_pid) if options.watch_pid else None

    def spawn(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        log = (self.dir / f"{name}.log").open("ab")
        self.children[name] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=places.HERE,
            preexec_fn=processes.die_with_parent,
        )
        log.close()

    def start_emulator(self) -> None:
        options = self.options
        # The person's own AWS settings have no business in the emulator.
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "MOTO_"))}
        self.spawn(
            "emulator",
            [
                str(places.VENV / "bin/python"), "-m", "emulator", "--ready", str(self.dir / "emulator.port"),
                "--log", str(self.dir / "calls.jsonl"), "--port", str(options.port),
                "--latency-ms", str(options.latency_ms), "--time-scale", str(options.time_scale),
            ],
            {**clean, "PYTHONPATH": str(places.HERE)},
        )

    def start_registry(self, name: str, auth: bool) -> None:
        data = self.dir / f"{name}-data"
        data.mkdir(exist_ok=True)
        section = AUTH.format(path=places.HERE / "registry/htpasswd") if auth else ""
        config = self.dir / f"{name}.yml"
        config.write_text(CONFIG.format(data=data, auth=section))
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "REGISTRY_"))}
        self.spawn(name, [registry_binary(), "serve", str(config)], {**clean, "OTEL_TRACES_EXPORTER": "none"})

    def check(self) -> None:
        for name, child in self.children.items():
            code = child.poll()
            if code is not None:
                log = (self.dir / f"{name}.log").read_text(errors="replace").strip().splitlines()
                raise RuntimeError(f"{name} ended with status {code}: {' | '.join(log[-3:])}")
        pid = self.options.watch_pid
        if pid and not processes.alive(pid, self.watched_start):
            raise Stopped
        if not (self.dir / places.SUPERVISOR).exists():
            raise Stopped

    def wait_for(self, name: str, found: "registry_faults.Probe") -> str:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            self.check()
            value = found()
            if value:
                return value
            time.sleep(0.02)
        raise RuntimeError(f"{name} did not answer within {START_SECONDS:.0f} s; see {self.dir / (name + '.log')}")

    def registry_address(self, name: str) -> str | None:
        """The registry chooses its own port and logs it: no port is guessed, so none can be taken meanwhile."""
        text = (self.dir / f"{name}.log").read_text(errors="replace")
        marker = "listening on 127.0.0.1:"
        if marker not in text:
            return None
        digits = "".join(c if c.isdigit() else " " for c in text.split(marker, 1)[1][:8]).split()[0]
        address = f"127.0.0.1:{digits}"
        return address if answers(f"http://{address}/v2/") else None

    def start(self) -> dict[str, str]:
        self.start_emulator()
        self.start_registry("registry", auth=False)
        self.start_registry("registry-auth", auth=True)
        plain = self.wait_for("registry", lambda: self.registry_address("registry"))
        closed = self.wait_for("registry-auth", lambda: self.registry_address("registry-auth"))
        proxy = registry_faults.serve(plain)
        kubernetes, kubeconfig = cluster.serve(self.dir)
        ready = self.dir / "emulator.port"
        port = self.wait_for("emulator", lambda: ready.read_text() if ready.exists() else None)
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "IMGCTL_LAB": str(self.dir),
            "IMGCTL_LAB_REGISTRY": plain,
            "IMGCTL_LAB_REGISTRY_AUTH": closed,
            "IMGCTL_LAB_REGISTRY_FAULTS": proxy,
            "IMGCTL_LAB_KUBERNETES": kubernetes,
            "KUBECONFIG": str(kubeconfig),
        }

    def stop(self) -> None:
        for child in self.children.values():
            if child.poll() is None:
                child.terminate()
        for child in self.children.values():
            try:
                child.wait(2)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError as reply:
        return reply.code == 401
    except OSError:
        return False
    return True


def on_signal(_: int, __: FrameType | None) -> None:
    raise Stopped


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    supervisor = Supervisor(options)
    pid = os.getpid()
    places.write(options.dir / places.SUPERVISOR, {"pid": pid, "start": processes.started(pid)})
    code = 0
    try:
        exports = supervisor.start()
        children = {name: {"pid": c.pid, "start": processes.started(c.pid)} for name, c in supervisor.children.items()}
        places.write(options.dir / places.STATE, {"exports": exports, "children": children})
        while True:
            supervisor.check()
            time.sleep(POLL_SECONDS)
    except Stopped:
        pass
    except Exception as problem:
        print(f"lab: {problem}", file=sys.stderr)
        code = 1
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    supervisor.stop()
    if code == 0:
        shutil.rmtree(options.dir, ignore_errors=True)
    else:
        (options.dir / places.STATE).unlink(missing_ok=True)
        (options.dir / "failed").write_text("see supervisor.log\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
