//! What the code declares that a target will run: from the group to its launch template to the image.

use super::{Declared, DeclaredImage, Place, Subject, TemplateRef};
use crate::model::{Accepts, Digest, ImageRef, SlotName};
use std::collections::{BTreeMap, BTreeSet};

/// An Auto Scaling group as it was observed, to be found again in the code.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    pub name: &'a str,
    /// Where it is: a name is unique only in one region of one account.
    pub place: &'a Place,
    /// The launch template of each slot as observed: the way to the code where it declares the template and not the group.
    pub templates: &'a BTreeMap<SlotName, TemplateRef>,
}

/// What the code declares for one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeclaredFor {
    /// Nothing: the code knows neither the slot nor its template.
    None,
    /// This image. `how` tells the way from the slot to it.
    Image { claim: Claim, image: String, how: String },
    /// This version of a template, whose image the state does not know: it keeps only that of the newest version.
    Template { claim: Claim, template: TemplateRef, version: String, why: String },
    /// Something that cannot be read as an image.
    Unknown { claim: Claim, why: String },
    /// Several resources declare different things: sorted, at least two.
    Conflict { claims: Vec<(Claim, String)> },
}

/// Where a declaration stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    pub source: String,
    pub address: String,
}

/// What the code declares for each slot of the group: every slot that is observed, and every one that is declared.
pub fn declared_for(declared: &[Declared], group: &Group) -> BTreeMap<SlotName, DeclaredFor> {
    let mut slots: BTreeMap<SlotName, Vec<DeclaredFor>> = BTreeMap::new();
    let mut is_declared = false;
    for each in declared.iter().filter(|each| each.place.may_be(group.place)) {
        if let Subject::AutoScalingGroup { name, slot } = &each.subject
            && name == group.name
        {
            is_declared = true;
            slots.entry(slot.clone()).or_default().push(follow(declared, each));
        }
    }
    for (slot, template) in group.templates {
        let found = slots.entry(slot.clone()).or_default();
        // Where the code declares the group, it has said all that there is to say about its slots.
        if !is_declared {
            found.extend(
                owners(declared, group.place, template)
                    .map(|owner| of_newest(declared, owner, "the code has the template, not the group")),
            );
        }
    }
    slots.into_iter().map(|(slot, found)| (slot, agree(found))).collect()
}

/// What the code declares for a template that is a target by itself: the image of its default version.
pub fn declared_for_template(declared: &[Declared], place: &Place, template: &TemplateRef) -> DeclaredFor {
    let found = owners(declared, place, template);
    agree(found.map(|owner| of_version(declared, owner, owner, template, "$Default")).collect())
}

/// Every resource that declares this template, seen from `place`: templates of one name may be in many.
fn owners<'a>(all: &'a [Declared], place: &'a Place, wanted: &'a TemplateRef) -> impl Iterator<Item = &'a Declared> {
    let is_it =
        |subject: &Subject| matches!(subject, Subject::LaunchTemplate { template, .. } if template.is_same(wanted));
    all.iter().filter(move |each| is_it(&each.subject) && each.place.may_be(place))
}

pub(super) fn claim(declared: &Declared) -> Claim {
    Claim { source: declared.source.clone(), address: declared.address.clone() }
}

/// From a slot's declaration to its image.
fn follow(all: &[Declared], slot: &Declared) -> DeclaredFor {
    match &slot.image {
        DeclaredImage::Text(text) => known(all, slot, text, "the group names it"),
        DeclaredImage::Unknown { why } => DeclaredFor::Unknown { claim: claim(slot), why: why.clone() },
        DeclaredImage::TemplateVersion { template, version } => {
            let found: Vec<DeclaredFor> = owners(all, &slot.place, template)
                .map(|owner| of_version(all, slot, owner, template, version))
                .collect();
            if found.is_empty() {
                let why = format!("no state has the launch template {template}");
                return DeclaredFor::Template {
                    claim: claim(slot),
                    template: template.clone(),
                    version: version.clone(),
                    why,
                };
            }
            agree(found)
        }
    }
}

