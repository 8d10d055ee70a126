//! What would make a group's refresh fail, asked before anything moves: rights, images of other accounts, keys.

use super::super::TargetError;
use super::AsgTarget;
use super::group::Group;
use super::stand::{Spot, Stand};
use crate::model::{AmiArtifact, Artifact, Image, ImageRef, Obstacle, Outlook, Step};
use crate::provider::aws::{AwsError, classify};
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{Filter, RequestLaunchTemplateData};
use std::collections::BTreeSet;

/// What AWS asks of a key's policy, for a role that is not the caller's.
const KEY_POLICY: &str =
    "https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html";

impl AsgTarget {
    pub(super) async fn foresee(&self, image: &Image, step: &Step) -> Result<Outlook, TargetError> {
        let wanted: BTreeSet<&ImageRef> = step.slots.values().map(|change| &change.to).collect();
        let amis: Vec<&AmiArtifact> = image
            .artifacts
            .iter()
            .filter(|artifact| wanted.contains(&artifact.address()))
            .filter_map(|artifact| match artifact {
                Artifact::Ami(ami) => Some(ami),
                Artifact::Oci(_) => None,
            })
            .collect();
        let (rights, shared, keys) =
            futures_util::join!(self.may_make_versions(step), self.may_launch(&amis), self.may_use_keys(&amis));
        let mut outlook = Outlook::default();
        for part in [rights?, shared?, keys?] {
            outlook.obstacles.extend(part.obstacles);
            outlook.unknown.extend(part.unknown);
        }
        Ok(outlook)
    }

    /// EC2's own dry run of the one write that comes before the refresh; a refresh itself has none.
    async fn may_make_versions(&self, step: &Step) -> Result<Outlook, TargetError> {
        let mut outlook = Outlook::default();
        let Some(stand) = Stand::parse(&step.expect).filter(|_| step.exact.is_none()) else { return Ok(outlook) };
        let templates: BTreeSet<(&String, i64)> = stand
            .spots
            .values()
            .filter_map(|spot| match spot {
                Spot::Version { template, number, .. } => Some((template, *number)),
                Spot::Image(_) => None,
            })
            .collect();
        let mut asked = BTreeSet::new();
        for (template, number) in templates {
            if !asked.insert(template) {
                continue;
            }
            let data = step.slots.values().next().map(|change| change.to.short());
            let data = RequestLaunchTemplateData::builder().set_image_id(data).build();
            let call = self.aws.ec2(&self.spec.region).create_launch_template_version().dry_run(true);
            let call = call.launch_template_id(template).source_version(number.to_string()).launch_template_data(data);
            let Err(error) = call.send().await else { continue };
            // EC2 API, "Dry run": this code says that the request would have succeeded.
            if error.code() == Some("DryRunOperation") {
                continue;
            }
            let object = format!("launch template {template} in {}", self.aws.place(&self.spec.region));
            let error = classify("ec2:CreateLaunchTemplateVersion", &object, error);
            match error {
                AwsError::Denied { .. } => {
                    outlook.obstacles.push(Obstacle { what: format!("cannot be moved: {error}"), fix: error.hint() });
                }
                error if error.is_silence() => return Err(error.into()),
                error => outlook.unknown.push(format!("whether a version can be made is not known: {error}")),
            }
        }
        Ok(outlook)
    }

