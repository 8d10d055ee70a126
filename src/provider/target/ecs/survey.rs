//! Observing many services in few calls: 10 services and 100 tasks a call, each task definition once.

use super::super::reference::Reference;
use super::super::{Depth, TargetError, listed};
use super::outline::Outline;
use super::revisions::{self, Facts, short};
use super::service::Service;
use super::{EcsSpec, deployments, tasks};
use crate::model::{Accepts, ImageRef, Observed, Obstacle, Region, SlotImage, SlotState, TargetId};
use crate::provider::aws::{self, Aws, AwsError, classify};
use futures_util::StreamExt;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// DescribeServices takes this many names.
const SERVICES_A_CALL: usize = 10;
/// How many calls wait for their turn side by side.
pub(super) const SIDE_BY_SIDE: usize = 32;

/// Service by name, or why it could not be read.
type Services = BTreeMap<String, Result<Service, Arc<AwsError>>>;
/// Task definition by ARN, as far as it could be read.
type Definitions = BTreeMap<String, Result<Arc<Outline>, TargetError>>;

/// Observes the services of one cluster. All specs are of the same cluster and region.
pub(super) async fn cluster(
    aws: &Arc<Aws>,
    facts: &Facts,
    specs: &[&EcsSpec],
    depth: Depth,
) -> BTreeMap<TargetId, Result<Observed, TargetError>> {
    let Some(EcsSpec { region, settings, .. }) = specs.first() else { return BTreeMap::new() };
    let services = services(aws, specs).await;
    let found: Vec<&Service> = services.values().filter_map(|service| service.as_ref().ok()).collect();
    // Before what runs: a deployment that ends in between is then seen with its result, and not with what was before.
    let newest = match depth {
        Depth::Running => BTreeMap::new(),
        Depth::Deploying => deployments::newest(aws, facts, &one_each(specs, &services)).await,
    };
    let (definitions, running) = futures_util::future::join(
        definitions(aws, facts, region, &found),
        tasks::running(aws, region, &settings.cluster, &found),
    )
    .await;
    let running = running.map_err(Arc::new);
    let observe = specs.iter().map(|spec| {
        let service = match services.get(&spec.settings.service) {
            Some(Ok(service)) => service,
            // A refused call leaves its own services unknown, and where it says that there is no such cluster, gone.
            Some(Err(error)) => return (spec.id.clone(), Err(unread(aws, spec, error))),
            None => return (spec.id.clone(), Err(spec.gone(aws))),
        };
        let running = match &running {
            Ok(running) => running,
            Err(error) => return (spec.id.clone(), Err(unread(aws, spec, error))),
        };
        let tasks = running.get(&service.name).map(Vec::as_slice).unwrap_or_default();
        let container = &spec.settings.container;
        let running = tasks::images(tasks.iter(), container);
        // Others run what their own definition says, and tell nothing of where this one's tag leads.
        let own = tasks.iter().filter(|task| task.task_definition_arn() == service.definition.as_deref());
        let led = tasks::images(own, container);
        let observed = observed(aws, spec, service, &definitions, (running, &led));
        let deployment = match newest.get(&service.name) {
            Some(told) => told.clone(),
            None => Ok(service.deployment()),
        };
        (spec.id.clone(), observed.and_then(|observed| Ok(Observed { deployment: deployment?, ..observed })))
    });
    observe.collect()
}

/// Each service once, with a target that names it: two targets may be two containers of one service.
fn one_each<'a>(specs: &[&'a EcsSpec], services: &'a Services) -> Vec<(&'a EcsSpec, &'a Service)> {
    let by_name: BTreeMap<&str, &EcsSpec> = specs.iter().map(|spec| (spec.settings.service.as_str(), *spec)).collect();
    by_name.into_iter().filter_map(|(name, spec)| Some((spec, services.get(name)?.as_ref().ok()?))).collect()
}

fn unread(aws: &Aws, spec: &EcsSpec, error: &Arc<AwsError>) -> TargetError {
    match error.code() {
        Some("ClusterNotFoundException") => {
            let what = format!("ECS cluster {} in {}", spec.settings.cluster, aws.place(&spec.region));
            TargetError::Gone { what, keys: Some("cluster or region") }
        }
        _ => TargetError::Aws(Arc::clone(error)),
    }
}

