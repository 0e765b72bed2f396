//! Signed requests (RFC 8945), as their clients see them: ours, and dig and kdig.

mod support;

use std::{
    io::{Read as _, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hickory_proto::op::Message;
use mcdns_core::answer::Snapshot;
use mcdns_serve::{
    Algorithm, AnswerCheck, AnswerError, Clock, Key, KeyRing, Listener, ListenerOptions, Policy, PolicyStore,
    Responder, Server, SnapshotStore, Transport, TsigError, TsigFailures,
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use rstest::rstest;

use support::{client, name, query, reply, respond, show, snapshot, with_edns};

/// 2023-11-14.
const NOW: u64 = 1_700_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// The same in base 64.
const SECRET_TEXT: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn key(text: &str, algorithm: Algorithm) -> Arc<Key> {
    Arc::new(Key::new(name(text), algorithm, SECRET))
}

/// A policy with one key for each algorithm, named after it, and one whose MACs may be cut.
fn policy() -> Policy {
    let keys = Algorithm::ALL.map(|algorithm| Key::new(name(algorithm.name()), algorithm, SECRET));
    let cut = Key::new(name("cut"), Algorithm::HmacSha256, SECRET).with_mac_length(20).expect("a good length");
    Policy { keys: KeyRing::new(keys.into_iter().chain([cut])), ..Policy::default() }
}

fn zone() -> Snapshot {
    let texts: String = (0..100).map(|n| format!("big TXT text-number-{n:03}\n")).collect::<Vec<_>>().concat();
    let middle = ["s", "t"].map(|letter| format!("middle TXT {}\n", letter.repeat(200))).concat();
    let labels = ["a", "b", "c"].map(|letter| letter.repeat(63)).join(".");
    let zone = format!("www A 192.0.2.1\nalias CNAME big\n{middle}{labels} A 192.0.2.9\n{texts}");
    snapshot(&[("example.com", &zone)])
}

/// The answer at NOW.
fn at_now(request: &[u8], transport: Transport) -> Vec<u8> {
    let mut responder = Responder::with_clock(ListenerOptions::default(), Clock::new(|| NOW));
    reply(responder.respond(&zone(), &policy(), request, &client(transport))).expect("an answer").octets.to_vec()
}

fn signed(mut request: Vec<u8>, key: &Arc<Key>, now: u64) -> (Vec<u8>, AnswerCheck) {
    let check = AnswerCheck::sign(key, &mut request, now);
    (request, check)
}

/// RCODE, TC, and the records by section.
fn shape(message: &[u8]) -> (u8, bool, [u8; 4]) {
    (message[3] & 15, message[2] & 2 != 0, [message[5], message[7], message[9], message[11]])
}

#[rstest]
#[case(query("www.example.com", "A"))]
#[case(with_edns(query("www.example.com", "A"), 1232, 0, 0, &[]))]
#[case(query("nothing.example.com", "A"))]
#[case(query("www.example.net", "A"))]
#[case(query("www.example.com", "AXFR"))]
#[case(with_edns(query("www.example.com", "A"), 1232, 1, 0, &[]))]
#[case(with_edns(with_edns(query("www.example.com", "A"), 1232, 0, 0, &[]), 1232, 0, 0, &[]))]
fn a_signed_request_gets_the_answer_of_an_unsigned_one_and_a_signature(#[case] request: Vec<u8>) {
    for transport in Transport::ALL {
        let (asked, check) = signed(request.clone(), &key("hmac-sha256", Algorithm::HmacSha256), NOW);
        let answer = at_now(&asked, transport);
        assert_eq!(check.check(&answer, NOW), Ok(()));
        let mut plain = at_now(&request, transport);
        plain[11] += 1;
        // Where answers are padded, the signature is behind the padding.
        if transport.is_encrypted() {
            assert_eq!(plain[..12], answer[..12]);
        } else {
            assert_eq!(plain, answer[..plain.len()], "{}", show(&answer));
        }
    }
}

/// RFC 8945 section 5.3: "If addition of the TSIG record will cause the message to be truncated, the server MUST alter the
/// response so that a TSIG can be included. This response contains only the question and a TSIG record, has the TC bit
/// set, and has an RCODE of 0 (NOERROR)."
#[test]
fn an_answer_that_leaves_no_room_for_its_signature_is_truncated_to_the_question() {
    let key = key("hmac-sha512", Algorithm::HmacSha512);
    for (request, additional) in [
        (query("alias.example.com", "TXT"), 1),
        (query("big.example.com", "TXT"), 1),
        (with_edns(query("big.example.com", "TXT"), 1232, 0, 0, &[]), 2),
    ] {
        let (asked, check) = signed(request, &key, NOW);
        let answer = at_now(&asked, Transport::Udp);
        assert_eq!(shape(&answer), (0, true, [1, 0, 0, additional]));
        assert_eq!(check.check(&answer, NOW), Ok(()));
        let answer = at_now(&asked, Transport::Tcp);
        assert!(!shape(&answer).1 && shape(&answer).2[1] >= 100);
        assert_eq!(check.check(&answer, NOW), Ok(()));
    }
    // What fits until it is signed.
    let request = query("middle.example.com", "TXT");
    assert_eq!(shape(&at_now(&request, Transport::Udp)), (0, false, [1, 2, 0, 0]));
    let (asked, check) = signed(request, &key, NOW);
    let answer = at_now(&asked, Transport::Udp);
    assert_eq!((shape(&answer), check.check(&answer, NOW)), ((0, true, [1, 0, 0, 1]), Ok(())));
    // What does not even leave room for the question.
    let labels = ["a", "b", "c"].map(|letter| letter.repeat(63)).join(".");
    let request = query(&format!("{labels}.example.com"), "A");
    let answer = at_now(&request, Transport::Udp);
    assert_eq!(shape(&answer), (0, false, [1, 1, 0, 0]));
    let long = Arc::new(Key::new(name(&format!("{labels}.key")), Algorithm::HmacSha512, SECRET));
    let (asked, check) = signed(request, &long, NOW);
    let policy = Policy { keys: KeyRing::new([(*long).clone()]), ..Policy::default() };
    let mut responder = Responder::with_clock(ListenerOptions::default(), Clock::new(|| NOW));
    let answer = reply(responder.respond(&zone(), &policy, &asked, &client(Transport::Udp))).expect("an answer");
    assert!(answer.octets.len() <= 512 && answer.truncated);
    assert_eq!(shape(answer.octets), (0, true, [0, 0, 0, 1]));
    assert_eq!(check.check(answer.octets, NOW), Ok(()));
}

#[test]
fn what_is_wrong_with_a_signature_is_said_and_counted() {
    let failures = Arc::<TsigFailures>::default();
    let (zone, policy) = (zone(), policy());
    let responder = Responder::with_clock(ListenerOptions::default(), Clock::new(|| NOW));
    let mut responder = responder.with_tsig_failures(Arc::clone(&failures));
    let plain = query("www.example.com", "A");
    let sha256 = key("hmac-sha256", Algorithm::HmacSha256);
    let short = Arc::new((*sha256).clone().with_mac_length(16).expect("a good length"));
    let damage = |(mut request, check): (Vec<u8>, AnswerCheck), at: usize| {
        let at = if at == 0 { request.len() - 7 } else { at };
        request[at] ^= 1;
        (request, check)
    };
    let twice = |(request, check): (Vec<u8>, AnswerCheck)| {
        let mut request = [&request[..], &request[plain.len()..]].concat();
        request[11] += 1;
        (request, check)
    };
    let refused = |code| Err(AnswerError::Refused(code));
    // The query, when the answer is checked, its RCODE, what the check says, and what is counted. The signature of
    // BADTIME is over the client's own time.
    for ((request, check), now, rcode, expected, error) in [
        (signed(plain.clone(), &key("unknown", Algorithm::HmacSha256), NOW), NOW, 9, refused(17), TsigError::BadKey),
        (signed(plain.clone(), &key("hmac-sha256", Algorithm::HmacSha1), NOW), NOW, 9, refused(17), TsigError::BadKey),
        (damage(signed(plain.clone(), &sha256, NOW), 0), NOW, 9, refused(16), TsigError::BadSignature),
        (damage(signed(plain.clone(), &sha256, NOW), 13), NOW, 9, refused(16), TsigError::BadSignature),
        (signed(plain.clone(), &sha256, NOW - 301), NOW - 301, 9, refused(18), TsigError::BadTime),
        (signed(plain.clone(), &sha256, NOW + 301), NOW + 301, 9, refused(18), TsigError::BadTime),
        (signed(plain.clone(), &short, NOW), NOW, 9, refused(22), TsigError::BadTruncation),
        (
            damage(signed(plain.clone(), &sha256, NOW), plain.len() + 16),
            NOW,
            1,
            Err(AnswerError::Unsigned),
            TsigError::Malformed,
        ),
    ] {
        let before = failures.totals().of(error);
        let answer = reply(responder.respond(&zone, &policy, &request, &client(Transport::Udp))).expect("an answer");
        assert_eq!((answer.rcode, shape(answer.octets).0), (u16::from(rcode), rcode), "{error}");
        assert_eq!(shape(answer.octets).2[1], 0, "nothing is told to who is not believed");
        assert_eq!(check.check(answer.octets, now), expected, "{error}");
        assert_eq!(failures.totals().of(error), before + 1, "{error}");
    }
    // Refused before anybody asks for a key: RFC 8945 section 5.1.
    let (request, check) = twice(signed(plain.clone(), &sha256, NOW));
    let answer = reply(responder.respond(&zone, &policy, &request, &client(Transport::Udp))).expect("an answer");
    assert_eq!(shape(answer.octets), (1, false, [1, 0, 0, 0]));
    assert_eq!(check.check(answer.octets, NOW), Err(AnswerError::Unsigned));
    for count in [7, 9] {
        let (mut request, _) = signed(plain.clone(), &sha256, NOW);
        (request[count], request[11]) = (1, 0);
        let answer = reply(responder.respond(&zone, &policy, &request, &client(Transport::Udp))).expect("an answer");
        assert_eq!(shape(answer.octets), (1, false, [1, 0, 0, 0]), "TSIG in another section");
    }
}

proptest! {
    /// Whatever is wrong with it, a signed query is survived, and its answer keeps to the limit and can be read.
    #[test]
    fn damaged_signed_queries_are_survived(
        algorithm in select(&Algorithm::ALL[..]),
        label in 1_usize..64,
        has_edns in any::<bool>(),
        damage in vec((any::<Index>(), any::<u8>()), 0..4),
        rest in vec(any::<u8>(), 0..3),
    ) {
        let asked = format!("{}.{}.example.com", "x".repeat(label), "y".repeat(label));
        let plain = query(&asked, "A");
        let plain = if has_edns { with_edns(plain, 1232, 0, 0, &[]) } else { plain };
        let (mut request, check) = signed(plain, &key(algorithm.name(), algorithm), NOW);
        for (at, octet) in &damage {
            let at = at.index(request.len());
            request[at] = *octet;
        }
        request.extend(&rest);
        if request[2] & 0x80 == 0 {
            let answer = at_now(&request, Transport::Udp);
            prop_assert!(answer.len() <= if has_edns { 1232 } else { 512 }, "{}", answer.len());
            let message = Message::from_vec(&answer);
            prop_assert!(message.is_ok(), "{:?}", message);
            prop_assert!(check.check(&answer, NOW).is_ok() || !damage.is_empty() || !rest.is_empty());
        }
    }
}

/// What is logged, in lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_refused_signature_is_logged_with_client_and_key_a_few_times_a_second_and_without_secrets() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let key = key("hmac-sha256", Algorithm::HmacSha256);
    let wrong = Arc::new(Key::new(name("hmac-sha256"), Algorithm::HmacSha256, &b"some other secret"[..]));
    let plain = || query("www.example.com", "A");
    tracing::subscriber::with_default(subscriber, || {
        let (zone, policy) = (zone(), policy());
        let mut responder = Responder::with_clock(ListenerOptions::default(), Clock::new(|| NOW));
        let requests = [signed(plain(), &wrong, NOW).0, signed(plain(), &key, NOW - 1000).0];
        for request in requests.iter().cycle().take(1000) {
            let _ = responder.respond(&zone, &policy, request, &client(Transport::Udp));
        }
    });
    let text = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    for (line, error) in lines.iter().zip(["BADSIG", "BADTIME"].into_iter().cycle()) {
        let message = "WARN mcdns_serve::tsig::failures: a signed request is refused client=192.0.2.200:5353 \
                       key=hmac-sha256 error=";
        let off = if error == "BADTIME" { " clock_off=1000" } else { "" };
        assert!(line.ends_with(&format!("{message}\"{error}\"{off} suppressed=0")), "{line}");
    }
}

#[test]
fn an_unsigned_request_is_answered_as_before_where_there_are_keys() {
    let request = query("www.example.com", "A");
    assert_eq!(at_now(&request, Transport::Udp), respond(&zone(), &request, Transport::Udp).expect("an answer"));
}

/// A server at the time of the system with all keys.
fn server() -> Server {
    let store = Arc::new(SnapshotStore::new(zone()));
    Server::bind(&[Listener::plain(ANY_PORT)], 1, &store, &PolicyStore::new(policy())).expect("a free port")
}

/// What a program prints; it must end well.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn ask(program: &str, address: SocketAddr, key: &str, more: &[&str]) -> String {
    let (server, port) = (format!("@{}", address.ip()), address.port().to_string());
    run(program, &[&["-y", key, &server, "-p", &port, "+norec"][..], more].concat())
}

/// dig cuts MACs where bits follow the name of the algorithm, and keeps the name itself whole.
#[rstest]
#[case("dig", &["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha256-128", "hmac-sha384", "hmac-sha384-192", "hmac-sha512", "hmac-sha512-256"])]
#[case("kdig", &["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"])]
fn other_programs_are_believed_and_believe(#[case] program: &str, #[case] algorithms: &[&str]) {
    let server = server();
    let address = server.addresses()[0];
    let doubt = |text: &str| text.contains("verif") || text.contains("failed");
    for algorithm in algorithms {
        for transport in [&[][..], &["+tcp"]] {
            let key = format!("{algorithm}:{algorithm}:{SECRET_TEXT}");
            let text = ask(program, address, &key, &[transport, &["www.example.com", "A"]].concat());
            assert!(text.contains("192.0.2.1") && text.contains("NOERROR") && !doubt(&text), "{text}");
            assert!(text.contains("TSIG"), "{text}");
            // Truncated first over UDP, with a signature that must hold as well.
            let text = ask(program, address, &key, &[transport, &["big.example.com", "TXT"]].concat());
            assert!(text.contains("text-number-099") && !doubt(&text), "{text}");
        }
    }
    assert_eq!(TsigError::ALL.map(|error| server.vitals().tsig_failures().totals().of(error)), [0; 5]);

    let wrong = "d3Jvbmcgd3Jvbmcgd3Jvbmc=";
    let text = ask(program, address, &format!("hmac-sha256:hmac-sha256:{wrong}"), &["www.example.com", "A"]);
    assert!(text.contains("BADSIG") && !text.contains("192.0.2.1"), "{text}");
    let text = ask(program, address, &format!("hmac-sha256:nobody:{SECRET_TEXT}"), &["www.example.com", "A"]);
    assert!(text.contains("BADKEY") && !text.contains("192.0.2.1"), "{text}");
    let totals = server.vitals().tsig_failures().totals();
    // A program may ask again.
    assert!(totals.of(TsigError::BadSignature) >= 1 && totals.of(TsigError::BadKey) >= 1);
}

#[test]
fn dig_is_told_when_it_cuts_too_much() {
    let server = server();
    let address = server.addresses()[0];
    let asked = ["www.example.com", "A"];
    let text = ask("dig", address, &format!("hmac-sha256-160:cut:{SECRET_TEXT}"), &asked);
    assert!(text.contains("192.0.2.1") && !text.contains("WARNING"), "{text}");
    for key in ["hmac-sha256-152:cut", "hmac-sha256-248:hmac-sha256"] {
        let text = ask("dig", address, &format!("{key}:{SECRET_TEXT}"), &asked);
        assert!(text.contains("NOTAUTH") && text.contains("BADTRUNC"), "{text}");
    }
}

/// Answers over UDP with another clock, until it is dropped.
struct Late(SocketAddr, Arc<AtomicBool>, Option<thread::JoinHandle<()>>);

impl Late {
    fn start() -> Self {
        let socket = UdpSocket::bind(ANY_PORT).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let (address, stop) = (socket.local_addr().expect("an address"), Arc::<AtomicBool>::default());
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (zone, policy) = (zone(), policy());
            let mut responder = Responder::with_clock(ListenerOptions::default(), Clock::new(|| NOW));
            let mut request = [0; 4096];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut request) else { continue };
                let answer = responder.respond(&zone, &policy, &request[..length], &client(Transport::Udp));
                socket.send_to(reply(answer).expect("an answer").octets, from).expect("sent");
            }
        });
        Self(address, stop, Some(thread))
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
        self.2.take().map(thread::JoinHandle::join);
    }
}

