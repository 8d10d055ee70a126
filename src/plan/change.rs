//! A change: all that the ledger says of one rollout, hold, rejection, tag or recording, from its first entry to its last.

mod begin;

use super::evidence::Evidence;
pub use super::holds::Holds;
use crate::model::{Actor, Cause, Channel, Digest, Entry, Event, Image, ImageKey, ImageRef, Outcome, Scope, Seq};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// From when (included) until when (excluded); open where nothing is said. A change lies where it began, so ranges that
/// touch share no change and lose none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Range {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

impl Range {
    pub fn holds(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }
}

/// What kind of change it is, in the words of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// The ledger itself.
    Create,
    Record,
    AddArtifacts,
    Tag,
    Untag,
    MirrorTags,
    Promote,
    Rollback,
    Hold,
    Release,
    Reject,
    Restore,
    Freeze,
    Unfreeze,
    Approve,
    Withdraw,
    Override,
    /// A pointer was written, or could not be.
    Point,
    AuditDrift,
    Acknowledge,
    WithdrawAcknowledgement,
    /// Written by a newer imgctl.
    Unknown,
}

/// Who set it going, as far as the ledger knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initiator {
    /// imgctl itself, because a rollout failed.
    Imgctl,
    /// A CI job: its variables were set where it was done.
    Ci,
    /// Neither: a person, or a machine that does not say what it is.
    Person,
}

/// Why a change was not an ordinary one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Emergency {
    /// A release was taken back by somebody.
    Rollback,
    /// A release was taken back by imgctl, because its rollout failed.
    AutomaticRollback,
    /// Another image was promoted while the channel was held.
    OverHold,
    /// A rule of the channel was passed over: a freeze, a missing approval, a window, …
    OverRule,
}

/// How a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Written, and that was all there was to do.
    Done,
    /// A rollout that has not ended.
    Open,
    Succeeded,
    Failed,
    RolledBack,
    Aborted,
    Superseded,
}

/// An entry and its hash: what ties a change to the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    pub entry: Seq,
    pub hash: Digest,
}

impl Link {
    fn to(entry: &Entry) -> Self {
        Self { entry: entry.seq, hash: entry.hash.clone() }
    }
}

/// An image that a change is about, with what the ledger knows of it today: addresses may have been added since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    pub image: ImageKey,
    pub addresses: Vec<ImageRef>,
    pub commit: Option<String>,
    pub commit_time: Option<Timestamp>,
}

impl Subject {
    fn named(image: &ImageKey) -> Self {
        Self { image: image.clone(), addresses: Vec::new(), commit: None, commit_time: None }
    }

    pub fn describe(&mut self, image: &Image) {
        self.addresses = image.addresses().collect();
        self.commit.clone_from(&image.provenance.commit);
        self.commit_time = image.provenance.commit_time;
    }
}

/// Somebody's agreement to a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    pub by: Actor,
    pub at: Timestamp,
    pub entry: Seq,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    pub kind: ChangeKind,
    pub channel: Option<Channel>,
    /// Every entry it is made of, in order. What ended a superseded rollout is an entry of its successor.
    pub entries: Vec<Seq>,
    pub first: Link,
    pub last: Link,
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
    pub by: Actor,
    /// Whose entry ended a rollout: another one than began it where it was resumed, aborted or superseded.
    pub ended_by: Option<Actor>,
    pub initiator: Initiator,
    pub reason: Option<String>,
    /// The channel's image when a rollout began.
    pub from: Option<Subject>,
    /// The image that a rollout brings; else the image it is about.
    pub to: Option<Subject>,
    pub tags: BTreeSet<String>,
    pub status: Status,
    /// What was said of how it ended.
    pub said: Option<String>,
    pub superseded_by: Option<Seq>,
    /// The rollout that a rollback takes back.
    pub undoes: Option<Seq>,
    /// The image that a rollback turns away from.
    pub leaves: Option<ImageKey>,
    pub emergency: BTreeSet<Emergency>,
    /// Of a promotion: who had agreed to it.
    pub approvals: Vec<Approval>,
    /// What was done on each target of a rollout, and what its platform said.
    pub steps: Vec<Evidence>,
}

