//! The journal: one file of entries, line by line, each sealed with the hash of the one before. What is fsynced here happened.

use super::files::{io, keep_aside};
use super::records::Position;
use super::segments::{self, Part};
use super::{StoreError, boot, crash};
use crate::model::{Entry, Seq};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How much of the chain's end is proved before something is appended to it.
const TAIL: u64 = 64 * 1024;

/// The journal of one ledger, open: its sealed segments, oldest first, and the part that is written to.
/// Offsets count from its first byte, whatever segment that is in.
pub(super) struct Journal {
    parts: Vec<Part>,
}

/// How a walk along the chain ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// At the last byte.
    Clean,
    /// Before bytes that are no entry and have no entry after them, or that a power cut has left of a write: one that was
    /// cut short.
    Torn { what: String },
    /// Before bytes that are not the next entry, though entries come after them.
    Damaged { what: String },
}

/// How far a walk came: after the last entry that joins the chain.
pub(super) struct Walked {
    pub good: Position,
    pub end: End,
}

/// Called for each entry of a walk, with the place just after it.
pub(super) type Visit<'v> = dyn FnMut(Entry, &Position) -> Result<(), StoreError> + 'v;

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("journal.jsonl")
}

impl Journal {
    /// `None` when there is no such file.
    pub fn open(dir: &Path, write: bool) -> Result<Option<Self>, StoreError> {
        Ok(segments::parts(dir, write)?.map(|parts| Self { parts }))
    }

    /// Entries in a file without a name.
    pub fn of(file: File, path: PathBuf) -> Self {
        Self { parts: vec![Part::of(file, path)] }
    }

    /// The same files, through handles of their own.
    pub fn again(&self) -> Result<Self, StoreError> {
        Ok(Self { parts: self.parts.iter().map(Part::again).collect::<Result<_, _>>()? })
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The part that is written to: there always is one.
    fn active(&self) -> Result<&Part, StoreError> {
        self.parts.last().ok_or(StoreError::NothingToAppend)
    }

    /// The file that a byte stands in, and where there.
    pub fn place(&self, offset: u64) -> (&Path, u64) {
        let part = self.parts.iter().rev().find(|part| part.begin <= offset);
        part.map_or((Path::new("journal.jsonl"), offset), |part| (&part.path, offset - part.begin))
    }

    pub fn len(&self) -> Result<u64, StoreError> {
        let active = self.active()?;
        Ok(active.begin + active.file()?.metadata().map_err(io("read", &active.path))?.len())
    }

    /// Whether it is time to seal the active part, when the journal ends at `end`.
    pub fn is_long(&self, end: u64) -> bool {
        self.parts.last().is_some_and(|active| end.saturating_sub(active.begin) >= segments::long())
    }

    /// What tells this journal's files from others that take their place: the active part's inode, which is not given to
    /// another file while this one is open, and where it ends.
    pub fn stamp(&self) -> Result<(u64, u64), StoreError> {
        let active = self.active()?;
        let now = std::fs::metadata(&active.path).map_err(io("read", &active.path))?;
        Ok((now.ino(), active.begin + now.len()))
    }

    /// The commit: returns when the text is on the disk. When it fails, the file is as long as it was.
    pub fn append(&self, end: u64, text: &[u8]) -> Result<(), StoreError> {
        let active = self.active()?;
        let (file, at) = (active.file()?, end - active.begin);
        let written = file.write_all_at(text, at).and_then(|()| {
            crash::point();
            file.sync_data()
        });
        crash::point();
        written.map_err(|error| {
            // If this fails as well, the next writer finds a torn tail and cuts it.
            drop(file.set_len(at).and_then(|()| file.sync_data()));
            io("append to", &active.path)(error)
        })
    }

    /// Cuts off what stands after `end`, kept in a file of its own; says where.
    pub fn cut(&self, end: u64) -> Result<PathBuf, StoreError> {
        let active = self.active()?;
        let Some(at) = end.checked_sub(active.begin) else {
            let (file, offset) = self.place(end);
            return Err(StoreError::Damaged {
                what: "a sealed segment ends in something that is no entry".to_owned(),
                file: file.to_path_buf(),
                offset: Some(offset),
            });
        };
        let kept = keep_aside(&active.path, &mut self.bytes(end, self.len()?))?;
        crash::point();
        let file = active.file()?;
        file.set_len(at).and_then(|()| file.sync_data()).map_err(io("cut", &active.path))?;
        crash::point();
        Ok(kept)
    }

    /// The bytes themselves, from one offset to another.
    pub fn raw(&self, from: u64, to: u64) -> impl Read + '_ {
        self.bytes(from, to)
    }

