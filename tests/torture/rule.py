"""The rule every trial is judged by: what was acknowledged is there and right, or is refused in clear words."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from history import broken
from ledger import Answer, Imgctl
from report import BAD, Tally, plain

CHANNEL = "web/prod"
# How much of a failed trial is shown at once; all of it is kept in told.txt.
SHOWN = 12
# More than any history here has.
ALL = ("-n", "100000")


@dataclass
class Case:
    """One trial: its dice, its directory, every command it ran, and what came of it."""

    kind: str
    number: int
    dice: random.Random
    work: Path
    imgctl: Imgctl
    told: list[str] = field(default_factory=list)
    found: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    # Shared with every copy of this case.
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def note(self, words: str) -> None:
        self.told.append(words)

    def happened(self, what: str, why: str) -> None:
        """`what` is a counter of the tally; the first reason is kept."""
        self.found.setdefault(what, why)
        if what in ("refused", "repaired"):
            self.said.append(plain(why))
        if what in BAD:
            self.told.append(f"{what.upper()}: {why}")

    def ask(self, imgctl: Imgctl, *words: str) -> Answer:
        answer = imgctl.run(*words)
        self.weigh(answer)
        return answer

    def weigh(self, answer: Answer) -> None:
        """Counts how a command ended; one that was killed may end anyhow."""
        self.told.append(str(answer))
        if answer.hung:
            self.happened("hangs", str(answer))
        elif answer.panicked:
            self.happened("panics", str(answer))
        elif answer.refused:
            self.happened("refused", answer.err or answer.out)
        elif not answer.ok and not answer.killed:
            self.happened("silent", f"neither done nor a clear error: {answer}")
        if answer.ok and answer.warned:
            self.happened("repaired", answer.err)

    def reason(self) -> str:
        """Words that no other entry has."""
        return f"reason-{self.kind}-{self.number}-{next(self.numbers)}-"

    def tally(self, trials: int = 1, hits: int = 0) -> Tally:
        """What came of it since the last time this was asked."""
        tally = Tally(trials=trials, hits=hits)
        for what in self.found:
            setattr(tally, what, 1)
        tally.said = dict(Counter(self.said))
        self.found.clear()
        self.said.clear()
        if tally.bad:
            last = "\n".join(f"    {line[:500]}" for line in self.told[-SHOWN:])
            tally.failures.append(f"{self.kind} trial {self.number}:\n{last}")
        return tally


@dataclass
class Known:
    """A ledger as it has been seen from outside: entries that were acknowledged, or that a reader was shown."""

    imgctl: Imgctl
    lines: list[str]

    def copy(self, to: Path) -> "Known":
        shutil.copytree(self.imgctl.ledger, to)
        return Known(self.imgctl.over(to), list(self.lines))


def exported(case: Case, imgctl: Imgctl) -> list[str] | None:
    answer = case.ask(imgctl, "ledger", "export")
    return answer.out.splitlines() if answer.ok else None


def hold(case: Case, imgctl: Imgctl) -> tuple[Answer, str]:
    reason = case.reason()
    return case.ask(imgctl, "hold", CHANNEL, "--reason", reason), reason


def mend(case: Case, imgctl: Imgctl) -> Answer:
    answer = case.ask(imgctl, "ledger", "repair")
    if answer.ok and "nothing to repair" not in answer.out:
        case.happened("repaired", answer.out)
    return answer


def lives_on(case: Case, known: Known, maybe: list[str] | None = None, tail: list[str] | None = None) -> bool:
    """Reads, writes, proves and exports a ledger after a fault; takes over what it shows into `known`.

    `maybe`: words of entries that were ordered and not acknowledged. `tail`: lines that may follow what is known.
    """
    imgctl = known.imgctl
    if case.dice.random() < 0.5:
        sound_log(case, imgctl)
    wrote, reason = hold(case, imgctl)
    if not wrote.ok:
        mend(case, imgctl)
        wrote, reason = hold(case, imgctl)
        if not wrote.ok:
            case.happened("lost", f"the ledger can no longer be written to: {wrote}")
            return False
    if not proved(case, imgctl):
        return False
    lines = exported(case, imgctl)
    if lines is None:
        case.happened("lost", "what verify calls whole cannot be exported")
        return False
    if not judged(case, known, lines, [*(maybe or []), reason], tail or [], reason):
        return False
    log_agrees(case, imgctl, lines)
    known.lines = lines
    return True


def proved(case: Case, imgctl: Imgctl) -> bool:
    """Verify says that all is well, if need be after a repair."""
    if case.ask(imgctl, "ledger", "verify").ok:
        return True
    mend(case, imgctl)
    verified = case.ask(imgctl, "ledger", "verify")
    if not verified.ok:
        case.happened("lost", f"not even repaired does it verify: {verified}")
    return verified.ok


def judged(
    case: Case, known: Known, lines: list[str], maybe: list[str], tail: list[str], own: str | None = None
) -> bool:
    """Compares an export with what is known to have been acknowledged."""
    wrong = broken(lines)
    if wrong:
        case.happened("silent", f"the export is no chain: {wrong}")
        return False
    have = len(known.lines)
    for number, (line, right) in enumerate(zip(lines, known.lines), 1):
        if line != right:
            case.happened("lost", f"entry {number} is another than was acknowledged: {line[:200]}")
            return False
    if len(lines) < have:
        case.happened("lost", f"{have} entries were acknowledged, {len(lines)} are there")
        return False
    if own is not None and sum(own in line for line in lines) != 1:
        case.happened("lost", f"the entry just acknowledged is there {sum(own in line for line in lines)} times")
        return False
    return _expected(case, lines[have:], maybe, tail)


def _expected(case: Case, more: list[str], maybe: list[str], tail: list[str]) -> bool:
    """What follows the known entries: the beginning of `tail`, then ordered entries, each at most once, in order."""
    more = list(more)
    for line in tail:
        if more and more[0] == line:
            more.pop(0)
    ordered = iter(maybe)
    for line in more:
        if not any(words in line for words in ordered):
            case.happened("silent", f"an entry that nobody ordered: {line[:200]}")
            return False
    return True


def sound_log(case: Case, imgctl: Imgctl) -> list[dict[str, object]] | None:
    """A log that answers shows whole entries, newest first, each following from the one before."""
    answer = case.ask(imgctl, "log", "--json", "-n", "7")
    if not answer.ok:
        return None
    document = answer.document()
    if document is None:
        case.happened("silent", f"the log is torn: {answer.out[:200]}")
        return None
    entries = document["entries"]
    for newer, older in zip(entries, entries[1:]):
        if newer["seq"] != older["seq"] + 1 or newer["prev"] != older["hash"]:
            case.happened("silent", f"the log does not chain at entry {newer['seq']}")
    return entries


def log_agrees(case: Case, imgctl: Imgctl, lines: list[str]) -> None:
    """The keyed reading is the same as the journal's lines."""
    answer = case.ask(imgctl, "log", "--json", *ALL)
    document = answer.document() if answer.ok else None
    if document is None:
        case.happened("silent" if answer.ok else "lost", f"a ledger that verifies shows no log: {answer}")
    elif document["entries"][::-1] != [json.loads(line) for line in lines]:
        case.happened("silent", f"the log shows other entries than the export ({len(document['entries'])})")


@contextmanager
def scratch(base: Path, name: str) -> Iterator[Path]:
    """A directory for one trial."""
    path = base / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
