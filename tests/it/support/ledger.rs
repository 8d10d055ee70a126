//! A ledger in memory that can die: after a number of writes every further one fails, as if the process had been killed.

use imgctl::model::{Actor, Change, Digest, Entry, Event, Head, LedgerView, Order, Seq, Table, ViewError, transition};
use imgctl::store::{LedgerStore, NewerEntry, StoreError};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

#[derive(Default, Clone)]
pub struct View {
    pub entries: Vec<Entry>,
    tables: BTreeMap<(Table, String), String>,
}

impl LedgerView for View {
    fn head(&self) -> Head {
        self.entries.last().map_or_else(Head::empty, |entry| Head { seq: entry.seq, hash: entry.hash.clone() })
    }

    fn get(&self, table: Table, key: &str) -> Result<Option<String>, ViewError> {
        Ok(self.tables.get(&(table, key.to_owned())).cloned())
    }

    fn scan(
        &self,
        table: Table,
        prefix: &str,
        order: Order,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, String)>, ViewError> {
        let rows = self.tables.iter().filter(|((t, key), _)| *t == table && key.starts_with(prefix));
        let mut rows: Vec<(String, String)> = rows.map(|((_, key), value)| (key.clone(), value.clone())).collect();
        if order == Order::Descending {
            rows.reverse();
        }
        if let Some(after) = after {
            let at = rows.iter().position(|(key, _)| key == after).map_or(rows.len(), |at| at + 1);
            rows.drain(..at);
        }
        rows.truncate(limit);
        Ok(rows)
    }

    fn entry(&self, seq: Seq) -> Result<Option<Entry>, ViewError> {
        Ok(self.entries.get(usize::try_from(seq.0).unwrap().wrapping_sub(1)).cloned())
    }
}

pub struct Mortal {
    view: Mutex<View>,
    /// Writes left before it dies; negative: immortal.
    left: AtomicI64,
}

impl Mortal {
    pub fn new(at: Timestamp, by: &Actor) -> Self {
        let store = Self { view: Mutex::default(), left: AtomicI64::new(-1) };
        store.append(at, by, &Event::LedgerCreated { id: uuid::Uuid::from_u128(rand_id()) }).unwrap();
        store
    }

    pub fn dies_after(&self, writes: i64) {
        self.left.store(writes, Ordering::SeqCst);
    }

    pub fn lives(&self) {
        self.left.store(-1, Ordering::SeqCst);
    }

    pub fn snapshot(&self) -> View {
        self.view.lock().unwrap().clone()
    }
}

fn rand_id() -> u128 {
    u128::from(std::process::id()) << 64 | u128::try_from(Timestamp::now().as_nanosecond()).unwrap()
}

impl LedgerStore for Mortal {
    fn newer(&self) -> Result<Option<NewerEntry>, StoreError> {
        Ok(None)
    }

    fn view(&self) -> Result<Box<dyn LedgerView + '_>, StoreError> {
        Ok(Box::new(self.snapshot()))
    }

    fn claim(&self, base: Seq, at: Timestamp, by: &Actor, event: &Event) -> Result<Entry, StoreError> {
        let head = self.snapshot().head();
        if head.seq != base {
            return Err(StoreError::Moved { base, head });
        }
        self.append(at, by, event)
    }

    fn append_all(&self, at: Timestamp, by: &Actor, events: &[Event]) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for event in events {
            match self.left.load(Ordering::SeqCst) {
                0 => return Err(StoreError::NothingToAppend),
                left if left > 0 => self.left.store(left - 1, Ordering::SeqCst),
                _ => {}
            }
            let mut view = self.view.lock().unwrap();
            let head = view.head();
            let prev: Digest = head.hash;
            let entry = Entry::seal(head.seq.next(), at, by, event, &prev).unwrap();
            for Change { table, key, value } in transition(&*view, &entry).map_err(StoreError::Illegal)? {
                match value {
                    Some(value) => view.tables.insert((table, key), value),
                    None => view.tables.remove(&(table, key)),
                };
            }
            view.entries.push(entry.clone());
            entries.push(entry);
        }
        Ok(entries)
    }
}
