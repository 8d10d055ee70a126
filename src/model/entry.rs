//! An entry: who did what, when; sealed with the hash of what came before. Its written form is versioned.

use super::{Digest, Event};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// The version of the written form that this imgctl writes.
pub const FORMAT: u32 = 1;

/// The number of an entry: ours, gapless, from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Sixteen digits, so that keys sort as numbers do.
    pub fn key(self) -> String {
        format!("{:016}", self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

/// Who did it, as far as it can be known without asking them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The AWS identity (STS GetCallerIdentity's ARN), or `user@host`.
    pub who: String,
    /// The machine it was done from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The CI job, by the variables CI systems set: never their secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ci: BTreeMap<String, String>,
}

/// One entry of the ledger. `line` is its written form, kept byte for byte: what a newer imgctl added survives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub version: u32,
    pub seq: Seq,
    pub at: Timestamp,
    pub by: Actor,
    pub event: Event,
    pub prev: Digest,
    pub hash: Digest,
    line: String,
}

/// Why a line is not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("not an entry: {0}")]
    Malformed(String),
    #[error("entry {seq} does not match its own hash: it was changed after it was written")]
    HashMismatch { seq: Seq },
    #[error("it is missing")]
    Missing,
    #[error("it does not follow from the entry before it: the chain is broken")]
    Unchained,
}

/// The typed reading of an entry's fields, as serde sees them.
#[derive(Serialize, Deserialize)]
struct Written {
    v: u32,
    seq: Seq,
    at: Timestamp,
    by: Actor,
    event: Event,
    prev: Digest,
    hash: Digest,
}

impl Entry {
    /// What the first entry names as its predecessor.
    pub fn root() -> Digest {
        Digest::of(b"imgctl ledger")
    }

    /// A new entry after `prev`: RFC 8785 canonical JSON, hashed without its `hash` member.
    pub fn seal(seq: Seq, at: Timestamp, by: &Actor, event: &Event, prev: &Digest) -> Result<Self, EntryError> {
        // The frame's members in the order of their names; what needs a canonical form of its own is written by the library.
        let before = format!("{{\"at\":\"{at}\",\"by\":{},\"event\":{}", canonical(by)?, canonical(event)?);
        let after = format!(",\"prev\":\"{prev}\",\"seq\":{seq},\"v\":{FORMAT}}}");
        let hash = Digest::of(format!("{before}{after}").as_bytes());
        let line = format!("{before},\"hash\":\"{hash}\"{after}");
        Ok(Self { version: FORMAT, seq, at, by: by.clone(), event: event.clone(), prev: prev.clone(), hash, line })
    }

    /// Reads one line and checks its hash. Unknown fields are kept; an unknown event is `Event::Unknown`.
    pub fn parse(line: &str) -> Result<Self, EntryError> {
        let entry = Self::read(line)?;
        entry.check()?;
        Ok(entry)
    }

    /// Reads one line without checking its hash, for bytes that were checked before.
    pub fn read(line: &str) -> Result<Self, EntryError> {
        let malformed = |error: serde_json::Error| EntryError::Malformed(error.to_string());
        let written: Written = match serde_json::from_str(line) {
            Ok(written) => written,
            Err(error) => newer(line).ok_or_else(|| malformed(error))?,
        };
        let Written { v, seq, at, by, event, prev, hash } = written;
        Ok(Self { version: v, seq, at, by, event, prev, hash, line: line.to_owned() })
    }

