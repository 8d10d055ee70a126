//! What never changes about launch templates once it was read: what each version says, and architectures.

use super::parameter;
use super::template::Version;
use crate::model::{Arch, Obstacle, Region};
use crate::provider::aws::{Aws, Place, Service};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What observing needs of a version, and all of it that goes to the disk: user data may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VersionOutline {
    pub(super) template: String,
    pub(super) number: i64,
    /// As it stands there: an AMI's id or `resolve:ssm:…`.
    pub(super) image: Option<String>,
    pub(super) instance_type: Option<String>,
}

impl VersionOutline {
    /// Whether the shelf has it as it is.
    fn is_on(&self, aws: &Aws, place: &Place<'_>) -> bool {
        aws.recall::<Self>(place, &thing(&self.template, self.number)).as_ref() == Some(self)
    }

    /// Why what launches from it cannot be moved.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        let through = self.image.as_deref().filter(|image| image.starts_with(parameter::PREFIX))?;
        let what = format!("launch template {} version {} takes its image from {through}", self.template, self.number);
        let fix = "put the AMI id into the template: AWS cannot roll such a group back".to_owned();
        Some(Obstacle { what, fix })
    }
}

/// The numbers that a template's moving names mean, as they were read last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heads {
    pub(super) latest: Option<i64>,
    pub(super) default: Option<i64>,
}

impl Heads {
    /// What a version's name means: a number means itself.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        match name {
            "$Latest" => self.latest,
            "$Default" => self.default,
            number => number.parse().ok(),
        }
    }
}

/// Template and number → what that version says.
type Outlines = BTreeMap<(String, i64), Arc<VersionOutline>>;

/// Read once by this process, and where it is known whose they are, once ever.
#[derive(Default)]
pub(super) struct TemplateFacts {
    /// Where earlier runs left what they read; `None`: nowhere.
    aws: Option<Arc<Aws>>,
    /// Whose templates these are, once something has said so.
    account: OnceLock<String>,
    versions: Mutex<BTreeMap<(Region, String, i64), Arc<Version>>>,
    outlines: Mutex<BTreeMap<Region, Outlines>>,
    heads: Mutex<BTreeMap<Region, BTreeMap<String, Heads>>>,
    architectures: Mutex<BTreeMap<String, Vec<String>>>,
    images: Mutex<BTreeMap<String, Arch>>,
}

impl TemplateFacts {
    /// Facts that outlive this process.
    pub(super) fn kept(aws: &Arc<Aws>) -> Self {
        Self { aws: Some(Arc::clone(aws)), ..Self::default() }
    }

    /// Says whose they are. All of one set of credentials are of one account.
    pub(super) fn belong_to(&self, account: &str) {
        self.account.get_or_init(|| account.to_owned());
    }

