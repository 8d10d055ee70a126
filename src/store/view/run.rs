//! A run: sorted records in one file that never changes, found by two levels of index and ruled out by a filter.

use super::block::{Block, BlockWriter, damaged, number, take};
use super::bloom;
use super::cache::Cache;
use crate::model::{Order, ViewError};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// About how long a block gets.
const BLOCK: usize = 4096;
const MAGIC: &[u8; 8] = b"imgctlv1";
/// Magic, five numbers of eight bytes, a CRC-32.
const FOOTER: usize = 8 + 5 * 8 + 4;

/// Where a block stands in the file.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    length: usize,
}

/// What a finished run is known by; a file that differs is not that run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct RunMark {
    /// Its file is `ID.run`.
    pub id: u64,
    pub bytes: u64,
    pub records: u64,
    /// The footer's CRC-32.
    pub sum: u32,
}

/// Writes a run, in key order.
pub(super) struct RunWriter {
    out: BufWriter<File>,
    id: u64,
    at: u64,
    data: Level,
    index: Level,
    top: BlockWriter,
    hashes: Vec<u64>,
}

/// A block being filled, and its first key.
#[derive(Default)]
struct Level {
    block: BlockWriter,
    first: String,
}

impl Level {
    fn push(&mut self, key: &str, value: Option<&[u8]>) {
        if self.block.is_empty() {
            key.clone_into(&mut self.first);
        }
        self.block.push(key, value);
    }
}

impl RunWriter {
    pub fn new(file: File, id: u64) -> Self {
        Self {
            out: BufWriter::with_capacity(1 << 18, file),
            id,
            at: 0,
            data: Level::default(),
            index: Level::default(),
            top: BlockWriter::default(),
            hashes: Vec::new(),
        }
    }

    pub fn push(&mut self, key: &str, value: Option<&[u8]>) -> std::io::Result<()> {
        self.hashes.push(bloom::hash(key));
        self.data.push(key, value);
        if self.data.block.len() >= BLOCK { self.end_data() } else { Ok(()) }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        self.out.write_all(bytes)?;
        let mut place = Vec::new();
        number(&mut place, usize::try_from(self.at).unwrap_or(usize::MAX));
        number(&mut place, bytes.len());
        self.at += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(place)
    }

    fn end_data(&mut self) -> std::io::Result<()> {
        if self.data.block.is_empty() {
            return Ok(());
        }
        let bytes = self.data.block.finish();
        let place = self.write(&bytes)?;
        self.index.push(&self.data.first, Some(&place));
        if self.index.block.len() >= BLOCK { self.end_index() } else { Ok(()) }
    }

    fn end_index(&mut self) -> std::io::Result<()> {
        if self.index.block.is_empty() {
            return Ok(());
        }
        let bytes = self.index.block.finish();
        let place = self.write(&bytes)?;
        self.top.push(&self.index.first, Some(&place));
        Ok(())
    }

    /// Ends the file and makes it durable.
    pub fn finish(mut self) -> std::io::Result<RunMark> {
        self.end_data()?;
        self.end_index()?;
        let records = self.hashes.len() as u64;
        let filter = bloom::build(&self.hashes);
        let pages = (filter.len() / bloom::PAGE) as u64;
        let filter_at = self.at;
        self.write(&filter)?;
        let top = self.top.finish();
        let top_at = self.at;
        self.write(&top)?;
        let mut footer = MAGIC.to_vec();
        for field in [top_at, top.len() as u64, filter_at, pages, records] {
            footer.extend_from_slice(&field.to_le_bytes());
        }
        let sum = crc32fast::hash(&footer);
        footer.extend_from_slice(&sum.to_le_bytes());
        self.write(&footer)?;
        let file = self.out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(RunMark { id: self.id, bytes: self.at, records, sum })
    }
}

/// A run, open for reading.
pub(super) struct Run {
    pub mark: RunMark,
    file: File,
    top: Block,
    filter_at: u64,
    pages: u64,
}

impl Run {
    /// The file's name in the view's directory.
    pub fn name(id: u64) -> String {
        format!("{id}.run")
    }

