//! Drift: three witnesses, one verdict. What the ledger, the code and the target say, and who of them is wrong.

use super::Sight;
use super::aside::{behind, held, never, under_way, undone};
use super::finding::{Blame, Finding, FindingKind, Severity};
use super::remedy::{OWN_ID, remedy};
use super::witnesses::{Declaration, Lost, Silence, Witnesses};
use crate::model::{Acknowledgement, Digest, FindingId, ImageRef, Observed, Seq, SlotImage, SlotName};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What the code says, beside the ledger.
#[derive(Clone, Copy)]
enum Code {
    Silent,
    Agrees,
    Differs,
    /// Part of it does, whatever the rest says.
    Contradicts,
}

/// What is there, beside the ledger and the code.
#[derive(Clone, Copy)]
enum World {
    AsRecorded,
    AsDeclared,
    Elsewhere,
    Absent,
    /// There, and launching from what is not.
    Adrift,
    Unreadable,
}

/// The verdict on one slot: the table, row by row.
fn verdict(is_recorded: bool, code: Code, world: World) -> FindingKind {
    use FindingKind::*;
    match (is_recorded, code, world) {
        (_, _, World::Unreadable) => Unreachable,
        (_, _, World::Absent) => Gone,
        (_, _, World::Adrift) => Dangling,
        (false, _, World::AsRecorded | World::AsDeclared | World::Elsewhere) => Untracked,
        (true, Code::Silent | Code::Agrees, World::AsRecorded) => InSync,
        (true, Code::Differs | Code::Contradicts, World::AsRecorded) => StaleCode,
        (true, Code::Differs, World::AsDeclared) => Reverted,
        (true, Code::Differs, World::Elsewhere) => Conflict,
        (true, Code::Silent | Code::Agrees | Code::Contradicts, World::AsDeclared | World::Elsewhere) => Tampered,
    }
}

/// Everything that is to be said of these targets, sorted. What somebody has acknowledged until after `now` is a note.
pub fn drift(
    targets: &[Witnesses],
    acknowledgements: &BTreeMap<FindingId, Acknowledgement>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = targets.iter().flat_map(of_target).collect();
    for finding in &mut findings {
        finding.id = finding.identify();
        if let Some(remedy) = &mut finding.remedy {
            *remedy = remedy.replace(OWN_ID, &finding.id.to_string());
        }
        finding.acknowledge(acknowledgements, now);
    }
    findings.sort();
    findings
}

fn of_target(witnesses: &Witnesses) -> Vec<Finding> {
    match &witnesses.sight {
        Sight::Unreachable { why, fix } => {
            let found = whole(witnesses, World::Unreadable, format!("it could not be observed: {why}"));
            vec![Finding { remedy: Some(fix.clone()), ..found }]
        }
        Sight::Gone { why, fix } => {
            let found = whole(witnesses, World::Absent, format!("it is not there: {why}"));
            vec![Finding { remedy: Some(format!("bring it back, or {fix}")), ..found }]
        }
        Sight::Dangling { why, fix } => {
            let found = whole(witnesses, World::Adrift, format!("{why}: the next launch fails"));
            vec![Finding { remedy: Some(fix.clone()), ..found }]
        }
        Sight::Seen(observed) => of_observed(witnesses, observed),
    }
}

/// The one finding on a target that has no slots to speak of.
fn whole(witnesses: &Witnesses, world: World, detail: String) -> Finding {
    let kind = verdict(witnesses.recorded.is_some(), Code::Silent, world);
    let recorded = witnesses.recorded.as_ref().map(|recorded| recorded.image.to_string());
    Finding { recorded, ..finding(witnesses, None, kind, detail) }
}

fn of_observed(witnesses: &Witnesses, observed: &Observed) -> Vec<Finding> {
    if observed.slots.is_empty() {
        let why: String = observed.obstacles.iter().map(|obstacle| format!("; {}", obstacle.what)).collect();
        return vec![whole(witnesses, World::Unreadable, format!("it has no image that can be read{why}"))];
    }
    let recorded = witnesses.recorded.iter().flat_map(|recorded| recorded.slots.keys());
    let slots: BTreeSet<&SlotName> = observed.slots.keys().chain(recorded).chain(witnesses.declared.keys()).collect();
    let mut findings: Vec<Finding> = slots.into_iter().flat_map(|slot| of_slot(witnesses, observed, slot)).collect();
    if let Some(mixed) = mixed(witnesses, observed) {
        // Not in sync, whatever the configuration says.
        findings.retain(|finding| finding.kind != FindingKind::InSync);
        findings.push(mixed);
    }
    if let Some(undone) = taken_back(witnesses, observed) {
        findings.retain(|finding| finding.kind != FindingKind::InSync);
        findings.push(undone);
    }
    findings
}

