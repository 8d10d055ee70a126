//! A ledger in a directory, shared by any number of processes: lock, look, prove, write, let go.

use super::attach::{Attached, Source, damaged};
use super::files::{io, sync_dir, write_whole};
use super::folded::Folded;
use super::index::{self, Index};
use super::journal::{self, Journal};
use super::lease::Lease;
use super::lock::Lock;
use super::records::{Batch, Position, Records, Span, View, newer};
use super::{LedgerStore, NewerEntry, StoreError};
use crate::model::{Actor, Entry, Event, Head, IllegalEntry, LedgerView, Seq, ViewError};
use jiff::Timestamp;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// How long a reader tries for the index; folding the journal costs more than this from some thousand entries on.
const READ_PATIENCE: Duration = Duration::from_millis(60);

/// A ledger on disk. It holds nothing between its verbs but, for a moment, the open index.
pub struct DiskStore {
    pub(super) shared: Shared,
}

pub(super) struct Shared {
    pub dir: PathBuf,
    wait: Duration,
    pub lease: Arc<Lease>,
    notices: Mutex<Vec<String>>,
    /// Where the journal ended when its tail was last proved by this process.
    proved: Mutex<Option<Position>>,
}

/// Opens the ledger in `dir`. Writers wait for each other, at most `wait`.
pub fn open(dir: &Path, wait: Duration) -> Result<DiskStore, StoreError> {
    let shared = Shared::new(dir, wait);
    if shared.exists() { Ok(DiskStore { shared }) } else { Err(StoreError::Missing { dir: dir.to_path_buf() }) }
}

/// Creates a ledger in `dir`, which is made if need be, and writes its first entry.
pub fn create(dir: &Path, id: Uuid, at: Timestamp, by: &Actor) -> Result<DiskStore, StoreError> {
    let shared = Shared::new(dir, Duration::from_secs(10));
    let start = Position::start();
    let impossible = |why: String| StoreError::Illegal(IllegalEntry::Impossible { seq: Seq(1), why });
    let entry = Entry::seal(Seq(1), at, by, &Event::LedgerCreated { id }, &start.hash)
        .map_err(|error| impossible(error.to_string()))?;
    shared.begin(|out| writeln!(out, "{}", entry.line()).map_err(io("write", dir)))?;
    Ok(DiskStore { shared })
}

impl DiskStore {
    /// What was found and put right since the last call: sentences for a person.
    pub fn notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    fn commit(&self, base: Option<Seq>, at: Timestamp, by: &Actor, events: &[Event]) -> Result<Vec<Entry>, StoreError> {
        let _lock = self.shared.lock()?;
        let attached = self.shared.attach_to_write()?;
        match self.shared.commit(&attached, base, at, by, events) {
            // The index turned out to be damaged while it was asked: nothing was written yet, and it is replaced now.
            Err(StoreError::View(_) | StoreError::Illegal(IllegalEntry::View { .. })) => {
                self.shared.commit(&self.shared.attach_to_write()?, base, at, by, events)
            }
            result => result,
        }
    }
}

impl LedgerStore for DiskStore {
    /// Reads come from the index where it can be had at once, else from the journal folded in memory. The view does not
    /// hold the index between reads, so it never keeps others waiting; what this or another process appends meanwhile
    /// may be seen by later reads. `head` is as it was: a claim on it is then refused as moved.
    fn view(&self) -> Result<Box<dyn LedgerView + '_>, StoreError> {
        let (reading, head) = self.shared.reading()?;
        Ok(Box::new(View { records: reading, head }))
    }

    fn claim(&self, base: Seq, at: Timestamp, by: &Actor, event: &Event) -> Result<Entry, StoreError> {
        let mut entries = self.commit(Some(base), at, by, std::slice::from_ref(event))?;
        entries.pop().ok_or(StoreError::NothingToAppend)
    }

    fn append_all(&self, at: Timestamp, by: &Actor, events: &[Event]) -> Result<Vec<Entry>, StoreError> {
        if events.is_empty() { Ok(Vec::new()) } else { self.commit(None, at, by, events) }
    }

    fn newer(&self) -> Result<Option<NewerEntry>, StoreError> {
        let (reading, _) = self.shared.reading()?;
        Ok(newer(&reading)?)
    }
}

impl Shared {
    pub fn new(dir: &Path, wait: Duration) -> Self {
        Self {
            dir: dir.to_path_buf(),
            wait,
            lease: Arc::default(),
            notices: Mutex::default(),
            proved: Mutex::default(),
        }
    }

    pub fn exists(&self) -> bool {
        journal::path(&self.dir).exists() || index::path(&self.dir).exists()
    }

    pub fn note(&self, notice: String) {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
    }

    pub fn lock(&self) -> Result<Lock, StoreError> {
        Lock::take(&self.dir, self.wait)
    }

