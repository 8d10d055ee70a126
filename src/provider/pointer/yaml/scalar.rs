//! How a text is written in YAML so that every reader takes it for that text.

use granit_parser::ScalarStyle;
use std::fmt::Write;

/// Words that YAML 1.1 or 1.2 takes for something else (<https://yaml.org/type/bool.html>).
const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// Whether it may stand without quotes, in a flow as well, and be a text to readers of YAML 1.1 and 1.2: numbers, dates
/// and times begin with a digit, a sign or a dot, and none of them holds a slash.
pub(super) fn is_text(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | ':' | '@' | '-');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic())
        || (text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('/'));
    begins && text.chars().all(plain) && !text.ends_with(':') && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// The text as it is written: as what stood there was, where that is possible.
pub(super) fn written(text: &str, as_before: ScalarStyle) -> String {
    match as_before {
        ScalarStyle::SingleQuoted if !text.contains(is_escaped) => format!("'{}'", text.replace('\'', "''")),
        ScalarStyle::Plain if is_text(text) => text.to_owned(),
        _ => double_quoted(text),
    }
}

/// What is not printable, and what some readers take for the end of a line.
fn is_escaped(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_escaped(c) => drop(write!(quoted, "\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
