//! What holds for each value of a job's `key`: order, concurrency, rate, turns.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Leased, TestApp};

/// A queue whose keys have these settings.
pub(super) async fn keyed(keys: Value) -> TestApp {
    let app = TestApp::spawn().await;
    app.create_queue("work", json!({"keys": keys, "backoff": {"kind": "fixed", "base_ms": 1000, "jitter": 0}})).await;
    app
}

pub(super) fn strict() -> Value {
    json!({"max_concurrency": 1})
}

/// Enqueues jobs named like `a1`: the first letter is the key, `-` for none. The name is the id and the payload.
pub(super) async fn enqueue(app: &TestApp, names: &[&str]) {
    enqueue_all(app, names.iter().map(ToString::to_string).collect()).await;
}

async fn enqueue_all(app: &TestApp, names: Vec<String>) {
    let job = |name: String| match &name[..1] {
        "-" => json!({"payload": name, "id": name}),
        key => json!({"payload": name, "id": name, "key": key}),
    };
    let answer = app.enqueue_many("work", names.into_iter().map(job).collect()).await.is(200);
    let results = answer["results"].as_array().expect("results");
    assert!(results.iter().all(|result| result["status"] == 201), "{}", answer.text());
}

/// Leases all that may be leased, up to 100.
pub(super) async fn lease(app: &TestApp) -> Vec<Leased> {
    app.lease("work", 100).await
}

pub(super) fn names(leased: &[Leased]) -> Vec<&str> {
    leased.iter().map(|leased| leased.id.as_str()).collect()
}

#[track_caller]
pub(super) fn assert_names(leased: &[Leased], expected: &[&str]) {
    assert_eq!(names(leased), expected);
}

#[tokio::test]
async fn jobs_of_a_key_run_one_after_the_other_in_their_order() {
    let app = keyed(strict()).await;
    enqueue(&app, &["a1", "a2", "b1", "a3", "b2"]).await;
    let first = lease(&app).await;
    assert_names(&first, &["a1", "b1"]);
    assert_eq!(first[0].job["key"], "a");
    assert_names(&lease(&app).await, &[]);
    assert_eq!(app.job("work", "a2").await.is(200)["state"], "ready");
    app.ack(&first[0]).await.is(200);
    let second = lease(&app).await;
    assert_names(&second, &["a2"]);
    let answer =
        app.dequeue("work", json!({"ack": [second[0].to_ack(), first[1].to_ack()], "limit": 10})).await.is(200);
    assert_names(&answer.leased("work"), &["a3", "b2"]);
    assert_names(&lease(&app).await, &[]);
}

#[tokio::test]
async fn a_job_that_waits_for_its_retry_holds_the_next_ones_of_its_key() {
    let app = keyed(strict()).await;
    enqueue(&app, &["a1", "a2"]).await;
    let first = app.lease_one("work").await;
    app.nack(&first, json!({"retry_in_ms": 60_000})).await.is(200);
    assert_names(&lease(&app).await, &[]);
    app.advance(Duration::from_millis(59_999));
    assert_names(&lease(&app).await, &[]);
    app.advance(Duration::from_millis(1));
    let again = app.lease_soon("work").await;
    assert_eq!((again.id.as_str(), again.attempt()), ("a1", 2));
    assert_names(&lease(&app).await, &[]);
    app.ack(&again).await.is(200);
    assert_names(&lease(&app).await, &["a2"]);
}

#[tokio::test]
async fn a_job_whose_lease_ends_comes_before_the_next_of_its_key() {
    let app = keyed(strict()).await;
    enqueue(&app, &["a1", "a2", "b1"]).await;
    assert_names(&lease(&app).await, &["a1", "b1"]);
    app.advance(Duration::from_secs(30));
    let mut back = vec![app.lease_soon("work").await, app.lease_soon("work").await];
    back.sort_by(|one, other| one.id.cmp(&other.id));
    assert_names(&back, &["a1", "b1"]);
    assert!(back.iter().all(|leased| leased.attempt() == 2));
    assert_names(&lease(&app).await, &[]);
    app.ack(&back[0]).await.is(200);
    assert_names(&lease(&app).await, &["a2"]);
}

