"""The power goes: commands run over the shim, and from any point of its log a machine comes back."""

from dataclasses import dataclass, replace
from pathlib import Path

from deeds import DEEDS, INIT, Deed, append
from disk import Cut, Disk, Op, read_log
from ledger import Answer
from report import Tally
from rule import CHANNEL, Case, Known, lives_on
from yard import Kind, Trial, Yard, no_shim

# Power cuts of one recorded run, and how many of them cut the recovery once more.
CUTS, AGAIN = 5, 0.3


@dataclass
class Run:
    """A disk, what commands wrote to it, and from which write on what was acknowledged."""

    root: Path
    ops: list[Op]
    # (how many writes came before, the lines that are acknowledged from then on)
    acknowledged: list[tuple[int, list[str]]]
    # All lines in the end.
    last: list[str]

    def known_at(self, cut: int) -> list[str]:
        return [lines for since, lines in self.acknowledged if since <= cut][-1]

    def is_done(self, cut: int) -> bool:
        """Whether the first command had ended."""
        return len(self.acknowledged) > 1 and self.acknowledged[1][0] <= cut


class Recorder:
    """Runs commands over one disk and notes what they write."""

    def __init__(self, yard: Yard, case: Case, root: Path, known: Known) -> None:
        assert yard.shim is not None
        self.case, self.log = case, root.with_name(root.name + ".log")
        environment = yard.shim.environment(root, log=str(self.log))
        self.known = replace(known, imgctl=known.imgctl.with_environment(environment))
        self.run = Run(root, [], [(0, list(known.lines))], list(known.lines))

    def ask(self, *words: str) -> Answer:
        """A command that succeeds acknowledges all that the ledger then shows."""
        answer = self.case.ask(self.known.imgctl, *words)
        written = len(read_log(self.log))
        if answer.ok:
            export = self.case.ask(self.known.imgctl, "ledger", "export")
            self.known.lines = self.run.last = export.out.splitlines()
            self.run.acknowledged.append((written, self.run.last))
        return answer

    def end(self) -> Run:
        self.run.ops = read_log(self.log)
        return self.run


def recorded(yard: Yard, case: Case, name: str, flushes: bool = True) -> tuple[Deed, Run, Disk]:
    """One deed and up to three appends after it. The disk is as it was before."""
    root = case.work / "disk"
    root.mkdir()
    deed = DEEDS[name](yard, replace(case, work=root))
    disk = Disk(root, flushes)
    recorder = Recorder(yard, case, root, deed.known)
    first = recorder.ask(*deed.words)
    if not first.ok:
        case.happened("lost", f"on a sound disk this must succeed: {first}")
    for _ in range(case.dice.randint(0, 3)):
        recorder.ask(*append(yard, case, recorder.known).words)
    return deed, recorder.end(), disk


def differences(disk: Disk, run: Run, to: Path) -> list[str]:
    """All of the log must make the directory that is really there: then the shim has missed nothing."""
    disk.write_live(to)
    made, real = tree(to), tree(run.root)
    return [name for name in sorted({*made, *real}) if made.get(name, b"?") != real.get(name, b"?")]


def tree(root: Path) -> dict[str, bytes | None]:
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*")}
    return {name: path.read_bytes() if path.is_file() else None for name, path in found.items()}


def machine_after(disk: Disk, root: Path, how: Cut) -> None:
    """A machine that comes back has another boot id than the one that the ledger was written on."""
    disk.write_after(root, how)
    boot = root / "ledger" / "boot"
    if boot.exists():
        boot.write_text("of the machine before\n")


