//! `publish`: to which systems the records go, under which name.
//!
//! What stands under the word of a provider (`etcd`, `route53`, `webhook`) is the provider's own to read: it is handed
//! on as a value, with its place for what the provider refuses.

use std::sync::Arc;

use mcdns_core::{
    dns::OwnerName,
    plan::{ManagerId, PlanOptions, Policy},
    records::EmptyLevels,
};
use serde_json::Value;

use super::{
    EMPTY_LEVELS,
    layers::{Layers, Origin, Setting},
    parse::{self, Misfit},
    section::{Section, present},
    tree::{Content, Node},
};

/// Words under which a provider's own settings stand.
pub const PROVIDERS: [&str; 4] = ["etcd", "route53", "webhook", "memory"];

/// All of it; nothing is published where `to` is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishSettings {
    /// `publish.manager`: whose the records are. There where `to` is not empty.
    pub manager: Option<ManagerId>,
    /// `publish.to`, each name once.
    pub to: Vec<DestinationSettings>,
}

/// One entry of `publish.to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationSettings {
    /// Its name in logs, metrics, conditions and for `plan --to`.
    pub name: String,
    /// Apexes of the zones that go there.
    pub zones: Vec<OwnerName>,
    /// `policy` and `adopt`.
    pub options: PlanOptions,
    /// `emptyLevels`, where it differs from the setting of the program.
    pub empty_levels: Option<EmptyLevels>,
    /// The provider and what is set of it.
    pub provider: ProviderSection,
}

/// A provider's own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSection {
    /// One of [`PROVIDERS`].
    pub word: &'static str,
    /// The mapping as it was written: whole numbers, `true` and `false` are what they look like, and everything else is
    /// text.
    pub value: Value,
    /// The settings file.
    pub file: Arc<str>,
    /// Path of the mapping: `publish.to[0].etcd`.
    pub path: String,
    /// Line of it.
    pub line: u32,
}

const POLICIES: [(&str, Policy); 3] =
    [("sync", Policy::Sync), ("upsert-only", Policy::UpsertOnly), ("create-only", Policy::CreateOnly)];

/// Reads it; entries with faults are left out, and the faults are in the findings.
pub(super) fn read(layers: &mut Layers<'_>) -> Setting<PublishSettings> {
    let mut settings = PublishSettings::default();
    let nothing = |value| Setting { value, origin: Origin::Default };
    let Some((file, root)) = layers.file.clone() else { return nothing(settings) };
    let Some(node) = root.at("publish").filter(|node| node.content != Content::Nothing) else {
        return nothing(settings);
    };
    let origin = Origin::File { file: file.clone(), line: node.line };
    let mut section = Section { layers, file: &file, path: "publish".to_owned() };
    if let Some((manager, line)) = section.child(node, "manager", manager) {
        section.row("manager", manager.to_string(), line);
        settings.manager = Some(manager);
    }
    let items = node.child("to").map(Node::items).unwrap_or_default();
    if !items.is_empty() && present(node, "manager").is_none() {
        let help = "say whose the records are, the same in all replicas and no other's: manager: prod";
        section.refuse(node, "manager", Misfit::new("is missing", help));
    }
    for (index, node) in items.iter().enumerate() {
        let mut section = Section { layers, file: &file, path: format!("publish.to[{index}]") };
        let Some(destination) = read_destination(&mut section, node) else { continue };
        if settings.to.iter().any(|other| other.name == destination.name) {
            section.refuse(node, "name", Misfit::new("stands there twice", "give each its own name"));
        } else {
            settings.to.push(destination);
        }
    }
    Setting { value: settings, origin }
}

fn read_destination(section: &mut Section<'_, '_>, node: &Node) -> Option<DestinationSettings> {
    if !matches!(node.content, Content::Map(_)) {
        // What is no mapping was refused by the schema.
        return None;
    }
    for (key, help) in [("name", "write a word: name: coredns"), ("zones", "write the apexes: zones: [example.com]")] {
        if present(node, key).is_none() {
            section.refuse(node, key, Misfit::new("is missing", help));
        }
    }
    let name = section.child(node, "name", name);
    let zones = section.list(node, "zones", parse::apex);
    let policy = section.child(node, "policy", |text| parse::word(text, &POLICIES));
    let adopt = section.child(node, "adopt", parse::switch);
    let empty_levels = section.child(node, "emptyLevels", |text| parse::word(text, &EMPTY_LEVELS));
    let provider = read_provider(section, node);
    let (name, line) = name?;
    let zones = zones.filter(|zones| !zones.is_empty())?;
    section.row("name", name.clone(), line);
    let shown: Vec<String> = zones.iter().map(ToString::to_string).collect();
    section.row("zones", shown.join(", "), node.line);
    let policy = policy.map(|(policy, _)| policy).unwrap_or_default();
    section.row("policy", policy.to_string(), node.line);
    let options = PlanOptions { policy, adopt: adopt.is_some_and(|(adopt, _)| adopt) };
    let empty_levels = empty_levels.map(|(levels, _)| levels);
    Some(DestinationSettings { name, zones, options, empty_levels, provider: provider? })
}

fn read_provider(section: &mut Section<'_, '_>, node: &Node) -> Option<ProviderSection> {
    let found: Vec<_> = PROVIDERS.iter().filter_map(|word| Some((*word, node.child(word)?))).collect();
    match found[..] {
        [(word, inner)] => Some(ProviderSection {
            word,
            value: value(inner),
            file: section.file.clone(),
            path: format!("{}.{word}", section.path),
            line: inner.line,
        }),
        [] => {
            let help = format!("add one of {}", PROVIDERS.join(", "));
            section.refuse(node, "", Misfit::new("says no provider", help));
            None
        }
        [_, (second, _), ..] => {
            let misfit = Misfit::new("is the second provider of one entry", "make an entry of its own for it");
            section.refuse(node, second, misfit);
            None
        }
    }
}

fn value(node: &Node) -> Value {
    match &node.content {
        Content::Nothing => Value::Object(serde_json::Map::new()),
        Content::Scalar(text) => match text.as_str() {
            "true" => true.into(),
            "false" => false.into(),
            _ => text.parse::<i64>().map_or_else(|_| text.clone().into(), Into::into),
        },
        Content::List(items) => items.iter().map(value).collect(),
        Content::Map(entries) => entries
            .iter()
            .map(|(key, inner)| (key.text.clone(), value(inner)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

fn manager(text: &str) -> Result<ManagerId, Misfit> {
    text.parse().map_err(|_| {
        let help = "write 1 to 63 letters, digits, `.`, `_`, `/`, `:` or `-`, such as prod";
        Misfit::new(format!("`{text}` is no name of a manager"), help)
    })
}

/// A word that can stand in the type of a condition (`Published.<name>`) and in a label of a metric.
fn name(text: &str) -> Result<String, Misfit> {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    if text.is_empty() || text.len() > 63 || !text.bytes().all(fits) {
        return Err(Misfit::new(format!("`{text}` is no name"), "write 1 to 63 letters, digits and hyphens"));
    }
    Ok(text.to_owned())
}
