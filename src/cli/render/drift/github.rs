//! Drift as workflow commands of GitHub Actions.

use super::{Told, facts, kind, name};
use crate::cli::render::workflow::{data, property};
use crate::plan::Severity;

/// GitHub, "Workflow commands for GitHub Actions": `::error title=…::message`. What is in sync is not said.
pub fn github(told: &Told<'_>) -> String {
    let mut text = String::new();
    for finding in told.findings.iter().filter(|finding| finding.severity > Severity::None) {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note | Severity::None => "notice",
        };
        let title = format!("{}: {}", name(finding), kind(&finding.word()));
        let facts: String = facts(finding).into_iter().map(|(who, what)| format!("\n{who}: {what}")).collect();
        let hint = finding.remedy.as_ref().map(|remedy| format!("\n{remedy}")).unwrap_or_default();
        let message = format!("{} ({}){facts}{hint}", finding.detail, finding.id);
        text.push_str(&format!("::{command} title={}::{}\n", property(&title), data(&message)));
    }
    for (id, finding) in &told.ended {
        text.push_str(&format!("::notice title=over::{}\n", data(&format!("{finding} ({id}) is no more"))));
    }
    for what in &told.looked.unasked {
        text.push_str(&format!("::error title=partial::{}\n", data(&format!("not found out: {what}"))));
    }
    text
}
