//! Zones of another kind through the whole server: what SkyDNS keys answer, in messages.

mod support;

use std::{net::Ipv4Addr, sync::Arc};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType as Kind},
};
use mcdns_core::{
    answer::{Patch, Snapshot},
    dns::Serial,
};
use mcdns_serve::{Answer, Client, Clock, ListenerOptions, Policy, Responder, Transport};
use mcdns_skydns::{Keys, LeaseLimits, Prefix, SkyDnsZone};

const NOW: u64 = 1_700_000_000;

fn keys(pairs: &[(&str, &str)]) -> Keys {
    let mut keys = Keys::new(Prefix::default());
    for (key, value) in pairs {
        assert_eq!(keys.put(key.as_bytes(), value.as_bytes(), 1, 0), None);
    }
    keys
}

fn with(snapshot: Snapshot, apex: &str, keys: Keys) -> Snapshot {
    let apex = apex.parse().expect("a name");
    let zone = SkyDnsZone::new(&apex, keys, Serial(7), LeaseLimits::default()).expect("a zone");
    snapshot.with_other(Arc::new(zone))
}

/// With an authoritative zone, from lines as [`support::zone`] reads them.
fn authoritative(snapshot: &Snapshot, apex: &str, text: &str) -> Snapshot {
    let patch = Patch { zones: [support::zone(apex, text)].into(), ..Patch::default() };
    snapshot.apply(&patch).expect("a good patch")
}

fn ask(snapshot: &Snapshot, transport: Transport, name: &str, kind: Kind, payload: Option<u16>) -> Message {
    let mut query = Message::new(7, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        query.set_edns(edns);
    }
    let octets = query.to_vec().expect("a query");
    let mut responder = Responder::with_clock(ListenerOptions::default(), Clock::new(|| NOW));
    let client = Client { address: (Ipv4Addr::LOCALHOST, 5300).into(), transport };
    let Answer::Message(reply) = responder.respond(snapshot, &Policy::default(), &octets, &client) else {
        unreachable!("{name} {kind}: no message")
    };
    if transport == Transport::Udp {
        assert!(reply.octets.len() <= usize::from(payload.unwrap_or(512)));
    }
    Message::from_vec(reply.octets).expect("a good message")
}

fn told(message: &Message) -> (ResponseCode, Vec<String>) {
    assert!(message.authoritative);
    let mut records: Vec<String> = message.answers.iter().map(ToString::to_string).collect();
    records.extend(message.authorities.iter().map(|record| format!("authority: {record}")));
    records.extend(message.additionals.iter().map(|record| format!("additional: {record}")));
    (message.response_code, records)
}

const SOA: &str = "30 IN SOA ns.dns.example.org. hostmaster.example.org. 7 7200 1800 86400 30";

