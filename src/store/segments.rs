//! Segments: the journal is cut where it has grown long, and what is cut off is sealed and never written again.
//!
//! `journal.jsonl` is the end of the chain. `segments/OFFSET.jsonl` is what came before, each file named by the offset
//! of its first byte in the whole chain, with `OFFSET.seal` beside it: what was in it when it was sealed.

use super::files::{io, sync_dir, write_whole};
use super::journal::{self, Journal};
use super::prove::{self, Proved};
use super::{StoreError, crash};
use crate::model::{Digest, Seq};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How long the journal's active part gets.
const LONG: u64 = 64 << 20;
/// Tests cannot write so much.
const LONG_IN_TESTS: &str = "IMGCTL_TEST_SEGMENT_BYTES";

/// One file of the journal.
pub(super) struct Part {
    pub path: PathBuf,
    /// The offset of its first byte.
    pub begin: u64,
    file: OnceLock<File>,
}

/// What was in a segment when it was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The version of this form.
    pub v: u32,
    pub first: Seq,
    pub last: Seq,
    pub bytes: u64,
    /// The hash of the entry before the first.
    pub prev: Digest,
    /// The hash of the last entry.
    pub hash: Digest,
    /// The SHA-256 digest of the file.
    pub digest: Digest,
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("segments")
}

fn name(begin: u64, extension: &str) -> String {
    format!("{begin:016}.{extension}")
}

pub(super) fn long() -> u64 {
    static LIMIT: OnceLock<u64> = OnceLock::new();
    *LIMIT.get_or_init(|| std::env::var(LONG_IN_TESTS).ok().and_then(|text| text.parse().ok()).unwrap_or(LONG))
}

impl Part {
    pub fn of(file: File, path: PathBuf) -> Self {
        Self { path, begin: 0, file: OnceLock::from(file) }
    }

    /// The segment of the ledger in `dir` that begins at this offset.
    pub fn sealed(dir: &Path, begin: u64) -> Self {
        Self { path: path(dir).join(name(begin, "jsonl")), begin, file: OnceLock::new() }
    }

    /// Opened when it is first read.
    pub fn file(&self) -> Result<&File, StoreError> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = File::open(&self.path).map_err(io("open", &self.path))?;
        Ok(self.file.get_or_init(|| file))
    }

    /// The same file, through a handle of its own.
    pub fn again(&self) -> Result<Self, StoreError> {
        let file = self.file()?.try_clone().map_err(io("open", &self.path))?;
        Ok(Self { path: self.path.clone(), begin: self.begin, file: OnceLock::from(file) })
    }

    pub fn seal_path(&self) -> PathBuf {
        self.path.with_extension("seal")
    }

    /// What was noted when it was sealed; `None` if that is missing or cannot be read.
    pub fn seal(&self) -> Option<Seal> {
        serde_json::from_str(&fs::read_to_string(self.seal_path()).ok()?).ok()
    }
}

/// Every file of the journal, in order; `None` when there is none at all.
pub(super) fn parts(dir: &Path, write: bool) -> Result<Option<Vec<Part>>, StoreError> {
    loop {
        let active = open_active(dir, write)?;
        let begins = begins(dir)?;
        let mut parts: Vec<Part> = begins.iter().map(|begin| Part::sealed(dir, *begin)).collect();
        let Some(active) = active else {
            if parts.is_empty() {
                return Ok(None);
            }
            // The active part is lost, or was moved away a moment ago by one who seals it.
            if write {
                write_whole(&journal::path(dir), |_| Ok(()), || Ok(()))?;
                continue;
            }
            let end = end_of(&parts)?;
            parts.push(Part { path: journal::path(dir), begin: end, file: empty()? });
            return Ok(Some(parts));
        };
        if is_same(&active, parts.last())? {
            // Being sealed at this moment, or by a process that died: until it is done it is the active part.
            let begin = parts.pop().map_or(0, |part| part.begin);
            parts.push(Part { path: journal::path(dir), begin, file: OnceLock::from(active) });
            return Ok(Some(parts));
        }
        let begin = if parts.is_empty() { 0 } else { end_of(&parts)? };
        parts.push(Part { path: journal::path(dir), begin, file: OnceLock::from(active) });
        return Ok(Some(parts));
    }
}

fn open_active(dir: &Path, write: bool) -> Result<Option<File>, StoreError> {
    let path = journal::path(dir);
    match OpenOptions::new().read(true).write(write).open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io("open", &path)(error)),
    }
}

/// A file that is gone is as good as an empty one for who only reads.
fn empty() -> Result<OnceLock<File>, StoreError> {
    Ok(OnceLock::from(tempfile::tempfile().map_err(io("create", Path::new("a temporary file")))?))
}

