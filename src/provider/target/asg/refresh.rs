//! Instance refreshes: started with a numeric version and explicit preferences, followed to their end, stopped, turned back.

use super::super::TargetError;
use super::super::asg_settings::{ScaleInProtected, Standby};
use super::AsgTarget;
use super::deploy::described;
use super::group::{self, Group, Named, Slot};
use super::mixed;
use super::stand::{Stand, TEMPLATE};
use crate::model::{Deployment, Motion, Region, Revision};
use crate::provider::aws::{Aws, AwsError, Service, classify};
use aws_sdk_autoscaling::types::{
    AlarmSpecification, DesiredConfiguration, InstanceRefresh, InstanceRefreshStatus, RefreshPreferences,
    ScaleInProtectedInstances, StandbyInstances,
};
use jiff::Timestamp;
use std::time::Duration;

/// The newest refresh of a group; AWS tells those of the last six weeks (DescribeInstanceRefreshes).
pub(super) async fn newest(aws: &Aws, region: &Region, group: &str) -> Result<Option<Deployment>, TargetError> {
    let call = aws.autoscaling(region).describe_instance_refreshes().auto_scaling_group_name(group).max_records(1);
    let answer = aws.patiently(Service::AutoScaling, region, || call.clone().send()).await;
    let answer = answer.map_err(|error| denied(aws, region, group, error))?;
    Ok(answer.instance_refreshes().first().map(deployment))
}

fn denied<E>(aws: &Aws, region: &Region, group: &str, error: aws_sdk_autoscaling::error::SdkError<E>) -> AwsError
where
    E: aws_sdk_autoscaling::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    classify("autoscaling:DescribeInstanceRefreshes", &format!("{group} in {}", aws.place(region)), error)
}

fn deployment(refresh: &InstanceRefresh) -> Deployment {
    let count = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    Deployment {
        id: refresh.instance_refresh_id().unwrap_or_default().to_owned(),
        motion: motion(refresh),
        toward: refresh.desired_configuration().and_then(leads_to).and_then(|stand| stand.revision()),
        started: refresh.start_time().and_then(|time| Timestamp::from_second(time.secs()).ok()),
        percent: count(refresh.percentage_complete()),
        left: count(refresh.instances_to_update()),
    }
}

/// Where a desired configuration leads, where it names numbers only.
fn leads_to(desired: &DesiredConfiguration) -> Option<Stand> {
    if let Some(policy) = desired.mixed_instances_policy() {
        return group::stand(true, mixed::slots(policy), |_, _| None);
    }
    let template = desired.launch_template()?;
    let (template, version) = (template.launch_template_id()?.to_owned(), template.version()?.to_owned());
    let slot = Slot { name: TEMPLATE.parse().ok()?, named: Named::Version { template, version }, types: Vec::new() };
    group::stand(false, vec![slot], |_, _| None)
}

fn motion(refresh: &InstanceRefresh) -> Motion {
    use InstanceRefreshStatus as Status;
    let note = refresh.status_reason().map(str::to_owned);
    let reason = || {
        let rollback = refresh.rollback_details().and_then(|details| details.rollback_reason().map(str::to_owned));
        rollback.or(note.clone()).unwrap_or_else(|| "AWS gives no reason".to_owned())
    };
    let Some(status) = refresh.status() else {
        return Motion::Failed { reason: reason() };
    };
    let phase = status.as_str().to_owned();
    match status {
        Status::Successful => Motion::Succeeded,
        Status::Failed | Status::RollbackFailed => Motion::Failed { reason: reason() },
        Status::Cancelled => Motion::Cancelled { reason: reason() },
        Status::RollbackSuccessful => Motion::RolledBack { reason: reason() },
        Status::RollbackInProgress | Status::Cancelling => Motion::Returning { phase, note },
        // Pending, InProgress, Baking, and what AWS may add: under way until it says otherwise.
        _ => Motion::Moving { phase, note },
    }
}

/// How often a refresh that is to stop is asked whether it has.
const STOPPING: Duration = Duration::from_secs(2);

impl AsgTarget {
    /// One refresh by its id.
    pub(super) async fn refresh(&self, id: &str) -> Result<Deployment, TargetError> {
        let (region, group) = (&self.spec.region, &self.spec.group);
        let call = self.aws.autoscaling(region).describe_instance_refreshes().auto_scaling_group_name(group);
        let call = call.instance_refresh_ids(id);
        let answer = self.aws.patiently(Service::AutoScaling, region, || call.clone().send()).await;
        let answer = answer.map_err(|error| denied(&self.aws, region, group, error))?;
        let found = answer.instance_refreshes().first().map(deployment);
        found.ok_or_else(|| TargetError::Gone {
            what: format!("instance refresh {id} of {}", self.object()),
            keys: None,
        })
    }

    /// The refresh that is under way now, if one is.
    pub(super) async fn active(&self) -> Result<Option<Deployment>, TargetError> {
        Ok(newest(&self.aws, &self.spec.region, &self.spec.group).await?.filter(Deployment::is_active))
    }

