//! AMIs (EC2): described in batches, with the snapshots behind them and the accounts they are shared with.

mod reading;
mod scan;

pub use scan::AmiPage;

use super::committed::of_amis;
use super::{Availability, Described, SourceError};
use crate::model::{AmiArtifact, AmiId, Artifact, ImageRef, Region};
use crate::provider::aws::{Aws, AwsError, Service, classify};
use aws_sdk_ec2::types::{Filter, Image, ImageAttributeName};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use reading::{artifact, encrypted_snapshots, why_unusable};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Calls that can only be made for one AMI at a time run this many abreast.
const ABREAST: usize = 8;
/// Regions side by side.
const REGIONS: usize = 8;
/// Values a filter of EC2 takes.
const FILTER_VALUES: usize = 200;

/// Reads AMIs of every region that the account sees.
pub struct AmiSource {
    aws: Arc<Aws>,
}

impl AmiSource {
    pub fn new(aws: Arc<Aws>) -> Self {
        Self { aws }
    }

    /// The region of an AMI that is given without one.
    pub fn region(&self) -> Option<&Region> {
        self.aws.region()
    }

    /// What these AMIs are, all regions side by side. An AMI that is not there, or not usable, fails it.
    pub async fn describe(&self, wanted: &BTreeSet<(Region, AmiId)>) -> Result<Described, SourceError> {
        let regions = by_region(wanted);
        let reads: Vec<_> = regions.iter().map(|(region, ids)| self.describe_region(region, ids)).collect();
        let reads: Vec<Described> = stream::iter(reads).buffered(REGIONS).try_collect().await?;
        let mut all = Described::default();
        reads.into_iter().for_each(|described| all.join(described));
        Ok(all)
    }

    /// Those that these credentials do not see are asked for with those of the targets: an image may be their own.
    async fn describe_region(&self, region: &Region, ids: &[AmiId]) -> Result<Described, SourceError> {
        let (mut missing, nowhere) = match self.describe_own(region, ids).await {
            Err(SourceError::NoSuchAmi { ids, region, account }) => {
                (ids.clone(), SourceError::NoSuchAmi { ids, region, account })
            }
            answer => return answer,
        };
        let here: Vec<AmiId> = ids.iter().filter(|id| !missing.contains(id)).cloned().collect();
        let mut all = if here.is_empty() { Described::default() } else { self.describe_own(region, &here).await? };
        for other in self.aws.others() {
            let source = Self::new(other);
            let seen = source.filtered(region, &missing).await?;
            let seen: Vec<AmiId> = missing.iter().filter(|id| is_among(&seen, id)).cloned().collect();
            if !seen.is_empty() {
                all.join(source.describe_own(region, &seen).await?);
                all.notes.push(format!("{} is read in {}", listed(&seen), source.aws.place(region)));
                missing.retain(|id| !seen.contains(id));
            }
            if missing.is_empty() {
                return Ok(all);
            }
        }
        Err(nowhere)
    }

    async fn describe_own(&self, region: &Region, ids: &[AmiId]) -> Result<Described, SourceError> {
        let images = self.images(region, ids).await?;
        let mut artifacts = Vec::new();
        for image in &images {
            if let Some((state, what)) = why_unusable(image) {
                let id = artifact(region, image)?.id;
                return Err(SourceError::UnusableAmi { id, region: region.clone(), state, what });
            }
            artifacts.push(artifact(region, image)?);
        }
        let mut notes = Vec::new();
        self.add_keys(region, &mut artifacts, &mut notes).await;
        let account = self.aws.identity().await?.account.clone();
        self.add_permissions(region, &account, &mut artifacts, &mut notes).await;
        notes.extend(artifacts.iter().filter_map(|ami| foreign(ami, &account)));
        let artifacts: Vec<Artifact> = artifacts.into_iter().map(Artifact::Ami).collect();
        Ok(Described { provenance: of_amis(&artifacts), artifacts, notes })
    }

    /// DescribeImages by id; where an id is unknown that call fails whole, so that a filter says which.
    async fn images(&self, region: &Region, ids: &[AmiId]) -> Result<Vec<Image>, SourceError> {
        let call =
            self.aws.ec2(region).describe_images().set_image_ids(Some(ids.iter().map(AmiId::to_string).collect()));
        let object = format!("{} in {region}", listed(ids));
        let found = match call.include_deprecated(true).include_disabled(true).send().await {
            Ok(answer) => answer.images.unwrap_or_default(),
            Err(error) => match classify("ec2:DescribeImages", &object, error) {
                AwsError::NotFound { code, .. } if code.starts_with("InvalidAMIID") => {
                    self.filtered(region, ids).await?
                }
                other => return Err(other.into()),
            },
        };
        let there: BTreeSet<&str> = found.iter().filter_map(Image::image_id).collect();
        let missing: Vec<AmiId> = ids.iter().filter(|id| !there.contains(id.as_str())).cloned().collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let account = self.aws.identity().await?.account.clone();
        Err(SourceError::NoSuchAmi { ids: missing, region: region.clone(), account })
    }

