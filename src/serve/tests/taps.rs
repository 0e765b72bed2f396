//! The query log and dnstap, as those see them who read them: foreign programs for dnstap.

mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    num::NonZeroU32,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use mcdns_serve::{
    Counters, Dnstap, DnstapOutput, LineFormat, Listener, Policy, PolicyStore, QueryLog, RateLimit, Server,
    SnapshotStore, TapTotals,
};

use support::{query, snapshot};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const PATIENCE: Duration = Duration::from_secs(30);

fn server() -> Server {
    let store = Arc::new(SnapshotStore::new(snapshot(&[("example.com", "www A 192.0.2.1\n@ NS www\n")])));
    Server::bind(&[Listener::plain(ANY_PORT)], 2, &store, &PolicyStore::default()).expect("a free port")
}

/// A server that limits all networks to an answer a second, and of those above lets one in `slip` slip.
fn limiting(slip: u32) -> Server {
    let store = Arc::new(SnapshotStore::new(snapshot(&[("example.com", "www A 192.0.2.1")])));
    let limit = RateLimit { responses_per_second: 1, slip, ..RateLimit::default() };
    let policy = PolicyStore::new(Policy { rate_limit: Some(limit), ..Policy::default() });
    Server::bind(&[Listener::plain(ANY_PORT)], 1, &store, &policy).expect("a free port")
}

fn udp(server: &Server, name: &str, record_type: &str) -> SocketAddr {
    let socket = UdpSocket::bind(ANY_PORT).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.send_to(&query(name, record_type), server.addresses()[0]).expect("sent");
    socket.recv(&mut [0; 2048]).expect("an answer");
    socket.local_addr().expect("an address")
}

fn tcp(server: &Server, name: &str, record_type: &str) {
    let mut stream = TcpStream::connect(server.addresses()[0]).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = query(name, record_type);
    let length = u16::try_from(request.len()).expect("a short request");
    stream.write_all(&[&length.to_be_bytes()[..], &request].concat()).expect("sent");
    stream.read_exact(&mut [0; 14]).expect("an answer");
}

fn wait_for(what: &str, counters: &Counters, is_so: impl Fn(TapTotals) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so(counters.taps().totals()) {
        assert!(Instant::now() < deadline, "{what}: {:?}", counters.taps().totals());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn dnstap(output: DnstapOutput) -> Dnstap {
    Dnstap {
        output,
        sample: NonZeroU32::MIN,
        identity: Some("ns1.example.com".into()),
        version: Some("mcdns 1".into()),
        queries: true,
        responses: true,
    }
}

/// Ends when the test does, whatever way that is.
struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Receiver {
    /// Captures what is sent to `socket` into `file`.
    fn start(socket: &Path, file: &Path) -> Self {
        let mut command = Command::new("fstrm_capture");
        command.args(["-t", "protobuf:dnstap.Dnstap", "-u"]).arg(socket).arg("-w").arg(file);
        let child = command.stderr(Stdio::null()).spawn();
        Self(child.expect("fstrm_capture, of the Debian package fstrm-bin"))
    }

    /// Ends the capture as an operator does, so that the file is complete.
    fn finish(mut self) {
        let id = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
        assert!(self.0.wait().expect("it ends").success());
    }
}

/// What `dnstap-read` of BIND makes of a file.
fn read(arguments: &[&str], file: &Path) -> String {
    let output = Command::new("dnstap-read").args(arguments).arg(file).output();
    let output = output.expect("dnstap-read, of the Debian package bind9-dnsutils");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn what_a_receiver_captures_is_what_was_asked_and_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let (socket, file) = (folder.path().join("tap.sock"), folder.path().join("capture"));
    let server = server();
    let counters = server.counters().clone();
    // Nobody listens yet: serving goes on.
    counters.taps().set(None, Some(&dnstap(DnstapOutput::Socket(socket.clone())))).expect("set");
    udp(&server, "early.example.com", "A");
    wait_for("dropped", &counters, |totals| totals.tap_dropped > 0 && totals.tap_connected == Some(false));

    let receiver = Receiver::start(&socket, &file);
    wait_for("connected", &counters, |totals| totals.tap_connected == Some(true));
    let client = udp(&server, "www.example.com", "A");
    tcp(&server, "nothing.example.com", "AAAA");
    wait_for("written", &counters, |totals| totals.tapped == 2);
    // Says that there is an end to it, and waits for the receiver to have all of it.
    server.stop();
    receiver.finish();

    let text = read(&[], &file);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line[2]).collect();
    assert_eq!(kinds, ["AQ", "AR", "AQ", "AR"], "{text}");
    assert!(text.lines().all(|line| line.contains(" 127.0.0.1:")) && lines[0][3] == client.to_string(), "{text}");
    assert!(lines[0].contains(&"UDP") && lines[2].contains(&"TCP"), "{text}");
    assert!(lines[1].contains(&"www.example.com/IN/A") && lines[3].contains(&"nothing.example.com/IN/AAAA"), "{text}");

    let yaml = read(&["-y"], &file).split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "identity: ns1.example.com",
        "version: mcdns 1",
        "type: AUTH_QUERY",
        "type: AUTH_RESPONSE",
        &format!("query_port: {}", client.port()),
        "socket_family: INET",
        "www.example.com. 180 IN A 192.0.2.1",
        "status: NXDOMAIN",
    ] {
        assert!(yaml.contains(expected), "{expected} is not in {yaml}");
    }
}

