//! Encrypted transports of the whole program, as foreign clients and secondaries use them.
//!
//! One program speaks DNS over TLS, QUIC (on the same port number) and HTTPS, and plain DNS beside them. `kdig`, `curl`,
//! `dig`, `dnsperf` and `openssl` ask; BIND and NSD fetch the zone over TLS (RFC 9103).

#![allow(clippy::panic, reason = "a test fails by a panic")]

mod program;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
};

use conformance::{client, controls::free_address};
use program::{
    Killed, Program, Scratch,
    certificate::{SERVER, certify},
    edit, eventually, finish, text, tool, until_equal,
};
use rustix::process::Signal;

/// Records of TXT that are more than a datagram takes.
const MANY: usize = 100;
/// What a padded answer is a multiple of (RFC 8467 section 4.1).
const BLOCK: usize = 468;
/// A question for www.example.com A, in base64url (RFC 8484 section 4.1.1).
const QUESTION: &str = "AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB";

struct Served {
    scratch: Scratch,
    program: Program,
    zone: PathBuf,
    certificate: PathBuf,
    /// TLS and QUIC.
    tls: SocketAddr,
    https: SocketAddr,
}

impl Served {
    /// The program; it notifies these of changes.
    fn start(notify: &[SocketAddr]) -> Self {
        let scratch = Scratch::new();
        let (certificate, key) = certify(&scratch.path(""));
        let (tls, https) = (free_address().expect("a port"), free_address().expect("a port"));
        let zone = scratch.path("example.com.zone");
        let many = (0..MANY).map(|number| format!("big TXT text-number-{number}\n")).collect::<Vec<_>>().concat();
        let head =
            "$ORIGIN example.com.\n$TTL 60\n@ SOA ns1 hostmaster 7 3600 600 604800 30\n@ NS ns1\nns1 A 127.0.0.1\n";
        fs::write(&zone, format!("{head}www A 192.0.2.1\n{many}")).expect("a zone");
        let notify: Vec<String> = notify.iter().map(ToString::to_string).collect();
        let files = format!("certificate: {}, key: {}", certificate.display(), key.display());
        let settings = scratch.path("settings.yaml");
        let content = format!(
            "version: 1\nserve:\n  listen:\n    - 127.0.0.1:0\n    \
             - {{address: \"{tls}\", transports: [dot, doq], {files}}}\n    \
             - {{address: \"{https}\", transports: [doh], {files}}}\n  zones:\n    \
             - {{apex: example.com, transfer: {{allow: [127.0.0.0/8], notify: [{}]}}}}\n",
            notify.join(", ")
        );
        fs::write(&settings, content).expect("settings");
        let program = Program::start(&["serve", "--settings", text(&settings), "--admin", "127.0.0.1:0", text(&zone)]);
        Self { scratch, program, zone, certificate, tls, https }
    }

    /// What kdig says to `question`, its options included.
    #[track_caller]
    fn kdig(&self, server: SocketAddr, question: &[&str]) -> String {
        finish(&mut self.kdig_command(server, question)).expect_code(0).stdout
    }

    fn kdig_command(&self, server: SocketAddr, question: &[&str]) -> Command {
        let mut kdig = tool("kdig");
        kdig.args(["@127.0.0.1", "-p", &server.port().to_string(), "+retry=0", "+timeout=15"]);
        // By itself, kdig looks at no certificate; with these options, it always speaks TLS.
        if !question.contains(&"+tcp") {
            kdig.args([&format!("+tls-ca={}", self.certificate.display()), &format!("+tls-hostname={SERVER}")]);
        }
        kdig.args(question);
        kdig
    }

    /// What openssl says of a handshake.
    fn handshake(&self, server: SocketAddr, options: &[&str]) -> String {
        let mut openssl = tool("openssl");
        openssl.args(["s_client", "-connect", &server.to_string(), "-servername", SERVER]).args(options);
        openssl.args(["-CAfile", text(&self.certificate)]);
        let finished = finish(&mut openssl);
        finished.stdout + &finished.stderr
    }

    /// Raises the serial of the zone and has the program read it.
    fn change(&self) {
        edit(&self.zone, "hostmaster 7 ", "hostmaster 8 ");
        self.program.signal(Signal::HUP);
        until_equal("the zone is read", &8, || self.program.serial("example.com"));
    }
}

