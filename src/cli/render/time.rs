//! Times: how long ago at a glance, and the moment itself, in UTC, where it has to be exact.

use jiff::Timestamp;

/// `2026-11-20 10:00:05Z`.
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `just now`, `5 min ago`, `3 h ago`, `12 days ago`; clocks that disagree give `just now`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(at.as_second());
    let (number, unit) = match seconds {
        ..=59 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "min"),
        3600..86_400 => (seconds / 3600, "h"),
        86_400..172_800 => (1, "day"),
        172_800..5_184_000 => (seconds / 86_400, "days"),
        5_184_000..63_072_000 => (seconds / 2_592_000, "months"),
        _ => (seconds / 31_536_000, "years"),
    };
    format!("{number} {unit} ago")
}

/// Both: `2026-11-20 10:00:05Z (5 min ago)`.
pub fn both(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", moment(at), ago(at, now))
}

/// How long something lasts: `45 s`, `14 min`, `3.5 h`, `12 days`; small numbers have one digit more.
pub fn lasting(seconds: u64) -> String {
    let (unit, name) = match seconds {
        ..90 => return format!("{seconds} s"),
        90..5400 => (60, "min"),
        5400..172_800 => (3600, "h"),
        _ => (86_400, "days"),
    };
    let tenths = (seconds * 10 + unit / 2) / unit;
    match (tenths / 10, tenths % 10) {
        (whole @ ..10, part) if part > 0 && unit > 60 => format!("{whole}.{part} {name}"),
        _ => format!("{} {name}", (seconds + unit / 2) / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_as_exact_as_it_can_be_read() {
        let said = [0, 89, 90, 600, 5399, 5400, 12_600, 86_400, 172_800, 200_000, 864_000].map(lasting);
        let expected =
            ["0 s", "89 s", "2 min", "10 min", "90 min", "1.5 h", "3.5 h", "24 h", "2 days", "2.3 days", "10 days"];
        assert_eq!(said, expected.map(str::to_owned));
    }

    #[test]
    fn a_time_reads_at_a_glance() {
        let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let said = |seconds: i64| ago(Timestamp::from_second(now.as_second() - seconds).unwrap(), now);
        let days = 86_400;
        let expected = ["just now", "just now", "1 min ago", "59 min ago", "1 h ago", "1 day ago", "2 days ago"];
        assert_eq!([-5, 59, 60, 3599, 3600, days, 2 * days].map(said), expected.map(str::to_owned));
        assert_eq!([60 * days, 729 * days, 800 * days].map(said), ["2 months ago", "24 months ago", "2 years ago"]);
        assert_eq!(both(now, now), "2026-11-20 10:00:00Z (just now)");
    }
}
