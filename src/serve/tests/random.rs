//! Whatever comes in: no panic, and every answer keeps to its limit and can be read.

mod support;

use hickory_proto::op::Message;
use mcdns_core::answer::Snapshot;
use mcdns_serve::{CookieSecrets, Policy, Responder, Transport};
use proptest::{collection::vec, prelude::*, sample::select};

use support::{client, query, reply, snapshot, with_edns};

fn zones() -> Snapshot {
    let many: String = (0..120)
        .map(|n| format!("many A 10.0.0.{n}\nmany MX {n} mail{n}.d\nmail{n}.d A 10.1.0.{n}\n"))
        .collect::<Vec<_>>()
        .concat();
    let zone = format!(
        "@ NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.1\nwww climb\n*.d CNAME many\n*.d climb\na.b CNAME www.d.us-a.us\n
         d NS ns.d\nns.d A 192.0.2.2\nus DNAME jp\ndark.d climb\njp.d CNAME jp.d\nb DNAME d.other.test.\n{many}"
    );
    let plain = "@ NS ns1\n*.d A 192.0.2.7\nwww.a CNAME dark.www.us-a.us.example.com.\nmany CNAME many.example.com.\nx climb\n*.y climb";
    snapshot(&[
        ("example.com", &zone),
        ("other.test", plain),
        ("d.other.test", "@ NS ns.b.example.com.\n* CNAME a.b.us.example.com."),
    ])
}

fn check(zones: &Snapshot, request: &[u8]) -> Result<(), TestCaseError> {
    let mut responder = Responder::default();
    let cookies = CookieSecrets { current: [7; 16], other: None };
    let policy = Policy { nsid: Some((*b"here").into()), cookies: Some(cookies), ..Policy::default() };
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let answer = responder.respond(zones, &policy, request, &client(transport));
        let Some(reply) = reply(answer) else {
            prop_assert!(request.len() < 12 || request[2] & 0x80 != 0, "silence is for answers and scraps");
            continue;
        };
        let limit = if transport == Transport::Udp { 1232 } else { 65_535 };
        prop_assert!(reply.octets.len() <= limit);
        prop_assert_eq!(&reply.octets[..2], &request[..2]);
        let message = Message::from_vec(reply.octets);
        prop_assert!(message.is_ok(), "{:?}: {:?}", message, reply.octets);
        let ours = |octets: &[u8]| {
            [&b"example"[..], b"test"].iter().any(|part| octets.windows(part.len()).any(|w| w == *part))
        };
        // Nothing is said about names of others.
        if let Ok(message) = message {
            for record in message.answers.iter().chain(&message.authorities).chain(&message.additionals) {
                prop_assert!(ours(record.name.to_lowercase().to_string().as_bytes()));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_octets_are_survived(request in vec(any::<u8>(), 0..600)) {
        check(&zones(), &request)?;
    }

    #[test]
    fn any_octets_behind_a_good_header_are_survived(
        counts in vec(0_u8..3, 4),
        behind in vec(prop_oneof![3 => 0_u8..4, 1 => Just(41), 1 => any::<u8>()], 0..80),
    ) {
        let mut request = vec![0x12, 0x34, 1, 0];
        for count in counts {
            request.extend([0, count]);
        }
        request.extend(behind);
        check(&zones(), &request)?;
    }

    #[test]
    fn damaged_queries_are_survived(
        asked in asked(),
        record_type in record_type(),
        edns in proptest::option::of((any::<u16>(), 0_u8..2, any::<u8>(), vec(any::<u8>(), 0..12))),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in any::<prop::sample::Index>(),
        is_cut in prop::bool::weighted(0.1),
    ) {
        let mut request = query(&asked, record_type);
        if let Some((payload, version, flags, options)) = edns {
            request = with_edns(request, payload, version, flags, &options);
        }
        for (at, octet) in damage {
            let at = at.index(request.len());
            request[at] = octet;
        }
        if is_cut {
            request.truncate(cut.index(request.len()));
        }
        check(&zones(), &request)?;
    }

    #[test]
    fn any_options_are_survived(
        asked in asked(),
        record_type in record_type(),
        payload in prop_oneof![Just(512), Just(600), Just(1232), any::<u16>()],
        opcode in prop_oneof![4 => Just(0_u8), 1 => 0_u8..16],
        options in vec((option(), vec(any::<u8>(), 0..6)), 0..6),
    ) {
        let mut octets = Vec::new();
        for ((code, data), more) in options {
            // Most are as they should be.
            let data = if more.len() < 5 { data } else { more };
            octets.extend_from_slice(&code.to_be_bytes());
            octets.extend_from_slice(&u16::try_from(data.len()).expect("short").to_be_bytes());
            octets.extend_from_slice(&data);
        }
        let mut request = with_edns(query(&asked, record_type), payload, 0, 0x80, &octets);
        request[2] |= opcode << 3;
        check(&zones(), &request)?;
    }

    /// A good question gets a good answer: AA or a referral, and an SOA where there is nothing else.
    #[test]
    fn every_answer_says_something(asked in asked(), record_type in record_type()) {
        let zones = zones();
        check(&zones, &query(&asked, record_type))?;
        let request = query(&asked, record_type);
        let mut responder = Responder::default();
        let answer = responder.respond(&zones, &Policy::default(), &request, &client(Transport::Tcp));
        let reply = reply(answer).expect("an answer");
        let message = Message::from_vec(reply.octets).expect("a message");
        prop_assert!(!message.metadata.truncation);
        let is_referral = !message.metadata.authoritative;
        prop_assert!(!message.answers.is_empty() || !message.authorities.is_empty() || reply.rcode == 5);
        if reply.rcode == 3 {
            prop_assert!(message.authorities.iter().any(|record| record.record_type() == hickory_proto::rr::RecordType::SOA));
        }
        if is_referral && reply.rcode == 0 {
            prop_assert!(message.authorities.iter().all(|record| record.record_type() == hickory_proto::rr::RecordType::NS));
        }
    }
}

fn asked() -> impl Strategy<Value = String> {
    let labels = select(vec![
        "a", "b", "d", "x", "y", "www", "WWW", "many", "us", "jp", "us-a", "jp-a", "*", "ns", "dark", "mail7",
    ]);
    let apex = select(vec!["example.com", "other.test", "d.other.test", "Example.Com"]);
    (vec(labels, 0..6), apex).prop_map(|(labels, apex)| {
        let mut name = labels.join(".");
        if !name.is_empty() {
            name.push('.');
        }
        name + apex
    })
}

/// An option that is understood, with good data.
fn option() -> impl Strategy<Value = (u16, Vec<u8>)> {
    select(vec![
        (3, vec![]),
        (8, vec![0, 1, 24, 0, 198, 51, 100]),
        (8, vec![0, 2, 0, 0]),
        (10, vec![1; 8]),
        (10, vec![1; 24]),
        (11, vec![]),
        (12, vec![0; 9]),
        (65_001, vec![1, 2, 3]),
    ])
}

fn record_type() -> impl Strategy<Value = &'static str> {
    select(vec!["A", "AAAA", "NS", "SOA", "CNAME", "MX", "DS", "DNAME", "ANY", "TXT"])
}
