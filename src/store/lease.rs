//! One open index, shared by what this process does in quick succession, and let go of as soon as it pauses.

use super::index::{Index, OpenError};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// Opening costs more than many appends, so a burst of them opens once; it is closed after one to two such pauses.
/// Neither readers nor writers of other processes wait for it.
const IDLE: Duration = Duration::from_millis(400);

/// The index, while it is open.
#[derive(Default)]
pub(super) struct Lease(Mutex<Option<Held>>);

struct Held {
    index: Arc<Index>,
    /// Whether it was used since the watch last looked.
    used: bool,
}

impl Lease {
    /// The index, if it is open and sound.
    pub fn current(&self) -> Option<Arc<Index>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_mut().filter(|held| held.index.broken().is_none())?;
        held.used = true;
        Some(held.index.clone())
    }

    /// The index, opened if it is not. The caller holds the ledger's lock.
    pub fn open(self: &Arc<Self>, path: &Path, patience: Duration) -> Result<Arc<Index>, OpenError> {
        if let Some(index) = self.current() {
            return Ok(index);
        }
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = held.take().and_then(|held| held.index.broken()) {
            return Err(OpenError::Broken(why));
        }
        let index = Arc::new(Index::open(path, patience)?);
        *held = Some(Held { index: index.clone(), used: true });
        drop(held);
        self.close_when_idle();
        Ok(index)
    }

    pub fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn close_when_idle(self: &Arc<Self>) {
        let lease = Arc::downgrade(self);
        let watch = move || {
            thread::sleep(IDLE);
            while Weak::upgrade(&lease).is_some_and(|lease| !lease.close_if_idle()) {
                thread::sleep(IDLE);
            }
        };
        // Without the thread the index stays open until the store is dropped: slower for others, not wrong.
        drop(thread::Builder::new().name("ledger-lease".to_owned()).spawn(watch));
    }

    /// Whether it is closed now.
    fn close_if_idle(&self) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_mut().filter(|held| held.used) {
            held.used = false;
            return false;
        }
        let idle = held.take();
        // Closing writes; whoever asks meanwhile must not wait for this lock but for sled's, and in vain at most once.
        drop(held);
        drop(idle);
        true
    }
}
