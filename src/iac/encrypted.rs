//! States that OpenTofu has encrypted (`encryption { … }`): the key is derived from a passphrase, and opens the state.
//!
//! The envelope is described by OpenTofu's `internal/encryption`: `meta` holds what each key provider needs to find its key
//! again, `encrypted_data` a nonce and the sealed state. Read are keys of `pbkdf2` and the method `aes_gcm` without additional
//! data; whatever else there is, OpenTofu opens itself (<https://opentofu.org/docs/language/state/encryption/>).

use super::passphrase::Passphrase;
use super::{IacError, Position};
use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA512};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// OpenTofu takes 600,000 by default. A file must not keep the machine busy for ever.
const MOST_ITERATIONS: u32 = 20_000_000;

/// What is in the envelope; `None`: it is none, or what is in it cannot be told, which the formats say better.
pub(super) fn decrypt(file: &str, bytes: &[u8], passphrase: &Passphrase) -> Result<Option<Vec<u8>>, IacError> {
    let Ok(Envelope { meta, encrypted_data: Some(data), encryption_version: Some(version) }) =
        serde_json::from_slice(bytes)
    else {
        return Ok(None);
    };
    let at = |key| Position::of_key(bytes, key);
    let own = || file.to_owned();
    if version != "v0" {
        return Err(IacError::Encryption { file: own(), at: at("encryption_version") });
    }
    let keys: Vec<(&str, Pbkdf2)> =
        meta.iter().filter_map(|(key, meta)| Some((key.as_str(), meta.pbkdf2()?))).collect();
    if let (true, Some(provider)) = (keys.is_empty(), meta.keys().find_map(|key| another_provider(key))) {
        return Err(IacError::KeyProvider { file: own(), provider, at: at("meta") });
    }
    if passphrase.is_none() {
        return Err(IacError::Encrypted { file: own(), at: at("encrypted_data") });
    }
    let Ok(sealed) = BASE64.decode(data) else {
        return Err(IacError::Encryption { file: own(), at: at("encrypted_data") });
    };
    if keys.is_empty() {
        return Err(IacError::Encryption { file: own(), at: at("meta") });
    }
    let opened = keys.iter().find_map(|(key, pbkdf2)| {
        let name = key.rsplit('.').next().unwrap_or_default();
        open(&pbkdf2.key(&passphrase.of(name)?)?, &sealed)
    });
    opened.map(Some).ok_or_else(|| IacError::WrongPassphrase { file: own(), at: at("encrypted_data") })
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    meta: BTreeMap<String, Meta>,
    encrypted_data: Option<String>,
    encryption_version: Option<String>,
}

/// Go writes bytes as base64; older versions wrote the object itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Meta {
    Bytes(String),
    Object(Pbkdf2),
    Other(serde::de::IgnoredAny),
}

impl Meta {
    fn pbkdf2(&self) -> Option<Pbkdf2> {
        match self {
            Self::Bytes(text) => serde_json::from_slice(&BASE64.decode(text).ok()?).ok(),
            Self::Object(pbkdf2) => Some(pbkdf2.clone()),
            Self::Other(_) => None,
        }
    }
}

/// How a key was derived.
#[derive(Deserialize, Clone)]
struct Pbkdf2 {
    /// Base64.
    salt: String,
    iterations: u32,
    hash_function: String,
    key_length: usize,
}

impl Pbkdf2 {
    /// `None`: no key that AES could take.
    fn key(&self, passphrase: &str) -> Option<LessSafeKey> {
        let hash = match self.hash_function.as_str() {
            "sha256" => PBKDF2_HMAC_SHA256,
            "sha512" => PBKDF2_HMAC_SHA512,
            _ => return None,
        };
        let aes = match self.key_length {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            32 => &AES_256_GCM,
            _ => return None,
        };
        let iterations = NonZeroU32::new(self.iterations).filter(|many| many.get() <= MOST_ITERATIONS)?;
        let salt = BASE64.decode(&self.salt).ok()?;
        let mut key = vec![0; self.key_length];
        pbkdf2::derive(hash, iterations, &salt, passphrase.as_bytes(), &mut key);
        UnboundKey::new(aes, &key).ok().map(LessSafeKey::new)
    }
}

