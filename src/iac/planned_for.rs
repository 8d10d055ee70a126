//! What an apply would do to one target: from the group to its launch template, from the service to its task definition.

use super::target_image::claim;
use super::{Claim, Declared, DeclaredImage, Deed, Place, Planned, Subject, TemplateRef};
use crate::model::SlotName;
use std::collections::{BTreeMap, BTreeSet};

/// A target as the config and the ledger name it, to be found in what is planned.
#[derive(Debug, Clone)]
pub struct Object<'a> {
    pub place: Place,
    pub named: Named<'a>,
}

#[derive(Debug, Clone)]
pub enum Named<'a> {
    /// `templates`: the launch template's id of each slot, as the ledger knows it.
    Group {
        name: &'a str,
        templates: &'a BTreeMap<SlotName, String>,
    },
    /// `family`: that of its task definition, as the ledger knows it; empty where it does not.
    Service {
        cluster: &'a str,
        name: &'a str,
        container: &'a SlotName,
        family: &'a str,
    },
    Template {
        id: &'a str,
        slot: &'a SlotName,
    },
    /// An SSM parameter that follows a channel.
    Parameter {
        name: &'a str,
    },
    /// An empty namespace may be any; no containers are all.
    Workload {
        kind: &'a str,
        namespace: &'a str,
        name: &'a str,
        containers: &'a BTreeSet<SlotName>,
    },
}

/// One thing that an apply would do to a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    /// The resource that does it.
    pub claim: Claim,
    /// `None`: it concerns the whole target.
    pub slot: Option<SlotName>,
    pub after: After,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum After {
    /// It would have this image, in the code's words.
    Image(String),
    /// It would have another image, and the plan does not know which.
    Unknown { why: String },
    /// It would be taken away.
    Deleted,
}

/// All that these plans would do to the target's image, sorted, each once.
pub fn planned_for(planned: &[Planned], object: &Object) -> Vec<Effect> {
    let here: Vec<&Planned> = planned.iter().filter(|each| each.declared.place.may_be(&object.place)).collect();
    let mut effects = match &object.named {
        Named::Group { name, templates } => group(&here, name, templates),
        Named::Service { cluster, name, container, family } => service(&here, (*cluster, *name), container, family),
        Named::Template { id, slot } => {
            let template = TemplateRef { id: Some((*id).to_owned()), name: None };
            of_templates(&here, &[((*slot).clone(), template)])
        }
        Named::Parameter { name } => parameter(&here, name),
        Named::Workload { kind, namespace, name, containers } => {
            workload(&here, (*kind, *namespace, *name), containers)
        }
    };
    effects.sort();
    effects.dedup();
    effects
}

fn effect(each: &Declared, slot: Option<&SlotName>, after: After) -> Effect {
    Effect { claim: claim(each), slot: slot.cloned(), after }
}

/// A group: it may be deleted, be given another template or version, or its template be changed under it.
fn group(here: &[&Planned], wanted: &str, templates: &BTreeMap<SlotName, String>) -> Vec<Effect> {
    let mut followed: Vec<(SlotName, TemplateRef)> = Vec::new();
    let mut mine = Vec::new();
    for each in here {
        let Subject::AutoScalingGroup { name, slot } = &each.declared.subject else { continue };
        if name == wanted {
            mine.push((*each, slot));
            let before = each.before.as_ref().map(|(_, image)| image);
            followed.extend([Some(&each.declared.image), before].into_iter().flatten().filter_map(
                |image| match image {
                    DeclaredImage::TemplateVersion { template, .. } => Some((slot.clone(), template.clone())),
                    _ => None,
                },
            ));
        }
    }
    // Where the code has the group, it has said which templates it follows.
    if mine.is_empty() {
        let known = |(slot, id): (&SlotName, &String)| (slot.clone(), TemplateRef { id: Some(id.clone()), name: None });
        followed.extend(templates.iter().map(known));
    }
    let mut effects = of_templates(here, &followed);
    for (each, slot) in mine {
        match each.deed {
            Deed::Keep => {}
            Deed::Delete => effects.push(effect(&each.declared, None, After::Deleted)),
            _ if unchanged(each) => {}
            // What the template becomes is said already.
            _ if effects.iter().any(|effect| effect.slot.as_ref() == Some(slot) && effect.after != After::Deleted) => {}
            _ => effects.push(effect(&each.declared, Some(slot), of_version(here, &each.declared.image))),
        }
    }
    effects
}

