//! A Terraform or OpenTofu plan as `show -json` prints it: what each resource would be after the apply.
//!
//! A plan keeps secrets in clear text, also those that it marks. So, like a state, it is never turned into a tree of
//! values: only `resource_changes` is entered, and each resource is read as its own type. The format is described at
//! <https://developer.hashicorp.com/terraform/internals/json-format>.

use super::planned::{Deed, PlanError, Planned, declared};
use super::terraform_resource::{Found, Values, image_path, unknown};
use super::terraform_value::{Marks, Sensitive};
use super::{Declared, DeclaredImage, Format, IacError, Position, Subject, json_error};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// For what compares with code: what it declares once the plan is applied. `resource_drift` is not read: it is full of
/// what the provider writes in another way, and the cloud is asked itself.
pub(super) const FORMAT: Format = Format {
    name: "terraform-plan",
    detect: |bytes| serde_json::from_slice::<Envelope>(bytes).is_ok_and(|envelope| envelope.is_plan()),
    parse: |file, bytes| Ok(declared(parse(file, bytes)?)),
};

/// Keys that stand in a printed plan, and in a printed state, which is mistaken for one.
const KEYS: [&[u8]; 4] =
    [b"\"planned_values\"", b"\"resource_changes\"", b"\"format_version\"", b"\"terraform_version\""];

pub(super) fn detect(bytes: &[u8]) -> bool {
    let contains = |key: &[u8]| bytes.windows(key.len()).any(|window| window == key);
    bytes.trim_ascii_start().first() == Some(&b'{') && KEYS.iter().any(|key| contains(key))
}

pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Planned>, PlanError> {
    let wrong = |error: serde_json::Error| wrong(file, &error);
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(wrong)?;
    envelope.must_be_a_plan(file, bytes)?;
    let Heads { resource_changes: heads } = serde_json::from_slice(bytes).map_err(wrong)?;
    let heads = heads.unwrap_or_default();
    let mut reading = Reading { file, heads, planned: Vec::new() };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Document(&mut reading).deserialize(&mut json).map_err(wrong)?;
    reading.planned.sort();
    Ok(reading.planned)
}

fn wrong(file: &str, error: &serde_json::Error) -> PlanError {
    match json_error(file, error) {
        IacError::Layout { file, at } => PlanError::Layout { file, at },
        other => PlanError::Unreadable(other),
    }
}

/// What says which kind of file this is.
#[derive(Deserialize)]
struct Envelope {
    format_version: Option<String>,
    planned_values: Option<IgnoredAny>,
    resource_changes: Option<IgnoredAny>,
    #[serde(default)]
    errored: bool,
}

impl Envelope {
    fn is_plan(&self) -> bool {
        self.planned_values.is_some() || self.resource_changes.is_some()
    }

    /// Format 1.x, and 0.x before it: minor versions only add. The plan of a failed run is printed, and cannot be applied.
    fn must_be_a_plan(self, file: &str, bytes: &[u8]) -> Result<(), PlanError> {
        let at = |key| Position::of_key(bytes, key);
        let file = file.to_owned();
        if !self.is_plan() {
            return Err(PlanError::State { file, at: at("format_version") });
        }
        let major = |version: &String| version.split('.').next().and_then(|digits| digits.parse::<u64>().ok());
        match self.format_version {
            Some(version) if major(&version).is_some_and(|major| major <= 1) => {}
            Some(version) => {
                let version = version.chars().filter(|c| !c.is_control()).collect();
                return Err(PlanError::Newer { file, version, at: at("format_version") });
            }
            None => return Err(PlanError::Layout { file, at: Position::of(bytes, 0) }),
        }
        if self.errored { Err(PlanError::Errored { file, at: at("errored") }) } else { Ok(()) }
    }
}

/// Every change without its values, read before them: a tool that sorts keys puts `change` before `type`.
#[derive(Deserialize)]
struct Heads {
    resource_changes: Option<Vec<Head>>,
}

#[derive(Deserialize)]
struct Head {
    address: String,
    mode: String,
    #[serde(rename = "type")]
    kind: String,
    deposed: Option<IgnoredAny>,
    change: Marked,
}

/// What is done, and which values are hidden or not known yet.
#[derive(Deserialize)]
struct Marked {
    actions: Vec<String>,
    #[serde(default)]
    after_unknown: Marks,
    #[serde(default)]
    before_sensitive: Marks,
    #[serde(default)]
    after_sensitive: Marks,
}

