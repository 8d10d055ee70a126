//! What the code declares that an ECS service will run: from the service to its task definition to the image.

use super::target_image::{DeclaredFor, agree, claim};
use super::{Declared, DeclaredImage, Place, Subject, TemplateRef};
use crate::model::SlotName;

/// An ECS service as it was observed, to be found again in the code.
#[derive(Debug, Clone)]
pub struct Service<'a> {
    pub cluster: &'a str,
    pub name: &'a str,
    /// The container that is meant.
    pub container: &'a SlotName,
    /// The family of its task definition as observed: the way to the code where it declares that and not the service.
    pub family: &'a str,
    pub place: &'a Place,
}

/// What the code declares for the service's container.
pub fn declared_for_service(declared: &[Declared], service: &Service) -> DeclaredFor {
    let is_it = |subject: &Subject| matches!(subject, Subject::Service { cluster, name } if cluster == service.cluster && name == service.name);
    let here = declared.iter().filter(|each| each.place.may_be(service.place));
    let found: Vec<DeclaredFor> =
        here.filter(|each| is_it(&each.subject)).map(|each| follow(declared, each, service)).collect();
    // Where the code declares the service, it has said all that there is to say.
    if !found.is_empty() {
        return agree(found);
    }
    let how = "the code has the task definition, not the service";
    agree(owners(declared, service.family, service.place).filter_map(|each| of_container(each, service, how)).collect())
}

/// Every resource that declares a revision of this family.
fn owners<'a>(all: &'a [Declared], wanted: &'a str, place: &'a Place) -> impl Iterator<Item = &'a Declared> {
    let is_it = move |subject: &Subject| matches!(subject, Subject::TaskDefinition { family, .. } if family == wanted);
    all.iter().filter(move |each| is_it(&each.subject) && each.place.may_be(place))
}

/// From the service's declaration to the image of its container.
fn follow(all: &[Declared], each: &Declared, service: &Service) -> DeclaredFor {
    let (template, version) = match &each.image {
        DeclaredImage::TemplateVersion { template, version } => (template, version),
        DeclaredImage::Unknown { why } => return DeclaredFor::Unknown { claim: claim(each), why: why.clone() },
        DeclaredImage::Text(_) => return DeclaredFor::None,
    };
    let family = template.id.as_deref().unwrap_or_default();
    let is_revision = |each: &&Declared| matches!(&each.subject, Subject::TaskDefinition { revision: Some(number), .. } if number.to_string() == *version);
    let how = format!("the service is at {family}:{version}");
    let found: Vec<DeclaredFor> = owners(all, family, &each.place)
        .filter(is_revision)
        .filter_map(|owner| of_container(owner, service, &how))
        .collect();
    if found.is_empty() {
        // Replaced by a newer one in the state, or registered by somebody else: the family itself can be asked.
        let why = format!("no state has the image of {family}:{version}");
        let template = TemplateRef { id: Some(family.to_owned()), name: None };
        return DeclaredFor::Template { claim: claim(each), template, version: version.clone(), why };
    }
    agree(found)
}

/// The image of the service's container, where this declaration is that container's.
fn of_container(owner: &Declared, service: &Service, how: &str) -> Option<DeclaredFor> {
    let Subject::TaskDefinition { container, .. } = &owner.subject else { return None };
    if container.as_deref().is_some_and(|container| container != service.container.as_str()) {
        return None;
    }
    Some(match &owner.image {
        DeclaredImage::Text(image) => {
            DeclaredFor::Image { claim: claim(owner), image: image.clone(), how: how.to_owned() }
        }
        DeclaredImage::Unknown { why } => DeclaredFor::Unknown { claim: claim(owner), why: why.clone() },
        DeclaredImage::TemplateVersion { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:ecs:eu-west-1:123456789012:x";

    fn declared(address: &str, subject: Subject, image: DeclaredImage) -> Declared {
        let place = Place::from_arn(ARN);
        Declared { source: "a.tfstate".into(), address: address.into(), place, subject, image }
    }

    fn service(cluster: &str, version: &str) -> Declared {
        let template = TemplateRef { id: Some("web".into()), name: None };
        let image = DeclaredImage::TemplateVersion { template, version: version.into() };
        declared("aws_ecs_service.web", Subject::Service { cluster: cluster.into(), name: "web".into() }, image)
    }

    fn task(revision: u64, container: &str, image: &str) -> Declared {
        let subject = Subject::TaskDefinition {
            family: "web".into(),
            revision: Some(revision),
            container: Some(container.into()),
        };
        declared("aws_ecs_task_definition.web", subject, DeclaredImage::Text(image.into()))
    }

    /// What the code declares for the container `app`, as one line.
    fn check(all: &[Declared], expected: &str) {
        let container = "app".parse().unwrap();
        let place = Place::from_arn(ARN);
        let service = Service { cluster: "main", name: "web", container: &container, family: "web", place: &place };
        let says = match declared_for_service(all, &service) {
            DeclaredFor::None => "nothing".to_owned(),
            DeclaredFor::Image { claim, image, how } => format!("{image} by {} ({how})", claim.address),
            DeclaredFor::Template { template, version, why, .. } => format!("version {version} of {template} ({why})"),
            other => format!("{other:?}"),
        };
        assert_eq!(says, expected);
    }

    #[test]
    fn a_service_leads_to_the_revision_that_it_names_and_to_its_own_container() {
        let all = [service("main", "3"), task(3, "log", "log:1"), task(3, "app", "web:3")];
        check(&all, "web:3 by aws_ecs_task_definition.web (the service is at web:3)");
    }

    #[test]
    fn a_revision_that_the_state_has_no_image_of_is_asked_of_aws() {
        check(&[service("main", "2"), task(3, "app", "web:3")], "version 2 of web (no state has the image of web:2)");
    }

    #[test]
    fn a_definition_without_its_service_still_says_what_it_wants() {
        let how = "the code has the task definition, not the service";
        check(
            &[service("other", "3"), task(3, "app", "web:3")],
            &format!("web:3 by aws_ecs_task_definition.web ({how})"),
        );
        check(&[], "nothing");
    }
}
