//! sled: the whole ledger by key. Nothing here is trusted: what it says is proved against the journal, and can be rebuilt.

use super::packed;
use super::records::{Applied, Changes, Records, Span, applied, range_over};
use crate::model::{Order, Seq, ViewError};
use sled::{Config, Db};
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

/// sled reads what it does not hold; a command looks at little.
const CACHE: u64 = 16 << 20;
/// A million entries open in a third of a second; an index that takes this long never will.
const OPEN_LIMIT: Duration = Duration::from_secs(20);
/// A batch takes a fraction of a second.
const WRITE_LIMIT: Duration = Duration::from_secs(8);
/// Between two tries to open an index that another process has.
const PAUSE: Duration = Duration::from_millis(1);

/// How many changed keys wait to be written. What is lost with the process is folded from the journal again.
const BEHIND: usize = 4096;

/// An open index. sled lets one process have it at a time.
///
/// Changes are written behind: handing each to sled would make the journal's next fdatasync pay for sled's file too.
pub(super) struct Index {
    /// Taken out when it is closed.
    db: Option<Db>,
    path: PathBuf,
    behind: Mutex<Changes>,
    /// Why it must not be used again, once something in it could not be read.
    broken: Mutex<Option<String>>,
}

/// Why it could not be opened.
pub(super) enum OpenError {
    /// Another process has it.
    Busy,
    /// It may be sound, but the system does not let us have it: a read-only or full disk.
    Unavailable,
    /// It cannot be used.
    Broken(String),
}

/// A record as sled has it.
pub(super) type Row = (sled::IVec, sled::IVec);

/// Records in key order.
pub(super) struct Rows<'i> {
    index: &'i Index,
    rows: Option<sled::Iter>,
    /// Read, and not asked for yet.
    page: VecDeque<Row>,
    size: usize,
}

/// How many rows are read under one guard: a guard costs as much as a row.
const PAGE: usize = 256;
/// How many of those that hold lines, which are long.
const LINES: usize = 16;

impl Iterator for Rows<'_> {
    type Item = Result<Row, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.page.pop_front() {
            return Some(Ok(row));
        }
        let (rows, page, size) = (self.rows.as_mut()?, &mut self.page, self.size);
        let read = self.index.guarded(|_| {
            for row in rows.take(size) {
                page.push_back(row?);
            }
            Ok(())
        });
        match read {
            Ok(()) => self.page.pop_front().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}

/// The first key at which two sets of records differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Difference {
    Missing(String),
    Different(String),
    Extra(String),
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("index")
}

impl Index {
    /// Opens it, or makes a new one where there is none. The caller holds the ledger's lock: nobody else is opening.
    pub fn open(path: &Path, patience: Duration) -> Result<Self, OpenError> {
        remove_half_snapshots(path);
        let mut waited = Duration::ZERO;
        loop {
            match open_once(path) {
                // sled's threads let go of its lock a moment after the handle is gone.
                Err(OpenError::Busy) if waited < patience => {
                    thread::sleep(PAUSE);
                    waited += PAUSE;
                }
                Err(error) => return Err(error),
                Ok(db) => {
                    return Ok(Self {
                        db: Some(db),
                        path: path.to_path_buf(),
                        behind: Mutex::default(),
                        broken: Mutex::default(),
                    });
                }
            }
        }
    }

    /// How far it follows the journal; `None` if it says nothing.
    pub fn applied(&self) -> Result<Option<Applied>, ViewError> {
        applied(self)
    }

    /// Sets and removes all of it: for readers of this index at once, on the disk later, all or nothing.
    pub fn apply(&self, changes: Changes) -> Result<(), ViewError> {
        let mut behind = self.behind();
        behind.extend(changes);
        if behind.len() < BEHIND { Ok(()) } else { self.write(std::mem::take(&mut *behind)) }
    }

    /// Hands everything to sled.
    pub fn settle(&self) -> Result<(), ViewError> {
        let mut behind = self.behind();
        self.write(std::mem::take(&mut *behind))
    }

