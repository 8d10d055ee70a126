//! A cluster for tests: the lab's API server, or a real one with a namespace of its own.

use super::lab::{lab, request};
use super::skipped::skipped;
use imgctl::provider::target::kubernetes_settings::{ClusterName, KubernetesSettings};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A kubeconfig of a cluster where tests may make a namespace.
const REAL: &str = "IMGCTL_TEST_KUBECONFIG";
/// Two images that a real cluster can run, by digest; the default is the pause container's.
const REAL_IMAGES: &str = "IMGCTL_TEST_KUBERNETES_IMAGES";
const PAUSE: [&str; 2] = [
    "registry.k8s.io/pause@sha256:7031c1b283388d2c2e09b57badb803c05ebed362dc88d84b480cc47f72a21097",
    "registry.k8s.io/pause@sha256:ee6521f290b2168b6e0935a181d4cff9be1ac3f505666ef0e3c98fae8199917a",
];

/// Where a test runs, and what it runs there.
pub enum Cluster {
    Lab,
    Real { client: Client, namespace: String, images: [String; 2] },
}

/// The lab's, and a real one where there is one; else that is said.
pub async fn clusters(test: &str) -> Vec<Cluster> {
    let mut all = vec![Cluster::Lab];
    match std::env::var_os(REAL) {
        Some(file) => all.push(Cluster::real(PathBuf::from(file)).await),
        None => skipped(&format!("{test} over a real API server"), &format!("{REAL} names no kubeconfig")),
    }
    all
}

/// A digest that only this test knows: the lab gives images their behaviour by it.
pub fn image(test: &str, version: u32) -> String {
    let digits: String = test.bytes().map(|byte| format!("{byte:02x}")).collect();
    let digest: String = format!("{version}{digits}").chars().chain(std::iter::repeat('0')).take(64).collect();
    format!("registry.example.com/shop/web@sha256:{digest}")
}

