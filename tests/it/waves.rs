//! Waves: side by side within one, and the next only when all before it is done; a failure takes everything back.

use crate::support::lab::lab;
use crate::support::stage::Stage;
use imgctl::flow::{self, Ending, FlowError, NOT_WAITED_FOR, StepEnd, WAITS};
use imgctl::model::{Lookup, Outcome, StepState};
use imgctl::plan::Sight;
use serde_json::json;

/// Three groups that run image 1: the first two are one wave, the third is the next.
async fn stage(name: &str) -> Stage {
    let mut stage = Stage::new(name, 3, &[json!({}), json!({})]).await;
    let waves = [(stage.groups[2].parse().unwrap(), 2)];
    stage.channels.values_mut().for_each(|spec| spec.waves = waves.clone().into());
    stage.promote("1").await.unwrap();
    stage.notes.0.lock().unwrap().clear();
    stage
}

fn at(notes: &[String], what: &str) -> usize {
    notes.iter().position(|note| note == what).unwrap_or_else(|| panic!("no {what:?} in {notes:?}"))
}

fn why(ending: &Ending) -> Vec<&str> {
    let left = |end: &'static str| end;
    let whys = ending.reports.iter().map(|report| match &report.end {
        StepEnd::Left { why } if why == NOT_WAITED_FOR => left(NOT_WAITED_FOR),
        StepEnd::Left { why } if why == WAITS => left(WAITS),
        StepEnd::Left { .. } => "left",
        StepEnd::Succeeded => "succeeded",
        StepEnd::Failed { .. } => "failed",
    });
    whys.collect()
}

#[tokio::test]
async fn a_wave_begins_when_all_before_it_is_done() {
    let stage = stage("wave-order").await;
    let ending = stage.promote("2").await.unwrap();
    assert_eq!(ending.outcome, Some(Outcome::Succeeded), "{:?}", ending.reports);
    assert_eq!(stage.runs(), ["2", "2", "2"]);
    let notes = stage.notes.0.lock().unwrap().clone();
    let [a, b, c] = [0, 1, 2].map(|at| stage.groups[at].clone());
    let done = at(&notes, &format!("{a} Succeeded")).max(at(&notes, &format!("{b} Succeeded")));
    assert!(at(&notes, &format!("{b} Ordered")) < done, "side by side within a wave: {notes:?}");
    assert!(done < at(&notes, &format!("{c} Ordered")), "{notes:?}");
    let waves: Vec<(u32, u32)> = ending.plan.steps.iter().map(|step| (step.number, step.wave)).collect();
    assert_eq!(waves, [(1, 1), (2, 1), (3, 2)]);
}

#[tokio::test]
async fn one_at_a_time_where_the_config_says_so() {
    let mut stage = stage("wave-one").await;
    stage.channels.values_mut().for_each(|spec| spec.parallel = Some(1));
    stage.promote("2").await.unwrap();
    let notes = stage.notes.0.lock().unwrap().clone();
    let (first, second) = (format!("{} Succeeded", stage.groups[0]), format!("{} Ordered", stage.groups[1]));
    assert!(at(&notes, &first) < at(&notes, &second), "{notes:?}");
}

#[tokio::test]
async fn a_failure_in_a_later_wave_takes_the_earlier_ones_back_and_says_what_runs() {
    let stage = stage("wave-fails").await;
    lab().post(
        "fault",
        &json!({"kind": "denied", "action": "StartInstanceRefresh", "about": stage.groups[2], "times": 1}),
    );
    let ending = stage.promote("2").await.unwrap();
    assert_eq!(why(&ending), ["succeeded", "succeeded", "failed"]);
    let returned = ending.returned.as_ref().expect("what moved comes back by itself");
    assert_eq!(returned.outcome, Some(Outcome::Succeeded), "{:?}", returned.reports);
    assert_eq!(stage.runs(), ["1", "1", "1"]);
    let runs: Vec<(String, String)> = ending.runs.iter().map(|(id, sight)| (id.to_string(), told(sight))).collect();
    let expected: Vec<(String, String)> =
        stage.groups.iter().map(|group| (group.clone(), stage.amis[0].clone())).collect();
    assert_eq!(runs, expected, "target by target");
}

