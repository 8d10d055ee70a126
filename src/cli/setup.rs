//! What a command works with, made from flags, environment and config; the cloud's part only when it is asked for.

pub mod actor;

use super::args::Global;
use super::config::{self, ChannelConfig, Config, OnFailure, PointerConfig, Surroundings};
use super::failure::Failure;
use super::render::progress::Progress;
use super::screen::Screen;
use crate::flow::{ChannelSpec, Ctx, FlowError, Follower, Watch};
use crate::model::{Actor, Channel, Lookup};
use crate::provider::aws::{Aws, AwsSettings};
use crate::provider::clock::{Clock, SystemClock};
use crate::provider::notice::{self, Notice};
use crate::provider::pointer;
use crate::provider::source::{Patience, RegistrySettings, RegistrySource, Sources};
use crate::provider::target::Fleet;
use crate::provider::target::spec;
use crate::store::{self, DiskStore, FactFile};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long to wait for another imgctl to let go of the ledger. It holds it for moments.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What every command has.
pub struct Setup {
    pub screen: Screen,
    pub config: Config,
    pub surroundings: Surroundings,
    clock: SystemClock,
}

/// What commands have that ask the cloud.
pub struct Cloud {
    pub store: DiskStore,
    pub actor: Actor,
    pub sources: Sources,
    pub pointers: Vec<Follower>,
    pub fleet: Box<dyn Fleet>,
    pub channels: BTreeMap<Channel, ChannelSpec>,
    pub stop: CancellationToken,
    clock: SystemClock,
}

impl Cloud {
    /// The same, as the flows take it.
    pub fn ctx<'a>(&'a self, watch: &'a dyn Watch) -> Ctx<'a> {
        Ctx {
            store: &self.store,
            clock: &self.clock,
            actor: &self.actor,
            channels: &self.channels,
            fleet: &*self.fleet,
            images: &self.sources,
            pointers: &self.pointers,
            stop: self.stop.clone(),
            watch,
        }
    }
}

/// The flags and the environment, taken once.
pub fn surroundings(global: &Global) -> Result<Surroundings, Failure> {
    let here = std::env::current_dir();
    let working_directory =
        here.map_err(|source| Failure::File { doing: "opening the directory", path: ".".into(), source })?;
    // A variable that is not text is none that we know.
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let variables = std::env::vars_os().filter_map(text).collect();
    Ok(Surroundings { config: global.config.clone(), ledger: global.ledger.clone(), working_directory, variables })
}

impl Setup {
    pub fn new(global: &Global, screen: &Screen) -> Result<Self, Failure> {
        let surroundings = surroundings(global)?;
        let config = config::load(&surroundings)?;
        Ok(Self { screen: screen.clone(), config, surroundings, clock: SystemClock })
    }

