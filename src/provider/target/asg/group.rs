//! An Auto Scaling group as DescribeAutoScalingGroups tells it, reduced to what matters for its image.

use crate::model::{Obstacle, Revision};
use aws_sdk_autoscaling::types::{AutoScalingGroup, Instance, LifecycleState};

/// What the group launches from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A launch template's id and the version as the group says it: a number, `$Latest` or `$Default`.
    Template { id: String, version: String },
    /// A launch configuration: immutable and not versioned.
    LaunchConfiguration(String),
    /// A mixed instances policy.
    Mixed,
    /// Nothing that could be read.
    None,
}

/// One group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) desired: u32,
    /// Instances that count as running: neither going away nor in standby.
    pub(super) instances: Vec<String>,
}

impl Group {
    pub(super) fn new(group: &AutoScalingGroup) -> Self {
        let source = if group.mixed_instances_policy().is_some() {
            Source::Mixed
        } else if let Some(template) = group.launch_template() {
            let version = template.version().unwrap_or("$Default").to_owned();
            Source::Template { id: template.launch_template_id().unwrap_or_default().to_owned(), version }
        } else if let Some(name) = group.launch_configuration_name() {
            Source::LaunchConfiguration(name.to_owned())
        } else {
            Source::None
        };
        let desired = group.desired_capacity().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        let instances = group.instances().iter().filter(|instance| counts(instance));
        let instances: Vec<String> =
            instances.filter_map(|instance| instance.instance_id().map(str::to_owned)).collect();
        // An instance in standby was taken out by a person, and is not expected to run.
        Self { name: group.auto_scaling_group_name().unwrap_or_default().to_owned(), source, desired, instances }
    }

    /// Why this group cannot be moved as it is.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        let (what, fix) = match &self.source {
            Source::Template { .. } => return None,
            Source::LaunchConfiguration(name) => (
                format!("uses launch configuration {name}, which has no versions"),
                "create a launch template from it, and give the group its number (AWS: migrate to launch templates)",
            ),
            Source::Mixed => (
                "uses a mixed instances policy, which imgctl 0.1 does not move".to_owned(),
                "use a launch template in the group itself, or move this group by other means",
            ),
            Source::None => {
                ("has no launch template".to_owned(), "give the group a launch template with a numeric version")
            }
        };
        Some(Obstacle { what, fix: fix.to_owned() })
    }

    /// The revision when the version it names is `number` now.
    pub(super) fn revision(&self, number: i64) -> Option<Revision> {
        match &self.source {
            Source::Template { id, version } if version.starts_with('$') => {
                format!("{id}:{version}={number}").parse().ok()
            }
            Source::Template { id, .. } => format!("{id}:{number}").parse().ok(),
            Source::LaunchConfiguration(name) => format!("launch-configuration:{name}").parse().ok(),
            Source::Mixed => "mixed-instances-policy".parse().ok(),
            Source::None => "none".parse().ok(),
        }
    }
}

/// Whether an instance counts as one that the group runs.
fn counts(instance: &Instance) -> bool {
    let state = instance.lifecycle_state().map_or("", LifecycleState::as_str);
    !state.starts_with("Terminat")
        && !state.contains("Standby")
        && !state.starts_with("Detach")
        && !state.starts_with("Warmed")
}

/// Template id and version number of a numeric revision, `lt-0abc:7`.
pub(super) fn numeric(revision: &Revision) -> Option<(&str, i64)> {
    let (id, version) = revision.as_str().rsplit_once(':')?;
    Some((id, version.parse().ok()?))
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
        assert_eq!(group("7").revision(7).unwrap().as_str(), "lt-1:7");
        assert_eq!(group("$Latest").revision(7).unwrap().as_str(), "lt-1:$Latest=7");
        assert_eq!(numeric(&"lt-1:7".parse().unwrap()), Some(("lt-1", 7)));
        assert_eq!(numeric(&"lt-1:$Latest=7".parse().unwrap()), None);
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
}
