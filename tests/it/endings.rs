//! Rollouts that end badly, or that two processes end at once: what is underneath stays what it was.

use crate::support::lab::lab;
use crate::support::stage::Stage;
use imgctl::flow;
use imgctl::model::{LedgerView, Lookup, Outcome, Seq, StepState};
use imgctl::plan::rollback::Back;
use serde_json::json;
use std::time::Duration;

fn slow() -> serde_json::Value {
    json!({"tags": {"imgtest:health": "slow"}})
}

/// Never healthy, and not given up by the platform: a refresh to it is under way until somebody stops it.
fn never() -> serde_json::Value {
    json!({"tags": {"imgtest:health": "never"}})
}

/// A step's limit that a refresh to `never` passes, and the way back keeps also on a busy machine.
const ENOUGH_TO_GO_BACK: Duration = Duration::from_secs(8);

/// Three images, two of them released one after the other.
async fn two_released(name: &str, groups: usize, third: serde_json::Value) -> Stage {
    let stage = Stage::new(name, groups, &[json!({}), json!({}), third]).await;
    for version in ["1", "2"] {
        stage.promote(version).await.unwrap();
    }
    stage
}

/// The channel's version, whether a rollout is open, and which versions are rejected.
fn standing(stage: &Stage) -> (String, bool, Vec<String>) {
    let view = stage.store.snapshot();
    let look = Lookup(&view);
    let state = look.channel(&stage.channel()).unwrap();
    let versions = (1..=stage.amis.len()).map(|at| at.to_string());
    let rejected = versions.filter(|version| !look.rejections(&stage.key(version)).unwrap().is_empty());
    (state.current.unwrap().image.version.to_string(), state.open.is_some(), rejected.collect())
}

