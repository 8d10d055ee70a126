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
    for each in here {
        // A template that stays as it is takes another image where the parameter does that it resolves.
        let cause = match each.deed {
            Deed::Keep => resolved(here, &each.declared.image).filter(|parameter| parameter.deed != Deed::Keep),
            _ => Some(*each),
        };
        let Some(cause) = cause else { continue };
        let subjects = [Some(&each.declared.subject), each.before.as_ref().map(|(subject, _)| subject)];
        for (slot, wanted) in followed {
            let is_it = |subject: &&Subject| matches!(subject, Subject::LaunchTemplate { template, .. } if template.is_same(wanted));
            if subjects.into_iter().flatten().any(|subject| is_it(&subject)) {
                let after = match each.deed {
                    Deed::Delete => After::Deleted,
                    _ => of_image(here, &each.declared.image),
                };
                effects.push(effect(&cause.declared, Some(slot), after));
            }
        }
    }
    effects
}

/// The parameter that `resolve:ssm:` leads to, where the plan has it.
fn resolved<'a>(here: &[&'a Planned], image: &DeclaredImage) -> Option<&'a Planned> {
    let DeclaredImage::Text(text) = image else { return None };
    let wanted = text.strip_prefix("resolve:ssm:")?;
    here.iter().find(|each| matches!(&each.declared.subject, Subject::Parameter { name } if name == wanted)).copied()
}

