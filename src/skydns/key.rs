//! Names as keys: labels from the right, joined by `/`, behind a prefix.
//!
//! ```text
//!   www.example.org  ──►  /skydns/org/example/www                     the name itself: a CNAME, a PTR
//!                         /skydns/org/example/www/=0123abcd1a2b3c4d5e6f7081
//!                                                                     one target of it (ours)
//!                         /skydns/org/example/www/1a2b3c4d            the same by external-dns (random)
//!                         /skydns/org/example/www/9007d795            the same by Federation v1 (FNV-1a of the target)
//! ```
//!
//! A label is written as CoreDNS writes it: printable octets as they are, some with a backslash, others as `\DDD`. A label
//! with a slash has no key of its own.

use mcdns_core::dns::{NameError, OwnerName, RecordType};
use thiserror::Error;

use crate::service::Service;

/// Labels that a wildcard of a question may be (SkyDNS).
const WILDCARDS: [&[u8]; 2] = [b"*", b"any"];
/// Most labels that a name has (RFC 1035 section 2.3.4).
const MAX_LABELS: usize = 127;

/// FNV-1a (draft-eastlake-fnv section 5): offset basis and prime, for 32 and 64 bits.
const FNV_32: (u32, u32) = (0x811c_9dc5, 0x0100_0193);
const FNV_64: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0000_0100_0000_01b3);

/// What all keys of an installation start with; in normal form, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(Box<[u8]>);

/// A key that stands for no name. The same key never does.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// It belongs to somebody else.
    #[error("the key does not start with the prefix")]
    OutsidePrefix,
    /// Its parts are no labels.
    #[error("the key makes no name")]
    NoName(#[source] NameError),
}

/// One target of a name, as a publisher tells it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Type of the record.
    pub record_type: RecordType,
    /// Address, name or text, in its normal form.
    pub target: &'a str,
    /// Where the target is; empty where that does not matter.
    pub cluster: &'a str,
    /// Whose the key is: keys of two managers never meet.
    pub manager: &'a str,
}

/// Where a question is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    /// The whole name as a key.
    pub(crate) octets: Vec<u8>,
    /// Octets in front of the first wildcard (from the right of the name), where there is one.
    pub(crate) cut: Option<usize>,
}

impl Default for Prefix {
    /// `/skydns`, as CoreDNS and external-dns have it.
    fn default() -> Self {
        Self::new("/skydns")
    }
}

impl Prefix {
    /// Slashes at both ends and doubled ones do not matter. An empty one is allowed: keys then start with the top-level
    /// domain.
    pub fn new(text: &str) -> Self {
        let parts = text.split('/').filter(|part| !part.is_empty() && *part != ".");
        Self(parts.flat_map(|part| [b"/", part.as_bytes()].concat()).collect())
    }

    /// Without a slash at the end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What all keys start with: the prefix with a slash.
    pub fn range(&self) -> Vec<u8> {
        [&*self.0, b"/"].concat()
    }

    /// The key of a name; none where a label has a slash.
    pub fn key(&self, name: &OwnerName) -> Option<Vec<u8>> {
        self.path(name.as_wire()).map(|path| path.octets)
    }

    /// The key under which a target of a name is kept, always the same. A name has one CNAME at most, which CoreDNS looks
    /// for at the name's own key alone; addresses and the like each get a label in front, which [`Service::targetstrip`]
    /// is to take off again.
    pub fn target_key(&self, name: &OwnerName, target: &Target<'_>) -> Option<Vec<u8>> {
        let mut key = self.key(name)?;
        if !matches!(target.record_type, RecordType::CNAME | RecordType::PTR) {
            key.push(b'/');
            key.extend_from_slice(target.label().as_bytes());
        }
        Some(key)
    }

    /// Where a manager's targets of a name are, and nothing else is: first key and end, which is not in it.
    pub fn targets(&self, name: &OwnerName, manager: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut from = self.key(name)?;
        from.push(b'/');
        from.extend_from_slice(manager_label(manager).as_bytes());
        // Behind every hexadecimal digit.
        let end = [&*from, b"g"].concat();
        Some((from, end))
    }

