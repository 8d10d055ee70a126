//! Foresight: what the targets of a plan say about it before anything moves, made into blockers and notes.

use super::slots::unfit;
use super::{Blocker, BlockerKind, Fitness, Plan};
use crate::model::{ImageRef, Outlook, Step, TargetId};
use std::collections::BTreeMap;

/// What came of asking a target about its step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foresight {
    Told(Outlook),
    /// No answer: unknown, and never taken for good.
    Silent {
        why: String,
        /// What makes it answer, as a person would do it.
        fix: String,
    },
}

impl Plan {
    /// What targets are asked about: every step that moves something, those that are blocked already among them.
    pub fn questions(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| !self.settled.contains(&step.target)).chain(&self.barred)
    }

    /// The same plan, with what was found out about the images that it moves to.
    pub fn with_fitness(mut self, fitness: BTreeMap<ImageRef, Fitness>) -> Self {
        let Some(image) = self.image.clone() else { return self };
        let blockers = fitness.iter().filter_map(|(address, fitness)| unfit(&image, address, fitness));
        self.blockers.extend(blockers);
        self.sorted()
    }

    /// The same plan, with what its targets foresee. What could not be found out is said, and stands in nobody's way.
    pub fn foreseen(mut self, answers: BTreeMap<TargetId, Foresight>) -> Self {
        for (target, answer) in answers {
            match answer {
                Foresight::Told(outlook) => {
                    let obstacles = outlook.obstacles.into_iter();
                    self.blockers.extend(
                        obstacles.map(|each| Blocker::new(BlockerKind::Obstacle, &target, each.what, each.fix)),
                    );
                    self.notes.extend(outlook.unknown.into_iter().map(|unknown| format!("{target}: {unknown}")));
                }
                Foresight::Silent { why, fix } => {
                    let what = format!("could not be asked whether this would work: {why}");
                    self.blockers.push(Blocker::new(BlockerKind::Unknown, &target, what, fix));
                }
            }
        }
        self.sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::super::promote;
    use super::super::world::{World, check};
    use super::*;
    use crate::model::Obstacle;

    fn plan(new: &str) -> Plan {
        let world = format!("web@1 = ami-1; web@2 = {new}; current web@1; target a: ami-1; target b: ami-1");
        let world = format!("{world}; target c: ami-2 recorded web@2");
        promote(&World::parse(&world).snapshot(), &"web@2".parse().unwrap())
    }

    fn told(what: &str) -> Foresight {
        let obstacles = vec![Obstacle { what: what.to_owned(), fix: String::new() }];
        Foresight::Told(Outlook { obstacles, unknown: Vec::new() })
    }

    #[test]
    fn targets_that_are_blocked_already_are_asked_too_and_settled_ones_are_not() {
        let asked = |plan: Plan| plan.questions().map(|step| step.target.to_string()).collect::<Vec<_>>();
        assert_eq!(asked(plan("ami-2")), ["a", "b"]);
        assert_eq!(asked(plan("ami-2 unfit")), ["a", "b", "c"]);
    }

    #[test]
    fn all_that_all_targets_foresee_is_shown_at_once_and_sorted() {
        let silent = Foresight::Silent { why: "no answer".into(), fix: "ask again".into() };
        let answers = [("b".parse().unwrap(), silent), ("a".parse().unwrap(), told("has no room"))];
        check(
            &plan("ami-2 unfit").foreseen(answers.into()),
            "! a obstacle: has no room
             ! b unknown: could not be asked whether this would work: no answer
             ! web@2 unfit: ami-00000002: it was deregistered",
        );
    }

    #[test]
    fn an_image_that_lacks_a_layer_moves_nothing_and_is_named_once() {
        let why = "the registry lacks blob sha256:1".to_owned();
        let address: ImageRef = "ami-00000002@eu-west-1".parse().unwrap();
        let plan = plan("ami-2").with_fitness([(address.clone(), Fitness::Unfit { why: why.clone() })].into());
        let said = plan.blockers.iter().map(|blocker| blocker.what.clone()).collect::<Vec<_>>();
        assert_eq!(said, ["ami-00000002: the registry lacks blob sha256:1"]);
        assert_eq!(plan.with_fitness([(address, Fitness::Unfit { why })].into()).blockers.len(), 1);
    }

    #[test]
    fn what_could_not_be_found_out_is_a_note_and_no_blocker() {
        let told = Foresight::Told(Outlook { obstacles: Vec::new(), unknown: vec!["the key was not read".into()] });
        let plan = plan("ami-2").foreseen([("a".parse().unwrap(), told)].into());
        assert_eq!(plan.notes, ["a: the key was not read"]);
        assert!(plan.blockers.is_empty(), "{:?}", plan.blockers);
    }
}