#[test]
fn kdig_is_answered_over_tls_https_and_quic() {
    let served = Served::start(&[]);
    let transports: [(SocketAddr, &[&str]); 4] = [
        (served.tls, &["+tls"]),
        (served.tls, &["+quic"]),
        (served.https, &["+https=ns1.example.com/dns-query"]),
        (served.https, &["+https=ns1.example.com/dns-query", "+https-get"]),
    ];
    for (server, options) in transports {
        let small = served.kdig(server, &[options, &["www.example.com"]].concat());
        assert!(small.contains("status: NOERROR") && small.contains("192.0.2.1"), "{options:?}\n{small}");
        let large = served.kdig(server, &[options, &["big.example.com", "TXT"]].concat());
        assert_eq!(large.matches("text-number-").count(), MANY, "{options:?}\n{large}");
        let none = served.kdig(server, &[options, &["none.example.com"]].concat());
        assert!(none.contains("status: NXDOMAIN") && none.contains("SOA"), "{options:?}\n{none}");
        let other = served.kdig(server, &[options, &["www.example.net"]].concat());
        assert!(other.contains("status: REFUSED"), "{options:?}\n{other}");
    }
}

/// RFC 8484 sections 4.1 and 5.2.
#[test]
fn curl_gets_and_posts_over_both_versions_of_http() {
    let served = Served::start(&[]);
    let url = format!("https://{SERVER}:{}/dns-query", served.https.port());
    let (body, question) = (served.scratch.path("answer"), served.scratch.path("question"));
    let octets: Vec<u8> =
        [b"\0\0\x01\0\0\x01\0\0\0\0\0\0".as_slice(), b"\x03www\x07example\x03com\0\0\x01\0\x01"].concat();
    fs::write(&question, &octets).expect("a file");
    let get = format!("{url}?dns={QUESTION}");
    let posted = format!("@{}", question.display());
    let requests: [(&str, &[&str]); 2] =
        [(&get, &[]), (&url, &["--header", "content-type: application/dns-message", "--data-binary", &posted])];
    for (version, told) in [("--http1.1", "1.1"), ("--http2", "2")] {
        for (url, arguments) in requests {
            let mut curl = tool("curl");
            curl.args(["--silent", "--show-error", "--max-time", "15", version, "--cacert", text(&served.certificate)]);
            curl.args(["--resolve", &format!("{SERVER}:{}:127.0.0.1", served.https.port()), "--output", text(&body)]);
            curl.args(["--write-out", "%{http_code} %{http_version} %{content_type}"]).args(arguments).arg(url);
            let told_by_curl = finish(&mut curl).expect_code(0).stdout;
            assert_eq!(told_by_curl, format!("200 {told} application/dns-message"), "{url}");
            let answer = fs::read(&body).expect("an answer");
            assert!(answer.starts_with(&[0, 0, 0x85, 0]), "{answer:?}");
            assert!(answer.ends_with(&[0, 4, 192, 0, 2, 1]), "{answer:?}");
        }
    }
}

/// dnsperf takes one answer from each TLS record, and waits for all others until they are late.
#[test]
fn dnsperf_gets_all_answers_over_https_with_many_under_way_on_each_connection() {
    let served = Served::start(&[]);
    let questions = served.scratch.path("questions");
    fs::write(&questions, "www.example.com A\nnone.example.com A\n".repeat(300)).expect("a file");
    let port = served.https.port().to_string();
    for method in ["GET", "POST"] {
        let mut dnsperf = tool("dnsperf");
        dnsperf.args(["-m", "doh", "-O", &format!("doh-uri=https://{SERVER}/dns-query")]);
        dnsperf.args(["-O", &format!("doh-method={method}"), "-s", "127.0.0.1", "-p", &port]);
        // Every question once; so many at a time on each connection that their answers come together.
        dnsperf.args(["-c", "2", "-T", "1", "-q", "100", "-n", "1", "-t", "30", "-d", text(&questions)]);
        let told = finish(&mut dnsperf).expect_code(0).stdout;
        assert!(told.contains("Queries completed:    600 (100.00%)"), "{method}\n{told}");
        assert!(told.contains("NOERROR 300 (50.00%), NXDOMAIN 300 (50.00%)"), "{method}\n{told}");
    }
}

