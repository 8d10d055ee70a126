//! Rulings on a plan, for a person, a program and a pull request.

use super::style::Palette;
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

/// GitHub's workflow commands, escaped as its own toolkit escapes them: a line break in a name must not begin another
/// command (<https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts>).
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

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
