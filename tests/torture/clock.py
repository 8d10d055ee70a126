"""A wall clock that goes back: entries are ordered by their number, and nothing is refused or lost."""

from history import broken
from report import Tally
from rule import CHANNEL, Case, exported, log_agrees, proved, sound_log
from yard import Kind, Yard, no_shim

HOUR, DAY, YEAR = 3600, 86400, 31_557_600
# Seconds between the clock and the truth: a leap, a time zone set wrong, a battery that is empty, a wild value.
STEPS = (0, -1, -HOUR, -DAY, -YEAR, -30 * YEAR, -56 * YEAR, -70 * YEAR, HOUR, 100 * YEAR)
APPENDS = 5


def act(yard: Yard, case: Case) -> Tally:
    assert yard.shim is not None
    known = yard.fresh(case)
    wrong = [case.dice.choice(STEPS) for _ in range(APPENDS)]
    # At least once it goes back.
    wrong[-1] = min(wrong) - HOUR
    for number, seconds in enumerate(wrong, len(known.lines) + 1):
        case.note(f"-- the clock is wrong by {seconds} s")
        late = known.imgctl.with_environment(yard.shim.environment(case.work, clock=str(seconds)))
        answer = case.ask(late, "hold", CHANNEL, "--reason", case.reason())
        if not answer.ok or answer.entry != number:
            case.happened("lost", f"entry {number} was not written: {answer}")
            return case.tally()
        sound_log(case, late)
    proved(case, known.imgctl)
    lines = exported(case, known.imgctl) or []
    if broken(lines) or lines[: len(known.lines)] != known.lines or len(lines) != len(known.lines) + APPENDS:
        case.happened("lost", "the export is not the chain that was acknowledged")
    log_agrees(case, known.imgctl, lines)
    moved(case, yard, lines)
    return case.tally(hits=sum(later < sooner for sooner, later in zip(wrong, wrong[1:])))


def moved(case: Case, yard: Yard, lines: list[str]) -> None:
    """Such a history can be imported."""
    file = case.work / "export.jsonl"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    other = yard.imgctl.over(case.work / "other")
    if not case.ask(other, "ledger", "import", str(file)).ok or exported(case, other) != lines:
        case.happened("lost", "a history in which the clock went back cannot be imported")


KINDS = [Kind("clock.back", 40, 3, act, no_shim)]
