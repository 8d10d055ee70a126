//! Where the bytes of infrastructure code live. How they are read is another room's business.

mod address;
mod file;
mod http;
mod s3;
mod stack;
mod stdin;

pub use address::{HttpAddress, StateAddress};
pub use file::{StateFile, matching};
pub use http::HttpCredentials;
pub use stdin::StateStdin;

use crate::model::Region;
use crate::provider::aws::{Access, Aws, AwsError};
use std::sync::Arc;

/// One place that holds a state.
#[async_trait::async_trait]
pub trait StateSource: Send + Sync {
    /// How the user named it; of a URL, what may be shown.
    fn name(&self) -> &str;

    /// All of its bytes.
    async fn fetch(&self) -> Result<Vec<u8>, FetchError>;
}

/// A state as the config or a flag names it, before anything is asked of anybody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateSpec {
    pub address: StateAddress,
    /// How it is named in findings and errors.
    pub name: String,
    /// Of an object in S3 or a stack: where it is, and with which credentials it is read.
    pub region: Option<Region>,
    pub access: Access,
}

/// A state, ready to be fetched. Sends nothing. `aws` is needed only where S3 or CloudFormation is meant.
///
/// # Errors
/// An object in S3 or a stack without a region, where none is configured either.
pub fn open(
    spec: &StateSpec,
    aws: Option<&Arc<Aws>>,
    credentials: &HttpCredentials,
) -> Result<Box<dyn StateSource>, FetchError> {
    let name = spec.name.clone();
    let place = |own: Option<&Region>| {
        let unplaced = || FetchError::NoRegion { name: spec.name.clone() };
        let aws = aws.ok_or_else(unplaced)?.under(&spec.access);
        let region = own.or(spec.region.as_ref()).or_else(|| aws.region()).cloned().ok_or_else(unplaced)?;
        Ok((aws, region))
    };
    Ok(match &spec.address {
        StateAddress::File(path) => Box::new(StateFile::new(name, path)),
        StateAddress::Http(address) => Box::new(http::StateUrl::new(address.clone(), credentials.clone())),
        StateAddress::S3 { bucket, key } => {
            let (aws, region) = place(None)?;
            Box::new(s3::StateObject { name, bucket: bucket.clone(), key: key.clone(), region, aws })
        }
        StateAddress::Stack { stack, region: own } => {
            let (aws, region) = place(own.as_ref())?;
            Box::new(stack::StateStack { name, stack: stack.clone(), region, aws })
        }
    })
}

/// Why a state could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("`{name}` could not be read")]
    Read {
        name: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{name}` is larger than {limit} bytes")]
    TooLarge { name: String, limit: u64 },
    #[error("`{name}` could not be fetched: {why}")]
    Unreachable { name: String, why: String },
    #[error("`{name}` is not given to us (HTTP status {status})")]
    Denied { name: String, status: u16 },
    #[error("there is no state at `{name}`")]
    Missing { name: String },
    #[error("`{name}` was answered with HTTP status {status}")]
    Status { name: String, status: u16 },
    #[error("there is no stack `{name}` in {region}")]
    NoStack { name: String, region: String },
    #[error("`{name}` has no region, and none is configured")]
    NoRegion { name: String },
    #[error(transparent)]
    Aws(Box<AwsError>),
}

impl FetchError {
    /// Whether the same question may be answered in a moment.
    fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }

    /// What to do next, as a person would type it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::TooLarge { .. } => "terraform state pull > pulled.tfstate".to_owned(),
            Self::Denied { .. } => {
                "set TF_HTTP_USERNAME and TF_HTTP_PASSWORD (of GitLab: a user, and a token that may read the state)"
                    .to_owned()
            }
            Self::Missing { .. } => "look at how the address is written: terraform init shows the backend's".to_owned(),
            Self::NoStack { .. } => {
                "look at its name, region and account: aws cloudformation list-stacks --region REGION".to_owned()
            }
            Self::NoRegion { .. } => "set region in [aws] or beside the source, or AWS_REGION".to_owned(),
            Self::Aws(error) => error.hint(),
            Self::Read { .. } | Self::Unreachable { .. } | Self::Status { .. } => return None,
        })
    }
}

/// A state of this size holds hundreds of thousands of resources; more is a mistake.
const LARGEST: u64 = 512 * 1024 * 1024;

/// Reads to the end, and refuses what cannot be a state.
async fn read_all(name: &str, reader: impl tokio::io::AsyncRead + Unpin, length: u64) -> Result<Vec<u8>, FetchError> {
    use tokio::io::AsyncReadExt;
    // One piece from the start: a state that grows piece by piece lies in memory twice. The end is read past it.
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(LARGEST)).unwrap_or(0) + 64);
    let read = reader.take(LARGEST + 1).read_to_end(&mut bytes).await;
    read.map_err(|source| FetchError::Read { name: name.to_owned(), source })?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= LARGEST => Ok(bytes),
        _ => Err(FetchError::TooLarge { name: name.to_owned(), limit: LARGEST }),
    }
}
