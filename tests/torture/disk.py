"""A disk that forgets: from a log of writes, a directory that a machine could come back with.

Sure to survive is what was flushed: a file's bytes by fsync or fdatasync of that file, a name by fsync of its directory.
sync_file_range flushes nothing. What was not flushed survives in any of the ways that `Cut` names.
"""

import os
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PAGE, SECTOR = 4096, 512
HEADER = struct.Struct("<IIIIQQ")


@dataclass(frozen=True)
class Op:
    """One change, as shim.c logs it: C M (a name made), R L U (moved, linked, removed), W T (bytes), S D (flushed)."""

    kind: str
    inode: int
    offset: int
    first: bytes
    second: bytes

    @property
    def path(self) -> str:
        return os.fsdecode(self.first)

    @property
    def to(self) -> str:
        return os.fsdecode(self.second)


def read_log(file: Path) -> list[Op]:
    data, at, ops = file.read_bytes() if file.exists() else b"", 0, []
    while at < len(data):
        kind, first, second, _, inode, offset = HEADER.unpack_from(data, at)
        at += HEADER.size
        ops.append(Op(chr(kind), inode, offset, data[at : at + first], data[at + first : at + first + second]))
        at += first + second
    return ops


@dataclass(eq=False)
class File:
    durable: bytes = b""
    # Since the last flush: (offset, bytes), or (length, None) for a new length.
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def flush(self) -> None:
        self.durable = written(self.durable, self.pending)
        self.pending = []


@dataclass(eq=False)
class Directory:
    durable: dict[str, "Node"] = field(default_factory=dict)
    live: dict[str, "Node"] = field(default_factory=dict)


Node = File | Directory
# What one change does to names: set (or removed, when there is no node), all at once.
Names = list[tuple[Directory, str, Node | None]]


def written(data: bytes, writes: list[tuple[int, bytes | None]]) -> bytes:
    if not writes:
        return data
    out = bytearray(data)
    for offset, more in writes:
        end = offset if more is None else offset + len(more)
        if len(out) < end:
            out.extend(bytes(end - len(out)))
        if more is None:
            del out[offset:]
        else:
            out[offset:end] = more
    return bytes(out)


class Disk:
    """A directory with everything that is pending in it. `flushes=False` is a disk that only says that it flushes."""

    def __init__(self, root: Path, flushes: bool = True) -> None:
        self.root, self.flushes = str(root), flushes
        self.top = Directory()
        self.inodes: dict[int, Node] = {os.stat(root).st_ino: self.top}
        self.pending: list[Names] = []
        self._take_in(root, self.top)

    def _take_in(self, path: Path, directory: Directory) -> None:
        """What is there at the beginning is durable."""
        for entry in os.scandir(path):
            node: Node = Directory() if entry.is_dir() else File(Path(entry.path).read_bytes())
            known = self.inodes.setdefault(entry.inode(), node)
            directory.durable[entry.name] = directory.live[entry.name] = known
            if isinstance(known, Directory):
                self._take_in(Path(entry.path), known)

    def _place(self, path: str) -> tuple[Directory, str]:
        relative = os.path.normpath(path)[len(self.root) :].strip("/")
        node: Node = self.top
        *way, name = relative.split("/")
        for part in way:
            assert isinstance(node, Directory)
            node = node.live[part]
        assert isinstance(node, Directory)
        return node, name

    def apply(self, op: Op) -> None:
        match op.kind:
            case "C" | "M":
                node: Node = File() if op.kind == "C" else Directory()
                self.inodes[op.inode] = node
                self._name([(*self._place(op.path), node)])
            case "R":
                (old, name), new = self._place(op.path), self._place(op.to)
                self._name([(*new, old.live[name]), (old, name, None)])
            case "L":
                old, name = self._place(op.path)
                self._name([(*self._place(op.to), old.live[name])])
            case "U":
                self._name([(*self._place(op.path), None)])
            case "W" | "T":
                file = self.inodes[op.inode]
                assert isinstance(file, File)
                file.pending.append((op.offset, op.first if op.kind == "W" else None))
            case _ if self.flushes:
                self._flush(self.inodes[op.inode])

    def _name(self, names: Names) -> None:
        for directory, name, node in names:
            _set(directory.live, name, node)
        self.pending.append(names)

    def _flush(self, node: Node) -> None:
        if isinstance(node, File):
            return node.flush()
        kept = []
        for names in self.pending:
            # A move between two directories lasts when both are flushed; until then it may have happened or not.
            if any(directory is not node for directory, _, _ in names):
                kept.append(names)
            else:
                for directory, name, child in names:
                    _set(directory.durable, name, child)
        self.pending = kept

    def write_live(self, to: Path) -> None:
        """The directory as it would be without a power cut."""
        _write(self.top, to, lambda directory: directory.live, lambda file: written(file.durable, file.pending))

    def write_after(self, to: Path, cut: "Cut") -> None:
        """The directory as the machine comes back with it."""
        names: dict[Directory, dict[str, Node]] = {}

        def of(directory: Directory) -> dict[str, Node]:
            return names.setdefault(directory, dict(directory.durable))

        for change in cut.names(self.pending):
            for directory, name, node in change:
                _set(of(directory), name, node)
        _write(self.top, to, of, cut.bytes_of)


