//! A channel of Slack's, through an incoming webhook (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>).

use super::post::Post;
use super::{Message, Notice, NoticeError};
use serde_json::json;

/// A message is cut beyond this by Slack itself.
const LINES: usize = 20;

pub(super) struct Slack(Post);

impl Slack {
    pub(super) fn new(post: Post) -> Self {
        Self(post)
    }
}

/// Three characters mean something in Slack's text (<https://docs.slack.dev/messaging/formatting-message-text>).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn text(message: &Message) -> String {
    let mut lines = vec![format!("*{}*", escaped(&message.title))];
    lines.extend(message.lines.iter().take(LINES).map(|line| format!("• {}", escaped(line))));
    if let Some(more @ 1..) = message.lines.len().checked_sub(LINES) {
        lines.push(format!("… and {more} more"));
    }
    lines.join("\n")
}

#[async_trait::async_trait]
impl Notice for Slack {
    async fn send(&self, message: &Message) -> Result<(), NoticeError> {
        self.0.send(&json!({ "text": text(message) }).to_string(), &[]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_ping_anybody_and_many_lines_are_counted() {
        let lines = (0..22).map(|number| format!("<!channel> & {number}")).collect();
        let said = text(&Message { title: "a > b".to_owned(), lines, document: json!({}) });
        assert!(said.starts_with("*a &gt; b*\n• &lt;!channel&gt; &amp; 0\n"), "{said}");
        assert!(said.ends_with("… and 2 more"), "{said}");
    }
}
