//! `current`: which runs make up the view, and how far they follow the journal. Replaced as a whole, or not at all.

use super::block::damaged;
use super::run::RunMark;
use crate::model::ViewError;
use crate::store::crash;
use crate::store::records::Applied;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// The version of the view's files. A view of another version is made again.
const VERSION: u32 = 1;
const NAME: &str = "current";

/// What the view is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Current {
    version: u32,
    /// How far the runs follow the journal.
    pub applied: Applied,
    /// Oldest first.
    pub runs: Vec<RunMark>,
    /// The file with what came after.
    pub recent: u64,
    /// Counts every `current` of this ledger: another number is another state of the files.
    pub turn: u64,
}

/// Why there is no telling what is current.
pub(super) enum NotCurrent {
    Missing,
    Unusable(String),
}

impl Current {
    pub fn new(applied: Applied, runs: Vec<RunMark>, recent: u64, turn: u64) -> Self {
        Self { version: VERSION, applied, runs, recent, turn }
    }

    /// An id for a file that no current or earlier view has.
    pub fn next_id(&self) -> u64 {
        self.runs.iter().map(|run| run.id).chain([self.recent]).max().unwrap_or_default() + 1
    }

    pub fn read(dir: &Path) -> Result<Self, NotCurrent> {
        let text = match fs::read_to_string(dir.join(NAME)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(NotCurrent::Missing),
            Err(error) => return Err(NotCurrent::Unusable(error.to_string())),
        };
        Self::parse(&text).map_err(|error| NotCurrent::Unusable(error.to_string()))
    }

    fn parse(text: &str) -> Result<Self, ViewError> {
        let (json, sum) = text.trim_end().rsplit_once('\n').ok_or_else(|| damaged("what is current is cut short"))?;
        if sum != checksum(json) {
            return Err(damaged("what is current does not match its checksum"));
        }
        let current: Self = serde_json::from_str(json).map_err(|_| damaged("it was made by another imgctl"))?;
        if current.version == VERSION { Ok(current) } else { Err(damaged("it was made by another imgctl")) }
    }

    /// Makes it the current one, durably.
    pub fn write(&self, dir: &Path) -> std::io::Result<()> {
        let json = serde_json::to_string(self).map_err(std::io::Error::other)?;
        let new = dir.join("current.new");
        let mut file = File::create(&new)?;
        writeln!(file, "{json}\n{}", checksum(&json))?;
        file.sync_all()?;
        crash::point();
        fs::rename(&new, dir.join(NAME))?;
        crash::point();
        File::open(dir)?.sync_all()
    }
}

fn checksum(json: &str) -> String {
    format!("{:08x}", crc32fast::hash(json.as_bytes()))
}
