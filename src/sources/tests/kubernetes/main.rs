//! Watches against API servers in this process, with every fault on demand.

mod faults;
mod health;
mod host;
mod members;
mod world;
