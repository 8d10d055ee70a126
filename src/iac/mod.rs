//! Readers of infrastructure code: bytes in, declared images out. Pure: nothing here opens a file.

mod cloudformation;
mod encrypted;
mod manifest;
mod passphrase;
mod planned;
mod planned_for;
mod position;
mod target_image;
mod target_service;
mod target_workload;
mod template_text;
mod template_value;
mod terraform_containers;
mod terraform_plan;
mod terraform_resource;
mod terraform_show;
mod terraform_state;
mod terraform_value;
mod terraform_workload;

pub use passphrase::Passphrase;
pub use planned::{Deed, PlanError, Planned, read_planned};
pub use planned_for::{After, Effect, Named, Object, planned_for};
pub use position::Position;
pub use target_image::{Claim, DeclaredFor, Group, address, declared_for, declared_for_template};
pub use target_service::{Service, declared_for_service};
pub use target_workload::{Pods, declared_for_workload};

use crate::model::{Region, SlotName};
use std::fmt;

/// A way in which code, or what a tool remembers of it, is written down.
pub struct Format {
    /// As it is named in the config.
    pub name: &'static str,
    /// Whether these bytes look like it: cheap, and generous, so that `parse` can say what is wrong with them.
    pub detect: fn(&[u8]) -> bool,
    /// Everything that it declares, sorted. The file's name is only for errors and for `Declared::source`.
    pub parse: fn(&str, &[u8]) -> Result<Vec<Declared>, IacError>,
}

/// Every format that can be read. The first that recognises the bytes reads them.
pub static FORMATS: &[Format] = &[
    terraform_plan::FORMAT,
    terraform_show::FORMAT,
    terraform_state::FORMAT,
    cloudformation::FORMAT,
    manifest::FORMAT,
];

/// Detects the format of `bytes` and reads what they declare. `file` is named in errors; the passphrase opens what OpenTofu
/// has encrypted. Where the config says of which kind it is, another tool's code is refused: somebody has mixed them up.
pub fn read(file: &str, bytes: &[u8], passphrase: &Passphrase, kind: Option<&str>) -> Result<Vec<Declared>, IacError> {
    readable(file, bytes)?;
    let opened = encrypted::decrypt(file, bytes, passphrase)?;
    let bytes = opened.as_deref().unwrap_or(bytes);
    match FORMATS.iter().find(|format| (format.detect)(bytes)) {
        Some(Format { name, .. }) if kind.is_some_and(|kind| tool(kind) != tool(name)) => {
            Err(IacError::OtherKind { file: file.to_owned(), kind: kind.unwrap_or_default().to_owned(), found: name })
        }
        Some(format) => (format.parse)(file, bytes),
        None => Err(unrecognised(file, bytes)),
    }
}

/// `terraform` of `terraform-state`: a state, what `show` prints of it and a plan say the same things.
fn tool(format: &str) -> &str {
    format.split('-').next().unwrap_or_default()
}

/// Refuses what no format can be: nothing, an archive, an encoding that is not plain UTF-8.
fn readable(file: &str, bytes: &[u8]) -> Result<(), IacError> {
    let file = || file.to_owned();
    let encoded = |encoding, offset| IacError::Encoding { file: file(), encoding, at: Position::of(bytes, offset) };
    match bytes {
        [] => return Err(IacError::Empty { file: file() }),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => return Err(IacError::PlanFile { file: file() }),
        [0xef, 0xbb, 0xbf, ..] => return Err(encoded("UTF-8 with a byte order mark", 0)),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'{', 0, ..] | [0, b'{', ..] => return Err(encoded("UTF-16", 0)),
        _ if bytes.iter().all(u8::is_ascii_whitespace) => return Err(IacError::Empty { file: file() }),
        _ => {}
    }
    std::str::from_utf8(bytes).map(|_| ()).map_err(|error| encoded("bytes that are not UTF-8", error.valid_up_to()))
}

/// What can be said of bytes that no format claims.
fn unrecognised(file: &str, bytes: &[u8]) -> IacError {
    if bytes.trim_ascii_start().starts_with(b"<") {
        return IacError::Page { file: file.to_owned() };
    }
    if bytes.windows(b"AWS::".len()).any(|window| window == b"AWS::") {
        return IacError::LooseTemplate { file: file.to_owned() };
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        Ok(_) => IacError::Unrecognised { file: file.to_owned() },
        Err(error) => json_error(file, &error),
    }
}

