//! When a host name is looked up again, and what an answer changes: a state machine without sockets or clocks.
//!
//! Cloud load balancers answer with changing subsets of their addresses, and resolvers fail. So:
//!
//! * an address leaves only after [`MISSES`] answers in a row without it; an answer that there are none (NXDOMAIN,
//!   NODATA) misses all of them;
//! * a failure (SERVFAIL, timeout, no network) says nothing, and the last good addresses stay; where there never was an
//!   answer, nothing is told either, because not known is not the same as none. A name is known once a family gave
//!   addresses, or both were said to have none (some load balancers never answer for AAAA);
//! * the two families are asked for and judged apart, so an AAAA that fails never touches an A;
//! * the TTL handed on is the largest one seen, because a resolver's cache counts down what it hands out;
//! * a name is asked for again before its TTL ends, but not more often than every [`MIN_INTERVAL`], with jitter so
//!   that a thousand names learned together are not asked for together ever after. A name that never had an address
//!   is asked for after 1 s, 2 s, 4 s and so on up to [`MAX_BACK_OFF`].
//!
//! ```text
//!              wanted              an answer
//!   (nothing) ────────► asked for ───────────────────────► known ◄─┐ answers, misses, failures
//!                        │    ▲                              │     │
//!                        └────┘ back-off                     └─────┘ TTL
//! ```
//!
//! Time and chance are arguments.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use mcdns_core::model::HostAddressesFact;

/// Answers in a row that must lack an address before it goes.
pub const MISSES: u8 = 3;
/// Shortest time between two look-ups of a known name.
pub const MIN_INTERVAL: Duration = Duration::from_secs(30);
/// Longest time between two look-ups, whatever the TTL.
pub const MAX_INTERVAL: Duration = Duration::from_hours(1);
/// First wait for a name without addresses.
pub const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
/// Longest wait for a name without addresses.
pub const MAX_BACK_OFF: Duration = Duration::from_secs(30);

/// What a resolver said about one name and one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Addresses, and the seconds for which they hold (the smallest TTL on the way to them).
    Addresses(BTreeSet<IpAddr>, u32),
    /// There are none: NXDOMAIN or NODATA.
    None,
    /// Nothing was learned.
    Failed,
}

/// What a resolver said about one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// For type A.
    pub ipv4: Answer,
    /// For type AAAA.
    pub ipv6: Answer,
}

/// Time since an arbitrary beginning.
pub type Instant = Duration;

/// All names that are wanted, with what is known of them.
#[derive(Debug, Default)]
pub struct Resolution {
    hosts: BTreeMap<String, Host>,
    /// Names by the time at which they are due; those in flight are absent.
    due: BTreeSet<(Instant, String)>,
}

#[derive(Debug, Default)]
struct Host {
    /// Known addresses and how many answers in a row lacked them.
    addresses: BTreeMap<IpAddr, u8>,
    /// Largest TTL seen.
    ttl: Option<u32>,
    /// Look-ups in a row after which there was no address.
    attempts: u32,
    /// When it is due; none while it is looked up.
    due: Option<Instant>,
    /// The families for which there was an answer, IPv4 first.
    answered: [bool; 2],
    /// What was told last; none before the first answer.
    told: Option<HostAddressesFact>,
}

impl Resolution {
    /// Takes what was known of `host` before a restart: it counts as the last good answer, so that a resolver that
    /// does not answer now takes nothing away. The name is not looked up before it is wanted.
    pub fn adopt(&mut self, host: &str, fact: &HostAddressesFact) {
        let addresses = fact.addresses.iter().map(|address| (*address, 0)).collect();
        let known = Host { addresses, ttl: fact.ttl, told: Some(fact.clone()), ..Host::default() };
        self.hosts.entry(host.to_owned()).or_insert(known);
    }

    /// Sets which names are wanted. New ones are due at once; returns those that are known and wanted no more.
    pub fn want(&mut self, wanted: &BTreeSet<String>, now: Instant) -> Vec<String> {
        let gone: Vec<String> = self.hosts.keys().filter(|host| !wanted.contains(*host)).cloned().collect();
        for host in &gone {
            if let Some(Host { due: Some(due), .. }) = self.hosts.remove(host) {
                self.due.remove(&(due, host.clone()));
            }
        }
        for name in wanted {
            let adopted = self.hosts.get(name).is_some_and(|host| host.due.is_none() && !host.in_flight());
            if adopted || !self.hosts.contains_key(name) {
                self.hosts.entry(name.clone()).or_default().due = Some(now);
                self.due.insert((now, name.clone()));
            }
        }
        gone
    }

