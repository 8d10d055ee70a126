//! AWS: one set of clients per region and identity, made once and shared, and one reading of every way a call can fail.

mod access;
mod failure;
mod kept;
mod trail;
mod turns;

pub use access::{Access, Role, RoleArn};
pub use failure::{AwsError, Call, classify};
pub(in crate::provider) use kept::{Place, account_of};
pub(in crate::provider) use trail::{names, sets};

use crate::model::{Facts, NoFacts, Region};
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use turns::{Listener, Turns};

const CONNECT: Duration = Duration::from_secs(3);
const ATTEMPT: Duration = Duration::from_secs(30);
/// The whole call, with its retries and their waiting.
const OPERATION: Duration = Duration::from_secs(120);
const ATTEMPTS: u32 = 5;
const LONGEST_BACKOFF: Duration = Duration::from_secs(8);

/// What the config says about AWS. The rest is the SDK's own chain: environment, profile files, SSO, web identity,
/// container and instance roles; `AWS_ENDPOINT_URL` and its like are honoured.
#[derive(Debug, Clone, Default)]
pub struct AwsSettings {
    /// Where images and targets are that name no region themselves.
    pub region: Option<Region>,
    pub profile: Option<String>,
    /// Whether CloudTrail is asked who changed what.
    pub cloudtrail: bool,
}

/// Who the credentials belong to (STS GetCallerIdentity).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Twelve digits.
    pub account: String,
    pub arn: String,
}

/// A service that is asked about whole fleets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    AutoScaling,
    Ec2,
    Ecs,
}

impl Service {
    /// The SDK's own name for it.
    fn id(self) -> &'static str {
        match self {
            Self::AutoScaling => "Auto Scaling",
            Self::Ec2 => "EC2",
            Self::Ecs => "ECS",
        }
    }
}

/// The clients of one region.
#[derive(Debug, Clone)]
struct Clients {
    ec2: aws_sdk_ec2::Client,
    autoscaling: aws_sdk_autoscaling::Client,
    ecs: aws_sdk_ecs::Client,
    ecr: aws_sdk_ecr::Client,
    /// Shared by all calls of this process to a service: how many at the same time.
    turns: BTreeMap<Service, Arc<Turns>>,
}

/// One account's AWS, as the credentials at hand see it. Cheap to make: nothing is sent before the first call.
#[derive(Debug)]
pub struct Aws {
    config: SdkConfig,
    region: Option<Region>,
    /// With which credentials, where they are not those of the chain.
    access: Access,
    clients: Mutex<BTreeMap<Region, Clients>>,
    identity: OnceCell<Identity>,
    others: Mutex<BTreeMap<Access, Arc<Aws>>>,
    facts: Arc<dyn Facts>,
    trail: bool,
    trails: Mutex<BTreeMap<(Region, &'static str), trail::Read>>,
}

impl Aws {
    /// Reads the environment and the profile files; sends nothing.
    pub async fn new(settings: AwsSettings) -> Self {
        let region = match settings.region {
            Some(region) => Some(region),
            None => found_region(settings.profile.as_deref()).await,
        };
        let named = region.as_ref().map(|region| aws_config::Region::new(region.as_str().to_owned()));
        // A region is always given, so that the SDK does not ask the instance's metadata service and wait for its silence.
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(named.unwrap_or_else(|| aws_config::Region::new("us-east-1")))
            .retry_config(retries())
            .timeout_config(timeouts());
        if let Some(profile) = settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Ok(name) = AppName::new(concat!("imgctl-", env!("CARGO_PKG_VERSION"))) {
            loader = loader.app_name(name);
        }
        Self { region, trail: settings.cloudtrail, ..Self::from_config(loader.load().await) }
    }

    /// With a config made elsewhere; its region is the one to use where none is named.
    pub fn from_config(config: SdkConfig) -> Self {
        let region = config.region().and_then(|region| region.as_ref().parse().ok());
        let access = Access::default();
        Self {
            config,
            region,
            access,
            clients: Mutex::default(),
            identity: OnceCell::new(),
            others: Mutex::default(),
            facts: Arc::new(NoFacts),
            trail: false,
            trails: Mutex::default(),
        }
    }

