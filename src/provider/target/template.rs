//! Launch-template versions: immutable facts that are read once, and new versions with only the image changed.

use super::TargetError;
use super::parameter::Aliases;
use super::template_facts::{TemplateFacts, VersionOutline};
use crate::model::{AmiId, Attribution, ImageRef, Region, SlotImage};
use crate::provider::aws::{Aws, AwsError, Service, classify, names};
use aws_sdk_ec2::types::{
    LaunchTemplateBlockDeviceMapping, LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest,
    LaunchTemplateVersion, RequestLaunchTemplateData, ResponseLaunchTemplateData,
};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One version of a launch template.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) template: String,
    pub(super) number: i64,
    pub(super) is_default: bool,
    pub(super) description: String,
    /// The principal that made it, and when.
    pub(super) created_by: Option<String>,
    pub(super) created: Option<Timestamp>,
    pub(super) data: ResponseLaunchTemplateData,
}

impl Version {
    pub(super) fn new(version: &LaunchTemplateVersion) -> Option<Self> {
        Some(Self {
            template: version.launch_template_id()?.to_owned(),
            number: version.version_number()?,
            is_default: version.default_version().unwrap_or(false),
            description: version.version_description().unwrap_or_default().to_owned(),
            created_by: version.created_by().map(str::to_owned),
            created: version.create_time().and_then(|time| Timestamp::from_second(time.secs()).ok()),
            data: version.launch_template_data()?.clone(),
        })
    }

    /// The image as it stands there: an AMI id or `resolve:ssm:…`.
    pub(super) fn image(&self) -> Option<&str> {
        self.data.image_id()
    }

    pub(super) fn outline(&self) -> VersionOutline {
        let instance_type = self.data.instance_type().map(|kind| kind.as_str().to_owned());
        let image = self.image().map(str::to_owned);
        VersionOutline { template: self.template.clone(), number: self.number, image, instance_type }
    }
}

/// An image as it stands in a template or policy: an AMI's id, or a parameter that leads to one.
pub(super) fn launched(region: &Region, text: &str, aliases: &Aliases) -> SlotImage {
    match text.parse::<AmiId>() {
        Ok(id) => SlotImage::Pinned { image: ImageRef::Ami { region: region.clone(), id } },
        Err(_) => SlotImage::Floating { through: text.to_owned(), now: aliases.image(region, text) },
    }
}

/// The image of a version that is reached by this name: a number pins it.
pub(super) fn slot_image(region: &Region, named: &str, version: &VersionOutline, aliases: &Aliases) -> SlotImage {
    match launched(region, version.image.as_deref().unwrap_or_default(), aliases) {
        SlotImage::Pinned { image } if named.starts_with('$') => {
            SlotImage::Floating { through: named.to_owned(), now: Some(image) }
        }
        image => image,
    }
}

/// The launch templates of one region, as one identity sees them.
pub(super) struct Templates {
    pub(super) aws: Arc<Aws>,
    pub(super) region: Region,
    pub(super) facts: Arc<TemplateFacts>,
}

/// Reads some versions of one template (DescribeLaunchTemplateVersions): numbers, `$Latest`, `$Default`.
pub(super) async fn read(
    aws: &Aws,
    region: &Region,
    template: &str,
    versions: &[String],
) -> Result<Vec<Version>, AwsError> {
    let call = aws.ec2(region).describe_launch_template_versions().launch_template_id(template);
    let call = call.set_versions(Some(versions.to_vec()));
    let answer = aws.patiently(Service::Ec2, region, || call.clone().send()).await;
    let object = format!("launch template {template} in {}", aws.place(region));
    let answer = answer.map_err(|error| classify("ec2:DescribeLaunchTemplateVersions", &object, error))?;
    Ok(answer.launch_template_versions().iter().filter_map(Version::new).collect())
}

impl Templates {
    /// One version by its number, from what was read before where possible.
    pub(super) async fn version(&self, template: &str, number: i64) -> Result<Arc<Version>, TargetError> {
        if let Some(known) = self.facts.get(&self.region, template, number) {
            return Ok(known);
        }
        let found = read(&self.aws, &self.region, template, &[number.to_string()]).await?;
        let version = found.into_iter().find(|version| version.number == number);
        let version = version.ok_or_else(|| TargetError::Gone {
            what: format!("version {number} of launch template {template}"),
            keys: None,
        })?;
        Ok(self.facts.keep(&self.region, version))
    }

