//! Drift for people: target by target, what is so, who says what, and what to type.

use super::{Told, facts, kind, name};
use crate::cli::render::style::Palette;
use crate::cli::render::time;
use crate::plan::{Finding, FindingKind, Severity};

/// In at most `width` columns, as far as ids and commands allow; `None`: each thing on one line.
pub fn text(told: &Told<'_>, width: Option<usize>, paint: Palette) -> String {
    let mut text: String = told.findings.iter().map(|finding| one(finding, width, paint)).collect();
    for (id, finding) in &told.ended {
        text.push_str(&format!("{} {finding} ({id}) is no more\n", paint.plus("over:")));
    }
    for what in &told.looked.unasked {
        text.push_str(&format!("{} not found out: {what}\n", paint.warning("warning:")));
    }
    text.push_str(&format!("{}\n", sum(told)));
    text
}

fn one(finding: &Finding, width: Option<usize>, paint: Palette) -> String {
    let id = if finding.kind == FindingKind::InSync { String::new() } else { format!(" ({})", finding.id) };
    let (mark, name, kind) = (mark(finding, paint), name(finding), kind(&finding.word()));
    let mut text = wrapped(&format!("{mark} {name}  {kind}{}: {}", paint.faint(&id), finding.detail), "    ", width);
    let known = finding.acknowledged.as_ref().map(|known| {
        let until = time::moment(known.until);
        ("known", format!("to {} until {until}: {}", known.by, known.reason))
    });
    for (who, what) in facts(finding).into_iter().chain(known) {
        text.push_str(&wrapped(&format!("    {who:8}  {what}"), "              ", width));
    }
    // A command is never cut: it is there to be copied.
    if let (Some(remedy), None) = (&finding.remedy, &finding.acknowledged) {
        text.push_str(&format!("    {} {remedy}\n", paint.hint("hint:")));
    }
    text
}

/// Whole lines; what goes on begins with `indent`. No word is cut, and so no id, digest or name.
fn wrapped(text: &str, indent: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return format!("{text}\n") };
    let options = textwrap::Options::new(width).subsequent_indent(indent).break_words(false);
    let options = options.word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(text, options.wrap_algorithm(textwrap::WrapAlgorithm::FirstFit)) + "\n"
}

fn mark(finding: &Finding, paint: Palette) -> String {
    match finding.severity {
        Severity::Error => paint.error("error:"),
        Severity::Warning => paint.warning("warning:"),
        Severity::Note => paint.faint("note:"),
        Severity::None => paint.plus("ok:"),
    }
}

fn sum(told: &Told<'_>) -> String {
    let count = |severity| told.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let many = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let known = told.findings.iter().filter(|finding| finding.acknowledged.is_some()).count();
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
        (.., 0) if told.looked.is_partial() => "No drift in what answered; not all of it did.".to_owned(),
        (.., 0) if known > 0 => format!("No drift beside what is known ({known})."),
        (.., 0) => "In sync.".to_owned(),
        _ => format!("Drift: {counted}."),
    }
}
