//! Reading jobs, waiting for them, and what is done to them from outside: cancel, retry, purge.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join;
use serde_json::{Value, json};

use crate::support::{Answer, Leased, OwnRedis, STATES, TestApp, at, ids};

const JOBS: &str = "/v1/queues/emails/jobs";

async fn wait_for(app: &TestApp, id: &str, wait_ms: u64) -> Answer {
    app.get(format!("{JOBS}/{id}?wait_ms={wait_ms}")).await
}

async fn retry(app: &TestApp, id: &str) -> Answer {
    app.request("POST", format!("{JOBS}/{id}/retry")).send().await
}

async fn purge(app: &TestApp, state: &str) -> Value {
    app.delete(format!("{JOBS}?state={state}")).await.is(200).json().clone()
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({})).await;
    app.enqueue_as("other", "job").await;
    app.job("emails", "job").await.fails_with(404, "not-found");
    app.job("unknown", "job").await.fails_with(404, "not-found");
    wait_for(&app, "job", 20_000).await.fails_with(404, "not-found");
    app.delete(format!("{JOBS}/job")).await.fails_with(404, "not-found");
    retry(&app, "job").await.fails_with(404, "not-found");
    app.get("/v1/queues/unknown/jobs").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_bad_parameter_is_named() {
    let app = TestApp::spawn().await;
    app.enqueue_as("emails", "job").await;
    for (query, parameter) in [
        ("/job?wait_ms=-1", "wait_ms"),
        ("/job?wait_ms=30001", "wait_ms"),
        ("/job?wait_ms=x", "wait_ms"),
        ("/job?wait_ms=", "wait_ms"),
        ("/job?colour=1", "colour"),
        ("?state=running", "state"),
        ("?state=", "state"),
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=x", "limit"),
        ("?colour=1", "colour"),
        ("?limit=1&limit=2", "limit"),
    ] {
        let refused = app.get(format!("{JOBS}{query}")).await.fails_with(422, "invalid");
        assert_eq!(refused.pointers(), [parameter], "{query}: {}", refused.text());
    }
    for (query, parameter) in
        [("", "state"), ("?state=active", "state"), ("?state=running", "state"), ("?state=ready&limit=1", "limit")]
    {
        app.delete(format!("{JOBS}{query}")).await.fails_at(&[parameter]);
    }
    app.delete(format!("{JOBS}/job?colour=1")).await.fails_at(&["colour"]);
    let long = format!("{JOBS}/{}", "x".repeat(129));
    assert_eq!(app.get(&long).await.fails_with(422, "invalid").pointers().len(), 1);
    assert_eq!(app.job("emails", "job").await["state"], "ready");
}

#[tokio::test]
async fn who_waits_for_a_job_is_answered_when_it_finishes() {
    let app = TestApp::spawn().await;
    for (id, end) in [("a", "completed"), ("b", "dead"), ("c", "cancelled")] {
        app.enqueue_as("emails", id).await;
        let finish = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let leased = app.lease_one("emails").await;
            app.nack(&leased, json!({"retry_in_ms": 0})).await.is(200);
            let leased = app.lease_soon("emails").await;
            app.extend(&leased, json!({"progress": 1})).await.is(200);
            match end {
                "completed" => app.settle(&leased, "ack", json!({"result": [1]})).await.is(200),
                "dead" => app.nack(&leased, json!({"dead": true})).await.is(200),
                _ => app.delete(format!("{JOBS}/{id}")).await.is(204),
            }
        };
        let (answer, _) = join(wait_for(&app, id, 15_000), finish).await;
        assert_eq!(answer.is(200)["state"], end, "neither a lease nor a retry is an end");
        let began = Instant::now();
        let again = wait_for(&app, id, 30_000).await.is(200);
        assert_eq!(again.text(), app.job("emails", id).await.text());
        assert!(began.elapsed() < Duration::from_secs(10), "a finished job is waited for no longer");
    }
    assert_eq!(app.job("emails", "a").await["result"], json!([1]));
}

