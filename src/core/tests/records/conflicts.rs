//! Two objects, one name: the older keeps it, the other loses that name alone.

use mcdns_core::model::{Fact, Kind, NamespacedName, RecordKey, RecordKind, ServiceRecordFact};

use crate::federation::{
    Federation, created, gone, host_object, ingress, ingress_record, lines, of, present, service_record,
};

fn conditions(federation: &Federation, kind: RecordKind, name: &str) -> String {
    let key = RecordKey { kind, name: NamespacedName::new("test", name) };
    let status = federation.engine.record_status(&key).expect("the record is there");
    let one = status.conditions.into_iter().find(|one| one.condition_type == "Conflict").expect("always present");
    format!("{} {}", one.reason, one.message)
}

/// Ingress records share the load balancer of Ingress test/`name`, so each gets an Ingress of its own.
fn ingress_of(name: &str, address: &str) -> mcdns_core::model::Observation {
    let mut observation = ingress("c1", &[address]);
    observation.key.name = name.into();
    observation
}

fn prefix(prefix: &str) -> ServiceRecordFact {
    ServiceRecordFact { dns_prefix: prefix.to_owned(), ..ServiceRecordFact::default() }
}

// D20, changed: two records with one prefix.
#[test]
fn d20_the_older_of_two_records_keeps_the_prefix() {
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1");
    let mut other = of("c1 us/us1: 10.20.30.2");
    for observation in &mut other {
        if matches!(observation.key.kind, Kind::Service | Kind::EndpointSlice) {
            observation.key.name = format!("other{}", &observation.key.name[5..]).into();
            if let Some(Fact::Endpoints(endpoints)) = observation.object.clone().map(|object| object.fact.clone()) {
                let moved = mcdns_core::model::EndpointsFact { service: "other".into(), ..endpoints };
                *observation = present(observation.key.clone(), Fact::Endpoints(moved));
            }
        } else {
            observation.object = observation.object.take();
        }
    }
    federation.observe(other);
    federation.observe(vec![
        created(service_record("test", "nginx", prefix("foo")), 200),
        created(service_record("test", "other", prefix("foo")), 100),
    ]);
    let foo = |federation: &Federation| federation.served().into_iter().find(|line| line.starts_with("foo."));
    assert_eq!(foo(&federation).as_deref(), Some("foo.example.com 180 CNAME other.test.galactic.svc.example.com."));
    assert_eq!(
        conditions(&federation, RecordKind::Service, "nginx"),
        "NameTaken foo.example.com belongs to ServiceDNSRecord test/other"
    );
    assert_eq!(
        conditions(&federation, RecordKind::Service, "other"),
        "NoConflict no other object has a name of this record"
    );
    assert_eq!(federation.findings(), ["name-taken"]);
    let published = federation.endpoints(RecordKind::Service);
    assert_eq!(published.len(), 3, "the loser loses that name alone: {published:?}");
    federation.observe(vec![gone(service_record("test", "other", prefix("foo")).key)]);
    assert_eq!(foo(&federation), Some(lines("foo.example.com 180 CNAME P.example.com.").remove(0)));
}

#[test]
fn a_claim_counts_even_if_its_record_publishes_nothing() {
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1");
    federation.observe(vec![
        created(ingress_record("first", &["www.example.com"]), 100),
        created(ingress_record("second", &["www.example.com"]), 200),
        ingress_of("second", "10.20.30.2"),
    ]);
    assert_eq!(federation.served(), Vec::<String>::new());
    assert!(conditions(&federation, RecordKind::Ingress, "second").starts_with("NameTaken www.example.com belongs to"));
    federation.observe(vec![ingress_of("first", "10.20.30.1")]);
    assert_eq!(federation.served(), ["www.example.com 180 A 10.20.30.1"]);
}

