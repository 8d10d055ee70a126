//! Proof that all copies are whole and agree: every entry, every link, every segment, every keyed record.

use super::attach::Trouble;
use super::backup;
use super::compare::{self, agree, compare, compare_views};
use super::index::{self, Index, OpenError};
use super::journal::{self, Journal};
use super::known::{Known, damaged};
use super::live::{Live, Miss};
use super::prove::{self, Proved};
use super::records::Position;
use super::remake::Replay;
use super::threads::side_by_side;
use super::view::{self, Layers, NoView};
use super::{DiskStore, StoreError};
use crate::model::noted::created;
use crate::model::{Head, Seq};
use jiff::Timestamp;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long the index is waited for: without it only half of the proof can be given.
const PATIENCE: Duration = Duration::from_secs(5);
/// Up to this length every entry is folded again, whether it was asked for or not: it costs under a second.
const SHORT: u64 = 16 << 20;

/// What was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The id that it was created with.
    pub ledger: Option<Uuid>,
    pub head: Head,
    pub entries: u64,
    /// When the first and the last entry were written, by the clocks of those who wrote them. A clock that went
    /// backwards is no damage: the order of entries is their number.
    pub oldest: Timestamp,
    pub newest: Timestamp,
    /// Sealed segments whose digest was checked.
    pub segments: u64,
    /// Whether the keyed records were made anew from all entries, not only compared with each other.
    pub replayed: bool,
    /// Whether there was nothing but the journal to be proved: in a backup, and where nothing can be written.
    pub is_alone: bool,
}

