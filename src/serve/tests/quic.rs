//! DNS over QUIC with a client that also breaks the rules (RFC 9250).

mod support;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use mcdns_serve::{CertificateFiles, Listener, ListenerOptions, PolicyStore, Server, Service, SnapshotStore};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, VarInt,
    crypto::rustls::{HandshakeData, QuicClientConfig},
};
use rustls::{RootCertStore, crypto::ring, version::TLS13};
use support::{query, show, snapshot, with_edns};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const NAME: &str = "ns1.example.com";
const DOQ_NO_ERROR: VarInt = VarInt::from_u32(0);
const DOQ_PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
/// Longer than anything takes on a loaded machine.
const WAIT: Duration = Duration::from_secs(30);

struct Served {
    server: Server,
    client: ClientConfig,
    with_other_alpn: ClientConfig,
    _folder: tempfile::TempDir,
}

fn serve(options: ListenerOptions) -> Served {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let files = CertificateFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    std::fs::write(&files.certificate, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    let listener = Listener { address: ANY_PORT, service: Service::Quic(files), options };
    let store = Arc::new(SnapshotStore::new(snapshot(&[("example.com", "www A 192.0.2.1")])));
    let server = Server::bind(&[listener], 2, &store, &PolicyStore::default()).expect("a free port");
    let client = |alpn: &[u8]| {
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).expect("a suite")))
    };
    Served { server, client: client(b"doq"), with_other_alpn: client(b"h3"), _folder: folder }
}

impl Served {
    async fn connect(&self) -> (Endpoint, Connection) {
        let endpoint = Endpoint::client(ANY_PORT).expect("a socket");
        let connecting = endpoint.connect_with(self.client.clone(), self.server.addresses()[0], NAME);
        let connection = connecting.expect("an attempt").await.expect("a connection");
        (endpoint, connection)
    }
}

fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(WAIT, future).await.expect("in time") });
}

/// A query with message ID 0 and its length in front.
fn framed(asked: &str) -> Vec<u8> {
    let mut request = query(asked, "A");
    request[..2].fill(0);
    with_length(&request)
}

fn with_length(request: &[u8]) -> Vec<u8> {
    [&u16::try_from(request.len()).expect("short").to_be_bytes(), request].concat()
}

/// What comes back on a stream for these octets and the end.
async fn exchange(connection: &Connection, octets: &[u8]) -> Option<Vec<u8>> {
    let (mut send, mut receive) = connection.open_bi().await.ok()?;
    send.write_all(octets).await.ok()?;
    send.finish().ok()?;
    receive.read_to_end(70_000).await.ok()
}

async fn is_answered(connection: &Connection) -> bool {
    let Some(reply) = exchange(connection, &framed("www.example.com")).await else { return false };
    reply[..4] == [0, u8::try_from(reply.len() - 2).expect("short"), 0, 0] && show(&reply[2..]).ends_with("192.0.2.1")
}

async fn code_of_end(connection: &Connection) -> VarInt {
    match connection.closed().await {
        ConnectionError::ApplicationClosed(closed) => closed.error_code,
        other => unreachable!("{other}"),
    }
}

/// RFC 9250 section 5.5: connections are to be used again; nothing there limits how often.
#[test]
fn one_connection_is_good_for_a_thousand_queries_of_which_many_wait_at_once() {
    let served = serve(ListenerOptions::default());
    run(async {
        let (_endpoint, connection) = served.connect().await;
        let data = connection.handshake_data().expect("done").downcast::<HandshakeData>().expect("of rustls");
        assert_eq!(data.protocol.as_deref(), Some(&b"doq"[..]));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..1_000 {
            let connection = connection.clone();
            tasks.spawn(async move { is_answered(&connection).await });
        }
        assert!(tasks.join_all().await.into_iter().all(|answered| answered));
    });
    assert_eq!(served.server.counters().sum().quic.queries, 1_000);
}

/// RFC 9250 section 4.3.3.
#[test]
fn who_breaks_the_rules_is_cut_off_with_a_protocol_error() {
    let served = serve(ListenerOptions::default());
    let good = framed("www.example.com");
    let mut with_id = good.clone();
    with_id[3] = 1;
    let mut answer = good.clone();
    answer[4] |= 0x80;
    let keepalive = with_length(&with_edns(good[2..].to_vec(), 1232, 0, 0, &[0, 11, 0, 0]));
    let cases: [(&str, Vec<u8>); 8] = [
        ("message ID 1", with_id),
        ("an answer", answer),
        ("the TCP keepalive option", keepalive),
        ("an octet too few", good[..good.len() - 1].to_vec()),
        ("an octet too many", [&good[..], &[0]].concat()),
        ("two queries", [&good[..], &good].concat()),
        ("nothing", Vec::new()),
        ("more than any message", vec![0; 65_538]),
    ];
    run(async {
        let (_endpoint, bystander) = served.connect().await;
        for (name, octets) in cases {
            let (_endpoint, connection) = served.connect().await;
            assert!(is_answered(&connection).await, "{name}");
            assert_eq!(exchange(&connection, &octets).await, None, "{name}");
            assert_eq!(code_of_end(&connection).await, DOQ_PROTOCOL_ERROR, "{name}");
        }
        assert!(is_answered(&bystander).await, "others go on");
    });
}