    /// `Err` with `NotFound` when a writer has just replaced it: look at what is current once more.
    pub fn open(dir: &Path, mark: &RunMark) -> Result<Self, OpenError> {
        let file = File::open(dir.join(Self::name(mark.id)))?;
        if file.metadata()?.len() != mark.bytes {
            return Err(damaged(&format!("{} is not as long as it was", Self::name(mark.id))).into());
        }
        let mut footer = vec![0; FOOTER];
        let footer_at = mark.bytes.checked_sub(FOOTER as u64).ok_or_else(|| damaged("a run is cut short"))?;
        file.read_exact_at(&mut footer, footer_at)?;
        super::block::proved(&mut footer)?;
        let field = |number: usize| -> Option<u64> {
            let begin = MAGIC.len() + number * 8;
            Some(u64::from_le_bytes(footer.get(begin..begin + 8)?.try_into().ok()?))
        };
        let fields = || Some((field(0)?, field(1)?, field(2)?, field(3)?, field(4)?));
        let (top_at, top_length, filter_at, pages, records) =
            fields().filter(|_| footer.starts_with(MAGIC)).ok_or_else(|| damaged("a run is none"))?;
        if crc32fast::hash(&footer) != mark.sum || records != mark.records {
            return Err(damaged(&format!("{} is another run", Self::name(mark.id))).into());
        }
        let place = Place { offset: top_at, length: usize::try_from(top_length).unwrap_or(usize::MAX) };
        let top = read_block(&file, place, mark.bytes)?;
        Ok(Self { mark: mark.clone(), file, top, filter_at, pages })
    }

    /// What a key stands for in this run: not at all, removed, or a value.
    pub fn find(&self, cache: &Cache, key: &str, hash: u64) -> Result<Option<Option<Vec<u8>>>, ViewError> {
        let page = self.filter_page(cache, bloom::page(hash, self.pages))?;
        if !bloom::may_hold(&page, hash) {
            return Ok(None);
        }
        let Some(at) = self.top.lower_bound(key, true).checked_sub(1) else { return Ok(None) };
        let index = self.child(cache, &self.top, at)?;
        let Some(at) = index.lower_bound(key, true).checked_sub(1) else { return Ok(None) };
        let data = self.child(cache, &index, at)?;
        Ok(data.find(key).map(|value| value.map(<[u8]>::to_vec)))
    }

    fn filter_page(&self, cache: &Cache, page: u64) -> Result<Arc<Vec<u8>>, ViewError> {
        let offset = self.filter_at + page * bloom::PAGE as u64;
        cache.page((self.mark.id, offset), || {
            let mut bytes = vec![0; bloom::PAGE];
            self.file.read_exact_at(&mut bytes, offset).map_err(unreadable)?;
            bloom::proved(&bytes)?;
            Ok(bytes)
        })
    }

    fn child(&self, cache: &Cache, parent: &Block, at: usize) -> Result<Arc<Block>, ViewError> {
        let place = parent.value(at).flatten().and_then(place).ok_or_else(|| damaged("an index is none"))?;
        cache.block((self.mark.id, place.offset), || read_block(&self.file, place, self.mark.bytes))
    }

    /// The records from one end of a range on, in the direction of `order`.
    pub fn cursor(
        self: &Arc<Self>,
        cache: &Arc<Cache>,
        start: &Bound<String>,
        order: Order,
    ) -> Result<Cursor, ViewError> {
        let mut cursor = Cursor {
            run: self.clone(),
            cache: cache.clone(),
            order,
            top_at: 0,
            index: Arc::default(),
            index_at: 0,
            data: Arc::default(),
            data_at: 0,
            done: false,
        };
        cursor.seek(start)?;
        Ok(cursor)
    }
}

/// Why a run could not be opened.
pub(super) enum OpenError {
    /// There is no such file.
    NotFound,
    Damaged(ViewError),
}

impl From<std::io::Error> for OpenError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::NotFound { Self::NotFound } else { Self::Damaged(unreadable(error)) }
    }
}

impl From<ViewError> for OpenError {
    fn from(error: ViewError) -> Self {
        Self::Damaged(error)
    }
}

