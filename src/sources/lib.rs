//! Where observations come from.
//!
//! ```text
//!   directory ── files of Kubernetes objects ──┐
//!   hosts ────── a hosts(5) file ──────────────┼──► Observation, Finding ──► core
//!   resolver ─── the system's resolvers ───────┤
//!   webhook ──── what external-dns sends ──────┘    (kept by somebody else first)
//!   skydns ───── keys in etcd ─────────────────► zones that are answered from them
//! ```
//!
//! A source parses at its edge and hands over facts; it makes no decisions and writes nothing. "Cannot be read" is
//! never "empty": what was last known stays until the world says otherwise. Kubernetes types end here, and
//! so do topology labels (`topology.rs`).

pub mod directory;
pub mod hosts;
pub mod kubernetes;
pub mod objects;
pub mod resolution;
pub mod resolver;
pub mod skydns;
pub mod webhook;

mod topology;
