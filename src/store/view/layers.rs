//! Runs, oldest first, with what is newer than all of them on top: read as one set of records.

use super::block::damaged;
use super::bloom;
use super::cache::Cache;
use super::run::{Cursor, Run};
use crate::model::{Order, ViewError};
use crate::store::records::{Changes, Records, Span};
use std::cmp::Ordering;
use std::collections::btree_map;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// Records as of one moment. Clones are cheap and do not change.
#[derive(Clone)]
pub(in crate::store) struct Layers {
    pub(super) runs: Vec<Arc<Run>>,
    pub(super) cache: Arc<Cache>,
    /// The newest changes, not in a run yet.
    pub(super) recent: Arc<Changes>,
}

impl Layers {
    /// Nothing at all.
    pub fn empty(cache: usize) -> Self {
        Self { runs: Vec::new(), cache: Arc::new(Cache::new(cache)), recent: Arc::default() }
    }

    /// The newest changes, which are in no run yet.
    pub fn recent(&self) -> &Changes {
        &self.recent
    }

    /// Adds changes on top.
    pub fn put(&mut self, changes: Changes) {
        let recent = Arc::make_mut(&mut self.recent);
        if recent.is_empty() { *recent = changes } else { recent.extend(changes) }
    }

    /// Calls with each key of the span once, as the newest layer that knows it has it.
    pub fn walk(&self, span: &Span, each: &mut Visit<'_>) -> Result<(), ViewError> {
        let start = match span.order {
            Order::Ascending => &span.from,
            Order::Descending => &span.to,
        };
        let mut sources = vec![Source::recent(&self.recent, span)];
        for run in self.runs.iter().rev() {
            sources.push(Source::Run(run.cursor(&self.cache, start, span.order)?));
        }
        merge(&mut sources, span, each)
    }
}

pub(in crate::store) type Visit<'v> = dyn FnMut(&str, Option<&[u8]>) -> Result<ControlFlow<()>, ViewError> + 'v;

/// Where records come from, newest first in a list of them.
pub(super) enum Source<'s> {
    Recent { rows: btree_map::Range<'s, String, Option<String>>, order: Order, at: Option<(&'s str, Option<&'s str>)> },
    Run(Cursor),
}

impl<'s> Source<'s> {
    pub fn recent(changes: &'s Changes, span: &Span) -> Self {
        let rows = changes.range::<String, _>((span.from.clone(), span.to.clone()));
        let mut source = Self::Recent { rows, order: span.order, at: None };
        // Stepping in memory does not fail.
        drop(source.advance());
        source
    }

    fn current(&self) -> Option<(&str, Option<&[u8]>)> {
        match self {
            Self::Recent { at, .. } => at.map(|(key, value)| (key, value.map(str::as_bytes))),
            Self::Run(cursor) => cursor.current(),
        }
    }

    fn advance(&mut self) -> Result<(), ViewError> {
        match self {
            Self::Recent { rows, order, at } => {
                let row = if *order == Order::Ascending { rows.next() } else { rows.next_back() };
                *at = row.map(|(key, value)| (key.as_str(), value.as_deref()));
                Ok(())
            }
            Self::Run(cursor) => cursor.advance(),
        }
    }
}

/// Walks sorted sources as one; of equal keys the first source's counts.
pub(super) fn merge(sources: &mut [Source<'_>], span: &Span, each: &mut Visit<'_>) -> Result<(), ViewError> {
    // The sources that stand on the key that is next.
    let mut on: Vec<usize> = Vec::with_capacity(sources.len());
    loop {
        let mut best: Option<(&str, Option<&[u8]>)> = None;
        on.clear();
        for (number, (key, value)) in
            sources.iter().enumerate().filter_map(|(number, it)| Some((number, it.current()?)))
        {
            let order = best.map_or(Ordering::Less, |(best, _)| match span.order {
                Order::Ascending => key.cmp(best),
                Order::Descending => best.cmp(key),
            });
            if order.is_lt() {
                best = Some((key, value));
                on.clear();
            }
            if order.is_le() {
                on.push(number);
            }
        }
        let Some((found, value)) = best.filter(|(key, _)| within(key, span)) else { return Ok(()) };
        if each(found, value)?.is_break() {
            return Ok(());
        }
        for number in &on {
            sources.get_mut(*number).map_or(Ok(()), Source::advance)?;
        }
    }
}

/// Whether a key is before the far end of the span.
fn within(key: &str, span: &Span) -> bool {
    match (span.order, &span.from, &span.to) {
        (Order::Ascending, _, Bound::Excluded(to)) => key < to.as_str(),
        (Order::Ascending, _, Bound::Included(to)) => key <= to.as_str(),
        (Order::Descending, Bound::Excluded(from), _) => key > from.as_str(),
        (Order::Descending, Bound::Included(from), _) => key >= from.as_str(),
        _ => true,
    }
}

impl Records for Layers {
    fn read(&self, key: &str) -> Result<Option<String>, ViewError> {
        if let Some(value) = self.recent.get(key) {
            return Ok(value.clone());
        }
        let hash = bloom::hash(key);
        for run in self.runs.iter().rev() {
            if let Some(value) = run.find(&self.cache, key, hash)? {
                return value.map(text).transpose();
            }
        }
        Ok(None)
    }

    fn range(&self, span: &Span, limit: usize) -> Result<Vec<(String, String)>, ViewError> {
        let mut rows = Vec::new();
        if span.is_empty() || limit == 0 {
            return Ok(rows);
        }
        self.walk(span, &mut |key, value| {
            if let Some(value) = value {
                rows.push((key.to_owned(), text(value.to_vec())?));
            }
            Ok(if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(rows)
    }
}

pub(super) fn text(bytes: Vec<u8>) -> Result<String, ViewError> {
    String::from_utf8(bytes).map_err(|_| damaged("a record is not text"))
}