#[rstest]
#[case("dig")]
#[case("kdig")]
fn other_programs_are_told_that_clocks_differ(#[case] program: &str) {
    let late = Late::start();
    let key = format!("hmac-sha256:hmac-sha256:{SECRET_TEXT}");
    let text = ask(program, late.0, &key, &["+notcp", "www.example.com", "A"]);
    // dig prints RCODE and error, kdig the error.
    assert!(text.contains("NOTAUTH") || program == "kdig", "{text}");
    assert!(text.contains("BADTIME") && !text.contains("BADSIG") && !text.contains("192.0.2.1"), "{text}");
}

/// A transfer of three messages, each signed: RFC 8945 section 5.3.1.
#[rstest]
#[case("dig")]
#[case("kdig")]
fn other_programs_believe_a_signed_stream(#[case] program: &str) {
    for algorithm in [Algorithm::HmacSha1, Algorithm::HmacSha256, Algorithm::HmacSha512] {
        let listener = TcpListener::bind(ANY_PORT).expect("a port");
        let address = listener.local_addr().expect("an address");
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut length = [0; 2];
            stream.read_exact(&mut length).expect("a length");
            let mut request = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut request).expect("a request");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
            let mut signer = policy().keys.verify(&request, now).expect("good").expect("signed");
            for record_type in ["SOA", "A", "SOA"] {
                let asked = if record_type == "A" { "www.example.com" } else { "example.com" };
                let mut message = respond(&zone(), &query(asked, record_type), Transport::Tcp).expect("an answer");
                message[..2].copy_from_slice(&request[..2]);
                // The question is that of the transfer.
                let question_end = 12 + asked.len() + 2 + 4;
                message.splice(question_end - 4..question_end - 2, [0, 252]);
                if record_type == "A" {
                    message.drain(12..question_end);
                    message[5] = 0;
                    message.splice(12..14, *b"\x03www\x07example\x03com\x00");
                }
                signer.sign(&mut message, now);
                let length = u16::try_from(message.len()).expect("short").to_be_bytes();
                stream.write_all(&[&length, &message[..]].concat()).expect("sent");
            }
        });
        let key = format!("{algorithm}:{algorithm}:{SECRET_TEXT}");
        let text = ask(program, address, &key, &["example.com", "AXFR"]);
        thread.join().expect("no panic");
        assert!(text.contains("192.0.2.1") && text.matches("SOA").count() >= 2, "{text}");
        assert!(!text.contains("verif") && !text.contains("failed"), "{text}");
    }
}

#[test]
fn the_other_program_does_look_at_signatures() {
    // A control for the tests above: what answers without a signature is not believed.
    let listener = UdpSocket::bind(ANY_PORT).expect("a socket");
    let address = listener.local_addr().expect("an address");
    let thread = thread::spawn(move || {
        let mut request = [0; 512];
        let (_, from) = listener.recv_from(&mut request).expect("a request");
        let mut answer = respond(&zone(), &query("www.example.com", "A"), Transport::Udp).expect("an answer");
        answer[..2].copy_from_slice(&request[..2]);
        listener.send_to(&answer, from).expect("sent");
    });
    let key = format!("hmac-sha256:hmac-sha256:{SECRET_TEXT}");
    let text = ask("dig", address, &key, &["+notcp", "+tries=1", "+time=5", "www.example.com", "A"]);
    thread.join().expect("no panic");
    assert!(text.contains("Couldn't verify signature"), "{text}");
}
