//! `--state`: where the code, or what a tool remembers of it, is read from.

use crate::cli::failure::Failure;
use crate::cli::setup::Setup;
use crate::flow::FlowError;
use crate::iac::Passphrase;
use crate::model::Channel;
use crate::provider::aws::Access;
use crate::provider::state::{self, HttpCredentials, StateAddress, StateSource, StateSpec, StateStdin};
use clap::Args;
use std::collections::BTreeSet;

#[derive(Debug, Clone, Args)]
pub struct Sources {
    /// Read this state, plan (terraform show -json) or manifest: a file, s3://BUCKET/KEY, a URL,
    /// cloudformation://STACK, or `-` for standard input. May be given several times
    #[arg(long, value_name = "FILE")]
    state: Vec<String>,
}

impl Sources {
    /// What `--state` names, else what the config names for these channels; each once.
    pub async fn all(&self, channels: &[Channel], setup: &Setup) -> Result<Vec<Box<dyn StateSource>>, Failure> {
        if self.state.iter().filter(|name| *name == "-").count() > 1 {
            return Err(Failure::usage("standard input can be read once", "give - once; save the others as files"));
        }
        let mut sources: Vec<Box<dyn StateSource>> = Vec::new();
        if self.state.iter().any(|name| name == "-") {
            sources.push(Box::new(StateStdin));
        }
        let specs = if self.state.is_empty() { configured(channels, setup) } else { self.named(setup)? };
        let aws = if specs.iter().any(|spec| spec.address.is_in_aws()) { Some(setup.aws().await) } else { None };
        let variable = |name: &str| setup.surroundings.variables.get(name).cloned();
        let credentials =
            HttpCredentials { user: variable("TF_HTTP_USERNAME"), password: variable("TF_HTTP_PASSWORD") };
        for spec in &specs {
            sources.push(state::open(spec, aws.as_ref(), &credentials).map_err(FlowError::Fetch)?);
        }
        Ok(sources)
    }

    fn named(&self, setup: &Setup) -> Result<Vec<StateSpec>, Failure> {
        let here = &setup.surroundings.working_directory;
        let spec = |text: &String| {
            let address = StateAddress::parse(text, here)
                .map_err(|wanted| Failure::usage("--state is no address of a state", wanted))?;
            Ok(StateSpec { name: address.name(text), address, region: None, access: Access::default() })
        };
        self.state.iter().filter(|name| *name != "-").map(spec).collect()
    }
}

fn configured(channels: &[Channel], setup: &Setup) -> Vec<StateSpec> {
    let named = setup.config.channels.iter().filter(|(channel, _)| channels.is_empty() || channels.contains(channel));
    let all: BTreeSet<&StateSpec> = named.flat_map(|(_, config)| &config.iac).map(|iac| &iac.spec).collect();
    all.into_iter().cloned().collect()
}

/// What opens encrypted states.
pub fn passphrase(setup: &Setup) -> Passphrase {
    let variable = |name: &str| setup.surroundings.variables.get(name).map(String::as_str);
    Passphrase::new(variable("IMGCTL_STATE_PASSPHRASE"), variable("TF_ENCRYPTION"))
}
