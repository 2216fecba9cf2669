//! Creating, changing, listing, reading, pausing and deleting queues.

use std::time::Duration;

use futures_util::future::join;
use serde_json::{Value, json};

use crate::support::{OwnRedis, TEN_YEARS_MS, TestApp, at, eventually, millis};

const NO_BODY: &str = "";

fn defaults() -> Value {
    json!({
        "lease_ms": 30000, "max_attempts": 5,
        "backoff": {"kind": "exponential", "base_ms": 1000, "max_ms": 3_600_000, "jitter": 0.2},
        "retention_ms": 86_400_000, "dead_retention_ms": 2_592_000_000_i64, "max_concurrency": null, "rate_limit": null,
        "keys": null, "paused": false, "push": null,
    })
}

#[tokio::test]
async fn a_put_creates_a_queue_with_the_defaults() {
    let app = TestApp::spawn().await;
    let created = app.create_queue("emails", json!({})).await;
    let expected = json!({
        "queue": "emails", "settings": defaults(), "paused": false,
        "counts": {"ready": 0, "scheduled": 0, "active": 0, "completed": 0, "dead": 0, "cancelled": 0},
        "oldest_ready_ms": null,
        "throughput": {"enqueued_per_minute": 0, "completed_per_minute": 0, "failed_per_minute": 0},
        "created_at": at(0),
    });
    assert_eq!(created.json(), &expected);
    assert_eq!(app.queue("emails").await.is(200).json(), &expected);
}

#[tokio::test]
async fn the_settings_given_are_the_settings_read() {
    let app = TestApp::spawn().await;
    let settings = json!({
        "lease_ms": 60000, "max_attempts": 25,
        "backoff": {"kind": "exponential", "base_ms": 5, "max_ms": 10_000, "jitter": 0.5},
        "retention_ms": 1, "dead_retention_ms": 2, "retention_count": 3, "dead_retention_count": 4,
        "max_concurrency": 5, "rate_limit": {"limit": 6, "per_ms": 7},
        "keys": {"max_concurrency": 8, "rate_limit": {"limit": 9, "per_ms": 10}, "fair": true},
        "paused": true, "push": null,
    });
    app.create_queue("emails", settings.clone()).await;
    let read = app.queue("emails").await.is(200);
    assert_eq!((&read["settings"], &read["paused"]), (&settings, &json!(true)));
}

#[tokio::test]
async fn a_second_put_replaces_all_settings_and_keeps_the_jobs() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({"lease_ms": 100, "retention_count": 5})).await;
    app.enqueue("emails", 1).await;
    app.advance(Duration::from_secs(60));
    let changed = app.change_queue("emails", json!({"max_attempts": 9})).await;
    let mut expected = defaults();
    expected["max_attempts"] = json!(9);
    assert_eq!(changed["settings"], expected, "what is left out has its default");
    assert_eq!(changed["created_at"], at(0), "a change creates nothing");
    assert_eq!(changed["counts"]["ready"], 1);
}

#[tokio::test]
async fn settings_at_their_bounds_are_taken() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({})).await;
    for settings in [
        json!({"lease_ms": 100, "max_attempts": 1, "retention_ms": 0, "dead_retention_ms": 0}),
        json!({"lease_ms": 43_200_000, "max_attempts": 1000, "retention_ms": TEN_YEARS_MS}),
        json!({"dead_retention_ms": TEN_YEARS_MS, "retention_count": 1, "dead_retention_count": 1}),
        json!({"retention_count": 9_007_199_254_740_991_u64, "dead_retention_count": 9_007_199_254_740_991_u64}),
        json!({"max_concurrency": 1, "rate_limit": {"limit": 1, "per_ms": 1}}),
        json!({"max_concurrency": 1_000_000, "rate_limit": {"limit": 100_000, "per_ms": 2_592_000_000_i64}}),
        json!({"max_concurrency": null, "rate_limit": null, "keys": null, "push": null}),
        json!({"keys": {"max_concurrency": 1, "rate_limit": {"limit": 1, "per_ms": 1}, "fair": false}}),
        json!({"keys": {"max_concurrency": 1_000_000, "rate_limit": {"limit": 1000, "per_ms": 2_592_000_000_i64}}}),
        json!({"backoff": {"kind": "fixed", "base_ms": 0, "jitter": 0}}),
        json!({"backoff": {"kind": "fixed", "base_ms": 86_400_000, "jitter": 1}}),
        json!({"backoff": {"kind": "exponential", "base_ms": 0, "max_ms": 0, "jitter": 0}}),
        json!({"backoff": {"kind": "exponential", "base_ms": 86_400_000, "max_ms": TEN_YEARS_MS, "jitter": 1}}),
    ] {
        let changed = app.change_queue("emails", settings.clone()).await;
        assert_contains(&changed["settings"], &settings);
        assert_contains(&app.queue("emails").await["settings"], &settings);
    }
}

