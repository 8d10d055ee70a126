//! Whose AWS it is: the profile and the role that a target is reached with, and the credentials that follow from them.

use aws_config::SdkConfig;
use aws_config::identity::IdentityCache;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use std::fmt;
use std::str::FromStr;
use tokio::sync::OnceCell;

use crate::model::ParseError;

/// With which credentials AWS is asked. The default is whatever the SDK's own chain finds.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// A profile of the AWS config files.
    pub profile: Option<String>,
    /// Assumed with the profile's credentials, or with those of the chain.
    pub role: Option<Role>,
}

impl Access {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.role, &self.profile) {
            (Some(role), Some(profile)) => write!(f, "as {} through profile {profile}", role.arn),
            (Some(role), None) => write!(f, "as {}", role.arn),
            (None, Some(profile)) => write!(f, "with profile {profile}"),
            (None, None) => Ok(()),
        }
    }
}

/// A role to assume (STS AssumeRole).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Role {
    pub arn: RoleArn,
    /// What the role's owner agreed on with us. Never shown.
    pub external_id: Option<String>,
    /// How CloudTrail names the session.
    pub session_name: String,
}

impl Role {
    /// What CloudTrail shows where the config says nothing else.
    pub const SESSION: &str = "imgctl";
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Role").field("arn", &self.arn).field("session_name", &self.session_name).finish_non_exhaustive()
    }
}

/// `arn:aws:iam::123456789012:role/NAME`, in any partition, with any path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoleArn(String);

impl FromStr for RoleArn {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let valid = match parts.as_slice() {
            ["arn", partition, "iam", "", account, rest] => {
                partition.starts_with("aws")
                    && account.len() == 12
                    && account.bytes().all(|byte| byte.is_ascii_digit())
                    && rest.strip_prefix("role/").is_some_and(|name| !name.is_empty() && !name.contains(' '))
            }
            _ => false,
        };
        let wanted = "the ARN of a role (arn:aws:iam::123456789012:role/NAME)";
        if valid { Ok(Self(text.to_owned())) } else { Err(ParseError::new(text, wanted)) }
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The same config with other credentials, fetched when first needed and kept until they expire.
pub(super) fn config(base: &SdkConfig, access: &Access) -> SdkConfig {
    let mut config = base.clone();
    if let Some(profile) = &access.profile {
        let provider = ProfileFileCredentialsProvider::builder().profile_name(profile).build();
        config = with(config, SharedCredentialsProvider::new(provider));
    }
    if let Some(role) = &access.role {
        let provider = Assumed { base: config.clone(), role: role.clone(), provider: OnceCell::new() };
        config = with(config, SharedCredentialsProvider::new(provider));
    }
    config
}

/// One cache for all clients of these credentials: a role is assumed once, and not once for each service.
fn with(config: SdkConfig, credentials: SharedCredentialsProvider) -> SdkConfig {
    let cache = IdentityCache::lazy().build();
    config.into_builder().credentials_provider(credentials).identity_cache(cache).build()
}

/// Assumes a role when credentials are first asked for.
#[derive(Debug)]
struct Assumed {
    base: SdkConfig,
    role: Role,
    provider: OnceCell<AssumeRoleProvider>,
}

impl ProvideCredentials for Assumed {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let provider = self.provider.get_or_init(|| async {
                let role = AssumeRoleProvider::builder(self.role.arn.to_string());
                let role = role.session_name(&self.role.session_name).configure(&self.base);
                let role = match &self.role.external_id {
                    Some(id) => role.external_id(id),
                    None => role,
                };
                role.build().await
            });
            provider.await.provide_credentials().await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_arn_of_a_role_is_one() {
        for text in ["arn:aws:iam::123456789012:role/imgctl", "arn:aws-cn:iam::123456789012:role/ops/imgctl"] {
            assert_eq!(text.parse::<RoleArn>().unwrap().to_string(), text);
        }
        for text in [
            "imgctl",
            "arn:aws:iam::12345:role/imgctl",
            "arn:aws:iam::123456789012:user/ada",
            "arn:aws:sts::123456789012:assumed-role/imgctl/ada",
            "arn:aws:iam::123456789012:role/",
        ] {
            assert!(text.parse::<RoleArn>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_external_id_is_never_written_out() {
        let arn = "arn:aws:iam::123456789012:role/imgctl".parse().unwrap();
        let role = Role { arn, external_id: Some("s3cret".into()), session_name: Role::SESSION.into() };
        let access = Access { profile: Some("ops".into()), role: Some(role) };
        assert!(!format!("{access:?} {access}").contains("s3cret"));
        assert_eq!(access.to_string(), "as arn:aws:iam::123456789012:role/imgctl through profile ops");
    }
}