    /// The image of a version by its number, `$Latest` or `$Default`.
    pub(super) async fn image_of_version(&self, template: &str, version: &str) -> Result<Option<String>, TargetError> {
        let known = version.parse().ok().and_then(|number| self.facts.outline(&self.region, template, number));
        if let Some(known) = known {
            return Ok(known.image.clone());
        }
        let found = read(&self.aws, &self.region, template, &[version.to_owned()]).await?;
        let found = found.into_iter().next().map(|version| self.facts.keep(&self.region, version));
        Ok(found.and_then(|version| version.image().map(str::to_owned)))
    }

    /// Who made a version, and when (LaunchTemplateVersion: CreatedBy, CreateTime).
    pub(super) async fn author_of(&self, template: &str, number: i64) -> Result<Option<Attribution>, TargetError> {
        let found = read(&self.aws, &self.region, template, &[number.to_string()]).await?;
        let found = found.into_iter().find(|version| version.number == number);
        Ok(found.and_then(|version| {
            let source = "DescribeLaunchTemplateVersions".to_owned();
            Some(Attribution { who: version.created_by?, at: version.created, source })
        }))
    }

    /// Who moved the template's default last, as CloudTrail has it.
    pub(super) async fn mover_of_default(&self, template: &str) -> Result<Option<Attribution>, TargetError> {
        if !self.aws.asks_cloudtrail() {
            return Ok(None);
        }
        // ModifyLaunchTemplate takes either.
        let call = self.aws.ec2(&self.region).describe_launch_templates().launch_template_ids(template);
        let answer = self.aws.patiently(Service::Ec2, &self.region, || call.clone().send()).await;
        let object = format!("launch template {template} in {}", self.aws.place(&self.region));
        let answer = answer.map_err(|error| classify("ec2:DescribeLaunchTemplates", &object, error))?;
        let name = answer.launch_templates().first().and_then(|found| found.launch_template_name());
        let called: Vec<&str> = [template].into_iter().chain(name).collect();
        let moves = |request: &Value| names(request, &called);
        Ok(self.aws.last_change(&self.region, &["ModifyLaunchTemplate"], moves).await?)
    }

    /// What `$Latest` or `$Default` means at this moment.
    pub(super) async fn named_version(&self, template: &str, name: &str) -> Result<Arc<Version>, TargetError> {
        let found = read(&self.aws, &self.region, template, &[name.to_owned()]).await?;
        let version = found.into_iter().next();
        let version = version.ok_or_else(|| TargetError::Gone {
            what: format!("version {name} of launch template {template}"),
            keys: None,
        })?;
        Ok(self.facts.keep(&self.region, version))
    }

    /// A version like `source` with only the image changed. Ordered `again`, it is the version made before. EC2
    /// refuses a token that comes again with other parameters.
    pub(super) async fn version_with(
        &self,
        source: &Version,
        image: &AmiId,
        token: String,
        again: bool,
    ) -> Result<i64, TargetError> {
        if again && let Some(made) = self.made_before(source, image).await? {
            return Ok(made);
        }
        let devices = self.block_devices(source, image).await?;
        let data =
            RequestLaunchTemplateData::builder().image_id(image.as_str()).set_block_device_mappings(devices).build();
        let call = self.aws.ec2(&self.region).create_launch_template_version();
        let call = call
            .launch_template_id(&source.template)
            .source_version(source.number.to_string())
            // The source's own words: Terraform reads the newest version's description, and would change one of ours.
            .set_version_description(Some(source.description.clone()).filter(|text| !text.is_empty()))
            .client_token(token)
            .launch_template_data(data);
        let object = format!("launch template {} in {}", source.template, self.aws.place(&self.region));
        let answer = self.aws.in_turn(Service::Ec2, &self.region, call.send()).await;
        let answer = answer.map_err(|error| classify("ec2:CreateLaunchTemplateVersion", &object, error))?;
        let made = answer.launch_template_version().and_then(Version::new);
        let made = made.ok_or_else(|| TargetError::Refused {
            what: format!("{object}: AWS did not say which version it made"),
            hint: "run the same command again: it finds that version".to_owned(),
        })?;
        Ok(self.facts.keep(&self.region, made).number)
    }

