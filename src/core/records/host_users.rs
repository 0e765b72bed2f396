//! Which records have which host names among their targets.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::model::RecordKey;

/// Records by host name. A resolver looks up exactly these names, and must be told only when they change: a record
/// that is computed anew leaves its names and takes them again, which is no change.
#[derive(Debug, Default)]
pub(super) struct HostUsers {
    users: BTreeMap<Arc<str>, BTreeSet<RecordKey>>,
    /// Names that may have lost their last user.
    idle: BTreeSet<Arc<str>>,
    added: bool,
}

impl HostUsers {
    pub(super) fn add(&mut self, host: &Arc<str>, key: &RecordKey) {
        let users = self.users.entry(host.clone()).or_insert_with(|| {
            self.added = true;
            BTreeSet::new()
        });
        users.insert(key.clone());
    }

    pub(super) fn remove(&mut self, host: &Arc<str>, key: &RecordKey) {
        if let Some(users) = self.users.get_mut(host) {
            users.remove(key);
            if users.is_empty() {
                self.idle.insert(host.clone());
            }
        }
    }

    /// Takes all users away; their names are idle until somebody takes them again.
    pub(super) fn remove_all(&mut self) {
        for (host, users) in &mut self.users {
            users.clear();
            self.idle.insert(host.clone());
        }
    }

    /// Forgets the names that nobody took again. True if there are other names than at the last call.
    pub(super) fn settle(&mut self) -> bool {
        let mut changed = std::mem::take(&mut self.added);
        for host in std::mem::take(&mut self.idle) {
            if self.users.get(&host).is_some_and(BTreeSet::is_empty) {
                self.users.remove(&host);
                changed = true;
            }
        }
        changed
    }

    /// The records that use a name.
    pub(super) fn of(&self, host: &str) -> impl Iterator<Item = &RecordKey> {
        self.users.get(host).into_iter().flatten()
    }

    /// All names.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.users.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NamespacedName, RecordKind};

    #[test]
    fn a_record_that_is_computed_anew_changes_nothing() {
        let key = RecordKey { kind: RecordKind::Service, name: NamespacedName::new("shop", "web") };
        let host: Arc<str> = "lb.test".into();
        let mut users = HostUsers::default();
        users.add(&host, &key);
        assert!(users.settle());
        users.remove(&host, &key);
        users.add(&host, &key);
        assert!(!users.settle());
        users.remove_all();
        users.add(&host, &key);
        assert!(!users.settle());
        users.remove(&host, &key);
        assert!(users.settle());
        assert_eq!(users.names().count(), 0);
    }
}
