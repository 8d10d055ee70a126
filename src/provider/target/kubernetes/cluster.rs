//! One cluster: a client made once and shared, with timeouts and bounded retries, and the few calls that imgctl makes.

use super::super::kubernetes_settings::{ClusterName, WorkloadKind};
use super::failure::KubeError;
use super::proxy;
use super::workload::Workload;
use backon::{ExponentialBuilder, Retryable};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, GetParams, ListParams, Patch, PatchParams, Preconditions};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Request;
use kube::{Client, Config};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// Who writes, as `metadata.managedFields` shows it.
pub(super) const FIELD_MANAGER: &str = "imgctl";
/// As many objects as the API server's own clients ask for in one page.
const PAGE: u32 = 500;
/// A list that expired between two pages is begun again so often.
const LISTS: usize = 3;
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// Waited so long before the first repetition, and twice as long before each further one.
const BACKOFF: Duration = Duration::from_millis(250);
const RETRIES: usize = 4;
/// kube waits for ever unless it is told otherwise.
const ANSWER: Duration = Duration::from_secs(30);

/// One call: what it does to which resource, for errors and for the RBAC rule that allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub(super) cluster: String,
    /// As RBAC names it: `get`, `list`, `patch`, `delete`.
    pub(super) verb: &'static str,
    pub(super) group: &'static str,
    /// As RBAC names it: `deployments`, `pods`.
    pub(super) resource: &'static str,
    pub(super) namespace: String,
    pub(super) name: Option<String>,
}

impl Call {
    /// The rule that allows this call and nothing else, as a Role writes it.
    pub(super) fn rule(&self) -> String {
        let (group, resource, verb) = (self.group, self.resource, self.verb);
        format!("{{apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [\"{verb}\"]}}")
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, resource, namespace, cluster, .. } = self;
        match &self.name {
            Some(name) => write!(f, "{verb} {resource}/{name} in namespace {namespace} of {cluster}"),
            None => write!(f, "{verb} {resource} in namespace {namespace} of {cluster}"),
        }
    }
}

/// Group, resource and address of what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resource {
    Workload(WorkloadKind),
    Pod,
    ReplicaSet,
    ControllerRevision,
}

impl Resource {
    fn group(self) -> &'static str {
        match self {
            Self::Workload(WorkloadKind::CronJob) => "batch",
            Self::Pod => "",
            Self::Workload(_) | Self::ReplicaSet | Self::ControllerRevision => "apps",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Workload(WorkloadKind::Deployment) => "deployments",
            Self::Workload(WorkloadKind::StatefulSet) => "statefulsets",
            Self::Workload(WorkloadKind::DaemonSet) => "daemonsets",
            Self::Workload(WorkloadKind::CronJob) => "cronjobs",
            Self::Pod => "pods",
            Self::ReplicaSet => "replicasets",
            Self::ControllerRevision => "controllerrevisions",
        }
    }

    fn address(self, namespace: &str) -> String {
        let plural = self.plural();
        match self.group() {
            "" => format!("/api/v1/namespaces/{namespace}/{plural}"),
            group => format!("/apis/{group}/v1/namespaces/{namespace}/{plural}"),
        }
    }
}

/// A page of a list, its items as the server wrote them: what is not known here must survive being written back.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    items: Vec<Value>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

/// A cluster as the config names it. Nothing is read or sent before the first call.
pub(super) struct Cluster {
    name: ClusterName,
    made: OnceCell<Connected>,
    /// What a plan has just read: its rehearsals begin with it, and not with 500 questions more.
    read: Mutex<BTreeMap<String, Workload>>,
}

struct Connected {
    client: Client,
    namespace: String,
}

impl Cluster {
    pub(super) fn new(name: ClusterName) -> Self {
        Self { name, made: OnceCell::new(), read: Mutex::default() }
    }

    pub(super) fn name(&self) -> String {
        self.name.to_string()
    }

    /// Equal for targets that share a client.
    pub(super) fn key(&self) -> String {
        format!("{:?}", self.name)
    }

