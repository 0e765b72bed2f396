//! The server as its clients see it.

mod support;

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::Arc,
    time::Duration,
};

use mcdns_serve::{BindError, Listener, PolicyStore, Server, SnapshotStore};

use support::{query, show, snapshot};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const WAIT: Duration = Duration::from_secs(5);

fn bind(addresses: &[SocketAddr], workers: usize, store: &Arc<SnapshotStore>) -> Result<Server, BindError> {
    let listeners: Vec<Listener> = addresses.iter().copied().map(Listener::plain).collect();
    Server::bind(&listeners, workers, store, &PolicyStore::default())
}

fn server() -> (Server, Arc<SnapshotStore>) {
    let texts: String = (0..100).map(|n| format!("big TXT text-number-{n:03}\n")).collect::<Vec<_>>().concat();
    let zone = snapshot(&[("example.com", &format!("www A 192.0.2.1\n{texts}"))]);
    let store = Arc::new(SnapshotStore::new(zone));
    let server = bind(&[ANY_PORT], 2, &store).expect("a free port");
    (server, store)
}

fn udp_ask(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let any: SocketAddr = if address.is_ipv4() { ANY_PORT } else { (Ipv6Addr::LOCALHOST, 0).into() };
    let socket = UdpSocket::bind(any).expect("a socket");
    socket.set_read_timeout(Some(WAIT)).expect("a timeout");
    socket.send_to(request, address).expect("sent");
    let mut reply = [0; 2048];
    let (length, from) = socket.recv_from(&mut reply).expect("an answer");
    assert_eq!(from, address);
    reply[..length].to_vec()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(WAIT)).expect("a timeout");
    stream
}

fn framed(request: &[u8]) -> Vec<u8> {
    let length = u16::try_from(request.len()).expect("a short request");
    [&length.to_be_bytes(), request].concat()
}

fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("a length");
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply).expect("a message");
    reply
}

#[test]
fn udp_and_tcp_answer_on_one_port_and_are_counted() {
    let (server, _) = server();
    let [address] = *server.addresses() else { unreachable!("one address") };
    let expected = "NOERROR aa\nanswer www.example.com. 180 A 192.0.2.1";
    // Many clients, so that both workers get some.
    for _ in 0..20 {
        assert_eq!(show(&udp_ask(address, &query("www.example.com", "A"))), expected);
    }
    let big = udp_ask(address, &query("big.example.com", "TXT"));
    assert_eq!(show(&big), "NOERROR aa tc");

    let mut stream = connect(address);
    stream.write_all(&framed(&query("big.example.com", "TXT"))).expect("sent");
    assert_eq!(show(&read_framed(&mut stream)).matches("answer").count(), 100);
    stream.write_all(&framed(&query("nothing.example.com", "A"))).expect("sent");
    assert!(show(&read_framed(&mut stream)).starts_with("NXDOMAIN aa"));

    let counters = server.counters().clone();
    server.stop();
    let totals = counters.sum();
    assert_eq!((totals.udp.queries, totals.udp.rcodes[0], totals.udp.truncated), (21, 21, 1));
    assert_eq!((totals.tcp.queries, totals.tcp.rcodes[0], totals.tcp.rcodes[3]), (2, 1, 1));
    assert_eq!((totals.tcp.connections, totals.udp.panics + totals.tcp.panics), (1, 0));
}

#[test]
fn a_new_snapshot_is_answered_at_once() {
    let (server, store) = server();
    let address = server.addresses()[0];
    store.store(snapshot(&[("example.com", "www A 192.0.2.200")]));
    assert!(show(&udp_ask(address, &query("www.example.com", "A"))).ends_with("192.0.2.200"));
    assert_eq!(store.generation(), store.load().generation());
}

/// RFC 7766 section 6.2.1.1: pipelining; section 8: the length may come in another segment than the message.
#[test]
fn tcp_takes_several_messages_at_once_and_messages_in_pieces() {
    let (server, _) = server();
    let mut stream = connect(server.addresses()[0]);
    let mut requests = Vec::new();
    for id in 0..500_u16 {
        let mut request = query("www.example.com", "A");
        request[..2].copy_from_slice(&id.to_be_bytes());
        requests.extend(framed(&request));
    }
    stream.write_all(&requests).expect("sent");
    for id in 0..500_u16 {
        assert_eq!(read_framed(&mut stream)[..2], id.to_be_bytes(), "in order");
    }
    stream.set_nodelay(true).expect("no delay");
    for octet in framed(&query("www.example.com", "A")) {
        stream.write_all(&[octet]).expect("sent");
    }
    assert!(show(&read_framed(&mut stream)).starts_with("NOERROR aa"));
}

