//! Typed reading of the ledger's views, and the resolving of selectors.

use super::event::DeploymentRecord;
use super::{
    Acknowledgement, Approval, AuditRecord, Channel, ChannelState, Entry, FindingId, Freeze, Image, ImageKey,
    ImageName, ImageRef, ImageSelector, LedgerView, Order, PointerRecord, RecordedTarget, Rejection, Release, Rollout,
    Seq, Table, TargetId, ViewError, log_row,
};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An image with what the ledger adds to it over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    pub image: Image,
    /// The entry that recorded it, and when.
    pub seq: Seq,
    pub at: jiff::Timestamp,
    pub by: String,
    #[serde(default)]
    pub tags: BTreeSet<String>,
}

/// Why a selector did not lead to one image.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LookupError {
    #[error("no image `{selector}` in the ledger")]
    NotFound { selector: String, near: Option<String> },
    #[error("`{selector}` means {} images", matches.len())]
    Ambiguous { selector: String, matches: Vec<ImageKey> },
    #[error(transparent)]
    View(#[from] ViewError),
}

/// How many matches an ambiguous selector names before it says "and more".
const MANY: usize = 20;

/// Typed reads over a view.
#[derive(Clone, Copy)]
pub struct Lookup<'a>(pub &'a dyn LedgerView);

