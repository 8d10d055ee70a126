//! One ledger, many processes: one claim wins, readers never wait for long, and everyone is told what they need to know.

use super::history::held;
use super::recovery::{child, given, tell, told};
use super::{ana, at, create, dump_of, open, verify};
use imgctl::model::Seq;
use imgctl::store::{self, LedgerStore, StoreError};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

#[test]
fn of_two_processes_that_claim_at_once_one_wins() {
    if let Some(dir) = given() {
        let store = open(&dir);
        let base = store.view().unwrap().head().seq;
        tell("ready");
        std::io::stdin().read_exact(&mut [0]).unwrap();
        match store.claim(base, at(1), &ana(), &held("web/prod", "mine")) {
            Ok(entry) => tell(&format!("won {}", entry.seq)),
            Err(StoreError::Moved { base, head }) => tell(&format!("moved {base} {}", head.seq)),
            Err(error) => tell(&format!("failed {error}")),
        }
        return;
    }
    let dir = TempDir::new().unwrap();
    drop(create(dir.path()));
    for round in 1..=8 {
        let test = "ledger::sharing::of_two_processes_that_claim_at_once_one_wins";
        let mut children: Vec<_> = (0..2).map(|_| child(test, dir.path(), &[]).spawn().unwrap()).collect();
        for child in &mut children {
            // Both have looked before either is let go.
            let (mut heard, mut byte) = (Vec::new(), [0]);
            while !heard.ends_with(b"says ready\n") {
                child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
                heard.extend(byte);
            }
        }
        children.iter_mut().for_each(|child| child.stdin.take().unwrap().write_all(b"g").unwrap());
        let mut words: Vec<String> = children.into_iter().flat_map(told).collect();
        words.sort();
        assert_eq!(words, [format!("moved {round} {}", round + 1), format!("won {}", round + 1)]);
    }
    verify(&open(dir.path()));
}

#[test]
fn readers_see_whole_ledgers_while_writers_write() {
    let dir = TempDir::new().unwrap();
    drop(create(dir.path()));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (mut seen, mut looks) = (Seq(0), 0);
                    while !done.load(Ordering::SeqCst) {
                        let store = open(dir.path());
                        let view = store.view().unwrap();
                        let head = view.head();
                        assert!(head.seq >= seen, "a ledger never gets shorter");
                        assert_eq!(view.entry(head.seq).unwrap().unwrap().hash, head.hash);
                        (seen, looks) = (head.seq, looks + 1);
                    }
                    looks
                })
            })
            .collect();
        let writers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let store = open(dir.path());
                    for second in 0..60 {
                        store.append(at(second), &ana(), &held("web/prod", "busy")).unwrap();
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    let store = open(dir.path());
    assert_eq!(store.view().unwrap().head().seq, Seq(121));
    verify(&store);
}

#[test]
fn a_view_that_is_kept_keeps_nobody_waiting() {
    let dir = TempDir::new().unwrap();
    let one = create(dir.path());
    let view = one.view().unwrap();
    let other = open(dir.path());
    for second in 0..3 {
        other.append(at(second), &ana(), &held("web/prod", "meanwhile")).unwrap();
    }
    assert_eq!(view.head().seq, Seq(1), "what was known when it was taken");
    assert!(matches!(
        one.claim(view.head().seq, at(9), &ana(), &held("web/prod", "late")),
        Err(StoreError::Moved { .. })
    ));
    assert_eq!(view.entry(Seq(1)).unwrap().unwrap().seq, Seq(1), "and it can still be asked");
}

#[test]
fn a_reader_does_not_wait_for_a_writer_and_a_writer_is_told_who_is_in_the_way() {
    let dir = TempDir::new().unwrap();
    let dump = dump_of(&create(dir.path()));
    let lock = File::open(dir.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let store = store::open(dir.path(), Duration::from_millis(40)).unwrap();
    assert_eq!(dump_of(&store), dump);
    let refused = store.append(at(1), &ana(), &held("web/prod", "no")).unwrap_err();
    let words = refused.to_string();
    let me = format!("process {} (", std::process::id());
    assert!(matches!(refused, StoreError::Busy { .. }) && words.contains(&me) && words.contains("ms)"), "{words}");
}

#[test]
fn a_ledger_is_created_once_and_opened_where_it_is() {
    let dir = TempDir::new().unwrap();
    let ledger = dir.path().join("deep/down");
    let missing = store::open(&ledger, Duration::ZERO).err().unwrap();
    assert_eq!(missing.to_string(), format!("no ledger in {}; create one: imgctl init", ledger.display()));
    assert!(!ledger.exists(), "looking makes nothing");
    drop(create(&ledger));
    let before = fs::read(ledger.join("journal.jsonl")).unwrap();
    let again = store::create(&ledger, uuid::Uuid::from_u128(8), at(1), &ana()).err().unwrap();
    assert!(matches!(again, StoreError::Exists { .. }));
    assert_eq!(fs::read(ledger.join("journal.jsonl")).unwrap(), before);
}
