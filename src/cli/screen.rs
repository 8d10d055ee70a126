//! What a person (or a pipe) sees: results on standard output, everything else on standard error.

use super::failure::Failure;
use super::render::style::{self, Palette};
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// `--color`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On terminals, unless `NO_COLOR` is set
    #[default]
    Auto,
    Always,
    Never,
}

/// How much is said on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// Errors only.
    Quiet,
    Normal,
    /// Also what is being asked of whom.
    Verbose,
}

/// The two streams, and what may be written to them.
#[derive(Debug, Clone)]
pub struct Screen {
    pub json: bool,
    pub loudness: Loudness,
    /// Columns of the terminal that standard output is; `None`: it is none, and nothing is wrapped.
    pub width: Option<usize>,
    /// Whether a person is there to be asked.
    pub interactive: bool,
    /// Whether things may move on standard error.
    pub lively: bool,
    pub out: Palette,
    pub err: Palette,
}

impl Screen {
    pub fn new(json: bool, loudness: Loudness, color: Color) -> Self {
        let (out, err) = (std::io::stdout(), std::io::stderr());
        let terminal = out.is_terminal();
        let interactive = std::io::stdin().is_terminal() && err.is_terminal() && !in_ci();
        Self {
            json,
            loudness,
            width: terminal.then(columns),
            interactive,
            lively: err.is_terminal() && !json && loudness > Loudness::Quiet && !in_ci(),
            out: Palette::new(style::wanted(color, anstream::AutoStream::choice(&out))),
            err: Palette::new(style::wanted(color, anstream::AutoStream::choice(&err))),
        }
    }

    /// Whether results and remarks are seen by the same eyes, on a terminal where things move.
    pub fn is_one_terminal(&self) -> bool {
        self.lively && self.width.is_some()
    }

    /// Columns for text that is always wrapped, such as a quoted line of the config.
    pub fn columns(&self) -> usize {
        self.width.unwrap_or(120)
    }

    /// A result: whole lines to standard output. A reader that has seen enough ends the program quietly.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        write!(out, "{text}{end}").and_then(|()| out.flush()).map_err(Failure::Output)
    }

    /// A result as one JSON document, which names its schema and that one's version.
    pub fn document(&self, schema: &str, fields: impl Serialize) -> Result<(), Failure> {
        self.print(&document(schema, fields))
    }

    /// The result, in the form that was asked for.
    pub fn show(&self, schema: &str, fields: impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json { self.document(schema, fields) } else { self.print(&text()) }
    }

    /// A remark for the person.
    pub fn say(&self, text: &str) {
        if self.loudness > Loudness::Quiet && !self.json {
            self.complain(text);
        }
    }

    /// Something that is not right, and did not stop us.
    pub fn warn(&self, text: &str) {
        if self.loudness > Loudness::Quiet {
            self.complain(&format!("{} {text}", self.err.warning("warning:")));
        }
    }

    /// The command to type next.
    pub fn hint(&self, text: &str) {
        self.say(&format!("{} {text}", self.err.hint("hint:")));
    }

    /// Whatever the loudness. When standard error is gone too, there is nobody left to tell.
    pub fn complain(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _nobody_listens = writeln!(err, "{text}");
    }
}

/// `{"schema": …, fields…}`; floats and maps with other keys than text do not occur in what we show.
pub fn document(schema: &str, fields: impl Serialize) -> String {
    let mut document = serde_json::Map::new();
    document.insert("schema".to_owned(), format!("imgctl.{schema}").into());
    match serde_json::to_value(fields).unwrap_or_default() {
        serde_json::Value::Object(fields) => document.extend(fields),
        other => drop(document.insert("value".to_owned(), other)),
    }
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// A CI system that offers a terminal does not offer a person.
fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// `COLUMNS` counts first, so that a recorded session is the same everywhere.
fn columns() -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let asked = asked.or_else(|| comfy_table::Table::new().width().map(usize::from));
    asked.filter(|columns| *columns > 0).unwrap_or(80)
}