    /// When to call [`Resolution::start`] next; none while nothing is due later.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes a name that is due, to be looked up; [`Resolution::finish`] must follow.
    pub fn start(&mut self, now: Instant) -> Option<String> {
        let (due, _) = self.due.first()?;
        if *due > now {
            return None;
        }
        let (_, name) = self.due.pop_first()?;
        let host = self.hosts.get_mut(&name)?;
        host.due = None;
        host.attempts = host.attempts.saturating_add(1);
        Some(name)
    }

    /// Takes the answers for a name, and returns what is known now if that is news. `chance` is from 0 to 1.
    pub fn finish(&mut self, name: &str, answers: &Answers, now: Instant, chance: f64) -> Option<HostAddressesFact> {
        let host = self.hosts.get_mut(name)?;
        if host.due.is_some() {
            // It was dropped and wanted again meanwhile; the look-up that is due will say.
            return None;
        }
        let mut ttl_now: Option<u32> = None;
        let families = [(&answers.ipv4, IpAddr::is_ipv4 as fn(&IpAddr) -> bool), (&answers.ipv6, IpAddr::is_ipv6)];
        for ((answer, is_family), answered) in families.into_iter().zip(&mut host.answered) {
            *answered |= *answer != Answer::Failed;
            take(&mut host.addresses, answer, is_family);
            if let Answer::Addresses(_, ttl) = answer {
                ttl_now = Some(ttl_now.map_or(*ttl, |other| other.min(*ttl)));
                host.ttl = Some(host.ttl.map_or(*ttl, |largest| largest.max(*ttl)));
            }
        }
        if !host.addresses.is_empty() {
            host.attempts = 1;
        }
        let due = now + host.wait(ttl_now, chance);
        host.due = Some(due);
        self.due.insert((due, name.to_owned()));
        let known = host.told.is_some() || !host.addresses.is_empty() || host.answered == [true, true];
        if !known {
            return None;
        }
        let fact = host.fact();
        if host.told.as_ref() == Some(&fact) {
            return None;
        }
        host.told = Some(fact.clone());
        Some(fact)
    }
}

impl Host {
    fn in_flight(&self) -> bool {
        self.due.is_none() && self.attempts > 0
    }

    /// How long the name need not be asked for.
    fn wait(&self, ttl: Option<u32>, chance: f64) -> Duration {
        let chance = chance.clamp(0.0, 1.0);
        if self.addresses.is_empty() {
            let doublings = self.attempts.saturating_sub(1).min(10);
            let back_off = FIRST_BACK_OFF.saturating_mul(1 << doublings).min(MAX_BACK_OFF);
            return back_off.mul_f64(1.0 + chance / 10.0);
        }
        // Between 80 % and 90 % of the TTL, so that the answer is here before the old one ends.
        let before_the_end = Duration::from_secs(u64::from(ttl.unwrap_or(0))).mul_f64(0.8 + chance / 10.0);
        if before_the_end < MIN_INTERVAL {
            return MIN_INTERVAL.mul_f64(1.0 + chance / 10.0);
        }
        before_the_end.min(MAX_INTERVAL)
    }

    fn fact(&self) -> HostAddressesFact {
        let ttl = if self.addresses.is_empty() { None } else { self.ttl };
        HostAddressesFact { addresses: self.addresses.keys().copied().collect(), ttl }
    }
}

