//! The entries' own lines as sled has them: sixteen to a row. Its pages take sixteen rows whatever their size, so that a row
//! for each line would make most of an index pages.

use super::index::{Index, Row, Rows};
use super::records::entry_key;
use crate::model::{Seq, ViewError};

/// How many lines a row has.
const LINES: u64 = 16;

/// The entry whose line stands first in the row of `seq`.
fn first(seq: Seq) -> Seq {
    Seq(seq.0 - seq.0 % LINES)
}

/// The key of the row that holds the line of `seq`.
pub(super) fn row_key(seq: Seq) -> String {
    entry_key(first(seq))
}

/// What stands before the line of `seq` in its row: its place there, as a hexadecimal digit.
fn place(seq: Seq) -> u8 {
    // Less than sixteen.
    b"0123456789abcdef".get(usize::try_from(seq.0 % LINES).unwrap_or_default()).copied().unwrap_or_default()
}

/// The entry's number in the key of a line or of a row.
pub(super) fn numbered(key: &str) -> Option<Seq> {
    key.strip_prefix('e')?.parse().ok().map(Seq)
}

/// The line of `seq` in its row.
pub(super) fn line(row: &str, seq: Seq) -> Option<&str> {
    row.lines().find_map(|line| line.strip_prefix(char::from(place(seq))))
}

/// The row with other lines in it, or without some.
pub(super) fn with<'c>(row: Option<&str>, changes: impl Iterator<Item = (Seq, Option<&'c str>)>) -> String {
    let digit = |line: &str| line.as_bytes().first().copied().unwrap_or_default();
    let mut lines: Vec<(u8, &str)> =
        row.into_iter().flat_map(str::lines).map(|line| (digit(line), line.get(1..).unwrap_or_default())).collect();
    for (seq, line) in changes {
        lines.retain(|(at, _)| *at != place(seq));
        lines.extend(line.map(|line| (place(seq), line)));
    }
    lines.sort_unstable();
    let mut text = String::with_capacity(lines.iter().map(|(_, line)| line.len() + 2).sum());
    for (at, line) in lines {
        text.push(char::from(at));
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// The number of the last line in a row.
pub(super) fn last(key: &str, row: &str) -> Option<Seq> {
    let digit = char::from(*row.lines().next_back()?.as_bytes().first()?).to_digit(16)?;
    Some(Seq(numbered(key)?.0 + u64::from(digit)))
}

/// The index's lines from one entry on, to be held against others one after the other.
pub(super) struct Lines<'i> {
    rows: Rows<'i>,
    row: Option<Row>,
    /// The entry whose place in the row is the first.
    from: Option<Seq>,
    /// How much of the row was looked at.
    at: usize,
}

impl<'i> Lines<'i> {
    /// From the entry `from` on.
    pub fn of(index: &'i Index, from: Seq) -> Result<Self, ViewError> {
        let mut lines = Self { rows: index.rows(&row_key(from), "f"), row: None, from: None, at: 0 };
        // The row may begin before.
        for seq in (first(from).0..from.0).map(Seq) {
            if lines.rest()?.first() == Some(&place(seq)) {
                lines.at += lines.rest()?.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            }
        }
        Ok(lines)
    }

    /// What was not looked at of the row, or the next row if that is all.
    fn rest(&mut self) -> Result<&[u8], ViewError> {
        if self.row.as_ref().is_none_or(|(_, row)| self.at >= row.len()) {
            (self.row, self.at) = (self.rows.next().transpose()?, 0);
            self.from = self.row.as_ref().and_then(|(key, _)| numbered(std::str::from_utf8(key).ok()?));
        }
        Ok(self.row.as_ref().and_then(|(_, row)| row.get(self.at..)).unwrap_or_default())
    }

    /// Whether the next line is this one, and that of entry `seq`.
    pub fn next_is(&mut self, seq: Seq, line: &[u8]) -> Result<bool, ViewError> {
        let rest = self.rest()?.split_first().filter(|(at, _)| **at == place(seq));
        let same = rest.and_then(|(_, rest)| rest.strip_prefix(line)).is_some_and(|rest| rest.first() == Some(&b'\n'));
        self.at += line.len() + 2;
        Ok(same && self.from == Some(first(seq)))
    }

    /// Whether all were looked at.
    pub fn is_done(&mut self) -> Result<bool, ViewError> {
        Ok(self.rest()?.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_into_a_row_and_come_out_again() {
        assert_eq!(row_key(Seq(15)), "e0000000000000000");
        assert_eq!(row_key(Seq(47)), "e0000000000000032");
        let row = with(None, [(Seq(42), Some("{b}")), (Seq(33), Some("{a}"))].into_iter());
        assert_eq!(row, "1{a}\na{b}\n");
        assert_eq!((line(&row, Seq(33)), line(&row, Seq(42)), line(&row, Seq(34))), (Some("{a}"), Some("{b}"), None));
        let row = with(Some(&row), [(Seq(33), None), (Seq(42), Some("{c}")), (Seq(47), Some("{d}"))].into_iter());
        assert_eq!(row, "a{c}\nf{d}\n");
        assert_eq!(last(&row_key(Seq(42)), &row), Some(Seq(47)));
        assert_eq!(last("e0000000000000032", ""), None);
    }
}
