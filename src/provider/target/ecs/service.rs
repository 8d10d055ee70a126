//! An ECS service as DescribeServices tells it, reduced to what matters for the image of one container.

use crate::model::{Deployment, Motion, Obstacle};
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{
    Deployment as Row, DeploymentControllerType, DeploymentRolloutState, SchedulingStrategy, Service as Described,
};
use jiff::Timestamp;

/// One service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) arn: String,
    /// ACTIVE, DRAINING or INACTIVE.
    pub(super) status: String,
    /// The ARN of its task definition; services under an EXTERNAL controller have none of their own.
    pub(super) definition: Option<String>,
    pub(super) desired: u32,
    pub(super) running: u32,
    pub(super) pending: u32,
    pub(super) created: Option<Timestamp>,
    controller: DeploymentControllerType,
    is_daemon: bool,
    /// Whether ECS itself finds out that a deployment fails, and goes back.
    watch: Watch,
    rows: Vec<Row>,
    /// Newest first.
    events: Vec<String>,
}

/// What ECS does about a deployment that fails (deployment circuit breaker, CloudWatch alarms).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    Nothing,
    Stops,
    RollsBack,
}

pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

pub(super) fn time(time: Option<&DateTime>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

impl Service {
    pub(super) fn new(service: &Described) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let controller = service.deployment_controller().map(|controller| controller.r#type().clone());
        let events = service.events().iter().filter_map(|event| event.message().map(str::to_owned));
        Self {
            name: text(service.service_name()),
            arn: text(service.service_arn()),
            status: text(service.status()),
            definition: service.task_definition().map(str::to_owned).filter(|arn| !arn.is_empty()),
            desired: count(service.desired_count()),
            running: count(service.running_count()),
            pending: count(service.pending_count()),
            created: time(service.created_at()),
            controller: controller.unwrap_or(DeploymentControllerType::Ecs),
            is_daemon: service.scheduling_strategy() == Some(&SchedulingStrategy::Daemon),
            watch: watch(service),
            rows: service.deployments().to_vec(),
            events: events.collect(),
        }
    }

    /// Why this service cannot be moved as it is.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        let (what, fix) = match &self.controller {
            _ if self.status == "DRAINING" => ("is being deleted (DRAINING)", "create it anew"),
            DeploymentControllerType::Ecs => return None,
            DeploymentControllerType::CodeDeploy => (
                "is deployed by AWS CodeDeploy, and only CodeDeploy may change its task definition",
                "deploy it with CodeDeploy, or create it anew with the deployment controller ECS",
            ),
            DeploymentControllerType::External => (
                "is deployed by an EXTERNAL controller, which keeps its task definitions in task sets",
                "deploy it with that controller, or create it anew with the deployment controller ECS",
            ),
            _ => ("has a deployment controller that this imgctl does not know", "move it by other means"),
        };
        Some(Obstacle { what: what.to_owned(), fix: fix.to_owned() })
    }

    /// What a person should know before moving it.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_daemon {
            notes.push("runs one task on every container instance (DAEMON): how many, ECS decides".to_owned());
        } else if self.desired == 0 {
            notes.push("wants no task (desired count 0): nothing will show whether the image starts".to_owned());
        }
        match self.watch {
            Watch::RollsBack => {}
            Watch::Stops => notes.push("ECS stops a deployment that fails, and does not go back by itself".to_owned()),
            Watch::Nothing => notes.push(
                "has no deployment circuit breaker: ECS starts failing tasks again and again until the time limit"
                    .to_owned(),
            ),
        }
        notes
    }

    pub(super) fn row(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.id() == Some(id))
    }

    pub(super) fn primary(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.status() == Some("PRIMARY"))
    }

    /// The deployment that the service is in, or came to rest with, as far as this one answer tells.
    pub(super) fn deployment(&self) -> Option<Deployment> {
        let row = self.primary()?;
        let motion = match self.rolled_back_to(row) {
            Some(reason) if is_done(row) => Motion::RolledBack { reason },
            Some(reason) => Motion::Returning { phase: phase(row), note: Some(reason) },
            None => motion(row),
        };
        Some(deployment(row, motion))
    }

    /// What became of one deployment of this list, or of one that has left it.
    pub(super) fn end_of(&self, id: &str) -> Deployment {
        let primary = self.primary();
        let back = primary.and_then(|primary| self.rolled_back_to(primary)).filter(|_| self.failed(id));
        let motion = match (self.row(id), primary, back) {
            (_, Some(primary), Some(reason)) if primary.id() != Some(id) => {
                let returned = is_done(primary);
                if returned {
                    Motion::RolledBack { reason }
                } else {
                    Motion::Returning { phase: phase(primary), note: Some(reason) }
                }
            }
            (Some(row), _, _) if row.status() == Some("PRIMARY") => motion(row),
            (_, Some(primary), _) => {
                Motion::Cancelled { reason: format!("replaced by deployment {}", primary.id().unwrap_or_default()) }
            }
            (_, None, _) => Motion::Cancelled { reason: "the service has no deployment any more".to_owned() },
        };
        let blank = Row::builder().id(id).build();
        deployment(self.row(id).unwrap_or(&blank), motion)
    }

    /// ECS said of this deployment that it failed.
    fn failed(&self, id: &str) -> bool {
        let marked = self.row(id).is_some_and(|row| row.rollout_state() == Some(&DeploymentRolloutState::Failed));
        marked || self.events.iter().any(|event| event.contains(id) && event.contains("deployment failed"))
    }

    /// Why ECS began this deployment by itself, to go back: its service events say so.
    fn rolled_back_to(&self, row: &Row) -> Option<String> {
        let id = row.id()?;
        let at = self.events.iter().position(|event| event.contains("rolling back") && event.contains(id))?;
        // The newest word before that is on the deployment that failed.
        let why = self.events.iter().skip(at).find(|event| event.contains("deployment failed"));
        let reason = why.and_then(|event| event.split("deployment failed:").nth(1)).map(str::trim);
        Some(reason.unwrap_or("the deployment failed").to_owned())
    }
}

