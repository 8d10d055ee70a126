//! Why a head could not be noted down, or read again.

use crate::model::{NotedError, Region};
use crate::provider::aws::AwsError;
use crate::provider::source::RegistryError;

/// Why an anchor did not answer, or not with what was noted there.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    #[error("the anchor {id} has no region, and none is configured")]
    NoRegion { id: String },
    /// Something else than imgctl wrote there.
    #[error("{what} does not hold what imgctl writes")]
    NotAnAnchor {
        what: String,
        #[source]
        source: NotedError,
    },
    /// `actual` as S3 tells it (`x-amz-bucket-region`).
    #[error("bucket {bucket} is not in {asked}{}", .actual.as_ref().map(|actual| format!(", but in {actual}")).unwrap_or_default())]
    WrongRegion { bucket: String, asked: Region, actual: Option<String> },
    /// Somebody else wrote between our reading and our writing; nothing of theirs was touched.
    #[error("{place} was written to by somebody else at the same moment")]
    Overtaken { place: String },
    #[error("{place} was written to, and does not show it")]
    NotTaken { place: String },
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl AnchorError {
    /// What to do next, as a person would type it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRegion { .. } => "set region for it or in [aws], or AWS_REGION".to_owned(),
            Self::NotAnAnchor { source: NotedError::Newer { .. }, .. } => "upgrade imgctl".to_owned(),
            Self::NotAnAnchor { .. } => {
                "find out who wrote there; an anchor needs a place of its own: give it another one in [[ledger.anchors]]"
                    .to_owned()
            }
            Self::WrongRegion { actual, .. } => {
                format!("write region = \"{}\" under it in [[ledger.anchors]]", actual.as_deref().unwrap_or("…"))
            }
            Self::Overtaken { .. } | Self::NotTaken { .. } => "run the same command again".to_owned(),
            Self::Aws(error) => match error.code() {
                Some("ParameterMaxVersionLimitExceeded") => {
                    "its oldest version has a label: take it off (aws ssm unlabel-parameter-version), and run the same command again".to_owned()
                }
                Some("NoSuchBucket") => "check the bucket's name; imgctl makes no buckets".to_owned(),
                _ => error.hint(),
            },
            Self::Registry(error) => return error.hint(),
        })
    }
}
