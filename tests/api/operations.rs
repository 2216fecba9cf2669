//! What operators look at: health, metrics, request ids, the pages of problems.

use ranq::error::ErrorCode;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{TestApp, eventually};

const TOKEN: &str = "an-admin-token-of-tests";

#[tokio::test]
async fn the_process_says_that_it_lives() {
    let app = TestApp::spawn().await;
    let live = app.get("/health/live").await.is(200);
    assert_eq!(live.json(), &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}));
}

#[tokio::test]
async fn a_ready_service_says_what_its_redis_is() {
    let app = TestApp::spawn().await;
    let ready = app.get("/health/ready").await.is(200);
    assert_eq!(ready["status"], "ready");
    let redis = &ready["redis"];
    assert_eq!((&redis["status"], &redis["persistence"]), (&json!("ok"), &json!("aof everysec")));
    assert_eq!(redis["eviction_policy"], "noeviction");
    let info: String = redis::cmd("INFO").arg("server").query(&mut app.redis()).expect("INFO works");
    let version = redis["version"].as_str().expect("a version");
    assert!(info.contains(&format!("redis_version:{version}\r\n")), "{version}");
}

#[tokio::test]
async fn durability_can_be_raised() {
    let app = TestApp::with().set("durability", "always").spawn().await;
    assert_eq!(app.get("/health/ready").await.is(200)["redis"]["persistence"], "aof always");
}

#[tokio::test]
async fn a_service_whose_redis_hangs_is_not_ready_until_it_answers_again() {
    let app = TestApp::with().set("redis_timeout_ms", "400").spawn().await;
    app.get("/health/ready").await.is(200);
    app.signal_redis(Signal::STOP);
    let ready = async |status: u16| {
        let answer = app.get("/health/ready").await;
        (answer.status == status).then_some(answer)
    };
    let unavailable = eventually("readiness ends", async || ready(503).await).await;
    assert_eq!(
        (&unavailable["status"], &unavailable["redis"]["status"]),
        (&json!("unavailable"), &json!("unavailable"))
    );
    assert!(unavailable["redis"]["detail"].is_string());
    app.get("/health/live").await.is(200);
    app.signal_redis(Signal::CONT);
    eventually("readiness comes back", async || ready(200).await).await;
}

/// The value of a metric's line that begins with `start`.
fn metric(text: &str, start: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(start)?.trim().parse().ok())
}