/// RFC 9103 sections 7.1 and 7.2: TLS 1.3 and the ALPN `dot`, else no transfer.
#[test]
fn zones_are_transferred_over_tls_1_3_with_its_alpn_alone() {
    let served = Served::start(&[]);
    let whole = served.kdig(served.tls, &["+tls", "+noall", "+answer", "example.com", "AXFR"]);
    assert_eq!(whole.matches("text-number-").count(), MANY, "{whole}");
    assert_eq!(whole.matches("\tSOA\t").count(), 2, "{whole}");
    served.change();
    let changes = served.kdig(served.tls, &["+tls", "+noall", "+answer", "example.com", "IXFR=7"]);
    assert_eq!(changes.matches("\tSOA\t").count(), 4, "the difference alone\n{changes}");
    for (options, rcode) in
        [(&["-tls1_3", "-alpn", "dot"][..], 0), (&["-tls1_2", "-alpn", "dot"], 5), (&["-tls1_3"], 5), (&["-tls1_2"], 5)]
    {
        assert_eq!(transfer_rcode(&served, options), rcode, "{options:?}");
    }
}

/// RFC 8467 section 4.1, RFC 7830 section 4, and RFC 7828 section 3.3.2.
#[test]
fn answers_are_padded_where_the_question_is_and_say_how_long_connections_stay() {
    let served = Served::start(&[]);
    for name in ["www.example.com", "none.example.com", "big.example.com"] {
        let padded = served.kdig(served.tls, &["+tls", "+padding", name, "TXT"]);
        let size = received(&padded);
        assert!(padded.contains("PADDING") && size.is_multiple_of(BLOCK), "{size}\n{padded}");
        let plain = served.kdig(served.tls, &["+tls", "+nopadding", "+edns", name, "TXT"]);
        assert!(!plain.contains("PADDING") && !received(&plain).is_multiple_of(BLOCK), "{plain}");
    }
    // Without encryption there is nothing that padding could hide.
    let open = served.kdig(served.program.server, &["+tcp", "+padding", "www.example.com"]);
    assert!(!open.contains("PADDING") && open.contains("192.0.2.1"), "{open}");
    let kept = served.program.dig("www.example.com +tcp +keepalive");
    assert!(kept.text.contains("; TCP KEEPALIVE: 10.0 secs"), "{}", kept.text);
    assert!(!served.program.dig("www.example.com +tcp").text.contains("KEEPALIVE"));
    assert!(!served.program.dig("www.example.com +keepalive +ignore").text.contains("KEEPALIVE"), "over UDP");
}

#[test]
fn a_new_certificate_is_shown_after_a_signal_while_connections_stay_open() {
    let served = Served::start(&[]);
    let mut open = OpenConnection::new(&served);
    open.ask();
    let first = fingerprint(&served.certificate);
    assert_eq!(shown(&served), first);
    certify(&served.scratch.path(""));
    let second = fingerprint(&served.certificate);
    assert_ne!(first, second);
    served.program.signal(Signal::HUP);
    until_equal("the new certificate is shown", &second, || shown(&served));
    let verified = served.handshake(served.tls, &["-verify_return_error"]);
    assert!(verified.contains("Verify return code: 0 (ok)"), "{verified}");
    open.ask();
    // A key that is none: what was shown is shown on.
    fs::write(served.scratch.path("tls.key"), "nothing").expect("a file");
    served.program.signal(Signal::HUP);
    served.program.until_log_has("tls.key");
    assert_eq!(shown(&served), second);
    open.ask();
}

#[test]
fn bind_and_nsd_follow_a_zone_over_tls() {
    let (bind, nsd) = (free_address().expect("a port"), free_address().expect("a port"));
    let served = Served::start(&[bind, nsd]);
    let _secondaries = [start_bind(&served, bind), start_nsd(&served, nsd)];
    for (name, secondary) in [("bind", bind), ("nsd", nsd)] {
        let log = || fs::read_to_string(served.scratch.path(&format!("{name}.log"))).unwrap_or_default();
        let has = |serial: u32| {
            eventually(&format!("{name} has serial {serial}"), || match client::serial(secondary, "example.com") {
                Ok(found) if found == serial => Ok(()),
                other => Err(format!("{other:?}\n{}", log())),
            });
        };
        has(if name == "bind" { 7 } else { 8 });
        if name == "bind" {
            served.change();
            has(8);
        }
        let ours = client::transfer(served.program.server, "example.com", None).expect("our zone");
        assert_eq!(client::transfer(secondary, "example.com", None).expect("their zone"), ours, "{name}");
    }
}

