//! All views of one history agree: memory, the index, what is read without it, and an index made anew.

use super::history::{Dice, propose};
use super::{ana, at, create, dump, dump_of, open, verify};
use imgctl::model::{Cause, Event, LedgerView, Order, Outcome, Seq, Table};
use imgctl::store::{DiskStore, LedgerStore, MemoryStore, StoreError};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::TempDir;

type Rows = Vec<(String, String)>;

/// A scan as its contract has it, over every row of the table in key order.
fn scanned(all: &Rows, prefix: &str, order: Order, after: Option<&str>, limit: usize) -> Rows {
    let mut rows: Rows = all.iter().filter(|(key, _)| key.starts_with(prefix)).cloned().collect();
    if order == Order::Descending {
        rows.reverse();
    }
    rows.retain(|(key, _)| {
        after.is_none_or(|after| if order == Order::Ascending { key.as_str() > after } else { key.as_str() < after })
    });
    rows.truncate(limit);
    rows
}

/// Some key of the table, a part of one, or a word that is none.
fn any_key(dice: &mut Dice, all: &Rows) -> String {
    let at = usize::try_from(dice.roll(all.len() as u64 + 1)).unwrap();
    let Some((key, _)) = all.get(at) else { return "zzz".to_owned() };
    if dice.roll(2) == 0 { key.clone() } else { key.chars().take(usize::try_from(dice.roll(24)).unwrap()).collect() }
}

/// Every table with random prefixes, both orders, places to go on after, and limits; single records; every entry.
fn agree(dice: &mut Dice, questions: u64, views: &[(&str, &dyn LedgerView)]) {
    let (_, first) = views[0];
    let tables = Table::ALL.map(|table| (table, first.scan(table, "", Order::Ascending, None, usize::MAX).unwrap()));
    for (name, view) in views {
        assert_eq!(view.head(), first.head(), "{name}");
        for (table, all) in &tables {
            assert_eq!(&view.scan(*table, "", Order::Ascending, None, usize::MAX).unwrap(), all, "{name}: {table:?}");
        }
        for seq in 0..=first.head().seq.0 + 1 {
            assert_eq!(view.entry(Seq(seq)).unwrap(), first.entry(Seq(seq)).unwrap(), "{name}: entry {seq}");
        }
    }
    for (table, all) in &tables {
        for _ in 0..questions {
            let prefix = any_key(dice, all).chars().take(usize::try_from(dice.roll(12)).unwrap()).collect::<String>();
            let after = (dice.roll(3) > 0).then(|| any_key(dice, all));
            let order = if dice.roll(2) == 0 { Order::Ascending } else { Order::Descending };
            let limit = if dice.roll(4) == 0 { usize::MAX } else { usize::try_from(dice.roll(7)).unwrap() };
            let (key, expected) = (any_key(dice, all), scanned(all, &prefix, order, after.as_deref(), limit));
            let held = all.iter().find(|(held, _)| *held == key).map(|(_, value)| value.clone());
            for (name, view) in views {
                let rows = view.scan(*table, &prefix, order, after.as_deref(), limit).unwrap();
                assert_eq!(rows, expected, "{name}: {table:?} `{prefix}` {order:?} after {after:?}, {limit}");
                assert_eq!(view.get(*table, &key).unwrap(), held, "{name}: {table:?} {key}");
            }
        }
    }
}

/// One history in memory and on the disk, written in batches as a scan or an import would, with restarts in between.
struct Twins {
    memory: MemoryStore,
    disk: DiskStore,
    dice: Dice,
    legal: u64,
    batch: Vec<Event>,
}

/// All of a batch carry one time, so the two chains are one.
const BATCH: u64 = 40;

impl Twins {
    fn born(dir: &Path, seed: u64) -> Self {
        let memory = MemoryStore::create(uuid::Uuid::from_u128(7), at(0), &ana()).unwrap();
        Self { memory, disk: create(dir), dice: Dice(seed), legal: 0, batch: Vec::new() }
    }

