//! Questions to keys, and what CoreDNS answers: `vectors.txt`, row by row.

use std::collections::BTreeMap;

use mcdns_core::{
    answer::{Elsewhere, OtherQuestion, OtherZone, Part, QueryName, RecordRef, Records, Verdict},
    dns::{OwnerName, RecordType, Serial, display_rdata, parse_rdata_text},
};
use mcdns_skydns::{Keys, LeaseLimits, Prefix, SkyDnsZone};

const VECTORS: &str = include_str!("vectors.txt");
/// The time of every question.
const NOW: u64 = 1_700_000_000;

/// One set of keys with its questions.
#[derive(Default)]
struct Set {
    name: String,
    ordered: bool,
    zones: Vec<OwnerName>,
    keys: Keys,
    leases: BTreeMap<String, i64>,
    others: Others,
    rows: Vec<Row>,
}

#[derive(Debug, Default)]
struct Row {
    name: String,
    asked: String,
    record_type: String,
    result: String,
    answer: Vec<String>,
    additional: Vec<String>,
}

/// What stands in lines `elsewhere`: (owner, TTL, type, data) by name.
#[derive(Default)]
struct Others(BTreeMap<OwnerName, Vec<(u32, RecordType, Vec<u8>)>>);

impl Elsewhere for Others {
    fn look_up(&mut self, name: &[u8], record_type: RecordType, part: Part, records: &mut Records) -> bool {
        let Some(found) = self.0.get(&OwnerName::from_wire(name).expect("a name")) else { return false };
        for (ttl, _, data) in found.iter().filter(|(_, other, _)| *other == record_type) {
            records.push(part, name, record_type, *ttl, |out| out.extend_from_slice(data));
        }
        true
    }
}

fn name(text: &str) -> OwnerName {
    text.parse().unwrap_or_else(|error| unreachable!("{text}: {error}"))
}

/// `0xN` becomes N zeros.
fn expand(text: &str) -> String {
    let mut words = text.split("0x");
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let digits = word.len() - word.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        out.push_str(&"0".repeat(word[..digits].parse().expect("a number")));
        out.push_str(&word[digits..]);
    }
    out
}

