//! Secondaries are told of changes (RFC 1996).

mod support;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use mcdns_core::{
    answer::{Patch, Soa, Zone, ZonePatch},
    dns::Serial,
};
use mcdns_serve::{
    Algorithm, Client, Key, KeyRing, Listener, NotifyTotals, Policy, PolicyStore, Responder, Secondary, Server,
    SnapshotStore, Transport, ZonePolicy,
};

use support::{name, show, snapshot};

const WAIT: Duration = Duration::from_secs(20);
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

struct Pair {
    server: Server,
    store: Arc<SnapshotStore>,
    secondary: UdpSocket,
}

/// A server and a secondary that it is to notify.
fn pair(key: Option<&Key>) -> Pair {
    pair_with(key, None)
}

/// The same, told from this address.
fn pair_with(key: Option<&Key>, source: Option<IpAddr>) -> Pair {
    let secondary = UdpSocket::bind(ANY_PORT).expect("a socket");
    secondary.set_read_timeout(Some(WAIT)).expect("a timeout");
    let address = secondary.local_addr().expect("an address");
    let notify = vec![Secondary { address, key: key.map(|key| key.name().clone()), source }];
    let keys = KeyRing::new(key.cloned());
    let zones = [(name("example.com"), ZonePolicy { notify, ..ZonePolicy::default() })].into();
    let policy = PolicyStore::new(Policy { zones, keys, ..Policy::default() });
    let store = Arc::new(SnapshotStore::new(snapshot(&[("example.com", "@ NS ns1"), ("example.net", "@ NS ns1")])));
    let server = Server::bind(&[Listener::plain(ANY_PORT)], 1, &store, &policy).expect("a free port");
    Pair { server, store, secondary }
}

fn set_serial(store: &SnapshotStore, serial: u32) {
    let apex = name("example.com");
    let before = store.load();
    let Some(Zone::Authoritative(zone)) = before.zone(&apex) else { unreachable!("no zone") };
    let soa = Some(Soa { serial: Serial(serial), ..zone.soa().clone() });
    let patch = ZonePatch { soa, ..ZonePatch::default() };
    store.store(before.apply(&Patch { zones: [(apex, patch)].into(), ..Patch::default() }).expect("a good patch"));
}

/// The next notification.
fn receive(secondary: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 1024];
    let (length, from) = secondary.recv_from(&mut buffer).expect("a notification");
    (buffer[..length].to_vec(), from)
}

