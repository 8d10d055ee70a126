//! Registries that give tokens, as Docker Hub, GitHub, ECR and Azure do: played here, since the lab's has none.

use super::patience;
use crate::support::lab::scratch;
use imgctl::model::{Artifact, Digest, Repository};
use imgctl::provider::source::registry::TagMove;
use imgctl::provider::source::{RegistryError, RegistrySettings, RegistrySource, SourceError};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Path → bytes; a PUT adds to it.
type Shelf = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

struct Registry {
    repository: Repository,
    digest: Digest,
    /// Every request's first line and `Authorization`.
    log: Arc<Mutex<Vec<(String, String)>>>,
}

impl Registry {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let config = json!({"os": "linux", "architecture": "amd64"}).to_string();
        let config_digest = Digest::of(config.as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": [],
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": config_digest, "size": config.len()},
        })
        .to_string();
        let digest = Digest::of(manifest.as_bytes());
        let shelf: Shelf = Arc::default();
        shelf.lock().unwrap().extend([
            ("/v2/team/web/manifests/1".to_owned(), manifest.clone().into_bytes()),
            (format!("/v2/team/web/manifests/{digest}"), manifest.into_bytes()),
            (format!("/v2/team/web/blobs/{config_digest}"), config.into_bytes()),
        ]);
        let log: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (realm, seen) = (format!("http://{host}/token"), Arc::clone(&log));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, realm.clone(), Arc::clone(&shelf), Arc::clone(&seen)));
            }
        });
        Self { repository: format!("{host}/team/web").parse().unwrap(), digest, log }
    }

    fn asked_for_tokens(&self) -> Vec<(String, String)> {
        self.log.lock().unwrap().iter().filter(|(line, _)| line.contains("/token")).cloned().collect()
    }
}

async fn answer(mut stream: TcpStream, realm: String, shelf: Shelf, log: Arc<Mutex<Vec<(String, String)>>>) {
    let mut bytes = Vec::new();
    let (head, mut body) = loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            break (head.to_owned(), body.as_bytes().to_vec());
        }
    };
    let header = |name: &str| {
        let line =
            head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
        line.map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let length: usize = header("content-length").parse().unwrap_or(0);
    while body.len() < length {
        let mut chunk = vec![0; length - body.len()];
        let read = stream.read(&mut chunk).await.unwrap();
        body.extend_from_slice(&chunk[..read]);
    }
    let line = head.lines().next().unwrap().to_owned();
    let form = String::from_utf8_lossy(&body).into_owned();
    let (method, path) = line
        .split_once(' ')
        .map(|(method, rest)| (method.to_owned(), rest.split(' ').next().unwrap().to_owned()))
        .unwrap();
    log.lock().unwrap().push((if path == "/token" { format!("{line} {form}") } else { line }, header("authorization")));
    let (status, extra, content) = respond(&method, &path, &header("authorization"), &form, &realm, &shelf, body);
    let sent = if method == "HEAD" { Vec::new() } else { content.clone() };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{extra}\r\n", content.len());
    let _ = stream.write_all(&[head.into_bytes(), sent].concat()).await;
}

