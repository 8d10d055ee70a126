//! Every way a call to AWS can fail, in the words of the person who has to do something about it.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use std::error::Error;
use std::fmt;

/// What services say of a missing thing that keep to no common form.
const MISSING: [&str; 4] = ["NoSuchBucket", "NoSuchKey", "ParameterNotFound", "ParameterVersionNotFound"];

/// How AWS says that it is asked too often.
pub(super) const THROTTLED: [&str; 9] = [
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "EC2ThrottledException",
    "SlowDown",
];

pub(super) fn is_throttled(code: &str) -> bool {
    THROTTLED.contains(&code)
}

/// One call: the IAM action, as in `ec2:DescribeImages`, and what it was about, as in `ami-… in eu-west-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub action: &'static str,
    pub object: String,
}

impl Call {
    fn service(&self) -> &'static str {
        match self.action.split_once(':').map_or(self.action, |(service, _)| service) {
            "cloudformation" => "CloudFormation",
            "cloudtrail" => "CloudTrail",
            "ec2" => "EC2",
            "autoscaling" => "Auto Scaling",
            "ecs" => "ECS",
            "s3" => "S3",
            "ssm" => "SSM",
            "sts" => "STS",
            other => other,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.action.split_once(':').map_or(self.action, |(_, name)| name);
        write!(f, "{} {name} of {}", self.service(), self.object)
    }
}

/// The innermost cause, without the layers of the client around it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

/// Why a call to AWS failed. Messages carry no secret: AWS puts none into its own.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AwsError {
    #[error("{call} needs AWS credentials, and none were found")]
    NoCredentials { call: Call },
    #[error("{call} needs AWS credentials, and they could not be had")]
    CredentialsFailed {
        call: Call,
        #[source]
        source: Cause,
    },
    #[error("the AWS credentials have expired ({call})")]
    ExpiredCredentials { call: Call },
    #[error("AWS does not accept these credentials ({call}: {code})")]
    RejectedCredentials { call: Call, code: String },
    #[error("{call} was denied: {message}")]
    Denied { call: Call, message: String },
    #[error("{call} was throttled, and still after several retries")]
    Throttled { call: Call },
    #[error("{call}: {what}")]
    NotFound { call: Call, code: String, what: String },
    #[error("{} could not be reached ({call})", .call.service())]
    Unreachable {
        call: Call,
        #[source]
        source: Cause,
    },
    #[error("{call} was not answered in time")]
    Timeout { call: Call },
    #[error("{call} failed: {message} ({code}{})", .request_id.as_ref().map(|id| format!(", request {id}")).unwrap_or_default())]
    Other { call: Call, code: String, message: String, request_id: Option<String>, status: Option<u16> },
}

impl AwsError {
    pub fn call(&self) -> &Call {
        match self {
            Self::NoCredentials { call }
            | Self::CredentialsFailed { call, .. }
            | Self::ExpiredCredentials { call }
            | Self::RejectedCredentials { call, .. }
            | Self::Denied { call, .. }
            | Self::Throttled { call }
            | Self::NotFound { call, .. }
            | Self::Unreachable { call, .. }
            | Self::Timeout { call }
            | Self::Other { call, .. } => call,
        }
    }

    /// AWS's own error code, where it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::NotFound { code, .. } | Self::RejectedCredentials { code, .. } | Self::Other { code, .. } => {
                Some(code)
            }
            _ => None,
        }
    }

    /// Whether this says nothing about the object: no answer, or one about something else (our pace, our credentials,
    /// AWS's health). What was asked for may or may not have been done.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Throttled { .. }
            | Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::ExpiredCredentials { .. } => true,
            Self::CredentialsFailed { .. } => true,
            Self::Other { status, .. } => status.is_none_or(|status| status >= 500),
            Self::NoCredentials { .. }
            | Self::RejectedCredentials { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. } => false,
        }
    }

    /// What to do next, as a person would type it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoCredentials { .. } => {
                "name a profile that exists (AWS_PROFILE, or `profile` under [aws]), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
            }
            Self::CredentialsFailed { .. } => "check the profile: aws sts get-caller-identity",
            Self::ExpiredCredentials { .. } => {
                "get new ones (aws sso login, or the way you got these), then run the same command again"
            }
            Self::RejectedCredentials { .. } => "check which credentials are used: aws sts get-caller-identity",
            Self::Denied { call, .. } => {
                return format!("allow {} to this identity: aws sts get-caller-identity says which it is", call.action);
            }
            Self::Throttled { .. } => "wait a minute, then run the same command again",
            Self::NotFound { .. } => "check the id, the region and the account: aws sts get-caller-identity",
            Self::Unreachable { .. } | Self::Timeout { .. } => {
                "check the network, the region's name, HTTPS_PROXY and AWS_ENDPOINT_URL"
            }
            Self::Other { .. } => "run the same command again with -vv to see the calls",
        }
        .to_owned()
    }
}

