//! `mcdns serve`: answers for master files alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use mcdns_core::{
    answer::{AuthoritativeZone, Patch, Snapshot, ZoneDifference},
    check::{Finding, FindingCode},
    dns::OwnerName,
};
use mcdns_serve::{SnapshotStore, TransferHistory};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{
    Outcome,
    answering::Opening,
    kept::Kept,
    reload::Reload,
    run::stop_signal,
    state::Successor,
    zone_files::{self, Watched},
};
use crate::{
    admin::{self, Admin, Sources},
    output::Output,
    settings::Settings,
};

/// How long a loop may sleep that waits for a successor and for nothing else.
const LENT: Duration = Duration::from_secs(2);

/// Master files and the zones that they give.
struct Files {
    watched: Watched,
    zones: BTreeMap<PathBuf, OwnerName>,
    snapshot: Snapshot,
}

/// Serves until a signal ends it.
pub(super) fn serve(paths: &[PathBuf], settings: &Settings, output: Output) -> Result<Outcome> {
    // First, since a predecessor has the state directory.
    let opening = Opening::new(settings)?;
    let mut kept = Kept::open(settings)?;
    let progress = output.progress("reading master files");
    let watched = Watched::new(paths.iter().cloned());
    let mut files = Files { watched, zones: BTreeMap::new(), snapshot: Snapshot::default() };
    let mut findings = Vec::new();
    for path in paths {
        fs::File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        findings.extend(files.load(path)?);
    }
    let store = Arc::new(SnapshotStore::new(files.snapshot.clone()));
    store.transfers().set_limits(settings.transfer_limits);
    for path in paths {
        findings.extend(files.follow(path, None, store.transfers(), &mut kept));
    }
    progress.finish_and_clear();
    output.findings(&findings);
    for zone in settings.zones.iter().filter(|zone| zone.shapes_records()) {
        output.say(&format!(
            "serve.zones of {}: file, nameServers and soa count for `mcdns run`; here the master file says all of it",
            zone.apex
        ));
    }
    if files.zones.is_empty() {
        bail!("no file gives a zone that can be served");
    }
    let mut reload = Reload::new(settings, store.transfers());
    let (successor, mut wishes) = mpsc::channel(1);
    let mut answering = opening.start(settings, &store, reload.policy(), Successor(successor))?;
    let apexes: BTreeSet<String> = files.zones.values().map(ToString::to_string).collect();
    let zones: Vec<&str> = apexes.iter().map(String::as_str).collect();
    for place in answering.places(settings) {
        output.say(&format!("answering for {} on {place}", zones.join(", ")));
    }
    let admin = Arc::new(Admin::new(store.clone(), answering.server(), None)?);
    let tell = |admin: &Admin, reload: &Reload| {
        let findings = findings.iter().chain(reload.findings()).cloned().collect();
        admin.set_sources(Sources { findings, ..Sources::default() });
    };
    tell(&admin, &reload);
    admin.set_state(kept.state());
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        if let Some(listener) = answering.open_admin(settings).await? {
            output.say(&format!("admin http://{}/readyz", listener.local_addr()?));
            tokio::spawn(admin::serve(listener, admin.clone()));
        }
        let mut taken_over = std::pin::pin!(answering.taken_over());
        let mut hangup = signal(SignalKind::hangup())?;
        let mut stop = std::pin::pin!(stop_signal()?);
        // Now that it answers: to write what a million names hold takes a moment.
        kept.write();
        loop {
            let look = if kept.is_lent() { Some(LENT) } else { files.watched.until_look() };
            let wait = [Some(answering.until_look()), look, kept.until_take_back()].into_iter().flatten().min();
            tokio::select! {
                () = &mut stop => return anyhow::Ok(()),
                () = &mut taken_over => return Ok(()),
                Some(wish) = wishes.recv() => {
                    kept.make_way(wish, settings);
                    admin.set_state(kept.state());
                }
                _ = hangup.recv(), if !kept.is_lent() => {
                    reload.read(answering.server());
                    tell(&admin, &reload);
                    files.look(&store, true, &mut kept, output);
                }
                () = tokio::time::sleep(wait.unwrap_or_default()) => {
                    answering.look();
                    if let Some(state) = kept.take_back(settings) {
                        admin.set_state(Some(state));
                    }
                    if !kept.is_lent() && files.watched.until_look().is_some_and(|wait| wait.is_zero()) {
                        files.look(&store, false, &mut kept, output);
                    }
                }
            }
        }
    })?;
    answering.end();
    kept.finish();
    Ok(Outcome::Fine)
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
        let mut next = self.snapshot.clone();
        if let Some(other) = self.zones.get(path).filter(|before| **before != apex) {
            let gone = Patch { removed_zones: [other.clone()].into(), ..Patch::default() };
            next = next.apply_in_place(&gone)?;
        }
        self.snapshot = next.with_zone(&contents)?;
        self.zones.insert(path.to_owned(), apex);
        Ok(findings)
    }

    fn zone(&self, apex: &OwnerName) -> Option<&Arc<AuthoritativeZone>> {
        self.snapshot.authoritative(apex)
    }

    /// Follows what a file gives now, after the zone that it gave before: that one, or what was served before the
    /// restart. A finding if secondaries would not notice.
    fn follow(
        &self,
        path: &Path,
        before: Option<Arc<AuthoritativeZone>>,
        transfers: &TransferHistory,
        kept: &mut Kept,
    ) -> Option<Finding> {
        let zone = self.zones.get(path).and_then(|apex| self.zone(apex))?;
        let before = before.filter(|before| {
            let stays = before.apex() == zone.apex();
            if !stays {
                transfers.forget(before.apex());
            }
            stays
        });
        let before = before.or_else(|| kept.take_up(zone, transfers))?;
        note_difference(path, &before, zone, transfers, kept)
    }

    /// Reads again what has changed.
    fn look(&mut self, store: &SnapshotStore, all: bool, kept: &mut Kept, output: Output) {
        for path in self.watched.changed(all) {
            let before = self.zones.get(&path).and_then(|apex| self.zone(apex)).cloned();
            let mut findings = match self.load(&path) {
                Ok(findings) => findings,
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(file = %path.display(), error, "the zone stays as it was, by a fault of this program");
                    continue;
                }
            };
            findings.extend(self.follow(&path, before, store.transfers(), kept));
            output.findings(&findings);
            tracing::info!(file = %path.display(), "master file read again");
            store.store(self.snapshot.clone());
        }
        kept.write();
    }
}

/// Keeps what changed in a zone for incremental transfers. A finding if secondaries would not notice.
fn note_difference(
    path: &Path,
    before: &Arc<AuthoritativeZone>,
    zone: &Arc<AuthoritativeZone>,
    transfers: &TransferHistory,
    kept: &mut Kept,
) -> Option<Finding> {
    if Arc::ptr_eq(before, zone) {
        return None;
    }
    let difference = ZoneDifference::between(before, zone);
    let (old, new) = (before.soa().serial, zone.soa().serial);
    if old < new {
        kept.record(difference, zone, transfers);
        return None;
    }
    if difference.is_empty() && before.soa() == zone.soa() {
        return None;
    }
    transfers.forget(before.apex());
    kept.note(zone);
    let message = format!("{} has changed and its serial, {new} after {old}, has not moved forward", before.apex());
    let finding = Finding::new(FindingCode::ZoneSerial, message).at(&path.display().to_string().into(), 0, 0);
    Some(finding.help("raise the serial with each change: secondaries fetch a zone when it has"))
}