/// Says where JSON breaks off or goes wrong, and never what stands there: it may be a secret.
fn json_error(file: &str, error: &serde_json::Error) -> IacError {
    let file = file.to_owned();
    let at = Position { line: error.line(), column: error.column() };
    match error.classify() {
        serde_json::error::Category::Eof => IacError::Truncated { file, at },
        // The parser's own messages are fixed texts; its position is ours to write.
        serde_json::error::Category::Syntax => {
            let text = error.to_string();
            let why = text.split(" at line ").next().unwrap_or_default().to_owned();
            IacError::NotJson { file, at, why }
        }
        serde_json::error::Category::Data | serde_json::error::Category::Io => IacError::Layout { file, at },
    }
}

/// A launch template as something refers to it: by id, by name, or by both.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TemplateRef {
    pub id: Option<String>,
    pub name: Option<String>,
}

impl TemplateRef {
    /// Whether both mean one template: ids decide where both are known, else names.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.id, &other.id) {
            (Some(one), Some(two)) => one == two,
            _ => self.name.is_some() && self.name == other.name,
        }
    }
}

impl fmt::Display for TemplateRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.id) {
            (Some(name), Some(id)) => write!(f, "{name} ({id})"),
            (Some(text), None) | (None, Some(text)) => f.write_str(text),
            (None, None) => f.write_str("without id or name"),
        }
    }
}

/// Where a resource is, as far as its ARN tells: names such as a group's are unique only there.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Twelve digits.
    pub account: Option<String>,
    pub region: Option<Region>,
}

impl Place {
    /// Reads `arn:PARTITION:SERVICE:REGION:ACCOUNT:…`; what is not there stays unknown.
    pub fn from_arn(arn: &str) -> Self {
        let mut parts = arn.split(':').skip(3);
        let region = parts.next().and_then(|text| text.parse().ok());
        let account = parts.next().filter(|text| text.len() == 12 && text.chars().all(|c| c.is_ascii_digit()));
        Self { account: account.map(str::to_owned), region }
    }

    /// Whether both can be one place: what is unknown can be anything.
    pub fn may_be(&self, other: &Self) -> bool {
        let agree = |one: Option<&str>, two: Option<&str>| one.is_none() || two.is_none() || one == two;
        agree(self.account.as_deref(), other.account.as_deref())
            && agree(self.region.as_ref().map(Region::as_str), other.region.as_ref().map(Region::as_str))
    }
}

/// What a resource's image is for, so that a declaration can be matched with a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An EC2 launch template. Its image is that of its newest version, `newest`.
    LaunchTemplate {
        template: TemplateRef,
        newest: Option<u64>,
        default: Option<u64>,
        /// Each new version becomes the default one, also the one whose number only an apply will tell.
        moves_default: bool,
    },
    /// One slot of an Auto Scaling group: `template`, or the instance type of an override with a template of its own.
    AutoScalingGroup { name: String, slot: SlotName },
    /// One EC2 instance.
    Instance { id: String },
    /// An SSM parameter that holds an AMI id.
    Parameter { name: String },
    /// An ECS task definition, the revision that this resource is, and one of its containers; `None` where they cannot be
    /// told apart.
    TaskDefinition { family: String, revision: Option<u64>, container: Option<String> },
    /// An ECS service, by its cluster's name and its own. Its image is that of its task definition.
    Service { cluster: String, name: String },
    /// A Kubernetes workload and one of its containers.
    Workload { kind: String, namespace: String, name: String, container: String },
}

impl Subject {
    /// The slot of the resource that it is about, where a resource has several.
    fn slot(&self) -> Option<&str> {
        match self {
            Self::AutoScalingGroup { slot, .. } => Some(slot.as_str()),
            Self::TaskDefinition { container, .. } => container.as_deref(),
            Self::Workload { container, .. } => Some(container),
            Self::LaunchTemplate { .. } | Self::Instance { .. } | Self::Parameter { .. } | Self::Service { .. } => None,
        }
    }
}

