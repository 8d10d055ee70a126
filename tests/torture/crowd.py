"""A crowd: many writers and readers over one ledger at once, each a process of its own for every command."""

import threading
import time
from dataclasses import dataclass, field

from ledger import Answer
from report import Tally
from rule import Case, Known, exported, log_agrees, proved, sound_log
from yard import Kind, Yard

WRITERS, READERS = 16, 16
LONG, SHORT = 60.0, 2.5


@dataclass
class Seen:
    """What one member of the crowd was told. Each has a case of its own: they do not wait for each other."""

    case: Case
    acknowledged: dict[str, int] = field(default_factory=dict)
    reads: int = 0
    busy: int = 0
    head: int = 0


def write(seen: Seen, known: Known, name: str, until: float) -> None:
    number = 0
    while time.monotonic() < until:
        number += 1
        reason = f"writer-{name}-{number}-"
        answer = ask(seen, known, "hold", "web/prod", "--reason", reason)
        if answer.ok and answer.entry:
            seen.acknowledged[reason] = answer.entry


def read(seen: Seen, known: Known, until: float) -> None:
    while time.monotonic() < until:
        entries = sound_log(seen.case, known.imgctl)
        if entries:
            head = int(str(entries[0]["seq"]))
            if head < seen.head:
                seen.case.happened("silent", f"the head went back from {seen.head} to {head}")
            seen.head = max(head, seen.head)
        ask(seen, known, seen.case.dice.choice(("images", "status")))
        seen.reads += 2


def ask(seen: Seen, known: Known, *words: str) -> Answer:
    """Busy is an answer; any other refusal is not."""
    answer = seen.case.ask(known.imgctl, *words)
    if answer.code == 5:
        seen.busy += 1
    elif answer.refused:
        seen.case.happened("lost", f"refused, and not for being busy: {answer}")
    return answer


def act(yard: Yard, case: Case) -> Tally:
    known = yard.fresh(case)
    until = time.monotonic() + (SHORT if yard.short else LONG)
    crowd = [Seen(yard.case(case.kind, number, case.work)) for number in range(WRITERS + READERS)]
    threads = [
        threading.Thread(target=write, args=(seen, known, str(at), until)) if at < WRITERS
        else threading.Thread(target=read, args=(seen, known, until))
        for at, seen in enumerate(crowd)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    judge(case, known, crowd)
    for seen in crowd:
        for what, why in seen.case.found.items():
            case.happened(what, why)
    reads, writes = sum(seen.reads for seen in crowd), sum(len(seen.acknowledged) for seen in crowd)
    case.note(f"{writes} entries, {reads} reads, {sum(seen.busy for seen in crowd)} times busy")
    return case.tally(trials=reads + writes, hits=writes)


def judge(case: Case, known: Known, crowd: list[Seen]) -> None:
    """Each acknowledged entry is in the chain once, where it was said to be."""
    proved(case, known.imgctl)
    lines = exported(case, known.imgctl) or []
    if lines[: len(known.lines)] != known.lines:
        case.happened("lost", "what was there before is not")
    places: dict[str, list[int]] = {}
    for number, line in enumerate(lines, 1):
        if '"reason":"writer-' in line:
            places.setdefault(line.split('"reason":"')[1].split('"')[0], []).append(number)
    for reason, entry in (pair for seen in crowd for pair in seen.acknowledged.items()):
        if places.get(reason) != [entry]:
            case.happened("lost", f"{reason} was acknowledged as entry {entry} and is at {places.get(reason)}")
    log_agrees(case, known.imgctl, lines)


KINDS = [Kind("crowd", 1, 1, act, alone=True)]
