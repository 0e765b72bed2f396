//! What an API server's refusal means, and what a person has to do about it.

use std::{fmt::Write as _, time::Duration};

use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

/// Longest time a server may ask us to wait with `Retry-After`. Longer than that is asked again anyway.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// Longest message of a server that is kept, in bytes.
const MESSAGE_LIMIT: usize = 512;

/// Why a request failed. `Conflict` is asked again at once after reading anew; `Throttled`, `Unreachable`, `TimedOut`,
/// `Server` and `Garbage` after a pause; `Forbidden`, `Unauthorized`, `KindMissing` and `Invalid` want a person and
/// are asked again now and then; `NotFound` and `NotHolder` are answers.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 401: the credentials are refused.
    #[error("the API server refuses the credentials (401): {message}; renew the token")]
    Unauthorized {
        /// What the server said.
        message: String,
    },
    /// 403 of the authorizer: a permission is missing.
    #[error("a permission is missing; add to the role: {rule}")]
    Forbidden {
        /// The RBAC rule that is missing, as it stands in a role.
        rule: String,
        /// The namespace in which it is missing, and perhaps in no other; empty where the whole cluster was asked for.
        namespace: String,
    },
    /// 403 because the namespace is being deleted.
    #[error("the namespace is being deleted")]
    Terminating,
    /// 404, and not for lack of the object: the CRD is not installed, or without this subresource.
    #[error("{resource} is not served by the API server; install its CRD")]
    KindMissing {
        /// Resource and group, with the subresource.
        resource: String,
    },
    /// 404: there is no such object.
    #[error("there is no such object")]
    NotFound,
    /// 409: it changed since it was read, or exists already.
    #[error("the object changed meanwhile: {message}")]
    Conflict {
        /// What the server said.
        message: String,
    },
    /// 400, 413, 415 or 422, a 403 of admission (a quota, a policy), or a name that is none: the server does not take it
    /// so.
    #[error("the API server does not accept the object: {message}")]
    Invalid {
        /// What the server said.
        message: String,
    },
    /// 429.
    #[error("the API server asks for patience (429)")]
    Throttled {
        /// `Retry-After`.
        after: Option<Duration>,
    },
    /// 5xx and whatever else is unexpected.
    #[error("the API server failed ({code}): {message}")]
    Server {
        /// HTTP status.
        code: u16,
        /// What the server said.
        message: String,
        /// `Retry-After`.
        after: Option<Duration>,
    },
    /// No connection, or it broke.
    #[error("the API server is not reached")]
    Unreachable(#[source] Box<kube::Error>),
    /// No answer in time; the request may have been carried out all the same.
    #[error("no answer within {limit:?}")]
    TimedOut {
        /// The time that it had.
        limit: Duration,
    },
    /// An answer that is not Kubernetes'.
    #[error("the answer is not understood: {message}")]
    Garbage {
        /// What is wrong with it.
        message: String,
    },
    /// It was not even asked, because this replica does not hold the lease (any more).
    #[error("this replica does not hold the lease")]
    NotHolder,
}

impl ApiError {
    /// One word for labels of metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unauthorized { .. } => "unauthorized",
            Self::Forbidden { .. } => "forbidden",
            Self::Terminating => "terminating",
            Self::KindMissing { .. } => "kind_missing",
            Self::NotFound => "not_found",
            Self::Conflict { .. } => "conflict",
            Self::Invalid { .. } => "invalid",
            Self::Throttled { .. } => "throttled",
            Self::Server { .. } => "server_error",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut { .. } => "timed_out",
            Self::Garbage { .. } => "garbage",
            Self::NotHolder => "not_holder",
        }
    }

    /// Whether it speaks about the server as a whole, so that others need not try either for a while.
    pub(crate) fn is_of_the_server(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut { .. } | Self::Throttled { .. } | Self::Unauthorized { .. } => true,
            Self::Server { code, .. } => *code == 503,
            _ => false,
        }
    }

    /// Whether it speaks about more than the object, so that a person has to do something first: about all of its kind in
    /// the namespace that is returned, or in every one where that is empty.
    pub(crate) fn is_of_the_kind(&self) -> Option<&str> {
        match self {
            Self::Forbidden { namespace, .. } => Some(namespace),
            Self::KindMissing { .. } => Some(""),
            _ => None,
        }
    }

    /// How long the server wants to be left alone.
    pub(crate) fn after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { after } | Self::Server { after, .. } => *after,
            _ => None,
        }
    }

    /// One word in CamelCase for Events.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unauthorized { .. } => "Unauthorized",
            Self::Forbidden { .. } => "PermissionMissing",
            Self::KindMissing { .. } => "KindMissing",
            Self::Invalid { .. } => "WriteRefused",
            _ => "WriteFailed",
        }
    }
}

/// The error with all its sources in one line, for logs and messages.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    shorten(&text)
}

/// What was asked for, to say what is missing.
pub(super) struct Asked<'a> {
    pub(super) group: &'a str,
    pub(super) resource: String,
    pub(super) named: bool,
}

