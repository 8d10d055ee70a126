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
    let label = section.text("label");
    if let Some(label) = label.as_ref().filter(|label| !is_label(label.get_ref())) {
        let wanted = "expected letters, digits, `.`, `_` and `-`; it begins with no digit, and not with aws or ssm";
        section.fault(label.span(), "`label` is not valid", wanted);
    }
    Some(SsmSettings { name: name?.into_inner(), label: label.map(Spanned::into_inner) })
}

/// What LabelParameterVersion takes (its reference, "Labels"): others it leaves out, and says so in an answer without an
/// error.
fn is_label(text: &str) -> bool {
    let reserved = ["aws", "ssm"].iter().any(|word| text.to_ascii_lowercase().starts_with(word));
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.len() <= 100 && text.chars().all(known) && !reserved && !text.starts_with(|c: char| c.is_ascii_digit())
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

    /// A version: its value and number. `selector` is the name, or `NAME:LABEL`.
    async fn version(&self, selector: &str) -> Result<Option<(String, i64)>, AwsError> {
        match self.client.get_parameter().name(selector).send().await {
            Ok(answer) => Ok(answer.parameter.map(|found| (found.value.unwrap_or_default(), found.version))),
            Err(error) => match classify("ssm:GetParameter", &self.object(), error) {
                AwsError::NotFound { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    async fn newest(&self) -> Result<Option<(String, i64)>, AwsError> {
        self.version(&self.settings.name).await
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

    /// Looks until this stands there, or not any more.
    async fn look<F>(&self, seen: impl Fn() -> F, wanted: &str) -> Result<(), PointerError>
    where
        F: Future<Output = Result<Option<String>, PointerError>>,
    {
        let look = || async {
            match seen().await? {
                Some(now) if now == wanted => Ok(()),
                now => {
                    let shows = now.unwrap_or_else(|| "nothing".to_owned());
                    Err(PointerError::NotTaken { place: self.place(), shows })
                }
            }
        };
        let looks = ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_max_times(LOOKS);
        look.retry(looks).when(|error| matches!(error, PointerError::NotTaken { .. })).await
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

    /// Code reads the newest version or the one with the label: only where both hold the same, that is what stands there.
    async fn read(&self) -> Result<Option<String>, PointerError> {
        let (Some((newest, _)), label) = (self.newest().await?, self.settings.label.as_ref()) else { return Ok(None) };
        let Some(label) = label else { return Ok(Some(newest)) };
        let labelled = self.version(&format!("{}:{label}", self.settings.name)).await?;
        Ok(Some(match labelled {
            Some((held, _)) if held == newest => newest,
            Some((held, number)) => format!("{newest}, and {held} under the label {label} (version {number})"),
            None => format!("{newest}, and nothing under the label {label}"),
        }))
    }

    /// The label goes along last: until AWS has taken the version, code that reads it stays at what was there.
    async fn write(&self, address: &str) -> Result<(), PointerError> {
        let version = match self.newest().await? {
            Some((now, version)) if now == address => version,
            _ => {
                let version = self.put(address).await?;
                self.look(|| async { Ok(self.newest().await?.map(|(now, _)| now)) }, address).await?;
                version
            }
        };
        self.label(version).await?;
        self.look(|| self.read(), address).await
    }
}
