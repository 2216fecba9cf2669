//! Periods that have ended: read as the open one is, until they are freed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::TestApp;

/// Days from the clock's start, 2026-11-23T05:40:00Z, on.
const DAYS: [&str; 3] = ["2026-11-23T00:00:00.000Z", "2026-11-24T00:00:00.000Z", "2026-11-25T00:00:00.000Z"];
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A leaderboard with two ended days, of 3 entries each, and an open one of one.
async fn three_days(settings: Value) -> TestApp {
    let app = TestApp::spawn().await;
    app.create("race", settings).await;
    for day in 0..2_i64 {
        app.fill("race", [("ann", 10 + day), ("bob", 20 - day), ("cat", 15)]).await;
        app.advance(DAY);
    }
    app.submit("race", "dan", 1).await;
    app
}

fn daily() -> Value {
    json!({"windows": [{"name": "daily", "reset": "daily"}, {"name": "all_time"}]})
}

#[tokio::test]
async fn every_read_of_an_ended_period_is_as_it_was() {
    let app = TestApp::spawn().await;
    app.create("race", daily()).await;
    let rows = ["ann", "bob", "cat", "dan"].iter().zip([10, 20, 20, 5]);
    for (member, score) in rows {
        app.submit_row("race", json!({"member": member, "score": score, "metadata": {"of": member}})).await.is(200);
    }
    let reads = [
        "rankings?limit=10",
        "rankings?offset=1&ranking=competition",
        "rankings?ranking=dense",
        "members/ann?ranking=dense",
        "members/cat/around?radius=1",
        "around?score=12",
        "distribution?buckets=4",
    ];
    let read = async |which: &str, more: &str| {
        app.get(format!("/v1/leaderboards/race/{which}{more}")).await.is(200).text().to_owned()
    };
    let lookup = async |query: &str| {
        let path = format!("/v1/leaderboards/race/members/lookup?{query}");
        app.post(path, json!({"members": ["dan", "eve", "bob"]})).await.is(200).text().to_owned()
    };
    let mut before = Vec::new();
    for which in reads {
        before.push(read(which, "").await);
        assert_eq!(read(which, &format!("&period={}", DAYS[0])).await, before[before.len() - 1], "{which}");
    }
    let looked_up = lookup("").await;
    app.advance(DAY);
    app.submit("race", "ann", 99).await;
    for (which, before) in reads.iter().zip(&before) {
        assert_eq!(read(which, &format!("&window=daily&period={}", DAYS[0])).await, *before, "{which}");
        if !which.starts_with("members") {
            assert_ne!(read(which, "").await, *before, "{which}");
        }
    }
    assert_eq!(lookup(&format!("period={}", DAYS[0])).await, looked_up);
    app.member("race", "cat").await.fails_with(404, "not-found");
    // Dense ranks that nobody asked for while the period was open.
    let dense = app.rankings("race", &format!("period={}&ranking=dense&offset=2", DAYS[0])).await;
    assert_eq!((dense.members(), dense.ranks()), (vec!["ann", "dan"], vec![2, 3]));
}

#[tokio::test]
async fn periods_that_are_not_there_are_not_found() {
    let app = three_days(daily()).await;
    for period in
        ["open", "2026-11-22T00:00:00.000Z", "2026-11-26T00:00:00.000Z", "2026-11-23T00:00:00Z", "2026-11-23", "x"]
    {
        for path in ["rankings?", "members/ann?", "members/ann/around?", "around?score=1&", "distribution?"] {
            let target = format!("/v1/leaderboards/race/{path}window=daily&period={period}");
            app.get(target).await.fails_with(404, "not-found");
        }
        let target = format!("/v1/leaderboards/race/members/lookup?period={period}");
        app.post(target, json!({"members": ["ann"]})).await.fails_with(404, "not-found");
    }
    app.rankings("race", &format!("window=all_time&period={}", DAYS[0])).await.fails_with(404, "not-found");
    assert_eq!(app.rankings("race", "window=all_time&period=open").await.is(200)["total"], 4);
    // One that is open is there before its first score.
    app.advance(DAY);
    let open = app.rankings("race", "period=2026-11-26T00:00:00.000Z").await.is(200);
    assert_eq!((&open["total"], &open["period"]), (&json!(0), &json!("2026-11-26T00:00:00.000Z")));
}

#[tokio::test]
async fn cursors_belong_to_their_period() {
    let app = three_days(daily()).await;
    let page = app.rankings("race", &format!("period={}&limit=2", DAYS[0])).await.is(200);
    assert_eq!(page.members(), ["bob", "cat"]);
    let cursor = page.next_cursor().expect("there is more").to_owned();
    let rest = app.rankings("race", &format!("period={}&cursor={cursor}", DAYS[0])).await.is(200);
    assert_eq!((rest.members(), rest.ranks(), rest.next_cursor()), (vec!["ann"], vec![3], None));
    for elsewhere in [format!("period={}&", DAYS[1]), String::new(), "window=all_time&".to_owned()] {
        app.rankings("race", &format!("{elsewhere}cursor={cursor}")).await.fails_with(400, "malformed-request");
    }
}

#[tokio::test]
async fn a_removed_member_leaves_periods_that_have_ended_too() {
    let app = three_days(daily()).await;
    app.delete("/v1/leaderboards/race/members/bob").await.is(204);
    for day in &DAYS[..2] {
        let left = app.rankings("race", &format!("period={day}")).await;
        assert_eq!((left.members(), left.ranks()), (vec!["cat", "ann"], vec![1, 2]), "{day}");
    }
    assert_eq!(app.rankings("race", "window=all_time").await["total"], 3);
    app.delete("/v1/leaderboards/race/members/bob").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_lower_max_entries_leaves_ended_periods_as_they_are() {
    let app = three_days(daily()).await;
    let mut fewer = daily();
    fewer["max_entries"] = json!(1);
    app.put("/v1/leaderboards/race", fewer).await.is(200);
    assert_eq!(app.rankings("race", "window=all_time").await["total"], 1);
    assert_eq!(app.rankings("race", &format!("period={}", DAYS[0])).await["total"], 3);
}
