//! The program `mcdns`, also found by kubectl as a plugin when it is called `kubectl-mcdns`.

use std::process::ExitCode;

use mcdns::{args::Arguments, commands};

fn main() -> ExitCode {
    commands::execute(&Arguments::from_process())
}