impl Head {
    /// What becomes of it; `None`: nothing that concerns an image. A deposed object waits to be destroyed already, and
    /// what is forgotten stays as it is.
    fn deed(&self) -> Option<Deed> {
        if self.mode != "managed" || self.deposed.is_some() {
            return None;
        }
        let has = |word: &str| self.change.actions.iter().any(|action| action == word);
        match (has("delete"), has("create"), has("update")) {
            (true, true, _) => Some(Deed::Replace),
            (true, false, _) => Some(Deed::Delete),
            (false, true, _) => Some(Deed::Create),
            (false, false, true) => Some(Deed::Update),
            _ => has("no-op").then_some(Deed::Keep),
        }
    }
}

/// What the walk carries along.
struct Reading<'a> {
    file: &'a str,
    heads: Vec<Head>,
    planned: Vec<Planned>,
}

/// The outermost object: only `resource_changes` is entered.
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
        f.write_str("a plan")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "resource_changes" {
                map.next_value_seed(Changes(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The list of changes, in the order of the heads.
struct Changes<'a, 'f>(&'a mut Reading<'f>);

impl<'de> DeserializeSeed<'de> for Changes<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Changes<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of changes")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        let mut number = 0;
        loop {
            let head = self.0.heads.get(number);
            let Some((before, after)) = seq.next_element_seed(Change { head, inside: false })? else { return Ok(()) };
            self.0.take(number, before, after);
            number += 1;
        }
    }
}

/// One change: what the resource is before and after, read as its type wants it. `inside`: in its `change`.
struct Change<'a> {
    head: Option<&'a Head>,
    inside: bool,
}

type BeforeAfter = (Vec<Found>, Vec<Found>);

impl<'de> DeserializeSeed<'de> for Change<'_> {
    type Value = BeforeAfter;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<BeforeAfter, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Change<'_> {
    type Value = BeforeAfter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a change")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<BeforeAfter, M::Error> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            match (self.head, &*key) {
                (Some(_), "change") if !self.inside => {
                    (before, after) = map.next_value_seed(Change { head: self.head, inside: true })?;
                }
                (Some(head), "before") if self.inside => {
                    before = map.next_value_seed(head.values(&head.change.before_sensitive.0))?;
                }
                (Some(head), "after") if self.inside => {
                    after = map.next_value_seed(head.values(&head.change.after_sensitive.0))?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok((before, after))
    }
}

impl Head {
    fn values<'a>(&'a self, sensitive: &'a Sensitive) -> Values<'a> {
        Values { kind: &self.kind, sensitive }
    }

    /// The way to the image, where the plan does not know it yet.
    fn unknown_image(&self) -> Option<&'static str> {
        let unknown = &self.change.after_unknown.0;
        let paths = image_path(&self.kind);
        // Of a parameter's two values the one that is not written is never known.
        if self.kind == "aws_ssm_parameter" && !paths.iter().all(|path| unknown.touches(path)) {
            return None;
        }
        paths.iter().find(|path| unknown.touches(path))?.last().copied()
    }
}

impl Reading<'_> {
    fn take(&mut self, number: usize, before: Vec<Found>, after: Vec<Found>) {
        let Some(head) = self.heads.get(number) else { return };
        let Some(deed) = head.deed() else { return };
        let address: String = head.address.chars().filter(|c| !c.is_control()).collect();
        let was: Vec<(Subject, DeclaredImage)> =
            before.iter().map(|found| (found.subject.clone(), found.image.clone())).collect();
        let hidden = head.unknown_image();
        // What is not known yet, or no image any more, is not there afterwards as far as the plan can tell: what it was is
        // asked.
        let is_gone = after.is_empty();
        for Found { place, subject, image } in if is_gone { before } else { after } {
            let before = was.iter().find(|(was, _)| was.slot() == subject.slot()).cloned();
            let image = match hidden {
                Some(attribute) => unknown(format!("its `{attribute}` is known only after the apply")),
                None if is_gone && deed != Deed::Delete => unknown("it names no image any more"),
                None => image,
            };
            let declared = Declared { source: self.file.to_owned(), address: address.clone(), place, subject, image };
            self.planned.push(Planned { declared, deed, before });
        }
    }
}
