//! What becomes of jobs that fail: retries, dead letters, and how long the finished are kept.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Leased, TEN_YEARS_MS, TestApp, at, eventually, ids, millis};

/// A service whose queue `emails` has these settings.
async fn with_queue(settings: Value) -> TestApp {
    let app = TestApp::spawn().await;
    app.create_queue("emails", settings).await;
    app
}

fn exponential(base_ms: u64, max_ms: u64, jitter: f64) -> Value {
    json!({"kind": "exponential", "base_ms": base_ms, "max_ms": max_ms, "jitter": jitter})
}

/// Fails every attempt of the next job and gives the delays that followed, in ms; the job is dead then.
async fn delays_until_dead(app: &TestApp) -> Vec<i64> {
    let (mut delays, mut now) = (Vec::new(), 0);
    loop {
        let leased = app.lease_soon("emails").await;
        assert_eq!(leased.attempt(), delays.len() as u64 + 1);
        now = now.max(millis(&leased.job["started_at"]));
        let failed = app.nack(&leased, json!({"error": "no"})).await.is(200);
        if failed["state"] == "dead" {
            return delays;
        }
        assert_eq!(failed["state"], "scheduled");
        let delay = millis(&failed["run_at"]) - now;
        delays.push(delay);
        // One more, since answers leave out what is less than a millisecond.
        app.advance(Duration::from_millis(u64::try_from(delay + 1).expect("a delay is not negative")));
    }
}

#[tokio::test]
async fn a_failed_job_is_scheduled_for_its_next_attempt() {
    let app = with_queue(json!({"backoff": exponential(1000, 60_000, 0.0)})).await;
    app.enqueue_as("emails", "job").await;
    let leased = app.lease_one("emails").await;
    app.advance(Duration::from_millis(50));
    let failed = app.nack(&leased, json!({"error": "no such host"})).await.is(200);
    for (field, value) in [
        ("state", json!("scheduled")),
        ("attempt", json!(1)),
        ("run_at", json!(at(1050))),
        ("errors", json!([{"at": at(50), "attempt": 1, "error": "no such host"}])),
        ("lease_expires_at", Value::Null),
        ("finished_at", Value::Null),
        ("lease", Value::Null),
    ] {
        assert_eq!(failed[field], value, "{field}");
    }
    assert_eq!(app.job("emails", "job").await.is(200).text(), failed.text());
    app.advance(Duration::from_millis(999));
    assert_eq!(app.lease("emails", 1).await.len(), 0);
    app.advance(Duration::from_millis(1));
    assert_eq!(app.lease_soon("emails").await.attempt(), 2);
}

#[tokio::test]
async fn the_default_schedule_takes_15_seconds_in_all() {
    let app = TestApp::spawn().await;
    app.enqueue("emails", 1).await;
    let mut settings = app.queue("emails").await["settings"].clone();
    let jittered = delays_until_dead(&app).await;
    assert_eq!(jittered.len(), 4);
    for (delay, middle) in jittered.iter().zip([1000, 2000, 4000, 8000]) {
        assert!((middle * 8 / 10..=middle * 12 / 10).contains(delay), "{jittered:?}");
    }
    settings["backoff"]["jitter"] = json!(0);
    app.change_queue("emails", settings).await;
    app.enqueue("emails", 2).await;
    let delays = delays_until_dead(&app).await;
    assert_eq!((delays.as_slice(), delays.iter().sum()), (&[1000, 2000, 4000, 8000][..], 15_000));
}

#[tokio::test]
async fn delays_follow_their_settings() {
    for (backoff, max_attempts, expected) in [
        (json!({"kind": "fixed", "base_ms": 700, "jitter": 0}), 5, vec![700, 700, 700, 700]),
        (json!({"kind": "fixed", "base_ms": 0, "jitter": 1}), 4, vec![0, 0, 0]),
        (exponential(1000, 5000, 0.0), 7, vec![1000, 2000, 4000, 5000, 5000, 5000]),
        (exponential(3, 1_000_000, 0.0), 8, vec![3, 6, 12, 24, 48, 96, 192]),
        (exponential(0, 5000, 0.5), 3, vec![0, 0]),
        (exponential(5000, 1000, 0.0), 3, vec![1000, 1000]),
        (exponential(1000, 0, 0.2), 3, vec![0, 0]),
        (exponential(1000, 5000, 0.0), 1, vec![]),
        (json!({"kind": "fixed", "base_ms": 86_400_000, "jitter": 0}), 2, vec![86_400_000]),
        (exponential(1000, TEN_YEARS_MS, 0.0), 24, (0..23).map(|doublings| 1000 << doublings).collect()),
    ] {
        let app = with_queue(json!({"backoff": backoff, "max_attempts": max_attempts})).await;
        app.enqueue("emails", 1).await;
        assert_eq!(delays_until_dead(&app).await, expected, "{backoff}");
    }
}

