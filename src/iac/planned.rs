//! What applying code would do: a Terraform plan or Kubernetes manifests, as one list of images put somewhere.

use super::{Declared, DeclaredImage, IacError, Position, Subject, TemplateRef, manifest, readable, terraform_plan};

/// One image that an apply would put somewhere, or a thing that it would take away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Planned {
    /// As it would be afterwards; where it is deleted, as it was.
    pub declared: Declared,
    pub deed: Deed,
    /// What the resource and its image were before, where there was one.
    pub before: Option<(Subject, DeclaredImage)>,
}

/// What is done to the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Nothing.
    Keep,
    Create,
    Update,
    /// Deleted and created again, in either order.
    Replace,
    Delete,
}

impl Deed {
    /// Whether there is another version of it afterwards.
    fn makes_anew(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Replace)
    }
}

/// Reads a plan printed by `terraform show -json` (or `tofu show -json`), or Kubernetes manifests.
pub fn read_planned(file: &str, bytes: &[u8]) -> Result<Vec<Planned>, PlanError> {
    readable(file, bytes).map_err(|error| match error {
        IacError::PlanFile { file } => PlanError::Saved { file },
        other => PlanError::Unreadable(other),
    })?;
    // A manifest may be JSON, too: `kubectl get -o json`.
    if terraform_plan::detect(bytes) { terraform_plan::parse(file, bytes) } else { manifest::parse(file, bytes) }
}

/// What code declares once all of this is applied.
///
/// Which version of a launch template a group will be at, and which revision of a task definition a service, is known only
/// after the apply; where the same plan makes the new one, its image is known all the same.
pub(super) fn declared(planned: Vec<Planned>) -> Vec<Declared> {
    let renewed: Vec<Subject> =
        planned.iter().filter(|each| each.deed.makes_anew()).map(|each| each.declared.subject.clone()).collect();
    let follows = |each: &Planned, is_it: &dyn Fn(&Subject, &TemplateRef) -> bool| match &each.before {
        Some((_, DeclaredImage::TemplateVersion { template, .. })) => {
            renewed.iter().find(|subject| is_it(subject, template)).map(|_| template.clone())
        }
        _ => None,
    };
    let known = |each: Planned| -> Option<Declared> {
        let is_open = matches!(each.declared.image, DeclaredImage::Unknown { .. });
        match &each.declared.subject {
            _ if each.deed == Deed::Delete => None,
            Subject::AutoScalingGroup { .. } if is_open => {
                let is_it = |subject: &Subject, wanted: &TemplateRef| matches!(subject, Subject::LaunchTemplate { template, .. } if template.is_same(wanted));
                let newest = |template| DeclaredImage::TemplateVersion { template, version: "$Latest".to_owned() };
                let image = follows(&each, &is_it).map_or(each.declared.image, newest);
                Some(Declared { image, ..each.declared })
            }
            // The new revision has no number yet; the family leads to it.
            Subject::Service { .. } if is_open => {
                let is_it = |subject: &Subject, wanted: &TemplateRef| matches!(subject, Subject::TaskDefinition { family, .. } if wanted.id.as_ref() == Some(family));
                follows(&each, &is_it).is_none().then_some(each.declared)
            }
            _ => Some(each.declared),
        }
    };
    planned.into_iter().filter_map(known).collect()
}

/// Why a file does not tell what an apply would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Unreadable(#[from] IacError),
    #[error("`{file}` is a saved plan, which only Terraform can read")]
    Saved { file: String },
    #[error("`{file}` is a state, not a plan ({at})")]
    State { file: String, at: Position },
    #[error("`{file}` is in plan format {version}, newer than 1, which this imgctl reads ({at})")]
    Newer { file: String, version: String, at: Position },
    #[error("`{file}` is the plan of a run that failed: nobody can apply it ({at})")]
    Errored { file: String, at: Position },
    #[error("`{file}` is not laid out as Terraform prints a plan ({at})")]
    Layout { file: String, at: Position },
    #[error("`{file}` is neither a plan printed as JSON nor YAML ({at})")]
    NotYaml { file: String, at: Position },
    #[error("`{file}` is neither a plan printed as JSON nor a Kubernetes manifest")]
    Unrecognised { file: String },
}