/// A deployment that is none of the ledger's, and that the platform took back by itself: news, whatever else is wrong.
fn taken_back(witnesses: &Witnesses, observed: &Observed) -> Option<Finding> {
    let recorded = witnesses.recorded.as_ref().filter(|_| witnesses.is_foreign)?;
    let (deployment, why) = observed.undone()?;
    let list = |images: BTreeSet<&ImageRef>| images.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let detail = format!(
        "{}, which imgctl did not begin, was rolled back by the platform: {why}; whoever began it may believe that it succeeded",
        deployment.id
    );
    let now = observed.slots.values().filter_map(|state| state.image.now()).collect();
    Some(Finding {
        recorded: Some(list(recorded.slots.values().collect())),
        // By its id: the next one that is taken back is another finding.
        observed: Some(format!("{} → {}", deployment.id, list(now))),
        ..finding(witnesses, None, FindingKind::Undone, detail)
    })
}

/// One slot as the three witnesses have it.
struct Slot<'a> {
    name: &'a SlotName,
    recorded: Option<&'a ImageRef>,
    declared: Option<&'a Declaration>,
    observed: Option<&'a SlotImage>,
}

impl Slot<'_> {
    fn declared_image(&self) -> Option<&ImageRef> {
        match self.declared {
            Some(Declaration::Image(image)) => Some(image),
            Some(Declaration::Unknown { .. } | Declaration::Contradiction { .. }) | None => None,
        }
    }

    fn code(&self) -> Code {
        match self.declared_image() {
            None if matches!(self.declared, Some(Declaration::Contradiction { .. })) => Code::Contradicts,
            None => Code::Silent,
            declared if declared == self.recorded => Code::Agrees,
            Some(_) => Code::Differs,
        }
    }

    /// What the code says, in a word; several images with commas between.
    fn declared_text(&self) -> Option<String> {
        match self.declared? {
            Declaration::Image(image) => Some(image.to_string()),
            Declaration::Contradiction { images, .. } => {
                Some(images.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            Declaration::Unknown { .. } => None,
        }
    }

    /// What is to be said where the code says nothing that could be compared.
    fn unsaid(&self, witnesses: &Witnesses) -> String {
        match (self.declared, witnesses.silence) {
            (Some(Declaration::Unknown { why }), _) => format!("; what the code declares is not known: {why}"),
            (Some(Declaration::Contradiction { why, .. }), _) => format!("; the code contradicts itself: {why}"),
            (Some(Declaration::Image(_)), _) | (None, Silence::Natural) => String::new(),
            (None, Silence::Told) => "; the code given says nothing of it".to_owned(),
            (None, Silence::Strange) => "; the channel's code says nothing of it".to_owned(),
        }
    }

    fn world(&self) -> World {
        match self.observed.map(SlotImage::now) {
            None => World::Absent,
            // Reached by a name that could not be followed.
            Some(None) => World::Unreadable,
            now if now == Some(self.recorded) => World::AsRecorded,
            now if now == Some(self.declared_image()) => World::AsDeclared,
            Some(Some(_)) => World::Elsewhere,
        }
    }
}

/// The verdict on a slot, and what else is wrong with it.
fn of_slot(witnesses: &Witnesses, observed: &Observed, name: &SlotName) -> Vec<Finding> {
    let slot = Slot {
        name,
        recorded: witnesses.recorded.as_ref().and_then(|recorded| recorded.slots.get(name)),
        declared: witnesses.declared.get(name),
        observed: observed.slots.get(name).map(|state| &state.image),
    };
    let mut kinds = vec![verdict(slot.recorded.is_some(), slot.code(), slot.world())];
    if matches!(slot.observed, Some(SlotImage::Floating { .. })) {
        kinds.push(FindingKind::Floating);
    }
    if slot.observed.and_then(SlotImage::now).is_some_and(|now| witnesses.dangling.contains_key(now)) {
        kinds.push(FindingKind::Dangling);
    }
    if kinds.len() > 1 {
        kinds.retain(|kind| *kind != FindingKind::InSync);
    }
    kinds.into_iter().map(|kind| slot.finding(witnesses, kind)).collect()
}

impl Slot<'_> {
    fn finding(&self, witnesses: &Witnesses, kind: FindingKind) -> Finding {
        let mut found = finding(witnesses, Some(self.name), kind, self.detail(witnesses, kind));
        let unread = match self.declared {
            Some(Declaration::Unknown { .. }) => true,
            Some(Declaration::Image(_) | Declaration::Contradiction { .. }) => false,
            None => witnesses.silence == Silence::Strange,
        };
        let noted = unread || !undone(witnesses).is_empty() || !behind(witnesses).is_empty();
        if kind == FindingKind::InSync && noted {
            // Two witnesses agree, and the third was not heard; or all do, because somebody's deployment failed or was given up.
            found.severity = Severity::Note;
        }
        Finding {
            recorded: self.recorded.map(ToString::to_string),
            declared: self.declared_text(),
            observed: self.observed.map(|image| match image {
                SlotImage::Pinned { image } => image.to_string(),
                SlotImage::Floating { through, now: Some(now) } => format!("{through} → {now}"),
                SlotImage::Floating { through, now: None } => through.clone(),
            }),
            ..found
        }
    }

    fn detail(&self, witnesses: &Witnesses, kind: FindingKind) -> String {
        let short = |image: Option<&ImageRef>| image.map_or_else(|| "nothing".to_owned(), ImageRef::short);
        let (recorded, declared) = (short(self.recorded), short(self.declared_image()));
        let now = short(self.observed.and_then(SlotImage::now));
        let release = witnesses.recorded.as_ref().map(|recorded| recorded.image.to_string()).unwrap_or_default();
        let unknown = self.unsaid(witnesses);
        match kind {
            FindingKind::InSync => {
                let (undone, behind) = (undone(witnesses), behind(witnesses));
                format!("{recorded}, as released with {release}{unknown}{undone}{behind}")
            }
            FindingKind::StaleCode if witnesses.ignores_image => {
                format!("the code declares {declared} and ignores the image: applying it changes nothing")
            }
            FindingKind::StaleCode if self.declared_image().is_none() => {
                let why = unknown.trim_start_matches("; ");
                format!("{why}: an apply of what is not {recorded} would undo {release}{}", held(witnesses))
            }
            FindingKind::StaleCode => {
                let (held, undone) = (held(witnesses), undone(witnesses));
                format!("the code declares {declared}: the next apply would undo {release}{held}{undone}")
            }
            FindingKind::Reverted => {
                format!("the code was applied over {release}: {declared} instead of {recorded}{}", held(witnesses))
            }
            FindingKind::Tampered => {
                format!("changed outside imgctl: {now} instead of {recorded}{unknown}{}", undone(witnesses))
            }
            FindingKind::Conflict => format!("the ledger says {recorded}, the code {declared}, and it is at {now}"),
            FindingKind::Untracked if self.declared_image().is_some() => {
                format!("{}; it is at {now}, and the code declares {declared}", never(witnesses))
            }
            FindingKind::Untracked => format!("{}; it is at {now}{unknown}", never(witnesses)),
            FindingKind::Gone => {
                format!("the slot is not there; the ledger says {recorded}, the code {declared}{unknown}")
            }
            FindingKind::Dangling => format!("{}: the next launch fails", self.lost(witnesses, &now)),
            FindingKind::Floating => format!("nothing pins it: {} can lead elsewhere at any time", self.through()),
            FindingKind::Unreachable => self.unread(witnesses),
            FindingKind::Mixed => format!("it is configured with {now}, and runs something else"),
            FindingKind::Undone => format!("it is at {now} again{}", undone(witnesses)),
        }
    }

    fn lost(&self, witnesses: &Witnesses, now: &str) -> String {
        match self.observed.and_then(SlotImage::now).and_then(|image| witnesses.dangling.get(image)) {
            Some(Lost::Unusable { why }) => why.clone(),
            Some(Lost::Gone) | None => format!("{now} no longer exists"),
        }
    }

    /// Where a name leads was not told; the reader of the target notes why.
    fn unread(&self, witnesses: &Witnesses) -> String {
        let begins = format!("where {} leads", self.through());
        let notes = if let Sight::Seen(observed) = &witnesses.sight { observed.notes.as_slice() } else { &[] };
        let noted = notes.iter().find(|note| note.starts_with(&begins));
        noted.cloned().unwrap_or_else(|| format!("{begins} could not be found out"))
    }

    fn through(&self) -> &str {
        match self.observed {
            Some(SlotImage::Floating { through, .. }) => through,
            Some(SlotImage::Pinned { .. }) | None => "it",
        }
    }
}

