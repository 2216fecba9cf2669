//! What no decent client sends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

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

#[tokio::test]
async fn a_target_has_a_length() {
    let app = TestApp::spawn().await;
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    app.raw(get(&format!("/health/live?{}", "x".repeat(16 * 1024 - 13)))).await.is(200);
    let long = app.raw(get(&format!("/health/live?{}", "x".repeat(16 * 1024 - 12)))).await;
    long.fails_with(400, "malformed-request");
}

#[tokio::test]
async fn headers_have_a_size_and_a_number() {
    let app = TestApp::spawn().await;
    let get = |headers: &str| format!("GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    app.raw(get(&format!("X-Long: {}\r\n", "x".repeat(31 * 1024)))).await.is(200);
    app.raw(get(&format!("X-Long: {}\r\n", "x".repeat(33 * 1024)))).await.fails_with(431, "head-too-large");
    app.raw(get(&(0..90).map(|number| format!("X-{number}: y\r\n")).collect::<String>())).await.is(200);
    // The framework answers this itself, without a body, and closes.
    let many = app.raw(get(&(0..100).map(|number| format!("X-{number}: y\r\n")).collect::<String>())).await;
    assert_eq!((many.status, many.body.len()), (431, 0));
    assert_serving(&app).await;
}

const SCORE: &str = "POST /v1/leaderboards/race/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
const ROW: &str = r#"{"member":"bob","score":1}"#;
const SMUGGLED: &str = "PUT /v1/leaderboards/smuggled HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn requests_that_two_parsers_could_read_differently_are_refused() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    let length = ROW.len();
    for headers in [
        format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n"),
        format!("Content-Length: {length}, {length}\r\n"),
        format!("Content-Length: +{length}\r\n"),
        format!("Content-Length: -{length}\r\n"),
        format!("Content-Length: 0x{length:x}\r\n"),
        "Content-Length: \r\n".to_owned(),
        "Content-Length: 99999999999999999999\r\n".to_owned(),
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        "Transfer-Encoding: gzip, chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding: identity\r\n".to_owned(),
        format!("Content-Length : {length}\r\n"),
        format!("X-Folded: a\r\n b\r\nContent-Length: {length}\r\n"),
        format!("X-Bare: a\rb\r\nContent-Length: {length}\r\n"),
        format!("X-Null: a\0b\r\nContent-Length: {length}\r\n"),
        format!("Host: y\r\nContent-Length: {length}\r\n"),
    ] {
        let answer = app.raw(format!("{SCORE}{headers}\r\n{ROW}{SMUGGLED}")).await;
        assert_eq!(answer.status, 400, "{headers:?}");
        app.get("/v1/leaderboards/smuggled").await.fails_with(404, "not-found");
    }
    app.member("race", "bob").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn chunks_that_are_no_chunks_are_refused() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    let size = format!("{:x}", ROW.len());
    for body in [
        format!("0x{size}\r\n{ROW}\r\n0\r\n\r\n"),
        format!("-{size}\r\n{ROW}\r\n0\r\n\r\n"),
        format!("{size}\r\n{ROW}xx0\r\n\r\n"),
        format!("fffffffffffffffff\r\n{ROW}\r\n0\r\n\r\n"),
        format!("{size}\n{ROW}\r\n0\r\n\r\n"),
        format!("{size}\r\n{ROW}\n0\r\n\r\n"),
        format!(" {size}\r\n{ROW}\r\n0\r\n\r\n"),
    ] {
        let answer = app.raw(format!("{SCORE}Transfer-Encoding: chunked\r\n\r\n{body}{SMUGGLED}")).await;
        assert_eq!(answer.status, 400, "{body:?}");
        app.get("/v1/leaderboards/smuggled").await.fails_with(404, "not-found");
    }
    app.member("race", "bob").await.fails_with(404, "not-found");
    let good =
        format!("{SCORE}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{size};a=b\r\n{ROW}\r\n0\r\n\r\n");
    app.raw(good).await.is(200);
}

#[tokio::test]
async fn no_compressed_body_is_taken() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    for coding in ["gzip", "deflate", "br", "identity, gzip", "x"] {
        for path in
            ["/v1/leaderboards/race/scores", "/v1/leaderboards/race/import", "/v1/leaderboards/race/scores/batch"]
        {
            let request = app.request("POST", path).header("content-encoding", coding).body(ROW);
            let answer = request.send().await.fails_with(415, "unsupported-media-type");
            assert!(answer.text().contains("Content-Encoding"), "{}", answer.text());
            assert_eq!(answer.header("accept-encoding"), "identity");
        }
    }
    let plain = app.request("POST", "/v1/leaderboards/race/scores").header("content-encoding", "identity").body(ROW);
    plain.send().await.is(200);
}

#[tokio::test]
async fn ten_thousand_requests_in_one_write_are_answered_in_their_order() {
    const REQUESTS: usize = 10_000;
    let app = TestApp::spawn().await;
    let address = app.address();
    let flood: String = (0..REQUESTS)
        .map(|number| format!("GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-Id: n{number}\r\n\r\n"))
        .collect();
    let answers = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("the service listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let mut writing = stream.try_clone().expect("a handle");
        let writer = std::thread::spawn(move || writing.write_all(flood.as_bytes()));
        let last = format!("x-request-id: n{}\r\n", REQUESTS - 1);
        let (mut all, mut part) = (String::new(), vec![0; 64 * 1024]);
        while !all[all.len().saturating_sub(1000)..].contains(&last) {
            let length = stream.read(&mut part).expect("answers");
            assert!(length > 0, "the service hung up after {} bytes", all.len());
            all.push_str(std::str::from_utf8(&part[..length]).expect("ASCII"));
        }
        writer.join().expect("no panic").expect("sent");
        all
    });
    let answers = answers.await.expect("no panic");
    let ids: Vec<&str> = answers.lines().filter_map(|line| line.strip_prefix("x-request-id: n")).collect();
    assert!(ids.iter().enumerate().all(|(place, id)| id.parse() == Ok(place)), "out of order");
    assert_eq!(ids.len(), REQUESTS);
}
