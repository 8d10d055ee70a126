//! The written form, for ever: every line in `fixtures/ledger/v1` reads, and is written again byte for byte.

use super::history::held;
use super::{ana, at, create, dump_of, open, verify};
use imgctl::model::{Entry, Event, Head, Lookup, Seq};
use imgctl::store::{self, DiskStore, LedgerStore, NewerEntry, StoreError};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// The lines of one version's fixtures, in the order of their numbers.
fn lines(version: &str) -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ledger").join(version);
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

fn import(dir: &Path, lines: &[String]) -> DiskStore {
    store::import(dir, Duration::from_secs(5), &mut lines.concat().as_bytes()).unwrap().0
}

/// A new kind breaks this match, and then needs a golden line of its own.
fn kind(event: &Event) -> &'static str {
    match event {
        Event::LedgerCreated { .. } => "ledger-created",
        Event::ImageRecorded { .. } => "image-recorded",
        Event::ArtifactsAdded { .. } => "artifacts-added",
        Event::Tagged { .. } => "tagged",
        Event::Untagged { .. } => "untagged",
        Event::TagsMirrored { .. } => "tags-mirrored",
        Event::RolloutStarted { .. } => "rollout-started",
        Event::StepStarted { .. } => "step-started",
        Event::StepDeployed { .. } => "step-deployed",
        Event::StepSucceeded { .. } => "step-succeeded",
        Event::StepFailed { .. } => "step-failed",
        Event::RolloutFinished { .. } => "rollout-finished",
        Event::HoldSet { .. } => "hold-set",
        Event::HoldLifted { .. } => "hold-lifted",
        Event::ImageRejected { .. } => "image-rejected",
        Event::ImageRestored { .. } => "image-restored",
        Event::Unknown => "unknown",
    }
}

#[test]
fn every_kind_of_event_reads_and_is_written_again_byte_for_byte() {
    let mut kinds = BTreeSet::new();
    for line in lines("v1") {
        let entry = Entry::parse(line.strip_suffix('\n').unwrap()).unwrap();
        assert!(!entry.is_newer(), "{line}");
        kinds.insert(kind(&entry.event));
        let again = Entry::seal(entry.seq, entry.at, &entry.by, &entry.event, &entry.prev).unwrap();
        assert_eq!(again.line(), entry.line());
    }
    // All there are but the one that is never written.
    assert_eq!(kinds.len(), 16, "{kinds:?}");
}

#[test]
fn a_ledger_of_every_kind_of_event_is_a_ledger() {
    let dir = TempDir::new().unwrap();
    let lines = lines("v1");
    let store = import(dir.path(), &lines);
    assert_eq!(verify(&store).entries, lines.len() as u64);
    let view = store.view().unwrap();
    let channel = Lookup(&*view).channel(&"web/prod".parse().unwrap()).unwrap();
    assert_eq!(channel.current.unwrap().image.to_string(), "web@1.4.1");
    drop(view);
    store.append(at(1), &ana(), &held("web/prod", "and goes on")).unwrap();
    verify(&store);
}

#[test]
fn a_ledger_that_a_newer_imgctl_wrote_to_can_be_read_and_not_written() {
    let dir = TempDir::new().unwrap();
    let old = lines("v1");
    let last = Seq(old.len() as u64 + 1);
    let newer = NewerEntry { seq: last, version: 2 };
    let before = import(&dir.path().join("old"), &old);
    let store = import(&dir.path().join("new"), &[old, lines("v2")].concat());
    let check = |store: &DiskStore| {
        let view = store.view().unwrap();
        assert_eq!(view.head().seq, last);
        let entry = view.entry(last).unwrap().unwrap();
        assert!(entry.is_newer() && entry.line().contains("channel-frozen"));
        assert_eq!(Lookup(&*view).log(2).unwrap().len(), 2, "it can be listed");
        assert_eq!(store.newer().unwrap(), Some(newer));
        let old_records = dump_of(&before);
        let records = dump_of(store);
        assert_eq!(records[1..records.len() - 1], old_records[1..], "the records are those before it");
    };
    check(&store);
    for refused in [
        store.claim(last, at(1), &ana(), &held("web/prod", "no")).unwrap_err(),
        store.append(at(1), &ana(), &held("web/prod", "no")).unwrap_err(),
    ] {
        assert!(matches!(refused, StoreError::Newer { seq, version: 2 } if seq == last), "{refused}");
    }
    verify(&store);
    drop(store);
    let lock = File::open(dir.path().join("new/lock")).unwrap();
    lock.lock().unwrap();
    check(&open(&dir.path().join("new")));
    drop(lock);
    assert_eq!(before.newer().unwrap(), None);
}

#[test]
fn the_same_history_is_the_same_bytes() {
    let bytes = || {
        let dir = TempDir::new().unwrap();
        let store = create(dir.path());
        store.append_all(at(5), &ana(), &[held("web/prod", "a"), held("api/prod", "b")]).unwrap();
        fs::read(dir.path().join("journal.jsonl")).unwrap()
    };
    assert!(bytes() == bytes());
    let text = String::from_utf8(bytes()).unwrap();
    let mut head = Head::empty();
    for line in text.split_inclusive('\n') {
        let entry = Entry::parse(line.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!((entry.seq, &entry.prev), (head.seq.next(), &head.hash));
        head = Head { seq: entry.seq, hash: entry.hash };
    }
}
