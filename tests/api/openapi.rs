//! The OpenAPI documents: checked in, complete, and true.

use std::collections::BTreeSet;
use std::time::Duration;

use ranq::http::Document;
use serde_json::{Map, Value, json};

use crate::support::{Answer, TestApp, document};

const DOCUMENT: &str = include_str!("../../openapi/openapi.json");
const DOCUMENT_3_0: &str = include_str!("../../openapi/openapi-3.0.json");

#[test]
fn the_documents_checked_in_are_those_of_the_routes() {
    let made = Document::new();
    assert!(DOCUMENT == made.json(), "openapi/openapi.json is out of date: run `make openapi`");
    assert!(DOCUMENT_3_0 == made.json_3_0(), "openapi/openapi-3.0.json is out of date: run `make openapi`");
}

#[tokio::test]
async fn the_service_gives_the_documents() {
    let app = TestApp::spawn().await;
    for (path, text) in [("/openapi.json", DOCUMENT), ("/openapi-3.0.json", DOCUMENT_3_0)] {
        let answer = app.get(path).await.is(200);
        assert_eq!((answer.header("content-type"), answer.text() == text), ("application/json", true), "{path}");
    }
    assert!(document()["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")));
    let older: Value = serde_json::from_str(DOCUMENT_3_0).expect("JSON");
    assert!(older["openapi"].as_str().is_some_and(|version| version.starts_with("3.0.")));
}

/// Calls `look` with every object inside and its JSON pointer.
fn each_object(value: &Value, pointer: &str, look: &mut impl FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            look(pointer, fields);
            for (name, inner) in fields {
                each_object(inner, &format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), look);
            }
        }
        Value::Array(items) => {
            for (number, inner) in items.iter().enumerate() {
                each_object(inner, &format!("{pointer}/{number}"), look);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    for text in [DOCUMENT, DOCUMENT_3_0] {
        let document: Value = serde_json::from_str(text).expect("JSON");
        let mut references = 0;
        each_object(&document, "", &mut |at, fields| {
            let Some(reference) = fields.get("$ref").and_then(Value::as_str) else { return };
            references += 1;
            let target = reference.strip_prefix('#').unwrap_or_else(|| panic!("{at} leads out of the document"));
            assert!(document.pointer(target).is_some(), "{at} leads to {reference}, which is not there");
        });
        assert!(references > 50);
    }
}

#[test]
fn every_component_is_used() {
    let text = DOCUMENT;
    for kind in ["schemas", "responses"] {
        for name in document()["components"][kind].as_object().expect("components").keys() {
            assert!(text.contains(&format!("\"#/components/{kind}/{name}\"")), "{kind}/{name} is used nowhere");
        }
    }
}

#[test]
fn the_older_document_has_nothing_that_3_0_does_not_know() {
    let document: Value = serde_json::from_str(DOCUMENT_3_0).expect("JSON");
    each_object(&document, "", &mut |at, fields| {
        // Names of fields are not keywords, and examples are anything.
        if at.ends_with("/properties") || at.contains("/example") {
            return;
        }
        for unknown in ["const", "propertyNames", "prefixItems", "unevaluatedProperties", "$defs", "contentMediaType"] {
            assert!(!fields.contains_key(unknown), "{at} has `{unknown}`");
        }
        assert!(!fields.get("type").is_some_and(Value::is_array), "{at} has several types");
        assert!(fields.get("type").is_none_or(|name| name != "null"), "{at} has the type null");
        for bound in ["exclusiveMinimum", "exclusiveMaximum"] {
            assert!(fields.get(bound).is_none_or(Value::is_boolean), "{at} has a number as `{bound}`");
        }
    });
}

struct Operation {
    at: String,
    method: String,
    path: String,
    value: &'static Value,
}

fn operations() -> Vec<Operation> {
    let paths = document()["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, item)| {
        item.as_object().expect("an item").iter().map(move |(method, value)| Operation {
            at: format!("{method} {path}"),
            method: method.clone(),
            path: path.clone(),
            value,
        })
    });
    all.collect()
}

