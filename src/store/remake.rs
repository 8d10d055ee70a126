//! Bringing the view back: from the index or the journal, when it is missing, damaged, far behind or of another history.

use super::attach::{PATIENCE, Trouble};
use super::disk::Shared;
use super::files::{io, name, set_aside};
use super::index::{self, Index};
use super::journal::{End, Journal};
use super::known::Known;
use super::live::{Live, Miss};
use super::records::{Applied, Position};
use super::segments;
use super::view::{self, Files, Layers, NoView};
use super::{StoreError, crash};
use crate::model::ViewError;
use std::path::PathBuf;
use std::sync::Arc;

impl Shared {
    /// Brings journal, index and view together into what can be appended to. The caller holds the lock.
    pub fn attach(&self, live: &mut Option<Live>) -> Result<(), StoreError> {
        if live.as_ref().is_some_and(|live| live.writable && live.is_current(&self.dir)) {
            return Ok(());
        }
        *live = None;
        let mut journal = Journal::open(&self.dir, true)?;
        if let Some(open) = &journal
            && segments::finish(&self.dir, open)?
        {
            journal = Journal::open(&self.dir, true)?;
        }
        if !index::path(&self.dir).exists() {
            // The lines that are in no other copy are then in two again. Other damage to it is found when it is used.
            self.join()?;
        }
        let mut found = match Live::look(&self.dir) {
            Ok(found) => found,
            Err(Miss::Store(error)) => return Err(error),
            Err(miss) => {
                self.make_view(miss)?;
                journal = Journal::open(&self.dir, true)?;
                Live::look(&self.dir).map_err(Miss::into_store)?
            }
        };
        let Some(journal) = journal else { return Err(StoreError::Missing { dir: self.dir.clone() }) };
        self.settle_tail(&journal, &found.known.end, &found.known.tail)?;
        found.known.tail = End::Clean;
        found.reopen(&self.dir, journal);
        if let Err(error) = found.write_down() {
            self.note(format!("the view could not be brought up to date ({error})"));
        }
        *live = Some(found);
        Ok(())
    }

    /// The view's files turned out to be damaged: they are moved away and made again. The caller holds the lock.
    pub fn remake(&self, live: &mut Option<Live>, error: &ViewError) -> Result<(), StoreError> {
        *live = None;
        self.make_view(Miss::NoView(NoView::Unusable(error.to_string())))?;
        self.attach(live)
    }

    /// Whether the index can be read and is as another version of imgctl keeps it.
    pub fn is_of_another_version(&self) -> bool {
        let path = index::path(&self.dir);
        let index = path.exists().then(|| self.lease.open(&path, PATIENCE).ok()).flatten();
        let applied = index.and_then(|index| index.applied().ok().flatten());
        applied.is_some_and(|applied| !applied.is_ours())
    }

    fn make_view(&self, miss: Miss) -> Result<(), StoreError> {
        let joined = self.join()?;
        let why = match miss {
            Miss::Far => return self.fold_into_view(),
            // The journal has got back what the view knew, or it never had it.
            Miss::Disagrees(_) if Live::look(&self.dir).is_ok() => return Ok(()),
            Miss::Disagrees(what) => Some(what),
            Miss::NoView(NoView::Unusable(why)) => Some(why),
            Miss::NoView(NoView::Missing) => None,
            Miss::Store(error) => return Err(error),
        };
        let path = view::path(&self.dir);
        if path.exists() {
            let kept = name(&set_aside(&path)?);
            let why = why.unwrap_or_else(|| "a file of it is missing".to_owned());
            self.note(format!("the view could not be used ({why}); it was moved to {kept} and made again"));
        }
        crash::point();
        let made = match &joined.index {
            Some(index) => from_index(&self.dir, &joined.end, index),
            None => Files::begin(&self.dir, Applied::at(&Position::start()), |_| Ok(())).map(drop),
        };
        made.map_err(NoView::into_store)?;
        if joined.index.is_none() { self.fold_into_view() } else { Ok(()) }
    }

    /// Folds what the journal has and the view does not, on the disk, some at a time.
    fn fold_into_view(&self) -> Result<(), StoreError> {
        let (mut files, layers) = Files::open(&self.dir).map_err(NoView::into_store)?;
        let applied = super::records::applied(&layers)?.unwrap_or_else(|| files.base().clone());
        let missing = || StoreError::Missing { dir: self.dir.clone() };
        let journal = Journal::open(&self.dir, false)?.ok_or_else(missing)?;
        let mut known = Known::at(layers, Arc::new(journal), applied.position());
        fold_into(&mut files, &mut known)
    }
}

/// Folds what the journal has after what `known` knows into its view's files.
pub(super) fn fold_into(files: &mut Files, known: &mut Known) -> Result<(), StoreError> {
    while let Some(changes) = known.fold_some()? {
        files.append(&changes).map_err(|error| NoView::from(error).into_store())?;
        known.layers.put(changes);
        if files.is_full(false) {
            files.flush(&mut known.layers, Applied::at(&known.end)).map_err(NoView::into_store)?;
        }
    }
    Ok(())
}

/// A view of the records that the index holds; they are as of `end`.
fn from_index(dir: &std::path::Path, end: &Position, index: &Index) -> Result<(), NoView> {
    let fill = |put: &mut view::Fill<'_>| index.each(&mut |key, value| put(key, value));
    Files::begin(dir, Applied::at(end), fill).map(drop)
}

impl NoView {
    pub fn into_store(self) -> StoreError {
        StoreError::View(ViewError::Unreadable(match self {
            Self::Missing => "the view is missing".to_owned(),
            Self::Unusable(why) => why,
        }))
    }
}

impl Miss {
    fn into_store(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::NoView(error) => error.into_store(),
            Self::Disagrees(what) => Trouble::Index(what).into_store(),
            Self::Far => Trouble::Away.into_store(),
        }
    }
}

/// Records folded from all entries, in a directory that nobody else sees; gone when dropped.
pub(super) struct Replay {
    pub layers: Layers,
    dir: tempfile::TempDir,
}

impl Replay {
    pub fn of(journal: Journal) -> Result<Self, StoreError> {
        let named = PathBuf::from("a temporary directory");
        let dir = tempfile::tempdir().map_err(io("create", &named))?;
        Self::within(dir, journal)
    }

    pub fn within(dir: tempfile::TempDir, journal: Journal) -> Result<Self, StoreError> {
        let start = Position::start();
        let begun = Files::begin(dir.path(), Applied::at(&start), |_| Ok(()));
        let (mut files, layers) = begun.map_err(NoView::into_store)?;
        let mut known = Known::at(layers, Arc::new(journal), start);
        fold_into(&mut files, &mut known)?;
        Ok(Self { layers: known.layers, dir })
    }

    /// Where its files are.
    pub fn view(&self) -> PathBuf {
        view::path(self.dir.path())
    }
}
