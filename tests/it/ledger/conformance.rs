//! What every store must do, run over each; and that all of them agree, whatever happened.

use super::history::{Dice, channel, held, key, propose, recorded};
use super::{ana, at, create, dump, dump_of, open, verify};
use imgctl::model::{Event, IllegalEntry, LedgerView, Lookup, Order, Seq, Table};
use imgctl::store::{LedgerStore, MemoryStore, StoreError};
use proptest::prelude::*;
use tempfile::TempDir;

fn over_every_store(rule: fn(&dyn LedgerStore)) {
    rule(&MemoryStore::create(uuid::Uuid::from_u128(7), at(0), &ana()).unwrap());
    let dir = TempDir::new().unwrap();
    let store = create(dir.path());
    rule(&store);
    verify(&store);
    assert_eq!(store.notices(), Vec::<String>::new(), "nothing unusual happened");
}

#[test]
fn a_ledger_begins_with_its_creation() {
    over_every_store(|store| {
        let view = store.view().unwrap();
        assert_eq!(view.head().seq, Seq(1));
        let first = view.entry(Seq(1)).unwrap().unwrap();
        assert_eq!((first.event, first.by), (Event::LedgerCreated { id: uuid::Uuid::from_u128(7) }, ana()));
        assert_eq!(view.entry(Seq(2)).unwrap(), None);
        assert_eq!(view.entry(Seq(0)).unwrap(), None);
    });
}

#[test]
fn what_was_appended_is_seen_in_order() {
    over_every_store(|store| {
        let one = store.append(at(1), &ana(), &recorded("web", 1)).unwrap();
        let more = store.append_all(at(2), &ana(), &[recorded("web", 2), held("web/prod", "stay")]).unwrap();
        assert_eq!((one.seq, more[0].seq, more[1].seq), (Seq(2), Seq(3), Seq(4)));
        assert_eq!((&more[0].prev, &more[1].prev), (&one.hash, &more[0].hash), "each names the one before");
        let view = store.view().unwrap();
        assert_eq!((view.head().seq, view.head().hash), (Seq(4), more[1].hash.clone()));
        assert_eq!(view.entry(Seq(3)).unwrap().as_ref(), Some(&more[0]));
        let look = Lookup(&*view);
        assert_eq!(look.channel(&channel("web/prod")).unwrap().hold.unwrap().reason, "stay");
        assert_eq!(look.recent(1).unwrap()[0].image.key, key("web", 2));
    });
}

#[test]
fn a_claim_on_what_has_moved_is_refused_and_a_report_is_not() {
    over_every_store(|store| {
        let base = store.view().unwrap().head().seq;
        store.append(at(1), &ana(), &held("web/prod", "first")).unwrap();
        match store.claim(base, at(2), &ana(), &held("web/prod", "late")) {
            Err(StoreError::Moved { base: Seq(1), head }) => assert_eq!(head.seq, Seq(2)),
            other => panic!("{other:?}"),
        }
        assert_eq!(store.claim(Seq(2), at(3), &ana(), &held("web/prod", "in time")).unwrap().seq, Seq(3));
        assert_eq!(store.append(at(4), &ana(), &held("web/prod", "truth")).unwrap().seq, Seq(4));
    });
}

#[test]
fn what_cannot_have_happened_is_refused_whole() {
    over_every_store(|store| {
        let before = dump_of(store);
        let events = [recorded("web", 1), Event::Tagged { image: key("web", 2), tags: ["a".into()].into() }];
        let refused = store.append_all(at(1), &ana(), &events);
        assert!(
            matches!(refused, Err(StoreError::Illegal(IllegalEntry::Impossible { seq: Seq(3), .. }))),
            "{refused:?}"
        );
        assert!(matches!(store.append(at(1), &ana(), &Event::Unknown), Err(StoreError::Illegal(_))));
        assert_eq!(dump_of(store), before, "not even the part that could have happened");
        store.append_all(at(2), &ana(), &[recorded("web", 1), recorded("web", 2)]).unwrap();
        assert!(store.append_all(at(2), &ana(), &[]).unwrap().is_empty());
    });
}

#[test]
fn time_may_go_backwards_and_numbers_do_not() {
    over_every_store(|store| {
        let later = store.append(at(100), &ana(), &held("web/prod", "a")).unwrap();
        let earlier = store.append(at(50), &ana(), &held("web/prod", "b")).unwrap();
        assert!(earlier.at < later.at && earlier.seq > later.seq);
        assert_eq!(store.view().unwrap().head().seq, earlier.seq);
    });
}

