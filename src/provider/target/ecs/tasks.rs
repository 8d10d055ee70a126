//! The tasks of services: what really runs, and why those that stopped did.

use super::super::reference::Reference;
use super::EcsSpec;
use super::service::{Service, time};
use super::survey::SIDE_BY_SIDE;
use crate::model::{ImageRef, Region, SlotName};
use crate::provider::aws::{self, Aws, AwsError, classify};
use aws_sdk_ecs::types::{Container, DesiredStatus, Task, TaskStopCode};
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// DescribeTasks takes this many ids, and ListTasks gives as many.
const TASKS_A_CALL: usize = 100;
/// Up to this many services are asked for their own tasks; for more, the cluster's tasks are listed together.
const FEW_SERVICES: usize = 3;

/// Service name → its tasks that are to run.
pub(super) type Running = BTreeMap<String, Vec<Task>>;

/// The tasks of these services of one cluster (ListTasks, DescribeTasks: 100 a call).
pub(super) async fn running(
    aws: &Aws,
    region: &Region,
    cluster: &str,
    services: &[&Service],
) -> Result<Running, AwsError> {
    let with_tasks: Vec<&str> = services
        .iter()
        .filter(|service| service.desired + service.running + service.pending > 0)
        .map(|service| service.name.as_str())
        .collect();
    let mut arns = Vec::new();
    if with_tasks.len() <= FEW_SERVICES {
        for name in with_tasks {
            arns.extend(list(aws, region, cluster, Some(name), &DesiredStatus::Running).await?);
        }
    } else {
        arns = list(aws, region, cluster, None, &DesiredStatus::Running).await?;
    }
    let mut found = Running::new();
    for task in describe(aws, region, cluster, &arns).await? {
        if let Some(name) = task.group().and_then(|group| group.strip_prefix("service:")) {
            found.entry(name.to_owned()).or_default().push(task);
        }
    }
    Ok(found)
}

async fn list(
    aws: &Aws,
    region: &Region,
    cluster: &str,
    service: Option<&str>,
    status: &DesiredStatus,
) -> Result<Vec<String>, AwsError> {
    let call = aws.ecs(region).list_tasks().cluster(cluster).set_service_name(service.map(str::to_owned));
    let call = call.desired_status(status.clone()).max_results(100);
    let (mut arns, mut next) = (Vec::new(), None);
    loop {
        let send = || call.clone().set_next_token(next.clone()).send();
        let page = aws.patiently(aws::Service::Ecs, region, send).await;
        let object = format!("{} of cluster {cluster} in {}", service.unwrap_or("all services"), aws.place(region));
        let page = page.map_err(|error| classify("ecs:ListTasks", &object, error))?;
        arns.extend(page.task_arns().iter().cloned());
        next = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
        if next.is_none() {
            return Ok(arns);
        }
    }
}

/// Tasks that ended between the two calls are left out: they do not run.
async fn describe(aws: &Aws, region: &Region, cluster: &str, arns: &[String]) -> Result<Vec<Task>, AwsError> {
    let read = async |chunk: &[String]| {
        let call = aws.ecs(region).describe_tasks().cluster(cluster).set_tasks(Some(chunk.to_vec()));
        let answer = aws.patiently(aws::Service::Ecs, region, || call.clone().send()).await;
        let object = format!("{} tasks of cluster {cluster} in {}", chunk.len(), aws.place(region));
        let answer = answer.map_err(|error| classify("ecs:DescribeTasks", &object, error))?;
        Ok::<Vec<Task>, AwsError>(answer.tasks.unwrap_or_default())
    };
    let reads: Vec<_> = arns.chunks(TASKS_A_CALL).map(read).collect();
    let tasks: Vec<Vec<Task>> = futures_util::stream::iter(reads).buffered(SIDE_BY_SIDE).try_collect().await?;
    Ok(tasks.into_iter().flatten().collect())
}

/// What one container of these tasks runs: image → number of tasks. Tasks that are still on their way are not counted.
pub(super) fn images<'a>(tasks: impl Iterator<Item = &'a Task>, container: &SlotName) -> BTreeMap<ImageRef, u32> {
    let mut images = BTreeMap::new();
    for task in tasks.filter(|task| task.last_status() == Some("RUNNING")) {
        let own = task.containers().iter().find(|each| each.name() == Some(container.as_str()));
        if let Some(image) = own.and_then(image) {
            *images.entry(image).or_insert(0) += 1;
        }
    }
    images
}

