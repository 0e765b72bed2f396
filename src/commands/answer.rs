//! What a client gets for a question, by the same code that answers on the wire.

use std::net::Ipv4Addr;

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr,
};
use mcdns_core::{
    answer::Snapshot,
    dns::{OwnerName, RecordType},
};
use mcdns_serve::{Answer, Client, Policy, Responder, Transport};

use super::explain::Answered;

/// Asks the snapshot.
pub(super) fn answer(snapshot: &Snapshot, name: &OwnerName, asked: RecordType) -> Answered {
    let nothing = |rcode: &str| Answered { asked, rcode: rcode.to_owned(), records: Vec::new() };
    let Ok(query_name) = rr::Name::from_ascii(name.fqdn()) else { return nothing("FORMERR") };
    let mut message = Message::new(0, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(query_name, rr::RecordType::from(asked.0)));
    let Ok(octets) = message.to_vec() else { return nothing("FORMERR") };
    let mut responder = Responder::default();
    let client = Client { address: (Ipv4Addr::LOCALHOST, 0).into(), transport: Transport::Tcp };
    let answer = responder.respond(snapshot, &Policy::default(), &octets, &client);
    let Answer::Message(reply) = answer else { return nothing("no answer") };
    let Ok(reply) = Message::from_vec(reply.octets) else { return nothing("no answer") };
    let records = reply.answers.iter().map(ToString::to_string).collect();
    Answered { asked, rcode: mnemonic(reply.response_code), records }
}

/// RCODE by its mnemonic of the IANA registry, as dig prints it.
pub(super) fn mnemonic(rcode: ResponseCode) -> String {
    match rcode {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::YXDomain => "YXDOMAIN".to_owned(),
        other => format!("RCODE{}", u16::from(other)),
    }
}
