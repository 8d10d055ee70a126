"""Where a lab keeps its state, and how to find a running one."""

import json
import os
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
RUN = HERE / ".run"
VENV = HERE / ".venv"
STATE = "lab.json"
SUPERVISOR = "supervisor.json"
ELSEWHERE = "elsewhere.txt"


def directory(given: str | None) -> Path:
    """The lab meant by `--dir`, else by $IMGCTL_LAB, else the default one."""
    chosen = given or os.environ.get("IMGCTL_LAB")
    return Path(chosen).resolve() if chosen else RUN / "default"


def read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def write(path: Path, document: dict[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(document, indent=1))
    partial.replace(path)


def remember(lab: Path) -> None:
    """Note a lab outside .run, so that `down --all` finds it."""
    if RUN in lab.parents:
        return
    RUN.mkdir(parents=True, exist_ok=True)
    with (RUN / ELSEWHERE).open("a") as file:
        file.write(f"{lab}\n")


def all_labs() -> list[Path]:
    inside = [path for path in RUN.iterdir() if path.is_dir()] if RUN.is_dir() else []
    note = RUN / ELSEWHERE
    outside = {Path(line) for line in note.read_text().splitlines()} if note.exists() else set()
    return inside + sorted(path for path in outside if path.is_dir())
