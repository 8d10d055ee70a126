//! A real registry, open and closed, and what a client must find out when it misbehaves.

use super::{ctl, patience, registries};
use crate::support::lab::{lab, scratch};
use imgctl::model::{Artifact, Digest, ImageRef, OciArtifact, Repository};
use imgctl::provider::source::registry::TagMove;
use imgctl::provider::source::{Availability, Described, RegistryError, RegistrySettings, RegistrySource, SourceError};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// A repository of its own for one test, with image `1` in it, behind the proxy.
struct Stage {
    name: String,
    repository: Repository,
    digest: Digest,
}

impl Stage {
    fn new(name: &str) -> Self {
        let name = format!("src/{name}");
        let digest =
            push(&name, "1", &["--arch", "amd64,arm64", "--label", "org.opencontainers.image.revision=abc123"]);
        Self { repository: at("IMGCTL_LAB_REGISTRY_FAULTS", &name), name, digest }
    }

    /// Makes the proxy misbehave for this repository alone.
    fn fault(&self, arguments: &[&str]) {
        ctl(lab(), &[&["registry-fault"], arguments, &["--repo", &self.name]].concat());
    }

    async fn resolve(&self) -> Result<Described, RegistryError> {
        unwrapped(registries().resolve_tag(&self.repository, "1").await)
    }
}

fn at(which: &str, name: &str) -> Repository {
    format!("{}/{name}", lab().env[which]).parse().unwrap()
}

fn push(name: &str, tag: &str, more: &[&str]) -> Digest {
    let printed = ctl(lab(), &[&["push", &format!("{name}:{tag}")], more].concat());
    printed.rsplit('@').next().unwrap().parse().unwrap()
}

fn unwrapped<T>(answer: Result<T, SourceError>) -> Result<T, RegistryError> {
    match answer {
        Ok(value) => Ok(value),
        Err(SourceError::Registry(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

fn only(described: &Described) -> &OciArtifact {
    match &described.artifacts[..] {
        [Artifact::Oci(oci)] => oci,
        other => panic!("one image expected: {other:?}"),
    }
}

#[tokio::test]
async fn a_tag_is_pinned_with_every_platform() {
    let stage = Stage::new("pinned");
    let read = stage.resolve().await.unwrap();
    let oci = only(&read);
    assert_eq!((&oci.digest, oci.tag.as_deref()), (&stage.digest, Some("1")));
    assert_eq!(oci.media_type, "application/vnd.oci.image.index.v1+json");
    assert_eq!(oci.platforms.keys().collect::<Vec<_>>(), ["linux/amd64", "linux/arm64"]);
    let arm = &oci.platforms["linux/arm64"];
    assert!(arm.layer_bytes > 0 && arm.manifest != oci.digest && arm.config != arm.manifest);
    assert_eq!(arm.labels["org.opencontainers.image.revision"], "abc123");
    assert_eq!(arm.created.unwrap().to_string(), "2025-01-01T00:00:00Z");
    assert_eq!(read.provenance.commit.as_deref(), Some("abc123"));
    let again = registries().resolve_digest(&stage.repository, &stage.digest).await.unwrap();
    assert_eq!((&only(&again).platforms, only(&again).tag.as_ref()), (&oci.platforms, None));
    let child = registries().resolve_digest(&stage.repository, &arm.manifest).await.unwrap();
    assert_eq!(only(&child).platforms.keys().collect::<Vec<_>>(), ["linux/arm64"]);
}

#[tokio::test]
async fn what_does_not_hash_to_its_digest_is_refused() {
    let stage = Stage::new("lies");
    stage.fault(&["wrong-digest", "--method", "GET"]);
    let error = stage.resolve().await.unwrap_err();
    assert!(matches!(&error, RegistryError::Mismatch { found, .. } if *found == stage.digest), "{error}");
    stage.fault(&["corrupt", "--method", "GET"]);
    let error = stage.resolve().await.unwrap_err();
    assert!(matches!(&error, RegistryError::Mismatch { said, .. } if *said == stage.digest), "{error}");
    // A platform's manifest is checked as the index is.
    stage.fault(&["corrupt", "--method", "GET", "--path", "manifests/sha256:"]);
    assert!(matches!(stage.resolve().await, Err(RegistryError::Mismatch { .. })));
    stage.resolve().await.unwrap();
}

#[tokio::test]
async fn a_tag_that_moves_while_it_is_read_is_not_recorded() {
    let stage = Stage::new("moving");
    let second = push(&stage.name, "2", &[]);
    stage.fault(&["moving-tag", "--from", "1", "--to", "2"]);
    let error = stage.resolve().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}:1 moved while it was read: from {} to {second}", stage.repository, stage.digest)
    );
}

#[tokio::test]
async fn each_refusal_is_told_as_what_it_is() {
    let stage = Stage::new("refusals");
    let host = stage.repository.registry().to_owned();
    stage.fault(&["status", "--status", "401"]);
    let error = stage.resolve().await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::Unauthorized { tried, .. } if tried.starts_with("no credentials")),
        "{error}"
    );
    assert_eq!(error.hint().unwrap(), format!("docker login {host}"));
    stage.fault(&["status", "--status", "403", "--message", "not for you"]);
    let error = stage.resolve().await.unwrap_err().to_string();
    assert!(error.contains("denies it: not for you; tried no credentials"), "{error}");
    stage.fault(&["status", "--status", "404"]);
    assert!(stage.resolve().await.unwrap_err().is_gone());
    let error = unwrapped(registries().resolve_tag(&stage.repository, "no-such").await).unwrap_err();
    assert!(
        error.is_gone() && error.to_string().starts_with(&format!("{}:no-such is not there", stage.repository)),
        "{error}"
    );
    let nowhere = at("IMGCTL_LAB_REGISTRY", "src/nobody-pushed");
    assert!(unwrapped(registries().resolve_tag(&nowhere, "1").await).unwrap_err().is_gone());
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    let stage = Stage::new("passing");
    stage.fault(&["status", "--status", "500", "--times", "2"]);
    stage.resolve().await.unwrap();
    stage.fault(&["reset"]);
    stage.resolve().await.unwrap();
    stage.fault(&["status", "--status", "429", "--retry-after", "1"]);
    let began = Instant::now();
    stage.resolve().await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "the registry's own pace is kept");
}