/// Asserts that `whole` has every field of `part`, numbers compared by value.
#[track_caller]
fn assert_contains(whole: &Value, part: &Value) {
    match part {
        Value::Object(fields) => fields.iter().for_each(|(name, field)| assert_contains(&whole[name], field)),
        Value::Number(number) => assert_eq!(whole.as_f64(), number.as_f64(), "{whole}"),
        _ => assert_eq!(whole, part),
    }
}

#[tokio::test]
async fn a_bad_setting_is_named() {
    let app = TestApp::spawn().await;
    for (body, pointer) in [
        (r#"{"lease_ms":99}"#, "/lease_ms"),
        (r#"{"lease_ms":43200001}"#, "/lease_ms"),
        (r#"{"lease_ms":-1}"#, "/lease_ms"),
        (r#"{"lease_ms":1000.5}"#, "/lease_ms"),
        (r#"{"lease_ms":"1000"}"#, "/lease_ms"),
        (r#"{"lease_ms":null}"#, "/lease_ms"),
        (r#"{"lease_ms":1000,"lease_ms":1000}"#, "/lease_ms"),
        (r#"{"max_attempts":0}"#, "/max_attempts"),
        (r#"{"max_attempts":1001}"#, "/max_attempts"),
        (r#"{"max_attempts":true}"#, "/max_attempts"),
        (r#"{"retention_ms":-1}"#, "/retention_ms"),
        (r#"{"retention_ms":315360000001}"#, "/retention_ms"),
        (r#"{"dead_retention_ms":-1}"#, "/dead_retention_ms"),
        (r#"{"dead_retention_ms":315360000001}"#, "/dead_retention_ms"),
        (r#"{"dead_retention_ms":1e99}"#, "/dead_retention_ms"),
        (r#"{"retention_count":0}"#, "/retention_count"),
        (r#"{"retention_count":9007199254740992}"#, "/retention_count"),
        (r#"{"dead_retention_count":0}"#, "/dead_retention_count"),
        (r#"{"dead_retention_count":9007199254740992}"#, "/dead_retention_count"),
        (r#"{"max_concurrency":0}"#, "/max_concurrency"),
        (r#"{"max_concurrency":1000001}"#, "/max_concurrency"),
        (r#"{"rate_limit":{"limit":0,"per_ms":1}}"#, "/rate_limit/limit"),
        (r#"{"rate_limit":{"limit":100001,"per_ms":1}}"#, "/rate_limit/limit"),
        (r#"{"rate_limit":{"limit":1,"per_ms":0}}"#, "/rate_limit/per_ms"),
        (r#"{"rate_limit":{"limit":1,"per_ms":2592000001}}"#, "/rate_limit/per_ms"),
        (r#"{"rate_limit":{"limit":1}}"#, "/rate_limit/per_ms"),
        (r#"{"rate_limit":{"per_ms":1}}"#, "/rate_limit/limit"),
        (r#"{"rate_limit":{"limit":1,"per_ms":1,"burst":1}}"#, "/rate_limit/burst"),
        (r#"{"rate_limit":[5,1000]}"#, "/rate_limit"),
        (r#"{"keys":{"max_concurrency":0}}"#, "/keys/max_concurrency"),
        (r#"{"keys":{"max_concurrency":1000001}}"#, "/keys/max_concurrency"),
        (r#"{"keys":{"rate_limit":{"limit":1001,"per_ms":1}}}"#, "/keys/rate_limit/limit"),
        (r#"{"keys":{"rate_limit":{"limit":1,"per_ms":0}}}"#, "/keys/rate_limit/per_ms"),
        (r#"{"keys":{"fair":"yes"}}"#, "/keys/fair"),
        (r#"{"keys":{"colour":1}}"#, "/keys/colour"),
        (r#"{"keys":[]}"#, "/keys"),
        (r#"{"keys":true}"#, "/keys"),
        (r#"{"backoff":{"kind":"linear","base_ms":1,"jitter":0}}"#, "/backoff/kind"),
        (r#"{"backoff":{"kind":"fixed","base_ms":-1}}"#, "/backoff/base_ms"),
        (r#"{"backoff":{"kind":"fixed","base_ms":86400001}}"#, "/backoff/base_ms"),
        (r#"{"backoff":{"kind":"exponential","base_ms":86400001}}"#, "/backoff/base_ms"),
        (r#"{"backoff":{"kind":"exponential","base_ms":1,"max_ms":-1}}"#, "/backoff/max_ms"),
        (r#"{"backoff":{"kind":"exponential","base_ms":1,"max_ms":315360000001}}"#, "/backoff/max_ms"),
        (r#"{"backoff":{"kind":"fixed","base_ms":1,"jitter":-0.01}}"#, "/backoff/jitter"),
        (r#"{"backoff":{"kind":"exponential","base_ms":1,"jitter":1.01}}"#, "/backoff/jitter"),
        (r#"{"backoff":{"kind":"fixed","base_ms":1,"jitter":"0"}}"#, "/backoff/jitter"),
        (r#"{"backoff":{"kind":"fixed","base_ms":1,"colour":1}}"#, "/backoff/colour"),
        (r#"{"backoff":null}"#, "/backoff"),
        (r#"{"backoff":"fixed"}"#, "/backoff"),
        (r#"{"paused":"yes"}"#, "/paused"),
        (r#"{"paused":null}"#, "/paused"),
        (r#"{"push":{"url":"https://example.com/jobs"}}"#, "/push"),
        (r#"{"colour":"red"}"#, "/colour"),
        ("[]", ""),
        ("null", ""),
    ] {
        let refused = app.put("/v1/queues/emails", body).await.fails_with(422, "invalid");
        assert_eq!(refused.pointers(), [pointer], "{body}: {}", refused.text());
    }
    app.queue("emails").await.fails_with(404, "not-found");
    assert_eq!(app.keys(), [""; 0]);
}

#[tokio::test]
async fn parts_of_the_back_off_that_are_left_out_have_their_defaults() {
    let app = TestApp::spawn().await;
    let settings = app.create_queue("emails", json!({"backoff": {"base_ms": 1}})).await;
    let expected = json!({"kind": "exponential", "base_ms": 1, "max_ms": 3_600_000, "jitter": 0.2});
    assert_eq!(settings["settings"]["backoff"], expected);
    let fixed = app.change_queue("emails", json!({"backoff": {"kind": "fixed"}})).await;
    assert_eq!(
        fixed["settings"]["backoff"],
        json!({"kind": "fixed", "base_ms": 1000, "max_ms": 3_600_000, "jitter": 0.2})
    );
}

#[tokio::test]
async fn a_bad_setting_changes_no_other() {
    let app = TestApp::spawn().await;
    let before = app.create_queue("emails", json!({"lease_ms": 500})).await;
    app.put("/v1/queues/emails", json!({"lease_ms": 1000, "max_attempts": 0})).await.fails_at(&["/max_attempts"]);
    assert_eq!(app.queue("emails").await.text(), before.text());
}

#[tokio::test]
async fn settings_have_a_size() {
    let app = TestApp::spawn().await;
    let large = format!("{{{}}}", " ".repeat(1024 * 1024));
    app.put("/v1/queues/emails", large).await.fails_with(413, "payload-too-large");
    app.put("/v1/queues/emails", "{").await.fails_with(400, "malformed-request");
}

#[tokio::test]
async fn names_keep_to_their_pattern() {
    let app = TestApp::spawn().await;
    for name in ["a", "0", "A.b-c_d", &"x".repeat(64)] {
        app.create_queue(name, json!({})).await;
        assert_eq!(app.queue(name).await.is(200)["queue"], name);
        app.enqueue(name, 1).await;
        assert_eq!(app.lease_one(name).await.job["queue"], name);
    }
    for name in ["a%20b", ".a", "-a", "%C3%A4", "a%2Fb", &"x".repeat(65), "%7Bq%7D"] {
        let queue = format!("/v1/queues/{name}");
        app.get(&queue).await.fails_at(&["queue"]);
        app.put(&queue, json!({})).await.fails_at(&["queue"]);
        app.delete(&queue).await.fails_at(&["queue"]);
        app.request("POST", format!("{queue}/pause")).send().await.fails_at(&["queue"]);
        app.request("POST", format!("{queue}/resume")).send().await.fails_at(&["queue"]);
        app.enqueue_job(name, json!({"payload": 1})).await.fails_at(&["queue"]);
        app.enqueue_many(name, vec![json!({"payload": 1})]).await.fails_at(&["queue"]);
        app.dequeue(name, json!({})).await.fails_at(&["queue"]);
        app.get(format!("{queue}/jobs")).await.fails_at(&["queue"]);
        app.get(format!("{queue}/jobs/1")).await.fails_at(&["queue"]);
    }
}

#[tokio::test]
async fn every_state_is_counted() {
    let app = TestApp::spawn().await;
    app.one_in_each_state("emails").await;
    let counts = json!({"ready": 1, "scheduled": 1, "active": 1, "completed": 1, "dead": 1, "cancelled": 1});
    assert_eq!(app.queue("emails").await.is(200)["counts"], counts);
    for state in ["ready", "scheduled", "completed", "dead", "cancelled"] {
        app.delete(format!("/v1/queues/emails/jobs?state={state}")).await.is(200);
        assert_eq!(app.count("emails", state).await, 0);
    }
    assert_eq!(app.count("emails", "active").await, 1);
}

#[tokio::test]
async fn the_oldest_ready_job_tells_its_age() {
    let app = TestApp::spawn().await;
    let oldest = async || app.queue("emails").await.is(200)["oldest_ready_ms"].clone();
    app.enqueue_job("emails", json!({"payload": "low", "priority": 0})).await.is(201);
    assert_eq!(oldest().await, 0);
    app.advance(Duration::from_millis(1500));
    app.enqueue_job("emails", json!({"payload": "high", "priority": 9})).await.is(201);
    app.advance(Duration::from_millis(500));
    assert_eq!(oldest().await, 2000, "whatever its priority");
    app.lease_one("emails").await;
    assert_eq!(oldest().await, 2000);
    let last = app.lease_one("emails").await;
    assert_eq!((last.job["payload"].clone(), oldest().await), (json!("low"), Value::Null));
    app.enqueue_job("emails", json!({"payload": 1, "delay_ms": 60_000})).await.is(201);
    assert_eq!(oldest().await, Value::Null, "a job that is not due is not ready");
}

#[tokio::test]
async fn throughput_counts_the_last_minute() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 6, &json!({})).await;
    let leased = app.lease("emails", 5).await;
    for job in &leased[..3] {
        app.ack(job).await.is(200);
        app.ack(job).await.is(200);
    }
    app.nack(&leased[3], json!({"dead": true})).await.is(200);
    let throughput = async || app.queue("emails").await.is(200)["throughput"].clone();
    let expected = json!({"enqueued_per_minute": 6, "completed_per_minute": 3, "failed_per_minute": 1});
    assert_eq!(throughput().await, expected);
    app.advance(Duration::from_mins(3));
    app.delete("/v1/queues/emails/jobs?state=ready").await.is(200);
    assert_eq!(throughput().await["enqueued_per_minute"], 0);
    assert_eq!(throughput().await["completed_per_minute"], 0);
}

#[tokio::test]
async fn a_list_gives_every_queue_once_over_several_pages() {
    let app = TestApp::spawn().await;
    let mut names: Vec<String> = (0..7).map(|number| format!("queue{number}")).collect();
    names.extend(["Upper".to_owned(), "a.b-c_d".to_owned(), "0".to_owned()]);
    for name in &names {
        app.create_queue(name, json!({})).await;
    }
    app.one_in_each_state("queue3").await;
    names.sort();
    let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = app.get(format!("/v1/queues?limit=4{cursor}")).await.is(200);
        found.extend_from_slice(page["queues"].as_array().expect("a list"));
        pages += 1;
        match page.next_cursor() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(pages, 3);
    found.sort_by_key(|row| row["queue"].as_str().expect("a name").to_owned());
    assert_eq!(found.iter().map(|row| row["queue"].as_str().expect("a name")).collect::<Vec<_>>(), names);
    for row in found {
        let name = row["queue"].as_str().expect("a name");
        assert_eq!(&row, app.queue(name).await.is(200).json(), "a row is what a read of the queue gives");
    }
}

#[tokio::test]
async fn a_list_without_queues_is_empty() {
    let app = TestApp::spawn().await;
    assert_eq!(app.get("/v1/queues").await.is(200).json(), &json!({"queues": []}));
    for (query, parameter) in
        [("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("colour=1", "colour")]
    {
        app.get(format!("/v1/queues?{query}")).await.fails_at(&[parameter]);
    }
    for cursor in ["!", "x", ""] {
        app.get(format!("/v1/queues?cursor={cursor}")).await.fails_with(400, "malformed-request");
    }
}

#[tokio::test]
async fn a_paused_queue_takes_jobs_and_leases_none() {
    let app = TestApp::spawn().await;
    app.enqueue("emails", "before").await;
    app.enqueue("emails", "running").await;
    let running = app.lease_one("emails").await;
    assert_eq!(app.request("POST", "/v1/queues/emails/pause").send().await.is(204).text(), "");
    app.post("/v1/queues/emails/pause", json!({})).await.is(204);
    let paused = app.queue("emails").await.is(200);
    assert_eq!((&paused["paused"], &paused["settings"]["paused"]), (&json!(true), &json!(true)));
    app.enqueue("emails", "after").await;
    assert_eq!(app.dequeue("emails", json!({"limit": 10})).await.is(200).jobs(), [""; 0]);
    let several = json!({"queues": ["emails", "other"], "limit": 10});
    assert_eq!(app.post("/v1/dequeue", several).await.is(200).jobs(), [""; 0]);
    app.extend(&running, json!({})).await.is(200);
    app.ack(&running).await.is(200);
    app.request("POST", "/v1/queues/emails/resume").send().await.is(204);
    app.post("/v1/queues/emails/resume", json!({})).await.is(204);
    let resumed = app.queue("emails").await.is(200);
    assert_eq!((&resumed["paused"], &resumed["settings"]["paused"]), (&json!(false), &json!(false)));
    assert_eq!(app.dequeue("emails", json!({"limit": 10})).await.payloads(), ["running", "after"]);
}

#[tokio::test]
async fn pausing_is_a_setting_too() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({"paused": true, "lease_ms": 500})).await;
    app.enqueue("emails", 1).await;
    assert_eq!(app.lease("emails", 1).await.len(), 0);
    app.post("/v1/queues/emails/resume", NO_BODY).await.is(204);
    let resumed = app.queue("emails").await;
    assert_eq!((&resumed["settings"]["paused"], &resumed["settings"]["lease_ms"]), (&json!(false), &json!(500)));
    assert_eq!(app.lease("emails", 1).await.len(), 1);
}

#[tokio::test]
async fn who_waits_at_a_paused_queue_is_served_when_it_goes_on() {
    let app = TestApp::spawn().await;
    app.enqueue("emails", 1).await;
    app.post("/v1/queues/emails/pause", json!({})).await.is(204);
    let resume = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        app.post("/v1/queues/emails/resume", json!({})).await.is(204)
    };
    let (leased, _) = join(app.dequeue("emails", json!({"wait_ms": 15_000})), resume).await;
    assert_eq!(leased.payloads(), [1]);
}

#[tokio::test]
async fn pause_and_resume_ask_for_nothing() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({})).await;
    for verb in ["pause", "resume"] {
        app.post(format!("/v1/queues/emails/{verb}"), json!({"colour": 1})).await.fails_at(&["/colour"]);
        app.post(format!("/v1/queues/emails/{verb}"), "[]").await.fails_at(&[""]);
        app.post(format!("/v1/queues/emails/{verb}"), "{").await.fails_with(400, "malformed-request");
        app.post(format!("/v1/queues/emails/{verb}?colour=1"), json!({})).await.fails_at(&["colour"]);
    }
    assert_eq!(app.queue("emails").await["paused"], false);
}

/// Waits until nothing of any queue is stored but records of requests, which go by themselves after a day.
async fn until_no_keys(app: &TestApp) {
    let gone = async || app.keys().iter().all(|key| key.contains(":idem:")).then_some(());
    eventually("all keys are gone", gone).await;
}

#[tokio::test]
async fn a_deleted_queue_leaves_nothing() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({"keys": {"max_concurrency": 5, "fair": true}, "max_concurrency": 9})).await;
    app.one_in_each_state("emails").await;
    let full = json!({
        "id": "full", "payload": "x".repeat(10_000), "key": "tenant", "unique_key": "once", "unique_for_ms": 3_600_000,
        "expires_in_ms": 3_600_000, "headers": {"a": "b"},
    });
    let send = async || app.request("POST", "/v1/queues/emails/jobs").key("k1").body(full.clone()).send().await;
    send().await.is(201);
    let tick = json!({"cron": "@hourly", "payload": 1});
    app.put("/v1/queues/emails/schedules/hourly", tick).await.is(201);
    let held = app.lease("emails", 1).await.pop().expect("one was ready");
    app.extend(&held, json!({"progress": 1})).await.is(200);
    assert!(!app.keys().is_empty());
    app.delete("/v1/queues/emails").await.is(204);
    until_no_keys(&app).await;
    app.queue("emails").await.fails_with(404, "not-found");
    app.delete("/v1/queues/emails").await.fails_with(404, "not-found");
    app.job("emails", "full").await.fails_with(404, "not-found");
    app.ack(&held).await.fails_with(404, "not-found");
    assert!(!send().await.is(201).was_replayed(), "ids, unique keys and idempotency keys are free again");
    assert_eq!(app.queue("emails").await["settings"], defaults());
    assert_eq!(app.ack(&held).await.status / 100, 4, "a lease of the queue before is none of this one");
}

#[tokio::test]
async fn a_large_queue_is_deleted_at_once() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 3000, &json!({"headers": {"a": "b"}})).await;
    app.lease_many("emails", 300).await;
    app.delete("/v1/queues/emails").await.is(204);
    app.queue("emails").await.fails_with(404, "not-found");
    assert_eq!(app.lease("emails", 1).await.len(), 0);
    until_no_keys(&app).await;
}

#[tokio::test]
async fn the_first_job_creates_its_queue() {
    let app = TestApp::spawn().await;
    app.enqueue("emails", 1).await;
    app.enqueue_many("other", vec![json!({"payload": 1})]).await.is(200);
    for queue in ["emails", "other"] {
        let created = app.queue(queue).await.is(200);
        assert_eq!((&created["settings"], &created["counts"]["ready"]), (&defaults(), &json!(1)));
        assert_eq!(millis(&created["created_at"]), 0);
    }
}

#[tokio::test]
async fn what_is_no_job_creates_no_queue() {
    let app = TestApp::spawn().await;
    app.enqueue_job("emails", json!({"payload": 1, "priority": 10})).await.fails_at(&["/priority"]);
    app.lease("emails", 1).await;
    for path in ["", "/jobs", "/jobs?state=ready", "/jobs/1", "/schedules"] {
        app.get(format!("/v1/queues/emails{path}")).await.fails_with(404, "not-found");
    }
    for path in ["pause", "resume", "redrive", "jobs/1/retry"] {
        app.request("POST", format!("/v1/queues/emails/{path}")).send().await.fails_with(404, "not-found");
    }
    for path in ["", "/jobs/1", "/jobs?state=dead"] {
        app.delete(format!("/v1/queues/emails{path}")).await.fails_with(404, "not-found");
    }
    assert_eq!(app.keys(), [""; 0]);
}

#[tokio::test]
async fn without_auto_creation_an_unknown_queue_takes_no_jobs() {
    let app = TestApp::with().without_auto_create().spawn().await;
    app.enqueue_job("emails", json!({"payload": 1})).await.fails_with(404, "not-found");
    app.enqueue_many("emails", vec![json!({"payload": 1})]).await.fails_with(404, "not-found");
    assert_eq!(app.lease("emails", 1).await.len(), 0);
    assert_eq!(app.keys(), [""; 0]);
    app.create_queue("emails", json!({})).await;
    app.enqueue("emails", 1).await;
    app.delete("/v1/queues/emails").await.is(204);
    app.enqueue_job("emails", json!({"payload": 1})).await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_change_of_settings_holds_for_the_next_call() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 10, &json!({})).await;
    for lease_ms in [1000, 60_000, 100, 43_200_000] {
        app.put("/v1/queues/emails", json!({"lease_ms": lease_ms})).await.is(200);
        assert_eq!(app.lease_one("emails").await.job["lease_expires_at"], at(lease_ms));
    }
    app.put("/v1/queues/emails", json!({"max_attempts": 7})).await.is(200);
    assert_eq!(app.enqueue("emails", 1).await["max_attempts"], 7);
    app.put("/v1/queues/emails", json!({"paused": true})).await.is(200);
    assert_eq!(app.lease("emails", 1).await.len(), 0);
}

#[tokio::test]
async fn a_change_on_one_instance_holds_for_the_next_call_on_another() {
    let redis = OwnRedis::spawn().await;
    let one = TestApp::with().redis_url(&redis.url()).spawn().await;
    let other = TestApp::with().redis_url(&redis.url()).spawn().await;
    one.fill_queue("emails", 50, &json!({})).await;
    for round in 0..10 {
        let (changing, leasing) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        leasing.lease_one("emails").await;
        let lease_ms = 1000 + round;
        changing.change_queue("emails", json!({"lease_ms": lease_ms})).await;
        assert_eq!(leasing.lease_one("emails").await.job["lease_expires_at"], at(lease_ms));
        changing.post("/v1/queues/emails/pause", json!({})).await.is(204);
        assert_eq!(leasing.lease("emails", 1).await.len(), 0);
        changing.post("/v1/queues/emails/resume", json!({})).await.is(204);
    }
    one.delete("/v1/queues/emails").await.is(204);
    other.queue("emails").await.fails_with(404, "not-found");
    assert_eq!(other.lease("emails", 1).await.len(), 0);
    assert_eq!(other.enqueue("emails", 1).await["max_attempts"], 5);
    assert_eq!(one.lease_one("emails").await.job["payload"], 1);
}

/// The routes of queues, each with the methods that it has.
const ROUTES: [(&str, &str); 16] = [
    ("/v1/queues", "GET"),
    ("/v1/queues/emails", "DELETE, GET, PUT"),
    ("/v1/queues/emails/pause", "POST"),
    ("/v1/queues/emails/resume", "POST"),
    ("/v1/queues/emails/redrive", "POST"),
    ("/v1/queues/emails/dequeue", "POST"),
    ("/v1/queues/emails/acks", "POST"),
    ("/v1/queues/emails/jobs", "DELETE, GET, POST"),
    ("/v1/queues/emails/jobs/batch", "DELETE, GET, POST"),
    ("/v1/queues/emails/jobs/a", "DELETE, GET"),
    ("/v1/queues/emails/jobs/a/ack", "POST"),
    ("/v1/queues/emails/jobs/a/nack", "POST"),
    ("/v1/queues/emails/jobs/a/extend", "POST"),
    ("/v1/queues/emails/jobs/a/retry", "POST"),
    ("/v1/dequeue", "POST"),
    ("/v1/workers", "GET"),
];

#[tokio::test]
async fn every_path_names_its_methods() {
    let app = TestApp::spawn().await;
    for (path, methods) in ROUTES {
        let refused = app.request("PATCH", path).send().await.fails_with(405, "method-not-allowed");
        assert_eq!(refused.header("allow"), methods, "{path}");
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_told_or_done() {
    let app = TestApp::with().admin_token("an-admin-token-of-tests").spawn().await;
    app.enqueue_as("emails", "a").await;
    let before = app.queue("emails").await.is(200);
    for (path, methods) in ROUTES {
        for method in ["GET", "PUT", "POST", "DELETE"].into_iter().filter(|method| methods.contains(method)) {
            let request = app.request(method, path).without_token().body("not json");
            request.send().await.fails_with(401, "unauthenticated");
        }
    }
    assert_eq!(app.queue("emails").await.is(200).text(), before.text());
}

#[tokio::test]
async fn a_pause_sent_twice_under_one_key_counts_once() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({})).await;
    let send =
        async |verb: &str, key: &str| app.request("POST", format!("/v1/queues/emails/{verb}")).key(key).send().await;
    assert!(!send("pause", "k1").await.is(204).was_replayed());
    assert!(!send("resume", "k2").await.is(204).was_replayed());
    assert!(send("pause", "k1").await.is(204).was_replayed());
    assert_eq!(app.queue("emails").await["paused"], false, "it was resumed since");
}
