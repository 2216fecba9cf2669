//! The document as OpenAPI 3.0.3, which has no null type, no type lists, no property names and no licence
//! identifiers.

use serde_json::{Value, json};

/// Rewrites a 3.1 document.
pub(super) fn convert(mut document: Value) -> Value {
    document["openapi"] = json!("3.0.3");
    document["info"]["license"] = json!({"name": document["info"]["license"]["name"]});
    rewrite(&mut document);
    document
}

fn rewrite(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(rewrite),
        Value::Object(_) => {
            nullable_type(value);
            nullable_choice(value);
            lone_reference(value);
            if let Some(object) = value.as_object_mut() {
                object.remove("propertyNames");
            }
            // Roles of a bearer scheme are new in 3.1.
            if let Some(roles) = value.get_mut("token").filter(|token| token.is_array()) {
                *roles = json!([]);
            }
            value.as_object_mut().into_iter().flatten().for_each(|(_, inner)| rewrite(inner));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `type: [x, "null"]` becomes `type: x, nullable: true`.
fn nullable_type(value: &mut Value) {
    let Some(types) = value.get("type").and_then(Value::as_array) else { return };
    let first = types.iter().find(|name| *name != "null").cloned();
    let nullable = types.iter().any(|name| name == "null");
    if let Some(first) = first {
        value["type"] = first;
    }
    if nullable {
        value["nullable"] = json!(true);
    }
}

/// `oneOf: [{type: "null"}, x]` becomes `allOf: [x], nullable: true`.
fn nullable_choice(value: &mut Value) {
    let Some(choices) = value.get("oneOf").and_then(Value::as_array) else { return };
    let others: Vec<Value> = choices.iter().filter(|choice| choice["type"] != "null").cloned().collect();
    if others.len() == choices.len() {
        return;
    }
    if let Some(object) = value.as_object_mut() {
        object.remove("oneOf");
    }
    // Its own default of null would have to be an object, say linters.
    if let Some(object) = value.as_object_mut().filter(|object| object.get("default") == Some(&Value::Null)) {
        object.remove("default");
    }
    value["type"] = json!("object");
    value["allOf"] = Value::Array(others);
    value["nullable"] = json!(true);
}

/// `$ref` with siblings, which 3.0 drops, becomes `allOf: [$ref]` with them.
fn lone_reference(value: &mut Value) {
    let Some(object) = value.as_object_mut().filter(|object| object.len() > 1) else { return };
    if let Some(reference) = object.remove("$ref") {
        object.insert("allOf".to_owned(), json!([{"$ref": reference}]));
    }
}
