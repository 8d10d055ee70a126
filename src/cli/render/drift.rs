//! What drift found, in the form that was asked for.

mod github;
mod junit;
mod logfmt;
mod markdown;
mod prometheus;
mod sarif;
mod text;

pub use logfmt::logfmt;
pub use text::text;

use crate::cli::screen::document;
use crate::flow::Looked;
use crate::model::{FindingId, NotedFinding};
use crate::plan::{Blame, Finding, FindingKind};
use crate::provider::notice::Message;
use clap::ValueEnum;
use serde_json::json;
use std::collections::BTreeMap;

/// `--format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One document, as with --json
    Json,
    /// One line per finding, key=value (logfmt): for a log
    Log,
    /// Test results: a case per target, for CI servers
    Junit,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// A table, for a comment or a job's summary
    Markdown,
    /// Metrics in the text format, for node_exporter's textfile collector
    Prometheus,
    /// Workflow commands: annotations in GitHub Actions
    Github,
}

/// What is to be told of a look: all of it, or what is otherwise than at the audit before.
pub struct Told<'a> {
    pub looked: &'a Looked,
    pub findings: Vec<&'a Finding>,
    /// Drift of the audit before that is over; only where news was asked for.
    pub ended: BTreeMap<&'a FindingId, &'a NotedFinding>,
    pub is_news: bool,
}

impl<'a> Told<'a> {
    pub fn new(looked: &'a Looked, is_news: bool) -> Self {
        if !is_news {
            let findings = looked.findings.iter().collect();
            return Self { looked, findings, ended: BTreeMap::new(), is_news };
        }
        let news = looked.news();
        Self { looked, findings: news.began, ended: news.ended, is_news }
    }

    /// Whether there is drift among what is told.
    pub fn is_drift(&self) -> bool {
        self.findings.iter().any(|finding| finding.is_drift())
    }

    /// The text of a format that is not for people's eyes alone.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Text => text(self, None, super::style::Palette::new(false)),
            Format::Json => document("drift/1", self.document()),
            Format::Log => logfmt(self),
            Format::Junit => junit::junit(self),
            Format::Sarif => sarif::sarif(self),
            Format::Markdown => markdown::markdown(self),
            Format::Prometheus => prometheus::prometheus(self),
            Format::Github => github::github(self),
        }
    }

    /// For those who are told.
    pub fn message(&self) -> Message {
        let line = |finding: &&Finding| {
            let wrong = wrong(finding).map(|who| format!("; wrong: {who}")).unwrap_or_default();
            let by = attribution(finding).map(|by| format!("; by {by}")).unwrap_or_default();
            let hint = finding.remedy.as_ref().map(|remedy| format!(" → {remedy}")).unwrap_or_default();
            format!("{}: {}: {}{wrong}{by}{hint}", name(finding), kind(&finding.word()), finding.detail)
        };
        let mut lines: Vec<String> = self.findings.iter().map(line).collect();
        lines.extend(self.ended.iter().map(|(id, finding)| format!("over: {finding} ({id})")));
        let title = format!("imgctl drift: {} new, {} over", self.findings.len(), self.ended.len());
        let document = serde_json::from_str(&document("drift/1", self.document())).unwrap_or_default();
        Message { title, lines, document }
    }

    pub fn document(&self) -> serde_json::Value {
        let mut document = json!({
            "drift": self.is_drift(),
            "partial": self.looked.is_partial(),
            "unasked": self.looked.unasked,
            "findings": self.findings,
        });
        if self.is_news
            && let Some(fields) = document.as_object_mut()
        {
            let ended = self.ended.iter().map(|(id, finding)| json!({ "id": id, "finding": finding }));
            fields.insert("ended".to_owned(), ended.collect());
            fields.insert("since".to_owned(), json!(self.looked.since().map(|audit| audit.seq)));
        }
        document
    }
}

/// `web/prod web-asg template`.
fn name(finding: &Finding) -> String {
    let slot = finding.slot.as_ref().map(|slot| format!(" {slot}")).unwrap_or_default();
    format!("{} {}{slot}", finding.channel, finding.target)
}

/// The word of `--json`, with spaces.
fn kind(kind: &str) -> String {
    kind.replace('-', " ")
}

/// What each of them has, where it says something.
fn witnesses(finding: &Finding) -> Vec<(&'static str, String)> {
    if finding.kind == FindingKind::InSync {
        return Vec::new();
    }
    let declared = finding.declared.as_ref().map(|image| match &finding.code {
        // Of several images each has a place of its own, which the sentence names.
        Some(place) if !image.contains(", ") => format!("{image} ({} in {})", place.address, place.source),
        _ => image.clone(),
    });
    let all = [("recorded", finding.recorded.clone()), ("declared", declared), ("observed", finding.observed.clone())];
    all.into_iter().filter_map(|(who, what)| Some((who, what?))).collect()
}

/// Who is wrong, in words; of an unknown and of what is in sync nobody is.
fn wrong(finding: &Finding) -> Option<&'static str> {
    Some(match finding.blame {
        Blame::Nobody => return None,
        Blame::Code => "the code",
        Blame::World => "what runs",
        Blame::CodeAndWorld => "the code and what runs",
        Blame::Ledger => "the ledger",
    })
}

/// What is to be known of a finding beside its sentence: who has what, who is wrong, and who made it so.
fn facts(finding: &Finding) -> Vec<(&'static str, String)> {
    let mut facts = witnesses(finding);
    facts.extend(wrong(finding).map(|who| ("wrong", who.to_owned())));
    facts.extend(attribution(finding).map(|by| ("by", by)));
    facts
}

/// Who changed it, in one line.
fn attribution(finding: &Finding) -> Option<String> {
    let by = finding.by.as_ref()?;
    let at = by.at.map(|at| format!(" at {}", super::time::moment(at))).unwrap_or_default();
    Some(format!("{}{at} ({})", by.who, by.source))
}