    /// Most of what is proposed can happen; what cannot, both refuse.
    fn live(&mut self, dir: &Path, events: u64) {
        while self.legal < events {
            let event = propose(&mut self.dice, &*self.memory.view().unwrap());
            let second = at(self.legal / BATCH);
            if self.memory.append(second, &ana(), &event).is_ok() {
                self.batch.push(event);
                self.legal += 1;
            } else if self.batch.is_empty() {
                assert!(matches!(self.disk.append(second, &ana(), &event), Err(StoreError::Illegal(_))), "{event:?}");
            }
            if self.legal.is_multiple_of(BATCH) && !self.batch.is_empty() {
                let batch = std::mem::take(&mut self.batch);
                self.disk.append_all(at((self.legal - 1) / BATCH), &ana(), &batch).unwrap();
                if self.dice.roll(4) == 0 {
                    self.disk = open(dir);
                }
            }
        }
    }

    fn agree(&mut self, dir: &Path, questions: u64) {
        let reader = open(dir);
        let (memory, writer, reader) = (self.memory.view().unwrap(), self.disk.view().unwrap(), reader.view().unwrap());
        let views: [(&str, &dyn LedgerView); 3] =
            [("memory", &*memory), ("who writes", &*writer), ("who only reads", &*reader)];
        agree(&mut self.dice, questions, &views);
    }

    /// What is read while a writer is busy, and an index that was made from nothing.
    fn agree_without_the_index(mut self, dir: &Path) {
        let expected = dump_of(&self.memory);
        drop(self.disk);
        let busy = std::fs::File::open(dir.join("lock")).unwrap();
        busy.lock().unwrap();
        assert_eq!(dump_of(&open(dir)), expected);
        drop(busy);
        // Everything that is derived from the journal, as far as it is there.
        for copy in ["index", "view"].map(|name| dir.join(name)).into_iter().filter(|copy| copy.exists()) {
            std::fs::rename(&copy, copy.with_extension("away")).unwrap();
        }
        let rebuilt = open(dir);
        assert_eq!(dump(&*rebuilt.view().unwrap()), expected);
        assert_eq!(rebuilt.notices(), ["the index was missing; it was built again from the journal"]);
        if self.dice.roll(4) == 0 {
            verify(&rebuilt);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_store_folds_the_same_history_to_the_same_records(seed: u64) {
        let dir = TempDir::new().unwrap();
        let mut twins = Twins::born(dir.path(), seed);
        twins.live(dir.path(), 80);
        twins.agree(dir.path(), 4);
        twins.agree_without_the_index(dir.path());
    }
}

/// How often each kind of thing happened.
fn happened(view: &dyn LedgerView) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for seq in 1..=view.head().seq.0 {
        let kind = match view.entry(Seq(seq)).unwrap().unwrap().event {
            Event::RolloutStarted { cause: Cause::Rollback { .. }, .. } => "rollback".to_owned(),
            Event::RolloutFinished { outcome, .. } => match outcome {
                Outcome::RolledBack { .. } => "rolled back".to_owned(),
                outcome => outcome.to_string().split(':').next().unwrap().to_owned(),
            },
            event => serde_json::to_value(&event).unwrap()["type"].as_str().unwrap().to_owned(),
        };
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

#[test]
fn a_long_history_is_the_same_in_every_view_all_along() {
    const KINDS: [&str; 28] = [
        "image-recorded",
        "artifacts-added",
        "tagged",
        "untagged",
        "tags-mirrored",
        "rollout-started",
        "rollback",
        "step-started",
        "step-deployed",
        "step-succeeded",
        "step-failed",
        "succeeded",
        "failed",
        "rolled back",
        "aborted",
        "hold-set",
        "image-rejected",
        "image-restored",
        "freeze-set",
        "freeze-lifted",
        "image-approved",
        "approval-withdrawn",
        "rule-overridden",
        "pointer-written",
        "pointer-failed",
        "drift-audited",
        "drift-acknowledged",
        "acknowledgement-withdrawn",
    ];
    let dir = TempDir::new().unwrap();
    let mut twins = Twins::born(dir.path(), 20_261_121);
    for events in [800, 2400] {
        twins.live(dir.path(), events);
        twins.agree(dir.path(), 12);
    }
    let counts = happened(&*twins.memory.view().unwrap());
    for kind in KINDS {
        assert!(counts.get(kind).is_some_and(|count| *count >= 10), "{kind} hardly happened: {counts:?}");
    }
    twins.agree_without_the_index(dir.path());
}