#[test]
fn every_operation_says_what_it_is() {
    let declared: BTreeSet<&str> = document()["tags"]
        .as_array()
        .expect("tags")
        .iter()
        .map(|tag| {
            assert!(tag["description"].as_str().is_some_and(|text| !text.is_empty()), "{tag} has no description");
            tag["name"].as_str().expect("a name")
        })
        .collect();
    let (mut ids, mut used) = (BTreeSet::new(), BTreeSet::new());
    for operation in operations() {
        let (at, value) = (&operation.at, operation.value);
        let id = value["operationId"].as_str().unwrap_or_else(|| panic!("{at} has no operationId"));
        assert!(ids.insert(id), "{at}: operationId {id} is there twice");
        let tags: Vec<&str> = value["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(matches!(tags[..], [tag] if declared.contains(tag)), "{at} has the tags {tags:?}");
        used.extend(tags);
        assert!(value["summary"].as_str().is_some_and(|text| !text.is_empty()), "{at} has no summary");
        assert!(value["security"].is_array(), "{at} does not say whether it needs a token");
    }
    assert_eq!(used, declared, "every tag is used");
}

#[test]
fn every_parameter_is_declared_and_described() {
    for operation in operations() {
        let parameters = operation.value["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        for parameter in parameters {
            let name = parameter["name"].as_str().expect("a name");
            let described = parameter["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(described, "{}: {name} has no description", operation.at);
            assert!(parameter["schema"].is_object(), "{}: {name} has no schema", operation.at);
            assert_eq!(
                parameter["in"] == "path",
                operation.path.contains(&format!("{{{name}}}")),
                "{}: {name}",
                operation.at
            );
            if parameter["in"] == "path" {
                assert!(parameter.get("example").is_some(), "{}: {name} has no example", operation.at);
            }
        }
        let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
        assert_eq!(in_path, operation.path.matches('{').count(), "{}", operation.at);
    }
}

#[test]
fn every_request_body_has_an_example_that_its_schema_allows() {
    let mut bodies = 0;
    for operation in operations().iter().filter(|operation| operation.value.get("requestBody").is_some()) {
        let content = &operation.value["requestBody"]["content"];
        bodies += 1;
        let Some(content) = content.get("application/json") else {
            // Lines, which a schema does not look into.
            for (media_type, content) in content.as_object().expect("content") {
                let example = content["example"].as_str().unwrap_or_default();
                assert!(example.ends_with('\n'), "{} {media_type} has no example", operation.at);
            }
            continue;
        };
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "components": document()["components"],
            "allOf": [content["schema"]],
        });
        let validator = jsonschema::draft202012::new(&schema).expect("a schema");
        let faults: Vec<String> = validator.iter_errors(&content["example"]).map(|error| error.to_string()).collect();
        assert!(content["example"].is_object() && faults.is_empty(), "{}: {faults:?}", operation.at);
    }
    assert_eq!(bodies, 21);
}

