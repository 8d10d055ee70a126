//! The process dies, whenever it likes; `imgctl resume` ends with ledger and cloud agreed.

use crate::support::desk::Desk;
use crate::support::lab::lab;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::process::Child;
use std::time::Instant;

/// Two groups (or ECS services) that follow one channel, with one image released. Every further image is a new one: a
/// rollback rejects what it left.
struct Stage {
    desk: Desk,
    name: String,
    kind: Kind,
    targets: [String; 2],
    versions: u32,
}

#[derive(Clone, Copy)]
enum Kind {
    Groups,
    Services,
}

impl Stage {
    fn new(kind: Kind, name: &str) -> Self {
        let targets = [format!("{name}-a"), format!("{name}-b")];
        let channel = format!("{name}/prod");
        let desk = match kind {
            Kind::Groups => Desk::new(&channel, &[&targets[0], &targets[1]], ""),
            Kind::Services => Desk::new(&channel, &[], &services(name, &targets)),
        };
        let mut stage = Self { desk, name: name.to_owned(), kind, targets, versions: 0 };
        let first = stage.record();
        for target in &stage.targets {
            let service = json!({"name": target, "image": first, "size": 1, "circuit_breaker": true});
            match kind {
                Kind::Groups => stage.desk.lab.group(target, &first, &json!({"size": 1})),
                Kind::Services => stage.desk.lab.post("service", &service),
            };
        }
        stage.desk.done(&["promote", &stage.image(), "prod", "--yes"]);
        stage
    }

    /// Records another image; its address.
    fn record(&mut self) -> String {
        self.versions += 1;
        let lab = self.desk.lab;
        let name = format!("{}-{}", self.name, self.versions);
        let (address, recorded) = match self.kind {
            Kind::Groups => {
                let ami = lab.ami(&name, &json!({}));
                (ami.clone(), ami)
            }
            Kind::Services => {
                let registry = &lab.env["IMGCTL_LAB_REGISTRY"];
                let pushed = lab.ctl(&["push", &format!("recovery/{}:{}", self.name, self.versions)]);
                (format!("{registry}/{pushed}"), format!("{registry}/recovery/{}:{}", self.name, self.versions))
            }
        };
        self.desk.done(&["record", &self.image(), &recorded]);
        address
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

    /// What every instance, or task, runs.
    fn runs(&self) -> BTreeSet<String> {
        let shown = self.targets.iter().map(|target| match self.kind {
            Kind::Groups => self.desk.lab.show(target)["by_ami"].clone(),
            Kind::Services => self.desk.lab.get(&format!("service?name={target}"))["by_image"].clone(),
        });
        shown.flat_map(|by_image: Value| by_image.as_object().unwrap().keys().cloned().collect::<Vec<_>>()).collect()
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
        assert_eq!(self.runs().len(), 1, "{when}: the targets run different images");
        self.desk.done(&["ledger", "verify"]);
    }
}

/// The config of two services, whose images are in the lab's registry.
fn services(name: &str, targets: &[String; 2]) -> String {
    let registry = &lab().env["IMGCTL_LAB_REGISTRY"];
    let mut config = format!("\n[registries.\"{registry}\"]\nplain_http = true\n");
    for target in targets {
        config += &format!(
            "\n[[channels.{name}.prod.targets]]\nid = \"{target}\"\nkind = \"ecs\"\ncluster = \"main\"\n\
             service = \"{target}\"\ncontainer = \"app\"\nregion = \"eu-west-1\"\npoll_interval = \"100ms\"\n"
        );
    }
    config
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
    let mut stage = Stage::new(Kind::Groups, "die-promote");
    let killed = die_after_every_write(&mut stage, Stage::promoting, |_| {});
    assert!(killed >= 6, "two steps write at least six entries, not {killed}");
}

#[test]
fn a_rollback_may_die_after_every_write() {
    let mut stage = Stage::new(Kind::Groups, "die-rollback");
    let lift = |stage: &Stage| {
        stage.desk.run(&["release", &stage.channel()]);
    };
    let killed = die_after_every_write(&mut stage, Stage::rolling_back, lift);
    assert!(killed >= 6, "two steps write at least six entries, not {killed}");
}

/// Kills promotions at moments spread at random over the time that one takes.
fn die_at_random(kind: Kind, name: &str, times: u32) {
    let mut stage = Stage::new(kind, name);
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
    die_at_random(Kind::Groups, "die-any", 10);
}

#[test]
fn a_promotion_may_die_at_any_other_moment() {
    die_at_random(Kind::Groups, "die-other", 10);
}

#[test]
fn a_promotion_of_services_may_die_after_every_write() {
    let mut stage = Stage::new(Kind::Services, "die-services");
    let killed = die_after_every_write(&mut stage, Stage::promoting, |_| {});
    assert!(killed >= 6, "two steps write at least six entries, not {killed}");
}

#[test]
fn a_rollback_of_services_may_die_after_every_write() {
    let mut stage = Stage::new(Kind::Services, "die-services-back");
    let lift = |stage: &Stage| {
        stage.desk.run(&["release", &stage.channel()]);
    };
    let killed = die_after_every_write(&mut stage, Stage::rolling_back, lift);
    assert!(killed >= 6, "two steps write at least six entries, not {killed}");
}

#[test]
fn a_promotion_of_services_may_die_at_any_moment() {
    die_at_random(Kind::Services, "die-services-any", 10);
}
