//! Requests with a TSIG record (RFC 8945): they are answered as others are, with room for a signature, or refused.

use std::sync::Arc;

use super::{Answer, Reply, Responder, unusual::Request};
use crate::{
    edns::ReplyOptions,
    rcode::NOERROR,
    request::{HEADER, Parts},
    tsig::{Refusal, Signer, TsigFailures},
    wire::{QR, TC},
};

impl Responder {
    /// Counts refused signatures there, together with others.
    #[must_use]
    pub fn with_tsig_failures(self, failures: Arc<TsigFailures>) -> Self {
        Self { failures, ..self }
    }

    /// Answers a request whose last record is a TSIG record, which starts at `tsig`.
    pub(super) fn signed(&mut self, request: &Request<'_>, parts: &Parts<'_>, tsig: usize) -> Answer<'_> {
        let now = self.clock.now();
        match request.policy.keys.verify_at(request.octets, tsig, now) {
            Ok(signer) => self.believed(request, parts, signer, now),
            Err(refusal) => self.refused(request, parts, refusal, now),
        }
    }

    /// The answer to a request that comes from who has the key.
    fn believed(&mut self, request: &Request<'_>, parts: &Parts<'_>, mut signer: Signer, now: u64) -> Answer<'_> {
        let request = Request { reserve: signer.reserve(), signer: Some(&signer), ..*request };
        let limit = self.limit_of(&request, parts).octets;
        let (reply, length) = match self.unsigned(&request, parts) {
            // A transfer signs its messages itself, and there is nothing to sign in silence.
            Answer::Message(reply) => (Reply { octets: &[], ..reply }, reply.octets.len()),
            Answer::Silence => return Answer::Silence,
            Answer::Transfer(transfer) => return Answer::Transfer(transfer),
        };
        if let Some(length) = signer.sign_within(&mut self.out[..limit], length, now) {
            return Answer::Message(Reply { octets: &self.out[..length], ..reply });
        }
        // Not even the question fits in front of the signature, because both names are of the longest.
        self.out[2] |= QR | TC;
        self.out[3] &= 0xf0;
        self.out[4..HEADER].fill(0);
        let Some(length) = signer.sign_within(&mut self.out[..limit], HEADER, now) else { return Answer::Silence };
        Answer::Message(Reply { octets: &self.out[..length], rcode: NOERROR, truncated: true, ..reply })
    }

    /// The answer to a request that may come from anybody.
    fn refused(&mut self, request: &Request<'_>, parts: &Parts<'_>, refusal: Refusal, now: u64) -> Answer<'_> {
        self.failures.note(&refusal, request.client.address, now);
        let request = Request { reserve: refusal.reserve(), ..*request };
        let limit = self.limit_of(&request, parts).octets;
        let answer = self.say(&request, parts, refusal.rcode(), &ReplyOptions::default());
        let Answer::Message(reply) = answer else { return Answer::Silence };
        let (reply, length) = (Reply { octets: &[], ..reply }, reply.octets.len());
        // Where the names that the request made up leave no room, the RCODE has to do.
        let length = refusal.append_within(&mut self.out[..limit], length, now).unwrap_or(length);
        Answer::Message(Reply { octets: &self.out[..length], ..reply })
    }
}
