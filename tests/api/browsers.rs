//! What browsers are told: who may call from a page, and what pages of the service may do.

use serde_json::json;

use crate::support::{Answer, TestApp};

const TOKEN: &str = "an-admin-token-of-tests";
const GAME: &str = "https://play.example";

async fn for_the_game() -> TestApp {
    TestApp::with().admin_token(TOKEN).set("cors_origins", "https://play.example, http://localhost:3000").spawn().await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn preflight(app: &TestApp, path: &str, origin: &str) -> Answer {
    app.raw(format!(
        "OPTIONS {path} HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: authorization,content-type,idempotency-key\r\nConnection: close\r\n\r\n"
    ))
    .await
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_ask_and_needs_no_token_for_that() {
    let app = for_the_game().await;
    for origin in [GAME, "http://localhost:3000"] {
        let answer = preflight(&app, "/v1/leaderboards/race/scores", origin).await;
        assert_eq!((answer.status, header(&answer, "access-control-allow-origin")), (204, origin));
        let methods = header(&answer, "access-control-allow-methods");
        assert!(["GET", "POST", "PUT", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
        let taken = header(&answer, "access-control-allow-headers").to_lowercase();
        for name in
            ["authorization", "content-type", "idempotency-key", "if-none-match", "last-event-id", "traceparent"]
        {
            assert!(taken.contains(name), "{name} in {taken}");
        }
        assert!(header(&answer, "vary").contains("Origin") && !header(&answer, "access-control-max-age").is_empty());
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    }
    let text = app.get("/metrics").await.is(200).text().to_owned();
    assert!(!text.contains("status=\"401\""), "no preflight was refused: {text}");
}

#[tokio::test]
async fn answers_of_every_layer_say_who_may_read_them() {
    let app = for_the_game().await;
    app.request("PUT", "/v1/leaderboards/race").body(json!({})).send().await.is(201);
    let reader = app.mint(json!({"name": "reader", "scopes": ["leaderboards:read"]})).await;
    let long = format!("/v1/leaderboards?limit={}", "1".repeat(20_000));
    for (method, path, token, status) in [
        ("GET", "/v1/leaderboards/race/rankings", TOKEN, 200),
        ("GET", "/v1/leaderboards/none/rankings", TOKEN, 404),
        ("GET", "/nowhere", TOKEN, 404),
        ("GET", "/v1/leaderboards/race/rankings", "wrong", 401),
        ("DELETE", "/v1/leaderboards/race", &reader, 403),
        ("DELETE", "/health/live", TOKEN, 405),
        ("GET", "/v1/leaderboards?limit=x", TOKEN, 422),
        ("GET", "/openapi.json", TOKEN, 200),
        ("GET", &long, TOKEN, 400),
    ] {
        let answer = app
            .raw(format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nOrigin: {GAME}\r\nAuthorization: Bearer {token}\r\n\
                 Connection: close\r\n\r\n"
            ))
            .await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(header(&answer, "access-control-allow-origin"), GAME, "{method} {path}");
        assert_eq!(header(&answer, "vary"), "Origin");
        let exposed = header(&answer, "access-control-expose-headers");
        for name in
            ["RateLimit", "RateLimit-Policy", "Retry-After", "ETag", "X-Request-Id", "Idempotent-Replayed", "Location"]
        {
            assert!(exposed.split(", ").any(|one| one == name), "{name} in {exposed}");
        }
    }
}

#[tokio::test]
async fn a_page_of_any_other_origin_may_not() {
    let app = for_the_game().await;
    for origin in
        ["https://play.example.evil", "https://play.example:444", "http://play.example", "null", "https://PLAY.example"]
    {
        let asked = preflight(&app, "/health/live", origin).await.fails_with(405, "method-not-allowed");
        let answer = app.request("GET", "/health/live").header("origin", origin).send().await.is(200);
        for answer in [asked, answer] {
            assert!(!answer.headers.contains_key("access-control-allow-origin"), "{origin}");
            assert_eq!(header(&answer, "vary"), "Origin", "a cache keeps them apart");
        }
    }
}

#[tokio::test]
async fn a_star_is_every_page() {
    let app = TestApp::with().set("cors_origins", "*").spawn().await;
    assert_eq!(
        header(&preflight(&app, "/v1/leaderboards", "https://any.example").await, "access-control-allow-origin"),
        "*"
    );
    let answer = app.request("GET", "/v1/leaderboards").header("origin", "null").send().await.is(200);
    assert_eq!(header(&answer, "access-control-allow-origin"), "*");
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
}

#[tokio::test]
async fn by_default_no_other_page_may_call() {
    let app = TestApp::spawn().await;
    preflight(&app, "/health/live", GAME).await.fails_with(405, "method-not-allowed");
    let answer = app.request("GET", "/health/live").header("origin", GAME).send().await.is(200);
    assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control") || name == "vary"));
}

#[tokio::test]
async fn an_options_that_is_no_preflight_is_not_allowed() {
    let app = for_the_game().await;
    let request = format!("OPTIONS /health/live HTTP/1.1\r\nHost: x\r\nOrigin: {GAME}\r\nConnection: close\r\n\r\n");
    let answer = app.raw(request).await.fails_with(405, "method-not-allowed");
    assert_eq!((header(&answer, "allow"), header(&answer, "access-control-allow-origin")), ("GET", GAME));
}

#[tokio::test]
async fn nothing_is_taken_for_what_it_is_not() {
    let app = TestApp::spawn().await;
    app.submit("race", "ann", 1).await;
    for path in [
        "/health/live",
        "/v1/leaderboards/race/rankings",
        "/v1/nothing",
        "/docs/",
        "/problems/invalid",
        "/metrics",
        "/",
    ] {
        let answer = app.get(path).await;
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");
        assert!(!answer.headers.contains_key("strict-transport-security"), "not over plain HTTP");
    }
}

#[tokio::test]
async fn pages_may_do_little_and_stand_in_no_frame() {
    let app = TestApp::spawn().await;
    for path in ["/docs/", "/problems/invalid"] {
        let answer = app.get(path).await.is(200);
        let policy = header(&answer, "content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("script-src 'self' 'unsafe"), "{policy}");
        for (name, value) in [
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(header(&answer, name), value, "{path}");
        }
    }
}

#[tokio::test]
async fn what_a_token_opens_is_kept_by_no_cache() {
    let app = TestApp::spawn().await;
    app.submit("race", "ann", 1).await;
    for (path, wanted) in [
        ("/v1/leaderboards", "private, no-cache"),
        ("/v1/leaderboards/race/rankings", "private, no-cache"),
        ("/v1/leaderboards/none", "no-store"),
        ("/v1/tokens", "no-store"),
    ] {
        assert_eq!(header(&app.get(path).await, "cache-control"), wanted, "{path}");
    }
}
