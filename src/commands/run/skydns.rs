//! Keys of SkyDNS, where settings name an etcd with some.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context, Result};
use mcdns_core::{answer::OtherZone, check::Finding, dns::Serial};
use mcdns_sources::skydns::{Follower, Releases, Standing, State, open};
use tokio::sync::watch;

use crate::{federation::now_unix, settings::Settings};

/// The source, and what was seen of it last.
pub(super) struct SkyDns {
    states: watch::Receiver<State>,
    told: BTreeSet<Finding>,
    /// Ends with us.
    follower: Follower,
}

impl SkyDns {
    /// Opens the source, if there is to be one. etcd is waited for elsewhere: until it has answered, its zones say SERVFAIL.
    pub(super) fn open(settings: &Settings) -> Result<Option<Self>> {
        // As that of any zone that is new: later than what it was before a restart.
        let Some(options) = settings.skydns.options(Serial(now_unix())) else { return Ok(None) };
        let follower = open(options).context("keys of SkyDNS cannot be followed")?;
        Ok(Some(Self { states: follower.states(), told: BTreeSet::new(), follower }))
    }

    /// Waits for news; for ever where there is no such source.
    pub(super) async fn changed(source: &mut Option<Self>) {
        let is_there = match source {
            Some(source) => source.states.changed().await.is_ok(),
            None => false,
        };
        if !is_there {
            std::future::pending::<()>().await;
        }
    }

    /// What is answered from, by the newest news.
    pub(super) fn zones(&mut self) -> Vec<Arc<dyn OtherZone>> {
        let state = self.states.borrow_and_update();
        state.zones.iter().map(|zone| -> Arc<dyn OtherZone> { Arc::new(zone.clone()) }).collect()
    }

    /// What lets go of keys that are held.
    pub(super) fn releases(&self) -> Releases {
        self.follower.releases()
    }

    /// Logs what is wrong with keys and was not so before.
    pub(super) fn tell(&mut self) {
        let findings: BTreeSet<Finding> = self.findings().into_iter().collect();
        for finding in findings.difference(&self.told) {
            tracing::warn!(finding = finding.to_string(), "new finding");
        }
        self.told = findings;
    }

    /// What is wrong with keys.
    pub(super) fn findings(&self) -> Vec<Finding> {
        self.states.borrow().findings.clone()
    }

    /// A line for those who look whether all is well, if it is not.
    pub(super) fn stale(&self) -> Option<String> {
        let state = self.states.borrow();
        (state.standing != Standing::Fresh).then(|| format!("keys of SkyDNS: {}", state.standing))
    }
}
