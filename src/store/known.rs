//! All that is known at one moment: keyed records from the view, entries' own lines from the journal.

use super::StoreError;
use super::journal::{End, Journal};
use super::records::{Batch, Changes, MILESTONE, Position, Records, Span, milestone_key};
use super::view::Layers;
use crate::model::{EntryError, IllegalEntry, Seq, ViewError};
use std::sync::Arc;

/// How many entries are folded before what they changed is put away.
const CHUNK: u64 = 1024;

/// Records as of `end`. Clones are cheap and do not change.
#[derive(Clone)]
pub(super) struct Known {
    pub layers: Layers,
    pub journal: Arc<Journal>,
    pub end: Position,
    /// What stands after `end`, if anything does.
    pub tail: End,
}

impl Known {
    /// Folds the whole journal in memory: for readers where neither view nor lock can be had. Time and memory grow with
    /// the ledger.
    pub fn fold(journal: Journal) -> Result<Self, StoreError> {
        let mut known = Self::at(Layers::empty(0), Arc::new(journal), Position::start());
        known.fold_on()?;
        Ok(known)
    }

    pub fn at(layers: Layers, journal: Arc<Journal>, end: Position) -> Self {
        Self { layers, journal, end, tail: End::Clean }
    }

    /// Folds what the journal has after `end`, and says what that changed.
    pub fn fold_on(&mut self) -> Result<Changes, StoreError> {
        let mut all = Changes::new();
        while let Some(changes) = self.fold_some()? {
            self.layers.put(changes.clone());
            all.extend(changes);
        }
        Ok(all)
    }

    /// Folds some of what the journal has after `end`; the changes are for the caller to put. `None` at the end.
    pub fn fold_some(&mut self) -> Result<Option<Changes>, StoreError> {
        let (journal, len) = (self.journal.clone(), self.journal.len()?);
        if self.end.offset >= len || self.tail != End::Clean {
            return Ok(None);
        }
        let mut batch = Batch::after(&self.layers, self.end.clone())?;
        let walked = journal.some(&self.end, len, CHUNK, &mut |entry, _| {
            let before = batch.end().clone();
            batch.push(&entry).map_err(|error| impossible(&journal, &before, error))
        })?;
        let changes = batch.take();
        if let End::Damaged { what } = walked.end {
            return Err(damaged(&journal, &walked.good, what));
        }
        let moved = walked.good != self.end;
        (self.end, self.tail) = (walked.good, walked.end);
        Ok(moved.then_some(changes))
    }

    /// An entry's line, proved by its hash: the journal's own, never a copy.
    fn line(&self, seq: Seq) -> Result<Option<String>, ViewError> {
        if seq == Seq(0) || seq > self.end.seq {
            return Ok(None);
        }
        let unreadable = |error: StoreError| damaged_entry(seq, error.to_string());
        let milestone = Seq(seq.0 - seq.0 % MILESTONE);
        let (begin, first) = match self.layers.read(&milestone_key(milestone))? {
            Some(offset) => (offset.parse().unwrap_or(u64::MAX), milestone),
            None => (0, Seq(1)),
        };
        let mut lines = self.journal.lines(begin, self.end.offset);
        for _ in first.0..seq.0 {
            lines.next_line().map_err(unreadable)?;
        }
        match lines.next_line().map_err(unreadable)?.map(|line| line.entry()) {
            Some(Ok(entry)) if entry.seq == seq => Ok(Some(entry.line().to_owned())),
            Some(Err(what)) => Err(damaged_entry(seq, what)),
            _ => Err(damaged_entry(seq, "another one stands in its place in the journal".to_owned())),
        }
    }
}

/// The journal's own line is bad: no other copy of the records can help that.
fn damaged_entry(seq: Seq, what: String) -> ViewError {
    ViewError::Entry { seq, source: EntryError::Malformed(what) }
}

impl Records for Known {
    fn read(&self, key: &str) -> Result<Option<String>, ViewError> {
        match key.strip_prefix('e').and_then(|seq| seq.parse().ok()) {
            Some(seq) => self.line(Seq(seq)),
            None => self.layers.read(key),
        }
    }

    fn range(&self, span: &Span, limit: usize) -> Result<Vec<(String, String)>, ViewError> {
        self.layers.range(span, limit)
    }
}

/// The error for an entry that is well formed and in its place, but cannot have happened: the history was not made by imgctl.
pub(super) fn impossible(journal: &Journal, before: &Position, error: IllegalEntry) -> StoreError {
    match error {
        IllegalEntry::View { source, .. } => StoreError::View(source),
        IllegalEntry::Impossible { .. } | IllegalEntry::Newer { .. } => damaged(journal, before, format!("{error}")),
    }
}

/// The journal is damaged just after `good`.
pub(super) fn damaged(journal: &Journal, good: &Position, what: String) -> StoreError {
    let (file, offset) = journal.place(good.offset);
    StoreError::Damaged { what, file: file.to_path_buf(), offset: Some(offset) }
}