    /// Leaves an object for whoever takes it next.
    pub(super) fn leave(&self, workload: &Workload) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(workload.label(), workload.clone());
    }

    /// An object that was left, once. It may be old by now: its resourceVersion tells.
    pub(super) fn take(&self, label: &str) -> Option<Workload> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).remove(label)
    }

    /// The namespace to use where none is configured: the context's own.
    pub(super) async fn namespace(&self) -> Result<String, KubeError> {
        Ok(self.connected().await?.namespace.clone())
    }

    /// The same, where it was asked for before.
    pub(super) fn known_namespace(&self) -> Option<String> {
        self.made.get().map(|made| made.namespace.clone())
    }

    async fn connected(&self) -> Result<&Connected, KubeError> {
        self.made.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Connected, KubeError> {
        let cluster = self.name();
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(ANSWER);
        config.reset_reader_on_write = true;
        // kube's own would go on for minutes: fifteen times, up to a quarter of an hour apart.
        config.default_retry = false;
        let namespace = config.default_namespace.clone();
        let client = proxy::client(config).map_err(|error| KubeError::of_client(&cluster, &error))?;
        Ok(Connected { client, namespace })
    }

    async fn config(&self) -> Result<Config, KubeError> {
        let cluster = self.name();
        let options = KubeConfigOptions { context: self.name.context.clone(), cluster: None, user: None };
        let read = match &self.name {
            ClusterName { kubeconfig: Some(file), .. } => match Kubeconfig::read_from(file) {
                Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
                Err(error) => Err(error),
            },
            ClusterName { context: Some(_), .. } => Config::from_kubeconfig(&options).await,
            ClusterName { context: None, kubeconfig: None } => {
                return Config::infer().await.map_err(|error| KubeError::of_config(&cluster, &error));
            }
        };
        read.map_err(|error| KubeError::of_config(&cluster, &error))
    }

    fn call(&self, verb: &'static str, resource: Resource, namespace: &str, name: Option<&str>) -> Call {
        Call {
            cluster: self.name(),
            verb,
            group: resource.group(),
            resource: resource.plural(),
            namespace: namespace.to_owned(),
            name: name.map(str::to_owned),
        }
    }

    /// Sends one request; where the server asks for patience (429, 503, 504), again a few times.
    async fn send<T: serde::de::DeserializeOwned>(
        &self,
        call: Call,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, KubeError> {
        let request = request.map_err(|error| KubeError::of_call(call.clone(), kube::Error::BuildRequest(error)))?;
        let client = &self.connected().await?.client;
        let tries = ExponentialBuilder::default().with_min_delay(BACKOFF).with_max_times(RETRIES).with_jitter();
        let once = async || match tokio::time::timeout(ANSWER, client.request::<T>(request.clone())).await {
            Ok(answer) => answer.map_err(|error| KubeError::of_call(call.clone(), error)),
            Err(_) => Err(KubeError::Timeout { call: call.clone() }),
        };
        once.retry(tries).when(KubeError::is_busy).await
    }

    pub(super) async fn get(&self, resource: Resource, namespace: &str, name: &str) -> Result<Value, KubeError> {
        let request = Request::new(resource.address(namespace)).get(name, &GetParams::default());
        self.send(self.call("get", resource, namespace, Some(name)), request).await
    }

    /// Everything there is of a kind in a namespace, 500 a page; `labels` as a label selector.
    pub(super) async fn list(
        &self,
        resource: Resource,
        namespace: &str,
        labels: Option<&str>,
    ) -> Result<Vec<Value>, KubeError> {
        let mut tries = 1;
        loop {
            match self.pages(resource, namespace, labels).await {
                // The rest of an expired list would not fit its beginning: begun again, it is one moment's truth.
                Err(KubeError::Expired { .. }) if tries < LISTS => tries += 1,
                answer => return answer,
            }
        }
    }

    async fn pages(&self, resource: Resource, namespace: &str, labels: Option<&str>) -> Result<Vec<Value>, KubeError> {
        let mut items = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = labels.map(str::to_owned);
        loop {
            let request = Request::new(resource.address(namespace)).list(&params);
            let page: Page = self.send(self.call("list", resource, namespace, None), request).await?;
            items.extend(page.items);
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(next) => params.continue_token = Some(next),
                None => return Ok(items),
            }
        }
    }

    /// The pods of a namespace, of one label selector where one is given.
    pub(super) async fn pods(&self, namespace: &str, labels: Option<&str>) -> Result<Vec<Pod>, KubeError> {
        let items = self.list(Resource::Pod, namespace, labels).await?;
        let call = || self.call("list", Resource::Pod, namespace, None);
        let pods: Result<Vec<Pod>, _> = items.into_iter().map(serde_json::from_value).collect();
        pods.map_err(|error| KubeError::of_call(call(), kube::Error::SerdeError(error)))
    }

    /// Sends a JSON patch (RFC 6902). kube has a type for it behind a feature that brings two crates along; its own
    /// request differs from what is needed only in the content type.
    pub(super) async fn patch(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        operations: &[Value],
        dry_run: bool,
    ) -> Result<Value, KubeError> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run, ..PatchParams::default() };
        let mut request = Request::new(resource.address(namespace)).patch(name, &params, &Patch::Merge(operations));
        if let Ok(request) = &mut request {
            let json_patch = http::HeaderValue::from_static("application/json-patch+json");
            request.headers_mut().insert(http::header::CONTENT_TYPE, json_patch);
        }
        self.send(self.call("patch", resource, namespace, Some(name)), request).await
    }

    /// Deletes this very pod: one of the same name that took its place is left alone.
    pub(super) async fn delete_pod(&self, namespace: &str, name: &str, uid: &str) -> Result<(), KubeError> {
        let own = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams::default().preconditions(own);
        let request = Request::new(Resource::Pod.address(namespace)).delete(name, &params);
        let _: Value = self.send(self.call("delete", Resource::Pod, namespace, Some(name)), request).await?;
        Ok(())
    }
}
