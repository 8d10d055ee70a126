//! A rollout while it goes: a bar for each target where someone watches, a line for each change where a log does.

use crate::cli::screen::{Loudness, Screen};
use crate::flow::{StepNews, Watch};
use crate::model::{Deployment, Motion, Seq, Step, TargetId};
use crate::plan::Plan;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Tells a rollout on standard error.
pub struct Progress {
    screen: Screen,
    bars: MultiProgress,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    bars: BTreeMap<TargetId, ProgressBar>,
    /// What was last said of each target: a line is said once.
    said: BTreeMap<TargetId, String>,
}

impl Progress {
    pub fn new(screen: &Screen) -> Self {
        let target = if screen.lively { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { screen: screen.clone(), bars: MultiProgress::with_draw_target(target), shown: Mutex::default() }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bar(&self, step: &Step) -> ProgressBar {
        let make = || {
            let bar = self.bars.add(ProgressBar::new(100));
            bar.set_style(style(self.screen.columns()));
            bar.set_prefix(step.target.to_string());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        };
        self.shown().bars.entry(step.target.clone()).or_insert_with(make).clone()
    }

    fn tell(&self, step: &Step, text: String) {
        let mut shown = self.shown();
        if shown.said.get(&step.target) == Some(&text) {
            return;
        }
        self.screen.say(&format!("{}: {text}", step.target));
        shown.said.insert(step.target.clone(), text);
    }

    fn end(&self, step: &Step, text: &str) {
        if !self.screen.lively {
            return self.tell(step, text.to_owned());
        }
        let bar = self.bar(step);
        bar.disable_steady_tick();
        bar.set_style(ended());
        bar.finish_with_message(text.to_owned());
    }
}

impl Drop for Progress {
    /// The last bar ends without a line end: what is said next must not be said behind it.
    fn drop(&mut self) {
        if self.screen.lively && !self.shown().bars.is_empty() {
            self.screen.complain("");
        }
    }
}

impl Watch for Progress {
    fn began(&self, rollout: Seq, plan: &Plan) {
        let image = plan.image.as_ref().map(ToString::to_string).unwrap_or_default();
        self.say(&format!("rollout {rollout}: {} → {image}", plan.channel));
    }

    fn step(&self, step: &Step, news: StepNews<'_>) {
        let paint = self.screen.err;
        match news {
            StepNews::Succeeded => return self.end(step, &paint.plus("done, and every instance runs it")),
            StepNews::Configured => return self.end(step, &paint.plus("done: what is started there next runs it")),
            StepNews::Failed(why) => return self.end(step, &paint.minus(&failed(why, self.screen.is_one_terminal()))),
            StepNews::Left(why) => return self.end(step, &paint.tilde(why)),
            StepNews::Ordered | StepNews::Moving(_) | StepNews::Verifying | StepNews::NoAnswer(_) => {}
        }
        let text = sentence(news);
        if !self.screen.lively {
            if self.screen.loudness == Loudness::Verbose || !matches!(news, StepNews::NoAnswer(_)) {
                self.tell(step, text);
            }
            return;
        }
        let bar = self.bar(step);
        if let StepNews::Moving(deployment) = news {
            bar.set_position(u64::from(deployment.percent.min(100)));
        }
        bar.set_message(text);
    }

    fn say(&self, text: &str) {
        if self.screen.lively {
            // Above the bars, which are drawn anew below it.
            let _terminal_may_be_gone = self.bars.println(text);
        } else {
            self.screen.say(text);
        }
    }
}

/// Where the result is printed to the same terminal, the reason is told there, whole: a bar has one line for it.
fn failed(why: &str, told_below: bool) -> String {
    if told_below { "failed".to_owned() } else { format!("failed: {why}") }
}

fn sentence(news: StepNews<'_>) -> String {
    match news {
        StepNews::Ordered => "ordered".to_owned(),
        StepNews::Moving(deployment) => moving(deployment),
        StepNews::Verifying => "looking at what really runs".to_owned(),
        StepNews::NoAnswer(why) => format!("no answer, asking again ({why})"),
        StepNews::Succeeded | StepNews::Configured => "done".to_owned(),
        StepNews::Failed(why) | StepNews::Left(why) => why.to_owned(),
    }
}

fn moving(deployment: &Deployment) -> String {
    let (word, phase, note) = match &deployment.motion {
        Motion::Moving { phase, note } => ("replaced", phase, note),
        Motion::Returning { phase, note } => ("going back", phase, note),
        Motion::Succeeded => return "the platform says it is done".to_owned(),
        Motion::Failed { reason } | Motion::RolledBack { reason } | Motion::Cancelled { reason } => {
            return reason.clone();
        }
    };
    let left = if deployment.left > 0 { format!(", {} left", deployment.left) } else { String::new() };
    let note = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    format!("{} % {word}{left} ({phase}{note})", deployment.percent)
}

/// In a narrow window the words matter more than the bar.
fn style(columns: usize) -> ProgressStyle {
    let template = match columns {
        0..76 => "  {prefix:.bold} {wide_msg} {elapsed:.dim}",
        _ => "  {prefix:.bold} {bar:24.cyan/dim} {wide_msg} {elapsed:.dim}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}

fn ended() -> ProgressStyle {
    let template = "  {prefix:.bold} {wide_msg} {elapsed:.dim}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How far something has come, where someone watches: a spinner with a count, or a bar once the total is known.
pub struct Counter {
    bar: ProgressBar,
    unit: Unit,
}

/// What a bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Bytes,
    Entries,
}

impl Counter {
    pub fn new(screen: &Screen, what: &str) -> Self {
        Self::of(screen, what, Unit::Entries)
    }

    /// With a bar, the share that is done and the time that is left, as soon as `at` is told the total.
    pub fn of(screen: &Screen, what: &str, unit: Unit) -> Self {
        let bar = if screen.lively { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, unit }
    }

    pub fn say(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    /// What is done has no measure any more.
    fn go_on(&self, text: &str) {
        self.bar.set_style(ProgressStyle::default_spinner());
        self.say(text);
    }

    /// A count out of a known total.
    pub fn at(&self, done: u64, total: u64) {
        if self.bar.length() != Some(total) {
            self.bar.set_length(total);
            self.bar.set_style(measured(self.unit));
        }
        self.bar.set_position(done);
    }
}

/// A file that is read while someone watches; what comes after its end has no measure.
pub struct Watched<R> {
    source: R,
    counter: Counter,
    then: &'static str,
}

impl<R: Read> Watched<R> {
    /// `then` is what is being done once `length` bytes were read.
    pub fn new(source: R, length: u64, screen: &Screen, then: &'static str) -> Self {
        let counter = Counter::of(screen, "reading", Unit::Bytes);
        counter.at(0, length);
        Self { source, counter, then }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(buffer)?;
        match read {
            0 => self.counter.go_on(self.then),
            _ => self.counter.bar.inc(u64::try_from(read).unwrap_or(u64::MAX)),
        }
        Ok(read)
    }
}

fn measured(unit: Unit) -> ProgressStyle {
    let count = match unit {
        Unit::Bytes => "{binary_bytes} of {binary_total_bytes}",
        Unit::Entries => "{human_pos} of {human_len}",
    };
    let template = format!("  {{msg}} {{bar:24.cyan/dim}} {{percent:>3}} %  {count}  {{eta:.dim}}");
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once_on_one_terminal() {
        assert_eq!(failed("no room", true), "failed");
        assert_eq!(failed("no room", false), "failed: no room");
    }

    #[test]
    fn a_deployment_says_how_far_it_is() {
        let mut deployment = Deployment {
            id: "refresh-1".into(),
            motion: Motion::Moving { phase: "InProgress".into(), note: None },
            toward: None,
            started: None,
            percent: 33,
            left: 2,
        };
        assert_eq!(moving(&deployment), "33 % replaced, 2 left (InProgress)");
        deployment.motion =
            Motion::Returning { phase: "RollbackInProgress".into(), note: Some("alarm web-5xx".into()) };
        assert_eq!(moving(&deployment), "33 % going back, 2 left (RollbackInProgress: alarm web-5xx)");
    }
}
