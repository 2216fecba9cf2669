//! When Redis is away, hangs, is full, or forgets.

use redis::Commands as _;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Answer, OwnRedis, TestApp, TestRedis, eventually};

async fn submit(app: &TestApp, key: &str, member: &str, score: i64) -> Answer {
    let request = app.request("POST", "/v1/leaderboards/race/scores").key(key);
    request.body(json!({"member": member, "score": score})).send().await
}

#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_eq!((answer.status, answer.slug()), (503, "store-unavailable"), "{}", answer.text());
    assert_eq!((&answer["retryable"], answer.header("retry-after")), (&json!(true), "1"));
}

#[tokio::test]
async fn without_redis_every_operation_is_unavailable_until_it_is_back() {
    let mut redis = OwnRedis::spawn().await;
    let app = TestApp::with().redis_url(&redis.url()).spawn().await;
    app.submit("race", "alice", 5).await;
    redis.kill();
    // Both threads meet the lost connection on a read, which is safe to ask again.
    for _ in 0..20 {
        assert_unavailable(&app.rankings("race", "").await);
    }
    for path in
        ["", "/race", "/race/members/alice", "/race/members/alice/around", "/race/around?score=1", "/race/distribution"]
    {
        assert_unavailable(&app.get(format!("/v1/leaderboards{path}")).await);
    }
    assert_unavailable(&app.post("/v1/leaderboards/race/members/lookup", json!({"members": ["alice"]})).await);
    assert_unavailable(&app.put("/v1/leaderboards/race", json!({})).await);
    assert_unavailable(&app.submit_row("race", json!({"member": "bob", "score": 1})).await);
    assert_unavailable(&app.submit_row("other", json!({"member": "bob", "score": 1})).await);
    assert_unavailable(&app.batch("race", vec![json!({"member": "bob", "score": 1})]).await);
    assert_unavailable(&app.delete("/v1/leaderboards/race/members/alice").await);
    assert_unavailable(&app.delete("/v1/leaderboards/race").await);
    // What is wrong with a request is told without Redis.
    app.submit_row("race", json!({"member": ""})).await.fails_with(422, "invalid");
    app.get("/health/live").await.is(200);

    redis.start_again().await;
    eventually("the service finds its Redis again", async || {
        (app.submit_row("race", json!({"member": "alice", "score": 7})).await.status == 200).then_some(())
    })
    .await;
    // The other thread pauses for a moment after its last try.
    eventually("every thread finds it", async || {
        for _ in 0..20 {
            if app.rankings("race", "").await.status != 200 {
                return None;
            }
        }
        Some(())
    })
    .await;
    assert_eq!(app.rankings("race", "").await.members(), ["alice"]);
}

#[tokio::test]
async fn a_service_starts_without_its_redis_and_finds_it_later() {
    let mut redis = OwnRedis::spawn().await;
    redis.kill();
    let app = TestApp::with().redis_url(&redis.url()).spawn().await;
    assert_unavailable(&app.rankings("race", "").await);
    app.get("/health/ready").await.is(503);
    redis.start_again().await;
    eventually("the service finds its Redis", async || (app.get("/v1/leaderboards").await.status == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_says_so_and_counts_once_when_sent_again() {
    let app = TestApp::with().set("redis_timeout_ms", "200").spawn().await;
    app.create("race", json!({"operator": "sum"})).await;
    app.submit("race", "alice", 1).await;
    app.signal_redis(Signal::STOP);
    let lost = submit(&app, "k1", "alice", 5).await;
    let read = app.member("race", "alice").await;
    app.signal_redis(Signal::CONT);
    let lost = lost.fails_with(503, "outcome-unknown");
    assert_eq!((&lost["retryable"], lost.header("retry-after")), (&json!(true), "1"));
    assert_unavailable(&read);
    eventually("the retry is answered", async || (submit(&app, "k1", "alice", 5).await.status == 200).then_some(()))
        .await;
    assert_eq!(app.member("race", "alice").await["score"], 6);
}

#[tokio::test]
async fn with_its_memory_full_redis_takes_no_scores_and_gives_what_it_has() {
    let app = TestApp::spawn().await;
    app.fill("race", [("alice", 5), ("bob", 3)]).await;
    app.fill("other", [("alice", 5)]).await;
    let before = app.rankings("race", "").await;
    let mut redis = app.redis();
    let full = |redis: &mut TestRedis, bytes: &str| {
        let () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).query(redis).expect("CONFIG works");
    };
    full(&mut redis, "1");
    assert_unavailable(&app.submit_row("race", json!({"member": "carol", "score": 1})).await);
    assert_unavailable(&app.submit_row("race", json!({"member": "alice", "score": 9})).await);
    assert_unavailable(&app.batch("race", vec![json!({"member": "carol", "score": 1})]).await);
    assert_unavailable(&app.put("/v1/leaderboards/new", json!({})).await);
    assert_unavailable(&app.submit_row("new", json!({"member": "carol", "score": 1})).await);
    let ended = async || (app.get("/health/ready").await.status == 503).then_some(());
    eventually("readiness ends", ended).await;

    assert_eq!(app.rankings("race", "").await.is(200).text(), before.text(), "nothing was changed");
    app.member("race", "alice").await.is(200);
    app.get("/v1/leaderboards/race/members/bob/around").await.is(200);
    app.get("/v1/leaderboards/race/distribution").await.is(200);
    app.rankings("race", "ranking=competition").await.is(200);
    app.post("/v1/leaderboards/race/members/lookup", json!({"members": ["alice"]})).await.is(200);
    assert_eq!(app.get("/v1/leaderboards").await.is(200)["leaderboards"].as_array().map(Vec::len), Some(2));

    app.delete("/v1/leaderboards/race/members/alice").await.is(204);
    app.delete("/v1/leaderboards/other").await.is(204);
    assert_eq!(app.rankings("race", "").await.members(), ["bob"]);
    full(&mut redis, "0");
    app.submit("race", "carol", 1).await;
}

#[tokio::test]
async fn a_redis_that_forgets_its_scripts_is_taught_again() {
    let app = TestApp::spawn().await;
    app.submit("race", "alice", 5).await;
    let () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut app.redis()).expect("SCRIPT works");
    app.submit("race", "bob", 6).await;
    assert_eq!(app.rankings("race", "").await.members(), ["bob", "alice"]);
}

#[tokio::test]
async fn a_redis_that_is_emptied_leaves_no_ghosts() {
    let app = TestApp::spawn().await;
    app.submit("race", "alice", 5).await;
    let () = app.redis().flushall().expect("FLUSHALL works");
    app.rankings("race", "").await.fails_with(404, "not-found");
    let anew = app.submit("race", "bob", 6).await;
    assert_eq!((&anew["rank"], &anew["previous"]), (&json!(1), &Value::Null));
    assert_eq!(app.get("/v1/leaderboards").await["leaderboards"][0]["leaderboard"], "race", "it is listed again");
}

#[tokio::test]
async fn keys_of_others_in_the_same_redis_stay() {
    let redis = OwnRedis::spawn().await;
    let app = TestApp::with().redis_url(&redis.url()).set("key_prefix", "mine").spawn().await;
    let mut connection = redis.connect().expect("it runs");
    let () = connection.set("theirs", 1).expect("SET works");
    app.submit("race", "alice", 5).await;
    let mut keys: Vec<String> = connection.keys("*").expect("KEYS works");
    keys.retain(|key| key != "theirs");
    assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with("mine:")), "{keys:?}");
    app.delete("/v1/leaderboards/race").await.is(204);
    assert!(connection.exists::<_, bool>("theirs").expect("EXISTS works"));
}
