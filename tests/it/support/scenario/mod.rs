//! Recorded sessions: commands and what they print, run against the real binary and the lab.

mod redact;
mod script;
mod session;

use crate::support::lab::root;
use script::Script;
use session::Session;
use snapbox::report::{Palette, write_diff};
use std::path::PathBuf;

/// Where the sessions are.
pub fn folder() -> PathBuf {
    root().join("fixtures/scenarios")
}

/// Plays `fixtures/scenarios/NAME.txt` and compares what is printed with what is recorded there. With `BLESS` in the
/// environment the record is replaced instead.
pub fn play(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let recorded = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut script = Script::parse(&recorded).unwrap_or_else(|error| panic!("{}:{error}", path.display()));
    let mut session = Session::new(script.own_lab);
    for command in script.commands() {
        let seen = session.run(&command.input);
        command.output = seen.output;
        command.exit = seen.exit;
    }
    let played = script.to_string();
    if played == recorded {
        return;
    }
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(&path, played).unwrap();
    }
    panic!("{}", difference(name, &recorded, &played));
}

fn difference(name: &str, recorded: &str, played: &str) -> String {
    let same = recorded.lines().zip(played.lines()).take_while(|(a, b)| a == b).count();
    let mut text = format!("fixtures/scenarios/{name}.txt:{}: another output than recorded\n", same + 1);
    let (recorded, played) = (snapbox::Data::text(recorded), snapbox::Data::text(played));
    write_diff(&mut text, &recorded, &played, Some(&"recorded"), Some(&"played"), Palette::plain()).unwrap();
    text.push_str("where the new output is right: BLESS=1 make test-scenarios\n");
    text
}
