//! Death at any moment: what was acknowledged is there, what was not leaves no trace that hurts.

use super::history::{Dice, held, key, recorded};
use super::{ana, at, create, dump_of, open, verify};
use imgctl::model::{Digest, Event, Seq};
use imgctl::store::{LedgerStore, StoreError};
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The ledger that a child process works on. A test that is not given one is the parent, or lives on its own.
const DIR: &str = "IMGCTL_TEST_LEDGER";

/// Starts this test binary again as a process that runs one test, over the ledger in `dir`.
pub fn child(test: &str, dir: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(DIR, dir).envs(settings.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The ledger this process was started for, if it is such a child.
pub fn given() -> Option<std::path::PathBuf> {
    std::env::var_os(DIR).map(Into::into)
}

/// Tells the parent. On a line of its own: the test harness writes to the same pipe.
pub fn tell(words: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\nsays {words}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// What a child told, once it is over.
pub fn told(child: Child) -> Vec<String> {
    let lines = BufReader::new(child.stdout.unwrap()).lines();
    // A child that is killed may leave half a line, and half a line is not an acknowledgement.
    lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("says ").map(str::to_owned)).collect()
}

/// Appends, one, several, claims, with and without looking and reopening in between, and says each acknowledged entry.
fn append_for_ever(dir: &Path, rounds: u64, say: fn(&str)) {
    let mut dice = Dice(u64::from(std::process::id()));
    let mut store = open(dir);
    for round in 0..rounds {
        let version = u64::from(std::process::id()) << 20 | round;
        let reason = "x".repeat(usize::try_from(dice.roll(3) * dice.roll(2000)).unwrap());
        let entries = match dice.roll(8) {
            0 => store.append_all(
                at(round),
                &ana(),
                &(0..dice.roll(30)).map(|_| held("web/prod", &reason)).collect::<Vec<_>>(),
            ),
            1 => {
                let head = store.view().unwrap().head().seq;
                store.claim(head, at(round), &ana(), &held("web/prod", &reason)).map(|entry| vec![entry])
            }
            2 => {
                store = open(dir);
                store.append(at(round), &ana(), &held("web/prod", "reopened")).map(|entry| vec![entry])
            }
            _ => store.append(at(round), &ana(), &recorded("web", version)).map(|entry| vec![entry]),
        };
        match entries {
            Ok(entries) => entries.iter().for_each(|entry| say(&format!("{} {}", entry.seq, entry.hash))),
            Err(StoreError::Moved { .. }) => {}
            Err(error) => say(&format!("failed {error}")),
        }
    }
}

#[test]
fn one_process_appends_until_it_is_killed() {
    match given() {
        Some(dir) => append_for_ever(&dir, 1 << 20, tell),
        None => {
            let dir = TempDir::new().unwrap();
            drop(create(dir.path()));
            append_for_ever(dir.path(), 30, |words| assert!(!words.starts_with("failed"), "{words}"));
            verify(&open(dir.path()));
        }
    }
}

/// Kills after `pause`, and gives every entry that was acknowledged.
fn kill_after(mut children: Vec<Child>, pause: Duration) -> Vec<(Seq, Digest)> {
    std::thread::sleep(pause);
    children.iter_mut().for_each(|child| child.kill().unwrap());
    let mut acknowledged = Vec::new();
    for mut child in children {
        child.wait().unwrap();
        for word in told(child) {
            assert!(!word.starts_with("failed"), "{word}");
            // The last line may have lost its end.
            if let Some((seq, hash)) = word.split_once(' ')
                && let Ok(hash) = hash.parse()
            {
                acknowledged.push((Seq(seq.parse().unwrap()), hash));
            }
        }
    }
    acknowledged
}

#[test]
fn no_acknowledged_entry_is_lost_in_two_hundred_kills() {
    let (mut dice, mut kills, mut all, mut torn) = (Dice(2026), 0, 0, 0);
    // On a busy machine many children die before their first word: then more of them have to.
    while kills < 210 || (all <= 200 && kills < 2100) {
        let dir = TempDir::new().unwrap();
        drop(create(dir.path()));
        // One ledger lives through many deaths, so that what one leaves behind meets the next.
        for _ in 0..15 {
            let writers = 1 + dice.roll(2);
            let spawn =
                || child("ledger::recovery::one_process_appends_until_it_is_killed", dir.path(), &[]).spawn().unwrap();
            let children: Vec<Child> = (0..writers).map(|_| spawn()).collect();
            kills += writers;
            let acknowledged = kill_after(children, Duration::from_micros(3000 + dice.roll(60_000)));
            let store = open(dir.path());
            let view = store.view().unwrap();
            for (seq, hash) in &acknowledged {
                assert_eq!(
                    view.entry(*seq).unwrap().map(|entry| entry.hash).as_ref(),
                    Some(hash),
                    "entry {seq} was acknowledged"
                );
            }
            drop(view);
            verify(&store);
            all += acknowledged.len();
            torn += store.notices().len();
        }
    }
    assert!(all > 200, "{all} acknowledged entries in {kills} kills ({torn} notices): the children hardly lived");
}

/// The ledger of the tests below: eight entries, the last three short.
fn eight(dir: &Path) -> (Vec<u8>, Vec<String>) {
    let store = create(dir);
    let events: Vec<Event> = (0..4).map(|version| recorded("web", version)).collect();
    store.append_all(at(1), &ana(), &events).unwrap();
    for second in 2..5 {
        store.append(at(second), &ana(), &held("web/prod", "é")).unwrap();
    }
    (fs::read(dir.join("journal.jsonl")).unwrap(), dump_of(&store))
}

fn ends(journal: &[u8]) -> Vec<usize> {
    journal.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect()
}

#[test]
fn every_truncation_of_the_tail_is_restored_from_the_index() {
    let dir = TempDir::new().unwrap();
    let (journal, dump) = eight(dir.path());
    let path = dir.path().join("journal.jsonl");
    let store = open(dir.path());
    for cut in ends(&journal)[4]..journal.len() {
        OpenOptions::new().write(true).open(&path).unwrap().set_len(u64::try_from(cut).unwrap()).unwrap();
        assert_eq!(dump_of(&store), dump, "cut at byte {cut}");
        assert!(fs::read(&path).unwrap() == journal, "cut at byte {cut}: the journal is as it was");
        let notices = store.notices();
        assert!(notices.iter().any(|notice| notice.contains("they were restored from the index")), "{notices:?}");
    }
    verify(&store);
}

#[test]
fn every_truncation_of_the_tail_without_an_index_ends_before_the_torn_line() {
    let dir = TempDir::new().unwrap();
    let (journal, _) = eight(dir.path());
    let ends = ends(&journal);
    let path = dir.path().join("journal.jsonl");
    // Readers beside a busy writer have only the journal, and must not touch it.
    let busy = fs::File::open(dir.path().join("lock")).unwrap();
    busy.lock().unwrap();
    fs::remove_dir_all(dir.path().join("view")).unwrap();
    for cut in (ends[4]..journal.len()).step_by(3).chain(ends[4..7].iter().copied()) {
        fs::write(&path, &journal[..cut]).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let store = open(dir.path());
        assert_eq!(store.view().unwrap().head().seq, Seq(whole as u64), "cut at byte {cut}");
        assert_eq!(fs::read(&path).unwrap().len(), cut);
    }
    busy.unlock().unwrap();
    for cut in (ends[4] + 1..journal.len()).step_by(101) {
        fs::write(&path, &journal[..cut]).unwrap();
        for copy in ["index", "view"] {
            drop(fs::remove_dir_all(dir.path().join(copy)));
        }
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let store = open(dir.path());
        let entry = store.append(at(9), &ana(), &held("web/prod", "after")).unwrap();
        assert_eq!(entry.seq, Seq(whole as u64 + 1), "cut at byte {cut}");
        verify(&store);
        let notices = store.notices().join("; ");
        let torn = !ends.contains(&cut);
        assert_eq!(notices.contains("cut short; it was moved to journal.bad."), torn, "cut at byte {cut}: {notices}");
    }
}

#[test]
fn rubbish_at_the_end_is_set_aside_and_kept() {
    for rubbish in
        [&b"{\"at\":"[..], b"\0\0\0\0\0\0\0\0", b"\n\n", b"{}\n", b"\xff\xfe\n{\"seq\":9}\n", &[b'x'; 200_000]]
    {
        let dir = TempDir::new().unwrap();
        let (journal, dump) = eight(dir.path());
        let path = dir.path().join("journal.jsonl");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(rubbish).unwrap();
        // Sectors that were never written are left by a power cut alone: then the machine was started anew.
        fs::write(dir.path().join("boot"), "another\n").unwrap();
        let store = open(dir.path());
        assert_eq!(dump_of(&store), dump);
        assert_eq!(store.append(at(9), &ana(), &held("web/prod", "after")).unwrap().seq, Seq(9));
        assert_eq!(fs::read(dir.path().join("journal.bad.1")).unwrap(), rubbish);
        assert!(fs::read(&path).unwrap().starts_with(&journal));
        verify(&store);
    }
}

#[test]
fn an_append_that_fails_leaves_the_ledger_as_it_was() {
    if let Some(dir) = given() {
        let store = open(&dir);
        let before = dump_of(&store);
        let big = Event::Tagged { image: key("web", 1), tags: (0..9000).map(|n| format!("tag-{n}")).collect() };
        match store.append(at(9), &ana(), &big) {
            Err(StoreError::Io { doing: "append to", path, source }) => {
                tell(&format!("refused {} {source}", path.display()))
            }
            other => tell(&format!("wrong {:?}", other.map(|entry| entry.seq))),
        }
        assert_eq!(dump_of(&store), before);
        tell("the same");
        return;
    }
    let dir = TempDir::new().unwrap();
    let (journal, dump) = eight(dir.path());
    // A limit on the size of files is what a full disk looks like to the process; the signal it also sends is ignored.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""]);
    command.arg(std::env::current_exe().unwrap());
    command
        .args(["ledger::recovery::an_append_that_fails_leaves_the_ledger_as_it_was", "--exact", "--nocapture"])
        .env(DIR, dir.path());
    let told = told(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("refused ") && told[0].contains("journal.jsonl") && told[0].contains("too large"),
        "{told:?}"
    );
    assert_eq!(told[1], "the same");
    assert!(fs::read(dir.path().join("journal.jsonl")).unwrap() == journal, "not a byte longer");
    assert_eq!(dump_of(&open(dir.path())), dump);
    verify(&open(dir.path()));
}

#[test]
fn a_ledger_on_a_read_only_disk_can_be_read_and_not_written() {
    if let Some(dir) = given() {
        let store = open(&dir);
        tell(&format!("sees {}", dump_of(&store).len()));
        tell(&format!("verified {}", verify(&store).entries));
        let refused = store.append(at(9), &ana(), &held("web/prod", "no")).unwrap_err();
        tell(&format!("refused {refused}: {}", std::error::Error::source(&refused).unwrap()));
        return;
    }
    let dir = TempDir::new().unwrap();
    let ledger = dir.path().join("ledger");
    let (_, dump) = eight(&ledger);
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for path in fs::read_dir(&ledger).unwrap().map(|entry| entry.unwrap().path()).chain([ledger.clone()]) {
        let mode = if path.is_dir() { 0o555 } else { 0o444 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    // Nobody may be refused everything but root: root becomes nobody.
    let test = "ledger::recovery::a_ledger_on_a_read_only_disk_can_be_read_and_not_written";
    let mut command = child(test, &ledger, &[]);
    if fs::metadata(&ledger).unwrap().uid() == 0 {
        let exe = fs::canonicalize(std::env::current_exe().unwrap()).unwrap();
        let copy = dir.path().join("it");
        fs::copy(exe, &copy).unwrap();
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy).args([
            test,
            "--exact",
            "--nocapture",
        ]);
        command.env(DIR, &ledger).stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let told = told(command.spawn().unwrap());
    fs::set_permissions(&ledger, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(told[..2], [format!("sees {}", dump.len()), "verified 8".to_owned()]);
    assert!(told[2].starts_with("refused cannot open ") && told[2].contains("lock: Permission denied"), "{told:?}");
}
