//! Values of a Helm chart: one or more texts in a values file, each made of the parts of the image's address.
//!
//! A key is written as `helm --set` has it: dots lead inwards, and `\.` is a dot of the key itself
//! (<https://helm.sh/docs/intro/using_helm/#the-format-and-limitations-of---set>).

use super::yaml::{self, Fault, Step};
use super::{Pointer, PointerError, file};
use crate::provider::section::Section;
use std::path::{Path, PathBuf};

/// What can stand in braces.
const WORDS: [&str; 5] = ["reference", "repository", "digest", "registry", "path"];

/// Texts in one file. A file that is not there is made by the first write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmSettings {
    pub path: PathBuf,
    /// The same as the config has it: how it is named to people.
    pub written: String,
    /// The key as it is written, and what stands there, as in `{repository}`; in the order of the config, at least one.
    pub set: Vec<(String, String)>,
}

impl HelmSettings {
    /// `charts/web/values.yaml#image.repository,image.digest`.
    pub fn object(&self) -> String {
        let keys: Vec<&str> = self.set.iter().map(|(key, _)| key.as_str()).collect();
        format!("{}#{}", self.written, keys.join(","))
    }

    /// The same, with the file relative to the config's own folder.
    pub fn relative_to(self, directory: &Path) -> Self {
        Self { path: directory.join(self.path), ..self }
    }

    /// Whether parts are named that only a container image has.
    pub fn wants_container(&self) -> bool {
        self.set.iter().any(|(_, form)| words(form).any(|word| word != "reference"))
    }
}

pub(super) fn read(section: &Section<'_>) -> Option<HelmSettings> {
    let path = section.required_text("path", "the file, as in \"charts/web/values-prod.yaml\"");
    let set = section.required_texts("set", "what stands where, as in { \"image.digest\" = \"{digest}\" }")?;
    for (key, form) in &set {
        if keys(key.get_ref()).is_none() {
            section.fault(
                key.span(),
                "this is no key of a values file",
                "expected names with dots, as in \"image.digest\"",
            );
        }
        if let Some(wrong) = words(form.get_ref()).find(|word| !WORDS.contains(word)) {
            let title = format!("`{{{wrong}}}` is no part of an image's address");
            section.fault(
                form.span(),
                title,
                format!("expected one of {}", WORDS.map(|word| format!("{{{word}}}")).join(", ")),
            );
        } else if words(form.get_ref()).next().is_none() {
            let label = "expected a part of the image's address, as in \"{digest}\" or \"{repository}\"";
            section.fault(form.span(), "this would never change", label);
        }
    }
    let path = path?.into_inner();
    let set = set.into_iter().map(|(key, form)| (key.into_inner(), form.into_inner())).collect();
    Some(HelmSettings { path: PathBuf::from(&path), written: path, set })
}

/// The keys from the outermost inwards; `None`: one is empty.
fn keys(text: &str) -> Option<Vec<Step>> {
    let mut keys = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '.' => keys.push(String::new()),
            '\\' => keys.last_mut()?.push(chars.next()?),
            c => keys.last_mut()?.push(c),
        }
    }
    keys.into_iter().map(|key| (!key.is_empty()).then_some(Step::Key(key))).collect()
}

/// The words in braces.
fn words(form: &str) -> impl Iterator<Item = &str> {
    form.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(word, _)| word))
}

/// The text for this address: an AMI's id, or `HOST/REPOSITORY@sha256:…`.
fn filled(form: &str, address: &str) -> String {
    let (repository, digest) = address.split_once('@').unwrap_or_default();
    let (registry, path) = repository.split_once('/').unwrap_or_default();
    let parts = [address, repository, digest, registry, path];
    WORDS.iter().zip(parts).fold(form.to_owned(), |text, (word, part)| text.replace(&format!("{{{word}}}"), part))
}

/// Texts in one file.
pub(super) struct Values(HelmSettings);

impl Values {
    pub(super) fn new(settings: HelmSettings) -> Self {
        Self(settings)
    }

    /// What the keys hold, as one text: with their names where there are several.
    fn joined(&self, held: Vec<Option<String>>) -> Option<String> {
        if let [(_, _)] = self.0.set.as_slice() {
            return held.into_iter().next().flatten();
        }
        let any = held.iter().any(Option::is_some);
        let each = self.0.set.iter().zip(held);
        let each = each.map(|((key, _), held)| format!("{key}={}", held.as_deref().unwrap_or("nothing")));
        any.then(|| each.collect::<Vec<_>>().join(", "))
    }

    fn value(&self, text: &str) -> Result<Option<String>, Fault> {
        let held: Result<Vec<_>, Fault> =
            self.0.set.iter().map(|(key, _)| yaml::get(text, &keys(key).unwrap_or_default())).collect();
        Ok(self.joined(held?))
    }

