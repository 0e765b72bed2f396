//! `publish.to[].etcd`, and what Federation v1 had in its provider file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use mcdns_core::dns::OwnerName;
use serde::Deserialize;
use serde_json::Value;

/// What etcd allows in a transaction unless it is told otherwise (`--max-txn-ops`).
const MAX_TXN_OPS: usize = 128;
/// etcd makes shorter leases longer than asked for, and CoreDNS counts less than 30 s as 30 s; a leader that changes needs
/// some time as well.
const SHORTEST_LEASE: Duration = Duration::from_mins(1);
/// Longer ones are no dead man's switch any more.
const LONGEST_LEASE: Duration = Duration::from_hours(24 * 7);

/// Everything that is set, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) endpoints: Vec<String>,
    pub(crate) prefix: String,
    /// Name, and the file with the password, which is read for each connection.
    pub(crate) user: Option<(String, PathBuf)>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    pub(crate) server_name: Option<String>,
    pub(crate) lease: Option<Duration>,
    pub(crate) name_servers: BTreeMap<String, BTreeSet<IpAddr>>,
    pub(crate) max_txn_ops: usize,
}

/// As it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Section {
    endpoints: Option<OneOrMany>,
    prefix: Option<String>,
    username: Option<Text>,
    password_file: Option<PathBuf>,
    #[serde(alias = "ca")]
    ca_file: Option<PathBuf>,
    #[serde(alias = "certificate")]
    cert_file: Option<PathBuf>,
    #[serde(alias = "key")]
    key_file: Option<PathBuf>,
    server_name: Option<String>,
    lease: Option<Text>,
    name_servers: BTreeMap<String, OneOrMany>,
    max_txn_ops: Option<usize>,
    config_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// A whole number is a text too.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Number(i64),
}

/// `[Global]` of the provider file of Federation v1.
#[derive(Debug, Default, PartialEq, Eq)]
struct ProviderFile {
    endpoints: Vec<String>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    zones: Vec<OwnerName>,
    name_servers: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl Settings {
    /// Reads a section. Errors say the key, what is wrong and what would be right.
    pub(crate) fn read(section: &Value, zones: &[OwnerName]) -> Result<Self, String> {
        let section: Section = match section {
            Value::Null => Section::default(),
            section => Section::deserialize(section).map_err(|error| {
                format!(
                    "{error}; help: endpoints, prefix, username, passwordFile, caFile, certFile, keyFile, \
                         serverName, lease, nameServers, maxTxnOps and configFile are known"
                )
            })?,
        };
        let file = match &section.config_file {
            Some(path) => ProviderFile::open(path, zones)?,
            None => ProviderFile::default(),
        };
        let endpoints = match &section.endpoints {
            Some(OneOrMany::One(one)) => one.split(',').map(|part| part.trim().to_owned()).collect(),
            Some(OneOrMany::Many(many)) => many.clone(),
            None => file.endpoints,
        };
        check_endpoints(&endpoints)?;
        let user = match (section.username, section.password_file) {
            (Some(name), Some(file)) => Some((name.text(), file)),
            (None, None) => None,
            (Some(_), None) => {
                return Err("passwordFile: is missing; help: a file with the password of username".into());
            }
            (None, Some(_)) => return Err("username: is missing; help: whose password is in passwordFile".into()),
        };
        let identity = match (section.cert_file.or(file.cert_file), section.key_file.or(file.key_file)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err("keyFile: is missing; help: the private key of certFile".into()),
            (None, Some(_)) => return Err("certFile: is missing; help: the certificate of keyFile".into()),
        };
        let mut name_servers = file.name_servers;
        if !section.name_servers.is_empty() {
            name_servers = read_name_servers(&section.name_servers)?;
        }
        let settings = Self {
            endpoints,
            prefix: section.prefix.unwrap_or_else(|| "/skydns".to_owned()),
            user,
            ca_file: section.ca_file.or(file.ca_file),
            identity,
            server_name: section.server_name,
            lease: section.lease.map(|text| read_lease(&text.text())).transpose()?,
            name_servers,
            max_txn_ops: section.max_txn_ops.unwrap_or(MAX_TXN_OPS),
        };
        // A name with two targets and an alias must fit.
        if !(8..=10_000).contains(&settings.max_txn_ops) {
            return Err(format!(
                "maxTxnOps: {} is not possible; help: write 8 to 10000, as etcd's --max-txn-ops says",
                settings.max_txn_ops
            ));
        }
        let has_tls = settings.ca_file.is_some() || settings.identity.is_some() || settings.server_name.is_some();
        if has_tls && !settings.is_secure() {
            return Err("endpoints: certificates are given for endpoints without TLS; help: write https://".into());
        }
        Ok(settings)
    }

    /// True with TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.starts_with("https://"))
    }
}

