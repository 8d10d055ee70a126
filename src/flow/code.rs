//! Code: what the states of each channel declare. One that cannot be read leaves its own channels without it, and takes nothing
//! else along.

use super::FlowError;
use super::apply::chain;
use super::limit::Limit;
use crate::iac::{self, Declared, Passphrase};
use crate::model::Channel;
use crate::plan::witnesses::Silence;
use crate::provider::state::StateSource;
use futures_util::stream::{self, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many states are fetched at the same time.
const SIDE_BY_SIDE: usize = 8;

/// A state, and whose code it is.
pub struct CodeSource {
    pub source: Box<dyn StateSource>,
    /// The channels whose targets it may speak of; `None`: all that are looked at, because a person has named it.
    pub channels: Option<BTreeSet<Channel>>,
    /// What the config says it is; `None`: whatever it is seen to be.
    pub kind: Option<String>,
}

impl CodeSource {
    fn is_of(&self, channel: &Channel) -> bool {
        self.channels.as_ref().is_none_or(|channels| channels.contains(channel))
    }
}

/// What the code of one channel says.
#[derive(Debug)]
pub(super) struct Said {
    /// In the order of the states.
    pub declared: Vec<Declared>,
    /// What it means that it does not speak of a target.
    pub silence: Silence,
    /// Why this is not all of it.
    pub unread: Option<String>,
}

impl Said {
    fn nothing(silence: Silence) -> Self {
        Self { declared: Vec::new(), silence, unread: None }
    }
}

/// Channel → what its code says.
#[derive(Debug, Default)]
pub(super) struct Code {
    said: BTreeMap<Channel, Arc<Said>>,
    /// The states that could not be read, each with why.
    pub unread: Vec<String>,
}

impl Code {
    pub(super) fn of(&self, channel: &Channel) -> Arc<Said> {
        self.said.get(channel).cloned().unwrap_or_else(|| Arc::new(Said::nothing(Silence::Natural)))
    }
}

/// Reads the states of these channels; the passphrase opens those that are encrypted.
///
/// # Errors
/// A state that a person has named cannot be read.
pub(super) async fn read(
    sources: &[CodeSource],
    passphrase: &Passphrase,
    channels: &BTreeSet<Channel>,
    limit: Limit<'_>,
) -> Result<Code, FlowError> {
    let reads: Vec<_> = sources.iter().map(|each| one(each, passphrase, limit)).collect();
    let read: Vec<Result<Vec<Declared>, String>> =
        stream::iter(reads).buffered(SIDE_BY_SIDE).collect::<Vec<_>>().await.into_iter().collect::<Result<_, _>>()?;
    let unread = read.iter().filter_map(|read| read.as_ref().err().cloned()).collect();
    // Hundreds of channels are of one state: what it says is kept once.
    let mut kept: BTreeMap<Vec<usize>, Arc<Said>> = BTreeMap::new();
    let mut said = BTreeMap::new();
    for channel in channels {
        let own: Vec<usize> =
            (0..).zip(sources).filter(|(_, source)| source.is_of(channel)).map(|(at, _)| at).collect();
        let silence = match own.iter().filter_map(|at| sources.get(*at)).collect::<Vec<_>>().as_slice() {
            [] => Silence::Natural,
            own if own.iter().any(|source| source.channels.is_some()) => Silence::Strange,
            _ => Silence::Told,
        };
        let together = || Arc::new(together(silence, own.iter().filter_map(|at| read.get(*at))));
        said.insert(channel.clone(), Arc::clone(kept.entry(own.clone()).or_insert_with(together)));
    }
    Ok(Code { said, unread })
}

/// What one state declares; `Err` in it: why a state of the config could not be read.
async fn one(
    source: &CodeSource,
    passphrase: &Passphrase,
    limit: Limit<'_>,
) -> Result<Result<Vec<Declared>, String>, FlowError> {
    let (name, kind) = (source.source.name(), source.kind.as_deref());
    let read = async { Ok::<_, FlowError>(iac::read(name, &source.source.fetch().await?, passphrase, kind)?) };
    match limit.within(read).await {
        None => Ok(Err(format!("{name}: {}", limit.why()))),
        Some(Err(error)) if source.channels.is_some() => Ok(Err(chain(&error))),
        Some(read) => Ok(Ok(read?)),
    }
}

fn together<'a>(silence: Silence, read: impl Iterator<Item = &'a Result<Vec<Declared>, String>>) -> Said {
    let mut said = Said::nothing(silence);
    for read in read {
        match read {
            Ok(declared) => said.declared.extend(declared.iter().cloned()),
            Err(why) => {
                said.unread = Some(said.unread.map_or_else(|| why.clone(), |before| format!("{before}; {why}")))
            }
        }
    }
    said
}
