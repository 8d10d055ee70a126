//! Pointers: when a channel has moved, what infrastructure code reads moves with it, and is read back.
//!
//! A channel's targets move first, then the channel in the ledger, then its pointers: a rollout that fails leaves them
//! where they are. What could not be written is an entry, and pending until it is: `resume` and `pointer sync` write it.

use super::{Ctx, FlowError};
use crate::model::{Channel, Event, Image, ImageKey, Lookup, PointerRecord};
use crate::plan::pointer::{Wants, value};
use crate::provider::pointer::{Pointer, PointerError};

/// One pointer of a channel; `Err`: it could not even be made ready.
pub struct Follower {
    pub channel: Channel,
    /// Its name in the config.
    pub id: String,
    pub wants: Wants,
    pub pointer: Result<Box<dyn Pointer>, PointerError>,
}

impl Follower {
    /// As a person would name it; the id alone where it could not be made ready.
    pub fn place(&self) -> String {
        self.pointer.as_ref().map_or_else(|_| self.id.clone(), |pointer| pointer.place())
    }

    /// The address that it should have, and the text that stands for that there; the error says what there is to choose
    /// from.
    fn wanted(&self, image: &Image) -> Result<(String, String), String> {
        let address = value(image, &self.wants)?;
        let text = self.pointer.as_ref().map_or_else(|_| address.clone(), |pointer| pointer.text(&address));
        Ok((address, text))
    }

    async fn read(&self) -> Result<Option<String>, PointerError> {
        self.pointer.as_ref().map_err(Clone::clone)?.read().await
    }

    async fn write(&self, address: &str) -> Result<(), PointerError> {
        self.pointer.as_ref().map_err(Clone::clone)?.write(address).await
    }
}

/// What came of one pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    pub channel: Channel,
    pub id: String,
    pub place: String,
    pub image: ImageKey,
    pub end: FollowEnd,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowEnd {
    /// It was there already.
    Stood,
    Written {
        value: String,
    },
    /// It is pending.
    Failed {
        why: String,
        fix: Option<String>,
    },
}

impl Followed {
    pub fn is_pending(&self) -> bool {
        matches!(self.end, FollowEnd::Failed { .. })
    }
}

/// One pointer beside what it should hold. Nothing is written.
#[derive(Debug)]
pub struct Stand {
    pub channel: Channel,
    pub id: String,
    pub place: String,
    /// The channel's image; `None`: nothing was released.
    pub image: Option<ImageKey>,
    /// What it should hold; `None`: nothing was released.
    pub wanted: Result<Option<String>, String>,
    pub now: Result<Option<String>, PointerError>,
    /// What it was last told.
    pub recorded: Option<PointerRecord>,
}

impl Stand {
    /// Whether it holds what it should. `None`: that cannot be said.
    pub fn agrees(&self) -> Option<bool> {
        match (&self.wanted, &self.now) {
            (Ok(None), _) => Some(true),
            (Ok(wanted), Ok(now)) => Some(wanted == now),
            (Err(_), _) | (_, Err(_)) => None,
        }
    }
}

/// The channel's image now.
fn released(ctx: &Ctx<'_>, channel: &Channel) -> Result<Option<Image>, FlowError> {
    let view = ctx.store.view()?;
    let look = Lookup(&*view);
    let Some(key) = look.channel(channel)?.current.map(|release| release.image) else { return Ok(None) };
    Ok(look.image(&key)?.map(|record| record.image))
}

fn recorded(ctx: &Ctx<'_>, follower: &Follower) -> Result<Option<PointerRecord>, FlowError> {
    let view = ctx.store.view()?;
    Ok(Lookup(&*view).pointer(&follower.channel, &follower.id)?)
}

