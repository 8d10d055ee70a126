//! A target as the config names it, before anything is asked of the cloud.

use super::Fleet;
use super::asg::{AsgFleet, AsgSpec};
use super::asg_settings::{self, AsgSettings};
use super::ecs::{EcsFleet, EcsSpec};
use super::ecs_settings::{self, EcsSettings};
use super::fleets::Fleets;
use super::kubernetes::{KubernetesFleet, KubernetesSpec};
use super::kubernetes_settings::{self, KubernetesSettings};
use super::launch_template::{self, LaunchTemplateFleet, LaunchTemplateSettings, LaunchTemplateSpec};
use crate::model::{Channel, Region, SlotName, TargetId};
use crate::provider::aws::{Access, Aws, Role};
use crate::provider::section::Section;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// One target of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSpec {
    /// Unique in the whole config.
    pub id: TargetId,
    pub channel: Channel,
    /// When it moves, among the targets of its channel: counted from 1.
    pub wave: u32,
    /// The target's own region, else the configured one. `None`: whatever the SDK's own chain says.
    pub region: Option<Region>,
    /// With which credentials AWS is asked about it.
    pub access: Access,
    pub settings: TargetSettings,
}

impl TargetSpec {
    /// The object that is moved, in words, as far as the config tells it: one account may still be reached by two roles.
    pub fn object(&self) -> String {
        let object = self.settings.object();
        match (&self.region, self.access.is_default()) {
            _ if matches!(self.settings, TargetSettings::Kubernetes(_)) => object,
            (Some(region), true) => format!("{object} in {region}"),
            (Some(region), false) => format!("{object} in {region} {}", self.access),
            (None, true) => object,
            (None, false) => format!("{object} {}", self.access),
        }
    }
}

/// What a kind of target needs to know besides; the config and the fleet share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetSettings {
    Asg(Arc<AsgSettings>),
    Ecs(Arc<EcsSettings>),
    Kubernetes(Arc<KubernetesSettings>),
    LaunchTemplate(Arc<LaunchTemplateSettings>),
}

impl TargetSettings {
    /// The word for it in the config.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Asg(_) => asg_settings::KIND,
            Self::Ecs(_) => ecs_settings::KIND,
            Self::Kubernetes(_) => kubernetes_settings::KIND,
            Self::LaunchTemplate(_) => launch_template::KIND,
        }
    }

    /// The key that names the object, and the object in words.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Asg(_) => "name",
            Self::Ecs(_) => "service",
            Self::Kubernetes(_) => "workload",
            Self::LaunchTemplate(_) => "template",
        }
    }

    fn object(&self) -> String {
        match self {
            Self::Asg(asg) => format!("Auto Scaling group {}", asg.name),
            Self::Ecs(ecs) => format!("ECS service {} of cluster {}", ecs.service, ecs.cluster_name()),
            Self::LaunchTemplate(template) => format!("launch template {}", template.id),
            Self::Kubernetes(own) => {
                let namespace = own.namespace.as_ref().map(|namespace| format!(" of namespace {namespace}"));
                let file = own.cluster.kubeconfig.as_ref().filter(|_| own.cluster.context.is_some());
                let file = file.map(|file| format!(" of {}", file.display())).unwrap_or_default();
                format!("{}{} in {}{file}", own.workload, namespace.unwrap_or_default(), own.cluster)
            }
        }
    }

    /// The containers of the object that are meant; empty: all that it has.
    pub fn containers(&self) -> BTreeSet<SlotName> {
        match self {
            Self::Asg(_) | Self::LaunchTemplate(_) => BTreeSet::new(),
            Self::Ecs(ecs) => [ecs.container.clone()].into(),
            Self::Kubernetes(workload) => workload.containers.iter().cloned().collect(),
        }
    }
}

/// A target's own region. A cluster has none: there the key is a fault like any other that means nothing.
pub fn read_region(section: &Section<'_>, kind: &str) -> Option<Region> {
    if kind == kubernetes_settings::KIND { None } else { section.parsed("region").map(toml::Spanned::into_inner) }
}

/// What people name and no kind is: an instance cannot be given another image.
pub const INSTANCES: [&str; 4] = ["instance", "ec2", "ec2-instance", "aws_instance"];

