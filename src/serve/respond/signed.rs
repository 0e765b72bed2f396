//! Requests with a TSIG record (RFC 8945).

use super::{Answer, Responder, unusual::Request};
use crate::request::Parts;

impl Responder {
    /// Answers a request whose last record is a TSIG record, which starts at `tsig`.
    ///
    /// Signatures are not looked at yet: the request is answered as if it had none.
    pub(super) fn signed(&mut self, request: &Request<'_>, parts: &Parts<'_>, tsig: usize) -> Answer<'_> {
        let _ = tsig;
        self.unsigned(request, parts)
    }
}
