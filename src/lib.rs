//! mcdns: the DNS of a federation of Kubernetes clusters.
//!
//! The one place where everything meets: arguments, settings, and a page of wiring per command. Whatever is
//! worth a unit test of its own lives in the rooms below.

pub mod admin;
pub mod args;
pub mod commands;
pub mod federation;
pub mod generations;
pub mod manual;
pub mod output;
pub mod settings;
pub mod telemetry;