/// An update of something else. What was replaced or created has everything anew.
fn unchanged(each: &Planned) -> bool {
    let known = !matches!(each.declared.image, DeclaredImage::Unknown { .. });
    each.deed == Deed::Update && known && each.before.as_ref().is_some_and(|(_, image)| *image == each.declared.image)
}

/// What the templates that slots follow become. A template that is replaced was another one before.
fn of_templates(here: &[&Planned], followed: &[(SlotName, TemplateRef)]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for each in here.iter().filter(|each| each.deed != Deed::Keep) {
        let subjects = [Some(&each.declared.subject), each.before.as_ref().map(|(subject, _)| subject)];
        for (slot, wanted) in followed {
            let is_it = |subject: &&Subject| matches!(subject, Subject::LaunchTemplate { template, .. } if template.is_same(wanted));
            if subjects.into_iter().flatten().any(|subject| is_it(&subject)) {
                let after = match each.deed {
                    Deed::Delete => After::Deleted,
                    _ => of_image(here, &each.declared.image),
                };
                effects.push(effect(&each.declared, Some(slot), after));
            }
        }
    }
    effects
}

/// An image in the code's words; `resolve:ssm:` leads on to the parameter, where the plan has it.
fn of_image(here: &[&Planned], image: &DeclaredImage) -> After {
    let text = match image {
        DeclaredImage::Text(text) => text,
        DeclaredImage::Unknown { why } => return After::Unknown { why: why.clone() },
        DeclaredImage::TemplateVersion { .. } => return of_version(here, image),
    };
    let Some(parameter) = text.strip_prefix("resolve:ssm:") else { return After::Image(text.clone()) };
    let holds = |each: &&&Planned| matches!(&each.declared.subject, Subject::Parameter { name } if name == parameter);
    match here.iter().find(holds).map(|each| &each.declared.image) {
        Some(DeclaredImage::Text(image)) => After::Image(image.clone()),
        _ => After::Unknown { why: format!("the plan does not tell what the SSM parameter {parameter} holds") },
    }
}

/// The image of a template's version, where the plan has that template at that version.
fn of_version(here: &[&Planned], image: &DeclaredImage) -> After {
    let (wanted, version) = match image {
        DeclaredImage::TemplateVersion { template, version } => (template, version),
        DeclaredImage::Unknown { why } => return After::Unknown { why: why.clone() },
        DeclaredImage::Text(text) => return After::Image(text.clone()),
    };
    let found = here.iter().find_map(|each| {
        let Subject::LaunchTemplate { template, newest, default } = &each.declared.subject else { return None };
        let number = if version == "$Default" { *default } else { version.parse().ok() };
        let is_newest = version == "$Latest" || (number.is_some() && number == *newest);
        (template.is_same(wanted) && is_newest && each.deed != Deed::Delete).then_some(&each.declared.image)
    });
    match found {
        Some(image @ (DeclaredImage::Text(_) | DeclaredImage::Unknown { .. })) => of_image(here, image),
        _ => After::Unknown { why: format!("the plan does not tell the image of version {version} of {wanted}") },
    }
}

