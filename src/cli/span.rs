//! `--from` and `--to`: a stretch of time as a person writes it.

use super::failure::Failure;
use super::render::time;
use crate::plan::change::Range;
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use std::str::FromStr;

/// From when until when. Dates are whole days in UTC, the last one included.
#[derive(Debug, Clone, Default, Args)]
pub struct Span {
    /// Only what began at or after this: a date (UTC), or a time with its zone as in 2026-03-01T08:00:00+01:00
    #[arg(long, value_name = "TIME", value_parser = first)]
    from: Option<Timestamp>,
    /// Only what began before this: a date (UTC) includes its whole day; a time with its zone is itself excluded
    #[arg(long, value_name = "TIME", value_parser = end)]
    to: Option<Timestamp>,
}

impl Span {
    pub fn range(&self) -> Result<Range, Failure> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from >= to => Err(Failure::usage(
                format!("nothing lies between {} and {}", time::moment(from), time::moment(to)),
                "--from is the earlier one; a date in --to includes its whole day",
            )),
            (from, to) => Ok(Range { from, to }),
        }
    }
}

fn first(text: &str) -> Result<Timestamp, String> {
    moment(text, 0)
}

fn end(text: &str) -> Result<Timestamp, String> {
    moment(text, 1)
}

/// The time that is written, or the beginning of the day `later` days after the one that is.
fn moment(text: &str, later: i64) -> Result<Timestamp, String> {
    let wanted = || "a date (2026-03-31) or a time with its zone (2026-03-31T18:00:00Z) is needed".to_owned();
    // A date's parser would take a time without a zone, too, and drop it.
    if text.len() > "2026-03-31".len() {
        return text.parse().map_err(|_| wanted());
    }
    let day: Date = text.parse().map_err(|_| wanted())?;
    let day = day.checked_add(later.days()).map_err(|_| wanted())?;
    Ok(day.to_zoned(TimeZone::UTC).map_err(|_| wanted())?.timestamp())
}

/// `--until`: a moment to come, as a person writes it.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    At(Timestamp),
    In(SignedDuration),
}

impl Until {
    /// The moment that is meant; it must lie ahead.
    pub fn after(self, now: Timestamp) -> Result<Timestamp, Failure> {
        let at = match self {
            Self::At(at) => at,
            Self::In(time) => now.saturating_add(time).unwrap_or(Timestamp::MAX),
        };
        if at > now {
            return Ok(at);
        }
        let what = format!("{} is over already", time::moment(at));
        Err(Failure::usage(what, "--until is a moment to come: a date, a time with its zone, or a duration as in 2h"))
    }
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days = |text: &str| text.strip_suffix('d')?.parse::<i64>().ok().filter(|days| *days < 36_500);
        if let Some(days) = days(text) {
            return Ok(Self::In(SignedDuration::from_hours(24 * days)));
        }
        let time = text.parse::<SignedDuration>().ok().filter(SignedDuration::is_positive);
        let wanted =
            "a date (2026-12-01), a time with its zone (2026-12-01T08:00:00+01:00) or a duration (2h, 3d) is needed";
        time.map(Self::In).or_else(|| moment(text, 0).ok().map(Self::At)).ok_or_else(|| wanted.to_owned())
    }
}

/// A length of time as a person writes it: `30s`, `5m`.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    let time = text.parse::<SignedDuration>().ok().filter(SignedDuration::is_positive);
    let time = time.and_then(|time| std::time::Duration::try_from(time).ok());
    time.ok_or_else(|| "a duration (30s, 5m) is needed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Result<Timestamp, String> {
        Ok(text.parse().unwrap())
    }

    #[test]
    fn a_day_is_there_from_its_beginning_to_its_end() {
        assert_eq!((first("2026-03-31"), end("2026-03-31")), (at("2026-03-31T00:00:00Z"), at("2026-04-01T00:00:00Z")));
        assert_eq!(end("2026-12-31"), at("2027-01-01T00:00:00Z"));
        let range = Span { from: first("2026-03-31").ok(), to: end("2026-03-31").ok() }.range().unwrap();
        let holds = |text: &str| range.holds(text.parse().unwrap());
        assert!(holds("2026-03-31T00:00:00Z") && holds("2026-03-31T23:59:59.999999999Z"));
        assert!(!holds("2026-03-30T23:59:59.999999999Z") && !holds("2026-04-01T00:00:00Z"));
    }

    #[test]
    fn a_time_has_a_zone_and_is_meant_to_the_moment() {
        assert_eq!(first("2026-03-31T18:00:00+02:00"), at("2026-03-31T16:00:00Z"));
        assert_eq!(end("2026-03-31T18:00:00Z"), at("2026-03-31T18:00:00Z"));
        for bad in ["", "yesterday", "2026-02-30", "2026-03-31T18:00:00", "2026-3-1", "9999-12-31T", "31.03.2026"] {
            assert!(first(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn until_is_a_moment_to_come() {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let until = |text: &str| text.parse::<Until>().unwrap().after(now).map_err(|_| ());
        let at = |text: &str| Ok(text.parse().unwrap());
        assert_eq!(until("2h"), at("2026-11-20T14:00:00Z"));
        assert_eq!(until("3d"), at("2026-11-23T12:00:00Z"));
        assert_eq!(until("1h 30m"), at("2026-11-20T13:30:00Z"));
        assert_eq!(until("2026-12-01"), at("2026-12-01T00:00:00Z"));
        assert_eq!(until("2026-12-01T08:00:00+01:00"), at("2026-12-01T07:00:00Z"));
        assert_eq!(until("2026-11-20"), Err(()));
        for bad in ["", "soon", "-2h", "0s", "2026-12-01T08:00:00", "999999d"] {
            assert!(bad.parse::<Until>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_lies_between_a_time_and_an_earlier_one() {
        let span = |from, to| Span { from: first(from).ok(), to: end(to).ok() }.range();
        assert_eq!(span("2026-03-31", "2026-03-30").unwrap_err().exit() as u8, 64);
        assert!(span("2026-03-31", "2026-03-31").is_ok());
        assert_eq!(Span::default().range().unwrap(), Range::default());
    }
}
