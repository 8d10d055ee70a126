//! The view: what readers need, without sled and without a lock. Derived from the journal, proved by checksums, replaceable.
//!
//! ```text
//! view/
//!   current     which runs there are, and the entry they are as of
//!   N.run       sorted records; never changed once written
//!   N.recent    changes since, batch by batch, with the entries' lines: their second copy until the index has them
//! ```
//!
//! Runs of like size are merged, so that there are few and each record is rewritten a few times in its life.

mod block;
mod bloom;
mod cache;
mod run;
mod layers;
mod recent;
mod current;
mod merges;

pub(super) use layers::Layers;

use super::crash;
use super::records::{Applied, Changes, applied};
use crate::model::{Seq, ViewError};
use cache::Cache;
use current::{Current, NotCurrent};
use recent::Recent;
use run::{OpenError, Run};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a read keeps of blocks; it is let go of with the process.
const CACHE: usize = 4 << 20;
/// How many bytes of changes are read whole by every reader before a run is made of them.
const RECENT: u64 = 512 * 1024;
/// The same while many entries come at once: making a run waits for the index, so it is done more rarely.
const RECENT_OF_MANY: u64 = 4 << 20;
/// How often a reader looks again when writers replace what it was about to open.
const TRIES: u32 = 20;

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("view")
}

/// The view as it was found, and its files for the writer that holds the ledger's lock.
pub(super) struct Files {
    dir: PathBuf,
    current: Current,
    /// How much of the recent file is whole.
    bytes: u64,
    /// The recent file, once something was appended.
    recent: Option<File>,
}

/// Why there is no view to be had.
pub(super) enum NoView {
    Missing,
    /// It must be made again.
    Unusable(String),
}

impl From<ViewError> for NoView {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Unreadable(why) => Self::Unusable(why),
            error => Self::Unusable(error.to_string()),
        }
    }
}

impl From<std::io::Error> for NoView {
    fn from(error: std::io::Error) -> Self {
        Self::Unusable(error.to_string())
    }
}

/// The newest entry that the view in `dir` has heard of; `None` if it cannot be read.
pub fn end(dir: &Path) -> Option<Seq> {
    let (files, layers) = Files::open(dir).ok()?;
    Some(applied(&layers).ok()?.map_or(files.base().seq, |applied| applied.seq))
}

impl Files {
    /// Opens the view of the ledger in `ledger`. Takes no lock; writers may be at work.
    pub fn open(ledger: &Path) -> Result<(Self, Layers), NoView> {
        let dir = path(ledger);
        let mut tries = 0;
        loop {
            let current = Current::read(&dir).map_err(|error| match error {
                NotCurrent::Missing => NoView::Missing,
                NotCurrent::Unusable(why) => NoView::Unusable(why),
            })?;
            match Self::of(&dir, &current)? {
                Some(opened) => return Ok(opened),
                // A file is gone: replaced a moment ago, or lost.
                None if tries < TRIES && !Current::read(&dir).is_ok_and(|now| now == current) => tries += 1,
                None => return Err(NoView::Unusable("a file of it is missing".to_owned())),
            }
        }
    }

    fn of(dir: &Path, current: &Current) -> Result<Option<(Self, Layers)>, NoView> {
        let cache = Arc::new(Cache::new(CACHE));
        let mut runs = Vec::new();
        for mark in &current.runs {
            match Run::open(dir, mark) {
                Ok(run) => runs.push(Arc::new(run)),
                Err(OpenError::NotFound) => return Ok(None),
                Err(OpenError::Damaged(error)) => return Err(error.into()),
            }
        }
        let mut file = match File::open(dir.join(recent::name(current.recent))) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let Recent { changes, bytes } = Recent::read(&mut file)?;
        let layers = Layers { runs, cache, recent: Arc::new(changes) };
        Ok(Some((Self { dir: dir.to_path_buf(), current: current.clone(), bytes, recent: None }, layers)))
    }

    /// Writes a new view with the records that `fill` gives, in key order; `applied` is what they are as of. Whatever
    /// stood in its place was moved away.
    pub fn begin(
        ledger: &Path,
        applied: Applied,
        fill: impl FnOnce(&mut Fill<'_>) -> Result<(), ViewError>,
    ) -> Result<(Self, Layers), NoView> {
        let dir = path(ledger);
        fs::create_dir_all(&dir)?;
        File::open(ledger)?.sync_all()?;
        let mark = merges::write(&dir, 1, fill)?;
        crash::point();
        let runs: Vec<_> = (mark.records > 0).then_some(mark).into_iter().collect();
        let current = Current::new(applied, runs, 2, 1);
        File::create(dir.join(recent::name(current.recent)))?;
        current.write(&dir)?;
        Self::open(ledger)
    }

    /// How far the runs alone follow the journal.
    pub fn base(&self) -> &Applied {
        &self.current.applied
    }

    /// Puts a batch into the recent file, for others to read.
    pub fn append(&mut self, changes: &Changes) -> std::io::Result<()> {
        let file = match self.recent.take() {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().write(true).open(self.dir.join(recent::name(self.current.recent)))?;
                // Half a batch of a process that died.
                file.set_len(self.bytes)?;
                file
            }
        };
        let end = recent::append(&file, self.bytes, changes);
        self.recent = Some(file);
        crash::point();
        self.bytes = end?;
        Ok(())
    }

    /// Whether it is time to make a run of what is recent, when `many` entries are coming at once.
    pub fn is_full(&self, many: bool) -> bool {
        self.bytes >= if many { RECENT_OF_MANY } else { RECENT }
    }

    /// Makes a run of what is recent in `layers`, which follow the journal up to `applied`, merged with runs that are
    /// not much longer.
    pub fn flush(&mut self, layers: &mut Layers, applied: Applied) -> Result<(), NoView> {
        let id = self.current.next_id();
        let keep = merges::keep(&layers.runs, self.bytes);
        let merged = merges::merge(&self.dir, id, layers, keep)?;
        crash::point();
        let mut runs: Vec<_> = self.current.runs.iter().take(keep).cloned().collect();
        runs.extend((merged.records > 0).then_some(merged));
        let current = Current::new(applied, runs, id + 1, self.current.turn + 1);
        File::create(self.dir.join(recent::name(current.recent)))?;
        current.write(&self.dir)?;
        crash::point();
        merges::sweep(&self.dir, &current);
        let (files, mut now) = Self::of(&self.dir, &current)?.ok_or(NoView::Missing)?;
        // Ids are not used twice: what was read of runs that stay is still right.
        now.cache = layers.cache.clone();
        (*self, *layers) = (files, now);
        Ok(())
    }
}

/// The recent changes of a view whose runs may be unusable, and the entry they begin after.
pub(super) fn salvage(ledger: &Path) -> Option<(Applied, Changes)> {
    let dir = path(ledger);
    let current = Current::read(&dir).ok()?;
    let recent = Recent::read(&mut File::open(dir.join(recent::name(current.recent))).ok()?).ok()?;
    Some((current.applied, recent.changes))
}

/// Takes records in key order.
pub(super) type Fill<'f> = dyn FnMut(&str, &str) -> Result<(), ViewError> + 'f;