#[tokio::test]
async fn the_end_of_a_job_lets_the_next_of_its_key_go() {
    for end in ["ack", "dead", "attempts", "expiry", "cancel", "cancel its retry", "purge its retry"] {
        let app = keyed(strict()).await;
        app.change_queue("work", json!({"keys": strict(), "max_attempts": if end.contains("retry") { 5 } else { 1 }}))
            .await;
        enqueue(&app, &["a1", "a2", "a3"]).await;
        let first = app.lease_one("work").await;
        match end {
            "ack" => drop(app.ack(&first).await.is(200)),
            "dead" => drop(app.nack(&first, json!({"dead": true})).await.is(200)),
            "attempts" => drop(app.nack(&first, json!({})).await.is(200)),
            "expiry" => app.advance(Duration::from_secs(30)),
            "cancel" => drop(app.delete("/v1/queues/work/jobs/a1").await.is(204)),
            _ => {
                app.nack(&first, json!({"retry_in_ms": 60_000})).await.is(200);
                let all = end.starts_with("purge");
                let target = if all { "jobs?state=scheduled" } else { "jobs/a1" };
                app.delete(format!("/v1/queues/work/{target}")).await.is(if all { 200 } else { 204 });
            }
        }
        assert_eq!(app.lease_soon("work").await.id, "a2", "{end}");
        assert_names(&lease(&app).await, &[]);
    }
}

#[tokio::test]
async fn within_a_key_a_higher_priority_goes_first_but_never_past_a_job_that_has_started() {
    let app = keyed(strict()).await;
    let job = |id: &str, priority: u8| json!({"payload": 1, "id": id, "key": "a", "priority": priority});
    app.enqueue_many("work", vec![job("low", 1), job("low-too", 1), job("high", 8)]).await.is(200);
    let high = app.lease_one("work").await;
    assert_eq!(high.id, "high");
    app.ack(&high).await.is(200);
    let low = app.lease_one("work").await;
    assert_eq!(low.id, "low");
    app.enqueue_job("work", job("higher", 9)).await.is(201);
    app.nack(&low, json!({"retry_in_ms": 1000})).await.is(200);
    assert_names(&lease(&app).await, &[]);
    app.advance(Duration::from_secs(1));
    let mut order = Vec::new();
    for _ in 0..3 {
        let leased = app.lease_soon("work").await;
        app.ack(&leased).await.is(200);
        order.push(leased.id);
    }
    assert_eq!(order, ["low", "higher", "low-too"]);
}

#[tokio::test]
async fn a_retry_by_hand_of_a_job_that_waits_goes_first_in_its_key() {
    let app = keyed(strict()).await;
    enqueue(&app, &["a1", "a2"]).await;
    let first = app.lease_one("work").await;
    app.nack(&first, json!({"retry_in_ms": 60_000})).await.is(200);
    app.post("/v1/queues/work/jobs/a1/retry", json!({})).await.is(200);
    let again = lease(&app).await;
    assert_names(&again, &["a1"]);
    app.ack(&again[0]).await.is(200);
    assert_names(&lease(&app).await, &["a2"]);
}

#[tokio::test]
async fn a_delayed_job_holds_nobody_before_it_starts() {
    let app = keyed(strict()).await;
    app.enqueue_job("work", json!({"payload": 1, "id": "later", "key": "a", "delay_ms": 1000})).await.is(201);
    enqueue(&app, &["a1"]).await;
    let first = app.lease_one("work").await;
    assert_eq!(first.id, "a1");
    app.advance(Duration::from_secs(1));
    app.until_count("work", "ready", 1).await;
    assert_names(&lease(&app).await, &[]);
    app.ack(&first).await.is(200);
    assert_names(&lease(&app).await, &["later"]);
}

#[tokio::test]
async fn a_job_that_expires_while_its_key_is_taken_is_cancelled() {
    let app = keyed(strict()).await;
    enqueue(&app, &["a1"]).await;
    app.enqueue_job("work", json!({"payload": 1, "id": "short", "key": "a", "expires_in_ms": 1000})).await.is(201);
    enqueue(&app, &["a2"]).await;
    let first = app.lease_one("work").await;
    app.advance(Duration::from_secs(1));
    app.until_count("work", "cancelled", 1).await;
    app.ack(&first).await.is(200);
    assert_names(&lease(&app).await, &["a2"]);
    assert_eq!(app.job("work", "short").await["state"], "cancelled");
}

