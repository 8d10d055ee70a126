//! Tables that fit: whole in a pipe, wrapped in one column on a narrow terminal, a list of records on a narrower one.

use super::style::Palette;
use comfy_table::{Attribute, Cell, ColumnConstraint, ContentArrangement, Width, presets};

/// Rows under headings. The last column is the one that may be wrapped.
#[derive(Debug, Clone)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// A column narrower than this cannot be read: then rows become records.
const NARROWEST: usize = 16;
const GAP: usize = 2;

impl Table {
    pub fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table in at most `width` columns; `None`: as wide as it is.
    pub fn render(&self, width: Option<usize>, paint: Palette) -> String {
        let mut table = self.laid_out(paint);
        let widths: Vec<usize> = table.column_max_content_widths().iter().map(|width| usize::from(*width)).collect();
        let whole = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let Some(width) = width.filter(|width| whole > *width) else { return trimmed(&table) };
        let last = widths.last().copied().unwrap_or_default();
        let room = width.saturating_sub(whole - last);
        if room < self.longest_word().max(NARROWEST) {
            return self.records(paint);
        }
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        let count = widths.len();
        for (at, column) in table.column_iter_mut().enumerate() {
            let content = if at + 1 == count { room } else { widths.get(at).copied().unwrap_or_default() + GAP };
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(u16::try_from(content).unwrap_or(u16::MAX))));
        }
        trimmed(&table)
    }

    /// Of the last column: an id that is cut in two cannot be copied.
    fn longest_word(&self) -> usize {
        let words = self.rows.iter().filter_map(|row| row.last()).flat_map(|cell| cell.split_whitespace());
        words.map(|word| word.chars().count()).max().unwrap_or_default()
    }

    fn laid_out(&self, paint: Palette) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if paint.is_on() {
            table.enforce_styling();
        }
        let heading = |text: &&str| {
            let cell = Cell::new(text);
            if paint.is_on() { cell.add_attribute(Attribute::Bold) } else { cell }
        };
        table.set_header(self.headings.iter().map(heading));
        for row in &self.rows {
            table.add_row(row);
        }
        let last = self.headings.len().saturating_sub(1);
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if at == last { 0 } else { u16::try_from(GAP).unwrap_or_default() }));
        }
        table
    }

    /// One line for each cell that says something, an empty one between rows.
    fn records(&self, paint: Palette) -> String {
        let longest = self.headings.iter().map(|heading| heading.len()).max().unwrap_or_default();
        let record = |row: &Vec<String>| {
            let cells = self.headings.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
            let lines = cells.map(|(heading, cell)| {
                let heading = paint.strong(&format!("{heading:longest$}"));
                format!("{heading}  {}\n", cell.replace('\n', " "))
            });
            lines.collect::<String>()
        };
        self.rows.iter().map(record).collect::<Vec<_>>().join("\n")
    }
}

/// Padding at the end of a line is noise in a pipe and in a diff.
fn trimmed(table: &comfy_table::Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ENTRY", "WHEN", "WHAT"]);
        table.row(["7", "5 min ago", "hold on web/prod: the checkout page answers 500"].map(str::to_owned));
        table.row(["12", "just now", "web@1.4.2 recorded"].map(str::to_owned));
        table
    }

    #[test]
    fn a_pipe_gets_whole_lines() {
        let expected = "ENTRY  WHEN       WHAT\n\
                        7      5 min ago  hold on web/prod: the checkout page answers 500\n\
                        12     just now   web@1.4.2 recorded\n";
        assert_eq!(table().render(None, Palette::PLAIN), expected);
        assert_eq!(table().render(Some(160), Palette::PLAIN), expected);
    }

    #[test]
    fn a_narrow_terminal_wraps_the_last_column_only() {
        let expected = "ENTRY  WHEN       WHAT\n\
                        7      5 min ago  hold on web/prod: the\n\
                        \x20                 checkout page answers\n\
                        \x20                 500\n\
                        12     just now   web@1.4.2 recorded\n";
        assert_eq!(table().render(Some(40), Palette::PLAIN), expected);
    }

    #[test]
    fn a_terminal_too_narrow_for_columns_gets_records() {
        let expected = "ENTRY  7\nWHEN   5 min ago\nWHAT   hold on web/prod: the checkout page answers 500\n\n\
                        ENTRY  12\nWHEN   just now\nWHAT   web@1.4.2 recorded\n";
        assert_eq!(table().render(Some(30), Palette::PLAIN), expected);
    }

    #[test]
    fn an_id_is_never_cut_in_two() {
        let mut table = Table::new(&["ENTRY", "WHAT"]);
        table.row(["7", "runs ami-0123456789abcdef0 now"].map(str::to_owned));
        assert_eq!(
            table.render(Some(28), Palette::PLAIN),
            "ENTRY  WHAT\n7      runs\n       ami-0123456789abcdef0\n       now\n"
        );
        assert_eq!(table.render(Some(27), Palette::PLAIN), "ENTRY  7\nWHAT   runs ami-0123456789abcdef0 now\n");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_it_was_laid_out_for() {
        for width in [40, 60, 80, 160] {
            let text = table().render(Some(width), Palette::PLAIN);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
        }
    }
}
