"""The torture's own tests: a fault that is there is seen, and the disk forgets what it may and nothing else."""

import random
import subprocess
import tempfile
import unittest
from pathlib import Path

import report
from deeds import kind_of
from disk import Cut, Disk, File, Op, read_log, written
from history import History, broken
from ledger import Answer, Imgctl
from report import Tally
from rule import Case, Known, judged
from shim import compiled

NOWHERE = Imgctl(Path("/nonexistent"), Path("/nonexistent"), Path("/nonexistent"))
LINES = History("test").grow(30).lines


def case() -> Case:
    return Case("test", 0, random.Random(0), Path("/nonexistent"), NOWHERE)


def answer(code: int, err: str = "", out: str = "") -> Answer:
    return Answer(("log",), code, out, err)


class TheRule(unittest.TestCase):
    def found(
        self, lines: list[str], acknowledged: int = 30, tail: tuple[str, ...] = (), maybe: tuple[str, ...] = ()
    ) -> list[str]:
        tried = case()
        judged(tried, Known(NOWHERE, LINES[:acknowledged]), lines, list(maybe), list(tail))
        return sorted(tried.found)

    def test_what_was_acknowledged_and_is_there_is_right(self) -> None:
        self.assertEqual(self.found(LINES[:30]), [])

    def test_a_missing_end_is_lost(self) -> None:
        self.assertEqual(self.found(LINES[:29]), ["lost"])

    def test_another_entry_in_the_place_is_lost(self) -> None:
        self.assertEqual(self.found(History("other").grow(30).lines[:30]), ["lost"])

    def test_a_chain_that_does_not_hold_is_silent(self) -> None:
        for wrong in (LINES[:10] + LINES[11:30], [LINES[1], LINES[0], *LINES[2:30]], ["{}", *LINES[1:30]]):
            self.assertEqual(self.found(wrong), ["silent"])

    def test_an_entry_that_nobody_ordered_is_silent(self) -> None:
        self.assertEqual(self.found(LINES[:30], acknowledged=29), ["silent"])

    def test_an_entry_that_was_ordered_may_be_there(self) -> None:
        self.assertEqual(self.found(LINES[:30], acknowledged=29, maybe=(LINES[29][60:120],)), [])

    def test_what_follows_may_be_there_in_part_and_in_order(self) -> None:
        self.assertEqual(self.found(LINES[:28], acknowledged=25, tail=tuple(LINES[25:30])), [])
        self.assertEqual(broken([*LINES[:25], LINES[26]]), "line 26 is not entry 26 of the chain")

    def test_how_a_command_ends_is_counted(self) -> None:
        for ended, what in (
            (answer(0), []), (answer(1, "error: it is damaged"), ["refused"]), (answer(70, "error: a bug"), ["panics"]),
            (answer(-11), ["panics"]), (answer(1), ["silent"]), (answer(1, "thread 'main' panicked at"), ["panics"]),
            (Answer(("log",), -9, "", "", hung=True), ["hangs"]), (answer(0, "warning: mended"), ["repaired"]),
            (Answer(("log",), -9, "", "", killed=True), []), (answer(64, "error: usage"), ["silent"]),
        ):
            tried = case()
            tried.weigh(ended)
            self.assertEqual(sorted(tried.found), what, ended)


