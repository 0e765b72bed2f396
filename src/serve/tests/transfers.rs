//! Zone transfers as secondaries get them (RFC 5936, RFC 1995), read by foreign parsers and programs.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    sync::Arc,
    time::Duration,
};

use hickory_proto::op::Message;
use mcdns_core::{
    answer::{AuthoritativeZone, Entry, Patch, Snapshot, Soa, Zone, ZoneDifference, ZonePatch},
    dns::{OwnerName, RecordType, Rrset, Serial},
};
use mcdns_serve::{
    AccessList, AccessRule, Algorithm, Answer, Client, Key, KeyRing, Listener, Policy, PolicyStore, Responder, Server,
    SnapshotStore, Transport, ZonePolicy,
};
use proptest::{collection::vec, prelude::*};

use support::{client, lines, name, query, show, snapshot, with_edns, zone};

const APEX: &str = "example.com";

/// Owner, type, TTL and RDATA of one record, as a foreign parser reads it.
type Line = String;

/// Lets everybody in.
fn open_policy() -> Policy {
    let transfer = AccessList { rules: vec![AccessRule { networks: Vec::new(), keys: Vec::new() }] };
    Policy { other_zones: ZonePolicy { transfer, notify: Vec::new() }, ..Policy::default() }
}

fn of<'s>(snapshot: &'s Snapshot, apex: &str) -> &'s Arc<AuthoritativeZone> {
    let Some(Zone::Authoritative(zone)) = snapshot.zone(&name(apex)) else { unreachable!("no zone {apex}") };
    zone
}

/// Publishes a change, as the program does.
fn publish(store: &SnapshotStore, names: BTreeMap<OwnerName, Option<Entry>>) {
    let before = Arc::clone(&store.load());
    let old = of(&before, APEX);
    let soa = Some(Soa { serial: old.soa().serial.next(), ..old.soa().clone() });
    let patch = ZonePatch { soa, levels: None, names };
    let after =
        before.apply(&Patch { zones: [(name(APEX), patch.clone())].into(), ..Patch::default() }).expect("a good patch");
    let difference = ZoneDifference::of_patch(old, of(&after, APEX), &patch);
    store.transfers().record(Arc::new(difference), of(&after, APEX));
    store.store(after);
}

/// The same from lines.
fn publish_text(store: &SnapshotStore, text: &str, gone: &[&str]) {
    let mut names = zone(APEX, text).1.names;
    names.extend(gone.iter().map(|gone| (name(gone), None)));
    publish(store, names);
}

