"""The call log: one entry per AWS call, in memory for tests and as JSON lines for people."""

import json
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO


@dataclass
class Call:
    service: str
    action: str
    region: str
    status: int
    ms: float
    at: float
    code: str | None = None
    """The AWS error code, when the call failed."""
    fault: str | None = None
    """The kind of injected fault that answered in AWS's place."""
    params: dict[str, str] = field(default_factory=dict)
    index: int = 0


class CallLog:
    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._mark = 0
        self._file: TextIO | None = path.open("a", buffering=1) if path else None

    def add(self, call: Call) -> None:
        with self._lock:
            call.index = len(self._calls)
            self._calls.append(call)
            if self._file:
                self._file.write(json.dumps(asdict(call)) + "\n")

    def since(self, index: int | None = None) -> dict[str, Any]:
        """The entries from `index` on, or from the last mark."""
        with self._lock:
            start = self._mark if index is None else index
            return {"calls": [asdict(call) for call in self._calls[start:]], "next": len(self._calls)}

    def mark(self) -> int:
        with self._lock:
            self._mark = len(self._calls)
            return self._mark
