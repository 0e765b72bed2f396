//! Keys that the real external-dns writes are answered by mcdns as by CoreDNS: the one can take the other's place.

use std::collections::{BTreeMap, BTreeSet};

use hickory_proto::rr::RecordType;
use interop::{Asked, CoreDns, Etcd, Numbers, Served, ask, queries};
use support::external_dns::{Connector, Endpoint, finish};

const ZONES: [&str; 2] = ["example.org", "in-addr.arpa"];
/// Few, so that names meet.
const LABELS: [&str; 7] = ["a", "b", "www", "mail", "_sip", "x-y", "ab"];
const TYPES: [RecordType; 10] = [
    RecordType::A,
    RecordType::A,
    RecordType::AAAA,
    RecordType::CNAME,
    RecordType::TXT,
    RecordType::SRV,
    RecordType::MX,
    RecordType::NS,
    RecordType::SOA,
    RecordType::CAA,
];
/// Questions to what one run of external-dns left.
const PER_RUN: usize = 100;

/// Endpoints as Services, Ingresses and people ask for them; CNAMEs beside others too, which external-dns leaves out.
fn endpoints(numbers: &mut Numbers) -> Vec<Endpoint> {
    let mut endpoints = BTreeMap::new();
    for _ in 0..20 + numbers.below(20) {
        let name = name(numbers);
        let ttl = *numbers.choose(&[0, 0, 30, 60, 3600]);
        let some = |numbers: &mut Numbers, one: &dyn Fn(&mut Numbers) -> String| {
            let count = 1 + numbers.below(3);
            (0..count).map(|_| one(numbers)).collect::<BTreeSet<String>>()
        };
        let (kind, targets) = match numbers.below(20) {
            // The provider makes hosts of these as they are, blanks and all.
            18 => ("SRV", some(numbers, &|numbers| format!("0 5 {} host.example.org.", 80 + numbers.below(3)))),
            19 => ("NS", some(numbers, &|numbers| format!("ns{}.example.net", numbers.below(3)))),
            0..6 => ("A", some(numbers, &|numbers| format!("192.0.2.{}", numbers.below(9)))),
            6..11 => ("AAAA", some(numbers, &|numbers| format!("2001:db8::{:x}", numbers.below(30)))),
            11..13 => ("CNAME", [self::name(numbers).replace('*', "star")].into()),
            13..15 => {
                ("CNAME", [(*numbers.choose(&["elsewhere.example.net", "Other.Example.com."])).to_owned()].into())
            }
            _ => {
                let texts = ["v=spf1 -all", "plain", "with \\\"quotes\\\" and ; more", "ünïcode"];
                ("TXT", [(*numbers.choose(&texts)).to_owned()].into())
            }
        };
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        // Every source but the one that is used here says where an endpoint comes from, and the provider relies on it.
        let mut endpoint = Endpoint::new(&name, kind, ttl, &targets).of("ingress/default/web");
        if numbers.below(6) == 0 {
            let group = format!("g{}", numbers.below(2));
            endpoint.properties.push(("coredns/group".to_owned(), group));
        }
        endpoints.insert((name, kind), endpoint);
    }
    endpoints.into_values().collect()
}

/// Most of them as they were, some gone, some others.
fn changed(numbers: &mut Numbers, endpoints: &[Endpoint]) -> Vec<Endpoint> {
    let place = |endpoint: &Endpoint| (endpoint.name.clone(), endpoint.kind.clone());
    let kept = endpoints.iter().filter(|_| numbers.below(5) > 0).cloned().collect::<Vec<_>>();
    let others = self::endpoints(numbers).into_iter().take(10);
    let all: BTreeMap<_, _> = kept.into_iter().chain(others).map(|endpoint| (place(&endpoint), endpoint)).collect();
    all.into_values().collect()
}

