//! Where images run: each kind of target observes and deploys; which image should run is decided elsewhere.

use crate::model::{ImageKey, Observed, Revision, Seq, Step, TargetId};

/// The read half: `status` and `drift` hold only this, and cannot deploy.
#[async_trait::async_trait]
pub trait Observe: Send + Sync {
    fn id(&self) -> &TargetId;

    /// What the target is configured with, runs, and is in the middle of.
    async fn observe(&self) -> Result<Observed, TargetError>;
}

/// Names one deployment for ever, so that a retry finds what it did before.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// Unique to the ledger, the rollout and the step: what a platform takes as an idempotency token.
    pub token: String,
    pub rollout: Seq,
    pub image: &'a ImageKey,
    pub step: &'a Step,
}

/// What a platform answered to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The revision the target is on its way to.
    pub revision: Revision,
    /// The platform's id of the deployment, where it has one.
    pub deployment: Option<String>,
}
