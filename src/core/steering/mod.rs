//! Which targets of which clusters a record uses, with a reason for each cluster.
//!
//! The order of the rules: a cluster must be placed, be observed, hold the object, and (for services) have a
//! ready endpoint; then its load balancer gives addresses. Of the clusters that have addresses the ready ones
//! count, and the others as long as grace lasts. When *every* cluster that has addresses is unready, the last
//! known ones stay: all down means all up. A cordoned cluster counts for nothing in any of that: it was meant to go, so
//! a record whose last cluster is cordoned is empty.

mod target;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use crate::{
    dns::Ttl,
    health::Standing,
    model::{ClusterName, HostAddressesFact, LoadBalancerItem},
};

pub(crate) use target::usable;
pub use target::{Target, TargetProblem};

/// One cluster as a record sees it, before the choice.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// The cluster.
    pub cluster: ClusterName,
    /// Whether its targets may be used.
    pub standing: Standing,
    /// What it holds, or why nothing.
    pub offer: Offer<'a>,
}

/// What a cluster holds for a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer<'a> {
    /// The federated object is not placed there.
    NotPlaced,
    /// Nothing is known of the member.
    Unobserved,
    /// The member is observed and has no such object.
    Absent,
    /// No backend is ready.
    NoReadyEndpoint {
        /// How many are there, none of them ready.
        endpoints: usize,
    },
    /// The load balancer of an object that may be used.
    LoadBalancer(&'a [LoadBalancerItem]),
}

/// What became of one cluster, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    /// The cluster.
    pub cluster: ClusterName,
    /// Why.
    pub choice: Choice,
    /// Load balancer in normal form, for status; empty unless used.
    pub items: Vec<LoadBalancerItem>,
    /// Targets in the load balancer, used or not.
    pub targets: Vec<Target>,
    /// Addresses that these targets give; what is used if `choice` says so.
    pub addresses: BTreeSet<IpAddr>,
    /// What was left out of the load balancer.
    pub problems: Vec<TargetProblem>,
}

/// Whether a cluster's addresses are used, with the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Used: Ready.
    Ready,
    /// Used: unready, grace lasts.
    KeptInGrace,
    /// Used: unready, but so is every cluster that has addresses.
    KeptAllDown,
    /// Not used: unready and grace is over.
    Withdrawn,
    /// Not used: a person has cordoned the cluster.
    Cordoned,
    /// Not used: the federated object is not placed there.
    NotPlaced,
    /// Not used: nothing is known of the member.
    Unobserved,
    /// Not used: no such object there.
    Absent,
    /// Not used: none of so many backends is ready.
    NoReadyEndpoint {
        /// How many there are.
        endpoints: usize,
    },
    /// Not used: the object has no load balancer yet.
    NoLoadBalancer,
    /// Not used: no target of the load balancer has an address.
    NoAddress,
}

/// The choice for a whole record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// One per candidate, in their order.
    pub contributions: Vec<Contribution>,
    /// True if last known targets stay because every cluster that has any is unready.
    pub all_down: bool,
    /// Smallest over the host names used of the largest TTL seen; none where no host name has a TTL.
    pub ttl_limit: Option<Ttl>,
}

