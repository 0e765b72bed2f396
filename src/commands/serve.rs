//! `mcdns serve`: answers for master files alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use mcdns_core::{
    answer::{Patch, Snapshot, ZonePatch},
    check::{Finding, FindingCode},
    dns::OwnerName,
};
use mcdns_serve::{Server, SnapshotStore};
use tokio::signal::unix::{SignalKind, signal};

use super::{Outcome, run::stop_signal, zone_files};
use crate::{output::Output, settings::Settings};

/// How often files are looked at for changes; SIGHUP has them looked at once.
const LOOK: Duration = Duration::from_secs(1);

/// What tells a file from its next version.
type Stamp = (u64, u64, Option<SystemTime>);

/// Master files and the zones that they give.
struct Files {
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    zones: BTreeMap<PathBuf, OwnerName>,
    snapshot: Snapshot,
}

/// Serves until a signal ends it.
pub(super) fn serve(paths: &[PathBuf], settings: &Settings, output: Output) -> Result<Outcome> {
    let progress = output.progress("reading master files");
    let mut files = Files { stamps: BTreeMap::new(), zones: BTreeMap::new(), snapshot: Snapshot::default() };
    let mut findings = Vec::new();
    for path in paths {
        fs::File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        files.stamps.insert(path.clone(), stamp(path));
        findings.extend(files.load(path)?);
    }
    progress.finish_and_clear();
    output.findings(&findings);
    if files.zones.is_empty() {
        bail!("no file gives a zone that can be served");
    }
    let store = Arc::new(SnapshotStore::new(files.snapshot.clone()));
    let server = bind(settings, store.clone())?;
    let apexes: BTreeSet<String> = files.zones.values().map(ToString::to_string).collect();
    let zones: Vec<&str> = apexes.iter().map(String::as_str).collect();
    for address in server.addresses() {
        output.say(&format!("answering for {} on {address}, UDP and TCP", zones.join(", ")));
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut stop = std::pin::pin!(stop_signal()?);
        loop {
            tokio::select! {
                () = &mut stop => return anyhow::Ok(()),
                _ = hangup.recv() => files.look(&store, true, output)?,
                () = tokio::time::sleep(LOOK) => files.look(&store, false, output)?,
            }
        }
    })?;
    server.stop();
    Ok(Outcome::Fine)
}

/// Binds the listeners of the settings, one UDP worker for each core.
pub(super) fn bind(settings: &Settings, store: Arc<SnapshotStore>) -> Result<Server> {
    let addresses: Vec<SocketAddr> = settings.listen.value.iter().map(|listener| listener.address).collect();
    let workers = std::thread::available_parallelism().map_or(1, Into::into);
    Ok(Server::bind(&addresses, workers, store)?)
}

impl Files {
    /// Reads one file into the snapshot; where it has no zone, the one before stays.
    fn load(&mut self, path: &Path) -> Result<Vec<Finding>> {
        let (contents, mut findings) = zone_files::read(path, None);
        let Some(contents) = contents else { return Ok(findings) };
        let apex = contents.apex.clone();
        if let Some((other, _)) = self.zones.iter().find(|(file, zone)| **zone == apex && *file != path) {
            let message = format!("the zone {apex} stands in {} already; this file is left out", other.display());
            findings.push(Finding::new(FindingCode::ZoneDuplicate, message).at(&path.display().to_string().into(), 0, 0));
            return Ok(findings);
        }
        let mut patch = Patch::default();
        let before = self.zones.insert(path.to_owned(), apex.clone());
        patch.removed_zones.extend(before.filter(|before| *before != apex));
        let mut zone = contents.into_patch();
        if let Some(served) = self.snapshot.zone(&apex) {
            let gone: Vec<OwnerName> = served.entries().map(|(name, _)| name).collect();
            for name in gone {
                zone.names.entry(name).or_insert(None);
            }
        }
        patch.zones.insert(apex, ZonePatch { levels: None, ..zone });
        self.snapshot = std::mem::take(&mut self.snapshot).apply_in_place(&patch)?;
        Ok(findings)
    }

    /// Reads again what has changed.
    fn look(&mut self, store: &SnapshotStore, all: bool, output: Output) -> Result<()> {
        let mut changed = Vec::new();
        for (path, seen) in &mut self.stamps {
            let now = stamp(path);
            // A file that vanished keeps its zone.
            if now.is_some() && (all || now != *seen) {
                *seen = now;
                changed.push(path.clone());
            }
        }
        for path in changed {
            let findings = self.load(&path)?;
            output.findings(&findings);
            tracing::info!(file = %path.display(), "master file read again");
            store.store(self.snapshot.clone());
        }
        Ok(())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()))
}
