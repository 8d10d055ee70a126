//! Every way a registry can refuse or mislead, in the words of the person who has to do something about it.

use crate::model::Digest;
use serde::Deserialize;
use std::error::Error;
use std::time::Duration;

/// Why a registry did not give, or take, what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    #[error("registry {host} could not be reached ({why})")]
    Unreachable { host: String, why: String },
    #[error("registry {host} speaks plain HTTP, and was asked by HTTPS")]
    PlainHttp { host: String },
    #[error("registry {host} speaks HTTPS, and was asked by plain HTTP")]
    Encrypted { host: String },
    #[error("the certificate of registry {host} is not trusted ({why})")]
    Certificate { host: String, why: String },
    #[error("{object}: registry {host} did not answer in time")]
    Timeout { host: String, object: String },
    /// `tried` says where the credentials came from, never what they are.
    #[error("{object}: registry {host} wants other credentials; tried {tried}")]
    Unauthorized { host: String, object: String, tried: String },
    #[error("{object}: registry {host} denies it: {message}; tried {tried}")]
    Denied { host: String, object: String, tried: String, message: String },
    #[error("{object} is not there: registry {host} knows no such repository")]
    NoRepository { host: String, object: String },
    #[error("{object} is not there: the repository has no such {}", if .is_tag.to_owned() { "tag" } else { "digest" })]
    NoManifest { host: String, object: String, is_tag: bool },
    #[error("{object} is not there (registry {host} says no more than 404)")]
    NotFound { host: String, object: String },
    #[error("{object}: registry {host} asks to come back {}", .wait.map_or("later".to_owned(), |wait| format!("in {} s", wait.as_secs())))]
    Throttled { host: String, object: String, wait: Option<Duration> },
    #[error("{object}: registry {host} is out of order: {message}")]
    Broken { host: String, object: String, message: String },
    #[error("{object}: registry {host} refuses: {message}")]
    Refused { host: String, object: String, message: String },
    #[error("{object}: registry {host} says {said}, and its bytes hash to {found}")]
    Mismatch { host: String, object: String, said: Digest, found: Digest },
    #[error("{object} moved while it was read: from {before} to {after}")]
    Moved { object: String, before: Digest, after: Digest },
    #[error("{object} is larger than {limit} bytes")]
    TooLarge { object: String, limit: usize },
    #[error("{object}: registry {host} answers in a way that cannot be read: {why}")]
    Garbled { host: String, object: String, why: String },
    #[error("{object} cannot be moved: registry {host} keeps tags as they are: {message}")]
    TagTaken { host: String, object: String, message: String },
    #[error("{object} was written and reads back as {}", .found.as_ref().map_or("nothing".to_owned(), Digest::to_string))]
    NotTaken { object: String, found: Option<Digest> },
    #[error("no client for registries could be made: {why}")]
    Setup { why: String },
}

impl RegistryError {
    /// What to do next, as a person would type it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { host, .. } | Self::Timeout { host, .. } => {
                format!("check the name and the network: curl -i https://{host}/v2/")
            }
            Self::PlainHttp { host } => format!(
                "if that is meant, write in imgctl.toml: [registries.\"{host}\"] and below it plain_http = true"
            ),
            Self::Encrypted { host } => format!("remove plain_http from [registries.\"{host}\"] in imgctl.toml"),
            Self::Certificate { .. } => {
                "add the registry's CA to this machine's trusted certificates, or set SSL_CERT_FILE".to_owned()
            }
            Self::Unauthorized { host, .. } | Self::Denied { host, .. } => format!("docker login {host}"),
            Self::NoRepository { .. } | Self::NotFound { .. } => {
                "check the repository's name; registries also say this to those who may not see it".to_owned()
            }
            Self::NoManifest { is_tag: true, .. } => "check the tag, or record by digest".to_owned(),
            Self::NoManifest { .. } => "it was deleted there; push it again".to_owned(),
            Self::Throttled { .. } => "wait, then run the same command again".to_owned(),
            Self::Broken { .. } | Self::Moved { .. } => "run the same command again".to_owned(),
            Self::Mismatch { .. } => {
                "do not use this image; ask who runs the registry, or a proxy before it".to_owned()
            }
            Self::TagTaken { .. } => {
                "let the registry except this tag from its immutability, or use another tag".to_owned()
            }
            Self::NotTaken { .. } => "somebody else may be moving this tag; run the same command again".to_owned(),
            Self::Refused { .. } | Self::TooLarge { .. } | Self::Garbled { .. } | Self::Setup { .. } => return None,
        })
    }

    /// Whether the thing asked for is not there.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NoRepository { .. } | Self::NoManifest { .. } | Self::NotFound { .. })
    }

    /// Whether the same question may have another answer a moment later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Throttled { .. } | Self::Broken { .. })
    }
}

