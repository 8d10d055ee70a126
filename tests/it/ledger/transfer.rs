//! Export and import: the same bytes elsewhere, and nothing written that was not proved first.

use super::history::{held, recorded};
use super::{ana, at, create, dump_of, open, verify};
use imgctl::model::{Head, Seq};
use imgctl::store::{self, DiskStore, Imported, LedgerStore, Side, StoreError};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

fn exported(store: &DiskStore) -> Vec<u8> {
    let mut out = Vec::new();
    let head = store.export(&mut out).unwrap();
    assert_eq!(head, store.view().unwrap().head());
    out
}

fn import(dir: &Path, mut bytes: &[u8]) -> Result<(DiskStore, Imported), StoreError> {
    store::import(dir, Duration::from_secs(5), &mut bytes)
}

/// A ledger of `entries` entries, of which all but the last `own` are the same in every ledger made here.
fn ledger(dir: &Path, entries: u64, own: &str) -> DiskStore {
    let store = create(dir);
    for number in 2..=entries {
        let reason = if number == entries { own } else { "common" };
        store.append(at(number), &ana(), &held("web/prod", reason)).unwrap();
    }
    store
}

fn lines(bytes: &[u8]) -> Vec<&str> {
    std::str::from_utf8(bytes).unwrap().lines().collect()
}

#[test]
fn an_export_becomes_the_same_ledger_elsewhere() {
    let dir = TempDir::new().unwrap();
    let one = ledger(&dir.path().join("one"), 9, "end");
    one.append(at(99), &ana(), &recorded("web", 1)).unwrap();
    let bytes = exported(&one);
    assert!(bytes == fs::read(dir.path().join("one/journal.jsonl")).unwrap(), "an export is the journal");
    let (other, imported) = import(&dir.path().join("other"), &bytes).unwrap();
    assert_eq!(imported, Imported { head: one.view().unwrap().head(), added: 10, skipped: 0 });
    assert_eq!(dump_of(&other), dump_of(&one));
    verify(&other);
    // A mail program that changed line ends, and a missing last one, change no entry.
    let mailed = lines(&bytes).join("\r\n");
    let (mailed, _) = import(&dir.path().join("mailed"), mailed.as_bytes()).unwrap();
    assert!(exported(&mailed) == bytes);
}

#[test]
fn an_import_goes_on_where_the_ledger_ends() {
    let dir = TempDir::new().unwrap();
    let long = ledger(&dir.path().join("long"), 9, "end");
    let bytes = exported(&long);
    let part = format!("{}\n", lines(&bytes)[..4].join("\n"));
    let (short, first) = import(&dir.path().join("short"), part.as_bytes()).unwrap();
    assert_eq!((first.added, first.skipped), (4, 0));
    drop(short);
    let (short, rest) = import(&dir.path().join("short"), &bytes).unwrap();
    assert_eq!((rest.added, rest.skipped, rest.head), (5, 4, long.view().unwrap().head()));
    assert_eq!(dump_of(&short), dump_of(&long));
    let (_, again) = import(&dir.path().join("short"), &bytes).unwrap();
    assert_eq!((again.added, again.skipped), (0, 9), "nothing is written twice");
    let (_, older) = import(&dir.path().join("short"), part.as_bytes()).unwrap();
    assert_eq!((older.added, older.skipped, older.head.seq), (0, 4, Seq(9)), "an older export is no news");
    verify(&open(&dir.path().join("short")));
}

#[test]
fn another_history_is_refused_at_its_first_other_entry() {
    let dir = TempDir::new().unwrap();
    let ours = ledger(&dir.path().join("ours"), 6, "ours");
    let theirs = exported(&ledger(&dir.path().join("theirs"), 6, "theirs"));
    let longer = ledger(&dir.path().join("longer"), 5, "common");
    longer.append_all(at(7), &ana(), &[held("web/prod", "a"), held("web/prod", "b")]).unwrap();
    let before = dump_of(&ours);
    for other in [theirs, exported(&longer)] {
        match import(&dir.path().join("ours"), &other) {
            Err(StoreError::Fork { fork }) => {
                let who = |side: &Side| side.by.clone().unwrap().0;
                assert_eq!((fork.seq, fork.or_before), (Seq(6), false));
                assert_eq!((who(&fork.ours), who(&fork.theirs)), (ana().who, ana().who));
                assert_ne!(fork.ours.hash, fork.theirs.hash);
            }
            other => panic!("{:?}", other.map(|(_, imported)| imported)),
        }
        assert_eq!(dump_of(&ours), before);
    }
}