/// Reads an SDK error. `action` is the IAM action, `object` what the call was about with its region.
pub fn classify<E>(action: &'static str, object: &str, error: SdkError<E>) -> AwsError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let call = Call { action, object: object.to_owned() };
    if let Some(failure) = credentials_failure(&call, &error) {
        return failure;
    }
    match &error {
        SdkError::TimeoutError(_) => return AwsError::Timeout { call },
        SdkError::DispatchFailure(failure) if failure.is_timeout() => return AwsError::Timeout { call },
        SdkError::DispatchFailure(_) => return AwsError::Unreachable { call, source: innermost(&error) },
        SdkError::ServiceError(_) | SdkError::ResponseError(_) | SdkError::ConstructionFailure(_) | _ => {}
    }
    let request_id = error.request_id().map(str::to_owned);
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.code().unwrap_or_default().to_owned();
    let message = error.message().map_or_else(|| innermost(&error).0, without_blob);
    by_code(call, code, message, request_id, status)
}

fn by_code(call: Call, code: String, message: String, request_id: Option<String>, status: Option<u16>) -> AwsError {
    match code.as_str() {
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired" => {
            AwsError::ExpiredCredentials { call }
        }
        code if is_throttled(code) => AwsError::Throttled { call },
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => AwsError::Denied { call, message },
        // EC2 uses one code for credentials it does not know and for things of another account.
        "AuthFailure" if message.contains("Not authorized") => AwsError::Denied { call, message },
        "AuthFailure"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "InvalidSignatureException" => AwsError::RejectedCredentials { call, code },
        found if found.ends_with(".NotFound") || found.ends_with("NotFoundException") || MISSING.contains(&found) => {
            AwsError::NotFound { call, code, what: message }
        }
        _ => AwsError::Other {
            call,
            code: if code.is_empty() { "no error code".to_owned() } else { code },
            message,
            request_id,
            status,
        },
    }
}

/// What the credential providers said, if it was they who failed: the SDK hides it among the connection's errors.
fn credentials_failure(call: &Call, error: &(dyn Error + 'static)) -> Option<AwsError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(failure) = error.downcast_ref::<CredentialsError>() {
            let call = call.clone();
            let source = innermost(error);
            return Some(match failure {
                CredentialsError::CredentialsNotLoaded(_) => AwsError::NoCredentials { call },
                _ if source.0.contains("expired") => AwsError::ExpiredCredentials { call },
                _ => AwsError::CredentialsFailed { call, source },
            });
        }
        cause = error.source();
    }
    None
}

fn innermost(error: &dyn Error) -> Cause {
    let mut last = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        last = error.to_string();
        cause = error.source();
    }
    Cause(last)
}

/// EC2 appends a kilobyte that only `aws sts decode-authorization-message` can read.
fn without_blob(message: &str) -> String {
    let short = message.split("Encoded authorization failure message").next().unwrap_or(message);
    short.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: &str, message: &str, status: u16) -> AwsError {
        let call = Call { action: "ec2:DescribeImages", object: "ami-1 in eu-west-1".to_owned() };
        by_code(call, code.to_owned(), without_blob(message), Some("r-1".to_owned()), Some(status))
    }

    #[test]
    fn each_code_is_read_as_what_it_means() {
        assert!(matches!(read("RequestExpired", "Request has expired.", 400), AwsError::ExpiredCredentials { .. }));
        assert!(matches!(read("RequestLimitExceeded", "", 503), AwsError::Throttled { .. }));
        assert!(matches!(read("AuthFailure", "Not authorized for image:ami-1", 403), AwsError::Denied { .. }));
        assert!(matches!(
            read("AuthFailure", "AWS was not able to validate", 401),
            AwsError::RejectedCredentials { .. }
        ));
        assert!(matches!(
            read("InvalidAMIID.NotFound", "The image id '[ami-1]' does not exist", 400),
            AwsError::NotFound { .. }
        ));
    }

    #[test]
    fn a_message_names_the_call_and_carries_no_blob() {
        let denied =
            read("UnauthorizedOperation", "You are not authorized. Encoded authorization failure message: AbC", 403);
        assert_eq!(denied.to_string(), "EC2 DescribeImages of ami-1 in eu-west-1 was denied: You are not authorized");
        assert!(denied.hint().contains("ec2:DescribeImages"));
        let other = read("OptInRequired", "You are not subscribed", 401);
        assert_eq!(
            other.to_string(),
            "EC2 DescribeImages of ami-1 in eu-west-1 failed: You are not subscribed (OptInRequired, request r-1)"
        );
    }

    #[test]
    fn only_what_says_nothing_of_the_object_is_silence() {
        assert!(read("InternalError", "", 500).is_silence() && read("Throttling", "", 400).is_silence());
        assert!(!read("ValidationError", "", 400).is_silence() && !read("AccessDenied", "", 403).is_silence());
    }
}
