//! A CloudFormation stack as its API tells it, with the stacks within it, put into one document of the API's own words.
//!
//! Four reading calls: DescribeStacks, GetTemplate (as processed), ListStackResources, and ListExports where the template imports
//! something. CloudFormation's own drift detection is not asked: it writes, takes minutes, and does not look at a group's instances
//! (<https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DetectStackDrift.html>).

use super::{FetchError, StateSource};
use crate::model::Region;
use crate::provider::aws::{Aws, classify};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudformation::types::{Stack, StackResourceSummary, TemplateStage};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Deeper than stacks are nested by anybody; CloudFormation itself stops at a number of operations, not at a depth.
const DEEPEST: usize = 10;

/// One stack, by name or ARN.
pub(super) struct StateStack {
    pub(super) name: String,
    pub(super) stack: String,
    pub(super) region: Region,
    pub(super) aws: Arc<Aws>,
}

impl StateStack {
    /// The stack and, as `Nested`, those that its resources are.
    fn document<'a>(
        &'a self,
        client: &'a Client,
        stack: &'a str,
        depth: usize,
    ) -> BoxFuture<'a, Result<Value, FetchError>> {
        Box::pin(async move {
            let described = self.describe(client, stack).await?;
            let id = described.stack_id().unwrap_or(stack);
            let template = self.template(client, id).await?;
            let resources = self.resources(client, id).await?;
            let exports = if template.contains("ImportValue") { self.exports(client).await? } else { Value::Null };
            let mut nested = Map::new();
            for resource in resources.iter().filter(|_| depth < DEEPEST).filter(|each| is_stack(each)) {
                if let (Some(logical), Some(physical)) =
                    (resource.logical_resource_id(), resource.physical_resource_id())
                {
                    nested.insert(logical.to_owned(), self.document(client, physical, depth + 1).await?);
                }
            }
            let mut document = json!({
                "StackId": id,
                "StackName": described.stack_name(),
                "StackStatus": described.stack_status().map(|status| status.as_str()).unwrap_or_default(),
                "Parameters": described.parameters().iter().map(|each| json!({
                    "ParameterKey": each.parameter_key(),
                    "ParameterValue": each.parameter_value().unwrap_or_default(),
                    "ResolvedValue": each.resolved_value(),
                })).collect::<Vec<_>>(),
                "Outputs": described.outputs().iter().map(|each| json!({
                    "OutputKey": each.output_key(), "OutputValue": each.output_value().unwrap_or_default(),
                })).collect::<Vec<_>>(),
                "TemplateBody": template,
                "StackResources": resources.iter().map(summary).collect::<Vec<_>>(),
                "Nested": nested,
            });
            if let (Some(members), false) = (document.as_object_mut(), exports.is_null()) {
                members.insert("Exports".to_owned(), exports);
            }
            Ok(document)
        })
    }

    async fn describe(&self, client: &Client, stack: &str) -> Result<Stack, FetchError> {
        let missing = || FetchError::NoStack { name: self.name.clone(), region: self.aws.place(&self.region) };
        let answer = client.describe_stacks().stack_name(stack).send().await;
        let answer = answer.map_err(|error| {
            // "Stack with id NAME does not exist", of the same code as a name that is none.
            let is_missing = error.code() == Some("ValidationError")
                && error.message().is_some_and(|message| message.contains("does not exist"));
            if is_missing { missing() } else { self.failed("cloudformation:DescribeStacks", error) }
        })?;
        // Asked for by its id, a stack that was deleted is described for 90 days.
        let is_gone = |stack: &Stack| stack.stack_status().is_some_and(|status| status.as_str() == "DELETE_COMPLETE");
        answer.stacks.unwrap_or_default().into_iter().find(|stack| !is_gone(stack)).ok_or_else(missing)
    }

    async fn template(&self, client: &Client, stack: &str) -> Result<String, FetchError> {
        let get = client.get_template().stack_name(stack).template_stage(TemplateStage::Processed);
        let answer = get.send().await.map_err(|error| self.failed("cloudformation:GetTemplate", error))?;
        Ok(answer.template_body.unwrap_or_default())
    }

    async fn resources(&self, client: &Client, stack: &str) -> Result<Vec<StackResourceSummary>, FetchError> {
        let pages = client.list_stack_resources().stack_name(stack).into_paginator().items().send();
        let all = pages.collect::<Result<Vec<_>, _>>().await;
        all.map_err(|error| self.failed("cloudformation:ListStackResources", error))
    }

    async fn exports(&self, client: &Client) -> Result<Value, FetchError> {
        let pages = client.list_exports().into_paginator().items().send();
        let all = pages.collect::<Result<Vec<_>, _>>().await;
        let all = all.map_err(|error| self.failed("cloudformation:ListExports", error))?;
        Ok(all.iter().map(|each| json!({"Name": each.name(), "Value": each.value()})).collect())
    }

    fn failed<E>(&self, action: &'static str, error: SdkError<E>) -> FetchError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        FetchError::Aws(Box::new(classify(action, &self.name, error)))
    }
}

fn is_stack(resource: &StackResourceSummary) -> bool {
    resource.resource_type() == Some("AWS::CloudFormation::Stack")
        && resource.resource_status().is_none_or(|status| status.as_str() != "DELETE_COMPLETE")
}

fn summary(resource: &StackResourceSummary) -> Value {
    json!({
        "LogicalResourceId": resource.logical_resource_id(),
        "PhysicalResourceId": resource.physical_resource_id(),
        "ResourceType": resource.resource_type(),
        "ResourceStatus": resource.resource_status().map(|status| status.as_str()),
    })
}

#[async_trait::async_trait]
impl StateSource for StateStack {
    fn name(&self) -> &str {
        &self.name
    }

    async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let client = self.aws.cloudformation(&self.region);
        self.document(&client, &self.stack, 0).await.map(|document| document.to_string().into_bytes())
    }
}
