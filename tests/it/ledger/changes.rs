//! The auditor's view of random histories: every entry in one change, every change as the fold sees it.

use super::history::{Dice, propose};
use super::{ana, at};
use crate::support::ledger::View;
use imgctl::flow::changes;
use imgctl::model::{Channel, Entry, Event, Head, LedgerView, Lookup, Order, Outcome, Seq, Table, ViewError, log_row};
use imgctl::plan::change::{Change, ChangeKind, Holds, Range, Status};
use imgctl::store::{LedgerStore, MemoryStore};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// A ledger in which `events` possible things happened, one each second.
fn history(seed: u64, events: u64) -> MemoryStore {
    let store = MemoryStore::create(uuid::Uuid::from_u128(7), at(0), &ana()).unwrap();
    let (mut dice, mut legal) = (Dice(seed), 0);
    while legal < events {
        let event = propose(&mut dice, &*store.view().unwrap());
        if store.append(at(legal + 1), &ana(), &event).is_ok() {
            legal += 1;
        }
    }
    store
}

fn all(view: &dyn LedgerView, channel: Option<&Channel>, range: Range) -> Vec<Change> {
    changes(view, channel, range).unwrap().map(|change| change.unwrap()).collect()
}

#[test]
fn every_entry_is_in_one_change_and_every_change_ends_as_the_ledger_says() {
    for seed in 0..6 {
        let store = history(seed, 500);
        let view = store.view().unwrap();
        let (look, changes) = (Lookup(&*view), all(&*view, None, Range::default()));
        let mut entries: Vec<Seq> = changes.iter().flat_map(|change| change.entries.clone()).collect();
        entries.sort();
        assert_eq!(entries, (1..=view.head().seq.0).map(Seq).collect::<Vec<_>>());
        assert!(changes.is_sorted_by_key(|change| change.first.entry));
        let event = |seq: Seq| view.entry(seq).unwrap().unwrap().event;
        for change in &changes {
            let hash = |seq: Seq| view.entry(seq).unwrap().unwrap().hash;
            assert_eq!((&change.first.entry, &change.last.entry), (&change.entries[0], change.entries.last().unwrap()));
            assert_eq!((&change.first.hash, &change.last.hash), (&hash(change.first.entry), &hash(change.last.entry)));
            let outcome = look.rollout(change.first.entry).unwrap().map(|rollout| rollout.outcome);
            let status = match outcome {
                None if change.kind == ChangeKind::MirrorTags => change.status,
                None if matches!(event(change.first.entry), Event::PointerFailed { .. }) => Status::Failed,
                None => Status::Done,
                Some(None) => Status::Open,
                Some(Some(Outcome::Succeeded)) => Status::Succeeded,
                Some(Some(Outcome::Failed { .. })) => Status::Failed,
                Some(Some(Outcome::RolledBack { .. })) => Status::RolledBack,
                Some(Some(Outcome::Aborted { .. })) => Status::Aborted,
                Some(Some(Outcome::Superseded { by })) => {
                    assert_eq!(change.superseded_by, Some(by));
                    Status::Superseded
                }
            };
            assert_eq!(change.status, status, "{change:?}");
        }
    }
}

#[test]
fn what_is_held_is_what_the_fold_holds() {
    let store = history(11, 600);
    let view = store.view().unwrap();
    let (look, mut holds) = (Lookup(&*view), Holds::default());
    (1..=view.head().seq.0).for_each(|seq| holds.see(&view.entry(Seq(seq)).unwrap().unwrap()));
    let channels = look.channels().unwrap();
    assert!(channels.iter().any(|channel| holds.on(channel).is_some()), "the history holds some channel");
    for channel in channels {
        assert_eq!(holds.on(&channel), look.channel(&channel).unwrap().hold.map(|hold| hold.seq), "{channel}");
    }
}

