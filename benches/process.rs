//! Whole processes, from spawn to exit, beside `true`.

use crate::figures::Figures;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often each command is run.
const RUNS: usize = 41;

/// Runs a command often, its peer in turn with it, so that both meet the same machine.
pub fn paired(own: &mut dyn FnMut() -> Command) -> (Vec<Duration>, Vec<Duration>) {
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        times.0.push(time(&mut own()));
        times.1.push(time(&mut Command::new("true")));
    }
    times
}

fn time(command: &mut Command) -> Duration {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().unwrap();
    let took = start.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    took
}

pub fn imgctl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgctl"));
    command.env("NO_COLOR", "1").env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

pub fn start(figures: &mut Figures) {
    let (own, peer) = paired(&mut || {
        let mut command = imgctl();
        command.arg("--version");
        command
    });
    figures.add_times("start.version", own, "true", peer);
}
