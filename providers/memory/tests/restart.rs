//! A restart while resolvers do not answer, over the publisher in memory and a whole engine.

use std::sync::{Arc, Mutex};

use mcdns_core::{
    dns::OwnerName,
    model::{
        ClusterFact, ClusterName, Condition, ConditionStatus, DomainFact, Fact, HostAddressesFact, IngressRecordFact,
        Kind, LoadBalancerItem, Object, ObjectKey, Observation, Timestamp,
    },
    plan::{GuardOptions, ManagerId, PlanOptions, RecordSet, SkipReason},
    records::{EmptyLevels, Engine, Options},
};
use mcdns_memory::{Memory, Store};
use mcdns_publish::{EngineSource, PublishedZone, Scope};
use tokio::sync::watch;

const SYSTEM: &str = "kube-federation-system";

fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).expect("a name")
}

fn present(key: ObjectKey, fact: Fact) -> Observation {
    Observation { key, object: Some(Arc::new(Object::new(fact))) }
}

/// An Ingress `www` behind lb1.test and lb2.test, each in a cluster, and `api` behind lb2.test alone.
fn federation() -> Vec<Observation> {
    let domain = DomainFact { domain: "example.com".to_owned(), ..DomainFact::default() };
    let mut observations = vec![present(ObjectKey::host(Kind::Domain, SYSTEM, "galactic"), Fact::Domain(domain))];
    for record in ["www", "api"] {
        let hosts = vec![format!("{record}.example.com")];
        let fact = Fact::IngressRecord(IngressRecordFact { hosts, ttl: 60 });
        observations.push(present(ObjectKey::host(Kind::IngressRecord, "shop", record), fact));
    }
    for (cluster, host, records) in [("c1", "lb1.test", &["www"][..]), ("c2", "lb2.test", &["www", "api"])] {
        let ready = Some(Condition { status: ConditionStatus::True, since: None, reason: None });
        let fact = ClusterFact { ready, region: Some(format!("r-{cluster}").into()), ..ClusterFact::default() };
        observations.push(present(ObjectKey::host(Kind::Cluster, SYSTEM, cluster), Fact::Cluster(fact)));
        let cluster = ClusterName::from(cluster);
        observations.push(present(ObjectKey::observed_member(&cluster), Fact::Member));
        for record in records {
            let items = vec![LoadBalancerItem { ip: None, hostname: Some(host.into()) }];
            observations
                .push(present(ObjectKey::member(&cluster, Kind::Ingress, "shop", record), Fact::LoadBalancer(items)));
        }
    }
    observations
}

fn answer(host: &str, addresses: &[&str]) -> Observation {
    let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
    present(ObjectKey::host_addresses(host), Fact::HostAddresses(HostAddressesFact { addresses, ttl: None }))
}

/// A process that publishes into the store, with nothing remembered.
struct Process {
    engine: Arc<Mutex<Engine>>,
    zone: PublishedZone,
    store: Store,
    _leads: watch::Sender<bool>,
}

impl Process {
    fn start(store: &Store) -> Self {
        let mut engine = Engine::new(Options::default());
        engine.observe(&federation(), None);
        let manager: ManagerId = "prod".parse().expect("a manager");
        let (leads, leadership) = watch::channel(true);
        let publisher = Arc::new(Memory::new("memory", manager.clone(), store.clone()));
        let (options, guard) = (PlanOptions::default(), GuardOptions::default());
        let zone = PublishedZone::new(publisher, manager, name("example.com"), options, guard, Arc::new(leadership));
        Self { engine: Arc::new(Mutex::new(engine)), zone, store: store.clone(), _leads: leads }
    }

    async fn publish(&mut self) -> Vec<String> {
        let engine = Arc::clone(&self.engine);
        let source = EngineSource::new(Arc::new(move |ask| ask(&engine.lock().expect("whole"))), EmptyLevels::Omit);
        let step = self.zone.converge(&source, Scope::Zone, Timestamp(0)).await;
        assert_eq!(step.error, None);
        let sets = self.store.sets(&name("example.com"));
        let line = |(owner, sets): (OwnerName, Vec<RecordSet>)| {
            let values: Vec<String> = sets.iter().flat_map(RecordSet::values).collect();
            format!("{owner} {}", values.join(" "))
        };
        let ours =
            sets.into_iter().filter(|(owner, _)| ["www", "api"].iter().any(|one| owner.to_string().starts_with(one)));
        ours.map(line).collect()
    }

    fn observe(&self, observation: Observation) {
        self.engine.lock().expect("whole").observe(&[observation], None);
    }
}

#[tokio::test]
async fn a_restart_while_no_resolver_answers_takes_nothing_away() {
    let store = Store::new([name("example.com")]);
    let mut before = Process::start(&store);
    before.observe(answer("lb1.test", &["192.0.2.1"]));
    before.observe(answer("lb2.test", &["192.0.2.2"]));
    let all = ["api.example.com 192.0.2.2", "www.example.com 192.0.2.1 192.0.2.2"];
    assert_eq!(before.publish().await, all);
    drop(before);

    let mut after = Process::start(&store);
    assert_eq!(after.publish().await, all, "nothing is known of either load balancer");
    after.observe(answer("lb1.test", &["192.0.2.9"]));
    assert_eq!(after.publish().await, all, "half of www is not known");
    let skipped: Vec<String> =
        after.zone.last_plan().skipped.iter().map(|one| format!("{}: {}", one.owner, one.why)).collect();
    let why = "what stands there stays for now: no resolver has answered for the load balancer lb2.test yet";
    assert_eq!(skipped, [format!("api.example.com: {why}"), format!("www.example.com: {why}")]);
    after.observe(answer("lb2.test", &[]));
    assert_eq!(after.publish().await, ["www.example.com 192.0.2.9"], "there are none is an answer");
    assert!(after.zone.last_plan().skipped.is_empty());
}

#[tokio::test]
async fn a_name_of_which_nothing_stands_is_made_of_what_is_known() {
    let store = Store::new([name("example.com")]);
    let mut process = Process::start(&store);
    process.observe(answer("lb1.test", &["192.0.2.1"]));
    assert_eq!(process.publish().await, ["www.example.com 192.0.2.1"]);
    process.observe(answer("lb1.test", &["192.0.2.9"]));
    assert_eq!(process.publish().await, ["www.example.com 192.0.2.1"], "now something stands");
    assert!(process.zone.last_plan().skipped.iter().all(|one| matches!(one.why, SkipReason::Unsettled(_))));
}
