//! BIND, NSD, Knot and PowerDNS as secondaries of one zone, with TSIG, NOTIFY and IXFR.
//!
//! ```text
//!   primary ── NOTIFY ──► secondary ── SOA, IXFR or AXFR, signed ──► primary
//!                              ▲
//!                              └── AXFR ── the test, which compares
//! ```
//!
//! Every port is chosen before anything starts, since a primary has to know whom to notify and a secondary whom to ask.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::{
    controls::find,
    tsig::{KEYS, Key},
};

/// Where Debian's package has the tables of `PowerDNS`.
const POWERDNS_SCHEMA: &str = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";

/// A program that can be a secondary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// BIND 9.
    Bind,
    /// NSD.
    Nsd,
    /// Knot DNS.
    Knot,
    /// `PowerDNS` with `SQLite`.
    PowerDns,
}

/// All of them.
pub const KINDS: [Kind; 4] = [Kind::Bind, Kind::Nsd, Kind::Knot, Kind::PowerDns];

/// What a secondary is about.
#[derive(Debug, Clone, Copy)]
pub struct Duty<'a> {
    /// Apex, without the last dot.
    pub apex: &'a str,
    /// Where the primary answers.
    pub primary: SocketAddr,
    /// Where the secondary answers.
    pub address: SocketAddr,
}

/// A secondary that runs until this is dropped.
#[derive(Debug)]
pub struct Secondary {
    /// Which program.
    pub kind: Kind,
    /// Where it answers.
    pub address: SocketAddr,
    child: Child,
    folder: TempDir,
}

/// The key that secondaries sign with.
pub fn key() -> &'static Key {
    &KEYS[1]
}

impl Secondary {
    /// Starts one; it asks the primary by itself.
    ///
    /// # Errors
    /// A program that is not there or cannot be started.
    pub fn start(kind: Kind, duty: Duty<'_>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let home = folder.path();
        let settings = home.join("settings");
        let (program, arguments): (_, Vec<String>) = match kind {
            Kind::Bind => {
                fs::write(&settings, bind(home, duty))?;
                ("named", ["-g", "-n", "1", "-c"].map(str::to_owned).to_vec())
            }
            Kind::Nsd => {
                fs::write(&settings, nsd(home, duty))?;
                ("nsd", ["-d", "-c"].map(str::to_owned).to_vec())
            }
            Kind::Knot => {
                fs::write(&settings, knot(home, duty))?;
                ("knotd", vec!["-c".to_owned()])
            }
            Kind::PowerDns => {
                fs::write(home.join("pdns.conf"), powerdns(home, duty))?;
                prepare_powerdns(home, duty)?;
                ("pdns_server", vec![format!("--config-dir={}", home.display())])
            }
        };
        let log = fs::File::create(home.join("log"))?;
        let mut command = Command::new(find(program)?);
        command.args(arguments).current_dir(home).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if kind != Kind::PowerDns {
            command.arg(&settings);
        }
        let child = command.spawn().with_context(|| format!("{program} cannot be started"))?;
        Ok(Self { kind, address: duty.address, child, folder })
    }

    /// True if it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// What it has written so far, for messages.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let start = log.len().saturating_sub(4000);
        log.get(start..).unwrap_or(&log).to_owned()
    }
}

