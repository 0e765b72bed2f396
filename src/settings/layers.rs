//! One setting from four places: flag, environment, file, default, in this order.
//!
//! A value that loses is read all the same, so that a fault shows before the day it counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fmt,
    sync::Arc,
};

use mcdns_core::check::{Finding, FindingCode};

use super::{
    parse::Misfit,
    schema,
    tree::{Content, Node},
};

/// Start of the name of every environment variable that is read.
const VARIABLE: &str = "MCDNS_";
/// Read by the arguments: where the file is.
const SETTINGS_VARIABLE: &str = "MCDNS_SETTINGS";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The settings file.
    File {
        /// Path as given.
        file: Arc<str>,
        /// From 1.
        line: u32,
    },
    /// An environment variable, by name.
    Environment(String),
    /// A flag, with its dashes; or the name of an argument.
    Flag(&'static str),
}

/// A value that knows where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// The same origin with what is made of the value.
    pub(super) fn map<U>(self, make: impl FnOnce(T) -> U) -> Setting<U> {
        Setting { value: make(self.value), origin: self.origin }
    }
}

/// A line of [`super::Settings::describe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) path: String,
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// The places, and what came up while they were read.
pub(super) struct Layers<'a> {
    pub(super) file: Option<(Arc<str>, &'a Node)>,
    environment: BTreeMap<String, String>,
    used: BTreeSet<String>,
    pub(super) findings: Vec<Finding>,
    pub(super) rows: Vec<Row>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(
        file: Option<(Arc<str>, &'a Node)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let used = BTreeSet::from([SETTINGS_VARIABLE.to_owned()]);
        let mut layers = Self { file, environment: BTreeMap::new(), used, findings: Vec::new(), rows: Vec::new() };
        for (name, value) in environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE)) else { continue };
            match value.into_string() {
                // A variable set to nothing is how scripts and manifests leave one out.
                Ok(value) if value.is_empty() => {}
                Ok(value) => {
                    layers.environment.insert(name.to_owned(), value);
                }
                Err(_) => layers.refuse_variable(name, Misfit::new("is not UTF-8", "write it in UTF-8")),
            }
        }
        layers
    }

    /// A setting that is a single value.
    pub(super) fn value<T>(
        &mut self,
        path: &str,
        flag: Option<(&'static str, T)>,
        default: T,
        parse: impl Fn(&str) -> Result<T, Misfit>,
        show: impl Fn(&T) -> String,
    ) -> Setting<T> {
        let from_variable = self.variable(path).and_then(|(name, text)| self.parse_variable(&name, &text, &parse));
        let from_file = self.file.clone().and_then(|(file, root)| {
            let node = root.at(path)?;
            self.parse_node(&file, node, path, &parse)
        });
        let flag = flag.map(|(flag, value)| Setting { value, origin: Origin::Flag(flag) });
        let setting =
            flag.or(from_variable).or(from_file).unwrap_or(Setting { value: default, origin: Origin::Default });
        self.row(path, show(&setting.value), setting.origin.clone());
        setting
    }

    /// A setting that is a list; in the environment, with commas between.
    pub(super) fn values<T>(
        &mut self,
        path: &str,
        flag: Option<(&'static str, Vec<T>)>,
        default: Vec<T>,
        parse: impl Fn(&str) -> Result<T, Misfit>,
        from_node: impl Fn(&mut Self, &Arc<str>, &Node, &str) -> Option<T>,
        show: impl Fn(&T) -> String,
    ) -> Setting<Vec<T>> {
        let from_variable = self.variable(path).map(|(name, text)| {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let value = items.filter_map(|item| Some(self.parse_variable(&name, item, &parse)?.value)).collect();
            Setting { value, origin: Origin::Environment(name) }
        });
        let from_file = self.file.clone().and_then(|(file, root)| {
            let node = root.at(path)?;
            let items: Vec<(String, &Node)> = match &node.content {
                Content::List(items) => {
                    items.iter().enumerate().map(|(index, item)| (format!("{path}[{index}]"), item)).collect()
                }
                // One value in place of a list of one: what it means is clear.
                Content::Scalar(_) => vec![(path.to_owned(), node)],
                _ => Vec::new(),
            };
            let value = items.iter().filter_map(|(path, item)| from_node(self, &file, item, path)).collect();
            Some(Setting { value, origin: Origin::File { file, line: node.line } })
        });
        let flag = flag.map(|(flag, value)| Setting { value, origin: Origin::Flag(flag) });
        let setting =
            flag.or(from_variable).or(from_file).unwrap_or(Setting { value: default, origin: Origin::Default });
        let shown: Vec<_> = setting.value.iter().map(show).collect();
        self.row(path, shown.join(", "), setting.origin.clone());
        setting
    }

    /// A scalar of the file.
    pub(super) fn parse_node<T>(
        &mut self,
        file: &Arc<str>,
        node: &Node,
        path: &str,
        parse: impl Fn(&str) -> Result<T, Misfit>,
    ) -> Option<Setting<T>> {
        // Other kinds of nodes were refused by the schema.
        let Content::Scalar(text) = &node.content else { return None };
        match parse(text) {
            Ok(value) => Some(Setting { value, origin: Origin::File { file: file.clone(), line: node.line } }),
            Err(misfit) => {
                self.refuse_node(file, node, path, misfit);
                None
            }
        }
    }

    /// A text that a node of the file leads to.
    pub(super) fn parse_text<T>(
        &mut self,
        file: &Arc<str>,
        node: &Node,
        path: &str,
        text: &str,
        parse: impl Fn(&str) -> Result<T, Misfit>,
    ) -> Option<T> {
        parse(text).map_err(|misfit| self.refuse_node(file, node, path, misfit)).ok()
    }

    /// A node of the file is wrong.
    pub(super) fn refuse_node(&mut self, file: &Arc<str>, node: &Node, path: &str, misfit: Misfit) {
        let mut finding = Finding::new(FindingCode::RefusedSetting, misfit.message).field(path).help(misfit.help);
        finding.place = Some(node.place(file));
        self.findings.push(finding);
    }

    /// Something is wrong with a setting, wherever it comes from.
    pub(super) fn refuse(&mut self, path: &str, origin: &Origin, misfit: Misfit) {
        let finding = Finding::new(FindingCode::RefusedSetting, misfit.message).help(misfit.help);
        self.findings.push(match origin {
            Origin::File { .. } | Origin::Default => origin.place(finding.field(path)),
            other => other.place(finding),
        });
    }

    /// Notes what a setting turned out to be.
    pub(super) fn row(&mut self, path: &str, value: String, origin: Origin) {
        self.rows.push(Row { path: path.to_owned(), value, origin });
    }

    /// Refuses variables that no setting read. To be called when all were.
    pub(super) fn refuse_unknown_variables(&mut self) {
        let unknown: Vec<String> = self
            .environment
            .keys()
            .filter(|name| !self.used.contains(*name) && !is_service_link(name))
            .cloned()
            .collect();
        for name in unknown {
            let help = match schema::nearest(&name, self.used.iter().map(String::as_str)) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "`mcdns settings --help` tells how variables are named".to_owned(),
            };
            self.refuse_variable(&name, Misfit::new("is no known setting", help));
        }
    }

    fn variable(&mut self, path: &str) -> Option<(String, String)> {
        let name = variable_name(path);
        self.used.insert(name.clone());
        let text = self.environment.get(&name)?.clone();
        Some((name, text))
    }

    fn parse_variable<T>(
        &mut self,
        name: &str,
        text: &str,
        parse: impl Fn(&str) -> Result<T, Misfit>,
    ) -> Option<Setting<T>> {
        match parse(text) {
            Ok(value) => Some(Setting { value, origin: Origin::Environment(name.to_owned()) }),
            Err(misfit) => {
                self.refuse_variable(name, misfit);
                None
            }
        }
    }

    fn refuse_variable(&mut self, name: &str, misfit: Misfit) {
        let origin = Origin::Environment(name.to_owned());
        self.refuse("", &origin, misfit);
    }
}