#[tokio::test]
async fn a_job_that_ends_by_itself_ends_the_wait_too() {
    let app = TestApp::spawn().await;
    app.enqueue_job("emails", json!({"id": "dead", "payload": 1, "max_attempts": 1})).await.is(201);
    app.lease_one("emails").await;
    app.enqueue_job("emails", json!({"id": "cancelled", "payload": 1, "expires_in_ms": 30_000})).await.is(201);
    let advance = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        app.advance(Duration::from_secs(30));
    };
    let waits = join(wait_for(&app, "dead", 15_000), wait_for(&app, "cancelled", 15_000));
    let ((dead, cancelled), ()) = join(waits, advance).await;
    assert_eq!((&dead.is(200)["state"], &cancelled.is(200)["state"]), (&json!("dead"), &json!("cancelled")));
}

#[tokio::test]
async fn a_wait_that_ends_before_the_job_gives_what_stands() {
    let app = TestApp::spawn().await;
    app.enqueue_as("emails", "job").await;
    app.lease_one("emails").await;
    let began = Instant::now();
    let answer = wait_for(&app, "job", 300).await.is(200);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(answer["state"], "active");
    assert_eq!(wait_for(&app, "job", 0).await.is(200).text(), answer.text());
}

#[tokio::test]
async fn a_known_tag_does_not_cut_a_wait_short() {
    let app = TestApp::spawn().await;
    app.enqueue_as("emails", "job").await;
    let leased = app.lease_one("emails").await;
    let tag = app.job("emails", "job").await.is(200).header("etag").to_owned();
    let wait = async |wait_ms: u64| {
        let target = format!("{JOBS}/job?wait_ms={wait_ms}");
        app.request("GET", target).header("if-none-match", tag.clone()).send().await
    };
    let began = Instant::now();
    assert_eq!(wait(300).await.is(304).header("etag"), tag, "nothing new when the wait is over");
    assert!(began.elapsed() >= Duration::from_millis(300));
    let finish = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        app.ack(&leased).await.is(200)
    };
    let (answer, _) = join(wait(15_000), finish).await;
    assert_eq!(answer.is(200)["state"], "completed");
}

#[tokio::test]
async fn a_job_finished_at_another_instance_ends_the_wait() {
    let redis = OwnRedis::spawn().await;
    let one = TestApp::with().redis_url(&redis.url()).spawn().await;
    let other = TestApp::with().redis_url(&redis.url()).spawn().await;
    one.enqueue_as("emails", "job").await;
    let finish = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let leased = other.lease_one("emails").await;
        other.settle(&leased, "ack", json!({"result": "done"})).await.is(200)
    };
    let (answer, _) = join(wait_for(&one, "job", 15_000), finish).await;
    assert_eq!((&answer["state"], &answer["result"]), (&json!("completed"), &json!("done")));
}

/// Makes `count` jobs of a state in `emails`.
async fn fill_state(app: &TestApp, state: &str, count: usize) {
    let fields = match state {
        "scheduled" => json!({"delay_ms": 3_600_000}),
        "cancelled" => json!({"expires_in_ms": 1000}),
        "dead" => json!({"max_attempts": 1}),
        _ => json!({}),
    };
    app.fill_queue("emails", count, &fields).await;
    match state {
        "active" => drop(app.lease_many("emails", count).await),
        "completed" => {
            let acks: Vec<Value> = app.lease_many("emails", count).await.iter().map(Leased::to_ack).collect();
            for acks in acks.chunks(1000) {
                app.post("/v1/queues/emails/acks", json!({"acks": acks})).await.is(200);
            }
        }
        "dead" => {
            app.lease_many("emails", count).await;
            app.advance(Duration::from_secs(30));
        }
        "cancelled" => app.advance(Duration::from_secs(1)),
        _ => {}
    }
    app.until_count("emails", state, count as u64).await;
}

