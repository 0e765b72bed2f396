//! EDNS options and what else is behind the plain path, by RFC.

mod support;

use std::time::Duration;

use mcdns_core::answer::Snapshot;
use mcdns_serve::{Client, Clock, Condition, CookieSecrets, ListenerOptions, Policy, Responder, Transport};
use rstest::rstest;

use support::{client, query, reply, show, snapshot, with_edns};

const ZONE: &str = "
    @ NS ns1
    ns1 A 192.0.2.53
    www A 192.0.2.1
    child NS ns.child
    child DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000000
    ns.child A 192.0.2.60
";
const NSID: u16 = 3;
const SUBNET: u16 = 8;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
const ERROR: u16 = 15;
/// When all of this happens.
const NOW: u64 = 1_559_731_985;

fn zone() -> Snapshot {
    snapshot(&[("example.com", ZONE)])
}

fn policy() -> Policy {
    let cookies = CookieSecrets { current: [7; 16], other: None };
    Policy { nsid: Some((*b"here").into()), cookies: Some(cookies), ..Policy::default() }
}

/// An answer, its parts picked out by hand so that nothing is repaired on the way.
#[derive(Debug, Clone)]
struct Seen {
    octets: Vec<u8>,
    status: String,
    options: Vec<(u16, Vec<u8>)>,
}

impl Seen {
    fn option(&self, code: u16) -> Option<&[u8]> {
        assert!(self.options.iter().filter(|(found, _)| *found == code).count() <= 1, "twice: {code}");
        self.options.iter().find(|(found, _)| *found == code).map(|(_, data)| &data[..])
    }

    fn error(&self) -> Option<u16> {
        self.option(ERROR).map(|data| u16::from_be_bytes([data[0], data[1]]))
    }
}

fn ask_with(zone: &Snapshot, policy: &Policy, options: &ListenerOptions, request: &[u8], client: &Client) -> Seen {
    let mut responder = Responder::with_clock(options.clone(), Clock::new(|| NOW));
    let octets = reply(responder.respond(zone, policy, request, client)).expect("an answer").octets.to_vec();
    let status = show(&octets).lines().next().unwrap_or_default().to_owned();
    Seen { options: options_of(&octets), status, octets }
}

fn ask(policy: &Policy, request: &[u8], transport: Transport) -> Seen {
    ask_with(&zone(), policy, &ListenerOptions::default(), request, &client(transport))
}

/// The options of the OPT record, which is the last record of our answers.
fn options_of(message: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let number = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let skip_name = |mut at: usize| loop {
        match message[at] {
            0 => break at + 1,
            0xc0.. => break at + 2,
            length => at += 1 + usize::from(length),
        }
    };
    let mut at = 12;
    for _ in 0..number(4) {
        at = skip_name(at) + 4;
    }
    let mut options = Vec::new();
    for _ in 0..number(6) + number(8) + number(10) {
        let head = skip_name(at);
        let (data, end) = (head + 10, head + 10 + usize::from(number(head + 8)));
        if number(head) == 41 {
            let mut option = data;
            while option < end {
                let length = usize::from(number(option + 2));
                options.push((number(option), message[option + 4..option + 4 + length].to_vec()));
                option += 4 + length;
            }
            assert_eq!(option, end);
        }
        at = end;
    }
    assert_eq!(at, message.len(), "nothing behind the last record");
    options
}

fn option(code: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short");
    [&code.to_be_bytes(), &length.to_be_bytes(), data].concat()
}

fn www(options: &[Vec<u8>]) -> Vec<u8> {
    with_edns(query("www.example.com", "A"), 1232, 0, 0, &options.concat())
}

/// RFC 5001 section 2.2: there is no NSID option in an answer unless the query has one.
#[test]
fn nsid_is_said_to_who_asks_and_where_there_is_one() {
    assert_eq!(ask(&policy(), &www(&[option(NSID, b"")]), Transport::Udp).option(NSID), Some(&b"here"[..]));
    assert_eq!(ask(&policy(), &www(&[option(PADDING, b"")]), Transport::Udp).options, []);
    assert_eq!(ask(&Policy::default(), &www(&[option(NSID, b"")]), Transport::Udp).options, []);
}

