//! All keys of an installation at one moment.
//!
//! A value is taken apart when it comes in, so that a question finds an address as four or sixteen octets and a name in
//! wire format. [`Keys`] is a value: a clone shares everything with the one it was made of, and a change of it costs the
//! same whatever the number of keys.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use mcdns_core::dns::{NameError, OwnerName};
use thiserror::Error;

use crate::{
    key::{KeyError, Prefix, strip},
    kinds::{Kinds, Summary},
    service::{Service, ValueError},
    tree::{Summed, Tree},
};

/// What priority 0 means.
const DEFAULT_PRIORITY: u16 = 10;

/// etcd's counter of changes of all keys.
pub type Revision = i64;
/// etcd's number of a lease; 0 is none.
pub type Lease = i64;

/// Keys with their values, and leases with their ends.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    prefix: Prefix,
    tree: Tree<Arc<[u8]>, Arc<Stored>>,
    /// Unix time in seconds at which a lease ends, as far as that is known.
    leases: Tree<Lease, End>,
}

/// When a lease ends, in Unix time.
#[derive(Debug, Clone, Copy)]
struct End(u64);

/// What is wrong with a key or its value. It is stored all the same: a key whose value cannot be read is not a key that
/// is not there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// It belongs to no name, so no record can be made that needs one.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Nothing can be said about the name from it.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// Neither an address nor a name.
    #[error("the host `{host}` is neither an address nor a name")]
    Host {
        /// As it stands there.
        host: String,
        /// What is wrong with it as a name.
        source: NameError,
    },
}

/// One key.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) key: Arc<[u8]>,
    pub(crate) revision: Revision,
    pub(crate) lease: Lease,
    /// None where the value is no service.
    pub(crate) entry: Option<Entry>,
    /// As it stands there, for whoever reads it again: equal values need not be told twice.
    pub(crate) value: Box<[u8]>,
}

/// A service as questions need it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) host: Host,
    pub(crate) port: i64,
    pub(crate) priority: u16,
    pub(crate) weight: i64,
    pub(crate) text: Box<str>,
    pub(crate) mail: bool,
    pub(crate) ttl: u32,
    pub(crate) strip: i64,
    pub(crate) group: Box<str>,
    /// The key as a name, and the same with labels taken off; none where it makes none.
    pub(crate) name: Option<OwnerName>,
    pub(crate) target: Option<OwnerName>,
    /// Slashes in the key.
    pub(crate) depth: usize,
}

/// What `host` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Empty,
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    Name(OwnerName),
    /// No name either.
    Bad,
}

/// What a service is good for, by its host and text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostType {
    A,
    Aaaa,
    Cname,
    Txt,
}

impl Keys {
    /// No keys.
    pub fn new(prefix: Prefix) -> Self {
        Self { prefix, ..Self::default() }
    }

    /// What all keys start with.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// True without any key.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// Takes a key and its value, and says what is wrong with it. One that is older than what is known is ignored.
    pub fn put(&mut self, key: &[u8], value: &[u8], revision: Revision, lease: Lease) -> Option<Fault> {
        let known = self.tree.get(key).map(|stored| (stored.revision, Arc::clone(&stored.key)));
        if known.as_ref().is_some_and(|(known, _)| *known > revision) {
            return None;
        }
        let (entry, fault) = match Service::decode(value) {
            Ok(service) => {
                let (entry, fault) = Entry::new(&self.prefix, key, service);
                (Some(entry), fault)
            }
            Err(error) => (None, Some(error.into())),
        };
        let key: Arc<[u8]> = known.map_or_else(|| key.into(), |(_, key)| key);
        let stored = Stored { key: Arc::clone(&key), revision, lease, entry, value: value.into() };
        self.tree.insert(key, Arc::new(stored));
        fault
    }

    /// Takes a key out, which was deleted at this revision. True if it was there.
    pub fn delete(&mut self, key: &[u8], revision: Revision) -> bool {
        let is_newer = self.tree.get(key).is_some_and(|stored| stored.revision <= revision);
        is_newer && self.tree.remove(key).is_some()
    }

    /// Says when a lease ends, in Unix time; none where it is gone or cannot be read.
    pub fn set_lease(&mut self, lease: Lease, end: Option<u64>) {
        match end {
            Some(end) => self.leases.insert(lease, End(end)),
            None => self.leases.remove(&lease),
        };
    }

    /// When a lease ends, in Unix time, as far as that is known.
    pub fn lease_end(&self, lease: Lease) -> Option<u64> {
        self.leases.get(&lease).map(|end| end.0)
    }

    /// The value of a key, with its revision and lease.
    pub fn get(&self, key: &[u8]) -> Option<(&[u8], Revision, Lease)> {
        self.tree.get(key).map(|stored| (&*stored.value, stored.revision, stored.lease))
    }

    /// Shows all keys in order, with value, revision and lease.
    pub fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a [u8], &'a [u8], Revision, Lease)) {
        self.tree.visit(&mut |key, stored| visit(key, &stored.value, stored.revision, stored.lease));
    }

    pub(crate) fn tree(&self) -> &Tree<Arc<[u8]>, Arc<Stored>> {
        &self.tree
    }
}

