"""A disk that is full or broken: the Nth write, flush or name fails, for every N until a command passes untouched."""

import errno
from collections.abc import Callable
from dataclasses import dataclass, replace

from deeds import DEEDS, Deed, has_backup
from ledger import Answer
from report import Tally
from rule import Case
from yard import Kind, Trial, Yard, no_shim

ENOSPC, EIO = errno.ENOSPC, errno.EIO
# More calls of one class than any deed here makes; a deed that goes on for ever is found by it.
MOST = 400


@dataclass(frozen=True)
class Fault:
    """What shim.c calls CLASS, MODE and ERRNO."""

    kind: str
    mode: str
    number: int

    def at(self, call: int) -> str:
        return f"{self.kind}:{call}:{self.mode}:{self.number}"


FAULTS = (
    Fault("write", "once", ENOSPC), Fault("write", "sticky", ENOSPC), Fault("write", "short", ENOSPC),
    Fault("write", "partial", ENOSPC), Fault("write", "once", EIO), Fault("write", "sticky", EIO),
    Fault("sync", "once", EIO), Fault("sync", "sticky", EIO), Fault("sync", "once", ENOSPC),
    Fault("name", "once", ENOSPC), Fault("name", "sticky", ENOSPC), Fault("name", "once", EIO),
    Fault("name", "sticky", EIO), Fault("write", "die", 0), Fault("sync", "die", 0), Fault("name", "die", 0),
)


def run(yard: Yard, case: Case, deed: Deed, fault: Fault, call: int) -> tuple[Answer, bool]:
    """The command with its Nth call failing, and whether it came to that."""
    assert yard.shim is not None
    fired = case.work / "fired"
    fired.unlink(missing_ok=True)
    root = deed.known.imgctl.ledger.parent
    environment = yard.shim.environment(root, fail=fault.at(call), fired=str(fired))
    answer = deed.known.imgctl.with_environment(environment).run(*deed.words)
    case.weigh(answer)
    return answer, fired.exists()


def one(yard: Yard, case: Case, name: str, fault: Fault, call: int) -> bool:
    """One failing call; whether there was such a call."""
    root = case.work / f"{fault.kind}-{fault.mode}-{fault.number}-{call}"
    root.mkdir()
    inner = replace(case, work=root)
    deed = DEEDS[name](yard, inner)
    case.note(f"-- {' '.join(deed.words)[:80]}: {fault.at(call)}")
    answer, fired = run(yard, inner, deed, fault, call)
    if not fired:
        return False
    deed.lives_on(inner, answer)
    return True


def of(name: str) -> Trial:
    """Trial N is fault N of the list, for every call from the first on; in the short form any fault, for some calls."""

    def act(yard: Yard, case: Case) -> Tally:
        fault = case.dice.choice(FAULTS) if yard.short else FAULTS[case.number % len(FAULTS)]
        step = (lambda: case.dice.randint(1, 9)) if yard.short else (lambda: 1)
        state = case.dice.getstate()
        total, call = Tally(), 1
        while call < MOST:
            steps = case.dice.getstate()
            # The same deed each time, whatever was drawn since.
            case.dice.setstate(state)
            found = one(yard, case, name, fault, call)
            case.dice.setstate(steps)
            total.add(case.tally(trials=int(found), hits=int(found)))
            if not found:
                return total
            call += step()
        raise RuntimeError(f"{name} makes more than {MOST} calls: {fault}")

    return act


def unfit(name: str) -> Callable[[Yard], str]:
    def why(yard: Yard) -> str:
        if name == "backup" and not has_backup(yard):
            return "this imgctl has no `ledger backup`"
        return no_shim(yard)

    return why


# Deeds that come in several forms are tried in each of them: more rounds over the list of faults.
ROUNDS = {"append": 2, "import": 3, "repair": 3, "refresh": 2}
KINDS = [Kind(f"fault.{name}", len(FAULTS) * ROUNDS.get(name, 1), 4, of(name), unfit(name)) for name in DEEDS]
