//! A Bloom filter in pages: most runs can say "not here" after one small read.

use super::block::damaged;
use crate::model::ViewError;

/// A page as it is written: bits, then their CRC-32.
pub(super) const PAGE: usize = 4096;
const BITS: u64 = (PAGE as u64 - 4) * 8;
/// Bits a key; with six probes one in a hundred keys that are not there is looked for in vain.
const PER_KEY: u64 = 10;
const PROBES: u64 = 6;

/// FNV-1a with a last mix: the same on every machine and in every version, which the standard hasher does not promise.
pub(super) fn hash(key: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

/// The page a key belongs to, of `pages`.
pub(super) fn page(hash: u64, pages: u64) -> u64 {
    ((hash >> 32) * pages) >> 32
}

fn probes(hash: u64) -> impl Iterator<Item = (usize, u8)> {
    let (start, step) = (hash & 0xffff_ffff, (hash.rotate_left(17) & 0xffff_ffff) | 1);
    (0..PROBES).map(move |probe| {
        let bit = (start + probe * step) % BITS;
        // Below PAGE * 8.
        (usize::try_from(bit / 8).unwrap_or_default(), 1 << (bit % 8))
    })
}

/// The filter's pages for these hashes, ready to be written.
pub(super) fn build(hashes: &[u64]) -> Vec<u8> {
    let keys = u64::try_from(hashes.len()).unwrap_or(u64::MAX);
    let pages = (keys.saturating_mul(PER_KEY)).div_ceil(BITS).max(1);
    let mut bytes = vec![0; usize::try_from(pages).unwrap_or_default() * PAGE];
    for hash in hashes {
        let begin = usize::try_from(page(*hash, pages)).unwrap_or_default() * PAGE;
        for (byte, bit) in probes(*hash) {
            if let Some(byte) = bytes.get_mut(begin + byte) {
                *byte |= bit;
            }
        }
    }
    for page in bytes.chunks_exact_mut(PAGE) {
        let (bits, sum) = page.split_at_mut(PAGE - 4);
        sum.copy_from_slice(&crc32fast::hash(bits).to_le_bytes());
    }
    bytes
}

/// Whether a key may be there, by its page as it was read.
pub(super) fn may_hold(page: &[u8], hash: u64) -> bool {
    probes(hash).all(|(byte, bit)| page.get(byte).is_some_and(|held| held & bit != 0))
}

/// A page without its checksum, which must be right.
pub(super) fn proved(page: &[u8]) -> Result<&[u8], ViewError> {
    let (bits, sum) = page.split_at_checked(PAGE - 4).ok_or_else(|| damaged("a filter is cut short"))?;
    if crc32fast::hash(bits).to_le_bytes() == *sum {
        Ok(bits)
    } else {
        Err(damaged("a filter does not match its checksum"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_few_others() {
        let key = |number: u32| format!("iapp-{number:05}@1.{number}.0");
        let hashes: Vec<u64> = (0..20_000).map(|number| hash(&key(number))).collect();
        let bytes = build(&hashes);
        let pages = u64::try_from(bytes.len() / PAGE).unwrap();
        let holds = |number: u32| {
            let hash = hash(&key(number));
            let begin = usize::try_from(page(hash, pages)).unwrap() * PAGE;
            may_hold(proved(&bytes[begin..begin + PAGE]).unwrap(), hash)
        };
        assert!((0..20_000).all(holds));
        let wrong = (20_000..40_000).filter(|number| holds(*number)).count();
        assert!(wrong < 600, "{wrong} of 20000");
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!([hash(""), hash("iweb@1.0"), hash("tweb:blue")], GOLDEN);
    }

    const GOLDEN: [u64; 3] = [9_615_434_041_927_672_947, 5_001_784_677_267_812_408, 6_853_694_279_758_584_920];
}