#[test]
fn every_answer_is_described_and_has_a_schema() {
    for operation in operations() {
        let responses = operation.value["responses"].as_object().expect("responses");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{} never succeeds", operation.at);
        for (status, response) in responses {
            let response =
                response["$ref"].as_str().map_or(response, |it| document().pointer(&it[1..]).expect("there"));
            let described = response["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(described, "{} {status} has no description", operation.at);
            for (media_type, content) in response["content"].as_object().into_iter().flatten() {
                assert!(content["schema"].is_object(), "{} {status} {media_type} has no schema", operation.at);
            }
        }
    }
}

/// Sends what Swagger UI sends on "Execute" without a change: the examples of the path, the query and the body.
async fn execute(app: &TestApp, id: &str) {
    let (sent, answer) = answer_to(app, id).await;
    assert!((200..300).contains(&answer.status), "{id} {sent}: {} {}", answer.status, answer.text());
}

/// What a body is made of where it is not JSON.
fn first_content(operation: &'static Value) -> Option<(&'static str, &'static Value)> {
    let content = operation.pointer("/requestBody/content")?.as_object()?;
    content.iter().next().map(|(media_type, content)| (media_type.as_str(), content))
}

/// A value as it stands in an address; the items of a list have commas in between.
fn plain_text(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(plain_text).collect::<Vec<_>>().join(","),
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// The same with any answer, and what was sent.
async fn answer_to(app: &TestApp, id: &str) -> (String, Answer) {
    let found = operations().into_iter().find(|operation| operation.value["operationId"] == id);
    let operation = found.unwrap_or_else(|| panic!("there is no operation {id}"));
    let (mut path, mut query) = (operation.path.clone(), Vec::new());
    for parameter in operation.value["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().expect("a name");
        // Swagger UI fills in the example, or else the default.
        let value = parameter.get("example").or(parameter["schema"].get("default"));
        let text = value.map(plain_text);
        match (parameter["in"].as_str(), text) {
            (Some("path"), text) => path = path.replace(&format!("{{{name}}}"), &text.expect("an example")),
            (Some("query"), Some(text)) => query.push(format!("{name}={text}")),
            (_, None) => assert!(parameter["required"] != true, "{id}: {name} is required and has no example"),
            (_, Some(_)) => {}
        }
    }
    let method = operation.method.to_uppercase().leak();
    let mut request = app.request(method, format!("{path}?{}", query.join("&")).trim_end_matches('?'));
    if let Some(body) = operation.value.pointer("/requestBody/content/application~1json/example") {
        request = request.body(body.clone());
    } else if let Some((media_type, content)) = first_content(operation.value) {
        request = request.header("content-type", media_type).body(content["example"].as_str().expect("an example"));
    }
    (format!("{path}?{query:?}"), request.send().await)
}

#[tokio::test]
async fn every_example_works_as_it_stands() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let archive = format!("sqlite:{}", directory.path().join("jobs.db").display());
    let app = TestApp::with().set("archive_url", &archive).spawn().await;
    let order = [
        "health_live",
        "health_ready",
        "put_leaderboard",
        "submit_score",
        "submit_scores",
        "list_leaderboards",
        "get_leaderboard",
        "get_rankings",
        "get_member",
        "get_around_member",
        "get_member_rankings",
        "get_around_score",
        "lookup_members",
        "get_distribution",
        "list_segment_values",
        "list_periods",
        "list_snapshots",
        "export_leaderboard",
        "import_leaderboard",
        "put_ban",
        "get_ban",
        "list_bans",
        "delete_ban",
        "put_service_ban",
        "get_service_ban",
        "list_service_bans",
        "delete_service_ban",
        "adjust_member",
        "remove_members",
        "list_audit",
        "list_audit_log",
        "delete_member",
        "get_member_history",
        "erase_member",
        "close_window",
        "delete_leaderboard",
        "put_queue",
        "enqueue_job",
        "get_job",
        "enqueue_jobs",
        "get_queue",
        "list_queues",
        "list_jobs",
        "get_history",
        "purge_history",
        "list_workers",
        "pause_queue",
        "resume_queue",
        "put_schedule",
        "get_schedule",
        "list_schedules",
        "delete_schedule",
        "dequeue_jobs",
        "dequeue_several",
        "ack_jobs",
        "retry_job",
        "cancel_job",
        "redrive_jobs",
        "purge_jobs",
        "delete_queue",
        "create_token",
        "list_tokens",
        "metrics",
        "get_problem",
    ];
    // A lease is made by a dequeue: that of an example is nobody's.
    let of_a_lease = ["ack_job", "nack_job", "extend_lease"];
    let known: BTreeSet<&str> =
        operations().iter().filter_map(|operation| operation.value["operationId"].as_str()).collect();
    // Nor is the token of an example there: its id is drawn.
    let of_a_token = ["get_token", "rotate_token", "revoke_token"];
    // A stream has no end: tests/api/live.rs follows some.
    let without_end = ["watch_rankings"];
    let tried = order.into_iter().chain(of_a_lease).chain(of_a_token).chain(without_end);
    assert_eq!(known, tried.collect(), "every operation is tried");
    for id in order {
        // What a visitor may retry is scheduled or dead; and no example is to wait for a job in vain.
        match id {
            "retry_job" => {
                let jobs = app.jobs("emails", "active").await;
                let there = jobs.jobs().iter().any(|job| job["id"] == "welcome-ann");
                assert!(there, "the example of dequeue_jobs leases the one of enqueue_job");
                app.advance(Duration::from_secs(3600));
                let dead = json!({"id": "welcome-ann", "payload": 1, "delay_ms": 1000});
                app.delete("/v1/queues/emails").await.is(204);
                app.enqueue_job("emails", dead).await.is(201);
            }
            "dequeue_several" => drop(app.enqueue("critical", "soon").await),
            _ => {}
        }
        execute(&app, id).await;
        if id == "enqueue_job" {
            for id in of_a_lease {
                answer_to(&app, id).await.1.fails_with(409, "lease-lost");
            }
        }
    }
}

#[tokio::test]
async fn the_examples_work_in_the_order_in_which_a_visitor_tries_them() {
    let app = TestApp::spawn().await;
    for id in ["submit_scores", "put_leaderboard", "submit_score", "submit_score", "lookup_members", "put_leaderboard"]
    {
        execute(&app, id).await;
    }
}

#[tokio::test]
async fn docs_is_swagger_ui() {
    let app = TestApp::spawn().await;
    for (path, target) in [("/", "/docs/"), ("/docs", "/docs/")] {
        let answer = app.get(path).await;
        assert!((300..400).contains(&answer.status), "{path}: {}", answer.status);
        assert_eq!(answer.header("location"), target, "{path}");
    }
    let page = app.get("/docs/").await.is(200);
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    assert!(page.text().contains("swagger-ui"));
    let assets: Vec<&str> =
        page.text().split('"').filter(|text| [".js", ".css", ".png"].iter().any(|end| text.ends_with(end))).collect();
    assert!(assets.len() >= 3, "{assets:?} in {}", page.text());
    for asset in assets {
        let answer = app.get(format!("/docs/{}", asset.trim_start_matches("./"))).await.is(200);
        assert!(!answer.body.is_empty(), "{asset}");
    }
    let start = app.get("/docs/swagger-initializer.js").await.is(200);
    assert!(start.text().contains("/openapi.json"), "it shows this service's document");
}

#[tokio::test]
async fn what_swagger_ui_does_not_have_is_not_found() {
    let app = TestApp::spawn().await;
    app.get("/docs/nothing.js").await.fails_with(404, "not-found");
}
