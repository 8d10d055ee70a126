//! The keyed records of a ledger, wherever they are kept: one layout of keys, one view over them, one batch of changes.

use super::{NewerEntry, StoreError};
use crate::model::{
    Actor, Digest, Entry, Event, FORMAT, Head, IllegalEntry, LedgerView, Order, Seq, Table, ViewError, transition,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// How far the records follow the journal. `!` sorts before every table's letter.
pub(super) const APPLIED: &str = "!applied";
/// The first entry that this imgctl could not fold.
pub(super) const NEWER: &str = "!newer";

/// The version of the keyed records. Raise it whenever `transition` makes other records from the same entries, or an
/// index keeps them otherwise: an index of another version is built again from the journal.
pub(super) const FOLD: u32 = 6;

/// Keys to be set (`Some`) or removed (`None`), all at once.
pub(super) type Changes = BTreeMap<String, Option<String>>;

/// The key of a record: the table's letter, then its key there.
pub(super) fn record_key(table: Table, key: &str) -> String {
    format!("{}{key}", table.letter())
}

/// Every so many entries it is noted where one begins: a line is found without a record of its own.
pub(super) const MILESTONE: u64 = 64;

/// How many entries a piece of a batch has.
const PIECE: u64 = 256;

/// The key under which it stands where the entry `seq`, a multiple of `MILESTONE`, begins.
pub(super) fn milestone_key(seq: Seq) -> String {
    format!("#{}", seq.key())
}

/// The key of an entry's own line.
pub(super) fn entry_key(seq: Seq) -> String {
    format!("e{}", seq.key())
}

/// A place in the journal: just after the entry `seq`, which ends before byte `offset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub seq: Seq,
    pub hash: Digest,
    pub offset: u64,
}

impl Position {
    /// Before the first entry.
    pub fn start() -> Self {
        Self { seq: Seq(0), hash: Entry::root(), offset: 0 }
    }

    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash.clone() }
    }

    /// After one more entry, which ends its line.
    pub fn past(&self, entry: &Entry) -> Self {
        let length = u64::try_from(entry.line().len()).unwrap_or(u64::MAX) + 1;
        Self { seq: entry.seq, hash: entry.hash.clone(), offset: self.offset + length }
    }
}

/// What stands under `APPLIED`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Applied {
    pub seq: Seq,
    pub hash: Digest,
    pub offset: u64,
    /// The newest written form that the imgctl which folded these records knew, and the version of its records.
    pub format: u32,
    pub fold: u32,
}

impl Applied {
    /// What this imgctl notes at this place.
    pub fn at(place: &Position) -> Self {
        Self { seq: place.seq, hash: place.hash.clone(), offset: place.offset, format: FORMAT, fold: FOLD }
    }

    pub fn position(&self) -> Position {
        Position { seq: self.seq, hash: self.hash.clone(), offset: self.offset }
    }

    /// Whether this imgctl would make the same records.
    pub fn is_ours(&self) -> bool {
        (self.format, self.fold) == (FORMAT, FOLD)
    }
}

/// Records by key, in key order.
pub(super) trait Records {
    fn read(&self, key: &str) -> Result<Option<String>, ViewError>;
    fn range(&self, span: &Span, limit: usize) -> Result<Vec<(String, String)>, ViewError>;
}

impl<R: Records + ?Sized> Records for &R {
    fn read(&self, key: &str) -> Result<Option<String>, ViewError> {
        (**self).read(key)
    }
    fn range(&self, span: &Span, limit: usize) -> Result<Vec<(String, String)>, ViewError> {
        (**self).range(span, limit)
    }
}

impl<R: Records + ?Sized> Records for Arc<R> {
    fn read(&self, key: &str) -> Result<Option<String>, ViewError> {
        (**self).read(key)
    }
    fn range(&self, span: &Span, limit: usize) -> Result<Vec<(String, String)>, ViewError> {
        (**self).range(span, limit)
    }
}

impl Records for BTreeMap<String, String> {
    fn read(&self, key: &str) -> Result<Option<String>, ViewError> {
        Ok(self.get(key).cloned())
    }

    fn range(&self, span: &Span, limit: usize) -> Result<Vec<(String, String)>, ViewError> {
        if span.is_empty() {
            return Ok(Vec::new());
        }
        let rows = BTreeMap::range::<String, _>(self, (span.from.clone(), span.to.clone()));
        let pair = |(key, value): (&String, &String)| (key.clone(), value.clone());
        Ok(match span.order {
            Order::Ascending => rows.take(limit).map(pair).collect(),
            Order::Descending => rows.rev().take(limit).map(pair).collect(),
        })
    }
}

/// A run of keys and the direction to read it in.
pub(super) struct Span {
    pub from: Bound<String>,
    pub to: Bound<String>,
    pub order: Order,
}

