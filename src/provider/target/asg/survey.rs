//! Observing many groups in few calls: 100 groups, 200 template versions and 1,000 instances a call.

use super::super::architecture::{self, Launches};
use super::super::parameter::Aliases;
use super::super::template::{launched, slot_image};
use super::super::template_facts::{TemplateFacts, VersionOutline};
use super::super::{AT_A_TIME, Depth, TargetError, listed};
use super::AsgSpec;
use super::group::{Group, Named, Slot};
use super::refresh;
use super::versions::{self, Versions};
use crate::model::{Accepts, AmiId, Deployment, ImageRef, Observed, Region, SlotState, TargetId};
use crate::provider::aws::{Aws, AwsError, Service, classify};
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{Filter, Reservation};
use futures_util::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// DescribeAutoScalingGroups takes this many names, and answers as many groups.
const GROUPS_A_CALL: usize = 100;
/// DescribeInstances takes this many values in one filter.
const NAMES_A_FILTER: usize = 200;
/// And answers as many instances.
const INSTANCES_A_PAGE: i32 = 1000;
/// Up to this many instances are asked for by their ids: the cheapest question EC2 has.
const IDS_A_CALL: usize = 100;
/// How many calls wait for their turn side by side: each of them is a hundred groups or more in memory.
pub(super) const SIDE_BY_SIDE: usize = 8;

/// The newest refresh of a group, or why it could not be read.
type Newest = Result<Option<Deployment>, TargetError>;

/// What one region said.
struct Read {
    groups: BTreeMap<String, Group>,
    /// Groups that could not be read, each with why.
    refused: BTreeMap<String, Arc<AwsError>>,
    versions: Versions,
    /// Instance → image.
    images: BTreeMap<String, String>,
    /// What parameters lead to.
    aliases: Aliases,
}

/// Observes the groups of one region.
pub(super) async fn region(
    aws: &Arc<Aws>,
    facts: &TemplateFacts,
    region: &Region,
    specs: &[&AsgSpec],
    depth: Depth,
) -> BTreeMap<TargetId, Result<Observed, TargetError>> {
    // Before what runs: a refresh that ends in between is then seen with its result, and not with what was before.
    let refreshes = match depth {
        Depth::Running => BTreeMap::new(),
        Depth::Deploying => newest_refreshes(aws, region, specs).await,
    };
    let read = async {
        let (groups, refused) = groups(aws, region, specs).await;
        if let Some(account) = groups.values().find_map(|group| group.account.as_deref()) {
            facts.belong_to(account);
        }
        // Of two refusals the first named is told, whichever came first.
        let (versions, images) =
            futures_util::join!(versions::read(aws, facts, region, &groups, depth), instances(aws, region, &groups));
        let (versions, images) = (versions?, images?);
        let slots: Vec<Slot> = groups.values().flat_map(Group::slots).collect();
        let own =
            slots.iter().filter_map(|slot| if let Named::Image(image) = &slot.named { Some(image) } else { None });
        let aliases = Aliases::read(aws, region, versions.images().chain(own.map(String::as_str))).await;
        let read = Read { groups, refused, versions, images, aliases };
        if depth == Depth::Deploying {
            let launches: Vec<Launches<'_>> = slots.iter().map(|slot| read.launches(slot)).collect();
            architecture::read(aws, facts, region, &launches).await?;
        }
        Ok::<_, AwsError>(read)
    };
    let read = match read.await {
        Ok(read) => read,
        // What tells of all of them together was refused, and leaves each unknown.
        Err(error) => {
            let error = Arc::new(error);
            return specs.iter().map(|spec| (spec.id.clone(), Err(TargetError::Aws(Arc::clone(&error))))).collect();
        }
    };
    let observe = specs.iter().map(|spec| {
        let Some(group) = read.groups.get(&spec.group) else {
            let what = format!("Auto Scaling group {} in {}", spec.group, aws.place(region));
            let refused = read.refused.get(&spec.group).map(|error| TargetError::Aws(Arc::clone(error)));
            return (spec.id.clone(), Err(refused.unwrap_or(TargetError::Gone { what, keys: Some("name or region") })));
        };
        let observed = observed(facts, region, group, &read);
        let deployment = refreshes.get(&spec.group).cloned().unwrap_or(Ok(None));
        (spec.id.clone(), observed.and_then(|observed| Ok(Observed { deployment: deployment?, ..observed })))
    });
    observe.collect()
}

/// Group → its newest refresh. AWS tells those of one group a call, and refuses a group that is not there.
async fn newest_refreshes(aws: &Aws, region: &Region, specs: &[&AsgSpec]) -> BTreeMap<String, Newest> {
    let names: BTreeSet<&str> = specs.iter().map(|spec| spec.group.as_str()).collect();
    let read = names.into_iter().map(async |name| (name.to_owned(), refresh::newest(aws, region, name).await));
    futures_util::future::join_all(read).await.into_iter().collect()
}

