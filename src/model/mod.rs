//! The nouns of the house: values that are valid from the moment they exist, and the fold that turns entries into views.

pub mod artifact;
pub mod channel;
pub mod digest;
pub mod drift;
pub mod entry;
pub mod event;
pub mod fact;
pub mod image;
pub mod ledger;
pub mod log_row;
pub mod lookup;
pub mod noted;
pub mod rollout;
pub mod rule;
pub mod selector;
pub mod target;
mod transition;
pub mod window;

pub use artifact::{AmiArtifact, AmiFacts, Artifact, Device, OciArtifact, Platform};
pub use channel::{Channel, ChannelState, EnvName, Hold, Rejection, Release};
pub use digest::Digest;
pub use drift::{Acknowledgement, Attribution, AuditRecord, FindingId, NotedFinding};
pub use entry::{Actor, Entry, EntryError, FORMAT, Seq};
pub use event::Event;
pub use fact::{Facts, NoFacts};
pub use image::{AmiId, Arch, Image, ImageKey, ImageName, ImageRef, Provenance, Region, Repository, Version};
pub use ledger::{Change, Head, IllegalEntry, LedgerView, Order, Table, ViewError};
pub use lookup::Lookup;
pub use noted::{Noted, NotedError, Standing};

pub use rollout::{Cause, Outcome, Rollout, SlotChange, Step, StepState};
pub use rule::{Approval, Freeze, PointerRecord, Scope};
pub use selector::{ImageSelector, SourceSelector};
pub use target::{
    Accepts, Deployment, Motion, Observed, Obstacle, Outlook, RecordedTarget, Revision, SlotImage, SlotName, SlotState,
    TargetId,
};
pub use transition::transition;
pub use window::Window;

use serde::de::Visitor;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// Why a word is not a valid name, digest or selector: what was given, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {wanted}")]
pub struct ParseError {
    /// What was typed or read, as it stood.
    pub given: String,
    /// What a valid value looks like, with its article: "an image name (…)".
    pub wanted: &'static str,
}

impl ParseError {
    pub(crate) fn new(given: &str, wanted: &'static str) -> Self {
        // A pasted file must not fill the screen.
        let given = given.chars().take(200).collect();
        Self { given, wanted }
    }
}

/// A text newtype that is checked when it is made, and reads and writes as a plain string. The text is shared, not copied: an
/// audit of ten thousand targets says each of their names a dozen times.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $wanted:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::model::ParseError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err($crate::model::ParseError::new(text, $wanted)) }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        $crate::model::serde_as_text!($name);
    };
}
pub(crate) use checked_text;

/// Reads and writes as the text that `Display` and `FromStr` agree on.
macro_rules! serde_as_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::model::Parsed(std::marker::PhantomData))
            }
        }
    };
}
pub(crate) use serde_as_text;

/// Parses a text where it stands, without a copy of its own.
pub(crate) struct Parsed<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Parsed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}
