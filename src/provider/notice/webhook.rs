//! A webhook: the whole document, signed where a secret is given.

use super::post::Post;
use super::{Message, Notice, NoticeError};
use aws_lc_rs::hmac;

pub(super) struct Webhook {
    post: Post,
    secret: Option<String>,
}

impl Webhook {
    pub(super) fn new(post: Post, secret: Option<String>) -> Self {
        Self { post, secret }
    }
}

/// `sha256=` and the HMAC of the body, in the form that receivers of GitHub's webhooks check already.
fn signature(secret: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body.as_bytes())))
}

#[async_trait::async_trait]
impl Notice for Webhook {
    async fn send(&self, message: &Message) -> Result<(), NoticeError> {
        let body = message.document.to_string();
        let signed = self.secret.as_ref().map(|secret| ("x-imgctl-signature-256", signature(secret, &body)));
        self.post.send(&body, signed.as_slice()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn a_signature_is_the_hmac_of_the_body() {
        let wanted = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", "what do ya want for nothing?"), wanted);
    }
}
