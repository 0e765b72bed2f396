//! Who claims which name, and who gets it.
//!
//! The oldest creationTimestamp wins (a missing one is youngest), then namespace, name, kind. A record in
//! force claims every name that its spec gives, published or not. A service record claims its global name
//! together with all its level names as one *family*, so that a federation of many levels does not cost a
//! claim for each.

use std::{collections::BTreeSet, sync::Arc};

use super::wire::{NameMap, WireKey};
use crate::{
    dns::OwnerName,
    model::{NamespacedName, RecordKey, RecordKind, Timestamp},
};

/// A record in the order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claimant {
    created: Timestamp,
    namespace: Arc<str>,
    name: Arc<str>,
    kind: RecordKind,
}

/// All claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    single: NameMap<BTreeSet<Claimant>>,
    families: NameMap<BTreeSet<Claimant>>,
    /// Single claims by the global name whose level they would be.
    beneath: NameMap<BTreeSet<OwnerName>>,
    /// Names that no record can have, by the global name whose level they would be.
    reserved: NameMap<BTreeSet<OwnerName>>,
}

impl Claimant {
    pub(crate) fn new(key: &RecordKey, created: Option<Timestamp>) -> Self {
        Self {
            created: created.unwrap_or(Timestamp(i64::MAX)),
            namespace: key.name.namespace.clone(),
            name: key.name.name.clone(),
            kind: key.kind,
        }
    }

    pub(crate) fn key(&self) -> RecordKey {
        let name = NamespacedName { namespace: self.namespace.clone(), name: self.name.clone() };
        RecordKey { kind: self.kind, name }
    }
}

impl Claims {
    /// Takes in that `name`, which would be a level of `globals`, is held by static records or by the zone itself.
    pub(crate) fn add_reserved(&mut self, name: &OwnerName, globals: Vec<OwnerName>) {
        for global in globals {
            self.reserved.entry(global).or_default().insert(name.clone());
        }
    }

    pub(crate) fn add_single(&mut self, name: &OwnerName, globals: Vec<OwnerName>, claimant: &Claimant) {
        for global in globals {
            self.beneath.entry(global).or_default().insert(name.clone());
        }
        self.single.entry(name.clone()).or_default().insert(claimant.clone());
    }

    pub(crate) fn remove_single(&mut self, name: &OwnerName, globals: &[OwnerName], claimant: &Claimant) {
        let Some(claimants) = self.single.get_mut(name) else { return };
        claimants.remove(claimant);
        if !claimants.is_empty() {
            return;
        }
        self.single.remove(name);
        for global in globals {
            if let Some(names) = self.beneath.get_mut(global) {
                names.remove(name);
                if names.is_empty() {
                    self.beneath.remove(global);
                }
            }
        }
    }

    pub(crate) fn add_family(&mut self, global: &OwnerName, claimant: &Claimant) {
        self.families.entry(global.clone()).or_default().insert(claimant.clone());
    }

    pub(crate) fn remove_family(&mut self, global: &OwnerName, claimant: &Claimant) {
        if let Some(claimants) = self.families.get_mut(global) {
            claimants.remove(claimant);
            if claimants.is_empty() {
                self.families.remove(global);
            }
        }
    }

    /// Claimants of this very name, apart from families.
    pub(crate) fn single(&self, name: &OwnerName) -> impl Iterator<Item = &Claimant> {
        self.single.get(name).into_iter().flatten()
    }

    /// Families of this global name, oldest first.
    pub(crate) fn families(&self, global: &OwnerName) -> impl Iterator<Item = &Claimant> {
        self.families.get(global).into_iter().flatten()
    }

    /// The family that gets this global name (wire format).
    pub(crate) fn first_family(&self, global: &[u8]) -> Option<&Claimant> {
        self.families.get(&WireKey(global)).and_then(BTreeSet::first)
    }

    /// Names that would be levels of this global name, with single claims or reserved.
    pub(crate) fn beneath(&self, global: &OwnerName) -> impl Iterator<Item = &OwnerName> {
        [self.beneath.get(global), self.reserved.get(global)].into_iter().flatten().flatten()
    }

    /// Names that more than one claims, in canonical order: single claims with another claim or with a family
    /// over them, families of one global name, and reserved names that are levels of a family.
    pub(crate) fn contested(&self) -> BTreeSet<OwnerName> {
        let many = |map: &NameMap<BTreeSet<Claimant>>| -> Vec<OwnerName> {
            map.iter().filter(|(_, claimants)| claimants.len() > 1).map(|(name, _)| name.clone()).collect()
        };
        let mut names: BTreeSet<OwnerName> = many(&self.single).into_iter().chain(many(&self.families)).collect();
        names.extend(self.single.keys().filter(|name| self.families.contains_key(*name)).cloned());
        for (global, beneath) in self.beneath.iter().chain(&self.reserved) {
            if self.families.contains_key(global) {
                names.extend(beneath.iter().cloned());
            }
        }
        names
    }
}
