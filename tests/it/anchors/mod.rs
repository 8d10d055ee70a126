//! Anchors against real peers: what every kind promises, and what each kind does when its place misbehaves.

mod conformance;
mod oci;
mod s3;
mod ssm;

use crate::ledger::{ana, at, create};
use crate::support::lab::{lab, root};
use aws_config::retry::RetryConfig;
use imgctl::flow::anchor::{self, Witness, Word};
use imgctl::model::{Event, Noted};
use imgctl::provider::anchor::{
    Anchor, AnchorError, AnchorSettings, AnchorSpec, OciSettings, S3Settings, SsmSettings, open,
};
use imgctl::provider::aws::{Access, Aws};
use imgctl::provider::source::{Patience, RegistrySettings, RegistrySource};
use imgctl::store::{DiskStore, LedgerStore};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

async fn aws() -> Arc<Aws> {
    let credentials = aws_sdk_ec2::config::Credentials::new("testing", "testing", None, None, "lab");
    let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(10));
    let config = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
        .region(aws_config::Region::new("eu-west-1"))
        .endpoint_url(lab().endpoint())
        .credentials_provider(credentials)
        .retry_config(retries)
        .load()
        .await;
    Arc::new(Aws::from_config(config))
}

fn registries() -> Arc<RegistrySource> {
    // The user's own docker config is no part of a test.
    let settings =
        RegistrySettings { docker_config: Some(root().join("no/config.json")), ..RegistrySettings::default() };
    let patience = Patience { backoff: Duration::from_millis(20), ..Patience::default() };
    Arc::new(RegistrySource::new(settings, patience))
}

fn ssm(test: &str) -> AnchorSettings {
    AnchorSettings::Ssm(SsmSettings { name: format!("/anchors/{test}"), region: None })
}

/// With a bucket of its own, which is made.
fn s3(test: &str) -> AnchorSettings {
    let bucket = format!("anchors-{test}");
    lab().post("bucket", &json!({"name": bucket}));
    AnchorSettings::S3(S3Settings { bucket, prefix: "heads/".to_owned(), region: None })
}

fn oci(test: &str) -> AnchorSettings {
    let repository = format!("{}/anchors/{test}", lab().env["IMGCTL_LAB_REGISTRY"]).parse().unwrap();
    AnchorSettings::Oci(OciSettings { repository, tag: "ledger-head".to_owned() })
}

async fn opened(settings: &AnchorSettings) -> Box<dyn Anchor> {
    opened_as(settings, Access::default()).await
}

async fn opened_as(settings: &AnchorSettings, access: Access) -> Box<dyn Anchor> {
    let spec = AnchorSpec { id: "it".to_owned(), access, settings: settings.clone() };
    open(&spec, &aws().await, &registries()).unwrap()
}

/// A ledger of `entries` entries. Those up to `shared` are the same in every ledger made here, the others its own.
fn ledger(dir: &Path, entries: u64, shared: u64, own: &str) -> DiskStore {
    let store = create(dir);
    grow(&store, 2..=entries, shared, own);
    store
}

fn grow(store: &DiskStore, numbers: std::ops::RangeInclusive<u64>, shared: u64, own: &str) {
    for number in numbers {
        let reason = if number <= shared { "common" } else { own };
        let event = Event::HoldSet { channel: "web/prod".parse().unwrap(), reason: reason.to_owned() };
        store.append(at(number), &ana(), &event).unwrap();
    }
}

/// The ledger's head, as it would be noted now.
fn head_of(store: &DiskStore) -> Noted {
    let view = store.view().unwrap();
    anchor::to_note(&*view, view.head(), &ana(), at(99)).unwrap()
}

async fn note(settings: &AnchorSettings, store: &DiskStore) -> Word {
    let named = vec![("it".to_owned(), Ok(opened(settings).await))];
    only(anchor::anchor(&*store.view().unwrap(), &head_of(store), &named).await.unwrap())
}

async fn check(settings: &AnchorSettings, store: &DiskStore) -> Word {
    let named = vec![("it".to_owned(), Ok(opened(settings).await))];
    only(anchor::check(&*store.view().unwrap(), &named).await.unwrap())
}

fn only(mut witnesses: Vec<Witness>) -> Word {
    assert_eq!(witnesses.len(), 1);
    let witness = witnesses.remove(0);
    assert_eq!(witness.is_good(), matches!(witness.word, Word::Holds { .. }));
    witness.word
}

/// Why a witness says nothing.
fn silent(word: Word) -> Arc<AnchorError> {
    match word {
        Word::Silent(error) => error,
        other => panic!("{other:?}"),
    }
}

/// The next calls with this value among their parameters go wrong.
fn fault(kind: &str, action: &str, about: &str, more: &Value) {
    let mut fault = json!({"kind": kind, "action": action, "about": about});
    for (key, value) in more.as_object().into_iter().flatten() {
        fault[key] = value.clone();
    }
    lab().post("fault", &fault);
}
