//! One registry as HTTP sees it: limits on time and size, retries that keep the registry's own pace, and authorization.

use super::auth::{self, Challenge, Credentials, Secret};
use super::refusal::{Asked, RegistryError, connection, refusal};
use super::{Patience, RegistrySettings};
use backon::{ExponentialBuilder, Retryable};
use futures_util::StreamExt;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode, Url};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell, Semaphore};

/// Requests to one registry at a time; registries throttle those who come in crowds.
const ABREAST: usize = 8;
const REDIRECTS: usize = 5;
const AGENT: &str = concat!("imgctl/", env!("CARGO_PKG_VERSION"));

/// What is asked, in the words of the URL and of the person.
#[derive(Debug, Clone)]
pub(super) struct Question<'a> {
    pub(super) method: Method,
    /// Path and query after the host: `/v2/team/web/manifests/1`.
    pub(super) path: String,
    /// The repository's path, which the authorization is for.
    pub(super) repository: &'a str,
    pub(super) accept: Option<String>,
    pub(super) object: String,
    pub(super) is_tag: bool,
    pub(super) limit: usize,
}

/// A success.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// One registry: its connections, and what it let us do so far.
pub(super) struct Door {
    pub(super) host: String,
    pub(super) base: String,
    patience: Patience,
    http: reqwest::Client,
    /// Does the token exchange and pushes manifests.
    pub(super) oci: oci_client::Client,
    docker_config: Option<PathBuf>,
    credentials: OnceCell<Credentials>,
    /// Repository → the header that was last good for it. Empty: none was asked for.
    granted: Mutex<BTreeMap<String, HeaderValue>>,
    crowd: Semaphore,
}

impl Door {
    pub(super) fn open(host: &str, settings: &RegistrySettings, patience: Patience) -> Result<Self, RegistryError> {
        let setup = |why: String| RegistryError::Setup { why };
        let encrypted = !(settings.plain_http.contains(host) || is_loopback(host));
        let http = reqwest::Client::builder()
            .user_agent(AGENT)
            .connect_timeout(patience.connect)
            .read_timeout(patience.silence)
            .timeout(patience.whole)
            .redirect(redirects())
            .build()
            .map_err(|error| setup(error.to_string()))?;
        let config = ClientConfig {
            protocol: if encrypted { ClientProtocol::Https } else { ClientProtocol::Http },
            connect_timeout: Some(patience.connect),
            read_timeout: Some(patience.silence),
            user_agent: AGENT,
            ..ClientConfig::default()
        };
        let oci = oci_client::Client::try_from(config).map_err(|error| setup(error.to_string()))?;
        // Docker Hub answers under another name than it is written with.
        let served = if host == "docker.io" { "index.docker.io" } else { host };
        Ok(Self {
            host: host.to_owned(),
            base: format!("{}://{served}", if encrypted { "https" } else { "http" }),
            patience,
            http,
            oci,
            docker_config: settings.docker_config.clone(),
            credentials: OnceCell::new(),
            granted: Mutex::default(),
            crowd: Semaphore::new(ABREAST),
        })
    }

    /// Asks, and asks again where the registry or the network stumbled: reading twice does no harm.
    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<Reply, RegistryError> {
        let tries = ExponentialBuilder::default()
            .with_min_delay(self.patience.backoff)
            .with_max_times(self.patience.retries)
            .with_jitter();
        let longest = self.patience.longest_wait;
        (|| self.ask_once(question))
            .retry(tries)
            .when(RegistryError::is_passing)
            .adjust(|error, delay| match error {
                // The registry's own word replaces our guess; a wait that nobody sits through is given back to the person.
                RegistryError::Throttled { wait: Some(wait), .. } if *wait > longest => None,
                RegistryError::Throttled { wait: Some(wait), .. } => delay.map(|_| *wait),
                _ => delay,
            })
            .await
    }

