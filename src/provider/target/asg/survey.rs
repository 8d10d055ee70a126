//! Observing many groups in few calls: 100 groups, 200 template versions and 1,000 instances a call.

use super::super::{Depth, TargetError};
use super::group::{Group, Source};
use super::refresh;
use super::template::{self, TemplateFacts, Version};
use super::{AsgSpec, template_slot};
use crate::model::{Accepts, AmiId, Arch, ImageRef, Observed, Obstacle, Region, SlotImage, SlotState, TargetId};
use crate::provider::aws::{Aws, AwsError, classify};
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{Filter, Reservation};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// DescribeAutoScalingGroups takes this many names, and answers as many groups.
const GROUPS_A_CALL: usize = 100;
/// DescribeInstances takes this many values in one filter.
const NAMES_A_FILTER: usize = 200;
/// Up to this many instances are asked for by their ids: the cheapest question EC2 has.
const IDS_A_CALL: usize = 100;
/// Below this many templates, asking each by name is cheaper than listing all of the account.
const FEW_TEMPLATES: usize = 20;

/// What one region said.
struct Read {
    groups: BTreeMap<String, Group>,
    /// Instance → image.
    images: BTreeMap<String, String>,
    /// Template → its newest number, where it was read.
    newest: BTreeMap<String, i64>,
}

/// Observes the groups of one region.
pub(super) async fn region(
    aws: &Arc<Aws>,
    facts: &TemplateFacts,
    region: &Region,
    specs: &[&AsgSpec],
    depth: Depth,
) -> BTreeMap<TargetId, Result<Observed, TargetError>> {
    let read = async {
        let groups = groups(aws, region, specs).await?;
        let (versions, images) =
            futures_util::future::join(versions(aws, facts, region, &groups), instances(aws, region, &groups)).await;
        let (versions, newest) = versions?;
        if depth == Depth::Deploying {
            architectures(aws, facts, region, versions.values()).await?;
        }
        Ok::<_, AwsError>((Read { groups, images: images?, newest }, versions))
    };
    let (read, versions) = match read.await {
        Ok(read) => read,
        // One refused call leaves every group of the region unknown: each says so.
        Err(error) => {
            let error = Arc::new(error);
            return specs.iter().map(|spec| (spec.id.clone(), Err(TargetError::Aws(Arc::clone(&error))))).collect();
        }
    };
    let observe = specs.iter().map(async |spec| {
        let Some(group) = read.groups.get(&spec.group) else {
            let what = format!("Auto Scaling group {} in {region}", spec.group);
            return (spec.id.clone(), Err(TargetError::Gone { what }));
        };
        let version = versions.get(&spec.group);
        let observed = observed(facts, region, group, version, &read);
        let deployment =
            if depth == Depth::Deploying { refresh::newest(aws, region, &spec.group).await } else { Ok(None) };
        let observed = observed.and_then(|observed| Ok(Observed { deployment: deployment?, ..observed }));
        (spec.id.clone(), observed)
    });
    futures_util::future::join_all(observe).await.into_iter().collect()
}

