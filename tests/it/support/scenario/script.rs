//! The written form of a session: prose, commands, and what they print.
//!
//! ```text
//! lab: own                              optional, on top: a lab of its own, empty and without faults
//! # prose                               up to the next command
//! $ imgctl images                       a command for bash
//! > its next line                       (a here document, say)
//! a line on standard output
//! 2> a line on standard error           after those of standard output
//! \# a line that would read as one of the others
//! [exit 3]                              last; left out when it is 0
//! ```
//!
//! Beside `imgctl` there are these words: `lab` (`tests/lab/ctl`), `channel NAME/ENV GROUP…` (the groups follow it),
//! `services NAME/ENV SERVICE…` (the ECS services do) and `as-owner COMMAND…` (without root's right to write anywhere).
//! Groups and services of one lab have names of their own.

use std::fmt;

pub struct Script {
    pub own_lab: bool,
    parts: Vec<Part>,
}

enum Part {
    /// A line as it stands: prose, an empty line, the header.
    Line(String),
    Command(Command),
}

pub struct Command {
    pub input: String,
    pub output: Vec<String>,
    pub exit: i32,
}

impl Script {
    /// Reads a session; the error begins with the line's number.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut script = Self { own_lab: false, parts: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            script.take(line).map_err(|error| format!("{}: {error}", index + 1))?;
        }
        script.commands().for_each(Command::trim);
        Ok(script)
    }

    pub fn commands(&mut self) -> impl Iterator<Item = &mut Command> {
        self.parts.iter_mut().filter_map(|part| match part {
            Part::Command(command) => Some(command),
            Part::Line(_) => None,
        })
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        if let Some(input) = line.strip_prefix("$ ") {
            self.parts.push(Part::Command(Command { input: input.to_owned(), output: Vec::new(), exit: 0 }));
            return Ok(());
        }
        let last = match self.parts.last_mut() {
            Some(Part::Command(command)) if !line.starts_with('#') => command,
            _ => return self.prose(line),
        };
        if let Some(more) = line.strip_prefix("> ") {
            last.input.push('\n');
            last.input.push_str(more);
        } else if let Some(exit) = line.strip_prefix("[exit ").and_then(|rest| rest.strip_suffix(']')) {
            last.exit = exit.parse().map_err(|_| format!("{exit} is no exit code"))?;
        } else {
            last.output.push(line.strip_prefix('\\').unwrap_or(line).to_owned());
        }
        Ok(())
    }

    fn prose(&mut self, line: &str) -> Result<(), String> {
        match line {
            "lab: own" => self.own_lab = true,
            _ if line.starts_with('#') || line.is_empty() => {}
            _ => return Err(format!("neither prose (#) nor a command ($): {line}")),
        }
        self.parts.push(Part::Line(line.to_owned()));
        Ok(())
    }
}

impl Command {
    /// The empty line before the next command is layout, not output.
    fn trim(&mut self) {
        while self.output.last().is_some_and(String::is_empty) {
            self.output.pop();
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Line(line) => writeln!(f, "{line}")?,
                Part::Command(command) => {
                    write!(f, "{command}")?;
                    if index + 1 < self.parts.len() {
                        writeln!(f)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.input.replace('\n', "\n> "))?;
        for line in &self.output {
            let looks_special = ["$ ", "> ", "#", "\\", "[exit "].iter().any(|mark| line.starts_with(mark));
            writeln!(f, "{}{line}", if looks_special { "\\" } else { "" })?;
        }
        if self.exit != 0 {
            writeln!(f, "[exit {}]", self.exit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_written_as_it_was_read() {
        let text = "lab: own\n# Prose.\n\n$ cat <<X\n> $ a\n> X\n\\$ a\n\n2> b\n[exit 3]\n\n# More.\n$ true\n";
        let mut script = Script::parse(text).unwrap();
        assert_eq!(script.to_string(), text);
        assert!(script.own_lab);
        let first = script.commands().next().unwrap();
        assert_eq!((first.input.as_str(), first.exit), ("cat <<X\n$ a\nX", 3));
        assert_eq!(first.output, ["$ a", "", "2> b"]);
    }

    #[test]
    fn what_is_neither_prose_nor_a_command_is_refused_with_its_line() {
        assert!(Script::parse("# a\nimgctl init\n").is_err_and(|error| error.starts_with("2: ")));
        assert!(Script::parse("$ true\n[exit x]\n").is_err_and(|error| error.starts_with("2: ")));
    }
}