/// A name in the zone, or its apex; sometimes a wildcard.
fn name(numbers: &mut Numbers) -> String {
    let labels: Vec<&str> = (0..numbers.below(4)).map(|_| *numbers.choose(&LABELS)).collect();
    let wildcard = if numbers.below(8) == 0 { &["*"][..] } else { &[] };
    [wildcard, &labels, &[ZONES[0]]].concat().join(".")
}

/// What to ask: names of keys, with the label that external-dns made up or without; names above and below; others.
fn question(numbers: &mut Numbers, keys: &[(String, String)]) -> Asked {
    let record_type = *numbers.choose(&TYPES);
    let mut labels: Vec<&str> = match numbers.below(5) {
        0 => return Asked { name: name(numbers), record_type },
        _ => numbers.choose(keys).0.split('/').skip(2).collect(),
    };
    match numbers.below(5) {
        0 => {}
        1 => labels.truncate(2 + numbers.below(labels.len())),
        2 => {
            labels.pop();
            labels.push("below");
        }
        _ => {
            labels.pop();
        }
    }
    labels.reverse();
    let name = labels.join(".");
    let name = if numbers.below(8) == 0 { name.replace('*', "anything") } else { name };
    let name = if numbers.below(5) == 0 { name.to_ascii_uppercase() } else { name };
    Asked { name, record_type }
}

/// Has external-dns bring etcd to these endpoints.
fn publish(etcd: &Etcd, endpoints: &[Endpoint], registry: &str) -> String {
    let mut command = Connector::start(endpoints).command();
    command.args(["--provider=coredns", "--txt-owner-id=theirs", &format!("--registry={registry}")]);
    command.args(["A", "AAAA", "CNAME", "TXT", "SRV", "NS"].map(|kind| format!("--managed-record-types={kind}")));
    finish(command.env("ETCD_URLS", etcd.endpoint())).well().log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_external_dns_are_answered_as_coredns_answers_them() {
    let etcd = Etcd::start().await;
    let coredns = CoreDns::start(&etcd, &ZONES);
    let mcdns = Served::start(&etcd, &ZONES);
    etcd.put(&[("/skydns/com/example", "{}")]).await;
    let total = queries(400);
    let mut numbers = Numbers::from_seed(20_260_821);
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let (mut asked, mut run, mut wanted) = (0, 0, Vec::new());
    while asked < total {
        // Its first run makes everything; the second changes, adds and takes away.
        let registry = if run % 4 < 2 { "txt" } else { "noop" };
        if run % 2 == 0 {
            etcd.delete_below("/skydns/org/").await;
            wanted = endpoints(&mut numbers);
        } else {
            wanted = changed(&mut numbers, &wanted);
        }
        run += 1;
        let log = publish(&etcd, &wanted, registry);
        // Marks of the apex are beside the zone, where nobody serves them.
        let (keys, revision) = etcd.below("/skydns/org/example/").await;
        assert!(keys.len() > 10, "{keys:#?}\n{log}");
        mcdns.catch_up(revision).await;
        for _ in 0..PER_RUN.min(total - asked) {
            let question = question(&mut numbers, &keys);
            let [theirs, ours] = [coredns.address(), mcdns.address()].map(|server| {
                ask(server, &question.name, question.record_type).unwrap_or_else(|error| panic!("{question}: {error}"))
            });
            assert_eq!(theirs, ours, "{question}: CoreDNS on the left, mcdns on the right\n{keys:#?}");
            let kind = if ours.answer.is_empty() { "nothing" } else { "an answer" };
            *outcomes.entry(format!("{} {kind}", question.record_type)).or_default() += 1;
            if ours.answer.keys().any(|record| record.contains(" CNAME ")) {
                *outcomes.entry("alias in an answer".to_owned()).or_default() += 1;
            }
            asked += 1;
        }
    }
    // A comparison of refusals would say little.
    for kind in ["A", "AAAA", "TXT", "SRV", "alias in"] {
        let answers = outcomes.get(&format!("{kind} an answer")).copied().unwrap_or(0);
        assert!(answers > total / 100, "{outcomes:?}");
    }
}
