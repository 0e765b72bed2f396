//! Answers of zones that have an answer function of their own ([`OtherZone`]).
//!
//! What such a zone says is written to a buffer, and from there to the message: complete, or with TC where the answer
//! section does not fit. Aliases in it that lead to other zones are followed by the zone itself, which asks for what those
//! say ([`Elsewhere`]); so its answer ends a chain.

use mcdns_core::{
    answer::{
        AuthoritativeZone, Elsewhere, Negative, OtherQuestion, OtherZone, Outcome, Part, QueryName, RecordRef, Records,
        Snapshot, Verdict, Zone,
    },
    dns::{RecordType, Ttl},
};

use super::{
    Scratch,
    chain::{Chain, MAX_CHAIN, Step},
};
use crate::{
    message::{Owner, Section},
    rcode::{NOERROR, NXDOMAIN, SERVFAIL},
    request::HEADER,
    wire::MAX_NAME,
};

/// How often an answer may go from one zone of another kind to the next. CoreDNS goes into itself ten times; each zone
/// on the way has aliases of its own, of which resolvers follow no more than this.
const MAX_DEPTH: usize = 8;

impl Chain<'_, '_> {
    /// Writes what a zone of another kind says to the name, which stands in the message at `place`.
    #[cold]
    #[inline(never)]
    pub(super) fn step_other(
        &mut self,
        zone: &dyn OtherZone,
        apex: usize,
        place: usize,
        record_type: RecordType,
    ) -> Step {
        if place == HEADER {
            self.zone = tag(self.snapshot, zone);
            self.message.authoritative = true;
        }
        let verdict = self.ask_other(zone, record_type);
        let rcode = match verdict {
            Verdict::Positive => return self.put_records(place),
            Verdict::NoData => NOERROR,
            Verdict::NxDomain => NXDOMAIN,
            Verdict::Failure => SERVFAIL,
        };
        let soa = zone.soa();
        let data = soa.data();
        let ttl: Ttl = soa.ttl.min(soa.negative_ttl);
        let record = RecordRef { owner: zone.apex().as_wire(), record_type: RecordType::SOA, ttl, data: &data };
        let owner = Owner::within(place, self.name, apex);
        if self.message.put_record(Section::Authority, &record, owner) { Step::Done(rcode) } else { Step::Full }
    }

    /// The same for a name that the authoritative zone at the same apex does not have. None if this zone does not have it
    /// either.
    #[cold]
    #[inline(never)]
    pub(super) fn step_behind(
        &mut self,
        other: &dyn OtherZone,
        zone: &AuthoritativeZone,
        apex: usize,
        place: usize,
        record_type: RecordType,
    ) -> Option<Step> {
        // The SOA is the authoritative zone's, and stands at the apex alone.
        let asked = if record_type == RecordType::SOA { RecordType::ANY } else { record_type };
        match self.ask_other(other, asked) {
            Verdict::NxDomain => None,
            Verdict::Positive => Some(self.put_records(place)),
            verdict => {
                let owner = Owner::within(place, self.name, apex);
                let rcode = if verdict == Verdict::NoData { NOERROR } else { SERVFAIL };
                let put = self.message.put(Section::Authority, zone.negative_soa_record(), owner);
                Some(put.map_or(Step::Full, |_| Step::Done(rcode)))
            }
        }
    }

    fn ask_other(&mut self, zone: &dyn OtherZone, record_type: RecordType) -> Verdict {
        let Self { name, scratch: Scratch { records, clock, .. }, snapshot, message, .. } = self;
        records.start(message.room());
        let now = clock.now();
        let question = OtherQuestion { name, record_type, part: Part::Answer, now };
        zone.answer(&question, &mut Others { snapshot, now, depth: 0 }, records)
    }

