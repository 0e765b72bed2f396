//! Logs on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::settings::LogFormat;

/// Starts logging. `level` is a level or a filter as of `tracing-subscriber` (`info,mcdns_serve=debug`).
///
/// # Errors
///
/// What is wrong with the filter.
pub fn start(format: LogFormat, level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|error| format!("`{level}` is no log level: {error}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let result = match format {
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(io::stderr)).try_init(),
        LogFormat::Text => {
            let colours = io::stderr().is_terminal();
            registry.with(fmt::layer().with_target(false).with_ansi(colours).with_writer(io::stderr)).try_init()
        }
    };
    result.map_err(|error| format!("logging cannot start: {error}"))
}
