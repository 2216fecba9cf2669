//! What is open with a token ends with it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use super::ADMIN;
use crate::support::{Answer, Events, OwnRedis, TestApp, eventually};

/// Within which what is open ends.
const PROMISED: Duration = Duration::from_secs(2);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two services on one Redis.
async fn two() -> (OwnRedis, TestApp, TestApp) {
    let redis = OwnRedis::spawn().await;
    let spawn = || TestApp::with().admin_token(ADMIN).redis_url(&redis.url()).spawn();
    let (one, other) = (spawn().await, spawn().await);
    (redis, one, other)
}

impl TestApp {
    async fn id_and_token(&self, rights: Value) -> (String, String) {
        let mut body = json!({"name": "some", "scopes": ["leaderboards:read", "jobs:work", "queues:read"]});
        body.as_object_mut().expect("an object").extend(rights.as_object().cloned().unwrap_or_default());
        let made = self.post("/v1/tokens", body).await.is(201);
        let text = |field: &str| made[field].as_str().expect("a text").to_owned();
        (text("id"), text("token"))
    }

    async fn wait_for_a_job(&self, queue: &str, token: &str) -> Answer {
        let body = json!({"wait_ms": 30_000, "worker": "waiter"});
        self.request("POST", format!("/v1/queues/{queue}/dequeue")).token(token).body(body).send().await
    }

    async fn until_waiting(&self, waiters: u64) {
        let waiting = async || {
            let metrics = self.get("/metrics").await;
            // This request is one of them, and a stream that has begun is none.
            let line = format!("ranq_http_requests_in_flight {}\n", waiters + 1);
            metrics.text().contains(&line).then_some(())
        };
        eventually("all wait", waiting).await;
    }

    /// Follows a ranking with a token.
    async fn events_with(&self, token: &str) -> Events {
        Events::open_with(self.address(), "/v1/leaderboards/race/events", None, Some(token)).await
    }
}

/// Reads a stream to its end, which must say why.
async fn ends(mut events: Events) {
    let (_, last) = events.until(|event| event.name == "end").await;
    assert_eq!(last.data, json!({"reason": "unauthenticated"}));
    assert!(events.block().await.is_none(), "nothing follows");
}

#[tokio::test]
async fn what_is_open_ends_with_the_token_on_every_instance() {
    let (_redis, one, other) = two().await;
    one.submit("race", "ann", 1).await;
    let job = one.enqueue_job("later", json!({"payload": 1, "delay_ms": 60_000})).await.is(201);
    let (id, token) = one.id_and_token(json!({})).await;
    let (kept_id, kept) = one.id_and_token(json!({})).await;
    let target = format!("/v1/queues/later/jobs/{}?wait_ms=30000", job.id());
    let waits = join_all([&one, &other].map(async |app| {
        let streams = [app.events_with(&token).await, app.events_with(&token).await];
        let several = json!({"queues": ["mail", "more"], "wait_ms": 30_000});
        let several = app.request("POST", "/v1/dequeue").token(&token).body(several).send();
        let result = app.request("GET", &target).token(&token).send();
        let waiting = join_all([app.wait_for_a_job("mail", &token), app.wait_for_a_job("mail", &token)]);
        let (waited, (several, result)) = join(waiting, join(several, result)).await;
        for answer in waited.into_iter().chain([several, result]) {
            answer.fails_with(401, "unauthenticated");
        }
        for events in streams {
            ends(events).await;
        }
        Instant::now()
    }));
    let revoke = async {
        let (mut stream, goes_on) = (other.events_with(&kept).await, other.wait_for_a_job("mail", &kept));
        let told = async {
            one.until_waiting(4).await;
            other.until_waiting(5).await;
            one.delete(format!("/v1/tokens/{id}")).await.is(204);
            let revoked = Instant::now();
            // Who waits with another token is not disturbed, and gets what comes.
            eventually("the waits have ended", async || {
                let metrics = other.get("/metrics").await;
                metrics.text().contains("ranq_http_requests_in_flight 2\n").then_some(())
            })
            .await;
            one.enqueue("mail", "for the other").await;
            revoked
        };
        let (answer, revoked) = join(goes_on, told).await;
        assert_eq!(answer.is(200).payloads(), [json!("for the other")]);
        one.submit("race", "bob", 2).await;
        stream.until(|event| event.data["total"] == 2).await;
        one.delete(format!("/v1/tokens/{kept_id}")).await.is(204);
        ends(stream).await;
        revoked
    };
    let (ended, revoked) = join(waits, revoke).await;
    for ended in ended {
        assert!(ended - revoked < PROMISED, "{:?}", ended - revoked);
    }
}

#[tokio::test]
async fn what_is_open_ends_when_the_token_does() {
    let app = TestApp::guarded().await;
    app.submit("race", "ann", 1).await;
    let (_, token) = app.id_and_token(json!({"expires_in_ms": 60_000})).await;
    let events = app.events_with(&token).await;
    let waits = app.wait_for_a_job("mail", &token);
    let end = async {
        app.until_waiting(1).await;
        app.advance(Duration::from_millis(59_999));
        app.request("GET", "/v1/queues").token(&token).send().await.is(200);
        app.advance(Duration::from_millis(1));
        Instant::now()
    };
    let (answer, ended) = join(waits, end).await;
    answer.fails_with(401, "unauthenticated");
    ends(events).await;
    assert!(ended.elapsed() < PROMISED, "{:?}", ended.elapsed());
    // No lease was given to it.
    app.enqueue("mail", 1).await;
    assert_eq!(app.lease("mail", 1).await.len(), 1);
}

