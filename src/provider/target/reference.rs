//! An image reference as a pod template or a task definition writes it, completed as container runtimes complete it.

use crate::model::{Digest, ImageRef, Repository};

/// `HOST/PATH[:TAG][@DIGEST]`, host and default namespace filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub repository: Repository,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

impl Reference {
    /// Reads what was written, as containerd and Docker do: `nginx` is `docker.io/library/nginx`. `None`: no runtime
    /// could read it (the Kubernetes API server takes any string).
    pub fn read(text: &str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse().ok()?)),
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((before, tag)) if !tag.contains('/') => (before, Some(tag)),
            _ => (name, None),
        };
        if tag.is_some_and(|tag| !crate::model::selector::is_tag(tag)) {
            return None;
        }
        Some(Self { repository: with_host(name).parse().ok()?, tag: tag.map(str::to_owned), digest })
    }

    /// The image it is pinned to: where there is a digest, the tag is a remark.
    pub fn pinned(&self) -> Option<ImageRef> {
        let (repository, digest) = (self.repository.clone(), self.digest.clone()?);
        Some(ImageRef::Oci { repository, digest })
    }
}

/// Docker Hub is meant where no host is named: the first word is a host when it has a dot or a port, or is `localhost`
/// (`github.com/distribution/reference`, `splitDockerDomain`).
fn with_host(name: &str) -> String {
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some(("index.docker.io", path)) => with_host(&format!("docker.io/{path}")),
        Some(("docker.io", path)) if !path.contains('/') => format!("docker.io/library/{path}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, Option<String>, bool) {
        let read = Reference::read(text).unwrap();
        (read.repository.to_string(), read.tag, read.digest.is_some())
    }

    #[test]
    fn a_reference_is_completed_as_runtimes_complete_it() {
        let digest = format!("sha256:{}", "5".repeat(64));
        assert_eq!(read("nginx"), ("docker.io/library/nginx".into(), None, false));
        assert_eq!(
            read("prom/statsd-exporter:v1"),
            ("docker.io/prom/statsd-exporter".into(), Some("v1".into()), false)
        );
        assert_eq!(read("docker.io/nginx"), ("docker.io/library/nginx".into(), None, false));
        assert_eq!(read("index.docker.io/team/web"), ("docker.io/team/web".into(), None, false));
        assert_eq!(read("localhost/web:2"), ("localhost/web".into(), Some("2".into()), false));
        let port = format!("registry.example.com:5000/infra/proxy:2.9@{digest}");
        assert_eq!(read(&port), ("registry.example.com:5000/infra/proxy".into(), Some("2.9".into()), true));
        assert_eq!(read("registry.example.com:5000/web"), ("registry.example.com:5000/web".into(), None, false));
    }

    #[test]
    fn what_no_runtime_could_read_is_no_reference() {
        for text in ["", "UPPER CASE bad", " registry.example.com/web:1", "web@sha256:12", "web:", "web:a b"] {
            assert_eq!(Reference::read(text), None, "{text:?}");
        }
    }
}
