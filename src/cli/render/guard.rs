//! Rulings on a plan, for a person, a program and a pull request.

use super::style::Palette;
use super::workflow::{data, property};
use crate::flow::Guarded;
use crate::plan::guard::{Ruling, RulingKind, Verdict};
use serde_json::{Value, json};

/// Resource by resource: what it would do, what the ledger says about that, and what to type. What passes is counted.
pub fn text(rulings: &[Ruling], paint: Palette) -> String {
    let mut text = String::new();
    for ruling in rulings.iter().filter(|ruling| ruling.verdict != Verdict::Passed) {
        let mark = match ruling.verdict {
            Verdict::Refused => paint.error("refused:"),
            Verdict::Warning | Verdict::Passed => paint.warning("warning:"),
        };
        text.push_str(&format!("{mark} {}  {}: {}\n", ruling.address, kind(ruling.kind), ruling.detail));
        text.push_str(&format!("    target  {}\n", place(ruling)));
        if let Some(image) = &ruling.image {
            text.push_str(&format!("    image   {image}\n"));
        }
        if let Some(remedy) = &ruling.remedy {
            text.push_str(&format!("    {} {remedy}\n", paint.hint("hint:")));
        }
    }
    text.push_str(&sum(rulings));
    text.push('\n');
    text
}

fn place(ruling: &Ruling) -> String {
    let slot = ruling.slot.as_ref().map(|slot| format!(" {slot}")).unwrap_or_default();
    format!("{} {}{slot}", ruling.channel, ruling.target)
}

/// The same word as in JSON.
fn kind(kind: RulingKind) -> String {
    serde_json::to_value(kind).unwrap_or_default().as_str().unwrap_or_default().to_owned()
}

fn sum(rulings: &[Ruling]) -> String {
    let count = |verdict| rulings.iter().filter(|ruling| ruling.verdict == verdict).count();
    let many = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match (count(Verdict::Refused), count(Verdict::Warning), count(Verdict::Passed)) {
        (0, 0, 0) => "Passed: it changes no image of a target.".to_owned(),
        (0, 0, passed) => format!("Passed: {} as released.", many(passed, "image")),
        (0, warnings, _) => format!("Passed, with {}.", many(warnings, "warning")),
        (refused, 0, _) => format!("Refused: {}.", many(refused, "reason")),
        (refused, warnings, _) => format!("Refused: {}, {}.", many(refused, "reason"), many(warnings, "warning")),
    }
}

/// For a program.
pub fn document(guarded: &Guarded) -> Value {
    let refused = guarded.rulings.iter().any(|ruling| ruling.verdict == Verdict::Refused);
    json!({ "refused": refused, "rulings": guarded.rulings, "unguarded": guarded.unguarded })
}

