//! What `/metrics` says of queues.

use std::time::Duration;

use serde_json::json;

use crate::support::{Scrape, TestApp, eventually};

const EMAILS: (&str, &str) = ("queue", "emails");

/// Waits until a metric of the queue `emails` has this value.
async fn until(app: &TestApp, name: &str, labels: &[(&str, &str)], value: f64) {
    let labels = [&[EMAILS], labels].concat();
    let what = format!("{name} {labels:?} is {value}");
    eventually(&what, async || (app.scrape().await.sum(name, &labels) == Some(value)).then_some(())).await;
}

fn total(scrape: &Scrape, name: &str) -> f64 {
    scrape.sum(name, &[EMAILS]).unwrap_or(0.0)
}

#[tokio::test]
async fn the_depth_of_a_queue_is_told_by_state() {
    let app = TestApp::spawn().await;
    for number in 0..6 {
        app.enqueue("emails", number).await;
    }
    app.enqueue_job("emails", json!({"payload": 1, "delay_ms": 1000})).await.is(201);
    let held = app.lease("emails", 4).await;
    app.ack(&held[0]).await.is(200);
    app.nack(&held[1], json!({"dead": true})).await.is(200);
    app.delete(format!("/v1/queues/emails/jobs/{}", held[2].id)).await.is(204);
    for (state, jobs) in
        [("ready", 2.0), ("scheduled", 1.0), ("active", 1.0), ("completed", 1.0), ("dead", 1.0), ("cancelled", 1.0)]
    {
        until(&app, "ranq_queue_jobs", &[("state", state)], jobs).await;
    }
    app.delete("/v1/queues/emails").await.is(204);
    eventually("the queue is gone", async || {
        app.scrape().await.sum("ranq_queue_jobs", &[EMAILS]).is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_age_of_the_oldest_ready_job_is_told() {
    let app = TestApp::spawn().await;
    app.enqueue("emails", 1).await;
    app.advance(Duration::from_secs(60));
    app.enqueue("emails", 2).await;
    app.advance(Duration::from_secs(30));
    until(&app, "ranq_queue_oldest_ready_seconds", &[], 90.0).await;
    assert_eq!(app.queue("emails").await["oldest_ready_ms"], 90_000);
    app.lease_one("emails").await;
    until(&app, "ranq_queue_oldest_ready_seconds", &[], 30.0).await;
    app.lease_one("emails").await;
    eventually("there is none", async || {
        (total(&app.scrape().await, "ranq_queue_oldest_ready_seconds") == 0.0).then_some(())
    })
    .await;
    assert_eq!(app.queue("emails").await["oldest_ready_ms"], json!(null));
}

#[tokio::test]
async fn jobs_are_counted_at_each_step() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({"max_attempts": 2})).await;
    app.enqueue_job("emails", json!({"payload": 1, "id": "one"})).await.is(201);
    app.enqueue_job("emails", json!({"payload": 1, "id": "one"})).await.is(200);
    app.enqueue_many("emails", vec![json!({"payload": 2}), json!({"payload": 3}), json!({"payload": 4, "id": "one"})])
        .await
        .is(200);
    let held = app.lease("emails", 3).await;
    app.ack(&held[0]).await.is(200);
    app.ack(&held[0]).await.is(200);
    app.nack(&held[1], json!({"retry_in_ms": 0})).await.is(200);
    let again = app.lease_soon("emails").await;
    app.nack(&again, json!({})).await.is(200);
    until(&app, "ranq_jobs_enqueued_total", &[], 3.0).await;
    until(&app, "ranq_jobs_completed_total", &[], 1.0).await;
    until(&app, "ranq_jobs_failed_total", &[], 2.0).await;
    until(&app, "ranq_jobs_dead_total", &[], 1.0).await;

    // A lease that ends is a failed run.
    app.advance(Duration::from_secs(30));
    until(&app, "ranq_jobs_failed_total", &[], 3.0).await;
    let last = app.lease_soon("emails").await;
    app.dequeue("emails", json!({"ack": [last.to_ack()]})).await.is(200);
    until(&app, "ranq_jobs_completed_total", &[], 2.0).await;
    assert_eq!(total(&app.scrape().await, "ranq_jobs_dead_total"), 1.0);
    assert_eq!(total(&app.scrape().await, "ranq_jobs_enqueued_total"), 3.0);
}

#[tokio::test]
async fn what_retention_removes_is_counted_by_state_and_reason() {
    let app = TestApp::spawn().await;
    let settings = json!({"retention_ms": 60_000, "dead_retention_ms": 120_000, "retention_count": 2});
    app.create_queue("emails", settings).await;
    for number in 0..5 {
        app.enqueue("emails", number).await;
    }
    let held = app.lease("emails", 5).await;
    app.nack(&held[4], json!({"dead": true})).await.is(200);
    for leased in &held[..4] {
        app.ack(leased).await.is(200);
    }
    let removed = "ranq_jobs_removed_total";
    until(&app, removed, &[("state", "completed")], 2.0).await;
    app.until_count("emails", "completed", 2).await;
    app.advance(Duration::from_secs(60));
    until(&app, removed, &[("state", "completed")], 4.0).await;
    app.advance(Duration::from_secs(60));
    until(&app, removed, &[("state", "dead")], 1.0).await;
    let scrape = app.scrape().await;
    let reasons = |state: &str| scrape.all(removed, &[EMAILS, ("state", state)]).len();
    assert_eq!((reasons("completed"), reasons("dead")), (2, 1), "{}", scrape.text());
    assert!(scrape.text().contains("reason=\""));
    app.job("emails", &held[4].id).await.fails_with(404, "not-found");
}

#[tokio::test]
async fn how_long_jobs_wait_and_run_is_measured() {
    let app = TestApp::spawn().await;
    app.enqueue("emails", 1).await;
    app.advance(Duration::from_secs(3));
    let leased = app.lease_one("emails").await;
    app.advance(Duration::from_secs(2));
    app.ack(&leased).await.is(200);
    until(&app, "ranq_job_wait_seconds_count", &[], 1.0).await;
    until(&app, "ranq_job_wait_seconds_sum", &[], 3.0).await;
    until(&app, "ranq_job_run_seconds_count", &[], 1.0).await;
    until(&app, "ranq_job_run_seconds_sum", &[], 2.0).await;
    let scrape = app.scrape().await;
    for name in ["ranq_job_wait_seconds_bucket", "ranq_job_run_seconds_bucket"] {
        assert_eq!(scrape.sum(name, &[EMAILS, ("le", "+Inf")]), Some(1.0), "{}", scrape.text());
        assert!(scrape.all(name, &[EMAILS]).len() > 5);
    }
}

#[tokio::test]
async fn labels_hold_queues_and_nothing_of_their_jobs() {
    let app = TestApp::spawn().await;
    let job = json!({"payload": "secret-1", "id": "secret-2", "key": "secret-3", "unique_key": "secret-4"});
    app.enqueue_job("emails", job).await.is(201);
    app.dequeue("emails", json!({"worker": "secret-5"})).await.is(200);
    app.dequeue("never-made", json!({})).await.is(200);
    app.queue("never-made-either").await.fails_with(404, "not-found");
    until(&app, "ranq_queue_jobs", &[("state", "active")], 1.0).await;
    let scrape = app.scrape().await;
    assert!(!scrape.text().contains("secret") && !scrape.text().contains("never-made"), "{}", scrape.text());
}
