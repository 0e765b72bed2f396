//! What record data of each type is made of.

use crate::dns::RecordType;

/// One part of record data: a field in presentation format, a stretch of octets in wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// One octet.
    U8,
    /// Two octets.
    U16,
    /// Four octets.
    U32,
    /// Eight octets.
    U64,
    /// Four octets of seconds; read with units (`1h30m`) too.
    Period,
    /// Four octets, seconds since 1970; written `YYYYMMDDHHmmSS` (RFC 4034 section 3.2).
    Time,
    /// An RR type.
    Type,
    /// DNSSEC algorithm; a number, or read from its mnemonic (RFC 4034 appendix A.1).
    Algorithm,
    /// Scheme of a DSYNC record; a number, or read as `NOTIFY`.
    Scheme,
    /// Kind of certificate; a number, or read from its mnemonic (RFC 4398 section 2.1).
    CertificateKind,
    /// A domain name.
    Name,
    /// A character string: a length octet and up to 255 octets.
    Text,
    /// One character string or more, up to the end.
    Texts,
    /// One string without a length octet, up to the end.
    Rest,
    /// A CAA property tag: a character string of letters and digits (RFC 8659 section 4.1).
    Tag,
    /// IPv4 address.
    Ipv4,
    /// IPv6 address.
    Ipv6,
    /// One octet or more up to the end, in hexadecimal.
    Hex,
    /// One octet or more up to the end, in base64.
    Base64,
    /// The same, or nothing at all.
    MaybeBase64,
    /// The same, or `-` for nothing.
    DashOrBase64,
    /// NSEC3 salt: a length octet, hexadecimal or `-` (RFC 5155 section 3.3).
    Salt,
    /// NSEC3 hash: a length octet, base32 with the extended hex alphabet (RFC 5155 section 3.3).
    Hash,
    /// A set of RR types up to the end (RFC 4034 section 4.1.2).
    Types,
    /// So many octets as hexadecimal pairs with hyphens (RFC 7043).
    Eui(usize),
    /// 64 bits as four groups of hexadecimal digits with colons (RFC 6742 section 2.1.2).
    Locator,
    /// Everything of a LOC record (RFC 1876).
    Location,
    /// Parameters of SVCB and HTTPS up to the end (RFC 9460 section 2.1).
    Parameters,
    /// What a module of its own reads and writes.
    Own(Whole),
}

/// Parts that depend on each other, or that only one type has; up to the end where nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    /// Everything of an APL record (RFC 3123).
    Prefixes,
    /// Everything of an IPSECKEY record (RFC 4025).
    Gateway,
    /// Everything of an AMTRELAY record (RFC 8777).
    Relay,
    /// Everything of a HIP record (RFC 8005).
    HostIdentity,
    /// Everything of an A6 record (RFC 2874).
    ChainedAddress,
    /// Everything of a WKS record (RFC 1035 section 3.4.2).
    Services,
    /// Everything of an NSAP record (RFC 1706).
    Nsap,
    /// Everything of an ATMA record (ATM Name System Specification 1.0).
    Atm,
    /// A set of types below 128 up to the end (RFC 2535 section 5.2).
    OldTypes,
}

impl Part {
    /// True for parts that may be nothing at all.
    pub(super) fn may_be_missing(self) -> bool {
        matches!(self, Self::Types | Self::Parameters | Self::MaybeBase64 | Self::Own(Whole::Prefixes))
    }
}

