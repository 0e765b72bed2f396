//! How a question finds its answer in one zone (RFC 1034 section 4.3.2).
//!
//! ```text
//!   a cut above or at the name? ──► referral            (RFC 1034 4.3.2 3b; DS at the cut is ours, RFC 4035 3.1.4.1)
//!   a DNAME above it?           ──► redirection         (RFC 6672 3.2)
//!   a node with data?           ──► RRset, alias, no data
//!   a level name that climbs?   ──► alias to the level above
//!   something below it?         ──► no data             (RFC 8020 2: an empty non-terminal exists)
//!   `*` below the closest encloser? the same three again (RFC 4592 3.3)
//!   else                        ──► the name does not exist
//! ```
//!
//! Level names are not stored (see [`Levels`](super::Levels)): whether `P.region.apex` climbs is seen at `P.apex`,
//! and a count of climbing names at and below each node says which of them are empty non-terminals. That count does
//! not know which levels are withheld: a name above nothing but withheld levels is an empty non-terminal too.

use std::ops::Range;

use crate::dns::{RecordType, Ttl};

use super::{
    levels::global_hash,
    node::{CUT, DNAME, EncodedRrset, Node, RRSETS, WITHHELD},
    query_name::{QueryName, child_hash},
    zone::AuthoritativeZone,
};

/// What a zone says to a question. Labels are counted in the name asked, from the left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The RRset asked for; to ANY, one that is there (RFC 8482 section 4.1).
    Answer(EncodedRrset<'a>),
    /// The name has a CNAME, which is to be followed.
    Alias(EncodedRrset<'a>),
    /// The name is an empty level: a CNAME to the level above, to be followed unless CNAME or ANY was asked for.
    Climb(Climb),
    /// A DNAME above the name, at label `owner`.
    Redirect {
        /// The label at which the DNAME's owner starts.
        owner: usize,
        /// The DNAME.
        dname: EncodedRrset<'a>,
    },
    /// The name lies at or below a delegation.
    Referral {
        /// The label at which the delegated name starts.
        cut: usize,
        /// Its name servers.
        servers: EncodedRrset<'a>,
    },
    /// There is nothing to give.
    Negative(Negative),
}

/// The two kinds of negative answer (RFC 2308 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negative {
    /// The name does not exist, nor does anything below it (RFC 8020).
    NxDomain,
    /// The name exists without the type asked for.
    NoData,
}

/// The CNAME of an empty level: its target is the name asked with some labels left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Climb {
    /// TTL of the CNAME.
    pub ttl: Ttl,
    /// The target starts with the label `*`: the climbing name is a wildcard, and this its synthesis.
    star: bool,
    /// Octets of the name asked that come next.
    front: Range<usize>,
    /// Octet of the name asked from which on the rest is taken.
    back: usize,
}

/// What [`AuthoritativeZone::find_answer`] saw where it found no answer.
#[derive(Debug, Clone)]
pub struct Miss<'a>(Seen<'a>);