/// Takes the answer for one family into the known addresses.
fn take(addresses: &mut BTreeMap<IpAddr, u8>, answer: &Answer, is_family: fn(&IpAddr) -> bool) {
    let seen = match answer {
        Answer::Failed => return,
        Answer::None => &BTreeSet::new(),
        Answer::Addresses(seen, _) => seen,
    };
    for (address, misses) in addresses.iter_mut().filter(|(address, _)| is_family(address)) {
        *misses = if seen.contains(address) { 0 } else { misses.saturating_add(1) };
    }
    addresses.retain(|_, misses| *misses < MISSES);
    for address in seen.iter().filter(|address| is_family(address)) {
        addresses.insert(*address, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "a9.elb.example";

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    fn v4(texts: &[&str], ttl: u32) -> Answers {
        Answers { ipv4: Answer::Addresses(addresses(texts), ttl), ipv6: Answer::None }
    }

    const FAILED: Answers = Answers { ipv4: Answer::Failed, ipv6: Answer::Failed };
    const NONE: Answers = Answers { ipv4: Answer::None, ipv6: Answer::None };

    /// One name that is wanted, asked for whenever it is due.
    struct Case {
        resolution: Resolution,
        now: Duration,
    }

    impl Case {
        fn new() -> Self {
            let mut resolution = Resolution::default();
            assert!(resolution.want(&[HOST.to_owned()].into(), seconds(0)).is_empty());
            Self { resolution, now: seconds(0) }
        }

        /// Waits until the name is due, and answers; returns what was told.
        fn answer(&mut self, answers: &Answers) -> Option<HostAddressesFact> {
            self.now = self.resolution.next_due().expect("a name that is due");
            assert_eq!(self.resolution.start(self.now).as_deref(), Some(HOST));
            self.resolution.finish(HOST, answers, self.now, 0.0)
        }

        fn wait(&self) -> Duration {
            self.resolution.next_due().expect("a name that is due").saturating_sub(self.now)
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "it stands beside what `answer` returns")]
    fn fact(texts: &[&str], ttl: Option<u32>) -> Option<HostAddressesFact> {
        Some(HostAddressesFact { addresses: addresses(texts).into_iter().collect(), ttl })
    }

    #[test]
    fn an_address_leaves_only_after_three_misses_in_a_row() {
        let mut case = Case::new();
        assert_eq!(case.answer(&v4(&["192.0.2.1", "192.0.2.2"], 60)), fact(&["192.0.2.1", "192.0.2.2"], Some(60)));
        assert_eq!(case.answer(&v4(&["192.0.2.2"], 60)), None);
        assert_eq!(case.answer(&v4(&["192.0.2.2"], 60)), None);
        // Seen again: the count starts over.
        assert_eq!(case.answer(&v4(&["192.0.2.1"], 60)), None);
        assert_eq!(case.answer(&v4(&["192.0.2.2"], 60)), None);
        assert_eq!(case.answer(&v4(&["192.0.2.2"], 60)), None);
        assert_eq!(case.answer(&v4(&["192.0.2.2"], 60)), fact(&["192.0.2.2"], Some(60)));
    }

    #[test]
    fn a_new_address_counts_at_once() {
        let mut case = Case::new();
        case.answer(&v4(&["192.0.2.1"], 60));
        assert_eq!(case.answer(&v4(&["192.0.2.9"], 60)), fact(&["192.0.2.1", "192.0.2.9"], Some(60)));
    }

    #[test]
    fn failures_take_nothing_away_however_many() {
        let mut case = Case::new();
        case.answer(&v4(&["192.0.2.1"], 60));
        for _ in 0..20 {
            assert_eq!(case.answer(&FAILED), None);
            assert_eq!(case.wait(), MIN_INTERVAL);
        }
    }

    #[test]
    fn nothing_there_three_times_in_a_row_empties_the_name() {
        let mut case = Case::new();
        case.answer(&v4(&["192.0.2.1"], 60));
        assert_eq!(case.answer(&NONE), None);
        assert_eq!(case.answer(&FAILED), None);
        assert_eq!(case.answer(&NONE), None);
        assert_eq!(case.answer(&NONE), fact(&[], None));
    }

    #[test]
    fn families_are_judged_apart() {
        let mut case = Case::new();
        let both = Answers {
            ipv4: Answer::Addresses(addresses(&["192.0.2.1"]), 60),
            ipv6: Answer::Addresses(addresses(&["2001:db8::1"]), 300),
        };
        assert_eq!(case.answer(&both), fact(&["192.0.2.1", "2001:db8::1"], Some(300)));
        assert_eq!(case.wait(), seconds(48), "the shorter TTL decides when to ask again");
        let half = Answers { ipv4: Answer::None, ipv6: Answer::Failed };
        assert_eq!(case.answer(&half), None);
        assert_eq!(case.answer(&half), None);
        assert_eq!(case.answer(&half), fact(&["2001:db8::1"], Some(300)));
    }

    #[test]
    fn a_name_without_addresses_is_told_once_and_retried_with_back_off() {
        let mut case = Case::new();
        assert_eq!(case.answer(&NONE), fact(&[], None));
        let mut waits = Vec::new();
        for _ in 0..7 {
            waits.push(case.wait().as_secs());
            assert_eq!(case.answer(&NONE), None);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(case.answer(&v4(&["192.0.2.1"], 20)), fact(&["192.0.2.1"], Some(20)));
        assert_eq!(case.wait(), MIN_INTERVAL);
    }

    #[test]
    fn a_name_that_nobody_has_answered_for_is_not_told_as_one_without_addresses() {
        let half = Answers { ipv4: Answer::Failed, ipv6: Answer::None };
        let mut case = Case::new();
        for _ in 0..20 {
            assert_eq!(case.answer(&FAILED), None);
            assert_eq!(case.answer(&half), None, "there may be IPv4 addresses");
        }
        assert_eq!(case.wait(), MAX_BACK_OFF);
        assert_eq!(case.answer(&Answers { ipv4: Answer::None, ipv6: Answer::Failed }), fact(&[], None));
        let mut case = Case::new();
        let never_for_ipv6 = Answers { ipv6: Answer::Failed, ..v4(&["192.0.2.1"], 60) };
        assert_eq!(case.answer(&never_for_ipv6), fact(&["192.0.2.1"], Some(60)));
    }

    #[test]
    fn the_largest_ttl_seen_is_handed_on() {
        let mut case = Case::new();
        assert_eq!(case.answer(&v4(&["192.0.2.1"], 17)), fact(&["192.0.2.1"], Some(17)));
        assert_eq!(case.answer(&v4(&["192.0.2.1"], 60)), fact(&["192.0.2.1"], Some(60)));
        assert_eq!(case.answer(&v4(&["192.0.2.1"], 5)), None);
    }

    #[test]
    fn a_name_is_asked_for_before_its_ttl_ends_and_not_more_often_than_every_30_seconds() {
        for (ttl, chance, wait) in [
            (0, 0.0, 30.0),
            (20, 1.0, 33.0),
            (60, 0.0, 48.0),
            (60, 1.0, 54.0),
            (300, 0.5, 255.0),
            (u32::MAX, 0.0, 3600.0),
        ] {
            let mut resolution = Resolution::default();
            resolution.want(&[HOST.to_owned()].into(), seconds(0));
            resolution.start(seconds(0));
            resolution.finish(HOST, &v4(&["192.0.2.1"], ttl), seconds(0), chance);
            let due = resolution.next_due().expect("a name that is due").as_secs_f64();
            assert!((due - wait).abs() < 0.001, "TTL {ttl}, chance {chance}: {due}");
        }
    }

    #[test]
    fn names_that_are_wanted_no_more_are_forgotten() {
        let mut case = Case::new();
        case.answer(&v4(&["192.0.2.1"], 60));
        assert_eq!(case.resolution.want(&BTreeSet::new(), seconds(1)), [HOST]);
        assert_eq!(case.resolution.next_due(), None);
        assert_eq!(case.resolution.finish(HOST, &NONE, seconds(1), 0.0), None, "a late answer is for nobody");
    }

    #[test]
    fn a_name_wanted_again_while_it_is_looked_up_is_looked_up_once_more() {
        let mut case = Case::new();
        case.resolution.start(seconds(0));
        case.resolution.want(&[HOST.to_owned()].into(), seconds(1));
        assert_eq!(case.resolution.next_due(), None, "one look-up is enough");
        case.resolution.want(&BTreeSet::new(), seconds(1));
        case.resolution.want(&[HOST.to_owned()].into(), seconds(1));
        assert_eq!(case.resolution.finish(HOST, &NONE, seconds(2), 0.0), None);
        assert_eq!(case.resolution.next_due(), Some(seconds(1)));
    }

    #[test]
    fn what_was_known_before_a_restart_stays_while_the_resolver_fails() {
        let mut resolution = Resolution::default();
        let known = HostAddressesFact { addresses: vec!["192.0.2.1".parse().expect("an address")], ttl: Some(60) };
        resolution.adopt(HOST, &known);
        assert_eq!(resolution.next_due(), None);
        resolution.want(&[HOST.to_owned()].into(), seconds(5));
        assert_eq!(resolution.start(seconds(5)).as_deref(), Some(HOST));
        assert_eq!(resolution.finish(HOST, &FAILED, seconds(6), 0.0), None);
        assert_eq!(resolution.want(&BTreeSet::new(), seconds(7)), [HOST]);
    }
}