#[tokio::test]
async fn a_key_may_have_two_jobs_at_once_and_any_end_of_a_run_frees_its_slot() {
    let app = keyed(json!({"max_concurrency": 2})).await;
    enqueue(&app, &["a1", "a2", "a3", "a4", "a5", "b1"]).await;
    let first = lease(&app).await;
    assert_names(&first, &["a1", "a2", "b1"]);
    app.nack(&first[0], json!({"retry_in_ms": 3_600_000})).await.is(200);
    let second = lease(&app).await;
    assert_names(&second, &["a3"]);
    app.ack(&first[1]).await.is(200);
    assert_names(&lease(&app).await, &["a4"]);
    app.delete("/v1/queues/work/jobs/a3").await.is(204);
    assert_names(&lease(&app).await, &["a5"]);
    assert_names(&lease(&app).await, &[]);
}

#[tokio::test]
async fn the_slots_of_a_dead_worker_come_back_with_its_leases() {
    let app = keyed(json!({"max_concurrency": 2})).await;
    enqueue(&app, &["a1", "a2", "a3", "a4"]).await;
    assert_names(&lease(&app).await, &["a1", "a2"]);
    app.advance(Duration::from_millis(29_999));
    assert_names(&lease(&app).await, &[]);
    app.advance(Duration::from_millis(1));
    app.until_count("work", "active", 0).await;
    assert_names(&lease(&app).await, &["a3", "a4"]);
    assert_names(&lease(&app).await, &[]);
    app.advance(Duration::from_secs(30));
    app.until_count("work", "active", 0).await;
    assert_names(&lease(&app).await, &["a1", "a2"]);
}

#[tokio::test]
async fn a_key_starts_at_most_so_many_jobs_in_any_span_of_time() {
    let app = keyed(json!({"rate_limit": {"limit": 2, "per_ms": 1000}})).await;
    enqueue(&app, &["a1", "a2", "a3", "a4", "a5", "b1"]).await;
    let at = async |advance_ms: u64, limit: usize| {
        app.advance(Duration::from_millis(advance_ms));
        let leased = app.lease("work", limit).await;
        leased.into_iter().map(|leased| leased.id).collect::<Vec<String>>()
    };
    assert_eq!(at(0, 1).await, ["a1"]);
    assert_eq!(at(600, 100).await, ["a2", "b1"]);
    assert_eq!(at(399, 100).await, [""; 0]);
    // The first lease is a second ago, the other one 400 ms.
    assert_eq!(at(1, 100).await, ["a3"]);
    assert_eq!(at(599, 100).await, [""; 0]);
    assert_eq!(at(1, 100).await, ["a4"]);
    assert_eq!(at(400, 100).await, ["a5"]);
}

#[tokio::test]
async fn a_key_at_its_rate_holds_up_no_other_and_an_ack_gives_no_rate_back() {
    let app = keyed(json!({"rate_limit": {"limit": 1, "per_ms": 60_000}})).await;
    enqueue(&app, &["a1", "a2", "-1", "b1", "-2", "b2"]).await;
    let first = lease(&app).await;
    assert_names(&first, &["a1", "-1", "b1", "-2"]);
    for leased in &first {
        app.ack(leased).await.is(200);
    }
    assert_names(&lease(&app).await, &[]);
    app.advance(Duration::from_secs(60));
    assert_names(&lease(&app).await, &["a2", "b2"]);
}

/// Enqueues 1,000 jobs of `a`, and then 10 of `b`.
pub(super) async fn a_crowd_and_a_few(app: &TestApp) {
    enqueue_all(app, (0..1000).map(|number| format!("a{number}")).collect()).await;
    enqueue_all(app, (0..10).map(|number| format!("b{number}")).collect()).await;
}