    /// Puts all records into the message. Those of the additional section that do not fit are left out: the client can
    /// ask for them.
    fn put_records(&mut self, place: usize) -> Step {
        let Self { name, scratch: Scratch { records, .. }, message, source, .. } = self;
        let known = Owner::within(place, name, 0);
        // Answers to one name are answers of one kind.
        *source = name.as_wire().iter().fold(1, |sum: usize, &octet| sum.wrapping_mul(31) ^ usize::from(octet));
        for (index, record) in records.iter(Part::Answer).enumerate() {
            if !records.is_repeated(Part::Answer, index, &record)
                && !message.put_record(Section::Answer, &record, known)
            {
                return Step::Full;
            }
        }
        if records.is_truncated() {
            return Step::Full;
        }
        for (index, record) in records.iter(Part::Additional).enumerate() {
            if !records.is_repeated(Part::Additional, index, &record) {
                let _ = message.put_record(Section::Additional, &record, known);
            }
        }
        Step::Done(NOERROR)
    }
}

/// The zones of a snapshot, as one of another kind sees them.
struct Others<'a> {
    snapshot: &'a Snapshot,
    now: u64,
    depth: usize,
}

impl Elsewhere for Others<'_> {
    fn look_up(&mut self, name: &[u8], record_type: RecordType, part: Part, records: &mut Records) -> bool {
        let mut next = QueryName::new();
        if next.read(name).is_none() {
            return true;
        }
        for _ in 0..MAX_CHAIN {
            if !records.step() {
                break;
            }
            let snapshot = self.snapshot;
            let target = match snapshot.find_zone(&next, record_type) {
                None => None,
                Some((Zone::Other(zone), _)) => self.ask(&**zone, &next, record_type, part, records),
                Some((Zone::Authoritative(zone), apex)) => match zone.lookup(&next, apex, record_type) {
                    Outcome::Negative(Negative::NxDomain) => match snapshot.other_zone(zone.apex()) {
                        Some(other) => self.ask(&**other, &next, record_type, part, records),
                        None => None,
                    },
                    outcome => push(&outcome, &next, part, records),
                },
            };
            if target.is_none_or(|target| next.read(&target).is_none()) {
                break;
            }
        }
        true
    }
}

impl Others<'_> {
    /// Asks the zone, which follows aliases itself.
    fn ask(
        &mut self,
        zone: &dyn OtherZone,
        name: &QueryName,
        record_type: RecordType,
        part: Part,
        records: &mut Records,
    ) -> Option<Vec<u8>> {
        if self.depth < MAX_DEPTH {
            self.depth += 1;
            zone.answer(&OtherQuestion { name, record_type, part, now: self.now }, self, records);
            self.depth -= 1;
        }
        None
    }
}

/// Appends what an authoritative zone says to `name`, and returns the name that an alias leads to.
fn push(outcome: &Outcome<'_>, name: &QueryName, part: Part, records: &mut Records) -> Option<Vec<u8>> {
    let (ttl, target) = match outcome {
        Outcome::Answer(rrset) => {
            for (_, data) in rrset.data() {
                records.push(part, name.as_wire(), rrset.record_type(), rrset.ttl(), |out| out.extend_from_slice(data));
            }
            return None;
        }
        Outcome::Alias(rrset) => (rrset.ttl(), rrset.data().next()?.1.to_vec()),
        Outcome::Climb(climb) => {
            let mut target = vec![0; MAX_NAME];
            let length = climb.write_target(name, &mut target)?;
            target.truncate(length);
            (climb.ttl, target)
        }
        Outcome::Redirect { owner, dname } => {
            let (_, new) = dname.data().next()?;
            records.push(part, name.suffix(*owner), RecordType::DNAME, dname.ttl(), |out| out.extend_from_slice(new));
            let target = [&name.as_wire()[..name.start(*owner)], new].concat();
            (dname.ttl(), target)
        }
        Outcome::Referral { .. } | Outcome::Negative(_) => return None,
    };
    if target.len() > MAX_NAME {
        return None;
    }
    records.push(part, name.as_wire(), RecordType::CNAME, ttl, |out| out.extend_from_slice(&target));
    Some(target)
}

/// As [`Zone::tag`]; two zones at one apex are one for counters.
fn tag(snapshot: &Snapshot, zone: &dyn OtherZone) -> u64 {
    snapshot.zone(zone.apex()).map_or(0, Zone::tag)
}
