//! What the server says about itself, in class CH (RFC 4892 section 2; `version.bind` is BIND's).
//!
//! Off unless settings have an answer. As with NSD: TXT and ANY alone, and REFUSED for all other names.

use super::{Answer, Reply, Responder, unusual::Request};
use crate::{
    edns::{self, ReplyOptions},
    message::Message,
    rcode::{NOERROR, REFUSED},
    request::Parts,
};
use mcdns_core::dns::RecordType;

impl Responder {
    /// Answers a question of class CH.
    pub(super) fn chaos(
        &mut self,
        request: &Request<'_>,
        parts: &Parts<'_>,
        mut options: ReplyOptions<'_>,
    ) -> Answer<'_> {
        let policy = request.policy;
        let text = match self.name.as_wire() {
            b"\x07version\x04bind\x00" | b"\x07version\x06server\x00" => policy.version.as_deref(),
            b"\x02id\x06server\x00" | b"\x08hostname\x04bind\x00" => policy.identity.as_deref(),
            _ => None,
        };
        let (Some(text), Some(question @ (RecordType::TXT | RecordType::ANY))) =
            (text, parts.question.map(|question| question.record_type))
        else {
            options.error = Some(edns::PROHIBITED);
            return self.say(request, parts, REFUSED, &options);
        };
        let limit = self.limit_of(request, parts);
        let needed = options.needed();
        let asked = parts.question.as_ref();
        let mut message = Message::start_with(&mut self.out, request.octets, asked, limit, parts.edns, needed);
        message.authoritative = true;
        message.truncated = !message.put_chaos_text(text);
        let truncated = message.truncated;
        let length = message.finish_with(request.octets, NOERROR, self.options.udp_payload, limit, &options);
        let octets = &self.out[..length];
        let trusted = request.is_trusted(&options);
        Answer::Message(Reply { truncated, trusted, record_type: question, ..Reply::new(octets, NOERROR) })
    }
}
