//! Bringing the two copies together: what the index lacks is folded into it, what the journal lost comes back from it.

use super::disk::Shared;
use super::files::{io, name, set_aside, sync_dir, write_whole};
use super::index::{self, Index, OpenError};
use super::journal::{self, End, Journal, Walked};
use super::known::{damaged, impossible};
use super::live::Live;
use super::records::{Applied, Batch, Changes, Position, Records, entry_key, newer};
use super::{StoreError, crash, view};
use crate::model::{Entry, Seq, ViewError};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How many entries go into the index at once while it catches up.
const CHUNK: u64 = 256;
/// How long the index is waited for when another process has it; then the journal is folded instead.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// Journal and index, joined. Valid while the lock is held.
pub(super) struct Joined {
    pub end: Position,
    /// `None` when the index cannot be had now.
    pub index: Option<Arc<Index>>,
}

/// Why attaching did not succeed at the first try.
pub(super) enum Trouble {
    Store(StoreError),
    /// The index must be replaced.
    Index(String),
    /// The index cannot be had now.
    Away,
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::View(error) => error.into(),
            error => Self::Store(error),
        }
    }
}

impl From<ViewError> for Trouble {
    fn from(error: ViewError) -> Self {
        Self::Index(error.to_string())
    }
}

/// An index that is built beside the real one; gone when dropped, unless it is put in place.
pub(super) struct Scratch {
    index: Option<Index>,
    path: PathBuf,
}

impl Scratch {
    pub fn index(&self) -> Result<&Index, Trouble> {
        self.index.as_ref().ok_or(Trouble::Away)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.index = None;
        // It holds nothing that is not in the journal.
        drop(fs::remove_dir_all(&self.path));
    }
}

impl Shared {
    /// Joins journal and index. The caller holds the lock.
    pub fn join(&self) -> Result<Joined, StoreError> {
        let trouble = match self.with_index() {
            Err(Trouble::Index(why)) => self.replace_index(&why).and_then(|()| self.with_index()),
            other => other,
        };
        match trouble {
            Ok(attached) => Ok(attached),
            Err(Trouble::Store(error)) => Err(error),
            Err(Trouble::Away) => self.without_index(),
            Err(Trouble::Index(why)) => {
                self.note(format!("the index cannot be used ({why}); the journal was read instead"));
                self.without_index()
            }
        }
    }

    fn with_index(&self) -> Result<Joined, Trouble> {
        let index = self.open_index()?;
        self.usable(&index)?;
        self.salvage_into(&index);
        let applied = self.usable(&index)?;
        let Some(journal) = Journal::open(&self.dir, true)? else { return self.restore_all(index, &applied) };
        match self.catch_up_from(&index, &journal, &applied)? {
            Some(end) => Ok(Joined { end, index: Some(index) }),
            None => self.restore(journal, index, &applied),
        }
    }

    /// The view's recent part holds the lines that the index does not have yet: perhaps the journal lost them.
    pub fn salvage_into(&self, index: &Index) {
        if let Some((base, changes)) = view::salvage(&self.dir)
            && let Ok(Some(applied)) = index.applied()
            && changes.contains_key(&entry_key(applied.seq.next()))
            && follows(&applied, &base, &changes)
        {
            // What cannot be handed over is not there for anybody to miss: the journal is asked first.
            drop(index.apply(lacking(&applied, changes)));
        }
    }

    fn open_index(&self) -> Result<Arc<Index>, Trouble> {
        let path = index::path(&self.dir);
        if !path.exists() {
            return Err(Trouble::Index(String::new()));
        }
        match self.lease.open(&path, PATIENCE) {
            Ok(index) => Ok(index),
            Err(OpenError::Busy | OpenError::Unavailable) => Err(Trouble::Away),
            Err(OpenError::Broken(why)) => Err(Trouble::Index(why)),
        }
    }

    /// Brings the index up to what `live` knows, durably. The caller holds the lock.
    pub fn index_up_to(&self, live: &Live) -> Result<Arc<Index>, Trouble> {
        let done = match self.fill_index(live) {
            Err(Trouble::Index(why)) => self.replace_index(&why).and_then(|()| self.fill_index(live)),
            done => done,
        };
        let index = done?;
        index.make_durable()?;
        Ok(index)
    }

    fn fill_index(&self, live: &Live) -> Result<Arc<Index>, Trouble> {
        let index = self.open_index()?;
        self.fill(&index, live)?;
        Ok(index)
    }

    /// Hands the index what it lacks of what `live` knows.
    pub fn fill(&self, index: &Index, live: &Live) -> Result<(), Trouble> {
        let (applied, end) = (self.usable(index)?, &live.known.end);
        let recent = live.known.layers.recent();
        if applied.position() == *end {
            return Ok(());
        }
        if follows(&applied, live.files.base(), recent) {
            index.apply(lacking(&applied, recent.clone()))?;
        } else if applied.offset < end.offset && live.known.journal.joins(&applied.position())? {
            catch_up(index, &live.known.journal, &applied.position(), &mut |_| ())?;
        } else {
            return Err(Trouble::Index("it holds another history than the journal".to_owned()));
        }
        Ok(())
    }

