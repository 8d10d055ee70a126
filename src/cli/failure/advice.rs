//! What to type next, for each way to fail.

use super::Failure;
use crate::cli::config::ConfigError;
use crate::flow::FlowError;
use crate::flow::record::RecordError;
use crate::model::lookup::LookupError;
use crate::plan::Blocker;
use crate::provider::notice::NoticeError;
use crate::provider::source::SourceError;
use crate::provider::state::FetchError;
use crate::store::StoreError;

impl Failure {
    /// The next commands to type, the likeliest first, each once.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Usage { hint, .. } | Self::Refused { hint, .. } => hint.iter().cloned().collect(),
            Self::Config(error) => config(error),
            Self::Store(error) => store(error),
            Self::Lookup(error) => lookup(error),
            Self::Notice(error) => vec![notice(error)],
            Self::Flow(error) => flow(error),
            Self::Record(error) => record(error),
            Self::Aws(error) => vec![error.hint()],
            Self::File { source, .. } => file(source).into_iter().collect(),
            Self::Bug { .. } => {
                let version = env!("CARGO_PKG_VERSION");
                vec![
                    "imgctl ledger verify says whether the ledger is whole".to_owned(),
                    format!("please report it, with the command and the version: {version}"),
                ]
            }
            Self::Declined | Self::Output(_) => Vec::new(),
        }
    }
}

fn config(error: &ConfigError) -> Vec<String> {
    match error {
        ConfigError::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            vec!["imgctl init writes one; --config and IMGCTL_CONFIG name another".to_owned()]
        }
        ConfigError::Unreadable { source, .. } => file(source).into_iter().collect(),
        ConfigError::Invalid { .. } => vec!["nothing was done; correct the file and try again".to_owned()],
        ConfigError::NoHome => vec!["name a directory: --ledger DIR, or IMGCTL_LEDGER".to_owned()],
    }
}

fn file(error: &std::io::Error) -> Option<String> {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            Some("you may not: look at the owner and mode of it (ls -ld), and who you are (id)".to_owned())
        }
        std::io::ErrorKind::AlreadyExists => Some("nothing is overwritten: name another file".to_owned()),
        std::io::ErrorKind::StorageFull => Some("the disk is full: make room and try again".to_owned()),
        std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge => {
            Some("a limit on files is reached (quota -s, ulimit -f): raise it and try again".to_owned())
        }
        std::io::ErrorKind::ReadOnlyFilesystem => {
            Some("the disk is read-only: mount it writable, or work elsewhere (--ledger DIR)".to_owned())
        }
        std::io::ErrorKind::IsADirectory => Some("it is a directory: name a file in it".to_owned()),
        std::io::ErrorKind::NotFound => Some("there is no such file: look at how the path is written".to_owned()),
        _ => None,
    }
}

fn store(error: &StoreError) -> Vec<String> {
    match error {
        StoreError::Missing { .. } => {
            vec!["--ledger DIR and IMGCTL_LEDGER name another place".to_owned()]
        }
        StoreError::Exists { .. } => vec!["imgctl log shows what is in it".to_owned()],
        StoreError::Moved { .. } => vec!["somebody else was quicker: look at imgctl log, and try again".to_owned()],
        StoreError::Busy { .. } => vec!["try again when the other imgctl is done".to_owned()],
        StoreError::Newer { .. } => vec!["upgrade imgctl; until then this ledger can be read, not written".to_owned()],
        // It says itself what to type.
        StoreError::Damaged { .. } => Vec::new(),
        StoreError::Lost { dir, .. } => {
            let (old, new) = (dir.display(), dir.with_extension("new"));
            let new = new.display();
            vec![format!(
                "bring all back from an export: imgctl --ledger {new} ledger import EXPORT, then put {new} in the place of {old}"
            )]
        }
        StoreError::BadBackup { .. } => {
            vec!["nothing was changed: make another one of the ledger: imgctl ledger backup NEW-DIR".to_owned()]
        }
        StoreError::OtherBackup { .. } => vec!["nothing was changed: name another directory".to_owned()],
        StoreError::NotAChain { .. } => vec!["nothing was changed".to_owned()],
        StoreError::Fork { fork } => {
            let before = fork.seq.0.saturating_sub(1);
            vec![
                "nothing was changed; a ledger takes one history only".to_owned(),
                format!("see what each side has: imgctl ledger export --since {before} FILE, here and there"),
            ]
        }
        StoreError::Gap { ends, .. } => {
            vec![format!("nothing was changed; where the import comes from: imgctl ledger export --since {ends} FILE")]
        }
        StoreError::Beyond { ends, .. } => vec![format!(
            "imgctl ledger verify --against HEAD says whether entries were lost; --since {ends} is the last"
        )],
        StoreError::Io { source, .. } => file(source).into_iter().collect(),
        StoreError::View(_) => vec!["imgctl ledger repair rebuilds the index from the journal".to_owned()],
        _ => Vec::new(),
    }
}

