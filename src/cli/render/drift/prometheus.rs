//! Drift as metrics, for node_exporter's textfile collector or a Pushgateway.

use super::Told;
use crate::plan::{Finding, Severity};
use std::fmt::Write;

/// The text format 0.0.4. Every channel has each of its series, so that what is over falls to zero and does not go stale.
pub fn prometheus(told: &Told<'_>) -> String {
    let looked = told.looked;
    let mut text = String::new();
    metric(&mut text, "imgctl_drift_findings", "Findings of the last look that are drift and not acknowledged.");
    for channel in &looked.channels {
        for severity in [Severity::Error, Severity::Warning] {
            let count = looked.drift().filter(|one| one.channel == *channel && one.severity == severity).count();
            let labels = labels(&[("channel", channel.to_string()), ("severity", severity.word())]);
            line(&mut text, "imgctl_drift_findings", &labels, count);
        }
    }
    metric(&mut text, "imgctl_drift_acknowledged", "Findings that somebody has acknowledged.");
    for channel in &looked.channels {
        let known = looked.findings.iter().filter(|one| one.channel == *channel && one.acknowledged.is_some());
        line(&mut text, "imgctl_drift_acknowledged", &labels(&[("channel", channel.to_string())]), known.count());
    }
    metric(&mut text, "imgctl_drift_finding", "One finding that is drift and not acknowledged; always 1.");
    for finding in looked.drift() {
        line(&mut text, "imgctl_drift_finding", &of(finding), 1);
    }
    metric(&mut text, "imgctl_drift_targets", "Targets that were looked at.");
    line(&mut text, "imgctl_drift_targets", "", looked.targets);
    metric(
        &mut text,
        "imgctl_drift_partial",
        "1 where a target did not answer, or the time ended before all was asked.",
    );
    line(&mut text, "imgctl_drift_partial", "", u8::from(looked.is_partial()));
    metric(&mut text, "imgctl_drift_last_run_timestamp_seconds", "When the look began.");
    line(&mut text, "imgctl_drift_last_run_timestamp_seconds", "", looked.at.as_second());
    text
}

fn metric(text: &mut String, name: &str, help: &str) {
    let _never_fails = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
}

fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _never_fails = writeln!(text, "{name}{labels} {value}");
}

fn of(finding: &Finding) -> String {
    let slot = finding.slot.as_ref().map(ToString::to_string).unwrap_or_default();
    labels(&[
        ("channel", finding.channel.to_string()),
        ("target", finding.target.to_string()),
        ("slot", slot),
        ("kind", finding.word()),
        ("severity", finding.severity.word()),
        ("wrong", finding.blame.word()),
        ("id", finding.id.to_string()),
    ])
}

/// Prometheus, "Exposition formats": backslash, quote and line feed are escaped in a label's value.
fn labels(pairs: &[(&str, String)]) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}
