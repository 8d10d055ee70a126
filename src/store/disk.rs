//! A ledger in a directory, shared by any number of processes: lock, look, prove, write, let go.

use super::feed::{self, Feed};
use super::files::{io, sync_dir, write_whole};
use super::index;
use super::journal::{self, Journal};
use super::known::{Known, damaged};
use super::lease::Lease;
use super::live::{Live, Miss};
use super::lock::Lock;
use super::records::{Applied, Batch, Position, Records, Span, View, newer};
use super::segments;
use super::view::NoView;
use super::{LedgerStore, NewerEntry, StoreError};
use super::{attach, boot};
use crate::model::{Actor, Entry, Event, IllegalEntry, LedgerView, Seq, ViewError};
use jiff::Timestamp;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// How long a reader tries for the lock when the view must be mended; then the journal is folded in memory instead.
const READ_PATIENCE: Duration = Duration::from_millis(60);

/// A ledger on disk. It holds nothing between its verbs but what it has read, and for a moment the open index.
pub struct DiskStore {
    pub(super) shared: Shared,
}

pub(super) struct Shared {
    pub dir: PathBuf,
    wait: Duration,
    pub lease: Arc<Lease>,
    notices: Mutex<Vec<String>>,
    live: Mutex<Option<Live>>,
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
        let mut live = self.shared.live();
        let _lock = self.shared.lock()?;
        self.shared.attach_to_write(&mut live)?;
        match self.shared.commit(&mut live, base, at, by, events) {
            // The view turned out to be damaged while it was asked: nothing was written yet, and it is replaced now.
            Err(StoreError::View(error) | StoreError::Illegal(IllegalEntry::View { source: error, .. }))
                if !matches!(error, ViewError::Entry { .. }) =>
            {
                self.shared.remake(&mut live, &error)?;
                self.shared.attach_to_write(&mut live)?;
                self.shared.commit(&mut live, base, at, by, events)
            }
            result => result,
        }
    }
}

impl Drop for DiskStore {
    /// What many entries at once have left for later is done now, so that no reader pays for it. If it cannot be done,
    /// the next writer does it.
    fn drop(&mut self) {
        let mut live = self.shared.live();
        if let Some(live) = live.as_mut().filter(|live| live.feed.is_some() && live.files.is_full(false))
            && let Ok(_lock) = Lock::take(&self.shared.dir, READ_PATIENCE)
            && live.is_current(&self.shared.dir)
        {
            live.feed = None;
            self.shared.settle(live);
        }
    }
}

impl LedgerStore for DiskStore {
    /// A view is what was true when it was taken. Readers take no lock; where the view's files are missing or damaged,
    /// the first one to see it mends them if it can, and else folds the journal in memory.
    fn view(&self) -> Result<Box<dyn LedgerView + '_>, StoreError> {
        self.shared.view()
    }

    fn claim(&self, base: Seq, at: Timestamp, by: &Actor, event: &Event) -> Result<Entry, StoreError> {
        let mut entries = self.commit(Some(base), at, by, std::slice::from_ref(event))?;
        entries.pop().ok_or(StoreError::NothingToAppend)
    }

    fn append_all(&self, at: Timestamp, by: &Actor, events: &[Event]) -> Result<Vec<Entry>, StoreError> {
        if events.is_empty() { Ok(Vec::new()) } else { self.commit(None, at, by, events) }
    }

    fn newer(&self) -> Result<Option<NewerEntry>, StoreError> {
        Ok(newer(&self.shared.reading()?)?)
    }
}

impl Shared {
    pub fn new(dir: &Path, wait: Duration) -> Self {
        Self { dir: dir.to_path_buf(), wait, lease: Arc::default(), notices: Mutex::default(), live: Mutex::default() }
    }

    pub fn exists(&self) -> bool {
        journal::path(&self.dir).exists() || segments::path(&self.dir).exists() || index::path(&self.dir).exists()
    }

    pub fn note(&self, notice: String) {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
    }

    pub fn lock(&self) -> Result<Lock, StoreError> {
        Lock::take(&self.dir, self.wait)
    }