impl Read {
    fn version(&self, named: &Named) -> Option<&Arc<VersionOutline>> {
        match named {
            Named::Version { template, version } => self.versions.get(template, version),
            Named::Image(_) => None,
        }
    }

    /// What a slot launches on, and with.
    fn launches<'a>(&'a self, slot: &'a Slot) -> Launches<'a> {
        let version = self.version(&slot.named);
        let image = match &slot.named {
            Named::Image(image) => Some(image.as_str()),
            Named::Version { .. } => version.and_then(|version| version.image.as_deref()),
        };
        let own = || version.and_then(|version| version.instance_type.as_deref());
        let types = if slot.types.is_empty() {
            own().into_iter().collect()
        } else {
            slot.types.iter().map(String::as_str).collect()
        };
        Launches { types, image }
    }
}

/// Groups by name, and those of calls that were refused: each call leaves only its own hundred unknown.
async fn groups(
    aws: &Aws,
    region: &Region,
    specs: &[&AsgSpec],
) -> (BTreeMap<String, Group>, BTreeMap<String, Arc<AwsError>>) {
    let names: BTreeSet<&str> = specs.iter().map(|spec| spec.group.as_str()).collect();
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let reads: Vec<_> = names.chunks(GROUPS_A_CALL).map(|chunk| groups_of(aws, region, chunk)).collect();
    let answers: Vec<_> = futures_util::stream::iter(reads).buffered(SIDE_BY_SIDE).collect().await;
    let (mut groups, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for (chunk, answer) in names.chunks(GROUPS_A_CALL).zip(answers) {
        match answer.map_err(Arc::new) {
            Ok(found) => groups.extend(found.into_iter().map(|group| (group.name.clone(), group))),
            Err(error) => refused.extend(chunk.iter().map(|name| (name.clone(), Arc::clone(&error)))),
        }
    }
    (groups, refused)
}

async fn groups_of(aws: &Aws, region: &Region, names: &[String]) -> Result<Vec<Group>, AwsError> {
    let call = aws.autoscaling(region).describe_auto_scaling_groups().max_records(100);
    let call = call.set_auto_scaling_group_names(Some(names.to_vec()));
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let send = || call.clone().set_next_token(next.clone()).send();
        let page = aws.patiently(Service::AutoScaling, region, send).await;
        let object = format!("{} in {}", listed(names), aws.place(region));
        let page = page.map_err(|error| classify("autoscaling:DescribeAutoScalingGroups", &object, error))?;
        found.extend(page.auto_scaling_groups().iter().map(Group::new));
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(found);
        }
    }
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
    let one_page = i32::try_from(ids.len()).is_ok_and(|count| count <= INSTANCES_A_PAGE);
    if ids.len() <= IDS_A_CALL {
        let call = aws.ec2(region).describe_instances().set_instance_ids(Some(ids));
        match aws.patiently(Service::Ec2, region, || call.clone().send()).await {
            Ok(answer) => return Ok(images_of(answer.reservations()).collect()),
            // An instance that has just been launched may not be known to EC2 yet: the group's tag finds the others.
            Err(error) if error.code() == Some("InvalidInstanceID.NotFound") => {}
            Err(error) => {
                return Err(classify("ec2:DescribeInstances", &format!("instances in {}", aws.place(region)), error));
            }
        }
    }
    let mut names: Vec<String> =
        groups.values().filter(|group| !group.instances.is_empty()).map(|group| group.name.clone()).collect();
    let mut images = BTreeMap::new();
    // So many may be a part of more: a pattern would find the others' instances too.
    if one_page && (NAMES_A_FILTER + 1..AT_A_TIME).contains(&names.len()) {
        let (page, more) = instances_page(aws, region, names.len(), vec![pattern(&names)], None).await?;
        images.extend(page);
        let known = |id: &String| images.contains_key(id);
        names.retain(|name| more.is_some() && !groups[name].instances.iter().all(known));
    }
    let reads: Vec<_> = names.chunks(NAMES_A_FILTER).map(|chunk| instances_of(aws, region, chunk)).collect();
    let found: Vec<Vec<_>> = futures_util::stream::iter(reads).buffered(SIDE_BY_SIDE).try_collect().await?;
    images.extend(found.into_iter().flatten());
    Ok(images)
}

