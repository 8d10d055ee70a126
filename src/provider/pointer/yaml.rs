//! A YAML file that others keep as well: a text in it is set, and every other byte stays as it is.
//!
//! The parser tells which bytes a node stands on; those are replaced, or a line is added. What came out is parsed again: it
//! must mean what was there with this one change, and hold the same comments. Where it does not, nothing is changed.

mod layout;
mod scalar;
mod tree;
mod walk;

pub use tree::Fault;

use granit_parser::ScalarStyle;
use layout::{Edit, added, after_colon, removed};
use tree::{Document, Kind, Node, parse};
use walk::{Found, Walk, is_named};

/// One step from a node to one within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The value of this key of a mapping.
    Key(String),
    /// The member of a sequence whose `name` is this.
    Named(String),
}

/// `images[web].digest`.
pub fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Named(name) => text.extend(["[", name, "]"]),
        }
    }
    text
}

/// The text that stands there; `None`: nothing does.
///
/// # Errors
/// The file is not YAML or has several documents; the path leads to two things, through an alias, or to no text.
pub fn get(text: &str, path: &[Step]) -> Result<Option<String>, Fault> {
    let document = parse(text)?;
    match (Walk { text, document: &document, path }).walk()? {
        Found::Value { node, .. } if node.is_null() => Ok(None),
        Found::Value { node, .. } => match &node.kind {
            Kind::Scalar { text, .. } => Ok(Some(text.clone())),
            _ => Ok(None),
        },
        Found::Nothing { .. } => Ok(None),
    }
}

/// Whether the key is there, with or without a value.
///
/// # Errors
/// As [`get`].
pub fn has(text: &str, path: &[Step]) -> Result<bool, Fault> {
    let document = parse(text)?;
    Ok(matches!((Walk { text, document: &document, path }).walk()?, Found::Value { .. }))
}

/// The file with this text there; what leads there is made where it is missing.
///
/// # Errors
/// As [`get`]; the change would be more than this one.
pub fn set(text: &str, path: &[Step], value: &str) -> Result<String, Fault> {
    let document = parse(text)?;
    let edit = match (Walk { text, document: &document, path }).walk()? {
        Found::Value { key, node } => replaced(text, path, key, node, value)?,
        Found::Nothing { holder, rest, flow } => added(text, holder, rest, value, flow).ok_or_else(|| {
            Fault::of_all(format!("`{}` is missing, and is best put there by hand once", shown(path)))
        })?,
    };
    let mut wanted =
        document.root.clone().unwrap_or_else(|| Node::new(Kind::Mapping { members: Vec::new(), flow: false }));
    put(&mut wanted, path, value);
    proven(text, &document, edit, &wanted, path)
}

/// The file with another key for the value there; without the key nothing changes.
///
/// # Errors
/// As [`set`].
pub fn rename(text: &str, path: &[Step], name: &str) -> Result<String, Fault> {
    let document = parse(text)?;
    let Found::Value { key: Some(key), .. } = (Walk { text, document: &document, path }).walk()? else {
        return Ok(text.to_owned());
    };
    let Kind::Scalar { style, .. } = key.kind else { return Ok(text.to_owned()) };
    let edit = Edit { bytes: key.bytes.clone(), text: scalar::written(name, style) };
    let mut wanted = document.root.clone();
    if let Some((members, at)) = wanted.as_mut().and_then(|root| member(root, path))
        && let Some((key, _)) = members.get_mut(at)
    {
        key.kind = Node::text(name).kind;
    }
    wanted.map_or_else(|| Ok(text.to_owned()), |wanted| proven(text, &document, edit, &wanted, path))
}

/// The file without this key and its value; without the key nothing changes.
///
/// # Errors
/// As [`set`]; a comment would go with it.
pub fn remove(text: &str, path: &[Step]) -> Result<String, Fault> {
    let document = parse(text)?;
    let Found::Value { key: Some(_), .. } = (Walk { text, document: &document, path }).walk()? else {
        return Ok(text.to_owned());
    };
    let mut wanted = document.root.clone();
    let Some((members, at)) = wanted.as_mut().and_then(|root| member(root, path)) else { return Ok(text.to_owned()) };
    let edit = removed(text, members, at);
    members.remove(at);
    wanted.map_or_else(|| Ok(text.to_owned()), |wanted| proven(text, &document, edit, &wanted, path))
}

