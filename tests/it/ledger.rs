//! The ledger as others see it: the same answers everywhere, and no acknowledged entry lost, whatever happens to it.

mod agreement;
mod changes;
mod history;
mod conformance;
mod recovery;
mod damage;
mod holes;
mod sharing;
mod transfer;
mod wire;

use imgctl::model::{Actor, LedgerView, Order, Seq, Table};
use imgctl::store::{self, DiskStore, LedgerStore};
use jiff::Timestamp;
use std::path::Path;
use std::time::Duration;

/// A time of day on the day everything here happens.
pub fn at(second: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::try_from(second).unwrap()).unwrap()
}

pub fn ana() -> Actor {
    Actor { who: "ana@laptop".into(), ..Actor::default() }
}

pub fn create(dir: &Path) -> DiskStore {
    store::create(dir, uuid::Uuid::from_u128(7), at(0), &ana()).unwrap()
}

pub fn open(dir: &Path) -> DiskStore {
    store::open(dir, Duration::from_secs(20)).unwrap()
}

/// All that a ledger says, line by line: every record of every table, and every entry.
pub fn dump(view: &dyn LedgerView) -> Vec<String> {
    let mut lines = vec![format!("head {} {}", view.head().seq, view.head().hash)];
    for table in Table::ALL {
        let rows = view.scan(table, "", Order::Ascending, None, usize::MAX).unwrap();
        lines.extend(rows.into_iter().map(|(key, value)| format!("{}{key} = {value}", table.letter())));
    }
    for seq in 1..=view.head().seq.0 {
        lines.push(view.entry(Seq(seq)).unwrap().unwrap().line().to_owned());
    }
    lines
}

pub fn dump_of(store: &dyn LedgerStore) -> Vec<String> {
    dump(&*store.view().unwrap())
}

pub fn verify(store: &DiskStore) -> store::Verified {
    store.verify(false, &mut |_, _| ()).unwrap()
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
