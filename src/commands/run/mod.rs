//! `mcdns run`: observes a federation and answers for it, in one process.
//!
//! ```text
//!   directory thread, or tasks of Kubernetes ──► ┐
//!   hosts thread, or resolver task ────────────► ├─ channels ─► observe ─► answers at once, history, state
//!   end of a grace, SIGHUP ────────────────────► ┘                 └─────► host: statuses, DNSEndpoints, serials
//!   external-dns (webhook) ────────────────────► ┘
//!   keys of SkyDNS (etcd) ─────────────────────────► zones beside those that are computed
//! ```

mod files;
mod host;
mod opening;
mod publishing;
mod running;
mod skydns;
mod webhook;

use std::{
    collections::BTreeSet,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result};
use mcdns_core::{
    check::FindingCode,
    model::{Object, ObjectKey, Observation},
};
use mcdns_sources::{
    directory::{Batch, Directory},
    resolver::Wanted,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

use super::{
    Outcome,
    answering::{Answering, Opening},
    load, options_with,
    reload::Reload,
    say_ignored,
    state::{self, Successor},
    zone_files::ZoneFiles,
};
use crate::{
    admin::{self, Admin},
    federation::Federation,
    output::{Output, Paint},
    settings::Settings,
};
use files::{first_batch, hosts_of_before, open_hosts, start_resolver};
use host::Host;
use publishing::Publishers;
use running::{Running, watched};
use skydns::SkyDns;
use webhook::Webhook;

/// How many batches may wait to be taken in.
const WAITING: usize = 64;
/// Runs until a signal ends it.
pub(super) fn run(settings: Settings, output: Output) -> Result<Outcome> {
    tokio::runtime::Runtime::new()?.block_on(observe_and_answer(settings, output))
}

async fn observe_and_answer(settings: Settings, output: Output) -> Result<Outcome> {
    let publishers = Publishers::new(&settings);
    // First, since a predecessor has the state directory.
    let opening = Opening::new(&settings)?;
    let mut master_files = ZoneFiles::default();
    master_files.read(settings.zone_files(), None);
    let mut federation = Federation::new(options_with(&settings, &master_files), settings.history.value);
    federation.store().transfers().set_limits(settings.transfer_limits);
    let path = settings.directory.value.clone();
    let mut skydns = SkyDns::open(&settings)?;
    // Keys alone are enough to answer from; Kubernetes is observed beside them where settings say how it is reached.
    let wants_host = settings.kubernetes.kubeconfig.value.is_some() || settings.kubernetes.context.value.is_some();
    let observes_host = path.is_none() && (skydns.is_none() || wants_host);
    if observes_host {
        federation.share();
    }
    let known = recover(&mut federation, &settings)?;
    let (resolved, mut objects): (Vec<_>, Vec<_>) = known.into_iter().partition(|(key, _)| is_resolved(key));
    if settings.webhook.is_on() {
        // No other source has these; without the setting, the one that reads would say that they are gone.
        objects.retain(|(key, _)| !webhook::is_kept_here(key));
    }
    let something_known = !objects.is_empty();

    let progress = output.progress("reading the federation directory");
    let (kubernetes_sender, mut kubernetes_batches) = mpsc::channel(WAITING);
    let (mut directory, mut first, mut host) = (None, Batch { complete: true, ..Batch::default() }, None);
    if let Some(path) = &path {
        drop(kubernetes_sender);
        let mut source = Directory::new(path, load::directory_options(&settings));
        source.adopt(objects);
        first = first_batch(&mut source, something_known)?;
        directory = Some(source);
    } else if observes_host {
        progress.set_message("looking for the host cluster");
        host = Some(Host::open(&settings, objects, kubernetes_sender).await?);
    }
    let (sender, mut observations) = mpsc::channel(WAITING);
    let (hosts_sender, mut hosts_batches) = mpsc::channel(WAITING);
    let (directory_sender, mut directory_batches) = mpsc::channel(WAITING);
    let (wanted, wants) = watch::channel(Wanted::default());
    let (mut hosts_follower, mut hosts) = (None, Batch::default());
    if let Some(file) = hosts_file(&settings, &first, &resolved) {
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

    if let Some(skydns) = &mut skydns {
        federation.set_other_zones(skydns.zones());
    }
    let store = federation.store().clone();
    let reload = Reload::new(&settings, store.transfers());
    let (successor, mut wishes) = mpsc::channel(1);
    let mut answering = opening.start(&settings, &store, reload.policy(), Successor(successor))?;
    let admin_listener = answering.open_admin(&settings).await?;
    let admin_address = admin_listener.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;
    let federation = Arc::new(Mutex::new(federation));
    let admin = Arc::new(Admin::new(store, answering.server(), Some(federation.clone()))?);
    admin.set_releases(skydns.as_ref().map(SkyDns::releases));
    let admin_task = admin_listener.map(|listener| tokio::spawn(admin::serve(listener, admin.clone())));
    let follower = directory.map(|directory| directory.watch(directory_sender)).transpose();
    let follower = follower.context("the federation directory cannot be followed")?;
    if let Some(host) = &mut host {
        host.start(&settings, &federation, &admin);
    }

    let (kept_sender, mut kept) = mpsc::channel(WAITING);
    let webhook = Webhook::open(&settings, &federation, host.as_ref(), &admin, kept_sender).await?;
    let zone_files = watched(&settings);
    let (told, tell_at) = (BTreeSet::new(), None);
    let mut running = Running {
        federation,
        admin,
        settings,
        directory: first,
        hosts,
        host,
        skydns,
        webhook,
        publishers,
        master_files,
        zone_files,
        reload,
        told,
        tell_at,
        told_of_host: BTreeSet::new(),
        wanted,
        paused: false,
        take_back_at: None,
    };
    running.tell_sources();
    running.tell_resolver();
    running.take(&[])?;
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
            Some(batch) = kubernetes_batches.recv(), if observes => running.take_kubernetes(batch)?,
            () = Running::host_changed(&mut running.host) => running.look_at_host(),
            () = SkyDns::changed(&mut running.skydns) => running.take_skydns(),
            Some(what) = kept.recv(), if observes => running.take_kept(what)?,
            () = Webhook::changed(&mut running.webhook) => running.tell_sources(),
            () = running.publishers.changed() => {}
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
    if let Some(host) = running.host.take() {
        host.end().await;
    }
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

/// The hosts file to be read in place of the resolver, if there is one.
fn hosts_file(settings: &Settings, first: &Batch, resolved: &[(ObjectKey, Arc<Object>)]) -> Option<PathBuf> {
    let Some(path) = &settings.directory.value else { return settings.hosts.value.clone() };
    load::hosts_file(settings, path).or_else(|| first.lost.then(|| hosts_of_before(path, resolved)).flatten())
}

fn is_resolved(key: &ObjectKey) -> bool {
    key.kind == mcdns_core::model::Kind::HostAddresses
}

/// Says what is served, and how to see it.
fn welcome(running: &mut Running, answering: &Answering, admin: Option<std::net::SocketAddr>, output: Output) {
    let told = running.federation().findings();
    running.told = told.into_iter().collect();
    let federation = running.federation();
    let engine = federation.engine();
    let mut findings = running.directory.findings.clone();
    findings.extend(running.hosts.findings.iter().cloned());
    findings.extend(running.master_files.findings().cloned());
    findings.extend(running.told.iter().cloned());
    if running.skydns.is_some() && running.host.is_none() && running.settings.directory.value.is_none() {
        // There is not meant to be one.
        findings.retain(|finding| finding.code != FindingCode::EmptyFederation);
    }
    findings.sort();
    findings.dedup();
    output.findings(&findings);
    say_ignored(output, &running.directory.ignored);
    let mut zones: Vec<String> = federation.store().load().zones().map(|zone| zone.apex().to_string()).collect();
    zones.sort();
    let zones = if zones.is_empty() { "no zone yet".to_owned() } else { zones.join(", ") };
    let records = crate::output::plural(engine.record_keys().count(), "record");
    let mut lines = vec![format!("{} {zones}: {records}", output.paint(Paint::Strong, "serving"))];
    lines.extend(answering.places(&running.settings).iter().map(|place| format!("     on {place}")));
    let to = running.publishers.names();
    if !to.is_empty() {
        lines.push(format!("    to {}", to.join(", ")));
    }
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