fn ixfr_request(serial: u32) -> Vec<u8> {
    let mut request = query(APEX, "IXFR");
    request[9] = 1;
    request.extend_from_slice(&[0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
    request.extend_from_slice(&serial.to_be_bytes());
    request.extend_from_slice(&[0; 16]);
    request
}

/// All messages of an answer, and whether they came as a transfer.
fn messages(store: &SnapshotStore, request: &[u8], client: &Client, policy: &Policy) -> (Vec<Vec<u8>>, bool) {
    let mut responder = Responder::default().with_transfers(Arc::clone(store.transfers()));
    match responder.respond(&store.load(), policy, request, client) {
        Answer::Silence => (Vec::new(), false),
        Answer::Message(reply) => (vec![reply.octets.to_vec()], false),
        Answer::Transfer(mut transfer) => {
            let (mut all, mut message) = (Vec::new(), Vec::new());
            while transfer.next_message(&mut message) {
                all.push(message.clone());
            }
            assert!(message.is_empty());
            (all, true)
        }
    }
}

fn over_tcp(store: &SnapshotStore, request: &[u8]) -> Vec<Line> {
    let (messages, _) = messages(store, request, &client(Transport::Tcp), &open_policy());
    records(&messages)
}

fn records(messages: &[Vec<u8>]) -> Vec<Line> {
    let parsed = messages.iter().map(|message| Message::from_vec(message).expect("a readable message"));
    parsed
        .flat_map(|message| {
            message.answers.into_iter().map(|record| format!("{} {} {:?}", record.name, record.ttl, record.data))
        })
        .collect()
}

/// Every record of the zone without its SOA, as AXFR gives it.
fn whole(store: &SnapshotStore) -> BTreeSet<Line> {
    let all = over_tcp(store, &query(APEX, "AXFR"));
    assert_eq!(all.first(), all.last(), "an SOA at both ends");
    let inner: BTreeSet<Line> = all[1..all.len() - 1].iter().cloned().collect();
    assert_eq!(inner.len(), all.len() - 2, "each record comes once");
    inner
}

fn is_soa(line: &str) -> bool {
    line.contains("SOA(")
}

/// Applies the answer to IXFR to what a secondary holds (RFC 1995 section 4).
fn apply(held: &BTreeSet<Line>, answer: &[Line]) -> BTreeSet<Line> {
    assert!(is_soa(&answer[0]) && answer.first() == answer.last());
    if answer.len() == 1 {
        return held.clone();
    }
    if !is_soa(&answer[1]) {
        return answer[1..answer.len() - 1].iter().cloned().collect();
    }
    let mut held = held.clone();
    let mut removing = false;
    for line in &answer[1..answer.len() - 1] {
        if is_soa(line) {
            removing = !removing;
        } else if removing {
            assert!(held.remove(line), "{line} goes and was not there");
        } else {
            assert!(held.insert(line.clone()), "{line} comes and was there");
        }
    }
    held
}

fn store(text: &str) -> Arc<SnapshotStore> {
    Arc::new(SnapshotStore::new(snapshot(&[(APEX, text)])))
}

/// A store with a zone of `count` names.
fn large(count: u32) -> Arc<SnapshotStore> {
    let names = (0..count).map(|number| {
        let owner = name(&format!("svc{number}.ns{}.svc.{APEX}", number % 50));
        (owner, Some(Entry::fixed(vec![Rrset::new(RecordType::A, 60, vec![number.to_be_bytes().into()])])))
    });
    let store = store("@ NS ns1\nns1 A 192.0.2.1");
    publish(&store, names.collect());
    store
}

#[test]
fn a_whole_zone_is_sent_between_two_soas_with_its_empty_levels_as_records() {
    let store =
        store("@ NS ns1\nns1 A 192.0.2.1\nns1 AAAA 2001:db8::1\nweb A 192.0.2.2\nweb climb\nweb.us A 192.0.2.3");
    let (messages, streamed) = messages(&store, &query(APEX, "AXFR"), &client(Transport::Tcp), &open_policy());
    assert!(streamed);
    assert_eq!(messages.len(), 1);
    let mut shown: Vec<String> = show(&messages[0]).lines().skip(1).map(ToOwned::to_owned).collect();
    assert_eq!(shown.first(), shown.last());
    assert!(show(&messages[0]).starts_with("NOERROR aa"));
    shown.sort();
    shown.dedup();
    assert_eq!(
        shown.join("\n"),
        lines(
            "answer example.com. 180 NS ns1.example.com.
             answer example.com. 3600 SOA ns1.example.com. hostmaster.example.com. 1 3600 600 604800 30
             answer ns1.example.com. 180 A 192.0.2.1
             answer ns1.example.com. 180 AAAA 2001:db8::1
             answer web.example.com. 180 A 192.0.2.2
             answer web.jp-a.jp.example.com. 60 CNAME web.jp.example.com.
             answer web.jp.example.com. 60 CNAME web.example.com.
             answer web.us-a.us.example.com. 60 CNAME web.us.example.com.
             answer web.us-b.us.example.com. 60 CNAME web.us.example.com.
             answer web.us.example.com. 180 A 192.0.2.3"
        )
    );
}

#[test]
fn messages_are_full_compressed_and_alike() {
    let store = large(20_000);
    let request = with_edns(query("eXample.com", "AXFR"), 1232, 0, 0, &[]);
    let (messages, _) = messages(&store, &request, &client(Transport::Tcp), &open_policy());
    assert!(messages.len() > 10);
    let octets: usize = messages.iter().map(Vec::len).sum();
    // Type to RDATA are 14 octets, the first label 8 or 9, and a pointer 2.
    assert!(octets < 20_000 * 27, "{octets}");
    for (at, message) in messages.iter().enumerate() {
        assert!(message.len() <= 16_384);
        assert!(message.len() > 16_000 || at + 1 == messages.len());
        assert_eq!(message[..2], [0x12, 0x34], "the ID of the request");
        assert_eq!(message[2], 0x85, "QR, AA, and RD of the request");
        let parsed = Message::from_vec(message).expect("a readable message");
        assert_eq!(parsed.queries.len(), 1);
        assert_eq!(parsed.edns.is_some(), at == 0, "EDNS in the first message alone");
        assert!(parsed.authorities.is_empty() && parsed.additionals.is_empty());
    }
    assert_eq!(records(&messages).len(), 20_000 + 2 + 2);
}

#[test]
fn a_record_longer_than_a_message_should_be_has_one_for_itself() {
    let long = format!("\"{}\" ", "x".repeat(200)).repeat(250);
    let store = store(&format!("@ NS ns1\nns1 A 192.0.2.1\nlong TXT {long}"));
    let (messages, _) = messages(&store, &query(APEX, "AXFR"), &client(Transport::Tcp), &open_policy());
    assert!(messages.iter().any(|message| message.len() > 50_000));
    assert_eq!(records(&messages).len(), 5);
}

#[test]
fn differences_lead_from_any_serial_that_is_known_to_the_newest() {
    let store = large(500);
    let mut held = vec![(2, whole(&store))];
    publish_text(&store, "new A 192.0.2.9\nnew TXT hello", &[]);
    held.push((3, whole(&store)));
    publish_text(&store, "new A 192.0.2.9\nnew A 192.0.2.10", &["svc1.ns1.svc.example.com"]);
    held.push((4, whole(&store)));
    publish_text(&store, "web A 192.0.2.1\nweb climb", &["new.example.com"]);
    let newest = whole(&store);
    for (serial, held) in &held {
        let answer = over_tcp(&store, &ixfr_request(*serial));
        assert!(answer.len() < 40, "serial {serial}: differences and not the zone");
        assert_eq!(apply(held, &answer), newest, "from serial {serial}");
    }
    assert_eq!(store.transfers().totals().incremental, 3);
    let (messages, _) = messages(&store, &ixfr_request(4), &client(Transport::Tcp), &open_policy());
    assert_eq!(
        show(&messages[0]),
        lines(
            "NOERROR aa
             answer example.com. 3600 SOA ns1.example.com. hostmaster.example.com. 5 3600 600 604800 30
             answer example.com. 3600 SOA ns1.example.com. hostmaster.example.com. 4 3600 600 604800 30
             answer new.example.com. 180 A 192.0.2.9
             answer new.example.com. 180 A 192.0.2.10
             answer example.com. 3600 SOA ns1.example.com. hostmaster.example.com. 5 3600 600 604800 30
             answer web.jp-a.jp.example.com. 60 CNAME web.jp.example.com.
             answer web.jp.example.com. 60 CNAME web.example.com.
             answer web.us-a.us.example.com. 60 CNAME web.us.example.com.
             answer web.us-b.us.example.com. 60 CNAME web.us.example.com.
             answer web.us.example.com. 60 CNAME web.example.com.
             answer web.example.com. 180 A 192.0.2.1
             answer example.com. 3600 SOA ns1.example.com. hostmaster.example.com. 5 3600 600 604800 30"
        )
    );
}

/// RFC 1995 section 2: "If an IXFR query with the same or newer version number than that of the server is received, it
/// is replied to with a single SOA record of the server's current version".
#[test]
fn who_is_up_to_date_gets_the_soa_alone_and_who_is_too_old_the_zone() {
    let store = large(100);
    publish_text(&store, "new A 192.0.2.9", &[]);
    for serial in [3, 4, 1_000_000] {
        assert_eq!(over_tcp(&store, &ixfr_request(serial)).len(), 1, "serial {serial}");
    }
    // The last is half the space away: neither older nor newer (RFC 1982 section 3.2).
    for serial in [0, u32::MAX, (1 << 31) + 3] {
        let answer = over_tcp(&store, &ixfr_request(serial));
        assert_eq!(apply(&BTreeSet::new(), &answer), whole(&store), "serial {serial}");
    }
    store.transfers().forget(&name(APEX));
    assert!(over_tcp(&store, &ixfr_request(2)).len() > 100);
    let mut broken = ixfr_request(2);
    broken.truncate(broken.len() - 40);
    broken[9] = 0;
    let (messages, _) = messages(&store, &broken, &client(Transport::Tcp), &open_policy());
    assert!(show(&messages[0]).starts_with("FORMERR"), "without the SOA of the client");
}

#[test]
fn over_udp_differences_come_if_they_fit_and_else_the_soa() {
    let store = large(500);
    let udp = |store: &SnapshotStore, request: &[u8]| {
        let (messages, streamed) = messages(store, request, &client(Transport::Udp), &open_policy());
        assert!(!streamed);
        assert!(messages[0].len() <= 512);
        records(&messages)
    };
    publish_text(&store, "new A 192.0.2.9", &[]);
    assert_eq!(udp(&store, &ixfr_request(2)).len(), 5);
    assert_eq!(udp(&store, &ixfr_request(3)).len(), 1);
    let many = (0..50).map(|number| format!("new{number} A 192.0.2.9\n")).collect::<Vec<_>>().concat();
    publish_text(&store, &many, &[]);
    assert_eq!(udp(&store, &ixfr_request(2)).len(), 1);
    assert_eq!(udp(&store, &ixfr_request(0)).len(), 1);
}

#[test]
fn an_soa_that_does_not_fit_into_a_datagram_is_asked_for_over_a_stream() {
    let apex = [["a"; 60].concat(), ["b"; 60].concat(), ["c"; 60].concat()].join(".");
    let store = Arc::new(SnapshotStore::new(snapshot(&[(&*apex, "@ NS ns1")])));
    let mut request = query(&apex, "IXFR");
    request.extend_from_slice(&ixfr_request(1)[query(APEX, "IXFR").len()..]);
    request[9] = 1;
    let flags = |transport, request: &[u8]| {
        let (messages, _) = messages(&store, request, &client(transport), &open_policy());
        (messages[0][2] & 2 != 0, messages[0][7])
    };
    assert_eq!(flags(Transport::Udp, &request), (true, 0), "TC and no record");
    assert_eq!(flags(Transport::Udp, &with_edns(request.clone(), 1232, 0, 0, &[])), (false, 1));
    assert_eq!(flags(Transport::Tcp, &request), (false, 1));
}

#[test]
fn nobody_gets_a_zone_but_who_may() {
    let store = store("@ NS ns1\nns1 A 192.0.2.1");
    let ask = |request: &[u8], transport, policy: &Policy| {
        let (messages, streamed) = messages(&store, request, &client(transport), policy);
        if streamed { "transfer".to_owned() } else { show(&messages[0]).lines().next().unwrap_or_default().to_owned() }
    };
    let loopback = ZonePolicy { transfer: AccessList::loopback(), notify: Vec::new() };
    let loopback = Policy { other_zones: loopback, ..Policy::default() };
    let axfr = query(APEX, "AXFR");
    assert_eq!(ask(&axfr, Transport::Tcp, &open_policy()), "transfer");
    assert_eq!(ask(&axfr, Transport::Quic, &open_policy()), "transfer");
    assert_eq!(ask(&axfr, Transport::Tcp, &Policy::default()), "REFUSED");
    assert_eq!(ask(&axfr, Transport::Tcp, &loopback), "REFUSED", "the client is somewhere else");
    assert_eq!(ask(&ixfr_request(0), Transport::Udp, &loopback), "REFUSED");
    assert_eq!(ask(&axfr, Transport::Udp, &open_policy()), "FORMERR", "AXFR is not defined over UDP");
    assert_eq!(ask(&axfr, Transport::Https, &open_policy()), "REFUSED");
    assert_eq!(ask(&query("example.org", "AXFR"), Transport::Tcp, &open_policy()), "NOTAUTH");
    assert_eq!(ask(&query("ns1.example.com", "AXFR"), Transport::Tcp, &open_policy()), "NOTAUTH");
    assert_eq!(store.transfers().totals().refused, 7);
}

#[test]
fn transfers_under_way_are_limited_and_those_that_end_make_room() {
    let store = store("@ NS ns1\nns1 A 192.0.2.1");
    let mut open = Vec::new();
    let status = loop {
        let mut responder = Responder::default().with_transfers(Arc::clone(store.transfers()));
        match responder.respond(&store.load(), &open_policy(), &query(APEX, "AXFR"), &client(Transport::Tcp)) {
            Answer::Transfer(transfer) => open.push(transfer),
            Answer::Message(reply) => break show(reply.octets),
            Answer::Silence => unreachable!("silence"),
        }
    };
    assert_eq!(open.len(), 64);
    assert_eq!(status, "SERVFAIL");
    assert_eq!(store.transfers().under_way(), 64);
    drop(open);
    assert_eq!(store.transfers().under_way(), 0);
    assert_eq!(whole(&store).len(), 2);
}

#[test]
fn a_transfer_is_of_one_generation_whatever_is_published_meanwhile() {
    let store = large(5_000);
    let before = whole(&store);
    let mut responder = Responder::default().with_transfers(Arc::clone(store.transfers()));
    let snapshot = Arc::clone(&store.load());
    let answer = responder.respond(&snapshot, &open_policy(), &query(APEX, "AXFR"), &client(Transport::Tcp));
    let Answer::Transfer(mut transfer) = answer else { unreachable!("no transfer") };
    let held = Arc::downgrade(of(&snapshot, APEX));
    drop(snapshot);
    let (mut all, mut message) = (Vec::new(), Vec::new());
    let mut number = 0;
    while transfer.next_message(&mut message) {
        all.push(message.clone());
        number += 1;
        publish_text(&store, &format!("new{number} A 192.0.2.9"), &[&format!("svc{number}.ns{number}.svc.{APEX}")]);
    }
    let all = records(&all);
    assert_eq!(all[1..all.len() - 1].iter().cloned().collect::<BTreeSet<_>>(), before);
    assert!(held.upgrade().is_some(), "the generation is kept for the transfer");
    drop(transfer);
    assert!(held.upgrade().is_none(), "and given back after it");
}

#[test]
fn dig_and_kdig_take_whole_zones_and_differences_signed_and_not() {
    let store = large(3_000);
    let key = Key::new(name("transfer-key"), Algorithm::HmacSha256, *b"0123456789abcdef0123456789abcdef");
    let rules = vec![AccessRule { networks: Vec::new(), keys: vec![name("transfer-key")] }];
    let signed = ZonePolicy { transfer: AccessList { rules }, notify: Vec::new() };
    let by_key = Policy { other_zones: signed, keys: KeyRing::new([key]), ..Policy::default() };
    let listener = [Listener::plain(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))];
    let policies = PolicyStore::new(open_policy());
    let server = Server::bind(&listener, 1, &store, &policies).expect("a free port");
    let port = server.addresses()[0].port().to_string();
    publish_text(&store, "new A 192.0.2.9", &[]);
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(["@127.0.0.1", "-p", &port]).args(arguments).output().expect(program);
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(!text.contains("failed") && !text.contains("WARNING"), "{program} {arguments:?}: {text}");
        text.lines().filter(|line| !line.is_empty() && !line.starts_with(';')).count()
    };
    let secret = "hmac-sha256:transfer-key:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let whole = 3_000 + 2 + 1 + 2;
    assert_eq!(run("dig", &[APEX, "AXFR"]), whole);
    assert_eq!(run("kdig", &[APEX, "AXFR"]), whole);
    assert_eq!(run("dig", &[APEX, "IXFR=2"]), 5);
    assert_eq!(run("kdig", &["+tcp", APEX, "IXFR=2"]), 5);
    assert_eq!(run("dig", &["+notcp", APEX, "IXFR=2"]), 5);
    policies.store(by_key);
    // Each of the many messages is signed over the one before; dig and kdig verify them all.
    assert!(run("dig", &["-y", secret, APEX, "AXFR"]) > whole + 2, "and a TSIG record for each message");
    assert!(run("kdig", &["-y", secret, APEX, "AXFR"]) >= whole);
    assert!(run("dig", &["-y", secret, APEX, "IXFR=2"]) >= 5);
    let refused = Command::new("dig").args(["@127.0.0.1", "-p", &port, APEX, "AXFR"]).output().expect("dig");
    assert!(String::from_utf8_lossy(&refused.stdout).contains("Transfer failed"));
}

