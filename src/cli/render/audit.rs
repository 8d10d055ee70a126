//! The auditor's export: one change after the other, as rows of CSV or as one JSON document, however many there are.

use crate::model::{Channel, Head};
use crate::plan::change::{Change, Range, Subject};
use crate::plan::evidence::Evidence;
use csv::{QuoteStyle, Terminator, WriterBuilder};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::io::{self, Write};

/// What the export is of, and what it can be proved against.
pub struct Extent {
    pub ledger: uuid::Uuid,
    /// The ledger's newest entry when it was read: what is later is not in it.
    pub head: Head,
    pub range: Range,
    pub channel: Option<Channel>,
}

impl Extent {
    /// What proves the export, in the order to be typed.
    pub fn proof(&self) -> [String; 2] {
        let head = format!("{}:{}", self.head.seq, self.head.hash);
        [
            format!("imgctl ledger verify --against {head}"),
            "imgctl ledger export | sed -n FIRSTp, where FIRST is a change's first entry, shows its hash".to_owned(),
        ]
    }
}

/// Takes changes as they come.
pub trait Sheet {
    fn add(&mut self, change: &Change) -> io::Result<()>;
    /// The end, with how many there were: an export without it was cut short.
    fn end(&mut self, changes: u64) -> io::Result<()>;
}

/// RFC 4180: every cell in quotes, so that no separator that a spreadsheet may take for one is free in a cell, and lines
/// that end in CR LF. The last row, of the kind `export`, is about the others.
pub struct CsvSheet<'a, W: Write> {
    rows: csv::Writer<W>,
    extent: &'a Extent,
}

/// A column: its heading, and what stands in it.
type Column = (&'static str, fn(&Change) -> String);

const COLUMNS: [Column; 29] = [
    ("entry", |change| change.first.entry.to_string()),
    ("change", |change| word(change.kind)),
    ("channel", |change| text(change.channel.as_ref())),
    ("from_image", |change| image(change.from.as_ref())),
    ("from_addresses", |change| addresses(change.from.as_ref())),
    ("to_image", |change| image(change.to.as_ref())),
    ("to_addresses", |change| addresses(change.to.as_ref())),
    ("to_commit", |change| change.to.as_ref().and_then(|to| to.commit.clone()).unwrap_or_default()),
    ("to_committed", |change| {
        change.to.as_ref().and_then(|to| to.commit_time).map(|at| at.to_string()).unwrap_or_default()
    }),
    ("tags", |change| spaced(&change.tags)),
    ("reason", |change| text(change.reason.as_ref())),
    ("who", |change| change.by.who.clone()),
    ("host", |change| text(change.by.host.as_ref())),
    ("ci", |change| spaced(change.by.ci.iter().map(|(name, value)| format!("{name}={value}")))),
    ("initiator", |change| word(change.initiator)),
    ("approvals", |change| spaced(change.approvals.iter().map(|approval| &approval.by.who))),
    ("emergency", |change| if change.emergency.is_empty() { "no" } else { "yes" }.to_owned()),
    ("emergency_why", |change| spaced(change.emergency.iter().map(|why| word(*why)))),
    ("began", |change| change.began.to_string()),
    ("ended", |change| text(change.ended.as_ref())),
    ("ended_by", |change| change.ended_by.as_ref().map(|by| by.who.clone()).unwrap_or_default()),
    ("outcome", |change| word(change.status)),
    ("outcome_said", |change| text(change.said.as_ref())),
    ("superseded_by", |change| text(change.superseded_by.as_ref())),
    ("undoes", |change| text(change.undoes.as_ref())),
    ("evidence", |change| change.steps.iter().map(evidence).collect::<Vec<_>>().join("; ")),
    ("entries", |change| spaced(&change.entries)),
    ("first_hash", |change| change.first.hash.to_string()),
    ("last_hash", |change| change.last.hash.to_string()),
];

impl<'a, W: Write> CsvSheet<'a, W> {
    pub fn begin(out: W, extent: &'a Extent) -> io::Result<Self> {
        let quoted = WriterBuilder::new().quote_style(QuoteStyle::Always).terminator(Terminator::CRLF).from_writer(out);
        let mut sheet = Self { rows: quoted, extent };
        sheet.rows.write_record(COLUMNS.map(|(heading, _)| heading))?;
        Ok(sheet)
    }
}

impl<W: Write> Sheet for CsvSheet<'_, W> {
    fn add(&mut self, change: &Change) -> io::Result<()> {
        for (_, cell) in COLUMNS {
            self.rows.write_field(guarded(&cell(change)).as_ref())?;
        }
        Ok(self.rows.write_record(None::<&[u8]>)?)
    }

    fn end(&mut self, changes: u64) -> io::Result<()> {
        let Extent { ledger, head, range, channel } = self.extent;
        let said = format!("{changes} changes of ledger {ledger} up to entry {}", head.seq);
        for (heading, _) in COLUMNS {
            let cell = match heading {
                "entry" | "entries" => head.seq.to_string(),
                "change" => "export".to_owned(),
                "channel" => text(channel.as_ref()),
                "began" => text(range.from.as_ref()),
                "ended" => text(range.to.as_ref()),
                "outcome" => "done".to_owned(),
                "outcome_said" => said.clone(),
                "evidence" => self.extent.proof().join("; "),
                "last_hash" => head.hash.to_string(),
                _ => String::new(),
            };
            self.rows.write_field(guarded(&cell).as_ref())?;
        }
        self.rows.write_record(None::<&[u8]>)?;
        self.rows.flush()
    }
}