    /// AWS with other credentials: made once for each, and nothing is sent before the first call.
    pub fn under(self: &Arc<Self>, access: &Access) -> Arc<Self> {
        if access.is_default() {
            return Arc::clone(self);
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let other = others.entry(access.clone()).or_insert_with(|| {
            let other = Self::from_config(access::config(&self.config, access));
            let facts = Arc::clone(&self.facts);
            let (region, access) = (self.region.clone(), access.clone());
            Arc::new(Self { region, access, facts, trail: self.trail, ..other })
        });
        Arc::clone(other)
    }

    /// Those that were made from these: one for each further account (or profile) of the config.
    pub fn others(&self) -> Vec<Arc<Self>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether these are the credentials that everything else is asked with.
    pub fn is_default(&self) -> bool {
        self.access.is_default()
    }

    /// A region as errors name it: with the role or profile, where there is one.
    pub fn place(&self, region: &Region) -> String {
        if self.access.is_default() { region.to_string() } else { format!("{region} {}", self.access) }
    }

    /// The region to use where none is named: of the settings, the environment or the profile.
    pub fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }

    pub fn ec2(&self, region: &Region) -> aws_sdk_ec2::Client {
        self.clients(region).ec2
    }

    pub fn autoscaling(&self, region: &Region) -> aws_sdk_autoscaling::Client {
        self.clients(region).autoscaling
    }

    pub fn ecr(&self, region: &Region) -> aws_sdk_ecr::Client {
        self.clients(region).ecr
    }

    pub fn ecs(&self, region: &Region) -> aws_sdk_ecs::Client {
        self.clients(region).ecs
    }

    pub fn ssm(&self, region: &Region) -> aws_sdk_ssm::Client {
        aws_sdk_ssm::Client::new(&self.config_in(region))
    }

    pub fn cloudformation(&self, region: &Region) -> aws_sdk_cloudformation::Client {
        aws_sdk_cloudformation::Client::new(&self.config_in(region))
    }

    pub fn cloudtrail(&self, region: &Region) -> aws_sdk_cloudtrail::Client {
        aws_sdk_cloudtrail::Client::new(&self.config_in(region))
    }

    /// An endpoint of one's own (an emulator, MinIO) answers to one name: buckets stand in the path there.
    pub fn s3(&self, region: &Region) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config_in(region));
        let config = config.force_path_style(self.config.endpoint_url().is_some());
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// Who we are: asked once (STS GetCallerIdentity needs no permission).
    pub async fn identity(&self) -> Result<&Identity, AwsError> {
        self.identity.get_or_try_init(|| self.ask_identity()).await
    }

    async fn ask_identity(&self) -> Result<Identity, AwsError> {
        let answer = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send().await;
        let answer = answer.map_err(|error| classify("sts:GetCallerIdentity", "these credentials", error))?;
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        Ok(Identity { account: text(answer.account()), arn: text(answer.arn()) })
    }

    fn clients(&self, region: &Region) -> Clients {
        self.lock().entry(region.clone()).or_insert_with(|| self.connect(region)).clone()
    }

    fn config_in(&self, region: &Region) -> SdkConfig {
        let region = aws_config::Region::new(region.as_str().to_owned());
        self.config.to_builder().region(region).build()
    }

    fn turns(&self, service: Service, region: &Region) -> Arc<Turns> {
        self.clients(region).turns.remove(&service).unwrap_or_default()
    }

    fn connect(&self, region: &Region) -> Clients {
        use aws_sdk_autoscaling::config::Builder as AutoScaling;
        use aws_sdk_ec2::config::Builder as Ec2;
        use aws_sdk_ecs::config::Builder as Ecs;
        let config = self.config_in(region);
        let (ec2, autoscaling, ecs) = (Arc::default(), Arc::default(), Arc::default());
        let to = |turns: &Arc<Turns>| Listener(Arc::clone(turns));
        let quota = |service: Service| turns::quota(format!("{} {}", service.id(), self.place(region)));
        let own = AutoScaling::from(&config).interceptor(to(&autoscaling)).retry_partition(quota(Service::AutoScaling));
        let ec2_own = Ec2::from(&config).interceptor(to(&ec2)).retry_partition(quota(Service::Ec2));
        let ecs_own = Ecs::from(&config).interceptor(to(&ecs)).retry_partition(quota(Service::Ecs));
        Clients {
            ec2: aws_sdk_ec2::Client::from_conf(ec2_own.build()),
            autoscaling: aws_sdk_autoscaling::Client::from_conf(own.build()),
            ecs: aws_sdk_ecs::Client::from_conf(ecs_own.build()),
            ecr: aws_sdk_ecr::Client::new(&config),
            turns: [(Service::Ec2, ec2), (Service::AutoScaling, autoscaling), (Service::Ecs, ecs)].into(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Region, Clients>> {
        // A client that was put there before a panic is as good as any.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn found_region(profile: Option<&str>) -> Option<Region> {
    let mut file = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        file = file.profile_name(profile);
    }
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new()).or_else(file.build());
    chain.region().await.and_then(|region| region.as_ref().parse().ok())
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(LONGEST_BACKOFF)
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build()
}
