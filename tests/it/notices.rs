//! Who is told of drift: what arrives, in which form, and what happens when nobody takes it.

use crate::support::desk::Desk;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request that came: its headers, lower-case, and its body.
type Came = (Vec<String>, String);

/// Takes everything on loopback, and answers with these statuses in turn, the last one for ever.
struct Listener {
    address: String,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Listener {
    fn new(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/secret-path", listener.local_addr().unwrap());
        let came: Arc<Mutex<Vec<Came>>> = Arc::default();
        let kept = Arc::clone(&came);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut kept = kept.lock().unwrap();
                let status = statuses.get(kept.len()).or(statuses.last()).unwrap();
                kept.push(answer(stream.unwrap(), *status));
            }
        });
        Self { address, came }
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }
}

fn answer(stream: TcpStream, status: u16) -> Came {
    let mut reader = BufReader::new(stream);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim() {
            "" => break,
            line => headers.push(line.to_ascii_lowercase()),
        }
    }
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let said = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    reader.into_inner().write_all(said.as_bytes()).unwrap();
    (headers, String::from_utf8(body).unwrap())
}

/// A group that was released, and then changed by hand; `notices` are in its config.
fn changed(group: &str, notices: &str) -> Desk {
    let desk = Desk::new(&format!("{group}/prod"), &[group], notices);
    let amis = [1, 2].map(|number| desk.lab.ami(&format!("{group}-{number}"), &json!({})));
    desk.lab.post("group", &json!({"name": group, "ami": amis[0], "size": 1}));
    desk.done(&["record", &format!("{group}@1"), &amis[0]]);
    desk.done(&["promote", &format!("{group}@1"), "prod", "--yes"]);
    desk.lab.post("drift", &json!({"group": group, "kind": "template-version", "ami": amis[1]}));
    desk
}

#[test]
fn what_is_new_is_told_once_to_everybody_and_signed() {
    let (webhook, slack) = (Listener::new(&[200]), Listener::new(&[500, 429, 200]));
    let notices = format!(
        "\n[[notices]]\nkind = \"webhook\"\nurl = \"{}\"\nsecret_env = \"PATH\"\n\n[[notices]]\nkind = \"slack\"\nurl = \"{}\"\n",
        webhook.address, slack.address
    );
    let desk = changed("news-told", &notices);
    assert_eq!(desk.run(&["drift", "--new"]).exit, 2);
    assert!(webhook.came().is_empty(), "only an audit that is written down is told");
    assert_eq!(desk.run(&["drift", "--record"]).exit, 2);
    assert_eq!(desk.run(&["drift", "--record"]).exit, 2, "the drift is there, and is no news");

    let came = webhook.came();
    assert_eq!(came.len(), 1);
    assert!(came[0].0.iter().any(|header| header.starts_with("x-imgctl-signature-256: sha256=")), "{:?}", came[0].0);
    let body: Value = serde_json::from_str(&came[0].1).unwrap();
    assert_eq!(body["schema"], "imgctl.drift/1");
    let kinds: Vec<&str> =
        body["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["mixed", "tampered"]);

    let came = slack.came();
    assert_eq!(came.len(), 3, "a server that is out of order is asked again");
    let text: Value = serde_json::from_str(&came[2].1).unwrap();
    let text = text["text"].as_str().unwrap();
    assert!(text.starts_with("*imgctl drift: 2 new, 0 over*\n• news-told/prod news-told: mixed"), "{text}");
}

#[test]
fn what_nobody_took_is_told_again_and_its_address_is_never_shown() {
    let listener = Listener::new(&[403, 200]);
    let desk = changed("news-untold", &format!("\n[[notices]]\nkind = \"slack\"\nurl = \"{}\"\n", listener.address));
    let refused = desk.run(&["drift", "--record"]);
    assert_eq!(refused.exit, 1, "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("the notice slack was not taken: the answer was 403"), "{}", refused.err);
    assert!(!refused.err.contains("secret-path") && !refused.out.contains("secret-path"), "{}", refused.err);
    assert_eq!(listener.came().len(), 1, "a refusal is not asked again");
    assert_eq!(desk.run(&["drift", "--record"]).exit, 2);
    assert_eq!(listener.came().len(), 2, "the audit before was not written, so it is told now");
}

#[test]
fn one_who_takes_nothing_does_not_make_the_others_be_told_again() {
    let (webhook, slack) = (Listener::new(&[200, 200]), Listener::new(&[403, 403]));
    let notices = format!(
        "\n[[notices]]\nkind = \"webhook\"\nurl = \"{}\"\n\n[[notices]]\nkind = \"slack\"\nurl = \"{}\"\n",
        webhook.address, slack.address
    );
    let desk = changed("news-half", &notices);
    let half = desk.run(&["drift", "--record"]);
    assert_eq!(half.exit, 1, "{}{}", half.out, half.err);
    assert!(half.err.contains("the notice slack was not taken: the answer was 403"), "{}", half.err);
    assert_eq!(desk.run(&["drift", "--record"]).exit, 2);
    assert_eq!(webhook.came().len(), 1, "it took the news before");
}

#[test]
fn an_address_that_is_not_set_is_found_before_anything_is_asked() {
    let desk = changed("news-unset", "\n[[notices]]\nkind = \"slack\"\nurl_env = \"NO_SUCH_VARIABLE\"\n");
    let refused = desk.run(&["drift", "--record"]);
    assert_eq!(refused.exit, 1);
    assert!(
        refused.err.contains("NO_SUCH_VARIABLE is not set, and holds the address of the notice slack"),
        "{}",
        refused.err
    );
    assert_eq!(desk.run(&["drift"]).exit, 2, "who only looks needs no address");
}
