//! A finding: one agreement or disagreement between what is recorded, declared and observed.

use crate::model::{Acknowledgement, Attribution, Channel, Digest, FindingId, NotedFinding, SlotName, TargetId};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// What is so with one slot, or one target. Sorted by channel, target, slot and kind. What most have not is boxed: an audit
/// keeps one of each target until all are told.
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
    /// Where the code says what it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Box<CodePlace>>,
    /// Who made it so, as the platform remembers it; `None`: nobody was asked, or nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Box<Attribution>>,
    /// Who knows of it already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Box<Acknowledged>>,
    /// The same as long as it is about the same images in the same place.
    pub id: FindingId,
}

/// A resource of the code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CodePlace {
    /// The file or address it was read from, as the user named it.
    pub source: String,
    /// Its address there: `module.web.aws_launch_template.this`.
    pub address: String,
}

impl CodePlace {
    /// Whether it came through a pipe: there is no file of that name.
    pub fn is_piped(&self) -> bool {
        self.source == "standard input"
    }
}

/// That somebody knows of a finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Acknowledged {
    pub by: String,
    pub until: Timestamp,
    pub reason: String,
}

impl Finding {
    /// Whether it is drift, and not merely worth knowing.
    pub fn is_drift(&self) -> bool {
        self.severity >= Severity::Warning
    }

    /// Whether somebody should have answered, and nobody has: what was looked at is not the whole.
    pub fn is_unknown(&self) -> bool {
        self.is_unread() && self.is_drift()
    }

    /// Whether nobody knows what is so, known to somebody or not.
    pub fn is_unread(&self) -> bool {
        self.kind == FindingKind::Unreachable
    }

    /// The word for its kind, as in JSON.
    pub fn word(&self) -> String {
        self.kind.word()
    }

    /// As the ledger keeps it.
    pub fn noted(&self) -> NotedFinding {
        let (channel, target, slot) = (self.channel.clone(), self.target.clone(), self.slot.clone());
        NotedFinding { channel, target, slot, kind: self.word() }
    }

    /// What was acknowledged is no alarm while that lasts; when it has ended, that is said.
    pub(super) fn acknowledge(&mut self, acknowledgements: &BTreeMap<FindingId, Acknowledgement>, now: Timestamp) {
        let Some(known) = acknowledgements.get(&self.id).filter(|_| self.is_drift()) else { return };
        let Acknowledgement { by, until, reason, .. } = known;
        if known.holds(now) {
            self.severity = Severity::Note;
            self.acknowledged = Some(Acknowledged { by: by.clone(), until: *until, reason: reason.clone() }.into());
        } else {
            self.detail.push_str(&format!("; that {by} knew of it ({reason}) ended at {until:.0}"));
        }
    }

    /// The id of a finding on these images: whatever it says besides may change from look to look.
    pub(super) fn identify(&self) -> FindingId {
        let witness = |text: &Option<String>| text.as_deref().map(images).unwrap_or_default();
        let slot = self.slot.as_ref().map(ToString::to_string).unwrap_or_default();
        let (channel, target) = (self.channel.to_string(), self.target.to_string());
        // The code may be read or not, and be of another file: it counts where the verdict rests on it.
        let declared = match self.kind {
            FindingKind::StaleCode | FindingKind::Reverted | FindingKind::Conflict => witness(&self.declared),
            _ => String::new(),
        };
        let witnesses = [witness(&self.recorded), declared, witness(&self.observed)];
        let about = [&[channel, target, slot, self.word()], witnesses.as_slice()].concat().join("\n");
        FindingId::of(&Digest::of(about.as_bytes()))
    }
}

/// The images of a text without how many run them: the counts move while instances come and go.
fn images(text: &str) -> String {
    let image = |part: &str| part.rsplit(" × ").next().unwrap_or_default().to_owned();
    text.split(", ").map(image).collect::<Vec<_>>().join(", ")
}

/// The word a value is written as in JSON.
fn word(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Severity {
    pub fn word(self) -> String {
        word(self)
    }
}

impl Blame {
    pub fn word(self) -> String {
        word(self)
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
    /// The platform took somebody's deployment back: whoever began it may believe that it succeeded.
    Undone,
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
    /// As in JSON, and in the ledger.
    pub fn word(self) -> String {
        word(self)
    }

    /// How bad it is, when no rollout of ours explains it.
    pub fn severity(self, is_held: bool, ignores_image: bool) -> Severity {
        use FindingKind::*;
        match self {
            InSync => Severity::None,
            StaleCode if ignores_image => Severity::Note,
            StaleCode if !is_held => Severity::Warning,
            Undone | Floating | Untracked => Severity::Warning,
            StaleCode | Reverted | Tampered | Conflict | Mixed | Gone | Dangling | Unreachable => Severity::Error,
        }
    }

    /// Who is wrong.
    pub fn blame(self) -> Blame {
        use FindingKind::*;
        match self {
            InSync | Undone | Unreachable => Blame::Nobody,
            StaleCode | Reverted => Blame::Code,
            Tampered | Mixed | Floating | Gone | Dangling => Blame::World,
            Conflict => Blame::CodeAndWorld,
            Untracked => Blame::Ledger,
        }
    }

    /// Whether the target was given another image by somebody, who may be known to its platform.
    pub fn is_somebodys_change(self) -> bool {
        matches!(self, Self::Reverted | Self::Tampered | Self::Conflict)
    }

    /// Whether a rollout of ours brings it about while it lasts.
    pub fn is_expected_during_rollout(self) -> bool {
        use FindingKind::*;
        match self {
            StaleCode | Reverted | Tampered | Conflict | Mixed | Floating | Untracked => true,
            InSync | Undone | Gone | Dangling | Unreachable => false,
        }
    }
}