    /// What this process knows; taken before the lock, and held as long.
    pub fn live(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.attach(&mut self.live())?;
        // The index and the view of a new ledger are not missing: they were just not made yet.
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    /// Brings all copies together, and proves the end of the chain unless this process has just done so.
    pub fn attach_to_write(&self, live: &mut Option<Live>) -> Result<(), StoreError> {
        self.attach(live)?;
        let Some(live) = live.as_mut() else { return Ok(()) };
        if !live.proved {
            let end = &live.known.end;
            let walked = live.known.journal.tail(end.offset)?;
            if walked.good != *end {
                let what = format!("after entry {} the chain is broken", walked.good.seq);
                return Err(damaged(&live.known.journal, &walked.good, what));
            }
            live.proved = true;
            boot::note(&self.dir);
        }
        Ok(())
    }

    fn commit(
        &self,
        live: &mut Option<Live>,
        base: Option<Seq>,
        at: Timestamp,
        by: &Actor,
        events: &[Event],
    ) -> Result<Vec<Entry>, StoreError> {
        let now = live.as_mut().ok_or(StoreError::NothingToAppend)?;
        let head = now.known.end.head();
        if let Some(base) = base.filter(|base| *base != head.seq) {
            return Err(StoreError::Moved { base, head });
        }
        self.feed(now, events.len());
        let mut batch = Batch::after(&now.known.layers, now.known.end.clone())?;
        if now.feed.is_some() {
            batch = batch.in_pieces();
        }
        let entries = batch.compose(at, by, events)?;
        let (changes, pieces, end) = (batch.take(), batch.take_pieces(), batch.end().clone());
        let text: String = entries.iter().flat_map(|entry| [entry.line(), "\n"]).collect();
        self.append(now, text.as_bytes())?;
        now.fed(pieces);
        if let Err(error) = now.appended(changes, end) {
            // Written is written: the view is put right by whoever looks next.
            self.note(format!("the view could not be brought up to date ({error}); it will be when it is next used"));
            *live = None;
        } else if now.files.is_full(now.feed.is_some()) {
            self.settle(now);
        }
        super::crash::point();
        Ok(entries)
    }

    /// The commit: when it returns, the text is the end of the journal.
    pub fn append(&self, live: &mut Live, text: &[u8]) -> Result<(), StoreError> {
        let end = live.known.end.offset;
        if live.known.journal.is_long(end) {
            segments::seal(&self.dir, &live.known.journal)?;
            let journal = Journal::open(&self.dir, true)?.ok_or(StoreError::Missing { dir: self.dir.clone() })?;
            live.reopen(&self.dir, journal);
        }
        live.known.journal.append(end, text)
    }

    /// Appends lines whose chain was proved, and folds them.
    pub fn append_lines(&self, live: &mut Live, text: &str) -> Result<(), StoreError> {
        self.feed(live, feed::MANY);
        self.append(live, text.as_bytes())?;
        while let Some(changes) = live.known.fold_some()? {
            live.fed(vec![changes.clone()]);
            live.files.append(&changes).map_err(|error| NoView::from(error).into_store())?;
            live.known.layers.put(changes);
        }
        live.restamp(&self.dir);
        if live.files.is_full(live.feed.is_some()) {
            self.settle(live);
        }
        Ok(())
    }

    /// When many entries come at once, lets the index hear of them as they come; from what it has now on.
    fn feed(&self, live: &mut Live, entries: usize) {
        if entries < feed::MANY {
            live.feed = None;
        } else if live.feed.is_none()
            && let Ok(index) = self.index_up_to(live)
        {
            live.feed = Feed::start(index);
        }
    }

    /// Hands what is recent to the index, then makes a run of it. What fails here is done by the next writer.
    pub fn settle(&self, live: &mut Live) {
        let fed = live.feed.take().is_some();
        let Ok(index) = self.index_up_to(live) else { return };
        super::crash::point();
        let applied = Applied::at(&live.known.end);
        if live.files.flush(&mut live.known.layers, applied).is_ok() {
            live.restamp(&self.dir);
        }
        if fed {
            live.feed = Feed::start(index);
        }
    }

    pub fn view(&self) -> Result<Box<dyn LedgerView + '_>, StoreError> {
        let reading = self.reading()?;
        let head = reading.known.end.head();
        Ok(Box::new(View { records: reading, head }))
    }

    /// Everything as of now, as a reader sees it.
    pub fn known(&self) -> Result<Known, StoreError> {
        Ok(self.reading()?.known)
    }

