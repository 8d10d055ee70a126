//! What the ledger keeps of drift: what an audit found, and what somebody said of a finding.

use super::{Channel, Digest, Seq, SlotName, TargetId, checked_text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

checked_text!(
    /// What tells one finding from another, across looks and machines: `d-` and twelve hexadecimal digits.
    FindingId,
    "a finding's id (d- and 12 hexadecimal digits, as imgctl drift shows it)",
    |text| {
        let digits = text.strip_prefix("d-").unwrap_or_default();
        digits.len() == 12 && digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
    }
);

impl FindingId {
    /// The first digits of a digest over what the finding is about.
    pub fn of(about: &Digest) -> Self {
        Self(format!("d-{}", about.short().trim_start_matches("sha256:")).into())
    }
}

/// Who changed something, by the platform's own records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Attribution {
    /// A principal, a field manager, or the platform's own deployment.
    pub who: String,
    pub at: Option<Timestamp>,
    /// Which record says so: `DescribeLaunchTemplateVersions`, `DescribeTaskDefinition`, `managedFields`.
    pub source: String,
}

/// A finding as an entry keeps it: what it is about, and not its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedFinding {
    pub channel: Channel,
    pub target: TargetId,
    /// `None`: it concerns the whole target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotName>,
    /// As `imgctl drift --json` names it: `stale-code`, `tampered`.
    pub kind: String,
}

impl fmt::Display for NotedFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, target, slot, kind } = self;
        write!(f, "{channel} {target}")?;
        slot.iter().try_for_each(|slot| write!(f, " {slot}"))?;
        write!(f, " {}", kind.replace('-', " "))
    }
}

/// What the newest audit of a channel found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    pub seq: Seq,
    pub at: Timestamp,
    pub by: String,
    pub findings: BTreeMap<FindingId, NotedFinding>,
}

/// Somebody knows of a finding, and it is no alarm until then. The fold has no clock: whoever reads it asks `holds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    pub finding: NotedFinding,
    pub until: Timestamp,
    pub by: String,
    pub at: Timestamp,
    pub reason: String,
    pub seq: Seq,
}

impl Acknowledgement {
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_findings_id_is_d_and_twelve_hexadecimal_digits() {
        assert!("d-0123456789ab".parse::<FindingId>().is_ok());
        for bad in ["", "d-", "0123456789ab", "d-0123456789a", "d-0123456789abc", "d-0123456789AB", "web/prod"] {
            assert!(bad.parse::<FindingId>().is_err(), "{bad}");
        }
    }
}
