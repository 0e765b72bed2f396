//! The state of `run` between two things that happen, and what each of them does to it.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use mcdns_control::Leadership;
use mcdns_core::{
    check::Finding,
    model::{HostWord, Observation, Timestamp},
};
use mcdns_publish::WithEngine;
use mcdns_serve::{Condition, Server};
use mcdns_sources::{directory::Batch, kubernetes, resolver::Wanted};
use mcdns_state::StateDirectory;
use tokio::sync::watch;

use super::{
    host::Host,
    publishing::Publishers,
    skydns::SkyDns,
    webhook::{Kept, Webhook},
};
use crate::{
    admin::{Admin, Sources, publish_metrics::collect_publishers},
    commands::{
        options_with,
        reload::Reload,
        state::{self, TAKE_BACK, Wish},
        zone_files::{Watched, ZoneFiles},
    },
    federation::{Federation, now},
    settings::Settings,
};

/// Findings are looked for this long after a change: all records are gone through, so not for each change.
const TELL: Duration = Duration::from_secs(2);

/// Everything that runs.
pub(super) struct Running {
    pub(super) federation: Arc<Mutex<Federation>>,
    pub(super) admin: Arc<Admin>,
    pub(super) settings: Settings,
    /// Findings of the files, and whether the directory is lost.
    pub(super) directory: Batch,
    pub(super) hosts: Batch,
    /// The host cluster, where Kubernetes is observed.
    pub(super) host: Option<Host>,
    /// Keys in etcd, where some are answered from.
    pub(super) skydns: Option<SkyDns>,
    /// What external-dns publishes into us, where it may.
    pub(super) webhook: Option<Webhook>,
    /// Who takes the records to other systems.
    pub(super) publishers: Publishers,
    pub(super) master_files: ZoneFiles,
    pub(super) zone_files: Watched,
    pub(super) reload: Reload,
    /// Findings of the computation that were told, and when to look for more.
    pub(super) told: BTreeSet<Finding>,
    pub(super) tell_at: Option<Instant>,
    /// Findings of the watches that were told.
    pub(super) told_of_host: BTreeSet<Finding>,
    /// Host names that the resolver looks up.
    pub(super) wanted: watch::Sender<Wanted>,
    /// A successor has the state directory, so that nothing may be observed.
    pub(super) paused: bool,
    /// When to try to have the state directory again; none where it was never let go.
    pub(super) take_back_at: Option<Instant>,
}

