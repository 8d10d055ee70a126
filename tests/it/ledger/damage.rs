//! Damage: found, told with its place, and repaired from the copy that is whole; what is lost in both is said.

use super::history::{Dice, held, propose};
use super::{ana, at, copy_dir, create, dump_of, open, verify};
use imgctl::model::Seq;
use imgctl::store::{DiskStore, LedgerStore, StoreError};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A ledger with a few hundred entries, part of them newer than sled's last snapshot, and what it says.
fn ledger(dir: &Path) -> Vec<String> {
    let mut dice = Dice(5);
    drop(create(dir));
    for round in 0..3 {
        let store = open(dir);
        if round == 2 {
            // The index is brought up to here; what follows is in the journal and in the view.
            verify(&store);
        }
        for second in 0..90 {
            let event = propose(&mut dice, &*store.view().unwrap());
            // What cannot have happened is refused, and another number is drawn.
            drop(store.append(at(second), &ana(), &event));
        }
    }
    dump_of(&open(dir))
}

/// Everything a damaged ledger must still do: answer as before, be written to, and prove itself afterwards.
fn lives_on(dir: &Path, dump: &[String], how: &str) {
    let store = open(dir);
    assert!(dump_of(&store) == dump, "{how}: other answers; {:?}", store.notices());
    store.append(at(999), &ana(), &held("web/prod", "after")).unwrap_or_else(|error| panic!("{how}: {error}"));
    // Readers and writers do without the index: its damage is found when it is next used, or here.
    if let Err(error) = store.verify(false, &mut |_, _| ()) {
        assert!(error.to_string().contains("index"), "{how}: {error}; {:?}", store.notices());
        store.repair(&mut |_, _| ()).unwrap_or_else(|error| panic!("{how}: {error}"));
        verify(&store);
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Does harm to each copy of the index in turn.
fn harm(times: u64, how: &str, act: impl Fn(&mut Dice, &Path)) {
    let base = TempDir::new().unwrap();
    let dump = ledger(&base.path().join("whole"));
    let mut dice = Dice(9);
    let mut rebuilt = 0;
    for time in 0..times {
        let dir = base.path().join(format!("{time}"));
        copy_dir(&base.path().join("whole"), &dir);
        act(&mut dice, &dir.join("index"));
        lives_on(&dir, &dump, &format!("{how} {time}"));
        rebuilt += u64::from(dir.join("index.bad.1").exists());
        fs::remove_dir_all(dir).unwrap();
    }
    assert!(rebuilt > times / 4, "{rebuilt} of {times} were noticed: the harm is too small to prove anything");
}

fn any(dice: &mut Dice, index: &Path) -> PathBuf {
    let mut files = files(index);
    files.retain(|path| fs::metadata(path).unwrap().len() > 0);
    files.swap_remove(usize::try_from(dice.roll(files.len() as u64)).unwrap())
}

#[test]
fn bits_that_flip_in_the_index_change_no_answer() {
    harm(40, "flip", |dice, index| {
        let path = any(dice, index);
        let mut bytes = fs::read(&path).unwrap();
        for _ in 0..=dice.roll(4) {
            let at = usize::try_from(dice.roll(bytes.len() as u64)).unwrap();
            bytes[at] ^= 1 << dice.roll(8);
        }
        fs::write(path, bytes).unwrap();
    });
}

#[test]
fn an_index_that_was_cut_changes_no_answer() {
    harm(25, "cut", |dice, index| {
        let path = any(dice, index);
        let length = fs::metadata(&path).unwrap().len();
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(dice.roll(length)).unwrap();
    });
}

#[test]
fn an_index_with_files_missing_or_half_made_changes_no_answer() {
    let base = TempDir::new().unwrap();
    let dump = ledger(&base.path().join("whole"));
    let count = files(&base.path().join("whole/index")).len();
    for number in 0..count {
        let dir = base.path().join(format!("{number}"));
        copy_dir(&base.path().join("whole"), &dir);
        fs::remove_file(&files(&dir.join("index"))[number]).unwrap();
        lives_on(&dir, &dump, &format!("without file {number}"));
    }
    let dir = base.path().join("half");
    copy_dir(&base.path().join("whole"), &dir);
    fs::write(dir.join("index/snap.0000000000000000.generating"), "half a snapshot").unwrap();
    fs::create_dir_all(dir.join("index.new")).unwrap();
    fs::write(dir.join("journal.new"), "half a journal").unwrap();
    lives_on(&dir, &dump, "half made");
    assert!(!dir.join("index.bad.1").exists(), "half a snapshot is no reason to build an index again");
}

#[test]
fn an_index_of_another_ledger_is_set_aside() {
    let dir = TempDir::new().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    let dump = ledger(&one);
    create(&other).append(at(1), &ana(), &held("web/prod", "elsewhere")).unwrap();
    verify(&open(&other));
    fs::rename(one.join("index"), dir.path().join("away")).unwrap();
    fs::rename(other.join("index"), one.join("index")).unwrap();
    let store = open(&one);
    assert!(dump_of(&store) == dump);
    let (what, _, _) = refusal(&store);
    assert_eq!(what, "at entry 2 the index holds another history than the journal");
    let did = store.repair(&mut |_, _| ()).unwrap().did;
    assert_eq!(
        did,
        ["the index was built again from the journal (it held another history); the old one is kept as index.bad.1"]
    );
    assert!(one.join("index.bad.1").exists());
    verify(&store);
}

#[test]
fn a_journal_that_is_gone_comes_back_from_the_index() {
    let dir = TempDir::new().unwrap();
    let dump = ledger(dir.path());
    let path = dir.path().join("journal.jsonl");
    let before = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let store = open(dir.path());
    assert!(dump_of(&store) == dump);
    assert!(fs::read(&path).unwrap() == before);
    let notices = store.notices();
    assert!(notices.len() == 1 && notices[0].starts_with("the journal had lost entries 1 to "), "{notices:?}");
    verify(&store);
}

/// The place where line `number` begins, counted from 1.
fn begins(journal: &[u8], number: usize) -> usize {
    journal.split_inclusive(|byte| *byte == b'\n').take(number - 1).map(<[u8]>::len).sum()
}

/// Changes one byte in line `number` of the journal; gives the offset of the line.
fn scratch(dir: &Path, number: usize) -> u64 {
    let path = dir.join("journal.jsonl");
    let mut bytes = fs::read(&path).unwrap();
    let begin = begins(&bytes, number);
    bytes[begin + 20] ^= 1;
    fs::write(path, bytes).unwrap();
    begin as u64
}

fn refusal(store: &DiskStore) -> (String, PathBuf, Option<u64>) {
    match store.verify(false, &mut |_, _| ()) {
        Err(StoreError::Damaged { what, file, offset }) => (what, file, offset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn damage_inside_the_journal_is_told_with_its_place_and_repaired_from_the_index() {
    let dir = TempDir::new().unwrap();
    let dump = ledger(dir.path());
    let path = dir.path().join("journal.jsonl");
    let before = fs::read(&path).unwrap();
    let offset = scratch(dir.path(), 8);
    let store = open(dir.path());
    assert!(dump_of(&store) == dump, "readers have the index");
    let (what, file, place) = refusal(&store);
    assert!(what.starts_with("after entry 7: "), "{what}");
    assert_eq!((file, place), (path.clone(), Some(offset)));
    let repaired = store.repair(&mut |_, _| ()).unwrap();
    assert_eq!(
        repaired.did,
        ["the journal was written again with entry 8 from the index; the old one is kept as journal.bad.1"]
    );
    assert!(fs::read(&path).unwrap() == before);
    verify(&store);
    assert_eq!(store.repair(&mut |_, _| ()).unwrap().did, Vec::<String>::new(), "nothing is left to repair");
}

#[test]
fn nothing_is_appended_behind_damage_that_is_near() {
    let dir = TempDir::new().unwrap();
    let dump = ledger(dir.path());
    let last = usize::try_from(open(dir.path()).view().unwrap().head().seq.0).unwrap();
    let offset = scratch(dir.path(), last - 3);
    let store = open(dir.path());
    match store.append(at(9), &ana(), &held("web/prod", "no")) {
        Err(StoreError::Damaged { offset: place, .. }) => assert_eq!(place, Some(offset)),
        other => panic!("{other:?}"),
    }
    store.repair(&mut |_, _| ()).unwrap();
    assert!(dump_of(&store) == dump);
    store.append(at(9), &ana(), &held("web/prod", "yes")).unwrap();
    verify(&store);
}

#[test]
fn an_index_of_another_version_is_no_damage() {
    let dir = TempDir::new().unwrap();
    let dump = ledger(dir.path());
    {
        let index = sled::open(dir.path().join("index")).unwrap();
        let mut applied: serde_json::Value = serde_json::from_slice(&index.get("!applied").unwrap().unwrap()).unwrap();
        applied["fold"] = 1.into();
        index.insert("!applied", applied.to_string().as_bytes()).unwrap();
        index.flush().unwrap();
    }
    let store = open(dir.path());
    verify(&store);
    let notes = store.notices();
    assert!(notes.iter().any(|note| note.contains("it was made by another version of imgctl")), "{notes:?}");
    assert!(dump_of(&store) == dump);
    verify(&store);
    assert_eq!(store.notices(), [""; 0]);
}

/// A row of the index's lines without the one that stands at `place` in it.
fn without(row: Option<&[u8]>, place: char) -> Option<Vec<u8>> {
    let row = str::from_utf8(row?).unwrap();
    assert_eq!(row.lines().filter(|line| line.starts_with(place)).count(), 1);
    Some(row.split_inclusive('\n').filter(|line| !line.starts_with(place)).collect::<String>().into_bytes())
}

#[test]
fn records_that_no_entry_makes_are_found_and_repaired() {
    let dir = TempDir::new().unwrap();
    let dump = ledger(dir.path());
    let index = sled::open(dir.path().join("index")).unwrap();
    let any = index.scan_prefix("h").next().unwrap().unwrap();
    type Harm<'a> = &'a dyn Fn(&sled::Db);
    let harms: [(Harm<'_>, &str); 3] = [
        (
            &|index| drop(index.insert("hzzz/prod", "{}").unwrap()),
            "the record `zzz/prod` is in the index, and follows from no entry",
        ),
        (&|index| drop(index.insert(&any.0, "{}").unwrap()), "is not in the index as the journal's entries make it"),
        (
            &|index| drop(index.update_and_fetch("e0000000000000000", |row| without(row, '5')).unwrap()),
            "entry 5 is not in the index as the journal has it",
        ),
    ];
    drop(index);
    for (number, (harm, words)) in harms.iter().enumerate() {
        {
            let index = (0..200)
                .find_map(|_| sled::open(dir.path().join("index")).map_err(|_| std::thread::yield_now()).ok())
                .unwrap();
            harm(&index);
            index.flush().unwrap();
        }
        let store = open(dir.path());
        let (what, file, place) = refusal(&store);
        assert!(what.contains(words), "{what}");
        assert_eq!((file, place), (dir.path().join("index"), None));
        let did = store.repair(&mut |_, _| ()).unwrap().did;
        assert_eq!(
            did,
            [format!(
                "the index was built again from the journal ({what}); the old one is kept as index.bad.{}",
                number + 1
            )]
        );
        assert!(dump_of(&store) == dump);
        verify(&store);
    }
}

#[test]
fn what_neither_copy_has_is_said_and_nothing_is_changed() {
    let dir = TempDir::new().unwrap();
    ledger(dir.path());
    scratch(dir.path(), 8);
    scratch(dir.path(), 20);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    fs::remove_dir_all(dir.path().join("view")).unwrap();
    let before = fs::read(dir.path().join("journal.jsonl")).unwrap();
    let store = open(dir.path());
    assert!(matches!(store.view().map(|view| view.head()), Err(StoreError::Damaged { .. })));
    match store.repair(&mut |_, _| ()) {
        Err(StoreError::Lost { lost, .. }) => assert_eq!(lost, [Seq(8), Seq(20)]),
        other => panic!("{other:?}"),
    }
    let names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| ["lock", "boot", "journal.jsonl"].contains(&name.as_str())), "{names:?}");
    assert!(fs::read(dir.path().join("journal.jsonl")).unwrap() == before);
}

#[test]
fn each_copy_makes_up_for_the_other() {
    let dir = TempDir::new().unwrap();
    let dump = ledger(dir.path());
    scratch(dir.path(), 8);
    {
        let index = (0..200)
            .find_map(|_| sled::open(dir.path().join("index")).map_err(|_| std::thread::yield_now()).ok())
            .unwrap();
        index.update_and_fetch("e0000000000000016", |row| without(row, '4')).unwrap();
        index.flush().unwrap();
    }
    let store = open(dir.path());
    let did = store.repair(&mut |_, _| ()).unwrap().did;
    assert_eq!(did.len(), 2, "{did:?}");
    assert!(dump_of(&store) == dump);
    verify(&store);
}
