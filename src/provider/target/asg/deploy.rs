//! One step on one group: pin, new versions, refresh. Every call can be repeated after a crash without doing it twice.

use super::super::template::Version;
use super::super::{Deployed, TargetError};
use super::group::{Group, Named, Source};
use super::stand::{Spot, Stand};
use super::{AsgTarget, Order, mixed};
use crate::model::{AmiId, Deployment, ImageRef, Revision, SlotName};
use crate::provider::aws::{Service, classify};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A group with the template versions that it names.
struct Standing {
    group: Group,
    stand: Stand,
    /// Slot → its version; a slot with an image of its own has none.
    versions: BTreeMap<SlotName, Arc<Version>>,
    revision: Revision,
}

/// Slot → the AMI it shall hold.
type Wanted = BTreeMap<SlotName, AmiId>;

impl Standing {
    /// The image that a slot launches now.
    fn image(&self, slot: &SlotName) -> Option<&str> {
        match self.stand.spots.get(slot)? {
            Spot::Image(image) => Some(image),
            Spot::Version { .. } => self.versions.get(slot)?.image(),
        }
    }

    fn holds(&self, wanted: &Wanted) -> bool {
        wanted.iter().all(|(slot, image)| self.image(slot) == Some(image.as_str()))
    }

    /// It is where the order leads: at numbers, with the wanted images, and at the very revision where one is asked for.
    fn is_there(&self, order: &Order<'_>, wanted: &Wanted) -> bool {
        self.stand.is_pinned()
            && self.holds(wanted)
            && order.step.exact.as_ref().is_none_or(|exact| *exact == self.revision)
    }
}

impl AsgTarget {
    pub(super) async fn carry_out(&self, order: &Order<'_>) -> Result<Deployed, TargetError> {
        let mut standing = self.standing().await?;
        let wanted = self.wanted(order, &standing)?;
        if standing.revision != order.step.expect && !self.expected_move(order, &standing, &wanted).await? {
            let (expected, found) = (order.step.expect.clone(), standing.revision);
            return Err(TargetError::Moved { target: self.spec.id.clone(), expected, found });
        }
        let active = if order.again || order.step.interrupts.is_some() { self.active().await? } else { None };
        if standing.is_there(order, &wanted) && standing.revision != order.step.expect && active.is_none() {
            // The refresh ended well after the plan was made: what runs is all that is left to be looked at.
            return Ok(Deployed { revision: standing.revision, deployment: None });
        }
        if let Some(active) = active.as_ref().filter(|active| order.step.interrupts.as_ref() == Some(&active.id)) {
            // Turning back is AWS's own way, and it keeps the group's size: taken where it leads to the wanted images.
            let saved_is_wanted = standing.holds(&wanted) && order.step.exact.is_none();
            if saved_is_wanted && self.turn_back(active).await? {
                return Ok(Deployed { revision: standing.revision, deployment: Some(active.id.clone()) });
            }
            self.cancel_refresh(&active.id).await?;
            standing = self.standing().await?;
        }
        // Pinned before a version is made: a group at $Latest would launch from the new one at once.
        let standing = self.pin(standing).await?;
        let toward = self.toward(order, &standing, &wanted).await?;
        let revision = toward.revision().ok_or_else(|| self.gone())?;
        if let Some(active) = active.filter(|active| order.step.interrupts.as_ref() != Some(&active.id)) {
            return self.ours(active, revision);
        }
        let deployment = self.start_refresh(&standing.group, &toward, &revision).await?;
        Ok(Deployed { revision, deployment: Some(deployment) })
    }

    /// Whether the group went where the plan knew that it was going: a refresh may end between plan and order. It is
    /// either the one that this very order began before a crash (a dead process's last call may be heard late), or the one that this step was to interrupt.
    async fn expected_move(
        &self,
        order: &Order<'_>,
        standing: &Standing,
        wanted: &Wanted,
    ) -> Result<bool, TargetError> {
        if order.again && standing.is_there(order, wanted) {
            return Ok(true);
        }
        let Some(interrupts) = &order.step.interrupts else { return Ok(false) };
        Ok(self.refresh(interrupts).await?.toward.as_ref() == Some(&standing.revision))
    }

    /// A refresh under way that leads where this order leads was started by it, before a crash.
    fn ours(&self, active: Deployment, toward: Revision) -> Result<Deployed, TargetError> {
        if active.toward.as_ref() == Some(&toward) {
            return Ok(Deployed { revision: toward, deployment: Some(active.id) });
        }
        Err(self.busy(&active))
    }

    /// What the order wants of every slot that the group has now.
    fn wanted(&self, order: &Order<'_>, standing: &Standing) -> Result<Wanted, TargetError> {
        let image = |slot: &SlotName| match order.step.slots.get(slot).map(|change| &change.to) {
            Some(ImageRef::Ami { region, id }) if *region == self.spec.region => Ok((slot.clone(), id.clone())),
            _ => Err(TargetError::Refused {
                what: format!("the step has no AMI of {} for slot {slot} of {}", self.spec.region, self.object()),
                hint: format!("imgctl promote {} with an artifact in {}", order.image, self.spec.region),
            }),
        };
        standing.stand.spots.keys().map(image).collect()
    }

