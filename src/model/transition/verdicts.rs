//! What people say of images and channels: holds, rejections, freezes, approvals, and rules that were passed over.

use super::super::lookup::{approval_key, pointer_key, rejection_key};
use super::super::{
    Approval, Channel, ChannelState, Event, Freeze, Hold, ImageKey, PointerRecord, Rejection, Scope, Table,
};
use super::{Fault, Fold, impossible};
use jiff::Timestamp;

impl Fold<'_> {
    /// One of the events that `apply` hands on.
    pub(super) fn judged(&mut self) -> Result<(), Fault> {
        match &self.entry.event {
            Event::HoldSet { channel, reason } => {
                self.with_channel(channel, |state, hold| state.hold = Some(hold(reason)))
            }
            Event::HoldLifted { channel, .. } => self.with_channel(channel, |state, _| state.hold = None),
            Event::ImageRejected { image, channel, reason, until, descendants } => {
                self.known(image)?;
                self.log_image(image);
                self.reject(image, channel.as_ref(), reason, *until, *descendants);
                Ok(())
            }
            Event::ImageRestored { image, channel, .. } => {
                self.known(image)?;
                self.log_image(image);
                self.remove(Table::Rejection, rejection_key(image, channel.as_ref()));
                Ok(())
            }
            Event::FreezeSet { scope, until, reason, rollbacks } => {
                self.freeze(scope, *until, reason, *rollbacks);
                Ok(())
            }
            Event::FreezeLifted { scope, .. } => {
                self.log_scope(scope);
                self.remove(Table::Freeze, scope.to_string());
                Ok(())
            }
            Event::ImageApproved { channel, image, reason } => self.approve(channel, image, reason.clone()),
            Event::ApprovalWithdrawn { channel, image, .. } => self.withdraw(channel, image),
            Event::RuleOverridden { channel, image, .. } => {
                self.known(image)?;
                self.log_image(image);
                self.log_channel(channel);
                Ok(())
            }
            other => Err(impossible(format!("{other:?} is no verdict"))),
        }
    }

    fn with_channel(
        &mut self,
        channel: &Channel,
        change: impl FnOnce(&mut ChannelState, &dyn Fn(&str) -> Hold),
    ) -> Result<(), Fault> {
        let mut state = self.look.channel(channel)?;
        change(&mut state, &|reason| self.hold(reason));
        self.put(Table::Channel, channel.to_string(), &state);
        self.log_channel(channel);
        Ok(())
    }

    pub(super) fn hold(&self, reason: &str) -> Hold {
        Hold { by: self.entry.by.who.clone(), at: self.entry.at, reason: reason.to_owned(), seq: self.entry.seq }
    }

    pub(super) fn reject(
        &mut self,
        image: &ImageKey,
        channel: Option<&Channel>,
        reason: &str,
        until: Option<Timestamp>,
        descendants: bool,
    ) {
        let rejection = Rejection {
            image: image.clone(),
            channel: channel.cloned(),
            by: self.entry.by.who.clone(),
            at: self.entry.at,
            reason: reason.to_owned(),
            seq: self.entry.seq,
            until,
            descendants,
        };
        self.put(Table::Rejection, rejection_key(image, channel), &rejection);
    }

    /// What a pointer was told, or could not be told.
    pub(super) fn pointed(
        &mut self,
        channel: &Channel,
        pointer: &str,
        image: &ImageKey,
        value: Option<&String>,
        failed: Option<&String>,
    ) -> Result<(), Fault> {
        self.known(image)?;
        let (value, failed) = (value.cloned(), failed.cloned());
        let record = PointerRecord { image: image.clone(), value, failed, at: self.entry.at, seq: self.entry.seq };
        self.put(Table::Pointer, pointer_key(channel, pointer), &record);
        self.log_channel(channel);
        Ok(())
    }

    fn freeze(&mut self, scope: &Scope, until: Timestamp, reason: &str, rollbacks: bool) {
        let freeze = Freeze {
            scope: scope.clone(),
            until,
            by: self.entry.by.who.clone(),
            at: self.entry.at,
            reason: reason.to_owned(),
            seq: self.entry.seq,
            rollbacks,
        };
        self.put(Table::Freeze, scope.to_string(), &freeze);
        self.log_scope(scope);
    }

    /// The freeze of one channel belongs to its log; one of an environment is in the log of all.
    fn log_scope(&mut self, scope: &Scope) {
        if let Scope::Channel(channel) = scope {
            self.log_channel(channel);
        }
    }

    /// Given again by the same person, it is the newer one that counts.
    fn approve(&mut self, channel: &Channel, image: &ImageKey, reason: Option<String>) -> Result<(), Fault> {
        self.known(image)?;
        let replaces = self.look.channel(channel)?.current.map(|release| release.rollout);
        let approval = Approval {
            channel: channel.clone(),
            image: image.clone(),
            by: self.entry.by.who.clone(),
            at: self.entry.at,
            reason,
            seq: self.entry.seq,
            replaces,
        };
        self.put(Table::Approval, approval_key(channel, image, &approval.by), &approval);
        self.log_channel(channel);
        self.log_image(image);
        Ok(())
    }

    /// Everybody takes back their own.
    fn withdraw(&mut self, channel: &Channel, image: &ImageKey) -> Result<(), Fault> {
        self.known(image)?;
        self.remove(Table::Approval, approval_key(channel, image, &self.entry.by.who));
        self.log_channel(channel);
        self.log_image(image);
        Ok(())
    }
}
