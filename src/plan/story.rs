//! A tiny told history for the tests of changes: `0m promote web@2 from web@1; 1m begun; 1m ordered; 5m well; 5m end ok`.

use super::change::{Change, Holds};
use crate::model::*;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// All of it happens on one channel with one target, from this moment on.
pub(super) const START: &str = "2026-11-02T00:00:00Z";

pub(super) fn at(offset: &str) -> Timestamp {
    let (number, unit) = offset.split_at(offset.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => 86_400,
    };
    let start: Timestamp = START.parse().unwrap();
    Timestamp::from_second(start.as_second() + number.parse::<i64>().unwrap() * seconds).unwrap()
}

struct Story {
    entries: Vec<Entry>,
    rollout: Seq,
    by: Actor,
}

/// The entries that a text tells, each statement with the time since the start.
pub(super) fn entries(text: &str) -> Vec<Entry> {
    let by = Actor { who: "ana@laptop".into(), ..Actor::default() };
    let mut story = Story { entries: Vec::new(), rollout: Seq(0), by };
    for statement in text.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        let words: Vec<&str> = statement.split_whitespace().collect();
        story.tell(at(words[0]), &words[1..]);
    }
    story.entries
}

/// Every change of a told history, whole.
pub(super) fn changes(text: &str) -> Vec<Change> {
    let (entries, mut holds, mut changes) = (entries(text), Holds::default(), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        let begun = Change::begin(entry, &holds);
        holds.see(entry);
        if let Some(mut change) = begun {
            for later in &entries[index + 1..] {
                if change.is_rollout() && !change.join(later) {
                    break;
                }
            }
            changes.push(change);
        }
    }
    changes
}

impl Story {
    fn tell(&mut self, at: Timestamp, words: &[&str]) {
        let (rollout, revision) = (self.rollout, || "lt-a:2".parse().unwrap());
        let running = BTreeMap::from([("ami-00000001@eu-west-1".parse().unwrap(), 3)]);
        let event = match words {
            ["by", who, rest @ ..] => {
                self.by = Actor { who: (*who).into(), ..Actor::default() };
                self.by.ci.extend(rest.iter().map(|word| ((*word).to_owned(), "1".to_owned())));
                return;
            }
            ["promote", image, "from", from] => self.started(image, Some(from), Cause::Promote),
            ["promote", image] => self.started(image, None, Cause::Promote),
            ["back", "to", image, "from", from, rest @ ..] => {
                let of = rest.iter().find_map(|word| word.parse().ok()).map(Seq);
                let automatic = rest.contains(&"automatic");
                let cause = Cause::Rollback { of, depth: 1, leaves: Some(from.parse().unwrap()), automatic };
                self.started(image, Some(from), cause)
            }
            ["begun"] => Event::StepStarted { rollout, step: 1 },
            ["ordered"] => {
                Event::StepDeployed { rollout, step: 1, revision: revision(), deployment: Some("refresh-1".into()) }
            }
            ["well"] => {
                Event::StepSucceeded { rollout, step: 1, revision: revision(), slots: BTreeMap::new(), running }
            }
            ["badly"] => Event::StepFailed { rollout, step: 1, reason: "unhealthy".into(), running },
            ["end", how] => Event::RolloutFinished { rollout, outcome: outcome(how) },
            ["end", how, "of", of] => {
                Event::RolloutFinished { rollout: Seq(of.parse().unwrap()), outcome: outcome(how) }
            }
            ["hold"] => Event::HoldSet { channel: channel(), reason: "books".into() },
            ["release"] => Event::HoldLifted { channel: channel(), reason: None },
            ["reject", image] => Event::ImageRejected {
                image: image.parse().unwrap(),
                channel: None,
                reason: "leaks".into(),
                until: None,
                descendants: false,
            },
            ["tag", image, tag] => {
                Event::Tagged { image: image.parse().unwrap(), tags: BTreeSet::from([(*tag).to_owned()]) }
            }
            other => panic!("{other:?}"),
        };
        self.write(at, event);
    }

    fn started(&self, image: &str, from: Option<&str>, cause: Cause) -> Event {
        let step = Step {
            number: 1,
            target: "a".parse().unwrap(),
            wave: 1,
            slots: BTreeMap::new(),
            expect: "lt-a:1".parse().unwrap(),
            exact: None,
            interrupts: None,
            notes: Vec::new(),
        };
        Event::RolloutStarted {
            channel: channel(),
            image: image.parse().unwrap(),
            from: from.map(|from| from.parse().unwrap()),
            cause,
            reason: Some("because".into()),
            steps: vec![step],
        }
    }

    fn write(&mut self, at: Timestamp, event: Event) {
        let seq = Seq(self.entries.len() as u64 + 1);
        if matches!(event, Event::RolloutStarted { .. }) {
            self.rollout = seq;
        }
        let prev = self.entries.last().map_or_else(Entry::root, |last| last.hash.clone());
        self.entries.push(Entry::seal(seq, at, &self.by, &event, &prev).unwrap());
    }
}

pub(super) fn channel() -> Channel {
    "web/prod".parse().unwrap()
}

fn outcome(word: &str) -> Outcome {
    let reason = "why".to_owned();
    match word {
        "ok" => Outcome::Succeeded,
        "failed" => Outcome::Failed { reason },
        "back" => Outcome::RolledBack { reason },
        "aborted" => Outcome::Aborted { reason },
        other => panic!("{other}"),
    }
}
