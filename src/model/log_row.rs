//! A row of a log: which of sixty-four entries in a row concern a channel or an image. A row for each would be most of a ledger.

use super::Seq;
use super::ledger::ViewError;

/// How many entries one row speaks of: a bit for each.
const SPAN: u64 = 64;

/// The key of the row that speaks of an entry: whose log it is, and the first entry that the row speaks of.
pub fn key(whose: &str, seq: Seq) -> String {
    format!("{whose}|{}", Seq(seq.0 - seq.0 % SPAN).key())
}

/// The row with one more entry in it.
pub fn with(key: &str, row: Option<&str>, seq: Seq) -> Result<String, ViewError> {
    let bits = row.map_or(Ok(0), |row| bits(key, row))?;
    Ok(format!("{:016x}", bits | 1 << (seq.0 % SPAN)))
}

/// The entries that a row speaks of, oldest first.
pub fn entries(key: &str, row: &str) -> Result<impl DoubleEndedIterator<Item = Seq> + use<>, ViewError> {
    let first: Option<u64> = key.rsplit('|').next().and_then(|digits| digits.parse().ok());
    let first = first.ok_or_else(|| damaged(key, "no entry number"))?;
    let bits = bits(key, row)?;
    Ok((0..SPAN).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| Seq(first + bit)))
}

fn bits(key: &str, row: &str) -> Result<u64, ViewError> {
    u64::from_str_radix(row, 16).map_err(|_| damaged(key, "sixteen hexadecimal digits are expected"))
}

fn damaged(key: &str, why: &str) -> ViewError {
    ViewError::Damaged { key: key.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_each_entry_once_and_in_order() {
        let numbers = [130, 128, 191, 130, 150];
        let mut row = None;
        for seq in numbers.map(Seq) {
            let key = key("web/prod", seq);
            assert_eq!(key, "web/prod|0000000000000128");
            row = Some(with(&key, row.as_deref(), seq).unwrap());
        }
        let (key, row) = (key("web/prod", Seq(191)), row.unwrap());
        assert_eq!(row.len(), 16);
        let found: Vec<u64> = entries(&key, &row).unwrap().map(|seq| seq.0).collect();
        assert_eq!(found, [128, 130, 150, 191]);
        assert_eq!(super::key("web/prod", Seq(192)), "web/prod|0000000000000192");
    }

    #[test]
    fn a_row_that_was_damaged_is_an_error() {
        assert!(with("web/prod|0000000000000128", Some("x"), Seq(130)).is_err());
        assert!(entries("web/prod", "0000000000000001").is_err());
        assert!(entries("web/prod|0000000000000128", "").is_err());
    }
}
