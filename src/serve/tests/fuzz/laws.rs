//! What an answer owes its request, whatever the request.

use hickory_proto::op::Message;
use mcdns_serve::{ListenerOptions, Reply, Transport};

use crate::{
    exchange::Exchange,
    strict::{self, Read, Record},
    world::NOW,
};

/// RCODEs that we give.
const RCODES: [u16; 10] = [0, 1, 2, 3, 4, 5, 6, 9, 16, 23];
const REFERENCE: &str = "a message that a foreign parser reads";

/// What of a request is to be seen in its answer, as a reader of its own finds it.
pub(crate) struct Asked {
    /// Name, type, class, and where it ends; none where there is not exactly one that can be read.
    question: Option<strict::Question>,
    /// Payload size and DO of all OPT records; none where the message cannot be read to its end.
    opts: Option<Vec<(u16, bool)>>,
    /// Whether there is one TSIG record in what can be read to its end.
    signed: bool,
}

/// True for what gets no answer.
pub(crate) fn is_silence(request: &[u8]) -> bool {
    request.len() < 12 || request[2] & 0x80 != 0
}

/// True if a server that believes the counts of the header finds a signature at the end.
pub(crate) fn is_signed(request: &[u8]) -> bool {
    Asked::read(request).signed
}

/// Holds one answer against its request.
pub(crate) fn check(exchange: &Exchange, options: &ListenerOptions, apexes: &[Vec<u8>], reply: &Reply<'_>) {
    let Exchange { request, transport, .. } = exchange;
    let asked = Asked::read(request);
    let octets = reply.octets;
    let limit = asked.limit(*transport, options);
    assert!(octets.len() <= limit, "{} octets where {limit} are allowed", octets.len());
    let read = strict::read(octets).expect("a well-formed answer");
    if !has_subnet_without_family(octets, &read) {
        Message::from_vec(octets).expect(REFERENCE);
    }
    check_header(request, octets, &read, reply);
    check_question(&asked, request, octets, &read, reply);
    check_opt(&asked, &read, options, *transport);
    check_records(apexes, octets, &read, reply);
    if let Some(check) = &exchange.check
        && asked.signed
    {
        // Refused, or signed: never an answer that is not to be believed.
        match check.check(octets, NOW) {
            Ok(()) => {}
            Err(error) => assert!(reply.rcode == 9 || reply.rcode == 1, "{error} with RCODE {}", reply.rcode),
        }
    }
}

/// True for a client subnet of family 0, which RFC 7871 section 7.1.2 has, and which hickory-proto and dnspython do not know.
pub(crate) fn has_subnet_without_family(octets: &[u8], read: &Read) -> bool {
    let options = read.opt.iter().flat_map(|opt| &opt.options);
    options.into_iter().any(|(code, data)| *code == 8 && octets[data.clone()].starts_with(&[0, 0]))
}

fn check_header(request: &[u8], octets: &[u8], read: &Read, reply: &Reply<'_>) {
    assert_eq!(octets[..2], request[..2], "the ID");
    assert_eq!(octets[2] & 0xf9, 0x80 | request[2] & 0x79, "QR, opcode and RD");
    assert_eq!(octets[3] & 0xf0, request[3] & 0x10, "CD, and nothing in RA, Z and AD");
    let extended = read.opt.as_ref().map_or(0, |opt| u16::from(opt.extended));
    let rcode = extended << 4 | u16::from(octets[3] & 15);
    // Without an OPT record there is no room for the rest; the only RCODE that needs it and can be without is BADVERS.
    assert_eq!(rcode, reply.rcode, "the RCODE that is counted is the one that is sent");
    assert!(RCODES.contains(&rcode), "RCODE {rcode}");
    assert_eq!(octets[2] & 2 != 0, reply.truncated, "TC");
}

fn check_question(asked: &Asked, request: &[u8], octets: &[u8], read: &Read, reply: &Reply<'_>) {
    let Some(question) = &asked.question else {
        assert!(read.question.is_none(), "no question was read, and one is echoed");
        return;
    };
    assert_eq!(reply.record_type.0, question.record_type, "the type that is counted");
    if read.question.is_none() {
        // Names so long that not even the question fits in front of the signature.
        assert!(reply.truncated && read.tsig && asked.signed, "the question is missing");
        return;
    }
    assert_eq!(octets[12..question.end], request[12..question.end], "the question as it was asked");
}

