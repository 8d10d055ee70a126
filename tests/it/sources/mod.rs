//! Sources against real peers: EC2 as the emulator plays it, and a real registry, alone and behind a proxy that misbehaves.

mod amis;
mod aws_failures;
mod files;
mod registries;
mod tokens;

use crate::support::lab::{Lab, root};
use imgctl::provider::aws::Aws;
use imgctl::provider::source::{Patience, RegistrySettings, RegistrySource, Sources};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Steers the lab as a person would; what it printed.
fn ctl(lab: &Lab, arguments: &[&str]) -> String {
    let output = Command::new(root().join("tests/lab/ctl")).args(arguments).envs(&lab.env).output().unwrap();
    assert!(output.status.success(), "ctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// As patient as a test: faults that last must end soon, and those that pass must have time to.
fn patience() -> Patience {
    Patience {
        silence: Duration::from_secs(2),
        backoff: Duration::from_millis(20),
        longest_wait: Duration::from_secs(2),
        ..Patience::default()
    }
}

fn registries() -> RegistrySource {
    // The user's own docker config is no part of a test.
    let settings =
        RegistrySettings { docker_config: Some(root().join("no/config.json")), ..RegistrySettings::default() };
    RegistrySource::new(settings, patience())
}

fn sources(aws: Aws) -> Sources {
    Sources::new(Arc::new(aws), Arc::new(registries()))
}
