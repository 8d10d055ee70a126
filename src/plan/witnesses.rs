//! Witnesses: all that the ledger, the code and the target say of one target, before anybody judges it.

use super::Sight;
use super::finding::CodePlace;
use crate::model::{Channel, Hold, ImageRef, RecordedTarget, Seq, SlotName, TargetId};
use std::collections::{BTreeMap, BTreeSet};

/// All that is known of one target.
#[derive(Debug, Clone)]
pub struct Witnesses {
    pub target: TargetId,
    pub channel: Channel,
    pub recorded: Option<RecordedTarget>,
    /// Slots that no code speaks of are absent.
    pub declared: BTreeMap<SlotName, Declaration>,
    /// What it means that they are.
    pub silence: Silence,
    /// Where it speaks of them.
    pub places: BTreeMap<SlotName, CodePlace>,
    /// The code leaves the image to others (`ignore_changes`): applying it changes nothing.
    pub ignores_image: bool,
    pub sight: Sight,
    /// Images that are known to be no longer there.
    pub dangling: BTreeSet<ImageRef>,
    /// The hold on the channel.
    pub hold: Option<Hold>,
    /// The channel's rollout that has not finished.
    pub open: Option<Seq>,
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
