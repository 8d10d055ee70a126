//! Tag: names in the ledger first, then written where people look. A place that refuses leaves the rest done and recorded.

use super::FlowError;
use super::record::Writer;
use crate::model::lookup::ImageRecord;
use crate::model::{AmiId, Artifact, Channel, Event, ImageKey, Lookup, Region, Seq, Table};
use crate::provider::mirror::{AmiTags, Mirror, MirrorError, TagMove};
use std::collections::{BTreeMap, BTreeSet};

/// What came of tagging.
#[derive(Debug, Default)]
pub struct Tagged {
    /// The entry that changed the names; `None`: they were so already.
    pub entry: Option<Seq>,
    /// Tag → the version it was taken from.
    pub taken: BTreeMap<String, ImageKey>,
    /// Places that now agree.
    pub done: BTreeSet<String>,
    /// Place → why it does not.
    pub failed: BTreeMap<String, MirrorError>,
    /// Something out there was changed.
    moved: bool,
}

/// Puts tags on an image. Each tag of one name sits on one version: it is taken from the one that had it.
pub async fn tag(
    writer: &Writer<'_>,
    mirror: &Mirror,
    key: &ImageKey,
    tags: &BTreeSet<String>,
) -> Result<Tagged, FlowError> {
    let mut tagged = Tagged { taken: holders(writer, key, tags)?, ..Tagged::default() };
    let new: BTreeSet<String> = tags.difference(&record(writer, key)?.tags).cloned().collect();
    if !new.is_empty() {
        let event = Event::Tagged { image: key.clone(), tags: new };
        tagged.entry = Some(writer.store.append(writer.clock.now(), writer.actor, &event)?.seq);
    }
    let held = record(writer, key)?;
    mirror_amis(writer, mirror, &held, &mut tagged).await?;
    for loser in tagged.taken.values().cloned().collect::<BTreeSet<ImageKey>>() {
        mirror_amis(writer, mirror, &record(writer, &loser)?, &mut tagged).await?;
    }
    mirror_registries(mirror, &held, tags, &mut tagged).await;
    note(writer, key, tags, &tagged)?;
    Ok(tagged)
}

/// Takes tags off an image. Tags in a registry stay where they point: there is no moving a tag to nowhere.
pub async fn untag(
    writer: &Writer<'_>,
    mirror: &Mirror,
    key: &ImageKey,
    tags: &BTreeSet<String>,
) -> Result<Tagged, FlowError> {
    let mut untagged = Tagged::default();
    let held: BTreeSet<String> = tags.intersection(&record(writer, key)?.tags).cloned().collect();
    if held.is_empty() {
        return Ok(untagged);
    }
    let event = Event::Untagged { image: key.clone(), tags: held.clone() };
    untagged.entry = Some(writer.store.append(writer.clock.now(), writer.actor, &event)?.seq);
    mirror_amis(writer, mirror, &record(writer, key)?, &mut untagged).await?;
    note(writer, key, &held, &untagged)?;
    Ok(untagged)
}

fn record(writer: &Writer<'_>, key: &ImageKey) -> Result<ImageRecord, FlowError> {
    let view = writer.store.view()?;
    let found = Lookup(&*view).image(key)?;
    found.ok_or_else(|| crate::model::lookup::LookupError::NotFound { selector: key.to_string(), near: None }.into())
}

/// Who has these tags now, but for the image itself.
fn holders(
    writer: &Writer<'_>,
    key: &ImageKey,
    tags: &BTreeSet<String>,
) -> Result<BTreeMap<String, ImageKey>, FlowError> {
    let view = writer.store.view()?;
    let mut holders = BTreeMap::new();
    for tag in tags {
        let holder = view.get(Table::Tag, &format!("{}:{tag}", key.name))?.and_then(|text| text.parse().ok());
        holders.extend(holder.filter(|holder| holder != key).map(|holder| (tag.clone(), holder)));
    }
    Ok(holders)
}