/// In expected TXT records, each `0xN` is a string of its own.
fn expand_record(text: &str) -> String {
    let word = |word: &str| if word.starts_with("0x") { format!("\"{}\"", expand(word)) } else { word.to_owned() };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn read() -> Vec<Set> {
    let mut sets: Vec<Set> = Vec::new();
    let mut leases = 0;
    for line in VECTORS.lines() {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        if word.is_empty() || word == "#" {
            continue;
        }
        if word == "set" {
            let ordered = rest.ends_with(" ordered");
            let name = rest.trim_end_matches(" ordered").to_owned();
            sets.push(Set { name, ordered, keys: Keys::new(Prefix::default()), ..Set::default() });
            continue;
        }
        let set = sets.last_mut().expect("a set");
        match word {
            "zones" => set.zones = rest.split(' ').map(name).collect(),
            "lease" => {
                let (key, seconds) = rest.split_once(' ').expect("a key and seconds");
                leases += 1;
                set.leases.insert(key.to_owned(), leases);
                set.keys.set_lease(leases, Some(NOW + seconds.parse::<u64>().expect("seconds")));
            }
            "key" => {
                let (key, value) = rest.split_once(' ').expect("a key and a value");
                let lease = set.leases.get(key).copied().unwrap_or_default();
                // Some are wrong on purpose.
                let _ = set.keys.put(key.as_bytes(), expand(value).as_bytes(), 1, lease);
            }
            "elsewhere" => {
                let mut words = rest.splitn(4, ' ');
                let found = set.others.0.entry(name(words.next().expect("a name"))).or_default();
                if let (Some(ttl), Some(kind), Some(data)) = (words.next(), words.next(), words.next()) {
                    let kind: RecordType = kind.parse().expect("a type");
                    let data = parse_rdata_text(kind, data, &name(".")).expect("data");
                    found.push((ttl.parse().expect("a TTL"), kind, data.to_vec()));
                }
            }
            "ask" => {
                let [row, asked, record_type, result] = rest.split(' ').collect::<Vec<_>>()[..] else {
                    unreachable!("{line}: a row, a name, a type and a result")
                };
                set.rows.push(Row {
                    name: row.to_owned(),
                    asked: asked.to_owned(),
                    record_type: record_type.to_owned(),
                    result: result.to_owned(),
                    ..Row::default()
                });
            }
            "answer" => set.rows.last_mut().expect("a row").answer.push(expand_record(rest)),
            "additional" => set.rows.last_mut().expect("a row").additional.push(expand_record(rest)),
            "differs" => assert!(!rest.is_empty(), "a reason"),
            _ => assert!(word.starts_with('#'), "{line}: what is that?"),
        }
    }
    sets
}

/// A record as a row has it; the name asked is `@`.
fn shown(record: &RecordRef<'_>, asked: &OwnerName) -> String {
    let owner = OwnerName::from_wire(record.owner).expect("an owner");
    let owner = if owner == *asked { "@".to_owned() } else { owner.fqdn() };
    let data = display_rdata(record.record_type, record.data);
    format!("{owner} {} {} {data}", record.ttl, record.record_type)
}

fn ask(set: &mut Set, index: usize) -> (String, Vec<String>, Vec<String>) {
    let row = &set.rows[index];
    let asked = name(&row.asked);
    let Some(apex) = set.zones.iter().filter(|apex| asked.is_at_or_below(apex)).max_by_key(|apex| apex.label_count())
    else {
        return ("ELSEWHERE".to_owned(), Vec::new(), Vec::new());
    };
    let zone = SkyDnsZone::new(apex, set.keys.clone(), Serial(7), LeaseLimits::default()).expect("a zone");
    let mut query = QueryName::new();
    // As it was asked; what is looked up is lower case.
    let wire: Vec<u8> = row.asked.trim_end_matches('.').split('.').fold(Vec::new(), |mut wire, label| {
        wire.push(u8::try_from(label.len()).expect("a label"));
        wire.extend_from_slice(label.as_bytes());
        wire
    });
    query.read(&[&wire[..], &[0]].concat()).expect("a name");
    let mut records = Records::default();
    let record_type = row.record_type.parse().expect("a type");
    let question = OtherQuestion { name: &query, record_type, part: Part::Answer, now: NOW };
    let verdict = match zone.answer(&question, &mut set.others, &mut records) {
        Verdict::Positive => "NOERROR",
        Verdict::NoData => "NODATA",
        Verdict::NxDomain => "NXDOMAIN",
        Verdict::Failure => "SERVFAIL",
    };
    let soa = zone.soa();
    assert_eq!((&soa.primary, &soa.contact), (&name(&format!("ns.dns.{apex}")), &name(&format!("hostmaster.{apex}"))));
    assert_eq!((soa.ttl, soa.negative_ttl, soa.refresh, soa.retry, soa.expire), (30, 30, 7200, 1800, 86_400));
    let show = |part| {
        let records = records.iter(part);
        records
            .map(|record| {
                if record.record_type == RecordType::SOA {
                    assert_eq!(OwnerName::from_wire(record.owner).as_ref(), Ok(apex));
                    assert_eq!(record.data, soa.data());
                    return "SOA*".to_owned();
                }
                shown(&record, &asked)
            })
            .collect()
    };
    (verdict.to_owned(), show(Part::Answer), show(Part::Additional))
}

#[test]
fn every_row_is_answered_as_coredns_does() {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for mut set in read() {
        for index in 0..set.rows.len() {
            let (result, mut answer, mut additional) = ask(&mut set, index);
            let row = &mut set.rows[index];
            if !set.ordered {
                for list in [&mut answer, &mut additional, &mut row.answer, &mut row.additional] {
                    list.sort();
                }
            }
            rows += 1;
            let found = (&result, &answer, &additional);
            let wanted = (&row.result, &row.answer, &row.additional);
            if found != wanted {
                wrong.push(format!("{} {}: {found:?}\n  wanted {wanted:?}", set.name, row.name));
            }
        }
    }
    assert!(rows > 190, "{rows} rows");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