/// Waits until the open rollout's only step has its order.
async fn ordered(stage: &Stage) -> Seq {
    loop {
        let open = Lookup(&stage.store.snapshot()).open_rollouts().unwrap().pop();
        if let Some(open) = open.filter(|open| matches!(open.state(1), StepState::Started { revision: Some(_), .. })) {
            return open.id;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn settled(stage: &Stage) {
    let busy = |group: &String| {
        let shown = lab().show(group);
        let moving = ["Pending", "InProgress", "RollbackInProgress", "Cancelling"];
        shown["refreshes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|refresh| moving.contains(&refresh["status"].as_str().unwrap()))
    };
    while stage.groups.iter().any(busy) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn refreshes(stage: &Stage) -> usize {
    lab().show(&stage.groups[0])["refreshes"].as_array().unwrap().len()
}

#[tokio::test]
async fn what_is_given_up_elsewhere_is_not_brought_back_here() {
    let stage = two_released("en-abort", 1, never()).await;
    let abort = async {
        let id = ordered(&stage).await;
        flow::abort(&stage.ctx(), id, "changed my mind").await.unwrap()
    };
    let (promoted, _) = tokio::join!(stage.promote("3"), abort);
    let ending = promoted.unwrap();
    // Whether it sees that the refresh was cancelled before it sees why.
    assert!(matches!(ending.outcome, None | Some(Outcome::Aborted { .. })), "{:?}", ending.outcome);
    assert!(ending.returned.is_none(), "nobody asked for a rollback");
    assert_eq!(standing(&stage), ("2".to_owned(), false, vec![]));
}

#[tokio::test]
async fn what_is_rolled_back_elsewhere_is_not_rolled_back_again() {
    let stage = two_released("en-over", 1, never()).await;
    let back = async {
        ordered(&stage).await;
        stage.rollback(Back::default()).await.unwrap()
    };
    let (promoted, back) = tokio::join!(stage.promote("3"), back);
    assert_eq!(back.outcome, Some(Outcome::Succeeded), "{:?}", back.reports);
    let ending = promoted.unwrap();
    assert!(matches!(ending.outcome, Some(Outcome::Superseded { .. })) && ending.returned.is_none(), "{ending:?}");
    assert_eq!((stage.runs(), standing(&stage)), (vec!["2".to_owned()], ("2".to_owned(), false, vec!["3".to_owned()])));
}

#[tokio::test]
async fn a_rollback_that_failed_is_tried_again_and_goes_no_further_down() {
    let stage = two_released("en-again", 1, never()).await;
    stage.order("3").await.unwrap();
    let denied = json!({"kind": "denied", "action": "RollbackInstanceRefresh", "about": stage.groups[0]});
    lab().post("fault", &denied);
    let ending = stage.rollback(Back::default()).await.unwrap();
    assert!(matches!(ending.outcome, Some(Outcome::Failed { .. })), "{:?}", ending.outcome);
    let ending = stage.rollback(Back::default()).await.unwrap();
    assert_eq!(ending.outcome, Some(Outcome::Succeeded), "{:?}", ending.reports);
    assert_eq!((stage.runs(), standing(&stage)), (vec!["2".to_owned()], ("2".to_owned(), false, vec!["3".to_owned()])));
}

#[tokio::test]
async fn an_image_that_the_platform_gave_up_is_not_ordered_again() {
    let stage = two_released("en-gone", 1, json!({"tags": {"imgtest:health": "fail"}})).await;
    stage.order("3").await.unwrap();
    settled(&stage).await;
    let before = refreshes(&stage);
    let ending = flow::resume(&stage.ctx(), None).await.unwrap();
    assert!(matches!(ending.outcome, Some(Outcome::RolledBack { .. })), "{:?}", ending.outcome);
    assert_eq!(refreshes(&stage), before, "it was begun again");
    assert_eq!(standing(&stage), ("2".to_owned(), false, vec!["3".to_owned()]));
}

#[tokio::test]
async fn a_step_that_takes_too_long_is_interrupted_and_brought_back() {
    let mut stage = two_released("en-slow", 1, never()).await;
    stage.hurry(ENOUGH_TO_GO_BACK).await;
    let ending = stage.promote("3").await.unwrap();
    let returned = ending.returned.expect("it is brought back");
    assert_eq!(returned.outcome, Some(Outcome::Succeeded), "{:?}", returned.reports);
    assert_eq!((stage.runs(), standing(&stage)), (vec!["2".to_owned()], ("2".to_owned(), false, vec!["3".to_owned()])));
}

#[tokio::test]
async fn where_a_failure_stops_a_step_that_takes_too_long_is_said_to_go_on_and_a_rollback_stops_it() {
    let mut stage = two_released("en-goes", 1, never()).await;
    stage.channels.values_mut().for_each(|spec| spec.stop_on_failure = true);
    stage.hurry(Duration::from_secs(2)).await;
    let ending = stage.promote("3").await.unwrap();
    assert!(matches!(ending.outcome, Some(Outcome::Failed { .. })) && ending.returned.is_none(), "{ending:?}");
    assert_eq!(flow::remains(&ending.reports), flow::Remains::GoesOn);
    let refreshes = lab().show(&stage.groups[0])["refreshes"].clone();
    assert_eq!(refreshes[0]["status"], "InProgress", "nobody stopped it: {refreshes}");
    stage.hurry(Duration::from_secs(300)).await;
    let back = stage.rollback(Back::default()).await.unwrap();
    assert_eq!(back.outcome, Some(Outcome::Succeeded), "{:?}", back.reports);
    assert_eq!((stage.runs(), standing(&stage)), (vec!["2".to_owned()], ("2".to_owned(), false, vec!["3".to_owned()])));
}

#[tokio::test]
async fn one_more_target_that_cannot_take_the_channels_image_takes_nothing_from_the_others() {
    let mut stage = Stage::new("en-more", 2, &[json!({}), slow()]).await;
    stage.promote("1").await.unwrap();
    stage.promote("2").await.unwrap();
    let strayed = json!({"group": stage.groups[1], "kind": "template-version", "ami": stage.amis[0]});
    lab().post("drift", &strayed);
    lab().post("drift", &json!({"group": stage.groups[1], "kind": "replace-instances", "count": 2}));
    settled(&stage).await;
    stage.hurry(Duration::from_millis(1)).await;
    let ending = stage.promote("2").await.unwrap();
    assert!(matches!(ending.outcome, Some(Outcome::Failed { .. })) && ending.returned.is_none(), "{ending:?}");
    assert_eq!((stage.runs()[0].as_str(), standing(&stage)), ("2", ("2".to_owned(), false, vec![])));
}

#[tokio::test]
async fn a_failure_that_was_interrupted_is_brought_back_by_resume() {
    let mut stage = two_released("en-stop", 1, never()).await;
    stage.hurry(ENOUGH_TO_GO_BACK).await;
    let stop = stage.stop.clone();
    let interrupt = async {
        while !stage.notes.0.lock().unwrap().iter().any(|note| note.contains("Failed")) {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    // Whether the interruption comes before or after the rollback has begun: resume ends with both agreed.
    let (promoted, ()) = tokio::join!(stage.promote("3"), interrupt);
    promoted.unwrap();
    stage.stop = tokio_util::sync::CancellationToken::new();
    if standing(&stage).1 {
        flow::resume(&stage.ctx(), None).await.unwrap();
    }
    assert_eq!((stage.runs(), standing(&stage)), (vec!["2".to_owned()], ("2".to_owned(), false, vec!["3".to_owned()])));
}

#[tokio::test]
async fn a_rollout_whose_group_is_gone_can_be_given_up() {
    let stage = two_released("en-lost", 1, never()).await;
    stage.order("3").await.unwrap();
    lab().post("drift", &json!({"group": stage.groups[0], "kind": "delete-group"}));
    let id = Lookup(&stage.store.snapshot()).open_rollouts().unwrap()[0].id;
    flow::abort(&stage.ctx(), id, "the group is gone").await.unwrap();
    assert!(!standing(&stage).1 && stage.store.snapshot().head().seq > id);
}
