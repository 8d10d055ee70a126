//! What a group foresees before anything moves: rights, images of other accounts, keys.

use crate::support::lab::lab;
use imgctl::model::{AmiArtifact, AmiFacts, Artifact, Device, Image, ImageRef, Outlook, Provenance, SlotChange, Step};
use imgctl::provider::aws::{Access, Role};
use imgctl::provider::target::asg::{AsgFleet, AsgSpec};
use imgctl::provider::target::asg_settings::AsgSettings;
use imgctl::provider::target::{Fleet, Observe, Target};
use serde_json::{Value, json};
use std::sync::Arc;

const REGION: &str = "eu-west-1";
const OTHER: &str = "222222222222";

async fn fleet(name: &str, account: Option<&str>) -> AsgFleet {
    let aws = Arc::new(crate::support::aws(lab()).await);
    let role = account.map(|account| Role {
        arn: format!("arn:aws:iam::{account}:role/imgctl").parse().unwrap(),
        external_id: None,
        session_name: Role::SESSION.into(),
    });
    let (id, region) = (name.parse().unwrap(), REGION.parse().unwrap());
    let spec = AsgSpec { id, region, group: name.to_owned(), settings: AsgSettings::new(name).into() };
    AsgFleet::new(vec![spec], &aws.under(&Access { profile: None, role }))
}

/// What the group says of moving to an AMI with these devices.
async fn check(fleet: &AsgFleet, name: &str, ami: &str, device: Option<Device>) -> Outlook {
    let artifact = AmiArtifact {
        account: "123456789012".into(),
        region: REGION.parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
        id: ami.parse().unwrap(),
        facts: AmiFacts {
            devices: device.map(|device| ("/dev/sda1".into(), device)).into_iter().collect(),
            ..AmiFacts::default()
        },
    };
    let image = Image::new("web@2".parse().unwrap(), vec![Artifact::Ami(artifact)], Provenance::default());
    let target = fleet.target(&name.parse().unwrap()).unwrap();
    let observed = Observe::observe(target).await.unwrap();
    let to = ImageRef::Ami { region: REGION.parse().unwrap(), id: ami.parse().unwrap() };
    let step = Step {
        number: 1,
        target: name.parse().unwrap(),
        wave: 1,
        slots: [("template".parse().unwrap(), SlotChange { from: None, to })].into(),
        expect: observed.revision,
        exact: None,
        interrupts: None,
        notes: Vec::new(),
    };
    Target::check(target, &image, &step).await.unwrap()
}

fn group(name: &str, more: &Value) -> (String, String) {
    let (old, new) = (lab().ami(&format!("{name}-1"), more), lab().ami(&format!("{name}-2"), &json!({})));
    lab().group(name, &old, more);
    (old, new)
}

#[tokio::test]
async fn a_right_that_is_missing_is_found_by_a_dry_run() {
    let (_, new) = group("check-rights", &json!({}));
    let fleet = fleet("check-rights", None).await;
    assert_eq!(check(&fleet, "check-rights", &new, None).await, Outlook::default());
    let shown = lab().show("check-rights");
    assert_eq!(shown["config"]["latest_version"], 1, "a dry run makes nothing");
    let about = shown["config"]["template_id"].as_str().unwrap();
    let fault = json!({"kind": "denied", "action": "CreateLaunchTemplateVersion", "about": about, "times": 1});
    lab().post("fault", &fault);
    let outlook = check(&fleet, "check-rights", &new, None).await;
    assert!(outlook.obstacles[0].what.starts_with("cannot be moved: EC2 CreateLaunchTemplateVersion"), "{outlook:?}");
    assert!(outlook.obstacles[0].fix.contains("allow ec2:CreateLaunchTemplateVersion"), "{outlook:?}");
}

#[tokio::test]
async fn an_image_that_is_not_shared_with_the_groups_account_is_named_with_both_accounts() {
    let (_, new) = group("check-shared", &json!({"account": OTHER}));
    let fleet = fleet("check-shared", Some(OTHER)).await;
    let outlook = check(&fleet, "check-shared", &new, None).await;
    let what = format!(
        "cannot launch {new} in {REGION} as arn:aws:iam::{OTHER}:role/imgctl: account {OTHER} does not see it, \
         and account 123456789012 owns it"
    );
    assert_eq!(outlook.obstacles.iter().map(|each| each.what.as_str()).collect::<Vec<_>>(), [what.as_str()]);
    assert!(outlook.obstacles[0].fix.contains(&format!("--image-id {new}")), "{outlook:?}");
    lab().post("image", &json!({"image_id": new, "shared_with": [OTHER]}));
    assert_eq!(check(&fleet, "check-shared", &new, None).await, Outlook::default());
    lab().post("image", &json!({"image_id": new, "state": "disabled"}));
    let outlook = check(&fleet, "check-shared", &new, None).await;
    assert!(outlook.obstacles[0].what.contains("it is disabled"), "{outlook:?}");
}

#[tokio::test]
async fn a_key_that_nothing_proves_usable_is_said_to_be_unknown() {
    let (_, new) = group("check-key", &json!({}));
    let fleet = fleet("check-key", None).await;
    let key = "arn:aws:kms:eu-west-1:123456789012:key/0000";
    let device = Device { encrypted: true, kms_key: Some(key.to_owned()), ..Device::default() };
    let outlook = check(&fleet, "check-key", &new, Some(device.clone())).await;
    assert!(outlook.obstacles.is_empty() && outlook.unknown.len() == 1, "{outlook:?}");
    assert!(outlook.unknown[0].contains(key) && outlook.unknown[0].contains("is not known"), "{outlook:?}");
}

#[tokio::test]
async fn a_key_that_the_groups_own_volumes_have_is_proven_usable() {
    let (here, elsewhere) = ["1111", "2222"].map(|end| format!("arn:aws:kms:{REGION}:123456789012:key/{end}")).into();
    let (_, new) = group("check-proven", &json!({"kms_key": here}));
    let fleet = fleet("check-proven", None).await;
    let device = |key: &str| Some(Device { encrypted: true, kms_key: Some(key.to_owned()), ..Device::default() });
    assert_eq!(check(&fleet, "check-proven", &new, device(&here)).await, Outlook::default());
    let outlook = check(&fleet, "check-proven", &new, device(&elsewhere)).await;
    assert!(outlook.unknown.len() == 1 && outlook.unknown[0].contains(&elsewhere), "{outlook:?}");
    // Without the right to look at volumes nothing is proven, and nothing stands in the way either.
    let about = lab().show("check-proven")["instances"][0]["id"].clone();
    lab().post("fault", &json!({"kind": "denied", "action": "DescribeVolumes", "about": about, "times": 1}));
    let outlook = check(&fleet, "check-proven", &new, device(&here)).await;
    assert!(outlook.obstacles.is_empty() && outlook.unknown.len() == 1, "{outlook:?}");
    // A key that could not be read when the image was recorded is no proven one.
    let unread = Some(Device { encrypted: true, ..Device::default() });
    let outlook = check(&fleet, "check-proven", &new, unread).await;
    assert!(outlook.unknown[0].contains("a key that could not be read"), "{outlook:?}");
}
