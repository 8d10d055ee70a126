//! What recorded moments of a real cluster are taken for.

use super::super::kubernetes_settings::{KubernetesSettings, OnReconciler, WorkloadName};
use super::progress::Progress;
use super::workload::{Workload, differences, revision_of};
use super::{KubeError, KubernetesSpec, pods, reconciler, survey};
use crate::model::Observed;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

fn fixture(path: &str) -> Value {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/kubernetes").join(path);
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// One recorded moment, seen so long after its youngest pod was made.
struct Moment {
    workload: Workload,
    spec: KubernetesSpec,
    pods: Vec<Pod>,
    history: Vec<Value>,
    now: Timestamp,
}

impl Moment {
    fn settings(&mut self) -> &mut KubernetesSettings {
        Arc::make_mut(&mut self.spec.settings)
    }

    fn new(name: &str, later: SignedDuration) -> Self {
        Self::of(&fixture(&format!("snapshots/{name}.json")), later)
    }

    fn of(recorded: &Value, later: SignedDuration) -> Self {
        let object = recorded["object"].clone();
        let kind = object["kind"].as_str().unwrap().to_lowercase();
        let workload: WorkloadName =
            format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap()).parse().unwrap();
        let mut settings = KubernetesSettings::new(workload.clone());
        settings.containers = vec!["app".parse().unwrap()];
        let pods: Vec<Pod> = serde_json::from_value(recorded["pods"].clone()).unwrap();
        let made = pods.iter().filter_map(|pod| pod.metadata.creation_timestamp.as_ref()).map(|time| time.0).max();
        Self {
            workload: Workload::new(workload, "shop", object),
            spec: KubernetesSpec { id: "web".parse().unwrap(), settings: settings.into() },
            pods,
            history: recorded["history"].as_array().cloned().unwrap_or_default(),
            now: made.unwrap_or_default() + later,
        }
    }

    fn progress(&self) -> Progress {
        let containers = self.workload.containers(&self.spec.settings).unwrap();
        let ours = pods::of_workload(&self.pods, &self.workload);
        survey::judge(&self.workload, &self.spec, &containers, &ours, self.now)
    }

    fn observed(&self) -> Observed {
        survey::observed(&self.workload, &self.spec, Some(&self.pods), self.now).unwrap()
    }

    /// The verdict in a few words, and how many pods run which image, by its first four digits.
    fn line(&self) -> String {
        let verdict = match self.progress() {
            Progress::Done => "done".to_owned(),
            Progress::Moving { phase, .. } => format!("moving {phase}"),
            Progress::Waiting { phase, .. } => format!("waiting {phase}"),
            Progress::Failed { reason } => format!("failed {}", reason.split(':').next().unwrap()),
            Progress::Stopped => "stopped".to_owned(),
        };
        let seen = self.observed();
        let digits = |image: &crate::model::ImageRef| image.to_string().rsplit(':').next().unwrap()[..4].to_owned();
        let mut runs: Vec<String> = seen.running.iter().map(|(image, n)| format!("{n}×{}", digits(image))).collect();
        runs.push(format!("of {}", seen.desired));
        format!("{verdict} | {}", runs.join(" "))
    }
}

const SOON: SignedDuration = SignedDuration::from_secs(5);
const LATE: SignedDuration = SignedDuration::from_secs(3600);

fn lines(kind: &str, later: SignedDuration) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/kubernetes/snapshots");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(kind)).collect();
    names.sort();
    let mut text = String::new();
    for name in names {
        let name = name.trim_end_matches(".json");
        let short = name.strip_prefix(&format!("{kind}-")).unwrap();
        writeln!(text, "{short}: {}", Moment::new(name, later).line()).unwrap();
    }
    text
}

#[track_caller]
fn check(lines: &str, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "\n{lines}");
}