#[derive(Debug, Clone)]
enum Seen<'a> {
    /// A delegation or a DNAME at or above the name.
    Cut(Outcome<'a>),
    /// The node of the name, if it has one.
    Node(Option<Node<'a>>),
}

/// What stands at one name.
enum Source<'a> {
    /// A node with RRsets.
    Data(Node<'a>),
    Climb(Climb),
    /// Something lies below.
    Empty,
    Absent,
}

impl AuthoritativeZone {
    /// What the zone says to a question for `record_type` at `name`, which lies at or below the apex; `apex` is
    /// the label at which the apex starts, as [`Snapshot::find_zone`](super::Snapshot::find_zone) says it.
    pub fn lookup(&self, name: &QueryName, apex: usize, record_type: RecordType) -> Outcome<'_> {
        match self.find_answer(name, apex, record_type) {
            Ok(rrset) => Outcome::Answer(rrset),
            Err(miss) => self.lookup_behind(name, apex, record_type, miss),
        }
    }

    /// The first half of [`AuthoritativeZone::lookup`], which finds what most questions ask for: an RRset that stands
    /// at the name itself. [`AuthoritativeZone::lookup_behind`] is for all others.
    #[inline]
    pub fn find_answer(
        &self,
        name: &QueryName,
        apex: usize,
        record_type: RecordType,
    ) -> Result<EncodedRrset<'_>, Miss<'_>> {
        if self.cuts.mask() != 0 {
            return self.find_below_cuts(name, apex, record_type);
        }
        let node = self.table.find::<false>(name.hash(0), name.part(0..apex));
        node.and_then(|node| answer_of(node, record_type)).ok_or(Miss(Seen::Node(node)))
    }

    /// The same where there is a delegation or a DNAME that could hide it.
    #[cold]
    #[inline(never)]
    fn find_below_cuts(
        &self,
        name: &QueryName,
        apex: usize,
        record_type: RecordType,
    ) -> Result<EncodedRrset<'_>, Miss<'_>> {
        if let Some(outcome) = self.cut_above(name, apex, record_type) {
            return Err(Miss(Seen::Cut(outcome)));
        }
        let node = self.table.find::<false>(name.hash(0), name.part(0..apex));
        node.and_then(|node| answer_of(node, record_type)).ok_or(Miss(Seen::Node(node)))
    }

    /// The second half of [`AuthoritativeZone::lookup`], for what [`AuthoritativeZone::find_answer`] missed with the same
    /// question.
    pub fn lookup_behind<'a>(
        &'a self,
        name: &QueryName,
        apex: usize,
        record_type: RecordType,
        miss: Miss<'a>,
    ) -> Outcome<'a> {
        match miss.0 {
            Seen::Cut(outcome) => outcome,
            Seen::Node(_) if apex == 0 && record_type == RecordType::SOA => Outcome::Answer(self.soa_record()),
            Seen::Node(Some(node)) if node.has(RRSETS) => select(node, record_type),
            Seen::Node(node) => self.without_data(name, apex, record_type, node),
        }
    }

    /// What the zone says where `node`, if there is one, has no RRsets.
    fn without_data(
        &self,
        name: &QueryName,
        apex: usize,
        record_type: RecordType,
        node: Option<Node<'_>>,
    ) -> Outcome<'_> {
        match self.virtual_source::<false>(name, apex, 0, node) {
            Source::Data(node) => select(node, record_type),
            Source::Climb(climb) => Outcome::Climb(climb),
            Source::Empty if apex == 0 && record_type == RecordType::ANY => Outcome::Answer(self.soa_record()),
            Source::Empty => Outcome::Negative(Negative::NoData),
            Source::Absent => self.wildcard(name, apex, record_type),
        }
    }

    /// The A and AAAA RRsets that `name` has itself, even where a delegation hides them: glue. `apex` as in
    /// [`AuthoritativeZone::lookup`].
    pub fn addresses(&self, name: &QueryName, apex: usize) -> impl Iterator<Item = EncodedRrset<'_>> + use<'_> {
        self.addresses_of(name.hash(0), name.part(0..apex)).into_iter().flatten()
    }

    /// The DS RRset of the delegation at label `cut` of `name`.
    pub fn delegation_signers(&self, name: &QueryName, apex: usize, cut: usize) -> Option<EncodedRrset<'_>> {
        self.table.find::<false>(name.hash(cut), name.part(cut..apex))?.rrset(RecordType::DS)
    }

    /// The first delegation or DNAME on the way down from the apex.
    #[cold]
    fn cut_above(&self, name: &QueryName, apex: usize, record_type: RecordType) -> Option<Outcome<'_>> {
        let mut depths = self.cuts.mask();
        while depths != 0 {
            let depth = depths.trailing_zeros() as usize;
            let label = apex.checked_sub(depth)?;
            depths &= depths - 1;
            let Some(node) = self.table.find::<false>(name.hash(label), name.part(label..apex)) else { continue };
            if node.has(CUT) && (label > 0 || record_type != RecordType::DS) {
                let servers = node.rrset(RecordType::NS)?;
                return Some(Outcome::Referral { cut: label, servers });
            }
            if node.has(DNAME) && label > 0 {
                let dname = node.rrset(RecordType::DNAME)?;
                return Some(Outcome::Redirect { owner: label, dname });
            }
        }
        None
    }

    /// What the wildcard below the closest encloser says (RFC 4592 section 3.3.1).
    fn wildcard(&self, name: &QueryName, apex: usize, record_type: RecordType) -> Outcome<'_> {
        let exists =
            |&label: &usize| !matches!(self.source::<false>(name, apex, label, name.hash(label)), Source::Absent);
        // The apex always exists.
        let encloser = (1..apex).find(exists).unwrap_or(apex);
        match self.source::<true>(name, apex, encloser, child_hash(name.hash(encloser), b"*")) {
            Source::Data(node) => select(node, record_type),
            Source::Climb(climb) => Outcome::Climb(climb),
            Source::Empty => Outcome::Negative(Negative::NoData),
            Source::Absent => Outcome::Negative(Negative::NxDomain),
        }
    }

    /// What stands at the name that starts with label `from`, or at `*` in front of it if `STAR`.
    #[inline]
    fn source<const STAR: bool>(&self, name: &QueryName, apex: usize, from: usize, hash: u64) -> Source<'_> {
        match self.table.find::<STAR>(hash, name.part(from..apex)) {
            Some(node) if node.has(RRSETS) => Source::Data(node),
            node => self.virtual_source::<STAR>(name, apex, from, node),
        }
    }

    /// What stands at such a name, whose `node`, if there is one, has no RRsets.
    #[inline]
    fn virtual_source<const STAR: bool>(
        &self,
        name: &QueryName,
        apex: usize,
        from: usize,
        node: Option<Node<'_>>,
    ) -> Source<'_> {
        if !self.levels.is_empty() && from != apex {
            match self.level::<STAR>(name, apex, from, node) {
                Source::Absent => {}
                found => return found,
            }
        }
        let is_apex = from == apex && !STAR;
        if is_apex || node.is_some_and(|node| node.children() > 0) { Source::Empty } else { Source::Absent }
    }

    /// What stands at a name without RRsets if its last labels are those of a level.
    fn level<const STAR: bool>(
        &self,
        name: &QueryName,
        apex: usize,
        from: usize,
        node: Option<Node<'_>>,
    ) -> Source<'_> {
        let withheld = node.is_some_and(|node| node.has(WITHHELD));
        let mut exists = false;
        let region = apex - 1;
        if !self.levels.contains(name.hash(region), name.part(region..apex)) {
            return Source::Absent;
        }
        // First as `P.region.apex`, then as `P.availability-zone.region.apex`.
        for (end, above) in [(region, apex), (region.wrapping_sub(1), region)] {
            let is_level = end == region
                || end >= from && end < apex && self.levels.contains(name.hash(end), name.part(end..apex));
            if !is_level {
                break;
            }
            let global = name.part(from..end);
            let Some(global) = self.table.find::<STAR>(global_hash(self.apex_hash(), STAR, global), global) else {
                continue;
            };
            if let (Some(ttl), false) = (global.climb(), withheld) {
                let front = name.start(from)..name.start(end);
                return Source::Climb(Climb { ttl, star: STAR, front, back: name.start(above) });
            }
            exists |= global.climbing() > u32::from(global.climb().is_some());
        }
        if exists { Source::Empty } else { Source::Absent }
    }
}