/// The image of the version that the slot names, as far as the template's own resource tells.
fn of_version(
    all: &[Declared],
    slot: &Declared,
    owner: &Declared,
    template: &TemplateRef,
    version: &str,
) -> DeclaredFor {
    let Subject::LaunchTemplate { template: owned, newest, default, moves_default } = &owner.subject else {
        return DeclaredFor::None;
    };
    let number = match version {
        "$Latest" => return of_newest(all, owner, "the group follows `$Latest`"),
        "$Default" if default.is_none() && *moves_default => {
            return of_newest(all, owner, "the newest version becomes the default");
        }
        "$Default" => *default,
        digits => digits.parse().ok(),
    };
    match (number, newest) {
        (Some(number), Some(newest)) if number == *newest => {
            of_newest(all, owner, &format!("the group is at version {number} of {template}"))
        }
        _ => {
            let version = number.map_or_else(|| version.to_owned(), |number| number.to_string());
            let newest = newest.map_or_else(|| "the newest version".to_owned(), |newest| format!("version {newest}"));
            let why = format!("the state knows only the image of {newest}");
            DeclaredFor::Template { claim: claim(slot), template: merged(owned, template), version, why }
        }
    }
}

/// One reference that knows what both know.
fn merged(one: &TemplateRef, two: &TemplateRef) -> TemplateRef {
    TemplateRef { id: one.id.clone().or_else(|| two.id.clone()), name: one.name.clone().or_else(|| two.name.clone()) }
}

fn of_newest(all: &[Declared], owner: &Declared, how: &str) -> DeclaredFor {
    match &owner.image {
        DeclaredImage::Text(text) => known(all, owner, text, how),
        // The number is known even where the image is not, so the template itself can be asked.
        DeclaredImage::Unknown { why } => match &owner.subject {
            Subject::LaunchTemplate { template, newest: Some(newest), .. } => DeclaredFor::Template {
                claim: claim(owner),
                template: template.clone(),
                version: newest.to_string(),
                why: why.clone(),
            },
            _ => DeclaredFor::Unknown { claim: claim(owner), why: why.clone() },
        },
        DeclaredImage::TemplateVersion { .. } => DeclaredFor::None,
    }
}

/// An image in the code's words; `resolve:ssm:` leads on to the parameter, where the code has it too.
pub(super) fn known(all: &[Declared], holder: &Declared, text: &str, how: &str) -> DeclaredFor {
    let Some(parameter) = text.strip_prefix("resolve:ssm:") else {
        return DeclaredFor::Image { claim: claim(holder), image: text.to_owned(), how: how.to_owned() };
    };
    let is_it = |each: &&Declared| {
        matches!(&each.subject, Subject::Parameter { name } if name == parameter) && each.place.may_be(&holder.place)
    };
    let found = all.iter().filter(is_it).map(|each| match &each.image {
        DeclaredImage::Text(image) => {
            let how = format!("{how}, through the SSM parameter {parameter}");
            DeclaredFor::Image { claim: claim(each), image: image.clone(), how }
        }
        _ => DeclaredFor::Unknown { claim: claim(each), why: format!("the SSM parameter {parameter} tells no AMI id") },
    });
    match agree(found.collect()) {
        DeclaredFor::None => {
            DeclaredFor::Unknown { claim: claim(holder), why: format!("no state has the SSM parameter {parameter}") }
        }
        found => found,
    }
}

/// One answer, if all say the same; the first in order speaks for them.
pub(super) fn agree(mut found: Vec<DeclaredFor>) -> DeclaredFor {
    found.retain(|each| *each != DeclaredFor::None);
    let claims: BTreeSet<(Claim, String)> = found.iter().flat_map(claims).collect();
    let said: BTreeSet<&String> = claims.iter().map(|(_, says)| says).collect();
    if said.len() > 1 {
        return DeclaredFor::Conflict { claims: claims.into_iter().collect() };
    }
    found.into_iter().min_by_key(claims_first).unwrap_or(DeclaredFor::None)
}

fn claims_first(found: &DeclaredFor) -> Option<(Claim, String)> {
    claims(found).into_iter().next()
}

/// Who says it, and what it says in words that are equal exactly where the declarations are.
fn claims(found: &DeclaredFor) -> Vec<(Claim, String)> {
    match found {
        DeclaredFor::None => Vec::new(),
        DeclaredFor::Image { claim, image, .. } => vec![(claim.clone(), image.clone())],
        DeclaredFor::Template { claim, template, version, .. } => {
            vec![(claim.clone(), format!("version {version} of {template}"))]
        }
        DeclaredFor::Unknown { claim, why } => vec![(claim.clone(), format!("unknown: {why}"))],
        DeclaredFor::Conflict { claims } => claims.clone(),
    }
}

