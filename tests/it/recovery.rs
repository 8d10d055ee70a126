//! The process dies, whenever it likes; `imgctl resume` ends with ledger and cloud agreed.

use crate::support::desk::Desk;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::process::Child;
use std::time::Instant;

/// Two groups that follow one channel, with one image released. Every further image is a new one: a rollback rejects
/// what it left.
struct Stage {
    desk: Desk,
    name: String,
    groups: [String; 2],
    versions: u32,
}

impl Stage {
    fn new(name: &str) -> Self {
        let groups = [format!("{name}-a"), format!("{name}-b")];
        let desk = Desk::new(&format!("{name}/prod"), &[&groups[0], &groups[1]], "");
        let mut stage = Self { desk, name: name.to_owned(), groups, versions: 0 };
        let first = stage.record();
        for group in &stage.groups {
            stage.desk.lab.group(group, &first, &json!({"size": 1}));
        }
        stage.desk.done(&["promote", &stage.image(), "prod", "--yes"]);
        stage
    }

    /// Records another image; its AMI.
    fn record(&mut self) -> String {
        self.versions += 1;
        let ami = self.desk.lab.ami(&format!("{}-{}", self.name, self.versions), &json!({}));
        self.desk.done(&["record", &self.image(), &ami]);
        ami
    }

    /// The image that was recorded last.
    fn image(&self) -> String {
        format!("{}@{}", self.name, self.versions)
    }

    fn channel(&self) -> String {
        format!("{}/prod", self.name)
    }

    /// Begins to promote a new image; how many entries there were, and the process.
    fn promoting(&mut self) -> (usize, Child) {
        self.record();
        self.start(&["promote", &self.image(), "prod", "--yes"])
    }

    /// Begins to roll back from a new image that was promoted to its end.
    fn rolling_back(&mut self) -> (usize, Child) {
        self.record();
        self.desk.done(&["promote", &self.image(), "prod", "--yes"]);
        self.start(&["rollback", &self.channel(), "--yes"])
    }

    fn start(&self, arguments: &[&str]) -> (usize, Child) {
        (self.desk.entries(), self.desk.start(arguments))
    }

    /// What every instance runs.
    fn runs(&self) -> BTreeSet<String> {
        let shown = self.groups.iter().map(|group| self.desk.lab.show(group));
        shown
            .flat_map(|group: Value| group["by_ami"].as_object().unwrap().keys().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// After a death: resume, and then nothing is open, lost, or in disagreement.
    #[track_caller]
    fn recover(&self, when: &str) {
        let entries = self.desk.entries();
        let resumed = self.desk.run(&["resume"]);
        // 1: nothing had begun.
        assert!([0, 1].contains(&resumed.exit), "{when}: resume ended with {resumed:?}");
        assert!(self.desk.entries() >= entries, "{when}: the ledger lost entries");
        let again = self.desk.run(&["resume"]);
        assert_eq!(again.exit, 1, "{when}: a rollout is still open after {resumed:?}: {again:?}");
        let drift = self.desk.run(&["drift", &self.channel()]);
        assert_eq!(drift.exit, 0, "{when}: ledger and cloud disagree after {resumed:?}: {drift:?}");
        assert_eq!(self.runs().len(), 1, "{when}: the groups run different images");
        self.desk.done(&["ledger", "verify"]);
    }
}

/// SIGKILL: nothing can be said, flushed or finished any more.
fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Kills a command after its first write, then another after its second, until one ends before that many; says how many
/// were killed.
fn die_after_every_write(
    stage: &mut Stage,
    begin: impl Fn(&mut Stage) -> (usize, Child),
    between: impl Fn(&Stage),
) -> usize {
    for writes in 1.. {
        let (base, mut child) = begin(stage);
        if !stage.desk.reaches(base + writes, &mut child) {
            return writes - 1;
        }
        kill(child);
        stage.recover(&format!("killed after write {writes}"));
        between(stage);
    }
    unreachable!("every command ends")
}

#[test]
fn a_promotion_may_die_after_every_write() {
    let mut stage = Stage::new("die-promote");
    let killed = die_after_every_write(&mut stage, Stage::promoting, |_| {});
    assert!(killed >= 6, "two steps write at least six entries, not {killed}");
}

#[test]
fn a_rollback_may_die_after_every_write() {
    let mut stage = Stage::new("die-rollback");
    let lift = |stage: &Stage| {
        stage.desk.run(&["release", &stage.channel()]);
    };
    let killed = die_after_every_write(&mut stage, Stage::rolling_back, lift);
    assert!(killed >= 6, "two steps write at least six entries, not {killed}");
}

/// Kills promotions at moments spread at random over the time that one takes.
fn die_at_random(name: &str, times: u32) {
    let mut stage = Stage::new(name);
    let began = Instant::now();
    let whole = stage.promoting().1.wait().map(|_| began.elapsed()).unwrap();
    for time in 1..=times {
        let part = RandomState::new().hash_one(time) % 1000;
        let (_, child) = stage.promoting();
        std::thread::sleep(whole.mul_f64(f64::from(u32::try_from(part).unwrap()) / 1000.0));
        kill(child);
        stage.recover(&format!("killed after {part} thousandths of {} ms", whole.as_millis()));
    }
}

#[test]
fn a_promotion_may_die_at_any_moment() {
    die_at_random("die-any", 10);
}

#[test]
fn a_promotion_may_die_at_any_other_moment() {
    die_at_random("die-other", 10);
}
