//! `log`: who did what, when and why.

use crate::cli::failure::{Exit, Failure};
use crate::cli::render::event::sentence;
use crate::cli::render::table::Table;
use crate::cli::render::time;
use crate::cli::screen::Loudness;
use crate::cli::setup::Setup;
use crate::model::{Channel, Entry, ImageSelector, Lookup};
use crate::store::LedgerStore;
use clap::Args;
use serde_json::json;

/// Show what was done, newest first: who, what, when and why
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl log
  imgctl log web/prod -n 50
  imgctl log web@1.4.2
  imgctl log --json | jq '.entries[].by.who'")]
pub struct Log {
    /// Only what concerns this channel (NAME/ENV) or image
    #[arg(value_name = "CHANNEL|IMAGE")]
    about: Option<String>,
    /// Show at most this many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
}

pub fn run(args: &Log, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let view = store.view()?;
    let entries = entries(args, &Lookup(&*view), setup)?;
    // The written form, whole: also what a newer imgctl added.
    let lines = entries.iter().map(|entry| serde_json::from_str(entry.line()).unwrap_or_default());
    let document = json!({ "entries": lines.collect::<Vec<serde_json::Value>>() });
    setup.screen.show("log/1", document, || table(&entries, setup))?;
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

fn entries(args: &Log, look: &Lookup<'_>, setup: &Setup) -> Result<Vec<Entry>, Failure> {
    let Some(about) = &args.about else { return Ok(look.log(args.limit)?) };
    // Never both: a repository with a tag has a colon, and a channel has none.
    if let Ok(channel) = about.parse::<Channel>() {
        setup.known_channel(look, &channel)?;
        return Ok(look.channel_log(&channel, args.limit)?);
    }
    let selector = about.parse::<ImageSelector>().map_err(|_| {
        Failure::usage(
            format!("`{about}` is neither a channel (NAME/ENV) nor an image (NAME@VERSION, sha256:…, ami-…)"),
            "imgctl log shows everything",
        )
    })?;
    Ok(look.image_log(&look.resolve(&selector)?.image.key, args.limit)?)
}

fn table(entries: &[Entry], setup: &Setup) -> String {
    let verbose = setup.screen.loudness == Loudness::Verbose;
    let mut table = Table::new(&["ENTRY", "WHEN", "WHO", "WHAT"]);
    for entry in entries {
        let mut what = sentence(entry).line();
        if verbose && !entry.by.ci.is_empty() {
            let job: Vec<String> = entry.by.ci.iter().map(|(name, value)| format!("{name}={value}")).collect();
            what = format!("{what} [{}]", job.join(" "));
        }
        table.row([entry.seq.to_string(), time::moment(entry.at), who(&entry.by.who).to_owned(), what]);
    }
    table.render(setup.screen.width, setup.screen.out)
}

/// Of an AWS identity, what tells people apart: `assumed-role/Deploy/ana`. The whole ARN is in `--json`.
fn who(who: &str) -> &str {
    match who.strip_prefix("arn:") {
        Some(arn) => arn.rsplit(':').next().unwrap_or(who),
        None => who,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_shown_by_its_last_part() {
        assert_eq!(who("arn:aws:sts::123456789012:assumed-role/Deploy/ana"), "assumed-role/Deploy/ana");
        assert_eq!(who("ana@laptop"), "ana@laptop");
    }
}
