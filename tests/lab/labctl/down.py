"""Stop a lab and remove its directory; also one that is half started or half gone."""

import argparse
import shutil
import sys
from pathlib import Path

from labctl import places, processes


def stop(lab: Path) -> bool:
    parent = places.read(lab / places.SUPERVISOR)
    state = places.read(lab / places.STATE)
    if parent:
        processes.stop(parent["pid"], parent["start"])
    # Normally gone with their parent; where the kernel cannot do that, they are ended here.
    for child in (state or {}).get("children", {}).values():
        processes.stop(child["pid"], child["start"])
    known = lab.is_dir()
    if known and not looks_like_a_lab(lab):
        raise SystemExit(f"lab down: {lab} is not a lab's directory; it is left alone")
    shutil.rmtree(lab, ignore_errors=True)
    lab.with_name(f".{lab.name}.lock").unlink(missing_ok=True)
    return known or parent is not None


def looks_like_a_lab(lab: Path) -> bool:
    names = {path.name for path in lab.iterdir()}
    return not names or bool(names & {places.SUPERVISOR, places.STATE, "supervisor.log"})


def main() -> int:
    parser = argparse.ArgumentParser(prog="down", description="Stop the lab and remove its directory.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--dir", help="the lab to stop (default: $IMGCTL_LAB, else tests/lab/.run/default)")
    which.add_argument("--all", action="store_true", help="every lab started from this checkout")
    options = parser.parse_args()
    labs = places.all_labs() if options.all else [places.directory(options.dir)]
    for lab in labs:
        print(f"lab: {'stopped' if stop(lab) else 'was not running:'} {lab}", file=sys.stderr)
    if options.all:
        shutil.rmtree(places.RUN, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
