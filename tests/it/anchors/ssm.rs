//! The SSM parameter: its versions, its limit, and every way AWS can refuse.

use super::{aws, check, fault, grow, head_of, lab, ledger, note, opened, opened_as, silent, ssm};
use aws_sdk_ssm::types::ParameterType;
use imgctl::flow::anchor::Word;
use imgctl::model::Seq;
use imgctl::provider::anchor::AnchorError;
use imgctl::provider::aws::{Access, Role};
use serde_json::json;
use tempfile::TempDir;

async fn client() -> aws_sdk_ssm::Client {
    aws().await.ssm(&"eu-west-1".parse().unwrap())
}

#[tokio::test]
async fn what_somebody_else_wrote_there_is_not_believed_and_not_written_over() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 9, "");
    let settings = ssm("strange");
    lab().post("parameter", &json!({"name": "/anchors/strange", "value": "ami-0123"}));
    for word in [check(&settings, &store).await, note(&settings, &store).await] {
        let error = silent(word);
        assert_eq!(
            error.to_string(),
            "version 1 of SSM parameter /anchors/strange in eu-west-1 does not hold what imgctl writes"
        );
        assert!(error.hint().unwrap().contains("find out who wrote there"));
    }
    let parameter = client().await.get_parameter().name("/anchors/strange").send().await.unwrap();
    assert_eq!(parameter.parameter().unwrap().value(), Some("ami-0123"));
}

#[tokio::test]
async fn a_forged_head_does_not_hide_the_ones_before_it() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 3, "");
    let settings = ssm("forged");
    note(&settings, &store).await;
    // Whoever may write to the parameter may write any head; the version before it stays.
    let forged = ledger(&dir.path().join("forged"), 5, 2, "forged");
    let put = client().await.put_parameter().name("/anchors/forged").overwrite(true).r#type(ParameterType::String);
    put.value(head_of(&forged).to_document()).send().await.unwrap();
    let word = check(&settings, &forged).await;
    assert!(matches!(&word, Word::Broken { noted, .. } if noted.head == head_of(&store).head), "{word:?}");
}

#[tokio::test]
async fn a_parameter_that_appeared_meanwhile_is_not_overwritten() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 9, "");
    let settings = ssm("appeared");
    note(&settings, &store).await;
    let error = opened(&settings).await.write(&head_of(&store), None).await.unwrap_err();
    assert!(matches!(error, AnchorError::Overtaken { .. }), "{error}");
    assert_eq!(opened(&settings).await.read().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_hundred_versions_are_read_and_a_label_on_the_oldest_is_told() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 2, 200, "");
    let settings = ssm("hundred");
    let anchor = opened(&settings).await;
    let mut over = None;
    for number in 3..=103 {
        let head = head_of(&store);
        anchor.write(&head, over.as_ref()).await.unwrap();
        over = Some(head);
        grow(&store, number..=number, 200, "");
    }
    let read = anchor.read().await.unwrap();
    assert_eq!((read.len(), read[0].head.seq, read[99].head.seq), (100, Seq(3), Seq(102)), "the oldest made room");
    let client = client().await;
    let labelled = client.label_parameter_version().name("/anchors/hundred").parameter_version(2).labels("keep");
    labelled.send().await.unwrap();
    let error = silent(note(&settings, &store).await);
    assert!(error.hint().unwrap().starts_with("its oldest version has a label"), "{error}: {:?}", error.hint());
}

#[tokio::test]
async fn every_refusal_is_said_and_none_is_taken_for_a_yes() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 9, "");
    let settings = ssm("refused");
    note(&settings, &store).await;
    fault("denied", "GetParameterHistory", "/anchors/refused", &json!({}));
    let error = silent(check(&settings, &store).await);
    assert!(
        error.to_string().starts_with("SSM GetParameterHistory of /anchors/refused in eu-west-1 was denied: "),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("allow ssm:GetParameterHistory"));
    fault("throttle", "GetParameterHistory", "/anchors/refused", &json!({"times": 2}));
    let word = check(&settings, &store).await;
    assert!(matches!(word, Word::Holds { .. }), "throttling is waited out: {word:?}");
    fault("throttle", "GetParameterHistory", "/anchors/refused", &json!({"times": 3}));
    assert!(silent(check(&settings, &store).await).to_string().contains("was throttled"));
    grow(&store, 4..=4, 9, "");
    fault("denied", "PutParameter", "/anchors/refused", &json!({}));
    let error = silent(note(&settings, &store).await);
    assert!(error.hint().unwrap().contains("allow ssm:PutParameter"), "{error}");
    let word = check(&settings, &store).await;
    assert!(matches!(word, Word::Holds { since: 1, .. }), "what was noted stays: {word:?}");
}

#[tokio::test]
async fn a_parameter_of_another_account_is_reached_by_its_role() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 9, "");
    let settings = ssm("account");
    let arn = "arn:aws:iam::222222222222:role/audit".parse().unwrap();
    let role = Role { arn, external_id: None, session_name: Role::SESSION.into() };
    let theirs = opened_as(&settings, Access { profile: None, role: Some(role) }).await;
    assert_eq!(theirs.place(), "SSM parameter /anchors/account in eu-west-1 as arn:aws:iam::222222222222:role/audit");
    theirs.write(&head_of(&store), None).await.unwrap();
    assert_eq!(theirs.read().await.unwrap(), [head_of(&store)]);
    assert!(matches!(check(&settings, &store).await, Word::Empty), "this account has none");
}
