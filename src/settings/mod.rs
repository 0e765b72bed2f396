//! Settings: one YAML file, environment variables and flags, over defaults.
//!
//! ```text
//!   flag  >  environment MCDNS_…  >  file  >  default
//! ```
//!
//! Everything is read before anything is refused, so that one start shows every fault, each with its place
//! and with what would be right. Unknown keys are refused with the nearest known one. Keys that are documented
//! for a later version are refused too: a setting that nothing acts on is worse than none. Relative paths are
//! below the working directory, like those of flags.

mod layers;
pub(crate) mod parse;
mod schema;
mod tree;
mod zones;

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    fmt::{self, Write as _},
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mcdns_core::{
    check::{Finding, FindingCode},
    dns::OwnerName,
    model::{LabelOperator, LabelRequirement, LabelSelector},
    records::{EmptyLevels, StatusEntries},
};
use mcdns_state::HistoryLimits;
use thiserror::Error;

use layers::{Layers, Row};
use parse::Misfit;
use tree::{Content, Node};

pub use layers::{Origin, Setting};
pub use zones::ZoneSettings;

/// The version of the settings file that is read.
const VERSION: &str = "1";

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `stateDir`; without one, nothing is known after a restart.
    pub state_dir: Setting<Option<PathBuf>>,
    /// `sources.directory`: the federation directory.
    pub directory: Setting<Option<PathBuf>>,
    /// `sources.hosts`: a hosts(5) file in place of the resolver.
    pub hosts: Setting<Option<PathBuf>>,
    /// `sources.kubernetes.systemNamespace`: where Domains and KubeFedClusters are.
    pub system_namespace: Setting<String>,
    /// `sources.kubernetes.health.grace`: how long the targets of an unready cluster are kept.
    pub grace: Setting<Duration>,
    /// `serve.advertise`: see [`Settings::advertised`].
    pub advertise: Setting<Vec<IpAddr>>,
    /// `serve.listen`: each over UDP and TCP.
    pub listen: Setting<Vec<SocketAddr>>,
    /// `serve.zones`, each apex once.
    pub zones: Vec<ZoneSettings>,
    /// `memberSelector`: labels of the member objects that count.
    pub member_selector: Setting<LabelSelector>,
    /// `emptyLevels`.
    pub empty_levels: Setting<EmptyLevels>,
    /// `statusEntries`.
    pub status_entries: Setting<StatusEntries>,
    /// `dnsEndpoints.groups`: API groups that DNSEndpoints are written in.
    pub dns_endpoint_groups: Setting<Vec<String>>,
    /// `admin.listen`: health, readiness, metrics.
    pub admin: Setting<SocketAddr>,
    /// `history`: how much of the past is kept.
    pub history: HistoryLimits,
    /// `log.format`.
    pub log_format: Setting<LogFormat>,
    /// `log.level`: `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: Setting<String>,
    rows: Vec<Row>,
}

