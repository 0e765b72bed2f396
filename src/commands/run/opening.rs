//! When enough was read to write: not before.
//!
//! ```text
//!   Shut ──► host listed: Listed ─┬─► every member read, or known from before ──► Open, for good
//!                                 └─► a grace has passed ─────────────────────────┘
//!
//!   Listed: status of KubeFedClusters and Domains
//!   Open:   records, DNSEndpoints, published serials, other systems
//! ```
//!
//! Answers come from what is known, however old it is: better than none. What is written stays for others to read, so it must
//! not be older than what stands there already: not the content of a state directory while the host cannot be read, and no
//! record without the targets of a member that was not heard yet. After the grace such a member's targets would be
//! withdrawn by any replica, so nobody waits for it any longer.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use mcdns_control::Leadership;
use mcdns_core::model::ClusterName;
use mcdns_sources::kubernetes::Progress;
use tokio::sync::watch;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Nothing may be written.
    Shut,
    /// What does not depend on what is in members may be written.
    Listed,
    /// Everything may be written.
    Open,
}

/// Keeps those shut that write to the host and to other systems.
pub(super) struct Gate {
    /// How long members are waited for once the host was listed.
    grace: Duration,
    /// When it was heard that the host was listed.
    listed: Option<Instant>,
    unread: BTreeSet<ClusterName>,
    stage: watch::Sender<Stage>,
}

impl Gate {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, listed: None, unread: BTreeSet::new(), stage: watch::channel(Stage::Shut).0 }
    }

    /// Takes in how much was read.
    pub(super) fn take(&mut self, progress: Progress, now: Instant) {
        self.unread = progress.unread;
        if progress.host && self.listed.is_none() {
            self.listed = Some(now);
            self.stage.send_replace(Stage::Listed);
        }
    }

    /// Opens, if it is time to; true if so.
    pub(super) fn look(&mut self, now: Instant) -> bool {
        if self.until_next(now).is_none_or(|wait| !wait.is_zero()) {
            return false;
        }
        if !self.unread.is_empty() {
            let members = self.unread.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
            tracing::warn!(members, "members could not be read in time, so nothing of them is written");
        }
        self.stage.send_replace(Stage::Open);
        true
    }

    /// True once enough was read.
    pub(super) fn is_open(&self) -> bool {
        *self.stage.borrow() == Stage::Open
    }

    /// Follows how far it is.
    pub(super) fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// How long until it opens whatever is read; none once it is open, and while only the host is waited for.
    pub(super) fn until_next(&self, now: Instant) -> Option<Duration> {
        let listed = self.listed.filter(|_| !self.is_open())?;
        let grace = if self.unread.is_empty() { Duration::ZERO } else { self.grace };
        Some((listed + grace).saturating_duration_since(now))
    }

    /// A lease that nobody is known to hold until the host was listed.
    pub(super) fn lease(&self, mut lease: watch::Receiver<Leadership>) -> watch::Receiver<Leadership> {
        let (gated, through) = watch::channel(Leadership::Unknown("the host was not listed yet".to_owned()));
        let mut stage = self.stage();
        // It ends with the lease, or with the gate.
        tokio::spawn(async move {
            if stage.wait_for(|stage| *stage >= Stage::Listed).await.is_err() {
                return;
            }
            loop {
                let now = lease.borrow_and_update().clone();
                gated.send_replace(now);
                if lease.changed().await.is_err() {
                    return;
                }
            }
        });
        through
    }
}

#[cfg(test)]
mod tests {
    use mcdns_api::StandingKind;

    use super::*;

    const GRACE: Duration = Duration::from_mins(1);

    fn progress(host: bool, unread: &[&str]) -> Progress {
        let unread = unread.iter().map(|name| ClusterName::from(*name)).collect();
        Progress { host, stands: StandingKind::ALL.to_vec(), unread }
    }

    #[test]
    fn a_host_that_was_not_listed_is_waited_for_whatever_is_known() {
        let (mut gate, start) = (Gate::new(GRACE), Instant::now());
        gate.take(progress(false, &[]), start);
        let later = start + GRACE * 100;
        assert_eq!((gate.look(later), gate.until_next(later), *gate.stage().borrow()), (false, None, Stage::Shut));
        gate.take(progress(true, &[]), later);
        assert!(gate.look(later) && gate.is_open());
    }

    #[test]
    fn a_member_is_waited_for_until_it_was_read_or_the_grace_is_over() {
        let start = Instant::now();
        let mut read = Gate::new(GRACE);
        read.take(progress(true, &["us"]), start);
        assert_eq!((read.look(start), read.until_next(start)), (false, Some(GRACE)));
        read.take(progress(true, &[]), start + GRACE / 2);
        assert!(read.look(start + GRACE / 2));
        let mut silent = Gate::new(GRACE);
        silent.take(progress(true, &["us"]), start);
        silent.take(progress(true, &["us"]), start + GRACE / 2);
        assert!(!silent.look(start + GRACE / 2));
        assert_eq!(*silent.stage().borrow(), Stage::Listed);
        assert!(silent.look(start + GRACE));
        // What joins later is no reason to stop.
        silent.take(progress(true, &["new"]), start + GRACE);
        assert!(silent.is_open() && !silent.look(start + GRACE), "it opens once");
    }

    #[tokio::test]
    async fn nobody_holds_the_lease_before_the_host_was_listed() {
        let mut gate = Gate::new(GRACE);
        let held = |holder: &str| Leadership::Follower { holder: Some(holder.to_owned()) };
        let (lease, leadership) = watch::channel(held("first"));
        let mut gated = gate.lease(leadership);
        lease.send_replace(held("second"));
        assert!(matches!(*gated.borrow_and_update(), Leadership::Unknown(_)));
        gate.take(progress(true, &["us"]), Instant::now());
        gated.changed().await.expect("it follows");
        assert_eq!(*gated.borrow_and_update(), held("second"));
        lease.send_replace(held("third"));
        gated.changed().await.expect("it follows");
        assert_eq!(*gated.borrow(), held("third"));
    }
}