/// The answer that counts.
fn acknowledge(secondary: &UdpSocket, message: &[u8], to: SocketAddr) {
    let question_end = 12 + name("example.com").as_wire().len() + 4;
    let mut answer = message[..question_end].to_vec();
    answer[2] |= 0x80;
    answer[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    secondary.send_to(&answer, to).expect("sent");
}

fn serial_of(message: &[u8]) -> u32 {
    // The SOA is the last record of a message that is not signed.
    let at = message.len() - 20;
    u32::from_be_bytes(message[at..at + 4].try_into().expect("four octets"))
}

fn eventually(server: &Server, wanted: impl Fn(NotifyTotals) -> bool) {
    let end = Instant::now() + WAIT;
    while !wanted(server.vitals().notifications().totals()) {
        assert!(Instant::now() < end, "{:?}", server.vitals().notifications().totals());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_secondary_is_told_at_the_start_and_when_the_serial_has_moved() {
    let Pair { server, store, secondary } = pair(None);
    let (message, from) = receive(&secondary);
    assert_eq!(message[2], 0x24, "NOTIFY with AA");
    let shown = show(&message);
    assert!(shown.contains("answer example.com. 3600 SOA ns1.example.com. hostmaster.example.com. 1 "), "{shown}");
    acknowledge(&secondary, &message, from);
    eventually(&server, |totals| totals.acknowledged == 1);
    set_serial(&store, 2);
    let (message, from) = receive(&secondary);
    assert_eq!(serial_of(&message), 2);
    acknowledge(&secondary, &message, from);
    eventually(&server, |totals| totals == NotifyTotals { sent: 2, acknowledged: 2, failed: 0 });
    server.stop();
}

#[test]
fn a_secondary_is_told_from_the_address_that_is_set() {
    let source = Ipv4Addr::new(127, 0, 0, 2).into();
    let Pair { server, secondary, .. } = pair_with(None, Some(source));
    let (message, from) = receive(&secondary);
    assert_eq!(from.ip(), source);
    acknowledge(&secondary, &message, from);
    eventually(&server, |totals| totals.acknowledged == 1);
    server.stop();
}

#[test]
fn a_notification_without_an_answer_is_sent_again_with_the_newest_serial() {
    let Pair { server, store, secondary } = pair(None);
    let (first, from) = receive(&secondary);
    set_serial(&store, 7);
    // What is no answer to it does not count: another ID, a query, another opcode.
    for (at, change) in [(0, 1), (2, 0x80), (2, 0x08)] {
        let mut wrong = first.clone();
        wrong[2] |= 0x80;
        wrong[at] ^= change;
        acknowledge_as(&secondary, &wrong, from);
    }
    let (second, from) = receive(&secondary);
    assert_eq!(serial_of(&second), 7);
    assert_eq!(server.vitals().notifications().totals().acknowledged, 0);
    acknowledge(&secondary, &second, from);
    eventually(&server, |totals| totals.acknowledged == 1);
}

fn acknowledge_as(secondary: &UdpSocket, answer: &[u8], to: SocketAddr) {
    secondary.send_to(answer, to).expect("sent");
}

#[test]
fn a_zone_that_changes_all_the_time_is_notified_once_a_second() {
    let Pair { server, store, secondary } = pair(None);
    let (message, from) = receive(&secondary);
    acknowledge(&secondary, &message, from);
    let start = Instant::now();
    let mut serial = 1;
    let mut told = Vec::new();
    secondary.set_read_timeout(Some(Duration::from_millis(5))).expect("a timeout");
    let mut buffer = [0; 1024];
    while told.len() < 3 {
        serial += 1;
        set_serial(&store, serial);
        if let Ok((length, from)) = secondary.recv_from(&mut buffer) {
            told.push(serial_of(&buffer[..length]));
            acknowledge(&secondary, &buffer[..length], from);
        }
        assert!(start.elapsed() < WAIT);
    }
    assert!(start.elapsed() >= Duration::from_secs(2), "three of them in {:?}", start.elapsed());
    assert!(told.is_sorted() && told[2] > 3, "{told:?}");
    server.stop();
}

#[test]
fn a_secondary_that_refuses_is_not_asked_again() {
    let Pair { server, secondary, .. } = pair(None);
    let (mut message, from) = receive(&secondary);
    message[3] |= 5;
    acknowledge(&secondary, &message, from);
    eventually(&server, |totals| totals == NotifyTotals { sent: 1, acknowledged: 0, failed: 1 });
}

#[test]
fn with_a_key_the_notification_is_signed_and_only_a_signed_answer_counts() {
    let key = Key::new(name("notify-key"), Algorithm::HmacSha256, *b"0123456789abcdef0123456789abcdef");
    let Pair { server, secondary, .. } = pair(Some(&key));
    let (first, from) = receive(&secondary);
    acknowledge(&secondary, &first, from);
    let (second, from) = receive(&secondary);
    assert_eq!(server.vitals().notifications().totals().acknowledged, 0, "an answer without a signature");
    // A server of ours with the same key refuses the NOTIFY, and signs that.
    let policy = Policy { keys: KeyRing::new([key]), ..Policy::default() };
    let zones = snapshot(&[("example.com", "@ NS ns1")]);
    let client = Client { address: from, transport: Transport::Udp };
    let mut responder = Responder::default();
    let reply = support::reply(responder.respond(&zones, &policy, &second, &client)).expect("an answer");
    assert_eq!(reply.rcode, 5);
    secondary.send_to(reply.octets, from).expect("sent");
    eventually(&server, |totals| totals == NotifyTotals { sent: 2, acknowledged: 0, failed: 1 });
}

#[test]
fn a_server_stops_while_a_secondary_is_silent() {
    let Pair { server, secondary, .. } = pair(None);
    let _ = receive(&secondary);
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(2));
}
