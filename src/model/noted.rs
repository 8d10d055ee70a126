//! A head that was noted down out of the ledger's reach, and whether the ledger of today still goes on from it.

use super::{Actor, Digest, Entry, Event, Head, LedgerView, Seq, ViewError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use uuid::Uuid;

/// The version of the document that this imgctl writes, and the only one it reads.
pub const NOTED_FORMAT: u64 = 1;
const SCHEMA: &str = "imgctl.anchor/";

/// An entry's number and hash, and what else was noted with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    pub head: Head,
    /// The ledger it is of; a line on paper does not say.
    pub ledger: Option<Uuid>,
    /// When and by whom it was noted, by their own word.
    pub at: Option<Timestamp>,
    pub by: Option<String>,
}

/// Why a text is not a noted head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotedError {
    #[error("it was written by a newer imgctl (format {version})")]
    Newer { version: u64 },
    #[error("it is no head of a ledger ({why})")]
    Malformed { why: String },
}

/// The written form, with its members in this order.
#[derive(Serialize, Deserialize)]
struct Written {
    schema: String,
    ledger: Uuid,
    seq: Seq,
    hash: Digest,
    at: Timestamp,
    by: String,
}

/// `imgctl ledger head --json` and `ledger verify --json`: the head stands in the document, or under `head`.
#[derive(Deserialize)]
struct Printed {
    entry: Seq,
    hash: Digest,
    ledger: Option<Uuid>,
}

impl Noted {
    pub fn new(head: Head, ledger: Uuid, at: Timestamp, by: &Actor) -> Self {
        Self { head, ledger: Some(ledger), at: Some(at), by: Some(by.who.clone()) }
    }

    /// The document that anchors hold: one line of JSON, a few hundred bytes. Nested objects do not occur, since SSM
    /// takes no value with two closing braces in a row.
    pub fn to_document(&self) -> String {
        let written = Written {
            schema: format!("{SCHEMA}{NOTED_FORMAT}"),
            ledger: self.ledger.unwrap_or_default(),
            seq: self.head.seq,
            hash: self.head.hash.clone(),
            at: self.at.unwrap_or_default(),
            by: self.by.clone().unwrap_or_default(),
        };
        // Texts and numbers: serde_json cannot refuse them.
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Reads the document that an anchor holds. What a later version of the same format adds is passed over.
    pub fn from_document(text: &str) -> Result<Self, NotedError> {
        let malformed = |why: String| NotedError::Malformed { why };
        let value: serde_json::Value = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        let schema = value.get("schema").and_then(serde_json::Value::as_str).unwrap_or_default();
        match schema.strip_prefix(SCHEMA).map(str::parse) {
            Some(Ok(NOTED_FORMAT)) => {}
            Some(Ok(version)) => return Err(NotedError::Newer { version }),
            _ => return Err(malformed(format!("its schema is not {SCHEMA}{NOTED_FORMAT}"))),
        }
        let written: Written = serde_json::from_value(value).map_err(|error| malformed(error.to_string()))?;
        let Written { ledger, seq, hash, at, by, .. } = written;
        if seq == Seq(0) {
            return Err(malformed("entries are numbered from 1".to_owned()));
        }
        Ok(Self { head: Head { seq, hash }, ledger: Some(ledger), at: Some(at), by: Some(by) })
    }

    /// How this ledger stands to what was noted. Reads the first, the last and the noted entry, by number.
    pub fn standing(&self, view: &dyn LedgerView) -> Result<Standing, ViewError> {
        let ours = ledger_id(view)?;
        if let (Some(noted), Some(ours)) = (self.ledger, ours)
            && noted != ours
        {
            return Ok(Standing::OtherLedger { ours });
        }
        let head = view.head();
        if self.head.seq > head.seq {
            return Ok(Standing::Shorter { ours: head });
        }
        match view.entry(self.head.seq)? {
            Some(entry) if entry.hash == self.head.hash => {
                Ok(Standing::Extends { since: head.seq.0 - self.head.seq.0 })
            }
            Some(entry) => Ok(Standing::Rewritten { ours: entry.hash }),
            None => Err(ViewError::Unreadable(format!("entry {} is not in it", self.head.seq))),
        }
    }
}

/// What a person noted down: `41:sha256:…`, one of the documents that imgctl prints, or what an anchor holds.
impl FromStr for Noted {
    type Err = NotedError;

