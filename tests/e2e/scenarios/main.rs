//! Scenarios on real API servers. Each has a world to itself and says in its name what must be so.

#![allow(clippy::panic, reason = "a test fails by a panic")]

mod changes;
mod common;
mod domains;
mod external_dns;
mod faults;
mod guides;
mod harness;
mod kubefed;
mod members;
mod outages;
mod publishing;
mod refusals;
mod replicas;
mod webhook;
