//! Who else keeps the object as it is: Argo CD, Flux, Helm and operators undo what is changed beside them.

use super::workload::Workload;
use serde_json::Value;

/// One who will put back what the object said before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reconciler {
    /// `Argo CD (application shop-web)`.
    pub(super) name: String,
    /// When it puts it back.
    pub(super) when: &'static str,
    /// Where the image has to be changed as well.
    pub(super) place: &'static str,
}

impl Reconciler {
    /// What a person should know before the object is changed.
    pub(super) fn warning(&self) -> String {
        format!("{} manages it and will undo this {}: change the image in {} too", self.name, self.when, self.place)
    }
}

/// Finds the reconciler by the marks that it leaves. The most specific first: Flux's Helm releases bear Helm's too.
pub(super) fn of(workload: &Workload) -> Option<Reconciler> {
    flux(workload).or_else(|| argo(workload)).or_else(|| helm(workload)).or_else(|| operator(workload))
}

/// Flux labels what it applies with the name of its Kustomization or HelmRelease
/// (<https://fluxcd.io/flux/components/kustomize/kustomizations/>); `reconcile: disabled` makes it let go.
fn flux(workload: &Workload) -> Option<Reconciler> {
    const DISABLED: &str = "kustomize.toolkit.fluxcd.io/reconcile";
    let is_disabled = [workload.annotation(DISABLED), workload.label_of(DISABLED)].contains(&Some("disabled"));
    let named = |kind: &str, prefix: &str| {
        let name = workload.label_of(&format!("{prefix}/name"))?;
        let namespace = workload.label_of(&format!("{prefix}/namespace")).unwrap_or_default();
        Some(format!("Flux ({kind} {namespace}/{name})"))
    };
    let release = named("HelmRelease", "helm.toolkit.fluxcd.io");
    let kustomization = named("Kustomization", "kustomize.toolkit.fluxcd.io").filter(|_| !is_disabled);
    let (when, place) = ("with its next reconciliation", "Git");
    release.or(kustomization).map(|name| Reconciler { name, when, place })
}

/// Argo CD tracks by annotation (`APP:GROUP/KIND:NAMESPACE/NAME`) or by label
/// (<https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/>). The label is shared with Helm and with
/// hand-written manifests: it counts only beside the controller's own mark.
fn argo(workload: &Workload) -> Option<Reconciler> {
    let tracked = workload.annotation("argocd.argoproj.io/tracking-id").and_then(|id| id.split(':').next());
    let labelled = workload.label_of("argocd.argoproj.io/instance");
    let applied =
        ["argocd-controller", "argocd-application-controller"].iter().any(|name| is_managed_by(workload, name));
    let instance = workload.label_of("app.kubernetes.io/instance").filter(|_| applied);
    let application = tracked.or(labelled).or(instance).or(applied.then_some("unknown"))?;
    let name = format!("Argo CD (application {application})");
    Some(Reconciler { name, when: "with its next sync", place: "Git" })
}

/// Helm (<https://helm.sh/docs/chart_best_practices/labels/>) has no controller: only the next upgrade undoes.
fn helm(workload: &Workload) -> Option<Reconciler> {
    let is_helm = workload.label_of("app.kubernetes.io/managed-by") == Some("Helm") || is_managed_by(workload, "helm");
    let release = workload.annotation("meta.helm.sh/release-name").filter(|_| is_helm)?;
    Some(Reconciler {
        name: format!("Helm (release {release})"),
        when: "with its next upgrade",
        place: "the release's values",
    })
}

/// An object that another object controls is made from it.
fn operator(workload: &Workload) -> Option<Reconciler> {
    let owners = workload.at("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    let text = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default();
    let name = format!("the controller of {} {}", text("kind"), text("name"));
    Some(Reconciler { name, when: "at any time", place: "that object" })
}

fn is_managed_by(workload: &Workload, manager: &str) -> bool {
    let entries = workload.at("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().any(|entry| entry.get("manager").and_then(Value::as_str) == Some(manager))
}