/// As workflow commands of GitHub Actions, and the sum.
pub fn github(rulings: &[Ruling]) -> String {
    let mut text = String::new();
    for ruling in rulings {
        let command = match ruling.verdict {
            Verdict::Refused => "error",
            Verdict::Warning => "warning",
            Verdict::Passed => continue,
        };
        let title = property(&format!("imgctl: {} {}", kind(ruling.kind), place(ruling)));
        let hint = ruling.remedy.as_ref().map(|remedy| format!("\nhint: {remedy}")).unwrap_or_default();
        let message = data(&format!("{}: {}{hint}", ruling.address, ruling.detail));
        text.push_str(&format!("::{command} file={},title={title}::{message}\n", property(&ruling.source)));
    }
    text.push_str(&sum(rulings));
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iac::{After, Effect, Named, Object, Place, planned_for};
    use crate::plan::guard::{Proposal, Proposed};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn a_name_cannot_end_a_workflow_command_or_begin_another() {
        let ruling = Ruling {
            verdict: Verdict::Refused,
            channel: "web/prod".parse().unwrap(),
            target: "web-asg".parse().unwrap(),
            slot: Some("template".parse().unwrap()),
            kind: RulingKind::Unrecorded,
            address: "aws_launch_template.web[\"100%\"]".to_owned(),
            source: "a,b:c\n::error::x.json".to_owned(),
            image: None,
            version: None,
            detail: "said\r\n::add-mask::y".to_owned(),
            remedy: Some("imgctl promote".to_owned()),
        };
        let said = github(std::slice::from_ref(&ruling));
        assert_eq!(
            said,
            "::error file=a%2Cb%3Ac%0A%3A%3Aerror%3A%3Ax.json,title=imgctl%3A unrecorded web/prod web-asg template\
             ::aws_launch_template.web[\"100%25\"]: said%0D%0A::add-mask::y%0Ahint: imgctl promote\nRefused: 1 reason.\n"
        );
    }

    #[test]
    fn a_plan_that_concerns_nobody_passes_in_one_line() {
        assert_eq!(text(&[], Palette::new(false)), "Passed: it changes no image of a target.\n");
        assert_eq!(github(&[]), "Passed: it changes no image of a target.\n");
    }

    /// What guarding a file would say, in every form: errors too.
    fn said(file: &str, bytes: &[u8]) -> String {
        let planned = match crate::iac::read_planned(file, bytes) {
            Ok(planned) => planned,
            Err(error) => return format!("{error}{}", error.hint()),
        };
        let region: crate::model::Region = "eu-west-1".parse().unwrap();
        let place = || Place { account: None, region: Some(region.clone()) };
        let (template, app) = ("template".parse().unwrap(), "app".parse().unwrap());
        let templates = [("template".parse().unwrap(), "lt-0a".to_owned())].into();
        let containers = BTreeSet::new();
        let named = [
            Named::Group { name: "web", templates: &templates },
            Named::Service { cluster: "main", name: "api", container: &app, family: "api" },
            Named::Template { id: "lt-0a", slot: &template },
            Named::Parameter { name: "/imgctl/web/prod" },
            Named::Workload { kind: "Deployment", namespace: "", name: "web", containers: &containers },
        ];
        let effects = named
            .into_iter()
            .flat_map(|named| planned_for(&planned, &Object { place: place(), named }))
            .collect::<Vec<_>>();
        let proposal = |Effect { claim, slot, after }: Effect| Proposal {
            channel: "web/prod".parse().unwrap(),
            target: "web-asg".to_owned(),
            slot,
            source: claim.source,
            address: claim.address,
            after: match after {
                After::Image(text) => Proposed::Image { text, versions: BTreeMap::new() },
                After::Unknown { why } => Proposed::Unknown { why },
                After::Deleted => Proposed::Deleted,
            },
            recorded: None,
            is_first: false,
        };
        let proposals: Vec<Proposal> = effects.into_iter().map(proposal).collect();
        let rulings = crate::plan::guard(&proposals, false);
        let document = document(&Guarded { rulings: rulings.clone(), unguarded: Vec::new() });
        format!("{}{}{document}", text(&rulings, Palette::new(true)), github(&rulings))
    }

    fn sample(name: &str) -> Vec<u8> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plans");
        std::fs::read(folder.join(name)).unwrap()
    }

    #[test]
    fn the_samples_concern_targets_so_that_damage_to_them_is_seen() {
        for name in ["sorted-keys.json", "manifests.yaml"] {
            let said = said(name, &sample(name));
            assert!(said.contains("Refused") && !said.contains("CANARY"), "{name}: {said}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_damaged_plan_never_panics_and_no_form_shows_a_secret(
            which in prop::sample::select(vec!["sorted-keys.json", "manifests.yaml"]),
            damage in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(any::<u8>()), any::<bool>()), 1..6),
            structure in prop::sample::select(br#"{}[]",:0n\ #-&*|"#.to_vec()),
        ) {
            let mut bytes = sample(which);
            for (at, byte, insert) in damage {
                let (at, byte) = (at.index(bytes.len()), byte.unwrap_or(structure));
                if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
            }
            let said = said("damaged", &bytes);
            prop_assert!(!said.contains("CANARY"), "{}", said);
        }
    }
}