#[test]
fn a_client_without_the_alpn_is_refused() {
    let served = serve(ListenerOptions::default());
    run(async {
        let endpoint = Endpoint::client(ANY_PORT).expect("a socket");
        let connecting = endpoint.connect_with(served.with_other_alpn.clone(), served.server.addresses()[0], NAME);
        let error = connecting.expect("an attempt").await.expect_err("no protocol in common");
        assert!(error.to_string().contains("peer doesn't support any known protocol"), "{error}");
    });
}

#[test]
fn stalled_handshakes_and_streams_hold_nobody() {
    let served = serve(ListenerOptions::default());
    let address = served.server.addresses()[0];
    run(async {
        // A relay that lets only the first datagram of each client through, so that handshakes stall.
        for _ in 0..50 {
            let relay = tokio::net::UdpSocket::bind(ANY_PORT).await.expect("a socket");
            let endpoint = Endpoint::client(ANY_PORT).expect("a socket");
            let to = relay.local_addr().expect("an address");
            let _connecting = endpoint.connect_with(served.client.clone(), to, NAME).expect("an attempt");
            let mut first = [0; 2048];
            let length = relay.recv(&mut first).await.expect("the first datagram");
            relay.send_to(&first[..length], address).await.expect("sent");
            relay.recv(&mut first).await.expect("an answer of the server");
        }
        let (_endpoint, connection) = served.connect().await;
        let mut stalled = Vec::new();
        for _ in 0..50 {
            let (mut send, receive) = connection.open_bi().await.expect("a stream");
            send.write_all(&framed("www.example.com")[..9]).await.expect("sent");
            stalled.push((send, receive));
        }
        assert!(is_answered(&connection).await);
        for (mut send, mut receive) in stalled {
            send.write_all(&framed("www.example.com")[9..]).await.expect("sent");
            send.finish().expect("open");
            assert!(show(&receive.read_to_end(1000).await.expect("an answer")[2..]).ends_with("192.0.2.1"));
        }
    });
}

#[test]
fn a_stalled_handshake_does_not_keep_the_server_from_stopping() {
    let served = serve(ListenerOptions::default());
    let address = served.server.addresses()[0];
    run(async {
        let relay = tokio::net::UdpSocket::bind(ANY_PORT).await.expect("a socket");
        let endpoint = Endpoint::client(ANY_PORT).expect("a socket");
        let to = relay.local_addr().expect("an address");
        let _connecting = endpoint.connect_with(served.client.clone(), to, NAME).expect("an attempt");
        let mut first = [0; 2048];
        let length = relay.recv(&mut first).await.expect("the first datagram");
        relay.send_to(&first[..length], address).await.expect("sent");
        relay.recv(&mut first).await.expect("an answer of the server");
    });
    let start = Instant::now();
    served.server.stop_within(WAIT);
    // A handshake may take ten seconds.
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
fn silent_connections_end_even_if_they_are_kept_alive_and_the_longest_idle_one_makes_room() {
    let idle = Duration::from_secs(1);
    let mut served = serve(ListenerOptions { idle, ..ListenerOptions::default() });
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_millis(100)));
    served.client.transport_config(Arc::new(transport));
    run(async {
        let (_endpoint, connection) = served.connect().await;
        assert!(is_answered(&connection).await);
        assert_eq!(code_of_end(&connection).await, DOQ_NO_ERROR);
    });

    let served = serve(ListenerOptions { connections: 1, ..ListenerOptions::default() });
    run(async {
        let (_one, first) = served.connect().await;
        assert!(is_answered(&first).await);
        // The two threads have sockets of their own; sooner or later a client comes to that of the first.
        loop {
            let endpoint = Endpoint::client(ANY_PORT).expect("a socket");
            let connecting = endpoint.connect_with(served.client.clone(), served.server.addresses()[0], NAME);
            if let Ok(second) = connecting.expect("an attempt").await {
                assert!(is_answered(&second).await);
                break;
            }
        }
        assert_eq!(code_of_end(&first).await, DOQ_NO_ERROR);
    });
}

#[test]
fn a_stop_finishes_what_was_asked_and_says_so() {
    let served = serve(ListenerOptions::default());
    run(async {
        let (_one, idle) = served.connect().await;
        let (_two, asking) = served.connect().await;
        assert!(is_answered(&idle).await && is_answered(&asking).await);
        let (mut send, mut receive) = asking.open_bi().await.expect("a stream");
        send.write_all(&framed("www.example.com")[..9]).await.expect("sent");
        // Streams are taken in order, so the server knows the one above.
        assert!(is_answered(&asking).await);
        let Served { server, .. } = served;
        let stopping = std::thread::spawn(move || server.stop_within(WAIT));
        assert_eq!(code_of_end(&idle).await, DOQ_NO_ERROR);
        send.write_all(&framed("www.example.com")[9..]).await.expect("sent");
        send.finish().expect("open");
        assert!(show(&receive.read_to_end(1000).await.expect("an answer")[2..]).ends_with("192.0.2.1"));
        assert_eq!(code_of_end(&asking).await, DOQ_NO_ERROR);
        tokio::task::spawn_blocking(|| stopping.join().expect("stopped")).await.expect("stopped");
    });
}
