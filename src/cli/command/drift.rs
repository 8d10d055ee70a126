//! `drift`: where the ledger, the code and the cloud disagree.

use crate::cli::config::IacSource;
use crate::cli::failure::{Exit, Failure};
use crate::cli::render::style::Palette;
use crate::cli::setup::Setup;
use crate::flow;
use crate::model::Channel;
use crate::plan::{Finding, FindingKind, Severity};
use crate::provider::state::{StateFile, StateSource, StateStdin};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;

/// Compare what the ledger, the infrastructure code and the cloud say; exits with 2 where they disagree
///
/// States come from the config ([[channels.NAME.ENV.iac]]), or from --state instead.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  imgctl drift
  imgctl drift web/prod --state infra/terraform.tfstate
  terraform state pull | imgctl drift --state -
  imgctl drift --json | jq '.findings[] | select(.severity == \"error\")'")]
pub struct Drift {
    /// NAME/ENV; all of the config, when none is named
    #[arg(value_name = "CHANNEL")]
    channels: Vec<Channel>,
    /// Read this Terraform or OpenTofu state; `-` is standard input. May be given several times
    #[arg(long, value_name = "FILE")]
    state: Vec<String>,
}

pub fn run(args: &Drift, setup: &Setup) -> Result<Exit, Failure> {
    if args.state.iter().filter(|name| *name == "-").count() > 1 {
        return Err(Failure::usage("standard input can be read once", "give - once; save the others as files"));
    }
    for channel in &args.channels {
        setup.channel(channel)?;
    }
    let sources = sources(args, setup);
    setup.wait(async {
        let code = flow::read_code(&sources).await?;
        let cloud = setup.cloud(false).await?;
        let progress = setup.progress();
        let findings = flow::drift(&cloud.ctx(&progress), &args.channels, &code).await?;
        let found = findings.iter().any(Finding::is_drift);
        let document = json!({ "drift": found, "findings": findings });
        setup.screen.show("drift/1", document, || text(&findings, setup.screen.out))?;
        setup.tell_notices(&cloud.store);
        Ok(if found { Exit::Drift } else { Exit::Done })
    })
}

/// What `--state` names, else what the config names for these channels; each file once.
fn sources(args: &Drift, setup: &Setup) -> Vec<Box<dyn StateSource>> {
    if !args.state.is_empty() {
        let source = |name: &String| -> Box<dyn StateSource> {
            if name == "-" { Box::new(StateStdin) } else { Box::new(StateFile::new(name.clone(), name)) }
        };
        return args.state.iter().map(source).collect();
    }
    let named =
        setup.config.channels.iter().filter(|(channel, _)| args.channels.is_empty() || args.channels.contains(channel));
    let files: BTreeMap<_, &IacSource> =
        named.flat_map(|(_, config)| &config.iac).map(|iac| (iac.path.clone(), iac)).collect();
    files
        .into_iter()
        .map(|(path, iac)| Box::new(StateFile::new(iac.source.clone(), path)) as Box<dyn StateSource>)
        .collect()
}

/// Target by target: what is so, and what to type.
pub(super) fn text(findings: &[Finding], paint: Palette) -> String {
    let mut text = String::new();
    for finding in findings {
        text.push_str(&format!(
            "{} {}  {}: {}\n",
            mark(finding, paint),
            name(finding),
            kind(finding.kind),
            finding.detail
        ));
        let witnesses =
            [("recorded", &finding.recorded), ("declared", &finding.declared), ("observed", &finding.observed)];
        for (who, what) in witnesses.into_iter().filter(|_| finding.kind != FindingKind::InSync) {
            if let Some(what) = what {
                text.push_str(&format!("    {who}  {what}\n"));
            }
        }
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("    {} {remedy}\n", paint.hint("hint:")));
        }
    }
    text.push_str(&format!("{}\n", sum(findings)));
    text
}

fn name(finding: &Finding) -> String {
    let slot = finding.slot.as_ref().map(|slot| format!(" {slot}")).unwrap_or_default();
    format!("{} {}{slot}", finding.channel, finding.target)
}

fn mark(finding: &Finding, paint: Palette) -> String {
    match finding.severity {
        Severity::Error => paint.error("error:"),
        Severity::Warning => paint.warning("warning:"),
        _ if finding.kind == FindingKind::InSync => paint.plus("ok:"),
        _ => paint.faint("note:"),
    }
}

/// The same word as in `--json`.
fn kind(kind: FindingKind) -> String {
    let word = serde_json::to_value(kind).unwrap_or_default();
    word.as_str().unwrap_or_default().replace('-', " ")
}

fn sum(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let many = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match (findings.len(), errors + warnings) {
        (0, _) => "No target to look at: the config names none ([[channels.NAME.ENV.targets]]).".to_owned(),
        (_, 0) => "In sync.".to_owned(),
        _ => format!("Drift: {}, {}.", many(errors, "error"), many(warnings, "warning")),
    }
}
