//! Answers, case by case, with the sentence of the RFC that asks for them.

mod support;

use hickory_proto::op::Message;
use mcdns_serve::{Policy, Responder, Transport};
use rstest::rstest;

use support::{ask, client, lines, name, query, reply, respond, show, snapshot, with_edns};

const PARENT: &str = "
    @ NS ns1
    @ NS ns2.example.net.
    @ MX 10 mail
    ns1 A 192.0.2.53
    ns1 AAAA 2001:db8::53
    mail A 192.0.2.25
    www A 192.0.2.1
    www A 192.0.2.2
    alias CNAME www
    outside CNAME www.example.net.
    dangling CNAME nothing
    empty CNAME mail
    loop1 CNAME loop2
    loop2 CNAME loop1
    self CNAME self
    across CNAME www.other.test.
    _dns._udp SRV 0 0 53 ns1
    _dns._tcp SRV 0 0 53 ns1
    _dns._tcp SRV 0 0 5353 ns1
    a.b.ent TXT deep
    *.wild A 192.0.2.9
    *.wildalias CNAME www
    child NS ns.child
    child NS ns.sibling
    child NS ns.example.net.
    child DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000000
    ns.child A 192.0.2.60
    ns.sibling A 192.0.2.61
    moved DNAME www.other.test.
    tochild CNAME www.child
    web.shop A 192.0.2.80
    web.shop climb
    web.shop.us A 192.0.2.80
    dark.shop climb
";
const OTHER: &str = "
    @ NS ns1
    www A 198.51.100.1
    back CNAME www.example.com.
    deep.www A 198.51.100.2
";
const SOA: &str = "authority example.com. 30 SOA ns1.example.com. hostmaster.example.com. 1 3600 600 604800 30";

