//! Small helpers on names and addresses in wire format that this room shares.

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
};

use hashbrown::Equivalent;

use crate::dns::{OwnerName, RecordType, Rrset, Ttl};

/// Hash map by owner name that can be asked with a slice of wire format. Never iterated for output.
pub(crate) type NameMap<V> = hashbrown::HashMap<OwnerName, V, foldhash::fast::RandomState>;

/// A name in wire format and normal form that is only looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WireKey<'a>(pub(crate) &'a [u8]);

impl Hash for WireKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As `OwnerName`, which derives it from its boxed slice.
        self.0.hash(state);
    }
}

impl Equivalent<OwnerName> for WireKey<'_> {
    fn equivalent(&self, name: &OwnerName) -> bool {
        self.0 == name.as_wire()
    }
}

/// IPv4 goes to A, IPv6 to AAAA; a family without addresses has no RRset.
pub(crate) fn address_rrsets<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>, ttl: Ttl) -> Vec<Rrset> {
    type Data = Vec<Box<[u8]>>;
    let (mut a, mut aaaa) = (Data::new(), Data::new());
    for address in addresses {
        match address {
            IpAddr::V4(address) => a.push(Box::new(address.octets())),
            IpAddr::V6(address) => aaaa.push(Box::new(address.octets())),
        }
    }
    let sets = [(RecordType::A, a), (RecordType::AAAA, aaaa)].into_iter().filter(|(_, data)| !data.is_empty());
    sets.map(|(record_type, data)| Rrset::new(record_type, ttl, data)).collect()
}

/// One CNAME.
pub(crate) fn alias_rrset(target: &OwnerName, ttl: Ttl) -> Rrset {
    Rrset::new(RecordType::CNAME, ttl, vec![target.as_wire().into()])
}
