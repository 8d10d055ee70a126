//! A content digest as OCI writes it: algorithm, alphabet and length are checked when it is parsed.

use super::{ParseError, serde_as_text};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// `sha256:` and 64 lower-case hex digits, or `sha512:` and 128 (OCI image-spec, "Digests").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// The SHA-256 digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", hex::encode(Sha256::digest(bytes))))
    }

    /// A SHA-256 digest that was computed elsewhere.
    pub fn of_hash(hash: &[u8; 32]) -> Self {
        Self(format!("sha256:{}", hex::encode(hash)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `sha256:` and the first twelve digits: enough for a person to compare.
    pub fn short(&self) -> &str {
        let end = self.0.find(':').map_or(12, |colon| colon + 13);
        self.0.get(..end).unwrap_or(&self.0)
    }
}

impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wanted = "a digest (sha256: and 64 hex digits)";
        let Some((algorithm, digits)) = text.split_once(':') else {
            return Err(ParseError::new(text, wanted));
        };
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(ParseError::new(text, wanted)),
        };
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if digits.len() == length && digits.chars().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new(text, wanted))
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

serde_as_text!(Digest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_checked_when_it_is_parsed() {
        let good = Digest::of(b"");
        assert_eq!(good.as_str(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(good.short(), "sha256:e3b0c44298fc");
        assert_eq!(good.as_str().parse::<Digest>(), Ok(good.clone()));
        for bad in ["", "sha256", "sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:E3B0", "latest"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        let upper = good.as_str().to_uppercase().replace("SHA256", "sha256");
        assert!(upper.parse::<Digest>().is_err(), "upper-case digits are another text, so another digest");
    }
}
