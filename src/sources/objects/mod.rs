//! Kubernetes objects in files, as facts.
//!
//! ```text
//!   text ──► documents ──► objects of Lists ──► what is it? ──► metadata ──► slim type ──► Fact
//!            (syntax:       (each with its       (unknown:       (label,
//!             whole file)    line)                counted)        deleted)
//! ```
//!
//! A text that is no YAML or JSON is refused whole ([`SyntaxError`]): nobody knows what its objects would have been.
//! Everything else that is wrong concerns one object, which is left out with a [`Finding`] that names file, line,
//! object, field and what would be right. Fields that nothing here reads are not looked at.

mod facts;
mod field;
mod json;
mod kinds;
mod one;
mod wire;
mod yaml;

#[cfg(test)]
mod tests;

pub(crate) use one::{Namespaces, One, read_one};

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use mcdns_core::{
    check::{Finding, FindingCode, Severity},
    model::{
        ClusterName, Fact, Kind, LabelOperator, LabelRequirement, LabelSelector, Object, ObjectKey, Origin, Scope,
    },
};
use serde_json::{Value, value::RawValue};
use thiserror::Error;

use self::{
    field::{FieldError, Node, shorten},
    kinds::{Known, Recognised, is_host_kind, recognise},
};

/// How deep Lists may stand in Lists.
const MAX_LISTS: usize = 8;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One or many documents.
    Yaml,
    /// One or many values, one after another.
    Json,
}

/// Why a whole text is refused. Trying again helps only after the text has changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// From 1; 0 where it is not known.
    pub line: u32,
    /// From 1; 0 where it is not known.
    pub column: u32,
    /// One sentence without a full stop.
    pub message: String,
}

/// Where a text stands, and what of it counts.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Path for findings and origins.
    pub file: &'a Arc<str>,
    /// The cluster whose objects these are.
    pub scope: &'a Scope,
    /// Which objects of members count (Nodes always do).
    pub selector: &'a LabelSelector,
}

/// What a text says.
#[derive(Debug, Default)]
pub struct Content {
    /// The objects, sorted by key, each once.
    pub objects: Vec<(ObjectKey, Arc<Object>)>,
    /// What is wrong with the others.
    pub findings: Vec<Finding>,
    /// Objects of kinds that nothing here reads, by `apiVersion/kind`.
    pub ignored: BTreeMap<String, u64>,
}

/// The label that KubeFed puts on every object it writes to a member.
pub fn managed_selector() -> LabelSelector {
    LabelSelector {
        requirements: vec![LabelRequirement {
            key: "kubefed.io/managed".to_owned(),
            operator: LabelOperator::In,
            values: vec!["true".to_owned()],
        }],
    }
}

/// Reads all objects of a text.
pub fn read(text: &[u8], format: Format, context: &Context<'_>) -> Result<Content, SyntaxError> {
    let text = std::str::from_utf8(text).map_err(|error| not_utf8(text, error.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { context, content: Content::default(), namespaces: HashSet::new() };
    match format {
        Format::Json => {
            let mut lines = json::Lines::new(text);
            for document in json::documents(text)? {
                reader.json(document, &mut lines, None, 0);
            }
        }
        Format::Yaml => {
            for document in yaml::documents(text)? {
                reader.yaml(document.line, &document.value, document.items.as_deref(), None, 0);
            }
        }
    }
    Ok(reader.finish())
}

/// True if an object with these labels is selected.
fn selects<'a>(selector: &LabelSelector, label: impl Fn(&str) -> Option<&'a str>) -> bool {
    selector.requirements.iter().all(|requirement| {
        let value = label(&requirement.key);
        let listed = || value.is_some_and(|value| requirement.values.iter().any(|listed| listed == value));
        match requirement.operator {
            LabelOperator::In => listed(),
            LabelOperator::NotIn => !listed(),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
        }
    })
}

/// How many newlines there are.
#[expect(
    clippy::naive_bytecount,
    reason = "the compiler makes vector code of it; a crate for more speed is not earned"
)]
fn newlines(text: &[u8]) -> usize {
    text.iter().filter(|octet| **octet == b'\n').count()
}

