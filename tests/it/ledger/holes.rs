//! What a power cut leaves of many entries that were being written at once: some sectors, in no order.

use super::history::held;
use super::{ana, at, copy_dir, create, dump_of, open, verify};
use imgctl::model::Seq;
use imgctl::store::{LedgerStore, StoreError};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// How many entries were acknowledged before.
const BEFORE: u64 = 12;

/// A ledger, and beside it the same one after sixty more entries, written at once.
fn before_and_after() -> (TempDir, TempDir) {
    let [before, after] = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let store = create(before.path());
    for number in 1..BEFORE {
        store.append(at(number), &ana(), &held("web/prod", "one by one")).unwrap();
    }
    drop(store);
    copy_dir(before.path(), after.path());
    let many: Vec<_> = (0..60).map(|number| held("web/prod", &format!("{number} {}", "x".repeat(300)))).collect();
    open(after.path()).append_all(at(99), &ana(), &many).unwrap();
    (before, after)
}

/// The journal with two sectors of the many missing: whole entries stand before, between and after them.
fn holed(journal: &Path) -> Vec<u8> {
    let mut bytes = fs::read(journal).unwrap();
    let end = bytes.len();
    assert!(end > 24 * 1024, "{end}");
    for sector in [8192..8704, 16384..20480] {
        bytes[sector].fill(0);
    }
    bytes
}

/// The machine was started anew.
fn boot(dir: &Path) {
    assert!(dir.join("boot").exists(), "whoever appends says on which start of the machine");
    fs::write(dir.join("boot"), "another\n").unwrap();
}

#[test]
fn a_write_of_many_that_the_power_cut_through_was_never_acknowledged() {
    let (before, after) = before_and_after();
    let (dir, journal) = (before.path(), before.path().join("journal.jsonl"));
    let holed = holed(&after.path().join("journal.jsonl"));
    fs::write(&journal, &holed).unwrap();
    // A process that died leaves no holes: on the same start of the machine this is damage.
    match open(dir).append(at(100), &ana(), &held("web/prod", "no")) {
        Err(StoreError::Damaged { .. }) => {}
        other => panic!("{other:?}"),
    }
    match open(dir).repair(&mut |_, _| ()) {
        Err(StoreError::Lost { lost, .. }) => assert!(lost.first() > Some(&Seq(BEFORE)), "{lost:?}"),
        other => panic!("{other:?}"),
    }
    assert!(fs::read(&journal).unwrap() == holed, "nothing was touched");
    boot(dir);
    let store = open(dir);
    let head = store.view().unwrap().head().seq;
    assert!(head > Seq(BEFORE) && head < Seq(BEFORE + 60), "what comes before the first hole can be read: {head}");
    let entry = store.append(at(100), &ana(), &held("web/prod", "goes on")).unwrap();
    assert_eq!(entry.seq, head.next());
    let notices = store.notices();
    assert!(notices.iter().any(|notice| notice.contains("a write that was cut short")), "{notices:?}");
    let kept = fs::read(dir.join("journal.bad.1")).unwrap();
    assert!(!kept.is_empty() && holed.ends_with(&kept), "what was cut off is kept");
    verify(&store);
}

#[test]
fn repair_puts_away_what_the_power_left_of_such_a_write() {
    let (before, after) = before_and_after();
    let dir = before.path();
    fs::write(dir.join("journal.jsonl"), holed(&after.path().join("journal.jsonl"))).unwrap();
    boot(dir);
    let store = open(dir);
    let did = store.repair(&mut |_, _| ()).unwrap().did;
    assert!(did.iter().any(|did| did.contains("without what does not belong there")), "{did:?}");
    verify(&store);
}

#[test]
fn entries_that_another_copy_has_were_acknowledged_and_come_back() {
    let (_before, after) = before_and_after();
    let (dir, journal) = (after.path(), after.path().join("journal.jsonl"));
    let dump = dump_of(&open(dir));
    fs::write(&journal, holed(&journal)).unwrap();
    boot(dir);
    let store = open(dir);
    match store.verify(false, &mut |_, _| ()) {
        Err(StoreError::Damaged { .. }) => {}
        other => panic!("{other:?}"),
    }
    store.repair(&mut |_, _| ()).unwrap();
    assert!(dump_of(&store) == dump);
    verify(&store);
    assert_eq!(store.view().unwrap().head().seq, Seq(BEFORE + 60));
}

#[test]
fn zeros_at_the_end_are_damage_unless_the_machine_was_started_anew() {
    for (is_another_start, is_torn) in [(false, false), (true, true)] {
        let dir = TempDir::new().unwrap();
        let store = create(dir.path());
        store.append(at(1), &ana(), &held("web/prod", "acknowledged")).unwrap();
        drop(store);
        let journal = dir.path().join("journal.jsonl");
        let bytes = fs::read(&journal).unwrap();
        fs::write(&journal, [&bytes[..], &[0; 700]].concat()).unwrap();
        if is_another_start {
            boot(dir.path());
        }
        let appended = open(dir.path()).append(at(2), &ana(), &held("web/prod", "next"));
        assert_eq!(appended.is_ok(), is_torn, "{appended:?}");
        if !is_torn {
            assert!(matches!(appended, Err(StoreError::Damaged { .. })), "a process that dies leaves no zeros");
            open(dir.path()).repair(&mut |_, _| ()).unwrap();
        }
        verify(&open(dir.path()));
    }
}
