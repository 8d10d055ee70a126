//! What every target must do, shown on Kubernetes workloads: over the lab's API server, and over a real one.

use crate::support::cluster::{Cluster, calls, clusters, image, post, runs, show};
use crate::support::desk::{Desk, ran};
use imgctl::model::{ImageKey, ImageRef, Motion, Observed, Provenance, Seq, SlotChange, SlotImage, Step, TargetId};
use imgctl::provider::target::kubernetes::{KubeError, KubernetesFleet, KubernetesSpec};
use imgctl::provider::target::kubernetes_settings::KubernetesSettings;
use imgctl::provider::target::{Deployed, Depth, Fleet, Order, Target, TargetError};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const KINDS: [&str; 3] = ["deployment", "statefulset", "daemonset"];

/// A workload with its old and new image, and the target that moves it.
struct Stage {
    cluster: Cluster,
    workload: String,
    old: String,
    new: String,
    fleet: KubernetesFleet,
}

impl Stage {
    /// In the lab alone.
    async fn new(workload: &str, more: Value) -> Self {
        Self::on(Cluster::Lab, workload, more, |_| {}).await
    }

    async fn on(cluster: Cluster, workload: &str, more: Value, settings: impl FnOnce(&mut KubernetesSettings)) -> Self {
        let [old, new] = cluster.images(workload);
        cluster.create(workload, &old, more).await;
        let mut own = cluster.settings(workload);
        settings(&mut own);
        let fleet = KubernetesFleet::new(vec![KubernetesSpec { id: workload.parse().unwrap(), settings: own.into() }]);
        Self { cluster, workload: workload.to_owned(), old, new, fleet }
    }

    fn target(&self) -> &dyn Target {
        self.fleet.target(&self.workload.parse::<TargetId>().unwrap()).unwrap()
    }

    async fn seen(&self) -> Observed {
        self.target().observe().await.unwrap()
    }

    async fn step(&self, image: &str) -> Step {
        let observed = self.seen().await;
        let to: ImageRef = image.parse().unwrap();
        let change = || SlotChange { from: None, to: to.clone() };
        Step {
            number: 1,
            wave: 1,
            target: self.workload.parse().unwrap(),
            slots: observed.slots.keys().map(|slot| (slot.clone(), change())).collect(),
            expect: observed.revision,
            exact: None,
            interrupts: observed.deployment.filter(|deployment| deployment.is_active()).map(|deployment| deployment.id),
            notes: Vec::new(),
        }
    }

    async fn order(&self, step: &Step, token: &str, again: bool) -> Result<Deployed, TargetError> {
        let image: ImageKey = "web@2".parse().unwrap();
        let token = format!("{token}-{}", self.workload);
        self.target().deploy(&Order { token, rollout: Seq(7), image: &image, step, again }).await
    }

    async fn deploy(&self, step: &Step, token: &str) -> Deployed {
        self.order(step, token, false).await.unwrap()
    }