    /// Those that these credentials see, or those of any target: whether the very target sees its own is its own check.
    async fn seen(&self, region: &Region, ids: &[AmiId]) -> Result<Vec<Image>, AwsError> {
        let mut found = self.filtered(region, ids).await?;
        for other in self.aws.others() {
            let missing: Vec<AmiId> = ids.iter().filter(|id| !is_among(&found, id)).cloned().collect();
            if missing.is_empty() {
                break;
            }
            found.extend(Self::new(other).filtered(region, &missing).await?);
        }
        Ok(found)
    }

    /// Those of the ids that are there. Ids that are not there do not fail a filter.
    async fn filtered(&self, region: &Region, ids: &[AmiId]) -> Result<Vec<Image>, AwsError> {
        let mut found = Vec::new();
        for chunk in ids.chunks(FILTER_VALUES) {
            let filter = filter("image-id", chunk.iter().map(AmiId::to_string).collect());
            let call =
                self.aws.ec2(region).describe_images().filters(filter).include_deprecated(true).include_disabled(true);
            let object = format!("{} in {}", listed(chunk), self.aws.place(region));
            let answer = self.aws.patiently(Service::Ec2, region, || call.clone().send()).await;
            let answer = answer.map_err(|error| classify("ec2:DescribeImages", &object, error))?;
            found.extend(answer.images.unwrap_or_default());
        }
        Ok(found)
    }

    /// The KMS keys of encrypted snapshots, which DescribeImages does not tell. Without the right to read them the AMI
    /// is recorded without.
    async fn add_keys(&self, region: &Region, artifacts: &mut [AmiArtifact], notes: &mut Vec<String>) {
        let ids = encrypted_snapshots(artifacts);
        let mut keys: BTreeMap<String, String> = BTreeMap::new();
        for chunk in ids.iter().cloned().collect::<Vec<_>>().chunks(FILTER_VALUES) {
            let call = self.aws.ec2(region).describe_snapshots().filters(filter("snapshot-id", chunk.to_vec()));
            match call.send().await {
                Ok(answer) => keys.extend(answer.snapshots().iter().filter_map(|snapshot| {
                    Some((snapshot.snapshot_id()?.to_owned(), snapshot.kms_key_id()?.to_owned()))
                })),
                Err(error) => {
                    let error = classify("ec2:DescribeSnapshots", &format!("encrypted snapshots in {region}"), error);
                    notes.push(format!("KMS keys are not recorded: {error}"));
                    break;
                }
            }
        }
        for device in artifacts.iter_mut().flat_map(|ami| ami.facts.devices.values_mut()) {
            let found = device.snapshot.as_ref().and_then(|snapshot| keys.get(snapshot)).cloned();
            device.kms_key = device.kms_key.take().or(found);
        }
    }

    /// Who may launch our own AMIs (DescribeImageAttribute: one call each). Others' may not be asked for.
    async fn add_permissions(
        &self,
        region: &Region,
        account: &str,
        artifacts: &mut [AmiArtifact],
        notes: &mut Vec<String>,
    ) {
        let own: Vec<AmiId> = artifacts.iter().filter(|ami| ami.account == account).map(|ami| ami.id.clone()).collect();
        let asked = own.into_iter().map(|id| async move {
            let answer = self.permissions(region, &id).await;
            (id, answer)
        });
        let mut answers: BTreeMap<AmiId, Result<BTreeSet<String>, AwsError>> =
            stream::iter(asked).buffer_unordered(ABREAST).collect().await;
        for ami in artifacts {
            match answers.remove(&ami.id) {
                Some(Ok(permissions)) => ami.facts.launch_permissions.extend(permissions),
                Some(Err(error)) => {
                    notes.push(format!("the launch permissions of {} are not recorded: {error}", ami.id))
                }
                None => {}
            }
        }
    }

