//! Every way a call to a Kubernetes API server can fail, in the words of the person who has to do something about it.

use super::cluster::Call;
use kube::client::AuthError;
use std::error::Error;

/// The innermost cause, without the layers of the client around it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

/// Why a call to a cluster failed. Messages carry no secret: what an exec plugin printed to its standard output is
/// left out, for it is where a token would be.
#[derive(Debug, thiserror::Error)]
pub enum KubeError {
    #[error("{cluster} of Kubernetes could not be read")]
    Config {
        cluster: String,
        #[source]
        source: Cause,
    },
    #[error("{cluster} of Kubernetes has a proxy that imgctl cannot speak to: {proxy}")]
    Proxy { cluster: String, proxy: String },
    #[error("the credentials for {cluster} of Kubernetes could not be had")]
    Credentials {
        cluster: String,
        #[source]
        source: Cause,
    },
    #[error("the API server does not accept these credentials ({call})")]
    Unauthorized { call: Call },
    #[error("{call} was denied: {message}")]
    Forbidden { call: Call, message: String },
    /// A webhook or a policy of the cluster said no.
    #[error("{call} was refused by an admission rule of the cluster: {message}")]
    Admission { call: Call, message: String },
    #[error("{call}: there is no such thing")]
    NotFound { call: Call },
    #[error("{call}: it was changed meanwhile")]
    Conflict { call: Call },
    #[error("{call} was not accepted: {message}")]
    Invalid { call: Call, message: String },
    #[error("{call} was throttled, and still after several retries")]
    Throttled { call: Call },
    /// A page of a list came too late to fit the ones before it.
    #[error("{call}: the list took longer than the cluster keeps it")]
    Expired { call: Call },
    #[error("the API server could not be reached ({call})")]
    Unreachable {
        call: Call,
        #[source]
        source: Cause,
    },
    #[error("{call} was not answered in time")]
    Timeout { call: Call },
    #[error("{call} failed: {message}{}", code.map(|code| format!(" ({code})")).unwrap_or_default())]
    Other { call: Call, code: Option<u16>, message: String },
}

impl KubeError {
    /// Whether this says nothing about the object: what was asked for may or may not have been done.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Throttled { .. }
            | Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Expired { .. }
            | Self::Unauthorized { .. }
            | Self::Credentials { .. } => true,
            Self::Other { code, .. } => code.is_none_or(|code| code >= 500),
            Self::Config { .. }
            | Self::Proxy { .. }
            | Self::Forbidden { .. }
            | Self::Admission { .. }
            | Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::Invalid { .. } => false,
        }
    }

    /// The server asks for patience. A write that was done all the same is known again by its token.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Other { code: Some(503 | 504), .. })
    }

    /// What to do next, as a person would type it.
    pub fn hint(&self) -> String {
        match self {
            Self::Config { .. } => {
                "check `kubeconfig` and `context` in the config, or KUBECONFIG: kubectl config get-contexts"
            }
            Self::Proxy { .. } => "use an http:// proxy, or name the cluster in NO_PROXY",
            Self::Credentials { .. } => "get new ones, or mend the exec plugin: kubectl auth whoami",
            Self::Unauthorized { .. } => "log in again; who the cluster takes you for: kubectl auth whoami",
            Self::Forbidden { call, .. } => {
                return format!("add to a Role in namespace {}: {}", call.namespace, call.rule());
            }
            Self::Admission { .. } => "what the rule asks for is its owner's to say; nothing was changed",
            Self::NotFound { .. } => "check `workload`, `namespace` and `context` in the config",
            Self::Conflict { .. } => "run the same command again",
            Self::Invalid { .. } => "run the same command again with -vv to see the calls",
            Self::Throttled { .. } | Self::Expired { .. } => "wait a minute, then run the same command again",
            Self::Unreachable { .. } | Self::Timeout { .. } => {
                "check the network, HTTPS_PROXY, and the cluster: kubectl cluster-info"
            }
            Self::Other { .. } => "run the same command again with -vv to see the calls",
        }
        .to_owned()
    }

    /// Reads an error of the client.
    pub(super) fn of_call(call: Call, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => by_status(call, &status),
            kube::Error::Auth(error) => Self::Credentials { cluster: call.cluster, source: credentials(&error) },
            error => by_transport(call, &error),
        }
    }

    /// Reads an error of making the client.
    pub(super) fn of_client(cluster: &str, error: &kube::Error) -> Self {
        let cluster = cluster.to_owned();
        match error {
            kube::Error::Auth(error) => Self::Credentials { cluster, source: credentials(error) },
            kube::Error::ProxyProtocolUnsupported { proxy_url }
            | kube::Error::ProxyProtocolDisabled { proxy_url, .. } => {
                // A proxy's address may hold a password before its host.
                let proxy = proxy_url.host().unwrap_or_default().to_owned();
                Self::Proxy { cluster, proxy }
            }
            error => Self::Config { cluster, source: innermost(error) },
        }
    }

    pub(super) fn of_config(cluster: &str, error: &(dyn Error + 'static)) -> Self {
        Self::Config { cluster: cluster.to_owned(), source: innermost(error) }
    }
}

/// What the server says. Only RBAC and well-behaved webhooks say 403: others deny with 400 and 422.
fn by_status(call: Call, status: &kube::core::Status) -> KubeError {
    let message = status.message.clone();
    let is_admission = message.contains("admission webhook") || message.contains("AdmissionPolicy");
    match status.code {
        401 => KubeError::Unauthorized { call },
        _ if is_admission => KubeError::Admission { call, message },
        // A webhook that must answer and does not: the write was not made.
        500 if message.contains("failed calling webhook") => KubeError::Admission { call, message },
        403 => KubeError::Forbidden { call, message },
        404 => KubeError::NotFound { call },
        409 => KubeError::Conflict { call },
        410 => KubeError::Expired { call },
        429 => KubeError::Throttled { call },
        400 | 422 => KubeError::Invalid { call, message },
        code => KubeError::Other { call, code: Some(code), message },
    }
}

fn by_transport(call: Call, error: &kube::Error) -> KubeError {
    let mut layer: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = layer {
        if let Some(error) = cause.downcast_ref::<AuthError>() {
            return KubeError::Credentials { cluster: call.cluster, source: credentials(error) };
        }
        let timed_out = cause.downcast_ref::<std::io::Error>();
        if timed_out.is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut) {
            return KubeError::Timeout { call };
        }
        layer = cause.source();
    }
    match error {
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => KubeError::Other {
            call,
            code: None,
            message: format!("its answer could not be read: {}", innermost(error)),
        },
        error => KubeError::Unreachable { call, source: innermost(error) },
    }
}

/// Why there are no credentials. Of a plugin that failed only its last complaint is told.
fn credentials(error: &AuthError) -> Cause {
    match error {
        AuthError::AuthExecRun { cmd, out } => {
            let complaints = String::from_utf8_lossy(&out.stderr);
            let last = complaints.lines().rev().map(str::trim).find(|line| !line.is_empty());
            let last: String = last.unwrap_or("it says nothing").chars().take(200).collect();
            Cause(format!("`{}` failed: {last}", cmd.split_whitespace().next().unwrap_or(cmd)))
        }
        AuthError::AuthExecParse(_) => Cause("the exec plugin's answer is not an ExecCredential".to_owned()),
        error => innermost(error),
    }
}

fn innermost(error: &(dyn Error + 'static)) -> Cause {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    Cause(innermost.to_string())
}
