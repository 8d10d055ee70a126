//! Tags written where people look: on AMIs in EC2, and as moving tags in registries. Each is read back.

use super::aws::{Aws, AwsError, classify};
use super::source::{RegistryError, RegistrySource};
use crate::model::{AmiId, Digest, ImageRef, Region, Repository};
use aws_sdk_ec2::types::{Filter, Tag};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use super::source::registry::TagMove;

/// Resources that CreateTags and DeleteTags take.
const RESOURCES: usize = 1000;
/// Values that a filter takes.
const FILTER_VALUES: usize = 200;
/// EC2 is eventually consistent: a tag may be read a moment after it was written.
const READS: u32 = 4;
const BETWEEN_READS: Duration = Duration::from_millis(500);

/// What EC2 tags should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AmiTags {
    /// Key → value, as in `imgctl:image` → `web@1.4.2`.
    pub set: BTreeMap<String, String>,
    /// Keys that should not be there.
    pub remove: BTreeSet<String>,
}

/// Why one place does not agree.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MirrorError {
    #[error(transparent)]
    Aws(Arc<AwsError>),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("the tags of {id} in {region} read back otherwise: {}", .keys.join(", "))]
    NotTaken { id: AmiId, region: Region, keys: Vec<String> },
}

impl MirrorError {
    /// What to do next, as a person would type it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Aws(error) => Some(error.hint()),
            Self::Registry(error) => error.hint(),
            Self::NotTaken { .. } => {
                Some("run the same command again: something else may be writing these tags".to_owned())
            }
        }
    }
}

type Answers = BTreeMap<ImageRef, Result<(), MirrorError>>;

/// Writes tags.
pub struct Mirror {
    aws: Arc<Aws>,
    registries: Arc<RegistrySource>,
}

impl Mirror {
    pub fn new(aws: Arc<Aws>, registries: Arc<RegistrySource>) -> Self {
        Self { aws, registries }
    }

    /// Brings the tags of these AMIs to what they should be. An AMI that refuses does not keep the others from it;
    /// every AMI is in the answer.
    pub async fn tag_amis(
        &self,
        amis: &BTreeSet<(Region, AmiId)>,
        tags: &AmiTags,
    ) -> BTreeMap<ImageRef, Result<(), MirrorError>> {
        let mut regions: BTreeMap<&Region, Vec<AmiId>> = BTreeMap::new();
        for (region, id) in amis {
            regions.entry(region).or_default().push(id.clone());
        }
        let writes = regions.into_iter().map(|(region, ids)| self.tag_region(region, ids, tags));
        futures_util::future::join_all(writes).await.into_iter().flatten().collect()
    }

    /// Points `tag` at `digest` in its own repository: the same bytes, one PUT.
    pub async fn move_tag(&self, repository: &Repository, digest: &Digest, tag: &str) -> Result<TagMove, MirrorError> {
        Ok(self.registries.move_tag(repository, digest, tag).await?)
    }

    async fn tag_region(&self, region: &Region, ids: Vec<AmiId>, tags: &AmiTags) -> Answers {
        let mut answers = Answers::new();
        let address = |id: &AmiId| ImageRef::Ami { region: region.clone(), id: id.clone() };
        let mut batches: Vec<Vec<AmiId>> = ids.chunks(RESOURCES).map(<[AmiId]>::to_vec).collect();
        let mut written = Vec::new();
        while let Some(batch) = batches.pop() {
            match self.write(region, &batch, tags).await {
                Ok(()) => written.extend(batch),
                // One id that is not there, or not ours, fails the whole call: halve until it is alone.
                Err(AwsError::NotFound { .. } | AwsError::Denied { .. }) if batch.len() > 1 => {
                    let (left, right) = batch.split_at(batch.len() / 2);
                    batches.extend([left.to_vec(), right.to_vec()]);
                }
                Err(error) => {
                    let error = Arc::new(error);
                    answers.extend(batch.iter().map(|id| (address(id), Err(MirrorError::Aws(Arc::clone(&error))))));
                }
            }
        }
        let read = self.read_back(region, &written, tags).await;
        answers.extend(read.into_iter().map(|(id, answer)| (address(&id), answer)));
        answers
    }

