//! The writers' lock: one file, held for as long as one deed takes, never while waiting for anything but the disk.

use super::StoreError;
use super::files::io;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Held until dropped; the system lets go of it when the process dies.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits at most `wait`, then says who has it.
    pub fn take(dir: &Path, wait: Duration) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io("open", &path))?;
        // Pauses are what is counted: the store asks no clock.
        let mut waited = Duration::ZERO;
        let mut pause = Duration::from_micros(200);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error)),
                Err(TryLockError::WouldBlock) if waited >= wait => {
                    return Err(StoreError::Busy { dir: dir.to_path_buf(), holder: holder(&file), waited });
                }
                Err(TryLockError::WouldBlock) => sleep(pause),
            }
            waited += pause;
            pause = (pause * 2).min(Duration::from_millis(5));
        }
        record(&file);
        Ok(Self { _file: file })
    }
}

/// Leaves word of who holds it, for the one who waits in vain. Arguments are not written: they may hold secrets.
fn record(file: &File) {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    let program = Path::new(&program).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let verbs: Vec<String> = words
        .take_while(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
        .take(2)
        .collect();
    let text = format!("process {} ({program} {})", std::process::id(), verbs.join(" "));
    // Padded to one length, so that one write replaces a longer word; the word is a courtesy, its loss no error.
    let text = format!("{text:<200.200}\n");
    let mut before = vec![0; text.len()];
    // Written only when it is news: a changed file makes the journal's fdatasync dearer.
    if file.read_exact_at(&mut before, 0).is_err() || before != text.as_bytes() {
        drop(file.write_all_at(text.as_bytes(), 0));
    }
}

fn holder(file: &File) -> Option<String> {
    let mut text = String::new();
    let mut file = file;
    file.read_to_string(&mut text).ok()?;
    let text = text.trim().replace(" )", ")");
    (!text.is_empty()).then_some(text)
}
