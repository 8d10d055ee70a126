//! Limit: how long an answer may take, and the sign that nobody waits for it any more.

use super::Ctx;
use std::convert::Infallible;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Work that looks must end by then, with what it has found.
#[derive(Clone, Copy)]
pub(super) struct Limit<'a> {
    /// `None`: as long as it takes.
    length: Option<Duration>,
    late: &'a CancellationToken,
}

impl Limit<'_> {
    /// The work's result; `None` where the time ended first. What has to wait for nobody is never too late.
    pub(super) async fn within<T>(self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.late.cancelled() => None,
        }
    }

    /// Why there is no answer, once there is none.
    pub(super) fn why(self) -> String {
        match self.length {
            Some(length) => format!("there was no answer within {} s", length.as_secs_f64()),
            None => "it was interrupted before there was an answer".to_owned(),
        }
    }

    /// What gets an answer the next time.
    pub(super) fn fix(self) -> String {
        match self.length {
            Some(_) => "give it more time: --time-limit".to_owned(),
            None => "run the same command again".to_owned(),
        }
    }
}

/// Does work that only looks: at the limit, and when the person wants to stop, what has not answered is given up, and the
/// work ends with what it has.
pub(super) async fn limited<'c, T>(
    ctx: &Ctx<'c>,
    length: Option<Duration>,
    late: &CancellationToken,
    work: impl Future<Output = T>,
) -> T {
    let timer = async {
        let ends = async {
            match length {
                Some(length) => ctx.clock.sleep(length).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = ends => {}
            () = ctx.stop.cancelled() => {}
        }
        late.cancel();
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        done = work => done,
        never = timer => match never {},
    }
}

/// The limit that `limited` keeps with this token.
pub(super) fn limit(length: Option<Duration>, late: &CancellationToken) -> Limit<'_> {
    Limit { length, late }
}
