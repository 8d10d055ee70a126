//! Record: read what an image is, and write it down. Images never change: the same again is nothing new, more addresses
//! are added, anything else is refused.

use crate::model::image::Comparison;
use crate::model::lookup::{ImageRecord, LookupError};
use crate::model::{
    Actor, Artifact, Entry, Event, Image, ImageKey, ImageSelector, Lookup, Provenance, SourceSelector, ViewError,
};
use crate::provider::clock::Clock;
use crate::provider::source::{ImageSource, SourceError};
use crate::store::{LedgerStore, StoreError};

/// What writing in the ledger takes.
pub struct Writer<'a> {
    pub store: &'a dyn LedgerStore,
    pub clock: &'a dyn Clock,
    pub actor: &'a Actor,
}

/// What the person wants recorded.
#[derive(Debug, Clone)]
pub struct Wish {
    pub key: ImageKey,
    pub sources: Vec<SourceSelector>,
    /// What the person says of its origin; it counts before what the image says of itself.
    pub provenance: Provenance,
    /// The image it was built on.
    pub parent: Option<ImageSelector>,
}

/// What came of recording.
#[derive(Debug)]
pub enum Recorded {
    New {
        image: Image,
        entry: Entry,
    },
    /// Known already, and now at these addresses too.
    Added {
        key: ImageKey,
        artifacts: Vec<Artifact>,
        entry: Entry,
    },
    /// Nothing was written.
    Same(Box<ImageRecord>),
}

/// Why an image was not recorded. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("{key} could not be read")]
    Source {
        key: ImageKey,
        #[source]
        source: Box<SourceError>,
    },
    #[error("{key} is recorded with other artifacts: {}", pairs(clashes))]
    Differs { key: ImageKey, clashes: Vec<(String, String)> },
    #[error("the parent of {key} is not known")]
    Parent {
        key: ImageKey,
        #[source]
        source: Box<LookupError>,
    },
    #[error("{key} has no artifact: none of its sources names one")]
    Nothing { key: ImageKey },
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ViewError> for RecordError {
    fn from(error: ViewError) -> Self {
        Self::Store(StoreError::View(error))
    }
}

fn pairs(clashes: &[(String, String)]) -> String {
    let said: Vec<String> = clashes.iter().map(|(held, given)| format!("{held}, not {given}")).collect();
    said.join("; ")
}

/// How often the ledger may move between looking and writing.
const TRIES: usize = 5;

/// Reads the sources and records them as one image; also what the person should know of the reading.
pub async fn record(
    writer: &Writer<'_>,
    images: &dyn ImageSource,
    wish: Wish,
) -> Result<(Recorded, Vec<String>), RecordError> {
    let Wish { key, sources, mut provenance, parent } = wish;
    if let Some(parent) = &parent {
        provenance.parent = Some(known_parent(writer, &key, parent)?);
    }
    let read = images.resolve(&sources).await;
    let described = read.map_err(|source| RecordError::Source { key: key.clone(), source: source.into() })?;
    if described.artifacts.is_empty() {
        return Err(RecordError::Nothing { key });
    }
    let provenance = said_first(provenance, described.provenance);
    let recorded = write(writer, &Image::new(key, described.artifacts, provenance))?;
    Ok((recorded, described.notes))
}

fn known_parent(writer: &Writer<'_>, key: &ImageKey, parent: &ImageSelector) -> Result<ImageKey, RecordError> {
    let view = writer.store.view()?;
    let found = Lookup(&*view).resolve(parent);
    Ok(found.map_err(|source| RecordError::Parent { key: key.clone(), source: source.into() })?.image.key)
}

/// What the person said, and for the rest what the image says.
fn said_first(said: Provenance, read: Provenance) -> Provenance {
    let mut labels = read.labels;
    labels.extend(said.labels);
    Provenance {
        // The time is that of the commit: what the image says of another one is nothing.
        commit_time: said
            .commit_time
            .or_else(|| read.commit_time.filter(|_| same(said.commit.as_deref(), read.commit.as_deref()))),
        commit: said.commit.or(read.commit),
        source_url: said.source_url.or(read.source_url),
        build_url: said.build_url.or(read.build_url),
        labels,
        parent: said.parent.or(read.parent),
    }
}

