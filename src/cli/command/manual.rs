//! `completions` and `man`: for the shell and for the shelf.

use crate::cli::args::Cli;
use crate::cli::failure::{Exit, Failure};
use crate::cli::screen::Screen;
use clap::{Args, CommandFactory};
use serde_json::json;
use std::path::PathBuf;

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl completions bash > ~/.local/share/bash-completion/completions/imgctl
  imgctl completions zsh > \"${fpath[1]}/_imgctl\"
  imgctl completions fish > ~/.config/fish/completions/imgctl.fish")]
pub struct Completions {
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Write the man pages into a directory
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl man ~/.local/share/man/man1")]
pub struct Man {
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub fn completions(args: &Completions, screen: &Screen) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "imgctl", &mut script);
    let script = String::from_utf8_lossy(&script);
    screen
        .show("completions/1", json!({ "shell": args.shell.to_string(), "script": script }), || script.to_string())?;
    Ok(Exit::Done)
}

pub fn man(args: &Man, screen: &Screen) -> Result<Exit, Failure> {
    let failed = |source| Failure::File { doing: "writing into", path: args.directory.clone(), source };
    std::fs::create_dir_all(&args.directory).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.directory).map_err(failed)?;
    let directory = args.directory.display().to_string();
    screen.show("man/1", json!({ "directory": directory }), || format!("wrote the man pages into {directory}"))?;
    Ok(Exit::Done)
}
