//! The case files, and the words that cases use for numbers.

/// File name and text of every file of cases.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("rfc1034.txt", include_str!("cases/rfc1034.txt")),
    ("rfc1035.txt", include_str!("cases/rfc1035.txt")),
    ("rfc1995.txt", include_str!("cases/rfc1995.txt")),
    ("rfc1996.txt", include_str!("cases/rfc1996.txt")),
    ("rfc2181.txt", include_str!("cases/rfc2181.txt")),
    ("rfc2308.txt", include_str!("cases/rfc2308.txt")),
    ("rfc3597.txt", include_str!("cases/rfc3597.txt")),
    ("rfc4035.txt", include_str!("cases/rfc4035.txt")),
    ("rfc4592.txt", include_str!("cases/rfc4592.txt")),
    ("rfc5001.txt", include_str!("cases/rfc5001.txt")),
    ("rfc5936.txt", include_str!("cases/rfc5936.txt")),
    ("rfc6604.txt", include_str!("cases/rfc6604.txt")),
    ("rfc6672.txt", include_str!("cases/rfc6672.txt")),
    ("rfc6891.txt", include_str!("cases/rfc6891.txt")),
    ("rfc7766.txt", include_str!("cases/rfc7766.txt")),
    ("rfc7828.txt", include_str!("cases/rfc7828.txt")),
    ("rfc7830.txt", include_str!("cases/rfc7830.txt")),
    ("rfc7871.txt", include_str!("cases/rfc7871.txt")),
    ("rfc7873.txt", include_str!("cases/rfc7873.txt")),
    ("rfc8020.txt", include_str!("cases/rfc8020.txt")),
    ("rfc8482.txt", include_str!("cases/rfc8482.txt")),
    ("rfc8914.txt", include_str!("cases/rfc8914.txt")),
    ("rfc8945.txt", include_str!("cases/rfc8945.txt")),
    ("rfc9460.txt", include_str!("cases/rfc9460.txt")),
    ("rfc9471.txt", include_str!("cases/rfc9471.txt")),
    ("rfc9619.txt", include_str!("cases/rfc9619.txt")),
];

/// A word and its number.
pub(crate) type Words = &'static [(&'static str, u16)];

/// RR types and QTYPEs (RFC 1035 section 3.2 and the registry of IANA), as far as cases name them.
#[rustfmt::skip]
pub(crate) const TYPES: Words = &[
    ("A", 1), ("NS", 2), ("MD", 3), ("MF", 4), ("CNAME", 5), ("SOA", 6), ("MB", 7), ("MG", 8), ("MR", 9),
    ("WKS", 11), ("PTR", 12), ("HINFO", 13), ("MINFO", 14), ("MX", 15), ("TXT", 16), ("RP", 17), ("AFSDB", 18),
    ("X25", 19), ("ISDN", 20), ("RT", 21), ("NSAP", 22), ("PX", 26), ("AAAA", 28), ("LOC", 29), ("SRV", 33),
    ("NAPTR", 35), ("KX", 36), ("CERT", 37), ("DNAME", 39), ("OPT", 41), ("APL", 42), ("DS", 43), ("SSHFP", 44),
    ("IPSECKEY", 45), ("RRSIG", 46), ("NSEC", 47), ("DNSKEY", 48), ("DHCID", 49), ("TLSA", 52), ("SMIMEA", 53),
    ("CDS", 59), ("CDNSKEY", 60), ("OPENPGPKEY", 61), ("CSYNC", 62), ("SVCB", 64), ("HTTPS", 65), ("SPF", 99),
    ("NID", 104), ("L32", 105), ("L64", 106), ("LP", 107), ("EUI48", 108), ("EUI64", 109), ("TKEY", 249),
    ("TSIG", 250), ("IXFR", 251), ("AXFR", 252), ("MAILB", 253), ("MAILA", 254), ("ANY", 255), ("URI", 256),
    ("CAA", 257), ("AVC", 258),
];

/// Classes (RFC 1035 section 3.2.4, RFC 2136 section 2.4).
pub(crate) const CLASSES: Words = &[("IN", 1), ("CS", 2), ("CH", 3), ("HS", 4), ("NONE", 254), ("ANYCLASS", 255)];

/// RCODEs (RFC 6895 section 2.3).
pub(crate) const RCODES: Words = &[
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("REFUSED", 5),
    ("YXDOMAIN", 6),
    ("NOTAUTH", 9),
    ("NOTZONE", 10),
    ("BADVERS", 16),
    ("BADKEY", 17),
    ("BADTIME", 18),
    ("BADTRUNC", 22),
    ("BADCOOKIE", 23),
];

/// EDNS options (registry "DNS EDNS0 Option Codes (OPT)").
pub(crate) const OPTIONS: Words =
    &[("NSID", 3), ("ECS", 8), ("EXPIRE", 9), ("COOKIE", 10), ("KEEPALIVE", 11), ("PADDING", 12), ("EDE", 15)];

/// The number of a word; `TYPE123` and the like are numbers too (RFC 3597 section 5).
pub(crate) fn number(words: Words, prefix: &str, word: &str) -> Option<u16> {
    let known = words.iter().find(|(known, _)| *known == word).map(|(_, number)| *number);
    known.or_else(|| word.strip_prefix(prefix)?.parse().ok())
}

/// The word for a number.
pub(crate) fn word(words: Words, prefix: &str, number: u16) -> String {
    let known = words.iter().find(|(_, known)| *known == number).map(|(word, _)| (*word).to_owned());
    known.unwrap_or_else(|| format!("{prefix}{number}"))
}
