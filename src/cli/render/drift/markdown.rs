//! Drift as a Markdown table, for a comment or the summary of a job.

use super::{Told, attribution, kind};
use crate::plan::{Finding, Severity};

pub fn markdown(told: &Told<'_>) -> String {
    let all: Vec<&&Finding> = told.findings.iter().filter(|finding| finding.severity > Severity::None).collect();
    let mut text = String::from("### Image drift\n\n");
    if all.is_empty() && told.ended.is_empty() && told.looked.unasked.is_empty() {
        let nothing = if told.is_news { "Nothing new." } else { "In sync." };
        return text + nothing + "\n";
    }
    if !all.is_empty() {
        text.push_str("| | Channel | Target | Finding | Wrong | What to do | Id |\n|---|---|---|---|---|---|---|\n");
        text.extend(all.iter().map(|finding| row(finding)));
    }
    for (id, finding) in &told.ended {
        text.push_str(&format!("\nOver: {} (`{id}`)\n", cell(&finding.to_string())));
    }
    for what in &told.looked.unasked {
        text.push_str(&format!("\n**Partial**: not found out: {}\n", cell(what)));
    }
    text
}

fn row(finding: &Finding) -> String {
    let slot = finding.slot.as_ref().map(|slot| format!(" {slot}")).unwrap_or_default();
    let todo = match (&finding.acknowledged, &finding.remedy) {
        (Some(known), _) => format!("known to {} until {}: {}", cell(&known.by), known.until, cell(&known.reason)),
        (None, Some(remedy)) => code(remedy),
        (None, None) => String::new(),
    };
    let by = attribution(finding).map(|by| format!(", by {}", cell(&by))).unwrap_or_default();
    format!(
        "| {} | {} | {}{} | **{}**: {}{by} | {} | {todo} | `{}` |\n",
        finding.severity.word(),
        cell(&finding.channel.to_string()),
        cell(&finding.target.to_string()),
        cell(&slot),
        kind(&finding.word()),
        cell(&finding.detail),
        kind(&finding.blame.word()),
        finding.id
    )
}

/// Text that stays in its cell and means nothing to Markdown or HTML.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '~' | '@' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A command to type. Where it holds a backtick, it is text.
fn code(text: &str) -> String {
    if text.contains(['`', '|', '\n']) { cell(text) } else { format!("`{text}`") }
}
