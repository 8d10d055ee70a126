//! One step on one service: a revision with the image, then UpdateService. Every call can be repeated after a crash.

use super::super::{Deployed, Order};
use super::definition::Definition;
use super::deployments::{definition_of, described, newest_brief};
use super::revisions::{self, short};
use super::service::{Service, time};
use super::{EcsTarget, TargetError, survey};
use crate::model::{Artifact, Deployment, Image, ImageRef, Obstacle, Outlook, Revision, Step};
use crate::provider::aws::{self, classify};
use jiff::Timestamp;
use std::sync::Arc;

/// How often a deployment that has just begun is looked for.
const LOOKS: u32 = 4;
/// A service deployment and the entry of the service's own list are made one after the other, seconds apart at most.
const APART: i64 = 5;

/// A service with the task definition it is at.
struct Standing {
    service: Service,
    definition: Arc<Definition>,
    revision: Revision,
}

impl EcsTarget {
    pub(super) async fn carry_out(&self, order: &Order<'_>) -> Result<Deployed, TargetError> {
        let wanted = self.wanted(order)?;
        let standing = self.standing().await?;
        let moved = standing.revision != order.step.expect;
        if moved && !self.expected_move(order, &standing, &wanted).await? {
            let (expected, found) = (order.step.expect.clone(), standing.revision);
            return Err(TargetError::Moved { target: self.spec.id.clone(), expected, found });
        }
        let active =
            if order.again || order.step.interrupts.is_some() { self.active(&standing.service).await? } else { None };
        if let Some(active) = active.as_ref().filter(|active| order.step.interrupts.as_ref() == Some(&active.id))
            && let Some(back) = self.turned_back(order, active, &wanted).await?
        {
            return Ok(Deployed { revision: back, deployment: Some(active.id.clone()) });
        }
        let toward = self.revision_for(order, &standing, &wanted).await?;
        let there = standing.revision.as_str() == toward.arn;
        if there {
            let revision = standing.revision;
            if let Some(active) = active.filter(|active| active.toward.as_ref() == Some(&revision)) {
                return Ok(Deployed { revision, deployment: Some(active.id) });
            }
            if moved {
                // It ended well after the plan was made: what runs is all that is left to be looked at.
                return Ok(Deployed { revision, deployment: None });
            }
        }
        self.update(&toward, there).await
    }

    fn wanted(&self, order: &Order<'_>) -> Result<ImageRef, TargetError> {
        let change = order.step.slots.get(&self.spec.settings.container);
        match change.map(|change| &change.to) {
            Some(image @ ImageRef::Oci { .. }) => Ok(image.clone()),
            _ => Err(TargetError::Refused {
                what: format!("the step has no container image for {}", self.spec.object(&self.aws)),
                hint: format!("imgctl promote {} with an image in a registry", order.image),
            }),
        }
    }

    /// The service as it is now, with its task definition read anew: its tags may have changed.
    async fn standing(&self) -> Result<Standing, TargetError> {
        let service = survey::one(&self.aws, &self.spec).await?;
        if let Some(Obstacle { what, fix }) = service.obstacle() {
            return Err(TargetError::Refused { what: format!("{} {what}", self.spec.object(&self.aws)), hint: fix });
        }
        let arn = service.definition.clone().ok_or_else(|| self.spec.gone(&self.aws))?;
        let definition = self.fresh(&arn).await?;
        let revision = arn.parse().map_err(|_| self.spec.gone(&self.aws))?;
        Ok(Standing { service, definition, revision })
    }

    /// Whether the service went where the plan knew that it could go: to what this very order made before a crash, or
    /// back from the deployment that this step was to interrupt.
    async fn expected_move(
        &self,
        order: &Order<'_>,
        standing: &Standing,
        wanted: &ImageRef,
    ) -> Result<bool, TargetError> {
        let holds = standing.definition.holds(&self.spec.settings.container, wanted);
        if order.again && holds {
            return Ok(true);
        }
        let Some(interrupts) = &order.step.interrupts else { return Ok(false) };
        let Some(found) = described(&self.aws, &self.spec, interrupts).await? else { return Ok(false) };
        let back = found.rollback().and_then(|rollback| rollback.service_revision_arn());
        let Some(back) = back else { return Ok(false) };
        let to = definition_of(&self.aws, &self.facts, &self.spec, back).await?;
        Ok(to.as_ref() == Some(&standing.revision))
    }

    /// ECS's own way back keeps what still runs: taken where it leads to the wanted image.
    async fn turned_back(
        &self,
        order: &Order<'_>,
        active: &Deployment,
        wanted: &ImageRef,
    ) -> Result<Option<Revision>, TargetError> {
        let Some(found) = described(&self.aws, &self.spec, &active.id).await? else { return Ok(None) };
        let [source] = found.source_service_revisions() else { return Ok(None) };
        let Some(arn) = source.arn() else { return Ok(None) };
        let Some(back) = definition_of(&self.aws, &self.facts, &self.spec, arn).await? else { return Ok(None) };
        let fits = order.step.exact.as_ref().is_none_or(|exact| *exact == back)
            && self.definition(back.as_str()).await?.holds(&self.spec.settings.container, wanted);
        Ok(if fits && self.turn_back(&active.id).await? { Some(back) } else { None })
    }