fn lookup(error: &LookupError) -> Vec<String> {
    match error {
        LookupError::NotFound { near: Some(near), .. } => vec![format!("did you mean {near}?")],
        LookupError::NotFound { .. } => {
            vec!["imgctl images lists what is recorded; imgctl record adds to it".to_owned()]
        }
        LookupError::Ambiguous { matches, .. } => {
            let names: Vec<String> = matches.iter().map(ToString::to_string).collect();
            vec![format!("say which: {}", names.join(", "))]
        }
        LookupError::View(_) => vec!["imgctl ledger repair rebuilds the index from the journal".to_owned()],
    }
}

fn notice(error: &NoticeError) -> String {
    match error {
        NoticeError::NoVariable { variable, .. } => {
            format!("export {variable}=…, or take the notice out of imgctl.toml")
        }
        NoticeError::NoUrl { .. } => "mend its url in imgctl.toml, or the variable that holds it".to_owned(),
        NoticeError::NotTaken { .. } => "nothing was written down: the next audit tells it again".to_owned(),
    }
}

fn flow(error: &FlowError) -> Vec<String> {
    match error {
        FlowError::NoChannel { near: Some(near), .. } => vec![format!("did you mean {near}?")],
        FlowError::NoChannel { channel, near: None } => {
            vec![format!("a channel is what the config has a table for: [channels.{}.{}]", channel.name, channel.env)]
        }
        FlowError::Blocked(plan) => fixes(&plan.blockers),
        FlowError::Changed(plan) => vec![format!("look again: imgctl status {}", plan.channel)],
        FlowError::Busy => vec!["imgctl log shows who is at work; try again when they are done".to_owned()],
        FlowError::NoRollout(_) | FlowError::NothingOpen => vec!["imgctl log shows every rollout".to_owned()],
        FlowError::Ended { .. } => vec!["imgctl log shows how it went".to_owned()],
        FlowError::SeveralOpen(open) => {
            open.iter().map(|(id, channel)| format!("imgctl resume {id} goes on with {channel}")).collect()
        }
        FlowError::Code(error) => vec![error.hint().to_owned()],
        FlowError::Plan(error) => vec![error.hint().to_owned()],
        FlowError::Fetch(FetchError::Read { source, .. }) => file(source).into_iter().collect(),
        FlowError::Fetch(error) => error.hint().into_iter().collect(),
        FlowError::Lookup(error) => lookup(error),
        FlowError::Target { source, .. } => source.hint().into_iter().collect(),
        FlowError::Store(error) => store(error),
    }
}

fn record(error: &RecordError) -> Vec<String> {
    match error {
        RecordError::Source { source, .. } => self::source(source),
        RecordError::Differs { key, .. } => {
            vec![format!("images never change: record it under a new version, or look at imgctl show {key}")]
        }
        RecordError::Parent { source, .. } => lookup(source),
        RecordError::Nothing { .. } => Vec::new(),
        RecordError::Lookup(error) => lookup(error),
        RecordError::Store(error) => store(error),
    }
}

fn source(error: &SourceError) -> Vec<String> {
    error.hint().into_iter().collect()
}

fn fixes(blockers: &[Blocker]) -> Vec<String> {
    let mut fixes: Vec<String> = Vec::new();
    for blocker in blockers.iter().filter(|blocker| !blocker.fix.is_empty()) {
        if !fixes.contains(&blocker.fix) {
            fixes.push(blocker.fix.clone());
        }
    }
    fixes
}
