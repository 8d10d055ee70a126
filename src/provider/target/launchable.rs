//! What can be asked of EC2 before anything moves: whether we may make a version, and whether an account sees an image.

use super::TargetError;
use crate::model::{AmiArtifact, Artifact, Image, ImageRef, Obstacle, Outlook, Region, Step};
use crate::provider::aws::{Aws, AwsError, Service, classify};
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{Filter, RequestLaunchTemplateData};
use std::collections::BTreeSet;

/// The AMIs of an image that a step moves to.
pub(super) fn amis_of<'a>(image: &'a Image, step: &Step) -> Vec<&'a AmiArtifact> {
    let wanted: BTreeSet<&ImageRef> = step.slots.values().map(|change| &change.to).collect();
    let artifacts = image.artifacts.iter().filter(|artifact| wanted.contains(&artifact.address()));
    let amis = artifacts.filter_map(|artifact| match artifact {
        Artifact::Ami(ami) => Some(ami),
        Artifact::Oci(_) => None,
    });
    amis.collect()
}

/// EC2's dry run of a new version with another image.
pub(super) async fn may_make_version(
    aws: &Aws,
    region: &Region,
    template: &str,
    source: i64,
    step: &Step,
) -> Result<Outlook, TargetError> {
    let image = step.slots.values().next().map(|change| change.to.short());
    let data = RequestLaunchTemplateData::builder().set_image_id(image).build();
    let call = aws.ec2(region).create_launch_template_version().dry_run(true).launch_template_id(template);
    let call = call.source_version(source.to_string()).launch_template_data(data);
    let answer = aws.patiently(Service::Ec2, region, || call.clone().send()).await;
    dry_run(aws, region, template, "ec2:CreateLaunchTemplateVersion", answer.err())
}

/// EC2's dry run of moving a template's default version.
pub(super) async fn may_move_default(
    aws: &Aws,
    region: &Region,
    template: &str,
    number: i64,
) -> Result<Outlook, TargetError> {
    let call = aws.ec2(region).modify_launch_template().dry_run(true).launch_template_id(template);
    let call = call.default_version(number.to_string());
    let answer = aws.patiently(Service::Ec2, region, || call.clone().send()).await;
    dry_run(aws, region, template, "ec2:ModifyLaunchTemplate", answer.err())
}

/// EC2 API reference, "Dry run": the code DryRunOperation says that the request would have succeeded.
fn dry_run<E>(
    aws: &Aws,
    region: &Region,
    template: &str,
    action: &'static str,
    error: Option<SdkError<E>>,
) -> Result<Outlook, TargetError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let mut outlook = Outlook::default();
    let Some(error) = error.filter(|error| error.code() != Some("DryRunOperation")) else { return Ok(outlook) };
    match classify(action, &format!("launch template {template} in {}", aws.place(region)), error) {
        error @ AwsError::Denied { .. } => {
            outlook.obstacles.push(Obstacle { what: format!("cannot be moved: {error}"), fix: error.hint() });
        }
        error if error.is_silence() => return Err(error.into()),
        error => outlook.unknown.push(format!("whether it can be moved is not known: {error}")),
    }
    Ok(outlook)
}

/// An image of one account is launched in another only where it is shared with it, or public. Where there is only one
/// set of credentials, whether it is there for them is asked for every target at once, elsewhere.
pub(super) async fn may_launch(aws: &Aws, region: &Region, amis: &[&AmiArtifact]) -> Result<Outlook, TargetError> {
    let mut outlook = Outlook::default();
    if (aws.is_default() && aws.others().is_empty()) || amis.is_empty() {
        return Ok(outlook);
    }
    let ids: Vec<String> = amis.iter().map(|ami| ami.id.to_string()).collect();
    let object = format!("{} in {}", ids.join(", "), aws.place(region));
    let filter = Filter::builder().name("image-id").set_values(Some(ids)).build();
    let call = aws.ec2(region).describe_images().filters(filter).include_deprecated(true).include_disabled(true);
    let answer = aws.patiently(Service::Ec2, region, || call.clone().send()).await;
    let answer = match answer.map_err(|error| classify("ec2:DescribeImages", &object, error)) {
        Err(error @ AwsError::Denied { .. }) => {
            outlook.unknown.push(format!("whether the image may be launched could not be read: {error}"));
            return Ok(outlook);
        }
        answer => answer?,
    };
    for ami in amis {
        let seen = answer.images().iter().find(|image| image.image_id() == Some(ami.id.as_str()));
        match seen.and_then(|image| image.state()).map(|state| state.as_str()) {
            Some("available") => {}
            Some(state) => outlook.obstacles.push(Obstacle {
                what: format!("cannot launch {}: it is {state}", ami.id),
                fix: "promote an image that can be launched, or make this one available again".to_owned(),
            }),
            None => outlook.obstacles.push(not_shared(aws, region, ami).await?),
        }
    }
    Ok(outlook)
}

async fn not_shared(aws: &Aws, region: &Region, ami: &AmiArtifact) -> Result<Obstacle, TargetError> {
    let account = &aws.identity().await?.account;
    let (id, owner) = (&ami.id, &ami.account);
    let what = format!(
        "cannot launch {id} in {}: account {account} does not see it, and account {owner} owns it",
        aws.place(region)
    );
    let fix = format!(
        "as {owner}: aws ec2 modify-image-attribute --region {region} --image-id {id} --launch-permission \
         'Add=[{{UserId={account}}}]' (and share the snapshots and the key of an encrypted one)"
    );
    Ok(Obstacle { what, fix })
}
