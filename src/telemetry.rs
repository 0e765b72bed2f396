//! Logs on standard error.

use std::{
    io::{self, IsTerminal},
    sync::OnceLock,
};

use tracing_subscriber::{EnvFilter, Registry, fmt, prelude::*, reload};

use mcdns_serve::LineFormat;

/// Where the level is changed while the program runs.
static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// kube logs every failed request as an error; whoever asked says what it means, once.
fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("kube_client=off,{level}"))
        .map_err(|error| format!("`{level}` is no log level: {error}"))
}

/// Starts logging. `level` is a level or a filter as of `tracing-subscriber` (`info,mcdns_serve=debug`).
///
/// # Errors
///
/// What is wrong with the filter.
pub fn start(format: LineFormat, level: &str) -> Result<(), String> {
    let filter = filter(level)?;
    let (filter, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let result = match format {
        LineFormat::Json => registry.with(fmt::layer().json().with_writer(io::stderr)).try_init(),
        LineFormat::Text => {
            let colours = io::stderr().is_terminal();
            registry.with(fmt::layer().with_target(false).with_ansi(colours).with_writer(io::stderr)).try_init()
        }
    };
    result.map_err(|error| format!("logging cannot start: {error}"))?;
    // A second start was refused above.
    let _ = LEVEL.set(handle);
    Ok(())
}

/// Changes the level of a log that was started.
///
/// # Errors
///
/// What is wrong with the filter; the level stays as it was.
pub fn set_level(level: &str) -> Result<(), String> {
    let filter = filter(level)?;
    match LEVEL.get() {
        Some(handle) => handle.reload(filter).map_err(|error| error.to_string()),
        None => Err("logging was not started".to_owned()),
    }
}
