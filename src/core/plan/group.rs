//! One owner name as a publisher holds it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::dns::{OwnerName, RecordType, Rrset, Ttl, display_rdata, rdata_target};

/// A name with all its types and set identifiers: changed as a whole or not at all.
///
/// Equal groups are equal values: sets are sorted by type, then identifier, and each is there once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    owner: OwnerName,
    sets: Vec<RecordSet>,
}

/// What a publisher holds under one name, type and set identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordSet {
    /// Type.
    pub record_type: RecordType,
    /// Tells sets of one name and type apart where the system can hold several; none for a plain set.
    pub identifier: Option<String>,
    /// Seconds; none where the system has none of its own for this set (an alias).
    pub ttl: Option<Ttl>,
    /// The records, or what stands in for them.
    pub content: Content,
    /// What else the system keeps with the set, under the names that external-dns gives it (`aws/weight`).
    pub properties: BTreeMap<String, String>,
}

/// The records of a set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// RDATA in wire format, names uncompressed and in lower case: what [`parse_rdata_text`](crate::dns::parse_rdata_text)
    /// gives, so that spellings (case, trailing dots, quotes, IPv6) cannot differ.
    Data(BTreeSet<Box<[u8]>>),
    /// The system answers with the addresses of another name.
    Alias(OwnerName),
}

impl Group {
    /// Sorts the sets; of two with the same type and identifier the data is united and the rest is the first one's.
    pub fn new(owner: OwnerName, sets: impl IntoIterator<Item = RecordSet>) -> Self {
        let mut by_key: BTreeMap<(RecordType, Option<String>), RecordSet> = BTreeMap::new();
        for set in sets {
            match by_key.get_mut(&(set.record_type, set.identifier.clone())) {
                Some(known) => {
                    if let (Content::Data(known), Content::Data(more)) = (&mut known.content, set.content) {
                        known.extend(more);
                    }
                }
                None => {
                    by_key.insert((set.record_type, set.identifier.clone()), set);
                }
            }
        }
        Self { owner, sets: by_key.into_values().collect() }
    }

    /// The plain form: one set for each RRset.
    pub fn of_rrsets<'a>(owner: OwnerName, rrsets: impl IntoIterator<Item = &'a Rrset>) -> Self {
        Self::new(owner, rrsets.into_iter().map(RecordSet::of_rrset))
    }

    /// The name.
    pub fn owner(&self) -> &OwnerName {
        &self.owner
    }

    /// The sets, sorted by type, then identifier.
    pub fn sets(&self) -> &[RecordSet] {
        &self.sets
    }

    /// True if nothing stands at the name.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// The set of this type and identifier.
    pub fn set(&self, record_type: RecordType, identifier: Option<&str>) -> Option<&RecordSet> {
        self.sets.iter().find(|set| set.record_type == record_type && set.identifier.as_deref() == identifier)
    }

    /// Sets of this type.
    pub fn sets_of(&self, record_type: RecordType) -> impl Iterator<Item = &RecordSet> {
        self.sets.iter().filter(move |set| set.record_type == record_type)
    }

    /// The group with only the sets that `keep` says.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&RecordSet) -> bool) -> Self {
        Self { owner: self.owner.clone(), sets: self.sets.iter().filter(|set| keep(set)).cloned().collect() }
    }

    /// True if a client that asks for an address gets one here: A, AAAA, or an alias.
    pub fn has_address(&self) -> bool {
        self.sets.iter().any(|set| {
            matches!(set.content, Content::Alias(_)) || matches!(set.record_type, RecordType::A | RecordType::AAAA)
        })
    }

    /// Where the name's CNAME points, if it is one.
    pub fn cname(&self) -> Option<OwnerName> {
        let set = self.sets_of(RecordType::CNAME).next()?;
        match &set.content {
            Content::Data(data) => rdata_target(RecordType::CNAME, data.first()?),
            Content::Alias(target) => Some(target.clone()),
        }
    }
}

impl RecordSet {
    /// A plain set.
    pub fn of_rrset(rrset: &Rrset) -> Self {
        Self::data(rrset.record_type, rrset.ttl, rrset.data().iter().cloned())
    }

    /// A plain set of RDATA in wire format.
    pub fn data(record_type: RecordType, ttl: Ttl, data: impl IntoIterator<Item = Box<[u8]>>) -> Self {
        Self {
            record_type,
            identifier: None,
            ttl: Some(ttl),
            content: Content::Data(data.into_iter().collect()),
            properties: BTreeMap::new(),
        }
    }

    /// The values in presentation format, sorted as text; an alias is `ALIAS target.`.
    pub fn values(&self) -> Vec<String> {
        match &self.content {
            Content::Data(data) => {
                let mut values: Vec<String> = data.iter().map(|data| display_rdata(self.record_type, data)).collect();
                values.sort();
                values
            }
            Content::Alias(target) => vec![format!("ALIAS {}", target.fqdn())],
        }
    }
}

impl Serialize for RecordSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("RecordSet", 5)?;
        out.serialize_field("type", &self.record_type)?;
        match &self.identifier {
            Some(identifier) => out.serialize_field("identifier", identifier)?,
            None => out.skip_field("identifier")?,
        }
        match self.ttl {
            Some(ttl) => out.serialize_field("ttl", &ttl)?,
            None => out.skip_field("ttl")?,
        }
        out.serialize_field("values", &self.values())?;
        if self.properties.is_empty() {
            out.skip_field("properties")?;
        } else {
            out.serialize_field("properties", &self.properties)?;
        }
        out.end()
    }
}
