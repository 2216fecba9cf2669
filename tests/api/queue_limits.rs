//! What holds for a whole queue: leases out at once, leases in a span of time, pauses.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::support::{Leased, OwnRedis, TestApp};

/// A waiting dequeue that is answered sooner than this was answered because of what happened.
const SOON: Duration = Duration::from_secs(10);
const WAIT_MS: u64 = 25_000;

async fn with_jobs(settings: Value, jobs: usize) -> TestApp {
    let app = TestApp::spawn().await;
    app.create_queue("work", settings).await;
    enqueue(&app, jobs).await;
    app
}

async fn enqueue(app: &TestApp, jobs: usize) {
    app.enqueue_many("work", (0..jobs).map(|number| json!({"payload": number})).collect()).await.is(200);
}

/// How many jobs may be leased now.
async fn leased_now(app: &TestApp) -> usize {
    app.lease("work", 100).await.len()
}

async fn two_instances(redis: &OwnRedis) -> [TestApp; 2] {
    let spawn = || TestApp::with().redis_url(&redis.url()).spawn();
    [spawn().await, spawn().await]
}

#[tokio::test]
async fn so_many_leases_are_out_at_once_over_all_workers() {
    let redis = OwnRedis::spawn().await;
    let [one, other] = two_instances(&redis).await;
    one.create_queue("work", json!({"max_concurrency": 3})).await;
    enqueue(&one, 10).await;
    assert_eq!(one.lease("work", 2).await.len(), 2);
    assert_eq!(leased_now(&other).await, 1);
    assert_eq!((leased_now(&one).await, leased_now(&other).await), (0, 0));
    assert_eq!(one.count("work", "ready").await, 7);
}

#[tokio::test]
async fn racing_workers_never_get_more_than_there_are_slots() {
    let redis = OwnRedis::spawn().await;
    let instances = two_instances(&redis).await;
    instances[0].create_queue("work", json!({"max_concurrency": 7})).await;
    enqueue(&instances[0], 100).await;
    let taken = join_all((0..40).map(|worker| instances[worker % 2].lease("work", 2))).await;
    let taken: Vec<Leased> = taken.into_iter().flatten().collect();
    assert_eq!(taken.len(), 7);
    assert_eq!(instances[0].count("work", "active").await, 7);
}

#[tokio::test]
async fn a_slot_comes_free_with_any_end_of_a_lease() {
    let app = with_jobs(json!({"max_concurrency": 2}), 20).await;
    for end in ["ack", "nack", "dead", "cancel"] {
        let held = app.lease("work", 100).await;
        assert_eq!(held.len(), 2, "{end}");
        match end {
            "ack" => drop(app.ack(&held[0]).await.is(200)),
            "nack" => drop(app.nack(&held[0], json!({"retry_in_ms": 3_600_000})).await.is(200)),
            "dead" => drop(app.nack(&held[0], json!({"dead": true})).await.is(200)),
            _ => drop(app.delete(format!("/v1/queues/work/jobs/{}", held[0].id)).await.is(204)),
        }
        let next = app.lease("work", 100).await;
        assert_eq!(next.len(), 1, "{end}");
        app.ack(&next[0]).await.is(200);
        app.ack(&held[1]).await.is(200);
    }
    assert_eq!(leased_now(&app).await, 2);
    app.advance(Duration::from_millis(29_999));
    assert_eq!(leased_now(&app).await, 0);
    app.advance(Duration::from_millis(1));
    app.until_count("work", "active", 0).await;
    assert_eq!(leased_now(&app).await, 2);
}

#[tokio::test]
async fn an_ack_frees_its_slot_for_the_dequeue_that_brings_it() {
    let app = with_jobs(json!({"max_concurrency": 2}), 5).await;
    let held = app.lease("work", 100).await;
    let acks: Vec<Value> = held.iter().map(Leased::to_ack).collect();
    let next = app.dequeue("work", json!({"limit": 10, "ack": acks})).await.is(200);
    assert_eq!(next.jobs().len(), 2);
    assert_eq!(app.count("work", "completed").await, 2);
}

