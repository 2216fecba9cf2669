//! Rank movement: `since` a period or a snapshot, and the snapshots that are taken once a day.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, OwnRedis, TestApp, entries, eventually};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The days of the clock's start, 2026-11-23T05:40:00Z, and the next ones.
const DAYS: [&str; 3] = ["2026-11-23T00:00:00.000Z", "2026-11-24T00:00:00.000Z", "2026-11-25T00:00:00.000Z"];

/// The entries of an answer as (member, rank, previous rank).
fn moved(answer: &Answer) -> Vec<(String, u64, Option<u64>)> {
    let of = |entry: &Value| {
        assert!(entry.as_object().expect("an entry").contains_key("previous_rank"), "{entry}");
        let member = entry["member"].as_str().expect("a member").to_owned();
        (member, entry["rank"].as_u64().expect("a rank"), entry["previous_rank"].as_u64())
    };
    entries(answer.json()).iter().map(of).collect()
}

fn of(member: &str, rank: u64, previous: impl Into<Option<u64>>) -> (String, u64, Option<u64>) {
    (member.to_owned(), rank, previous.into())
}

/// When the snapshots of a window were taken, and how many entries each has.
async fn taken(app: &TestApp, window: &str, query: &str) -> Vec<(String, u64)> {
    let answer = app.get(format!("/v1/leaderboards/race/windows/{window}/snapshots?{query}")).await.is(200);
    let list = answer["snapshots"].as_array().expect("snapshots").iter();
    list.map(|snapshot| {
        let taken_at = snapshot["taken_at"].as_str().expect("a time").to_owned();
        (taken_at, snapshot["entries"].as_u64().expect("a number"))
    })
    .collect()
}

async fn until_taken(app: &TestApp, window: &str, expected: &[(&str, u64)]) {
    let expected: Vec<(String, u64)> = expected.iter().map(|(time, count)| ((*time).to_owned(), *count)).collect();
    eventually("the snapshots are taken", async || (taken(app, window, "").await == expected).then_some(())).await;
}

#[tokio::test]
async fn ranks_are_compared_with_those_of_another_period() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "daily", "reset": "daily"}, {"name": "all_time"}]})).await;
    app.fill("race", [("ann", 30), ("bob", 20), ("cat", 10)]).await;
    app.advance(DAY);
    app.fill("race", [("cat", 9), ("ann", 8), ("dan", 7)]).await;
    let since = format!("since={}", DAYS[0]);
    let expected = [of("cat", 1, 3), of("ann", 2, 1), of("dan", 3, None)];
    assert_eq!(moved(&app.rankings("race", &since).await.is(200)), expected);
    let around = app.get(format!("/v1/leaderboards/race/members/ann/around?{since}&radius=1")).await.is(200);
    assert_eq!(moved(&around), expected);
    let around = app.get(format!("/v1/leaderboards/race/around?score=8.5&radius=1&{since}")).await.is(200);
    assert_eq!(moved(&around), expected[..2]);
    let one = app.get(format!("/v1/leaderboards/race/members/cat?{since}")).await.is(200);
    assert_eq!((&one["rank"], &one["previous_rank"]), (&json!(1), &json!(3)));
    let members = json!({"members": ["dan", "cat", "bob"]});
    let found = app.post(format!("/v1/leaderboards/race/members/lookup?{since}"), members).await.is(200);
    assert_eq!(moved(&found), [of("cat", 1, 3), of("dan", 3, None)]);
    // The other way, and ordinal ranks whatever the ranking shown.
    let back = app.rankings("race", &format!("period={}&since={}&ranking=dense", DAYS[0], DAYS[1])).await.is(200);
    assert_eq!(moved(&back), [of("ann", 1, 2), of("bob", 2, None), of("cat", 3, 1)]);
    // Who asks for nothing gets nothing.
    assert_eq!(app.rankings("race", "").await.entry("cat").get("previous_rank"), None);
    assert_eq!(moved(&app.rankings("race", &format!("offset=9&{since}")).await.is(200)), []);
}

