//! Encrypted transports as foreign clients see them: kdig, curl and openssl.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mcdns_serve::{
    AccessList, AccessRule, Algorithm, AnswerCheck, BindError, CertificateFiles, Key, KeyRing, Listener,
    ListenerOptions, Policy, PolicyStore, Server, Service, SnapshotStore, ZonePolicy,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use support::{name, query, show, snapshot, with_edns};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const PATH: &str = "/dns-query";
/// Who signs with this key may have the zone.
const KEY: &str = "secondary";
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

struct Served {
    server: Server,
    folder: tempfile::TempDir,
}

/// DNS over TLS, HTTPS and QUIC, in this order.
#[derive(Debug, Clone, Copy)]
enum Place {
    Tls,
    Https,
    Quic,
}

impl Served {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let files = certify(folder.path(), "ns1.example.com");
        let listeners = listeners(&files).map(|service| Listener {
            address: ANY_PORT,
            service,
            options: ListenerOptions::default(),
        });
        let texts = (0..100).map(|n| format!("big TXT text-number-{n:03}\n")).collect::<Vec<_>>().concat();
        let zone = snapshot(&[("example.com", &format!("www A 192.0.2.1\nwww A 192.0.2.2\n{texts}"))]);
        let store = Arc::new(SnapshotStore::new(zone));
        let transfer = AccessList { rules: vec![AccessRule { networks: Vec::new(), keys: vec![name(KEY)] }] };
        let keys = KeyRing::new([Key::new(name(KEY), Algorithm::HmacSha256, SECRET)]);
        let zones = BTreeMap::from([(name("example.com"), ZonePolicy { transfer, ..ZonePolicy::default() })]);
        let policy = PolicyStore::new(Policy { keys, zones, ..Policy::default() });
        let server = Server::bind(&listeners, 2, &store, &policy).expect("free ports");
        Self { server, folder }
    }

    fn port(&self, place: Place) -> u16 {
        self.server.addresses()[place as usize].port()
    }

    /// A connection over TLS whose client offers these protocols.
    fn connect(&self, protocols: &[&[u8]]) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(self.folder.path().join("tls.crt")).expect("a certificate");
        roots.add(authority).expect("a root");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = "ns1.example.com".try_into().expect("a name");
        let session = ClientConnection::new(Arc::new(config), name).expect("a session");
        let address = self.server.addresses()[Place::Tls as usize];
        StreamOwned::new(session, TcpStream::connect(address).expect("a connection"))
    }

    /// What kdig prints of the answer section.
    fn kdig(&self, place: Place, arguments: &[&str]) -> String {
        let port = self.port(place).to_string();
        let output = Command::new("kdig")
            .args(["@127.0.0.1", "-p", &port, "+noall", "+answer", "+header", "+retry=0", "+timeout=20"])
            .args(arguments)
            .output()
            .expect("kdig, of the Debian package knot-dnsutils");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    fn url(&self) -> String {
        format!("https://ns1.example.com:{}{PATH}", self.port(Place::Https))
    }

    /// Status, headers in lower case, and body that curl got for `url`.
    fn curl(&self, url: &str, arguments: &[&str], body: &[u8]) -> (u16, String, Vec<u8>) {
        let port = self.port(Place::Https);
        let mut child = Command::new("curl")
            .args(["--silent", "--show-error", "--include", "--max-time", "20", "--cacert"])
            .arg(self.folder.path().join("tls.crt"))
            .args(["--resolve", &format!("ns1.example.com:{port}:127.0.0.1"), url])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("curl");
        // Who does not want the body has closed the pipe.
        let _ = child.stdin.take().expect("a pipe").write_all(body);
        let Output { stdout, stderr, .. } = child.wait_with_output().expect("it ends");
        let at = |mut from: usize| {
            // What comes before a `100 Continue` is over is no response.
            loop {
                let end = from
                    + stdout[from..].windows(4).position(|end| end == b"\r\n\r\n").unwrap_or_else(|| {
                        unreachable!(
                            "no header: {arguments:?} {}{}",
                            String::from_utf8_lossy(&stdout),
                            String::from_utf8_lossy(&stderr)
                        )
                    });
                if !stdout[from..end].starts_with(b"HTTP/1.1 100") {
                    return (from, end);
                }
                from = end + 4;
            }
        };
        let (start, end) = at(0);
        let header = String::from_utf8_lossy(&stdout[start..end]).to_lowercase();
        let status = header.split(' ').nth(1).expect("a status").trim().parse().expect("a number");
        (status, header, stdout[end + 4..].to_vec())
    }
}