#[tokio::test]
async fn a_second_ack_frees_no_second_slot() {
    let app = with_jobs(json!({"max_concurrency": 2}), 5).await;
    let held = app.lease("work", 100).await;
    for _ in 0..3 {
        app.ack(&held[0]).await.is(200);
    }
    assert_eq!(leased_now(&app).await, 1);
}

#[tokio::test]
async fn the_number_of_slots_can_be_changed_while_jobs_wait() {
    let app = with_jobs(json!({"max_concurrency": 1}), 20).await;
    let mut held = app.lease("work", 100).await;
    app.change_queue("work", json!({"max_concurrency": 4})).await;
    held.extend(app.lease("work", 100).await);
    assert_eq!(held.len(), 4);
    app.change_queue("work", json!({"max_concurrency": 2})).await;
    for (acked, free) in [(0, 0), (1, 0), (2, 1)] {
        app.ack(&held[acked]).await.is(200);
        assert_eq!(leased_now(&app).await, free);
    }
    app.change_queue("work", json!({"max_concurrency": null})).await;
    assert_eq!(leased_now(&app).await, 15);
}

#[tokio::test]
async fn what_one_instance_sets_the_other_keeps_to_at_once() {
    let redis = OwnRedis::spawn().await;
    let [one, other] = two_instances(&redis).await;
    one.create_queue("work", json!({"max_concurrency": 1})).await;
    enqueue(&one, 30).await;
    assert_eq!((leased_now(&other).await, leased_now(&one).await), (1, 0));
    for slots in [3, 5, 6] {
        one.change_queue("work", json!({"max_concurrency": slots})).await;
        leased_now(&other).await;
        assert_eq!(other.count("work", "active").await, slots);
        other.change_queue("work", json!({"max_concurrency": slots + 1})).await;
        leased_now(&one).await;
        assert_eq!(one.count("work", "active").await, slots + 1);
    }
    one.request("POST", "/v1/queues/work/pause").send().await.is(204);
    other.change_queue("work", json!({"paused": true})).await;
    assert_eq!(leased_now(&one).await, 0);
    one.delete("/v1/queues/work").await.is(204);
    enqueue(&other, 30).await;
    assert_eq!(leased_now(&one).await, 30, "made anew, it has the default settings");
}

#[tokio::test]
async fn one_look_finds_a_job_behind_a_thousand_that_are_gone() {
    let app = TestApp::spawn().await;
    let ids: Vec<String> = (0..1000).map(|number| format!("j{number}")).collect();
    app.enqueue_many("work", ids.iter().map(|id| json!({"payload": 1, "id": id})).collect()).await.is(200);
    app.enqueue("work", "behind").await;
    join_all(ids.iter().map(|id| app.delete(format!("/v1/queues/work/jobs/{id}")))).await;
    assert_eq!(app.count("work", "ready").await, 1);
    assert_eq!(app.lease_one("work").await.job["payload"], "behind");
}

#[tokio::test]
async fn so_many_leases_are_given_in_any_span_of_time() {
    let app = with_jobs(json!({"rate_limit": {"limit": 3, "per_ms": 1000}}), 20).await;
    let after = async |ms: u64| {
        app.advance(Duration::from_millis(ms));
        leased_now(&app).await
    };
    assert_eq!(after(900).await, 3);
    // A window of each full second would give three more at 1,000.
    assert_eq!(after(100).await, 0);
    assert_eq!(after(899).await, 0);
    assert_eq!(after(1).await, 3);
    assert_eq!(after(10_000).await, 3, "what was not used is not saved up");
    assert_eq!(after(999).await, 0);
    assert_eq!(after(1).await, 3);
}

#[tokio::test]
async fn each_lease_leaves_the_span_at_its_own_time() {
    let app = with_jobs(json!({"rate_limit": {"limit": 3, "per_ms": 1000}}), 20).await;
    let mut given = Vec::new();
    for ms in (0..3000).step_by(100) {
        if app.lease("work", 1).await.len() == 1 {
            given.push(ms);
        }
        app.advance(Duration::from_millis(100));
    }
    assert_eq!(given, [0, 100, 200, 1000, 1100, 1200, 2000, 2100, 2200]);
}