#[test]
fn scans_start_stop_and_turn_where_they_are_told() {
    over_every_store(|store| {
        let events: Vec<Event> =
            (0..10).map(|version| recorded("web", version)).chain([recorded("webs", 1), recorded("we", 1)]).collect();
        store.append_all(at(1), &ana(), &events).unwrap();
        let view = store.view().unwrap();
        let scan = |prefix: &str, order, after: Option<&str>, limit| {
            let rows = view.scan(Table::Image, prefix, order, after, limit).unwrap();
            rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(scan("web@", Order::Ascending, None, 2), ["web@1.0", "web@1.1"]);
        assert_eq!(scan("web@", Order::Ascending, Some("web@1.7"), 9), ["web@1.8", "web@1.9"]);
        assert_eq!(scan("web@", Order::Descending, None, 2), ["web@1.9", "web@1.8"]);
        assert_eq!(scan("web@", Order::Descending, Some("web@1.1"), 9), ["web@1.0"]);
        assert_eq!(scan("web@", Order::Descending, Some("web@1.0"), 9), Vec::<String>::new());
        assert_eq!(scan("web@", Order::Ascending, Some("aaa"), 1), ["web@1.0"], "before the first: from the first");
        assert_eq!(scan("web@", Order::Descending, Some("zzz"), 1), ["web@1.9"], "past the last: from the last");
        assert_eq!(scan("web@", Order::Ascending, Some("zzz"), 1), Vec::<String>::new());
        assert_eq!(scan("", Order::Descending, None, 1), ["webs@1.1"]);
        assert_eq!(scan("web@", Order::Ascending, None, 0), Vec::<String>::new());
    });
}

/// The same question to two views.
fn agree_on_scans(dice: &mut Dice, one: &dyn LedgerView, other: &dyn LedgerView) {
    for table in Table::ALL {
        let all = one.scan(table, "", Order::Ascending, None, usize::MAX).unwrap();
        let any = |dice: &mut Dice| {
            all.get(usize::try_from(dice.roll(all.len() as u64 + 1)).unwrap()).map(|(key, _)| key.clone())
        };
        let prefix: String =
            any(dice).unwrap_or_default().chars().take(usize::try_from(dice.roll(9)).unwrap()).collect();
        let (after, limit) = (any(dice), usize::try_from(dice.roll(5)).unwrap());
        let order = if dice.roll(2) == 0 { Order::Ascending } else { Order::Descending };
        let ask = |view: &dyn LedgerView| view.scan(table, &prefix, order, after.as_deref(), limit).unwrap();
        assert_eq!(ask(one), ask(other), "{table:?} `{prefix}` {order:?} after {after:?}, {limit}");
    }
}

/// Plays one random history into both stores and compares all they say. Most of what is proposed is legal; both must
/// refuse what is not.
fn play(seed: u64, events: u64) {
    let dir = TempDir::new().unwrap();
    let memory = MemoryStore::create(uuid::Uuid::from_u128(7), at(0), &ana()).unwrap();
    let (mut dice, mut disk) = (Dice(seed), create(dir.path()));
    let (mut legal, mut batch) = (0, Vec::new());
    while legal < events {
        let event = propose(&mut dice, &*memory.view().unwrap());
        let second = at(legal / 40);
        if memory.append(second, &ana(), &event).is_ok() {
            batch.push(event);
            legal += 1;
        } else if batch.is_empty() {
            assert!(matches!(disk.append(second, &ana(), &event), Err(StoreError::Illegal(_))), "{event:?}");
        }
        if legal.is_multiple_of(40) && !batch.is_empty() {
            // All of a batch carry one time, so the two chains are one.
            disk.append_all(at((legal - 1) / 40), &ana(), &std::mem::take(&mut batch)).unwrap();
            if dice.roll(4) == 0 {
                disk = open(dir.path());
            }
        }
    }
    assert_eq!(dump_of(&disk), dump_of(&memory));
    agree_on_scans(&mut dice, &*disk.view().unwrap(), &*memory.view().unwrap());
    if dice.roll(4) == 0 {
        verify(&disk);
    }
    drop(disk);
    // The fold that readers fall back on while a writer is busy, and an index that was built from nothing.
    let busy = std::fs::File::open(dir.path().join("lock")).unwrap();
    busy.lock().unwrap();
    assert_eq!(dump_of(&open(dir.path())), dump_of(&memory));
    drop(busy);
    let kept = dir.path().join("index");
    std::fs::rename(&kept, dir.path().join("away")).unwrap();
    let rebuilt = open(dir.path());
    assert_eq!(dump(&*rebuilt.view().unwrap()), dump_of(&memory));
    assert_eq!(rebuilt.notices(), ["the index was missing; it was built again from the journal"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 36, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_store_folds_the_same_history_to_the_same_records(seed: u64) {
        play(seed, 320);
    }
}
