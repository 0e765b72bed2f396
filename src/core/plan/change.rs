//! A plan and what it is made of.

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{Group, Ownership, Standing};
use crate::dns::OwnerName;

/// One step of a plan: one name, as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing of ours stands there; what stands beside, if anything, stays.
    Create {
        /// What should stand there.
        after: Group,
        /// Why.
        reason: String,
    },
    /// What is in `before.group` gives way to `after` in one step, types and identifiers included. Where both are
    /// equal, only the ownership marks are written.
    Replace {
        /// What stands there; ours, or [`Ownership::Unowned`] where it is adopted.
        before: Standing,
        /// What should stand there.
        after: Group,
        /// Why.
        reason: String,
    },
    /// What is in `before.group` goes, with its marks.
    Delete {
        /// What stands there, and is ours.
        before: Standing,
        /// Why.
        reason: String,
    },
}

/// Everything that should change in one zone of one publisher; immutable, in canonical order of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Name of the publisher in the settings.
    pub publisher: String,
    /// Apex of the zone.
    pub zone: OwnerName,
    /// The steps: first what replaces or deletes, then what creates, each in canonical order, so that a limited
    /// system has room before it needs it.
    pub changes: Vec<Change>,
    /// Names that stay as they are although they should be otherwise.
    pub skipped: Vec<Skipped>,
    /// Changes that the guard took out of `changes` and that wait for a person.
    pub held: Vec<HeldChanges>,
    /// SHA-256 over publisher, zone and `changes`, the first 16 octets as hexadecimal.
    pub checksum: String,
}

/// A name that is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// The name.
    pub owner: OwnerName,
    /// Why.
    pub why: SkipReason,
}

/// Why a name is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SkipReason {
    /// What stands there is not ours and would have to give way; with whose it is.
    NotOurs(Ownership),
    /// The policy does not allow the change; with the change in words.
    Policy(String),
    /// The publisher cannot hold it; in its words.
    Unpublishable(String),
    /// It cannot be told yet what it should be; with what is not known.
    Unsettled(String),
    /// What stands there could not be read; in the system's words.
    Unreadable(String),
    /// It was refused before and is tried again later; in the system's words.
    Quarantined(String),
}

/// Changes that wait for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldChanges {
    /// Why.
    pub why: HeldWhy,
    /// The changes.
    pub changes: Vec<Change>,
    /// What releases exactly these changes, once; computed as [`Plan::checksum`].
    pub checksum: String,
}

/// Why changes are held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum HeldWhy {
    /// Too many names vanish or lose their last address within the window.
    #[serde(rename_all = "camelCase")]
    Loss {
        /// What made them go, as a person reads it.
        cause: String,
        /// How many names.
        names: usize,
        /// Of how many.
        of: usize,
    },
    /// Every name of the zone vanishes.
    TurnedEmpty {
        /// How many there were.
        of: usize,
    },
    /// The NS or SOA of the apex would change.
    ApexChange,
}

impl Change {
    /// The name.
    pub fn owner(&self) -> &OwnerName {
        match self {
            Self::Create { after, .. } | Self::Replace { after, .. } => after.owner(),
            Self::Delete { before, .. } => before.group.owner(),
        }
    }

    /// What stands there.
    pub fn before(&self) -> Option<&Standing> {
        match self {
            Self::Create { .. } => None,
            Self::Replace { before, .. } | Self::Delete { before, .. } => Some(before),
        }
    }

    /// What should stand there.
    pub fn after(&self) -> Option<&Group> {
        match self {
            Self::Create { after, .. } | Self::Replace { after, .. } => Some(after),
            Self::Delete { .. } => None,
        }
    }

    /// Why.
    pub fn reason(&self) -> &str {
        match self {
            Self::Create { reason, .. } | Self::Replace { reason, .. } | Self::Delete { reason, .. } => reason,
        }
    }

    /// `create`, `replace` or `delete`.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Replace { .. } => "replace",
            Self::Delete { .. } => "delete",
        }
    }
}

impl Plan {
    /// Puts the changes in order and counts the checksum.
    pub fn new(publisher: &str, zone: OwnerName, mut changes: Vec<Change>, mut skipped: Vec<Skipped>) -> Self {
        changes.sort_by(|a, b| {
            let creates = |change: &Change| matches!(change, Change::Create { .. });
            (creates(a), a.owner()).cmp(&(creates(b), b.owner()))
        });
        skipped.sort_by(|a, b| a.owner.cmp(&b.owner));
        let checksum = super::render::checksum(publisher, &zone, &changes);
        Self { publisher: publisher.to_owned(), zone, changes, skipped, held: Vec::new(), checksum }
    }

    /// The same plan with these changes waiting instead; both checksums follow.
    #[must_use]
    pub fn with_held(self, changes: Vec<Change>, held: Vec<(HeldWhy, Vec<Change>)>) -> Self {
        let held = held.into_iter().map(|(why, changes)| {
            let part = Self::new(&self.publisher, self.zone.clone(), changes, Vec::new());
            HeldChanges { why, changes: part.changes, checksum: part.checksum }
        });
        let held = held.collect();
        Self { held, ..Self::new(&self.publisher, self.zone.clone(), changes, self.skipped) }
    }

    /// Names of the changes that wait.
    pub fn held_names(&self) -> impl Iterator<Item = &OwnerName> {
        self.held.iter().flat_map(|held| &held.changes).map(Change::owner)
    }

    /// True if nothing is to be done and nothing waits.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.held.is_empty()
    }

    /// How many steps create, replace and delete.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |verb| self.changes.iter().filter(|change| change.verb() == verb).count();
        (count("create"), count("replace"), count("delete"))
    }
}

impl std::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotOurs(ownership) => write!(f, "what stands there is {ownership}"),
            Self::Policy(words) => write!(f, "the policy leaves out: {words}"),
            Self::Unpublishable(words) => write!(f, "cannot be published there: {words}"),
            Self::Unsettled(words) => write!(f, "what stands there stays for now: {words}"),
            Self::Unreadable(words) => write!(f, "what stands there cannot be read: {words}"),
            Self::Quarantined(words) => write!(f, "was refused, and is tried again later: {words}"),
        }
    }
}

impl std::fmt::Display for HeldWhy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loss { cause, names, of } => {
                write!(f, "{names} of {of} names would vanish or lose their last address ({cause})")
            }
            Self::TurnedEmpty { of } => write!(f, "all {of} names of the zone would vanish"),
            Self::ApexChange => f.write_str("the NS or SOA of the apex would change"),
        }
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Change", 6)?;
        out.serialize_field("change", self.verb())?;
        out.serialize_field("owner", self.owner())?;
        if let Some(before) = self.before() {
            out.serialize_field("before", before.group.sets())?;
            out.serialize_field("ownership", &before.ownership)?;
        }
        if let Some(after) = self.after() {
            out.serialize_field("after", after.sets())?;
        }
        out.serialize_field("reason", self.reason())?;
        out.end()
    }
}
