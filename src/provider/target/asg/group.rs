//! An Auto Scaling group as DescribeAutoScalingGroups tells it, reduced to what matters for its image.

use super::mixed;
use super::stand::{Spot, Stand, TEMPLATE};
use crate::model::{Obstacle, Revision, SlotName};
use crate::provider::aws::account_of;
use aws_sdk_autoscaling::types::{AutoScalingGroup, Instance, LifecycleState, MixedInstancesPolicy};

/// What the group launches from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// A launch template's id and the version as the group says it: a number, `$Latest` or `$Default`.
    Template { id: String, version: String },
    /// A mixed instances policy, whole: what is not an image goes back as it came.
    Mixed(Box<MixedInstancesPolicy>),
    /// A launch configuration: immutable and not versioned.
    LaunchConfiguration(String),
    /// Nothing that could be read.
    None,
}

/// What one slot launches from, as the group says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    Version { template: String, version: String },
    Image(String),
}

/// One image of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) name: SlotName,
    pub(super) named: Named,
    /// The instance types that are launched with it; empty where the template itself says so.
    pub(super) types: Vec<String>,
}

/// One group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) name: String,
    /// Twelve digits, where AWS says them.
    pub(super) account: Option<String>,
    pub(super) source: Source,
    /// In instances, whatever the unit of the group's capacity.
    pub(super) desired: u32,
    /// Instances that count as running: neither going away nor in standby.
    pub(super) instances: Vec<String>,
}

impl Group {
    pub(super) fn new(group: &AutoScalingGroup) -> Self {
        let source = if let Some(policy) = group.mixed_instances_policy() {
            Source::Mixed(Box::new(policy.clone()))
        } else if let Some(template) = group.launch_template() {
            let version = template.version().unwrap_or("$Default").to_owned();
            Source::Template { id: template.launch_template_id().unwrap_or_default().to_owned(), version }
        } else if let Some(name) = group.launch_configuration_name() {
            Source::LaunchConfiguration(name.to_owned())
        } else {
            Source::None
        };
        // An instance in standby was taken out by a person, and is not expected to run.
        let counting: Vec<&Instance> = group.instances().iter().filter(|instance| counts(instance)).collect();
        let desired = group.desired_capacity().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        let instances = counting.iter().filter_map(|instance| instance.instance_id().map(str::to_owned)).collect();
        Self {
            name: group.auto_scaling_group_name().unwrap_or_default().to_owned(),
            account: group.auto_scaling_group_arn().and_then(account_of).map(str::to_owned),
            source,
            desired: in_instances(desired, &counting),
            instances,
        }
    }

    /// Its images: that of its own template first, then those of the overrides that have one of their own.
    pub(super) fn slots(&self) -> Vec<Slot> {
        match &self.source {
            Source::Template { id, version } => {
                let named = Named::Version { template: id.clone(), version: version.clone() };
                let slot = TEMPLATE.parse().map(|name| Slot { name, named, types: Vec::new() });
                slot.into_iter().collect()
            }
            Source::Mixed(policy) => mixed::slots(policy),
            Source::LaunchConfiguration(_) | Source::None => Vec::new(),
        }
    }

    /// Why this group cannot be moved as it is.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        let (what, fix) = match &self.source {
            Source::Template { .. } | Source::Mixed(_) => return None,
            Source::LaunchConfiguration(name) => (
                format!("uses launch configuration {name}, which has no versions"),
                "create a launch template from it, and give the group its number (AWS: migrate to launch templates)",
            ),
            Source::None => {
                ("has no launch template".to_owned(), "give the group a launch template with a numeric version")
            }
        };
        Some(Obstacle { what, fix: fix.to_owned() })
    }

    /// Where it stands; `number` says which version of a template `$Latest` or `$Default` means now.
    pub(super) fn stand(&self, number: impl Fn(&str, &str) -> Option<i64>) -> Option<Stand> {
        let slots = self.slots();
        let stand = stand(matches!(self.source, Source::Mixed(_)), slots, number)?;
        Some(stand).filter(|stand| !stand.spots.is_empty())
    }

    /// The revision of a group that stands nowhere.
    pub(super) fn without_versions(&self) -> Option<Revision> {
        match &self.source {
            Source::LaunchConfiguration(name) => format!("launch-configuration:{name}").parse().ok(),
            Source::None => "none".parse().ok(),
            Source::Template { .. } | Source::Mixed(_) => None,
        }
    }
}

