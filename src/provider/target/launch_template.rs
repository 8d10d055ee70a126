//! Launch templates by themselves (for EKS managed node groups, Batch, Spot Fleet): a new version, the default moved to it.

use super::architecture::{self, Launches};
use super::parameter::Aliases;
use super::template::{self, Templates, Version, slot_image};
use super::template_facts::TemplateFacts;
use super::{Deployed, Depth, Fleet, Handle, Observe, Order, Pace, Target, TargetError, launchable};
use crate::model::{Accepts, AmiId, Deployment, Image, ImageRef, Observed, Outlook, Region, Revision, SlotState, Step};
use crate::model::{Attribution, SlotName, TargetId};
use crate::provider::aws::{Aws, Service, classify};
use crate::provider::section::Section;
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The word for it in the config.
pub const KIND: &str = "launch-template";
const SLOT: &str = "template";
/// How many templates are asked for at the same time: EC2 describes versions of one template a call.
const SIDE_BY_SIDE: usize = 8;

/// One launch template as the config names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchTemplateSettings {
    /// Its id, `lt-…`.
    pub id: String,
    /// How often it is looked at until it has settled. Default one second.
    pub poll_interval: Duration,
}

/// Reads a target's `template` and `poll_interval`.
pub(super) fn read(section: &Section<'_>) -> Option<LaunchTemplateSettings> {
    let template = section.required_text("template", "the launch template's id, lt-…")?;
    let interval = section.duration("poll_interval", Duration::from_millis(100)..=Duration::from_secs(300));
    if !template.get_ref().starts_with("lt-") {
        let label = "expected its id, as in \"lt-0123456789abcdef0\": a name can be given to another template";
        section.fault(template.span(), "a launch template is named by its id", label);
        return None;
    }
    let poll_interval = interval.map_or(Duration::from_secs(1), toml::Spanned::into_inner);
    Some(LaunchTemplateSettings { id: template.into_inner(), poll_interval })
}

/// One template with its place.
#[derive(Debug, Clone)]
pub struct LaunchTemplateSpec {
    pub id: TargetId,
    pub region: Region,
    pub settings: Arc<LaunchTemplateSettings>,
}

/// Every launch template of the config that one set of credentials reaches.
pub struct LaunchTemplateFleet {
    targets: BTreeMap<TargetId, LaunchTemplate>,
}

struct LaunchTemplate {
    spec: LaunchTemplateSpec,
    templates: Templates,
}

impl LaunchTemplateFleet {
    pub fn new(specs: Vec<LaunchTemplateSpec>, aws: &Arc<Aws>) -> Self {
        let facts = Arc::new(TemplateFacts::default());
        let target = |spec: LaunchTemplateSpec| {
            let (aws, region, facts) = (Arc::clone(aws), spec.region.clone(), Arc::clone(&facts));
            LaunchTemplate { spec, templates: Templates { aws, region, facts } }
        };
        Self { targets: specs.into_iter().map(|spec| (spec.id.clone(), target(spec))).collect() }
    }
}

#[async_trait::async_trait]
impl Fleet for LaunchTemplateFleet {
    fn target(&self, id: &TargetId) -> Option<&dyn Target> {
        self.targets.get(id).map(|target| target as &dyn Target)
    }

    fn places(&self, ids: &BTreeSet<TargetId>) -> Vec<BTreeSet<TargetId>> {
        super::by_place(ids, |id| self.targets.get(id).map(|target| &target.spec.region))
    }

    async fn survey(
        &self,
        ids: &BTreeSet<TargetId>,
        depth: Depth,
    ) -> BTreeMap<TargetId, Result<Observed, TargetError>> {
        let asked = self.targets.values().filter(|target| ids.contains(&target.spec.id));
        let reads: Vec<_> =
            asked.map(|target| async move { (target.spec.id.clone(), target.look(depth).await) }).collect();
        futures_util::stream::iter(reads).buffered(SIDE_BY_SIDE).collect().await
    }
}

#[async_trait::async_trait]
impl Observe for LaunchTemplate {
    fn id(&self) -> &TargetId {
        &self.spec.id
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        self.look(Depth::Deploying).await
    }