#[tokio::test]
async fn racing_workers_keep_to_the_rate() {
    let redis = OwnRedis::spawn().await;
    let instances = two_instances(&redis).await;
    instances[0].create_queue("work", json!({"rate_limit": {"limit": 5, "per_ms": 60_000}})).await;
    enqueue(&instances[0], 100).await;
    let taken = join_all((0..40).map(|worker| instances[worker % 2].lease("work", 2))).await;
    assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), 5);
}

#[tokio::test]
async fn a_retry_counts_for_the_rate_and_an_ack_gives_nothing_back() {
    let app = with_jobs(json!({"rate_limit": {"limit": 2, "per_ms": 60_000}}), 5).await;
    let held = app.lease("work", 100).await;
    app.ack(&held[0]).await.is(200);
    app.nack(&held[1], json!({"retry_in_ms": 0})).await.is(200);
    app.until_count("work", "ready", 4).await;
    assert_eq!(leased_now(&app).await, 0);
    app.advance(Duration::from_secs(60));
    assert_eq!(leased_now(&app).await, 2);
}

#[tokio::test]
async fn both_limits_hold_together() {
    let settings = json!({"max_concurrency": 4, "rate_limit": {"limit": 3, "per_ms": 1000}});
    let app = with_jobs(settings, 20).await;
    assert_eq!(leased_now(&app).await, 3);
    app.advance(Duration::from_secs(1));
    assert_eq!(leased_now(&app).await, 1);
    app.advance(Duration::from_secs(1));
    assert_eq!(leased_now(&app).await, 0);
}

#[tokio::test]
async fn in_a_dequeue_of_several_each_queue_keeps_its_own_limits() {
    let app = with_jobs(json!({"max_concurrency": 2}), 5).await;
    app.create_queue("other", json!({"rate_limit": {"limit": 1, "per_ms": 1000}})).await;
    for number in 0..5 {
        app.enqueue("other", number).await;
        app.enqueue("free", number).await;
    }
    let answer = app.post("/v1/dequeue", json!({"queues": ["work", "other", "free"], "limit": 100})).await.is(200);
    let of = |queue: &str| answer.jobs().iter().filter(|job| job["queue"] == queue).count();
    assert_eq!((of("work"), of("other"), of("free")), (2, 1, 5));
}

#[tokio::test]
async fn a_paused_queue_takes_jobs_and_leases_none() {
    let app = with_jobs(json!({}), 2).await;
    let held = app.lease_one("work").await;
    app.request("POST", "/v1/queues/work/pause").send().await.is(204);
    assert_eq!(leased_now(&app).await, 0);
    enqueue(&app, 1).await;
    assert_eq!(app.count("work", "ready").await, 2);
    let queue = app.queue("work").await;
    assert_eq!((&queue["paused"], &queue["settings"]["paused"]), (&json!(true), &json!(true)));
    let answer = app.dequeue("work", json!({"ack": [held.to_ack()]})).await.is(200);
    assert_eq!((answer.jobs().len(), &answer["acked"][0]["status"]), (0, &json!(200)));
    app.post("/v1/queues/work/pause", json!({})).await.is(204);
    let other = app.post("/v1/dequeue", json!({"queues": ["work"]})).await.is(200);
    assert_eq!(other.jobs().len(), 0);

    let app = app.restart().await;
    assert_eq!(leased_now(&app).await, 0);
    app.request("POST", "/v1/queues/work/resume").send().await.is(204);
    let queue = app.queue("work").await;
    assert_eq!((&queue["paused"], &queue["settings"]["paused"]), (&json!(false), &json!(false)));
    assert_eq!(leased_now(&app).await, 2);
}

#[tokio::test]
async fn a_pause_by_the_settings_is_the_same_pause() {
    let app = with_jobs(json!({"paused": true}), 1).await;
    assert_eq!((leased_now(&app).await, &app.queue("work").await["paused"]), (0, &json!(true)));
    app.request("POST", "/v1/queues/work/resume").send().await.is(204);
    assert_eq!(app.queue("work").await["settings"]["paused"], false);
    app.change_queue("work", json!({"paused": true})).await;
    assert_eq!(leased_now(&app).await, 0);
    app.change_queue("work", json!({})).await;
    assert_eq!(leased_now(&app).await, 1);
}

