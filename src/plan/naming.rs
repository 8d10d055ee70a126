//! What a scan calls an image that it finds: patterns over what the image says of itself.

use crate::model::{AmiArtifact, ImageKey, OciArtifact, ParseError};
use std::str::FromStr;

/// A pattern such as `web-{tag:Team|ami-name}`: text, and fields in braces with alternatives in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Vec<Field>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    /// `tag:KEY`: the value of an EC2 tag.
    Tag(String),
    /// `ami-name`: the name that was given to RegisterImage.
    AmiName,
    /// `ami-id`.
    AmiId,
    /// `created`: when it was made, as `20261120T101500Z`.
    Created,
}

impl FromStr for Field {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "ami-name" => Ok(Self::AmiName),
            "ami-id" => Ok(Self::AmiId),
            "created" => Ok(Self::Created),
            _ => match text.strip_prefix("tag:") {
                Some(key) if !key.is_empty() => Ok(Self::Tag(key.to_owned())),
                _ => Err(()),
            },
        }
    }
}

impl Field {
    fn value(&self, ami: &AmiArtifact) -> Option<String> {
        let value = match self {
            Self::Tag(key) => ami.facts.tags.get(key)?.clone(),
            Self::AmiName => ami.facts.name.clone(),
            Self::AmiId => ami.id.to_string(),
            Self::Created => ami.facts.created?.strftime("%Y%m%dT%H%M%SZ").to_string(),
        };
        Some(value).filter(|value| !value.trim().is_empty())
    }
}

impl FromStr for Pattern {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError {
            given: text.to_owned(),
            wanted: "a pattern (text and {tag:KEY}, {ami-name}, {ami-id}, {created}; alternatives as {tag:KEY|ami-id})",
        };
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, after) = after.split_once('}').ok_or_else(wrong)?;
            let fields = inside.split('|').map(str::parse).collect::<Result<Vec<Field>, ()>>().map_err(|()| wrong())?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Field(fields));
            rest = after;
        }
        if text.is_empty() || rest.contains('}') {
            return Err(wrong());
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }
}

impl Pattern {
    /// The pattern with its fields filled; `None` when a field has no value in any of its alternatives.
    fn fill(&self, ami: &AmiArtifact) -> Option<String> {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::Field(fields) => fields.iter().find_map(|field| field.value(ami)),
        };
        self.0.iter().map(piece).collect()
    }
}

/// How a scan names AMIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    pub name: Pattern,
    pub version: Pattern,
}

impl Default for Naming {
    /// The tags people set first; else the AMI's own name and id, which every AMI has.
    fn default() -> Self {
        let pattern = |tag: &str, otherwise| Pattern(vec![Piece::Field(vec![Field::Tag(tag.to_owned()), otherwise])]);
        Self { name: pattern("Name", Field::AmiName), version: pattern("Version", Field::AmiId) }
    }
}

impl Naming {
    /// What this AMI is called, or why it cannot be named.
    pub fn name(&self, ami: &AmiArtifact) -> Result<ImageKey, String> {
        let name = self.name.fill(ami).ok_or("it has none of the values that the name's pattern asks for")?;
        let version = self.version.fill(ami).ok_or("it has none of the values that the version's pattern asks for")?;
        let name = fit(&name.to_lowercase(), "._-").parse().map_err(|error: ParseError| error.to_string())?;
        Ok(ImageKey { name, version: fit(&version, "._-+").parse().map_err(|error: ParseError| error.to_string())? })
    }
}

impl Naming {
    /// A container image is called after its repository's last word and the tag that it was found by.
    pub fn name_tag(oci: &OciArtifact) -> Result<ImageKey, String> {
        let word = oci.repository.path().rsplit('/').next().unwrap_or_default();
        let tag = oci.tag.as_deref().ok_or("it was not found by a tag")?;
        let name = fit(word, "._-").parse().map_err(|error: ParseError| error.to_string())?;
        Ok(ImageKey { name, version: fit(tag, "._-+").parse().map_err(|error: ParseError| error.to_string())? })
    }
}

/// AMI names and tags may hold spaces and slashes; each run of what a name cannot hold becomes one dash.
fn fit(text: &str, extra: &str) -> String {
    let mut fitted = String::new();
    for c in text.trim().chars() {
        let c = if c.is_ascii_alphanumeric() || extra.contains(c) { c } else { '-' };
        if c != '-' || !fitted.ends_with('-') {
            fitted.push(c);
        }
    }
    fitted.trim_matches(|c| extra.contains(c)).chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AmiFacts;

    fn ami(tags: &[(&str, &str)]) -> AmiArtifact {
        let facts = AmiFacts {
            name: "Packer/Web Server (x86)".into(),
            created: Some("2026-11-20T10:15:00Z".parse().unwrap()),
            tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..AmiFacts::default()
        };
        let (region, arch) = ("eu-west-1".parse().unwrap(), "x86_64".parse().unwrap());
        AmiArtifact { account: "1".into(), region, arch, id: "ami-0123456789abcdef0".parse().unwrap(), facts }
    }

    #[test]
    fn tags_name_an_image_and_the_ami_itself_is_the_fallback() {
        let named = |tags: &[(&str, &str)]| Naming::default().name(&ami(tags)).unwrap().to_string();
        assert_eq!(named(&[("Name", "web"), ("Version", "1.4.2")]), "web@1.4.2");
        assert_eq!(named(&[("Name", " "), ("Other", "x")]), "packer-web-server-x86@ami-0123456789abcdef0");
    }

    #[test]
    fn a_pattern_mixes_text_and_fields() {
        let naming =
            Naming { name: "team-{tag:aws:team}".parse().unwrap(), version: "{tag:V|created}".parse().unwrap() };
        assert_eq!(naming.name(&ami(&[("aws:team", "Core")])).unwrap().to_string(), "team-core@20261120T101500Z");
        assert!(naming.name(&ami(&[])).unwrap_err().contains("name's pattern"));
        for bad in ["", "{", "}", "a}b", "{}", "{tag:}", "{when}", "{tag:A|}"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