impl Span {
    /// Keys of one table that start with `prefix`; past `after` in the direction of `order`.
    pub fn new(table: Table, prefix: &str, order: Order, after: Option<&str>) -> Self {
        let first = record_key(table, prefix);
        // Keys are names, addresses and numbers: none holds the last character that there is.
        let end = format!("{first}\u{10FFFF}");
        let after = after.map(|after| record_key(table, after));
        let (mut from, mut to) = (Bound::Included(first.clone()), Bound::Excluded(end.clone()));
        match (order, after) {
            (Order::Ascending, Some(after)) if after >= first => from = Bound::Excluded(after),
            (Order::Descending, Some(after)) if after < end => to = Bound::Excluded(after),
            _ => {}
        }
        Self { from, to, order }
    }

    /// Whether no key can be in it; maps refuse to be asked for such a range.
    pub fn is_empty(&self) -> bool {
        let (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) =
            (&self.from, &self.to)
        else {
            return false;
        };
        from >= to
    }
}

/// Keyed views over records, as of `head`.
pub(super) struct View<R> {
    pub records: R,
    pub head: Head,
}

impl<R: Records> LedgerView for View<R> {
    fn head(&self) -> Head {
        self.head.clone()
    }

    fn get(&self, table: Table, key: &str) -> Result<Option<String>, ViewError> {
        self.records.read(&record_key(table, key))
    }

    fn scan(
        &self,
        table: Table,
        prefix: &str,
        order: Order,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, String)>, ViewError> {
        let mut rows = self.records.range(&Span::new(table, prefix, order, after), limit)?;
        for (key, _) in &mut rows {
            key.remove(0);
        }
        Ok(rows)
    }

    fn entry(&self, seq: Seq) -> Result<Option<Entry>, ViewError> {
        let line = self.records.read(&entry_key(seq))?;
        line.map(|line| Entry::read(&line).map_err(|source| ViewError::Entry { seq, source })).transpose()
    }
}

/// What stands under `NEWER` in these records.
pub(super) fn newer(records: &dyn Records) -> Result<Option<NewerEntry>, ViewError> {
    decode(NEWER, records.read(NEWER)?)
}

/// What stands under `APPLIED` in these records.
pub(super) fn applied(records: &dyn Records) -> Result<Option<Applied>, ViewError> {
    decode(APPLIED, records.read(APPLIED)?)
}

fn decode<T: serde::de::DeserializeOwned>(key: &str, text: Option<String>) -> Result<Option<T>, ViewError> {
    let damaged = |error: serde_json::Error| ViewError::Damaged { key: key.to_owned(), why: error.to_string() };
    text.map(|text| serde_json::from_str(&text).map_err(damaged)).transpose()
}

/// Entries folded one after another over records that are not touched until all of them are known to be possible.
pub(super) struct Batch<'a> {
    base: &'a dyn Records,
    changes: Changes,
    /// The same changes once more, in the order in which they were made.
    pieces: Option<Pieces>,
    end: Position,
    newer: Option<NewerEntry>,
}

/// A batch in pieces, each of which leaves the records as they once were: sled keeps all that a write replaces in memory
/// until the write is done, so that many small ones cost less than a large one.
#[derive(Default)]
struct Pieces {
    whole: Vec<Changes>,
    last: Changes,
}

impl Pieces {
    fn put(&mut self, key: &str, value: Option<&str>) {
        self.last.insert(key.to_owned(), value.map(str::to_owned));
    }

    /// Ends a piece where the records follow the journal up to `end`.
    fn cut(&mut self, end: &Position) {
        if !self.last.is_empty() {
            self.put(APPLIED, Some(&json(&Applied::at(end))));
            self.whole.push(std::mem::take(&mut self.last));
        }
    }
}

impl<'a> Batch<'a> {
    pub fn after(base: &'a dyn Records, end: Position) -> Result<Self, ViewError> {
        Ok(Self { base, changes: Changes::new(), pieces: None, end, newer: newer(base)? })
    }

    /// Keeps the changes in pieces as well.
    pub fn in_pieces(mut self) -> Self {
        self.pieces = Some(Pieces::default());
        self
    }

    fn put(&mut self, key: String, value: Option<String>) {
        if let Some(pieces) = &mut self.pieces {
            pieces.put(&key, value.as_deref());
        }
        self.changes.insert(key, value);
    }

    /// Where the journal ends after what was pushed.
    pub fn end(&self) -> &Position {
        &self.end
    }

    /// Folds one entry that is already part of the chain. From the first newer one on, entries are only kept.
    pub fn push(&mut self, entry: &Entry) -> Result<(), IllegalEntry> {
        if self.newer.is_none() && entry.is_newer() {
            let newer = NewerEntry { seq: entry.seq, version: entry.version };
            self.newer = Some(newer);
            self.put(NEWER.to_owned(), Some(json(&newer)));
        }
        if self.newer.is_none() {
            let changes = transition(&View { records: &*self, head: self.end.head() }, entry)?;
            for change in changes {
                self.put(record_key(change.table, &change.key), change.value);
            }
        }
        if entry.seq.0.is_multiple_of(MILESTONE) {
            self.put(milestone_key(entry.seq), Some(self.end.offset.to_string()));
        }
        self.put(entry_key(entry.seq), Some(entry.line().to_owned()));
        self.end = self.end.past(entry);
        if let Some(pieces) = self.pieces.as_mut().filter(|_| entry.seq.0.is_multiple_of(PIECE)) {
            pieces.cut(&self.end);
        }
        Ok(())
    }

