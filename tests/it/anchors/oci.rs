//! The artifact in a registry: what it looks like to others, its memory, and registries that say no.

use super::{aws, check, grow, head_of, lab, ledger, note, oci, opened, registries, silent};
use imgctl::flow::anchor::{self, Word};
use imgctl::model::{Digest, Standing};
use imgctl::provider::anchor::{AnchorError, AnchorSettings, AnchorSpec, OciSettings, open};
use imgctl::provider::aws::Access;
use imgctl::provider::source::{Patience, RegistrySettings, RegistrySource};
use imgctl::store::LedgerStore;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

fn of(settings: &AnchorSettings) -> OciSettings {
    match settings {
        AnchorSettings::Oci(settings) => settings.clone(),
        other => panic!("{other:?}"),
    }
}

fn ctl(arguments: &[&str]) {
    let output = Command::new(crate::support::lab::root().join("tests/lab/ctl"))
        .args(arguments)
        .envs(&lab().env)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn each_manifest_names_the_one_before_by_its_digest() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 20, "");
    let settings = oci("history");
    let OciSettings { repository, tag } = of(&settings);
    let mut digests: Vec<Digest> = Vec::new();
    for number in 4..=16 {
        note(&settings, &store).await;
        let bytes = registries().artifact(&repository, &tag).await.unwrap().unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let previous = manifest["annotations"]["imgctl.anchor.previous"].as_str();
        assert_eq!(previous, digests.last().map(Digest::as_str));
        digests.push(Digest::of(&bytes));
        grow(&store, number..=number, 20, "");
    }
    let read = opened(&settings).await.read().await.unwrap();
    assert_eq!(read.len(), 10, "its memory has an end");
    assert_eq!(read.last().unwrap().head.seq.0, 15);
}

#[tokio::test]
async fn an_image_under_the_tag_is_not_written_over() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 9, "");
    ctl(&["push", "anchors/image:ledger-head"]);
    let settings = oci("image");
    let before = registries().artifact(&of(&settings).repository, "ledger-head").await.unwrap();
    let error = silent(note(&settings, &store).await);
    assert!(matches!(*error, AnchorError::NotAnAnchor { .. }), "{error}");
    assert!(error.to_string().ends_with("/anchors/image:ledger-head does not hold what imgctl writes"), "{error}");
    assert_eq!(registries().artifact(&of(&settings).repository, "ledger-head").await.unwrap(), before);
}

#[tokio::test]
async fn a_tag_that_was_moved_back_is_found_out_by_whom_it_left_behind() {
    let dir = TempDir::new().unwrap();
    let ours = ledger(&dir.path().join("ours"), 5, 3, "ours");
    let theirs = ledger(&dir.path().join("theirs"), 5, 3, "theirs");
    let start = ledger(&dir.path().join("start"), 3, 3, "");
    let settings = oci("race");
    note(&settings, &start).await;
    let over = head_of(&start);
    let anchor = opened(&settings).await;
    anchor.write(&head_of(&theirs), Some(&over)).await.unwrap();
    let late = anchor.write(&head_of(&ours), Some(&over)).await.unwrap_err();
    assert!(matches!(late, AnchorError::Overtaken { .. }), "the tag is looked at again just before: {late}");
    let word = note(&settings, &ours).await;
    assert!(matches!(word, Word::Broken { standing: Standing::Rewritten { .. }, .. }), "{word:?}");
}

#[tokio::test]
async fn a_closed_or_silent_registry_is_no_yes() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 9, "");
    let at = |host: &str, name: &str| {
        let repository = format!("{host}/anchors/{name}").parse().unwrap();
        AnchorSettings::Oci(OciSettings { repository, tag: "ledger-head".to_owned() })
    };
    let closed = at(&lab().env["IMGCTL_LAB_REGISTRY_AUTH"], "closed");
    for word in [check(&closed, &store).await, note(&closed, &store).await] {
        let error = silent(word);
        assert!(error.hint().unwrap().starts_with("docker login "), "{error}");
    }
    let error = silent(check(&at("127.0.0.1:9", "silent"), &store).await);
    assert!(error.to_string().starts_with("registry 127.0.0.1:9 could not be reached"), "{error}");
    let immutable = at(&lab().env["IMGCTL_LAB_REGISTRY_FAULTS"], "immutable");
    ctl(&["registry-fault", "immutable", "--forever", "--repo", "anchors/immutable"]);
    note(&immutable, &store).await;
    grow(&store, 4..=4, 9, "");
    let error = silent(note(&immutable, &store).await);
    assert!(error.hint().unwrap().contains("immutability"), "{error}");
}

#[tokio::test]
async fn a_closed_registry_opens_to_the_docker_config() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 9, "");
    let host = &lab().env["IMGCTL_LAB_REGISTRY_AUTH"];
    let path = dir.path().join("config.json");
    std::fs::write(&path, format!(r#"{{"auths": {{"{host}": {{"auth": "Y2k6czNjcmV0"}}}}}}"#)).unwrap();
    let settings = RegistrySettings { docker_config: Some(path), ..RegistrySettings::default() };
    let registries = Arc::new(RegistrySource::new(settings, Patience::default()));
    let repository = format!("{host}/anchors/opened").parse().unwrap();
    let settings = AnchorSettings::Oci(OciSettings { repository, tag: "ledger-head".to_owned() });
    let spec = AnchorSpec { id: "it".to_owned(), access: Access::default(), settings };
    let named = vec![("it".to_owned(), Ok(open(&spec, &aws().await, &registries).unwrap()))];
    let view = store.view().unwrap();
    let noted = anchor::anchor(&*view, &head_of(&store), &named).await.unwrap();
    assert!(noted[0].is_good(), "{noted:?}");
    assert_eq!(
        anchor::check(&*view, &named).await.unwrap()[0].place,
        format!("artifact {host}/anchors/opened:ledger-head")
    );
}