    fn handle(&self, observed: Option<&Observed>) -> Option<Handle> {
        let slot = observed.and_then(|seen| seen.slots.keys().next().cloned()).or_else(|| SLOT.parse().ok())?;
        Some(Handle::LaunchTemplate { id: self.spec.settings.id.clone(), region: self.spec.region.clone(), slot })
    }

    async fn image_at(&self, template: &str, version: &str) -> Result<Option<String>, TargetError> {
        self.templates.image_of_version(template, version).await
    }

    async fn author(&self, observed: &Observed, _: Option<&SlotName>) -> Result<Option<Attribution>, TargetError> {
        match numbered(&observed.revision) {
            Some((template, number)) => self.templates.author_of(template, number).await,
            None => Ok(None),
        }
    }

    async fn mover(&self, _: &Observed, _: Option<&SlotName>) -> Result<Option<Attribution>, TargetError> {
        self.templates.mover_of_default(&self.spec.settings.id).await
    }
}

#[async_trait::async_trait]
impl Target for LaunchTemplate {
    async fn check(&self, image: &Image, step: &Step) -> Result<Outlook, TargetError> {
        let (aws, region) = (&self.templates.aws, &self.spec.region);
        let Some((template, number)) = numbered(&step.expect) else { return Ok(Outlook::default()) };
        let amis = launchable::amis_of(image, step);
        let (make, default, shared) = futures_util::join!(
            launchable::may_make_version(aws, region, template, number, step),
            launchable::may_move_default(aws, region, template, number),
            launchable::may_launch(aws, region, &amis),
        );
        let mut outlook = Outlook::default();
        for part in [make?, default?, shared?] {
            outlook.obstacles.extend(part.obstacles);
            outlook.unknown.extend(part.unknown);
        }
        Ok(outlook)
    }

    async fn deploy(&self, order: &Order<'_>) -> Result<Deployed, TargetError> {
        let (default, _) = self.versions().await?;
        let revision = self.revision(default.number)?;
        let wanted = self.wanted(order)?;
        let there = default.image() == Some(wanted.as_str())
            && order.step.exact.as_ref().is_none_or(|exact| *exact == revision);
        if revision != order.step.expect && !(order.again && there) {
            let (expected, found) = (order.step.expect.clone(), revision);
            return Err(TargetError::Moved { target: self.spec.id.clone(), expected, found });
        }
        if there {
            return Ok(Deployed { revision, deployment: None });
        }
        let number = match &order.step.exact {
            Some(exact) => self.recorded(exact, &wanted).await?,
            None => {
                let token = format!("{}-{}", order.token, default.number);
                self.templates.version_with(&default, &wanted, token, order.again).await?
            }
        };
        let (aws, region) = (&self.templates.aws, &self.spec.region);
        let call = aws.ec2(region).modify_launch_template().launch_template_id(&self.spec.settings.id);
        let call = call.default_version(number.to_string());
        let answer = aws.in_turn(Service::Ec2, region, call.send()).await;
        answer.map_err(|error| classify("ec2:ModifyLaunchTemplate", &self.object(), error))?;
        Ok(Deployed { revision: self.revision(number)?, deployment: None })
    }

    /// Nothing is replaced, so there is nothing to follow.
    async fn follow(&self, deployment: &str) -> Result<Deployment, TargetError> {
        Err(TargetError::Gone { what: format!("deployment {deployment} of {}", self.object()), keys: None })
    }

    async fn cancel(&self, deployment: &str) -> Result<(), TargetError> {
        Err(TargetError::Gone { what: format!("deployment {deployment} of {}", self.object()), keys: None })
    }

    fn pace(&self) -> Pace {
        Pace { poll: self.spec.settings.poll_interval, limit: Duration::from_secs(300) }
    }

    async fn differences(&self, from: &Revision, to: &Revision) -> Result<Vec<String>, TargetError> {
        match (numbered(from), numbered(to)) {
            (Some(from), Some(to)) => self.templates.compare(from, to).await,
            _ => Ok(vec![format!("{from} and {to} are not versions of launch templates")]),
        }
    }
}