impl PlanError {
    /// What to type next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Saved { .. } => "let Terraform print it: terraform show -json tfplan | imgctl guard -",
            Self::Newer { .. } => "upgrade imgctl, or plan with the Terraform that the project is pinned to",
            Self::Errored { .. } => "mend what `terraform plan` complains of, then plan again",
            Self::NotYaml { .. } | Self::Unrecognised { .. } => {
                "give a plan (terraform show -json tfplan) or manifests (kubectl kustomize DIR, helm template CHART)"
            }
            Self::Unreadable(_) | Self::State { .. } | Self::Layout { .. } => {
                "make it anew: terraform plan -out tfplan, then terraform show -json tfplan | imgctl guard -"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Path, PathBuf};

    /// Stands in the fixtures wherever a real file keeps a secret.
    const CANARY: &str = "CANARY";

    fn samples() -> Vec<(PathBuf, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plans");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let is_sample = |path: &PathBuf| path.extension().is_some_and(|end| end == "json" || end == "yaml");
        let mut samples: Vec<PathBuf> = files.filter(is_sample).collect();
        samples.sort();
        samples.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }

    fn name(path: &Path) -> &str {
        path.file_name().unwrap().to_str().unwrap()
    }

    fn said(image: &DeclaredImage) -> String {
        match image {
            DeclaredImage::Text(text) => text.clone(),
            DeclaredImage::TemplateVersion { template, version } => format!("version {version} of {template}"),
            DeclaredImage::Unknown { why } => format!("unknown: {why}"),
        }
    }

    /// Everything that could be printed of what was read.
    fn shown(read: &Result<Vec<Planned>, PlanError>) -> String {
        let line = |each: &Planned| {
            let Planned { declared, deed, before } = each;
            let before = before.as_ref().map_or_else(|| "nothing".to_owned(), |(_, image)| said(image));
            let slot = declared.subject.slot().map(|slot| format!(" {slot}")).unwrap_or_default();
            format!("{deed:?} {}{slot}\n  {before}\n  {}\n", declared.address, said(&declared.image))
        };
        match read {
            Ok(planned) => planned.iter().map(line).collect(),
            Err(error) => format!("error: {error}\nhint: {}\n", error.hint()),
        }
    }

    #[test]
    fn each_plan_would_do_what_stands_beside_it_and_tells_no_secret() {
        let samples = samples();
        assert!(samples.len() > 8);
        for (path, bytes) in samples {
            let read = read_planned(name(&path), &bytes);
            let beside = path.with_extension(if read.is_ok() { "planned.txt" } else { "error.txt" });
            snapbox::assert_data_eq!(shown(&read), snapbox::Data::read_from(&beside, None).raw());
            assert!(!format!("{read:?}").contains(CANARY), "{}: {read:?}", name(&path));
        }
    }

    #[test]
    fn a_saved_plan_is_told_how_to_be_printed() {
        let error = read_planned("tfplan", b"PK\x03\x04").unwrap_err();
        assert_eq!(error.to_string(), "`tfplan` is a saved plan, which only Terraform can read");
        assert!(error.hint().contains("terraform show -json"), "{}", error.hint());
    }

    #[test]
    fn a_plan_cut_anywhere_is_an_error_that_shows_no_secret() {
        for (path, bytes) in samples().into_iter().filter(|(path, _)| name(path) == "changes.json") {
            let whole = bytes.trim_ascii_end();
            for end in 0..whole.len() {
                let read = read_planned("cut", &whole[..end]);
                assert!(read.is_err(), "{} cut at {end}", name(&path));
                assert!(!format!("{read:?}{}", shown(&read)).contains(CANARY), "cut at {end}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_damaged_plan_or_manifest_never_panics_and_never_shows_a_secret(
            which: prop::sample::Index,
            damage in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(any::<u8>()), any::<bool>()), 1..6),
            structure in prop::sample::select(br#"{}[]",:0n\ #-&*|"#.to_vec()),
        ) {
            // Where an image itself is marked, damage to the mark makes it an image like any other.
            let wanted = ["sorted-keys.json", "manifests.yaml", "broken.yaml", "values.yaml", "state.json"];
            let samples: Vec<_> = samples().into_iter().filter(|(path, _)| wanted.contains(&name(path))).collect();
            let mut bytes = which.get(&samples).1.clone();
            for (at, byte, insert) in damage {
                let (at, byte) = (at.index(bytes.len()), byte.unwrap_or(structure));
                if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
            }
            let read = read_planned("damaged", &bytes);
            let all = format!("{read:?}{}", shown(&read));
            prop_assert!(!all.contains(CANARY), "{}", all);
        }
    }
}
