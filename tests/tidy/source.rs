//! The sources as the house rules read them: code apart from comments, texts and tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under `folder`, without what is built, fetched or hidden; sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let skipped = name.starts_with('.') || ["target", "__pycache__", "node_modules"].contains(&name.as_str());
        match (skipped && name != ".ci" && name != ".github", path.is_dir()) {
            (true, _) => {}
            (false, true) => found.extend(files(&path)),
            (false, false) => found.push(path),
        }
    }
    found.sort();
    found
}

/// A source file in three views of the same length and lines.
pub struct Source {
    /// Under `src/`, with `/`.
    pub name: String,
    /// As it is written, tests blanked.
    pub text: String,
    /// Without comments, texts and tests.
    pub code: String,
    /// Lines that are not tests.
    pub lines: usize,
}

impl Source {
    pub fn room(&self) -> Option<&str> {
        self.name.split_once('/').map(|(room, _)| room)
    }

    /// `NAME:LINE` of a place in the file.
    pub fn at(&self, offset: usize) -> String {
        format!("src/{}:{}", self.name, self.text[..offset].matches('\n').count() + 1)
    }
}

/// Every source of the crate. Files that are compiled only for tests count as tests.
pub fn sources() -> Vec<Source> {
    let folder = root().join("src");
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for path in files(&folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs")) {
        let name = path.strip_prefix(&folder).unwrap().to_string_lossy().replace('\\', "/");
        texts.insert(name, fs::read_to_string(path).unwrap());
    }
    let mut only_for_tests = BTreeSet::new();
    let mut sources = Vec::new();
    for (name, text) in texts {
        let code = without_comments_and_texts(&text);
        let tests = test_items(&code);
        for module in tests.iter().filter_map(|(start, end)| declared_module(&code[*start..*end])) {
            // A module of `x/mod.rs` stands in `x/`, and so does one of `x.rs`.
            let root = ["mod.rs", "lib.rs", "main.rs"].iter().find_map(|root| name.strip_suffix(root));
            let own = root.map_or_else(|| name.replace(".rs", "/"), str::to_owned);
            only_for_tests.insert(format!("{own}{module}.rs"));
        }
        let blank = |text: &str| tests.iter().fold(text.to_owned(), |text, span| blanked(&text, *span));
        let in_tests: usize = tests.iter().map(|(start, end)| text[*start..*end].matches('\n').count() + 1).sum();
        let lines = text.lines().count() - in_tests;
        sources.push(Source { name, text: blank(&text), code: blank(&code), lines });
    }
    sources.retain(|source| !only_for_tests.contains(&source.name));
    sources
}

fn blanked(text: &str, (start, end): (usize, usize)) -> String {
    let blank: String = text[start..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    format!("{}{blank}{}", &text[..start], &text[end..])
}

/// The same text with comments and the insides of texts blanked, byte for byte.
fn without_comments_and_texts(text: &str) -> String {
    let mut code = text.to_owned();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let after_word = text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let length = span_of(rest, after_word);
        if let Some(length) = length {
            code = blanked(&code, (at, at + length));
        }
        at += length.unwrap_or_else(|| rest.chars().next().map_or(1, char::len_utf8));
    }
    code
}

/// How long the comment or text is that starts here, if one does.
fn span_of(rest: &str, after_word: bool) -> Option<usize> {
    let until = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |found| from + found + end.len());
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(until("*/", 2));
    }
    let raw = rest.trim_start_matches('b').strip_prefix('r').filter(|_| !after_word);
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let open = rest.len() - raw.len() + hashes + 1;
            return Some(until(&format!("\"{}", "#".repeat(hashes)), open));
        }
    }
    match rest.chars().next()? {
        '"' => Some(quoted(rest, '"')),
        // A lifetime is not a text: it has no closing quote right behind its first character.
        '\'' if rest[1..].starts_with('\\') || rest[1..].chars().nth(1) == Some('\'') => Some(quoted(rest, '\'')),
        _ => None,
    }
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Where items that only tests see start and end.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(start) = code[from..].find("#[cfg(test)]").map(|found| from + found) {
        let end = item_end(code, start + "#[cfg(test)]".len());
        items.push((start, end));
        from = end;
    }
    items
}

/// The end of the item that starts at `start`: behind its block, or behind its semicolon.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[start..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return start + at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return start + at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The name in `mod NAME;`.
fn declared_module(item: &str) -> Option<&str> {
    item.trim_end().strip_suffix(';')?.rsplit_once("mod ").map(|(_, name)| name.trim())
}

/// Where a word stands in the code, not as part of a longer one.
pub fn places<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (starts, ends) = (word.starts_with(is_word), word.ends_with(is_word));
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = code[..*at].chars().next_back().is_some_and(is_word);
        let after = code[at + word.len()..].chars().next().is_some_and(is_word);
        // `aws_sdk` is the beginning of many crates' names.
        !(starts && before || ends && after && word != "aws_sdk" && word != "aws_smithy")
    })
}

/// Name, place and lines of every function that has a body.
pub fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for at in places(code, "fn") {
        let rest = code[at + 2..].trim_start();
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !name.is_empty() {
            found.push((name, at, code[at..item_end(code, at)].matches('\n').count() + 1));
        }
    }
    found
}

#[test]
fn the_scanner_tells_code_from_comments_texts_and_tests() {
    let text = "fn a<'x>() { let s = \"// fn b() {\"; let c = '\"'; } // fn c() {\nfn d() {\n}\n#[cfg(test)]\nmod tests { fn e() {} }\nfn f() {}\n";
    let code = without_comments_and_texts(text);
    assert_eq!(code.len(), text.len());
    let tests = test_items(&code);
    assert_eq!(
        tests.iter().map(|(start, end)| &text[*start..*end]).collect::<Vec<_>>(),
        ["#[cfg(test)]\nmod tests { fn e() {} }"]
    );
    let live = tests.iter().fold(code, |code, span| blanked(&code, *span));
    let found: Vec<(String, usize)> = functions(&live).into_iter().map(|(name, _, lines)| (name, lines)).collect();
    assert_eq!(found, [("a".to_owned(), 1), ("d".to_owned(), 2), ("f".to_owned(), 1)]);
    assert_eq!(declared_module("#[cfg(test)]\nmod world;"), Some("world"));
    let raw = "let r = r#\"fn a() { \" \"#; let b = b\"\\\"{\"; fn g() {}";
    assert_eq!(functions(&without_comments_and_texts(raw)).len(), 1);
}