impl Drop for Secondary {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bind(home: &Path, duty: Duty<'_>) -> String {
    let Key { name, algorithm, secret } = key();
    let (home, apex, port, primary) = (home.display(), duty.apex, duty.address.port(), duty.primary.port());
    format!(
        "options {{\n  directory \"{home}\";\n  pid-file none;\n  session-keyfile none;\n  \
         listen-on port {port} {{ 127.0.0.1; }};\n  listen-on-v6 {{ none; }};\n  recursion no;\n  notify no;\n  \
         dnssec-validation no;\n  empty-zones-enable no;\n  allow-transfer {{ 127.0.0.0/8; }};\n  \
         serial-query-rate 1000;\n  max-records-per-type 0;\n}};\ncontrols {{ }};\n\
         key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};\n\
         zone \"{apex}\" {{\n  type secondary;\n  file \"zone\";\n  masterfile-format text;\n  \
         primaries {{ 127.0.0.1 port {primary} key \"{name}\"; }};\n  allow-notify {{ 127.0.0.0/8; }};\n  \
         request-ixfr yes;\n  min-refresh-time 1;\n  min-retry-time 1;\n}};\n"
    )
}

fn nsd(home: &Path, duty: Duty<'_>) -> String {
    let Key { algorithm, secret, .. } = key();
    let name = key().name.trim_end_matches('.');
    let (home, apex, port, primary) = (home.display(), duty.apex, duty.address.port(), duty.primary.port());
    format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  rrl-ratelimit: 0\n  \
         zonesdir: \"{home}\"\n  database: \"\"\n  pidfile: \"{home}/pid\"\n  xfrdfile: \"{home}/xfrd.state\"\n  \
         xfrdir: \"{home}\"\n  zonelistfile: \"{home}/zone.list\"\n  xfrd-reload-timeout: 0\n\
         remote-control:\n  control-enable: no\n\
         key:\n  name: \"{name}\"\n  algorithm: {algorithm}\n  secret: \"{secret}\"\n\
         zone:\n  name: \"{apex}\"\n  zonefile: \"zone\"\n  request-xfr: 127.0.0.1@{primary} {name}\n  \
         allow-notify: 127.0.0.0/8 NOKEY\n  allow-notify: 127.0.0.0/8 {name}\n  provide-xfr: 127.0.0.0/8 NOKEY\n  \
         min-retry-time: 1\n  min-refresh-time: 1\n"
    )
}

fn knot(home: &Path, duty: Duty<'_>) -> String {
    let Key { name, algorithm, secret } = key();
    let (home, apex, port, primary) = (home.display(), duty.apex, duty.address.port(), duty.primary.port());
    format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{home}\"\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\n\
         database:\n  storage: \"{home}\"\n\
         log:\n  - target: stderr\n    any: info\n\
         key:\n  - id: {name}\n    algorithm: {algorithm}\n    secret: {secret}\n\
         remote:\n  - id: primary\n    address: 127.0.0.1@{primary}\n    key: {name}\n\
         acl:\n  - id: notify\n    address: 127.0.0.0/8\n    action: notify\n  - id: signed\n    \
         address: 127.0.0.0/8\n    key: {name}\n    action: notify\n  - id: transfer\n    address: 127.0.0.0/8\n    \
         action: transfer\n\
         template:\n  - id: default\n    storage: \"{home}\"\n    semantic-checks: off\n    zonefile-sync: -1\n\
         zone:\n  - domain: {apex}.\n    file: zone\n    master: primary\n    acl: [notify, signed, transfer]\n    \
         refresh-min-interval: 2\n    retry-min-interval: 2\n"
    )
}

fn powerdns(home: &Path, duty: Duty<'_>) -> String {
    let (home, port) = (home.display(), duty.address.port());
    format!(
        "launch=gsqlite3\ngsqlite3-database={home}/database\ngsqlite3-dnssec=yes\nlocal-address=127.0.0.1:{port}\n\
         socket-dir={home}\nsecondary=yes\nallow-notify-from=127.0.0.0/8\nallow-axfr-ips=127.0.0.0/8\n\
         xfr-cycle-interval=1\nxfr-max-received-mbytes=100\ncache-ttl=0\nnegquery-cache-ttl=0\nquery-cache-ttl=0\n\
         zone-cache-refresh-interval=0\ndaemon=no\nguardian=no\nwebserver=no\nsecurity-poll-suffix=\n\
         default-soa-edit=\nversion-string=anonymous\n"
    )
}

fn prepare_powerdns(home: &Path, duty: Duty<'_>) -> anyhow::Result<()> {
    let Key { algorithm, secret, .. } = key();
    let name = key().name.trim_end_matches('.');
    let database = home.join("database");
    let schema = fs::File::open(POWERDNS_SCHEMA).with_context(|| format!("{POWERDNS_SCHEMA} is missing"))?;
    let mut sqlite = Command::new(find("sqlite3")?);
    run(sqlite.arg(&database).stdin(schema))?;
    let primary = duty.primary.to_string();
    for arguments in [
        &["create-secondary-zone", duty.apex, primary.as_str()][..],
        &["import-tsig-key", name, algorithm, secret],
        &["activate-tsig-key", duty.apex, name, "secondary"],
        &["set-meta", duty.apex, "IXFR", "1"],
    ] {
        let mut command = Command::new(find("pdnsutil")?);
        run(command.arg(format!("--config-dir={}", home.display())).args(arguments).stdin(Stdio::null()))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?} cannot be started"))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
