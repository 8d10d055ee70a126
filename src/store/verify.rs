//! Proof that both copies are whole and agree: every entry, every link of the chain, every keyed record.

use super::attach::{Scratch, Trouble, catch_up, damaged, line};
use super::folded::Folded;
use super::index::{self, Difference, Index, OpenError};
use super::journal::{self, End, Journal};
use super::records::{Position, View};
use super::{DiskStore, StoreError};
use crate::model::{Entry, Head, LedgerView, Seq};
use jiff::Timestamp;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

/// How long the index is waited for: without it only half of the proof can be given.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub head: Head,
    pub entries: u64,
    /// When the first and the last entry were written, by the clocks of those who wrote them. A clock that went
    /// backwards is no damage: the order of entries is their number.
    pub oldest: Timestamp,
    pub newest: Timestamp,
}

impl DiskStore {
    /// Walks both copies and changes neither. `progress` hears of bytes of the journal: done, of all.
    ///
    /// The first bad entry or record is the error, with its file and, in the journal, its byte offset.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified, StoreError> {
        let _lock = match self.shared.lock() {
            Err(StoreError::Io { source, .. })
                if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
            {
                return self.verify_journal();
            }
            lock => lock?,
        };
        let journal = self.journal()?;
        let (scratch, end) = self.prove_journal(&journal, progress)?;
        let fresh = scratch.index().map_err(Trouble::into_store)?;
        let entry = |seq| line(fresh, seq).map_err(Trouble::into_store);
        let verified = verified(&journal, &end, entry)?;
        self.prove_index(&journal, &end, fresh)?;
        Ok(verified)
    }

    /// Where nothing can be written, sled cannot be opened: the journal alone is proved.
    fn verify_journal(&self) -> Result<Verified, StoreError> {
        let journal = self.journal()?;
        let folded = Folded::read(self.journal()?)?;
        self.shared.note("the index was not verified: its directory cannot be written to".to_owned());
        let view = View { records: &folded, head: folded.end.head() };
        verified(&journal, &folded.end, |seq| Ok(view.entry(seq)?))
    }

    pub(super) fn journal(&self) -> Result<Journal, StoreError> {
        let file = journal::path(&self.shared.dir);
        Journal::open(&self.shared.dir, false)?.ok_or_else(|| StoreError::Damaged {
            what: "the journal is missing".to_owned(),
            file,
            offset: None,
        })
    }

    /// The journal's chain, and the records that follow from it.
    fn prove_journal(
        &self,
        journal: &Journal,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Scratch, Position), StoreError> {
        let scratch = self.shared.scratch("index.check").map_err(Trouble::into_store)?;
        let total = journal.len()?;
        let index = scratch.index().map_err(Trouble::into_store)?;
        let walked = catch_up(index, journal, &Position::start(), &mut |done| progress(done, total))
            .map_err(Trouble::into_store)?;
        match walked.end {
            End::Damaged { what } => return Err(damaged(journal, &walked.good, what)),
            // Never acknowledged, unless the index knows of more: that is asked next.
            End::Torn { .. } => self
                .shared
                .note("the journal ends in a write that was cut short; the next write moves it aside".to_owned()),
            End::Clean => {}
        }
        progress(total, total);
        Ok((scratch, walked.good))
    }

    /// The index, record by record, beside one that was built just now.
    fn prove_index(&self, journal: &Journal, end: &Position, fresh: &Index) -> Result<(), StoreError> {
        let file = index::path(&self.shared.dir);
        let bad = |what: String| StoreError::Damaged { what, file: file.clone(), offset: None };
        let index = match self.index() {
            Ok(index) => index?,
            Err(why) => return Err(bad(format!("the index cannot be used: {why}"))),
        };
        let applied = index.applied()?.ok_or_else(|| bad("the index is empty".to_owned()))?;
        if applied.seq > end.seq {
            let what =
                format!("entries {} to {} are in the index, and lost from the journal", end.seq.next(), applied.seq);
            return Err(damaged(journal, end, what));
        }
        let place = applied.position();
        if !journal.joins(&place)? {
            return Err(bad(format!("at entry {} the index holds another history than the journal", place.seq)));
        }
        // That it lags behind is no damage: a process that was killed leaves it so.
        catch_up(&index, journal, &place, &mut |_| ()).map_err(|trouble| unusable(trouble, &bad))?;
        match index.compare(fresh) {
            Ok(None) => Ok(()),
            Ok(Some(difference)) => Err(bad(told(&difference))),
            Err(error) => Err(bad(error.to_string())),
        }
    }

    /// The open index; else why it cannot be used, unless it only is in use.
    pub(super) fn index(&self) -> Result<Result<Arc<Index>, StoreError>, String> {
        let path = index::path(&self.shared.dir);
        if !path.exists() {
            return Err("it is missing".to_owned());
        }
        match self.shared.lease.open(&path, PATIENCE) {
            Ok(index) => match self.shared.usable(&index) {
                Ok(_) => Ok(Ok(index)),
                Err(Trouble::Index(why)) => Err(why),
                Err(trouble) => Ok(Err(trouble.into_store())),
            },
            Err(OpenError::Broken(why)) => Err(why),
            Err(OpenError::Busy | OpenError::Unavailable) => {
                Ok(Err(StoreError::Busy { dir: self.shared.dir.clone(), holder: None, waited: PATIENCE }))
            }
        }
    }
}

fn unusable(trouble: Trouble, bad: &dyn Fn(String) -> StoreError) -> StoreError {
    match trouble {
        Trouble::Index(why) => bad(format!("the index cannot be used: {why}")),
        trouble => trouble.into_store(),
    }
}

fn verified(
    journal: &Journal,
    end: &Position,
    entry: impl Fn(Seq) -> Result<Option<Entry>, StoreError>,
) -> Result<Verified, StoreError> {
    let at = |seq| entry(seq).map(|entry| entry.map(|entry| entry.at));
    match (at(Seq(1))?, at(end.seq)?) {
        (Some(oldest), Some(newest)) => Ok(Verified { head: end.head(), entries: end.seq.0, oldest, newest }),
        _ => Err(damaged(journal, end, "the journal holds no entry".to_owned())),
    }
}

/// A difference in words.
pub(super) fn told(difference: &Difference) -> String {
    let (key, how) = match difference {
        Difference::Missing(key) => (key, "is missing from the index"),
        Difference::Different(key) => (key, "is not in the index as the journal's entries make it"),
        Difference::Extra(key) => (key, "is in the index, and follows from no entry"),
    };
    match key.strip_prefix('e').and_then(|seq| seq.parse::<u64>().ok()) {
        Some(seq) => format!("entry {seq} {how}"),
        None => format!("the record `{}` {how}", key.get(1..).unwrap_or_default()),
    }
}
