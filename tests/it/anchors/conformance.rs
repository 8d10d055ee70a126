//! What every kind of anchor promises: it goes forward with one ledger, remembers, and is never talked out of it.

use super::{check, grow, head_of, ledger, note, oci, opened, s3, ssm};
use imgctl::flow::anchor::{self, Witness, Word, Wrote};
use imgctl::model::{Head, Seq, Standing};
use imgctl::provider::anchor::{AnchorSettings, AnchorSpec, KINDS, open};
use imgctl::provider::aws::Access;
use imgctl::store::{self, LedgerStore};
use tempfile::TempDir;

/// One anchor of each kind, for one test.
fn every_kind(test: &str) -> Vec<AnchorSettings> {
    let all = vec![ssm(test), s3(test), oci(test)];
    let kinds: Vec<&str> = all.iter().map(AnchorSettings::kind).collect();
    let known: Vec<&str> = KINDS.iter().map(|(word, _)| *word).collect();
    assert_eq!(kinds, known, "a kind that is not tested");
    all
}

#[tokio::test]
async fn a_head_is_noted_once_and_the_next_one_after_it() {
    for settings in every_kind("forward") {
        let dir = TempDir::new().unwrap();
        let store = ledger(&dir.path().join("l"), 3, 9, "");
        assert!(matches!(check(&settings, &store).await, Word::Empty), "{settings:?}");
        for (entries, first) in [(3, Wrote::First), (6, Wrote::Further)] {
            grow(&store, head_of(&store).head.seq.0 + 1..=entries, 9, "");
            match note(&settings, &store).await {
                Word::Holds { noted, since: 0, wrote } => {
                    assert_eq!((noted.clone(), wrote), (head_of(&store), first), "{settings:?}")
                }
                other => panic!("{settings:?}: {other:?}"),
            }
            let nothing = note(&settings, &store).await;
            assert!(matches!(nothing, Word::Holds { since: 0, wrote: Wrote::Nothing, .. }), "{nothing:?}");
        }
        let heads: Vec<u64> =
            opened(&settings).await.read().await.unwrap().iter().map(|noted| noted.head.seq.0).collect();
        assert_eq!(heads, [3, 6], "it was written twice, and remembers both: {settings:?}");
        grow(&store, 7..=8, 9, "");
        let later = check(&settings, &store).await;
        assert!(matches!(&later, Word::Holds { noted, since: 2, .. } if noted.head.seq == Seq(6)), "{later:?}");
    }
}

#[tokio::test]
async fn a_ledger_cut_short_in_both_copies_is_found_out_and_not_noted() {
    let dir = TempDir::new().unwrap();
    let whole = ledger(&dir.path().join("whole"), 6, 9, "");
    let short = ledger(&dir.path().join("short"), 4, 9, "");
    crate::ledger::verify(&short);
    for settings in every_kind("cut") {
        note(&settings, &whole).await;
        for word in [check(&settings, &short).await, note(&settings, &short).await] {
            match word {
                Word::Broken { noted, standing: Standing::Shorter { ours }, good: None } => {
                    assert_eq!((noted.head, ours), (head_of(&whole).head, head_of(&short).head));
                }
                other => panic!("{settings:?}: {other:?}"),
            }
        }
        assert_eq!(opened(&settings).await.read().await.unwrap().len(), 1, "nothing was written: {settings:?}");
    }
}

#[tokio::test]
async fn a_rewritten_ledger_is_found_out_however_long_it_is() {
    let dir = TempDir::new().unwrap();
    let forged = ledger(&dir.path().join("forged"), 9, 3, "forged");
    crate::ledger::verify(&forged);
    for settings in every_kind("rewritten") {
        let ours = ledger(&dir.path().join(settings.kind()), 3, 3, "ours");
        note(&settings, &ours).await;
        grow(&ours, 4..=6, 3, "ours");
        note(&settings, &ours).await;
        for word in [check(&settings, &forged).await, note(&settings, &forged).await] {
            match word {
                Word::Broken { noted, standing: Standing::Rewritten { .. }, good: Some(Seq(3)) } => {
                    assert_eq!(noted.head, head_of(&ours).head);
                }
                other => panic!("{settings:?}: {other:?}"),
            }
        }
        let still = check(&settings, &ours).await;
        assert!(matches!(still, Word::Holds { since: 0, .. }), "{still:?}");
    }
}

#[tokio::test]
async fn another_ledger_is_refused_even_if_the_anchor_is_asked_nicely() {
    let dir = TempDir::new().unwrap();
    let ours = ledger(&dir.path().join("ours"), 2, 9, "");
    let other =
        store::create(&dir.path().join("other"), uuid::Uuid::from_u128(8), crate::ledger::at(0), &crate::ledger::ana())
            .unwrap();
    grow(&other, 2..=7, 9, "");
    for settings in every_kind("other") {
        note(&settings, &ours).await;
        let word = note(&settings, &other).await;
        assert!(
            matches!(&word, Word::Broken { standing: Standing::OtherLedger { ours }, .. } if ours.as_u128() == 8),
            "{word:?}"
        );
        assert_eq!(opened(&settings).await.read().await.unwrap(), [head_of(&ours)]);
    }
}