/// A program that stands still accepts nobody; its kernel does.
#[test]
fn who_is_connected_when_the_program_is_told_to_stop_is_answered() {
    let served = Served::start(&[]);
    let transports: [(SocketAddr, &[&str]); 3] = [
        (served.program.server, &["+tcp"]),
        (served.tls, &["+tls"]),
        (served.https, &["+https=ns1.example.com/dns-query"]),
    ];
    served.program.signal(Signal::STOP);
    let clients = transports.map(|(server, options)| {
        let mut kdig = served.kdig_command(server, &[options, &["www.example.com"]].concat());
        kdig.stdout(Stdio::piped());
        let client = Killed(kdig.spawn().expect("kdig starts"));
        until_equal("a connection with something to read", &1, || with_input(server.port()));
        client
    });
    served.program.signal(Signal::TERM);
    served.program.signal(Signal::CONT);
    for (mut client, (_, options)) in clients.into_iter().zip(transports) {
        let mut told = String::new();
        client.0.stdout.take().expect("a pipe").read_to_string(&mut told).expect("text");
        assert!(told.contains("status: NOERROR") && told.contains("192.0.2.1"), "{options:?}\n{told}");
    }
    served.program.until_end().expect_code(0);
}

/// Connections to this port that are established and have octets that nobody has read, as the kernel lists them
/// (`proc_pid_net(5)`): local address, remote address, state, and what waits to be sent and to be read.
fn with_input(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("the table of connections");
    let local = format!("0100007F:{port:04X}");
    let is_one = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let read = columns.get(4).and_then(|queues| queues.split_once(':'));
        columns.get(1) == Some(&&*local)
            && columns.get(3) == Some(&"01")
            && read.is_some_and(|(_, read)| read != "00000000")
    };
    table.lines().filter(is_one).count()
}

/// Octets of the answer.
fn received(text: &str) -> usize {
    let size = text.split_once(";; Received ").and_then(|(_, rest)| rest.split(' ').next());
    size.and_then(|size| size.parse().ok()).unwrap_or_else(|| panic!("no size: {text}"))
}

/// The first RCODE that a question for the whole zone gets on a connection that openssl makes.
fn transfer_rcode(served: &Served, options: &[&str]) -> u8 {
    let question = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\xfc\0\x01";
    let mut connection = OpenConnection::with(served, options);
    connection.send(question);
    connection.receive()[3] & 0x0f
}

/// The certificate that new connections are shown, as its fingerprint.
fn shown(served: &Served) -> String {
    let text = served.handshake(served.tls, &[]);
    let start = text.find("-----BEGIN").unwrap_or_else(|| panic!("no certificate: {text}"));
    let end = text.find("-----END CERTIFICATE-----").unwrap_or_else(|| panic!("no certificate: {text}"));
    let file = served.scratch.path("shown.crt");
    fs::write(&file, format!("{}-----END CERTIFICATE-----\n", &text[start..end])).expect("a file");
    fingerprint(&file)
}

fn fingerprint(certificate: &Path) -> String {
    let mut openssl = tool("openssl");
    openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in", text(certificate)]);
    finish(&mut openssl).expect_code(0).stdout
}

/// A connection over TLS that openssl holds open.
struct OpenConnection {
    child: Killed,
    answers: ChildStdout,
}

impl OpenConnection {
    fn new(served: &Served) -> Self {
        Self::with(served, &["-alpn", "dot"])
    }

    fn with(served: &Served, options: &[&str]) -> Self {
        let mut openssl = tool("openssl");
        openssl.args(["s_client", "-quiet", "-connect", &served.tls.to_string(), "-servername", SERVER]).args(options);
        openssl.args(["-CAfile", text(&served.certificate)]);
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Killed(openssl.spawn().expect("openssl starts"));
        let answers = child.0.stdout.take().expect("a pipe");
        Self { child, answers }
    }

