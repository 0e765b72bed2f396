//! Which services answer for a name.
//!
//! ```text
//!   ordinary:  everything below the name's key; if there is nothing, the key itself
//!   exact:     the key itself (CNAME, PTR)
//!   wildcard:  a label `*` or `any` in the question: everything below what stands to the right of it, of which those
//!              keys count that agree with the question label by label
//! ```
//!
//! So what is stored below a name answers for it too, which `group` limits, and a key is hidden by others below it.

use std::{cell::Cell, ops::ControlFlow, sync::Arc};

use mcdns_core::{
    answer::Records,
    dns::{RecordType, Ttl},
};

use crate::{
    store::{Entry, Host, Keys, Stored},
    zone::LeaseLimits,
};

/// TTL where neither the service nor a lease has one.
const DEFAULT_TTL: Ttl = 300;

/// Services that answer for a name, in the order of their keys.
#[derive(Debug, Default)]
pub(crate) struct Services<'a> {
    pub(crate) list: Vec<Service<'a>>,
    /// Something is there that cannot be read.
    pub(crate) unreadable: bool,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service<'a> {
    stored: &'a Stored,
    pub(crate) entry: &'a Entry,
}

/// How a name is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// With what is below it.
    Below,
    /// Itself alone.
    Exact,
}

/// What is kept for a name in wire format, for a question of this type. None where there is nothing, not even something
/// that does not fit the question: the name does not exist.
pub(crate) fn services<'a>(
    keys: &'a Keys,
    name: &[u8],
    record_type: RecordType,
    reach: Reach,
    records: &mut Records,
) -> Option<Services<'a>> {
    let path = keys.prefix().path(name)?;
    let mut range = path.octets.clone();
    range.truncate(path.cut.unwrap_or(range.len()));
    let exists = Cell::new(false);
    let mut found = Services::default();
    let mut take = |stored: &'a Arc<Stored>, records: &mut Records| {
        exists.set(true);
        if !records.step() {
            return ControlFlow::Break(());
        }
        if path.cut.is_none() || path.matches(&stored.key) {
            match &stored.entry {
                Some(entry) if is_included(entry, record_type) => found.list.push(Service { stored, entry }),
                Some(_) => {}
                None => found.unreadable = true,
            }
        }
        ControlFlow::Continue(())
    };
    if reach == Reach::Below {
        range.push(b'/');
        keys.tree().visit_from(&*range, &mut |key, stored| {
            if key.starts_with(&range) { take(stored, records) } else { ControlFlow::Break(()) }
        });
        range.pop();
    }
    if !exists.get()
        && let Some(stored) = keys.tree().get(&*range)
    {
        // Whether there is more to be looked at does not matter behind the last.
        let _ = take(stored, records);
    }
    if !exists.get() {
        return None;
    }
    group(&mut found.list);
    Some(found)
}

/// True if the name has anything at or below it.
pub(crate) fn exists(keys: &Keys, name: &[u8]) -> bool {
    let Some(path) = keys.prefix().path(name) else { return false };
    let mut range = path.octets;
    range.truncate(path.cut.unwrap_or(range.len()));
    if keys.tree().get(&*range).is_some() {
        return true;
    }
    range.push(b'/');
    let mut exists = false;
    keys.tree().visit_from(&*range, &mut |key, _| {
        exists = key.starts_with(&range);
        ControlFlow::Break(())
    });
    exists
}

impl Service<'_> {
    /// The smaller of what the service says and what its lease has left.
    pub(crate) fn ttl(&self, keys: &Keys, limits: LeaseLimits, now: u64) -> Ttl {
        let end = if self.stored.lease == 0 { None } else { keys.lease_end(self.stored.lease) };
        // One that has ended counts as one that cannot be read: its keys are about to go.
        let left = end.and_then(|end| end.checked_sub(now)).filter(|left| *left > 0);
        let left = left.map(|left| u32::try_from(left).unwrap_or(u32::MAX).max(limits.least).min(limits.greatest));
        match (left, self.entry.ttl) {
            (None, 0) => DEFAULT_TTL,
            (None, ttl) => ttl,
            (Some(left), 0) => left,
            (Some(left), ttl) => left.min(ttl),
        }
    }
}

