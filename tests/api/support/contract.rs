//! Holds every answer against openapi/openapi.json.

use std::collections::HashMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::Answer;

/// The document as it is checked in.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../openapi/openapi.json")).expect("the document is JSON")
});

/// The validator of each body schema, by the schema's text.
static VALIDATORS: LazyLock<HashMap<String, Validator>> = LazyLock::new(|| {
    let mut schemas = vec![problem_schema()];
    for (path, item) in members(&DOCUMENT["paths"]) {
        for (method, operation) in members(item) {
            for (status, response) in members(&operation["responses"]) {
                let content = &resolved(response)["content"];
                schemas.extend(members(content).filter(|(media_type, _)| is_json(media_type)).map(|(_, content)| {
                    assert!(content["schema"].is_object(), "{method} {path} {status} has content without a schema");
                    content["schema"].clone()
                }));
            }
        }
    }
    schemas.into_iter().map(|schema| (schema.to_string(), validator(&schema))).collect()
});

const PROBLEM_JSON: &str = "application/problem+json";

/// Paths that serve people and tools and are no operations of the document.
const BESIDE_THE_DOCUMENT: [&str; 5] = ["/", "/docs", "/docs/*", "/openapi.json", "/openapi-3.0.json"];

pub fn document() -> &'static Value {
    &DOCUMENT
}

/// Panics where an answer is not as the document says.
#[track_caller]
pub fn check(method: &str, target: &str, answer: &Answer) {
    if let Err(fault) = fault_of(method, target, answer) {
        panic!(
            "{method} {target} answered {} against openapi/openapi.json: {fault}\n{:?}\n{}",
            answer.status,
            answer.headers,
            String::from_utf8_lossy(&answer.body)
        );
    }
}

/// What of an answer is not as the document says.
pub fn fault_of(method: &str, target: &str, answer: &Answer) -> Result<(), String> {
    fault(method, target.split(['?', '#']).next().unwrap_or(target), answer)
}

/// Panics where an answer is a problem that is not as the document says.
#[track_caller]
pub fn check_problem_of(answer: &Answer) {
    if answer.header("content-type").starts_with(PROBLEM_JSON)
        && let Err(fault) = check_problem(answer)
    {
        panic!("{fault}: {:?}\n{}", answer.headers, answer.text());
    }
}

fn fault(method: &str, path: &str, answer: &Answer) -> Result<(), String> {
    require(!answer.header("x-request-id").is_empty(), || "there is no x-request-id".to_owned())?;
    let media_type = answer.header("content-type").split(';').next().unwrap_or("").trim();
    if media_type == PROBLEM_JSON {
        check_problem(answer)?;
    } else {
        require(answer.status < 400 || path == "/health/ready", || "an error is not a problem".to_owned())?;
    }
    let templates = templates_of(path);
    let Some(operation) = templates.iter().find_map(|item| item.get(method.to_lowercase())) else {
        return check_without_operation(path, !templates.is_empty(), answer);
    };
    let response = &operation["responses"][answer.status.to_string()];
    require(response.is_object(), || "the status is not documented".to_owned())?;
    let response = resolved(response);
    for (name, header) in members(&response["headers"]) {
        require(header["required"] == false || !answer.header(name).is_empty(), || {
            format!("the documented header {name} is missing")
        })?;
    }
    let Some(content) = response["content"].as_object() else {
        return require(answer.body.is_empty(), || "a body is not documented".to_owned());
    };
    let documented = content.get(media_type);
    let documented = documented.ok_or_else(|| format!("the content type `{media_type}` is not documented"))?;
    if is_json(media_type) { check_body(&documented["schema"], answer) } else { Ok(()) }
}

/// What no operation answers: 405 where the path has other methods, 404 elsewhere.
fn check_without_operation(path: &str, path_is_known: bool, answer: &Answer) -> Result<(), String> {
    let beside = BESIDE_THE_DOCUMENT.iter().any(|known| match known.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => *known == path,
    });
    match (answer.status, answer.slug()) {
        (405, "method-not-allowed") if path_is_known || beside => {
            require(!answer.header("allow").is_empty(), || "there is no Allow".to_owned())
        }
        (404, "not-found") if !path_is_known => Ok(()),
        (400, "malformed-request") => Ok(()),
        (200..400, _) if beside => Ok(()),
        _ => Err("the document has no such operation".to_owned()),
    }
}

fn check_problem(answer: &Answer) -> Result<(), String> {
    check_body(&problem_schema(), answer)?;
    require(answer["status"] == answer.status, || "the problem has another status".to_owned())?;
    require(!answer.slug().is_empty(), || "the type is not a page of this service".to_owned())?;
    require(answer["instance"] == answer.header("x-request-id"), || "instance is not the request's id".to_owned())?;
    let named = answer.pointers().len();
    require((answer.slug() == "invalid") == (named > 0), || format!("{named} errors are named"))
}

fn check_body(schema: &Value, answer: &Answer) -> Result<(), String> {
    let body: Value = serde_json::from_slice(&answer.body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let validator = VALIDATORS.get(&schema.to_string()).ok_or("the schema is not compiled")?;
    let faults: Vec<String> =
        validator.iter_errors(&body).map(|error| format!("{} at `{}`", error, error.instance_path())).collect();
    require(faults.is_empty(), || faults.join("; "))
}

fn require(holds: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault()) }
}