    async fn permissions(&self, region: &Region, id: &AmiId) -> Result<BTreeSet<String>, AwsError> {
        let call = self
            .aws
            .ec2(region)
            .describe_image_attribute()
            .image_id(id.as_str())
            .attribute(ImageAttributeName::LaunchPermission);
        let answer = self.aws.patiently(Service::Ec2, region, || call.clone().send()).await;
        let answer =
            answer.map_err(|error| classify("ec2:DescribeImageAttribute", &format!("{id} in {region}"), error))?;
        Ok(answer.launch_permissions().iter().filter_map(reading::permitted).collect())
    }

    /// Whether each can be launched: one DescribeImages per region and 200 AMIs. Every one asked for is in the answer.
    pub async fn availability(&self, wanted: &BTreeSet<(Region, AmiId)>) -> BTreeMap<ImageRef, Availability> {
        let regions = by_region(wanted);
        let read = |region, ids| async move { availability(region, ids, &self.seen(region, ids).await) };
        let reads: Vec<_> = regions.iter().map(|(region, ids)| read(region, ids)).collect();
        stream::iter(reads).buffer_unordered(REGIONS).collect::<Vec<_>>().await.into_iter().flatten().collect()
    }
}

fn is_among(images: &[Image], id: &AmiId) -> bool {
    images.iter().any(|image| image.image_id() == Some(id.as_str()))
}

fn availability(
    region: &Region,
    ids: &[AmiId],
    answer: &Result<Vec<Image>, AwsError>,
) -> Vec<(ImageRef, Availability)> {
    let judge = |id: &AmiId| match answer {
        Err(error) => Availability::Unknown { why: error.to_string() },
        Ok(images) => match images.iter().find(|image| image.image_id() == Some(id.as_str())) {
            None => Availability::Gone {
                why: format!("{id} in {region} is not there any more, or no longer shared with this account"),
            },
            Some(image) => match why_unusable(image) {
                Some((_, what)) => Availability::Unusable { why: format!("{id} in {region} {what}") },
                None => match image.deprecation_time().and_then(|at| at.parse().ok()) {
                    Some(at) => Availability::Deprecated { at },
                    None => Availability::Available,
                },
            },
        },
    };
    ids.iter().map(|id| (ImageRef::Ami { region: region.clone(), id: id.clone() }, judge(id))).collect()
}

fn by_region(wanted: &BTreeSet<(Region, AmiId)>) -> BTreeMap<Region, Vec<AmiId>> {
    let mut regions: BTreeMap<Region, Vec<AmiId>> = BTreeMap::new();
    for (region, id) in wanted {
        regions.entry(region.clone()).or_default().push(id.clone());
    }
    regions
}

fn foreign(ami: &AmiArtifact, account: &str) -> Option<String> {
    let shared = format!("{} belongs to account {}, which can take it away", ami.id, ami.account);
    (ami.account != account).then_some(shared)
}

fn filter(name: &str, values: Vec<String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values)).build()
}

fn listed(ids: &[AmiId]) -> String {
    match ids {
        [first, _, _, _, ..] => format!("{first} and {} other AMIs", ids.len() - 1),
        few => few.iter().map(AmiId::as_str).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::ImageState;

    #[test]
    fn every_address_asked_for_gets_an_answer() {
        let region: Region = "eu-west-1".parse().unwrap();
        let ids: Vec<AmiId> = ["ami-11111111", "ami-22222222", "ami-33333333", "ami-44444444"]
            .iter()
            .map(|id| id.parse().unwrap())
            .collect();
        let image = |id: &str, state| Image::builder().image_id(id).state(state).build();
        let old = Image::builder().image_id("ami-44444444").state(ImageState::Available);
        let old = old.deprecation_time("2025-01-02T03:04:05.000Z").build();
        let there =
            vec![image("ami-11111111", ImageState::Available), image("ami-22222222", ImageState::Disabled), old];
        let answers = availability(&region, &ids, &Ok(there));
        let said: Vec<&Availability> = answers.iter().map(|(_, answer)| answer).collect();
        assert!(
            matches!(said[..3], [Availability::Available, Availability::Unusable { .. }, Availability::Gone { .. }]),
            "{said:?}"
        );
        assert_eq!(said[3], &Availability::Deprecated { at: "2025-01-02T03:04:05Z".parse().unwrap() });
    }

    #[test]
    fn many_ids_do_not_fill_the_screen() {
        let ids: Vec<AmiId> = (1..=5).map(|n| format!("ami-{n:08}").parse().unwrap()).collect();
        assert_eq!(listed(&ids), "ami-00000001 and 4 other AMIs");
        assert_eq!(listed(&ids[..2]), "ami-00000001, ami-00000002");
    }
}