/// One filter value for all these groups: what their names begin with. EC2 reads `*`, `?` and `\` in a filter's values
/// (EC2 User Guide, "Filter resources using wildcards"); where groups that are not ours share the beginning, their
/// instances fill the page too, and those of ours that it has no room for are asked for by name.
fn pattern(names: &[String]) -> String {
    let mut common = names.first().map_or("", String::as_str);
    for name in names {
        let same = common.chars().zip(name.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
        common = &common[..same];
    }
    let literal = |each: char| if matches!(each, '*' | '?' | '\\') { vec!['\\', each] } else { vec![each] };
    common.chars().flat_map(literal).chain(['*']).collect()
}

/// The instances of these groups, by name.
async fn instances_of(aws: &Aws, region: &Region, names: &[String]) -> Result<Vec<(String, String)>, AwsError> {
    let (mut images, mut next) = (Vec::new(), None);
    loop {
        let page = instances_page(aws, region, names.len(), names.to_vec(), next).await?;
        images.extend(page.0);
        next = page.1;
        if next.is_none() {
            return Ok(images);
        }
    }
}

/// A page of the instances that Auto Scaling tagged with one of these names, and where the next one begins.
async fn instances_page(
    aws: &Aws,
    region: &Region,
    groups: usize,
    values: Vec<String>,
    from: Option<String>,
) -> Result<(Vec<(String, String)>, Option<String>), AwsError> {
    let filter = Filter::builder().name("tag:aws:autoscaling:groupName").set_values(Some(values)).build();
    let call = aws.ec2(region).describe_instances().filters(filter).max_results(INSTANCES_A_PAGE);
    let call = call.set_next_token(from);
    let page = aws.patiently(Service::Ec2, region, || call.clone().send()).await;
    let object = format!("instances of {groups} groups in {}", aws.place(region));
    let page = page.map_err(|error| classify("ec2:DescribeInstances", &object, error))?;
    let images = images_of(page.reservations()).collect();
    Ok((images, page.next_token.filter(|token| !token.is_empty())))
}

fn images_of(reservations: &[Reservation]) -> impl Iterator<Item = (String, String)> + '_ {
    let instances = reservations.iter().flat_map(|reservation| reservation.instances());
    instances.filter_map(|instance| Some((instance.instance_id()?.to_owned(), instance.image_id()?.to_owned())))
}

fn observed(facts: &TemplateFacts, region: &Region, group: &Group, read: &Read) -> Result<Observed, TargetError> {
    let number = |template: &str, name: &str| read.versions.get(template, name).map(|version| version.number);
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
    let who = format!("group {}", group.name);
    for slot in group.slots() {
        let launches = read.launches(&slot);
        if let Some(dangling) = launches.image.and_then(|text| read.aliases.dangling(&who, text)) {
            return Err(dangling);
        }
        observed.notes.extend(launches.image.and_then(|text| read.aliases.unread(text)));
        let image = match (&slot.named, read.version(&slot.named)) {
            (Named::Image(image), _) => launched(region, image, &read.aliases),
            (Named::Version { version: name, .. }, Some(version)) => {
                observed.notes.extend(newer(read, version));
                observed.obstacles.extend(version.obstacle());
                slot_image(region, name, version, &read.aliases)
            }
            (Named::Version { template, .. }, None) if template.is_empty() => return Err(unreadable(region, group)),
            (Named::Version { template, version }, None) => return Err(dangling(group, template, version)),
        };
        let arch = architecture::decide(facts, &launches);
        observed
            .slots
            .insert(slot.name.clone(), SlotState { image, accepts: Accepts::Ami { region: region.clone(), arch } });
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

/// AWS deletes a template, or a version that is not the default, whoever launches from it (EC2 API, DeleteLaunchTemplate).
fn dangling(group: &Group, template: &str, version: &str) -> TargetError {
    let name = &group.name;
    TargetError::Dangling {
        what: format!("group {name} launches from version {version} of launch template {template}, which is not there"),
        hint: format!(
            "let the code make it again (terraform apply), or: aws autoscaling update-auto-scaling-group \
             --auto-scaling-group-name {name} --launch-template LaunchTemplateId=ID,Version=NUMBER"
        ),
    }
}

fn newer(read: &Read, version: &VersionOutline) -> Option<String> {
    let newest = read.versions.newest(&version.template).filter(|newest| *newest > version.number)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pattern_takes_all_names_and_reads_none_as_a_wildcard() {
        for (names, expected) in [
            (&["web-prod-1", "web-prod-2"][..], "web-prod-*"),
            (&["web", "web-2"], "web*"),
            (&["web", "api"], "*"),
            (&["a*b?c\\d1", "a*b?c\\d2"], "a\\*b\\?c\\\\d*"),
            (&["größe", "grün"], "gr*"),
        ] {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(pattern(&names), expected);
        }
    }
}
