//! Handing changes to the index while the next ones are being composed: sled and the fold each keep a core busy.

use super::index::Index;
use super::records::Changes;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// From how many entries at once on it is worth a thread.
pub(super) const MANY: usize = 64;
/// How many batches may wait.
const WAITING: usize = 4;
/// How long the index is held open for a next batch.
const IDLE: Duration = Duration::from_millis(400);

/// A thread that brings batches into the index, in order.
pub(super) struct Feed {
    batches: Option<SyncSender<Vec<Changes>>>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// `None` when there is no thread to be had: then the index is brought up to date later.
    pub fn start(index: Arc<Index>) -> Option<Self> {
        let (send, receive) = sync_channel::<Vec<Changes>>(WAITING);
        let feed = move || {
            // An index that nobody feeds is let go of: another process may want it.
            while let Ok(batch) = receive.recv_timeout(IDLE) {
                // From the first failure on nothing more is handed over: what is there stays a state that once was.
                for piece in batch {
                    if index.apply(piece).and_then(|()| index.settle()).is_err() {
                        return;
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("ledger-feed".to_owned()).spawn(feed).ok()?;
        Some(Self { batches: Some(send), thread: Some(thread) })
    }

    /// Waits when too many are waiting already. `false` once the thread has ended: the index is brought up to date later.
    pub fn give(&self, batch: Vec<Changes>) -> bool {
        self.batches.as_ref().is_some_and(|batches| batches.send(batch).is_ok())
    }
}

impl Drop for Feed {
    /// Waits until all that was given is in the index.
    fn drop(&mut self) {
        drop(self.batches.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