#[test]
fn a_receiver_that_comes_back_is_served_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("tap.sock");
    let server = server();
    let counters = server.counters();
    let first = Receiver::start(&socket, &folder.path().join("first"));
    counters.taps().set(None, Some(&dnstap(DnstapOutput::Socket(socket.clone())))).expect("set");
    wait_for("connected", counters, |totals| totals.tap_connected == Some(true));
    udp(&server, "www.example.com", "A");
    wait_for("written", counters, |totals| totals.tapped == 1);
    drop(first);
    // Nothing is sent, and yet it is seen that nobody is there.
    wait_for("lost", counters, |totals| totals.tap_connected == Some(false));
    udp(&server, "www.example.com", "A");
    wait_for("dropped", counters, |totals| totals.tap_dropped > 0);

    fs::remove_file(&socket).expect("a killed receiver leaves its socket");
    let file = folder.path().join("second");
    let second = Receiver::start(&socket, &file);
    wait_for("connected again", counters, |totals| totals.tap_connected == Some(true));
    udp(&server, "www.example.com", "NS");
    wait_for("written again", counters, |totals| totals.tapped == 2);
    server.stop();
    second.finish();
    let text = read(&[], &file);
    assert!(text.contains("www.example.com/IN/NS") && !text.contains("www.example.com/IN/A"), "{text}");
}

#[test]
fn a_file_of_dnstap_is_read_by_others_and_begun_anew_after_a_rename() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, renamed) = (folder.path().join("tap"), folder.path().join("tap.1"));
    let server = server();
    let counters = server.counters().clone();
    let settings = Dnstap { queries: false, ..dnstap(DnstapOutput::File(path.clone())) };
    counters.taps().set(None, Some(&settings)).expect("the file is opened");
    udp(&server, "www.example.com", "A");
    wait_for("written", &counters, |totals| totals.tapped == 1);
    fs::rename(&path, &renamed).expect("renamed");
    counters.taps().reopen();
    let deadline = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < deadline, "no new file");
        std::thread::sleep(Duration::from_millis(5));
    }
    udp(&server, "other.example.com", "A");
    wait_for("written", &counters, |totals| totals.tapped == 2);
    server.stop();

    let [before, after] = [&renamed, &path].map(|file| read(&[], file));
    assert!(before.contains(" AR ") && before.contains("www.example.com/IN/A") && before.lines().count() == 1);
    assert!(after.contains("other.example.com/IN/A") && after.lines().count() == 1, "{after}");
    // A start leaves what is there.
    let again = crate::server();
    again.counters().taps().set(None, Some(&settings)).expect("the file is opened");
    again.stop();
    assert_eq!(read(&[], &folder.path().join("tap.old")), after);
    assert_eq!(read(&[], &path), "");
}