#[test]
fn a_reader_that_stops_reading_does_not_keep_others_waiting() {
    let store = large(20_000);
    let listener = [Listener::plain(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))];
    let server = Server::bind(&listener, 1, &store, &PolicyStore::new(open_policy())).expect("a free port");
    let connect = || {
        let stream = TcpStream::connect(server.addresses()[0]).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        stream
    };
    let framed = |request: Vec<u8>| {
        let length = u16::try_from(request.len()).expect("short");
        [&length.to_be_bytes(), &request[..]].concat()
    };
    let mut slow: Vec<TcpStream> = (0..5).map(|_| connect()).collect();
    for stream in &mut slow {
        stream.write_all(&framed(query(APEX, "AXFR"))).expect("sent");
    }
    let mut other = connect();
    other.write_all(&framed(query("ns1.example.com", "A"))).expect("sent");
    let mut length = [0; 2];
    other.read_exact(&mut length).expect("an answer, although one thread serves all");
    drop(slow);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// A secondary that follows holds what the primary holds, and is never sent more than the whole zone.
    #[test]
    fn a_secondary_that_follows_random_changes_holds_the_zone(
        steps in vec(vec((0_u32..30, proptest::option::weighted(0.7, 0_u8..3)), 1..12), 1..12),
        asks in vec(any::<bool>(), 12),
    ) {
        let store = large(20);
        let (mut held, mut serial) = (whole(&store), Serial(2));
        for (step, asks) in steps.into_iter().zip(asks) {
            let names = step.into_iter().map(|(number, octet)| {
                let owner = name(&format!("svc{number}.ns{}.svc.{APEX}", number % 7));
                let entry = octet.map(|octet| Entry {
                    rrsets: vec![Rrset::new(RecordType::A, 60, vec![[192, 0, 2, octet].into()])],
                    climb: (number % 3 == 0).then_some(30),
                });
                (owner, entry)
            });
            publish(&store, names.collect());
            if asks {
                let size = |request: &[u8]| -> usize {
                    let (messages, _) = messages(&store, request, &client(Transport::Tcp), &open_policy());
                    messages.iter().map(Vec::len).sum()
                };
                let request = ixfr_request(serial.0);
                prop_assert!(size(&request) <= size(&query(APEX, "AXFR")));
                held = apply(&held, &over_tcp(&store, &request));
                serial = of(&store.load(), APEX).soa().serial;
                prop_assert_eq!(&held, &whole(&store));
            }
        }
    }
}