/// What a resource says its image is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeclaredImage {
    /// An AMI id or an image reference, as it stands in the code.
    Text(String),
    /// A version of a launch template (`7`, `$Latest`, `$Default`), or a revision of a task definition's family.
    TemplateVersion { template: TemplateRef, version: String },
    /// It says something that cannot be read as an image, and why.
    Unknown { why: String },
}

/// One image that code declares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declared {
    /// The state or plan it was read from, as the user named it.
    pub source: String,
    /// The resource address: `module.web["a"].aws_launch_template.this[0]`.
    pub address: String,
    pub place: Place,
    pub subject: Subject,
    pub image: DeclaredImage,
}

/// Why a file does not tell what it declares.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IacError {
    #[error("`{file}` is empty")]
    Empty { file: String },
    #[error("`{file}` is written in {encoding} ({at})")]
    Encoding { file: String, encoding: &'static str, at: Position },
    #[error("`{file}` is not JSON ({at}: {why})")]
    NotJson { file: String, at: Position, why: String },
    #[error("`{file}` is cut short: it ends in the middle of a value ({at})")]
    Truncated { file: String, at: Position },
    #[error("`{file}` is JSON, and neither a state, nor a plan, nor a Kubernetes manifest")]
    Unrecognised { file: String },
    #[error("`{file}` is a page (HTML or XML), not a state")]
    Page { file: String },
    #[error("`{file}` is declared as {kind}, and is a {found}")]
    OtherKind { file: String, kind: String, found: &'static str },
    #[error("`{file}` is a saved plan, not a state")]
    PlanFile { file: String },
    #[error("`{file}` is a state printed in format {version}, newer than 1, which this imgctl reads ({at})")]
    NewerShow { file: String, version: String, at: Position },
    /// What is said of plans and manifests.
    #[error(transparent)]
    Plan(Box<PlanError>),
    #[error("`{file}` is an encrypted OpenTofu state ({at})")]
    Encrypted { file: String, at: Position },
    #[error("`{file}` is encrypted with a key of `{provider}`, and imgctl knows only keys of `pbkdf2` ({at})")]
    KeyProvider { file: String, provider: String, at: Position },
    #[error("the passphrase does not open `{file}` ({at})")]
    WrongPassphrase { file: String, at: Position },
    #[error("`{file}` is encrypted in a way that this imgctl does not know ({at})")]
    Encryption { file: String, at: Position },
    #[error("`{file}` is in state format {version}, older than 4{} ({at})", written_by(.terraform))]
    Older { file: String, version: u64, terraform: Option<String>, at: Position },
    #[error("`{file}` is in state format {version}, newer than 4, which this imgctl reads{} ({at})", written_by(.terraform))]
    Newer { file: String, version: u64, terraform: Option<String>, at: Position },
    #[error("`{file}` is not laid out as Terraform writes a state ({at})")]
    Layout { file: String, at: Position },
    #[error("the template of `{stack}` in `{file}` cannot be read ({at})")]
    Template { file: String, stack: String, at: Position },
    #[error("`{file}` is a CloudFormation template, and does not tell what a stack was made of")]
    LooseTemplate { file: String },
    #[error("`{file}` holds `{address}` in the form of Terraform 0.11")]
    Legacy { file: String, address: String },
}

impl From<PlanError> for IacError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Unreadable(error) => error,
            error => Self::Plan(Box::new(error)),
        }
    }
}

fn written_by(terraform: &Option<String>) -> String {
    terraform.as_ref().map(|version| format!(", written by Terraform {version}")).unwrap_or_default()
}