#[test]
fn every_query_is_a_line_of_the_query_log_where_all_are_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("queries.json");
    let server = server();
    let counters = server.counters().clone();
    let log = QueryLog { sample: NonZeroU32::MIN, file: Some(file.clone()), format: LineFormat::Json };
    counters.taps().set(Some(&log), None).expect("the file is opened");
    for _ in 0..10 {
        udp(&server, "www.example.com", "A");
        tcp(&server, "a b\".example.com", "HTTPS");
    }
    // The writer stays, its sample changes.
    let rarely = QueryLog { sample: NonZeroU32::new(1_000_000_000).expect("positive"), ..log.clone() };
    counters.taps().set(Some(&rarely), None).expect("set");
    server.stop();
    assert_eq!(counters.taps().totals(), TapTotals { logged: 20, ..TapTotals::default() });
    let text = fs::read_to_string(&file).expect("the file");
    let of = |words: &str| text.lines().filter(|line| line.contains(words)).count();
    assert_eq!(of(r#""transport":"udp","name":"www.example.com.","class":"IN","type":"A","rcode":"NOERROR""#), 10);
    assert_eq!(of(r#""transport":"tcp","name":"a\\032b\\034.example.com.","class":"IN","type":"HTTPS""#), 10, "{text}");
}

#[test]
fn what_rate_limiting_sent_or_dropped_is_logged_and_copied_as_that() {
    let folder = tempfile::tempdir().expect("a folder");
    let request = query("www.example.com", "A");
    for (slip, sent) in [
        (1, format!(r#""rcode":"NOERROR","flags":"aa,tc,rd,limited","size":{}"#, request.len())),
        (0, r#""rcode":"-","flags":"limited","size":0"#.to_owned()),
    ] {
        let (file, tap) = (folder.path().join(format!("queries-{slip}")), folder.path().join(format!("tap-{slip}")));
        let server = limiting(slip);
        let (counters, vitals) = (server.counters().clone(), server.vitals().clone());
        let log = QueryLog { sample: NonZeroU32::MIN, file: Some(file.clone()), format: LineFormat::Json };
        counters.taps().set(Some(&log), Some(&dnstap(DnstapOutput::File(tap.clone())))).expect("opened");
        let socket = UdpSocket::bind(ANY_PORT).expect("a socket");
        for _ in 0..50 {
            socket.send_to(&request, server.addresses()[0]).expect("sent");
        }
        wait_for("written", &counters, |totals| (totals.logged, totals.tapped) == (50, 50));
        server.stop();
        let limited = usize::try_from(vitals.rate_limited().limited).expect("few");
        let text = fs::read_to_string(&file).expect("the file");
        assert!(limited > 0 && text.lines().count() == 50, "{text}");
        assert_eq!(text.matches(&sent).count(), limited, "{text}");
        let whole = format!(r#""rcode":"NOERROR","flags":"aa,rd","size":{}"#, request.len() + 16);
        assert_eq!(text.matches(&whole).count(), 50 - limited, "{text}");

        let copied = read(&[], &tap);
        let answers = copied.lines().filter(|line| line.contains(" AR ")).count();
        assert_eq!(answers, if slip == 0 { 50 - limited } else { 50 }, "{copied}");
        let frames = fs::read(&tap).expect("the file");
        let marked = frames.windows(12).filter(|octets| octets == b"rate limited").count();
        assert_eq!(marked, if slip == 0 { limited } else { 2 * limited });
    }
}

#[test]
fn what_cannot_be_written_is_refused_and_what_was_in_force_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server();
    let taps = server.counters().taps();
    let file = folder.path().join("queries");
    let log = QueryLog { sample: NonZeroU32::MIN, file: Some(file.clone()), format: LineFormat::Text };
    taps.set(Some(&log), None).expect("the file is opened");
    let wrong = dnstap(DnstapOutput::File(folder.path().join("missing/tap")));
    let refused = taps.set(None, Some(&wrong)).expect_err("no such folder");
    assert!(refused.to_string().ends_with("missing/tap cannot be opened for dnstap"), "{refused}");
    udp(&server, "www.example.com", "A");
    wait_for("written", server.counters(), |totals| totals.logged == 1);
}