#[test]
fn without_a_time_the_names_of_the_objects_decide() {
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1");
    federation.observe(vec![
        ingress_record("b", &["www.example.com"]),
        ingress_record("a", &["www.example.com"]),
        ingress_of("a", "10.0.0.1"),
        ingress_of("b", "10.0.0.2"),
    ]);
    assert_eq!(federation.served(), ["www.example.com 180 A 10.0.0.1"]);
    // A time, however late, is older than none.
    federation.observe(vec![created(ingress_record("b", &["www.example.com"]), 4_000_000_000)]);
    assert_eq!(federation.served(), ["www.example.com 180 A 10.0.0.2"]);
}

#[test]
fn an_older_host_takes_one_level_of_a_service_and_no_more() {
    let host = "nginx.test.galactic.svc.us.example.com";
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1");
    federation.observe(vec![
        created(service_record("test", "nginx", ServiceRecordFact::default()), 200),
        created(ingress_record("web", &[host]), 100),
        ingress_of("web", "10.0.0.1"),
    ]);
    let expected = lines(
        "P.us.example.com 180 A 10.0.0.1
         P.us1.us.example.com 180 A 10.20.30.1
         P.example.com 180 A 10.20.30.1",
    );
    let served = |federation: &Federation| {
        let mut lines = federation.served();
        lines.sort();
        lines
    };
    let mut sorted = expected;
    sorted.sort();
    assert_eq!(served(&federation), sorted);
    assert_eq!(
        conditions(&federation, RecordKind::Service, "nginx"),
        format!("NameTaken {host} belongs to IngressDNSRecord test/web")
    );
    assert_eq!(federation.findings(), ["name-taken"], "a lost level is told as any other name");
    // A younger host loses to the service.
    federation.observe(vec![created(ingress_record("web", &[host]), 300)]);
    assert!(served(&federation).contains(&lines("P.us.example.com 180 A 10.20.30.1")[0]));
    assert!(conditions(&federation, RecordKind::Ingress, "web").starts_with("NameTaken"));
}

#[test]
fn a_level_that_is_claimed_but_not_published_does_not_climb() {
    let host = "nginx.test.galactic.svc.eu.example.com";
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1; c2 eu/eu1: -");
    federation.observe(vec![created(service_record("test", "nginx", ServiceRecordFact::default()), 200)]);
    let climbs = lines("P.eu.example.com 180 CNAME P.example.com.");
    assert!(federation.served().contains(&climbs[0]));
    federation.observe(vec![created(ingress_record("web", &[host]), 100)]);
    assert!(!federation.served().iter().any(|line| line.starts_with(host)), "{:?}", federation.served());
    federation.observe(vec![gone(ingress_record("web", &[host]).key)]);
    assert!(federation.served().contains(&climbs[0]));
}

#[test]
fn two_services_with_one_external_name_collide_on_all_levels() {
    let external = ServiceRecordFact { external_name: "nginx".to_owned(), ..ServiceRecordFact::default() };
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1").service_record(ServiceRecordFact::default());
    federation.observe(vec![created(service_record("test", "other", external), 50)]);
    // The older one has no Service behind it, and still has the names: nothing is served but its climbs.
    assert_eq!(
        federation.served(),
        lines(
            "P.us.example.com 180 CNAME P.example.com.
             P.us1.us.example.com 180 CNAME P.us.example.com."
        )
    );
    assert_eq!(federation.endpoints(RecordKind::Service), Vec::<String>::new());
    assert!(federation.conditions(RecordKind::Service).ends_with("!Ready:NoTargets"));
}

#[test]
fn a_prefix_needs_the_record_s_own_global_name() {
    let global = "nginx.test.galactic.svc.example.com";
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1");
    federation.observe(vec![
        created(service_record("test", "nginx", prefix("foo")), 200),
        created(ingress_record("web", &[global]), 100),
        ingress_of("web", "10.0.0.1"),
    ]);
    assert!(!federation.served().iter().any(|line| line.starts_with("foo.")), "{:?}", federation.served());
    federation.observe(vec![gone(ingress_record("web", &[global]).key)]);
    assert!(federation.served().iter().any(|line| line.starts_with("foo.")));
}

