//! The four keys as a table: a line for each channel and period, every figure with what it is of.

use super::style::Palette;
use super::table::Table;
use super::time;
use crate::model::Channel;
use crate::plan::period::Period;
use crate::plan::stats::{Figures, Spread};
use std::collections::BTreeMap;

pub fn table(all: &BTreeMap<Channel, Vec<Figures>>, width: Option<usize>, paint: Palette) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["CHANNEL", "PERIOD", "DEPLOYED", "LEAD TIME", "FAILED", "RECOVERED IN"]);
    for (channel, periods) in all {
        for figures in periods {
            table.row([
                channel.to_string(),
                period(figures.period),
                deployed(figures),
                lead_time(figures),
                failed(figures),
                recovery(figures),
            ]);
        }
    }
    table.render(width, paint)
}

/// `2026-11-01 to 2026-11-30`: its first and its last day, both in it.
fn period(period: Period) -> String {
    let last = period.to.as_second() - 1;
    let last = jiff::Timestamp::from_second(last).unwrap_or(period.to);
    format!("{} to {}", period.from.strftime("%Y-%m-%d"), last.strftime("%Y-%m-%d"))
}

fn deployed(figures: &Figures) -> String {
    let often = figures.mean_seconds_between.map(|between| format!(", every {}", time::lasting(between)));
    let open = if figures.open > 0 { format!(" ({} open)", figures.open) } else { String::new() };
    format!("{}{}{open}", figures.deployments, often.unwrap_or_default())
}

fn lead_time(figures: &Figures) -> String {
    let unknown = figures.lead_time_unknown;
    match (spread(&figures.lead_time), unknown) {
        (None, 0) => String::new(),
        (None, unknown) => format!("unknown ({unknown})"),
        (Some(spread), 0) => spread,
        (Some(spread), unknown) => format!("{spread} ({unknown} unknown)"),
    }
}

fn failed(figures: &Figures) -> String {
    let Some(per_mille) = figures.failed_per_mille else { return String::new() };
    let percent = (per_mille + 5) / 10;
    format!("{} of {}, {percent} %", figures.failed, figures.deployments)
}

fn recovery(figures: &Figures) -> String {
    let waiting = match figures.not_recovered {
        0 => None,
        count => Some(format!("{count} not recovered")),
    };
    spread(&figures.recovery).into_iter().chain(waiting).collect::<Vec<_>>().join(", ")
}

/// `3 h of 4`: the median and how many it is of; the p90 where there is one.
fn spread(spread: &Spread) -> Option<String> {
    let median = time::lasting(spread.median_seconds?);
    let p90 = spread.p90_seconds.map(|seconds| format!(", p90 {}", time::lasting(seconds)));
    Some(format!("{median}{} of {}", p90.unwrap_or_default(), spread.count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(deployments: u64) -> Figures {
        let at = |text: &str| text.parse().unwrap();
        Figures {
            period: Period { from: at("2026-11-01T00:00:00Z"), to: at("2026-12-01T00:00:00Z") },
            deployments,
            mean_seconds_between: (30 * 86_400_u64).checked_div(deployments),
            open: 1,
            lead_time: Spread {
                count: deployments.min(1),
                median_seconds: (deployments > 0).then_some(11_000),
                p90_seconds: None,
            },
            lead_time_unknown: 2,
            failed: deployments.min(1),
            failed_per_mille: 1000_u64.checked_div(deployments),
            recovery: Spread::default(),
            not_recovered: deployments.min(1),
        }
    }

    #[test]
    fn every_figure_says_what_it_is_of() {
        let all = BTreeMap::from([("web/prod".parse().unwrap(), vec![figures(12), figures(0)])]);
        assert_eq!(
            table(&all, None, Palette::PLAIN),
            "CHANNEL   PERIOD                    DEPLOYED                     LEAD TIME               FAILED        RECOVERED IN\n\
             web/prod  2026-11-01 to 2026-11-30  12, every 2.5 days (1 open)  3.1 h of 1 (2 unknown)  1 of 12, 8 %  1 not recovered\n\
             web/prod  2026-11-01 to 2026-11-30  0 (1 open)                   unknown (2)\n"
        );
    }

    #[test]
    fn a_narrow_terminal_gets_every_figure_on_a_line() {
        let all = BTreeMap::from([("web/prod".parse().unwrap(), vec![figures(12)])]);
        let text = table(&all, Some(60), Palette::PLAIN);
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    }
}
