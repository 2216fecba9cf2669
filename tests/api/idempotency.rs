//! Requests that are sent again under the same key.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

async fn submit(app: &TestApp, key: &str, member: &str, score: i64) -> Answer {
    let request = app.request("POST", "/v1/leaderboards/race/scores").key(key);
    request.body(json!({"member": member, "score": score})).send().await
}

async fn batch(app: &TestApp, key: &str, items: Vec<Value>) -> Answer {
    let request = app.request("POST", "/v1/leaderboards/race/scores/batch").key(key);
    request.body(json!({"scores": items})).send().await
}

async fn summing() -> TestApp {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "sum"})).await;
    app
}

async fn score(app: &TestApp, member: &str) -> Value {
    app.member("race", member).await["score"].clone()
}

#[tokio::test]
async fn a_score_sent_twice_counts_once_and_is_answered_as_at_first() {
    let app = summing().await;
    let first = submit(&app, "k1", "alice", 5).await.is(200);
    assert!(!first.was_replayed());
    submit(&app, "k2", "alice", 7).await.is(200);
    app.advance(Duration::from_secs(60));
    let again = submit(&app, "k1", "alice", 5).await.is(200);
    assert!(again.was_replayed());
    assert_eq!(again.text(), first.text());
    assert_eq!(score(&app, "alice").await, 12);
}

#[tokio::test]
async fn the_order_and_spacing_of_a_body_make_no_other_request() {
    let app = summing().await;
    let send = async |body: &str| app.request("POST", "/v1/leaderboards/race/scores").key("k1").body(body).send().await;
    send(r#"{"member":"alice","score":5}"#).await.is(200);
    assert!(send(r#"{ "score": 5.0, "member": "alice" }"#).await.is(200).was_replayed());
    send(r#"{"member":"alice","score":5,"metadata":1}"#).await.fails_with(409, "idempotency-mismatch");
}

#[tokio::test]
async fn a_batch_sent_twice_counts_once_and_is_answered_as_at_first() {
    let app = summing().await;
    let items = || vec![json!({"member": "alice", "score": 5}), json!({"member": "bob", "score": "bad"})];
    let first = batch(&app, "k1", items()).await.is(200);
    assert!(!first.was_replayed());
    app.submit("race", "alice", 100).await;
    let again = batch(&app, "k1", items()).await.is(200);
    assert!(again.was_replayed());
    assert_eq!(again.text(), first.text());
    assert_eq!(score(&app, "alice").await, 105);
}

#[tokio::test]
async fn a_large_batch_sent_twice_counts_once() {
    let app = summing().await;
    let items: Vec<Value> =
        (0..1000).map(|number| json!({"member": format!("m{}", number % 250), "score": 1})).collect();
    let first = batch(&app, "k1", items.clone()).await.is(200);
    let again = batch(&app, "k1", items).await.is(200);
    assert_eq!((again.was_replayed(), again.text() == first.text()), (true, true));
    assert_eq!(score(&app, "m7").await, 4);
}

#[tokio::test]
async fn the_same_key_for_another_batch_is_a_mismatch() {
    let app = summing().await;
    batch(&app, "k1", vec![json!({"member": "alice", "score": 5})]).await.is(200);
    for items in [
        vec![json!({"member": "alice", "score": 6})],
        vec![json!({"member": "alice", "score": 5}), json!({"member": "bob", "score": 1})],
        vec![json!({"member": "alice", "score": 5, "idempotency_key": "x", "metadata": 1})],
    ] {
        batch(&app, "k1", items).await.fails_with(409, "idempotency-mismatch");
    }
    assert_eq!(score(&app, "alice").await, 5);
    app.member("race", "bob").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn an_item_with_a_key_counts_once() {
    let app = summing().await;
    let item = |score: i64, key: &str| json!({"member": "alice", "score": score, "idempotency_key": key});
    let first = app.batch("race", vec![item(5, "k1"), item(7, "k2")]).await.is(200);
    assert_eq!(score(&app, "alice").await, 12);
    let again = app.batch("race", vec![item(7, "k2"), item(1, "k3"), item(5, "k1")]).await.is(200);
    assert_eq!(score(&app, "alice").await, 13);
    assert_eq!(again["results"][0], first["results"][1], "as at first");
    assert_eq!(again["results"][2], first["results"][0], "as at first");
    assert_eq!(again["results"][1]["score"], 13);
}

#[tokio::test]
async fn an_item_with_the_key_of_another_fails_alone() {
    let app = summing().await;
    let item = |score: i64, key: &str| json!({"member": "alice", "score": score, "idempotency_key": key});
    app.batch("race", vec![item(5, "k1")]).await.is(200);
    let answer = app.batch("race", vec![item(1, "k2"), item(6, "k1")]).await.is(200);
    assert_eq!(answer["results"][0]["status"], 200);
    let failed = &answer["results"][1];
    assert_eq!(
        (&failed["status"], &failed["problem"]["type"]),
        (&json!(409), &json!("/problems/idempotency-mismatch"))
    );
    assert_eq!(score(&app, "alice").await, 6);
}

#[tokio::test]
async fn an_item_key_given_twice_in_a_batch_counts_once() {
    let app = summing().await;
    let item = || json!({"member": "alice", "score": 5, "idempotency_key": "k1"});
    let answer = app.batch("race", vec![item(), item()]).await.is(200);
    assert_eq!(answer["results"][0], answer["results"][1]);
    assert_eq!(score(&app, "alice").await, 5);
}

#[tokio::test]
async fn a_score_that_broke_a_rule_may_be_sent_again_corrected() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"max_score": 10})).await;
    submit(&app, "k1", "alice", 11).await.fails_with(422, "invalid");
    let corrected = submit(&app, "k1", "alice", 9).await.is(200);
    assert!(!corrected.was_replayed());
}

#[tokio::test]
async fn a_score_refused_for_the_limit_counts_when_sent_again() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"submission_limit": {"limit": 1, "per_ms": 1000}})).await;
    submit(&app, "k1", "alice", 1).await.is(200);
    submit(&app, "k2", "alice", 2).await.fails_with(429, "rate-limited");
    app.advance(Duration::from_secs(1));
    assert!(!submit(&app, "k2", "alice", 2).await.is(200).was_replayed());
    assert!(submit(&app, "k1", "alice", 1).await.is(200).was_replayed(), "a replay asks no limit");
}

