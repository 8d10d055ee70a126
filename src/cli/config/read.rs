//! From tables to the config: every key that imgctl acts on, and a fault for every one it does not.

use super::{AmiScan, AwsConfig, ChannelConfig, Config, IacSource, OnFailure, RegistryConfig, ScanConfig};
use super::{pointers, rules};
use crate::iac::FORMATS;
use crate::model::selector::is_tag;
use crate::model::{Channel, EnvName, ImageName, ParseError, Region, SlotName, TargetId};
use crate::plan::naming::{Naming, Pattern};
use crate::provider::anchor::{self, AnchorSpec};
use crate::provider::aws::Access;
use crate::provider::notice::{self, NoticeSpec};
use crate::provider::section::Section;
use crate::provider::state::{StateAddress, StateSpec};
use crate::provider::target::spec::{self, KINDS, TargetSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use toml::Spanned;

/// What the reading depends on besides the file's text.
pub(super) struct Place<'a> {
    /// Relative paths start here.
    pub directory: &'a Path,
    /// What the environment says, which counts before the file.
    pub surroundings: AwsConfig,
}

impl Place<'_> {
    fn path(&self, text: &str) -> PathBuf {
        self.directory.join(text)
    }
}

pub(super) fn config(root: Section<'_>, place: &Place<'_>) -> Config {
    let mut config = Config::default();
    if let Some(ledger) = root.section("ledger") {
        config.ledger = ledger.text("path").map(|path| place.path(path.get_ref())).unwrap_or_default();
        config.anchors = read_anchors(&ledger);
        ledger.finish();
    }
    if let Some(aws) = root.section("aws") {
        let region = aws.parsed("region").map(Spanned::into_inner);
        let profile = aws.text("profile").map(Spanned::into_inner);
        config.aws = AwsConfig { region, profile, cloudtrail: aws.flag("cloudtrail").unwrap_or_default() };
        aws.finish();
    }
    config.aws.region = place.surroundings.region.clone().or(config.aws.region);
    config.aws.profile = place.surroundings.profile.clone().or(config.aws.profile);
    if let Some(registries) = root.section("registries") {
        config.registries = registries.named().into_iter().filter_map(registry).collect();
    }
    if let Some(scan) = root.section("scan") {
        config.scan = read_scan(scan);
    }
    if let Some(channels) = root.section("channels") {
        config.channels = read_channels(&channels, place, config.aws.region.as_ref());
    }
    config.notices = read_notices(&root);
    root.not_yet(&["metrics", "serve"]);
    root.finish();
    config
}

/// `[[notices]]`: each has a name of its own, by default its kind.
fn read_notices(root: &Section<'_>) -> Vec<NoticeSpec> {
    let mut notices: Vec<NoticeSpec> = Vec::new();
    for section in root.sections("notices") {
        if let Some(notice) = notice::read(&section) {
            if notices.iter().any(|other| other.id == notice.id) {
                let title = format!("two notices are called `{}`", notice.id);
                let help = Some("give each a name of its own: id = \"…\"".to_owned());
                section.fault_with_help(section.span(), title, "the second one", help);
            }
            notices.push(notice);
        }
        section.finish();
    }
    notices
}

/// `[[ledger.anchors]]`: each has a name of its own, by default its kind.
fn read_anchors(ledger: &Section<'_>) -> Vec<AnchorSpec> {
    let words: Vec<String> = anchor::KINDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let mut anchors: Vec<AnchorSpec> = Vec::new();
    for section in ledger.sections("anchors") {
        let named = section.text("id");
        if let Some(id) = named.as_ref().filter(|id| !is_tag(id.get_ref())) {
            section.fault(id.span(), "`id` is not valid", "expected a name (letters, digits, `.`, `_`, `-`)");
        }
        let kind = section.required_text("kind", &format!("what it is ({})", words.join(", ")));
        let Some(kind) = kind.and_then(|_| section.choice("kind", anchor::KINDS)) else { continue };
        let span = named.as_ref().map_or_else(|| kind.span(), Spanned::span);
        let Some(settings) = (kind.into_inner())(&section) else {
            section.finish();
            continue;
        };
        let in_aws = settings.is_in_aws().then(|| spec::read_access(&section, settings.kind()));
        let access = in_aws.unwrap_or_default();
        let id = named.map_or_else(|| settings.kind().to_owned(), Spanned::into_inner);
        if anchors.iter().any(|anchor| anchor.id == id) {
            let help = format!("give each a name of its own: id = \"{id}-2\"");
            section.fault_with_help(span, format!("two anchors are called `{id}`"), "the second one", Some(help));
        }
        anchors.push(AnchorSpec { id, access, settings });
        section.finish();
    }
    anchors
}

