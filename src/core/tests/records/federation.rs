//! Federations in a line, for tables of cases.

use std::{net::IpAddr, sync::Arc};

use mcdns_core::{
    dns::display_rdata,
    model::{
        ClusterFact, ClusterName, Condition, ConditionStatus, DomainFact, Endpoint, EndpointsFact, Fact,
        HostAddressesFact, IngressRecordFact, Kind, LoadBalancerItem, NamespacedName, NodeFact, Object, ObjectKey,
        Observation, PlacementFact, RecordKey, RecordKind, ServiceRecordFact, Timestamp,
    },
    records::{Engine, Options, Update},
};

pub(crate) const SYSTEM: &str = "kube-federation-system";
/// The names that tables shorten to `P`.
pub(crate) const PREFIX: &str = "nginx.test.galactic.svc";

/// An engine, and the observations that it was given.
pub(crate) struct Federation {
    pub(crate) engine: Engine,
    pub(crate) now: Option<Timestamp>,
}

impl Default for Federation {
    fn default() -> Self {
        Self::with(Options { advertise: vec![IpAddr::from([192, 0, 2, 53])], ..Options::default() })
    }
}

impl Federation {
    pub(crate) fn with(options: Options) -> Self {
        Self { engine: Engine::new(options), now: None }
    }

    /// A federation with Domain `galactic` = example.com, the resolver of the tables, and clusters as `text` says:
    /// `c1 us/us1+us2: 10.20.30.1, a9.lb.test; c2 eu/eu1: -; c3 !eu/eu1: 10.0.0.1`. A `!` is a cluster that is
    /// not Ready; `-` is one without a load balancer. Every load balancer is that of Service and Ingress
    /// test/nginx, with a ready endpoint.
    pub(crate) fn of(text: &str) -> Self {
        let mut federation = Self::default();
        federation.observe(of(text));
        federation
    }

    #[allow(clippy::needless_pass_by_value, reason = "tables write `vec![…]`, which reads better without a reference")]
    pub(crate) fn observe(&mut self, observations: Vec<Observation>) -> Update {
        let update = self.engine.observe(&observations, self.now);
        assert_eq!(update.refused, []);
        update
    }

    pub(crate) fn service_record(mut self, spec: ServiceRecordFact) -> Self {
        self.observe(vec![service_record("test", "nginx", spec)]);
        self
    }

    pub(crate) fn ingress_record(mut self, hosts: &[&str], ttl: i64) -> Self {
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        let fact = Fact::IngressRecord(IngressRecordFact { hosts, ttl });
        self.observe(vec![host_object(Kind::IngressRecord, "test", "nginx", fact)]);
        self
    }

    /// The DNSEndpoint of test/nginx, a line each: `name TTL TYPE target... [serviceName]`.
    pub(crate) fn endpoints(&self, kind: RecordKind) -> Vec<String> {
        let key = RecordKey { kind, name: NamespacedName::new("test", "nginx") };
        let endpoints = self.engine.endpoints(&key).expect("the record is there");
        let line = |endpoint: mcdns_core::records::EndpointRrset| {
            let label = endpoint.service_name.map(|name| format!(" [{name}]")).unwrap_or_default();
            let targets = endpoint.targets.join(" ");
            format!("{} {} {} {targets}{label}", endpoint.owner, endpoint.ttl, endpoint.record_type)
        };
        endpoints.into_iter().map(line).collect()
    }

    /// Status of test/nginx: the domain, then `cluster region/zone+zone: load balancer`.
    pub(crate) fn status(&self, kind: RecordKind) -> Vec<String> {
        let status = self.engine.record_status(&RecordKey { kind, name: NamespacedName::new("test", "nginx") });
        let status = status.expect("the record is there");
        let mut lines = vec![status.domain.unwrap_or_else(|| "no domain".to_owned())];
        for entry in status.clusters {
            let items = entry.items.iter().map(|item| {
                let fields = [&item.ip, &item.hostname];
                fields.into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join("+")
            });
            let items = items.collect::<Vec<_>>().join(", ");
            let zones = entry.availability_zones.join("+");
            lines.push(format!("{} {}/{zones}: {items}", entry.cluster, entry.region.as_deref().unwrap_or("")));
        }
        lines
    }

