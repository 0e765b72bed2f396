//! mcdns against real API servers: what starts them, breaks them, and looks at what comes of it.
//!
//! ```text
//!   World ── one etcd, an API server for the host and one for each member, with RBAC, TLS and an authority of their own
//!     │        ApiServer: stop, kill, suspend, resume, start again     Proxy: garbage, silence, cuts, 429, 410
//!     ├── Api    reads and writes objects as an administrator, status subresources included
//!     ├── Mcdns  `mcdns run` with a kubeconfig that has the permissions of the chart and no others
//!     └── Asker  asks 100 times a second and wants the right answer every time
//! ```
//!
//! A scenario takes a [`World`] to itself. One that is left in order goes back to a pool, emptied, for API servers take
//! longer to start than most scenarios take to play. Nothing outlives the process that runs the tests, however it ends:
//! see [`keeper`]. Nobody sleeps to be in time: [`wait_for`] asks until something is so, and says what was seen last.
//!
//! There is no controller manager: nobody makes EndpointSlices, collects garbage or finishes deleting a namespace, and
//! scenarios write the status of load balancers themselves.

#![allow(clippy::panic, clippy::missing_panics_doc, reason = "a test fails by a panic")]
#![allow(clippy::print_stderr, reason = "a test that fails says what it saw, where its runner collects it")]

pub mod api;
pub mod asker;
pub mod authority;
pub mod dns;
pub mod keeper;
pub mod manifests;
pub mod mcdns;
pub mod objects;
pub mod programs;
pub mod proxy;
pub mod server;
pub mod world;

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

pub use api::Api;
pub use asker::Asker;
pub use mcdns::Mcdns;
pub use proxy::{Fault, Proxy};
pub use world::World;

/// How long anything may take before a scenario gives up; far longer than it takes on a machine with other work.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Asks again and again until there is a result; fails with the last reason when patience is over.
#[track_caller]
pub fn wait_for<T, E: Display>(what: &str, mut probe: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match probe() {
            Ok(result) => return result,
            Err(reason) if Instant::now() >= deadline => panic!("{what}: not within {PATIENCE:?}\n{reason}"),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Looks at something again and again until it is as expected.
#[track_caller]
pub fn until_equal<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, mut probe: impl FnMut() -> T) {
    wait_for(what, || {
        let found = probe();
        if found == *expected { Ok(()) } else { Err(format!("expected {expected:#?}\nfound    {found:#?}")) }
    });
}
