//! Ledgers on their way: out as lines, and in again once the whole chain is proved.

use super::disk::Shared;
use super::files::{io, keep_replaced, name, set_aside, write_whole};
use super::index;
use super::journal::{self, End, Journal, Line, Lines};
use super::known::{Known, damaged};
use super::live::Live;
use super::records::{Position, Records, entry_key};
use super::remake::Replay;
use super::view;
use super::{DiskStore, StoreError, fork};
use crate::model::{Entry, Head, Seq};
use std::io::{BufRead, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much is committed with one fdatasync.
const GROUP: usize = 4 << 20;
/// How often an export says how far it is, in entries.
const TOLD: u64 = 1024;

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
        self.export_since(Seq(0), out, &mut |_, _| ())
    }

    /// The same for the entries after `since`. The chain is proved from its beginning all the same. `progress` hears of
    /// bytes of the journal: done, of all.
    pub fn export_since(
        &self,
        since: Seq,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Head, StoreError> {
        let journal = self.journal()?;
        let to = Path::new("the export");
        let total = journal.len()?;
        let walked = journal.walk(&Position::start(), total, &mut |entry, place| {
            if entry.seq.0.is_multiple_of(TOLD) {
                progress(place.offset, total);
            }
            if entry.seq <= since { Ok(()) } else { writeln!(out, "{}", entry.line()).map_err(io("write", to)) }
        })?;
        if let End::Damaged { what } = walked.end {
            return Err(damaged(&journal, &walked.good, what));
        }
        out.flush().map_err(io("write", to))?;
        match walked.good.head() {
            head if head.seq < since => Err(StoreError::Beyond { since, ends: head.seq }),
            head => Ok(head),
        }
    }
}

/// Brings exported entries into the ledger in `dir`; where there is none, or one with nothing but its creation, an
/// import from the first entry on becomes the ledger. One that begins later must join what the ledger has.
///
/// The chain, and that the history is a possible one which goes on where the ledger ends, is proved before anything
/// is written. If the disk then fails in the middle, the entries written so far stay; importing again goes on there.
pub fn import(dir: &Path, wait: Duration, source: &mut dyn BufRead) -> Result<(DiskStore, Imported), StoreError> {
    let given = Given::read(source)?;
    if given.is_whole() {
        given.prove()?;
    }
    let shared = Shared::new(dir, wait);
    if !shared.exists() {
        given.joins(Seq(0), dir)?;
        shared.begin(|out| given.write(Position::start().seq, out))?;
        let head = given.head.clone();
        return Ok(given.imported(shared, Seq(0), head));
    }
    let mut live = shared.live();
    let lock = shared.lock()?;
    shared.attach_to_write(&mut live)?;
    let now = live.as_mut().ok_or(StoreError::NothingToAppend)?;
    let head = now.known.end.head();
    given.joins(head.seq, dir)?;
    let had = if given.holds(&head)? || given.is_held(&now.known)? {
        if !given.is_whole() {
            given.prove_after(&now.known, now.known.end.clone())?;
        }
        given.append(&shared, now)?;
        head.seq
    } else {
        if head.seq > Seq(1) || !given.is_whole() {
            return Err(given.fork(&now.known)?);
        }
        given.replace(&shared)?;
        Seq(0)
    };
    shared.attach(&mut live)?;
    let head = live.as_ref().map_or_else(Head::empty, |live| live.known.end.head());
    drop(lock);
    drop(live);
    Ok(given.imported(shared, had, head))
}

