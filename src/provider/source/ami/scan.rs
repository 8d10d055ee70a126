//! Every AMI the account owns in a region, page by page. A second scan costs only the listing.

use super::reading::{artifact, why_unusable};
use super::{AmiSource, SourceError};
use crate::model::{AmiArtifact, AmiId, Artifact, ImageRef, Region};
use crate::provider::aws::classify;
use aws_sdk_ec2::types::Image;
use std::ops::ControlFlow;

/// The most that DescribeImages gives at once.
const PAGE: i32 = 1000;

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AmiPage {
    /// How many AMIs the page had.
    pub listed: usize,
    /// Those that were not known, without launch permissions: those cost one call each, and `record` reads them.
    pub found: Vec<AmiArtifact>,
    /// AMI → why it is not among them: "is disabled: nothing can be launched from it".
    pub passed: Vec<(AmiId, String)>,
    /// What the person should know: "KMS keys are not recorded: …".
    pub notes: Vec<String>,
}

impl AmiSource {
    /// Lists the account's own AMIs of a region. What `known` says is in the ledger costs no further call; `page` is
    /// told each page as it comes, and may end the listing.
    pub async fn scan(
        &self,
        region: &Region,
        known: &(dyn Fn(&ImageRef) -> bool + Sync),
        page: &mut (dyn FnMut(AmiPage) -> ControlFlow<()> + Send),
    ) -> Result<(), SourceError> {
        let call = self
            .aws
            .ec2(region)
            .describe_images()
            .owners("self")
            .include_disabled(true)
            .include_deprecated(true)
            .max_results(PAGE);
        let mut pages = call.into_paginator().send();
        while let Some(answer) = pages.next().await {
            let answer =
                answer.map_err(|error| classify("ec2:DescribeImages", &format!("own AMIs in {region}"), error))?;
            let mut read = sort(region, answer.images(), known);
            self.add_keys(region, &mut read.found, &mut read.notes).await;
            if page(read).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn sort(region: &Region, images: &[Image], known: &(dyn Fn(&ImageRef) -> bool + Sync)) -> AmiPage {
    let mut page = AmiPage { listed: images.len(), ..AmiPage::default() };
    for image in images {
        match (artifact(region, image), why_unusable(image)) {
            (Ok(ami), _) if known(&Artifact::Ami(ami.clone()).address()) => {}
            (Ok(ami), None) => page.found.push(ami),
            (Ok(ami), Some((_, what))) => page.passed.push((ami.id, what)),
            (Err(error), _) => page.notes.push(error.to_string()),
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{ArchitectureValues, ImageState};

    #[test]
    fn a_page_is_sorted_into_known_new_and_passed_over() {
        let image = |id: &str, state| {
            Image::builder().image_id(id).architecture(ArchitectureValues::X8664).state(state).build()
        };
        let images = [
            image("ami-11111111", ImageState::Available),
            image("ami-22222222", ImageState::Available),
            image("ami-33333333", ImageState::Disabled),
            Image::builder().image_id("ami-44444444").build(),
        ];
        let page = sort(&"eu-west-1".parse().unwrap(), &images, &|address| address.to_string().starts_with("ami-1"));
        assert_eq!((page.listed, page.found.len(), page.notes.len()), (4, 1, 1));
        assert_eq!(page.found[0].id.as_str(), "ami-22222222");
        assert_eq!(page.passed[0].0.as_str(), "ami-33333333");
    }
}
