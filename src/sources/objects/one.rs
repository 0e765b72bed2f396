//! One object as an API server sends it: the same facts as from a file, without file and line.
//!
//! Which kind it is, is known from the request; the server has selected by label already.

use std::{collections::HashSet, sync::Arc};

use mcdns_core::{
    check::{Finding, FindingCode, Severity},
    model::{Kind, Object, ObjectKey, Scope},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    facts,
    field::{FieldError, Node},
    part, wire,
};

/// Namespaces are few and repeated in every object, so they are shared.
pub(crate) type Namespaces = HashSet<Arc<str>>;

/// What an object says.
#[derive(Debug)]
pub(crate) struct One {
    /// Which object.
    pub(crate) key: ObjectKey,
    /// Trimmed; none if it does not exist for us: it is being deleted, says nothing to anybody, or is wrong.
    pub(crate) object: Option<Arc<Object>>,
    /// `metadata.resourceVersion`; empty where there is none.
    pub(crate) resource_version: String,
    /// It is of the wrong shape, so that nothing is known of what it says.
    pub(crate) wrong: bool,
    /// What is wrong with it.
    pub(crate) findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

/// Reads one object of `kind`, which is a JSON text. The error says why it is no object at all: then not even its name
/// is known.
pub(crate) fn read_one(text: &str, kind: Kind, scope: &Scope, namespaces: &mut Namespaces) -> Result<One, String> {
    let parts: Parts<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let metadata = part(parts.metadata).ok_or("an object without metadata")?;
    let meta: wire::Meta<'_> =
        metadata.read("metadata").map_err(|error| format!("{}: {}", error.field, error.message))?;
    let name = meta.name.as_ref().map(wire::Text::as_str).filter(|name| !name.is_empty());
    let name = name.ok_or("an object without a name")?;
    let namespace = meta.namespace.as_ref().map_or("", wire::Text::as_str);
    let namespace = namespaces.get(namespace).cloned().unwrap_or_else(|| {
        let shared: Arc<str> = namespace.into();
        namespaces.insert(Arc::clone(&shared));
        shared
    });
    let key = ObjectKey { scope: scope.clone(), kind, namespace, name: name.into() };
    let (mut findings, mut minor, mut wrong) = (Vec::new(), Vec::new(), false);
    let object = if meta.deletion_timestamp.is_some() {
        None
    } else {
        let created = facts::time(meta.creation_timestamp.as_ref(), "metadata.creationTimestamp", &mut minor);
        let fact = facts::fact(kind, &key.name, &meta, Node::Json(text), &mut minor).unwrap_or_else(|error| {
            findings.push(finding(&key, error));
            wrong = true;
            None
        });
        fact.map(|fact| {
            let uid = meta.uid.as_ref().map(|uid| uid.as_str().into());
            Arc::new(Object { fact, created, object_generation: meta.generation, uid, origin: None })
        })
    };
    findings.extend(minor.into_iter().map(|error| Finding { severity: Severity::Warning, ..finding(&key, error) }));
    let resource_version = meta.resource_version.map(|version| version.0.into_owned()).unwrap_or_default();
    Ok(One { key, object, resource_version, wrong, findings })
}

fn finding(key: &ObjectKey, error: FieldError) -> Finding {
    let mut finding = Finding::new(FindingCode::WrongObject, error.message).about(key);
    finding.field = Some(error.field).filter(|field| !field.is_empty());
    finding.help = error.help;
    finding
}

#[cfg(test)]
mod tests {
    use mcdns_core::model::{Fact, LoadBalancerItem};

    use super::*;

    fn read(text: &str, kind: Kind) -> Result<One, String> {
        read_one(text, kind, &Scope::Member("us".into()), &mut Namespaces::new())
    }

    #[test]
    fn of_a_service_only_its_load_balancer_is_kept() {
        let text = r#"{"metadata":{"name":"web","namespace":"shop","resourceVersion":"7","uid":"u1",
            "managedFields":[{"manager":"kubectl"}],"annotations":{"a":"b"}},
            "spec":{"clusterIP":"10.0.0.1"},"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}"#;
        let one = read(text, Kind::Service).expect("an object");
        assert_eq!(one.key, ObjectKey::member(&"us".into(), Kind::Service, "shop", "web"));
        assert_eq!(one.resource_version, "7");
        let object = one.object.expect("it counts");
        let item = LoadBalancerItem { ip: Some("192.0.2.1".into()), hostname: None };
        assert_eq!(object.fact, Fact::LoadBalancer(vec![item]));
        assert_eq!(object.uid.as_deref(), Some("u1"));
    }

    #[test]
    fn an_object_that_is_being_deleted_does_not_exist() {
        let text = r#"{"metadata":{"name":"web","deletionTimestamp":"2026-01-01T00:00:00Z"}}"#;
        let one = read(text, Kind::Service).expect("an object");
        assert!(one.object.is_none() && one.findings.is_empty());
    }

    #[test]
    fn a_wrong_object_is_left_out_by_name() {
        let text = r#"{"metadata":{"name":"web","namespace":"shop"},"status":{"loadBalancer":{"ingress":"none"}}}"#;
        let one = read(text, Kind::Service).expect("an object");
        assert!(one.object.is_none() && one.wrong);
        assert_eq!(one.findings[0].field.as_deref(), Some("status.loadBalancer.ingress"));
        assert_eq!(one.findings[0].object.as_deref(), Some("Service shop/web in us"));
    }

    #[test]
    fn what_has_no_name_is_no_object() {
        for text in ["{}", r#"{"metadata":{}}"#, r#"{"metadata":{"name":""}}"#, "[]", "{"] {
            assert!(read(text, Kind::Service).is_err(), "{text}");
        }
    }
}