#[test]
fn a_deployment_is_done_when_every_pod_is_new_and_available_and_not_before() {
    check(
        &lines("deployment", SOON),
        "
        01-created-complete: done | 3×1111 of 3
        02-patched-unobserved: moving Accepted | 2×1111 of 2
        03a-mid-rollout-first-new-pod: moving Progressing | 3×1111 of 3
        03b-mid-rollout-old-pods-left: moving Progressing | 1×1111 2×2222 of 3
        03c-mid-rollout-not-available: moving Progressing | 2×2222 of 3
        03d-mid-rollout-min-ready-seconds: moving Progressing | 2×1111 1×2222 of 2
        04-complete-after-rollout: done | 3×2222 of 3
        05-image-pull-backoff: moving Progressing | 2×1111 of 2
        06a-progress-deadline-exceeded: failed ProgressDeadlineExceeded | 2×1111 of 2
        06b-recovered-after-undo: done | 2×1111 of 2
        06c-first-deploy-deadline-exceeded: failed ProgressDeadlineExceeded | of 2
        07-crash-loop: moving Progressing | 2×1111 of 2
        08a-paused-patched: waiting Paused | 2×1111 of 2
        08b-paused-mid-rollout: waiting Paused | 3×1111 of 3
        09-after-undo: done | 2×1111 of 2
        10a-scaled-to-zero: done | of 0
        10b-patched-at-zero: done | of 0
        11a-recreate-old-terminating: moving Progressing | of 2
        11b-recreate-new-starting: moving Progressing | of 2
        11c-recreate-complete: done | 2×2222 of 2
        12-pods-died-after-rollout: waiting Unavailable | of 2
        13a-replica-failure-quota: moving Progressing | 2×1111 of 2
        13b-replica-failure-deadline: failed ProgressDeadlineExceeded | 2×1111 of 2
        14-unschedulable: moving Progressing | 3×1111 of 3
        15-being-deleted: moving Progressing | of 2
        16-mixed-image-references: done | 2×4dbb of 2",
    );
}

#[test]
fn a_stateful_set_is_done_by_its_revisions_and_its_partition() {
    check(
        &lines("statefulset", SOON),
        "
        01-complete: done | 3×1111 of 3
        02-patched-unobserved: moving Accepted | of 3
        03-mid-rollout: moving Progressing | 2×1111 of 3
        04-complete-after-rollout: done | 3×2222 of 3
        05-partition-mid-rollout: moving Progressing | 1×1111 of 2
        06-partition-done: done | 2×2222 of 2
        07-broken-stuck-pod: moving Progressing | 1×1111 of 2
        08-reverted-still-stuck: waiting Unavailable | 1×1111 of 2
        09-recovered-after-pod-delete: done | 2×1111 of 2
        10-on-delete-patched: waiting OnDelete | 2×1111 of 2
        11-min-ready-seconds: moving Progressing | 1×1111 1×2222 of 3
        12-scaled-to-zero: done | of 0",
    );
}

#[test]
fn a_daemon_set_is_done_when_every_node_has_a_new_and_available_pod() {
    check(
        &lines("daemonset", SOON),
        "
        01-complete: done | 3×1111 of 3
        02-patched-unobserved: moving Accepted | of 3
        03-mid-rollout: moving Progressing | 2×1111 of 3
        04-complete-after-rollout: done | 3×2222 of 3
        05-on-delete-patched: waiting OnDelete | 3×1111 of 3
        06-on-delete-one-replaced: waiting OnDelete | 2×1111 1×2222 of 3
        07-broken-stuck-pod: moving Progressing | 2×1111 of 3
        08-no-nodes: done | of 0",
    );
}

#[test]
fn a_pod_that_cannot_start_fails_the_rollout_after_a_while() {
    for (name, word) in [
        ("deployment-05-image-pull-backoff", "ImagePullBackOff"),
        ("deployment-07-crash-loop", "CrashLoopBackOff: exit code 1"),
        ("statefulset-07-broken-stuck-pod", "ImagePull"),
        ("daemonset-07-broken-stuck-pod", "ImagePull"),
        ("statefulset-08-reverted-still-stuck", "ErrImagePull"),
    ] {
        assert!(!matches!(Moment::new(name, SOON).progress(), Progress::Failed { .. }), "{name}: too early");
        let Progress::Failed { reason } = Moment::new(name, LATE).progress() else { panic!("{name} is not given up") };
        assert!(reason.starts_with("pod ") && reason.contains(word), "{name}: {reason}");
    }
}

#[test]
fn the_last_rollouts_deadline_does_not_fail_this_one() {
    let mut recorded = fixture("snapshots/deployment-06a-progress-deadline-exceeded.json");
    assert!(matches!(Moment::of(&recorded, SOON).progress(), Progress::Failed { .. }));
    let written = json!({"manager": "imgctl", "operation": "Update", "time": "2026-11-20T23:00:00Z"});
    recorded["object"]["metadata"]["managedFields"].as_array_mut().unwrap().push(written);
    assert!(matches!(Moment::of(&recorded, SOON).progress(), Progress::Moving { .. }));
}

