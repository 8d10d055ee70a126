//! Drift as JUnit's XML: a suite per channel, a case per target or slot.

use super::{Told, facts, kind};
use crate::model::Channel;
use crate::plan::{Finding, Severity};
use quick_xml::events::BytesText;
use quick_xml::writer::Writer;
use std::collections::BTreeMap;
use std::io;

/// A case fails by its drift, errs where it could not be looked at, and is skipped where somebody knows of it.
pub fn junit(told: &Told<'_>) -> String {
    let mut channels: BTreeMap<&Channel, Vec<&Finding>> = BTreeMap::new();
    for &finding in &told.findings {
        channels.entry(&finding.channel).or_default().push(finding);
    }
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let written =
        writer.create_element("testsuites").with_attribute(("name", "imgctl drift")).write_inner_content(|writer| {
            channels.iter().try_for_each(|(channel, findings)| suite(writer, channel, findings, told))?;
            if told.looked.unasked.is_empty() { Ok(()) } else { unasked(writer, &told.looked.unasked) }
        });
    // A vector takes whatever it is given.
    drop(written);
    let body = String::from_utf8(writer.into_inner()).unwrap_or_default();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}\n")
}

fn suite(writer: &mut Writer<Vec<u8>>, channel: &Channel, findings: &[&Finding], told: &Told<'_>) -> io::Result<()> {
    let count = |is: fn(&Finding) -> bool| findings.iter().filter(|finding| is(finding)).count().to_string();
    let attributes = [
        ("name", channel.to_string()),
        ("tests", findings.len().to_string()),
        ("failures", count(|finding| finding.is_drift() && !finding.is_unknown())),
        ("errors", count(Finding::is_unknown)),
        ("skipped", count(|finding| finding.acknowledged.is_some())),
        ("timestamp", told.looked.at.strftime("%Y-%m-%dT%H:%M:%S").to_string()),
    ];
    let attributes: Vec<(&str, String)> = attributes.into_iter().map(|(key, value)| (key, plain(&value))).collect();
    let suite = writer.create_element("testsuite").with_attributes(pairs(&attributes));
    suite.write_inner_content(|writer| findings.iter().try_for_each(|finding| case(writer, finding))).map(drop)
}

/// A suite for what could not be found out, of which each is an error.
fn unasked(writer: &mut Writer<Vec<u8>>, all: &[String]) -> io::Result<()> {
    let count = all.len().to_string();
    let attributes =
        [("name", "not found out"), ("tests", &count), ("failures", "0"), ("errors", &count), ("skipped", "0")];
    let suite = writer.create_element("testsuite").with_attributes(attributes);
    let each = |writer: &mut Writer<Vec<u8>>, what: &String| {
        let name = plain(what);
        let case = writer.create_element("testcase").with_attributes([("classname", "imgctl drift"), ("name", &name)]);
        let error = |writer: &mut Writer<Vec<u8>>| {
            writer.create_element("error").with_attribute(("message", name.as_str())).write_empty().map(drop)
        };
        case.write_inner_content(error).map(drop)
    };
    suite.write_inner_content(|writer| all.iter().try_for_each(|what| each(writer, what))).map(drop)
}

fn case(writer: &mut Writer<Vec<u8>>, finding: &Finding) -> io::Result<()> {
    let slot = finding.slot.as_ref().map(|slot| format!(" {slot}")).unwrap_or_default();
    let name = format!("{}{slot}: {}", finding.target, kind(&finding.word()));
    let attributes = [("classname", plain(&finding.channel.to_string())), ("name", plain(&name))];
    let case = writer.create_element("testcase").with_attributes(pairs(&attributes));
    let inner = match (&finding.acknowledged, finding.severity) {
        (Some(known), _) => Some(("skipped", format!("known to {} until {}: {}", known.by, known.until, known.reason))),
        (None, Severity::None | Severity::Note) => None,
        (None, _) if finding.is_unknown() => Some(("error", finding.detail.clone())),
        (None, _) => Some(("failure", finding.detail.clone())),
    };
    let Some((tag, message)) = inner else { return case.write_empty().map(drop) };
    case.write_inner_content(|writer| {
        let attributes = [("message", plain(&message)), ("type", finding.word())];
        let about = writer.create_element(tag).with_attributes(pairs(&attributes));
        if tag == "skipped" {
            return about.write_empty().map(drop);
        }
        about.write_text_content(BytesText::new(&plain(&body(finding)))).map(drop)
    })
    .map(drop)
}

fn pairs<'a>(attributes: &'a [(&'a str, String)]) -> impl Iterator<Item = (&'a str, &'a str)> {
    attributes.iter().map(|(key, value)| (*key, value.as_str()))
}

fn body(finding: &Finding) -> String {
    let mut lines: Vec<String> = facts(finding).into_iter().map(|(who, what)| format!("{who}  {what}")).collect();
    lines.extend(finding.remedy.as_ref().map(|remedy| format!("hint: {remedy}")));
    lines.push(finding.id.to_string());
    lines.join("\n")
}

/// XML 1.0 has no way to write most control characters.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n').collect()
}
