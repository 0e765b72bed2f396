//! The servers that are compared, each with the same zone, one process or thread that answers, and no limit on the
//! rate. Nothing is written outside the folder, and no user is changed.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use support::zone::{self, KNOWN_NAME};

use crate::{
    process::{Server, free_address},
    question::Asker,
    report::progress,
};

/// The core that answers; the other one has the load.
pub(crate) const CORE_OF_SERVERS: u32 = 0;
/// How long a server may take to load the zone.
const LOADING: Duration = Duration::from_mins(2);
/// Where Debian keeps servers, which is not on everybody's path.
const SERVERS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];

/// A server that not every machine has.
#[derive(Debug)]
pub(super) enum Peer {
    Found(Server),
    Missing,
}

/// `mcdns serve`.
pub(super) fn mcdns(program: &Path, folder: &Path) -> anyhow::Result<Server> {
    let zone_file = folder.join("example.com.zone");
    start("mcdns", program, folder, |address| {
        Ok(vec!["serve".to_owned(), zone_file.display().to_string(), "--listen".to_owned(), address.to_string()])
    })
}

/// One process that answers.
pub(super) fn nsd(folder: &Path) -> anyhow::Result<Server> {
    let home = folder.join("nsd");
    start("NSD", &find("nsd")?, folder, |address| {
        fs::create_dir_all(&home)?;
        let home = home.display();
        let zone_file = folder.join("example.com.zone");
        let mut text = String::from("server:\n");
        for (key, value) in [
            ("ip-address", format!("127.0.0.1@{}", address.port())),
            ("server-count", "1".to_owned()),
            ("username", "\"\"".to_owned()),
            ("rrl-ratelimit", "0".to_owned()),
            ("zonesdir", format!("\"{home}\"")),
            ("database", "\"\"".to_owned()),
            ("pidfile", format!("\"{home}/pid\"")),
            ("xfrdfile", format!("\"{home}/xfrd.state\"")),
            ("xfrdir", format!("\"{home}\"")),
            ("zonelistfile", format!("\"{home}/zone.list\"")),
        ] {
            writeln!(text, "  {key}: {value}")?;
        }
        write!(
            text,
            "remote-control:\n  control-enable: no\nzone:\n  name: \"{}\"\n  zonefile: \"{}\"\n  \
             provide-xfr: 127.0.0.1 NOKEY\n",
            zone::APEX,
            zone_file.display()
        )?;
        let settings = folder.join("nsd.conf");
        fs::write(&settings, text)?;
        Ok(vec!["-d".to_owned(), "-c".to_owned(), settings.display().to_string()])
    })
}

/// One thread for UDP, and no journal.
pub(super) fn knot(folder: &Path) -> anyhow::Result<Server> {
    let home = folder.join("knot");
    start("Knot", &find("knotd")?, folder, |address| {
        fs::create_dir_all(home.join("db"))?;
        let text = format!(
            "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{home}\"\n  udp-workers: 1\n  tcp-workers: 1\n  \
             background-workers: 1\n\
             database:\n  storage: \"{home}/db\"\n\
             log:\n  - target: stderr\n    any: warning\n\
             template:\n  - id: default\n    storage: \"{folder}\"\n    journal-content: none\n    semantic-checks: off\n    \
             zonefile-sync: -1\n\
             acl:\n  - id: all\n    address: 127.0.0.1\n    action: transfer\n\
             zone:\n  - domain: {apex}\n    file: example.com.zone\n    acl: all\n",
            port = address.port(),
            home = home.display(),
            folder = folder.display(),
            apex = zone::APEX,
        );
        let settings = folder.join("knot.conf");
        fs::write(&settings, text)?;
        Ok(vec!["--config".to_owned(), settings.display().to_string()])
    })
}

/// CoreDNS with its plug-in `file`, where there is a `coredns`.
pub(super) fn coredns(folder: &Path) -> anyhow::Result<Peer> {
    let Some(program) = on_path("coredns") else { return Ok(Peer::Missing) };
    let server = start("CoreDNS", &program, folder, |address| {
        let file = folder.join("example.com.zone");
        let settings = folder.join("Corefile");
        let text =
            format!("{}:{} {{\n  bind {}\n  file {}\n}}\n", zone::APEX, address.port(), address.ip(), file.display());
        fs::write(&settings, text)?;
        Ok(vec!["-conf".to_owned(), settings.display().to_string()])
    })?;
    Ok(Peer::Found(server))
}

/// The server of mcdns in this program, started once more, patched so many times a second.
pub(super) fn patched(folder: &Path, rate: u32) -> anyhow::Result<Server> {
    let program = std::env::current_exe().context("where this program is cannot be told")?;
    start("patched", &program, folder, |address| {
        let zone_file = folder.join("example.com.zone").display().to_string();
        Ok(vec!["patched".to_owned(), zone_file, address.to_string(), rate.to_string()])
    })
}

/// The echo, which knows no zone, compiled here.
pub(super) fn echo(folder: &Path) -> anyhow::Result<Server> {
    let (source, program) = (folder.join("echo.c"), folder.join("echo"));
    fs::write(&source, include_str!("echo.c"))?;
    let compiled = Command::new("cc").arg("-O2").arg("-o").arg(&program).arg(&source).status();
    if !compiled.context("`cc` cannot be started")?.success() {
        bail!("the echo cannot be compiled");
    }
    let address = free_address()?;
    let arguments = [address.port().to_string()];
    let log = folder.join("echo.log");
    let mut server = Server::start(&program, &arguments, address, Some(CORE_OF_SERVERS), &log)?;
    let mut asker = Asker::new(address, Duration::from_millis(200))?;
    let started = Instant::now();
    while asker.addresses(KNOWN_NAME)?.is_none() {
        server.check(&log)?;
        if started.elapsed() > LOADING {
            bail!("the echo does not answer");
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}

/// Starts a server and waits until it knows the zone.
pub(super) fn start(
    name: &'static str,
    program: &Path,
    folder: &Path,
    arguments: impl FnOnce(SocketAddr) -> anyhow::Result<Vec<String>>,
) -> anyhow::Result<Server> {
    let address = free_address()?;
    let arguments = arguments(address)?;
    let log = folder.join(format!("{name}.log"));
    let mut server = Server::start(program, &arguments, address, Some(CORE_OF_SERVERS), &log)?;
    let mut asker = Asker::new(address, Duration::from_millis(200))?;
    let started = Instant::now();
    while asker.addresses(KNOWN_NAME)?.is_none_or(|addresses| addresses.len() != 4) {
        server.check(&log)?;
        if started.elapsed() > LOADING {
            bail!("{name} does not know {KNOWN_NAME} after {} s", LOADING.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
    progress(format_args!("{name} answers after {:.2} s", started.elapsed().as_secs_f64()));
    Ok(server)
}

pub(super) fn find(program: &str) -> anyhow::Result<PathBuf> {
    on_path(program).with_context(|| format!("{program} is missing; `cargo xtask bench dns` installs it or says how"))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = SERVERS.iter().map(PathBuf::from).chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}