#[test]
fn what_waits_for_a_person_makes_nobody_else_wait() {
    for name in
        ["deployment-12-pods-died-after-rollout", "daemonset-05-on-delete-patched", "statefulset-10-on-delete-patched"]
    {
        let moment = Moment::new(name, SOON);
        assert!(matches!(moment.progress(), Progress::Waiting { .. }), "{name}");
        assert_eq!(moment.observed().deployment, None, "{name}");
    }
    let paused = Moment::new("deployment-08a-paused-patched", SOON).observed();
    assert!(paused.obstacles[0].fix.starts_with("kubectl rollout resume deployment/web -n shop"), "{paused:?}");
}

#[test]
fn a_kept_template_has_the_revision_that_it_had_in_use() {
    let moment = Moment::new("deployment-09-after-undo", SOON);
    let now = moment.workload.revision().unwrap();
    let kept = |path: &str| -> Vec<_> {
        let templates = moment.history.iter().filter_map(|object| object.pointer(path));
        templates.map(|template| revision_of(&moment.workload.workload, template).unwrap()).collect()
    };
    let kept = kept("/spec/template");
    assert_eq!((kept.len(), kept.iter().filter(|revision| **revision == now).count()), (2, 1), "{now} {kept:?}");
    for kind in ["statefulset", "daemonset"] {
        let moment = Moment::new(&format!("{kind}-04-complete-after-rollout"), SOON);
        let now = moment.workload.revision().unwrap();
        let kept = moment.history.iter().filter_map(|object| object.pointer("/data/spec/template"));
        let found = kept.filter(|template| revision_of(&moment.workload.workload, template).unwrap() == now).count();
        assert_eq!(found, 1, "{kind}");
    }
}

#[test]
fn the_revision_stays_while_pods_come_and_go_and_while_it_is_scaled() {
    let revision = |name: &str| Moment::new(name, SOON).workload.revision().unwrap();
    let first = revision("deployment-03a-mid-rollout-first-new-pod");
    assert_eq!(first, revision("deployment-03b-mid-rollout-old-pods-left"));
    assert_eq!(first, revision("deployment-04-complete-after-rollout"));
    assert_ne!(first, revision("deployment-01-created-complete"));
}

#[test]
fn differences_name_what_changes_and_keep_what_may_be_secret() {
    let template = |image: &str, secret: &str, cpu: &str| {
        let env = json!([{"name": "TOKEN", "value": secret}]);
        json!({"spec": {"containers": [{"name": "app", "image": image, "env": env, "resources": {"limits": {"cpu": cpu}}}]}})
    };
    let lines = differences(&template("a:1", "old-secret", "1"), &template("a:2", "new-secret", "2"));
    assert_eq!(
        lines,
        [
            "spec.containers[app].env[TOKEN].value: changed",
            "spec.containers[app].image: a:1 → a:2",
            "spec.containers[app].resources.limits.cpu: 1 → 2",
        ]
    );
}

#[test]
fn a_reconciler_is_known_by_the_marks_that_it_leaves() {
    let named = |name: &str| {
        let object = fixture(&format!("gitops/{name}.json"));
        let workload = Workload::new("deployment/web".parse().unwrap(), "shop", object);
        reconciler::of(&workload).map(|reconciler| reconciler.name)
    };
    let expected = [
        ("argocd-annotation-tracking", Some("Argo CD (application shop-web)")),
        ("argocd-label-tracking", Some("Argo CD (application shop-web)")),
        ("flux-kustomize", Some("Flux (Kustomization flux-system/shop)")),
        ("flux-kustomize-reconcile-disabled", None),
        ("flux-helmrelease", Some("Flux (HelmRelease shop/web)")),
        ("helm", Some("Helm (release web)")),
        ("operator-owned", Some("the controller of Storefront main")),
    ];
    for (name, reconciler) in expected {
        assert_eq!(named(name).as_deref(), reconciler, "{name}");
    }
}

#[test]
fn a_reconciler_is_a_warning_or_an_obstacle_as_the_config_says() {
    let recorded = json!({"object": fixture("gitops/argocd-annotation-tracking.json"), "pods": []});
    let mut moment = Moment::of(&recorded, SOON);
    let seen = moment.observed();
    assert!(seen.obstacles.is_empty() && seen.notes[0].starts_with("warning: Argo CD"), "{seen:?}");
    moment.settings().on_reconciler = OnReconciler::Block;
    let seen = moment.observed();
    assert!(seen.notes.is_empty() && seen.obstacles[0].what.contains("Argo CD (application shop-web)"), "{seen:?}");
}

