//! The difference of two objects as a JSON patch (RFC 6902), for overlays of Kustomize.
//!
//! Only maps are looked into; a list that differs is replaced as a whole, because an index into a list of containers
//! or ports says nothing to a reader and breaks with the next insertion.

use serde_json::{Value, json};

/// Operations that make `new` of `old`, in the order of their paths.
pub(super) fn between(old: &Value, new: &Value) -> Vec<Value> {
    let mut operations = Vec::new();
    compare("", old, new, &mut operations);
    operations
}

fn compare(path: &str, old: &Value, new: &Value, operations: &mut Vec<Value>) {
    if let (Value::Object(old), Value::Object(new)) = (old, new) {
        let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
            match (old.get(key), new.get(key)) {
                (Some(old), Some(new)) => compare(&path, old, new, operations),
                (None, Some(new)) => operations.push(json!({"op": "add", "path": path, "value": new})),
                (Some(_), None) => operations.push(json!({"op": "remove", "path": path})),
                (None, None) => {}
            }
        }
    } else if old != new {
        operations.push(json!({"op": "replace", "path": path, "value": new}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part of RFC 6902 that is used here.
    fn apply(object: &mut Value, operations: &[Value]) {
        for operation in operations {
            let path = operation["path"].as_str().expect("a path");
            let (parent, key) = path.rsplit_once('/').expect("a path below the top");
            let key = key.replace("~1", "/").replace("~0", "~");
            let map = object.pointer_mut(parent).and_then(Value::as_object_mut).expect("a map");
            match operation["op"].as_str() {
                Some("remove") => assert!(map.remove(&key).is_some()),
                Some("add") => assert!(map.insert(key, operation["value"].clone()).is_none()),
                _ => assert!(map.insert(key, operation["value"].clone()).is_some()),
            }
        }
    }

    #[test]
    fn a_patch_leads_from_one_object_to_the_other() {
        let old = json!({"a": {"b": 1, "c/d": [1, 2], "gone": {}}, "same": [1]});
        let new = json!({"a": {"b": 2, "c/d": [1], "new~": {"x": 1}}, "same": [1]});
        let operations = between(&old, &new);
        let mut patched = old.clone();
        apply(&mut patched, &operations);
        assert_eq!(patched, new);
        assert_eq!(operations.len(), 4);
        assert!(between(&new, &new).is_empty());
    }
}