/// Puts every pointer of a channel to what the channel is at, one after the other; what is new is an entry.
pub async fn follow(ctx: &Ctx<'_>, channel: &Channel) -> Result<Vec<Followed>, FlowError> {
    let mut all = Vec::new();
    let Some(image) = released(ctx, channel)? else { return Ok(all) };
    for follower in ctx.pointers.iter().filter(|follower| follower.channel == *channel) {
        let end = match follower.wanted(&image) {
            Ok((address, text)) => put(follower, &address, text).await,
            Err(why) => FollowEnd::Failed { why, fix: None },
        };
        note(ctx, follower, &image, &end)?;
        let (channel, id, place) = (channel.clone(), follower.id.clone(), follower.place());
        all.push(Followed { channel, id, place, image: image.key.clone(), end });
    }
    Ok(all)
}

async fn put(follower: &Follower, address: &str, text: String) -> FollowEnd {
    let failed = |error: PointerError| FollowEnd::Failed { why: error.to_string(), fix: error.hint() };
    match follower.read().await {
        Ok(Some(now)) if now == text => FollowEnd::Stood,
        Err(error) => failed(error),
        Ok(_) => match follower.write(address).await {
            Ok(()) => FollowEnd::Written { value: text },
            Err(error) => failed(error),
        },
    }
}

/// Writes down what is new: a pointer that stands where it was told to is no entry.
fn note(ctx: &Ctx<'_>, follower: &Follower, image: &Image, end: &FollowEnd) -> Result<(), FlowError> {
    let (channel, pointer, key) = (follower.channel.clone(), follower.id.clone(), image.key.clone());
    let before = recorded(ctx, follower)?.filter(|record| record.image == image.key);
    let event = match end {
        FollowEnd::Stood if before.is_some_and(|record| record.failed.is_none()) => return Ok(()),
        FollowEnd::Stood => {
            let value = follower.wanted(image).map(|(_, text)| text).unwrap_or_default();
            Event::PointerWritten { channel, pointer, image: key, value }
        }
        FollowEnd::Written { value } => Event::PointerWritten { channel, pointer, image: key, value: value.clone() },
        FollowEnd::Failed { why, .. } => Event::PointerFailed { channel, pointer, image: key, reason: why.clone() },
    };
    ctx.store.append(ctx.clock.now(), ctx.actor, &event)?;
    Ok(())
}

/// Channels with a pointer that has not followed, by the ledger alone: also where a process died before it wrote.
pub fn pending(ctx: &Ctx<'_>) -> Result<Vec<Channel>, FlowError> {
    let mut channels = Vec::new();
    for follower in ctx.pointers {
        if lags(ctx, follower)?.is_some() && !channels.contains(&follower.channel) {
            channels.push(follower.channel.clone());
        }
    }
    Ok(channels)
}

/// Why a pointer is pending; `None`: it was told what the channel is at, or nothing was released yet.
pub fn lags(ctx: &Ctx<'_>, follower: &Follower) -> Result<Option<String>, FlowError> {
    let Some(image) = released(ctx, &follower.channel)? else { return Ok(None) };
    Ok(match recorded(ctx, follower)? {
        Some(record) if record.image == image.key => record.failed,
        Some(record) => Some(format!("it was last put to {}", record.image)),
        None => Some("it was never written".to_owned()),
    })
}

/// Every pointer of these channels beside what it should hold. Reads only.
pub async fn stand(ctx: &Ctx<'_>, channels: &[Channel]) -> Result<Vec<Stand>, FlowError> {
    let mut stands = Vec::new();
    for follower in ctx.pointers.iter().filter(|follower| channels.contains(&follower.channel)) {
        let image = released(ctx, &follower.channel)?;
        stands.push(Stand {
            channel: follower.channel.clone(),
            id: follower.id.clone(),
            place: follower.place(),
            wanted: image.as_ref().map(|image| Ok(follower.wanted(image)?.1)).transpose(),
            image: image.map(|image| image.key),
            now: follower.read().await,
            recorded: recorded(ctx, follower)?,
        });
    }
    Ok(stands)
}