/// An image in the code's words; `resolve:ssm:` leads on to the parameter, where the plan has it.
fn of_image(here: &[&Planned], image: &DeclaredImage) -> After {
    let text = match image {
        DeclaredImage::Text(text) => text,
        DeclaredImage::Unknown { why } => return After::Unknown { why: why.clone() },
        DeclaredImage::TemplateVersion { .. } => return of_version(here, image),
    };
    let Some(parameter) = text.strip_prefix("resolve:ssm:") else { return After::Image(text.clone()) };
    match resolved(here, image).map(|each| &each.declared.image) {
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
        let Subject::LaunchTemplate { template, newest, default, .. } = &each.declared.subject else { return None };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(deed: Deed, address: &str, subject: Subject, image: DeclaredImage) -> Planned {
        let declared = Declared {
            source: "plan.json".into(),
            address: address.into(),
            place: Place::default(),
            subject: subject.clone(),
            image,
        };
        Planned { declared, deed, before: None }
    }

    fn text(image: &str) -> DeclaredImage {
        DeclaredImage::Text(image.into())
    }

    fn template(deed: Deed, id: &str, image: &str) -> Planned {
        let template = TemplateRef { id: Some(id.into()), name: Some("web".into()) };
        let subject = Subject::LaunchTemplate { template, newest: Some(7), default: Some(1), moves_default: false };
        planned(deed, "aws_launch_template.web", subject, text(image))
    }

    fn version(id: &str, version: &str) -> DeclaredImage {
        let template = TemplateRef { id: Some(id.into()), name: None };
        DeclaredImage::TemplateVersion { template, version: version.into() }
    }

    /// The group as it would be, and as it was.
    fn group(deed: Deed, after: DeclaredImage, before: DeclaredImage) -> Planned {
        let subject = Subject::AutoScalingGroup { name: "web".into(), slot: "template".parse().unwrap() };
        let planned = planned(deed, "aws_autoscaling_group.web", subject.clone(), after);
        Planned { before: Some((subject, before)), ..planned }
    }

    fn parameter(deed: Deed, image: &str) -> Planned {
        planned(deed, "aws_ssm_parameter.ami", Subject::Parameter { name: "/ami".into() }, text(image))
    }

    fn said(planned: &[Planned], named: Named<'_>) -> Vec<String> {
        let line = |effect: Effect| {
            let after = match effect.after {
                After::Image(image) => image,
                After::Unknown { why } => format!("unknown: {why}"),
                After::Deleted => "deleted".to_owned(),
            };
            format!("{}: {after}", effect.claim.address)
        };
        planned_for(planned, &Object { place: Place::default(), named }).into_iter().map(line).collect()
    }

    /// What a plan would do to the group `web`, which follows lt-1.
    #[track_caller]
    fn check(planned: &[Planned], expected: &[&str]) {
        let templates = [("template".parse().unwrap(), "lt-1".to_owned())].into();
        assert_eq!(said(planned, Named::Group { name: "web", templates: &templates }), expected);
    }

    #[test]
    fn an_update_in_place_of_the_template_is_the_groups() {
        check(&[template(Deed::Update, "lt-1", "ami-b")], &["aws_launch_template.web: ami-b"]);
        check(&[template(Deed::Update, "lt-2", "ami-b")], &[]);
        check(&[template(Deed::Keep, "lt-1", "ami-b")], &[]);
        let kept = || group(Deed::Keep, version("lt-1", "$Latest"), version("lt-1", "$Latest"));
        check(&[template(Deed::Update, "lt-1", "ami-b"), kept()], &["aws_launch_template.web: ami-b"]);
    }

    #[test]
    fn another_version_of_a_kept_template_has_its_image_or_nobody_knows() {
        let moved = |to| group(Deed::Update, version("lt-1", to), version("lt-1", "6"));
        check(&[template(Deed::Keep, "lt-1", "ami-b"), moved("7")], &["aws_autoscaling_group.web: ami-b"]);
        check(&[template(Deed::Keep, "lt-1", "ami-b"), moved("$Latest")], &["aws_autoscaling_group.web: ami-b"]);
        check(
            &[template(Deed::Keep, "lt-1", "ami-b"), moved("5")],
            &["aws_autoscaling_group.web: unknown: the plan does not tell the image of version 5 of lt-1"],
        );
        // What is changed of a group besides its template changes no image.
        check(&[group(Deed::Update, version("lt-1", "6"), version("lt-1", "6"))], &[]);
    }

    #[test]
    fn a_group_that_leaves_its_template_takes_the_others_image() {
        let moved = group(Deed::Update, version("lt-2", "7"), version("lt-1", "7"));
        check(&[template(Deed::Keep, "lt-2", "ami-c"), moved], &["aws_autoscaling_group.web: ami-c"]);
    }

    #[test]
    fn what_is_taken_away_is_said() {
        let gone = group(Deed::Delete, version("lt-1", "7"), version("lt-1", "7"));
        let all = [gone, template(Deed::Delete, "lt-1", "ami-b")];
        check(&all, &["aws_autoscaling_group.web: deleted", "aws_launch_template.web: deleted"]);
    }

    #[test]
    fn a_parameter_changes_the_template_that_resolves_it_though_that_is_kept() {
        let kept = || template(Deed::Keep, "lt-1", "resolve:ssm:/ami");
        check(&[kept(), parameter(Deed::Update, "ami-d")], &["aws_ssm_parameter.ami: ami-d"]);
        check(&[kept(), parameter(Deed::Keep, "ami-d")], &[]);
        let updated = || template(Deed::Update, "lt-1", "resolve:ssm:/ami");
        check(&[updated(), parameter(Deed::Keep, "ami-d")], &["aws_launch_template.web: ami-d"]);
        check(
            &[updated()],
            &["aws_launch_template.web: unknown: the plan does not tell what the SSM parameter /ami holds"],
        );
    }

    #[test]
    fn a_pointer_is_found_by_its_parameter() {
        let of = |name| said(&[parameter(Deed::Update, "ami-d")], Named::Parameter { name });
        assert_eq!(of("/ami"), ["aws_ssm_parameter.ami: ami-d"]);
        assert!(of("/other").is_empty());
        assert!(said(&[parameter(Deed::Keep, "ami-d")], Named::Parameter { name: "/ami" }).is_empty());
        assert_eq!(
            said(&[parameter(Deed::Delete, "ami-d")], Named::Parameter { name: "/ami" }),
            ["aws_ssm_parameter.ami: deleted"]
        );
    }

    #[test]
    fn a_service_takes_the_revision_that_is_registered_for_it_or_kept() {
        let container: SlotName = "app".parse().unwrap();
        let task = |deed, family: &str, container: &str, image| {
            let container = Some(container.to_owned());
            let subject = Subject::TaskDefinition { family: family.into(), revision: Some(8), container };
            planned(deed, &format!("aws_ecs_task_definition.{family}"), subject, text(image))
        };
        let service = |deed, revision: &str| {
            let subject = Subject::Service { cluster: "main".into(), name: "api".into() };
            let planned = planned(deed, "aws_ecs_service.api", subject.clone(), version("api", revision));
            Planned { before: Some((subject, version("api", "7"))), ..planned }
        };
        let check = |planned: &[Planned], expected: &[&str]| {
            let named = Named::Service { cluster: "main", name: "api", container: &container, family: "api" };
            assert_eq!(said(planned, named), expected);
        };
        let new = task(Deed::Replace, "api", "app", "r/api@sha256:b");
        check(&[new.clone(), service(Deed::Update, "8")], &["aws_ecs_task_definition.api: r/api@sha256:b"]);
        check(&[new], &["aws_ecs_task_definition.api: r/api@sha256:b"]);
        check(&[task(Deed::Replace, "api", "log", "r/log"), task(Deed::Create, "other", "app", "r/x")], &[]);
        let kept = task(Deed::Keep, "api", "app", "r/api@sha256:a");
        check(&[kept, service(Deed::Update, "8")], &["aws_ecs_service.api: r/api@sha256:a"]);
        check(
            &[service(Deed::Update, "9")],
            &["aws_ecs_service.api: unknown: the plan does not tell the image of api:9"],
        );
        check(&[service(Deed::Update, "7")], &[]);
        check(&[service(Deed::Delete, "7")], &["aws_ecs_service.api: deleted"]);
    }

    #[test]
    fn a_workload_is_found_by_its_name_and_its_containers() {
        let containers: BTreeSet<SlotName> = ["app".parse().unwrap()].into();
        let workload = |namespace: &str, container: &str| {
            let (kind, name) = ("Deployment".to_owned(), "web".to_owned());
            let subject = Subject::Workload { kind, namespace: namespace.into(), name, container: container.into() };
            planned(Deed::Update, container, subject, text("r/web:1"))
        };
        let all = [workload("shop", "app"), workload("", "log"), workload("other", "app")];
        let of = |kind, containers| said(&all, Named::Workload { kind, namespace: "shop", name: "web", containers });
        assert_eq!(of("Deployment", &containers), ["app: r/web:1"]);
        let all_of_them = BTreeSet::new();
        assert_eq!(of("Deployment", &all_of_them), ["app: r/web:1", "log: r/web:1"]);
        assert!(of("StatefulSet", &containers).is_empty());
    }
}
