//! Keyed records beside each other: the index's, the view's, and those that follow from the entries.

use super::StoreError;
use super::index::{Difference, Index};
use super::records::{Records, Span};
use super::threads::side_by_side;
use super::view::Layers;
use crate::model::{Order, Table, ViewError};
use std::ops::{Bound, ControlFlow};

/// How many records are fetched at once.
const PAGE: usize = 512;

/// The tables' letters; `#` notes where entries begin.
pub(super) fn letters() -> impl DoubleEndedIterator<Item = char> {
    Table::ALL.iter().map(|table| table.letter()).chain(['#'])
}

/// Every keyed record of the index beside the view's, table by table on some threads.
pub(super) fn agree(index: &Index, layers: &Layers) -> Result<bool, StoreError> {
    let same = side_by_side(letters().collect(), 0, &mut |_, _| (), &|letter: char, _| {
        Ok(compare_table(index, layers, letter)?.is_none())
    })?;
    Ok(same.into_iter().all(|same| same))
}

fn letter_span(letter: char) -> Span {
    let to = format!("{letter}\u{10FFFF}");
    Span { from: Bound::Included(letter.to_string()), to: Bound::Excluded(to), order: Order::Ascending }
}

/// The first record in which the index differs from records that are right.
pub(super) fn compare(index: &Index, right: &Layers) -> Result<Option<Difference>, StoreError> {
    for letter in letters() {
        if let Some(difference) = compare_table(index, right, letter)? {
            return Ok(Some(difference));
        }
    }
    Ok(None)
}

/// The first record of one table in which the index differs from records that are right.
pub(super) fn compare_table(index: &Index, right: &Layers, letter: char) -> Result<Option<Difference>, StoreError> {
    let span = letter_span(letter);
    let mut rows = index.rows(&letter.to_string(), &format!("{letter}\u{10FFFF}"));
    let mut found = None;
    right.walk(&span, &mut |key, value| {
        let Some(value) = value else { return Ok(ControlFlow::Continue(())) };
        let row = rows.next().transpose()?;
        let row = row.as_ref().map(|(key, value)| (key.as_ref(), value.as_ref()));
        found = match row {
            Some((k, v)) if k == key.as_bytes() && v == value => return Ok(ControlFlow::Continue(())),
            Some((k, _)) if k == key.as_bytes() => Some(Difference::Different(key.to_owned())),
            Some((k, _)) if k < key.as_bytes() => Some(Difference::Extra(String::from_utf8_lossy(k).into_owned())),
            _ => Some(Difference::Missing(key.to_owned())),
        };
        Ok(ControlFlow::Break(()))
    })?;
    if found.is_none()
        && let Some((key, _)) = rows.next().transpose()?
    {
        found = Some(Difference::Extra(String::from_utf8_lossy(key.as_ref()).into_owned()));
    }
    Ok(found)
}

/// The first record in which a view differs from records that are right.
pub(super) fn compare_views(layers: &Layers, right: &Layers) -> Result<Option<Difference>, StoreError> {
    for letter in letters() {
        let mut rows = Pages { records: right, span: letter_span(letter), page: Vec::new().into_iter(), done: false };
        let mut found = None;
        layers.walk(&letter_span(letter), &mut |key, value| {
            let Some(value) = value else { return Ok(ControlFlow::Continue(())) };
            found = match rows.next()? {
                Some((k, v)) if k == key && v.as_bytes() == value => return Ok(ControlFlow::Continue(())),
                Some((k, _)) if k == key => Some(Difference::Different(k)),
                Some((k, _)) if *k < *key => Some(Difference::Missing(k)),
                _ => Some(Difference::Extra(key.to_owned())),
            };
            Ok(ControlFlow::Break(()))
        })?;
        if found.is_none() {
            found = rows.next()?.map(|(key, _)| Difference::Missing(key));
        }
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Records of a span, some at a time.
struct Pages<'r> {
    records: &'r Layers,
    span: Span,
    page: std::vec::IntoIter<(String, String)>,
    done: bool,
}

impl Pages<'_> {
    fn next(&mut self) -> Result<Option<(String, String)>, ViewError> {
        if let Some(row) = self.page.next() {
            return Ok(Some(row));
        }
        if self.done {
            return Ok(None);
        }
        let rows = self.records.range(&self.span, PAGE)?;
        self.done = rows.len() < PAGE;
        if let Some((last, _)) = rows.last() {
            self.span.from = Bound::Excluded(last.clone());
        }
        self.page = rows.into_iter();
        Ok(self.page.next())
    }
}

impl Difference {
    /// In words.
    pub fn told(&self, copy: &str) -> String {
        let (key, how) = match self {
            Difference::Missing(key) => (key, format!("is missing from the {copy}")),
            Difference::Different(key) => (key, format!("is not in the {copy} as the journal's entries make it")),
            Difference::Extra(key) => (key, format!("is in the {copy}, and follows from no entry")),
        };
        format!("the record `{}` {how}", key.get(1..).unwrap_or_default())
    }
}
