//! A plan as text: `+ ~ -` marks that read without colour, blockers last, and one line that sums it up.

use super::style::Palette;
use crate::model::{Cause, Step};
use crate::plan::Plan;

/// The whole plan.
pub fn render(plan: &Plan, paint: Palette) -> String {
    let mut text = format!("{}\n", paint.strong(&title(plan)));
    let mut wave = 1;
    for step in &plan.steps {
        text.push('\n');
        if step.wave != wave {
            wave = step.wave;
            text.push_str(&format!("  wave {wave}, when those before it are done\n\n"));
        }
        push_step(&mut text, step, plan.settled.contains(&step.target), paint);
    }
    let there: Vec<_> = plan.settled.iter().filter(|id| !plan.steps.iter().any(|step| step.target == **id)).collect();
    if !there.is_empty() {
        text.push('\n');
    }
    for target in there {
        text.push_str(&format!("  = {target}  is there already\n"));
    }
    for note in &plan.notes {
        text.push_str(&format!("\n{} {note}\n", paint.hint("note:")));
    }
    if !plan.blockers.is_empty() {
        text.push('\n');
    }
    for blocker in &plan.blockers {
        text.push_str(&format!("{} {} {}\n", paint.error("blocked:"), blocker.subject, blocker.what));
        if !blocker.fix.is_empty() {
            text.push_str(&format!("   {} {}\n", paint.hint("hint:"), blocker.fix));
        }
    }
    text.push_str(&format!("\n{}\n", sum(plan)));
    text
}

fn title(plan: &Plan) -> String {
    let image = plan.image.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let now = plan.from.as_ref().map(|from| format!(" (now {from})")).unwrap_or_default();
    match &plan.cause {
        Cause::Promote => format!("promote {image} to {}{now}", plan.channel),
        Cause::Rollback { .. } => format!("roll {} back to {image}{now}", plan.channel),
    }
}

fn push_step(text: &mut String, step: &Step, settled: bool, paint: Palette) {
    let target = paint.strong(step.target.as_str());
    if settled {
        text.push_str(&format!("  {} {target}  is there already, and is recorded\n", paint.tilde("~")));
        return;
    }
    let toward = step.exact.as_ref().map(|exact| format!(", to {exact} itself")).unwrap_or_default();
    text.push_str(&format!("  {} {target}  (at {}{toward})\n", paint.tilde("~"), step.expect));
    for (slot, change) in &step.slots {
        if let Some(from) = &change.from {
            text.push_str(&paint.minus(&format!("      - {slot}  {from}")));
            text.push('\n');
        }
        text.push_str(&paint.plus(&format!("      + {slot}  {}", change.to)));
        text.push('\n');
    }
    if let Some(deployment) = &step.interrupts {
        text.push_str(&format!("        stops {deployment}, which is under way\n"));
    }
    for note in &step.notes {
        text.push_str(&format!("        {note}\n"));
    }
}

/// What carrying it out would come to.
fn sum(plan: &Plan) -> String {
    if !plan.blockers.is_empty() {
        let count = plan.blockers.len();
        return format!("Blocked by {count} {}; nothing will be done.", if count == 1 { "reason" } else { "reasons" });
    }
    if plan.is_noop() {
        return format!("Nothing to do: {} is there already.", plan.channel);
    }
    let only_recorded = plan.steps.iter().filter(|step| plan.settled.contains(&step.target)).count();
    let moved = plan.steps.len() - only_recorded;
    let there = plan.settled.len();
    let targets = |count: usize| format!("{count} {}", if count == 1 { "target" } else { "targets" });
    match (moved, there) {
        (0, _) => format!("No target moves; {} is recorded as it is.", plan.channel),
        (_, 0) => format!("{} to move.", targets(moved)),
        (_, _) => format!("{} to move, {there} already there.", targets(moved)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Seq, SlotChange};
    use crate::plan::{Blocker, BlockerKind};
    use std::collections::BTreeMap;

    fn plan() -> Plan {
        let to = "ami-0bbbbbbbbbbbbbbbb@eu-west-1".parse().unwrap();
        let change = SlotChange { from: Some("ami-0aaaaaaaaaaaaaaaa@eu-west-1".into()), to };
        let step = Step {
            number: 1,
            target: "web-asg".parse().unwrap(),
            wave: 1,
            slots: BTreeMap::from([("template".parse().unwrap(), change)]),
            expect: "lt-0abc:7".parse().unwrap(),
            exact: None,
            interrupts: None,
            notes: vec!["pins the group to version 7 first: it follows $Latest now".into()],
        };
        Plan {
            base: Seq(40),
            channel: "web/prod".parse().unwrap(),
            image: Some("web@1.5.0".parse().unwrap()),
            from: Some("web@1.4.2".parse().unwrap()),
            cause: Cause::Promote,
            steps: vec![step],
            barred: Vec::new(),
            settled: vec!["web-b".parse().unwrap()],
            overridden: Vec::new(),
            blockers: Vec::new(),
            notes: vec!["web@1.4.3 was skipped: it is rejected".into()],
            done: false,
        }
    }

    #[test]
    fn a_plan_reads_without_colour() {
        let expected = "\
promote web@1.5.0 to web/prod (now web@1.4.2)

  ~ web-asg  (at lt-0abc:7)
      - template  ami-0aaaaaaaaaaaaaaaa@eu-west-1
      + template  ami-0bbbbbbbbbbbbbbbb@eu-west-1
        pins the group to version 7 first: it follows $Latest now

  = web-b  is there already

note: web@1.4.3 was skipped: it is rejected

1 target to move, 1 already there.
";
        assert_eq!(render(&plan(), Palette::PLAIN), expected);
        let coloured = render(&plan(), Palette::new(true));
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), expected, "colour adds nothing but colour");
    }

    #[test]
    fn a_blocked_plan_shows_every_blocker_and_what_lifts_it() {
        let blocker = Blocker {
            subject: "web/prod".into(),
            kind: BlockerKind::Held,
            what: "is held since entry 7 (ana@laptop): look first".into(),
            fix: "imgctl release web/prod".into(),
        };
        let text = render(&Plan { blockers: vec![blocker], ..plan() }, Palette::PLAIN);
        let tail = "\nblocked: web/prod is held since entry 7 (ana@laptop): look first\n   hint: imgctl release web/prod\n\n\
                    Blocked by 1 reason; nothing will be done.\n";
        assert!(text.ends_with(tail), "{text}");
    }

    #[test]
    fn a_plan_that_changes_nothing_says_so() {
        let noop = Plan { steps: Vec::new(), done: true, notes: Vec::new(), ..plan() };
        assert!(render(&noop, Palette::PLAIN).ends_with("Nothing to do: web/prod is there already.\n"));
        let recorded = Plan { settled: vec!["web-asg".parse().unwrap()], ..plan() };
        assert!(render(&recorded, Palette::PLAIN).ends_with("No target moves; web/prod is recorded as it is.\n"));
    }
}
