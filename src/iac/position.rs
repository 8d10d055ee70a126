//! Where in a file: what an editor jumps to.

use std::fmt;

/// Line and column, both counted from 1; the column counts bytes, as the JSON parser does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl Position {
    /// The position of the byte at `offset`.
    pub(super) fn of(bytes: &[u8], offset: usize) -> Self {
        let before = bytes.get(..offset).unwrap_or(bytes);
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Self { line, column: before.len() - line_start + 1 }
    }

    /// The position of a key of the outermost JSON object, or the start where there is none. Nested keys of the same
    /// name do not count: sorted by `jq -S`, a state has many of them before its own.
    pub(super) fn of_key(bytes: &[u8], key: &str) -> Self {
        Self::of(bytes, top_level_key(bytes, key).unwrap_or(0))
    }
}

/// The offset of the quote that opens `key`, in JSON that has parsed.
fn top_level_key(bytes: &[u8], key: &str) -> Option<usize> {
    let quoted = format!("\"{key}\"");
    let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
    for (offset, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' if in_string => in_string = false,
            b'"' => {
                if depth == 1 && is_key(bytes.get(offset..)?, &quoted) {
                    return Some(offset);
                }
                in_string = true;
            }
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Whether the text starts with this quoted key and its colon: a value may read the same.
fn is_key(text: &[u8], quoted: &str) -> bool {
    let after = text.strip_prefix(quoted.as_bytes()).unwrap_or_default();
    after.trim_ascii_start().first() == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_what_an_editor_shows() {
        let text = b"{\n  \"a\": 1\n}";
        assert_eq!(Position::of(text, 0).to_string(), "line 1, column 1");
        assert_eq!(Position::of(text, 4).to_string(), "line 2, column 3");
        assert_eq!(Position::of(text, 999).to_string(), "line 3, column 2");
    }

    #[test]
    fn only_a_key_of_the_outermost_object_is_found() {
        let text = br#"{"a": {"version": 1}, "b": "version", "c": ["\"version\":"], "version": 4}"#;
        let expected = text.windows(12).rposition(|window| window == b"\"version\": 4").unwrap();
        assert_eq!(Position::of_key(text, "version"), Position { line: 1, column: expected + 1 });
        assert_eq!(Position::of_key(text, "absent"), Position { line: 1, column: 1 });
    }
}