#[test]
fn a_channels_changes_are_those_of_all_that_are_its_own() {
    let store = history(12, 600);
    let view = store.view().unwrap();
    let whole = all(&*view, None, Range::default());
    for channel in Lookup(&*view).channels().unwrap() {
        let everywhere = |change: &Change| {
            let of_name = change.to.as_ref().is_some_and(|to| to.image.name == channel.name);
            change.channel.is_none() && change.is_verdict() && of_name
        };
        let own = whole.iter().filter(|change| change.channel.as_ref() == Some(&channel) || everywhere(change));
        let own: Vec<Change> = own.cloned().collect();
        assert!(!own.is_empty());
        assert_eq!(all(&*view, Some(&channel), Range::default()), own, "{channel}");
    }
}

/// Notes which entries are read.
struct Watched<'a> {
    view: &'a dyn LedgerView,
    read: RefCell<BTreeSet<Seq>>,
}

impl LedgerView for Watched<'_> {
    fn head(&self) -> Head {
        self.view.head()
    }

    fn get(&self, table: Table, key: &str) -> Result<Option<String>, ViewError> {
        self.view.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &str,
        order: Order,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, String)>, ViewError> {
        assert!(limit <= 1000, "no more than a page at a time");
        self.view.scan(table, prefix, order, after, limit)
    }

    fn entry(&self, seq: Seq) -> Result<Option<Entry>, ViewError> {
        self.read.borrow_mut().insert(seq);
        self.view.entry(seq)
    }
}

#[test]
fn a_channels_changes_cost_what_the_channel_has_and_not_what_the_ledger_has() {
    let store = history(15, 900);
    let view = store.view().unwrap();
    for channel in Lookup(&*view).channels().unwrap() {
        let watched = Watched { view: &*view, read: RefCell::default() };
        let changes = all(&watched, Some(&channel), Range::default());
        assert!(!changes.is_empty());
        let keys = |table, prefix: &str| view.scan(table, prefix, Order::Ascending, None, usize::MAX).unwrap();
        let own = keys(Table::ChannelLog, &format!("{channel}|"));
        let of_images = keys(Table::ImageLog, &format!("{}@", channel.name));
        let rows = own.into_iter().chain(of_images);
        let concerned: BTreeSet<Seq> = rows.flat_map(|(key, row)| log_row::entries(&key, &row).unwrap()).collect();
        assert!(watched.read.borrow().is_subset(&concerned), "{channel}");
        assert!(concerned.len() as u64 * 2 < view.head().seq.0, "other channels have most of the ledger");
    }
}

#[test]
fn ranges_side_by_side_make_the_whole() {
    let store = history(13, 300);
    let view = store.view().unwrap();
    let (first, second) = (Some(at(90)), Some(at(200)));
    let ranges = [Range { from: None, to: first }, Range { from: first, to: second }, Range { from: second, to: None }];
    let parts: Vec<Change> = ranges.iter().flat_map(|range| all(&*view, None, *range)).collect();
    assert_eq!(parts, all(&*view, None, Range::default()));
    assert!(ranges.iter().all(|range| !all(&*view, None, *range).is_empty()));
}

#[test]
fn nothing_is_exported_from_a_history_that_was_rewritten() {
    let store = history(14, 60);
    let view = store.view().unwrap();
    let entry = |seq| view.entry(Seq(seq)).unwrap().unwrap();
    let copy = |change: &dyn Fn(u64) -> Entry| {
        let mut copy = View::default();
        copy.entries = (1..=view.head().seq.0).map(change).collect();
        copy
    };
    let error = |view: &View| {
        let mut changes = changes(view, None, Range::default()).unwrap();
        let error = changes.find_map(Result::err);
        assert!(changes.next().is_none(), "nothing follows an error");
        error.map(|error| error.to_string())
    };
    assert_eq!(error(&copy(&entry)), None);
    let forged = |seq| match seq {
        30 => Entry::read(&entry(30).line().replace("ana@laptop", "eve@laptop")).unwrap(),
        seq => entry(seq),
    };
    assert_eq!(error(&copy(&forged)).as_deref(), Some("the ledger holds a damaged entry 30"));
    // Sealed anew, with a hash of its own: the next one names another.
    let resealed = |seq| {
        let old = entry(seq);
        match seq {
            30 => Entry::seal(old.seq, at(9), &old.by, &old.event, &old.prev).unwrap(),
            _ => old,
        }
    };
    assert_eq!(error(&copy(&resealed)).as_deref(), Some("the ledger holds a damaged entry 31"));
}
