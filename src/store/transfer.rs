//! Ledgers on their way: out as lines, and in again once the whole chain is proved.

use super::attach::{Attached, Trouble, catch_up};
use super::disk::Shared;
use super::files::{io, keep_replaced, name, set_aside, write_whole};
use super::index::{self, Index};
use super::journal::{self, End, Journal};
use super::records::{Position, entry_key};
use super::{DiskStore, StoreError};
use crate::model::{Entry, Head, Seq};
use std::io::{BufRead, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much is committed with one fdatasync.
const GROUP: usize = 4 << 20;

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    pub head: Head,
    /// Entries that were appended.
    pub added: u64,
    /// Entries that the ledger had already.
    pub skipped: u64,
}

impl DiskStore {
    /// Writes every entry as one line, oldest first. The chain is proved on the way; a damaged ledger is not exported.
    pub fn export(&self, out: &mut dyn Write) -> Result<Head, StoreError> {
        let journal = self.journal()?;
        let to = Path::new("the export");
        let walked = journal.walk(&Position::start(), journal.len()?, &mut |entry, _| {
            writeln!(out, "{}", entry.line()).map_err(io("write", to))
        })?;
        if let End::Damaged { what } = walked.end {
            return Err(super::attach::damaged(&journal, &walked.good, what));
        }
        out.flush().map_err(io("write", to))?;
        Ok(walked.good.head())
    }
}

/// Brings exported entries into the ledger in `dir`; where there is none, or one with nothing but its creation, the
/// import becomes the ledger.
///
/// The chain, and that the history is a possible one which goes on where the ledger ends, is proved before anything
/// is written. If the disk then fails in the middle, the entries written so far stay; importing again goes on there.
pub fn import(dir: &Path, wait: Duration, source: &mut dyn BufRead) -> Result<(DiskStore, Imported), StoreError> {
    let given = Given::read(source)?;
    given.prove()?;
    let shared = Shared::new(dir, wait);
    if !shared.exists() {
        shared.begin(|out| given.write(Position::start().seq, out))?;
        let head = given.head.clone();
        return Ok(given.imported(shared, Seq(0), head));
    }
    let lock = shared.lock()?;
    let attached = shared.attach_to_write()?;
    let head = attached.end.head();
    let had = if given.holds(&head)? || given.is_held(&attached)? {
        given.append(&attached)?;
        head.seq
    } else {
        let seq = given.fork(&attached)?;
        if head.seq > Seq(1) {
            return Err(StoreError::Fork { seq });
        }
        drop(attached);
        given.replace(&shared)?;
        Seq(0)
    };
    let head = shared.attach()?.end.head();
    drop(lock);
    Ok(given.imported(shared, had, head))
}

/// What was given, as a proved chain in a file of its own.
struct Given {
    chain: Journal,
    /// Where each entry's line ends.
    ends: Vec<u64>,
    head: Head,
}

impl Given {
    fn read(source: &mut dyn BufRead) -> Result<Self, StoreError> {
        let named = PathBuf::from("a temporary file");
        let file = tempfile::tempfile().map_err(io("create", &named))?;
        let mut spool = BufWriter::new(file.try_clone().map_err(io("create", &named))?);
        let (mut line, mut ends, mut head, mut number, mut offset) = (Vec::new(), Vec::new(), Head::empty(), 0, 0);
        while source.read_until(b'\n', &mut line).map_err(io("read", Path::new("the import")))? > 0 {
            number += 1;
            let entry = next(&line, &head).map_err(|why| StoreError::NotAChain { line: number, why })?;
            writeln!(spool, "{}", entry.line()).map_err(io("write", &named))?;
            offset += u64::try_from(entry.line().len()).unwrap_or(u64::MAX) + 1;
            ends.push(offset);
            head = Head { seq: entry.seq, hash: entry.hash };
            line.clear();
        }
        spool.flush().map_err(io("write", &named))?;
        if head.seq == Seq(0) {
            return Err(StoreError::NotAChain { line: 1, why: "there is no entry".to_owned() });
        }
        Ok(Self { chain: Journal::of(file, named), ends, head })
    }

    /// That the entries can have happened in this order: folded into an index that nobody will use.
    fn prove(&self) -> Result<(), StoreError> {
        let dir = tempfile::tempdir().map_err(io("create", Path::new("a temporary directory")))?;
        let open = Index::open(&dir.path().join("index"), Duration::from_secs(1));
        let index = open.map_err(|_| Trouble::Away.into_store())?;
        match catch_up(&index, &self.chain, &Position::start(), &mut |_| ()) {
            Ok(_) => Ok(()),
            Err(Trouble::Store(StoreError::Damaged { what, offset, .. })) => {
                let line = self.ends.partition_point(|end| offset.is_some_and(|offset| *end <= offset)) + 1;
                Err(StoreError::NotAChain { line: u64::try_from(line).unwrap_or(u64::MAX), why: what })
            }
            Err(trouble) => Err(trouble.into_store()),
        }
    }