/// A service: it may be deleted, be given another revision, or its task definition be registered anew.
fn service(here: &[&Planned], wanted: (&str, &str), container: &SlotName, family: &str) -> Vec<Effect> {
    let is_mine = |each: &&&Planned| matches!(&each.declared.subject, Subject::Service { cluster, name } if (&**cluster, &**name) == wanted);
    let mine: Vec<&&Planned> = here.iter().filter(is_mine).collect();
    let mut families: BTreeSet<&str> = [family].into_iter().filter(|family| !family.is_empty()).collect();
    for each in &mine {
        let before = each.before.as_ref().map(|(_, image)| image);
        families.extend([Some(&each.declared.image), before].into_iter().flatten().filter_map(|image| match image {
            DeclaredImage::TemplateVersion { template, .. } => template.id.as_deref(),
            _ => None,
        }));
    }
    let mut effects: Vec<Effect> = Vec::new();
    for each in here.iter().filter(|each| !matches!(each.deed, Deed::Keep | Deed::Delete)) {
        let Subject::TaskDefinition { family, container: own, .. } = &each.declared.subject else { continue };
        if families.contains(&**family) && own.as_deref().is_none_or(|own| own == container.as_str()) {
            effects.push(effect(&each.declared, Some(container), of_image(here, &each.declared.image)));
        }
    }
    for each in mine {
        match each.deed {
            Deed::Keep => {}
            Deed::Delete => effects.push(effect(&each.declared, None, After::Deleted)),
            _ if unchanged(each) || !effects.is_empty() => {}
            _ => effects.push(effect(
                &each.declared,
                Some(container),
                of_revision(here, &each.declared.image, container),
            )),
        }
    }
    effects
}

/// The image of the container in a revision that the plan keeps.
fn of_revision(here: &[&Planned], image: &DeclaredImage, wanted: &SlotName) -> After {
    let (template, version) = match image {
        DeclaredImage::TemplateVersion { template, version } => (template, version),
        DeclaredImage::Unknown { why } => return After::Unknown { why: why.clone() },
        DeclaredImage::Text(text) => return After::Image(text.clone()),
    };
    let found = here.iter().find_map(|each| {
        let Subject::TaskDefinition { family, revision, container } = &each.declared.subject else { return None };
        let is_it = template.id.as_ref() == Some(family)
            && revision.is_some_and(|revision| revision.to_string() == *version)
            && container.as_deref() == Some(wanted.as_str());
        is_it.then_some(&each.declared.image)
    });
    match found {
        Some(DeclaredImage::Text(image)) => After::Image(image.clone()),
        _ => After::Unknown { why: format!("the plan does not tell the image of {template}:{version}") },
    }
}

/// A parameter that code manages, too: it may be given another value, or be deleted.
fn parameter(here: &[&Planned], wanted: &str) -> Vec<Effect> {
    let is_it = |each: &&&Planned| matches!(&each.declared.subject, Subject::Parameter { name } if name == wanted);
    let effects = here.iter().filter(is_it).filter_map(|each| match each.deed {
        Deed::Keep => None,
        Deed::Delete => Some(effect(&each.declared, None, After::Deleted)),
        _ if unchanged(each) => None,
        _ => Some(effect(&each.declared, None, of_image(here, &each.declared.image))),
    });
    effects.collect()
}

fn workload(here: &[&Planned], wanted: (&str, &str, &str), containers: &BTreeSet<SlotName>) -> Vec<Effect> {
    let same = |one: &str, two: &str| one.is_empty() || two.is_empty() || one == two;
    let mut effects = Vec::new();
    for each in here {
        let Subject::Workload { kind, namespace, name, container } = &each.declared.subject else { continue };
        if kind != wanted.0 || !same(namespace, wanted.1) || name != wanted.2 {
            continue;
        }
        let slot = container.parse::<SlotName>().ok();
        let is_meant = containers.is_empty() || slot.as_ref().is_some_and(|slot| containers.contains(slot));
        match each.deed {
            Deed::Keep => {}
            Deed::Delete => effects.push(effect(&each.declared, None, After::Deleted)),
            _ if is_meant => effects.push(effect(&each.declared, slot.as_ref(), of_image(here, &each.declared.image))),
            _ => {}
        }
    }
    effects
}