    /// Begins a ledger with the entries that `fill` writes.
    pub fn begin(&self, fill: impl FnOnce(&mut dyn Write) -> Result<(), StoreError>) -> Result<(), StoreError> {
        fs::create_dir_all(&self.dir).map_err(io("create", &self.dir))?;
        let _lock = self.lock()?;
        if self.exists() {
            return Err(StoreError::Exists { dir: self.dir.clone() });
        }
        write_whole(&journal::path(&self.dir), fill, || Ok(()))?;
        if let Some(parent) = self.dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent)?;
        }
        self.attach()?;
        // The index of a new ledger is not missing: it was just not made yet.
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    pub fn proved(&self) -> Option<Position> {
        self.proved.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has_proved(&self, end: Position) {
        *self.proved.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    /// Joins the two copies, and proves the end of the chain unless this process has just done so.
    pub fn attach_to_write(&self) -> Result<Attached, StoreError> {
        let attached = self.attach()?;
        if self.proved().as_ref() != Some(&attached.end) {
            let walked = attached.journal.tail(attached.end.offset)?;
            if walked.good != attached.end {
                let what = format!("after entry {} the chain is broken", walked.good.seq);
                return Err(damaged(&attached.journal, &walked.good, what));
            }
            self.has_proved(attached.end.clone());
        }
        Ok(attached)
    }

    fn commit(
        &self,
        attached: &Attached,
        base: Option<Seq>,
        at: Timestamp,
        by: &Actor,
        events: &[Event],
    ) -> Result<Vec<Entry>, StoreError> {
        let head = attached.end.head();
        if let Some(base) = base.filter(|base| *base != head.seq) {
            return Err(StoreError::Moved { base, head });
        }
        let mut batch = Batch::after(attached.source.records(), head)?;
        let entries = batch.compose(at, by, events)?;
        let text: String = entries.iter().flat_map(|entry| [entry.line(), "\n"]).collect();
        attached.journal.append(attached.end.offset, text.as_bytes())?;
        let end = attached.end.offset + u64::try_from(text.len()).unwrap_or(u64::MAX);
        if let Some(last) = entries.last() {
            self.has_proved(Position { seq: last.seq, hash: last.hash.clone(), offset: end });
        }
        if let Source::Index(index) = &attached.source
            && index.apply(batch.take(end)).is_err()
        {
            // Written is written: the index is put right by whoever attaches next.
            self.note("the index could not be brought up to date; it will be when it is next used".to_owned());
        }
        super::crash::point();
        Ok(entries)
    }

    fn reading(&self) -> Result<(Reading<'_>, Head), StoreError> {
        if !self.exists() {
            return Err(StoreError::Missing { dir: self.dir.clone() });
        }
        let reading = Reading { shared: self, folded: OnceLock::new() };
        // Nothing was written since this process last looked: no lock is needed to know that.
        if let Some(index) = self.lease.current()
            && let Ok(Some(applied)) = index.applied()
            && fs::metadata(journal::path(&self.dir)).is_ok_and(|file| file.len() == applied.offset)
        {
            return Ok((reading, applied.position().head()));
        }
        let head = match self.index_to_read() {
            Some((_, head)) => head,
            None => reading.folded()?.end.head(),
        };
        Ok((reading, head))
    }

    /// The index, caught up, if it can be had at once.
    fn index_to_read(&self) -> Option<(Arc<Index>, Head)> {
        // On a read-only disk there is no lock to be had, and nothing to be caught up.
        let _lock = Lock::take(&self.dir, READ_PATIENCE).ok()?;
        let attached = self.attach().ok()?;
        match attached.source {
            Source::Index(index) => Some((index, attached.end.head())),
            Source::Memory(_) => None,
        }
    }
}

/// Records as a reader gets them: from the index while it lasts, else from the journal.
struct Reading<'s> {
    shared: &'s Shared,
    folded: OnceLock<Folded>,
}

impl Reading<'_> {
    fn folded(&self) -> Result<&Folded, StoreError> {
        if let Some(folded) = self.folded.get() {
            return Ok(folded);
        }
        let journal = Journal::open(&self.shared.dir, false)?
            .ok_or_else(|| StoreError::Missing { dir: self.shared.dir.clone() })?;
        let folded = Folded::read(journal)?;
        Ok(self.folded.get_or_init(|| folded))
    }

    fn ask<T>(&self, question: impl Fn(&dyn Records) -> Result<T, ViewError>) -> Result<T, ViewError> {
        if self.folded.get().is_none() {
            let index = self.shared.lease.current().or_else(|| Some(self.shared.index_to_read()?.0));
            if let Some(Ok(answer)) = index.map(|index| question(&index)) {
                return Ok(answer);
            }
        }
        question(self.folded().map_err(|error| ViewError::Unreadable(error.to_string()))?)
    }
}

impl Records for Reading<'_> {
    fn read(&self, key: &str) -> Result<Option<String>, ViewError> {
        self.ask(|records| records.read(key))
    }

    fn range(&self, span: &Span, limit: usize) -> Result<Vec<(String, String)>, ViewError> {
        self.ask(|records| records.range(span, limit))
    }
}