impl IacError {
    /// What to type next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty { .. } | Self::Truncated { .. } => {
                "fetch the state itself: terraform state pull > pulled.tfstate"
            }
            Self::Encoding { .. } => {
                "fetch it without a change of encoding (in PowerShell: cmd /c \"terraform state pull > pulled.tfstate\")"
            }
            Self::NotJson { .. } | Self::Unrecognised { .. } | Self::Layout { .. } => {
                "give a state: terraform state pull > pulled.tfstate, then imgctl drift --state pulled.tfstate"
            }
            Self::Page { .. } => {
                "look at its address in a browser: it leads to a page, perhaps one that asks for a login"
            }
            Self::OtherKind { .. } => "let `kind` say what `source` is ([[channels.NAME.ENV.iac]])",
            Self::PlanFile { .. } => "let Terraform print it: terraform show -json tfplan | imgctl drift --state -",
            Self::Plan(error) => error.hint(),
            Self::Encrypted { .. } => {
                "give its passphrase in IMGCTL_STATE_PASSPHRASE (or TF_ENCRYPTION), or: tofu state pull | imgctl drift --state -"
            }
            Self::WrongPassphrase { .. } => {
                "look at IMGCTL_STATE_PASSPHRASE, else TF_ENCRYPTION; where its method has `aad`: tofu state pull | imgctl drift --state -"
            }
            Self::KeyProvider { .. } | Self::Encryption { .. } => {
                "let OpenTofu decrypt it: tofu state pull | imgctl drift --state -"
            }
            Self::Older { .. } => {
                "upgrade the state with Terraform 0.12 or newer: terraform apply -refresh-only, then terraform state pull"
            }
            Self::Newer { .. } | Self::NewerShow { .. } => {
                "upgrade imgctl, or write the state with the Terraform that the project is pinned to"
            }
            Self::Template { .. } => "look at it: aws cloudformation get-template --template-stage Processed",
            Self::LooseTemplate { .. } => "name the stack: imgctl drift --state cloudformation://STACK",
            Self::Legacy { .. } => "let the provider rewrite it: terraform apply -refresh-only",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_config_calls_it_is_held_against_what_it_is() {
        let manifest = b"apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\n";
        let as_kind = |kind| read("web.yaml", manifest, &Passphrase::default(), kind);
        assert!(as_kind(None).is_ok() && as_kind(Some("kubernetes-manifest")).is_ok());
        let error = as_kind(Some("terraform-state")).unwrap_err();
        assert_eq!(error.to_string(), "`web.yaml` is declared as terraform-state, and is a kubernetes-manifest");
        let page = read("web.tfstate", b" <!DOCTYPE html><html>sign in</html>", &Passphrase::default(), None);
        assert!(matches!(page, Err(IacError::Page { .. })), "{page:?}");
        assert!(
            tool("terraform-plan") == tool("terraform-state") && tool("terraform-plan") != tool("kubernetes-manifest")
        );
    }
    use std::path::{Path, PathBuf};

    /// Stands in the fixtures wherever a real state keeps a secret.
    const CANARY: &str = "CANARY";

    fn states(format: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/states").join(format);
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut states: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end != "txt")).collect();
        states.sort();
        states.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }

    fn name(path: &Path) -> &str {
        path.file_name().unwrap().to_str().unwrap()
    }

    fn line(declared: &Declared) -> String {
        let Declared { address, place, subject, image, .. } = declared;
        let number = |number: &Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        let subject = match subject {
            Subject::LaunchTemplate { template, newest, default, .. } => {
                format!("template {template}, newest {}, default {}", number(newest), number(default))
            }
            Subject::AutoScalingGroup { name, slot } => format!("group {name}, slot {slot}"),
            Subject::Instance { id } => format!("instance {id}"),
            Subject::Parameter { name } => format!("parameter {name}"),
            Subject::TaskDefinition { family, revision, container } => {
                format!("task {family}:{}, container {container:?}", number(revision))
            }
            Subject::Service { cluster, name } => format!("service {name} of {cluster}"),
            Subject::Workload { kind, namespace, name, container } => {
                format!("{kind} {namespace}/{name}, container {container}")
            }
        };
        let image = match image {
            DeclaredImage::Text(text) => text.clone(),
            DeclaredImage::TemplateVersion { template, version } => format!("version {version} of {template}"),
            DeclaredImage::Unknown { why } => format!("unknown: {why}"),
        };
        let region = place.region.as_ref().map_or("-", Region::as_str);
        format!("{address}\n  {subject} [{region} {}]\n  {image}\n", place.account.as_deref().unwrap_or("-"))
    }

    /// Everything that could be printed of what was read.
    fn shown(read: &Result<Vec<Declared>, IacError>) -> String {
        match read {
            Ok(declared) => declared.iter().map(line).collect(),
            Err(error) => format!("error: {error}\nhint: {}\n", error.hint()),
        }
    }

    #[test]
    fn each_state_declares_what_stands_beside_it_and_no_secret() {
        for format in FORMATS {
            let states = states(format.name);
            assert!(states.len() >= 4, "{}", format.name);
            for (path, bytes) in states {
                let read = read(name(&path), &bytes, &Passphrase::default(), None);
                let beside = path.with_extension(if read.is_ok() { "declared.txt" } else { "error.txt" });
                snapbox::assert_data_eq!(shown(&read), snapbox::Data::read_from(&beside, None).raw());
                assert!(!format!("{read:?}").contains(CANARY), "{}: {read:?}", name(&path));
            }
        }
    }

    #[test]
    fn every_expectation_has_its_state() {
        for format in FORMATS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/states").join(format.name);
            let texts = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            for text in texts.filter(|path| path.extension().is_some_and(|end| end == "txt")) {
                let (stem, kind) = name(&text).trim_end_matches(".txt").rsplit_once('.').unwrap();
                let states = states(format.name);
                let (_, bytes) = states.iter().find(|(path, _)| path.file_stem().unwrap() == stem).unwrap();
                assert_eq!(
                    kind == "declared",
                    read(stem, bytes, &Passphrase::default(), None).is_ok(),
                    "{}",
                    name(&text)
                );
            }
        }
    }

    #[test]
    fn a_state_cut_anywhere_is_an_error_that_shows_no_secret() {
        for (path, bytes) in states("terraform-state") {
            let whole = bytes.trim_ascii_end();
            if name(&path) == "sensitive.tfstate" || name(&path) == "addresses.tfstate" {
                for end in 0..whole.len() {
                    let read = read("cut", &whole[..end], &Passphrase::default(), None);
                    assert!(read.is_err(), "{} cut at {end}", name(&path));
                    assert!(!format!("{read:?}{}", shown(&read)).contains(CANARY), "{} cut at {end}", name(&path));
                }
            }
        }
    }

    /// Every format's own detection says yes to what it declares, and no other's does.
    #[test]
    fn each_state_is_read_as_what_it_is() {
        for format in FORMATS {
            for (path, bytes) in states(format.name) {
                if read("state", &bytes, &Passphrase::default(), None).is_ok() {
                    let first = FORMATS.iter().find(|other| (other.detect)(&bytes)).map(|other| other.name);
                    assert_eq!(first, Some(format.name), "{}", path.display());
                }
            }
        }
    }

    /// States whose secrets stand only where no image can stand: what breaks a mark cannot make one of them an image.
    fn breakable() -> Vec<Vec<u8>> {
        let names = [
            (
                "terraform-state",
                "main.tfstate kubernetes.tfstate opentofu.tfstate sorted-keys.tfstate format-3.tfstate",
            ),
            ("terraform-state", "flat-attributes.tfstate"),
            ("terraform-show", "root.json sorted-keys.json"),
            ("terraform-plan", "sorted-keys.json"),
            ("cloudformation-stack", "groups.json services.json"),
            ("kubernetes-manifest", "documents.yaml list.json"),
        ];
        let states = names.iter().flat_map(|(format, names)| {
            let found: Vec<_> = states(format)
                .into_iter()
                .filter(|(path, _)| names.split(' ').any(|each| each == name(path)))
                .collect();
            assert_eq!(found.len(), names.split(' ').count(), "{names}");
            found
        });
        states.map(|(_, bytes)| bytes).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_damaged_state_never_panics_and_never_shows_a_secret(
            which: prop::sample::Index,
            damage in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(any::<u8>()), any::<bool>()), 1..6),
            structure in prop::sample::select(br#"{}[]",:0n\ "#.to_vec()),
        ) {
            let states = breakable();
            let mut bytes = which.get(&states).clone();
            for (at, byte, insert) in damage {
                let (at, byte) = (at.index(bytes.len()), byte.unwrap_or(structure));
                if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
            }
            let read = read("damaged", &bytes, &Passphrase::default(), None);
            let all = format!("{read:?}{}", shown(&read));
            prop_assert!(!all.contains(CANARY), "{}", all);
        }
    }
}
