//! The ledger: reads by whole commands, and durable appends beside a bare append and fdatasync.

use crate::figures::Figures;
use crate::history::History;
use crate::process::{imgctl, paired};
use imgctl::model::{Actor, Seq};
use imgctl::store::{self, LedgerStore};
use jiff::Timestamp;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Single appends measured.
const APPENDS: usize = 200;
const BATCH: usize = 500;

pub fn ledger(figures: &mut Figures, entries: usize, size: &str) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger");
    let by = Actor { who: "bench@machine".into(), ..Actor::default() };
    let store = store::create(&ledger, uuid::Uuid::now_v7(), Timestamp::now(), &by).unwrap();
    let mut history = History::after(Seq(1));
    let mut left = entries - 1;
    while left > 0 {
        let batch = history.take(left.min(BATCH));
        left -= batch.len();
        store.append_all(Timestamp::now(), &by, &batch).unwrap();
    }
    drop(store.view().unwrap());
    reads(figures, &ledger, size);
    appends(figures, &ledger, size, &by);
    drop(store);
}

fn reads(figures: &mut Figures, ledger: &Path, size: &str) {
    let command = |arguments: &[&str]| {
        let mut command = imgctl();
        command.arg("--ledger").arg(ledger).args(arguments);
        command
    };
    let (own, peer) = paired(&mut || command(&["show", "app-007@1.1.0"]));
    figures.add_times(&format!("ledger.read.{size}"), own, "true", peer);
    let (own, peer) = paired(&mut || command(&["images", "-n", "20"]));
    figures.add_times(&format!("ledger.list.{size}"), own, "true", peer);
    let (own, peer) = paired(&mut || command(&["hold", "app-007/prod", "--reason", "bench"]));
    figures.add_times(&format!("ledger.command_append.{size}"), own, "true", peer);
}

/// Single durable appends in one process, each beside a bare 512-byte append and fdatasync on the same file system.
fn appends(figures: &mut Figures, ledger: &Path, size: &str, by: &Actor) {
    let store = store::open(ledger, Duration::from_secs(5)).unwrap();
    let bare = ledger.with_file_name("bare");
    let mut file = OpenOptions::new().create(true).append(true).open(bare).unwrap();
    let line = [b'x'; 512];
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    for event in History::holds(APPENDS) {
        let start = Instant::now();
        store.append(Timestamp::now(), by, &event).unwrap();
        own.push(start.elapsed());
        let start = Instant::now();
        file.write_all(&line).unwrap();
        file.sync_data().unwrap();
        peer.push(start.elapsed());
    }
    figures.add_times(&format!("ledger.append.{size}"), own, "bare append + fdatasync", peer);
}
