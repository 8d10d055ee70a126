//! What the code declares that a Kubernetes workload will run: its own resource says it, container by container.

use super::target_image::{DeclaredFor, agree, claim};
use super::{Declared, DeclaredImage, Subject};

/// A Kubernetes workload as it was observed, to be found again in the code.
#[derive(Debug, Clone, Copy)]
pub struct Pods<'a> {
    /// As the API calls it: `Deployment`, `StatefulSet`, `DaemonSet`, `CronJob`.
    pub kind: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

/// What the code declares for one container. A state does not say of which cluster it speaks: where several declare
/// workloads of one name, they must agree.
pub fn declared_for_workload(declared: &[Declared], pods: &Pods, container: &str) -> DeclaredFor {
    let is_it = |subject: &Subject| match subject {
        Subject::Workload { kind, namespace, name, container: own } => {
            // A manifest without a namespace may be applied to any.
            (namespace.is_empty() || namespace == pods.namespace)
                && (kind.as_str(), name.as_str(), own.as_str()) == (pods.kind, pods.name, container)
        }
        _ => false,
    };
    let found = declared.iter().filter(|each| is_it(&each.subject)).map(|each| match &each.image {
        DeclaredImage::Text(image) => {
            let how = format!("the code has the {}", pods.kind);
            DeclaredFor::Image { claim: claim(each), image: image.clone(), how }
        }
        DeclaredImage::Unknown { why } => DeclaredFor::Unknown { claim: claim(each), why: why.clone() },
        DeclaredImage::TemplateVersion { .. } => DeclaredFor::None,
    });
    agree(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iac::Place;

    fn declared(source: &str, namespace: &str, container: &str, image: &str) -> Declared {
        let (kind, name) = ("Deployment".to_owned(), "web".to_owned());
        let (namespace, container) = (namespace.to_owned(), container.to_owned());
        let subject = Subject::Workload { kind, namespace, name, container };
        let (address, image) = ("kubernetes_deployment.web".to_owned(), DeclaredImage::Text(image.to_owned()));
        Declared { source: source.to_owned(), address, place: Place::default(), subject, image }
    }

    fn said(all: &[Declared], kind: &str) -> String {
        match declared_for_workload(all, &Pods { kind, namespace: "shop", name: "web" }, "app") {
            DeclaredFor::None => "nothing".to_owned(),
            DeclaredFor::Image { image, .. } => image,
            DeclaredFor::Conflict { claims } => format!("{} that differ", claims.len()),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_workload_is_found_by_kind_namespace_name_and_container() {
        let all = [declared("a", "shop", "app", "web:3"), declared("a", "shop", "log", "log:1")];
        assert_eq!((said(&all, "Deployment").as_str(), said(&all, "DaemonSet").as_str()), ("web:3", "nothing"));
        assert_eq!(said(&[declared("a", "other", "app", "web:3")], "Deployment"), "nothing");
    }

    #[test]
    fn states_of_two_clusters_that_differ_tell_nothing_for_certain() {
        let two = |image| [declared("a", "shop", "app", "web:3"), declared("b", "shop", "app", image)];
        assert_eq!(said(&two("web:3"), "Deployment"), "web:3");
        assert_eq!(said(&two("web:4"), "Deployment"), "2 that differ");
    }
}