#[tokio::test]
async fn a_list_of_a_state_gives_every_job_once_over_its_pages() {
    for state in STATES {
        let app = TestApp::spawn().await;
        fill_state(&app, state, 2500).await;
        let (mut numbers, mut cursor, mut pages) = (BTreeSet::new(), String::new(), 0);
        loop {
            let page = app.get(format!("{JOBS}?state={state}&limit=400{cursor}")).await.is(200);
            assert!(page.jobs().iter().all(|job| job["state"] == state));
            for payload in page.payloads() {
                assert!(numbers.insert(payload.as_u64().expect("a number")), "{state}: {payload} comes twice");
            }
            pages += 1;
            match page.next_cursor() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!((numbers.len(), numbers.last(), pages), (2500, Some(&2499), 7), "{state}");
        let other = if state == "ready" { "dead" } else { "ready" };
        assert_eq!(app.jobs("emails", other).await.jobs(), [""; 0]);
    }
}

#[tokio::test]
async fn a_list_without_a_state_gives_them_all_one_state_after_the_other() {
    let app = TestApp::spawn().await;
    for round in 0..3 {
        let queue = format!("q{round}");
        app.one_in_each_state(&queue).await;
        for limit in [1, 2, 4, 1000] {
            let jobs = app.all_jobs(&queue, &format!("limit={limit}")).await;
            assert_eq!(jobs.iter().map(|job| &job["state"]).collect::<Vec<_>>(), STATES, "limit {limit}");
            assert_eq!(ids(&jobs), STATES);
        }
    }
    assert_eq!(app.get("/v1/queues/q0/jobs").await.is(200).jobs().len(), 6);
    app.fill_queue("q0", 60, &json!({})).await;
    let page = app.get("/v1/queues/q0/jobs").await.is(200);
    assert_eq!((page.jobs().len(), page.next_cursor().is_some()), (50, true), "50 unless asked otherwise");
}

#[tokio::test]
async fn each_state_is_listed_in_its_own_order() {
    let app = TestApp::spawn().await;
    for (id, priority) in [("low", 0), ("high", 9), ("high-too", 9), ("middle", 4)] {
        app.enqueue_job("emails", json!({"id": id, "payload": 1, "priority": priority})).await.is(201);
    }
    assert_eq!(ids(app.jobs("emails", "ready").await.jobs()), ["high", "high-too", "middle", "low"]);
    for (number, lease_ms) in [30_000, 5000, 20_000, 10_000].into_iter().enumerate() {
        let leased = app.dequeue("emails", json!({"lease_ms": lease_ms})).await.is(200);
        assert_eq!(leased.jobs().len(), 1, "{number}");
    }
    assert_eq!(ids(app.jobs("emails", "active").await.jobs()), ["high-too", "low", "middle", "high"]);
    for (id, delay_ms) in [("s3", 3000), ("s1", 1000), ("s2", 2000)] {
        app.enqueue_job("later", json!({"id": id, "payload": 1, "delay_ms": delay_ms})).await.is(201);
    }
    assert_eq!(ids(app.jobs("later", "scheduled").await.jobs()), ["s1", "s2", "s3"]);
    for state in ["completed", "dead", "cancelled"] {
        for id in ["a", "b", "c"] {
            app.enqueue_as(state, id).await;
        }
        let mut held = app.lease(state, 3).await;
        held.swap(0, 2);
        for leased in &held {
            match state {
                "completed" => app.ack(leased).await.is(200),
                "dead" => app.nack(leased, json!({"dead": true})).await.is(200),
                _ => app.delete(format!("/v1/queues/{state}/jobs/{}", leased.id)).await.is(204),
            };
            app.advance(Duration::from_millis(1));
        }
        assert_eq!(ids(app.jobs(state, state).await.jobs()), ["c", "b", "a"], "the first to finish first");
    }
}

#[tokio::test]
async fn a_row_of_a_list_is_what_a_read_gives() {
    let app = TestApp::spawn().await;
    app.one_in_each_state("emails").await;
    for state in STATES {
        let list = app.jobs("emails", state).await;
        assert_eq!(list.jobs(), [app.job("emails", state).await.is(200).json().clone()]);
    }
}

#[tokio::test]
async fn jobs_and_leases_survive_a_stop_and_a_start() {
    let app = TestApp::spawn().await;
    let held = app.one_in_each_state("emails").await;
    let before = app.get(JOBS).await.is(200);
    let queue = app.queue("emails").await;
    let app = app.restart().await;
    assert_eq!(app.get(JOBS).await.is(200).text(), before.text());
    assert_eq!(app.queue("emails").await.text(), queue.text());
    app.ack(&held).await.is(200);
    assert_eq!(app.lease_one("emails").await.id, "ready");
}

#[tokio::test]
async fn a_cursor_that_was_never_given_is_malformed() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 3, &json!({})).await;
    app.fill_queue("other", 3, &json!({})).await;
    for cursor in ["x", "AAAA", "%20", "", &"A".repeat(500)] {
        app.get(format!("{JOBS}?cursor={cursor}")).await.fails_with(400, "malformed-request");
    }
    let page = app.get(format!("{JOBS}?state=ready&limit=1")).await.is(200);
    let cursor = page.next_cursor().expect("there is more");
    for path in [&format!("{JOBS}?state=dead"), "/v1/queues/other/jobs?state=ready"] {
        app.get(format!("{path}&cursor={cursor}")).await.fails_with(400, "malformed-request");
    }
}

