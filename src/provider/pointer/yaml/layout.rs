//! Where lines are added to a YAML file or taken out of it, and how they are laid out beside their neighbours.

use super::Step;
use super::scalar::written;
use super::tree::{Kind, Node};
use super::walk::Holder;
use granit_parser::ScalarStyle;
use std::ops::Range;

/// These bytes become this text.
pub(super) struct Edit {
    pub bytes: Range<usize>,
    pub text: String,
}

impl Edit {
    pub fn apply(&self, text: &str) -> Option<String> {
        let (before, after) = (text.get(..self.bytes.start)?, text.get(self.bytes.end..)?);
        Some([before, &self.text, after].concat())
    }
}

fn plain(text: &str) -> String {
    written(text, ScalarStyle::Plain)
}

/// What is missing, made within the holder. `None`: it is laid out in a way that is not added to.
pub(super) fn added(text: &str, holder: Holder<'_>, rest: &[Step], value: &str, flow: bool) -> Option<Edit> {
    match holder {
        Holder::Nobody => Some(lines_at(text, text.len(), &lines(rest, value), "")),
        Holder::Key(key, null) if flow => {
            let at = after_colon(text, key)?;
            Some(Edit { bytes: at..null.bytes.end.max(at), text: format!(" {}", bracketed(rest, value)) })
        }
        Holder::Key(key, null) => below(text, key, null, &lines(rest, value)),
        Holder::Node(node) => match &node.kind {
            Kind::Mapping { members, flow: true } => {
                Some(in_flow(node, members.last().map(|(key, value)| key.bytes.end.max(value.bytes.end)), rest, value))
            }
            Kind::Sequence { items, flow: true } => {
                Some(in_flow(node, items.last().map(|item| item.bytes.end), rest, value))
            }
            Kind::Mapping { members, .. } => {
                let indent = " ".repeat(column(text, members.first()?.0.bytes.start));
                Some(lines_at(text, node.bytes.end, &lines(rest, value), &indent))
            }
            Kind::Sequence { items, .. } => {
                let start = items.first()?.bytes.start;
                let before = text.get(line_start(text, start)..start)?;
                let indent = before.trim_start_matches(' ').strip_prefix('-').filter(|gap| gap.trim().is_empty());
                let depth = before.len().checked_sub(indent?.len() + 1)?;
                Some(lines_at(text, node.bytes.end, &lines(rest, value), &" ".repeat(depth)))
            }
            _ => None,
        },
    }
}

/// A member of a mapping taken out: with its line, where it has one to itself.
pub(super) fn removed(text: &str, members: &[(Node, Node)], at: usize) -> Edit {
    let start = |at: usize| members.get(at).map(|(key, _)| key.bytes.start);
    let end = |at: usize| members.get(at).map_or(0, |(key, value)| key.bytes.end.max(value.bytes.end));
    let begins = start(at).unwrap_or_default();
    let line = line_start(text, begins);
    let own_line = text.get(line..begins).is_some_and(|before| before.trim().is_empty());
    let bytes = match start(at + 1) {
        Some(next) if !own_line || line_start(text, next) == line => begins..next,
        Some(_) => line..after_line(text, end(at)),
        None if own_line && at > 0 => line..after_line(text, end(at)),
        None => at.checked_sub(1).map_or(begins, end)..end(at),
    };
    Edit { bytes, text: String::new() }
}

/// Just behind the colon of this key.
pub(super) fn after_colon(text: &str, key: &Node) -> Option<usize> {
    let rest = text.get(key.bytes.end..)?;
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    rest.get(blanks..)?.starts_with(':').then_some(key.bytes.end + blanks + 1)
}

/// Lines below a key that has no value; a comment behind the key stays there.
fn below(text: &str, key: &Node, null: &Node, lines: &[String]) -> Option<Edit> {
    let colon = after_colon(text, key)?;
    let end = line_end(text, colon);
    let kept = text.get(null.bytes.end.max(colon)..end)?;
    let indent = " ".repeat(column(text, key.bytes.start));
    let deeper = if lines.first()?.starts_with('-') { indent } else { indent + "  " };
    let newline = newline(text);
    let below: String = lines.iter().map(|line| format!("{newline}{deeper}{line}")).collect();
    Some(Edit { bytes: colon..end, text: format!("{}{below}", kept.trim_end_matches(' ')) })
}

/// Lines behind the line on which `end` is.
fn lines_at(text: &str, end: usize, lines: &[String], indent: &str) -> Edit {
    let newline = newline(text);
    let is_new = text.get(..end).is_none_or(|before| before.is_empty() || before.ends_with('\n'));
    let at = if is_new { end } else { line_end(text, end) };
    let line =
        |line: &String| if is_new { format!("{indent}{line}{newline}") } else { format!("{newline}{indent}{line}") };
    Edit { bytes: at..at, text: lines.iter().map(line).collect() }
}

fn in_flow(node: &Node, last: Option<usize>, rest: &[Step], value: &str) -> Edit {
    match last {
        Some(at) => Edit { bytes: at..at, text: format!(", {}", inline(rest, value)) },
        None => Edit { bytes: node.bytes.clone(), text: bracketed(rest, value) },
    }
}

/// A path and its value as lines of a block.
fn lines(path: &[Step], value: &str) -> Vec<String> {
    let Some((step, rest)) = path.split_first() else { return Vec::new() };
    let inner = lines(rest, value);
    match step {
        Step::Key(key) if rest.is_empty() => vec![format!("{}: {}", plain(key), plain(value))],
        Step::Key(key) => {
            let indent = if matches!(rest.first(), Some(Step::Named(_))) { "" } else { "  " };
            let head = format!("{}:", plain(key));
            std::iter::once(head).chain(inner.into_iter().map(|line| format!("{indent}{line}"))).collect()
        }
        Step::Named(name) => {
            let head = format!("- name: {}", plain(name));
            std::iter::once(head).chain(inner.into_iter().map(|line| format!("  {line}"))).collect()
        }
    }
}

/// The same within a flow.
fn inline(path: &[Step], value: &str) -> String {
    let Some((step, rest)) = path.split_first() else { return plain(value) };
    match step {
        Step::Key(key) if rest.is_empty() => format!("{}: {}", plain(key), plain(value)),
        Step::Key(key) => format!("{}: {}", plain(key), bracketed(rest, value)),
        Step::Named(name) => format!("{{name: {}, {}}}", plain(name), inline(rest, value)),
    }
}

fn bracketed(path: &[Step], value: &str) -> String {
    match path.first() {
        Some(Step::Named(_)) => format!("[{}]", inline(path, value)),
        _ => format!("{{{}}}", inline(path, value)),
    }
}

fn newline(text: &str) -> &'static str {
    let first = text.split_inclusive('\n').next();
    if first.is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" }
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// Before the characters that end the line.
fn line_end(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let line = rest.split('\n').next().unwrap_or_default();
    at + line.strip_suffix('\r').filter(|_| line.len() < rest.len()).unwrap_or(line).len()
}

/// Behind them.
fn after_line(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |newline| at + newline + 1)
}

/// How far to the right, in characters; a byte order mark is none.
fn column(text: &str, at: usize) -> usize {
    let before = text.get(line_start(text, at)..at).unwrap_or_default();
    before.chars().filter(|c| *c != '\u{feff}').count()
}