#[tokio::test]
async fn a_delay_stays_within_its_jitter_and_its_maximum() {
    for (backoff, from, to) in [
        (exponential(1000, 60_000, 0.2), 800, 1200),
        (exponential(1000, 1000, 0.5), 500, 1000),
        (exponential(1000, 1500, 1.0), 0, 1500),
        (json!({"kind": "fixed", "base_ms": 1000, "jitter": 0.3}), 700, 1300),
        (json!({"kind": "fixed", "base_ms": 1000, "jitter": 1}), 0, 2000),
    ] {
        let app = with_queue(json!({"backoff": backoff})).await;
        app.fill_queue("emails", 60, &json!({})).await;
        let mut delays = Vec::new();
        for job in app.lease("emails", 60).await {
            delays.push(millis(&app.nack(&job, json!({})).await.is(200)["run_at"]));
        }
        delays.sort_unstable();
        assert!(from <= delays[0] && delays[59] <= to, "{backoff}: {delays:?}");
        // 60 draws leave half of the range unused once in 10^7 runs, where the maximum takes most of them.
        assert!(delays[0] < from + (to - from) / 2, "{backoff}: {delays:?}");
        assert!(delays[59] > to - (to - from) / 2, "{backoff}: {delays:?}");
        delays.dedup();
        assert!(delays.len() > 10, "{backoff}: {delays:?}");
    }
}

#[tokio::test]
async fn the_delay_of_a_high_attempt_is_the_maximum() {
    let app = with_queue(json!({"backoff": exponential(86_400_000, TEN_YEARS_MS, 0.0), "max_attempts": 1000})).await;
    app.enqueue("emails", 1).await;
    for _ in 1..70 {
        let leased = app.lease_soon("emails").await;
        app.nack(&leased, json!({"retry_in_ms": 0})).await.is(200);
    }
    let leased = app.lease_soon("emails").await;
    assert_eq!(leased.attempt(), 70);
    let failed = app.nack(&leased, json!({})).await.is(200);
    assert_eq!(failed["run_at"], at(TEN_YEARS_MS.cast_signed()));
}

#[tokio::test]
async fn a_worker_may_say_when_to_try_again() {
    let app = TestApp::spawn().await;
    for retry_in_ms in [0, 1, 5_000_000, TEN_YEARS_MS] {
        app.enqueue("emails", 1).await;
        let leased = app.lease_one("emails").await;
        let failed = app.nack(&leased, json!({"retry_in_ms": retry_in_ms})).await.is(200);
        assert_eq!((&failed["state"], &failed["run_at"]), (&json!("scheduled"), &json!(at(retry_in_ms.cast_signed()))));
        if retry_in_ms == 0 {
            let again = app.lease_soon("emails").await;
            assert_eq!(again.attempt(), 2);
            app.ack(&again).await.is(200);
        }
    }
}

#[tokio::test]
async fn a_worker_may_give_a_job_up() {
    let app = TestApp::spawn().await;
    app.enqueue_as("emails", "job").await;
    let leased = app.lease_one("emails").await;
    app.advance(Duration::from_millis(5));
    let dead = app.nack(&leased, json!({"dead": true, "error": "no such address"})).await.is(200);
    assert_eq!((&dead["state"], &dead["finished_at"], &dead["attempt"]), (&json!("dead"), &json!(at(5)), &json!(1)));
    assert_eq!(dead["errors"], json!([{"at": at(5), "attempt": 1, "error": "no such address"}]));
    assert_eq!(dead["run_at"], Value::Null);
    app.enqueue("emails", 1).await;
    let leased = app.lease_one("emails").await;
    assert_eq!(app.nack(&leased, json!({"dead": false})).await.is(200)["state"], "scheduled");
}