fn watch(service: &Described) -> Watch {
    let configuration = service.deployment_configuration();
    let breaker = configuration.and_then(|all| all.deployment_circuit_breaker());
    let alarms = configuration.and_then(|all| all.alarms());
    let breaker = breaker.filter(|each| each.enable()).map(|each| each.rollback());
    let alarms = alarms.filter(|each| each.enable()).map(|each| each.rollback());
    match (breaker, alarms) {
        (Some(true), _) | (_, Some(true)) => Watch::RollsBack,
        (Some(false), _) | (_, Some(false)) => Watch::Stops,
        (None, None) => Watch::Nothing,
    }
}

/// Whether a deployment has come to rest well. Behind a Classic Load Balancer ECS tells no state: then it is counted.
fn is_done(row: &Row) -> bool {
    match row.rollout_state() {
        Some(state) => *state == DeploymentRolloutState::Completed,
        None => row.running_count() >= row.desired_count() && row.pending_count() == 0,
    }
}

fn phase(row: &Row) -> String {
    row.rollout_state().map_or("IN_PROGRESS", DeploymentRolloutState::as_str).to_owned()
}

fn motion(row: &Row) -> Motion {
    match row.rollout_state() {
        Some(DeploymentRolloutState::Failed) => {
            let reason = row.rollout_state_reason().unwrap_or("AWS gives no reason").to_owned();
            Motion::Failed { reason }
        }
        _ if is_done(row) => Motion::Succeeded,
        _ => Motion::Moving { phase: phase(row), note: None },
    }
}