/// What was given, as a proved chain in a file of its own.
struct Given {
    /// What its first entry follows; of a whole ledger, nothing.
    base: Head,
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
        let mut base = Head::empty();
        while source.read_until(b'\n', &mut line).map_err(io("read", Path::new("the import")))? > 0 {
            number += 1;
            if number == 1 {
                base = before(&line);
                head = base.clone();
            }
            let entry = next(&line, &head).map_err(|why| StoreError::NotAChain { line: number, why })?;
            writeln!(spool, "{}", entry.line()).map_err(io("write", &named))?;
            offset += u64::try_from(entry.line().len()).unwrap_or(u64::MAX) + 1;
            ends.push(offset);
            head = Head { seq: entry.seq, hash: entry.hash };
            line.clear();
        }
        spool.flush().map_err(io("write", &named))?;
        if ends.is_empty() {
            return Err(StoreError::NotAChain { line: 1, why: "there is no entry".to_owned() });
        }
        Ok(Self { base, chain: Journal::of(file, named), ends, head })
    }

    /// Whether it begins where a ledger begins.
    fn is_whole(&self) -> bool {
        self.base == Head::empty()
    }

    /// That nothing is missing between the ledger's last entry and the first one given.
    fn joins(&self, ends: Seq, dir: &Path) -> Result<(), StoreError> {
        if self.base.seq <= ends {
            return Ok(());
        }
        Err(StoreError::Gap { dir: dir.to_path_buf(), ends, begins: self.base.seq.next() })
    }

    /// That the entries can have happened in this order: folded into records that nobody will use.
    fn prove(&self) -> Result<(), StoreError> {
        match Replay::of(self.chain.again()?) {
            Ok(_) => Ok(()),
            Err(StoreError::Damaged { what, offset, .. }) => {
                let line = self.ends.partition_point(|end| offset.is_some_and(|offset| *end <= offset)) + 1;
                Err(StoreError::NotAChain { line: u64::try_from(line).unwrap_or(u64::MAX), why: what })
            }
            Err(error) => Err(error),
        }
    }

    /// That what is new in it can have happened after what the ledger has.
    fn prove_after(&self, ours: &dyn Records, end: Position) -> Result<(), StoreError> {
        let mut lines = self.chain.lines(self.end(end.seq).unwrap_or(0), self.chain.len()?);
        let impossible = |seq: Seq, why| StoreError::NotAChain { line: seq.0 - self.base.seq.0, why };
        let mut left = self.head.seq.0.saturating_sub(end.seq.0);
        let mut next = || match left.checked_sub(1) {
            Some(less) => {
                left = less;
                proved(&mut lines)
            }
            None => Ok(None),
        };
        fork::prove_after(ours, end, &mut next, &impossible)
    }

    /// Where an entry ends in the chain; `None` for one that was not given.
    fn end(&self, seq: Seq) -> Option<u64> {
        let place = usize::try_from(seq.0.checked_sub(self.base.seq.0)?).ok()?.checked_sub(1)?;
        self.ends.get(place).copied()
    }

    /// Whether the ledger's head is one of these entries, or what the first one follows: then so are all before it.
    fn holds(&self, head: &Head) -> Result<bool, StoreError> {
        if *head == self.base {
            return Ok(true);
        }
        let Some(offset) = self.end(head.seq) else { return Ok(false) };
        self.chain.joins(&Position { seq: head.seq, hash: head.hash.clone(), offset })
    }

    /// Whether the ledger has all of it, and more.
    fn is_held(&self, known: &Known) -> Result<bool, StoreError> {
        let line = known.read(&entry_key(self.head.seq))?;
        Ok(line.is_some_and(|line| Entry::parse(&line).is_ok_and(|entry| entry.hash == self.head.hash)))
    }

    /// Where the ledger is another, as the error that says so.
    fn fork(&self, ours: &dyn Records) -> Result<StoreError, StoreError> {
        let mut lines = self.chain.lines(0, self.chain.len()?);
        let fork = fork::find(ours, &self.base, &mut || proved(&mut lines))?;
        Ok(StoreError::Fork { fork: Box::new(fork) })
    }

    /// Calls with some lines at a time, from the entry after `seq` on.
    fn groups(&self, seq: Seq, each: &mut dyn FnMut(&str) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut lines = self.chain.lines(self.end(seq).unwrap_or(0), self.chain.len()?);
        let mut text = String::new();
        while let Some(line) = lines.next_line()? {
            let entry = reread(&line)?;
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

    fn append(&self, shared: &Shared, live: &mut Live) -> Result<(), StoreError> {
        if self.head.seq <= live.known.end.seq {
            return Ok(());
        }
        self.groups(live.known.end.seq, &mut |text| shared.append_lines(live, text))
    }

    /// Takes the place of a ledger in which nothing has happened yet.
    fn replace(&self, shared: &Shared) -> Result<(), StoreError> {
        let path = journal::path(&shared.dir);
        shared.lease.close();
        let old = index::path(&shared.dir);
        for old in [old, view::path(&shared.dir)] {
            if old.exists() {
                set_aside(&old)?;
            }
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
        let skipped = had.min(self.head.seq).0.saturating_sub(self.base.seq.0);
        (DiskStore { shared }, Imported { added: self.head.seq.0 - self.base.seq.0 - skipped, skipped, head })
    }
}

/// What the entry on the first line says it follows. A line that is no entry is complained of when it is its turn.
fn before(line: &[u8]) -> Head {
    let entry = std::str::from_utf8(line).ok().and_then(|text| Entry::parse(text.trim()).ok());
    match entry {
        Some(entry) if entry.seq > Seq(1) => Head { seq: Seq(entry.seq.0 - 1), hash: entry.prev },
        _ => Head::empty(),
    }
}

/// The next entry of a chain that was proved when it was read in.
fn proved(lines: &mut Lines<'_>) -> Result<Option<Entry>, StoreError> {
    lines.next_line()?.map(|line| reread(&line)).transpose()
}

fn reread(line: &Line<'_>) -> Result<Entry, StoreError> {
    line.entry().map_err(|why| StoreError::NotAChain { line: 0, why })
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