impl Climb {
    /// Writes the target of the CNAME for the name `asked`, uncompressed, and says how many octets it has; none
    /// if `out` is too small.
    pub fn write_target(&self, asked: &QueryName, out: &mut [u8]) -> Option<usize> {
        let star: &[u8] = if self.star { b"\x01*" } else { b"" };
        let wire = asked.as_wire();
        let mut at = 0;
        for part in [star, &wire[self.front.clone()], &wire[self.back..]] {
            out.get_mut(at..at + part.len())?.copy_from_slice(part);
            at += part.len();
        }
        Some(at)
    }
}

/// The RRset that a node has for a question; to ANY, one that is there.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call costs as much as all of it does for a node with one RRset")]
fn answer_of(node: Node<'_>, record_type: RecordType) -> Option<EncodedRrset<'_>> {
    node.rrsets().find(|rrset| rrset.record_type() == record_type || record_type == RecordType::ANY)
}

/// What a node with RRsets says (RFC 1034 section 4.3.2, step 3a).
fn select(node: Node<'_>, record_type: RecordType) -> Outcome<'_> {
    match (answer_of(node, record_type), node.rrset(RecordType::CNAME)) {
        (Some(rrset), _) => Outcome::Answer(rrset),
        (None, Some(alias)) => Outcome::Alias(alias),
        (None, None) => Outcome::Negative(Negative::NoData),
    }
}
