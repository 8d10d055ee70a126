"""The torture of a ledger: every kind of fault a machine has, tried on the real binary, with counts."""

import argparse
import multiprocessing
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

import report
from ledger import Imgctl
from report import Tally
from shim import compiled
from yard import Kind, Yard, config

import clock
import crowd
import damage
import faults
import kills
import power
import ruin
import stopped

PROJECT = Path(__file__).resolve().parents[2]
KINDS: list[Kind] = [
    *kills.KINDS, *power.KINDS, *damage.KINDS, *ruin.KINDS, *faults.KINDS, *crowd.KINDS, *stopped.KINDS,
    *clock.KINDS,
]
WORKERS = 2


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/torture/run", description=__doc__)
    parser.add_argument("--binary", type=Path, help="the imgctl to torture; without it, the debug build")
    parser.add_argument("--seed", help="the same seed makes the same trials; without it the long form draws one")
    parser.add_argument("--kind", action="append", default=[], metavar="NAME", help="only kinds that begin with this")
    parser.add_argument("--trials", type=int, metavar="N", help="so many trials of each kind")
    parser.add_argument("--only", type=int, metavar="N", help="only the trial with this number, to see it again")
    parser.add_argument("--short", action="store_true", help="a minute of one core instead of a quarter of an hour")
    parser.add_argument("--said", action="store_true", help="show in which words it was refused or mended")
    parser.add_argument("--list", action="store_true", help="name the kinds and end")
    options = parser.parse_args()
    # A test that runs with every change must not fail today for what was drawn today.
    options.seed = options.seed or ("short" if options.short else secrets.token_hex(4))
    return options


def built() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR") or PROJECT / "target") / "debug" / "imgctl"


# Handed to the workers by fork: a yard is large, and never changes.
_yard: Yard | None = None


def _trial(job: tuple[int, int]) -> Tally:
    kind, number = job
    assert _yard is not None
    return _yard.trial(KINDS[kind].name, number, KINDS[kind].act)


def run(yard: Yard, wanted: list[int], options: argparse.Namespace) -> dict[str, Tally]:
    global _yard
    _yard = yard
    tallies: dict[str, Tally] = {}
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        for at in wanted:
            kind = KINDS[at]
            tally = tallies[kind.name] = Tally(skipped=kind.unfit(yard))
            count = 0 if tally.skipped else options.trials or (kind.short if options.short else kind.full)
            numbers = range(count) if options.only is None else [options.only] if count else []
            began = time.monotonic()
            jobs = [(at, number) for number in numbers]
            for done, one in enumerate(map(_trial, jobs) if kind.alone else pool.imap_unordered(_trial, jobs), 1):
                tally.add(one)
                if one.failures:
                    print("\n".join(one.failures), flush=True)
                progress(f"{kind.name}: {done} of {len(jobs)}")
            progress("")
            print(said(kind, tally, time.monotonic() - began), flush=True)
            if options.said:
                print("\n".join(f"    {times:>5}  {words}" for words, times in sorted(tally.said.items())), flush=True)
    return tallies


def progress(words: str) -> None:
    """One line that is written over; nothing where nobody watches."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + words)
        sys.stderr.flush()


def said(kind: Kind, tally: Tally, seconds: float) -> str:
    if tally.skipped:
        return f"{kind.name}: SKIPPED: {tally.skipped}"
    verdict = "BROKEN" if tally.bad else "held"
    return f"{kind.name}: {verdict} in {tally.trials} trials ({tally.hits} hits, {seconds:.1f} s)"


def tell_skipped(tallies: dict[str, Tally]) -> None:
    """`make test` says at its end what could not be tried on this machine."""
    file = os.environ.get("IMGCTL_TESTS_SKIPPED")
    if file:
        with open(file, "a", encoding="utf-8") as out:
            out.writelines(f"torture {kind}: {tally.skipped}\n" for kind, tally in tallies.items() if tally.skipped)


def main() -> int:
    options = arguments()
    wanted = [
        at for at, kind in enumerate(KINDS)
        if not options.kind or any(kind.name.startswith(name) for name in options.kind)
    ]
    if options.list or not wanted:
        print("\n".join(kind.name for kind in KINDS))
        return 0 if options.list else 64
    binary = (options.binary or built()).resolve()
    if not binary.exists():
        print(f"torture: there is no {binary}; build it: cargo build", file=sys.stderr)
        return 3
    base = Path(tempfile.mkdtemp(prefix="imgctl-torture-")).resolve()
    try:
        shim, why = compiled(base)
        keep = PROJECT / "target" / "torture" / options.seed
        shutil.rmtree(keep, ignore_errors=True)
        print(f"torture of {binary.name}, seed {options.seed}{', short' if options.short else ''}", flush=True)
        imgctl = Imgctl(binary, base / "none", config(base))
        yard = Yard(base, options.seed, options.short, imgctl, shim, why, keep)
        tallies = run(yard, wanted, options)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    name = "torture.short.json" if options.short else "torture.json"
    facts = {"seed": options.seed, "short": options.short}
    if not options.kind and options.only is None:
        report.write(PROJECT / "target" / "bench" / name, tallies, facts)
    print("\n" + report.table(tallies))
    tell_skipped(tallies)
    bad = [kind for kind, tally in tallies.items() if tally.bad]
    for kind in bad:
        print(f"see it again: tests/torture/run --seed {options.seed} --kind {kind}")
    if bad:
        print(f"what was left of them is in target/torture/{options.seed}")
    skipped = sum(1 for tally in tallies.values() if tally.skipped)
    print(f"torture: {len(tallies) - len(bad) - skipped} kinds held, {len(bad)} broken, {skipped} skipped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