#[tokio::test]
async fn a_page_of_a_thousand_is_compared() {
    let app = TestApp::spawn().await;
    app.create(
        "race",
        json!({"snapshots": {}, "windows": [{"name": "daily", "reset": "daily"}, {"name": "all_time"}]}),
    )
    .await;
    let names: Vec<String> = (0..1000).map(|number| format!("member {number}")).collect();
    app.fill("race", names.iter().map(String::as_str).zip(0_i64..)).await;
    app.advance(DAY);
    until_taken(&app, "all_time", &[("2026-11-24T05:40:00.000Z", 1000)]).await;
    app.fill("race", names.iter().map(String::as_str).zip((1..=1000_i64).rev().map(|score| score * 2000))).await;
    for query in ["window=daily&since=2026-11-23T00:00:00.000Z", "window=all_time&since=2026-11-24T05:40:00.000Z"] {
        let page = moved(&app.rankings("race", &format!("limit=1000&{query}")).await.is(200));
        assert_eq!(page.len(), 1000);
        for (at, entry) in page.iter().enumerate() {
            assert_eq!(*entry, of(&names[at], at as u64 + 1, 1000 - at as u64), "{query}");
        }
    }
}

#[tokio::test]
async fn a_snapshot_is_taken_once_a_day() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"snapshots": {"top": 2, "keep": 2}})).await;
    app.fill("race", [("ann", 30), ("bob", 20), ("cat", 10)]).await;
    // Created today: the first one is taken at midnight.
    assert_eq!(taken(&app, "all_time", "").await, []);
    app.advance_to("2026-11-24T00:00:00.500Z");
    until_taken(&app, "all_time", &[("2026-11-24T00:00:00.500Z", 2)]).await;
    app.fill("race", [("cat", 40), ("dan", 35)]).await;
    app.advance_to("2026-11-24T23:59:59.999Z");
    let since = |time: &str| format!("since={time}");
    let expected = [of("cat", 1, None), of("dan", 2, None), of("ann", 3, 1), of("bob", 4, 2)];
    for time in ["2026-11-24T00:00:00.500Z", "2026-11-24T12:00:00Z", "2026-11-24T09:00:00.500%2B09:00"] {
        assert_eq!(moved(&app.rankings("race", &since(time)).await.is(200)), expected, "{time}");
    }
    app.advance_to("2026-11-25T03:00:00Z");
    until_taken(&app, "all_time", &[("2026-11-25T03:00:00.000Z", 2), ("2026-11-24T00:00:00.500Z", 2)]).await;
    let now = moved(&app.rankings("race", &since("2026-11-25T03:00:00Z")).await.is(200));
    assert_eq!(now, [of("cat", 1, 1), of("dan", 2, 2), of("ann", 3, None), of("bob", 4, None)]);
    let before = moved(&app.rankings("race", &since("2026-11-25T02:59:59.999Z")).await.is(200));
    assert_eq!(before, expected);
    // The latest two are kept, and of the third nothing is.
    app.advance_to("2026-11-26T00:00:00Z");
    until_taken(&app, "all_time", &[("2026-11-26T00:00:00.000Z", 2), ("2026-11-25T03:00:00.000Z", 2)]).await;
    let gone = app.rankings("race", &since("2026-11-24T12:00:00Z")).await.fails_with(404, "not-found");
    assert!(gone.detail().contains("no snapshot"), "{}", gone.detail());
    let key = app.keys().into_iter().find(|key| key.contains(":snapshots:")).expect("they have a key");
    let fields: Vec<String> = redis::cmd("HKEYS").arg(&key).query(&mut app.redis()).expect("HKEYS works");
    assert_eq!(fields.len(), 3, "{fields:?}");
}

