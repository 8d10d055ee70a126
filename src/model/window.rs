//! When promotions are let through: stretches of the week as a clock on the wall of some zone shows them.

use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use std::collections::BTreeSet;
use std::fmt;

/// Minutes of a day.
const DAY: i16 = 24 * 60;
/// How far ahead an opening is looked for: every window opens once a week, unless its hour is left out that day.
const AHEAD: i64 = 15;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// `Mon-Thu 09:00-17:00 Europe/Berlin`: open while a clock there shows such a time on such a day. An hour that comes twice
/// is in it twice; of an hour that is left out nothing is made up for. One that ends at or before it begins runs over
/// midnight, and belongs to the day it begins on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    text: String,
    /// Counted from Monday, 0.
    days: BTreeSet<i8>,
    /// Minutes of the day; `until` is excluded.
    from: i16,
    until: i16,
    zone: TimeZone,
}

/// Why a text is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    #[error("expected days, times and a zone, as in \"Mon-Thu 09:00-17:00 Europe/Berlin\"")]
    Shape,
    #[error("expected days as in \"Mon-Fri\", \"Sat,Sun\" or \"daily\", found `{0}`")]
    Days(String),
    #[error("expected times as in \"09:00-17:00\", found `{0}`")]
    Times(String),
    #[error("no time zone `{0}` is known on this machine: UTC always is, others come with its package tzdata")]
    Zone(String),
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Window {
    /// Reads a window; `zone` finds a time zone by its IANA name.
    pub fn parse(text: &str, zone: impl Fn(&str) -> Option<TimeZone>) -> Result<Self, WindowError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [days, times, name] = words.as_slice() else { return Err(WindowError::Shape) };
        let (from, until) = read_times(times).ok_or_else(|| WindowError::Times((*times).to_owned()))?;
        Ok(Self {
            text: words.join(" "),
            days: read_days(days).ok_or_else(|| WindowError::Days((*days).to_owned()))?,
            from,
            until,
            zone: zone(name).ok_or_else(|| WindowError::Zone((*name).to_owned()))?,
        })
    }

    pub fn is_open(&self, at: Timestamp) -> bool {
        let there = at.to_zoned(self.zone.clone());
        let minute = i16::from(there.hour()) * 60 + i16::from(there.minute());
        let today = there.weekday().to_monday_zero_offset();
        let on = |day: i8| self.days.contains(&day.rem_euclid(7));
        if self.from < self.until {
            return on(today) && (self.from..self.until).contains(&minute);
        }
        (on(today) && minute >= self.from) || (on(today - 1) && minute < self.until)
    }

    /// The first moment after `now` at which it opens.
    pub fn opens_after(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.to_zoned(self.zone.clone()).date();
        let days = (0..=AHEAD).filter_map(|days| today.checked_add(days.days()).ok());
        let mut moments: Vec<Timestamp> = days.flat_map(|day| self.begins(day)).collect();
        // Where the clock is put forward over its beginning, or back into it, it opens at that very moment.
        let horizon = moments.iter().max().copied().unwrap_or(now);
        let changes = self.zone.following(now).map(|change| change.timestamp());
        moments.extend(changes.take_while(|change| *change <= horizon));
        let just_before = |at: Timestamp| at.checked_sub(1.nanoseconds()).is_ok_and(|before| self.is_open(before));
        moments.into_iter().filter(|at| *at > now && self.is_open(*at) && !just_before(*at)).min()
    }

    /// When the clock shows its beginning on this day: once, twice or never.
    fn begins(&self, day: Date) -> Vec<Timestamp> {
        let time = |minute: i16| Time::new(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0).ok();
        let Some(time) = time(self.from) else { return Vec::new() };
        let shown = day.to_datetime(time);
        let offsets = match self.zone.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => vec![offset],
            AmbiguousOffset::Fold { before, after } => vec![before, after],
            AmbiguousOffset::Gap { .. } => Vec::new(),
        };
        offsets.into_iter().filter_map(|offset| offset.to_timestamp(shown).ok()).collect()
    }
}

fn read_days(text: &str) -> Option<BTreeSet<i8>> {
    if text.eq_ignore_ascii_case("daily") {
        return Some((0..7).collect());
    }
    let day = |word: &str| {
        let at = DAYS.iter().position(|day| day.eq_ignore_ascii_case(word))?;
        i8::try_from(at).ok()
    };
    let mut days = BTreeSet::new();
    for part in text.split(',') {
        match part.split_once('-') {
            Some((first, last)) => {
                let (first, last) = (day(first)?, day(last)?);
                // From Friday to Monday is over the weekend.
                let count = (last - first).rem_euclid(7);
                days.extend((0..=count).map(|step| (first + step).rem_euclid(7)));
            }
            None => drop(days.insert(day(part)?)),
        }
    }
    Some(days)
}

