//! Requests that are not plain queries: other opcodes, classes and types, options, signatures, and what is wrong.
//!
//! ```text
//!   BADVERS ◄── version of EDNS        (RFC 6891 section 6.1.3)
//!   FORMERR ◄── OPT record, message    (RFC 6891 section 7, RFC 9619)
//!   NOTIMP  ◄── opcode                 NOTIFY: we are the primary, nobody tells us anything
//!   FORMERR ◄── options                (RFC 7871 section 6, RFC 7873 section 5.2.2)
//!   no question ──► a server cookie    (RFC 7873 section 5.4)
//!   CH ──► chaos.rs    AXFR, IXFR ──► transfer.rs    the rest ──► Chain, with options in the answer
//! ```
//!
//! Every answer to a request with an OPT record has one (RFC 6891 section 7), and the question where there is one
//! that can be read.

use mcdns_core::{answer::Snapshot, dns::RecordType};

use super::{Answer, Chain, Reply, Responder, is_for_itself};
use crate::{
    client::Client,
    edns::{self, ReplyOptions, RequestOptions, Verdict},
    message::{Limit, Message},
    policy::{Condition, Policy},
    rcode::{BADCOOKIE, BADVERS, FORMERR, NOERROR, NOTAUTH, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL},
    request::{CLASS_CH, CLASS_IN, Malformed, Parts, number, read_parts},
    tsig::Signer,
    wire::{OPCODE, QR},
};

/// Opcodes as they stand in the header (RFC 1035 section 4.1.1, RFC 1996 section 3.12).
const QUERY: u8 = 0;
const NOTIFY: u8 = 4 << 3;

/// A request with all that decides its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'r> {
    pub(super) snapshot: &'r Snapshot,
    pub(super) policy: &'r Policy,
    /// The message, at least a header.
    pub(super) octets: &'r [u8],
    pub(super) client: &'r Client,
    /// What signs the answer, and knows the key, of a request whose signature was found to be right.
    pub(super) signer: Option<&'r Signer>,
    /// Octets that the answer leaves free for its signature.
    pub(super) reserve: usize,
}

impl Request<'_> {
    /// True if the request was signed by somebody whom we know, or shows by a good cookie where it comes from.
    pub(super) fn is_trusted(&self, options: &ReplyOptions<'_>) -> bool {
        self.signer.is_some() || options.trusted
    }
}

impl Responder {
    /// Answers what is not a plain query, or has no plain answer.
    #[cold]
    #[inline(never)]
    pub(super) fn respond_unusual(&mut self, request: &Request<'_>) -> Answer<'_> {
        if request.octets[2] & QR != 0 {
            return Answer::Silence;
        }
        let parts = read_parts(request.octets, &mut self.name);
        match parts.tsig {
            Some(tsig) if parts.malformed != Some(Malformed::Message) => self.signed(request, &parts, tsig),
            _ => self.unsigned(request, &parts),
        }
    }

    /// The same for requests without a signature, or with one that is right.
    pub(super) fn unsigned(&mut self, request: &Request<'_>, parts: &Parts<'_>) -> Answer<'_> {
        let mut options = ReplyOptions::default();
        if parts.edns.is_some_and(|edns| edns.version > 0) {
            return self.say(request, parts, BADVERS, &options);
        }
        if parts.malformed == Some(Malformed::Opt) {
            return self.say(request, parts, FORMERR, &options);
        }
        let opcode = request.octets[2] & OPCODE;
        if !matches!(opcode, QUERY | NOTIFY) {
            options.error = Some(edns::NOT_SUPPORTED);
            return self.say(request, parts, NOTIMP, &options);
        }
        if parts.malformed.is_some() {
            return self.say(request, parts, FORMERR, &options);
        }
        let verdict = match self.read_options(request, parts, &mut options) {
            Ok(verdict) => verdict,
            Err(edns::BadOption) => return self.say(request, parts, FORMERR, &options),
        };
        let Some(question) = parts.question else {
            let rcode = match (number(request.octets, 4), opcode, verdict) {
                (0, QUERY, Some(Verdict::Good | Verdict::Unknown)) => NOERROR,
                (0, QUERY, Some(Verdict::Bad)) => BADCOOKIE,
                // RFC 9619 section 4: QDCOUNT above 1 is a FORMERR.
                _ => FORMERR,
            };
            return self.say(request, parts, rcode, &options);
        };
        if opcode == NOTIFY {
            return self.notified(request, parts, options);
        }
        let has_records = number(request.octets, 6) != 0
            || number(request.octets, 8) != 0 && question.record_type != RecordType::IXFR;
        match (question.class, question.record_type) {
            // OPT is no type to ask for (RFC 6891 section 6.1.1).
            (_, RecordType::OPT) => self.say(request, parts, FORMERR, &options),
            _ if has_records => self.say(request, parts, FORMERR, &options),
            (CLASS_CH, _) => self.chaos(request, parts, options),
            (CLASS_IN, RecordType::AXFR | RecordType::IXFR) => self.transfer(request, parts, options),
            // TKEY, TSIG, MAILB, MAILA.
            (CLASS_IN, record_type) if is_for_itself(record_type) => {
                options.error = Some(edns::NOT_SUPPORTED);
                self.say(request, parts, NOTIMP, &options)
            }
            (CLASS_IN, _) => self.look_up(request, parts, options),
            _ => {
                options.error = Some(edns::NOT_AUTHORITATIVE);
                self.say(request, parts, REFUSED, &options)
            }
        }
    }

