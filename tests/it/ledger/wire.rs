//! The written form, for ever: every line in `fixtures/ledger/v1` reads, and is written again byte for byte.

use super::history::held;
use super::{ana, at, create, dump_of, open, verify};
use imgctl::model::{Digest, Entry, Head, Lookup, Seq};
use imgctl::store::{self, DiskStore, LedgerStore, NewerEntry, StoreError};
use regex_lite::Regex;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
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

/// Seals an entry of any form: what a newer imgctl might write.
fn sealed(head: &Head, mut fields: Map<String, Value>) -> String {
    fields.remove("hash");
    fields.insert("seq".into(), head.seq.next().0.into());
    fields.insert("prev".into(), head.hash.to_string().into());
    let canonical = |fields: &Map<String, Value>| serde_json_canonicalizer::to_string(fields).unwrap();
    let hash = Digest::of(canonical(&fields).as_bytes());
    fields.insert("hash".into(), hash.to_string().into());
    canonical(&fields) + "\n"
}

/// The head of a chain that ends in this line.
fn head(line: &str) -> Head {
    let entry = Entry::parse(line.trim_end()).unwrap();
    Head { seq: entry.seq, hash: entry.hash }
}

/// Every line of the current form, and one of the next after them, wherever they end.
fn with_a_newer_one() -> Vec<String> {
    let mut all = lines("v1");
    let newer = serde_json::from_str(&lines("v2")[0]).unwrap();
    all.push(sealed(&head(all.last().unwrap()), newer));
    all
}

/// Where each type of the written form is defined.
const WRITTEN: [(&str, &str); 15] = [
    ("event.rs", "Event"),
    ("entry.rs", "Actor"),
    ("entry.rs", "Written"),
    ("image.rs", "Image"),
    ("image.rs", "Provenance"),
    ("artifact.rs", "AmiArtifact"),
    ("artifact.rs", "AmiFacts"),
    ("artifact.rs", "Device"),
    ("artifact.rs", "OciArtifact"),
    ("artifact.rs", "Platform"),
    ("artifact.rs", "Artifact"),
    ("rollout.rs", "Cause"),
    ("rollout.rs", "SlotChange"),
    ("rollout.rs", "Step"),
    ("rollout.rs", "Outcome"),
];

/// The words that a type writes: its members, and its variants in the form `serde` gives them.
fn words(file: &str, item: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/model").join(file);
    let text = fs::read_to_string(path).unwrap();
    let opens = ["struct", "enum"].map(|kind| format!("{kind} {item} {{\n"));
    let body = opens.iter().find_map(|open| text.split_once(open.as_str())).unwrap().1;
    let body = body.split("\n}\n").next().unwrap();
    let (member, variant) =
        (Regex::new(r"^ +(?:pub )?([a-z_]+): ").unwrap(), Regex::new(r"^    ([A-Z][A-Za-z]*)[,({ ]").unwrap());
    let word = |line: &str| {
        let member = member.captures(line).map(|found| found[1].to_owned());
        member.or_else(|| variant.captures(line).map(|found| kebab(&found[1])))
    };
    body.lines().filter_map(word).collect()
}

fn kebab(variant: &str) -> String {
    Regex::new("([a-z])([A-Z])").unwrap().replace_all(variant, "$1-$2").to_lowercase()
}

/// Every member's name and every text that stands anywhere in a document.
fn said(value: &Value, words: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            words.insert(name.clone());
            said(value, words);
        }),
        Value::Array(values) => values.iter().for_each(|value| said(value, words)),
        Value::String(text) => drop(words.insert(text.clone())),
        _ => {}
    }
}

#[test]
fn every_line_reads_and_is_written_again_byte_for_byte() {
    for line in lines("v1") {
        let entry = Entry::parse(line.strip_suffix('\n').unwrap()).unwrap();
        assert!(!entry.is_newer(), "{line}");
        let again = Entry::seal(entry.seq, entry.at, &entry.by, &entry.event, &entry.prev).unwrap();
        assert_eq!(again.line(), entry.line());
    }
}