def comes_back(yard: Yard, case: Case, deed: Deed, run: Run, disk: Disk, cut: int, number: int) -> None:
    """The machine after one power cut. `disk` has all writes before it."""
    how = Cut(case.dice)
    root = case.work / f"cut-{number}"
    machine_after(disk, root, how)
    lines = run.known_at(cut)
    case.note(f"-- power cut {number} after write {cut} of {len(run.ops)}; {how}; {len(lines)} entries acknowledged")
    known, tail = Known(deed.known.imgctl.over(root / "ledger"), list(lines)), run.last[len(lines) :]
    if deed.again and not run.is_done(cut):
        done_again(case, deed, run, known)
        return
    if case.dice.random() < AGAIN:
        known, tail = cut_again(yard, case, known, tail)
    lives_on(case, known, tail=tail)


def done_again(case: Case, deed: Deed, run: Run, known: Known) -> None:
    """The power went before the deed was done: it is done now, whatever of it is there already."""
    deed = Deed(deed.words, known, tail=list(deed.tail), again=True)
    if deed.done_again(case):
        begun = deed.words == INIT
        # A ledger that is begun anew has another first entry.
        lives_on(case, known, ['"ledger-created"'] if begun else [], run.last[:1] if begun else deed.tail)


def cut_again(yard: Yard, case: Case, known: Known, tail: list[str]) -> tuple[Known, list[str]]:
    """The power goes again while the next command recovers from the first time."""
    root = known.imgctl.ledger.parent
    disk = Disk(root)
    recorder = Recorder(yard, case, root, known)
    words = (("hold", CHANNEL, "--reason", case.reason()), ("log",), ("ledger", "verify"), ("ledger", "repair"))
    answer = recorder.ask(*case.dice.choice(words))
    run = recorder.end()
    cut, how = case.dice.randint(0, len(run.ops)), Cut(case.dice)
    for op in run.ops[:cut]:
        disk.apply(op)
    again = root.with_name(root.name + "-again")
    machine_after(disk, again, how)
    lines = run.known_at(cut)
    case.note(f"-- and again after write {cut} of {len(run.ops)}; {how}; {len(lines)} entries acknowledged")
    return Known(known.imgctl.over(again / "ledger"), list(lines)), run.last[len(lines) :] if answer.ok else tail


def cuts(yard: Yard, case: Case, deed: Deed, run: Run, disk: Disk) -> Tally:
    total, done = case.tally(trials=0), 0
    for number, cut in enumerate(sorted(case.dice.randint(0, len(run.ops)) for _ in range(CUTS))):
        for op in run.ops[done:cut]:
            disk.apply(op)
        done = cut
        comes_back(yard, case, deed, run, disk, cut, number)
        total.add(case.tally(hits=1))
    for op in run.ops[done:]:
        disk.apply(op)
    return total


def of(name: str) -> Trial:
    def act(yard: Yard, case: Case) -> Tally:
        deed, run, disk = recorded(yard, case, name)
        tally = cuts(yard, case, deed, run, disk)
        missed = differences(disk, run, case.work / "live")
        if missed:
            raise RuntimeError(f"the shim has missed what {deed.words} wrote to {missed}")
        return tally

    return act


def lying(yard: Yard, case: Case) -> Tally:
    """The test of the test: a disk that only says it flushes must be seen to lose entries."""
    deed, run, disk = recorded(yard, case, "append", flushes=False)
    for op in run.ops:
        disk.apply(op)
    cut = Cut(case.dice)
    cut.how = cut.names_how = "none"
    machine_after(disk, case.work / "cut", cut)
    lines = run.known_at(len(run.ops))
    shadow = replace(case, told=[], found={})
    lives_on(shadow, Known(deed.known.imgctl.over(case.work / "cut" / "ledger"), lines))
    if "lost" not in shadow.found and len(lines) > len(deed.known.lines):
        case.happened("silent", "the disk flushed nothing, and no loss was seen")
    return case.tally(hits=1)


KINDS = [
    *(Kind(f"power.{name}", trials, short, of(name), no_shim) for name, trials, short in (
        ("append", 50, 3), ("import", 25, 2), ("repair", 25, 2), ("refresh", 25, 2), ("init", 25, 2),
    )),
    Kind("power.lying-disk", 10, 1, lying, no_shim),
]
