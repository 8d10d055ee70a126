//! S3 objects: nothing is written twice, in locked buckets either, and a bucket elsewhere says where.

use super::{aws, check, fault, grow, head_of, lab, ledger, note, opened, s3, silent};
use aws_sdk_s3::primitives::ByteStream;
use imgctl::flow::anchor::{Word, Wrote};
use imgctl::model::{Digest, Head, Seq};
use imgctl::provider::anchor::{AnchorError, AnchorSettings, S3Settings};
use serde_json::json;
use tempfile::TempDir;

fn settings(bucket: &str) -> AnchorSettings {
    AnchorSettings::S3(S3Settings { bucket: bucket.to_owned(), prefix: "heads/".to_owned(), region: None })
}

async fn client() -> aws_sdk_s3::Client {
    aws().await.s3(&"eu-west-1".parse().unwrap())
}

async fn keys(bucket: &str) -> Vec<String> {
    let listing = client().await.list_objects_v2().bucket(bucket).send().await.unwrap();
    listing.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_head_that_is_there_is_not_written_again() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 9, "");
    let settings = s3("twice");
    let anchor = opened(&settings).await;
    let first = head_of(&store);
    anchor.write(&first, None).await.unwrap();
    let mut again = first.clone();
    again.by = Some("eve@elsewhere".to_owned());
    anchor.write(&again, None).await.unwrap();
    assert_eq!(anchor.read().await.unwrap(), [first], "the first word stays");
}

#[tokio::test]
async fn a_locked_bucket_is_written_to_like_any_other() {
    lab().post("bucket", &json!({"name": "anchors-locked", "locked": true}));
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 9, "");
    assert!(matches!(note(&settings("anchors-locked"), &store).await, Word::Holds { wrote: Wrote::First, .. }));
    let key = keys("anchors-locked").await.remove(0);
    let versions = client().await.list_object_versions().bucket("anchors-locked").send().await.unwrap();
    let version = versions.versions()[0].version_id().unwrap().to_owned();
    let deleted = client().await.delete_object().bucket("anchors-locked").key(&key).version_id(version).send().await;
    assert!(deleted.is_err(), "nobody takes it back");
    // Hidden by a delete marker it no longer speaks for the ledger, and is written again.
    client().await.delete_object().bucket("anchors-locked").key(&key).send().await.unwrap();
    assert!(matches!(check(&settings("anchors-locked"), &store).await, Word::Empty));
    assert!(matches!(note(&settings("anchors-locked"), &store).await, Word::Holds { wrote: Wrote::First, .. }));
}

#[tokio::test]
async fn an_object_whose_content_is_not_its_name_is_not_believed() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 9, "");
    let settings = s3("swapped");
    note(&settings, &store).await;
    let key = keys("anchors-swapped").await.remove(0);
    grow(&store, 4..=4, 9, "");
    for content in [head_of(&store).to_document(), "{}".to_owned()] {
        let put = client().await.put_object().bucket("anchors-swapped").key(&key);
        put.body(ByteStream::from(content.into_bytes())).send().await.unwrap();
        let error = silent(check(&settings, &store).await);
        assert_eq!(
            error.to_string(),
            format!("s3://anchors-swapped/{key} in eu-west-1 does not hold what imgctl writes")
        );
    }
    let put = client().await.put_object().bucket("anchors-swapped").key("heads/notes.txt");
    put.body(ByteStream::from_static(b"x")).send().await.unwrap();
    let error = silent(check(&settings, &store).await);
    assert!(matches!(*error, AnchorError::NotAnAnchor { .. }), "{error}");
}

#[tokio::test]
async fn a_bucket_in_another_region_or_nowhere_is_told_apart() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 9, "");
    lab().post("bucket", &json!({"name": "anchors-elsewhere", "region": "us-west-2"}));
    let error = silent(note(&settings("anchors-elsewhere"), &store).await);
    assert_eq!(error.to_string(), "bucket anchors-elsewhere is not in eu-west-1, but in us-west-2");
    assert!(error.hint().unwrap().contains("region = \"us-west-2\""));
    let error = silent(note(&settings("anchors-nowhere"), &store).await);
    assert!(error.hint().unwrap().starts_with("check the bucket's name"), "{error}");
}

#[tokio::test]
async fn a_collision_is_tried_again_and_a_refusal_is_said() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 9, "");
    let settings = s3("collision");
    fault("ConditionalRequestConflict", "PutObject", "anchors-collision", &json!({"times": 2, "status": 409}));
    assert!(matches!(note(&settings, &store).await, Word::Holds { wrote: Wrote::First, .. }));
    grow(&store, 4..=4, 9, "");
    fault("denied", "PutObject", "anchors-collision", &json!({}));
    let error = silent(note(&settings, &store).await);
    assert!(error.to_string().starts_with("S3 PutObject of s3://anchors-collision/heads/"), "{error}");
    assert!(error.hint().unwrap().contains("allow s3:PutObject"));
    fault("denied", "ListObjectsV2", "anchors-collision", &json!({}));
    assert!(silent(check(&settings, &store).await).hint().unwrap().contains("allow s3:ListBucket"));
    fault("throttle", "ListObjectsV2", "anchors-collision", &json!({"times": 3}));
    assert!(silent(check(&settings, &store).await).to_string().contains("was throttled"));
    fault("drop", "GetObject", "anchors-collision", &json!({"times": 3}));
    assert!(silent(check(&settings, &store).await).to_string().contains("could not be reached"));
    assert!(matches!(check(&settings, &store).await, Word::Holds { since: 1, .. }));
}

#[tokio::test]
async fn a_thousand_forged_heads_do_not_hide_a_true_one() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 3, "");
    let settings = s3("thousand");
    note(&settings, &store).await;
    // Whoever may add objects adds heads that are further than any page of a listing is long.
    let forged = ledger(&dir.path().join("forged"), 4, 2, "forged");
    let anchor = opened(&settings).await;
    let mut further = head_of(&forged);
    for seq in 1_000..2_001 {
        further.head = Head { seq: Seq(seq), hash: Digest::of(&seq.to_be_bytes()) };
        anchor.write(&further, None).await.unwrap();
    }
    assert_eq!(anchor.read().await.unwrap().len(), 1002);
    let word = check(&settings, &forged).await;
    assert!(matches!(&word, Word::Broken { noted, .. } if noted.head == head_of(&store).head), "{word:?}");
}
