//! An AMI as DescribeImages tells it, read into an artifact.

use crate::model::{AmiArtifact, AmiFacts, AmiId, Arch, Device, ParseError, Region};
use crate::provider::source::SourceError;
use aws_sdk_ec2::types::{BlockDeviceMapping, Image, ImageState, LaunchPermission};
use std::collections::{BTreeMap, BTreeSet};

/// What the listing itself says; keys of encrypted snapshots and launch permissions need calls of their own.
pub(super) fn artifact(region: &Region, image: &Image) -> Result<AmiArtifact, SourceError> {
    let id = image.image_id().unwrap_or_default();
    let unreadable =
        |error: ParseError| SourceError::NotAnImage { object: format!("{id} in {region}"), why: error.to_string() };
    let arch: Arch = image.architecture().map_or("", |arch| arch.as_str()).parse().map_err(unreadable)?;
    let facts = AmiFacts {
        name: image.name().unwrap_or_default().to_owned(),
        created: image.creation_date().and_then(|at| at.parse().ok()),
        root_device: image.root_device_name().map(str::to_owned),
        devices: image.block_device_mappings().iter().filter_map(device).collect(),
        launch_permissions: image.public().filter(|public| *public).map(|_| "all".to_owned()).into_iter().collect(),
        source_ami: image.source_image_id().and_then(|id| id.parse().ok()),
        source_region: image.source_image_region().and_then(|region| region.parse().ok()),
        deprecation: image.deprecation_time().and_then(|at| at.parse().ok()),
        tags: tags(image),
    };
    let account = image.owner_id().unwrap_or_default().to_owned();
    Ok(AmiArtifact { account, region: region.clone(), arch, id: id.parse::<AmiId>().map_err(unreadable)?, facts })
}

fn device(mapping: &BlockDeviceMapping) -> Option<(String, Device)> {
    let ebs = mapping.ebs()?;
    let device = Device {
        snapshot: ebs.snapshot_id().map(str::to_owned),
        gib: ebs.volume_size(),
        encrypted: ebs.encrypted().unwrap_or_default(),
        kms_key: ebs.kms_key_id().map(str::to_owned),
    };
    Some((mapping.device_name()?.to_owned(), device))
}

fn tags(image: &Image) -> BTreeMap<String, String> {
    image
        .tags()
        .iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
        .collect()
}

/// Snapshots whose key DescribeImages left out.
pub(super) fn encrypted_snapshots(artifacts: &[AmiArtifact]) -> BTreeSet<String> {
    let devices = artifacts.iter().flat_map(|ami| ami.facts.devices.values());
    devices
        .filter(|device| device.encrypted && device.kms_key.is_none())
        .filter_map(|device| device.snapshot.clone())
        .collect()
}

/// The state and what it means, unless the AMI can be launched.
pub(super) fn why_unusable(image: &Image) -> Option<(String, String)> {
    let state = image.state().cloned().unwrap_or_else(|| ImageState::from("unknown"));
    let reason =
        image.state_reason().and_then(|reason| reason.message()).map(|text| format!(": {text}")).unwrap_or_default();
    let what = match &state {
        ImageState::Available => return None,
        ImageState::Pending => "is still being made (state pending)".to_owned(),
        ImageState::Transient => "is still being changed (state transient)".to_owned(),
        ImageState::Failed | ImageState::Error | ImageState::Invalid => {
            format!("could not be made (state {state}{reason})")
        }
        ImageState::Disabled => "is disabled: nothing can be launched from it".to_owned(),
        ImageState::Deregistered => "was deregistered".to_owned(),
        other => format!("cannot be launched (state {other}{reason})"),
    };
    Some((state.as_str().to_owned(), what))
}

/// An account id, an organisation's or unit's ARN, or `all`.
pub(super) fn permitted(permission: &LaunchPermission) -> Option<String> {
    let group = permission.group().map(|group| group.as_str());
    let arn = permission.organization_arn().or(permission.organizational_unit_arn());
    permission.user_id().or(arn).or(group).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{ArchitectureValues, EbsBlockDevice, PermissionGroup, StateReason, Tag};

    fn image() -> Image {
        let ebs = EbsBlockDevice::builder().snapshot_id("snap-1").volume_size(8).encrypted(true).build();
        Image::builder()
            .image_id("ami-0123456789abcdef0")
            .owner_id("123456789012")
            .architecture(ArchitectureValues::Arm64)
            .name("web-1")
            .creation_date("2025-01-02T03:04:05.000Z")
            .public(true)
            .block_device_mappings(BlockDeviceMapping::builder().device_name("/dev/xvda").ebs(ebs).build())
            .block_device_mappings(
                BlockDeviceMapping::builder().device_name("/dev/sdb").virtual_name("ephemeral0").build(),
            )
            .tags(Tag::builder().key("Name").value("web").build())
            .source_image_id("ami-0fedcba9876543210")
            .source_image_region("us-east-1")
            .state(ImageState::Available)
            .build()
    }

    #[test]
    fn a_listing_tells_most_facts() {
        let ami = artifact(&"eu-west-1".parse().unwrap(), &image()).unwrap();
        assert_eq!(
            (ami.arch.as_str(), ami.account.as_str(), ami.facts.name.as_str()),
            ("arm64", "123456789012", "web-1")
        );
        assert_eq!(ami.facts.created.map(|at| at.to_string()).as_deref(), Some("2025-01-02T03:04:05Z"));
        assert_eq!(ami.facts.devices.keys().collect::<Vec<_>>(), ["/dev/xvda"], "an instance store has no snapshot");
        assert!(ami.facts.launch_permissions.contains("all") && ami.facts.tags["Name"] == "web");
        assert_eq!(encrypted_snapshots(&[ami]), BTreeSet::from(["snap-1".to_owned()]));
    }

    #[test]
    fn an_ami_that_cannot_be_launched_says_why() {
        let with = |state: ImageState| {
            let reason = StateReason::builder().message("snapshot lost").build();
            why_unusable(&Image::builder().state(state).state_reason(reason).build())
        };
        assert_eq!(why_unusable(&image()), None);
        assert_eq!(with(ImageState::Failed).unwrap().1, "could not be made (state failed: snapshot lost)");
        assert_eq!(
            with(ImageState::Pending).unwrap(),
            ("pending".to_owned(), "is still being made (state pending)".to_owned())
        );
        assert_eq!(with(ImageState::from("new-state")).unwrap().0, "new-state");
        assert!(why_unusable(&Image::builder().build()).is_some(), "no state is not a good state");
    }

    #[test]
    fn a_permission_is_an_account_an_organisation_or_all() {
        let all = LaunchPermission::builder().group(PermissionGroup::All).build();
        let arn = "arn:aws:organizations::1:organization/o-1";
        let organisation = LaunchPermission::builder().organization_arn(arn).build();
        assert_eq!((permitted(&all).as_deref(), permitted(&organisation).as_deref()), (Some("all"), Some(arn)));
        assert_eq!(permitted(&LaunchPermission::builder().build()), None);
    }
}
