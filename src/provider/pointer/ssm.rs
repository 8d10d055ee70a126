//! An SSM parameter: what `data "aws_ssm_parameter"` and `resolve:ssm:` read.
//!
//! Every write is a new version; the hundred newest are kept, and a label on the oldest makes the next write fail
//! (<https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-versions.html>), so that only a label
//! that moves along is put. A value of the data type `aws:ec2:image` is checked after PutParameter has answered
//! (<https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html>): it is read back.

use super::{Pointer, PointerError};
use crate::model::AmiId;
use crate::provider::aws::{AwsError, classify};
use crate::provider::section::Section;
use aws_sdk_ssm::types::ParameterType;
use backon::{ExponentialBuilder, Retryable};
use std::time::Duration;
use toml::Spanned;

/// How often a version that was written is looked for: AWS takes seconds to check an AMI.
const LOOKS: usize = 9;

/// One parameter, of the type `String`. It is created by the first write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsmSettings {
    /// As in `/imgctl/web/prod`.
    pub name: String,
    /// Moved to each version that is written, as in `resolve:ssm:/imgctl/web/prod:stable`.
    pub label: Option<String>,
}

pub(super) fn read(section: &Section<'_>) -> Option<SsmSettings> {
    let name = section.required_text("name", "the parameter's name, as in \"/imgctl/web/prod\"");
    let label = section.text("label").map(Spanned::into_inner);
    Some(SsmSettings { name: name?.into_inner(), label })
}

/// One parameter in one region.
pub(super) struct Parameter {
    client: aws_sdk_ssm::Client,
    settings: SsmSettings,
    /// The region, and the role or profile where there is one.
    within: String,
}

impl Parameter {
    pub(super) fn new(client: aws_sdk_ssm::Client, settings: SsmSettings, within: String) -> Self {
        Self { client, settings, within }
    }

    fn object(&self) -> String {
        format!("{} in {}", self.settings.name, self.within)
    }

    /// The newest version: its value and number.
    async fn newest(&self) -> Result<Option<(String, i64)>, AwsError> {
        match self.client.get_parameter().name(&self.settings.name).send().await {
            Ok(answer) => Ok(answer.parameter.map(|found| (found.value.unwrap_or_default(), found.version))),
            Err(error) => match classify("ssm:GetParameter", &self.object(), error) {
                AwsError::NotFound { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    async fn put(&self, value: &str) -> Result<i64, AwsError> {
        let kind = if value.parse::<AmiId>().is_ok() { "aws:ec2:image" } else { "text" };
        let put = self.client.put_parameter().name(&self.settings.name).value(value);
        let put = put.r#type(ParameterType::String).data_type(kind).overwrite(true);
        let answer = put.description("What imgctl has released: imgctl pointer show").send().await;
        let answer = answer.map_err(|error| classify("ssm:PutParameter", &self.object(), error))?;
        Ok(answer.version())
    }

    async fn label(&self, version: i64) -> Result<(), AwsError> {
        let Some(label) = &self.settings.label else { return Ok(()) };
        let labelled = self.client.label_parameter_version().name(&self.settings.name).labels(label);
        let labelled = labelled.parameter_version(version).send().await;
        labelled.map(drop).map_err(|error| classify("ssm:LabelParameterVersion", &self.object(), error))
    }
}

#[async_trait::async_trait]
impl Pointer for Parameter {
    fn place(&self) -> String {
        format!("SSM parameter {}", self.object())
    }

    fn parameter(&self) -> Option<&str> {
        Some(&self.settings.name)
    }

    async fn read(&self) -> Result<Option<String>, PointerError> {
        Ok(self.newest().await?.map(|(value, _)| value))
    }

    async fn write(&self, value: &str) -> Result<(), PointerError> {
        if self.newest().await?.is_some_and(|(now, _)| now == value) {
            return Ok(());
        }
        let version = self.put(value).await?;
        let look = || async {
            match self.newest().await? {
                Some((now, _)) if now == value => Ok(()),
                now => {
                    let shows =
                        now.map_or_else(|| "nothing".to_owned(), |(now, number)| format!("{now} (version {number})"));
                    Err(PointerError::NotTaken { place: self.place(), shows })
                }
            }
        };
        let looks = ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_max_times(LOOKS);
        look.retry(looks).when(|error| matches!(error, PointerError::NotTaken { .. })).await?;
        Ok(self.label(version).await?)
    }
}