#[rstest]
// RFC 1034 section 6.2.1: a plain answer; RFC 1035 section 4.1.1: AA "the responding name server is an authority".
#[case(
    "www.example.com",
    "A",
    "NOERROR aa
    answer www.example.com. 180 A 192.0.2.1
    answer www.example.com. 180 A 192.0.2.2"
)]
// RFC 2308 section 2.2: NODATA is "the RCODE set to NOERROR and no relevant answers in the answer section", with SOA.
#[case(
    "www.example.com",
    "AAAA",
    "NOERROR aa
    SOA"
)]
// RFC 2308 section 2.1 and 5: NXDOMAIN, with SOA; its TTL the smaller of TTL and MINIMUM (section 3).
#[case(
    "nothing.example.com",
    "A",
    "NXDOMAIN aa
    SOA"
)]
#[case(
    "below.www.example.com",
    "A",
    "NXDOMAIN aa
    SOA"
)]
// RFC 8020 section 2 and RFC 4592 section 2.2.2: an empty non-terminal exists.
#[case(
    "b.ent.example.com",
    "A",
    "NOERROR aa
    SOA"
)]
#[case(
    "ent.example.com",
    "TXT",
    "NOERROR aa
    SOA"
)]
// RFC 1034 section 4.3.2 step 3a: "copy the CNAME RR into the answer section …, change QNAME to the canonical name".
#[case(
    "alias.example.com",
    "A",
    "NOERROR aa
    answer alias.example.com. 180 CNAME www.example.com.
    answer www.example.com. 180 A 192.0.2.1
    answer www.example.com. 180 A 192.0.2.2"
)]
#[case(
    "alias.example.com",
    "CNAME",
    "NOERROR aa
    answer alias.example.com. 180 CNAME www.example.com."
)]
#[case(
    "alias.example.com",
    "ANY",
    "NOERROR aa
    answer alias.example.com. 180 CNAME www.example.com."
)]
#[case(
    "outside.example.com",
    "A",
    "NOERROR aa
    answer outside.example.com. 180 CNAME www.example.net."
)]
// Through another zone of ours, and back.
#[case(
    "across.example.com",
    "A",
    "NOERROR aa
    answer across.example.com. 180 CNAME www.other.test.
    answer www.other.test. 180 A 198.51.100.1"
)]
#[case(
    "back.other.test",
    "AAAA",
    "NOERROR aa
    answer back.other.test. 180 CNAME www.example.com.
    SOA"
)]
// RFC 6604 section 3: the RCODE is that of "the last query cycle".
#[case(
    "dangling.example.com",
    "A",
    "NXDOMAIN aa
    answer dangling.example.com. 180 CNAME nothing.example.com.
    SOA"
)]
#[case(
    "empty.example.com",
    "AAAA",
    "NOERROR aa
    answer empty.example.com. 180 CNAME mail.example.com.
    SOA"
)]
// RFC 1034 section 3.6.2: "CNAME chains should be followed and CNAME loops signalled as an error" by who resolves.
#[case(
    "loop1.example.com",
    "A",
    "NOERROR aa
    answer loop1.example.com. 180 CNAME loop2.example.com.
    answer loop2.example.com. 180 CNAME loop1.example.com."
)]
#[case(
    "self.example.com",
    "A",
    "NOERROR aa
    answer self.example.com. 180 CNAME self.example.com."
)]
// RFC 4592 section 3.3: synthesis; 4.3: an alias by wildcard; 2.2.1: NODATA by wildcard.
#[case(
    "x.wild.example.com",
    "A",
    "NOERROR aa
    answer x.wild.example.com. 180 A 192.0.2.9"
)]
#[case(
    "x.y.wild.example.com",
    "A",
    "NOERROR aa
    answer x.y.wild.example.com. 180 A 192.0.2.9"
)]
#[case(
    "x.wild.example.com",
    "AAAA",
    "NOERROR aa
    SOA"
)]
#[case(
    "x.wildalias.example.com",
    "A",
    "NOERROR aa
    answer x.wildalias.example.com. 180 CNAME www.example.com.
    answer www.example.com. 180 A 192.0.2.1
    answer www.example.com. 180 A 192.0.2.2"
)]
// RFC 1034 section 4.3.2 step 6: "attempt to add other RRs which may be useful to the additional section".
#[case(
    "example.com",
    "NS",
    "NOERROR aa
    answer example.com. 180 NS ns1.example.com.
    answer example.com. 180 NS ns2.example.net.
    additional ns1.example.com. 180 A 192.0.2.53
    additional ns1.example.com. 180 AAAA 2001:db8::53"
)]
#[case(
    "example.com",
    "MX",
    "NOERROR aa
    answer example.com. 180 MX 10 mail.example.com.
    additional mail.example.com. 180 A 192.0.2.25"
)]
#[case(
    "_dns._udp.example.com",
    "SRV",
    "NOERROR aa
    answer _dns._udp.example.com. 180 SRV 0 0 53 ns1.example.com.
    additional ns1.example.com. 180 A 192.0.2.53
    additional ns1.example.com. 180 AAAA 2001:db8::53"
)]
// A name that several records share is told once.
#[case(
    "_dns._tcp.example.com",
    "SRV",
    "NOERROR aa
    answer _dns._tcp.example.com. 180 SRV 0 0 53 ns1.example.com.
    answer _dns._tcp.example.com. 180 SRV 0 0 5353 ns1.example.com.
    additional ns1.example.com. 180 A 192.0.2.53
    additional ns1.example.com. 180 AAAA 2001:db8::53"
)]
#[case(
    "example.com",
    "SOA",
    "NOERROR aa
    answer example.com. 3600 SOA ns1.example.com. hostmaster.example.com. 1 3600 600 604800 30"
)]
// RFC 1034 section 4.3.2 step 3b: "copy the NS RRs for the subzone into the authority section of the reply. Put
// whatever addresses are available into the additional section"; not authoritative (section 6.2.6).
#[case(
    "www.child.example.com",
    "A",
    "NOERROR
    authority child.example.com. 180 NS ns.child.example.com.
    authority child.example.com. 180 NS ns.sibling.example.com.
    authority child.example.com. 180 NS ns.example.net.
    additional ns.child.example.com. 180 A 192.0.2.60
    additional ns.sibling.example.com. 180 A 192.0.2.61"
)]
// RFC 4035 section 3.1.4.1: DS is answered by the parent, with authority.
#[case(
    "child.example.com",
    "DS",
    "NOERROR aa
    answer child.example.com. 180 DS 36 octets"
)]
// RFC 1034 section 6.2.7 and RFC 1035 section 4.1.1: AA "corresponds to the name which matches the query name".
#[case(
    "tochild.example.com",
    "A",
    "NOERROR aa
    answer tochild.example.com. 180 CNAME www.child.example.com.
    authority child.example.com. 180 NS ns.child.example.com.
    authority child.example.com. 180 NS ns.sibling.example.com.
    authority child.example.com. 180 NS ns.example.net.
    additional ns.child.example.com. 180 A 192.0.2.60
    additional ns.sibling.example.com. 180 A 192.0.2.61"
)]
// RFC 6672 section 3.1: the answer has a synthesized CNAME, its TTL that of the DNAME.
#[case(
    "deep.moved.example.com",
    "A",
    "NOERROR aa
    answer moved.example.com. 180 DNAME www.other.test.
    answer deep.moved.example.com. 180 CNAME deep.www.other.test.
    answer deep.www.other.test. 180 A 198.51.100.2"
)]
#[case(
    "moved.example.com",
    "A",
    "NOERROR aa
    SOA"
)]
// A level without addresses is a CNAME to the level above, and the chain is whole.
#[case(
    "web.shop.jp-a.jp.example.com",
    "A",
    "NOERROR aa
    answer web.shop.jp-a.jp.example.com. 60 CNAME web.shop.jp.example.com.
    answer web.shop.jp.example.com. 60 CNAME web.shop.example.com.
    answer web.shop.example.com. 180 A 192.0.2.80"
)]
#[case(
    "web.shop.us-a.us.example.com",
    "A",
    "NOERROR aa
    answer web.shop.us-a.us.example.com. 60 CNAME web.shop.us.example.com.
    answer web.shop.us.example.com. 180 A 192.0.2.80"
)]
#[case(
    "web.shop.us-a.us.example.com",
    "CNAME",
    "NOERROR aa
    answer web.shop.us-a.us.example.com. 60 CNAME web.shop.us.example.com."
)]
#[case(
    "dark.shop.us-a.us.example.com",
    "A",
    "NXDOMAIN aa
    answer dark.shop.us-a.us.example.com. 60 CNAME dark.shop.us.example.com.
    answer dark.shop.us.example.com. 60 CNAME dark.shop.example.com.
    SOA"
)]
#[case(
    "shop.us.example.com",
    "A",
    "NOERROR aa
    SOA"
)]
// Outside of all zones.
#[case("www.example.net", "A", "REFUSED")]
#[case(".", "NS", "REFUSED")]
#[case("com", "NS", "REFUSED")]
// Transfers are not given yet; RFC 6895: the other types between 249 and 254 are for questions of their own kind.
#[case("example.com", "AXFR", "REFUSED")]
#[case("example.com", "IXFR", "REFUSED")]
#[case("example.com", "TYPE253", "NOTIMP")]
#[case("example.com", "TYPE41", "FORMERR")]
// RFC 8482 section 4.1: one RRset to ANY; RFC 3597: types that nobody knows.
#[case(
    "ns1.example.com",
    "ANY",
    "NOERROR aa
    answer ns1.example.com. 180 A 192.0.2.53"
)]
#[case(
    "www.example.com",
    "TYPE65280",
    "NOERROR aa
    SOA"
)]
fn the_answer_is(#[case] asked: &str, #[case] record_type: &str, #[case] expected: &str) {
    let both = snapshot(&[("example.com", PARENT), ("other.test", OTHER)]);
    let sorted = |text: &str| {
        // The order within an RRset is of no meaning.
        let text = lines(text).replace("\nSOA", &format!("\n{SOA}"));
        let mut all: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&ask(&both, asked, record_type)), sorted(expected));
}

