//! Where two histories part, and who wrote what there on each side.

use super::StoreError;
use super::records::{Batch, Changes, Position, Records, Span, entry_key, range_over};
use crate::model::{Digest, Entry, Head, IllegalEntry, Seq, ViewError};
use jiff::Timestamp;
use std::fmt;

/// How many entries are folded before what they changed is put away.
const CHUNK: u64 = 256;

/// The first entry that is known to be another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    pub seq: Seq,
    pub ours: Side,
    pub theirs: Side,
    /// What was given begins after this entry: the histories may have parted before it.
    pub or_before: bool,
}

/// What one side has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    pub hash: Digest,
    /// Who wrote it, and when; of an entry that was not given only the hash is known.
    pub by: Option<(String, Timestamp)>,
}

impl Side {
    fn of(entry: &Entry) -> Self {
        Self { hash: entry.hash.clone(), by: Some((entry.by.who.clone(), entry.at)) }
    }
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, ours, theirs, or_before } = self;
        let before = if *or_before { ", or from one before it" } else { "" };
        write!(f, "the import is another history from entry {seq} on{before}: here it is ")?;
        ours.show(*seq, f)?;
        write!(f, ", there ")?;
        theirs.show(*seq, f)
    }
}

impl Side {
    fn show(&self, seq: Seq, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{seq}:{}", self.hash)?;
        self.by.as_ref().map_or(Ok(()), |(who, at)| write!(f, " (by {who}, {at:.0})"))
    }
}

/// Where what was given leaves the ledger: the entry before its first, by `base`, else the first that differs.
pub(super) fn find(
    ours: &dyn Records,
    base: &Head,
    given: &mut dyn FnMut() -> Result<Option<Entry>, StoreError>,
) -> Result<Fork, StoreError> {
    let own = |seq| -> Result<Option<Entry>, StoreError> {
        Ok(ours.read(&entry_key(seq))?.and_then(|line| Entry::read(&line).ok()))
    };
    if let Some(entry) = own(base.seq)?.filter(|entry| entry.hash != base.hash) {
        let theirs = Side { hash: base.hash.clone(), by: None };
        return Ok(Fork { seq: base.seq, ours: Side::of(&entry), theirs, or_before: true });
    }
    while let Some(entry) = given()? {
        if let Some(own) = own(entry.seq)?.filter(|own| own.hash != entry.hash) {
            return Ok(Fork { seq: entry.seq, ours: Side::of(&own), theirs: Side::of(&entry), or_before: false });
        }
    }
    // Only a ledger that changed while it was read has no answer.
    Err(StoreError::View(ViewError::Unreadable("it does not say where it differs from the import".to_owned())))
}

/// That these entries can have happened after what the ledger has: folded over its records, and kept nowhere.
pub(super) fn prove_after(
    ours: &dyn Records,
    end: Position,
    given: &mut dyn FnMut() -> Result<Option<Entry>, StoreError>,
    impossible: &dyn Fn(Seq, String) -> StoreError,
) -> Result<(), StoreError> {
    let (mut folded, mut end) = (Folding { base: ours, changes: Changes::new() }, end);
    loop {
        let mut batch = Batch::after(&folded, end.clone())?;
        while let Some(entry) = given()? {
            match batch.push(&entry) {
                Ok(()) => {}
                Err(IllegalEntry::View { source, .. }) => return Err(source.into()),
                Err(error) => return Err(impossible(entry.seq, error.to_string())),
            }
            if entry.seq.0.is_multiple_of(CHUNK) {
                break;
            }
        }
        if batch.end() == &end {
            return Ok(());
        }
        end = batch.end().clone();
        // Entries' own lines are not asked for while folding, and would be most of the memory.
        let mut changes = batch.take();
        changes.retain(|key, _| !key.starts_with('e'));
        folded.changes.extend(changes);
    }
}

/// The ledger's records as they would be with some more entries.
struct Folding<'a> {
    base: &'a dyn Records,
    changes: Changes,
}

impl Records for Folding<'_> {
    fn read(&self, key: &str) -> Result<Option<String>, ViewError> {
        match self.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.read(key),
        }
    }

    fn range(&self, span: &Span, limit: usize) -> Result<Vec<(String, String)>, ViewError> {
        range_over(&self.changes, span, limit, |more| self.base.range(span, more))
    }
}
