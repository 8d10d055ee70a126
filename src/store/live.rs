//! What this process knows of the ledger, good until somebody else writes: looked for without a lock, kept up under it.

use super::StoreError;
use super::feed::Feed;
use super::journal::Journal;
use super::known::Known;
use super::records::{Changes, Position, applied, newer};
use super::view::{self, Files, NoView};
use crate::model::ViewError;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// A view further behind the journal than this is brought up to date on the disk, not in every reader's memory.
const FAR: u64 = 8 << 20;

/// The ledger as this process last saw it.
pub(super) struct Live {
    pub known: Known,
    pub files: Files,
    /// What this process has folded and the view's files do not have yet.
    pending: Changes,
    stamp: Stamp,
    /// Whether the end of the chain was proved by this process.
    pub proved: bool,
    /// Whether the journal was opened to be written to.
    pub writable: bool,
    /// While many entries come at once: the index hears of them as they come.
    pub feed: Option<Feed>,
}

/// What tells whether anybody has written since: the journal's inode and length, and the view's `current`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    journal: (u64, u64),
    current: (u64, i64, u64),
}

impl Stamp {
    fn of(dir: &Path, journal: &Journal) -> Option<Self> {
        let current = fs::metadata(view::path(dir).join("current")).ok()?;
        Some(Self { journal: journal.stamp().ok()?, current: (current.ino(), current.mtime_nsec(), current.len()) })
    }
}

/// Why the view does not answer.
pub(super) enum Miss {
    Store(StoreError),
    /// There is none, or it must be made again.
    NoView(NoView),
    /// It knows entries that the journal does not have, or has others.
    Disagrees(String),
    /// It is good, and far behind.
    Far,
}

impl From<StoreError> for Miss {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::View(error) => error.into(),
            error => Self::Store(error),
        }
    }
}

impl From<NoView> for Miss {
    fn from(error: NoView) -> Self {
        Self::NoView(error)
    }
}

impl From<ViewError> for Miss {
    fn from(error: ViewError) -> Self {
        Self::NoView(error.into())
    }
}

impl Live {
    /// Looks at the ledger in `dir`. Takes no lock and changes nothing.
    pub fn look(dir: &Path) -> Result<Self, Miss> {
        // The view before the journal: what it follows is then never behind it.
        let (files, layers) = Files::open(dir)?;
        let Some(journal) = Journal::open(dir, false)? else {
            return Err(Miss::Disagrees("the journal is missing".to_owned()));
        };
        let stamp = Stamp::of(dir, &journal).ok_or(NoView::Missing)?;
        // Until something was appended, `current` says it.
        let applied = applied(&layers)?.unwrap_or_else(|| files.base().clone());
        if !applied.is_ours() {
            return Err(by_another());
        }
        let (place, len) = (applied.position(), journal.len()?);
        if place.offset > len {
            return Err(Miss::Disagrees(format!("the journal ends before entry {}", place.seq)));
        }
        if !journal.joins(&place)? {
            return Err(Miss::Disagrees(format!("the journal has another entry {}", place.seq)));
        }
        if len - place.offset > FAR {
            return Err(Miss::Far);
        }
        let mut known = Known::at(layers, Arc::new(journal), place);
        is_still_newer(&known)?;
        let pending = known.fold_on()?;
        Ok(Self { known, files, pending, stamp, proved: false, writable: false, feed: None })
    }

    /// Whether nobody else has written since.
    pub fn is_current(&self, dir: &Path) -> bool {
        Stamp::of(dir, &self.known.journal).is_some_and(|now| now == self.stamp)
    }

    /// Puts what this process alone has folded into the view's files. The caller holds the ledger's lock.
    pub fn write_down(&mut self) -> std::io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.files.append(&self.pending)?;
        self.pending.clear();
        Ok(())
    }

    /// Entries up to `end` were appended to the journal: this is what they changed.
    pub fn appended(&mut self, changes: Changes, end: Position) -> std::io::Result<()> {
        let written = self.files.append(&changes);
        self.known.layers.put(changes);
        // Only this process has written, and it knows what.
        self.stamp.journal.1 = end.offset;
        self.known.end = end;
        written
    }

    /// Lets the index hear of changes, while it is being fed.
    pub fn fed(&mut self, pieces: Vec<Changes>) {
        if self.feed.as_ref().is_some_and(|feed| !feed.give(pieces)) {
            self.feed = None;
        }
    }

    /// Takes note of what this process itself has just written.
    pub fn restamp(&mut self, dir: &Path) {
        if let Some(stamp) = Stamp::of(dir, &self.known.journal) {
            self.stamp = stamp;
        }
    }

    /// The journal was opened again, to be written to.
    pub fn reopen(&mut self, dir: &Path, journal: Journal) {
        self.known.journal = Arc::new(journal);
        self.writable = true;
        self.restamp(dir);
    }
}

fn by_another() -> Miss {
    NoView::Unusable("it was made by another version of imgctl".to_owned()).into()
}

/// Whether the entry from which on nothing was folded is still one that this imgctl does not know.
fn is_still_newer(known: &Known) -> Result<(), Miss> {
    let Some(newer) = newer(known)? else { return Ok(()) };
    let line = super::records::Records::read(known, &super::records::entry_key(newer.seq))?;
    match line.and_then(|line| crate::model::Entry::read(&line).ok()) {
        Some(entry) if entry.is_newer() => Ok(()),
        _ => Err(by_another()),
    }
}
