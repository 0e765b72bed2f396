//! Which keys a settings file may have.

use std::sync::Arc;

use mcdns_core::check::{Finding, FindingCode};

use super::tree::{Content, Key, Node};

/// What stands under a key.
enum Shape {
    /// A single value.
    Value,
    /// A list of single values.
    Values,
    /// A list of addresses, each alone or as a mapping with these keys.
    Listeners(&'static [(&'static str, Shape)]),
    /// A mapping with these keys.
    Map(&'static [(&'static str, Shape)]),
    /// A list of mappings with these keys.
    Maps(&'static [(&'static str, Shape)]),
    /// A mapping with any keys.
    Free,
}

use Shape::{Free, Listeners, Map, Maps, Value, Values};

const TOP: Shape = Map(&[
    ("version", Value),
    ("stateDir", Value),
    (
        "sources",
        Map(&[
            ("directory", Value),
            ("hosts", Value),
            (
                "kubernetes",
                Map(&[
                    ("kubeconfig", Value),
                    ("context", Value),
                    ("hostOnly", Value),
                    ("systemNamespace", Value),
                    (
                        "health",
                        Map(&[
                            ("mode", Value),
                            ("period", Value),
                            ("timeout", Value),
                            ("failureThreshold", Value),
                            ("successThreshold", Value),
                            ("grace", Value),
                        ]),
                    ),
                    ("lease", Map(&[("name", Value), ("identity", Value), ("duration", Value)])),
                ]),
            ),
            (
                "skydns",
                Map(&[
                    ("endpoints", Values),
                    ("zones", Values),
                    ("prefix", Value),
                    ("minLeaseTtl", Value),
                    ("maxLeaseTtl", Value),
                    ("username", Value),
                    ("passwordFile", Value),
                    ("ca", Value),
                    ("certificate", Value),
                    ("key", Value),
                ]),
            ),
        ]),
    ),
    (
        "serve",
        Map(&[
            ("advertise", Values),
            (
                "listen",
                Listeners(&[
                    ("address", Value),
                    ("transports", Values),
                    ("certificate", Value),
                    ("key", Value),
                    ("path", Value),
                    ("payload", Value),
                    ("transfers", Value),
                    ("rateLimit", Value),
                    ("connections", Value),
                    ("connectionsPerClient", Value),
                    ("idleTimeout", Value),
                    ("lifetime", Value),
                ]),
            ),
            ("nsid", Value),
            ("version", Value),
            ("identity", Value),
            ("cookies", Map(&[("enabled", Value), ("secret", Value), ("otherSecret", Value), ("secretFile", Value)])),
            (
                "rateLimit",
                Map(&[("responsesPerSecond", Value), ("slip", Value), ("ipv4Prefix", Value), ("ipv6Prefix", Value)]),
            ),
            ("queryLog", Map(&[("file", Value), ("format", Value), ("sample", Value)])),
            ("dnstap", Map(&[("socket", Value), ("file", Value), ("sample", Value), ("queries", Value)])),
            ("user", Value),
            ("handover", Value),
            ("workers", Value),
            (
                "keys",
                Maps(&[
                    ("name", Value),
                    ("algorithm", Value),
                    ("macSize", Value),
                    ("secret", Value),
                    ("secretFile", Value),
                ]),
            ),
            ("transfer", Map(ALL_TRANSFERS)),
            (
                "zones",
                Maps(&[
                    ("apex", Value),
                    ("file", Value),
                    ("nameServers", Maps(&[("name", Value), ("addresses", Values)])),
                    (
                        "soa",
                        Map(&[
                            ("contact", Value),
                            ("refresh", Value),
                            ("retry", Value),
                            ("expire", Value),
                            ("negativeTtl", Value),
                        ]),
                    ),
                    ("transfer", Map(TRANSFER)),
                ]),
            ),
        ]),
    ),
    ("memberSelector", Map(&[("matchLabels", Free), ("matchExpressions", Maps(EXPRESSION))])),
    ("emptyLevels", Value),
    ("statusEntries", Value),
    ("dnsEndpoints", Map(&[("groups", Values), ("read", Values)])),
    (
        "publish",
        Map(&[
            ("manager", Value),
            (
                "to",
                Maps(&[
                    ("name", Value),
                    ("zones", Values),
                    ("policy", Value),
                    ("adopt", Value),
                    ("emptyLevels", Value),
                    ("etcd", Free),
                    ("route53", Free),
                    ("webhook", Free),
                    ("memory", Free),
                ]),
            ),
        ]),
    ),
    ("webhook", Map(&[("listen", Value), ("zones", Values), ("emptying", Value)])),
    ("admin", Map(&[("listen", Value)])),
    ("history", Map(&[("changes", Value), ("memory", Value), ("disk", Value)])),
    ("log", Map(&[("format", Value), ("level", Value)])),
]);