/// The nonce stands in front.
fn open(key: &LessSafeKey, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut bytes = sealed.to_vec();
    let length = key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

/// `aws_kms` of `key_provider.aws_kms.NAME`.
fn another_provider(key: &str) -> Option<String> {
    let kind = key.strip_prefix("key_provider.")?.split('.').next()?;
    let is_word = kind.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    (is_word && !kind.is_empty() && kind != "pbkdf2").then(|| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(name: &str) -> Vec<u8> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/states/opentofu-encrypted");
        std::fs::read(folder.join(name)).unwrap()
    }

    fn with(text: &str) -> Passphrase {
        Passphrase::new(Some(text), None)
    }

    /// What the samples were sealed with, by another implementation.
    const PASSPHRASE: &str = "a passphrase for tests";

    #[test]
    fn the_passphrase_opens_states_of_every_key_length_and_hash() {
        for name in ["sha512-256.tfstate", "sha256-128.tfstate", "object-192.tfstate", "quick.tfstate"] {
            let opened = decrypt(name, &sample(name), &with(PASSPHRASE)).unwrap().unwrap();
            let declared = super::super::read(name, &opened, &Passphrase::default(), None).unwrap();
            assert_eq!(declared.len(), 1, "{name}");
            let through = super::super::read(name, &sample(name), &with(PASSPHRASE), None);
            assert_eq!(through, Ok(declared), "{name}");
        }
    }

    #[test]
    fn the_passphrase_may_stand_in_opentofus_own_variable() {
        let config = r#"key_provider "pbkdf2" "state" { passphrase = "a passphrase for tests" }"#;
        let opened = decrypt("x", &sample("sha512-256.tfstate"), &Passphrase::new(None, Some(config)));
        assert!(matches!(opened, Ok(Some(_))));
    }

    #[test]
    fn what_cannot_be_opened_says_why_and_never_what_it_was_given() {
        let said = |name: &str, passphrase: &Passphrase| {
            let error = decrypt(name, &sample(name), passphrase).unwrap_err();
            assert!(!format!("{error:?}{error}").contains("wrong-CANARY"));
            format!("{error}; {}", error.hint())
        };
        let wrong = said("sha512-256.tfstate", &with("wrong-CANARY"));
        assert!(wrong.starts_with("the passphrase does not open `sha512-256.tfstate`"), "{wrong}");
        assert!(wrong.contains("IMGCTL_STATE_PASSPHRASE"), "{wrong}");
        let none = said("sha512-256.tfstate", &Passphrase::default());
        assert!(none.contains("is an encrypted OpenTofu state") && none.contains("IMGCTL_STATE_PASSPHRASE"), "{none}");
        for given in [with(PASSPHRASE), Passphrase::default()] {
            let kms = said("aws-kms.tfstate", &given);
            assert!(kms.contains("a key of `aws_kms`") && kms.contains("tofu state pull"), "{kms}");
        }
        let newer = said("newer.tfstate", &with(PASSPHRASE));
        assert!(newer.contains("in a way that this imgctl does not know"), "{newer}");
    }

    #[test]
    fn a_damaged_envelope_or_seal_opens_nothing() {
        let whole = sample("sha512-256.tfstate");
        let data = whole.windows(15).position(|window| window == b"\"encrypted_data").unwrap();
        for at in (data + 20..whole.len() - 40).step_by(97) {
            let mut bytes = whole.clone();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let opened = decrypt("damaged", &bytes, &with(PASSPHRASE));
            assert!(!matches!(opened, Ok(Some(_))), "byte {at}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_damaged_envelope_never_panics_and_shows_neither_secret_nor_passphrase(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..5),
        ) {
            // One iteration: the same, but quick.
            let mut bytes = sample("quick.tfstate");
            for (at, byte, insert) in damage {
                let at = at.index(bytes.len());
                if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
            }
            let read = super::super::read("damaged", &bytes, &with(PASSPHRASE), None);
            let hint = read.as_ref().map_or_else(|error| format!("{error} {}", error.hint()), |_| String::new());
            let all = format!("{read:?}{hint}");
            prop_assert!(!all.contains("CANARY") && !all.contains(PASSPHRASE), "{all}");
        }
    }

    #[test]
    fn a_state_in_the_clear_is_no_envelope() {
        assert_eq!(decrypt("x", br#"{"version": 4, "lineage": "l"}"#, &with("p")), Ok(None));
        assert_eq!(decrypt("x", b"not JSON", &with("p")), Ok(None));
    }
}
