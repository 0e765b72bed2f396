//! Load and abuse over connections: thousands of idle ones, slow and silent and greedy clients, stalled handshakes,
//! floods of streams, no file descriptors left. Others are served meanwhile, and nothing of it stays.

#![allow(clippy::panic, reason = "a test fails by a panic")]
#![allow(clippy::cast_precision_loss, reason = "rates are small")]

mod program;

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    process::Stdio,
    time::{Duration, Instant},
};

use program::{
    PATIENCE,
    abused::{EIGHT, RATE, Served, alone, frame, is_www, open_file_limit, until_files, www},
    eventually, finish,
    load::{Tcp, Udp, connect, connect_from, connect_narrow, framed, query, read_framed},
    text, tool,
};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

const TXT: u16 = 16;
const AXFR: u16 = 252;
/// Silence that the server bears in most tests: so short that a test can wait for its end.
const IDLE: Duration = Duration::from_secs(2);
/// By when a client that misbehaves is cut off: silence, once more the same for what is under way, and time for a
/// debug build that has hundreds of them beside its load.
const CUT_OFF: Duration = Duration::from_secs(8);

/// Calls `meanwhile` and reads and forgets, until the server has closed all connections; how long it took.
#[track_caller]
fn until_closed(mut streams: Vec<TcpStream>, mut meanwhile: impl FnMut(&mut [TcpStream])) -> Duration {
    let started = Instant::now();
    for stream in &streams {
        stream.set_nonblocking(true).expect("a connection");
    }
    eventually("the server closes the connections", || {
        meanwhile(&mut streams);
        let mut octets = [0; 4096];
        streams.retain_mut(|stream| match stream.read(&mut octets) {
            Ok(0) => false,
            Ok(_) => true,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        });
        if streams.is_empty() { Ok(()) } else { Err(format!("{} are open", streams.len())) }
    });
    started.elapsed()
}

#[test]
fn ten_thousand_idle_connections_disturb_nobody_and_leave_nothing_behind() {
    const CONNECTIONS: u64 = 10_000;
    /// Both sides have their own limit; what else the tests and the server have open is far less than this.
    const OTHER_FILES: u64 = 500;
    /// Octets for one idle connection: its task, the largest part, with its timer and the runtime's registration of
    /// the socket, and its place: 1.6 KB. No buffer: one of the usual 4 KiB or more would show.
    const EACH: u64 = 3 << 10;
    /// What the second time may take in addition: pieces of memory that fit no more, not a second set of connections.
    const MORE: u64 = 4 << 20;
    let _alone = alone();
    // The server starts with what a shell has and takes what it needs.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1_024), ..limit }).expect("below its maximum");
    let served = Served::new("idleTimeout: 60s, connections: 12000");
    let count = CONNECTIONS.min(open_file_limit().saturating_sub(OTHER_FILES));
    assert!(count >= 4_000, "raise the hard limit of open files: {count} connections are not many");
    let program = &served.program;
    let others = served.others();
    eventually("there is load", || if others.0.answered() > 200 { Ok(()) } else { Err(others.0.answered()) });
    let (memory, files) = (program.memory(), program.open_files());
    let open = || -> Vec<TcpStream> {
        let one = |number: u64| {
            let source = Ipv4Addr::new(127, 3, 0, u8::try_from(1 + number % 10).expect("below 11"));
            connect_from(source, program.server)
        };
        let streams = (0..count).map(one).collect();
        eventually("all are taken", || {
            let open = program.open_files() as u64;
            if open >= count { Ok(()) } else { Err(format!("{open} of {count} are taken")) }
        });
        streams
    };
    let mut streams = open();
    let full = program.memory();
    let each = full.saturating_sub(memory) / count;
    assert!(each <= EACH, "an idle connection takes {each} octets");
    // They are no dead ones: whoever was idle may ask at last.
    for stream in streams.iter_mut().step_by(100) {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(&framed(&www(0))).expect("sent");
        is_www(0, &read_framed(stream).expect("an answer")).expect("the right one");
    }
    drop(streams);
    // A few are those of the other clients.
    until_files(program, files + 20);
    let streams = open();
    let again = program.memory();
    assert!(again <= full + MORE, "{full} octets the first time, {again} the second time");
    drop(streams);
    until_files(program, files + 20);
    served.assert_served(others);
    served.program.stop().expect_code(0);
}