#[test]
fn a_ledger_with_nothing_but_its_creation_gives_way() {
    let dir = TempDir::new().unwrap();
    let bytes = exported(&ledger(&dir.path().join("one"), 4, "end"));
    let fresh = dir.path().join("fresh");
    drop(store::create(&fresh, uuid::Uuid::from_u128(8), at(9), &ana()).unwrap());
    let created = fs::read(fresh.join("journal.jsonl")).unwrap();
    let (store, imported) = import(&fresh, &bytes).unwrap();
    assert_eq!((imported.added, imported.skipped), (4, 0));
    assert!(exported(&store) == bytes);
    assert_eq!(fs::read(fresh.join("journal.bad.1")).unwrap(), created, "what was there is kept");
    let notices = store.notices();
    assert!(notices[0].ends_with("it is kept as journal.bad.1"), "{notices:?}");
    verify(&store);
}

#[test]
fn what_is_no_chain_is_refused_before_anything_is_written() {
    let dir = TempDir::new().unwrap();
    let one = ledger(&dir.path().join("one"), 6, "end");
    let bytes = exported(&one);
    let lines = lines(&bytes);
    let text = |lines: &[&str]| lines.join("\n");
    let elsewhere = |line: &str| line.replace("common", "uncommon");
    let changed = elsewhere(lines[3]);
    let cases = [
        (String::new(), 1, "there is no entry"),
        ("hello\n".to_owned(), 1, "not an entry"),
        (text(&[lines[0], lines[1], lines[3]]), 3, "it is entry 4, not 3"),
        (text(&[lines[0], lines[1], lines[2], &changed]), 4, "does not match its own hash"),
        (text(&[lines[0], &lines[1][..40]]), 2, "not an entry"),
    ];
    let target = dir.path().join("target");
    for (given, place, words) in cases {
        match import(&target, given.as_bytes()) {
            Err(StoreError::NotAChain { line, why }) => {
                assert!(line == place && why.contains(words), "line {line}: {why}")
            }
            other => panic!("{words}: {:?}", other.map(|(_, imported)| imported)),
        }
        assert!(!target.exists(), "{words}");
    }
}

fn since(store: &DiskStore, entry: u64) -> Vec<u8> {
    let mut out = Vec::new();
    store.export_since(Seq(entry), &mut out, &mut |_, _| ()).unwrap();
    out
}

#[test]
fn parts_make_the_same_ledger_as_the_whole() {
    let dir = TempDir::new().unwrap();
    let one = ledger(&dir.path().join("one"), 9, "end");
    let (part, _) = import(&dir.path().join("other"), &since(&one, 0)).unwrap();
    drop(part);
    for number in 10..=700 {
        let event = if number % 7 == 0 { recorded("web", number) } else { held("web/prod", "more") };
        one.append(at(number), &ana(), &event).unwrap();
    }
    for (from, added, skipped) in [(9, 691, 0), (9, 0, 691), (300, 0, 400), (699, 0, 1)] {
        let (other, imported) = import(&dir.path().join("other"), &since(&one, from)).unwrap();
        assert_eq!((imported.added, imported.skipped, imported.head.seq), (added, skipped, Seq(700)), "{from}");
        assert_eq!(dump_of(&other), dump_of(&one));
        verify(&other);
    }
    one.append(at(701), &ana(), &held("web/prod", "last")).unwrap();
    let (_, overlapping) = import(&dir.path().join("other"), &since(&one, 690)).unwrap();
    assert_eq!((overlapping.added, overlapping.skipped), (1, 10), "a part may begin before the ledger's end");
    assert!(since(&one, 701).is_empty());
    let beyond = one.export_since(Seq(702), &mut Vec::new(), &mut |_, _| ());
    assert!(matches!(beyond, Err(StoreError::Beyond { since: Seq(702), ends: Seq(701) })), "{beyond:?}");
}

