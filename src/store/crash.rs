//! Every place between two writes: where the recovery tests let the process die. Outside tests it is nothing.

/// One more write has been made.
#[inline]
pub(super) fn point() {
    #[cfg(test)]
    tests::die_if_it_is_time();
}

#[cfg(test)]
mod tests {
    use crate::model::{Actor, Entry, Event, Seq};
    use crate::store::{self, DiskStore, LedgerStore, StoreError};
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::Command;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;
    use tempfile::TempDir;

    /// The number of the point at which this process dies, counted from 1.
    const DIE_AT: &str = "IMGCTL_TEST_DIE_AT";
    const DIR: &str = "IMGCTL_TEST_LEDGER";
    const DEED: &str = "IMGCTL_TEST_DEED";
    static PASSED: AtomicU64 = AtomicU64::new(0);

    pub fn die_if_it_is_time() {
        let Some(at) = std::env::var(DIE_AT).ok().and_then(|at| at.parse::<u64>().ok()) else { return };
        if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == at {
            std::process::abort();
        }
    }

    fn ana() -> Actor {
        Actor { who: "ana@laptop".into(), ..Actor::default() }
    }

    fn held(reason: &str) -> Event {
        Event::HoldSet { channel: "web/prod".parse().unwrap(), reason: reason.into() }
    }

    fn open(dir: &Path) -> DiskStore {
        store::open(dir, Duration::from_secs(20)).unwrap()
    }

    fn create(dir: &Path) -> DiskStore {
        store::create(dir, uuid::Uuid::from_u128(7), jiff::Timestamp::UNIX_EPOCH, &ana()).unwrap()
    }

    fn append(store: &DiskStore, reasons: &[&str]) -> Vec<Entry> {
        let events: Vec<Event> = reasons.iter().map(|reason| held(reason)).collect();
        store.append_all(jiff::Timestamp::UNIX_EPOCH, &ana(), &events).unwrap()
    }

    /// Five entries.
    fn five(dir: &Path) {
        append(&create(dir), &["2", "3", "4", "5"]);
    }

    fn journal(dir: &Path) -> std::path::PathBuf {
        dir.join("journal.jsonl")
    }

    fn exported(dir: &Path) -> Vec<u8> {
        let mut out = Vec::new();
        open(dir).export(&mut out).unwrap();
        out
    }

    fn import(dir: &Path) -> Result<(), StoreError> {
        let bytes = fs::read(dir.with_extension("export")).unwrap();
        store::import(dir, Duration::from_secs(20), &mut bytes.as_slice()).map(drop)
    }

    fn spoil(dir: &Path, at: usize) {
        let mut bytes = fs::read(journal(dir)).unwrap();
        bytes[at] ^= 1;
        fs::write(journal(dir), bytes).unwrap();
    }

    fn give_export(dir: &Path) {
        let other = dir.with_extension("other");
        five(&other);
        fs::write(dir.with_extension("export"), exported(&other)).unwrap();
    }

