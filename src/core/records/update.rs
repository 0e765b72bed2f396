//! What observations led to.

use std::collections::BTreeSet;

use crate::{
    answer::{Entry, Patch, PatchError},
    dns::OwnerName,
    model::{Kind, Observation, RecordKey},
};

/// The result of observations.
#[derive(Debug, Default)]
pub struct Update {
    /// What changes in the answers; already applied to [`Engine::snapshot`](super::Engine::snapshot).
    pub patch: Patch,
    /// What was taken in: the observations given, without removals that are held, with those set free.
    pub accepted: Vec<Observation>,
    /// Each name that changed, with what it held before; in canonical order.
    pub changes: Vec<NameChange>,
    /// What the snapshot refused of the patch, which would be a fault of this room; the names concerned stay as they
    /// were.
    pub refused: Vec<PatchError>,
    /// True if [`Engine::host_names`](super::Engine::host_names) gives other names than before.
    pub host_names_changed: bool,
    /// What a person asked of this replica, where nothing was observed.
    pub asked: Option<String>,
    /// Records that were computed anew or compete with one that was: their status and RRsets may differ now.
    pub records: BTreeSet<RecordKey>,
    /// Names of which it could not be told before what they hold, and perhaps can now.
    pub resettled: BTreeSet<OwnerName>,
    /// True if the status of every other record may differ too: a cluster, a level or a Domain is not what it was.
    pub all_records: bool,
}

/// What became of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameChange {
    /// Zone.
    pub apex: OwnerName,
    /// Name.
    pub owner: OwnerName,
    /// Before; none if there was no entry.
    pub before: Option<Entry>,
    /// After; none if there is no entry.
    pub after: Option<Entry>,
}

impl Update {
    /// The kinds of objects among what was taken in, for a reason that a person reads: `Service shop/web in
    /// us-east-1, and 3 more`.
    pub fn reason(&self) -> String {
        let spoken: Vec<&Observation> =
            self.accepted.iter().filter(|observation| observation.key.kind != Kind::Member).collect();
        match &spoken[..] {
            [] => self.asked.clone().unwrap_or_else(|| "time passed".to_owned()),
            [one] => describe(one),
            [first, others @ ..] => format!("{}, and {} more", describe(first), others.len()),
        }
    }
}

fn describe(observation: &Observation) -> String {
    match observation.object {
        Some(_) => format!("{} changed", observation.key),
        None => format!("{} is gone", observation.key),
    }
}