/// The address that an image in the code's words means for a slot, or why it means none.
pub fn address(text: &str, accepts: &Accepts) -> Result<ImageRef, String> {
    match accepts {
        Accepts::Ami { region, .. } => {
            let id = text.parse().map_err(|_| format!("`{text}` is not an AMI id"))?;
            Ok(ImageRef::Ami { region: region.clone(), id })
        }
        Accepts::Oci { .. } => {
            let Some((name, digest)) = text.split_once('@') else {
                return Err(format!("`{text}` is a tag, and a tag moves"));
            };
            // `repository:tag@digest`: the digest decides.
            let repository = match name.rsplit_once(':') {
                Some((before, tag)) if !tag.contains('/') => before,
                _ => name,
            };
            let digest: Digest = digest.parse().map_err(|_| format!("`{text}` has no valid digest"))?;
            let repository = repository.parse().map_err(|_| format!("`{text}` names no registry"))?;
            Ok(ImageRef::Oci { repository, digest })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "lt-1";

    fn declared(address: &str, subject: Subject, image: DeclaredImage) -> Declared {
        let place = Place::from_arn("arn:aws:any:eu-west-1:123456789012:x");
        Declared { source: "a.tfstate".into(), address: address.into(), place, subject, image }
    }

    fn template(image: &str, newest: u64, default: u64) -> Declared {
        let template = TemplateRef { id: Some(TEMPLATE.into()), name: Some("web".into()) };
        let image = match image {
            "" => DeclaredImage::Unknown { why: "its `image_id` is marked sensitive".into() },
            image => DeclaredImage::Text(image.into()),
        };
        declared(
            "aws_launch_template.web",
            Subject::LaunchTemplate { template, newest: Some(newest), default: Some(default), moves_default: false },
            image,
        )
    }

    #[test]
    fn a_plan_that_moves_the_default_to_a_version_without_a_number_yet_declares_its_image() {
        let planned = |moves_default: bool| {
            let mut planned = template("ami-b", 1, 1);
            if let Subject::LaunchTemplate { newest, default, moves_default: moves, .. } = &mut planned.subject {
                (*newest, *default, *moves) = (None, None, moves_default);
            }
            planned
        };
        let moved = "ami-b by aws_launch_template.web (the newest version becomes the default)";
        check(&[planned(true), group("$Default")], moved);
        let unknown = "version $Default of web (lt-1) by aws_autoscaling_group.web (the state knows only the image of the newest version)";
        check(&[planned(false), group("$Default")], unknown);
    }

    fn group(version: &str) -> Declared {
        let template = TemplateRef { id: Some(TEMPLATE.into()), name: None };
        let subject = Subject::AutoScalingGroup { name: "web".into(), slot: "template".parse().unwrap() };
        declared(
            "aws_autoscaling_group.web",
            subject,
            DeclaredImage::TemplateVersion { template, version: version.into() },
        )
    }

    fn parameter(image: &str) -> Declared {
        declared("aws_ssm_parameter.ami", Subject::Parameter { name: "/ami".into() }, DeclaredImage::Text(image.into()))
    }

    /// What the code declares for the slot `template`, as one line.
    fn check(all: &[Declared], expected: &str) {
        let templates = [("template".parse().unwrap(), TemplateRef { id: Some(TEMPLATE.into()), name: None })].into();
        let place = Place::from_arn("arn:aws:any:eu-west-1:123456789012:x");
        let slots = declared_for(all, &Group { name: "web", place: &place, templates: &templates });
        let says = match slots.get(&"template".parse::<SlotName>().unwrap()).unwrap() {
            DeclaredFor::None => "nothing".to_owned(),
            DeclaredFor::Image { claim, image, how } => format!("{image} by {} ({how})", claim.address),
            DeclaredFor::Template { claim, template, version, why } => {
                format!("version {version} of {template} by {} ({why})", claim.address)
            }
            DeclaredFor::Unknown { claim, why } => format!("unknown by {} ({why})", claim.address),
            DeclaredFor::Conflict { claims } => {
                let claims = claims.iter().map(|(claim, says)| format!("{}: {says}", claim.source));
                format!("conflict: {}", claims.collect::<Vec<_>>().join("; "))
            }
        };
        assert_eq!(says, expected);
    }

    #[test]
    fn a_group_at_the_newest_version_runs_the_image_that_the_state_knows() {
        check(
            &[template("ami-a", 7, 1), group("7")],
            "ami-a by aws_launch_template.web (the group is at version 7 of lt-1)",
        );
        check(
            &[group("$Latest"), template("ami-a", 7, 1)],
            "ami-a by aws_launch_template.web (the group follows `$Latest`)",
        );
        check(
            &[template("ami-a", 7, 7), group("$Default")],
            "ami-a by aws_launch_template.web (the group is at version 7 of lt-1)",
        );
    }

    #[test]
    fn an_older_version_is_to_be_looked_up_and_never_guessed() {
        let why = "by aws_autoscaling_group.web (the state knows only the image of version 7)";
        check(&[template("ami-a", 7, 1), group("3")], &format!("version 3 of web (lt-1) {why}"));
        check(&[template("ami-a", 7, 2), group("$Default")], &format!("version 2 of web (lt-1) {why}"));
        check(
            &[group("$Latest")],
            "version $Latest of lt-1 by aws_autoscaling_group.web (no state has the launch template lt-1)",
        );
        check(
            &[template("", 7, 1), group("7")],
            "version 7 of web (lt-1) by aws_launch_template.web (its `image_id` is marked sensitive)",
        );
    }

    #[test]
    fn the_template_speaks_where_the_group_is_not_in_the_code() {
        check(&[], "nothing");
        check(
            &[template("ami-a", 7, 1)],
            "ami-a by aws_launch_template.web (the code has the template, not the group)",
        );
    }

    #[test]
    fn a_group_of_the_same_name_elsewhere_is_another_group() {
        let mut elsewhere = group("7");
        elsewhere.place = Place::from_arn("arn:aws:any:us-east-1:123456789012:x");
        let mut other_account = group("7");
        other_account.place = Place::from_arn("arn:aws:any:eu-west-1:999999999999:x");
        let mut strange = template("ami-b", 7, 1);
        strange.subject = Subject::LaunchTemplate {
            template: TemplateRef { id: Some("lt-2".into()), name: Some("web".into()) },
            newest: Some(7),
            default: Some(7),
            moves_default: false,
        };
        check(&[elsewhere, other_account, strange], "nothing");
    }

    #[test]
    fn states_that_agree_speak_as_one_and_states_that_differ_conflict() {
        let mut again = template("ami-a", 7, 1);
        again.source = "b.tfstate".into();
        check(
            &[again.clone(), template("ami-a", 7, 1), group("7")],
            "ami-a by aws_launch_template.web (the group is at version 7 of lt-1)",
        );
        again.image = DeclaredImage::Text("ami-b".into());
        check(&[again, template("ami-a", 7, 1), group("7")], "conflict: a.tfstate: ami-a; b.tfstate: ami-b");
        let mut other = group("6");
        other.source = "b.tfstate".into();
        check(
            &[template("ami-a", 7, 1), group("7"), other],
            "conflict: a.tfstate: ami-a; b.tfstate: version 6 of web (lt-1)",
        );
    }

    #[test]
    fn an_image_behind_a_parameter_is_the_parameters() {
        let through = "(the group is at version 7 of lt-1, through the SSM parameter /ami)";
        let all = [template("resolve:ssm:/ami", 7, 1), group("7"), parameter("ami-a")];
        check(&all, &format!("ami-a by aws_ssm_parameter.ami {through}"));
        let all = [template("resolve:ssm:/other", 7, 1), group("7"), parameter("ami-a")];
        check(&all, "unknown by aws_launch_template.web (no state has the SSM parameter /other)");
    }

    #[test]
    fn only_a_pinned_image_has_an_address() {
        let ami = Accepts::Ami { region: "eu-west-1".parse().unwrap(), arch: None };
        let text = address("ami-0123456789abcdef0", &ami).map(|address| address.to_string());
        assert_eq!(text.as_deref(), Ok("ami-0123456789abcdef0@eu-west-1"));
        assert_eq!(address("web:1", &ami), Err("`web:1` is not an AMI id".into()));
        let oci = Accepts::Oci { repository: "r.example.com/web".parse().unwrap() };
        let digest = Digest::of(b"x");
        let text = address(&format!("r.example.com:5000/web:1@{digest}"), &oci).map(|address| address.to_string());
        assert_eq!(text, Ok(format!("r.example.com:5000/web@{digest}")));
        assert_eq!(address("r.example.com/web:1", &oci), Err("`r.example.com/web:1` is a tag, and a tag moves".into()));
    }
}
