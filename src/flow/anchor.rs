//! Anchor: the ledger's head noted down outside, and what was noted there held against the ledger of today.

use crate::model::noted::ledger_id;
use crate::model::{Actor, Head, LedgerView, Noted, Seq, Standing, ViewError};
use crate::provider::anchor::{Anchor, AnchorError};
use futures_util::future::join_all;
use jiff::Timestamp;
use std::sync::Arc;

/// An anchor by the name that the config gives it; `Err`: it could not even be made ready.
pub type Named = (String, Result<Box<dyn Anchor>, Arc<AnchorError>>);

/// What one anchor says of the ledger.
#[derive(Debug)]
pub struct Witness {
    pub id: String,
    /// As a person would name it; the id alone where it could not be made ready.
    pub place: String,
    pub word: Word,
}

/// The word of a witness.
#[derive(Debug)]
pub enum Word {
    /// Every head that it remembers is in this ledger; the furthest is `noted`, and `since` entries follow it.
    Holds { noted: Noted, since: u64, wrote: Wrote },
    /// Nothing is noted there.
    Empty,
    /// What is noted there is not in this ledger. `good`: the last entry of it that still is.
    Broken { noted: Noted, standing: Standing, good: Option<Seq> },
    /// It did not say, or what it said cannot be believed.
    Silent(Arc<AnchorError>),
}

/// What was noted there just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    Nothing,
    /// The first head at this place.
    First,
    Further,
}

impl Witness {
    /// Whether it speaks for the ledger. Nothing else is a yes: not silence, and not an empty place.
    pub fn is_good(&self) -> bool {
        matches!(self.word, Word::Holds { .. })
    }

    /// Whether it speaks against the ledger.
    pub fn is_alarm(&self) -> bool {
        matches!(self.word, Word::Broken { .. })
    }
}

/// Asks every anchor, side by side, whether the ledger goes on from what is noted there. Writes nothing.
pub async fn check(view: &dyn LedgerView, anchors: &[Named]) -> Result<Vec<Witness>, ViewError> {
    let words = join_all(anchors.iter().map(|(_, anchor)| ask(view, anchor))).await;
    let witness = |((id, anchor), word): (&Named, Result<Word, ViewError>)| {
        let place = anchor.as_ref().map_or_else(|_| id.clone(), |anchor| anchor.place());
        Ok(Witness { id: id.clone(), place, word: word? })
    };
    anchors.iter().zip(words).map(witness).collect()
}

/// Notes `head` at every anchor. An anchor never moves backwards, and never to another history: if only one of them
/// holds what is not in this ledger, nothing is written at any, or a forged history would be vouched for by the others.
/// One that does not answer keeps nobody else from writing.
pub async fn anchor(view: &dyn LedgerView, head: &Noted, anchors: &[Named]) -> Result<Vec<Witness>, ViewError> {
    let mut witnesses = check(view, anchors).await?;
    if witnesses.iter().any(Witness::is_alarm) {
        return Ok(witnesses);
    }
    let notes = anchors.iter().zip(&mut witnesses).map(|((_, anchor), witness)| async move {
        if let Ok(anchor) = anchor {
            note(view, head, &**anchor, witness).await?;
        }
        Ok(())
    });
    join_all(notes).await.into_iter().collect::<Result<(), ViewError>>()?;
    Ok(witnesses)
}

async fn ask(view: &dyn LedgerView, anchor: &Result<Box<dyn Anchor>, Arc<AnchorError>>) -> Result<Word, ViewError> {
    match anchor {
        Ok(anchor) => asked(view, &**anchor).await,
        Err(error) => Ok(Word::Silent(Arc::clone(error))),
    }
}

async fn asked(view: &dyn LedgerView, anchor: &dyn Anchor) -> Result<Word, ViewError> {
    match anchor.read().await {
        Ok(noted) => compare(view, noted),
        Err(error) => Ok(Word::Silent(Arc::new(error))),
    }
}

async fn note(
    view: &dyn LedgerView,
    head: &Noted,
    anchor: &dyn Anchor,
    witness: &mut Witness,
) -> Result<(), ViewError> {
    let (over, wrote) = match &witness.word {
        Word::Holds { noted, .. } if noted.head.seq < head.head.seq => (Some(noted), Wrote::Further),
        Word::Empty => (None, Wrote::First),
        // It is there already, or cannot be asked.
        _ => return Ok(()),
    };
    witness.word = match anchor.write(head, over).await {
        Err(error) => Word::Silent(Arc::new(error)),
        // Whatever others noted at the same moment is held against the ledger as well.
        Ok(()) => match asked(view, anchor).await? {
            Word::Holds { noted, since, .. } if noted.head.seq >= head.head.seq => Word::Holds { noted, since, wrote },
            Word::Holds { .. } | Word::Empty => Word::Silent(Arc::new(AnchorError::NotTaken { place: anchor.place() })),
            word => word,
        },
    };
    Ok(())
}

/// Everything that is noted at one place, in the order of its entries. What was rewritten counts before what is missing.
fn compare(view: &dyn LedgerView, all: Vec<Noted>) -> Result<Word, ViewError> {
    let mut good: Option<(Noted, u64)> = None;
    let mut broken: Option<(Noted, Standing)> = None;
    for noted in all {
        match noted.standing(view)? {
            Standing::Extends { since } => good = Some((noted, since)),
            standing @ Standing::Shorter { .. } => {
                // The furthest one says how much is missing.
                if !broken.as_ref().is_some_and(|(_, first)| !matches!(first, Standing::Shorter { .. })) {
                    broken = Some((noted, standing));
                }
            }
            standing => {
                if broken.is_none() {
                    broken = Some((noted, standing));
                }
            }
        }
    }
    Ok(match (broken, good) {
        (Some((noted, standing)), good) => {
            let before = good.map(|(good, _)| good.head.seq).filter(|good| *good < noted.head.seq);
            Word::Broken { noted, standing, good: before }
        }
        (None, Some((noted, since))) => Word::Holds { noted, since, wrote: Wrote::Nothing },
        (None, None) => Word::Empty,
    })
}

/// What to note: the head that was just proved.
pub fn to_note(view: &dyn LedgerView, head: Head, by: &Actor, at: Timestamp) -> Result<Noted, ViewError> {
    let ledger = ledger_id(view)?
        .ok_or_else(|| ViewError::Unreadable("its first entry does not say which ledger it is".to_owned()))?;
    Ok(Noted::new(head, ledger, at, by))
}