#[tokio::test]
async fn fewer_snapshots_are_kept_when_the_setting_says_so() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"snapshots": {"top": 100, "keep": 30}})).await;
    app.submit("race", "ann", 1).await;
    for day in 0..11 {
        app.advance(DAY);
        eventually("it is taken", async || (taken(&app, "all_time", "").await.len() > day).then_some(())).await;
    }
    app.put("/v1/leaderboards/race", json!({"snapshots": {"top": 100, "keep": 1}})).await.is(200);
    app.advance(DAY);
    until_taken(&app, "all_time", &[("2026-12-05T05:40:00.000Z", 1)]).await;
    // Without the setting none is taken, and the one that is kept stays.
    app.put("/v1/leaderboards/race", json!({"snapshots": null})).await.is(200);
    assert_eq!(app.get("/v1/leaderboards/race").await["settings"].get("snapshots"), None);
    app.advance(2 * DAY);
    assert_eq!(taken(&app, "all_time", "").await.len(), 1);
}

#[tokio::test]
async fn a_midnight_with_the_service_down_is_made_up_for() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"snapshots": {}})).await;
    assert_eq!(app.get("/v1/leaderboards/race").await["settings"]["snapshots"], json!({"top": 1000, "keep": 30}));
    app.submit("race", "ann", 1).await;
    app.advance(3 * DAY);
    let app = app.restart().await;
    until_taken(&app, "all_time", &[("2026-11-26T05:40:00.000Z", 1)]).await;
    // Once: another start on that day takes none.
    app.advance(Duration::from_secs(3600));
    let app = app.restart().await;
    let has_looked = async || {
        let metrics = app.get("/metrics").await;
        let runs =
            metrics.text().lines().any(|line| line.contains("task=\"leaderboard.snapshots\"") && !line.ends_with(" 0"));
        runs.then_some(())
    };
    eventually("the task has looked", has_looked).await;
    app.advance_to("2026-11-27T00:00:00Z");
    until_taken(&app, "all_time", &[("2026-11-27T00:00:00.000Z", 1), ("2026-11-26T05:40:00.000Z", 1)]).await;
}

#[tokio::test]
async fn snapshots_belong_to_their_period_and_go_with_it() {
    let app = TestApp::spawn().await;
    let windows = json!([{"name": "weekly", "reset": "weekly", "keep": 1}, {"name": "all_time"}, {"name": "other"}]);
    app.create("race", json!({"snapshots": {"top": 10, "keep": 10}, "windows": windows})).await;
    app.submit("race", "ann", 1).await;
    app.advance_to("2026-11-29T00:00:00Z");
    until_taken(&app, "weekly", &[("2026-11-29T00:00:00.000Z", 1)]).await;
    // The week of the 30th begins at midnight itself: there is nothing of it to take yet.
    app.advance_to("2026-11-30T00:00:00Z");
    until_taken(&app, "all_time", &[("2026-11-30T00:00:00.000Z", 1), ("2026-11-29T00:00:00.000Z", 1)]).await;
    app.submit("race", "bob", 1).await;
    assert_eq!(taken(&app, "weekly", "").await, []);
    let ended = taken(&app, "weekly", "period=2026-11-23T00:00:00.000Z").await;
    assert_eq!(ended, [("2026-11-29T00:00:00.000Z".to_owned(), 1)]);
    let then = "window=weekly&period=2026-11-23T00:00:00.000Z&since=2026-11-29T12:00:00Z";
    assert_eq!(moved(&app.rankings("race", then).await.is(200)), [of("ann", 1, 1)]);
    app.rankings("race", "window=weekly&since=2026-11-29T12:00:00Z").await.fails_with(404, "not-found");
    // Two weeks later the first one is not kept; then a window goes, and then the leaderboard.
    app.advance_to("2026-12-07T00:00:00Z");
    app.submit("race", "bob", 1).await;
    let kept = || app.keys().into_iter().filter(|key| key.contains(":snapshots:")).collect::<Vec<_>>();
    let of_first = |key: &String| key.contains(":weekly:2026-11-23");
    eventually("it is freed", async || (!kept().iter().any(of_first)).then_some(())).await;
    assert!(kept().iter().any(|key| key.contains(":other:")), "{:?}", kept());
    app.put("/v1/leaderboards/race", json!({"snapshots": {}, "windows": [{"name": "all_time"}]})).await.is(200);
    eventually("they are freed", async || (kept().len() == 1).then_some(())).await;
    app.delete("/v1/leaderboards/race").await.is(204);
    eventually("nothing is left", async || app.keys().is_empty().then_some(())).await;
}