/// What flags and arguments say; they win over everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// The argument `DIR`.
    pub directory: Option<PathBuf>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--hosts`.
    pub hosts: Option<PathBuf>,
    /// `--listen`; empty when not given.
    pub listen: Vec<SocketAddr>,
    /// `--admin`.
    pub admin: Option<SocketAddr>,
    /// `--log-format`.
    pub log_format: Option<LogFormat>,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Settings that are refused: everything that is wrong with them, in the order of the file, then of variables.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct SettingsError {
    /// Each with its place and with what would be right.
    pub findings: Vec<Finding>,
}

impl Settings {
    /// Reads all places. `environment` is what [`std::env::vars_os`] gives.
    pub fn resolve(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &Flags,
    ) -> Result<Self, SettingsError> {
        let one = |finding| SettingsError { findings: vec![finding] };
        let root = match file {
            Some(path) => {
                let name: Arc<str> = path.display().to_string().into();
                let text = fs::read_to_string(path).map_err(|error| {
                    let help = "give --settings a YAML file that this user can read";
                    let message = format!("the settings cannot be read: {error}");
                    one(Finding::new(FindingCode::Unreadable, message).at(&name, 0, 0).help(help))
                })?;
                Some((name.clone(), Node::parse(&text, &name).map_err(|finding| one(*finding))?))
            }
            None => None,
        };
        let root = root.as_ref().map(|(name, node)| (name.clone(), node));
        let mut layers = Layers::new(root, environment);
        if let Some((name, node)) = layers.file.clone() {
            check_version(&mut layers, &name, node);
            layers.findings.extend(schema::check(node, &name));
        }
        let settings = Self::read(&mut layers, flags);
        layers.refuse_unknown_variables();
        if layers.findings.is_empty() {
            Ok(Self { rows: layers.rows, ..settings })
        } else {
            layers.findings.sort_by(|left, right| {
                let place = |finding: &Finding| (finding.place.is_none(), finding.place.clone());
                place(left).cmp(&place(right))
            });
            Err(SettingsError { findings: layers.findings })
        }
    }

    /// Addresses of `ns1` of zones where nothing else names them: `serve.advertise`, else the listeners'
    /// without wildcards. May be empty.
    pub fn advertised(&self) -> Vec<IpAddr> {
        if !self.advertise.value.is_empty() {
            return self.advertise.value.clone();
        }
        let addresses = self.listen.value.iter().map(SocketAddr::ip);
        let mut addresses: Vec<_> = addresses.filter(|address| !address.is_unspecified()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Settings of one zone; defaults where `serve.zones` does not name it.
    pub fn zone(&self, apex: &OwnerName) -> ZoneSettings {
        self.zones.iter().find(|zone| zone.apex == *apex).cloned().unwrap_or_else(|| ZoneSettings::new(apex.clone()))
    }

    /// A table of every value with its origin, one line each.
    pub fn describe(&self) -> String {
        let width = |cell: fn(&Row) -> &str| self.rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0);
        // A list of fifty name servers must not push every origin off the screen.
        let (paths, values) = (width(|row| &row.path), width(|row| &row.value).min(40));
        let mut text = String::new();
        for row in &self.rows {
            let value = if row.value.is_empty() { "-" } else { &row.value };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:paths$}  {value:values$}  {}", row.path, row.origin);
        }
        text
    }

    fn read(layers: &mut Layers<'_>, flags: &Flags) -> Self {
        let path = |text: &str| parse::not_empty(text).map(|text| Some(PathBuf::from(text)));
        let show_path =
            |path: &Option<PathBuf>| path.as_ref().map_or_else(String::new, |path| path.display().to_string());
        let flag = |name, path: &Option<PathBuf>| path.clone().map(|path| (name, Some(path)));

        let state_dir = layers.value("stateDir", flag("--state-dir", &flags.state_dir), None, path, show_path);
        let directory = layers.value("sources.directory", flag("DIR", &flags.directory), None, path, show_path);
        let hosts = layers.value("sources.hosts", flag("--hosts", &flags.hosts), None, path, show_path);
        let system_namespace = layers.value(
            "sources.kubernetes.systemNamespace",
            None,
            "kube-federation-system".to_owned(),
            parse::not_empty,
            Clone::clone,
        );
        let grace =
            layers.value("sources.kubernetes.health.grace", None, Duration::from_mins(1), parse::duration, |time| {
                parse::show_duration(*time)
            });
        let advertise = layers.values(
            "serve.advertise",
            None,
            Vec::new(),
            advertised_address,
            |layers, file, node, path| Some(layers.parse_node(file, node, path, advertised_address)?.value),
            ToString::to_string,
        );
        let listen = read_listeners(layers, &flags.listen);
        let zones = zones::read(layers);
        let member_selector = read_selector(layers);
        let empty_levels = layers.value(
            "emptyLevels",
            None,
            EmptyLevels::Climb,
            |text| parse::word(text, &EMPTY_LEVELS),
            |value| word_of(*value, &EMPTY_LEVELS),
        );
        let status_entries = layers.value(
            "statusEntries",
            None,
            StatusEntries::All,
            |text| parse::word(text, &STATUS_ENTRIES),
            |value| word_of(*value, &STATUS_ENTRIES),
        );
        let dns_endpoint_groups = layers.values(
            "dnsEndpoints.groups",
            None,
            vec!["multiclusterdns.kubefed.io".to_owned()],
            parse::not_empty,
            |layers, file, node, path| Some(layers.parse_node(file, node, path, parse::not_empty)?.value),
            Clone::clone,
        );
        let admin = layers.value(
            "admin.listen",
            flags.admin.map(|address| ("--admin", address)),
            SocketAddr::from(([127, 0, 0, 1], 8080)),
            parse::socket_address,
            ToString::to_string,
        );
        let history = read_history(layers);
        let log_format = layers.value(
            "log.format",
            flags.log_format.map(|format| ("--log-format", format)),
            LogFormat::Text,
            |text| parse::word(text, &LogFormat::WORDS),
            |value| word_of(*value, &LogFormat::WORDS),
        );
        let log_level = layers.value(
            "log.level",
            None,
            "info".to_owned(),
            |text| parse::word(text, &LEVELS.map(|level| (level, level))).map(ToOwned::to_owned),
            Clone::clone,
        );
        Self {
            state_dir,
            directory,
            hosts,
            system_namespace,
            grace,
            advertise,
            listen,
            zones,
            member_selector,
            empty_levels,
            status_entries,
            dns_endpoint_groups,
            admin,
            history,
            log_format,
            log_level,
            rows: Vec::new(),
        }
    }
}

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The words of `emptyLevels`.
const EMPTY_LEVELS: [(&str, EmptyLevels); 2] = [("climb", EmptyLevels::Climb), ("omit", EmptyLevels::Omit)];
/// The words of `statusEntries`.
const STATUS_ENTRIES: [(&str, StatusEntries); 2] =
    [("all", StatusEntries::All), ("withTargets", StatusEntries::WithTargets)];

impl LogFormat {
    /// The words that mean it.
    pub(crate) const WORDS: [(&str, Self); 2] = [("text", Self::Text), ("json", Self::Json)];
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            write!(f, "{}{finding}", if index > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

/// Refuses a file whose version is missing or not ours.
fn check_version(layers: &mut Layers<'_>, file: &Arc<str>, root: &Node) {
    match root.child("version").map(|node| (node, &node.content)) {
        Some((_, Content::Scalar(version))) if version == VERSION => {}
        Some((node, Content::Scalar(version))) => {
            let message = format!("version {version} of the settings is not known here");
            layers.refuse_node(file, node, "version", Misfit::new(message, "this program reads `version: 1`"));
        }
        None if matches!(root.content, Content::Map(_)) => {
            layers.refuse_node(file, root, "version", Misfit::new("is missing", "start the file with `version: 1`"));
        }
        // A root that is no mapping, or a version that is no value, is refused by the schema.
        _ => {}
    }
}

fn read_listeners(layers: &mut Layers<'_>, flags: &[SocketAddr]) -> Setting<Vec<SocketAddr>> {
    const PATH: &str = "serve.listen";
    let faults = layers.findings.len();
    let flag: Vec<_> = flags.to_vec();
    let listen = layers.values(
        PATH,
        Some(("--listen", flag)).filter(|(_, flag)| !flag.is_empty()),
        vec![SocketAddr::from(([127, 0, 0, 1], 5300))],
        parse::socket_address,
        read_listener,
        ToString::to_string,
    );
    if listen.value.is_empty() && layers.findings.len() == faults {
        let misfit =
            Misfit::new("is empty, so that nothing would be answered", "name an address, or take the setting out");
        layers.refuse(PATH, &listen.origin, misfit);
    }
    for (index, address) in listen.value.iter().enumerate() {
        // Port 0 is a free port, a new one each time.
        if address.port() != 0 && listen.value[..index].contains(address) {
            let misfit = Misfit::new(format!("{address} stands there twice"), "name each address once");
            layers.refuse(PATH, &listen.origin, misfit);
        }
    }
    listen
}

fn read_listener(layers: &mut Layers<'_>, file: &Arc<str>, node: &Node, path: &str) -> Option<SocketAddr> {
    if matches!(node.content, Content::Scalar(_)) {
        return Some(layers.parse_node(file, node, path, parse::socket_address)?.value);
    }
    let Some(address) = node.child("address").filter(|address| address.content != Content::Nothing) else {
        let misfit = Misfit::new("has no address", "write {address: 127.0.0.1:5300, transports: [udp, tcp]}");
        layers.refuse_node(file, node, path, misfit);
        return None;
    };
    let address = layers.parse_node(file, address, &format!("{path}.address"), parse::socket_address);
    let Some(transports) = node.child("transports").filter(|node| node.content != Content::Nothing) else {
        return Some(address?.value);
    };
    let items = match &transports.content {
        Content::List(items) => &items[..],
        _ => std::slice::from_ref(transports),
    };
    let (mut udp, mut tcp) = (false, false);
    for item in items {
        match layers.parse_node(file, item, &format!("{path}.transports"), transport)?.value {
            Transport::Udp => udp = true,
            Transport::Tcp => tcp = true,
        }
    }
    if !(udp && tcp) {
        let message = "must name both udp and tcp: a DNS server has both (RFC 7766 section 5)";
        let misfit = Misfit::new(message, "write [udp, tcp], or leave it out");
        layers.refuse_node(file, transports, &format!("{path}.transports"), misfit);
        return None;
    }
    Some(address?.value)
}

#[derive(Clone, Copy)]
enum Transport {
    Udp,
    Tcp,
}

fn transport(text: &str) -> Result<Transport, Misfit> {
    if matches!(text, "dot" | "doh" | "doq") {
        let message = format!("`{text}` is known, but not available in this version");
        return Err(Misfit::new(message, "write [udp, tcp]"));
    }
    parse::word(text, &[("udp", Transport::Udp), ("tcp", Transport::Tcp)])
}

fn advertised_address(text: &str) -> Result<IpAddr, Misfit> {
    let address = parse::address(text)?;
    if address.is_unspecified() || address.is_multicast() {
        let message = format!("`{text}` is no address that a client could send a question to");
        return Err(Misfit::new(message, "write addresses of this server that its clients can reach"));
    }
    Ok(address)
}

fn read_history(layers: &mut Layers<'_>) -> HistoryLimits {
    let defaults = HistoryLimits::default();
    let show = |octets: &u64| parse::show_size(*octets);
    let changes = layers.value("history.changes", None, defaults.changes, parse::count, ToString::to_string);
    let memory = layers.value("history.memory", None, defaults.memory as u64, parse::size, show);
    let disk = layers.value("history.disk", None, defaults.disk, parse::size, show);
    HistoryLimits {
        changes: changes.value,
        memory: usize::try_from(memory.value).unwrap_or(usize::MAX),
        disk: disk.value,
    }
}

/// `memberSelector`, as Kubernetes writes label selectors; the file alone can set it.
fn read_selector(layers: &mut Layers<'_>) -> Setting<LabelSelector> {
    const PATH: &str = "memberSelector";
    let require = |key: &str, operator, values: Vec<String>| LabelRequirement { key: key.to_owned(), operator, values };
    let found = layers.file.clone().and_then(|(file, root)| Some((file, root.at(PATH)?)));
    let setting = match found {
        None => {
            let requirements = vec![require("kubefed.io/managed", LabelOperator::In, vec!["true".to_owned()])];
            Setting { value: LabelSelector { requirements }, origin: Origin::Default }
        }
        Some((file, node)) => {
            let mut requirements = Vec::new();
            if let Some(Content::Map(labels)) = node.child("matchLabels").map(|node| &node.content) {
                for (key, value) in labels {
                    let path = format!("{PATH}.matchLabels.{}", key.text);
                    if let Content::Scalar(text) = &value.content {
                        requirements.push(require(&key.text, LabelOperator::In, vec![text.clone()]));
                    } else {
                        layers.refuse_node(&file, value, &path, Misfit::new("is no single value", "write a text"));
                    }
                }
            }
            let expressions = node.child("matchExpressions").map(Node::items).unwrap_or_default();
            for (index, expression) in expressions.iter().enumerate() {
                let path = format!("{PATH}.matchExpressions[{index}]");
                requirements.extend(read_requirement(layers, &file, expression, &path));
            }
            Setting { value: LabelSelector { requirements }, origin: Origin::File { file, line: node.line } }
        }
    };
    let shown: Vec<_> = setting.value.requirements.iter().map(show_requirement).collect();
    let shown = if shown.is_empty() { "everything".to_owned() } else { shown.join(", ") };
    layers.row(PATH, shown, setting.origin.clone());
    setting
}

fn read_requirement(layers: &mut Layers<'_>, file: &Arc<str>, node: &Node, path: &str) -> Option<LabelRequirement> {
    const OPERATORS: [(&str, LabelOperator); 4] = [
        ("In", LabelOperator::In),
        ("NotIn", LabelOperator::NotIn),
        ("Exists", LabelOperator::Exists),
        ("DoesNotExist", LabelOperator::DoesNotExist),
    ];
    let (Some(key), Some(operator)) = (node.child("key"), node.child("operator")) else {
        let misfit = Misfit::new("needs a key and an operator", "write {key: tier, operator: In, values: [public]}");
        layers.refuse_node(file, node, path, misfit);
        return None;
    };
    let key = layers.parse_node(file, key, &format!("{path}.key"), parse::not_empty)?.value;
    let operator =
        layers.parse_node(file, operator, &format!("{path}.operator"), |text| parse::word(text, &OPERATORS))?.value;
    let values = node.child("values").map(Node::items).unwrap_or_default();
    let text = |node: &Node| match &node.content {
        Content::Scalar(text) => Some(text.clone()),
        _ => None,
    };
    let values: Vec<String> = values.iter().filter_map(text).collect();
    let wants_values = matches!(operator, LabelOperator::In | LabelOperator::NotIn);
    if wants_values == values.is_empty() {
        let misfit = if wants_values {
            Misfit::new("has no values", "In and NotIn need at least one")
        } else {
            Misfit::new("has values", "Exists and DoesNotExist take none")
        };
        layers.refuse_node(file, node, path, misfit);
        return None;
    }
    Some(LabelRequirement { key, operator, values })
}

fn show_requirement(requirement: &LabelRequirement) -> String {
    let LabelRequirement { key, operator, values } = requirement;
    match operator {
        LabelOperator::In if values.len() == 1 => format!("{key}={}", values[0]),
        LabelOperator::In => format!("{key} in ({})", values.join(",")),
        LabelOperator::NotIn => format!("{key} notin ({})", values.join(",")),
        LabelOperator::Exists => key.clone(),
        LabelOperator::DoesNotExist => format!("!{key}"),
    }
}

fn word_of<T: Copy + PartialEq>(value: T, words: &[(&str, T)]) -> String {
    words.iter().find(|(_, known)| *known == value).map_or_else(String::new, |(word, _)| (*word).to_owned())
}
