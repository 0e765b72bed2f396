//! The publisher against webhook providers in this process: strict ones, and bad ones.

mod bad_peers;
mod battery;
mod peer;
