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
        commit: said.commit.or(read.commit),
        source_url: said.source_url.or(read.source_url),
        build_url: said.build_url.or(read.build_url),
        labels,
        parent: said.parent.or(read.parent),
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
