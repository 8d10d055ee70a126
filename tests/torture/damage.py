"""Damage to one copy: flipped bits, lost ends, zeroed pages, garbage, missing files, lines in the wrong place."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from deeds import append_some, files
from history import FIRST, broken
from ledger import Answer, Imgctl
from report import Tally
from rule import Case, Known, exported, hold, judged, log_agrees, mend
from yard import Kind, Trial, Yard, needed

PAGE = 4096
# Their answers name no moment, so the same ledger always gives the same.
READS = (("log", "--json"), ("images", "--json"), ("status", "--json"), ("show", FIRST, "--json"))
# What an append to another channel leaves as it is.
UNMOVED = (("images", "--json"), ("show", FIRST, "--json"))


def flip(data: bytearray, dice: random.Random) -> str:
    bits = [dice.randrange(len(data) * 8) for _ in range(dice.randint(1, 8))]
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
    return f"bits {sorted(bits)} flipped"


def truncate(data: bytearray, dice: random.Random) -> str:
    # Often only the very end, where a write that was cut short would be.
    keep = dice.randrange(len(data)) if dice.random() < 0.5 else max(0, len(data) - dice.randint(1, 900))
    del data[keep:]
    return f"cut to {keep} bytes"


def zero(data: bytearray, dice: random.Random) -> str:
    begin = dice.randrange(0, len(data), PAGE)
    end = min(begin + PAGE, len(data))
    data[begin:end] = bytes(end - begin)
    return f"bytes {begin} to {end} zeroed"


def garbage(data: bytearray, dice: random.Random) -> str:
    begin, length = dice.randrange(len(data)), dice.choice((1, 16, 512, 5000))
    end = min(begin + length, len(data))
    data[begin:end] = dice.randbytes(end - begin)
    return f"bytes {begin} to {end} replaced by garbage"


def append(data: bytearray, dice: random.Random) -> str:
    more = dice.choice((dice.randbytes(dice.randint(1, 5000)), bytes(PAGE), b"\n", b'{"seq":', b"{}\n"))
    data += more
    return f"{len(more)} bytes appended"


def lines(data: bytearray, dice: random.Random) -> str:
    """Two lines change places, one is there twice, or one is not there."""
    parts = bytes(data).splitlines(keepends=True)
    if len(parts) < 2:
        return flip(data, dice)
    at, other = dice.sample(range(len(parts)), 2)
    how = dice.choice(("swapped", "twice", "gone"))
    if how == "swapped":
        parts[at], parts[other] = parts[other], parts[at]
    elif how == "twice":
        parts.insert(other, parts[at])
    else:
        del parts[at]
    data[:] = b"".join(parts)
    return f"line {at + 1} {how} (with line {other + 1})"


def digit(data: bytearray, dice: random.Random) -> str:
    """A seal that reads as well as before, and tells another number."""
    at = dice.choice([place for place, byte in enumerate(data) if chr(byte).isdigit()] or [0])
    before, data[at] = data[at], ord(dice.choice("0123456789"))
    return f"byte {at}: {chr(before)} became {chr(data[at])}"


Damage = Callable[[bytearray, random.Random], str]
DAMAGES: tuple[Damage, ...] = (flip, flip, truncate, zero, garbage, append)


def spoil(case: Case, ledger: Path, kind: str) -> bool:
    """Damages one file of a kind; whether it is then another."""
    dice = case.dice
    path = dice.choice(files(ledger, kind))
    before = path.read_bytes()
    data = bytearray(before)
    if dice.random() < 0.08 or not data:
        path.unlink()
        case.note(f"{path.relative_to(ledger)}: deleted")
        return True
    more: tuple[Damage, ...] = (lines, lines) if kind in ("journal", "segments") else ()
    if path.suffix == ".seal":
        more = (digit, digit, digit)
    how = dice.choice(DAMAGES + more)(data, dice)
    case.note(f"{path.relative_to(ledger)} ({len(before)} bytes): {how}")
    path.write_bytes(data)
    return bytes(data) != before


class Trialled:
    """One damaged ledger, and what it must still do."""

    def __init__(self, case: Case, known: Known, kind: str) -> None:
        self.case, self.known, self.kind = case, known, kind
        self.imgctl: Imgctl = known.imgctl
        self.own: list[str] = []
        sound = known.imgctl.over(known.imgctl.ledger.with_name("sound"))
        shutil.copytree(known.imgctl.ledger, sound.ledger)
        self.right = {words: needed(sound.run(*words)).out for words in READS}
        self.spoilt = False

    def act(self) -> None:
        self.spoilt = spoil(self.case, self.imgctl.ledger, self.kind)
        # Whoever comes first may mend it: each of them must once come first.
        first = [self.read, self.write, self.verify]
        self.case.dice.shuffle(first)
        for step in first:
            step()
        self.repair()

    def read(self) -> None:
        for words in READS:
            answer = self.case.ask(self.imgctl, *words)
            if answer.ok and not self.own and answer.out != self.right[words]:
                self.case.happened("silent", f"another answer than before the damage: {answer}\n{answer.out[:2000]}")

    def write(self) -> None:
        wrote, reason = hold(self.case, self.imgctl)
        if wrote.ok:
            self.own.append(reason)
            if wrote.entry != len(self.known.lines) + 1:
                self.case.happened("lost", f"it goes on with entry {wrote.entry}, not {len(self.known.lines) + 1}")

    def verify(self) -> None:
        """A verify that is content is right: the journal proves itself, and is what it was."""
        verified = self.case.ask(self.imgctl, "ledger", "verify")
        if not verified.ok:
            return
        self.look(verified)
        if self.kind in ("journal", "segments") and self.spoilt and not verified.warned:
            self.journal_is_whole()

    def look(self, verified: Answer) -> None:
        lines = exported(self.case, self.imgctl)
        if lines is None or broken(lines) or lines[: len(self.known.lines)] != self.known.lines:
            self.case.happened("silent", f"verify is content and the export is not what it was: {verified}")

    def journal_is_whole(self) -> None:
        kept = [*files(self.imgctl.ledger, "segments"), *files(self.imgctl.ledger, "journal")]
        text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in kept)
        for line in self.known.lines:
            if line not in text:
                self.case.happened("silent", f"verify is content, and the journal lacks: {line[:120]}")
                return

    def repair(self) -> None:
        """One copy was damaged: after a repair nothing is missing."""
        case, known = self.case, self.known
        repaired = mend(case, self.imgctl)
        verified = case.ask(self.imgctl, "ledger", "verify")
        if not repaired.ok or not verified.ok:
            case.happened("lost", f"one copy was damaged, and it cannot be repaired: {repaired}; {verified}")
            return
        lines = exported(case, self.imgctl)
        if lines is None or not judged(case, known, lines, self.own, []):
            case.happened("lost", "after the repair it cannot be exported")
            return
        missing = [reason for reason in self.own if not any(reason in line for line in lines)]
        if missing:
            case.happened("lost", f"entries that were acknowledged after the damage are gone: {missing}")
        self.reads_right(lines)

    def reads_right(self, lines: list[str]) -> None:
        log_agrees(self.case, self.imgctl, lines)
        for words in UNMOVED:
            answer = self.case.ask(self.imgctl, *words)
            if answer.out != self.right[words]:
                self.case.happened("silent", f"another answer after the repair: {answer}\n{answer.out[:2000]}")


def ledger(yard: Yard, case: Case) -> Known:
    """A short ledger or a long one, with some entries that are younger than what is derived, or none."""
    known = case.dice.choice((yard.known, yard.long)).copy(case.work / "ledger")
    if case.dice.random() < 0.5:
        append_some(case, known, case.dice.randint(1, 3))
    return known


def of(kind: str) -> Trial:
    def act(yard: Yard, case: Case) -> Tally:
        trialled = Trialled(case, ledger(yard, case), kind)
        trialled.act()
        return case.tally(hits=int(trialled.spoilt))

    return act


def absent(kind: str) -> Callable[[Yard], str]:
    return lambda yard: "" if files(yard.known.imgctl.ledger, kind) else f"this ledger has no {kind}"


KINDS = [Kind(f"damage.{kind}", 500, 20, of(kind), absent(kind)) for kind in ("journal", "index", "view", "segments")]
