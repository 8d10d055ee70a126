"""What is done to a ledger while the machine fails: each deed with the state it needs and what may come of it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from history import FIRST, SIDE, TAGS
from ledger import Answer
from rule import CHANNEL, Case, Known, lives_on
from yard import Yard

REPAIR = ("ledger", "repair")
INIT = ("init",)


@dataclass
class Deed:
    """One command over one ledger, in the state the command needs."""

    words: tuple[str, ...]
    known: Known
    # Words of the entry it orders.
    maybe: list[str] = field(default_factory=list)
    # Lines it may add.
    tail: list[str] = field(default_factory=list)
    # It is done again after a fault, and then must succeed.
    again: bool = False

    def acknowledged(self, answer: Answer) -> None:
        """Takes note of what the command said was written."""
        if self.tail and answer.ok:
            self.known.lines += self.tail
            self.tail = []

    def lives_on(self, case: Case, answer: Answer) -> bool:
        self.acknowledged(answer)
        if not answer.ok and self.again and not self.done_again(case):
            return False
        if answer.ok and self.words == REPAIR and not case.ask(self.known.imgctl, "ledger", "verify").ok:
            case.happened("silent", "repair said it was done, and verify does not agree")
        alive = lives_on(case, self.known, self.maybe, self.tail)
        if alive and answer.ok and answer.entry and self.maybe:
            if not any(self.maybe[0] in line for line in self.known.lines):
                case.happened("lost", f"acknowledged, and not there: {answer}")
        return alive

    def done_again(self, case: Case) -> bool:
        """After the fault it succeeds, or has succeeded already."""
        answer = case.ask(self.known.imgctl, *self.words)
        if self.words == INIT:
            return answer.ok or answer.refused
        if not answer.ok:
            case.happened("lost", f"after the fault it never succeeds: {answer}")
        self.acknowledged(answer)
        return answer.ok


def append(yard: Yard, case: Case, known: Known) -> Deed:
    """Every command that writes one entry and asks no cloud."""
    reason = case.reason()
    channel = case.dice.choice((CHANNEL, "web/dev"))
    match case.dice.randrange(6):
        case 0 if any('"hold-set"' in line for line in known.lines[-1:]):
            return Deed(("release", CHANNEL, "--reason", reason), known, [reason])
        case 1:
            return Deed(("reject", FIRST, "--reason", reason), known, [reason])
        case 2:
            # An image that was not rejected is left alone, and nothing is written.
            return Deed(("restore", FIRST, "--reason", reason), known, [reason])
        case 3:
            tag = case.dice.choice(TAGS)
            return Deed(("untag", SIDE, tag), known, [f'"tags":["{tag}"]'])
        case 4:
            key = f"layout@{case.number}.{case.dice.randrange(10**9)}"
            return Deed(("record", key, f"oci:{yard.layout}"), known, [f'"key":"{key}"'])
        case _:
            return Deed(("hold", channel, "--reason", reason + "y" * case.dice.choice((0, 300, 9000))), known, [reason])


def add(yard: Yard, case: Case) -> Deed:
    return append(yard, case, yard.fresh(case))


def begin(yard: Yard, case: Case) -> Deed:
    """The first entry of a new ledger."""
    known = Known(yard.imgctl.over(case.work / "ledger"), [])
    return Deed(INIT, known, ['"ledger-created"'], again=True)


def bring_in(yard: Yard, case: Case) -> Deed:
    """An import where nothing is, over a ledger that was just created, or of more than the ledger has."""
    words = ("ledger", "import", str(yard.history_file))
    which = case.dice.randrange(3)
    if which == 2:
        known = yard.fresh(case)
        return Deed(words, known, tail=yard.history.lines[len(known.lines):], again=True)
    known = Known(yard.imgctl.over(case.work / "ledger"), [])
    if which == 1:
        case.ask(known.imgctl, "init")
    return Deed(words, known, tail=list(yard.history.lines), again=True)


def repair(yard: Yard, case: Case) -> Deed:
    """A repair that has something to do: of the journal, or of what is derived from it."""
    known = yard.fresh(case)
    if case.dice.random() < 0.5:
        damaged = case.dice.choice(files(known.imgctl.ledger, "journal") or files(known.imgctl.ledger, "segments"))
        data = bytearray(damaged.read_bytes())
        data[case.dice.randrange(len(data))] ^= 1
        damaged.write_bytes(data)
    else:
        forget(known.imgctl.ledger, case.dice.choice(("index", "view")))
    return Deed(REPAIR, known, again=True)


def refresh(yard: Yard, case: Case) -> Deed:
    """A read that finds what is derived from the journal missing, or older than the journal."""
    known = yard.fresh(case)
    ledger = known.imgctl.ledger
    match case.dice.randrange(3):
        case 0:
            forget(ledger, "view")
        case 1:
            forget(ledger, "view")
            forget(ledger, "index")
        case _:
            stale(case, known)
    words = case.dice.choice((("images",), ("status",), ("log", "-n", "3"), ("show", FIRST)))
    return Deed(words, known)


def stale(case: Case, known: Known) -> None:
    """Puts back what was derived before the last entries."""
    ledger = known.imgctl.ledger
    old = case.work / "old"
    shutil.copytree(ledger, old)
    append_some(case, known, 2)
    kind = "view" if files(ledger, "view") else "index"
    forget(ledger, kind)
    for file in files(old, kind):
        to = ledger / file.relative_to(old)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, to)
    shutil.rmtree(old)


def append_some(case: Case, known: Known, count: int) -> None:
    for _ in range(count):
        case.ask(known.imgctl, "hold", CHANNEL, "--reason", case.reason())
    answer = case.ask(known.imgctl, "ledger", "export")
    known.lines = answer.out.splitlines()


def backup(yard: Yard, case: Case) -> Deed:
    known = yard.fresh(case)
    return Deed(("ledger", "backup", str(case.work / "backup")), known, again=True)


def has_backup(yard: Yard) -> bool:
    return yard.imgctl.run("ledger", "backup", "--help").ok


Prepare = Callable[[Yard, Case], Deed]
DEEDS: dict[str, Prepare] = {
    "append": add, "import": bring_in, "repair": repair, "refresh": refresh, "init": begin, "backup": backup,
}


# ---- what is what in a ledger's directory, by name ----

def kind_of(name: str) -> str:
    """`name` is relative to the ledger's directory."""
    first = name.split("/")[0]
    if ".bad." in first or first.startswith(("lock", "index.")):
        return ""
    for kind in ("journal", "segments", "index", "view"):
        if first.startswith(kind):
            return kind
    return ""


def files(ledger: Path, kind: str) -> list[Path]:
    found = (path for path in sorted(ledger.rglob("*")) if path.is_file())
    return [path for path in found if kind_of(path.relative_to(ledger).as_posix()) == kind]


def forget(ledger: Path, kind: str) -> None:
    for path in files(ledger, kind):
        path.unlink()
    if kind == "index":
        shutil.rmtree(ledger / "index", ignore_errors=True)