fn respond(
    method: &str,
    path: &str,
    authorization: &str,
    form: &str,
    realm: &str,
    shelf: &Shelf,
    body: Vec<u8>,
) -> (&'static str, String, Vec<u8>) {
    if path.starts_with("/token") {
        // Basic ci:s3cret, or the refresh token r3fresh; a token is good for what it was asked for.
        let known = authorization == "Basic Y2k6czNjcmV0" || form.contains("refresh_token=r3fresh");
        let scope = if format!("{path}{form}").contains("push") { "push" } else { "pull" };
        let token = json!({"token": scope}).to_string().into_bytes();
        return if known {
            ("200 OK", String::new(), token)
        } else {
            ("401 Unauthorized", String::new(), b"{}".to_vec())
        };
    }
    let granted = match method {
        "PUT" => authorization == "Bearer push",
        _ => authorization == "Bearer pull" || authorization == "Bearer push",
    };
    if !granted {
        let wants = format!(
            "WWW-Authenticate: Bearer realm=\"{realm}\",service=\"lab\",scope=\"repository:team/web:pull\"\r\n"
        );
        return ("401 Unauthorized", wants, b"{}".to_vec());
    }
    let mut shelf = shelf.lock().unwrap();
    if method == "PUT" {
        shelf.insert(path.to_owned(), body);
        return ("201 Created", String::new(), Vec::new());
    }
    match shelf.get(path) {
        Some(found) => ("200 OK", String::new(), found.clone()),
        None => ("404 Not Found", String::new(), br#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#.to_vec()),
    }
}

fn source(registry: &Registry, entry: &str) -> (RegistrySource, tempfile::TempDir) {
    let folder = scratch();
    let path = folder.path().join("config.json");
    std::fs::write(&path, format!(r#"{{"auths": {{"{}": {entry}}}}}"#, registry.repository.registry())).unwrap();
    let settings = RegistrySettings { docker_config: Some(path), ..RegistrySettings::default() };
    (RegistrySource::new(settings, patience()), folder)
}

#[tokio::test]
async fn a_token_is_fetched_once_and_the_digest_needs_no_header() {
    let registry = Registry::start().await;
    let (source, _folder) = source(&registry, r#"{"auth": "Y2k6czNjcmV0"}"#);
    let read = source.resolve_tag(&registry.repository, "1").await.unwrap();
    let [Artifact::Oci(oci)] = &read.artifacts[..] else { panic!("{read:?}") };
    assert_eq!(
        (&oci.digest, oci.media_type.as_str()),
        (&registry.digest, "application/vnd.docker.distribution.manifest.v2+json")
    );
    source.resolve_digest(&registry.repository, &registry.digest).await.unwrap();
    assert_eq!(registry.asked_for_tokens().len(), 1, "{:?}", registry.asked_for_tokens());
    let log = registry.log.lock().unwrap().clone();
    assert!(
        log.iter().all(|(line, header)| line.contains("/token") || !header.starts_with("Basic")),
        "a password goes only to the realm: {log:?}"
    );
}

#[tokio::test]
async fn a_tag_is_pushed_with_a_token_for_pushing() {
    let registry = Registry::start().await;
    let (source, _folder) = source(&registry, r#"{"auth": "Y2k6czNjcmV0"}"#);
    let moved = source.move_tag(&registry.repository, &registry.digest, "prod").await.unwrap();
    assert_eq!(moved, TagMove::Moved { from: None });
    assert_eq!(source.move_tag(&registry.repository, &registry.digest, "prod").await.unwrap(), TagMove::Already);
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let registry = Registry::start().await;
    let (source, _folder) = source(&registry, r#"{"identitytoken": "r3fresh"}"#);
    source.resolve_tag(&registry.repository, "1").await.unwrap();
    let asked = registry.asked_for_tokens();
    assert!(
        asked[0].0.starts_with("POST /token") && asked[0].0.contains("scope=repository%3Ateam%2Fweb%3Apull"),
        "{asked:?}"
    );
    source.move_tag(&registry.repository, &registry.digest, "prod").await.unwrap();
}

#[tokio::test]
async fn a_password_the_realm_refuses_is_not_repeated() {
    let registry = Registry::start().await;
    let (source, _folder) = source(&registry, r#"{"auth": "Y2k6d3JvbmdwYXNz"}"#);
    match source.resolve_tag(&registry.repository, "1").await.unwrap_err() {
        SourceError::Registry(error @ RegistryError::Unauthorized { .. }) => {
            assert!(
                error.to_string().contains("tried user ci of ") && !error.to_string().contains("wrongpass"),
                "{error}"
            );
        }
        other => panic!("{other}"),
    }
}
