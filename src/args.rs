//! The command line: what can be asked of the program, with its help.
//!
//! Plain data comes out; [`crate::settings`] puts flags over the other places that a value can come from.
//! Faults end with exit code 2, as the parser does by itself. Every example in the help is parsed by a test.

mod plan;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint,
    builder::styling::{AnsiColor, Styles},
};
use clap_complete::Shell;
use mcdns_core::dns::{OwnerName, RecordType};
use mcdns_serve::LineFormat;

use crate::settings::{Flags, LOG_FORMATS, parse};

mod examples;
mod members;
mod skydns;

use examples::{
    CHECK_EXAMPLES, COMPLETIONS_EXAMPLES, EXPLAIN_EXAMPLES, LOOKUP_EXAMPLES, RECORDS_EXAMPLES, RUN_EXAMPLES,
    SERVE_EXAMPLES, SETTINGS_EXAMPLES, TOP_EXAMPLES,
};
pub use members::{Clusters, ClustersOutput, Cordon, DryRunOutput, Host, Join, TwoClusters, Uncordon, Unjoin};
pub use skydns::{Release, SkyDns};

pub use plan::{Plan, PlanOutput};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// What this program was asked to do.
#[derive(Debug, Parser)]
#[command(
    name = "mcdns",
    version,
    about = "One DNS for federated Kubernetes clusters",
    long_about = "mcdns learns from every member cluster of a federation which services and ingresses are really \
        reachable there, and answers for them at three levels: availability zone, region, global. It is an \
        authoritative DNS server, and needs no other program to be one.",
    after_help = TOP_EXAMPLES,
    styles = STYLES,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 110
)]
pub struct Arguments {
    /// Flags that every command knows.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command knows.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Settings file (YAML). Flags and MCDNS_… variables win over it
    #[arg(long, global = true, value_name = "FILE", env = "MCDNS_SETTINGS", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub settings: Option<PathBuf>,

    /// Where host names of load balancers resolve to, in place of the resolver: a file in the form of /etc/hosts
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub hosts: Option<PathBuf>,

    /// Form of the log on standard error [default: text]
    #[arg(long, global = true, value_name = "FORMAT", value_parser = log_format_parser())]
    pub log_format: Option<LineFormat>,

    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// Flags of the commands that answer.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Server options")]
pub struct Listening {
    /// Answer on this address, over UDP and TCP; repeat it for more [default: 127.0.0.1:5300]
    #[arg(long, value_name = "ADDR:PORT", value_parser = socket_address)]
    pub listen: Vec<SocketAddr>,

    /// Health, readiness and metrics over HTTP on this address [default: 127.0.0.1:8080, where it is free]
    #[arg(long, value_name = "ADDR:PORT", value_parser = socket_address)]
    pub admin: Option<SocketAddr>,
}

/// Flags of the commands that answer and know after a restart what they knew before.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Server options")]
pub struct Server {
    /// Where to answer.
    #[command(flatten)]
    pub listening: Listening,

    /// Keep what counts after a restart here, and start from it: the last observations, serials, differences of zones
    /// for secondaries, the history of changes
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state_dir: Option<PathBuf>,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "the documentation of the structs is the help, and a line here would take its place")]
pub enum Command {
    Run(Run),
    Serve(Serve),
    Records(Records),
    Check(Check),
    Lookup(Lookup),
    Explain(Explain),
    Plan(Plan),
    Clusters(Clusters),
    Join(Join),
    Unjoin(Unjoin),
    Cordon(Cordon),
    Uncordon(Uncordon),
    Release(Release),
    Settings(Settings),
    Completions(Completions),
}

/// Observe a federation and answer for it, in one process.
///
/// Without DIR it observes a host cluster of Kubernetes and the members that are joined there, and keeps the status of
/// records and DNSEndpoints up to date in it. DIR is a federation directory: `host/` holds objects of the host cluster,
/// `members/<cluster>/` those of each member, as `kubectl get -o yaml` prints them. Changes of either change the answers
/// at once.
#[derive(Debug, Clone, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct Run {
    /// Federation directory [default: sources.directory of the settings, else Kubernetes is observed]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: Option<PathBuf>,
    /// The host cluster.
    #[command(flatten)]
    pub host: Host,
    /// Contact no member and write nothing: answer from the status that records have in the host
    #[arg(long, help_heading = "Kubernetes options", conflicts_with = "directory")]
    pub host_only: bool,
    /// Keys of SkyDNS.
    #[command(flatten)]
    pub skydns: SkyDns,
    /// Flags of a server.
    #[command(flatten)]
    pub server: Server,
}

