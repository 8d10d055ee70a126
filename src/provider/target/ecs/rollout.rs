//! Service deployments: read, followed to their end with the reasons of tasks that failed, and turned back.

use super::deployments::{definition_of, described, newest};
use super::service::{Service, count, percent, time};
use super::{EcsTarget, TargetError, survey, tasks};
use crate::model::{Deployment, Motion, Revision};
use crate::provider::aws::{self, AwsError, classify};
use aws_sdk_ecs::types::{
    ServiceDeployment, ServiceDeploymentRollbackMonitorsStatus as Monitor, ServiceDeploymentStatus as Status,
    StopServiceDeploymentStopType,
};
use std::time::Duration;

/// How often a deployment that is to stop is asked whether it has.
const STOPPING: Duration = Duration::from_secs(2);

/// What ECS says of a service deployment; `toward`: the task definition of its target.
pub(super) fn deployment(found: &ServiceDeployment, toward: Option<Revision>) -> Deployment {
    let target = found.target_service_revision();
    let of = |number: Option<i32>| count(number.unwrap_or(0));
    let wanted = of(target.map(|target| target.requested_task_count()));
    let running = of(target.map(|target| target.running_task_count()));
    Deployment {
        id: found.service_deployment_arn().unwrap_or_default().to_owned(),
        motion: motion(found),
        toward,
        started: time(found.created_at()),
        percent: percent(running, wanted),
        left: wanted.saturating_sub(running),
    }
}

fn motion(found: &ServiceDeployment) -> Motion {
    let said = found.status_reason().map(str::to_owned);
    let reason = || {
        let rollback = found.rollback().and_then(|rollback| rollback.reason()).map(str::to_owned);
        rollback.or(said.clone()).unwrap_or_else(|| "AWS gives no reason".to_owned())
    };
    let Some(status) = found.status() else { return Motion::Failed { reason: reason() } };
    let phase = status.as_str().to_owned();
    match status {
        Status::Successful => Motion::Succeeded,
        // Stopped by ECS because it failed, or by a person, or because another one began.
        Status::Stopped if gave_up(found) => Motion::Failed { reason: reason() },
        Status::Stopped => Motion::Cancelled { reason: reason() },
        Status::RollbackSuccessful => Motion::RolledBack { reason: reason() },
        Status::RollbackFailed => Motion::Failed { reason: reason() },
        Status::StopRequested | Status::RollbackRequested | Status::RollbackInProgress => {
            Motion::Returning { phase, note: said }
        }
        // PENDING, IN_PROGRESS, and what AWS may add: under way until it says otherwise.
        _ => Motion::Moving { phase, note: None },
    }
}

/// The circuit breaker or an alarm ended it.
fn gave_up(found: &ServiceDeployment) -> bool {
    let breaker = found.deployment_circuit_breaker().and_then(|breaker| breaker.status());
    let alarms = found.alarms().and_then(|alarms| alarms.status());
    breaker == Some(&Monitor::Triggered) || alarms == Some(&Monitor::Triggered)
}

/// Tasks failed, or may have: without a circuit breaker ECS counts none.
fn failing(found: &ServiceDeployment) -> bool {
    found.deployment_circuit_breaker().is_none_or(|breaker| {
        breaker.failure_count() > 0 || matches!(breaker.status(), None | Some(&Monitor::Disabled))
    })
}

impl EcsTarget {
    /// How far a deployment has come; where tasks failed, with their reasons.
    pub(super) async fn rollout(&self, id: &str) -> Result<Deployment, TargetError> {
        if !is_arn(id) {
            return Ok(survey::one(&self.aws, &self.spec).await?.end_of(id));
        }
        let found = described(&self.aws, &self.spec, id).await?;
        let found = found.ok_or_else(|| TargetError::Gone {
            what: format!("{id} of {}", self.spec.object(&self.aws)),
            keys: None,
        })?;
        let toward = match found.target_service_revision().and_then(|target| target.arn()) {
            Some(revision) => definition_of(&self.aws, &self.facts, &self.spec, revision).await?,
            None => None,
        };
        let mut deployment = deployment(&found, toward);
        if failing(&found) || !matches!(deployment.motion, Motion::Moving { .. } | Motion::Succeeded) {
            self.add_reasons(&mut deployment).await;
        }
        Ok(deployment)
    }

    /// What the tasks that failed say. A report must not fail because they cannot be read.
    async fn add_reasons(&self, deployment: &mut Deployment) {
        let Some(toward) = &deployment.toward else { return };
        let failures = tasks::failures(&self.aws, &self.spec, toward.as_str(), deployment.started).await;
        let failures = failures.unwrap_or_default().join("; ");
        if failures.is_empty() {
            return;
        }
        match &mut deployment.motion {
            Motion::Moving { note, .. } => *note = Some(failures),
            Motion::Failed { reason } | Motion::RolledBack { reason } => {
                *reason = format!("{} ({failures})", reason.trim_end_matches('.'));
            }
            Motion::Returning { .. } | Motion::Succeeded | Motion::Cancelled { .. } => {}
        }
    }