#[test]
fn senders_that_are_slow_or_silent_or_send_garbage_are_cut_off_while_others_are_served() {
    /// Of each kind.
    const CLIENTS: usize = 100;
    /// For those whose every octet is looked at.
    const SLOW: usize = 500;
    /// A handshake that is under way has buffers of TLS, up to 16 KiB of them. All of them at a time would be this.
    const GROWTH: u64 = 16 << 20;
    let _alone = alone();
    open_file_limit();
    let served = Served::new(&format!("idleTimeout: {}s", IDLE.as_secs()));
    let program = &served.program;
    let others = served.others();
    eventually("there is load", || if others.0.answered() > 200 { Ok(()) } else { Err(others.0.answered()) });
    let (memory, files) = (program.memory(), program.open_files());
    let question = framed(&www(0));
    let mut streams: Vec<TcpStream> = (0..SLOW).map(|_| connect(program.server)).collect();
    let mut begun = |server: SocketAddr, octets: &[u8]| {
        for _ in 0..CLIENTS {
            let mut stream = connect(server);
            stream.write_all(octets).expect("sent");
            streams.push(stream);
        }
    };
    // A message that is never whole; a length and nothing; the largest length; garbage that looks like a length and a
    // message, over and over.
    begun(program.server, &question[..question.len() - 1]);
    begun(program.server, &[0]);
    begun(program.server, &[0xff, 0xff, 1, 2, 3]);
    begun(program.server, &[0x5a; 8192]);
    // Nothing; the start of a ClientHello (RFC 8446 section 5.1: handshake, 512 octets); what is no TLS.
    for server in [served.tls, served.https] {
        begun(server, &[]);
        begun(server, &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
        begun(server, b"GET / HTTP/1.1\r\n\r\n");
    }
    // The client's side is closed in the middle of a message: nobody waits for the rest.
    for _ in 0..CLIENTS {
        let mut stream = connect(program.server);
        stream.write_all(&question[..5]).expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("closed");
        streams.push(stream);
    }
    // One octet after the other, several a second, is no sign of life: a whole message is. The question has 34.
    let (mut sent, mut at) = (Instant::now(), 0);
    let took = until_closed(streams, |streams| {
        if sent.elapsed() >= Duration::from_millis(250) && at < question.len() - 1 {
            sent = Instant::now();
            for stream in streams.iter_mut().filter(|stream| stream.peer_addr().ok() == Some(program.server)).take(SLOW)
            {
                // One that is closed already says so when it is read.
                let _ = stream.write(&question[at..=at]);
            }
            at += 1;
        }
    });
    assert!(at >= 4, "{at} octets are no slow sender");
    assert!((IDLE / 2..=CUT_OFF).contains(&took), "cut off after {took:?}");
    until_files(program, files + 20);
    let after = program.memory();
    assert!(after <= memory + GROWTH, "from {memory} to {after} octets");
    served.assert_served(others);
    assert_eq!(program.metric("mcdns_dns_panics_total", ""), 0);
    served.program.stop().expect_code(0);
}

#[test]
fn readers_that_ask_for_much_and_take_nothing_are_cut_off_while_others_are_served() {
    const CLIENTS: usize = 100;
    /// What the server may keep for each: 64 KiB that are gathered and one answer of at most 64 KiB; a transfer makes
    /// no more before that is taken. What the buffers of the kernel hold counts for nothing here.
    const EACH: u64 = 128 << 10;
    /// What the second round may take in addition to the first: memory is kept for later, but not lost.
    const MORE: u64 = EACH * 2 * CLIENTS as u64 / 10;
    let _alone = alone();
    open_file_limit();
    let served = Served::new(&format!("idleTimeout: {}s", IDLE.as_secs()));
    let program = &served.program;
    let others = served.others();
    eventually("there is load", || if others.0.answered() > 200 { Ok(()) } else { Err(others.0.answered()) });
    let (memory, files) = (program.memory(), program.open_files());
    // More than all buffers on the way hold: a hundred answers of 50 KB; eight transfers of 600 KB.
    let large = framed(&query(1, "big.load.example", TXT)).repeat(100);
    let transfer = framed(&query(2, "load.example", AXFR)).repeat(8);
    let round = || {
        let mut streams = Vec::new();
        for request in [&large, &transfer] {
            for _ in 0..CLIENTS {
                let mut stream = connect_narrow(program.server);
                stream.write_all(request).expect("sent");
                streams.push(stream);
            }
        }
        let started = Instant::now();
        // Nothing is read, so the only sign is that the server has let go of them.
        let mut most = 0;
        eventually("the server lets go", || {
            most = most.max(program.memory());
            let open = program.open_files();
            if open <= files + 20 { Ok(()) } else { Err(format!("{open} files are open")) }
        });
        let took = started.elapsed();
        assert!((IDLE / 2..=CUT_OFF).contains(&took), "cut off after {took:?}");
        most
    };
    let first = round();
    let each = first.saturating_sub(memory) / (2 * CLIENTS as u64);
    assert!(each <= EACH, "{each} octets for each");
    let second = round();
    assert!(second <= first + MORE, "from {memory} to {first} and {second} octets");
    served.assert_served(others);
    // Who reads gets all of it.
    let whole = program.dig("load.example AXFR +tcp +noidnout").text;
    assert_eq!(whole.matches("\tTXT\t").count(), 4_200);
    served.program.stop().expect_code(0);
}

#[test]
fn readers_that_take_nothing_keep_no_place_that_others_need() {
    const PLACES: usize = 50;
    /// Longer than the server takes from one answer to the next, shorter than it bears a client that takes nothing.
    const STUCK: Duration = Duration::from_millis(500);
    let _alone = alone();
    open_file_limit();
    // They would be borne for a minute if nobody else came.
    let served = Served::new(&format!("idleTimeout: 60s, connections: {PLACES}"));
    let program = &served.program;
    let large = framed(&query(1, "big.load.example", TXT)).repeat(100);
    let greedy: Vec<TcpStream> = (0..2 * PLACES)
        .map(|_| {
            let mut stream = connect_narrow(program.server);
            // One that is refused for want of a place is none.
            let _ = stream.write_all(&large);
            stream
        })
        .collect();
    // Once the server gets on with none of them, none is idle.
    let mut before = (0, Instant::now());
    eventually("all are stuck", || {
        let queries = program.metric("mcdns_dns_queries_total", "transport=\"tcp\"");
        if before.0 != queries {
            before = (queries, Instant::now());
        }
        if queries > 0 && before.1.elapsed() > STUCK { Ok(()) } else { Err(format!("{queries} queries")) }
    });
    eventually("somebody else is served", || {
        let mut stream = connect(program.server);
        stream.write_all(&framed(&www(0))).and_then(|()| read_framed(&mut stream)).map_err(|error| error.to_string())
    });
    drop(greedy);
    served.program.stop().expect_code(0);
}

/// Sends pieces until the server closes the connection or `pieces` are sent; true if it closed.
fn flood(served: &Served, pieces: impl Iterator<Item = Vec<u8>>) -> bool {
    let mut stream = served.http2(&[]);
    for piece in pieces {
        if stream.write_all(&piece).and_then(|()| stream.flush()).is_err() {
            return true;
        }
    }
    let mut rest = Vec::new();
    // A GOAWAY (frame type 7, RFC 9113 section 6.8) or an end; what comes before them are answers and resets.
    stream.read_to_end(&mut rest).is_ok() || !rest.is_empty()
}

#[test]
fn floods_of_http2_streams_cost_their_own_connection_alone() {
    const CLIENTS: usize = 4;
    const STREAMS: u32 = 2_000;
    /// The most of streams at a time (100) with the most of a body that is kept (64 KiB) and of TLS, for each client,
    /// would be 27 MB; next to nothing of it is sent.
    const GROWTH: u64 = 16 << 20;
    let _alone = alone();
    let served = Served::new(&format!("idleTimeout: {}s", IDLE.as_secs()));
    let program = &served.program;
    let others = served.others();
    eventually("there is load", || if others.0.answered() > 200 { Ok(()) } else { Err(others.0.answered()) });
    let (memory, files) = (program.memory(), program.open_files());
    // HPACK (RFC 7541 appendix A): https, GET or POST, and /dns-query as a literal.
    let head = |method: u8| [&[0x87, method, 0x04, 10][..], b"/dns-query"].concat();
    let numbers = || (0..STREAMS).map(|number| 2 * number + 1);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let served = &served;
            scope.spawn(move || {
                let closed = if client.is_multiple_of(2) {
                    // Each stream is taken back at once (RST_STREAM, CANCEL), as in CVE-2023-44487.
                    flood(
                        served,
                        numbers().map(|number| {
                            [frame(1, 4 | 1, number, &head(0x82)), frame(3, 0, number, &[0, 0, 0, 8])].concat()
                        }),
                    )
                } else {
                    // Bodies that never come, on far more streams than are allowed at a time.
                    flood(served, numbers().map(|number| frame(1, 4, number, &head(0x83))))
                };
                assert!(closed, "client {client} is still connected");
            });
        }
    });
    let took = started.elapsed();
    assert!(took <= CUT_OFF, "cut off after {took:?}");
    // A good client is served; a hundred requests at a time on one connection.
    let url = format!("https://ns1.load.example:{}/dns-query?dns=", served.https.port());
    let good = "AAABAAABAAAAAAAAA3d3dwRsb2FkB2V4YW1wbGUAAAEAAQ";
    let mut curl = tool("curl");
    curl.args(["--silent", "--http2", "--cacert", text(&served.scratch.path("tls.crt"))]);
    curl.args(["--resolve", &format!("ns1.load.example:{}:127.0.0.1", served.https.port())]);
    curl.args(["--parallel", "--parallel-max", "100", "--output", "/dev/null", "--write-out", "%{http_code}\n"]);
    curl.arg(format!("{url}{good}&n=[1-200]"));
    let codes = finish(&mut curl).expect_code(0).stdout;
    assert_eq!(codes.lines().filter(|code| *code == "200").count(), 200, "{codes}");
    until_files(program, files + 20);
    let after = program.memory();
    assert!(after <= memory + GROWTH, "from {memory} to {after} octets");
    served.assert_served(others);
    assert_eq!(program.metric("mcdns_dns_panics_total", ""), 0);
    served.program.stop().expect_code(0);
}

