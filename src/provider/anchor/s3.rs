//! S3 objects: one for each head, named by it, written if there is none of that name, and never written again.
//!
//! `If-None-Match: *` makes S3 refuse to overwrite (412), in versioned and in locked buckets, too
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>). A name holds entry, ledger and hash, so
//! one listing shows a thousand heads, in their order. All of them are read: whoever may only add could hide none.
//! Listings are strongly consistent: of two who write at the same time the later one sees both.

use super::{Anchor, AnchorError};
use crate::model::{Digest, Head, Noted, NotedError, Region, Seq};
use crate::provider::aws::classify;
use crate::provider::section::Section;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use backon::{ExponentialBuilder, Retryable};
use std::error::Error;
use std::time::Duration;
use toml::Spanned;
use uuid::Uuid;

/// The word for it in the config.
pub(super) const KIND: &str = "s3";
/// What an entry's number is written with, so that names sort as numbers do.
const DIGITS: usize = 16;
/// What a UUID is written with.
const ID: usize = 36;
const END: &str = ".json";
/// A write that another one collides with is answered 409, and to be sent again.
const COLLISIONS: usize = 4;
const DEFAULT_PREFIX: &str = "imgctl-ledger/";

/// A bucket, and a prefix that nothing else is kept under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    pub bucket: String,
    /// What names begin with, with its `/`. Default `imgctl-ledger/`.
    pub prefix: String,
    pub region: Option<Region>,
}

pub(super) fn read(section: &Section<'_>) -> Option<S3Settings> {
    let bucket = section.required_text("bucket", "the bucket's name");
    let prefix = section.text("prefix").map_or_else(|| DEFAULT_PREFIX.to_owned(), Spanned::into_inner);
    let prefix = if prefix.ends_with('/') { prefix } else { format!("{prefix}/") };
    let region = section.parsed("region").map(Spanned::into_inner);
    Some(S3Settings { bucket: bucket?.into_inner(), prefix, region })
}

/// The heads under one prefix.
pub(super) struct Objects {
    client: aws_sdk_s3::Client,
    bucket: String,
    prefix: String,
    /// The region, and the role or profile where there is one.
    within: String,
    region: Region,
}

impl Objects {
    pub(super) fn new(client: aws_sdk_s3::Client, settings: &S3Settings, within: String, region: Region) -> Self {
        Self { client, bucket: settings.bucket.clone(), prefix: settings.prefix.clone(), within, region }
    }

    fn object(&self, key: &str) -> String {
        format!("s3://{}/{key} in {}", self.bucket, self.within)
    }

    fn failed<E>(&self, action: &'static str, object: &str, error: SdkError<E>) -> AnchorError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let header = error.raw_response().and_then(|answer| answer.headers().get("x-amz-bucket-region"));
        let actual = header.map(str::to_owned).filter(|region| region != self.region.as_str());
        let elsewhere = matches!(error.code(), Some("PermanentRedirect" | "AuthorizationHeaderMalformed"));
        if elsewhere || actual.is_some() {
            return AnchorError::WrongRegion { bucket: self.bucket.clone(), asked: self.region.clone(), actual };
        }
        classify(action, object, error).into()
    }