/// Where the segments begin, by the names of their files and of their seals: one of the two tells of the other's loss.
fn begins(dir: &Path) -> Result<BTreeSet<u64>, StoreError> {
    let path = path(dir);
    let listing = match fs::read_dir(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        listing => listing.map_err(io("read", &path))?,
    };
    let mut begins = BTreeSet::new();
    for entry in listing {
        let name = entry.map_err(io("read", &path))?.file_name();
        let name = name.to_string_lossy();
        let stem = name.strip_suffix(".jsonl").or_else(|| name.strip_suffix(".seal"));
        begins.extend(stem.filter(|stem| stem.len() == 16).and_then(|stem| stem.parse::<u64>().ok()));
    }
    Ok(begins)
}

/// Where the last segment ends: as its seal says, else as long as its file is.
fn end_of(parts: &[Part]) -> Result<u64, StoreError> {
    let Some(last) = parts.last() else { return Ok(0) };
    let bytes = match last.seal() {
        Some(seal) => seal.bytes,
        None => fs::metadata(&last.path).map_err(io("read", &last.path))?.len(),
    };
    Ok(last.begin + bytes)
}

fn is_same(active: &File, last: Option<&Part>) -> Result<bool, StoreError> {
    let Some(last) = last else { return Ok(false) };
    let Ok(sealed) = fs::metadata(&last.path) else { return Ok(false) };
    let active = active.metadata().map_err(io("read", &last.path))?;
    Ok((sealed.dev(), sealed.ino()) == (active.dev(), active.ino()))
}

/// Seals the active part, which ends at `end` and is proved; a new one begins after it. The caller holds the lock.
pub(super) fn seal(dir: &Path, journal: &Journal) -> Result<(), StoreError> {
    let Some(active) = journal.parts().last() else { return Ok(()) };
    let segments = path(dir);
    fs::create_dir_all(&segments).map_err(io("create", &segments))?;
    sync_dir(dir)?;
    let to = segments.join(name(active.begin, "jsonl"));
    if !to.exists() && fs::hard_link(&active.path, &to).is_err() {
        // A file system without hard links: for a moment there is no active part.
        fs::rename(&active.path, &to).map_err(io("rename", &active.path))?;
    }
    crash::point();
    sync_dir(&segments)?;
    write_whole(&active.path, |_| Ok(()), || Ok(()))?;
    crash::point();
    write_missing_seals(dir)
}

/// Finishes what a process that died while sealing left half done.
pub(super) fn finish(dir: &Path, journal: &Journal) -> Result<bool, StoreError> {
    let Some(active) = journal.parts().last() else { return Ok(false) };
    if path(dir).join(name(active.begin, "jsonl")).exists() {
        seal(dir, journal)?;
        return Ok(true);
    }
    Ok(false)
}

/// Proves every segment that has no seal, and seals it.
pub(super) fn write_missing_seals(dir: &Path) -> Result<(), StoreError> {
    let Some(journal) = Journal::open(dir, false)? else { return Ok(()) };
    for pair in journal.parts().windows(2) {
        let [part, next] = pair else { continue };
        if !part.seal_path().exists() {
            write_seal(part, &describe(&journal, part, next.begin)?)?;
        }
    }
    Ok(())
}

pub(super) fn write_seal(part: &Part, seal: &Seal) -> Result<(), StoreError> {
    let path = part.seal_path();
    let text = serde_json::to_string(seal).map_err(|error| io("write", &path)(error.into()))?;
    write_whole(&path, |out| writeln!(out, "{text}").map_err(io("write", &path)), || Ok(()))
}

/// What stands in a segment, every entry of it proved.
pub(super) fn describe(journal: &Journal, part: &Part, end: u64) -> Result<Seal, StoreError> {
    let Proved { before, end: last, broken, digest, .. } = prove::part(journal, part, end, None, &|_| ())?;
    if last.seq == Seq(0) || last.offset == part.begin {
        return Err(unsealable(part, "it does not begin with an entry"));
    }
    if broken.is_some() || last.offset != end {
        return Err(unsealable(part, &format!("after entry {} the chain is broken", last.seq)));
    }
    let bytes = end - part.begin;
    Ok(Seal { v: 1, first: before.seq.next(), last: last.seq, bytes, prev: before.hash, hash: last.hash, digest })
}

fn unsealable(part: &Part, what: &str) -> StoreError {
    StoreError::Damaged {
        what: format!("a segment cannot be sealed: {what}"),
        file: part.path.clone(),
        offset: Some(0),
    }
}

/// The SHA-256 digest of a segment's file.
pub(super) fn digest(part: &Part) -> Result<Digest, StoreError> {
    let mut file = File::open(&part.path).map_err(io("open", &part.path))?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer).map_err(io("read", &part.path))? {
            0 => break,
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    Ok(Digest::of_hash(&hasher.finalize().into()))
}
