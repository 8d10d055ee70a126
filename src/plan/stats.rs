//! DORA's four keys, counted from a channel's changes: only what is known, and beside it how much of it is.
//!
//! The keys are those of dora.dev/guides/dora-metrics ("Change lead time: the amount of time it takes for a change to go
//! from committed to version control to deployed in production", and so on); what each counts here stands at its field.

use super::change::{Change, ChangeKind, Status};
use super::period::Period;
use crate::model::{ImageKey, Seq};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The four keys of one channel in one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figures {
    #[serde(flatten)]
    pub period: Period,
    /// Deployment frequency: promotions that began in the period, have ended, and moved some target to another image.
    /// Rollbacks bring nothing new and are none; neither is promoting the channel's own image again.
    pub deployments: u64,
    /// The period divided by their number, in seconds.
    pub mean_seconds_between: Option<u64>,
    /// Deployments that have not ended, and are in no other figure.
    pub open: u64,
    /// Change lead time: from the commit that the image was built from to the end of the first successful deployment of
    /// that image. Other commits in it are older, so it is the shortest of theirs.
    pub lead_time: Spread,
    /// First successful deployments of images whose commit's time nobody recorded, or that are said to be older than it.
    pub lead_time_unknown: u64,
    /// Change fail rate: deployments that did not succeed, or whose image a rollback turned away from later.
    pub failed: u64,
    /// `failed` of `deployments`, in per mille.
    pub failed_per_mille: Option<u64>,
    /// Failed deployment recovery time: from the first order that a platform took for it until the end of the rollback,
    /// or of whatever succeeded next on the channel. When the trouble began nobody wrote down: it is never too short.
    pub recovery: Spread,
    pub not_recovered: u64,
}

/// What lies in the middle of some durations, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    pub count: u64,
    /// Of an even count, half way between the two in the middle.
    pub median_seconds: Option<u64>,
    /// Nine in ten took no longer (nearest rank). Of fewer than ten there is none.
    pub p90_seconds: Option<u64>,
}

impl Spread {
    fn of(mut seconds: Vec<u64>) -> Self {
        seconds.sort_unstable();
        let count = seconds.len();
        let at = |place: usize| seconds.get(place).copied();
        let upper = at(count / 2);
        let lower = if count.is_multiple_of(2) { count.checked_sub(2).and_then(|n| at(n / 2)) } else { upper };
        let median = lower.zip(upper).map(|(lower, upper)| lower.midpoint(upper));
        let p90 = if count < 10 { None } else { at((count * 9).div_ceil(10) - 1) };
        Self { count: count as u64, median_seconds: median, p90_seconds: p90 }
    }
}

/// A promotion that moved some target to another image.
#[derive(Debug)]
struct Deployment {
    rollout: Seq,
    began: Timestamp,
    /// When a platform first took an order for it.
    moved: Timestamp,
    lead: Lead,
    failed: bool,
    recovered: Option<Timestamp>,
}

/// The lead time of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lead {
    /// It did not succeed, or the image had been there before.
    None,
    Unknown,
    Seconds(u64),
}

/// A channel's rollouts, taken in one after the other, in the order in which they began.
#[derive(Debug, Default)]
pub struct Tally {
    deployments: Vec<Deployment>,
    open: Vec<Timestamp>,
    /// The newest deployment of each image, by its place.
    newest: BTreeMap<ImageKey, usize>,
    released: BTreeSet<ImageKey>,
}

impl Tally {
    pub fn see(&mut self, change: &Change) {
        match change.kind {
            ChangeKind::Promote => self.promoted(change),
            // Begun is enough: what somebody turns away from has failed, also where getting away from it fails, too.
            ChangeKind::Rollback => self.turned_away(change),
            _ => return,
        }
        if let (Status::Succeeded, Some(ended)) = (change.status, change.ended) {
            let began = change.first.entry;
            let waiting = |deployment: &&mut Deployment| {
                deployment.failed && deployment.recovered.is_none() && deployment.rollout < began
            };
            self.deployments.iter_mut().filter(waiting).for_each(|deployment| deployment.recovered = Some(ended));
        }
    }

    fn promoted(&mut self, change: &Change) {
        let Some(to) = &change.to else { return };
        let again = change.from.as_ref().is_some_and(|from| from.image == to.image);
        let Some(moved) = change.steps.iter().filter_map(|step| step.moved()).min().filter(|_| !again) else { return };
        let Some(ended) = change.ended else { return self.open.push(change.began) };
        let first = change.status == Status::Succeeded && self.released.insert(to.image.clone());
        let lead = || match to.commit_time {
            Some(committed) if committed <= ended => Lead::Seconds(seconds(committed, ended)),
            _ => Lead::Unknown,
        };
        self.newest.insert(to.image.clone(), self.deployments.len());
        self.deployments.push(Deployment {
            rollout: change.first.entry,
            began: change.began,
            moved,
            lead: if first { lead() } else { Lead::None },
            failed: change.status != Status::Succeeded,
            // The platform itself put back what was there.
            recovered: (change.status == Status::RolledBack).then_some(ended),
        });
    }

