//! The passphrase of encrypted states, as the environment gives it: by itself, or in OpenTofu's `TF_ENCRYPTION`.

use serde_json::Value;
use std::fmt;

/// Nothing of it is ever shown.
#[derive(Clone, Default)]
pub struct Passphrase {
    text: Option<String>,
    /// What `TF_ENCRYPTION` holds: HCL or JSON.
    config: Option<String>,
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_none() { "Passphrase(none)" } else { "Passphrase(…)" })
    }
}

impl Passphrase {
    /// `text` counts before the config.
    pub fn new(text: Option<&str>, config: Option<&str>) -> Self {
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        Self { text: given(text), config: given(config) }
    }

    pub fn is_none(&self) -> bool {
        self.text.is_none() && self.config.is_none()
    }

    /// That of the key provider `pbkdf2` of this name.
    pub(super) fn of(&self, name: &str) -> Option<String> {
        if let Some(text) = &self.text {
            return Some(text.clone());
        }
        let config = self.config.as_ref()?;
        match serde_json::from_str::<Value>(config) {
            Ok(config) => in_json(&config, name),
            Err(_) => in_hcl(config, name),
        }
    }
}

/// HCL's JSON form may put every block into a list.
fn in_json(config: &Value, name: &str) -> Option<String> {
    let inside = |value: &Value, key: &str| -> Option<Value> {
        let found = match value {
            Value::Array(all) => all.iter().find_map(|each| each.get(key)),
            other => other.get(key),
        };
        found.cloned()
    };
    let provider =
        ["key_provider", "pbkdf2", name].iter().try_fold(config.clone(), |value, key| inside(&value, key))?;
    inside(&provider, "passphrase")?.as_str().map(str::to_owned)
}

/// The text after `passphrase =` in the block `key_provider "pbkdf2" "NAME"`: literals only, as nobody else knows variables.
fn in_hcl(config: &str, name: &str) -> Option<String> {
    let mut last: Vec<Word> = Vec::new();
    let mut is_inside = false;
    for word in Words(config) {
        match (&word, last.as_slice()) {
            (Word::Sign('{'), [.., Word::Name(block), Word::Text(kind), Word::Text(label)]) => {
                is_inside = block == "key_provider" && kind == "pbkdf2" && label == name;
            }
            (Word::Sign('}'), _) => is_inside = false,
            (Word::Text(text), [.., Word::Name(key), Word::Sign('=')]) if is_inside && key == "passphrase" => {
                return Some(text.clone());
            }
            _ => {}
        }
        last.push(word);
    }
    None
}

/// The words of HCL that matter here; comments and all else are passed over.
struct Words<'a>(&'a str);

enum Word {
    Name(String),
    Text(String),
    Sign(char),
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        loop {
            self.0 = self.0.trim_start();
            let first = self.0.chars().next()?;
            if first == '#' || self.0.starts_with("//") {
                self.0 = self.0.split_once('\n').map_or("", |(_, rest)| rest);
            } else if self.0.starts_with("/*") {
                self.0 = self.0.split_once("*/").map_or("", |(_, rest)| rest);
            } else if first == '"' {
                return self.text();
            } else if is_of_name(first) {
                let end = self.0.find(|c| !is_of_name(c)).unwrap_or(self.0.len());
                let (name, rest) = self.0.split_at(end);
                self.0 = rest;
                return Some(Word::Name(name.to_owned()));
            } else {
                self.0 = self.0.get(first.len_utf8()..).unwrap_or_default();
                return Some(Word::Sign(first));
            }
        }
    }
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

impl Words<'_> {
    /// A quoted text; one with a template in it is none that could be known here.
    fn text(&mut self) -> Option<Word> {
        let mut text = String::new();
        let mut rest = self.0.chars();
        rest.next();
        let mut is_literal = true;
        while let Some(c) = rest.next() {
            match c {
                '"' => {
                    self.0 = rest.as_str();
                    return Some(if is_literal { Word::Text(text) } else { Word::Sign('"') });
                }
                '\\' => match rest.next()? {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    c @ ('"' | '\\') => text.push(c),
                    _ => is_literal = false,
                },
                '$' | '%' if rest.as_str().starts_with(&format!("{c}{{")) => {
                    // Doubled, it stands for itself.
                    text.push(c);
                    text.push('{');
                    rest.nth(1);
                }
                '$' | '%' if rest.as_str().starts_with('{') => is_literal = false,
                c => text.push(c),
            }
        }
        self.0 = "";
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(config: &str, name: &str) -> Option<String> {
        Passphrase::new(None, Some(config)).of(name)
    }

    #[test]
    fn the_provider_of_the_name_is_found_among_others() {
        let config = r#"
            # key_provider "pbkdf2" "state" { passphrase = "commented out" }
            key_provider "pbkdf2" "other" { passphrase = "not this" }
            key_provider "pbkdf2" "state" {
              /* passphrase = "nor this" */
              key_length = 32 // bits are 256
              passphrase = "a \"quoted\" \\ one $${x} 100%%{y}"
            }
            method "aes_gcm" "m" { keys = key_provider.pbkdf2.state }
            state { method = method.aes_gcm.m }"#;
        assert_eq!(of(config, "state").as_deref(), Some(r#"a "quoted" \ one ${x} 100%{y}"#));
        assert_eq!(of(config, "other").as_deref(), Some("not this"));
        assert_eq!(of(config, "third"), None);
    }

    #[test]
    fn the_json_form_is_read_in_both_of_its_shapes() {
        let plain = r#"{"key_provider": {"pbkdf2": {"state": {"passphrase": "p1"}}}}"#;
        let lists = r#"{"key_provider": [{"pbkdf2": [{"state": [{"passphrase": "p2"}]}]}]}"#;
        assert_eq!((of(plain, "state").as_deref(), of(lists, "state").as_deref()), (Some("p1"), Some("p2")));
        assert_eq!(of(r#"{"key_provider": {"pbkdf2": {"state": {"passphrase": 7}}}}"#, "state"), None);
    }

    #[test]
    fn what_only_opentofu_could_evaluate_is_not_guessed() {
        for config in [
            r#"key_provider "pbkdf2" "state" { passphrase = var.passphrase }"#,
            r#"key_provider "pbkdf2" "state" { passphrase = "${var.passphrase}" }"#,
            r#"key_provider "pbkdf2" "state" { passphrase = "cut of"#,
            r#"key_provider "aws_kms" "state" { passphrase = "x" }"#,
        ] {
            assert_eq!(of(config, "state"), None, "{config}");
        }
    }

    #[test]
    fn the_plain_one_counts_first_and_neither_is_shown() {
        let both = Passphrase::new(Some("plain-CANARY"), Some(r#"{"key_provider": {}}"#));
        assert_eq!(both.of("any").as_deref(), Some("plain-CANARY"));
        assert_eq!(format!("{both:?}"), "Passphrase(…)");
        assert!(Passphrase::new(Some(""), None).is_none());
    }
}