    fn send(&mut self, message: &[u8]) {
        let input = self.child.0.stdin.as_mut().expect("a pipe");
        let length = u16::try_from(message.len()).expect("a short message").to_be_bytes();
        input.write_all(&[&length, message].concat()).expect("a question that can be sent");
        input.flush().expect("a question that can be sent");
    }

    /// The next message.
    fn receive(&mut self) -> Vec<u8> {
        let mut length = [0; 2];
        self.answers.read_exact(&mut length).expect("an answer");
        let mut message = vec![0; u16::from_be_bytes(length).into()];
        self.answers.read_exact(&mut message).expect("a whole answer");
        message
    }

    /// Asks for www.example.com.
    fn ask(&mut self) {
        self.send(b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01");
        let answer = self.receive();
        assert!(answer.ends_with(&[0, 4, 192, 0, 2, 1]), "{answer:?}");
    }
}

fn start_bind(served: &Served, address: SocketAddr) -> Killed {
    let home = served.scratch.path("bind");
    fs::create_dir(&home).expect("a folder");
    let (folder, port, primary) = (home.display(), address.port(), served.tls.port());
    let settings = format!(
        "options {{\n  directory \"{folder}\";\n  pid-file none;\n  session-keyfile none;\n  \
         listen-on port {port} {{ 127.0.0.1; }};\n  listen-on-v6 {{ none; }};\n  recursion no;\n  notify no;\n  \
         dnssec-validation no;\n  empty-zones-enable no;\n  allow-transfer {{ 127.0.0.0/8; }};\n}};\ncontrols {{ }};\n\
         tls xot {{ ca-file \"{}\"; remote-hostname \"{SERVER}\"; }};\n\
         zone \"example.com\" {{\n  type secondary;\n  file \"zone\";\n  \
         primaries {{ 127.0.0.1 port {primary} tls xot; }};\n  allow-notify {{ 127.0.0.0/8; }};\n  \
         min-refresh-time 1;\n  max-refresh-time 1;\n  min-retry-time 1;\n  max-retry-time 1;\n}};\n",
        served.certificate.display()
    );
    start_server(served, "bind", "named", &["-g", "-n", "1", "-c"], &settings)
}

fn start_nsd(served: &Served, address: SocketAddr) -> Killed {
    let home = served.scratch.path("nsd");
    fs::create_dir(&home).expect("a folder");
    let (folder, port, primary) = (home.display(), address.port(), served.tls.port());
    let settings = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  rrl-ratelimit: 0\n  \
         zonesdir: \"{folder}\"\n  database: \"\"\n  pidfile: \"{folder}/pid\"\n  xfrdfile: \"{folder}/xfrd.state\"\n  \
         xfrdir: \"{folder}\"\n  zonelistfile: \"{folder}/zone.list\"\n  xfrd-reload-timeout: 0\n  \
         tls-cert-bundle: \"{}\"\nremote-control:\n  control-enable: no\n\
         tls-auth:\n  name: xot\n  auth-domain-name: {SERVER}\n\
         zone:\n  name: example.com\n  zonefile: zone\n  request-xfr: AXFR 127.0.0.1@{primary} NOKEY xot\n  \
         allow-notify: 127.0.0.0/8 NOKEY\n  provide-xfr: 127.0.0.0/8 NOKEY\n  \
         min-retry-time: 1\n  max-retry-time: 1\n  min-refresh-time: 1\n  max-refresh-time: 1\n",
        served.certificate.display()
    );
    start_server(served, "nsd", "nsd", &["-d", "-c"], &settings)
}

fn start_server(served: &Served, name: &str, program: &str, arguments: &[&str], settings: &str) -> Killed {
    let file = served.scratch.path(&format!("{name}.conf"));
    fs::write(&file, settings).expect("settings");
    let log = fs::File::create(served.scratch.path(&format!("{name}.log"))).expect("a log");
    let mut command = tool(program);
    command.args(arguments).arg(&file).stdout(log.try_clone().expect("a log")).stderr(log);
    Killed(command.spawn().expect("a server starts"))
}