/// Whether both may be one commit; one of the two may be the beginning of the other, as git abbreviates.
fn same(said: Option<&str>, read: Option<&str>) -> bool {
    match (said, read) {
        (Some(said), Some(read)) => said.starts_with(read) || read.starts_with(said),
        _ => true,
    }
}

/// Records an image that was read: compared and written on one and the same head of the ledger.
pub fn write(writer: &Writer<'_>, image: &Image) -> Result<Recorded, RecordError> {
    let mut moved = None;
    for _ in 0..TRIES {
        let view = writer.store.view()?;
        let base = view.head().seq;
        let held = Lookup(&*view).image(&image.key)?;
        drop(view);
        let (event, added) = match held {
            None => (Event::ImageRecorded { image: image.clone() }, None),
            Some(record) => match record.image.compare(image) {
                Comparison::Same => return Ok(Recorded::Same(Box::new(record))),
                Comparison::Differs(clashes) => return Err(RecordError::Differs { key: image.key.clone(), clashes }),
                Comparison::Adds(artifacts) => {
                    (Event::ArtifactsAdded { image: image.key.clone(), artifacts: artifacts.clone() }, Some(artifacts))
                }
            },
        };
        match writer.store.claim(base, writer.clock.now(), writer.actor, &event) {
            Ok(entry) => {
                return Ok(match added {
                    None => Recorded::New { image: image.clone(), entry },
                    Some(artifacts) => Recorded::Added { key: image.key.clone(), artifacts, entry },
                });
            }
            Err(error @ StoreError::Moved { .. }) => moved = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(moved.unwrap_or(StoreError::NothingToAppend).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AmiArtifact, AmiFacts, ImageRef};
    use crate::provider::clock::SystemClock;
    use crate::provider::source::{Availability, Described};
    use crate::store::MemoryStore;
    use std::collections::BTreeMap;

    /// Says that every AMI asked for is there, built from one commit.
    struct Shelf;

    #[async_trait::async_trait]
    impl ImageSource for Shelf {
        async fn resolve(&self, selectors: &[SourceSelector]) -> Result<Described, SourceError> {
            let ami = |selector: &SourceSelector| match selector {
                SourceSelector::Ami { id, region } => Some(Artifact::Ami(AmiArtifact {
                    account: "1".repeat(12),
                    region: region.clone()?,
                    arch: "x86_64".parse().unwrap(),
                    id: id.clone(),
                    facts: AmiFacts::default(),
                })),
                _ => None,
            };
            let provenance = Provenance {
                commit: Some("said by the image".into()),
                source_url: Some("https://example.com".into()),
                labels: BTreeMap::from([("a".into(), "image".into()), ("b".into(), "image".into())]),
                ..Provenance::default()
            };
            Ok(Described { artifacts: selectors.iter().filter_map(ami).collect(), provenance, notes: Vec::new() })
        }

        async fn availability(&self, _: &[ImageRef]) -> BTreeMap<ImageRef, Availability> {
            BTreeMap::new()
        }
    }

    fn store() -> MemoryStore {
        MemoryStore::create(uuid::Uuid::nil(), SystemClock.now(), &Actor::default()).unwrap()
    }

    async fn recorded(store: &MemoryStore, key: &str, sources: &[&str]) -> Result<Recorded, RecordError> {
        let actor = Actor { who: "ana@laptop".into(), ..Actor::default() };
        let writer = Writer { store, clock: &SystemClock, actor: &actor };
        let labels = BTreeMap::from([("a".to_owned(), "person".to_owned())]);
        let wish = Wish {
            key: key.parse().unwrap(),
            sources: sources.iter().map(|source| source.parse().unwrap()).collect(),
            provenance: Provenance { commit: Some("said by the person".into()), labels, ..Provenance::default() },
            parent: None,
        };
        record(&writer, &Shelf, wish).await.map(|(recorded, _)| recorded)
    }

    const HERE: &str = "ami-00000000000000001@eu-west-1";
    const THERE: &str = "ami-00000000000000002@us-east-1";
    const OTHER: &str = "ami-00000000000000003@eu-west-1";

    #[tokio::test]
    async fn the_same_again_writes_nothing_and_more_addresses_are_added() {
        let store = store();
        assert!(matches!(recorded(&store, "web@1", &[HERE]).await, Ok(Recorded::New { .. })));
        assert!(matches!(recorded(&store, "web@1", &[HERE]).await, Ok(Recorded::Same(_))));
        let head = store.view().unwrap().head().seq;
        let Ok(Recorded::Added { artifacts, entry, .. }) = recorded(&store, "web@1", &[HERE, THERE]).await else {
            panic!("not added")
        };
        assert_eq!((artifacts.len(), entry.seq), (1, head.next()), "only what is new, in one entry");
    }

    #[tokio::test]
    async fn an_image_never_becomes_another_one() {
        let store = store();
        recorded(&store, "web@1", &[HERE]).await.unwrap();
        let head = store.view().unwrap().head();
        let error = recorded(&store, "web@1", &[OTHER, THERE]).await.unwrap_err();
        assert_eq!(error.to_string(), format!("web@1 is recorded with other artifacts: {HERE}, not {OTHER}"));
        assert_eq!(store.view().unwrap().head(), head, "nothing was written");
    }

    #[tokio::test]
    async fn what_the_person_says_counts_before_what_the_image_says() {
        let store = store();
        let Ok(Recorded::New { image, .. }) = recorded(&store, "web@1", &[HERE]).await else { panic!("not new") };
        let origin = image.provenance;
        assert_eq!(origin.commit.as_deref(), Some("said by the person"));
        assert_eq!(origin.source_url.as_deref(), Some("https://example.com"));
        assert_eq!((origin.labels["a"].as_str(), origin.labels["b"].as_str()), ("person", "image"));
    }

    #[test]
    fn the_time_of_another_commit_is_nobodys() {
        let of = |commit: &str, time: Option<&str>| Provenance {
            commit: Some(commit.to_owned()),
            commit_time: time.map(|time| time.parse().unwrap()),
            ..Provenance::default()
        };
        let (early, late) = (Some("2026-11-20T10:00:00Z"), Some("2026-11-21T10:00:00Z"));
        let time = |said: Provenance, read| said_first(said, read).commit_time.map(|at| at.to_string());
        assert_eq!(
            time(of("8a07b3e", None), of("8a07b3e1c2d3", early)).as_deref(),
            early,
            "one is the other, abbreviated"
        );
        assert_eq!(time(of("8a07b3e", None), of("4f2d0c7", early)), None);
        assert_eq!(time(of("8a07b3e", late), of("8a07b3e", early)).as_deref(), late, "the person's word counts first");
        assert_eq!(time(Provenance::default(), of("8a07b3e", early)).as_deref(), early);
    }

    #[tokio::test]
    async fn a_parent_must_be_known() {
        let store = store();
        let actor = Actor::default();
        let writer = Writer { store: &store, clock: &SystemClock, actor: &actor };
        let wish = |parent: &str| Wish {
            key: "web@1".parse().unwrap(),
            sources: vec![HERE.parse().unwrap()],
            provenance: Provenance::default(),
            parent: Some(parent.parse().unwrap()),
        };
        let error = record(&writer, &Shelf, wish("base@9")).await.unwrap_err();
        assert_eq!(error.to_string(), "the parent of web@1 is not known");
        recorded(&store, "base@9.1", &[THERE]).await.unwrap();
        let (recorded, _) = record(&writer, &Shelf, wish("base@9")).await.unwrap();
        let Recorded::New { image, .. } = recorded else { panic!("not new") };
        assert_eq!(image.provenance.parent.unwrap().to_string(), "base@9.1", "a prefix finds the whole key");
    }
}