/// RFC 7873 section 5.2.
#[test]
fn a_client_cookie_is_answered_with_a_server_cookie_that_is_good_afterwards() {
    let first = ask(&policy(), &www(&[option(COOKIE, b"client01")]), Transport::Udp);
    assert_eq!(first.status, "NOERROR aa");
    let cookie = first.option(COOKIE).expect("a cookie").to_vec();
    assert_eq!((&cookie[..8], &cookie[8..12], cookie.len()), (&b"client01"[..], &[1, 0, 0, 0][..], 24));
    let again = ask(&policy(), &www(&[option(COOKIE, &cookie)]), Transport::Udp);
    assert_eq!(again.option(COOKIE), Some(&cookie[..]), "fresh enough to be kept");
    // Only the first counts, whatever the others are.
    let two = ask(&policy(), &www(&[option(COOKIE, &cookie), option(COOKIE, b"x")]), Transport::Udp);
    assert_eq!((two.status.as_str(), two.option(COOKIE)), ("NOERROR aa", Some(&cookie[..])));
    // Section 5.2.3: without a policy to ask for them, a wrong one is answered as if it had been the client's alone.
    let wrong = ask(&policy(), &www(&[option(COOKIE, &[9; 24])]), Transport::Udp);
    assert_eq!((wrong.status.as_str(), wrong.option(COOKIE).map(<[u8]>::len)), ("NOERROR aa", Some(24)));
}

/// RFC 7873 section 5.2.2: "FORMERR"; section 5.2: cookies that are not enabled are ignored.
#[rstest]
#[case(0)]
#[case(7)]
#[case(9)]
#[case(15)]
#[case(41)]
fn a_cookie_of_a_wrong_length_is_a_formerr_unless_cookies_are_off(#[case] length: usize) {
    let request = www(&[option(COOKIE, &vec![1; length])]);
    assert_eq!(ask(&policy(), &request, Transport::Udp).status, "FORMERR");
    let off = ask(&Policy::default(), &request, Transport::Udp);
    assert_eq!((off.status.as_str(), &off.options[..]), ("NOERROR aa", &[][..]));
}

