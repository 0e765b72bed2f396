//! What holds for every federation: order of input does not matter, an incremental result is the full one, and
//! no generated name breaks the limits of DNS.

use std::{collections::BTreeMap, sync::Arc};

use mcdns_core::{
    answer::Soa,
    dns::Rrset,
    model::{
        ClusterFact, Condition, ConditionStatus, DomainFact, Endpoint, EndpointsFact, Fact, ForeignRrset,
        HostAddressesFact, IngressRecordFact, Kind, NodeFact, Object, ObjectKey, Observation, PlacementFact,
        ServiceRecordFact, Timestamp,
    },
    records::{Engine, Options},
};
use proptest::prelude::*;

use crate::federation::{SYSTEM, items};

/// Few names, so that objects meet each other.
fn label() -> impl Strategy<Value = String> {
    prop_oneof![Just("a"), Just("b"), Just("svc"), Just("Us"), Just("eu"), Just("x_y")].prop_map(str::to_owned)
}

fn cluster_name() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("c1"), Just("c2"), Just("c3")]
}

fn apex() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("example.com"),
        1 => Just("eu.example.com"),
        1 => Just("svc.example.com"),
        1 => Just("a.example.com"),
        1 => Just("example.net"),
        1 => Just("bad_name"),
    ]
    .prop_map(str::to_owned)
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("www.example.com"),
        Just("*.example.com"),
        Just("example.com"),
        Just("ns1.example.com"),
        Just("a.n.a.svc.example.com"),
        Just("a.n.a.svc.us.example.com"),
        Just("b.n.a.svc.eu.example.com"),
        Just("a.n.a.svc.a.us.example.com"),
        Just("b.example.com"),
        Just("no host"),
    ]
    .prop_map(str::to_owned)
}

fn load_balancer() -> impl Strategy<Value = Vec<&'static str>> {
    let target =
        prop_oneof![Just("10.0.0.1"), Just("10.0.0.2"), Just("2001:db8::1"), Just("lb.test"), Just("127.0.0.1")];
    proptest::collection::vec(target, 0..3)
}

fn maybe<T: Strategy>(strategy: T) -> impl Strategy<Value = Option<T::Value>> {
    proptest::option::weighted(0.7, strategy)
}

/// One fact about one of few objects.
fn fact() -> impl Strategy<Value = (ObjectKey, Fact)> {
    let host_key = |kind, name: &str| ObjectKey::host(kind, "n", name);
    let system_key = |kind, name: &str| ObjectKey::host(kind, SYSTEM, name);
    let member_key = |cluster: &str, kind, name: &str| ObjectKey::member(&cluster.into(), kind, "n", name);
    prop_oneof![
        (label(), apex(), maybe(label())).prop_map(move |(name, domain, server)| {
            let fact = DomainFact { domain, name_server: server, ..DomainFact::default() };
            (system_key(Kind::Domain, &name), Fact::Domain(fact))
        }),
        (cluster_name(), maybe(label()), proptest::collection::vec(label(), 0..3), 0..4_u8, 0..3_i64).prop_map(
            move |(name, region, zones, ready, since)| {
                let status =
                    [ConditionStatus::True, ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown];
                let since = (since > 0).then_some(Timestamp(since * 30_000));
                let fact = ClusterFact {
                    ready: Some(Condition { status: status[usize::from(ready)], since, reason: None }),
                    region: region.map(Into::into),
                    availability_zones: zones.into_iter().map(Into::into).collect(),
                    ..ClusterFact::default()
                };
                (system_key(Kind::Cluster, name), Fact::Cluster(fact))
            }
        ),
        (label(), label(), label(), maybe(label()), -1..400_i64, any::<bool>()).prop_map(
            move |(name, domain_ref, external, prefix, ttl, allow)| {
                let fact = ServiceRecordFact {
                    domain_ref: domain_ref.into(),
                    ttl,
                    dns_prefix: prefix.unwrap_or_default(),
                    external_name: if external == "Us" { external } else { String::new() },
                    allow_without_endpoints: allow,
                };
                (host_key(Kind::ServiceRecord, &name), Fact::ServiceRecord(fact))
            }
        ),
        (label(), proptest::collection::vec(host(), 0..4)).prop_map(move |(name, hosts)| {
            (host_key(Kind::IngressRecord, &name), Fact::IngressRecord(IngressRecordFact { hosts, ttl: 0 }))
        }),
        (label(), maybe(cluster_name()), any::<bool>()).prop_map(move |(name, cluster, ingress)| {
            let kind = if ingress { Kind::IngressPlacement } else { Kind::ServicePlacement };
            let clusters = cluster.map(|cluster| vec![cluster.into()]);
            (host_key(kind, &name), Fact::Placement(PlacementFact { clusters, selector: None }))
        }),
        (label(), cluster_name(), load_balancer()).prop_map(move |(name, cluster, targets)| {
            (host_key(Kind::ServiceStatus, &name), Fact::ServiceStatus(vec![(cluster.into(), items(&targets))]))
        }),
        (host(), prop_oneof![Just("A"), Just("CNAME"), Just("TXT")], prop_oneof![Just("10.9.9.9"), Just("t.test")])
            .prop_map(move |(owner, record_type, target)| {
                let rrset = ForeignRrset {
                    owner,
                    record_type: record_type.to_owned(),
                    targets: vec![target.to_owned()],
                    ttl: 60,
                };
                (host_key(Kind::ForeignRrsets, "service-a"), Fact::ForeignRrsets(vec![rrset]))
            }),
        cluster_name().prop_map(|cluster| (ObjectKey::observed_member(&cluster.into()), Fact::Member)),
        (cluster_name(), label(), load_balancer(), any::<bool>()).prop_map(move |(cluster, name, targets, ingress)| {
            let kind = if ingress { Kind::Ingress } else { Kind::Service };
            (member_key(cluster, kind, &name), Fact::LoadBalancer(items(&targets)))
        }),
        (cluster_name(), label(), label(), any::<bool>(), any::<bool>()).prop_map(
            move |(cluster, name, service, ready, slice)| {
                let service = if slice { service } else { name.clone() };
                let endpoints = Box::new([Endpoint { address: None, ready }]);
                let fact = Fact::Endpoints(EndpointsFact { service: service.into(), endpoints });
                (member_key(cluster, if slice { Kind::EndpointSlice } else { Kind::Endpoints }, &name), fact)
            }
        ),
        (cluster_name(), label(), maybe(label()), maybe(label())).prop_map(|(cluster, name, region, zone)| {
            let fact = NodeFact { region: region.map(Into::into), availability_zone: zone.map(Into::into) };
            (ObjectKey::member(&cluster.into(), Kind::Node, "", &name), Fact::Node(fact))
        }),
        proptest::collection::vec(prop_oneof![Just("10.5.5.5"), Just("2001:db8::5")], 0..3).prop_map(|addresses| {
            let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
            let fact = HostAddressesFact { addresses, ttl: Some(30) };
            (ObjectKey::host_addresses("lb.test"), Fact::HostAddresses(fact))
        }),
    ]
}

