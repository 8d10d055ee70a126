//! Terraform and OpenTofu state, format 4: the envelope, and the walk over its resources.
//!
//! A state keeps secrets in clear text. So it is never turned into a tree of values: each resource is read as its own
//! type, which takes the few attributes that tell an image and lets the parser skip the rest.

use super::terraform_resource::{self, Instance};
use super::terraform_value::OrNull;
use super::{Declared, Format, IacError, Position, json_error};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

pub(super) const FORMAT: Format = Format { name: "terraform-state", detect, parse };

/// Words that stand in every state, also in an old, newer or encrypted one, and in what is mistaken for one.
const MARKS: [&[u8]; 4] = [b"\"terraform_version\"", b"\"lineage\"", b"\"encryption_version\"", b"\"encrypted_data\""];

fn detect(bytes: &[u8]) -> bool {
    let contains = |mark: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
    bytes.trim_ascii_start().first() == Some(&b'{') && MARKS.iter().any(|mark| contains(mark))
}

fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Declared>, IacError> {
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(|error| json_error(file, &error))?;
    envelope.must_be_format_4(file, bytes)?;
    let Headers { resources } = serde_json::from_slice(bytes).map_err(|error| json_error(file, &error))?;
    let mut reading = Reading { file, headers: resources.0, declared: Vec::new(), legacy: None };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Document(&mut reading).deserialize(&mut json).map_err(|error| json_error(file, &error))?;
    if let Some(address) = reading.legacy {
        return Err(IacError::Legacy { file: file.to_owned(), address });
    }
    reading.declared.sort();
    Ok(reading.declared)
}

/// What says which kind of file this is. Values of other files' keys are never looked at.
#[derive(Deserialize)]
struct Envelope {
    version: Option<u64>,
    terraform_version: Option<String>,
    encryption_version: Option<IgnoredAny>,
    encrypted_data: Option<IgnoredAny>,
}

impl Envelope {
    fn must_be_format_4(self, file: &str, bytes: &[u8]) -> Result<(), IacError> {
        let at = |key| Position::of_key(bytes, key);
        let terraform = self.terraform_version.map(|version| version.chars().filter(|c| !c.is_control()).collect());
        let file = file.to_owned();
        if self.encryption_version.is_some() || self.encrypted_data.is_some() {
            return Err(IacError::Encrypted { file, at: at("encrypted_data") });
        }
        match self.version {
            Some(4) => Ok(()),
            Some(version @ 0..4) => Err(IacError::Older { file, version, terraform, at: at("version") }),
            Some(version) => Err(IacError::Newer { file, version, terraform, at: at("version") }),
            None => Err(IacError::Unrecognised { file }),
        }
    }
}

/// Module, type and name of every resource, read before their instances: a tool that sorts keys puts `instances` first.
#[derive(Deserialize)]
struct Headers {
    #[serde(default)]
    resources: OrNull<Vec<Header>>,
}

/// One resource, without its instances.
#[derive(Deserialize)]
struct Header {
    module: Option<String>,
    mode: String,
    #[serde(rename = "type")]
    kind: String,
    name: String,
}

impl Header {
    /// The address as Terraform prints it, without an instance's key.
    fn address(&self) -> String {
        let module = self.module.as_ref().map(|module| format!("{module}.")).unwrap_or_default();
        let address = format!("{module}{}.{}", self.kind, self.name);
        address.chars().filter(|c| !c.is_control()).collect()
    }
}

/// What the walk carries along.
struct Reading<'a> {
    file: &'a str,
    headers: Vec<Header>,
    declared: Vec<Declared>,
    /// The first resource that an old provider wrote in a form that is no longer read.
    legacy: Option<String>,
}

/// The outermost object: only `resources` is entered.
struct Document<'a, 'f>(&'a mut Reading<'f>);

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a state")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "resources" {
                map.next_value_seed(Resources(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The list of resources, in the order of the headers.
struct Resources<'a, 'f>(&'a mut Reading<'f>);

impl<'de> DeserializeSeed<'de> for Resources<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Resources<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of resources")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        let mut number = 0;
        while seq.next_element_seed(Resource(self.0, number))?.is_some() {
            number += 1;
        }
        Ok(())
    }
}

/// One resource: its instances are read as its type wants, and not at all where the type tells no image.
struct Resource<'a, 'f>(&'a mut Reading<'f>, usize);

impl<'de> DeserializeSeed<'de> for Resource<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Resource<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a resource")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let Self(reading, number) = self;
        while let Some(key) = map.next_key::<String>()? {
            match reading.headers.get(number) {
                Some(header) if key == "instances" && header.mode == "managed" => {
                    let base = header.address();
                    let instances = terraform_resource::instances(&header.kind, &mut map)?;
                    instances.into_iter().for_each(|instance| reading.take(&base, instance));
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

impl Reading<'_> {
    fn take(&mut self, base: &str, instance: Instance) {
        // A deposed object is what was replaced and waits to be destroyed: code no longer declares it.
        if instance.deposed {
            return;
        }
        let address = format!("{base}{}", instance.index);
        if instance.is_flat {
            self.legacy.get_or_insert(address);
            return;
        }
        let file = self.file;
        self.declared.extend(instance.found.into_iter().map(|found| found.declare(file, &address)));
    }
}
