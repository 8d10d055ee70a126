//! Every way AWS can fail a call, as a person gets to read it.

use super::sources;
use crate::support::lab::{Lab, scratch};
use aws_config::credential_process::CredentialProcessProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use imgctl::provider::aws::{Aws, AwsError};
use imgctl::provider::source::{ImageSource, SourceError};
use serde_json::json;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// A lab that only one test at a time has: faults and the log of calls are the whole lab's.
pub async fn own_lab() -> MutexGuard<'static, Lab> {
    static OWN: OnceLock<Mutex<Lab>> = OnceLock::new();
    let start = || {
        let dir = scratch().keep();
        Mutex::new(Lab::start(&dir.join("lab"), &["--time-scale", "0.01"]))
    };
    OWN.get_or_init(start).lock().await
}

async fn aws(endpoint: &str, credentials: SharedCredentialsProvider) -> Aws {
    let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(10));
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(2)).build();
    let config = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
        .region(aws_config::Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .credentials_provider(credentials)
        .retry_config(retries)
        .timeout_config(timeouts)
        .load()
        .await;
    Aws::from_config(config)
}

fn testing() -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new("testing", "testing", None, None, "lab"))
}

async fn record(endpoint: &str, credentials: SharedCredentialsProvider, id: &str) -> Result<(), AwsError> {
    let sources = sources(aws(endpoint, credentials).await);
    match sources.resolve(&[id.parse().unwrap()]).await {
        Ok(_) => Ok(()),
        Err(SourceError::Aws(error)) => {
            assert!(!error.hint().is_empty());
            Err(error)
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_refusal_names_the_call_and_what_it_was_about() {
    let lab = own_lab().await;
    let id = lab.ami("f-denied", &json!({}));
    let fault = |kind: &str, action: &str, times: u32| {
        lab.post("fault", &json!({"kind": kind, "action": action, "times": times}))
    };
    fault("denied", "DescribeImages", 1);
    let error = record(lab.endpoint(), testing(), &id).await.unwrap_err();
    let said = error.to_string();
    assert!(
        said.starts_with(&format!("EC2 DescribeImages of {id} in eu-west-1 was denied: You are not authorized")),
        "{said}"
    );
    assert!(matches!(error, AwsError::Denied { .. }) && error.hint().contains("ec2:DescribeImages"));

    fault("expired", "DescribeImages", 1);
    let error = record(lab.endpoint(), testing(), &id).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the AWS credentials have expired (EC2 DescribeImages of {id} in eu-west-1)")
    );

    fault("expired", "GetCallerIdentity", 1);
    let error = record(lab.endpoint(), testing(), &id).await.unwrap_err();
    assert!(matches!(error, AwsError::ExpiredCredentials { .. }), "{error}");

    // Facts that need rights of their own are left out, and that is said.
    fault("denied", "DescribeImageAttribute", 1);
    let read = sources(aws(lab.endpoint(), testing()).await).resolve(&[id.parse().unwrap()]).await.unwrap();
    assert!(
        read.notes[0].starts_with(&format!("the launch permissions of {id} are not recorded: ")),
        "{:?}",
        read.notes
    );
}

#[tokio::test]
async fn throttling_is_retried_and_then_said() {
    let lab = own_lab().await;
    let id = lab.ami("f-throttled", &json!({}));
    lab.post("fault", &json!({"kind": "throttle", "action": "DescribeImages", "times": 2}));
    record(lab.endpoint(), testing(), &id).await.unwrap();
    lab.post("fault", &json!({"kind": "throttle", "action": "DescribeImages", "times": 3}));
    let error = record(lab.endpoint(), testing(), &id).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("EC2 DescribeImages of {id} in eu-west-1 was throttled, and still after several retries")
    );
    lab.post("fault", &json!({"kind": "error", "action": "DescribeImages", "times": 3}));
    let error = record(lab.endpoint(), testing(), &id).await.unwrap_err();
    assert!(error.is_silence() && error.to_string().contains("InternalError"), "{error}");
}

#[tokio::test]
async fn no_answer_is_told_from_no_connection() {
    let lab = own_lab().await;
    let id = lab.ami("f-hang", &json!({}));
    lab.post("fault", &json!({"kind": "hang", "action": "DescribeImages", "times": 3}));
    let error = record(lab.endpoint(), testing(), &id).await.unwrap_err();
    assert!(matches!(error, AwsError::Timeout { .. }) && error.is_silence(), "{error}");
    let error = record("http://127.0.0.1:9", testing(), &id).await.unwrap_err();
    assert_eq!(error.to_string(), format!("EC2 could not be reached (EC2 DescribeImages of {id} in eu-west-1)"));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("refused"), "{cause}");
}

/// A chain of providers that found nothing.
#[derive(Debug)]
struct Nobody;

impl ProvideCredentials for Nobody {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded_no_source()))
    }
}

#[tokio::test]
async fn missing_credentials_are_told_from_bad_ones() {
    let id = "ami-00000000000000001";
    let error = record("http://127.0.0.1:9", SharedCredentialsProvider::new(Nobody), id).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("EC2 DescribeImages of {id} in eu-west-1 needs AWS credentials, and none were found")
    );
    let broken = CredentialProcessProvider::new("/no/such/helper".to_owned());
    let error = record("http://127.0.0.1:9", SharedCredentialsProvider::new(broken), id).await.unwrap_err();
    assert!(matches!(error, AwsError::CredentialsFailed { .. }), "{error}");
    let lab = own_lab().await;
    lab.post("fault", &json!({"kind": "InvalidClientTokenId", "action": "GetCallerIdentity", "status": 403}));
    let error = aws(lab.endpoint(), testing()).await.identity().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "AWS does not accept these credentials (STS GetCallerIdentity of these credentials: InvalidClientTokenId)"
    );
}
