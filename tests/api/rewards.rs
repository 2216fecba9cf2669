//! Rewards: what the best of a closed period get, once.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{TestApp, eventually};

const DAY: Duration = Duration::from_secs(24 * 3600);
const TODAY: &str = "2026-11-23T00:00:00.000Z";
const TOMORROW: &str = "2026-11-24T00:00:00.000Z";

fn daily(rewards: &Value) -> Value {
    json!({"windows": [{"name": "daily", "reset": "daily"}], "rewards": rewards})
}

/// So many members, the first one the best.
async fn fill(app: &TestApp, board: &str, members: i64) {
    let names: Vec<String> = (1..=members).map(|number| format!("m{number:04}")).collect();
    for chunk in names.chunks(500) {
        let rows = chunk.iter().map(|name| (name.as_str(), 100_000 - name[1..].parse::<i64>().expect("a number")));
        app.fill(board, rows).await;
    }
}

/// Waits until nothing is closing, and gives the payloads of what was enqueued.
async fn paid(app: &TestApp, board: &str, window: &str, queue: &str) -> Vec<Value> {
    eventually("all is paid", async || {
        let states = app.period_states(board, window).await;
        states.iter().all(|(_, state, _)| state != "closing").then_some(())
    })
    .await;
    let mut payloads: Vec<Value> = Vec::new();
    loop {
        let leased = app.lease(queue, 100).await;
        if leased.is_empty() {
            return payloads;
        }
        payloads.extend(leased.iter().map(|leased| leased.job["payload"].clone()));
    }
}

fn members(payloads: &[Value]) -> Vec<(String, u64)> {
    let rank = |payload: &Value| payload["rank"].as_u64().expect("a rank");
    payloads.iter().map(|paid| (paid["member"].as_str().expect("a member").to_owned(), rank(paid))).collect()
}

#[tokio::test]
async fn a_period_that_ends_pays_each_rewarded_entry_once() {
    let app = TestApp::spawn().await;
    let rewards = json!([
        {"window": "daily", "to_rank": 1, "queue": "prizes", "payload": {"gems": 500, "title": {"of": "day"}}},
        {"window": "daily", "from_rank": 2, "to_rank": 3, "queue": "prizes", "payload": {"gems": 100}},
        {"window": "daily", "from_rank": 250, "to_rank": 251, "queue": "prizes"},
    ]);
    app.create("race", daily(&rewards)).await;
    fill(&app, "race", 300).await;
    app.advance(DAY);
    let payloads = paid(&app, "race", "daily", "prizes").await;
    assert_eq!(
        payloads[0],
        json!({"leaderboard": "race", "window": "daily", "period": TODAY, "member": "m0001", "rank": 1, "score": 99_999,
            "gems": 500, "title": {"of": "day"}})
    );
    let ranks: Vec<u64> = members(&payloads).into_iter().map(|(_, rank)| rank).collect();
    assert_eq!(ranks, [1, 2, 3, 250, 251]);
    assert_eq!((&payloads[2]["gems"], &payloads[4]["member"]), (&json!(100), &json!("m0251")));
    let shown = app.rankings("race", &format!("period={TODAY}&limit=3")).await;
    assert_eq!(shown.members(), ["m0001", "m0002", "m0003"]);
}

#[tokio::test]
async fn a_window_closed_by_hand_pays_at_once() {
    let app = TestApp::spawn().await;
    let reward = json!({"window": "all_time", "to_rank": 250, "queue": "prizes", "payload": {"cup": 1}});
    app.create("race", json!({"rewards": [reward], "order": "ascending"})).await;
    fill(&app, "race", 260).await;
    app.close_window("race", "all_time").await.is(202);
    let payloads = paid(&app, "race", "all_time", "prizes").await;
    let ranks: Vec<u64> = members(&payloads).into_iter().map(|(_, rank)| rank).collect();
    assert_eq!(ranks, (1..=250).collect::<Vec<u64>>());
    assert_eq!((&payloads[0]["member"], &payloads[0]["period"]), (&json!("m0260"), &json!("2026-11-23T05:40:00.000Z")));
    // The next one pays for itself.
    app.advance(Duration::from_millis(5));
    app.submit("race", "zoe", 7).await;
    app.close_window("race", "all_time").await.is(202);
    assert_eq!(members(&paid(&app, "race", "all_time", "prizes").await), [("zoe".to_owned(), 1)]);
}

