//! What every store must do, run over each.

use super::history::{channel, held, key, recorded};
use super::{ana, at, create, dump_of, verify};
use imgctl::model::{Cause, Event, IllegalEntry, Lookup, Order, Outcome, Seq, Step, Table};
use imgctl::store::{LedgerStore, MemoryStore, StoreError};
use std::collections::BTreeMap;
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
fn a_rollout_has_not_succeeded_before_each_of_its_steps_has() {
    over_every_store(|store| {
        store.append(at(1), &ana(), &recorded("web", 1)).unwrap();
        let step = |number: u32| Step {
            number,
            target: format!("web-{number}").parse().unwrap(),
            wave: 1,
            slots: BTreeMap::new(),
            expect: "lt-0abc:1".parse().unwrap(),
            exact: None,
            interrupts: None,
            notes: Vec::new(),
        };
        let begun = Event::RolloutStarted {
            channel: channel("web/prod"),
            image: key("web", 1),
            from: None,
            cause: Cause::Promote,
            reason: None,
            steps: vec![step(1), step(2)],
        };
        let rollout = store.append(at(2), &ana(), &begun).unwrap().seq;
        let settled = |step| Event::StepSucceeded {
            rollout,
            step,
            revision: "lt-0abc:2".parse().unwrap(),
            slots: BTreeMap::new(),
            running: BTreeMap::new(),
        };
        let finished = Event::RolloutFinished { rollout, outcome: Outcome::Succeeded };
        store.append(at(3), &ana(), &settled(1)).unwrap();
        let refused = store.append(at(4), &ana(), &finished);
        let Err(StoreError::Illegal(IllegalEntry::Impossible { why, .. })) = refused else { panic!("{refused:?}") };
        assert!(why.contains("its step 2 has not"), "{why}");
        store.append(at(5), &ana(), &settled(2)).unwrap();
        store.append(at(6), &ana(), &finished).unwrap();
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