#[test]
fn id_rd_cd_and_the_case_of_the_question_come_back() {
    let zone = snapshot(&[("example.com", PARENT)]);
    let mut request = query("wWw.ExAmPlE.cOm", "A");
    request[3] = 0x10;
    let reply = respond(&zone, &request, Transport::Udp).expect("an answer");
    assert_eq!(reply[..2], [0x12, 0x34]);
    assert_eq!(reply[2..4], [0x85, 0x10], "QR, AA, RD; CD, no RA");
    assert_eq!(reply[12..request.len()], request[12..]);
    assert_eq!(reply.len(), request.len() + 2 * 16, "no OPT where none was asked for");
    request[2] = 0;
    assert_eq!(respond(&zone, &request, Transport::Udp).expect("an answer")[2], 0x84, "no RD");
}

#[test]
fn the_child_zone_answers_for_itself_and_the_parent_for_its_ds() {
    let both = snapshot(&[("example.com", PARENT), ("child.example.com", "@ NS ns\nwww A 192.0.2.99")]);
    assert_eq!(ask(&both, "www.child.example.com", "A"), "NOERROR aa\nanswer www.child.example.com. 180 A 192.0.2.99");
    assert!(ask(&both, "child.example.com", "DS").starts_with("NOERROR aa\nanswer child.example.com. 180 DS"));
    assert!(ask(&both, "tochild.example.com", "A").ends_with("answer www.child.example.com. 180 A 192.0.2.99"));
}

