//! Who changed what drift finds: in AWS's own words, and in CloudTrail's where the config asks for it.

use crate::support::desk::Desk;
use crate::support::lab::lab;
use aws_sdk_autoscaling::types::LaunchTemplateSpecification;
use serde_json::{Value, json};
use std::fs;

/// Each finding's kind with who is said to have done it, and where that stands.
fn authors(desk: &Desk) -> Vec<String> {
    let ran = desk.run(&["drift", "--json"]);
    assert_eq!(ran.exit, 2, "{}{}", ran.out, ran.err);
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    let said = |finding: &Value| {
        let by = &finding["by"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", text(&finding["kind"]), text(&by["who"]), text(&by["source"]))
    };
    document["findings"].as_array().unwrap().iter().map(said).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudtrail_says_who_moved_a_group_where_the_config_asks_for_it() {
    // A region of its own: whose LookupEvents a fault meets cannot be said in any other way.
    const REGION: &str = "ca-central-1";
    let desk = Desk::new("trailed/prod", &["trailed"], "");
    let config = fs::read_to_string(desk.path("imgctl.toml")).unwrap().replace("eu-west-1", REGION);
    fs::write(desk.path("imgctl.toml"), &config).unwrap();
    let amis = ["trailed-1", "trailed-2"].map(|name| lab().ami(name, &json!({"region": REGION})));
    let group = lab().group("trailed", &amis[0], &json!({"size": 1, "region": REGION}));
    desk.done(&["record", "trailed@1", &format!("{}@{REGION}", amis[0])]);
    desk.done(&["promote", "trailed@1", "prod", "--yes"]);

    // Somebody makes a version, and points the group to it; a call that changes no image comes after that.
    let aws = crate::support::aws(lab()).await;
    let region = REGION.parse().unwrap();
    let id = group["template_id"].as_str().unwrap();
    let image = aws_sdk_ec2::types::RequestLaunchTemplateData::builder().image_id(&amis[1]).build();
    let made = aws.ec2(&region).create_launch_template_version().launch_template_id(id).source_version("1");
    let made = made.launch_template_data(image).send().await.unwrap();
    let number = made.launch_template_version.unwrap().version_number.unwrap().to_string();
    let groups = aws.autoscaling(&region);
    let version = LaunchTemplateSpecification::builder().launch_template_id(id).version(number).build();
    let update = || groups.update_auto_scaling_group().auto_scaling_group_name("trailed");
    update().launch_template(version).send().await.unwrap();
    update().max_size(3).send().await.unwrap();

    // Instances that run something else are nobody's call.
    let by = |source: &str| vec!["mixed - -".to_owned(), format!("tampered {source}")];
    assert_eq!(authors(&desk), by("arn:aws:iam::123456789012:root DescribeLaunchTemplateVersions"));
    lab().post("calls/mark", &json!({}));
    fs::write(desk.path("imgctl.toml"), config.replacen("[aws]", "[aws]\ncloudtrail = true", 1)).unwrap();
    assert_eq!(authors(&desk), by("arn:aws:sts::123456789012:user/moto CloudTrail UpdateAutoScalingGroup"));

    // Without the right to ask, the finding is told all the same, and that nobody could be asked.
    lab().post("fault", &json!({"service": "cloudtrail", "kind": "denied", "region": REGION}));
    let denied = desk.run(&["drift"]);
    assert_eq!(denied.exit, 1, "{}{}", denied.out, denied.err);
    let all = format!("{}{}", denied.out, denied.err);
    assert!(all.contains("tampered") && all.contains("who changed it: CloudTrail LookupEvents"), "{all}");
    assert!(all.contains("arn:aws:iam::123456789012:root"), "and who made the version is told: {all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudtrail_says_who_moved_a_templates_default_by_its_name() {
    let amis = ["by-name-1", "by-name-2"].map(|name| lab().ami(name, &json!({})));
    let group = lab().group("by-name", &amis[0], &json!({"size": 0}));
    let id = group["template_id"].as_str().unwrap();
    let target = format!("id = \"by-name\"\nkind = \"launch-template\"\ntemplate = \"{id}\"\nregion = \"eu-west-1\"\n");
    let desk = Desk::new("by-name/prod", &[], &format!("\n[[channels.by-name.prod.targets]]\n{target}"));
    let config = fs::read_to_string(desk.path("imgctl.toml")).unwrap();
    fs::write(desk.path("imgctl.toml"), config.replacen("[aws]", "[aws]\ncloudtrail = true", 1)).unwrap();
    desk.done(&["record", "by-name@1", &amis[0]]);
    desk.done(&["promote", "by-name@1", "prod", "--yes"]);
    let ec2 = crate::support::aws(lab()).await.ec2(&"eu-west-1".parse().unwrap());
    let image = aws_sdk_ec2::types::RequestLaunchTemplateData::builder().image_id(&amis[1]).build();
    let made = ec2.create_launch_template_version().launch_template_id(id).source_version("1");
    let made = made.launch_template_data(image).send().await.unwrap().launch_template_version.unwrap();
    let number = made.version_number.unwrap().to_string();
    let moves = ec2.modify_launch_template().launch_template_name(made.launch_template_name.unwrap());
    moves.default_version(number).send().await.unwrap();
    lab().post("calls/mark", &json!({}));
    let by = "tampered arn:aws:sts::123456789012:user/moto CloudTrail ModifyLaunchTemplate";
    assert_eq!(authors(&desk), [by]);
}
