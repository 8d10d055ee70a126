//! What the ledger keeps for a channel besides its releases: freezes, approvals, and what its pointers were told.

use super::{Channel, EnvName, ImageKey, ParseError, Seq, serde_as_text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a freeze covers: every channel of an environment (`prod`), or one channel (`web/prod`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Env(EnvName),
    Channel(Channel),
}

impl Scope {
    pub fn covers(&self, channel: &Channel) -> bool {
        match self {
            Self::Env(env) => channel.env == *env,
            Self::Channel(one) => one == channel,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(env) => env.fmt(f),
            Self::Channel(channel) => channel.fmt(f),
        }
    }
}

impl FromStr for Scope {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.contains('/') { text.parse().map(Self::Channel) } else { text.parse().map(Self::Env) }
    }
}

serde_as_text!(Scope);

/// Nothing is promoted there until a moment. It ends by itself: the fold has no clock, so whoever reads it asks `holds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    pub scope: Scope,
    pub until: Timestamp,
    pub by: String,
    pub at: Timestamp,
    pub reason: String,
    pub seq: Seq,
    /// Rollbacks that a person asks for are stopped, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rollbacks: bool,
}

impl Freeze {
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

/// Somebody's agreement that an image may go to a channel, in the place of the release that was there then. With the
/// channel's next release it has served: an approval is no pass for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub channel: Channel,
    pub image: ImageKey,
    /// Who agreed, as the ledger's entries name people (`Actor::who`): as trustworthy as the account they worked from.
    pub by: String,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub seq: Seq,
    /// The rollout that had put the channel's release there when it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Seq>,
}

/// What a pointer was last told, as far as the ledger knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointerRecord {
    pub image: ImageKey,
    /// `None`: it could not be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Why it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    pub at: Timestamp,
    pub seq: Seq,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_an_environment_or_one_channel() {
        let channel: Channel = "web/prod".parse().unwrap();
        let covers = |text: &str| text.parse::<Scope>().unwrap().covers(&channel);
        assert!(covers("prod") && covers("web/prod"));
        assert!(!covers("staging") && !covers("api/prod"));
        for bad in ["", "/prod", "web/", "a b", "PROD"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }
}
