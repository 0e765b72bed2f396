//! What `serve` keeps over a restart: the differences of zones, and a copy of each zone, from which follows what changed in
//! its master file while nobody looked.
//!
//! | at the start | incremental transfers |
//! |---|---|
//! | the master file gives what was served last | go on from the differences on disk |
//! | it gives another content with a later serial | the same, with what has changed on top |
//! | another content without that | begin anew, with a finding |
//! | the copy is missing or damaged | begin anew |
//!
//! A copy is written when its zone is served already, and again at the end of the program where the disk failed.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use mcdns_core::{
    answer::{AuthoritativeZone, ZoneDifference},
    dns::OwnerName,
    records::zone_digest,
};
use mcdns_serve::TransferHistory;
use mcdns_state::{Chain, Published, StateDirectory};

use super::state::{self, TAKE_BACK, Wish};
use crate::settings::Settings;

/// The state directory, if there is one, and what waits for it.
pub(super) struct Kept {
    state: Option<Arc<StateDirectory>>,
    /// What was published of zones that are not served yet.
    published: BTreeMap<OwnerName, Chain>,
    /// Zones whose copies are out of date, with their digests.
    unwritten: BTreeMap<OwnerName, (Arc<AuthoritativeZone>, u128)>,
    /// A successor has the state directory.
    lent: bool,
    /// When to try to have the state directory again; none where it was never let go.
    take_back_at: Option<Instant>,
}

impl Kept {
    /// Opens the state directory of the settings.
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        let (state, published) = match state::open(settings)? {
            Some((state, recovered)) => (Some(state), recovered.differences),
            None => (None, BTreeMap::new()),
        };
        Ok(Self { state, published, unwritten: BTreeMap::new(), lent: false, take_back_at: None })
    }

    /// The state directory.
    pub(super) fn state(&self) -> Option<Arc<StateDirectory>> {
        self.state.clone()
    }

    /// Goes on with the differences from before the restart, now that the zone is served for the first time. Returns what
    /// was served last, where that is something else.
    pub(super) fn take_up(
        &mut self,
        zone: &Arc<AuthoritativeZone>,
        transfers: &TransferHistory,
    ) -> Option<Arc<AuthoritativeZone>> {
        let state = self.state.clone()?;
        let digest = zone_digest(zone);
        let chain = self.published.remove(zone.apex()).unwrap_or_default();
        let leads_to = |zone: &AuthoritativeZone, digest: u128| {
            chain.digest == digest && chain.differences.last().is_some_and(|last| last.to == *zone.soa())
        };
        let mark = state.zone_mark(zone.apex());
        let is_copied = mark == Some((zone.soa().serial, digest));
        if !is_copied {
            self.unwritten.insert(zone.apex().clone(), (Arc::clone(zone), digest));
        }
        let mut before = None;
        let mut goes_on = leads_to(zone, digest);
        if !goes_on && !is_copied && mark.is_some() {
            let mut warnings = Vec::new();
            before = state.read_zone(zone.apex(), &mut warnings);
            warnings.iter().for_each(state::warn);
            goes_on = before.as_ref().is_some_and(|(before, digest)| leads_to(before, *digest));
        }
        if goes_on {
            transfers.recover(chain.differences);
        }
        before.map(|(before, _)| before)
    }

    /// Keeps the difference that leads to `zone`, which is about to be served.
    pub(super) fn record(
        &mut self,
        difference: ZoneDifference,
        zone: &Arc<AuthoritativeZone>,
        transfers: &TransferHistory,
    ) {
        let difference = Arc::new(difference);
        let begins = transfers.last(zone.apex()).is_none();
        transfers.record(Arc::clone(&difference), zone);
        let digest = self.note(zone);
        if let (Some(state), Some(digest)) = (&self.state, digest) {
            state.record_difference(Published { difference, digest, begins });
        }
    }

    /// The zone is another one, whatever led there. Its digest, where there is a state directory.
    pub(super) fn note(&mut self, zone: &Arc<AuthoritativeZone>) -> Option<u128> {
        self.state.as_ref()?;
        let digest = zone_digest(zone);
        self.unwritten.insert(zone.apex().clone(), (Arc::clone(zone), digest));
        Some(digest)
    }

    /// Writes the copies that are out of date. What the disk does not take is tried again with the next.
    pub(super) fn write(&mut self) {
        if let Some(state) = &self.state {
            self.unwritten.retain(|_, (zone, digest)| !state.write_zone(zone, *digest));
        }
    }

    /// True while a successor has the state directory, so that nothing may be read anew.
    pub(super) fn is_lent(&self) -> bool {
        self.lent
    }

    /// Lets go of what only one process may have, or takes it again.
    pub(super) fn make_way(&mut self, wish: Wish, settings: &Settings) {
        match wish {
            Wish::Release(done) => {
                self.lent = true;
                self.write();
                let released = match self.state.take() {
                    Some(state) => state.shutdown().map_err(|error| format!("{:#}", anyhow::Error::from(error))),
                    None => Ok(()),
                };
                tracing::info!("a successor takes over; master files are not looked at meanwhile");
                // Whoever asked may be gone; then the wish to resume follows.
                let _ = done.send(released);
            }
            Wish::Resume => {
                self.lent = false;
                self.take_back_at = settings.state_dir.value.as_ref().map(|_| Instant::now());
                tracing::warn!("the successor failed; looking at master files again");
            }
        }
    }

    /// How long until [`Kept::take_back`] has something to do.
    pub(super) fn until_take_back(&self) -> Option<Duration> {
        self.take_back_at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Takes the state directory again that a failed successor has, or had: it may take a moment to end.
    pub(super) fn take_back(&mut self, settings: &Settings) -> Option<Arc<StateDirectory>> {
        self.until_take_back().filter(Duration::is_zero)?;
        match state::open(settings) {
            Ok(opened) => {
                tracing::info!("the state directory is had again");
                self.take_back_at = None;
                self.state = opened.map(|(state, _)| state);
                self.state()
            }
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "the state directory cannot be had again yet");
                self.take_back_at = Some(Instant::now() + TAKE_BACK);
                None
            }
        }
    }

    /// Brings everything to disk.
    pub(super) fn finish(mut self) {
        self.write();
        if let Some(state) = &self.state {
            state::close(state);
        }
    }
}