    fn write(&self, changes: Changes) -> Result<(), ViewError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut batch = sled::Batch::default();
        for (key, value) in self.packed(changes)? {
            match value {
                Some(value) => batch.insert(key.into_bytes(), value.into_bytes()),
                None => batch.remove(key.into_bytes()),
            }
        }
        self.limited(move |db| db.apply_batch(batch))
    }

    /// The same changes, with the entries' lines in the rows that they have here.
    fn packed(&self, mut changes: Changes) -> Result<Changes, ViewError> {
        let mut rest = changes.split_off("e");
        changes.append(&mut rest.split_off("f"));
        let lines: Vec<_> =
            rest.iter().filter_map(|(key, line)| Some((packed::numbered(key)?, line.as_deref()))).collect();
        for lines in lines.chunk_by(|a, b| packed::row_key(a.0) == packed::row_key(b.0)) {
            let Some((seq, _)) = lines.first() else { continue };
            let key = packed::row_key(*seq);
            let row = self.guarded(|db| db.get(&key))?.map(|row| self.text(&row)).transpose()?;
            changes.insert(key, Some(packed::with(row.as_deref(), lines.iter().copied())));
        }
        Ok(changes)
    }

    fn behind(&self) -> MutexGuard<'_, Changes> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands everything to sled and its file to the disk. sled itself never flushes the device, nor its directory.
    pub fn make_durable(&self) -> Result<(), ViewError> {
        self.settle()?;
        self.limited(|db| db.flush())?;
        let sync = |path: &Path| std::fs::File::open(path).and_then(|file| file.sync_all());
        let synced =
            sync(&self.path.join("db")).and_then(|()| sync(&self.path.join("conf"))).and_then(|()| sync(&self.path));
        synced.map_err(|error| ViewError::Unreadable(error.to_string()))
    }

    /// Every record but the entries' own lines, in key order.
    pub fn each(&self, each: &mut dyn FnMut(&str, &str) -> Result<(), ViewError>) -> Result<(), ViewError> {
        self.settle()?;
        for (from, to) in [("", "e"), ("f", "\u{10FFFF}")] {
            for row in self.rows(from, to) {
                let (key, value) = row?;
                let text = |bytes| std::str::from_utf8(bytes).map_err(|error| ViewError::Unreadable(error.to_string()));
                each(text(&key)?, text(&value)?)?;
            }
        }
        Ok(())
    }

    /// The number of the last entry whose line it holds.
    pub fn last_entry(&self) -> Result<Option<Seq>, ViewError> {
        self.settle()?;
        let last = self.guarded(|db| db.scan_prefix("e").next_back().transpose())?;
        let last = last.map(|(key, row)| Ok((self.text(&key)?, self.text(&row)?))).transpose()?;
        Ok(last.and_then(|(key, row)| packed::last(&key, &row)))
    }

    /// Why it must be replaced, if it must.
    pub fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The records from one key up to another, as they are in sled.
    pub fn rows<'i>(&'i self, from: &str, to: &str) -> Rows<'i> {
        // What is still behind is handed over first; if that fails, so will reading.
        drop(self.settle());
        let rows = self.db.as_ref().map(|db| db.range(from.as_bytes()..to.as_bytes()));
        let size = if from.starts_with('e') { LINES } else { PAGE };
        Rows { index: self, rows, page: VecDeque::with_capacity(size), size }
    }

    /// sled panics on damage that it notices too late; here that is an error like any other.
    fn guarded<T>(&self, act: impl FnOnce(&Db) -> sled::Result<T>) -> Result<T, ViewError> {
        let db = self.sound()?;
        match quietly(|| act(db)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.give_up(said(&error))),
            Err(panic) => Err(self.give_up(panic)),
        }
    }

    /// The same for what writes, in a thread of its own: on a disk that fails, sled may never come back.
    fn limited<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Db) -> sled::Result<T> + Send + 'static,
    ) -> Result<T, ViewError> {
        let db = self.sound()?.clone();
        match within(WRITE_LIMIT, move || act(&db)) {
            Some(Ok(Ok(value))) => Ok(value),
            Some(Ok(Err(error))) => Err(self.give_up(said(&error))),
            Some(Err(panic)) => Err(self.give_up(panic)),
            None => Err(self.give_up(format!("it did not take a write within {} s", WRITE_LIMIT.as_secs()))),
        }
    }

    fn sound(&self) -> Result<&Db, ViewError> {
        match (&self.db, self.broken()) {
            (Some(db), None) => Ok(db),
            (_, why) => Err(ViewError::Unreadable(why.unwrap_or_else(|| "it is closed".to_owned()))),
        }
    }

    fn give_up(&self, why: String) -> ViewError {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
        ViewError::Unreadable(why)
    }

    fn text(&self, bytes: &[u8]) -> Result<String, ViewError> {
        String::from_utf8(bytes.to_vec()).map_err(|error| {
            let damaged = ViewError::Damaged {
                key: String::from_utf8_lossy(bytes).chars().take(80).collect(),
                why: error.to_string(),
            };
            *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(damaged.to_string());
            damaged
        })
    }
}