async fn groups(aws: &Aws, region: &Region, specs: &[&AsgSpec]) -> Result<BTreeMap<String, Group>, AwsError> {
    let names: BTreeSet<&str> = specs.iter().map(|spec| spec.group.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let mut groups = BTreeMap::new();
    for chunk in names.chunks(GROUPS_A_CALL) {
        let call = aws.autoscaling(region).describe_auto_scaling_groups();
        let call = call.set_auto_scaling_group_names(Some(chunk.iter().map(|name| (*name).to_owned()).collect()));
        let mut pages = call.max_records(100).into_paginator().send();
        while let Some(page) = pages.next().await {
            let object = format!("{} in {region}", chunk.join(", "));
            let page = page.map_err(|error| classify("autoscaling:DescribeAutoScalingGroups", &object, error))?;
            groups.extend(page.auto_scaling_groups().iter().map(Group::new).map(|group| (group.name.clone(), group)));
        }
    }
    Ok(groups)
}

/// Group name → the version it names now, and template → newest number.
type Versions = (BTreeMap<String, Arc<Version>>, BTreeMap<String, i64>);

async fn versions(
    aws: &Aws,
    facts: &TemplateFacts,
    region: &Region,
    groups: &BTreeMap<String, Group>,
) -> Result<Versions, AwsError> {
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for group in groups.values() {
        if let Source::Template { id, version } = &group.source {
            wanted.entry(id.clone()).or_default().insert(version.clone());
        }
    }
    let mut read: BTreeMap<String, Vec<Version>> = BTreeMap::new();
    if wanted.len() > FEW_TEMPLATES {
        for version in every_template(aws, region).await? {
            read.entry(version.template.clone()).or_default().push(version);
        }
    }
    for (template, names) in &wanted {
        let rows = read.entry(template.clone()).or_default();
        let listed = !rows.is_empty();
        // A numbered version never changes: what this process has read before is not asked again.
        let known = |name: &str| name.parse().is_ok_and(|number| facts.get(region, template, number).is_some());
        let missing = names.iter().filter(|name| find(rows, name).is_none() && !known(name));
        let mut ask: Vec<String> = missing.cloned().collect();
        if !listed && !ask.is_empty() {
            ask.extend(["$Latest".to_owned(), "$Default".to_owned()].into_iter().filter(|name| !names.contains(name)));
        }
        if !ask.is_empty() {
            let answer = template::read(aws, region, template, &ask).await?;
            rows.extend(answer);
        }
    }
    let newest =
        read.iter().filter_map(|(template, rows)| Some((template.clone(), rows.iter().map(|row| row.number).max()?)));
    let newest: BTreeMap<String, i64> = newest.collect();
    let mut by_group = BTreeMap::new();
    for group in groups.values() {
        let Source::Template { id, version } = &group.source else { continue };
        let row = read.get(id).and_then(|rows| find(rows, version)).cloned();
        let known = row.map(|row| facts.keep(region, row)).or_else(|| facts.get(region, id, version.parse().ok()?));
        by_group.extend(known.map(|version| (group.name.clone(), version)));
    }
    Ok((by_group, newest))
}

/// The row that a version's name means.
fn find<'a>(rows: &'a [Version], name: &str) -> Option<&'a Version> {
    match name {
        "$Latest" => rows.iter().max_by_key(|row| row.number),
        "$Default" => rows.iter().find(|row| row.is_default),
        number => rows.iter().find(|row| Some(row.number) == number.parse().ok()),
    }
}

/// The newest and default version of every template of the region: 200 rows a call (DescribeLaunchTemplateVersions
/// without a template takes only `$Latest` and `$Default`).
async fn every_template(aws: &Aws, region: &Region) -> Result<Vec<Version>, AwsError> {
    let call =
        aws.ec2(region).describe_launch_template_versions().versions("$Latest").versions("$Default").max_results(200);
    let mut pages = call.into_paginator().send();
    let mut versions = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            classify("ec2:DescribeLaunchTemplateVersions", &format!("all launch templates in {region}"), error)
        })?;
        versions.extend(page.launch_template_versions().iter().filter_map(Version::new));
    }
    Ok(versions)
}

/// Instance → the image it was launched with: what really runs, whatever template or refresh say.
async fn instances(
    aws: &Aws,
    region: &Region,
    groups: &BTreeMap<String, Group>,
) -> Result<BTreeMap<String, String>, AwsError> {
    let ids: Vec<String> = groups.values().flat_map(|group| group.instances.clone()).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    if ids.len() <= IDS_A_CALL {
        let call = aws.ec2(region).describe_instances().set_instance_ids(Some(ids));
        match call.send().await {
            Ok(answer) => return Ok(images_of(answer.reservations()).collect()),
            // An instance that has just been launched may not be known to EC2 yet: the group's tag finds the others.
            Err(error) if error.code() == Some("InvalidInstanceID.NotFound") => {}
            Err(error) => return Err(classify("ec2:DescribeInstances", &format!("instances in {region}"), error)),
        }
    }
    let names: Vec<String> =
        groups.values().filter(|group| !group.instances.is_empty()).map(|group| group.name.clone()).collect();
    let mut images = BTreeMap::new();
    for chunk in names.chunks(NAMES_A_FILTER) {
        let filter = Filter::builder().name("tag:aws:autoscaling:groupName").set_values(Some(chunk.to_vec())).build();
        let mut pages = aws.ec2(region).describe_instances().filters(filter).max_results(1000).into_paginator().send();
        while let Some(page) = pages.next().await {
            let object = format!("instances of {} groups in {region}", chunk.len());
            let page = page.map_err(|error| classify("ec2:DescribeInstances", &object, error))?;
            images.extend(images_of(page.reservations()));
        }
    }
    Ok(images)
}

fn images_of(reservations: &[Reservation]) -> impl Iterator<Item = (String, String)> + '_ {
    let instances = reservations.iter().flat_map(|reservation| reservation.instances());
    instances.filter_map(|instance| Some((instance.instance_id()?.to_owned(), instance.image_id()?.to_owned())))
}

