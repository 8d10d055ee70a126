//! `--state`: where the code, or what a tool remembers of it, is read from.

use crate::cli::config::IacSource;
use crate::cli::failure::Failure;
use crate::cli::setup::Setup;
use crate::model::Channel;
use crate::provider::state::{StateFile, StateSource, StateStdin};
use clap::Args;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Args)]
pub struct Sources {
    /// Read this Terraform or OpenTofu state; `-` is standard input. May be given several times
    #[arg(long, value_name = "FILE")]
    state: Vec<String>,
}

impl Sources {
    /// What `--state` names, else what the config names for these channels; each file once.
    pub fn all(&self, channels: &[Channel], setup: &Setup) -> Result<Vec<Box<dyn StateSource>>, Failure> {
        if self.state.iter().filter(|name| *name == "-").count() > 1 {
            return Err(Failure::usage("standard input can be read once", "give - once; save the others as files"));
        }
        if !self.state.is_empty() {
            let source = |name: &String| -> Box<dyn StateSource> {
                if name == "-" { Box::new(StateStdin) } else { Box::new(StateFile::new(name.clone(), name)) }
            };
            return Ok(self.state.iter().map(source).collect());
        }
        let named =
            setup.config.channels.iter().filter(|(channel, _)| channels.is_empty() || channels.contains(channel));
        let files: BTreeMap<_, &IacSource> =
            named.flat_map(|(_, config)| &config.iac).map(|iac| (iac.path.clone(), iac)).collect();
        let source = |(path, iac): (_, &IacSource)| Box::new(StateFile::new(iac.source.clone(), path)) as Box<_>;
        Ok(files.into_iter().map(source).collect())
    }
}