    /// Proves that the line is what was hashed when it was written.
    pub fn check(&self) -> Result<(), EntryError> {
        // Our own lines are canonical, so the hashed text is the line without its hash member: no second parse.
        let member = format!(",\"hash\":\"{}\"", self.hash);
        if let Some(at) = self.line.rfind(&member) {
            let (before, rest) = self.line.split_at(at);
            let after = rest.get(member.len()..).unwrap_or_default();
            if Digest::of(format!("{before}{after}").as_bytes()) == self.hash {
                return Ok(());
            }
        }
        let mut fields: Map<String, Value> =
            serde_json::from_str(&self.line).map_err(|error| EntryError::Malformed(error.to_string()))?;
        fields.remove("hash");
        if Digest::of(canonical(&fields)?.as_bytes()) == self.hash {
            Ok(())
        } else {
            Err(EntryError::HashMismatch { seq: self.seq })
        }
    }

    /// The written form, without the line's end.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Whether a newer imgctl wrote it: it can be shown, but nothing may be built on it.
    pub fn is_newer(&self) -> bool {
        self.version > FORMAT || self.event == Event::Unknown
    }
}

/// A line of a newer format whose event this imgctl cannot read: the frame is enough to show it and to follow the chain.
fn newer(line: &str) -> Option<Written> {
    let mut fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    let version = fields.get("v")?.as_u64()?;
    if version <= u64::from(FORMAT) {
        return None;
    }
    let mut take = |name: &str| fields.remove(name);
    Some(Written {
        v: u32::try_from(version).ok()?,
        seq: serde_json::from_value(take("seq")?).ok()?,
        at: serde_json::from_value(take("at")?).ok()?,
        by: take("by").and_then(|by| serde_json::from_value(by).ok()).unwrap_or_default(),
        event: Event::Unknown,
        prev: serde_json::from_value(take("prev")?).ok()?,
        hash: serde_json::from_value(take("hash")?).ok()?,
    })
}

fn canonical(value: &impl Serialize) -> Result<String, EntryError> {
    serde_json_canonicalizer::to_string(value).map_err(|error| EntryError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let by = Actor { who: "ana@laptop".into(), ..Actor::default() };
        let event = Event::HoldSet {
            channel: "web/prod".parse().unwrap(),
            reason: "an \"hash\" in the text: é\u{2028}".into(),
        };
        Entry::seal(Seq(7), "2026-11-20T10:00:00Z".parse().unwrap(), &by, &event, &Entry::root()).unwrap()
    }

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        let sealed = entry();
        assert_eq!(Entry::parse(sealed.line()), Ok(sealed.clone()));
        assert!(
            sealed
                .line()
                .starts_with(r#"{"at":"2026-11-20T10:00:00Z","by":{"who":"ana@laptop"},"event":{"channel":"web/prod""#)
        );
    }

    #[test]
    fn a_changed_line_is_found() {
        let line = entry().line().replace("ana@", "bob@");
        assert_eq!(Entry::parse(&line), Err(EntryError::HashMismatch { seq: Seq(7) }));
        assert!(matches!(Entry::parse("{}"), Err(EntryError::Malformed(_))));
    }

    #[test]
    fn order_of_members_is_not_part_of_the_hash() {
        let sealed = entry();
        let fields: BTreeMap<String, Value> = serde_json::from_str(sealed.line()).unwrap();
        let backwards: Vec<String> =
            fields.iter().rev().map(|(k, v)| format!("{}:{v}", Value::from(k.as_str()))).collect();
        let line = format!("{{{}}}", backwards.join(","));
        assert_ne!(line, sealed.line());
        assert_eq!(Entry::parse(&line).unwrap().hash, sealed.hash);
    }

    #[test]
    fn a_newer_entry_can_be_shown() {
        let mut fields: Map<String, Value> = serde_json::from_str(entry().line()).unwrap();
        fields.insert("v".into(), 2.into());
        fields.insert("event".into(), serde_json::json!({"type": "teleported", "to": "mars"}));
        fields.remove("hash");
        let hash = Digest::of(canonical(&fields).unwrap().as_bytes());
        fields.insert("hash".into(), hash.as_str().into());
        let newer = Entry::parse(&canonical(&fields).unwrap()).unwrap();
        assert!(newer.is_newer() && newer.line().contains("mars"));
    }
}
