"""What a run comes to: one tally for each kind of fault, as a table for people and as JSON."""

import json
import re
import shutil
import textwrap
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# The rule was broken if any of these happened.
BAD = ("lost", "silent", "panics", "hangs")
MOST_SAID = 12
COUNTED = ("trials", *BAD, "refused", "repaired")


@dataclass
class Tally:
    """Trials of one kind, and in how many of them each of these happened at least once."""

    trials: int = 0
    # An acknowledged entry is gone, or the ledger cannot be brought back to use though one copy was whole.
    lost: int = 0
    # Something was wrong and nothing said so: a wrong answer, a verify that found nothing, an unclear error.
    silent: int = 0
    panics: int = 0
    hangs: int = 0
    # A command said no in clear words.
    refused: int = 0
    # It took `ledger repair`, or the next command said what it had mended.
    repaired: int = 0
    # What this kind alone counts: kills that came in time, power cuts, calls that failed.
    hits: int = 0
    # How often it was refused or mended in which words, without names and numbers.
    said: dict[str, int] = field(default_factory=dict)
    skipped: str = ""
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        for name in (*COUNTED, "hits"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.failures += other.failures
        for words, times in other.said.items():
            self.said[words] = self.said.get(words, 0) + times
        self.skipped = self.skipped or other.skipped

    @property
    def bad(self) -> int:
        return sum(getattr(self, name) for name in BAD)


def plain(text: str) -> str:
    """The first thing a command complains of, without what differs from trial to trial."""
    lines = [line for line in text.splitlines() if line.strip()]
    loud = [line for line in lines if line.startswith(("error:", "warning:"))] or lines or [""]
    return re.sub(r"\d+", "N", re.sub(r"sha256:\w+|/[\w./@+-]+", "…", loud[0]))[:200]


def write(file: Path, tallies: dict[str, Tally], facts: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    total = Tally()
    for tally in tallies.values():
        total.add(tally)
    counts = {name: getattr(total, name) for name in COUNTED}
    for tally in tallies.values():
        tally.said = dict(sorted(tally.said.items(), key=lambda pair: -pair[1])[:MOST_SAID])
    document = {**facts, "kinds": {kind: asdict(tally) for kind, tally in tallies.items()}, "total": counts}
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def table(tallies: dict[str, Tally], width: int | None = None) -> str:
    """One line for each kind; on a narrow terminal only what is not nought is named."""
    width = width or shutil.get_terminal_size((100, 25)).columns
    rows = [(kind, tally) for kind, tally in tallies.items()]
    name = max([len(kind) for kind, _ in rows] + [5])
    wide = name + sum(max(len(word), 6) + 2 for word in COUNTED)
    total = Tally()
    for _, tally in rows:
        total.add(tally)
    total.skipped = ""
    lines = [_wide(name, rows, total)] if width >= wide else [_narrow(rows, total)]
    for kind, tally in rows:
        if tally.skipped:
            text = f"!! {kind}: {tally.trials} trials: {tally.skipped}"
            lines += textwrap.wrap(text, width, subsequent_indent="   ", break_long_words=False)
    return "\n".join(lines)


def _wide(name: int, rows: list[tuple[str, Tally]], total: Tally) -> str:
    lines = ["  ".join([f"{'kind':<{name}}", *(f"{word:>6}" for word in COUNTED)])]
    for kind, tally in [*rows, ("total", total)]:
        counts = (f"{getattr(tally, word):>{max(len(word), 6)}}" for word in COUNTED)
        lines.append("  ".join([f"{kind:<{name}}", *counts]))
    return "\n".join(lines)


def _narrow(rows: list[tuple[str, Tally]], total: Tally) -> str:
    lines = []
    for kind, tally in [*rows, ("total", total)]:
        lines.append(f"{kind}: {tally.trials} trials")
        counts = [f"{word} {getattr(tally, word)}" for word in COUNTED[1:] if getattr(tally, word)]
        lines += textwrap.wrap(", ".join(counts) or "nothing happened", 36, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)