#[tokio::test]
async fn with_turns_a_crowd_does_not_hold_up_a_few() {
    let app = keyed(json!({"fair": true})).await;
    a_crowd_and_a_few(&app).await;
    let leased = app.lease("work", 21).await;
    let turns =
        |key: &str| names(&leased).iter().filter(|name| name.starts_with(key)).map(ToString::to_string).collect();
    let (crowd, few): (Vec<String>, Vec<String>) = (turns("a"), turns("b"));
    assert_eq!(few, (0..10).map(|number| format!("b{number}")).collect::<Vec<_>>());
    assert_eq!(crowd, (0..11).map(|number| format!("a{number}")).collect::<Vec<_>>());
    let rest = app.lease("work", 100).await;
    assert!(names(&rest).iter().all(|name| name.starts_with('a')) && rest.len() == 100);
}

#[tokio::test]
async fn without_turns_jobs_go_in_the_order_of_their_arrival() {
    let app = keyed(json!({"max_concurrency": 1000})).await;
    a_crowd_and_a_few(&app).await;
    for tenth in 0..10 {
        let leased = app.lease("work", 100).await;
        let expected: Vec<String> = (tenth * 100..tenth * 100 + 100).map(|number| format!("a{number}")).collect();
        assert_eq!(names(&leased), expected);
    }
    assert_eq!(names(&app.lease("work", 100).await).first(), Some(&"b0"));
}

#[tokio::test]
async fn without_turns_keys_and_none_mix_in_the_order_of_their_arrival() {
    let app = keyed(json!({"max_concurrency": 5})).await;
    let order = ["a1", "-1", "b1", "a2", "a3", "-2", "c1", "b2"];
    enqueue(&app, &order).await;
    for name in order {
        assert_eq!(app.lease_one("work").await.id, name);
    }
}

#[tokio::test]
async fn turns_go_round_one_by_one_while_jobs_are_done() {
    let app = keyed(json!({"fair": true, "max_concurrency": 1})).await;
    enqueue(&app, &["a1", "a2", "a3", "a4", "b1", "b2", "c1"]).await;
    let mut order = Vec::new();
    while let Some(leased) = app.lease("work", 1).await.pop() {
        app.ack(&leased).await.is(200);
        order.push(leased.id);
    }
    assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
}

#[tokio::test]
async fn each_priority_has_turns_of_its_own() {
    let app = keyed(json!({"fair": true})).await;
    let job = |id: &str, priority: u8| json!({"payload": 1, "id": id, "key": id[..1], "priority": priority});
    let jobs = vec![job("a1", 4), job("a2", 4), job("b1", 4), job("a3", 9), job("a4", 9), job("c1", 9)];
    app.enqueue_many("work", jobs).await.is(200);
    let leased = lease(&app).await;
    assert_names(&leased[..3], &["a3", "c1", "a4"]);
    let mut rest = names(&leased[3..]);
    assert_eq!(rest.iter().filter(|name| name.starts_with('a')).collect::<Vec<_>>(), [&"a1", &"a2"]);
    rest.sort_unstable();
    assert_eq!(rest, ["a1", "a2", "b1"]);
}

#[tokio::test]
async fn a_key_that_comes_back_waits_for_its_turn_like_the_others() {
    let app = keyed(json!({"fair": true})).await;
    enqueue(&app, &["a1", "b1", "b2", "b3"]).await;
    assert_names(&app.lease("work", 2).await, &["a1", "b1"]);
    enqueue(&app, &["a2", "a3", "c1"]).await;
    let rest = lease(&app).await;
    let place = |name: &str| names(&rest).iter().position(|found| *found == name).expect("it is leased");
    assert_eq!(rest.len(), 5);
    assert!(place("b2") < place("a3") && place("a2") < place("b3") && place("c1") < 3, "{:?}", names(&rest));
}

#[tokio::test]
async fn jobs_without_a_key_run_beside_those_with_one() {
    for keys in [strict(), json!({"fair": true, "max_concurrency": 1})] {
        let app = keyed(keys).await;
        enqueue(&app, &["a1", "a2", "-1", "-2", "b1", "-3"]).await;
        let leased = lease(&app).await;
        let mut found = names(&leased);
        found.sort_unstable();
        assert_eq!(found, ["-1", "-2", "-3", "a1", "b1"]);
        assert!(leased.iter().all(|leased| leased.id.starts_with('-') == leased.job["key"].is_null()));
        assert_eq!(app.count("work", "ready").await, 1);
    }
}

