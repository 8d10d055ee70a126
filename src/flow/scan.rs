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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Actor, AmiArtifact, AmiFacts, Digest, Provenance};
    use crate::provider::clock::{Clock, SystemClock};
    use crate::provider::source::listing::OnPage;
    use crate::store::{LedgerStore, MemoryStore};

    /// A place with these artifacts, one to a page, which breaks down after some of them.
    struct Shelf {
        artifacts: Vec<Artifact>,
        breaks_after: usize,
    }

    #[async_trait::async_trait]
    impl Listing for Shelf {
        fn place(&self) -> String {
            "a shelf".to_owned()
        }

        async fn list(&self, known: &Known, page: &mut OnPage<'_>) -> Result<(), SourceError> {
            for (at, artifact) in self.artifacts.iter().enumerate() {
                if at == self.breaks_after {
                    return Err(SourceError::NoRegion { id: "ami-00000000000000009".parse().unwrap() });
                }
                let is_known = match artifact {
                    Artifact::Ami(_) => known.amis.contains(&artifact.address().to_string()),
                    Artifact::Oci(_) => known.tags.contains(&place(artifact)),
                };
                let found = Found { artifacts: vec![artifact.clone()], provenance: Provenance::default() };
                let found = if is_known { Vec::new() } else { vec![found] };
                let _goes_on = page(Page { listed: 1, found, ..Page::default() });
            }
            Ok(())
        }
    }

    fn ami(id: &str, region: &str, name: &str, version: &str) -> Artifact {
        let tags = [("Name", name), ("Version", version)].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let facts = AmiFacts { tags: tags.into(), ..AmiFacts::default() };
        let id = format!("ami-0000000000000000{id}").parse().unwrap();
        let (region, arch) = (region.parse().unwrap(), "x86_64".parse().unwrap());
        Artifact::Ami(AmiArtifact { account: "1".repeat(12), region, arch, id, facts })
    }

    fn container(tag: &str, bytes: &str) -> Artifact {
        Artifact::Oci(OciArtifact {
            repository: "r.example.com/team/api".parse().unwrap(),
            digest: Digest::of(bytes.as_bytes()),
            media_type: String::new(),
            platforms: BTreeMap::new(),
            tag: Some(tag.to_owned()),
        })
    }

    async fn scanned(store: &MemoryStore, artifacts: &[Artifact], breaks_after: usize) -> Tally {
        let actor = Actor::default();
        let writer = Writer { store, clock: &SystemClock, actor: &actor };
        let shelf: Box<dyn Listing> = Box::new(Shelf { artifacts: artifacts.to_vec(), breaks_after });
        scan(&writer, &Naming::default(), &[shelf], &|_, _| ()).await.unwrap().pop().unwrap()
    }

    fn store() -> MemoryStore {
        MemoryStore::create(uuid::Uuid::nil(), SystemClock.now(), &Actor::default()).unwrap()
    }

    fn images(store: &MemoryStore) -> Vec<String> {
        let view = store.view().unwrap();
        let mut images: Vec<_> =
            Lookup(&*view).recent(99).unwrap().iter().map(|held| held.image.key.to_string()).collect();
        images.sort();
        images
    }

    #[tokio::test]
    async fn one_name_and_version_in_several_regions_is_one_image() {
        let store = store();
        let found =
            [ami("1", "eu-west-1", "web", "1"), ami("2", "us-east-1", "web", "1"), ami("3", "eu-west-1", "web", "2")];
        let tally = scanned(&store, &found, 99).await;
        assert_eq!((tally.listed, tally.recorded, tally.added, tally.passed.len()), (3, 2, 1, 0));
        assert_eq!(images(&store), ["web@1", "web@2"]);
        let again = scanned(&store, &found, 99).await;
        assert_eq!((again.listed, again.recorded, again.added), (3, 0, 0), "a second scan finds nothing new");
    }

    #[tokio::test]
    async fn another_image_under_a_taken_name_is_left_out_and_named() {
        let tally =
            scanned(&store(), &[ami("1", "eu-west-1", "web", "1"), ami("2", "eu-west-1", "web", "1")], 99).await;
        assert_eq!(tally.recorded, 1);
        let (what, why) = &tally.passed[0];
        assert_eq!(what, "ami-00000000000000002@eu-west-1");
        assert_eq!(why, "web@1 is ami-00000000000000001@eu-west-1 already, and images never change");
    }

    #[tokio::test]
    async fn several_tags_of_the_same_bytes_are_one_image() {
        let store = store();
        let tally =
            scanned(&store, &[container("1.4", "x"), container("latest", "x"), container("1.5", "y")], 99).await;
        assert_eq!(images(&store), ["api@1.4", "api@1.5"]);
        let expected = ("r.example.com/team/api:latest".to_owned(), "it is the same image as api@1.4".to_owned());
        assert_eq!(tally.passed, [expected]);
    }

    #[tokio::test]
    async fn a_tag_that_imgctl_wrote_is_no_image() {
        let store = store();
        scanned(&store, &[container("1.4", "x")], 99).await;
        let (image, tags) = ("api@1.4".parse().unwrap(), ["stable".to_owned()].into());
        store.append(SystemClock.now(), &Actor::default(), &Event::Tagged { image, tags }).unwrap();
        let tally = scanned(&store, &[container("1.4", "x"), container("stable", "x")], 99).await;
        assert_eq!((tally.listed, tally.passed.len()), (2, 0));
    }

    #[tokio::test]
    async fn a_scan_that_breaks_off_keeps_what_it_found_and_goes_on_there() {
        let store = store();
        let found = [ami("1", "eu-west-1", "web", "1"), ami("2", "eu-west-1", "web", "2")];
        let tally = scanned(&store, &found, 1).await;
        assert!(tally.failure.is_some());
        assert_eq!(images(&store), ["web@1"]);
        let tally = scanned(&store, &found, 99).await;
        assert_eq!((tally.recorded, tally.failure.is_none()), (1, true));
    }
}