/// What a spreadsheet would run as a formula becomes text by a `'` in front of it; so does a cell that begins with `'`.
/// Taking one `'` from the front of every cell that has one gives back what was written in the ledger.
///
/// The characters are those of OWASP's "CSV Injection" (owasp.org/www-community/attacks/CSV_Injection), their full-width
/// forms, and either behind white space, which some programs drop when they read the file.
pub fn guarded(cell: &str) -> Cow<'_, str> {
    let first = cell.trim_start_matches([' ', '\u{a0}', '\u{feff}']).chars().next();
    let runs = |c: char| "'=+-@|\t\r\n\0＝＋－＠".contains(c);
    if first.is_some_and(runs) { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

/// One document with a versioned schema, each change on a line of its own.
pub struct JsonSheet<W: Write> {
    out: W,
    any: bool,
}

impl<W: Write> JsonSheet<W> {
    pub fn begin(mut out: W, extent: &Extent) -> io::Result<Self> {
        let Extent { ledger, head, range, channel } = extent;
        let head = serde_json::json!({ "entry": head.seq, "hash": head.hash });
        let range = serde_json::json!({
            "from": range.from,
            "to": range.to,
            "zone": "UTC",
            "holds": "changes whose first entry is at or after `from` and before `to`",
        });
        let opening = [
            ("schema", Value::from("imgctl.audit/1")),
            ("ledger", Value::from(ledger.to_string())),
            ("head", head),
            ("range", range),
            ("channel", serde_json::to_value(channel)?),
            ("proof", serde_json::to_value(extent.proof())?),
        ];
        out.write_all(b"{\n")?;
        for (name, value) in opening {
            writeln!(out, "  \"{name}\": {value},")?;
        }
        out.write_all(b"  \"changes\": [")?;
        Ok(Self { out, any: false })
    }
}

impl<W: Write> Sheet for JsonSheet<W> {
    fn add(&mut self, change: &Change) -> io::Result<()> {
        self.out.write_all(if self.any { b",\n    " } else { b"\n    " })?;
        self.any = true;
        Ok(serde_json::to_writer(&mut self.out, change)?)
    }

    fn end(&mut self, changes: u64) -> io::Result<()> {
        let close = if self.any { "\n  " } else { "" };
        writeln!(self.out, "{close}],\n  \"count\": {changes}\n}}")?;
        self.out.flush()
    }
}

/// One step in words: where, how far, from which revision to which, by which deployments, and what was said.
fn evidence(step: &Evidence) -> String {
    let mut text = format!("{}: {}", step.target, word(step.status));
    match &step.revision {
        Some(revision) => text.push_str(&format!(", {} to {revision}", step.planned_on)),
        None => text.push_str(&format!(", planned on {}", step.planned_on)),
    }
    if !step.deployments.is_empty() {
        text.push_str(&format!(", by {}", spaced(&step.deployments)));
    }
    if let Some(interrupted) = &step.interrupted {
        text.push_str(&format!(", interrupted {interrupted}"));
    }
    if !step.running.is_empty() {
        let running = step.running.iter().map(|(image, count)| format!("{count} × {image}"));
        text.push_str(&format!(", runs {}", running.collect::<Vec<_>>().join(" and ")));
    }
    if let Some(said) = &step.said {
        text.push_str(&format!(", {said}"));
    }
    text
}

/// The word that the written form has for it.
pub fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn image(subject: Option<&Subject>) -> String {
    subject.map(|subject| subject.image.to_string()).unwrap_or_default()
}

fn addresses(subject: Option<&Subject>) -> String {
    subject.map(|subject| spaced(&subject.addresses)).unwrap_or_default()
}

fn spaced<T: ToString>(words: impl IntoIterator<Item = T>) -> String {
    words.into_iter().map(|word| word.to_string()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Actor, Entry, Event, Seq};
    use crate::plan::change::Holds;
    use proptest::prelude::*;

    fn held(reason: &str) -> Change {
        let by = Actor { who: "ana@laptop".into(), ..Actor::default() };
        let event = Event::HoldSet { channel: "web/prod".parse().unwrap(), reason: reason.to_owned() };
        let at = "2026-11-20T10:00:00Z".parse().unwrap();
        let entry = Entry::seal(Seq(7), at, &by, &event, &Entry::root()).unwrap();
        Change::begin(&entry, &Holds::default()).unwrap()
    }

    fn extent() -> Extent {
        let head = Head { seq: Seq(9), hash: Entry::root() };
        Extent { ledger: uuid::Uuid::nil(), head, range: Range::default(), channel: None }
    }

    fn csv(changes: &[Change]) -> String {
        let (mut out, extent) = (Vec::new(), extent());
        let mut sheet = CsvSheet::begin(&mut out, &extent).unwrap();
        changes.iter().for_each(|change| sheet.add(change).unwrap());
        sheet.end(changes.len() as u64).unwrap();
        drop(sheet);
        String::from_utf8(out).unwrap()
    }

    /// One column of all rows, as a program reads it that knows of the guard.
    fn column(text: &str, heading: &str) -> Vec<String> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let at = reader.headers().unwrap().iter().position(|name| name == heading).unwrap();
        let cell = |row: Result<csv::StringRecord, csv::Error>| row.unwrap()[at].to_owned();
        reader.records().map(cell).map(|cell| cell.strip_prefix('\'').unwrap_or(&cell).to_owned()).collect()
    }

    proptest! {
        #[test]
        fn no_cell_is_a_formula_and_every_cell_reads_back(text in "[ '=+@\\-\t\r\n\",;a-zé]{0,6}") {
            let row = csv(&[held(&text)]);
            prop_assert_eq!(&column(&row, "reason")[0], &text);
            let cell = guarded(&text);
            let first = cell.trim_start().chars().next();
            prop_assert!(!first.is_some_and(|c| "=+-@".contains(c)) || cell.starts_with('\''), "{:?}", cell);
        }
    }

    #[test]
    fn a_formula_becomes_text_and_what_is_text_stays() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1", "'quoted"] {
            assert_eq!(guarded(formula), format!("'{formula}"));
        }
        for text in ["", "web@1.4.2", "1-1", "a=b", "CHG-20417", "2026-11-20T10:00:00Z"] {
            assert_eq!(guarded(text), text);
        }
    }

    #[test]
    fn rows_are_as_rfc_4180_has_them_and_the_last_one_is_about_the_others() {
        let text = csv(&[held("a \"quoted\",\nbroken reason")]);
        assert!(text.starts_with("\"entry\",\"change\",\"channel\","), "{text}");
        assert!(text.contains("\"a \"\"quoted\"\",\nbroken reason\"") && text.ends_with("\"\r\n"), "{text}");
        assert_eq!(column(&text, "change"), ["hold", "export"]);
        assert_eq!(
            column(&text, "outcome_said")[1],
            format!("1 changes of ledger {} up to entry 9", uuid::Uuid::nil())
        );
        assert_eq!(column(&text, "evidence")[1].split("; ").next(), Some(extent().proof()[0].as_str()));
        assert_eq!(column(&text, "last_hash")[1], Entry::root().to_string());
    }

    /// Programs read these names. A new one may be added; taking one away, or giving one another meaning, is `audit/2`.
    #[test]
    fn the_names_of_the_schema_stay() {
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        let step = serde_json::json!({ "number": 1, "target": "web-asg", "slots": {}, "expect": "lt-0abc:1" });
        let step: crate::model::Step = serde_json::from_value(step).unwrap();
        let event = Event::RolloutStarted {
            channel: "web/prod".parse().unwrap(),
            image: "web@2".parse().unwrap(),
            from: None,
            cause: crate::model::Cause::Promote,
            reason: None,
            steps: vec![step],
        };
        let at = "2026-11-20T10:00:00Z".parse().unwrap();
        let entry = Entry::seal(Seq(7), at, &Actor::default(), &event, &Entry::root()).unwrap();
        let change = serde_json::to_value(Change::begin(&entry, &Holds::default()).unwrap()).unwrap();
        assert_eq!(
            names(&change),
            "approvals began by channel emergency ended ended_by entries first from initiator kind last leaves reason \
             said status steps superseded_by tags to undoes"
        );
        assert_eq!(
            names(&change["steps"][0]),
            "began deployments ended interrupted ordered planned_on revision running said slots status step target"
        );
        assert_eq!(
            (names(&change["first"]), names(&change["to"])),
            ("entry hash".into(), "addresses commit commit_time image".into())
        );
        let headings: Vec<&str> = COLUMNS.iter().map(|(heading, _)| *heading).collect();
        assert_eq!(
            headings.join(" "),
            "entry change channel from_image from_addresses to_image to_addresses to_commit to_committed tags reason who \
             host ci initiator approvals emergency emergency_why began ended ended_by outcome outcome_said superseded_by \
             undoes evidence entries first_hash last_hash"
        );
    }

    #[test]
    fn the_document_is_json_whether_it_has_changes_or_none() {
        for changes in [vec![], vec![held("a")], vec![held("a"), held("b")]] {
            let (mut out, extent) = (Vec::new(), extent());
            let mut sheet = JsonSheet::begin(&mut out, &extent).unwrap();
            changes.iter().for_each(|change| sheet.add(change).unwrap());
            sheet.end(changes.len() as u64).unwrap();
            let document: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!((&document["schema"], &document["count"]), (&"imgctl.audit/1".into(), &changes.len().into()));
            let reasons: Vec<&str> = document["changes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|change| change["reason"].as_str().unwrap())
                .collect();
            assert_eq!(reasons, changes.iter().filter_map(|change| change.reason.as_deref()).collect::<Vec<_>>());
        }
    }
}