    fn from_str(text: &str) -> Result<Self, NotedError> {
        let text = text.trim();
        if text.starts_with('{') {
            return Self::from_document(text).or_else(|error| printed(text).ok_or(error));
        }
        let wanted =
            || NotedError::Malformed { why: "wanted an entry's number and hash, as in 41:sha256:…".to_owned() };
        let (seq, hash) = text.split_once(':').ok_or_else(wanted)?;
        let seq = seq.parse().ok().filter(|seq| *seq > 0).map(Seq).ok_or_else(wanted)?;
        let hash = hash.parse().map_err(|_| wanted())?;
        Ok(Self { head: Head { seq, hash }, ledger: None, at: None, by: None })
    }
}

fn printed(text: &str) -> Option<Noted> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let outer = value.get("ledger").and_then(|id| serde_json::from_value(id.clone()).ok());
    let head = value.get("head").cloned().unwrap_or(value);
    let Printed { entry, hash, ledger } = serde_json::from_value(head).ok()?;
    Some(Noted { head: Head { seq: entry, hash }, ledger: ledger.or(outer), at: None, by: None })
}

/// How a ledger stands to a head that was noted down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The noted entry is in it, and so is every entry before that, unchanged; `since` entries follow.
    Extends {
        since: u64,
    },
    /// It ends before the noted entry: what follows was lost, or is in another copy.
    Shorter {
        ours: Head,
    },
    /// Another entry stands there: this history was rewritten, at that entry or before it.
    Rewritten {
        ours: Digest,
    },
    OtherLedger {
        ours: Uuid,
    },
}

/// The id that the ledger was created with.
pub fn ledger_id(view: &dyn LedgerView) -> Result<Option<Uuid>, ViewError> {
    Ok(view.entry(Seq(1))?.as_ref().and_then(created))
}

/// The id that its first entry gives a ledger.
pub fn created(first: &Entry) -> Option<Uuid> {
    if let Event::LedgerCreated { id } = &first.event { Some(*id) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted() -> Noted {
        Noted {
            head: Head { seq: Seq(41), hash: Digest::of(b"x") },
            ledger: Some(Uuid::from_u128(7)),
            at: Some("2026-11-20T10:00:00Z".parse().unwrap()),
            by: Some("ana@laptop".to_owned()),
        }
    }

    #[test]
    fn a_document_reads_back_as_it_was_written() {
        let text = noted().to_document();
        let hash = Digest::of(b"x");
        assert_eq!(
            text,
            format!(
                r#"{{"schema":"imgctl.anchor/1","ledger":"00000000-0000-0000-0000-000000000007","seq":41,"hash":"{hash}","at":"2026-11-20T10:00:00Z","by":"ana@laptop"}}"#
            )
        );
        assert_eq!(Noted::from_document(&text), Ok(noted()));
        assert_eq!(text.parse(), Ok(noted()), "a file with it will do for a person, too");
        assert_eq!(Noted::from_document(&text.replace("\"by\"", "\"why\":1,\"by\"")), Ok(noted()));
    }

    #[test]
    fn what_is_no_document_is_not_read_as_one() {
        let text = noted().to_document();
        let said = |text: &str| Noted::from_document(text).unwrap_err().to_string();
        assert_eq!(said(&text.replace("anchor/1", "anchor/2")), "it was written by a newer imgctl (format 2)");
        assert!(said(&text.replace("anchor/1", "anchor/x")).contains("its schema is not imgctl.anchor/1"));
        assert!(said("hello").starts_with("it is no head of a ledger"));
        assert!(said(&text.replace("41", "0")).contains("numbered from 1"));
        assert!(said(&text.replace("sha256:", "sha1:")).contains("is not a digest"));
    }

    #[test]
    fn what_a_person_kept_is_read_in_each_form_it_was_printed_in() {
        let head = noted().head;
        let line = format!("{}:{}\n", head.seq, head.hash);
        assert_eq!(line.parse(), Ok(Noted { head: head.clone(), ledger: None, at: None, by: None }));
        let plain = format!(r#"{{"schema":"imgctl.ledger-head/1","entry":41,"hash":"{}"}}"#, head.hash);
        assert_eq!(plain.parse::<Noted>().unwrap().head, head);
        let id = Uuid::from_u128(7);
        let nested = format!(r#"{{"ledger":"{id}","head":{{"entry":41,"hash":"{}"}}}}"#, head.hash);
        let read = nested.parse::<Noted>().unwrap();
        assert_eq!((read.head, read.ledger), (head, Some(id)));
        for bad in ["", "41", "x:sha256:00", "41:sha256:00", "0:sha256:00", "{}"] {
            assert!(bad.parse::<Noted>().is_err(), "{bad}");
        }
    }
}
