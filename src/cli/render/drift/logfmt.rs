//! Drift for a log: a line per finding or change, key=value, nothing that could break the line.

use super::Told;
use crate::plan::Finding;
use serde::Serialize;

/// What is in sync has no line; a look that found nothing has none at all.
pub fn logfmt(told: &Told<'_>) -> String {
    let at = told.looked.at;
    let event = if told.is_news { "began" } else { "found" };
    let notable = told.findings.iter().filter(|finding| finding.is_drift() || finding.acknowledged.is_some());
    let mut lines: Vec<String> = notable.map(|finding| format!("at={at} event={event} {}", of(finding))).collect();
    lines.extend(told.ended.iter().map(|(id, finding)| {
        let slot = finding.slot.as_ref().map(|slot| format!(" slot={slot}")).unwrap_or_default();
        let (channel, target, kind) = (&finding.channel, &finding.target, &finding.kind);
        format!("at={at} event=ended id={id} kind={kind} channel={channel} target={target}{slot}")
    }));
    lines.extend(told.looked.unasked.iter().map(|what| format!("at={at} event=unasked detail={}", quoted(what))));
    lines.into_iter().map(|line| line + "\n").collect()
}

fn of(finding: &Finding) -> String {
    let Finding { id, channel, target, .. } = finding;
    let mut words = vec![
        format!("severity={}", finding.severity.word()),
        format!("id={id}"),
        format!("kind={}", finding.word()),
        format!("wrong={}", finding.blame.word()),
        format!("channel={channel}"),
        format!("target={target}"),
    ];
    let optional = [
        ("slot", finding.slot.as_ref().map(ToString::to_string)),
        ("recorded", finding.recorded.clone()),
        ("declared", finding.declared.clone()),
        ("observed", finding.observed.clone()),
        ("by", finding.by.as_ref().map(|by| by.who.clone())),
        ("known_to", finding.acknowledged.as_ref().map(|known| known.by.clone())),
    ];
    words.extend(optional.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", quoted(&value?)))));
    words.push(format!("detail={}", quoted(&finding.detail)));
    words.extend(finding.remedy.as_ref().map(|remedy| format!("remedy={}", quoted(remedy))));
    words.join(" ")
}

/// Bare where it is one word, else in quotes, as JSON quotes.
fn quoted(text: &str) -> String {
    let is_bare = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '"' | '=' | '\\');
    if !text.is_empty() && text.chars().all(is_bare) { text.to_owned() } else { json(text) }
}

fn json(value: impl Serialize) -> String {
    serde_json::to_string(&value).unwrap_or_default()
}
