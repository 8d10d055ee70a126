//! Where a group stands: what each of its slots launches. Its written form is the group's revision.

use crate::model::{Revision, SlotName};
use std::collections::BTreeMap;
use std::fmt;

/// What one slot launches from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spot {
    /// A launch template's version. `through`: the name that leads to it now, `$Latest` or `$Default`.
    Version { template: String, number: i64, through: Option<String> },
    /// An override's own ImageId.
    Image(String),
}

impl Spot {
    /// Reads `lt-1:7`, `lt-1:$Latest=7` or `ami-…`.
    fn parse(text: &str) -> Option<Self> {
        let Some((template, version)) = text.rsplit_once(':') else {
            return Some(Self::Image(text.to_owned())).filter(|_| text.starts_with("ami-"));
        };
        let (through, number) = match version.split_once('=') {
            Some((through, number)) => (Some(through.to_owned()), number),
            None => (None, version),
        };
        Some(Self::Version { template: template.to_owned(), number: number.parse().ok()?, through })
    }

    fn is_pinned(&self) -> bool {
        !matches!(self, Self::Version { through: Some(_), .. })
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { template, number, through: None } => write!(f, "{template}:{number}"),
            Self::Version { template, number, through: Some(name) } => write!(f, "{template}:{name}={number}"),
            Self::Image(image) => f.write_str(image),
        }
    }
}

/// All slots of one group: `lt-1:7`, and under a mixed instances policy
/// `template=lt-1:7 t4g.small,t4g.medium=lt-2:3 c7g.large=ami-…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) mixed: bool,
    pub(super) spots: BTreeMap<SlotName, Spot>,
}

/// The slot of a group's own launch template.
pub(super) const TEMPLATE: &str = "template";

impl Stand {
    pub(super) fn parse(revision: &Revision) -> Option<Self> {
        let text = revision.as_str();
        if !text.starts_with("template=") {
            let spot = Spot::parse(text).filter(|spot| matches!(spot, Spot::Version { .. }))?;
            return Some(Self { mixed: false, spots: [(TEMPLATE.parse().ok()?, spot)].into() });
        }
        let mut spots = BTreeMap::new();
        for part in text.split(' ') {
            let (names, spot) = part.split_once('=')?;
            let spot = Spot::parse(spot)?;
            for name in names.split(',') {
                spots.insert(name.parse().ok()?, spot.clone());
            }
        }
        Some(Self { mixed: true, spots })
    }

    /// `None`: a policy of so many different templates that it cannot be written down.
    pub(super) fn revision(&self) -> Option<Revision> {
        self.to_string().parse().ok()
    }

    /// Every slot is at a number or an image of its own.
    pub(super) fn is_pinned(&self) -> bool {
        self.spots.values().all(Spot::is_pinned)
    }

    /// The same at the newest number of each template, where that is known.
    pub(super) fn newest(&self, latest: impl Fn(&str) -> Option<i64>) -> Self {
        let mut stand = self.clone();
        for spot in stand.spots.values_mut() {
            if let Spot::Version { template, number, .. } = spot {
                *number = latest(template).unwrap_or(*number).max(*number);
            }
        }
        stand
    }

    /// The same, with the number that each moving name means now.
    pub(super) fn pinned(&self) -> Self {
        let mut stand = self.clone();
        for spot in stand.spots.values_mut() {
            if let Spot::Version { through, .. } = spot {
                *through = None;
            }
        }
        stand
    }
}

impl fmt::Display for Stand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.spots.iter().find(|(slot, _)| slot.as_str() == TEMPLATE).map(|(_, spot)| spot);
        if !self.mixed {
            return own.map_or(Ok(()), |spot| spot.fmt(f));
        }
        // The group's own template comes first and alone: by it a policy is told from a plain template.
        let mut parts: Vec<(String, &Spot)> = own.map(|spot| (TEMPLATE.to_owned(), spot)).into_iter().collect();
        for (slot, spot) in self.spots.iter().filter(|(slot, _)| slot.as_str() != TEMPLATE) {
            match parts.iter_mut().skip(1).find(|(_, known)| *known == spot) {
                Some((names, _)) => names.push_str(&format!(",{slot}")),
                None => parts.push((slot.to_string(), spot)),
            }
        }
        let parts: Vec<String> = parts.iter().map(|(names, spot)| format!("{names}={spot}")).collect();
        f.write_str(&parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(text: &str) -> Stand {
        let revision: Revision = text.parse().unwrap();
        let stand = Stand::parse(&revision).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(stand.revision().unwrap(), revision);
        stand
    }

    #[test]
    fn a_revision_is_read_as_it_was_written() {
        assert!(back("lt-1:7").is_pinned());
        let mixed = back("template=lt-1:7 c7g.large=ami-0123 t4g.medium,t4g.small=lt-2:3");
        assert!(mixed.mixed && mixed.is_pinned());
        assert_eq!(mixed.spots.len(), 4);
        assert_eq!(mixed.spots[&"c7g.large".parse::<SlotName>().unwrap()], Spot::Image("ami-0123".into()));
    }

    #[test]
    fn a_name_that_moves_is_pinned_to_what_it_means_now() {
        assert_eq!(back("lt-1:$Latest=7").pinned().to_string(), "lt-1:7");
        let mixed = back("template=lt-1:$Default=7 t4g.small=lt-2:3");
        assert!(!mixed.is_pinned());
        assert_eq!(mixed.pinned().to_string(), "template=lt-1:7 t4g.small=lt-2:3");
    }

    #[test]
    fn what_is_no_template_is_no_stand() {
        for text in ["launch-configuration:web", "none", "ami-0123", "lt-1:$Latest"] {
            assert_eq!(Stand::parse(&text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn the_widest_policy_that_aws_allows_has_a_revision() {
        let spot = |n: i64| Spot::Version { template: format!("lt-{n:017x}"), number: 9999, through: None };
        let mut spots: BTreeMap<SlotName, Spot> = [(TEMPLATE.parse().unwrap(), spot(0))].into();
        spots.extend((1..=40).map(|n| (format!("u-24tb1.112xlarge{n}").parse().unwrap(), spot(n % 19 + 1))));
        assert!(Stand { mixed: true, spots }.revision().is_some());
    }
}
