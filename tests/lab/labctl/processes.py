"""Which process is which: a pid alone may have been given to another program meanwhile."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1


def started(pid: int) -> str | None:
    """When the process began, in the system's own units; None when there is no such process."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else fields[19]
    out = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return out.stdout.strip() or None


def alive(pid: int, start: str | None) -> bool:
    return start is not None and started(pid) == start


def stop(pid: int, start: str | None, patience: float = 5.0) -> None:
    """SIGTERM, then SIGKILL; does nothing when the pid now belongs to another process."""
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 2.0)):
        if not alive(pid, start):
            return
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        end = time.monotonic() + seconds
        while alive(pid, start) and time.monotonic() < end:
            time.sleep(0.02)


def die_with_parent() -> None:
    """In a child before exec: the kernel kills it when its parent goes, however that happens (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
