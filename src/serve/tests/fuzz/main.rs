//! Fuzz targets of the server: what strangers may send, made to be nearly right, and what must hold of every answer.
//!
//! ```text
//!   bolero ──► Exchange (a request, its listener, policy and transport) ──► Responder ──► answer
//!                                                                               │
//!        laws.rs: what an answer owes its request ◄── strict.rs, hickory-proto ◄┘
//! ```
//!
//! Each target is short here; `cargo xtask fuzz` runs it for as long as one likes. The random numbers are bolero's,
//! other ones in each run; a finding says the seed that leads to it.

#[path = "../support/mod.rs"]
mod support;

mod exchange;
mod foreign;
mod framing;
mod laws;
mod messages;
mod strict;
mod words;
mod world;