    /// The name that a key stands for, its own label for the target included. A slash at the end does not count.
    pub fn name(&self, key: &[u8]) -> Result<OwnerName, KeyError> {
        let rest = key.strip_prefix(&*self.0).filter(|rest| rest.first() == Some(&b'/'));
        let rest = rest.ok_or(KeyError::OutsidePrefix)?;
        let rest = rest.strip_suffix(b"/").filter(|rest| !rest.is_empty()).unwrap_or(rest);
        let text =
            std::str::from_utf8(rest.get(1..).unwrap_or_default()).map_err(|_| KeyError::NoName(NameError::BadWire))?;
        let parts: Vec<&str> = text.rsplit('/').collect();
        OwnerName::parse(&parts.join(".")).map_err(KeyError::NoName)
    }

    /// The name whose record a key holds: without the label for the target, be it ours (`=` in front), that of
    /// external-dns (`targetstrip` counts it) or that of Federation v1 (which has a hash of the target and no count).
    pub fn owner(&self, key: &[u8], service: &Service) -> Result<OwnerName, KeyError> {
        let name = self.name(key)?;
        if is_target_label(name.labels().next().unwrap_or_default()) {
            return Ok(strip(&name, 1));
        }
        let hash = federation_label(&service.host);
        let hashed = !service.host.is_empty() && name.labels().next() == Some(hash.as_bytes());
        let labels = if service.targetstrip == 0 && hashed { 1 } else { service.targetstrip };
        Ok(strip(&name, labels))
    }

    /// Where a name in wire format is looked up; none where a label has a slash.
    pub(crate) fn path(&self, wire: &[u8]) -> Option<Path> {
        let mut labels = [&[][..]; MAX_LABELS];
        let mut count = 0;
        let mut rest = wire;
        while let Some((&length, behind)) = rest.split_first().filter(|(length, _)| **length > 0) {
            let (label, next) = behind.split_at_checked(usize::from(length))?;
            *labels.get_mut(count)? = label;
            count += 1;
            rest = next;
        }
        let mut octets = Vec::with_capacity(self.0.len() + wire.len() + 1);
        octets.extend_from_slice(&self.0);
        let mut cut = None;
        for label in labels[..count].iter().rev() {
            if cut.is_none() && is_wildcard(label) {
                cut = Some(octets.len());
            }
            octets.push(b'/');
            push_label(&mut octets, label)?;
        }
        Some(Path { octets, cut })
    }
}

impl Path {
    /// True if a key has what the path asks for at each place, and maybe more behind.
    pub(crate) fn matches(&self, key: &[u8]) -> bool {
        let mut parts = key.split(|octet| *octet == b'/');
        let asked = self.octets.split(|octet| *octet == b'/');
        asked.into_iter().all(|asked| parts.next().is_some_and(|part| is_wildcard(asked) || part == asked))
    }
}

impl Target<'_> {
    /// `=`, which no host name has, 8 hexadecimal digits for the manager and 16 for the rest: 64 bits, so that two targets
    /// of one name do not meet (with 1,000 targets, once in 10^13).
    pub fn label(&self) -> String {
        let (mut hash, prime) = FNV_64;
        let record_type = self.record_type.0.to_be_bytes();
        // A zero octet is in none of them, so that no two triples read the same.
        for part in [&record_type[..], self.target.as_bytes(), &[0], self.cluster.as_bytes()] {
            for octet in part {
                hash = (hash ^ u64::from(*octet)).wrapping_mul(prime);
            }
        }
        format!("{}{hash:016x}", manager_label(self.manager))
    }
}

/// True for a label that [`Target::label`] may have made.
pub fn is_target_label(label: &[u8]) -> bool {
    label.starts_with(b"=")
}

fn manager_label(manager: &str) -> String {
    format!("={:08x}", fnv_32(manager))
}

/// The label that Federation v1 has in front of a name for one of its targets: FNV-1a of the target, 32 bits, without
/// zeros in front.
pub fn federation_label(target: &str) -> String {
    format!("{:x}", fnv_32(target))
}

