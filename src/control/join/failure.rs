//! What the client of an API server says, in as few words as it takes.

use std::{error::Error, fmt};

/// An error of a client. [`kube::Error`] prints whole Status objects, which no person reads.
#[derive(Debug)]
pub struct Failure(pub kube::Error);

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        Self(error)
    }
}

impl Error for Failure {}

/// What the API server says, else the error with its causes, each said once.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let kube::Error::Api(status) = &self.0 {
            return match (&status.message[..], &status.reason[..]) {
                ("", "") => write!(f, "code {}", status.code),
                ("", reason) => f.write_str(reason),
                (message, _) => f.write_str(message),
            };
        }
        let mut parts: Vec<String> = Vec::new();
        let mut next: Option<&dyn Error> = Some(&self.0);
        while let Some(error) = next {
            parts.push(error.to_string());
            next = error.source();
        }
        // Many say their cause themselves, and then it is told by the part that comes first.
        let told =
            parts.iter().enumerate().filter(|(index, part)| !parts[..*index].iter().any(|said| said.contains(*part)));
        let told: Vec<&str> = told.map(|(_, part)| part.strip_prefix("ServiceError: ").unwrap_or(part)).collect();
        f.write_str(&told.join(": "))
    }
}

impl Failure {
    /// No answer at all, or none from the API server itself.
    pub fn is_silence(&self) -> bool {
        match &self.0 {
            kube::Error::Api(status) => status.code >= 500,
            kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::Auth(_) => true,
            _ => false,
        }
    }

    /// The next step for a person, by what was said, as an addition to a message; empty where there is none.
    pub fn help(&self) -> &'static str {
        match &self.0 {
            kube::Error::Api(status) => match status.code {
                401 => {
                    "\n  help: the credentials of the context are not accepted; log in again (aws sso login, for \
                     instance)"
                }
                // This is a 403 too, and permissions have nothing to do with it.
                403 if status.message.contains("being terminated") => "\n  help: try again when the namespace is gone",
                403 => {
                    "\n  help: joining and leaving need an administrator of both clusters, for instance in ClusterRole \
                     cluster-admin"
                }
                _ => "",
            },
            kube::Error::Service(_) | kube::Error::HyperError(_) => {
                "\n  help: look whether this machine reaches the server of the context: kubectl --context … get --raw \
                 /readyz"
            }
            kube::Error::Auth(_) => {
                "\n  help: the credentials plug-in of the context has failed; run kubectl with it once"
            }
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_api_server_says_is_said_without_the_object_around_it() {
        let status = serde_json::json!({"status": "Failure", "code": 403, "reason": "Forbidden", "message": "secrets is forbidden"});
        let status = serde_json::from_value(status).expect("a Status");
        assert_eq!(Failure(kube::Error::Api(status)).to_string(), "secrets is forbidden");
    }

    #[test]
    fn a_cause_is_said_once() {
        let inner = std::io::Error::other("connection refused");
        let error = kube::Error::ReadEvents(inner);
        assert_eq!(Failure(error).to_string(), "Error reading events stream: connection refused");
    }
}
