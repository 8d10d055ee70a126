//! Scan: record everything that a place holds and the ledger does not. Each page is written as it comes, so a scan that
//! is cut short goes on where it stopped.

use super::record::Writer;
use crate::model::lookup::ImageRecord;
use crate::model::{
    Artifact, Event, Image, ImageKey, ImageRef, LedgerView, Lookup, OciArtifact, Order, Table, ViewError,
};
use crate::plan::naming::Naming;
use crate::provider::source::SourceError;
use crate::provider::source::listing::{Found, Known, Listing, Page};
use crate::store::StoreError;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

/// What came of scanning one place.
#[derive(Debug, Default)]
pub struct Tally {
    pub place: String,
    pub listed: usize,
    /// Images that were not known.
    pub recorded: usize,
    /// Artifacts that were added to images that were known.
    pub added: usize,
    /// What was left out → why.
    pub passed: Vec<(String, String)>,
    pub notes: Vec<String>,
    /// Why the place could not be read to its end. What was found before is recorded.
    pub failure: Option<Failed>,
}

/// Why a scan of one place ended early.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ViewError> for Failed {
    fn from(error: ViewError) -> Self {
        Self::Store(StoreError::View(error))
    }
}

/// Is told the number of images listed and recorded so far, over all places.
pub type Told<'a> = dyn Fn(usize, usize) + Send + Sync + 'a;

/// Scans all places side by side.
///
/// # Errors
/// Only when the ledger cannot be read at the start; what fails later is in the tallies.
pub async fn scan(
    writer: &Writer<'_>,
    naming: &Naming,
    listings: &[Box<dyn Listing + '_>],
    told: &Told<'_>,
) -> Result<Vec<Tally>, StoreError> {
    let known = known(writer)?;
    let sums = Mutex::new((0, 0));
    let scan = Scan { writer, naming, known: &known, sums: &sums, told };
    Ok(futures_util::future::join_all(listings.iter().map(|listing| scan.place(&**listing))).await)
}

fn known(writer: &Writer<'_>) -> Result<Known, StoreError> {
    let view = writer.store.view()?;
    let keys = |table, prefix| -> Result<_, ViewError> {
        let rows = view.scan(table, prefix, Order::Ascending, None, usize::MAX)?;
        Ok(rows.into_iter().filter_map(|(key, _)| Some(key.rsplit_once('|')?.0.to_owned())).collect())
    };
    let mut known = Known { amis: keys(Table::Address, "ami-")?, tags: keys(Table::RepositoryTag, "")? };
    known.tags.extend(own_tags(&*view)?);
    Ok(known)
}

/// Tags that `tag` put into registries: names of images that are known, not images.
fn own_tags(view: &dyn LedgerView) -> Result<Vec<String>, ViewError> {
    let mut tags = Vec::new();
    for (key, image) in view.scan(Table::Tag, "", Order::Ascending, None, usize::MAX)? {
        let (Some((_, tag)), Ok(image)) = (key.split_once(':'), image.parse::<ImageKey>()) else { continue };
        let artifacts = Lookup(view).image(&image)?.map(|record| record.image.artifacts).unwrap_or_default();
        tags.extend(artifacts.iter().filter_map(|artifact| match artifact {
            Artifact::Oci(oci) => Some(format!("{}:{tag}", oci.repository)),
            Artifact::Ami(_) => None,
        }));
    }
    Ok(tags)
}

/// What the scans of all places share.
struct Scan<'a> {
    writer: &'a Writer<'a>,
    naming: &'a Naming,
    known: &'a Known,
    sums: &'a Mutex<(usize, usize)>,
    told: &'a Told<'a>,
}

impl Scan<'_> {
    async fn place(&self, listing: &dyn Listing) -> Tally {
        let mut tally = Tally { place: listing.place(), ..Tally::default() };
        let mut page = |page: Page| {
            let before = (tally.listed, tally.recorded);
            let kept = keep(self.writer, self.naming, page, &mut tally);
            self.tell(tally.listed - before.0, tally.recorded - before.1);
            match kept {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    tally.failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        let listed = listing.list(self.known, &mut page).await;
        if let Err(error) = listed {
            tally.failure = Some(error.into());
        }
        tally
    }

    fn tell(&self, listed: usize, recorded: usize) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        *sums = (sums.0 + listed, sums.1 + recorded);
        (self.told)(sums.0, sums.1);
    }
}

/// How often another writer may get in between looking and writing.
const TRIES: usize = 5;

