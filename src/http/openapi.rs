//! The OpenAPI document, made from the routes.

mod complete;
mod version_3_0;

use std::collections::HashMap;
use std::sync::LazyLock;

use actix_web::web::Data;
use actix_web::{App, HttpResponse};
use serde_json::Value;
use utoipa_actix_web::AppExt as _;

/// The document in both versions, and what the fallback needs of it.
pub struct Document {
    json: String,
    json_3_0: String,
    /// Each path's segments (`None` for a parameter) and methods.
    paths: Vec<(Vec<Option<String>>, Vec<String>)>,
    /// The `operationId` of each method (in capitals) and path.
    operations: HashMap<(String, String), String>,
}

static SHARED: LazyLock<Data<Document>> = LazyLock::new(|| Data::new(Document::new()));

impl Document {
    /// The one that all services of this process have.
    pub fn shared() -> Data<Self> {
        SHARED.clone()
    }

    /// The document of the routes.
    pub fn new() -> Self {
        let value = value();
        let items = || value.get("paths").and_then(Value::as_object).into_iter().flatten();
        let operations = items().flat_map(|(path, item)| {
            item.as_object().into_iter().flatten().filter_map(|(method, operation)| {
                Some(((method.to_uppercase(), path.clone()), operation["operationId"].as_str()?.to_owned()))
            })
        });
        let operations = operations.collect();
        let paths = items().map(|(path, item)| {
            let segments = path.split('/').map(|part| (!part.starts_with('{')).then(|| part.to_owned()));
            let methods = item.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase());
            (segments.collect(), methods.collect())
        });
        let paths = paths.collect();
        Self { json: pretty(&value), json_3_0: pretty(&version_3_0::convert(value)), paths, operations }
    }

    /// The document as OpenAPI 3.1 in JSON, as openapi/openapi.json has it.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The document as OpenAPI 3.0.3, for generators that know no newer version.
    pub fn json_3_0(&self) -> &str {
        &self.json_3_0
    }

    /// The `operationId` of the operation with this method and path, its parameters as they stand in the route.
    pub fn operation(&self, method: &str, path: &str) -> Option<&str> {
        self.operations.get(&(method.to_owned(), path.to_owned())).map(String::as_str)
    }

    /// The methods of the operations that have this path; none for an unknown path.
    pub fn methods_of(&self, path: &str) -> Vec<String> {
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |pattern: &[Option<String>]| {
            pattern.len() == segments.len()
                && pattern.iter().zip(&segments).all(|(part, segment)| match part {
                    Some(part) => part == segment,
                    None => !segment.is_empty(),
                })
        };
        let mut methods: Vec<String> = Vec::new();
        for (_, found) in self.paths.iter().filter(|(pattern, _)| fits(pattern)) {
            methods.extend(found.iter().cloned());
        }
        methods.sort();
        methods.dedup();
        methods
    }
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

/// The document as a value.
fn value() -> Value {
    let (_, collected) = App::new().into_utoipa_app().configure(super::described_routes).split_for_parts();
    let collected = serde_json::to_value(&collected).expect("the document has only JSON keys: a test reads it");
    complete::complete(collected)
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("a value has JSON");
    text.push('\n');
    text
}

/// Answers the OpenAPI 3.1 document.
pub async fn get_document(document: Data<Document>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document.json().to_owned())
}

/// Answers the OpenAPI 3.0.3 document.
pub async fn get_document_3_0(document: Data<Document>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document.json_3_0().to_owned())
}
