//! The commands about members, and how a host cluster is found.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, ValueHint};

/// Longest time that a command may be told to wait.
const LONGEST: Duration = Duration::from_hours(24);

/// Where the host cluster is; as kubectl has it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Host cluster")]
pub struct Host {
    /// Kubeconfig [default: $KUBECONFIG, else ~/.kube/config, else that of the Pod]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the host cluster [default: the current one]
    #[arg(long, visible_alias = "host-cluster-context", value_name = "CONTEXT")]
    pub context: Option<String>,
    /// Namespace of the federation's own objects [default: that of the settings, kube-federation-system]
    #[arg(long, value_name = "NAMESPACE")]
    pub kubefed_namespace: Option<String>,
}

/// The two clusters of `join` and `unjoin`, with the flags of kubefedctl.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Clusters")]
pub struct TwoClusters {
    /// Context of the member [default: NAME]
    #[arg(long, value_name = "CONTEXT")]
    pub cluster_context: Option<String>,
    /// Context of the host cluster [default: the current one]
    #[arg(long, value_name = "CONTEXT")]
    pub host_cluster_context: Option<String>,
    /// Name of the host cluster, of which the name of the service account is made [default: its context]
    #[arg(long, value_name = "NAME")]
    pub host_cluster_name: Option<String>,
    /// Namespace of the federation's own objects [default: that of the settings, kube-federation-system]
    #[arg(long, value_name = "NAMESPACE")]
    pub kubefed_namespace: Option<String>,
    /// Kubeconfig [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,
}

/// Take a cluster in as a member: make a service account there that may read and nothing else, and tell the host.
///
/// The flags are those of `kubefedctl join`. The same command completes a join that was interrupted.
#[derive(Debug, Clone, Args)]
#[command(after_help = JOIN_EXAMPLES)]
pub struct Join {
    /// Name of the member: lower-case letters, digits, hyphens and dots
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Which clusters.
    #[command(flatten)]
    pub clusters: TwoClusters,
    /// Name of the Secret in the host with the token of the member [default: NAME-mcdns]
    #[arg(long, value_name = "NAME")]
    pub secret_name: Option<String>,
    /// Stop at a member or an object that is there already; false brings them up to date
    #[arg(
        long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, default_missing_value = "true",
        require_equals = true, action = clap::ArgAction::Set
    )]
    pub error_on_existing: bool,
    /// Tell what would be made, and make nothing; asks no cluster
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: print the objects
    #[arg(short, long, value_name = "FORM", value_enum, requires = "dry_run")]
    pub output: Option<DryRunOutput>,
    /// How long the member may take to answer with its new token
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "30s")]
    pub timeout: Duration,
}

/// How the objects of a dry run are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DryRunOutput {
    /// One document each, for kubectl
    Yaml,
}

/// Let a member go: cordon it, wait until no record has targets of it, delete what join made.
///
/// The flags are those of `kubefedctl unjoin`.
#[derive(Debug, Clone, Args)]
#[command(after_help = UNJOIN_EXAMPLES)]
pub struct Unjoin {
    /// Name of the member
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Which clusters.
    #[command(flatten)]
    pub clusters: TwoClusters,
    /// Neither wait for records nor stop at a member that does not answer
    #[arg(long)]
    pub force: bool,
    /// Tell what would be deleted, and delete nothing; asks no cluster
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait until no record has targets of the member
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "2m")]
    pub timeout: Duration,
}

/// Take a cluster out of all answers at once, whatever its health, until `uncordon`.
///
/// Writes the annotation mcdns.io/cordon on the KubeFedCluster, which every replica reads. With --admin a single
/// replica is asked instead, for when the host cannot be written to: it holds until the KubeFedCluster is read again.
#[derive(Debug, Clone, Args)]
#[command(after_help = CORDON_EXAMPLES)]
pub struct Cordon {
    /// Name of the KubeFedCluster
    #[arg(value_name = "CLUSTER")]
    pub cluster: String,
    /// Why; stands in the annotation, for whoever asks later
    #[arg(long, value_name = "TEXT", value_parser = reason, conflicts_with = "admin")]
    pub reason: Option<String>,
    /// Ask the replica with this admin port instead, as ADDR:PORT or http://HOST:PORT
    #[arg(long, value_name = "URL", conflicts_with_all = ["kubeconfig", "context"])]
    pub admin: Option<String>,
    /// Where the host is.
    #[command(flatten)]
    pub host: Host,
}