impl DiskStore {
    /// Walks the journal, the index and the view, and changes none of them that this version of imgctl has made. `progress`
    /// hears of bytes of the journal: done, of all. With `replay` every entry is folded again as well; for a short ledger
    /// that is always done.
    ///
    /// The first bad entry or record is the error, with its file and, in the journal, its byte offset.
    pub fn verify(&self, replay: bool, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified, StoreError> {
        let shared = &self.shared;
        if let Some(head) = backup::head_of(&shared.dir)? {
            return self.verify_journal(Some(&head), replay, progress).map_err(|error| match error {
                StoreError::Damaged { what, file, offset } => StoreError::BadBackup { what, file, offset },
                error => error,
            });
        }
        let mut live = shared.live();
        let _lock = match shared.lock() {
            Err(StoreError::Io { source, .. })
                if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
            {
                return self.verify_journal(None, true, progress);
            }
            lock => lock?,
        };
        if shared.is_of_another_version() {
            // No damage, but what follows an upgrade: the first one to write makes both again, and so does this.
            shared.join()?;
            shared.attach(&mut live)?;
        }
        let journal = self.journal()?;
        let index = self.index();
        let usable = index.as_ref().ok().and_then(|index| index.as_ref().ok()).cloned();
        let (proved, same) = self.prove_all(&journal, usable.as_deref(), progress)?;
        let index = match index {
            Ok(index) => index?,
            Err(why) => return Err(self.bad_index(format!("the index cannot be used: {why}"))),
        };
        let live = self.joined(&journal, &proved, &index)?;
        let replayed = replay || proved.end.offset <= SHORT;
        // Where index and view differ, only the entries can tell which of the two is wrong.
        if replayed || !same.unwrap_or_else(|| agree(&index, &live.known.layers))? {
            self.replay(&live.known.layers, &index)?;
        }
        verified(&journal, &proved, replayed, false)
    }

    /// The journal alone, where sled cannot be opened, because nothing can be written, or is not there: in a backup, which has
    /// to hold what was backed up. Nothing is made in the directory.
    fn verify_journal(
        &self,
        backed_up: Option<&Head>,
        replay: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verified, StoreError> {
        let journal = self.journal()?;
        let (proved, _) = self.prove_all(&journal, None, progress)?;
        let replayed = replay || proved.end.offset <= SHORT;
        if replayed {
            Known::fold(self.journal()?)?;
        }
        let why = match backed_up {
            Some(head) => {
                holds(&journal, &proved.end, head)?;
                "this is a backup, which has no index and no view: its journal was verified"
            }
            None => "the index was not verified: its directory cannot be written to",
        };
        self.shared.note(why.to_owned());
        verified(&journal, &proved, replayed, true)
    }

    pub(super) fn journal(&self) -> Result<Journal, StoreError> {
        let file = journal::path(&self.shared.dir);
        Journal::open(&self.shared.dir, false)?.ok_or_else(|| StoreError::Damaged {
            what: "the journal is missing".to_owned(),
            file,
            offset: None,
        })
    }

    /// The whole chain, part by part, with what the index has of it; and whether index and view hold the same records, if
    /// the two could be brought together. All of it side by side.
    fn prove_all(
        &self,
        journal: &Journal,
        index: Option<&Index>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Chain, Option<Result<bool, StoreError>>), StoreError> {
        let total = journal.len()?;
        let parts = journal.parts();
        // If this cannot be had, the reason is found once the journal is proved.
        let beside = index.and_then(|index| Some((index, self.level(index)?)));
        let mut jobs: VecDeque<Job> = (0..parts.len()).map(Job::Part).collect();
        // The long tables first, and short ones last: so all threads end at about the same time.
        jobs.extend(beside.iter().flat_map(|_| compare::letters().rev()).map(Job::Table));
        let (mut proved, mut same) = (Vec::new(), beside.as_ref().map(|_| Ok(true)));
        let answers = side_by_side(jobs, total, progress, &|job, report: &dyn Fn(u64)| match (job, &beside) {
            (Job::Table(letter), Some((index, live))) => Ok(Answer::Table(
                compare::compare_table(index, &live.known.layers, letter).map(|found| found.is_none()),
            )),
            (Job::Table(_), None) => Ok(Answer::Table(Ok(true))),
            (Job::Part(number), _) => {
                let part = parts.get(number).ok_or(StoreError::NothingToAppend)?;
                let end = parts.get(number + 1).map_or(total, |next| next.begin);
                // What the index does not have yet is in the view; that it lags behind is no damage.
                prove::part(journal, part, end, index, report).map(Answer::Part)
            }
        })?;
        for answer in answers {
            match answer {
                Answer::Part(part) => proved.push(part),
                Answer::Table(answer) if matches!(same, Some(Ok(true))) => same = Some(answer),
                Answer::Table(_) => {}
            }
        }
        progress(total, total);
        Ok((self.linked(journal, proved, total)?, same))
    }

    /// The view as it is, with the index brought up to it; `None` if that cannot be done.
    fn level(&self, index: &Index) -> Option<Live> {
        let live = Live::look(&self.shared.dir).ok()?;
        self.shared.fill(index, &live).ok().map(|()| live)
    }

    /// The parts in order: each begins where the one before ended, and is what its seal says.
    fn linked(&self, journal: &Journal, proved: Vec<Proved>, total: u64) -> Result<Chain, StoreError> {
        let mut chain = Chain { end: Position::start(), segments: 0, differs: None };
        let last = proved.len().saturating_sub(1);
        for (number, (part, proved)) in journal.parts().iter().zip(proved).enumerate() {
            let ends = journal.parts().get(number + 1).map_or(total, |next| next.begin);
            if part.begin == ends {
                continue;
            }
            if proved.end.offset > part.begin && proved.before != chain.end {
                let what = format!(
                    "entry {} does not follow from entry {}: the chain is broken",
                    proved.before.seq.next(),
                    chain.end.seq
                );
                return Err(damaged(journal, &chain.end, what));
            }
            if proved.end.offset > part.begin {
                chain.end = proved.end;
            }
            chain.differs = chain.differs.or(proved.index);
            if let Some(what) = proved.broken {
                self.torn_or_damaged(journal, &chain.end, total, what)?;
            } else if number < last {
                let sealed = part.seal().map(|seal| seal.digest);
                if sealed.as_ref() != Some(&proved.digest) {
                    let what = match sealed {
                        Some(_) => "a sealed segment does not match its seal",
                        None => "a segment's seal is missing or cannot be read",
                    };
                    return Err(StoreError::Damaged { what: what.to_owned(), file: part.seal_path(), offset: None });
                }
                chain.segments += 1;
            }
        }
        Ok(chain)
    }

    /// Bytes at the end that are no entry were never acknowledged, unless an entry comes after them.
    fn torn_or_damaged(&self, journal: &Journal, good: &Position, total: u64, what: String) -> Result<(), StoreError> {
        let walked = journal.walk(good, total, &mut |_, _| Ok(()))?;
        match walked.end {
            journal::End::Torn { .. } => {
                self.shared
                    .note("the journal ends in a write that was cut short; the next write moves it aside".to_owned());
                Ok(())
            }
            journal::End::Damaged { what } => Err(damaged(journal, &walked.good, what)),
            journal::End::Clean => Err(damaged(journal, good, what)),
        }
    }

    /// The view as it is, once it and the index are known to follow this very journal.
    fn joined(&self, journal: &Journal, chain: &Chain, index: &Index) -> Result<Live, StoreError> {
        let applied = index.applied()?.ok_or_else(|| self.bad_index("the index is empty".to_owned()))?;
        let ahead = |seq: Seq, what: &str| {
            damaged(
                journal,
                &chain.end,
                format!("entries {} to {seq} are in the {what}, and lost from the journal", chain.end.seq.next()),
            )
        };
        if applied.seq > chain.end.seq {
            return Err(ahead(applied.seq, "index"));
        }
        if !journal.joins(&applied.position())? {
            let what = format!("at entry {} the index holds another history than the journal", applied.seq);
            return Err(self.bad_index(what));
        }
        if let Some(seq) = chain.differs.filter(|seq| *seq <= applied.seq) {
            return Err(self.bad_index(format!("entry {seq} is not in the index as the journal has it")));
        }
        let file = view::path(&self.shared.dir);
        let bad_view = |what: String| StoreError::Damaged { what, file: file.clone(), offset: None };
        let live = match Live::look(&self.shared.dir) {
            Ok(live) => live,
            Err(Miss::Store(error)) => return Err(error),
            Err(Miss::NoView(NoView::Missing)) => return Err(bad_view("the view is missing".to_owned())),
            Err(Miss::NoView(NoView::Unusable(why))) => return Err(bad_view(why)),
            Err(Miss::Far) => return Err(bad_view("the view is far behind the journal".to_owned())),
            Err(Miss::Disagrees(what)) => return Err(damaged(journal, &chain.end, what)),
        };
        // An index that lags is brought up first: a process that was killed leaves it so.
        match self.shared.fill(index, &live) {
            Err(Trouble::Index(why)) => Err(self.bad_index(format!("the index cannot be used: {why}"))),
            filled => filled.map_err(Trouble::into_store).map(|()| live),
        }
    }

    /// Folds all entries into records of their own, and compares the others with them.
    fn replay(&self, layers: &Layers, index: &Index) -> Result<(), StoreError> {
        let fresh = Replay::of(self.journal()?)?;
        if let Some(difference) = compare(index, &fresh.layers)? {
            return Err(self.bad_index(difference.told("index")));
        }
        if let Some(difference) = compare_views(layers, &fresh.layers)? {
            let file = view::path(&self.shared.dir);
            return Err(StoreError::Damaged { what: difference.told("view"), file, offset: None });
        }
        Ok(())
    }

    fn bad_index(&self, what: String) -> StoreError {
        StoreError::Damaged { what, file: index::path(&self.shared.dir), offset: None }
    }

    /// The open index; else why it cannot be used, unless it only is in use.
    pub(super) fn index(&self) -> Result<Result<Arc<Index>, StoreError>, String> {
        let path = index::path(&self.shared.dir);
        if !path.exists() {
            return Err("it is missing".to_owned());
        }
        match self.shared.lease.open(&path, PATIENCE) {
            Ok(index) => match self.shared.usable(&index) {
                Ok(_) => Ok(Ok(index)),
                Err(Trouble::Index(why)) => Err(why),
                Err(trouble) => Ok(Err(trouble.into_store())),
            },
            Err(OpenError::Broken(why)) => Err(why),
            Err(OpenError::Busy | OpenError::Unavailable) => {
                Ok(Err(StoreError::Busy { dir: self.shared.dir.clone(), holder: None, waited: PATIENCE }))
            }
        }
    }
}

/// A piece of the proof that can be done beside others.
#[derive(Clone, Copy)]
enum Job {
    /// A part of the journal, by its place.
    Part(usize),
    /// A table of the index, beside the view's.
    Table(char),
}

enum Answer {
    Part(Proved),
    Table(Result<bool, StoreError>),
}

/// The journal's chain, proved.
struct Chain {
    end: Position,
    segments: u64,
    /// The first entry that the index has otherwise; one it does not have yet is no damage.
    differs: Option<Seq>,
}

/// That a chain which is proved up to `end` has this head in it: it may have gone on, and been cut short before it was noted.
fn holds(journal: &Journal, end: &Position, head: &Head) -> Result<(), StoreError> {
    if end.seq < head.seq {
        let first = end.seq.next();
        let what = format!("entries {first} to {} were backed up, and are lost from the journal", head.seq);
        return Err(damaged(journal, end, what));
    }
    let there = match end.seq == head.seq {
        true => end.clone(),
        false => journal.some(&Position::start(), end.offset, head.seq.0, &mut |_, _| Ok(()))?.good,
    };
    if there.head() == *head {
        return Ok(());
    }
    Err(damaged(journal, end, format!("entry {} is not the one that was backed up", head.seq)))
}

fn verified(journal: &Journal, chain: &Chain, replayed: bool, is_alone: bool) -> Result<Verified, StoreError> {
    let end = &chain.end;
    let oldest = prove::entry_at(journal, 0, end.offset)?;
    match (oldest, journal.entry_before(end.offset)?) {
        (Some(oldest), Some(newest)) => Ok(Verified {
            ledger: created(&oldest),
            head: end.head(),
            entries: end.seq.0,
            oldest: oldest.at,
            newest: newest.at,
            segments: chain.segments,
            replayed,
            is_alone,
        }),
        _ => Err(damaged(journal, end, "the journal holds no entry".to_owned())),
    }
}
