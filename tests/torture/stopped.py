"""A writer that stands still in the middle of its work: readers do not wait for it, writers only for so long."""

import signal
import time

from history import FIRST
from report import Tally
from rule import CHANNEL, Case, Known, lives_on
from yard import Kind, Yard, no_shim

# What a reader may take beside it, in seconds: it looks whether it can have the index, and then goes without.
READ_LIMIT = 5.0
# The exit code of a command that waited in vain.
BUSY = 5


def act(yard: Yard, case: Case) -> Tally:
    assert yard.shim is not None
    known = yard.fresh(case)
    fired, reason = case.work / "fired", case.reason()
    fault = f"{case.dice.choice(('write', 'sync'))}:{case.dice.randint(1, 3)}:stop:0"
    case.note(f"-- a hold is stopped at {fault}")
    over = yard.shim.environment(known.imgctl.ledger, fail=fault, fired=str(fired))
    writer = known.imgctl.with_environment(over).start("hold", CHANNEL, "--reason", reason)
    try:
        while not fired.exists() and writer.poll() is None:
            time.sleep(0.001)
        stands = fired.exists()
        reads(case, known)
        if stands and not yard.short:
            beside = case.ask(known.imgctl, "hold", "web/dev", "--reason", case.reason())
            # It may have come by where the other had let go of the lock.
            if beside.ok:
                known.lines = case.ask(known.imgctl, "ledger", "export").out.splitlines()
            elif beside.code != BUSY:
                case.happened("silent", f"a writer beside it is not told that the ledger is busy: {beside}")
    finally:
        writer.send_signal(signal.SIGCONT)
        out, err = writer.communicate(timeout=30)
    case.note(f"it goes on: exit {writer.returncode}: {out.strip()} {err.strip()}")
    if writer.returncode != 0:
        case.happened("lost", "a writer that stood still for a while has failed")
    lives_on(case, known, [reason], [])
    return case.tally(hits=int(stands))


def reads(case: Case, known: Known) -> None:
    for words in (("log", "-n", "3"), ("show", FIRST), ("images",)):
        began = time.monotonic()
        answer = case.ask(known.imgctl, *words)
        took = time.monotonic() - began
        if took > READ_LIMIT:
            case.happened("hangs", f"a read took {took:.1f} s beside a writer that stands still: {answer}")
        elif not answer.ok:
            case.happened("lost", f"a read does not answer beside a writer that stands still: {answer}")


KINDS = [Kind("stopped", 6, 2, act, no_shim)]
