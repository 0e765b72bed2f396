//! Settings: one YAML file, environment variables and flags, over defaults.
//!
//! ```text
//!   flag  >  environment MCDNS_…  >  file  >  default
//! ```
//!
//! Everything is read before anything is refused, so that one start shows every fault, each with its place
//! and with what would be right. Unknown keys are refused with the nearest known one: a setting that nothing
//! acts on is worse than none. Relative paths are below the working directory, like those of flags.

mod keys;
mod kubernetes;
mod layers;
mod listeners;
pub(crate) mod parse;
mod publish;
mod schema;
mod section;
mod selector;
mod server;
mod skydns;
mod transfer;
mod tree;
mod webhook;
mod zones;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_faults;
#[cfg(test)]
mod tests_publish;
#[cfg(test)]
mod tests_server;

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
    model::LabelSelector,
    records::{EmptyLevels, StatusEntries},
};
use mcdns_serve::{Condition, Key, KeyRing, LineFormat, Listener, Policy, TransferLimits, ZonePolicy};
use mcdns_state::HistoryLimits;
use thiserror::Error;

use layers::{Layers, Row};
use parse::Misfit;
use tree::{Content, Node};

pub use kubernetes::KubernetesSettings;
pub use layers::{Origin, Setting};
pub use publish::{DestinationSettings, PROVIDERS, ProviderSection, PublishSettings};
pub use server::{DnstapSettings, ServerSettings, UserSettings};
pub(crate) use skydns::zones_of as skydns_zones_of;
pub use skydns::{SkyDnsSettings, SkyDnsZones};
pub use transfer::TransferSettings;
pub use webhook::WebhookSettings;
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
    /// The rest of `sources.kubernetes`.
    pub kubernetes: KubernetesSettings,
    /// `sources.skydns`.
    pub skydns: SkyDnsSettings,
    /// `serve.advertise`: see [`Settings::advertised`].
    pub advertise: Setting<Vec<IpAddr>>,
    /// `serve.listen`: an entry with two encrypted transports is two listeners.
    pub listen: Setting<Vec<Listener>>,
    /// The rest of `serve` that is about the server as a whole.
    pub server: ServerSettings,
    /// `serve.keys`: TSIG keys, each name once.
    pub keys: Vec<Key>,
    /// `serve.transfer`: what holds for zones that say nothing of transfers.
    pub transfer: ZonePolicy,
    /// `serve.transfer.notifySource`: where secondaries are told from, an address of each family at most.
    pub notify_sources: Vec<IpAddr>,
    /// `serve.transfer`: what holds for all zones together.
    pub transfer_limits: TransferLimits,
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
    /// `dnsEndpoints.read`: API groups that DNSEndpoints of others are read from, beside those.
    pub dns_endpoint_reads: Setting<Vec<String>>,
    /// `publish`: where the records go.
    pub publish: Setting<PublishSettings>,
    /// `webhook`: what external-dns publishes into us.
    pub webhook: WebhookSettings,
    /// `admin.listen`: health, readiness, metrics.
    pub admin: Setting<SocketAddr>,
    /// `history`: how much of the past is kept.
    pub history: Setting<HistoryLimits>,
    /// `log.format`.
    pub log_format: Setting<LineFormat>,
    /// `log.level`: `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: Setting<String>,
    /// What is odd about the settings, and not refused.
    pub warnings: Vec<Finding>,
    rows: Vec<Row>,
    source: Source,
}

