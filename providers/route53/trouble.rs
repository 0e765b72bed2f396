//! What AWS answers when it does not do what it was asked.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_route53::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use mcdns_core::dns::OwnerName;
use mcdns_publish::PublishError;

/// Longest text of an error that is kept.
const MAX_WORDS: usize = 600;

/// A call that went wrong, by what to do about it. The words are those of AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Too many calls of the account. Nothing was done.
    Throttled(String),
    /// Another change of the same zone is not complete. Nothing was done.
    Busy(String),
    /// The change batch is refused; one text for each thing that is wrong. Nothing was done.
    Refused(Vec<String>),
    /// There is no such zone (any more). Nothing was done.
    NoZone(String),
    /// Credentials are missing, expired or not enough. Nothing was done.
    Denied(String),
    /// Perhaps done: no answer, or one that says that the service does not work.
    Unavailable(String),
    /// An answer that makes no sense. Perhaps done.
    Garbage(String),
}

/// Codes of refusals that a person has to do something about.
const DENIED: [&str; 13] = [
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "NotAuthorizedException",
    "OptInRequired",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Codes of answers to too many calls.
const THROTTLED: [&str; 6] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "TooManyRequestsException",
    "RequestLimitExceeded",
];

impl Trouble {
    /// What an error of the SDK means.
    pub(crate) fn of<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E, HttpResponse>) -> Self {
        if let Some(credentials) = credentials_error(error) {
            return match credentials {
                // Whoever gives credentials does not answer.
                CredentialsError::ProviderTimedOut(_) => Self::Unavailable(chain(error)),
                _ => Self::Denied(chain(error)),
            };
        }
        match error {
            SdkError::ServiceError(context) => {
                let status = context.raw().status().as_u16();
                Self::of_answer(status, context.err().code(), context.err().message(), &chain(error))
            }
            SdkError::ResponseError(_) => Self::Garbage(chain(error)),
            SdkError::ConstructionFailure(_) => Self::Refused(vec![chain(error)]),
            _ => Self::Unavailable(chain(error)),
        }
    }

    /// What an answer means by its status, code and message.
    fn of_answer(status: u16, code: Option<&str>, message: Option<&str>, all: &str) -> Self {
        let words = match (code, message) {
            (Some(code), Some(message)) => shortened(&format!("{code}: {message}")),
            (Some(code), None) => code.to_owned(),
            (None, _) => all.to_owned(),
        };
        match code {
            Some(code) if THROTTLED.contains(&code) => Self::Throttled(words),
            Some("PriorRequestNotComplete") => Self::Busy(words),
            Some(code) if DENIED.contains(&code) => Self::Denied(words),
            Some("NoSuchHostedZone") => Self::NoZone(words),
            Some("InvalidChangeBatch" | "InvalidInput" | "NoSuchHealthCheck") => {
                Self::Refused(vec![message.unwrap_or(all).to_owned()])
            }
            _ if status == 429 => Self::Throttled(words),
            _ if status >= 500 => Self::Unavailable(words),
            // A proxy's page, or the answer to something that was never asked.
            None => Self::Garbage(format!("HTTP {status}: {words}")),
            Some(_) if status == 401 || status == 403 => Self::Denied(words),
            Some(_) if (400..500).contains(&status) => Self::Refused(vec![words]),
            Some(_) => Self::Garbage(words),
        }
    }

    /// As the loop knows it.
    pub(crate) fn for_loop(self, apex: &OwnerName) -> PublishError {
        match self {
            Self::Throttled(words) | Self::Busy(words) => PublishError::Throttled { after: None, words },
            Self::Refused(words) => PublishError::Refused { group: None, words: words.join("; ") },
            Self::NoZone(words) => PublishError::NoZone { apex: apex.clone(), words },
            Self::Denied(words) => PublishError::Denied { words },
            Self::Unavailable(words) => PublishError::Unavailable { words },
            Self::Garbage(words) => PublishError::Garbage { words },
        }
    }
}

/// The reason behind an error, if that is credentials.
fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<CredentialsError>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The error with its reasons, each once: `dispatch failure: the credential provider was not enabled`.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !text.is_empty() && !words.iter().any(|known| known.contains(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    shortened(&words.join(": "))
}

fn shortened(words: &str) -> String {
    match words.char_indices().nth(MAX_WORDS) {
        Some((at, _)) => format!("{} …", &words[..at]),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(400, "Throttling", "Rate exceeded", "throttled")]
    #[case(400, "ThrottlingException", "Rate exceeded", "throttled")]
    #[case(400, "PriorRequestNotComplete", "The request was rejected", "throttled")]
    #[case(403, "AccessDenied", "User: x is not authorized", "denied")]
    #[case(403, "ExpiredToken", "The security token included in the request is expired", "denied")]
    #[case(403, "InvalidClientTokenId", "The security token included in the request is invalid.", "denied")]
    #[case(404, "NoSuchHostedZone", "No hosted zone found with ID: Z1", "no-zone")]
    #[case(400, "InvalidChangeBatch", "[Tried to create …]", "refused")]
    #[case(400, "InvalidInput", "Invalid XML", "refused")]
    #[case(500, "InternalFailure", "", "unavailable")]
    #[case(503, "ServiceUnavailable", "", "unavailable")]
    fn answers_are_told_apart_by_code(#[case] status: u16, #[case] code: &str, #[case] text: &str, #[case] kind: &str) {
        let apex = OwnerName::parse("example.com").expect("a name");
        let error = Trouble::of_answer(status, Some(code), Some(text), "all").for_loop(&apex);
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(text), "{error}");
    }

    #[test]
    fn an_answer_without_a_code_is_garbage() {
        assert_eq!(Trouble::of_answer(404, None, None, "<html>"), Trouble::Garbage("HTTP 404: <html>".to_owned()));
        assert_eq!(Trouble::of_answer(502, None, None, "<html>"), Trouble::Unavailable("<html>".to_owned()));
    }
}
