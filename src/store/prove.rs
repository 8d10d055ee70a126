//! Proof of the journal: every line's hash, every link, every segment's digest, and the index's line beside each.

use super::StoreError;
use super::index::Index;
use super::journal::{Journal, Line};
use super::known::damaged;
use super::records::{Position, entry_key};
use super::segments::Part;
use crate::model::{Digest, Entry, Seq};
use sha2::{Digest as _, Sha256};

/// How many bytes are read between two reports of progress.
const REPORT: u64 = 1 << 20;

/// What a line says of its place in the chain, proved by its hash.
struct Link {
    seq: Seq,
    prev: Digest,
    hash: Digest,
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
    let (mut before, mut last): (Option<Position>, Option<Position>) = (None, None);
    let (mut broken, mut differs) = (None, None);
    let mut beside = None;
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
            let start =
                Position { seq: Seq(link.seq.0.saturating_sub(1)), hash: link.prev.clone(), offset: part.begin };
            before = Some(start.clone());
            start
        });
        if link.seq != good.seq.next() {
            broken = Some(format!("entry {} stands where entry {} belongs", link.seq, good.seq.next()));
            break;
        }
        if link.prev != good.hash {
            broken = Some(format!("entry {} does not follow from entry {}: the chain is broken", link.seq, good.seq));
            break;
        }
        if let Some(index) = index.filter(|_| differs.is_none()) {
            let rows = beside.get_or_insert_with(|| index.rows(&entry_key(link.seq), "f"));
            let same = rows.next().transpose()?.is_some_and(|(_, value)| value.as_ref() == line.bytes());
            differs = (!same).then_some(link.seq);
        }
        *good = Position { seq: link.seq, hash: link.hash, offset: line.end };
        if line.end - reported >= REPORT {
            report(line.end - reported);
            reported = line.end;
        }
    }
    let start = || Position { offset: part.begin, ..Position::start() };
    let end = last.unwrap_or_else(start);
    report(end.offset - reported);
    let digest = format!("sha256:{}", hex::encode(hasher.finalize())).parse();
    let digest = digest.map_err(|_| damaged(journal, &end, "a digest is none".to_owned()))?;
    Ok(Proved { before: before.unwrap_or_else(start), end, broken, index: differs, digest })
}

/// Proves a line by its own hash. What imgctl wrote ends in these members: they are found without reading the rest.
fn link(line: &Line<'_>) -> Result<Link, String> {
    if line.is_whole()
        && let Some(link) = quick(line.bytes())
    {
        return Ok(link);
    }
    let entry = line.entry()?;
    Ok(Link { seq: entry.seq, prev: entry.prev, hash: entry.hash })
}

/// `None` where the line is another one than imgctl writes today; then it is read as a whole.
fn quick(line: &[u8]) -> Option<Link> {
    // …,"hash":"sha256:64","prev":"sha256:64","seq":N,"v":1}
    let text = std::str::from_utf8(line).ok()?;
    let (rest, seq) = text.strip_suffix(&format!(",\"v\":{}}}", crate::model::FORMAT))?.rsplit_once(",\"seq\":")?;
    let (rest, prev) = rest.strip_suffix('"')?.rsplit_once(",\"prev\":\"")?;
    let (body, hash) = rest.strip_suffix('"')?.rsplit_once(",\"hash\":\"")?;
    let after = text.get(rest.len() + 1..)?;
    let mut hasher = Sha256::new();
    hasher.update(body);
    hasher.update(after);
    let hash: Digest = hash.parse().ok()?;
    (format!("sha256:{}", hex::encode(hasher.finalize())) == hash.as_str()).then_some(())?;
    Some(Link { seq: Seq(seq.parse().ok()?), prev: prev.parse().ok()?, hash })
}

/// The first entry's own time, and the last one's.
pub(super) fn entry_at(journal: &Journal, offset: u64, to: u64) -> Result<Option<Entry>, StoreError> {
    Ok(journal.lines(offset, to).next_line()?.and_then(|line| line.entry().ok()))
}
