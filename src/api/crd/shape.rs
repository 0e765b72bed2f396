//! From a Rust type to a structural schema, which is what an API server takes (no references, one type for each field).
//!
//! Three things of a Rust type are no part of the schema: defaults (an API server would write them into objects), titles,
//! and what is optional in Rust being nullable (KubeFed's fields are not, but for the one that the limits name).

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// `properties` with `spec` and `status` of these types.
pub(super) fn spec_and_status<Spec: JsonSchema, Status: JsonSchema>() -> Value {
    let mut properties = Map::new();
    properties.insert("spec".to_owned(), of::<Spec>("What is wanted."));
    properties.insert("status".to_owned(), of::<Status>("What is; written by mcdns."));
    Value::Object(properties)
}

/// `properties` of a type whose fields are top-level.
pub(super) fn top_level<Object: JsonSchema>() -> Value {
    let mut schema = of::<Object>("");
    schema.get_mut("properties").map(Value::take).unwrap_or_default()
}

fn of<Type: JsonSchema>(description: &str) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
        settings.transforms.clear();
    });
    let mut schema = settings.into_generator().into_root_schema_for::<Type>().to_value();
    make_structural(&mut schema);
    if !description.is_empty() {
        schema["description"] = description.into();
    }
    schema
}

fn make_structural(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    for unwanted in ["default", "title", "required", "minimum", "maximum"] {
        members.remove(unwanted);
    }
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = &mut types[..] {
            let one = one.take();
            members.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::String(description)) = members.get_mut("description") {
        // Links of rustdoc are for rustdoc, and so are line ends.
        *description = description.replace("[`", "`").replace("`]", "`").replace('\n', " ");
    }
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        properties.values_mut().for_each(make_structural);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = members.get_mut(inner) {
            make_structural(inner);
        }
    }
}