    /// The group as it is now: one DescribeAutoScalingGroups, and its versions where they were not read before.
    async fn standing(&self) -> Result<Standing, TargetError> {
        let call = self.aws.autoscaling(&self.spec.region).describe_auto_scaling_groups();
        let call = call.auto_scaling_group_names(&self.spec.group);
        let answer = self.aws.patiently(Service::AutoScaling, &self.spec.region, || call.clone().send()).await;
        let answer =
            answer.map_err(|error| classify("autoscaling:DescribeAutoScalingGroups", &self.object(), error))?;
        let group = answer.auto_scaling_groups().first().map(Group::new).ok_or_else(|| self.gone())?;
        if let Some(obstacle) = group.obstacle() {
            let what = format!("{} {}", self.object(), obstacle.what);
            return Err(TargetError::Refused { what, hint: obstacle.fix });
        }
        let mut versions = BTreeMap::new();
        let mut numbers: BTreeMap<(String, String), i64> = BTreeMap::new();
        for slot in group.slots() {
            let Named::Version { template, version } = slot.named else { continue };
            let found = match version.parse() {
                Ok(number) => self.templates.version(&template, number).await?,
                Err(_) => self.templates.named_version(&template, &version).await?,
            };
            numbers.insert((template, version), found.number);
            versions.insert(slot.name, found);
        }
        let number = |template: &str, name: &str| numbers.get(&(template.to_owned(), name.to_owned())).copied();
        let stand = group.stand(number).ok_or_else(|| self.gone())?;
        let revision = stand.revision().ok_or_else(|| self.gone())?;
        Ok(Standing { group, stand, versions, revision })
    }

    /// A group at `$Latest` or `$Default` gets the number that this means now: AWS rolls back only what has a number.
    async fn pin(&self, standing: Standing) -> Result<Standing, TargetError> {
        if standing.stand.is_pinned() {
            return Ok(standing);
        }
        let (template, policy) = described(&standing.group.source, &standing.stand.pinned());
        let call = self.aws.autoscaling(&self.spec.region).update_auto_scaling_group();
        let call = call.auto_scaling_group_name(&self.spec.group).set_launch_template(template);
        let call = call.set_mixed_instances_policy(policy);
        let answer = self.aws.in_turn(Service::AutoScaling, &self.spec.region, call.send()).await;
        answer.map_err(|error| classify("autoscaling:UpdateAutoScalingGroup", &self.object(), error))?;
        self.standing().await
    }

    /// Where every slot is to go: the recorded version, the present one where its image is right, else a new one.
    async fn toward(&self, order: &Order<'_>, standing: &Standing, wanted: &Wanted) -> Result<Stand, TargetError> {
        let mut toward = standing.stand.clone();
        let recorded = match &order.step.exact {
            Some(exact) => Some((exact, Stand::parse(exact).ok_or_else(|| self.gone())?.pinned())),
            None => None,
        };
        // Overrides with one template go to one version: made once, under one token.
        let mut made: BTreeMap<(String, i64, &AmiId), i64> = BTreeMap::new();
        for (slot, spot) in &mut toward.spots {
            let Some(image) = wanted.get(slot) else { continue };
            if let Some((exact, recorded)) = &recorded {
                *spot = self.recorded_spot(slot, spot, recorded, exact, image).await?;
                continue;
            }
            match (spot, standing.versions.get(slot)) {
                (Spot::Image(held), _) => *held = image.to_string(),
                (Spot::Version { .. }, Some(version)) if version.image() == Some(image.as_str()) => {}
                (Spot::Version { number, .. }, Some(version)) => {
                    let key = (version.template.clone(), version.number, image);
                    *number = match made.get(&key) {
                        Some(number) => *number,
                        None => {
                            let token = token(order, version.number, made.len());
                            let number = self.templates.version_with(version, image, token, order.again).await?;
                            made.insert(key, number);
                            number
                        }
                    };
                }
                (Spot::Version { .. }, None) => return Err(self.gone()),
            }
        }
        Ok(toward)
    }

    /// The recorded spot itself, where it still is what it was.
    async fn recorded_spot(
        &self,
        slot: &SlotName,
        present: &Spot,
        recorded: &Stand,
        exact: &Revision,
        image: &AmiId,
    ) -> Result<Spot, TargetError> {
        let spot = recorded.spots.get(slot);
        let holds = match (spot, present) {
            (Some(Spot::Version { template, number, .. }), Spot::Version { template: now, .. }) if template == now => {
                self.templates.version(template, *number).await?.image() == Some(image.as_str())
            }
            (Some(Spot::Image(recorded)), Spot::Image(_)) => recorded == image.as_str(),
            _ => false,
        };
        match spot.filter(|_| holds) {
            Some(spot) => Ok(spot.clone()),
            None => Err(TargetError::Refused {
                what: format!("{exact} does not hold {image} for slot {slot} any more, or is of another template"),
                hint: "roll back without --exact".to_owned(),
            }),
        }
    }
}

/// The token of a version: one for every version that an order makes, and the same when it is ordered again.
fn token(order: &Order<'_>, source: i64, made: usize) -> String {
    if made == 0 { format!("{}-{source}", order.token) } else { format!("{}-{source}.{made}", order.token) }
}

/// The launch template or the mixed instances policy that says so: AWS takes the one or the other.
pub(super) fn described(
    source: &Source,
    stand: &Stand,
) -> (
    Option<aws_sdk_autoscaling::types::LaunchTemplateSpecification>,
    Option<aws_sdk_autoscaling::types::MixedInstancesPolicy>,
) {
    match source {
        Source::Mixed(policy) => (None, Some(mixed::at(policy, stand))),
        _ => {
            let spot = stand.spots.values().next();
            let template = spot.and_then(|spot| match spot {
                Spot::Version { template, number, .. } => Some(mixed::specification(template, *number)),
                Spot::Image(_) => None,
            });
            (template, None)
        }
    }
}
