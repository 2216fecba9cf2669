//! Every operation of the document with inputs at random: never a 5xx, never a hang, and every answer as the document says.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::documents::json as json_text;
use crate::exchange::Outcome;
use crate::hold;
use crate::service::Service;
use crate::support::{contract, document, encoded};
use crate::texts::{number, text};

const CASES: u32 = 300;
/// What stands in a body for a text that is put in as it is.
const HOLE: &str = "@hole@";
/// What is put among the bytes of a body; where it is nothing, the body ends there.
const ODD_BYTES: [&[u8]; 7] = [b"\xff", b"\xef\xbb\xbf", b"\0", b"\"", b"}", b"\\u", b""];

/// An operation of the document.
#[derive(Debug, Clone)]
struct Operation {
    method: String,
    path: String,
    parameters: Vec<String>,
    bodies: Vec<(String, String)>,
}

/// A request as it is sent, but for what answers have told before it.
#[derive(Clone)]
struct Wanted {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<(String, Vec<u8>)>,
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.method, self.target)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {:?}", String::from_utf8_lossy(value))?;
        }
        let body = self.body.as_ref().map(|(media_type, body)| (media_type, String::from_utf8_lossy(body)));
        write!(f, "{body:?}")
    }
}

fn operations() -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in document()["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
            let content = operation["requestBody"]["content"].as_object().cloned().unwrap_or_default();
            let example = |content: &Value| match &content["example"] {
                Value::String(text) => text.clone(),
                other => other.to_string().replace("5000", "1"),
            };
            operations.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                parameters: in_query.filter_map(|parameter| parameter["name"].as_str()).map(str::to_owned).collect(),
                bodies: content.iter().map(|(media_type, content)| (media_type.clone(), example(content))).collect(),
            });
        }
    }
    operations
}

/// Bodies with more in them than the document's examples, which fit several operations.
fn rich_bodies() -> Vec<String> {
    let windows =
        json!([{"name": "all_time"}, {"name": "weekly", "reset": "0 0 * * MON", "timezone": "Asia/Seoul", "keep": 2}]);
    let reward =
        json!({"window": "weekly", "from_rank": 1, "to_rank": 3, "queue": "rewards", "payload": {"gems": 500}});
    [
        json!({"order": "ascending", "operator": "sum", "ties": "latest", "windows": windows, "segments": ["country", "platform"],
            "subscores": [{"name": "time", "order": "ascending"}], "min_score": -5, "max_score": 1e9,
            "submission_limit": {"limit": 10, "per_ms": 60000}, "max_entries": 3, "snapshots": {"top": 2, "keep": 2}, "rewards": [reward]}),
        json!({"operator": "sum", "half_life_ms": 86_400_000}),
        json!({"member": "@member@", "score": 7.25, "subscores": {"time": 1}, "metadata": {"a": [1]}, "segments": {"country": "KR"},
            "if_period": {"weekly": "@period@"}}),
        json!({"scores": [{"member": "alice", "score": 1}, {"member": "alice", "score": 2, "idempotency_key": "k"}, {"member": "x", "score": "y"}]}),
        json!({"lease_ms": 1000, "max_attempts": 3, "backoff": {"kind": "fixed", "base_ms": 1, "max_ms": 2, "jitter": 0.5},
            "retention_ms": 1, "dead_retention_ms": 1, "retention_count": 1, "max_concurrency": 2, "rate_limit": {"limit": 5, "per_ms": 1000},
            "keys": {"max_concurrency": 1, "rate_limit": {"limit": 1, "per_ms": 1000}, "fair": true}, "paused": false}),
        json!({"payload": {"a": 1}, "id": "@id@", "priority": 9, "delay_ms": 1, "max_attempts": 2, "key": "k", "unique_key": "u",
            "unique_until": "started", "unique_for_ms": 5, "on_duplicate": "replace", "expires_in_ms": 5, "headers": {"a": "b"}}),
        json!({"payload": 1, "run_at": "2026-11-23T05:41:00.000Z"}),
        json!({"jobs": [{"payload": 1}, {"payload": 2, "id": "same"}, {"payload": 3, "id": "same"}, {"nonsense": true}]}),
        json!({"worker": "w", "limit": 2, "wait_ms": 1, "lease_ms": 1000, "ack": [{"id": "@id@", "lease": "@lease@", "result": 1}]}),
        json!({"queues": ["emails", "plain"], "order": "weighted", "weights": {"emails": 2}, "wait_ms": 1}),
        json!({"acks": [{"id": "@id@", "lease": "@lease@"}, {"id": "@id@", "lease": "1-x"}]}),
        json!({"lease": "@lease@", "result": {"a": 1}}),
        json!({"lease": "@lease@", "error": "no", "retry_in_ms": 1, "dead": false}),
        json!({"lease": "@lease@", "lease_ms": 1000, "progress": 0.5}),
        json!({"cron": "*/5 * * * * *", "timezone": "Europe/Berlin", "payload": 1, "priority": 1, "catch_up": true}),
        json!({"limit": 5, "to": "plain"}),
        json!({"score": 5, "subscores": {"time": 1}, "metadata": 1, "window": "weekly", "reason": "why"}),
        json!({"members": ["alice", "@member@", "nobody"]}),
        json!({"reason": "because", "shadow": true}),
    ]
    .iter()
    .map(Value::to_string)
    .collect()
}