    /// Follows a deployment to its end.
    async fn end(&self, deployed: &Deployed) -> Motion {
        let id = deployed.deployment.as_deref().unwrap();
        for _ in 0..1500 {
            let seen = self.target().follow(id).await.unwrap();
            if !seen.is_active() {
                return seen.motion;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{id} does not end");
    }

    async fn moves(&self, image: &str, token: &str) -> Deployed {
        let deployed = self.deploy(&self.step(image).await, token).await;
        let motion = self.end(&deployed).await;
        assert!(matches!(motion, Motion::Succeeded), "{motion:?}");
        deployed
    }

    /// The image as the server has it, and how many containers there are.
    async fn template(&self) -> (String, usize) {
        let object = self.cluster.object(&self.workload).await;
        let containers = object["spec"]["template"]["spec"]["containers"].as_array().unwrap().clone();
        (containers[0]["image"].as_str().unwrap().to_owned(), containers.len())
    }
}

#[tokio::test]
async fn a_step_moves_every_pod_and_changes_the_image_alone() {
    for kind in KINDS {
        for cluster in clusters("a step that moves every pod").await {
            let stage = Stage::on(cluster, &format!("{kind}/moves"), json!({}), |_| {}).await;
            let before = stage.cluster.object(&stage.workload).await;
            let deployed = stage.moves(&stage.new, "moves").await;
            let seen = stage.seen().await;
            assert_eq!(seen.revision, deployed.revision);
            let wanted: ImageRef = stage.new.parse().unwrap();
            assert!(seen.running.keys().eq([&wanted]) && seen.running[&wanted] == seen.desired, "{seen:?}");
            let mut after = stage.cluster.object(&stage.workload).await;
            let annotations = after["metadata"]["annotations"].clone();
            assert_eq!(annotations["kubernetes.io/change-cause"], "imgctl rollout 7: web@2");
            assert_eq!(annotations["imgctl/rollout"], "7");
            after["spec"]["template"]["spec"]["containers"][0]["image"] = json!(stage.old);
            assert_eq!(after["spec"], before["spec"], "nothing but the image");
            let entries = after["metadata"]["managedFields"].as_array().unwrap().clone();
            assert!(entries.iter().any(|entry| entry["manager"] == "imgctl"), "{entries:?}");
            stage.cluster.leave().await;
        }
    }
}

#[tokio::test]
async fn a_stale_revision_is_refused_and_nothing_is_changed() {
    for kind in KINDS {
        for cluster in clusters("a stale revision").await {
            let stage = Stage::on(cluster, &format!("{kind}/stale"), json!({}), |_| {}).await;
            let step = stage.step(&stage.new).await;
            let theirs = json!({"spec": {"template": {"metadata": {"annotations": {"theirs": "1"}}}}});
            stage.cluster.edit(&stage.workload, theirs).await;
            let refused = stage.order(&step, "stale", false).await;
            assert!(matches!(refused, Err(TargetError::Moved { .. })), "{refused:?}");
            assert_eq!(stage.template().await.0, stage.old);
            stage.cluster.leave().await;
        }
    }
}

#[tokio::test]
async fn an_order_given_twice_is_carried_out_once() {
    for kind in KINDS {
        for cluster in clusters("an order given twice").await {
            let stage = Stage::on(cluster, &format!("{kind}/twice"), json!({}), |_| {}).await;
            let step = stage.step(&stage.new).await;
            let first = stage.deploy(&step, "twice").await;
            let generation = stage.cluster.object(&stage.workload).await["metadata"]["generation"].clone();
            let second = stage.order(&step, "twice", true).await.unwrap();
            assert_eq!(first, second);
            assert_eq!(stage.cluster.object(&stage.workload).await["metadata"]["generation"], generation);
            assert!(matches!(stage.end(&first).await, Motion::Succeeded));
            assert_eq!(stage.order(&step, "twice", true).await.unwrap(), first, "also when it has ended");
            let other = stage.order(&step, "other", false).await;
            assert!(matches!(other, Err(TargetError::Moved { .. })), "another order is none of it: {other:?}");
            stage.cluster.leave().await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_got_lost_is_found_again() {
    let stage = Stage::new("deployment/lost", json!({})).await;
    let step = stage.step(&stage.new).await;
    post("fault", &json!({"lose": true, "method": "PATCH", "path": "/deployments/lost"}));
    let lost = stage.order(&step, "lost", false).await.unwrap_err();
    assert!(lost.is_silence(), "{lost}");
    let found = stage.order(&step, "lost", true).await.unwrap();
    assert!(matches!(stage.end(&found).await, Motion::Succeeded));
    assert_eq!(show("deployment/lost")["object"]["metadata"]["generation"], 2, "written once");
}

#[tokio::test]
async fn a_write_beside_ours_that_leaves_the_template_alone_is_no_obstacle() {
    let stage = Stage::new("deployment/race", json!({})).await;
    post("fault", &json!({"race": true, "method": "PATCH", "path": "/deployments/race", "times": 3}));
    stage.moves(&stage.new, "race").await;
    let ours = calls("PATCH", "/deployments/race");
    // A status that the lab writes meanwhile is one more.
    let refused = ours.iter().filter(|call| call["status"] == 409).count();
    assert!(refused >= 3, "refused, and looked at again each time: {refused}");
    assert_eq!(runs("deployment/race"), [(stage.new.clone(), 3)].into());
    // Scaling changes the object and not what its pods are made from.
    let back = stage.step(&stage.old).await;
    stage.cluster.edit(&stage.workload, json!({"spec": {"replicas": 5}})).await;
    let deployed = stage.deploy(&back, "race-back").await;
    assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
    assert_eq!(runs("deployment/race"), [(stage.old.clone(), 5)].into());
}

#[tokio::test]
async fn a_rollout_under_way_is_turned_back() {
    for kind in KINDS {
        let stage = Stage::new(&format!("{kind}/back"), json!({})).await;
        // On a busy machine it would be over before it is turned back.
        post("behave", &json!({"image": stage.new, "as": "unready"}));
        let first = stage.deploy(&stage.step(&stage.new).await, "forth").await;
        let back = stage.step(&stage.old).await;
        assert_eq!(back.interrupts, first.deployment);
        post("behave", &json!({"image": stage.new, "as": "good"}));
        let deployed = stage.deploy(&back, "back").await;
        assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
        assert_eq!(runs(&stage.workload), [(stage.old.clone(), 3)].into());
        let motion = stage.target().follow(first.deployment.as_deref().unwrap()).await.unwrap().motion;
        assert!(matches!(motion, Motion::Cancelled { .. }), "the first one is over: {motion:?}");
    }
}

#[tokio::test]
async fn pods_that_cannot_start_fail_the_step_with_their_own_words_and_can_be_rolled_back() {
    for (kind, behaviour, word) in [
        ("deployment", "pull-error", "ImagePullBackOff"),
        ("deployment", "crash", "CrashLoopBackOff"),
        ("statefulset", "crash", "CrashLoopBackOff"),
        ("daemonset", "pull-error", "ImagePullBackOff"),
    ] {
        let workload = format!("{kind}/bad-{behaviour}");
        let stage = Stage::on(Cluster::Lab, &workload, json!({}), |own| own.stuck_after = Duration::ZERO).await;
        post("behave", &json!({"image": stage.new, "as": behaviour}));
        let deployed = stage.deploy(&stage.step(&stage.new).await, "bad").await;
        let Motion::Failed { reason } = stage.end(&deployed).await else { panic!("{kind} {behaviour} did not fail") };
        assert!(reason.starts_with("pod ") && reason.contains(word), "{reason}");
        let busy = stage.seen().await.deployment.is_some_and(|deployment| deployment.is_active());
        assert!(!busy, "nobody has to wait for what is stuck");
        stage.moves(&stage.old, "good-again").await;
        assert_eq!(runs(&stage.workload), [(stage.old.clone(), 3)].into(), "{kind} {behaviour}");
    }
}

#[tokio::test]
async fn the_controllers_own_deadline_fails_the_step() {
    let stage = Stage::new("deployment/deadline", json!({})).await;
    post("behave", &json!({"image": stage.new, "as": "unready"}));
    let deployed = stage.deploy(&stage.step(&stage.new).await, "deadline").await;
    let Motion::Failed { reason } = stage.end(&deployed).await else { panic!("it did not fail") };
    assert!(reason.starts_with("ProgressDeadlineExceeded"), "{reason}");
}

#[tokio::test]
async fn a_container_that_is_not_there_is_refused_and_never_added() {
    let more = json!({"images": {"app": image("typo", 1), "sidecar": image("typo", 3)}});
    let stage =
        Stage::on(Cluster::Lab, "deployment/typo", more, |own| own.containers = vec!["ap".parse().unwrap()]).await;
    let refused = stage.target().observe().await.unwrap_err().to_string();
    assert_eq!(refused, "deployment shop/typo has no container ap; it has app, sidecar");
    // The same where the container goes away between plan and order.
    let stage = Stage::new("deployment/typo-late", json!({})).await;
    let step = stage.step(&stage.new).await;
    let renamed = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": stage.old}]}}}});
    stage.cluster.edit(&stage.workload, renamed).await;
    assert!(stage.order(&step, "typo", false).await.is_err());
    assert_eq!(stage.template().await, (stage.old.clone(), 1));
}

#[tokio::test]
async fn several_containers_and_an_init_container_move_together() {
    let (old, proxy) = (image("several", 1), image("several", 9));
    let more = json!({"images": {"app": old, "sidecar": proxy}, "init": {"migrate": old}});
    let both = |own: &mut KubernetesSettings| own.containers = vec!["app".parse().unwrap(), "migrate".parse().unwrap()];
    let stage = Stage::on(Cluster::Lab, "deployment/several", more, both).await;
    let new = image("several", 2);
    stage.moves(&new, "several").await;
    assert_eq!(show("deployment/several")["images"], json!({"app": new, "sidecar": proxy, "migrate": new}));
}

#[tokio::test]
async fn a_cron_jobs_template_is_all_there_is() {
    for cluster in clusters("a CronJob").await {
        let stage = Stage::on(cluster, "cronjob/nightly", json!({}), |_| {}).await;
        let seen = stage.seen().await;
        assert!(seen.notes[0].contains("next run") && seen.running.is_empty(), "{seen:?}");
        let deployed = stage.deploy(&stage.step(&stage.new).await, "cron").await;
        assert_eq!(deployed.deployment, None, "there is nothing to wait for");
        let slot = stage.seen().await.slots.into_values().next().unwrap();
        assert!(matches!(slot.image, SlotImage::Pinned { image } if image.to_string() == stage.new));
        stage.cluster.leave().await;
    }
}

#[tokio::test]
async fn rollback_keeps_what_else_was_changed_and_exact_does_not() {
    for kind in KINDS {
        let stage = Stage::new(&format!("{kind}/exact"), json!({})).await;
        let first = stage.seen().await.revision;
        stage.moves(&stage.new, "forth").await;
        let more = json!({"spec": {"template": {"spec": {"priorityClassName": "high"}}}});
        stage.cluster.edit(&stage.workload, more).await;
        let differences = stage.target().differences(&stage.seen().await.revision, &first).await.unwrap();
        assert!(differences.contains(&"spec.priorityClassName: high → nothing".to_owned()), "{differences:?}");
        stage.moves(&stage.old, "image-only").await;
        assert_eq!(show(&stage.workload)["object"]["spec"]["template"]["spec"]["priorityClassName"], "high");
        let exact = Step { exact: Some(first.clone()), ..stage.step(&stage.old).await };
        let deployed = stage.deploy(&exact, "exact").await;
        assert_eq!(deployed.revision, first);
        assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
        assert_eq!(show(&stage.workload)["object"]["spec"]["template"]["spec"]["priorityClassName"], Value::Null);
    }
}

#[tokio::test]
async fn an_old_image_comes_back_also_when_its_replica_set_is_gone() {
    for cluster in clusters("a rollback without history").await {
        let stage = Stage::on(cluster, "deployment/forgotten", json!({}), |_| {}).await;
        let first = stage.seen().await.revision;
        stage.moves(&stage.new, "forth").await;
        stage.cluster.forget_history(&stage.workload).await;
        let exact = Step { exact: Some(first.clone()), ..stage.step(&stage.old).await };
        let deployed = stage.deploy(&exact, "exact").await;
        assert_eq!(deployed.revision, first, "nothing else was changed: the present template leads there too");
        assert!(matches!(stage.end(&deployed).await, Motion::Succeeded));
        let theirs = json!({"spec": {"template": {"metadata": {"annotations": {"theirs": "1"}}}}});
        stage.moves(&stage.new, "forth-again").await;
        stage.cluster.edit(&stage.workload, theirs).await;
        stage.cluster.forget_history(&stage.workload).await;
        let exact = Step { exact: Some(first), ..stage.step(&stage.old).await };
        let refused = stage.order(&exact, "exact-again", false).await.unwrap_err();
        assert!(refused.hint().is_some_and(|hint| hint.contains("without --exact")), "{refused}");
        stage.moves(&stage.old, "back").await;
        stage.cluster.leave().await;
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_before_anything_moves() {
    let stage = Stage::new("deployment/paused", json!({"spec": {"paused": true}})).await;
    let seen = stage.seen().await;
    assert!(seen.obstacles[0].fix.contains("kubectl rollout resume deployment/paused"), "{seen:?}");
    let refused = stage.order(&stage.step(&stage.new).await, "paused", false).await;
    assert!(matches!(refused, Err(TargetError::Refused { .. })), "{refused:?}");
    assert_eq!(stage.template().await.0, stage.old);
    for (workload, spec, word) in [
        ("deployment/zero", json!({"replicas": 0}), "scaled to zero"),
        (
            "statefulset/partition",
            json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}}),
            "partition 1",
        ),
        ("daemonset/by-hand", json!({"spec": {"updateStrategy": {"type": "OnDelete"}}}), "OnDelete"),
    ] {
        let stage = Stage::new(workload, spec).await;
        let notes = stage.seen().await.notes;
        assert!(notes.iter().any(|note| note.contains(word)), "{workload}: {notes:?}");
    }
}

#[tokio::test]
async fn nothing_runs_at_zero_and_a_partition_is_reached() {
    let zero = Stage::new("deployment/zero-moves", json!({"replicas": 0})).await;
    zero.moves(&zero.new, "zero").await;
    let spec = json!({"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}}});
    let part = Stage::new("statefulset/part-moves", spec).await;
    part.moves(&part.new, "part").await;
    assert_eq!(runs("statefulset/part-moves"), [(part.old.clone(), 1), (part.new.clone(), 2)].into());
    let seen = part.seen().await;
    assert_eq!((seen.desired, seen.running.len()), (2, 1), "the pod below the partition is not counted: {seen:?}");
}

#[tokio::test]
async fn a_pod_that_was_changed_by_hand_is_mixed_and_put_right() {
    let stage = Stage::new("deployment/by-hand", json!({})).await;
    post("pod", &json!({"workload": stage.workload, "image": stage.new}));
    let seen = stage.seen().await;
    assert_eq!(seen.running.len(), 2, "{seen:?}");
    stage.moves(&stage.old, "right").await;
    assert_eq!(runs(&stage.workload), [(stage.old.clone(), 3)].into());
}

#[tokio::test]
async fn a_tag_floats_to_what_the_pods_pulled_until_it_is_pinned() {
    let tag = "registry.example.com/shop/web:1.4.2";
    let stage = Stage::new("deployment/floats", json!({"images": {"app": tag}})).await;
    let slot = stage.seen().await.slots.into_values().next().unwrap();
    assert!(matches!(&slot.image, SlotImage::Floating { through, now: Some(_) } if through == tag), "{slot:?}");
    stage.moves(&stage.new, "pins").await;
    let slot = stage.seen().await.slots.into_values().next().unwrap();
    assert!(matches!(&slot.image, SlotImage::Pinned { .. }), "{slot:?}");
}

#[tokio::test]
async fn a_rollout_that_is_given_up_is_paused_and_goes_on_with_the_next_order() {
    let stage = Stage::new("deployment/given-up", json!({})).await;
    let first = stage.deploy(&stage.step(&stage.new).await, "forth").await;
    let id = first.deployment.as_deref().unwrap();
    stage.target().cancel(id).await.unwrap();
    assert!(matches!(stage.target().follow(id).await.unwrap().motion, Motion::Cancelled { .. }));
    let seen = stage.seen().await;
    assert!(seen.obstacles.is_empty() && seen.notes.iter().any(|note| note.contains("paused")), "{seen:?}");
    stage.moves(&stage.old, "back").await;
    assert_eq!(show(&stage.workload)["object"]["spec"]["paused"], Value::Null);
    let set = Stage::new("statefulset/given-up", json!({})).await;
    let first = set.deploy(&set.step(&set.new).await, "forth").await;
    let refused = set.target().cancel(first.deployment.as_deref().unwrap()).await;
    assert!(matches!(refused, Err(TargetError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_workload_that_is_not_there_is_gone_and_silence_is_not() {
    for cluster in clusters("a workload that is gone").await {
        let stage = Stage::on(cluster, "deployment/gone", json!({}), |_| {}).await;
        stage.cluster.delete(&stage.workload).await;
        let answer = stage.target().observe().await;
        assert!(matches!(answer, Err(TargetError::Gone { .. })), "{answer:?}");
        stage.cluster.leave().await;
    }
    let silent = Stage::new("deployment/silent", json!({})).await;
    post("fault", &json!({"drop": true, "path": "/deployments/silent", "times": 9}));
    let answer = silent.target().observe().await.unwrap_err();
    assert!(answer.is_silence() && !matches!(answer, TargetError::Gone { .. }), "{answer}");
}

#[tokio::test]
async fn a_server_that_asks_for_patience_gets_it() {
    let stage = Stage::new("deployment/patience", json!({})).await;
    for status in [429, 503] {
        post("fault", &json!({"status": status, "path": "/deployments/patience", "times": 2}));
        assert_eq!(stage.seen().await.desired, 3);
    }
    assert_eq!(calls("GET", "/deployments/patience").len(), 6, "twice refused and once answered, each");
}

/// An HTTP proxy that knows nothing but CONNECT, and how often it was asked.
fn proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = BufReader::new(client.try_clone().unwrap());
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                head.read_line(&mut request).unwrap();
            }
            let server = TcpStream::connect(request.split(' ').nth(1).unwrap()).unwrap();
            count.fetch_add(usize::from(request.starts_with("CONNECT ")), Ordering::SeqCst);
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let pairs = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
            for (mut from, mut to) in pairs {
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        }
    });
    (address, asked)
}

#[tokio::test]
async fn the_environments_proxy_is_used_and_no_proxy_spares_the_cluster() {
    Cluster::Lab.create("deployment/proxied", &image("proxied", 1), json!({})).await;
    let target = "\n[[channels.proxied.prod.targets]]\nid = \"proxied\"\nkind = \"kubernetes\"\nworkload = \"deployment/proxied\"\n";
    let desk = Desk::new("proxied/prod", &[], target);
    let (address, asked) = proxy();
    let status = |spared: &str| {
        let mut command = desk.command(&["status"]);
        ran(command.env("HTTPS_PROXY", &address).env("NO_PROXY", spared))
    };
    let through = status("");
    assert!(through.exit == 0 && through.out.contains("3 × web@"), "{through:?}");
    let times = asked.load(Ordering::SeqCst);
    assert!(times > 0, "the proxy was asked");
    let spared = status("127.0.0.1");
    assert!(spared.exit == 0 && spared.out.contains("3 × web@"), "{spared:?}");
    assert_eq!(asked.load(Ordering::SeqCst), times, "the proxy was not asked again");
}

#[tokio::test]
async fn a_refusal_names_the_rule_that_would_allow_it() {
    let stage = Stage::on(Cluster::Lab, "deployment/stranger", json!({}), |own| {
        own.cluster.context = Some("stranger".into());
    })
    .await;
    let answer = stage.target().observe().await.unwrap_err();
    assert!(
        matches!(&answer, TargetError::Kubernetes(error) if matches!(**error, KubeError::Unauthorized { .. })),
        "{answer}"
    );
    let broken = Stage::on(Cluster::Lab, "deployment/broken", json!({}), |own| {
        own.cluster.context = Some("broken".into());
    })
    .await;
    let TargetError::Kubernetes(error) = broken.target().observe().await.unwrap_err() else { panic!("another error") };
    let cause = std::error::Error::source(&*error).unwrap().to_string();
    assert!(cause.ends_with("failed: session expired") && !cause.contains("secret-token"), "{cause}");
    let wrong =
        Stage::on(Cluster::Lab, "deployment/wrong", json!({}), |own| own.cluster.context = Some("prod".into())).await;
    let TargetError::Kubernetes(error) = wrong.target().observe().await.unwrap_err() else { panic!("another error") };
    assert!(matches!(*error, KubeError::Config { .. }) && error.hint().contains("get-contexts"), "{error}");
}

#[tokio::test]
async fn an_exec_plugin_brings_the_credentials() {
    let stage =
        Stage::on(Cluster::Lab, "deployment/exec", json!({}), |own| own.cluster.context = Some("exec".into())).await;
    assert_eq!(stage.seen().await.desired, 3);
}

#[tokio::test]
async fn many_workloads_are_observed_in_few_calls() {
    let namespace = "many";
    let cluster = Cluster::Lab;
    let mut specs = Vec::new();
    let more = json!({"namespace": namespace, "replicas": 1, "count": 620});
    cluster.create("deployment/many", &image("many", 1), more).await;
    for number in 0..620 {
        let workload = format!("deployment/many-{number}");
        let mut settings = cluster.settings(&workload);
        settings.namespace = Some(namespace.to_owned());
        specs.push(KubernetesSpec { id: workload.parse().unwrap(), settings: settings.into() });
    }
    let ids: BTreeSet<TargetId> = specs.iter().map(|spec| spec.id.clone()).collect();
    let fleet = KubernetesFleet::new(specs);
    let seen = fleet.survey(&ids, Depth::Running).await;
    assert!(seen.values().all(|answer| answer.as_ref().is_ok_and(|seen| seen.running.values().sum::<u32>() == 1)));
    // 620 Deployments in pages of 500, and the namespace's 620 pods.
    assert_eq!(calls("GET", "/namespaces/many/").len(), 4);
    let seen = fleet.survey(&ids, Depth::Deploying).await;
    assert!(seen.values().all(|answer| answer.as_ref().is_ok_and(|seen| seen.running.values().sum::<u32>() == 1)));
    assert_eq!(calls("GET", "/namespaces/many/").len(), 8);
}

#[tokio::test]
async fn a_pod_that_was_given_another_image_is_seen() {
    let stage = Stage::new("deployment/strange", json!({})).await;
    let running = |seen: Observed| -> BTreeSet<String> { seen.running.keys().map(ToString::to_string).collect() };
    assert_eq!(running(stage.seen().await), [stage.old.clone()].into());
    // The template and the status stay as they are: the controller counts the pod as one of its own.
    post("pod", &json!({"workload": "deployment/strange", "image": stage.new}));
    assert_eq!(running(stage.seen().await), [stage.old.clone(), stage.new.clone()].into());
}

#[tokio::test]
async fn a_rehearsal_begins_with_what_the_plan_has_just_read() {
    let stage = Stage::new("deployment/rehearsed", json!({})).await;
    let object = imgctl::model::Image::new("web@2".parse().unwrap(), Vec::new(), Provenance::default());
    // A status that is written meanwhile costs a rehearsal one of each more.
    let reads_ahead = || {
        let count = |method| i64::try_from(calls(method, "/deployments/rehearsed").len()).unwrap();
        count("GET") - count("PATCH")
    };
    let step = stage.step(&stage.new).await;
    assert_eq!(reads_ahead(), 1);
    assert!(stage.target().check(&object, &step).await.unwrap().obstacles.is_empty());
    assert_eq!(reads_ahead(), 0, "one rehearsal, and no question more");
    assert!(stage.target().check(&object, &step).await.unwrap().obstacles.is_empty());
    assert_eq!(reads_ahead(), 0, "what was read serves once: the next rehearsal looks for itself");
    let step = stage.step(&stage.new).await;
    stage.cluster.edit(&stage.workload, json!({"metadata": {"labels": {"touched": "yes"}}})).await;
    post("fault", &json!({"forbidden": true, "method": "PATCH", "path": "/deployments/rehearsed", "after": 1}));
    let obstacles = stage.target().check(&object, &step).await.unwrap().obstacles;
    assert_eq!(obstacles.len(), 1, "written to since, it is read again and rehearsed for good: {obstacles:?}");
    assert_eq!(reads_ahead(), 0);
}