pub(super) fn classify(code: StatusCode, headers: &HeaderMap, body: &[u8], asked: &Asked<'_>) -> ApiError {
    let status: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let message = || match status["message"].as_str() {
        Some(message) => shorten(message),
        None => shorten(&String::from_utf8_lossy(body)),
    };
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let after = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
    match code.as_u16() {
        401 => ApiError::Unauthorized { message: message() },
        403 if has_cause(&status, "NamespaceTerminating") => ApiError::Terminating,
        // Admission answers with 403 too: a quota that is used up, a policy. No role would help there.
        403 => missing(status["message"].as_str().unwrap_or_default(), asked)
            .unwrap_or_else(|| ApiError::Invalid { message: message() }),
        // A missing object is named in the details; a missing kind, or a proxy's 404, is not.
        404 if asked.named && status["details"]["name"].is_string() => ApiError::NotFound,
        // An object cannot be made in a namespace that is gone, whose name is then the one that is missing.
        404 if status["details"]["kind"] == "namespaces" => ApiError::NotFound,
        404 => {
            let group = if asked.group.is_empty() { "" } else { "." };
            ApiError::KindMissing { resource: format!("{}{group}{}", asked.resource, asked.group) }
        }
        409 => ApiError::Conflict { message: message() },
        400 | 413 | 415 | 422 => ApiError::Invalid { message: message() },
        429 => ApiError::Throttled { after },
        code => ApiError::Server { code, message: message(), after },
    }
}

fn has_cause(status: &Value, reason: &str) -> bool {
    let causes = status["details"]["causes"].as_array().into_iter().flatten();
    causes.into_iter().any(|cause| cause["reason"] == reason)
}

/// The missing rule, by the words of the authorizer; none if those are of somebody else. They are more exact than what
/// was asked: applying an object that does not exist also wants `create`.
fn missing(message: &str, asked: &Asked<'_>) -> Option<ApiError> {
    let verb = between(message, " cannot ", " resource \"")?;
    let resource = between(message, " resource \"", "\"").unwrap_or(&asked.resource);
    let group = between(message, "API group \"", "\"").unwrap_or(asked.group);
    let namespace = between(message, "in the namespace \"", "\"").unwrap_or_default().to_owned();
    let place = if namespace.is_empty() { String::new() } else { format!(" (namespace {namespace})") };
    let rule = format!("{{apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [\"{verb}\"]}}{place}");
    Some(ApiError::Forbidden { rule, namespace })
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    let (inner, _) = rest.split_once(end)?;
    // Anything long is not a word of RBAC, and would be a stranger's text in our messages.
    (inner.len() <= 128 && !inner.contains(' ')).then_some(inner)
}

fn shorten(message: &str) -> String {
    if message.len() <= MESSAGE_LIMIT {
        return message.to_owned();
    }
    let mut end = MESSAGE_LIMIT;
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &message[..end])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn classified(code: u16, body: &Value) -> ApiError {
        let asked = Asked { group: "multiclusterdns.kubefed.io", resource: "dnsendpoints".to_owned(), named: true };
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, http::HeaderValue::from_static("7"));
        classify(StatusCode::from_u16(code).expect("a code"), &headers, body.to_string().as_bytes(), &asked)
    }

    #[test]
    fn a_missing_permission_names_the_rule_in_the_words_of_the_server() {
        let message = "dnsendpoints.multiclusterdns.kubefed.io \"service-web\" is forbidden: User \"x\" cannot create \
                       resource \"dnsendpoints\" in API group \"multiclusterdns.kubefed.io\" in the namespace \"shop\"";
        let error = classified(403, &json!({"message": message, "reason": "Forbidden"}));
        assert_eq!(
            error.to_string(),
            "a permission is missing; add to the role: {apiGroups: [\"multiclusterdns.kubefed.io\"], resources: \
             [\"dnsendpoints\"], verbs: [\"create\"]} (namespace shop)"
        );
        assert_eq!(error.is_of_the_kind(), Some("shop"));
    }

    #[test]
    fn what_admission_refuses_is_told_in_its_words_and_is_no_missing_permission() {
        for message in [
            "dnsendpoints.multiclusterdns.kubefed.io \"service-web\" is forbidden: exceeded quota: few, requested: \
             count/dnsendpoints.multiclusterdns.kubefed.io=1, used: 9, limited: 9",
            "admission webhook \"policy.example\" denied the request: not here",
            "dnsendpoints \"service-web\" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a \
             resource you can't set finalizers on",
        ] {
            let error = classified(403, &json!({"message": message, "reason": "Forbidden"}));
            assert_eq!(error.is_of_the_kind(), None);
            assert!(matches!(&error, ApiError::Invalid { message: told } if told == message), "{error}");
        }
    }

    #[test]
    fn a_missing_kind_is_not_a_missing_object() {
        let object = json!({"reason": "NotFound", "details": {"name": "service-web", "kind": "dnsendpoints"}});
        assert!(matches!(classified(404, &object), ApiError::NotFound));
        let kind = json!({"reason": "NotFound", "details": {}});
        let ApiError::KindMissing { resource } = classified(404, &kind) else { panic!("a missing kind") };
        assert_eq!(resource, "dnsendpoints.multiclusterdns.kubefed.io");
    }

    #[test]
    fn a_dying_namespace_is_no_missing_permission() {
        let dying = json!({"reason": "Forbidden", "details": {"causes": [{"reason": "NamespaceTerminating"}]}});
        assert!(matches!(classified(403, &dying), ApiError::Terminating));
    }

    #[test]
    fn the_server_says_how_long_to_wait() {
        assert_eq!(classified(429, &Value::Null).after(), Some(Duration::from_secs(7)));
        assert!(classified(503, &Value::Null).is_of_the_server());
        assert!(!classified(500, &Value::Null).is_of_the_server());
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let message = "é".repeat(1000);
        let ApiError::Invalid { message } = classified(422, &json!({ "message": message })) else { panic!("invalid") };
        assert!(message.len() <= MESSAGE_LIMIT + '…'.len_utf8());
    }
}
