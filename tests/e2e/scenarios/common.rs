//! A federation as most scenarios have it: Domain `galactic` for `example.com`, and record `nginx` in namespace `test`
//! with a service in each of two clusters.

use e2e::{
    World,
    api::kinds,
    objects::{domain, service_record},
};
use serde_json::json;

/// The global name.
pub(crate) const GLOBAL: &str = "nginx.test.galactic.svc.example.com";
/// The name of the first region.
pub(crate) const FIRST: &str = "nginx.test.galactic.svc.r1.example.com";
/// The name of the second region.
pub(crate) const SECOND: &str = "nginx.test.galactic.svc.r2.example.com";
/// The address of the first cluster.
pub(crate) const ONE: &str = "192.0.2.1";
/// The address of the second cluster.
pub(crate) const TWO: &str = "192.0.2.2";

/// Domain, record and services; nothing has run yet.
#[track_caller]
pub(crate) fn galactic() -> World {
    let world = World::joined(2);
    world.host().namespace("test");
    world.host().create(kinds::DOMAIN, &domain("galactic", "example.com"));
    world.host().create(kinds::SERVICE_RECORD, &service_record("test/nginx", "galactic", &json!({})));
    for (number, address) in [(1, ONE), (2, TWO)] {
        world.api(number).serve("test/nginx", &[address]);
    }
    world
}

/// What the DNSEndpoint has as long as both clusters are well.
pub(crate) const ENDPOINTS: [&str; 5] = [
    "nginx.test.galactic.svc.example.com 180 A 192.0.2.1 192.0.2.2",
    "nginx.test.galactic.svc.r1.example.com 180 A 192.0.2.1",
    "nginx.test.galactic.svc.r2.example.com 180 A 192.0.2.2",
    "nginx.test.galactic.svc.z1.r1.example.com 180 A 192.0.2.1",
    "nginx.test.galactic.svc.z2.r2.example.com 180 A 192.0.2.2",
];
