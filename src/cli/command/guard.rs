//! `guard`: refuses a Terraform plan, or manifests, that would put an image where the ledger keeps it out.

use crate::cli::failure::{Exit, Failure};
use crate::cli::render::guard;
use crate::cli::setup::Setup;
use crate::flow;
use crate::plan::guard::Verdict;
use crate::provider::state::{StateFile, StateSource, StateStdin};
use clap::{Args, ValueEnum};

/// Refuse a plan that would put an image where the ledger keeps it out; exits with 3 where it refuses
///
/// Reads what `terraform show -json` prints of a saved plan, or Kubernetes manifests (kubectl, Kustomize, Helm). Asks the
/// ledger only: no credentials of a cloud or a cluster are needed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  terraform plan -out tfplan && terraform show -json tfplan | imgctl guard - && terraform apply tfplan
  imgctl guard plan.json --format github --strict
  kubectl kustomize overlays/prod | imgctl guard -
  helm template web ./chart | imgctl guard -")]
pub struct Guard {
    /// A plan printed as JSON, or manifests; `-` is standard input
    #[arg(required = true, value_name = "PLAN")]
    plans: Vec<String>,
    /// How it is said: github writes workflow commands, which a pull request shows beside its files
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Refuse also what is known only after the apply, and what comes before a channel's first release
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Github,
}

pub fn run(args: &Guard, setup: &Setup) -> Result<Exit, Failure> {
    if args.plans.iter().filter(|name| *name == "-").count() > 1 {
        return Err(Failure::usage("standard input can be read once", "give - once; save the others as files"));
    }
    let source = |name: &String| -> Box<dyn StateSource> {
        if name == "-" { Box::new(StateStdin) } else { Box::new(StateFile::new(name.clone(), name)) }
    };
    let sources: Vec<_> = args.plans.iter().map(source).collect();
    setup.wait(async {
        let planned = flow::read_plans(&sources).await?;
        let cloud = setup.cloud(false).await?;
        let progress = setup.progress();
        let guarded = flow::guard(&cloud.ctx(&progress), &planned, args.strict)?;
        let rulings = &guarded.rulings;
        let refused = rulings.iter().any(|ruling| ruling.verdict == Verdict::Refused);
        match args.format {
            _ if setup.screen.json || args.format == Format::Json => {
                setup.screen.document("guard/1", guard::document(&guarded))?;
            }
            Format::Github => setup.screen.print(&guard::github(rulings))?,
            Format::Text | Format::Json => setup.screen.print(&guard::text(rulings, setup.screen.out))?,
        }
        for target in &guarded.unguarded {
            setup.screen.warn(&format!("{target} is not guarded: nothing tells what code calls it"));
        }
        setup.tell_notices(&cloud.store);
        Ok(if refused { Exit::Blocked } else { Exit::Done })
    })
}