#[tokio::test]
async fn a_job_has_as_many_attempts_as_it_or_its_queue_says() {
    let app = with_queue(json!({"max_attempts": 2})).await;
    for (fields, attempts) in [(json!({}), 2), (json!({"max_attempts": 1}), 1), (json!({"max_attempts": 3}), 3)] {
        let mut job = fields;
        job["payload"] = json!(1);
        assert_eq!(app.enqueue_job("emails", job).await.is(201)["max_attempts"], attempts);
        for attempt in 1..=attempts {
            let leased = app.lease_soon("emails").await;
            assert_eq!(leased.attempt(), attempt);
            let failed = app.nack(&leased, json!({"retry_in_ms": 0})).await.is(200);
            assert_eq!(failed["state"], if attempt == attempts { "dead" } else { "scheduled" });
        }
    }
    assert_eq!(app.count("emails", "dead").await, 3);
}

#[tokio::test]
async fn the_errors_of_the_last_ten_attempts_are_kept() {
    let app = with_queue(json!({"max_attempts": 12})).await;
    app.enqueue_as("emails", "job").await;
    for attempt in 1..=12 {
        let leased = app.lease_soon("emails").await;
        app.nack(&leased, json!({"error": format!("e{attempt}"), "retry_in_ms": 0})).await.is(200);
        app.advance(Duration::from_millis(1));
    }
    let expected: Vec<Value> = (3..=12)
        .map(|attempt| json!({"at": at(attempt - 1), "attempt": attempt, "error": format!("e{attempt}")}))
        .collect();
    assert_eq!(app.job("emails", "job").await["errors"], json!(expected));
}

#[tokio::test]
async fn an_error_is_cut_at_4_kib_between_characters() {
    let app = with_queue(json!({"max_attempts": 9})).await;
    app.enqueue_as("emails", "job").await;
    for (error, kept) in [
        ("x".repeat(4096), "x".repeat(4096)),
        ("x".repeat(4097), "x".repeat(4096)),
        ("é".repeat(3000), "é".repeat(2048)),
        (format!("a{}", "é".repeat(3000)), format!("a{}", "é".repeat(2047))),
        (format!("abc{}", "🎈".repeat(2000)), format!("abc{}", "🎈".repeat(1023))),
        ("\u{0}\n\"\\".repeat(2000), "\u{0}\n\"\\".repeat(1024)),
        (String::new(), String::new()),
    ] {
        let leased = app.lease_soon("emails").await;
        let failed = app.nack(&leased, json!({"error": error, "retry_in_ms": 0})).await.is(200);
        let last = failed["errors"].as_array().and_then(|errors| errors.last()).expect("an error");
        assert_eq!(last["error"].as_str().expect("text"), kept);
        assert_eq!(app.job("emails", "job").await["errors"], failed["errors"]);
    }
}

/// Enqueues jobs and gives them up, one a millisecond; their ids are given back.
async fn bury(app: &TestApp, queue: &str, jobs: impl IntoIterator<Item = &'static str>) {
    for id in jobs {
        app.enqueue_as(queue, id).await;
        let leased = app.lease_one(queue).await;
        app.nack(&leased, json!({"dead": true, "error": "no"})).await.is(200);
        app.advance(Duration::from_millis(1));
    }
}

async fn redrive(app: &TestApp, body: Value) -> Value {
    app.post("/v1/queues/emails/redrive", body).await.is(200).json().clone()
}

#[tokio::test]
async fn a_dead_job_that_is_retried_begins_again_and_keeps_its_errors() {
    let app = TestApp::spawn().await;
    bury(&app, "emails", ["job"]).await;
    let errors = app.job("emails", "job").await["errors"].clone();
    let retried = app.request("POST", "/v1/queues/emails/jobs/job/retry").send().await.is(200);
    assert_eq!((&retried["state"], &retried["attempt"], &retried["errors"]), (&json!("ready"), &json!(0), &errors));
    assert_eq!(retried["finished_at"], Value::Null);
    assert_eq!(app.lease_one("emails").await.attempt(), 1);
}

