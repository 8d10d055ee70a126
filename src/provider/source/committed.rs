//! When the commit behind an image was made, where its builder wrote that down under a name that says so.

use crate::model::{AmiArtifact, Artifact, Provenance};
use jiff::Timestamp;
use jiff::fmt::strtime;

/// Names that mean the commit's time, without case, punctuation and what stands before the last `.`, `/` or `:`.
///
/// `org.opencontainers.image.created` is not among them: by the image spec it is when the image was built, and nobody
/// knows how long after the commit that was (github.com/opencontainers/image-spec, annotations.md).
const NAMES: [&str; 5] = ["committime", "committimestamp", "commitdate", "committedat", "committerdate"];
/// Who may be named before it: `git_commit_time`, `CI_COMMIT_TIMESTAMP`.
const BEFORE: [&str; 3] = ["git", "vcs", "ci"];

/// The commit's time among labels, annotations, tags or custom data.
pub(super) fn committed<'a>(said: impl IntoIterator<Item = (&'a String, &'a String)>) -> Option<Timestamp> {
    said.into_iter().filter(|(name, _)| is_name(name)).find_map(|(_, value)| moment(value.trim()))
}

/// The provenance that an AMI's tags tell.
pub(super) fn of_ami(ami: &AmiArtifact) -> Provenance {
    Provenance { commit_time: committed(&ami.facts.tags), ..Provenance::default() }
}

/// The provenance that the AMIs among these tell: the first that says something counts.
pub(super) fn of_amis(artifacts: &[Artifact]) -> Provenance {
    let amis = artifacts.iter().filter_map(|artifact| match artifact {
        Artifact::Ami(ami) => Some(of_ami(ami)),
        Artifact::Oci(_) => None,
    });
    amis.into_iter().find(|said| said.commit_time.is_some()).unwrap_or_default()
}

fn is_name(name: &str) -> bool {
    let last = name.rsplit(['.', '/', ':']).next().unwrap_or(name);
    let word: String = last.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let word = BEFORE.iter().find_map(|before| word.strip_prefix(before)).unwrap_or(&word);
    NAMES.contains(&word)
}

/// RFC 3339, git's `%ci`, or seconds since 1970 as in git's `%ct`.
fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    let gits = || strtime::parse("%Y-%m-%d %H:%M:%S %z", text).ok()?.to_timestamp().ok();
    text.parse().ok().or_else(gits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn said(name: &str, value: &str) -> Option<String> {
        committed(&BTreeMap::from([(name.to_owned(), value.to_owned())])).map(|at| at.to_string())
    }

    #[test]
    fn a_time_is_taken_under_a_name_that_says_it_is_the_commits() {
        for name in
            ["commit_time", "CommitTime", "com.example.git.commit-time", "CI_COMMIT_TIMESTAMP", "imgctl:committed-at"]
        {
            assert_eq!(said(name, "2026-11-20T10:00:00+01:00").as_deref(), Some("2026-11-20T09:00:00Z"), "{name}");
        }
        for name in ["org.opencontainers.image.created", "created", "build_time", "commit", "time", "commit_count"] {
            assert_eq!(said(name, "2026-11-20T10:00:00Z"), None, "{name}");
        }
    }

    #[test]
    fn a_time_is_read_as_git_prints_it() {
        let at = Some("2026-11-20T09:00:00Z".to_owned());
        assert_eq!(
            [said("commit_time", "2026-11-20 10:00:00 +0100"), said("commit_time", "1795165200")],
            [at.clone(), at]
        );
        for bad in ["", "yesterday", "2026-11-20", "2026-11-20T10:00:00", "99999999999999999999"] {
            assert_eq!(said("commit_time", bad), None, "{bad}: what has no zone is no moment");
        }
    }
}
