//! Revisions of task definitions: read once and kept, found again by what they say, registered where there is none.

use super::definition::Definition;
use super::outline::Outline;
use super::wire::{Answer, Request};
use super::{EcsTarget, TargetError};
use crate::model::{ImageRef, Region, Revision};
use crate::provider::aws::{Aws, AwsError, Place, Service, account_of, classify};
use crate::provider::clock::{Clock, SystemClock};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many of a family's newest revisions are looked through for one that says the same already.
const LOOKED_THROUGH: i32 = 10;

/// What never changes once it was read: task definitions, and which of them a service revision runs.
#[derive(Default)]
pub(super) struct Facts {
    definitions: Mutex<BTreeMap<(Region, String), Arc<Definition>>>,
    outlines: Mutex<BTreeMap<(Region, String), Arc<Outline>>>,
    service_revisions: Mutex<BTreeMap<String, String>>,
}

impl Facts {
    pub(super) fn get(&self, region: &Region, arn: &str) -> Option<Arc<Definition>> {
        let key = (region.clone(), arn.to_owned());
        self.definitions.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    fn keep(&self, region: &Region, definition: Definition) -> Arc<Definition> {
        let (key, definition) = ((region.clone(), definition.arn.clone()), Arc::new(definition));
        let mut kept = self.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(key, Arc::clone(&definition));
        definition
    }

    fn outline(&self, region: &Region, arn: &str) -> Option<Arc<Outline>> {
        let key = (region.clone(), arn.to_owned());
        self.outlines.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// A revision by `family:number`: all that one set of credentials reaches in a region is of one account.
    pub(super) fn outline_named(&self, region: &Region, name: &str) -> Option<Arc<Outline>> {
        let outlines = self.outlines.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |(place, arn): &(Region, String)| place == region && short(arn) == name;
        outlines.iter().find(|(key, _)| is_it(key)).map(|(_, outline)| Arc::clone(outline))
    }

    fn keep_outline(&self, region: &Region, arn: &str, outline: Outline) -> Arc<Outline> {
        let (key, outline) = ((region.clone(), arn.to_owned()), Arc::new(outline));
        self.outlines.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&outline));
        outline
    }

    /// Service revision → task definition, both by ARN.
    pub(super) fn service_revision(&self, aws: &Aws, region: &Region, arn: &str) -> Option<String> {
        let mut known = self.service_revisions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(definition) = known.get(arn) {
            return Some(definition.clone());
        }
        let kept: String = aws.recall(&place(region, arn)?, arn)?;
        known.insert(arn.to_owned(), kept.clone());
        Some(kept)
    }

    pub(super) fn keep_service_revision(&self, aws: &Aws, region: &Region, arn: &str, definition: &str) {
        if let Some(place) = place(region, arn) {
            aws.remember(&place, arn, &definition);
        }
        let mut known = self.service_revisions.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(arn.to_owned(), definition.to_owned());
    }
}

/// One task definition by ARN or `family:revision`, asked of AWS, with its tags (DescribeTaskDefinition).
pub(super) async fn read(
    aws: &Aws,
    facts: &Facts,
    region: &Region,
    name: &str,
) -> Result<Arc<Definition>, TargetError> {
    let (answer, asked) = (Answer::default(), SystemClock.now());
    let call = aws.ecs(region).describe_task_definition().task_definition(name);
    let call = call.include(aws_sdk_ecs::types::TaskDefinitionField::Tags);
    let send = || call.clone().customize().interceptor(answer.clone()).send();
    let sent = aws.patiently(Service::Ecs, region, send).await;
    let object = object(name, &aws.place(region));
    sent.map_err(|error| missing(classify("ecs:DescribeTaskDefinition", &object, error), &object))?;
    let definition = answer.take().and_then(Definition::new).ok_or_else(|| unreadable(name, &object))?;
    let outline = Outline::new(&definition, asked);
    if let Some(place) = place(region, &definition.arn) {
        aws.remember(&place, &definition.arn, &outline);
    }
    facts.keep_outline(region, &definition.arn, outline);
    Ok(facts.keep(region, definition))
}

/// Whose this is. `None`: what its ARN says of that is not understood, so it is kept for no later run.
fn place<'a>(region: &'a Region, arn: &'a str) -> Option<Place<'a>> {
    Some(Place { service: Service::Ecs, account: account_of(arn)?, region })
}

/// What observing needs of a task definition, by ARN: asked of AWS once ever. `created`: a service that uses it was.
pub(super) async fn outline(
    aws: &Aws,
    facts: &Facts,
    region: &Region,
    arn: &str,
    created: Option<Timestamp>,
) -> Result<Arc<Outline>, TargetError> {
    let kept = || {
        let kept = aws.recall(&place(region, arn)?, arn)?;
        Some(facts.keep_outline(region, arn, kept))
    };
    let known = facts.outline(region, arn).or_else(kept).filter(|known| known.is_since(created));
    if let Some(known) = known {
        return Ok(known);
    }
    let definition = read(aws, facts, region, arn).await?;
    Ok(facts.outline(region, arn).unwrap_or_else(|| Arc::new(Outline::new(&definition, SystemClock.now()))))
}