/// RFC 1035 section 4.1.1, RFC 9619, RFC 6891: what is asked wrongly.
#[test]
fn wrong_requests_get_the_rcode_of_their_fault() {
    let zone = snapshot(&[("example.com", PARENT)]);
    let good = query("www.example.com", "A");
    let change = |at: usize, octet: u8| {
        let mut request = good.clone();
        request[at] = octet;
        request
    };
    let answer = |request: &[u8]| respond(&zone, request, Transport::Udp).map(|reply| show(&reply));
    let rcode = |request: &[u8]| answer(request).map(|text| text.lines().next().unwrap_or_default().to_owned());

    assert_eq!(answer(&good[..11]), None, "shorter than a header");
    assert_eq!(answer(&change(2, 0x80)), None, "an answer");
    assert_eq!(rcode(&change(2, 4 << 3)).as_deref(), Some("NOTAUTH"), "NOTIFY for a name that is no apex");
    assert_eq!(rcode(&change(2, 6 << 3)).as_deref(), Some("NOTIMP"), "stateful operations");
    assert_eq!(rcode(&change(2, 5 << 3)).as_deref(), Some("NOTIMP"), "UPDATE");
    assert_eq!(rcode(&change(5, 0)).as_deref(), Some("FORMERR"), "no question");
    assert_eq!(rcode(&change(5, 2)).as_deref(), Some("FORMERR"), "two questions");
    assert_eq!(rcode(&change(7, 1)).as_deref(), Some("FORMERR"), "an answer in a query");
    assert_eq!(rcode(&change(9, 1)).as_deref(), Some("FORMERR"), "an authority in a query");
    assert_eq!(rcode(&change(11, 1)).as_deref(), Some("FORMERR"), "an additional record that is not there");
    assert_eq!(rcode(&change(12, 0xc0)).as_deref(), Some("FORMERR"), "a compressed question");
    assert_eq!(rcode(&change(12, 64)).as_deref(), Some("FORMERR"), "a label of 64 octets");
    assert_eq!(rcode(&good[..good.len() - 1]).as_deref(), Some("FORMERR"), "half a question");
    assert_eq!(rcode(&change(good.len() - 1, 3)).as_deref(), Some("REFUSED"), "class CH");
    assert_eq!(rcode(&change(good.len() - 1, 255)).as_deref(), Some("REFUSED"), "class ANY");
    let mut garbage = good.clone();
    garbage.extend_from_slice(b"garbage");
    assert_eq!(rcode(&garbage).as_deref(), Some("NOERROR aa"), "octets behind the message are left alone");
}

