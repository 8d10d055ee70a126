//! The newest changes, entry lines among them, batch after batch in one file: what is not in a run and not in the index yet.

use super::block::{Block, BlockWriter};
use super::layers::text;
use crate::model::ViewError;
use crate::store::records::Changes;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

/// What such a file holds, up to where it is whole.
#[derive(Default)]
pub(super) struct Recent {
    pub changes: Changes,
    /// How much of the file that is. What follows was being written when a process died, and is in the journal.
    pub bytes: u64,
}

/// The name of the file in the view's directory.
pub(super) fn name(id: u64) -> String {
    format!("{id}.recent")
}

impl Recent {
    /// Reads every whole batch. A file with an odd end is no damage: the journal has what is missing.
    pub fn read(file: &mut File) -> Result<Self, std::io::Error> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut recent = Self::default();
        let mut rest = bytes.as_slice();
        while let Some((batch, after)) = next(rest) {
            recent.changes.extend(batch);
            rest = after;
        }
        recent.bytes = (bytes.len() - rest.len()) as u64;
        Ok(recent)
    }
}

fn next(bytes: &[u8]) -> Option<(Changes, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (block, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    Some((decode(block.to_vec()).ok()?, rest))
}

fn decode(block: Vec<u8>) -> Result<Changes, ViewError> {
    let block = Block::read(block)?;
    let row = |at| Some((block.key(at)?.to_owned(), block.value(at)?));
    let rows = (0..block.len()).filter_map(row);
    rows.map(|(key, value)| Ok((key, value.map(|value| text(value.to_vec())).transpose()?))).collect()
}

/// Appends one batch at byte `at`, and says where the next one goes.
pub(super) fn append(file: &File, at: u64, changes: &Changes) -> std::io::Result<u64> {
    let mut block = BlockWriter::default();
    for (key, value) in changes {
        block.push(key, value.as_deref().map(str::as_bytes));
    }
    let block = block.finish();
    let length = u32::try_from(block.len()).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(&block);
    file.write_all_at(&bytes, at)?;
    Ok(at + bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    fn changes(rows: &[(&str, Option<&str>)]) -> Changes {
        rows.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect()
    }

    #[test]
    fn what_was_appended_reads_back_up_to_the_first_odd_byte() {
        let mut file = tempfile::tempfile().unwrap();
        let first = append(&file, 0, &changes(&[("a", Some("1")), ("b", Some("2"))])).unwrap();
        let second = append(&file, first, &changes(&[("b", None), ("c", Some("3"))])).unwrap();
        let read = |file: &mut File| {
            file.rewind().unwrap();
            Recent::read(file).unwrap()
        };
        let whole = read(&mut file);
        assert_eq!(whole.changes, changes(&[("a", Some("1")), ("b", None), ("c", Some("3"))]));
        assert_eq!(whole.bytes, second);
        for length in first..second {
            file.set_len(length).unwrap();
            let cut = read(&mut file);
            assert_eq!((cut.bytes, cut.changes.len()), (first, 2), "{length} bytes");
        }
        file.seek(std::io::SeekFrom::End(0)).unwrap();
        file.write_all(&[0; 5000]).unwrap();
        assert_eq!(read(&mut file).bytes, first, "zeros are no batch");
    }
}