    fn turned_away(&mut self, change: &Change) {
        let Some(left) = &change.leaves else { return };
        if let Some(deployment) = self.newest.get(left).and_then(|place| self.deployments.get_mut(*place)) {
            deployment.failed = true;
        }
    }

    /// What it comes to in a period. Deployments belong where they began, and their failing and recovery with them.
    pub fn figures(&self, period: Period) -> Figures {
        let within: Vec<&Deployment> = self.deployments.iter().filter(|one| period.holds(one.began)).collect();
        let failed: Vec<&&Deployment> = within.iter().filter(|one| one.failed).collect();
        let count = |number: usize| number as u64;
        let lead = within.iter().filter_map(|one| if let Lead::Seconds(lead) = one.lead { Some(lead) } else { None });
        let recovery: Vec<u64> = failed.iter().filter_map(|one| Some(seconds(one.moved, one.recovered?))).collect();
        let (deployments, all_failed) = (count(within.len()), count(failed.len()));
        Figures {
            period,
            deployments,
            mean_seconds_between: seconds(period.from, period.to).checked_div(deployments),
            open: count(self.open.iter().filter(|began| period.holds(**began)).count()),
            lead_time: Spread::of(lead.collect()),
            lead_time_unknown: count(within.iter().filter(|one| one.lead == Lead::Unknown).count()),
            failed: all_failed,
            failed_per_mille: (all_failed * 1000 + deployments / 2).checked_div(deployments),
            not_recovered: all_failed - count(recovery.len()),
            recovery: Spread::of(recovery),
        }
    }
}