/// Take a cordon back: the cluster's targets are in the answers again as its health has it.
#[derive(Debug, Clone, Args)]
#[command(after_help = UNCORDON_EXAMPLES)]
pub struct Uncordon {
    /// Name of the KubeFedCluster
    #[arg(value_name = "CLUSTER")]
    pub cluster: String,
    /// Ask the replica with this admin port instead, as ADDR:PORT or http://HOST:PORT
    #[arg(long, value_name = "URL", conflicts_with_all = ["kubeconfig", "context"])]
    pub admin: Option<String>,
    /// Where the host is.
    #[command(flatten)]
    pub host: Host,
}

/// List the clusters: health, region, availability zones, age, reason, cordon, and how many records have targets there.
///
/// With DIR from a federation directory, without from a live host cluster.
#[derive(Debug, Clone, Args)]
#[command(after_help = CLUSTERS_EXAMPLES)]
pub struct Clusters {
    /// Federation directory
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["kubeconfig", "context"])]
    pub directory: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = ClustersOutput::Table)]
    pub output: ClustersOutput,
    /// Where the host is.
    #[command(flatten)]
    pub host: Host,
}

/// How clusters are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClustersOutput {
    /// For people; in a pipe, one line a cluster with tabs
    Table,
    /// The same with the API server, the reason of a cordon and the message
    Wide,
    /// For programs
    Json,
    /// For programs
    Yaml,
}

fn time(text: &str) -> Result<Duration, String> {
    let help = "write a time such as 30s, 2m or 1h, of at most 24h";
    let digits = text.trim_end_matches(|one: char| one.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(help.to_owned()),
    };
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    let time = seconds.map(Duration::from_secs).filter(|time| *time <= LONGEST);
    time.ok_or_else(|| help.to_owned())
}

fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        // This is what takes a cordon back.
        "false" => {
            Err("`false` is no reason: as the value of the annotation it means that there is no cordon".to_owned())
        }
        text => Ok(text.to_owned()),
    }
}

const JOIN_EXAMPLES: &str = "\
Examples:
  mcdns join ohio-1 --host-cluster-context host
      The cluster of context ohio-1
  mcdns join ohio-1 --cluster-context me@Ohio-1.us-east-2.eksctl.io --host-cluster-context host
      A context as eksctl names it
  mcdns join ohio-1 --host-cluster-context host --dry-run -o yaml
      What would be made, for a review or for kubectl
  mcdns join ohio-1 --host-cluster-context host --error-on-existing=false
      Again, with a new token and the objects of this version";

const UNJOIN_EXAMPLES: &str = "\
Examples:
  mcdns unjoin ohio-1 --host-cluster-context host
      Once no record has targets of it
  mcdns unjoin ohio-1 --host-cluster-context host --timeout 10m
      With more patience for publishers
  mcdns unjoin ohio-1 --host-cluster-context host --force
      Although the cluster is gone";

const CORDON_EXAMPLES: &str = "\
Examples:
  mcdns cordon ohio-1 --reason upgrade
      Out of all answers now
  mcdns cordon ohio-1 --admin 127.0.0.1:8080
      At one replica, through its admin port, while the host is down";

const UNCORDON_EXAMPLES: &str = "\
Examples:
  mcdns uncordon ohio-1
      Back in the answers
  mcdns uncordon ohio-1 --admin 127.0.0.1:8080
      At one replica, through its admin port";

const CLUSTERS_EXAMPLES: &str = "\
Examples:
  mcdns clusters
      Of the current context
  mcdns clusters deploy/demo/two-regions
      Of a directory
  mcdns clusters --context host -o wide
      With API servers and messages
  mcdns clusters -o json
      For a program";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, seconds) in [("30s", Some(30)), ("2m", Some(120)), ("24h", Some(86_400)), ("7", Some(7))] {
            assert_eq!(time(text).ok().map(|time| time.as_secs()), seconds, "{text}");
        }
        for text in ["", "s", "25h", "1d", "-1s", "99999999999999999999s", "1.5m"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
