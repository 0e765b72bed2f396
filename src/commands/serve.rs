//! `mcdns serve`: answers for master files alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use mcdns_core::{
    answer::{AuthoritativeZone, Patch, Snapshot, Zone, ZoneDifference},
    check::{Finding, FindingCode},
    dns::OwnerName,
};
use mcdns_serve::{PolicyStore, Server, Service, SnapshotStore, TransferHistory, raise_file_limit};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Outcome,
    reload::Reload,
    run::stop_signal,
    zone_files::{self, Watched},
};
use crate::{
    admin::{self, Admin, Sources},
    output::Output,
    settings::{Origin, Settings},
};

/// Files that are open besides connections: sockets of many threads, logs, what is watched.
const OTHER_FILES: usize = 200;

/// Master files and the zones that they give.
struct Files {
    watched: Watched,
    zones: BTreeMap<PathBuf, OwnerName>,
    snapshot: Snapshot,
}

/// Serves until a signal ends it.
pub(super) fn serve(paths: &[PathBuf], settings: &Settings, output: Output) -> Result<Outcome> {
    let progress = output.progress("reading master files");
    let watched = Watched::new(paths.iter().cloned());
    let mut files = Files { watched, zones: BTreeMap::new(), snapshot: Snapshot::default() };
    let mut findings = Vec::new();
    for path in paths {
        fs::File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        findings.extend(files.load(path)?);
    }
    progress.finish_and_clear();
    output.findings(&findings);
    if files.zones.is_empty() {
        bail!("no file gives a zone that can be served");
    }
    let store = Arc::new(SnapshotStore::new(files.snapshot.clone()));
    let mut reload = Reload::new(settings);
    let server = bind(settings, &store, reload.policy())?;
    let apexes: BTreeSet<String> = files.zones.values().map(ToString::to_string).collect();
    let zones: Vec<&str> = apexes.iter().map(String::as_str).collect();
    for (address, listener) in server.addresses().iter().zip(settings.listeners()) {
        output.say(&format!("answering for {} on {address}, {}", zones.join(", "), spoken(&listener.service)));
    }
    let admin = Arc::new(Admin::new(store.clone(), server.counters().clone(), None)?);
    let tell = |admin: &Admin, reload: &Reload| {
        let findings = findings.iter().chain(reload.findings()).cloned().collect();
        admin.set_sources(Sources { stale: Vec::new(), findings });
    };
    tell(&admin, &reload);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        if let Some(listener) = open_admin(settings).await? {
            output.say(&format!("admin http://{}/readyz", listener.local_addr()?));
            tokio::spawn(admin::serve(listener, admin.clone()));
        }
        let mut hangup = signal(SignalKind::hangup())?;
        let mut stop = std::pin::pin!(stop_signal()?);
        loop {
            let wait = files.watched.until_look().unwrap_or_default();
            tokio::select! {
                () = &mut stop => return anyhow::Ok(()),
                _ = hangup.recv() => {
                    reload.read(&server);
                    tell(&admin, &reload);
                    files.look(&store, true, output)?;
                }
                () = tokio::time::sleep(wait) => files.look(&store, false, output)?,
            }
        }
    })?;
    server.stop();
    Ok(Outcome::Fine)
}

/// Opens the admin port of the settings.
pub(super) async fn open_admin(settings: &Settings) -> Result<Option<tokio::net::TcpListener>> {
    admin::bind(settings.admin.value, settings.admin.origin != Origin::Default).await
}

/// Binds the listeners of the settings, with as many UDP workers as they say, or one for each core.
pub(super) fn bind(settings: &Settings, store: &Arc<SnapshotStore>, policy: &PolicyStore) -> Result<Server> {
    let cores = || std::thread::available_parallelism().map_or(1, Into::into);
    let workers = settings.server.workers.value.unwrap_or_else(cores);
    let listeners = settings.listeners();
    let connections: usize = listeners.iter().map(|listener| listener.options.connections).sum();
    if let Some(files) = raise_file_limit()
        && files < (connections + OTHER_FILES) as u64
    {
        tracing::warn!(files, connections, "fewer files may be open than connections; raise the limit of open files");
    }
    Ok(Server::bind(&listeners, workers, store, policy)?)
}

