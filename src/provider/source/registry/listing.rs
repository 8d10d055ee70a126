//! The tags of a repository, page by page, following the registry's own links.

use super::wire::Question;
use super::{RegistryError, RegistrySource};
use crate::model::Repository;
use reqwest::{Method, Url};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

const PAGE: usize = 1000;
/// A page of a thousand of the longest tags, several times over.
const PAGE_BYTES: usize = 16 * 1024 * 1024;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl RegistrySource {
    /// Every tag of the repository. `page` is told each page as it comes, and may end the listing.
    pub async fn tags(
        &self,
        repository: &Repository,
        page: &mut (dyn FnMut(Vec<String>) -> ControlFlow<()> + Send),
    ) -> Result<(), RegistryError> {
        let place = self.place(repository).await?;
        let mut path = format!("/v2/{}/tags/list?n={PAGE}", place.path);
        let mut walked = BTreeSet::new();
        loop {
            let object = format!("the tags of {repository}");
            let garbled =
                |why: String| RegistryError::Garbled { host: place.door.host.clone(), object: object.clone(), why };
            if !walked.insert(path.clone()) {
                return Err(garbled("its pages lead in a circle".to_owned()));
            }
            let question = Question {
                path,
                accept: None,
                object: object.clone(),
                limit: PAGE_BYTES,
                ..place.manifest(Method::GET, "tags")
            };
            let reply = place.door.ask(&question).await?;
            let read: Page = serde_json::from_slice(&reply.bytes).map_err(|error| garbled(error.to_string()))?;
            if page(read.tags.unwrap_or_default()).is_break() {
                return Ok(());
            }
            let link = reply.header("link").unwrap_or_default();
            match following(link, &format!("{}{}", place.door.base, question.path)).map_err(garbled)? {
                Some(following) => path = following,
                None => return Ok(()),
            }
        }
    }
}

/// The path and query of the `rel="next"` link (RFC 8288), which must not lead to another host: the next request
/// carries our authorization.
fn following(header: &str, here: &str) -> Result<Option<String>, String> {
    for link in header.split(',') {
        let Some((target, parameters)) = link.split_once('>') else { continue };
        let is_next = parameters.split(';').any(|parameter| {
            let (name, value) = parameter.trim().split_once('=').unwrap_or_default();
            name.eq_ignore_ascii_case("rel") && value.trim_matches('"').eq_ignore_ascii_case("next")
        });
        if !is_next {
            continue;
        }
        let here = Url::parse(here).map_err(|error| error.to_string())?;
        let url = here.join(target.trim().trim_start_matches('<')).map_err(|error| error.to_string())?;
        if url.origin() != here.origin() {
            return Err(format!("its link to the next page leads to {}", url.host_str().unwrap_or("nowhere")));
        }
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Ok(Some(format!("{}{query}", url.path())));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "https://r.example.com/v2/team/web/tags/list?n=2";

    #[test]
    fn the_next_page_is_where_the_registry_says() {
        let absolute = r#"</v2/team/web/tags/list?last=b&n=2>; rel="next""#;
        assert_eq!(following(absolute, HERE), Ok(Some("/v2/team/web/tags/list?last=b&n=2".to_owned())));
        assert_eq!(
            following("<list?next_page=gAAA%3D>; rel=next", HERE),
            Ok(Some("/v2/team/web/tags/list?next_page=gAAA%3D".to_owned()))
        );
        let two = r#"</first>; rel="first", <?last=z>; rel="next""#;
        assert_eq!(following(two, HERE), Ok(Some("/v2/team/web/tags/list?last=z".to_owned())));
        assert_eq!(following(r#"</first>; rel="prev""#, HERE), Ok(None));
        let whole = r#"<https://r.example.com/v2/team/web/tags/list?last=c>; rel="next""#;
        assert_eq!(following(whole, HERE), Ok(Some("/v2/team/web/tags/list?last=c".to_owned())));
    }

    #[test]
    fn a_link_to_another_host_is_not_followed() {
        assert!(following(r#"<https://evil.example.com/v2/x?n=2>; rel="next""#, HERE).is_err());
        assert!(following(r#"<http://r.example.com/v2/x?n=2>; rel="next""#, HERE).is_err());
        assert!(following(r#"<//evil.example.com/v2/x>; rel="next""#, HERE).is_err());
    }
}
