//! A federation of any size, as a directory and as observations.
//!
//! ```text
//!   Shape ─► Federation ─┬─► write(folder): host/*.json, members/CLUSTER/*.json     what a user would hand over
//!                        └─► observations(): the same objects as a source reads them
//! ```
//!
//! Each cluster is in one availability zone. The clusters of one record are in different regions as far as there are
//! enough, so that a record with targets in 4 clusters gives 9 names with addresses: one for the federation, 4 for
//! regions and 4 for availability zones. Every load balancer has an address of its own (in 100.64.0.0/10), and so has
//! every endpoint (in 10.0.0.0/8).

mod facts;
mod files;

use std::{net::Ipv4Addr, ops::Range, sync::Arc};

use mcdns_core::model::{ClusterName, Timestamp};
use thiserror::Error;

/// Apex of the federation's one zone.
pub const APEX: &str = "example.com";
/// Name of its Domain.
pub const DOMAIN: &str = "galactic";

/// Namespace of the federation's own objects.
const SYSTEM_NAMESPACE: &str = "kube-federation-system";
/// When everything was made.
const CREATED: Timestamp = Timestamp(1_704_067_200_000);
/// The same as Kubernetes writes it.
const CREATED_TEXT: &str = "2024-01-01T00:00:00Z";
/// Namespaces that the records are spread over.
const NAMESPACES: u32 = 200;
/// Endpoints that have distinct addresses: those of 10.0.0.0/8.
const MOST_ENDPOINTS: u32 = 1 << 24;
/// Load balancers that have distinct addresses: those of 100.64.0.0/10.
const MOST_LOAD_BALANCERS: u32 = 1 << 22;
/// Availability zones of a region are told apart by a letter.
const MOST_AVAILABILITY_ZONES: u32 = 26;

/// How large a federation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Member clusters.
    pub clusters: u32,
    /// Regions that these are spread over evenly.
    pub regions: u32,
    /// Availability zones in each region.
    pub availability_zones: u32,
    /// ServiceDNSRecords.
    pub records: u32,
    /// Clusters that each record has a load balancer in.
    pub clusters_per_record: u32,
    /// Endpoints of all services in all clusters together; all are ready.
    pub endpoints: u32,
}

/// Why there is no federation of a shape.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// A number is 0 that must not be.
    #[error("`{0}` is 0; a federation has at least one")]
    Zero(&'static str),
    /// A number is too large.
    #[error("`{field}` is {value}; at most {most} can be told apart")]
    TooMany {
        /// Which.
        field: &'static str,
        /// As given.
        value: u64,
        /// What is possible.
        most: u32,
    },
}

/// A federation of some shape.
#[derive(Debug, Clone)]
pub struct Federation {
    shape: Shape,
    clusters: Vec<Cluster>,
    namespaces: Vec<Arc<str>>,
    services: Vec<Arc<str>>,
}

/// A member.
#[derive(Debug, Clone)]
struct Cluster {
    name: ClusterName,
    region: Arc<str>,
    availability_zone: Arc<str>,
}

/// A record's service in one of its clusters.
#[derive(Debug, Clone)]
struct Shard<'a> {
    /// Position among the clusters.
    position: usize,
    cluster: &'a Cluster,
    namespace: &'a Arc<str>,
    service: &'a Arc<str>,
    load_balancer: Ipv4Addr,
    /// Addresses of its endpoints, as numbers.
    endpoints: Range<u32>,
}

impl Shape {
    /// A large federation: 200 clusters in 20 regions of 3 availability zones, 15,000 records with targets in 4
    /// clusters each, 1,000,000 endpoints. It has 135,000 names with addresses, and 1.2 million with those that climb.
    pub const LARGE: Self = Self {
        clusters: 200,
        regions: 20,
        availability_zones: 3,
        records: 15_000,
        clusters_per_record: 4,
        endpoints: 1_000_000,
    };

    /// The same with one record and one endpoint in ten.
    #[must_use]
    pub const fn tenth(self) -> Self {
        Self { records: self.records / 10, endpoints: self.endpoints / 10, ..self }
    }
}

