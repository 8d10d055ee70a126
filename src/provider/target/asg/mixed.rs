//! A mixed instances policy: the images in it, and the same policy with other ones and nothing else changed.

use super::group::{Named, Slot};
use super::stand::{Spot, Stand, TEMPLATE};
use aws_sdk_autoscaling::types::{LaunchTemplateOverrides, LaunchTemplateSpecification, MixedInstancesPolicy};

/// The policy's images: its own template's, that of each override with a template of its own, and each override's
/// ImageId, which counts before any template (API reference, LaunchTemplateOverrides).
pub(super) fn slots(policy: &MixedInstancesPolicy) -> Vec<Slot> {
    let Some(template) = policy.launch_template() else { return Vec::new() };
    let overrides = || template.overrides().iter().zip(1..);
    let follows =
        |each: &LaunchTemplateOverrides| each.image_id().is_none() && each.launch_template_specification().is_none();
    let kind = |each: &LaunchTemplateOverrides| each.instance_type().map(str::to_owned);
    let types = overrides().filter(|(each, _)| follows(each)).filter_map(|(each, _)| kind(each)).collect();
    let own = template.launch_template_specification().map(named);
    let own = own.and_then(|named| Some(Slot { name: TEMPLATE.parse().ok()?, named, types }));
    let rest = overrides().filter_map(|(each, number)| {
        let image = each.image_id().map(|image| Named::Image(image.to_owned()));
        let named = image.or_else(|| each.launch_template_specification().map(named))?;
        Some(Slot { name: name(each, number).parse().ok()?, named, types: kind(each).into_iter().collect() })
    });
    own.into_iter().chain(rest).collect()
}

fn named(template: &LaunchTemplateSpecification) -> Named {
    let id = template.launch_template_id().unwrap_or_default().to_owned();
    Named::Version { template: id, version: template.version().unwrap_or("$Default").to_owned() }
}

/// An override is known by its instance type; one by requirements has none, and is counted from 1.
fn name(each: &LaunchTemplateOverrides, number: usize) -> String {
    each.instance_type().map_or_else(|| format!("override-{number}"), str::to_owned)
}

/// The policy as it is, with every slot where `stand` says.
pub(super) fn at(policy: &MixedInstancesPolicy, stand: &Stand) -> MixedInstancesPolicy {
    let mut policy = policy.clone();
    let Some(template) = &mut policy.launch_template else { return policy };
    let spot = |name: &str| stand.spots.iter().find(|(slot, _)| slot.as_str() == name).map(|(_, spot)| spot);
    if let Some(Spot::Version { template: id, number, .. }) = spot(TEMPLATE) {
        template.launch_template_specification = Some(specification(id, *number));
    }
    for (each, number) in template.overrides.iter_mut().flatten().zip(1..) {
        match spot(&name(each, number)) {
            Some(Spot::Version { template: id, number, .. }) => {
                each.launch_template_specification = Some(specification(id, *number));
            }
            Some(Spot::Image(image)) => {
                each.image_id = Some(image.clone());
                if let Some(template) = &mut each.launch_template_specification {
                    by_id(template);
                }
            }
            None => {}
        }
    }
    policy
}

pub(super) fn specification(template: &str, number: i64) -> LaunchTemplateSpecification {
    LaunchTemplateSpecification::builder().launch_template_id(template).version(number.to_string()).build()
}

/// AWS answers with id and name, and takes only one of them (API reference, LaunchTemplateSpecification).
fn by_id(template: &mut LaunchTemplateSpecification) {
    if template.launch_template_id.is_some() {
        template.launch_template_name = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::group;
    use super::*;
    use aws_sdk_autoscaling::types::{InstanceRequirements, InstancesDistribution, LaunchTemplate};

    fn template(id: &str, version: &str) -> LaunchTemplateSpecification {
        let named = LaunchTemplateSpecification::builder().launch_template_id(id).launch_template_name("web");
        named.version(version).build()
    }

    fn policy() -> MixedInstancesPolicy {
        let each = LaunchTemplateOverrides::builder;
        let overrides = vec![
            each().instance_type("m7i.large").weighted_capacity("2").build(),
            each().instance_type("t4g.small").launch_template_specification(template("lt-2", "3")).build(),
            each()
                .instance_requirements(InstanceRequirements::builder().bare_metal("excluded".into()).build())
                .launch_template_specification(template("lt-2", "$Latest"))
                .build(),
            each().instance_type("c7g.large").image_id("ami-0123").build(),
        ];
        let template = LaunchTemplate::builder()
            .launch_template_specification(template("lt-1", "7"))
            .set_overrides(Some(overrides));
        let distribution = InstancesDistribution::builder().spot_allocation_strategy("price-capacity-optimized");
        MixedInstancesPolicy::builder()
            .launch_template(template.build())
            .instances_distribution(distribution.build())
            .build()
    }

    fn stand(policy: &MixedInstancesPolicy) -> Stand {
        group::stand(true, slots(policy), |_, _| Some(9)).unwrap()
    }

    #[test]
    fn every_image_of_a_policy_is_a_slot() {
        let policy = policy();
        let types: Vec<(String, Vec<String>)> =
            slots(&policy).into_iter().map(|slot| (slot.name.to_string(), slot.types)).collect();
        let one = |kind: &str| vec![kind.to_owned()];
        assert_eq!(
            types,
            [
                ("template".to_owned(), one("m7i.large")),
                ("t4g.small".to_owned(), one("t4g.small")),
                ("override-3".to_owned(), Vec::new()),
                ("c7g.large".to_owned(), one("c7g.large")),
            ]
        );
        assert_eq!(
            stand(&policy).to_string(),
            "template=lt-1:7 c7g.large=ami-0123 override-3=lt-2:$Latest=9 t4g.small=lt-2:3"
        );
    }

    #[test]
    fn only_the_images_of_a_policy_change() {
        let policy = policy();
        let wanted = "template=lt-1:8 c7g.large=ami-4567 override-3,t4g.small=lt-2:10".parse().unwrap();
        let moved = at(&policy, &Stand::parse(&wanted).unwrap());
        assert_eq!(stand(&moved).revision(), Some(wanted));
        assert_eq!(moved.instances_distribution, policy.instances_distribution);
        let both = |policy: &MixedInstancesPolicy| policy.launch_template().unwrap().overrides().to_vec();
        for (before, after) in both(&policy).iter().zip(both(&moved)) {
            assert_eq!(before.weighted_capacity, after.weighted_capacity);
            assert_eq!(before.instance_requirements, after.instance_requirements);
            assert!(after.launch_template_specification.is_none_or(|spec| spec.launch_template_name.is_none()));
        }
        assert_eq!(stand(&at(&moved, &stand(&policy).pinned())), stand(&policy).pinned(), "and back again");
    }
}