/// Without a host there is only text, for those who ask for it.
fn is_included(entry: &Entry, record_type: RecordType) -> bool {
    entry.host != Host::Empty || record_type == RecordType::TXT && !entry.text.is_empty()
}

/// Leaves out other groups than that of the shortest key, where there is one.
fn group(services: &mut Vec<Service<'_>>) {
    let Some(first) = services.first() else { return };
    let (mut group, mut depth) = (&first.entry.group, first.entry.depth);
    // As far as the walk comes, which a shorter key without a group ends.
    let mut walked = 0;
    for Service { entry, .. } in services.iter() {
        walked += 1;
        if entry.depth < depth {
            if entry.group.is_empty() {
                break;
            }
            (group, depth) = (&entry.group, entry.depth);
        }
    }
    let is_stranger = |entry: &Entry| !entry.group.is_empty() && entry.group != *group;
    let disagree = services[..walked].iter().any(|service| service.entry.depth == depth && is_stranger(service.entry));
    if group.is_empty() || disagree {
        return;
    }
    let group = group.clone();
    services.retain(|service| service.entry.group.is_empty() || service.entry.group == group);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Prefix;

    /// Which of the services (with so many slashes in the key, and a group) are kept.
    fn kept(services: &[(usize, &str)]) -> Vec<usize> {
        let mut keys = Keys::new(Prefix::new("p"));
        let mut list = Vec::new();
        for (index, (depth, group)) in services.iter().enumerate() {
            let key = format!("/p{}", "/x".repeat(depth - 1)) + &format!("{index}");
            keys.put(key.as_bytes(), format!(r#"{{"host":"192.0.2.1","group":"{group}"}}"#).as_bytes(), 1, 0);
            list.push(key);
        }
        let stored: Vec<&Arc<Stored>> = list.iter().filter_map(|key| keys.tree().get(key.as_bytes())).collect();
        let entry = |stored: &'_ &Arc<Stored>| stored.entry.is_some();
        assert!(stored.iter().all(entry));
        let mut found: Vec<Service<'_>> =
            stored.iter().filter_map(|stored| Some(Service { stored, entry: stored.entry.as_ref()? })).collect();
        group(&mut found);
        let place = |service: &Service<'_>| list.iter().position(|key| key.as_bytes() == &*service.stored.key);
        found.iter().filter_map(place).collect()
    }

    #[test]
    fn the_shortest_key_says_which_group_answers() {
        for (services, wanted) in [
            (&[(4, "g1"), (3, "g2")][..], &[1][..]),
            (&[(2, "g1"), (2, "g2")], &[0, 1]),
            (&[(4, "g1"), (5, "g2")], &[0]),
            (&[(4, "g1"), (5, "g2"), (5, "")], &[0, 2]),
            (&[(4, "g1"), (4, ""), (5, "g2")], &[0, 1]),
            (&[(4, "g5"), (4, ""), (5, "g5")], &[0, 1, 2]),
            (&[(4, "g6")], &[0]),
            (&[(4, "")], &[0]),
            (&[], &[]),
        ] {
            assert_eq!(kept(services), wanted, "{services:?}");
        }
    }

    #[test]
    fn the_ttl_is_the_smaller_of_both() {
        const NOW: u64 = 1_000_000;
        let limits = LeaseLimits::default();
        for (left, ttl, wanted) in [
            (None, 0, 300),
            (None, 300, 300),
            (None, 120, 120),
            (Some(120), 600, 120),
            (Some(5), 0, 30),
            (Some(999_999), 0, 86_400),
            (Some(120), 10, 10),
            (Some(0), 0, 300),
            (Some(0), 120, 120),
        ] {
            let mut keys = Keys::new(Prefix::default());
            keys.put(b"/skydns/a", format!(r#"{{"host":"192.0.2.1","ttl":{ttl}}}"#).as_bytes(), 1, 7);
            keys.set_lease(7, left.map(|left| NOW + left));
            let stored = keys.tree().get(&b"/skydns/a"[..]).expect("the key");
            let entry = stored.entry.as_ref().expect("a service");
            assert_eq!(Service { stored, entry }.ttl(&keys, limits, NOW), wanted, "{left:?} {ttl}");
        }
    }
}
