//! Input for tests and benchmarks: federations and zones of any size, API servers to serve them, and a Route 53 to publish
//! them to.
//!
//! Nothing here comes from chance: equal arguments give equal bytes on every machine, so that two measurements, or a
//! failure and its replay, are about the same thing.

pub mod api_server;
pub mod federation;
pub mod moto;
mod random;
pub mod route53;
pub mod zone;