#[test]
fn keys_are_answered_over_every_way_with_the_case_of_the_question() {
    let snapshot = with(
        Snapshot::default(),
        "example.org",
        keys(&[
            ("/skydns/org/example/www/1a2b3c4d", r#"{"host":"192.0.2.10","targetstrip":1,"ttl":60}"#),
            ("/skydns/org/example/srv/a", r#"{"host":"192.0.2.11","port":80}"#),
        ]),
    );
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic] {
        let ask = |name, kind| told(&ask(&snapshot, transport, name, kind, Some(1232)));
        let www = "wWw.Example.org. 60 IN A 192.0.2.10".to_owned();
        assert_eq!(ask("wWw.Example.org.", Kind::A), (ResponseCode::NoError, vec![www]));
        let soa = |apex: &str| vec![format!("authority: {apex} {SOA}")];
        assert_eq!(ask("www.example.org.", Kind::AAAA), (ResponseCode::NoError, soa("example.org.")));
        assert_eq!(ask("nobody.EXAMPLE.org.", Kind::A), (ResponseCode::NXDomain, soa("EXAMPLE.org.")));
        let srv = [
            "srv.example.org. 300 IN SRV 10 100 80 a.srv.example.org.",
            "additional: a.srv.example.org. 300 IN A 192.0.2.11",
        ];
        assert_eq!(ask("srv.example.org.", Kind::SRV), (ResponseCode::NoError, srv.map(str::to_owned).into()));
        let soa = vec![format!("example.org. {SOA}")];
        assert_eq!(ask("example.org.", Kind::SOA), (ResponseCode::NoError, soa));
    }
}

#[test]
fn an_answer_that_does_not_fit_is_truncated_and_whole_over_streams() {
    let pairs: Vec<(String, String)> = (0..200)
        .map(|index| (format!("/skydns/org/example/many/{index:03}"), format!(r#"{{"host":"192.0.2.{index}"}}"#)))
        .collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
    let snapshot = with(Snapshot::default(), "example.org", keys(&pairs));
    for payload in [None, Some(1232)] {
        let udp = ask(&snapshot, Transport::Udp, "many.example.org.", Kind::A, payload);
        assert!(udp.truncation);
    }
    let tcp = ask(&snapshot, Transport::Tcp, "many.example.org.", Kind::A, None);
    assert!(!tcp.truncation);
    assert_eq!(tcp.answers.len(), 200);
    // Each has a name of its own to be given an address: more than the message holds is left out of what is additional.
    let srv = ask(&snapshot, Transport::Tcp, "many.example.org.", Kind::SRV, None);
    assert_eq!((srv.truncation, srv.answers.len(), srv.additionals.len()), (false, 200, 200));
}

#[test]
fn a_name_above_more_than_a_message_holds_is_answered_truncated() {
    let pairs: Vec<(String, String)> = (0..100_000)
        .map(|index| {
            let address = Ipv4Addr::from(0x0a00_0000 + index);
            (format!("/skydns/org/example/n{index}"), format!(r#"{{"host":"{address}"}}"#))
        })
        .collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
    let snapshot = with(Snapshot::default(), "example.org", keys(&pairs));
    let tcp = ask(&snapshot, Transport::Tcp, "example.org.", Kind::A, None);
    assert!(tcp.truncation && tcp.answers.len() > 4_000);
    for kind in [Kind::AAAA, Kind::MX, Kind::TXT, Kind::CAA] {
        for name in ["example.org.", "*.example.org."] {
            let nothing = told(&ask(&snapshot, Transport::Udp, name, kind, None));
            assert_eq!(
                nothing,
                (ResponseCode::NoError, vec![format!("authority: example.org. {SOA}")]),
                "{name} {kind}"
            );
        }
    }
    let servers = ask(&snapshot, Transport::Udp, "example.org.", Kind::SRV, None);
    assert!(servers.truncation);
    let one = ask(&snapshot, Transport::Udp, "n69999.example.org.", Kind::A, None);
    assert_eq!((one.truncation, one.answers.len()), (false, 1));
}

#[test]
fn aliases_lead_from_one_kind_of_zone_to_the_other_and_back() {
    let snapshot = authoritative(
        &Snapshot::default(),
        "example.com",
        "@ NS ns\nns A 192.0.2.53\nin CNAME www.example.org.\nhere CNAME there\nthere A 192.0.2.1\n",
    );
    let snapshot = with(
        snapshot,
        "example.org",
        keys(&[
            ("/skydns/org/example/www", r#"{"host":"192.0.2.10"}"#),
            ("/skydns/org/example/out", r#"{"host":"here.example.com"}"#),
            ("/skydns/org/example/far", r#"{"host":"www.example.net"}"#),
            ("/skydns/org/example/srv/a", r#"{"host":"here.example.com","port":1}"#),
            ("/skydns/org/example/loop", r#"{"host":"loop.example.net"}"#),
        ]),
    );
    let snapshot =
        with(snapshot, "example.net", keys(&[("/skydns/net/example/loop", r#"{"host":"loop.example.org"}"#)]));
    let ask = |name, kind| told(&ask(&snapshot, Transport::Udp, name, kind, Some(1232))).1;
    assert_eq!(
        ask("in.example.com.", Kind::A),
        ["in.example.com. 180 IN CNAME www.example.org.", "www.example.org. 300 IN A 192.0.2.10"]
    );
    let there = ["here.example.com. 180 IN CNAME there.example.com.", "there.example.com. 180 IN A 192.0.2.1"]
        .map(str::to_owned);
    assert_eq!(ask("out.example.org.", Kind::A)[1..], there);
    assert_eq!(ask("far.example.org.", Kind::A), ["far.example.org. 300 IN CNAME www.example.net."]);
    assert_eq!(ask("srv.example.org.", Kind::SRV)[1..], there.map(|record| format!("additional: {record}")));
    assert!(ask("loop.example.org.", Kind::A).len() >= 2, "and it comes to an end");
}

#[test]
fn beside_an_authoritative_zone_keys_answer_for_names_that_it_does_not_have() {
    let text = "@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.1\n";
    let pairs = [
        ("/skydns/org/example/www", r#"{"host":"192.0.2.10"}"#),
        ("/skydns/org/example/more", r#"{"host":"192.0.2.11"}"#),
    ];
    let first = with(authoritative(&Snapshot::default(), "example.org", text), "example.org", keys(&pairs));
    let last = authoritative(&with(Snapshot::default(), "example.org", keys(&pairs)), "example.org", text);
    for snapshot in [first, last] {
        let ask = |name, kind| told(&ask(&snapshot, Transport::Udp, name, kind, None));
        assert_eq!(ask("www.example.org.", Kind::A).1, ["www.example.org. 180 IN A 192.0.2.1"]);
        assert_eq!(ask("more.example.org.", Kind::A).1, ["more.example.org. 300 IN A 192.0.2.11"]);
        let authority =
            "authority: example.org. 30 IN SOA ns1.example.org. hostmaster.example.org. 1 3600 600 604800 30";
        assert_eq!(ask("more.example.org.", Kind::SOA), (ResponseCode::NoError, vec![authority.to_owned()]));
        assert_eq!(ask("less.example.org.", Kind::A), (ResponseCode::NXDomain, vec![authority.to_owned()]));
        // Either can go, and the other stays.
        let apex = "example.org".parse().expect("a name");
        let alone = snapshot.clone().without_other(&apex);
        let reply = ask_plain(&alone, "more.example.org.");
        assert_eq!(reply.response_code, ResponseCode::NXDomain);
        let patch = Patch { removed_zones: [apex].into(), ..Patch::default() };
        let keys_alone = snapshot.apply(&patch).expect("a good patch");
        let reply = ask_plain(&keys_alone, "www.example.org.");
        assert_eq!(reply.answers[0].to_string(), "www.example.org. 300 IN A 192.0.2.10");
    }
}

fn ask_plain(snapshot: &Snapshot, name: &str) -> Message {
    ask(snapshot, Transport::Udp, name, Kind::A, None)
}

#[test]
fn a_zone_of_keys_is_not_transferred() {
    let snapshot = with(Snapshot::default(), "example.org", keys(&[]));
    let reply = ask(&snapshot, Transport::Tcp, "example.org.", Kind::AXFR, None);
    assert_eq!(reply.response_code, ResponseCode::Refused);
    let reply = ask(&snapshot, Transport::Tcp, "www.example.org.", Kind::AXFR, None);
    assert_eq!(reply.response_code, ResponseCode::NotAuth);
}