impl Text {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

impl ProviderFile {
    fn open(path: &Path, zones: &[OwnerName]) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| {
            format!(
                "configFile: {} cannot be read: {error}; help: a file with [Global] etcd-endpoints and zones",
                path.display()
            )
        })?;
        let file = Self::parse(&text).map_err(|(line, why)| format!("configFile: {}:{line}: {why}", path.display()))?;
        if file.zones.is_empty() {
            return Err(format!("configFile: {} has no zones; help: zones = example.com", path.display()));
        }
        if let Some(zone) = zones.iter().find(|zone| !file.zones.contains(zone)) {
            return Err(format!(
                "configFile: {} does not name the zone {zone}; help: add it to its `zones`, or take it \
                                out of `zones` here",
                path.display()
            ));
        }
        Ok(file)
    }

    /// Lines of `key = value` behind `[Global]`; `;` and `#` begin comments, and values may stand in quotes (gcfg).
    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut file = Self::default();
        let mut is_global = false;
        for (index, line) in text.lines().enumerate() {
            let at = |why: String| (index + 1, why);
            let line = line.trim();
            if line.is_empty() || line.starts_with([';', '#']) {
                continue;
            }
            if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                is_global = section.trim().eq_ignore_ascii_case("global");
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                return Err(at(format!("`{line}` is no setting; help: write key = value")));
            };
            if !is_global {
                continue;
            }
            let value = value.trim();
            let value = match value.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                Some((quoted, _)) => quoted,
                None => value.split([';', '#']).next().unwrap_or_default().trim(),
            };
            let list = || value.split(',').map(str::trim).filter(|part| !part.is_empty());
            match key.trim().to_ascii_lowercase().as_str() {
                "etcd-endpoints" => file.endpoints = list().map(ToOwned::to_owned).collect(),
                "etcd-cert-file" => file.cert_file = path(value),
                "etcd-key-file" => file.key_file = path(value),
                "etcd-ca-file" => file.ca_file = path(value),
                "zones" => {
                    let zones = list().map(|zone| OwnerName::parse(zone).map_err(|error| (zone, error)));
                    let zones: Result<_, _> = zones.collect();
                    file.zones = zones.map_err(|(zone, error)| at(format!("zone `{zone}`: {error}")))?;
                }
                "coredns-endpoints" => {
                    let addresses = list().filter_map(server_address).enumerate();
                    file.name_servers =
                        addresses.map(|(index, address)| (format!("ns{}", index + 1), [address].into())).collect();
                }
                other => {
                    return Err(at(format!(
                        "`{other}` is not known; help: etcd-endpoints, etcd-cert-file, \
                                                etcd-key-file, etcd-ca-file, zones or coredns-endpoints"
                    )));
                }
            }
        }
        Ok(file)
    }
}

fn path(value: &str) -> Option<PathBuf> {
    (!value.is_empty()).then(|| PathBuf::from(value))
}

/// With or without a port. A host name is none that glue could be made of.
fn server_address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

fn check_endpoints(endpoints: &[String]) -> Result<(), String> {
    let help = "help: write http://host:port or https://host:port";
    if endpoints.is_empty() {
        return Err(format!("endpoints: is missing; {help}"));
    }
    for endpoint in endpoints {
        let rest = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
        let host = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let is_host = |host: &str| !host.is_empty() && !host.starts_with(':') && !host.contains(['/', '@', ' ', '?']);
        if !host.is_some_and(is_host) {
            // A password in it must not be told.
            let shown = endpoint.rsplit('@').next().unwrap_or_default();
            return Err(format!("endpoints: `{shown}` is no endpoint of etcd; {help}"));
        }
    }
    let secure = endpoints.iter().filter(|endpoint| endpoint.starts_with("https://")).count();
    if secure != 0 && secure != endpoints.len() {
        return Err(format!("endpoints: http and https cannot be mixed; {help}"));
    }
    Ok(())
}

fn read_name_servers(written: &BTreeMap<String, OneOrMany>) -> Result<BTreeMap<String, BTreeSet<IpAddr>>, String> {
    let mut servers = BTreeMap::new();
    for (label, addresses) in written {
        let fits = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        if label.is_empty() || label.len() > 30 || label == "any" || !label.bytes().all(fits) {
            return Err(format!(
                "nameServers: `{label}` is no label; help: write ns1, which stands for ns1.ns.dns.<zone>"
            ));
        }
        let addresses = match addresses {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        };
        let parsed: Result<BTreeSet<IpAddr>, _> =
            addresses.iter().map(|text| text.parse().map_err(|_| text.clone())).collect();
        let parsed = parsed.map_err(|text| {
            format!("nameServers.{label}: `{text}` is no address; help: write the addresses of a CoreDNS")
        })?;
        if parsed.is_empty() {
            return Err(format!("nameServers.{label}: has no address; help: write the addresses of a CoreDNS"));
        }
        servers.insert(label.clone(), parsed);
    }
    Ok(servers)
}