    /// An answer without records.
    pub(super) fn say(
        &mut self,
        request: &Request<'_>,
        parts: &Parts<'_>,
        rcode: u16,
        options: &ReplyOptions<'_>,
    ) -> Answer<'_> {
        let limit = self.limit_of(request, parts);
        let question = parts.question.as_ref();
        let message = Message::start_with(&mut self.out, request.octets, question, limit, parts.edns, options.needed());
        let length = message.finish_with(request.octets, rcode, self.options.udp_payload, limit, options);
        let record_type = question.map_or(RecordType(0), |question| question.record_type);
        let trusted = request.is_trusted(options);
        Answer::Message(Reply { record_type, trusted, ..Reply::new(&self.out[..length], rcode) })
    }

    /// How long the answer may be.
    pub(super) fn limit_of(&self, request: &Request<'_>, parts: &Parts<'_>) -> Limit {
        Limit { octets: self.limit(parts.edns, request.client.transport), reserve: request.reserve }
    }

    /// What zones say to a question of class IN.
    fn look_up(&mut self, request: &Request<'_>, parts: &Parts<'_>, mut options: ReplyOptions<'_>) -> Answer<'_> {
        let Some(question) = parts.question else { return Answer::Silence };
        let limit = self.limit_of(request, parts);
        let payload = self.options.udp_payload;
        let Self { name, scratch, out, .. } = self;
        let needed = options.needed();
        let mut message = Message::start_with(out, request.octets, Some(&question), limit, parts.edns, needed);
        let mut chain = Chain { snapshot: request.snapshot, name, scratch, message: &mut message, zone: 0, source: 0 };
        let mut rcode = chain.follow(question.record_type);
        let (zone, source) = (chain.zone, chain.source);
        options.error = match (rcode, request.policy.condition) {
            (REFUSED, Condition::NotReady) => {
                rcode = SERVFAIL;
                Some(edns::NOT_READY)
            }
            (REFUSED, _) => Some(edns::NOT_AUTHORITATIVE),
            (NXDOMAIN, Condition::Stale) => Some(edns::STALE_NXDOMAIN),
            (_, Condition::Stale) => Some(edns::STALE_ANSWER),
            _ => None,
        };
        let truncated = message.truncated;
        if truncated && request.reserve > 0 {
            // RFC 8945 section 5.3: "This response contains only the question and a TSIG record, has the TC bit set".
            message.keep_question(question.end);
        }
        let length = message.finish_with(request.octets, rcode, payload, limit, &options);
        let record_type = question.record_type;
        let (octets, trusted) = (&self.out[..length], request.is_trusted(&options));
        Answer::Message(Reply { octets, rcode, truncated, record_type, zone, source, trusted })
    }

    /// Reads the options of a request and decides on those of its answer. With a verdict on the cookie if there is
    /// one and cookies are on.
    fn read_options<'a>(
        &self,
        request: &Request<'a>,
        parts: &Parts<'a>,
        options: &mut ReplyOptions<'a>,
    ) -> Result<Option<Verdict>, edns::BadOption> {
        let Request { policy, client, .. } = request;
        let asked = RequestOptions::read(parts.options, client.transport, policy.cookies.is_some())?;
        options.subnet = asked.subnet;
        options.padding = asked.padding;
        options.nsid = policy.nsid.as_deref().filter(|_| asked.nsid);
        // RFC 7828 section 3.1: "in units of 100 milliseconds".
        options.keepalive =
            asked.keepalive.then(|| u16::try_from(self.options.idle.as_millis() / 100).unwrap_or(u16::MAX));
        let judged = policy
            .cookies
            .as_ref()
            .zip(asked.cookie)
            .map(|(secrets, cookie)| secrets.judge(cookie, client.address.ip(), self.clock.now()));
        options.cookie = judged.map(|(_, cookie)| cookie);
        options.trusted = judged.is_some_and(|(verdict, _)| verdict == Verdict::Good);
        Ok(judged.map(|(verdict, _)| verdict))
    }

    /// Somebody takes us for a secondary: NOTAUTH for zones of others, as Knot says it, and REFUSED for ours, as
    /// NSD does where nobody is allowed to notify.
    fn notified(&mut self, request: &Request<'_>, parts: &Parts<'_>, mut options: ReplyOptions<'_>) -> Answer<'_> {
        let is_ours = request.snapshot.find_zone(&self.name, RecordType::SOA).is_some_and(|(_, apex)| apex == 0);
        let (rcode, error) = if is_ours { (REFUSED, edns::PROHIBITED) } else { (NOTAUTH, edns::NOT_AUTHORITATIVE) };
        options.error = Some(error);
        self.say(request, parts, rcode, &options)
    }
}