/// Chooses among the candidates; `addresses` is what host names resolve to.
pub fn choose(candidates: &[Candidate<'_>], addresses: &BTreeMap<Arc<str>, HostAddressesFact>) -> Chosen {
    let mut contributions: Vec<Contribution> =
        candidates.iter().map(|candidate| contribution(candidate, addresses)).collect();
    let with_addresses = || {
        let pairs = candidates.iter().zip(&contributions);
        let standings = pairs
            .filter(|(_, contribution)| !contribution.addresses.is_empty())
            .map(|(candidate, _)| candidate.standing);
        standings.filter(|standing| *standing != Standing::Cordoned)
    };
    let any = with_addresses().next().is_some();
    let all_down = any && with_addresses().all(|standing| standing != Standing::Counted);
    let mut ttl_limit: Option<Ttl> = None;
    for (candidate, contribution) in candidates.iter().zip(&mut contributions) {
        if contribution.choice == Choice::Ready {
            contribution.choice = match candidate.standing {
                Standing::Counted => Choice::Ready,
                Standing::Cordoned => Choice::Cordoned,
                _ if all_down => Choice::KeptAllDown,
                Standing::InGrace { .. } => Choice::KeptInGrace,
                Standing::Withdrawn => Choice::Withdrawn,
            };
        } else if contribution.choice == Choice::NoAddress {
            match candidate.standing {
                Standing::Withdrawn => contribution.choice = Choice::Withdrawn,
                Standing::Cordoned => contribution.choice = Choice::Cordoned,
                Standing::Counted | Standing::InGrace { .. } => {}
            }
        }
        if !contribution.choice.shows_load_balancer() {
            contribution.items.clear();
        }
        if contribution.choice.is_used() {
            for target in &contribution.targets {
                if let Target::HostName(host) = target {
                    let ttl = addresses.get(host).and_then(|known| known.ttl);
                    ttl_limit = [ttl_limit, ttl].into_iter().flatten().min();
                }
            }
        }
    }
    Chosen { contributions, all_down, ttl_limit }
}

/// What the candidate could give, as if it were ready.
fn contribution(candidate: &Candidate<'_>, known: &BTreeMap<Arc<str>, HostAddressesFact>) -> Contribution {
    let nothing = |choice| Contribution {
        cluster: candidate.cluster.clone(),
        choice,
        items: Vec::new(),
        targets: Vec::new(),
        addresses: BTreeSet::new(),
        problems: Vec::new(),
    };
    let written = match candidate.offer {
        Offer::NotPlaced => return nothing(Choice::NotPlaced),
        Offer::Unobserved => return nothing(Choice::Unobserved),
        Offer::Absent => return nothing(Choice::Absent),
        Offer::NoReadyEndpoint { endpoints } => return nothing(Choice::NoReadyEndpoint { endpoints }),
        Offer::LoadBalancer(written) => written,
    };
    let mut normalised = target::normalise(written);
    let mut addresses = BTreeSet::new();
    for target in &normalised.targets {
        match target {
            Target::Address(address) => {
                addresses.insert(*address);
            }
            Target::HostName(host) => {
                let resolved = known.get(host).map_or(&[][..], |known| &known.addresses);
                if !resolved.iter().any(|&address| target::usable(address).is_some()) {
                    normalised.problems.push(TargetProblem::Unresolved(host.clone()));
                    continue;
                }
                for &address in resolved {
                    if let Some(address) = target::usable(address) {
                        addresses.insert(address);
                    } else {
                        let text = format!("{address} of {host}");
                        normalised.problems.push(TargetProblem::Unreachable(text.into()));
                    }
                }
            }
        }
    }
    let choice = match (normalised.targets.is_empty(), addresses.is_empty()) {
        (true, _) => Choice::NoLoadBalancer,
        (false, true) => Choice::NoAddress,
        (false, false) => Choice::Ready,
    };
    Contribution {
        items: normalised.items,
        targets: normalised.targets,
        addresses,
        problems: normalised.problems,
        ..nothing(choice)
    }
}

impl Choice {
    /// True if the cluster's addresses are in the answers.
    pub fn is_used(self) -> bool {
        matches!(self, Self::Ready | Self::KeptInGrace | Self::KeptAllDown)
    }

    /// True if status shows the load balancer: the cluster is usable, resolved or not.
    fn shows_load_balancer(self) -> bool {
        self.is_used() || self == Self::NoAddress
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("the cluster is Ready"),
            Self::KeptInGrace => f.write_str("the cluster is unready, kept while grace lasts"),
            Self::KeptAllDown => f.write_str("every cluster with targets is unready, so the last known ones stay"),
            Self::Withdrawn => f.write_str("the cluster is unready and grace is over"),
            Self::Cordoned => f.write_str("the cluster is cordoned"),
            Self::NotPlaced => f.write_str("not placed in this cluster"),
            Self::Unobserved => f.write_str("the member is not observed"),
            Self::Absent => f.write_str("no such object in this cluster, or not labelled as managed"),
            Self::NoReadyEndpoint { endpoints: 0 } => f.write_str("no endpoints"),
            Self::NoReadyEndpoint { endpoints: 1 } => f.write_str("the only endpoint is not ready"),
            Self::NoReadyEndpoint { endpoints } => write!(f, "none of {endpoints} endpoints is ready"),
            Self::NoLoadBalancer => f.write_str("no usable load balancer"),
            Self::NoAddress => f.write_str("no target of the load balancer has an address"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn load_balancer(ip: &str) -> Vec<LoadBalancerItem> {
        vec![LoadBalancerItem { ip: Some(ip.into()), hostname: None }]
    }

    fn candidate<'a>(cluster: &str, standing: Standing, items: &'a [LoadBalancerItem]) -> Candidate<'a> {
        Candidate { cluster: cluster.into(), standing, offer: Offer::LoadBalancer(items) }
    }

    fn choices(candidates: &[Candidate<'_>]) -> Vec<Choice> {
        let chosen = choose(candidates, &BTreeMap::new());
        chosen.contributions.into_iter().map(|contribution| contribution.choice).collect()
    }

    const GRACE: Standing = Standing::InGrace { until: Timestamp(0) };

    #[test]
    fn grace_keeps_and_its_end_withdraws() {
        let (one, two, three) = (load_balancer("10.0.0.1"), load_balancer("10.0.0.2"), load_balancer("10.0.0.3"));
        let candidates = [
            candidate("c1", Standing::Counted, &one),
            candidate("c2", GRACE, &two),
            candidate("c3", Standing::Withdrawn, &three),
        ];
        assert_eq!(choices(&candidates), [Choice::Ready, Choice::KeptInGrace, Choice::Withdrawn]);
    }

    #[test]
    fn all_down_means_all_up_also_for_those_withdrawn_before() {
        let (one, two) = (load_balancer("10.0.0.1"), load_balancer("10.0.0.2"));
        let candidates = [candidate("c1", GRACE, &one), candidate("c2", Standing::Withdrawn, &two)];
        assert_eq!(choices(&candidates), [Choice::KeptAllDown, Choice::KeptAllDown]);
    }

    #[test]
    fn a_cordon_takes_a_cluster_out_whatever_the_others_are() {
        let (one, two) = (load_balancer("10.0.0.1"), load_balancer("10.0.0.2"));
        let nowhere = [LoadBalancerItem { ip: None, hostname: Some("lb.test".into()) }];
        for (name, candidates, expected) in [
            (
                "beside a ready one",
                vec![candidate("c1", Standing::Cordoned, &one), candidate("c2", Standing::Counted, &two)],
                vec![Choice::Cordoned, Choice::Ready],
            ),
            ("the last one", vec![candidate("c1", Standing::Cordoned, &one)], vec![Choice::Cordoned]),
            (
                "the others in grace are all that count, and all are down",
                vec![candidate("c1", Standing::Cordoned, &one), candidate("c2", GRACE, &two)],
                vec![Choice::Cordoned, Choice::KeptAllDown],
            ),
            (
                "beside one that was withdrawn and comes back",
                vec![candidate("c1", Standing::Cordoned, &one), candidate("c2", Standing::Withdrawn, &two)],
                vec![Choice::Cordoned, Choice::KeptAllDown],
            ),
            ("without an address", vec![candidate("c1", Standing::Cordoned, &nowhere)], vec![Choice::Cordoned]),
            ("without a load balancer", vec![candidate("c1", Standing::Cordoned, &[])], vec![Choice::NoLoadBalancer]),
        ] {
            assert_eq!(choices(&candidates), expected, "{name}");
        }
        let chosen = choose(&[candidate("c1", Standing::Cordoned, &one)], &BTreeMap::new());
        assert!(!chosen.all_down && chosen.contributions[0].items.is_empty());
    }

    #[test]
    fn a_ready_cluster_without_addresses_is_none_that_counts() {
        let nowhere = [LoadBalancerItem { ip: None, hostname: Some("lb.test".into()) }];
        let one = load_balancer("10.0.0.1");
        let candidates = [candidate("c1", Standing::Counted, &nowhere), candidate("c2", Standing::Withdrawn, &one)];
        assert_eq!(choices(&candidates), [Choice::NoAddress, Choice::KeptAllDown]);
    }

    #[test]
    fn an_address_that_no_client_can_reach_is_told_also_behind_a_host_name() {
        let items = [LoadBalancerItem { ip: None, hostname: Some("lb.test".into()) }];
        let addresses = vec![IpAddr::from([10, 0, 0, 1]), IpAddr::from([127, 0, 0, 1])];
        let known = BTreeMap::from([(Arc::from("lb.test"), HostAddressesFact { addresses, ttl: None })]);
        let chosen = choose(&[candidate("c1", Standing::Counted, &items)], &known);
        assert_eq!(chosen.contributions[0].addresses, BTreeSet::from([IpAddr::from([10, 0, 0, 1])]));
        assert_eq!(chosen.contributions[0].problems, [TargetProblem::Unreachable("127.0.0.1 of lb.test".into())]);
    }

    #[test]
    fn the_ttl_is_limited_by_the_host_names_in_use() {
        let items = [LoadBalancerItem { ip: None, hostname: Some("lb.test".into()) }];
        let known = HostAddressesFact { addresses: vec![IpAddr::from([10, 0, 0, 1])], ttl: Some(60) };
        let known = BTreeMap::from([(Arc::from("lb.test"), known)]);
        let chosen = choose(&[candidate("c1", Standing::Counted, &items)], &known);
        assert_eq!((chosen.ttl_limit, chosen.contributions[0].addresses.len()), (Some(60), 1));
    }
}
