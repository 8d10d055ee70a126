//! The rules of a channel: what a promotion must keep, what lifts each, and which of them were passed over on purpose.
//!
//! Rollbacks are not asked: going back must work in the middle of a freeze, at night, by one person, unless that very freeze
//! was said to stop them. Nor is promoting what
//! the channel is at already, which only brings strayed targets back.

use super::{Blocker, BlockerKind, Snapshot};
use crate::model::{Approval, Channel, EnvName, Freeze, ImageKey, Rejection, Window};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A rule that `--override` can pass over. What is not here cannot be: a missing AMI, another architecture, a rejection
/// (which is lifted by `restore`, and that is on record).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    Hold,
    Freeze,
    After,
    Soak,
    Approvals,
    Window,
}

impl Rule {
    pub const ALL: [Self; 6] = [Self::Hold, Self::Freeze, Self::After, Self::Soak, Self::Approvals, Self::Window];

    pub fn word(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Freeze => "freeze",
            Self::After => "after",
            Self::Soak => "soak",
            Self::Approvals => "approvals",
            Self::Window => "window",
        }
    }

    fn of(kind: BlockerKind) -> Option<Self> {
        Some(match kind {
            BlockerKind::Held => Self::Hold,
            BlockerKind::Frozen => Self::Freeze,
            BlockerKind::After => Self::After,
            BlockerKind::Soak => Self::Soak,
            BlockerKind::Approvals => Self::Approvals,
            BlockerKind::Window => Self::Window,
            _ => return None,
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Rule {
    type Err = String;

    /// The error is what to type instead.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rule) = Self::ALL.into_iter().find(|rule| rule.word() == text) {
            return Ok(rule);
        }
        if text.starts_with("reject") {
            return Err("a rejection is lifted by imgctl restore IMAGE, which is on record".to_owned());
        }
        let words = Self::ALL.map(Self::word);
        let near = crate::model::lookup::nearest(text, &words).map(|near| format!("; did you mean {near}?"));
        Err(format!("there is no such rule: {}{}", words.join(", "), near.unwrap_or_default()))
    }
}

/// What the config asks of a channel's promotions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Only what was verified in this environment,
    pub after: Option<EnvName>,
    /// for that long.
    pub soak: SignedDuration,
    /// How many people other than the one who promotes must have agreed.
    pub approvals: u64,
    /// Only while one of these is open; none: always.
    pub windows: Vec<Window>,
}

/// What the rules are judged by, read from the ledger.
#[derive(Debug, Clone, Default)]
pub struct Grounds {
    pub rules: Rules,
    /// Who asks, as entries name people.
    pub asker: String,
    pub approvals: Vec<Approval>,
    /// Those that hold now.
    pub freezes: Vec<Freeze>,
    /// The image on the channel that `after` names.
    pub before: Option<Before>,
    /// Rules that are passed over because somebody said so, with a reason.
    pub overrides: BTreeSet<Rule>,
}

/// An image on the channel that it must have passed.
#[derive(Debug, Clone)]
pub struct Before {
    pub channel: Channel,
    /// When it was verified there.
    pub verified: Option<Timestamp>,
    /// It was turned away there since.
    pub rejected: Option<Rejection>,
}

/// A rule that stood in the way, and is passed over because somebody said so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Overridden {
    pub rule: Rule,
    /// What it said.
    pub what: String,
}

/// Takes the blockers of overridden rules out, and says what they were.
pub(super) fn pass_over(blockers: &mut Vec<Blocker>, overrides: &BTreeSet<Rule>) -> Vec<Overridden> {
    let mut passed = Vec::new();
    blockers.retain(|blocker| match Rule::of(blocker.kind).filter(|rule| overrides.contains(rule)) {
        Some(rule) => {
            passed.push(Overridden { rule, what: format!("{} {}", blocker.subject, blocker.what) });
            false
        }
        None => true,
    });
    passed.sort();
    passed
}

/// What the channel's rules say against promoting this image now.
pub(super) fn against(snapshot: &Snapshot, image: &ImageKey) -> Vec<Blocker> {
    let grounds = &snapshot.grounds;
    let mut blockers: Vec<Blocker> = grounds.freezes.iter().map(|freeze| frozen(snapshot, freeze)).collect();
    blockers.extend(grounds.before.as_ref().and_then(|before| not_before(snapshot, image, before)));
    blockers.extend(unapproved(snapshot, image));
    blockers.extend(closed(snapshot));
    blockers
}