    fn reading(&self) -> Result<Reading<'_>, StoreError> {
        if !self.exists() {
            return Err(StoreError::Missing { dir: self.dir.clone() });
        }
        let mut live = self.live();
        if let Some(live) = live.as_ref().filter(|live| live.is_current(&self.dir)) {
            return Ok(Reading::of(self, live.known.clone()));
        }
        *live = None;
        let known = match Live::look(&self.dir) {
            Ok(found) => live.insert(found).known.clone(),
            Err(Miss::Store(error)) => return Err(error),
            Err(miss) => self.mended(&mut live, &miss)?,
        };
        Ok(Reading::of(self, known))
    }

    /// The view does not answer: it is mended where that can be done at once, else the journal is folded in memory.
    fn mended(&self, live: &mut Option<Live>, miss: &Miss) -> Result<Known, StoreError> {
        // On a read-only disk there is no lock to be had, and nothing to be mended.
        if let Ok(_lock) = Lock::take(&self.dir, READ_PATIENCE) {
            self.attach(live)?;
            if let Some(live) = live {
                return Ok(live.known.clone());
            }
        }
        let missing = || StoreError::Missing { dir: self.dir.clone() };
        let journal = Journal::open(&self.dir, false)?.ok_or_else(missing)?;
        let known = Known::fold(journal)?;
        match miss {
            Miss::Disagrees(what) => {
                let what = format!("{what}, and the view knows of it");
                Err(damaged(&known.journal, &known.end, what))
            }
            _ => Ok(known),
        }
    }

    /// The view's files turned out to be damaged while they were read.
    fn read_again(&self, error: &ViewError) -> Result<Known, StoreError> {
        let mut live = self.live();
        if let Ok(_lock) = Lock::take(&self.dir, READ_PATIENCE)
            && self.remake(&mut live, error).is_ok()
            && let Some(live) = live.as_ref()
        {
            return Ok(live.known.clone());
        }
        let missing = || StoreError::Missing { dir: self.dir.clone() };
        Known::fold(Journal::open(&self.dir, false)?.ok_or_else(missing)?)
    }
}

/// Records as a reader gets them: from the view while it lasts, else from what could be made of the journal.
struct Reading<'s> {
    shared: &'s Shared,
    known: Known,
    again: OnceLock<Known>,
}

impl Reading<'_> {
    /// The index's copy of a line that is damaged in the journal, proved by its own hash.
    fn copy_of(&self, seq: Seq) -> Option<String> {
        let _lock = Lock::take(&self.shared.dir, READ_PATIENCE).ok()?;
        let index = self.shared.lease.open(&index::path(&self.shared.dir), READ_PATIENCE).ok()?;
        let entry = attach::line(&index, seq).ok()?.filter(|entry| entry.seq == seq)?;
        let notice =
            "the journal is damaged at entry {seq}, which was read from the index; repair it: imgctl ledger repair";
        self.shared.note(notice.replace("{seq}", &seq.to_string()));
        Some(entry.line().to_owned())
    }
}

impl<'s> Reading<'s> {
    fn of(shared: &'s Shared, known: Known) -> Self {
        Self { shared, known, again: OnceLock::new() }
    }

    fn ask<T>(&self, question: impl Fn(&Known) -> Result<T, ViewError>) -> Result<T, ViewError> {
        if let Some(again) = self.again.get() {
            return question(again);
        }
        let error = match question(&self.known) {
            // The journal's own line: nothing that can be made of the journal is better.
            answer @ (Ok(_) | Err(ViewError::Entry { .. })) => return answer,
            Err(error) => error,
        };
        let again = self.shared.read_again(&error).map_err(|error| ViewError::Unreadable(error.to_string()))?;
        question(self.again.get_or_init(|| again))
    }
}

impl Records for Reading<'_> {
    fn read(&self, key: &str) -> Result<Option<String>, ViewError> {
        match self.ask(|known| known.read(key)) {
            Err(ViewError::Entry { seq, source }) => {
                self.copy_of(seq).map(Some).ok_or(ViewError::Entry { seq, source })
            }
            answer => answer,
        }
    }

    fn range(&self, span: &Span, limit: usize) -> Result<Vec<(String, String)>, ViewError> {
        self.ask(|known| known.range(span, limit))
    }
}