fn replaced(text: &str, path: &[Step], key: Option<&Node>, node: &Node, value: &str) -> Result<Edit, Fault> {
    let fault = |what: &str| Err(Fault::at(text, node.bytes.start, format!("`{}` {what}", shown(path))));
    if node.tag.as_deref().is_some_and(|tag| !tag.ends_with(":str")) {
        return fault("has a tag, and would not stay a text");
    }
    match &node.kind {
        Kind::Scalar { style: ScalarStyle::Literal | ScalarStyle::Folded, .. } => {
            fault("is a block text (| or >); write it in one line once")
        }
        Kind::Scalar { style, .. } if !node.bytes.is_empty() => {
            Ok(Edit { bytes: node.bytes.clone(), text: scalar::written(value, *style) })
        }
        _ => match key.and_then(|key| after_colon(text, key)) {
            Some(at) if node.tag.is_none() && node.anchor == 0 => {
                Ok(Edit { bytes: at..at, text: format!(" {}", scalar::written(value, ScalarStyle::Plain)) })
            }
            _ => fault("is empty, and is best filled in by hand once"),
        },
    }
}

/// The same in the tree: what the change is to mean.
fn put(node: &mut Node, path: &[Step], value: &str) {
    let Some((step, rest)) = path.split_first() else {
        node.kind = Node::text(value).kind;
        return;
    };
    match step {
        Step::Key(name) => {
            if !matches!(node.kind, Kind::Mapping { .. }) {
                node.kind = Kind::Mapping { members: Vec::new(), flow: false };
            }
            let Kind::Mapping { members, .. } = &mut node.kind else { return };
            match members.iter_mut().find(|(key, _)| key.says(name)) {
                Some((_, inner)) => put(inner, rest, value),
                None => members.push((Node::text(name), made(rest, value))),
            }
        }
        Step::Named(name) => {
            if !matches!(node.kind, Kind::Sequence { .. }) {
                node.kind = Kind::Sequence { items: Vec::new(), flow: false };
            }
            let Kind::Sequence { items, .. } = &mut node.kind else { return };
            match items.iter_mut().find(|item| is_named(item, name)) {
                Some(inner) => put(inner, rest, value),
                None => {
                    let members = vec![(Node::text("name"), Node::text(name))];
                    let mut item = Node::new(Kind::Mapping { members, flow: false });
                    put(&mut item, rest, value);
                    items.push(item);
                }
            }
        }
    }
}

fn made(path: &[Step], value: &str) -> Node {
    let mut node = Node::text("");
    put(&mut node, path, value);
    node
}

/// The mapping that holds the path's last key, and which of its members that is.
fn member<'a>(node: &'a mut Node, path: &[Step]) -> Option<(&'a mut Vec<(Node, Node)>, usize)> {
    let (step, rest) = path.split_first()?;
    match (step, &mut node.kind) {
        (Step::Key(name), Kind::Mapping { members, .. }) => {
            let at = members.iter().position(|(key, _)| key.says(name))?;
            if rest.is_empty() { Some((members, at)) } else { member(&mut members.get_mut(at)?.1, rest) }
        }
        (Step::Named(name), Kind::Sequence { items, .. }) => {
            member(items.iter_mut().find(|item| is_named(item, name))?, rest)
        }
        _ => None,
    }
}

/// The text after the edit, where it means what is wanted and nothing else.
fn proven(text: &str, before: &Document, edit: Edit, wanted: &Node, path: &[Step]) -> Result<String, Fault> {
    let refused = || {
        let what =
            format!("`{}` cannot be changed without changing something else; change it by hand once", shown(path));
        Fault::at(text, edit.bytes.start, what)
    };
    let changed = edit.apply(text).ok_or_else(refused)?;
    let after = parse(&changed).map_err(|_| refused())?;
    let same = after.root.as_ref() == Some(wanted) && after.comments == before.comments;
    if same { Ok(changed) } else { Err(refused()) }
}

#[cfg(test)]
mod tests;
