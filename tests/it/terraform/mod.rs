//! Real Terraform with its AWS provider over the lab: what a state really says, what a plan really would do, what the
//! modules really make.

mod hook;
mod modules;
mod proof;
mod rights;
mod states;

use crate::support::desk::{Desk, Ran, hermetic, ran};
use crate::support::lab::{Lab, imgctl, root};
use crate::support::skipped::skipped;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex, PoisonError};

/// One of `terraform/examples`, in a copy of `terraform/` that is the test's own: `infra/` on its desk.
struct Terraform {
    lab: &'static Lab,
    /// Where it is run.
    folder: PathBuf,
    program: &'static str,
    variables: BTreeMap<&'static str, String>,
    /// Where the ledger of the desk is found, by imgctl run from Terraform.
    data: PathBuf,
    /// Where the provider is found: the CLI configuration that `tests/lab/terraform-rc` wrote.
    configuration: PathBuf,
}

impl Terraform {
    /// The example on this desk, or why this machine cannot run it.
    fn new(desk: &Desk, program: &'static str, example: &str) -> Result<Self, String> {
        let configuration = configuration(&desk.path("lab.tfrc"))?;
        copy(&root().join("terraform"), &desk.path("infra"));
        let folder = desk.path("infra/examples").join(example);
        let (data, variables) = (desk.path("data"), BTreeMap::new());
        Ok(Self { lab: desk.lab, folder, program, variables, data, configuration })
    }

    fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.variables.insert(variable, value.to_owned());
        self
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = hermetic(OsStr::new(self.program), self.lab, &self.folder);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = imgctl().parent().unwrap().to_owned();
        let path = std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&path))).unwrap();
        command.args(arguments).env("PATH", path).env("XDG_DATA_HOME", &self.data);
        command.env("TF_CLI_CONFIG_FILE", &self.configuration).env("CHECKPOINT_DISABLE", "1");
        command.envs(self.variables.iter().map(|(name, value)| (format!("TF_VAR_{name}"), value)));
        let _turn = Turn::take();
        ran(&mut command)
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.exit, 0, "{} {}: {}{}", self.program, arguments.join(" "), ran.err, ran.out);
        ran.out
    }

    fn init(&self) {
        self.done(&["init", "-input=false", "-no-color"]);
    }

    fn try_apply(&self) -> Ran {
        self.run(&["apply", "-auto-approve", "-input=false", "-no-color"])
    }

    #[track_caller]
    fn apply(&self) {
        let applied = self.try_apply();
        assert_eq!(applied.exit, 0, "{}{}", applied.err, applied.out);
    }

    /// 0: nothing to change; 2: the next apply would change something.
    fn plan(&self) -> Ran {
        self.run(&["plan", "-detailed-exitcode", "-input=false", "-no-color"])
    }

    #[track_caller]
    fn has_nothing_to_do(&self, after: &str) {
        let plan = self.plan();
        assert_eq!(plan.exit, 0, "after {after} the plan is not empty: {}{}", plan.err, plan.out);
        assert!(plan.out.contains("No changes."), "{}", plan.out);
    }

    /// What `terraform output` says.
    fn output(&self, name: &str) -> Value {
        serde_json::from_str(&self.done(&["output", "-json", name])).unwrap()
    }

    /// What imgctl, or a person, writes for the example `asg` to read.
    fn point_at(&self, ami: &str) {
        fs::write(self.folder.join("imgctl.auto.tfvars.json"), json!({"ami_id": ami}).to_string()).unwrap();
    }

    fn state(&self) -> String {
        self.folder.join("terraform.tfstate").display().to_string()
    }
}

/// Two at a time: each keeps a processor and 800 MB busy.
struct Turn;

static FREE: (Mutex<u8>, Condvar) = (Mutex::new(2), Condvar::new());

impl Turn {
    fn take() -> Self {
        let free = FREE.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = FREE.1.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *FREE.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        FREE.1.notify_one();
    }
}

