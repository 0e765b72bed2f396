//! What stands at a publisher, and whose it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Group, RecordSet};
use crate::dns::OwnerName;

/// Which installation of ours may change an RRset. Stands in ownership records as `external-dns/owner`, and in etcd as
/// the member `owner`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ManagerId(String);

/// A text that names no manager.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no name of a manager: write 1 to 63 letters, digits, `.`, `_`, `/`, `:` or `-`, and not `default`")]
pub struct ManagerIdError(String);

/// Whose something is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Ownership {
    /// Of this manager.
    Ours,
    /// Of somebody else, who is named; also where a mark is there that cannot be read.
    Foreign(String),
    /// Nobody says.
    Unowned,
}

/// One name as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The sets that `ownership` speaks of. Empty where only a mark is left.
    pub group: Group,
    /// Whose they are.
    pub ownership: Ownership,
    /// Sets of the name that belong to others, where `group` is ours; no change touches them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Beside>,
    /// Why the marks should be written anew although the sets are right: an old format, one that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy: Option<String>,
    /// The ownership records as they are stored, so that they are deleted by what they are and not by what they
    /// would be now (an encrypted one comes out differently each time).
    #[serde(skip)]
    pub marks: Vec<Mark>,
    /// The system's own version of what was read, for changes that apply only to it (etcd: the largest
    /// `mod_revision`). Plans do not look at it.
    #[serde(skip)]
    pub revision: Option<u64>,
}

/// A set that stands beside ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Beside {
    /// The set.
    #[serde(flatten)]
    pub set: RecordSet,
    /// Whose it is.
    pub ownership: Ownership,
}

/// One ownership record as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Where it stands (`_owner-a.www.example.com`, or an etcd key's name).
    pub owner: OwnerName,
    /// The TXT set as stored.
    pub set: RecordSet,
}

/// A zone as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CurrentZone {
    apex: Option<OwnerName>,
    /// Every name that holds something or has a mark left. Names of ownership records themselves are not among them.
    pub names: BTreeMap<OwnerName, Standing>,
    /// What could not be read, in words for a person: `names` does not have it, nothing is changed there, and
    /// everything else goes on.
    pub unreadable: BTreeMap<OwnerName, String>,
}

impl ManagerId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ManagerId {
    type Err = ManagerIdError;

    /// `default` is refused: it is what external-dns calls itself where nobody said otherwise, and two with one name
    /// delete each other's records.
    fn from_str(text: &str) -> Result<Self, ManagerIdError> {
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"._/:-".contains(&octet);
        if text.is_empty() || text.len() > 63 || text == "default" || !text.bytes().all(fits) {
            return Err(ManagerIdError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ManagerId {
    type Error = ManagerIdError;

    fn try_from(text: String) -> Result<Self, ManagerIdError> {
        text.parse()
    }
}

impl From<ManagerId> for String {
    fn from(id: ManagerId) -> Self {
        id.0
    }
}

impl fmt::Display for ManagerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours => f.write_str("ours"),
            Self::Foreign(who) => write!(f, "owned by {who}"),
            Self::Unowned => f.write_str("owned by nobody"),
        }
    }
}

impl Standing {
    /// A name whose sets are told one by one whose they are: ours are the group and the rest stands beside; where none
    /// is ours, all are the group, foreign if one is.
    pub fn of_sets(owner: OwnerName, sets: impl IntoIterator<Item = (RecordSet, Ownership)>) -> Self {
        let (ours, others): (Vec<_>, Vec<_>) =
            sets.into_iter().partition(|(_, ownership)| *ownership == Ownership::Ours);
        let plain = |sets: Vec<(RecordSet, Ownership)>| sets.into_iter().map(|(set, _)| set);
        if ours.is_empty() {
            let foreign = others.iter().map(|(_, ownership)| ownership);
            let ownership = foreign.min().cloned().unwrap_or(Ownership::Unowned);
            return Self::new(Group::new(owner, plain(others)), ownership);
        }
        let beside = others.into_iter().map(|(set, ownership)| Beside { set, ownership });
        Self { beside: beside.collect(), ..Self::new(Group::new(owner, plain(ours)), Ownership::Ours) }
    }

    /// A name with nothing beside it.
    pub fn new(group: Group, ownership: Ownership) -> Self {
        Self { group, ownership, beside: Vec::new(), legacy: None, marks: Vec::new(), revision: None }
    }

    /// Everything at the name, whose ever it is.
    pub fn all_sets(&self) -> impl Iterator<Item = (&RecordSet, &Ownership)> {
        let group = self.group.sets().iter().map(|set| (set, &self.ownership));
        group.chain(self.beside.iter().map(|beside| (&beside.set, &beside.ownership)))
    }
}

impl CurrentZone {
    /// A zone with these names.
    pub fn new(standings: impl IntoIterator<Item = Standing>) -> Self {
        let names = standings.into_iter().map(|standing| (standing.group.owner().clone(), standing));
        Self { names: names.collect(), ..Self::default() }
    }

    /// The same, of the zone with this apex.
    #[must_use]
    pub fn of(self, apex: &OwnerName) -> Self {
        Self { apex: Some(apex.clone()), ..self }
    }

    /// The apex, where it was said.
    pub fn apex(&self) -> Option<&OwnerName> {
        self.apex.as_ref()
    }

    /// Names that are ours.
    pub fn ours(&self) -> impl Iterator<Item = &OwnerName> {
        self.names.iter().filter(|(_, standing)| standing.ownership == Ownership::Ours).map(|(name, _)| name)
    }

    /// Every name that anybody holds.
    pub fn all(&self) -> BTreeSet<&OwnerName> {
        self.names.keys().chain(self.unreadable.keys()).collect()
    }
}
