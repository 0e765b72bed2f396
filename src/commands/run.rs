//! `mcdns run`: observes a federation directory and answers for it, in one process.
//!
//! ```text
//!   directory thread ──► ┐
//!   hosts thread ──────► ├─ channels ─► observe ─► answers at once, history, state
//!   resolver task ─────► ┘                 ▲
//!   end of a grace, SIGHUP ────────────────┘
//! ```

use std::{
    collections::BTreeSet,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use mcdns_core::{
    check::Finding,
    model::{Object, ObjectKey, Observation},
};
use mcdns_serve::{Condition, Server};
use mcdns_sources::{
    directory::{Batch, Directory},
    hosts::HostsFile,
    resolver::{Resolver, Wanted},
};
use mcdns_state::StateDirectory;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

use super::{
    Outcome,
    answering::{Answering, Opening},
    core_options, load,
    reload::Reload,
    say_ignored,
    state::{self, Successor, TAKE_BACK, Wish},
    zone_files::Watched,
};
use crate::{
    admin::{self, Admin, Sources},
    federation::{Federation, now},
    output::{Output, Paint},
    settings::Settings,
};

/// How many batches may wait to be taken in.
const WAITING: usize = 64;
/// Findings are looked for this long after a change: all records are gone through, so not for each change.
const TELL: Duration = Duration::from_secs(2);

/// Everything that runs.
struct Running {
    federation: Arc<Mutex<Federation>>,
    admin: Arc<Admin>,
    settings: Settings,
    /// Findings of the files, and whether the directory is lost.
    directory: Batch,
    hosts: Batch,
    zone_findings: Vec<Finding>,
    zone_files: Watched,
    reload: Reload,
    /// Findings of the computation that were told, and when to look for more.
    told: BTreeSet<Finding>,
    tell_at: Option<Instant>,
    /// Host names that the resolver looks up.
    wanted: watch::Sender<Wanted>,
    /// A successor has the state directory, so that nothing may be observed.
    paused: bool,
    /// When to try to have the state directory again; none where it was never let go.
    take_back_at: Option<Instant>,
}

/// Runs until a signal ends it.
pub(super) fn run(settings: Settings, output: Output) -> Result<Outcome> {
    let Some(path) = settings.directory.value.clone() else {
        bail!("there is nothing to observe\n  help: name a federation directory: mcdns run DIR");
    };
    tokio::runtime::Runtime::new()?.block_on(observe_and_answer(settings, &path, output))
}

async fn observe_and_answer(settings: Settings, path: &Path, output: Output) -> Result<Outcome> {
    // First, since a predecessor has the state directory.
    let opening = Opening::new(&settings)?;
    let (options, zone_findings) = core_options(&settings);
    let mut federation = Federation::new(options, settings.history.value);
    let known = recover(&mut federation, &settings)?;
    let mut directory = Directory::new(path, load::directory_options(&settings));
    directory.adopt(known.iter().filter(|(key, _)| !is_resolved(key)).cloned());

    let progress = output.progress("reading the federation directory");
    let mut first = first_batch(&mut directory, !known.is_empty())?;
    let (sender, mut observations) = mpsc::channel(WAITING);
    let (hosts_sender, mut hosts_batches) = mpsc::channel(WAITING);
    let (directory_sender, mut directory_batches) = mpsc::channel(WAITING);
    let (wanted, wants) = watch::channel(Wanted::default());
    let resolved: Vec<_> = known.iter().filter(|(key, _)| is_resolved(key)).cloned().collect();
    let mut hosts_follower = None;
    let mut hosts = Batch::default();
    let hosts_path = load::hosts_file(&settings, path);
    if let Some(file) = hosts_path.or_else(|| first.lost.then(|| hosts_of_before(path, &resolved)).flatten()) {
        let (source, batch) = open_hosts(&file, resolved)?;
        hosts = batch;
        hosts_follower = Some(source.watch(hosts_sender).context("the hosts file cannot be followed")?);
    } else {
        drop(hosts_sender);
        start_resolver(resolved, wants, sender);
    }
    progress.set_message("computing names");
    // In one batch, so that no name is served without addresses in between.
    let known: Vec<Observation> = first.observations.drain(..).chain(hosts.observations.drain(..)).collect();
    federation.observe(&known)?;
    drop(known);
    progress.finish_and_clear();

    let store = federation.store().clone();
    let reload = Reload::new(&settings);
    let (successor, mut wishes) = mpsc::channel(1);
    let mut answering = opening.start(&settings, &store, reload.policy(), Successor(successor))?;
    let admin_listener = answering.open_admin(&settings).await?;
    let admin_address = admin_listener.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;
    let federation = Arc::new(Mutex::new(federation));
    let admin = Arc::new(Admin::new(store, answering.server(), Some(federation.clone()))?);
    let admin_task = admin_listener.map(|listener| tokio::spawn(admin::serve(listener, admin.clone())));
    let follower = directory.watch(directory_sender).context("the federation directory cannot be followed")?;

    let zone_files = watched(&settings);
    let (told, tell_at) = (BTreeSet::new(), None);
    let mut running = Running {
        federation,
        admin,
        settings,
        directory: first,
        hosts,
        zone_findings,
        zone_files,
        reload,
        told,
        tell_at,
        wanted,
        paused: false,
        take_back_at: None,
    };
    running.tell_sources();
    running.tell_resolver();
    // Before anybody is told that it runs: a signal without a listener ends the process on the spot.
    let mut stop = std::pin::pin!(stop_signal()?);
    let mut hangup = signal(SignalKind::hangup())?;
    let mut taken_over = std::pin::pin!(answering.taken_over());
    welcome(&mut running, &answering, admin_address, output);

    let result = loop {
        let next = running.until_next().min(answering.until_look());
        let observes = !running.paused;
        tokio::select! {
            () = &mut stop => break Ok(()),
            () = &mut taken_over => break Ok(()),
            Some(wish) = wishes.recv() => running.make_way(wish),
            Some(batch) = directory_batches.recv(), if observes => running.take_directory(batch)?,
            Some(batch) = hosts_batches.recv(), if observes => running.take_hosts(batch)?,
            Some(batch) = observations.recv(), if observes => running.take(&batch)?,
            _ = hangup.recv(), if observes => running.hang_up(answering.server())?,
            () = tokio::time::sleep(next) => {
                answering.look();
                running.tick()?;
            }
        }
    };
    drop((follower, hosts_follower));
    if let Some(admin_task) = admin_task {
        admin_task.abort();
    }
    answering.end();
    running.finish();
    result.map(|()| Outcome::Fine)
}

/// Opens the state directory, if one is set, and takes up what is in it.
fn recover(federation: &mut Federation, settings: &Settings) -> Result<Vec<(ObjectKey, Arc<Object>)>> {
    match state::open(settings)? {
        Some((state, recovered)) => federation.recover(state, recovered),
        None => Ok(Vec::new()),
    }
}

/// The first look at the directory. Where it cannot be read and something is known from before, that is served.
fn first_batch(directory: &mut Directory, something_known: bool) -> Result<Batch> {
    match directory.scan() {
        Ok(batch) => Ok(batch),
        Err(error) if something_known => {
            let error = anyhow::Error::from(error);
            tracing::warn!(
                error = format!("{error:#}"),
                "the federation directory cannot be read; serving what is known from before"
            );
            Ok(Batch { lost: true, ..Batch::default() })
        }
        Err(error) => Err(anyhow::Error::from(error).context("the federation directory cannot be opened")),
    }
}

/// The hosts file in a federation directory that is away now, if it was read when the directory was there.
fn hosts_of_before(directory: &Path, known: &[(ObjectKey, Arc<Object>)]) -> Option<PathBuf> {
    let file = directory.join("hosts");
    let shown = file.to_string_lossy();
    let mut origins = known.iter().filter_map(|(_, object)| object.origin.as_ref());
    origins.any(|origin| *origin.file == *shown).then_some(file)
}

/// The first look at the hosts file. Where it cannot be read and something is known from before, that counts.
fn open_hosts(file: &Path, known: Vec<(ObjectKey, Arc<Object>)>) -> Result<(HostsFile, Batch)> {
    let something_known = !known.is_empty();
    let mut hosts = HostsFile::new(file);
    hosts.adopt(known);
    match hosts.scan() {
        Ok(batch) => Ok((hosts, batch)),
        Err(error) if something_known => {
            tracing::warn!(file = %file.display(), %error, "the hosts file cannot be read; its last good addresses count");
            Ok((hosts, Batch { lost: true, ..Batch::default() }))
        }
        Err(error) => {
            Err(anyhow::Error::from(error).context(format!("the hosts file {} cannot be read", file.display())))
        }
    }
}

fn start_resolver(
    known: Vec<(ObjectKey, Arc<Object>)>,
    wants: watch::Receiver<Wanted>,
    sender: mpsc::Sender<Vec<Observation>>,
) {
    match Resolver::system() {
        Ok(mut resolver) => {
            resolver.adopt(known);
            // The task ends with the channels.
            drop(resolver.spawn(wants, sender));
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::warn!(
                error = format!("{error:#}"),
                "no resolver, so host names of load balancers have no addresses"
            );
        }
    }
}

fn is_resolved(key: &ObjectKey) -> bool {
    key.kind == mcdns_core::model::Kind::HostAddresses
}

impl Running {
    fn federation(&self) -> MutexGuard<'_, Federation> {
        self.federation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&mut self, observations: &[Observation]) -> Result<()> {
        let started = Instant::now();
        let update = self.federation().observe(observations)?;
        let elapsed = started.elapsed();
        self.admin.metrics().updated(elapsed.as_secs_f64(), update.changes.len());
        if !update.changes.is_empty() {
            tracing::info!(
                names = update.changes.len(),
                reason = update.reason(),
                microseconds = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
                "answers changed"
            );
        }
        if !update.accepted.is_empty() || !update.changes.is_empty() {
            self.tell_at.get_or_insert(Instant::now() + TELL);
        }
        if update.host_names_changed {
            self.tell_resolver();
        }
        Ok(())
    }

    /// Lets go of what only one process may have, or takes it again.
    fn make_way(&mut self, wish: Wish) {
        match wish {
            Wish::Release(done) => {
                self.paused = true;
                let released = self.federation().release().map_err(|error| format!("{error:#}"));
                tracing::info!("a successor takes over; nothing is observed meanwhile");
                // Whoever asked may be gone; then the wish to resume follows.
                let _ = done.send(released);
            }
            Wish::Resume => {
                self.paused = false;
                self.take_back_at = Some(Instant::now());
                self.take_back();
                tracing::warn!("the successor failed; observing again");
            }
        }
    }

    /// Takes the state directory again that a failed successor has, or had: it may take a moment to end.
    fn take_back(&mut self) {
        let (Some(path), Some(at)) = (&self.settings.state_dir.value, self.take_back_at) else { return };
        if at > Instant::now() {
            return;
        }
        self.take_back_at = match StateDirectory::open(path, self.settings.history.value) {
            Ok((state, recovered, _)) => {
                self.federation().take_back(Arc::new(state), recovered);
                tracing::info!("the state directory is had again");
                None
            }
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::debug!(error, "the state directory cannot be had again yet");
                Some(Instant::now() + TAKE_BACK)
            }
        };
    }

    /// What has to be done when nothing comes in: the end of a grace, changed master files, new findings.
    fn tick(&mut self) -> Result<()> {
        if self.paused {
            return Ok(());
        }
        self.take_back();
        let look = self.zone_files.until_look().is_some_and(|wait| wait.is_zero());
        if look && !self.zone_files.changed(false).is_empty() {
            self.reload()?;
        }
        if self.tell_at.is_some_and(|at| at <= Instant::now()) {
            self.tell_at = None;
            let findings: BTreeSet<Finding> = self.federation().engine().findings().into_iter().collect();
            for finding in findings.difference(&self.told) {
                tracing::warn!(finding = finding.to_string(), "new finding");
            }
            self.told = findings;
        }
        if self.until_deadline().is_zero() {
            self.take(&[])?;
        }
        Ok(())
    }

    fn take_directory(&mut self, batch: Batch) -> Result<()> {
        let new: Vec<Finding> =
            batch.findings.iter().filter(|finding| !self.directory.findings.contains(finding)).cloned().collect();
        for finding in new {
            tracing::warn!(finding = finding.to_string(), "new finding");
        }
        self.take(&batch.observations)?;
        self.directory = Batch { observations: Vec::new(), ..batch };
        self.tell_sources();
        Ok(())
    }

    fn take_hosts(&mut self, batch: Batch) -> Result<()> {
        self.take(&batch.observations)?;
        self.hosts = Batch { observations: Vec::new(), ..batch };
        self.tell_sources();
        Ok(())
    }

    /// SIGHUP: reads the settings again, and the master files of those that are in force then.
    fn hang_up(&mut self, server: &Server) -> Result<()> {
        if let Some(settings) = self.reload.read(server) {
            self.zone_files = watched(&settings);
            self.settings = settings;
        }
        self.reload()
    }

    /// Reads the master files of the settings again.
    fn reload(&mut self) -> Result<()> {
        let (mut options, findings) = core_options(&self.settings);
        keep_unreadable(&mut options, self.federation().engine().options(), &self.settings);
        let update = self.federation().set_options(options)?;
        tracing::info!(names = update.changes.len(), findings = findings.len(), "master files read again");
        self.zone_findings = findings;
        self.tell_sources();
        Ok(())
    }

    /// Readiness says which sources are stale; findings go to the admin port.
    fn tell_sources(&mut self) {
        let has_zones = self.federation().store().load().zones().len() > 0;
        self.reload.set_condition(match (has_zones, self.directory.lost) {
            (false, _) => Condition::NotReady,
            (true, true) => Condition::Stale,
            (true, false) => Condition::Ready,
        });
        let mut stale = Vec::new();
        if self.directory.lost {
            stale.push("the federation directory cannot be read; what was last known is served".to_owned());
        } else if !self.directory.complete {
            stale.push(
                "some files of the federation directory cannot be read; their last good objects count".to_owned(),
            );
        }
        if self.hosts.lost {
            stale.push("the hosts file cannot be read; its last good addresses count".to_owned());
        }
        let settings = self.reload.findings();
        let all = [&self.directory.findings[..], &self.hosts.findings, &self.zone_findings, settings];
        self.admin.set_sources(Sources { stale, findings: all.into_iter().flatten().cloned().collect() });
    }

    fn tell_resolver(&self) {
        let names: BTreeSet<String> = self.federation().engine().host_names().map(ToString::to_string).collect();
        self.wanted.send_if_modified(|wanted| {
            let changed = **wanted != names;
            if changed {
                *wanted = Arc::new(names);
            }
            changed
        });
    }

    /// How long until [`Running::tick`] has something to do.
    fn until_next(&self) -> Duration {
        if self.paused {
            return TELL;
        }
        let tell = self.tell_at.map(|at| at.saturating_duration_since(Instant::now()));
        let take_back = self.take_back_at.map(|at| at.saturating_duration_since(Instant::now()));
        let others = [tell, take_back, self.zone_files.until_look()];
        others.into_iter().flatten().fold(self.until_deadline(), Duration::min)
    }

    /// How long until the engine wants to be asked again.
    fn until_deadline(&self) -> Duration {
        // Without a grace there is nothing to wait for; a day is as good as for ever.
        let deadline = self.federation().engine().next_deadline();
        let wait = deadline.map_or(86_400_000, |deadline| (deadline.0 - now().0).max(0));
        Duration::from_millis(u64::try_from(wait).unwrap_or_default())
    }

    fn finish(self) {
        let state = self.federation().state().cloned();
        if let Some(state) = state {
            state::close(&state);
        }
    }
}

