//! Jobs that start later, and jobs that must have started by a time.

use std::time::Duration;

use futures_util::future::join;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

const DUE_WITHIN_MS: i64 = 250;

fn millis(time: &Value) -> i64 {
    let time = time.as_str().unwrap_or_else(|| panic!("{time} is no time"));
    time.parse::<jiff::Timestamp>().expect("RFC 3339").as_millisecond()
}

/// Enqueues jobs that are named by their delays.
async fn delayed(app: &TestApp, delays_ms: impl IntoIterator<Item = u64>) {
    let jobs = delays_ms.into_iter().map(|ms| json!({"payload": ms, "delay_ms": ms})).collect();
    app.enqueue_many("work", jobs).await.is(200);
}

async fn dequeue_all(app: &TestApp) -> Vec<Value> {
    app.dequeue("work", json!({"limit": 100})).await.is(200).payloads()
}

#[tokio::test]
async fn a_delayed_job_waits_as_scheduled_and_says_when_it_is_due() {
    let app = TestApp::spawn().await;
    let by_delay = app.enqueue_job("work", json!({"payload": 1, "delay_ms": 1500})).await.is(201);
    assert_eq!((&by_delay["state"], &by_delay["run_at"]), (&json!("scheduled"), &json!("2026-11-23T05:40:01.500Z")));
    let at = json!({"payload": 2, "run_at": "2026-11-23T06:40:02.001+01:00"});
    let by_time = app.enqueue_job("work", at).await.is(201);
    assert_eq!((&by_time["state"], &by_time["run_at"]), (&json!("scheduled"), &json!("2026-11-23T05:40:02.001Z")));
    assert_eq!((app.count("work", "scheduled").await, app.count("work", "ready").await), (2, 0));
    assert_eq!(dequeue_all(&app).await, [0; 0]);
}

#[tokio::test]
async fn a_delay_of_nothing_or_a_time_that_has_passed_is_ready_now() {
    let app = TestApp::spawn().await;
    for fields in [
        json!({"delay_ms": 0}),
        json!({"run_at": "2026-11-23T05:40:00.000Z"}),
        json!({"run_at": "2020-01-01T00:00:00Z"}),
    ] {
        let mut job = fields;
        job["payload"] = json!(1);
        assert_eq!(app.enqueue_job("work", job).await.is(201)["state"], "ready");
    }
    assert_eq!(dequeue_all(&app).await.len(), 3);
}

#[tokio::test]
async fn a_job_is_due_at_its_time_and_not_a_millisecond_before() {
    let app = TestApp::spawn().await;
    delayed(&app, [1000]).await;
    app.advance(Duration::from_millis(999));
    // Longer than whoever looks for due jobs sleeps.
    assert_eq!(app.dequeue("work", json!({"wait_ms": 400})).await.is(200).jobs().len(), 0);
    app.advance(Duration::from_millis(1));
    let leased = app.lease_soon("work").await;
    assert_eq!((&leased.job["payload"], leased.attempt()), (&json!(1000), 1));
    assert_eq!(leased.job["started_at"], "2026-11-23T05:40:01.000Z");
}

#[tokio::test]
async fn due_jobs_go_in_the_order_of_their_time() {
    let app = TestApp::spawn().await;
    delayed(&app, [3000, 1000, 2000, 500, 9000]).await;
    app.advance(Duration::from_secs(5));
    app.until_count("work", "ready", 4).await;
    assert_eq!(dequeue_all(&app).await, [500, 1000, 2000, 3000]);
}

