//! RR types by number, with the mnemonics of the IANA registry.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// RR type as on the wire. Types that nobody here knows print and parse as `TYPE123` (RFC 3597 section 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordType(pub u16);

/// A text that names no RR type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no RR type; write a mnemonic such as A, or TYPE followed by its number (RFC 3597)")]
pub struct RecordTypeError(String);

/// Registry "Resource Record (RR) TYPEs" of IANA, by number. Private and obsolete types of other servers
/// (ANAME, ALIAS) are not in it: their numbers differ between vendors.
#[rustfmt::skip]
const MNEMONICS: &[(u16, &str)] = &[
    (1, "A"), (2, "NS"), (3, "MD"), (4, "MF"), (5, "CNAME"), (6, "SOA"), (7, "MB"), (8, "MG"), (9, "MR"),
    (10, "NULL"), (11, "WKS"), (12, "PTR"), (13, "HINFO"), (14, "MINFO"), (15, "MX"), (16, "TXT"), (17, "RP"),
    (18, "AFSDB"), (19, "X25"), (20, "ISDN"), (21, "RT"), (22, "NSAP"), (23, "NSAP-PTR"), (24, "SIG"), (25, "KEY"),
    (26, "PX"), (27, "GPOS"), (28, "AAAA"), (29, "LOC"), (30, "NXT"), (31, "EID"), (32, "NIMLOC"), (33, "SRV"),
    (34, "ATMA"), (35, "NAPTR"), (36, "KX"), (37, "CERT"), (38, "A6"), (39, "DNAME"), (40, "SINK"), (41, "OPT"),
    (42, "APL"), (43, "DS"), (44, "SSHFP"), (45, "IPSECKEY"), (46, "RRSIG"), (47, "NSEC"), (48, "DNSKEY"),
    (49, "DHCID"), (50, "NSEC3"), (51, "NSEC3PARAM"), (52, "TLSA"), (53, "SMIMEA"), (55, "HIP"), (56, "NINFO"),
    (57, "RKEY"), (58, "TALINK"), (59, "CDS"), (60, "CDNSKEY"), (61, "OPENPGPKEY"), (62, "CSYNC"), (63, "ZONEMD"),
    (64, "SVCB"), (65, "HTTPS"), (66, "DSYNC"), (67, "HHIT"), (68, "BRID"), (99, "SPF"), (100, "UINFO"),
    (101, "UID"), (102, "GID"), (103, "UNSPEC"), (104, "NID"), (105, "L32"), (106, "L64"), (107, "LP"), (108, "EUI48"), (109, "EUI64"),
    (128, "NXNAME"), (249, "TKEY"), (250, "TSIG"), (251, "IXFR"), (252, "AXFR"), (253, "MAILB"), (254, "MAILA"),
    (255, "ANY"), (256, "URI"), (257, "CAA"), (258, "AVC"), (259, "DOA"), (260, "AMTRELAY"), (261, "RESINFO"),
    (262, "WALLET"), (263, "CLA"), (264, "IPN"), (32768, "TA"), (32769, "DLV"),
];

impl RecordType {
    /// IPv4 address (RFC 1035).
    pub const A: Self = Self(1);
    /// Name server (RFC 1035).
    pub const NS: Self = Self(2);
    /// Canonical name (RFC 1035).
    pub const CNAME: Self = Self(5);
    /// Start of authority (RFC 1035).
    pub const SOA: Self = Self(6);
    /// Pointer (RFC 1035).
    pub const PTR: Self = Self(12);
    /// Mail exchange (RFC 1035).
    pub const MX: Self = Self(15);
    /// Text (RFC 1035).
    pub const TXT: Self = Self(16);
    /// IPv6 address (RFC 3596).
    pub const AAAA: Self = Self(28);
    /// Server selection (RFC 2782).
    pub const SRV: Self = Self(33);
    /// Redirection of a subtree (RFC 6672).
    pub const DNAME: Self = Self(39);
    /// EDNS pseudo type (RFC 6891).
    pub const OPT: Self = Self(41);
    /// Delegation signer (RFC 4034).
    pub const DS: Self = Self(43);
    /// Service binding (RFC 9460).
    pub const SVCB: Self = Self(64);
    /// Service binding of HTTP (RFC 9460).
    pub const HTTPS: Self = Self(65);
    /// Transaction signature (RFC 8945), in messages only.
    pub const TSIG: Self = Self(250);
    /// Transfer of a whole zone (RFC 5936), in questions only.
    pub const AXFR: Self = Self(252);
    /// Transfer of differences (RFC 1995), in questions only.
    pub const IXFR: Self = Self(251);
    /// All types (RFC 8482), in questions only.
    pub const ANY: Self = Self(255);
}

impl RecordType {
    /// True for types that stand in questions or in single messages and never in a zone: 0, OPT and
    /// 128 to 255 (RFC 6895 section 3.1).
    pub fn is_meta(self) -> bool {
        matches!(self.0, 0 | 41 | 128..=255)
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match MNEMONICS.binary_search_by_key(&self.0, |&(number, _)| number) {
            Ok(at) => f.write_str(MNEMONICS[at].1),
            Err(_) => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RecordType {
    type Err = RecordTypeError;

    fn from_str(text: &str) -> Result<Self, RecordTypeError> {
        let known = MNEMONICS.iter().find(|(_, mnemonic)| mnemonic.eq_ignore_ascii_case(text));
        if let Some(&(number, _)) = known {
            return Ok(Self(number));
        }
        let number = match text.as_bytes().split_at_checked(4) {
            Some((word, digits)) if word.eq_ignore_ascii_case(b"TYPE") && digits.iter().all(u8::is_ascii_digit) => {
                text[4..].parse().ok()
            }
            _ => None,
        };
        number.map(Self).ok_or_else(|| RecordTypeError(text.to_owned()))
    }
}

impl Serialize for RecordType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RecordType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_number_survives_printing_and_parsing() {
        assert!(MNEMONICS.is_sorted_by_key(|&(number, _)| number), "the table is searched by halves");
        for number in 0..=u16::MAX {
            let printed = RecordType(number).to_string();
            assert_eq!(printed.parse(), Ok(RecordType(number)), "{printed}");
        }
    }

    #[test]
    fn mnemonics_are_read_in_any_case_and_generic_names_for_any_type() {
        assert_eq!("aaaa".parse(), Ok(RecordType::AAAA));
        assert_eq!("type28".parse(), Ok(RecordType::AAAA));
        for wrong in ["", "TYPE", "TYPE65536", "TYPE+1", "AAAAA", "*", "TYPé1"] {
            assert!(wrong.parse::<RecordType>().is_err(), "{wrong}");
        }
    }
}