    /// EC2 remembers a client token for a day. After that, a newer version that differs from its source in nothing
    /// but the image is what the same order made before, or as good.
    async fn made_before(&self, source: &Version, image: &AmiId) -> Result<Option<i64>, TargetError> {
        let region = &self.region;
        let call = self.aws.ec2(region).describe_launch_template_versions().launch_template_id(&source.template);
        let mut pages = call.min_version((source.number + 1).to_string()).into_paginator().send();
        while let Some(page) = pages.next().await {
            let object = format!("launch template {} in {}", source.template, self.aws.place(region));
            let page = page.map_err(|error| classify("ec2:DescribeLaunchTemplateVersions", &object, error))?;
            let mut versions = page.launch_template_versions().iter().filter_map(Version::new);
            let made = versions.find(|version| version.image() == Some(image.as_str()) && is_like(version, source));
            if let Some(made) = made {
                return Ok(Some(self.facts.keep(region, made).number));
            }
        }
        Ok(None)
    }

    /// EC2 drops snapshots from inherited mappings unless they are given again (API reference, CreateLaunchTemplateVersion,
    /// SourceVersion). A snapshot that was the old image's becomes the new image's; any other stays what it is.
    async fn block_devices(
        &self,
        source: &Version,
        image: &AmiId,
    ) -> Result<Option<Vec<LaunchTemplateBlockDeviceMappingRequest>>, TargetError> {
        let mappings = source.data.block_device_mappings();
        let snapshot = |mapping: &LaunchTemplateBlockDeviceMapping| {
            mapping.ebs().and_then(|ebs| ebs.snapshot_id().map(str::to_owned))
        };
        if mappings.iter().all(|mapping| snapshot(mapping).is_none()) {
            return Ok(None);
        }
        let old_image = source.image().unwrap_or_default();
        let devices = self.image_devices(&[old_image, image.as_str()]).await?;
        let of = |image: &str, device: &str| devices.get(image).and_then(|devices| devices.get(device)).cloned();
        let requests = mappings.iter().map(|mapping| {
            let device = mapping.device_name().unwrap_or_default();
            let kept = snapshot(mapping);
            let was_images = kept.is_some() && kept == of(old_image, device);
            let snapshot = if was_images { of(image.as_str(), device).or(kept) } else { kept };
            request(mapping, snapshot)
        });
        Ok(Some(requests.collect()))
    }

    /// Image → device → snapshot (DescribeImages).
    async fn image_devices(&self, images: &[&str]) -> Result<BTreeMap<String, BTreeMap<String, String>>, TargetError> {
        let region = &self.region;
        let filter = aws_sdk_ec2::types::Filter::builder().name("image-id");
        let filter = filter.set_values(Some(images.iter().map(|image| (*image).to_owned()).collect())).build();
        let call =
            self.aws.ec2(region).describe_images().filters(filter).include_deprecated(true).include_disabled(true);
        let answer = self.aws.patiently(Service::Ec2, region, || call.clone().send()).await;
        let answer = answer.map_err(|error| {
            classify("ec2:DescribeImages", &format!("{} in {}", images.join(", "), self.aws.place(region)), error)
        })?;
        let devices = answer.images().iter().map(|image| {
            let mappings = image.block_device_mappings().iter().filter_map(|mapping| {
                Some((mapping.device_name()?.to_owned(), mapping.ebs()?.snapshot_id()?.to_owned()))
            });
            (image.image_id().unwrap_or_default().to_owned(), mappings.collect())
        });
        Ok(devices.collect())
    }

    /// What differs besides the image, a line each. User data is compared and never shown: it may hold secrets.
    pub(super) async fn compare(&self, from: (&str, i64), to: (&str, i64)) -> Result<Vec<String>, TargetError> {
        if from.0 != to.0 {
            return Ok(vec![format!("launch template {} → {}", from.0, to.0)]);
        }
        let (left, right) = (self.version(from.0, from.1).await?, self.version(to.0, to.1).await?);
        Ok(differences(&left.data, &right.data))
    }
}

