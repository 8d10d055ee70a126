//! Blocks that were read and proved, kept for a while: a command reads the same few again and again.

use super::block::Block;
use crate::model::ViewError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A run's id and an offset in its file.
type Key = (u64, u64);

/// Kept until there is too much of it; then it begins anew. A command that reads a lot reads it in order.
pub(super) struct Cache {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    blocks: BTreeMap<Key, Arc<Block>>,
    pages: BTreeMap<Key, Arc<Vec<u8>>>,
    weight: usize,
}

impl Cache {
    /// Holds about `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, kept: Mutex::default() }
    }

    pub fn block(&self, key: Key, read: impl FnOnce() -> Result<Block, ViewError>) -> Result<Arc<Block>, ViewError> {
        if let Some(block) = self.kept().blocks.get(&key) {
            return Ok(block.clone());
        }
        let block = Arc::new(read()?);
        self.room(block.weight()).blocks.insert(key, block.clone());
        Ok(block)
    }

    pub fn page(&self, key: Key, read: impl FnOnce() -> Result<Vec<u8>, ViewError>) -> Result<Arc<Vec<u8>>, ViewError> {
        if let Some(page) = self.kept().pages.get(&key) {
            return Ok(page.clone());
        }
        let page = Arc::new(read()?);
        self.room(page.len()).pages.insert(key, page.clone());
        Ok(page)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn room(&self, weight: usize) -> std::sync::MutexGuard<'_, Kept> {
        let mut kept = self.kept();
        if kept.weight + weight > self.limit {
            *kept = Kept::default();
        }
        kept.weight += weight;
        kept
    }
}
