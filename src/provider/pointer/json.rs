//! A JSON file that others keep as well: one text in it is ours, and every other byte stays as it is.
//!
//! Terraform and OpenTofu read `*.auto.tfvars.json` by themselves
//! (<https://developer.hashicorp.com/terraform/language/values/variables>): what stands there is a variable's value.

use super::file;
use super::{Pointer, PointerError};
use crate::provider::section::Section;
use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use std::path::{Path, PathBuf};

/// One text in one file. A file that is not there is made by the first write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonSettings {
    pub path: PathBuf,
    /// The same as the config has it: how it is named to people.
    pub written: String,
    /// The names that lead to the text, from the outermost object inwards; at least one.
    pub keys: Vec<String>,
}

impl JsonSettings {
    /// `infra/imgctl.auto.tfvars.json#ami_id`.
    pub fn object(&self) -> String {
        format!("{}#{}", self.written, self.keys.join("/"))
    }

    /// The same, with the file relative to the config's own folder.
    pub fn relative_to(self, directory: &Path) -> Self {
        Self { path: directory.join(self.path), ..self }
    }
}

/// A variable of Terraform.
pub(super) fn read_tfvars(section: &Section<'_>) -> Option<JsonSettings> {
    let path = section.required_text("path", "the file, as in \"infra/imgctl.auto.tfvars.json\"");
    if let Some(path) = path.as_ref().filter(|path| !path.get_ref().ends_with(".tfvars.json")) {
        let label = "Terraform reads NAME.auto.tfvars.json by itself, and NAME.tfvars.json when it is told to";
        section.fault(path.span(), "a file of variables ends in .tfvars.json", label);
    }
    let key = section.required_text("key", "the variable's name, as in \"ami_id\"");
    Some(settings(path?.into_inner(), vec![key?.into_inner()]))
}

/// A text anywhere in an object of objects.
pub(super) fn read_json(section: &Section<'_>) -> Option<JsonSettings> {
    let path = section.required_text("path", "the file");
    let at = section.required_text("at", "where in it, as in \"/images/web\" (RFC 6901)");
    let keys = at.as_ref().and_then(|at| keys(at.get_ref()));
    if let (Some(at), None) = (&at, &keys) {
        section.fault(at.span(), "`at` is not valid", "expected a path of names, as in \"/images/web\" (RFC 6901)");
    }
    Some(settings(path?.into_inner(), keys?))
}

fn settings(written: String, keys: Vec<String>) -> JsonSettings {
    JsonSettings { path: PathBuf::from(&written), written, keys }
}

/// The names of a JSON pointer.
fn keys(text: &str) -> Option<Vec<String>> {
    let names = text.strip_prefix('/')?.split('/').map(|name| name.replace("~1", "/").replace("~0", "~"));
    let names: Vec<String> = names.collect();
    names.iter().all(|name| !name.is_empty()).then_some(names)
}

/// One text in one file.
pub(super) struct JsonFile(JsonSettings);

impl JsonFile {
    pub(super) fn new(settings: JsonSettings) -> Self {
        Self(settings)
    }

    fn parsed(&self, text: &str) -> Result<CstObject, PointerError> {
        let not_json = |why: String| PointerError::NotJson { path: self.0.path.clone(), why };
        // The editing parser takes comments for whitespace; Terraform does not.
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| not_json(error.to_string()))?;
        let root = CstRootNode::parse(text, &strict()).map_err(|error| not_json(error.to_string()))?;
        root.object_value().ok_or_else(|| not_json("it holds no object".to_owned()))
    }

    fn wrong(&self, depth: usize, what: &str) -> PointerError {
        let names = self.0.keys.get(..=depth).unwrap_or(&self.0.keys);
        PointerError::Ambiguous { path: self.0.path.clone(), what: format!("`{}` {what}", names.join("/")) }
    }

    /// The members of one name: two of them would be two truths.
    fn one(&self, object: &CstObject, depth: usize, name: &str) -> Result<bool, PointerError> {
        let same = object.properties().into_iter().filter(|member| member.decoded_name().as_deref() == Some(name));
        match same.count() {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.wrong(depth, "is there twice")),
        }
    }

    /// The text as it stands.
    fn value(&self, text: &str) -> Result<Option<String>, PointerError> {
        let mut object = self.parsed(text)?;
        let last = self.0.keys.len().saturating_sub(1);
        for (depth, name) in self.0.keys.iter().enumerate() {
            if !self.one(&object, depth, name)? {
                return Ok(None);
            }
            let value = object.get(name).and_then(|member| member.value());
            if depth == last {
                let text = value.and_then(|value| value.as_string_lit()).and_then(|text| text.decoded_value().ok());
                return text.map(Some).ok_or_else(|| self.wrong(depth, "is no text"));
            }
            object = value.and_then(|value| value.as_object()).ok_or_else(|| self.wrong(depth, "is no object"))?;
        }
        Ok(None)
    }

    /// The file with the text in it: members that lead there are made where they are missing.
    fn with(&self, text: &str, value: &str) -> Result<String, PointerError> {
        // Says what is wrong before anything is changed.
        self.value(text)?;
        let root = CstRootNode::parse(text, &strict())
            .map_err(|error| PointerError::NotJson { path: self.0.path.clone(), why: error.to_string() })?;
        let Some((last, outer)) = self.0.keys.split_last() else { return Ok(text.to_owned()) };
        let object = root.object_value_or_set();
        let object = outer.iter().fold(object, |object, name| object.object_value_or_set(name));
        let value = CstInputValue::String(value.to_owned());
        match object.get(last) {
            Some(member) => member.set_value(value),
            None => drop(object.append(last, value)),
        }
        Ok(root.to_string())
    }
}

