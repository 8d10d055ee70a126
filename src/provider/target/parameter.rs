//! AMIs behind SSM parameters: what a template that says `resolve:ssm:NAME` launches now.
//!
//! EC2 asks the parameter at every launch
//! (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/using-systems-manager-parameters.html>), so what is read here is
//! true for this moment.

use super::TargetError;
use crate::model::{AmiId, ImageRef, Region};
use crate::provider::aws::{Aws, classify};
use aws_sdk_ssm::error::ProvideErrorMetadata;
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet};

/// What stands before the parameter's name, which may have a version's number or a label behind it: as GetParameter takes
/// it.
pub(super) const PREFIX: &str = "resolve:ssm:";
/// How many parameters are asked for at the same time.
const SIDE_BY_SIDE: usize = 8;

/// The text of a template → where it leads now.
#[derive(Debug, Default)]
pub(super) struct Aliases(BTreeMap<String, Lead>);

#[derive(Debug)]
enum Lead {
    Image(AmiId),
    /// Nothing can be launched through it, and why.
    Nowhere(&'static str),
    /// Nobody told us, and why.
    Unread(String),
}

impl Aliases {
    /// Asks for the parameters in these texts, once each (GetParameter).
    pub(super) async fn read<'a>(aws: &Aws, region: &Region, texts: impl Iterator<Item = &'a str>) -> Self {
        let texts: BTreeSet<&str> = texts.filter(|text| text.starts_with(PREFIX)).collect();
        let asks: Vec<_> =
            texts.into_iter().map(async |text| (text.to_owned(), lead(aws, region, text).await)).collect();
        Self(futures_util::stream::iter(asks).buffered(SIDE_BY_SIDE).collect().await)
    }

    pub(super) fn image(&self, region: &Region, text: &str) -> Option<ImageRef> {
        match self.0.get(text)? {
            Lead::Image(id) => Some(ImageRef::Ami { region: region.clone(), id: id.clone() }),
            Lead::Nowhere(_) | Lead::Unread(_) => None,
        }
    }

    /// Why it could not be read where this text leads.
    pub(super) fn unread(&self, text: &str) -> Option<String> {
        match self.0.get(text)? {
            Lead::Unread(why) => Some(format!("where {text} leads could not be read: {why}")),
            Lead::Image(_) | Lead::Nowhere(_) => None,
        }
    }

    /// What launches through this text, and cannot: EC2 refuses the launch, and nothing tells before it does.
    pub(super) fn dangling(&self, who: &str, text: &str) -> Option<TargetError> {
        let Lead::Nowhere(why) = self.0.get(text)? else { return None };
        let name = text.trim_start_matches(PREFIX);
        Some(TargetError::Dangling {
            what: format!("{who} launches from {text}, and {why}"),
            hint: format!(
                "put the AMI back (aws ssm put-parameter --name {name} --type String --data-type aws:ec2:image \
                 --overwrite --value AMI), or put its id into the template"
            ),
        })
    }
}

async fn lead(aws: &Aws, region: &Region, text: &str) -> Lead {
    let name = text.trim_start_matches(PREFIX);
    match aws.ssm(region).get_parameter().name(name).send().await {
        // The value is not repeated: it may be anything.
        Ok(answer) => match answer.parameter.and_then(|parameter| parameter.value?.parse().ok()) {
            Some(image) => Lead::Image(image),
            None => Lead::Nowhere("the parameter holds no AMI's id"),
        },
        Err(error) => match error.code() {
            Some("ParameterNotFound") => Lead::Nowhere("there is no such parameter"),
            Some("ParameterVersionNotFound") => Lead::Nowhere("the parameter has no such version or label"),
            _ => {
                let object = format!("parameter {name} in {}", aws.place(region));
                Lead::Unread(classify("ssm:GetParameter", &object, error).to_string())
            }
        },
    }
}
