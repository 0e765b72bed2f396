//! Names that are borrowed from somewhere else.

use std::{cmp::Ordering, fmt};

use super::{OwnerName, name::Labels};

/// A name like [`OwnerName`], in the same normal form, whose octets somebody else holds.
///
/// [`Ord`] is the canonical order of RFC 4034 section 6.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameRef<'a>(&'a [u8]);

impl<'a> NameRef<'a> {
    /// The name that these octets are, which were those of an [`OwnerName`].
    pub(crate) fn from_normal_wire(wire: &'a [u8]) -> Self {
        Self(wire)
    }

    /// The octets on the wire, root label included: 1 to 255 of them.
    pub fn as_wire(self) -> &'a [u8] {
        self.0
    }

    /// The labels from the left, without the root's empty one.
    pub fn labels(self) -> Labels<'a> {
        Labels::of(self.0)
    }

    /// True for `.` alone.
    pub fn is_root(self) -> bool {
        self.0.len() == 1
    }

    /// The name without its first label; none above the root.
    pub fn parent(self) -> Option<Self> {
        let skip = 1 + usize::from(self.0[0]);
        (!self.is_root()).then(|| Self(&self.0[skip..]))
    }

    /// True if the name equals `ancestor` or lies below it.
    pub fn is_at_or_below(self, ancestor: NameRef<'_>) -> bool {
        self.strip_suffix(ancestor).is_some()
    }

    /// True if the name lies strictly below `ancestor`.
    pub fn is_below(self, ancestor: NameRef<'_>) -> bool {
        self.0.len() > ancestor.0.len() && self.is_at_or_below(ancestor)
    }

    /// The wire labels in front of `ancestor` (no root label), if the name is at or below it.
    pub fn strip_suffix(self, ancestor: NameRef<'_>) -> Option<&'a [u8]> {
        let cut = self.0.len().checked_sub(ancestor.0.len())?;
        let (front, back) = self.0.split_at(cut);
        if back != ancestor.0 {
            return None;
        }
        let mut at = 0;
        while at < cut {
            at += 1 + usize::from(self.0[at]);
        }
        (at == cut).then_some(front)
    }

    /// Offsets of the length octets of all labels, and how many there are.
    fn label_places(self) -> ([u8; 128], usize) {
        let mut places = [0; 128];
        let (mut at, mut count) = (0_u8, 0);
        while let Some(&length) = self.0.get(usize::from(at)).filter(|&&length| length > 0) {
            places[count] = at;
            count += 1;
            at += length + 1;
        }
        (places, count)
    }

    /// The label whose length octet stands at `place`.
    fn label_at(self, place: u8) -> &'a [u8] {
        let start = usize::from(place) + 1;
        &self.0[start..start + usize::from(self.0[start - 1])]
    }
}

impl Ord for NameRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // Labels are compared from the right, so their places are noted first; no allocation, because sorted
        // maps of names compare a great deal. A name of 255 octets has at most 127 labels.
        let (mine, mine_count) = self.label_places();
        let (theirs, their_count) = other.label_places();
        let pairs = mine[..mine_count].iter().rev().zip(theirs[..their_count].iter().rev());
        pairs
            .map(|(&a, &b)| self.label_at(a).cmp(other.label_at(b)))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| mine_count.cmp(&their_count))
    }
}

impl PartialOrd for NameRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq<OwnerName> for NameRef<'_> {
    fn eq(&self, other: &OwnerName) -> bool {
        self.0 == other.as_wire()
    }
}

impl From<NameRef<'_>> for OwnerName {
    fn from(name: NameRef<'_>) -> Self {
        Self::from_normal_wire(name.0)
    }
}

impl fmt::Display for NameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        if self.is_root() {
            return f.write_str(".");
        }
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_char('.')?;
            }
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => write!(f, "\\{}", char::from(octet))?,
                    0x21..=0x7e => f.write_char(char::from(octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for NameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}{}", if self.is_root() { "" } else { "." })
    }
}
