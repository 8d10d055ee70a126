//! A channel: a named line that targets follow, and what has been released on it.

use super::{ImageKey, ImageName, ParseError, Seq, checked_text, serde_as_text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

checked_text! {
    /// The environment part of a channel, as in `prod`.
    EnvName, "an environment (lower-case letters, digits, `_`, `-`; at most 64)",
    |text| !text.is_empty() && text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

/// Image name and environment: `web/prod`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel {
    pub name: ImageName,
    pub env: EnvName,
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.name, self.env))
    }
}

impl FromStr for Channel {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let Some((name, env)) = text.split_once('/') else {
            return Err(ParseError::new(text, "a channel (NAME/ENV, as in web/prod)"));
        };
        Ok(Self { name: name.parse()?, env: env.parse()? })
    }
}

serde_as_text!(Channel);

/// An image that reached a channel, with the rollout that put it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub image: ImageKey,
    pub rollout: Seq,
    pub at: Timestamp,
    /// Its rollout and bake passed: only such releases are rolled back to.
    pub verified: bool,
}

/// A channel stays on its image until this is lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub by: String,
    pub at: Timestamp,
    pub reason: String,
    /// The entry that set it.
    pub seq: Seq,
}

/// An image that may not be promoted or rolled back to, in one channel or anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    pub image: ImageKey,
    /// `None`: anywhere.
    pub channel: Option<Channel>,
    pub by: String,
    pub at: Timestamp,
    pub reason: String,
    pub seq: Seq,
    /// When it ends by itself: the fold has no clock, so whoever reads it asks `holds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Whether it holds for what was built on the image, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub descendants: bool,
}

impl Rejection {
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Where a channel stands. Its lineage is a stack, kept release by release under its own keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelState {
    /// How many releases are in the lineage; the current one is at `depth`, counted from 1.
    pub depth: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Release>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// The rollout that has begun and not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Seq>,
    /// The newest rollout that failed or was given up, until another one succeeds: what it moved may still be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Seq>,
}

impl ChannelState {
    /// The image that was released last.
    pub fn image(&self) -> Option<&ImageKey> {
        self.current.as_ref().map(|release| &release.image)
    }
}
