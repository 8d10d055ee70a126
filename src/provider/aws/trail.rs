//! CloudTrail's event history: who changed what in the last 90 days. Asked only where the config says so.
//!
//! LookupEvents takes one attribute and two calls a second for each account and region
//! (<https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html>), so the newest events of a name are read
//! once, and everything that wants to know looks through them. An event may be minutes late.

use super::{Aws, AwsError, classify};
use crate::model::{Attribution, Region};
use aws_sdk_cloudtrail::types::{Event, LookupAttribute, LookupAttributeKey};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::sync::{Arc, PoisonError};
use tokio::sync::OnceCell;

/// Events of a name that are looked through: the newest, 50 a call.
const PAGES: usize = 10;

/// A call that changed something.
#[derive(Debug, Clone)]
struct Change {
    by: Attribution,
    /// What was asked for, with secrets left out by CloudTrail itself.
    request: Value,
}

/// The events of one name, or why they are not told, once somebody has asked for them.
pub(super) type Read = Arc<OnceCell<Result<Arc<Trail>, AwsError>>>;

/// Newest first.
#[derive(Debug, Default)]
pub(super) struct Trail(Vec<Change>);

/// A management event, as far as it matters here
/// (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    user_identity: Option<Identity>,
    event_time: Option<Timestamp>,
    error_code: Option<String>,
    #[serde(default)]
    request_parameters: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    arn: Option<String>,
    /// A service that acted by itself: `autoscaling.amazonaws.com`.
    invoked_by: Option<String>,
}

impl Aws {
    /// Whether the config lets CloudTrail be asked.
    pub(in crate::provider) fn asks_cloudtrail(&self) -> bool {
        self.trail
    }

    /// Who made the newest of these calls that succeeded and whose request `fits`. `None`: nobody in the events that are
    /// read, or CloudTrail is not to be asked.
    ///
    /// # Errors
    /// CloudTrail does not answer, or not to us.
    pub(in crate::provider) async fn last_change(
        &self,
        region: &Region,
        events: &[&'static str],
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Option<Attribution>, AwsError> {
        if !self.trail {
            return Ok(None);
        }
        let mut found: Vec<Attribution> = Vec::new();
        for event in events {
            let trail = self.trail(region, event).await?;
            found.extend(trail.0.iter().find(|change| fits(&change.request)).map(|change| change.by.clone()));
        }
        Ok(found.into_iter().max_by_key(|by| by.at))
    }

    async fn trail(&self, region: &Region, event: &'static str) -> Result<Arc<Trail>, AwsError> {
        let read = {
            let mut trails = self.trails.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(trails.entry((region.clone(), event)).or_default())
        };
        read.get_or_init(|| self.look_up(region, event)).await.clone()
    }

    async fn look_up(&self, region: &Region, event: &'static str) -> Result<Arc<Trail>, AwsError> {
        let attribute = LookupAttribute::builder().attribute_key(LookupAttributeKey::EventName).attribute_value(event);
        let failed = |error| {
            let object = format!("the events {event} in {}", self.place(region));
            classify("cloudtrail:LookupEvents", &object, error)
        };
        let attribute = attribute.build().ok();
        let look = self.cloudtrail(region).lookup_events().set_lookup_attributes(attribute.map(|only| vec![only]));
        let mut pages = look.into_paginator().send();
        let mut trail = Trail::default();
        for _ in 0..PAGES {
            let Some(page) = pages.next().await else { break };
            trail.0.extend(page.map_err(failed)?.events().iter().filter_map(|each| Change::read(event, each)));
        }
        Ok(Arc::new(trail))
    }
}

impl Change {
    /// `None`: the call was refused, or says not who made it.
    fn read(name: &str, event: &Event) -> Option<Self> {
        let record: Record = serde_json::from_str(event.cloud_trail_event()?).ok()?;
        if record.error_code.is_some() {
            return None;
        }
        let identity = record.user_identity.and_then(|identity| identity.arn.or(identity.invoked_by));
        let who = identity.or_else(|| event.username().map(str::to_owned))?;
        // It is shown on terminals.
        let who = who.chars().filter(|c| !c.is_control()).collect();
        let by = Attribution { who, at: record.event_time, source: format!("CloudTrail {name}") };
        Some(Self { by, request: record.request_parameters })
    }
}

/// Whether one of these texts stands anywhere in a request: services put names and ids at places of their own.
pub(in crate::provider) fn names(request: &Value, wanted: &[&str]) -> bool {
    match request {
        // An ARN ends in the name.
        Value::String(text) => wanted.iter().any(|name| text == name || text.rsplit('/').next() == Some(name)),
        Value::Array(items) => items.iter().any(|item| names(item, wanted)),
        Value::Object(members) => members.values().any(|value| names(value, wanted)),
        _ => false,
    }
}

/// Whether a request sets one of these members, wherever it stands.
pub(in crate::provider) fn sets(request: &Value, keys: &[&str]) -> bool {
    match request {
        Value::Array(items) => items.iter().any(|item| sets(item, keys)),
        Value::Object(members) => members.iter().any(|(key, value)| {
            (!value.is_null() && keys.iter().any(|wanted| wanted.eq_ignore_ascii_case(key))) || sets(value, keys)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn change(record: &Value) -> Option<Change> {
        let event = Event::builder().username("ada").cloud_trail_event(record.to_string()).build();
        Change::read("UpdateAutoScalingGroup", &event)
    }

    #[test]
    fn an_event_says_who_and_when_and_a_refused_one_says_nothing() {
        let arn = "arn:aws:sts::123456789012:assumed-role/ops/ada";
        let record = json!({"userIdentity": {"type": "AssumedRole", "arn": arn}, "eventTime": "2026-11-20T12:00:00Z",
            "requestParameters": {"autoScalingGroupName": "web"}});
        let by = change(&record).unwrap().by;
        assert_eq!((by.who.as_str(), by.source.as_str()), (arn, "CloudTrail UpdateAutoScalingGroup"));
        assert_eq!(by.at, Some("2026-11-20T12:00:00Z".parse().unwrap()));
        let service = json!({"userIdentity": {"type": "AWSService", "invokedBy": "autoscaling.amazonaws.com"}});
        assert_eq!(change(&service).unwrap().by.who, "autoscaling.amazonaws.com");
        assert_eq!(change(&json!({})).unwrap().by.who, "ada");
        assert!(change(&json!({"errorCode": "AccessDenied", "userIdentity": {"arn": arn}})).is_none());
    }

    #[test]
    fn a_request_is_found_by_what_it_names_and_sets() {
        let group = json!({"autoScalingGroupName": "web", "launchTemplate": {"version": "2"}, "desiredCapacity": null});
        assert!(names(&group, &["web"]) && !names(&group, &["we"]) && sets(&group, &["launchTemplate"]));
        assert!(!sets(&group, &["desiredCapacity", "mixedInstancesPolicy"]), "null sets nothing");
        let template = json!({"ModifyLaunchTemplateRequest": {"LaunchTemplateId": "lt-1", "SetDefaultVersion": "2"}});
        assert!(names(&template, &["x", "lt-1"]) && sets(&template, &["setDefaultVersion"]));
        let service =
            json!({"service": "arn:aws:ecs:eu-west-1:123456789012:service/main/api", "taskDefinition": "api:2"});
        assert!(names(&service, &["api"]) && !names(&service, &["main"]));
    }
}
