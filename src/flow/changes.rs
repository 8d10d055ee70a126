//! Changes: the ledger read from its first entry to its last, one change at a time, however many there are.

use crate::model::{
    Channel, Digest, Entry, EntryError, ImageName, LedgerView, Lookup, Order, Seq, Table, ViewError, log_row,
};
use crate::plan::change::{Change, Holds, Range};
use std::collections::VecDeque;

/// Keys read at a time.
const PAGE: usize = 256;

/// Every change that began in `range`, in the order of their first entries; of one channel, if one is named.
///
/// Of a channel are its rollouts and holds, and the rejections of its images there or everywhere; recordings and tags
/// belong to no channel. Every entry that is read is proved by its hash, and, where all are read, the chain is.
///
/// What is kept meanwhile is one change, one number per held channel, and, with a channel, one per entry of its images.
pub fn changes<'a>(
    view: &'a dyn LedgerView,
    channel: Option<&Channel>,
    range: Range,
) -> Result<Changes<'a>, ViewError> {
    let walk = match channel {
        None => Walk::All { next: Seq(1), prev: Entry::root() },
        Some(channel) => Walk::Channel {
            log: Log::of(channel),
            images: entries_of_images(view, &channel.name)?,
            channel: channel.clone(),
        },
    };
    Ok(Changes { look: Lookup(view), range, walk, holds: Holds::default(), ended: false })
}

/// The changes, read as they are asked for. Nothing follows an error.
pub struct Changes<'a> {
    look: Lookup<'a>,
    range: Range,
    walk: Walk,
    holds: Holds,
    ended: bool,
}

/// Which entries are looked at.
enum Walk {
    /// All of them; `prev` is the hash that the next one must name.
    All { next: Seq, prev: Digest },
    /// A channel's log, and among it the entries about its images.
    Channel { channel: Channel, log: Log, images: VecDeque<Seq> },
}

impl Iterator for Changes<'_> {
    type Item = Result<Change, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.following().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Changes<'_> {
    fn following(&mut self) -> Result<Option<Change>, ViewError> {
        while let Some(entry) = self.entry()? {
            let begun = Change::begin(&entry, &self.holds);
            self.holds.see(&entry);
            if let Some(change) = begun.filter(|change| self.range.holds(change.began) && self.is_wanted(change)) {
                return self.whole(change).map(Some);
            }
        }
        Ok(None)
    }

    fn is_wanted(&self, change: &Change) -> bool {
        let Walk::Channel { channel, .. } = &self.walk else { return true };
        // Among the entries of an image are its recording and its tags; what has no channel here else is for all.
        let everywhere = change.channel.is_none() && change.is_verdict();
        everywhere || change.channel.as_ref() == Some(channel)
    }

    /// The change with everything that came after its first entry, and with what its images are.
    fn whole(&self, mut change: Change) -> Result<Change, ViewError> {
        if let (true, Some(channel)) = (change.is_rollout(), &change.channel) {
            let mut log = Log::after(self.look.0, channel, change.first.entry)?;
            while let Some(seq) = log.next(self.look.0)? {
                if !change.join(&proved(self.look.0, seq)?) {
                    break;
                }
            }
        }
        for subject in [&mut change.from, &mut change.to].into_iter().flatten() {
            if let Some(record) = self.look.image(&subject.image)? {
                subject.describe(&record.image);
            }
        }
        Ok(change)
    }

    fn entry(&mut self) -> Result<Option<Entry>, ViewError> {
        let view = self.look.0;
        match &mut self.walk {
            Walk::All { next, prev } => {
                let head = view.head();
                if *next > head.seq {
                    return if *prev == head.hash { Ok(None) } else { Err(broken(head.seq)) };
                }
                let entry = proved(view, *next)?;
                if entry.seq != *next || entry.prev != *prev {
                    return Err(broken(*next));
                }
                (*next, *prev) = (next.next(), entry.hash.clone());
                Ok(Some(entry))
            }
            Walk::Channel { log, images, .. } => {
                let (own, other) = (log.peek(view)?, images.front().copied());
                let Some(seq) = own.into_iter().chain(other).min() else { return Ok(None) };
                // A rollout's first and last entries are in both.
                if own == Some(seq) {
                    log.page.pop_front();
                }
                if other == Some(seq) {
                    images.pop_front();
                }
                proved(view, seq).map(Some)
            }
        }
    }
}

/// The numbers of a channel's entries, a page at a time.
struct Log {
    prefix: String,
    after: Option<String>,
    page: VecDeque<Seq>,
    read_to_the_end: bool,
}

impl Log {
    fn of(channel: &Channel) -> Self {
        Self { prefix: format!("{channel}|"), after: None, page: VecDeque::new(), read_to_the_end: false }
    }

    /// What comes after an entry: the rest of the row that has it, and the rows after that.
    fn after(view: &dyn LedgerView, channel: &Channel, seq: Seq) -> Result<Self, ViewError> {
        let key = log_row::key(&channel.to_string(), seq);
        let row = view.get(Table::ChannelLog, &key)?;
        let rest = row.map(|row| log_row::entries(&key, &row)).transpose()?.into_iter().flatten();
        let page = rest.filter(|each| *each > seq).collect();
        Ok(Self { page, after: Some(key), ..Self::of(channel) })
    }

    fn peek(&mut self, view: &dyn LedgerView) -> Result<Option<Seq>, ViewError> {
        if self.page.is_empty() && !self.read_to_the_end {
            let rows = view.scan(Table::ChannelLog, &self.prefix, Order::Ascending, self.after.as_deref(), PAGE)?;
            for (key, row) in &rows {
                self.page.extend(log_row::entries(key, row)?);
            }
            self.read_to_the_end = rows.len() < PAGE;
            self.after = rows.into_iter().next_back().map(|(key, _)| key);
        }
        Ok(self.page.front().copied())
    }

    fn next(&mut self, view: &dyn LedgerView) -> Result<Option<Seq>, ViewError> {
        self.peek(view)?;
        Ok(self.page.pop_front())
    }
}

/// The numbers of all entries about images of this name, in order. The log of images is kept version by version.
fn entries_of_images(view: &dyn LedgerView, name: &ImageName) -> Result<VecDeque<Seq>, ViewError> {
    let prefix = format!("{name}@");
    let (mut numbers, mut after) = (Vec::new(), None::<String>);
    loop {
        let rows = view.scan(Table::ImageLog, &prefix, Order::Ascending, after.as_deref(), PAGE)?;
        for (key, row) in &rows {
            numbers.extend(log_row::entries(key, row)?);
        }
        match rows.into_iter().next_back() {
            Some((key, _)) => after = Some(key),
            None => break,
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers.into())
}

/// An entry that is what was hashed when it was written.
fn proved(view: &dyn LedgerView, seq: Seq) -> Result<Entry, ViewError> {
    let missing = || ViewError::Entry { seq, source: EntryError::Missing };
    let entry = view.entry(seq)?.ok_or_else(missing)?;
    entry.check().map_err(|source| ViewError::Entry { seq, source })?;
    Ok(entry)
}

fn broken(seq: Seq) -> ViewError {
    ViewError::Entry { seq, source: EntryError::Unchained }
}
