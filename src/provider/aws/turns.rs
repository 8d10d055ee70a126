//! How many calls to one service of one region are under way at the same time: fewer when AWS throttles, slowly more
//! when it does not.
//!
//! AWS counts requests per account, region and service (a token bucket each), so that is what is counted here too. A
//! call keeps its turn while the SDK waits to ask again: with less room fewer are asked *and* fewer wait to be, so the
//! rate falls as far as it must, and what is in progress always goes on. The SDK's adaptive mode is not used: it keeps
//! one rate for all accounts of a process, knows no rate in the first half second of it, and falls to one request in two
//! seconds at the first refusal then (`aws-smithy-runtime`, `ClientRateLimiter`).

use super::failure::{THROTTLED, is_throttled};
use super::{Aws, Service};
use crate::model::Region;
use aws_sdk_ec2::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_ec2::config::retry::{RetryPartition, TokenBucket};
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::{BoxError, ProvideErrorMetadata, SdkError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// So many calls at first: below every burst that AWS documents for the reads made here (ECS: 50; EC2: 50).
const AT_FIRST: f64 = 8.0;
const AT_MOST: f64 = 32.0;

/// What repetitions may cost before there are no more, in the SDK's own unit: 400 of them at once, and four a second from
/// then on.
const QUOTA: usize = 2000;
const QUOTA_A_SECOND: f32 = 20.0;
const A_REPETITION: u32 = 5;

/// The bound on all repetitions to one service of one region with one set of credentials. The SDK's own is a quarter of
/// it, shared by all accounts, and comes back only with calls that succeed at once: a fleet that is throttled for a
/// minute would be left without any.
pub(super) fn quota(name: String) -> RetryPartition {
    let bucket = TokenBucket::builder().capacity(QUOTA).refill_rate(QUOTA_A_SECOND);
    let bucket = bucket.retry_cost(A_REPETITION).throttling_retry_cost(A_REPETITION);
    RetryPartition::custom(name).token_bucket(bucket.timeout_retry_cost(2 * A_REPETITION).build()).build()
}

/// The room for calls to one service of one region with one set of credentials.
#[derive(Debug)]
pub(super) struct Turns {
    room: Mutex<Room>,
    freed: Notify,
}

#[derive(Debug)]
struct Room {
    limit: f64,
    taken: u32,
    /// So many answers belong to calls that were under way when the limit last fell: their refusals are of the old pace.
    of_old_pace: u32,
}

/// Room for one call, until it is dropped.
#[derive(Debug)]
struct Turn(Arc<Turns>);

impl Default for Turns {
    fn default() -> Self {
        let room = Room { limit: AT_FIRST, taken: 0, of_old_pace: 0 };
        Self { room: Mutex::new(room), freed: Notify::new() }
    }
}

impl Turns {
    async fn take(self: &Arc<Self>) -> Turn {
        loop {
            let freed = self.freed.notified();
            if self.room().enter() {
                return Turn(Arc::clone(self));
            }
            freed.await;
        }
    }

    fn answered(&self, throttled: bool) {
        self.room().answered(throttled);
        // There may be room for one more.
        self.freed.notify_one();
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.room().taken -= 1;
        self.0.freed.notify_one();
    }
}

impl Room {
    fn enter(&mut self) -> bool {
        let enters = f64::from(self.taken) + 1.0 <= self.limit;
        self.taken += u32::from(enters);
        enters
    }

    /// Additive increase, multiplicative decrease: one more after a whole round of answers, half at a refusal.
    fn answered(&mut self, throttled: bool) {
        if !throttled {
            self.limit = (self.limit + 1.0 / self.limit).min(AT_MOST);
        } else if self.of_old_pace == 0 {
            self.limit = (self.limit / 2.0).max(1.0);
            self.of_old_pace = self.taken;
        }
        self.of_old_pace = self.of_old_pace.saturating_sub(1);
    }
}

/// Tells of every answer, also of those that the SDK asks again about by itself.
#[derive(Debug)]
pub(super) struct Listener(pub(super) Arc<Turns>);

impl Intercept for Listener {
    fn name(&self) -> &'static str {
        "Turns"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(answer) = context.response() {
            let says = |body: &[u8]| {
                let body = String::from_utf8_lossy(body);
                THROTTLED.iter().any(|code| body.contains(code))
            };
            // Errors are short and read whole; every protocol has the code in the body.
            let throttled = answer.status().as_u16() >= 400 && answer.body().bytes().is_some_and(says);
            self.0.answered(throttled);
        }
        Ok(())
    }
}

impl Aws {
    /// One call, when its turn comes. A turn is taken by nothing that waits for another one.
    pub(in crate::provider) async fn in_turn<T>(
        &self,
        service: Service,
        region: &Region,
        call: impl Future<Output = T>,
    ) -> T {
        let turn = self.turns(service, region).take().await;
        let answer = call.await;
        drop(turn);
        answer
    }

    /// One call of many. One that is still throttled after all of the SDK's own repetitions is made once more, at the
    /// end of the queue and at the pace that AWS has taught meanwhile: ten attempts at most.
    pub(in crate::provider) async fn patiently<T, E, F>(
        &self,
        service: Service,
        region: &Region,
        call: impl Fn() -> F,
    ) -> Result<T, SdkError<E>>
    where
        E: ProvideErrorMetadata,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        match self.in_turn(service, region, call()).await {
            Err(error) if error.code().is_some_and(is_throttled) => self.in_turn(service, region, call()).await,
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(turns: &Turns) -> f64 {
        turns.room().limit
    }

    /// Takes as many turns as there are.
    async fn fill(turns: &Arc<Turns>) -> Vec<Turn> {
        let mut taken = Vec::new();
        while let Ok(turn) = tokio::time::timeout(std::time::Duration::from_millis(1), turns.take()).await {
            taken.push(turn);
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_halves_the_room_once_for_all_that_was_under_way() {
        let turns = Arc::new(Turns::default());
        let taken = fill(&turns).await;
        assert_eq!(taken.len(), 8);
        taken.iter().for_each(|_| turns.answered(true));
        assert_eq!(limit(&turns), 4.0, "eight refusals of one pace are one refusal");
        turns.answered(true);
        assert_eq!(limit(&turns), 2.0, "and the next is of the new pace");
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_always_room_for_one_and_it_comes_back_slowly() {
        let turns = Arc::new(Turns::default());
        (0..20).for_each(|_| turns.answered(true));
        assert_eq!(fill(&turns).await.len(), 1);
        (0..3).for_each(|_| turns.answered(false));
        assert!(limit(&turns) < 3.0, "{}", limit(&turns));
        (0..5000).for_each(|_| turns.answered(false));
        assert_eq!(fill(&turns).await.len(), 32);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_comes_in_when_one_leaves_and_when_there_is_more_room() {
        let turns = Arc::new(Turns::default());
        let mut taken = fill(&turns).await;
        let (one, two) = (Arc::clone(&turns), Arc::clone(&turns));
        let waiting = [tokio::spawn(async move { one.take().await }), tokio::spawn(async move { two.take().await })];
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
        drop(taken.pop());
        (0..10).for_each(|_| turns.answered(false));
        for waiting in waiting {
            waiting.await.unwrap();
        }
    }
}
