//! Who is told: a webhook, or a channel of Slack's. Told again rather than not at all.

mod post;
mod slack;
mod webhook;

use crate::provider::section::Section;
use serde_json::Value;

/// What is told, in the two forms that those who listen want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One line: what it is about.
    pub title: String,
    /// A line for each thing.
    pub lines: Vec<String>,
    /// All of it, as `imgctl … --json` has it.
    pub document: Value,
}

/// One who is told.
#[async_trait::async_trait]
pub trait Notice: Send + Sync {
    /// Returns when it was taken. An address may be a secret: no error shows it.
    async fn send(&self, message: &Message) -> Result<(), NoticeError>;
}

/// One who is told, as the config names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeSpec {
    /// The user's own name for it, else its kind.
    pub id: String,
    pub kind: NoticeKind,
    pub address: Address,
    /// The variable that holds the key which a webhook's body is signed with.
    pub secret_env: Option<String>,
}

/// Where it is sent. Whoever knows the address of a Slack channel may write there, so it may be kept out of the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Url(String),
    /// The variable that holds it.
    Env(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    Webhook,
    Slack,
}

/// Every kind, by its word in the config.
pub const KINDS: &[(&str, NoticeKind)] = &[("webhook", NoticeKind::Webhook), ("slack", NoticeKind::Slack)];

impl NoticeKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
        }
    }
}

/// Why somebody could not be told.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoticeError {
    #[error("{variable} is not set, and holds the {what} of the notice {id}")]
    NoVariable { variable: String, what: &'static str, id: String },
    #[error("the address of the notice {id} is no URL of http or https")]
    NoUrl { id: String },
    #[error("the notice {id} was not taken: {why}")]
    NotTaken { id: String, why: String },
}

/// Reads one of `[[notices]]`; `None` when a fault made it impossible.
pub fn read(section: &Section<'_>) -> Option<NoticeSpec> {
    let words: Vec<String> = KINDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    section.required_text("kind", &format!("who it is ({})", words.join(", ")))?;
    let kind = section.choice("kind", KINDS)?.into_inner();
    let text = |key| section.text(key).map(toml::Spanned::into_inner);
    let (id, url, env) = (text("id"), text("url"), text("url_env"));
    let secret_env = if kind == NoticeKind::Webhook { text("secret_env") } else { None };
    let address = match (url, env) {
        (Some(url), None) => Address::Url(url),
        (None, Some(variable)) => Address::Env(variable),
        _ => {
            section.fault(
                section.span(),
                "a notice has one address",
                "give `url`, or `url_env`: the variable that holds it",
            );
            return None;
        }
    };
    Some(NoticeSpec { id: id.unwrap_or_else(|| kind.word().to_owned()), kind, address, secret_env })
}

/// Made ready with what the variables hold. Sends nothing.
pub fn open(spec: &NoticeSpec, variable: &dyn Fn(&str) -> Option<String>) -> Result<Box<dyn Notice>, NoticeError> {
    let id = || spec.id.clone();
    let held = |name: &String, what| {
        variable(name).ok_or_else(|| NoticeError::NoVariable { variable: name.clone(), what, id: id() })
    };
    let url = match &spec.address {
        Address::Url(url) => url.clone(),
        Address::Env(name) => held(name, "address")?,
    };
    let secret = spec.secret_env.as_ref().map(|name| held(name, "secret")).transpose()?;
    let post = post::Post::new(id(), &url)?;
    Ok(match spec.kind {
        NoticeKind::Webhook => Box::new(webhook::Webhook::new(post, secret)),
        NoticeKind::Slack => Box::new(slack::Slack::new(post)),
    })
}
