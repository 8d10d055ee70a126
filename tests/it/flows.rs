//! The corridor end to end over the emulator: promote, roll back, fail, and die after every write.

use crate::support::lab::lab;
use crate::support::stage::Stage;
use imgctl::flow::{self, FlowError};
use imgctl::model::{LedgerView, Lookup, Outcome};
use imgctl::plan::rollback::Back;
use serde_json::json;

fn bad() -> serde_json::Value {
    json!({"tags": {"imgtest:health": "fail"}})
}

/// The channel's current version, and whether a rollout is open.
fn standing(stage: &Stage) -> (Option<String>, bool) {
    let view = stage.store.snapshot();
    let state = Lookup(&view).channel(&stage.channel()).unwrap();
    (state.current.map(|release| release.image.version.to_string()), state.open.is_some())
}

#[tokio::test]
async fn promote_rollback_and_both_again() {
    let stage = Stage::new("fl-both", 2, &[json!({}), json!({}), json!({})]).await;
    for version in ["1", "2", "3"] {
        let ending = stage.promote(version).await.unwrap();
        assert_eq!(ending.outcome, Some(Outcome::Succeeded), "{:?}", ending.reports);
        assert_eq!(stage.runs(), [version, version]);
    }
    assert!(stage.promote("3").await.unwrap().rollout.is_none(), "promoted twice: nothing to do");
    stage.rollback(Back::default()).await.unwrap();
    assert_eq!((stage.runs(), standing(&stage)), (vec!["2".to_owned(), "2".to_owned()], (Some("2".to_owned()), false)));
    assert!(stage.rollback(Back::default()).await.unwrap().rollout.is_none(), "rolled back twice: nothing to do");
    let further = Back { further: true, ..Back::default() };
    stage.rollback(further).await.unwrap();
    assert_eq!(stage.runs(), ["1", "1"], "two rollbacks walk back, never back and forth");
    let blocked = stage.promote("3").await;
    let Err(FlowError::Blocked(plan)) = blocked else { panic!("{blocked:?}") };
    assert_eq!(plan.blockers.len(), 2, "held, and rejected: {:?}", plan.blockers);
}

#[tokio::test]
async fn a_bad_image_leaves_nothing_behind() {
    let stage = Stage::new("fl-bad", 1, &[json!({}), bad()]).await;
    stage.promote("1").await.unwrap();
    let ending = stage.promote("2").await.unwrap();
    assert!(matches!(ending.outcome, Some(Outcome::RolledBack { .. })), "{:?}", ending.outcome);
    assert_eq!((stage.runs(), standing(&stage)), (vec!["1".to_owned()], (Some("1".to_owned()), false)));
}

#[tokio::test]
async fn what_moved_before_a_failure_is_brought_back() {
    // The second group's instances are watched by an alarm that goes off once it has begun.
    let stage = Stage::new("fl-half", 2, &[json!({}), json!({})]).await;
    stage.promote("1").await.unwrap();
    lab().post("drift", &json!({"group": stage.groups[1], "kind": "version", "version": "$Latest"}));
    let denied = json!({"kind": "denied", "action": "UpdateAutoScalingGroup", "about": stage.groups[1], "times": 1});
    lab().post("fault", &denied);
    let ending = stage.promote("2").await.unwrap();
    let returned = ending.returned.expect("imgctl brings the first group back by itself");
    assert_eq!(returned.outcome, Some(Outcome::Succeeded), "{:?}", returned.reports);
    assert_eq!((stage.runs()[0].as_str(), standing(&stage)), ("1", (Some("1".to_owned()), false)));
}

#[tokio::test]
async fn dying_after_every_write_ends_with_ledger_and_cloud_agreed() {
    // Started, ordered, deployed, succeeded, finished: one write each, and then the rollback's.
    for writes in 0..=5 {
        let stage = Stage::new(&format!("fl-die{writes}"), 1, &[json!({}), json!({})]).await;
        stage.promote("1").await.unwrap();
        stage.store.dies_after(writes);
        let died = stage.promote("2").await.is_err();
        stage.store.lives();
        assert_eq!(died, writes < 5, "a promotion of one target is five writes");
        match flow::resume(&stage.ctx(), None).await {
            Ok(ending) => assert_eq!(ending.outcome, Some(Outcome::Succeeded), "{writes}: {:?}", ending.reports),
            Err(FlowError::NothingOpen) => assert!(writes == 0 || writes == 5, "{writes}"),
            Err(error) => panic!("{writes}: {error}"),
        }
        let now = if writes == 0 { "1" } else { "2" };
        assert_eq!((stage.runs(), standing(&stage)), (vec![now.to_owned()], (Some(now.to_owned()), false)), "{writes}");
        let shown = lab().show(&stage.groups[0]);
        assert!(shown["config"]["latest_version"].as_i64().unwrap() <= 2, "{writes}: no version was made twice");
        assert!(shown["refreshes"].as_array().unwrap().len() <= 2, "{writes}: no refresh was begun twice");
    }
}

#[tokio::test]
async fn a_rollback_takes_the_place_of_a_promotion_under_way() {
    let stage = Stage::new("fl-over", 1, &[json!({}), json!({})]).await;
    stage.promote("1").await.unwrap();
    // Dies after the order: AWS goes on by itself.
    stage.store.dies_after(3);
    assert!(stage.promote("2").await.is_err());
    stage.store.lives();
    let ending = stage.rollback(Back::default()).await.unwrap();
    assert_eq!(ending.outcome, Some(Outcome::Succeeded), "{:?}", ending.reports);
    assert_eq!((stage.runs(), standing(&stage)), (vec!["1".to_owned()], (Some("1".to_owned()), false)));
}

#[tokio::test]
async fn an_aborted_rollout_is_closed_and_says_what_runs() {
    let stage = Stage::new("fl-abort", 1, &[json!({}), json!({})]).await;
    stage.promote("1").await.unwrap();
    stage.store.dies_after(3);
    assert!(stage.promote("2").await.is_err());
    stage.store.lives();
    let open = standing(&stage);
    assert!(open.1);
    let id = Lookup(&stage.store.snapshot()).open_rollouts().unwrap()[0].id;
    let aborted = flow::abort(&stage.ctx(), id, "changed my mind").await.unwrap();
    assert!(!aborted.running.is_empty() && !standing(&stage).1);
    assert!(stage.store.snapshot().head().seq > id);
}

#[tokio::test]
async fn the_ledger_that_moved_is_planned_again_and_one_of_two_wins() {
    let stage = Stage::new("fl-two", 1, &[json!({}), json!({}), json!({})]).await;
    stage.promote("1").await.unwrap();
    let (one, two) = tokio::join!(stage.promote("2"), stage.promote("3"));
    let outcomes = [one, two].map(|ended| match ended {
        Ok(ending) => format!("{:?}", ending.outcome),
        Err(FlowError::Blocked(plan)) => format!("{:?}", plan.blockers[0].kind),
        Err(other) => panic!("{other}"),
    });
    assert!(outcomes.contains(&"Some(Succeeded)".to_owned()), "{outcomes:?}");
    assert!(outcomes.iter().any(|outcome| outcome == "Unfinished" || outcome == "Busy"), "{outcomes:?}");
}
