//! A block: some records in key order, with a checksum; what does not match it is damage, never an answer.

use crate::model::ViewError;

/// One record's place in a block: its key in `keys`, its value in `bytes`; no value means the key was removed.
#[derive(Debug, Clone, Copy)]
struct Row {
    key: (usize, usize),
    value: Option<(usize, usize)>,
}

/// Rows being put together. Keys come in ascending order; what a key shares with the one before is written once.
#[derive(Default)]
pub(super) struct BlockWriter {
    bytes: Vec<u8>,
    last: Vec<u8>,
    rows: usize,
}

impl BlockWriter {
    pub fn push(&mut self, key: &str, value: Option<&[u8]>) {
        let shared = self.last.iter().zip(key.as_bytes()).take_while(|(a, b)| a == b).count();
        let rest = key.as_bytes().get(shared..).unwrap_or_default();
        number(&mut self.bytes, shared);
        number(&mut self.bytes, rest.len());
        // 0 says removed; a value's length is one less than what stands here.
        number(&mut self.bytes, value.map_or(0, |value| value.len() + 1));
        self.bytes.extend_from_slice(rest);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.last.truncate(shared);
        self.last.extend_from_slice(rest);
        self.rows += 1;
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The block as it is written: the rows, then their CRC-32, little-endian. The writer is empty again.
    pub fn finish(&mut self) -> Vec<u8> {
        self.last.clear();
        self.rows = 0;
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }
}

/// A block as it was read, proved by its checksum.
#[derive(Debug, Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    keys: String,
    rows: Vec<Row>,
}

impl Block {
    /// Takes what `BlockWriter::finish` made.
    pub fn read(mut bytes: Vec<u8>) -> Result<Self, ViewError> {
        proved(&mut bytes)?;
        let (mut keys, mut rows) = (Vec::new(), Vec::new());
        let (mut at, mut last) = (0, (0, 0));
        while at < bytes.len() {
            let row = next_row(&bytes, &mut at, &mut keys, last).ok_or_else(|| damaged("a record is cut short"))?;
            last = row.key;
            rows.push(row);
        }
        // Proved once: what is walked over asks for every key several times.
        let keys = String::from_utf8(keys).map_err(|_| damaged("a key is not text"))?;
        Ok(Self { bytes, keys, rows })
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The key of row `at`.
    pub fn key(&self, at: usize) -> Option<&str> {
        let (from, to) = self.rows.get(at)?.key;
        self.keys.get(from..to)
    }

    fn key_bytes(&self, row: &Row) -> &[u8] {
        self.keys.as_bytes().get(row.key.0..row.key.1).unwrap_or_default()
    }

    /// The value of row `at`; `Some(None)` where the key was removed.
    pub fn value(&self, at: usize) -> Option<Option<&[u8]>> {
        Some(match self.rows.get(at)?.value {
            Some((from, to)) => Some(self.bytes.get(from..to)?),
            None => None,
        })
    }

    /// The first row whose key is not less than `key`, or greater when `past` is set.
    pub fn lower_bound(&self, key: &str, past: bool) -> usize {
        self.rows.partition_point(|row| match self.key_bytes(row).cmp(key.as_bytes()) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => past,
            std::cmp::Ordering::Greater => false,
        })
    }

    /// What a key stands for here: not at all, removed, or a value.
    pub fn find(&self, key: &str) -> Option<Option<&[u8]>> {
        let at = self.lower_bound(key, false);
        if self.key(at) == Some(key) { self.value(at) } else { None }
    }

    /// About what it costs to keep it.
    pub fn weight(&self) -> usize {
        self.bytes.len() + self.keys.len() + self.rows.len() * size_of::<Row>()
    }
}

/// Cuts the checksum off, if it is the right one.
pub(super) fn proved(bytes: &mut Vec<u8>) -> Result<(), ViewError> {
    let body = bytes.len().checked_sub(4).ok_or_else(|| damaged("a block is cut short"))?;
    let sum = bytes.split_off(body);
    if crc32fast::hash(bytes).to_le_bytes() == *sum {
        Ok(())
    } else {
        Err(damaged("a block does not match its checksum"))
    }
}

pub(super) fn damaged(why: &str) -> ViewError {
    ViewError::Unreadable(format!("the view is damaged: {why}"))
}

fn next_row(bytes: &[u8], at: &mut usize, keys: &mut Vec<u8>, last: (usize, usize)) -> Option<Row> {
    let (shared, rest, value) = (take(bytes, at)?, take(bytes, at)?, take(bytes, at)?);
    let begin = keys.len();
    if shared > last.1 - last.0 {
        return None;
    }
    keys.extend_from_within(last.0..last.0 + shared);
    keys.extend_from_slice(bytes.get(*at..at.checked_add(rest)?)?);
    *at += rest;
    let key = (begin, keys.len());
    let Some(length) = value.checked_sub(1) else { return Some(Row { key, value: None }) };
    let end = at.checked_add(length).filter(|end| *end <= bytes.len())?;
    let value = Some((*at, end));
    *at = end;
    Some(Row { key, value })
}

/// Appends a number, seven bits a byte, the lowest first.
pub(super) fn number(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads a number and steps behind it.
pub(super) fn take(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let (mut number, mut shift) = (0usize, 0);
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(number);
        }
        shift += 7;
        if shift > 56 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Vec<u8> {
        let mut writer = BlockWriter::default();
        writer.push("iweb@1.0", Some(b"one"));
        writer.push("iweb@1.1", None);
        writer.push("iweb@2", Some(b""));
        writer.push("tweb:blue", Some(&[7; 300]));
        writer.finish()
    }

    #[test]
    fn a_block_reads_back_as_it_was_written() {
        let block = Block::read(block()).unwrap();
        assert_eq!(block.len(), 4);
        assert_eq!(block.find("iweb@1.0"), Some(Some(&b"one"[..])));
        assert_eq!(block.find("iweb@1.1"), Some(None), "removed is not the same as never there");
        assert_eq!(block.find("iweb@1.2"), None);
        assert_eq!(block.find("iweb@2"), Some(Some(&b""[..])));
        assert_eq!(block.find("tweb:blue").flatten().map(<[u8]>::len), Some(300));
        assert_eq!((block.lower_bound("iweb@1.1", false), block.lower_bound("iweb@1.1", true)), (1, 2));
    }

    #[test]
    fn no_changed_bit_passes() {
        let whole = block();
        for bit in 0..whole.len() * 8 {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Block::read(bad).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(Block::read(whole[..length].to_vec()).is_err(), "{length} bytes");
        }
        assert!(Block::read(vec![0; 4096]).is_err(), "a page of zeros");
    }

    #[test]
    fn numbers_of_every_length_read_back() {
        for wanted in [0, 1, 127, 128, 300, 16_383, 16_384, usize::MAX >> 8] {
            let mut bytes = Vec::new();
            number(&mut bytes, wanted);
            assert_eq!(take(&bytes, &mut 0), Some(wanted));
            assert_eq!(take(&bytes[..bytes.len() - 1], &mut 0), None);
        }
    }
}
