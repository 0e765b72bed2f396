use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    record::{Fields, TSIG, find},
    *,
};
use crate::message::count_additional;

/// 2023-11-14, when the vectors were signed.
const NOW: u64 = 1_700_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const KEY: &str = "Transfer.Key.example";

/// `www.example.com A`, and an answer.
const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01";
const ANSWER: &[u8] = b"\x12\x34\x85\x00\x00\x01\x00\x01\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01\
      \xc0\x0c\x00\x01\x00\x01\x00\x00\x00\xb4\x00\x04\xc0\x00\x02\x01";

/// MACs of QUERY at NOW and of three ANSWERs, a second later each, with a fudge of 300: by dnspython 2.9 (`dns.tsig.sign`
/// with `multi=True`).
const VECTORS: [(&str, [&str; 4]); 8] = [
    (
        "hmac-sha1",
        [
            "1f7137c56c2f9a808379d85e545de003f8078086",
            "aa3b29058403f3e8595d2099aee9ca08a5222181",
            "0ce40dcdd0b5f8383ebd06dd65b9bc5d312d53c6",
            "22f1ea7a2587ec85f7310e8aa4c816eb6a6d26df",
        ],
    ),
    (
        "hmac-sha224",
        [
            "7afe4b47714e1c1ac14b1558ba33fc3261c31779f73a10bd685e91e5",
            "b795e33b85bf40e2f7eefbe54067f6f2366dc288a603229614e55dc7",
            "93647dafcf795871c20e55f40993966e18422342f2c8e41f2cdacab1",
            "4a146bffd5e7be074b406306c59b11f3bd15740434482f43d93c3dbb",
        ],
    ),
    (
        "hmac-sha256",
        [
            "9a3fa7fbe28015883445cf497e92a516cb56fba61223ef5b4f4a18f5fbee2a6d",
            "b2d0863b4295e47ba4dfb77233baa0c01a0c73e67f63abbde2a194a6ac3717a6",
            "d591df5b4ca570c01de6f90fdc6769c0fbabfff2b10d30d272ad3c331796dc8e",
            "609a41d42b8fd97d2428919fbd19555a3000fbc421bfe43c740aecf2c90adc69",
        ],
    ),
    (
        "hmac-sha256-128",
        [
            "83a5f50e6f5b74f0905cc4e54d972d5a",
            "03c141a8282b64924d2300ed4be9edf6",
            "75ada46d0702d98ec3cc8ad5bdb75fdd",
            "2bd9203b159b22f2096256f3f2fa01cc",
        ],
    ),
    (
        "hmac-sha384",
        [
            "ea00fbfed0c8779b27956259b8a67b420105a6d6ff5790ce3806ccaadb178ef2e698738d3f91c415ee74e9361343652e",
            "6e1fc7139b2ce5c91b5f161973386857bf5e6e692f905473775a32f76e83b7d8f35a79db283b7bb5b233073e9c792838",
            "9e95b8566379d74bd2e0fb6f729f47a01bc391038e6d2881650c9ffa23076f97e9202c3a9343d5e3e263846d1efc4329",
            "6a10c35c69a2119e917221f4351321f9f847c967ac1469e73332aaccc9ba2b3998aec5dc5e3b5916b5cc6b650c69755c",
        ],
    ),
    (
        "hmac-sha384-192",
        [
            "246782b2cc30c3c66dab0941dc7c11ca4f545c87a98a0d2f",
            "4c3ad9e020a513bec7e2be8bfbd2562eabf63eab5dbbd5ba",
            "8177cc7cabfc2823069f884c57db22837213281b68c72192",
            "d3ead0b03e9936e8d62ac64fb21fd23cf84eb3b7cb737f7b",
        ],
    ),
    (
        "hmac-sha512",
        [
            "274558457b82af687f85e55e18bdef6509097999bff4d9c2df28e0cf3fbe48922c568d1ead79c69b2eb3890e4190da6c28c6b3cf362858410bda2eabbeb5af9e",
            "72157b1e8c8b83a31372443fc26db0cea17e6ee155872207d25740ad5a375794d28754c4316cd7be9943aa9d1ea7cb933c162841b27c1828a218da276461ba4e",
            "0f902ca6fbcf7424d7bdf20b3e9dd0f8cc776db7cacd59793e24e96841ad5e76a7823eb3d11dc68a9d2ec49f5981f48fefb5540612a9f57ce7537e932d400742",
            "87dd02d22bf8647a3feae63811794304d75da8e20199ee9f0df9209d1077f01fa521cadadec7742825f1ba49eb1df0dfd2c3b4ee14253cc12316d5da5f0edd0e",
        ],
    ),
    (
        "hmac-sha512-256",
        [
            "42d101bec25f23f2daddf0d27e136699daa70506ef6939f1368f7a0dfcc1925e",
            "521e0977a1ae0ab9af85ce8f8745bf17edbb7ccf2e3f973180da61be1b7feab6",
            "f0515492cae9528fc5539a00f768acd7b60c8e1d9fd953102d4c89b95c943f7a",
            "efbdac085addcf552c9015cf031461b1706ebfe5e38acfec036a39bfd9c97cc2",
        ],
    ),
];