fn not_utf8(text: &[u8], valid: usize) -> SyntaxError {
    let before = &text[..valid];
    let line_start = before.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    SyntaxError {
        line: small(1 + newlines(before)),
        column: small(1 + valid - line_start),
        message: "the text is not UTF-8".to_owned(),
    }
}

/// What an element of a typed list (`ServiceList`) is where it does not say so itself.
#[derive(Clone, Copy)]
struct Inherited<'a> {
    api_version: &'a str,
    kind: &'a str,
}

/// The parts of an object that say what it is.
struct Parts<'a> {
    api_version: Option<Node<'a>>,
    kind: Option<Node<'a>>,
    metadata: Option<Node<'a>>,
}

struct Reader<'c> {
    context: &'c Context<'c>,
    content: Content,
    /// Few and repeated in every object, so they are shared.
    namespaces: HashSet<Arc<str>>,
}

impl Reader<'_> {
    /// Takes one JSON value: an object, or a List of them.
    fn json(&mut self, text: &str, lines: &mut json::Lines<'_>, inherited: Option<Inherited<'_>>, depth: usize) {
        let line = lines.line_of(text);
        if text == "null" {
            return;
        }
        if !text.starts_with('{') {
            return self.wrong("object", line, no_object());
        }
        let raw: json::Parts<'_> = match Node::Json(text).read("") {
            Ok(parts) => parts,
            Err(error) => return self.wrong("object", line, error),
        };
        let parts = Parts { api_version: part(raw.api_version), kind: part(raw.kind), metadata: part(raw.metadata) };
        let Some((api_version, kind)) = self.identity(&parts, inherited, line) else { return };
        if let Some(element) = kind.strip_suffix("List").filter(|_| raw.items.is_some() || kind == "List") {
            let items = raw.items.map_or("[]", RawValue::get);
            let elements = if items == "null" { Some(Vec::new()) } else { json::elements(items) };
            let Some(elements) = elements.filter(|_| depth < MAX_LISTS) else {
                return self.wrong(&kind, line, not_a_list(depth));
            };
            let inherited = (!element.is_empty()).then_some(Inherited { api_version: &api_version, kind: element });
            for element in elements {
                self.json(element, lines, inherited, depth + 1);
            }
            return;
        }
        self.object(&api_version, &kind, parts.metadata, Node::Json(text), line);
    }

    /// Takes one YAML document, or an element of a List.
    fn yaml(
        &mut self,
        line: u32,
        value: &Value,
        items: Option<&[(u32, Value)]>,
        inherited: Option<Inherited<'_>>,
        depth: usize,
    ) {
        let Value::Object(map) = value else {
            return self.wrong("object", line, no_object());
        };
        let node = |key: &str| map.get(key).filter(|value| !value.is_null()).map(Node::Yaml);
        let parts = Parts { api_version: node("apiVersion"), kind: node("kind"), metadata: node("metadata") };
        let Some((api_version, kind)) = self.identity(&parts, inherited, line) else { return };
        let inner = map.get("items");
        let has_items = items.is_some() || inner.is_some();
        if let Some(element) = kind.strip_suffix("List").filter(|_| has_items || kind == "List") {
            let inherited = (!element.is_empty()).then_some(Inherited { api_version: &api_version, kind: element });
            match (items, inner) {
                _ if depth >= MAX_LISTS => self.wrong(&kind, line, not_a_list(depth)),
                (Some(items), _) => {
                    for (line, item) in items {
                        self.yaml(*line, item, None, inherited, depth + 1);
                    }
                }
                // Lists in Lists are rare enough to share the line of the outer element.
                (None, Some(Value::Array(items))) => {
                    for item in items {
                        self.yaml(line, item, None, inherited, depth + 1);
                    }
                }
                (None, None | Some(Value::Null)) => {}
                (None, Some(_)) => self.wrong(&kind, line, not_a_list(depth)),
            }
            return;
        }
        self.object(&api_version, &kind, parts.metadata, Node::Yaml(value), line);
    }

    /// `apiVersion` and `kind`; none after a finding.
    fn identity(&mut self, parts: &Parts<'_>, inherited: Option<Inherited<'_>>, line: u32) -> Option<(String, String)> {
        let part = |node: Option<Node<'_>>, field: &str, inherited: Option<&str>| match node {
            Some(node) => node.read::<wire::Text<'_>>(field).map(|text| text.as_str().to_owned()),
            None => inherited.map(str::to_owned).ok_or_else(|| FieldError::missing(field)),
        };
        let kind = part(parts.kind, "kind", inherited.map(|inherited| inherited.kind));
        let api_version = part(parts.api_version, "apiVersion", inherited.map(|inherited| inherited.api_version));
        match (api_version, kind) {
            (Ok(api_version), Ok(kind)) => Some((api_version, kind)),
            (Err(error), Ok(kind)) => {
                self.wrong(&shorten(&kind), line, error);
                None
            }
            (_, Err(error)) => {
                let help = "every object needs apiVersion and kind; files that hold none do not belong here";
                self.wrong("object", line, if error.message == "is missing" { error.help(help) } else { error });
                None
            }
        }
    }

    /// Takes one object that is no List.
    fn object(&mut self, api_version: &str, kind: &str, metadata: Option<Node<'_>>, body: Node<'_>, line: u32) {
        let known = match recognise(api_version, kind) {
            Recognised::Known(known) => known,
            Recognised::OtherVersion(known, readable) => {
                let meta = metadata.and_then(|node| node.read::<wire::Meta<'_>>("metadata").ok()).unwrap_or_default();
                if self.belongs(known) && self.counts(known, &meta) {
                    let key = self.key(known, &meta);
                    let message = format!("version {} is not read", shorten(api_version));
                    let finding = Finding::new(FindingCode::UnknownVersion, message)
                        .at(self.context.file, line, 0)
                        .about(key)
                        .field("apiVersion")
                        .help(format!("write one of: {readable}"));
                    self.content.findings.push(finding);
                }
                return;
            }
            Recognised::Unknown => {
                let name = format!("{}/{}", shorten(api_version), shorten(kind));
                *self.content.ignored.entry(name).or_default() += 1;
                return;
            }
        };
        let meta: wire::Meta<'_> = match metadata.map(|node| node.read("metadata")).transpose() {
            Ok(meta) => meta.unwrap_or_default(),
            Err(error) => return self.wrong(kind, line, error),
        };
        if !self.counts(known, &meta) {
            return;
        }
        if !self.belongs(known) {
            return self.misplaced(known, &meta, line);
        }
        let key = self.key(known, &meta);
        if key.name.is_empty() {
            return self.wrong(kind, line, FieldError::missing("metadata.name"));
        }
        let mut minor = Vec::new();
        let created = facts::time(meta.creation_timestamp.as_ref(), "metadata.creationTimestamp", &mut minor);
        match facts::fact(known.kind, &key.name, &meta, body, &mut minor) {
            Err(error) => self.wrong(&key.to_string(), line, error),
            Ok(None) => {}
            Ok(Some(fact)) => {
                for error in minor {
                    let finding = self.finding(&key.to_string(), line, error);
                    self.content.findings.push(Finding { severity: Severity::Warning, ..finding });
                }
                self.insert(key, fact, created, &meta, line);
            }
        }
    }

    fn insert(
        &mut self,
        key: ObjectKey,
        fact: Fact,
        created: Option<mcdns_core::model::Timestamp>,
        meta: &wire::Meta<'_>,
        line: u32,
    ) {
        let object = Object {
            fact,
            created,
            object_generation: meta.generation,
            uid: meta.uid.as_ref().map(|uid| uid.as_str().into()),
            origin: Some(Origin { file: self.context.file.clone(), line }),
        };
        self.content.objects.push((key, Arc::new(object)));
    }

    /// Sorts the objects; of those with one key the first stays.
    fn finish(mut self) -> Content {
        let objects = &mut self.content.objects;
        objects.sort_by(|one, other| one.0.cmp(&other.0));
        let mut unique: Vec<(ObjectKey, Arc<Object>)> = Vec::with_capacity(objects.len());
        for (key, object) in objects.drain(..) {
            match unique.last() {
                Some((last, first)) if *last == key => {
                    self.content.findings.extend(duplicate(&key, &object, first));
                }
                _ => unique.push((key, object)),
            }
        }
        self.content.objects = unique;
        self.content
    }

    /// True for an object that exists for us: not being deleted, and selected where that is asked for.
    fn counts(&self, known: &Known, meta: &wire::Meta<'_>) -> bool {
        let label = |key: &str| meta.labels.as_ref()?.value(key);
        let needs_label = !is_host_kind(known.kind) && known.kind != Kind::Node;
        meta.deletion_timestamp.is_none() && (!needs_label || selects(self.context.selector, label))
    }

    fn belongs(&self, known: &Known) -> bool {
        is_host_kind(known.kind) == matches!(self.context.scope, Scope::Host)
    }

    fn misplaced(&mut self, known: &Known, meta: &wire::Meta<'_>, line: u32) {
        let key = self.key(known, meta);
        let (message, help) = if is_host_kind(known.kind) {
            ("is an object of the host cluster, not of a member", "move it to a file under host/")
        } else {
            ("is an object of a member, not of the host cluster", "move it to a file under members/<cluster>/")
        };
        let finding =
            Finding::new(FindingCode::Misplaced, message).at(self.context.file, line, 0).about(key).help(help);
        self.content.findings.push(finding);
    }

    fn key(&mut self, known: &Known, meta: &wire::Meta<'_>) -> ObjectKey {
        let kind = known.kind;
        let name = meta.name.as_ref().map_or("", wire::Text::as_str);
        let namespace = meta.namespace.as_ref().map_or("", wire::Text::as_str);
        let namespace = match (kind, namespace) {
            (Kind::Node, _) => "",
            (_, "") => "default",
            (_, namespace) => namespace,
        };
        let shared = self.namespaces.get(namespace).cloned().unwrap_or_else(|| Arc::from(namespace));
        self.namespaces.insert(shared.clone());
        let namespace = shared;
        if let Some(family) = known.family().filter(|_| !name.is_empty()) {
            return ObjectKey { scope: self.context.scope.clone(), ..ObjectKey::foreign(&namespace, name, family) };
        }
        ObjectKey { scope: self.context.scope.clone(), kind, namespace, name: name.into() }
    }

    fn wrong(&mut self, object: &str, line: u32, error: FieldError) {
        let finding = self.finding(object, line, error);
        self.content.findings.push(finding);
    }

    fn finding(&self, object: &str, line: u32, error: FieldError) -> Finding {
        let mut finding =
            Finding::new(FindingCode::WrongObject, error.message).at(self.context.file, line, 0).about(object);
        finding.field = Some(error.field).filter(|field| !field.is_empty());
        finding.help = error.help;
        finding
    }
}