#[test]
fn a_part_after_a_gap_says_what_is_missing() {
    let dir = TempDir::new().unwrap();
    let one = ledger(&dir.path().join("one"), 9, "end");
    drop(ledger(&dir.path().join("short"), 4, "common"));
    for (name, from, words) in [
        ("short", 5, "begins at entry 6, and the ledger in "),
        ("short", 5, " ends at entry 4: entry 5 is missing between them"),
        ("short", 7, " ends at entry 4: entries 5 to 7 are missing between them"),
        ("nothing", 3, " ends at entry 0: entries 1 to 3 are missing between them"),
    ] {
        let target = dir.path().join(name);
        match import(&target, &since(&one, from)) {
            Err(error @ StoreError::Gap { .. }) => assert!(error.to_string().contains(words), "{error}"),
            other => panic!("{words}: {:?}", other.map(|(_, imported)| imported)),
        }
        assert!(name == "short" || !target.exists());
    }
    let short = open(&dir.path().join("short"));
    assert_eq!(short.view().unwrap().head().seq, Seq(4));
    verify(&short);
}

#[test]
fn a_part_of_another_history_shows_where_they_part() {
    let dir = TempDir::new().unwrap();
    let ours = ledger(&dir.path().join("ours"), 6, "ours");
    let theirs = ledger(&dir.path().join("theirs"), 6, "theirs");
    theirs.append(at(7), &ana(), &held("web/prod", "after")).unwrap();
    let before = dump_of(&ours);
    // The part begins before they part, at that entry, and after it.
    for (from, seq, or_before) in [(3, 6, false), (5, 6, false), (6, 6, true)] {
        match import(&dir.path().join("ours"), &since(&theirs, from)) {
            Err(StoreError::Fork { fork }) => {
                assert_eq!((fork.seq, fork.or_before, fork.theirs.by.is_none()), (Seq(seq), or_before, or_before));
                let text = fork.to_string();
                assert!(text.contains("(by ana@laptop, 2027-01-15T08:00:06Z)"), "{text}");
            }
            other => panic!("{from}: {:?}", other.map(|(_, imported)| imported)),
        }
        assert_eq!(dump_of(&ours), before);
    }
    let fresh = dir.path().join("fresh");
    drop(store::create(&fresh, uuid::Uuid::from_u128(8), at(9), &ana()).unwrap());
    let refused = import(&fresh, &since(&ours, 1));
    assert!(matches!(refused, Err(StoreError::Fork { .. })), "a part is no ledger to take the place of another");
}

#[test]
fn a_part_of_what_cannot_have_happened_is_refused_by_its_line() {
    use imgctl::model::Entry;
    let dir = TempDir::new().unwrap();
    let ours = ledger(&dir.path().join("ours"), 3, "end");
    ours.append(at(9), &ana(), &recorded("web", 1)).unwrap();
    let mut head = ours.view().unwrap().head();
    let mut text = String::new();
    for event in [held("web/prod", "possible"), recorded("web", 2), recorded("web", 1)] {
        let entry = Entry::seal(head.seq.next(), at(10), &ana(), &event, &head.hash).unwrap();
        head = Head { seq: entry.seq, hash: entry.hash.clone() };
        text.push_str(entry.line());
        text.push('\n');
    }
    match import(&dir.path().join("ours"), text.as_bytes()) {
        Err(StoreError::NotAChain { line: 3, why }) => assert!(why.contains("web@1.1 was recorded before"), "{why}"),
        other => panic!("{:?}", other.map(|(_, imported)| imported)),
    }
    let ours = open(&dir.path().join("ours"));
    assert_eq!(ours.view().unwrap().head().seq, Seq(4), "nothing of it was written");
    verify(&ours);
}

#[test]
fn a_chain_of_what_cannot_have_happened_is_refused() {
    use imgctl::model::{Entry, Event};
    let dir = TempDir::new().unwrap();
    let mut head = Head::empty();
    let mut text = String::new();
    let events = [Event::LedgerCreated { id: uuid::Uuid::from_u128(7) }, recorded("web", 1), recorded("web", 1)];
    for event in &events {
        let entry = Entry::seal(head.seq.next(), at(1), &ana(), event, &head.hash).unwrap();
        head = Head { seq: entry.seq, hash: entry.hash.clone() };
        text.push_str(entry.line());
        text.push('\n');
    }
    match import(&dir.path().join("target"), text.as_bytes()) {
        Err(StoreError::NotAChain { line: 3, why }) => assert!(why.contains("web@1.1 was recorded before"), "{why}"),
        other => panic!("{:?}", other.map(|(_, imported)| imported)),
    }
    assert!(!dir.path().join("target").exists());
}

