//! The address of a state: a file, an object of S3, or a URL.

use crate::model::Region;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where the bytes are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateAddress {
    File(PathBuf),
    /// `s3://BUCKET/KEY`, as Terraform's s3 backend writes it. Locks (`KEY.tflock`) are neither taken nor looked at.
    S3 {
        bucket: String,
        key: String,
    },
    /// `cloudformation://STACK`: its name, or its ARN, which names the region too.
    Stack {
        stack: String,
        region: Option<Region>,
    },
    Http(HttpAddress),
}

/// An `http:` or `https:` URL. What may be a secret in it is never shown: user, password and query.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpAddress(pub(super) String);

impl HttpAddress {
    /// Whether there is a user in it, and perhaps a password.
    pub(super) fn names_a_user(&self) -> bool {
        let after_scheme = self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest);
        after_scheme.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
    }
}

impl fmt::Debug for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (path, query) = rest.split_once('?').map_or((rest, ""), |(path, _)| (path, "?…"));
        let (host, path) = path.split_once('/').map_or((path, None), |(host, path)| (host, Some(path)));
        let host = host.rsplit('@').next().unwrap_or_default();
        let path = path.map(|path| format!("/{path}")).unwrap_or_default();
        write!(f, "{scheme}://{host}{path}{query}")
    }
}

impl StateAddress {
    /// Reads what a person wrote; relative paths start in `directory`. The error says what is expected.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, String> {
        let scheme = text.split_once("://").map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
        match scheme {
            Some((scheme, rest)) if scheme == "s3" => match rest.split_once('/') {
                Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                    Ok(Self::S3 { bucket: bucket.to_owned(), key: key.to_owned() })
                }
                _ => Err("expected s3://BUCKET/KEY".to_owned()),
            },
            Some((scheme, rest)) if scheme == "cloudformation" => {
                let is_arn = rest.starts_with("arn:");
                let region = rest.split(':').nth(3).filter(|_| is_arn).map(str::parse).transpose();
                match region {
                    Ok(region) if !rest.is_empty() && is_arn == region.is_some() && (is_arn || is_stack_name(rest)) => {
                        Ok(Self::Stack { stack: rest.to_owned(), region })
                    }
                    _ => Err("expected cloudformation://STACK, the stack's name or ARN".to_owned()),
                }
            }
            Some((scheme, rest)) if scheme == "http" || scheme == "https" => {
                let is_bare = rest.is_empty() || rest.starts_with('/');
                if is_bare {
                    Err(format!("expected {scheme}://HOST/PATH"))
                } else {
                    Ok(Self::Http(HttpAddress(text.to_owned())))
                }
            }
            Some((scheme, _)) if !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                Err(format!(
                    "{scheme}:// is not read: give a file's path, s3://BUCKET/KEY, cloudformation://STACK or a URL of http or https"
                ))
            }
            None if text.is_empty() => {
                Err("expected a file's path, s3://BUCKET/KEY, cloudformation://STACK or a URL".to_owned())
            }
            _ => Ok(Self::File(directory.join(text))),
        }
    }

    /// Whether AWS's credentials and a region are needed for it.
    pub fn is_in_aws(&self) -> bool {
        matches!(self, Self::S3 { .. } | Self::Stack { .. })
    }

    /// How it is named to a person: `text` is what that person wrote, and has no secret in it but a URL's.
    pub fn name(&self, text: &str) -> String {
        match self {
            Self::Http(url) => url.to_string(),
            Self::File(_) | Self::S3 { .. } | Self::Stack { .. } => text.to_owned(),
        }
    }
}

/// Letters, digits and hyphens, a letter first
/// (<https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html>).
fn is_stack_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StateAddress, String> {
        StateAddress::parse(text, Path::new("/infra"))
    }

    #[test]
    fn an_address_is_a_file_unless_it_says_otherwise() {
        assert_eq!(parse("a/b.tfstate"), Ok(StateAddress::File("/infra/a/b.tfstate".into())));
        assert_eq!(parse("/b.tfstate"), Ok(StateAddress::File("/b.tfstate".into())));
        let (bucket, key) = ("states".to_owned(), "env:/prod/web.tfstate".to_owned());
        assert_eq!(parse("s3://states/env:/prod/web.tfstate"), Ok(StateAddress::S3 { bucket, key }));
        for bad in
            ["s3://", "s3://states", "s3://states/", "s3:///key", "https://", "http:///x", "", "ftp://h/s", "gs://b/k"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stack_is_named_or_its_arn_is_given() {
        let stack = |text: &str, region: Option<&str>| {
            let region = region.map(|region| region.parse().unwrap());
            Ok(StateAddress::Stack { stack: text.to_owned(), region })
        };
        assert_eq!(parse("cloudformation://web-prod"), stack("web-prod", None));
        let arn = "arn:aws:cloudformation:eu-west-1:123456789012:stack/web-prod/11111111-2222";
        assert_eq!(parse(&format!("cloudformation://{arn}")), stack(arn, Some("eu-west-1")));
        for bad in
            ["cloudformation://", "cloudformation://1web", "cloudformation://web/prod", "cloudformation://arn:aws"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_is_shown_without_what_may_be_secret_in_it() {
        for (url, shown) in [
            (
                "https://git.example.com/api/v4/projects/1/terraform/state/web",
                "https://git.example.com/api/v4/projects/1/terraform/state/web",
            ),
            ("https://ci:CANARY@git.example.com:8443/state", "https://git.example.com:8443/state"),
            ("https://ci:CANARY@CANARY@git.example.com", "https://git.example.com"),
            ("http://h/s?token=CANARY#CANARY", "http://h/s?…"),
        ] {
            let address = parse(url).unwrap();
            assert_eq!(address.name(url), shown);
            assert!(!format!("{address:?}").contains("CANARY"));
        }
    }

    #[test]
    fn only_before_the_host_is_a_user() {
        for (url, named) in [
            ("https://u:p@h/s", true),
            ("https://u@h", true),
            ("https://h/web@prod", false),
            ("https://h?a=b@c", false),
        ] {
            assert_eq!(HttpAddress(url.to_owned()).names_a_user(), named, "{url}");
        }
    }
}
