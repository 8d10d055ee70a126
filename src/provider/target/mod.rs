//! Where images run: each kind of target observes and deploys; which image should run is decided elsewhere.

use crate::model::{
    Attribution, Deployment, Image, ImageKey, Observed, Outlook, Region, Revision, Seq, SlotName, Step, TargetId,
};
use crate::provider::aws::AwsError;
use kubernetes::KubeError;
use kubernetes_settings::KubernetesSettings;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

mod architecture;
pub mod asg;
pub mod asg_settings;
pub mod ecs;
pub mod ecs_settings;
mod fleets;
pub mod kubernetes;
pub mod kubernetes_settings;
pub mod launch_template;
mod launchable;
mod parameter;
mod reference;
pub mod spec;
mod template;
mod template_facts;

/// Why a target could not be observed or moved.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TargetError {
    /// The platform says there is no such thing. `keys`: what names it in the config; none where it is a part of a target
    /// that the config does not name.
    #[error("there is no {what}")]
    Gone { what: String, keys: Option<&'static str> },
    /// It is there, and what it starts from is not: what runs goes on, and nothing new can start.
    #[error("{what}")]
    Dangling { what: String, hint: String },
    /// Somebody moved it after the plan was made: nothing was done.
    #[error("{target} is at {found}, and the plan was made when it was at {expected}")]
    Moved { target: TargetId, expected: Revision, found: Revision },
    /// It cannot be done as things are.
    #[error("{what}")]
    Refused { what: String, hint: String },
    /// The platform did not answer, or not as hoped.
    #[error(transparent)]
    Aws(#[from] Arc<AwsError>),
    /// A cluster did not answer, or not as hoped.
    #[error(transparent)]
    Kubernetes(#[from] Arc<KubeError>),
}

impl TargetError {
    /// What to do next, as a person would type it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Aws(error) => Some(error.hint()),
            Self::Kubernetes(error) => Some(error.hint()),
            Self::Refused { hint, .. } | Self::Dangling { hint, .. } => {
                Some(hint.clone()).filter(|hint| !hint.is_empty())
            }
            Self::Gone { keys, .. } => {
                let keys = (*keys)?;
                Some(format!("mend its {keys} in imgctl.toml, or take the target out of the channel"))
            }
            Self::Moved { .. } => Some("imgctl drift shows what moved it".to_owned()),
        }
    }

    /// Whether the platform may have done it all the same: no answer is not a no.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Aws(error) => error.is_silence(),
            Self::Kubernetes(error) => error.is_silence(),
            Self::Gone { .. } | Self::Dangling { .. } | Self::Moved { .. } | Self::Refused { .. } => false,
        }
    }
}

impl From<AwsError> for TargetError {
    fn from(error: AwsError) -> Self {
        Self::Aws(Arc::new(error))
    }
}

impl From<KubeError> for TargetError {
    fn from(error: KubeError) -> Self {
        Self::Kubernetes(Arc::new(error))
    }
}

/// The read half: `status` and `drift` hold only this, and cannot deploy.
#[async_trait::async_trait]
pub trait Observe: Send + Sync {
    fn id(&self) -> &TargetId;

    /// What the target is configured with, runs, and is in the middle of.
    async fn observe(&self) -> Result<Observed, TargetError>;

    /// What infrastructure code calls this target, as far as the config and, where there is something, what was observed
    /// tell.
    fn handle(&self, observed: Option<&Observed>) -> Option<Handle>;

    /// The image that a version of a template holds, as it stands there; for code that names a version and no image.
    async fn image_at(&self, template: &str, version: &str) -> Result<Option<String>, TargetError>;

    /// Who made this slot (the whole target, where none is named) what it is now, by the platform's own records; `None`:
    /// they do not tell.
    async fn author(&self, observed: &Observed, slot: Option<&SlotName>) -> Result<Option<Attribution>, TargetError>;

    /// What was made for it that is newer than what it stands at, as far as that is known without asking.
    fn overtaken(&self, _: &Observed) -> Option<Revision> {
        None
    }

    /// The platform's newest deployment, where a look at many targets leaves it out because it costs a call for each.
    async fn newest_deployment(&self) -> Result<Option<Deployment>, TargetError> {
        Ok(None)
    }

    /// Who pointed this slot to what it is now, by the log of calls (CloudTrail); `None`: there is none, or it does not
    /// tell.
    async fn mover(&self, _: &Observed, _: Option<&SlotName>) -> Result<Option<Attribution>, TargetError> {
        Ok(None)
    }
}

