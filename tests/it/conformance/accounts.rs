//! Groups of several accounts and regions side by side: whose they are decides with which credentials AWS is asked.

use crate::support::lab::lab;
use imgctl::provider::aws::{Access, Aws, Role};
use imgctl::provider::target::asg::{AsgFleet, AsgSpec};
use imgctl::provider::target::asg_settings::AsgSettings;
use imgctl::provider::target::{Depth, Fleet, TargetError};
use serde_json::json;
use std::sync::Arc;

/// No other test asks in this region: its calls are ours.
const REGION: &str = "sa-east-1";

fn access(account: &str) -> Access {
    let arn = format!("arn:aws:iam::{account}:role/imgctl").parse().unwrap();
    let role = Role { arn, external_id: Some("s3cret".into()), session_name: Role::SESSION.into() };
    Access { profile: None, role: Some(role) }
}

fn fleet(aws: &Arc<Aws>, group: &str) -> AsgFleet {
    let (id, region) = (group.parse().unwrap(), REGION.parse().unwrap());
    let spec = AsgSpec { id, region, group: group.to_owned(), settings: AsgSettings::new(group).into() };
    AsgFleet::new(vec![spec], aws)
}

async fn runs(aws: &Arc<Aws>, group: &str) -> Result<Vec<String>, TargetError> {
    let fleet = fleet(aws, group);
    let seen = fleet.survey(&[group.parse().unwrap()].into(), Depth::Running).await.into_values().next().unwrap();
    seen.map(|seen| seen.running.keys().map(|image| image.short()).collect())
}

#[tokio::test]
async fn one_name_in_two_accounts_is_two_groups_and_a_role_is_assumed_once() {
    let (ours, theirs) = (json!({"region": REGION}), json!({"region": REGION, "account": "222222222222"}));
    let (here, there) = (lab().ami("accounts-here", &ours), lab().ami("accounts-there", &theirs));
    lab().group("accounts", &here, &ours);
    lab().group("accounts", &there, &theirs);
    let aws = Arc::new(crate::support::aws(lab()).await);
    let other = aws.under(&access("222222222222"));
    assert!(Arc::ptr_eq(&other, &aws.under(&access("222222222222"))), "made once and shared");
    let since = lab().get("calls?since=0")["next"].clone();
    assert_eq!(runs(&aws, "accounts").await.unwrap(), [here]);
    assert_eq!(runs(&other, "accounts").await.unwrap(), std::slice::from_ref(&there));
    assert_eq!(runs(&other, "accounts").await.unwrap(), [there]);
    let calls = lab().get(&format!("calls?since={since}"));
    let assumed = calls["calls"].as_array().unwrap().iter().filter(|call| call["action"] == "AssumeRole");
    let assumed = assumed.filter(|call| call["params"].to_string().contains("222222222222")).count();
    assert_eq!(assumed, 1, "for two services and two surveys: {calls}");
    assert_eq!(other.identity().await.unwrap().account, "222222222222");
}

#[tokio::test]
async fn an_error_names_the_account_and_the_role_and_no_secret() {
    let aws = Arc::new(crate::support::aws(lab()).await);
    let other = aws.under(&access("333333333333"));
    let arn = "arn:aws:iam::333333333333:role/imgctl";
    let gone = runs(&other, "accounts-nowhere").await.unwrap_err();
    assert_eq!(
        gone.to_string(),
        format!("there is no Auto Scaling group accounts-nowhere in {REGION} as {arn}"),
        "{gone:?}"
    );
    let closed = aws.under(&access("444444444444"));
    lab().post(
        "fault",
        &json!({"kind": "denied", "action": "AssumeRole", "about": "arn:aws:iam::444444444444:role/imgctl"}),
    );
    let refused = runs(&closed, "accounts").await.unwrap_err();
    let said = format!("{refused} {} {refused:?}", refused.hint().unwrap());
    assert!(said.contains("as arn:aws:iam::444444444444:role/imgctl"), "{said}");
    assert!(said.contains("sts:AssumeRole") || said.contains("AssumeRole"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}