/// First datagrams of QUIC connections that nobody goes on with. Their keys follow from what they contain
/// (RFC 9001 section 5.2), so those meant for one address are as good for another.
fn first_datagrams(served: &Served, count: usize) -> Vec<Vec<u8>> {
    let config = served.quic_client();
    let sink = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    sink.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let to = sink.local_addr().expect("an address");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let endpoint = quinn::Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a client");
        let mut datagrams = Vec::new();
        for _ in 0..count {
            let connecting = endpoint.connect_with(config.clone(), to, "ns1.load.example").expect("a connection");
            let mut octets = [0; 2048];
            let (length, _) = sink.recv_from(&mut octets).expect("a datagram");
            datagrams.push(octets[..length].to_vec());
            drop(connecting);
        }
        datagrams
    })
}

#[test]
fn quic_handshakes_that_lead_nowhere_gain_nothing_and_end() {
    const COUNT: usize = 400;
    /// A handshake under way has some 20 KB of buffers and keys; at most 64 on each thread are begun without a proof of
    /// the address.
    const GROWTH: u64 = 16 << 20;
    let _alone = alone();
    let served = Served::new(&format!("idleTimeout: {}s", IDLE.as_secs()));
    let program = &served.program;
    let datagrams = first_datagrams(&served, COUNT);
    let others = served.others();
    eventually("there is load", || if others.0.answered() > 200 { Ok(()) } else { Err(others.0.answered()) });
    let ask = || {
        let mut kdig = tool("kdig");
        kdig.args(["@127.0.0.1", "-p", &served.quic.port().to_string(), "+quic", "+short", "+timeout=10", "+retry=0"]);
        finish(kdig.args(["www.load.example", "A"]).stderr(Stdio::null())).expect_code(0).stdout
    };
    assert_eq!(ask(), "192.0.2.80\n");
    let memory = program.memory();
    let (mut sent, mut received) = (0, 0);
    let sockets: Vec<UdpSocket> = (0..8).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a socket")).collect();
    for (number, datagram) in datagrams.iter().enumerate() {
        let socket = &sockets[number % sockets.len()];
        socket.send_to(datagram, served.quic).expect("sent");
        // The same once more with an octet changed, which nothing can decrypt, and of a version that nobody speaks.
        let mut broken = datagram.clone();
        broken[600] ^= 1;
        socket.send_to(&broken, served.quic).expect("sent");
        let mut unknown = datagram.clone();
        unknown[1..5].copy_from_slice(&[0x1a, 0x2a, 0x3a, 0x4a]);
        socket.send_to(&unknown, served.quic).expect("sent");
        sent += 3 * datagram.len();
    }
    // Somebody else is served in the middle of it.
    assert_eq!(ask(), "192.0.2.80\n");
    let most = program.memory();
    // All attempts are over when the silence is; the server has tried to reach them a few times by then.
    let deadline = Instant::now() + IDLE + Duration::from_millis(500);
    while Instant::now() < deadline {
        for socket in &sockets {
            socket.set_read_timeout(Some(Duration::from_millis(5))).expect("a timeout");
            let mut octets = [0; 2048];
            while let Ok(length) = socket.recv(&mut octets) {
                received += length;
            }
        }
    }
    // RFC 9000 section 8.1: at most three times what came in, until the address is proved.
    assert!(received <= 3 * sent, "{received} octets came back for {sent}");
    assert!(received > 0, "nothing was a first datagram");
    assert!(most <= memory + GROWTH, "from {memory} to {most} octets");
    assert_eq!(ask(), "192.0.2.80\n");
    served.assert_served(others);
    served.program.stop().expect_code(0);
}

