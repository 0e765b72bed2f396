//! Where a federated object is placed.

use std::collections::BTreeMap;

use super::{LabelOperator, LabelRequirement, LabelSelector, PlacementFact};

impl PlacementFact {
    /// True if the object is placed in the cluster of this name and these labels. The explicit list wins over
    /// the selector whenever it is present, also when empty; without either the object is placed nowhere.
    pub fn includes(&self, cluster: &str, labels: &BTreeMap<String, String>) -> bool {
        match (&self.clusters, &self.selector) {
            (Some(clusters), _) => clusters.iter().any(|name| **name == *cluster),
            (None, Some(selector)) => selector.matches(labels),
            (None, None) => false,
        }
    }
}

impl LabelSelector {
    /// True if every requirement holds.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels))
    }
}

impl LabelRequirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            LabelOperator::In => value.is_some_and(|value| self.values.contains(value)),
            LabelOperator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn selector(operator: LabelOperator, values: &[&str]) -> PlacementFact {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        let requirement = LabelRequirement { key: "tier".to_owned(), operator, values };
        PlacementFact { clusters: None, selector: Some(LabelSelector { requirements: vec![requirement] }) }
    }

    #[test]
    fn an_explicit_list_wins_even_when_empty() {
        let everywhere = LabelSelector::default();
        let nowhere = PlacementFact { clusters: Some(Vec::new()), selector: Some(everywhere.clone()) };
        assert!(!nowhere.includes("c1", &labels(&[])));
        let all = PlacementFact { clusters: None, selector: Some(everywhere) };
        assert!(all.includes("c1", &labels(&[])));
        assert!(!PlacementFact::default().includes("c1", &labels(&[])));
    }

    #[test]
    fn selectors_follow_kubernetes() {
        let gold = labels(&[("tier", "gold")]);
        let none = labels(&[]);
        assert!(selector(LabelOperator::In, &["gold"]).includes("c", &gold));
        assert!(!selector(LabelOperator::In, &["gold"]).includes("c", &none));
        assert!(!selector(LabelOperator::NotIn, &["gold"]).includes("c", &gold));
        assert!(selector(LabelOperator::NotIn, &["gold"]).includes("c", &none));
        assert!(selector(LabelOperator::Exists, &[]).includes("c", &gold));
        assert!(selector(LabelOperator::DoesNotExist, &[]).includes("c", &none));
    }
}