/// `imgctl:image`, `imgctl:tags` and `imgctl:channel`, on every AMI of the image.
async fn mirror_amis(
    writer: &Writer<'_>,
    mirror: &Mirror,
    record: &ImageRecord,
    tagged: &mut Tagged,
) -> Result<(), FlowError> {
    let amis: BTreeSet<(Region, AmiId)> = record
        .image
        .artifacts
        .iter()
        .filter_map(|artifact| match artifact {
            Artifact::Ami(ami) => Some((ami.region.clone(), ami.id.clone())),
            Artifact::Oci(_) => None,
        })
        .collect();
    if amis.is_empty() {
        return Ok(());
    }
    let wanted = ami_tags(record, &current_in(writer, &record.image.key)?);
    for (address, answer) in mirror.tag_amis(&amis, &wanted).await {
        tagged.take(address.to_string(), answer);
    }
    Ok(())
}

/// EC2 tag values hold 256 characters, and no list has a separator of its own: words with spaces between.
fn ami_tags(record: &ImageRecord, channels: &[Channel]) -> AmiTags {
    let mut tags = AmiTags::default();
    tags.set.insert("imgctl:image".to_owned(), record.image.key.to_string());
    let lists = [
        ("imgctl:tags", record.tags.iter().cloned().collect::<Vec<_>>()),
        ("imgctl:channel", channels.iter().map(Channel::to_string).collect()),
    ];
    for (key, words) in lists {
        if words.is_empty() {
            tags.remove.insert(key.to_owned());
        } else {
            tags.set.insert(key.to_owned(), words.join(" ").chars().take(256).collect());
        }
    }
    tags
}

fn current_in(writer: &Writer<'_>, key: &ImageKey) -> Result<Vec<Channel>, FlowError> {
    let view = writer.store.view()?;
    let look = Lookup(&*view);
    let mut current = Vec::new();
    for channel in look.channels()? {
        if look.channel(&channel)?.current.is_some_and(|release| release.image == *key) {
            current.push(channel);
        }
    }
    Ok(current)
}

async fn mirror_registries(mirror: &Mirror, record: &ImageRecord, tags: &BTreeSet<String>, tagged: &mut Tagged) {
    for artifact in &record.image.artifacts {
        let Artifact::Oci(oci) = artifact else { continue };
        for tag in tags {
            let answer = mirror.move_tag(&oci.repository, &oci.digest, tag).await;
            tagged.moved |= matches!(answer, Ok(TagMove::Moved { .. }));
            tagged.take(format!("{}:{tag}", oci.repository), answer.map(drop));
        }
    }
}

impl Tagged {
    fn take(&mut self, place: String, answer: Result<(), MirrorError>) {
        match answer {
            Ok(()) => drop(self.done.insert(place)),
            Err(error) => drop(self.failed.insert(place, error)),
        }
    }
}

/// What was written out there is written here, too; where nothing was, nothing is.
fn note(writer: &Writer<'_>, key: &ImageKey, tags: &BTreeSet<String>, tagged: &Tagged) -> Result<(), FlowError> {
    let nowhere = tagged.done.is_empty() && tagged.failed.is_empty();
    if nowhere || (tagged.entry.is_none() && !tagged.moved && tagged.failed.is_empty()) {
        return Ok(());
    }
    let failed = tagged.failed.iter().map(|(place, error)| (place.clone(), error.to_string())).collect();
    let event = Event::TagsMirrored { image: key.clone(), tags: tags.clone(), done: tagged.done.clone(), failed };
    writer.store.append(writer.clock.now(), writer.actor, &event)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Image, Provenance};

    #[test]
    fn an_ami_carries_its_name_and_loses_what_no_longer_holds() {
        let key: ImageKey = "web@1.4.2".parse().unwrap();
        let image = Image::new(key, Vec::new(), Provenance::default());
        let at = "2026-11-20T10:00:00Z".parse().unwrap();
        let tags = ["stable", "blessed"].map(str::to_owned).into();
        let record = ImageRecord { image, seq: Seq(2), at, by: "ana".into(), tags };
        let wanted = ami_tags(&record, &[]);
        assert_eq!(wanted.set["imgctl:image"], "web@1.4.2");
        assert_eq!(wanted.set["imgctl:tags"], "blessed stable");
        assert_eq!(wanted.remove, BTreeSet::from(["imgctl:channel".to_owned()]));
    }
}
