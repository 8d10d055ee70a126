//! Audits: what drift found, set against what the audit before found, and written down.

use super::{Ctx, FlowError};
use crate::model::{AuditRecord, Channel, Digest, Event, FindingId, Lookup, NotedFinding, Seq, TargetId};
use crate::plan::{Finding, FindingKind};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What one look at some channels found.
#[derive(Debug, Clone)]
pub struct Looked {
    /// When it began.
    pub at: Timestamp,
    /// Every channel that was looked at, also those without a finding.
    pub channels: BTreeSet<Channel>,
    /// How many targets they have.
    pub targets: usize,
    /// Sorted; in sync, acknowledged and all.
    pub findings: Vec<Finding>,
    /// Channels whose code is not all known: nobody knows what ended of what rests on it.
    pub(super) unread: BTreeSet<Channel>,
    /// Targets of which nobody knows whether there is such a finding.
    pub(super) unproven: BTreeSet<(FindingKind, TargetId)>,
    /// What could not be found out, besides the targets that did not answer.
    pub unasked: Vec<String>,
    /// What the newest audit of each channel found, where there was one.
    before: BTreeMap<Channel, AuditRecord>,
}

/// What is otherwise than at the audit before.
#[derive(Debug, Clone, Default)]
pub struct News<'a> {
    /// Drift that was not there, or that nobody acknowledges any more.
    pub began: Vec<&'a Finding>,
    /// Drift that was there and is not, by its id.
    pub ended: BTreeMap<&'a FindingId, &'a NotedFinding>,
}

impl News<'_> {
    pub fn is_empty(&self) -> bool {
        self.began.is_empty() && self.ended.is_empty()
    }
}

impl Looked {
    pub(super) fn new(ctx: &Ctx<'_>, at: Timestamp, channels: BTreeSet<Channel>) -> Result<Self, FlowError> {
        let view = ctx.store.view()?;
        let mut before = BTreeMap::new();
        for channel in &channels {
            before.extend(Lookup(&*view).audit(channel)?.map(|audit| (channel.clone(), audit)));
        }
        Ok(Self {
            at,
            channels,
            targets: 0,
            findings: Vec::new(),
            unread: BTreeSet::new(),
            unproven: BTreeSet::new(),
            unasked: Vec::new(),
            before,
        })
    }

    /// What is drift, and nobody has acknowledged.
    pub fn drift(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_drift())
    }

    /// Whether something that should have been looked at was not.
    pub fn is_partial(&self) -> bool {
        !self.unasked.is_empty() || self.findings.iter().any(Finding::is_unknown)
    }

    /// The newest of the audits before, over all the channels; `None`: nothing was audited before.
    pub fn since(&self) -> Option<&AuditRecord> {
        self.before.values().max_by_key(|audit| audit.seq)
    }

    pub fn news(&self) -> News<'_> {
        let was = |finding: &&Finding| {
            self.before.get(&finding.channel).is_some_and(|audit| audit.findings.contains_key(&finding.id))
        };
        // What is acknowledged is still so.
        let is: BTreeSet<&FindingId> = self.findings.iter().map(|finding| &finding.id).collect();
        let over = self.past(false).filter(|(id, _)| !is.contains(id));
        News { began: self.drift().filter(|finding| !was(finding)).collect(), ended: over.collect() }
    }

    /// What the audits before found: of what did not answer now, so that nobody knows whether it ended, or of the rest.
    fn past(&self, silent: bool) -> impl Iterator<Item = (&FindingId, &NotedFinding)> {
        let unread = self.findings.iter().filter(|one| one.is_unread());
        let targets: BTreeSet<_> = unread.map(|one| &one.target).collect();
        let is_silent = move |past: &NotedFinding| {
            let of = |kind: FindingKind| (kind, past.target.clone());
            let kinds =
                [FindingKind::Dangling, FindingKind::Undone].into_iter().filter(|kind| kind.word() == past.kind);
            let is_unproven = kinds.map(of).any(|finding| self.unproven.contains(&finding));
            is_unproven || self.unread.contains(&past.channel) || targets.contains(&past.target)
        };
        let past = self.before.values().flat_map(|audit| &audit.findings);
        past.filter(move |(_, finding)| is_silent(finding) == silent)
    }

    /// Kind of finding → how many.
    pub fn counts(&self) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for finding in &self.findings {
            *counts.entry(finding.word()).or_default() += 1;
        }
        counts
    }

    /// SHA-256 over all that was found, in the canonical JSON of `imgctl drift --json`.
    fn digest(&self) -> Digest {
        let findings = serde_json::to_value(&self.findings).unwrap_or_default();
        Digest::of(serde_json_canonicalizer::to_vec(&findings).unwrap_or_default().as_slice())
    }
}

/// Writes down that this was found. What did not answer this time keeps what the audit before had found there.
pub fn record_audit(ctx: &Ctx<'_>, looked: &Looked) -> Result<Seq, FlowError> {
    let mut findings: BTreeMap<FindingId, NotedFinding> =
        looked.drift().map(|finding| (finding.id.clone(), finding.noted())).collect();
    findings.extend(looked.past(true).map(|(id, found)| (id.clone(), found.clone())));
    let event = Event::DriftAudited {
        channels: looked.channels.clone(),
        targets: u32::try_from(looked.targets).unwrap_or(u32::MAX),
        counts: looked.counts(),
        digest: looked.digest(),
        findings,
    };
    Ok(ctx.store.append(ctx.clock.now(), ctx.actor, &event)?.seq)
}
