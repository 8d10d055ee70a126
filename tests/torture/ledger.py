"""imgctl from outside: commands with a time limit, what they said, and whether they ended as a command may end."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The lock's own limit is 10 s; what takes longer than that and a margin hangs.
LIMIT = 15.0
# Small segments, so that a short history has several (a ledger that is not cut into segments takes no notice).
SEGMENT_BYTES = 6000

Json = dict[str, Any]

# A panic says so, even when somebody catches it and exits as usual.
PANIC = re.compile(r"panicked at|stack overflow|a bug in imgctl|RUST_BACKTRACE|double free")
ENTRY = re.compile(r"\(entry (\d+)\)")
HEAD = re.compile(r"\bhead (\d+):sha256:")


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    hung: bool = False
    killed: bool = False

    @property
    def ok(self) -> bool:
        return self.code == 0 and not self.hung

    @property
    def panicked(self) -> bool:
        died = self.code < 0 and not self.killed and not self.hung
        return died or self.code in (70, 101, 134) or bool(PANIC.search(self.err))

    @property
    def refused(self) -> bool:
        """A clear no: an exit code that means it, and an error in words."""
        return self.code in (1, 3, 5) and ("error:" in self.err or '"imgctl.error/1"' in self.out)

    @property
    def warned(self) -> bool:
        """The ledger mended something; that a layout names no registry is another matter."""
        warnings = [line for line in self.err.splitlines() if line.startswith("warning:")]
        return any("names no registry" not in line for line in warnings)

    @property
    def entry(self) -> int | None:
        """The entry it says it wrote, or the head it says it made."""
        found = ENTRY.search(self.out) or HEAD.search(self.out)
        return int(found.group(1)) if found else None

    def document(self) -> Json | None:
        """Its JSON; `None` when that cannot be read."""
        try:
            return json.loads(self.out)
        except ValueError:
            return None

    def __str__(self) -> str:
        end = "hung" if self.hung else f"exit {self.code}"
        said = " | ".join((self.err.strip() or self.out.strip()).splitlines()[:3])
        return f"imgctl {' '.join(self.words)[:200]}: {end}: {said[:300]}"


@dataclass(frozen=True)
class Imgctl:
    """The binary over one ledger."""

    binary: Path
    ledger: Path
    config: Path
    extra: dict[str, str] = field(default_factory=dict)

    def over(self, ledger: Path) -> "Imgctl":
        return Imgctl(self.binary, ledger, self.config, self.extra)

    def with_environment(self, extra: dict[str, str]) -> "Imgctl":
        return Imgctl(self.binary, self.ledger, self.config, {**self.extra, **extra})

    def environment(self) -> dict[str, str]:
        # Nothing of the one who runs this: a profile or a proxy must not change what is tested.
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.config.parent),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "NO_COLOR": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "IMGCTL_CONFIG": str(self.config),
            "IMGCTL_LEDGER": str(self.ledger),
            "IMGCTL_TEST_SEGMENT_BYTES": str(SEGMENT_BYTES),
            **self.extra,
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.binary), *words], env=self.environment(), cwd=self.config.parent, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace",
        )

    def run(self, *words: str, limit: float = LIMIT) -> Answer:
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=limit)
            return Answer(words, process.returncode, out, err, killed=process.returncode == -signal.SIGKILL)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            return Answer(words, process.returncode, out, err, hung=True)

    def run_and_kill(self, after: float, *words: str) -> Answer:
        """Kills it `after` seconds, unless it has ended by then."""
        process = self.start(*words)
        timer = threading.Timer(after, process.kill)
        timer.start()
        try:
            out, err = process.communicate(timeout=LIMIT)
        finally:
            timer.cancel()
            process.kill()
        return Answer(words, process.returncode, out, err, killed=process.returncode == -signal.SIGKILL)

    def how_long(self, *words: str) -> float:
        began = time.monotonic()
        self.run(*words)
        return time.monotonic() - began
