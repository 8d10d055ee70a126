//! Files that must survive a power cut, and files that are put aside: nothing in a ledger is ever deleted.

use super::{StoreError, crash};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The error of something done to `path`.
pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Io { doing, path, source }
}

/// Makes names that were created, moved or removed in `dir` survive a power cut.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("write", dir))
}

/// Writes a whole file under a temporary name, then puts it in place: after a crash it is there in full or not at all.
pub(super) fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), StoreError>,
    put: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let new = path.with_extension("new");
    let file = File::create(&new).map_err(io("create", &new))?;
    crash::point();
    let mut out = BufWriter::with_capacity(1 << 16, file);
    fill(&mut out)?;
    let file = out.into_inner().map_err(|error| io("write", &new)(error.into_error()))?;
    crash::point();
    file.sync_all().map_err(io("write", &new))?;
    crash::point();
    put()?;
    fs::rename(&new, path).map_err(io("rename", &new))?;
    crash::point();
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// The first name `NAME.bad.N` that is free beside `path` (`journal.jsonl` → `journal.bad.1`).
fn aside(path: &Path) -> PathBuf {
    let mut number = 1u64;
    loop {
        let candidate = path.with_extension(format!("bad.{number}"));
        if !candidate.exists() {
            return candidate;
        }
        number += 1;
    }
}

/// Moves a damaged file or directory aside, and says where to. The caller holds the ledger's lock.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let to = aside(path);
    fs::rename(path, &to).map_err(io("move aside", path))?;
    crash::point();
    sync_dir(path.parent().unwrap_or(Path::new(".")))?;
    Ok(to)
}

/// Keeps a file that is about to be replaced under a second name, so that the first is never without one.
pub(super) fn keep_replaced(path: &Path) -> Result<PathBuf, StoreError> {
    let to = aside(path);
    if fs::hard_link(path, &to).is_err() {
        // A file system without hard links.
        fs::rename(path, &to).map_err(io("move aside", path))?;
    }
    crash::point();
    Ok(to)
}

/// Keeps bytes that are about to be cut off, durably, and says where.
pub(super) fn keep_aside(path: &Path, bytes: &mut dyn std::io::Read) -> Result<PathBuf, StoreError> {
    let to = aside(path);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&to).map_err(io("create", &to))?;
    crash::point();
    std::io::copy(bytes, &mut file).map_err(io("write", &to))?;
    file.sync_all().map_err(io("write", &to))?;
    crash::point();
    sync_dir(to.parent().unwrap_or(Path::new(".")))?;
    Ok(to)
}

/// A name without its directory, for messages.
pub(super) fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
