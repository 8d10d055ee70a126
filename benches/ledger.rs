//! The ledger as it grows to a million entries: whole commands, durable appends, many at once, and the proof of it all.

use crate::figures::{Figures, median};
use crate::history::History;
use crate::process::{imgctl, paired, peak, time};
use imgctl::model::{Actor, Seq};
use imgctl::store::{self, DiskStore, LedgerStore};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Single appends measured.
const APPENDS: usize = 400;
/// Entries committed with one fdatasync, as a scan does it.
const BATCH: usize = 2000;

/// How often the whole ledger is proved.
const PROOFS: usize = 5;

/// Sizes and what they are called.
const SIZES: [(usize, &str); 3] = [(10_000, "10k"), (100_000, "100k"), (1_000_000, "1m")];

fn by() -> Actor {
    Actor { who: "bench@machine".into(), ..Actor::default() }
}

pub fn ledger(figures: &mut Figures) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger");
    store::create(&ledger, uuid::Uuid::now_v7(), Timestamp::now(), &by()).unwrap();
    let mut history = History::after(Seq(1));
    for (size, name) in SIZES {
        let before = entries(&ledger);
        let (own, bare) = grow(&ledger, &mut history, size - before, &dir.path().join("bare"));
        let count = (entries(&ledger) - before) as f64;
        if name == "1m" {
            let rate = |time: Duration| count / time.as_secs_f64();
            figures.add("ledger.bulk.1m", rate(own), "entries/s", "bare append + fdatasync of each batch", rate(bare));
        }
        reads(figures, &ledger, name);
        if name != "100k" {
            let before = entries(&ledger);
            appends(figures, &ledger, name);
            history.skip(entries(&ledger) - before);
        }
    }
    verify(figures, &ledger);
}

fn entries(ledger: &Path) -> usize {
    usize::try_from(open(ledger).view().unwrap().head().seq.0).unwrap()
}

fn open(ledger: &Path) -> DiskStore {
    store::open(ledger, Duration::from_secs(5)).unwrap()
}

/// Appends many entries in batches, from opening the ledger to closing it; beside it the same number of bytes, written bare.
fn grow(ledger: &Path, history: &mut History, mut left: usize, bare: &Path) -> (Duration, Duration) {
    let mut file = File::create(bare).unwrap();
    let (mut own, mut peer) = (Duration::ZERO, Duration::ZERO);
    let start = Instant::now();
    let store = open(ledger);
    own += start.elapsed();
    loop {
        // The last batch takes what belongs together: whoever appends next numbers on from there.
        let batch = if left > 0 { history.take(left.min(BATCH)) } else { history.rest() };
        if batch.is_empty() {
            let start = Instant::now();
            drop(store);
            return (own + start.elapsed(), peer);
        }
        left = left.saturating_sub(batch.len());
        let start = Instant::now();
        let written = store.append_all(Timestamp::now(), &by(), &batch).unwrap();
        own += start.elapsed();
        let text: String = written.iter().flat_map(|entry| [entry.line(), "\n"]).collect();
        let start = Instant::now();
        file.write_all(text.as_bytes()).unwrap();
        file.sync_data().unwrap();
        peer += start.elapsed();
    }
}

fn reads(figures: &mut Figures, ledger: &Path, size: &str) {
    let command = |arguments: &[&str]| {
        let mut command = imgctl();
        command.arg("--ledger").arg(ledger).args(arguments);
        command
    };
    for (name, arguments) in [
        ("read", &["show", "app-007@1.1.0"][..]),
        ("list", &["images", "-n", "20"]),
        ("channel", &["log", "app-007/prod", "-n", "20"]),
        ("log", &["log", "-n", "20"]),
    ] {
        let (own, peer) = paired(&mut || command(arguments));
        figures.add_times(&format!("ledger.{name}.{size}"), own, "true", peer);
    }
    if size == "1m" {
        match (peak(command(&["show", "app-007@1.1.0"])), peak(std::process::Command::new("true"))) {
            (Some(own), Some(peer)) => figures.add("ledger.read_rss.1m", own, "MB", "true", peer),
            _ => println!("ledger.read_rss.1m: skipped: /usr/bin/time is not installed"),
        }
    }
}

/// Single durable appends, each beside a bare 512-byte append and fdatasync on the same file system; then by commands.
fn appends(figures: &mut Figures, ledger: &Path, size: &str) {
    let store = open(ledger);
    let bare = ledger.with_file_name("bare-single");
    let mut file = OpenOptions::new().create(true).append(true).open(bare).unwrap();
    let line = [b'x'; 512];
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    for event in History::holds(APPENDS) {
        let start = Instant::now();
        store.append(Timestamp::now(), &by(), &event).unwrap();
        own.push(start.elapsed());
        let start = Instant::now();
        file.write_all(&line).unwrap();
        file.sync_data().unwrap();
        peer.push(start.elapsed());
    }
    figures.add_times(&format!("ledger.append.{size}"), own, "bare append + fdatasync", peer);
    let (own, peer) = paired(&mut || {
        let mut command = imgctl();
        command.arg("--ledger").arg(ledger).args(["hold", "app-007/prod", "--reason", "bench"]);
        command
    });
    figures.add_times(&format!("ledger.command_append.{size}"), own, "true", peer);
}

/// The whole proof, by the command, beside hashing the same journal once; in turn.
fn verify(figures: &mut Figures, ledger: &Path) {
    // What was written to get here goes to the disk first: it is not the proof's to pay for.
    for folder in ["view", "index", "segments"] {
        for file in fs::read_dir(ledger.join(folder)).unwrap().map(|file| file.unwrap().path()) {
            File::open(file).unwrap().sync_all().unwrap();
        }
    }
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..PROOFS {
        own.push(time(imgctl().arg("--ledger").arg(ledger).args(["ledger", "verify"])));
        let start = Instant::now();
        for file in journal(ledger) {
            let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
            let mut file = File::open(file).unwrap();
            while let read @ 1.. = file.read(&mut buffer).unwrap() {
                hasher.update(&buffer[..read]);
            }
            assert_ne!(hasher.finalize().as_slice(), [0; 32]);
        }
        peer.push(start.elapsed());
    }
    let seconds = |times: &mut Vec<Duration>| median(times) / 1000.0;
    figures.add("ledger.verify.1m", seconds(&mut own), "s", "sha256 of the journal", seconds(&mut peer));
}

fn journal(ledger: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(ledger.join("segments")).into_iter().flatten().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.push(ledger.join("journal.jsonl"));
    files
}
