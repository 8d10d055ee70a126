//! Task definitions as they go over the wire, whole: what this SDK does not know of yet must not be lost.

use aws_sdk_ecs::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_ecs::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ecs::error::BoxError;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// Keeps the answer's own JSON.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer(Arc<Mutex<Option<Value>>>);

impl Answer {
    /// What the answer said, once it has come.
    pub(super) fn take(&self) -> Option<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Intercept for Answer {
    fn name(&self) -> &'static str {
        "TaskDefinitionAnswer"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes();
        let json = body.and_then(|bytes| serde_json::from_slice(bytes).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = json;
        Ok(())
    }
}

/// Sends this JSON in place of what the SDK made of its own fields.
#[derive(Debug)]
pub(super) struct Request(pub(super) Vec<u8>);

impl Intercept for Request {
    fn name(&self) -> &'static str {
        "TaskDefinitionRequest"
    }

    /// Before it is signed: the signature is over the body.
    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.headers_mut().insert("content-length", self.0.len().to_string());
        *request.body_mut() = self.0.clone().into();
        Ok(())
    }
}