    /// `Type=Status Reason` of all conditions of test/nginx, and the message of one.
    pub(crate) fn conditions(&self, kind: RecordKind) -> String {
        let status = self.engine.record_status(&RecordKey { kind, name: NamespacedName::new("test", "nginx") });
        let conditions = status.expect("the record is there").conditions;
        let text = |one: &mcdns_core::records::RecordCondition| {
            let status = if one.status { "" } else { "!" };
            format!("{status}{}:{}", one.condition_type, one.reason)
        };
        conditions.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn message(&self, kind: RecordKind, condition_type: &str) -> String {
        let status = self.engine.record_status(&RecordKey { kind, name: NamespacedName::new("test", "nginx") });
        let mut conditions = status.expect("the record is there").conditions.into_iter();
        conditions.find(|one| one.condition_type == condition_type).expect("always present").message
    }

    /// Codes of all findings.
    pub(crate) fn findings(&self) -> Vec<String> {
        self.engine.findings().iter().map(|finding| finding.code.as_str().to_owned()).collect()
    }

    /// What is served, climbs expanded, a line each; names of the zone's own servers left out.
    pub(crate) fn served(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for zone in self.engine.snapshot().zones() {
            for (name, rrsets) in zone.expanded() {
                if name == *zone.apex() && rrsets.len() == 1 || name.to_string().starts_with("ns1.") {
                    continue;
                }
                for rrset in rrsets {
                    let mut data: Vec<String> =
                        rrset.data().iter().map(|data| display_rdata(rrset.record_type, data)).collect();
                    data.sort();
                    lines.push(format!("{name} {} {} {}", rrset.ttl, rrset.record_type, data.join(" ")));
                }
            }
        }
        lines
    }
}

/// The observations behind [`Federation::of`].
pub(crate) fn of(text: &str) -> Vec<Observation> {
    let mut observations = vec![domain("galactic", "example.com"), resolves("a9.lb.test", &["10.20.30.3"])];
    for cluster in text.split(';').map(str::trim).filter(|text| !text.is_empty()) {
        let (head, items) = cluster.split_once(':').expect("`cluster region/zones: items`");
        let (name, place) = head.split_once(' ').expect("`cluster region/zones`");
        let (place, status) = match place.strip_prefix('!') {
            Some(place) => (place, ConditionStatus::False),
            None => (place, ConditionStatus::True),
        };
        observations.push(cluster_at(name, place, status));
        observations.push(member(name));
        let items: Vec<&str> = items.split(',').map(str::trim).filter(|item| *item != "-").collect();
        if !items.is_empty() {
            observations.extend(service(name, &items));
            observations.push(ingress(name, &items));
        }
    }
    observations
}

pub(crate) fn present(key: ObjectKey, fact: Fact) -> Observation {
    Observation { key, object: Some(Arc::new(Object::new(fact))) }
}

pub(crate) fn gone(key: ObjectKey) -> Observation {
    Observation { key, object: None }
}

pub(crate) fn created(observation: Observation, seconds: i64) -> Observation {
    let object = observation
        .object
        .map(|object| Arc::new(Object { created: Some(Timestamp(seconds * 1000)), ..(*object).clone() }));
    Observation { object, ..observation }
}

pub(crate) fn host_object(kind: Kind, namespace: &str, name: &str, fact: Fact) -> Observation {
    present(ObjectKey::host(kind, namespace, name), fact)
}

pub(crate) fn domain(name: &str, domain: &str) -> Observation {
    let fact = DomainFact { domain: domain.to_owned(), ..DomainFact::default() };
    host_object(Kind::Domain, SYSTEM, name, Fact::Domain(fact))
}

pub(crate) fn cluster_at(name: &str, place: &str, status: ConditionStatus) -> Observation {
    let (region, zones) = place.split_once('/').expect("`region/zones`");
    let fact = ClusterFact {
        ready: Some(Condition { status, since: None, reason: None }),
        region: (!region.is_empty()).then(|| region.into()),
        availability_zones: zones.split('+').filter(|zone| !zone.is_empty()).map(Into::into).collect(),
        ..ClusterFact::default()
    };
    cluster(name, fact)
}

pub(crate) fn cluster(name: &str, fact: ClusterFact) -> Observation {
    host_object(Kind::Cluster, SYSTEM, name, Fact::Cluster(fact))
}

pub(crate) fn member(cluster: &str) -> Observation {
    present(ObjectKey::observed_member(&ClusterName::from(cluster)), Fact::Member)
}

pub(crate) fn member_object(cluster: &str, kind: Kind, name: &str, fact: Fact) -> Observation {
    present(ObjectKey::member(&cluster.into(), kind, "test", name), fact)
}

pub(crate) fn items(texts: &[&str]) -> Vec<LoadBalancerItem> {
    let field = |text: &str| Some(Arc::from(text));
    let item = |text: &&str| match text.split_once('+') {
        Some((ip, hostname)) => LoadBalancerItem { ip: field(ip), hostname: field(hostname) },
        None if text.is_empty() => LoadBalancerItem::default(),
        None if text.parse::<IpAddr>().is_ok() => LoadBalancerItem { ip: field(text), hostname: None },
        None => LoadBalancerItem { ip: None, hostname: field(text) },
    };
    texts.iter().map(item).collect()
}

/// Service test/nginx with a load balancer and one ready endpoint.
pub(crate) fn service(cluster: &str, load_balancer: &[&str]) -> Vec<Observation> {
    vec![service_alone(cluster, load_balancer), slice(cluster, "nginx-1", &[true])]
}

pub(crate) fn service_alone(cluster: &str, load_balancer: &[&str]) -> Observation {
    member_object(cluster, Kind::Service, "nginx", Fact::LoadBalancer(items(load_balancer)))
}

pub(crate) fn ingress(cluster: &str, load_balancer: &[&str]) -> Observation {
    member_object(cluster, Kind::Ingress, "nginx", Fact::LoadBalancer(items(load_balancer)))
}

pub(crate) fn slice(cluster: &str, name: &str, ready: &[bool]) -> Observation {
    member_object(cluster, Kind::EndpointSlice, name, Fact::Endpoints(backends(ready)))
}

pub(crate) fn endpoints(cluster: &str, ready: &[bool]) -> Observation {
    member_object(cluster, Kind::Endpoints, "nginx", Fact::Endpoints(backends(ready)))
}

pub(crate) fn backends(ready: &[bool]) -> EndpointsFact {
    let endpoint = |&ready: &bool| Endpoint { address: Some(IpAddr::from([1, 2, 3, 4])), ready };
    EndpointsFact { service: "nginx".into(), endpoints: ready.iter().map(endpoint).collect() }
}

pub(crate) fn node(cluster: &str, name: &str, region: &str, zone: &str) -> Observation {
    let field = |text: &str| (!text.is_empty()).then(|| Arc::from(text));
    let fact = NodeFact { region: field(region), availability_zone: field(zone) };
    present(ObjectKey::member(&cluster.into(), Kind::Node, "", name), Fact::Node(fact))
}

pub(crate) fn placement(clusters: Option<&[&str]>) -> Observation {
    let clusters = clusters.map(|clusters| clusters.iter().map(|&name| name.into()).collect());
    let fact = Fact::Placement(PlacementFact { clusters, selector: None });
    host_object(Kind::ServicePlacement, "test", "nginx", fact)
}

pub(crate) fn service_record(namespace: &str, name: &str, spec: ServiceRecordFact) -> Observation {
    let domain_ref = if spec.domain_ref.is_empty() { "galactic".into() } else { spec.domain_ref };
    let fact = Fact::ServiceRecord(ServiceRecordFact { domain_ref, ..spec });
    host_object(Kind::ServiceRecord, namespace, name, fact)
}

pub(crate) fn ingress_record(name: &str, hosts: &[&str]) -> Observation {
    let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
    host_object(Kind::IngressRecord, "test", name, Fact::IngressRecord(IngressRecordFact { hosts, ttl: 0 }))
}

pub(crate) fn resolves(host: &str, addresses: &[&str]) -> Observation {
    let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
    present(ObjectKey::host_addresses(host), Fact::HostAddresses(HostAddressesFact { addresses, ttl: None }))
}

/// Lines of a table cell, `P` written out.
pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(expand).collect()
}

fn expand(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.strip_prefix("P.") {
        Some(rest) => format!("{PREFIX}.{rest}"),
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}