fn observation() -> impl Strategy<Value = Observation> {
    (fact(), proptest::option::of(0..3_i64), proptest::bool::weighted(0.85)).prop_map(
        |((key, fact), created, there)| {
            let object = Object { created: created.map(Timestamp), ..Object::new(fact) };
            Observation { key, object: there.then(|| Arc::new(object)) }
        },
    )
}

/// Everything that follows from what an engine knows.
fn results(engine: &Engine) -> (Vec<String>, Vec<String>, Vec<String>) {
    let mut zones = Vec::new();
    for zone in engine.snapshot().zones() {
        let entries: BTreeMap<_, _> = zone.entries().collect();
        let expanded: Vec<(_, Vec<Rrset>)> = zone.expanded();
        let soa = Soa { serial: mcdns_core::dns::Serial(0), ..zone.soa().clone() };
        zones.push(format!("{} {soa:?} {:?} {entries:?} {expanded:?}", zone.apex(), zone.levels()));
    }
    let records =
        engine.record_keys().map(|key| format!("{key} {:?} {:?}", engine.record_status(key), engine.endpoints(key)));
    let findings = engine.findings().iter().map(ToString::to_string).collect();
    (zones, records.collect(), findings)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn an_incremental_result_is_the_full_one_in_any_order(
        batches in proptest::collection::vec(proptest::collection::vec(observation(), 1..4), 1..25),
        seed in any::<u64>(),
    ) {
        let mut incremental = Engine::new(Options::default());
        let mut last: BTreeMap<ObjectKey, Observation> = BTreeMap::new();
        let now = Some(Timestamp(100_000));
        for batch in &batches {
            prop_assert_eq!(incremental.observe(batch, now).refused, []);
            last.extend(batch.iter().map(|observation| (observation.key.clone(), observation.clone())));
        }
        let mut known: Vec<Observation> = last.into_values().filter(|observation| observation.object.is_some()).collect();
        // A shuffle that depends on the seed alone.
        known.sort_by_key(|observation| {
            use std::hash::{Hash, Hasher};
            let mut hasher = std::hash::DefaultHasher::new();
            (seed, observation.key.to_string(), observation.key.kind).hash(&mut hasher);
            hasher.finish()
        });
        let mut full = Engine::new(Options::default());
        prop_assert_eq!(full.observe(&known, now).refused, []);
        prop_assert_eq!(results(&incremental), results(&full));
    }

    #[test]
    fn no_generated_name_breaks_the_limits(
        first in "[a-z]([a-z0-9-]{0,80})",
        external in proptest::collection::vec("[a-z0-9]{1,63}", 0..4),
        prefix in "[a-z.]{0,90}",
        region in "[a-zA-Z0-9_-]{0,70}",
        zone in "[a-zA-Z0-9-]{0,70}",
    ) {
        let mut engine = Engine::new(Options::default());
        let spec = ServiceRecordFact {
            domain_ref: "galactic".into(),
            dns_prefix: prefix,
            external_name: external.join("."),
            allow_without_endpoints: true,
            ..ServiceRecordFact::default()
        };
        let service = ObjectKey::member(&"c1".into(), Kind::Service, "test", &first);
        let place = format!("{region}/{zone}");
        let mut observations = crate::federation::of("");
        observations.extend([
            crate::federation::cluster_at("c1", &place, ConditionStatus::True),
            crate::federation::cluster_at("c2", "eu/eu1", ConditionStatus::True),
            crate::federation::member("c1"),
            crate::federation::service_record("test", &first, spec),
            crate::federation::present(service, Fact::LoadBalancer(items(&["10.0.0.1"]))),
        ]);
        prop_assert_eq!(engine.observe(&observations, None).refused, []);
        for key in engine.record_keys() {
            for endpoint in engine.endpoints(key).expect("the record is there") {
                prop_assert!(endpoint.owner.len() <= 253, "{}", endpoint.owner);
                prop_assert!(endpoint.owner.split('.').all(|label| (1..=63).contains(&label.len())), "{}", endpoint.owner);
            }
        }
    }
}
