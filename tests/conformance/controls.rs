//! NSD, Knot and BIND with the zones of the cases, each in a folder of its own on a free port of the loopback
//! interface.

use std::{
    fmt::Write as _,
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::{
    Target, Who, client,
    tsig::KEYS,
    zones::{self, Transfer, ZONES},
};

/// How long a server may take until it knows every zone.
const STARTING: Duration = Duration::from_secs(15);
/// Another program may take a port between its choice and its use.
const ATTEMPTS: usize = 5;
/// Ports for servers.
const PORTS: Range<u16> = 10_000..32_000;
/// Where Debian keeps servers, which is not on everybody's path.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"];
/// What servers answer where they are asked for their name (RFC 5001).
pub const NSID: &str = "conformance";
/// Secret of 16 octets from which server cookies are made (RFC 9018).
pub const COOKIE_SECRET: &str = "000102030405060708090a0b0c0d0e0f";

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Control {
    child: Child,
    /// Which server, and where.
    pub target: Target,
    /// Everything that the server writes.
    folder: TempDir,
}

impl Control {
    /// Starts a server and waits until it knows every zone.
    ///
    /// # Errors
    /// A program that is not there, or that does not come up, with its log.
    pub fn start(who: Who) -> anyhow::Result<Self> {
        let mut attempts = 1;
        loop {
            let mut control = Self::attempt(who)?;
            match control.wait() {
                Ok(()) => return Ok(control),
                // It ended by itself: another program may have taken the port in between.
                Err(_) if attempts < ATTEMPTS && control.child.try_wait()?.is_some() => attempts += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn attempt(who: Who) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        zones::write(folder.path())?;
        let address = free_address()?;
        let (program, version_flag, noted, settings, arguments): (_, _, _, _, &[&str]) = match who {
            Who::Nsd => ("nsd", "-v", "version 4.6.", nsd(folder.path(), address.port())?, &["-d", "-c"]),
            Who::Knot => ("knotd", "-V", "version 3.2.", knot(folder.path(), address.port())?, &["-c"]),
            Who::Bind => ("named", "-v", "BIND 9.18.", bind(folder.path(), address.port())?, &["-g", "-n", "1", "-c"]),
            Who::Mcdns => bail!("mcdns is no control of itself"),
        };
        let program = find(program)?;
        let version = Command::new(&program).arg(version_flag).output().context("no version")?;
        let version = String::from_utf8_lossy(&[version.stdout, version.stderr].concat()).into_owned();
        let file = folder.path().join("settings");
        fs::write(&file, settings)?;
        let log = fs::File::create(folder.path().join("log"))?;
        let mut command = Command::new(&program);
        command.args(arguments).arg(&file).current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        let target = Target { who, address, notes_hold: version.contains(noted) };
        Ok(Self { child, target, folder })
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + STARTING;
        for zone in ZONES {
            while let Err(error) = client::knows(self.target.address, zone.apex) {
                let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                if let Some(status) = self.child.try_wait()? {
                    bail!("{} ended with {status}\n{}", self.target.who, log());
                }
                if Instant::now() > deadline {
                    bail!("{} does not know {}: {error:#}\n{}", self.target.who, zone.apex, log());
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nsd(folder: &Path, port: u16) -> anyhow::Result<String> {
    let home = folder.display();
    let mut text = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  rrl-ratelimit: 0\n  \
         zonesdir: \"{home}\"\n  database: \"\"\n  pidfile: \"{home}/pid\"\n  xfrdfile: \"{home}/xfrd.state\"\n  \
         xfrdir: \"{home}\"\n  zonelistfile: \"{home}/zone.list\"\n  minimal-responses: yes\n  \
         ipv4-edns-size: 1232\n  nsid: \"ascii_{NSID}\"\n  answer-cookie: yes\n  cookie-secret: \"{COOKIE_SECRET}\"\n  \
         refuse-any: yes\nremote-control:\n  control-enable: no\n"
    );
    for key in KEYS {
        let (name, algorithm, secret) = (key.name.trim_end_matches('.'), key.algorithm, key.secret);
        write!(text, "key:\n  name: \"{name}\"\n  algorithm: {algorithm}\n  secret: \"{secret}\"\n")?;
    }
    for zone in ZONES {
        write!(text, "zone:\n  name: \"{}\"\n  zonefile: \"{}\"\n", zone.apex, zone.file())?;
        match zone.transfer {
            Transfer::Everybody => text.push_str("  provide-xfr: 127.0.0.0/8 NOKEY\n"),
            Transfer::Keys => {
                for key in KEYS {
                    writeln!(text, "  provide-xfr: 127.0.0.0/8 {}", key.name.trim_end_matches('.'))?;
                }
            }
            Transfer::Nobody => {}
        }
    }
    Ok(text)
}

fn knot(folder: &Path, port: u16) -> anyhow::Result<String> {
    let home = folder.display();
    let mut text = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{home}\"\n  identity: \"\"\n  version: \"\"\n  nsid: \"{NSID}\"\n  udp-workers: 1\n  \
         tcp-workers: 1\n  background-workers: 1\n  udp-max-payload: 1232\n  edns-client-subnet: on\n\
         database:\n  storage: \"{home}/db\"\n\
         log:\n  - target: stderr\n    any: warning\n\
         mod-cookies:\n  - id: default\n    secret: 0x{COOKIE_SECRET}\n\
         key:\n"
    );
    for key in KEYS {
        writeln!(text, "  - id: {}\n    algorithm: {}\n    secret: {}", key.name, key.algorithm, key.secret)?;
    }
    let ids: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    write!(
        text,
        "acl:\n  - id: everybody\n    address: 127.0.0.0/8\n    action: transfer\n  - id: keys\n    key: [{}]\n    \
         action: transfer\n\
         template:\n  - id: default\n    storage: \"{home}\"\n    journal-content: none\n    semantic-checks: off\n    \
         zonefile-sync: -1\n    global-module: mod-cookies/default\nzone:\n",
        ids.join(", ")
    )?;
    for zone in ZONES {
        writeln!(text, "  - domain: {}.\n    file: {}", zone.apex, zone.file())?;
        match zone.transfer {
            Transfer::Everybody => text.push_str("    acl: everybody\n"),
            Transfer::Keys => text.push_str("    acl: keys\n"),
            Transfer::Nobody => {}
        }
    }
    Ok(text)
}

fn bind(folder: &Path, port: u16) -> anyhow::Result<String> {
    let home = folder.display();
    let mut text = format!(
        "options {{\n  directory \"{home}\";\n  pid-file none;\n  session-keyfile none;\n  \
         listen-on port {port} {{ 127.0.0.1; }};\n  listen-on-v6 {{ none; }};\n  recursion no;\n  \
         minimal-responses no-auth;\n  minimal-any yes;\n  max-udp-size 1232;\n  edns-udp-size 1232;\n  \
         server-id \"{NSID}\";\n  version none;\n  hostname none;\n  notify no;\n  check-names primary ignore;\n  \
         check-integrity no;\n  allow-transfer {{ none; }};\n  allow-update {{ none; }};\n  answer-cookie yes;\n  \
         cookie-algorithm siphash24;\n  cookie-secret \"{COOKIE_SECRET}\";\n  dnssec-validation no;\n  \
         empty-zones-enable no;\n  max-records-per-type 0;\n  tcp-idle-timeout 50;\n}};\ncontrols {{ }};\n"
    );
    let mut keys = String::new();
    for key in KEYS {
        let (name, algorithm, secret) = (key.name, key.algorithm, key.secret);
        writeln!(text, "key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};")?;
        write!(keys, "key \"{name}\"; ")?;
    }
    for zone in ZONES {
        let allowed = match zone.transfer {
            Transfer::Everybody => "127.0.0.0/8;",
            Transfer::Keys => keys.as_str(),
            Transfer::Nobody => "none;",
        };
        writeln!(
            text,
            "zone \"{}\" {{ type primary; file \"{}\"; allow-transfer {{ {allowed} }}; }};",
            zone.apex,
            zone.file()
        )?;
    }
    Ok(text)
}

/// A port of the loopback interface that is free for UDP and TCP. It lies below those that systems give to clients
/// (from 32,768 in Linux), so that no client takes it before the server does.
///
/// # Errors
/// None to be had.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    for _ in 0..1000 {
        // Keys of a new hasher are random, and differ in every call.
        let chance = RandomState::new().build_hasher().finish() % u64::from(PORTS.end - PORTS.start);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + u16::try_from(chance)?));
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free for both UDP and TCP")
}

/// Where a server's program is.
///
/// # Errors
/// Nowhere.
pub fn find(program: &str) -> anyhow::Result<PathBuf> {
    FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file())
        .with_context(|| format!("{program} is missing; `cargo xtask test` installs what the tests need"))
}
