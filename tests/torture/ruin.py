"""Damage to both copies at once: what neither has is said to be lost, what one of them has is never dropped."""

import json

from damage import ledger, spoil
from deeds import files
from history import broken
from report import Tally
from rule import ALL, Case, Known, exported, mend
from yard import Kind, Yard


def act(yard: Yard, case: Case) -> Tally:
    known = ledger(yard, case)
    place = known.imgctl.ledger
    journals = [kind for kind in ("journal", "segments") if files(place, kind)]
    derived = [kind for kind in ("index", "view") if files(place, kind)]
    for kind in (case.dice.choice(journals), *derived):
        spoil(case, place, kind)
    whole = whole_lines(known)
    true_log(case, known)
    repaired = mend(case, known.imgctl)
    verified = case.ask(known.imgctl, "ledger", "verify")
    lines = exported(case, known.imgctl) if verified.ok else None
    if verified.ok and lines is None:
        case.happened("silent", "verify is content, and it cannot be exported")
    if lines is not None:
        true_export(case, known, lines, whole)
    elif repaired.ok:
        case.happened("silent", f"repair said it was done, and verify does not agree: {verified}")
    true_log(case, known)
    return case.tally(hits=1)


def whole_lines(known: Known) -> list[int]:
    """The numbers of the entries whose lines the damage has left whole in the journal."""
    kept = [*files(known.imgctl.ledger, "segments"), *files(known.imgctl.ledger, "journal")]
    found = {line for path in kept for line in path.read_bytes().split(b"\n")}
    return [number for number, line in enumerate(known.lines, 1) if line.encode() in found]


def true_log(case: Case, known: Known) -> None:
    """What a read still shows is as it was written; it may show less, or nothing and an error."""
    answer = case.ask(known.imgctl, "log", "--json", *ALL)
    document = answer.document() if answer.ok else None
    if answer.ok and document is None:
        case.happened("silent", "the log is torn")
    for entry in document["entries"] if document else []:
        number = entry["seq"]
        if number > len(known.lines) or entry != json.loads(known.lines[number - 1]):
            case.happened("silent", f"the log shows an entry {number} that was never written")


def true_export(case: Case, known: Known, lines: list[str], whole: list[int]) -> None:
    wrong = broken(lines)
    if wrong or lines != known.lines[: len(lines)]:
        case.happened("silent", f"verify is content, and the export is not what was written: {wrong}")
    elif whole and whole[-1] > len(lines):
        # A chain cannot know of an end that both copies have lost; of this one the journal still had a line.
        case.happened("lost", f"{len(lines)} entries are left, though the journal still had entry {whole[-1]}")


KINDS = [Kind("damage.both", 200, 10, act)]
