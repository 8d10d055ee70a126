//! Audits of drift, and findings that somebody has acknowledged.

use super::super::{Acknowledgement, AuditRecord, Channel, Event, FindingId, NotedFinding, Table};
use super::{Fault, Fold, impossible};
use std::collections::{BTreeMap, BTreeSet};

impl Fold<'_> {
    /// One of the events that `apply` hands on.
    pub(super) fn audited(&mut self) -> Result<(), Fault> {
        match &self.entry.event {
            Event::DriftAudited { channels, findings, .. } => self.found(channels, findings),
            Event::DriftAcknowledged { id, finding, until, reason } => {
                let acknowledgement = Acknowledgement {
                    finding: finding.clone(),
                    until: *until,
                    by: self.entry.by.who.clone(),
                    at: self.entry.at,
                    reason: reason.clone(),
                    seq: self.entry.seq,
                };
                self.put(Table::Acknowledgement, id.to_string(), &acknowledgement);
                self.log_channel(&finding.channel);
                Ok(())
            }
            Event::AcknowledgementWithdrawn { id, finding, .. } => {
                self.remove(Table::Acknowledgement, id.to_string());
                self.log_channel(&finding.channel);
                Ok(())
            }
            other => Err(impossible(format!("{other:?} is no audit"))),
        }
    }

    /// Each channel keeps its newest audit. A channel's log does not: an audit of every five minutes would fill it.
    fn found(
        &mut self,
        channels: &BTreeSet<Channel>,
        findings: &BTreeMap<FindingId, NotedFinding>,
    ) -> Result<(), Fault> {
        if let Some(stray) = findings.values().find(|finding| !channels.contains(&finding.channel)) {
            return Err(impossible(format!("{} was not looked at", stray.channel)));
        }
        let mut of: BTreeMap<&Channel, BTreeMap<FindingId, NotedFinding>> = BTreeMap::new();
        for (id, finding) in findings {
            of.entry(&finding.channel).or_default().insert(id.clone(), finding.clone());
        }
        for channel in channels {
            let findings = of.remove(channel).unwrap_or_default();
            let (seq, at, by) = (self.entry.seq, self.entry.at, self.entry.by.who.clone());
            self.put(Table::Audit, channel.to_string(), &AuditRecord { seq, at, by, findings });
        }
        Ok(())
    }
}
