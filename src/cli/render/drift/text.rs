//! Drift for people: target by target, what is so, who says what, and what to type.

use super::{Told, attribution, kind, name, witnesses};
use crate::cli::render::style::Palette;
use crate::cli::render::time;
use crate::plan::{Finding, FindingKind, Severity};

pub fn text(told: &Told<'_>, paint: Palette) -> String {
    let mut text: String = told.findings.iter().map(|finding| one(finding, paint)).collect();
    for (id, finding) in &told.ended {
        text.push_str(&format!("{} {finding} ({id}) is no more\n", paint.plus("over:")));
    }
    for what in &told.looked.unasked {
        text.push_str(&format!("{} not found out: {what}\n", paint.warning("warning:")));
    }
    text.push_str(&format!("{}\n", sum(told)));
    text
}

fn one(finding: &Finding, paint: Palette) -> String {
    let id = if finding.kind == FindingKind::InSync { String::new() } else { format!(" ({})", finding.id) };
    let mut text = format!(
        "{} {}  {}{}: {}\n",
        mark(finding, paint),
        name(finding),
        kind(&finding.word()),
        paint.faint(&id),
        finding.detail
    );
    for (who, what) in witnesses(finding) {
        text.push_str(&format!("    {who}  {what}\n"));
    }
    if let Some(by) = attribution(finding) {
        text.push_str(&format!("    by        {by}\n"));
    }
    if let Some(known) = &finding.acknowledged {
        let until = time::moment(known.until);
        text.push_str(&format!("    known     to {} until {until}: {}\n", known.by, known.reason));
    } else if let Some(remedy) = &finding.remedy {
        text.push_str(&format!("    {} {remedy}\n", paint.hint("hint:")));
    }
    text
}

fn mark(finding: &Finding, paint: Palette) -> String {
    match finding.severity {
        Severity::Error => paint.error("error:"),
        Severity::Warning => paint.warning("warning:"),
        _ if finding.kind == FindingKind::InSync => paint.plus("ok:"),
        _ => paint.faint("note:"),
    }
}

fn sum(told: &Told<'_>) -> String {
    let count = |severity| told.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let many = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let counted = format!("{}, {}", many(errors, "error"), many(warnings, "warning"));
    match (told.looked.since(), told.looked.targets, errors + warnings) {
        (_, 0, _) => "No target to look at: the config names none ([[channels.NAME.ENV.targets]]).".to_owned(),
        (Some(audit), _, 0) if told.is_news && told.ended.is_empty() => {
            format!("Nothing has changed since the audit of {} (entry {}).", time::moment(audit.at), audit.seq)
        }
        (Some(audit), ..) if told.is_news => {
            let since = format!("since the audit of {} (entry {})", time::moment(audit.at), audit.seq);
            format!("New {since}: {counted}; {} over.", told.ended.len())
        }
        (None, _, 0) if told.is_news => "In sync; nothing was audited before (--record).".to_owned(),
        (None, ..) if told.is_news => format!("Nothing was audited before (--record). Drift: {counted}."),
        (.., 0) => "In sync.".to_owned(),
        _ => format!("Drift: {counted}."),
    }
}