#[tokio::test]
async fn redrive_makes_dead_jobs_ready_again() {
    let app = TestApp::spawn().await;
    bury(&app, "emails", ["a", "b", "c", "d", "e"]).await;
    app.enqueue_job("emails", json!({"id": "f", "payload": 1, "delay_ms": 1000})).await.is(201);
    assert_eq!(redrive(&app, json!({"limit": 2})).await, json!({"moved": 2}));
    assert_eq!((app.count("emails", "ready").await, app.count("emails", "dead").await), (2, 3));
    let without_body = app.request("POST", "/v1/queues/emails/redrive").send().await.is(200);
    assert_eq!(without_body.json(), &json!({"moved": 3}));
    assert_eq!(redrive(&app, json!({})).await, json!({"moved": 0}));
    let again = app.lease("emails", 10).await;
    assert_eq!(again.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
    assert!(again.iter().all(|job| job.attempt() == 1 && job.job["errors"][0]["error"] == "no"));
}

#[tokio::test]
async fn redrive_moves_dead_jobs_to_another_queue() {
    let app = TestApp::spawn().await;
    app.create_queue("archive", json!({"max_attempts": 9, "lease_ms": 500})).await;
    app.enqueue_as("archive", "taken").await;
    let payload = r#"{"b" : 1, "a":123456789012345678901234567890}"#;
    let job = format!(r#"{{"id":"exact","payload":{payload},"priority":9,"headers":{{"h":"1"}}}}"#);
    app.enqueue_job("emails", job).await.is(201);
    let leased = app.lease_one("emails").await;
    app.nack(&leased, json!({"dead": true})).await.is(200);
    bury(&app, "emails", ["taken", "other"]).await;
    assert_eq!(redrive(&app, json!({"to": "archive", "limit": 10})).await, json!({"moved": 2}));
    assert_eq!(ids(app.jobs("emails", "dead").await.jobs()), ["taken"], "its id is taken there");
    app.job("emails", "exact").await.fails_with(404, "not-found");
    let moved = app.job("archive", "exact").await.is(200);
    assert!(moved.text().contains(&format!(r#""payload":{payload}"#)), "{}", moved.text());
    for (field, value) in [
        ("queue", json!("archive")),
        ("state", json!("ready")),
        ("attempt", json!(0)),
        ("max_attempts", json!(5)),
        ("priority", json!(9)),
        ("headers", json!({"h": "1"})),
    ] {
        assert_eq!(moved[field], value, "{field}");
    }
    let order: Vec<String> = app.lease("archive", 10).await.into_iter().map(|job| job.id).collect();
    assert_eq!(order, ["exact", "taken", "other"]);
    app.advance(Duration::from_millis(500));
    app.until_count("archive", "ready", 3).await;
    assert_eq!(redrive(&app, json!({"to": "new"})).await, json!({"moved": 1}));
    assert_eq!(app.job("new", "taken").await.is(200)["state"], "ready", "the queue is made");
}

#[tokio::test]
async fn redrive_asks_for_good_fields() {
    let app = TestApp::spawn().await;
    bury(&app, "emails", ["a"]).await;
    for (body, pointer) in [
        (json!({"limit": 0}), "/limit"),
        (json!({"limit": -1}), "/limit"),
        (json!({"limit": "1"}), "/limit"),
        (json!({"limit": null}), "/limit"),
        (json!({"to": "a b"}), "/to"),
        (json!({"to": null}), "/to"),
        (json!({"colour": 1}), "/colour"),
        (json!([]), ""),
    ] {
        app.post("/v1/queues/emails/redrive", body).await.fails_at(&[pointer]);
    }
    app.post("/v1/queues/unknown/redrive", json!({})).await.fails_with(404, "not-found");
    assert_eq!(app.count("emails", "dead").await, 1);
    let send = || app.request("POST", "/v1/queues/emails/redrive").key("k1").body(json!({})).send();
    assert_eq!(send().await.is(200)["moved"], 1);
    let again = send().await.is(200);
    assert_eq!((again.was_replayed(), &again["moved"]), (true, &json!(1)));
}

/// Makes so many dead jobs by letting their leases run out.
async fn bury_many(app: &TestApp, count: usize) {
    app.fill_queue("emails", count, &json!({"max_attempts": 1})).await;
    app.lease_many("emails", count).await;
    app.advance(Duration::from_secs(30));
    app.until_count("emails", "dead", count as u64).await;
}

#[tokio::test]
async fn redrive_without_a_limit_moves_all_there_are() {
    let app = TestApp::spawn().await;
    bury_many(&app, 2500).await;
    assert_eq!(redrive(&app, json!({"limit": 1100, "to": "other"})).await, json!({"moved": 1100}));
    assert_eq!(redrive(&app, json!({})).await, json!({"moved": 1400}));
    assert_eq!((app.count("emails", "ready").await, app.count("other", "ready").await), (1400, 1100));
    assert_eq!(app.count("emails", "dead").await, 0);
}

/// How many jobs the service says that retention has removed.
async fn removed(app: &TestApp) -> u64 {
    let metrics = app.get("/metrics").await.is(200);
    let lines = metrics.text().lines().filter(|line| line.starts_with("ranq_jobs_removed_total"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Waits, looking at nothing but the metrics, until retention has removed so many jobs.
async fn until_removed(app: &TestApp, count: u64) {
    let reached = async || (removed(app).await >= count).then_some(());
    eventually(&format!("{count} jobs are removed"), reached).await;
    assert_eq!(removed(app).await, count);
}

/// Completes so many jobs, one a millisecond, and gives their ids.
async fn complete(app: &TestApp, count: usize) -> Vec<String> {
    let mut done = Vec::new();
    for number in 0..count {
        app.enqueue("emails", number).await;
        let leased: Leased = app.lease_one("emails").await;
        app.ack(&leased).await.is(200);
        app.advance(Duration::from_millis(1));
        done.push(leased.id);
    }
    done
}

#[tokio::test]
async fn finished_jobs_are_kept_for_their_time_and_removed_by_themselves() {
    let app = with_queue(json!({"retention_ms": 60_000, "dead_retention_ms": 120_000})).await;
    app.one_in_each_state("emails").await;
    app.advance(Duration::from_millis(59_999));
    // Longer than any task may take to come round.
    tokio::time::sleep(Duration::from_millis(600)).await;
    for state in ["completed", "cancelled", "dead"] {
        app.job("emails", state).await.is(200);
    }
    app.advance(Duration::from_millis(1));
    until_removed(&app, 2).await;
    for state in ["completed", "cancelled"] {
        app.job("emails", state).await.fails_with(404, "not-found");
        assert_eq!(app.count("emails", state).await, 0);
    }
    app.job("emails", "dead").await.is(200);
    app.advance(Duration::from_millis(60_000));
    until_removed(&app, 3).await;
    app.job("emails", "dead").await.fails_with(404, "not-found");
    for state in ["ready", "scheduled"] {
        app.job("emails", state).await.is(200);
    }
    app.enqueue_as("emails", "completed").await;
}

#[tokio::test]
async fn only_so_many_finished_jobs_are_kept_as_the_queue_says() {
    let app = with_queue(json!({"retention_count": 3, "dead_retention_count": 2})).await;
    bury(&app, "emails", ["a", "b", "c", "d"]).await;
    let done = complete(&app, 5).await;
    for number in 0..4 {
        let id = format!("c{number}");
        app.enqueue_as("emails", &id).await;
        app.delete(format!("/v1/queues/emails/jobs/{id}")).await.is(204);
        app.advance(Duration::from_millis(1));
    }
    until_removed(&app, 2 + 2 + 1).await;
    assert_eq!(ids(app.jobs("emails", "completed").await.jobs()), done[2..], "the latest");
    assert_eq!(ids(app.jobs("emails", "dead").await.jobs()), ["c", "d"]);
    assert_eq!(ids(app.jobs("emails", "cancelled").await.jobs()), ["c1", "c2", "c3"]);
}

#[tokio::test]
async fn a_shorter_retention_holds_for_jobs_that_are_finished_already() {
    let app = TestApp::spawn().await;
    complete(&app, 4).await;
    bury(&app, "emails", ["dead"]).await;
    app.change_queue("emails", json!({"retention_count": 1})).await;
    until_removed(&app, 3).await;
    app.change_queue("emails", json!({"retention_ms": 1, "dead_retention_ms": 1})).await;
    app.advance(Duration::from_millis(1));
    until_removed(&app, 5).await;
    assert_eq!(app.all_jobs("emails", "").await, [""; 0]);
}

#[tokio::test]
async fn with_no_retention_a_finished_job_is_gone() {
    let app = with_queue(json!({"retention_ms": 0, "dead_retention_ms": 0})).await;
    for (id, verb, fields) in [("done", "ack", json!({"result": 7})), ("dead", "nack", json!({"dead": true}))] {
        app.enqueue_as("emails", id).await;
        let leased = app.lease_one("emails").await;
        let finished = app.settle(&leased, verb, fields.clone()).await.is(200);
        assert_eq!(finished["state"], if id == "done" { "completed" } else { "dead" });
        app.until_gone("emails", id).await;
        app.settle(&leased, verb, fields).await.fails_with(404, "not-found");
    }
    app.enqueue_as("emails", "cancelled").await;
    app.delete("/v1/queues/emails/jobs/cancelled").await.is(204);
    app.until_gone("emails", "cancelled").await;
    app.enqueue_as("emails", "done").await;
}

#[tokio::test]
async fn many_jobs_are_removed_by_themselves() {
    let app = with_queue(json!({"dead_retention_ms": 1000})).await;
    bury_many(&app, 1500).await;
    app.advance(Duration::from_secs(1));
    until_removed(&app, 1500).await;
    assert_eq!(app.count("emails", "dead").await, 0);
}
