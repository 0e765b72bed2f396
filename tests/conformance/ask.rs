//! Runs the cases against any server that has the zones, for whoever writes one or the other.
//!
//! ```text
//! conformance zones FOLDER                 writes the master files into FOLDER
//! conformance ask nsd [rfc4592.txt …]      starts a control and asks it
//! conformance ask 127.0.0.1:5300           asks a server that runs
//! ```

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::bail;
use clap::Parser;
use conformance::{Target, Who, controls::Control, zones};

/// Holds a name server against the sentences of the RFCs
#[derive(Debug, Parser)]
enum Command {
    /// Write the master files that the cases are about
    Zones {
        /// Where to
        folder: PathBuf,
    },
    /// Ask a server
    Ask {
        /// nsd, knot, bind, or the address of a server that is held against the cases without notes
        server: String,
        /// Files of cases, as rfc1035.txt; all when none is named
        files: Vec<String>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let (server, files) = match Command::parse() {
        Command::Zones { folder } => {
            zones::write(&folder)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Ask { server, files } => (server, files),
    };
    let mut cases = conformance::cases()?;
    cases.retain(|case| files.is_empty() || files.iter().any(|file| file == case.file));
    if cases.is_empty() {
        bail!("there are no such cases");
    }
    let control = match server.as_str() {
        "nsd" => Some(Control::start(Who::Nsd)?),
        "knot" => Some(Control::start(Who::Knot)?),
        "bind" => Some(Control::start(Who::Bind)?),
        _ => None,
    };
    let target = match &control {
        Some(control) => control.target,
        None => Target { who: Who::Mcdns, address: server.parse::<SocketAddr>()?, notes_hold: true },
    };
    let report = conformance::run(&target, &cases);
    writeln!(io::stdout(), "{report}")?;
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
