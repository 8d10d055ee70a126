//! `init`: a commented config, and an empty ledger.

use crate::cli::failure::{Exit, Failure};
use crate::cli::setup::Setup;
use crate::store::{self, StoreError};
use clap::Args;
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// Write a commented imgctl.toml here, and create the ledger
///
/// What exists is never overwritten: with a config already in place, only the ledger is created, and the other way round.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl init
  imgctl init --ledger .imgctl
  imgctl init --config infra/imgctl.toml")]
pub struct Init {}

pub fn run(_: &Init, setup: &Setup) -> Result<Exit, Failure> {
    let file = setup.surroundings.new_config();
    let ledger = &setup.config.ledger;
    let wrote_config = setup.config.file.is_none() && write_new(&file, &text(setup))?;
    let created = match store::create(ledger, uuid::Uuid::now_v7(), setup.now(), &setup.local_actor()) {
        Ok(_) => true,
        Err(StoreError::Exists { .. }) => false,
        Err(error) => {
            // Half a beginning would name a ledger that is not there, and stand in the way of the next try.
            if wrote_config {
                let _what_is_left_says_so_itself = std::fs::remove_file(&file);
            }
            return Err(error.into());
        }
    };
    let file = setup.config.file.clone().unwrap_or(file);
    if !wrote_config && !created {
        let what = format!("{} and the ledger in {} exist already; nothing was done", file.display(), ledger.display());
        return Err(Failure::refused(what, "imgctl log shows what is in the ledger"));
    }
    let paths = json!({
        "config": { "path": file.display().to_string(), "written": wrote_config },
        "ledger": { "path": ledger.display().to_string(), "created": created },
    });
    setup.screen.show("init/1", paths, || said(&file, wrote_config, ledger, created))?;
    setup.screen.hint("name your targets in the config, then: imgctl record NAME@VERSION SOURCE…");
    Ok(Exit::Done)
}

fn said(file: &Path, wrote: bool, ledger: &Path, created: bool) -> String {
    let word = |new: bool, verb: &str| if new { verb.to_owned() } else { "kept".to_owned() };
    format!(
        "{} {}\n{} the ledger in {}\n",
        word(wrote, "wrote"),
        file.display(),
        word(created, "created"),
        ledger.display()
    )
}

/// Writes a file that must not exist; `false`: it does.
fn write_new(path: &Path, text: &str) -> Result<bool, Failure> {
    let failed = |source| Failure::File { doing: "writing", path: path.to_owned(), source };
    match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| true).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// A ledger that was named for this is named in the config, so that the next command finds it.
fn text(setup: &Setup) -> String {
    let line = match &setup.surroundings.ledger {
        Some(path) => format!("path = {}", toml::Value::from(path.display().to_string())),
        None => "# path = \".imgctl\"".to_owned(),
    };
    TEMPLATE.replace("{ledger}", &line)
}

const TEMPLATE: &str = include_str!("init/imgctl.toml");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::{self, ConfigError, Surroundings};

    fn parsed(text: &str) -> Result<config::Config, ConfigError> {
        config::parse(text, Path::new("/x/imgctl.toml"), &Surroundings::default())
    }

    #[test]
    fn the_config_that_init_writes_is_valid_as_it_is_and_with_every_setting_uncommented() {
        let plain = TEMPLATE.replace("{ledger}", "# path = \".imgctl\"");
        assert!(parsed(&plain).unwrap().channels.is_empty());
        let setting = |line: &&str| line.starts_with("# [") || line.contains(" = ");
        let bare = |line: &str| line.strip_prefix("# ").unwrap_or(line).to_owned();
        let all: Vec<String> = plain.lines().map(|l| if setting(&l) { bare(l) } else { l.to_owned() }).collect();
        let config = parsed(&all.join("\n")).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(config.channels.len(), 2);
        assert_eq!(config.ledger, Path::new("/x/.imgctl"));
        assert!(config.scan.ami.is_some() && !config.registries.is_empty());
    }

    #[test]
    fn what_exists_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("imgctl.toml");
        assert!(write_new(&file, "first").unwrap());
        assert!(!write_new(&file, "second").unwrap());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "first");
    }
}
