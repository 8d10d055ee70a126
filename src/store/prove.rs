//! Proof of the journal: every line's hash, every link, every segment's digest, and the index's line beside each.

use super::StoreError;
use super::index::Index;
use super::journal::{Journal, Line};
use super::packed::Lines;
use super::records::Position;
use super::segments::Part;
use crate::model::{Digest, Entry, Seq};
use sha2::{Digest as _, Sha256};

/// How many bytes are read between two reports of progress.
const REPORT: u64 = 1 << 20;

/// `sha256:` and 64 digits.
const DIGEST: usize = 71;

/// A digest as it is written: a million of them are compared, few are read.
type Hash = [u8; DIGEST];

/// What a line says of its place in the chain, proved by its hash.
struct Link {
    seq: Seq,
    prev: Hash,
    hash: Hash,
}

/// One part of the journal that was proved: where it begins, where it ends, and what comes after that.
pub(super) struct Proved {
    pub before: Position,
    pub end: Position,
    /// Why it does not end at its last byte.
    pub broken: Option<String>,
    /// The first entry that the index has otherwise, or not at all.
    pub index: Option<Seq>,
    pub digest: Digest,
}

/// The last entry that was proved.
struct Last {
    seq: Seq,
    hash: Hash,
    offset: u64,
}

impl Last {
    fn position(&self) -> Position {
        // It was proved to be one, or it is one that the next line claims; which is for the chain to tell.
        let hash = std::str::from_utf8(&self.hash).ok().and_then(|text| text.parse().ok());
        Position { seq: self.seq, hash: hash.unwrap_or(Digest::of(b"")), offset: self.offset }
    }
}

/// Proves one part, which ends before byte `end`. `report` hears of bytes.
pub(super) fn part(
    journal: &Journal,
    part: &Part,
    end: u64,
    index: Option<&Index>,
    report: &dyn Fn(u64),
) -> Result<Proved, StoreError> {
    let mut lines = journal.lines(part.begin, end);
    let mut hasher = Sha256::new();
    let (mut before, mut last): (Option<Position>, Option<Last>) = (None, None);
    let (mut broken, mut differs, mut beside) = (None, None, None);
    let mut reported = part.begin;
    while let Some(line) = lines.next_line()? {
        hasher.update(line.bytes());
        hasher.update(if line.is_whole() { &b"\n"[..] } else { &[] });
        let link = match link(&line) {
            Ok(link) => link,
            Err(what) => {
                broken = Some(what);
                break;
            }
        };
        let good = last.get_or_insert_with(|| {
            let start = Last { seq: Seq(link.seq.0.saturating_sub(1)), hash: link.prev, offset: part.begin };
            before = Some(start.position());
            start
        });
        broken = unlinked(good, &link);
        if broken.is_some() {
            break;
        }
        if let Some(index) = index.filter(|_| differs.is_none()) {
            let beside = match &mut beside {
                Some(beside) => beside,
                none => none.insert(Lines::of(index, link.seq)?),
            };
            differs = (!beside.next_is(link.seq, line.bytes())?).then_some(link.seq);
        }
        *good = Last { seq: link.seq, hash: link.hash, offset: line.end };
        if line.end - reported >= REPORT {
            report(line.end - reported);
            reported = line.end;
        }
    }
    let start = || Position { offset: part.begin, ..Position::start() };
    let end = last.as_ref().map_or_else(start, Last::position);
    report(end.offset.saturating_sub(reported));
    let digest = Digest::of_hash(&hasher.finalize().into());
    Ok(Proved { before: before.unwrap_or_else(start), end, broken, index: differs, digest })
}

/// Why `link` is not the one that comes after `good`.
fn unlinked(good: &Last, link: &Link) -> Option<String> {
    if link.seq != good.seq.next() {
        return Some(format!("entry {} stands where entry {} belongs", link.seq, good.seq.next()));
    }
    let broken = link.prev != good.hash;
    broken.then(|| format!("entry {} does not follow from entry {}: the chain is broken", link.seq, good.seq))
}

/// Proves a line by its own hash. What imgctl wrote ends in these members: they are found without reading the rest.
fn link(line: &Line<'_>) -> Result<Link, String> {
    if line.is_whole()
        && let Some(link) = quick(line.bytes())
    {
        return Ok(link);
    }
    let entry = line.entry()?;
    let bytes = |digest: &Digest| digest.as_str().as_bytes().try_into().map_err(|_| "a hash of another algorithm");
    Ok(Link { seq: entry.seq, prev: bytes(&entry.prev)?, hash: bytes(&entry.hash)? })
}

/// `None` where the line is another one than imgctl writes today; then it is read as a whole.
fn quick(line: &[u8]) -> Option<Link> {
    // …,"hash":"sha256:…","prev":"sha256:…","seq":N,"v":1}
    let rest = line.strip_suffix(b",\"v\":1}")?;
    let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (rest, seq) = rest.split_at_checked(rest.len() - digits)?;
    let (rest, prev) = last(rest.strip_suffix(b"\",\"seq\":")?)?;
    let body_and_hash = rest.strip_suffix(b"\",\"prev\":\"")?;
    let (rest, own) = last(body_and_hash)?;
    let body = rest.strip_suffix(b",\"hash\":\"")?;
    let mut hasher = Sha256::new();
    hasher.update(body);
    hasher.update(line.get(body_and_hash.len() + 1..)?);
    let mut digits = [0; DIGEST - 7];
    hex::encode_to_slice(hasher.finalize(), &mut digits).ok()?;
    (own.strip_prefix(b"sha256:")? == digits).then_some(())?;
    Some(Link {
        seq: Seq(std::str::from_utf8(seq).ok()?.parse().ok()?),
        prev: prev.try_into().ok()?,
        hash: own.try_into().ok()?,
    })
}

/// The last bytes, as long as a digest is, and those before.
fn last(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)
}

/// The first entry's own time, and the last one's.
pub(super) fn entry_at(journal: &Journal, offset: u64, to: u64) -> Result<Option<Entry>, StoreError> {
    Ok(journal.lines(offset, to).next_line()?.and_then(|line| line.entry().ok()))
}
