//! The same keys, served by CoreDNS and by mcdns: the same answers.

use std::collections::BTreeMap;

use hickory_proto::rr::RecordType;
use interop::{Answer, Asked, CoreDns, Etcd, Numbers, Served, ask, queries};

const ZONES: [&str; 3] = ["example.org", "sub.example.org", "in-addr.arpa"];
/// Few, so that names meet.
const LABELS: [&str; 8] = ["a", "b", "www", "mail", "_tcp", "any", "*", "x-y"];
const TYPES: [RecordType; 11] = [
    RecordType::A,
    RecordType::A,
    RecordType::AAAA,
    RecordType::TXT,
    RecordType::SRV,
    RecordType::MX,
    RecordType::CNAME,
    RecordType::PTR,
    RecordType::NS,
    RecordType::SOA,
    RecordType::CAA,
];
/// Questions to one store.
const PER_STORE: usize = 50;

/// A name in one of the zones, or such a zone itself.
fn name(numbers: &mut Numbers) -> String {
    let zone = *numbers.choose(&ZONES[..2]);
    let depth = numbers.below(4);
    let labels: Vec<&str> = (0..depth).map(|_| *numbers.choose(&LABELS)).collect();
    [&labels[..], &[zone]].concat().join(".")
}

fn key_of(name: &str) -> String {
    let labels: Vec<&str> = name.split('.').rev().collect();
    format!("/skydns/{}", labels.join("/"))
}

