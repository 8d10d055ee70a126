//! What AWS says once and for ever, kept under a key that no other account, region, service or emulator has.

use super::{Aws, Service};
use crate::model::{Facts, Region};
use aws_types::service_config::ServiceConfigKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Whose fact it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::provider) struct Place<'a> {
    pub(in crate::provider) service: Service,
    /// Twelve digits.
    pub(in crate::provider) account: &'a str,
    pub(in crate::provider) region: &'a Region,
}

impl Aws {
    /// The same, with facts that were read by earlier runs, and for later ones.
    pub fn remembering(self, facts: Arc<dyn Facts>) -> Self {
        Self { facts, ..self }
    }

    /// What was kept of this thing. What cannot be read any more was written by another imgctl, and is asked anew.
    pub(in crate::provider) fn recall<T: DeserializeOwned>(&self, place: &Place<'_>, thing: &str) -> Option<T> {
        serde_json::from_str(&self.facts.get(&self.key(place, thing))?).ok()
    }

    /// Keeps what never changes, and nothing that may be secret: it goes to the disk as it is.
    pub(in crate::provider) fn remember<T: Serialize>(&self, place: &Place<'_>, thing: &str, fact: &T) {
        if let Ok(value) = serde_json::to_string(fact) {
            self.facts.keep(&self.key(place, thing), &value);
        }
    }

    fn key(&self, Place { service, account, region }: &Place<'_>, thing: &str) -> String {
        let cloud = self.endpoint(*service).unwrap_or_else(|| "aws".to_owned());
        format!("{cloud} {account} {region} {} {thing}", service.id())
    }

    /// Where a service is asked, if not where AWS itself has it: as the SDK reads it (AWS SDKs reference guide,
    /// "Service-specific endpoints").
    fn endpoint(&self, service: Service) -> Option<String> {
        let key = ServiceConfigKey::builder().service_id(service.id()).env("AWS_ENDPOINT_URL").profile("endpoint_url");
        let own = self.config.service_config().zip(key.build().ok());
        let own = own.and_then(|(config, key)| config.load_config(key));
        own.or_else(|| self.config.endpoint_url().map(str::to_owned))
    }
}

/// The account that a thing belongs to: the fifth part of its ARN.
pub(in crate::provider) fn account_of(arn: &str) -> Option<&str> {
    let account = arn.strip_prefix("arn:")?.split(':').nth(3)?;
    Some(account).filter(|account| account.len() == 12 && account.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fact::Notes;
    use aws_config::SdkConfig;

    fn place<'a>(account: &'a str, region: &'a Region) -> Place<'a> {
        Place { service: Service::Ecs, account, region }
    }

    #[test]
    fn a_fact_of_one_account_region_or_emulator_answers_for_no_other() {
        let notes = Arc::new(Notes::default());
        let at = |endpoint: Option<&str>| {
            let mut config = SdkConfig::builder();
            config.set_endpoint_url(endpoint.map(str::to_owned));
            Aws::from_config(config.build()).remembering(Arc::clone(&notes) as Arc<dyn Facts>)
        };
        let (here, there): (Region, Region) = ("eu-west-1".parse().unwrap(), "us-east-1".parse().unwrap());
        let own = place("123456789012", &here);
        at(None).remember(&own, "web:1", &"an image");
        let recalled = |aws: &Aws, place: &Place<'_>, thing: &str| aws.recall::<String>(place, thing);
        assert_eq!(recalled(&at(None), &own, "web:1").as_deref(), Some("an image"));
        assert_eq!(recalled(&at(Some("http://localhost:4566")), &own, "web:1"), None);
        assert_eq!(recalled(&at(None), &place("210987654321", &here), "web:1"), None);
        assert_eq!(recalled(&at(None), &place("123456789012", &there), "web:1"), None);
        assert_eq!(recalled(&at(None), &Place { service: Service::Ec2, ..own.clone() }, "web:1"), None);
        assert_eq!(recalled(&at(None), &own, "web:2"), None);
        assert_eq!(at(None).recall::<u32>(&own, "web:1"), None, "what another imgctl wrote is not understood");
    }

    #[test]
    fn an_arn_names_its_account() {
        assert_eq!(account_of("arn:aws:ecs:eu-west-1:123456789012:task-definition/web:3"), Some("123456789012"));
        assert_eq!(account_of("arn:aws-cn:ecs:cn-north-1:123456789012:service/a/b"), Some("123456789012"));
        for text in ["web:3", "arn:aws:s3:::bucket", "arn:aws:ecs:eu-west-1:someone:x"] {
            assert_eq!(account_of(text), None, "{text}");
        }
    }
}
