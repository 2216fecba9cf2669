//! Who has asked for work in the last minute.

use std::time::Duration;

use futures_util::future::join;
use serde_json::{Value, json};

use crate::support::{OwnRedis, TestApp};

async fn workers(app: &TestApp) -> Value {
    app.get("/v1/workers").await.is(200)["workers"].clone()
}

async fn work(app: &TestApp, worker: &str, queue: &str) -> Vec<crate::support::Leased> {
    app.dequeue(queue, json!({"worker": worker})).await.is(200).leased(queue)
}

#[tokio::test]
async fn workers_are_listed_by_name_with_what_they_do() {
    let app = TestApp::spawn().await;
    assert_eq!(workers(&app).await, json!([]));
    for number in 0..3 {
        app.enqueue("emails", number).await;
    }
    work(&app, "zoe", "emails").await;
    app.advance(Duration::from_millis(1234));
    work(&app, "ann", "emails").await;
    work(&app, "ann", "emails").await;
    work(&app, "ann", "reports").await;
    let expected = json!([
        {"worker": "ann", "queues": ["emails", "reports"], "active": 2, "last_seen_at": "2026-11-23T05:40:01.234Z"},
        {"worker": "zoe", "queues": ["emails"], "active": 1, "last_seen_at": "2026-11-23T05:40:00.000Z"},
    ]);
    assert_eq!(workers(&app).await, expected);
}

#[tokio::test]
async fn a_job_that_is_done_or_lost_is_no_longer_active() {
    let app = TestApp::spawn().await;
    for number in 0..4 {
        app.enqueue("emails", number).await;
    }
    let held = app.dequeue("emails", json!({"worker": "ann", "limit": 4})).await.is(200).leased("emails");
    assert_eq!(held[0].job["worker"], "ann");
    let active = async || workers(&app).await[0]["active"].clone();
    assert_eq!(active().await, 4);
    app.ack(&held[0]).await.is(200);
    app.nack(&held[1], json!({})).await.is(200);
    app.delete(format!("/v1/queues/emails/jobs/{}", held[2].id)).await.is(204);
    assert_eq!(active().await, 1);
    app.advance(Duration::from_secs(30));
    app.until_count("emails", "active", 0).await;
    assert_eq!(active().await, 0);
}

#[tokio::test]
async fn a_heartbeat_is_a_sign_of_life() {
    let app = TestApp::spawn().await;
    app.enqueue("emails", 1).await;
    let held = work(&app, "ann", "emails").await.remove(0);
    for _ in 0..5 {
        app.advance(Duration::from_secs(20));
        app.extend(&held, json!({})).await.is(200);
    }
    let found = workers(&app).await;
    let expected = json!([
        {"worker": "ann", "queues": ["emails"], "active": 1, "last_seen_at": "2026-11-23T05:41:40.000Z"},
    ]);
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_worker_is_forgotten_after_a_minute_of_silence() {
    let app = TestApp::spawn().await;
    work(&app, "ann", "emails").await;
    app.advance(Duration::from_secs(30));
    work(&app, "bob", "emails").await;
    app.advance(Duration::from_secs(29));
    assert_eq!(workers(&app).await.as_array().map(Vec::len), Some(2));
    app.advance(Duration::from_secs(2));
    assert_eq!(workers(&app).await.as_array().map(|found| found[0]["worker"].clone()), Some(json!("bob")));
    app.advance(Duration::from_secs(60));
    assert_eq!(workers(&app).await, json!([]));
}

#[tokio::test]
async fn a_worker_of_several_queues_is_listed_once_by_every_instance() {
    let redis = OwnRedis::spawn().await;
    let spawn = || TestApp::with().redis_url(&redis.url()).spawn();
    let (one, other) = (spawn().await, spawn().await);
    one.enqueue("b", 1).await;
    let body = json!({"queues": ["a", "b"], "worker": "名前 1"});
    assert_eq!(one.post("/v1/dequeue", body).await.is(200).jobs().len(), 1);
    work(&other, "名前 1", "c").await;
    let expected = json!([
        {"worker": "名前 1", "queues": ["a", "b", "c"], "active": 1, "last_seen_at": "2026-11-23T05:40:00.000Z"},
    ]);
    assert_eq!(workers(&one).await, expected);
    assert_eq!(workers(&other).await, expected);
}

#[tokio::test]
async fn a_worker_that_waits_is_listed_and_one_without_a_name_is_not() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({})).await;
    app.dequeue("emails", json!({})).await.is(200);
    assert_eq!(workers(&app).await, json!([]));
    let (answer, ()) = join(app.dequeue("emails", json!({"worker": "ann", "wait_ms": 20_000})), async {
        app.until_in_flight(1).await;
        let listed = async || (workers(&app).await[0]["worker"] == "ann").then_some(());
        crate::support::eventually("the worker is listed", listed).await;
        app.enqueue("emails", 1).await;
    })
    .await;
    assert_eq!(answer.is(200).jobs()[0]["worker"], "ann");
}

#[tokio::test]
async fn a_name_that_is_none_is_refused() {
    let app = TestApp::spawn().await;
    for name in ["", "a\u{7}b", &"x".repeat(129)] {
        app.dequeue("emails", json!({"worker": name})).await.fails_at(&["/worker"]);
    }
    app.get("/v1/workers?limit=1&who=ann").await.fails_with(422, "invalid");
}
