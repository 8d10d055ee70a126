//! A target as the config names it, before anything is asked of the cloud.

use super::Fleet;
use super::asg::{AsgFleet, AsgSpec};
use super::asg_settings::{self, AsgSettings};
use super::fleets::Fleets;
use super::kubernetes::{KubernetesFleet, KubernetesSpec};
use super::kubernetes_settings::{self, KubernetesSettings};
use crate::model::{Channel, Region, TargetId};
use crate::provider::aws::Aws;
use crate::provider::section::Section;
use std::path::Path;
use std::sync::Arc;

/// One target of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSpec {
    /// Unique in the whole config.
    pub id: TargetId,
    pub channel: Channel,
    /// The target's own region, else the configured one. `None`: whatever the SDK's own chain says.
    pub region: Option<Region>,
    pub settings: TargetSettings,
}

/// What a kind of target needs to know besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetSettings {
    Asg(AsgSettings),
    Kubernetes(KubernetesSettings),
}

impl TargetSettings {
    /// The word for it in the config.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Asg(_) => asg_settings::KIND,
            Self::Kubernetes(_) => kubernetes_settings::KIND,
        }
    }

    /// The same, with files that are named relative to the config's own folder.
    pub fn relative_to(self, directory: &Path) -> Self {
        match self {
            Self::Asg(settings) => Self::Asg(settings),
            Self::Kubernetes(settings) => Self::Kubernetes(settings.relative_to(directory)),
        }
    }
}

/// Reads the keys of one kind; `None` when a fault made it impossible.
pub type Reader = fn(&Section<'_>) -> Option<TargetSettings>;

/// Every kind of target, with the reader of its settings.
pub const KINDS: &[(&str, Reader)] = &[
    (asg_settings::KIND, |section| asg_settings::read(section).map(TargetSettings::Asg)),
    (kubernetes_settings::KIND, |section| kubernetes_settings::read(section).map(TargetSettings::Kubernetes)),
];

/// Every target, ready to be asked: one fleet for each kind that there is. Sends nothing.
///
/// # Errors
/// The first target that needs a region and has none, where none is configured either.
pub fn fleet(specs: Vec<TargetSpec>, aws: &Arc<Aws>) -> Result<Box<dyn Fleet>, TargetId> {
    let placed =
        |id: &TargetId, region: Option<Region>| region.or_else(|| aws.region().cloned()).ok_or_else(|| id.clone());
    let mut groups = Vec::new();
    let mut workloads = Vec::new();
    for TargetSpec { id, region, settings, .. } in specs {
        match settings {
            TargetSettings::Asg(settings) => {
                let region = placed(&id, region)?;
                groups.push(AsgSpec { id, region, group: settings.name.clone(), settings });
            }
            TargetSettings::Kubernetes(settings) => workloads.push(KubernetesSpec { id, settings }),
        }
    }
    let groups = AsgFleet::new(groups, aws);
    Ok(Box::new(Fleets(vec![Box::new(groups), Box::new(KubernetesFleet::new(workloads))])))
}
