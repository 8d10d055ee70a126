"""What all trials start from: the binary, the shim, ledgers to be copied, and how long commands take."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from history import CHANNELS, History
from ledger import Answer, Imgctl
from report import Tally
from rule import Case, Known, scratch
from shim import Shim

# How many entries the ledger that is copied has, the history that is imported, and the ledger for damage: the end of a
# journal that a writer proves each time is short beside it.
ENTRIES, MORE, MANY, STAGES = 60, 130, 400, 5


@dataclass
class Yard:
    base: Path
    seed: str
    short: bool
    imgctl: Imgctl
    shim: Shim | None
    why_no_shim: str
    keep: Path
    known: Known = field(init=False)
    long: Known = field(init=False)
    history: History = field(init=False)
    # Seconds a command takes here, by its words.
    durations: dict[tuple[str, ...], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.history = History(self.seed).grow(MORE)
        self.history_file = self.base / "history.jsonl"
        self.history_file.write_text("\n".join(self.history.lines) + "\n", encoding="utf-8")
        self.layout = _layout(self.base / "layout")
        self.known = self._made("ledger", ENTRIES)
        self.long = self._made("long", MANY)

    def _made(self, name: str, entries: int) -> Known:
        """A ledger that has grown in stages: where it can be cut into segments, it was."""
        history, file = History(self.seed).grow(entries), self.base / f"{name}.jsonl"
        imgctl, length = self.imgctl.over(self.base / name), len(history.lines)
        for stage in range(1, STAGES + 1):
            file.write_text("\n".join(history.lines[: length * stage // STAGES]) + "\n", encoding="utf-8")
            needed(imgctl.run("ledger", "import", str(file)))
        # Whatever is derived is there, and is as old as the entries.
        for words in (["log"], ["images"], ["ledger", "verify"]):
            needed(imgctl.run(*words))
        return Known(imgctl, history.lines)

    def case(self, kind: str, number: int, work: Path) -> Case:
        return Case(kind, number, random.Random(f"{self.seed}/{kind}/{number}"), work, self.imgctl)

    def trial(self, kind: str, number: int, act: "Trial") -> Tally:
        """Runs one trial in a directory of its own, which is kept when the rule was broken."""
        with scratch(self.base / "trials", f"{kind}-{number}") as work:
            case = self.case(kind, number, work)
            tally = act(self, case)
            if tally.bad:
                kept = self.keep / f"{kind}-{number}"
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(work, kept, symlinks=True)
                (kept / "told.txt").write_text("\n".join(case.told) + "\n", encoding="utf-8")
            return tally

    def fresh(self, case: Case) -> Known:
        """The usual ledger, for this trial alone."""
        return self.known.copy(case.work / "ledger")


Trial = Callable[[Yard, Case], Tally]


@dataclass(frozen=True)
class Kind:
    """One kind of fault. `full` and `short` are how many trials there are."""

    name: str
    full: int
    short: int
    act: Trial
    # A reason why it cannot be tried on this machine, or with this ledger.
    unfit: Callable[[Yard], str] = lambda yard: ""
    # It needs the whole machine.
    alone: bool = False


def no_shim(yard: Yard) -> str:
    return yard.why_no_shim


def needed(answer: Answer) -> Answer:
    """What must work before anything is broken."""
    if not answer.ok:
        raise SystemExit(f"torture: before anything was broken: {answer}")
    return answer


def config(base: Path) -> Path:
    file = base / "imgctl.toml"
    file.write_text("".join(f"[channels.{channel.replace('/', '.')}]\n" for channel in CHANNELS), encoding="utf-8")
    return file


def _layout(path: Path) -> Path:
    """An OCI layout with one image, which is recorded without asking a registry."""
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(document: object) -> dict[str, object]:
        data = json.dumps(document).encode()
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"digest": f"sha256:{name}", "size": len(data)}

    image = "application/vnd.oci.image"
    system = {"architecture": "amd64", "os": "linux"}
    config = put({**system, "config": {}, "rootfs": {"type": "layers", "diff_ids": []}})
    manifest = put({
        "schemaVersion": 2, "mediaType": f"{image}.manifest.v1+json", "layers": [],
        "config": {"mediaType": f"{image}.config.v1+json", **config},
    })
    manifest = {"mediaType": f"{image}.manifest.v1+json", "platform": system, **manifest}
    index = {"schemaVersion": 2, "mediaType": f"{image}.index.v1+json", "manifests": [manifest]}
    (path / "index.json").write_text(json.dumps(index), encoding="utf-8")
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
    return path
