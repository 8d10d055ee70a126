//! Service deployments as ECS lists and describes them: one list a service, 20 of them described a call.

use super::revisions::Facts;
use super::rollout::deployment;
use super::service::Service;
use super::survey::SIDE_BY_SIDE;
use super::{EcsSpec, TargetError};
use crate::model::{Deployment, Region, Revision};
use crate::provider::aws::{self, Aws, AwsError, classify};
use aws_sdk_ecs::types::{ServiceDeployment, ServiceDeploymentBrief};
use futures_util::stream::{self, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// DescribeServiceDeployments and DescribeServiceRevisions take this many.
const ARNS_A_CALL: usize = 20;

/// What a service deployment said of itself, or why it could not be read.
type Told<T> = Result<T, TargetError>;

/// The newest deployment of each of these services of one cluster, by name. ECS tells those of the last 90 days
/// (ListServiceDeployments, one service a call); where it tells none, or may not, the service's own list has the one that
/// it is at.
pub(super) async fn newest(
    aws: &Aws,
    facts: &Facts,
    asked: &[(&EcsSpec, &Service)],
) -> BTreeMap<String, Told<Option<Deployment>>> {
    let Some((EcsSpec { region, .. }, _)) = asked.first() else { return BTreeMap::new() };
    let reads: Vec<_> =
        asked.iter().map(async |(spec, service)| (*service, newest_brief(aws, spec, service).await)).collect();
    let briefs: Vec<_> = stream::iter(reads).buffered(SIDE_BY_SIDE).collect().await;
    let arn = |brief: &Told<Option<ServiceDeploymentBrief>>| {
        brief.as_ref().ok()?.as_ref()?.service_deployment_arn().map(str::to_owned)
    };
    let arns: Vec<String> = briefs.iter().filter_map(|(_, brief)| arn(brief)).collect();
    let described = described_many(aws, region, &arns).await;
    let found = described.values().filter_map(|told| told.as_ref().ok());
    let revisions: BTreeSet<&str> = found.filter_map(|found| found.target_service_revision()?.arn()).collect();
    let toward = revisions_of_many(aws, facts, region, &revisions.into_iter().collect::<Vec<_>>()).await;
    let told = |(service, brief): (&Service, Told<Option<ServiceDeploymentBrief>>)| {
        let deployment = match arn(&brief).and_then(|arn| described.get(&arn)) {
            _ if brief.is_err() => brief.map(|_| None),
            Some(Ok(found)) => leads_to(found, &toward).map(|toward| Some(deployment(found, toward))),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(service.deployment()),
        };
        (service.name.clone(), deployment)
    };
    briefs.into_iter().map(told).collect()
}

fn leads_to(found: &ServiceDeployment, toward: &BTreeMap<String, Told<Revision>>) -> Told<Option<Revision>> {
    let target = found.target_service_revision().and_then(|target| target.arn());
    target.and_then(|arn| toward.get(arn)).cloned().transpose()
}

/// Service deployment by ARN, 20 a call (DescribeServiceDeployments). One that is not there any more is not in the answer.
async fn described_many(aws: &Aws, region: &Region, arns: &[String]) -> BTreeMap<String, Told<ServiceDeployment>> {
    let read = async |chunk: &[String]| {
        let call = aws.ecs(region).describe_service_deployments().set_service_deployment_arns(Some(chunk.to_vec()));
        let answer = aws.patiently(aws::Service::Ecs, region, || call.clone().send()).await;
        let object = format!("{} service deployments in {}", chunk.len(), aws.place(region));
        match answer.map_err(|error| classify("ecs:DescribeServiceDeployments", &object, error)) {
            Ok(answer) => {
                let found = answer.service_deployments.unwrap_or_default().into_iter();
                found.map(|found| (found.service_deployment_arn().unwrap_or_default().to_owned(), Ok(found))).collect()
            }
            Err(error) => refused(chunk.iter().map(String::as_str), error),
        }
    };
    let reads: Vec<_> = arns.chunks(ARNS_A_CALL).map(read).collect();
    stream::iter(reads).buffered(SIDE_BY_SIDE).collect::<Vec<Vec<_>>>().await.into_iter().flatten().collect()
}

/// Service revision → task definition, 20 a call (DescribeServiceRevisions), each once ever.
async fn revisions_of_many(
    aws: &Aws,
    facts: &Facts,
    region: &Region,
    revisions: &[&str],
) -> BTreeMap<String, Told<Revision>> {
    let known = |arn: &str| facts.service_revision(aws, region, arn).and_then(|definition| definition.parse().ok());
    let (mut told, mut unknown) = (BTreeMap::new(), Vec::new());
    for arn in revisions {
        match known(arn) {
            Some(revision) => drop(told.insert((*arn).to_owned(), Ok(revision))),
            None => unknown.push(*arn),
        }
    }
    let read = async |chunk: &[&str]| {
        let arns = chunk.iter().map(|arn| (*arn).to_owned()).collect();
        let call = aws.ecs(region).describe_service_revisions().set_service_revision_arns(Some(arns));
        let answer = aws.patiently(aws::Service::Ecs, region, || call.clone().send()).await;
        let object = format!("{} service revisions in {}", chunk.len(), aws.place(region));
        match answer.map_err(|error| classify("ecs:DescribeServiceRevisions", &object, error)) {
            Ok(answer) => {
                let pairs = answer.service_revisions().iter();
                let pairs = pairs.filter_map(|found| Some((found.service_revision_arn()?, found.task_definition()?)));
                let kept = pairs.filter_map(|(arn, definition)| {
                    facts.keep_service_revision(aws, region, arn, definition);
                    Some((arn.to_owned(), Ok(definition.parse().ok()?)))
                });
                kept.collect::<Vec<(String, Told<Revision>)>>()
            }
            Err(error) => refused(chunk.iter().copied(), error),
        }
    };
    let reads: Vec<_> = unknown.chunks(ARNS_A_CALL).map(read).collect();
    told.extend(stream::iter(reads).buffered(SIDE_BY_SIDE).collect::<Vec<Vec<_>>>().await.into_iter().flatten());
    told
}

/// One refused call leaves everything unknown that it asked for: each says so.
fn refused<'a, T>(arns: impl Iterator<Item = &'a str>, error: AwsError) -> Vec<(String, Told<T>)> {
    let error = Arc::new(error);
    arns.map(|arn| (arn.to_owned(), Err(TargetError::Aws(Arc::clone(&error))))).collect()
}