/// Name → service, or why its call was refused. One that is deleted stays visible as INACTIVE for a while, and is not there.
async fn services(aws: &Aws, specs: &[&EcsSpec]) -> Services {
    let Some(EcsSpec { region, settings, .. }) = specs.first() else { return Services::new() };
    let names: BTreeSet<&str> = specs.iter().map(|spec| spec.settings.service.as_str()).collect();
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let read = async |chunk: &[String]| {
        let call = aws.ecs(region).describe_services().cluster(&settings.cluster).set_services(Some(chunk.to_vec()));
        let answer = aws.patiently(aws::Service::Ecs, region, || call.clone().send()).await;
        let object = format!("{} of cluster {} in {}", listed(chunk), settings.cluster, aws.place(region));
        match answer.map_err(|error| Arc::new(classify("ecs:DescribeServices", &object, error))) {
            Ok(answer) => {
                let found = answer.services().iter().map(Service::new).filter(|service| service.status != "INACTIVE");
                found.map(|service| (service.name.clone(), Ok(service))).collect()
            }
            Err(error) => chunk.iter().map(|name| (name.clone(), Err(Arc::clone(&error)))).collect::<Vec<_>>(),
        }
    };
    let reads: Vec<_> = names.chunks(SERVICES_A_CALL).map(read).collect();
    futures_util::stream::iter(reads).buffered(SIDE_BY_SIDE).collect::<Vec<_>>().await.into_iter().flatten().collect()
}

/// The service of one target, as it is now.
pub(super) async fn one(aws: &Aws, spec: &EcsSpec) -> Result<Service, TargetError> {
    let found = services(aws, &[spec]).await.into_values().next().ok_or_else(|| spec.gone(aws))?;
    found.map_err(|error| unread(aws, spec, &error))
}

/// A revision never changes: what was read before, in this run or an earlier one, is not asked again. ECS has no call for
/// many of them.
async fn definitions(aws: &Aws, facts: &Facts, region: &Region, services: &[&Service]) -> Definitions {
    // Task definition → when the youngest service that uses it was created.
    let mut wanted: BTreeMap<&String, Option<Timestamp>> = BTreeMap::new();
    for service in services {
        if let Some(arn) = &service.definition {
            let created = wanted.entry(arn).or_default();
            *created = (*created).max(service.created);
        }
    }
    let reads: Vec<_> = wanted
        .into_iter()
        .map(async |(arn, created)| (arn.clone(), revisions::outline(aws, facts, region, arn, created).await))
        .collect();
    futures_util::stream::iter(reads).buffer_unordered(SIDE_BY_SIDE).collect().await
}

fn observed(
    aws: &Aws,
    spec: &EcsSpec,
    service: &Service,
    definitions: &Definitions,
    (running, led): (BTreeMap<ImageRef, u32>, &BTreeMap<ImageRef, u32>),
) -> Result<Observed, TargetError> {
    let revision = service.definition.as_deref().unwrap_or("none");
    let mut observed = Observed {
        revision: revision.parse().map_err(|_| spec.gone(aws))?,
        slots: BTreeMap::new(),
        running,
        desired: service.desired,
        deployment: None,
        obstacles: service.obstacle().into_iter().collect(),
        notes: service.notes(),
    };
    let Some(arn) = &service.definition else { return Ok(observed) };
    let definition = match definitions.get(arn) {
        Some(Ok(definition)) => definition,
        Some(Err(error)) => return Err(error.clone()),
        None => return Err(spec.gone(aws)),
    };
    let container = &spec.settings.container;
    match definition.image(container).map(|text| (text, Reference::read(text))) {
        Some((text, Some(image))) => {
            let accepts = Accepts::Oci { repository: image.repository.clone() };
            let state = SlotState { image: slot_image(text, &image, led), accepts };
            observed.slots.insert(container.clone(), state);
        }
        Some((text, None)) => observed.obstacles.push(Obstacle {
            what: format!("has `{text}` as the image of container {container}, which is no image"),
            fix: "register a task definition with an image of a repository".to_owned(),
        }),
        None => {
            let names = definition.container_names().join(", ");
            let what = format!("has no container {container} in {}; it has {names}", short(arn));
            let fix = "mend `container` of this target in imgctl.toml".to_owned();
            observed.obstacles.push(Obstacle { what, fix });
        }
    }
    Ok(observed)
}

/// A tag leads where the tasks of this definition were led that run now: ECS resolves it once for each deployment, so all of them run one
/// digest, or nothing is known.
fn slot_image(text: &str, image: &Reference, led: &BTreeMap<ImageRef, u32>) -> SlotImage {
    match image.pinned() {
        Some(image) => SlotImage::Pinned { image },
        None => {
            let mut all = led.keys();
            let now = all.next().filter(|_| all.next().is_none()).cloned();
            SlotImage::Floating { through: text.to_owned(), now }
        }
    }
}