/// Where these slots stand; `None` when a version cannot be told.
pub(super) fn stand(mixed: bool, slots: Vec<Slot>, number: impl Fn(&str, &str) -> Option<i64>) -> Option<Stand> {
    let spot = |slot: Slot| {
        let spot = match slot.named {
            Named::Image(image) => Spot::Image(image),
            Named::Version { template, version } => match version.parse() {
                Ok(number) => Spot::Version { template, number, through: None },
                Err(_) => Spot::Version { number: number(&template, &version)?, template, through: Some(version) },
            },
        };
        Some((slot.name, spot))
    };
    let spots = slots.into_iter().map(spot).collect::<Option<_>>()?;
    Some(Stand { mixed, spots })
}

/// Whether an instance counts as one that the group runs.
fn counts(instance: &Instance) -> bool {
    let state = instance.lifecycle_state().map_or("", LifecycleState::as_str);
    !state.starts_with("Terminat")
        && !state.contains("Standby")
        && !state.starts_with("Detach")
        && !state.starts_with("Warmed")
}

/// A group with weights counts its capacity in units (Auto Scaling User Guide, "Configure an Auto Scaling group to use
/// instance weights"): it has what it wants when the weights add up, and is short of an instance while they do not.
fn in_instances(desired: u32, counting: &[&Instance]) -> u32 {
    let weight = |instance: &&Instance| instance.weighted_capacity().and_then(|weight| weight.parse::<u32>().ok());
    if counting.iter().all(|instance| weight(instance).is_none()) {
        return desired;
    }
    let units: u32 = counting.iter().map(|instance| weight(instance).unwrap_or(1)).sum();
    let count = u32::try_from(counting.len()).unwrap_or(u32::MAX);
    if units >= desired { count } else { count.saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_autoscaling::types::LaunchTemplateSpecification;

    fn group(version: &str) -> Group {
        let template = LaunchTemplateSpecification::builder().launch_template_id("lt-1").version(version).build();
        Group::new(&AutoScalingGroup::builder().auto_scaling_group_name("web").launch_template(template).build())
    }

    #[test]
    fn a_revision_tells_a_number_from_a_name_that_moves() {
        let revision = |version: &str| group(version).stand(|_, _| Some(7)).unwrap().to_string();
        assert_eq!(revision("7"), "lt-1:7");
        assert_eq!(revision("$Latest"), "lt-1:$Latest=7");
        assert!(group("$Latest").stand(|_, _| None).is_none(), "what it means is not known");
    }

    #[test]
    fn instances_on_their_way_out_do_not_count() {
        let instance = |state: &str| Instance::builder().instance_id(state).lifecycle_state(state.into()).build();
        let states = [
            "InService",
            "Pending",
            "Pending:Wait",
            "Terminating",
            "Terminated",
            "Standby",
            "EnteringStandby",
            "Detaching",
        ];
        let group =
            AutoScalingGroup::builder().set_instances(Some(states.iter().map(|s| instance(s)).collect())).build();
        assert_eq!(Group::new(&group).instances, ["InService", "Pending", "Pending:Wait"]);
    }

    #[test]
    fn weights_are_units_and_not_instances() {
        let instance = |weight: &str| Instance::builder().weighted_capacity(weight).build();
        let desired = |units: i32, weights: &[&str]| {
            let instances = weights.iter().map(|weight| instance(weight)).collect();
            let group = AutoScalingGroup::builder().desired_capacity(units).set_instances(Some(instances));
            Group::new(&group.build()).desired
        };
        assert_eq!(desired(8, &["4", "4"]), 2);
        assert_eq!(desired(8, &["4"]), 2, "four units are missing: one instance at least");
        assert_eq!(desired(8, &["4", "8"]), 2, "AWS may overshoot with the last one");
    }
}