    /// An image of one account is launched in another only where it is shared with it, or public. Whether it is there
    /// for our own credentials is asked for every target at once, elsewhere.
    async fn may_launch(&self, amis: &[&AmiArtifact]) -> Result<Outlook, TargetError> {
        let mut outlook = Outlook::default();
        if self.aws.is_default() || amis.is_empty() {
            return Ok(outlook);
        }
        let region = &self.spec.region;
        let ids: Vec<String> = amis.iter().map(|ami| ami.id.to_string()).collect();
        let object = format!("{} in {}", ids.join(", "), self.aws.place(region));
        let filter = Filter::builder().name("image-id").set_values(Some(ids)).build();
        let call =
            self.aws.ec2(region).describe_images().filters(filter).include_deprecated(true).include_disabled(true);
        let answer = match call.send().await.map_err(|error| classify("ec2:DescribeImages", &object, error)) {
            Err(error @ AwsError::Denied { .. }) => {
                outlook.unknown.push(format!("whether the image may be launched could not be read: {error}"));
                return Ok(outlook);
            }
            answer => answer?,
        };
        for ami in amis {
            let seen = answer.images().iter().find(|image| image.image_id() == Some(ami.id.as_str()));
            let state = seen.and_then(|image| image.state()).map(|state| state.as_str());
            match state {
                Some("available") => {}
                Some(state) => outlook.obstacles.push(Obstacle {
                    what: format!("cannot launch {}: it is {state}", ami.id),
                    fix: "promote an image that can be launched, or make this one available again".to_owned(),
                }),
                None => outlook.obstacles.push(self.not_shared(ami).await?),
            }
        }
        Ok(outlook)
    }

    async fn not_shared(&self, ami: &AmiArtifact) -> Result<Obstacle, TargetError> {
        let account = &self.aws.identity().await?.account;
        let what = format!(
            "cannot launch {} in {}: account {account} does not see it, and account {} owns it",
            ami.id,
            self.aws.place(&self.spec.region),
            ami.account
        );
        let fix = format!(
            "as {}: aws ec2 modify-image-attribute --region {} --image-id {} --launch-permission 'Add=[{{UserId={account}}}]' \
             (and share the snapshots and the key of an encrypted one)",
            ami.account, self.spec.region, ami.id
        );
        Ok(Obstacle { what, fix })
    }

    /// Not the caller but the Auto Scaling service-linked role starts the instances, and what a key's policy allows it
    /// cannot be asked. An instance of the group whose volume has that key shows that it may.
    async fn may_use_keys(&self, amis: &[&AmiArtifact]) -> Result<Outlook, TargetError> {
        let devices = amis.iter().flat_map(|ami| ami.facts.devices.values()).filter(|device| device.encrypted);
        let keys: BTreeSet<Option<&str>> = devices.map(|device| device.kms_key.as_deref()).collect();
        let mut outlook = Outlook::default();
        if keys.is_empty() {
            return Ok(outlook);
        }
        let proven = match self.keys_in_use().await {
            Ok(proven) => proven,
            Err(error) if error.is_silence() => return Err(error.into()),
            Err(_denied) => BTreeSet::new(),
        };
        for key in keys.into_iter().filter(|key| key.is_none_or(|key| !proven.contains(key))) {
            let key = key.map_or_else(|| "a key that could not be read".to_owned(), |key| format!("key {key}"));
            outlook.unknown.push(format!(
                "the image is encrypted with {key}: whether the Auto Scaling service-linked role may use it is not known \
                 ({KEY_POLICY})"
            ));
        }
        Ok(outlook)
    }

    /// The keys of the volumes that the group's instances run from.
    async fn keys_in_use(&self) -> Result<BTreeSet<String>, AwsError> {
        let region = &self.spec.region;
        let call = self.aws.autoscaling(region).describe_auto_scaling_groups();
        let answer = call.auto_scaling_group_names(&self.spec.group).send().await;
        let answer =
            answer.map_err(|error| classify("autoscaling:DescribeAutoScalingGroups", &self.object(), error))?;
        let instances = answer.auto_scaling_groups().first().map(|group| Group::new(group).instances);
        // One instance is proof enough, and a filter holds 200 values.
        let instances: Vec<String> = instances.unwrap_or_default().into_iter().take(200).collect();
        if instances.is_empty() {
            return Ok(BTreeSet::new());
        }
        let filter = Filter::builder().name("attachment.instance-id").set_values(Some(instances)).build();
        let answer = self.aws.ec2(region).describe_volumes().filters(filter).send().await;
        let object = format!("volumes of {}", self.object());
        let answer = answer.map_err(|error| classify("ec2:DescribeVolumes", &object, error))?;
        Ok(answer.volumes().iter().filter_map(|volume| volume.kms_key_id().map(str::to_owned)).collect())
    }
}