/// What is spoken at a listener, as it is told to a person.
pub(super) fn spoken(service: &Service) -> &'static str {
    match service {
        Service::Plain => "UDP and TCP",
        Service::Tls(_) => "DNS over TLS",
        Service::Https { .. } => "DNS over HTTPS",
        Service::Quic(_) => "DNS over QUIC",
    }
}

impl Files {
    /// Reads one file into the snapshot; where it has no zone, or an error in a zone that is served, the one before
    /// stays.
    fn load(&mut self, path: &Path) -> Result<Vec<Finding>> {
        let (contents, mut findings) = zone_files::read(path, None);
        let Some(contents) = contents else { return Ok(findings) };
        if self.zones.contains_key(path) && Outcome::of(&findings) == Outcome::Findings {
            // The whole zone of before is better than a new one with something left out.
            return Ok(findings);
        }
        let apex = contents.apex.clone();
        if let Some((other, _)) = self.zones.iter().find(|(file, zone)| **zone == apex && *file != path) {
            let message = format!("the zone {apex} stands in {} already; this file is left out", other.display());
            findings.push(Finding::new(FindingCode::ZoneDuplicate, message).at(
                &path.display().to_string().into(),
                0,
                0,
            ));
            return Ok(findings);
        }
        let before = self.zones.insert(path.to_owned(), apex.clone());
        if let Some(other) = before.filter(|before| *before != apex) {
            let gone = Patch { removed_zones: [other].into(), ..Patch::default() };
            self.snapshot = std::mem::take(&mut self.snapshot).apply_in_place(&gone)?;
        }
        self.snapshot = std::mem::take(&mut self.snapshot).with_zone(&contents)?;
        Ok(findings)
    }

    fn zone(&self, apex: &OwnerName) -> Option<&Arc<AuthoritativeZone>> {
        self.snapshot.zone(apex).map(|Zone::Authoritative(zone)| zone)
    }

    /// Keeps what changed in a zone for incremental transfers. A finding if secondaries would not notice.
    fn note_difference(
        &self,
        path: &Path,
        before: &Arc<AuthoritativeZone>,
        transfers: &TransferHistory,
    ) -> Option<Finding> {
        let Some(zone) = self.zone(before.apex()) else {
            transfers.forget(before.apex());
            return None;
        };
        if Arc::ptr_eq(before, zone) {
            return None;
        }
        let difference = ZoneDifference::between(before, zone);
        let (old, new) = (before.soa().serial, zone.soa().serial);
        if old < new {
            transfers.record(Arc::new(difference), zone);
            return None;
        }
        if difference.is_empty() && before.soa() == zone.soa() {
            return None;
        }
        transfers.forget(before.apex());
        let message = format!("{} has changed and its serial, {new} after {old}, has not moved forward", before.apex());
        let finding = Finding::new(FindingCode::ZoneSerial, message).at(&path.display().to_string().into(), 0, 0);
        Some(finding.help("raise the serial with each change: secondaries fetch a zone when it has"))
    }

    /// Reads again what has changed.
    fn look(&mut self, store: &SnapshotStore, all: bool, output: Output) -> Result<()> {
        for path in self.watched.changed(all) {
            let before = self.zones.get(&path).and_then(|apex| self.zone(apex)).cloned();
            let mut findings = self.load(&path)?;
            if let Some(before) = before {
                findings.extend(self.note_difference(&path, &before, store.transfers()));
            }
            output.findings(&findings);
            tracing::info!(file = %path.display(), "master file read again");
            store.store(self.snapshot.clone());
        }
        Ok(())
    }
}
