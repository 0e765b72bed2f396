//! What clients can make the server keep over HTTPS and QUIC: answers that they do not take, and queries that they never
//! finish. Others are served meanwhile.

#![allow(clippy::panic, reason = "a test fails by a panic")]

mod program;

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use data_encoding::BASE64URL_NOPAD;
use program::{
    abused::{Http2, Served, alone, frame, open_file_limit, until_files},
    eventually, finish,
    load::{framed, query},
    text, tool,
};
use quinn::{Connection, ConnectionError, Endpoint, TransportConfig, VarInt};

const TXT: u16 = 16;
/// Requests at a time that a connection may have.
const REQUESTS: u32 = 100;
/// Connections of clients that do not read. All that they ask for would be 250 MB.
const READERS: usize = 50;
/// What the server may keep for each of them: 256 KiB, the answer that went past that, and as much again for the
/// connection and its requests.
const EACH: u64 = (2 * (256 + 64)) << 10;
/// Connections of clients that do not finish what they send, and octets in each request: 96 MB together.
const SENDERS: usize = 16;
const UNFINISHED: usize = 60_000;
/// What the server keeps for one listener on one thread, and room for 1,600 requests, their headers and connections.
const ACCOUNT: u64 = (64 + 32) << 20;
/// RFC 9250 section 4.3.
const DOQ_EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);
/// Silence that the server bears: so short that a test can wait for its end.
const SHORT: &str = "idleTimeout: 2s";
/// The same, but longer than it takes to send 96 MB.
const LONG: &str = "idleTimeout: 60s";
/// One account for each listener.
const ONE_THREAD: &str = "  workers: 1\n";

#[test]
fn answers_over_https_that_nobody_takes_are_few_and_end_with_their_connection() {
    let _alone = alone();
    open_file_limit();
    let served = Served::new(SHORT);
    let program = &served.program;
    let others = served.others();
    let (memory, files) = (program.memory(), program.open_files());
    let path = format!("/dns-query?dns={}", BASE64URL_NOPAD.encode(&query(0, "big.load.example", TXT)));
    // HPACK (RFC 7541 appendix A): https, GET, and the path as a literal.
    let head = [&[0x87, 0x82, 0x04, u8::try_from(path.len()).expect("short")][..], path.as_bytes()].concat();
    let requests: Vec<u8> = (0..REQUESTS).flat_map(|number| frame(1, 4 | 1, 2 * number + 1, &head)).collect();
    let clients: Vec<Http2> = (0..READERS)
        .map(|_| {
            // SETTINGS_INITIAL_WINDOW_SIZE is 0 (RFC 9113 section 6.5.2).
            let mut client = served.http2(&[0, 4, 0, 0, 0, 0]);
            client.write_all(&requests).and_then(|()| client.flush()).expect("sent");
            client
        })
        .collect();
    let mut most = 0;
    eventually("the server lets go", || {
        most = most.max(program.memory());
        let open = program.open_files();
        if open <= files + 20 { Ok(()) } else { Err(format!("{open} files are open")) }
    });
    drop(clients);
    let each = most.saturating_sub(memory) / READERS as u64;
    assert!(each <= EACH, "{each} octets for each");
    served.assert_served(others);
    // Who takes them gets all, a hundred at a time.
    let answered = curl(&served, &path, 200);
    assert_eq!(answered.matches("200 5").count(), 200, "{answered}");
    assert_eq!(program.metric("mcdns_dns_panics_total", ""), 0);
    served.program.stop().expect_code(0);
}

#[test]
fn queries_over_https_that_are_never_finished_fill_an_account_and_others_are_served_beside_it() {
    let _alone = alone();
    open_file_limit();
    let served = Served::with(ONE_THREAD, LONG);
    let program = &served.program;
    let others = served.others();
    let (memory, files) = (program.memory(), program.open_files());
    let clients: Vec<Option<Http2>> = (0..SENDERS).map(|_| send_unfinished(served.http2(&[]))).collect();
    let cut_off = clients.iter().filter(|client| client.is_none()).count();
    assert!((1..SENDERS).contains(&cut_off), "{cut_off} of {SENDERS} are cut off");
    let kept = program.memory().saturating_sub(memory);
    assert!(kept <= ACCOUNT, "{kept} octets");
    let path = format!("/dns-query?dns={}", BASE64URL_NOPAD.encode(&query(0, "www.load.example", 1)));
    let answered = curl(&served, &path, 20);
    assert_eq!(answered.matches("200 ").count(), 20, "{answered}");
    drop(clients);
    until_files(program, files + 20);
    served.assert_served(others);
    served.program.stop().expect_code(0);
}

#[test]
fn answers_over_quic_that_nobody_takes_are_few_and_end_with_their_connection() {
    let _alone = alone();
    let served = Served::new(SHORT);
    let program = &served.program;
    let others = served.others();
    let memory = program.memory();
    let mut most = 0;
    let ends = run(async {
        let endpoint = client();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..READERS {
            let connection =
                connect(&served, &endpoint, |transport| transport.stream_receive_window(0_u32.into())).await;
            tasks.spawn(async move {
                let mut streams = Vec::new();
                for _ in 0..REQUESTS {
                    let Ok((mut send, receive)) = connection.open_bi().await else { break };
                    let _ = send.write_all(&framed(&query(0, "big.load.example", TXT))).await;
                    let _ = send.finish();
                    streams.push(receive);
                }
                code_of_end(&connection).await
            });
        }
        let mut ends = Vec::new();
        while ends.len() < READERS {
            most = most.max(program.memory());
            if let Ok(Some(end)) = tokio::time::timeout(Duration::from_millis(50), tasks.join_next()).await {
                ends.push(end.expect("no panic"));
            }
        }
        ends
    });
    assert!(ends.iter().all(|&end| end == DOQ_EXCESSIVE_LOAD), "{ends:?}");
    let each = most.saturating_sub(memory) / READERS as u64;
    assert!(each <= EACH, "{each} octets for each");
    served.assert_served(others);
    assert_eq!(program.metric("mcdns_dns_panics_total", ""), 0);
    served.program.stop().expect_code(0);
}