impl Running {
    pub(super) fn federation(&self) -> MutexGuard<'_, Federation> {
        self.federation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&mut self, observations: &[Observation]) -> Result<()> {
        self.take_with(observations, None)
    }

    /// Takes in observations, with what the host itself says where their source tells that apart.
    fn take_with(&mut self, observations: &[Observation], word: Option<&HostWord>) -> Result<()> {
        let _span = tracing::debug_span!("observe", observations = observations.len()).entered();
        let started = Instant::now();
        let update = match word {
            Some(word) => self.federation().observe_with(observations, word)?,
            None => self.federation().observe(observations)?,
        };
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
        // What is held is neither accepted nor a change, and has to be told all the same.
        if !observations.is_empty() || !update.changes.is_empty() {
            self.tell_at.get_or_insert(Instant::now() + TELL);
        }
        if update.host_names_changed {
            self.tell_resolver();
        }
        if let Some(host) = &self.host {
            host.touch(&update, &self.federation());
        }
        self.start_publishers();
        Ok(())
    }

    /// Starts the publishers as soon as what they need is known.
    fn start_publishers(&mut self) {
        if !self.publishers.wait() || self.host.as_ref().is_some_and(|host| !host.is_open()) {
            return;
        }
        let federation = Arc::clone(&self.federation);
        let with_engine: WithEngine = Arc::new(move |ask| {
            ask(federation.lock().unwrap_or_else(PoisonError::into_inner).engine());
        });
        // A server that only reads the host writes nowhere.
        let lease = self.host.as_ref().map(|host| host.leadership().unwrap_or_else(never_leads));
        let mut federation = self.federation.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(publishing) = self.publishers.start(federation.engine(), &with_engine, lease) else { return };
        federation.set_publishing(Arc::clone(&publishing));
        drop(federation);
        self.admin.set_publishing(Some(Arc::clone(&publishing)));
        self.admin.metrics().add(move |families| collect_publishers(&publishing.reports(), families));
        tracing::info!("publishers start");
    }

    /// Tells what became of zones at publishers: on records, on Domains, and as findings.
    fn look_at_publishers(&mut self) {
        let federation = self.federation.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(records) = self.publishers.look(federation.engine(), &self.settings.system_namespace.value) else {
            return;
        };
        drop(federation);
        if let Some(host) = &self.host {
            host.touch_statuses(records);
        }
        self.tell_sources();
        self.tell_at.get_or_insert(Instant::now() + TELL);
    }

    /// Takes in what the host cluster and the members showed.
    pub(super) fn take_kubernetes(&mut self, batch: kubernetes::Batch) -> Result<()> {
        self.take_with(&batch.observations, Some(&batch.word))?;
        let Some(host) = &mut self.host else { return Ok(()) };
        let first = batch.first;
        let published = host.take(batch);
        if !published.is_empty() {
            self.federation().see_published(published)?;
        }
        if first {
            self.tell_sources();
        }
        self.look_at_gate();
        self.publish();
        Ok(())
    }

    /// Once enough was read, everything is looked at that waited for it.
    fn look_at_gate(&mut self) {
        let Some(host) = self.host.as_mut().filter(|host| !host.is_open()) else { return };
        if host.gate().look(Instant::now()) {
            let federation = self.federation.lock().unwrap_or_else(PoisonError::into_inner);
            host.touch_statuses(federation.engine().record_keys().cloned());
            drop(federation);
            self.start_publishers();
        }
    }

    /// Takes in what external-dns published, and says so when it is served.
    pub(super) fn take_kept(&mut self, kept: Kept) -> Result<()> {
        for part in &kept.parts {
            self.take(part)?;
        }
        // Whoever waited may have given up.
        let _ = kept.done.send(());
        Ok(())
    }

    /// Keys of SkyDNS have changed, or how well they are known.
    pub(super) fn take_skydns(&mut self) {
        if let Some(skydns) = &mut self.skydns {
            let zones = skydns.zones();
            skydns.tell();
            self.federation().set_other_zones(zones);
        }
        self.tell_sources();
    }

    /// Waits until there is a reason for [`Running::look_at_host`].
    pub(super) async fn host_changed(host: &mut Option<Host>) {
        match host {
            Some(host) => host.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Has serials written that are due, where this replica writes.
    fn publish(&mut self) {
        if let Some(host) = self.host.as_ref().filter(|host| host.leads() && host.is_open()) {
            host.publish(self.federation().to_publish());
        }
    }

    /// What the watches and the writer say of themselves has changed.
    pub(super) fn look_at_host(&mut self) {
        if let Some(host) = &mut self.host {
            let begins = host.tell_leadership();
            let findings: BTreeSet<Finding> = host.findings().into_iter().collect();
            let new: Vec<&Finding> = findings.difference(&self.told_of_host).collect();
            for finding in &new {
                tracing::warn!(finding = finding.to_string(), "new finding");
            }
            if begins {
                // Another replica told it before, or nobody.
                host.tell(self.told.iter().chain(&findings));
            } else {
                host.tell(new);
            }
            self.told_of_host = findings;
        }
        self.tell_sources();
        self.publish();
    }

    /// Lets go of what only one process may have, or takes it again.
    pub(super) fn make_way(&mut self, wish: Wish) {
        match wish {
            Wish::Release(done) => {
                self.paused = true;
                self.publishers.set_alone(false);
                let released = self.federation().release().map_err(|error| format!("{error:#}"));
                tracing::info!("a successor takes over; nothing is observed meanwhile");
                // Whoever asked may be gone; then the wish to resume follows.
                let _ = done.send(released);
            }
            Wish::Resume => {
                self.paused = false;
                self.publishers.set_alone(true);
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
    pub(super) fn tick(&mut self) -> Result<()> {
        if self.paused {
            return Ok(());
        }
        self.take_back();
        if self.zone_files.until_look().is_some_and(|wait| wait.is_zero()) {
            let changed = self.zone_files.changed(false);
            if !changed.is_empty() {
                self.reload(Some(&changed))?;
            }
        }
        if self.tell_at.is_some_and(|at| at <= Instant::now()) {
            self.tell_at = None;
            let of_publishers = self.publishers.findings().to_vec();
            let findings: BTreeSet<Finding> = self.federation().findings().into_iter().chain(of_publishers).collect();
            let new: Vec<&Finding> = findings.difference(&self.told).collect();
            for finding in &new {
                tracing::warn!(finding = finding.to_string(), "new finding");
            }
            let federation = Arc::clone(&self.federation);
            if let Some(host) = &mut self.host {
                host.tell(new);
                host.tell_conditions(&federation.lock().unwrap_or_else(PoisonError::into_inner));
            }
            self.told = findings;
        }
        if self.until_deadline().is_zero() {
            self.take(&[])?;
        }
        self.look_at_gate();
        self.start_publishers();
        self.look_at_publishers();
        self.publish();
        Ok(())
    }

    pub(super) fn take_directory(&mut self, batch: Batch) -> Result<()> {
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

    pub(super) fn take_hosts(&mut self, batch: Batch) -> Result<()> {
        self.take(&batch.observations)?;
        self.hosts = Batch { observations: Vec::new(), ..batch };
        self.tell_sources();
        Ok(())
    }

    /// SIGHUP: reads the settings again, and the master files of those that are in force then.
    pub(super) fn hang_up(&mut self, server: &Server) -> Result<()> {
        if let Some(settings) = self.reload.read(server) {
            self.zone_files = watched(&settings);
            self.settings = settings;
        }
        self.reload(None)
    }

    /// Reads the master files of the settings again, all or those that changed.
    fn reload(&mut self, changed: Option<&[PathBuf]>) -> Result<()> {
        let before: BTreeSet<Finding> = self.master_files.findings().cloned().collect();
        self.master_files.read(self.settings.zone_files(), changed);
        for finding in self.master_files.findings().filter(|finding| !before.contains(finding)) {
            tracing::warn!(
                finding = finding.to_string(),
                "new finding; a zone whose file has an error stays as it was"
            );
        }
        let options = options_with(&self.settings, &self.master_files);
        let update = self.federation().set_options(options)?;
        let findings = self.master_files.findings().count();
        tracing::info!(names = update.changes.len(), findings, "master files read again");
        self.tell_sources();
        Ok(())
    }

    /// Readiness says which sources are stale; findings go to the admin port.
    pub(super) fn tell_sources(&mut self) {
        let has_zones = self.federation().store().load().zones().len() > 0;
        let host_lost = self.host.as_ref().is_some_and(Host::is_lost);
        // A host cluster without a Domain is as loaded as it will be: what is asked here has been asked at the wrong door.
        let knows_zones = self.host.as_ref().is_some_and(Host::knows_zones);
        let is_loaded = has_zones || knows_zones;
        self.reload.set_condition(match (is_loaded, self.directory.lost || host_lost) {
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
        let mut of_host = Vec::new();
        if let Some(host) = &self.host {
            stale.extend(host.stale());
            of_host = host.findings();
        }
        let mut of_keys = Vec::new();
        if let Some(skydns) = &self.skydns {
            stale.extend(skydns.stale());
            of_keys = skydns.findings();
        }
        let of_webhook = self.webhook.as_ref().map(Webhook::findings).unwrap_or_default();
        let astray = self.federation().astray();
        stale.extend(astray.iter().map(|apex| {
            format!("{apex}: secondaries get an older generation, because this replica never had the published one")
        }));
        let settings = self.reload.findings();
        let of_files: Vec<Finding> = self.master_files.findings().cloned().collect();
        let all = [
            &self.directory.findings[..],
            &self.hosts.findings,
            &of_files,
            settings,
            &of_host,
            &of_keys,
            &of_webhook,
            self.publishers.findings(),
        ];
        let findings = all.into_iter().flatten().cloned().collect();
        self.admin.set_sources(Sources { knows_zones, stale, findings });
    }

    pub(super) fn tell_resolver(&self) {
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
    pub(super) fn until_next(&mut self) -> Duration {
        if self.paused {
            return TELL;
        }
        let tell = self.tell_at.map(|at| at.saturating_duration_since(Instant::now()));
        let take_back = self.take_back_at.map(|at| at.saturating_duration_since(Instant::now()));
        let publish = self
            .host
            .as_ref()
            .filter(|host| host.leads() && host.is_open())
            .and_then(|_| self.federation().publication_due());
        let publish = publish.map(until);
        let open = self.host.as_mut().and_then(|host| host.gate().until_next(Instant::now()));
        let others = [tell, take_back, publish, open, self.zone_files.until_look(), self.publishers.until_next()];
        others.into_iter().flatten().fold(self.until_deadline(), Duration::min)
    }

    /// How long until the engine wants to be asked again.
    fn until_deadline(&self) -> Duration {
        // Without a grace there is nothing to wait for; a day is as good as for ever.
        let deadline = self.federation().engine().next_deadline();
        deadline.map_or(Duration::from_hours(24), until)
    }

    pub(super) fn finish(self) {
        let state = self.federation().state().cloned();
        if let Some(state) = state {
            state::close(&state);
        }
    }
}

/// How long until a time of the model; nothing where it is past.
fn until(time: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(time.0 - now().0).unwrap_or_default())
}

/// The lease of nobody.
fn never_leads() -> watch::Receiver<Leadership> {
    watch::channel(Leadership::Follower { holder: None }).1
}

/// The master files of the settings.
pub(super) fn watched(settings: &Settings) -> Watched {
    Watched::new(settings.zone_files().map(|(_, file)| file.to_owned()))
}