#[tokio::test]
async fn shares_that_meet_have_nobody_in_common() {
    let app = TestApp::spawn().await;
    let rewards = json!([
        {"window": "daily", "to_percent": 10, "queue": "prizes", "payload": {"of": "top"}},
        {"window": "daily", "from_percent": 10, "to_percent": 33.333, "queue": "prizes", "payload": {"of": "middle"}},
        {"window": "daily", "from_percent": 33.333, "to_percent": 100, "queue": "prizes", "payload": {"of": "rest"}},
    ]);
    app.create("race", daily(&rewards)).await;
    fill(&app, "race", 103).await;
    app.advance(DAY);
    let payloads = paid(&app, "race", "daily", "prizes").await;
    let mut counts = BTreeMap::<String, usize>::new();
    for payload in &payloads {
        *counts.entry(payload["of"].as_str().expect("a text").to_owned()).or_default() += 1;
    }
    // 103 entries: 10.3 and 34.3 of them, rounded up.
    let expected = [("middle", 24), ("rest", 68), ("top", 11)].map(|(of, count)| (of.to_owned(), count));
    assert_eq!(counts, BTreeMap::from(expected));
    assert_eq!(members(&payloads).iter().map(|(_, rank)| *rank).collect::<Vec<_>>(), (1..=103).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_end_of_a_period_is_told_after_its_rewards() {
    let app = TestApp::spawn().await;
    let mut settings = daily(&json!([{"window": "daily", "to_rank": 2, "queue": "seasons"}]));
    settings["on_close"] = json!({"queue": "seasons"});
    let own = json!({"name": "own", "on_close": {"queue": "others"}});
    settings["windows"].as_array_mut().expect("windows").push(own);
    app.create("race", settings).await;
    app.fill("race", [("ann", 3), ("bob", 5), ("cat", 1)]).await;
    app.advance(DAY);
    let payloads = paid(&app, "race", "daily", "seasons").await;
    assert_eq!(members(&payloads[..2]), [("bob".to_owned(), 1), ("ann".to_owned(), 2)]);
    let told = json!({"type": "period.closed", "leaderboard": "race", "window": "daily", "period": TODAY,
        "started_at": TODAY, "ended_at": TOMORROW, "entries": 3});
    assert_eq!(payloads[2..], [told]);
    app.close_window("race", "own").await.is(202);
    let others = paid(&app, "race", "own", "others").await;
    assert_eq!((others.len(), &others[0]["window"], &others[0]["entries"]), (1, &json!("own"), &json!(3)));
}

#[tokio::test]
async fn the_settings_at_the_closing_count() {
    let app = TestApp::spawn().await;
    let reward = |gems: u32| json!([{"window": "daily", "to_rank": 1, "queue": "prizes", "payload": {"gems": gems}}]);
    app.create("race", daily(&reward(1))).await;
    app.submit("race", "ann", 1).await;
    // Changed while the period is open: the new ones count.
    app.put("/v1/leaderboards/race", daily(&reward(2))).await.is(200);
    app.advance(DAY);
    // Changed right after its end: the old ones count, whether anybody has looked since or not.
    app.put("/v1/leaderboards/race", daily(&reward(3))).await.is(200);
    let payloads = paid(&app, "race", "daily", "prizes").await;
    assert_eq!(payloads.iter().map(|payload| &payload["gems"]).collect::<Vec<_>>(), [&json!(2)]);
}

#[tokio::test]
async fn a_queue_that_cannot_be_made_keeps_its_rewards_waiting_and_nobody_else() {
    let app = TestApp::with().without_auto_create().spawn().await;
    let reward = |queue: &str| json!([{"window": "daily", "to_rank": 3, "queue": queue}]);
    let mut settings = daily(&reward("missing"));
    settings["windows"][0]["keep"] = json!(0);
    app.create("first", settings).await;
    app.create("second", daily(&reward("there"))).await;
    app.create_queue("there", json!({})).await;
    for board in ["first", "second"] {
        app.fill(board, [("ann", 3), ("bob", 5), ("cat", 1), ("dan", 0)]).await;
    }
    app.advance(DAY);
    assert_eq!(paid(&app, "second", "daily", "there").await.len(), 3);
    // It is not freed before it is paid, nor may its window go.
    let states = app.period_states("first", "daily").await;
    assert_eq!(states[1], (TODAY.to_owned(), "closing".to_owned(), 4));
    app.put("/v1/leaderboards/first", json!({})).await.fails_with(409, "conflict");
    // Who leaves meanwhile makes nobody else lose or get anything.
    app.delete("/v1/leaderboards/first/members/bob").await.is(204);
    app.create_queue("missing", json!({})).await;
    let payloads = paid(&app, "first", "daily", "missing").await;
    let expected = [("bob", 1), ("ann", 2), ("cat", 3)].map(|(member, rank)| (member.to_owned(), rank));
    assert_eq!(members(&payloads), expected);
    eventually("it is freed", async || (app.period_states("first", "daily").await.len() == 1).then_some(())).await;
}

#[tokio::test]
async fn a_member_that_leaves_while_a_period_is_paid_changes_nothing_for_others() {
    let app = TestApp::with().without_auto_create().spawn().await;
    let rewards = json!([{"window": "all_time", "to_rank": 150, "queue": "late"},
        {"window": "all_time", "from_rank": 151, "to_rank": 250, "queue": "late"}]);
    app.create("race", json!({"rewards": rewards})).await;
    fill(&app, "race", 300).await;
    app.close_window("race", "all_time").await.is(202);
    // The first hundred are taken, and wait for the queue.
    let taken = || {
        redis::cmd("EVAL")
            .arg("return #redis.call('KEYS', 'ranq:{lb:race}:closing:*')")
            .arg(0)
            .query::<u64>(&mut app.redis())
    };
    eventually("it is being paid", async || (taken().ok()? == 1).then_some(())).await;
    eventually("the first are taken", async || {
        let board: Option<String> =
            redis::cmd("HGET").arg("ranq:{lb:race}:board").arg("paid").query(&mut app.redis()).ok()?;
        board
    })
    .await;
    for gone in ["m0001", "m0100", "m0101"] {
        app.delete(format!("/v1/leaderboards/race/members/{gone}")).await.is(204);
    }
    app.create_queue("late", json!({})).await;
    let payloads = members(&paid(&app, "race", "all_time", "late").await);
    let ranks: Vec<u64> = payloads.iter().map(|(_, rank)| *rank).collect();
    assert_eq!(ranks, (1..=250).collect::<Vec<u64>>());
    let mut expected: Vec<String> =
        (1..=251).filter(|number| *number != 101).map(|number| format!("m{number:04}")).collect();
    expected.truncate(250);
    assert_eq!(payloads.into_iter().map(|(member, _)| member).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn what_a_stopped_service_missed_is_paid_later() {
    let app = TestApp::spawn().await;
    app.create("race", daily(&json!([{"window": "daily", "to_rank": 1, "queue": "prizes"}]))).await;
    app.submit("race", "ann", 1).await;
    app.advance(DAY * 3);
    let app = app.restart().await;
    assert_eq!(members(&paid(&app, "race", "daily", "prizes").await), [("ann".to_owned(), 1)]);
    let app = app.restart().await;
    assert_eq!(app.count("prizes", "ready").await + app.count("prizes", "active").await, 1);
    // Deleted with what it owes.
    app.delete("/v1/leaderboards/race").await.is(204);
}

#[tokio::test]
async fn faulty_rewards_are_refused_with_their_place() {
    let app = TestApp::spawn().await;
    let reward = |more: Value| {
        let mut reward = json!({"window": "daily", "queue": "prizes"});
        reward.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        reward
    };
    for (more, pointer) in [
        (json!({}), "/rewards/0/to_rank"),
        (json!({"from_rank": 2}), "/rewards/0/to_rank"),
        (json!({"from_rank": 0, "to_rank": 1}), "/rewards/0/from_rank"),
        (json!({"from_rank": 3, "to_rank": 2}), "/rewards/0/to_rank"),
        (json!({"to_rank": 2, "to_percent": 5}), "/rewards/0/to_percent"),
        (json!({"from_percent": 2}), "/rewards/0/to_percent"),
        (json!({"to_percent": 0}), "/rewards/0/to_percent"),
        (json!({"to_percent": 100.5}), "/rewards/0/to_percent"),
        (json!({"to_percent": 0.0001}), "/rewards/0/to_percent"),
        (json!({"from_percent": 10, "to_percent": 10}), "/rewards/0/to_percent"),
        (json!({"window": "weekly", "to_rank": 1}), "/rewards/0/window"),
        (json!({"to_rank": 1, "queue": "a b"}), "/rewards/0/queue"),
        (json!({"to_rank": 1, "payload": 5}), "/rewards/0/payload"),
        (json!({"to_rank": 1, "payload": {"rank": 5}}), "/rewards/0/payload/rank"),
        (json!({"to_rank": 1, "payload": {"x": "y".repeat(2048)}}), "/rewards/0/payload"),
        (json!({"to_rank": 1, "gems": 5}), "/rewards/0/gems"),
    ] {
        let answer = app.put("/v1/leaderboards/race", daily(&json!([reward(more.clone())]))).await;
        let answer = answer.fails_with(422, "invalid");
        assert_eq!(answer["errors"][0]["pointer"], pointer, "{more}: {}", answer.text());
    }
    let many = vec![reward(json!({"to_rank": 1})); 101];
    let answer = app.put("/v1/leaderboards/race", daily(&json!(many))).await.fails_with(422, "invalid");
    assert_eq!(answer["errors"][0]["pointer"], "/rewards");
    let on_close = json!({"on_close": {"queue": "-"}});
    app.put("/v1/leaderboards/race", on_close).await.fails_with(422, "invalid");
    app.get("/v1/leaderboards/race").await.fails_with(404, "not-found");
}