#[tokio::test]
async fn a_waiting_job_that_is_cancelled_leaves_the_others_of_its_key_in_order() {
    let app = keyed(strict()).await;
    enqueue(&app, &["a1", "a2", "a3"]).await;
    let first = app.lease_one("work").await;
    app.delete("/v1/queues/work/jobs/a2").await.is(204);
    assert_eq!(app.count("work", "ready").await, 1);
    app.ack(&first).await.is(200);
    assert_names(&lease(&app).await, &["a3"]);
}

#[tokio::test]
async fn what_is_cancelled_moves_no_other_job_of_its_key_forward() {
    let app = keyed(json!({"max_concurrency": 5})).await;
    enqueue(&app, &["a1", "-1", "b1", "a2"]).await;
    app.delete("/v1/queues/work/jobs/a1").await.is(204);
    assert_names(&lease(&app).await, &["-1", "b1", "a2"]);
}

#[tokio::test]
async fn a_job_that_expires_as_a_slot_of_its_key_comes_back_moves_no_other_forward() {
    let app = keyed(json!({"max_concurrency": 2})).await;
    enqueue(&app, &["a1", "a2"]).await;
    app.enqueue_job("work", json!({"payload": 3, "id": "a3", "key": "a", "expires_in_ms": 30_000})).await.is(201);
    assert_names(&lease(&app).await, &["a1", "a2"]);
    assert_names(&lease(&app).await, &[]);
    enqueue(&app, &["-1"]).await;
    // Both leases run out, and what has not started expires.
    app.advance(Duration::from_secs(30));
    assert_names(&lease(&app).await, &["-1", "a1", "a2"]);
    assert_eq!(app.job("work", "a3").await.is(200)["state"], "cancelled");
}

#[tokio::test]
async fn a_turn_that_comes_back_with_a_slot_keeps_its_place_though_a_job_joins_the_line() {
    let app = keyed(json!({"max_concurrency": 2, "fair": true})).await;
    enqueue(&app, &["a1", "a2", "a3"]).await;
    assert_names(&lease(&app).await, &["a1", "a2"]);
    enqueue(&app, &["-1"]).await;
    // Both leases run out, and their jobs stand in line again, behind the one that waited.
    app.advance(Duration::from_secs(30));
    assert_names(&lease(&app).await, &["a3", "-1", "a1"]);
}

#[tokio::test]
async fn a_job_that_is_cancelled_behind_one_whose_turn_came_back_leaves_it_that_turn() {
    let app = keyed(json!({"max_concurrency": 1})).await;
    enqueue(&app, &["a1", "a2", "a3"]).await;
    let first = lease(&app).await;
    assert_names(&first, &["a1"]);
    // Both turns are held back, and one comes back with the slot.
    app.ack(&first[0]).await.is(200);
    app.delete("/v1/queues/work/jobs/a3").await.is(204);
    assert_names(&lease(&app).await, &["a2"]);
}

#[tokio::test]
async fn the_room_of_a_cancelled_job_goes_to_the_next_of_its_key_whatever_its_priority() {
    let app = keyed(json!({"max_concurrency": 1})).await;
    for (name, priority) in [("first", 9), ("second", 9), ("last", 0)] {
        let job = json!({"payload": 1, "id": name, "key": "a", "priority": priority});
        app.enqueue_job("work", job).await.is(201);
    }
    let first = lease(&app).await;
    assert_names(&first, &["first"]);
    app.ack(&first[0]).await.is(200);
    app.delete("/v1/queues/work/jobs/second").await.is(204);
    assert_names(&lease(&app).await, &["last"]);
}

#[tokio::test]
async fn one_look_finds_a_job_behind_a_crowd_whose_key_is_taken() {
    let app = keyed(strict()).await;
    a_crowd_and_a_few(&app).await;
    assert_eq!(app.lease_one("work").await.id, "a0");
    assert_eq!(app.lease_one("work").await.id, "b0");
    assert_names(&lease(&app).await, &[]);
}

