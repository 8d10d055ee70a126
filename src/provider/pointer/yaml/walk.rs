//! The way from a document's root to the node that a path names, and what is in that way.

use super::tree::{Document, Fault, Kind, Node};
use super::{Step, shown};

/// Where a path leads.
pub(super) enum Found<'a> {
    Value {
        key: Option<&'a Node>,
        node: &'a Node,
    },
    /// As far as `holder`, and no further; it is within a flow (`{…}`, `[…]`), or is none itself.
    Nothing {
        holder: Holder<'a>,
        rest: &'a [Step],
        flow: bool,
    },
}

/// What is to hold what is missing.
#[derive(Clone, Copy)]
pub(super) enum Holder<'a> {
    /// There is no document, or nothing in it.
    Nobody,
    /// A key without a value.
    Key(&'a Node, &'a Node),
    Node(&'a Node),
}

pub(super) struct Walk<'a> {
    pub text: &'a str,
    pub document: &'a Document,
    pub path: &'a [Step],
}

impl<'a> Walk<'a> {
    fn fault(&self, depth: usize, at: &Node, what: &str) -> Fault {
        let path = self.path.get(..depth).unwrap_or(self.path);
        let what = if path.is_empty() { format!("it {what}") } else { format!("`{}` {what}", shown(path)) };
        Fault::at(self.text, at.bytes.start, what)
    }

    pub fn walk(&self) -> Result<Found<'a>, Fault> {
        let Some(mut node) = self.document.root.as_ref().filter(|root| !root.is_null()) else {
            return Ok(Found::Nothing { holder: Holder::Nobody, rest: self.path, flow: false });
        };
        let (mut key, mut flow) = (None, false);
        for (depth, step) in self.path.iter().enumerate() {
            self.check(depth, node)?;
            let rest = self.path.get(depth..).unwrap_or_default();
            let holder = match key {
                Some(key) if node.is_null() => Holder::Key(key, node),
                _ => Holder::Node(node),
            };
            if matches!(holder, Holder::Key(..)) {
                return Ok(Found::Nothing { holder, rest, flow });
            }
            flow |= matches!(node.kind, Kind::Sequence { flow: true, .. } | Kind::Mapping { flow: true, .. });
            match self.step(depth, step, node)? {
                Some((found_key, found)) => (key, node) = (found_key, found),
                None => return Ok(Found::Nothing { holder, rest, flow }),
            }
        }
        self.check(self.path.len(), node)?;
        match node.kind {
            Kind::Scalar { .. } => Ok(Found::Value { key, node }),
            _ => Err(self.fault(self.path.len(), node, "is no text")),
        }
    }

    /// What is changed here must not change elsewhere.
    fn check(&self, depth: usize, node: &Node) -> Result<(), Fault> {
        if matches!(node.kind, Kind::Alias(_)) {
            return Err(self.fault(depth, node, "is an alias of something else; write the value itself there"));
        }
        if self.document.referred.contains(&node.anchor) {
            return Err(self.fault(depth, node, "has an anchor, and what refers to it would change with it"));
        }
        Ok(())
    }

    fn step(&self, depth: usize, step: &Step, node: &'a Node) -> Result<Option<(Option<&'a Node>, &'a Node)>, Fault> {
        match (step, &node.kind) {
            (Step::Key(name), Kind::Mapping { members, .. }) => {
                let mut same = members.iter().filter(|(key, _)| key.says(name));
                let first = same.next();
                match same.next() {
                    Some((again, _)) => Err(self.fault(depth + 1, again, "is there twice")),
                    None => Ok(first.map(|(key, value)| (Some(key), value))),
                }
            }
            (Step::Named(name), Kind::Sequence { items, .. }) => {
                if let Some(alias) = items.iter().find(|item| matches!(item.kind, Kind::Alias(_))) {
                    return Err(self.fault(depth, alias, "holds an alias; write the entry itself there"));
                }
                let mut same = items.iter().filter(|item| is_named(item, name));
                let first = same.next();
                match same.next() {
                    Some(again) => Err(self.fault(depth + 1, again, "is there twice")),
                    None => Ok(first.map(|item| (None, item))),
                }
            }
            (Step::Key(_), _) => Err(self.fault(depth, node, "is no mapping (KEY: VALUE)")),
            (Step::Named(_), _) => Err(self.fault(depth, node, "is no list")),
        }
    }
}

pub(super) fn is_named(item: &Node, name: &str) -> bool {
    let Kind::Mapping { members, .. } = &item.kind else { return false };
    members.iter().any(|(key, value)| key.says("name") && value.says(name))
}