fn key(algorithm: Algorithm) -> Key {
    Key::new(KEY.parse().expect("a name"), algorithm, SECRET)
}

fn ring(key: Key) -> KeyRing {
    KeyRing::new([key])
}

fn signed(key: &Key) -> (Vec<u8>, AnswerCheck) {
    let mut request = QUERY.to_vec();
    let check = AnswerCheck::sign(&Arc::new(key.clone()), &mut request, NOW);
    (request, check)
}

/// The query signed by hand, so that everything can be wrong.
fn forged(mac_length: usize, change: impl FnOnce(&mut Fields)) -> Vec<u8> {
    let mut algorithm = Vec::new();
    Algorithm::HmacSha256.write(&mut algorithm);
    let mut fields = Fields { algorithm, time: NOW, fudge: 300, error: 0, other: Vec::new() };
    change(&mut fields);
    let name: OwnerName = KEY.parse().expect("a name");
    let algorithm = Algorithm::from_wire(&fields.algorithm).unwrap_or(Algorithm::HmacSha256);
    let mac = algorithm.mac(SECRET, &[QUERY, &fields.variables(&name)]).cut(mac_length);
    let mut request = QUERY.to_vec();
    request.extend(fields.write(&name, mac.as_slice(), [0x12, 0x34]));
    count_additional(&mut request);
    request
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().concat()
}

fn mac_of(message: &[u8]) -> String {
    let start = find(message).expect("a message").expect("a TSIG record");
    hex(record::Record::read(message, start).expect("a good one").mac)
}

fn error(ring: &KeyRing, request: &[u8], now: u64) -> TsigError {
    ring.verify(request, now).expect_err("refused").error()
}

