//! What is changed in a YAML file, what is refused, and that every other byte stays.

use super::*;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn path(text: &str) -> Vec<Step> {
    let step = |part: &str| match part.strip_prefix('#') {
        Some(name) => Step::Named(name.to_owned()),
        None => Step::Key(part.to_owned()),
    };
    text.split('/').map(step).collect()
}

fn put_at(text: &str, at: &str, value: &str) -> String {
    set(text, &path(at), value).unwrap()
}

fn refused(text: &str, at: &str) -> String {
    let fault = set(text, &path(at), "new").unwrap_err();
    format!("{}: {}", fault.line.map_or_else(String::new, |line| line.to_string()), fault.what)
}

fn as_others_read(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn only_the_text_changes() {
    let text = "\u{feff}# top\r\nimage:   # ours\r\n    tag : 'old'   # till friday\r\n    pull: Always\r\nlist: [ a,b ]\r\n\r\n\r\n";
    assert_eq!(put_at(text, "image/tag", "new"), text.replace("old", "new"));
    for (old, new) in [
        ("\"a\"", "\"sha256:1\""),
        ("'a'", "'sha256:1'"),
        ("a", "sha256:1"),
        ("1.10", "sha256:1"),
        ("two words", "sha256:1"),
        ("null", "sha256:1"),
        ("!!str 7", "!!str sha256:1"),
        ("&unused a", "&unused sha256:1"),
    ] {
        for layout in ["a: {b: @, c: [1]} # x\n", "a:\n- z\nb: @   # x\nc: *z\n", "{\"b\":@,c: 1}", "b: @"] {
            let layout = layout.replace("*z", "1");
            let at = if layout.starts_with("a: {") { "a/b" } else { "b" };
            assert_eq!(put_at(&layout.replace('@', old), at, "sha256:1"), layout.replace('@', new));
        }
    }
}

#[test]
fn what_would_be_another_type_is_quoted() {
    for (value, written) in [
        ("1.10", "\"1.10\""),
        ("on", "\"on\""),
        ("No", "\"No\""),
        ("null", "\"null\""),
        ("0x1f", "\"0x1f\""),
        ("12:30", "\"12:30\""),
        ("2026-01-01", "\"2026-01-01\""),
        ("1e3", "\"1e3\""),
        ("", "\"\""),
        ("- a", "\"- a\""),
        ("a: b", "\"a: b\""),
        ("a #b", "\"a #b\""),
        ("@a", "\"@a\""),
        ("1.2.3", "\"1.2.3\""),
        ("v1.10", "v1.10"),
        ("sha256:0a", "sha256:0a"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/web", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web"),
        ("localhost:5000/a/b@sha256:0a", "localhost:5000/a/b@sha256:0a"),
    ] {
        assert_eq!(put_at("tag: x # c\n", "tag", value), format!("tag: {written} # c\n"));
        assert_eq!(as_others_read(&put_at("tag: x\n", "tag", value)), json!({"tag": value}));
    }
}

#[test]
fn what_is_missing_is_made_beside_its_neighbours() {
    for (text, at, wanted) in [
        ("", "image/digest", "image:\n  digest: new\n"),
        ("# ours\n", "digest", "# ours\ndigest: new\n"),
        ("---\n", "digest", "---\ndigest: new\n"),
        ("a: 1\n", "b", "a: 1\nb: new\n"),
        ("a: 1", "b", "a: 1\nb: new"),
        ("a: 1\r\n", "b/c", "a: 1\r\nb:\r\n  c: new\r\n"),
        ("a:\n    b: 1 # x\n# y\nc: 2\n", "a/d", "a:\n    b: 1 # x\n    d: new\n# y\nc: 2\n"),
        ("a: |\n  text\n\n# y\n", "b", "a: |\n  text\n\nb: new\n# y\n"),
        ("a: {b: 1}\n", "a/c/d", "a: {b: 1, c: {d: new}}\n"),
        ("a: {}\n", "a/c", "a: {c: new}\n"),
        ("a: # x\nb: 1\n", "a/c", "a: # x\n  c: new\nb: 1\n"),
        ("a: ~ # x\n", "a/c", "a: # x\n  c: new\n"),
        ("a:\n", "a", "a: new\n"),
        ("a: # x\n", "a", "a: new # x\n"),
        ("{\"a\":, b: 1}\n", "a", "{\"a\": new, b: 1}\n"),
        ("{a: , b: 1}\n", "a/c", "{a: {c: new} , b: 1}\n"),
        ("a: 1\n", "images/#web/digest", "a: 1\nimages:\n- name: web\n  digest: new\n"),
        (
            "images:\n  # x\n  -   name: a\n",
            "images/#web/digest",
            "images:\n  # x\n  -   name: a\n  - name: web\n    digest: new\n",
        ),
        ("images: []\n", "images/#web/digest", "images: [{name: web, digest: new}]\n"),
        ("images: [{name: a}]\n", "images/#web/digest", "images: [{name: a}, {name: web, digest: new}]\n"),
        ("images:\nb: 1\n", "images/#web/digest", "images:\n- name: web\n  digest: new\nb: 1\n"),
        (
            "images:\n- newTag: x\n  name: web\nb: 1\n",
            "images/#web/digest",
            "images:\n- newTag: x\n  name: web\n  digest: new\nb: 1\n",
        ),
        ("images:\n- {name: web}\n", "images/#web/digest", "images:\n- {name: web, digest: new}\n"),
        ("<<: {a: 1}\n", "a", "<<: {a: 1}\na: new\n"),
        ("a: 1\n...\n", "a", "a: new\n...\n"),
    ] {
        assert_eq!(put_at(text, at, "new"), wanted, "{text:?}");
        assert_eq!(get(wanted, &path(at)).unwrap().as_deref(), Some("new"));
    }
}

#[test]
fn what_could_mean_two_things_is_refused_with_its_line() {
    for (text, at, why) in [
        ("a: 1\nb: 2\na: 3\n", "a", "3: `a` is there twice"),
        ("images:\n- name: web\n- name: web\n", "images/#web/digest", "3: `images[web]` is there twice"),
        ("a: 1\n---\na: 2\n", "a", "2: a second document begins here, and which one is meant cannot be said"),
        ("a: &x 1\nb: *x\n", "b", "2: `b` is an alias of something else; write the value itself there"),
        ("a: &x 1\nb: *x\n", "a", "1: `a` has an anchor, and what refers to it would change with it"),
        ("a: &x\n  c: 1\nb: *x\n", "a/c", "2: `a` has an anchor, and what refers to it would change with it"),
        ("a: &x {c: 1}\nb: *x\n", "b/c", "2: `b` is an alias of something else; write the value itself there"),
        (
            "x: &x {name: q}\nimages:\n- *x\n",
            "images/#web/digest",
            "3: `images` holds an alias; write the entry itself there",
        ),
        ("a: |\n  old\n", "a", "2: `a` is a block text (| or >); write it in one line once"),
        ("a: !!int 7\n", "a", "1: `a` has a tag, and would not stay a text"),
        ("a: !custom x\n", "a", "1: `a` has a tag, and would not stay a text"),
        ("a: &x\nb: 1\n", "a", "1: `a` is empty, and is best filled in by hand once"),
        ("a: [1]\n", "a", "1: `a` is no text"),
        ("a: {b: 1}\n", "a", "1: `a` is no text"),
        ("a: 1\n", "a/b", "1: `a` is no mapping (KEY: VALUE)"),
        ("- 1\n", "a", "1: it is no mapping (KEY: VALUE)"),
        ("images: {}\n", "images/#web/digest", "1: `images` is no list"),
        ("a:\n- !x\n  name: b\n", "a/#web/b", ": `a[web].b` is missing, and is best put there by hand once"),
        ("? a\n: # x\n", "a", "2: `a` is empty, and is best filled in by hand once"),
        ("{a: }\n", "b", "1: `b` cannot be changed without changing something else; change it by hand once"),
    ] {
        assert_eq!(refused(text, at), why, "{text:?}");
    }
    for broken in ["a: [1\n", "a: 'x\n", "a:\n  b: 1\n c: 2\n", "a: *x\n", "\t- a: b: c\n"] {
        assert!(set(broken, &path("a"), "new").unwrap_err().line.is_some(), "{broken:?}");
    }
}

#[test]
fn a_key_goes_with_its_line_and_another_takes_its_place() {
    let gone = |text: &str| remove(text, &path("i/t"));
    for (text, wanted) in [
        ("i:\n  a: 1 # x\n  t: 2\n  # y\n  b: 3\n", "i:\n  a: 1 # x\n  # y\n  b: 3\n"),
        ("i:\n  a: 1 # x\n  t: 2\nb: 3\n", "i:\n  a: 1 # x\nb: 3\n"),
        ("i:\n  t: 2\n  a: 1\n", "i:\n  a: 1\n"),
        ("i: {a: 1, t: 2}\n", "i: {a: 1}\n"),
        ("i: {t: 2, a: 1}\n", "i: {a: 1}\n"),
        ("i: {a: 1}\n", "i: {a: 1}\n"),
    ] {
        assert_eq!(gone(text).unwrap(), wanted);
    }
    let first = "images:\n- newTag: 1\n  name: web\n";
    assert_eq!(remove(first, &path("images/#web/newTag")).unwrap(), "images:\n- name: web\n");
    assert_eq!(gone("i:\n  a: 1\n  t: 2 # why\n").unwrap_err().line, Some(3), "a comment would be lost");
    let named = rename(first, &path("images/#web/newTag"), "digest").unwrap();
    assert_eq!(named, first.replace("newTag", "digest"));
    assert_eq!(rename("a: 1\n", &path("b"), "c").unwrap(), "a: 1\n");
}

/// How one thing is laid out, of several ways to do it.
struct Layout {
    choices: Vec<u8>,
    at: usize,
}

impl Layout {
    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        self.at += 1;
        of[usize::from(self.choices[self.at % self.choices.len()]) % of.len()]
    }

    fn scalar(&mut self, value: &Value) -> String {
        match value {
            Value::String(text) if self.pick(&["plain", "quoted"]) == "plain" && scalar::is_text(text) => text.clone(),
            Value::String(text) if !text.contains('\n') && self.pick(&["single", "double"]) == "single" => {
                format!("'{}'", text.replace('\'', "''"))
            }
            value => value.to_string(),
        }
    }

    fn flow(&mut self, value: &Value) -> String {
        let (gap, comma) = (self.pick(&["", " "]), self.pick(&[", ", " ,  "]));
        match value {
            Value::Object(members) => {
                let members = members.iter().map(|(key, value)| {
                    let key = self.scalar(&json!(key));
                    format!("{key}: {}", self.flow(value))
                });
                let inner = members.collect::<Vec<_>>().join(comma);
                format!("{{{gap}{inner}{gap}}}")
            }
            Value::Array(items) => {
                let inner = items.iter().map(|item| self.flow(item)).collect::<Vec<_>>().join(comma);
                format!("[{gap}{inner}{gap}]")
            }
            value => self.scalar(value),
        }
    }

    /// Behind a key or a dash: on the same line, or in lines of their own.
    fn node(&mut self, value: &Value, depth: usize, newline: &str) -> String {
        let comment = self.pick(&["", "", "  # a: b", " # 'x"]);
        let is_empty = value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        let nested = value.is_object() || value.is_array();
        if !nested || is_empty || self.pick(&["block", "block", "flow"]) == "flow" {
            return format!(" {}{comment}{newline}", self.flow(value));
        }
        format!("{comment}{newline}{}", self.block(value, depth, newline))
    }

    fn block(&mut self, value: &Value, depth: usize, newline: &str) -> String {
        let indent = " ".repeat(depth);
        let step = depth + [1, 2, 4][usize::from(self.choices[0]) % 3];
        let mut lines = String::new();
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    if self.pick(&["", "", "", "#"]) == "#" {
                        lines += &format!("{indent}# {key}{newline}{newline}");
                    }
                    let key = self.scalar(&json!(key));
                    lines += &format!("{indent}{key}:{}", self.node(value, step, newline));
                }
            }
            Value::Array(items) => {
                for item in items {
                    lines += &format!("{indent}-{}", self.node(item, step, newline));
                }
            }
            _ => {}
        }
        lines
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[ -~é]{0,8}".prop_map(Value::from),
        "[a-z:/@.]{1,8}".prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,3}|[ -~]{1,4}", inner, 0..4)
                .prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