    /// The service deployment that is under way now, if one is.
    pub(super) async fn active(&self, service: &Service) -> Result<Option<Deployment>, TargetError> {
        let newest = newest(&self.aws, &self.facts, &[(&self.spec, service)]).await;
        let newest = newest.into_values().next().transpose()?.flatten();
        Ok(newest.filter(Deployment::is_active))
    }

    /// Turns a deployment that is under way back (StopServiceDeployment with ROLLBACK, which needs no circuit breaker).
    /// `false`: ECS says that it cannot be.
    pub(super) async fn turn_back(&self, id: &str) -> Result<bool, TargetError> {
        if !is_arn(id) {
            return Ok(false);
        }
        let call = self.aws.ecs(&self.spec.region).stop_service_deployment().service_deployment_arn(id);
        let call = call.stop_type(StopServiceDeploymentStopType::Rollback);
        let sent = self.aws.in_turn(aws::Service::Ecs, &self.spec.region, call.send()).await;
        let Err(error) = sent else { return Ok(true) };
        match classify("ecs:StopServiceDeployment", &self.spec.object(&self.aws), error) {
            // It has ended meanwhile, has nothing to return to, or is of a kind that cannot be stopped.
            AwsError::NotFound { .. } => Ok(false),
            AwsError::Other { code, .. } if CANNOT.contains(&code.as_str()) => Ok(false),
            error => Err(error.into()),
        }
    }

    /// Turns a deployment back, and waits until ECS says that it has ended, as long as a deployment may take.
    pub(super) async fn turn_back_and_wait(&self, id: &str) -> Result<(), TargetError> {
        if !self.turn_back(id).await? && self.rollout(id).await?.is_active() {
            return Err(TargetError::Refused {
                what: format!("ECS cannot stop {id} of {}", self.spec.object(&self.aws)),
                hint: "imgctl rollback begins a deployment that takes its place".to_owned(),
            });
        }
        let (limit, began) = (self.spec.settings.time_limit, tokio::time::Instant::now());
        while self.rollout(id).await?.is_active() {
            if began.elapsed() >= limit {
                return Err(self.still_going_back(id));
            }
            tokio::time::sleep(STOPPING.min(self.spec.settings.poll_interval)).await;
        }
        Ok(())
    }

    fn still_going_back(&self, id: &str) -> TargetError {
        let (object, minutes) = (self.spec.object(&self.aws), self.spec.settings.time_limit.as_secs() / 60);
        TargetError::Refused {
            what: format!("{object}: {id} was turned back {minutes} minutes ago, and still has not ended"),
            hint: "ECS goes on turning it back; when it has ended, run the same command again".to_owned(),
        }
    }
}

/// How StopServiceDeployment refuses (API reference: its errors).
const CANNOT: [&str; 4] =
    ["ConflictException", "UnsupportedFeatureException", "InvalidParameterException", "ClientException"];

/// A service deployment's id is an ARN; those of the service's own list are `ecs-svc/…`.
fn is_arn(id: &str) -> bool {
    id.starts_with("arn:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ecs::types::{Rollback, ServiceDeploymentCircuitBreaker};

    fn ended(status: Status) -> aws_sdk_ecs::types::builders::ServiceDeploymentBuilder {
        ServiceDeployment::builder().status(status).status_reason("so it is")
    }

    #[test]
    fn every_status_is_read_as_what_it_means_for_the_image() {
        let triggered = ServiceDeploymentCircuitBreaker::builder().status(Monitor::Triggered).build();
        let stopped = motion(&ended(Status::Stopped).deployment_circuit_breaker(triggered).build());
        assert_eq!(stopped, Motion::Failed { reason: "so it is".into() });
        assert!(matches!(motion(&ended(Status::Stopped).build()), Motion::Cancelled { .. }), "by a person");
        let back = ended(Status::RollbackSuccessful).rollback(Rollback::builder().reason("the breaker").build());
        assert_eq!(motion(&back.build()), Motion::RolledBack { reason: "the breaker".into() });
        assert!(matches!(motion(&ended(Status::RollbackFailed).build()), Motion::Failed { .. }));
        assert_eq!(motion(&ended(Status::Successful).build()), Motion::Succeeded);
        for (status, forth) in [("PENDING", true), ("ROLLBACK_REQUESTED", false), ("BAKING_SOMETHING_NEW", true)] {
            let seen = motion(&ended(status.into()).build());
            assert_eq!(matches!(seen, Motion::Moving { .. }), forth, "{status}");
            assert_eq!(matches!(seen, Motion::Returning { .. }), !forth, "{status}");
        }
    }
}