#[tokio::test]
async fn a_key_is_remembered_for_24_hours() {
    let app = TestApp::spawn().await;
    submit(&app, "the-key", "alice", 1).await.is(200);
    app.batch("race", vec![json!({"member": "alice", "score": 1, "idempotency_key": "the-key"})]).await.is(200);
    let records: Vec<String> = app.keys().into_iter().filter(|key| key.contains("the-key")).collect();
    assert_eq!(records.len(), 2, "{records:?}");
    for record in records {
        let ttl: i64 = redis::cmd("PTTL").arg(&record).query(&mut app.redis()).expect("PTTL works");
        assert!((86_340_000..=86_400_000).contains(&ttl), "{record}: {ttl} ms");
    }
}

#[tokio::test]
async fn a_key_of_a_deleted_leaderboard_means_nothing_to_its_successor() {
    let app = summing().await;
    submit(&app, "k1", "alice", 5).await.is(200);
    app.batch("race", vec![json!({"member": "alice", "score": 1, "idempotency_key": "k2"})]).await.is(200);
    app.delete("/v1/leaderboards/race").await.is(204);
    app.create("race", json!({"operator": "sum"})).await;
    assert!(!submit(&app, "k1", "alice", 6).await.is(200).was_replayed());
    app.batch("race", vec![json!({"member": "alice", "score": 2, "idempotency_key": "k2"})]).await.is(200);
    assert_eq!(score(&app, "alice").await, 8);
}

#[tokio::test]
async fn a_key_of_one_leaderboard_means_nothing_to_another() {
    let app = summing().await;
    submit(&app, "k1", "alice", 5).await.is(200);
    let request = app.request("POST", "/v1/leaderboards/other/scores").key("k1");
    let other = request.body(json!({"member": "bob", "score": 1})).send().await.is(200);
    assert!(!other.was_replayed());
}

#[tokio::test]
async fn twenty_requests_at_once_with_one_key_count_once() {
    let app = summing().await;
    let answers = join_all((0..20).map(|_| submit(&app, "k1", "alice", 5))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == answers[0].text()));
    assert_eq!(answers.iter().filter(|answer| !answer.was_replayed()).count(), 1);
    assert_eq!(score(&app, "alice").await, 5);
}

#[tokio::test]
async fn twenty_first_scores_at_once_all_count() {
    let app = TestApp::spawn().await;
    let submits = (0..20).map(|number| async move { (number, format!("m{number}")) });
    let rows = join_all(submits).await;
    join_all(rows.iter().map(|(number, member)| app.submit("race", member, *number))).await;
    assert_eq!(app.rankings("race", "").await["total"], 20);
}

#[tokio::test]
async fn a_replay_is_the_first_answer_even_under_new_settings() {
    let app = TestApp::spawn().await;
    let first = submit(&app, "k1", "alice", 50).await.is(200);
    app.put("/v1/leaderboards/race", json!({"max_score": 10})).await.is(200);
    let again = submit(&app, "k1", "alice", 50).await.is(200);
    assert_eq!((again.text(), again.was_replayed()), (first.text(), true));
}

#[tokio::test]
async fn a_replayed_batch_counts_no_item_that_was_refused_at_first() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"max_score": 10})).await;
    let items = || vec![json!({"member": "alice", "score": 5}), json!({"member": "bob", "score": 50})];
    let first = batch(&app, "k1", items()).await.is(200);
    app.put("/v1/leaderboards/race", json!({})).await.is(200);
    let again = batch(&app, "k1", items()).await.is(200);
    assert_eq!((again.text(), again.was_replayed()), (first.text(), true));
    app.member("race", "bob").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_replay_is_the_first_answer_even_with_other_windows() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "a"}, {"name": "b"}]})).await;
    let first = submit(&app, "k1", "alice", 5).await.is(200);
    for windows in [json!([{"name": "b"}, {"name": "c"}]), json!([{"name": "c"}])] {
        app.put("/v1/leaderboards/race", json!({"windows": windows})).await.is(200);
        let again = submit(&app, "k1", "alice", 5).await.is(200);
        assert_eq!((again.text(), again.was_replayed()), (first.text(), true));
    }
}

#[tokio::test]
async fn a_batch_keeps_its_key_though_its_first_items_were_bad() {
    let app = summing().await;
    let mut items = vec![json!({"member": "alice"}); 150];
    items.push(json!({"member": "alice", "score": 5}));
    batch(&app, "k1", items).await.is(200);
    batch(&app, "k1", vec![json!({"member": "bob", "score": 1})]).await.fails_with(409, "idempotency-mismatch");
    app.member("race", "bob").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_batch_of_bad_items_alone_is_not_remembered() {
    let app = summing().await;
    batch(&app, "k1", vec![json!({"member": "alice"})]).await.is(200);
    let corrected = batch(&app, "k1", vec![json!({"member": "alice", "score": 5})]).await.is(200);
    assert!(!corrected.was_replayed());
    assert_eq!(score(&app, "alice").await, 5);
}