impl Lookup<'_> {
    fn one<T: DeserializeOwned>(&self, table: Table, key: &str) -> Result<Option<T>, ViewError> {
        self.0.get(table, key)?.map(|text| decode(key, &text)).transpose()
    }

    pub fn image(&self, key: &ImageKey) -> Result<Option<ImageRecord>, ViewError> {
        self.one(Table::Image, &key.to_string())
    }

    /// Versions of one name, newest first, at most `limit`.
    pub fn versions(&self, name: &ImageName, limit: usize) -> Result<Vec<ImageRecord>, ViewError> {
        let rows = self.0.scan(Table::Version, &format!("{name}|"), Order::Descending, None, limit)?;
        self.images(rows)
    }

    fn images(&self, rows: Vec<(String, String)>) -> Result<Vec<ImageRecord>, ViewError> {
        let mut records = Vec::new();
        for (_, key) in rows {
            records.extend(self.one::<ImageRecord>(Table::Image, &key)?);
        }
        Ok(records)
    }

    /// Images in the order they were recorded, newest first, at most `limit`.
    pub fn recent(&self, limit: usize) -> Result<Vec<ImageRecord>, ViewError> {
        self.images(self.0.scan(Table::Recent, "", Order::Descending, None, limit)?)
    }

    /// Every image that has this address, digest or platform digest.
    pub fn at_address(&self, address: &str) -> Result<Vec<ImageKey>, ViewError> {
        self.keys_after_bar(Table::Address, &format!("{address}|"), MANY)
    }

    pub fn children(&self, key: &ImageKey) -> Result<Vec<ImageKey>, ViewError> {
        self.keys_after_bar(Table::Child, &format!("{key}|"), usize::MAX)
    }

    fn keys_after_bar(&self, table: Table, prefix: &str, limit: usize) -> Result<Vec<ImageKey>, ViewError> {
        let rows = self.0.scan(table, prefix, Order::Ascending, None, limit)?;
        rows.iter().map(|(key, _)| image_after_bar(key)).collect()
    }

    pub fn channel(&self, channel: &Channel) -> Result<ChannelState, ViewError> {
        Ok(self.one(Table::Channel, &channel.to_string())?.unwrap_or_default())
    }

    /// Every channel that has ever been written to.
    pub fn channels(&self) -> Result<Vec<Channel>, ViewError> {
        let rows = self.0.scan(Table::Channel, "", Order::Ascending, None, usize::MAX)?;
        rows.iter().map(|(key, _)| key.parse().map_err(|error| damaged(key, error))).collect()
    }

    pub fn release(&self, channel: &Channel, depth: u64) -> Result<Option<Release>, ViewError> {
        self.one(Table::Lineage, &lineage_key(channel, depth))
    }

    pub fn rollout(&self, id: Seq) -> Result<Option<Rollout>, ViewError> {
        self.one(Table::Rollout, &id.key())
    }

    /// Rollouts that have not finished, oldest first.
    pub fn open_rollouts(&self) -> Result<Vec<Rollout>, ViewError> {
        let rows = self.0.scan(Table::Open, "", Order::Ascending, None, usize::MAX)?;
        let mut rollouts = Vec::new();
        for (key, _) in rows {
            rollouts.extend(self.one::<Rollout>(Table::Rollout, &key)?);
        }
        Ok(rollouts)
    }

    pub fn target(&self, target: &TargetId) -> Result<Option<RecordedTarget>, ViewError> {
        self.one(Table::Target, target.as_str())
    }

    /// Where an image has been deployed, newest first, at most `limit`.
    pub fn deployments(&self, key: &ImageKey, limit: usize) -> Result<Vec<DeploymentRecord>, ViewError> {
        let rows = self.0.scan(Table::Deployment, &format!("{key}|"), Order::Descending, None, limit)?;
        rows.iter().map(|(key, text)| decode(key, text)).collect()
    }

    /// The rejection that forbids this image in this channel at this moment: the channel's own, else one for everywhere,
    /// else one of an image it was built on that takes what was built on it along.
    pub fn rejection(&self, key: &ImageKey, channel: &Channel, now: Timestamp) -> Result<Option<Rejection>, ViewError> {
        let (mut next, mut seen) = (Some(key.clone()), BTreeSet::new());
        // Nothing was built on itself; a ledger that says so must not hold us for ever.
        while let Some(image) = next.take().filter(|image| seen.insert(image.clone())) {
            for place in [Some(channel), None] {
                let found: Option<Rejection> = self.one(Table::Rejection, &rejection_key(&image, place))?;
                let reaches = |found: &Rejection| found.holds(now) && (image == *key || found.descendants);
                if let Some(found) = found.filter(reaches) {
                    return Ok(Some(found));
                }
            }
            next = self.image(&image)?.and_then(|record| record.image.provenance.parent);
        }
        Ok(None)
    }

    /// Freezes that were set and not lifted, ended ones among them.
    pub fn freezes(&self) -> Result<Vec<Freeze>, ViewError> {
        let rows = self.0.scan(Table::Freeze, "", Order::Ascending, None, usize::MAX)?;
        rows.iter().map(|(key, text)| decode(key, text)).collect()
    }

    /// The freezes that cover a channel at this moment.
    pub fn frozen(&self, channel: &Channel, now: Timestamp) -> Result<Vec<Freeze>, ViewError> {
        let scopes = [channel.env.to_string(), channel.to_string()];
        let mut freezes = Vec::new();
        for scope in scopes {
            freezes.extend(self.one::<Freeze>(Table::Freeze, &scope)?.filter(|freeze| freeze.holds(now)));
        }
        Ok(freezes)
    }

    /// Who agreed that this image goes to this channel next, oldest name first.
    pub fn approvals(&self, channel: &Channel, key: &ImageKey) -> Result<Vec<Approval>, ViewError> {
        let rows = self.0.scan(Table::Approval, &format!("{channel}|{key}|"), Order::Ascending, None, usize::MAX)?;
        let now = self.channel(channel)?.current.map(|release| release.rollout);
        let mut approvals = Vec::new();
        for (key, text) in rows {
            approvals.extend(Some(decode::<Approval>(&key, &text)?).filter(|approval| approval.replaces == now));
        }
        Ok(approvals)
    }

    /// What a channel's pointer was last told.
    pub fn pointer(&self, channel: &Channel, pointer: &str) -> Result<Option<PointerRecord>, ViewError> {
        self.one(Table::Pointer, &pointer_key(channel, pointer))
    }

    /// What the newest audit of a channel found.
    pub fn audit(&self, channel: &Channel) -> Result<Option<AuditRecord>, ViewError> {
        self.one(Table::Audit, &channel.to_string())
    }

    /// What somebody said of a finding, also when its time is over.
    pub fn acknowledgement(&self, id: &FindingId) -> Result<Option<Acknowledgement>, ViewError> {
        self.one(Table::Acknowledgement, id.as_str())
    }

    /// Everything that was acknowledged and not withdrawn, what ended by itself among it.
    pub fn acknowledgements(&self) -> Result<Vec<(FindingId, Acknowledgement)>, ViewError> {
        let rows = self.0.scan(Table::Acknowledgement, "", Order::Ascending, None, usize::MAX)?;
        rows.iter()
            .map(|(key, text)| Ok((key.parse().map_err(|error| damaged(key, error))?, decode(key, text)?)))
            .collect()
    }

    /// The newest verified release of an image in a channel's lineage.
    pub fn verified(&self, channel: &Channel, key: &ImageKey) -> Result<Option<Release>, ViewError> {
        // What a rollback popped stands above the lineage's depth until it is written over.
        let depth = self.channel(channel)?.depth;
        let mut after = Some(lineage_key(channel, depth + 1));
        while let Some(last) = after.take() {
            let prefix = format!("{channel}|");
            for (key_, text) in self.0.scan(Table::Lineage, &prefix, Order::Descending, Some(&last), MANY)? {
                let release: Release = decode(&key_, &text)?;
                if release.image == *key && release.verified {
                    return Ok(Some(release));
                }
                after = Some(key_);
            }
        }
        Ok(None)
    }

    pub fn rejections(&self, key: &ImageKey) -> Result<Vec<Rejection>, ViewError> {
        let rows = self.0.scan(Table::Rejection, &format!("{key}|"), Order::Ascending, None, usize::MAX)?;
        rows.iter().map(|(key, text)| decode(key, text)).collect()
    }

    /// Entries that concern a channel, newest first, at most `limit`.
    pub fn channel_log(&self, channel: &Channel, limit: usize) -> Result<Vec<Entry>, ViewError> {
        self.entries(Table::ChannelLog, &format!("{channel}|"), limit)
    }

    /// Entries that concern an image, newest first, at most `limit`.
    pub fn image_log(&self, key: &ImageKey, limit: usize) -> Result<Vec<Entry>, ViewError> {
        self.entries(Table::ImageLog, &format!("{key}|"), limit)
    }

    /// All entries, newest first, at most `limit`.
    pub fn log(&self, limit: usize) -> Result<Vec<Entry>, ViewError> {
        let head = self.0.head().seq.0;
        let oldest = head.saturating_sub(u64::try_from(limit).unwrap_or(u64::MAX));
        (oldest..head).rev().filter_map(|before| self.0.entry(Seq(before + 1)).transpose()).collect()
    }

    fn entries(&self, table: Table, prefix: &str, limit: usize) -> Result<Vec<Entry>, ViewError> {
        let (mut entries, mut after) = (Vec::new(), None::<String>);
        while entries.len() < limit {
            // No row is empty, and most speak of many entries.
            let rows = (limit - entries.len()).min(MANY);
            let page = self.0.scan(table, prefix, Order::Descending, after.as_deref(), rows)?;
            for (key, row) in &page {
                for seq in log_row::entries(key, row)?.rev().take(limit - entries.len()) {
                    entries.extend(self.0.entry(seq)?);
                }
            }
            after = page.into_iter().next_back().map(|(key, _)| key);
            if after.is_none() {
                break;
            }
        }
        Ok(entries)
    }

    /// The one image a selector means.
    pub fn resolve(&self, selector: &ImageSelector) -> Result<ImageRecord, LookupError> {
        let keys = match selector {
            ImageSelector::NameVersion { name, version } => self.by_version(name, version)?,
            ImageSelector::Digest(prefix) | ImageSelector::Ami(prefix) => self.by_address_prefix(prefix)?,
            ImageSelector::Address { repository, digest } => {
                let address = ImageRef::Oci { repository: repository.clone(), digest: digest.clone() };
                self.at_address(&address.to_string())?
            }
            ImageSelector::RepositoryTag { repository, tag } => {
                self.keys_after_bar(Table::RepositoryTag, &format!("{repository}:{tag}|"), MANY)?
            }
            ImageSelector::Tag { name, tag } => {
                let key = format!("{name}:{tag}");
                let image = self.0.get(Table::Tag, &key)?;
                image.map(|text| text.parse().map_err(|error| damaged(&key, error))).transpose()?.into_iter().collect()
            }
        };
        match keys.as_slice() {
            [key] => {
                self.image(key)?.ok_or_else(|| damaged(&key.to_string(), "an index entry without its image").into())
            }
            [] => Err(LookupError::NotFound { selector: selector.to_string(), near: self.near(selector)? }),
            _ => Err(LookupError::Ambiguous { selector: selector.to_string(), matches: keys }),
        }
    }

    /// An exact version, else every version that starts so.
    fn by_version(&self, name: &ImageName, version: &str) -> Result<Vec<ImageKey>, ViewError> {
        let wanted = format!("{name}@{version}");
        if let Some(text) = self.0.get(Table::Image, &wanted)? {
            return Ok(vec![decode::<ImageRecord>(&wanted, &text)?.image.key]);
        }
        let rows = self.0.scan(Table::Image, &wanted, Order::Ascending, None, MANY)?;
        rows.iter().map(|(key, _)| key.parse().map_err(|error| damaged(key, error))).collect()
    }

    fn by_address_prefix(&self, prefix: &str) -> Result<Vec<ImageKey>, ViewError> {
        let rows = self.0.scan(Table::Address, prefix, Order::Ascending, None, MANY)?;
        let keys = rows.iter().map(|(key, _)| image_after_bar(key)).collect::<Result<BTreeSet<_>, _>>()?;
        Ok(keys.into_iter().collect())
    }

    /// The nearest name to one that was not found: a typing mistake is likelier than a missing image.
    fn near(&self, selector: &ImageSelector) -> Result<Option<String>, ViewError> {
        let (ImageSelector::NameVersion { name, .. } | ImageSelector::Tag { name, .. }) = selector else {
            return Ok(None);
        };
        let wanted = selector.to_string();
        let versions = self.versions(name, 200)?;
        let tags = versions.iter().flat_map(|record| record.tags.iter().map(|tag| format!("{name}:{tag}")));
        let mut candidates: Vec<String> = match selector {
            ImageSelector::Tag { .. } => tags.collect(),
            _ => Vec::new(),
        };
        candidates.extend(versions.iter().map(|record| record.image.key.to_string()));
        if candidates.is_empty() {
            candidates = self.recent(500)?.iter().map(|record| record.image.key.to_string()).collect();
        }
        Ok(nearest(&wanted, &candidates))
    }
}