fn deployment(row: &Row, motion: Motion) -> Deployment {
    let (desired, running) = (count(row.desired_count()), count(row.running_count()));
    Deployment {
        id: row.id().unwrap_or_default().to_owned(),
        motion,
        toward: row.task_definition().and_then(|arn| arn.parse().ok()),
        started: time(row.created_at()),
        percent: percent(running, desired),
        left: desired.saturating_sub(running),
    }
}

/// How much of what is wanted runs, at most 100.
pub(super) fn percent(running: u32, wanted: u32) -> u32 {
    running.saturating_mul(100).checked_div(wanted).map_or(100, |percent| percent.min(100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ecs::types::{DeploymentController, ServiceEvent};

    fn row(id: &str, status: &str, state: &str) -> Row {
        let row = Row::builder().id(id).status(status).task_definition(format!("arn:td/{id}"));
        row.rollout_state(state.into()).rollout_state_reason("the breaker").desired_count(4).running_count(1).build()
    }

    fn service(rows: Vec<Row>, events: &[&str]) -> Service {
        let events = events.iter().map(|text| ServiceEvent::builder().message(*text).build()).collect();
        let service = Described::builder().service_name("web").status("ACTIVE");
        Service::new(&service.set_deployments(Some(rows)).set_events(Some(events)).build())
    }

    const FAILED: &str = "(service web) (deployment ecs-svc/2) deployment failed: tasks failed to start.";
    const BACK: &str = "(service web) rolling back to deployment ecs-svc/3.";

    #[test]
    fn a_deployment_says_how_far_it_is() {
        let rows = || vec![row("ecs-svc/2", "PRIMARY", "IN_PROGRESS"), row("ecs-svc/1", "ACTIVE", "COMPLETED")];
        let seen = service(rows(), &[]).deployment().unwrap();
        assert_eq!((seen.id.as_str(), seen.percent, seen.left, seen.is_active()), ("ecs-svc/2", 25, 3, true));
        assert!(matches!(service(rows(), &[]).end_of("ecs-svc/1").motion, Motion::Cancelled { .. }));
    }

    #[test]
    fn a_rollback_by_ecs_is_told_from_a_deployment_that_somebody_began() {
        let going = vec![row("ecs-svc/3", "PRIMARY", "IN_PROGRESS"), row("ecs-svc/2", "ACTIVE", "FAILED")];
        assert!(matches!(service(going, &[BACK, FAILED]).end_of("ecs-svc/2").motion, Motion::Returning { .. }));
        let there = service(vec![row("ecs-svc/3", "PRIMARY", "COMPLETED")], &[BACK, FAILED]);
        let Motion::RolledBack { reason } = there.end_of("ecs-svc/2").motion else { panic!("{there:?}") };
        assert_eq!(reason, "tasks failed to start.");
        assert!(matches!(there.deployment().unwrap().motion, Motion::RolledBack { .. }));
        let other = service(vec![row("ecs-svc/3", "PRIMARY", "COMPLETED")], &[]);
        assert!(matches!(other.end_of("ecs-svc/2").motion, Motion::Cancelled { .. }));
        assert!(matches!(other.deployment().unwrap().motion, Motion::Succeeded));
    }

    #[test]
    fn a_breaker_without_rollback_leaves_a_failed_deployment() {
        let seen = service(vec![row("ecs-svc/2", "PRIMARY", "FAILED")], &[FAILED]).end_of("ecs-svc/2");
        assert!(matches!(seen.motion, Motion::Failed { reason } if reason == "the breaker"));
    }

    #[test]
    fn services_that_others_deploy_say_who_does() {
        for (kind, word) in [("CODE_DEPLOY", "CodeDeploy"), ("EXTERNAL", "EXTERNAL")] {
            let controller = DeploymentController::builder().r#type(kind.into()).build().unwrap();
            let service = Service::new(&Described::builder().deployment_controller(controller).build());
            assert!(service.obstacle().unwrap().what.contains(word));
        }
        assert_eq!(service(Vec::new(), &[]).obstacle(), None);
    }
}
