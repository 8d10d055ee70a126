//! Memory: where entries are kept. Two copies, one truth: the journal is the commit point, the index is derived.

use crate::model::{Actor, Entry, Event, Head, IllegalEntry, LedgerView, Seq, ViewError};
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::Duration;

/// Keeps the ledger. All methods return only when what they wrote is durable.
pub trait LedgerStore: Send + Sync {
    /// What is known now. Never waits for a writer, never shows half an entry.
    fn view(&self) -> Result<Box<dyn LedgerView + '_>, StoreError>;

    /// Begins work: appends only if `base` is still the head, else `Moved`.
    fn claim(&self, base: Seq, at: Timestamp, by: &Actor, event: &Event) -> Result<Entry, StoreError>;

    /// Reports what happened: never refused for being late.
    fn append(&self, at: Timestamp, by: &Actor, event: &Event) -> Result<Entry, StoreError> {
        let mut entries = self.append_all(at, by, std::slice::from_ref(event))?;
        entries.pop().ok_or(StoreError::NothingToAppend)
    }

    /// Reports several things at once: all become durable together, with one fdatasync, or none does.
    fn append_all(&self, at: Timestamp, by: &Actor, events: &[Event]) -> Result<Vec<Entry>, StoreError>;
}
