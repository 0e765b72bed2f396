//! `sources.kubernetes`: which host cluster is observed, and how the health of members is looked at.

use std::{path::PathBuf, time::Duration};

use mcdns_sources::kubernetes::HealthMode;

use super::{
    Flags,
    layers::{Layers, Setting},
    parse::{self, Misfit},
    word_of,
};

/// A lease shorter than this is lost by a server that is merely busy.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);

/// `sources.kubernetes`, but for what a federation directory needs too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesSettings {
    /// `kubeconfig`: how the host is reached; none: as a pod of it, or as `kubectl` would reach it.
    pub kubeconfig: Setting<Option<PathBuf>>,
    /// `context`: context of the kubeconfig; none: its current one.
    pub context: Setting<Option<String>>,
    /// `hostOnly`: members are not contacted, and nothing is written; the status of records is the source.
    pub host_only: Setting<bool>,
    /// `health.mode`: who maintains the status of KubeFedClusters.
    pub mode: Setting<HealthMode>,
    /// `health.period`: between two probes of a member.
    pub period: Setting<Duration>,
    /// `health.timeout`: of one probe.
    pub timeout: Setting<Duration>,
    /// `health.failureThreshold`: so many bad results in a row make a member unready.
    pub failure_threshold: Setting<u32>,
    /// `health.successThreshold`: so many good results in a row make it ready again.
    pub success_threshold: Setting<u32>,
    /// `lease.name`: of the Lease in the system namespace that says which replica writes.
    pub lease_name: Setting<String>,
    /// `lease.identity`: of this replica in the Lease, before a random number; none: the name of the machine.
    pub lease_identity: Setting<Option<String>>,
    /// `lease.duration`: after so long without a renewal another replica takes over.
    pub lease_duration: Setting<Duration>,
}

/// The words of `health.mode`.
const MODES: [(&str, HealthMode); 3] =
    [("auto", HealthMode::Auto), ("own", HealthMode::Own), ("observe", HealthMode::Observe)];

/// Reads everything under `sources.kubernetes` that is about Kubernetes alone.
pub(super) fn read(layers: &mut Layers<'_>, flags: &Flags) -> KubernetesSettings {
    let optional = |text: &str| parse::not_empty(text).map(Some);
    let show_optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let show_time = |time: &Duration| parse::show_duration(*time);
    let kubeconfig = layers.value(
        "sources.kubernetes.kubeconfig",
        flags.kubeconfig.clone().map(|path| ("--kubeconfig", Some(path))),
        None,
        |text| parse::not_empty(text).map(|text| Some(PathBuf::from(text))),
        |path| path.as_ref().map_or_else(String::new, |path| path.display().to_string()),
    );
    let context = layers.value(
        "sources.kubernetes.context",
        flags.context.clone().map(|context| ("--context", Some(context))),
        None,
        optional,
        show_optional,
    );
    let host_only = layers.value(
        "sources.kubernetes.hostOnly",
        flags.host_only.then_some(("--host-only", true)),
        false,
        parse::switch,
        ToString::to_string,
    );
    let mode = layers.value(
        "sources.kubernetes.health.mode",
        None,
        HealthMode::Auto,
        |text| parse::word(text, &MODES),
        |mode| word_of(*mode, &MODES),
    );
    // Periods and thresholds are KubeFed's (`clusterHealthCheck` of its KubeFedConfig).
    let mut time = |key: &str, seconds: u64| {
        let path = format!("sources.kubernetes.health.{key}");
        layers.value(&path, None, Duration::from_secs(seconds), some_time, show_time)
    };
    let (period, timeout) = (time("period", 10), time("timeout", 3));
    let mut threshold = |key: &str, default: u32| {
        let path = format!("sources.kubernetes.health.{key}");
        layers.value(&path, None, default, |text| parse::small(parse::positive(text)?), ToString::to_string)
    };
    let (failure_threshold, success_threshold) = (threshold("failureThreshold", 3), threshold("successThreshold", 1));
    let lease_name =
        layers.value("sources.kubernetes.lease.name", None, "mcdns".to_owned(), parse::not_empty, Clone::clone);
    let lease_identity = layers.value("sources.kubernetes.lease.identity", None, None, optional, show_optional);
    let lease_duration =
        layers.value("sources.kubernetes.lease.duration", None, Duration::from_secs(15), lease_duration, show_time);
    KubernetesSettings {
        kubeconfig,
        context,
        host_only,
        mode,
        period,
        timeout,
        failure_threshold,
        success_threshold,
        lease_name,
        lease_identity,
        lease_duration,
    }
}

fn some_time(text: &str) -> Result<Duration, Misfit> {
    let time = parse::duration(text)?;
    if time.is_zero() {
        return Err(Misfit::new("is no time at all", "write a time such as 10s"));
    }
    Ok(time)
}

fn lease_duration(text: &str) -> Result<Duration, Misfit> {
    let time = parse::duration(text)?;
    if time < SHORTEST_LEASE {
        let message = format!("`{text}` is too short for a replica that is merely busy");
        return Err(Misfit::new(message, "write 3s at least; 15s is the default"));
    }
    Ok(time)
}
