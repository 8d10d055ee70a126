//! How imgctl fails: one exit code for each kind, the causes, what stands in the way, and the next command to type.

mod advice;

use super::config::{Complaint, ConfigError, complaints, render};
use super::screen::{Color, Loudness, Screen, document};
use crate::flow::FlowError;
use crate::flow::record::RecordError;
use crate::model::ViewError;
use crate::model::lookup::LookupError;
use crate::plan::Blocker;
use crate::provider::aws::AwsError;
use crate::provider::notice::NoticeError;
use crate::store::StoreError;
use serde::Serialize;
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The exit codes, for ever. What the world looks like afterwards is part of each promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, nothing to do, or in sync.
    Done = 0,
    /// Failed before acting: nothing has changed.
    Failed = 1,
    /// Drift was found.
    Drift = 2,
    /// The plan must not run: nothing has changed.
    Blocked = 3,
    /// A rollout failed, was rolled back, or is still open: the world has changed.
    Rollout = 4,
    /// The ledger moved, or is locked too long: nothing has changed.
    Busy = 5,
    /// What was typed cannot be meant.
    Usage = 64,
    /// A bug in imgctl.
    Bug = 70,
}

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was typed is well formed, and still cannot be meant.
    #[error("{what}")]
    Usage { what: String, hint: Option<String> },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error(transparent)]
    Flow(#[from] FlowError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Notice(#[from] NoticeError),
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error("{doing} {} failed", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Refused as things are; nothing has changed.
    #[error("{what}")]
    Refused { what: String, hint: Option<String> },
    /// The person said no.
    #[error("nothing was done: you did not agree to the plan")]
    Declined,
    #[error("this is a bug in imgctl: {what}")]
    Bug { what: String },
    /// Standard output is gone.
    #[error("the output could not be written")]
    Output(#[source] std::io::Error),
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Self {
        Self::Store(StoreError::View(error))
    }
}

impl Failure {
    pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), hint: Some(hint.into()) }
    }

    pub fn refused(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), hint: Some(hint.into()) }
    }

    /// The reader of our output went away: it has what it wanted.
    fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// THE table of exit codes for failures.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Output(_) if self.is_broken_pipe() => Exit::Done,
            Self::Usage { .. } => Exit::Usage,
            Self::Bug { .. } => Exit::Bug,
            Self::Store(error) | Self::Flow(FlowError::Store(error)) => store_exit(error),
            Self::Record(RecordError::Store(error)) => store_exit(error),
            // No answer is not a no: the same plan may be fine when it can be made.
            Self::Flow(FlowError::Blocked(plan)) if !plan.is_unread() => Exit::Blocked,
            Self::Flow(FlowError::Busy | FlowError::Changed(_)) => Exit::Busy,
            Self::Config(_)
            | Self::Lookup(_)
            | Self::Flow(_)
            | Self::Record(_)
            | Self::Notice(_)
            | Self::Aws(_)
            | Self::File { .. }
            | Self::Refused { .. }
            | Self::Declined
            | Self::Output(_) => Exit::Failed,
        }
    }

    fn blockers(&self) -> &[Blocker] {
        match self {
            Self::Flow(FlowError::Blocked(plan)) => &plan.blockers,
            _ => &[],
        }
    }

    /// Tells the person, or the program, and says how to exit.
    pub fn report(&self, screen: &Screen) -> Exit {
        if self.is_broken_pipe() {
            return Exit::Done;
        }
        if screen.json {
            let _reported_by_the_exit_code = screen.print(&self.as_document());
            return self.exit();
        }
        if let Self::Config(ConfigError::Invalid { path, text, faults }) = self {
            screen.complain(&render(path, text, faults, screen.err.is_on(), screen.columns()));
            screen.complain("");
        }
        let paint = &screen.err;
        screen.complain(&format!("{} {self}", paint.error("error:")));
        for cause in causes(self) {
            screen.complain(&format!("{} {cause}", paint.error("cause:")));
        }
        for blocker in self.blockers() {
            screen.complain(&format!("{} {} {}", paint.error("blocked:"), blocker.subject, blocker.what));
        }
        for hint in self.hints() {
            screen.complain(&format!("{} {hint}", paint.hint("hint:")));
        }
        self.exit()
    }

    fn as_document(&self) -> String {
        let faults = match self {
            Self::Config(ConfigError::Invalid { path, text, faults }) => complaints(path, text, faults),
            _ => Vec::new(),
        };
        document(
            "error/1",
            Document {
                error: self.to_string(),
                causes: causes(self),
                blocked: self.blockers(),
                faults,
                hints: self.hints(),
                exit_code: self.exit() as u8,
            },
        )
    }
}