    async fn write(&self, region: &Region, ids: &[AmiId], tags: &AmiTags) -> Result<(), AwsError> {
        let resources = || Some(ids.iter().map(AmiId::to_string).collect::<Vec<_>>());
        let object = format!(
            "{} in {region}",
            if ids.len() == 1 {
                ids.first().map(AmiId::to_string).unwrap_or_default()
            } else {
                format!("{} AMIs", ids.len())
            }
        );
        if !tags.set.is_empty() {
            let set = tags.set.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
            let call = self.aws.ec2(region).create_tags().set_resources(resources()).set_tags(Some(set));
            call.send().await.map_err(|error| classify("ec2:CreateTags", &object, error))?;
        }
        if !tags.remove.is_empty() {
            let remove = tags.remove.iter().map(|key| Tag::builder().key(key).build()).collect();
            let call = self.aws.ec2(region).delete_tags().set_resources(resources()).set_tags(Some(remove));
            call.send().await.map_err(|error| classify("ec2:DeleteTags", &object, error))?;
        }
        Ok(())
    }

    async fn read_back(&self, region: &Region, ids: &[AmiId], tags: &AmiTags) -> Vec<(AmiId, Result<(), MirrorError>)> {
        let mut answers = Vec::new();
        for chunk in ids.chunks(FILTER_VALUES) {
            for read in 1..=READS {
                let found = match self.tags(region, chunk, tags).await {
                    Ok(found) => found,
                    Err(error) => {
                        let error = Arc::new(error);
                        answers.extend(chunk.iter().map(|id| (id.clone(), Err(MirrorError::Aws(Arc::clone(&error))))));
                        break;
                    }
                };
                let judged: Vec<_> =
                    chunk.iter().map(|id| (id.clone(), judge(region, id, tags, found.get(id.as_str())))).collect();
                if read == READS || judged.iter().all(|(_, answer)| answer.is_ok()) {
                    answers.extend(judged);
                    break;
                }
                tokio::time::sleep(BETWEEN_READS).await;
            }
        }
        answers
    }

    /// AMI → key → value, for the keys in question (DescribeTags).
    async fn tags(
        &self,
        region: &Region,
        ids: &[AmiId],
        tags: &AmiTags,
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, AwsError> {
        let keys: Vec<String> = tags.set.keys().chain(&tags.remove).cloned().collect();
        let filter = |name: &str, values: Vec<String>| Filter::builder().name(name).set_values(Some(values)).build();
        let ids = ids.iter().map(AmiId::to_string).collect();
        let call =
            self.aws.ec2(region).describe_tags().filters(filter("resource-id", ids)).filters(filter("key", keys));
        let mut pages = call.max_results(1000).into_paginator().send();
        let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify("ec2:DescribeTags", &format!("AMIs in {region}"), error))?;
            for tag in page.tags() {
                if let (Some(id), Some(key)) = (tag.resource_id(), tag.key()) {
                    found
                        .entry(id.to_owned())
                        .or_default()
                        .insert(key.to_owned(), tag.value().unwrap_or_default().to_owned());
                }
            }
        }
        Ok(found)
    }
}

fn judge(
    region: &Region,
    id: &AmiId,
    tags: &AmiTags,
    found: Option<&BTreeMap<String, String>>,
) -> Result<(), MirrorError> {
    let read = |key: &String| found.and_then(|found| found.get(key));
    let wrong = tags.set.iter().filter(|(key, value)| read(key) != Some(value)).map(|(key, _)| key);
    let keys: Vec<String> = wrong.chain(tags.remove.iter().filter(|key| read(key).is_some())).cloned().collect();
    if keys.is_empty() { Ok(()) } else { Err(MirrorError::NotTaken { id: id.clone(), region: region.clone(), keys }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_must_read_back_as_they_were_written() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let tags =
            AmiTags { set: map(&[("imgctl:image", "web@2")]), remove: BTreeSet::from(["imgctl:channel".to_owned()]) };
        let (region, id): (Region, AmiId) = ("eu-west-1".parse().unwrap(), "ami-11111111".parse().unwrap());
        assert!(judge(&region, &id, &tags, Some(&map(&[("imgctl:image", "web@2"), ("Name", "x")]))).is_ok());
        assert!(judge(&region, &id, &tags, None).is_err());
        let old = judge(&region, &id, &tags, Some(&map(&[("imgctl:image", "web@1"), ("imgctl:channel", "prod")])))
            .unwrap_err();
        assert_eq!(
            old.to_string(),
            "the tags of ami-11111111 in eu-west-1 read back otherwise: imgctl:image, imgctl:channel"
        );
    }
}
