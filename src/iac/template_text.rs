//! A CloudFormation template as it was handed in: JSON, or YAML with CloudFormation's short forms (`!Ref`, `!Sub`).
//!
//! The short forms are the functions themselves, and a reader that drops YAML's tags would take `!Ref Ami` for the text `Ami`
//! (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html>).

use super::Position;
use granit_parser::{Event, Marker, Parser, Span, StrInput, Tag};
use serde_json::{Map, Value};

/// Deeper than any template; what is deeper is meant to overflow somebody's stack.
const DEEPEST: usize = 100;

/// Reads it as the JSON that it stands for. Of YAML every scalar becomes a text: what is a number or a flag does not matter here.
///
/// # Errors
/// Where it is neither; what stands there is not said, as it may be a secret.
pub(super) fn parse(text: &str) -> Result<Value, Position> {
    if text.trim_start().starts_with('{')
        && let Ok(template) = serde_json::from_str(text)
    {
        return Ok(template);
    }
    let mut reader = Reader { parser: Parser::new_from_str(text) };
    let mut template = None;
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            _ if template.is_some() => return Err(position(&span.start)),
            event => template = Some(reader.node(event, &span, 0)?),
        }
    }
    template.ok_or(Position { line: 1, column: 1 })
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> Reader<'a> {
    /// The next event that is no comment.
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Position> {
        loop {
            match self.parser.next_event() {
                None => return Ok(None),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(found)) => return Ok(Some(found)),
                Some(Err(error)) => return Err(position(error.marker())),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Value, Position> {
        // Aliases are no part of a template (§ "YAML" of the page above), and would make a small file a large one.
        if depth > DEEPEST {
            return Err(position(&span.start));
        }
        let tag = event.tag().map(Tag::to_string);
        let value = match event {
            Event::Scalar(text, style, ..) if style == granit_parser::ScalarStyle::Plain && tag.is_none() => {
                if matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Value::Null
                } else if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
                    // `True` is the flag that a parameter spells `true`.
                    Value::String(text.to_ascii_lowercase())
                } else {
                    Value::String(text.into_owned())
                }
            }
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) => self.sequence(span, depth)?,
            Event::MappingStart(..) => self.mapping(span, depth)?,
            _ => return Err(position(&span.start)),
        };
        Ok(tagged(tag.as_deref(), value))
    }

    fn sequence(&mut self, begun: &Span, depth: usize) -> Result<Value, Position> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::SequenceEnd {
                return Ok(Value::Array(items));
            }
            items.push(self.node(event, &span, depth + 1)?);
        }
        Err(position(&begun.start))
    }

    fn mapping(&mut self, begun: &Span, depth: usize) -> Result<Value, Position> {
        let mut members = Map::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                return Ok(Value::Object(members));
            }
            let Value::String(key) = self.node(event, &span, depth + 1)? else { return Err(position(&span.start)) };
            let Some((event, span)) = self.next()? else { break };
            members.insert(key, self.node(event, &span, depth + 1)?);
        }
        Err(position(&begun.start))
    }
}

/// `!Sub x` is `{"Fn::Sub": "x"}`; `Ref` and `Condition` have no prefix, and `!GetAtt A.B` names two things in one text.
fn tagged(tag: Option<&str>, value: Value) -> Value {
    let Some(name) = tag.and_then(|tag| tag.strip_prefix('!')).filter(|name| !name.is_empty()) else { return value };
    let (key, value) = match (name, value) {
        ("Ref" | "Condition", value) => (name.to_owned(), value),
        ("GetAtt", Value::String(text)) => {
            let (resource, attribute) = text.split_once('.').unwrap_or((&text, ""));
            ("Fn::GetAtt".to_owned(), Value::from(vec![resource, attribute]))
        }
        (name, value) => (format!("Fn::{name}"), value),
    };
    Value::Object(Map::from_iter([(key, value)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn short_forms_are_the_functions_that_they_stand_for() {
        let template = "A: !Ref Ami\nB: !GetAtt Lt.LatestVersionNumber\nC: !Sub '${X}-y'\nD: !If [Big, !Ref One, 7]\n\
                        E: !Join\n- ':'\n- - a\n  - !Condition c\nF: {Ref: Ami} # said\nG: ~\nH: \"\"\nI: 007\nJ: True\n";
        let expected = json!({
            "A": {"Ref": "Ami"},
            "B": {"Fn::GetAtt": ["Lt", "LatestVersionNumber"]},
            "C": {"Fn::Sub": "${X}-y"},
            "D": {"Fn::If": ["Big", {"Ref": "One"}, "7"]},
            "E": {"Fn::Join": [":", ["a", {"Condition": "c"}]]},
            "F": {"Ref": "Ami"}, "G": null, "H": "", "I": "007", "J": "true",
        });
        assert_eq!(parse(template), Ok(expected));
        assert_eq!(parse("{\"A\": {\"Ref\": \"Ami\"}, \"B\": 7}"), Ok(json!({"A": {"Ref": "Ami"}, "B": 7})));
    }

    #[test]
    fn what_is_no_template_is_refused_with_its_place() {
        assert_eq!(parse("A: [1,\nB: }"), Err(Position { line: 1, column: 4 }));
        assert!(parse("").is_err() && parse("# nothing").is_err());
        assert!(parse("A: &x 1\nB: *x\n").is_err(), "an alias");
        assert!(parse(&"[".repeat(5_000)).is_err());
        assert!(parse(&format!("{}{}", "[".repeat(5_000), "]".repeat(5_000))).is_err());
    }
}
