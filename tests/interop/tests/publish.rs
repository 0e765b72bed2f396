//! What mcdns publishes to etcd is answered by CoreDNS as mcdns answers it itself.

#![allow(clippy::panic, reason = "helpers of tests fail so")]

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use hickory_proto::rr::RecordType;
use interop::{CoreDns, Etcd, PATIENCE, ask, queries};
use mcdns_core::{
    dns::OwnerName,
    model::{Fact, LoadBalancerItem, Object, Observation, Timestamp},
    plan::{GuardOptions, ManagerId, PlanOptions},
    records::{EmptyLevels, Engine, Options},
};
use mcdns_publish::{
    Destination, Leadership, PublishedZone, Publisher, Publishing, Scope, Timing, WithEngine, battery::Wishes,
};
use mcdns_serve::{Listener, PolicyStore, Server, SnapshotStore};
use serde_json::json;
use support::federation::{APEX, Federation, Shape};
use tokio::sync::watch;

/// 13 names for each record, some of which climb: 2,002 names.
const SHAPE: Shape =
    Shape { clusters: 8, regions: 4, availability_zones: 2, records: 154, clusters_per_record: 3, endpoints: 500 };

fn apex() -> OwnerName {
    APEX.parse().expect("a name")
}

fn publisher(etcd: &Etcd) -> Arc<dyn Publisher> {
    let section = json!({"endpoints": [etcd.endpoint()], "nameServers": {"ns1": "192.0.2.53"}});
    mcdns_etcd::publisher("coredns", &[apex()], &manager(), &section).expect("settings")
}

fn manager() -> ManagerId {
    "prod".parse().expect("a manager")
}

/// Every second record has IPv6 addresses as well.
fn dual_stack(observation: Observation) -> Observation {
    let Some(object) = observation.object.as_deref() else { return observation };
    let Fact::LoadBalancer(items) = &object.fact else { return observation };
    if !observation.key.name.ends_with(['0', '2', '4', '6', '8']) {
        return observation;
    }
    let address = |item: &LoadBalancerItem| item.ip.as_ref()?.parse::<Ipv4Addr>().ok();
    let more = items.iter().filter_map(address).map(|address| {
        let [a, b, c, d] = address.octets();
        let ip = format!("2001:db8::{a:x}{b:02x}:{c:x}{d:02x}");
        LoadBalancerItem { ip: Some(ip.into()), hostname: None }
    });
    let items = items.iter().cloned().chain(more).collect();
    let object = Object { fact: Fact::LoadBalancer(items), ..object.clone() };
    Observation { key: observation.key.clone(), object: Some(Arc::new(object)) }
}

/// All that a program does but its sources: an engine, its answers, and what it publishes.
struct Program {
    engine: Arc<Mutex<Engine>>,
    publishing: Publishing,
    server: Server,
    _leading: watch::Sender<bool>,
}

impl Program {
    async fn start(federation: &Federation, etcd: &Etcd) -> Self {
        let mut engine = Engine::new(Options::default());
        let observations: Vec<_> = federation.observations().map(dual_stack).collect();
        let update = engine.observe(&observations, None);
        assert!(update.refused.is_empty(), "{:?}", update.refused);
        let store = Arc::new(SnapshotStore::new(engine.snapshot().clone()));
        let listener = Listener::plain(SocketAddr::from(([127, 0, 0, 1], 0)));
        let server = Server::bind(&[listener], 1, &store, &PolicyStore::default()).expect("a server");
        let engine = Arc::new(Mutex::new(engine));
        let asked = engine.clone();
        let with: WithEngine = Arc::new(move |ask| ask(&asked.lock().expect("nobody has failed")));
        let destination = Destination {
            publisher: publisher(etcd),
            zones: vec![apex()],
            beside: Vec::new(),
            options: PlanOptions::default(),
            empty_levels: EmptyLevels::Climb,
        };
        let (leading, leads) = watch::channel(true);
        let leads: Arc<dyn Leadership> = Arc::new(leads);
        let guard = GuardOptions::default();
        let publishing = Publishing::start(vec![destination], &manager(), &with, &leads, guard, Timing::default());
        let program = Self { engine, publishing, server, _leading: leading };
        program.until_published().await;
        program
    }

