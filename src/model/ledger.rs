//! The ledger as keyed views, and the shape of a change. Reads are keyed: a million images cost what ten do.

use super::{Digest, Entry, EntryError, Seq};

/// The kinds of keyed records that the fold keeps. The letter is part of the stored key: never change one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// `name@version` → `ImageRecord`.
    Image,
    /// Entry number → image key: images in the order they were recorded.
    Recent,
    /// `name|seq` → image key: one name's images in the order they were recorded.
    Version,
    /// `ADDRESS|name@version`, `DIGEST|name@version` → nothing.
    Address,
    /// `name:tag` → image key.
    Tag,
    /// `REPOSITORY:TAG|name@version` → nothing: the tag it was recorded through.
    RepositoryTag,
    /// `parent|child` → nothing.
    Child,
    /// Channel → `ChannelState`.
    Channel,
    /// `channel|depth` → `Release`.
    Lineage,
    /// Entry number → `Rollout`.
    Rollout,
    /// Entry number of a rollout that has not finished → nothing.
    Open,
    /// Target id → `RecordedTarget`.
    Target,
    /// `name@version|seq` → `DeploymentRecord`.
    Deployment,
    /// `name@version|channel`, `name@version|*` → `Rejection`.
    Rejection,
    /// `env` or `channel` → `Freeze`.
    Freeze,
    /// `channel|name@version|who` → `Approval`.
    Approval,
    /// `channel|pointer` → `PointerRecord`.
    Pointer,
    /// Channel → `AuditRecord`.
    Audit,
    /// A finding's id → `Acknowledgement`.
    Acknowledgement,
    /// `channel|first of 64` → which of them concern it (`log_row`).
    ChannelLog,
    /// `name@version|first of 64` → which of them concern it.
    ImageLog,
}

impl Table {
    pub const ALL: [Self; 21] = [
        Self::Image,
        Self::Recent,
        Self::Version,
        Self::Address,
        Self::Tag,
        Self::RepositoryTag,
        Self::Child,
        Self::Channel,
        Self::Lineage,
        Self::Rollout,
        Self::Open,
        Self::Target,
        Self::Deployment,
        Self::Rejection,
        Self::Freeze,
        Self::Approval,
        Self::Pointer,
        Self::Audit,
        Self::Acknowledgement,
        Self::ChannelLog,
        Self::ImageLog,
    ];

    pub fn letter(self) -> char {
        match self {
            Self::Image => 'i',
            Self::Recent => 'n',
            Self::Version => 'v',
            Self::Address => 'a',
            Self::Tag => 't',
            Self::RepositoryTag => 'g',
            Self::Child => 'c',
            Self::Channel => 'h',
            Self::Lineage => 'l',
            Self::Rollout => 'r',
            Self::Open => 'o',
            Self::Target => 'p',
            Self::Deployment => 'd',
            Self::Rejection => 'x',
            Self::Freeze => 'f',
            Self::Approval => 'w',
            Self::Pointer => 'q',
            Self::Audit => 'u',
            Self::Acknowledgement => 'j',
            Self::ChannelLog => 'k',
            Self::ImageLog => 'm',
        }
    }
}

/// One keyed record set (`Some`) or removed (`None`); values are JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub table: Table,
    pub key: String,
    pub value: Option<String>,
}

/// The newest entry: what an auditor notes down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub seq: Seq,
    pub hash: Digest,
}

impl Head {
    /// The head of a ledger without entries.
    pub fn empty() -> Self {
        Self { seq: Seq(0), hash: Entry::root() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// What is where, and how it got there: read by key.
pub trait LedgerView {
    fn head(&self) -> Head;

    fn get(&self, table: Table, key: &str) -> Result<Option<String>, ViewError>;

    /// Records whose key starts with `prefix`, in key order, at most `limit`; after `after` when it is given
    /// (in the direction of `order`, that key excluded).
    fn scan(
        &self,
        table: Table,
        prefix: &str,
        order: Order,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, String)>, ViewError>;

    /// One entry by its number.
    fn entry(&self, seq: Seq) -> Result<Option<Entry>, ViewError>;
}

/// Why a keyed record could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ViewError {
    #[error("the ledger's index could not be read: {0}")]
    Unreadable(String),
    #[error("the ledger's index holds a damaged record under `{key}`: {why}")]
    Damaged { key: String, why: String },
    #[error("the ledger holds a damaged entry {seq}")]
    Entry {
        seq: Seq,
        #[source]
        source: EntryError,
    },
}

/// An entry that cannot have happened after those before it.
#[derive(Debug, thiserror::Error)]
pub enum IllegalEntry {
    #[error("entry {seq}: {why}")]
    Impossible { seq: Seq, why: String },
    #[error("entry {seq} was written by a newer imgctl (format {version}, event `{event}`)")]
    Newer { seq: Seq, version: u32, event: String },
    #[error("the views before entry {seq} could not be read")]
    View {
        seq: Seq,
        #[source]
        source: ViewError,
    },
}