/// A value that some rule forbids, as text.
fn odd_value() -> impl Strategy<Value = String> {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let odd = [
        "null",
        "true",
        "-1",
        "0",
        "1",
        "2",
        "1.5",
        "-0",
        "1e400",
        "1e308",
        "-1e308",
        "18446744073709551616",
        "9007199254740993",
        "1001",
        "\"\"",
        "\"a\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"open\"",
        "\"all_time\"",
        "\"weekly\"",
        "\"@period@\"",
        "\"@id@\"",
        "\"@lease@\"",
        "\"@cursor@\"",
        "\"9999-12-31T23:59:59.999Z\"",
        "\"-009999-01-01T00:00:00Z\"",
        "\"1970-01-01T00:00:00Z\"",
        "\"2026-11-23T05:40:00.0000001+05:30\"",
        "\"0 0 31 2 *\"",
        "\"* * * * * *\"",
        "\"Europe/Berlin\"",
        "\"country:KR\"",
        "\"emails\"",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "[null]",
        "{\"\":1}",
        "{\"a\":1,\"a\":2}",
        "315360000000",
        "315360000001",
        "43200001",
        "NaN",
        "\u{feff}1",
        "'a'",
        "1,",
        "\"a",
    ];
    prop_oneof![
        4 => select(odd.map(str::to_owned).to_vec()),
        1 => number(),
        1 => json_text(),
        1 => text().prop_map(|text| json!(text).to_string()),
        1 => select(vec![deep(20), deep(31), deep(33), deep(5000), json!("x".repeat(129)).to_string(), json!("ä".repeat(64)).to_string(),
            json!("x".repeat(5000)).to_string(), json!(vec![0; 1001]).to_string()]),
    ]
}