/// The first message of the answer.
fn ask(stream: &mut (impl Read + Write), request: &[u8]) -> Vec<u8> {
    let length = u16::try_from(request.len()).expect("a short request").to_be_bytes();
    stream.write_all(&[&length, request].concat()).expect("sent");
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("an answer");
    let mut reply = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut reply).expect("an answer");
    reply
}

fn listeners(files: &CertificateFiles) -> [Service; 3] {
    [
        Service::Tls(files.clone()),
        Service::Https { certificate: files.clone(), path: PATH.into() },
        Service::Quic(files.clone()),
    ]
}

/// Writes a new certificate for this name.
fn certify(folder: &Path, name: &str) -> CertificateFiles {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.into()]).expect("a name");
    let certificate = params.self_signed(&key).expect("signed");
    let files = CertificateFiles { certificate: folder.join("tls.crt"), key: folder.join("tls.key") };
    fs::write(&files.certificate, certificate.pem()).expect("written");
    fs::write(&files.key, key.serialize_pem()).expect("written");
    files
}

fn base64url(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in octets.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, &octet| bits << 8 | u32::from(octet)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

/// What openssl's client says of a handshake.
fn openssl(port: u16, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", "ns1.example.com"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("openssl");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn kdig_is_answered_over_every_encrypted_transport() {
    let served = Served::new();
    let certificate = served.folder.path().join("tls.crt");
    let authority = format!("+tls-ca={}", certificate.display());
    let cases: [(Place, &[&str]); 6] = [
        (Place::Tls, &["+tls"]),
        (Place::Tls, &[&authority, "+tls-hostname=ns1.example.com"]),
        (Place::Https, &["+https"]),
        (Place::Https, &["+https-get"]),
        (Place::Https, &[&authority, "+https=ns1.example.com/dns-query"]),
        (Place::Quic, &["+quic"]),
    ];
    for (place, arguments) in cases {
        let small = served.kdig(place, &[arguments, &["www.example.com", "A"]].concat());
        assert!(small.contains("NOERROR") && small.contains("192.0.2.1"), "{arguments:?}: {small}");
        let large = served.kdig(place, &[arguments, &["big.example.com", "TXT"]].concat());
        assert_eq!(large.matches("text-number-").count(), 100, "{arguments:?}: {large}");
        let none = served.kdig(place, &[arguments, &["nothing.example.com", "A"]].concat());
        assert!(none.contains("NXDOMAIN"), "{arguments:?}: {none}");
    }
}

#[test]
fn kdig_keeps_a_connection_for_many_queries() {
    let served = Served::new();
    for (place, option) in [(Place::Tls, "+tls"), (Place::Https, "+https"), (Place::Quic, "+quic")] {
        // More than the 100 after which some servers close a QUIC connection.
        let names: Vec<_> = std::iter::repeat_n("www.example.com", 150).collect();
        let answers = served.kdig(place, &[&[option, "+keepopen"], &names[..]].concat());
        assert_eq!(answers.matches("192.0.2.1\n").count(), 150, "{option}");
    }
}

/// RFC 8484 sections 4 and 5.
#[test]
fn curl_gets_answers_by_get_and_post_over_both_versions_of_http() {
    let served = Served::new();
    let question = with_edns(query("www.example.com", "A"), 1232, 0, 0, &[]);
    let get = format!("{}?dns={}", served.url(), base64url(&question));
    let post = ["--header", "content-type: application/dns-message", "--data-binary", "@-"];
    for (version, line) in [("--http1.1", "http/1.1 200"), ("--http2", "http/2 200")] {
        let by_get = served.curl(&get, &[version], &[]);
        let by_post = served.curl(&served.url(), &[&[version], &post[..]].concat(), &question);
        for (status, header, body) in [by_get, by_post] {
            assert_eq!(status, 200, "{header}");
            assert!(header.starts_with(line), "{header}");
            assert!(header.contains("\r\ncontent-type: application/dns-message"), "{header}");
            assert!(header.contains("\r\ncache-control: max-age=180"), "{header}");
            assert!(header.contains(&format!("\r\ncontent-length: {}", body.len())), "{header}");
            assert_eq!(show(&body).matches("answer www.example.com. 180 A 192.0.2.").count(), 2);
        }
        let (status, header, body) = served.curl(&get, &[version, "--head"], &[]);
        assert_eq!((status, body), (200, Vec::new()), "{header}");
        assert!(header.contains("\r\ncontent-type: application/dns-message"), "{header}");

        // The negative TTL of the zone is 30; an error is not kept at all.
        let negative = base64url(&query("nothing.example.com", "A"));
        let (_, header, body) = served.curl(&format!("{}?dns={negative}", served.url()), &[version], &[]);
        assert!(header.contains("\r\ncache-control: max-age=30"), "{header}");
        assert!(show(&body).starts_with("NXDOMAIN"));
        for (asked, record_type) in [("example.net", "A"), ("example.com", "AXFR")] {
            let refused = base64url(&query(asked, record_type));
            let (status, header, body) = served.curl(&format!("{}?dns={refused}", served.url()), &[version], &[]);
            assert_eq!(status, 200, "{header}");
            assert!(header.contains("\r\ncache-control: no-store"), "{header}");
            assert_eq!(show(&body), "REFUSED", "{asked} {record_type}");
        }
    }
}

#[test]
fn each_wrong_request_gets_the_status_that_says_what_is_wrong() {
    let served = Served::new();
    let url = served.url();
    let question = query("www.example.com", "A");
    let encoded = base64url(&question);
    let (large, long) = (vec![b'0'; 65_536], "A".repeat(20_000));
    let message = "content-type: application/dns-message";
    let header = format!("x-long: {}", "x".repeat(40_000));
    let mut answer = question.clone();
    answer[2] |= 0x80;
    let post: &[&str] = &["--header", message, "--data-binary", "@-"];
    let cases: [(u16, String, &[&str], &[u8]); 14] = [
        (404, url.replace(PATH, "/"), &[], b""),
        (404, format!("{url}/"), &[], b""),
        (400, url.clone(), &[], b""),
        (400, format!("{url}?dns="), &[], b""),
        (400, format!("{url}?name=www.example.com"), &[], b""),
        (400, format!("{url}?dns={encoded}="), &[], b""),
        (400, format!("{url}?dns=%20"), &[], b""),
        (400, format!("{url}?dns={}", base64url(&answer)), &[], b""),
        (405, format!("{url}?dns={encoded}"), &["--request", "PUT"], b""),
        (413, url.clone(), post, &large),
        (414, format!("{url}?dns={long}"), &[], b""),
        (415, url.clone(), &["--header", "content-type: text/plain", "--data-binary", "@-"], &question),
        (400, url.clone(), post, b"short"),
        (431, format!("{url}?dns={encoded}"), &["--header", &header], b""),
    ];
    for version in ["--http1.1", "--http2"] {
        for (expected, url, arguments, body) in &cases {
            let (status, header, _) = served.curl(url, &[&[version], *arguments].concat(), body);
            assert_eq!(status, *expected, "{version} {url:.100} {header}");
            assert_eq!(header.contains("\r\nallow: get, head, post"), status == 405, "{header}");
        }
        let (status, ..) = served.curl(&format!("{url}?a=b&dns={encoded}&c"), &[version], &[]);
        assert_eq!(status, 200, "other parameters are not our business");
    }
}

#[test]
fn tls_1_2_and_1_3_are_spoken_sessions_resumed_and_foreign_protocols_refused() {
    let served = Served::new();
    let port = served.port(Place::Tls);
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let text = openssl(port, &[version, "-alpn", "dot"]);
        assert!(text.contains(&format!("New, {name}")), "{text}");
        assert!(text.contains("ALPN protocol: dot"), "{text}");
        assert!(openssl(port, &[version]).contains("No ALPN negotiated"), "an ALPN is not required");
    }
    let text = openssl(port, &["-tls1_2", "-reconnect"]);
    assert_eq!(text.matches("Reused, TLSv1.2").count(), 5, "{text}");
    assert!(openssl(port, &["-alpn", "h2"]).contains("no application protocol"), "HTTP is not spoken there");
    let https = served.port(Place::Https);
    assert!(openssl(https, &["-alpn", "http/1.1,h2"]).contains("ALPN protocol: h2"), "HTTP/2 where both are offered");
    assert!(openssl(https, &["-alpn", "http/1.1"]).contains("ALPN protocol: http/1.1"));
    assert!(!openssl(port, &["-tls1_1"]).contains("Cipher is TLS"), "TLS 1.1 is refused");
}

