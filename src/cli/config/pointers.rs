//! `[[channels.NAME.ENV.pointers]]`: what infrastructure code reads to follow the channel.

use super::PointerConfig;
use crate::model::{Arch, Region, Repository};
use crate::plan::pointer::Wants;
use crate::provider::aws::Access;
use crate::provider::pointer::{KINDS, PointerSpec, Reader};
use crate::provider::section::Section;
use crate::provider::target::spec;
use std::path::Path;
use toml::Spanned;

pub(super) fn read(channel: &Section<'_>, directory: &Path, default: Option<&Region>) -> Vec<PointerConfig> {
    let mut all: Vec<PointerConfig> = Vec::new();
    for section in channel.sections("pointers") {
        // What the other keys mean depends on the kind: without it, they are not judged.
        let words: Vec<String> = KINDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let kind = section.required_text("kind", &format!("what it is ({})", words.join(", ")));
        let Some(reader) = kind.and_then(|_| section.choice("kind", KINDS)) else { continue };
        let Some(pointer) = one(&section, reader.into_inner(), directory, default) else {
            section.finish();
            continue;
        };
        if all.iter().any(|other| other.spec.id == pointer.spec.id) {
            let title = format!("two pointers are called `{}`", pointer.spec.id);
            let help = Some("give each a name of its own: id = \"…\"".to_owned());
            section.fault_with_help(section.span(), title, "the second one", help);
        }
        section.finish();
        all.push(pointer);
    }
    all
}

fn one(section: &Section<'_>, reader: Reader, directory: &Path, default: Option<&Region>) -> Option<PointerConfig> {
    let id = section.text("id").map(Spanned::into_inner);
    let region = section.parsed::<Region>("region").map(Spanned::into_inner).or_else(|| default.cloned());
    let arch = section.parsed::<Arch>("arch").map(Spanned::into_inner);
    let repository = section.parsed::<Repository>("repository").map(Spanned::into_inner);
    let settings = reader(section)?;
    let access = if settings.is_in_aws() { spec::read_access(section, "ssm") } else { Access::default() };
    let id = id.unwrap_or_else(|| settings.object());
    let settings = settings.relative_to(directory);
    let wants = Wants { region, arch, repository, container: settings.wants_container() };
    Some(PointerConfig { spec: PointerSpec { id, access, settings }, wants })
}
