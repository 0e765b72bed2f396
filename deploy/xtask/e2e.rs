//! The scenarios on real API servers, with everything that they need.

use std::path::Path;

use clap::Args;

use crate::{console::say, kubernetes, process::cargo, tools};

/// Which scenarios, and how.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Wanted {
    /// Only scenarios with one of these in their names, as in `outages::`; all when nothing is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Scenarios that are played at the same time; each has a world of its own. As many as there are cores when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    at_once: Option<u8>,
    /// Print the names of all scenarios and play none.
    #[arg(long)]
    list: bool,
}

/// Builds what is missing, and plays.
pub(crate) fn run(top: &Path, wanted: &Wanted) -> anyhow::Result<()> {
    if !wanted.list {
        tools::provide(top)?;
        kubernetes::provide(top)?;
        // The program under test lies beside the tests.
        crate::process::run(&mut cargo(top, &["build", "--package", "mcdns", "--bin", "mcdns"]))?;
    }
    say(format_args!("\nEach scenario has a host and members of its own; what fails says what it saw."));
    crate::process::run(cargo(top, &["test", "--package", "e2e", "--test", "scenarios", "--"]).args(wanted.arguments()))
}

impl Wanted {
    /// The same as arguments of the program that plays.
    fn arguments(&self) -> Vec<String> {
        let at_once = self.at_once.iter().map(|threads| format!("--test-threads={threads}"));
        let list = self.list.then(|| "--list".to_owned());
        self.names.iter().cloned().chain(at_once).chain(list).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_play_is_handed_on() {
        let wanted = Wanted { names: vec!["outages::".to_owned()], at_once: Some(3), list: false };
        assert_eq!(wanted.arguments(), ["outages::", "--test-threads=3"]);
        assert_eq!(Wanted::default().arguments(), Vec::<String>::new());
    }
}