class TheDisk(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.base = Path(scratch.name).resolve()
        self.root = self.base / "root"
        self.root.mkdir()
        (self.root / "old").write_bytes(b"old")

    def disk(self, *ops: Op) -> Disk:
        disk = Disk(self.root)
        for op in ops:
            disk.apply(op)
        return disk

    def op(self, kind: str, inode: int = 0, offset: int = 0, first: bytes | str = b"", second: str = "") -> Op:
        path = isinstance(first, str) and f"{self.root}/{first}".rstrip("/").encode()
        return Op(kind, inode, offset, path or first, f"{self.root}/{second}".encode())  # type: ignore[arg-type]

    def after(self, disk: Disk, how: str, names: str) -> dict[str, bytes]:
        cut = Cut(random.Random(1))
        cut.how, cut.names_how = how, names
        to = Path(tempfile.mkdtemp(dir=self.base)) / "after"
        disk.write_after(to, cut)
        return {path.relative_to(to).as_posix(): path.read_bytes() for path in to.rglob("*") if path.is_file()}

    def test_a_name_lasts_when_its_directory_was_flushed(self) -> None:
        made = (self.op("C", 1000, first="new"), self.op("W", 1000, 0, b"bytes"), self.op("S", 1000))
        root = self.root.stat().st_ino
        self.assertEqual(self.after(self.disk(*made), "none", "none"), {"old": b"old"})
        self.assertEqual(self.after(self.disk(*made), "none", "all"), {"old": b"old", "new": b"bytes"})
        flushed = self.disk(*made, self.op("S", root))
        self.assertEqual(self.after(flushed, "none", "none"), {"old": b"old", "new": b"bytes"})

    def test_bytes_last_when_their_file_was_flushed(self) -> None:
        old = (self.root / "old").stat().st_ino
        disk = self.disk(self.op("W", old, 3, b"er"), self.op("D", old), self.op("W", old, 0, b"OLD"))
        self.assertEqual(self.after(disk, "none", "none"), {"old": b"older"})
        self.assertEqual(self.after(disk, "all", "none"), {"old": b"OLDer"})

    def test_a_move_happens_whole_or_not_at_all(self) -> None:
        disk = self.disk(self.op("C", 1000, first="new"), self.op("R", first="new", second="old"))
        seen = {tuple(sorted(self.after(disk, "none", how).items())) for how in ("none", "all")}
        self.assertEqual(seen, {(("old", b"old"),), (("old", b""),)})

    def test_a_disk_that_lies_flushes_nothing(self) -> None:
        old = (self.root / "old").stat().st_ino
        disk = Disk(self.root, flushes=False)
        for op in (self.op("W", old, 0, b"new"), self.op("S", old)):
            disk.apply(op)
        self.assertEqual(self.after(disk, "none", "none"), {"old": b"old"})

    def test_what_comes_back_is_made_of_old_and_new(self) -> None:
        file = File(b"a" * 10_000, [(0, b"b" * 12_000), (11_000, None), (500, b"c" * 700)])
        new = written(file.durable, file.pending)
        self.assertEqual((len(new), new[:501]), (11_000, b"b" * 500 + b"c"))
        seen = set()
        for seed in range(300):
            cut = Cut(random.Random(seed))
            back = cut.bytes_of(file)
            seen.add(back)
            self.assertIn(len(back), range(10_000, 12_001))
            self.assertLessEqual(set(back), set(b"abc\0"))
        self.assertGreater(len(seen), 20)
        self.assertIn(file.durable, seen)
        self.assertIn(new, seen)


class TheShim(unittest.TestCase):
    def test_the_log_makes_the_directory_and_the_nth_call_fails(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            base = Path(scratch).resolve()
            shim, why = compiled(base)
            if shim is None:
                self.skipTest(why)
            root = base / "root"
            root.mkdir()
            disk = Disk(root)
            script = "mkdir d; echo one > d/a; echo two >> d/a; mv d/a d/b; ln d/b c; rm d/b; echo x > c"
            over = shim.environment(root, log=str(base / "log"))
            subprocess.run(["sh", "-c", script], cwd=root, env={"PATH": "/usr/bin:/bin", **over}, check=True)
            for op in read_log(base / "log"):
                disk.apply(op)
            disk.write_live(base / "made")
            self.assertEqual((base / "made" / "c").read_bytes(), (root / "c").read_bytes())
            self.assertEqual(sorted(path.name for path in (base / "made").rglob("*")), ["c", "d"])
            full = shim.environment(root, fail="write:1:once:28", fired=str(base / "fired"))
            done = subprocess.run(["sh", "-c", "echo x > e"], cwd=root, env=full, capture_output=True)
            self.assertNotEqual(done.returncode, 0)
            self.assertTrue((base / "fired").exists())


class TheReport(unittest.TestCase):
    def test_it_fits_every_terminal_and_names_what_was_skipped(self) -> None:
        tallies = {"kill.append": Tally(trials=500, lost=1), "damage.view": Tally(skipped="this ledger has no view")}
        for width in (40, 60, 80, 120, 200):
            text = report.table(tallies, width)
            self.assertLessEqual(max(len(line) for line in text.splitlines()), width, text)
            self.assertIn("damage.view", text)
            self.assertIn("has no view", text.replace("\n   ", " "))

    def test_names_in_a_ledger_belong_to_one_kind(self) -> None:
        for name, kind in (
            ("journal.jsonl", "journal"), ("segments/0001.jsonl", "segments"), ("index/db", "index"), ("view", "view"),
            ("view.2/heads", "view"), ("lock", ""), ("journal.bad.1", ""), ("index.bad.1/db", ""), ("index.new/db", ""),
        ):
            self.assertEqual(kind_of(name), kind, name)


if __name__ == "__main__":
    unittest.main()
