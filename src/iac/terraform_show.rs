//! A state as `terraform show -json` prints it: the same resources, each with the address that Terraform gives it.
//!
//! What is marked sensitive is printed in clear text, so this too is never turned into a tree of values. The format is
//! described at <https://developer.hashicorp.com/terraform/internals/json-format>.

use super::terraform_resource::{Found, Values};
use super::terraform_value::{Marks, OrNull};
use super::{Declared, Format, IacError, Position, json_error};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

pub(super) const FORMAT: Format = Format { name: "terraform-show", detect, parse };

fn detect(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Envelope>(bytes).is_ok_and(|envelope| envelope.is_state())
}

fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Declared>, IacError> {
    let wrong = |error: serde_json::Error| json_error(file, &error);
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(wrong)?;
    envelope.must_be_format_1(file, bytes)?;
    let Document { values } = serde_json::from_slice(bytes).map_err(wrong)?;
    let mut declared = walk(file, bytes, Within::Document, &values.unwrap_or_default()).map_err(wrong)?;
    declared.sort();
    Ok(declared)
}

/// What the state declares that is printed within a plan (`prior_state`): the state as the plan's refresh left it.
pub(super) fn prior_state(file: &str, bytes: &[u8]) -> Result<Vec<Declared>, serde_json::Error> {
    let Plan { prior_state } = serde_json::from_slice(bytes)?;
    let values = prior_state.and_then(|state| state.values).unwrap_or_default();
    walk(file, bytes, Within::Plan, &values)
}

fn walk(file: &str, bytes: &[u8], within: Within, heads: &Root) -> Result<Vec<Declared>, serde_json::Error> {
    let mut declared = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let walk = Walk { file, module: heads.root_module.as_ref(), within, declared: &mut declared };
    walk.deserialize(&mut json)?;
    Ok(declared)
}

/// What says which kind of file this is. The print of an empty state has nothing but its format.
#[derive(Deserialize)]
struct Envelope {
    format_version: Option<String>,
    planned_values: Option<IgnoredAny>,
    resource_changes: Option<IgnoredAny>,
    version: Option<IgnoredAny>,
}

impl Envelope {
    fn is_state(&self) -> bool {
        let is_plan = self.planned_values.is_some() || self.resource_changes.is_some();
        self.format_version.is_some() && !is_plan && self.version.is_none()
    }

    /// Format 1.x, and 0.x before it: minor versions only add.
    fn must_be_format_1(self, file: &str, bytes: &[u8]) -> Result<(), IacError> {
        let (file, at) = (file.to_owned(), Position::of_key(bytes, "format_version"));
        let version = self.format_version.unwrap_or_default();
        match version.split('.').next().and_then(|digits| digits.parse::<u64>().ok()) {
            Some(0 | 1) => Ok(()),
            Some(_) => {
                let version = version.chars().filter(|c| !c.is_control()).collect();
                Err(IacError::NewerShow { file, version, at })
            }
            None => Err(IacError::Layout { file, at }),
        }
    }
}

/// Everything but the values, read before them: a tool that sorts keys puts the marks before what they mark, Terraform
/// behind it.
#[derive(Deserialize)]
struct Document {
    values: Option<Root>,
}

#[derive(Deserialize)]
struct Plan {
    prior_state: Option<Document>,
}

#[derive(Deserialize, Default)]
struct Root {
    root_module: Option<Module>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    resources: OrNull<Vec<Head>>,
    #[serde(default)]
    child_modules: OrNull<Vec<Module>>,
}

/// One resource, without its values.
#[derive(Deserialize)]
struct Head {
    address: String,
    mode: String,
    #[serde(rename = "type")]
    kind: String,
    /// It was replaced and waits to be destroyed: code no longer declares it.
    deposed_key: Option<IgnoredAny>,
    #[serde(default)]
    sensitive_values: Marks,
}

/// Where the walk is; the way down is `prior_state` (of a plan), `values`, `root_module`, then modules in modules.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Plan,
    Document,
    Values,
    Module,
}

/// An object on the way to the resources: only what leads there is entered.
struct Walk<'a> {
    file: &'a str,
    /// The module that this is, or leads to.
    module: Option<&'a Module>,
    within: Within,
    declared: &'a mut Vec<Declared>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a printed state")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let Walk { file, module, within, declared } = self;
        while let Some(key) = map.next_key::<String>()? {
            match (within, &*key, module) {
                (Within::Plan, "prior_state", _) => {
                    map.next_value_seed(Walk { file, module, within: Within::Document, declared: &mut *declared })?;
                }
                (Within::Document, "values", _) => {
                    map.next_value_seed(Walk { file, module, within: Within::Values, declared: &mut *declared })?;
                }
                (Within::Values, "root_module", _) => {
                    map.next_value_seed(Walk { file, module, within: Within::Module, declared: &mut *declared })?;
                }
                (Within::Module, "resources", Some(module)) => {
                    map.next_value_seed(List::Resources(file, &module.resources.0, &mut *declared))?;
                }
                (Within::Module, "child_modules", Some(module)) => {
                    map.next_value_seed(List::Modules(file, &module.child_modules.0, &mut *declared))?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A list in a module, in the order of the heads.
enum List<'a> {
    Resources(&'a str, &'a [Head], &'a mut Vec<Declared>),
    Modules(&'a str, &'a [Module], &'a mut Vec<Declared>),
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        match self {
            Self::Resources(file, heads, declared) => {
                for head in heads {
                    let found = seq.next_element_seed(Resource(head))?.unwrap_or_default();
                    declared.extend(found.into_iter().map(|found| head.declare(file, found)));
                }
            }
            Self::Modules(file, modules, declared) => {
                for module in modules {
                    let (module, within) = (Some(module), Within::Module);
                    seq.next_element_seed(Walk { file, module, within, declared: &mut *declared })?;
                }
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// One resource: its values are read as its type wants, and not at all where the type tells no image.
struct Resource<'a>(&'a Head);

impl<'de> DeserializeSeed<'de> for Resource<'_> {
    type Value = Vec<Found>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Found>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Resource<'_> {
    type Value = Vec<Found>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a resource")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Vec<Found>, M::Error> {
        let mut found = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "values" && self.0.is_declared() {
                found = map.next_value_seed(Values { kind: &self.0.kind, sensitive: &self.0.sensitive_values.0 })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

impl Head {
    fn is_declared(&self) -> bool {
        self.mode == "managed" && self.deposed_key.is_none()
    }

    fn declare(&self, file: &str, found: Found) -> Declared {
        let address: String = self.address.chars().filter(|c| !c.is_control()).collect();
        found.declare(file, &address)
    }
}