fn or_override(fix: &str, rule: Rule) -> String {
    format!("{fix}, or pass over it on record: --override {rule} --reason \"…\"")
}

/// What stops a rollback that a person asks for: a freeze of which that was said. It is lifted, and not passed over.
pub(super) fn against_rollback(snapshot: &Snapshot) -> Vec<Blocker> {
    let stops = snapshot.grounds.freezes.iter().filter(|freeze| freeze.rollbacks);
    let blocker =
        |freeze: &Freeze| Blocker { fix: format!("imgctl unfreeze {}", freeze.scope), ..frozen(snapshot, freeze) };
    stops.map(blocker).collect()
}

fn frozen(snapshot: &Snapshot, freeze: &Freeze) -> Blocker {
    let Freeze { scope, until, by, reason, seq, rollbacks, .. } = freeze;
    let also = if *rollbacks { ", rollbacks as well," } else { "" };
    let what = format!("is frozen until {until}{also} since entry {seq} ({by}): {reason}");
    let fix = or_override(&format!("imgctl unfreeze {scope}"), Rule::Freeze);
    let subject = if scope.to_string() == snapshot.channel.to_string() {
        scope.to_string()
    } else {
        format!("{scope} (all of it)")
    };
    Blocker::new(BlockerKind::Frozen, subject, what, fix)
}

fn not_before(snapshot: &Snapshot, image: &ImageKey, before: &Before) -> Option<Blocker> {
    let Before { channel, verified, rejected } = before;
    if let Some(rejection) = rejected {
        let what = format!("was turned away on {channel} (entry {}): {}", rejection.seq, rejection.reason);
        let fix = or_override(&format!("promote another version to {channel} first"), Rule::After);
        return Some(Blocker::new(BlockerKind::After, image, what, fix));
    }
    let Some(verified) = verified else {
        let what = format!("was never verified on {channel}, which comes before {}", snapshot.channel);
        let fix = or_override(&format!("imgctl promote {image} {}", channel.env), Rule::After);
        return Some(Blocker::new(BlockerKind::After, image, what, fix));
    };
    let ready = verified.saturating_add(snapshot.grounds.rules.soak).unwrap_or(Timestamp::MAX);
    if snapshot.now >= ready {
        return None;
    }
    let what = format!("was verified on {channel} at {verified}, and stays there until {ready} before it goes on");
    Some(Blocker::new(BlockerKind::Soak, image, what, or_override("wait until then", Rule::Soak)))
}

fn unapproved(snapshot: &Snapshot, image: &ImageKey) -> Option<Blocker> {
    let Grounds { rules, asker, approvals, .. } = &snapshot.grounds;
    let others: BTreeSet<&str> =
        approvals.iter().map(|approval| approval.by.as_str()).filter(|by| by != asker).collect();
    let (have, wanted) = (u64::try_from(others.len()).unwrap_or(u64::MAX), rules.approvals);
    if have >= wanted {
        return None;
    }
    let by = if others.is_empty() {
        String::new()
    } else {
        format!(" ({})", others.into_iter().collect::<Vec<_>>().join(", "))
    };
    let own = approvals.iter().any(|approval| approval.by == *asker);
    let own = if own { format!("; that of {asker}, who promotes, does not count") } else { String::new() };
    let what = format!("has {have} of {wanted} approvals for {}{by}{own}", snapshot.channel);
    let fix = format!("imgctl approve {image} {}, by somebody else than {asker}", snapshot.channel.env);
    Some(Blocker::new(BlockerKind::Approvals, image, what, or_override(&fix, Rule::Approvals)))
}

fn closed(snapshot: &Snapshot) -> Option<Blocker> {
    let windows = &snapshot.grounds.rules.windows;
    if windows.is_empty() || windows.iter().any(|window| window.is_open(snapshot.now)) {
        return None;
    }
    let texts: Vec<String> = windows.iter().map(ToString::to_string).collect();
    let next = windows.iter().filter_map(|window| window.opens_after(snapshot.now)).min();
    let next = next.map_or_else(|| "never again".to_owned(), |next| format!("next at {next}"));
    let what = format!("takes promotions {}: {next}", texts.join(" and "));
    let fix = or_override("wait until then", Rule::Window);
    Some(Blocker::new(BlockerKind::Window, &snapshot.channel, what, fix))
}