    /// What is done while dying, and in what state it finds the ledger.
    type Deed = (&'static str, fn(&Path), fn(&Path));

    fn report(dir: &Path, reason: &str) {
        let entries = append(&open(dir), &[reason]);
        fs::write(dir.with_extension("acknowledged"), entries[0].seq.to_string()).unwrap();
    }

    const DEEDS: [Deed; 11] = [
        ("create", |_| (), |dir| drop(create(dir))),
        ("append", five, |dir| report(dir, "6")),
        (
            "cut a torn tail",
            |dir| {
                five(dir);
                OpenOptions::new().append(true).open(journal(dir)).unwrap().write_all(b"{\"at\":").unwrap();
            },
            |dir| report(dir, "6"),
        ),
        (
            "build a missing index",
            |dir| {
                five(dir);
                fs::remove_dir_all(dir.join("index")).unwrap();
            },
            |dir| report(dir, "6"),
        ),
        (
            "replace a broken index",
            |dir| {
                five(dir);
                fs::write(dir.join("index/conf"), "no configuration at all").unwrap();
            },
            |dir| drop(open(dir).repair(&mut |_, _| ()).unwrap()),
        ),
        (
            "restore lost lines",
            |dir| {
                five(dir);
                let length = fs::metadata(journal(dir)).unwrap().len();
                OpenOptions::new().write(true).open(journal(dir)).unwrap().set_len(length - 400).unwrap();
            },
            |dir| report(dir, "6"),
        ),
        (
            "restore a lost journal",
            |dir| {
                five(dir);
                fs::remove_file(journal(dir)).unwrap();
            },
            |dir| report(dir, "6"),
        ),
        (
            "repair",
            |dir| {
                five(dir);
                spoil(dir, 30);
                fs::remove_dir_all(dir.join("index")).unwrap();
                // The index of a twin: the same entries.
                let twin = dir.with_extension("twin");
                five(&twin);
                fs::rename(twin.join("index"), dir.join("index")).unwrap();
            },
            |dir| drop(open(dir).repair(&mut |_, _| ()).unwrap()),
        ),
        ("import where nothing is", give_export, |dir| import(dir).unwrap()),
        (
            "import over a new ledger",
            |dir| {
                give_export(dir);
                drop(store::create(dir, uuid::Uuid::from_u128(8), jiff::Timestamp::UNIX_EPOCH, &ana()).unwrap());
            },
            |dir| import(dir).unwrap(),
        ),
        (
            "import more",
            |dir| {
                give_export(dir);
                append(&create(dir), &["2"]);
            },
            |dir| import(dir).unwrap(),
        ),
    ];

    /// The ledger after a death: whole at the next touch, with all that was acknowledged.
    fn lives_on(deed: &str, dir: &Path, died: u64) {
        let how = format!("{deed}, died at write {died}");
        match deed {
            "create" => match store::open(dir, Duration::ZERO) {
                Err(StoreError::Missing { .. }) => drop(create(dir)),
                result => drop(result.unwrap_or_else(|error| panic!("{how}: {error}"))),
            },
            "repair" | "replace a broken index" => {
                drop(open(dir).repair(&mut |_, _| ()).unwrap_or_else(|error| panic!("{how}: {error}")))
            }
            _ if deed.starts_with("import") => import(dir).unwrap_or_else(|error| panic!("{how}: {error}")),
            _ => {}
        }
        let store = open(dir);
        let head = store.view().unwrap_or_else(|error| panic!("{how}: {error}")).head().seq;
        let least = if deed == "create" { 1 } else { 5 };
        let acknowledged =
            fs::read_to_string(dir.with_extension("acknowledged")).ok().map_or(least, |seq| seq.parse().unwrap());
        assert!(head >= Seq(acknowledged) && head <= Seq(6), "{how}: ends at {head}, {:?}", store.notices());
        append(&store, &["after"]);
        let verified = store.verify(false, &mut |_, _| ()).unwrap_or_else(|error| panic!("{how}: {error}"));
        assert_eq!(verified.entries, head.0 + 1, "{how}");
        let entries: Vec<String> = (2..=5)
            .filter_map(|seq| store.view().unwrap().entry(Seq(seq)).unwrap())
            .map(|entry| entry.line().to_owned())
            .collect();
        assert!(
            deed == "create"
                || entries.iter().zip(2..).all(|(line, number)| line.contains(&format!("\"reason\":\"{number}\""))),
            "{how}: {entries:?}"
        );
    }

    #[test]
    fn a_death_after_any_write_loses_nothing() {
        if let (Some(dir), Ok(deed)) = (std::env::var_os(DIR), std::env::var(DEED)) {
            let (_, _, act) = DEEDS.iter().find(|(name, _, _)| *name == deed).unwrap();
            return act(Path::new(&dir));
        }
        let mut deaths = 0;
        for (deed, prepare, _) in DEEDS {
            for die_at in 1.. {
                let base = TempDir::new().unwrap();
                let dir = base.path().join("ledger");
                prepare(&dir);
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["store::crash::tests::a_death_after_any_write_loses_nothing", "--exact"]);
                command.env(DIR, &dir).env(DEED, deed).env(DIE_AT, die_at.to_string());
                let output = command.output().unwrap();
                let died = output.status.signal().is_some();
                assert!(died || output.status.success(), "{deed}: {}", String::from_utf8_lossy(&output.stdout));
                lives_on(deed, &dir, die_at);
                if !died {
                    assert!(die_at > 3, "{deed} passed only {die_at} points");
                    break;
                }
                deaths += 1;
            }
        }
        assert!(deaths > 60, "{deaths} deaths");
    }
}