    fn bytes(&self, from: u64, to: u64) -> Bytes<'_> {
        Bytes { parts: &self.parts, at: from, to }
    }

    fn unreadable(&self, offset: u64, error: std::io::Error) -> StoreError {
        let (file, offset) = self.place(offset);
        match error.kind() {
            ErrorKind::UnexpectedEof => StoreError::Damaged {
                what: "a sealed segment is missing, or shorter than it was".to_owned(),
                file: file.to_path_buf(),
                offset: Some(offset),
            },
            _ => io("read", file)(error),
        }
    }

    /// The raw lines in a run of bytes, each with the offset it begins at and without its line's end.
    pub fn lines(&self, from: u64, to: u64) -> Lines<'_> {
        Lines {
            reader: BufReader::with_capacity(1 << 16, self.bytes(from, to)),
            journal: self,
            at: from,
            line: Vec::new(),
        }
    }

    /// Walks the chain from a place that is known to be good, proving each entry, up to byte `to`.
    pub fn walk(&self, from: &Position, to: u64, each: &mut Visit<'_>) -> Result<Walked, StoreError> {
        self.some(from, to, u64::MAX, each)
    }

    /// The same, at most `most` entries.
    pub fn some(&self, from: &Position, to: u64, most: u64, each: &mut Visit<'_>) -> Result<Walked, StoreError> {
        let mut good = from.clone();
        let mut lines = self.lines(from.offset, to);
        let mut left = most;
        while left > 0
            && let Some(line) = lines.next_line()?
        {
            match line.follows(&good) {
                Ok(entry) => {
                    good = Position { seq: entry.seq, hash: entry.hash.clone(), offset: line.end };
                    each(entry, &good)?;
                    left -= 1;
                }
                Err(what) => {
                    if self.is_torn(&line) {
                        return Ok(Walked { good, end: End::Torn { what } });
                    }
                    // An entry in another's place was acknowledged, as one further on. A process that dies leaves no holes.
                    let later = line.entry().is_ok_and(|entry| entry.seq > good.seq);
                    let zeros = self.is_hole(&line) && self.directory().and_then(boot::is_same) == Some(true);
                    let whole = later || zeros || any_entry_after(&mut lines, good.seq)?;
                    let end = if whole { End::Damaged { what } } else { End::Torn { what } };
                    return Ok(Walked { good, end });
                }
            }
        }
        Ok(Walked { good, end: End::Clean })
    }

    /// Whether a power cut can have left this, the first line that is no entry: sectors of the last write are missing, and
    /// perhaps later ones are there.
    fn is_hole(&self, line: &Line<'_>) -> bool {
        let begin = self.parts.last().and_then(|active| line.begin.checked_sub(active.begin));
        begin.is_some_and(|begin| boot::has_holes(line.bytes, begin, !line.whole))
    }

    /// Whether a power cut has left this line of the last write. Whoever knows of an entry that stood there has to say so before
    /// this is asked.
    pub fn is_torn(&self, line: &Line<'_>) -> bool {
        self.is_hole(line) && self.directory().and_then(boot::is_same) == Some(false)
    }

    fn directory(&self) -> Option<&Path> {
        self.parts.last()?.path.parent()
    }

    /// Proves the end of the chain: at least its last 64 KiB before byte `to`.
    pub fn tail(&self, to: u64) -> Result<Walked, StoreError> {
        let mut window = TAIL;
        while window < to {
            // The first line in the window may be cut; the one after it begins at a known place.
            let mut lines = self.lines(to - window, to);
            lines.next_line()?;
            let entry = lines.next_line()?.and_then(|line| Some((line.begin, line.entry().ok()?)));
            if let Some((offset, entry)) = entry {
                let anchor = Position { seq: Seq(entry.seq.0.saturating_sub(1)), hash: entry.prev, offset };
                return self.walk(&anchor, to, &mut |_, _| Ok(()));
            }
            window = window.saturating_mul(4);
        }
        self.walk(&Position::start(), to, &mut |_, _| Ok(()))
    }

    /// Whether the entry that ends just before `place` is the one that is remembered there.
    pub fn joins(&self, place: &Position) -> Result<bool, StoreError> {
        if place.offset == 0 {
            return Ok(*place == Position::start());
        }
        let entry = self.entry_before(place.offset)?;
        Ok(entry.is_some_and(|entry| entry.seq == place.seq && entry.hash == place.hash))
    }

    /// The entry that ends just before byte `end`.
    pub fn entry_before(&self, end: u64) -> Result<Option<Entry>, StoreError> {
        let line = self.line_before(end)?;
        Ok(line.and_then(|line| Entry::parse(std::str::from_utf8(&line).ok()?).ok()))
    }

    /// The line that ends at `end`, without its line's end; `None` if no line ends there.
    fn line_before(&self, end: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let mut window = 4096;
        loop {
            let from = end.saturating_sub(window);
            let mut bytes = Vec::new();
            self.bytes(from, end).read_to_end(&mut bytes).map_err(|error| self.unreadable(from, error))?;
            if bytes.pop() != Some(b'\n') || self.len()? < end {
                return Ok(None);
            }
            match bytes.iter().rposition(|byte| *byte == b'\n') {
                Some(before) => return Ok(Some(bytes.split_off(before + 1))),
                None if from == 0 => return Ok(Some(bytes)),
                None => window *= 4,
            }
        }
    }
}