    /// For the command that writes the config: one further up is not the one here.
    pub fn to_begin(global: &Global, screen: &Screen) -> Result<Self, Failure> {
        let surroundings = surroundings(global)?;
        let here = surroundings.new_config();
        let config = config::load_from(here.is_file().then_some(&*here), &surroundings)?;
        Ok(Self { screen: screen.clone(), config, surroundings, clock: SystemClock })
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn clock(&self) -> &SystemClock {
        &self.clock
    }

    /// The ledger, with what its recovery had to say.
    pub fn store(&self) -> Result<DiskStore, Failure> {
        Ok(store::open(&self.config.ledger, PATIENCE)?)
    }

    /// What the ledger found and mended on the way; said when the work is done.
    pub fn tell_notices(&self, store: &DiskStore) {
        for notice in store.notices() {
            self.screen.warn(&notice);
        }
    }

    /// Who acts here, without asking the network.
    pub fn local_actor(&self) -> Actor {
        actor::local(&self.surroundings)
    }

    /// A channel of the config, or one that the ledger knows; else the near one.
    pub fn known_channel(&self, look: &Lookup<'_>, channel: &Channel) -> Result<(), Failure> {
        let mut known: Vec<Channel> = self.config.channels.keys().cloned().collect();
        known.extend(look.channels()?);
        if known.contains(channel) {
            return Ok(());
        }
        let names: Vec<String> = known.iter().map(Channel::to_string).collect();
        let near = crate::model::lookup::nearest(&channel.to_string(), &names);
        Err(FlowError::NoChannel { channel: channel.clone(), near }.into())
    }

    /// The config of a channel that must have one.
    pub fn channel(&self, channel: &Channel) -> Result<&ChannelConfig, Failure> {
        self.config.channels.get(channel).ok_or_else(|| {
            let names: Vec<String> = self.config.channels.keys().map(Channel::to_string).collect();
            let near = crate::model::lookup::nearest(&channel.to_string(), &names);
            FlowError::NoChannel { channel: channel.clone(), near }.into()
        })
    }

    /// Runs what waits for the cloud, on this thread: it is all waiting, and each thread more keeps memory of its own.
    pub fn wait<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| Failure::File {
            doing: "starting the threads of",
            path: "imgctl".into(),
            source,
        })?;
        let done = runtime.block_on(work);
        // What still reads a pipe or a dead mount is not waited for.
        runtime.shutdown_background();
        done
    }

    pub async fn aws(&self) -> Arc<Aws> {
        let aws = &self.config.aws;
        let aws = Aws::new(AwsSettings {
            region: aws.region.clone(),
            profile: aws.profile.clone(),
            cloudtrail: aws.cloudtrail,
        });
        let aws = aws.await;
        Arc::new(aws.remembering(Arc::new(FactFile::beside(&self.config.ledger))))
    }

    pub fn sources(&self, aws: &Arc<Aws>) -> Sources {
        let plain = self.config.registries.iter().filter(|(_, registry)| registry.plain_http);
        let plain_http = plain.map(|(host, _)| host.clone()).collect();
        let settings = RegistrySettings { plain_http, docker_config: None };
        // Made known, and not asked: an AMI that only a target's own account sees is read with its credentials.
        for target in self.config.channels.values().flat_map(|channel| &channel.targets) {
            let _shared = aws.under(&target.access);
        }
        Sources::new(Arc::clone(aws), Arc::new(RegistrySource::new(settings, Patience::default())))
    }

    /// Everything a rollout takes. `sign`: something will be written, so say who does it.
    pub async fn cloud(&self, sign: bool) -> Result<Cloud, Failure> {
        let store = self.store()?;
        let aws = self.aws().await;
        let specs = self.config.channels.values().flat_map(|channel| channel.targets.iter().cloned());
        let fleet = spec::fleet(specs, &aws).map_err(|unplaced| {
            let what = format!("{unplaced} has no region, and none is configured");
            Failure::refused(what, "set region in [aws], or AWS_REGION")
        })?;
        let actor = if sign { actor::signed(&self.surroundings, &aws).await } else { self.local_actor() };
        Ok(Cloud {
            store,
            actor,
            sources: self.sources(&aws),
            pointers: self.pointers(&aws),
            fleet,
            channels: self.config.channels.iter().map(|(channel, config)| (channel.clone(), spec_of(config))).collect(),
            stop: stop_on_signal(&self.screen),
            clock: SystemClock,
        })
    }

    /// Every channel's pointers, ready to be asked.
    fn pointers(&self, aws: &Arc<Aws>) -> Vec<Follower> {
        let each = self
            .config
            .channels
            .iter()
            .flat_map(|(channel, config)| config.pointers.iter().map(move |pointer| (channel.clone(), pointer)));
        let ready = |(channel, pointer): (Channel, &PointerConfig)| Follower {
            channel,
            id: pointer.spec.id.clone(),
            wants: pointer.wants.clone(),
            pointer: pointer::open(&pointer.spec, pointer.wants.region.as_ref(), aws),
        };
        each.map(ready).collect()
    }

    /// Everybody who is told, ready to be; a variable that is not set is found before anything is done.
    pub fn notices(&self) -> Result<Vec<Box<dyn Notice>>, Failure> {
        let variable = |name: &str| self.surroundings.variable(name).map(str::to_owned);
        let all = self.config.notices.iter().map(|spec| notice::open(spec, &variable));
        Ok(all.collect::<Result<_, _>>()?)
    }

    pub fn progress(&self) -> Progress {
        Progress::new(&self.screen)
    }
}

fn spec_of(config: &ChannelConfig) -> ChannelSpec {
    ChannelSpec {
        targets: config.targets.iter().map(|target| target.id.clone()).collect(),
        stop_on_failure: config.on_failure == OnFailure::Stop,
        waves: config.targets.iter().map(|target| (target.id.clone(), target.wave)).collect(),
        parallel: config.parallel,
        rules: config.rules.clone(),
    }
}

/// The first Ctrl-C (or SIGTERM) stops at the next safe place; the second one at once.
fn stop_on_signal(screen: &Screen) -> CancellationToken {
    let stop = CancellationToken::new();
    let (told, screen) = (stop.clone(), screen.clone());
    tokio::spawn(async move {
        signal().await;
        screen
            .complain("stopping at the next safe place; what the cloud has begun goes on (once more to stop at once)");
        told.cancel();
        signal().await;
        std::process::exit(130);
    });
    stop
}

async fn signal() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
