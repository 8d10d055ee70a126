//! What differs from run to run becomes a token, and a token in a command becomes its value again.

use regex_lite::{Captures, Regex};
use std::collections::BTreeMap;
use std::path::Path;

/// What is told apart by a number when nothing names it: `i-<1>`, `<uuid:2>`. The whole match is replaced.
const NUMBERED: [(&str, &str); 7] = [
    (r"\b(?:deployment|statefulset|daemonset|cronjob)/[a-z0-9-]+:[0-9a-f]{12}\b", "template"),
    (r"\bpod [a-z0-9-]+-[0-9a-f]{10}-[0-9a-f]{5}\b", "pod"),
    (r"\b(ami|snap|lt|i|vol|sg|subnet|vpc|eni|rtb|igw)-[0-9a-f]{8,17}\b", ""),
    (r"\b(d)-[0-9a-f]{12}\b", ""),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "uuid"),
    (r"\b[0-9a-f]{64}\b", "hash"),
    (r"\b\d{18,19}\b", "number"),
];

/// The ids in the examples of `--help`.
const EXAMPLES: [&str; 2] = ["ami-0123456789abcdef0", "d-0123456789ab"];

/// What nobody needs to tell apart.
const PLAIN: [(&str, &str); 4] = [
    (r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?UTC|Z|\+00:00)?", "<time>"),
    (r"\b\d+(\.\d+)? ?(ms|µs)\b", "<duration>"),
    (r"\bbyte \d+\b", "byte <n>"),
    (r"\b(just now|\d+ (min|h|days?|months|years) ago)", "<ago>"),
];

/// How often a rollout is seen under way depends on the machine's mood.
const PROGRESS: &str = r"(?m)^\S+: \d+ % (replaced|going back).*\n";

/// What runs is listed in the order of the ids, which the lab draws at random.
const LISTED: &str = r"\d+ × ami-<[^>]+>(, \d+ × ami-<[^>]+>)+";

/// After these a column is as wide as on this machine, at this moment.
const WIDE: [&str; 2] = ["<host>", "<ago>"];

