//! What would make a group's refresh fail, asked before anything moves: rights, images of other accounts, keys.

use super::super::{TargetError, launchable};
use super::AsgTarget;
use super::group::Group;
use super::stand::{Spot, Stand};
use crate::model::{AmiArtifact, Image, Outlook, Step};
use crate::provider::aws::{AwsError, Service, classify};
use aws_sdk_ec2::types::Filter;
use std::collections::{BTreeMap, BTreeSet};

/// What AWS asks of a key's policy, for a role that is not the caller's.
const KEY_POLICY: &str =
    "https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html";

impl AsgTarget {
    pub(super) async fn foresee(&self, image: &Image, step: &Step) -> Result<Outlook, TargetError> {
        let amis = launchable::amis_of(image, step);
        let (rights, shared, keys) = futures_util::join!(
            self.may_make_versions(step),
            launchable::may_launch(&self.aws, &self.spec.region, &amis),
            self.may_use_keys(&amis)
        );
        let mut outlook = Outlook::default();
        for part in [rights?, shared?, keys?] {
            outlook.obstacles.extend(part.obstacles);
            outlook.unknown.extend(part.unknown);
        }
        Ok(outlook)
    }

    /// A refresh has no dry run; the one write that comes before it has.
    async fn may_make_versions(&self, step: &Step) -> Result<Outlook, TargetError> {
        let mut outlook = Outlook::default();
        let Some(stand) = Stand::parse(&step.expect).filter(|_| step.exact.is_none()) else { return Ok(outlook) };
        let templates: BTreeMap<&String, i64> = stand
            .spots
            .values()
            .filter_map(|spot| match spot {
                Spot::Version { template, number, .. } => Some((template, *number)),
                Spot::Image(_) => None,
            })
            .collect();
        for (template, number) in templates {
            let part = launchable::may_make_version(&self.aws, &self.spec.region, template, number, step).await?;
            outlook.obstacles.extend(part.obstacles);
            outlook.unknown.extend(part.unknown);
        }
        Ok(outlook)
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
        let call = call.auto_scaling_group_names(&self.spec.group);
        let answer = self.aws.patiently(Service::AutoScaling, region, || call.clone().send()).await;
        let answer =
            answer.map_err(|error| classify("autoscaling:DescribeAutoScalingGroups", &self.object(), error))?;
        let instances = answer.auto_scaling_groups().first().map(|group| Group::new(group).instances);
        // One instance is proof enough, and a filter holds 200 values.
        let instances: Vec<String> = instances.unwrap_or_default().into_iter().take(200).collect();
        if instances.is_empty() {
            return Ok(BTreeSet::new());
        }
        let filter = Filter::builder().name("attachment.instance-id").set_values(Some(instances)).build();
        let call = self.aws.ec2(region).describe_volumes().filters(filter);
        let answer = self.aws.patiently(Service::Ec2, region, || call.clone().send()).await;
        let object = format!("volumes of {}", self.object());
        let answer = answer.map_err(|error| classify("ec2:DescribeVolumes", &object, error))?;
        Ok(answer.volumes().iter().filter_map(|volume| volume.kms_key_id().map(str::to_owned)).collect())
    }
}
