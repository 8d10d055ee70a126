//! Remedy: what mends a finding, in words that can be typed.

use super::Sight;
use super::finding::{CodePlace, FindingKind};
use super::witnesses::Witnesses;
use crate::model::SlotName;

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
        Some(place @ CodePlace { source, address }) if address.split('/').any(|part| KINDS.contains(&part)) => {
            // What came through a pipe has no name that kubectl knows.
            let file = if place.is_piped() { "MANIFEST" } else { source };
            format!("let the manifest say what {release} is, until nothing is left of: kubectl diff -f {file}")
        }
        _ => format!(
            "let the code say what {release} is, see that `terraform plan` changes nothing, then: terraform apply -refresh-only"
        ),
    }
}

/// Stands for the finding's own id, which is known when all else is.
pub(super) const OWN_ID: &str = "{its own id}";

/// What to type next about a finding of this kind.
pub(super) fn remedy(witnesses: &Witnesses, slot: Option<&SlotName>, kind: FindingKind) -> Option<String> {
    use FindingKind::*;
    let Witnesses { target, channel, .. } = witnesses;
    // What the channel is at, and not what a rollout that was given up has left there.
    let recorded = || witnesses.recorded.as_ref().map(|recorded| &recorded.image);
    let release = witnesses.release.as_ref().or_else(recorded);
    let release = release.map_or_else(|| format!("{}@VERSION", channel.name), ToString::to_string);
    let is_release_lost = witnesses
        .recorded
        .iter()
        .flat_map(|recorded| recorded.slots.values())
        .any(|image| witnesses.dangling.contains_key(image));
    let promote = format!("imgctl promote {release} {}", channel.env);
    // What keeps it from being moved comes first.
    let first = match &witnesses.sight {
        Sight::Seen(observed) => observed.obstacles.first().map(|obstacle| obstacle.fix.clone()),
        _ => None,
    };
    Some(match kind {
        InSync => return None,
        StaleCode if witnesses.ignores_image => return None,
        StaleCode => mended_code(slot.and_then(|slot| witnesses.places.get(slot)), &release),
        Reverted | Conflict => format!("let the code say what {release} is, then: {promote}"),
        Tampered | Mixed | Floating => first.map_or_else(|| promote.clone(), |fix| format!("{fix}; then: {promote}")),
        Untracked => format!(
            "imgctl record {}@VERSION SOURCE, then: imgctl promote {}@VERSION {}",
            channel.name, channel.name, channel.env
        ),
        Undone => format!("imgctl drift ack {OWN_ID} --until 7d --reason TEXT"),
        // The slot is gone, and the target is not: it is written down anew.
        Gone if slot.is_some() => promote,
        Gone => format!("bring it back, or mend `{target}` in imgctl.toml"),
        Dangling if is_release_lost || witnesses.recorded.is_none() => format!("imgctl rollback {channel} --check"),
        Dangling => promote,
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
