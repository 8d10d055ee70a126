//! Drift as SARIF 2.1.0 (OASIS), for code scanning.

use super::{Told, attribution, kind, name, wrong};
use crate::plan::{Finding, Severity};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a path may hold as it is: unreserved characters (RFC 3986 §2.3) and what parts it.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A file's path as a URI reference (SARIF 2.1.0 §3.10.1).
fn uri(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

pub fn sarif(told: &Told<'_>) -> String {
    let notable: Vec<&&Finding> = told.findings.iter().filter(|finding| finding.severity > Severity::None).collect();
    let rules: BTreeMap<String, Value> = notable.iter().map(|finding| (finding.word(), rule(finding))).collect();
    let results: Vec<Value> = notable.iter().map(|finding| result(finding)).collect();
    let unasked = told.looked.unasked.iter();
    let notes: Vec<Value> = unasked
        .map(|what| json!({ "level": "error", "message": { "text": format!("not found out: {what}") } }))
        .collect();
    let run = json!({
        "tool": { "driver": {
            "name": "imgctl",
            "version": env!("CARGO_PKG_VERSION"),
            "rules": rules.into_values().collect::<Vec<_>>(),
        } },
        "invocations": [{
            "executionSuccessful": !told.looked.is_partial(),
            "startTimeUtc": told.looked.at,
            "toolExecutionNotifications": notes,
        }],
        "results": results,
    });
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    });
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn rule(finding: &Finding) -> Value {
    json!({ "id": finding.word(), "shortDescription": { "text": format!("image drift: {}", kind(&finding.word())) } })
}

fn result(finding: &Finding) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note | Severity::None => "note",
    };
    let wrong = wrong(finding).map(|who| format!(" Wrong: {who}.")).unwrap_or_default();
    let by = attribution(finding).map(|by| format!(" By {by}.")).unwrap_or_default();
    let hint = finding.remedy.as_ref().map(|remedy| format!(" Next: {remedy}")).unwrap_or_default();
    let mut result = json!({
        "ruleId": finding.word(),
        "level": level,
        "message": { "text": format!("{}: {}.{wrong}{by}{hint}", name(finding), finding.detail.trim_end_matches('.')) },
        "locations": [location(finding)],
        // What tells the same result in two runs.
        "partialFingerprints": { "imgctlFinding/v1": finding.id },
    });
    if let (Some(known), Some(fields)) = (&finding.acknowledged, result.as_object_mut()) {
        let justification = format!("{} until {}: {}", known.by, known.until, known.reason);
        fields.insert("suppressions".to_owned(), json!([{ "kind": "external", "justification": justification }]));
    }
    result
}

/// The target, and the file of the code that speaks of it. Code scanning takes no result without a file, and no file at all
/// that has such a result: what no code in a file declares is shown at the config that names the target.
fn location(finding: &Finding) -> Value {
    let mut parts = vec![finding.channel.to_string(), finding.target.to_string()];
    parts.extend(finding.slot.as_ref().map(ToString::to_string));
    let logical = json!([{ "fullyQualifiedName": parts.join("/"), "kind": "resource" }]);
    let code = finding.code.as_ref();
    let file =
        code.filter(|place| !place.is_piped() && !place.source.contains("://")).map(|place| place.source.as_str());
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(file.unwrap_or("imgctl.toml")) },
            "region": { "startLine": 1 },
        },
        "logicalLocations": logical,
    });
    if let (Some(place), Some(fields)) = (code, location.as_object_mut()) {
        fields.insert("message".to_owned(), json!({ "text": format!("{} ({})", place.address, place.source) }));
    }
    location
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn a_path_is_a_uri_reference() {
        assert_eq!(uri("infra/web-1_prod~2.tfstate"), "infra/web-1_prod~2.tfstate");
        assert_eq!(uri("my infra/größe:1#2%.tfstate"), "my%20infra/gr%C3%B6%C3%9Fe%3A1%232%25.tfstate");
    }
}
