//! The corridor every word walks down: load, plan, claim, apply, append. No printing, no concrete providers.

pub mod abort;
pub mod anchor;
mod apply;
mod audit;
mod changes;
mod code;
mod declared;
mod drift;
mod exact;
mod follow;
mod guard;
mod known;
mod limit;
mod load;
pub mod observe;
pub mod pointers;
mod preflight;
pub mod record;
mod resume;
mod rollouts;
mod run;
pub mod scan;
mod stats;
pub mod tag;
mod undone;

pub use abort::abort;
pub use audit::{Looked, News, record_audit};
pub use changes::{Changes, changes};
pub use code::CodeSource;
pub use drift::drift;
pub use exact::recorded_revisions;
pub use guard::{Guarded, guard, read_plans};
pub use load::load;
pub use pointers::{FollowEnd, Followed, Follower};
pub use resume::resume;
pub use run::{Ending, Intent, NOT_WAITED_FOR, Remains, StepEnd, StepReport, WAITS, plan, remains, run};
pub use stats::tally;

use crate::iac::{IacError, PlanError};
use crate::model::lookup::LookupError;
use crate::model::{Actor, Channel, Deployment, Seq, Step, TargetId, ViewError};
use crate::plan::{Plan, Rules};
use crate::provider::clock::Clock;
use crate::provider::source::ImageSource;
use crate::provider::state::FetchError;
use crate::provider::target::{Fleet, TargetError};
use crate::store::{LedgerStore, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use tokio_util::sync::CancellationToken;

/// What a channel is to the flows.
#[derive(Debug, Clone, Default)]
pub struct ChannelSpec {
    pub targets: BTreeSet<TargetId>,
    /// Leave what a failed rollout moved as it is, instead of bringing it back.
    pub stop_on_failure: bool,
    /// Targets that move after others: each with its wave. Those that are not named are of the first.
    pub waves: BTreeMap<TargetId, u32>,
    /// How many targets move at the same time; `None`: as is usual.
    pub parallel: Option<usize>,
    /// What its promotions must keep.
    pub rules: Rules,
}

impl ChannelSpec {
    fn wave(&self, target: &TargetId) -> u32 {
        self.waves.get(target).copied().unwrap_or(1)
    }
}

/// Everything a flow works with.
pub struct Ctx<'a> {
    pub store: &'a dyn LedgerStore,
    pub clock: &'a dyn Clock,
    pub actor: &'a Actor,
    pub channels: &'a BTreeMap<Channel, ChannelSpec>,
    pub fleet: &'a dyn Fleet,
    /// Answers whether an image can still be launched or pulled.
    pub images: &'a dyn ImageSource,
    /// What infrastructure code reads to follow the channels.
    pub pointers: &'a [Follower],
    /// Cancelled when the person wants imgctl to stop; the clouds go on.
    pub stop: CancellationToken,
    pub watch: &'a dyn Watch,
}

impl Ctx<'_> {
    /// A channel of the config, or the near one.
    pub fn channel(&self, channel: &Channel) -> Result<&ChannelSpec, FlowError> {
        self.channels.get(channel).ok_or_else(|| {
            let names: Vec<String> = self.channels.keys().map(Channel::to_string).collect();
            let near = crate::model::lookup::nearest(&channel.to_string(), &names);
            FlowError::NoChannel { channel: channel.clone(), near }
        })
    }
}

/// Is told how a rollout goes, while it goes.
pub trait Watch: Send + Sync {
    /// The rollout is in the ledger, and begins.
    fn began(&self, rollout: Seq, plan: &Plan);
    fn step(&self, step: &Step, news: StepNews<'_>);
    /// A sentence for the person: "AWS rolled back; bringing the others back".
    fn say(&self, text: &str);
}

/// What is new about one step.
#[derive(Debug, Clone, Copy)]
pub enum StepNews<'a> {
    Ordered,
    /// The platform's own deployment, as it was last seen.
    Moving(&'a Deployment),
    /// The deployment has ended; what really runs is being looked at.
    Verifying,
    /// An answer did not come; it is asked again.
    NoAnswer(&'a str),
    Succeeded,
    /// The same, where nothing runs now: a template by itself, a CronJob between two runs, a group of none.
    Configured,
    Failed(&'a str),
    /// Left as it is: interrupted, or not waited for.
    Left(&'a str),
}

/// Why a flow ended without doing what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    #[error("there is no channel {channel} in the config")]
    NoChannel { channel: Channel, near: Option<String> },
    #[error("{}", refusal(.0))]
    Blocked(Box<Plan>),
    #[error("things moved while the plan was shown; nothing was done")]
    Changed(Box<Plan>),
    #[error("the ledger kept moving; nothing was done")]
    Busy,
    #[error("there is no rollout {0}")]
    NoRollout(Seq),
    #[error("rollout {id} has ended: {outcome}")]
    Ended { id: Seq, outcome: String },
    #[error("no rollout is open")]
    NothingOpen,
    #[error("{} rollouts are open", .0.len())]
    SeveralOpen(Vec<(Seq, Channel)>),
    #[error(transparent)]
    Code(#[from] IacError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error("{target} could not be read")]
    Target {
        target: TargetId,
        #[source]
        source: TargetError,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn refusal(plan: &Plan) -> &'static str {
    if plan.is_unread() {
        "no plan could be made: not everything it depends on could be read"
    } else {
        "the plan must not run"
    }
}

impl From<ViewError> for FlowError {
    fn from(error: ViewError) -> Self {
        Self::Store(StoreError::View(error))
    }
}