#[cfg(test)]
mod tests {
    use super::super::promote;
    use super::super::rollback::{Back, rollback};
    use super::super::world::{World, check};
    use super::*;
    use crate::model::Seq;
    use jiff::tz::TimeZone;

    const MOVE: &str = "web@1 = ami-1; web@2 = ami-2; current web@1; target a: ami-1";

    fn world(change: impl FnOnce(&mut Snapshot)) -> Snapshot {
        let mut snapshot = World::parse(MOVE).snapshot();
        snapshot.grounds.asker = "ana".into();
        change(&mut snapshot);
        snapshot
    }

    fn key() -> ImageKey {
        "web@2".parse().unwrap()
    }

    fn blocked(snapshot: &Snapshot, overrides: &[Rule]) -> Vec<String> {
        let mut snapshot = snapshot.clone();
        snapshot.grounds.overrides = overrides.iter().copied().collect();
        let plan = promote(&snapshot, &key());
        plan.blockers.iter().map(|blocker| format!("{} {}", blocker.subject, blocker.what)).collect()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn approval(by: &str) -> Approval {
        let channel = "web/prod".parse().unwrap();
        Approval {
            channel,
            image: key(),
            by: by.into(),
            at: at("2026-11-20T11:00:00Z"),
            reason: None,
            seq: Seq(7),
            replaces: None,
        }
    }

    fn freeze(scope: &str) -> Freeze {
        let until = at("2026-12-01T00:00:00Z");
        Freeze {
            scope: scope.parse().unwrap(),
            until,
            by: "bob".into(),
            at: until,
            reason: "Black Friday".into(),
            seq: Seq(7),
            rollbacks: false,
        }
    }

    fn before(verified: Option<&str>) -> Option<Before> {
        Some(Before { channel: "web/staging".parse().unwrap(), verified: verified.map(at), rejected: None })
    }

    #[test]
    fn a_freeze_blocks_promotions_and_says_until_when_and_why() {
        let mut frozen = world(|snapshot| snapshot.grounds.freezes = vec![freeze("prod")]);
        let said = "prod (all of it) is frozen until 2026-12-01T00:00:00Z since entry 7 (bob): Black Friday";
        assert_eq!(blocked(&frozen, &[]), [said]);
        assert_eq!(blocked(&frozen, &[Rule::Window]), [said], "another rule's override is none of this one");
        frozen.grounds.overrides = [Rule::Freeze].into();
        let plan = promote(&frozen, &key());
        assert!(plan.blockers.is_empty());
        assert_eq!(plan.overridden, [Overridden { rule: Rule::Freeze, what: said.into() }]);
    }

    #[test]
    fn a_freeze_stops_rollbacks_only_where_that_was_said_and_never_what_imgctl_brings_back_itself() {
        let mut snapshot =
            World::parse("web@1 = ami-1; web@2 = ami-2; release web@1; release web@2; target a: ami-2").snapshot();
        snapshot.grounds.freezes = vec![freeze("prod")];
        assert!(rollback(&snapshot, &Back::default()).blockers.is_empty());
        snapshot.grounds.freezes = vec![Freeze { rollbacks: true, ..freeze("prod") }];
        let plan = rollback(&snapshot, &Back::default());
        let [blocker] = plan.blockers.as_slice() else { panic!("{:?}", plan.blockers) };
        assert_eq!(
            blocker.what,
            "is frozen until 2026-12-01T00:00:00Z, rollbacks as well, since entry 7 (bob): Black Friday"
        );
        assert_eq!(blocker.fix, "imgctl unfreeze prod");
        assert!(rollback(&snapshot, &Back { automatic: true, ..Back::default() }).blockers.is_empty());
    }

    #[test]
    fn what_the_channel_is_at_already_is_not_asked_about() {
        let mut frozen = world(|snapshot| snapshot.grounds.freezes = vec![freeze("web/prod")]);
        frozen.grounds.rules.approvals = 2;
        let plan = promote(&frozen, &"web@1".parse().unwrap());
        assert!(plan.blockers.is_empty() && plan.overridden.is_empty());
    }

    #[test]
    fn what_was_not_verified_before_does_not_go_on() {
        let never = world(|snapshot| snapshot.grounds.before = before(None));
        assert_eq!(blocked(&never, &[]), ["web@2 was never verified on web/staging, which comes before web/prod"]);
        let verified = world(|snapshot| snapshot.grounds.before = before(Some("2026-11-20T11:00:00Z")));
        assert!(blocked(&verified, &[]).is_empty());
        let mut soaking = verified;
        soaking.grounds.rules.soak = SignedDuration::from_hours(2);
        assert_eq!(
            blocked(&soaking, &[]),
            [
                "web@2 was verified on web/staging at 2026-11-20T11:00:00Z, and stays there until 2026-11-20T13:00:00Z before it goes on"
            ]
        );
        soaking.now = at("2026-11-20T13:00:00Z");
        assert!(blocked(&soaking, &[]).is_empty());
        let rejected = World::parse("web@2 = ami-2; reject web@2").snapshot().rejections.remove(&key()).unwrap();
        soaking.grounds.before = before(Some("2026-11-20T11:00:00Z")).map(|b| Before { rejected: Some(rejected), ..b });
        assert_eq!(blocked(&soaking, &[]), ["web@2 was turned away on web/staging (entry 6): told so"]);
    }

    #[test]
    fn who_promotes_does_not_approve() {
        let with = |who: &[&str]| {
            world(|snapshot| {
                snapshot.grounds.rules.approvals = 2;
                snapshot.grounds.approvals = who.iter().map(|by| approval(by)).collect();
            })
        };
        assert_eq!(blocked(&with(&[]), &[]), ["web@2 has 0 of 2 approvals for web/prod"]);
        assert_eq!(
            blocked(&with(&["ana", "bob"]), &[]),
            ["web@2 has 1 of 2 approvals for web/prod (bob); that of ana, who promotes, does not count"]
        );
        assert!(blocked(&with(&["bob", "eve"]), &[]).is_empty());
    }

    #[test]
    fn outside_every_window_the_next_opening_is_said() {
        let window = |text: &str| Window::parse(text, |name| TimeZone::get(name).ok()).unwrap();
        let closed = world(|snapshot| {
            snapshot.grounds.rules.windows = vec![window("Mon-Thu 09:00-17:00 UTC"), window("Sat 10:00-12:00 UTC")];
        });
        assert_eq!(
            blocked(&closed, &[]),
            ["web/prod takes promotions Mon-Thu 09:00-17:00 UTC and Sat 10:00-12:00 UTC: next at 2026-11-21T10:00:00Z"]
        );
        assert!(blocked(&closed, &[Rule::Window]).is_empty());
    }

    #[test]
    fn a_rule_has_a_word_and_a_rejection_is_none() {
        for rule in Rule::ALL {
            assert_eq!(rule.word().parse(), Ok(rule));
        }
        assert!("freze".parse::<Rule>().unwrap_err().contains("did you mean freeze?"));
        assert!("rejection".parse::<Rule>().unwrap_err().contains("imgctl restore"));
        let rejected = World::parse(&format!("{MOVE}; reject web@2")).snapshot();
        let all: Vec<Rule> = Rule::ALL.to_vec();
        assert_eq!(blocked(&rejected, &all).len(), 1, "no override lifts a rejection");
    }

    #[test]
    fn everything_in_the_way_is_shown_at_once() {
        let mut all = world(|snapshot| {
            snapshot.grounds.freezes = vec![freeze("web/prod")];
            snapshot.grounds.before = before(None);
        });
        all.grounds.rules.approvals = 1;
        let plan = promote(&all, &key());
        check(
            &plan,
            "~ a  ami-00000001 → ami-00000002
             ! web/prod frozen: is frozen until 2026-12-01T00:00:00Z since entry 7 (bob): Black Friday
             ! web@2 after: was never verified on web/staging, which comes before web/prod
             ! web@2 approvals: has 0 of 1 approvals for web/prod",
        );
    }
}