/// ECS has no error code of its own for a task definition that is not there (API reference: ClientException).
fn missing(error: AwsError, object: &str) -> TargetError {
    let says =
        |code: &str, message: &str| code == "ClientException" && message.contains("Unable to describe task definition");
    match &error {
        AwsError::Other { code, message, .. } if says(code, message) => {
            TargetError::Gone { what: object.to_owned(), keys: None }
        }
        _ => error.into(),
    }
}

fn object(name: &str, place: &str) -> String {
    format!("task definition {} in {place}", short(name))
}

/// `web:7` of an ARN.
pub(super) fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

fn unreadable(name: &str, object: &str) -> TargetError {
    TargetError::Refused {
        what: format!("{object}: AWS's answer could not be read"),
        hint: format!("aws ecs describe-task-definition --task-definition {}", short(name)),
    }
}

impl EcsTarget {
    /// One revision, from what was read before where possible.
    pub(super) async fn definition(&self, arn: &str) -> Result<Arc<Definition>, TargetError> {
        match self.facts.get(&self.spec.region, arn) {
            Some(known) => Ok(known),
            None => self.fresh(arn).await,
        }
    }

    /// One revision as it is now: its status and its tags may have changed.
    pub(super) async fn fresh(&self, arn: &str) -> Result<Arc<Definition>, TargetError> {
        read(&self.aws, &self.facts, &self.spec.region, arn).await
    }

    /// The revision that says what `source` says, with this image: an ACTIVE one where there is one already (made by an
    /// order that a crash cut short, or long ago), else a new one.
    pub(super) async fn like(&self, source: &Definition, image: &ImageRef) -> Result<Arc<Definition>, TargetError> {
        let request = source.registration(&self.spec.settings.container, &image.to_string());
        if source.is_active() && source.is_like(&request) {
            return Ok(Arc::new(source.clone()));
        }
        match self.registered(&source.family, &request).await? {
            Some(found) => Ok(found),
            None => self.register(&source.family, &request).await,
        }
    }

    async fn registered(&self, family: &str, request: &Value) -> Result<Option<Arc<Definition>>, TargetError> {
        let call = self.aws.ecs(&self.spec.region).list_task_definitions().family_prefix(family);
        let call = call.sort(aws_sdk_ecs::types::SortOrder::Desc).max_results(LOOKED_THROUGH);
        let answer = self.aws.patiently(Service::Ecs, &self.spec.region, || call.clone().send()).await;
        let answer = answer.map_err(|error| classify("ecs:ListTaskDefinitions", &self.family(family), error))?;
        for arn in answer.task_definition_arns() {
            // `familyPrefix` is documented as the full name; whatever it finds, the family itself is what is meant.
            let is_of_family = short(arn).rsplit_once(':').is_some_and(|(name, _)| name == family);
            if !is_of_family {
                continue;
            }
            match self.definition(arn).await {
                Ok(definition) if definition.is_like(request) => return Ok(Some(definition)),
                // Deregistered and deleted since it was listed.
                Ok(_) | Err(TargetError::Gone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn family(&self, family: &str) -> String {
        object(family, &self.aws.place(&self.spec.region))
    }

    /// Registers a new revision: the JSON itself is sent, so that no field is lost on the way through the SDK.
    async fn register(&self, family: &str, request: &Value) -> Result<Arc<Definition>, TargetError> {
        let region = &self.spec.region;
        let answer = Answer::default();
        let call = self.aws.ecs(region).register_task_definition().family(family);
        // The SDK asks for what the API needs; what is sent is the JSON.
        let call = call.set_container_definitions(Some(Vec::new())).customize();
        let object = self.family(family);
        let body = serde_json::to_vec(request).map_err(|_| unreadable(family, &object))?;
        let call = call.interceptor(Request(body)).interceptor(answer.clone());
        let sent = self.aws.in_turn(Service::Ecs, region, call.send()).await;
        sent.map_err(|error| classify("ecs:RegisterTaskDefinition", &object, error))?;
        let made = answer.take().and_then(Definition::new).ok_or_else(|| TargetError::Refused {
            what: format!("{object}: AWS did not say which revision it made"),
            hint: "run the same command again: it finds that revision".to_owned(),
        })?;
        Ok(self.facts.keep(region, made))
    }

    /// What would change besides the image on the way from one revision to another.
    pub(super) async fn compare(&self, from: &Revision, to: &Revision) -> Result<Vec<String>, TargetError> {
        let from = self.definition(from.as_str()).await?;
        let to = match self.fresh(to.as_str()).await {
            Ok(to) => to,
            Err(TargetError::Gone { .. }) => {
                let why = format!("nothing else: {} was deleted, so only the image goes back", short(to.as_str()));
                return Ok(vec![why]);
            }
            Err(error) => return Err(error),
        };
        let mut lines = from.differences(&to, &self.spec.settings.container);
        if !to.is_active() {
            lines.push(format!("its number: {} is {}, and is registered anew", short(&to.arn), to.status()));
        }
        Ok(lines)
    }
}