    /// The revision to go to: the recorded one, or the present one with the image replaced.
    async fn revision_for(
        &self,
        order: &Order<'_>,
        standing: &Standing,
        wanted: &ImageRef,
    ) -> Result<Arc<Definition>, TargetError> {
        let Some(exact) = &order.step.exact else { return self.like(&standing.definition, wanted).await };
        match self.fresh(exact.as_str()).await {
            Ok(recorded) if !recorded.holds(&self.spec.settings.container, wanted) => {
                let what = format!("{} does not hold {}", short(&recorded.arn), wanted.short());
                Err(TargetError::Refused { what, hint: "roll back without --exact".to_owned() })
            }
            Ok(recorded) if recorded.is_active() => Ok(recorded),
            // Deregistered: what it says can still be read, and is registered anew.
            Ok(recorded) => self.like(&recorded, wanted).await,
            // Deleted: what it said is nowhere any more (the ledger keeps no environment, which may hold secrets).
            Err(TargetError::Gone { .. }) => self.like(&standing.definition, wanted).await,
            Err(error) => Err(error),
        }
    }

    /// Points the service at a revision. `again`: it is there already, and its tasks are to be replaced all the same.
    async fn update(&self, toward: &Definition, again: bool) -> Result<Deployed, TargetError> {
        let settings = &self.spec.settings;
        let call = self.aws.ecs(&self.spec.region).update_service().cluster(&settings.cluster);
        let call = call.service(&settings.service).task_definition(&toward.arn);
        let call = call.set_force_new_deployment(again.then_some(true));
        let answer = self.aws.in_turn(aws::Service::Ecs, &self.spec.region, call.send()).await;
        let answer = answer.map_err(|error| classify("ecs:UpdateService", &self.spec.object(&self.aws), error))?;
        let service = match answer.service() {
            Some(service) => Service::new(service),
            None => survey::one(&self.aws, &self.spec).await?,
        };
        let revision: Revision = toward.arn.parse().map_err(|_| self.spec.gone(&self.aws))?;
        let deployment = self.begun(&service, &revision).await?;
        Ok(Deployed { revision, deployment })
    }

    /// The service deployment that an update began; it may be seen a moment later than the update's answer. Where ECS
    /// tells of none, the service's own list has one.
    async fn begun(&self, service: &Service, toward: &Revision) -> Result<Option<String>, TargetError> {
        let Some(primary) = service.primary() else { return Ok(None) };
        let since = time(primary.created_at()).map_or(0, Timestamp::as_second) - APART;
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(self.spec.settings.poll_interval).await;
            }
            let Some(brief) = newest_brief(&self.aws, &self.spec, service).await? else { break };
            let (Some(id), Some(revision)) = (brief.service_deployment_arn(), brief.target_service_revision_arn())
            else {
                break;
            };
            let new = time(brief.created_at()).is_some_and(|at| at.as_second() >= since);
            let to = definition_of(&self.aws, &self.facts, &self.spec, revision).await?;
            if new && to.as_ref() == Some(toward) {
                return Ok(Some(id.to_owned()));
            }
        }
        Ok(primary.id().map(str::to_owned))
    }

    /// What would make the step fail: tasks that are started on a processor for which the image has nothing.
    pub(super) async fn foresee(&self, image: &Image, step: &Step) -> Result<Outlook, TargetError> {
        let mut outlook = Outlook::default();
        let container = &self.spec.settings.container;
        let Some(change) = step.slots.get(container) else { return Ok(outlook) };
        let arn = step.expect.as_str();
        let definition = revisions::outline(&self.aws, &self.facts, &self.spec.region, arn, None).await?;
        let Some(architecture) = definition.architecture() else { return Ok(outlook) };
        let artifact = image.artifacts.iter().find(|artifact| artifact.address() == change.to);
        if let Some(Artifact::Oci(oci)) = artifact
            && !oci.platforms.is_empty()
            && !oci.platforms.keys().any(|platform| is_for(platform, architecture))
        {
            let has: Vec<&str> = oci.platforms.keys().map(String::as_str).collect();
            let what = format!(
                "{} starts its tasks on linux/{architecture}, and {} has only {}",
                short(arn),
                image.key,
                has.join(", ")
            );
            let fix = "build the image for that platform too, or change runtimePlatform of the task definition";
            outlook.obstacles.push(Obstacle { what, fix: fix.to_owned() });
        }
        Ok(outlook)
    }
}

/// `linux/arm64/v8` is for `arm64`, and so is `windows/arm64`.
fn is_for(platform: &str, architecture: &str) -> bool {
    platform.split('/').nth(1) == Some(architecture)
}