#[tokio::test]
async fn a_retry_that_waits_for_the_rate_of_its_key_is_ready_and_can_be_seen_and_purged() {
    let app = keyed(json!({"max_concurrency": 1, "rate_limit": {"limit": 1, "per_ms": 60_000}})).await;
    enqueue(&app, &["a1", "a2"]).await;
    let first = app.lease_one("work").await;
    app.nack(&first, json!({"retry_in_ms": 0})).await.is(200);
    app.until_count("work", "ready", 2).await;
    assert_names(&lease(&app).await, &[]);
    assert_names(&lease(&app).await, &[]);
    let listed = app.jobs("work", "ready").await;
    assert_eq!((listed.jobs().len(), app.count("work", "ready").await), (2, 2), "{}", listed.text());
    app.advance(Duration::from_secs(60));
    let again = app.lease_soon("work").await;
    assert_eq!((again.id.as_str(), again.attempt()), ("a1", 2));

    app.nack(&again, json!({"retry_in_ms": 0})).await.is(200);
    app.until_count("work", "ready", 2).await;
    assert_names(&lease(&app).await, &[]);
    assert_eq!(app.delete("/v1/queues/work/jobs?state=ready").await.is(200)["deleted"], 2);
    assert_eq!(app.count("work", "ready").await, 0);
    app.advance(Duration::from_secs(60));
    enqueue(&app, &["a3"]).await;
    assert_eq!(app.lease_soon("work").await.id, "a3");
}

#[tokio::test]
async fn jobs_that_expire_use_no_rate_of_their_key() {
    let app = keyed(json!({"rate_limit": {"limit": 1, "per_ms": 60_000}})).await;
    let short = |number| json!({"payload": number, "key": "a", "expires_in_ms": 1000});
    app.enqueue_many("work", (0..200).map(short).collect()).await.is(200);
    enqueue(&app, &["a1"]).await;
    app.advance(Duration::from_secs(1));
    assert_eq!(app.lease_soon("work").await.id, "a1");
}

#[tokio::test]
async fn a_purge_takes_the_waiting_jobs_of_keys_along() {
    let app = keyed(json!({"max_concurrency": 1, "fair": true})).await;
    enqueue(&app, &["a1", "a2", "a3", "b1", "b2", "-1"]).await;
    let first = app.lease_one("work").await;
    assert_eq!(app.delete("/v1/queues/work/jobs?state=ready").await.is(200)["deleted"], 5);
    assert_eq!((app.count("work", "ready").await, app.count("work", "active").await), (0, 1));
    enqueue(&app, &["a4", "b3"]).await;
    assert_names(&lease(&app).await, &["b3"]);
    app.ack(&first).await.is(200);
    assert_names(&lease(&app).await, &["a4"]);
}

#[tokio::test]
async fn redriven_jobs_keep_to_the_limits_of_their_key() {
    let app = keyed(strict()).await;
    enqueue(&app, &["a1", "a2", "a3", "b1"]).await;
    for name in ["a1", "a2"] {
        let leased = app.lease_one("work").await;
        assert_eq!(leased.id, name);
        app.nack(&leased, json!({"dead": true})).await.is(200);
    }
    assert_eq!(app.post("/v1/queues/work/redrive", json!({})).await.is(200)["moved"], 2);
    let mut order = Vec::new();
    let mut held = lease(&app).await;
    while let Some(next) = held.pop() {
        app.ack(&next).await.is(200);
        order.push(next.id);
        let more = lease(&app).await;
        assert!(more.len() <= 1, "{:?}", names(&more));
        held.extend(more);
    }
    order.retain(|name| name != "b1");
    assert_eq!(order, ["a3", "a1", "a2"]);
}

#[tokio::test]
async fn the_order_of_a_key_survives_a_restart() {
    let app = keyed(strict()).await;
    enqueue(&app, &["a1", "a2", "a3"]).await;
    let first = app.lease_one("work").await;
    app.nack(&first, json!({"retry_in_ms": 60_000})).await.is(200);
    let app = app.restart().await;
    assert_names(&lease(&app).await, &[]);
    app.advance(Duration::from_secs(60));
    let first = app.lease_soon("work").await;
    assert_eq!(first.id, "a1");
    app.ack(&first).await.is(200);
    assert_names(&lease(&app).await, &["a2"]);
}