/// Answer for master files alone (RFC 1035 section 5), as an authoritative server.
///
/// The apex of each zone is the owner of its SOA. Files that change are read again; one with an error keeps its
/// last good zone.
#[derive(Debug, Clone, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub struct Serve {
    /// Master files, one zone each
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Flags of a server.
    #[command(flatten)]
    pub server: Server,
}

/// Compute once and print to standard output; findings go to standard error.
///
/// The output depends on the input alone: no times, serial 1, everything sorted. Exit code 1 says that something
/// wanted is not published.
#[derive(Debug, Clone, Args)]
#[command(after_help = RECORDS_EXAMPLES)]
pub struct Records {
    /// Federation directory; without it, the live host cluster, whose records say what members have
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["kubeconfig", "context"])]
    pub directory: Option<PathBuf>,
    /// What to print
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = RecordsOutput::Zone)]
    pub output: RecordsOutput,
    /// Only the zone with this apex; repeat it for more
    #[arg(long, value_name = "APEX", value_parser = owner_name)]
    pub zone: Vec<OwnerName>,
    /// Where the host is.
    #[command(flatten)]
    pub host: Host,
}

/// What `records` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RecordsOutput {
    /// A master file for each zone, in canonical order
    Zone,
    /// One List of every object that would be written to the host cluster, as JSON
    Json,
    /// The same as YAML
    Yaml,
}

/// Report what is wrong, with file, line and what would be right.
///
/// Exit code 0: nothing of severity error. 1: something wanted is not published. 2: an input cannot be opened.
#[derive(Debug, Clone, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct Check {
    /// Federation directories, master files, settings files
    #[arg(required_unless_present = "delegation", value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    /// Hold NS, glue and DS of the zone APEX at its parent against those of the PATHs, or of its servers where there is
    /// no PATH; and see that each server answers
    #[arg(long, value_name = "APEX", value_parser = owner_name)]
    pub delegation: Option<OwnerName>,
    /// With --delegation: ask this server of the parent zone; repeat it for more [default: those that a resolver finds]
    #[arg(long, value_name = "ADDR", value_parser = server_address, requires = "delegation")]
    pub parent: Vec<SocketAddr>,
    /// With --delegation: ask this server of the zone; repeat it for more [default: those that its NS name]
    #[arg(long, value_name = "ADDR", value_parser = server_address, requires = "delegation")]
    pub server: Vec<SocketAddr>,
    /// With --delegation: find servers with this resolver [default: the first of /etc/resolv.conf]
    #[arg(long, value_name = "ADDR", value_parser = server_address, requires = "delegation")]
    pub resolver: Option<SocketAddr>,
    /// How to print findings
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Ask every server of the zone of a name, compare the answers and print them.
///
/// Without --server, the servers are those that the settings, the Domain in a live host cluster and the zone name. Exit code 1 says that answers
/// differ, or that a server does not answer.
#[derive(Debug, Clone, Args)]
#[command(after_help = LOOKUP_EXAMPLES)]
pub struct Lookup {
    /// Name to ask for
    #[arg(value_name = "NAME", value_parser = owner_name)]
    pub name: OwnerName,
    /// RR type; A and AAAA when left out
    #[arg(value_name = "TYPE", value_parser = record_type)]
    pub record_type: Option<RecordType>,
    /// Ask this server, as ADDR or ADDR:PORT (port 53 when left out); repeat it for more
    #[arg(long, value_name = "ADDR", value_parser = server_address)]
    pub server: Vec<SocketAddr>,
    /// Print data alone, one line a record, as `dig +short` does; the default in a pipe
    #[arg(long, conflicts_with = "table")]
    pub short: bool,
    /// Print a table of what each server said; the default on a terminal
    #[arg(long)]
    pub table: bool,
    /// Where the host is.
    #[command(flatten)]
    pub host: Host,
}

/// Tell why a name is answered as it is: record, clusters, targets, and what was left out for what reason.
///
/// With DIR it computes from that directory, with --kubeconfig or --context (and as `kubectl mcdns`) from the live host
/// cluster. Otherwise it asks the running program at its admin address.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub struct Explain {
    /// Name to explain
    #[arg(value_name = "NAME", value_parser = owner_name)]
    pub name: OwnerName,
    /// Federation directory; without it, the running program is asked
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: Option<PathBuf>,
    /// What changed when and why, newest first; needs a running program
    #[arg(long, conflicts_with = "directory")]
    pub history: bool,
    /// Only this RR type
    #[arg(long = "type", value_name = "TYPE", value_parser = record_type)]
    pub record_type: Option<RecordType>,
    /// How to print
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Admin address of the running program [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT", value_parser = socket_address)]
    pub admin: Option<SocketAddr>,
    /// Where the host is.
    #[command(flatten)]
    pub host: Host,
}

