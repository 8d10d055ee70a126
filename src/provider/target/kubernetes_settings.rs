//! What the config says of a Kubernetes workload: its cluster, its name, its containers, and how long it may take.

use crate::model::{ParseError, SlotName};
use crate::provider::section::Section;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// The word for it in the config.
pub const KIND: &str = "kubernetes";

/// A workload of one cluster, and which of its containers follow the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesSettings {
    pub cluster: ClusterName,
    /// Default: the context's namespace, as for kubectl.
    pub namespace: Option<String>,
    pub workload: WorkloadName,
    /// Containers and init containers of the pod template, by name. Empty: the only one that there is.
    pub containers: Vec<SlotName>,
    /// What to do about an object that a reconciler would put back. Default: say so.
    pub on_reconciler: OnReconciler,
    /// A new pod that cannot start for so long fails the step, well before the Deployment's own progress deadline;
    /// StatefulSets and DaemonSets have none. Default two minutes.
    pub stuck_after: Duration,
    /// How long a rollout may take before imgctl gives up waiting and says so. Default one hour.
    pub time_limit: Duration,
    /// How often a rollout under way is asked how far it is. Default two seconds.
    pub poll_interval: Duration,
}

/// How a cluster is reached: as kubectl does where neither is named (`KUBECONFIG`, `~/.kube/config`, then the pod's
/// own service account).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterName {
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// One of its contexts. Default: its current one.
    pub context: Option<String>,
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.context, &self.kubeconfig) {
            (Some(context), _) => write!(f, "context {context}"),
            (None, Some(file)) => write!(f, "the current context of {}", file.display()),
            (None, None) => f.write_str("the current context"),
        }
    }
}

/// The kinds of workload whose pods imgctl can move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkloadKind {
    Deployment,
    StatefulSet,
    DaemonSet,
    CronJob,
}

impl WorkloadKind {
    /// As kubectl writes it before a name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
            Self::CronJob => "cronjob",
        }
    }

    /// As the API writes it in `kind`.
    pub fn api_word(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::CronJob => "CronJob",
        }
    }
}

/// `deployment/web`: kind and name, as kubectl takes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkloadName {
    pub kind: WorkloadKind,
    pub name: String,
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.name)
    }
}

impl FromStr for WorkloadName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wanted = "a workload (deployment/NAME, statefulset/NAME, daemonset/NAME or cronjob/NAME)";
        let wrong = || ParseError::new(text, wanted);
        let (kind, name) = text.split_once('/').ok_or_else(wrong)?;
        let kind = match kind {
            "deployment" | "deployments" | "deploy" => WorkloadKind::Deployment,
            "statefulset" | "statefulsets" | "sts" => WorkloadKind::StatefulSet,
            "daemonset" | "daemonsets" | "ds" => WorkloadKind::DaemonSet,
            "cronjob" | "cronjobs" | "cj" => WorkloadKind::CronJob,
            _ => return Err(wrong()),
        };
        if is_name(name, 253) { Ok(Self { kind, name: name.to_owned() }) } else { Err(wrong()) }
    }
}

/// An RFC 1123 name: what may stand in an address of the API.
fn is_name(text: &str, longest: usize) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= longest && text.chars().all(inner) && edge(text.chars().next()) && edge(text.chars().last())
}

/// What to do about an object that Argo CD, Flux, Helm or an operator would put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReconciler {
    Warn,
    Block,
}

impl KubernetesSettings {
    /// A workload with everything else at its default.
    pub fn new(workload: WorkloadName) -> Self {
        Self {
            cluster: ClusterName::default(),
            namespace: None,
            workload,
            containers: Vec::new(),
            on_reconciler: OnReconciler::Warn,
            stuck_after: Duration::from_secs(120),
            time_limit: Duration::from_secs(3600),
            poll_interval: Duration::from_secs(2),
        }
    }

    /// The same, with a kubeconfig that is named relative to the config's own folder.
    pub fn relative_to(mut self, directory: &Path) -> Self {
        self.cluster.kubeconfig = self.cluster.kubeconfig.map(|file| directory.join(file));
        self
    }
}

/// From a minute, so that a typing mistake does not give up at once, to a week.
const TIME_LIMIT: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);
const POLL_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);
/// A pull that fails once is tried again within seconds: less than one would be no patience at all.
const STUCK_AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// Reads the keys of a Kubernetes workload.
pub(super) fn read(section: &Section<'_>) -> Option<KubernetesSettings> {
    let cluster = ClusterName {
        kubeconfig: section.text("kubeconfig").map(|file| PathBuf::from(file.into_inner())),
        context: section.text("context").map(toml::Spanned::into_inner),
    };
    let namespace = read_namespace(section);
    let containers = read_containers(section);
    let choices = [("warn", OnReconciler::Warn), ("block", OnReconciler::Block)];
    let on_reconciler = section.choice("on_reconciler", &choices).map(toml::Spanned::into_inner);
    let stuck_after = section.duration("stuck_after", STUCK_AFTER).map(toml::Spanned::into_inner);
    let time_limit = section.duration("time_limit", TIME_LIMIT).map(toml::Spanned::into_inner);
    let poll_interval = section.duration("poll_interval", POLL_INTERVAL).map(toml::Spanned::into_inner);
    let workload = section.required::<WorkloadName>("workload", "kind and name, as in \"deployment/web\"")?;
    let default = KubernetesSettings::new(workload.into_inner());
    Some(KubernetesSettings {
        cluster,
        namespace,
        containers,
        on_reconciler: on_reconciler.unwrap_or(default.on_reconciler),
        stuck_after: stuck_after.unwrap_or(default.stuck_after),
        time_limit: time_limit.unwrap_or(default.time_limit),
        poll_interval: poll_interval.unwrap_or(default.poll_interval),
        ..default
    })
}

fn read_namespace(section: &Section<'_>) -> Option<String> {
    let namespace = section.text("namespace")?;
    if !is_name(namespace.get_ref(), 63) || namespace.get_ref().contains('.') {
        let label = "expected a namespace (lower-case letters, digits and `-`)";
        section.fault(namespace.span(), "`namespace` is not valid", label);
        return None;
    }
    Some(namespace.into_inner())
}

/// `container = "app"`, or `containers = ["app", "migrate"]` where several run the same image.
fn read_containers(section: &Section<'_>) -> Vec<SlotName> {
    let one = section.parsed::<SlotName>("container");
    let several = section.list::<SlotName>("containers");
    if let (Some(_), Some(first)) = (&one, several.first()) {
        section.fault(first.span(), "`container` and `containers` are both given", "name all of them here");
    }
    one.into_iter().chain(several).map(toml::Spanned::into_inner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_named_as_kubectl_names_it() {
        for (text, shown) in
            [("deploy/web", "deployment/web"), ("sts/db", "statefulset/db"), ("cj/a.b-1", "cronjob/a.b-1")]
        {
            assert_eq!(text.parse::<WorkloadName>().unwrap().to_string(), shown);
        }
        for bad in
            ["web", "deployment/", "deployment/Web", "deployment/-a", "pod/web", "deployment/a/b", "deployment/a?b"]
        {
            assert!(bad.parse::<WorkloadName>().is_err(), "{bad}");
        }
    }
}
