//! Input for tests and benchmarks: federations and zones of any size, API servers to serve them, a Route 53 to publish
//! them to, and external-dns with endpoints.
//!
//! Nothing here comes from chance: equal arguments give equal bytes on every machine, so that two measurements, or a
//! failure and its replay, are about the same thing.

pub mod api_server;
pub mod external_dns;
pub mod federation;
pub mod moto;
mod random;
pub mod route53;
pub mod zone;