/// The candidate most like `wanted`, if any is like it at all.
pub fn nearest<S: AsRef<str>>(wanted: &str, candidates: &[S]) -> Option<String> {
    // Two letters changed about are one slip; in a short name they make up most of it.
    let like = |candidate: &str| {
        let slip = strsim::damerau_levenshtein(wanted, candidate) == 1;
        if slip { 1.0 } else { strsim::jaro_winkler(wanted, candidate) }
    };
    let scored = candidates.iter().map(|candidate| (like(candidate.as_ref()), candidate.as_ref()));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.75).then(|| best.1.to_owned())
}

pub(super) fn lineage_key(channel: &Channel, depth: u64) -> String {
    format!("{channel}|{depth:016}")
}

pub(super) fn version_key(name: &ImageName, seq: Seq) -> String {
    format!("{name}|{}", seq.key())
}

pub(super) fn rejection_key(image: &ImageKey, channel: Option<&Channel>) -> String {
    channel.map_or_else(|| format!("{image}|*"), |channel| format!("{image}|{channel}"))
}

pub(super) fn pointer_key(channel: &Channel, pointer: &str) -> String {
    format!("{channel}|{pointer}")
}

pub(super) fn approval_key(channel: &Channel, image: &ImageKey, who: &str) -> String {
    format!("{channel}|{image}|{who}")
}

pub(super) fn decode<T: DeserializeOwned>(key: &str, text: &str) -> Result<T, ViewError> {
    serde_json::from_str(text).map_err(|error| damaged(key, error))
}

fn damaged(key: &str, why: impl std::fmt::Display) -> ViewError {
    ViewError::Damaged { key: key.to_owned(), why: why.to_string() }
}

fn image_after_bar(key: &str) -> Result<ImageKey, ViewError> {
    let text = key.rsplit('|').next().unwrap_or_default();
    text.parse().map_err(|error| damaged(key, error))
}