#[tokio::test]
async fn what_does_not_pass_is_said_in_time() {
    let stage = Stage::new("lasting");
    stage.fault(&["status", "--status", "503", "--times", "4"]);
    let error = stage.resolve().await.unwrap_err();
    assert!(matches!(error, RegistryError::Broken { .. }), "{error}");
    stage.fault(&["status", "--status", "429", "--retry-after", "3600"]);
    let error = stage.resolve().await.unwrap_err();
    assert!(error.to_string().ends_with("asks to come back in 3600 s"), "{error}");
    stage.fault(&["hang"]);
    let error = stage.resolve().await.unwrap_err();
    assert!(matches!(error, RegistryError::Timeout { .. }), "{error}");
    stage.resolve().await.unwrap();
}

#[tokio::test]
async fn no_registry_is_told_from_one_that_speaks_otherwise() {
    let nobody: Repository = "127.0.0.1:9/web".parse().unwrap();
    let error = unwrapped(registries().resolve_tag(&nobody, "1").await).unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    // Not a loopback name, so it is asked by HTTPS; Linux takes it to this machine all the same.
    let plain: Repository =
        format!("{}/web", lab().env["IMGCTL_LAB_REGISTRY"].replace("127.0.0.1", "0.0.0.0")).parse().unwrap();
    let error = unwrapped(registries().resolve_tag(&plain, "1").await).unwrap_err();
    assert!(matches!(error, RegistryError::PlainHttp { .. }), "{error}");
    assert!(error.hint().unwrap().contains("plain_http = true"));
    let settings =
        RegistrySettings { plain_http: BTreeSet::from([plain.registry().to_owned()]), ..RegistrySettings::default() };
    let error = unwrapped(RegistrySource::new(settings, patience()).resolve_tag(&plain, "1").await).unwrap_err();
    assert!(error.is_gone(), "spoken to as the config says: {error}");
}

/// A TLS server's answer to a plain request: an alert record (RFC 8446 §6).
#[tokio::test]
async fn a_tls_registry_asked_in_the_clear_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let repository: Repository = format!("{}/web", listener.local_addr().unwrap()).parse().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(4) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(&[0x15, 3, 1, 0, 2, 2, 70]);
        }
    });
    let error = unwrapped(registries().resolve_tag(&repository, "1").await).unwrap_err();
    assert!(matches!(error, RegistryError::Encrypted { .. }), "{error}");
}

#[tokio::test]
async fn the_docker_config_opens_a_closed_registry() {
    let name = "src/closed";
    let digest = push(name, "1", &["--user", "ci:s3cret"]);
    let repository = at("IMGCTL_LAB_REGISTRY_AUTH", name);
    let error = unwrapped(registries().resolve_tag(&repository, "1").await).unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
    let folder = scratch();
    let path = folder.path().join("config.json");
    let with = |auth: &str| {
        std::fs::write(&path, format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, repository.registry()))
            .unwrap();
        RegistrySource::new(
            RegistrySettings { docker_config: Some(path.clone()), ..RegistrySettings::default() },
            patience(),
        )
    };
    let read = with("Y2k6czNjcmV0").resolve_tag(&repository, "1").await.unwrap();
    assert_eq!(only(&read).digest, digest);
    let moved = with("Y2k6czNjcmV0").move_tag(&repository, &digest, "prod").await.unwrap();
    assert_eq!(moved, TagMove::Moved { from: None });
    let error = unwrapped(with("Y2k6d3Jvbmc=").resolve_tag(&repository, "1").await).unwrap_err().to_string();
    assert!(error.contains("tried user ci of ") && !error.contains("wrong"), "{error}");
}

