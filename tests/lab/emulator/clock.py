"""Emulated time: every wait that AWS counts in seconds is multiplied by one scale, changeable while running."""

import time
from collections.abc import Callable
from datetime import datetime, timezone

TICK = 0.02

_scale: float = 1.0


def scale() -> float:
    return _scale


def set_scale(value: float) -> None:
    global _scale
    if value < 0:
        raise ValueError("the time scale cannot be negative")
    _scale = value


def now() -> datetime:
    return datetime.now(timezone.utc)


def wait(aws_seconds: float, check: Callable[[], None]) -> None:
    """Wait `aws_seconds` of emulated time; `check` runs every tick and may raise to stop the wait."""
    left = aws_seconds
    while True:
        check()
        if left <= 0 or _scale == 0:
            return
        started = time.monotonic()
        time.sleep(min(left * _scale, TICK))
        left -= (time.monotonic() - started) / max(_scale, 1e-9)