/// Print every setting with its value and where it comes from: default, file, variable or flag.
///
/// Each setting has a variable named after its place in the file: `stateDir` is `MCDNS_STATE_DIR`,
/// `admin.listen` is `MCDNS_ADMIN_LISTEN`; lists take commas. Flags win over variables, variables over the file.
#[derive(Debug, Clone, Args)]
#[command(after_help = SETTINGS_EXAMPLES)]
pub struct Settings {
    /// Flags of a server.
    #[command(flatten)]
    pub server: Server,
}

/// Print a completion script for a shell to standard output.
#[derive(Debug, Clone, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// How findings and explanations are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

impl Arguments {
    /// Reads the arguments of this process; on a fault prints it and ends the process with exit code 2.
    pub fn from_process() -> Self {
        Self::parse()
    }

    /// What the flags and arguments say about settings.
    pub fn flags(&self) -> Flags {
        let none = Server::default();
        let nowhere = Listening::default();
        let (directory, server, listening, admin) = match &self.command {
            Command::Run(run) => (run.directory.as_ref(), &run.server, &run.server.listening, None),
            Command::Serve(serve) => (None, &serve.server, &serve.server.listening, None),
            Command::Settings(settings) => (None, &settings.server, &settings.server.listening, None),
            Command::Records(records) => (records.directory.as_ref(), &none, &nowhere, None),
            Command::Explain(explain) => (explain.directory.as_ref(), &none, &nowhere, explain.admin),
            Command::Plan(plan) => (plan.directory.as_ref(), &none, &nowhere, plan.admin),
            _ => (None, &none, &nowhere, None),
        };
        let no_host = Host::default();
        let no_skydns = SkyDns::default();
        let (host, host_only, skydns) = match &self.command {
            Command::Run(run) => (&run.host, run.host_only, &run.skydns),
            _ => (&no_host, false, &no_skydns),
        };
        Flags {
            directory: directory.cloned(),
            state_dir: server.state_dir.clone(),
            hosts: self.common.hosts.clone(),
            kubeconfig: host.kubeconfig.clone(),
            context: host.context.clone(),
            host_only,
            skydns: skydns.skydns.clone(),
            skydns_zones: skydns.skydns_zone.clone(),
            system_namespace: host.kubefed_namespace.clone(),
            listen: listening.listen.clone(),
            admin: listening.admin.or(admin),
            log_format: self.common.log_format,
        }
    }

    /// The settings file, where one is named.
    pub fn settings_file(&self) -> Option<&Path> {
        self.common.settings.as_deref()
    }
}

impl Completions {
    /// Writes the script, for whatever name the program was called by (`kubectl-mcdns` as a plugin).
    pub fn write(&self, program: &str, output: &mut dyn std::io::Write) {
        clap_complete::generate(self.shell, &mut Arguments::command(), program, output);
    }
}

/// The name that the program was called by, without its folders: `mcdns`, or `kubectl-mcdns` as a plugin.
pub fn program_name() -> String {
    let path = std::env::args_os().next().map(PathBuf::from);
    let name = path.as_deref().and_then(Path::file_name).and_then(std::ffi::OsStr::to_str);
    name.filter(|name| *name == "kubectl-mcdns").unwrap_or("mcdns").to_owned()
}

fn log_format_parser() -> impl clap::builder::TypedValueParser<Value = LineFormat> {
    use clap::builder::TypedValueParser as _;
    let words = LOG_FORMATS.map(|(word, _)| word);
    clap::builder::PossibleValuesParser::new(words).try_map(|word| parse::word(&word, &LOG_FORMATS).map_err(join))
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    parse::socket_address(text).map_err(join)
}

/// An address, with port 53 where none is written.
fn server_address(text: &str) -> Result<SocketAddr, String> {
    match parse::address(text) {
        Ok(address) => Ok(SocketAddr::new(address, 53)),
        Err(_) => text.parse().map_err(|_| {
            "write an IP address, with a port if it is not 53: 192.0.2.1, 127.0.0.1:5300 or [::1]:5300".to_owned()
        }),
    }
}

