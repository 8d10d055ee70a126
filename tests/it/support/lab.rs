//! The lab: one for the whole test binary, gone when the binary is.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A running lab with the environment it wants its clients to have.
pub struct Lab {
    pub env: BTreeMap<String, String>,
}

/// Where tests are that name no region of their own.
const REGION: &str = "eu-west-1";

static LAB: OnceLock<Lab> = OnceLock::new();

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lab of this test binary, started when the first test asks for it.
pub fn lab() -> &'static Lab {
    LAB.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("imgctl-it-{}", std::process::id()));
        Lab::start(&dir, &["--time-scale", "0.01"])
    })
}

impl Lab {
    pub fn start(dir: &Path, arguments: &[&str]) -> Self {
        let pid = std::process::id().to_string();
        let mut up = Command::new(root().join("tests/lab/up"));
        up.arg("--dir").arg(dir).args(["--watch-pid", &pid]).args(arguments);
        let output = up.output().expect("tests/lab/up runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tests/lab/up failed; try tests/lab/setup\n{stderr}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let exports = stdout.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        Self { env: exports.map(|(k, v)| (k.to_owned(), v.trim_matches(['\'', '"']).to_owned())).collect() }
    }

    pub fn endpoint(&self) -> &str {
        &self.env["AWS_ENDPOINT_URL"]
    }

    /// Asks the control endpoint; fails the test when it refuses.
    ///
    /// In the lab that tests share, a fault says whom it is for: any other call could meet it first, and two tests fail.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let is_shared = LAB.get().is_some_and(|shared| std::ptr::eq(shared, self));
        let is_for_one = body["about"].is_string() || body["region"].as_str().is_some_and(|region| region != REGION);
        assert!(path != "fault" || !is_shared || is_for_one, "a fault without `about` or a region of its own: {body}");
        request(self.endpoint(), "POST", &format!("/_lab/{path}"), Some(body))
    }

    pub fn get(&self, path: &str) -> Value {
        request(self.endpoint(), "GET", &format!("/_lab/{path}"), None)
    }

    pub fn delete(&self, path: &str) -> Value {
        request(self.endpoint(), "DELETE", &format!("/_lab/{path}"), None)
    }

    /// The proxy in front of the registry behaves again.
    pub fn clear_registry_faults(&self) -> Value {
        request(&self.env["IMGCTL_LAB_REGISTRY_FAULTS"], "DELETE", "/_faults", None)
    }

    /// A new AMI; `more` adds fields of the control endpoint.
    pub fn ami(&self, name: &str, more: &Value) -> String {
        self.post("ami", &merged(json!({"name": name}), more))["image_id"].as_str().unwrap().to_owned()
    }

    pub fn group(&self, name: &str, ami: &str, more: &Value) -> Value {
        self.post("group", &merged(json!({"name": name, "ami": ami}), more))
    }

    /// Steers the lab as a person would; what is printed.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let output = Command::new(root().join("tests/lab/ctl")).args(arguments).envs(&self.env).output().unwrap();
        assert!(output.status.success(), "ctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What a group really runs.
    pub fn show(&self, group: &str) -> Value {
        self.get(&format!("group?name={group}"))
    }
}

fn merged(mut base: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        base[key] = value.clone();
    }
    base
}

/// One HTTP/1.0 request, so that the answer ends where the connection does.
pub fn request(endpoint: &str, method: &str, path: &str, body: Option<&Value>) -> Value {
    let host = endpoint.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).unwrap();
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.split(' ').nth(1) == Some("200"), "{method} {path}: {answer}");
    serde_json::from_str(body).unwrap_or(Value::Null)
}

/// A folder of its own for one test, gone with the value.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The built binary.
pub fn imgctl() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_imgctl"))
}
