//! A YAML document as a tree that knows where each node stands, and which two trees mean the same.

use super::scalar::is_text;
use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle, Tag};
use std::collections::BTreeSet;
use std::ops::Range;

/// Why a document cannot be read or changed, with the line where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub line: Option<usize>,
    pub what: String,
}

impl Fault {
    pub(super) fn at(text: &str, byte: usize, what: impl Into<String>) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        Self { line: Some(before.matches('\n').count() + 1), what: what.into() }
    }

    pub(super) fn of_all(what: impl Into<String>) -> Self {
        Self { line: None, what: what.into() }
    }
}

/// One file: a single document, which may be empty.
pub(super) struct Document {
    pub root: Option<Node>,
    pub comments: Vec<String>,
    /// The anchors that something refers to.
    pub referred: BTreeSet<usize>,
}

/// Two nodes are equal when they mean the same: where they stand and how they are laid out is not looked at.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub kind: Kind,
    /// Of a scalar with its quotes; of a block from its first to its last node; empty where nothing is written.
    pub bytes: Range<usize>,
    /// Zero: it has none.
    pub anchor: usize,
    pub tag: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar { text: String, style: ScalarStyle },
    Sequence { items: Vec<Node>, flow: bool },
    Mapping { members: Vec<(Node, Node)>, flow: bool },
    Alias(usize),
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        let kinds = match (&self.kind, &other.kind) {
            (Kind::Scalar { text, .. }, Kind::Scalar { text: theirs, .. }) => {
                text == theirs && self.is_text() == other.is_text() && self.is_null() == other.is_null()
            }
            (Kind::Sequence { items, .. }, Kind::Sequence { items: theirs, .. }) => items == theirs,
            (Kind::Mapping { members, .. }, Kind::Mapping { members: theirs, .. }) => members == theirs,
            (Kind::Alias(anchor), Kind::Alias(theirs)) => anchor == theirs,
            _ => false,
        };
        kinds && self.anchor == other.anchor && self.tag == other.tag
    }
}

impl Node {
    /// One that stands nowhere yet.
    pub fn new(kind: Kind) -> Self {
        Self { kind, bytes: 0..0, anchor: 0, tag: None }
    }

    pub fn text(text: &str) -> Self {
        Self::new(Kind::Scalar { text: text.to_owned(), style: ScalarStyle::DoubleQuoted })
    }

    /// Whether every reader takes it for a text, as it is quoted or looks like nothing else.
    fn is_text(&self) -> bool {
        match &self.kind {
            Kind::Scalar { text, style: ScalarStyle::Plain } => is_text(text),
            Kind::Scalar { .. } => true,
            _ => false,
        }
    }

    pub fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar { text, style: ScalarStyle::Plain } if self.tag.is_none() => {
                self.bytes.is_empty() || matches!(text.as_str(), "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// Whether it is this name.
    pub fn says(&self, name: &str) -> bool {
        matches!(&self.kind, Kind::Scalar { text, .. } if text == name) && !self.is_null()
    }
}

/// Reads a file of one document.
pub(super) fn parse(text: &str) -> Result<Document, Fault> {
    let document = Document { root: None, comments: Vec::new(), referred: BTreeSet::new() };
    let mut reader = Reader { text, parser: Parser::new_from_str(text), document };
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(..) if reader.document.root.is_some() => {
                return Err(reader.fault(&span, "a second document begins here, and which one is meant cannot be said"));
            }
            Event::DocumentStart(..) => {}
            event => reader.document.root = Some(reader.node(event, &span)?),
        }
    }
    Ok(reader.document)
}

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    document: Document,
}

impl<'a> Reader<'a> {
    fn fault(&self, span: &Span, what: &str) -> Fault {
        Fault::at(self.text, bytes(span).start, what)
    }

    /// The next event that is no comment.
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Fault> {
        loop {
            match self.parser.next_event() {
                None => return Ok(None),
                Some(Ok((Event::Comment(comment, _), _))) => self.document.comments.push(comment.into_owned()),
                Some(Ok(found)) => return Ok(Some(found)),
                Some(Err(error)) => return Err(Fault { line: Some(error.marker().line()), what: error.info() }),
            }
        }
    }

    fn inner(&mut self) -> Result<(Event<'a>, Span), Fault> {
        self.next()?.ok_or_else(|| Fault::of_all("it ends too early"))
    }

    fn node(&mut self, event: Event<'a>, span: &Span) -> Result<Node, Fault> {
        let start = bytes(span);
        let anchor = event.anchor_id().unwrap_or_default();
        let tag = event.tag().map(Tag::to_string);
        let (kind, bytes) = match event {
            Event::Scalar(text, style, ..) => (Kind::Scalar { text: text.into_owned(), style }, start),
            Event::Alias(anchor) => {
                self.document.referred.insert(anchor);
                (Kind::Alias(anchor), start)
            }
            Event::SequenceStart(style, ..) => self.sequence(start, style == StructureStyle::Flow)?,
            Event::MappingStart(style, ..) => self.mapping(start, style == StructureStyle::Flow)?,
            _ => return Err(self.fault(span, "this is not understood")),
        };
        Ok(Node { kind, bytes, anchor, tag })
    }

    fn sequence(&mut self, start: Range<usize>, flow: bool) -> Result<(Kind, Range<usize>), Fault> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, span) = self.inner()?;
            if event == Event::SequenceEnd {
                let last = items.last().map_or(start.end, |item| item.bytes.end);
                let end = if flow { bytes(&span).end } else { last };
                return Ok((Kind::Sequence { items, flow }, start.start..end));
            }
            items.push(self.node(event, &span)?);
        }
    }

    fn mapping(&mut self, start: Range<usize>, flow: bool) -> Result<(Kind, Range<usize>), Fault> {
        let mut members: Vec<(Node, Node)> = Vec::new();
        loop {
            let (event, span) = self.inner()?;
            if event == Event::MappingEnd {
                let last = members.last().map_or(start.end, |(key, value)| key.bytes.end.max(value.bytes.end));
                let end = if flow { bytes(&span).end } else { last };
                return Ok((Kind::Mapping { members, flow }, start.start..end));
            }
            let key = self.node(event, &span)?;
            let (event, span) = self.inner()?;
            members.push((key, self.node(event, &span)?));
        }
    }
}

/// Those of a text that is all in memory are always known.
fn bytes(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or_default()
}
