//! A Terraform or OpenTofu plan as `show -json` prints it: what each resource would be after the apply.
//!
//! A plan keeps secrets in clear text, also those that it marks. So, like a state, it is never turned into a tree of
//! values: only the lists of changes are entered, and each resource is read as its own type. The format is described at
//! <https://developer.hashicorp.com/terraform/internals/json-format>.
//!
//! A plan made with `-refresh-only` has no `resource_changes`: it says nothing of the code, and all that it prints of
//! values is what the refresh has found in the cloud. What was applied last stands there as well, in two places: of what
//! has drifted as `before` in `resource_drift`, of all else in `prior_state`.

use super::planned::{Deed, PlanError, Planned, declared};
use super::terraform_resource::{Found, Values, image_path, unknown};
use super::terraform_show::prior_state;
use super::terraform_value::{Marks, Sensitive};
use super::{Declared, DeclaredImage, Format, IacError, Position, Subject, json_error};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// For what compares with code: what it declares once the plan is applied. `resource_drift` is not believed to say what
/// drift is: it is full of what the provider writes in another way, and the cloud is asked itself.
pub(super) const FORMAT: Format = Format {
    name: "terraform-plan",
    detect: |bytes| serde_json::from_slice::<Envelope>(bytes).is_ok_and(|envelope| envelope.is_plan()),
    parse: |file, bytes| {
        let is_refresh = serde_json::from_slice::<Envelope>(bytes).is_ok_and(|envelope| envelope.is_refresh());
        Ok(if is_refresh { applied(file, bytes)? } else { declared(parse(file, bytes)?) })
    },
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
    let Changed { resource_changes: heads } = serde_json::from_slice(bytes).map_err(wrong)?;
    let changes = changes(bytes, "resource_changes", heads.unwrap_or_default()).map_err(wrong)?;
    let mut planned: Vec<Planned> = changes.into_iter().flat_map(|change| change.planned(file)).collect();
    planned.sort();
    Ok(planned)
}

/// What was applied last, by a plan that was made with `-refresh-only`: the state before the refresh.
fn applied(file: &str, bytes: &[u8]) -> Result<Vec<Declared>, PlanError> {
    let wrong = |error: serde_json::Error| wrong(file, &error);
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(wrong)?;
    envelope.must_be_a_plan(file, bytes)?;
    let Drifted { resource_drift: heads } = serde_json::from_slice(bytes).map_err(wrong)?;
    let mut drifted = changes(bytes, "resource_drift", heads.unwrap_or_default()).map_err(wrong)?;
    drifted.retain(|change| change.head.is_declared());
    let changed: BTreeSet<String> = drifted.iter().map(|change| change.head.address()).collect();
    let mut declared = prior_state(file, bytes).map_err(wrong)?;
    declared.retain(|each| !changed.contains(&each.address));
    declared.extend(drifted.into_iter().flat_map(|Read { head, before, .. }| {
        let address = head.address();
        before.into_iter().map(move |found| found.declare(file, &address))
    }));
    declared.sort();
    Ok(declared)
}

/// The changes of one list, each with what its resource was before and is after.
fn changes(bytes: &[u8], list: &'static str, heads: Vec<Head>) -> Result<Vec<Read>, serde_json::Error> {
    let mut reading = Reading { list, heads: heads.into_iter(), changes: Vec::new() };
    Document(&mut reading).deserialize(&mut serde_json::Deserializer::from_slice(bytes))?;
    Ok(reading.changes)
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
    prior_state: Option<IgnoredAny>,
    resource_drift: Option<IgnoredAny>,
    #[serde(default)]
    errored: bool,
}

impl Envelope {
    fn is_plan(&self) -> bool {
        self.planned_values.is_some() || self.resource_changes.is_some()
    }

    /// Made with `-refresh-only`: any other plan lists what it does to each resource, be it nothing.
    fn is_refresh(&self) -> bool {
        let has_state = self.prior_state.is_some() || self.resource_drift.is_some();
        self.planned_values.is_some() && self.resource_changes.is_none() && has_state
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
struct Changed {
    resource_changes: Option<Vec<Head>>,
}

#[derive(Deserialize)]
struct Drifted {
    resource_drift: Option<Vec<Head>>,
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
    fn is_declared(&self) -> bool {
        self.mode == "managed" && self.deposed.is_none()
    }

    fn address(&self) -> String {
        self.address.chars().filter(|c| !c.is_control()).collect()
    }

    /// What becomes of it; `None`: nothing that concerns an image. A deposed object waits to be destroyed already, and
    /// what is forgotten stays as it is.
    fn deed(&self) -> Option<Deed> {
        if !self.is_declared() {
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
struct Reading {
    /// The key of the list that is entered.
    list: &'static str,
    /// Those that are still to come.
    heads: std::vec::IntoIter<Head>,
    changes: Vec<Read>,
}

/// One change as it was read.
struct Read {
    head: Head,
    before: Vec<Found>,
    after: Vec<Found>,
}

/// The outermost object: only the list is entered.
struct Document<'a>(&'a mut Reading);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plan")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0.list {
                map.next_value_seed(Changes(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The list of changes, in the order of the heads.
struct Changes<'a>(&'a mut Reading);

impl<'de> DeserializeSeed<'de> for Changes<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Changes<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of changes")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        for head in self.0.heads.by_ref() {
            let read = seq.next_element_seed(Change { head: &head, inside: false })?;
            self.0.changes.extend(read.map(|(before, after)| Read { head, before, after }));
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// One change: what the resource is before and after, read as its type wants it. `inside`: in its `change`.
struct Change<'a> {
    head: &'a Head,
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
            let head = self.head;
            match &*key {
                "change" if !self.inside => {
                    (before, after) = map.next_value_seed(Change { head, inside: true })?;
                }
                "before" if self.inside => {
                    before = map.next_value_seed(head.values(&head.change.before_sensitive.0))?;
                }
                "after" if self.inside => {
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

impl Read {
    /// What an apply would put somewhere, or take away.
    fn planned(self, file: &str) -> Vec<Planned> {
        let Self { head, before, after } = self;
        let Some(deed) = head.deed() else { return Vec::new() };
        let was: Vec<(Subject, DeclaredImage)> =
            before.iter().map(|found| (found.subject.clone(), found.image.clone())).collect();
        let hidden = head.unknown_image();
        // What is not known yet, or no image any more, is not there afterwards as far as the plan can tell: what it was is
        // asked.
        let is_gone = after.is_empty();
        let address = head.address();
        let planned = if is_gone { before } else { after }.into_iter().map(|found| {
            let before = was.iter().find(|(was, _)| was.slot() == found.subject.slot()).cloned();
            let declared = found.declare(file, &address);
            let image = match hidden {
                Some(attribute) => unknown(format!("its `{attribute}` is known only after the apply")),
                None if is_gone && deed != Deed::Delete => unknown("it names no image any more"),
                None => declared.image,
            };
            Planned { declared: Declared { image, ..declared }, deed, before }
        });
        planned.collect()
    }
}
