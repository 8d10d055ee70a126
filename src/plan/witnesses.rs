//! Witnesses: all that the ledger, the code and the target say of one target, before anybody judges it.

use super::Sight;
use super::finding::CodePlace;
use crate::model::{Channel, Hold, ImageKey, ImageRef, RecordedTarget, Seq, SlotName, TargetId};
use std::collections::{BTreeMap, BTreeSet};

/// All that is known of one target.
#[derive(Debug, Clone)]
pub struct Witnesses {
    pub target: TargetId,
    pub channel: Channel,
    /// What the ledger has put there for this channel.
    pub recorded: Option<RecordedTarget>,
    /// What it has put there for another one, which the target was in before.
    pub former: Option<RecordedTarget>,
    /// Slots that no code speaks of are absent.
    pub declared: BTreeMap<SlotName, Declaration>,
    /// What it means that they are.
    pub silence: Silence,
    /// Where it speaks of them.
    pub places: BTreeMap<SlotName, CodePlace>,
    /// The code leaves the image to others (`ignore_changes`): applying it changes nothing.
    pub ignores_image: bool,
    pub sight: Sight,
    /// Its newest deployment is none that the ledger has ordered.
    pub is_foreign: bool,
    /// Images that cannot be launched or pulled any more, each with why.
    pub dangling: BTreeMap<ImageRef, Lost>,
    /// What the channel is at; a rollout that was given up may have left the target elsewhere.
    pub release: Option<ImageKey>,
    /// The hold on the channel.
    pub hold: Option<Hold>,
    /// The channel's rollout that has not finished.
    pub open: Option<Open>,
}

/// Why an image cannot be launched or pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// It is not there.
    Gone,
    /// It is there, and cannot be used: disabled, archived, incomplete.
    Unusable { why: String },
}

/// A rollout that has not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub rollout: Seq,
    /// What it moves this target from and to: nothing else is its work.
    pub images: BTreeSet<ImageRef>,
}

/// What the code says of one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declaration {
    Image(ImageRef),
    /// It says several things.
    Contradiction {
        /// Who says what, with `;` between.
        why: String,
        images: BTreeSet<ImageRef>,
    },
    /// It says something, and what it means could not be found out.
    Unknown {
        why: String,
    },
}

/// What it means that no code speaks of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// No code was given.
    Natural,
    /// A person has named code, which need not speak of every target.
    Told,
    /// The config names code for this channel.
    Strange,
}
