//! Why an API server could not be read, in words that tell the cases apart.
//!
//! Every fault leaves what is known as it is; it only decides when to try again and what a person is told.

use std::{fmt::Write as _, time::Duration};

/// Longest text of somebody else's that is repeated in a message, in characters.
const MAX_SAID: usize = 200;

/// Why something could not be read from an API server. All are worth trying again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// 401: the credentials are not accepted.
    Unauthorized(String),
    /// 403: the credentials are accepted, and do not suffice.
    Forbidden(String),
    /// 404: this kind or object is not served.
    NotFound,
    /// 410: what was asked for is too old; everything must be listed again.
    Gone,
    /// 400 or 422: the server does not take the question as it was put.
    Refused(String),
    /// 429 and 503 with a time to wait.
    Busy(Option<Duration>),
    /// Any other status.
    Status(u16, String),
    /// The certificate is not accepted.
    Certificate(String),
    /// No connection.
    Unreachable(String),
    /// It came to no end in time.
    Timeout,
    /// It broke off.
    Cut(String),
    /// What came is not what was asked for.
    Garbage(String),
    /// More than is read at once.
    TooLarge,
}

impl Fault {
    /// One word for programs.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Unauthorized(_) => "Unauthorized",
            Self::Forbidden(_) => "Forbidden",
            Self::NotFound => "NotFound",
            Self::Gone => "Gone",
            Self::Refused(_) => "Refused",
            Self::Busy(_) => "Busy",
            Self::Status(..) => "Status",
            Self::Certificate(_) => "CertificateRejected",
            Self::Unreachable(_) => "NotReachable",
            Self::Timeout => "Timeout",
            Self::Cut(_) => "Cut",
            Self::Garbage(_) => "Garbage",
            Self::TooLarge => "TooLarge",
        }
    }

    /// For people, with the next step where there is one.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Unauthorized(said) => format!("the token is not accepted ({said}); renew it with `mcdns join`"),
            Self::Forbidden(said) => {
                let rule = rule(said).map(|rule| format!(": {rule}")).unwrap_or_default();
                format!("not allowed ({said}); give the service account get, list and watch on it{rule}")
            }
            Self::NotFound => "the server does not have this kind".to_owned(),
            Self::Gone => "the place to go on from is too old, so everything is listed again".to_owned(),
            Self::Refused(said) => format!("the server does not take the request: {said}"),
            Self::Busy(_) => "the server asks to come back later".to_owned(),
            Self::Status(code, said) => format!("the server answers {code}: {said}"),
            Self::Certificate(said) => format!("the server's certificate is not accepted: {said}"),
            Self::Unreachable(said) => format!("no connection: {said}"),
            Self::Timeout => "no answer in time".to_owned(),
            Self::Cut(said) => format!("the connection broke off: {said}"),
            Self::Garbage(said) => format!("the answer is not understood: {said}"),
            Self::TooLarge => "the answer is larger than what is read at once".to_owned(),
        }
    }

    /// What the client said.
    pub(super) fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(
                status.code,
                &status.message,
                status.details.as_ref().map_or(0, |details| details.retry_after_seconds),
            ),
            kube::Error::SerdeError(error) => Self::Garbage(error.to_string()),
            kube::Error::FromUtf8(_) => Self::Garbage("it is not UTF-8".to_owned()),
            error => {
                let chain = chain(error);
                if chain.contains("certificate") {
                    Self::Certificate(certificate(&chain))
                } else {
                    Self::Unreachable(shorten(&chain))
                }
            }
        }
    }

    /// What a `Status` object said.
    pub(super) fn of_status(code: u16, message: &str, retry_after_seconds: u32) -> Self {
        // Of the checks behind /readyz only those that fail say anything.
        let failing: Vec<&str> = message.lines().filter(|line| line.starts_with("[-]")).collect();
        let said = if failing.is_empty() { shorten(message) } else { shorten(&failing.join(", ")) };
        match code {
            401 => Self::Unauthorized(said),
            403 => Self::Forbidden(said),
            404 => Self::NotFound,
            410 => Self::Gone,
            400 | 422 => Self::Refused(said),
            429 => Self::Busy((retry_after_seconds > 0).then(|| Duration::from_secs(u64::from(retry_after_seconds)))),
            503 if retry_after_seconds > 0 => Self::Busy(Some(Duration::from_secs(u64::from(retry_after_seconds)))),
            _ => Self::Status(code, said),
        }
    }

    /// True where trying again in a moment will hardly help: the answer is what it is until somebody acts.
    pub(super) fn is_definite(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized(_) | Self::Forbidden(_) | Self::NotFound | Self::Certificate(_) | Self::Unreachable(_)
        )
    }
}

/// The RBAC rule that is missing, by the words of the server; none where it says nothing of the kind.
fn rule(said: &str) -> Option<String> {
    let between = |start: &str| {
        let (inner, _) = said.split_once(start)?.1.split_once('"')?;
        // Anything else is no word of RBAC, and would be a stranger's text in our messages.
        inner.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-./".contains(&octet)).then_some(inner)
    };
    let (resource, group) = (between("resource \"")?, between("API group \"")?);
    Some(format!("{{apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [get, list, watch]}}"))
}

/// What is wrong with a certificate, without the times that the library writes into its text: a condition that
/// changes with every probe would be written with every probe.
fn certificate(chain: &str) -> String {
    let known = [
        ("expired", "it has expired"),
        ("not valid yet", "it is not valid yet"),
        ("UnknownIssuer", "it is not from the authority in the CA bundle"),
        ("BadSignature", "it is not from the authority in the CA bundle"),
        ("not valid for name", "it is for another name"),
        ("NotValidForName", "it is for another name"),
    ];
    let found = known.iter().find(|(text, _)| chain.contains(text)).map(|(_, meaning)| (*meaning).to_owned());
    found.unwrap_or_else(|| shorten(chain.rsplit(": ").next().unwrap_or(chain)))
}

/// The error and what lies behind it, each part once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            let _ = write!(text, ": {said}");
        }
        source = cause.source();
    }
    text
}

/// Somebody else's text on one line, cut where it is too long for a message.
pub(super) fn shorten(text: &str) -> String {
    let line: String = text.trim().chars().map(|each| if each.is_control() { ' ' } else { each }).collect();
    match line.char_indices().nth(MAX_SAID) {
        None => line,
        Some((at, _)) => format!("{}…", &line[..at]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_becomes_what_it_means() {
        assert_eq!(Fault::of_status(401, "Unauthorized", 0).reason(), "Unauthorized");
        assert_eq!(Fault::of_status(429, "", 3), Fault::Busy(Some(Duration::from_secs(3))));
        assert_eq!(Fault::of_status(500, "etcd\nfailed", 0), Fault::Status(500, "etcd failed".to_owned()));
        assert!(Fault::of_status(403, "", 0).is_definite());
        assert!(!Fault::of_status(503, "", 0).is_definite());
    }

    #[test]
    fn a_missing_permission_names_the_rule() {
        let said = "endpointslices.discovery.k8s.io is forbidden: User \"x\" cannot list resource \"endpointslices\" in API \
                    group \"discovery.k8s.io\" at the cluster scope";
        let message = Fault::of_status(403, said, 0).message();
        let rule = "{apiGroups: [\"discovery.k8s.io\"], resources: [\"endpointslices\"], verbs: [get, list, watch]}";
        assert!(message.ends_with(rule), "{message}");
        assert!(Fault::of_status(403, "go away", 0).message().ends_with("watch on it"));
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(shorten(&"x".repeat(1000)).chars().count(), MAX_SAID + 1);
    }
}