impl Change {
    fn new(kind: ChangeKind, entry: &Entry) -> Self {
        Self {
            kind,
            channel: None,
            entries: vec![entry.seq],
            first: Link::to(entry),
            last: Link::to(entry),
            began: entry.at,
            ended: Some(entry.at),
            by: entry.by.clone(),
            ended_by: None,
            initiator: if entry.by.ci.is_empty() { Initiator::Person } else { Initiator::Ci },
            reason: None,
            from: None,
            to: None,
            tags: BTreeSet::new(),
            status: Status::Done,
            said: None,
            superseded_by: None,
            undoes: None,
            leaves: None,
            emergency: BTreeSet::new(),
            approvals: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn rollout(entry: &Entry, holds: &Holds) -> Option<Self> {
        let Event::RolloutStarted { channel, image, from, cause, reason, steps } = &entry.event else { return None };
        let kind = if *cause == Cause::Promote { ChangeKind::Promote } else { ChangeKind::Rollback };
        let mut change = Self::new(kind, entry);
        change.channel = Some(channel.clone());
        change.ended = None;
        change.status = Status::Open;
        change.reason.clone_from(reason);
        change.from = from.as_ref().map(Subject::named);
        change.to = Some(Subject::named(image));
        change.steps = steps.iter().map(Evidence::planned).collect();
        if *cause == Cause::Promote {
            change.approvals = holds.approvals(channel, image);
            if holds.overridden(channel) {
                change.emergency.insert(Emergency::OverRule);
            }
        }
        match cause {
            // Promoting what the hold holds brings strayed targets back, and is no way round it.
            Cause::Promote if holds.on(channel).is_some() && from.as_ref() != Some(image) => {
                change.emergency.insert(Emergency::OverHold);
            }
            Cause::Promote => {}
            Cause::Rollback { of, leaves, automatic, .. } => {
                change.undoes = *of;
                change.leaves.clone_from(leaves);
                if *automatic {
                    change.initiator = Initiator::Imgctl;
                }
                change.emergency.insert(match automatic {
                    true => Emergency::AutomaticRollback,
                    false => Emergency::Rollback,
                });
            }
        }
        Some(change)
    }

    fn partly_failed(mut self, failed: &BTreeMap<String, String>) -> Self {
        if !failed.is_empty() {
            let said: Vec<String> = failed.iter().map(|(place, why)| format!("{place}: {why}")).collect();
            (self.status, self.said) = (Status::Failed, Some(said.join("; ")));
        }
        self
    }

    /// Whether later entries may belong to it.
    pub fn is_rollout(&self) -> bool {
        matches!(self.kind, ChangeKind::Promote | ChangeKind::Rollback)
    }

    /// Whether it says which images may be used.
    pub fn is_verdict(&self) -> bool {
        matches!(self.kind, ChangeKind::Reject | ChangeKind::Restore)
    }

    /// Takes in a later entry of the channel's log. `false`: nothing from there on belongs to it.
    ///
    /// Reports may come after the end, until the channel's next rollout begins; later ones only `log` shows.
    pub fn join(&mut self, entry: &Entry) -> bool {
        if let Event::RolloutStarted { channel, .. } = &entry.event
            && self.channel.as_ref() == Some(channel)
        {
            // Only a rollback may begin while this one is open, and takes its place.
            let open = self.status == Status::Open;
            if open {
                self.superseded_by = Some(entry.seq);
                self.end(entry, Status::Superseded, None);
            }
            return open;
        }
        if entry.event.rollout() != Some(self.first.entry) {
            return true;
        }
        self.entries.push(entry.seq);
        self.last = Link::to(entry);
        if let Event::RolloutFinished { outcome, .. } = &entry.event {
            // One that was superseded may still report its end, which changes nothing any more.
            if self.status == Status::Open {
                let (status, said) = ending(outcome);
                self.end(entry, status, said);
            }
        } else {
            self.steps.iter_mut().for_each(|step| step.see(entry));
        }
        true
    }

    fn end(&mut self, entry: &Entry, status: Status, said: Option<String>) {
        (self.status, self.said) = (status, said);
        (self.ended, self.ended_by) = (Some(entry.at), Some(entry.by.clone()));
    }
}

fn ending(outcome: &Outcome) -> (Status, Option<String>) {
    match outcome {
        Outcome::Succeeded => (Status::Succeeded, None),
        Outcome::Failed { reason } => (Status::Failed, Some(reason.clone())),
        Outcome::RolledBack { reason } => (Status::RolledBack, Some(reason.clone())),
        Outcome::Aborted { reason } => (Status::Aborted, Some(reason.clone())),
        Outcome::Superseded { by } => (Status::Superseded, Some(format!("by rollout {by}"))),
    }
}

/// The channel that a freeze is of; `None`: a whole environment.
fn one(scope: &Scope) -> Option<Channel> {
    match scope {
        Scope::Env(_) => None,
        Scope::Channel(channel) => Some(channel.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::Progress;
    use super::super::story::{at, changes};
    use super::*;

    const PROMOTED: &str = "0m promote web@2 from web@1; 1m begun; 2m ordered; 8m well; 9m end ok;";

    #[test]
    fn a_rollout_is_one_change_from_its_first_entry_to_its_last() {
        let changes = changes(&format!("{PROMOTED} 10m hold"));
        let [promote, hold] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!((promote.kind, promote.status), (ChangeKind::Promote, Status::Succeeded));
        assert_eq!(promote.entries, [1, 2, 3, 4, 5].map(Seq));
        assert_eq!((promote.began, promote.ended), (at("0m"), Some(at("9m"))));
        assert_eq!((promote.first.entry, promote.last.entry), (Seq(1), Seq(5)));
        assert_ne!(promote.first.hash, promote.last.hash);
        let step = &promote.steps[0];
        assert_eq!((step.status, step.began, step.ordered), (Progress::Succeeded, Some(at("1m")), Some(at("2m"))));
        assert_eq!((&step.deployments[..], step.running.len()), (&["refresh-1".to_owned()][..], 1));
        assert_eq!((hold.kind, hold.status, hold.ended), (ChangeKind::Hold, Status::Done, Some(at("10m"))));
        assert_eq!(hold.first, hold.last);
    }

    #[test]
    fn what_failed_says_what_its_platform_said() {
        let changes = changes("0m promote web@2 from web@1; 1m begun; 2m badly; 3m end failed");
        assert_eq!((changes[0].status, changes[0].said.as_deref()), (Status::Failed, Some("why")));
        assert_eq!(changes[0].steps[0].said.as_deref(), Some("unhealthy"));
    }

    #[test]
    fn a_rollback_takes_the_place_of_the_rollout_it_is_of() {
        let changes = changes(
            "0m promote web@2 from web@1; 1m begun; 5m by bob; 5m back to web@1 from web@2 of 1; 6m begun; 7m well; 8m end ok; 9m end ok of 1",
        );
        let [promote, back] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!((promote.status, promote.superseded_by), (Status::Superseded, Some(Seq(3))));
        assert_eq!((promote.ended, promote.ended_by.as_ref().unwrap().who.as_str()), (Some(at("5m")), "bob"));
        assert_eq!(promote.entries, [1, 2, 7].map(Seq), "a late report is a part of it, and changes nothing");
        assert_eq!((back.kind, back.status, back.undoes), (ChangeKind::Rollback, Status::Succeeded, Some(Seq(1))));
        assert_eq!(back.entries, [3, 4, 5, 6].map(Seq));
    }

    #[test]
    fn what_has_not_ended_is_open() {
        let changes = changes("0m promote web@2 from web@1; 1m begun; 2m tag web@2 x");
        assert_eq!((changes[0].status, changes[0].ended), (Status::Open, None));
        assert_eq!((changes[1].kind, changes[1].tags.len()), (ChangeKind::Tag, 1));
    }

    #[test]
    fn an_emergency_is_a_rollback_or_a_promotion_over_a_hold() {
        let why = |text: &str| {
            let last = changes(text).pop().unwrap();
            (last.initiator, last.emergency.into_iter().collect::<Vec<_>>())
        };
        assert_eq!(why(PROMOTED), (Initiator::Person, vec![]));
        let back = format!("{PROMOTED} 10m back to web@1 from web@2 of 1");
        assert_eq!(why(&back), (Initiator::Person, vec![Emergency::Rollback]));
        assert_eq!(why(&format!("{back} automatic")), (Initiator::Imgctl, vec![Emergency::AutomaticRollback]));
        let held = "0m hold; 1m promote web@2 from web@1";
        assert_eq!(why(held), (Initiator::Person, vec![Emergency::OverHold]));
        assert_eq!(why("0m hold; 1m release; 2m promote web@2 from web@1").1, []);
        assert_eq!(why("0m hold; 1m promote web@1 from web@1").1, [], "it brings strayed targets back");
        assert_eq!(
            why(&format!("{back}; 11m end ok; 12m promote web@3 from web@1")).1,
            [Emergency::OverHold],
            "a rollback holds the channel"
        );
        assert_eq!(why("0m by run-7 GITHUB_RUN_ID; 0m promote web@2").0, Initiator::Ci);
    }

    #[test]
    fn ranges_that_touch_share_no_change_and_lose_none() {
        let (early, late) = (Range { from: None, to: Some(at("5m")) }, Range { from: Some(at("5m")), to: None });
        for moment in ["0m", "4m", "5m", "6m"].map(at) {
            assert!(early.holds(moment) != late.holds(moment));
        }
    }
}