    async fn until_published(&self) {
        let mut changes = self.publishing.changes();
        let published = async {
            while !self.publishing.reports().iter().all(|report| report.in_sync) {
                changes.changed().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, published).await;
        waited.unwrap_or_else(|_| panic!("never published: {:?}", self.publishing.reports()));
    }

    /// Names that have records, without the apex.
    fn names(&self) -> Vec<OwnerName> {
        let engine = self.engine.lock().expect("nobody has failed");
        let wanted = engine.wanted_names(&apex());
        wanted.into_iter().filter(|wanted| !wanted.is_apex()).map(|wanted| wanted.owner).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coredns_answers_for_a_federation_as_mcdns_does() {
    let etcd = Etcd::start().await;
    let coredns = CoreDns::start(&etcd, &[APEX]);
    let program = Program::start(&Federation::new(SHAPE).expect("a shape"), &etcd).await;
    let names = program.names();
    assert!(names.len() >= 2_000, "{} names", names.len());
    // As many as are wanted, spread over all; what `cargo xtask interop` asks for is every name.
    let wanted = queries(150).min(names.len());
    let step = if wanted < 2_000 { names.len() / wanted } else { 1 };
    let mine = program.server.addresses()[0];
    let mut counts = BTreeMap::new();
    for owner in names.iter().step_by(step) {
        for record_type in [RecordType::A, RecordType::AAAA, RecordType::CNAME] {
            let [theirs, ours] = [coredns.address(), mine].map(|server| {
                let answer = ask(server, &owner.to_string(), record_type);
                answer.unwrap_or_else(|error| panic!("{owner} {record_type} of {server}: {error}"))
            });
            // An alias of the zone that leads to no address is no answer for CoreDNS, and is told by mcdns.
            let is_chain = |record: &String| record.contains(" CNAME ");
            let leads_nowhere = record_type != RecordType::CNAME && ours.answer.keys().all(is_chain);
            let kind = match (ours.answer.is_empty(), leads_nowhere) {
                (true, _) => "nothing",
                (false, true) => "an alias to nothing",
                (false, false) => "an answer",
            };
            let expected = if leads_nowhere { BTreeMap::new() } else { ours.answer.clone() };
            assert_eq!(theirs.answer, expected, "{owner} {record_type}: CoreDNS on the left, mcdns on the right");
            *counts.entry((record_type.to_string(), kind)).or_insert(0) += 1;
        }
    }
    // A comparison of nothing would say little.
    for record_type in ["A", "AAAA", "CNAME"] {
        let answers = counts.get(&(record_type.to_owned(), "an answer")).copied().unwrap_or(0);
        assert!(answers * 5 > names.len() / step, "{counts:?}");
    }
}

/// Writes a zone and asks CoreDNS.
struct Written {
    zone: PublishedZone,
    coredns: CoreDns,
    _leading: watch::Sender<bool>,
}

impl Written {
    fn new(etcd: &Etcd) -> Self {
        let (leading, leads) = watch::channel(true);
        let guard = GuardOptions { percent: 100, ..GuardOptions::default() };
        let zone =
            PublishedZone::new(publisher(etcd), manager(), apex(), PlanOptions::default(), guard, Arc::new(leads));
        Self { zone, coredns: CoreDns::start(etcd, &[APEX]), _leading: leading }
    }

    async fn write(&mut self, lines: &[&str]) {
        let wishes = Wishes::of(&apex(), lines).expect("wishes");
        let step = self.zone.converge(&wishes, Scope::Zone, Timestamp(0)).await;
        assert!(step.error.is_none() && step.again.is_empty(), "{step:?}");
        assert!(self.zone.last_plan().skipped.is_empty(), "{:?}", self.zone.last_plan().skipped);
        let plan = self.zone.preview(&wishes, Timestamp(0)).await.expect("a plan");
        assert!(plan.changes.is_empty(), "{:?}", plan.changes);
    }

    /// The answer section, in presentation format without TTLs.
    fn answer(&self, name: &str, record_type: RecordType) -> Vec<String> {
        let name = if name == "@" { APEX.to_owned() } else { format!("{name}.{APEX}") };
        let answer = ask(self.coredns.address(), &name, record_type);
        let answer = answer.unwrap_or_else(|error| panic!("{name} {record_type}: {error}"));
        answer.answer.into_keys().collect()
    }

    #[track_caller]
    fn check(&self, rows: &[(&str, RecordType, &[&str])]) {
        for (name, record_type, expected) in rows {
            assert_eq!(self.answer(name, *record_type), *expected, "{name} {record_type}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_answered_by_its_own_records_alone() {
    let etcd = Etcd::start().await;
    let mut written = Written::new(&etcd);
    written
        .write(&[
            "@ 60 A 192.0.2.1",
            "@ 60 NS ns1.elsewhere.example.",
            "www 60 A 192.0.2.2 / 192.0.2.3",
            "www 60 AAAA 2001:db8::2",
            "www 60 TXT \"v=1; \\\"quoted\\\" and \\\\ backslash\"",
            "mail 60 MX 0 mx1.example.net. / 20 mx2.example.net.",
            "_s._tcp 60 SRV 0 5 443 host.example.net. / 10 5 80 host.example.net. / 10 5 81 host.example.net.",
        ])
        .await;
    written.check(&[
        ("@", RecordType::A, &["example.com. A 192.0.2.1"]),
        ("@", RecordType::AAAA, &[]),
        ("@", RecordType::NS, &["example.com. NS ns1.ns.dns.example.com."]),
        ("ns1.ns.dns", RecordType::A, &["ns1.ns.dns.example.com. A 192.0.2.53"]),
        ("www", RecordType::A, &["www.example.com. A 192.0.2.2", "www.example.com. A 192.0.2.3"]),
        ("www", RecordType::AAAA, &["www.example.com. AAAA 2001:db8::2"]),
        ("www", RecordType::TXT, &["www.example.com. TXT v=1; \"quoted\" and \\ backslash"]),
        ("www", RecordType::SRV, &[]),
        ("www", RecordType::MX, &[]),
        ("www", RecordType::CNAME, &[]),
        (
            "mail",
            RecordType::MX,
            &["mail.example.com. MX 0 mx1.example.net.", "mail.example.com. MX 20 mx2.example.net."],
        ),
        ("mail", RecordType::SRV, &[]),
        ("_s._tcp", RecordType::MX, &[]),
        (
            "_s._tcp",
            RecordType::SRV,
            &[
                "_s._tcp.example.com. SRV 0 100 443 host.example.net.",
                "_s._tcp.example.com. SRV 10 50 80 host.example.net.",
                "_s._tcp.example.com. SRV 10 50 81 host.example.net.",
            ],
        ),
    ]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_above_others_answer_with_their_own_records() {
    let etcd = Etcd::start().await;
    let mut written = Written::new(&etcd);
    let above = [
        "@ 60 TXT \"of the apex\"",
        "up 60 A 192.0.2.1",
        "a.up 60 A 192.0.2.2",
        "deep.b.up 60 AAAA 2001:db8::3",
        "alias.up 60 CNAME target.example.com.",
        "target 60 A 192.0.2.9",
        "text 60 TXT \"only text\"",
        "a.text 60 A 192.0.2.4",
    ];
    written.write(&above).await;
    let target = "target.example.com. A 192.0.2.9";
    let rows: [(&str, RecordType, &[&str]); 9] = [
        ("@", RecordType::TXT, &["example.com. TXT of the apex"]),
        ("@", RecordType::A, &[]),
        ("up", RecordType::A, &["up.example.com. A 192.0.2.1"]),
        ("up", RecordType::AAAA, &[]),
        ("a.up", RecordType::A, &["a.up.example.com. A 192.0.2.2"]),
        ("deep.b.up", RecordType::AAAA, &["deep.b.up.example.com. AAAA 2001:db8::3"]),
        ("alias.up", RecordType::A, &["alias.up.example.com. CNAME target.example.com.", target]),
        ("text", RecordType::A, &[]),
        ("text", RecordType::TXT, &["text.example.com. TXT only text"]),
    ];
    written.check(&rows);

    // An alias, and later a name below it, and a name below that.
    written.write(&["www 60 CNAME target.example.com.", "target 60 A 192.0.2.9"]).await;
    let alias = "www.example.com. CNAME target.example.com.";
    written.check(&[("www", RecordType::CNAME, &[alias]), ("www", RecordType::A, &[target, alias])]);
    written.write(&["www 60 CNAME target.example.com.", "target 60 A 192.0.2.9", "a.b.www 60 A 192.0.2.5"]).await;
    written.check(&[
        ("www", RecordType::CNAME, &[alias]),
        ("www", RecordType::A, &[target, alias]),
        ("a.b.www", RecordType::A, &["a.b.www.example.com. A 192.0.2.5"]),
    ]);
    written.write(&["www 60 CNAME target.example.com.", "target 60 A 192.0.2.9"]).await;
    written.check(&[("www", RecordType::CNAME, &[alias]), ("www", RecordType::A, &[target, alias])]);
}