/// A JSON text of which a few values or fields are others.
fn mutated(body: String) -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0..6_u8, odd_value(), select(names()));
    vec(change, 0..3).prop_map(move |changes| {
        let Ok(mut value) = serde_json::from_str::<Value>(&body) else { return body.clone() };
        let mut odd = Vec::new();
        for (place, kind, text, name) in changes {
            let hole = format!("{HOLE}{}", odd.len());
            let mut left = place.index(nodes(&value).max(1));
            change_at(&mut value, &mut left, kind, &name, &hole);
            odd.push((hole, text));
        }
        odd.into_iter().rev().fold(value.to_string(), |body, (hole, text)| body.replace(&format!("\"{hole}\""), &text))
    })
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Object(fields) => fields.values().map(nodes).sum(),
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Changes the node that is so many further on.
fn change_at(value: &mut Value, left: &mut usize, kind: u8, name: &str, hole: &str) {
    if *left == 0 {
        *left = usize::MAX;
        match (kind, &mut *value) {
            (0, Value::Object(fields)) => drop(fields.insert(name.to_owned(), json!(hole))),
            (1, Value::Object(fields)) => drop(fields.keys().next_back().cloned().map(|last| fields.remove(&last))),
            (2, Value::Array(items)) => items.push(json!(hole)),
            (3, Value::Array(items)) => items.extend(items.clone()),
            _ => *value = json!(hole),
        }
        return;
    }
    *left -= 1;
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|inner| go_on(inner, left, kind, name, hole)),
        Value::Array(items) => items.iter_mut().for_each(|inner| go_on(inner, left, kind, name, hole)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn go_on(value: &mut Value, left: &mut usize, kind: u8, name: &str, hole: &str) {
    if *left != usize::MAX {
        change_at(value, left, kind, name, hole);
    }
}

/// The names of all fields of the document's schemas.
fn names() -> Vec<String> {
    let schemas = document()["components"]["schemas"].as_object().expect("schemas").values();
    let fields =
        schemas.filter_map(|schema| schema["properties"].as_object()).flat_map(|fields| fields.keys().cloned());
    fields.filter(|name| name != "wait_ms").collect()
}

/// A value of a path or a query.
fn parameter(name: &str) -> BoxedStrategy<String> {
    let usual: &[&str] = match name {
        "leaderboard" => &["race", "laps", "new"],
        "leaderboards" => &["race,laps", "race,,x", "race"],
        "queue" => &["emails", "plain", "new"],
        "window" => &["all_time", "weekly"],
        "schedule" => &["nightly"],
        "member" => &["alice", "bob", "@member@"],
        "segment" => &["country", "country:KR", "country:KR,platform:ios"],
        "id" => &["@id@", "welcome-ann"],
        "cursor" => &["@cursor@"],
        "period" | "since" => &["open", "@period@", "2026-11-23T00:00:00.000Z"],
        "ranking" => &["dense", "competition", "ordinal"],
        "state" => &["dead", "completed", "ready"],
        "format" => &["csv", "ndjson"],
        "wait_ms" => &["0", "1"],
        "score" | "min_score" | "max_score" => &["3", "-1e300", "0.1"],
        _ => &["1", "5", "true"],
    };
    let usual: Vec<String> = usual.iter().map(|text| (*text).to_owned()).collect();
    prop_oneof![
        6 => select(usual),
        1 => text().prop_map(|text| encoded(&text)),
        1 => number().prop_map(|text| encoded(&text)),
        1 => select(&["%", "%zz", "%ff", "%00", "%2e%2e", "..", ".", "%2F", "a%2fb", "+", "%c0%af", "@cursor@x", "AQ", "%F0%9F%A6%80"][..]).prop_map(str::to_owned),
    ]
    .boxed()
}

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = select(
        &[
            "Idempotency-Key",
            "X-Request-Id",
            "traceparent",
            "If-None-Match",
            "Last-Event-ID",
            "Accept",
            "Authorization",
            "Range",
            "Expect",
            "X-Any",
        ][..],
    );
    let value = prop_oneof![
        "[!-~]{0,140}",
        select(
            &[
                "*",
                "@tag@",
                "W/\"",
                "\"a\",\"b\" , W/\"c\"",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "00-0-0-0",
                "bytes=0-1",
                "Bearer a",
                "0000000000000000",
                "-1"
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    let bytes = prop_oneof![
        4 => value.prop_map(String::into_bytes),
        1 => vec(prop_oneof![32..127_u8, 128..=255_u8, Just(b'\t')], 0..200),
    ];
    (name.prop_map(str::to_owned), bytes)
}

fn body(operation: &Operation) -> BoxedStrategy<Option<(String, Vec<u8>)>> {
    let media_type = operation.bodies.first().map_or("application/json", |(media_type, _)| media_type).to_owned();
    let mut seeds: Vec<String> = operation.bodies.iter().map(|(_, text)| text.clone()).collect();
    let own = seeds.clone();
    seeds.extend(rich_bodies());
    let near = prop_oneof![if own.is_empty() { select(seeds.clone()) } else { select(own) }, select(seeds)];
    let text = prop_oneof![8 => near.prop_flat_map(mutated), 1 => odd_value(), 1 => json_text()];
    // Bytes that are others, in few.
    let broken = proptest::option::weighted(0.1, (any::<prop::sample::Index>(), select(ODD_BYTES.to_vec())));
    let bytes = (text, broken).prop_map(|(text, broken)| {
        let mut bytes = text.into_bytes();
        if let Some((place, odd)) = broken {
            let at = place.index(bytes.len() + 1);
            if odd.is_empty() { bytes.truncate(at) } else { bytes.splice(at..at, odd.iter().copied()).for_each(drop) }
        }
        bytes
    });
    let media_type = prop_oneof![
        9 => Just(media_type),
        1 => select(&["application/json; charset=utf-8", "text/csv", "application/x-ndjson", "text/plain", "", "application/JSON", "a/b;c=\"d"][..]).prop_map(str::to_owned),
    ];
    let likely = if operation.bodies.is_empty() { 0.1 } else { 0.95 };
    proptest::option::weighted(likely, (media_type, bytes)).boxed()
}

fn wanted(operation: &Operation) -> impl Strategy<Value = Wanted> + use<> {
    let in_path: Vec<_> = operation
        .path
        .split('/')
        .map(|part| match part.strip_prefix('{') {
            Some(name) => parameter(name.trim_end_matches('}')),
            None => Just(part.to_owned()).boxed(),
        })
        .collect();
    let in_query = vec(
        (
            select(if operation.parameters.is_empty() {
                vec!["limit".to_owned()]
            } else {
                operation.parameters.clone()
            }),
            Just(()),
        ),
        0..4,
    )
    .prop_flat_map(|names| {
        names
            .into_iter()
            .map(|(name, ())| {
                let value = parameter(&name);
                value.prop_map(move |value| format!("{name}={value}"))
            })
            .collect::<Vec<_>>()
    });
    let odd_query = proptest::option::weighted(0.05, "[!$-;=?-~]{0,12}");
    let method = prop_oneof![30 => Just(operation.method.clone()), 1 => select(&["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"][..]).prop_map(str::to_owned)];
    (method, in_path, in_query, odd_query, vec(header(), 0..3), body(operation)).prop_map(
        |(method, path, query, odd, headers, body)| {
            let query: Vec<String> = query.into_iter().chain(odd).collect();
            let path = path.join("/");
            let target = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
            Wanted { method, target, headers, body }
        },
    )
}

impl Wanted {
    fn bytes(&self, service: &Service) -> (String, Vec<u8>) {
        let target = service.told(&self.target, encoded);
        let mut bytes = format!("{} {target} HTTP/1.1\r\nHost: ranq\r\n", self.method).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            match std::str::from_utf8(value) {
                Ok(text) => bytes.extend_from_slice(service.told(text, str::to_owned).as_bytes()),
                Err(_) => bytes.extend_from_slice(value),
            }
            bytes.extend_from_slice(b"\r\n");
        }
        if let Some((media_type, body)) = &self.body {
            let body = match std::str::from_utf8(body) {
                Ok(text) => service.told(text, in_json).into_bytes(),
                Err(_) => body.clone(),
            };
            bytes.extend_from_slice(
                format!("Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
            );
            bytes.extend_from_slice(&body);
        } else {
            bytes.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        }
        (target, bytes)
    }
}

/// A text as a part of a string of JSON.
fn in_json(text: &str) -> String {
    json!(text).to_string().trim_matches('"').to_owned()
}

#[test]
fn no_request_is_too_odd_for_an_answer() {
    let service = Service::new();
    let operations: Vec<_> = operations().iter().map(|operation| wanted(operation).boxed()).collect();
    let any = prop::strategy::Union::new(operations);
    hold("requests", CASES, &any, |wanted| {
        let (target, bytes) = wanted.bytes(&service);
        match service.send(&bytes) {
            Outcome::Answered(answer) => {
                prop_assert!(answer.status < 500, "{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
                // Of a stream only the head was read. Payloads come back as they were sent, with numbers that the check cannot read.
                let is_stream = answer.header("content-type").starts_with("text/event-stream");
                let is_beyond = serde_json::from_slice::<IgnoredAny>(&answer.body).is_ok() && answer.json().is_null();
                if !is_stream && !is_beyond {
                    let fault = contract::fault_of(&wanted.method, &target, &answer);
                    let text = String::from_utf8_lossy(&answer.body);
                    prop_assert!(fault.is_ok(), "{target} {}: {fault:?}: {text}", answer.status);
                }
            }
            other => prop_assert!(false, "{other:?}"),
        }
        Ok(())
    });
    service.end();
}

/// Whatever is a request or nearly one.
#[test]
fn no_bytes_are_too_odd_for_the_service() {
    let service = Service::new();
    let line = prop_oneof![
        "(GET|POST|PUT|get|G\\x00|X{300}) (/|/v1/leaderboards|\\*|//|http://a/b|/[!-~]{0,300}) HTTP/(1\\.1|1\\.0|2\\.0|0\\.9|9)",
        "[\\x00-\\x7f]{0,80}",
    ];
    let header = prop_oneof![
        "(Host|Content-Length|Transfer-Encoding|Connection|Upgrade|Expect|Content-Type|X|): ?[!-~ ]{0,40}",
        select(
            &[
                "Content-Length: 5",
                "Content-Length: -1",
                "Content-Length: 99999999999999999999",
                "Transfer-Encoding: chunked",
                "Transfer-Encoding: gzip, chunked",
                "Connection: close",
                "Expect: 100-continue",
                "Upgrade: h2c",
                "Host: a",
                "Host:",
                " folded",
                "Content-Length: +5"
            ][..]
        )
        .prop_map(str::to_owned),
        "[\\x00-\\x7f]{0,40}",
    ];
    let rest = prop_oneof![
        vec(any::<u8>(), 0..40),
        Just(b"5\r\nhello\r\n0\r\n\r\n".to_vec()),
        Just(b"fffffffffffffffff\r\n".to_vec())
    ];
    let bytes = (line, vec(header, 0..6), rest);
    hold("bytes", CASES / 4, &bytes, |(line, headers, rest)| {
        let mut bytes = format!(
            "{line}\r\n{}Connection: close\r\n\r\n",
            headers.iter().map(|header| format!("{header}\r\n")).collect::<String>()
        )
        .into_bytes();
        bytes.extend_from_slice(&rest);
        // So that a request that is not whole ends here rather than after its time.
        if let Outcome::Answered(answer) = service.send_and_close(&bytes) {
            prop_assert!(answer.status < 500 || matches!(answer.status, 501 | 505), "{}", answer.status);
        }
        Ok(())
    });
    assert_eq!(service.request("GET", "/health/live", "", b"").status, 200);
    service.end();
}