impl Records for Index {
    fn read(&self, key: &str) -> Result<Option<String>, ViewError> {
        if let Some(value) = self.behind().get(key) {
            return Ok(value.clone());
        }
        let line = packed::numbered(key);
        let row = line.map(packed::row_key);
        let value = self.guarded(|db| db.get(row.as_deref().unwrap_or(key)))?;
        let value = value.map(|value| self.text(&value)).transpose()?;
        Ok(match line {
            Some(seq) => value.and_then(|row| packed::line(&row, seq).map(str::to_owned)),
            None => value,
        })
    }

    fn range(&self, span: &Span, limit: usize) -> Result<Vec<(String, String)>, ViewError> {
        range_over(&self.behind(), span, limit, |limit| self.written(span, limit))
    }
}

impl Index {
    fn written(&self, span: &Span, limit: usize) -> Result<Vec<(String, String)>, ViewError> {
        let rows = self.guarded(|db| {
            let rows = db.range::<String, _>((span.from.clone(), span.to.clone()));
            match span.order {
                Order::Ascending => rows.take(limit).collect::<sled::Result<Vec<_>>>(),
                Order::Descending => rows.rev().take(limit).collect(),
            }
        })?;
        rows.iter().map(|(key, value)| Ok((self.text(key)?, self.text(value)?))).collect()
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // An index that could not be used has nothing that is worth writing, and the journal has everything.
        if self.broken().is_none() {
            drop(self.settle());
        }
        // Closing writes as well: on a disk that fails it panics, or never ends.
        let db = self.db.take();
        let limit = if self.broken().is_none() { WRITE_LIMIT } else { Duration::ZERO };
        drop(within(limit, move || drop(db)));
    }
}

/// Runs what may panic or never end in a thread of its own; `None` if it took too long, and goes on by itself.
fn within<T: Send + 'static>(limit: Duration, act: impl FnOnce() -> T + Send + 'static) -> Option<Result<T, String>> {
    let (send, receive) = channel();
    // Nobody may be waiting any more.
    let run = move || drop(send.send(quietly(act)));
    thread::Builder::new().name("ledger-index".to_owned()).spawn(run).ok()?;
    receive.recv_timeout(limit).ok()
}

/// A kill during an open can leave half a snapshot behind, and every later open then calls the whole index corrupt.
fn remove_half_snapshots(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().ends_with(".generating") {
            // If it cannot be removed, opening says what is wrong.
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

/// Opens in a thread of its own: damage can make sled panic, or never come back.
fn open_once(path: &Path) -> Result<Db, OpenError> {
    let path = path.to_path_buf();
    let config = move || Config::default().path(path).cache_capacity(CACHE).flush_every_ms(None).open();
    match within(OPEN_LIMIT, config) {
        Some(Ok(Ok(db))) => Ok(db),
        Some(Ok(Err(error))) => Err(classify(&error)),
        Some(Err(panic)) => Err(OpenError::Broken(panic)),
        None => Err(OpenError::Broken(format!("it did not open within {} s", OPEN_LIMIT.as_secs()))),
    }
}

/// In words: of corruption, sled tells places in its own file, as a program would.
fn said(error: &sled::Error) -> String {
    match error {
        sled::Error::Corruption { .. } => "sled's file holds what it did not write there".to_owned(),
        error => error.to_string(),
    }
}

fn classify(error: &sled::Error) -> OpenError {
    let sled::Error::Io(io) = error else { return OpenError::Broken(said(error)) };
    match io.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded => OpenError::Unavailable,
        _ if io.to_string().contains("could not acquire lock") => OpenError::Busy,
        _ => OpenError::Broken(io.to_string()),
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs code that may panic without a word on the screen; the panic's own words are the error.
fn quietly<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let of_sled = thread::current().name().is_some_and(|name| name.starts_with("sled-"));
            if !of_sled && !QUIET.get() {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(act));
    QUIET.set(outer);
    result.map_err(|panic| {
        let words =
            panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        format!("reading it failed: {}", words.unwrap_or("for an unknown reason").lines().next().unwrap_or_default())
    })
}
