//! `images`: what is recorded, newest first.

use crate::cli::failure::{Exit, Failure};
use crate::cli::render::image::published_as;
use crate::cli::render::table::Table;
use crate::cli::render::time;
use crate::cli::setup::Setup;
use crate::model::lookup::{ImageRecord, LookupError, nearest};
use crate::model::{ImageName, Lookup};
use crate::store::LedgerStore;
use clap::Args;
use serde_json::json;

/// List recorded images, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl images
  imgctl images web -n 5
  imgctl images web --json | jq -r '.images[].image.key'")]
pub struct Images {
    /// Only the versions of this name
    #[arg(value_name = "NAME")]
    name: Option<ImageName>,
    /// Show at most this many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
}

pub fn run(args: &Images, setup: &Setup) -> Result<Exit, Failure> {
    let store = setup.store()?;
    let view = store.view()?;
    let look = Lookup(&*view);
    let records = match &args.name {
        Some(name) => look.versions(name, args.limit)?,
        None => look.recent(args.limit)?,
    };
    if let (true, Some(name), true) = (records.is_empty(), &args.name, args.limit > 0) {
        return Err(unknown(&look, name)?.into());
    }
    setup.screen.show("images/1", json!({ "images": records }), || table(&records, setup))?;
    if records.is_empty() {
        setup.screen.hint("no image is recorded yet: imgctl record NAME@VERSION SOURCE…");
    }
    setup.tell_notices(&store);
    Ok(Exit::Done)
}

fn unknown(look: &Lookup<'_>, name: &ImageName) -> Result<LookupError, Failure> {
    let names: Vec<String> = look.recent(500)?.iter().map(|record| record.image.key.name.to_string()).collect();
    Ok(LookupError::NotFound { selector: name.to_string(), near: nearest(name.as_str(), &names) })
}

fn table(records: &[ImageRecord], setup: &Setup) -> String {
    if records.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["IMAGE", "RECORDED", "TAGS", "PUBLISHED AS"]);
    for record in records {
        table.row([
            record.image.key.to_string(),
            time::ago(record.at, setup.now()),
            record.tags.iter().cloned().collect::<Vec<_>>().join(","),
            published_as(&record.image.artifacts),
        ]);
    }
    table.render(setup.screen.width, setup.screen.out)
}