    async fn ask_once(&self, question: &Question<'_>) -> Result<Reply, RegistryError> {
        let _place = self.crowd.acquire().await.map_err(|error| RegistryError::Setup { why: error.to_string() })?;
        let granted = self.granted.lock().await.get(question.repository).cloned();
        let answer = self.send(question, granted).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return self.read(question, answer).await;
        }
        let challenge =
            answer.headers().get(WWW_AUTHENTICATE).and_then(|header| header.to_str().ok()).unwrap_or_default();
        let Some(header) = self.authorize(question, &Challenge::parse(challenge)).await? else {
            return self.read(question, answer).await;
        };
        self.granted.lock().await.insert(question.repository.to_owned(), header.clone());
        let answer = self.send(question, Some(header)).await?;
        self.read(question, answer).await
    }

    async fn send(
        &self,
        question: &Question<'_>,
        authorization: Option<HeaderValue>,
    ) -> Result<reqwest::Response, RegistryError> {
        let mut call = self.http.request(question.method.clone(), format!("{}{}", self.base, question.path));
        if let Some(accept) = &question.accept {
            call = call.header(ACCEPT, accept);
        }
        if let Some(header) = authorization {
            call = call.header(AUTHORIZATION, header);
        }
        call.send().await.map_err(|error| connection(self.asked(question), &error))
    }

    async fn read(&self, question: &Question<'_>, answer: reqwest::Response) -> Result<Reply, RegistryError> {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = self.bytes(question, answer).await?;
        if status == StatusCode::OK {
            return Ok(Reply { headers, bytes });
        }
        Err(refusal(self.asked(question), status.as_u16(), retry_after(&headers), &bytes))
    }

    /// The body, as far as the limit: a registry must not fill the memory.
    async fn bytes(&self, question: &Question<'_>, answer: reqwest::Response) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = Vec::new();
        let mut stream = answer.bytes_stream();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| connection(self.asked(question), &error))?);
            if bytes.len() > question.limit {
                return Err(RegistryError::TooLarge { object: question.object.clone(), limit: question.limit });
            }
        }
        Ok(bytes)
    }

    /// The header that answers a challenge, if we have anything to answer with.
    async fn authorize(
        &self,
        question: &Question<'_>,
        challenge: &Challenge,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let credentials = self.credentials().await;
        match challenge {
            Challenge::Basic => match &credentials.secret {
                Secret::Password { user, password } => Ok(basic(&self.http, user, password)),
                Secret::None | Secret::Refresh(_) => Ok(None),
            },
            Challenge::Bearer { .. } => {
                let token = self.token(question, challenge, credentials).await?;
                Ok(token.and_then(|token| secret_header(&format!("Bearer {}", token.trim()))))
            }
            Challenge::Other => Ok(None),
        }
    }

    async fn token(
        &self,
        question: &Question<'_>,
        challenge: &Challenge,
        credentials: &Credentials,
    ) -> Result<Option<String>, RegistryError> {
        let asked = self.asked(question);
        let refused = || refusal(asked, 401, None, b"");
        if let Secret::Refresh(token) = &credentials.secret {
            let scope = format!("repository:{}:pull", question.repository);
            let encrypted = self.base.starts_with("https:");
            return auth::refresh(&self.http, challenge, &scope, token, encrypted, refused).await.map(Some);
        }
        let reference = Reference::with_tag(self.host.clone(), question.repository.to_owned(), "latest".to_owned());
        let token = self.oci.auth(&reference, &credentials.auth(), RegistryOperation::Pull).await;
        token.map_err(|error| pushed(asked, error))
    }

    /// What oci-client is to use for pushing to a repository.
    pub(super) async fn push_auth(&self, repository: &str, asked: Asked<'_>) -> Result<RegistryAuth, RegistryError> {
        let credentials = self.credentials().await;
        let Secret::Refresh(token) = &credentials.secret else { return Ok(credentials.auth()) };
        let refused = || refusal(asked, 401, None, b"");
        let answer =
            self.http.get(format!("{}/v2/", self.base)).send().await.map_err(|error| connection(asked, &error))?;
        let header = answer.headers().get(WWW_AUTHENTICATE).and_then(|header| header.to_str().ok()).unwrap_or_default();
        let scope = format!("repository:{repository}:pull,push");
        let encrypted = self.base.starts_with("https:");
        auth::refresh(&self.http, &Challenge::parse(header), &scope, token, encrypted, refused)
            .await
            .map(RegistryAuth::Bearer)
    }

    async fn credentials(&self) -> &Credentials {
        self.credentials
            .get_or_init(|| async {
                let (host, config) = (self.host.clone(), self.docker_config.clone());
                let found = tokio::task::spawn_blocking(move || auth::find(&host, config.as_deref())).await;
                found.unwrap_or_else(|_| Credentials { secret: Secret::None, origin: "no credentials".to_owned() })
            })
            .await
    }

    fn asked<'a>(&'a self, question: &'a Question<'_>) -> Asked<'a> {
        Asked {
            host: &self.host,
            object: &question.object,
            tried: self.tried(),
            is_tag: question.is_tag,
            is_write: false,
        }
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// Where the credentials came from, as far as they were looked for.
    pub(super) fn tried(&self) -> &str {
        self.credentials.get().map_or("no credentials", |credentials| credentials.origin.as_str())
    }
}

