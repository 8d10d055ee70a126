//! The values of a Terraform state as they are read: leniently in shape, strictly in what is kept.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A scalar attribute as text. `None`: null, empty, or of another shape, which is skipped and not an error, because
/// attributes follow the version of the provider and not that of the state.
#[derive(Default)]
pub(super) struct Text(Option<String>);

impl Text {
    /// The text of an attribute that cannot be sensitive.
    pub(super) fn get(self) -> Option<String> {
        self.0
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl<'de> Visitor<'de> for Scalar {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                // What is shown on a terminal later must not steer it.
                let text: String = text.chars().filter(|c| !c.is_control()).collect();
                Ok(Text(Some(text).filter(|text| !text.is_empty())))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
                Ok(Text(Some(number.to_string())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
                Ok(Text(Some(number.to_string())))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
                Ok(Text(None))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
                Ok(Text(None))
            }
            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(None))
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Text, S::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Text, M::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

/// Go writes an empty list as `null`.
#[derive(Default)]
pub(super) struct OrNull<T>(pub(super) T);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for OrNull<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(deserializer)?.unwrap_or_default()))
    }
}

/// Nested blocks. Terraform's older plugin protocol writes a list, the newer one a single object, both may be null.
pub(super) struct Blocks<T>(Vec<T>);

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> IntoIterator for Blocks<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Blocks<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Nested<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Nested<T> {
            type Value = Blocks<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("nested blocks")
            }
            fn visit_unit<E>(self) -> Result<Blocks<T>, E> {
                Ok(Blocks::default())
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Blocks<T>, S::Error> {
                let mut blocks = Vec::new();
                while let Some(block) = seq.next_element::<Option<T>>()? {
                    blocks.extend(block);
                }
                Ok(Blocks(blocks))
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Blocks<T>, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|block| Blocks(vec![block]))
            }
        }
        deserializer.deserialize_any(Nested(PhantomData))
    }
}

/// The key of one instance as it stands in an address: empty, `[0]`, `["key"]`.
#[derive(Default)]
pub(super) struct IndexKey(pub(super) String);

impl<'de> Deserialize<'de> for IndexKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Key;
        impl Visitor<'_> for Key {
            type Value = IndexKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text")
            }
            fn visit_unit<E>(self) -> Result<IndexKey, E> {
                Ok(IndexKey::default())
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<IndexKey, E> {
                Ok(IndexKey(format!("[{number}]")))
            }
            fn visit_str<E: Error>(self, key: &str) -> Result<IndexKey, E> {
                Ok(IndexKey(format!("[\"{}\"]", quoted(key))))
            }
        }
        deserializer.deserialize_any(Key)
    }
}

/// A key as HCL quotes it, so that the address can be pasted into a Terraform command.
fn quoted(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    let mut rest = key.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' | '%' if rest.peek() == Some(&'{') => out.extend([c, c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Which attributes of an instance are marked sensitive: the names on the way to each.
///
/// The keys of lists and sets on the way are left out, so a mark on one element hides the attribute in all of them.
#[derive(Default)]
pub(super) struct Sensitive(Vec<Vec<String>>);

impl Sensitive {
    /// Whether the attribute, or something that contains it, is marked.
    pub(super) fn hides(&self, path: &[&str]) -> bool {
        self.0.iter().any(|mark| mark.len() <= path.len() && mark.iter().zip(path).all(|(one, two)| one == two))
    }

    /// Whether the attribute, something that contains it, or something in it is marked.
    pub(super) fn touches(&self, path: &[&str]) -> bool {
        self.0.iter().any(|mark| mark.iter().zip(path).all(|(one, two)| one == two))
    }

    /// The attribute's text, unless it is marked.
    pub(super) fn open(&self, attribute: &str, text: Text) -> Option<String> {
        if self.hides(&[attribute]) { None } else { text.0 }
    }
}

/// Attributes that a plan marks in a tree of the attributes' own shape: `{"image_id": true, "spec": [{"image": true}]}`.
/// What is not marked is `false` or absent.
#[derive(Default)]
pub(super) struct Marks(pub(super) Sensitive);

impl<'de> Deserialize<'de> for Marks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Branches::deserialize(deserializer).map(|branches| Self(Sensitive(branches.0)))
    }
}

/// The paths to every `true` below one place, without the numbers of lists.
struct Branches(Vec<Vec<String>>);