fn told(sight: &Sight) -> String {
    let Sight::Seen(observed) = sight else { panic!("{sight:?}") };
    observed.running.keys().map(|image| image.short()).collect::<Vec<_>>().join("+")
}

#[tokio::test]
async fn where_a_failure_stops_what_moved_stays_and_is_told() {
    let mut stage = stage("wave-stops").await;
    stage.channels.values_mut().for_each(|spec| spec.stop_on_failure = true);
    lab().post(
        "fault",
        &json!({"kind": "denied", "action": "StartInstanceRefresh", "about": stage.groups[2], "times": 1}),
    );
    let ending = stage.promote("2").await.unwrap();
    assert!(matches!(ending.outcome, Some(Outcome::Failed { .. })) && ending.returned.is_none());
    let runs: Vec<String> = ending.runs.values().map(told).collect();
    assert_eq!(runs, [&stage.amis[1], &stage.amis[1], &stage.amis[0]].map(String::clone));
}

#[tokio::test]
async fn a_failure_in_the_first_wave_begins_no_other() {
    let stage = stage("wave-first").await;
    for group in &stage.groups[..2] {
        lab().post("fault", &json!({"kind": "denied", "action": "StartInstanceRefresh", "about": group, "times": 1}));
    }
    let ending = stage.promote("2").await.unwrap();
    assert!(matches!(ending.outcome, Some(Outcome::Failed { .. })), "nothing moved, nothing to bring back");
    assert_eq!(why(&ending), ["failed", "failed", "left"], "the second wave was not begun");
    assert_eq!(lab().show(&stage.groups[2])["refreshes"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn what_is_not_waited_for_is_the_first_wave_and_resume_goes_through_the_others() {
    let stage = stage("wave-later").await;
    let ending = stage.order("2").await.unwrap();
    assert_eq!(why(&ending), [NOT_WAITED_FOR, NOT_WAITED_FOR, WAITS]);
    assert!(ending.outcome.is_none(), "it stays open");
    assert_eq!(lab().show(&stage.groups[2])["refreshes"].as_array().unwrap().len(), 0);
    let ending = flow::resume(&stage.ctx(), None).await.unwrap();
    assert_eq!(ending.outcome, Some(Outcome::Succeeded), "{:?}", ending.reports);
    assert_eq!(stage.runs(), ["2", "2", "2"]);
}

#[tokio::test]
async fn dying_after_every_write_of_several_waves_ends_agreed() {
    // Started; for each of three steps ordered, deployed, succeeded; finished.
    for writes in [2, 4, 6, 7, 8, 9, 10] {
        let stage = stage(&format!("wave-die{writes}")).await;
        stage.store.dies_after(writes);
        assert!(stage.promote("2").await.is_err(), "{writes}");
        stage.store.lives();
        let second = Lookup(&stage.store.snapshot()).open_rollouts().unwrap().pop().unwrap();
        let done = |number| matches!(second.state(number), StepState::Succeeded { .. });
        let begun = !matches!(second.state(3), StepState::Pending);
        assert!(!begun || (done(1) && done(2)), "{writes}: the second wave begins after the first: {second:?}");
        let ending = flow::resume(&stage.ctx(), None).await.unwrap();
        assert_eq!(ending.outcome, Some(Outcome::Succeeded), "{writes}: {:?}", ending.reports);
        assert_eq!(stage.runs(), ["2", "2", "2"], "{writes}");
        assert!(matches!(flow::resume(&stage.ctx(), None).await, Err(FlowError::NothingOpen)));
    }
}

#[tokio::test]
async fn an_abort_between_waves_stops_what_moves_and_begins_nothing() {
    let stage = stage("wave-abort").await;
    let ordered = stage.order("2").await.unwrap();
    let aborted = flow::abort(&stage.ctx(), ordered.rollout.unwrap(), "changed my mind").await.unwrap();
    assert_eq!(aborted.cancelled.len(), 2, "both steps of the first wave: {:?}", aborted.cancelled);
    assert_eq!(aborted.running.len(), 3);
    let rollout = Lookup(&stage.store.snapshot()).rollout(ordered.rollout.unwrap()).unwrap().unwrap();
    assert_eq!(rollout.state(3), StepState::Pending);
    assert!(matches!(rollout.outcome, Some(Outcome::Aborted { .. })));
}
