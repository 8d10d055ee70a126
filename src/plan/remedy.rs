//! Remedy: what mends a finding, in words that can be typed.

use super::Sight;
use super::finding::{CodePlace, FindingKind};
use super::witnesses::Witnesses;

/// How code of this kind is brought to what runs already, without moving anything.
fn mended_code(place: Option<&CodePlace>, release: &str) -> String {
    const KINDS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "CronJob"];
    match place {
        Some(CodePlace { source, .. }) if source.starts_with("cloudformation://") => {
            let stack = source.trim_start_matches("cloudformation://");
            format!(
                "let the template say what {release} is, then: aws cloudformation update-stack --stack-name {stack} …; what \
                 runs already is not replaced"
            )
        }
        Some(CodePlace { source, address }) if address.split('/').any(|part| KINDS.contains(&part)) => {
            format!("let the manifest say what {release} is, until nothing is left of: kubectl diff -f {source}")
        }
        _ => format!(
            "let the code say what {release} is, see that `terraform plan` changes nothing, then: terraform apply -refresh-only"
        ),
    }
}

/// What to type next about a finding of this kind.
pub(super) fn remedy(witnesses: &Witnesses, kind: FindingKind) -> Option<String> {
    use FindingKind::*;
    let Witnesses { target, channel, .. } = witnesses;
    let release = witnesses
        .recorded
        .as_ref()
        .map_or_else(|| format!("{}@VERSION", channel.name), |recorded| recorded.image.to_string());
    let promote = format!("imgctl promote {release} {}", channel.env);
    // What keeps it from being moved comes first.
    let first = match &witnesses.sight {
        Sight::Seen(observed) => observed.obstacles.first().map(|obstacle| obstacle.fix.clone()),
        _ => None,
    };
    Some(match kind {
        InSync => return None,
        StaleCode if witnesses.ignores_image => return None,
        StaleCode => mended_code(witnesses.places.values().next(), &release),
        Reverted | Conflict => format!("let the code say what {release} is, then: {promote}"),
        Tampered | Mixed | Floating => first.map_or_else(|| promote.clone(), |fix| format!("{fix}; then: {promote}")),
        Untracked => format!(
            "imgctl record {}@VERSION SOURCE, then: imgctl promote {}@VERSION {}",
            channel.name, channel.name, channel.env
        ),
        Gone => format!("bring it back, or mend `{target}` in imgctl.toml"),
        Dangling => format!("imgctl rollback {channel} --check"),
        Unreachable => first.unwrap_or_else(|| format!("imgctl status {channel}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_mended_with_the_tool_that_it_is_of() {
        for (source, address, expected) in [
            ("infra/web.tfstate", "module.web.aws_launch_template.this", "terraform apply -refresh-only"),
            ("cloudformation://web", "web/Template", "aws cloudformation update-stack --stack-name web "),
            ("deploy.yaml", "Deployment/web", "kubectl diff -f deploy.yaml"),
        ] {
            let place = CodePlace { source: source.into(), address: address.into() };
            let remedy = mended_code(Some(&place), "web@1.4.2");
            assert!(remedy.contains("what web@1.4.2 is") && remedy.contains(expected), "{remedy}");
        }
        assert!(mended_code(None, "web@1.4.2").contains("terraform plan"));
    }
}