impl<'de> Deserialize<'de> for Branches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tree;
        impl<'de> Visitor<'de> for Tree {
            type Value = Branches;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("marks")
            }
            fn visit_bool<E>(self, marked: bool) -> Result<Branches, E> {
                Ok(Branches(if marked { vec![Vec::new()] } else { Vec::new() }))
            }
            fn visit_unit<E>(self) -> Result<Branches, E> {
                Ok(Branches(Vec::new()))
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Branches, S::Error> {
                let mut paths = Vec::new();
                while let Some(Branches(below)) = seq.next_element()? {
                    paths.extend(below);
                }
                Ok(Branches(paths))
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Branches, M::Error> {
                let mut paths = Vec::new();
                while let Some((name, Branches(below))) = map.next_entry::<String, Branches>()? {
                    paths.extend(below.into_iter().map(|path| [name.clone()].into_iter().chain(path).collect()));
                }
                Ok(Branches(paths))
            }
        }
        deserializer.deserialize_any(Tree)
    }
}

impl<'de> Deserialize<'de> for Sensitive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Step {
            #[serde(rename = "type")]
            kind: String,
            #[serde(default)]
            value: Text,
        }
        let paths = Option::<Vec<Vec<Step>>>::deserialize(deserializer)?.unwrap_or_default();
        let names = |path: Vec<Step>| {
            // A step of an unknown kind ends the path, so that it hides more and not less.
            let known = path.into_iter().take_while(|step| step.kind == "get_attr" || step.kind == "index");
            known.filter(|step| step.kind == "get_attr").filter_map(|step| step.value.0).collect()
        };
        Ok(Self(paths.into_iter().map(names).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> T {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_attribute_of_another_shape_is_unknown_and_not_an_error() {
        assert_eq!(parse::<Text>("\"7\"").0.as_deref(), Some("7"));
        assert_eq!(parse::<Text>("7").0.as_deref(), Some("7"));
        assert_eq!(parse::<Text>("\"a\\u001b[2Jb\"").0.as_deref(), Some("a[2Jb"));
        for other in ["null", "\"\"", "true", "1.5", "[1, {\"a\": []}]", "{\"a\": 1}"] {
            assert_eq!(parse::<Text>(other).0, None, "{other}");
        }
    }

    #[test]
    fn blocks_are_read_as_a_list_and_as_an_object() {
        let texts = |json| parse::<Blocks<Text>>(json).into_iter().map(Text::get).collect::<Vec<_>>();
        assert_eq!(texts("[\"a\", null, \"b\"]"), [Some("a".to_owned()), Some("b".to_owned())]);
        assert!(texts("null").is_empty());
        #[derive(Deserialize)]
        struct Block {
            id: Text,
        }
        let one = parse::<Blocks<Block>>("{\"id\": \"x\", \"more\": [1]}");
        assert_eq!(one.into_iter().map(|block| block.id.get()).collect::<Vec<_>>(), [Some("x".to_owned())]);
    }

    #[test]
    fn a_key_can_be_pasted_into_a_terraform_command() {
        assert_eq!(parse::<IndexKey>("0").0, "[0]");
        assert_eq!(parse::<IndexKey>("null").0, "");
        assert_eq!(parse::<IndexKey>(r#""a \"b\" ${c} \\ \u0007""#).0, r#"["a \"b\" $${c} \\ \u0007"]"#);
    }

    #[test]
    fn the_marks_of_a_plan_are_read_from_a_tree() {
        let Marks(marks) = parse(r#"{"image_id": true, "name": false, "spec": [{}, {"image": true}], "tags": {}}"#);
        assert!(marks.hides(&["image_id"]) && marks.hides(&["spec", "image"]) && marks.touches(&["spec"]));
        assert!(!marks.touches(&["name"]) && !marks.touches(&["tags"]) && !marks.hides(&["spec"]));
        assert!(parse::<Marks>("true").0.hides(&["anything"]));
        assert!(!parse::<Marks>("false").0.touches(&["anything"]));
        assert!(serde_json::from_str::<Marks>("\"x\"").is_err(), "marks that cannot be read are not no marks");
    }

    #[test]
    fn a_mark_hides_what_it_contains_and_nothing_beside_it() {
        let sensitive: Sensitive = parse(
            r#"[[{"type":"get_attr","value":"spec"},{"type":"index","value":{"value":0,"type":"number"}},
                 {"type":"get_attr","value":"image"}],
                [{"type":"get_attr","value":"user_data"}], [{"type":"get_attr","value":"all"},{"type":"odd","value":1}]]"#,
        );
        assert!(sensitive.hides(&["spec", "image"]));
        assert!(sensitive.hides(&["spec", "image", "deeper"]));
        assert!(!sensitive.hides(&["spec"]));
        assert!(sensitive.touches(&["spec"]));
        assert!(!sensitive.touches(&["image_id"]));
        assert!(sensitive.hides(&["all", "x"]));
        assert!(
            serde_json::from_str::<Sensitive>("\"no list\"").is_err(),
            "marks that cannot be read are not no marks"
        );
    }
}