fn unreadable(error: std::io::Error) -> ViewError {
    ViewError::Unreadable(format!("the view: {error}"))
}

fn place(value: &[u8]) -> Option<Place> {
    let mut at = 0;
    let offset = take(value, &mut at)?;
    Some(Place { offset: offset as u64, length: take(value, &mut at)? })
}

fn read_block(file: &File, place: Place, bytes: u64) -> Result<Block, ViewError> {
    // A length that a damaged index makes up must not become an allocation.
    if place.offset.saturating_add(place.length as u64) > bytes {
        return Err(damaged("an index points behind the end"));
    }
    let mut bytes = vec![0; place.length];
    file.read_exact_at(&mut bytes, place.offset).map_err(unreadable)?;
    Block::read(bytes)
}

/// A place among a run's records, moving in one direction.
pub(super) struct Cursor {
    run: Arc<Run>,
    cache: Arc<Cache>,
    order: Order,
    top_at: usize,
    index: Arc<Block>,
    index_at: usize,
    data: Arc<Block>,
    data_at: usize,
    done: bool,
}

impl Cursor {
    /// The record it stands on.
    pub fn current(&self) -> Option<(&str, Option<&[u8]>)> {
        if self.done { None } else { Some((self.data.key(self.data_at)?, self.data.value(self.data_at)?)) }
    }

    pub fn advance(&mut self) -> Result<(), ViewError> {
        match self.order {
            Order::Ascending => self.stand(Some(self.data_at + 1)),
            Order::Descending => self.stand(self.data_at.checked_sub(1)),
        }
    }

    fn seek(&mut self, start: &Bound<String>) -> Result<(), ViewError> {
        let (key, past) = match (start, self.order) {
            (Bound::Unbounded, Order::Ascending) => (String::new(), false),
            // Behind every key there can be.
            (Bound::Unbounded, Order::Descending) => ("\u{10FFFF}".to_owned(), true),
            (Bound::Included(key), Order::Ascending) | (Bound::Excluded(key), Order::Descending) => {
                (key.clone(), false)
            }
            (Bound::Excluded(key), Order::Ascending) | (Bound::Included(key), Order::Descending) => (key.clone(), true),
        };
        if self.run.top.len() == 0 {
            self.done = true;
            return Ok(());
        }
        self.top_at = self.run.top.lower_bound(&key, true).saturating_sub(1);
        self.index = self.run.child(&self.cache, &self.run.top, self.top_at)?;
        self.index_at = self.index.lower_bound(&key, true).saturating_sub(1);
        self.data = self.run.child(&self.cache, &self.index, self.index_at)?;
        let at = self.data.lower_bound(&key, past);
        match self.order {
            Order::Ascending => self.stand(Some(at)),
            Order::Descending => self.stand(at.checked_sub(1)),
        }
    }

    /// Stands on row `at`, or on the nearest one further on: `None` is before the block, its length behind it.
    fn stand(&mut self, at: Option<usize>) -> Result<(), ViewError> {
        match at.filter(|at| *at < self.data.len()) {
            Some(at) => {
                self.data_at = at;
                Ok(())
            }
            None => self.next_block(),
        }
    }

    fn next_block(&mut self) -> Result<(), ViewError> {
        let step = |at: usize, length: usize, order: Order| match order {
            Order::Ascending => Some(at + 1).filter(|at| *at < length),
            Order::Descending => at.checked_sub(1),
        };
        if let Some(at) = step(self.index_at, self.index.len(), self.order) {
            self.index_at = at;
        } else if let Some(at) = step(self.top_at, self.run.top.len(), self.order) {
            self.top_at = at;
            self.index = self.run.child(&self.cache, &self.run.top, at)?;
            self.index_at = if self.order == Order::Ascending { 0 } else { self.index.len().saturating_sub(1) };
        } else {
            self.done = true;
            return Ok(());
        }
        self.data = self.run.child(&self.cache, &self.index, self.index_at)?;
        self.data_at = if self.order == Order::Ascending { 0 } else { self.data.len().saturating_sub(1) };
        Ok(())
    }
}
