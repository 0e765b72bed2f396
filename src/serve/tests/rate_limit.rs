//! Response rate limiting as those see it who flood, and those who do not.

mod support;

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use mcdns_serve::{Listener, ListenerOptions, Policy, PolicyStore, RateLimit, RateLimitTotals, Server, SnapshotStore};

use support::{query, show, snapshot, with_edns};

const LIMIT: RateLimit = RateLimit { responses_per_second: 50, slip: 2, ipv4_prefix: 24, ipv6_prefix: 56 };
/// Queries of a flood.
const FLOOD: usize = 5_000;

fn server(options: ListenerOptions) -> (Server, SocketAddr) {
    let zone = snapshot(&[("example.com", "www A 192.0.2.1\nother A 192.0.2.2\n*.wild A 192.0.2.3")]);
    let store = Arc::new(SnapshotStore::new(zone));
    let policy = PolicyStore::new(Policy { rate_limit: Some(LIMIT), ..Policy::default() });
    let listener = Listener { options, ..Listener::plain((Ipv4Addr::LOCALHOST, 0).into()) };
    let server = Server::bind(&[listener], 2, &store, &policy).expect("a free port");
    let address = server.addresses()[0];
    (server, address)
}

/// A client in the network `127.0.<third>.0/24`.
fn client(server: SocketAddr, third: u8, last: u8) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, third, last), 0)).expect("a socket");
    socket.connect(server).expect("connected");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    socket
}

fn ask(socket: &UdpSocket, request: &[u8]) -> String {
    socket.send(request).expect("sent");
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply).expect("an answer");
    show(&reply[..length])
}

/// What came of a flood: whole answers and truncated ones.
fn flood(server: &Server, socket: &UdpSocket, request: impl Fn(usize) -> Vec<u8>) -> (usize, usize, Duration) {
    let (start, before) = (Instant::now(), server.vitals().rate_limited());
    let (mut whole, mut truncated) = (0, 0);
    let mut reply = [0; 512];
    socket.set_nonblocking(true).expect("set");
    let mut take = |whole: &mut usize, truncated: &mut usize, longest: usize| {
        while let Ok(length) = socket.recv(&mut reply) {
            let is_truncated = reply[2] & 2 != 0;
            assert!(!is_truncated || length <= longest, "what slips is no longer than the query");
            *if is_truncated { &mut *truncated } else { &mut *whole } += 1;
        }
    };
    for number in 0..FLOOD {
        let request = request(number);
        socket.send(&request).expect("sent");
        // No more are on their way at a time than the buffers of the kernel's own size hold.
        while number % 50 == 49 && start.elapsed() < Duration::from_mins(2) {
            take(&mut whole, &mut truncated, request.len());
            let dropped = usize::try_from(server.vitals().rate_limited().dropped - before.dropped).expect("few");
            if whole + truncated + dropped == number + 1 {
                break;
            }
            std::thread::yield_now();
        }
    }
    let dropped = usize::try_from(server.vitals().rate_limited().dropped - before.dropped).expect("few");
    assert_eq!(whole + truncated + dropped, FLOOD);
    socket.set_nonblocking(false).expect("set");
    (whole, truncated, start.elapsed())
}

/// A limit of 50 lets less than 100 through at once, and 50 in each further second at most.
fn assert_limited((whole, truncated, time): (usize, usize, Duration)) {
    let most = 100 + 50 * (usize::try_from(time.as_secs()).expect("few") + 1);
    assert!((50..=most).contains(&whole), "{whole} whole answers in {time:?}");
    assert!(truncated > (FLOOD - whole) / 3 && truncated < (FLOOD - whole) * 2 / 3, "{truncated} slip of {FLOOD}");
}

#[test]
fn a_flood_is_limited_and_a_bystander_is_not() {
    let (server, address) = server(ListenerOptions::default());
    let request = with_edns(query("www.example.com", "A"), 1232, 0, 0, &[]);
    let flooding = client(address, 1, 1);
    let bystander = client(address, 2, 1);
    assert_limited(flood(&server, &flooding, |_| request.clone()));
    let expected = "NOERROR aa\nanswer www.example.com. 180 A 192.0.2.1";
    for _ in 0..40 {
        assert_eq!(ask(&bystander, &query("www.example.com", "A")), expected);
    }
    // From the network that is flooded other questions are answered, and the same one over TCP.
    assert!(ask(&client(address, 1, 9), &query("other.example.com", "A")).ends_with("192.0.2.2"));
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = query("www.example.com", "A");
    stream.write_all(&[&[0, u8::try_from(request.len()).expect("short")][..], &request].concat()).expect("sent");
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("an answer");

    let totals = server.vitals().rate_limited();
    let counters = server.counters().clone();
    server.stop();
    let udp = counters.sum().udp;
    let RateLimitTotals { limited, slipped, dropped } = totals;
    assert_eq!((limited, udp.truncated, udp.queries), (slipped + dropped, slipped, FLOOD as u64 + 41));
    assert_eq!((udp.queries, udp.dropped), (udp.rcodes[0] + dropped, dropped));
    // What slips has the header, the question and an OPT record, as the query had.
    let whole = udp.rcodes[0] - slipped;
    let (slip, least) = (request.len() as u64 + 11, request.len() as u64 + 16);
    assert!((slipped * slip + whole * least..=slipped * slip + whole * (least + 11)).contains(&udp.octets), "{udp:?}");
}

#[test]
fn random_names_below_a_zone_or_a_wildcard_count_as_one() {
    let (server, address) = server(ListenerOptions::default());
    let flooding = client(address, 1, 1);
    assert_limited(flood(&server, &flooding, |number| query(&format!("n{number}.example.com"), "A")));
    assert_limited(flood(&server, &flooding, |number| query(&format!("n{number}.wild.example.com"), "A")));
    assert_limited(flood(&server, &flooding, |number| query(&format!("n{number}.example.net"), "A")));
}

#[test]
fn a_listener_can_do_without() {
    let (server, address) = server(ListenerOptions { rate_limit: false, ..ListenerOptions::default() });
    let flooding = client(address, 1, 1);
    for _ in 0..500 {
        assert!(ask(&flooding, &query("www.example.com", "A")).starts_with("NOERROR aa\nanswer"));
    }
    assert_eq!(server.vitals().rate_limited(), RateLimitTotals::default());
}
