"""kill -9 at random moments of a command's real duration."""

import shutil

from deeds import DEEDS, Deed, append
from report import Tally
from rule import Case
from yard import Kind, Trial, Yard

# Deaths in one trial. Appends meet what earlier deaths left behind in the same ledger.
DEATHS = 5
# A command that always ends before it is killed is given up as unkillable.
TRIES = 40


def duration(yard: Yard, case: Case, deed: Deed) -> float:
    """How long such a command takes here; measured on a twin, and remembered."""
    key = deed.words[:2] if deed.words[0] == "ledger" else deed.words[:1]
    if key not in yard.durations:
        ledger, other = deed.known.imgctl.ledger, case.work / "twin"
        if ledger.exists():
            shutil.copytree(ledger, other)
        yard.durations[key] = deed.known.imgctl.over(other).how_long(*deed.words)
        shutil.rmtree(other, ignore_errors=True)
    return yard.durations[key]


def killed(yard: Yard, case: Case, deed: Deed) -> tuple[bool, int]:
    """Runs it and kills it; whether the ledger lives on, and whether the command died of it."""
    after = case.dice.random() * duration(yard, case, deed) * 1.1
    answer = deed.known.imgctl.run_and_kill(after, *deed.words)
    case.note(f"killed after {after * 1000:.1f} ms" if answer.killed else "not killed in time")
    case.weigh(answer)
    return deed.lives_on(case, answer), int(answer.killed)


def of(name: str) -> Trial:
    def act(yard: Yard, case: Case) -> Tally:
        total = Tally()
        deed = DEEDS[name](yard, case)
        for _ in range(TRIES):
            alive, died = killed(yard, case, deed)
            total.add(case.tally(trials=died, hits=died))
            if total.hits == DEATHS or not alive:
                break
            deed = append(yard, case, deed.known) if name == "append" else again(yard, case, name)
        return total

    return act


def again(yard: Yard, case: Case, name: str) -> Deed:
    """The same deed over a new ledger."""
    for path in case.work.iterdir():
        shutil.rmtree(path)
    return DEEDS[name](yard, case)


KINDS = [
    Kind("kill.append", 40, 2, of("append")),
    Kind("kill.import", 20, 1, of("import")),
    Kind("kill.repair", 20, 1, of("repair")),
    Kind("kill.refresh", 20, 1, of("refresh")),
    Kind("kill.init", 20, 1, of("init")),
]
