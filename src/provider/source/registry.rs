//! Container registries (OCI distribution spec): tags are followed once, pinned by the bytes, and never trusted again.

mod artifact;
mod auth;
mod listing;
mod refusal;
mod retag;
mod whole;
mod wire;

pub use refusal::RegistryError;
pub use retag::TagMove;

use super::contents::{Contents, Root, describe, matches};
use super::manifest::{Descriptor, LARGEST, accepted};
use super::{Availability, Described, SourceError};
use crate::model::{Digest, ImageRef, Repository};
use futures_util::stream::{self, StreamExt};
use reqwest::Method;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use wire::{Door, Question, Reply};

const ABREAST: usize = 16;

/// What the config says about registries.
#[derive(Debug, Clone, Default)]
pub struct RegistrySettings {
    /// Hosts (with their ports) that are spoken to in the clear. Loopback addresses always are.
    pub plain_http: BTreeSet<String>,
    /// A docker `config.json` instead of the user's own.
    pub docker_config: Option<PathBuf>,
}

/// How long a registry is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub connect: Duration,
    /// The longest time without a byte.
    pub silence: Duration,
    /// One request with its whole body.
    pub whole: Duration,
    /// How often a request that failed in passing is sent again.
    pub retries: usize,
    /// Before the first of them; doubled each time.
    pub backoff: Duration,
    /// A registry that asks for more (`Retry-After`) is not waited for.
    pub longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(15),
            whole: Duration::from_secs(60),
            retries: 3,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
        }
    }
}

/// Every registry that was spoken to so far.
pub struct RegistrySource {
    settings: RegistrySettings,
    patience: Patience,
    doors: Mutex<BTreeMap<String, Arc<Door>>>,
}

/// A repository behind its registry's door.
#[derive(Clone)]
struct Place {
    door: Arc<Door>,
    repository: Repository,
    /// The path the registry knows it by.
    path: String,
}

impl RegistrySource {
    pub fn new(settings: RegistrySettings, patience: Patience) -> Self {
        Self { settings, patience, doors: Mutex::default() }
    }

    async fn place(&self, repository: &Repository) -> Result<Place, RegistryError> {
        let host = repository.registry();
        let mut doors = self.doors.lock().await;
        let door = match doors.get(host) {
            Some(door) => Arc::clone(door),
            None => {
                let door = Arc::new(Door::open(host, &self.settings, self.patience)?);
                doors.insert(host.to_owned(), Arc::clone(&door));
                door
            }
        };
        let path = repository.path();
        // Docker Hub keeps its own images under `library`.
        let path = if host == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        Ok(Place { door, repository: repository.clone(), path })
    }

    /// What `tag` points to: the bytes decide, and every word of the registry about them must agree, until the end.
    pub async fn resolve_tag(&self, repository: &Repository, tag: &str) -> Result<Described, SourceError> {
        let place = self.place(repository).await?;
        let (bytes, announced) = place.get(tag).await?;
        let digest = Digest::of(&bytes);
        let root = Root {
            repository: repository.clone(),
            tag: Some(tag.to_owned()),
            digest: digest.clone(),
            bytes: bytes.clone(),
            announced,
        };
        let described = describe(root, &place).await?;
        match place.head(tag).await? {
            Some(after) if matches(&bytes, &after).is_err() => {
                Err(RegistryError::Moved { object: place.named_tag(tag), before: digest, after }.into())
            }
            _ => Ok(described),
        }
    }

    /// What is at `digest`.
    pub async fn resolve_digest(&self, repository: &Repository, digest: &Digest) -> Result<Described, SourceError> {
        let place = self.place(repository).await?;
        let (bytes, announced) = place.get(digest.as_str()).await?;
        place.check(digest.as_str(), &bytes, digest)?;
        let root = Root { repository: repository.clone(), tag: None, digest: digest.clone(), bytes, announced };
        describe(root, &place).await
    }

