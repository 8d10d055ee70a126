//! The launch-template versions that groups name: each number read once ever, and what moves read in few calls.

use super::super::Depth;
use super::super::template::{self, Version};
use super::super::template_facts::{Heads, TemplateFacts, VersionOutline};
use super::group::{Group, Named};
use super::survey::SIDE_BY_SIDE;
use crate::model::Region;
use crate::provider::aws::{Aws, AwsError, Service, classify};
use futures_util::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Up to this many templates are asked for one by one; for more, all of the account are listed together.
const FEW_TEMPLATES: usize = 20;
/// DescribeLaunchTemplates answers with as many templates.
const TEMPLATES_A_CALL: usize = 200;

/// What the groups of one region launch from.
pub(super) struct Versions {
    /// Template and the name of a version as some group says it → that version.
    named: BTreeMap<(String, String), Arc<VersionOutline>>,
    /// Template → its newest number, where it was read.
    newest: BTreeMap<String, i64>,
}

impl Versions {
    pub(super) fn get(&self, template: &str, name: &str) -> Option<&Arc<VersionOutline>> {
        self.named.get(&(template.to_owned(), name.to_owned()))
    }

    /// The image of each version, as it stands there.
    pub(super) fn images(&self) -> impl Iterator<Item = &str> {
        self.named.values().filter_map(|version| version.image.as_deref())
    }

    pub(super) fn newest(&self, template: &str) -> Option<i64> {
        self.newest.get(template).copied()
    }
}

/// Template → the names of its versions, as the groups say them.
type Wanted = BTreeMap<String, BTreeSet<String>>;

/// The templates of one region while they are read.
struct Reading<'a> {
    aws: &'a Aws,
    facts: &'a TemplateFacts,
    region: &'a Region,
    wanted: Wanted,
    depth: Depth,
    heads: BTreeMap<String, Heads>,
    /// Templates that are not there any more, whatever is remembered of them.
    gone: BTreeSet<String>,
}

/// What these groups launch from. A template or a version that is not there is not in the answer. What a number means
/// never changes, and that it was deleted is seen only by asking for it: a plan does, and whoever only looks does not,
/// unless it is the newest or the default, or its template is gone.
pub(super) async fn read(
    aws: &Aws,
    facts: &TemplateFacts,
    region: &Region,
    groups: &BTreeMap<String, Group>,
    depth: Depth,
) -> Result<Versions, AwsError> {
    let mut wanted = Wanted::new();
    for slot in groups.values().flat_map(Group::slots) {
        // One that AWS gives no id of says so by itself, and takes no other group along.
        if let Named::Version { template, version } = slot.named
            && !template.is_empty()
        {
            wanted.entry(template).or_default().insert(version);
        }
    }
    let mut reading = Reading { aws, facts, region, wanted, depth, heads: BTreeMap::new(), gone: BTreeSet::new() };
    let floating = reading.templates(|_, names| names.iter().any(|name| name.starts_with('$')));
    if floating.len() > FEW_TEMPLATES {
        reading.describe(&floating).await?;
    }
    if reading.unread().len() > FEW_TEMPLATES {
        reading.list().await?;
    }
    reading.one_by_one(reading.unread()).await?;
    // Of pinned groups it only says whether there is anything newer: what this process has read will do.
    for template in reading.templates(|template, _| !floating.contains(template)) {
        if let Some(known) = facts.heads(region, &template) {
            reading.heads.entry(template).or_insert(known);
        }
    }
    let headless = reading.templates(|template, _| !reading.heads.contains_key(template));
    reading.describe(&headless).await?;
    if depth == Depth::Deploying {
        let unproven = reading.names(|template, name| !reading.is_proven(template, name));
        reading.one_by_one(unproven).await?;
    }
    Ok(reading.versions())
}

