//! What a question costs where a name stands above very many keys.

use mcdns_core::{
    answer::{Elsewhere, OtherQuestion, OtherZone as _, Part, QueryName, Records, Verdict},
    dns::{OwnerName, RecordType, Serial},
};
use mcdns_skydns::{Keys, LeaseLimits, Prefix, SkyDnsZone};

const MANY: usize = 100_000;
/// A type that no key has (RFC 8659).
const CAA: RecordType = RecordType(257);
/// Octets of a message over UDP without EDNS (RFC 1035 section 4.2.1), without header.
const ROOM: usize = 500;

struct Nobody;

impl Elsewhere for Nobody {
    fn look_up(&mut self, _: &[u8], _: RecordType, _: Part, _: &mut Records) -> bool {
        false
    }
}

/// So many keys below the apex, each with this behind its address.
fn many(more: &str) -> Keys {
    let mut keys = Keys::new(Prefix::default());
    for index in 0..MANY {
        let address = format!("10.{}.{}.{}", index >> 16, index >> 8 & 255, index & 255);
        let value = format!(r#"{{"host":"{address}"{more}}}"#);
        assert_eq!(keys.put(format!("/skydns/org/example/n{index}").as_bytes(), value.as_bytes(), 1, 0), None);
    }
    keys
}

/// What is answered, how many records there are, and steps that it took.
fn ask(keys: &Keys, asked: &str, record_type: RecordType) -> (Verdict, usize, usize) {
    let apex: OwnerName = "example.org".parse().expect("a name");
    let zone = SkyDnsZone::new(&apex, keys.clone(), Serial(1), LeaseLimits::default()).expect("a zone");
    let mut name = QueryName::new();
    name.read(asked.parse::<OwnerName>().expect("a name").as_wire()).expect("a name");
    let mut records = Records::default();
    records.start(ROOM);
    let question = OtherQuestion { name: &name, record_type, part: Part::Answer, now: 0 };
    let verdict = zone.answer(&question, &mut Nobody, &mut records);
    (verdict, records.iter(Part::Answer).count(), records.steps())
}

#[test]
fn what_no_key_can_answer_costs_next_to_nothing() {
    for more in ["", r#","group":"g""#] {
        let mut keys = many(more);
        for record_type in [RecordType::MX, RecordType::TXT, RecordType::AAAA, CAA] {
            let (verdict, _, steps) = ask(&keys, "example.org", record_type);
            assert_eq!(verdict, Verdict::NoData, "{record_type}");
            assert!(steps <= 200, "{record_type}: {steps} steps");
        }
        // One that can is found, and forgotten when it is gone.
        let mail = format!(r#"{{"host":"192.0.2.1","mail":true{more}}}"#);
        keys.put(b"/skydns/org/example/n70000/x", mail.as_bytes(), 2, 0);
        let (verdict, count, steps) = ask(&keys, "example.org", RecordType::MX);
        assert_eq!((verdict, count), (Verdict::Positive, 1));
        assert!(steps <= 300, "{steps} steps");
        keys.delete(b"/skydns/org/example/n70000/x", 3);
        let (verdict, _, again) = ask(&keys, "example.org", RecordType::MX);
        assert_eq!(verdict, Verdict::NoData);
        assert!(again < steps, "{again} steps");
    }
}

#[test]
fn what_is_truncated_anyway_is_not_looked_for() {
    let keys = many("");
    for record_type in [RecordType::A, RecordType::SRV] {
        let (verdict, count, steps) = ask(&keys, "example.org", record_type);
        assert_eq!(verdict, Verdict::Positive, "{record_type}");
        assert!((66..=200).contains(&count) && steps <= 400, "{record_type}: {count} records, {steps} steps");
    }
}