#[tokio::test]
async fn every_job_but_a_completed_one_can_be_cancelled() {
    let app = TestApp::spawn().await;
    app.one_in_each_state("emails").await;
    app.advance(Duration::from_millis(10));
    for state in STATES {
        let before = app.job("emails", state).await.is(200);
        let answer = app.delete(format!("{JOBS}/{state}")).await;
        match state {
            "completed" => drop(answer.fails_with(409, "conflict")),
            _ => assert_eq!(answer.is(204).text(), ""),
        }
        let after = app.job("emails", state).await.is(200);
        if matches!(state, "completed" | "cancelled") {
            assert_eq!(after.text(), before.text(), "nothing was changed");
        } else {
            assert_eq!((&after["state"], &after["finished_at"]), (&json!("cancelled"), &json!(at(10))), "{state}");
            app.delete(format!("{JOBS}/{state}")).await.is(204);
        }
    }
    let counts = json!({"ready": 0, "scheduled": 0, "active": 0, "completed": 1, "dead": 0, "cancelled": 5});
    assert_eq!(app.queue("emails").await["counts"], counts);
    app.advance(Duration::from_hours(2));
    assert_eq!(app.dequeue("emails", json!({"wait_ms": 600})).await.jobs(), [""; 0], "none of them runs");
}

#[tokio::test]
async fn a_dead_or_scheduled_job_can_be_retried_and_no_other() {
    let app = TestApp::spawn().await;
    app.one_in_each_state("emails").await;
    for state in STATES {
        let before = app.job("emails", state).await.is(200);
        let answer = retry(&app, state).await;
        if matches!(state, "dead" | "scheduled") {
            assert_eq!(answer.is(200)["state"], "ready");
        } else {
            answer.fails_with(409, "conflict");
            assert_eq!(app.job("emails", state).await.text(), before.text(), "nothing was changed");
        }
    }
    let order: Vec<String> = app.lease("emails", 10).await.into_iter().map(|job| job.id).collect();
    assert_eq!(order, ["ready", "scheduled", "dead"], "what is retried joins the end");
}

#[tokio::test]
async fn a_retry_of_a_job_that_waits_for_its_next_attempt_counts_on() {
    let app = TestApp::spawn().await;
    app.enqueue_as("emails", "job").await;
    let leased = app.lease_one("emails").await;
    app.nack(&leased, json!({"retry_in_ms": 3_600_000, "error": "no"})).await.is(200);
    assert_eq!(retry(&app, "job").await.is(200)["attempt"], 1);
    let again = app.lease_one("emails").await;
    assert_eq!((again.attempt(), &again.job["errors"][0]["error"]), (2, &json!("no")));
    let send = || app.request("POST", format!("{JOBS}/job/retry")).key("k1").send();
    app.nack(&again, json!({"dead": true})).await.is(200);
    let first = send().await.is(200);
    app.lease_one("emails").await;
    let replayed = send().await.is(200);
    assert_eq!((replayed.was_replayed(), replayed.text()), (true, first.text()));
}

#[tokio::test]
async fn a_purge_removes_the_jobs_of_one_state() {
    for state in ["ready", "scheduled", "completed", "dead", "cancelled"] {
        let app = TestApp::spawn().await;
        app.one_in_each_state("emails").await;
        assert_eq!(purge(&app, state).await, json!({"deleted": 1}));
        assert_eq!(purge(&app, state).await, json!({"deleted": 0}));
        for other in STATES {
            assert_eq!(app.count("emails", other).await, u64::from(other != state), "{other} after {state}");
        }
        app.job("emails", state).await.fails_with(404, "not-found");
        assert_eq!(app.queue("emails").await["oldest_ready_ms"].is_null(), state == "ready");
        app.enqueue_as("emails", state).await;
    }
}

#[tokio::test]
async fn a_purge_of_many_removes_them_all() {
    let app = TestApp::spawn().await;
    for state in ["ready", "scheduled"] {
        fill_state(&app, state, 2500).await;
        assert_eq!(purge(&app, state).await, json!({"deleted": 2500}));
        assert_eq!(app.all_jobs("emails", "").await, [""; 0]);
    }
}