/// RFC 7873 section 5.4; without a cookie RFC 9619 section 4 leaves FORMERR.
#[test]
fn a_query_without_a_question_is_for_a_cookie() {
    let empty = vec![0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let with = |options: &[u8]| with_edns(empty.clone(), 1232, 0, 0, options);
    let first = ask(&policy(), &with(&option(COOKIE, b"client01")), Transport::Udp);
    let cookie = first.option(COOKIE).expect("a cookie").to_vec();
    assert_eq!((first.status.as_str(), first.octets.len()), ("NOERROR", 12 + 11 + 28));
    assert_eq!(ask(&policy(), &with(&option(COOKIE, &cookie)), Transport::Udp).status, "NOERROR");
    // "the response SHALL have the RCODE BADCOOKIE if the Server Cookie sent with the query was invalid"
    let invalid = ask(&policy(), &with(&option(COOKIE, &[9; 24])), Transport::Udp);
    assert_eq!((invalid.status.as_str(), invalid.option(COOKIE).map(<[u8]>::len)), ("BADCOOKIE", Some(24)));
    assert_eq!(ask(&policy(), &with(&[]), Transport::Udp).status, "FORMERR");
    assert_eq!(ask(&policy(), &empty, Transport::Udp).status, "FORMERR");
    assert_eq!(ask(&Policy::default(), &with(&option(COOKIE, b"client01")), Transport::Udp).status, "FORMERR");
}

/// RFC 9619 section 4: such a message is incorrectly formatted, and the RCODE is FORMERR.
#[test]
fn two_questions_are_a_formerr_with_opt_and_true_counts() {
    let mut two = query("www.example.com", "A");
    two.extend_from_slice(&query("www.example.com", "AAAA")[12..]);
    two[5] = 2;
    let seen = ask(&policy(), &with_edns(two, 1232, 0, 0, &[]), Transport::Udp);
    assert_eq!((seen.status.as_str(), seen.octets.len()), ("FORMERR", 12 + 11));
    assert_eq!(seen.octets[4..12], [0, 0, 0, 0, 0, 0, 0, 1]);
}

/// RFC 1035 section 4.1.1: NOTIMP; RFC 6891 section 7: an OPT record where there was one.
#[rstest]
#[case(1)]
#[case(2)]
#[case(5)]
#[case(6)]
#[case(15)]
fn other_opcodes_are_not_implemented(#[case] opcode: u8) {
    let mut request = www(&[]);
    request[2] = opcode << 3 | 1;
    let seen = ask(&policy(), &request, Transport::Udp);
    assert_eq!((seen.status.as_str(), seen.error()), ("NOTIMP", Some(21)), "Not Supported");
    assert_eq!(seen.octets[2], 0x80 | opcode << 3 | 1, "the opcode comes back");
    assert_eq!(seen.octets[4..12], [0, 1, 0, 0, 0, 0, 0, 1]);
    // Stateful operations (RFC 8490) have no records at all.
    let bare = [0x12, 0x34, opcode << 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 4, 0, 0, 0, 9];
    assert_eq!(
        ask(&policy(), &bare, Transport::Tcp).octets,
        [&[0x12, 0x34, 0x80 | opcode << 3, 4][..], &[0; 8]].concat()
    );
}

/// RFC 1996 section 3.11 has a NOTIFY go to secondaries; we are the primary.
#[test]
fn a_notify_is_refused_for_our_zones_and_notauth_for_others() {
    let notify = |apex: &str| {
        let mut request = with_edns(query(apex, "SOA"), 1232, 0, 0, &[]);
        request[2] = 4 << 3 | 4;
        ask(&policy(), &request, Transport::Udp)
    };
    assert_eq!((notify("example.com").status.as_str(), notify("example.com").error()), ("REFUSED", Some(18)));
    assert_eq!((notify("example.net").status.as_str(), notify("example.net").error()), ("NOTAUTH", Some(20)));
    assert_eq!(notify("www.example.com").status, "NOTAUTH");
    assert_eq!(notify("example.com").octets[2], 0x80 | 4 << 3);
}

/// RFC 7828 section 3.2.1: over UDP it "MUST" be ignored, and 3.3.2: over TCP the server answers it; section 3.1: in units
/// of 100 milliseconds. RFC 9250 section 5.5.2 forbids it over QUIC.
#[rstest]
#[case(Transport::Udp, None)]
#[case(Transport::Tcp, Some([0, 123]))]
#[case(Transport::Tls, Some([0, 123]))]
#[case(Transport::Https, None)]
#[case(Transport::Quic, None)]
fn keepalive_is_said_over_streams_to_who_asks(#[case] transport: Transport, #[case] expected: Option<[u8; 2]>) {
    let options = ListenerOptions { idle: Duration::from_millis(12_345), ..ListenerOptions::default() };
    let ask = |request: &[u8]| ask_with(&zone(), &policy(), &options, request, &client(transport));
    let seen = ask(&www(&[option(KEEPALIVE, b"")]));
    assert_eq!((seen.status.as_str(), seen.option(KEEPALIVE)), ("NOERROR aa", expected.as_ref().map(|data| &data[..])));
    assert_eq!(ask(&www(&[])).option(KEEPALIVE), None);
}

/// RFC 8467 section 4.1: "responders … pad the corresponding response to a multiple of 468 octets"; RFC 7830 section 4:
/// only where the query was padded, and of no use where everybody can read along.
#[rstest]
#[case(Transport::Udp, false)]
#[case(Transport::Tcp, false)]
#[case(Transport::Tls, true)]
#[case(Transport::Https, true)]
#[case(Transport::Quic, true)]
fn answers_are_padded_on_encrypted_transports(#[case] transport: Transport, #[case] padded: bool) {
    for others in [vec![], vec![option(NSID, b""), option(COOKIE, b"client01")]] {
        let request = www(&[vec![option(PADDING, &[0; 17])], others.clone()].concat());
        let seen = ask(&policy(), &request, transport);
        assert_eq!(seen.octets.len() == 468, padded, "{}", seen.octets.len());
        assert_eq!(seen.options.last().is_some_and(|(code, _)| *code == PADDING), padded, "it comes last");
        assert_eq!(ask(&policy(), &www(&others), transport).option(PADDING), None, "only to who pads");
    }
    let refused = with_edns(query("example.net", "A"), 1232, 0, 0, &option(PADDING, b""));
    assert_eq!(ask(&policy(), &refused, transport).octets.len() == 468, padded, "errors too");
}

#[test]
fn padding_fills_whole_blocks_at_every_size() {
    let texts = (0..40).map(|n| format!("t{n} TXT {}\n", "x".repeat(n * 6 + 1))).collect::<Vec<_>>().concat();
    let long = (0..200).map(|n| format!("long TXT {}{n:03}\n", "y".repeat(250))).collect::<Vec<_>>().concat();
    let zone = snapshot(&[("example.com", &(texts + &long))]);
    for asked in (0..40).map(|n| format!("t{n}.example.com")).chain(["long.example.com".to_owned()]) {
        let request = with_edns(query(&asked, "TXT"), 1232, 0, 0, &option(PADDING, b""));
        let seen = ask_with(&zone, &policy(), &ListenerOptions::default(), &request, &client(Transport::Tls));
        assert_eq!((seen.octets.len() % 468, seen.status.as_str()), (0, "NOERROR aa"), "{asked}");
    }
}

/// RFC 7871 section 7.2.1: FAMILY, SOURCE PREFIX-LENGTH and ADDRESS come back; scope 0 says that the answer is for all.
#[rstest]
#[case(&[0, 1, 24, 0, 198, 51, 100])]
#[case(&[0, 1, 0, 0])]
#[case(&[0, 1, 20, 0, 198, 51, 96])]
#[case(&[0, 1, 32, 0, 198, 51, 100, 7])]
#[case(&[0, 2, 56, 0, 0x20, 1, 0x0d, 0xb8, 0, 0, 1])]
#[case(&[0, 2, 128, 0, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])]
fn the_client_subnet_is_echoed_with_scope_0(#[case] subnet: &[u8]) {
    let seen = ask(&policy(), &www(&[option(SUBNET, subnet)]), Transport::Udp);
    assert_eq!((seen.status.as_str(), seen.option(SUBNET)), ("NOERROR aa", Some(subnet)));
}

/// RFC 7871 section 6: "too few or too many ADDRESS octets, or … non-zero ADDRESS bits set beyond SOURCE PREFIX-LENGTH,
/// SHOULD return FORMERR"; SCOPE PREFIX-LENGTH "MUST be set to 0" in queries.
#[rstest]
#[case(&[])]
#[case(&[0, 1, 24])]
#[case(&[0, 1, 24, 0, 198, 51])]
#[case(&[0, 1, 24, 0, 198, 51, 100, 0])]
#[case(&[0, 1, 20, 0, 198, 51, 100])]
#[case(&[0, 1, 24, 24, 198, 51, 100])]
#[case(&[0, 1, 33, 0, 198, 51, 100, 7, 0])]
#[case(&[0, 2, 129, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]
#[case(&[0, 3, 0, 0])]
#[case(&[0, 0, 8, 0, 10])]
fn a_malformed_client_subnet_is_a_formerr(#[case] subnet: &[u8]) {
    assert_eq!(ask(&policy(), &www(&[option(SUBNET, subnet)]), Transport::Udp).status, "FORMERR");
}

/// RFC 8914 section 4.
#[test]
fn extended_errors_say_why() {
    let with = |condition| Policy { condition, ..Policy::default() };
    let ask = |asked: &str, record_type: &str, condition| {
        let request = with_edns(query(asked, record_type), 1232, 0, 0, &[]);
        let seen = ask(&with(condition), &request, Transport::Udp);
        (seen.status.clone(), seen.error())
    };
    let say = |status: &str, error| (status.to_owned(), error);
    assert_eq!(ask("www.example.com", "A", Condition::Ready), say("NOERROR aa", None));
    assert_eq!(ask("example.net", "A", Condition::Ready), say("REFUSED", Some(20)), "Not Authoritative");
    assert_eq!(ask("example.com", "AXFR", Condition::Ready), say("REFUSED", Some(18)), "Prohibited");
    assert_eq!(ask("example.com", "TYPE253", Condition::Ready), say("NOTIMP", Some(21)), "Not Supported");
    assert_eq!(ask("example.net", "A", Condition::NotReady), say("SERVFAIL", Some(14)), "Not Ready");
    assert_eq!(ask("www.example.com", "A", Condition::NotReady), say("NOERROR aa", None), "what is there is answered");
    assert_eq!(ask("www.example.com", "A", Condition::Stale), say("NOERROR aa", Some(3)), "Stale Answer");
    assert_eq!(ask("nothing.example.com", "A", Condition::Stale), say("NXDOMAIN aa", Some(19)), "Stale NXDOMAIN");
    assert_eq!(ask("example.net", "A", Condition::Stale), say("REFUSED", Some(20)));
    // RFC 6891 section 7: no OPT record to who sent none.
    let plain = query("example.net", "A");
    let seen = self::ask(&Policy::default(), &plain, Transport::Udp);
    assert_eq!((seen.status.as_str(), seen.octets.len()), ("REFUSED", plain.len()));
}

/// RFC 6891 section 6.2.5; a listener may send less or more than others.
#[test]
fn a_listener_announces_and_keeps_its_own_payload() {
    let many = (0..100).map(|n| format!("many A 10.0.0.{n}\n")).collect::<Vec<_>>().concat();
    let zone = snapshot(&[("example.com", &many)]);
    for (own, asked, limit) in [(512, 4096, 512), (1400, 4096, 1400), (4096, 1232, 1232), (1232, 0, 512)] {
        let options = ListenerOptions { udp_payload: own, ..ListenerOptions::default() };
        for more in [vec![], option(NSID, b"")] {
            let request = with_edns(query("many.example.com", "A"), asked, 0, 0, &more);
            let seen = ask_with(&zone, &policy(), &options, &request, &client(Transport::Udp));
            assert_eq!((seen.status.as_str(), seen.octets.len() <= limit), ("NOERROR aa tc", true));
            let opt = seen.octets.len() - 11 - seen.options.iter().map(|(_, data)| 4 + data.len()).sum::<usize>();
            assert_eq!(seen.octets[opt + 3..opt + 5], own.to_be_bytes());
        }
    }
}

/// What the RFCs want in every answer takes room from records, and what is nice to have does not.
#[test]
fn options_keep_to_the_limit_and_the_more_needed_ones_come_first() {
    let nsid = [b'n'; 60];
    let policy = Policy { nsid: Some(nsid.into()), ..policy() };
    let subnet = [0, 1, 24, 0, 198, 51, 100];
    let options = [option(NSID, b""), option(SUBNET, &subnet), option(COOKIE, b"client01")].concat();
    let (mut without_nsid, mut cut) = (0, 0);
    let long = (0..40)
        .map(|n| format!("u{n} TXT {} {}\n", "x".repeat(200), "y".repeat(n * 4 + 60)))
        .collect::<Vec<_>>()
        .concat();
    let zone = snapshot(&[("example.com", &long)]);
    for n in 0..40 {
        let asked = query(&format!("u{n}.example.com"), "TXT");
        let request = with_edns(asked.clone(), 512, 0, 0, &options);
        let seen = ask_with(&zone, &policy, &ListenerOptions::default(), &request, &client(Transport::Udp));
        let records = asked.len() + 12 + 201 + 1 + n * 4 + 60;
        let fits = records + 11 + 11 + 28 <= 512;
        assert_eq!(seen.status, if fits { "NOERROR aa" } else { "NOERROR aa tc" }, "{n}");
        assert!(seen.octets.len() <= 512);
        assert_eq!((seen.option(SUBNET), seen.option(COOKIE).map(<[u8]>::len)), (Some(&subnet[..]), Some(24)));
        without_nsid += usize::from(fits && seen.option(NSID).is_none());
        cut += usize::from(!fits);
    }
    assert!(without_nsid > 0 && cut > 0, "{without_nsid} without NSID, {cut} cut");
}

/// RFC 6891 section 6.1.3, with whatever else is in the message.
#[test]
fn a_newer_version_is_badvers_with_an_opt_record_of_version_0() {
    for opcode in [0, 4 << 3, 5 << 3] {
        let mut request = with_edns(query("www.example.com", "A"), 1232, 1, 0x80, &option(COOKIE, b"x"));
        request[2] = opcode;
        let seen = ask(&policy(), &request, Transport::Udp);
        assert_eq!((seen.status.as_str(), &seen.options[..]), ("BADVERS", &[][..]));
        assert_eq!(
            seen.octets[seen.octets.len() - 6..],
            [1, 0, 0x80, 0, 0, 0],
            "extended RCODE, version, DO, no options"
        );
    }
}

/// RFC 4892 section 2, and BIND's names.
#[test]
fn the_server_tells_its_version_and_identity_where_settings_say_so() {
    let chaos = |policy: &Policy, asked: &str, record_type: &str| {
        let mut request = query(asked, record_type);
        let class = request.len() - 1;
        request[class] = 3;
        ask(policy, &request, Transport::Udp)
    };
    let text = "x".repeat(300);
    let policy = Policy { version: Some("mcdns 1".into()), identity: Some(text.clone().into()), ..Policy::default() };
    for asked in ["version.bind", "VERSION.server"] {
        let seen = chaos(&policy, asked, "TXT");
        assert_eq!(seen.status, "NOERROR aa");
        assert!(seen.octets.ends_with(b"\xc0\x0c\0\x10\0\x03\0\0\0\0\0\x08\x07mcdns 1"));
        assert_eq!(chaos(&Policy::default(), asked, "TXT").status, "REFUSED");
        assert_eq!(chaos(&policy, asked, "A").status, "REFUSED");
        assert_eq!(chaos(&policy, asked, "ANY").status, "NOERROR aa");
    }
    for asked in ["id.server", "hostname.bind"] {
        let seen = chaos(&policy, asked, "TXT");
        let data = [&[255][..], &text.as_bytes()[..255], &[45], &text.as_bytes()[255..]].concat();
        assert!(seen.octets.ends_with(&data), "strings of at most 255 octets");
        assert_eq!(chaos(&Policy::default(), asked, "TXT").status, "REFUSED");
    }
    assert_eq!(chaos(&policy, "authors.bind", "TXT").status, "REFUSED");
    assert_eq!(chaos(&policy, "www.example.com", "A").status, "REFUSED", "no zone is of class CH");
    // "version.bind" of class IN is a name like any other.
    assert_eq!(ask(&policy, &query("version.bind", "TXT"), Transport::Udp).status, "REFUSED");
}

/// RFC 3225 section 3: DNSSEC records go to who asked for them or sets DO; RFC 4035 section 3.1.4: DS with a referral.
#[test]
fn a_referral_has_the_ds_for_clients_that_set_do() {
    let ask = |flags: u8| {
        let request = with_edns(query("www.child.example.com", "A"), 1232, 0, flags, &[]);
        show(&ask(&Policy::default(), &request, Transport::Udp).octets)
    };
    assert!(ask(0x80).contains("\nauthority child.example.com. 180 DS"));
    assert!(!ask(0).contains(" DS "));
}

#[test]
fn who_has_a_good_cookie_is_trusted_whatever_is_asked() {
    let policy = Policy { version: Some("1".into()), ..policy() };
    let first = ask(&policy, &www(&[option(COOKIE, b"client01")]), Transport::Udp);
    let cookie = option(COOKIE, first.option(COOKIE).expect("a cookie"));
    let mut version = query("version.bind", "TXT");
    *version.last_mut().expect("a class") = 3;
    for asked in [query("www.example.com", "A"), query("www.example.org", "A"), query("example.com", "AXFR"), version] {
        for (cookie, trusted) in [(&cookie, true), (&option(COOKIE, b"client01"), false)] {
            let request = with_edns(asked.clone(), 1232, 0, 0, cookie);
            let mut responder = Responder::with_clock(ListenerOptions::default(), Clock::new(|| NOW));
            let answer = responder.respond(&zone(), &policy, &request, &client(Transport::Udp));
            let reply = reply(answer).expect("an answer");
            assert_eq!(reply.trusted, trusted, "{}", show(reply.octets));
        }
    }
}