/// The parts of a type whose presentation format is known, and what such data looks like.
pub(super) fn layout(record_type: RecordType) -> Option<(&'static [Part], &'static str)> {
    use Part::{
        Algorithm, Base64, CertificateKind, DashOrBase64, Eui, Hash, Hex, Ipv4, Ipv6, Location, Locator, MaybeBase64,
        Name, Own, Parameters, Period, Rest, Salt, Scheme, Tag, Text, Texts, Time, Type, Types, U8, U16, U32, U64,
    };
    let known: (&'static [Part], &'static str) = match record_type.0 {
        1 => (&[Ipv4], "192.0.2.1"),
        2 => (&[Name], "ns1.example.com."),
        // MD, MF, CNAME, MB, MG, MR, PTR, NSAP-PTR, DNAME
        3..=5 | 7..=9 | 12 | 23 | 39 => (&[Name], "host.example.com."),
        6 => (
            &[Name, Name, U32, Period, Period, Period, Period],
            "ns1.example.com. hostmaster.example.com. 1 3600 600 604800 30",
        ),
        11 => (&[Own(Whole::Services)], "192.0.2.1 TCP telnet smtp"),
        13 => (&[Text, Text], "\"PC\" \"Linux\""),
        // MINFO, RP, TALINK
        14 | 17 | 58 => (&[Name, Name], "first.example.com. second.example.com."),
        15 => (&[U16, Name], "10 mail.example.com."),
        // AFSDB, RT, KX, LP
        18 | 21 | 36 | 107 => (&[U16, Name], "10 host.example.com."),
        // TXT, ISDN, NINFO, SPF, AVC, RESINFO, WALLET, CLA
        16 | 20 | 56 | 99 | 258 | 261..=263 => (&[Texts], "\"some text\""),
        19 => (&[Text], "\"311061700956\""),
        22 => (&[Own(Whole::Nsap)], "0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00"),
        // SIG, RRSIG
        24 | 46 => (
            &[Type, Algorithm, U8, Period, Time, Time, U16, Name, Base64],
            "A 13 2 3600 20300101000000 20290101000000 12345 example.com. c2lnbmF0dXJl",
        ),
        // A KEY may say that there is none (RFC 2535 section 3.1.2).
        25 => (&[U16, U8, Algorithm, MaybeBase64], "256 3 5 a2V5"),
        // DNSKEY, RKEY, CDNSKEY
        48 | 57 | 60 => (&[U16, U8, Algorithm, Base64], "257 3 13 a2V5"),
        26 => (&[U16, Name, Name], "10 map822.example.com. mapx400.example.com."),
        27 => (&[Text, Text, Text], "\"-32.6882\" \"116.8652\" \"10.0\""),
        28 => (&[Ipv6], "2001:db8::1"),
        29 => (&[Location], "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m"),
        30 => (&[Name, Own(Whole::OldTypes)], "next.example.com. A MX NXT"),
        // EID, NIMLOC
        31 | 32 => (&[Hex], "(hexadecimal digits)"),
        33 => (&[U16, U16, U16, Name], "10 5 443 host.example.com."),
        34 => (&[Own(Whole::Atm)], "+61200000000"),
        35 => (&[U16, U16, Text, Text, Text, Name], "100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:info@example.com!\" ."),
        37 => (&[CertificateKind, U16, Algorithm, Base64], "1 12345 8 Y2VydGlmaWNhdGU="),
        38 => (&[Own(Whole::ChainedAddress)], "64 ::1 prefix.example.com."),
        40 => (&[U8, U8, U8, MaybeBase64], "8 0 2 ZGF0YQ=="),
        42 => (&[Own(Whole::Prefixes)], "1:192.0.2.0/24 !2:2001:db8::/32"),
        // DS, CDS, TA, DLV
        43 | 59 | 32768 | 32769 => (&[U16, Algorithm, U8, Hex], "12345 13 2 (64 hexadecimal digits)"),
        44 => (&[U8, U8, Hex], "4 2 (64 hexadecimal digits)"),
        45 => (&[Own(Whole::Gateway)], "10 1 2 192.0.2.38 a2V5"),
        47 => (&[Name, Types], "next.example.com. A RRSIG NSEC"),
        // DHCID, OPENPGPKEY, HHIT, BRID
        49 | 61 | 67 | 68 => (&[Base64], "(base64)"),
        50 => (&[U8, U8, U16, Salt, Hash, Types], "1 0 0 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A RRSIG"),
        51 => (&[U8, U8, U16, Salt], "1 0 0 -"),
        // TLSA, SMIMEA
        52 | 53 => (&[U8, U8, U8, Hex], "3 1 1 (64 hexadecimal digits)"),
        55 => (&[Own(Whole::HostIdentity)], "2 200100107B1A74DF365639CC39F1D578 a2V5 server.example.com."),
        62 => (&[U32, U16, Types], "66 3 A NS AAAA"),
        63 => (&[U32, U8, U8, Hex], "2018031900 1 1 (96 hexadecimal digits)"),
        // SVCB, HTTPS
        64 | 65 => (&[U16, Name, Parameters], "1 . alpn=\"h2,h3\" ipv4hint=192.0.2.1"),
        66 => (&[Type, Scheme, U16, Name], "CDS 1 5300 notify.example.com."),
        // NID, L64
        104 | 106 => (&[U16, Locator], "10 0014:4fff:ff20:ee64"),
        105 => (&[U16, Ipv4], "10 192.0.2.1"),
        108 => (&[Eui(6)], "00-00-5e-00-53-2a"),
        109 => (&[Eui(8)], "00-00-5e-ef-10-00-00-2a"),
        256 => (&[U16, U16, Rest], "10 1 \"https://www.example.com/\""),
        257 => (&[U8, Tag, Rest], "0 issue \"ca.example.net\""),
        259 => (&[U32, U32, U8, Text, DashOrBase64], "0 1 2 \"text/plain\" ZGF0YQ=="),
        260 => (&[Own(Whole::Relay)], "10 0 1 192.0.2.1"),
        264 => (&[U64], "977000"),
        _ => return None,
    };
    Some(known)
}
