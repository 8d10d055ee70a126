//! One step on one group: pin, new version, refresh. Every call can be repeated after a crash without doing it twice.

use super::super::{Deployed, TargetError};
use super::group::{Group, Source, numeric};
use super::template::Version;
use super::{AsgTarget, Order, template_slot};
use crate::model::{AmiId, Deployment, ImageRef, Revision};
use crate::provider::aws::classify;
use aws_sdk_autoscaling::types::LaunchTemplateSpecification;
use std::sync::Arc;

/// A group with the template version it names.
struct Standing {
    group: Group,
    version: Arc<Version>,
    revision: Revision,
}

impl Standing {
    /// It is where the order leads: at a number, with the wanted image, and at the very revision where one is asked for.
    fn is_there(&self, order: &Order<'_>, wanted: &AmiId) -> bool {
        numeric(&self.revision).is_some()
            && self.version.image() == Some(wanted.as_str())
            && order.step.exact.as_ref().is_none_or(|exact| *exact == self.revision)
    }
}

impl AsgTarget {
    pub(super) async fn carry_out(&self, order: &Order<'_>) -> Result<Deployed, TargetError> {
        let wanted = self.wanted(order)?;
        let mut standing = self.standing().await?;
        if standing.revision != order.step.expect && !self.expected_move(order, &standing).await? {
            let (expected, found) = (order.step.expect.clone(), standing.revision);
            return Err(TargetError::Moved { target: self.spec.id.clone(), expected, found });
        }
        let active = if order.again || order.step.interrupts.is_some() { self.active().await? } else { None };
        if standing.is_there(order, &wanted) && standing.revision != order.step.expect && active.is_none() {
            // The refresh ended well after the plan was made: what runs is all that is left to be looked at.
            return Ok(Deployed { revision: standing.revision, deployment: None });
        }
        if let Some(active) = active.as_ref().filter(|active| order.step.interrupts.as_ref() == Some(&active.id)) {
            // Turning back is AWS's own way, and it keeps the group's size: taken where it leads to the wanted image.
            let saved_is_wanted = standing.version.image() == Some(wanted.as_str()) && order.step.exact.is_none();
            if saved_is_wanted && self.turn_back(active).await? {
                return Ok(Deployed { revision: standing.revision, deployment: Some(active.id.clone()) });
            }
            self.cancel_refresh(&active.id).await?;
            standing = self.standing().await?;
        }
        // Pinned before a version is made: a group at $Latest would launch from the new one at once.
        let standing = self.pin(standing).await?;
        let toward = self.version_for(order, &standing, &wanted).await?;
        if let Some(active) = active.filter(|active| order.step.interrupts.as_ref() != Some(&active.id)) {
            return self.ours(active, toward);
        }
        let deployment = self.start_refresh(&toward).await?;
        Ok(Deployed { revision: toward, deployment: Some(deployment) })
    }

    /// Whether the group went where the plan knew that it was going: a refresh may end between plan and order. It is
    /// either the one that this very order began before a crash (a dead process's last call may be heard late), or the one that this step was to interrupt.
    async fn expected_move(&self, order: &Order<'_>, standing: &Standing) -> Result<bool, TargetError> {
        if order.again && standing.is_there(order, &self.wanted(order)?) {
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

    fn wanted(&self, order: &Order<'_>) -> Result<AmiId, TargetError> {
        let change = order.step.slots.get(&template_slot()?);
        match change.map(|change| &change.to) {
            Some(ImageRef::Ami { region, id }) if *region == self.spec.region => Ok(id.clone()),
            _ => Err(TargetError::Refused {
                what: format!("the step has no AMI of {} for {}", self.spec.region, self.object()),
                hint: format!("imgctl promote {} with an artifact in {}", order.image, self.spec.region),
            }),
        }
    }

    /// The group as it is now: one DescribeAutoScalingGroups, and its version where that was not read before.
    async fn standing(&self) -> Result<Standing, TargetError> {
        let call = self.aws.autoscaling(&self.spec.region).describe_auto_scaling_groups();
        let answer = call.auto_scaling_group_names(&self.spec.group).send().await;
        let answer =
            answer.map_err(|error| classify("autoscaling:DescribeAutoScalingGroups", &self.object(), error))?;
        let group = answer.auto_scaling_groups().first().map(Group::new).ok_or_else(|| self.gone())?;
        let Source::Template { id, version } = &group.source else {
            let obstacle = group.obstacle();
            let what =
                obstacle.as_ref().map_or_else(String::new, |obstacle| format!("{} {}", self.object(), obstacle.what));
            return Err(TargetError::Refused { what, hint: obstacle.map(|obstacle| obstacle.fix).unwrap_or_default() });
        };
        let version = match version.parse() {
            Ok(number) => self.version(id, number).await?,
            Err(_) => self.named_version(id, version).await?,
        };
        let revision = group.revision(version.number).ok_or_else(|| self.gone())?;
        Ok(Standing { group, version, revision })
    }

    /// What `$Latest` or `$Default` means at this moment.
    async fn named_version(&self, template: &str, name: &str) -> Result<Arc<Version>, TargetError> {
        let found = super::template::read(&self.aws, &self.spec.region, template, &[name.to_owned()]).await?;
        let version = found.into_iter().next();
        let version = version
            .ok_or_else(|| TargetError::Gone { what: format!("version {name} of launch template {template}") })?;
        Ok(self.facts.keep(&self.spec.region, version))
    }

    /// A group at `$Latest` or `$Default` gets the number that this means now: AWS rolls back only what has a number.
    async fn pin(&self, standing: Standing) -> Result<Standing, TargetError> {
        let Source::Template { id, version } = &standing.group.source else { return Ok(standing) };
        if !version.starts_with('$') {
            return Ok(standing);
        }
        let number = standing.version.number.to_string();
        let specification = LaunchTemplateSpecification::builder().launch_template_id(id).version(number).build();
        let call = self.aws.autoscaling(&self.spec.region).update_auto_scaling_group();
        let answer = call.auto_scaling_group_name(&self.spec.group).launch_template(specification).send().await;
        answer.map_err(|error| classify("autoscaling:UpdateAutoScalingGroup", &self.object(), error))?;
        self.standing().await
    }

    /// The version to go to: the recorded one, the present one where its image is right, else a new one.
    async fn version_for(
        &self,
        order: &Order<'_>,
        standing: &Standing,
        wanted: &AmiId,
    ) -> Result<Revision, TargetError> {
        let template = &standing.version.template;
        let number = if let Some(exact) = &order.step.exact {
            let (recorded, number) = numeric(exact).ok_or_else(|| self.gone())?;
            let version = self.version(recorded, number).await?;
            if version.image() != Some(wanted.as_str()) || recorded != template {
                let what = format!("{exact} does not hold {wanted} any more, or is of another template");
                return Err(TargetError::Refused { what, hint: "roll back without --exact".to_owned() });
            }
            number
        } else if standing.version.image() == Some(wanted.as_str()) {
            standing.version.number
        } else {
            self.version_with(&standing.version, wanted, order).await?
        };
        format!("{template}:{number}").parse().map_err(|_| self.gone())
    }
}