/// JSON as RFC 8259 has it: what Terraform would refuse is refused here.
fn strict() -> ParseOptions {
    ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

#[async_trait::async_trait]
impl Pointer for JsonFile {
    fn place(&self) -> String {
        self.0.object()
    }

    async fn read(&self) -> Result<Option<String>, PointerError> {
        file::text(&self.0.path)?.map_or(Ok(None), |text| self.value(&text))
    }

    async fn write(&self, value: &str) -> Result<(), PointerError> {
        let text = file::text(&self.0.path)?;
        if let Some(text) = &text
            && self.value(text)?.as_deref() == Some(value)
        {
            return Ok(());
        }
        file::replace(&self.0.path, &self.with(text.as_deref().unwrap_or("{\n}\n"), value)?)?;
        file::read_back(self, value).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn file(path: &Path, at: &str) -> JsonFile {
        JsonFile::new(settings(path.display().to_string(), keys(at).unwrap()))
    }

    fn with(text: &str, at: &str, value: &str) -> Result<String, String> {
        file(Path::new("x.json"), at).with(text, value).map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_text_changes() {
        let text = "{\n\t\"size\" : 3,\r\n  \"ami_id\":   \"ami-1\",\"z\":[ 1,2 ]}\n\n";
        assert_eq!(with(text, "/ami_id", "ami-2").unwrap(), text.replace("ami-1", "ami-2"));
        let nested = "{\"images\": {\"a/b\": \"x\", \"web\": \"y\"}}";
        assert_eq!(with(nested, "/images/a~1b", "z").unwrap(), nested.replace("\"x\"", "\"z\""));
    }

    #[test]
    fn what_is_missing_is_made() {
        assert_eq!(with("{\n}\n", "/ami_id", "ami-1").unwrap(), "{\n  \"ami_id\": \"ami-1\"\n}\n");
        let made: serde_json::Value = serde_json::from_str(&with("{\"a\": 1}", "/b/c", "d").unwrap()).unwrap();
        assert_eq!(made, serde_json::json!({"a": 1, "b": {"c": "d"}}));
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for (text, why) in [
            ("{\"ami_id\": \"a\", \"ami_id\": \"b\"}", "x.json: `ami_id` is there twice"),
            ("{\"ami_id\": \"a\", \"ami\\u005fid\": \"b\"}", "x.json: `ami_id` is there twice"),
            ("{\"ami_id\": 7}", "x.json: `ami_id` is no text"),
            ("[]", "x.json is not JSON: it holds no object"),
        ] {
            assert_eq!(with(text, "/ami_id", "c").unwrap_err(), why);
        }
        assert_eq!(with("{\"a\": 1}", "/a/b", "c").unwrap_err(), "x.json: `a` is no object");
        for broken in ["", "{", "{\"a\": 1,}", "{a: 1}", "// x\n{}", "{'a': 1}"] {
            assert!(with(broken, "/a", "c").unwrap_err().starts_with("x.json is not JSON"), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_by_any_reader_and_the_rest_stays(
            names in proptest::collection::btree_map("[a-z\\\\\"é]{1,4}", "[ -~é\n]{0,6}", 1..5),
            value in "[ -~é\n]{0,12}",
        ) {
            let text = serde_json::to_string_pretty(&names).unwrap();
            let name = names.keys().next().unwrap().clone();
            let file = JsonFile::new(settings("x.json".to_owned(), vec![name.clone()]));
            let mut wanted = names.clone();
            wanted.insert(name, value.clone());
            let changed = file.with(&text, &value).unwrap();
            prop_assert_eq!(serde_json::from_str::<std::collections::BTreeMap<String, String>>(&changed).unwrap(), wanted);
            prop_assert_eq!(file.value(&changed).unwrap(), Some(value));
        }
    }

    #[tokio::test]
    async fn a_file_is_replaced_whole_behind_its_link_and_with_its_rights() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.json"), dir.path().join("link.json"));
        fs::write(&real, "{\"a\": \"1\"}").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&real, &link).unwrap();
        let pointer = file(&link, "/a");
        pointer.write("2").await.unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "{\"a\": \"2\"}");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let before = fs::metadata(&real).unwrap().modified().unwrap();
        pointer.write("2").await.unwrap();
        assert_eq!(fs::metadata(&real).unwrap().modified().unwrap(), before, "what is there is left alone");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left behind");
    }

    #[tokio::test]
    async fn where_nothing_can_be_written_nothing_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let missing = file(&dir.path().join("no/such/folder.json"), "/a");
        assert_eq!(missing.read().await.unwrap(), None);
        let error = missing.write("1").await.unwrap_err().to_string();
        assert!(error.contains("folder.json could not be written"), "{error}");
    }
}