    /// How far the index follows the journal, if this imgctl can build on what it says.
    pub fn usable(&self, index: &Index) -> Result<Applied, Trouble> {
        let applied = index.applied()?.ok_or_else(|| Trouble::Index("it is empty".to_owned()))?;
        let by_another = || Trouble::Index("it was made by another version of imgctl".to_owned());
        if !applied.is_ours() {
            return Err(by_another());
        }
        if let Some(newer) = newer(index)?
            && line(index, newer.seq)?.is_some_and(|entry| !entry.is_newer())
        {
            return Err(by_another());
        }
        Ok(applied)
    }

    /// Folds what the journal has after the index's mark; `None` if the journal does not hold what the index has.
    fn catch_up_from(&self, index: &Index, journal: &Journal, applied: &Applied) -> Result<Option<Position>, Trouble> {
        let (from, len) = (applied.position(), journal.len()?);
        if from.offset > len || !journal.joins(&from)? {
            return Ok(None);
        }
        if from.offset == len {
            return Ok(Some(from));
        }
        let walked = catch_up(index, journal, &from, &mut |_| ())?;
        self.settle_tail(journal, &walked.good, &walked.end)?;
        Ok(Some(walked.good))
    }

    /// The end of the journal, with an unacknowledged write that was cut short moved out of the way. What the view has heard of
    /// was acknowledged.
    pub fn settle_tail(&self, journal: &Journal, good: &Position, end: &End) -> Result<(), StoreError> {
        // Most ends are clean, and every write comes by here: only then is the view read for it.
        let heard = if *end == End::Clean { None } else { view::end(&self.dir) };
        if let Some(seq) = heard.filter(|seq| *seq > good.seq) {
            let first = good.seq.next();
            let what = format!("entries {first} to {seq} are lost: the view has heard of them, and nothing has them");
            return Err(damaged(journal, good, what));
        }
        self.cut_tail(journal, good, end)
    }

    fn cut_tail(&self, journal: &Journal, good: &Position, end: &End) -> Result<(), StoreError> {
        match end {
            End::Clean => {}
            End::Damaged { what } => return Err(damaged(journal, good, what.clone())),
            End::Torn { .. } => {
                let kept = journal.cut(good.offset)?;
                self.note(format!("the journal ended in a write that was cut short; it was moved to {}", name(&kept)));
            }
        }
        Ok(())
    }

    /// The index has entries that the journal does not: acknowledged, and lost there. They are written to it again.
    fn restore(&self, journal: Journal, index: Arc<Index>, applied: &Applied) -> Result<Joined, Trouble> {
        let walked = journal.tail(journal.len()?)?;
        let good = walked.good.clone();
        let known = good.seq == Seq(0) || line(&index, good.seq)?.is_some_and(|entry| entry.hash == good.hash);
        if matches!(walked.end, End::Clean | End::Torn { .. }) && !(known && applied.seq > good.seq) {
            return Err(Trouble::Index("it holds another history than the journal".to_owned()));
        }
        self.cut_tail(&journal, &good, &walked.end)?;
        let mut end = good.clone();
        while end.seq < applied.seq {
            let (text, next) = lines_after(&index, &end, applied.seq)?;
            journal.append(end.offset, text.as_bytes())?;
            end = next;
        }
        self.note_restored(good.seq.next(), end.seq);
        if end != applied.position() {
            return Err(Trouble::Index("it does not agree with the journal about where entries stand".to_owned()));
        }
        Ok(Joined { end, index: Some(index) })
    }

    /// The journal is gone, the index is not.
    fn restore_all(&self, index: Arc<Index>, applied: &Applied) -> Result<Joined, Trouble> {
        let path = journal::path(&self.dir);
        // Proved before anything is written; the chain is read twice rather than held in memory.
        let mut end = Position::start();
        while end.seq < applied.seq {
            end = lines_after(&index, &end, applied.seq)?.1;
        }
        let fill = |out: &mut dyn std::io::Write| {
            let mut at = Position::start();
            while at.seq < applied.seq {
                let (text, next) = lines_after(&index, &at, applied.seq).map_err(Trouble::into_store)?;
                out.write_all(text.as_bytes()).map_err(io("write", &path))?;
                at = next;
            }
            Ok(())
        };
        write_whole(&path, fill, || Ok(()))?;
        self.note_restored(Seq(1), end.seq);
        if view::end(&self.dir).is_none() {
            self.note(format!("whether there were entries after {} nobody knows: the view cannot be read", end.seq));
        }
        Ok(Joined { end, index: Some(index) })
    }

    fn note_restored(&self, from: Seq, to: Seq) {
        self.note(format!("the journal had lost entries {from} to {to}; they were restored from the index"));
    }

