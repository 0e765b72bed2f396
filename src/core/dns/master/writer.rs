//! Writes a zone the way diffs like it: one record a line, nothing aligned, always the same order.

use std::fmt;

use crate::{
    answer::Soa,
    dns::{OwnerName, RecordType, Rrset, Ttl, rdata::write_rdata},
};

/// Writes `owner TTL IN TYPE data` lines: the SOA, the NS at the apex, and then every name as it comes, its
/// RRsets by type number and their data in the order of RFC 4034 section 6.3.
///
/// `names` must be in canonical order (RFC 4034 section 6.1), which puts the apex first; a `BTreeMap` of owner
/// names has it. Data that does not fit its type is written as `\# length hex`. Fails only if `out` does.
pub fn write<'a>(
    out: &mut impl fmt::Write,
    soa: &Soa,
    apex: &OwnerName,
    names: impl Iterator<Item = (&'a OwnerName, &'a [Rrset])>,
) -> fmt::Result {
    writeln!(
        out,
        "{} {} IN SOA {} {} {} {} {} {} {}",
        apex.fqdn(),
        soa.ttl,
        soa.primary.fqdn(),
        soa.contact.fqdn(),
        soa.serial,
        soa.refresh,
        soa.retry,
        soa.expire,
        soa.negative_ttl,
    )?;
    for (owner, rrsets) in names {
        let mut sorted: Vec<&Rrset> = rrsets.iter().filter(|rrset| rrset.record_type != RecordType::SOA).collect();
        sorted.sort_by_key(|rrset| (owner != apex || rrset.record_type != RecordType::NS, rrset.record_type));
        for rrset in sorted {
            for rdata in rrset.data() {
                write_record(out, owner, rrset.ttl, rrset.record_type, rdata)?;
            }
        }
    }
    Ok(())
}

/// Writes one record and the line end.
pub fn write_record(
    out: &mut impl fmt::Write,
    owner: &OwnerName,
    ttl: Ttl,
    record_type: RecordType,
    rdata: &[u8],
) -> fmt::Result {
    let dot = if owner.is_root() { "" } else { "." };
    write!(out, "{owner}{dot} {ttl} IN {record_type} ")?;
    write_rdata(out, record_type, rdata)?;
    out.write_char('\n')
}
