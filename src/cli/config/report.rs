//! Faults as a person reads them: the line itself, a caret under the place, what was expected and the near name.

use crate::provider::section::Fault;
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;
use std::path::Path;

/// One fault for a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    pub title: String,
    pub expected: String,
    pub help: Option<String>,
}

/// The faults with their places as numbers.
pub fn complaints(path: &Path, text: &str, faults: &[Fault]) -> Vec<Complaint> {
    let place = |fault: &Fault| {
        let before = text.get(..fault.span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    };
    let complaint = |fault: &Fault| {
        let (line, column) = place(fault);
        Complaint {
            file: path.display().to_string(),
            line,
            column,
            title: fault.title.clone(),
            expected: fault.label.clone(),
            help: fault.help.clone(),
        }
    };
    faults.iter().map(complaint).collect()
}

/// The faults, each with its line; `width` is the terminal's.
pub fn render(path: &Path, text: &str, faults: &[Fault], styled: bool, width: usize) -> String {
    let shown = path.display().to_string();
    let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(width);
    let report = |fault: &Fault| {
        let annotation = AnnotationKind::Primary.span(one_line(text, fault)).label(fault.label.as_str());
        let snippet = Snippet::source(text).path(shown.as_str()).annotation(annotation);
        let mut group = Level::ERROR.primary_title(fault.title.as_str()).element(snippet);
        if let Some(help) = &fault.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    };
    let reports: Vec<String> = faults.iter().map(report).collect();
    reports.join("\n\n")
}

/// A table's place is its header: carets under every line of it would bury the fault.
fn one_line(text: &str, fault: &Fault) -> std::ops::Range<usize> {
    let start = fault.span.start.min(text.len());
    let rest = text.get(start..fault.span.end.min(text.len()).max(start)).unwrap_or_default();
    let first = rest.split('\n').next().unwrap_or_default().trim_end();
    start..start + first.len()
}
