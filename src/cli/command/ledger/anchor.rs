//! `ledger anchor`: the head of a ledger that was just proved, noted down where this machine cannot take it back.

use super::verify::prove;
use crate::cli::config::FILE_NAME;
use crate::cli::failure::{Exit, Failure};
use crate::cli::render::witness;
use crate::cli::setup::{Setup, actor};
use crate::flow::anchor::{self as anchors, Named, Witness};
use crate::model::Noted;
use crate::model::lookup::nearest;
use crate::provider::anchor::{self, AnchorSpec};
use crate::provider::aws::Aws;
use crate::store::{DiskStore, LedgerStore};
use clap::Args;
use serde_json::json;
use std::sync::Arc;

/// Note the newest entry down outside, where this machine cannot take it back
///
/// The ledger is proved first. Each anchor of the config ([[ledger.anchors]]) is then asked what it holds: the head is
/// written only if this ledger goes on from all of it. If it does not, entries were lost or rewritten: nothing is
/// written anywhere, and that is said (exit code 1). Run again with nothing new it writes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl ledger anchor
  imgctl ledger anchor --to ssm
  imgctl ledger verify --anchored")]
pub struct Anchor {
    /// Only this anchor of the config, by its id
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
}

pub(super) fn run(args: &Anchor, setup: &Setup) -> Result<Exit, Failure> {
    let specs = chosen(setup, args.to.as_deref())?;
    let store = setup.store()?;
    let head = prove(&store, setup, false)?.head;
    let view = store.view()?;
    let witnesses = setup.wait(async {
        let aws = setup.aws().await;
        let by = match specs.iter().any(|spec| spec.settings.is_in_aws()) {
            true => actor::signed(&setup.surroundings, &aws).await,
            false => setup.local_actor(),
        };
        let noted = anchors::to_note(&*view, head.clone(), &by, setup.now())?;
        Ok(anchors::anchor(&*view, &noted, &ready(setup, &aws, &specs)).await?)
    })?;
    let document = json!({
        "head": { "entry": head.seq, "hash": head.hash },
        "anchors": witnesses.iter().map(witness::document).collect::<Vec<_>>(),
    });
    setup.screen.show("ledger-anchor/1", document, || lines(&witnesses))?;
    let exit = told(setup, &store, &witnesses);
    if witnesses.iter().any(Witness::is_alarm) {
        setup.screen.say("nothing was noted, here or at any other anchor");
    }
    Ok(exit)
}

/// Every anchor of the config, asked what it holds. Nothing is written.
pub(super) fn ask(setup: &Setup, store: &DiskStore) -> Result<Vec<Witness>, Failure> {
    let specs = chosen(setup, None)?;
    let view = store.view()?;
    setup.wait(async {
        let aws = setup.aws().await;
        Ok(anchors::check(&*view, &ready(setup, &aws, &specs)).await?)
    })
}

/// The anchors that are meant; an error that shows what to write where there are none.
pub(super) fn chosen(setup: &Setup, only: Option<&str>) -> Result<Vec<AnchorSpec>, Failure> {
    let all = &setup.config.anchors;
    if all.is_empty() {
        let file = setup.config.file.as_ref().map_or(FILE_NAME.to_owned(), |file| file.display().to_string());
        return Err(Failure::refused(
            "no anchor is configured: there is nowhere to note the ledger's head",
            format!(
                "write into {file}, for one:\n\n  [[ledger.anchors]]\n  kind = \"ssm\"\n  name = \"/imgctl/ledger\"\n\nor kind = \"s3\" with a bucket, or kind = \"oci\" with a repository"
            ),
        ));
    }
    let Some(only) = only else { return Ok(all.clone()) };
    let found: Vec<AnchorSpec> = all.iter().filter(|spec| spec.id == only).cloned().collect();
    if found.is_empty() {
        let names: Vec<&str> = all.iter().map(|spec| spec.id.as_str()).collect();
        let near = nearest(only, &names).map(|near| format!("did you mean {near}?"));
        let hint = near.unwrap_or_else(|| format!("there is {}", names.join(", ")));
        return Err(Failure::usage(format!("no anchor is called {only}"), hint));
    }
    Ok(found)
}

fn ready(setup: &Setup, aws: &Arc<Aws>, specs: &[AnchorSpec]) -> Vec<Named> {
    let registries = setup.sources(aws).registries;
    specs.iter().map(|spec| (spec.id.clone(), anchor::open(spec, aws, &registries).map_err(Arc::new))).collect()
}

pub(super) fn lines(witnesses: &[Witness]) -> String {
    witnesses.iter().filter_map(witness::line).collect()
}

/// Says what is wrong with whom; silence counts as wrong.
pub(super) fn told(setup: &Setup, store: &DiskStore, witnesses: &[Witness]) -> Exit {
    let screen = &setup.screen;
    for alarm in witnesses.iter().filter_map(witness::alarm) {
        screen.complain(&format!("{} {}", screen.err.error("error:"), alarm.what));
        alarm.hint.iter().for_each(|hint| screen.hint(hint));
    }
    setup.tell_notices(store);
    if witnesses.iter().all(Witness::is_good) { Exit::Done } else { Exit::Failed }
}

/// What a person noted down, held against the ledger.
pub(super) fn hold_against(noted: &Noted, named: &str, store: &DiskStore) -> Result<(), Failure> {
    let standing = noted.standing(&*store.view()?)?;
    match witness::broken(&format!("{named} is entry {}", noted.head.seq), noted, &standing, None) {
        None => Ok(()),
        Some(what) => Err(Failure::Refused { what, hint: witness::advice(noted, &standing) }),
    }
}
