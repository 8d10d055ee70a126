//! Periods: weeks, months and quarters as the calendar has them, in UTC.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

/// From when (included) until when (excluded).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Period {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Period {
    pub fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// From Monday on (ISO 8601).
    Week,
    Month,
    Quarter,
}

impl Unit {
    /// Its first day, for the one that a day lies in.
    fn first(self, day: Date) -> Date {
        match self {
            Self::Week => day.checked_sub(i64::from(day.weekday().since(Weekday::Monday)).days()).unwrap_or(day),
            Self::Month => day.first_of_month(),
            Self::Quarter => Date::new(day.year(), (day.month() - 1) / 3 * 3 + 1, 1).unwrap_or(day),
        }
    }

    fn later(self, first: Date, units: i64) -> Date {
        let span = match self {
            Self::Week => (units * 7).days(),
            Self::Month => units.months(),
            Self::Quarter => (units * 3).months(),
        };
        // Past the end of the calendar there is nothing more to count.
        first.saturating_add(span)
    }

    /// When the unit began that lies `back` units before the one of this moment.
    pub fn begins(self, at: Timestamp, back: i64) -> Timestamp {
        midnight(self.later(self.first(day(at)), -back), at)
    }

    /// The units that touch a stretch of time, cut off at its ends.
    pub fn split(self, whole: Period) -> Vec<Period> {
        let (mut periods, mut first) = (Vec::new(), self.first(day(whole.from)));
        let mut from = whole.from;
        while from < whole.to {
            first = self.later(first, 1);
            let to = midnight(first, whole.to).min(whole.to);
            if to <= from {
                break;
            }
            periods.push(Period { from, to });
            from = to;
        }
        periods
    }
}

fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn midnight(day: Date, otherwise: Timestamp) -> Timestamp {
    day.to_zoned(TimeZone::UTC).map_or(otherwise, |zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn days(unit: Unit, from: &str, to: &str) -> Vec<String> {
        let periods = unit.split(Period { from: at(from), to: at(to) });
        periods.iter().map(|period| format!("{} {}", day(period.from), day(period.to))).collect()
    }

    #[test]
    fn units_are_those_of_the_calendar_cut_at_the_ends_of_the_stretch() {
        let (from, to) = ("2026-01-15T06:00:00Z", "2026-03-10T00:00:00Z");
        assert_eq!(
            days(Unit::Month, from, to),
            ["2026-01-15 2026-02-01", "2026-02-01 2026-03-01", "2026-03-01 2026-03-10"]
        );
        assert_eq!(
            days(Unit::Quarter, from, "2026-05-01T00:00:00Z"),
            ["2026-01-15 2026-04-01", "2026-04-01 2026-05-01"]
        );
        assert_eq!(
            days(Unit::Week, "2026-11-18T00:00:00Z", "2026-11-30T12:00:00Z"),
            ["2026-11-18 2026-11-23", "2026-11-23 2026-11-30", "2026-11-30 2026-11-30"]
        );
        assert!(days(Unit::Week, to, from).is_empty() && days(Unit::Week, to, to).is_empty());
    }

    #[test]
    fn periods_side_by_side_make_the_whole() {
        let whole = Period { from: at("2023-12-31T23:59:59Z"), to: at("2026-11-21T03:00:00.5Z") };
        for unit in [Unit::Week, Unit::Month, Unit::Quarter] {
            let periods = unit.split(whole);
            assert_eq!((periods[0].from, periods[periods.len() - 1].to), (whole.from, whole.to));
            assert!(periods.windows(2).all(|pair| pair[0].to == pair[1].from));
        }
    }

    #[test]
    fn a_unit_begins_on_its_first_day() {
        let now = at("2026-11-21T03:00:00Z");
        assert_eq!(Unit::Week.begins(now, 0), at("2026-11-16T00:00:00Z"));
        assert_eq!(Unit::Month.begins(now, 11), at("2025-12-01T00:00:00Z"));
        assert_eq!(Unit::Quarter.begins(now, 5), at("2025-07-01T00:00:00Z"));
    }
}
