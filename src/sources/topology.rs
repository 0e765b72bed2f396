//! The one place where topology labels of Kubernetes are read; past it there is only [`NodeFact`] and `Locality`.
//!
//! `topology.kubernetes.io/*` has been written since Kubernetes 1.17; `failure-domain.beta.kubernetes.io/*` is what
//! KubeFed read, and what older kubelets and cloud providers still write. The newer one wins, each label on its
//! own, so a node with a new region and an old availability zone has both. An empty value is no value.

use mcdns_core::model::NodeFact;

/// Region, newest first.
const REGION: [&str; 2] = ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"];
/// Availability zone, newest first.
const AVAILABILITY_ZONE: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];

/// What the labels of a node say about where it stands.
pub(crate) fn node_fact<'a>(label: impl Fn(&str) -> Option<&'a str>) -> NodeFact {
    let newest = |keys: [&str; 2]| keys.into_iter().filter_map(&label).find(|value| !value.is_empty()).map(Into::into);
    NodeFact { region: newest(REGION), availability_zone: newest(AVAILABILITY_ZONE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(labels: &[(&'static str, &'static str)]) -> (Option<String>, Option<String>) {
        let fact = node_fact(|key| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value));
        (fact.region.map(|text| text.to_string()), fact.availability_zone.map(|text| text.to_string()))
    }

    #[test]
    fn the_newer_label_wins_each_on_its_own() {
        let both = fact(&[
            ("failure-domain.beta.kubernetes.io/region", "old"),
            ("topology.kubernetes.io/region", "new"),
            ("failure-domain.beta.kubernetes.io/zone", "old-a"),
        ]);
        assert_eq!(both, (Some("new".to_owned()), Some("old-a".to_owned())));
    }

    #[test]
    fn an_empty_label_is_none() {
        let empty = fact(&[("topology.kubernetes.io/region", ""), ("topology.kubernetes.io/zone", "")]);
        assert_eq!(empty, (None, None));
        let fallen_back = fact(&[("topology.kubernetes.io/zone", ""), ("failure-domain.beta.kubernetes.io/zone", "a")]);
        assert_eq!(fallen_back, (None, Some("a".to_owned())));
    }
}