/// What infrastructure code calls a target: enough to find its declaration there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handle {
    /// The group's name, its region, and the launch-template id of each slot, where they are known.
    AutoScalingGroup { name: String, region: Region, templates: BTreeMap<SlotName, String> },
    /// The service's name, its cluster's name, its region, the container that is meant, and its task definition's
    /// family; empty where that is not known.
    EcsService { cluster: String, service: String, region: Region, container: SlotName, family: String },
    /// The template's id, its region, and the one slot that it has.
    LaunchTemplate { id: String, region: Region, slot: SlotName },
    /// The workload's kind in the API's words, its namespace, its name, and the containers that are meant.
    Workload { kind: &'static str, namespace: String, name: String, containers: BTreeSet<SlotName> },
}

/// One place that runs an image.
#[async_trait::async_trait]
pub trait Target: Observe {
    /// Everything that can be known now to make this step fail: permissions, keys, architectures, what the platform's
    /// own dry runs say. Reads only. `step.slots` may lack slots that are known to have no artifact.
    async fn check(&self, image: &Image, step: &Step) -> Result<Outlook, TargetError> {
        let _nothing_is_foreseen = (image, step);
        Ok(Outlook::default())
    }

    /// Carries out one step: refused as `Moved` unless the target is still at `step.expect`. Called again with the
    /// same token it finds what it did before, and does no second time.
    async fn deploy(&self, order: &Order<'_>) -> Result<Deployed, TargetError>;

    /// How far a deployment that `deploy` began has come. One call to the platform.
    async fn follow(&self, deployment: &str) -> Result<Deployment, TargetError>;

    /// Stops the platform's own deployment and waits until it has stopped. What was replaced stays replaced, where the
    /// platform knows how to stop half way; ECS only knows how to go back.
    async fn cancel(&self, deployment: &str) -> Result<(), TargetError>;

    /// How often `follow` is asked, and how long a step may take.
    fn pace(&self) -> Pace;

    /// What would change besides the image on the way from one revision to another, a line each.
    async fn differences(&self, from: &Revision, to: &Revision) -> Result<Vec<String>, TargetError>;
}

/// What a call was about: names, and how many more there are where they would fill the screen.
fn listed(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// All targets of one kind, so that many can be observed in few calls.
#[async_trait::async_trait]
pub trait Fleet: Send + Sync {
    fn target(&self, id: &TargetId) -> Option<&dyn Target>;

    /// Observes these targets in batches. Every id asked for that this fleet knows is in the answer.
    async fn survey(&self, ids: &BTreeSet<TargetId>, depth: Depth)
    -> BTreeMap<TargetId, Result<Observed, TargetError>>;

    /// These targets by who has to answer for them: a region of an account, a cluster. Each id that this fleet knows is in
    /// one of the sets.
    fn places(&self, ids: &BTreeSet<TargetId>) -> Vec<BTreeSet<TargetId>>;
}

/// Sets of those ids that have a place, one of each place.
fn by_place<P: Ord>(ids: &BTreeSet<TargetId>, place: impl Fn(&TargetId) -> Option<P>) -> Vec<BTreeSet<TargetId>> {
    let mut places: BTreeMap<P, BTreeSet<TargetId>> = BTreeMap::new();
    for id in ids {
        if let Some(place) = place(id) {
            places.entry(place).or_default().insert(id.clone());
        }
    }
    places.into_values().collect()
}

/// How many targets of one place are looked at at a time, where there are more: what is read of each is many times what is
/// said of it.
pub const AT_A_TIME: usize = 1000;

/// How much a survey reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What is configured and what runs: batched, a few calls for hundreds of targets.
    Running,
    /// Also what only one call per target tells: deployments under way, what each slot accepts.
    Deploying,
}

/// How a target's deployments are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Time between two questions.
    pub poll: Duration,
    /// A step that has not settled after this long has failed.
    pub limit: Duration,
}

/// Names one deployment for ever, so that a retry finds what it did before.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// Unique to the ledger, the rollout and the step: what a platform takes as an idempotency token. At most 64 characters.
    pub token: String,
    pub rollout: Seq,
    pub image: &'a ImageKey,
    pub step: &'a Step,
    /// It may have been ordered before, by a process that died.
    pub again: bool,
}

/// What a platform answered to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The revision the target is on its way to.
    pub revision: Revision,
    /// The platform's id of the deployment, where it has one.
    pub deployment: Option<String>,
}
