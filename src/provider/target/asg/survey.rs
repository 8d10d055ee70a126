//! Observing many groups in few calls: 100 groups, 200 template versions and 1,000 instances a call.

use super::super::architecture::{self, Launches};
use super::super::template::{self, TemplateFacts, Version, launched, slot_image};
use super::super::{Depth, TargetError};
use super::AsgSpec;
use super::group::{Group, Named, Slot};
use super::refresh;
use crate::model::{Accepts, AmiId, ImageRef, Observed, Region, SlotState, TargetId};
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
    /// Template and the name of a version as some group says it → that version.
    versions: BTreeMap<(String, String), Arc<Version>>,
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
        let read = Read { groups, versions, images: images?, newest };
        if depth == Depth::Deploying {
            let slots: Vec<Slot> = read.groups.values().flat_map(Group::slots).collect();
            let launches: Vec<Launches<'_>> = slots.iter().map(|slot| read.launches(slot)).collect();
            architecture::read(aws, facts, region, &launches).await?;
        }
        Ok::<_, AwsError>(read)
    };
    let read = match read.await {
        Ok(read) => read,
        // One refused call leaves every group of the region unknown: each says so.
        Err(error) => {
            let error = Arc::new(error);
            return specs.iter().map(|spec| (spec.id.clone(), Err(TargetError::Aws(Arc::clone(&error))))).collect();
        }
    };
    let observe = specs.iter().map(async |spec| {
        let Some(group) = read.groups.get(&spec.group) else {
            let what = format!("Auto Scaling group {} in {}", spec.group, aws.place(region));
            return (spec.id.clone(), Err(TargetError::Gone { what }));
        };
        let observed = observed(facts, region, group, &read);
        let deployment =
            if depth == Depth::Deploying { refresh::newest(aws, region, &spec.group).await } else { Ok(None) };
        let observed = observed.and_then(|observed| Ok(Observed { deployment: deployment?, ..observed }));
        (spec.id.clone(), observed)
    });
    futures_util::future::join_all(observe).await.into_iter().collect()
}

impl Read {
    fn version(&self, named: &Named) -> Option<&Arc<Version>> {
        match named {
            Named::Version { template, version } => self.versions.get(&(template.clone(), version.clone())),
            Named::Image(_) => None,
        }
    }

    /// What a slot launches on, and with.
    fn launches<'a>(&'a self, slot: &'a Slot) -> Launches<'a> {
        let version = self.version(&slot.named);
        let image = match &slot.named {
            Named::Image(image) => Some(image.as_str()),
            Named::Version { .. } => version.and_then(|version| version.image()),
        };
        let own = || version.and_then(|version| version.data.instance_type()).map(|kind| kind.as_str());
        let types = if slot.types.is_empty() {
            own().into_iter().collect()
        } else {
            slot.types.iter().map(String::as_str).collect()
        };
        Launches { types, image }
    }
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
            let object = format!("{} in {}", chunk.join(", "), aws.place(region));
            let page = page.map_err(|error| classify("autoscaling:DescribeAutoScalingGroups", &object, error))?;
            groups.extend(page.auto_scaling_groups().iter().map(Group::new).map(|group| (group.name.clone(), group)));
        }
    }
    Ok(groups)
}

/// Template and name of a version → that version, and template → newest number.
type Versions = (BTreeMap<(String, String), Arc<Version>>, BTreeMap<String, i64>);

async fn versions(
    aws: &Aws,
    facts: &TemplateFacts,
    region: &Region,
    groups: &BTreeMap<String, Group>,
) -> Result<Versions, AwsError> {
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for slot in groups.values().flat_map(Group::slots) {
        if let Named::Version { template, version } = slot.named {
            wanted.entry(template).or_default().insert(version);
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
    let mut versions = BTreeMap::new();
    for (template, name) in wanted.into_iter().flat_map(|(id, names)| names.into_iter().map(move |n| (id.clone(), n))) {
        let row = read.get(&template).and_then(|rows| find(rows, &name)).cloned();
        let kept = || facts.get(region, &template, name.parse().ok()?);
        let known = row.map(|row| facts.keep(region, row)).or_else(kept);
        versions.extend(known.map(|version| ((template, name), version)));
    }
    Ok((versions, newest))
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
            let object = format!("all launch templates in {}", aws.place(region));
            classify("ec2:DescribeLaunchTemplateVersions", &object, error)
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
            Err(error) => {
                return Err(classify("ec2:DescribeInstances", &format!("instances in {}", aws.place(region)), error));
            }
        }
    }
    let names: Vec<String> =
        groups.values().filter(|group| !group.instances.is_empty()).map(|group| group.name.clone()).collect();
    let mut images = BTreeMap::new();
    for chunk in names.chunks(NAMES_A_FILTER) {
        let filter = Filter::builder().name("tag:aws:autoscaling:groupName").set_values(Some(chunk.to_vec())).build();
        let mut pages = aws.ec2(region).describe_instances().filters(filter).max_results(1000).into_paginator().send();
        while let Some(page) = pages.next().await {
            let object = format!("instances of {} groups in {}", chunk.len(), aws.place(region));
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

fn observed(facts: &TemplateFacts, region: &Region, group: &Group, read: &Read) -> Result<Observed, TargetError> {
    let number = |template: &str, name: &str| {
        read.versions.get(&(template.to_owned(), name.to_owned())).map(|version| version.number)
    };
    let stands = group.stand(number).and_then(|stand| stand.revision());
    let mut observed = Observed {
        revision: stands.or_else(|| group.without_versions()).ok_or_else(|| unreadable(region, group))?,
        slots: BTreeMap::new(),
        running: running(region, group, &read.images),
        desired: group.desired,
        deployment: None,
        obstacles: group.obstacle().into_iter().collect(),
        notes: Vec::new(),
    };
    for slot in group.slots() {
        let image = match (&slot.named, read.version(&slot.named)) {
            (Named::Image(image), _) => launched(region, image),
            (Named::Version { version: name, .. }, Some(version)) => {
                observed.notes.extend(newer(read, version));
                observed.obstacles.extend(version.obstacle());
                slot_image(region, name, version)
            }
            (Named::Version { .. }, None) => {
                let what = format!("the launch-template version that group {} names", group.name);
                return Err(TargetError::Gone { what });
            }
        };
        let arch = architecture::decide(facts, &read.launches(&slot));
        observed.slots.insert(slot.name, SlotState { image, accepts: Accepts::Ami { region: region.clone(), arch } });
    }
    observed.notes.dedup();
    observed.obstacles.dedup();
    Ok(observed)
}

fn unreadable(region: &Region, group: &Group) -> TargetError {
    TargetError::Refused {
        what: format!("Auto Scaling group {} in {region} names no version that could be read", group.name),
        hint: format!("aws autoscaling describe-auto-scaling-groups --auto-scaling-group-names {}", group.name),
    }
}

fn newer(read: &Read, version: &Version) -> Option<String> {
    let newest = read.newest.get(&version.template).filter(|newest| **newest > version.number)?;
    let (template, number) = (&version.template, version.number);
    Some(format!("{template} has version {newest}, newer than {number}, which the group runs"))
}

fn running(region: &Region, group: &Group, images: &BTreeMap<String, String>) -> BTreeMap<ImageRef, u32> {
    let mut running = BTreeMap::new();
    for id in group.instances.iter().filter_map(|instance| images.get(instance)?.parse::<AmiId>().ok()) {
        *running.entry(ImageRef::Ami { region: region.clone(), id }).or_insert(0) += 1;
    }
    running
}
