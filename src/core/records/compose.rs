//! What an owner name holds in the end, when everybody who wants it has been heard.
//!
//! In order of precedence: static records, what the zone itself holds (NS, addresses of its servers,
//! delegations), the record that gets the name, RRsets of somebody else's DNSEndpoint. The apex is the one
//! name where two of these meet: a host there has its addresses beside the zone's NS.

use super::{claims::Claimant, compute::Wanted, engine::Published, zones::ZoneInfo};
use crate::{
    answer::Entry,
    dns::{OwnerName, RecordType, Rrset},
};

/// Who a name goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Winner<'a> {
    /// A record that claims this very name.
    Single(&'a Claimant),
    /// A service record of which it is a level (or the global name).
    Family(&'a Claimant),
}

impl<'a> Winner<'a> {
    pub(crate) fn claimant(&self) -> &'a Claimant {
        match self {
            Self::Single(claimant) | Self::Family(claimant) => claimant,
        }
    }
}

impl Published<'_> {
    /// Who gets `name` among the records.
    pub(crate) fn winner(&self, name: &OwnerName) -> Option<Winner<'_>> {
        let single = self.claims.single(name).next();
        let mut family = self.claims.first_family(name.as_wire());
        self.context.each_global_above(name.as_wire(), |global| {
            let other = self.claims.first_family(global);
            family = [family, other].into_iter().flatten().min();
        });
        match (single, family) {
            (Some(single), Some(family)) if family < single => Some(Winner::Family(family)),
            (Some(single), _) => Some(Winner::Single(single)),
            (None, family) => family.map(Winner::Family),
        }
    }

    /// True if static records or the zone itself hold `name`, so that no record can have it.
    pub(crate) fn is_reserved(&self, name: &OwnerName) -> bool {
        let Some(zone) = self.context.zones.zone_of(name) else { return false };
        let zone = &self.context.zones.list[zone];
        let own = self.own(zone, name);
        if *name == zone.apex { holds_more_than_infrastructure(&own) } else { !own.is_empty() }
    }

    /// The entry of `name` in `zone`; none if it has none there.
    pub(crate) fn compose(&self, zone: usize, name: &OwnerName) -> Option<Entry> {
        let zone_index = zone;
        let zone = &self.context.zones.list[zone];
        let mut rrsets = self.own(zone, name);
        if self.context.zones.zone_of(name) != Some(zone_index) {
            // Below the apex of a child zone the parent holds its delegation and glue, and nothing else.
            return (!rrsets.is_empty()).then(|| Entry::fixed(rrsets));
        }
        let family = self.claims.families(name).next();
        let climb = family.and_then(|claimant| self.records.get(&claimant.key())).and_then(|state| state.climb);
        let open = if *name == zone.apex { !holds_more_than_infrastructure(&rrsets) } else { rrsets.is_empty() };
        let mut withheld = false;
        if open {
            match self.winner(name) {
                Some(winner) => {
                    let wanted = self.wanted(name, winner.claimant());
                    withheld = wanted.is_empty() && self.would_climb(name, &winner);
                    rrsets.extend(wanted);
                }
                None => rrsets.extend(self.foreign.get(name).into_iter().flatten().cloned()),
            }
        }
        let address = |rrset: &Rrset| matches!(rrset.record_type, RecordType::A | RecordType::AAAA);
        if *name == zone.apex && !rrsets.iter().any(address) {
            rrsets.extend(zone.apex_addresses.iter().cloned());
        }
        let entry = Entry { climb, ..Entry::fixed(rrsets) };
        (withheld || !entry.is_withheld()).then_some(entry)
    }

    /// What the zone holds at a name by itself: static records first.
    fn own(&self, zone: &ZoneInfo, name: &OwnerName) -> Vec<Rrset> {
        let fixed = zone.static_zone.as_ref().and_then(|static_zone| static_zone.names.get(name));
        let generated = zone.generated.get(name);
        match (fixed, generated) {
            (Some(fixed), Some(generated)) if *name == zone.apex => {
                // Static records at the apex replace the generated NS only if they bring NS of their own, and
                // settings that name the servers come before both.
                let set =
                    self.context.options.zones.iter().any(|one| one.apex == zone.apex && !one.name_servers.is_empty());
                let has_servers = fixed.iter().any(|rrset| rrset.record_type == RecordType::NS);
                let keep_fixed = |rrset: &&Rrset| !(set && rrset.record_type == RecordType::NS);
                let mut rrsets: Vec<Rrset> = fixed.iter().filter(keep_fixed).cloned().collect();
                if set || !has_servers {
                    rrsets.extend(generated.iter().cloned());
                }
                rrsets
            }
            (Some(fixed), _) => fixed.clone(),
            (None, Some(generated)) => generated.clone(),
            (None, None) => Vec::new(),
        }
    }

    /// What the record that gets the name wants there now.
    fn wanted(&self, name: &OwnerName, claimant: &Claimant) -> Vec<Rrset> {
        let Some(state) = self.records.get(&claimant.key()) else { return Vec::new() };
        match state.wanted(name) {
            Some(Wanted::Addresses(rrsets)) => rrsets.clone(),
            Some(Wanted::Climb(alias)) => vec![alias.clone()],
            Some(Wanted::Prefix(alias)) if self.holds_global(claimant) => vec![alias.clone()],
            Some(Wanted::Prefix(_)) | None => Vec::new(),
        }
    }

    /// True if the service record holds its own global name, with addresses.
    pub(crate) fn holds_global(&self, claimant: &Claimant) -> bool {
        let Some(state) = self.records.get(&claimant.key()) else { return false };
        let Some(global) = &state.global else { return false };
        matches!(state.wanted(global), Some(Wanted::Addresses(_))) && self.holds(claimant, global)
    }

    /// True if `claimant` gets `name`.
    pub(crate) fn holds(&self, claimant: &Claimant, name: &OwnerName) -> bool {
        !self.is_reserved(name) && self.winner(name).is_some_and(|winner| winner.claimant() == claimant)
    }

    /// True if the name is a level that climbs unless an entry keeps it from that.
    fn would_climb(&self, name: &OwnerName, winner: &Winner<'_>) -> bool {
        if matches!(winner, Winner::Family(_)) {
            return false;
        }
        let mut climbs = false;
        self.context.each_global_above(name.as_wire(), |global| {
            let family = self.claims.first_family(global).and_then(|family| self.records.get(&family.key()));
            climbs |= family.is_some_and(|state| state.climb.is_some());
        });
        climbs
    }
}

/// True if there is more than NS, which every apex has.
fn holds_more_than_infrastructure(rrsets: &[Rrset]) -> bool {
    rrsets.iter().any(|rrset| rrset.record_type != RecordType::NS)
}
