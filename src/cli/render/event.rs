//! An event of the ledger in one sentence, for the log.

use super::time;
use crate::model::{Cause, Channel, Entry, Event, ImageKey, ImageRef};
use std::collections::BTreeMap;

/// What happened, and why, where the entry says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    pub what: String,
    pub why: Option<String>,
}

impl Sentence {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), why: None }
    }

    fn because(mut self, why: Option<&String>) -> Self {
        self.why = why.cloned();
        self
    }

    /// Both in one line.
    pub fn line(&self) -> String {
        match &self.why {
            Some(why) => format!("{}: {why}", self.what),
            None => self.what.clone(),
        }
    }
}

/// The sentence of one entry.
pub fn sentence(entry: &Entry) -> Sentence {
    match &entry.event {
        Event::LedgerCreated { id } => Sentence::new(format!("ledger {id} created")),
        Event::ImageRecorded { image } => Sentence::new(format!(
            "{} recorded ({})",
            image.key,
            list(image.addresses().map(|address| address.short()))
        )),
        Event::ArtifactsAdded { image, artifacts } => {
            let places = list(artifacts.iter().map(|artifact| artifact.address().to_string()));
            Sentence::new(format!("{image} is also {places}"))
        }
        Event::Tagged { image, tags } => Sentence::new(format!("{image} tagged {}", list(tags.iter().cloned()))),
        Event::Untagged { image, tags } => {
            Sentence::new(format!("{image} no longer tagged {}", list(tags.iter().cloned())))
        }
        Event::TagsMirrored { image, tags, done, failed } => mirrored(image, list(tags.iter().cloned()), done, failed),
        Event::RolloutStarted { channel, image, from, cause, reason, steps } => {
            started(entry, channel, image, from.as_ref(), cause, steps.len()).because(reason.as_ref())
        }
        Event::StepStarted { rollout, step } => Sentence::new(format!("rollout {rollout}, step {step}: begun")),
        Event::StepDeployed { rollout, step, revision, deployment } => {
            let through = deployment.as_ref().map(|id| format!(" by {id}")).unwrap_or_default();
            Sentence::new(format!("rollout {rollout}, step {step}: on its way to {revision}{through}"))
        }
        Event::StepSucceeded { rollout, step, running, .. } => {
            Sentence::new(format!("rollout {rollout}, step {step}: done, {}", counted(running)))
        }
        Event::StepFailed { rollout, step, reason, running } => {
            Sentence::new(format!("rollout {rollout}, step {step}: failed, {}", counted(running))).because(Some(reason))
        }
        Event::RolloutFinished { rollout, outcome } => Sentence::new(format!("rollout {rollout} {outcome}")),
        Event::PointerWritten { channel, pointer, image, value } => {
            Sentence::new(format!("pointer {pointer} of {channel} is at {image} ({value})"))
        }
        Event::PointerFailed { channel, pointer, image, reason } => {
            Sentence::new(format!("pointer {pointer} of {channel} could not be put to {image}")).because(Some(reason))
        }
        Event::DriftAudited { channels, targets, counts, .. } => audited(channels.len(), *targets, counts),
        Event::DriftAcknowledged { id, finding, until, reason } => {
            let until = time::moment(*until);
            Sentence::new(format!("drift {id} acknowledged until {until}: {finding}")).because(Some(reason))
        }
        Event::AcknowledgementWithdrawn { id, finding, reason } => {
            Sentence::new(format!("drift {id} no longer acknowledged: {finding}")).because(reason.as_ref())
        }
        Event::HoldSet { .. }
        | Event::HoldLifted { .. }
        | Event::ImageRejected { .. }
        | Event::ImageRestored { .. }
        | Event::FreezeSet { .. }
        | Event::FreezeLifted { .. }
        | Event::ImageApproved { .. }
        | Event::ApprovalWithdrawn { .. }
        | Event::RuleOverridden { .. }
        | Event::Unknown => judged(&entry.event),
    }
}

fn audited(channels: usize, targets: u32, counts: &BTreeMap<String, u32>) -> Sentence {
    let found = list(counts.iter().map(|(kind, count)| format!("{count} {}", kind.replace('-', " "))));
    let many = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let targets = many(usize::try_from(targets).unwrap_or(usize::MAX), "target");
    Sentence::new(format!("audit of {} with {targets}: {found}", many(channels, "channel")))
}

/// What people say of images and channels; and what only a newer imgctl can read.
fn judged(event: &Event) -> Sentence {
    match event {
        Event::HoldSet { channel, reason } => Sentence::new(format!("{channel} held")).because(Some(reason)),
        Event::HoldLifted { channel, reason } => {
            Sentence::new(format!("{channel} no longer held")).because(reason.as_ref())
        }
        Event::ImageRejected { image, channel, reason, until, descendants } => {
            let along = if *descendants { ", with what is built on it" } else { "" };
            let until = until.map(|until| format!(" until {}", time::moment(until))).unwrap_or_default();
            Sentence::new(format!("{image} rejected {}{until}{along}", scope(channel.as_ref()))).because(Some(reason))
        }
        Event::ImageRestored { image, channel, reason } => {
            Sentence::new(format!("{image} no longer rejected {}", scope(channel.as_ref()))).because(reason.as_ref())
        }
        Event::FreezeSet { scope, until, reason, rollbacks } => {
            let also = if *rollbacks { ", rollbacks as well" } else { "" };
            Sentence::new(format!("{scope} frozen until {}{also}", time::moment(*until))).because(Some(reason))
        }
        Event::FreezeLifted { scope, reason } => {
            Sentence::new(format!("{scope} no longer frozen")).because(reason.as_ref())
        }
        Event::ImageApproved { channel, image, reason } => {
            Sentence::new(format!("{image} approved for {channel}")).because(reason.as_ref())
        }
        Event::ApprovalWithdrawn { channel, image, reason } => {
            Sentence::new(format!("{image} no longer approved for {channel}")).because(reason.as_ref())
        }
        Event::RuleOverridden { channel, image, rule, reason } => {
            Sentence::new(format!("rule {rule} of {channel} passed over for {image}")).because(Some(reason))
        }
        _ => Sentence::new("written by a newer imgctl: upgrade to read it"),
    }
}

