//! An entry of `images:` in a kustomization file: Kustomize puts its repository and digest into every workload that names
//! the image.
//!
//! A `newTag` beside a `digest` is left out by older versions and is written before the digest by newer ones, so that a tag
//! that means nothing restarts pods (<https://github.com/kubernetes-sigs/kustomize/issues/5664>): it gives way to the digest.

use super::yaml::{Fault, Step, get, has, remove, rename, set};
use super::{Pointer, PointerError, file};
use crate::provider::section::Section;
use std::path::{Path, PathBuf};

/// One entry of one file, which is there: what else belongs into a kustomization only its owner knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KustomizeSettings {
    pub path: PathBuf,
    /// The same as the config has it: how it is named to people.
    pub written: String,
    /// The image as the workloads have it, without a tag.
    pub name: String,
}

impl KustomizeSettings {
    /// `overlays/prod/kustomization.yaml#web`.
    pub fn object(&self) -> String {
        format!("{}#{}", self.written, self.name)
    }

    /// The same, with the file relative to the config's own folder.
    pub fn relative_to(self, directory: &Path) -> Self {
        Self { path: directory.join(self.path), ..self }
    }
}

pub(super) fn read(section: &Section<'_>) -> Option<KustomizeSettings> {
    let path = section.required_text("path", "the file, as in \"overlays/prod/kustomization.yaml\"");
    let name = section.required_text("name", "the image as the workloads have it, without a tag");
    if let Some(name) = name.as_ref().filter(|name| is_pinned(name.get_ref())) {
        let label = "expected it without a tag and without a digest: Kustomize looks for the name alone";
        section.fault(name.span(), "`name` is not valid", label);
    }
    let (path, name) = (path?.into_inner(), name?.into_inner());
    Some(KustomizeSettings { path: PathBuf::from(&path), written: path, name })
}

fn is_pinned(name: &str) -> bool {
    name.contains('@') || name.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

/// One entry of one file.
pub(super) struct Kustomization(KustomizeSettings);

impl Kustomization {
    pub(super) fn new(settings: KustomizeSettings) -> Self {
        Self(settings)
    }

    fn member(&self, key: &str) -> [Step; 3] {
        [Step::Key("images".to_owned()), Step::Named(self.0.name.clone()), Step::Key(key.to_owned())]
    }

    /// The image as Kustomize would write it; `None`: there is no such entry.
    fn value(&self, text: &str) -> Result<Option<String>, Fault> {
        let read = |key: &str| get(text, &self.member(key));
        if read("name")?.is_none() {
            return Ok(None);
        }
        let mut image = read("newName")?.unwrap_or_else(|| self.0.name.clone());
        for (mark, key) in [(":", "newTag"), ("@", "digest")] {
            image.extend(read(key)?.iter().flat_map(|value| [mark, value]));
        }
        Ok(Some(image))
    }

    /// The file with the entry at this repository and digest.
    fn with(&self, text: &str, repository: &str, digest: &str) -> Result<String, Fault> {
        let member = |key: &str| self.member(key);
        if has(text, &member("tagSuffix"))? {
            let what =
                format!("`images[{}].tagSuffix` is an error of Kustomize beside a digest; take it out", self.0.name);
            return Err(Fault { line: None, what });
        }
        let mut text = text.to_owned();
        if repository != self.0.name || has(&text, &member("newName"))? {
            text = set(&text, &member("newName"), repository)?;
        }
        text = match has(&text, &member("digest"))? {
            true => remove(&text, &member("newTag"))?,
            false => rename(&text, &member("newTag"), "digest")?,
        };
        set(&text, &member("digest"), digest)
    }

    fn refused(&self) -> impl Fn(Fault) -> PointerError + '_ {
        |fault| PointerError::Yaml { path: self.0.path.clone(), line: fault.line, what: fault.what }
    }
}

#[async_trait::async_trait]
impl Pointer for Kustomization {
    fn place(&self) -> String {
        self.0.object()
    }

    async fn read(&self) -> Result<Option<String>, PointerError> {
        file::text(&self.0.path)?.map_or(Ok(None), |text| self.value(&text).map_err(self.refused()))
    }