#[test]
fn every_kind_of_event_and_every_member_of_it_has_a_golden_line() {
    let mut golden = BTreeSet::new();
    for line in lines("v1") {
        said(&serde_json::from_str(&line).unwrap(), &mut golden);
    }
    let mut wanted = 0;
    for (file, item) in WRITTEN {
        for word in words(file, item).into_iter().filter(|word| word != "unknown") {
            assert!(golden.contains(&word), "`{word}` of {item} is in no line of fixtures/ledger/v1: add one");
            wanted += 1;
        }
    }
    assert!(wanted > 80, "the types of the model are read: {wanted} words");
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
    let store = import(&dir.path().join("new"), &with_a_newer_one());
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

/// Lines that this imgctl would write otherwise: members it does not know, at every depth, and another order of them.
fn foreign() -> Vec<String> {
    let mut all = lines("v1");
    let mut add = |event: Value, more: Value| {
        let mut fields: Map<String, Value> = serde_json::from_value(more).unwrap();
        fields.insert("v".into(), 1.into());
        fields.insert("at".into(), "2026-11-21T08:00:00Z".into());
        fields.insert("event".into(), event);
        all.push(sealed(&head(all.last().unwrap()), fields));
    };
    add(
        json!({"type": "hold-set", "channel": "web/prod", "reason": "a", "until": "2027-01-01T00:00:00Z"}),
        json!({"by": {"who": "ana@laptop", "mfa": true}, "signature": {"key": "k1", "value": "00ff"}}),
    );
    let image = json!({"key": "web@2.0.0", "sbom": {"sha256": "00"}, "provenance": {"commit": "0a1b", "builder": "b"},
        "artifacts": [{"kind": "ami", "account": "1", "arch": "x86_64", "region": "eu-west-1", "id": "ami-00000000000000009", "tpm": 2}]});
    add(json!({"type": "image-recorded", "image": image}), json!({"by": {"who": "ana@laptop"}}));
    // A writer that orders members otherwise: the hash is of the canonical form, the bytes are its own.
    let last = all.pop().unwrap();
    let fields: BTreeMap<String, Value> = serde_json::from_str(&last).unwrap();
    let members: Vec<String> = fields.iter().rev().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    all.push(format!("{{{}}}\n", members.join(", ")));
    all
}

fn exported(store: &DiskStore) -> String {
    let mut out = Vec::new();
    store.export(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn what_another_imgctl_wrote_survives_export_import_and_repair_byte_for_byte() {
    for lines in [foreign(), with_a_newer_one()] {
        let dir = TempDir::new().unwrap();
        let bytes = lines.concat();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        let first = import(&one, &lines);
        assert!(exported(&first) == bytes);
        let second = store::import(&other, Duration::from_secs(5), &mut exported(&first).as_bytes()).unwrap().0;
        assert!(exported(&second) == bytes);
        drop(second.view().unwrap());
        drop((first, second));
        // The index anew from the journal, and the journal's end anew from the index.
        fs::remove_dir_all(one.join("index")).unwrap();
        let mended = open(&one);
        mended.repair(&mut |_, _| ()).unwrap();
        assert!(exported(&mended) == bytes);
        verify(&mended);
        let cut = bytes.len() - lines.last().unwrap().len();
        let journal = fs::OpenOptions::new().write(true).open(other.join("journal.jsonl")).unwrap();
        journal.set_len(cut as u64).unwrap();
        let mended = open(&other);
        mended.repair(&mut |_, _| ()).unwrap();
        assert!(exported(&mended) == bytes, "{:?}", mended.notices());
        verify(&mended);
    }
}

#[test]
fn members_it_does_not_know_do_not_keep_it_from_writing() {
    let dir = TempDir::new().unwrap();
    let lines = foreign();
    let store = import(dir.path(), &lines);
    let view = store.view().unwrap();
    let look = Lookup(&*view);
    assert_eq!(look.channel(&"web/prod".parse().unwrap()).unwrap().hold.unwrap().reason, "a");
    assert!(look.image(&"web@2.0.0".parse().unwrap()).unwrap().is_some());
    drop(view);
    store.append(at(1), &ana(), &held("web/prod", "and goes on")).unwrap();
    assert!(exported(&store).starts_with(&lines.concat()), "and what was there stays as it was");
    verify(&store);
}

#[test]
fn an_event_it_does_not_know_is_newer_whatever_its_format_says() {
    let by = json!({"who": "ana@laptop"});
    let line = |v: u32, event: Value, by: &Value| {
        let fields = json!({"v": v, "at": "2026-11-21T08:00:00Z", "by": by, "event": event});
        sealed(&head(lines("v1").last().unwrap()), serde_json::from_value(fields).unwrap())
    };
    let unknown = json!({"type": "channel-frozen", "channel": "web/prod"});
    let reshaped = json!({"type": "hold-set", "channels": ["web/prod"], "reason": {"text": "a"}});
    let known = json!({"type": "hold-set", "channel": "web/prod", "reason": "a"});
    let read = |line: String| Entry::parse(line.trim_end());
    for entry in [
        read(line(1, unknown.clone(), &by)),
        read(line(2, unknown, &by)),
        read(line(2, reshaped.clone(), &by)),
        read(line(2, known.clone(), &by)),
        read(line(2, known.clone(), &json!({"id": "an-actor-of-another-shape"}))),
    ] {
        assert!(entry.as_ref().unwrap().is_newer(), "{entry:?}");
    }
    assert!(!read(line(1, known, &by)).unwrap().is_newer());
    assert!(read(line(1, reshaped, &by)).is_err(), "of our own form, and not as we write it: damage");
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