/// Whether some line further on is an entry of its own, later than `seq`.
fn any_entry_after(lines: &mut Lines<'_>, seq: Seq) -> Result<bool, StoreError> {
    while let Some(line) = lines.next_line()? {
        if line.entry().is_ok_and(|entry| entry.seq > seq) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A run of the journal's bytes; other readers of the same files are not disturbed.
struct Bytes<'f> {
    parts: &'f [Part],
    at: u64,
    to: u64,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let part = self.parts.iter().rposition(|part| part.begin <= self.at).unwrap_or_default();
        let Some(this) = self.parts.get(part) else { return Ok(0) };
        // A sealed segment ends where the next part begins, whatever its file says.
        let end = self.parts.get(part + 1).map_or(self.to, |next| next.begin.min(self.to));
        let left = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let file = this.file().map_err(|_| std::io::Error::from(ErrorKind::UnexpectedEof))?;
        let read = file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.at - this.begin)?;
        if read == 0 && most > 0 && part + 1 < self.parts.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.at += u64::try_from(read).unwrap_or(u64::MAX);
        Ok(read)
    }
}

/// Lines read one at a time into one buffer: a long journal costs no more memory than its longest line.
pub(super) struct Lines<'f> {
    reader: BufReader<Bytes<'f>>,
    journal: &'f Journal,
    at: u64,
    line: Vec<u8>,
}

/// One line as it stands in the file.
pub(super) struct Line<'l> {
    /// Without its line's end.
    bytes: &'l [u8],
    /// Whether it had one: a line without is still being written, or was cut short.
    whole: bool,
    pub begin: u64,
    pub end: u64,
}

impl Lines<'_> {
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, StoreError> {
        self.line.clear();
        let read =
            self.reader.read_until(b'\n', &mut self.line).map_err(|error| self.journal.unreadable(self.at, error))?;
        if read == 0 {
            return Ok(None);
        }
        let begin = self.at;
        self.at += u64::try_from(read).unwrap_or(u64::MAX);
        let whole = self.line.last() == Some(&b'\n');
        let bytes = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        Ok(Some(Line { bytes, whole, begin, end: self.at }))
    }
}

