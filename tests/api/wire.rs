//! What no decent client sends.

use serde_json::json;

use crate::support::TestApp;

/// Asserts that the service still answers.
async fn assert_serving(app: &TestApp) {
    app.get("/health/live").await.is(200);
}

#[tokio::test]
async fn a_garbage_request_line_is_refused() {
    let app = TestApp::spawn().await;
    for garbage in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "nonsense nonsense nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        let answer = app.raw(garbage).await;
        assert_eq!(answer.status, 400, "{garbage:?}");
    }
    assert_serving(&app).await;
}

#[tokio::test]
async fn a_huge_header_is_refused() {
    let app = TestApp::spawn().await;
    let head = format!("GET /health/live HTTP/1.1\r\nHost: x\r\nX-Huge: {}\r\n\r\n", "x".repeat(1024 * 1024));
    let answer = app.raw(head).await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    assert_serving(&app).await;
}

#[tokio::test]
async fn a_huge_target_is_refused() {
    let app = TestApp::spawn().await;
    let head = format!("GET /v1/leaderboards/race/members/{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(1024 * 1024));
    let answer = app.raw(head).await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    assert_serving(&app).await;
}

#[tokio::test]
async fn an_idempotency_key_given_twice_is_refused() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    let row = r#"{"member":"bob","score":1}"#;
    let request = format!(
        "POST /v1/leaderboards/race/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Idempotency-Key: a\r\nIdempotency-Key: a\r\n\r\n{row}",
        row.len()
    );
    app.raw(request).await.fails_at(&["Idempotency-Key"]);
    app.member("race", "bob").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_body_that_is_cut_off_changes_nothing() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    let head = "POST /v1/leaderboards/race/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    app.cut_off(format!("{head}Content-Length: 100\r\n\r\n{{\"member\":\"bob\",\"score\":1}}")).await;
    app.member("race", "bob").await.fails_with(404, "not-found");
    assert_serving(&app).await;
}

#[tokio::test]
async fn broken_chunks_are_refused() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    let head = "POST /v1/leaderboards/race/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let answer = app.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\nxx\r\n0\r\n\r\n")).await;
    assert_eq!(answer.status, 400);
    assert_serving(&app).await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_its_answer() {
    let app = TestApp::spawn().await;
    let row = r#"{"member":"bob","score":1}"#;
    let request = format!(
        "POST /v1/leaderboards/race/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n\
         Content-Length: {}\r\n\r\n{row}",
        row.len()
    );
    assert_eq!(app.raw(request).await.is(200)["score"], 1);
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_their_order() {
    let app = TestApp::spawn().await;
    app.fill("race", [("a", 1)]).await;
    let first = "GET /v1/leaderboards/race/members/nobody HTTP/1.1\r\nHost: x\r\n\r\n";
    let second = "GET /v1/leaderboards/race/members/a HTTP/1.1\r\nHost: x\r\n\r\n";
    app.raw(format!("{first}{second}")).await.fails_with(404, "not-found");
    assert_serving(&app).await;
}

#[tokio::test]
async fn a_method_that_does_not_exist_is_not_allowed() {
    let app = TestApp::spawn().await;
    let answer = app.raw("BREW /v1/leaderboards/race HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(answer.fails_with(405, "method-not-allowed").header("allow"), "DELETE, GET, PUT");
}

#[tokio::test]
async fn dots_in_a_path_are_members_like_any_other() {
    let app = TestApp::spawn().await;
    for member in [".", ".."] {
        app.submit("race", member, 1).await;
        let path = format!("/v1/leaderboards/race/members/{member}");
        let answer = app.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await.is(200);
        assert_eq!(answer["member"], member);
    }
}

#[tokio::test]
async fn a_plus_in_a_path_is_a_plus() {
    let app = TestApp::spawn().await;
    app.submit("race", "a+b", 1).await;
    let answer = app.raw("GET /v1/leaderboards/race/members/a+b HTTP/1.1\r\nHost: x\r\n\r\n").await.is(200);
    assert_eq!(answer["member"], "a+b");
}

#[tokio::test]
async fn an_idempotency_key_without_a_value_is_refused() {
    let app = TestApp::spawn().await;
    let row = r#"{"member":"bob","score":1}"#;
    for key in ["", "\u{e9}"] {
        let request = format!(
            "POST /v1/leaderboards/race/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Idempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n{row}",
            row.len()
        );
        app.raw(request).await.fails_at(&["Idempotency-Key"]);
    }
    app.member("race", "bob").await.fails_with(404, "not-found");
}