fn check_opt(asked: &Asked, read: &Read, options: &ListenerOptions, transport: Transport) {
    if let Some(opts) = &asked.opts {
        let is_cut = read.question.is_none() && read.tsig;
        assert!(read.opt.is_some() != opts.is_empty() || is_cut, "OPT for those who sent one");
    }
    let Some(opt) = &read.opt else { return };
    assert_eq!((opt.payload, opt.version), (options.udp_payload, 0));
    if let Some([(_, dnssec_ok)]) = asked.opts.as_deref() {
        assert_eq!(opt.dnssec_ok, *dnssec_ok, "DO is copied (RFC 3225 section 3)");
    }
    let mut once: Vec<u16> = opt.options.iter().map(|(code, _)| *code).collect();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), opt.options.len(), "each option once");
    for option in once {
        match option {
            3 | 8 | 10 | 15 => {}
            11 => assert!(matches!(transport, Transport::Tcp | Transport::Tls), "keepalive"),
            12 => assert!(transport.is_encrypted(), "padding"),
            _ => assert_eq!(option, 0, "an option of ours"),
        }
    }
}

/// Every name is one of ours and has to do with the question.
fn check_records(apexes: &[Vec<u8>], octets: &[u8], read: &Read, reply: &Reply<'_>) {
    let all = || read.answers.iter().chain(&read.authorities).chain(&read.additionals);
    let Some(question) = read.question.as_ref().filter(|_| matches!(reply.rcode, 0 | 3 | 6)) else {
        assert_eq!(all().count(), 0, "records with RCODE {}", reply.rcode);
        return;
    };
    for record in all() {
        assert!(record.ttl <= 0x7fff_ffff, "a TTL past its end");
    }
    if question.class == 3 {
        assert!(read.authorities.is_empty() && read.additionals.is_empty());
        assert!(read.answers.iter().all(|record| (record.record_type, record.class) == (16, 3)));
        assert!(read.answers.iter().all(|record| record.owner == question.name));
        return;
    }
    let is_ours = |name: &[u8]| apexes.iter().any(|apex| is_at_or_below(name, apex));
    for record in all() {
        assert_eq!(record.class, 1, "class IN");
        assert!(is_ours(&record.owner), "a name of somebody else: {:?}", String::from_utf8_lossy(&record.owner));
    }
    // Transfers over UDP have any record of the zone, and those that come and go twice.
    if question.record_type == 251 {
        return;
    }
    check_duplicates(octets, read);
    let last = follow(read, question);
    for record in &read.authorities {
        let is_ds = record.record_type == 43 && read.opt.as_ref().is_some_and(|opt| opt.dnssec_ok);
        assert!(matches!(record.record_type, 2 | 6) || is_ds, "type {} as authority", record.record_type);
        assert!(is_at_or_below(last, &record.owner), "an authority for another name");
        assert!(record.record_type != 6 || apexes.contains(&record.owner), "an SOA below an apex");
    }
    let targets: Vec<&[u8]> = all().map(led_to).collect();
    for record in &read.additionals {
        assert!(matches!(record.record_type, 1 | 28 | 64 | 65), "type {} as additional data", record.record_type);
        assert!(targets.contains(&&*record.owner), "additional data that nothing asks for");
    }
    let has = |record_type: u16| read.authorities.iter().any(|record| record.record_type == record_type);
    if reply.truncated {
        return;
    }
    match reply.rcode {
        3 => assert!(has(6) && read.authorities.len() == 1, "NXDOMAIN with an SOA"),
        // The end of a chain may be somebody else's.
        0 if question.class == 1 && read.answers.is_empty() && octets[2] & 0x78 == 0 => {
            assert!(has(6) || has(2), "neither answer nor referral nor SOA");
            assert!(has(2) || octets[2] & 4 != 0, "AA where there is an SOA");
        }
        _ => {}
    }
}