/// The image that a container runs. One that was asked for by digest runs that digest: the agent reports an index's
/// child in its place. One that was asked for by a tag runs the digest that the tag meant when it was pulled.
fn image(container: &Container) -> Option<ImageRef> {
    let asked = Reference::read(container.image()?)?;
    let pulled = || {
        let digest = container.image_digest()?.parse().ok()?;
        Some(ImageRef::Oci { repository: asked.repository.clone(), digest })
    };
    asked.pinned().or_else(pulled)
}

/// Why tasks of one task definition stopped that were started since then: reasons, with how many tasks had them. ECS
/// keeps stopped tasks for an hour.
pub(super) async fn failures(
    aws: &Aws,
    spec: &EcsSpec,
    definition: &str,
    since: Option<Timestamp>,
) -> Result<Vec<String>, AwsError> {
    let (region, cluster) = (&spec.region, &spec.settings.cluster);
    let arns = list(aws, region, cluster, Some(&spec.settings.service), &DesiredStatus::Stopped).await?;
    let tasks = describe(aws, region, cluster, &arns).await?;
    let mut counted: BTreeMap<String, u32> = BTreeMap::new();
    let is_of_it = |task: &&Task| {
        task.task_definition_arn() == Some(definition) && (since.is_none() || time(task.created_at()) >= since)
    };
    for task in tasks.iter().filter(is_of_it) {
        if let Some(reason) = failure(task) {
            *counted.entry(reason).or_insert(0) += 1;
        }
    }
    let mut counted: Vec<(String, u32)> = counted.into_iter().collect();
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counted.truncate(3);
    let many = |count: u32| if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") };
    Ok(counted.into_iter().map(|(reason, count)| format!("{}: {reason}", many(count))).collect())
}

/// Why this task stopped, if it is a failure of its own: one that the scheduler or a person stopped is none.
fn failure(task: &Task) -> Option<String> {
    let reason = task.stopped_reason().unwrap_or_default().trim_end_matches('.');
    let health = reason.contains("health check");
    let own =
        matches!(task.stop_code(), Some(TaskStopCode::EssentialContainerExited | TaskStopCode::TaskFailedToStart));
    if !own && !health {
        return None;
    }
    let containers = task.containers().iter().filter_map(|container| {
        let said = container.reason().map(str::to_owned).filter(|said| !reason.contains(said.as_str()));
        let code = container.exit_code().filter(|code| *code != 0).map(|code| format!("exit code {code}"));
        let what: Vec<String> = code.into_iter().chain(said).collect();
        (!what.is_empty()).then(|| format!("{} {}", container.name().unwrap_or_default(), what.join(", ")))
    });
    let containers: Vec<String> = containers.collect();
    Some(if containers.is_empty() { reason.to_owned() } else { format!("{reason} ({})", containers.join("; ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(image: &str, digest: &str) -> Container {
        let digest = format!("sha256:{}", digest.repeat(64));
        Container::builder().name("app").image(image).image_digest(digest).build()
    }

    fn running(container: Container, status: &str) -> Task {
        Task::builder().last_status(status).containers(container).build()
    }

    #[test]
    fn what_was_asked_for_by_digest_runs_it_whatever_child_the_agent_reports() {
        let index = format!("r.test/web@sha256:{}", "a".repeat(64));
        let tasks = [
            running(container(&index, "b"), "RUNNING"),
            running(container("r.test/web:prod", "c"), "RUNNING"),
            running(container("r.test/web:prod", "d"), "PENDING"),
        ];
        let seen: Vec<String> = images(tasks.iter(), &"app".parse().unwrap()).keys().map(ToString::to_string).collect();
        assert_eq!(seen, [index, format!("r.test/web@sha256:{}", "c".repeat(64))]);
        assert!(images(tasks.iter(), &"other".parse().unwrap()).is_empty());
    }

    #[test]
    fn a_task_that_failed_says_why_and_one_that_was_stopped_did_not_fail() {
        let app = Container::builder().name("app").exit_code(137).reason("OutOfMemoryError: killed").build();
        let task = Task::builder().stopped_reason("Essential container in task exited").containers(app);
        let failed = task.clone().stop_code(TaskStopCode::EssentialContainerExited).build();
        let said = "Essential container in task exited (app exit code 137, OutOfMemoryError: killed)";
        assert_eq!(failure(&failed).as_deref(), Some(said));
        let scaled = Task::builder().stopped_reason("Scaling activity initiated by (deployment ecs-svc/1)");
        assert_eq!(failure(&scaled.stop_code(TaskStopCode::ServiceSchedulerInitiated).build()), None);
        let sick = Task::builder().stopped_reason("Task failed container health checks.");
        let sick = sick.stop_code(TaskStopCode::ServiceSchedulerInitiated).build();
        assert_eq!(failure(&sick).as_deref(), Some("Task failed container health checks"));
    }
}