/// What was asked, for the messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) host: &'a str,
    /// `HOST/REPOSITORY:TAG`, as the person wrote it.
    pub(super) object: &'a str,
    pub(super) tried: &'a str,
    pub(super) is_tag: bool,
    pub(super) is_write: bool,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

/// Reads an answer that is not a success (distribution spec, "Error Codes").
pub(super) fn refusal(asked: Asked<'_>, status: u16, retry_after: Option<Duration>, body: &[u8]) -> RegistryError {
    let (host, object) = (asked.host.to_owned(), asked.object.to_owned());
    let (codes, message) = told(status, body);
    let has = |code: &str| codes.iter().any(|found| found == code);
    match status {
        _ if asked.is_write && (400..500).contains(&status) && keeps_tags(&codes, &message) => {
            RegistryError::TagTaken { host, object, message }
        }
        400 if message.contains("HTTPS server") => RegistryError::Encrypted { host },
        401 => RegistryError::Unauthorized { host, object, tried: asked.tried.to_owned() },
        403 => RegistryError::Denied { host, object, tried: asked.tried.to_owned(), message },
        404 if has("NAME_UNKNOWN") => RegistryError::NoRepository { host, object },
        404 if has("MANIFEST_UNKNOWN") || has("BLOB_UNKNOWN") => {
            RegistryError::NoManifest { host, object, is_tag: asked.is_tag }
        }
        404 => RegistryError::NotFound { host, object },
        429 => RegistryError::Throttled { host, object, wait: retry_after },
        500.. => RegistryError::Broken { host, object, message },
        _ => RegistryError::Refused { host, object, message },
    }
}

/// The codes, and one line for a person.
fn told(status: u16, body: &[u8]) -> (Vec<String>, String) {
    let envelope: Envelope = serde_json::from_slice(body).unwrap_or(Envelope { errors: Vec::new() });
    let lines: Vec<String> =
        envelope.errors.iter().filter_map(|error| error.message.clone()).filter(|text| !text.is_empty()).collect();
    let codes: Vec<String> = envelope.errors.into_iter().map(|error| error.code).collect();
    let plain = String::from_utf8_lossy(body);
    let text = match (lines.is_empty(), codes.is_empty()) {
        (false, _) => lines.join("; "),
        (true, false) => codes.join(", "),
        (true, true) if body.is_empty() || plain.trim_start().starts_with('<') => format!("HTTP {status}"),
        (true, true) => format!("HTTP {status}: {}", plain.trim()),
    };
    // A proxy's page must not fill the screen.
    (codes, text.chars().filter(|c| !c.is_control()).take(300).collect())
}

/// Amazon ECR answers TAG_INVALID or ImageTagAlreadyExistsException, Harbor 412 with its own words, others DENIED.
fn keeps_tags(codes: &[String], message: &str) -> bool {
    let known = ["TAG_INVALID", "TAG_ALREADY_EXISTS", "ImageTagAlreadyExistsException", "TAG_IMMUTABLE"];
    let message = message.to_lowercase();
    codes.iter().any(|code| known.contains(&code.as_str()))
        || message.contains("immutable")
        || message.contains("tag already exists")
}