#[test]
fn queries_over_quic_that_are_never_finished_fill_an_account_and_others_are_served_beside_it() {
    let _alone = alone();
    let served = Served::with(ONE_THREAD, LONG);
    let program = &served.program;
    let others = served.others();
    let memory = program.memory();
    run(async {
        let endpoint = client();
        let (mut open, mut cut_off) = (Vec::new(), 0);
        for _ in 0..SENDERS {
            let connection = connect(&served, &endpoint, |transport| transport).await;
            let mut streams = Vec::new();
            for _ in 0..REQUESTS {
                let Ok((mut send, receive)) = connection.open_bi().await else { break };
                if send.write_all(&vec![1; UNFINISHED]).await.is_err() {
                    break;
                }
                streams.push((send, receive));
            }
            if streams.len() < REQUESTS as usize {
                assert_eq!(code_of_end(&connection).await, DOQ_EXCESSIVE_LOAD);
                cut_off += 1;
            } else {
                open.push((connection, streams));
            }
        }
        assert!((1..SENDERS).contains(&cut_off), "{cut_off} of {SENDERS} are cut off");
        let kept = program.memory().saturating_sub(memory);
        assert!(kept <= ACCOUNT, "{kept} octets");
        let other = connect(&served, &endpoint, |transport| transport).await;
        let (mut send, mut receive) = other.open_bi().await.expect("a stream");
        send.write_all(&framed(&query(0, "www.load.example", 1))).await.expect("sent");
        send.finish().expect("open");
        assert!(receive.read_to_end(1_000).await.expect("an answer").ends_with(&[192, 0, 2, 80]));
    });
    served.assert_served(others);
    served.program.stop().expect_code(0);
}

/// Sends as many requests as there may be, each with most of a body; none if the server closes the connection.
fn send_unfinished(mut client: Http2) -> Option<Http2> {
    // HPACK: https, POST, and as literals the path and (31 in the table) what the body is.
    let head = [&[0x87, 0x83, 0x04, 10][..], b"/dns-query", &[0x0f, 16, 23], b"application/dns-message"].concat();
    // Octets that the connection has room for (RFC 9113 section 6.9.2); each stream has room for its own.
    let mut room = 65_535;
    for number in 0..REQUESTS {
        client.write_all(&frame(1, 4, 2 * number + 1, &head)).ok()?;
        while room < UNFINISHED {
            room += more_room(&mut client)?;
        }
        for piece in vec![0; UNFINISHED].chunks(15_000) {
            client.write_all(&frame(0, 0, 2 * number + 1, piece)).ok()?;
        }
        room -= UNFINISHED;
    }
    // All of it was read, unless this was too much.
    while room < UNFINISHED {
        room += more_room(&mut client)?;
    }
    Some(client)
}

/// What the next frame of the server says of the room of the connection; none if it is closed.
fn more_room(client: &mut Http2) -> Option<usize> {
    let mut head = [0; 9];
    client.read_exact(&mut head).ok()?;
    let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    client.read_exact(&mut payload).ok()?;
    match (head[3], &payload[..]) {
        (8, &[a, b, c, d]) if head[5..] == [0; 4] => usize::try_from(u32::from_be_bytes([a, b, c, d])).ok(),
        (7, _) => None,
        _ => Some(0),
    }
}

/// So many requests at a time on one connection; a line for each with its status and length.
fn curl(served: &Served, path: &str, count: u32) -> String {
    let port = served.https.port();
    let mut curl = tool("curl");
    curl.args(["--silent", "--http2", "--cacert", text(&served.scratch.path("tls.crt"))]);
    curl.args(["--resolve", &format!("ns1.load.example:{port}:127.0.0.1")]);
    curl.args(["--parallel", "--parallel-max", "100", "--output", "/dev/null"]);
    curl.args(["--write-out", "%{http_code} %{size_download}\n"]);
    curl.arg(format!("https://ns1.load.example:{port}{path}&n=[1-{count}]"));
    finish(&mut curl).expect_code(0).stdout
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_mins(2), future).await.expect("in time") })
}

fn client() -> Endpoint {
    Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a client")
}

async fn connect(
    served: &Served,
    endpoint: &Endpoint,
    change: impl FnOnce(&mut TransportConfig) -> &mut TransportConfig,
) -> Connection {
    let (mut config, mut transport) = (served.quic_client(), TransportConfig::default());
    change(transport.keep_alive_interval(Some(Duration::from_millis(500))));
    config.transport_config(Arc::new(transport));
    let connecting = endpoint.connect_with(config, served.quic, "ns1.load.example").expect("an attempt");
    connecting.await.expect("a connection")
}

async fn code_of_end(connection: &Connection) -> VarInt {
    match connection.closed().await {
        ConnectionError::ApplicationClosed(closed) => closed.error_code,
        other => panic!("{other}"),
    }
}