#[tokio::test]
async fn what_snapshots_and_since_may_be() {
    let app = TestApp::spawn().await;
    for (bad, pointer) in [
        (json!({"top": 0}), "/snapshots/top"),
        (json!({"top": 5001}), "/snapshots/top"),
        (json!({"keep": 0}), "/snapshots/keep"),
        (json!({"keep": 401}), "/snapshots/keep"),
        (json!({"top": "x"}), "/snapshots/top"),
        (json!({"bottom": 1}), "/snapshots/bottom"),
        (json!(5), "/snapshots"),
    ] {
        app.put("/v1/leaderboards/race", json!({"snapshots": bad})).await.fails_at(&[pointer]);
    }
    app.create("race", json!({"windows": [{"name": "daily", "reset": "daily"}, {"name": "all_time"}]})).await;
    app.submit("race", "ann", 1).await;
    for bad in ["open", "yesterday", "2026-11-23", "", "1795412400000"] {
        for path in ["rankings?", "members/ann?", "members/ann/around?", "around?score=1&"] {
            app.get(format!("/v1/leaderboards/race/{path}since={bad}")).await.fails_at(&["since"]);
        }
        let target = format!("/v1/leaderboards/race/members/lookup?since={bad}");
        app.post(target, json!({"members": []})).await.fails_at(&["since"]);
    }
    // The period that is shown is no other one, and there is no snapshot.
    app.rankings("race", &format!("since={}", DAYS[0])).await.fails_with(404, "not-found");
    app.get("/v1/leaderboards/race/distribution?since=open").await.fails_at(&["since"]);
    app.get("/v1/leaderboards/race/windows/none/snapshots").await.fails_with(404, "not-found");
    app.get("/v1/leaderboards/race/windows/daily/snapshots?period=open").await.fails_with(404, "not-found");
    app.get("/v1/leaderboards/none/windows/daily/snapshots").await.fails_with(404, "not-found");
    app.get("/v1/leaderboards/race/windows/daily/snapshots?x=1").await.fails_at(&["x"]);
}

#[tokio::test]
async fn two_instances_take_one_snapshot_a_day() {
    let redis = OwnRedis::spawn().await;
    let spawn = || TestApp::with().redis_url(&redis.url()).spawn();
    let (one, other) = (spawn().await, spawn().await);
    one.create("race", json!({"snapshots": {"top": 10, "keep": 400}})).await;
    one.submit("race", "ann", 1).await;
    for day in 0..5_usize {
        one.advance(DAY);
        other.advance(DAY);
        eventually("it is taken", async || (taken(&one, "all_time", "").await.len() > day).then_some(())).await;
    }
    // A round of each has passed after the last one.
    for app in [&one, &other] {
        app.create("next", json!({"snapshots": {}})).await;
        app.submit("next", "ann", 1).await;
        app.advance(DAY);
        let next = async || {
            let list = app.get("/v1/leaderboards/next/windows/all_time/snapshots").await.is(200);
            (list["snapshots"].as_array().expect("a list").len() == 1).then_some(())
        };
        eventually("the other leaderboard has one", next).await;
        app.delete("/v1/leaderboards/next").await.is(204);
    }
    let times = taken(&one, "all_time", "").await;
    let mut days: Vec<&str> = times.iter().map(|(time, _)| &time[..10]).collect();
    days.dedup();
    assert_eq!(days.len(), times.len(), "{times:?}");
}
