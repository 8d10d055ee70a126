//! A finding: one agreement or disagreement between what is recorded, declared and observed.

use crate::model::{Channel, SlotName, TargetId};
use serde::Serialize;

/// What is so with one slot, or one target. Sorted by channel, target, slot and kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub channel: Channel,
    pub target: TargetId,
    /// `None`: it concerns the whole target.
    pub slot: Option<SlotName>,
    pub kind: FindingKind,
    pub severity: Severity,
    pub blame: Blame,
    pub recorded: Option<String>,
    pub declared: Option<String>,
    pub observed: Option<String>,
    /// What is so, in one sentence.
    pub detail: String,
    /// What to type next.
    pub remedy: Option<String>,
}

impl Finding {
    /// Whether it is drift, and not merely worth knowing.
    pub fn is_drift(&self) -> bool {
        self.severity >= Severity::Warning
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// All who speak say the same.
    InSync,
    /// The next apply would undo the release.
    StaleCode,
    /// The code was applied over the release.
    Reverted,
    /// Changed by neither the ledger nor the code.
    Tampered,
    /// Three witnesses, three images.
    Conflict,
    /// What runs is not what is configured.
    Mixed,
    /// Reached by a name that moves.
    Floating,
    /// The ledger has never put an image there.
    Untracked,
    /// The target or the slot is not there.
    Gone,
    /// The image is not there.
    Dangling,
    /// The target did not answer: unknown, and never in sync.
    Unreachable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    None,
    Note,
    Warning,
    Error,
}

/// Who is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    Nobody,
    Code,
    World,
    CodeAndWorld,
    Ledger,
}

impl FindingKind {
    /// How bad it is, when no rollout of ours explains it.
    pub fn severity(self, is_held: bool, ignores_image: bool) -> Severity {
        use FindingKind::*;
        match self {
            InSync => Severity::None,
            StaleCode if ignores_image => Severity::Note,
            StaleCode if !is_held => Severity::Warning,
            Floating | Untracked => Severity::Warning,
            StaleCode | Reverted | Tampered | Conflict | Mixed | Gone | Dangling | Unreachable => Severity::Error,
        }
    }

    /// Who is wrong.
    pub fn blame(self) -> Blame {
        use FindingKind::*;
        match self {
            InSync | Unreachable => Blame::Nobody,
            StaleCode | Reverted => Blame::Code,
            Tampered | Mixed | Floating | Gone | Dangling => Blame::World,
            Conflict => Blame::CodeAndWorld,
            Untracked => Blame::Ledger,
        }
    }

    /// Whether a rollout of ours brings it about while it lasts.
    pub fn is_expected_during_rollout(self) -> bool {
        use FindingKind::*;
        match self {
            StaleCode | Reverted | Tampered | Conflict | Mixed | Floating | Untracked => true,
            InSync | Gone | Dangling | Unreachable => false,
        }
    }
}
