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

/// The most memory a command had at once, in MB; `None` where GNU time is not installed.
pub fn peak(command: Command) -> Option<f64> {
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["-f", "%M"]).arg(command.get_program()).args(command.get_args());
    timed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = timed.stdin(Stdio::null()).stdout(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stderr).ok()?;
    Some(text.trim().lines().last()?.parse::<f64>().ok()? / 1024.0)
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