/// The path items that fit, those with the most literal segments first.
fn templates_of(path: &str) -> Vec<&'static Value> {
    let segments: Vec<&str> = path.split('/').collect();
    let mut fitting: Vec<(usize, &Value)> = members(&DOCUMENT["paths"])
        .filter_map(|(template, item)| {
            let parts: Vec<&str> = template.split('/').collect();
            let fits = parts.len() == segments.len()
                && parts
                    .iter()
                    .zip(&segments)
                    .all(|(part, segment)| if part.starts_with('{') { !segment.is_empty() } else { part == segment });
            fits.then(|| (parts.iter().filter(|part| part.starts_with('{')).count(), item))
        })
        .collect();
    fitting.sort_by_key(|(parameters, _)| *parameters);
    fitting.into_iter().map(|(_, item)| item).collect()
}

fn problem_schema() -> Value {
    json!({"$ref": "#/components/schemas/Problem"})
}

/// The value itself, or what its `$ref` points to.
fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
        None => value,
    }
}

fn members(value: &'static Value) -> impl Iterator<Item = (&'static str, &'static Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || media_type.ends_with("+json")
}

fn validator(schema: &Value) -> Validator {
    let mut whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": {"schemas": DOCUMENT["components"]["schemas"]},
        "allOf": [schema],
        "unevaluatedProperties": false,
    });
    for (_, schema) in whole["components"]["schemas"].as_object_mut().expect("there are schemas") {
        close(schema, true);
    }
    let built = jsonschema::draft202012::options().should_validate_formats(true).build(&whole);
    built.unwrap_or_else(|error| panic!("{schema} is not a schema: {error}"))
}

/// Refuses fields that the document does not name, wherever a value refers to a schema. The parts of a combination
/// stay open, since each names some of the fields.
fn close(schema: &mut Value, is_part: bool) {
    match schema {
        Value::Object(fields) => {
            if !is_part && (fields.contains_key("$ref") || fields.contains_key("properties")) {
                fields.insert("unevaluatedProperties".to_owned(), json!(false));
            }
            for (name, inner) in fields {
                match name.as_str() {
                    "properties" => inner.as_object_mut().into_iter().flatten().for_each(|(_, it)| close(it, false)),
                    "allOf" => inner.as_array_mut().into_iter().flatten().for_each(|it| close(it, true)),
                    "items" | "additionalProperties" | "oneOf" | "anyOf" => close(inner, false),
                    _ => {}
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| close(item, is_part)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: &str = "/v1/leaderboards/race";
    const LIVE: &str = r#"{"status":"ok","version":"1"}"#;

    fn answer(status: u16, media_type: &str, body: &str) -> Answer {
        let headers = [("x-request-id", "r1"), ("content-type", media_type)];
        let headers = headers
            .into_iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect();
        Answer::new(status, headers, body.as_bytes().to_vec())
    }

    fn problem(status: u16, slug: &str, rest: &str) -> Answer {
        let text = format!(
            r#"{{"type":"/problems/{slug}","title":"t","status":{status},"detail":"d","retryable":false{rest}}}"#
        );
        answer(status, PROBLEM_JSON, &text)
    }

    #[track_caller]
    fn assert_fault(method: &str, path: &str, answer: &Answer, part: &str) {
        let found = fault(method, path, answer).expect_err("a fault is found");
        assert!(found.contains(part), "{found}");
    }

    #[test]
    fn answers_as_documented_pass() {
        assert_eq!(fault("GET", "/health/live", &answer(200, "application/json", LIVE)), Ok(()));
        let missing = problem(404, "not-found", r#","instance":"r1""#);
        assert_eq!(fault("GET", BOARD, &missing), Ok(()));
        assert_eq!(fault("GET", "/nothing", &missing), Ok(()));
        assert_eq!(fault("DELETE", BOARD, &answer(204, "", "")), Ok(()));
    }

    #[test]
    fn what_is_not_documented_is_found() {
        assert_fault("GET", "/health/live", &answer(202, "application/json", LIVE), "status is not documented");
        assert_fault("GET", "/health/live", &answer(200, "text/plain", LIVE), "content type `text/plain`");
        assert_fault("GET", "/nothing", &answer(200, "application/json", LIVE), "no such operation");
        assert_fault("POST", "/health/live", &answer(200, "application/json", LIVE), "no such operation");
        assert_fault("DELETE", BOARD, &answer(204, "application/json", "{}"), "a body is not documented");
    }

    #[test]
    fn bodies_of_another_form_are_found() {
        for (body, part) in [
            (r#"{"status":"ok"}"#, "version"),
            (r#"{"status":"ok","version":1}"#, "/version"),
            (r#"{"status":"ok","version":"1","more":1}"#, "more"),
            ("{", "not JSON"),
        ] {
            assert_fault("GET", "/health/live", &answer(200, "application/json", body), part);
        }
        let entry = r#"{"rank":1,"member":"a","score":1,"colour":"red"}"#;
        let list = format!(r#"{{"leaderboard":"race","window":"w","period":"p","total":1,"entries":[{entry}]}}"#);
        assert_fault("GET", &format!("{BOARD}/rankings"), &answer(200, "application/json", &list), "colour");
    }

    #[test]
    fn problems_of_another_form_are_found() {
        assert_fault("GET", BOARD, &problem(404, "not-found", ""), "instance");
        assert_fault("GET", BOARD, &problem(404, "not-found", r#","instance":"r2""#), "instance");
        assert_fault("GET", BOARD, &problem(422, "invalid", r#","instance":"r1""#), "errors are named");
        assert_fault("GET", BOARD, &problem(409, "conflict", r#","instance":"r1""#), "status is not documented");
        assert_fault("GET", BOARD, &problem(503, "store-unavailable", r#","instance":"r1""#), "Retry-After");
        assert_fault("GET", BOARD, &problem(405, "method-not-allowed", r#","instance":"r1""#), "not documented");
        assert_fault("POST", BOARD, &problem(405, "method-not-allowed", r#","instance":"r1""#), "Allow");
        assert_fault("GET", "/nothing", &answer(404, "", ""), "not a problem");
    }
}
