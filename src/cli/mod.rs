//! The front door: people. Words come in, plans and tables go out; nothing is decided here.

mod args;
mod command;
pub mod config;
mod failure;
mod new_file;
mod render;
mod screen;
mod setup;
mod span;

use args::Cli;
use clap::Parser;
use failure::Exit;
use screen::Screen;
use std::process::ExitCode;

/// Parses what was typed, does it, and says how it went.
pub fn main() -> ExitCode {
    failure::install_panic_hook();
    let typed: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let json = typed.iter().any(|word| word == "--json");
    let done = std::panic::catch_unwind(|| run(&typed, json));
    ExitCode::from(done.unwrap_or_else(|_| failure::report_bug(json)) as u8)
}

fn run(typed: &[std::ffi::OsString], json: bool) -> Exit {
    let cli = match Cli::try_parse_from(typed) {
        Ok(cli) => cli,
        Err(error) => return failure::report_usage(&error, json),
    };
    let json = cli.global.json && !cli.command.speaks_a_protocol();
    let screen = Screen::new(json, cli.global.loudness(), cli.global.color);
    listen(cli.global.verbose);
    match command::run(cli.command, &cli.global, &screen) {
        Ok(exit) => exit,
        Err(failure) => failure.report(&screen),
    }
}

/// What the SDKs have to say, from `-vv` on. Their debug level prints bodies, which may hold secrets: never above info.
fn listen(verbose: u8) {
    if verbose < 2 {
        return;
    }
    let filter = tracing_subscriber::EnvFilter::new("info,sled=warn");
    // Only the first subscriber counts, and there is no other.
    let _set_once = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
