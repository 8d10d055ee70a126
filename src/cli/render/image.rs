//! An image as `show` tells it: what it is, where it came from, where it can be had.

use super::style::Palette;
use super::time;
use crate::model::lookup::ImageRecord;
use crate::model::{AmiArtifact, Artifact, Device, OciArtifact};
use jiff::Timestamp;

/// Lines of `label   value`, under headings.
pub struct Sheet {
    text: String,
    paint: Palette,
}

impl Sheet {
    pub fn new(paint: Palette) -> Self {
        Self { text: String::new(), paint }
    }

    pub fn heading(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&self.paint.strong(text));
        self.text.push('\n');
    }

    /// A line, unless there is nothing to say.
    pub fn line(&mut self, label: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        if !value.is_empty() {
            let label = self.paint.faint(&format!("{label:13}"));
            self.text.push_str(&format!("  {label}  {value}\n"));
        }
    }

    /// A line without a label.
    pub fn text(&mut self, text: &str) {
        self.text.push_str(&format!("  {text}\n"));
    }

    pub fn finish(self) -> String {
        self.text
    }
}

/// The image itself: facts and origin, then each artifact.
pub fn describe(sheet: &mut Sheet, record: &ImageRecord, now: Timestamp) {
    let image = &record.image;
    sheet.heading(&image.key.to_string());
    sheet.line("recorded", format!("{} by {} (entry {})", time::both(record.at, now), record.by, record.seq));
    sheet.line("tags", record.tags.iter().cloned().collect::<Vec<_>>().join(", "));
    let origin = &image.provenance;
    sheet.line("commit", origin.commit.as_deref().unwrap_or_default());
    sheet.line("committed", origin.commit_time.map(|at| time::both(at, now)).unwrap_or_default());
    sheet.line("source", origin.source_url.as_deref().unwrap_or_default());
    sheet.line("build", origin.build_url.as_deref().unwrap_or_default());
    for (key, value) in &origin.labels {
        sheet.line("label", format!("{key}={value}"));
    }
    for artifact in &image.artifacts {
        match artifact {
            Artifact::Ami(ami) => describe_ami(sheet, ami, now),
            Artifact::Oci(oci) => describe_oci(sheet, oci),
        }
    }
}

fn describe_ami(sheet: &mut Sheet, ami: &AmiArtifact, now: Timestamp) {
    sheet.heading(&format!("{} in {}", ami.id, ami.region));
    let facts = &ami.facts;
    sheet.line("name", &facts.name);
    sheet.line("owner", &ami.account);
    sheet.line("architecture", ami.arch.as_str());
    sheet.line("created", facts.created.map(|at| time::both(at, now)).unwrap_or_default());
    sheet.line("deprecation", facts.deprecation.map(time::moment).unwrap_or_default());
    if let Some(source) = &facts.source_ami {
        let region = facts.source_region.as_ref().map(|region| format!(" in {region}")).unwrap_or_default();
        sheet.line("copied from", format!("{source}{region}"));
    }
    sheet.line("launchable by", facts.launch_permissions.iter().cloned().collect::<Vec<_>>().join(", "));
    for (name, device) in &facts.devices {
        let root = if facts.root_device.as_ref() == Some(name) { " (root)" } else { "" };
        sheet.line("device", format!("{name}{root}  {}", device_text(device)));
    }
    for (key, value) in &facts.tags {
        sheet.line("tag", format!("{key}={value}"));
    }
}

fn device_text(device: &Device) -> String {
    let size = device.gib.map(|gib| format!("{gib} GiB"));
    let key = device.kms_key.as_ref().map(|key| format!("encrypted with {key}"));
    let encryption = key.or_else(|| device.encrypted.then(|| "encrypted".to_owned()));
    [size, device.snapshot.clone(), encryption].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn describe_oci(sheet: &mut Sheet, oci: &OciArtifact) {
    sheet.heading(oci.repository.as_str());
    sheet.line("digest", oci.digest.as_str());
    sheet.line("recorded as", oci.tag.as_deref().unwrap_or_default());
    sheet.line("media type", &oci.media_type);
    for (name, platform) in &oci.platforms {
        sheet.line("platform", format!("{name}  {}  {}", platform.manifest, bytes(platform.layer_bytes)));
    }
}

/// `12.3 MB`: decimal, as registries and disks count.
fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut size = count;
    let mut rest = 0;
    for unit in units {
        if size < 1000 {
            return if unit == "B" { format!("{size} B") } else { format!("{size}.{} {unit}", rest / 100) };
        }
        (size, rest) = (size / 1000, size % 1000);
    }
    format!("{size} PB")
}

/// `2 AMIs, 1 container image`: what an image was published as.
pub fn published_as(artifacts: &[Artifact]) -> String {
    let amis: Vec<&AmiArtifact> = artifacts
        .iter()
        .filter_map(|artifact| match artifact {
            Artifact::Ami(ami) => Some(ami),
            Artifact::Oci(_) => None,
        })
        .collect();
    let containers = artifacts.len() - amis.len();
    let mut parts = Vec::new();
    match amis.as_slice() {
        [] => {}
        [ami] => parts.push(format!("{} in {}", ami.id, ami.region)),
        many => parts.push(format!("{} AMIs", many.len())),
    }
    for artifact in artifacts {
        if let (Artifact::Oci(oci), 1) = (artifact, containers) {
            parts.push(artifact_short(oci));
        }
    }
    if containers > 1 {
        parts.push(format!("{containers} container images"));
    }
    parts.join(", ")
}

fn artifact_short(oci: &OciArtifact) -> String {
    format!("{}@{}", oci.repository, oci.digest.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_with_one_digit() {
        assert_eq!([0, 999, 1000, 12_345_678].map(bytes), ["0 B", "999 B", "1.0 kB", "12.3 MB"].map(str::to_owned));
    }

    #[test]
    fn a_device_says_what_is_known_of_it() {
        let device = Device { snapshot: Some("snap-1".into()), gib: Some(8), encrypted: true, kms_key: None };
        assert_eq!(device_text(&device), "8 GiB, snap-1, encrypted");
        assert_eq!(device_text(&Device::default()), "");
    }
}
