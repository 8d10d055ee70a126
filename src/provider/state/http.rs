//! A state behind a URL, as Terraform's http backend and GitLab serve it: GET, with a user and a password where needed.
//!
//! The backend is described at <https://developer.hashicorp.com/terraform/language/backend/http>. Nothing is locked.

use super::address::HttpAddress;
use super::{FetchError, LARGEST, StateSource};
use backon::{ExponentialBuilder, Retryable};
use futures_util::StreamExt;
use reqwest::StatusCode;
use std::fmt;
use std::time::Duration;

const AGENT: &str = concat!("imgctl/", env!("CARGO_PKG_VERSION"));
/// How often it is asked again where the server or the network stumbled.
const RETRIES: usize = 3;
const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(60);

/// Terraform's own variables: `TF_HTTP_USERNAME`, `TF_HTTP_PASSWORD`.
#[derive(Clone, Default)]
pub struct HttpCredentials {
    pub user: Option<String>,
    pub password: Option<String>,
}

impl fmt::Debug for HttpCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpCredentials(…)")
    }
}

/// One URL.
pub(super) struct StateUrl {
    name: String,
    address: HttpAddress,
    credentials: HttpCredentials,
}

impl StateUrl {
    pub(super) fn new(address: HttpAddress, credentials: HttpCredentials) -> Self {
        Self { name: address.to_string(), address, credentials }
    }

    async fn ask(&self, client: &reqwest::Client) -> Result<Vec<u8>, FetchError> {
        let mut call = client.get(&self.address.0);
        // Those in the URL itself are sent by the client, and count first.
        if let (Some(user), false) = (&self.credentials.user, self.address.names_a_user()) {
            call = call.basic_auth(user, self.credentials.password.as_ref());
        }
        let answer = call.send().await.map_err(|error| self.unreachable(error))?;
        let name = || self.name.clone();
        match answer.status() {
            StatusCode::OK => {}
            // The backend's way of saying that nothing was ever written.
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => return Err(FetchError::Missing { name: name() }),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(FetchError::Denied { name: name(), status: status.as_u16() });
            }
            status => return Err(FetchError::Status { name: name(), status: status.as_u16() }),
        }
        let mut bytes = Vec::new();
        let mut stream = answer.bytes_stream();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| self.unreachable(error))?);
            if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
                return Err(FetchError::TooLarge { name: name(), limit: LARGEST });
            }
        }
        Ok(bytes)
    }

    /// The client's own text would show the URL.
    fn unreachable(&self, error: reqwest::Error) -> FetchError {
        let error = error.without_url();
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let why = causes.last().map(ToString::to_string).unwrap_or_default();
        FetchError::Unreachable { name: self.name.clone(), why }
    }
}

#[async_trait::async_trait]
impl StateSource for StateUrl {
    fn name(&self) -> &str {
        &self.name
    }

    async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let client = reqwest::Client::builder().user_agent(AGENT).connect_timeout(CONNECT).read_timeout(SILENCE);
        let client = client.build().map_err(|error| self.unreachable(error))?;
        let tries = ExponentialBuilder::default().with_min_delay(Duration::from_millis(200)).with_max_times(RETRIES);
        (|| self.ask(&client)).retry(tries.with_jitter()).when(FetchError::is_passing).await
    }
}