/// The newest service deployment's brief. `None`: ECS knows none, or not by this way.
pub(super) async fn newest_brief(
    aws: &Aws,
    spec: &EcsSpec,
    service: &Service,
) -> Result<Option<ServiceDeploymentBrief>, TargetError> {
    let call = aws.ecs(&spec.region).list_service_deployments();
    let call = call.cluster(&spec.settings.cluster).service(&service.arn);
    let answer = aws.patiently(aws::Service::Ecs, &spec.region, || call.clone().send()).await;
    match answer {
        // The order is documented nowhere.
        Ok(answer) => {
            let all = answer.service_deployments().iter();
            Ok(all.max_by_key(|brief| brief.created_at().map(|at| (at.secs(), at.subsec_nanos()))).cloned())
        }
        Err(error) => match classify("ecs:ListServiceDeployments", &spec.object(aws), error) {
            error if has_none(&error) => Ok(None),
            error => Err(error.into()),
        },
    }
}

/// What a service without service deployments is answered, and an identity from before there were any (October 2024).
fn has_none(error: &AwsError) -> bool {
    matches!(error, AwsError::Denied { .. }) || error.code() == Some("UnsupportedFeatureException")
}

pub(super) async fn described(aws: &Aws, spec: &EcsSpec, arn: &str) -> Result<Option<ServiceDeployment>, TargetError> {
    described_many(aws, &spec.region, &[arn.to_owned()]).await.into_values().next().transpose()
}

/// The task definition of a service revision.
pub(super) async fn definition_of(
    aws: &Aws,
    facts: &Facts,
    spec: &EcsSpec,
    revision: &str,
) -> Result<Option<Revision>, TargetError> {
    revisions_of_many(aws, facts, &spec.region, &[revision]).await.into_values().next().transpose()
}
