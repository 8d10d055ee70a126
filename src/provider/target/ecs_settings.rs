//! What the config says of an ECS service: where it is, which of its containers is meant, and how long to wait.

use crate::model::SlotName;
use crate::provider::section::Section;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The word for it in the config.
pub const KIND: &str = "ecs";

/// An ECS service and one container of its task definition. How tasks are replaced (percentages, circuit breaker,
/// alarms) is the service's own deployment configuration at AWS, and is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcsSettings {
    /// The cluster's name or ARN.
    pub cluster: String,
    /// The service's name.
    pub service: String,
    /// The container whose image is moved; the others of the task definition are left alone.
    pub container: SlotName,
    /// How long a deployment may take before imgctl gives up waiting and says so. Default one hour.
    pub time_limit: Duration,
    /// How often a deployment under way is asked how far it is. Default five seconds.
    pub poll_interval: Duration,
}

impl EcsSettings {
    /// A service with everything else at its default.
    pub fn new(cluster: impl Into<String>, service: impl Into<String>, container: SlotName) -> Self {
        let (cluster, service) = (cluster.into(), service.into());
        let (time_limit, poll_interval) = (Duration::from_secs(3600), Duration::from_secs(5));
        Self { cluster, service, container, time_limit, poll_interval }
    }

    /// The cluster's name, also where the config says its ARN.
    pub fn cluster_name(&self) -> &str {
        self.cluster.rsplit('/').next().unwrap_or(&self.cluster)
    }
}

/// From a minute, so that a typing mistake does not give up at once, to a week.
const TIME_LIMIT: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);

/// Each question is a call that AWS counts.
const POLL_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);

/// Reads a target's `cluster`, `service`, `container`, and its patience.
pub(super) fn read(section: &Section<'_>) -> Option<EcsSettings> {
    let cluster = section.required_text("cluster", "the ECS cluster's name");
    let service = section.required_text("service", "the ECS service's name");
    let container = section.required("container", "the container's name in the task definition");
    let limit = section.duration("time_limit", TIME_LIMIT);
    let interval = section.duration("poll_interval", POLL_INTERVAL);
    let (cluster, service) = (cluster?.into_inner(), service?.into_inner());
    let mut settings = EcsSettings::new(cluster, service, container?.into_inner());
    settings.time_limit = limit.map_or(settings.time_limit, toml::Spanned::into_inner);
    settings.poll_interval = interval.map_or(settings.poll_interval, toml::Spanned::into_inner);
    Some(settings)
}
