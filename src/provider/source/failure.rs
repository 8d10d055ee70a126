//! Why an image could not be read from where it was said to be.

use super::registry::RegistryError;
use crate::model::{AmiId, Digest, Region};
use crate::provider::aws::AwsError;

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{id} is given without a region, and none is configured")]
    NoRegion { id: AmiId },
    #[error("{} in {region} {} not there, or not shared with account {account}", listed(.ids), if .ids.len() == 1 { "is" } else { "are" })]
    NoSuchAmi { ids: Vec<AmiId>, region: Region, account: String },
    /// It is there and cannot be launched; `state` in AWS's word.
    #[error("{id} in {region} {what}")]
    UnusableAmi { id: AmiId, region: Region, state: String, what: String },
    #[error("{first} and {second} are both given for {place}")]
    Two { place: String, first: String, second: String },
    #[error("{object} is not an image that can be recorded: {why}")]
    NotAnImage { object: String, why: String },
    #[error("{object} does not hash to {expected}, but to {found}")]
    Corrupt { object: String, expected: Digest, found: Digest },
    #[error("{path} could not be read")]
    Unreadable {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{dir} is not an OCI image layout: {why}")]
    NotALayout { dir: String, why: String },
    #[error("{dir} holds {}", if .names.is_empty() { "no image".to_owned() } else { format!("several images: {}", .names.join(", ")) })]
    WhichImage { dir: String, names: Vec<String> },
    #[error("{dir} holds no image `{name}`, only {}", .names.join(", "))]
    NoSuchName { dir: String, name: String, names: Vec<String> },
    #[error("{path} cannot be used as a Packer manifest: {why}")]
    Packer { path: String, why: String },
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

fn listed(ids: &[AmiId]) -> String {
    ids.iter().map(AmiId::as_str).collect::<Vec<_>>().join(", ")
}

impl SourceError {
    pub(super) fn packer(path: &str, why: impl Into<String>) -> Self {
        Self::Packer { path: path.to_owned(), why: why.into() }
    }

    /// What to do next, as a person would type it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRegion { id } => {
                format!("{id}@eu-west-1 names the region; or set AWS_REGION, or region under [aws] in imgctl.toml")
            }
            Self::NoSuchAmi { ids, region, account } => {
                let id = ids.first().map_or("ami-…", AmiId::as_str);
                format!(
                    "check the id and the region: aws ec2 describe-images --region {region} --image-ids {id}; if another account owns it, \
                     that account must share it: aws ec2 modify-image-attribute --image-id {id} --launch-permission 'Add=[{{UserId={account}}}]'"
                )
            }
            Self::UnusableAmi { id, region, state, .. } => match state.as_str() {
                "pending" => format!("wait for it: aws ec2 wait image-available --region {region} --image-ids {id}"),
                "disabled" => format!("enable it: aws ec2 enable-image --region {region} --image-id {id}"),
                _ => "build it again and record the new one".to_owned(),
            },
            Self::Two { .. } => "give each place once, or record two versions".to_owned(),
            Self::Corrupt { .. } => "write the layout again; these bytes are not what was built".to_owned(),
            Self::WhichImage { dir, names } => match names.first() {
                Some(name) => format!("name one: oci:{dir}:{name}"),
                None => "write an image into it first".to_owned(),
            },
            Self::NoSuchName { dir, names, .. } => names.first().map(|name| format!("oci:{dir}:{name}"))?,
            Self::Aws(error) => error.hint(),
            Self::Registry(error) => return error.hint(),
            Self::NotAnImage { .. } | Self::Unreadable { .. } | Self::NotALayout { .. } | Self::Packer { .. } => {
                return None;
            }
        })
    }
}