/// Instances, tasks or pods that run what no slot is configured with.
fn mixed(witnesses: &Witnesses, observed: &Observed) -> Option<Finding> {
    let configured: BTreeSet<&ImageRef> = observed.slots.values().filter_map(|state| state.image.now()).collect();
    let is_strange = |image: &&ImageRef| !configured.contains(image);
    // Where no slot could be followed, nothing is known to be wrong with what runs.
    if configured.is_empty() || !observed.running.keys().any(|image| is_strange(&image)) {
        return None;
    }
    let list = |images: &mut dyn Iterator<Item = String>| images.collect::<Vec<_>>().join(", ");
    let total: u32 = observed.running.values().sum();
    let strange = observed.running.iter().filter(|(image, _)| is_strange(image));
    let strange = list(&mut strange.map(|(image, count)| format!("{count} of {total} run {}", image.short())));
    let wanted = list(&mut configured.iter().map(|image| image.short()));
    let detail = format!("{strange}, and it is configured with {wanted}{}", under_way(observed.deployment.as_ref()));
    let slots = witnesses.recorded.as_ref().map(|recorded| &recorded.slots);
    let declared = witnesses.declared.values().filter_map(|declaration| match declaration {
        Declaration::Image(image) => Some(image.to_string()),
        Declaration::Contradiction { .. } | Declaration::Unknown { .. } => None,
    });
    let declared: BTreeSet<String> = declared.collect();
    Some(Finding {
        recorded: slots
            .map(|slots| list(&mut slots.values().collect::<BTreeSet<_>>().into_iter().map(ToString::to_string))),
        declared: Some(list(&mut declared.into_iter())).filter(|text| !text.is_empty()),
        observed: Some(list(&mut observed.running.iter().map(|(image, count)| format!("{count} × {image}")))),
        ..finding(witnesses, None, FindingKind::Mixed, detail)
    })
}

