//! Backup: the journal's files copied while writers run. Sealed segments never change, so each is copied once.

use super::files::{io, write_whole};
use super::journal::{self, Journal};
use super::known::{Known, damaged};
use super::lock::Lock;
use super::prove;
use super::segments::{self, Part, Seal};
use super::{DiskStore, StoreError, index, view};
use crate::model::{Entry, Head, Seq};
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, copy};
use std::path::Path;
use std::time::Duration;

/// How long a backup waits for another one into the same directory.
const PATIENCE: Duration = Duration::from_secs(10);
/// What was the head when the last backup ended, in the form that `ledger verify --against` takes.
const HEAD: &str = "head";

/// What a backup came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    pub head: Head,
    /// Sealed segments that were copied now, and that were there.
    pub copied: u64,
    pub kept: u64,
    pub bytes: u64,
}

impl DiskStore {
    /// Copies the journal into `to`, up to the entry that is the newest now. Takes no lock of the ledger: writers go on.
    /// `progress` hears of bytes: done, of all.
    ///
    /// What is there must be an earlier state of this ledger; only what is not there yet is copied. The copy has a
    /// ledger's own layout, without index and view, which imgctl makes when it opens it.
    pub fn backup(&self, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<BackedUp, StoreError> {
        let known = self.shared.known()?;
        fs::create_dir_all(to).map_err(io("create", to))?;
        let _lock = Lock::take(to, PATIENCE)?;
        self.is_earlier(to)?;
        let total = known.end.offset;
        let mut done = BackedUp { head: known.end.head(), copied: 0, kept: 0, bytes: 0 };
        for pair in known.journal.parts().windows(2) {
            let [part, next] = pair else { continue };
            let copied = segment(&known.journal, part, next.begin, to)?;
            if copied {
                done.copied += 1;
                done.bytes += next.begin - part.begin;
            } else {
                done.kept += 1;
            }
            progress(next.begin, total);
        }
        done.bytes += active(&known, to)?;
        progress(total, total);
        let text = format!("{}:{}\n", done.head.seq, done.head.hash);
        let path = to.join(HEAD);
        write_whole(&path, |out| out.write_all(text.as_bytes()).map_err(io("write", &path)), || Ok(()))?;
        Ok(done)
    }

    /// That the backup in `to`, if there is one, is of this ledger.
    fn is_earlier(&self, to: &Path) -> Result<(), StoreError> {
        let Some(head) = noted(to)? else { return Ok(()) };
        let other = || StoreError::OtherBackup { dir: to.to_path_buf(), seq: head.seq };
        let view = self.shared.view()?;
        let entry = view.entry(head.seq)?;
        if entry.is_some_and(|entry| entry.hash == head.hash) { Ok(()) } else { Err(other()) }
    }
}

/// What the backup in this directory ended at; `None`: it is a ledger's own, or a backup that somebody writes to by now.
pub(super) fn head_of(dir: &Path) -> Result<Option<Head>, StoreError> {
    if !dir.join(HEAD).exists() || index::path(dir).exists() || view::path(dir).exists() {
        return Ok(None);
    }
    noted(dir)
}

/// What the last backup into this directory ended at; of one that never ended, its first entry.
fn noted(to: &Path) -> Result<Option<Head>, StoreError> {
    let path = to.join(HEAD);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let (seq, hash) = text.trim().split_once(':').unwrap_or_default();
            let unreadable =
                || StoreError::Damaged { what: "it is no head".to_owned(), file: path.clone(), offset: None };
            let seq = seq.parse().map_err(|_| unreadable())?;
            Ok(Some(Head { seq: Seq(seq), hash: hash.parse().map_err(|_| unreadable())? }))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let Some(journal) = Journal::open(to, false)? else { return Ok(None) };
            let first = journal.lines(0, journal.len()?).next_line()?.and_then(|line| line.entry().ok());
            Ok(first.map(|Entry { seq, hash, .. }| Head { seq, hash }))
        }
        Err(error) => Err(io("read", &path)(error)),
    }
}

/// Copies one segment with its seal, unless it is there; says whether it did.
fn segment(journal: &Journal, part: &Part, end: u64, to: &Path) -> Result<bool, StoreError> {
    let seal = match part.seal() {
        Some(seal) => seal,
        None => segments::describe(journal, part, end)?,
    };
    let copy = Part::sealed(to, part.begin);
    if is_there(&copy, &seal) {
        return Ok(false);
    }
    let segments = segments::path(to);
    fs::create_dir_all(&segments).map_err(io("create", &segments))?;
    write_whole(
        &copy.path,
        |out| std::io::copy(&mut journal.raw(part.begin, end), out).map(drop).map_err(io("write", &copy.path)),
        || Ok(()),
    )?;
    if segments::digest(&copy)? != seal.digest {
        let what = "the segment is not as it was sealed".to_owned();
        return Err(StoreError::Damaged { what, file: part.path.clone(), offset: None });
    }
    segments::write_seal(&copy, &seal)?;
    Ok(true)
}

/// Written in full, or it would not have its seal.
fn is_there(copy: &Part, seal: &Seal) -> bool {
    copy.seal().as_ref() == Some(seal) && fs::metadata(&copy.path).is_ok_and(|file| file.len() == seal.bytes)
}

/// Copies the end of the chain, as long as it is known to be good. It takes the place of the one before: what is damaged must
/// not take the place of what is whole.
fn active(known: &Known, to: &Path) -> Result<u64, StoreError> {
    let begin = known.journal.parts().last().map_or(0, |part| part.begin);
    if let Some(part) = known.journal.parts().last() {
        let proved = prove::part(&known.journal, part, known.end.offset, None, &|_| ())?;
        if let Some(what) = proved.broken {
            return Err(damaged(&known.journal, &proved.end, what));
        }
    }
    let path = journal::path(to);
    let mut bytes = 0;
    write_whole(
        &path,
        |out| {
            bytes = copy(&mut known.journal.raw(begin, known.end.offset), out).map_err(io("write", &path))?;
            Ok(())
        },
        || Ok(()),
    )?;
    Ok(bytes)
}

/// The lines of a backup, or of a ledger's own directory, oldest first: what `import` takes.
pub fn read_backup(dir: &Path) -> Result<impl BufRead + use<>, StoreError> {
    let missing = || StoreError::Missing { dir: dir.to_path_buf() };
    let journal = Journal::open(dir, false)?.ok_or_else(missing)?;
    let end = journal.len()?;
    Ok(BufReader::with_capacity(1 << 18, journal.into_bytes(end)))
}

/// Bytes that own the files they come from.
struct Owned {
    journal: Journal,
    at: u64,
    end: u64,
}

impl Journal {
    fn into_bytes(self, end: u64) -> impl Read {
        Owned { journal: self, at: 0, end }
    }
}

impl Read for Owned {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.journal.raw(self.at, self.end).read(buffer)?;
        self.at += u64::try_from(read).unwrap_or(u64::MAX);
        Ok(read)
    }
}