/// The master files of the settings.
fn watched(settings: &Settings) -> Watched {
    Watched::new(settings.zones.iter().filter_map(|zone| zone.file.clone()))
}

/// A master file that cannot be read now leaves its zone as it was; one that the settings no longer name does not.
fn keep_unreadable(
    options: &mut mcdns_core::records::Options,
    kept: &mcdns_core::records::Options,
    settings: &Settings,
) {
    for zone in options.zones.iter_mut().filter(|zone| zone.static_zone.is_none()) {
        if settings.zone(&zone.apex).file.is_some() {
            let before = kept.zones.iter().find(|before| before.apex == zone.apex);
            zone.static_zone = before.and_then(|before| before.static_zone.clone());
        }
    }
}

/// Says what is served, and how to see it.
fn welcome(running: &mut Running, answering: &Answering, admin: Option<std::net::SocketAddr>, output: Output) {
    let told = running.federation().engine().findings();
    running.told = told.into_iter().collect();
    let federation = running.federation();
    let engine = federation.engine();
    let mut findings = running.directory.findings.clone();
    findings.extend(running.hosts.findings.iter().cloned());
    findings.extend(running.zone_findings.iter().cloned());
    findings.extend(running.told.iter().cloned());
    findings.sort();
    findings.dedup();
    output.findings(&findings);
    say_ignored(output, &running.directory.ignored);
    let mut zones: Vec<String> = engine.snapshot().zones().map(|zone| zone.apex().to_string()).collect();
    zones.sort();
    let zones = if zones.is_empty() { "no zone yet".to_owned() } else { zones.join(", ") };
    let records = crate::output::plural(engine.record_keys().count(), "record");
    let mut lines = vec![format!("{} {zones}: {records}", output.paint(Paint::Strong, "serving"))];
    lines.extend(answering.places(&running.settings).iter().map(|place| format!("     on {place}")));
    lines.extend(admin.map(|admin| format!("  admin http://{admin}/readyz")));
    if let Some(address) = answering.server().addresses().first() {
        let digs = engine.example_names();
        if !digs.is_empty() {
            lines.push("try:".to_owned());
        }
        for (level, name) in digs {
            lines.push(format!("  dig @{} -p {} {name}  # {level}", address.ip(), address.port()));
        }
    }
    lines.push(String::new());
    // What a person starts the program for is not a log line; it is said once, on standard output.
    if output.print(&lines.join("\n")).is_err() {
        tracing::warn!("standard output is closed");
    }
}

/// Done when the process is told to stop.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
