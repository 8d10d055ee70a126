//! Several kinds of target side by side: each is asked for its own, all at once.

use super::{Depth, Fleet, Target, TargetError};
use crate::model::{Observed, TargetId};
use std::collections::{BTreeMap, BTreeSet};

/// One fleet of each kind. An id belongs to the fleet that knows it; ids are unique in the whole config.
pub(super) struct Fleets(pub(super) Vec<Box<dyn Fleet>>);

#[async_trait::async_trait]
impl Fleet for Fleets {
    fn target(&self, id: &TargetId) -> Option<&dyn Target> {
        self.0.iter().find_map(|fleet| fleet.target(id))
    }

    fn places(&self, ids: &BTreeSet<TargetId>) -> Vec<BTreeSet<TargetId>> {
        self.0.iter().flat_map(|fleet| fleet.places(ids)).collect()
    }

    async fn survey(
        &self,
        ids: &BTreeSet<TargetId>,
        depth: Depth,
    ) -> BTreeMap<TargetId, Result<Observed, TargetError>> {
        let own = |fleet: &dyn Fleet| -> BTreeSet<TargetId> {
            ids.iter().filter(|id| fleet.target(id).is_some()).cloned().collect()
        };
        let asked = self.0.iter().map(|fleet| (fleet, own(&**fleet)));
        let asked: Vec<_> = asked.filter(|(_, own)| !own.is_empty()).collect();
        let reads = asked.iter().map(|(fleet, own)| fleet.survey(own, depth));
        futures_util::future::join_all(reads).await.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Deployed, Handle, Observe, Order, Pace};
    use super::*;
    use crate::model::{Attribution, Deployment, Revision, SlotName};
    use std::sync::{Arc, Mutex};

    /// Knows some names, notes what it is asked for, and reaches nothing.
    struct Kind {
        targets: BTreeMap<TargetId, Named>,
        asked: Arc<Mutex<Vec<String>>>,
    }

    struct Named(TargetId);

    fn gone() -> TargetError {
        TargetError::Gone { what: "such a thing".to_owned(), keys: None }
    }

    #[async_trait::async_trait]
    impl Observe for Named {
        fn id(&self) -> &TargetId {
            &self.0
        }

        async fn observe(&self) -> Result<Observed, TargetError> {
            Err(gone())
        }

        fn handle(&self, _: Option<&Observed>) -> Option<Handle> {
            None
        }

        async fn image_at(&self, _: &str, _: &str) -> Result<Option<String>, TargetError> {
            Err(gone())
        }

        async fn author(&self, _: &Observed, _: Option<&SlotName>) -> Result<Option<Attribution>, TargetError> {
            Err(gone())
        }
    }

    #[async_trait::async_trait]
    impl Target for Named {
        async fn deploy(&self, _: &Order<'_>) -> Result<Deployed, TargetError> {
            Err(gone())
        }

        async fn follow(&self, _: &str) -> Result<Deployment, TargetError> {
            Err(gone())
        }

        async fn cancel(&self, _: &str) -> Result<(), TargetError> {
            Err(gone())
        }

        fn pace(&self) -> Pace {
            Pace { poll: std::time::Duration::ZERO, limit: std::time::Duration::ZERO }
        }

        async fn differences(&self, _: &Revision, _: &Revision) -> Result<Vec<String>, TargetError> {
            Err(gone())
        }
    }

    #[async_trait::async_trait]
    impl Fleet for Kind {
        fn target(&self, id: &TargetId) -> Option<&dyn Target> {
            self.targets.get(id).map(|target| target as &dyn Target)
        }

        fn places(&self, ids: &BTreeSet<TargetId>) -> Vec<BTreeSet<TargetId>> {
            vec![ids.iter().filter(|id| self.targets.contains_key(*id)).cloned().collect()]
        }

        async fn survey(
            &self,
            ids: &BTreeSet<TargetId>,
            _: Depth,
        ) -> BTreeMap<TargetId, Result<Observed, TargetError>> {
            let words: Vec<&str> = ids.iter().map(TargetId::as_str).collect();
            self.asked.lock().unwrap().push(words.join(" "));
            ids.iter().map(|id| (id.clone(), Err(gone()))).collect()
        }
    }

    fn id(word: &str) -> TargetId {
        word.parse().unwrap()
    }

    #[tokio::test]
    async fn each_kind_is_asked_for_its_own_and_one_without_any_is_not_asked() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kind = |words: &[&str]| {
            let targets = words.iter().map(|word| (id(word), Named(id(word)))).collect();
            Box::new(Kind { targets, asked: Arc::clone(&asked) }) as Box<dyn Fleet>
        };
        let fleets = Fleets(vec![kind(&["a", "b"]), kind(&["c"]), kind(&["d"])]);
        let seen = fleets.survey(&[id("a"), id("d"), id("stranger")].into(), Depth::Running).await;
        assert_eq!(seen.keys().map(TargetId::as_str).collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!(*asked.lock().unwrap(), ["a", "d"]);
        assert_eq!(fleets.target(&id("c")).map(|target| target.id().clone()), Some(id("c")));
        assert!(fleets.target(&id("stranger")).is_none());
    }
}