#[test]
fn a_container_that_is_not_there_is_refused_with_the_names_there_are() {
    let mut moment = Moment::new("deployment-16-mixed-image-references", SOON);
    let refused = |moment: &Moment| moment.workload.containers(&moment.spec.settings).unwrap_err().to_string();
    moment.settings().containers = vec!["ap".parse().unwrap()];
    assert_eq!(refused(&moment), "deployment shop/web has no container ap; it has app, sidecar, metrics, migrate");
    moment.settings().containers.clear();
    assert_eq!(refused(&moment), "deployment shop/web has 3 containers: app, sidecar, metrics, migrate");
}

#[test]
fn a_tag_floats_to_what_the_pods_pulled_and_a_digest_is_pinned() {
    let mut moment = Moment::new("deployment-16-mixed-image-references", SOON);
    let shown = |moment: &Moment, slot: &str| format!("{:?}", moment.observed().slots[&slot.parse().unwrap()].image);
    let app = shown(&moment, "app");
    assert!(app.contains("Floating") && app.contains("shop/web:1.4.2") && app.contains("4dbb1efc9c4f"), "{app}");
    for slot in ["migrate", "sidecar"] {
        moment.settings().containers = vec![slot.parse().unwrap()];
        assert!(shown(&moment, slot).contains("Pinned"), "{slot}");
    }
}

#[test]
fn a_mirror_that_a_webhook_put_before_the_image_is_the_same_image() {
    let mut recorded = fixture("snapshots/deployment-04-complete-after-rollout.json");
    for pod in recorded["pods"].as_array_mut().unwrap() {
        let image = &mut pod["spec"]["containers"][0]["image"];
        *image = json!(image.as_str().unwrap().replace("registry.example.com/", "mirror.internal/cache/"));
    }
    let seen = Moment::of(&recorded, SOON).observed();
    let image = seen.slots[&"app".parse().unwrap()].image.now().unwrap().clone();
    assert_eq!(seen.running, [(image, 3)].into());
}

/// What the client makes of a refusal's body.
fn refusal(name: &str) -> KubeError {
    let status: kube::core::Status = serde_json::from_value(fixture(&format!("errors/{name}.json"))).unwrap();
    let call = super::Call {
        cluster: "context prod".into(),
        verb: "patch",
        group: "apps",
        resource: "deployments",
        namespace: "shop".into(),
        name: Some("web".into()),
    };
    KubeError::of_call(call, kube::Error::Api(Box::new(status)))
}

#[test]
fn a_refusal_says_what_was_refused_and_what_would_allow_it() {
    let denied = refusal("403-patch-deployment");
    assert!(matches!(denied, KubeError::Forbidden { .. }), "{denied}");
    assert!(
        denied.to_string().starts_with("patch deployments/web in namespace shop of context prod was denied"),
        "{denied}"
    );
    assert_eq!(
        denied.hint(),
        "add to a Role in namespace shop: {apiGroups: [\"apps\"], resources: [\"deployments\"], verbs: [\"patch\"]}"
    );
    for name in [
        "403-admission-webhook-denied",
        "400-admission-webhook-denied-no-code",
        "422-validating-admission-policy",
        "500-admission-webhook-unreachable",
    ] {
        let refused = refusal(name);
        assert!(matches!(refused, KubeError::Admission { .. }) && !refused.is_silence(), "{name}: {refused:?}");
    }
    assert!(matches!(refusal("409-stale-resource-version"), KubeError::Conflict { .. }));
    assert!(matches!(refusal("422-json-patch-test-failed"), KubeError::Invalid { .. }));
    assert!(matches!(refusal("404-deployment"), KubeError::NotFound { .. }));
    assert!(refusal("401-invalid-token").is_silence() && refusal("410-expired-continue").is_silence());
}

#[test]
fn who_wrote_the_image_is_the_newest_manager_that_owns_it() {
    let entry = |manager: &str, time: &str, image: bool| {
        let fields = if image { json!({"f:image": {}}) } else { json!({"f:resources": {}}) };
        json!({"manager": manager, "time": time, "fieldsV1":
            {"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"app\"}": fields}}}}}})
    };
    let object = json!({"metadata": {"name": "web", "managedFields": [
        entry("imgctl", "2026-11-20T08:00:00Z", true),
        entry("kubectl-set", "2026-11-20T09:00:00Z", true),
        entry("kubectl-autoscale", "2026-11-20T10:00:00Z", false),
    ]}});
    let workload = Workload::new("deployment/web".parse().unwrap(), "shop", object);
    let author = |container| workload.author(container).map(|author| (author.who, author.at.unwrap().to_string()));
    let set = Some(("kubectl-set".to_owned(), "2026-11-20T09:00:00Z".to_owned()));
    assert_eq!(author(Some("app")), set);
    assert_eq!(author(None), set);
    assert_eq!(author(Some("log")), None);
}
