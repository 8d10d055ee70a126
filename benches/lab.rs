//! The lab that calls are counted in.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A lab of its own: the call log holds nothing else.
pub struct Lab {
    dir: PathBuf,
    pub env: BTreeMap<String, String>,
}

impl Lab {
    pub fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("imgctl-bench-{}", std::process::id()));
        let up = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/up");
        let pid = std::process::id().to_string();
        let output = Command::new(up)
            .arg("--dir")
            .arg(&dir)
            .args(["--watch-pid", &pid, "--time-scale", "0.001"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let stdout = String::from_utf8(output.stdout).unwrap();
        let exports = stdout.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        let env = exports.map(|(key, value)| (key.to_owned(), value.trim_matches(['\'', '"']).to_owned())).collect();
        Self { dir, env }
    }

    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask_of("AWS_ENDPOINT_URL", method, path, body)
    }

    /// Asks the control endpoint of the peer that this variable leads to.
    pub fn ask_of(&self, peer: &str, method: &str, path: &str, body: &Value) -> Value {
        let host = self.env[peer].trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(&host).unwrap();
        // A cluster looks into the body first, and at the address only where there is none.
        let body = if body.is_null() { String::new() } else { body.to_string() };
        write!(stream, "{method} /_lab/{path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200"), "{answer}");
        serde_json::from_str(body).unwrap()
    }
}

impl Lab {
    /// Steers it as a person would; what is printed.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let ctl = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/ctl");
        let output = Command::new(ctl).args(arguments).envs(&self.env).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let down = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/down");
        let _ = Command::new(down).arg("--dir").arg(&self.dir).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