#[tokio::test]
async fn thousands_that_are_due_at_once_go_in_the_order_of_their_time() {
    let app = TestApp::spawn().await;
    // Each of 1 to 3,000 once, in no order.
    let delays: Vec<u64> = (0..3000_u64).map(|number| number * 1009 % 3000 + 1).collect();
    for chunk in delays.chunks(1000) {
        delayed(&app, chunk.iter().copied()).await;
    }
    app.advance(Duration::from_secs(3));
    app.until_count("work", "ready", 3000).await;
    let mut found = Vec::new();
    for _ in 0..30 {
        found.extend(dequeue_all(&app).await);
    }
    assert_eq!(found, (1..=3000).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_due_job_joins_the_end_of_its_priority() {
    let app = TestApp::spawn().await;
    delayed(&app, [1000]).await;
    app.enqueue_job("work", json!({"payload": "urgent", "delay_ms": 1000, "priority": 5})).await.is(201);
    app.enqueue("work", "before").await;
    app.advance(Duration::from_secs(1));
    app.until_count("work", "ready", 3).await;
    app.enqueue("work", "after").await;
    let expected = [json!("urgent"), json!("before"), json!(1000), json!("after")];
    assert_eq!(dequeue_all(&app).await, expected);
}

#[tokio::test]
async fn a_waiting_dequeue_gets_a_job_within_250_ms_of_its_time_and_never_early() {
    let app = TestApp::with().server_clock().spawn().await;
    let mut late = Vec::new();
    // A machine that is busy with other things may be late; a service that is late by itself always is.
    for _ in 0..4 {
        late.clear();
        for delay_ms in [120, 333, 510, 700] {
            let job = json!({"payload": 1, "delay_ms": delay_ms});
            let enqueued = async {
                app.until_in_flight(1).await;
                app.enqueue_job("work", job).await.is(201)
            };
            let (answer, enqueued): (Answer, Answer) =
                join(app.dequeue("work", json!({"wait_ms": 20_000})), enqueued).await;
            let leased = answer.is(200).leased("work").remove(0);
            assert_eq!(leased.id, enqueued.id());
            let lateness = millis(&leased.job["started_at"]) - millis(&enqueued["run_at"]);
            assert!(lateness >= 0, "{lateness} ms");
            late.push(lateness);
        }
        if late.iter().all(|ms| *ms <= DUE_WITHIN_MS) {
            return;
        }
    }
    panic!("late by {late:?} ms");
}

#[tokio::test]
async fn a_retry_reaches_a_waiting_dequeue_within_250_ms_of_its_time() {
    let app = TestApp::with().server_clock().spawn().await;
    app.enqueue("work", 1).await;
    let mut late = Vec::new();
    for _ in 0..4 {
        let leased = app.lease_soon("work").await;
        let nacked = app.nack(&leased, json!({"retry_in_ms": 400})).await.is(200);
        let again = app.dequeue("work", json!({"wait_ms": 20_000})).await.is(200).leased("work").remove(0);
        late.push(millis(&again.job["started_at"]) - millis(&nacked["run_at"]));
        assert!(late.iter().all(|ms| *ms >= 0), "{late:?}");
        if late.iter().any(|ms| *ms <= DUE_WITHIN_MS) {
            return;
        }
        app.nack(&again, json!({"retry_in_ms": 0})).await.is(200);
    }
    panic!("late by {late:?} ms");
}

#[tokio::test]
async fn delays_survive_a_restart() {
    let app = TestApp::spawn().await;
    delayed(&app, [2000, 1000]).await;
    let app = app.restart().await;
    assert_eq!(app.count("work", "scheduled").await, 2);
    app.advance(Duration::from_secs(2));
    app.until_count("work", "ready", 2).await;
    assert_eq!(dequeue_all(&app).await, [1000, 2000]);
}

#[tokio::test]
async fn a_job_that_has_not_started_by_its_time_is_cancelled() {
    let app = TestApp::spawn().await;
    let job = app.enqueue_job("work", json!({"payload": "short", "expires_in_ms": 1000})).await.is(201);
    assert_eq!(job["expires_at"], "2026-11-23T05:40:01.000Z");
    app.enqueue("work", "long").await;
    app.advance(Duration::from_secs(1));
    // At once, whether or not anybody has come to drop the job.
    assert_eq!(dequeue_all(&app).await, ["long"]);
    app.until_count("work", "cancelled", 1).await;
    let job = app.job("work", job.id()).await.is(200);
    assert_eq!((&job["state"], &job["attempt"]), (&json!("cancelled"), &json!(0)));
    assert!(job["finished_at"].is_string());
    assert_eq!(app.count("work", "ready").await, 0);
}

#[tokio::test]
async fn a_job_may_start_up_to_its_time() {
    let app = TestApp::spawn().await;
    app.enqueue_job("work", json!({"payload": 1, "expires_in_ms": 1000})).await.is(201);
    app.advance(Duration::from_millis(999));
    let leased = app.lease_one("work").await;
    app.advance(Duration::from_secs(2));
    assert_eq!(app.job("work", &leased.id).await["state"], "active");
    app.ack(&leased).await.is(200);
}

#[tokio::test]
async fn a_job_that_has_started_no_longer_expires_between_its_attempts() {
    let app = TestApp::spawn().await;
    app.enqueue_job("work", json!({"payload": "started", "expires_in_ms": 1000})).await.is(201);
    app.enqueue_job("work", json!({"payload": "not", "expires_in_ms": 1000})).await.is(201);
    let leased = app.lease_one("work").await;
    app.nack(&leased, json!({"retry_in_ms": 5000})).await.is(200);
    app.advance(Duration::from_secs(5));
    app.until_count("work", "cancelled", 1).await;
    let again = app.lease_soon("work").await;
    assert_eq!((&again.job["payload"], again.attempt()), (&json!("started"), 2));
}

#[tokio::test]
async fn a_delayed_job_expires_before_it_is_due() {
    let app = TestApp::spawn().await;
    app.enqueue_job("work", json!({"payload": 1, "delay_ms": 2000, "expires_in_ms": 1000})).await.is(201);
    app.advance(Duration::from_secs(1));
    app.until_count("work", "cancelled", 1).await;
    assert_eq!(app.count("work", "scheduled").await, 0);
    app.advance(Duration::from_secs(1));
    app.enqueue("work", "witness").await;
    assert_eq!(app.lease_soon("work").await.job["payload"], "witness");
}

#[tokio::test]
async fn a_job_that_expires_before_anybody_looked_at_it_never_becomes_ready() {
    let app = TestApp::spawn().await;
    app.enqueue_job("work", json!({"payload": 1, "delay_ms": 1000, "expires_in_ms": 2000})).await.is(201);
    app.advance(Duration::from_secs(3));
    assert_eq!(dequeue_all(&app).await, [0; 0]);
    app.until_count("work", "cancelled", 1).await;
    assert_eq!(dequeue_all(&app).await, [0; 0]);
}

#[tokio::test]
async fn expiry_needs_no_traffic_and_tells_who_waits_for_the_job() {
    let app = TestApp::with().server_clock().spawn().await;
    let id = app.enqueue_job("work", json!({"payload": 1, "expires_in_ms": 300})).await.is(201).id().to_owned();
    let answer = app.get(format!("/v1/queues/work/jobs/{id}?wait_ms=20000")).await.is(200);
    assert_eq!(answer["state"], "cancelled");
    assert!(millis(&answer["finished_at"]) >= millis(&answer["expires_at"]));
}

#[tokio::test]
async fn many_expired_jobs_in_front_do_not_hide_one_that_is_ready() {
    let app = TestApp::spawn().await;
    let jobs = (0..1000).map(|number| json!({"payload": number, "expires_in_ms": 1000})).collect();
    app.enqueue_many("work", jobs).await.is(200);
    app.enqueue("work", "behind").await;
    app.advance(Duration::from_secs(1));
    assert_eq!(app.lease_soon("work").await.job["payload"], "behind");
    app.until_count("work", "cancelled", 1000).await;
}

#[tokio::test]
async fn times_out_of_bounds_are_refused() {
    let app = TestApp::spawn().await;
    let ten_years = 315_360_000_000_u64;
    for (field, value) in [
        ("delay_ms", json!(-1)),
        ("delay_ms", json!(1.5)),
        ("delay_ms", json!(ten_years + 1)),
        ("expires_in_ms", json!(-1)),
        ("expires_in_ms", json!(ten_years + 1)),
        ("run_at", json!("tomorrow")),
        ("run_at", json!("2026-11-23")),
        ("run_at", json!(1_795_412_400)),
        ("run_at", json!("2040-01-01T00:00:00Z")),
    ] {
        app.enqueue_job("work", json!({"payload": 1, field: value})).await.fails_at(&[&format!("/{field}")]);
    }
    let both = json!({"payload": 1, "delay_ms": 1, "run_at": "2026-11-23T06:00:00Z"});
    app.enqueue_job("work", both).await.fails_at(&["/run_at"]);
    app.enqueue_job("work", json!({"payload": 1, "delay_ms": ten_years})).await.is(201);
}
