//! Workflow commands of GitHub Actions, escaped as its own toolkit escapes them: a line break in a name must not begin
//! another command (<https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts>).

/// The message of a command.
pub fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a command: `file`, `title`.
pub fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
