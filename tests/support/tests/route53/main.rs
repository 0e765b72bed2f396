//! The Route 53 of tests, as the SDK sees it.

mod changes;
mod client;
mod moto;
mod service;
