//! One request with a body of JSON, tried again where that may help, and errors that do not show where it went.

use super::NoticeError;
use backon::{ExponentialBuilder, Retryable};
use reqwest::{Client, StatusCode, Url};
use std::time::Duration;

/// How long one try may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How often it is tried after the first time.
const AGAIN: usize = 3;

pub(super) struct Post {
    id: String,
    url: Url,
    client: Client,
}

/// Why one try failed, and whether another may not.
struct Failed {
    why: String,
    passes: bool,
}

impl Post {
    pub(super) fn new(id: String, url: &str) -> Result<Self, NoticeError> {
        let url = url.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| NoticeError::NoUrl { id: id.clone() })?;
        // A redirect would turn the request into another one, at an address that nobody has named.
        let client = Client::builder().timeout(LIMIT).redirect(reqwest::redirect::Policy::none()).build();
        let client =
            client.map_err(|error| NoticeError::NotTaken { id: id.clone(), why: error.without_url().to_string() })?;
        Ok(Self { id, url, client })
    }

    pub(super) async fn send(&self, body: &str, headers: &[(&'static str, String)]) -> Result<(), NoticeError> {
        let attempt = || self.attempt(body, headers);
        let waits = ExponentialBuilder::default().with_min_delay(Duration::from_millis(200)).with_max_times(AGAIN);
        let sent = attempt.retry(waits).when(|failed: &Failed| failed.passes).await;
        sent.map_err(|failed| NoticeError::NotTaken { id: self.id.clone(), why: failed.why })
    }

    async fn attempt(&self, body: &str, headers: &[(&'static str, String)]) -> Result<(), Failed> {
        let request = self.client.post(self.url.clone()).header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let silence = |error: reqwest::Error| {
            let why = if error.is_timeout() { "no answer in time" } else { "no connection" };
            Failed { why: why.to_owned(), passes: true }
        };
        let answer = request.body(body.to_owned()).send().await.map_err(silence)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        Err(Failed { why: format!("the answer was {status}"), passes })
    }
}
