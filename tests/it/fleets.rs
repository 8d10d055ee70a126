//! Fleets: hundreds of targets are observed in few calls, what never changes is asked once ever, and throttling is met
//! with fewer calls and not with more.

use crate::support::desk::Desk;
use crate::support::lab::{Lab, lab};
use aws_config::retry::RetryConfig;
use imgctl::model::TargetId;
use imgctl::provider::aws::Aws;
use imgctl::provider::target::asg::{AsgFleet, AsgSpec};
use imgctl::provider::target::asg_settings::AsgSettings;
use imgctl::provider::target::ecs::{EcsFleet, EcsSpec};
use imgctl::provider::target::ecs_settings::EcsSettings;
use imgctl::provider::target::{Depth, Fleet, TargetError};
use imgctl::store::FactFile;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

const IMAGE: &str = "r.test/fleet@sha256:5555555555555555555555555555555555555555555555555555555555555555";

/// Action → how often it was called in a region since then.
fn calls(lab: &Lab, region: &str, since: &Value) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for call in lab.get(&format!("calls?since={since}"))["calls"].as_array().unwrap() {
        if call["region"] == region {
            *counted.entry(call["action"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    counted
}

fn now(lab: &Lab) -> Value {
    lab.get("calls?since=0")["next"].clone()
}

/// A config with so many groups and services in a region of their own, all of one channel.
fn desk(name: &str, region: &str, count: usize) -> Desk {
    let ami = lab().ami(name, &json!({"region": region}));
    let many = json!({"count": count, "prefix": name, "ami": ami, "size": 1, "region": region, "user_data": "s3cret"});
    lab().post("groups", &many);
    let side = json!({"name": "side", "image": IMAGE, "environment": [{"name": "TOKEN", "value": "s3cret"}]});
    let services =
        json!({"count": count, "prefix": name, "image": IMAGE, "containers": [side], "size": 1, "region": region});
    let services = lab().post("services", &services);
    let target = |name: &Value| {
        let name = name.as_str().unwrap();
        let asg = format!("id = \"g-{name}\"\nkind = \"asg\"\nname = \"{name}\"\nregion = \"{region}\"\n");
        let ecs = format!("id = \"s-{name}\"\nkind = \"ecs\"\ncluster = \"main\"\nservice = \"{name}\"\n");
        let head = "\n[[channels.fleet.prod.targets]]\n";
        format!("{head}{asg}{head}{ecs}container = \"app\"\nregion = \"{region}\"\n")
    };
    let targets: String = services["names"].as_array().unwrap().iter().map(target).collect();
    Desk::new("fleet/prod", &[], &targets)
}

/// What `status` says and asks.
fn status(desk: &Desk, region: &str) -> (String, BTreeMap<String, usize>) {
    let since = now(desk.lab);
    let said = desk.done(&["status", "--json"]);
    (said, calls(desk.lab, region, &since))
}

#[test]
fn what_never_changes_is_asked_once_ever_and_the_answer_is_the_same() {
    const REGION: &str = "eu-north-1";
    let desk = desk("once", REGION, 30);
    let (cold, asked) = status(&desk, REGION);
    assert_eq!(asked["DescribeTaskDefinition"], 30);
    assert_eq!(asked["DescribeLaunchTemplateVersions"], 1, "30 templates in one listing");
    let (warm, asked) = status(&desk, REGION);
    assert_eq!(warm, cold);
    let listings = [
        ("DescribeAutoScalingGroups", 1),
        ("DescribeInstances", 1),
        ("DescribeLaunchTemplates", 1),
        ("DescribeServices", 3),
        ("DescribeTasks", 1),
        ("ListTasks", 1),
    ];
    assert_eq!(asked, listings.map(|(action, count)| (action.to_owned(), count)).into());
    let file = desk.path("data/imgctl/facts");
    let mut damaged = fs::read(&file).unwrap();
    let text = String::from_utf8_lossy(&damaged);
    assert!(text.contains("r.test/fleet") && !text.contains("s3cret") && !text.contains("TOKEN"), "{text}");
    damaged.iter_mut().skip(20).step_by(150).for_each(|byte| *byte ^= 1);
    fs::write(&file, damaged).unwrap();
    let (mended, asked) = status(&desk, REGION);
    assert_eq!(mended, cold, "what is damaged is not believed");
    assert_eq!(asked["DescribeTaskDefinition"], 30);
    fs::remove_file(&file).unwrap();
    assert_eq!(status(&desk, REGION).0, cold, "and may be deleted");
    assert_eq!(status(&desk, REGION).1.get("DescribeTaskDefinition"), None);
}

#[test]
fn what_can_change_is_asked_anew_every_time() {
    const REGION: &str = "eu-south-1";
    let desk = desk("anew", REGION, 2);
    let drift = |kind: &str, more: Value| {
        let mut body = json!({"group": "anew-1", "kind": kind, "region": REGION});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        lab().post("drift", &body)
    };
    let of = |target: &str| {
        let said: Value = serde_json::from_str(&status(&desk, REGION).0).unwrap();
        let targets = said["channels"][0]["targets"].as_array().unwrap().clone();
        targets.into_iter().find(|each| each["target"] == target).unwrap()["observed"].clone()
    };
    let first = of("g-anew-1");
    let other = lab().ami("anew-other", &json!({"region": REGION}));
    drift("latest", json!({}));
    let floating = of("g-anew-1");
    assert!(floating["revision"].as_str().unwrap().ends_with(":$Latest=1"), "{floating}");
    drift("new-version", json!({"ami": other}));
    let moved = of("g-anew-1");
    assert!(moved["revision"].as_str().unwrap().ends_with(":$Latest=2"), "{moved}");
    assert!(moved["slots"].to_string().contains(&other), "{moved}");
    drift("version", json!({"version": "1"}));
    let pinned = of("g-anew-1");
    assert_eq!((&pinned["revision"], &pinned["slots"]), (&first["revision"], &first["slots"]));
    assert!(pinned["notes"].to_string().contains("has version 2, newer than 1"), "{pinned}");
    lab().post("service/change", &json!({"name": "anew-1", "kind": "scale", "size": 3, "region": REGION}));
    assert_eq!(of("s-anew-1")["desired"], 3);
}

#[test]
fn what_is_there_already_is_confirmed_together_however_few_may_move_at_once() {
    const REGION: &str = "ca-west-1";
    let ami = lab().ami("there", &json!({"region": REGION}));
    let many = json!({"count": 30, "prefix": "there", "ami": ami, "size": 1, "region": REGION});
    let names: Vec<String> = serde_json::from_value(lab().post("groups", &many)["names"].clone()).unwrap();
    let target = |name: &String| {
        let head = "\n[[channels.there.prod.targets]]\nkind = \"asg\"\n";
        format!("{head}id = \"{name}\"\nname = \"{name}\"\nregion = \"{REGION}\"\n")
    };
    let desk = Desk::new("there/prod", &[], &names.iter().map(target).collect::<String>());
    desk.done(&["record", "there@1", &format!("{ami}@{REGION}")]);
    let since = now(lab());
    desk.done(&["promote", "there@1", "prod", "--yes"]);
    let asked = calls(lab(), REGION, &since);
    // The plan, and two looks in a row: each in one listing, and only what AWS tells of one group at a time for each.
    assert_eq!((asked["DescribeAutoScalingGroups"], asked["DescribeInstances"]), (3, 3), "{asked:?}");
    assert_eq!(asked["DescribeInstanceRefreshes"], 3 * 30);
    assert!(desk.done(&["status"]).contains("there@1"));
}

#[tokio::test]
async fn a_template_that_is_gone_leaves_only_its_own_group_unknown_whatever_is_remembered() {
    const REGION: &str = "eu-south-2";
    let desk = desk("gone", REGION, 3);
    let line = |target: &str| {
        let said = desk.done(&["status"]);
        said.lines().find(|line| line.contains(target)).unwrap().to_owned()
    };
    let before = line("g-gone-2");
    for kind in ["InvalidLaunchTemplateId.NotFound", "UnauthorizedOperation"] {
        // Asked for all together, they are refused together: for one of them, or for want of the right.
        let fault = json!({"kind": kind, "action": "DescribeLaunchTemplates", "region": REGION, "status": 400});
        lab().post("fault", &fault);
        assert_eq!(line("g-gone-2"), before, "{kind}");
    }
    let show = lab().get(&format!("group?name=gone-1&region={REGION}"));
    let ec2 = crate::support::aws(lab()).await.ec2(&REGION.parse().unwrap());
    let template = show["config"]["template_id"].as_str().unwrap();
    ec2.delete_launch_template().launch_template_id(template).send().await.unwrap();
    for known in ["remembered", "forgotten"] {
        assert!(line("g-gone-1").contains("dangling:"), "{known}");
        assert_eq!(line("g-gone-2"), before, "{known}");
        drop(fs::remove_file(desk.path("data/imgctl/facts")));
    }
}

#[tokio::test]
async fn a_plan_finds_a_version_that_was_deleted_under_its_group() {
    const REGION: &str = "eu-west-3";
    let ami = lab().ami("deleted", &json!({"region": REGION}));
    lab().group("deleted", &ami, &json!({"region": REGION, "size": 1}));
    for kind in ["template-version", "new-version"] {
        lab().post("drift", &json!({"group": "deleted", "kind": kind, "ami": ami, "region": REGION}));
    }
    let (names, ids) = (["deleted".to_owned()], ["deleted".parse().unwrap()].into());
    let kept = crate::support::lab::scratch();
    let survey = async |depth: Depth| {
        let aws = crate::support::aws(lab()).await.remembering(Arc::new(FactFile::beside(kept.path())));
        let (groups, _) = fleets(&Arc::new(aws), REGION, &names);
        groups.survey(&ids, depth).await.into_values().next().unwrap()
    };
    let seen = survey(Depth::Deploying).await.unwrap();
    assert!(seen.revision.as_str().ends_with(":2"), "{seen:?}");
    let template = seen.revision.as_str().split(':').next().unwrap().to_owned();
    let ec2 = crate::support::aws(lab()).await.ec2(&REGION.parse().unwrap());
    ec2.delete_launch_template_versions().launch_template_id(template).versions("2").send().await.unwrap();
    assert_eq!(survey(Depth::Running).await.unwrap().revision, seen.revision, "what it says is known for ever");
    assert!(matches!(survey(Depth::Deploying).await, Err(TargetError::Dangling { .. })), "and that it is there is not");
}

/// AWS clients that repeat as often as imgctl's, and wait a hundredth of the time.
async fn hasty() -> Arc<Aws> {
    let retries = RetryConfig::standard().with_max_attempts(5).with_initial_backoff(Duration::from_millis(10));
    let credentials = aws_sdk_ec2::config::Credentials::new("testing", "testing", None, None, "lab");
    let config = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
        .region(aws_config::Region::new("eu-central-2"))
        .endpoint_url(lab().endpoint())
        .credentials_provider(credentials)
        .retry_config(retries)
        .load()
        .await;
    Arc::new(Aws::from_config(config))
}

fn fleets(aws: &Arc<Aws>, region: &str, names: &[String]) -> (AsgFleet, EcsFleet) {
    let region: imgctl::model::Region = region.parse().unwrap();
    let id = |name: &String| name.parse::<TargetId>().unwrap();
    let groups = names.iter().map(|name| AsgSpec {
        id: id(name),
        region: region.clone(),
        group: name.clone(),
        settings: AsgSettings::new(name).into(),
    });
    let services = names.iter().map(|name| {
        let settings = EcsSettings::new("main", name, "app".parse().unwrap());
        EcsSpec { id: id(name), region: region.clone(), settings: settings.into() }
    });
    (AsgFleet::new(groups.collect(), aws), EcsFleet::new(services.collect(), aws))
}

#[tokio::test]
async fn under_throttling_every_target_is_read_and_no_storm_of_calls_begins() {
    const REGION: &str = "eu-central-2";
    let ami = lab().ami("throttled", &json!({"region": REGION}));
    let many = json!({"count": 500, "prefix": "throttled", "ami": ami, "size": 1, "region": REGION});
    let made = lab().post("groups", &many);
    lab().post("services", &json!({"count": 500, "prefix": "throttled", "image": IMAGE, "size": 1, "region": REGION}));
    let names: Vec<String> = serde_json::from_value(made["names"].clone()).unwrap();
    let ids: BTreeSet<TargetId> = names.iter().map(|name| name.parse().unwrap()).collect();
    let survey = async || {
        let (groups, services) = fleets(&hasty().await, REGION, &names);
        let since = now(lab());
        let (groups, services) =
            futures_util::join!(groups.survey(&ids, Depth::Running), services.survey(&ids, Depth::Running));
        for (id, seen) in groups.iter().chain(&services) {
            assert!(seen.as_ref().is_ok_and(|seen| seen.running.values().sum::<u32>() == 1), "{id}: {seen:?}");
        }
        assert_eq!(groups.len() + services.len(), 1000);
        calls(lab(), REGION, &since).values().sum::<usize>()
    };
    let unhindered = survey().await;
    // 5 of groups, 5 of template versions, 1 of instances; 50 of services, 10 of tasks, and each task definition.
    assert_eq!(unhindered, 5 + 5 + 1 + 50 + 10 + 500);
    lab().post("fault", &json!({"kind": "throttle", "region": REGION, "share": 0.3, "forever": true}));
    let throttled = survey().await;
    // Three of ten calls are refused, so that ten of seven must be made; a storm makes many times as many.
    assert!(throttled > unhindered && throttled <= unhindered * 8 / 5, "{throttled} calls instead of {unhindered}");
}

#[tokio::test]
async fn instances_that_a_page_of_others_leaves_out_are_asked_for_by_their_groups() {
    const REGION: &str = "ap-southeast-5";
    let ami = lab().ami("crowd", &json!({"region": REGION}));
    let made =
        lab().post("groups", &json!({"count": 1050, "prefix": "crowd", "ami": ami, "size": 1, "region": REGION}));
    let names: Vec<String> = serde_json::from_value(made["names"].clone()).unwrap();
    // These begin like the others, and are the last of them: 151 of 201 are among the first 1,000 instances.
    let ours = &names[1050 - 201..];
    let ids: BTreeSet<TargetId> = ours.iter().map(|name| name.parse().unwrap()).collect();
    let (groups, _) = fleets(&hasty().await, REGION, ours);
    let since = now(lab());
    for (id, seen) in groups.survey(&ids, Depth::Running).await {
        assert!(seen.as_ref().is_ok_and(|seen| seen.running.values().sum::<u32>() == 1), "{id}: {seen:?}");
    }
    let page_and_rest = 2;
    assert_eq!(calls(lab(), REGION, &since)["DescribeInstances"], page_and_rest);
}

#[tokio::test]
async fn a_plan_asks_of_one_target_alone_only_what_no_listing_tells() {
    const REGION: &str = "il-central-1";
    let ami = lab().ami("planned", &json!({"region": REGION}));
    let many = json!({"count": 30, "prefix": "planned", "ami": ami, "image": IMAGE, "size": 1, "region": REGION});
    let names: Vec<String> = serde_json::from_value(lab().post("groups", &many)["names"].clone()).unwrap();
    lab().post("services", &many);
    let ids: BTreeSet<TargetId> = names.iter().map(|name| name.parse().unwrap()).collect();
    let kept = crate::support::lab::scratch();
    let survey = async || {
        let aws = crate::support::aws(lab()).await.remembering(Arc::new(FactFile::beside(kept.path())));
        let (groups, services) = fleets(&Arc::new(aws), REGION, &names);
        let since = now(lab());
        let groups = groups.survey(&ids, Depth::Deploying).await;
        let services = services.survey(&ids, Depth::Deploying).await;
        assert!(groups.values().chain(services.values()).all(Result::is_ok));
        let deployments = services.values().map(|seen| seen.as_ref().unwrap().deployment.clone().unwrap());
        let told: BTreeSet<(String, String)> =
            deployments.map(|told| (told.id, told.toward.unwrap().to_string())).collect();
        assert_eq!(told.len(), 30, "each service's own: {told:?}");
        let accepts = groups.values().flat_map(|seen| seen.as_ref().unwrap().slots.values());
        assert!(accepts.map(|slot| format!("{:?}", slot.accepts)).all(|accepts| accepts.contains("x86_64")));
        (calls(lab(), REGION, &since), told)
    };
    let (cold, told) = survey().await;
    let of = |calls: &BTreeMap<String, usize>, action: &str| calls.get(action).copied().unwrap_or_default();
    for action in ["DescribeInstanceRefreshes", "ListServiceDeployments"] {
        assert_eq!(of(&cold, action), 30, "{action}: AWS tells it of one at a time");
    }
    for action in ["DescribeServiceDeployments", "DescribeServiceRevisions"] {
        assert_eq!(of(&cold, action), 2, "{action}: 20 a call");
    }
    assert_eq!(of(&cold, "DescribeInstanceTypes"), 1);
    let (warm, again) = survey().await;
    assert_eq!(again, told);
    for action in ["DescribeServiceRevisions", "DescribeInstanceTypes", "DescribeTaskDefinition"] {
        assert_eq!(of(&warm, action), 0, "{action}: it never changes");
    }
    assert_eq!(of(&warm, "DescribeServiceDeployments"), 2, "how far a deployment is changes all the time");
}

#[tokio::test]
async fn a_refused_call_leaves_only_those_unknown_that_it_asked_for() {
    const REGION: &str = "me-south-1";
    let ami = lab().ami("refused", &json!({"region": REGION}));
    let many = json!({"count": 120, "prefix": "refused", "ami": ami, "image": IMAGE, "size": 1, "region": REGION});
    let names: Vec<String> = serde_json::from_value(lab().post("groups", &many)["names"].clone()).unwrap();
    lab().post("services", &many);
    let ids: BTreeSet<TargetId> = names.iter().map(|name| name.parse().unwrap()).collect();
    let fault = |action: &str| json!({"kind": "AccessDenied", "action": action, "region": REGION});
    lab().post("fault", &fault("DescribeAutoScalingGroups"));
    lab().post("fault", &fault("DescribeServices"));
    let (groups, services) = fleets(&hasty().await, REGION, &names);
    let refused = |seen: BTreeMap<TargetId, Result<_, TargetError>>| {
        let refused: Vec<String> = seen
            .into_values()
            .filter_map(|seen: Result<imgctl::model::Observed, _>| Some(seen.err()?.to_string()))
            .collect();
        (refused.len(), refused.last().unwrap().clone())
    };
    let (count, why) = refused(groups.survey(&ids, Depth::Running).await);
    assert!(count == 100 || count == 20, "one call of two: {count}");
    assert!(why.contains(&format!("and {} more in me-south-1 was denied", count - 3)), "{why}");
    let (count, why) = refused(services.survey(&ids, Depth::Running).await);
    assert_eq!(count, 10);
    assert!(why.contains("and 7 more of cluster main in me-south-1 was denied"), "{why}");
}
