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

use std::sync::Arc;

use mcdns_core::{
    answer::Records,
    dns::{RecordType, Ttl},
};

use crate::{
    key::Path,
    kinds::{GROUPLESS, Groups, Kinds, Summary, group_hash},
    store::{Entry, Keys, Stored},
    tree::Cursor,
    zone::LeaseLimits,
};

/// TTL where neither the service nor a lease has one.
const DEFAULT_TTL: Ttl = 300;

/// Services that answer for a name, in the order of their keys: those that can have a record of the type asked for.
#[derive(Clone)]
pub(crate) struct Services<'a> {
    walk: Walk<'a>,
    wanted: Kinds,
    chosen: Chosen<'a>,
    /// Something is there that cannot be read, and nothing else.
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

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chosen<'a> {
    Everybody,
    /// This group, and who is in none.
    Group(&'a str, u64),
}

/// The way through what is stored for a name.
#[derive(Clone)]
struct Walk<'a> {
    path: Path,
    /// What keys below start with.
    range: Vec<u8>,
    below: Option<Cursor<'a, Arc<[u8]>, Arc<Stored>>>,
    alone: Option<&'a Stored>,
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
    let (included, wanted) = kinds(record_type);
    let walk = Walk::new(keys, name, reach)?;
    let chosen = walk.clone().choose(included, records);
    // What can be read answers, be it that it has nothing of the type.
    let unreadable = chosen.is_none() && walk.clone().any(Kinds::UNREADABLE, records);
    Some(Services { walk, wanted, chosen: chosen.unwrap_or(Chosen::Everybody), unreadable })
}

/// True if the name has anything at or below it.
pub(crate) fn exists(keys: &Keys, name: &[u8]) -> bool {
    Walk::new(keys, name, Reach::Below).is_some()
}

impl<'a> Services<'a> {
    /// The next one; none behind the last, and where the answer is full or has cost enough.
    pub(crate) fn next(&mut self, records: &mut Records) -> Option<Service<'a>> {
        let Self { wanted, chosen, .. } = *self;
        let enters = |sum: &Summary| sum.kinds.meet(wanted) && chosen.may_be_in(sum.groups);
        loop {
            let stored = self.walk.next(records, enters)?;
            let entry = stored.entry.as_ref().filter(|_| stored.kinds().meet(wanted));
            if let Some(entry) = entry.filter(|entry| chosen.has(entry)) {
                return Some(Service { stored, entry });
            }
        }
    }
}

impl<'a> Walk<'a> {
    fn new(keys: &'a Keys, name: &[u8], reach: Reach) -> Option<Self> {
        let path = keys.prefix().path(name)?;
        let mut range = path.octets.clone();
        range.truncate(path.cut.unwrap_or(range.len()));
        if reach == Reach::Below {
            range.push(b'/');
            let below = keys.tree().from(&*range);
            let first = below.clone().next(|_| true);
            if first.is_some_and(|(key, _)| key.starts_with(&range)) {
                return Some(Self { path, range, below: Some(below), alone: None });
            }
            range.pop();
        }
        let alone = keys.tree().get(&*range)?;
        Some(Self { path, range, below: None, alone: Some(alone) })
    }

    /// The next key that the path asks for. Those may be left out of whose like `enters` says no; the others are all
    /// shown.
    fn next(&mut self, records: &mut Records, enters: impl Fn(&Summary) -> bool) -> Option<&'a Stored> {
        loop {
            let stored = match (self.alone.take(), &mut self.below) {
                (Some(stored), _) => stored,
                (None, Some(below)) => {
                    let (key, stored) = below.next(&enters)?;
                    if !key.starts_with(&self.range) {
                        self.below = None;
                        return None;
                    }
                    stored
                }
                (None, None) => return None,
            };
            if !records.step() {
                return None;
            }
            if self.path.cut.is_none() || self.path.matches(&stored.key) {
                return Some(stored);
            }
        }
    }

    fn any(mut self, kinds: Kinds, records: &mut Records) -> bool {
        while let Some(stored) = self.next(records, |sum| sum.kinds.meet(kinds)) {
            if stored.kinds().meet(kinds) {
                return true;
            }
        }
        false
    }

    /// Whose turn it is among services that count: where the one with the shortest key is in a group, no other group's.
    /// None where there is none.
    fn choose(mut self, included: Kinds, records: &mut Records) -> Option<Chosen<'a>> {
        let first = loop {
            let stored = self.next(records, |sum| sum.kinds.meet(included))?;
            if let Some(entry) = stored.entry.as_ref().filter(|_| stored.kinds().meet(included)) {
                break entry;
            }
        };
        let (mut group, mut hash, mut depth) = (&*first.group, group_hash(&first.group), first.depth);
        // Two groups with keys of one length, of which none is shorter.
        let mut disagree = false;
        loop {
            // Longer keys have no say, nor have those as long unless they are of another group.
            let decides = |sum: &Summary| match sum.least_depth().cmp(&depth) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Equal => !disagree && hash != GROUPLESS && sum.groups.has_another(hash),
                std::cmp::Ordering::Greater => false,
            };
            let Some(stored) = self.next(records, |sum| sum.kinds.meet(included) && decides(sum)) else { break };
            let Some(entry) = stored.entry.as_ref().filter(|_| stored.kinds().meet(included)) else { continue };
            if entry.depth < depth {
                // A shorter key without a group ends the walk.
                if entry.group.is_empty() {
                    break;
                }
                (group, hash, depth) = (&entry.group, group_hash(&entry.group), entry.depth);
                disagree = false;
            } else if entry.depth == depth && !entry.group.is_empty() && *entry.group != *group {
                disagree = true;
            }
        }
        Some(if group.is_empty() || disagree { Chosen::Everybody } else { Chosen::Group(group, hash) })
    }
}

