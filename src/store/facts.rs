//! Facts beside the ledger: what never changes once a cloud has said it, so that it is asked once ever.
//!
//! A cache and no more: it may be deleted at any time. Each line has a checksum, and one that does not fit is as if it
//! were not there. It is replaced as a whole, by rename, so readers need no lock and no right to write.

use crate::model::Facts;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Its first line. Another one is of another imgctl, and begun anew.
const HEAD: &str = "imgctl facts 1";
/// More than the facts of 50,000 targets; a file that somebody made longer is not read.
const MOST_BYTES: usize = 16 << 20;
const MOST_FACTS: usize = 100_000;

/// The facts of one ledger's directory. Read when the first is asked for; what is new is written when it is dropped.
#[derive(Debug)]
pub struct FactFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the file said; `None` before it was read.
    kept: Option<BTreeMap<String, String>>,
    /// What it does not say yet.
    new: BTreeMap<String, String>,
    /// What this process needed of that: kept before what it did not, when there is too much.
    asked: BTreeSet<String>,
}

impl FactFile {
    /// Beside the ledger in this directory. Touches no disk.
    pub fn beside(ledger: &Path) -> Self {
        Self { path: ledger.join("facts"), state: Mutex::default() }
    }

    /// Writes what is new. Whatever keeps it from being written (no right to, no room, another process at it) costs the
    /// next run a question, and this one nothing.
    pub fn save(&self) {
        let mut state = self.lock();
        if !state.new.is_empty() {
            let written = write(&self.path, &state.new, &state.asked);
            if let Err(error) = written {
                tracing::debug!("the facts in {} were not written: {error}", self.path.display());
            }
            let new = std::mem::take(&mut state.new);
            state.kept.get_or_insert_default().extend(new);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts for FactFile {
    fn get(&self, key: &str) -> Option<String> {
        let mut state = self.lock();
        let kept = state.kept.get_or_insert_with(|| read(&self.path).into_iter().collect());
        let found = kept.get(key).cloned();
        if found.is_some() {
            state.asked.insert(key.to_owned());
        }
        state.new.get(key).cloned().or(found)
    }

    fn keep(&self, key: &str, value: &str) {
        self.lock().new.insert(key.to_owned(), value.to_owned());
    }
}

impl Drop for FactFile {
    fn drop(&mut self) {
        self.save();
    }
}

/// The facts that are whole, in the order in which they were written. No file, no right to read it: no facts.
fn read(path: &Path) -> Vec<(String, String)> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    if read.is_err() {
        return Vec::new();
    }
    // A damaged byte may be no UTF-8: it costs its own line, and not the others.
    let mut lines = bytes.split(|byte| *byte == b'\n');
    if lines.next() != Some(HEAD.as_bytes()) {
        return Vec::new();
    }
    lines.filter_map(|line| fact(std::str::from_utf8(line).ok()?)).collect()
}

/// Reads `CHECKSUM ["KEY","VALUE"]`.
fn fact(line: &str) -> Option<(String, String)> {
    let (checksum, fact) = line.split_once(' ')?;
    let whole = u32::from_str_radix(checksum, 16).ok()? == crc32fast::hash(fact.as_bytes());
    if whole { serde_json::from_str(fact).ok() } else { None }
}

fn line(key: &str, value: &str) -> std::io::Result<String> {
    let fact = serde_json::to_string(&[key, value])?;
    Ok(format!("{:08x} {fact}\n", crc32fast::hash(fact.as_bytes())))
}

/// Joins what is new with what the file says by now, and puts it in place in one go. One line of it is in memory at a time.
fn write(path: &Path, new: &BTreeMap<String, String>, asked: &BTreeSet<String>) -> std::io::Result<()> {
    // Whoever is at it now is not waited for: what is not kept is asked again.
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.with_extension("lock"))?;
    lock.try_lock()?;
    let before = read(path);
    let others = || before.iter().map(|(key, value)| (key, value)).filter(|(key, _)| !new.contains_key(*key));
    let facts = || others().chain(new);
    let length = |(key, value): (&String, &String)| {
        let in_use = asked.contains(key) || new.contains_key(key);
        Ok((line(key, value)?.len(), in_use))
    };
    let lengths: Vec<(usize, bool)> = facts().map(length).collect::<std::io::Result<_>>()?;
    let stays = bounded(&lengths, MOST_FACTS, MOST_BYTES - HEAD.len() - 1);
    let under_way = path.with_extension("new");
    let mut file = BufWriter::new(File::create(&under_way)?);
    writeln!(file, "{HEAD}")?;
    for (_, (key, value)) in facts().enumerate().filter(|(at, _)| stays.contains(at)) {
        file.write_all(line(key, value)?.as_bytes())?;
    }
    file.flush()?;
    // Without fsync: what a power cut leaves of it does not pass its checksums.
    fs::rename(&under_way, path)
}

/// Which lines stay, told by their lengths and whether they are in use: of too many, the newest of those that are and then
/// the newest of the others.
fn bounded(lines: &[(usize, bool)], most: usize, bytes: usize) -> BTreeSet<usize> {
    let mut by_worth: Vec<(usize, &(usize, bool))> = lines.iter().enumerate().collect();
    by_worth.sort_by_key(|(at, (_, in_use))| (std::cmp::Reverse(*in_use), std::cmp::Reverse(*at)));
    let mut room = bytes;
    let fits = |(at, (length, _)): (usize, &(usize, bool))| {
        room = room.checked_sub(*length)?;
        Some(at)
    };
    by_worth.into_iter().take(most).map_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(dir: &Path, key: &str, value: &str) {
        FactFile::beside(dir).keep(key, value);
    }

    fn got(dir: &Path, key: &str) -> Option<String> {
        FactFile::beside(dir).get(key)
    }

    #[test]
    fn a_fact_is_there_in_the_next_run_and_at_once_in_this_one() {
        let dir = tempfile::tempdir().unwrap();
        let facts = FactFile::beside(dir.path());
        assert_eq!(facts.get("a"), None);
        facts.keep("a", "one\ntwo \"three\" ü");
        assert_eq!(facts.get("a").as_deref(), Some("one\ntwo \"three\" ü"));
        drop(facts);
        assert_eq!(got(dir.path(), "a").as_deref(), Some("one\ntwo \"three\" ü"));
        keep(dir.path(), "a", "four");
        assert_eq!(got(dir.path(), "a").as_deref(), Some("four"), "the newest counts");
    }

    #[test]
    fn what_is_only_read_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(got(dir.path(), "a"), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn two_at_once_lose_nothing_that_either_has_written() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (FactFile::beside(dir.path()), FactFile::beside(dir.path()));
        assert_eq!((one.get("b"), two.get("a")), (None, None), "both have read the empty file");
        one.keep("a", "1");
        two.keep("b", "2");
        drop((one, two));
        assert_eq!((got(dir.path(), "a").as_deref(), got(dir.path(), "b").as_deref()), (Some("1"), Some("2")));
    }

    #[test]
    fn no_damaged_byte_makes_a_fact_that_was_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        keep(dir.path(), "a", "1");
        keep(dir.path(), "b", "2");
        let whole = fs::read(dir.path().join("facts")).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x41;
            fs::write(dir.path().join("facts"), &damaged).unwrap();
            for (key, value) in [("a", "1"), ("b", "2")] {
                assert!(got(dir.path(), key).is_none_or(|got| got == value), "byte {at}");
            }
            fs::write(dir.path().join("facts"), &whole[..at]).unwrap();
            assert!(got(dir.path(), "a").is_none_or(|got| got == "1"), "cut at {at}");
        }
        fs::write(dir.path().join("facts"), [&whole[..], b"\xff\xfe no line of ours"].concat()).unwrap();
        keep(dir.path(), "c", "3");
        for (key, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
            assert_eq!(got(dir.path(), key).as_deref(), Some(value), "what is whole outlives what is not");
        }
    }

    #[test]
    fn what_cannot_be_written_fails_nobody() {
        let dir = tempfile::tempdir().unwrap();
        keep(&dir.path().join("nowhere"), "a", "1");
        fs::create_dir(dir.path().join("facts.new")).unwrap();
        let facts = FactFile::beside(dir.path());
        facts.keep("a", "1");
        facts.save();
        assert_eq!(facts.get("a").as_deref(), Some("1"), "this run still knows it");
        assert_eq!(got(dir.path(), "a"), None);
    }

    #[test]
    fn of_too_many_facts_those_in_use_and_the_newest_stay() {
        let lines = [true, false, true, false].map(|in_use| (1, in_use));
        assert_eq!(bounded(&lines, 4, 4), [0, 1, 2, 3].into());
        assert_eq!(bounded(&lines, 3, 4), [0, 2, 3].into());
        assert_eq!(bounded(&lines, 4, 1), [2].into());
    }
}
