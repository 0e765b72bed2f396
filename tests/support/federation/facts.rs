//! The federation as observations.

use std::{net::Ipv4Addr, sync::Arc};

use mcdns_core::model::{
    ClusterFact, Condition, ConditionStatus, DomainFact, Endpoint, EndpointsFact, Fact, Kind, LoadBalancerItem, Object,
    ObjectKey, Observation, Scope, ServiceRecordFact,
};

use super::{APEX, CREATED, Cluster, DOMAIN, Federation, SYSTEM_NAMESPACE, Shard};

impl Federation {
    /// Everything, host first; the same objects as [`Federation::write`] writes.
    pub fn observations(&self) -> impl Iterator<Item = Observation> {
        let records = || 0..self.shape.records;
        std::iter::once(domain())
            .chain(self.clusters.iter().map(cluster))
            .chain(self.clusters.iter().map(member))
            .chain(records().map(|record| self.record(record)))
            .chain(records().flat_map(|record| self.shards(record).map(|shard| service(&shard))))
            .chain(records().flat_map(|record| self.shards(record).map(|shard| slice(&shard, usize::MAX))))
    }

    /// The EndpointSlice of a record in its cluster of that place (from 0), with the first `ready` endpoints ready.
    /// Between 0 and 1 lies the change that answers show: the last endpoint of a cluster goes or comes back.
    ///
    /// # Panics
    ///
    /// Where there is no such record.
    pub fn slice(&self, record: u32, place: u32, ready: usize) -> Observation {
        slice(&self.shard(record, place % self.shape.clusters_per_record), ready)
    }

    fn record(&self, record: u32) -> Observation {
        let fact = ServiceRecordFact { domain_ref: DOMAIN.into(), ..ServiceRecordFact::default() };
        observation(
            Scope::Host,
            Kind::ServiceRecord,
            self.namespace(record),
            self.service(record),
            Fact::ServiceRecord(fact),
        )
    }
}

fn domain() -> Observation {
    let fact = DomainFact { domain: APEX.to_owned(), ..DomainFact::default() };
    observation(Scope::Host, Kind::Domain, &SYSTEM_NAMESPACE.into(), &DOMAIN.into(), Fact::Domain(fact))
}

fn cluster(cluster: &Cluster) -> Observation {
    let ready = Condition { status: ConditionStatus::True, since: Some(CREATED), reason: Some("ClusterReady".into()) };
    let fact = ClusterFact {
        ready: Some(ready),
        region: Some(cluster.region.clone()),
        availability_zones: vec![cluster.availability_zone.clone()],
        ..ClusterFact::default()
    };
    observation(Scope::Host, Kind::Cluster, &SYSTEM_NAMESPACE.into(), &cluster.name, Fact::Cluster(fact))
}

/// That a member is observed is no object of Kubernetes, so nothing made it.
fn member(cluster: &Cluster) -> Observation {
    Observation { key: ObjectKey::observed_member(&cluster.name), object: Some(Arc::new(Object::new(Fact::Member))) }
}

fn service(shard: &Shard<'_>) -> Observation {
    let item = LoadBalancerItem { ip: Some(shard.load_balancer.to_string().into()), hostname: None };
    in_member(shard, Kind::Service, shard.service, Fact::LoadBalancer(vec![item]))
}

fn slice(shard: &Shard<'_>, ready: usize) -> Observation {
    let endpoints = shard
        .endpoints
        .clone()
        .enumerate()
        .map(|(index, address)| Endpoint { address: Some(Ipv4Addr::from_bits(address).into()), ready: index < ready });
    let fact = EndpointsFact { service: shard.service.clone(), endpoints: endpoints.collect() };
    in_member(shard, Kind::EndpointSlice, &shard.slice_name().into(), Fact::Endpoints(fact))
}

fn in_member(shard: &Shard<'_>, kind: Kind, name: &Arc<str>, fact: Fact) -> Observation {
    observation(Scope::Member(shard.cluster.name.clone()), kind, shard.namespace, name, fact)
}

fn observation(scope: Scope, kind: Kind, namespace: &Arc<str>, name: &Arc<str>, fact: Fact) -> Observation {
    let object = Object { created: Some(CREATED), object_generation: Some(1), ..Object::new(fact) };
    Observation {
        key: ObjectKey { scope, kind, namespace: namespace.clone(), name: name.clone() },
        object: Some(Arc::new(object)),
    }
}