#[tokio::test]
async fn leases_of_a_paused_queue_end_in_time() {
    let app = with_jobs(json!({}), 1).await;
    let held = app.lease_one("work").await;
    app.request("POST", "/v1/queues/work/pause").send().await.is(204);
    app.extend(&held, json!({"lease_ms": 1000})).await.is(200);
    app.advance(Duration::from_secs(1));
    app.until_count("work", "ready", 1).await;
    assert_eq!(leased_now(&app).await, 0);
}

#[tokio::test]
async fn an_unknown_queue_is_neither_paused_nor_resumed() {
    let app = TestApp::spawn().await;
    for verb in ["pause", "resume"] {
        app.request("POST", format!("/v1/queues/work/{verb}")).send().await.fails_with(404, "not-found");
    }
    app.queue("work").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_waiting_dequeue_is_answered_when_a_slot_comes_free() {
    for end in ["ack", "nack", "cancel", "expiry", "raise", "none"] {
        let app = TestApp::with().server_clock().spawn().await;
        app.create_queue("work", json!({"max_concurrency": 1})).await;
        enqueue(&app, 2).await;
        let lease_ms = if end == "expiry" { 300 } else { 60_000 };
        let held = app.dequeue("work", json!({"lease_ms": lease_ms})).await.is(200).leased("work").remove(0);
        let started = Instant::now();
        let wait_ms = if end == "none" { 300 } else { WAIT_MS };
        let waiting = app.dequeue("work", json!({"wait_ms": wait_ms}));
        let (answer, ()) = join(waiting, async {
            if end != "none" && end != "expiry" {
                app.until_in_flight(1).await;
            }
            match end {
                "ack" => drop(app.ack(&held).await.is(200)),
                "nack" => drop(app.nack(&held, json!({"retry_in_ms": 3_600_000})).await.is(200)),
                "cancel" => drop(app.delete(format!("/v1/queues/work/jobs/{}", held.id)).await.is(204)),
                "raise" => drop(app.change_queue("work", json!({"max_concurrency": 2})).await),
                _ => {}
            }
        })
        .await;
        let jobs = answer.is(200).leased("work");
        assert_eq!(jobs.len(), usize::from(end != "none"), "{end}");
        assert!(started.elapsed() < SOON, "{end}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_waiting_dequeue_is_answered_when_the_rate_comes_free_and_not_before() {
    let app = TestApp::with().server_clock().spawn().await;
    app.create_queue("work", json!({"rate_limit": {"limit": 1, "per_ms": 1000}})).await;
    enqueue(&app, 3).await;
    let started = Instant::now();
    let mut starts = Vec::new();
    for _ in 0..3 {
        let answer = app.dequeue("work", json!({"wait_ms": WAIT_MS})).await.is(200);
        let started_at = answer.leased("work").remove(0).job["started_at"].as_str().expect("a time").to_owned();
        starts.push(started_at.parse::<jiff::Timestamp>().expect("RFC 3339").as_millisecond());
    }
    // Times are cut to the millisecond.
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= 999), "{starts:?}");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_waiting_dequeue_is_answered_when_its_key_comes_free() {
    let app = TestApp::with().server_clock().spawn().await;
    app.create_queue("work", json!({"keys": {"max_concurrency": 1}})).await;
    let job = json!({"payload": 1, "key": "a"});
    app.enqueue_many("work", vec![job.clone(), job]).await.is(200);
    let held = app.lease_one("work").await;
    let started = Instant::now();
    let (answer, ()) = join(app.dequeue("work", json!({"wait_ms": WAIT_MS})), async {
        app.until_in_flight(1).await;
        app.ack(&held).await.is(200);
    })
    .await;
    assert_eq!(answer.is(200).jobs().len(), 1);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_waiting_dequeue_is_answered_when_the_rate_of_a_key_comes_free() {
    let app = TestApp::with().server_clock().spawn().await;
    app.create_queue("work", json!({"keys": {"rate_limit": {"limit": 1, "per_ms": 500}}})).await;
    let job = json!({"payload": 1, "key": "a"});
    app.enqueue_many("work", vec![job.clone(), job]).await.is(200);
    app.lease_one("work").await;
    let started = Instant::now();
    let answer = app.dequeue("work", json!({"wait_ms": WAIT_MS})).await.is(200);
    assert_eq!(answer.jobs().len(), 1);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}
