//! Decisions: a snapshot in, a value out. Pure and total: what must not happen is in the plan, as blockers.

mod aside;
pub mod change;
pub mod drift;
pub mod evidence;
pub mod finding;
mod foresight;
pub mod guard;
mod holds;
pub mod naming;
pub mod period;
pub mod pointer;
pub mod promote;
mod remedy;
pub mod resume;
pub mod rollback;
pub mod rules;
mod slots;
pub mod stats;
pub mod witnesses;

pub use drift::drift;
pub use finding::{Acknowledged, Blame, CodePlace, Finding, FindingKind, Severity};
pub use foresight::Foresight;
pub use guard::guard;
pub use promote::promote;
pub use resume::resume;
pub use rollback::rollback;
pub use rules::{Grounds, Overridden, Rule, Rules};
pub use slots::is_settled;

use crate::model::{
    Cause, Channel, ChannelState, Image, ImageKey, ImageRef, Observed, RecordedTarget, Rejection, Release, Rollout,
    Seq, Step, TargetId,
};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything a plan may look at, read before it is made.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub now: Timestamp,
    /// The head of the ledger when it was read: the plan is valid only on it.
    pub base: Seq,
    pub channel: Channel,
    pub state: ChannelState,
    /// Depth → release, as far down as was read; the current one included.
    pub lineage: BTreeMap<u64, Release>,
    /// The rollout of this channel that has not finished.
    pub open: Option<Rollout>,
    /// The newest rollout that failed or was given up, where none has succeeded since.
    pub failed: Option<Rollout>,
    /// Every image that the lineage or the intent names.
    pub images: BTreeMap<ImageKey, Image>,
    /// Those that hold now; one of an image it was built on stands for the image, too.
    pub rejections: BTreeMap<ImageKey, Rejection>,
    /// What the channel's rules are judged by.
    pub grounds: Grounds,
    pub targets: BTreeMap<TargetId, TargetView>,
    /// Whether an address can still be launched or pulled. Absent: it was not asked.
    pub fitness: BTreeMap<ImageRef, Fitness>,
}

/// One target of the channel, as recorded and as seen.
#[derive(Debug, Clone)]
pub struct TargetView {
    /// When it moves, among the targets of its channel: counted from 1.
    pub wave: u32,
    pub recorded: Option<RecordedTarget>,
    pub sight: Sight,
}

/// What came of looking at a target.
#[derive(Debug, Clone)]
pub enum Sight {
    Seen(Arc<Observed>),
    /// The platform says there is no such thing.
    Gone {
        why: String,
        /// What names it, and where that can be mended.
        fix: String,
    },
    /// It is there, and what it launches from is not.
    Dangling {
        why: String,
        /// What it could launch from.
        fix: String,
    },
    /// No answer: unknown, and never taken for good.
    Unreachable {
        why: String,
        /// What makes it answer, as a person would do it.
        fix: String,
    },
}

/// Whether an image can be launched or pulled now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fitness {
    Fit,
    /// Fit, and from this moment on its owner advises against it (EC2 EnableImageDeprecation).
    Deprecated {
        at: Timestamp,
    },
    Unfit {
        why: String,
    },
    Unknown {
        why: String,
    },
}

/// What will be done, and why it must not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Valid only while this is the ledger's head.
    pub base: Seq,
    pub channel: Channel,
    /// What the targets shall run. `None`: there is nothing to go to, and a blocker says why.
    pub image: Option<ImageKey>,
    /// The channel's image now.
    pub from: Option<ImageKey>,
    pub cause: Cause,
    pub steps: Vec<Step>,
    /// Steps that a blocker keeps from being made: their targets are asked all the same what else stands in the way.
    #[serde(skip)]
    pub barred: Vec<Step>,
    /// Targets that are there already. One that is also a step is only to be recorded.
    pub settled: Vec<TargetId>,
    pub blockers: Vec<Blocker>,
    /// Rules that stood in the way and are passed over: each will be an entry of the ledger.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<Overridden>,
    /// What the person should know before saying yes.
    pub notes: Vec<String>,
    /// The channel itself is there already: with no steps, nothing is to be done or written.
    pub done: bool,
}

impl Plan {
    /// Nothing is known to speak against it: what it depends on could not be read.
    pub fn is_unread(&self) -> bool {
        !self.blockers.is_empty() && self.blockers.iter().all(|blocker| blocker.kind == BlockerKind::Unknown)
    }

    /// Neither something to do nor something to write.
    pub fn is_noop(&self) -> bool {
        self.steps.is_empty() && self.done && self.blockers.is_empty()
    }

    fn sorted(mut self) -> Self {
        self.blockers.sort();
        self.blockers.dedup();
        self
    }
}

/// Why a plan must not run: a value, so that all of them can be shown at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Blocker {
    /// The image, channel or target it is about.
    pub subject: String,
    pub kind: BlockerKind,
    pub what: String,
    /// What would make it go away, as a command where there is one.
    pub fix: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockerKind {
    Rejected,
    Held,
    Frozen,
    After,
    Soak,
    Approvals,
    Window,
    Unfinished,
    NoTargets,
    NothingBeneath,
    NoArtifact,
    Unfit,
    Unknown,
    Gone,
    Obstacle,
    Busy,
}

impl Blocker {
    fn new(kind: BlockerKind, subject: impl ToString, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { kind, subject: subject.to_string(), what: what.into(), fix: fix.into() }
    }
}

#[cfg(test)]
mod story;
#[cfg(test)]
mod world;