#[tokio::test]
async fn requests_and_calls_of_redis_are_counted() {
    let app = TestApp::spawn().await;
    app.submit("race", "alice", 5).await;
    app.submit("race", "bob", 5).await;
    app.member("race", "nobody").await.fails_with(404, "not-found");
    app.get("/nothing").await.fails_with(404, "not-found");
    let text = app.get("/metrics").await.is(200).text().to_owned();
    let submit = r#"method="POST",route="/v1/leaderboards/{leaderboard}/scores""#;
    assert_eq!(metric(&text, &format!("ranq_http_requests_total{{{submit},status=\"200\"}}")), Some(2.0), "{text}");
    assert_eq!(metric(&text, &format!("ranq_http_request_duration_seconds_count{{{submit}}}")), Some(2.0));
    let read = r#"method="GET",route="/v1/leaderboards/{leaderboard}/members/{member}",status="404""#;
    assert_eq!(metric(&text, &format!("ranq_http_requests_total{{{read}}}")), Some(1.0), "{text}");
    assert!(metric(&text, r#"ranq_redis_calls_total{call="submit"}"#).is_some_and(|calls| calls >= 2.0), "{text}");
    assert_eq!(metric(&text, "ranq_http_requests_in_flight"), Some(1.0), "this one");
    assert!(text.contains(&format!("ranq_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))));
    assert!(!text.contains("alice") && !text.contains("race\""), "labels hold no data: {text}");
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn unknown_paths_and_methods_make_no_labels() {
    let app = TestApp::spawn().await;
    app.get("/secret-path-1").await.fails_with(404, "not-found");
    app.raw("BREW /secret-path-2 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let text = app.get("/metrics").await.is(200).text().to_owned();
    assert!(!text.contains("secret-path") && !text.contains("BREW"), "{text}");
}

#[tokio::test]
async fn a_request_id_is_taken() {
    let app = TestApp::spawn().await;
    for id in ["r1", "0f2d9b1c-5e7a:4c3f/8b6d", &"x".repeat(128)] {
        for path in ["/health/live", "/v1/leaderboards/unknown", "/nothing", "/openapi.json", "/docs/"] {
            let answer = app.request("GET", path).header("x-request-id", id).send().await;
            assert_eq!(answer.header("x-request-id"), id, "{path}");
        }
    }
}

#[tokio::test]
async fn a_request_id_is_made_where_none_is_given() {
    let app = TestApp::spawn().await;
    let first = app.get("/health/live").await.header("x-request-id").to_owned();
    let second = app.get("/health/live").await.header("x-request-id").to_owned();
    assert!(first.len() >= 16 && second.len() >= 16 && first != second, "{first} {second}");
}

#[tokio::test]
async fn a_bad_request_id_is_replaced() {
    let app = TestApp::spawn().await;
    for id in ["with space", &"x".repeat(129), "tab\there"] {
        let answer = app.request("GET", "/v1/leaderboards/unknown").header("x-request-id", id).send().await;
        assert_ne!(answer.header("x-request-id"), id);
        assert!(answer.header("x-request-id").bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}

#[tokio::test]
async fn every_kind_of_problem_has_its_page() {
    let app = TestApp::spawn().await;
    for code in ErrorCode::ALL {
        let facts = code.facts();
        let page = app.get(format!("/problems/{}", facts.slug)).await.is(200);
        assert!(page.header("content-type").starts_with("text/html"));
        assert!(page.text().contains(facts.slug) && page.text().contains(facts.title), "{}", facts.slug);
    }
}

/// The slugs of the table in the HTTP contract.
const SLUGS: [&str; 15] = [
    "malformed-request",
    "unauthenticated",
    "forbidden",
    "not-found",
    "method-not-allowed",
    "unsupported-media-type",
    "payload-too-large",
    "conflict",
    "period-closed",
    "idempotency-mismatch",
    "invalid",
    "rate-limited",
    "outcome-unknown",
    "store-unavailable",
    "request-timeout",
];

#[tokio::test]
async fn the_slugs_of_the_contract_stand() {
    let app = TestApp::spawn().await;
    for slug in SLUGS {
        app.get(format!("/problems/{slug}")).await.is(200);
    }
    app.get("/problems/unknown").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn metrics_may_be_for_administrators() {
    let app = TestApp::with().admin_token(TOKEN).set("metrics_access", "admin").spawn().await;
    let admin = app.mint(json!({"name": "monitor", "scopes": ["admin"]})).await;
    let reader = app.mint(json!({"name": "reader", "scopes": ["leaderboards:read", "queues:admin"]})).await;
    app.request("GET", "/metrics").without_token().send().await.fails_with(401, "unauthenticated");
    app.request("GET", "/metrics").token("wrong").send().await.fails_with(401, "unauthenticated");
    app.request("GET", "/metrics").token(&reader).send().await.fails_with(403, "forbidden");
    for token in [TOKEN, &admin] {
        assert!(app.request("GET", "/metrics").token(token).send().await.is(200).text().contains("ranq_build_info"));
    }
    for path in ["/health/live", "/health/ready", "/problems/invalid"] {
        app.request("GET", path).without_token().send().await.is(200);
    }
}

#[tokio::test]
async fn metrics_may_be_off() {
    let app = TestApp::with().admin_token(TOKEN).set("metrics_access", "off").spawn().await;
    app.get("/metrics").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn metrics_are_open_unless_said_otherwise() {
    let app = TestApp::with().admin_token(TOKEN).spawn().await;
    app.request("GET", "/metrics").without_token().send().await.is(200);
}