#[test]
fn a_new_certificate_is_shown_without_a_restart_and_a_bad_one_is_not() {
    let served = Served::new();
    let shown = |place| {
        let text = openssl(served.port(place), &["-showcerts"]);
        let start = text.find("-----BEGIN CERTIFICATE-----").expect("a certificate");
        text[start..].split("-----END").next().expect("its end").replace('\n', "")
    };
    let written = || {
        let text = fs::read_to_string(served.folder.path().join("tls.crt")).expect("a file");
        text.split("-----END").next().expect("its end").replace(['\n', '\r'], "")
    };
    let first = written();
    assert_eq!((shown(Place::Tls), shown(Place::Https)), (first.clone(), first.clone()));
    assert!(served.server.reload_changed_certificates().is_empty());

    fs::write(served.folder.path().join("tls.key"), "nothing").expect("written");
    let problems = served.server.reload_changed_certificates();
    let [problem] = &problems[..] else { unreachable!("one certificate for all listeners: {problems:?}") };
    assert!(problem.to_string().contains("tls.key has no private key"), "{problem}");
    assert_eq!(shown(Place::Tls), first);
    assert!(served.server.reload_changed_certificates().is_empty(), "a fault is told once");
    assert_eq!(served.server.reload_certificates().len(), 1);

    certify(served.folder.path(), "ns1.example.com");
    assert!(served.server.reload_changed_certificates().is_empty());
    let second = written();
    assert_ne!(first, second);
    assert_eq!((shown(Place::Tls), shown(Place::Https)), (second.clone(), second));
    assert!(served.kdig(Place::Quic, &["+quic", "www.example.com"]).contains("192.0.2.1"));
}

