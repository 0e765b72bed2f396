//! The pure heart of mcdns.
//!
//! Values go in and values come out: no sockets, no clocks, no files, no environment. Time, chance and
//! identity are arguments. The way through the rooms is one-directional:
//!
//! ```text
//!   Observation ──► model ──► health ──► steering ──► records ──► Patch ──► answer::Snapshot
//!   (facts only)                                        │
//!                                                       ├──► statuses, DNSEndpoints, check::Finding
//!                                                       └──► plan::WantedName ──► plan::Plan (for publishers)
//! ```
//!
//! Invariants that tests hold: the order of observations never matters; an incremental result equals the
//! full one; one bad object never hurts another; the same input gives the same bytes.

pub mod answer;
pub mod check;
pub mod dns;
pub mod health;
pub mod model;
pub mod plan;
pub mod records;
pub mod steering;
