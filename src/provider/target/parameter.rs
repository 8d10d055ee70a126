//! AMIs behind SSM parameters: what a template that says `resolve:ssm:NAME` launches now.
//!
//! EC2 asks the parameter at every launch
//! (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/using-systems-manager-parameters.html>), so what is read here is
//! true for this moment.

use crate::model::{AmiId, ImageRef, Region};
use crate::provider::aws::Aws;
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet};

/// What stands before the parameter's name, which may have a version's number or a label behind it: as GetParameter takes
/// it.
pub(super) const PREFIX: &str = "resolve:ssm:";
/// How many parameters are asked for at the same time.
const SIDE_BY_SIDE: usize = 8;

/// The text of a template → the AMI that it leads to now.
#[derive(Debug, Default)]
pub(super) struct Aliases(BTreeMap<String, AmiId>);

impl Aliases {
    /// Asks for the parameters in these texts, once each (GetParameter). One that is not there, holds no AMI's id or may
    /// not be read leads nowhere that is known.
    pub(super) async fn read<'a>(aws: &Aws, region: &Region, texts: impl Iterator<Item = &'a str>) -> Self {
        let texts: BTreeSet<&str> = texts.filter(|text| text.starts_with(PREFIX)).collect();
        if texts.is_empty() {
            return Self::default();
        }
        let ssm = aws.ssm(region);
        let ask = async |text: &str| {
            let answer = ssm.get_parameter().name(text.strip_prefix(PREFIX)?).send().await.ok()?;
            Some((text.to_owned(), answer.parameter?.value?.parse().ok()?))
        };
        let asks: Vec<_> = texts.into_iter().map(ask).collect();
        let found: Vec<Option<(String, AmiId)>> =
            futures_util::stream::iter(asks).buffered(SIDE_BY_SIDE).collect().await;
        Self(found.into_iter().flatten().collect())
    }

    pub(super) fn image(&self, region: &Region, text: &str) -> Option<ImageRef> {
        self.0.get(text).map(|id| ImageRef::Ami { region: region.clone(), id: id.clone() })
    }
}