fn fnv_32(text: &str) -> u32 {
    let (basis, prime) = FNV_32;
    text.bytes().fold(basis, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(prime))
}

/// The name without so many labels on the left, as CoreDNS does it: all of it stays where that would leave nothing.
pub(crate) fn strip(name: &OwnerName, labels: i64) -> OwnerName {
    let Ok(labels) = usize::try_from(labels) else { return name.clone() };
    if labels == 0 || labels >= name.label_count() {
        return name.clone();
    }
    let skip: usize = name.labels().take(labels).map(|label| label.len() + 1).sum();
    OwnerName::from_wire(&name.as_wire()[skip..]).unwrap_or_else(|_| name.clone())
}

fn is_wildcard(label: &[u8]) -> bool {
    WILDCARDS.contains(&label)
}

/// Writes a label as it stands in a key: as the DNS library of CoreDNS prints it. None where it has a slash.
fn push_label(out: &mut Vec<u8>, label: &[u8]) -> Option<()> {
    for &octet in label {
        match octet {
            b'/' => return None,
            b'.' | b' ' | b'\'' | b'@' | b';' | b'(' | b')' | b'"' | b'\\' => out.extend_from_slice(&[b'\\', octet]),
            0x21..=0x7e => out.push(octet),
            _ => {
                let digits = [octet / 100, octet / 10 % 10, octet % 10].map(|digit| b'0' + digit);
                out.push(b'\\');
                out.extend_from_slice(&digits);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> OwnerName {
        text.parse().expect("a name")
    }

    fn key(prefix: &str, text: &str) -> String {
        String::from_utf8(Prefix::new(prefix).key(&name(text)).expect("a key")).expect("text")
    }

    #[test]
    fn a_name_becomes_a_path_and_a_path_a_name() {
        for prefix in ["skydns", "/skydns", "/skydns/", "//skydns//"] {
            assert_eq!(key(prefix, "service.staging.skydns.local."), "/skydns/local/skydns/staging/service");
        }
        assert_eq!(key("mydns", "service.staging.skydns.local."), "/mydns/local/skydns/staging/service");
        assert_eq!(key("a/b", "example.org"), "/a/b/org/example");
        assert_eq!(key("", "example.org"), "/org/example");
        let skydns = Prefix::default();
        for text in ["/skydns/local/cluster/staging/service", "/skydns/local/cluster/staging/service/"] {
            assert_eq!(skydns.name(text.as_bytes()), Ok(name("service.staging.cluster.local.")), "{text}");
        }
        assert_eq!(Prefix::new("a/b").name(b"/a/b/org/example"), Ok(name("example.org")));
    }

    #[test]
    fn octets_that_are_special_in_names_are_escaped_as_coredns_does() {
        assert_eq!(key("skydns", r"a\.b\032c\007.org"), r"/skydns/org/a\.b\ c\007");
        assert_eq!(key("skydns", "_sip._tcp.org"), "/skydns/org/_tcp/_sip");
        assert_eq!(Prefix::default().key(&name(r"a\047b.org")), None, "a slash");
    }

    #[test]
    fn keys_without_a_name_are_told() {
        let skydns = Prefix::default();
        assert_eq!(skydns.name(b"/skydnsx/org"), Err(KeyError::OutsidePrefix));
        assert_eq!(skydns.name(b"/other/org"), Err(KeyError::OutsidePrefix));
        for key in ["/skydns//org", "/skydns/org//a", "/skydns/org/\u{fffd}\u{0}"] {
            let _ = skydns.name(key.as_bytes());
        }
        assert!(matches!(skydns.name(b"/skydns/org//a"), Err(KeyError::NoName(_))));
        assert!(matches!(skydns.name(&[b"/skydns/", &[b'a'; 64][..]].concat()), Err(KeyError::NoName(_))));
        assert!(matches!(skydns.name(b"/skydns/\xff"), Err(KeyError::NoName(_))));
    }

    #[test]
    fn a_target_has_one_key_and_no_other_has_it() {
        let prefix = Prefix::default();
        let of = |record_type, target, cluster| {
            let target = Target { record_type, target, cluster, manager: "prod" };
            String::from_utf8(prefix.target_key(&name("www.example.org"), &target).expect("a key")).expect("text")
        };
        let one = of(RecordType::A, "192.0.2.1", "east");
        assert_eq!(one, of(RecordType::A, "192.0.2.1", "east"));
        let others = [
            of(RecordType::AAAA, "192.0.2.1", "east"),
            of(RecordType::A, "192.0.2.2", "east"),
            of(RecordType::A, "192.0.2.1", "west"),
            of(RecordType::A, "192.0.2.1", ""),
        ];
        assert!(!others.contains(&one), "{one}");
        assert_eq!(of(RecordType::CNAME, "a.example.org", "east"), "/skydns/org/example/www");
        for targetstrip in [0, 1] {
            let service = Service { host: "192.0.2.1".to_owned(), targetstrip, ..Service::default() };
            assert_eq!(prefix.owner(one.as_bytes(), &service), Ok(name("www.example.org")));
        }
        let (from, end) = prefix.targets(&name("www.example.org"), "prod").expect("a range");
        assert!((from.as_slice()..end.as_slice()).contains(&one.as_bytes()), "{one}");
        for other in ["/skydns/org/example/www", "/skydns/org/example/www/a", "/skydns/org/example/www/0"] {
            assert!(!(from.as_slice()..end.as_slice()).contains(&other.as_bytes()), "{other}");
        }
        assert_ne!(prefix.targets(&name("www.example.org"), "other"), Some((from, end)));
    }

    #[test]
    fn keys_of_federation_v1_are_told_by_their_hash() {
        for (target, hash) in [
            ("10.10.10.10", "9007d795"),
            ("169.20.20.20", "5d277eb"),
            ("8.8.4.4", "9f682d9"),
            ("8.8.8.8", "28144429"),
            ("2001:4860:4860::8888", "ed478cf0"),
            ("198.51.100.1", "32965df3"),
            ("198.51.200.1", "c8f419e2"),
            ("nginx.test.ufp.svc.example.com", "ec34f287"),
        ] {
            assert_eq!(federation_label(target), hash, "{target}");
        }
        let value = br#"{"host":"10.10.10.10","ttl":180,"group":"www11.example.com."}"#;
        let service = Service::decode(value).expect("a service");
        let prefix = Prefix::default();
        let owner = |key: &str| prefix.owner(key.as_bytes(), &service);
        assert_eq!(owner("/skydns/com/example/www11/9007d795"), Ok(name("www11.example.com")));
        assert_eq!(owner("/skydns/com/example/www11"), Ok(name("www11.example.com")));
        assert_eq!(owner("/skydns/com/example/www11/9007d796"), Ok(name("9007d796.www11.example.com")));
    }

    #[test]
    fn labels_are_taken_off_as_long_as_some_are_left() {
        assert_eq!(strip(&name("a.b.c"), 1), name("b.c"));
        assert_eq!(strip(&name("a.b.c"), 2), name("c"));
        for labels in [0, 3, 4, i64::MAX, -1] {
            assert_eq!(strip(&name("a.b.c"), labels), name("a.b.c"), "{labels}");
        }
    }

    #[test]
    fn a_wildcard_cuts_the_path_and_matches_one_label() {
        let path = Prefix::default().path(name("prod.*.skydns.test").as_wire()).expect("a path");
        assert_eq!(path.cut.map(|cut| &path.octets[..cut]), Some(&b"/skydns/test/skydns"[..]));
        assert!(path.matches(b"/skydns/test/skydns/region1/prod"));
        assert!(path.matches(b"/skydns/test/skydns/region1/prod/x/y"));
        assert!(!path.matches(b"/skydns/test/skydns/region1"));
        assert!(!path.matches(b"/skydns/test/skydns/region1/dev"));
        let any = Prefix::default().path(name("any.test").as_wire()).expect("a path");
        assert!(any.matches(b"/skydns/test/whatever"));
        assert_eq!(Prefix::default().path(name("a.test").as_wire()).expect("a path").cut, None);
    }
}