/// Alike in all but the image and the block devices, whose snapshots follow the image.
fn is_like(one: &Version, two: &Version) -> bool {
    let rest = |version: &Version| {
        let mut data = version.data.clone();
        (data.image_id, data.block_device_mappings) = (None, None);
        data
    };
    one.description == two.description && rest(one) == rest(two)
}

fn request(
    mapping: &LaunchTemplateBlockDeviceMapping,
    snapshot: Option<String>,
) -> LaunchTemplateBlockDeviceMappingRequest {
    let ebs = mapping.ebs().map(|ebs| {
        LaunchTemplateEbsBlockDeviceRequest::builder()
            .set_encrypted(ebs.encrypted())
            .set_delete_on_termination(ebs.delete_on_termination())
            .set_iops(ebs.iops())
            .set_kms_key_id(ebs.kms_key_id().map(str::to_owned))
            .set_snapshot_id(snapshot)
            .set_volume_size(ebs.volume_size())
            .set_volume_type(ebs.volume_type().cloned())
            .set_throughput(ebs.throughput())
            .set_volume_initialization_rate(ebs.volume_initialization_rate())
            .build()
    });
    LaunchTemplateBlockDeviceMappingRequest::builder()
        .set_device_name(mapping.device_name().map(str::to_owned))
        .set_virtual_name(mapping.virtual_name().map(str::to_owned))
        .set_no_device(mapping.no_device().map(str::to_owned))
        .set_ebs(ebs)
        .build()
}

/// The settings a person knows by name; all others are named as one.
fn differences(left: &ResponseLaunchTemplateData, right: &ResponseLaunchTemplateData) -> Vec<String> {
    let mut lines = Vec::new();
    let mut text = |name: &str, left: Option<&str>, right: Option<&str>| {
        if left != right {
            lines.push(format!("{name}: {} → {}", left.unwrap_or("(none)"), right.unwrap_or("(none)")));
        }
    };
    text("instance type", left.instance_type().map(|t| t.as_str()), right.instance_type().map(|t| t.as_str()));
    text("key pair", left.key_name(), right.key_name());
    let profile = |data: &ResponseLaunchTemplateData| {
        data.iam_instance_profile().and_then(|profile| profile.arn().or(profile.name()).map(str::to_owned))
    };
    text("instance profile", profile(left).as_deref(), profile(right).as_deref());
    let groups =
        |data: &ResponseLaunchTemplateData| Some(data.security_group_ids().join(", ")).filter(|ids| !ids.is_empty());
    text("security groups", groups(left).as_deref(), groups(right).as_deref());
    if left.user_data() != right.user_data() {
        lines.push("user data differs (not shown)".to_owned());
    }
    if left.block_device_mappings() != right.block_device_mappings() {
        lines.push("block devices differ".to_owned());
    }
    let rest = |data: &ResponseLaunchTemplateData| {
        let mut data = data.clone();
        (data.image_id, data.instance_type, data.key_name, data.user_data) = (None, None, None, None);
        (data.iam_instance_profile, data.security_group_ids, data.block_device_mappings) = (None, None, None);
        data
    };
    if rest(left) != rest(right) {
        lines.push("other settings differ (network interfaces, tags, metadata options, …)".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_settings_and_hide_user_data() {
        let left = ResponseLaunchTemplateData::builder()
            .image_id("ami-1")
            .instance_type("t3.micro".into())
            .user_data("c2VjcmV0");
        let right = ResponseLaunchTemplateData::builder()
            .image_id("ami-2")
            .instance_type("t3.large".into())
            .ebs_optimized(true);
        let lines = differences(&left.build(), &right.build());
        assert_eq!(
            lines,
            [
                "instance type: t3.micro → t3.large",
                "user data differs (not shown)",
                "other settings differ (network interfaces, tags, metadata options, …)"
            ]
        );
    }

    #[test]
    fn the_image_is_no_difference() {
        let data = |image: &str| ResponseLaunchTemplateData::builder().image_id(image).build();
        assert!(differences(&data("ami-1"), &data("ami-2")).is_empty());
    }
}
