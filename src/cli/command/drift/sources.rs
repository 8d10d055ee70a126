//! `--state`: where the code, or what a tool remembers of it, is read from.

use crate::cli::failure::Failure;
use crate::cli::setup::Setup;
use crate::flow::{CodeSource, FlowError};
use crate::iac::Passphrase;
use crate::model::Channel;
use crate::provider::aws::Access;
use crate::provider::state::{self, HttpCredentials, StateAddress, StateSpec, StateStdin};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

#[derive(Debug, Clone, Args)]
pub struct Sources {
    /// Read this state, plan (terraform show -json) or manifest: a file or a quoted pattern ('states/*.json'),
    /// s3://BUCKET/KEY, a URL, cloudformation://STACK, or `-` for standard input. May be given several times
    #[arg(long, value_name = "FILE")]
    state: Vec<String>,
}

impl Sources {
    /// What `--state` names, which speaks for every channel; else what the config names, each state once, for the channels
    /// that name it: the same name is another thing in another account or cluster.
    pub async fn all(&self, channels: &[Channel], setup: &Setup) -> Result<Vec<CodeSource>, Failure> {
        if self.state.iter().filter(|name| *name == "-").count() > 1 {
            return Err(Failure::usage("standard input can be read once", "give - once; save the others as files"));
        }
        let mut sources: Vec<CodeSource> = Vec::new();
        if self.state.iter().any(|name| name == "-") {
            sources.push(CodeSource { source: Box::new(StateStdin), channels: None, kind: None });
        }
        let specs = if self.state.is_empty() { configured(channels, setup) } else { self.named(setup)? };
        let specs: Vec<Whose> = specs.into_iter().flat_map(|whose| files(whose, setup)).collect();
        let aws = if specs.iter().any(|whose| whose.spec.address.is_in_aws()) { Some(setup.aws().await) } else { None };
        let variable = |name: &str| setup.surroundings.variables.get(name).cloned();
        let credentials =
            HttpCredentials { user: variable("TF_HTTP_USERNAME"), password: variable("TF_HTTP_PASSWORD") };
        for Whose { spec, channels, kind } in specs {
            let source = state::open(&spec, aws.as_ref(), &credentials).map_err(FlowError::Fetch)?;
            sources.push(CodeSource { source, channels, kind });
        }
        Ok(sources)
    }

    fn named(&self, setup: &Setup) -> Result<Vec<Whose>, Failure> {
        let here = &setup.surroundings.working_directory;
        let spec = |text: &String| {
            let address = StateAddress::parse(text, here)
                .map_err(|wanted| Failure::usage("--state is no address of a state", wanted))?;
            let spec = StateSpec { name: address.name(text), address, region: None, access: Access::default() };
            Ok(Whose { spec, channels: None, kind: None })
        };
        self.state.iter().filter(|name| *name != "-").map(spec).collect()
    }
}

/// A state, and the channels that it speaks for.
#[derive(Clone)]
struct Whose {
    spec: StateSpec,
    /// `None`: all of them.
    channels: Option<BTreeSet<Channel>>,
    /// As in the config.
    kind: Option<String>,
}

/// Each file that a pattern means, by the name that the pattern would have.
fn files(whose: Whose, setup: &Setup) -> Vec<Whose> {
    let StateAddress::File(path) = &whose.spec.address else { return vec![whose] };
    let found = state::matching(path);
    if found.as_slice() == [path.clone()] {
        return vec![whose];
    }
    let here = &setup.surroundings.working_directory;
    let of = |file: PathBuf| {
        let name = file.strip_prefix(here).unwrap_or(&file).display().to_string();
        Whose { spec: StateSpec { address: StateAddress::File(file), name, ..whose.spec.clone() }, ..whose.clone() }
    };
    found.into_iter().map(of).collect()
}

fn configured(channels: &[Channel], setup: &Setup) -> Vec<Whose> {
    let named = setup.config.channels.iter().filter(|(channel, _)| channels.is_empty() || channels.contains(channel));
    let mut whose: BTreeMap<(&StateSpec, &String), BTreeSet<Channel>> = BTreeMap::new();
    for (channel, config) in named {
        for iac in &config.iac {
            whose.entry((&iac.spec, &iac.kind)).or_default().insert(channel.clone());
        }
    }
    let each = |((spec, kind), channels): ((&StateSpec, &String), _)| Whose {
        spec: spec.clone(),
        channels: Some(channels),
        kind: Some(kind.clone()),
    };
    whose.into_iter().map(each).collect()
}

/// What opens encrypted states.
pub fn passphrase(setup: &Setup) -> Passphrase {
    let variable = |name: &str| setup.surroundings.variables.get(name).map(String::as_str);
    Passphrase::new(variable("IMGCTL_STATE_PASSPHRASE"), variable("TF_ENCRYPTION"))
}