#[test]
fn a_domain_may_say_who_claims_names() {
    use mcdns_core::model::DomainFact;
    let only = |namespaces: &[&str]| {
        let allowed_namespaces = Some(namespaces.iter().map(|&name| name.into()).collect());
        let fact = DomainFact { domain: "example.com".to_owned(), allowed_namespaces, ..DomainFact::default() };
        host_object(Kind::Domain, crate::federation::SYSTEM, "galactic", Fact::Domain(fact))
    };
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1")
        .service_record(ServiceRecordFact::default())
        .ingress_record(&["www.example.com", "www.example.net"], 0);
    federation.observe(vec![only(&["shop"])]);
    assert!(federation.conditions(RecordKind::Service).starts_with("!Accepted:NamespaceNotAllowed"));
    assert!(federation.conditions(RecordKind::Service).ends_with("!Ready:NotAccepted"));
    // The host outside the Domain is still published.
    assert_eq!(federation.endpoints(RecordKind::Ingress), ["www.example.net 180 A 10.20.30.1"]);
    assert!(federation.conditions(RecordKind::Ingress).starts_with("!Accepted:NamespaceNotAllowed"));
    assert!(federation.conditions(RecordKind::Ingress).ends_with("Ready:Published"));
    federation.observe(vec![only(&["shop", "test"])]);
    assert!(federation.conditions(RecordKind::Service).starts_with("Accepted:Accepted"));
}

#[test]
fn a_child_domain_says_who_claims_names_below_its_cut_whatever_domain_the_record_refers_to() {
    use mcdns_core::model::DomainFact;
    let allowed_namespaces = Some(vec!["shop".into()]);
    let fact = DomainFact { domain: "eu.example.com".to_owned(), allowed_namespaces, ..DomainFact::default() };
    let child = host_object(Kind::Domain, crate::federation::SYSTEM, "child", Fact::Domain(fact));
    let mut federation =
        Federation::of("c1 us/us1: 10.20.30.1; c2 eu/eu1: 10.20.30.2").service_record(prefix("www.eu"));
    federation.observe(vec![child]);
    assert_eq!(
        federation.endpoints(RecordKind::Service),
        lines(
            "P.example.com 180 A 10.20.30.1 10.20.30.2
             P.us.example.com 180 A 10.20.30.1
             P.us1.us.example.com 180 A 10.20.30.1"
        )
    );
    let conditions = federation.conditions(RecordKind::Service);
    assert!(conditions.starts_with("!Accepted:NamespaceNotAllowed"), "{conditions}");
    assert!(conditions.ends_with("Ready:Published"), "{conditions}");
    assert_eq!(federation.findings(), ["namespace-not-allowed"; 3]);
}

#[test]
fn of_two_dns_endpoints_the_older_has_a_name_and_the_other_is_told() {
    use mcdns_core::{dns::OwnerName, model::ForeignRrset};
    let foreign = |name: &str, record_type: &str, target: &str, seconds: i64| {
        let (owner, record_type) = ("api.example.com".to_owned(), record_type.to_owned());
        let rrset = ForeignRrset { owner, record_type, targets: vec![target.to_owned()], ttl: 0 };
        created(host_object(Kind::ForeignRrsets, "test", name, Fact::ForeignRrsets(vec![rrset])), seconds)
    };
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1");
    federation.observe(vec![foreign("a", "CNAME", "elsewhere.example.org", 200), foreign("b", "A", "10.0.0.2", 100)]);
    assert_eq!(federation.served(), ["api.example.com 180 A 10.0.0.2"]);
    let explained = federation.engine.explain(&OwnerName::parse("api.example.com").expect("a name"));
    assert!(explained.verdict.contains("DNSEndpoint test/b"), "{}", explained.verdict);
    let told = federation.engine.findings();
    let told: Vec<_> = told.iter().map(|finding| (finding.object.as_deref(), finding.message.as_str())).collect();
    assert_eq!(
        told,
        [(Some("DNSEndpoint test/a"), "api.example.com CNAME gives way to DNSEndpoint test/b: a CNAME stands alone")]
    );
}