#[test]
fn a_client_that_closes_its_side_still_gets_its_answers() {
    let (server, _) = server();
    let mut stream = connect(server.addresses()[0]);
    let request = framed(&query("www.example.com", "A"));
    stream.write_all(&[&request[..], &request, &request[..5]].concat()).expect("sent");
    stream.shutdown(Shutdown::Write).expect("closed");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("two answers and the end");
    assert_eq!(all.len(), 2 * (request.len() + 16));
}

#[test]
fn what_is_no_query_closes_a_connection_and_gets_no_datagram() {
    let (server, _) = server();
    let address = server.addresses()[0];
    let mut stream = connect(address);
    stream.write_all(&[0, 3, 1, 2, 3]).expect("sent");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("the end");
    assert_eq!(all, []);

    let socket = UdpSocket::bind(ANY_PORT).expect("a socket");
    socket.set_read_timeout(Some(WAIT)).expect("a timeout");
    let mut answer = query("www.example.com", "A");
    answer[2] |= 0x80;
    for scrap in [&[][..], b"short", &answer] {
        socket.send_to(scrap, address).expect("sent");
    }
    socket.send_to(&query("www.example.com", "A"), address).expect("sent");
    let mut reply = [0; 512];
    let (length, _) = socket.recv_from(&mut reply).expect("an answer");
    assert!(show(&reply[..length]).starts_with("NOERROR aa"), "the first answer is to the good query");
}

/// A socket for UDP on a port whose TCP side nobody has. The port lies below those that systems give to whoever names none
/// (from 32,768 in Linux), so that no connection of another test takes the TCP side meanwhile.
fn udp_alone() -> UdpSocket {
    let start = 10_000 + u16::try_from(std::process::id() % 10_000).expect("a small number");
    (start..32_768)
        .find_map(|port| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let socket = UdpSocket::bind(address).ok()?;
            TcpListener::bind(address).is_ok().then_some(socket)
        })
        .expect("a port that is free for UDP and TCP")
}

#[test]
fn a_port_in_use_is_an_error_that_says_what_to_do() {
    let (server, store) = server();
    let address = server.addresses()[0];
    let Err(error) = bind(&[address], 1, &store) else { unreachable!("the port is taken") };
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen on {address} (TCP): another program has this port")), "{text}");

    // Where UDP alone is taken, even by a socket that would share.
    let udp = udp_alone();
    let taken = udp.local_addr().expect("an address");
    let Err(error) = bind(&[taken], 1, &store) else { unreachable!("the port is taken") };
    assert!(error.to_string().contains("(UDP): another program"), "{error}");
    assert!(matches!(bind(&[], 1, &store), Err(BindError::NoAddress)));
}

#[test]
fn a_stopped_server_gives_its_port_back() {
    let (server, store) = server();
    let address = server.addresses()[0];
    let _open = connect(address);
    server.stop();
    drop(TcpListener::bind(address).expect("free"));
    let again = bind(&[address], 1, &store).expect("free");
    assert!(show(&udp_ask(address, &query("www.example.com", "A"))).starts_with("NOERROR aa"));
    drop(again);
    UdpSocket::bind(address).expect("free");
}

#[test]
fn several_addresses_of_both_families_are_served() {
    let store = Arc::new(SnapshotStore::new(snapshot(&[("example.com", "www A 192.0.2.1")])));
    let addresses = [ANY_PORT, (Ipv4Addr::new(127, 0, 0, 2), 0).into(), (Ipv6Addr::LOCALHOST, 0).into()];
    let server = bind(&addresses, 1, &store).expect("free ports");
    for &address in server.addresses() {
        assert!(show(&udp_ask(address, &query("www.example.com", "A"))).starts_with("NOERROR aa"), "{address}");
        let mut stream = connect(address);
        stream.write_all(&framed(&query("www.example.com", "A"))).expect("sent");
        assert!(show(&read_framed(&mut stream)).starts_with("NOERROR aa"), "{address}");
    }
}