fn registry((host, section): (Spanned<String>, Section<'_>)) -> Option<(String, RegistryConfig)> {
    let plain_http = section.flag("plain_http").unwrap_or_default();
    section.not_yet(&["username", "password_env", "ca_file"]);
    let span = host.span();
    let host = host.into_inner();
    if host.contains('/') {
        section.fault(span, "a registry is named by its host", "expected a host, as in \"registry.example.com:5000\"");
        return None;
    }
    section.finish();
    Some((host, RegistryConfig { plain_http }))
}

fn read_scan(scan: Section<'_>) -> ScanConfig {
    let mut config = ScanConfig::default();
    if let Some(ami) = scan.section("ami") {
        let regions = ami.list("regions").into_iter().map(Spanned::into_inner).collect();
        let name = ami.parsed::<Pattern>("name").map(Spanned::into_inner);
        let version = ami.parsed::<Pattern>("version").map(Spanned::into_inner);
        let naming = Naming::default();
        let naming = Naming { name: name.unwrap_or(naming.name), version: version.unwrap_or(naming.version) };
        config.ami = Some(AmiScan { regions, naming });
        ami.finish();
    }
    if let Some(registry) = scan.section("registry") {
        config.repositories = registry.list("repositories").into_iter().map(Spanned::into_inner).collect();
        registry.finish();
    }
    scan.finish();
    config
}

/// `[channels.NAME.ENV]`: the two names are the user's.
fn read_channels(
    channels: &Section<'_>,
    place: &Place<'_>,
    region: Option<&Region>,
) -> BTreeMap<Channel, ChannelConfig> {
    let mut read = BTreeMap::new();
    let mut seen = Seen::default();
    for (name, environments) in channels.named() {
        let Some(name) = chosen::<ImageName>(channels, &name) else { continue };
        for (env, section) in environments.named() {
            let Some(env) = chosen::<EnvName>(&environments, &env) else { continue };
            let channel = Channel { name: name.clone(), env };
            let config = read_channel(section, &channel, place, region, &mut seen);
            read.insert(channel, config);
        }
    }
    rules::check(channels, &read.keys().cloned().collect());
    read
}

fn chosen<T: FromStr<Err = ParseError>>(section: &Section<'_>, name: &Spanned<String>) -> Option<T> {
    match name.get_ref().parse() {
        Ok(parsed) => return Some(parsed),
        Err(ParseError { given, wanted }) => {
            section.fault(name.span(), format!("`{given}` is not valid here"), format!("expected {wanted}"));
        }
    }
    None
}

/// Targets met so far.
#[derive(Default)]
struct Seen {
    ids: BTreeMap<TargetId, Channel>,
    /// The object in words → every target that is it.
    objects: BTreeMap<String, Vec<Same>>,
}

/// What another target has of the same object; empty: all of it.
struct Same {
    id: TargetId,
    channel: Channel,
    containers: BTreeSet<SlotName>,
}

fn read_channel(
    section: Section<'_>,
    channel: &Channel,
    place: &Place<'_>,
    region: Option<&Region>,
    seen: &mut Seen,
) -> ChannelConfig {
    let mut targets = Vec::new();
    for target in section.sections("targets") {
        targets.extend(read_target(target, channel, place, region, seen));
    }
    let iac = section.sections("iac").filter_map(|iac| read_iac(iac, place)).collect();
    let on_failure = section.choice("on_failure", &[("rollback", OnFailure::Rollback), ("stop", OnFailure::Stop)]);
    let require_reason = section.flag("require_reason").unwrap_or_default();
    let parallel = section.number("parallel", 1..=100).and_then(|parallel| usize::try_from(parallel.into_inner()).ok());
    let rules = rules::read(&section, channel);
    let pointers = pointers::read(&section, place.directory, region);
    section.not_yet(&["keep", "gates"]);
    section.finish();
    ChannelConfig {
        targets,
        iac,
        on_failure: on_failure.map(Spanned::into_inner).unwrap_or_default(),
        require_reason,
        parallel,
        rules,
        pointers,
    }
}

fn read_target(
    section: Section<'_>,
    channel: &Channel,
    place: &Place<'_>,
    default: Option<&Region>,
    seen: &mut Seen,
) -> Option<TargetSpec> {
    let id = section.required::<TargetId>("id", "a name of your own for it, unique in this file");
    if let Some(id) = &id {
        note_id(&section, id, channel, seen);
    }
    let words: Vec<String> = KINDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    section.required_text("kind", &format!("what it is ({})", words.join(", ")))?;
    if let Some(kind) = section.text("kind").filter(|kind| spec::INSTANCES.contains(&kind.get_ref().as_str())) {
        let help = "put it behind an Auto Scaling group (kind = \"asg\"), or what launches it behind a launch template";
        let title = "an EC2 instance alone is no target";
        let label = "a running instance cannot be given another AMI";
        section.fault_with_help(kind.span(), title.to_owned(), label.to_owned(), Some(help.to_owned()));
        return None;
    }
    // What the other keys mean depends on the kind: without it, they are not judged.
    let words: Vec<(&str, &str)> = KINDS.iter().map(|(word, _)| (*word, *word)).collect();
    let reader = section.choice("kind", KINDS)?.into_inner();
    let kind = section.choice("kind", &words)?.into_inner();
    let (region, access) = (spec::read_region(&section, kind), spec::read_access(&section, kind));
    let region = region.or_else(|| default.cloned());
    let wave = section.number("wave", 1..=1000).and_then(|wave| u32::try_from(wave.into_inner()).ok()).unwrap_or(1);
    let spec = reader(&section, place.directory).zip(id).map(|(settings, id)| {
        let (id, channel) = (id.into_inner(), channel.clone());
        TargetSpec { id, channel, wave, region, access, settings }
    });
    if let Some(spec) = &spec {
        note_object(&section, spec, seen);
    }
    section.finish();
    spec
}

/// Two targets that move one object would undo each other, each believing that somebody else did.
fn note_object(section: &Section<'_>, spec: &TargetSpec, seen: &mut Seen) {
    let containers = spec.settings.containers();
    // Hardly an object has two, and a vector would keep room for four.
    let others = seen.objects.entry(spec.object()).or_insert_with(|| Vec::with_capacity(1));
    let overlaps = |other: &&Same| {
        containers.is_empty() || other.containers.is_empty() || !containers.is_disjoint(&other.containers)
    };
    if let (Some(other), Some(named)) = (others.iter().find(overlaps), section.text(spec.settings.key())) {
        let title = format!("two targets are {}", spec.object());
        let label = format!("`{}` of {} is the same one", other.id, other.channel);
        let help = "an object follows one channel, once: take one of the two out".to_owned();
        section.fault_with_help(named.span(), title, label, Some(help));
    }
    others.push(Same { id: spec.id.clone(), channel: spec.channel.clone(), containers });
}

fn note_id(section: &Section<'_>, id: &Spanned<TargetId>, channel: &Channel, seen: &mut Seen) {
    if let Some(elsewhere) = seen.ids.get(id.get_ref()) {
        let title = format!("two targets are called `{id}`", id = id.get_ref());
        let help = "the ledger remembers targets by id: give each its own".to_owned();
        section.fault_with_help(id.span(), title, format!("{elsewhere} has one already"), Some(help));
        return;
    }
    seen.ids.insert(id.get_ref().clone(), channel.clone());
}

fn read_iac(section: Section<'_>, place: &Place<'_>) -> Option<IacSource> {
    let kinds: Vec<(&str, &str)> = FORMATS.iter().map(|format| (format.name, format.name)).collect();
    let words: Vec<String> = kinds.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    section.required_text("kind", &format!("what it is ({})", words.join(", ")))?;
    let kind = section.choice("kind", &kinds);
    let source = section.required_text("source", "the file's path, s3://BUCKET/KEY, cloudformation://STACK or a URL");
    let address = source.and_then(|source| match StateAddress::parse(source.get_ref(), place.directory) {
        Ok(address) => Some((address.name(source.get_ref()), address)),
        Err(wanted) => {
            section.fault(source.span(), "this is no address of a state", wanted);
            None
        }
    });
    // Where the bucket or the stack is, and who may read it, is nobody else's business.
    let is_in_aws = address.as_ref().is_some_and(|(_, address)| address.is_in_aws());
    let region = if is_in_aws { section.parsed("region").map(Spanned::into_inner) } else { None };
    let access = if is_in_aws { spec::read_access(&section, "iac") } else { Access::default() };
    section.finish();
    let (kind, (name, address)) = (kind?.into_inner(), address?);
    Some(IacSource { kind: kind.to_owned(), spec: StateSpec { address, name, region, access } })
}