/// Clocks that went backwards make it none at all.
fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second() - from.as_second()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::story::{at, changes};
    use super::*;

    /// The figures of a told history; `committed` is when the commit of every image was made, if that is known.
    fn figures(text: &str, committed: Option<&str>) -> Figures {
        let mut tally = Tally::default();
        for mut change in changes(text) {
            if let Some(to) = &mut change.to {
                to.commit_time = committed.map(at);
            }
            tally.see(&change);
        }
        tally.figures(Period { from: at("0m"), to: at("10d") })
    }

    fn deploy(image: &str, from: &str, begins: u64, how: &str) -> String {
        let (moved, ended) = (begins + 1, begins + 10);
        let step = if how == "ok" { "well" } else { "badly" };
        format!(
            "{begins}m promote {image} from {from}; {begins}m begun; {moved}m ordered; {ended}m {step}; {ended}m end {how};"
        )
    }

    #[test]
    fn a_deployment_brings_another_image_to_some_target() {
        let counted = |text: &str| {
            let figures = figures(text, None);
            (figures.deployments, figures.failed, figures.open)
        };
        assert_eq!(counted(&deploy("web@2", "web@1", 0, "ok")), (1, 0, 0));
        assert_eq!(counted(&deploy("web@2", "web@2", 0, "ok")), (0, 0, 0), "the channel's own image again is none");
        assert_eq!(counted("0m promote web@2 from web@1; 1m well; 1m end ok"), (0, 0, 0), "it ran there already");
        assert_eq!(
            counted("0m promote web@2 from web@1; 1m begun; 2m badly; 2m end failed"),
            (0, 0, 0),
            "none was moved"
        );
        assert_eq!(counted("0m promote web@2 from web@1; 1m begun; 2m ordered"), (0, 0, 1), "it has not ended");
        assert_eq!(
            counted("0m promote web@2 from web@1; 1m begun; 5m well; 5m end ok"),
            (1, 0, 0),
            "the answer was lost"
        );
        let back = "20m back to web@1 from web@2 of 1; 21m begun; 21m ordered; 25m well; 25m end ok";
        assert_eq!(counted(&format!("{}{back}", deploy("web@2", "web@1", 0, "ok"))), (1, 1, 0), "a rollback is none");
    }

    #[test]
    fn a_release_that_was_rolled_back_failed_and_recovered_when_the_rollback_ended() {
        let told = format!(
            "{}{}60m back to web@2 from web@3 of 6; 61m begun; 61m ordered; 65m well; 66m end ok",
            deploy("web@2", "web@1", 0, "ok"),
            deploy("web@3", "web@2", 20, "ok")
        );
        let figures = figures(&told, None);
        assert_eq!((figures.deployments, figures.failed, figures.failed_per_mille), (2, 1, Some(500)));
        assert_eq!(figures.recovery.median_seconds, Some(45 * 60), "from the order at 21 to the end at 66");
        assert_eq!(figures.not_recovered, 0);
    }

    #[test]
    fn what_its_platform_rolled_back_failed_and_recovered_by_itself() {
        let figures = figures(&deploy("web@2", "web@1", 0, "back"), None);
        assert_eq!((figures.failed, figures.recovery.median_seconds, figures.not_recovered), (1, Some(9 * 60), 0));
    }

    #[test]
    fn what_failed_is_recovered_by_the_next_that_succeeds() {
        let failed = deploy("web@2", "web@1", 0, "failed");
        let alone = figures(&failed, None);
        assert_eq!((alone.failed, alone.recovery.count, alone.not_recovered), (1, 0, 1));
        let forward = figures(&format!("{failed}{}", deploy("web@3", "web@1", 30, "ok")), None);
        assert_eq!((forward.deployments, forward.failed, forward.recovery.median_seconds), (2, 1, Some(39 * 60)));
        let own = format!("{failed}50m promote web@1 from web@1; 50m begun; 50m ordered; 55m well; 56m end ok");
        assert_eq!(figures(&own, None).recovery.median_seconds, Some(55 * 60), "the old image everywhere again");
        let twice = format!(
            "{failed}20m back to web@1 from web@2 of 1; 21m begun; 22m badly; 22m end failed; 30m back to web@1 from web@2 of 6; 31m begun; 32m well; 33m end ok"
        );
        let twice = figures(&twice, None);
        assert_eq!((twice.failed, twice.recovery.median_seconds), (1, Some(32 * 60)), "the rollback that succeeded");
    }

    #[test]
    fn an_automatic_rollback_takes_the_deployments_place_and_ends_its_recovery() {
        let told = "0m promote web@2 from web@1; 0m begun; 1m ordered; 5m badly; 6m back to web@1 from web@2 of 1 automatic; 6m begun; 7m ordered; 9m well; 11m end ok";
        let figures = figures(told, None);
        assert_eq!((figures.deployments, figures.failed, figures.recovery.median_seconds), (1, 1, Some(10 * 60)));
    }

    #[test]
    fn a_lead_time_is_from_the_commit_to_the_end_of_the_images_first_success() {
        let told = deploy("web@2", "web@1", 60, "ok");
        let known = figures(&told, Some("0m"));
        assert_eq!((known.lead_time.median_seconds, known.lead_time_unknown), (Some(70 * 60), 0));
        let unknown = figures(&told, None);
        assert_eq!((unknown.lead_time.count, unknown.lead_time_unknown), (0, 1));
        assert_eq!(figures(&told, Some("9d")).lead_time_unknown, 1, "a commit of the future is not believed");
        let failed = figures(&deploy("web@2", "web@1", 60, "failed"), Some("0m"));
        assert_eq!((failed.lead_time.count, failed.lead_time_unknown), (0, 0), "it was not delivered");
        let again = format!("{told}{}{}", deploy("web@3", "web@2", 100, "ok"), deploy("web@2", "web@3", 200, "ok"));
        assert_eq!(figures(&again, Some("0m")).lead_time.count, 2, "what is brought a second time is counted once");
    }

    #[test]
    fn a_deployment_belongs_to_the_period_in_which_it_began() {
        let mut tally = Tally::default();
        changes(&deploy("web@2", "web@1", 58, "ok")).iter().for_each(|change| tally.see(change));
        let counted = |from, to| tally.figures(Period { from: at(from), to: at(to) }).deployments;
        assert_eq!((counted("0m", "1h"), counted("1h", "2h")), (1, 0));
        assert_eq!((counted("0m", "58m"), counted("58m", "59m")), (0, 1), "the end of a period is no part of it");
        let figures = tally.figures(Period { from: at("0m"), to: at("2h") });
        assert_eq!(figures.mean_seconds_between, Some(7200));
        assert_eq!(tally.figures(Period { from: at("5h"), to: at("6h") }).mean_seconds_between, None);
    }

    #[test]
    fn the_median_is_in_the_middle_and_nine_in_ten_took_no_longer_than_the_p90() {
        let spread = |seconds: &[u64]| {
            let spread = Spread::of(seconds.to_vec());
            (spread.median_seconds, spread.p90_seconds)
        };
        assert_eq!(spread(&[]), (None, None));
        assert_eq!(spread(&[7]), (Some(7), None));
        assert_eq!(spread(&[9, 1, 4]), (Some(4), None));
        assert_eq!(spread(&[4, 1, 9, 2]), (Some(3), None));
        assert_eq!(spread(&(1..=10).collect::<Vec<_>>()), (Some(5), Some(9)));
        assert_eq!(spread(&(1..=20).collect::<Vec<_>>()), (Some(10), Some(18)));
    }
}
