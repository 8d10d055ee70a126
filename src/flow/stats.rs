//! Stats: the rollouts of a channel, taken in from the first to the last.

use super::changes;
use crate::model::{Channel, LedgerView, ViewError};
use crate::plan::change::Range;
use crate::plan::stats::Tally;

/// All rollouts of a channel, counted: a failure in one period may be found, and recovered from, in a later one.
pub fn tally(view: &dyn LedgerView, channel: &Channel) -> Result<Tally, ViewError> {
    let mut tally = Tally::default();
    for change in changes(view, Some(channel), Range::default())? {
        tally.see(&change?);
    }
    Ok(tally)
}
