//! One session: a folder and a ledger of its own, commands run one after the other, output made repeatable.

use super::redact::Redactor;
use crate::support::desk::hermetic;
use crate::support::lab::{Lab, imgctl, lab, root, scratch};
use serde_json::json;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Longer than any rollout takes in the lab; a command that hangs must not hang the run.
const TIME_LIMIT: &str = "180";

/// These change the lab for everybody in it.
const FOR_AN_OWN_LAB: [&str; 5] = ["fault", "latency", "time-scale", "reset", "registry-fault"];

/// `channel NAME/ENV GROUP…`: into the config, these Auto Scaling groups follow that channel.
const CHANNEL: &str = r#"name=${1%/*} environment=${1#*/}; shift
for group; do
  printf '\n[[channels.%s.%s.targets]]\nid = "%s"\n' "$name" "$environment" "$group"
  printf 'kind = "asg"\nname = "%s"\nregion = "eu-west-1"\npoll_interval = "100ms"\n' "$group"
done >> imgctl.toml"#;

/// `services NAME/ENV SERVICE…`: into the config, container `app` of these ECS services of cluster `main` follows it.
const SERVICES: &str = r#"name=${1%/*} environment=${1#*/}; shift
for service; do
  printf '\n[[channels.%s.%s.targets]]\nid = "%s"\nkind = "ecs"\n' "$name" "$environment" "$service"
  printf 'cluster = "main"\nservice = "%s"\ncontainer = "app"\nregion = "eu-west-1"\npoll_interval = "100ms"\n' "$service"
done >> imgctl.toml
if ! grep -q '^plain_http' imgctl.toml; then
  printf '\n[registries."%s"]\nplain_http = true\n' "$IMGCTL_LAB_REGISTRY" >> imgctl.toml
fi"#;

/// `as-owner COMMAND…`: with the rights of the files' owner; root's reach everywhere.
const AS_OWNER: &str = r#"caps=-dac_override,-dac_read_search
if [ "$(id -u)" != 0 ]; then exec "$@"; fi
exec setpriv --bounding-set="$caps" --inh-caps="$caps" "$@""#;

pub struct Session {
    lab: &'static Lab,
    folder: tempfile::TempDir,
    redactor: Redactor,
    /// The lab without faults is shared by one session at a time.
    turn: Option<MutexGuard<'static, ()>>,
}

/// What a command printed, repeatable, and how it ended.
pub struct Seen {
    pub output: Vec<String>,
    pub exit: i32,
}

impl Session {
    pub fn new(own_lab: bool) -> Self {
        let turn = own_lab.then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner));
        let lab = if own_lab { emptied() } else { lab() };
        let folder = scratch();
        let redactor = Redactor::new(&lab.env, &folder.path().join("work"));
        let session = Self { lab, folder, redactor, turn };
        fs::create_dir(session.folder.path().join("work")).unwrap();
        session.provide_commands();
        session
    }

    /// `imgctl` on the PATH, and the words that only sessions have.
    fn provide_commands(&self) {
        let bin = self.folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(imgctl(), bin.join("imgctl")).unwrap();
        let lab = format!("exec '{}' \"$@\"", root().join("tests/lab/ctl").display());
        for (name, script) in
            [("lab", lab.as_str()), ("channel", CHANNEL), ("services", SERVICES), ("as-owner", AS_OWNER)]
        {
            fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    pub fn run(&mut self, recorded: &str) -> Seen {
        let forbidden = FOR_AN_OWN_LAB.iter().find(|word| recorded.contains(&format!("lab {word}")));
        if let (Some(word), None) = (forbidden, &self.turn) {
            panic!("`lab {word}` disturbs the other sessions: put `lab: own` on top of this one");
        }
        let input = self.redactor.restore(recorded);
        let (out, err) = (self.folder.path().join("out"), self.folder.path().join("err"));
        let status = self.command(&input, &out, &err).status().unwrap();
        let (out, err) = (fs::read(out).unwrap(), fs::read(err).unwrap());
        let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
        self.redactor.learn(recorded, &out);
        let out = self.redactor.redact(&out);
        let err = self.redactor.redact(&err);
        let output = out.lines().map(str::to_owned).chain(err.lines().map(|line| format!("2> {line}")));
        let mut output: Vec<String> = output.map(|line| line.trim_end().to_owned()).collect();
        while output.last().is_some_and(String::is_empty) {
            output.pop();
        }
        Seen { output, exit: status.code().unwrap_or(-1) }
    }

    /// Output goes to files, so that a process left in the background does not keep a pipe open.
    fn command(&self, input: &str, out: &Path, err: &Path) -> Command {
        let bin = self.folder.path().join("bin");
        let mut command = hermetic(OsStr::new("timeout"), self.lab, &self.folder.path().join("work"));
        command.args(["--kill-after=5", TIME_LIMIT, "bash", "-c", input]);
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()));
        command.stdout(fs::File::create(out).unwrap()).stderr(fs::File::create(err).unwrap());
        command
    }
}

static TURN: Mutex<()> = Mutex::new(());

/// The second lab, as if it had just been started.
fn emptied() -> &'static Lab {
    static OWN: OnceLock<Lab> = OnceLock::new();
    let own = OWN.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("imgctl-it-own-{}", std::process::id()));
        Lab::start(&dir, &["--time-scale", "0.01"])
    });
    own.delete("faults");
    own.post("reset", &json!({}));
    own.post("latency", &json!({"ms": 0}));
    own.post("time-scale", &json!({"value": 0.01}));
    own.post("calls/mark", &json!({}));
    own.clear_registry_faults();
    own
}