/// The finding for `loser`, which stands behind `winner` and has the same key.
pub(crate) fn duplicate(key: &ObjectKey, loser: &Object, winner: &Object) -> Option<Finding> {
    let (loser, winner) = (loser.origin.as_ref()?, winner.origin.as_ref()?);
    let message = format!("also stands in {}:{}, which counts", winner.file, winner.line);
    let finding = Finding::new(FindingCode::DuplicateObject, message);
    Some(finding.at(&loser.file, loser.line, 0).about(key).help("keep one of them"))
}

/// Scope of the member `cluster`.
pub(crate) fn member_scope(cluster: &str) -> Scope {
    Scope::Member(ClusterName::from(cluster))
}

/// A part of a JSON object; `null` is none.
fn part(raw: Option<&RawValue>) -> Option<Node<'_>> {
    raw.map(RawValue::get).filter(|text| *text != "null").map(Node::Json)
}

fn no_object() -> FieldError {
    FieldError::about("", "is no Kubernetes object").help("write a map with apiVersion, kind and metadata")
}

fn not_a_list(depth: usize) -> FieldError {
    if depth >= MAX_LISTS {
        FieldError::about("items", format!("Lists stand in Lists more than {MAX_LISTS} deep"))
    } else {
        FieldError::about("items", "must be a list").help("write a list of objects")
    }
}
