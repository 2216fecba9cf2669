//! Workers as Rust programs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join;
use ranq::worker::{Job, JobError, Order, Worker, WorkerBuilder};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{last_error, service, without_backoff};
use crate::support::{TestApp, eventually};

fn worker(app: &TestApp) -> WorkerBuilder {
    Worker::builder(format!("http://{}", app.address())).queue("work").wait(Duration::from_secs(5))
}

/// Never ends; counts itself while it is there.
struct Hanging(Arc<AtomicU64>);

impl Hanging {
    async fn forever(count: Arc<AtomicU64>) -> Result<(), JobError> {
        count.fetch_add(1, Ordering::SeqCst);
        let _counted = Self(count);
        std::future::pending().await
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn until(count: &AtomicU64, expected: u64) {
    let reached = async || (count.load(Ordering::SeqCst) == expected).then_some(());
    eventually(&format!("{expected} handlers hang"), reached).await;
}

#[tokio::test]
async fn a_handler_sees_the_job_and_its_result_is_kept_byte_for_byte() {
    let app = service().await;
    let payload = r#"{"x": 1e400,"a":1,"a":123456789012345678901234567890}"#;
    let job =
        format!(r#"{{"payload":{payload},"id":"7","key":"k","priority":2,"headers":{{"a":"b"}},"max_attempts":3}}"#);
    app.enqueue_text("work", &job).await;
    let handler = async |job: Job| -> Result<Box<RawValue>, JobError> {
        assert_eq!((job.id.as_str(), job.queue.as_str(), job.key.as_deref()), ("7", "work", Some("k")));
        assert_eq!((job.priority, job.attempt, job.max_attempts), (2, 1, 3));
        assert_eq!(job.headers["a"], "b");
        Ok(job.payload)
    };
    let worker = worker(&app).name("w1").build().expect("valid");
    let done = async { drop(app.until_completed_text("work", "7").await) };
    let summary = worker.run(move |job| async move { handler(job).await }, done).await.expect("not refused");
    assert_eq!((summary.taken, summary.completed), (1, 1));
    let job = app.until_completed_text("work", "7").await;
    assert!(job.contains(&format!(r#""result":{payload}"#)) && job.contains(r#""worker":"w1""#), "{job}");
}

#[tokio::test]
async fn a_failure_says_what_becomes_of_the_job() {
    let app = service().await;
    app.create_queue("work", json!({"max_attempts": 2, "backoff": {"kind": "fixed", "base_ms": 3600000}})).await;
    let handler = async |job: Job| -> Result<(), JobError> {
        match job.payload.get() {
            "1" => Err(JobError::new("hopeless").dead()),
            "2" if job.attempt == 1 => Err(JobError::new("soon").retry_in(Duration::ZERO)),
            "2" => Ok(()),
            "3" => Err("x".parse::<u8>().expect_err("no number").into()),
            "4" => panic!("of all things"),
            other => Err(JobError::new(format!("what is {other}?"))),
        }
    };
    let mut ids = Vec::new();
    for payload in 1..=4 {
        ids.push(app.enqueue_id("work", payload).await);
    }
    let worker = worker(&app).concurrency(2).build().expect("valid");
    let check = async {
        assert_eq!(last_error(&app.until("work", &ids[0], "dead").await), "hopeless");
        assert_eq!(last_error(&app.until("work", &ids[1], "completed").await), "soon");
        assert_eq!(last_error(&app.until("work", &ids[2], "scheduled").await), "invalid digit found in string");
        assert_eq!(last_error(&app.until("work", &ids[3], "scheduled").await), "the handler panicked: of all things");
    };
    let summary = worker.run(move |job| async move { handler(job).await }, check).await.expect("not refused");
    assert_eq!((summary.taken, summary.completed, summary.failed), (5, 1, 4));
}

#[tokio::test]
async fn acks_ride_on_the_next_dequeue() {
    let app = service().await;
    let jobs = (0..200).map(|number| json!({"payload": number})).collect();
    app.enqueue_many("work", jobs).await.is(200);
    let worker = worker(&app).concurrency(10).build().expect("valid");
    let handler = |job: Job| async move { Ok::<_, JobError>(job.attempt) };
    let summary = worker.run(handler, app.until_count("work", "completed", 200)).await.expect("not refused");
    assert_eq!((summary.taken, summary.completed, summary.lost), (200, 200, 0));
    let metrics = app.get("/metrics").await.text().to_owned();
    assert!(!metrics.contains("/ack\""), "no ack needs a call of its own: {metrics}");
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_dropped_and_has_failed() {
    let app = service().await;
    app.create_queue("work", json!({"max_attempts": 1})).await;
    let hanging = Arc::new(AtomicU64::new(0));
    let id = app.enqueue_id("work", 1).await;
    let worker = worker(&app).timeout(Duration::from_millis(200)).build().expect("valid");
    let count = Arc::clone(&hanging);
    let dead = async { app.until("work", &id, "dead").await };
    let (job, stop) = (Arc::new(std::sync::Mutex::new(Value::Null)), Notify::new());
    let seen = async {
        *job.lock().expect("no panic") = dead.await;
        stop.notify_one();
    };
    let run = worker.run(move |_| Hanging::forever(Arc::clone(&count)), stop.notified());
    let (summary, ()) = join(run, seen).await;
    assert_eq!(summary.expect("not refused").failed, 1);
    assert_eq!(last_error(&job.lock().expect("no panic")), "the job took longer than 200 ms");
    assert_eq!(hanging.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_cancelled_job_is_dropped_at_the_next_heartbeat() {
    let app = service().await;
    let hanging = Arc::new(AtomicU64::new(0));
    let id = app.enqueue_id("work", 1).await;
    let worker = worker(&app).lease(Duration::from_millis(1500)).build().expect("valid");
    let count = Arc::clone(&hanging);
    let cancel = async {
        until(&hanging, 1).await;
        app.delete(format!("/v1/queues/work/jobs/{id}")).await.is(204);
        until(&hanging, 0).await;
    };
    let summary = worker.run(move |_| Hanging::forever(Arc::clone(&count)), cancel).await.expect("not refused");
    assert_eq!((summary.taken, summary.cancelled), (1, 1));
    assert_eq!(app.job("work", &id).await["state"], "cancelled");
}

#[tokio::test]
async fn a_stopped_worker_gives_back_what_does_not_end_in_time() {
    let app = service().await;
    app.create_queue("work", without_backoff()).await;
    let hanging = Arc::new(AtomicU64::new(0));
    let ids = [app.enqueue_id("work", 1).await, app.enqueue_id("work", 2).await];
    let worker = worker(&app).concurrency(2).grace(Duration::from_millis(100)).build().expect("valid");
    let count = Arc::clone(&hanging);
    let started = Instant::now();
    let handler = move |_| Hanging::forever(Arc::clone(&count));
    let summary = worker.run(handler, until(&hanging, 2)).await.expect("not refused");
    assert_eq!((summary.taken, summary.released, hanging.load(Ordering::SeqCst)), (2, 2, 0));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let leased = eventually("both are ready again", async || {
        let leased = app.lease("work", 2).await;
        (!leased.is_empty()).then_some(leased)
    })
    .await;
    assert_eq!(leased[0].attempt(), 2);
    for id in ids {
        assert_eq!(last_error(app.job("work", &id).await.json()), "the worker stopped before the job was done");
    }
}

#[tokio::test]
async fn a_handler_may_end_by_itself_when_it_is_told_to() {
    let app = service().await;
    let begun = Arc::new(Notify::new());
    let id = app.enqueue_id("work", 1).await;
    let worker = worker(&app).grace(Duration::ZERO).cleanup(Duration::from_secs(10)).build().expect("valid");
    let told = Arc::clone(&begun);
    let handler = move |job: Job| {
        told.notify_one();
        async move {
            job.stop_requested().await;
            Ok::<_, JobError>("half of it")
        }
    };
    let summary = worker.run(handler, begun.notified()).await.expect("not refused");
    assert_eq!((summary.completed, summary.released), (1, 0));
    assert_eq!(app.job("work", &id).await["result"], "half of it");
}

#[tokio::test]
async fn a_result_that_is_too_large_fails_the_job() {
    let app = service().await;
    app.create_queue("work", json!({"max_attempts": 1})).await;
    let id = app.enqueue_id("work", 1).await;
    let worker = worker(&app).build().expect("valid");
    let handler = |_| async { Ok::<_, JobError>("x".repeat(256 * 1024)) };
    let done = async { drop(app.until("work", &id, "dead").await) };
    let summary = worker.run(handler, done).await.expect("not refused");
    assert_eq!(summary.failed, 1);
    assert_eq!(last_error(app.job("work", &id).await.json()), "the result has 262146 bytes, and 262144 are allowed");
}

#[tokio::test]
async fn the_weights_of_several_queues_are_kept() {
    let app = service().await;
    for queue in ["low", "high"] {
        app.enqueue_many(queue, (0..50).map(|number| json!({"payload": number})).collect()).await.is(200);
    }
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let handler = move |job: Job| {
        seen.lock().expect("no panic").push(job.queue);
        async { Ok::<_, JobError>(()) }
    };
    let worker = Worker::builder(format!("http://{}", app.address()));
    let worker = worker.weighted_queue("low", 1).weighted_queue("high", 9).order(Order::Weighted).build();
    let done = async {
        for queue in ["low", "high"] {
            app.until_count(queue, "completed", 50).await;
        }
    };
    let summary = worker.expect("valid").run(handler, done).await.expect("not refused");
    assert_eq!(summary.completed, 100);
    let order = order.lock().expect("no panic");
    let early = order[..40].iter().filter(|queue| *queue == "high").count();
    assert!(early > 25, "{early} of the first 40 are of the heavy queue");
}

#[tokio::test]
async fn a_worker_that_is_refused_says_why() {
    let app = TestApp::with().server_clock().admin_token("a-token-for-tests").spawn().await;
    let worker = worker(&app).token("another-token").build().expect("valid");
    let handler = |_| async { Ok::<_, JobError>(()) };
    let error = worker.run(handler, std::future::pending()).await.expect_err("refused");
    assert!(error.to_string().starts_with("the service refuses this worker: 401: "), "{error}");
    assert_eq!(error.summary.taken, 0);
}
