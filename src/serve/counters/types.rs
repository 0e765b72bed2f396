//! RR types of questions, counted one by one as far as they are usual.

use mcdns_core::dns::RecordType;

/// Kinds of questions that are told apart.
pub(super) const TYPES: usize = LISTED.len() + 2;
/// Where no question could be read.
const NONE: usize = LISTED.len();
/// All types that are not listed.
const OTHER: usize = LISTED.len() + 1;

/// Types with a cell of their own: what public servers see in numbers worth a line, and what a zone can hold.
#[rustfmt::skip]
const LISTED: [u16; 30] = [
    // A, NS, CNAME, SOA, PTR, HINFO, MX, TXT, AAAA, SRV, NAPTR, DNAME, DS, SSHFP, RRSIG, NSEC, DNSKEY, NSEC3PARAM, TLSA
    1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 35, 39, 43, 44, 46, 47, 48, 51, 52,
    // CDS, CDNSKEY, CSYNC, SVCB, HTTPS, SPF, IXFR, AXFR, ANY, URI, CAA
    59, 60, 62, 64, 65, 99, 251, 252, 255, 256, 257,
];

/// The cell of each type up to CAA, the highest that is listed.
static CELLS: [u8; 258] = cells();

/// The cell of a type; 0 stands for "no question".
#[inline]
pub(super) fn cell(record_type: RecordType) -> usize {
    // The remainder is the cell itself, and spares who counts the check of a bound.
    CELLS.get(usize::from(record_type.0)).map_or(OTHER, |&cell| usize::from(cell) % TYPES)
}

/// As metrics call what a cell counts.
pub(super) fn name(cell: usize) -> String {
    match LISTED.get(cell) {
        Some(&number) => RecordType(number).to_string(),
        None if cell == NONE => "none".to_owned(),
        None => "other".to_owned(),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "try_from is not const, and there are 32 cells")]
const fn cells() -> [u8; 258] {
    let mut cells = [OTHER as u8; 258];
    cells[0] = NONE as u8;
    let mut at = 0;
    while at < LISTED.len() {
        cells[LISTED[at] as usize] = at as u8;
        at += 1;
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_types_have_cells_of_their_own_and_all_others_share_one() {
        let of = |text: &str| name(cell(text.parse().expect("a type")));
        for listed in ["A", "AAAA", "DNAME", "HTTPS", "AXFR", "ANY", "CAA"] {
            assert_eq!(of(listed), listed);
        }
        for other in ["MD", "TKEY", "TYPE258", "TYPE65535"] {
            assert_eq!(of(other), "other");
        }
        assert_eq!(name(cell(RecordType(0))), "none");
        let cells: std::collections::BTreeSet<usize> = (0..=u16::MAX).map(|number| cell(RecordType(number))).collect();
        assert_eq!(cells, (0..TYPES).collect(), "every cell is some type's");
    }
}
