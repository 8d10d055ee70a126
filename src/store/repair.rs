//! Repair: each copy from the other, entry by entry. What neither has is said, never invented.

use super::attach::{Scratch, Trouble, catch_up};
use super::compare::{compare, compare_views};
use super::copies::Copies;
use super::files::{io, keep_replaced, name, set_aside, sync_dir, write_whole};
use super::index::{self, Index};
use super::journal::{self, Journal};
use super::known::damaged;
use super::live::{Live, Miss};
use super::packed::Lines;
use super::records::Position;
use super::remake::Replay;
use super::segments;
use super::view::{self, NoView};
use super::{DiskStore, StoreError};
use crate::model::{Entry, Head, Seq};
use std::collections::BTreeSet;
use std::fs;

/// What repair came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Sentences, in the order they were done; empty when there was nothing to repair.
    pub did: Vec<String>,
    pub head: Head,
}

/// How the whole chain can be put together.
#[derive(Default)]
struct Survey {
    lost: Vec<Seq>,
    from_index: Vec<Seq>,
    /// The parts that are not just their entries' lines.
    bad: BTreeSet<usize>,
}

impl DiskStore {
    /// Rebuilds what is damaged from the copy that is not. What is replaced is kept beside it as `NAME.bad.N`.
    /// `progress` hears of entries: done, of all.
    ///
    /// Entries that neither copy has are the error `Lost`; then nothing was changed.
    pub fn repair(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Repaired, StoreError> {
        let mut live = self.shared.live();
        *live = None;
        let _lock = self.shared.lock()?;
        let mut did = Vec::new();
        let (index, why) = match self.index() {
            Ok(index) => (Some(index?), None),
            Err(why) => (None, Some(why)),
        };
        let copies = Copies::read(&self.shared.dir, index)?;
        let survey = copies.survey(progress)?;
        if !survey.lost.is_empty() || copies.top == Seq(0) {
            return Err(StoreError::Lost { dir: self.shared.dir.clone(), lost: survey.lost });
        }
        if !survey.bad.is_empty() {
            did.extend(copies.rewrite(&survey)?);
        }
        drop(copies);
        did.extend(self.repair_seals()?);
        let replay = Replay::within(self.scratch_dir()?, self.journal()?)?;
        did.extend(self.repair_index(why, &replay)?);
        did.extend(self.repair_view(replay)?);
        self.shared.attach(&mut live)?;
        let head = live.as_ref().map(|live| live.known.end.head()).unwrap_or_else(Head::empty);
        Ok(Repaired { did, head })
    }

    fn scratch_dir(&self) -> Result<tempfile::TempDir, StoreError> {
        // Beside the ledger's own files: it is moved into their place without being copied.
        let named = self.shared.dir.clone();
        tempfile::Builder::new().prefix("view.new.").tempdir_in(&named).map_err(io("create", &named))
    }

    /// Seals that are missing, or do not tell what is in their segments.
    fn repair_seals(&self) -> Result<Vec<String>, StoreError> {
        let mut did = self.put_away_wrong_end()?;
        let journal = self.journal()?;
        for pair in journal.parts().windows(2) {
            let [part, next] = pair else { continue };
            let right = segments::describe(&journal, part, next.begin)?;
            if part.seal().is_some_and(|seal| seal == right) {
                continue;
            }
            let path = part.seal_path();
            let kept = if path.exists() {
                format!("; the old one is kept as {}", name(&set_aside(&path)?))
            } else {
                String::new()
            };
            did.push(format!("the seal of {} was made again{kept}", name(&part.path)));
        }
        segments::write_missing_seals(&self.shared.dir)?;
        Ok(did)
    }

    /// The files are right by now. A last seal that tells another length would make the active part begin elsewhere.
    fn put_away_wrong_end(&self) -> Result<Vec<String>, StoreError> {
        let journal = self.journal()?;
        let Some((_, sealed)) = journal.parts().split_last() else { return Ok(Vec::new()) };
        let Some(part) = sealed.last() else { return Ok(Vec::new()) };
        let length = part.file()?.metadata().map_err(io("read", &part.path))?.len();
        if part.seal().is_none_or(|seal| seal.bytes == length) {
            return Ok(Vec::new());
        }
        let kept = name(&set_aside(&part.seal_path())?);
        Ok(vec![format!("the seal of {} told a wrong length; it is kept as {kept}", name(&part.path))])
    }

    /// Compares the index with the records that follow from the journal, and builds it again if they differ.
    fn repair_index(&self, why: Option<String>, replay: &Replay) -> Result<Option<String>, StoreError> {
        let journal = self.journal()?;
        let why = match why {
            Some(why) => why,
            None => match self.index_differs(&journal, replay) {
                None => return Ok(None),
                Some(why) => why,
            },
        };
        let scratch: Scratch = self.shared.scratch("index.new").map_err(Trouble::into_store)?;
        let fresh = scratch.index().map_err(Trouble::into_store)?;
        let walked = catch_up(fresh, &journal, &Position::start(), &mut |_| ()).map_err(Trouble::into_store)?;
        if let journal::End::Damaged { what } | journal::End::Torn { what } = walked.end {
            return Err(damaged(&journal, &walked.good, what));
        }
        self.shared.lease.close();
        let path = index::path(&self.shared.dir);
        let kept = if path.exists() {
            format!("; the old one is kept as {}", name(&set_aside(&path)?))
        } else {
            String::new()
        };
        self.shared.put_in_place(scratch)?;
        // sled swallows what its disk says: read back, the new index must be what was written.
        if let Some(why) = self.index_differs(&journal, replay) {
            let what = format!("what was just written does not read back ({why}); is the disk full, or failing?");
            return Err(StoreError::Damaged { what, file: path, offset: None });
        }
        Ok(Some(format!("the index was built again from the journal ({why}){kept}")))
    }

    fn index_differs(&self, journal: &Journal, replay: &Replay) -> Option<String> {
        let index = match self.index() {
            Ok(Ok(index)) => index,
            Ok(Err(error)) => return Some(error.to_string()),
            Err(why) => return Some(why),
        };
        let joins = || -> Result<bool, Trouble> {
            let Some(applied) = index.applied()? else { return Ok(false) };
            if !journal.joins(&applied.position())? {
                return Ok(false);
            }
            catch_up(&index, journal, &applied.position(), &mut |_| ())?;
            Ok(true)
        };
        match joins().map(|joins| joins.then(|| compare(&index, &replay.layers))) {
            Ok(Some(Ok(None))) => lines_differ(&index, journal).unwrap_or_else(|error| Some(error.to_string())),
            Ok(Some(Ok(difference))) => difference.map(|difference| difference.told("index")),
            Ok(Some(Err(error))) => Some(error.to_string()),
            Ok(None) => Some("it held another history".to_owned()),
            Err(trouble) => Some(trouble.into_store().to_string()),
        }
    }

    /// Puts the replayed records in the view's place, if the view is not what they are.
    fn repair_view(&self, replay: Replay) -> Result<Option<String>, StoreError> {
        let why = match Live::look(&self.shared.dir) {
            Ok(live) => match compare_views(&live.known.layers, &replay.layers) {
                Ok(None) => return Ok(None),
                Ok(Some(difference)) => difference.told("view"),
                Err(error) => error.to_string(),
            },
            Err(Miss::Store(error)) => error.to_string(),
            Err(Miss::NoView(NoView::Missing)) => "it was missing".to_owned(),
            Err(Miss::NoView(NoView::Unusable(why)) | Miss::Disagrees(why)) => why,
            Err(Miss::Far) => return Ok(None),
        };
        let path = view::path(&self.shared.dir);
        let kept = if path.exists() {
            format!("; the old one is kept as {}", name(&set_aside(&path)?))
        } else {
            String::new()
        };
        fs::rename(replay.view(), &path).map_err(io("rename", &replay.view()))?;
        sync_dir(&self.shared.dir)?;
        Ok(Some(format!("the view was made again from the journal ({why}){kept}")))
    }
}

/// In what the index's copies of the lines differ from the journal's own.
fn lines_differ(index: &Index, journal: &Journal) -> Result<Option<String>, StoreError> {
    let mut lines = Lines::of(index, Seq(1))?;
    let mut found = None;
    journal.walk(&Position::start(), journal.len()?, &mut |entry, _| {
        if found.is_none() && !lines.next_is(entry.seq, entry.line().as_bytes())? {
            found = Some(format!("entry {} is not in the index as the journal has it", entry.seq));
        }
        Ok(())
    })?;
    let more = found.is_none() && !lines.is_done()?;
    Ok(found.or_else(|| more.then(|| "the index has further entries".to_owned())))
}

impl Copies {
    fn survey(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Survey, StoreError> {
        let mut survey = Survey::default();
        // The hash before, and where the next line belongs; the hash is not known after an entry that is lost.
        let (mut before, mut offset) = (Some(Entry::root()), 0);
        for seq in (1..=self.top.0).map(Seq) {
            match self.pick(seq, &|entry| before.as_ref().is_none_or(|before| entry.prev == *before))? {
                Some((entry, found)) => {
                    let number = self.part_at(offset);
                    let begin = self.parts.get(number).map_or(0, |part| part.begin);
                    if found != Some((number, offset - begin)) {
                        survey.bad.insert(number);
                    }
                    if found.is_none() {
                        survey.from_index.push(seq);
                    }
                    offset += u64::try_from(entry.line().len()).unwrap_or(u64::MAX) + 1;
                    before = Some(entry.hash);
                }
                None => {
                    survey.lost.push(seq);
                    before = None;
                }
            }
            progress(seq.0, self.top.0);
        }
        for (number, part) in self.parts.iter().enumerate() {
            let end = self.parts.get(number + 1).map_or(offset, |next| next.begin);
            let length = part.lines.as_ref().map(Journal::len).transpose()?;
            if length != Some(end.saturating_sub(part.begin)) {
                survey.bad.insert(number);
            }
        }
        Ok(survey)
    }

    /// Writes each bad part again and puts it in place; says what it did.
    fn rewrite(&self, survey: &Survey) -> Result<Vec<String>, StoreError> {
        let mut did = Vec::new();
        for (number, part) in self.parts.iter().enumerate().filter(|(number, _)| survey.bad.contains(number)) {
            let mut kept = None;
            write_whole(
                &part.path,
                |out| self.fill(number, out),
                || {
                    kept = if part.path.exists() { Some(keep_replaced(&part.path)?) } else { None };
                    Ok(())
                },
            )?;
            let kept = kept.map(|kept| format!("; the old one is kept as {}", name(&kept))).unwrap_or_default();
            did.push(format!("{} was written again{}{kept}", self.called(number), from_index(&survey.from_index)));
        }
        Ok(did)
    }

    fn called(&self, number: usize) -> String {
        if number + 1 == self.parts.len() {
            return "the journal".to_owned();
        }
        self.parts.get(number).map(|part| format!("the segment {}", name(&part.path))).unwrap_or_default()
    }

    /// Writes the entries that belong into one part.
    fn fill(&self, number: usize, out: &mut dyn std::io::Write) -> Result<(), StoreError> {
        let (mut before, mut offset) = (Entry::root(), 0);
        for seq in (1..=self.top.0).map(Seq) {
            let picked = self.pick(seq, &|entry| entry.prev == before)?;
            let path = self.parts.get(number).map(|part| part.path.clone()).unwrap_or_default();
            let (entry, _) = picked.ok_or_else(|| StoreError::Lost { dir: path.clone(), lost: vec![seq] })?;
            if self.part_at(offset) == number {
                writeln!(out, "{}", entry.line()).map_err(io("write", &path))?;
            }
            offset += u64::try_from(entry.line().len()).unwrap_or(u64::MAX) + 1;
            before = entry.hash;
        }
        Ok(())
    }
}

fn from_index(entries: &[Seq]) -> String {
    match entries {
        [] => " without what does not belong there".to_owned(),
        [only] => format!(" with entry {only} from the index"),
        [first, .., last] => format!(" with {} entries from the index, {first} to {last}", entries.len()),
    }
}