    /// Builds a new index from the journal beside the old one, then puts it in its place.
    pub fn replace_index(&self, why: &str) -> Result<(), Trouble> {
        let path = index::path(&self.dir);
        let Some(journal) = Journal::open(&self.dir, true)? else {
            let what = format!("the journal is missing, and the index cannot be used ({why})");
            return Err(StoreError::Damaged { what, file: journal::path(&self.dir), offset: None }.into());
        };
        let scratch = self.scratch("index.new")?;
        let walked = catch_up(scratch.index()?, &journal, &Position::start(), &mut |_| ())?;
        if let End::Damaged { what } = walked.end {
            return Err(damaged(&journal, &walked.good, what).into());
        }
        crash::point();
        self.lease.close();
        if path.exists() {
            let kept = set_aside(&path)?;
            self.note(format!(
                "the index could not be used ({why}); it was moved to {} and built again from the journal",
                name(&kept)
            ));
        } else if walked.good.seq > Seq(1) {
            self.note("the index was missing; it was built again from the journal".to_owned());
        }
        self.put_in_place(scratch)?;
        Ok(())
    }

    /// An empty index under a name of its own.
    pub fn scratch(&self, name: &str) -> Result<Scratch, Trouble> {
        let path = self.dir.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(io("remove", &path))?;
        }
        match Index::open(&path, PATIENCE) {
            Ok(index) => Ok(Scratch { index: Some(index), path }),
            Err(_) => Err(Trouble::Away),
        }
    }

    /// Makes a scratch index the index. There is none in its place any more.
    pub fn put_in_place(&self, mut scratch: Scratch) -> Result<(), StoreError> {
        if let Some(index) = scratch.index.take() {
            index.settle()?;
        }
        let path = index::path(&self.dir);
        fs::rename(&scratch.path, &path).map_err(io("rename", &scratch.path))?;
        crash::point();
        sync_dir(&self.dir)
    }

    fn without_index(&self) -> Result<Joined, StoreError> {
        let missing = || StoreError::Missing { dir: self.dir.clone() };
        let journal = Journal::open(&self.dir, true)?.ok_or_else(missing)?;
        let len = journal.len()?;
        let walked = journal.walk(&Position::start(), len, &mut |_, _| Ok(()))?;
        match walked.end {
            End::Clean => Ok(Joined { end: walked.good, index: None }),
            End::Damaged { what } => Err(damaged(&journal, &walked.good, what)),
            // Only the index can tell whether those bytes were once acknowledged.
            End::Torn { .. } => Err(StoreError::Busy { dir: self.dir.clone(), holder: None, waited: PATIENCE }),
        }
    }
}

/// Without the lines that are there: what is wrong with those is found and told, not written over.
fn lacking(applied: &Applied, mut changes: Changes) -> Changes {
    let last = entry_key(applied.seq);
    changes.retain(|key, _| !key.starts_with('e') || *key > last);
    changes
}

/// Whether `changes`, which begin after `base`, can be made to records that are as of `applied`: they say what is true
/// afterwards, so it does no harm when some of it was known.
fn follows(applied: &Applied, base: &Applied, changes: &Changes) -> bool {
    let position = applied.position();
    if position == base.position() {
        return true;
    }
    let line = changes.get(&entry_key(applied.seq)).and_then(Option::as_deref);
    line.and_then(|line| Entry::read(line).ok()).is_some_and(|entry| entry.hash == applied.hash)
}

impl Trouble {
    pub fn into_store(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Index(why) => StoreError::View(ViewError::Unreadable(why)),
            Self::Away => StoreError::View(ViewError::Unreadable("it is in use".to_owned())),
        }
    }
}

/// Folds the journal's entries after `from` into the index, some at a time. `each` hears how far it is, in bytes.
pub(super) fn catch_up(
    index: &Index,
    journal: &Journal,
    from: &Position,
    each: &mut dyn FnMut(u64),
) -> Result<Walked, Trouble> {
    let mut batch = Batch::after(index, from.clone())?;
    let walked = journal.walk(from, journal.len()?, &mut |entry, place| {
        let before = batch.end().clone();
        batch.push(&entry).map_err(|error| impossible(journal, &before, error))?;
        if place.seq.0.is_multiple_of(CHUNK) {
            index.apply(batch.take())?;
            each(place.offset);
        }
        Ok(())
    })?;
    index.apply(batch.take())?;
    crash::point();
    Ok(walked)
}

/// An entry as the index has it.
pub(super) fn line(index: &Index, seq: Seq) -> Result<Option<Entry>, Trouble> {
    let line = index.read(&entry_key(seq))?;
    line.map(|line| Entry::parse(&line).map_err(|error| Trouble::Index(error.to_string()))).transpose()
}

/// Some lines of the index that follow `from` in the chain, and where they then end.
fn lines_after(index: &Index, from: &Position, to: Seq) -> Result<(String, Position), Trouble> {
    let (mut text, mut end) = (String::new(), from.clone());
    while end.seq < to && text.len() < 1 << 20 {
        let seq = end.seq.next();
        let entry = line(index, seq)?.filter(|entry| entry.prev == end.hash && entry.seq == seq);
        let entry = entry.ok_or_else(|| Trouble::Index(format!("it lacks entry {seq}, which the journal has lost")))?;
        text.push_str(entry.line());
        text.push('\n');
        let length = u64::try_from(entry.line().len()).unwrap_or(u64::MAX);
        end = Position { seq, hash: entry.hash, offset: end.offset + length + 1 };
    }
    Ok((text, end))
}
