//! Where a cluster is: region and availability zones, from its nodes or as the host knows it.

use std::{collections::BTreeSet, sync::Arc};

use super::{ClusterFact, MemberFacts};
use crate::dns::is_ldh_label;

/// Region and availability zones of one cluster, both as written and as they go into names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locality {
    /// As the cluster has it; for status.
    pub written_region: Option<Arc<str>>,
    /// As the cluster has them; for status.
    pub written_availability_zones: Vec<Arc<str>>,
    /// Label in normal form; none where there is none that can stand in a name.
    pub region: Option<Box<str>>,
    /// Labels in normal form, sorted; empty without a region.
    pub availability_zones: BTreeSet<Box<str>>,
}

/// Region or availability zone as a label: ASCII lower case, never trimmed; none unless it is a label of
/// letters, digits and inner hyphens (RFC 5890 section 2.3.1) of at most 63 octets.
pub fn level_label(written: &str) -> Option<Box<str>> {
    let label = written.to_ascii_lowercase();
    is_ldh_label(label.as_bytes()).then(|| label.into_boxed_str())
}

impl Locality {
    /// The nodes decide when any of them carries a region: the first by name gives the region, all nodes of
    /// that region the availability zones. Otherwise what the host has in the cluster's status, set by hand or
    /// known from before.
    pub fn of(cluster: &ClusterFact, member: Option<&MemberFacts>) -> Self {
        let nodes = member.into_iter().flat_map(|member| member.nodes.values());
        let region = nodes.clone().find_map(|node| node.region.clone().filter(|region| !region.is_empty()));
        let (written_region, written_availability_zones) = match region {
            Some(region) => {
                let availability_zones: BTreeSet<Arc<str>> = nodes
                    .filter(|node| node.region.as_ref().is_some_and(|other| other.eq_ignore_ascii_case(&region)))
                    .filter_map(|node| node.availability_zone.clone())
                    .filter(|availability_zone| !availability_zone.is_empty())
                    .collect();
                (Some(region), availability_zones.into_iter().collect())
            }
            None => (
                cluster.region.clone().filter(|region| !region.is_empty()),
                cluster.availability_zones.iter().filter(|written| !written.is_empty()).cloned().collect::<Vec<_>>(),
            ),
        };
        let region = written_region.as_deref().and_then(level_label);
        let availability_zones = match region {
            Some(_) => written_availability_zones.iter().filter_map(|written| level_label(written)).collect(),
            None => BTreeSet::new(),
        };
        Self { written_region, written_availability_zones, region, availability_zones }
    }

    /// Which levels are missing and why, one phrase each; empty when all are there.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        match (&self.written_region, &self.region) {
            (None, _) => missing.push("no region, so only the global level".to_owned()),
            (Some(written), None) => missing.push(format!("region `{written}` is no label, so only the global level")),
            (Some(_), Some(_)) if self.written_availability_zones.is_empty() => {
                missing.push("no availability zone, so only the global and the region level".to_owned());
            }
            (Some(_), Some(_)) => {
                let unusable = self.written_availability_zones.iter().filter(|written| level_label(written).is_none());
                missing.extend(
                    unusable.map(|written| format!("availability zone `{written}` is no label, so not its level")),
                );
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeFact;

    fn node(region: &str, availability_zone: &str) -> NodeFact {
        let label = |text: &str| (!text.is_empty()).then(|| text.into());
        NodeFact { region: label(region), availability_zone: label(availability_zone) }
    }

    fn member(nodes: &[(&str, NodeFact)]) -> MemberFacts {
        MemberFacts {
            observed: true,
            origin: None,
            nodes: nodes.iter().map(|(name, node)| ((*name).into(), node.clone())).collect(),
        }
    }

    fn from_host(region: &str, availability_zones: &[&str]) -> ClusterFact {
        ClusterFact {
            region: Some(region.into()),
            availability_zones: availability_zones.iter().map(|&written| written.into()).collect(),
            ..ClusterFact::default()
        }
    }

    #[test]
    fn nodes_win_over_the_status_that_the_host_has() {
        let nodes = member(&[("b", node("us", "us2")), ("a", node("us", "us1")), ("c", node("eu", "eu1"))]);
        let locality = Locality::of(&from_host("old", &["old1"]), Some(&nodes));
        assert_eq!(locality.region.as_deref(), Some("us"));
        assert_eq!(locality.availability_zones.iter().map(|label| &**label).collect::<Vec<_>>(), ["us1", "us2"]);
    }

    #[test]
    fn without_labels_on_nodes_the_host_status_stays() {
        let nodes = member(&[("a", node("", ""))]);
        assert_eq!(Locality::of(&from_host("us", &["us1"]), Some(&nodes)).region.as_deref(), Some("us"));
    }

    #[test]
    fn the_first_node_that_has_a_region_gives_it() {
        let nodes = member(&[("a", node("", "nowhere")), ("b", node("us", "us1"))]);
        let locality = Locality::of(&ClusterFact::default(), Some(&nodes));
        assert_eq!(locality.written_availability_zones, ["us1".into()]);
    }

    #[test]
    fn labels_are_lower_cased_and_never_trimmed() {
        assert_eq!(level_label("RegionOne").as_deref(), Some("regionone"));
        for bad in ["", " us", "us_east", "a.b", "-us", "us-", &"x".repeat(64)] {
            assert_eq!(level_label(bad), None, "{bad}");
        }
        let locality = Locality::of(&from_host("us_east", &["us1"]), None);
        assert_eq!((locality.region.clone(), locality.availability_zones.len()), (None, 0));
        assert_eq!(locality.missing(), ["region `us_east` is no label, so only the global level"]);
    }
}
