//! As much of IAM as policies for Route 53 need: what is allowed, for which resources and which names.
//!
//! A policy of a role has statements with `Effect`, `Action`, `Resource`, and a `Condition` with `ForAllValues:StringLike` or
//! `ForAllValues:StringEquals` on what a batch changes. Anything else is refused when the policy is set, so that nothing is
//! taken for granted that is not looked at.

use serde_json::Value;

use super::batch::{Action, Change};

/// Keys of conditions: names without the final dot, types, actions (Route 53 Developer Guide, "Using IAM policy
/// conditions").
const KEYS: [&str; 3] = [
    "route53:ChangeResourceRecordSetsNormalizedRecordNames",
    "route53:ChangeResourceRecordSetsRecordTypes",
    "route53:ChangeResourceRecordSetsActions",
];

/// What a caller may do.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone)]
struct Statement {
    actions: Vec<String>,
    resources: Vec<String>,
    /// Key with the patterns that every value has to fit.
    conditions: Vec<(String, Vec<String>)>,
}

impl Policy {
    /// The policy of a document.
    ///
    /// # Panics
    ///
    /// If it says something that is not looked at.
    pub(super) fn read(document: &Value) -> Self {
        let statements = document["Statement"].as_array().expect("statements");
        let statements = statements.iter().map(|statement| {
            let known = ["Sid", "Effect", "Action", "Resource", "Condition"];
            let odd = statement.as_object().into_iter().flatten().find(|(key, _)| !known.contains(&key.as_str()));
            assert!(odd.is_none(), "{odd:?} is nothing that this reads");
            assert_eq!(statement["Effect"], "Allow", "only what is allowed is read");
            let mut conditions = Vec::new();
            for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
                let known = ["ForAllValues:StringLike", "ForAllValues:StringEquals"];
                assert!(known.contains(&operator.as_str()), "{operator} is nothing that this reads");
                for (key, patterns) in keys.as_object().expect("keys of a condition") {
                    assert!(KEYS.contains(&key.as_str()), "{key} is nothing that this reads");
                    conditions.push((key.clone(), texts(patterns)));
                }
            }
            Statement { actions: texts(&statement["Action"]), resources: texts(&statement["Resource"]), conditions }
        });
        Self { statements: statements.collect() }
    }

    /// Whether a call may be made; of changes, whether with all of them.
    pub(super) fn allows(&self, action: &str, resource: &str, changes: &[Change]) -> bool {
        let action = format!("route53:{action}");
        self.statements.iter().any(|statement| {
            statement.actions.iter().any(|pattern| fits(pattern, &action))
                && statement.resources.iter().any(|pattern| fits(pattern, resource))
                && statement.conditions.iter().all(|(key, patterns)| {
                    values(key, changes).iter().all(|value| patterns.iter().any(|pattern| fits(pattern, value)))
                })
        })
    }
}

/// The values of one of [`KEYS`].
fn values(key: &str, changes: &[Change]) -> Vec<String> {
    let action = |change: &Change| match change.action {
        Action::Create => "CREATE",
        Action::Delete => "DELETE",
        Action::Upsert => "UPSERT",
    };
    let value = |change: &Change| match KEYS.iter().position(|known| *known == key) {
        Some(0) => change.set.name.trim_end_matches('.').to_owned(),
        Some(1) => change.set.kind.clone(),
        _ => action(change).to_owned(),
    };
    changes.iter().map(value).collect()
}

/// One text or a list.
fn texts(value: &Value) -> Vec<String> {
    let one = value.as_str().map(str::to_owned);
    let many = value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    one.into_iter().chain(many).collect()
}

/// True if the text is the pattern, in which `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(first) else { return false };
    (0..=text.len()).filter(|&at| text.is_char_boundary(at)).any(|at| fits(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(fits("arn:aws:route53:::change/*", "arn:aws:route53:::change/C1"));
        assert!(fits("*.example.com", "\\052.a.example.com") && fits("*", ""));
        assert!(!fits("*.example.com", "example.com") && !fits("route53:Get*", "route53:ListHostedZones"));
    }
}