impl Federation {
    /// The federation of this shape.
    pub fn new(shape: Shape) -> Result<Self, ShapeError> {
        shape.check()?;
        let clusters = (0..shape.clusters)
            .map(|number| {
                let region = number % shape.regions;
                let letter = char::from(b'a'.saturating_add(
                    u8::try_from(number / shape.regions % shape.availability_zones).unwrap_or_default(),
                ));
                Cluster {
                    name: format!("cluster-{number:03}").into(),
                    region: format!("region-{region:02}").into(),
                    availability_zone: format!("region-{region:02}{letter}").into(),
                }
            })
            .collect();
        Ok(Self {
            shape,
            clusters,
            namespaces: (0..NAMESPACES).map(|number| format!("namespace-{number:03}").into()).collect(),
            services: (0..shape.records).map(|number| format!("service-{number:05}").into()).collect(),
        })
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Global name of a record (from 0), without a last dot.
    ///
    /// # Panics
    ///
    /// Where there is no such record; so do the other functions that take one.
    pub fn global_name(&self, record: u32) -> String {
        format!("{}.{}.{DOMAIN}.svc.{APEX}", self.service(record), self.namespace(record))
    }

    /// The addresses of that name, sorted.
    pub fn addresses(&self, record: u32) -> Vec<Ipv4Addr> {
        let mut addresses: Vec<_> = self.shards(record).map(|shard| shard.load_balancer).collect();
        addresses.sort_unstable();
        addresses
    }

    fn service(&self, record: u32) -> &Arc<str> {
        &self.services[record as usize]
    }

    fn namespace(&self, record: u32) -> &Arc<str> {
        &self.namespaces[(record % NAMESPACES) as usize]
    }

    /// What a record has in each of its clusters.
    fn shards(&self, record: u32) -> impl Iterator<Item = Shard<'_>> {
        (0..self.shape.clusters_per_record).map(move |place| self.shard(record, place))
    }

    fn shard(&self, record: u32, place: u32) -> Shard<'_> {
        let number = record * self.shape.clusters_per_record + place;
        // Neighbours are in different regions; the step spreads the records over all clusters.
        let first = u64::from(record) * 37 % u64::from(self.shape.clusters);
        let position = (first + u64::from(place)) % u64::from(self.shape.clusters);
        let position = usize::try_from(position).unwrap_or_default();
        let all = u64::from(self.shape.records) * u64::from(self.shape.clusters_per_record);
        let endpoint = |number: u32| {
            let share = u64::from(self.shape.endpoints) * u64::from(number) / all;
            (10 << 24) + u32::try_from(share).unwrap_or(u32::MAX >> 8)
        };
        Shard {
            position,
            cluster: &self.clusters[position],
            namespace: self.namespace(record),
            service: self.service(record),
            load_balancer: Ipv4Addr::from_bits(Ipv4Addr::new(100, 64, 0, 0).to_bits() + number),
            endpoints: endpoint(number)..endpoint(number + 1),
        }
    }
}

impl Shape {
    fn check(self) -> Result<(), ShapeError> {
        for (field, value) in [
            ("clusters", self.clusters),
            ("regions", self.regions),
            ("availability_zones", self.availability_zones),
            ("records", self.records),
            ("clusters_per_record", self.clusters_per_record),
        ] {
            if value == 0 {
                return Err(ShapeError::Zero(field));
            }
        }
        let load_balancers = u64::from(self.records) * u64::from(self.clusters_per_record);
        for (field, value, most) in [
            ("availability_zones", self.availability_zones.into(), MOST_AVAILABILITY_ZONES),
            ("clusters_per_record", self.clusters_per_record.into(), self.clusters),
            ("records times clusters_per_record", load_balancers, MOST_LOAD_BALANCERS),
            ("endpoints", self.endpoints.into(), MOST_ENDPOINTS),
        ] {
            if value > u64::from(most) {
                return Err(ShapeError::TooMany { field, value, most });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