impl Chosen<'_> {
    fn may_be_in(self, groups: Groups) -> bool {
        match (self, groups) {
            (Self::Group(_, hash), Groups::One(other)) => other == hash || other == GROUPLESS,
            _ => true,
        }
    }

    fn has(self, entry: &Entry) -> bool {
        match self {
            Self::Everybody => true,
            Self::Group(group, _) => entry.group.is_empty() || *entry.group == *group,
        }
    }
}

/// What counts as a service for a question, and what can have a record of its type. Without a host there is only text, for
/// those who ask for it.
const fn kinds(record_type: RecordType) -> (Kinds, Kinds) {
    match record_type {
        RecordType::A => (Kinds::HOST, Kinds::V4.and(Kinds::ALIAS)),
        RecordType::AAAA => (Kinds::HOST, Kinds::V6.and(Kinds::ALIAS)),
        RecordType::TXT => (Kinds::HOST.and(Kinds::TEXT), Kinds::TEXT.and(Kinds::ALIAS)),
        RecordType::MX => (Kinds::HOST, Kinds::MAIL),
        // Weights are shares of the whole; a name server that is no address is told; and keys of their own are one.
        _ => (Kinds::HOST, Kinds::HOST),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{key::Prefix, store::Host};

    /// Numbers that look random and are always the same (Knuth's multiplier).
    fn numbers() -> impl Iterator<Item = usize> {
        let number = |index: u64| index.wrapping_mul(6_364_136_223_846_793_005).rotate_left(29) >> 8;
        (1_u64..).map(move |index| usize::try_from(number(index) % (1 << 20)).expect("a small number"))
    }

    fn name(text: &str) -> mcdns_core::dns::OwnerName {
        text.parse().expect("a name")
    }

    /// Keys of what is found.
    fn found(keys: &Keys, asked: &str, record_type: RecordType) -> Option<(Vec<String>, bool)> {
        let mut records = Records::default();
        let mut services = services(keys, name(asked).as_wire(), record_type, Reach::Below, &mut records)?;
        let unreadable = services.unreadable;
        let next = || services.next(&mut records).map(|service| text(&service.stored.key));
        Some((std::iter::from_fn(next).collect(), unreadable))
    }

    fn text(key: &[u8]) -> String {
        String::from_utf8_lossy(key).into_owned()
    }

    /// The same as CoreDNS finds it: everything in the range is looked at, and the list of it thinned out.
    fn found_plainly(keys: &Keys, asked: &str, record_type: RecordType) -> Option<(Vec<String>, bool)> {
        let path = keys.prefix().path(name(asked).as_wire())?;
        let mut range = path.octets.clone();
        range.truncate(path.cut.unwrap_or(range.len()));
        let own = range.clone();
        range.push(b'/');
        let mut all: Vec<&Stored> = Vec::new();
        keys.tree().visit(&mut |key, stored| all.extend(key.starts_with(&range).then_some(&**stored)));
        if all.is_empty() {
            all.push(keys.tree().get(&*own)?);
        }
        all.retain(|stored| path.cut.is_none() || path.matches(&stored.key));
        let is_included =
            |entry: &Entry| entry.host != Host::Empty || record_type == RecordType::TXT && !entry.text.is_empty();
        let is_unreadable = all.iter().any(|stored| stored.entry.is_none());
        let list = all.into_iter().filter_map(|stored| Some((stored, stored.entry.as_ref()?)));
        let mut list: Vec<(&Stored, &Entry)> = list.filter(|(_, entry)| is_included(entry)).collect();
        let unreadable = is_unreadable && list.is_empty();
        group(&mut list);
        list.retain(|(stored, _)| stored.kinds().meet(kinds(record_type).1));
        Some((list.iter().map(|(stored, _)| text(&stored.key)).collect(), unreadable))
    }

    /// Leaves out other groups than that of the shortest key, where there is one.
    fn group(services: &mut Vec<(&Stored, &Entry)>) {
        let Some((_, first)) = services.first() else { return };
        let (mut group, mut depth) = (&first.group, first.depth);
        // As far as the walk comes, which a shorter key without a group ends.
        let mut walked = 0;
        for (_, entry) in services.iter() {
            walked += 1;
            if entry.depth < depth {
                if entry.group.is_empty() {
                    break;
                }
                (group, depth) = (&entry.group, entry.depth);
            }
        }
        let is_stranger = |entry: &Entry| !entry.group.is_empty() && entry.group != *group;
        let disagree = services[..walked].iter().any(|(_, entry)| entry.depth == depth && is_stranger(entry));
        if group.is_empty() || disagree {
            return;
        }
        let group = group.clone();
        services.retain(|(_, entry)| entry.group.is_empty() || entry.group == group);
    }

    #[test]
    fn what_is_gone_round_is_nothing_that_answers() {
        const VALUES: [&str; 10] = [
            r#""host":"192.0.2.1""#,
            r#""host":"192.0.2.2","mail":true"#,
            r#""host":"2001:db8::1""#,
            r#""host":"www.example.net""#,
            r#""host":"mx.example.net","mail":true"#,
            r#""host":"www.example.net","text":"t""#,
            r#""text":"t""#,
            r#""host":"a..b""#,
            r#""host":"a..b","text":"t","mail":true"#,
            r#""port":1"#,
        ];
        let mut numbers = numbers();
        let mut number = |below: usize| numbers.next().unwrap_or_default() % below;
        for round in 0..60_usize {
            let mut keys = Keys::new(Prefix::default());
            // Some rounds have few kinds and groups, so that there is much to go round.
            let (values, groups) = (1 + number(VALUES.len()), number(4));
            for revision in 1..=1_500 {
                let labels = if round % 2 == 0 { 40 } else { 5 };
                let mut key = "/skydns/org/example".to_owned();
                for _ in 0..=number(4) {
                    key.push('/');
                    key.push_str(&number(labels).to_string());
                }
                let value = match number(40) {
                    0 => "no service".to_owned(),
                    1 => format!("{{{}}}", VALUES[number(VALUES.len())]),
                    2..10 if groups > 0 => format!(r#"{{{},"group":"g{}"}}"#, VALUES[number(values)], number(groups)),
                    _ => format!("{{{}}}", VALUES[number(values)]),
                };
                if number(5) == 0 {
                    keys.delete(key.as_bytes(), revision);
                } else {
                    // Some are wrong on purpose.
                    let _ = keys.put(key.as_bytes(), value.as_bytes(), revision, 0);
                }
            }
            let (one, two) = (number(40), number(5));
            for asked in [
                "example.org".to_owned(),
                format!("{one}.example.org"),
                format!("{two}.example.org"),
                format!("{one}.{two}.example.org"),
                format!("{two}.*.example.org"),
                "*.example.org".to_owned(),
                "*.any.example.org".to_owned(),
            ] {
                use RecordType as T;
                for record_type in [T::A, T::AAAA, T::TXT, T::MX, T::SRV, T::NS] {
                    let plainly = found_plainly(&keys, &asked, record_type);
                    assert_eq!(found(&keys, &asked, record_type), plainly, "{round} {asked} {record_type}");
                }
            }
        }
    }

    /// Which of the services (with so many slashes in the key, and a group) are kept.
    fn kept(services: &[(usize, &str)]) -> Vec<usize> {
        let mut keys = Keys::new(Prefix::new("p"));
        let mut list = Vec::new();
        for (index, (depth, group)) in services.iter().enumerate() {
            let key = format!("/p/x/{index}") + &"/x".repeat(depth - 1);
            keys.put(key.as_bytes(), format!(r#"{{"host":"192.0.2.1","group":"{group}"}}"#).as_bytes(), 1, 0);
            list.push(key);
        }
        let (found, _) = found(&keys, "x", RecordType::A).unwrap_or_default();
        found.iter().filter_map(|key| list.iter().position(|other| other == key)).collect()
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
