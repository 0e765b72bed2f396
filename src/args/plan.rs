//! `mcdns plan` and its flags.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum, ValueHint};

use super::socket_address;

/// Tell what publishers would change, and why.
///
/// With DIR it computes from that directory and reads what stands at each publisher; nothing is changed. Without, it
/// asks the running program at its admin address, which can apply exactly the plan that was looked at.
///
/// Exit code 1: something is held, belongs to somebody else, cannot be published, or a publisher cannot be read.
#[derive(Debug, Clone, Args)]
#[command(after_help = PLAN_EXAMPLES)]
pub struct Plan {
    /// Federation directory; without it, the running program is asked
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = PlanOutput::Text)]
    pub output: PlanOutput,
    /// Only this publisher
    #[arg(long, value_name = "NAME")]
    pub to: Option<String>,
    /// Apply the plan with this checksum, if it is still the plan
    #[arg(long, requires = "checksum", conflicts_with = "directory")]
    pub apply: bool,
    /// Checksum of the plan that was looked at
    #[arg(long, value_name = "CHECKSUM", requires = "apply")]
    pub checksum: Option<String>,
    /// Apply what is held too
    #[arg(long, requires = "apply")]
    pub force: bool,
    /// Admin address of the running program [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT", value_parser = socket_address)]
    pub admin: Option<SocketAddr>,
}

/// How plans are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanOutput {
    /// Lines for people
    #[default]
    Text,
    /// For programs
    Json,
    /// For a review
    Markdown,
}

const PLAN_EXAMPLES: &str = "\
Examples:
  mcdns plan deploy/demo/two-regions --settings settings.yaml
      From a directory, against what stands there now
  mcdns plan -o markdown --to aws
      From the running program, one publisher, for a review
  mcdns plan --apply --checksum 6e289d1440b6a1fe721ba90042d8cfa5
      Exactly what was reviewed, or nothing
  mcdns plan --apply --checksum 6e289d1440b6a1fe721ba90042d8cfa5 --force
      What is held too";
