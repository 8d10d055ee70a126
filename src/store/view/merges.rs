//! Which runs are merged, and the merging: as a log-structured merge tree does it, all in the foreground.

use super::current::Current;
use super::layers::{Layers, Source, merge as merge_sources};
use super::run::{Run, RunMark, RunWriter};
use super::{Fill, NoView, recent};
use crate::model::{Order, ViewError};
use crate::store::records::Span;
use std::fs::{self, File};
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

/// So many runs of one size become one of the next.
const FAN: usize = 4;
/// The size of the smallest runs.
const SMALLEST: u64 = 1 << 20;

/// 0 for the smallest, one more for each time four times as long.
fn level(bytes: u64) -> u32 {
    let mut level = 0;
    let mut limit = SMALLEST;
    while bytes > limit {
        level += 1;
        limit *= FAN as u64;
    }
    level
}

/// How many of the oldest runs stay as they are when a run of `bytes` is added.
pub(super) fn keep(runs: &[Arc<Run>], bytes: u64) -> usize {
    let mut keep = runs.len();
    let mut total = bytes;
    loop {
        // The new run and its neighbours of its size or less: enough of them become one, which may then be enough again.
        let level_now = level(total);
        let smaller = runs.iter().take(keep).rev().take_while(|run| level(run.mark.bytes) <= level_now).count();
        if smaller + 1 < FAN && !runs.iter().take(keep).rev().take(smaller).any(|run| level(run.mark.bytes) < level_now)
        {
            return keep;
        }
        total += runs.iter().take(keep).rev().take(smaller).map(|run| run.mark.bytes).sum::<u64>();
        keep -= smaller;
        if smaller == 0 {
            return keep;
        }
    }
}

/// Writes the recent changes and the runs after the first `keep` as one run.
pub(super) fn merge(dir: &Path, id: u64, layers: &Layers, keep: usize) -> Result<RunMark, NoView> {
    let span = Span { from: Bound::Unbounded, to: Bound::Unbounded, order: Order::Ascending };
    let mut sources = vec![Source::recent(&layers.recent, &span)];
    for run in layers.runs.iter().skip(keep).rev() {
        sources.push(Source::Run(run.cursor(&layers.cache, &span.from, span.order)?));
    }
    let mut writer = writer(dir, id)?;
    merge_sources(&mut sources, &span, &mut |key, value| {
        // Entries' own lines are in the journal and the index; a removal has nothing to hide under the oldest run.
        if !key.starts_with('e') && (value.is_some() || keep > 0) {
            writer.push(key, value).map_err(|error| ViewError::Unreadable(error.to_string()))?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(writer.finish()?)
}

/// Writes a run of these records.
pub(super) fn write(
    dir: &Path,
    id: u64,
    fill: impl FnOnce(&mut Fill<'_>) -> Result<(), ViewError>,
) -> Result<RunMark, NoView> {
    let mut writer = writer(dir, id)?;
    fill(&mut |key, value| {
        let pushed = if key.starts_with('e') { Ok(()) } else { writer.push(key, Some(value.as_bytes())) };
        pushed.map_err(|error| ViewError::Unreadable(error.to_string()))
    })?;
    Ok(writer.finish()?)
}

fn writer(dir: &Path, id: u64) -> Result<RunWriter, std::io::Error> {
    Ok(RunWriter::new(File::create(dir.join(Run::name(id)))?, id))
}

/// Removes files of the view that are not current: merged away, or left by a process that died.
pub(super) fn sweep(dir: &Path, current: &Current) {
    let mut names: Vec<String> = current.runs.iter().map(|run| Run::name(run.id)).collect();
    names.push(recent::name(current.recent));
    for file in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if (name.ends_with(".run") || name.ends_with(".recent")) && !names.contains(&name) {
            // Derived data that nobody refers to; what cannot be removed is removed next time.
            drop(fs::remove_file(file.path()));
        }
    }
}