/// Reads with which credentials a target is reached: `profile`, and `assume_role` with what belongs to it. Kinds that
/// are not of AWS have credentials of their own.
pub fn read_access(section: &Section<'_>, kind: &str) -> Access {
    if kind == kubernetes_settings::KIND {
        return Access::default();
    }
    let text = |key| section.text(key).map(toml::Spanned::into_inner);
    let profile = text("profile");
    let arn = section.parsed("assume_role").map(toml::Spanned::into_inner);
    let external_id = section.text("external_id");
    let session_name = section.text("session_name");
    let Some(arn) = arn else {
        for stray in [external_id, session_name].into_iter().flatten() {
            section.fault(
                stray.span(),
                "this belongs to a role",
                "`assume_role` is missing, so it would have no effect",
            );
        }
        return Access { profile, role: None };
    };
    if let Some(name) = session_name.as_ref().filter(|name| !is_session_name(name.get_ref())) {
        let wanted = "expected 2 to 64 letters, digits, or any of =,.@-_ (STS AssumeRole, RoleSessionName)";
        section.fault(name.span(), "this is not valid as `session_name`", wanted);
    }
    let session_name = session_name.map_or_else(|| Role::SESSION.to_owned(), toml::Spanned::into_inner);
    let external_id = external_id.map(toml::Spanned::into_inner);
    Access { profile, role: Some(Role { arn, external_id, session_name }) }
}

fn is_session_name(name: &str) -> bool {
    (2..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "=,.@-_".contains(c))
}

/// Reads the keys of one kind; `None` when a fault made it impossible. Files are named relative to this folder.
pub type Reader = fn(&Section<'_>, &Path) -> Option<TargetSettings>;

/// Every kind of target, with the reader of its settings.
pub const KINDS: &[(&str, Reader)] = &[
    (asg_settings::KIND, |section, _| Some(TargetSettings::Asg(asg_settings::read(section)?.into()))),
    (ecs_settings::KIND, |section, _| Some(TargetSettings::Ecs(ecs_settings::read(section)?.into()))),
    (kubernetes_settings::KIND, |section, directory| {
        let settings = kubernetes_settings::read(section)?.relative_to(directory);
        Some(TargetSettings::Kubernetes(settings.into()))
    }),
    (launch_template::KIND, |section, _| Some(TargetSettings::LaunchTemplate(launch_template::read(section)?.into()))),
];

/// Every target, ready to be asked: one fleet for each kind that there is. Sends nothing.
///
/// # Errors
/// The first target that needs a region and has none, where none is configured either.
pub fn fleet(specs: impl IntoIterator<Item = TargetSpec>, aws: &Arc<Aws>) -> Result<Box<dyn Fleet>, TargetId> {
    let placed =
        |id: &TargetId, region: Option<Region>| region.or_else(|| aws.region().cloned()).ok_or_else(|| id.clone());
    // One fleet for each set of credentials: what is batched is asked of one account.
    let mut groups: BTreeMap<Access, Vec<AsgSpec>> = BTreeMap::new();
    let mut services: BTreeMap<Access, Vec<EcsSpec>> = BTreeMap::new();
    let mut templates: BTreeMap<Access, Vec<LaunchTemplateSpec>> = BTreeMap::new();
    let mut workloads = Vec::new();
    for TargetSpec { id, region, access, settings, .. } in specs {
        match settings {
            TargetSettings::Asg(settings) => {
                let region = placed(&id, region)?;
                let group = settings.name.clone();
                groups.entry(access).or_default().push(AsgSpec { id, region, group, settings });
            }
            TargetSettings::Ecs(settings) => {
                let region = placed(&id, region)?;
                services.entry(access).or_default().push(EcsSpec { id, region, settings });
            }
            TargetSettings::LaunchTemplate(settings) => {
                let region = placed(&id, region)?;
                templates.entry(access).or_default().push(LaunchTemplateSpec { id, region, settings });
            }
            TargetSettings::Kubernetes(settings) => workloads.push(KubernetesSpec { id, settings }),
        }
    }
    let mut fleets: Vec<Box<dyn Fleet>> = Vec::new();
    for (access, groups) in groups {
        fleets.push(Box::new(AsgFleet::new(groups, &aws.under(&access))));
    }
    for (access, services) in services {
        fleets.push(Box::new(EcsFleet::new(services, &aws.under(&access))));
    }
    for (access, templates) in templates {
        fleets.push(Box::new(LaunchTemplateFleet::new(templates, &aws.under(&access))));
    }
    fleets.push(Box::new(KubernetesFleet::new(workloads)));
    Ok(Box::new(Fleets(fleets)))
}
