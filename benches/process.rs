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

/// How long one command takes.
pub fn time(command: &mut Command) -> Duration {
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

/// What one whole command took, with all the processes that it began.
pub struct Watched {
    pub seconds: f64,
    /// User and system time.
    pub cpu: f64,
    /// The most memory they had at once, in MB: proportional set sizes, or the largest one's resident set, if that is more.
    pub peak: f64,
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs a command and looks at its memory while it runs; `None` where GNU time is not installed.
pub fn watched(command: &Command) -> Option<Watched> {
    let dir = tempfile::tempdir().unwrap();
    let (report, out, err) = (dir.path().join("report"), dir.path().join("out"), dir.path().join("err"));
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["-q", "-f", "%e %U %S %M", "-o"]).arg(&report).arg(command.get_program()).args(command.get_args());
    timed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        timed.current_dir(folder);
    }
    let file = |path| std::fs::File::create(path).unwrap();
    let mut child = timed.stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err)).spawn().ok()?;
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak = peak.max(memory(child.id()));
        std::thread::sleep(Duration::from_millis(10));
    };
    let report = std::fs::read_to_string(report).unwrap();
    let numbers: Vec<f64> = report.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [seconds, user, system, largest] = numbers.try_into().unwrap();
    let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    Some(Watched {
        seconds,
        cpu: user + system,
        peak: (peak as f64).max(largest) / 1024.0,
        code: status.code().unwrap_or(-1),
        out: read(out),
        err: read(err),
    })
}

/// The proportional set sizes of a process and all below it, in KB. One that ends meanwhile counts nothing.
fn memory(pid: u32) -> u64 {
    let read = |what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let own = read("smaps_rollup");
    let own =
        own.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let children: Vec<u32> = children
        .flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect();
    own.unwrap_or_default() + children.into_iter().map(memory).sum::<u64>()
}