/// RFC 9103 section 7.1 for the refusal, RFC 8945 section 5.3 for its signature, RFC 6891 section 6.1.1 for its OPT record.
#[test]
fn a_transfer_is_refused_without_the_alpn_of_dot_and_the_refusal_is_signed_and_has_edns() {
    let served = Served::new();
    let key = Arc::new(Key::new(name(KEY), Algorithm::HmacSha256, SECRET));
    let asked = |protocols: &[&[u8]], record_type: &str, edns: bool| {
        let plain = query("example.com", record_type);
        let mut request = if edns { with_edns(plain, 1232, 0, 0, &[]) } else { plain };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let check = AnswerCheck::sign(&key, &mut request, now);
        let reply = ask(&mut served.connect(protocols), &request);
        assert_eq!(check.check(&reply, now), Ok(()), "{protocols:?} {record_type}");
        reply
    };
    for (protocols, rcode) in [(&[&b"dot"[..]][..], 0), (&[], 5)] {
        for (edns, additional) in [(false, 1), (true, 2)] {
            let reply = asked(protocols, "AXFR", edns);
            assert_eq!((reply[3] & 15, reply[11]), (rcode, additional), "{protocols:?} {edns}");
            // Nothing else is refused there.
            assert_eq!(asked(protocols, "SOA", edns)[3] & 15, 0);
        }
    }
}

/// RFC 7858 section 3.4 and RFC 8446 section 6.1: who reads the end of a connection must know that it is one.
#[test]
fn stalled_handshakes_hold_nobody_and_connections_end_with_close_notify() {
    let served = Served::new();
    let address = served.server.addresses()[Place::Tls as usize];
    let stalled: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("a connection");
            // The start of a handshake record.
            stream.write_all(&[22, 3, 1, 2, 0, 1]).expect("sent");
            stream
        })
        .collect();
    let mut stream = served.connect(&[]);
    assert_eq!(show(&ask(&mut stream, &query("www.example.com", "A"))).matches("192.0.2.").count(), 2);
    let Served { server, .. } = served;
    server.stop_within(Duration::from_secs(20));
    // Without a close_notify this is an error.
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
    drop(stalled);
}

#[test]
fn a_listener_without_a_good_certificate_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = CertificateFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    for service in listeners(&files) {
        let listener = Listener { address: ANY_PORT, service, options: ListenerOptions::default() };
        let store = Arc::new(SnapshotStore::default());
        let Err(error) = Server::bind(&[listener], 1, &store, &PolicyStore::default()) else {
            unreachable!("there is no certificate")
        };
        assert!(matches!(error, BindError::Certificate { .. }), "{error}");
    }
}
