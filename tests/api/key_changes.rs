//! Settings of keys that change while jobs wait.

use std::time::Duration;

use serde_json::{Value, json};

use crate::job_keys::{a_crowd_and_a_few, assert_names, enqueue, keyed, lease, names, strict};
use crate::support::TestApp;

#[tokio::test]
async fn a_limit_that_is_raised_lets_waiting_jobs_go() {
    let app = keyed(strict()).await;
    enqueue(&app, &["a1", "a2", "a3", "a4", "b1"]).await;
    assert_names(&lease(&app).await, &["a1", "b1"]);
    app.change_queue("work", json!({"keys": {"max_concurrency": 3}})).await;
    assert_names(&lease(&app).await, &["a2", "a3"]);
    app.change_queue("work", json!({"keys": {}})).await;
    assert_names(&lease(&app).await, &["a4"]);
}

#[tokio::test]
async fn a_limit_that_is_lowered_holds_once_enough_jobs_have_ended() {
    let app = keyed(json!({"max_concurrency": 3})).await;
    enqueue(&app, &["a1", "a2", "a3", "a4", "a5"]).await;
    let first = lease(&app).await;
    assert_names(&first, &["a1", "a2", "a3"]);
    app.change_queue("work", json!({"keys": strict()})).await;
    for leased in &first {
        assert_names(&lease(&app).await, &[]);
        app.ack(leased).await.is(200);
    }
    assert_names(&lease(&app).await, &["a4"]);
    assert_names(&lease(&app).await, &[]);
}

#[tokio::test]
async fn without_keys_in_the_settings_waiting_jobs_go_as_if_they_had_none() {
    let app = keyed(strict()).await;
    enqueue(&app, &["a1", "a2", "b1", "a3"]).await;
    let first = lease(&app).await;
    assert_names(&first, &["a1", "b1"]);
    app.change_queue("work", json!({"keys": null})).await;
    let mut rest = lease(&app).await;
    rest.sort_by(|one, other| one.id.cmp(&other.id));
    assert_names(&rest, &["a2", "a3"]);
    for leased in first.iter().chain(&rest) {
        app.ack(leased).await.is(200);
    }
    enqueue(&app, &["a4", "a5"]).await;
    let free = lease(&app).await;
    assert_names(&free, &["a4", "a5"]);

    // And back: what ran meanwhile has left no trace in the key.
    for leased in &free {
        app.ack(leased).await.is(200);
    }
    app.change_queue("work", json!({"keys": strict()})).await;
    enqueue(&app, &["a6", "a7"]).await;
    let next = lease(&app).await;
    assert_names(&next, &["a6"]);
    app.ack(&next[0]).await.is(200);
    assert_names(&lease(&app).await, &["a7"]);
}

#[tokio::test]
async fn keys_that_are_set_later_hold_for_jobs_that_wait_already() {
    let app = TestApp::spawn().await;
    app.create_queue("work", json!({})).await;
    enqueue(&app, &["a1", "a2", "a3", "b1"]).await;
    app.change_queue("work", json!({"keys": strict()})).await;
    app.advance(Duration::from_millis(1));
    enqueue(&app, &["a4", "b2", "c1"]).await;
    let first = lease(&app).await;
    assert_names(&first, &["a1", "b1", "c1"]);
    app.ack(&first[1]).await.is(200);
    assert_names(&lease(&app).await, &["b2"]);
    let mut held = first.into_iter().next().expect("the job of the key");
    for name in ["a2", "a3", "a4"] {
        app.ack(&held).await.is(200);
        held = app.lease_one("work").await;
        assert_eq!(held.id, name);
    }
}

#[tokio::test]
async fn the_order_of_a_key_stands_while_its_limit_is_taken_away_and_put_back() {
    let app = keyed(strict()).await;
    enqueue(&app, &["a1", "a2", "a3"]).await;
    let mut held = lease(&app).await.remove(0);
    app.change_queue("work", json!({"keys": null})).await;
    app.advance(Duration::from_millis(1));
    enqueue(&app, &["a4"]).await;
    app.change_queue("work", json!({"keys": strict()})).await;
    app.advance(Duration::from_millis(1));
    enqueue(&app, &["a5"]).await;
    for name in ["a2", "a3", "a4", "a5"] {
        assert_names(&lease(&app).await, &[]);
        app.ack(&held).await.is(200);
        held = app.lease_one("work").await;
        assert_eq!(held.id, name);
    }
}

/// Asserts that ten jobs of a few are among the first thirty that are leased.
async fn assert_turns(app: &TestApp, before: &Value) {
    let mut leased = Vec::new();
    while leased.len() < 30 {
        let more = app.lease("work", 30 - leased.len()).await;
        assert!(!more.is_empty(), "keys were {before}");
        leased.extend(more);
    }
    // The ids of the others are longer.
    let few = names(&leased).iter().filter(|name| name.starts_with('b') && name.len() <= 3).count();
    assert_eq!(few, 10, "keys were {before}: {:?}", names(&leased));
}

#[tokio::test]
async fn turns_that_are_asked_for_while_a_crowd_waits_let_the_few_through() {
    let before = json!({"max_concurrency": 1000});
    let app = keyed(before.clone()).await;
    a_crowd_and_a_few(&app).await;
    app.change_queue("work", json!({"keys": {"fair": true}})).await;
    assert_turns(&app, &before).await;
}

#[tokio::test]
async fn turns_that_are_asked_for_before_the_few_come_let_them_through() {
    let before = json!({"max_concurrency": 1000});
    let app = keyed(before.clone()).await;
    app.enqueue_many("work", (0..1000).map(|_| json!({"payload": 1, "key": "a"})).collect()).await.is(200);
    app.change_queue("work", json!({"keys": {"fair": true}})).await;
    enqueue(&app, &["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9"]).await;
    assert_turns(&app, &before).await;
}

#[tokio::test]
async fn without_turns_waiting_jobs_all_go_and_none_is_forgotten() {
    let app = keyed(json!({"fair": true})).await;
    a_crowd_and_a_few(&app).await;
    assert_eq!(app.lease("work", 10).await.len(), 10);
    app.change_queue("work", json!({"keys": {}})).await;
    let mut left = 1000;
    while left > 0 {
        let leased = lease(&app).await;
        assert!(!leased.is_empty(), "{left} are left");
        left -= leased.len();
    }
}