    /// Whether each can be pulled: a HEAD each, side by side.
    pub async fn availability(&self, wanted: &BTreeSet<(Repository, Digest)>) -> BTreeMap<ImageRef, Availability> {
        let reads: Vec<_> = wanted.iter().map(|(repository, digest)| self.available(repository, digest)).collect();
        stream::iter(reads).buffer_unordered(ABREAST).collect().await
    }

    async fn available(&self, repository: &Repository, digest: &Digest) -> (ImageRef, Availability) {
        let address = ImageRef::Oci { repository: repository.clone(), digest: digest.clone() };
        let answer = match self.place(repository).await {
            Ok(place) => place.head(digest.as_str()).await,
            Err(error) => Err(error),
        };
        (address, availability(answer))
    }
}

fn availability(answer: Result<Option<Digest>, RegistryError>) -> Availability {
    match answer {
        Ok(_) => Availability::Available,
        Err(error) if error.is_gone() => Availability::Gone { why: error.to_string() },
        Err(error) => Availability::Unknown { why: error.to_string() },
    }
}

impl Place {
    fn named_tag(&self, tag: &str) -> String {
        format!("{}:{tag}", self.repository)
    }

    fn object(&self, reference: &str) -> String {
        if reference.contains(':') { format!("{}@{reference}", self.repository) } else { self.named_tag(reference) }
    }

    fn manifest(&self, method: Method, reference: &str) -> Question<'_> {
        Question {
            method,
            path: format!("/v2/{}/manifests/{reference}", self.path),
            repository: &self.path,
            accept: Some(accepted()),
            object: self.object(reference),
            is_tag: !reference.contains(':'),
            limit: LARGEST,
        }
    }

    /// The digest that the registry says, if it says one (`Docker-Content-Digest`; older registries do not).
    async fn head(&self, reference: &str) -> Result<Option<Digest>, RegistryError> {
        let question = self.manifest(Method::HEAD, reference);
        let reply = self.door.ask(&question).await?;
        self.said(&question, &reply)
    }

    /// A manifest's bytes with their type; what the registry says of them must be so.
    async fn get(&self, reference: &str) -> Result<(Vec<u8>, Option<String>), RegistryError> {
        let question = self.manifest(Method::GET, reference);
        let reply = self.door.ask(&question).await?;
        if let Some(said) = self.said(&question, &reply)? {
            self.check(reference, &reply.bytes, &said)?;
        }
        let announced = reply.header("content-type").map(str::to_owned);
        Ok((reply.bytes, announced))
    }

    fn said(&self, question: &Question<'_>, reply: &Reply) -> Result<Option<Digest>, RegistryError> {
        let Some(text) = reply.header("docker-content-digest") else { return Ok(None) };
        let host = self.door.host.clone();
        let garbled = |error: crate::model::ParseError| RegistryError::Garbled {
            host,
            object: question.object.clone(),
            why: error.to_string(),
        };
        text.parse().map(Some).map_err(garbled)
    }

    fn check(&self, reference: &str, bytes: &[u8], said: &Digest) -> Result<(), RegistryError> {
        let (host, object) = (self.door.host.clone(), self.object(reference));
        matches(bytes, said).map_err(|found| RegistryError::Mismatch { host, object, said: said.clone(), found })
    }
}

#[async_trait::async_trait]
impl Contents for Place {
    fn named(&self, digest: &Digest) -> String {
        self.object(digest.as_str())
    }

    async fn bytes(&self, descriptor: &Descriptor, is_manifest: bool) -> Result<Vec<u8>, SourceError> {
        let digest = descriptor.digest.as_str();
        let question = Question {
            path: format!("/v2/{}/blobs/{digest}", self.path),
            accept: None,
            ..self.manifest(Method::GET, digest)
        };
        let question = if is_manifest { self.manifest(Method::GET, digest) } else { question };
        let bytes = self.door.ask(&question).await?.bytes;
        self.check(digest, &bytes, &descriptor.digest)?;
        Ok(bytes)
    }
}