    async fn write(&self, address: &str) -> Result<(), PointerError> {
        let path = &self.0.path;
        let text = file::text(path)?.ok_or_else(|| PointerError::NoFile { path: path.clone() })?;
        let not_pinned =
            || PointerError::Yaml { path: path.clone(), line: None, what: format!("{address} is no digest") };
        let (repository, digest) = address.split_once('@').ok_or_else(not_pinned)?;
        if self.value(&text).map_err(self.refused())?.as_deref() != Some(address) {
            file::replace(path, &self.with(&text, repository, digest).map_err(self.refused())?)?;
        }
        file::read_back(self, address).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: (&str, &str) = ("registry.example.com/team/web", "sha256:22");

    fn pointer(name: &str) -> Kustomization {
        let path = PathBuf::from("kustomization.yaml");
        Kustomization(KustomizeSettings { written: path.display().to_string(), path, name: name.to_owned() })
    }

    #[track_caller]
    fn becomes(before: &str, after: &str) {
        let web = pointer("web");
        assert_eq!(web.with(before, TO.0, TO.1).unwrap(), after);
        assert_eq!(web.value(after).unwrap(), Some(format!("{}@{}", TO.0, TO.1)));
        assert_eq!(web.with(after, TO.0, TO.1).unwrap(), after);
    }

    #[test]
    fn an_entry_gets_the_repository_and_the_digest() {
        becomes(
            include_str!("../../../fixtures/pointers/kustomization.yaml"),
            include_str!("../../../fixtures/pointers/kustomization.after.yaml"),
        );
        becomes(
            "resources: [a.yaml]\n",
            "resources: [a.yaml]\nimages:\n- name: web\n  newName: registry.example.com/team/web\n  digest: sha256:22\n",
        );
        becomes(
            "images: [{name: web, newTag: '1'}]\n",
            "images: [{name: web, digest: 'sha256:22', newName: registry.example.com/team/web}]\n",
        );
    }

    #[test]
    fn a_tag_gives_way_to_the_digest() {
        let entry = |rest: &str| format!("images:\n- name: web\n  newName: {}\n{rest}", TO.0);
        becomes(&entry("  newTag: v1 # ours\n"), &entry("  digest: sha256:22 # ours\n"));
        becomes(&entry("  newTag: v1\n  digest: sha256:11\n"), &entry("  digest: sha256:22\n"));
        becomes(&entry("  digest: sha256:22\n  newTag: v1\n"), &entry("  digest: sha256:22\n"));
        becomes(
            "images:\n- newTag: v1\n  name: web\n",
            "images:\n- digest: sha256:22\n  name: web\n  newName: registry.example.com/team/web\n",
        );
        let both = pointer("web").value(&entry("  newTag: v1\n  digest: sha256:22\n")).unwrap();
        assert_eq!(both, Some(format!("{}:v1@sha256:22", TO.0)), "a tag beside the digest is not what is wanted");
        let why = pointer("web").with(&entry("  newTag: v1 # why\n  digest: sha256:11\n"), TO.0, TO.1).unwrap_err();
        assert_eq!(why.line, Some(4), "a comment would go with it");
    }

    #[test]
    fn where_the_name_is_the_repository_it_is_not_said_twice() {
        let same = pointer(TO.0).with("images:\n- name: other\n", TO.0, TO.1).unwrap();
        assert_eq!(same, "images:\n- name: other\n- name: registry.example.com/team/web\n  digest: sha256:22\n");
    }

    #[test]
    fn what_kustomize_would_refuse_is_refused() {
        let suffixed = pointer("web").with("images:\n- name: web\n  tagSuffix: -x\n", TO.0, TO.1).unwrap_err();
        assert!(suffixed.what.contains("tagSuffix` is an error of Kustomize"), "{suffixed:?}");
        assert!(
            is_pinned("web:1") && is_pinned("r.example.com:5000/web@sha256:1") && !is_pinned("r.example.com:5000/web")
        );
    }

    #[tokio::test]
    async fn a_kustomization_is_never_made_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kustomization.yaml");
        let web = Kustomization(KustomizeSettings { path: path.clone(), ..pointer("web").0 });
        assert_eq!(web.read().await.unwrap(), None);
        let error = web.write(&format!("{}@{}", TO.0, TO.1)).await.unwrap_err().to_string();
        assert!(error.ends_with("kustomization.yaml is not there") && !path.exists(), "{error}");
        std::fs::write(&path, "images:\n- name: web\n- name: web\n").unwrap();
        let error = web.write(&format!("{}@{}", TO.0, TO.1)).await.unwrap_err().to_string();
        assert!(error.ends_with("kustomization.yaml, line 3: `images[web]` is there twice"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "images:\n- name: web\n- name: web\n");
    }
}