/// RFC 2202 section 3 and RFC 4231 sections 4.3, 4.6 and 4.7: a short key, a cut MAC, and a key longer than a block.
#[test]
fn macs_are_those_of_the_rfcs() {
    use Algorithm::{HmacSha1, HmacSha224, HmacSha256, HmacSha256_128, HmacSha384, HmacSha512};
    let question: (&[u8], &[u8]) = (b"Jefe", b"what do ya want for nothing?");
    let cut: (&[u8], &[u8]) = (&[0x0c; 20], b"Test With Truncation");
    let long: (&[u8], &[u8]) = (&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
    for (algorithm, (secret, data), mac) in [
        (HmacSha1, question, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (HmacSha224, question, "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"),
        (HmacSha256, question, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            HmacSha384,
            question,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            HmacSha512,
            question,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
             caeab1a34d4a6b4b636e070a38bce737",
        ),
        (HmacSha256_128, cut, "a3b6167473100ee06e0c796c2955552b"),
        (HmacSha256, long, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
        (
            HmacSha384,
            long,
            "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
        ),
    ] {
        let parts = data.split_at(data.len() / 2);
        let made = algorithm.mac(secret, &[parts.0, parts.1]);
        assert_eq!(hex(made.as_slice()), mac, "{algorithm}");
        assert!(algorithm.verify(secret, &[data], made.as_slice()));
    }
}

#[test]
fn requests_and_streams_are_signed_as_another_program_signs_them() {
    for (algorithm, macs) in VECTORS {
        let algorithm: Algorithm = algorithm.parse().expect("an algorithm");
        let key = key(algorithm);
        // It has cut algorithms by their own names, which we take.
        let mut request = QUERY.to_vec();
        let check = AnswerCheck::sign_as(&Arc::new(key.clone()), algorithm, &mut request, NOW);
        assert_eq!(mac_of(&request), macs[0], "{algorithm}");
        let mut signer = ring(key).verify(&request, NOW + 300).expect("good").expect("signed");
        for (seconds, mac) in (1..).zip(&macs[1..]) {
            let mut answer = ANSWER.to_vec();
            let length = answer.len() + signer.reserve();
            signer.sign(&mut answer, NOW + seconds);
            assert_eq!((mac_of(&answer), answer.len()), ((*mac).to_owned(), length), "{algorithm} {seconds}");
            let is_first = seconds == 1;
            assert_eq!(check.check(&answer, NOW).is_ok(), is_first, "the first alone is an answer by itself");
        }
    }
}

#[test]
fn algorithms_are_read_as_they_are_printed() {
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        assert_eq!(format!("{}.", algorithm.name().to_uppercase()).parse(), Ok(algorithm));
        let mut wire = Vec::new();
        algorithm.write(&mut wire);
        assert_eq!(wire.len(), algorithm.wire_length());
        assert_eq!(Algorithm::from_wire(&wire), Some(algorithm));
    }
    for text in ["hmac-md5", "hmac-md5.sig-alg.reg.int", "hmac-sha256.example", "sha256", ""] {
        let unknown = text.parse::<Algorithm>().expect_err("unknown").to_string();
        assert!(unknown.starts_with(&format!("`{text}` is none of hmac-sha1, ")), "{unknown}");
        assert_eq!(Algorithm::from_wire(text.as_bytes()), None);
    }
}

/// RFC 8945 section 5.2.2.1: not more than the MAC has, nor less than 10 octets or half of what the hash gives.
#[test]
fn macs_have_lengths_that_the_rfc_allows() {
    let lengths = Algorithm::ALL.map(Algorithm::mac_lengths);
    assert_eq!(lengths, [10..=20, 14..=28, 16..=32, 16..=16, 24..=48, 24..=24, 32..=64, 32..=32]);
    for (octets, is_good) in [(9, false), (10, true), (20, true), (21, false)] {
        assert_eq!(key(Algorithm::HmacSha1).with_mac_length(octets).is_ok(), is_good, "{octets}");
    }
    let refused = key(Algorithm::HmacSha256).with_mac_length(12).expect_err("too short");
    assert_eq!(refused.to_string(), "a MAC of hmac-sha256 has from 16 to 32 octets, not 12");
    for (length, expected) in [(0, TsigError::Malformed), (15, TsigError::Malformed), (31, TsigError::BadTruncation)] {
        assert_eq!(error(&ring(key(Algorithm::HmacSha256)), &forged(length, |_| ()), NOW), expected, "{length}");
    }
    let longer = [forged(32, |_| ()), vec![0]].concat();
    assert_eq!(error(&ring(key(Algorithm::HmacSha256)), &longer, NOW), TsigError::Malformed, "an octet behind");
}

#[test]
fn a_key_for_cut_macs_takes_them_and_answers_with_no_shorter_ones() {
    let lenient = || ring(key(Algorithm::HmacSha256).with_mac_length(20).expect("a good length"));
    assert_eq!(error(&lenient(), &forged(19, |_| ()), NOW), TsigError::BadTruncation);
    for length in [20, 25, 32] {
        let mut signer = lenient().verify(&forged(length, |_| ()), NOW).expect("good").expect("signed");
        let mut answer = ANSWER.to_vec();
        signer.sign(&mut answer, NOW);
        assert_eq!(mac_of(&answer).len(), 2 * length);
    }
    let (request, _) = signed(lenient().find(&KEY.parse().expect("a name")).expect("the key"));
    assert_eq!(mac_of(&request).len(), 2 * 20, "requests of ours are cut as the key says");
}

/// BIND has no algorithm `hmac-sha256-128` on the wire: it cuts `hmac-sha256`.
#[test]
fn a_key_of_a_cut_algorithm_takes_the_whole_one_cut_as_far() {
    let cut = ring(key(Algorithm::HmacSha256_128));
    let mut signer = cut.verify(&forged(16, |_| ()), NOW).expect("good").expect("signed");
    let mut answer = ANSWER.to_vec();
    signer.sign(&mut answer, NOW);
    assert_eq!(mac_of(&answer).len(), 2 * 16);
    assert!(answer.windows(13).any(|part| part == b"\x0bhmac-sha256\x00"), "in the name that was used");
    assert!(cut.verify(&forged(32, |_| ()), NOW).is_ok());
    let (request, check) = signed(&key(Algorithm::HmacSha256_128));
    assert_eq!(request, forged(16, |_| ()), "requests of ours have that name too");
    let mut signer = cut.verify(&request, NOW).expect("good").expect("signed");
    let mut answer = ANSWER.to_vec();
    signer.sign(&mut answer, NOW);
    assert_eq!(check.check(&answer, NOW), Ok(()));
    let mut request = QUERY.to_vec();
    AnswerCheck::sign_as(&Arc::new(key(Algorithm::HmacSha256_128)), Algorithm::HmacSha256_128, &mut request, NOW);
    assert_eq!(error(&ring(key(Algorithm::HmacSha256)), &request, NOW), TsigError::BadKey, "not the reverse");
}

#[test]
fn a_key_is_known_by_name_and_algorithm() {
    let request = forged(32, |_| ());
    let other = Key::new("other.example".parse().expect("a name"), Algorithm::HmacSha256, SECRET);
    for ring in [KeyRing::default(), ring(other), ring(key(Algorithm::HmacSha1)), ring(key(Algorithm::HmacSha512))] {
        assert_eq!(error(&ring, &request, NOW), TsigError::BadKey, "{ring:?}");
    }
    let unknown = forged(32, |fields| fields.algorithm = b"\x08hmac-md5\x07sig-alg\x03reg\x03int\x00".to_vec());
    assert_eq!(error(&ring(key(Algorithm::HmacSha256)), &unknown, NOW), TsigError::BadKey);
    let wrong = Key::new(KEY.parse().expect("a name"), Algorithm::HmacSha256, &b"wrong"[..]);
    assert_eq!(error(&ring(wrong), &request, NOW), TsigError::BadSignature);
}

/// RFC 8945 section 5.2.3: the time may differ by the fudge, and not more.
#[test]
fn time_may_differ_by_what_the_request_says() {
    let ring = ring(key(Algorithm::HmacSha256));
    let request = forged(32, |fields| fields.fudge = 7);
    for (now, is_good) in [(NOW - 8, false), (NOW - 7, true), (NOW + 7, true), (NOW + 8, false), (0, false)] {
        assert_eq!(ring.verify(&request, now).is_ok(), is_good, "{now}");
    }
    assert_eq!(error(&ring, &request, NOW + 8), TsigError::BadTime);
    // The MAC counts first, the length of the MAC last.
    let cut = forged(16, |fields| fields.fudge = 7);
    assert_eq!(error(&ring, &cut, NOW + 8), TsigError::BadTime);
    assert_eq!(error(&ring, &cut, NOW), TsigError::BadTruncation);
}

#[test]
fn a_forwarder_may_change_the_id() {
    let mut request = forged(32, |_| ());
    request[0] ^= 0xff;
    let mut signer = ring(key(Algorithm::HmacSha256)).verify(&request, NOW).expect("good").expect("signed");
    let mut answer = ANSWER.to_vec();
    answer[0] ^= 0xff;
    signer.sign(&mut answer, NOW);
    // The forwarder gives the client its own ID back.
    answer[0] ^= 0xff;
    let (_, check) = signed(&key(Algorithm::HmacSha256));
    assert_eq!(check.check(&answer, NOW), Ok(()));
}

#[test]
fn the_name_of_the_key_may_be_compressed_and_in_any_case() {
    let name = "www.Example.COM";
    let key = Key::new(name.parse().expect("a name"), Algorithm::HmacSha256, SECRET);
    let (request, _) = signed(&key);
    let ring = ring(key);
    let plain = b"\x03www\x07example\x03com\x00\x00\xfa";
    let at = request.windows(plain.len()).rposition(|part| part == plain).expect("the key's name");
    for owner in [&b"\xc0\x0c"[..], b"\x03wWw\xc0\x10", b"\x03WWW\x07EXAMPLE\x03COM\x00"] {
        let changed = [&request[..at], owner, &request[at + plain.len() - 2..]].concat();
        assert!(ring.verify(&changed, NOW).is_ok(), "{owner:?}");
    }
    let here = u8::try_from(at).expect("a short query");
    for owner in [&[0xc0, here][..], &[0xc0, here + 2], &[0xc0, 0xff], &[0x80], &[1, b'a', 0xc0, here]] {
        let changed = [&request[..at], owner, &request[at + plain.len() - 2..]].concat();
        assert_eq!(error(&ring, &changed, NOW), TsigError::Malformed, "{owner:?}");
    }
}

/// RFC 8945 section 5.1.
#[test]
fn a_record_that_is_not_the_last_or_not_the_only_one_is_malformed() {
    let ring = ring(key(Algorithm::HmacSha256));
    let good = forged(32, |_| ());
    let record = &good[QUERY.len()..];
    let counted = |message: Vec<u8>, counts: [u8; 3]| {
        let mut message = message;
        (message[7], message[9], message[11]) = (counts[0], counts[1], counts[2]);
        message
    };
    let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    for message in [
        counted([QUERY, record, record].concat(), [0, 0, 2]),
        counted([QUERY, record, &opt].concat(), [0, 0, 2]),
        counted(good.clone(), [1, 0, 0]),
        counted(good.clone(), [0, 1, 0]),
        good[..good.len() - 1].to_vec(),
    ] {
        assert_eq!(error(&ring, &message, NOW), TsigError::Malformed, "{}", hex(&message));
    }
    // Type, class and TTL.
    let class = QUERY.len() + KEY.len() + 2 + 3;
    for at in [class, class + 1, class + 5] {
        let mut message = good.clone();
        message[at] ^= 1;
        assert_eq!(error(&ring, &message, NOW), TsigError::Malformed, "{at}");
    }
    assert!(ring.verify(QUERY, NOW).expect("no wrong signature").is_none(), "and an unsigned request is none");
}

#[test]
fn an_answer_is_believed_when_its_request_was_ours() {
    let (request, check) = signed(&key(Algorithm::HmacSha256));
    let (_, other_check) = {
        let mut request = QUERY.to_vec();
        let check = AnswerCheck::sign(&Arc::new(key(Algorithm::HmacSha256)), &mut request, NOW + 1);
        (request, check)
    };
    let mut signer = ring(key(Algorithm::HmacSha256)).verify(&request, NOW).expect("good").expect("signed");
    assert_eq!(signer.key().name().fqdn(), "transfer.key.example.");
    let mut answer = ANSWER.to_vec();
    signer.sign(&mut answer, NOW);
    assert_eq!(check.check(&answer, NOW + 300), Ok(()));
    assert_eq!(check.check(&answer, NOW + 301), Err(AnswerError::BadTime { signed: NOW, now: NOW + 301 }));
    assert_eq!(other_check.check(&answer, NOW), Err(AnswerError::BadSignature), "it answers another request");
    assert_eq!(check.check(ANSWER, NOW), Err(AnswerError::Unsigned));
    assert_eq!(check.check(&answer[..answer.len() - 1], NOW), Err(AnswerError::Malformed));
    let (_, elsewhere) = signed(&key(Algorithm::HmacSha512));
    assert_eq!(elsewhere.check(&answer, NOW), Err(AnswerError::OtherKey(KEY.parse().expect("a name"))));
}

/// RFC 8945 section 5.3.2.
#[test]
fn errors_about_key_and_mac_are_unsigned_and_others_signed() {
    let ring = ring(key(Algorithm::HmacSha256));
    let (request, check) = signed(&key(Algorithm::HmacSha256));
    let respond = |refusal: Refusal, now| {
        let mut answer = [QUERY, &[0; 200]].concat();
        (answer[2], answer[3]) = (0x85, 9);
        let reserve = refusal.reserve();
        let length = refusal.append_within(&mut answer, QUERY.len(), now).expect("room");
        assert_eq!(length, QUERY.len() + reserve);
        answer.truncate(length);
        answer
    };
    let unknown = respond(KeyRing::default().verify(&request, NOW).expect_err("refused"), NOW);
    assert_eq!((mac_of(&unknown).as_str(), check.check(&unknown, NOW)), ("", Err(AnswerError::Refused(17))));
    let mut damaged = request.clone();
    damaged[2] ^= 1;
    let bad = respond(ring.verify(&damaged, NOW).expect_err("refused"), NOW);
    assert_eq!((mac_of(&bad).as_str(), check.check(&bad, NOW)), ("", Err(AnswerError::Refused(16))));
    assert_eq!(AnswerError::Refused(16).to_string(), "the other side refuses our signature with BADSIG");

    let late = ring.verify(&request, NOW + 5000).expect_err("refused");
    assert_eq!((late.time(), late.rcode()), (Some(NOW), 9));
    let late = respond(late, NOW + 5000);
    assert_eq!(check.check(&late, NOW), Err(AnswerError::Refused(18)), "with our time in it, and signed");
    let start = find(&late).expect("a message").expect("signed");
    let record = record::Record::read(&late, start).expect("a TSIG record");
    assert_eq!((record.fields.time, record.fields.fudge), (NOW, 300));
    assert_eq!(record.fields.other, (NOW + 5000).to_be_bytes()[2..]);

    let cut = ring.verify(&forged(16, |_| ()), NOW).expect_err("refused");
    let cut = respond(cut, NOW);
    let lenient = key(Algorithm::HmacSha256).with_mac_length(16).expect("a good length");
    let check = signed(&lenient).1;
    assert_eq!(check.check(&cut, NOW), Err(AnswerError::Refused(22)));
}

#[test]
fn secrets_and_macs_are_not_shown() {
    let (request, check) = signed(&key(Algorithm::HmacSha256));
    let ring = ring(key(Algorithm::HmacSha256));
    let signer = ring.verify(&request, NOW).expect("good").expect("signed");
    let refusal = ring.verify(&request, 0).expect_err("refused");
    let shown = format!("{ring:?} {signer:?} {check:?} {refusal:?}");
    assert!(shown.contains("transfer.key.example.") && shown.contains("HmacSha256"));
    // As octets are printed: in a list, as text, or in base 16.
    let (secret, mac) = (String::from_utf8_lossy(SECRET), mac_of(&request));
    for text in ["[", &secret[..8], &mac[..8]] {
        assert!(!shown.contains(text), "{shown}");
    }
}

proptest! {
    /// But for the ID, which a forwarder may change, and the case of names.
    #[test]
    fn any_flipped_bit_makes_a_signature_wrong(
        algorithm in select(&Algorithm::ALL[..]),
        bit in any::<prop::sample::Index>(),
        is_answer in any::<bool>(),
    ) {
        let ring = ring(key(algorithm));
        let (mut message, check) = signed(&key(algorithm));
        let names = {
            let mut names = Vec::new();
            if is_answer {
                let mut signer = ring.verify(&message, NOW).expect("good").expect("signed");
                message = ANSWER.to_vec();
                signer.sign(&mut message, NOW);
            }
            let start = find(&message).expect("a message").expect("signed");
            let name = start..start + KEY.len() + 2;
            names.push(name.clone());
            names.push(name.end + 10..name.end + 10 + algorithm.whole().wire_length());
            names
        };
        let bit = bit.index(message.len() * 8);
        let (at, mask) = (bit / 8, 1 << (bit % 8));
        let is_letter = message[at].is_ascii_alphabetic() && names.iter().any(|name| name.contains(&at));
        prop_assume!(at >= 2 && !(mask == 0x20 && is_letter));
        message[at] ^= mask;
        if is_answer {
            prop_assert!(check.check(&message, NOW).is_err());
        } else {
            prop_assert!(!matches!(ring.verify(&message, NOW), Ok(Some(_))), "bit {}", bit);
        }
    }

    #[test]
    fn any_octets_are_survived(
        message in vec(any::<u8>(), 0..200),
        has_algorithm in any::<bool>(),
        data in vec(prop_oneof![2 => Just(0), 1 => any::<u8>()], 0..80),
    ) {
        let ring = ring(Key::new("k".parse().expect("a name"), Algorithm::HmacSha256, SECRET));
        let (_, check) = signed(&key(Algorithm::HmacSha256));
        prop_assert!(!matches!(ring.verify(&message, NOW), Ok(Some(_))));
        prop_assert!(check.check(&message, NOW).is_err());
        // What looks like a TSIG record, behind a good query.
        let algorithm: &[u8] = if has_algorithm { b"\x0bhmac-sha256\x00" } else { b"" };
        let length = u8::try_from(algorithm.len() + data.len()).expect("short");
        let head = [&TSIG.to_be_bytes()[..], &[0, 255, 0, 0, 0, 0, 0, length]].concat();
        let mut message = [QUERY, b"\x01k\x00", &head, algorithm, &data].concat();
        count_additional(&mut message);
        prop_assert!(ring.verify(&message, NOW).is_err());
        prop_assert!(check.check(&message, NOW).is_err());
    }
}