impl Reading<'_> {
    fn templates(&self, which: impl Fn(&String, &BTreeSet<String>) -> bool) -> BTreeSet<String> {
        self.wanted.iter().filter(|(template, names)| which(template, names)).map(|(id, _)| id.clone()).collect()
    }

    fn version(&self, template: &str, name: &str) -> Option<Arc<VersionOutline>> {
        let heads = self.heads.get(template).copied().unwrap_or_default();
        self.facts.outline(self.region, template, heads.number(name)?)
    }

    /// Template → those names of its versions.
    fn names(&self, which: impl Fn(&str, &str) -> bool) -> Wanted {
        let of = |(template, names): (&String, &BTreeSet<String>)| {
            let chosen = names.iter().filter(|name| which(template, name));
            (template.clone(), chosen.cloned().collect::<BTreeSet<String>>())
        };
        let there = self.wanted.iter().filter(|(template, _)| !self.gone.contains(*template));
        there.map(of).filter(|(_, names)| !names.is_empty()).collect()
    }

    /// What nothing is known of yet.
    fn unread(&self) -> Wanted {
        self.names(|template, name| self.version(template, name).is_none())
    }

    /// Whether this process has seen that the version is there: by itself, or as the newest or default one.
    fn is_proven(&self, template: &str, name: &str) -> bool {
        let heads = self.heads.get(template).copied().unwrap_or_default();
        let number = heads.number(name);
        let is_head = number.is_some() && (number == heads.latest || number == heads.default);
        is_head || number.is_some_and(|number| self.facts.get(self.region, template, number).is_some())
    }

    /// The numbers that the moving names of these templates mean now (DescribeLaunchTemplates), and which of them are gone:
    /// for one of them AWS refuses the whole question, so that each half is asked again. Without the right to ask, nothing
    /// is learned here, and what needs it asks each template by itself.
    async fn describe(&mut self, templates: &BTreeSet<String>) -> Result<(), AwsError> {
        let ids: Vec<String> = templates.iter().cloned().collect();
        let mut asked: Vec<Vec<String>> = ids.chunks(TEMPLATES_A_CALL).map(<[String]>::to_vec).collect();
        while !asked.is_empty() {
            let reads: Vec<_> = asked.iter().map(|ids| heads_of(self.aws, self.region, ids)).collect();
            let told: Vec<_> = futures_util::stream::iter(reads).buffered(SIDE_BY_SIDE).collect().await;
            let mut halves = Vec::new();
            for (ids, told) in asked.into_iter().zip(told) {
                match told {
                    Ok(heads) => heads.into_iter().for_each(|(template, heads)| self.keep_heads(&template, heads)),
                    Err(AwsError::Denied { .. }) => {}
                    Err(error) if is_missing(&error) && ids.len() == 1 => self.gone.extend(ids),
                    Err(error) if is_missing(&error) => {
                        let (left, right) = ids.split_at(ids.len() / 2);
                        halves.extend([left.to_vec(), right.to_vec()]);
                    }
                    Err(error) => return Err(error),
                }
            }
            asked = halves;
        }
        Ok(())
    }

    fn keep_heads(&mut self, template: &str, heads: Heads) {
        self.facts.keep_heads(self.region, template, heads);
        if self.wanted.contains_key(template) {
            self.heads.insert(template.to_owned(), heads);
        }
    }

    /// What `$Latest` and `$Default` rows of a template say, and the others among them.
    fn keep_rows(&mut self, rows: Vec<Version>) {
        let mut by_template: BTreeMap<String, Vec<Version>> = BTreeMap::new();
        for row in rows {
            by_template.entry(row.template.clone()).or_default().push(row);
        }
        for (template, rows) in by_template {
            if !self.heads.contains_key(&template) {
                let latest = rows.iter().map(|row| row.number).max();
                let default = rows.iter().find(|row| row.is_default).map(|row| row.number);
                // A list tells of all templates there are: those of the groups that are read next, too.
                self.keep_heads(&template, Heads { latest, default });
            }
            for row in rows {
                match self.depth {
                    Depth::Running => self.facts.keep_outline(self.region, row.outline()),
                    Depth::Deploying => drop(self.facts.keep(self.region, row)),
                }
            }
        }
    }

    /// The newest and default version of every template of the region: 200 rows a call (DescribeLaunchTemplateVersions
    /// without a template takes only `$Latest` and `$Default`).
    async fn list(&mut self) -> Result<(), AwsError> {
        let call = self.aws.ec2(self.region).describe_launch_template_versions();
        let call = call.versions("$Latest").versions("$Default").max_results(200);
        let mut next = None;
        loop {
            let send = || call.clone().set_next_token(next.clone()).send();
            let page = self.aws.patiently(Service::Ec2, self.region, send).await;
            let object = format!("all launch templates in {}", self.aws.place(self.region));
            let page = page.map_err(|error| classify("ec2:DescribeLaunchTemplateVersions", &object, error))?;
            self.keep_rows(page.launch_template_versions().iter().filter_map(Version::new).collect());
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// These versions, one call for each template.
    async fn one_by_one(&mut self, asked: Wanted) -> Result<(), AwsError> {
        let ask = async |(template, mut names): (String, BTreeSet<String>)| {
            if !self.heads.contains_key(&template) {
                names.extend(["$Latest".to_owned(), "$Default".to_owned()]);
            }
            let names: Vec<String> = names.into_iter().collect();
            match template::read(self.aws, self.region, &template, &names).await {
                // A template that is gone leaves its own groups unknown, and no others.
                Err(error) if is_missing(&error) => Ok(Vec::new()),
                rows => rows,
            }
        };
        let reads: Vec<_> = asked.into_iter().map(ask).collect();
        let found: Vec<Vec<Version>> = futures_util::stream::iter(reads).buffered(SIDE_BY_SIDE).try_collect().await?;
        self.keep_rows(found.into_iter().flatten().collect());
        Ok(())
    }

    fn versions(&self) -> Versions {
        let believed = self.names(|template, name| self.depth == Depth::Running || self.is_proven(template, name));
        let pairs = believed.into_iter().flat_map(|(id, names)| names.into_iter().map(move |name| (id.clone(), name)));
        let named = pairs.filter_map(|(id, name)| {
            let version = self.version(&id, &name)?;
            Some(((id, name), version))
        });
        let newest = self.heads.iter().filter_map(|(template, heads)| Some((template.clone(), heads.latest?)));
        Versions { named: named.collect(), newest: newest.collect() }
    }
}

/// The heads of these templates, in one call.
async fn heads_of(aws: &Aws, region: &Region, ids: &[String]) -> Result<Vec<(String, Heads)>, AwsError> {
    let call = aws.ec2(region).describe_launch_templates().set_launch_template_ids(Some(ids.to_vec()));
    let answer = aws.patiently(Service::Ec2, region, || call.clone().send()).await;
    let object = format!("{} launch templates in {}", ids.len(), aws.place(region));
    let answer = answer.map_err(|error| classify("ec2:DescribeLaunchTemplates", &object, error))?;
    let heads = answer.launch_templates().iter().filter_map(|found| {
        let heads = Heads { latest: found.latest_version_number(), default: found.default_version_number() };
        Some((found.launch_template_id()?.to_owned(), heads))
    });
    Ok(heads.collect())
}

/// EC2 has a code for every way in which an id or a version can lead nowhere: `InvalidLaunchTemplateId.NotFound`,
/// `….VersionNotFound`, `….Malformed`.
fn is_missing(error: &AwsError) -> bool {
    error.code().is_some_and(|code| code.starts_with("InvalidLaunchTemplate"))
}
