//! Repair: the bad copy from the good one, entry by entry. What neither has is said, never invented.

use super::attach::{Trouble, catch_up, line};
use super::files::{io, keep_replaced, name, set_aside, write_whole};
use super::index::{self, Index};
use super::journal::{self, End, Journal};
use super::records::Position;
use super::verify::told;
use super::{DiskStore, StoreError};
use crate::model::{Entry, Head, Seq};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What repair came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Sentences, in the order they were done; empty when there was nothing to repair.
    pub did: Vec<String>,
    pub head: Head,
}

/// Both copies as far as they can be read.
struct Copies {
    journal: Option<Journal>,
    /// Entry → where its line begins in the journal, for every line that is an entry.
    begins: BTreeMap<u64, u64>,
    index: Option<Arc<Index>>,
    /// The highest entry that either copy has.
    top: Seq,
}

/// How the whole chain can be put together.
#[derive(Default)]
struct Survey {
    lost: Vec<Seq>,
    from_index: Vec<Seq>,
    /// Whether the journal is just these lines and nothing else.
    intact: bool,
}

impl DiskStore {
    /// Rebuilds what is damaged from the copy that is not. What is replaced is kept beside it as `NAME.bad.N`.
    /// `progress` hears of entries: done, of all.
    ///
    /// Entries that neither copy has are the error `Lost`; then nothing was changed.
    pub fn repair(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Repaired, StoreError> {
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
        if !survey.intact {
            did.push(copies.rewrite(&self.shared.dir, &survey)?);
        }
        drop(copies);
        did.extend(self.repair_index(why)?);
        Ok(Repaired { did, head: self.shared.attach()?.end.head() })
    }

    /// Compares the index with one that is built anew, and replaces it if they differ.
    fn repair_index(&self, why: Option<String>) -> Result<Option<String>, StoreError> {
        let journal = self.journal()?;
        let scratch = self.shared.scratch("index.new").map_err(Trouble::into_store)?;
        let fresh = scratch.index().map_err(Trouble::into_store)?;
        let walked = catch_up(fresh, &journal, &Position::start(), &mut |_| ()).map_err(Trouble::into_store)?;
        if let End::Damaged { what } | End::Torn { what } = walked.end {
            return Err(super::attach::damaged(&journal, &walked.good, what));
        }
        let why = match why {
            Some(why) => why,
            None => match self.index_differs(&journal, fresh) {
                None => return Ok(None),
                Some(why) => why,
            },
        };
        self.shared.lease.close();
        let path = index::path(&self.shared.dir);
        let kept = if path.exists() {
            format!("; the old one is kept as {}", name(&set_aside(&path)?))
        } else {
            String::new()
        };
        self.shared.put_in_place(scratch)?;
        Ok(Some(format!("the index was built again from the journal ({why}){kept}")))
    }

    fn index_differs(&self, journal: &Journal, fresh: &Index) -> Option<String> {
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
        match joins().map(|joins| joins.then(|| index.compare(fresh))) {
            Ok(Some(Ok(difference))) => difference.map(|difference| told(&difference)),
            Ok(Some(Err(error))) => Some(error.to_string()),
            Ok(None) => Some("it held another history".to_owned()),
            Err(trouble) => Some(trouble.into_store().to_string()),
        }
    }
}

impl Copies {
    fn read(dir: &std::path::Path, index: Option<Arc<Index>>) -> Result<Self, StoreError> {
        let journal = Journal::open(dir, false)?;
        let mut begins = BTreeMap::new();
        if let Some(journal) = &journal {
            let mut lines = journal.lines(0, journal.len()?);
            while let Some(line) = lines.next_line()? {
                if let Ok(entry) = line.entry() {
                    begins.entry(entry.seq.0).or_insert(line.begin);
                }
            }
        }
        let highest = begins.last_key_value().map(|(seq, _)| Seq(*seq)).unwrap_or_default();
        let indexed = index.as_ref().and_then(|index| index.last_entry().ok().flatten()).unwrap_or_default();
        Ok(Self { journal, begins, index, top: highest.max(indexed) })
    }

    /// One entry from the journal if it is there and follows, else from the index; and whether it is the journal's.
    fn pick(&self, seq: Seq, follows: &dyn Fn(&Entry) -> bool) -> Result<Option<(Entry, bool)>, StoreError> {
        if let (Some(journal), Some(begin)) = (&self.journal, self.begins.get(&seq.0)) {
            let entry = journal.lines(*begin, journal.len()?).next_line()?.and_then(|line| line.entry().ok());
            if let Some(entry) = entry.filter(follows) {
                return Ok(Some((entry, true)));
            }
        }
        let entry = self.index.as_ref().and_then(|index| line(index, seq).ok().flatten());
        Ok(entry.filter(|entry| entry.seq == seq && follows(entry)).map(|entry| (entry, false)))
    }

    fn survey(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Survey, StoreError> {
        let mut survey = Survey { intact: self.journal.is_some(), ..Survey::default() };
        // The hash before, and where the next line belongs; the hash is not known after an entry that is lost.
        let (mut before, mut offset) = (Some(Entry::root()), 0);
        for seq in (1..=self.top.0).map(Seq) {
            match self.pick(seq, &|entry| before.as_ref().is_none_or(|before| entry.prev == *before))? {
                Some((entry, of_journal)) => {
                    survey.intact &= of_journal && self.begins.get(&seq.0) == Some(&offset);
                    if !of_journal {
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
        if let Some(journal) = &self.journal {
            survey.intact &= journal.len()? == offset;
        }
        Ok(survey)
    }

    /// Writes the whole chain into a new journal and puts it in place; says what it did.
    fn rewrite(&self, dir: &std::path::Path, survey: &Survey) -> Result<String, StoreError> {
        let path = journal::path(dir);
        let fill = |out: &mut dyn std::io::Write| {
            let mut before = Entry::root();
            for seq in (1..=self.top.0).map(Seq) {
                let picked = self.pick(seq, &|entry| entry.prev == before)?;
                let (entry, _) = picked.ok_or_else(|| StoreError::Lost { dir: dir.to_path_buf(), lost: vec![seq] })?;
                writeln!(out, "{}", entry.line()).map_err(io("write", &path))?;
                before = entry.hash;
            }
            Ok(())
        };
        let mut kept = None;
        write_whole(&path, fill, || {
            kept = if path.exists() { Some(keep_replaced(&path)?) } else { None };
            Ok(())
        })?;
        let kept = kept.map(|kept| format!("; the old one is kept as {}", name(&kept))).unwrap_or_default();
        Ok(match survey.from_index.as_slice() {
            [] => format!("the journal was written again without what does not belong there{kept}"),
            [only] => format!("the journal was written again with entry {only} from the index{kept}"),
            [first, .., last] => {
                let many = survey.from_index.len();
                format!("the journal was written again with {many} entries from the index, {first} to {last}{kept}")
            }
        })
    }
}