impl Stored {
    /// What it is good for.
    pub(crate) fn kinds(&self) -> Kinds {
        Kinds::of(self.entry.as_ref())
    }
}

impl Summed for Arc<Stored> {
    type Sum = Summary;

    fn sum(&self) -> Summary {
        Summary::of(self.entry.as_ref())
    }

    fn join(one: Summary, other: Summary) -> Summary {
        one.join(other)
    }
}

impl Summed for End {
    type Sum = ();

    fn sum(&self) {}

    fn join((): (), (): ()) {}
}

impl Entry {
    fn new(prefix: &Prefix, key: &[u8], service: Service) -> (Self, Option<Fault>) {
        let depth = key.split(|octet| *octet == b'/').count() - 1;
        let (name, wrong_key) = match prefix.name(key) {
            Ok(name) => (Some(name), None),
            Err(error) => (None, Some(error.into())),
        };
        let target = name.as_ref().map(|name| strip(name, service.targetstrip));
        let (host, wrong_host) = Host::parse(service.host);
        // As many bits as CoreDNS sends.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "CoreDNS cuts them off too")]
        let priority = if service.priority == 0 { DEFAULT_PRIORITY } else { service.priority as u16 };
        let entry = Self {
            host,
            port: service.port,
            priority,
            weight: service.weight,
            text: service.text.into(),
            mail: service.mail,
            ttl: service.ttl,
            strip: service.targetstrip,
            group: service.group.into(),
            name,
            target,
            depth,
        };
        (entry, wrong_key.or(wrong_host))
    }

    pub(crate) fn host_type(&self) -> HostType {
        match &self.host {
            Host::V4(_) => HostType::A,
            Host::V6(_) => HostType::Aaaa,
            _ if self.text.is_empty() => HostType::Cname,
            _ => HostType::Txt,
        }
    }
}

impl Host {
    fn parse(host: String) -> (Self, Option<Fault>) {
        if host.is_empty() {
            return (Self::Empty, None);
        }
        match host.parse() {
            Ok(IpAddr::V4(address)) => (Self::V4(address), None),
            // A mapped address is an IPv4 address (RFC 4291 section 2.5.5.2), as CoreDNS has it.
            Ok(IpAddr::V6(address)) => (address.to_ipv4_mapped().map_or(Self::V6(address), Self::V4), None),
            Err(_) => match OwnerName::parse(&host) {
                Ok(name) => (Self::Name(name), None),
                Err(source) => (Self::Bad, Some(Fault::Host { host, source })),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_type(host: &str, text: &str) -> HostType {
        let service = Service { host: host.to_owned(), text: text.to_owned(), ..Service::default() };
        Entry::new(&Prefix::default(), b"/skydns/test", service).0.host_type()
    }

    #[test]
    fn the_host_says_what_a_service_is_good_for() {
        for (host, text, wanted) in [
            ("127.0.0.1", "", HostType::A),
            ("127.0.0.252", "a", HostType::A),
            ("::ffff:1.2.3.4", "", HostType::A),
            ("2000::3", "", HostType::Aaaa),
            ("2000::3", "a", HostType::Aaaa),
            ("example.org", "", HostType::Cname),
            ("", "", HostType::Cname),
            ("010.0.0.1", "", HostType::Cname),
            ("10.0.0.1 ", "", HostType::Cname),
            ("2000..3", "", HostType::Cname),
            ("127.0.0.257", "", HostType::Cname),
            ("example.org", "a", HostType::Txt),
            ("", "a", HostType::Txt),
        ] {
            assert_eq!(host_type(host, text), wanted, "{host:?} {text:?}");
        }
    }

    #[test]
    fn older_news_does_not_count() {
        let mut keys = Keys::new(Prefix::default());
        assert_eq!(keys.put(b"/skydns/test/a", b"{}", 5, 0), None);
        assert_eq!(keys.put(b"/skydns/test/a", b"not-json", 4, 0), None);
        assert_eq!(keys.get(b"/skydns/test/a"), Some((&b"{}"[..], 5, 0)));
        assert!(!keys.delete(b"/skydns/test/a", 4));
        assert!(keys.delete(b"/skydns/test/a", 6));
        assert!(!keys.delete(b"/skydns/test/a", 7));
        assert!(keys.is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_and_kept() {
        let mut keys = Keys::new(Prefix::default());
        assert!(matches!(keys.put(b"/skydns/test/a", b"not-json", 1, 0), Some(Fault::Value(_))));
        assert!(matches!(keys.put(b"/skydns/test/b", br#"{"host":"2000..3"}"#, 2, 0), Some(Fault::Host { .. })));
        assert!(matches!(keys.put(b"/skydns/test//c", br#"{"host":"192.0.2.1"}"#, 3, 0), Some(Fault::Key(_))));
        assert_eq!(keys.put(b"/skydns/test/d", br#"{"host":"192.0.2.1"}"#, 4, 0), None);
        assert_eq!(keys.len(), 4);
    }
}
