//! The table of errors, row by row: each has its slug and status, and nothing was changed.

use std::time::Duration;

use serde_json::json;

use crate::support::{Body, TestApp};

const TOKEN: &str = "an-admin-token-of-tests";

/// A service with one leaderboard `race` of one entry.
async fn with_one_entry() -> TestApp {
    let app = TestApp::spawn().await;
    app.submit("race", "alice", 5).await;
    app
}

/// Asserts that the leaderboard is as [`with_one_entry`] made it.
#[track_caller]
fn assert_untouched(app: &TestApp, before: &[String]) {
    assert_eq!(app.keys(), before);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_malformed() {
    let app = with_one_entry().await;
    let before = app.keys();
    for body in
        ["", "{", "not json", "{\"member\":\"bob\",\"score\":1}x", "{'member':1}", "{\"score\":01}", "\u{feff}{}"]
    {
        app.submit_row("race", body).await.fails_with(400, "malformed-request");
        app.put("/v1/leaderboards/new", body).await.fails_with(400, "malformed-request");
        app.post("/v1/leaderboards/race/scores/batch", body).await.fails_with(400, "malformed-request");
        app.post("/v1/leaderboards/race/members/lookup", body).await.fails_with(400, "malformed-request");
    }
    assert_untouched(&app, &before);
}

#[tokio::test]
async fn broken_json_is_malformed_whatever_else_is_wrong() {
    let app = with_one_entry().await;
    app.submit_row("race", r#"{"member":5,"score":"#).await.fails_with(400, "malformed-request");
    app.submit_row("race", r#"{"colour":1,,}"#).await.fails_with(400, "malformed-request");
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_is_malformed() {
    let app = with_one_entry().await;
    let before = app.keys();
    let body = b"{\"member\":\"b\xffb\",\"score\":1}".to_vec();
    app.submit_row("race", body).await.fails_with(400, "malformed-request");
    assert_untouched(&app, &before);
}

#[tokio::test]
async fn a_lone_surrogate_is_no_member() {
    let app = with_one_entry().await;
    // JSON by its grammar, and no text in any encoding: parsers differ in which of the two they say.
    let refused = app.submit_row("race", r#"{"member":"\ud800","score":1}"#).await;
    assert!(matches!(refused.slug(), "malformed-request" | "invalid"), "{}", refused.text());
}

#[tokio::test]
async fn broken_percent_encoding_in_a_path_is_malformed() {
    let app = with_one_entry().await;
    for member in ["%", "%2", "%zz", "a%", "%ff", "%c3%28"] {
        let path = format!("/v1/leaderboards/race/members/{member}");
        let answer = app.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        answer.fails_with(400, "malformed-request");
    }
}

#[tokio::test]
async fn broken_percent_encoding_in_a_query_is_malformed() {
    let app = with_one_entry().await;
    for query in ["window=%", "window=%zz", "cursor=%ff", "%=1", "limit=%f"] {
        let path = format!("/v1/leaderboards/race/rankings?{query}");
        let answer = app.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        answer.fails_with(400, "malformed-request");
    }
}

#[tokio::test]
async fn a_cursor_that_was_never_given_is_malformed() {
    let app = with_one_entry().await;
    for cursor in ["x", "AAAA", "%20", "", &"A".repeat(500)] {
        app.rankings("race", &format!("cursor={cursor}")).await.fails_with(400, "malformed-request");
    }
    for cursor in ["!", "Li4v", ""] {
        app.get(format!("/v1/leaderboards?cursor={cursor}")).await.fails_with(400, "malformed-request");
    }
}

#[tokio::test]
async fn a_cursor_of_another_list_is_malformed() {
    let app = TestApp::spawn().await;
    for board in ["race", "other"] {
        app.create(board, json!({"windows": [{"name": "all_time"}, {"name": "beta"}]})).await;
        app.fill(board, [("a", 3), ("b", 2), ("c", 1)]).await;
    }
    let page = app.rankings("race", "limit=1").await;
    let cursor = page.next_cursor().expect("there is more");
    app.rankings("race", &format!("cursor={cursor}")).await.is(200);
    app.rankings("other", &format!("cursor={cursor}")).await.fails_with(400, "malformed-request");
    app.rankings("race", &format!("window=beta&cursor={cursor}")).await.fails_with(400, "malformed-request");
    app.delete("/v1/leaderboards/race").await.is(204);
    app.fill("race", [("a", 3), ("b", 2), ("c", 1)]).await;
    app.rankings("race", &format!("cursor={cursor}")).await.fails_with(400, "malformed-request");
}

#[tokio::test]
async fn without_a_valid_token_nothing_is_told() {
    let app = TestApp::with().admin_token(TOKEN).spawn().await;
    app.submit("race", "alice", 5).await;
    let before = app.keys();
    let mut bodies = Vec::new();
    for authorization in [
        "",
        "Bearer wrong",
        "Bearer",
        "Basic YTpi",
        TOKEN,
        "Bearer an-admin-token-of-test",
        "Bearer an-admin-token-of-tests2",
    ] {
        for (method, path, body) in [
            ("GET", "/v1/leaderboards", ""),
            ("GET", "/v1/leaderboards/race", ""),
            ("GET", "/v1/leaderboards/unknown/rankings", ""),
            ("GET", "/v1/leaderboards/race/rankings?colour=red", ""),
            ("POST", "/v1/leaderboards/race/scores", "not json"),
            ("PUT", "/v1/leaderboards/a%20b", "{}"),
            ("DELETE", "/v1/leaderboards/race", ""),
        ] {
            let mut request = app.request(method, path).without_token().header("authorization", authorization);
            if !body.is_empty() {
                request = request.body(body);
            }
            let refused = request.header("x-request-id", "r1").send().await.fails_with(401, "unauthenticated");
            assert!(refused.header("www-authenticate").starts_with("Bearer"), "{authorization}");
            bodies.push(refused.text().to_owned());
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "one answer for all: {bodies:?}");
    assert_untouched(&app, &before);
}

#[tokio::test]
async fn the_admin_token_opens_everything() {
    let app = TestApp::with().admin_token(TOKEN).spawn().await;
    app.submit("race", "alice", 5).await;
    app.rankings("race", "").await.is(200);
    let lower_case =
        app.request("GET", "/v1/leaderboards").without_token().header("authorization", format!("bearer {TOKEN}"));
    lower_case.send().await.is(200);
}

#[tokio::test]
async fn health_metrics_and_documents_need_no_token() {
    let app = TestApp::with().admin_token(TOKEN).spawn().await;
    for path in ["/health/live", "/health/ready", "/metrics", "/openapi.json", "/problems/invalid", "/docs/"] {
        app.request("GET", path).without_token().send().await.is(200);
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let app = with_one_entry().await;
    for path in [
        "/v1",
        "/v1/",
        "/v2/leaderboards",
        "/nothing",
        "/v1/leaderboards/",
        "/v1/leaderboards/race/",
        "/v1/leaderboards/race/nothing",
        "/v1/leaderboards/race/rankings/",
        "/v1/leaderboards/race/members/alice/nothing",
        "/v1/leaderboards/race/members/",
        "/v1/leaderboards/unknown",
        "/v1/leaderboards/unknown/rankings",
        "/v1/leaderboards/race/members/nobody",
        "/v1/leaderboards/race/rankings?window=unknown",
        "/v1/leaderboards/race/rankings?period=unknown",
        "/problems/unknown",
        "/openapi.yaml",
    ] {
        app.get(path).await.fails_with(404, "not-found");
    }
    app.post("/v1/nothing", json!({})).await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_path_with_other_methods_names_them() {
    let app = with_one_entry().await;
    for (method, path, allowed) in [
        ("POST", "/v1/leaderboards", "GET"),
        ("POST", "/v1/leaderboards/race", "DELETE, GET, PUT"),
        ("PATCH", "/v1/leaderboards/race", "DELETE, GET, PUT"),
        ("GET", "/v1/leaderboards/race/scores", "POST"),
        ("DELETE", "/v1/leaderboards/race/scores", "POST"),
        ("PUT", "/v1/leaderboards/race/scores/batch", "POST"),
        ("POST", "/v1/leaderboards/race/rankings", "GET"),
        ("POST", "/v1/leaderboards/race/members/alice", "DELETE, GET, PUT"),
        ("DELETE", "/v1/leaderboards/race/members/alice/around", "GET"),
        ("PATCH", "/v1/leaderboards/race/members/lookup", "DELETE, GET, POST, PUT"),
        ("POST", "/health/live", "GET"),
        ("POST", "/metrics", "GET"),
    ] {
        let refused = app.request(method, path).send().await.fails_with(405, "method-not-allowed");
        assert_eq!(refused.header("allow"), allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn the_documents_take_no_other_methods_either() {
    let app = TestApp::spawn().await;
    for path in ["/openapi.json", "/openapi-3.0.json", "/docs/"] {
        app.request("POST", path).send().await.fails_with(405, "method-not-allowed");
    }
}

#[tokio::test]
async fn a_body_that_is_not_declared_as_json_is_refused() {
    let app = with_one_entry().await;
    let before = app.keys();
    let row = r#"{"member":"bob","score":1}"#;
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/xml", ";"] {
        let request = app.request("POST", "/v1/leaderboards/race/scores").header("content-type", media_type).body(row);
        request.send().await.fails_with(415, "unsupported-media-type");
    }
    let answer = app
        .raw(format!(
            "POST /v1/leaderboards/race/scores HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{row}",
            row.len()
        ))
        .await;
    answer.fails_with(415, "unsupported-media-type");
    app.member("race", "bob").await.fails_with(404, "not-found");
    assert_untouched(&app, &before);
}

#[tokio::test]
async fn json_may_be_declared_with_parameters() {
    let app = TestApp::spawn().await;
    for media_type in ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"] {
        let request = app.request("POST", "/v1/leaderboards/race/scores").header("content-type", media_type);
        request.body(r#"{"member":"bob","score":1}"#).send().await.is(200);
    }
}

#[tokio::test]
async fn a_body_declared_too_large_is_refused() {
    let app = with_one_entry().await;
    let before = app.keys();
    let large = |bytes: usize| format!("{{\"member\":\"bob\",\"score\":1{}}}", " ".repeat(bytes));
    let refused = app.submit_row("race", large(16 * 1024)).await.fails_with(413, "payload-too-large");
    assert!(refused.detail().contains("16384"), "the limit is in the detail: {}", refused.detail());
    let refused = app.put("/v1/leaderboards/race", large(64 * 1024)).await.fails_with(413, "payload-too-large");
    assert!(refused.detail().contains("65536"), "{}", refused.detail());
    let head = "POST /v1/leaderboards/race/scores/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let answer = app.raw(format!("{head}Content-Length: 99999999999\r\n\r\n")).await;
    answer.fails_with(413, "payload-too-large");
    assert_untouched(&app, &before);
}

#[tokio::test]
async fn a_chunked_body_that_grows_too_large_is_refused() {
    let app = with_one_entry().await;
    let before = app.keys();
    let mut request = "POST /v1/leaderboards/race/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                       Transfer-Encoding: chunked\r\n\r\n"
        .to_owned();
    for _ in 0..20 {
        request.push_str(&format!("400\r\n{}\r\n", " ".repeat(1024)));
    }
    app.raw(request).await.fails_with(413, "payload-too-large");
    assert_untouched(&app, &before);
}

#[tokio::test]
async fn a_chunked_body_within_the_limit_counts() {
    let app = TestApp::spawn().await;
    let request = "POST /v1/leaderboards/race/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                   Transfer-Encoding: chunked\r\n\r\n10\r\n{\"member\":\"alice\r\nc\r\n\",\"score\":1}\r\n0\r\n\r\n";
    app.raw(request).await.is(200);
    assert_eq!(app.member("race", "alice").await["score"], 1);
}

#[tokio::test]
async fn a_bad_field_is_named() {
    let app = with_one_entry().await;
    let before = app.keys();
    for (body, pointer) in [
        (r#"{"score":1}"#, "/member"),
        (r#"{"member":"bob"}"#, "/score"),
        (r#"{}"#, "/member"),
        (r#"{"member":"bob","score":1,"colour":"red"}"#, "/colour"),
        (r#"{"member":"bob","score":1,"a/b~c":1}"#, "/a~1b~0c"),
        (r#"{"member":5,"score":1}"#, "/member"),
        (r#"{"member":null,"score":1}"#, "/member"),
        (r#"{"member":"bob","score":"1"}"#, "/score"),
        (r#"{"member":"bob","score":null}"#, "/score"),
        (r#"{"member":"bob","score":true}"#, "/score"),
        (r#"{"member":"bob","score":[1]}"#, "/score"),
        (r#"{"member":"bob","score":1e309}"#, "/score"),
        (r#"{"member":"bob","score":-1e400}"#, "/score"),
        (r#"{"member":"bob","score":1,"segments":null}"#, "/segments"),
        (r#"{"member":"bob","score":1,"segments":{"country":1}}"#, "/segments/country"),
        (r#"{"member":"bob","score":1,"segments":[]}"#, "/segments"),
        (r#"{"member":"bob","score":1,"subscores":null}"#, "/subscores"),
        (r#"{"member":"bob","score":1,"subscores":{"time":1}}"#, "/subscores/time"),
        (r#"{"member":"bob","score":1,"if_period":null}"#, "/if_period"),
        (r#"{"member":"bob","score":1,"idempotency_key":"k"}"#, "/idempotency_key"),
        (r#"{"member":"bob","score":1,"score":2}"#, "/score"),
        (r#"{"member":"bob","member":"bob","score":2}"#, "/member"),
        (r#"{"member":"bob","score":1,"metadata":1,"metadata":2}"#, "/metadata"),
    ] {
        let refused = app.submit_row("race", body).await.fails_with(422, "invalid");
        assert_eq!(refused.pointers(), [pointer], "{body}: {}", refused.text());
    }
    for body in ["[]", "5", "null", "\"text\""] {
        app.submit_row("race", body).await.fails_at(&[""]);
    }
    assert_untouched(&app, &before);
}

#[tokio::test]
async fn a_key_given_twice_within_a_map_is_refused() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"subscores": [{"name": "time"}]})).await;
    let refused = app.submit_row("race", r#"{"member":"bob","score":1,"subscores":{"time":1,"time":2}}"#).await;
    refused.fails_with(422, "invalid");
    app.member("race", "bob").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_name_in_the_path_that_breaks_its_pattern_is_invalid() {
    let app = with_one_entry().await;
    let before = app.keys();
    for name in ["a%20b", ".a", "-a", "%C3%A4", "a%2Fb", &"x".repeat(65), "%7Blb%7D"] {
        app.get(format!("/v1/leaderboards/{name}")).await.fails_at(&["leaderboard"]);
        app.put(format!("/v1/leaderboards/{name}"), json!({})).await.fails_at(&["leaderboard"]);
        app.submit_row(name, json!({"member": "a", "score": 1})).await.fails_at(&["leaderboard"]);
    }
    for member in [&"x".repeat(129), "a%00b", "%0A", "%7F"] {
        app.get(format!("/v1/leaderboards/race/members/{member}")).await.fails_at(&["member"]);
        app.delete(format!("/v1/leaderboards/race/members/{member}")).await.fails_at(&["member"]);
    }
    assert_untouched(&app, &before);
}

#[tokio::test]
async fn a_bad_parameter_is_named() {
    let app = with_one_entry().await;
    let board = "/v1/leaderboards/race";
    for (path, parameter) in [
        ("/v1/leaderboards?colour=red".to_owned(), "colour"),
        ("/v1/leaderboards?limit=0".to_owned(), "limit"),
        (format!("{board}/rankings?limit=1001"), "limit"),
        (format!("{board}/rankings?limit=x"), "limit"),
        (format!("{board}/rankings?limit="), "limit"),
        (format!("{board}/rankings?limit=-1"), "limit"),
        (format!("{board}/rankings?limit=1.5"), "limit"),
        (format!("{board}/rankings?limit=1&limit=2"), "limit"),
        (format!("{board}/rankings?limit=99999999999999999999999"), "limit"),
        (format!("{board}/rankings?offset=-1"), "offset"),
        (format!("{board}/rankings?offset=4503599627370497"), "offset"),
        (format!("{board}/rankings?offset=1&cursor=x"), "cursor"),
        (format!("{board}/rankings?colour=red"), "colour"),
        (format!("{board}/rankings?ranking=sparse"), "ranking"),
        (format!("{board}/rankings?window=a+b"), "window"),
        (format!("{board}/members/alice?radius=1"), "radius"),
        (format!("{board}/members/alice/around?radius=101"), "radius"),
        (format!("{board}/members/alice/around?limit=5"), "limit"),
        (format!("{board}/around"), "score"),
        (format!("{board}/around?score=x"), "score"),
        (format!("{board}/around?score="), "score"),
        (format!("{board}/around?score=NaN"), "score"),
        (format!("{board}/around?score=inf"), "score"),
        (format!("{board}/around?score=1e999"), "score"),
        (format!("{board}/distribution?buckets=0"), "buckets"),
        (format!("{board}/distribution?buckets=201"), "buckets"),
        (format!("{board}/distribution?buckets=-1"), "buckets"),
    ] {
        let refused = app.get(&path).await.fails_with(422, "invalid");
        assert_eq!(refused.pointers(), [parameter], "{path}: {}", refused.text());
    }
    let refused = app.post(format!("{board}/scores/batch?ranks=maybe"), json!({"scores": []})).await;
    refused.fails_at(&["ranks"]);
    app.post(format!("{board}/members/lookup?limit=1"), json!({"members": []})).await.fails_at(&["limit"]);
}

#[tokio::test]
async fn operations_without_parameters_refuse_any() {
    let app = with_one_entry().await;
    app.get("/v1/leaderboards/race?colour=red").await.fails_at(&["colour"]);
    app.put("/v1/leaderboards/race?colour=red", json!({})).await.fails_at(&["colour"]);
    let submitted = app.post("/v1/leaderboards/race/scores?colour=red", json!({"member": "bob", "score": 1})).await;
    submitted.fails_at(&["colour"]);
    app.delete("/v1/leaderboards/race/members/alice?colour=red").await.fails_at(&["colour"]);
    app.delete("/v1/leaderboards/race?colour=red").await.fails_at(&["colour"]);
    assert_eq!(app.rankings("race", "").await.members(), ["alice"]);
}

#[tokio::test]
async fn json_nested_too_deep_is_invalid() {
    let app = with_one_entry().await;
    let before = app.keys();
    let nested =
        |depth: usize| format!(r#"{{"member":"bob","score":1,"metadata":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    app.submit_row("race", nested(32)).await.fails_with(422, "invalid");
    app.submit_row("race", nested(900)).await.fails_with(422, "invalid");
    app.put("/v1/leaderboards/race", format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)))
        .await
        .fails_with(422, "invalid");
    assert_untouched(&app, &before);
    app.submit_row("race", nested(31)).await.is(200);
}

#[tokio::test]
async fn brackets_in_text_are_no_nesting() {
    let app = TestApp::spawn().await;
    let metadata = "[{\\\"".repeat(100);
    app.submit_row("race", format!(r#"{{"member":"bob","score":1,"metadata":"{metadata}"}}"#)).await.is(200);
}

#[tokio::test]
async fn the_same_key_for_another_request_is_a_mismatch() {
    let app = with_one_entry().await;
    let submit = async |score: i64| {
        let request = app.request("POST", "/v1/leaderboards/race/scores").key("k1");
        request.body(json!({"member": "bob", "score": score})).send().await
    };
    submit(1).await.is(200);
    submit(2).await.fails_with(409, "idempotency-mismatch");
    assert_eq!(app.member("race", "bob").await["score"], 1, "nothing was changed");
}

#[tokio::test]
async fn too_many_submissions_are_told_when_to_come_again() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"submission_limit": {"limit": 1, "per_ms": 60_500}})).await;
    app.submit("race", "alice", 1).await;
    let refused = app.submit_row("race", json!({"member": "alice", "score": 2})).await.fails_with(429, "rate-limited");
    assert_eq!(refused.header("retry-after"), "61", "a part of a second is a second");
    app.advance(Duration::from_millis(60_500));
    app.submit("race", "alice", 2).await;
}

#[tokio::test]
async fn an_idempotency_key_is_visible_ascii() {
    let app = with_one_entry().await;
    let before = app.keys();
    for key in ["with space", &"x".repeat(129), "tab\there"] {
        for (path, body) in [("scores", json!({"member": "bob", "score": 1})), ("scores/batch", json!({"scores": []}))]
        {
            let request = app.request("POST", format!("/v1/leaderboards/race/{path}")).key(key);
            let body: Body = body.into();
            request.body(body).send().await.fails_at(&["Idempotency-Key"]);
        }
    }
    assert_untouched(&app, &before);
}

#[tokio::test]
async fn an_array_does_not_stand_for_an_object() {
    let app = with_one_entry().await;
    let scores = "/v1/leaderboards/race/scores";
    for (path, body) in [
        (scores, r#"["carol",5]"#),
        ("/v1/leaderboards/race/scores/batch", r#"[[{"member":"carol","score":5}]]"#),
        ("/v1/leaderboards/race/scores/batch", "[[]]"),
        ("/v1/leaderboards/race/members/lookup", r#"[["alice"]]"#),
    ] {
        app.post(path, body).await.fails_with(422, "invalid");
    }
    let batch = app.post("/v1/leaderboards/race/scores/batch", r#"{"scores":[["carol",5]]}"#).await.is(200);
    assert_eq!(batch["results"][0]["status"], 422);
    for (settings, pointer) in [
        ("[]", ""),
        (r#"{"windows":[["all_time"]]}"#, "/windows/0"),
        (r#"{"submission_limit":[5,1000]}"#, "/submission_limit"),
        (r#"{"subscores":[["t","ascending"]]}"#, "/subscores/0"),
    ] {
        app.put("/v1/leaderboards/other", settings).await.fails_at(&[pointer]);
    }
    app.get("/v1/leaderboards/other").await.fails_with(404, "not-found");
    app.member("race", "carol").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn head_is_answered_as_get_without_a_body() {
    let app = with_one_entry().await;
    for path in ["/health/live", "/openapi.json"] {
        let answer = app.raw(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        assert_eq!((answer.status, answer.text()), (200, ""), "{path}");
    }
}