#[test]
fn without_file_descriptors_datagrams_are_answered_and_new_connections_take_the_place_of_idle_ones() {
    /// What the server may open in addition to what it has.
    const FREE: u64 = 60;
    const CLIENTS: usize = 200;
    /// One line for each thread of each listener in ten seconds, on as many cores as there may be.
    const LINES: usize = 100;
    let _alone = alone();
    open_file_limit();
    let served = Served::new("idleTimeout: 60s");
    let program = &served.program;
    let udp = Udp::start(program.server, &EIGHT, RATE, www, || Box::new(is_www));
    let before = program.open_files();
    let id = Pid::from_raw(i32::try_from(program.id()).expect("a number")).expect("a process");
    let limit = |current: u64| {
        let maximum = getrlimit(Resource::Nofile).maximum;
        prlimit(Some(id), Resource::Nofile, Rlimit { current: Some(current), maximum }).expect("a limit")
    };
    let whole = limit(before as u64 + FREE);
    let idle: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(program.server)).collect();
    program.until_log_has("cannot accept a connection");
    // Those who ask are served: the longest idle connection is closed for them.
    for _ in 0..50 {
        let mut stream = connect(program.server);
        stream.write_all(&framed(&www(0))).expect("sent");
        is_www(0, &read_framed(&mut stream).expect("an answer")).expect("the right one");
    }
    let lines = program.log().matches("cannot accept a connection").count();
    assert!((1..=LINES).contains(&lines), "{lines} lines\n{}", program.log());
    drop(idle);
    until_files(program, before + 20);
    limit(whole.current.expect("a limit"));
    let tcp = Tcp::start(program.server, 1, www, Box::new(is_www));
    udp.stop_after(Duration::from_millis(500)).assert_whole(program.kernel_drops());
    tcp.stop().assert_whole(0);
    served.program.stop().expect_code(0);
}