fn read_times(text: &str) -> Option<(i16, i16)> {
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let digits = |text: &str| (text.len() == 2).then(|| text.parse::<i16>().ok())?;
        let (hour, minute) = (digits(hour)?, digits(minute)?);
        let all = hour * 60 + minute;
        ((0..60).contains(&minute) && (0..=DAY).contains(&all)).then_some(all)
    };
    let (from, until) = text.split_once('-')?;
    let (from, until) = (minute(from)?, minute(until)?);
    // All day is 00:00-24:00: two equal times would be that, or nothing.
    (from < DAY && from != until && until > 0).then_some((from, until))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> Window {
        Window::parse(text, |name| TimeZone::get(name).ok()).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn it_is_open_on_its_days_between_its_times() {
        let office = window("Mon-Thu 09:00-17:00 Europe/Berlin");
        for (moment, open) in [
            ("2026-11-19T07:59:59Z", false), // a Thursday, 08:59:59 there
            ("2026-11-19T08:00:00Z", true),
            ("2026-11-19T15:59:59Z", true),
            ("2026-11-19T16:00:00Z", false),
            ("2026-11-20T10:00:00Z", false),
            ("2026-07-02T07:00:00Z", true), // in summer an hour earlier
        ] {
            assert_eq!(office.is_open(at(moment)), open, "{moment}");
        }
        assert_eq!(office.opens_after(at("2026-11-19T16:00:00Z")), Some(at("2026-11-23T08:00:00Z")));
    }

    #[test]
    fn one_that_runs_over_midnight_belongs_to_the_day_it_begins_on() {
        let night = window("Fri 22:00-04:00 UTC");
        assert!(night.is_open(at("2026-11-20T23:00:00Z")) && night.is_open(at("2026-11-21T03:59:00Z")));
        assert!(!night.is_open(at("2026-11-20T03:00:00Z")) && !night.is_open(at("2026-11-21T04:00:00Z")));
        assert_eq!(night.opens_after(at("2026-11-21T05:00:00Z")), Some(at("2026-11-27T22:00:00Z")));
        assert!(window("Sun-Mon,Wed 00:00-24:00 UTC").is_open(at("2026-11-23T12:00:00Z")));
    }

    #[test]
    fn what_is_no_window_says_what_would_be_one() {
        let error = |text: &str| Window::parse(text, |name| TimeZone::get(name).ok()).unwrap_err().to_string();
        assert!(error("").contains("Mon-Thu 09:00-17:00 Europe/Berlin"));
        for (text, named) in [
            ("Mo 09:00-17:00 UTC", "`Mo`"),
            ("Mon 9-17 UTC", "`9-17`"),
            ("Mon 09:00-09:00 UTC", "`09:00-09:00`"),
            ("Mon 24:00-09:00 UTC", "`24:00-09:00`"),
            ("Mon 09:60-17:00 UTC", "`09:60-17:00`"),
            ("Mon 09:00-17:00 Europe/Berlim", "`Europe/Berlim`"),
        ] {
            assert!(error(text).contains(named), "{text}: {}", error(text));
        }
    }

    /// Zones whose clocks change at other hours, in other months, by other steps, and over midnight.
    const ZONES: [&str; 10] = [
        "Europe/Berlin",
        "Europe/London",
        "America/New_York",
        "America/Los_Angeles",
        "America/Sao_Paulo",
        "America/Santiago",
        "Australia/Lord_Howe",
        "Australia/Sydney",
        "Africa/Cairo",
        "Asia/Beirut",
    ];

    /// Minute by minute around every change of the clock: open is what the clock on the wall shows, and the next opening
    /// is the first minute at which it is open and was not before.
    #[test]
    fn every_change_of_the_clock_is_as_the_wall_shows_it() {
        let mut changes = 0;
        for zone in ZONES {
            let there = TimeZone::get(zone).unwrap();
            let years = at("2015-01-01T00:00:00Z")..at("2020-01-01T00:00:00Z");
            let each = there.following(years.start).map(|change| change.timestamp());
            for change in each.take_while(|change| years.contains(change)) {
                changes += 1;
                for times in ["02:30-03:15", "01:45-02:00", "23:30-00:30", "00:00-24:00"] {
                    by_the_wall(&window(&format!("daily {times} {zone}")), &there, change, times);
                }
            }
        }
        assert!(changes >= 80, "the database of time zones is there: {changes} changes");
    }

    fn by_the_wall(window: &Window, zone: &TimeZone, change: Timestamp, times: &str) {
        let (from, until) = times.split_once('-').unwrap();
        let shows = |moment: Timestamp| {
            let clock = moment.to_zoned(zone.clone()).strftime("%H:%M").to_string();
            if from < until { *from <= *clock && *clock < *until } else { *clock >= *from || *clock < *until }
        };
        let minutes: Vec<Timestamp> = (-360..1800).map(|minute: i64| change + minute.minutes()).collect();
        let mut next = None;
        for pair in minutes.windows(2).rev() {
            let [before, moment] = pair else { unreachable!() };
            assert_eq!(window.is_open(*moment), shows(*moment), "{window} at {moment}");
            if shows(*moment) && !shows(*before) {
                next = Some(*moment);
            }
            if let Some(next) = next.filter(|next| next > before && before.as_second() % 1020 == 0) {
                assert_eq!(window.opens_after(*before), Some(next), "{window} after {before}");
            }
        }
    }
}