    /// Seals and folds new entries.
    pub fn compose(&mut self, at: Timestamp, by: &Actor, events: &[Event]) -> Result<Vec<Entry>, StoreError> {
        if let Some(NewerEntry { seq, version }) = self.newer {
            return Err(StoreError::Newer { seq, version });
        }
        let mut entries = Vec::new();
        for event in events {
            let seq = self.end.seq.next();
            let impossible = |why: String| StoreError::Illegal(IllegalEntry::Impossible { seq, why });
            let entry =
                Entry::seal(seq, at, by, event, &self.end.hash).map_err(|error| impossible(error.to_string()))?;
            if entry.is_newer() {
                return Err(impossible("an event that this imgctl does not know cannot be written by it".to_owned()));
            }
            self.push(&entry).map_err(StoreError::Illegal)?;
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Everything to be set at once, with the mark of how far the records then follow the journal. Once the base has
    /// it, more can be pushed.
    pub fn take(&mut self) -> Changes {
        self.changes.insert(APPLIED.to_owned(), Some(json(&Applied::at(&self.end))));
        std::mem::take(&mut self.changes)
    }

    /// The same in pieces, to be made one after the other; none unless they were asked for.
    pub fn take_pieces(&mut self) -> Vec<Changes> {
        let Some(pieces) = &mut self.pieces else { return Vec::new() };
        pieces.cut(&self.end);
        std::mem::take(&mut pieces.whole)
    }
}

impl Records for Batch<'_> {
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

/// A range of records as it will be once these changes are made to the base.
pub(super) fn range_over(
    changes: &Changes,
    span: &Span,
    limit: usize,
    base: impl FnOnce(usize) -> Result<Vec<(String, String)>, ViewError>,
) -> Result<Vec<(String, String)>, ViewError> {
    if span.is_empty() {
        return Ok(Vec::new());
    }
    let changed: Vec<_> = changes.range::<String, _>((span.from.clone(), span.to.clone())).collect();
    // Each changed key hides at most one row of the base.
    let rows = base(limit.saturating_add(changed.len()))?;
    if changed.is_empty() {
        return Ok(rows);
    }
    let mut rows: BTreeMap<String, String> = rows.into_iter().collect();
    for (key, value) in changed {
        match value {
            Some(value) => drop(rows.insert(key.clone(), value.clone())),
            None => drop(rows.remove(key)),
        }
    }
    Records::range(&rows, span, limit)
}

fn json(value: &impl Serialize) -> String {
    // Numbers and digests: serde_json cannot refuse them.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::path::Path;

    fn fixtures() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ledger")
    }

    #[test]
    fn the_same_entries_make_the_same_records_until_the_fold_is_raised() {
        let mut files: Vec<_> =
            std::fs::read_dir(fixtures().join("v1")).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let mut records = BTreeMap::new();
        let mut end = Position::start();
        for file in files {
            let entry = Entry::parse(std::fs::read_to_string(file).unwrap().trim_end()).unwrap();
            let mut batch = Batch::after(&records, end).unwrap();
            batch.push(&entry).unwrap();
            let changes = batch.take();
            end = batch.end().clone();
            super::super::memory::apply(&mut records, changes);
        }
        let mut text = String::new();
        for (key, value) in records.iter().filter(|(key, _)| !key.starts_with(['!', '#', 'e'])) {
            writeln!(text, "{key} = {value}").unwrap();
        }
        let name = format!("records.{FOLD}.txt");
        let golden = std::fs::read_to_string(fixtures().join(&name)).unwrap_or_default();
        assert!(
            text == golden,
            "the records changed: raise FOLD, and write them to fixtures/ledger/records.N.txt:\n{text}"
        );
    }

    #[test]
    fn a_batch_is_read_over_its_base() {
        let base: BTreeMap<String, String> =
            ["ia", "ib", "ic", "id"].map(|key| (key.to_owned(), "old".to_owned())).into();
        let mut batch = Batch::after(&base, Position::start()).unwrap();
        batch.changes = [("ib", None), ("ic", Some("new")), ("ie", Some("new"))]
            .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
            .into();
        let keys = |order, after, limit| -> Vec<String> {
            let rows = batch.range(&Span::new(Table::Image, "", order, after), limit).unwrap();
            rows.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
        };
        assert_eq!(keys(Order::Ascending, None, 9), ["ia=old", "ic=new", "id=old", "ie=new"]);
        assert_eq!(keys(Order::Ascending, Some("a"), 2), ["ic=new", "id=old"], "a removed key takes no place");
        assert_eq!(keys(Order::Descending, Some("d"), 2), ["ic=new", "ia=old"]);
        assert_eq!(keys(Order::Descending, Some("a"), 2), Vec::<String>::new());
    }
}
