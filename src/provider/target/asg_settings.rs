//! What the config says of an Auto Scaling group: its name, and StartInstanceRefresh's preferences as AWS names them.

use crate::provider::section::Section;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The word for it in the config.
pub const KIND: &str = "asg";

/// An Auto Scaling group. Preferences are always sent, never left to AWS: the API's defaults wait for an hour and fail
/// on protected and standby instances, and terminate the only instance of a group of one before its successor runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsgSettings {
    /// The group's name.
    pub name: String,
    /// MinHealthyPercentage, 0 to 100. Default 100: nothing is taken away before its successor is healthy.
    pub min_healthy_percentage: u8,
    /// MaxHealthyPercentage, 101 to 200 and at most 100 above the minimum. Default 110: a group of one launches first.
    pub max_healthy_percentage: u8,
    /// CheckpointPercentages, ascending, the last 100. Default none.
    pub checkpoints: Vec<u8>,
    /// CheckpointDelay, up to 48 hours. AWS's default is one hour.
    pub checkpoint_delay: Option<Duration>,
    /// BakeTime, up to 48 hours: how long to watch after the last instance. Default none.
    pub bake_time: Option<Duration>,
    /// InstanceWarmup. Default: the group's DefaultInstanceWarmup, else its health-check grace period.
    pub instance_warmup: Option<Duration>,
    /// AlarmSpecification: CloudWatch alarms that fail the refresh, at most ten.
    pub alarms: Vec<String>,
    /// SkipMatching. Default true: instances that run the image already are left alone.
    pub skip_matching: bool,
    /// AutoRollback. Default true; not sent where AWS does not allow it.
    pub auto_rollback: bool,
    /// ScaleInProtectedInstances. Default `Refresh`: a group that keeps old instances is not promoted.
    pub scale_in_protected_instances: ScaleInProtected,
    /// StandbyInstances. Default `Ignore`: someone took them out of service to look at them.
    pub standby_instances: Standby,
    /// How long a refresh may take before imgctl gives up waiting and says so. Default one hour.
    pub time_limit: Duration,
    /// How often a refresh under way is asked how far it is. Default five seconds.
    pub poll_interval: Duration,
}

/// `Wait` is left out: it fails the refresh after an hour unless a person acts in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleInProtected {
    Refresh,
    Ignore,
}

/// `Wait` is left out, as for protected instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standby {
    Terminate,
    Ignore,
}

impl AsgSettings {
    /// A group with every preference at its default.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            min_healthy_percentage: 100,
            max_healthy_percentage: 110,
            checkpoints: Vec::new(),
            checkpoint_delay: None,
            bake_time: None,
            instance_warmup: None,
            alarms: Vec::new(),
            skip_matching: true,
            auto_rollback: true,
            scale_in_protected_instances: ScaleInProtected::Refresh,
            standby_instances: Standby::Ignore,
            time_limit: Duration::from_secs(3600),
            poll_interval: Duration::from_secs(5),
        }
    }
}

const TWO_DAYS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(48 * 3600);
/// From a minute, so that a typing mistake does not give up at once, to a week.
const TIME_LIMIT: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);

/// Each question is a call that AWS counts.
const POLL_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);

/// Reads a target's `name`, its patience, and `[….refresh]`.
pub(super) fn read(section: &Section<'_>) -> Option<AsgSettings> {
    let name = section.required_text("name", "the Auto Scaling group's name")?;
    let mut settings = AsgSettings::new(name.into_inner());
    if let Some(limit) = section.duration("time_limit", TIME_LIMIT) {
        settings.time_limit = limit.into_inner();
    }
    if let Some(interval) = section.duration("poll_interval", POLL_INTERVAL) {
        settings.poll_interval = interval.into_inner();
    }
    if let Some(refresh) = section.section("refresh") {
        read_percentages(&refresh, &mut settings);
        read_checkpoints(&refresh, &mut settings);
        read_rest(&refresh, &mut settings);
        refresh.finish();
    }
    Some(settings)
}

fn read_percentages(refresh: &Section<'_>, settings: &mut AsgSettings) {
    let min = refresh.number("min_healthy_percentage", 0..=100);
    let max = refresh.number("max_healthy_percentage", 100..=200);
    let least = min.as_ref().map_or(u64::from(settings.min_healthy_percentage), |min| *min.get_ref());
    let most = max.as_ref().map_or(u64::from(settings.max_healthy_percentage), |max| *max.get_ref());
    let Some(place) = max.as_ref().or(min.as_ref()).map(toml::Spanned::span) else { return };
    let title = "`max_healthy_percentage` does not go with `min_healthy_percentage`";
    if most <= least {
        refresh.fault(place, title, format!("{least} to {most} leaves no room: the maximum must be above the minimum"));
    } else if most - least > 100 {
        refresh.fault(place, title, format!("{least} to {most} is too wide: AWS allows a difference of at most 100"));
    }
    settings.min_healthy_percentage = percent(least);
    settings.max_healthy_percentage = percent(most);
}

fn read_checkpoints(refresh: &Section<'_>, settings: &mut AsgSettings) {
    let checkpoints = refresh.numbers("checkpoints", 1..=100);
    let pairs = checkpoints.iter().zip(checkpoints.iter().skip(1));
    for (before, after) in pairs.filter(|(before, after)| before.get_ref() >= after.get_ref()) {
        let label = format!("{} does not come after {}", after.get_ref(), before.get_ref());
        refresh.fault(after.span(), "`checkpoints` must go up", label);
    }
    if let Some(last) = checkpoints.last().filter(|last| *last.get_ref() != 100) {
        let title = "the last of `checkpoints` must be 100";
        refresh.fault(last.span(), title, "the rest of the group would keep the old image");
    }
    settings.checkpoints = checkpoints.iter().map(|checkpoint| percent(*checkpoint.get_ref())).collect();
    let delay = refresh.duration("checkpoint_delay", TWO_DAYS);
    if let Some(delay) = delay.as_ref().filter(|_| checkpoints.is_empty()) {
        refresh.fault(delay.span(), "`checkpoint_delay` without `checkpoints`", "it would have no effect");
    }
    settings.checkpoint_delay = delay.map(toml::Spanned::into_inner);
}

fn read_rest(refresh: &Section<'_>, settings: &mut AsgSettings) {
    settings.bake_time = refresh.duration("bake_time", TWO_DAYS).map(toml::Spanned::into_inner);
    settings.instance_warmup = refresh.duration("instance_warmup", TWO_DAYS).map(toml::Spanned::into_inner);
    let alarms = refresh.texts("alarms");
    if let Some(eleventh) = alarms.get(10) {
        refresh.fault(eleventh.span(), "too many `alarms`", "AWS allows at most 10");
    }
    settings.alarms = alarms.into_iter().map(toml::Spanned::into_inner).collect();
    settings.skip_matching = refresh.flag("skip_matching").unwrap_or(settings.skip_matching);
    settings.auto_rollback = refresh.flag("auto_rollback").unwrap_or(settings.auto_rollback);
    let protected = [("Refresh", ScaleInProtected::Refresh), ("Ignore", ScaleInProtected::Ignore)];
    if let Some(choice) = refresh.choice("scale_in_protected_instances", &protected) {
        settings.scale_in_protected_instances = choice.into_inner();
    }
    let standby = [("Ignore", Standby::Ignore), ("Terminate", Standby::Terminate)];
    if let Some(choice) = refresh.choice("standby_instances", &standby) {
        settings.standby_instances = choice.into_inner();
    }
}

/// The ranges above end at 200.
fn percent(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
