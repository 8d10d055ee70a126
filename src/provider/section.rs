//! One table of the config, read key by key: typed values with their places, and every fault in it.

use crate::model::ParseError;
use crate::model::lookup::nearest;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// What is wrong in the config, and where: bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub span: Range<usize>,
    /// What is wrong: "unknown key `soack` in [channels.web.prod]".
    pub title: String,
    /// What would be right, said at the place itself.
    pub label: String,
    /// What to do, where the label is not enough.
    pub help: Option<String>,
}

/// The faults found so far. Reading goes on after each, so that a person sees all of them at once.
#[derive(Debug, Default)]
pub struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    pub fn add(&self, fault: Fault) {
        self.0.borrow_mut().push(fault);
    }

    /// All of them, in the order of the file.
    pub fn into_sorted(self) -> Vec<Fault> {
        let mut faults = self.0.into_inner();
        faults.sort_by(|a, b| (a.span.start, &a.title).cmp(&(b.span.start, &b.title)));
        faults.dedup();
        faults
    }
}

/// A table being read. A key that nothing asked for is a fault when the reading ends.
pub struct Section<'a> {
    /// As written in a header: `channels.web.prod`.
    path: String,
    /// The header itself: `[channels.web.prod]`.
    heading: String,
    table: &'a DeTable<'a>,
    span: Range<usize>,
    known: RefCell<BTreeSet<&'static str>>,
    planned: RefCell<BTreeSet<&'static str>>,
    faults: &'a Faults,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub fn root(table: &'a Spanned<DeTable<'a>>, faults: &'a Faults) -> Self {
        Self {
            path: String::new(),
            heading: "the file".to_owned(),
            table: table.get_ref(),
            span: 0..0,
            known: RefCell::default(),
            planned: RefCell::default(),
            faults,
        }
    }

    fn child(&self, key: &str, span: Range<usize>, table: &'a DeTable<'a>, many: bool) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let heading = if many { format!("[[{path}]]") } else { format!("[{path}]") };
        let (known, planned) = (RefCell::default(), RefCell::default());
        Self { path, heading, table, span, known, planned, faults: self.faults }
    }

    /// Where the table begins.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub fn heading(&self) -> &str {
        &self.heading
    }

    pub fn fault(&self, span: Range<usize>, title: impl Into<String>, label: impl Into<String>) {
        self.fault_with_help(span, title, label, None);
    }

    pub fn fault_with_help(
        &self,
        span: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) {
        self.faults.add(Fault { span, title: title.into(), label: label.into(), help });
    }

    fn value(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.borrow_mut().insert(key);
        self.table.get(key)
    }

    fn wrong(&self, key: &str, span: Range<usize>, wanted: &str) {
        self.fault(span, format!("`{key}` is not valid"), format!("expected {wanted}"));
    }

    fn wrong_kind(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let found = article(value.get_ref().type_str());
        self.wrong(key, value.span(), &format!("{wanted}, found {found}"));
    }

    fn missing<T>(&self, key: &str, wanted: &str) -> Option<T> {
        self.fault(self.span(), format!("{} has no `{key}`", self.heading), format!("needs `{key}`: {wanted}"));
        None
    }

    fn as_text(&self, key: &str, value: &'a Spanned<DeValue<'a>>, wanted: &str) -> Option<Spanned<&'a str>> {
        match value.get_ref().as_str() {
            Some("") => self.wrong(key, value.span(), &format!("{wanted}; it is empty")),
            Some(text) => return Some(Spanned::new(value.span(), text)),
            None => self.wrong_kind(key, value, wanted),
        }
        None
    }

    /// A text that is not empty.
    pub fn text(&self, key: &'static str) -> Option<Spanned<String>> {
        let text = self.as_text(key, self.value(key)?, "a string")?;
        Some(Spanned::new(text.span(), text.into_inner().to_owned()))
    }

    /// A text that must be there; `wanted` says what it is.
    pub fn required_text(&self, key: &'static str, wanted: &str) -> Option<Spanned<String>> {
        if self.value(key).is_none() { self.missing(key, wanted) } else { self.text(key) }
    }

    fn as_parsed<T: FromStr<Err = ParseError>>(
        &self,
        key: &str,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Option<Spanned<T>> {
        let text = self.as_text(key, value, "a string")?;
        match text.get_ref().parse() {
            Ok(parsed) => return Some(Spanned::new(text.span(), parsed)),
            Err(ParseError { wanted, .. }) => self.wrong(key, text.span(), wanted),
        }
        None
    }

    /// A noun that checks itself.
    pub fn parsed<T: FromStr<Err = ParseError>>(&self, key: &'static str) -> Option<Spanned<T>> {
        self.as_parsed(key, self.value(key)?)
    }

    /// A noun that must be there.
    pub fn required<T: FromStr<Err = ParseError>>(&self, key: &'static str, wanted: &str) -> Option<Spanned<T>> {
        if self.value(key).is_none() { self.missing(key, wanted) } else { self.parsed(key) }
    }

    pub fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        if value.get_ref().as_bool().is_none() {
            self.wrong_kind(key, value, "true or false");
        }
        value.get_ref().as_bool()
    }

    fn as_number(&self, key: &str, value: &Spanned<DeValue<'_>>, range: &RangeInclusive<u64>) -> Option<Spanned<u64>> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(digits) = value.get_ref().as_integer() else {
            self.wrong_kind(key, value, &wanted);
            return None;
        };
        let number = u64::from_str_radix(digits.as_str(), digits.radix()).ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(key, value.span(), &wanted);
        }
        number.map(|number| Spanned::new(value.span(), number))
    }

    /// A whole number within `range`.
    pub fn number(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<Spanned<u64>> {
        self.as_number(key, self.value(key)?, &range)
    }

    /// A time like `30s` or `1h 30m`, within `range`.
    pub fn duration(&self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Spanned<Duration>> {
        let text = self.as_text(key, self.value(key)?, "a duration in quotes (as in \"30s\" or \"1h 30m\")")?;
        let Some(duration) = parse_duration(text.get_ref()) else {
            self.wrong(key, text.span(), "a duration (as in \"30s\", \"10m\" or \"1h 30m\")");
            return None;
        };
        if range.contains(&duration) {
            return Some(Spanned::new(text.span(), duration));
        }
        let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
        self.wrong(key, text.span(), &format!("a duration from {least} to {most}"));
        None
    }

    /// One of a few words; the near one is suggested.
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<Spanned<T>> {
        let text = self.as_text(key, self.value(key)?, "a string")?;
        if let Some((_, chosen)) = choices.iter().find(|(word, _)| word == text.get_ref()) {
            return Some(Spanned::new(text.span(), *chosen));
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.unknown_word(key, &text, &words);
        None
    }

    fn unknown_word(&self, key: &str, text: &Spanned<&str>, words: &[&str]) {
        let near = nearest(text.get_ref(), words).map(|near| format!("did you mean \"{near}\"?"));
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        self.fault_with_help(
            text.span(),
            format!("`{key}` is not valid"),
            format!("expected {}", one_of(&quoted)),
            near,
        );
    }

    fn array(&self, key: &'static str, wanted: &str) -> Option<&'a DeArray<'a>> {
        let value = self.value(key)?;
        if value.get_ref().as_array().is_none() {
            self.wrong_kind(key, value, wanted);
        }
        value.get_ref().as_array()
    }

    /// A list of nouns; absent is empty.
    pub fn list<T: FromStr<Err = ParseError>>(&self, key: &'static str) -> Vec<Spanned<T>> {
        let items = self.array(key, "a list of strings").into_iter().flat_map(|items| items.iter());
        items.filter_map(|item| self.as_parsed(key, item)).collect()
    }

    /// A list of texts; absent is empty.
    pub fn texts(&self, key: &'static str) -> Vec<Spanned<String>> {
        let items = self.array(key, "a list of strings").into_iter().flat_map(|items| items.iter());
        let texts = items.filter_map(|item| self.as_text(key, item, "a string"));
        texts.map(|text| Spanned::new(text.span(), text.into_inner().to_owned())).collect()
    }

    /// A list of whole numbers, each within `range`; absent is empty.
    pub fn numbers(&self, key: &'static str, range: RangeInclusive<u64>) -> Vec<Spanned<u64>> {
        let items = self.array(key, "a list of whole numbers").into_iter().flat_map(|items| items.iter());
        items.filter_map(|item| self.as_number(key, item, &range)).collect()
    }

    /// A table under this one.
    pub fn section(&self, key: &'static str) -> Option<Self> {
        let value = self.value(key)?;
        self.as_section(key, value.span(), value)
    }

    fn as_section(&self, key: &str, span: Range<usize>, value: &'a Spanned<DeValue<'a>>) -> Option<Self> {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_kind(key, value, &format!("a table ([{}])", self.child(key, 0..0, self.table, false).path));
            return None;
        };
        Some(self.child(key, span, table, false))
    }

    /// An array of tables under this one; absent is empty.
    pub fn sections(&self, key: &'static str) -> impl Iterator<Item = Self> {
        let items = self.array(key, "an array of tables ([[…]])").into_iter().flat_map(|items| items.iter());
        items.filter_map(move |item| {
            let Some(table) = item.get_ref().as_table() else {
                self.wrong_kind(key, item, "a table");
                return None;
            };
            Some(self.child(key, item.span(), table, true))
        })
    }

    /// A table of texts whose keys the user chose, in the order of the file; it must be there and hold one. `wanted` says
    /// what it is.
    pub fn required_texts(&self, key: &'static str, wanted: &str) -> Option<Vec<(Spanned<String>, Spanned<String>)>> {
        let Some(value) = self.value(key) else { return self.missing(key, wanted) };
        let section = self.as_section(key, value.span(), value)?;
        let text = |(key, value): (&Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let name: String = AsRef::<str>::as_ref(key.get_ref()).to_owned();
            let text = section.as_text(&name, value, "a string")?;
            Some((Spanned::new(key.span(), name), Spanned::new(text.span(), text.into_inner().to_owned())))
        };
        let mut texts: Vec<_> = section.table.iter().filter_map(text).collect();
        if section.table.is_empty() {
            self.wrong(key, value.span(), wanted);
        }
        texts.sort_by_key(|(key, _)| key.span().start);
        Some(texts)
    }

    /// Every key with the table under it, where the keys are names that the user chose; in the order of the file.
    pub fn named(&self) -> Vec<(Spanned<String>, Self)> {
        let entries = self.table.iter().filter_map(|(key, value)| {
            let name = Spanned::new(key.span(), key.get_ref().to_string());
            let shown =
                if name.get_ref().contains('.') { format!("\"{}\"", key.get_ref()) } else { name.get_ref().clone() };
            Some((name, self.as_section(&shown, key.span(), value)?))
        });
        let mut entries: Vec<_> = entries.collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        entries
    }

    /// Keys that are planned and that this imgctl would not act on: never silently ignored.
    pub fn not_yet(&self, keys: &[&'static str]) {
        for (key, _) in self.table.iter().filter(|(key, _)| keys.contains(&key.get_ref().as_ref())) {
            let version = env!("CARGO_PKG_VERSION");
            let title = format!("`{}` is not supported yet in imgctl {version}", key.get_ref());
            self.fault(key.span(), title, "remove it: it would have no effect");
        }
        self.planned.borrow_mut().extend(keys);
    }

    /// Ends the reading: what nothing asked for is a fault, with the near name.
    pub fn finish(self) {
        let (known, planned) = (self.known.borrow(), self.planned.borrow());
        let words: Vec<&str> = known.iter().copied().collect();
        let strange = |key: &str| !known.contains(key) && !planned.contains(key);
        for (key, _) in self.table.iter().filter(|(key, _)| strange(key.get_ref())) {
            let near = nearest(key.get_ref(), &words).map(|near| format!("did you mean `{near}`?"));
            let quoted: Vec<String> = words.iter().map(|key| format!("`{key}`")).collect();
            let place = if self.path.is_empty() { String::new() } else { format!(" in {}", self.heading) };
            let title = format!("unknown key `{}`{place}", key.get_ref());
            self.fault_with_help(key.span(), title, format!("expected {}", one_of(&quoted)), near);
        }
    }
}

/// `30s`, `1h 30m`: what people write. Negative ones are no durations here.
pub fn parse_duration(text: &str) -> Option<Duration> {
    Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok()
}

/// As it would be written in the config.
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text.join(" ") }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

fn one_of(words: &[String]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first, second] => format!("{first} or {second}"),
        _ => format!("one of {}", words.join(", ")),
    }
}
