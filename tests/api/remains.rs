//! What is done leaves nothing behind, or memory would grow for ever.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::TestApp;

const JOBS: usize = 300;
/// Less than an id with what Redis needs to keep it.
const BYTES_A_JOB: usize = 20;

/// What all keys of queues take, in bytes.
fn memory(app: &TestApp) -> usize {
    let mut redis = app.redis();
    let usage = |key: &String| -> Option<usize> {
        redis::cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0).query(&mut redis).expect("MEMORY USAGE works")
    };
    app.keys().iter().filter_map(usage).sum()
}

/// Runs a round again and again, and asserts that the later ones leave nothing more than the first two.
async fn assert_bounded(app: &TestApp, mut round: impl AsyncFnMut(usize)) {
    let mut after = Vec::new();
    for number in 0..5 {
        round(number).await;
        after.push(memory(app));
    }
    // What comes late on a busy machine comes all the same; Redis gives back what large keys took when it has time.
    let bound = after[0].max(after[1]) + JOBS * BYTES_A_JOB;
    let what = format!("later rounds leave nothing more than the first: {after:?}");
    crate::support::eventually(&what, async || (memory(app) < bound).then_some(())).await;
}

async fn work_off(app: &TestApp, ids: &[String]) {
    let mut left = ids.len();
    while left > 0 {
        let leased = app.lease("work", 100).await;
        assert!(!leased.is_empty(), "{left} are left");
        left -= leased.len();
        let acks: Vec<Value> = leased.iter().map(crate::support::Leased::to_ack).collect();
        app.post("/v1/queues/work/acks", json!({"acks": acks})).await.is(200);
    }
}

async fn enqueue(app: &TestApp, job: impl Fn(usize) -> Value) -> Vec<String> {
    let answer = app.enqueue_many("work", (0..JOBS).map(job).collect()).await.is(200);
    let results = answer["results"].as_array().expect("results");
    results.iter().map(|result| result["id"].as_str().expect("an id").to_owned()).collect()
}

async fn forgetful(settings: Value) -> TestApp {
    let app = TestApp::spawn().await;
    let mut settings = settings;
    settings["retention_ms"] = json!(0);
    app.create_queue("work", settings).await;
    app
}

#[tokio::test]
async fn keys_that_are_done_with_leave_nothing() {
    for keys in [
        json!({"max_concurrency": 1}),
        json!({"max_concurrency": 2, "fair": true}),
        json!({"rate_limit": {"limit": 1, "per_ms": 1000}}),
    ] {
        let app = forgetful(json!({"keys": keys})).await;
        assert_bounded(&app, async |round| {
            let ids = enqueue(&app, |number| json!({"payload": 1, "key": format!("key-{round}-{number}")})).await;
            work_off(&app, &ids).await;
            app.advance(Duration::from_secs(120));
            // A job of another key is a sign of life that a queue has.
            app.enqueue_job("work", json!({"payload": 1, "key": "life"})).await.is(201);
            let leased = app.lease_one("work").await;
            app.ack(&leased).await.is(200);
        })
        .await;
    }
}

#[tokio::test]
async fn unique_keys_that_are_free_leave_nothing() {
    for lock in [json!({}), json!({"unique_until": "started"}), json!({"unique_for_ms": 1000})] {
        let app = forgetful(json!({})).await;
        assert_bounded(&app, async |round| {
            let job = |number| {
                let mut job = lock.clone();
                job["payload"] = json!(1);
                job["unique_key"] = json!(format!("lock-{round}-{number}"));
                job
            };
            let ids = enqueue(&app, job).await;
            work_off(&app, &ids).await;
            app.advance(Duration::from_secs(120));
            app.until_count("work", "completed", 0).await;
        })
        .await;
    }
}

#[tokio::test]
async fn jobs_that_are_cancelled_with_no_worker_around_leave_nothing() {
    for fields in [json!({}), json!({"key": "a"}), json!({"delay_ms": 60_000}), json!({"expires_in_ms": 60_000})] {
        let app = forgetful(json!({"keys": {"max_concurrency": 1}})).await;
        assert_bounded(&app, async |_| {
            let job = |_| {
                let mut job = fields.clone();
                job["payload"] = json!(1);
                job
            };
            for id in enqueue(&app, job).await {
                app.delete(format!("/v1/queues/work/jobs/{id}")).await.is(204);
            }
        })
        .await;
    }
}

#[tokio::test]
async fn jobs_that_are_replaced_with_no_worker_around_leave_nothing() {
    let app = forgetful(json!({})).await;
    assert_bounded(&app, async |_| {
        let job = |number| json!({"payload": number, "unique_key": "one", "on_duplicate": "replace"});
        enqueue(&app, job).await;
        assert_eq!(app.count("work", "ready").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_deleted_queue_leaves_nothing() {
    let app = TestApp::spawn().await;
    app.create_queue("other", json!({})).await;
    let before = app.keys();
    let settings = json!({"keys": {"max_concurrency": 1, "rate_limit": {"limit": 5, "per_ms": 60_000}, "fair": true},
        "rate_limit": {"limit": 10, "per_ms": 60_000}});
    app.create_queue("work", settings).await;
    enqueue(&app, |number| match number % 4 {
        0 => json!({"payload": 1, "key": format!("{}", number % 7), "unique_key": format!("{number}")}),
        1 => json!({"payload": 1, "delay_ms": 1000}),
        2 => json!({"payload": 1, "expires_in_ms": 1000, "priority": 9}),
        _ => json!({"payload": 1, "key": "a"}),
    })
    .await;
    let leased = app.dequeue("work", json!({"limit": 5, "worker": "ann"})).await.is(200).leased("work");
    app.ack(&leased[0]).await.is(200);
    app.nack(&leased[1], json!({"dead": true})).await.is(200);
    app.put("/v1/queues/work/schedules/each", json!({"cron": "* * * * *", "payload": 1})).await.is(201);
    app.delete("/v1/queues/work").await.is(204);
    crate::support::eventually("all of it is gone", async || (app.keys() == before).then_some(())).await;
}
