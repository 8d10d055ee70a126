//! What the tests share: a running lab.

pub mod cluster;
pub mod desk;
pub mod lab;
pub mod ledger;
pub mod scenario;
pub mod skipped;
pub mod stage;

/// AWS clients that talk to the lab.
pub async fn aws(lab: &lab::Lab) -> imgctl::provider::aws::Aws {
    let credentials = aws_sdk_ec2::config::Credentials::new("testing", "testing", None, None, "lab");
    let config = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
        .region(aws_config::Region::new("eu-west-1"))
        .endpoint_url(lab.endpoint())
        .credentials_provider(credentials)
        .load()
        .await;
    imgctl::provider::aws::Aws::from_config(config)
}
