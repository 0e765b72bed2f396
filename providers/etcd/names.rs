//! Which names a zone has, so that aliases stand where CoreDNS finds them.
//!
//! CoreDNS looks below a name's key first, and at the key itself only if nothing is below; for the type CNAME it looks at
//! the key alone. Services of others below are left out by `group`, unless they are exactly one label below and so as near as
//! the name's own. So an alias stands
//!
//! * at its own key, if the name above has nothing of its own below its key;
//! * below its key, if it must not be at it, or if there are names below (or it would be hidden behind them).
//!
//! Where names come and go, aliases near them are moved.

use std::collections::{BTreeMap, BTreeSet};

use mcdns_core::{
    dns::{OwnerName, RecordType},
    plan::{Group, Ownership, RecordSet, Standing},
};
use mcdns_skydns::Prefix;

use crate::wire::Place;

/// The names of one zone, ours and others'.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: Prefix,
    apex: Vec<u8>,
    /// By the name's key.
    by_key: BTreeMap<Vec<u8>, Entry>,
    /// What others hold; none for most names.
    others: BTreeMap<OwnerName, Vec<(RecordSet, Ownership)>>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// Something of its own is below its key, or would be.
    is_broad: bool,
    /// Our alias, as it stands.
    alias: Option<(Group, Place)>,
}

/// An alias of ours that stands where it should not any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) group: Group,
    pub(crate) from: Place,
    pub(crate) to: Place,
}

impl Names {
    pub(crate) fn new(prefix: &Prefix, apex: &OwnerName) -> Self {
        let key = prefix.key(apex).unwrap_or_default();
        Self { prefix: prefix.clone(), apex: key, by_key: BTreeMap::new(), others: BTreeMap::new() }
    }

    /// Where an alias of this name belongs.
    pub(crate) fn place(&self, owner: &OwnerName) -> Place {
        self.prefix.key(owner).map_or(Place::ORDINARY, |key| self.place_of(&key))
    }

    /// Where an alias of this name stands, as far as that is known.
    pub(crate) fn placed(&self, owner: &OwnerName) -> Place {
        let entry = self.prefix.key(owner).and_then(|key| self.by_key.get(&key));
        match entry.and_then(|entry| entry.alias.as_ref()) {
            Some((_, place)) => *place,
            None => self.place(owner),
        }
    }

    /// What others hold at this name.
    pub(crate) fn others(&self, owner: &OwnerName) -> &[(RecordSet, Ownership)] {
        self.others.get(owner).map_or(&[], |sets| sets)
    }

    /// Takes in how a name stands; `place` is where its alias is, if it is one of ours. True if that matters for others.
    pub(crate) fn note(&mut self, owner: &OwnerName, standing: Option<&Standing>, place: Place) -> bool {
        let all = standing.map(|standing| standing.all_sets().collect::<Vec<_>>()).unwrap_or_default();
        let foreign: Vec<(RecordSet, Ownership)> = all
            .iter()
            .filter(|(_, ownership)| **ownership != Ownership::Ours)
            .map(|(set, ownership)| ((*set).clone(), (*ownership).clone()))
            .collect();
        if foreign.is_empty() {
            self.others.remove(owner);
        } else {
            self.others.insert(owner.clone(), foreign);
        }
        let alias = standing.filter(|standing| standing.ownership == Ownership::Ours).map(|standing| &standing.group);
        self.set(owner, all.iter().map(|(set, _)| set.record_type), alias, place)
    }

    /// Takes in what a name is about to hold beside what others hold there. True if that matters for others.
    pub(crate) fn expect(&mut self, owner: &OwnerName, after: Option<&Group>, place: Place) -> bool {
        let others = self.others(owner).iter().map(|(set, _)| set.record_type);
        let ours = after.into_iter().flat_map(Group::sets).map(|set| set.record_type);
        let types: Vec<RecordType> = others.chain(ours).collect();
        self.set(owner, types.into_iter(), after, place)
    }

    fn set(
        &mut self,
        owner: &OwnerName,
        types: impl Iterator<Item = RecordType>,
        ours: Option<&Group>,
        place: Place,
    ) -> bool {
        let Some(key) = self.prefix.key(owner) else { return false };
        let is_apex = key == self.apex;
        // What the apex keeps elsewhere is not below it.
        let elsewhere = |one: &RecordType| matches!(*one, RecordType::A | RecordType::AAAA | RecordType::NS);
        let (mut exists, mut is_broad) = (false, false);
        for record_type in types {
            exists = true;
            is_broad |= !is_apex || !elsewhere(&record_type);
        }
        let alias = ours.and_then(|group| {
            let set = group.sets_of(RecordType::CNAME).next()?;
            Some((Group::new(owner.clone(), [set.clone()]), place))
        });
        let entry = exists.then_some(Entry { is_broad, alias });
        let before = match entry {
            Some(entry) => self.by_key.insert(key.clone(), entry),
            None => self.by_key.remove(&key),
        };
        let was = before.map(|entry| entry.is_broad);
        was != self.by_key.get(&key).map(|entry| entry.is_broad)
    }

