//! What was built apart, together.

use std::time::Duration;

use serde_json::{Value, json};

use crate::live::published;
use crate::support::{Events, TestApp, entries};

const HOUR_MS: u64 = 3_600_000;

/// The members that the next event shows.
async fn shown(events: &mut Events) -> Vec<String> {
    let event = events.next().await;
    let members = entries(&event.data).iter().map(|entry| entry["member"].as_str().unwrap_or_default().to_owned());
    members.collect()
}

async fn submit_from(app: &TestApp, member: &str, score: f64, country: &str) {
    let body = json!({"member": member, "score": score, "segments": {"country": country}});
    app.post("/v1/leaderboards/race/scores", body).await.is(200);
}

#[tokio::test]
async fn what_administrators_change_is_seen_live() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"segments": ["country"]})).await;
    app.fill("race", [("ann", 30), ("bob", 20), ("cid", 10)]).await;
    let mut events = app.events("race", "").await;
    assert_eq!(shown(&mut events).await, ["ann", "bob", "cid"]);
    // Looks are made without being told, too: what counts is that each change is told.
    let mut redis = app.redis();
    let mut told = published(&mut redis);
    let mut is_told = || {
        let before = std::mem::replace(&mut told, published(&mut redis));
        assert!(told > before, "nobody was told");
    };
    app.ban("race", "ann", json!({})).await.is(201);
    is_told();
    assert_eq!(shown(&mut events).await, ["bob", "cid"]);
    app.unban("race", "ann").await.is(204);
    is_told();
    assert_eq!(shown(&mut events).await, ["ann", "bob", "cid"]);
    app.put("/v1/leaderboards/race/members/cid", json!({"score": 40, "reason": "he won"})).await.is(200);
    is_told();
    assert_eq!(shown(&mut events).await, ["cid", "ann", "bob"]);
    app.delete("/v1/leaderboards/race/members?min_score=35&reason=he-did-not").await.is(200);
    is_told();
    assert_eq!(shown(&mut events).await, ["ann", "bob"]);
    app.put("/v1/bans/bob", json!({})).await.is(201);
    is_told();
    assert_eq!(shown(&mut events).await, ["ann"]);
    app.post("/v1/leaderboards/race/windows/all_time/close", json!({})).await.is(202);
    is_told();
    assert_eq!(shown(&mut events).await, [""; 0]);
    let mut in_korea = app.events("race", "segment=country:KR").await;
    assert_eq!(shown(&mut in_korea).await, [""; 0]);
    submit_from(&app, "ann", 30.0, "US").await;
    is_told();
    submit_from(&app, "ann", 30.0, "KR").await;
    is_told();
    assert_eq!(shown(&mut in_korea).await, ["ann"]);
}

#[tokio::test]
async fn a_ban_hides_segments_and_brings_them_back_as_they_have_become() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"segments": ["country"], "operator": "sum", "half_life_ms": HOUR_MS})).await;
    submit_from(&app, "ann", 100.0, "KR").await;
    submit_from(&app, "bob", 10.0, "KR").await;
    app.ban("race", "ann", json!({"shadow": true})).await.is(201);
    assert_eq!(app.rankings("race", "segment=country:KR").await.members(), ["bob"]);
    app.advance(Duration::from_millis(HOUR_MS));
    let told = app.submit("race", "ann", 1).await;
    assert_eq!((&told["score"], &told["rank"]), (&json!(51), &json!(1)));
    submit_from(&app, "ann", 0.0, "US").await;
    assert_eq!(app.rankings("race", "segment=country:US").await["total"], 0);
    app.put("/v1/leaderboards/race/members/ann", json!({"score": 8, "reason": "halved"})).await.is(200);
    app.unban("race", "ann").await.is(204);
    app.advance(Duration::from_millis(HOUR_MS));
    let america = app.rankings("race", "segment=country:US").await;
    assert_eq!((america.members(), &america["entries"][0]["score"]), (vec!["ann"], &json!(4)));
    assert_eq!(app.rankings("race", "segment=country:KR").await.members(), ["bob"]);
    // An entry that an administrator makes stands where its member is known to belong.
    app.post("/v1/leaderboards/race/windows/all_time/close", json!({})).await.is(202);
    app.put("/v1/leaderboards/race/members/ann", json!({"score": 8, "reason": "carried over"})).await.is(200);
    assert_eq!(app.rankings("race", "segment=country:US").await.members(), ["ann"]);
    let range = "/v1/leaderboards/race/members?min_score=7&max_score=9&reason=none";
    assert_eq!(app.delete(range).await.is(200)["removed"], json!([{"member": "ann", "score": 8}]));
    assert_eq!(app.rankings("race", "segment=country:US").await["total"], 0);
}

#[tokio::test]
async fn a_closed_period_pays_what_it_shows() {
    let app = TestApp::spawn().await;
    let settings = json!({"operator": "sum", "half_life_ms": HOUR_MS, "segments": ["country"], "snapshots": {"top": 10},
        "rewards": [{"window": "all_time", "to_percent": 100, "queue": "prizes", "payload": {"gems": 5}}]});
    app.create("race", settings).await;
    submit_from(&app, "ann", 100.0, "KR").await;
    submit_from(&app, "bob", 64.0, "US").await;
    submit_from(&app, "eve", 1000.0, "US").await;
    app.ban("race", "eve", json!({"shadow": true})).await.is(201);
    app.advance(Duration::from_millis(2 * HOUR_MS));
    let closed = app.post("/v1/leaderboards/race/windows/all_time/close", json!({})).await.is(202);
    let period = closed["period"].as_str().expect("a name").to_owned();
    app.advance(Duration::from_millis(HOUR_MS));
    app.unban("race", "eve").await.is(204);
    let mut paid = Vec::new();
    while paid.len() < 2 {
        for job in
            app.dequeue("prizes", json!({"limit": 10, "wait_ms": 5000})).await.is(200)["jobs"].as_array().expect("jobs")
        {
            paid.push(json!([job["payload"]["rank"], job["payload"]["member"], job["payload"]["score"]]));
        }
    }
    let shown = app.rankings("race", &format!("period={period}")).await.is(200);
    let rows: Vec<Value> =
        entries(shown.json()).iter().map(|entry| json!([entry["rank"], entry["member"], entry["score"]])).collect();
    assert_eq!(rows, [json!([1, "ann", 25]), json!([2, "bob", 16])]);
    assert_eq!(paid, rows);
    let america = app.rankings("race", &format!("period={period}&segment=country:US")).await.is(200);
    assert_eq!(america.members(), ["bob"]);
    // The new period compares with the closed one, in a segment, too.
    submit_from(&app, "bob", 1.0, "US").await;
    let moved = app.rankings("race", &format!("segment=country:US&since={period}")).await.is(200);
    assert_eq!(moved["entries"][0]["previous_rank"], 1);
}