/// Which architectures the instance types of these versions have (DescribeInstanceTypes, 100 types a call).
async fn architectures<'a>(
    aws: &Aws,
    facts: &TemplateFacts,
    region: &Region,
    versions: impl Iterator<Item = &'a Arc<Version>>,
) -> Result<(), AwsError> {
    let types: BTreeSet<_> = versions.filter_map(|version| version.data.instance_type().cloned()).collect();
    let unknown: Vec<_> = types.into_iter().filter(|kind| facts.architectures(kind.as_str()).is_none()).collect();
    for chunk in unknown.chunks(100) {
        let call = aws.ec2(region).describe_instance_types().set_instance_types(Some(chunk.to_vec()));
        let answer =
            call.send().await.map_err(|error| classify("ec2:DescribeInstanceTypes", region.as_str(), error))?;
        for info in answer.instance_types() {
            let architectures = info.processor_info().map(|processor| processor.supported_architectures());
            let architectures = architectures.unwrap_or_default().iter().map(|arch| arch.as_str().to_owned()).collect();
            if let Some(kind) = info.instance_type() {
                facts.keep_architectures(kind.as_str(), architectures);
            }
        }
    }
    Ok(())
}

fn observed(
    facts: &TemplateFacts,
    region: &Region,
    group: &Group,
    version: Option<&Arc<Version>>,
    read: &Read,
) -> Result<Observed, TargetError> {
    let unreadable = || TargetError::Refused {
        what: format!("Auto Scaling group {} in {region} names no version that could be read", group.name),
        hint: format!("aws autoscaling describe-auto-scaling-groups --auto-scaling-group-names {}", group.name),
    };
    let mut observed = Observed {
        revision: group.revision(version.map_or(0, |version| version.number)).ok_or_else(unreadable)?,
        slots: BTreeMap::new(),
        running: running(region, group, &read.images),
        desired: group.desired,
        deployment: None,
        obstacles: group.obstacle().into_iter().collect(),
        notes: Vec::new(),
    };
    let (Source::Template { id, version: named }, Some(version)) = (&group.source, version) else {
        if observed.obstacles.is_empty() {
            return Err(TargetError::Gone {
                what: format!("the launch-template version that group {} names", group.name),
            });
        }
        return Ok(observed);
    };
    let image = slot_image(region, named, version);
    if let SlotImage::Floating { through, .. } = &image
        && through.starts_with("resolve:ssm:")
    {
        let what = format!("launch template {id} version {} takes its image from {through}", version.number);
        let fix = "put the AMI id into the template: AWS cannot roll such a group back".to_owned();
        observed.obstacles.push(Obstacle { what, fix });
    }
    let arch = arch(facts, version);
    let accepts = Accepts::Ami { region: region.clone(), arch };
    observed.slots.insert(template_slot()?, SlotState { image, accepts });
    if let Some(newest) = read.newest.get(id).filter(|newest| **newest > version.number) {
        observed.notes.push(format!("{id} has version {newest}, newer than {}, which the group runs", version.number));
    }
    Ok(observed)
}

fn slot_image(region: &Region, named: &str, version: &Version) -> SlotImage {
    let text = version.image().unwrap_or_default();
    let pinned = text.parse::<AmiId>().ok().map(|id| ImageRef::Ami { region: region.clone(), id });
    match pinned {
        Some(image) if named.starts_with('$') => SlotImage::Floating { through: named.to_owned(), now: Some(image) },
        Some(image) => SlotImage::Pinned { image },
        None => SlotImage::Floating { through: text.to_owned(), now: None },
    }
}

/// The architecture that the instance type decides; unknown where it could be either, or is not given.
fn arch(facts: &TemplateFacts, version: &Version) -> Option<Arch> {
    let known = facts.architectures(version.data.instance_type()?.as_str())?;
    // t2 and m1 run i386 and x86_64 images; 64-bit is what a new image is.
    let one = known.iter().find(|arch| known.len() == 1 || arch.as_str() == "x86_64")?;
    one.parse().ok()
}

fn running(region: &Region, group: &Group, images: &BTreeMap<String, String>) -> BTreeMap<ImageRef, u32> {
    let mut running = BTreeMap::new();
    for id in group.instances.iter().filter_map(|instance| images.get(instance)?.parse::<AmiId>().ok()) {
        *running.entry(ImageRef::Ami { region: region.clone(), id }).or_insert(0) += 1;
    }
    running
}