    fn end(&self, seq: Seq) -> Option<u64> {
        let place = usize::try_from(seq.0).ok()?.checked_sub(1)?;
        self.ends.get(place).copied()
    }

    /// Whether the ledger's head is one of these entries: then so are all before it.
    fn holds(&self, head: &Head) -> Result<bool, StoreError> {
        let Some(offset) = self.end(head.seq) else { return Ok(false) };
        self.chain.joins(&Position { seq: head.seq, hash: head.hash.clone(), offset })
    }

    /// Whether the ledger has all of it, and more.
    fn is_held(&self, attached: &Attached) -> Result<bool, StoreError> {
        let line = attached.source.records().read(&entry_key(self.head.seq))?;
        Ok(line.is_some_and(|line| Entry::parse(&line).is_ok_and(|entry| entry.hash == self.head.hash)))
    }

    /// The first entry at which the ledger is another.
    fn fork(&self, attached: &Attached) -> Result<Seq, StoreError> {
        let mut lines = self.chain.lines(0, self.chain.len()?);
        let mut seq = Seq(1);
        while let Some(line) = lines.next_line()? {
            let ours = attached.source.records().read(&entry_key(seq))?;
            let ours = ours.and_then(|line| Entry::read(&line).ok());
            if line.entry().ok().map(|entry| entry.hash) != ours.map(|entry| entry.hash) {
                break;
            }
            seq = seq.next();
        }
        Ok(seq)
    }

    /// Calls with some lines at a time, from the entry after `seq` on.
    fn groups(&self, seq: Seq, each: &mut dyn FnMut(&str) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut lines = self.chain.lines(self.end(seq).unwrap_or(0), self.chain.len()?);
        let mut text = String::new();
        while let Some(line) = lines.next_line()? {
            // Each was proved when it was read in.
            let entry = line.entry().map_err(|why| StoreError::NotAChain { line: 0, why })?;
            text.push_str(entry.line());
            text.push('\n');
            if text.len() >= GROUP {
                each(&text)?;
                text.clear();
            }
        }
        if text.is_empty() { Ok(()) } else { each(&text) }
    }

    fn write(&self, after: Seq, out: &mut dyn Write) -> Result<(), StoreError> {
        self.groups(after, &mut |text| out.write_all(text.as_bytes()).map_err(io("write", Path::new("the journal"))))
    }

    fn append(&self, attached: &Attached) -> Result<(), StoreError> {
        if self.head.seq <= attached.end.seq {
            return Ok(());
        }
        let mut end = attached.end.offset;
        self.groups(attached.end.seq, &mut |text| {
            attached.journal.append(end, text.as_bytes())?;
            end += u64::try_from(text.len()).unwrap_or(u64::MAX);
            Ok(())
        })
    }

    /// Takes the place of a ledger in which nothing has happened yet.
    fn replace(&self, shared: &Shared) -> Result<(), StoreError> {
        let path = journal::path(&shared.dir);
        shared.lease.close();
        let old = index::path(&shared.dir);
        if old.exists() {
            set_aside(&old)?;
        }
        let mut kept = String::new();
        write_whole(
            &path,
            |out| self.write(Seq(0), out),
            || {
                kept = name(&keep_replaced(&path)?);
                Ok(())
            },
        )?;
        shared.note(format!(
            "the ledger held nothing but its creation; the import took its place, and it is kept as {kept}"
        ));
        Ok(())
    }

    fn imported(self, shared: Shared, had: Seq, head: Head) -> (DiskStore, Imported) {
        let skipped = had.min(self.head.seq).0;
        (DiskStore { shared }, Imported { added: self.head.seq.0 - skipped, skipped, head })
    }
}

/// The entry that a line is, if it comes next.
fn next(line: &[u8], head: &Head) -> Result<Entry, String> {
    let text = std::str::from_utf8(line).map_err(|_| "it is not text".to_owned())?;
    let entry = Entry::parse(text.trim()).map_err(|error| error.to_string())?;
    if entry.seq != head.seq.next() {
        return Err(format!("it is entry {}, not {}", entry.seq, head.seq.next()));
    }
    if entry.prev != head.hash {
        return Err(format!("entry {} does not follow from entry {}: the chain is broken", entry.seq, head.seq));
    }
    Ok(entry)
}
