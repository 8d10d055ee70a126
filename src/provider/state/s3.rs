//! A state in S3, where Terraform's s3 backend keeps it. Its newest version is read; locks are neither taken nor looked at.

use super::{FetchError, StateSource, read_all};
use crate::model::Region;
use crate::provider::aws::{Aws, classify};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use std::sync::Arc;

/// One object.
pub(super) struct StateObject {
    pub(super) name: String,
    pub(super) bucket: String,
    pub(super) key: String,
    /// Where it is asked for first. A bucket that is elsewhere says where.
    pub(super) region: Region,
    pub(super) aws: Arc<Aws>,
}

type SdkError = aws_sdk_s3::error::SdkError<GetObjectError>;

impl StateObject {
    async fn ask(&self, region: &Region) -> Result<ByteStream, SdkError> {
        let get = self.aws.s3(region).get_object().bucket(&self.bucket).key(&self.key);
        get.send().await.map(|answer| answer.body)
    }

    /// The bucket's own region, where the answer tells that it is another one
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>).
    fn elsewhere(&self, error: &SdkError) -> Option<Region> {
        let region = error.raw_response()?.headers().get("x-amz-bucket-region")?;
        region.parse().ok().filter(|region| *region != self.region)
    }

    fn failed(&self, error: SdkError) -> FetchError {
        match error.code() {
            Some("NoSuchKey" | "NoSuchBucket") => FetchError::Missing { name: self.name.clone() },
            _ => FetchError::Aws(Box::new(classify("s3:GetObject", &self.name, error))),
        }
    }
}

#[async_trait::async_trait]
impl StateSource for StateObject {
    fn name(&self) -> &str {
        &self.name
    }

    async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let body = match self.ask(&self.region).await {
            Ok(body) => Ok(body),
            Err(error) => match self.elsewhere(&error) {
                Some(region) => self.ask(&region).await,
                None => Err(error),
            },
        };
        let body = body.map_err(|error| self.failed(error))?;
        let length = body.size_hint().0;
        read_all(&self.name, body.into_async_read(), length).await
    }
}
