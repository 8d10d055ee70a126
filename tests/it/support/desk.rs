//! A person's working folder: a config, a ledger, and the real binary run in it, over the lab.

use super::lab::{Lab, imgctl, lab, scratch};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Desk {
    pub lab: &'static Lab,
    folder: tempfile::TempDir,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

impl Desk {
    /// A config with one channel that these groups follow, and an empty ledger.
    pub fn new(channel: &str, groups: &[&str], more: &str) -> Self {
        Self::in_lab(lab(), channel, groups, more)
    }

    /// The same over another lab.
    pub fn in_lab(lab: &'static Lab, channel: &str, groups: &[&str], more: &str) -> Self {
        let desk = Self { lab, folder: scratch() };
        desk.done(&["init"]);
        let (name, environment) = channel.split_once('/').unwrap();
        let mut config = fs::read_to_string(desk.path("imgctl.toml")).unwrap();
        for group in groups {
            config += &format!(
                "\n[[channels.{name}.{environment}.targets]]\nid = \"{group}\"\nkind = \"asg\"\nname = \"{group}\"\n\
                 region = \"eu-west-1\"\npoll_interval = \"100ms\"\n"
            );
        }
        fs::write(desk.path("imgctl.toml"), config + more).unwrap();
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = hermetic(imgctl().as_os_str(), self.lab, self.folder.path());
        command.args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.command(arguments))
    }

    /// Runs a command that must succeed.
    pub fn done(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.exit, 0, "imgctl {}: {}{}", arguments.join(" "), ran.out, ran.err);
        ran.out
    }

    /// A command left to run, its output thrown away.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// How many entries have reached the disk.
    pub fn entries(&self) -> usize {
        let journal = fs::read(self.path("data/imgctl/journal.jsonl")).unwrap_or_default();
        journal.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Waits until the ledger has so many entries or the process has ended; says whether it has them.
    pub fn reaches(&self, entries: usize, child: &mut Child) -> bool {
        loop {
            let reached = self.entries() >= entries;
            if reached || child.try_wait().unwrap().is_some() {
                return reached;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// A command that sees the lab and nothing of the person who runs the tests.
pub fn hermetic(program: &OsStr, lab: &Lab, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear().envs(&lab.env).stdin(Stdio::null());
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("XDG_DATA_HOME", folder.join("data"));
    command.envs([("USER", "ada"), ("TZ", "UTC"), ("NO_COLOR", "1"), ("COLUMNS", "100"), ("LC_ALL", "C.UTF-8")]);
    command
}

pub fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { exit: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}