/// Reads a failure of oci-client, whose own messages are for programmers.
pub(super) fn pushed(asked: Asked<'_>, error: oci_client::errors::OciDistributionError) -> RegistryError {
    use oci_client::errors::OciDistributionError as Oci;
    match error {
        Oci::RequestError(error) => connection(asked, &error),
        Oci::ServerError { code, message, .. } => refusal(asked, code, None, message.as_bytes()),
        Oci::UnauthorizedError { .. } | Oci::AuthenticationFailure(_) => refusal(asked, 401, None, b""),
        Oci::RegistryError { envelope, .. } => {
            refusal(asked, 400, None, &serde_json::to_vec(&envelope).unwrap_or_default())
        }
        other => RegistryError::Garbled {
            host: asked.host.to_owned(),
            object: asked.object.to_owned(),
            why: other.to_string(),
        },
    }
}

fn basic(http: &reqwest::Client, user: &str, password: &str) -> Option<HeaderValue> {
    // reqwest knows how to write it; nothing is sent.
    let request = http.get("http://localhost/").basic_auth(user, Some(password)).build().ok()?;
    let mut header = request.headers().get(AUTHORIZATION)?.clone();
    header.set_sensitive(true);
    Some(header)
}

fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Blobs are served from elsewhere by many registries, but never in the clear after an encrypted answer.
fn redirects() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let was_encrypted = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        if attempt.previous().len() > REDIRECTS || (was_encrypted && attempt.url().scheme() != "https") {
            return attempt.error("redirect refused");
        }
        attempt.follow()
    })
}

/// A registry on this machine speaks plain HTTP, as Docker and containerd take it.
fn is_loopback(host: &str) -> bool {
    let name = Url::parse(&format!("http://{host}/"))
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default();
    name == "localhost"
        || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Seconds, or a date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    text.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear_unasked() {
        for host in ["127.0.0.1:5000", "localhost", "localhost:5000", "127.9.9.9"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["registry.example.com", "10.0.0.1:5000", "localhost.example.com", "127.0.0.1.example.com"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_wait_is_read_in_seconds() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(" 7 "));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("soon"));
        assert_eq!(retry_after(&headers), None);
    }

    #[test]
    fn a_password_is_marked_as_secret() {
        let header = basic(&reqwest::Client::new(), "ci", "s3cret").unwrap();
        assert!(header.is_sensitive() && header.to_str().unwrap() == "Basic Y2k6czNjcmV0");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }
}
