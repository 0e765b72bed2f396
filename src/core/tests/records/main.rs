//! Record generation against the tables of KubeFed v0.6.1, with its faults mended.
//!
//! Each case is named as in the tables: `S1` to `S16` are statuses (`S7` is about labels, and so stands in the tests
//! of `sources`), the named ones the unit tests of KubeFed,
//! `D1` to `D20` what its algorithm gives for inputs that it had no test for. Cases whose result differs on
//! purpose say so.

mod conflicts;
mod cordons;
mod endpoint_table;
mod federation;
mod foreign;
mod holds;
mod laws;
mod status_table;
mod wanted;
mod zones_of_domains;