    /// Aliases that have to move because these names came or went, each once.
    pub(crate) fn moves<'a>(&self, changed: impl IntoIterator<Item = &'a OwnerName>) -> Vec<Move> {
        let mut near: BTreeSet<&[u8]> = BTreeSet::new();
        for owner in changed {
            let Some(key) = self.prefix.key(owner) else { continue };
            let below = [&*key, b"/"].concat();
            let names = self.by_key.range(below.clone()..).take_while(|(other, _)| other.starts_with(&below));
            near.extend(names.filter(|(other, _)| !other[below.len()..].contains(&b'/')).map(|(other, _)| &**other));
            let mut above = &key[..];
            while let Some(at) = above.iter().rposition(|octet| *octet == b'/').filter(|at| *at > self.apex.len()) {
                above = &above[..at];
                near.extend(self.by_key.get_key_value(above).map(|(other, _)| &**other));
            }
        }
        let moves = near.into_iter().filter_map(|key| {
            let (group, from) = self.by_key.get(key)?.alias.as_ref()?;
            let to = self.place_of(key);
            (*from != to).then(|| Move { group: group.clone(), from: *from, to })
        });
        moves.collect()
    }

    fn place_of(&self, key: &[u8]) -> Place {
        let above = key.iter().rposition(|octet| *octet == b'/').map(|at| &key[..at]);
        let under_broad = above.and_then(|above| self.by_key.get(above)).is_some_and(|entry| entry.is_broad);
        let below = [key, b"/"].concat();
        let has_below = self.by_key.range(below.clone()..).next().is_some_and(|(next, _)| next.starts_with(&below));
        Place { at: !under_broad, below: under_broad || has_below }
    }
}

#[cfg(test)]
mod tests {
    use mcdns_core::plan::RecordSet;

    use super::*;

    fn name(text: &str) -> OwnerName {
        text.parse().expect("a name")
    }

    fn group(owner: &str, record_type: RecordType) -> Group {
        let data: Box<[u8]> =
            if record_type == RecordType::A { [192, 0, 2, 1].into() } else { name("x.example.net").as_wire().into() };
        Group::new(name(owner), [RecordSet::data(record_type, 60, [data])])
    }

    fn names() -> Names {
        Names::new(&Prefix::default(), &name("example.org"))
    }

    const BOTH: Place = Place { at: true, below: true };
    const BELOW: Place = Place { at: false, below: true };

    #[test]
    fn an_alias_stands_at_its_key_unless_the_name_above_has_something() {
        let mut names = names();
        names.expect(&name("example.org"), Some(&group("example.org", RecordType::A)), Place::ORDINARY);
        assert_eq!(names.place(&name("www.example.org")), Place::ORDINARY, "the apex keeps addresses elsewhere");
        names.expect(&name("up.example.org"), Some(&group("up.example.org", RecordType::A)), Place::ORDINARY);
        assert_eq!(names.place(&name("www.up.example.org")), BELOW);
        assert_eq!(names.place(&name("deep.www.up.example.org")), Place::ORDINARY);
    }

    #[test]
    fn an_alias_above_others_stands_below_its_key_too() {
        let mut names = names();
        let alias = group("www.example.org", RecordType::CNAME);
        assert!(names.expect(&name("www.example.org"), Some(&alias), Place::ORDINARY));
        assert_eq!(names.moves([&name("www.example.org")]), []);
        let deep = name("a.b.www.example.org");
        assert!(names.expect(&deep, Some(&group("a.b.www.example.org", RecordType::A)), Place::ORDINARY));
        let moved = Move { group: alias.clone(), from: Place::ORDINARY, to: BOTH };
        assert_eq!(names.moves([&deep]), [moved]);
        assert!(!names.expect(&name("www.example.org"), Some(&alias), BOTH), "it is there as before");
        assert_eq!(names.moves([&deep]), []);
        assert!(names.expect(&deep, None, Place::ORDINARY));
        assert_eq!(names.moves([&deep]), [Move { group: alias, from: BOTH, to: Place::ORDINARY }]);
    }

    #[test]
    fn aliases_directly_below_a_name_move_when_it_comes() {
        let mut names = names();
        let alias = group("www.up.example.org", RecordType::CNAME);
        names.expect(&name("www.up.example.org"), Some(&alias), Place::ORDINARY);
        let up = name("up.example.org");
        assert!(names.expect(&up, Some(&group("up.example.org", RecordType::A)), Place::ORDINARY));
        assert_eq!(names.moves([&up]), [Move { group: alias, from: Place::ORDINARY, to: BELOW }]);
    }
}