/// Reads a failure of the connection itself.
pub(super) fn connection(asked: Asked<'_>, error: &reqwest::Error) -> RegistryError {
    let (host, object) = (asked.host.to_owned(), asked.object.to_owned());
    let chain = chain(error);
    let why = chain.last().cloned().unwrap_or_default();
    let says = |word: &str| chain.iter().any(|line| line.contains(word));
    if says("InvalidContentType") {
        RegistryError::PlainHttp { host }
    } else if says("invalid HTTP version") {
        RegistryError::Encrypted { host }
    } else if says("certificate") {
        RegistryError::Certificate { host, why }
    } else if error.is_timeout() && !error.is_connect() {
        RegistryError::Timeout { host, object }
    } else if error.is_redirect() {
        RegistryError::Garbled { host, object, why: "it redirects from HTTPS to HTTP, or in a circle".to_owned() }
    } else {
        RegistryError::Unreachable {
            host,
            why: if error.is_timeout() { "no connection in time".to_owned() } else { why },
        }
    }
}

/// The error and its causes, outermost first, without addresses that may carry signatures.
fn chain(error: &reqwest::Error) -> Vec<String> {
    let mut lines = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        lines.push(error.to_string());
        cause = error.source();
    }
    if lines.is_empty() {
        lines.push("the connection failed".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Asked<'static> = Asked {
        host: "r.example.com",
        object: "r.example.com/web:1",
        tried: "no credentials",
        is_tag: true,
        is_write: false,
    };

    fn body(code: &str, message: &str) -> Vec<u8> {
        serde_json::json!({"errors": [{"code": code, "message": message, "detail": null}]}).to_string().into_bytes()
    }

    #[test]
    fn what_is_missing_is_told_as_far_as_the_registry_tells_it() {
        let read = |code| refusal(READ, 404, None, &body(code, "x"));
        assert!(matches!(read("NAME_UNKNOWN"), RegistryError::NoRepository { .. }));
        assert_eq!(
            read("MANIFEST_UNKNOWN").to_string(),
            "r.example.com/web:1 is not there: the repository has no such tag"
        );
        assert!(matches!(refusal(READ, 404, None, b""), RegistryError::NotFound { .. }));
    }

    #[test]
    fn an_immutable_tag_is_told_from_other_refusals() {
        let write = Asked { is_write: true, ..READ };
        for (status, body) in [
            (400, body("TAG_INVALID", "The image tag '1' already exists … the tag is immutable.")),
            (412, body("PRECONDITION", "Failed to process request due to 'web:1' configured as immutable.")),
            (409, body("ImageTagAlreadyExistsException", "")),
        ] {
            assert!(matches!(refusal(write, status, None, &body), RegistryError::TagTaken { .. }), "{status}");
        }
        assert!(matches!(refusal(write, 403, None, &body("DENIED", "no push for you")), RegistryError::Denied { .. }));
        assert!(matches!(refusal(READ, 400, None, &body("TAG_INVALID", "")), RegistryError::Refused { .. }));
    }

    #[test]
    fn pages_and_long_bodies_do_not_fill_the_screen() {
        let page = refusal(READ, 502, None, b"<html><body>Bad gateway</body></html>");
        assert_eq!(page.to_string(), "r.example.com/web:1: registry r.example.com is out of order: HTTP 502");
        let long = refusal(READ, 418, None, "x\n".repeat(4000).as_bytes());
        assert!(long.to_string().len() < 400 && !long.to_string().contains('\n'));
    }

    #[test]
    fn a_registry_that_asks_to_wait_is_quoted() {
        let error = refusal(READ, 429, Some(Duration::from_secs(7)), &body("TOOMANYREQUESTS", "slow"));
        assert_eq!(error.to_string(), "r.example.com/web:1: registry r.example.com asks to come back in 7 s");
        assert!(error.is_passing() && !RegistryError::PlainHttp { host: String::new() }.is_passing());
    }
}