/// What a zone says of its transfers.
const TRANSFER: &[(&str, Shape)] =
    &[("allow", Values), ("keys", Values), ("rules", RULES), ("notify", NOTIFY), ("notifySource", Values)];

/// The same for zones that say nothing, and what holds for all of them together.
const ALL_TRANSFERS: &[(&str, Shape)] = &[
    ("allow", Values),
    ("keys", Values),
    ("rules", RULES),
    ("notify", NOTIFY),
    ("notifySource", Values),
    ("concurrent", Value),
    ("history", Map(&[("changes", Value), ("zoneSize", Value), ("memory", Value)])),
];

const RULES: Shape = Maps(&[("allow", Values), ("keys", Values)]);
const NOTIFY: Shape = Listeners(&[("address", Value), ("key", Value), ("source", Value)]);

const EXPRESSION: &[(&str, Shape)] = &[("key", Value), ("operator", Value), ("values", Values)];

/// Finds every key and kind of node that must not be there.
pub(super) fn check(node: &Node, file: &Arc<str>) -> Vec<Finding> {
    let mut checker = Checker { file, findings: Vec::new() };
    checker.check(node, &TOP, "");
    checker.findings
}

/// The known word that is most like a misspelt one, if any is.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |candidate: &str| strsim::jaro_winkler(&word.to_ascii_lowercase(), &candidate.to_ascii_lowercase());
    let best = known.into_iter().map(|candidate| (likeness(candidate), candidate));
    // 0.75 keeps `listen` for `listener` and `lisen`, and drops `log` for `zones`.
    best.filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

struct Checker<'a> {
    file: &'a Arc<str>,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn check(&mut self, node: &Node, shape: &Shape, path: &str) {
        match (shape, &node.content) {
            (_, Content::Nothing) | (Value | Values | Listeners(_), Content::Scalar(_)) | (Free, Content::Map(_)) => {}
            (Values, Content::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.check(item, &Value, &format!("{path}[{index}]"));
                }
            }
            (Listeners(keys), Content::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    if !matches!(item.content, Content::Scalar(_)) {
                        self.check_map(item, keys, &format!("{path}[{index}]"));
                    }
                }
            }
            (Maps(keys), Content::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.check_map(item, keys, &format!("{path}[{index}]"));
                }
            }
            (Map(keys), _) => self.check_map(node, keys, path),
            (shape, content) => {
                self.refuse(node, path, format!("is {}", content.kind()), Some(format!("write {}", shape.wanted())));
            }
        }
    }

    fn check_map(&mut self, node: &Node, keys: &'static [(&'static str, Shape)], path: &str) {
        let entries = match &node.content {
            Content::Map(entries) => entries,
            Content::Nothing => return,
            other => {
                let message = format!("is {}", other.kind());
                let names: Vec<_> = keys.iter().map(|(name, _)| *name).collect();
                let help = format!("write a mapping with some of the keys {}", names.join(", "));
                return self.refuse(node, path, message, Some(help));
            }
        };
        for (key, value) in entries {
            let path = if path.is_empty() { key.text.clone() } else { format!("{path}.{}", key.text) };
            if let Some((_, shape)) = keys.iter().find(|(name, _)| *name == key.text) {
                self.check(value, shape, &path);
                continue;
            }
            let names = || keys.iter().map(|(name, _)| *name);
            let help = match nearest(&key.text, names()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("known here: {}", names().collect::<Vec<_>>().join(", ")),
            };
            self.refuse_key(key, &path, "is no known setting", help);
        }
    }

    fn refuse(&mut self, node: &Node, path: &str, message: String, help: Option<String>) {
        let mut finding = Finding::new(FindingCode::RefusedSetting, message).at(self.file, node.line, node.column);
        finding.field = Some(path.to_owned()).filter(|path| !path.is_empty());
        finding.help = help;
        self.findings.push(finding);
    }

    fn refuse_key(&mut self, key: &Key, path: &str, message: &str, help: String) {
        let finding = Finding::new(FindingCode::RefusedSetting, message).at(self.file, key.line, key.column);
        self.findings.push(finding.field(path).help(help));
    }
}

impl Shape {
    fn wanted(&self) -> &'static str {
        match self {
            Value => "a single value",
            Values => "a list of values",
            Listeners(_) | Maps(_) => "a list",
            Map(_) | Free => "a mapping",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_only_when_it_is_near() {
        let known = ["listen", "zones", "advertise", "log"];
        assert_eq!(nearest("listener", known), Some("listen"));
        assert_eq!(nearest("Zone", known), Some("zones"));
        assert_eq!(nearest("advertised", known), Some("advertise"));
        assert_eq!(nearest("kubeconfig", known), None);
    }
}
