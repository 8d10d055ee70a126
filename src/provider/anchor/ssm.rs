//! An SSM parameter: each head is a version of it, and the last hundred versions are its memory.
//!
//! Parameter Store keeps the 100 newest versions of a parameter and drops the oldest unless it has a label
//! (<https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-versions.html>). PutParameter refuses
//! to create a parameter that exists unless told to overwrite, and knows no other condition: two writers can both
//! overwrite. Neither is lost: both are versions, every version is read and compared, and so is what came in between.

use super::{Anchor, AnchorError};
use crate::model::{Noted, Region};
use crate::provider::aws::{AwsError, classify};
use crate::provider::section::Section;
use aws_sdk_ssm::types::{ParameterHistory, ParameterType};
use backon::{ExponentialBuilder, Retryable};
use std::time::Duration;
use toml::Spanned;

/// The word for it in the config.
pub(super) const KIND: &str = "ssm";
/// The most versions that one GetParameterHistory answers with.
const PAGE: i32 = 50;
/// A version that was written may be shown a moment later.
const LOOKS: usize = 6;

/// A parameter of its own; nothing else may write to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsmSettings {
    /// As in `/imgctl/ledger`. It is created by the first write, as a `String`.
    pub name: String,
    pub region: Option<Region>,
}

pub(super) fn read(section: &Section<'_>) -> Option<SsmSettings> {
    let name = section.required_text("name", "the parameter's name, as in \"/imgctl/ledger\"");
    let region = section.parsed("region").map(Spanned::into_inner);
    Some(SsmSettings { name: name?.into_inner(), region })
}

/// One parameter.
pub(super) struct Parameter {
    client: aws_sdk_ssm::Client,
    name: String,
    /// The region, and the role or profile where there is one.
    within: String,
}

impl Parameter {
    pub(super) fn new(client: aws_sdk_ssm::Client, name: String, within: String) -> Self {
        Self { client, name, within }
    }

    fn object(&self) -> String {
        format!("{} in {}", self.name, self.within)
    }

    /// Every version that is kept, oldest first. Empty: there is no such parameter.
    async fn versions(&self) -> Result<Vec<ParameterHistory>, AwsError> {
        let mut versions = Vec::new();
        let mut next = None;
        loop {
            let page = self.client.get_parameter_history().name(&self.name).max_results(PAGE).set_next_token(next);
            let page = match page.send().await {
                Ok(page) => page,
                Err(error) => match classify("ssm:GetParameterHistory", &self.object(), error) {
                    AwsError::NotFound { .. } => return Ok(Vec::new()),
                    error => return Err(error),
                },
            };
            versions.extend(page.parameters().iter().cloned());
            next = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if next.is_none() {
                versions.sort_by_key(ParameterHistory::version);
                return Ok(versions);
            }
        }
    }

    fn noted(&self, version: &ParameterHistory) -> Result<Noted, AnchorError> {
        let text = version.value().unwrap_or_default();
        Noted::from_document(text).map_err(|source| {
            let what = format!("version {} of {}", version.version(), self.place());
            AnchorError::NotAnAnchor { what, source }
        })
    }

    async fn put(&self, document: String, overwrite: bool) -> Result<i64, AnchorError> {
        let put = self
            .client
            .put_parameter()
            .name(&self.name)
            .description("Heads of an imgctl ledger: imgctl ledger verify --anchored")
            .r#type(ParameterType::String)
            .overwrite(overwrite)
            .value(document);
        match put.send().await {
            Ok(answer) => Ok(answer.version()),
            Err(error) => match classify("ssm:PutParameter", &self.object(), error) {
                AwsError::Other { code, .. } if code == "ParameterAlreadyExists" || code == "TooManyUpdates" => {
                    Err(AnchorError::Overtaken { place: self.place() })
                }
                error => Err(error.into()),
            },
        }
    }
}

#[async_trait::async_trait]
impl Anchor for Parameter {
    fn place(&self) -> String {
        format!("SSM parameter {}", self.object())
    }

    async fn read(&self) -> Result<Vec<Noted>, AnchorError> {
        let versions = self.versions().await?;
        let mut noted = versions.iter().map(|version| self.noted(version)).collect::<Result<Vec<_>, _>>()?;
        noted.sort_by_key(|noted| noted.head.seq);
        Ok(noted)
    }

    async fn write(&self, noted: &Noted, over: Option<&Noted>) -> Result<(), AnchorError> {
        // What was not there is created, and refused if it is there after all.
        let version = self.put(noted.to_document(), over.is_some()).await?;
        let look = || async {
            match self.versions().await?.iter().any(|shown| shown.version() == version) {
                true => Ok(()),
                false => Err(AnchorError::NotTaken { place: self.place() }),
            }
        };
        let looks = ExponentialBuilder::default().with_min_delay(Duration::from_millis(100)).with_max_times(LOOKS);
        look.retry(looks).when(|error| matches!(error, AnchorError::NotTaken { .. })).await
    }
}