#[tokio::test]
async fn every_page_of_tags_is_read() {
    let stage = Stage::new("paged");
    for tag in ["2", "3", "4", "5"] {
        ctl(lab(), &["retag", &format!("{}:1", stage.name), tag]);
    }
    stage.fault(&["paged-tags", "--size", "2"]);
    let mut pages = Vec::new();
    let mut page = |tags: Vec<String>| {
        pages.push(tags);
        ControlFlow::Continue(())
    };
    registries().tags(&stage.repository, &mut page).await.unwrap();
    assert_eq!(pages, [vec!["1", "2"], vec!["3", "4"], vec!["5"]]);
    let mut seen = 0;
    let mut first = |_| {
        seen += 1;
        ControlFlow::Break(())
    };
    registries().tags(&stage.repository, &mut first).await.unwrap();
    assert_eq!(seen, 1);
}

#[tokio::test]
async fn a_tag_is_moved_with_the_same_bytes() {
    let stage = Stage::new("retag");
    let second = push(&stage.name, "2", &[]);
    let registries = registries();
    let move_tag = |digest| registries.move_tag(&stage.repository, digest, "prod");
    assert_eq!(move_tag(&stage.digest).await.unwrap(), TagMove::Moved { from: None });
    assert_eq!(move_tag(&stage.digest).await.unwrap(), TagMove::Already);
    assert_eq!(move_tag(&second).await.unwrap(), TagMove::Moved { from: Some(stage.digest.clone()) });
    let read = registries.resolve_tag(&stage.repository, "prod").await.unwrap();
    assert_eq!(only(&read).digest, second);
    let missing = move_tag(&Digest::of(b"nothing")).await.unwrap_err();
    assert!(missing.is_gone(), "{missing}");
}

#[tokio::test]
async fn a_registry_that_keeps_its_tags_says_so_once() {
    for style in ["oci", "ecr"] {
        let stage = Stage::new(&format!("immutable-{style}"));
        let second = push(&stage.name, "2", &[]);
        stage.fault(&["immutable", "--style", style]);
        let error = registries().move_tag(&stage.repository, &second, "1").await.unwrap_err();
        assert!(matches!(error, RegistryError::TagTaken { .. }), "{error}");
        assert!(error.to_string().contains("immutable"), "{error}");
        assert_eq!(
            registries().move_tag(&stage.repository, &second, "new").await.unwrap(),
            TagMove::Moved { from: None }
        );
    }
}

#[tokio::test]
async fn a_push_without_location_is_a_push() {
    let stage = Stage::new("no-location");
    stage.fault(&["no-location"]);
    assert_eq!(
        registries().move_tag(&stage.repository, &stage.digest, "prod").await.unwrap(),
        TagMove::Moved { from: None }
    );
}

#[tokio::test]
async fn each_digest_is_answered_for() {
    let stage = Stage::new("available");
    let other = Stage::new("broken");
    other.fault(&["status", "--status", "401"]);
    let missing = (stage.repository.clone(), Digest::of(b"nothing"));
    let wanted = BTreeSet::from([
        (stage.repository.clone(), stage.digest.clone()),
        missing.clone(),
        (other.repository.clone(), other.digest.clone()),
    ]);
    let answers = registries().availability(&wanted).await;
    let answer = |(repository, digest): (Repository, Digest)| &answers[&ImageRef::Oci { repository, digest }];
    assert_eq!(answer((stage.repository, stage.digest)), &Availability::Available);
    assert!(matches!(answer(missing), Availability::Gone { .. }), "{answers:?}");
    assert!(matches!(answer((other.repository, other.digest)), Availability::Unknown { .. }), "{answers:?}");
}

#[tokio::test]
async fn an_image_is_whole_when_every_blob_behind_it_is_there() {
    let [whole, cleaned, silent] = ["whole", "cleaned", "silent"].map(Stage::new);
    // A cleaner took the layers and left the manifests: the index answers, and a pull would fail.
    cleaned.fault(&["status", "--status", "404", "--method", "HEAD", "--path", "/blobs/", "--forever"]);
    silent.fault(&["status", "--status", "500", "--method", "HEAD", "--path", "/blobs/", "--forever"]);
    let wanted = [&whole, &cleaned, &silent].map(|stage| (stage.repository.clone(), stage.digest.clone()));
    let answers = registries().whole(&wanted.clone().into()).await;
    let [whole, cleaned, silent] =
        wanted.map(|(repository, digest)| answers[&ImageRef::Oci { repository, digest }].clone());
    assert_eq!(whole, Availability::Available);
    let Availability::Unusable { why } = cleaned else { panic!("believed whole: {cleaned:?}") };
    assert_eq!(why.matches("blob sha256:").count(), 4, "a config and a layer of each platform: {why}");
    assert!(matches!(silent, Availability::Unknown { .. }), "no answer is not a yes: {silent:?}");
}