def _set(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _write(
    directory: Directory, to: Path, names: Callable[[Directory], dict[str, Node]], content: Callable[[File], bytes]
) -> None:
    to.mkdir(exist_ok=True)
    for name, node in names(directory).items():
        if isinstance(node, Directory):
            _write(node, to / name, names, content)
        else:
            (to / name).write_bytes(content(node))


class Cut:
    """How one power cut treats what was not flushed: drawn once for names, and for each file."""

    HOW = ("none", "all", "prefix", "pages", "torn")

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        # Half of the cuts treat every file alike, as one device would; the others mix.
        self.how = dice.choice((*self.HOW, "mixed", "mixed", "mixed", "mixed", "mixed"))
        self.names_how = dice.choice(("none", "all", "prefix", "any", "any"))
        self._done: dict[int, bytes] = {}

    def __str__(self) -> str:
        return f"bytes: {self.how}, names: {self.names_how}"

    def names(self, pending: list[Names]) -> list[Names]:
        match self.names_how:
            case "none":
                return []
            case "all":
                return pending
            case "prefix":
                return pending[: self.dice.randint(0, len(pending))]
            case _:
                return [names for names in pending if self.dice.random() < 0.5]

    def bytes_of(self, file: File) -> bytes:
        # A file with two names is one file.
        if id(file) not in self._done:
            how = self.dice.choice(self.HOW) if self.how == "mixed" else self.how
            self._done[id(file)] = getattr(self, how)(file) if file.pending else file.durable
        return self._done[id(file)]

    def none(self, file: File) -> bytes:
        return file.durable

    def all(self, file: File) -> bytes:
        return written(file.durable, file.pending)

    def prefix(self, file: File) -> bytes:
        return written(file.durable, file.pending[: self.dice.randint(0, len(file.pending))])

    def torn(self, file: File) -> bytes:
        """The writes before one of them, and that one up to the middle of a sector."""
        at = self.dice.randrange(len(file.pending))
        before, (offset, data) = file.pending[:at], file.pending[at]
        if data is None:
            return written(file.durable, before)
        sectors = self.dice.randint(0, len(data) // SECTOR) * SECTOR
        keep = min(len(data), sectors + self.dice.randrange(SECTOR))
        return written(file.durable, [*before, (offset, data[:keep])])

    def pages(self, file: File) -> bytes:
        """Each page that was written comes back new or old, and the length is one that the file had."""
        new = written(file.durable, file.pending)
        lengths = [len(file.durable), len(new)]
        at = len(file.durable)
        for offset, data in file.pending:
            at = offset if data is None else max(at, offset + len(data))
            lengths.append(at)
        length = self.dice.choice(lengths)
        old = file.durable[:length].ljust(length, b"\0")
        out = bytearray(old)
        for page in range(0, length, PAGE):
            if self.dice.random() < 0.5:
                part = new[page : min(page + PAGE, length)]
                out[page : page + len(part)] = part
        return bytes(out)