#[test]
fn a_backup_is_not_overwritten_with_damage() {
    let [dir, to] = [tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap()];
    let store = ledger(dir.path(), 40, "kept");
    store.backup(to.path(), &mut |_, _| ()).unwrap();
    drop(store);
    let (journal, copy) = (dir.path().join("journal.jsonl"), to.path().join("journal.jsonl"));
    let whole = std::fs::read(&copy).unwrap();
    let mut bad = std::fs::read(&journal).unwrap();
    bad[900] ^= 1;
    std::fs::write(&journal, bad).unwrap();
    match open(dir.path()).backup(to.path(), &mut |_, _| ()) {
        Err(StoreError::Damaged { file, .. }) => assert_eq!(file, journal),
        other => panic!("{other:?}"),
    }
    assert!(std::fs::read(&copy).unwrap() == whole, "the good one stays");
}

#[test]
fn a_backup_proves_itself_and_is_left_as_it_is() {
    let [dir, to] = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let store = ledger(dir.path(), 40, "kept");
    store.backup(to.path(), &mut |_, _| ()).unwrap();
    let files = || fs::read_dir(to.path()).unwrap().map(|file| file.unwrap().file_name()).collect::<BTreeSet<_>>();
    let before = files();
    let proved = verify(&open(to.path()));
    assert_eq!((proved.entries, &proved.head, proved.is_alone), (40, &store.view().unwrap().head(), true));
    assert_eq!(files(), before);
    assert!(!verify(&store).is_alone);

    let journal = to.path().join("journal.jsonl");
    let whole = fs::read(&journal).unwrap();
    let says = |bytes: &[u8], expected: &str| {
        fs::write(&journal, bytes).unwrap();
        match open(to.path()).verify(false, &mut |_, _| ()) {
            Err(StoreError::BadBackup { what, .. }) => assert!(what.contains(expected), "{what}"),
            other => panic!("{other:?}"),
        }
    };
    let last = lines(&whole).last().unwrap().len() + 1;
    says(&whole[..whole.len() - last], "entries 40 to 40 were backed up, and are lost from the journal");
    let mut bad = whole.clone();
    bad[900] ^= 1;
    says(&bad, "after entry 2: not an entry");
    let other = TempDir::new().unwrap();
    let another = ledger(&other.path().join("ledger"), 40, "another end");
    says(&exported(&another), "entry 40 is not the one that was backed up");
    // A backup that goes on, and is cut short before it has noted its end.
    store.append(at(99), &ana(), &held("web/prod", "on")).unwrap();
    fs::write(&journal, exported(&store)).unwrap();
    assert_eq!(verify(&open(to.path())).entries, 41);
    // Once somebody writes to it, it is a ledger like any other.
    fs::write(&journal, &whole).unwrap();
    open(to.path()).append(at(99), &ana(), &held("web/prod", "on")).unwrap();
    assert!(!verify(&open(to.path())).is_alone);
}

#[test]
fn what_the_view_has_heard_of_is_never_cut_off_as_a_torn_write() {
    let [from, to] = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let store = ledger(from.path(), 40, "kept");
    let (imported, _) = import(&to.path().join("ledger"), &exported(&store)).unwrap();
    drop((store, imported));
    let dir = to.path().join("ledger");
    fs::remove_dir_all(dir.join("index")).unwrap();
    let journal = dir.join("journal.jsonl");
    let bytes = fs::read(&journal).unwrap();
    fs::write(&journal, &bytes[..bytes.len() - 10]).unwrap();
    // Either the view still has the line, or this is said; the number is not given to another entry.
    match open(&dir).append(at(99), &ana(), &held("web/prod", "next")) {
        Ok(entry) => assert_eq!(entry.seq, Seq(41)),
        Err(StoreError::Damaged { what, .. }) => assert!(what.contains("entries 40 to 40 are lost"), "{what}"),
        other => panic!("{other:?}"),
    }
    match open(&dir).repair(&mut |_, _| ()) {
        Ok(repaired) => assert!(repaired.head.seq >= Seq(40)),
        Err(StoreError::Lost { lost, .. }) => assert_eq!(lost, [Seq(40)]),
        other => panic!("{other:?}"),
    }
}
