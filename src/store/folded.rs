//! The journal folded in memory: the same answers as the index, for readers that cannot have it now.

use super::journal::{End, Journal};
use super::records::{Batch, Position, Records, Span};
use super::{StoreError, memory};
use crate::model::{IllegalEntry, ViewError};
use std::collections::BTreeMap;

/// Every keyed record, and where each entry's line begins; the lines themselves stay in the file.
pub(super) struct Folded {
    records: BTreeMap<String, String>,
    begins: Vec<u64>,
    journal: Journal,
    pub end: Position,
    /// What stands after `end`, if anything does.
    pub tail: End,
}

impl Folded {
    /// Folds every whole entry. Time and memory grow with the ledger.
    pub fn read(journal: Journal) -> Result<Self, StoreError> {
        let (mut records, mut begins) = (BTreeMap::new(), Vec::new());
        let mut last = Position::start();
        let walked = journal.walk(&last.clone(), journal.len()?, &mut |entry, place| {
            let mut batch = Batch::after(&records, last.head())?;
            batch.push(&entry).map_err(|error| impossible(&journal, &last, error))?;
            let mut changes = batch.take(place.offset);
            changes.retain(|key, _| !key.starts_with('e'));
            memory::apply(&mut records, changes);
            begins.push(last.offset);
            last = place.clone();
            Ok(())
        })?;
        if let End::Damaged { what } = walked.end {
            return Err(StoreError::Damaged {
                what,
                file: journal.path().to_path_buf(),
                offset: Some(walked.good.offset),
            });
        }
        Ok(Self { records, begins, journal, end: walked.good, tail: walked.end })
    }

    fn line(&self, key: &str) -> Option<Result<String, StoreError>> {
        let seq: usize = key.strip_prefix('e')?.parse().ok()?;
        let begin = *self.begins.get(seq.checked_sub(1)?)?;
        let mut lines = self.journal.lines(begin, self.end.offset);
        match lines.next_line() {
            Ok(line) => line.and_then(|line| line.entry().ok()).map(|entry| Ok(entry.line().to_owned())),
            Err(error) => Some(Err(error)),
        }
    }
}

impl Records for Folded {
    fn read(&self, key: &str) -> Result<Option<String>, ViewError> {
        match self.records.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None => self.line(key).transpose().map_err(|error| ViewError::Unreadable(error.to_string())),
        }
    }

    fn range(&self, span: &Span, limit: usize) -> Result<Vec<(String, String)>, ViewError> {
        Records::range(&self.records, span, limit)
    }
}

/// The error for an entry that is well formed and in its place, but cannot have happened: the history was not made by imgctl.
pub(super) fn impossible(journal: &Journal, before: &Position, error: IllegalEntry) -> StoreError {
    match error {
        IllegalEntry::View { source, .. } => StoreError::View(source),
        IllegalEntry::Impossible { .. } | IllegalEntry::Newer { .. } => StoreError::Damaged {
            what: format!("{error}"),
            file: journal.path().to_path_buf(),
            offset: Some(before.offset),
        },
    }
}