    fn with(&self, text: &str, address: &str) -> Result<String, Fault> {
        self.0.set.iter().try_fold(text.to_owned(), |text, (key, form)| {
            yaml::set(&text, &keys(key).unwrap_or_default(), &filled(form, address))
        })
    }

    fn refused(&self) -> impl Fn(Fault) -> PointerError + '_ {
        |fault| PointerError::Yaml { path: self.0.path.clone(), line: fault.line, what: fault.what }
    }
}

#[async_trait::async_trait]
impl Pointer for Values {
    fn place(&self) -> String {
        self.0.object()
    }

    fn text(&self, address: &str) -> String {
        let filled = self.0.set.iter().map(|(_, form)| Some(filled(form, address))).collect();
        self.joined(filled).unwrap_or_default()
    }

    async fn read(&self) -> Result<Option<String>, PointerError> {
        file::text(&self.0.path)?.map_or(Ok(None), |text| self.value(&text).map_err(self.refused()))
    }

    async fn write(&self, address: &str) -> Result<(), PointerError> {
        let text = file::text(&self.0.path)?.unwrap_or_default();
        let wanted = self.text(address);
        if self.value(&text).map_err(self.refused())?.as_ref() != Some(&wanted) {
            file::replace(&self.0.path, &self.with(&text, address).map_err(self.refused())?)?;
        }
        file::read_back(self, &wanted).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "registry.example.com:5000/team/web@sha256:22";

    fn pointer(path: &Path, set: &[(&str, &str)]) -> Values {
        let set = set.iter().map(|(key, form)| ((*key).to_owned(), (*form).to_owned())).collect();
        Values(HelmSettings { path: path.to_owned(), written: "values.yaml".to_owned(), set })
    }

    #[test]
    fn every_part_of_an_address_has_a_word() {
        for (form, wanted) in [
            ("{reference}", ADDRESS),
            ("{repository}", "registry.example.com:5000/team/web"),
            ("{registry}", "registry.example.com:5000"),
            ("{path}", "team/web"),
            ("{digest}", "sha256:22"),
            ("release@{digest}", "release@sha256:22"),
        ] {
            assert_eq!(filled(form, ADDRESS), wanted);
        }
        assert_eq!(filled("{reference}", "ami-1"), "ami-1");
        assert!(!pointer(Path::new("x"), &[("a", "{reference}")]).0.wants_container());
        assert!(pointer(Path::new("x"), &[("a", "{reference}"), ("b", "{digest}")]).0.wants_container());
    }

    #[test]
    fn keys_are_written_as_helm_has_them() {
        let names = |text: &str| keys(text).map(|keys| yaml::shown(&keys));
        assert_eq!(names("image.digest").as_deref(), Some("image.digest"));
        assert_eq!(keys(r"a\.b.c"), Some(vec![Step::Key("a.b".to_owned()), Step::Key("c".to_owned())]));
        for wrong in ["", "a..b", ".a", "a.", "a\\"] {
            assert_eq!(names(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_values_change_and_the_file_stays() {
        let before = include_str!("../../../fixtures/pointers/values.yaml");
        let after = include_str!("../../../fixtures/pointers/values.after.yaml");
        let set = [
            ("image.repository", "{repository}"),
            ("image.digest", "{digest}"),
            ("sidecars.agent.image", "{reference}"),
        ];
        let values = pointer(Path::new("values.yaml"), &set);
        assert_eq!(values.with(before, ADDRESS).unwrap(), after);
        assert_eq!(values.value(after).unwrap(), Some(values.text(ADDRESS)));
        let shown = values.value(before).unwrap().unwrap();
        assert!(shown.ends_with("image.digest=nothing, sidecars.agent.image=registry.example.com/agent:3"), "{shown}");
    }

    #[tokio::test]
    async fn a_file_of_ones_own_is_made_and_one_that_is_not_understood_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("values-imgctl.yaml");
        let values = pointer(&path, &[("image.repository", "{repository}"), ("image.digest", "{digest}")]);
        assert_eq!(values.read().await.unwrap(), None);
        values.write(ADDRESS).await.unwrap();
        let made = "image:\n  repository: registry.example.com:5000/team/web\n  digest: sha256:22\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), made);
        assert_eq!(values.read().await.unwrap(), Some(values.text(ADDRESS)));
        std::fs::write(&path, "image:\n  repository: old\n  digest: &d x\nother: *d\n").unwrap();
        let error = values.write(ADDRESS).await.unwrap_err().to_string();
        let why = "line 3: `image.digest` has an anchor, and what refers to it would change with it";
        assert!(error.ends_with(why), "{error}");
        let now = std::fs::read_to_string(&path).unwrap();
        assert!(now.contains("repository: old"), "all of the keys, or none: {now}");
    }
}
