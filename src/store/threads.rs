//! Work that is done on some threads at once, answered in order.

use super::StoreError;
use std::collections::VecDeque;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};

const WORKERS: usize = 8;

/// Does one job; hears of bytes as they are done.
pub(super) type Run<'r, J, T> = dyn Fn(J, &dyn Fn(u64)) -> Result<T, StoreError> + Sync + 'r;

/// Runs jobs on some threads; the answers come in the order of the jobs.
pub(super) fn side_by_side<J: Send, T: Send>(
    jobs: VecDeque<J>,
    total: u64,
    progress: &mut dyn FnMut(u64, u64),
    run: &Run<'_, J, T>,
) -> Result<Vec<T>, StoreError> {
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(WORKERS).min(jobs.len().max(1));
    let numbered = Mutex::new(jobs.into_iter().enumerate().collect::<VecDeque<_>>());
    let (send, receive) = channel::<u64>();
    let work = |send: std::sync::mpsc::Sender<u64>| {
        let mut answers = Vec::new();
        loop {
            let job = numbered.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((number, job)) = job else { return answers };
            answers.push((number, run(job, &|bytes| send.send(bytes).unwrap_or_default())));
        }
    };
    let mut answers = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| send.clone()).map(|send| scope.spawn(|| work(send))).collect();
        drop(send);
        let mut done = 0;
        for bytes in receive {
            done += bytes;
            progress(done.min(total), total);
        }
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}