#[tokio::test]
async fn a_rotation_ends_what_the_old_text_has_opened_when_its_overlap_is_over() {
    let app = TestApp::guarded().await;
    app.submit("race", "ann", 1).await;
    let (id, old) = app.id_and_token(json!({})).await;
    let (first, second) = (app.events_with(&old).await, app.events_with(&old).await);
    let rotated = app.post(format!("/v1/tokens/{id}/rotate"), json!({"overlap_ms": 60_000})).await.is(200);
    let new = rotated["token"].as_str().expect("the text");
    let mut goes_on = app.events_with(new).await;
    app.advance(Duration::from_secs(59));
    app.submit("race", "bob", 2).await;
    let mut second = second;
    second.until(|event| event.data["total"] == 2).await;
    app.advance(Duration::from_secs(1));
    let over = Instant::now();
    ends(first).await;
    ends(second).await;
    assert!(over.elapsed() < PROMISED, "{:?}", over.elapsed());
    app.submit("race", "carol", 3).await;
    goes_on.until(|event| event.data["total"] == 3).await;
}

#[tokio::test]
async fn a_token_that_is_revoked_while_a_wait_begins_ends_it() {
    let (_redis, one, other) = two().await;
    for _ in 0..10 {
        let (id, token) = one.id_and_token(json!({})).await;
        // Some are let in before the other instance has heard, and register after.
        let waits = join_all((0..8).map(|_| other.wait_for_a_job("mail", &token)));
        let (answers, revoked) = join(waits, one.delete(format!("/v1/tokens/{id}"))).await;
        revoked.is(204);
        assert!(answers.iter().all(|answer| answer.status == 401));
    }
}

/// Sends a request without its end, and gives the connection.
fn send(app: &TestApp, head: &str, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(app.address()).expect("the service listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let head = format!("{head}\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    stream
}

/// Reads all that is left.
async fn rest(mut stream: TcpStream) -> String {
    let read = move || {
        let mut answer = Vec::new();
        // A connection that is cut off may be reset.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::task::spawn_blocking(read).await.expect("no panic")
}

#[tokio::test]
async fn an_import_ends_with_the_token_and_keeps_what_it_has_set() {
    let app = TestApp::guarded().await;
    app.submit("race", "first", 1).await;
    let (id, token) = app.id_and_token(json!({"scopes": ["leaderboards:admin", "leaderboards:read"]})).await;
    let chunk = |name: &str| {
        let rows: String = (0..150).map(|n| format!("{{\"member\":\"{name}{n}\",\"score\":{n}}}\n")).collect();
        format!("{:x}\r\n{rows}\r\n", rows.len())
    };
    let head = "POST /v1/leaderboards/race/import?format=ndjson HTTP/1.1\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked";
    let mut import = send(&app, head, &token);
    import.write_all(chunk("a").as_bytes()).expect("sent");
    let count = async || app.rankings("race", "limit=1").await["total"].as_u64();
    eventually("a hundred rows are set", async || (count().await == Some(101)).then_some(())).await;
    let events = app.events_with(&token).await;
    app.delete(format!("/v1/tokens/{id}")).await.is(204);
    ends(events).await;
    import.write_all(format!("{}0\r\n\r\n", chunk("b")).as_bytes()).expect("sent");
    let answer = rest(import).await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("/problems/unauthenticated"), "{answer}");
    assert_eq!(count().await, Some(101));
    // What was done of it is in the log.
    assert_eq!(app.get("/v1/audit?operation=import_leaderboard").await["entries"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn an_export_is_cut_off_with_the_token() {
    let app = TestApp::guarded().await;
    let metadata = "x".repeat(2000);
    for batch in 0..8 {
        let row = |n: u32| json!({"member": format!("m{batch}.{n}"), "score": n, "metadata": metadata});
        app.post(
            "/v1/leaderboards/race/scores/batch?ranks=false",
            json!({"scores": (0..1000).map(row).collect::<Vec<Value>>()}),
        )
        .await
        .is(200);
    }
    let (id, token) = app.id_and_token(json!({})).await;
    // Nobody reads: it stands when the buffers are full.
    let export = send(&app, "GET /v1/leaderboards/race/export HTTP/1.1", &token);
    let events = app.events_with(&token).await;
    app.delete(format!("/v1/tokens/{id}")).await.is(204);
    ends(events).await;
    let answer = rest(export).await;
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.ends_with("0\r\n\r\n"), "it looks whole");
    let rows = answer.matches("\"rank\"").count();
    assert!(rows < 8000, "{rows} rows");
}

#[tokio::test]
async fn where_no_token_is_needed_none_ends_anything() {
    let app = TestApp::spawn().await;
    let (id, token) = app.id_and_token(json!({})).await;
    app.delete(format!("/v1/tokens/{id}")).await.is(204);
    // Longer than it takes to look at what is open.
    let body = json!({"wait_ms": 1500});
    let waited = app.request("POST", "/v1/queues/mail/dequeue").token(&token).body(body).send().await.is(200);
    assert!(waited.jobs().is_empty());
}