    /// Starts one refresh toward numeric versions of all slots. AWS knows no token for this call, so a refresh toward
    /// the very same ones that is already under way is the answer to an earlier order, and not an obstacle.
    pub(super) async fn start_refresh(
        &self,
        group: &Group,
        toward: &Stand,
        revision: &Revision,
    ) -> Result<String, TargetError> {
        let (template, policy) = described(&group.source, toward);
        let desired = DesiredConfiguration::builder().set_launch_template(template).set_mixed_instances_policy(policy);
        let call = self.aws.autoscaling(&self.spec.region).start_instance_refresh();
        let call = call
            .auto_scaling_group_name(&self.spec.group)
            .desired_configuration(desired.build())
            .preferences(self.preferences());
        let error = match self.aws.in_turn(Service::AutoScaling, &self.spec.region, call.send()).await {
            Ok(answer) => return Ok(answer.instance_refresh_id().unwrap_or_default().to_owned()),
            Err(error) => error,
        };
        if error.as_service_error().is_some_and(|error| error.is_instance_refresh_in_progress_fault())
            && let Some(active) = self.active().await?
        {
            if active.toward.as_ref() == Some(revision) {
                return Ok(active.id);
            }
            return Err(self.busy(&active));
        }
        Err(classify("autoscaling:StartInstanceRefresh", &self.object(), error).into())
    }

    fn still_stopping(&self, id: &str) -> TargetError {
        let (object, minutes) = (self.object(), self.spec.settings.time_limit.as_secs() / 60);
        TargetError::Refused {
            what: format!(
                "{object}: instance refresh {id} was cancelled {minutes} minutes ago, and still has not ended"
            ),
            hint: "AWS goes on stopping it; when it has ended, run the same command again".to_owned(),
        }
    }

    pub(super) fn busy(&self, active: &Deployment) -> TargetError {
        TargetError::Refused {
            what: format!(
                "{} has instance refresh {} under way, which this rollout did not start",
                self.object(),
                active.id
            ),
            hint: "wait for its end, then run the same command again".to_owned(),
        }
    }

    /// Every preference is given: the API's own defaults differ from the console's, and some wait an hour for nothing.
    fn preferences(&self) -> RefreshPreferences {
        let settings = &self.spec.settings;
        let seconds = |time: std::time::Duration| i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
        let alarms = (!settings.alarms.is_empty())
            .then(|| AlarmSpecification::builder().set_alarms(Some(settings.alarms.clone())).build());
        let checkpoints: Option<Vec<i32>> = (!settings.checkpoints.is_empty())
            .then(|| settings.checkpoints.iter().map(|percent| i32::from(*percent)).collect());
        let delay = checkpoints.as_ref().and(settings.checkpoint_delay).map(seconds);
        let protected = match settings.scale_in_protected_instances {
            ScaleInProtected::Refresh => ScaleInProtectedInstances::Refresh,
            ScaleInProtected::Ignore => ScaleInProtectedInstances::Ignore,
        };
        let standby = match settings.standby_instances {
            Standby::Terminate => StandbyInstances::Terminate,
            Standby::Ignore => StandbyInstances::Ignore,
        };
        RefreshPreferences::builder()
            .min_healthy_percentage(settings.min_healthy_percentage.into())
            .max_healthy_percentage(settings.max_healthy_percentage.into())
            .set_instance_warmup(settings.instance_warmup.map(seconds))
            .skip_matching(settings.skip_matching)
            .auto_rollback(settings.auto_rollback)
            .scale_in_protected_instances(protected)
            .standby_instances(standby)
            .set_alarm_specification(alarms)
            .set_checkpoint_percentages(checkpoints)
            .set_checkpoint_delay(delay)
            .set_bake_time(settings.bake_time.map(seconds))
            .build()
    }

    /// Turns a refresh that is under way back (RollbackInstanceRefresh). `false`: AWS says it cannot be turned back.
    pub(super) async fn turn_back(&self, active: &Deployment) -> Result<bool, TargetError> {
        let turned = InstanceRefreshStatus::RollbackInProgress.as_str();
        if matches!(&active.motion, Motion::Returning { phase, .. } if phase == turned) {
            return Ok(true);
        }
        let call = self.aws.autoscaling(&self.spec.region).rollback_instance_refresh();
        match call.auto_scaling_group_name(&self.spec.group).send().await {
            Ok(_) => Ok(true),
            Err(error) => {
                let refused = error.as_service_error().is_some_and(|error| {
                    error.is_irreversible_instance_refresh_fault() || error.is_active_instance_refresh_not_found_fault()
                });
                if refused {
                    return Ok(false);
                }
                Err(classify("autoscaling:RollbackInstanceRefresh", &self.object(), error).into())
            }
        }
    }

    /// Cancels a refresh and waits until AWS says that it has ended, as long as a refresh may take. Instances already
    /// replaced stay replaced.
    pub(super) async fn cancel_refresh(&self, id: &str) -> Result<(), TargetError> {
        let call = self.aws.autoscaling(&self.spec.region).cancel_instance_refresh();
        if let Err(error) = call.auto_scaling_group_name(&self.spec.group).send().await {
            let ended =
                error.as_service_error().is_some_and(|error| error.is_active_instance_refresh_not_found_fault());
            if !ended {
                return Err(classify("autoscaling:CancelInstanceRefresh", &self.object(), error).into());
            }
        }
        let (limit, began) = (self.spec.settings.time_limit, tokio::time::Instant::now());
        while self.refresh(id).await?.is_active() {
            if began.elapsed() >= limit {
                return Err(self.still_stopping(id));
            }
            tokio::time::sleep(STOPPING.min(self.spec.settings.poll_interval)).await;
        }
        Ok(())
    }
}
