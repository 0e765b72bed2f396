//! Why a request is refused, and how that is written.

use super::xml::{NAMESPACE, Writer};

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Of HTTP.
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// A request that makes no sense whatever stands in the zone.
    pub(super) fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidInput", message)
    }

    /// A field with a value out of its range.
    pub(super) fn validation(value: &str, field: &str, constraint: &str) -> Self {
        Self::invalid_input(format!(
            "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: Member must {constraint}"
        ))
    }

    /// Changes that the zone cannot take. They stand in brackets, as clients show them.
    pub(super) fn invalid_batch(problems: &[String]) -> Self {
        Self::new(400, "InvalidChangeBatch", format!("[{}]", problems.join(", ")))
    }

    pub(super) fn no_zone(id: &str) -> Self {
        Self::new(404, "NoSuchHostedZone", format!("No hosted zone found with ID: {id}"))
    }

    pub(super) fn throttled() -> Self {
        Self::new(400, "Throttling", "Rate exceeded")
    }

    pub(super) fn prior_request() -> Self {
        let message = "The request was rejected because Route 53 was still processing a prior request.";
        Self::new(400, "PriorRequestNotComplete", message)
    }

    pub(super) fn document(&self, request_id: &str) -> String {
        let mut writer = Writer::new("ErrorResponse", NAMESPACE);
        writer.element("Error", |error| {
            error.leaf("Type", if self.status < 500 { "Sender" } else { "Receiver" });
            error.leaf("Code", self.code);
            error.leaf("Message", &self.message);
        });
        writer.leaf("RequestId", request_id);
        writer.finish()
    }
}
