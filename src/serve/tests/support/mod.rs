//! Zones and questions in presentation format.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::{collections::BTreeMap, fmt::Write as _};

use hickory_proto::{
    op::Message,
    rr::{RData, Record},
};
use mcdns_core::{
    answer::{Entry, Levels, Patch, Snapshot, Soa, ZonePatch},
    dns::{OwnerName, RecordType, Rrset, Serial, parse_rdata_text},
};
use mcdns_serve::{Answer, Client, Policy, Reply, Responder, Transport};

/// Data by type.
type Sets = BTreeMap<RecordType, Vec<Box<[u8]>>>;

pub(crate) fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).expect("a good name")
}

/// A zone from lines `OWNER TYPE DATA` (TTL 180, names relative to the apex, `@` for the apex) and `OWNER climb`.
pub(crate) fn zone(apex: &str, text: &str) -> (OwnerName, ZonePatch) {
    let apex = name(apex);
    let absolute = |text: &str| match text.strip_suffix('.') {
        _ if text == "@" => apex.clone(),
        Some(absolute) => name(absolute),
        None => apex.prepend_wire(name(text).as_wire().split_last().expect("a name").1).expect("a short name"),
    };
    let mut sets: BTreeMap<OwnerName, Sets> = BTreeMap::new();
    let mut names: BTreeMap<OwnerName, Option<Entry>> = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (owner, rest) = line.split_once(' ').expect("an owner");
        let owner = absolute(owner);
        let entry = names.entry(owner.clone()).or_insert_with(|| Some(Entry::default()));
        let Some((record_type, data)) = rest.trim().split_once(' ') else {
            if let (Some(entry), "climb") = (entry, rest) {
                entry.climb = Some(60);
            }
            continue;
        };
        let record_type: RecordType = record_type.parse().expect("a type");
        let data = parse_rdata_text(record_type, data.trim(), &apex).expect("good data");
        sets.entry(owner).or_default().entry(record_type).or_default().push(data);
    }
    for (owner, sets) in sets {
        if let Some(Some(entry)) = names.get_mut(&owner) {
            entry.rrsets = sets.into_iter().map(|(record_type, data)| Rrset::new(record_type, 180, data)).collect();
        }
    }
    let soa = Soa {
        primary: apex.child(b"ns1").expect("short"),
        contact: apex.child(b"hostmaster").expect("short"),
        serial: Serial(1),
        refresh: 3600,
        retry: 600,
        expire: 604_800,
        negative_ttl: 30,
        ttl: 3600,
    };
    let regions = [("us", vec!["us-a", "us-b"]), ("jp", vec!["jp-a"])];
    let regions =
        regions.into_iter().map(|(region, inner)| (region.into(), inner.into_iter().map(Into::into).collect()));
    let levels = Levels { regions: regions.collect() };
    (apex, ZonePatch { soa: Some(soa), levels: Some(levels), names })
}

pub(crate) fn snapshot(zones: &[(&str, &str)]) -> Snapshot {
    let zones = zones.iter().map(|(apex, text)| zone(apex, text)).collect();
    Snapshot::default().apply(&Patch { zones, ..Patch::default() }).expect("a good patch")
}

/// A query with RD and ID 0x1234; the name keeps its case.
pub(crate) fn query(asked: &str, record_type: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in asked.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).expect("a short label"));
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    let record_type: RecordType = record_type.parse().expect("a type");
    message.extend_from_slice(&record_type.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}

/// The query with an OPT record.
pub(crate) fn with_edns(mut query: Vec<u8>, payload: u16, version: u8, flags: u8, options: &[u8]) -> Vec<u8> {
    query[11] += 1;
    query.extend_from_slice(&[0, 0, 41]);
    query.extend_from_slice(&payload.to_be_bytes());
    query.extend_from_slice(&[0, version, flags, 0]);
    query.extend_from_slice(&u16::try_from(options.len()).expect("few options").to_be_bytes());
    query.extend_from_slice(options);
    query
}

/// The octets of the answer.
pub(crate) fn respond(snapshot: &Snapshot, request: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let mut responder = Responder::default();
    reply(responder.respond(snapshot, &Policy::default(), request, &client(transport)))
        .map(|reply| reply.octets.to_vec())
}

/// Somebody who asks over `transport`.
pub(crate) fn client(transport: Transport) -> Client {
    Client { address: ([192, 0, 2, 200], 5353).into(), transport }
}

/// The one message of an answer, if there is one.
#[expect(clippy::needless_pass_by_value, reason = "the answer is used up")]
pub(crate) fn reply(answer: Answer<'_>) -> Option<Reply<'_>> {
    match answer {
        Answer::Message(reply) => Some(reply),
        Answer::Silence | Answer::Transfer(_) => None,
    }
}

/// The answer to a UDP query with EDNS: status, flags, sections, one record a line.
pub(crate) fn ask(snapshot: &Snapshot, asked: &str, record_type: &str) -> String {
    let request = with_edns(query(asked, record_type), 1232, 0, 0, &[]);
    show(&respond(snapshot, &request, Transport::Udp).expect("an answer"))
}

pub(crate) fn show(octets: &[u8]) -> String {
    let message = Message::from_vec(octets).expect("a message that a foreign parser reads");
    // hickory-proto calls 16 by its name in TSIG.
    let mut text = format!("{:?}", message.metadata.response_code).to_uppercase().replace("BADSIG", "BADVERS");
    for (flag, word) in [(message.metadata.authoritative, " aa"), (message.metadata.truncation, " tc")] {
        text.push_str(if flag { word } else { "" });
    }
    for (section, records) in
        [("answer", &message.answers), ("authority", &message.authorities), ("additional", &message.additionals)]
    {
        for record in records {
            let _ = write!(text, "\n{section} {}", show_record(record));
        }
    }
    text
}

fn show_record(record: &Record) -> String {
    let data = match &record.data {
        // hickory-proto does not know DNAME.
        RData::Unknown { rdata, .. } => name_or_size(&rdata.anything),
        known => known.to_string(),
    };
    format!("{} {} {} {data}", record.name, record.ttl, RecordType(record.record_type().into()))
}

fn name_or_size(octets: &[u8]) -> String {
    OwnerName::from_wire(octets).map_or_else(|_| format!("{} octets", octets.len()), |name| name.fqdn())
}

/// Lines without their indentation.
pub(crate) fn lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}
