//! Requests for a whole zone (AXFR, RFC 5936) or its changes (IXFR, RFC 1995).

use super::{Answer, Responder, unusual::Request};
use crate::{
    edns::{self, ReplyOptions},
    rcode::REFUSED,
    request::Parts,
};

impl Responder {
    /// Answers a question for AXFR or IXFR; nobody is given a transfer yet.
    pub(super) fn transfer(
        &mut self,
        request: &Request<'_>,
        parts: &Parts<'_>,
        mut options: ReplyOptions<'_>,
    ) -> Answer<'_> {
        // Neither key nor address is asked for yet.
        let _ = request.signer;
        options.error = Some(edns::PROHIBITED);
        self.say(request, parts, REFUSED, &options)
    }
}
