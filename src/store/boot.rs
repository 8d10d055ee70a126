//! Whether the machine was started anew since the ledger was last written to. Only then may a write that nobody acknowledged
//! have holes: a process that dies leaves what it wrote from the front, and a power cut whichever pages were on the disk.

use std::fs;
use std::path::{Path, PathBuf};

/// Linux gives each start of a machine an id (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// A disk writes whole sectors, and nothing smaller.
const SECTOR: u64 = 512;

fn path(dir: &Path) -> PathBuf {
    dir.join("boot")
}

fn id() -> Option<String> {
    fs::read_to_string(BOOT_ID).ok()
}

/// Notes that it is written to from now on. The note is not flushed: after a power cut any older one, or none, says the same.
pub(super) fn note(dir: &Path) {
    if let Some(id) = id().filter(|_| is_same(dir) == Some(false)) {
        // What is lost with it is that a hole heals by itself.
        drop(fs::write(path(dir), id));
    }
}

/// Whether it runs since then; `None`: nobody can tell. A note that nobody has written is of another start.
pub(super) fn is_same(dir: &Path) -> Option<bool> {
    let id = id()?;
    Some(fs::read_to_string(path(dir)).is_ok_and(|noted| noted == id))
}

/// Whether these bytes, which were written from `begin` in their file on, are that but for sectors that never reached the
/// disk and read as zeros. What was there before ended at `begin`, be it within a sector.
pub(super) fn has_holes(bytes: &[u8], begin: u64, is_last: bool) -> bool {
    let at = |index: usize| begin + u64::try_from(index).unwrap_or(u64::MAX);
    let starts = |index: usize| at(index).is_multiple_of(SECTOR) || index == 0;
    let ends = |index: usize| at(index).is_multiple_of(SECTOR) || (is_last && index == bytes.len());
    let (mut holes, mut index) = (0, 0);
    for run in bytes.chunk_by(|a, b| (*a == 0) == (*b == 0)) {
        let end = index + run.len();
        if run.first() == Some(&0) {
            if !(starts(index) && ends(end)) {
                return false;
            }
            holes += 1;
        }
        index = end;
    }
    holes > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_whole_sectors_of_zeros() {
        let bytes = |zeros: std::ops::Range<usize>| {
            let mut bytes = vec![b'x'; 2000];
            bytes[zeros].fill(0);
            bytes
        };
        assert!(has_holes(&bytes(512..1024), 0, false));
        assert!(has_holes(&bytes(412..1948), 100, false));
        assert!(!has_holes(&bytes(512..1023), 0, false), "it ends within a sector");
        assert!(!has_holes(&bytes(511..1024), 0, false), "it begins within a sector");
        assert!(!has_holes(&bytes(0..0), 0, true), "there is none");
        assert!(has_holes(&bytes(0..412), 100, false), "the sector that the write began in");
        assert!(has_holes(&bytes(1024..2000), 0, true), "the file ends there");
        let mut two = bytes(512..1024);
        two[1500..1510].fill(0);
        assert!(!has_holes(&two, 0, false), "all of them are");
    }

    #[test]
    fn a_ledger_that_was_written_to_since_the_start_is_known() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(is_same(dir.path()), id().map(|_| false), "nobody has written yet");
        note(dir.path());
        assert_eq!(is_same(dir.path()), id().map(|_| true));
        fs::write(path(dir.path()), "another\n").unwrap();
        assert_eq!(is_same(dir.path()), id().map(|_| false));
    }
}