fn started(
    entry: &Entry,
    channel: &Channel,
    image: &ImageKey,
    from: Option<&ImageKey>,
    cause: &Cause,
    steps: usize,
) -> Sentence {
    let id = entry.seq;
    let before = from.map(|from| format!(" from {from}")).unwrap_or_default();
    let on = format!("on {steps} {}", if steps == 1 { "target" } else { "targets" });
    Sentence::new(match cause {
        Cause::Promote => format!("rollout {id}: promote {image} to {channel}{before}, {on}"),
        Cause::Rollback { automatic: true, of, .. } => {
            let of = of.map(|of| format!(" because rollout {of} failed")).unwrap_or_default();
            format!("rollout {id}: roll {channel} back to {image}{before}, {on},{of}")
        }
        Cause::Rollback { automatic: false, .. } => {
            format!("rollout {id}: roll {channel} back to {image}{before}, {on}")
        }
    })
}

fn mirrored(
    image: &ImageKey,
    tags: String,
    done: &std::collections::BTreeSet<String>,
    failed: &BTreeMap<String, String>,
) -> Sentence {
    let places = |count: usize| format!("{count} {}", if count == 1 { "place" } else { "places" });
    let what = format!("tags {tags} of {image} written to {}", places(done.len()));
    if failed.is_empty() {
        return Sentence::new(what);
    }
    let why = list(failed.iter().map(|(place, why)| format!("{place}: {why}")));
    Sentence { what: format!("{what}, not to {}", places(failed.len())), why: Some(why) }
}

fn scope(channel: Option<&Channel>) -> String {
    channel.map_or_else(|| "everywhere".to_owned(), |channel| format!("in {channel}"))
}

/// `3 × ami-…, 1 × ami-…`: what really runs.
pub fn counted(running: &BTreeMap<ImageRef, u32>) -> String {
    if running.is_empty() {
        return "nothing seen running".to_owned();
    }
    list(running.iter().map(|(image, count)| format!("{count} × {}", image.short())))
}

/// `a, b, c`; long ones are cut, and say so.
fn list(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    let (shown, rest) = words.split_at(words.len().min(4));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Actor, Outcome, Seq};

    fn said(event: Event) -> String {
        let by = Actor { who: "ana@laptop".into(), ..Actor::default() };
        let at = "2026-11-20T10:00:00Z".parse().unwrap();
        sentence(&Entry::seal(Seq(41), at, &by, &event, &Entry::root()).unwrap()).line()
    }

    #[test]
    fn every_event_is_one_sentence_with_its_reason() {
        let channel: Channel = "web/prod".parse().unwrap();
        let (old, new): (ImageKey, ImageKey) = ("web@1.4.2".parse().unwrap(), "web@1.5.0".parse().unwrap());
        let started = |cause, image: &ImageKey, from: &ImageKey| Event::RolloutStarted {
            channel: channel.clone(),
            image: image.clone(),
            from: Some(from.clone()),
            cause,
            reason: Some("checkout is broken".into()),
            steps: Vec::new(),
        };
        assert_eq!(
            said(started(Cause::Promote, &new, &old)),
            "rollout 41: promote web@1.5.0 to web/prod from web@1.4.2, on 0 targets: checkout is broken"
        );
        let back = Cause::Rollback { of: Some(Seq(40)), depth: 1, leaves: Some(new.clone()), automatic: true };
        assert_eq!(
            said(started(back, &old, &new)),
            "rollout 41: roll web/prod back to web@1.4.2 from web@1.5.0, on 0 targets, because rollout 40 failed: checkout is broken"
        );
        let running = BTreeMap::from([("ami-0123456789abcdef0@eu-west-1".parse().unwrap(), 3)]);
        let failed = Event::StepFailed { rollout: Seq(41), step: 1, reason: "unhealthy".into(), running };
        assert_eq!(said(failed), "rollout 41, step 1: failed, 3 × ami-0123456789abcdef0: unhealthy");
        let finished = Event::RolloutFinished { rollout: Seq(41), outcome: Outcome::Failed { reason: "x".into() } };
        assert_eq!(said(finished), "rollout 41 failed: x");
        let rejected =
            Event::ImageRejected { image: new, channel: None, reason: "leaks".into(), until: None, descendants: false };
        assert_eq!(said(rejected), "web@1.5.0 rejected everywhere: leaks");
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let words = |count: usize| list((0..count).map(|n| n.to_string()));
        assert_eq!((words(0).as_str(), words(4).as_str()), ("", "0, 1, 2, 3"));
        assert_eq!(words(6), "0, 1, 2, 3 and 2 more");
    }
}
