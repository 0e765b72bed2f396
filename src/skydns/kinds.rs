//! What services are good for, and what several of them are good for together.
//!
//! A name answers with everything below it, of which a question needs a little: of 100,000 addresses no MX. So beside each
//! part of the store stands what is in it, and a look-up goes round the others.

use crate::store::{Entry, Host, HostType};

/// What a service, or any of several, can be an answer to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

/// What services have together, as far as look-ups want to know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) kinds: Kinds,
    pub(crate) groups: Groups,
    /// How many slashes fewer than 65,535 the shortest key has, so that nothing has the longest.
    height: u16,
}

/// In which groups services are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Groups {
    /// There is no service.
    #[default]
    Nobody,
    /// All are in this one, by its hash: [`GROUPLESS`] for none.
    One(u64),
    /// In several, or some in none.
    Several,
}

/// The hash of no group.
pub(crate) const GROUPLESS: u64 = 0;
/// FNV-1a for 64 bits (draft-eastlake-fnv section 5).
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl Kinds {
    /// Nothing.
    pub(crate) const NONE: Self = Self(0);
    /// An IPv4 address.
    pub(crate) const V4: Self = Self(1);
    /// An IPv6 address.
    pub(crate) const V6: Self = Self(2);
    /// A name without text.
    pub(crate) const ALIAS: Self = Self(4);
    /// A text, which is not beside an address.
    pub(crate) const TEXT: Self = Self(8);
    /// Takes part in MX, and has a target.
    pub(crate) const MAIL: Self = Self(16);
    /// Any host at all.
    pub(crate) const HOST: Self = Self(32);
    /// A value that is no service.
    pub(crate) const UNREADABLE: Self = Self(64);

    pub(crate) fn of(entry: Option<&Entry>) -> Self {
        let Some(entry) = entry else { return Self::UNREADABLE };
        let host = if entry.host == Host::Empty { Self::NONE } else { Self::HOST };
        let (use_of, is_target) = match (entry.host_type(), &entry.host) {
            (HostType::A, _) => (Self::V4, true),
            (HostType::Aaaa, _) => (Self::V6, true),
            (HostType::Cname, Host::Name(_)) => (Self::ALIAS, true),
            // A host that is no name gives no record.
            (HostType::Cname, _) => (Self::NONE, false),
            (HostType::Txt, _) => (Self::TEXT, false),
        };
        host.and(use_of).and(if entry.mail && is_target { Self::MAIL } else { Self::NONE })
    }

    /// These and those.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if some are among those.
    pub(crate) const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Groups {
    /// True if a service may be in a group that is not this one.
    pub(crate) fn has_another(self, hash: u64) -> bool {
        match self {
            Self::Nobody => false,
            Self::One(other) => other != hash && other != GROUPLESS,
            Self::Several => true,
        }
    }
}

impl Summary {
    pub(crate) fn of(entry: Option<&Entry>) -> Self {
        let kinds = Kinds::of(entry);
        let Some(entry) = entry else { return Self { kinds, ..Self::default() } };
        let height = u16::MAX - u16::try_from(entry.depth).unwrap_or(u16::MAX);
        Self { kinds, groups: Groups::One(group_hash(&entry.group)), height }
    }

    pub(crate) fn join(self, other: Self) -> Self {
        let groups = match (self.groups, other.groups) {
            (Groups::Nobody, groups) | (groups, Groups::Nobody) => groups,
            (one, other) if one == other => one,
            _ => Groups::Several,
        };
        Self { kinds: self.kinds.and(other.kinds), groups, height: self.height.max(other.height) }
    }

    /// Slashes that no key has fewer of; at most 65,535.
    pub(crate) fn least_depth(self) -> usize {
        usize::from(u16::MAX - self.height)
    }
}

/// So that groups can be compared without their names; 0 for none.
pub(crate) fn group_hash(group: &str) -> u64 {
    if group.is_empty() {
        return GROUPLESS;
    }
    group.bytes().fold(BASIS, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(PRIME)).max(1)
}