/// Where settings were read, to read them there again.
#[derive(Debug, Clone, Default)]
struct Source {
    file: Option<PathBuf>,
    /// Variables of ours alone.
    environment: Vec<(OsString, OsString)>,
    flags: Flags,
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
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// `--host-only`.
    pub host_only: bool,
    /// `--skydns`; empty when not given.
    pub skydns: Vec<String>,
    /// `--skydns-zone`; empty when not given.
    pub skydns_zones: Vec<SkyDnsZones>,
    /// `--kubefed-namespace`.
    pub system_namespace: Option<String>,
    /// `--listen`; empty when not given.
    pub listen: Vec<SocketAddr>,
    /// `--admin`.
    pub admin: Option<SocketAddr>,
    /// `--log-format`.
    pub log_format: Option<LineFormat>,
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
        let environment = environment.into_iter().filter(|(name, _)| layers::is_ours(name));
        let source =
            Source { file: file.map(Path::to_owned), environment: environment.collect(), flags: flags.clone() };
        Self::read_from(source)
    }

    /// Reads the same places again: the file may have changed since.
    pub fn again(&self) -> Result<Self, SettingsError> {
        Self::read_from(self.source.clone())
    }

    fn read_from(source: Source) -> Result<Self, SettingsError> {
        let one = |finding| SettingsError { findings: vec![finding] };
        let root = match &source.file {
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
        let mut layers = Layers::new(root, source.environment.iter().cloned());
        if let Some((name, node)) = layers.file.clone() {
            check_version(&mut layers, &name, node);
            layers.findings.extend(schema::check(node, &name));
        }
        let settings = Self::read(&mut layers, &source.flags);
        layers.refuse_unknown_variables();
        if layers.findings.is_empty() {
            Ok(Self { rows: layers.rows, source, ..settings })
        } else {
            layers.findings.sort_by(|left, right| {
                let place = |finding: &Finding| (finding.place.is_none(), finding.place.clone());
                place(left).cmp(&place(right))
            });
            Err(SettingsError { findings: layers.findings })
        }
    }

    /// API groups that DNSEndpoints are read from: our own, those that they are written in, and those that are named.
    pub fn endpoint_groups(&self) -> Vec<String> {
        let mut groups = vec!["multiclusterdns.kubefed.io".to_owned()];
        for group in self.dns_endpoint_groups.value.iter().chain(&self.dns_endpoint_reads.value) {
            if !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        groups
    }

    /// Addresses of `ns1` of zones where nothing else names them: `serve.advertise`, else the listeners'
    /// without wildcards. May be empty.
    pub fn advertised(&self) -> Vec<IpAddr> {
        if !self.advertise.value.is_empty() {
            return self.advertise.value.clone();
        }
        let addresses = self.listen.value.iter().map(|listener| listener.address.ip());
        let mut addresses: Vec<_> = addresses.filter(|address| !address.is_unspecified()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Settings of one zone; defaults where `serve.zones` does not name it.
    pub fn zone(&self, apex: &OwnerName) -> ZoneSettings {
        self.zones.iter().find(|zone| zone.apex == *apex).cloned().unwrap_or_else(|| ZoneSettings::new(apex.clone()))
    }

    /// The master file of each zone that has one.
    pub fn zone_files(&self) -> impl Iterator<Item = (&OwnerName, &Path)> {
        self.zones.iter().filter_map(|zone| Some((&zone.apex, zone.file.as_deref()?)))
    }

    /// What decides, besides zones, how requests are answered.
    pub fn policy(&self) -> Policy {
        let zone = |zone: &ZoneSettings| {
            let TransferSettings { access, notify, sources } = &zone.transfer;
            let transfer = access.as_ref().unwrap_or(&self.transfer.transfer).clone();
            let notify = notify.as_ref().unwrap_or(&self.transfer.notify);
            let notify = transfer::with_sources(notify, sources.as_ref().unwrap_or(&self.notify_sources));
            (zone.apex.clone(), ZonePolicy { transfer, notify })
        };
        let notify = transfer::with_sources(&self.transfer.notify, &self.notify_sources);
        let server = &self.server;
        Policy {
            nsid: server.nsid.value.clone(),
            version: server.version.value.as_deref().map(Into::into),
            identity: server.identity.value.as_deref().map(Into::into),
            cookies: server.cookie_secrets(),
            rate_limit: server.rate_limit,
            keys: KeyRing::new(self.keys.iter().cloned()),
            zones: self.zones.iter().map(zone).collect(),
            other_zones: ZonePolicy { notify, ..self.transfer.clone() },
            condition: Condition::Ready,
        }
    }

    /// What is listened on, in the order of the settings.
    pub fn listeners(&self) -> Vec<Listener> {
        self.listen.value.clone()
    }

    /// Puts what cannot change while the program runs back to what `running` has, and tells what that was.
    pub fn keep_fixed(&mut self, running: &Self) -> Vec<Fixed> {
        let mut changed = Vec::new();
        keep(&mut changed, "stateDir", &mut self.state_dir, &running.state_dir);
        keep(&mut changed, "sources.directory", &mut self.directory, &running.directory);
        keep(&mut changed, "sources.hosts", &mut self.hosts, &running.hosts);
        keep_kubernetes(&mut changed, &mut self.kubernetes, &running.kubernetes);
        self.skydns.keep(&running.skydns, &mut changed);
        self.webhook.keep(&running.webhook, &mut changed);
        keep(&mut changed, "serve.listen", &mut self.listen, &running.listen);
        keep(&mut changed, "serve.queryLog", &mut self.server.query_log, &running.server.query_log);
        keep(&mut changed, "serve.dnstap", &mut self.server.dnstap, &running.server.dnstap);
        keep(&mut changed, "serve.user", &mut self.server.user, &running.server.user);
        keep(&mut changed, "serve.handover", &mut self.server.handover, &running.server.handover);
        keep(&mut changed, "serve.workers", &mut self.server.workers, &running.server.workers);
        keep(&mut changed, "memberSelector", &mut self.member_selector, &running.member_selector);
        keep(&mut changed, "publish", &mut self.publish, &running.publish);
        keep(&mut changed, "admin.listen", &mut self.admin, &running.admin);
        keep(&mut changed, "history", &mut self.history, &running.history);
        keep(&mut changed, "log.format", &mut self.log_format, &running.log_format);
        changed
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
            flags.system_namespace.clone().map(|namespace| ("--kubefed-namespace", namespace)),
            "kube-federation-system".to_owned(),
            parse::not_empty,
            Clone::clone,
        );
        let grace =
            layers.value("sources.kubernetes.health.grace", None, Duration::from_mins(1), parse::duration, |time| {
                parse::show_duration(*time)
            });
        let kubernetes = kubernetes::read(layers, flags);
        let skydns = skydns::read(layers, flags);
        let advertise = layers.values(
            "serve.advertise",
            None,
            Vec::new(),
            advertised_address,
            |layers, file, node, path| Some(layers.parse_node(file, node, path, advertised_address)?.value),
            ToString::to_string,
        );
        let listen = listeners::read(layers, &flags.listen);
        let server = server::read(layers);
        let mut found = keys::read(layers);
        let transfer = transfer::read_default(layers, &found.names);
        let notify_sources = transfer::read_sources(layers);
        let transfer_limits = transfer::read_limits(layers);
        let zones = zones::read(layers, &found.names);
        let publish = publish::read(layers);
        let webhook = webhook::read(layers, &mut found.warnings);
        let member_selector = selector::read(layers);
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
        let dns_endpoint_reads = layers.values(
            "dnsEndpoints.read",
            None,
            Vec::new(),
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
            LineFormat::Text,
            |text| parse::word(text, &LOG_FORMATS),
            |value| word_of(*value, &LOG_FORMATS),
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
            kubernetes,
            skydns,
            advertise,
            listen,
            server,
            keys: found.whole,
            transfer,
            notify_sources,
            transfer_limits,
            zones,
            member_selector,
            empty_levels,
            status_entries,
            dns_endpoint_groups,
            dns_endpoint_reads,
            publish,
            webhook,
            admin,
            history,
            log_format,
            log_level,
            warnings: found.warnings,
            rows: Vec::new(),
            source: Source::default(),
        }
    }
}

/// A setting that was changed and waits for the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// Its place in the file, with dots.
    pub path: &'static str,
    /// Where the new value comes from.
    pub origin: Origin,
    /// The new value, for comparing.
    pub value: String,
}

fn keep<T: Clone + PartialEq + fmt::Debug>(
    changed: &mut Vec<Fixed>,
    path: &'static str,
    new: &mut Setting<T>,
    running: &Setting<T>,
) {
    let Setting { value, origin } = std::mem::replace(new, running.clone());
    if value != running.value {
        changed.push(Fixed { path, origin, value: format!("{value:?}") });
    }
}

/// All of it is read once, when the source is opened.
fn keep_kubernetes(changed: &mut Vec<Fixed>, new: &mut KubernetesSettings, running: &KubernetesSettings) {
    keep(changed, "sources.kubernetes.kubeconfig", &mut new.kubeconfig, &running.kubeconfig);
    keep(changed, "sources.kubernetes.context", &mut new.context, &running.context);
    keep(changed, "sources.kubernetes.hostOnly", &mut new.host_only, &running.host_only);
    keep(changed, "sources.kubernetes.health.mode", &mut new.mode, &running.mode);
    keep(changed, "sources.kubernetes.health.period", &mut new.period, &running.period);
    keep(changed, "sources.kubernetes.health.timeout", &mut new.timeout, &running.timeout);
    keep(changed, "sources.kubernetes.health.failureThreshold", &mut new.failure_threshold, &running.failure_threshold);
    keep(changed, "sources.kubernetes.health.successThreshold", &mut new.success_threshold, &running.success_threshold);
    keep(changed, "sources.kubernetes.lease.name", &mut new.lease_name, &running.lease_name);
    keep(changed, "sources.kubernetes.lease.identity", &mut new.lease_identity, &running.lease_identity);
    keep(changed, "sources.kubernetes.lease.duration", &mut new.lease_duration, &running.lease_duration);
}

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The words of `emptyLevels`.
const EMPTY_LEVELS: [(&str, EmptyLevels); 2] = [("climb", EmptyLevels::Climb), ("omit", EmptyLevels::Omit)];
/// The words of `statusEntries`.
const STATUS_ENTRIES: [(&str, StatusEntries); 2] =
    [("all", StatusEntries::All), ("withTargets", StatusEntries::WithTargets)];
/// The words of `log.format` and `serve.queryLog.format`.
pub(crate) const LOG_FORMATS: [(&str, LineFormat); 2] = [("text", LineFormat::Text), ("json", LineFormat::Json)];

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

fn advertised_address(text: &str) -> Result<IpAddr, Misfit> {
    let address = parse::address(text)?;
    if address.is_unspecified() || address.is_multicast() {
        let message = format!("`{text}` is no address that a client could send a question to");
        return Err(Misfit::new(message, "write addresses of this server that its clients can reach"));
    }
    Ok(address)
}

fn read_history(layers: &mut Layers<'_>) -> Setting<HistoryLimits> {
    let defaults = HistoryLimits::default();
    let show = |octets: &u64| parse::show_size(*octets);
    let changes = layers.value("history.changes", None, defaults.changes, parse::count, ToString::to_string);
    let memory = layers.value("history.memory", None, defaults.memory as u64, parse::size, show);
    let disk = layers.value("history.disk", None, defaults.disk, parse::size, show);
    let limits = HistoryLimits {
        changes: changes.value,
        memory: usize::try_from(memory.value).unwrap_or(usize::MAX),
        disk: disk.value,
    };
    let origins = [changes.origin, memory.origin, disk.origin];
    let origin = origins.into_iter().find(|origin| *origin != Origin::Default).unwrap_or(Origin::Default);
    Setting { value: limits, origin }
}

fn word_of<T: Copy + PartialEq>(value: T, words: &[(&str, T)]) -> String {
    words.iter().find(|(_, known)| *known == value).map_or_else(String::new, |(word, _)| (*word).to_owned())
}