pub struct Redactor {
    /// Token and value, both ways round.
    values: BTreeMap<String, String>,
    tokens: BTreeMap<String, String>,
    numbered: Vec<(Regex, &'static str)>,
    plain: Vec<(Regex, &'static str)>,
    counts: BTreeMap<String, u32>,
}

impl Redactor {
    pub fn new(lab: &BTreeMap<String, String>, folder: &Path) -> Self {
        let compile = |(pattern, name): &(&str, &'static str)| (Regex::new(pattern).unwrap(), *name);
        let mut new = Self {
            values: BTreeMap::new(),
            tokens: BTreeMap::new(),
            numbered: NUMBERED.iter().map(compile).collect(),
            plain: PLAIN.iter().map(compile).collect(),
            counts: BTreeMap::new(),
        };
        new.know("<dir>", &folder.display().to_string());
        for (token, variable) in [
            ("<registry>", "IMGCTL_LAB_REGISTRY"),
            ("<closed-registry>", "IMGCTL_LAB_REGISTRY_AUTH"),
            ("<faulty-registry>", "IMGCTL_LAB_REGISTRY_FAULTS"),
            ("<aws>", "AWS_ENDPOINT_URL"),
            ("<kubernetes>", "IMGCTL_LAB_KUBERNETES"),
        ] {
            new.know(token, &lab[variable]);
        }
        new.know("<host>", host().trim());
        new
    }

    fn know(&mut self, token: &str, value: &str) {
        if !value.is_empty() {
            self.values.insert(token.to_owned(), value.to_owned());
            self.tokens.insert(value.to_owned(), token.to_owned());
        }
    }

    /// `lab ami NAME` prints an id: from now on that id is called `ami-<NAME>`.
    pub fn learn(&mut self, command: &str, output: &str) {
        let made = Regex::new(r"\blab ami ([\w.-]+)").unwrap();
        let id = Regex::new(r"\bami-[0-9a-f]{17}\b").unwrap();
        for (made, id) in made.captures_iter(command).zip(id.find_iter(output)) {
            self.know(&format!("ami-<{}>", &made[1]), id.as_str());
        }
    }

    /// The values of the tokens in a recorded command.
    pub fn restore(&self, command: &str) -> String {
        self.values.iter().fold(command.to_owned(), |text, (token, value)| text.replace(token, value))
    }

    pub fn redact(&mut self, text: &str) -> String {
        for (pattern, name) in self.numbered.clone() {
            for found in pattern.captures_iter(text) {
                let content_digest = name == "hash" && is_of_content(&text[..found.get(0).unwrap().start()]);
                if !content_digest && !EXAMPLES.contains(&&found[0]) && !self.tokens.contains_key(&found[0]) {
                    let token = self.next_token(name, found.get(1).map_or("", |prefix| prefix.as_str()));
                    self.know(&token, &found[0]);
                }
            }
        }
        let text = self.tokens.iter().rev().fold(text.to_owned(), |text, (value, token)| swap(&text, value, token));
        let text = Regex::new(PROGRESS).unwrap().replace_all(&text, "").into_owned();
        let text = self.plain.iter().fold(text, |text, (pattern, token)| {
            let mut values: Vec<&str> = pattern.find_iter(&text).map(|found| found.as_str()).collect();
            values.sort_by_key(|value| std::cmp::Reverse(value.len()));
            values.dedup();
            values.iter().fold(text.clone(), |text, value| swap(&text, value, token))
        });
        let text = sorted(&text);
        if WIDE.iter().any(|token| text.contains(token)) { narrow(&text) } else { text }
    }

    fn next_token(&mut self, name: &str, prefix: &str) -> String {
        let count = self.counts.entry(format!("{name}{prefix}")).or_default();
        *count += 1;
        if name.is_empty() { format!("{prefix}-<{count}>") } else { format!("<{name}:{count}>") }
    }
}

/// Whether a digest that follows this text is that of an image, and the same in every run: an entry's hash stands after
/// its number or its key.
fn is_of_content(before: &str) -> bool {
    let Some(before) = before.strip_suffix("sha256:") else { return false };
    !before.ends_with("\"hash\": \"") && !before.trim_end_matches(':').ends_with(|c: char| c.is_ascii_digit())
}

/// Replaces a value; where a column follows, it stays where it was.
fn swap(text: &str, value: &str, token: &str) -> String {
    let missing = value.chars().count().saturating_sub(token.chars().count());
    let padded = format!("{token}{:missing$}  ", "");
    text.replace(&format!("{value}  "), &padded).replace(value, token)
}

fn sorted(text: &str) -> String {
    let in_order = |found: &Captures<'_>| {
        let mut parts: Vec<&str> = found[0].split(", ").collect();
        parts.sort_unstable();
        parts.join(", ")
    };
    Regex::new(LISTED).unwrap().replace_all(text, in_order).into_owned()
}

/// Two spaces between columns, whatever stands in them.
fn narrow(text: &str) -> String {
    Regex::new(r"(\S) {3,}").unwrap().replace_all(text, "$1  ").into_owned()
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        let names = [
            "IMGCTL_LAB_REGISTRY",
            "IMGCTL_LAB_REGISTRY_AUTH",
            "IMGCTL_LAB_REGISTRY_FAULTS",
            "AWS_ENDPOINT_URL",
            "IMGCTL_LAB_KUBERNETES",
        ];
        let lab = names.iter().zip(50001..).map(|(name, port)| ((*name).to_owned(), format!("127.0.0.1:{port}")));
        Redactor::new(&lab.collect(), Path::new("/tmp/x/work"))
    }

    #[test]
    fn an_ami_has_the_name_it_was_made_with_in_both_directions() {
        let mut redactor = redactor();
        redactor.learn("lab ami web-1; lab ami web-2", "ami-0123456789abcdef2\nami-0123456789abcdef1\n");
        assert_eq!(redactor.redact("ami-0123456789abcdef1, ami-0123456789abcdef2."), "ami-<web-2>, ami-<web-1>.");
        assert_eq!(redactor.restore("record ami-<web-2>"), "record ami-0123456789abcdef1");
    }

    #[test]
    fn columns_stay_where_they_were() {
        let mut redactor = redactor();
        let line = redactor.redact("i-0123456789abcdef0  running  2026-11-21T00:43:40Z  eu-west-1");
        assert_eq!(line, "i-<1>                running  <time>                eu-west-1");
    }

    #[test]
    fn what_depends_on_the_machine_leaves_no_trace() {
        let mut redactor = redactor();
        let text = redactor
            .redact("WHEN        WHAT\njust now    1\n3 days ago  2\nweb: 33 % replaced, 2 left (InProgress)\nend\n");
        assert_eq!(text, "WHEN  WHAT\n<ago>  1\n<ago>  2\nend\n");
    }

    #[test]
    fn the_head_of_the_ledger_is_another_in_every_run() {
        let head = "a".repeat(64);
        assert_eq!(redactor().redact(&format!("head 3:sha256:{head}")), "head 3:sha256:<hash:1>");
    }

    #[test]
    fn digests_of_content_stay_and_hashes_of_entries_are_numbered() {
        let mut redactor = redactor();
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let text = redactor.redact(&format!("sha256:{a} {b} {b}"));
        assert_eq!(text, format!("sha256:{a} <hash:1> <hash:1>"));
    }
}
