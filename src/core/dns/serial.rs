//! Serial numbers of zones (RFC 1982).

use std::{cmp::Ordering, fmt};

use serde::{Deserialize, Serialize};

/// SOA serial: compares in serial number arithmetic, so there is no `Ord` and no `Add`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Serial(pub u32);

impl Serial {
    /// The serial one change later.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// The serial `steps` changes later; RFC 1982 section 3.1 allows at most 2147483647 of them.
    #[must_use]
    pub fn advance(self, steps: u16) -> Self {
        Self(self.0.wrapping_add(u32::from(steps)))
    }
}

impl PartialOrd for Serial {
    /// RFC 1982 section 3.2; serials exactly half the space apart do not compare.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        const HALF: u32 = 1 << 31;
        match other.0.wrapping_sub(self.0) {
            0 => Some(Ordering::Equal),
            HALF => None,
            ahead if ahead < HALF => Some(Ordering::Less),
            _ => Some(Ordering::Greater),
        }
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_compare_around_the_wrap() {
        assert!(Serial(u32::MAX) < Serial(0));
        assert!(Serial(5) > Serial(4));
        assert_eq!(Serial(0).partial_cmp(&Serial(1 << 31)), None);
        assert_eq!(Serial(u32::MAX).next(), Serial(0));
    }
}
