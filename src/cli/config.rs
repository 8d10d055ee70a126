//! The config a user lives with: where `imgctl.toml` is found, and what counts before what.

mod pointers;
mod read;
mod report;
mod rules;

use crate::model::{Channel, Region, Repository};
use crate::plan::Rules;
use crate::plan::naming::Naming;
use crate::plan::pointer::Wants;
use crate::provider::anchor::AnchorSpec;
use crate::provider::notice::NoticeSpec;
use crate::provider::pointer::PointerSpec;
use crate::provider::section::{Fault, Faults, Section};
use crate::provider::state::StateSpec;
use crate::provider::target::spec::TargetSpec;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use toml::de::DeTable;

pub use report::{Complaint, complaints, render};

/// The name that is looked for, from the working directory upwards.
pub const FILE_NAME: &str = "imgctl.toml";

/// Everything that was configured, defaults filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The file it was read from; `None`: there is none, and the defaults hold.
    pub file: Option<PathBuf>,
    /// The ledger's directory.
    pub ledger: PathBuf,
    /// Where the ledger's head is noted down, in the order of the config.
    pub anchors: Vec<AnchorSpec>,
    /// Who is told, in the order of the config.
    pub notices: Vec<NoticeSpec>,
    pub aws: AwsConfig,
    /// Host (and port) → how to speak to that registry.
    pub registries: BTreeMap<String, RegistryConfig>,
    pub scan: ScanConfig,
    pub channels: BTreeMap<Channel, ChannelConfig>,
}

/// What the SDK's own chain is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsConfig {
    pub region: Option<Region>,
    pub profile: Option<String>,
    /// Whether `drift` asks CloudTrail who changed what.
    pub cloudtrail: bool,
}

/// How to speak to one registry. Credentials come from the docker config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryConfig {
    pub plain_http: bool,
}

/// What `scan` records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanConfig {
    pub ami: Option<AmiScan>,
    pub repositories: BTreeSet<Repository>,
}

/// Which AMIs of the account `scan` records, and what it calls them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmiScan {
    /// Empty: the configured region.
    pub regions: BTreeSet<Region>,
    pub naming: Naming,
}

/// One channel: what follows it, and its rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelConfig {
    /// In the order of the config: the order of a rollout's steps.
    pub targets: Vec<TargetSpec>,
    pub iac: Vec<IacSource>,
    pub on_failure: OnFailure,
    /// `promote` and `rollback` refuse to begin without `--reason`.
    pub require_reason: bool,
    /// How many targets move at the same time, within one wave.
    pub parallel: Option<usize>,
    /// What its promotions must keep.
    pub rules: Rules,
    /// What infrastructure code reads to follow it, in the order of the config.
    pub pointers: Vec<PointerConfig>,
}

/// One pointer of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointerConfig {
    pub spec: PointerSpec,
    /// Which of an image's artifacts it stands for.
    pub wants: Wants,
}

/// What follows a rollout that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    #[default]
    Rollback,
    Stop,
}

/// What declares a channel's targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IacSource {
    /// `terraform-state`, `kubernetes-manifest`, …: what it is is seen from the bytes.
    pub kind: String,
    /// Where to read it.
    pub spec: StateSpec,
}

/// What the flags and the surroundings say, taken once at the start: tests bring their own.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `--config` or `IMGCTL_CONFIG`.
    pub config: Option<PathBuf>,
    /// `--ledger` or `IMGCTL_LEDGER`.
    pub ledger: Option<PathBuf>,
    pub working_directory: PathBuf,
    pub variables: BTreeMap<String, String>,
}

impl Surroundings {
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The file asked for, else the nearest one upwards.
    fn find(&self) -> Option<PathBuf> {
        if let Some(asked) = &self.config {
            return Some(self.working_directory.join(asked));
        }
        let candidates = self.working_directory.ancestors().map(|directory| directory.join(FILE_NAME));
        candidates.into_iter().find(|candidate| candidate.is_file())
    }

    /// Where a new config is written: the file asked for, else here.
    pub fn new_config(&self) -> PathBuf {
        self.working_directory.join(self.config.as_deref().unwrap_or(Path::new(FILE_NAME)))
    }

    /// Where the ledger is when nothing says otherwise.
    pub fn default_ledger(&self) -> Option<PathBuf> {
        let data = self.variable("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let data = data.or_else(|| Some(Path::new(self.variable("HOME")?).join(".local/share")))?;
        Some(data.join("imgctl"))
    }
}

/// Why there is no config to work with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the config file {} could not be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the config file {} is not valid ({})", path.display(), count(faults))]
    Invalid { path: PathBuf, text: String, faults: Vec<Fault> },
    #[error("there is no place for the ledger: neither XDG_DATA_HOME nor HOME is set")]
    NoHome,
}

fn count(faults: &[Fault]) -> String {
    format!("{} {}", faults.len(), if faults.len() == 1 { "fault" } else { "faults" })
}

/// The config that holds here: default < file < environment < flag.
pub fn load(surroundings: &Surroundings) -> Result<Config, ConfigError> {
    load_from(surroundings.find().as_deref(), surroundings)
}

/// The same, with this file and no other; `None`: without any.
pub fn load_from(file: Option<&Path>, surroundings: &Surroundings) -> Result<Config, ConfigError> {
    let mut config = match file {
        Some(path) => {
            let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
            let text = std::fs::read_to_string(path).map_err(unreadable)?;
            parse(&text, path, surroundings)?
        }
        None => Config { aws: aws_of(surroundings), ..Config::default() },
    };
    if let Some(asked) = &surroundings.ledger {
        config.ledger = surroundings.working_directory.join(asked);
    }
    if config.ledger.as_os_str().is_empty() {
        config.ledger = surroundings.default_ledger().ok_or(ConfigError::NoHome)?;
    }
    Ok(config)
}

/// Reads the text of a config file. Relative paths in it are relative to the file; every fault is found.
pub fn parse(text: &str, path: &Path, surroundings: &Surroundings) -> Result<Config, ConfigError> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let faults = Faults::default();
    let mut config = Config::default();
    for error in &errors {
        faults.add(Fault {
            span: error.span().unwrap_or_default(),
            title: "the file is not valid TOML".to_owned(),
            label: error.message().to_owned(),
            help: None,
        });
    }
    // What follows a broken line is guesswork: complaining about it would hide the one mistake.
    if errors.is_empty() {
        let directory = path.parent().unwrap_or(Path::new("."));
        let place = read::Place { directory, surroundings: aws_of(surroundings) };
        config = read::config(Section::root(&document, &faults), &place);
    }
    let faults = faults.into_sorted();
    if faults.is_empty() {
        return Ok(Config { file: Some(path.to_owned()), ..config });
    }
    Err(ConfigError::Invalid { path: path.to_owned(), text: text.to_owned(), faults })
}

/// What the environment names, as the SDKs read it. An odd region is left to the SDK to complain of.
fn aws_of(surroundings: &Surroundings) -> AwsConfig {
    let region = surroundings.variable("AWS_REGION").or_else(|| surroundings.variable("AWS_DEFAULT_REGION"));
    let profile = surroundings.variable("AWS_PROFILE").map(str::to_owned);
    AwsConfig { region: region.and_then(|region| region.parse().ok()), profile, cloudtrail: false }
}

#[cfg(test)]
mod tests;