/// A value of any sort that CoreDNS reads.
fn value(numbers: &mut Numbers) -> String {
    let mut members = Vec::new();
    let host = match numbers.below(10) {
        0..4 => format!("192.0.2.{}", numbers.below(6)),
        4 | 5 => format!("2001:db8::{}", numbers.below(6)),
        6 => "::ffff:192.0.2.9".to_owned(),
        7 | 8 => name(numbers).replace('*', "star"),
        _ => (*numbers.choose(&["elsewhere.example.net", "dev.server1", "010.0.0.1", ""])).to_owned(),
    };
    if !host.is_empty() {
        members.push(format!(r#""host":"{host}""#));
    }
    let mut sometimes = |one_in: usize, numbers: &mut Numbers, member: &dyn Fn(&mut Numbers) -> String| {
        if numbers.below(one_in) == 0 {
            members.push(member(numbers));
        }
    };
    sometimes(2, numbers, &|numbers| format!(r#""port":{}"#, numbers.choose(&[80, 443, -1, 8080])));
    sometimes(3, numbers, &|numbers| format!(r#""priority":{}"#, numbers.choose(&[0, 10, 20])));
    sometimes(3, numbers, &|numbers| format!(r#""weight":{}"#, numbers.choose(&[0, 1, 7, 33, 1000])));
    sometimes(4, numbers, &|numbers| {
        let long = "0".repeat(250 + numbers.below(12));
        let text = *numbers.choose(&["v=txt1", "two words", r#"\"quoted\""#, r"a\\b\\065", "ünïcode", &long]);
        format!(r#""text":"{text}""#)
    });
    sometimes(3, numbers, &|_| r#""mail":true"#.to_owned());
    sometimes(3, numbers, &|numbers| format!(r#""ttl":{}"#, numbers.choose(&[0, 30, 60])));
    sometimes(4, numbers, &|numbers| format!(r#""targetstrip":{}"#, numbers.below(5)));
    sometimes(4, numbers, &|numbers| format!(r#""group":"g{}""#, numbers.below(3)));
    sometimes(5, numbers, &|_| r#""owner":"default""#.to_owned());
    format!("{{{}}}", members.join(","))
}

/// Keys as people, and as external-dns, write them.
fn random_store(numbers: &mut Numbers) -> BTreeMap<String, String> {
    let mut store = BTreeMap::new();
    for _ in 0..5 + numbers.below(25) {
        let name = name(numbers);
        match numbers.below(8) {
            // A target of external-dns, behind a random label.
            0..3 => {
                let label = format!("{:08x}", numbers.below(1 << 31));
                let host = format!("198.51.100.{}", numbers.below(250));
                let value = format!(r#"{{"host":"{host}","ttl":60,"targetstrip":1}}"#);
                store.insert(format!("{}/{label}", key_of(&name)), value);
            }
            // Its registry.
            3 => {
                let text = r#"{"text":"\"heritage=external-dns,external-dns/owner=default\"","targetstrip":1}"#;
                store.insert(format!("{}/{:08x}", key_of(&name), numbers.below(1 << 31)), text.to_owned());
            }
            4 => {
                let special = *numbers.choose(&["dns/ns", "dns/apex"]);
                let host = format!("203.0.113.{}", numbers.below(4));
                let key = format!("{}/{special}/{}", key_of(ZONES[0]), numbers.choose(&LABELS));
                store.insert(key, format!(r#"{{"host":"{host}"}}"#));
            }
            _ => {
                let slash = if numbers.below(12) == 0 { "/" } else { "" };
                store.insert(format!("{}{slash}", key_of(&name)), value(numbers));
            }
        }
    }
    store.insert(key_of(&format!("{}.2.0.192.in-addr.arpa", numbers.below(4))), r#"{"host":"www.example.org"}"#.into());
    store
}

/// What to ask of a store: names of its keys, names above, and others.
fn question(numbers: &mut Numbers, store: &BTreeMap<String, String>) -> Asked {
    let record_type = *numbers.choose(&TYPES);
    let keys: Vec<&String> = store.keys().collect();
    let name = if numbers.below(4) == 0 {
        name(numbers)
    } else {
        let key = numbers.choose(&keys).trim_end_matches('/');
        let mut labels: Vec<&str> = key.split('/').skip(2).collect();
        while labels.len() > 2 && numbers.below(3) == 0 {
            labels.pop();
        }
        labels.reverse();
        labels.join(".")
    };
    let name = if numbers.below(5) == 0 { name.to_ascii_uppercase() } else { name };
    // What is asked with upper-case letters is looked up without.
    Asked { name, record_type }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_questions_to_random_keys_are_answered_as_coredns_answers_them() {
    let etcd = Etcd::start().await;
    let coredns = CoreDns::start(&etcd, &ZONES);
    let mcdns = Served::start(&etcd, &ZONES);
    etcd.put(&[("/skydns/com/example", "{}")]).await;
    let total = queries(300);
    let mut numbers = Numbers::from_seed(20_260_101);
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut asked = 0;
    while asked < total {
        // Not all of them at once, which would be held.
        etcd.delete_below("/skydns/org/").await;
        etcd.delete_below("/skydns/arpa/").await;
        let store = random_store(&mut numbers);
        let pairs: Vec<(&str, &str)> = store.iter().map(|(key, value)| (&**key, &**value)).collect();
        let mut revision = 0;
        for pair in pairs {
            revision = etcd.put(&[pair]).await;
        }
        mcdns.catch_up(revision).await;
        for _ in 0..PER_STORE.min(total - asked) {
            let question = question(&mut numbers, &store);
            let [theirs, ours] = [coredns.address(), mcdns.address()].map(|server| {
                ask(server, &question.name, question.record_type).unwrap_or_else(|error| panic!("{question}: {error}"))
            });
            assert!(same(&theirs, &ours), "{question}\nCoreDNS {theirs:#?}\nmcdns {ours:#?}\n{store:#?}");
            let kind = if ours.answer.is_empty() { "without an answer" } else { "with an answer" };
            *outcomes.entry(format!("{}, {kind}", ours.rcode)).or_default() += 1;
            asked += 1;
        }
    }
    // A comparison of refusals would say little.
    assert!(
        outcomes.iter().any(|(kind, count)| kind.ends_with("with an answer") && *count > total / 5),
        "{outcomes:?}"
    );
}

/// Where one bad value spoils its neighbours, or a message would have something twice, mcdns does the better thing.
fn same(theirs: &Answer, ours: &Answer) -> bool {
    theirs == ours
}