/// The rollout under way, where it explains every image that is configured and runs there.
fn under_rollout(witnesses: &Witnesses, slot: Option<&SlotName>) -> Option<Seq> {
    let open = witnesses.open.as_ref()?;
    let Sight::Seen(observed) = &witnesses.sight else { return Some(open.rollout) };
    let configured = observed.slots.iter().filter(|(name, _)| slot.is_none_or(|slot| slot == *name));
    let configured = configured.filter_map(|(_, state)| state.image.now());
    let running = observed.running.keys().filter(|_| slot.is_none());
    let recorded: BTreeSet<&ImageRef> =
        witnesses.recorded.iter().flat_map(|recorded| recorded.slots.values()).collect();
    let is_its_own = |image: &ImageRef| open.images.contains(image) || recorded.contains(image);
    configured.chain(running).all(is_its_own).then_some(open.rollout)
}

/// A finding with what follows from its kind; what was recorded, declared and observed is for the caller to add.
fn finding(witnesses: &Witnesses, slot: Option<&SlotName>, kind: FindingKind, detail: String) -> Finding {
    let expected = under_rollout(witnesses, slot).filter(|_| kind.is_expected_during_rollout());
    let detail = expected.map_or_else(|| detail.clone(), |rollout| format!("rollout {rollout} is under way: {detail}"));
    Finding {
        channel: witnesses.channel.clone(),
        target: witnesses.target.clone(),
        slot: slot.cloned(),
        kind,
        severity: if expected.is_some() {
            Severity::Note
        } else {
            kind.severity(witnesses.hold.is_some(), witnesses.ignores_image)
        },
        blame: if expected.is_some() { Blame::Nobody } else { kind.blame() },
        recorded: None,
        declared: None,
        observed: None,
        detail,
        code: slot.and_then(|slot| witnesses.places.get(slot).cloned()).map(Box::new),
        by: None,
        acknowledged: None,
        // Named when all is known of it.
        id: FindingId::of(&Digest::of(b"")),
        remedy: expected
            .map_or_else(|| remedy(witnesses, slot, kind), |rollout| Some(format!("imgctl resume {rollout}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::witnesses::Open;
    use super::*;
    use crate::model::{Accepts, Deployment, Hold, Motion, Obstacle, RecordedTarget, SlotState};
    use std::sync::Arc;

    fn image(letter: &str) -> ImageRef {
        format!("ami-{}@eu-west-1", letter.repeat(8)).parse().unwrap()
    }

    fn slot() -> SlotName {
        "template".parse().unwrap()
    }

    fn open(images: &[&str]) -> Open {
        Open { rollout: Seq(41), images: images.iter().map(|letter| image(letter)).collect() }
    }

    fn hold() -> Hold {
        Hold { by: "ana".into(), at: "2026-11-20T12:00:00Z".parse().unwrap(), reason: "5xx".into(), seq: Seq(7) }
    }

    /// What a target says: `a`, `a via $Latest`, `? via $Latest`, each with `runs b` or `runs 2 b, 1 c` after it.
    fn sight(text: &str) -> Sight {
        match text {
            "none" => return Sight::Gone { why: "no Auto Scaling group `web`".into(), fix: "mend its name".into() },
            "adrift" => return Sight::Dangling { why: "no template".into(), fix: "terraform apply".into() },
            "unreadable" => {
                return Sight::Unreachable { why: "access denied".into(), fix: "imgctl status web/prod".into() };
            }
            _ => {}
        }
        let (configured, running) = text.split_once(" runs ").unwrap_or((text, ""));
        let accepts = Accepts::Ami { region: "eu-west-1".parse().unwrap(), arch: None };
        let found = match configured.split_once(" via ") {
            None if configured == "no slot" => None,
            None => Some(SlotImage::Pinned { image: image(configured) }),
            Some(("?", through)) => Some(SlotImage::Floating { through: through.into(), now: None }),
            Some((now, through)) => Some(SlotImage::Floating { through: through.into(), now: Some(image(now)) }),
        };
        let counted = |text: &str| {
            let (count, letter) = text.split_once(' ').unwrap();
            (image(letter), count.parse().unwrap())
        };
        Sight::Seen(Arc::new(Observed {
            revision: "lt-1:1".parse().unwrap(),
            slots: found.map(|image| (slot(), SlotState { image, accepts })).into_iter().collect(),
            running: running.split(", ").filter(|text| !text.is_empty()).map(counted).collect(),
            desired: 3,
            deployment: None,
            obstacles: Vec::new(),
            notes: Vec::new(),
        }))
    }

    /// `recorded | declared | observed`; `-` is a witness who says nothing.
    fn witnesses(row: &str) -> Witnesses {
        let [recorded, declared, observed] = row.split(" | ").collect::<Vec<_>>().try_into().unwrap();
        let released = |letter: &str| RecordedTarget {
            channel: "web/prod".parse().unwrap(),
            image: "web@1.4.2".parse().unwrap(),
            slots: [(slot(), image(letter))].into(),
            revision: "lt-1:1".parse().unwrap(),
            rollout: Seq(3),
            at: "2026-11-20T12:00:00Z".parse().unwrap(),
        };
        let declaration = match declared {
            "-" => None,
            "?" => Some(Declaration::Unknown { why: "version 3 could not be read".into() }),
            "b+c" => Some(Declaration::Contradiction {
                why: "one says b; two says c".into(),
                images: [image("b"), image("c")].into(),
            }),
            letter => Some(Declaration::Image(image(letter))),
        };
        Witnesses {
            target: "web-asg".parse().unwrap(),
            channel: "web/prod".parse().unwrap(),
            recorded: Some(recorded).filter(|text| *text != "-").map(released),
            former: None,
            declared: declaration.map(|declaration| (slot(), declaration)).into_iter().collect(),
            silence: Silence::Natural,
            places: BTreeMap::new(),
            ignores_image: false,
            sight: sight(observed),
            is_foreign: false,
            dangling: BTreeMap::new(),
            release: Some("web@1.4.2".parse().unwrap()),
            hold: None,
            open: None,
        }
    }

    fn seen(witnesses: &Witnesses, known: &BTreeMap<FindingId, Acknowledgement>) -> Vec<Finding> {
        drift(std::slice::from_ref(witnesses), known, "2026-11-20T13:00:00Z".parse().unwrap())
    }

    /// Each finding as `severity kind blame: detail`.
    fn said(witnesses: &Witnesses) -> Vec<String> {
        let line = |each: &Finding| {
            let (severity, kind, blame) = (word(each.severity), word(each.kind), word(each.blame));
            format!("{severity} {kind} {blame}: {}", each.detail)
        };
        seen(witnesses, &BTreeMap::new()).iter().map(line).collect()
    }

    /// The word that a value is written as in JSON.
    fn word(value: impl serde::Serialize) -> String {
        serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
    }

    fn check(row: &str, expected: &[&str]) {
        assert_eq!(said(&witnesses(row)), expected, "{row}");
    }

    #[test]
    fn the_table_row_by_row() {
        let in_sync = ["none in-sync nobody: ami-aaaaaaaa, as released with web@1.4.2"];
        check("a | a | a", &in_sync);
        check("a | - | a", &in_sync);
        check(
            "a | b | a",
            &["warning stale-code code: the code declares ami-bbbbbbbb: the next apply would undo web@1.4.2"],
        );
        check(
            "a | b | b",
            &["error reverted code: the code was applied over web@1.4.2: ami-bbbbbbbb instead of ami-aaaaaaaa"],
        );
        let tampered = ["error tampered world: changed outside imgctl: ami-bbbbbbbb instead of ami-aaaaaaaa"];
        check("a | a | b", &tampered);
        check("a | - | b", &tampered);
        check(
            "a | b | c",
            &[
                "error conflict code-and-world: the ledger says ami-aaaaaaaa, the code ami-bbbbbbbb, and it is at ami-cccccccc",
            ],
        );
        let mixed = ["error mixed world: 1 of 3 run ami-bbbbbbbb, and it is configured with ami-aaaaaaaa"];
        check("a | a | a runs 2 a, 1 b", &mixed);
        check("a | - | a runs 2 a, 1 b", &mixed);
        let floating = ["warning floating world: nothing pins it: $Latest can lead elsewhere at any time"];
        check("a | a | a via $Latest", &floating);
        check("a | - | a via $Latest", &floating);
        check(
            "- | - | a",
            &["warning untracked ledger: the ledger has never put an image there; it is at ami-aaaaaaaa"],
        );
        let both = "the ledger has never put an image there; it is at ami-aaaaaaaa, and the code declares ami-bbbbbbbb";
        check("- | b | a", &[&format!("warning untracked ledger: {both}")]);
        for row in ["a | a | none", "a | b | none", "- | - | none", "- | b | none"] {
            check(row, &["error gone world: it is not there: no Auto Scaling group `web`"]);
        }
        for row in ["a | a | adrift", "a | b | adrift", "- | - | adrift"] {
            check(row, &["error dangling world: no template: the next launch fails"]);
        }
        for row in ["a | a | unreadable", "a | b | unreadable", "- | - | unreadable", "- | b | unreadable"] {
            check(row, &["error unreachable nobody: it could not be observed: access denied"]);
        }
    }

    #[test]
    fn a_pointer_to_an_image_that_is_gone_is_dangling_whatever_else_is_said() {
        for row in ["a | a | a", "a | - | a"] {
            let witnesses = Witnesses { dangling: [(image("a"), Lost::Gone)].into(), ..witnesses(row) };
            assert_eq!(
                said(&witnesses),
                ["error dangling world: ami-aaaaaaaa no longer exists: the next launch fails"]
            );
        }
        let tampered = Witnesses { dangling: [(image("b"), Lost::Gone)].into(), ..witnesses("a | - | b") };
        assert_eq!(said(&tampered).len(), 2, "{:?}", said(&tampered));
        let elsewhere = Witnesses { dangling: [(image("c"), Lost::Gone)].into(), ..witnesses("a | - | a") };
        assert!(said(&elsewhere).iter().all(|line| line.contains("in-sync")));
    }

    #[test]
    fn what_is_wrong_at_once_is_said_at_once() {
        check(
            "a | b | a via $Latest runs 2 a, 1 c",
            &[
                "error mixed world: 1 of 3 run ami-cccccccc, and it is configured with ami-aaaaaaaa",
                "warning stale-code code: the code declares ami-bbbbbbbb: the next apply would undo web@1.4.2",
                "warning floating world: nothing pins it: $Latest can lead elsewhere at any time",
            ],
        );
    }

    #[test]
    fn what_is_not_known_is_never_in_sync() {
        check(
            "a | ? | a",
            &[
                "note in-sync nobody: ami-aaaaaaaa, as released with web@1.4.2; what the code declares is not known: version 3 could not be read",
            ],
        );
        check(
            "a | ? | b",
            &[
                "error tampered world: changed outside imgctl: ami-bbbbbbbb instead of ami-aaaaaaaa; what the code declares is not known: version 3 could not be read",
            ],
        );
        check(
            "a | a | ? via $Latest",
            &[
                "warning floating world: nothing pins it: $Latest can lead elsewhere at any time",
                "error unreachable nobody: where $Latest leads could not be found out",
            ],
        );
        for row in ["- | - | no slot", "a | a | no slot"] {
            check(row, &["error unreachable nobody: it has no image that can be read"]);
        }
    }

    #[test]
    fn code_that_contradicts_itself_is_stale_in_part() {
        check(
            "a | b+c | a",
            &["warning stale-code code: the code contradicts itself: one says b; two says c: an apply of what is not \
               ami-aaaaaaaa would undo web@1.4.2"],
        );
        check(
            "a | b+c | b",
            &[
                "error tampered world: changed outside imgctl: ami-bbbbbbbb instead of ami-aaaaaaaa; the code contradicts \
               itself: one says b; two says c",
            ],
        );
        let found = seen(&witnesses("a | b+c | a"), &BTreeMap::new());
        assert_eq!(found[0].declared.as_deref(), Some("ami-bbbbbbbb@eu-west-1, ami-cccccccc@eu-west-1"));
    }

    #[test]
    fn that_code_says_nothing_is_told_where_it_could_have_spoken() {
        let released = "in-sync nobody: ami-aaaaaaaa, as released with web@1.4.2";
        for (silence, expected) in [
            (Silence::Natural, format!("none {released}")),
            (Silence::Told, format!("none {released}; the code given says nothing of it")),
            (Silence::Strange, format!("note {released}; the channel's code says nothing of it")),
        ] {
            assert_eq!(said(&Witnesses { silence, ..witnesses("a | - | a") }), [expected]);
            assert_eq!(said(&Witnesses { silence, ..witnesses("a | a | a") }), [format!("none {released}")]);
        }
    }

    #[test]
    fn a_slot_that_is_gone_is_said_beside_one_that_is_in_sync() {
        let mut witnesses = witnesses("a | a | a");
        let lost = "t4g.small".parse::<SlotName>().unwrap();
        witnesses.recorded.iter_mut().for_each(|recorded| drop(recorded.slots.insert(lost.clone(), image("b"))));
        assert_eq!(
            said(&witnesses),
            [
                "error gone world: the slot is not there; the ledger says ami-bbbbbbbb, the code nothing",
                "none in-sync nobody: ami-aaaaaaaa, as released with web@1.4.2",
            ]
        );
    }

    #[test]
    fn stale_code_weighs_more_under_a_hold_and_less_where_it_ignores_the_image() {
        let held = Witnesses { hold: Some(hold()), ..witnesses("a | b | a") };
        assert_eq!(
            said(&held),
            ["error stale-code code: the code declares ami-bbbbbbbb: the next apply would undo web@1.4.2; \
              the channel is held by ana since 2026-11-20T12:00:00Z: 5xx"]
        );
        let ignoring = Witnesses { ignores_image: true, ..held };
        let said = said(&ignoring);
        assert_eq!(
            said,
            ["note stale-code code: the code declares ami-bbbbbbbb and ignores the image: applying it changes nothing"]
        );
        assert!(!seen(&ignoring, &BTreeMap::new()).iter().any(Finding::is_drift));
    }

    #[test]
    fn a_rollout_under_way_explains_what_it_brings_about_and_nothing_else() {
        for row in [
            "a | b | a",
            "a | b | b",
            "a | - | b",
            "a | b | c",
            "a | a | a runs 2 a, 1 b",
            "a | - | a via $Latest",
            "- | - | a",
        ] {
            let findings = seen(&Witnesses { open: Some(open(&["a", "b", "c"])), ..witnesses(row) }, &BTreeMap::new());
            for finding in findings {
                assert_eq!((finding.severity, finding.blame), (Severity::Note, Blame::Nobody), "{row}");
                assert!(finding.detail.starts_with("rollout 41 is under way: "), "{}", finding.detail);
                assert_eq!(finding.remedy.as_deref(), Some("imgctl resume 41"));
            }
        }
        for row in ["a | a | none", "a | a | unreadable"] {
            let findings = seen(&Witnesses { open: Some(open(&["a", "b", "c"])), ..witnesses(row) }, &BTreeMap::new());
            assert!(findings.iter().all(|finding| finding.severity == Severity::Error), "{row}");
        }
    }

    #[test]
    fn a_rollout_under_way_explains_only_its_own_images() {
        for row in ["a | - | c", "a | - | a runs 2 a, 1 c", "a | - | c via $Latest", "a | c | c"] {
            let findings = seen(&Witnesses { open: Some(open(&["a", "b"])), ..witnesses(row) }, &BTreeMap::new());
            assert!(findings.iter().any(Finding::is_drift), "{row}: {findings:?}");
        }
    }

    #[test]
    fn what_a_given_up_rollout_left_is_noted_and_goes_to_the_channels_release() {
        let at = |row: &str| Witnesses { release: Some("web@1.4.0".parse().unwrap()), ..witnesses(row) };
        let left = "note in-sync nobody: ami-aaaaaaaa, as released with web@1.4.2; web/prod is at web@1.4.0: imgctl promote web@1.4.0 prod";
        assert_eq!(said(&at("a | - | a")), [left]);
        assert_eq!(
            seen(&at("a | - | b"), &BTreeMap::new())[0].remedy.as_deref(),
            Some("imgctl promote web@1.4.0 prod")
        );
    }

    #[test]
    fn a_target_of_another_channel_before_is_untracked_here() {
        let mut moved = witnesses("a | - | a");
        moved.former = moved.recorded.take();
        moved.channel = "web/live".parse().unwrap();
        let expected = "warning untracked ledger: the ledger has put web@1.4.2 there for web/prod, and nothing for web/live; it is at ami-aaaaaaaa";
        assert_eq!(said(&moved), [expected]);
    }

    #[test]
    fn an_image_that_is_lost_is_left_where_it_is_the_release_and_put_right_where_it_is_not() {
        let lost = |row: &str, letter: &str, lost: Lost| Witnesses {
            dangling: [(image(letter), lost)].into(),
            ..witnesses(row)
        };
        let remedy = |witnesses: &Witnesses| {
            let found = seen(witnesses, &BTreeMap::new()).into_iter().find(|each| each.kind == FindingKind::Dangling);
            found.unwrap().remedy.unwrap()
        };
        assert_eq!(remedy(&lost("a | - | a", "a", Lost::Gone)), "imgctl rollback web/prod --check");
        assert_eq!(remedy(&lost("a | - | b", "b", Lost::Gone)), "imgctl promote web@1.4.2 prod");
        let why = "ami-aaaaaaaa in eu-west-1 is disabled".to_owned();
        let disabled = lost("a | - | a", "a", Lost::Unusable { why });
        assert_eq!(
            said(&disabled),
            ["error dangling world: ami-aaaaaaaa in eu-west-1 is disabled: the next launch fails"]
        );
    }

    #[test]
    fn what_the_platform_took_back_is_a_finding_unless_the_ledger_ordered_it() {
        let undone = |row: &str, is_foreign: bool| {
            let mut witnesses = Witnesses { is_foreign, ..witnesses(row) };
            let Sight::Seen(observed) = &mut witnesses.sight else { unreachable!() };
            let motion = Motion::RolledBack { reason: "1 instance failed.".into() };
            Arc::make_mut(observed).deployment =
                Some(Deployment { id: "refresh-1".into(), motion, toward: None, started: None, percent: 0, left: 0 });
            witnesses
        };
        let back = "refresh-1 was rolled back by the platform: 1 instance failed";
        let believes = "whoever began it may believe that it succeeded";
        assert_eq!(
            said(&undone("a | - | a", true)),
            [format!(
                "warning undone nobody: refresh-1, which imgctl did not begin, was rolled back by the platform: 1 instance failed; {believes}"
            )]
        );
        assert_eq!(
            said(&undone("a | a | a", false)),
            [format!("note in-sync nobody: ami-aaaaaaaa, as released with web@1.4.2; {back}")]
        );
        // Where something else is wrong, it is news all the same: that may be known to somebody.
        for (row, kind) in [("a | b | a", "stale-code"), ("a | - | b", "tampered")] {
            let both = said(&undone(row, true));
            assert!(both.len() == 2 && both[0].contains("undone"), "{both:?}");
            assert!(both[1].contains(kind) && !both[1].contains(back), "{both:?}");
            let ours = said(&undone(row, false));
            assert!(ours.len() == 1 && ours[0].contains(kind) && ours[0].contains(back), "{ours:?}");
        }
        let open = Witnesses { open: Some(open(&["a", "b"])), ..undone("a | - | a", true) };
        assert!(said(&open)[0].starts_with("warning undone"), "a rollout of ours under way does not explain it");
        let id = |deployment: &str| {
            let mut witnesses = undone("a | - | a", true);
            let Sight::Seen(observed) = &mut witnesses.sight else { unreachable!() };
            Arc::make_mut(observed).deployment.as_mut().unwrap().id = deployment.into();
            seen(&witnesses, &BTreeMap::new())[0].id.clone()
        };
        assert_eq!(id("refresh-1"), id("refresh-1"));
        assert_ne!(id("refresh-1"), id("refresh-2"), "that one was acknowledged says nothing of the next");
    }

    #[test]
    fn a_mixed_target_tells_the_platforms_own_word_for_it() {
        let mut witnesses = witnesses("a | a | a runs 2 a, 1 b");
        let Sight::Seen(observed) = &mut witnesses.sight else { unreachable!() };
        let motion = Motion::Failed { reason: "3 instances were unhealthy".into() };
        Arc::make_mut(observed).deployment =
            Some(Deployment { id: "refresh-1".into(), motion, toward: None, started: None, percent: 33, left: 2 });
        assert_eq!(
            said(&witnesses),
            [
                "error mixed world: 1 of 3 run ami-bbbbbbbb, and it is configured with ami-aaaaaaaa; refresh-1 failed: 3 instances were unhealthy"
            ]
        );
    }

    #[test]
    fn every_alarm_says_what_to_type_next() {
        let remedy = |row: &str| {
            seen(&witnesses(row), &BTreeMap::new())
                .into_iter()
                .map(|finding| finding.remedy.unwrap())
                .collect::<Vec<_>>()
        };
        let promote = "imgctl promote web@1.4.2 prod";
        assert_eq!(remedy("a | - | b"), [promote]);
        assert_eq!(remedy("a | b | b"), [format!("let the code say what web@1.4.2 is, then: {promote}")]);
        assert_eq!(remedy("- | - | a"), ["imgctl record web@VERSION SOURCE, then: imgctl promote web@VERSION prod"]);
        assert_eq!(remedy("a | - | none"), ["bring it back, or mend its name"]);
        let rows = ["a | b | a", "a | b | c", "a | - | a runs 1 b", "a | - | a via $Latest", "a | - | unreadable"];
        for row in rows.into_iter().chain(["a | - | adrift"]) {
            assert!(
                remedy(row).iter().all(|remedy| remedy.contains("imgctl ") || remedy.contains("terraform ")),
                "{row}"
            );
        }
    }

    #[test]
    fn what_keeps_a_target_from_being_moved_is_to_be_mended_first() {
        for (row, expected) in [
            ("a | - | b", "mend it; then: imgctl promote web@1.4.2 prod"),
            ("a | - | ? via resolve:ssm:/web", "mend it"),
        ] {
            let mut witnesses = witnesses(row);
            let Sight::Seen(observed) = &mut witnesses.sight else { panic!("{row}") };
            Arc::make_mut(observed).obstacles.push(Obstacle { what: "cannot be moved".into(), fix: "mend it".into() });
            let remedies: Vec<String> =
                seen(&witnesses, &BTreeMap::new()).into_iter().filter_map(|finding| finding.remedy).collect();
            assert!(remedies.iter().any(|remedy| remedy == expected), "{row}: {remedies:?}");
        }
    }

    #[test]
    fn findings_are_one_order_and_one_text_however_the_targets_come() {
        let now = "2026-11-20T13:00:00Z".parse().unwrap();
        let mut targets: Vec<Witnesses> = ["a | b | a via $Latest", "- | - | a", "a | a | none"].map(witnesses).into();
        for (number, target) in targets.iter_mut().enumerate() {
            target.target = format!("web-{number}").parse().unwrap();
        }
        let forwards = serde_json::to_string(&drift(&targets, &BTreeMap::new(), now)).unwrap();
        targets.reverse();
        assert_eq!(serde_json::to_string(&drift(&targets, &BTreeMap::new(), now)).unwrap(), forwards);
        let first: serde_json::Value = serde_json::from_str::<serde_json::Value>(&forwards).unwrap()[0].clone();
        assert_eq!(first["kind"], "stale-code");
        assert_eq!(first["slot"], "template");
        assert_eq!(first["recorded"], "ami-aaaaaaaa@eu-west-1");
        assert_eq!(first["declared"], "ami-bbbbbbbb@eu-west-1");
        assert_eq!(first["observed"], "$Latest → ami-aaaaaaaa@eu-west-1");
    }
}