/// Follows the chain of the answer section, all of which must belong to it; gives the last name.
fn follow<'r>(read: &'r Read, question: &'r strict::Question) -> &'r [u8] {
    let mut name: &[u8] = &question.name;
    let mut ended = false;
    for record in &read.answers {
        if record.record_type == 39 && record.owner != name {
            assert!(is_at_or_below(name, &record.owner) && !ended, "a DNAME for another name");
            continue;
        }
        assert!(record.owner == name, "an answer for another name");
        if record.record_type == 5 && !matches!(question.record_type, 5 | 255) {
            assert!(!ended, "an alias beside data");
            name = &record.target;
        } else {
            assert!(record.record_type == question.record_type || question.record_type == 255, "another type");
            ended = true;
        }
    }
    name
}

/// The name whose addresses help.
fn led_to(record: &Record) -> &[u8] {
    if matches!(record.record_type, 64 | 65) && record.target == [0] { &record.owner } else { &record.target }
}

/// No record stands in a message twice (RFC 2181 section 5), and the records of an RRset have one TTL.
fn check_duplicates(octets: &[u8], read: &Read) {
    let sections = [&read.answers, &read.authorities, &read.additionals];
    let mut seen: Vec<(&[u8], u16, u32, &[u8])> = Vec::new();
    for record in sections.into_iter().flatten() {
        seen.push((&record.owner, record.record_type, record.ttl, &octets[record.data.clone()]));
    }
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count, "a record twice");
    for pair in seen.windows(2) {
        let same = pair[0].0 == pair[1].0 && pair[0].1 == pair[1].1;
        assert!(!same || pair[0].2 == pair[1].2, "two TTLs in one RRset");
    }
}

/// Of names in lower case.
fn is_at_or_below(name: &[u8], ancestor: &[u8]) -> bool {
    let mut rest = name;
    loop {
        if rest == ancestor {
            return true;
        }
        match rest {
            [length @ 1..=63, behind @ ..] => rest = &behind[usize::from(*length)..],
            _ => return false,
        }
    }
}

impl Asked {
    fn read(request: &[u8]) -> Self {
        let number = |at: usize| Some(u16::from_be_bytes([*request.get(at)?, *request.get(at + 1)?]));
        let mut asked = Self { question: None, opts: None, signed: false };
        let (mut at, mut whole) = (12, true);
        for _ in 0..number(4).unwrap_or(0) {
            let Some(end) = skip(request, at).filter(|end| end + 4 <= request.len()) else {
                whole = false;
                break;
            };
            // Nothing stands before a question that its name could point to.
            let is_plain = request[end - 1] == 0;
            if let (Ok((name, _)), true) = (strict::name(request, at), number(4) == Some(1) && is_plain) {
                let (record_type, class) = (number(end).unwrap_or(0), number(end + 2).unwrap_or(0));
                asked.question = Some(strict::Question { name, record_type, class, end: end + 4 });
            }
            whole &= number(4) != Some(1) || asked.question.is_some();
            at = end + 4;
        }
        let records: u32 = [6, 8, 10].map(|at| u32::from(number(at).unwrap_or(0))).iter().sum();
        let early = u32::from(number(6).unwrap_or(0)) + u32::from(number(8).unwrap_or(0));
        let (mut opts, mut signatures) = (Vec::new(), 0);
        for place in 0..records {
            let head = skip(request, at).filter(|_| whole);
            let Some((head, length)) = head.and_then(|head| Some((head, number(head + 8)?))) else {
                return asked;
            };
            at = head + 10 + usize::from(length);
            if at > request.len() {
                return asked;
            }
            match number(head) {
                Some(41) if place >= early => {
                    opts.extend(number(head + 2).zip(number(head + 6).map(|flags| flags & 0x8000 != 0)));
                }
                Some(250) => signatures += 1,
                _ => {}
            }
        }
        asked.opts = Some(opts).filter(|_| whole);
        asked.signed = signatures == 1 && whole;
        asked
    }

    /// Octets that the answer may have.
    fn limit(&self, transport: Transport, options: &ListenerOptions) -> usize {
        if transport != Transport::Udp {
            return 65_535;
        }
        match self.opts.as_deref() {
            Some([]) => 512,
            Some([(payload, _)]) => usize::from((*payload).clamp(512, options.udp_payload)),
            _ => usize::from(options.udp_payload),
        }
    }
}

/// Where a name ends.
fn skip(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}