    fn shelf<'a>(&'a self, region: &'a Region) -> Option<(&'a Aws, Place<'a>)> {
        let place = Place { service: Service::Ec2, account: self.account.get()?, region };
        Some((self.aws.as_deref()?, place))
    }

    /// Lets go of what is on the shelf: of ten thousand groups that are looked at part by part, memory holds one part's.
    pub(super) fn forget(&self, region: &Region) {
        let Some((aws, place)) = self.shelf(region) else { return };
        if let Some(outlines) = lock(&self.outlines).get_mut(region) {
            outlines.retain(|_, outline| !outline.is_on(aws, &place));
        }
    }

    /// Everything it says, for what makes a new version of it.
    pub(super) fn keep(&self, region: &Region, version: Version) -> Arc<Version> {
        self.keep_outline(region, version.outline());
        let key = (region.clone(), version.template.clone(), version.number);
        let version = Arc::new(version);
        lock(&self.versions).insert(key, Arc::clone(&version));
        version
    }

    /// What observing needs of it.
    pub(super) fn keep_outline(&self, region: &Region, outline: VersionOutline) {
        if let Some((aws, place)) = self.shelf(region) {
            // A listing comes again and again; what it says of a number does not change.
            if !outline.is_on(aws, &place) {
                aws.remember(&place, &thing(&outline.template, outline.number), &outline);
            }
        }
        let key = (outline.template.clone(), outline.number);
        lock(&self.outlines).entry(region.clone()).or_default().insert(key, Arc::new(outline));
    }

    /// A version with everything it says, where this process has read it.
    pub(super) fn get(&self, region: &Region, template: &str, number: i64) -> Option<Arc<Version>> {
        let key = (region.clone(), template.to_owned(), number);
        lock(&self.versions).get(&key).cloned()
    }

    /// What observing needs of a version, where anybody has read it.
    pub(super) fn outline(&self, region: &Region, template: &str, number: i64) -> Option<Arc<VersionOutline>> {
        let key = (template.to_owned(), number);
        if let Some(known) = lock(&self.outlines).get(region).and_then(|outlines| outlines.get(&key)) {
            return Some(Arc::clone(known));
        }
        let (aws, place) = self.shelf(region)?;
        let kept: Arc<VersionOutline> = Arc::new(aws.recall(&place, &thing(template, number))?);
        lock(&self.outlines).entry(region.clone()).or_default().insert(key, Arc::clone(&kept));
        Some(kept)
    }

    pub(super) fn heads(&self, region: &Region, template: &str) -> Option<Heads> {
        lock(&self.heads).get(region)?.get(template).copied()
    }

    pub(super) fn keep_heads(&self, region: &Region, template: &str, heads: Heads) {
        lock(&self.heads).entry(region.clone()).or_default().insert(template.to_owned(), heads);
    }

    pub(super) fn architectures(&self, instance_type: &str) -> Option<Vec<String>> {
        lock(&self.architectures).get(instance_type).cloned()
    }

    /// Whether the architectures of a type are known, now at the latest.
    pub(super) fn knows_type(&self, region: &Region, instance_type: &str) -> bool {
        let kept = || {
            let (aws, place) = self.shelf(region)?;
            let kept = aws.recall(&place, instance_type)?;
            lock(&self.architectures).insert(instance_type.to_owned(), kept);
            Some(())
        };
        self.architectures(instance_type).is_some() || kept().is_some()
    }

    pub(super) fn keep_architectures(&self, region: &Region, instance_type: &str, architectures: Vec<String>) {
        if let Some((aws, place)) = self.shelf(region) {
            aws.remember(&place, instance_type, &architectures);
        }
        lock(&self.architectures).insert(instance_type.to_owned(), architectures);
    }

    pub(super) fn image_architecture(&self, image: &str) -> Option<Arch> {
        lock(&self.images).get(image).cloned()
    }

    /// Whether the architecture of an image is known, now at the latest. Whether the image is still there, and for whom,
    /// is no fact that lasts, and is always asked.
    pub(super) fn knows_image(&self, region: &Region, image: &str) -> bool {
        let kept = || {
            let (aws, place) = self.shelf(region)?;
            let kept = aws.recall(&place, image)?;
            lock(&self.images).insert(image.to_owned(), kept);
            Some(())
        };
        self.image_architecture(image).is_some() || kept().is_some()
    }

    pub(super) fn keep_image_architecture(&self, region: &Region, image: &str, arch: Arch) {
        if let Some((aws, place)) = self.shelf(region) {
            aws.remember(&place, image, &arch);
        }
        lock(&self.images).insert(image.to_owned(), arch);
    }
}

fn thing(template: &str, number: i64) -> String {
    format!("{template}:{number}")
}

fn lock<T>(facts: &Mutex<T>) -> MutexGuard<'_, T> {
    facts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fact::Notes;
    use aws_config::SdkConfig;

    #[test]
    fn what_the_disk_has_is_let_go_of_and_nothing_is_lost() {
        let (region, template): (Region, _) = ("eu-west-1".parse().unwrap(), "lt-1".to_owned());
        let outline = VersionOutline { template, number: 1, image: Some("ami-1".to_owned()), instance_type: None };
        let known = |facts: &TemplateFacts| facts.outline(&region, "lt-1", 1).as_deref() == Some(&outline);
        let held = |facts: &TemplateFacts| lock(&facts.outlines).get(&region).is_some_and(|held| !held.is_empty());
        let aws = || Aws::from_config(SdkConfig::builder().build());
        for (aws, account, is_let_go) in [
            (aws().remembering(Arc::new(Notes::default())), Some("123456789012"), true),
            (aws().remembering(Arc::new(Notes::default())), None, false),
            (aws(), Some("123456789012"), false),
        ] {
            let facts = TemplateFacts::kept(&Arc::new(aws));
            account.into_iter().for_each(|account| facts.belong_to(account));
            facts.keep_outline(&region, outline.clone());
            facts.forget(&region);
            assert_eq!((held(&facts), known(&facts)), (!is_let_go, true), "{account:?}");
        }
    }
}
