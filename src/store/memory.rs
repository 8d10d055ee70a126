//! A ledger that is forgotten with the process: for tests, and the fold that readers fall back on.

use super::records::{Batch, Changes, Position, Records, View, newer};
use super::{LedgerStore, NewerEntry, StoreError};
use crate::model::{Actor, Entry, Event, LedgerView, Seq};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use uuid::Uuid;

/// A ledger in maps. A view is what was true when it was taken.
pub struct MemoryStore(RwLock<Arc<Kept>>);

#[derive(Clone)]
struct Kept {
    records: BTreeMap<String, String>,
    end: Position,
}

/// Sets and removes what a batch says.
pub(super) fn apply(records: &mut BTreeMap<String, String>, changes: Changes) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(records.insert(key, value)),
            None => drop(records.remove(&key)),
        }
    }
}

impl MemoryStore {
    /// A new ledger, with its first entry.
    pub fn create(id: Uuid, at: Timestamp, by: &Actor) -> Result<Self, StoreError> {
        let store = Self(RwLock::new(Arc::new(Kept { records: BTreeMap::new(), end: Position::start() })));
        store.append(at, by, &Event::LedgerCreated { id })?;
        Ok(store)
    }

    fn kept(&self) -> Arc<Kept> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn commit(&self, base: Option<Seq>, at: Timestamp, by: &Actor, events: &[Event]) -> Result<Vec<Entry>, StoreError> {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = base.filter(|base| *base != kept.end.seq) {
            return Err(StoreError::Moved { base, head: kept.end.head() });
        }
        let mut batch = Batch::after(&kept.records, kept.end.clone())?;
        let entries = batch.compose(at, by, events)?;
        let (changes, end) = (batch.take(), batch.end().clone());
        let kept = Arc::make_mut(&mut kept);
        apply(&mut kept.records, changes);
        kept.end = end;
        Ok(entries)
    }
}

impl LedgerStore for MemoryStore {
    fn view(&self) -> Result<Box<dyn LedgerView + '_>, StoreError> {
        let kept = self.kept();
        let head = kept.end.head();
        Ok(Box::new(View { records: kept, head }))
    }

    fn claim(&self, base: Seq, at: Timestamp, by: &Actor, event: &Event) -> Result<Entry, StoreError> {
        let mut entries = self.commit(Some(base), at, by, std::slice::from_ref(event))?;
        entries.pop().ok_or(StoreError::NothingToAppend)
    }

    fn append_all(&self, at: Timestamp, by: &Actor, events: &[Event]) -> Result<Vec<Entry>, StoreError> {
        self.commit(None, at, by, events)
    }

    fn newer(&self) -> Result<Option<NewerEntry>, StoreError> {
        Ok(newer(&self.kept().records)?)
    }
}

impl Records for Kept {
    fn read(&self, key: &str) -> Result<Option<String>, crate::model::ViewError> {
        self.records.read(key)
    }

    fn range(
        &self,
        span: &super::records::Span,
        limit: usize,
    ) -> Result<Vec<(String, String)>, crate::model::ViewError> {
        Records::range(&self.records, span, limit)
    }
}