/// An error for a machine.
#[derive(Serialize)]
struct Document<'a> {
    error: String,
    causes: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    blocked: &'a [Blocker],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Complaint>,
    hints: Vec<String>,
    exit_code: u8,
}

fn store_exit(error: &StoreError) -> Exit {
    match error {
        StoreError::Moved { .. } | StoreError::Busy { .. } => Exit::Busy,
        _ => Exit::Failed,
    }
}

/// What caused it, outermost first. A transparent wrapper says what its source says: it is said once.
pub fn causes(error: &dyn Error) -> Vec<String> {
    let mut said = error.to_string();
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if text != said {
            causes.push(text.clone());
        }
        said = text;
        next = cause.source();
    }
    causes
}

/// A usage error in clap's own words, as the person or the program expects it.
pub fn report_usage(error: &clap::Error, json: bool) -> Exit {
    use clap::error::ErrorKind;
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked || !json {
        // To standard output when it was asked for; a reader that went away has read enough.
        let _reader_may_be_gone = error.print();
    } else {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let what = first.strip_prefix("error: ").unwrap_or(first).to_owned();
        let failure = Failure::Usage { what, hint: Some("imgctl help".to_owned()) };
        let _reader_may_be_gone = Screen::new(true, Loudness::Quiet, Color::Never).print(&failure.as_document());
    }
    if asked { Exit::Done } else { Exit::Usage }
}

/// What the last panic said, kept until it is known whether somebody catches it.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps panics quiet: a damaged index makes its library panic, which is caught, and no news for the person. The trace
/// comes when `RUST_BACKTRACE` asks for it.
pub fn install_panic_hook() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("it gave up without a word");
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{what}{place}"));
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|wanted| wanted != "0") {
            default(info);
        }
    }));
}

/// A panic that nobody caught is our bug, and is said as one.
pub fn report_bug(json: bool) -> Exit {
    let what = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    let bug = Failure::Bug { what };
    bug.report(&Screen::new(json, Loudness::Normal, Color::Auto))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let pipe = |kind| Failure::Output(std::io::Error::from(kind)).exit();
        assert_eq!(pipe(std::io::ErrorKind::BrokenPipe), Exit::Done);
        assert_eq!(pipe(std::io::ErrorKind::StorageFull), Exit::Failed);
        assert_eq!(Failure::usage("x", "y").exit() as u8, 64);
        assert_eq!(Failure::from(FlowError::Busy).exit() as u8, 5);
        assert_eq!(Failure::from(ConfigError::NoHome).exit() as u8, 1);
        let missing = StoreError::Missing { dir: "/x".into() };
        assert_eq!(Failure::from(FlowError::Store(missing)).exit() as u8, 1);
    }

    #[test]
    fn a_cause_is_said_once_however_often_it_is_wrapped() {
        let source = std::io::Error::other("disk full");
        let unreadable = ConfigError::Unreadable { path: "/x.toml".into(), source };
        let failure = Failure::from(unreadable);
        assert_eq!(failure.to_string(), "the config file /x.toml could not be read");
        assert_eq!(causes(&failure), ["disk full"]);
    }

    #[test]
    fn an_error_for_a_machine_is_one_document_with_its_exit_code() {
        let text = Failure::usage("no", "imgctl images").as_document();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["schema"], "imgctl.error/1");
        assert_eq!((&document["error"], &document["exit_code"]), (&"no".into(), &64.into()));
        assert_eq!(document["hints"][0], "imgctl images");
    }
}