impl LaunchTemplate {
    fn object(&self) -> String {
        let place = self.templates.aws.place(&self.spec.region);
        format!("launch template {} in {place}", self.spec.settings.id)
    }

    fn gone(&self) -> TargetError {
        TargetError::Gone { what: self.object(), keys: Some("template or region") }
    }

    fn revision(&self, number: i64) -> Result<Revision, TargetError> {
        format!("{}:{number}", self.spec.settings.id).parse().map_err(|_| self.gone())
    }

    /// The default version, which is what counts here, and the newest.
    async fn versions(&self) -> Result<(Arc<Version>, i64), TargetError> {
        let names = ["$Default", "$Latest"].map(str::to_owned);
        let answer = template::read(&self.templates.aws, &self.spec.region, &self.spec.settings.id, &names).await;
        let found = match answer {
            Err(error) if error.code().is_some_and(|code| code.starts_with("InvalidLaunchTemplateId")) => {
                return Err(self.gone());
            }
            found => found?,
        };
        let newest = found.iter().map(|version| version.number).max().unwrap_or_default();
        let default = found.into_iter().find(|version| version.is_default).ok_or_else(|| self.gone())?;
        Ok((self.templates.facts.keep(&self.spec.region, default), newest))
    }

    async fn look(&self, depth: Depth) -> Result<Observed, TargetError> {
        let (default, newest) = self.versions().await?;
        let (region, facts) = (&self.spec.region, &self.templates.facts);
        let kind = default.data.instance_type().map(|kind| kind.as_str());
        let launches = Launches { types: kind.into_iter().collect(), image: default.image() };
        let launches = [launches];
        if depth == Depth::Deploying {
            architecture::read(&self.templates.aws, facts, region, &launches).await?;
        }
        let arch = launches.iter().find_map(|slot| architecture::decide(facts, slot));
        let number = default.number;
        let outline = default.outline();
        let aliases = Aliases::read(&self.templates.aws, region, outline.image.as_deref().into_iter()).await;
        let text = outline.image.as_deref().unwrap_or_default();
        if let Some(dangling) = aliases.dangling(&self.object(), text) {
            return Err(dangling);
        }
        let image = slot_image(region, &number.to_string(), &outline, &aliases);
        let slot: SlotName = SLOT.parse().map_err(|_| self.gone())?;
        let accepts = Accepts::Ami { region: region.clone(), arch };
        let newer =
            (newest > number).then(|| format!("has version {newest}, newer than {number}, which is its default"));
        Ok(Observed {
            revision: self.revision(number)?,
            slots: [(slot, SlotState { image, accepts })].into(),
            // What launches from it is not known, and is not ours to replace.
            running: BTreeMap::new(),
            desired: 0,
            deployment: None,
            obstacles: outline.obstacle().into_iter().collect(),
            notes: newer.into_iter().chain(aliases.unread(text)).collect(),
        })
    }

    fn wanted(&self, order: &Order<'_>) -> Result<AmiId, TargetError> {
        match order.step.slots.values().next().map(|change| &change.to) {
            Some(ImageRef::Ami { region, id }) if *region == self.spec.region => Ok(id.clone()),
            _ => Err(TargetError::Refused {
                what: format!("the step has no AMI of {} for {}", self.spec.region, self.object()),
                hint: format!("imgctl promote {} with an artifact in {}", order.image, self.spec.region),
            }),
        }
    }

    /// The recorded version itself, where it still is what it was.
    async fn recorded(&self, exact: &Revision, wanted: &AmiId) -> Result<i64, TargetError> {
        let refused = || TargetError::Refused {
            what: format!("{exact} does not hold {wanted} any more, or is of another template"),
            hint: "roll back without --exact".to_owned(),
        };
        let (template, number) = numbered(exact).filter(|(id, _)| *id == self.spec.settings.id).ok_or_else(refused)?;
        let version = self.templates.version(template, number).await?;
        if version.image() == Some(wanted.as_str()) { Ok(number) } else { Err(refused()) }
    }
}

/// Template id and number of a revision, `lt-0abc:7`.
fn numbered(revision: &Revision) -> Option<(&str, i64)> {
    let (id, number) = revision.as_str().rsplit_once(':')?;
    Some((id, number.parse().ok()?))
}