#[test]
fn edns_follows_rfc_6891() {
    let zone = snapshot(&[("example.com", PARENT)]);
    let good = query("www.example.com", "A");
    let reply = |request: &[u8]| respond(&zone, request, Transport::Udp).expect("an answer");
    let message = |request: &[u8]| Message::from_vec(&reply(request)).expect("a message");

    // Section 6.1.1: "If an OPT record is present in a received request, compliant responders MUST include an OPT
    // record in their respective responses"; 6.2.5: we announce what passes without fragments.
    let plain = message(&with_edns(good.clone(), 4096, 0, 0, &[]));
    let edns = plain.edns.expect("an OPT record");
    assert_eq!((edns.max_payload(), edns.version(), edns.flags().dnssec_ok), (1232, 0, false));
    assert!(message(&good).edns.is_none());
    // RFC 3225 section 3: "The DO bit of the query MUST be copied in the response."
    let wants_dnssec = message(&with_edns(good.clone(), 1232, 0, 0x80, &[]));
    assert!(wants_dnssec.edns.is_some_and(|edns| edns.flags().dnssec_ok));
    // Section 6.1.2: "Any OPTION-CODE values not understood by a responder … MUST be ignored."
    let unknown = with_edns(good.clone(), 1232, 0, 0, &[0xff, 0xf0, 0, 2, 1, 2, 0, 10, 0, 0]);
    assert_eq!(message(&unknown).answers.len(), 2);
    // Section 6.1.3: "If a responder does not implement the VERSION level of the request, then it MUST respond with
    // RCODE=BADVERS", which has its high bits in the OPT record.
    let newer = reply(&with_edns(good.clone(), 1232, 1, 0, &[]));
    assert_eq!(show(&newer).lines().next(), Some("BADVERS"));
    assert_eq!((newer[3] & 0x0f, newer.len()), (0, good.len() + 11), "no answer, question and OPT alone");
    // Section 6.1.1: "If a query message with more than one OPT RR is received, a FORMERR (RCODE=1) MUST be returned."
    let twice = with_edns(with_edns(good.clone(), 1232, 0, 0, &[]), 1232, 0, 0, &[]);
    assert_eq!(show(&reply(&twice)), "FORMERR");
    assert!(message(&twice).edns.is_some(), "section 7: the response includes an OPT record");
    // Section 6.1.2: the NAME of an OPT record is the root.
    let mut named = good.clone();
    named[11] = 1;
    named.extend_from_slice(&[1, b'x', 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(show(&reply(&named)), "FORMERR");
    // Section 7: "an option value that is badly formatted".
    assert_eq!(show(&reply(&with_edns(good, 1232, 0, 0, &[0, 10, 0, 9, 1]))), "FORMERR");
}

/// RFC 2181 section 9: TC is set when an RRset that belongs into the answer does not fit, and then all of it is out.
#[rstest]
#[case(None, Transport::Udp, 512)]
#[case(Some(100), Transport::Udp, 512)]
#[case(Some(800), Transport::Udp, 800)]
#[case(Some(65535), Transport::Udp, 1232)]
#[case(None, Transport::Tcp, 65535)]
fn an_answer_keeps_to_its_limit(#[case] payload: Option<u16>, #[case] transport: Transport, #[case] limit: usize) {
    let text =
        |count: usize| format!("x{count} CNAME y{count}\n") + &format!("y{count} TXT some-text-{{}}\n").repeat(count);
    let numbered = |count: usize| {
        let mut number = 0;
        text(count).split("{}").fold(String::new(), |all, part| {
            number += 1;
            if all.is_empty() { part.to_owned() } else { format!("{all}{number:04}{part}") }
        })
    };
    let sizes = [1, 10, 16, 17, 20, 28, 29, 30, 40, 44, 45, 50, 100, 2000];
    let zone = snapshot(&[("example.com", &sizes.map(numbered).concat())]);
    let mut cut = 0;
    for size in sizes {
        let plain = query(&format!("x{size}.example.com"), "TXT");
        let request = payload.map_or(plain.clone(), |payload| with_edns(plain.clone(), payload, 0, 0, &[]));
        let reply = respond(&zone, &request, transport).expect("an answer");
        assert!(reply.len() <= limit, "{} octets for {size} records", reply.len());
        let message = Message::from_vec(&reply).expect("a message");
        // The CNAME, and all texts or none.
        let alias = plain.len() + 12 + format!("y{size}.example.com").len() + 2;
        let whole = alias + size * (12 + 1 + 14);
        let fits = whole + if payload.is_some() { 11 } else { 0 } <= limit;
        assert_eq!(
            (message.answers.len(), message.metadata.truncation),
            if fits { (size + 1, false) } else { (1, true) }
        );
        assert_eq!(message.edns.is_some(), payload.is_some());
        cut += usize::from(!fits);
    }
    assert_eq!(cut > 0, transport == Transport::Udp);
}

/// RFC 9471 section 3.1: "When a name server generates a referral response, it MUST include all available glue
/// records for in-domain name servers in the additional section or MUST set TC=1 if constrained by message size."
#[test]
fn in_domain_glue_that_does_not_fit_sets_tc_and_other_glue_is_left_out() {
    let servers = |domain: &str| {
        (0..12)
            .map(|n| format!("{domain} NS ns{n}.{domain}\nns{n}.{domain} AAAA 2001:db8::{n}\n"))
            .collect::<Vec<_>>()
            .concat()
    };
    let siblings: String = (0..12).map(|n| format!("outer NS ns{n}.inner\n")).collect::<Vec<_>>().concat();
    let zone = snapshot(&[("example.com", &(servers("inner") + &siblings))]);
    let udp = |asked: &str| show(&respond(&zone, &query(asked, "A"), Transport::Udp).expect("an answer"));
    let inner = udp("www.inner.example.com");
    assert_eq!(inner.lines().next(), Some("NOERROR tc"));
    let outer = udp("www.outer.example.com");
    assert_eq!(outer.lines().next(), Some("NOERROR"));
    assert_eq!(outer.matches("authority").count(), 12);
    assert!((1..12).contains(&outer.matches("additional").count()), "as many as fit: {outer}");
    let tcp = respond(&zone, &query("www.inner.example.com", "A"), Transport::Tcp).expect("an answer");
    assert_eq!(show(&tcp).matches("additional").count(), 12);
}

/// RFC 6672 section 2.2: where the name gets too long, the RCODE is YXDOMAIN.
#[test]
fn a_redirection_to_a_name_that_is_too_long_is_yxdomain() {
    let long = ["a".repeat(60), "b".repeat(60), "c".repeat(60)].join(".");
    let zone = snapshot(&[("example.com", &format!("moved DNAME {long}.example.net."))]);
    let text = ask(&zone, &format!("{}.moved.example.com", "x".repeat(60)), "A");
    assert_eq!(text, format!("YXDOMAIN aa\nanswer moved.example.com. 180 DNAME {long}.example.net."));
    assert!(ask(&zone, "x.moved.example.com", "A").starts_with("NOERROR aa"));
}

/// RFC 2181 section 5: no two records of a message are the same, even where a chain comes by one DNAME again.
#[test]
fn a_redirection_that_is_used_twice_stands_in_the_answer_once() {
    let zone =
        snapshot(&[("example.com", "old DNAME new\na.new CNAME B.Old\nb.new A 192.0.2.1\nloop DNAME loop.loop")]);
    let expected = "NOERROR aa\nanswer old.example.com. 180 DNAME new.example.com.\n\
                    answer a.old.example.com. 180 CNAME a.new.example.com.\n\
                    answer a.new.example.com. 180 CNAME b.old.example.com.\n\
                    answer b.old.example.com. 180 CNAME b.new.example.com.\n\
                    answer b.new.example.com. 180 A 192.0.2.1";
    assert_eq!(ask(&zone, "a.old.example.com", "A"), expected);
    let endless = "NOERROR aa\nanswer loop.example.com. 180 DNAME loop.loop.example.com.\n\
                   answer a.loop.example.com. 180 CNAME a.loop.loop.example.com.";
    assert_eq!(ask(&zone, "a.loop.example.com", "A"), endless);
}

#[test]
fn a_chain_ends_after_sixteen_aliases() {
    let aliases: String = (0..40).map(|n| format!("a{n} CNAME a{}\n", n + 1)).collect::<Vec<_>>().concat();
    let zone = snapshot(&[("example.com", &aliases)]);
    assert_eq!(ask(&zone, "a0.example.com", "A").matches("answer").count(), 16);
    assert!(ask(&zone, "a30.example.com", "A").starts_with("NXDOMAIN aa"));
}

/// RFC 1035 section 4.1.4: a pointer reaches the first 16,384 octets only; over TCP an alias may stand behind.
#[test]
fn owners_past_the_reach_of_pointers_are_written_in_full() {
    let hosts: String = (0..900)
        .map(|n| format!("@ NS host{n:04}\nhost{n:04} A 10.0.{}.{}\n", n / 250, n % 250))
        .collect::<Vec<_>>()
        .concat();
    let zone = snapshot(&[("example.com", &hosts)]);
    let reply = respond(&zone, &query("example.com", "NS"), Transport::Tcp).expect("an answer");
    let message = Message::from_vec(&reply).expect("a message");
    assert_eq!((message.answers.len(), message.additionals.len()), (900, 900));
    for record in &message.additionals {
        let number: u32 = record.name.to_string()[4..8].parse().expect("a number");
        assert_eq!(record.data.to_string(), format!("10.0.{}.{}", number / 250, number % 250));
    }
}

#[test]
fn the_reply_says_what_is_in_the_message() {
    let zone = snapshot(&[("example.com", PARENT)]);
    let mut responder = Responder::default();
    let (policy, udp) = (Policy::default(), client(Transport::Udp));
    let newer = with_edns(query("www.example.com", "A"), 1232, 9, 0, &[]);
    assert_eq!(reply(responder.respond(&zone, &policy, &newer, &udp)).map(|reply| reply.rcode), Some(16));
    let none = query(&format!("{}.example.com", name("nothing")), "A");
    let reply = reply(responder.respond(&zone, &policy, &none, &udp)).expect("an answer");
    assert_eq!((reply.rcode, reply.truncated), (3, false));
}