/// `stateDir` is `MCDNS_STATE_DIR`, `admin.listen` is `MCDNS_ADMIN_LISTEN`.
pub(super) fn variable_name(path: &str) -> String {
    let mut name = VARIABLE.to_owned();
    for letter in path.chars() {
        match letter {
            '.' => name.push('_'),
            upper if upper.is_ascii_uppercase() => {
                name.push('_');
                name.push(upper);
            }
            lower => name.push(lower.to_ascii_uppercase()),
        }
    }
    name
}

/// True for variables that may be settings.
pub(super) fn is_ours(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(VARIABLE.as_bytes())
}

/// True for what Kubernetes sets in every pod beside a Service whose name starts with `mcdns`
/// (`MCDNS_SERVICE_HOST`, `MCDNS_PORT_53_UDP_ADDR` …): nobody wrote these, so nobody is to be blamed for them.
fn is_service_link(name: &str) -> bool {
    let protocols = ["_TCP", "_UDP", "_SCTP"];
    let of_port = |at: usize| {
        let rest = &name[at + "_PORT".len()..];
        rest.is_empty() || protocols.iter().any(|protocol| rest.contains(protocol))
    };
    name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || name.rfind("_PORT").is_some_and(of_port)
}

impl Origin {
    /// The finding with the place of this origin: file and line, or the variable or flag as its object.
    pub(crate) fn place(&self, finding: Finding) -> Finding {
        match self {
            Self::File { file, line } => finding.at(file, *line, 0),
            Self::Default => finding,
            other => finding.about(other),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) if flag.starts_with('-') => write!(f, "flag {flag}"),
            Self::Flag(argument) => write!(f, "argument {argument}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_named_after_their_path() {
        assert_eq!(variable_name("stateDir"), "MCDNS_STATE_DIR");
        assert_eq!(variable_name("sources.kubernetes.systemNamespace"), "MCDNS_SOURCES_KUBERNETES_SYSTEM_NAMESPACE");
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_is_no_setting() {
        for name in [
            "MCDNS_SERVICE_HOST",
            "MCDNS_SERVICE_PORT",
            "MCDNS_SERVICE_PORT_DNS_TCP",
            "MCDNS_PORT",
            "MCDNS_PORT_53_UDP",
            "MCDNS_PORT_53_UDP_ADDR",
            "MCDNS_ADMIN_PORT_8080_TCP_PORT",
        ] {
            assert!(is_service_link(name), "{name}");
        }
        for name in ["MCDNS_STATE_DIR", "MCDNS_ADMIN_LISTEN", "MCDNS_PORTS", "MCDNS_SERVE_LISTEN"] {
            assert!(!is_service_link(name), "{name}");
        }
    }
}