fn read_lease(text: &str) -> Result<Duration, String> {
    let wrong = || format!("lease: `{text}` is no length of time for it; help: write 5m; from 1m to 168h are possible");
    let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    let lease = Duration::from_secs(number.checked_mul(seconds).ok_or_else(wrong)?);
    if lease < SHORTEST_LEASE || lease > LONGEST_LEASE { Err(wrong()) } else { Ok(lease) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn zones() -> Vec<OwnerName> {
        vec!["example.com".parse().expect("a name")]
    }

    fn read(section: &Value) -> Result<Settings, String> {
        Settings::read(section, &zones())
    }

    #[test]
    fn everything_can_be_said() {
        let settings = read(&json!({
            "endpoints": ["https://a:2379", "https://b:2379"], "prefix": "/dns", "username": "mcdns",
            "passwordFile": "/run/password", "caFile": "ca.pem", "certFile": "c.pem", "keyFile": "k.pem",
            "serverName": "etcd.example.org", "lease": "5m", "maxTxnOps": 1000,
            "nameServers": {"ns1": ["192.0.2.53", "2001:db8::53"], "ns2": "192.0.2.54"},
        }))
        .expect("settings");
        assert_eq!(settings.endpoints.len(), 2);
        assert_eq!(settings.lease, Some(Duration::from_mins(5)));
        assert_eq!(settings.name_servers["ns1"].len(), 2);
        assert_eq!(settings.user, Some(("mcdns".to_owned(), "/run/password".into())));
        assert_eq!(read(&json!({"endpoints": "http://a:1, http://b:2"})).expect("settings").endpoints.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        for (section, key) in [
            (json!({}), "endpoints"),
            (json!({"endpoints": ["localhost:2379"]}), "http://host:port"),
            (json!({"endpoints": ["http://a", "https://b"]}), "mixed"),
            (json!({"endpoints": ["http://a"], "caFile": "x"}), "https://"),
            (json!({"endpoints": ["https://a"], "certFile": "x"}), "keyFile"),
            (json!({"endpoints": ["http://a"], "username": "x"}), "passwordFile"),
            (json!({"endpoints": ["http://a"], "lease": "5s"}), "lease"),
            (json!({"endpoints": ["http://a"], "lease": 5}), "lease"),
            (json!({"endpoints": ["http://a"], "lease": "long"}), "lease"),
            (json!({"endpoints": ["http://a"], "endpoint": "x"}), "endpoint"),
            (json!({"endpoints": ["http://a"], "maxTxnOps": 1}), "maxTxnOps"),
            (json!({"endpoints": ["http://a"], "nameServers": {"ns1": "host"}}), "nameServers.ns1"),
            (json!({"endpoints": ["http://a"], "nameServers": {"a.b": "192.0.2.1"}}), "nameServers"),
            (json!({"endpoints": ["http://a"], "configFile": "/does/not/exist"}), "configFile"),
        ] {
            let error = read(&section).expect_err("it is refused");
            assert!(error.contains(key) && error.contains("help: "), "{section}: {error}");
        }
        let error = read(&json!({"endpoints": ["http://user:secret@a"]})).expect_err("it is refused");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn the_provider_file_of_federation_v1_is_read() {
        let text = "; federation\n[Global]\netcd-endpoints = http://etcd-cluster.ns:2379, http://b:2379\n\
                    zones = example.com., example.net\ncoredns-endpoints = 192.0.2.53:53 # here\n[Other]\nx = y\n";
        let file = ProviderFile::parse(text).expect("a file");
        assert_eq!(file.endpoints, ["http://etcd-cluster.ns:2379", "http://b:2379"]);
        assert_eq!(file.zones.len(), 2);
        assert_eq!(file.name_servers["ns1"].len(), 1);
        for (text, line) in [("[Global]\nzones", 2), ("[Global]\n\nwhat = 1", 3), ("[global]\nzones=a..b", 2)] {
            assert_eq!(ProviderFile::parse(text).expect_err("it is refused").0, line, "{text}");
        }
        let folder = std::env::temp_dir().join(format!("mcdns-etcd-{}.conf", std::process::id()));
        fs::write(&folder, text).expect("a file");
        let section = json!({"configFile": folder.to_str()});
        assert_eq!(read(&section).expect("settings").endpoints.len(), 2);
        let others = ["example.org".parse().expect("a name")];
        assert!(Settings::read(&section, &others).expect_err("another zone").contains("example.org"));
        fs::remove_file(&folder).expect("it was there");
    }
}
