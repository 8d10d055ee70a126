//! A test that cannot run on this machine says so, and `tests/run` repeats it at the end of everything.

use std::fs::OpenOptions;
use std::io::Write;

/// Notes that `test` did not run, and why; the caller then returns.
pub fn skipped(test: &str, why: &str) {
    drop(writeln!(std::io::stderr(), "SKIPPED {test}: {why}"));
    let Some(list) = std::env::var_os("IMGCTL_TESTS_SKIPPED") else { return };
    let mut list = OpenOptions::new().append(true).create(true).open(list).unwrap();
    writeln!(list, "{test}: {why}").unwrap();
}