/// Every path of keys to something that can be set.
fn settable(value: &Value, path: &[Step], all: &mut Vec<Vec<Step>>) {
    let Value::Object(members) = value else { return };
    for (key, value) in members {
        let path: Vec<Step> = path.iter().cloned().chain([Step::Key(key.clone())]).collect();
        match value {
            Value::Object(_) => settable(value, &path, all),
            Value::Array(_) => {}
            _ => all.push(path),
        }
    }
    all.push(path.iter().cloned().chain([Step::Key("new one".to_owned())]).collect());
}

fn wanted(value: &mut Value, path: &[Step], text: &str) {
    match path.split_first() {
        Some((Step::Key(key), rest)) => wanted(&mut value[key.as_str()], rest, text),
        _ => *value = json!(text),
    }
}

proptest! {
    #[test]
    fn every_other_byte_stays_and_every_other_value_is_equal(
        members in proptest::collection::btree_map("[a-z]{1,3}", value(), 1..5),
        choices in proptest::collection::vec(any::<u8>(), 8..40),
        which in any::<prop::sample::Index>(),
        text in prop_oneof!["[ -~é\t\n\u{85}\u{2028}]{0,12}", "[0-9.:e_-]{1,8}", "sha256:[0-9a-f]{8}"],
    ) {
        let mut layout = Layout { choices, at: 0 };
        let newline = layout.pick(&["\n", "\r\n"]);
        let mut value = Value::Object(members.into_iter().collect());
        let mut before = layout.pick(&["", "\u{feff}", "# top\n", "---\n"]).to_owned();
        before += &layout.block(&value, 0, newline);
        before += layout.pick(&["", "# end", "\n\n"]);
        prop_assert_eq!(&as_others_read(&before), &value, "the test lays YAML out well: {}", before);
        let mut paths = Vec::new();
        settable(&value, &[], &mut paths);
        let path = which.get(&paths);
        let stood = get(&before, path).unwrap();

        let after = set(&before, path, &text).unwrap();

        wanted(&mut value, path, &text);
        prop_assert_eq!(as_others_read(&after), value, "{:?}", after);
        prop_assert_eq!(get(&after, path).unwrap(), Some(text.clone()));
        prop_assert_eq!(set(&after, path, &text).unwrap(), after.clone());
        let same = |(a, b): &(char, char)| a == b;
        let front: usize = before.chars().zip(after.chars()).take_while(same).map(|(c, _)| c.len_utf8()).sum();
        let rest = (&before[front..], &after[front..]);
        let back: usize = rest.0.chars().rev().zip(rest.1.chars().rev()).take_while(same).map(|(c, _)| c.len_utf8()).sum();
        let taken = &before[front..before.len() - back];
        let longest = stood.map_or(4, |stood| 2 * stood.len() + 6);
        prop_assert!(taken.len() <= longest, "{:?} was taken out of {:?}", taken, before);
    }

    #[test]
    fn whatever_the_file_it_is_changed_as_wanted_or_not_at_all(
        text in "([a-c]|: |- |\n|  |[\\[\\]{},&*!|>'\"#?~]|---\n|\\.\\.\\.\n){0,24}",
        at in "[a-c]|[a-c]/[a-c]|a/#b/c",
    ) {
        let path = path(&at);
        if let Ok(changed) = set(&text, &path, "on") {
            prop_assert_eq!(get(&changed, &path).unwrap(), Some("on".to_owned()));
            prop_assert!(changed.contains("\"on\"") || changed.contains("'on'"), "{:?}", changed);
        }
        drop(remove(&text, &path));
        drop(rename(&text, &path, "z"));
    }
}