    /// The names of all heads, in the order of their entries.
    async fn names(&self) -> Result<Vec<String>, AnchorError> {
        let mut names = Vec::new();
        let mut pages = self.client.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed("s3:ListBucket", &self.object(&self.prefix), error))?;
            names.extend(page.contents().iter().filter_map(|object| object.key()).map(str::to_owned));
        }
        // The console makes an object of a folder's name.
        names.retain(|key| *key != self.prefix);
        names.sort();
        Ok(names)
    }

    fn named(&self, key: &str) -> Result<Noted, AnchorError> {
        key.strip_prefix(&self.prefix).and_then(from_name).ok_or_else(|| AnchorError::NotAnAnchor {
            what: self.object(key),
            source: NotedError::Malformed { why: "imgctl gives no such name".to_owned() },
        })
    }

    /// What is in an object, which must be what its name says.
    async fn document(&self, key: &str) -> Result<Noted, AnchorError> {
        let answer = self.client.get_object().bucket(&self.bucket).key(key).send().await;
        let answer = answer.map_err(|error| self.failed("s3:GetObject", &self.object(key), error))?;
        let malformed =
            |why: String| AnchorError::NotAnAnchor { what: self.object(key), source: NotedError::Malformed { why } };
        let bytes = answer.body.collect().await.map_err(|error| malformed(error.to_string()))?.into_bytes();
        let noted = Noted::from_document(&String::from_utf8_lossy(&bytes))
            .map_err(|source| AnchorError::NotAnAnchor { what: self.object(key), source })?;
        if name(&noted) != key.strip_prefix(&self.prefix).unwrap_or_default() {
            return Err(malformed(format!("its content is entry {} of another name", noted.head.seq)));
        }
        Ok(noted)
    }

    async fn put(&self, noted: &Noted) -> Result<(), AnchorError> {
        let key = format!("{}{}", self.prefix, name(noted));
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(&key)
            .if_none_match("*")
            .content_type("application/json")
            .body(ByteStream::from(noted.to_document().into_bytes()));
        match put.send().await {
            Ok(_) => Ok(()),
            // Somebody noted the same entry with the same hash: what is there says what we wanted to say.
            Err(error) if error.code() == Some("PreconditionFailed") => Ok(()),
            Err(error) if error.code() == Some("ConditionalRequestConflict") => {
                Err(AnchorError::Overtaken { place: self.place() })
            }
            Err(error) => Err(self.failed("s3:PutObject", &self.object(&key), error)),
        }
    }
}

#[async_trait::async_trait]
impl Anchor for Objects {
    fn place(&self) -> String {
        self.object(&self.prefix)
    }

    async fn read(&self) -> Result<Vec<Noted>, AnchorError> {
        let names = self.names().await?;
        let mut noted = names.iter().map(|key| self.named(key)).collect::<Result<Vec<_>, _>>()?;
        // When and by whom stands in the object; of the furthest it is worth a call.
        if let (Some(last), Some(key)) = (noted.last_mut(), names.last()) {
            *last = self.document(key).await?;
        }
        Ok(noted)
    }

    async fn write(&self, noted: &Noted, _over: Option<&Noted>) -> Result<(), AnchorError> {
        let tries = ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_max_times(COLLISIONS);
        (|| self.put(noted)).retry(tries).when(|error| matches!(error, AnchorError::Overtaken { .. })).await
    }
}

/// `0000000000000041-LEDGER-sha256-….json` is entry 41.
fn name(noted: &Noted) -> String {
    let hash = noted.head.hash.as_str().replacen(':', "-", 1);
    format!("{}-{}-{hash}{END}", noted.head.seq.key(), noted.ledger.unwrap_or_default())
}

fn from_name(name: &str) -> Option<Noted> {
    let (seq, rest) = name.strip_suffix(END)?.split_at_checked(DIGITS)?;
    let (id, hash) = rest.strip_prefix('-')?.split_at_checked(ID)?;
    let seq = Seq(seq.parse().ok().filter(|seq| *seq > 0)?);
    let ledger: Uuid = id.parse().ok()?;
    let hash: Digest = hash.strip_prefix('-')?.replacen('-', ":", 1).parse().ok()?;
    Some(Noted { head: Head { seq, hash }, ledger: Some(ledger), at: None, by: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(seq: u64) -> Noted {
        let head = Head { seq: Seq(seq), hash: Digest::of(&seq.to_be_bytes()) };
        Noted { head, ledger: Some(Uuid::from_u128(7)), at: None, by: None }
    }

    #[test]
    fn a_name_says_which_head_it_is() {
        for seq in [1, 41, 9_999, 1_000_000] {
            assert_eq!(from_name(&name(&noted(seq))), Some(noted(seq)));
        }
        let good = name(&noted(41));
        for bad in ["", "x.json", "notes.txt", &good[1..], &good.replace("sha256-", "sha1-"), &good.replace(END, "")] {
            assert_eq!(from_name(bad), None, "{bad}");
        }
        assert_eq!(from_name(&name(&noted(0))), None, "there is no entry 0");
    }

    #[test]
    fn heads_are_listed_in_the_order_of_their_entries() {
        let mut names: Vec<String> = [2, 1, 1_000_000, 41, 9].map(|seq| name(&noted(seq))).into();
        names.sort();
        let order: Vec<u64> = names.iter().map(|name| from_name(name).unwrap().head.seq.0).collect();
        assert_eq!(order, [1, 2, 9, 41, 1_000_000]);
    }
}
