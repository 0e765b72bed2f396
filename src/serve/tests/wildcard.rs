//! A server on `0.0.0.0` or `[::]` answers from the address that was asked.

mod support;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    process::Command,
    sync::Arc,
    time::Duration,
};

use mcdns_serve::{Listener, PolicyStore, Server, SnapshotStore};

use support::{query, show, snapshot};

fn server(address: IpAddr) -> (Server, u16) {
    let store = Arc::new(SnapshotStore::new(snapshot(&[("example.com", "www A 192.0.2.1")])));
    let listeners = [Listener::plain((address, 0).into())];
    let server = Server::bind(&listeners, 2, &store, &PolicyStore::default()).expect("a free port");
    let port = server.addresses()[0].port();
    (server, port)
}

/// Asks from an address of the system's choice; a socket that is connected takes answers from its peer alone.
fn ask(asked: SocketAddr, from: IpAddr) -> String {
    let socket = UdpSocket::bind((from, 0)).expect("a socket");
    socket.connect(asked).expect("connected");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    socket.send(&query("www.example.com", "A")).expect("sent");
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply).expect("an answer from the address that was asked");
    show(&reply[..length])
}

#[test]
fn every_ipv4_address_answers_for_itself() {
    let (server, port) = server(Ipv4Addr::UNSPECIFIED.into());
    for last in [1, 2, 3, 254] {
        let asked = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), port));
        // The way back to this client would be from 127.0.0.1.
        let answer = ask(asked, Ipv4Addr::LOCALHOST.into());
        assert_eq!(answer, "NOERROR aa\nanswer www.example.com. 180 A 192.0.2.1", "{asked}");
    }
    assert_eq!(server.counters().sum().udp.unsent, 0);
}

/// Further addresses than `::1` are tried where the machine has them.
#[test]
fn every_ipv6_address_answers_for_itself() {
    let (server, port) = server(Ipv6Addr::UNSPECIFIED.into());
    let candidates = ["::1", "2001:db8::1", "2001:db8::2"];
    let addresses = candidates.map(|text| text.parse::<Ipv6Addr>().expect("an address"));
    let ours = addresses.into_iter().filter(|&address| UdpSocket::bind((address, 0)).is_ok());
    let ours: Vec<Ipv6Addr> = ours.collect();
    for &asked in &ours {
        for &from in &ours {
            assert!(ask((asked, port).into(), from.into()).starts_with("NOERROR aa"), "{asked} from {from}");
        }
    }
    assert_eq!(server.counters().sum().udp.queries, (ours.len() * ours.len()) as u64);
    assert_eq!(server.counters().sum().udp.unsent, 0);
}

/// dig complains of a "reply from unexpected source" otherwise.
#[test]
fn dig_takes_the_answers() {
    let (_server, port) = server(Ipv4Addr::UNSPECIFIED.into());
    for address in ["127.0.0.2", "127.0.0.3"] {
        let server = format!("@{address}");
        let port = port.to_string();
        let arguments = [&server, "-p", &port, "+short", "+time=20", "+tries=1", "www.example.com", "A"];
        let output = Command::new("dig").args(arguments).output().expect("dig");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text == "192.0.2.1\n", "{text}");
    }
}
