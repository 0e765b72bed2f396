//! TCP and TLS under many, slow, and rude clients.

mod support;

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use mcdns_serve::{Listener, ListenerOptions, PolicyStore, Server, SnapshotStore};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{query, show, snapshot};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const WAIT: Duration = Duration::from_secs(30);

fn server(options: ListenerOptions) -> Server {
    let texts = (0..200).map(|n| format!("big TXT {}-{n:03}\n", "x".repeat(200))).collect::<Vec<_>>().concat();
    let zone = snapshot(&[("example.com", &format!("www A 192.0.2.1\n{texts}"))]);
    let store = Arc::new(SnapshotStore::new(zone));
    let listener = Listener { options, ..Listener::plain(ANY_PORT) };
    Server::bind(&[listener], 1, &store, &PolicyStore::default()).expect("a free port")
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addresses()[0]).expect("a connection");
    stream.set_read_timeout(Some(WAIT)).expect("a timeout");
    stream.set_write_timeout(Some(WAIT)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

fn framed(asked: &str, record_type: &str, id: u16) -> Vec<u8> {
    let mut request = query(asked, record_type);
    request[..2].copy_from_slice(&id.to_be_bytes());
    [&u16::try_from(request.len()).expect("short").to_be_bytes(), &request[..]].concat()
}

fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

fn is_answered(stream: &mut TcpStream) -> bool {
    let sent = stream.write_all(&framed("www.example.com", "A", 7));
    sent.is_ok() && read(stream).is_ok_and(|reply| show(&reply).ends_with("192.0.2.1"))
}

/// Octets of memory that this program has.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse::<usize>().expect("a number") * 1024
}

/// RFC 7766 section 6.2.1.1: a client may send many queries before it reads an answer.
#[test]
fn five_thousand_queries_in_one_go_are_answered_in_order() {
    let server = server(ListenerOptions::default());
    let mut stream = connect(&server);
    let mut sender = stream.try_clone().expect("a clone");
    let writer = std::thread::spawn(move || {
        let all: Vec<u8> = (0..5_000).flat_map(|id| framed("www.example.com", "A", id)).collect();
        sender.write_all(&all).expect("sent");
        sender.shutdown(Shutdown::Write).expect("closed");
    });
    for id in 0..5_000_u16 {
        assert_eq!(read(&mut stream).expect("an answer")[..2], id.to_be_bytes());
    }
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
    writer.join().expect("no panic");
}

#[test]
fn a_client_that_reads_nothing_holds_nobody_else_and_is_cut_off() {
    let server = server(ListenerOptions { idle: Duration::from_secs(2), ..ListenerOptions::default() });
    let mut rude = connect(&server);
    let requests: Vec<u8> = (0..100).flat_map(|id| framed("big.example.com", "TXT", id)).collect();
    let start = Instant::now();
    let mut other = connect(&server);
    let cut_off = loop {
        rude.set_write_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        match rude.write(&requests) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => break true,
        }
        if !is_answered(&mut other) {
            other = connect(&server);
            assert!(is_answered(&mut other), "others are served meanwhile");
        }
        if start.elapsed() > WAIT {
            break false;
        }
    };
    assert!(cut_off, "the client was not cut off");
}

#[test]
fn slow_senders_cost_others_nothing() {
    let server = server(ListenerOptions::default());
    let request = framed("www.example.com", "A", 1);
    let mut slow: Vec<TcpStream> = (0..50).map(|_| connect(&server)).collect();
    let mut quick = connect(&server);
    for octet in &request {
        for stream in &mut slow {
            stream.write_all(&[*octet]).expect("sent");
        }
        assert!(is_answered(&mut quick));
    }
    for stream in &mut slow {
        assert!(show(&read(stream).expect("an answer")).ends_with("192.0.2.1"));
    }
}

#[test]
fn the_longest_idle_connection_goes_when_all_places_are_taken() {
    let server = server(ListenerOptions { connections: 3, ..ListenerOptions::default() });
    let mut kept: Vec<TcpStream> = (0..3).map(|_| connect(&server)).collect();
    for place in [1, 0, 2] {
        assert!(is_answered(&mut kept[place]));
    }
    let mut fourth = connect(&server);
    assert!(is_answered(&mut fourth));
    assert_eq!(kept[1].read(&mut [0]).expect("the end"), 0);
    assert!(is_answered(&mut kept[0]) && is_answered(&mut kept[2]) && is_answered(&mut fourth));
}

#[test]
fn a_client_past_its_own_limit_is_refused_and_counted() {
    let server = server(ListenerOptions { connections_per_client: 2, ..ListenerOptions::default() });
    let mut taken = [connect(&server), connect(&server)];
    assert!(taken.iter_mut().all(is_answered));
    let mut third = connect(&server);
    assert!(!is_answered(&mut third));
    assert!(taken.iter_mut().all(is_answered));
    let [first, mut second] = taken;
    drop(first);
    let freed = Instant::now();
    while !is_answered(&mut connect(&server)) {
        assert!(freed.elapsed() < WAIT, "the place was not given back");
    }
    assert!(is_answered(&mut second));
    assert!(server.counters().sum().tcp.connections_refused >= 1);
}

#[test]
fn a_stop_answers_what_was_asked_and_ends_idle_connections_at_once() {
    let server = server(ListenerOptions::default());
    let mut idle = connect(&server);
    assert!(is_answered(&mut idle));
    let mut asking = connect(&server);
    assert!(is_answered(&mut asking));
    let request = framed("www.example.com", "A", 3);
    asking.write_all(&request[..10]).expect("sent");
    // Behind this answer, so that the octets above were read.
    assert!(is_answered(&mut idle));
    let stopping = std::thread::spawn(move || server.stop_within(WAIT));
    assert_eq!(idle.read(&mut [0]).expect("the end"), 0);
    asking.write_all(&request[10..]).expect("sent");
    assert!(show(&read(&mut asking).expect("an answer")).ends_with("192.0.2.1"));
    assert_eq!(asking.read(&mut [0]).expect("the end"), 0);
    stopping.join().expect("stopped long before the time is over");
}

/// Ten thousand where the system lets a process have as many files, with both ends in this one.
#[test]
fn ten_thousand_idle_connections_are_cheap() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, wanted).expect("up to its maximum");
    // Some are for the test program itself.
    let files = limit.maximum.map_or(30_000, |most| usize::try_from(most).unwrap_or(30_000));
    let count = (files.saturating_sub(200) / 2).min(10_000);
    assert!(count >= 400, "the limit of open files is too low for any server");
    let idle = Duration::from_mins(5);
    let (connections, connections_per_client) = (count + 10, count + 10);
    let options = ListenerOptions { connections, connections_per_client, idle, ..ListenerOptions::default() };
    let server = server(options);
    // Buffers that are made once are not counted, nor is the memory that the kernel needs.
    assert!(is_answered(&mut connect(&server)));
    let before = resident();
    let mut connections: Vec<TcpStream> = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(connect(&server));
        let last = connections.len() - 1;
        if last.is_multiple_of(10) {
            assert!(is_answered(&mut connections[last]));
        }
    }
    for stream in &mut connections {
        assert!(is_answered(stream));
    }
    let each = resident().saturating_sub(before) / count;
    assert!(each < 3_000, "{each} octets for each of {count} connections");
    let asked = Instant::now();
    assert!(is_answered(&mut connect(&server)));
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert_eq!(server.counters().sum().tcp.connections_refused, 0);
}
