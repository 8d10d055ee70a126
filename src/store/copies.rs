//! Both copies of the ledger as far as they can be read, file by file: what repair picks the entries from.

use super::StoreError;
use super::attach::line;
use super::files::io;
use super::index::Index;
use super::journal::{self, Journal};
use super::packed;
use super::records::{Changes, entry_key};
use super::segments::Part;
use super::view;
use crate::model::{Entry, Seq};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Both copies as far as they can be read.
pub(super) struct Copies {
    pub parts: Vec<Source>,
    /// Entry → the part and the place in it where its line begins, for every line that is an entry.
    pub begins: BTreeMap<u64, (usize, u64)>,
    pub index: Option<Arc<Index>>,
    /// Lines that the view kept until the index has them, by key.
    pub recent: Changes,
    /// The highest entry that any copy has, or says it has.
    pub top: Seq,
}

/// One file of the journal, by itself.
pub(super) struct Source {
    pub path: PathBuf,
    /// The offset of its first byte in the whole chain.
    pub begin: u64,
    /// `None` when the file is lost.
    pub lines: Option<Journal>,
}

/// An entry, and the part and the place in it where the journal has it; without them it is the index's.
pub(super) type Picked = (Entry, Option<(usize, u64)>);

impl Source {
    fn of(part: &Part) -> Result<Self, StoreError> {
        let lines = match part.file() {
            Ok(file) => Some(Journal::of(file.try_clone().map_err(io("read", &part.path))?, part.path.clone())),
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path: part.path.clone(), begin: part.begin, lines })
    }
}

impl Copies {
    pub fn read(dir: &Path, index: Option<Arc<Index>>) -> Result<Self, StoreError> {
        let journal = Journal::open(dir, false)?;
        let parts = match &journal {
            Some(journal) => journal.parts().iter().map(Source::of).collect::<Result<Vec<_>, _>>()?,
            None => vec![Source { path: journal::path(dir), begin: 0, lines: None }],
        };
        // An index that cannot be read any further still says how far it went: what it had is lost then, and not nothing.
        let said = index.as_ref().and_then(|index| index.applied().ok().flatten()).map(|applied| applied.seq);
        let indexed = index.as_ref().and_then(|index| index.last_entry().ok().flatten());
        let recent = view::salvage(dir).map(|(_, changes)| changes).unwrap_or_default();
        let last = recent.range("e".to_owned().."f".to_owned()).next_back();
        let kept = last.and_then(|(key, _)| packed::numbered(key));
        let known = [said, indexed, kept, view::end(dir)].into_iter().flatten().fold(Seq(0), Seq::max);
        let mut begins = BTreeMap::new();
        for (number, part) in parts.iter().enumerate() {
            let Some(lines) = &part.lines else { continue };
            let is_active = number + 1 == parts.len();
            read_part(lines, number, (is_active, known), &mut begins)?;
        }
        let highest = begins.last_key_value().map(|(seq, _)| Seq(*seq)).unwrap_or_default();
        let top = highest.max(known);
        let mut copies = Self { parts, begins, index, recent, top };
        copies.settle_active()?;
        Ok(copies)
    }

    /// Where the active part begins is told by the last seal, which may be what is damaged: where the entry before the
    /// active part's first ends tells it, too, and is proved by its hash.
    fn settle_active(&mut self) -> Result<(), StoreError> {
        let Some(number) = self.parts.len().checked_sub(1).filter(|number| *number > 0) else { return Ok(()) };
        let first = self.begins.iter().find(|(_, place)| **place == (number, 0)).map(|(seq, _)| *seq);
        let is_empty = match self.parts.get(number).and_then(|part| part.lines.as_ref()) {
            Some(journal) => journal.len()? == 0,
            None => true,
        };
        let before = match first {
            Some(first) => Seq(first.saturating_sub(1)),
            None if is_empty => self.top,
            None => return Ok(()),
        };
        let Some((entry, Some((at, begin)))) = self.pick(before, &|_| true)? else { return Ok(()) };
        let Some(segment) = self.parts.get(at).filter(|_| at + 1 == number) else { return Ok(()) };
        let end = segment.begin + begin + u64::try_from(entry.line().len()).unwrap_or(u64::MAX) + 1;
        if let Some(active) = self.parts.get_mut(number) {
            active.begin = end;
        }
        Ok(())
    }

    /// One entry from the journal if it is there and follows, else from the index; and where the journal has it.
    pub fn pick(&self, seq: Seq, follows: &dyn Fn(&Entry) -> bool) -> Result<Option<Picked>, StoreError> {
        if let Some((number, begin)) = self.begins.get(&seq.0)
            && let Some(journal) = self.parts.get(*number).and_then(|part| part.lines.as_ref())
        {
            let entry = journal.lines(*begin, journal.len()?).next_line()?.and_then(|line| line.entry().ok());
            if let Some(entry) = entry.filter(follows) {
                return Ok(Some((entry, Some((*number, *begin)))));
            }
        }
        let indexed = self.index.as_ref().and_then(|index| line(index, seq).ok().flatten());
        let fits = |entry: &Entry| entry.seq == seq && follows(entry);
        let entry = indexed.filter(fits).or_else(|| self.kept(seq).filter(fits));
        Ok(entry.map(|entry| (entry, None)))
    }

    /// The view's line, proved by its own hash.
    fn kept(&self, seq: Seq) -> Option<Entry> {
        Entry::parse(self.recent.get(&entry_key(seq))?.as_deref()?).ok()
    }

    /// The part that holds the byte `offset`.
    pub fn part_at(&self, offset: u64) -> usize {
        self.parts.iter().rposition(|part| part.begin <= offset).unwrap_or_default()
    }
}

/// Notes where the lines of a part begin that are entries. What a power cut has left of the active part's last write, and no
/// copy knows of, was never acknowledged, also where some of it is whole.
fn read_part(
    lines: &Journal,
    number: usize,
    (is_active, known): (bool, Seq),
    begins: &mut BTreeMap<u64, (usize, u64)>,
) -> Result<(), StoreError> {
    let mut last = begins.last_key_value().map_or(Seq(0), |(seq, _)| Seq(*seq));
    let mut reading = lines.lines(0, lines.len()?);
    while let Some(line) = reading.next_line()? {
        match line.entry() {
            Ok(entry) => {
                last = entry.seq;
                begins.entry(entry.seq.0).or_insert((number, line.begin));
            }
            Err(_) if is_active && known <= last && lines.is_torn(&line) => break,
            Err(_) => {}
        }
    }
    Ok(())
}