impl Cluster {
    async fn real(kubeconfig: PathBuf) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let options = KubeConfigOptions::default();
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let client = Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap()).unwrap();
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let namespace = format!("imgctl-test-{}-{number}", std::process::id());
        let object = json!({"metadata": {"name": namespace}});
        let all: Api<Namespace> = Api::all(client.clone());
        all.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        let named = std::env::var(REAL_IMAGES).ok();
        let named: Vec<String> = named.iter().flat_map(|images| images.split_whitespace()).map(str::to_owned).collect();
        let images = <[String; 2]>::try_from(named).unwrap_or_else(|_| PAUSE.map(str::to_owned));
        Self::Real { client, namespace, images }
    }

    pub fn namespace(&self) -> &str {
        match self {
            Self::Lab => "shop",
            Self::Real { namespace, .. } => namespace,
        }
    }

    /// The old and the new image of a test.
    pub fn images(&self, test: &str) -> [String; 2] {
        match self {
            Self::Lab => [image(test, 1), image(test, 2)],
            Self::Real { images, .. } => images.clone(),
        }
    }

    /// Settings that reach this cluster, and ask often.
    pub fn settings(&self, workload: &str) -> KubernetesSettings {
        let mut settings = KubernetesSettings::new(workload.parse().unwrap());
        let kubeconfig = match self {
            Self::Lab => lab().env["KUBECONFIG"].clone(),
            Self::Real { .. } => std::env::var(REAL).unwrap(),
        };
        settings.cluster = ClusterName { kubeconfig: Some(kubeconfig.into()), context: None };
        settings.namespace = Some(self.namespace().to_owned());
        settings.containers = vec!["app".parse().unwrap()];
        settings.poll_interval = Duration::from_millis(20);
        settings
    }

    /// A workload whose container `app` runs this image, complete.
    pub async fn create(&self, workload: &str, image: &str, more: Value) {
        match self {
            Self::Lab => {
                let mut body = json!({"workload": workload, "images": {"app": image}});
                body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
                post("workload", &body);
            }
            Self::Real { .. } => self.create_real(workload, image).await,
        }
    }

    async fn create_real(&self, workload: &str, image: &str) {
        let (api, kind) = self.api(workload);
        let name = workload.split_once('/').unwrap().1;
        let labels = json!({"app": name});
        let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}});
        let mut spec = json!({"selector": {"matchLabels": labels}, "template": pod});
        if kind == "StatefulSet" {
            spec["serviceName"] = json!(name);
        }
        if kind == "CronJob" {
            let mut template = pod;
            template["spec"]["restartPolicy"] = json!("OnFailure");
            spec = json!({"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template}}});
        }
        let group = if kind == "CronJob" { "batch/v1" } else { "apps/v1" };
        let object = json!({"apiVersion": group, "kind": kind, "metadata": {"name": name}, "spec": spec});
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        for _ in 0..600 {
            let seen = api.get(name).await.unwrap().data;
            let number = |field: &str| seen["status"][field].as_u64().unwrap_or(0);
            if kind == "CronJob" || number("readyReplicas") + number("numberReady") > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{workload} does not get ready");
    }

    fn api(&self, workload: &str) -> (Api<DynamicObject>, &'static str) {
        let Self::Real { client, namespace, .. } = self else { panic!("the lab is asked by its own words") };
        let (group, kind) = match workload.split_once('/').unwrap().0 {
            "deployment" => ("apps", "Deployment"),
            "statefulset" => ("apps", "StatefulSet"),
            "daemonset" => ("apps", "DaemonSet"),
            _ => ("batch", "CronJob"),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        (Api::namespaced_with(client.clone(), namespace, &resource), kind)
    }

    /// A change by somebody else, as a merge patch.
    pub async fn edit(&self, workload: &str, patch: Value) {
        match self {
            Self::Lab => drop(post("edit", &json!({"workload": workload, "patch": patch}))),
            Self::Real { .. } => {
                let name = workload.split_once('/').unwrap().1;
                let params = PatchParams::default();
                self.api(workload).0.patch(name, &params, &Patch::Merge(patch)).await.unwrap();
            }
        }
    }

    /// The object as the server has it.
    pub async fn object(&self, workload: &str) -> Value {
        match self {
            Self::Lab => show(workload)["object"].clone(),
            Self::Real { .. } => {
                let name = workload.split_once('/').unwrap().1;
                serde_json::to_value(self.api(workload).0.get(name).await.unwrap()).unwrap()
            }
        }
    }

    pub async fn delete(&self, workload: &str) {
        match self {
            Self::Lab => drop(post("delete", &json!({"workload": workload}))),
            Self::Real { .. } => {
                let name = workload.split_once('/').unwrap().1;
                self.api(workload).0.delete(name, &DeleteParams::foreground()).await.unwrap();
                for _ in 0..600 {
                    if self.api(workload).0.get_opt(name).await.unwrap().is_none() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    /// Takes away the old templates that the cluster keeps.
    pub async fn forget_history(&self, workload: &str) {
        match self {
            Self::Lab => drop(post("drop-history", &json!({"workload": workload}))),
            Self::Real { client, namespace, .. } => {
                let sets = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "ReplicaSet"));
                let sets: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &sets);
                for set in sets.list(&ListParams::default()).await.unwrap() {
                    if set.data["spec"]["replicas"] == 0 {
                        sets.delete(set.metadata.name.as_deref().unwrap(), &DeleteParams::default()).await.unwrap();
                    }
                }
            }
        }
    }

    /// Removes what the test made; what the lab holds goes with it.
    pub async fn leave(self) {
        if let Self::Real { client, namespace, .. } = self {
            Api::<Namespace>::all(client).delete(&namespace, &DeleteParams::default()).await.unwrap();
        }
    }
}

fn address() -> &'static str {
    &lab().env["IMGCTL_LAB_KUBERNETES"]
}

/// Asks the lab's cluster; fails the test when it refuses.
pub fn post(path: &str, body: &Value) -> Value {
    request(address(), "POST", &format!("/_lab/{path}"), Some(body))
}

pub fn get(path: &str) -> Value {
    request(address(), "GET", &format!("/_lab/{path}"), None)
}

pub fn show(workload: &str) -> Value {
    get(&format!("workload?workload={workload}"))
}

/// What the ready pods of a workload of the lab run.
pub fn runs(workload: &str) -> BTreeMap<String, u64> {
    serde_json::from_value(show(workload)["runs"].clone()).unwrap()
}

/// The requests of a method about an object, since the first of them.
pub fn calls(method: &str, about: &str) -> Vec<Value> {
    let all = get("calls?since=0")["calls"].as_array().unwrap().clone();
    all.into_iter().filter(|call| call["method"] == method && call["path"].as_str().unwrap().contains(about)).collect()
}
