//! The writers' lock: one file, held for as long as one deed takes, never while waiting for anything but the disk.

use super::StoreError;
use super::files::io;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

const WORD_LENGTH: usize = 201;

/// Held until dropped; the system lets go of it when the process dies.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits at most `wait`, then says who has it.
    pub fn take(dir: &Path, wait: Duration) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open().map_err(io("open", &path))?;
        let file = match file.try_lock() {
            Ok(()) => file,
            Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error)),
            Err(TryLockError::WouldBlock) => match waited(file, wait) {
                Some(file) => file.map_err(io("lock", &path))?,
                None => {
                    let holder = open().ok().and_then(|file| holder(&file));
                    return Err(StoreError::Busy { dir: dir.to_path_buf(), holder, waited: wait });
                }
            },
        };
        record(&file);
        Ok(Self { _file: file })
    }
}

/// Waits in the system's own queue, where everybody's turn comes; `None` when it takes too long. The thread that waits
/// then lets go as soon as it has it.
fn waited(file: File, wait: Duration) -> Option<std::io::Result<File>> {
    let (send, receive) = channel();
    let block = move || drop(send.send(file.lock().map(|()| file)));
    thread::Builder::new().name("ledger-lock".to_owned()).spawn(block).ok()?;
    receive.recv_timeout(wait).ok()
}

/// Leaves word of who holds it, for the one who waits in vain.
fn record(file: &File) {
    static WORD: OnceLock<String> = OnceLock::new();
    let word = WORD.get_or_init(word);
    let mut before = [0; WORD_LENGTH];
    // Written only when it is news: a changed file makes the journal's fdatasync dearer. Its loss is no error.
    if file.read_exact_at(&mut before, 0).is_err() || before != *word.as_bytes() {
        drop(file.write_all_at(word.as_bytes(), 0));
    }
}

/// Padded to one length, so that one write replaces a longer word. Arguments are not in it: they may hold secrets.
fn word() -> String {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    let program = Path::new(&program).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let verbs: Vec<String> = words
        .take_while(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
        .take(2)
        .collect();
    let mut text = format!("process {} ({program} {})", std::process::id(), verbs.join(" ")).into_bytes();
    text.resize(WORD_LENGTH - 1, b' ');
    text.push(b'\n');
    String::from_utf8_lossy(&text).into_owned()
}

fn holder(file: &File) -> Option<String> {
    let mut text = String::new();
    let mut file = file;
    file.read_to_string(&mut text).ok()?;
    let text = text.trim().replace(" )", ")");
    (!text.is_empty()).then_some(text)
}