#[tokio::test]
async fn two_who_note_at_the_same_moment_are_both_heard() {
    let dir = TempDir::new().unwrap();
    let ours = ledger(&dir.path().join("ours"), 5, 3, "ours");
    let theirs = ledger(&dir.path().join("theirs"), 5, 3, "theirs");
    for settings in every_kind("race") {
        if settings.kind() == "oci" {
            continue;
        }
        let start = ledger(&dir.path().join(settings.kind()), 3, 3, "");
        note(&settings, &start).await;
        // Both have read entry 3; both write.
        let anchor = opened(&settings).await;
        let over = head_of(&start);
        anchor.write(&head_of(&theirs), Some(&over)).await.unwrap();
        anchor.write(&head_of(&ours), Some(&over)).await.unwrap();
        for store in [&ours, &theirs] {
            let word = check(&settings, store).await;
            assert!(
                matches!(word, Word::Broken { standing: Standing::Rewritten { .. }, .. }),
                "{settings:?}: {word:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_further_of_two_heads_of_one_ledger_counts() {
    let dir = TempDir::new().unwrap();
    let long = ledger(&dir.path().join("long"), 5, 9, "");
    let behind = ledger(&dir.path().join("behind"), 4, 9, "");
    for settings in every_kind("further") {
        if settings.kind() == "oci" {
            continue;
        }
        let start = ledger(&dir.path().join(settings.kind()), 3, 9, "");
        note(&settings, &start).await;
        let anchor = opened(&settings).await;
        let over = head_of(&start);
        anchor.write(&head_of(&long), Some(&over)).await.unwrap();
        anchor.write(&head_of(&behind), Some(&over)).await.unwrap();
        let word = check(&settings, &long).await;
        assert!(matches!(&word, Word::Holds { noted, .. } if noted.head.seq == Seq(5)), "{word:?}");
        let word = check(&settings, &behind).await;
        let ours: &Head = &head_of(&behind).head;
        assert!(
            matches!(&word, Word::Broken { standing: Standing::Shorter { ours: end }, .. } if end == ours),
            "what the other one has is missing here: {word:?}"
        );
    }
}

#[tokio::test]
async fn one_anchor_that_knows_better_keeps_every_other_from_vouching_for_a_forgery() {
    let dir = TempDir::new().unwrap();
    let true_one = ledger(&dir.path().join("true"), 5, 3, "true");
    let forged = ledger(&dir.path().join("forged"), 6, 3, "forged");
    let start = ledger(&dir.path().join("start"), 3, 3, "");
    let all = every_kind("alone");
    for settings in &all {
        note(settings, &start).await;
    }
    note(&all[0], &true_one).await;
    let mut named = Vec::new();
    for settings in &all {
        named.push((settings.kind().to_owned(), Ok(opened(settings).await)));
    }
    let witnesses = anchor::anchor(&*forged.view().unwrap(), &head_of(&forged), &named).await.unwrap();
    let good: Vec<bool> = witnesses.iter().map(Witness::is_good).collect();
    assert_eq!(good, [false, true, true], "{witnesses:?}");
    for settings in &all[1..] {
        assert_eq!(opened(settings).await.read().await.unwrap(), [head_of(&start)]);
    }
    let witnesses = anchor::anchor(&*true_one.view().unwrap(), &head_of(&true_one), &named).await.unwrap();
    assert!(witnesses.iter().all(Witness::is_good), "{witnesses:?}");
}

#[tokio::test]
async fn an_anchor_without_a_region_is_silent_and_keeps_nobody_from_writing() {
    let dir = TempDir::new().unwrap();
    let store = ledger(&dir.path().join("l"), 3, 9, "");
    let nowhere = aws_config::SdkConfig::builder().build();
    let aws = std::sync::Arc::new(imgctl::provider::aws::Aws::from_config(nowhere));
    let mut named = Vec::new();
    for settings in every_kind("regionless") {
        let spec = AnchorSpec { id: settings.kind().to_owned(), access: Access::default(), settings };
        named.push((spec.id.clone(), open(&spec, &aws, &super::registries()).map_err(std::sync::Arc::new)));
    }
    let witnesses = anchor::anchor(&*store.view().unwrap(), &head_of(&store), &named).await.unwrap();
    let good: Vec<bool> = witnesses.iter().map(Witness::is_good).collect();
    assert_eq!(good, [false, false, true], "a registry is in no region: {witnesses:?}");
    assert!(matches!(&witnesses[0].word, Word::Silent(error) if error.hint().unwrap().contains("AWS_REGION")));
}
