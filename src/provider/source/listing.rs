//! What a place holds, page by page: an account's AMIs of one region, the tags of one repository.

use super::committed::of_ami;
use super::{AmiSource, RegistrySource, SourceError};
use crate::model::{Artifact, Provenance, Region, Repository};
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// One page of what was not known before.
#[derive(Debug, Default)]
pub struct Page {
    /// How many were listed, known ones included.
    pub listed: usize,
    pub found: Vec<Found>,
    /// What was left out → why: "ami-… is disabled".
    pub passed: Vec<(String, String)>,
    pub notes: Vec<String>,
}

/// One image as it was found.
#[derive(Debug)]
pub struct Found {
    pub artifacts: Vec<Artifact>,
    pub provenance: Provenance,
}

/// Is told each page as it comes, and may end the listing.
pub type OnPage<'a> = dyn FnMut(Page) -> ControlFlow<()> + Send + 'a;

/// A place whose images can be listed.
#[async_trait::async_trait]
pub trait Listing: Send + Sync {
    /// As a person names it: `AMIs in eu-west-1`.
    fn place(&self) -> String;

    /// Lists everything, and reads what is not among `known`: only listing calls are made for what is.
    async fn list(&self, known: &Known, page: &mut OnPage<'_>) -> Result<(), SourceError>;
}

/// What the ledger has already.
#[derive(Debug, Default)]
pub struct Known {
    /// Addresses of AMIs, as `ami-…@REGION`.
    pub amis: BTreeSet<String>,
    /// Tags that images were recorded through, as `HOST/REPOSITORY:TAG`.
    pub tags: BTreeSet<String>,
}

/// The AMIs that the account owns in one region.
pub struct OwnAmis<'a> {
    pub amis: &'a AmiSource,
    pub region: Region,
}

#[async_trait::async_trait]
impl Listing for OwnAmis<'_> {
    fn place(&self) -> String {
        format!("AMIs in {}", self.region)
    }

    async fn list(&self, known: &Known, page: &mut OnPage<'_>) -> Result<(), SourceError> {
        let is_known = |address: &crate::model::ImageRef| known.amis.contains(&address.to_string());
        let mut told = |read: super::AmiPage| {
            let found = read
                .found
                .into_iter()
                .map(|ami| Found { provenance: of_ami(&ami), artifacts: vec![Artifact::Ami(ami)] });
            page(Page {
                listed: read.listed,
                found: found.collect(),
                passed: read.passed.into_iter().map(|(id, why)| (id.to_string(), why)).collect(),
                notes: read.notes,
            })
        };
        self.amis.scan(&self.region, &is_known, &mut told).await
    }
}

/// The tags of one repository.
pub struct RepositoryTags<'a> {
    pub registries: &'a RegistrySource,
    pub repository: Repository,
}

/// How many images are read at the same time, and how many are told at once.
const ABREAST: usize = 8;
const TOLD_AT_ONCE: usize = 64;

#[async_trait::async_trait]
impl Listing for RepositoryTags<'_> {
    fn place(&self) -> String {
        self.repository.to_string()
    }

    async fn list(&self, known: &Known, page: &mut OnPage<'_>) -> Result<(), SourceError> {
        let (mut listed, mut unknown) = (0, Vec::new());
        let mut told = |tags: Vec<String>| {
            listed += tags.len();
            unknown.extend(tags.into_iter().filter(|tag| !known.tags.contains(&format!("{}:{tag}", self.repository))));
            ControlFlow::Continue(())
        };
        self.registries.tags(&self.repository, &mut told).await?;
        if page(Page { listed, ..Page::default() }).is_break() {
            return Ok(());
        }
        for tags in unknown.chunks(TOLD_AT_ONCE) {
            let reads: Vec<_> = tags.iter().map(|tag| self.registries.resolve_tag(&self.repository, tag)).collect();
            let reads: Vec<_> = stream::iter(reads).buffered(ABREAST).collect().await;
            let mut read = Page::default();
            for (tag, answer) in tags.iter().zip(reads) {
                match answer {
                    Ok(described) => {
                        read.notes.extend(described.notes);
                        read.found.push(Found { artifacts: described.artifacts, provenance: described.provenance });
                    }
                    // One tag that cannot be read keeps no other from being recorded.
                    Err(error) => read.passed.push((format!("{}:{tag}", self.repository), error.to_string())),
                }
            }
            if page(read).is_break() {
                break;
            }
        }
        Ok(())
    }
}
