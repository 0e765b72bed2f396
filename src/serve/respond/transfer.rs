//! Requests for a whole zone (AXFR, RFC 5936) or its changes (IXFR, RFC 1995).

use std::sync::Arc;

use mcdns_core::{
    answer::{AuthoritativeZone, Zone, ZoneDifference},
    dns::{RecordType, Serial},
};

use super::{Answer, Reply, Responder, unusual::Request};
use crate::{
    client::Transport,
    edns::{self, ReplyOptions},
    message::{Message, Owner, Section},
    policy::Condition,
    rcode::{FORMERR, NOERROR, NOTAUTH, REFUSED, SERVFAIL},
    request::{HEADER, Parts, number, read_record},
    transfer::{Given, Increment, Transfer, encode_differences, increment},
};

/// Serial, refresh, retry, expire and minimum, at the end of an SOA (RFC 1035 section 3.3.13).
const SOA_NUMBERS: usize = 20;

impl Responder {
    /// Answers a question for AXFR or IXFR.
    pub(super) fn transfer(
        &mut self,
        request: &Request<'_>,
        parts: &Parts<'_>,
        mut options: ReplyOptions<'_>,
    ) -> Answer<'_> {
        let Some(question) = parts.question else { return Answer::Silence };
        let Request { snapshot, policy, client, .. } = request;
        let zone = match snapshot.find_zone(&self.name, RecordType::SOA) {
            Some((Zone::Authoritative(zone), 0)) => Ok(zone),
            // CoreDNS gives none of them either: nobody knows from what to what such a zone has changed.
            Some((Zone::Other(_), 0)) => Err((REFUSED, Some(edns::NOT_SUPPORTED))),
            // RFC 5936 section 2.2.1: "If a server is not authoritative for the queried zone, the server SHOULD set the
            // value to NotAuth(9)."
            _ if policy.condition == Condition::NotReady => Err((SERVFAIL, Some(edns::NOT_READY))),
            _ => Err((NOTAUTH, Some(edns::NOT_AUTHORITATIVE))),
        };
        let zone = zone.and_then(|zone| {
            let access = &policy.zone(zone.apex()).transfer;
            let key = request.signer.map(|signer| signer.key().name());
            if !self.options.transfers || !access.allows(client.address.ip(), key) {
                return Err((REFUSED, Some(edns::PROHIBITED)));
            }
            match (client.transport, question.record_type) {
                // One message for each request is too few for a zone.
                (Transport::Https, _) => Err((REFUSED, Some(edns::NOT_SUPPORTED))),
                // RFC 9103 sections 7.1 and 7.2: not over this connection.
                _ if !self.transfers_permitted => Err((REFUSED, Some(edns::NOT_SUPPORTED))),
                // RFC 5936 section 4.2: "AXFR sessions over UDP transport are not defined."
                (Transport::Udp, RecordType::AXFR) => Err((FORMERR, None)),
                // The zone is answered already; secondaries try again.
                _ => self.transfers.published().generation(zone).ok_or((SERVFAIL, Some(edns::NOT_READY))),
            }
        });
        let zone = match zone {
            Ok(zone) => zone,
            Err((rcode, error)) => {
                options.error = error;
                self.transfers.count(Given::Refused);
                // At a level that a stranger cannot fill a disk with.
                tracing::debug!(
                    zone = %self.name_shown(),
                    client = %client.address,
                    key = request.signer.map(|signer| signer.key().name().to_string()),
                    rcode,
                    "a zone transfer was refused"
                );
                return self.say(request, parts, rcode, &options);
            }
        };
        if question.record_type == RecordType::AXFR {
            return self.stream(request, parts, options, &zone, None, Given::Whole);
        }
        let Some(serial) = client_serial(request.octets, question.end) else {
            return self.say(request, parts, FORMERR, &options);
        };
        let room = match client.transport {
            Transport::Udp => self.limit_of(request, parts).octets,
            _ => usize::MAX,
        };
        match increment(&zone, &self.transfers, serial, room) {
            Increment::UpToDate => self.one_message(request, parts, &options, &zone, Vec::new()),
            Increment::Differences(differences) if client.transport == Transport::Udp => {
                self.one_message(request, parts, &options, &zone, differences)
            }
            Increment::Differences(differences) => {
                self.stream(request, parts, options, &zone, Some(differences), Given::Incremental)
            }
            // RFC 1995 section 2: "the server's current version" alone, so that it is asked for over TCP.
            Increment::Whole if client.transport == Transport::Udp => {
                self.one_message(request, parts, &options, &zone, Vec::new())
            }
            Increment::Whole => self.stream(request, parts, options, &zone, None, Given::IncrementalAsWhole),
        }
    }

    /// Many messages.
    fn stream(
        &mut self,
        request: &Request<'_>,
        parts: &Parts<'_>,
        mut options: ReplyOptions<'_>,
        zone: &Arc<AuthoritativeZone>,
        differences: Option<Vec<Arc<ZoneDifference>>>,
        given: Given,
    ) -> Answer<'_> {
        let Some(question) = parts.question else { return Answer::Silence };
        // Messages are as long as they are by their contents; only the first has options at all.
        options.padding = false;
        let Answer::Message(reply) = self.say(request, parts, NOERROR, &options) else { return Answer::Silence };
        let length = reply.octets.len();
        let (message, clock) = (&self.out[..length], self.clock.clone());
        let (zone, history) = (Arc::clone(zone), &*self.transfers);
        if let Some(mut transfer) = Transfer::new(zone, differences, history, message, question.end, clock) {
            if let Some(signer) = request.signer {
                transfer.sign_with(signer.clone());
            }
            self.transfers.count(given);
            return Answer::Transfer(Box::new(transfer));
        }
        self.transfers.count(Given::Refused);
        tracing::warn!(client = %request.client.address, "too many zone transfers at a time; one more is refused");
        // As BIND says it; secondaries try again later.
        self.say(request, parts, SERVFAIL, &options)
    }

    /// The differences in one message, or else the SOA alone.
    fn one_message(
        &mut self,
        request: &Request<'_>,
        parts: &Parts<'_>,
        options: &ReplyOptions<'_>,
        zone: &Arc<AuthoritativeZone>,
        differences: Vec<Arc<ZoneDifference>>,
    ) -> Answer<'_> {
        let Some(question) = parts.question else { return Answer::Silence };
        let limit = self.limit_of(request, parts);
        let payload = self.options.udp_payload;
        let Self { name, out, .. } = self;
        let mut message =
            Message::start_with(out, request.octets, Some(&question), limit, parts.edns, options.needed());
        message.authoritative = true;
        let encoded = Some(differences)
            .filter(|differences| !differences.is_empty())
            .and_then(|differences| encode_differences(zone, differences, question.end, message.room()));
        let given = if let Some((records, count)) = encoded {
            message.put_encoded(&records, count);
            Given::Incremental
        } else {
            // Where not even the SOA fits, the client has to come over a stream.
            message.truncated =
                message.put(Section::Answer, zone.soa_record(), Owner::within(HEADER, name, 0)).is_none();
            Given::UpToDate
        };
        self.transfers.count(given);
        let truncated = message.truncated;
        let length = message.finish_with(request.octets, NOERROR, payload, limit, options);
        let (record_type, trusted) = (question.record_type, request.is_trusted(options));
        let octets = &self.out[..length];
        Answer::Message(Reply { truncated, record_type, trusted, zone: zone.tag(), ..Reply::new(octets, NOERROR) })
    }

    /// The name that is asked for, for people.
    fn name_shown(&self) -> String {
        mcdns_core::dns::OwnerName::from_wire(self.name.as_wire()).map_or_else(|_| String::new(), |name| name.fqdn())
    }
}

/// The serial in the SOA that a client has (RFC 1995 section 3): the only record of the authority section.
fn client_serial(request: &[u8], question_end: usize) -> Option<Serial> {
    let record = read_record(request, question_end).filter(|_| number(request, 6) == 0 && number(request, 8) == 1)?;
    let data = &request[record.data..record.end];
    // Two names of an octet at least.
    let at = data.len().checked_sub(SOA_NUMBERS).filter(|&names| names >= 2 && record.kind == RecordType::SOA)?;
    Some(Serial(u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])))
}