/// Writes the CLI configuration that names the mirror, or says why there is none.
fn configuration(file: &Path) -> Result<PathBuf, String> {
    let found = Command::new(root().join("tests/lab/terraform-rc")).arg(file).output().unwrap();
    if found.status.success() {
        return Ok(file.to_owned());
    }
    Err(String::from_utf8_lossy(&found.stderr).trim().to_owned())
}

/// Terraform, or OpenTofu where that is what there is.
fn program() -> &'static str {
    if on_path("terraform") { "terraform" } else { "tofu" }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether the mirror of this CLI configuration has a provider, by its whole address.
fn mirrors(configuration: &Path, provider: &str) -> bool {
    let text = fs::read_to_string(configuration).unwrap();
    let path = text.lines().find_map(|line| line.trim().strip_prefix("path")?.split('"').nth(1)).unwrap();
    Path::new(path).join(provider).is_dir()
}

/// The modules and examples as they are kept, without what somebody's own Terraform has left beside them.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        let kept = path.extension().is_some_and(|end| end == "tf") || name == "rights.json" || name == "images.json";
        if path.is_dir() && name != ".terraform" {
            copy(&path, &to.join(name));
        } else if kept {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// A desk with a channel that one group follows, Terraform with the example that makes the group, and two AMIs.
struct Stage {
    desk: Desk,
    terraform: Terraform,
    group: String,
    amis: [String; 2],
}

impl Stage {
    /// `more` goes into imgctl's config. `None`: this machine cannot, and that was said.
    fn new(test: &str, program: &'static str, example: &str, group: &str, more: &str) -> Option<Self> {
        let desk = Desk::new(&format!("{group}/prod"), &[group], more);
        let terraform = match Terraform::new(&desk, program, example) {
            Ok(terraform) => terraform.with("name", group),
            Err(why) => {
                skipped(&format!("terraform::{test}"), &why);
                return None;
            }
        };
        let terraform = match example {
            "asg" => terraform.with("endpoint", desk.lab.endpoint()),
            _ => terraform,
        };
        let amis = [1, 2].map(|number| desk.lab.ami(&format!("{group}-{number}"), &json!({})));
        Some(Self { desk, terraform, group: group.to_owned(), amis })
    }

    /// The group is made, both images are recorded, and the first is the channel's.
    fn begin(&self) {
        self.terraform.init();
        self.terraform.apply();
        self.record();
        self.promote(1);
    }

    fn record(&self) {
        for (number, ami) in (1..).zip(&self.amis) {
            self.desk.done(&["record", &format!("{}@{number}", self.group), ami]);
        }
    }

    fn promote(&self, number: usize) {
        self.desk.done(&["promote", &format!("{}@{number}", self.group), "prod", "--yes"]);
    }

    fn roll_back(&self) {
        self.desk.done(&["rollback", &format!("{}/prod", self.group), "--reason", "worse", "--yes"]);
    }

    /// What `imgctl drift` says against the state file.
    fn drift(&self) -> Ran {
        self.desk.run(&["drift", "--state", &self.terraform.state()])
    }

    #[track_caller]
    fn finds(&self, exit: i32, word: &str) {
        let ran = self.drift();
        assert_eq!(ran.exit, exit, "{}{}", ran.out, ran.err);
        assert!(ran.out.contains(word), "no {word:?} in: {}{}", ran.out, ran.err);
    }

    /// The image that the group's template launches, and those that its instances run.
    fn runs(&self) -> (Value, Vec<String>) {
        let group = self.desk.lab.show(&self.group);
        (group["config"]["ami"].clone(), group["by_ami"].as_object().unwrap().keys().cloned().collect())
    }

    #[track_caller]
    fn runs_only(&self, ami: &str) {
        assert_eq!(self.runs(), (ami.into(), vec![ami.to_owned()]), "{}", self.group);
    }
}
