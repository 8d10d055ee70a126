//! Who did it: the AWS identity where the cloud is asked anyway, else user and host; and the CI job, never its secrets.

use crate::cli::config::Surroundings;
use crate::model::Actor;
use crate::provider::aws::Aws;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

/// Names and numbers that CI systems set, by the variable that tells the system. Tokens are not among them.
const CI: &[(&str, &[&str])] = &[
    (
        "GITHUB_ACTIONS",
        &[
            "GITHUB_REPOSITORY",
            "GITHUB_WORKFLOW",
            "GITHUB_JOB",
            "GITHUB_RUN_ID",
            "GITHUB_RUN_ATTEMPT",
            "GITHUB_ACTOR",
            "GITHUB_SHA",
        ],
    ),
    (
        "GITLAB_CI",
        &[
            "CI_PROJECT_PATH",
            "CI_PIPELINE_ID",
            "CI_JOB_ID",
            "CI_JOB_NAME",
            "CI_JOB_URL",
            "GITLAB_USER_LOGIN",
            "CI_COMMIT_SHA",
        ],
    ),
    (
        "BUILDKITE",
        &[
            "BUILDKITE_PIPELINE_SLUG",
            "BUILDKITE_BUILD_NUMBER",
            "BUILDKITE_JOB_ID",
            "BUILDKITE_BUILD_URL",
            "BUILDKITE_COMMIT",
        ],
    ),
    ("JENKINS_URL", &["JOB_NAME", "BUILD_NUMBER", "BUILD_URL", "GIT_COMMIT"]),
    (
        "CIRCLECI",
        &["CIRCLE_PROJECT_REPONAME", "CIRCLE_WORKFLOW_ID", "CIRCLE_BUILD_NUM", "CIRCLE_BUILD_URL", "CIRCLE_SHA1"],
    ),
    (
        "TF_BUILD",
        &["BUILD_DEFINITIONNAME", "BUILD_BUILDID", "SYSTEM_TEAMPROJECT", "BUILD_REQUESTEDFOR", "BUILD_SOURCEVERSION"],
    ),
    ("CODEBUILD_BUILD_ID", &["CODEBUILD_BUILD_ID", "CODEBUILD_BUILD_ARN", "CODEBUILD_RESOLVED_SOURCE_VERSION"]),
    ("BITBUCKET_BUILD_NUMBER", &["BITBUCKET_REPO_FULL_NAME", "BITBUCKET_BUILD_NUMBER", "BITBUCKET_COMMIT"]),
];

/// `user@host`, with the CI job.
pub fn local(surroundings: &Surroundings) -> Actor {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let named = ["USER", "LOGNAME"].iter().find_map(|name| surroundings.variable(name));
    let user = named.map(str::to_owned).or_else(login).unwrap_or_else(|| "unknown".to_owned());
    Actor { who: format!("{user}@{host}"), host: Some(host), ci: ci(&surroundings.variables) }
}

/// The owner of this process by the user database: services and containers often run without `USER`.
fn login() -> Option<String> {
    let uid = std::fs::metadata("/proc/self").ok()?.uid();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found =
        users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find_map(|fields| match fields.as_slice() {
            [name, _, id, ..] if id.parse() == Ok(uid) => Some((*name).to_owned()),
            _ => None,
        });
    Some(found.unwrap_or_else(|| format!("uid-{uid}")))
}

/// The AWS identity, where one answers; else as above. Not knowing it must not stop anybody.
pub async fn signed(surroundings: &Surroundings, aws: &Aws) -> Actor {
    let local = local(surroundings);
    match aws.identity().await {
        Ok(identity) => Actor { who: identity.arn.clone(), ..local },
        Err(_) => local,
    }
}

fn ci(variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let here = CI.iter().filter(|(mark, _)| variables.get(*mark).is_some_and(|value| !value.is_empty()));
    let known = here.flat_map(|(_, names)| names.iter());
    let set = known.filter_map(|name| Some(((*name).to_owned(), without_secrets(variables.get(*name)?))));
    set.filter(|(_, value)| !value.is_empty()).collect()
}

/// A URL may carry a name and a password before its host: cut, whatever they are. Nothing of a size that is no name.
fn without_secrets(value: &str) -> String {
    let value: String = value.chars().filter(|c| !c.is_control()).take(300).collect();
    let Some((scheme, rest)) = value.split_once("://") else { return value };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_ci_job_is_named_and_its_secrets_are_not() {
        let found = ci(&variables(&[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_RUN_ID", "77"),
            ("GITHUB_TOKEN", "CANARY"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "CANARY"),
            ("CI_JOB_ID", "not this system"),
        ]));
        assert_eq!(found, variables(&[("GITHUB_RUN_ID", "77")]));
        let url = "https://bot:CANARY@ci.example.com/job/1?token=CANARY#x";
        let found = ci(&variables(&[("JENKINS_URL", "https://ci.example.com/"), ("BUILD_URL", url)]));
        assert_eq!(found["BUILD_URL"], "https://ci.example.com/job/1");
    }

    #[test]
    fn without_a_cloud_an_actor_is_user_and_host() {
        let surroundings = Surroundings { variables: variables(&[("USER", "ana")]), ..Surroundings::default() };
        let actor = local(&surroundings);
        assert_eq!(actor.who, format!("ana@{}", actor.host.unwrap()));
    }
}