/// Names what was found, and writes the whole page at once.
fn keep(writer: &Writer<'_>, naming: &Naming, page: Page, tally: &mut Tally) -> Result<(), Failed> {
    tally.listed += page.listed;
    tally.passed.extend(page.passed);
    tally.notes.extend(page.notes);
    let mut named = Vec::new();
    for found in page.found {
        match name(naming, &found) {
            Ok(key) => named.push((key, found)),
            Err((what, why)) => tally.passed.push((what, why)),
        }
    }
    // Where several tags name the same bytes, the one that looks like a version names the image.
    named.sort_by_key(|(key, _)| (!key.version.as_str().contains(|c: char| c.is_ascii_digit()), key.clone()));
    let mut last = None;
    for _ in 0..TRIES {
        let batch = compare(writer, &named)?;
        if batch.events.is_empty() {
            tally.passed.extend(batch.passed);
            return Ok(());
        }
        match writer.store.append_all(writer.clock.now(), writer.actor, &batch.events) {
            Ok(_) => {
                tally.recorded += batch.recorded;
                tally.added += batch.added;
                tally.passed.extend(batch.passed);
                return Ok(());
            }
            // Somebody recorded one of them in between: it is compared again.
            Err(error @ StoreError::Illegal(_)) => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.unwrap_or(StoreError::NothingToAppend).into())
}

/// What an image is called; else what could not be named, and why.
fn name(naming: &Naming, found: &Found) -> Result<ImageKey, (String, String)> {
    match found.artifacts.first() {
        Some(Artifact::Ami(ami)) => naming.name(ami).map_err(|why| (ami.id.to_string(), why)),
        Some(Artifact::Oci(oci)) => Naming::name_tag(oci).map_err(|why| (oci.repository.to_string(), why)),
        None => Err(("an image".to_owned(), "it has no artifact".to_owned())),
    }
}

/// What one page comes to.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    recorded: usize,
    added: usize,
    passed: Vec<(String, String)>,
}

/// One image of the page: what the ledger has of it, and what it will be.
struct Growing {
    held: Option<ImageRecord>,
    image: Image,
    new: Vec<Artifact>,
}

fn compare(writer: &Writer<'_>, named: &[(ImageKey, Found)]) -> Result<Batch, Failed> {
    let view = writer.store.view()?;
    let look = Lookup(&*view);
    let mut batch = Batch::default();
    let mut images: BTreeMap<ImageKey, Growing> = BTreeMap::new();
    let mut taken: BTreeMap<ImageRef, ImageKey> = BTreeMap::new();
    for (key, found) in named {
        if !images.contains_key(key) {
            let held = look.image(key)?;
            let empty = Image::new(key.clone(), Vec::new(), found.provenance.clone());
            let image = held.as_ref().map_or(empty, |record| record.image.clone());
            images.insert(key.clone(), Growing { held, image, new: Vec::new() });
        }
        let Some(growing) = images.get_mut(key) else { continue };
        for artifact in &found.artifacts {
            let address = artifact.address();
            let elsewhere = look.at_address(&address.to_string())?.into_iter().next();
            let elsewhere = elsewhere.or_else(|| taken.get(&address).cloned()).filter(|other| other != key);
            if let Some(other) = elsewhere {
                batch.passed.push((place(artifact), format!("it is the same image as {other}")));
                continue;
            }
            taken.insert(address, key.clone());
            growing.take(key, artifact, &mut batch.passed);
        }
    }
    for (key, growing) in images.into_iter().filter(|(_, growing)| !growing.new.is_empty()) {
        if growing.held.is_some() {
            batch.added += growing.new.len();
            batch.events.push(Event::ArtifactsAdded { image: key, artifacts: growing.new });
        } else {
            batch.recorded += 1;
            batch.events.push(Event::ImageRecorded { image: growing.image });
        }
    }
    Ok(batch)
}

/// The artifact by the name that it was found under.
fn place(artifact: &Artifact) -> String {
    match artifact {
        Artifact::Oci(OciArtifact { repository, tag: Some(tag), .. }) => format!("{repository}:{tag}"),
        other => other.address().to_string(),
    }
}

impl Growing {
    /// Adds an artifact, unless the image has it, or has another one in its place.
    fn take(&mut self, key: &ImageKey, artifact: &Artifact, passed: &mut Vec<(String, String)>) {
        let address: ImageRef = artifact.address();
        if self.image.addresses().any(|held| held == address) {
            return;
        }
        if let Some(clash) = self.image.clash(artifact) {
            passed.push((address.to_string(), format!("{key} is {clash} already, and images never change")));
            return;
        }
        let all = self.image.artifacts.iter().chain([artifact]).cloned().collect();
        self.image = Image::new(key.clone(), all, self.image.provenance.clone());
        self.new.push(artifact.clone());
    }
}