impl Line<'_> {
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The entry this line is, proved by its own hash.
    pub fn entry(&self) -> Result<Entry, String> {
        if !self.whole {
            return Err("the last line is cut short".to_owned());
        }
        let text = std::str::from_utf8(self.bytes).map_err(|_| "a line is not text".to_owned())?;
        Entry::parse(text).map_err(|error| error.to_string())
    }

    /// The entry this line is, if it is the one that comes next in the chain.
    pub fn follows(&self, good: &Position) -> Result<Entry, String> {
        let entry = self.entry().map_err(|what| format!("after entry {}: {what}", good.seq))?;
        if entry.seq != good.seq.next() {
            return Err(format!("entry {} stands where entry {} belongs", entry.seq, good.seq.next()));
        }
        if entry.prev != good.hash {
            return Err(format!("entry {} does not follow from entry {}: the chain is broken", entry.seq, good.seq));
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Actor, Event};
    use std::io::Write;

    /// A chain whose entries are as long as these reasons, and where each ends.
    fn chain(reasons: &[usize]) -> (Vec<u8>, Vec<Position>) {
        let (mut text, mut places) = (Vec::new(), vec![Position::start()]);
        for (number, length) in reasons.iter().enumerate() {
            let channel = format!("web/env-{number}").parse().unwrap();
            let event = Event::HoldSet { channel, reason: "r".repeat(*length) };
            let last = places.last().unwrap();
            let at = jiff::Timestamp::UNIX_EPOCH;
            let entry = Entry::seal(last.seq.next(), at, &Actor::default(), &event, &last.hash).unwrap();
            text.extend(entry.line().bytes().chain([b'\n']));
            places.push(Position { seq: entry.seq, hash: entry.hash, offset: text.len() as u64 });
        }
        (text, places)
    }

    fn journal(text: &[u8]) -> Journal {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        Journal::of(file, "journal".into())
    }

    fn walked(text: &[u8]) -> Walked {
        journal(text).walk(&Position::start(), text.len() as u64, &mut |_, _| Ok(())).unwrap()
    }

    #[test]
    fn every_changed_byte_ends_the_chain_before_it() {
        let (text, places) = chain(&[1, 2, 3]);
        assert!(matches!(walked(&text), Walked { end: End::Clean, good } if good == places[3]));
        for at in 0..text.len() {
            let mut bad = text.clone();
            bad[at] ^= 0x20;
            let whole = places.iter().rposition(|place| place.offset <= at as u64).unwrap();
            let Walked { good, end } = walked(&bad);
            // A changed line's end takes the next line with it.
            let last = whole == 2 || (whole == 1 && text[at] == b'\n');
            assert_eq!(good, places[whole], "byte {at}");
            assert_eq!(matches!(end, End::Torn { .. }), last, "byte {at}: {end:?}");
        }
    }

    #[test]
    fn the_tail_is_proved_however_long_its_lines_are() {
        for reasons in [vec![10; 500], vec![200_000, 10], vec![10, 200_000], vec![70_000; 4], vec![10]] {
            let (text, places) = chain(&reasons);
            let len = text.len() as u64;
            let tail = journal(&text).tail(len).unwrap();
            assert_eq!((&tail.good, tail.end), (places.last().unwrap(), End::Clean));
            let mut bad = text.clone();
            bad[text.len() - 30] ^= 1;
            assert_eq!(journal(&bad).tail(len).unwrap().good, places[places.len() - 2]);
            for place in &places {
                assert!(journal(&text).joins(place).unwrap());
                let elsewhere = Position { offset: place.offset + 1, ..place.clone() };
                assert!(!journal(&text).joins(&elsewhere).unwrap());
            }
        }
    }

    #[test]
    fn entries_that_were_swapped_or_left_out_are_no_chain() {
        let (text, places) = chain(&[1, 1, 1]);
        let part = |number: usize| &text[places[number - 1].offset as usize..places[number].offset as usize];
        let swapped = [part(1), part(3), part(2)].concat();
        let Walked { good, end } = walked(&swapped);
        assert_eq!(
            (good, end),
            (places[1].clone(), End::Damaged { what: "entry 3 stands where entry 2 belongs".into() })
        );
        let left_out = [part(1), part(3)].concat();
        assert_eq!(walked(&left_out).good, places[1]);
    }
}