fn owner_name(text: &str) -> Result<OwnerName, String> {
    OwnerName::parse(text).map_err(|error| format!("{error}; write a name such as web.shop.example.com"))
}

fn record_type(text: &str) -> Result<RecordType, String> {
    text.parse().map_err(|error: mcdns_core::dns::RecordTypeError| error.to_string())
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn join(misfit: parse::Misfit) -> String {
    format!("{}; {}", misfit.message, misfit.help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    fn refused(line: &str) -> String {
        let error = parsed(line).expect_err("refused");
        assert_eq!(error.exit_code(), 2, "{line}");
        error.to_string()
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_example_of_the_help_parses() {
        let mut top = Arguments::command();
        top.build();
        let mut count = 0;
        for command in std::iter::once(&top).chain(top.get_subcommands().filter(|command| command.get_name() != "help"))
        {
            let help = command.get_after_help().expect("every command has examples").to_string();
            let examples: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  mcdns ")).collect();
            assert!(examples.len() >= 2, "{} has too few examples", command.get_name());
            for example in examples {
                let arguments = parsed(&format!("mcdns {example}"));
                assert!(
                    arguments.is_ok(),
                    "{example}: {}",
                    arguments.err().map_or_else(String::new, |error| error.to_string())
                );
                let own = command.get_name() == "mcdns" || example.starts_with(command.get_name());
                assert!(own, "`{example}` is no example of {}", command.get_name());
                count += 1;
            }
        }
        assert!(count > 20);
    }

    #[test]
    fn every_help_line_fits_a_hundred_columns() {
        let mut top = Arguments::command();
        top.build();
        for command in top.get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            for line in help.lines() {
                // What a pipe gets is 100 wide; an example that is wrapped can no longer be pasted.
                assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
            }
        }
    }

    #[test]
    fn flags_reach_the_settings() {
        let arguments = parsed(
            "mcdns --hosts h run dir --listen 127.0.0.1:1 --listen [::1]:2 --admin 127.0.0.1:3 --state-dir s --log-format json",
        )
        .expect("parsed");
        let flags = arguments.flags();
        assert_eq!(flags.directory.as_deref(), Some(Path::new("dir")));
        assert_eq!(flags.hosts.as_deref(), Some(Path::new("h")));
        assert_eq!(flags.state_dir.as_deref(), Some(Path::new("s")));
        assert_eq!(flags.listen.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.1:1", "[::1]:2"]);
        assert_eq!(flags.admin.map(|address| address.port()), Some(3));
        assert_eq!(flags.log_format, Some(LineFormat::Json));
    }

    #[test]
    fn common_flags_stand_before_and_behind_the_command() {
        for line in
            ["mcdns --color never records dir", "mcdns records dir --color never", "mcdns records --color=never dir"]
        {
            assert_eq!(parsed(line).expect("parsed").common.color, Color::Never, "{line}");
        }
    }

    #[test]
    fn a_server_has_port_53_unless_it_says() {
        let arguments =
            parsed("mcdns lookup a.example --server 192.0.2.1 --server ::1 --server [::1]:5300").expect("parsed");
        let Command::Lookup(lookup) = arguments.command else { panic!("a lookup") };
        let shown: Vec<_> = lookup.server.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.1:53", "[::1]:53", "[::1]:5300"]);
    }

    #[test]
    fn faults_say_what_would_be_right() {
        for (line, expected) in [
            ("mcdns run dir --listen 127.0.0.1", "write 127.0.0.1:PORT"),
            ("mcdns run dir --listen localhost:53", "host names are not resolved"),
            ("mcdns lookup a..b", "a label is empty"),
            ("mcdns lookup a.example NOTYPE", "write a mnemonic such as A"),
            ("mcdns lookup a.example --server ns1.example", "write an IP address"),
            ("mcdns record dir", "records"),
            ("mcdns records dir -o xml", "[possible values: zone, json, yaml]"),
            ("mcdns serve", "<FILE>..."),
            ("mcdns explain a.example dir --history", "cannot be used with"),
            ("mcdns run dir --log-format xml", "[possible values: text, json]"),
            ("mcdns run dir --lisen 127.0.0.1:53", "--listen"),
        ] {
            let message = refused(line);
            assert!(message.contains(expected), "{line}: {message}");
        }
    }

    #[test]
    fn completions_exist_for_every_shell() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            Completions { shell: *shell }.write("mcdns", &mut script);
            let script = String::from_utf8(script).expect("UTF-8");
            assert!(script.contains("explain") && script.contains("mcdns"), "{shell}");
        }
    }
}
