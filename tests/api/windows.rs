//! Windows that reset, and their periods.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

/// The periods that are open at the clock's start, Monday 2026-11-23T05:40:00Z.
const TODAY: &str = "2026-11-23T00:00:00.000Z";
const TOMORROW: &str = "2026-11-24T00:00:00.000Z";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// From the clock's start to the next midnight.
const TO_MIDNIGHT: Duration = Duration::from_secs(18 * 3600 + 20 * 60);

fn daily_and_all() -> Value {
    json!({"windows": [{"name": "daily", "reset": "daily"}, {"name": "all_time"}]})
}

/// The periods of the answer to a submission, by window.
fn periods(answer: &Answer) -> BTreeMap<&str, &str> {
    let windows = answer["windows"].as_object().expect("windows");
    windows.iter().map(|(name, window)| (name.as_str(), window["period"].as_str().expect("a period"))).collect()
}

async fn daily(app: &TestApp, period: &str) -> Answer {
    app.rankings("race", &format!("window=daily&period={period}")).await
}

#[tokio::test]
async fn a_window_begins_anew_at_its_reset() {
    let app = TestApp::spawn().await;
    app.create("race", daily_and_all()).await;
    let first = app.submit("race", "alice", 10).await;
    assert_eq!(periods(&first), BTreeMap::from([("daily", TODAY), ("all_time", "open")]));
    app.submit("race", "bob", 20).await;

    app.advance(TO_MIDNIGHT - Duration::from_millis(1));
    assert_eq!(periods(&app.submit("race", "carol", 5).await)["daily"], TODAY);
    app.advance(Duration::from_millis(1));
    assert_eq!(app.rankings("race", "").await["total"], 0, "the new period begins empty");
    let next = app.submit("race", "alice", 7).await;
    assert_eq!(next["windows"]["daily"], json!({"period": TOMORROW, "score": 7, "rank": 1, "updated": true}));
    assert_eq!(next["windows"]["all_time"], json!({"period": "open", "score": 10, "rank": 2, "updated": false}));
    assert_eq!((&next["score"], &next["rank"], &next["previous"]), (&json!(7), &json!(1), &Value::Null));

    let open = app.rankings("race", "").await.is(200);
    assert_eq!((&open["period"], open.members()), (&json!(TOMORROW), vec!["alice"]));
    assert_eq!(app.rankings("race", "window=all_time").await.members(), ["bob", "alice", "carol"]);
    assert_eq!(app.get("/v1/leaderboards/race").await["entries"], 1);
}

#[tokio::test]
async fn windows_reset_by_presets_and_lines_in_time_zones() {
    let app = TestApp::spawn().await;
    let windows = json!([
        {"name": "daily", "reset": "daily"},
        {"name": "weekly", "reset": "weekly"},
        {"name": "monthly", "reset": "monthly"},
        {"name": "yearly", "reset": "yearly"},
        {"name": "seoul", "reset": "0 0 * * MON", "timezone": "Asia/Seoul"},
        {"name": "new_york", "reset": "daily", "timezone": "America/New_York"},
        {"name": "seconds", "reset": "*/30 * * * * *"},
    ]);
    let made = app.create("race", json!({"windows": windows})).await;
    assert_eq!(made["settings"]["windows"], windows, "what was given, and no more");
    let expected = BTreeMap::from([
        ("daily", TODAY),
        ("weekly", TODAY),
        ("monthly", "2026-11-01T00:00:00.000Z"),
        ("yearly", "2026-01-01T00:00:00.000Z"),
        ("seoul", "2026-11-22T15:00:00.000Z"),
        ("new_york", "2026-11-23T05:00:00.000Z"),
        ("seconds", "2026-11-23T05:40:00.000Z"),
    ]);
    assert_eq!(periods(&app.submit("race", "alice", 10).await), expected);
    app.advance(Duration::from_secs(30));
    let later = app.submit("race", "alice", 10).await;
    assert_eq!(periods(&later)["seconds"], "2026-11-23T05:40:30.000Z");
    assert_eq!(later["windows"]["seconds"]["updated"], true);
    assert_eq!(later["windows"]["daily"]["updated"], false);
}

#[tokio::test]
async fn a_reset_that_summer_time_moves_happens_once_a_day() {
    let app = TestApp::spawn().await;
    // 2027 in New York: 14 March has no 02:30, 7 November has 01:30 twice.
    let windows = json!([
        {"name": "gap", "reset": "30 2 * * *", "timezone": "America/New_York", "keep": 400},
        {"name": "overlap", "reset": "30 1 * * *", "timezone": "America/New_York", "keep": 400},
    ]);
    app.create("race", json!({"operator": "sum", "windows": windows})).await;
    for (noon, gap, overlap) in [
        ("2027-03-13T17:00:00Z", "2027-03-13T07:30:00.000Z", "2027-03-13T06:30:00.000Z"),
        ("2027-03-14T17:00:00Z", "2027-03-14T07:00:00.000Z", "2027-03-14T06:30:00.000Z"),
        ("2027-03-15T17:00:00Z", "2027-03-15T06:30:00.000Z", "2027-03-15T05:30:00.000Z"),
        ("2027-11-07T05:29:59Z", "2027-11-06T06:30:00.000Z", "2027-11-06T05:30:00.000Z"),
        ("2027-11-07T05:30:00Z", "2027-11-06T06:30:00.000Z", "2027-11-07T05:30:00.000Z"),
        ("2027-11-07T06:31:00Z", "2027-11-06T06:30:00.000Z", "2027-11-07T05:30:00.000Z"),
        ("2027-11-08T17:00:00Z", "2027-11-08T07:30:00.000Z", "2027-11-08T06:30:00.000Z"),
    ] {
        app.advance_to(noon);
        let answer = app.submit("race", "alice", 1).await;
        assert_eq!(periods(&answer), BTreeMap::from([("gap", gap), ("overlap", overlap)]), "{noon}");
    }
}

#[tokio::test]
async fn a_batch_and_its_replay_name_the_period_that_they_counted_in() {
    let app = TestApp::spawn().await;
    app.create("race", daily_and_all()).await;
    let row = json!({"member": "alice", "score": 1});
    let send = async || {
        let request = app.request("POST", "/v1/leaderboards/race/scores").header("Idempotency-Key", "k1");
        request.body(row.clone()).send().await.is(200)
    };
    let first = send().await;
    app.fill("race", [("bob", 2), ("carol", 3)]).await;
    app.advance(DAY);
    let again = send().await;
    assert!(again.was_replayed());
    assert_eq!(again.json(), first.json(), "nothing of it is of today");
    assert_eq!(app.rankings("race", "").await["total"], 0);
    assert_eq!(app.fill("race", [("bob", 2)]).await["results"][0]["rank"], 1);
}

#[tokio::test]
async fn a_score_for_a_period_that_is_not_open_changes_nothing() {
    let app = TestApp::spawn().await;
    app.create("race", daily_and_all()).await;
    let row = |member: &str, period: &str| json!({"member": member, "score": 5, "if_period": {"daily": period}});
    assert_eq!(app.submit_row("race", row("alice", TODAY)).await.is(200)["rank"], 1);
    for period in [TOMORROW, "open", "2026-11-22T00:00:00.000Z", "2026-11-23T00:00:00Z", ""] {
        let refused = app.submit_row("race", row("bob", period)).await.fails_with(409, "period-closed");
        assert!(refused.detail().contains("`daily`") && refused.detail().contains(period), "{}", refused.text());
    }
    app.advance(TO_MIDNIGHT);
    app.submit_row("race", row("bob", TODAY)).await.fails_with(409, "period-closed");
    let both = json!({"member": "bob", "score": 5, "if_period": {"daily": TOMORROW, "all_time": TODAY}});
    app.submit_row("race", both).await.fails_with(409, "period-closed");
    assert_eq!(app.rankings("race", "window=all_time").await.members(), ["alice"]);
    assert_eq!(app.rankings("race", "").await["total"], 0);
    app.submit_row("race", row("bob", TOMORROW)).await.is(200);
    app.submit_row("race", json!({"member": "bob", "score": 5, "if_period": {"weekly": TODAY}}))
        .await
        .fails_at(&["/if_period/weekly"]);
}

#[tokio::test]
async fn items_of_a_batch_are_refused_each_for_itself_and_again_when_replayed() {
    let app = TestApp::spawn().await;
    app.create("race", daily_and_all()).await;
    app.advance(DAY);
    let items = vec![
        json!({"member": "alice", "score": 1, "if_period": {"daily": TODAY}}),
        json!({"member": "bob", "score": 2, "if_period": {"daily": TOMORROW}}),
        json!({"member": "carol", "score": 3}),
        json!({"member": "dave", "score": 4, "if_period": {"daily": TODAY}, "idempotency_key": "d"}),
    ];
    let statuses = |answer: &Answer| -> Vec<u64> {
        let results = answer["results"].as_array().expect("results").iter();
        results.map(|result| result["status"].as_u64().expect("a status")).collect()
    };
    let send = async || {
        let request = app.request("POST", "/v1/leaderboards/race/scores/batch").header("Idempotency-Key", "k");
        request.body(json!({"scores": items})).send().await.is(200)
    };
    let first = send().await;
    assert_eq!(statuses(&first), [409, 200, 200, 409], "{}", first.text());
    assert_eq!(first["results"][0]["problem"]["type"], "/problems/period-closed");
    assert_eq!(app.rankings("race", "").await.members(), ["carol", "bob"]);
    app.advance(DAY - Duration::from_secs(1));
    let again = send().await;
    assert!(again.was_replayed());
    assert_eq!(again.json(), first.json());
}

#[tokio::test]
async fn a_refused_item_may_come_again_for_the_open_period() {
    let app = TestApp::spawn().await;
    app.create("race", daily_and_all()).await;
    app.advance(DAY);
    let row = |period: &str| json!({"member": "alice", "score": 1, "if_period": {"daily": period}});
    let send = async |row: Value| {
        app.request("POST", "/v1/leaderboards/race/scores").header("Idempotency-Key", "k").body(row).send().await
    };
    send(row(TODAY)).await.fails_with(409, "period-closed");
    send(row(TOMORROW)).await.is(200);
}

#[tokio::test]
async fn submissions_racing_a_reset_land_in_one_period_each() {
    let app = TestApp::with().server_clock().spawn().await;
    let windows = json!([{"name": "second", "reset": "* * * * * *", "keep": 1000}, {"name": "all_time"}]);
    app.create("race", json!({"operator": "sum", "windows": windows})).await;
    let until = std::time::Instant::now() + Duration::from_secs(6);
    let submit = async |number: usize| {
        let mut counted: BTreeMap<String, u64> = BTreeMap::new();
        while std::time::Instant::now() < until {
            let answer = app.submit("race", &format!("m{number}"), 1).await;
            *counted.entry(periods(&answer)["second"].to_owned()).or_default() += 1;
        }
        counted
    };
    let counted = join_all((0..8).map(submit)).await;
    let all = counted.iter().flat_map(BTreeMap::values).sum::<u64>();
    let mut seen = 0;
    for (number, of_member) in counted.iter().enumerate() {
        let total = app.get(format!("/v1/leaderboards/race/members/m{number}?window=all_time")).await.is(200);
        assert_eq!(total["score"].as_u64(), Some(of_member.values().sum()), "every submission counted once");
        for (period, count) in of_member {
            let path = format!("/v1/leaderboards/race/members/m{number}?window=second&period={period}");
            let entry = app.get(path).await.is(200);
            assert_eq!(entry["score"].as_u64(), Some(*count), "member {number} in {period}");
            let achieved = entry["achieved_at"].as_str().expect("a time");
            assert_eq!(achieved[..19], period[..19], "the last of the period was in it");
            seen += count;
        }
    }
    assert_eq!(seen, all);
    assert!(counted.iter().flat_map(BTreeMap::keys).collect::<std::collections::BTreeSet<_>>().len() >= 5);
}

#[tokio::test]
async fn what_windows_cannot_be_is_refused() {
    let app = TestApp::spawn().await;
    for (window, pointer) in [
        (json!({"name": "w", "reset": "hourly"}), "/windows/0/reset"),
        (json!({"name": "w", "reset": ""}), "/windows/0/reset"),
        (json!({"name": "w", "reset": "@weekly"}), "/windows/0/reset"),
        (json!({"name": "w", "reset": "0 0 30 2 *"}), "/windows/0/reset"),
        (json!({"name": "w", "reset": "61 0 * * *"}), "/windows/0/reset"),
        (json!({"name": "w", "reset": null}), "/windows/0/reset"),
        (json!({"name": "w", "reset": 5}), "/windows/0/reset"),
        (json!({"name": "w", "reset": "daily", "timezone": "Mars/Base"}), "/windows/0/timezone"),
        (json!({"name": "w", "reset": "daily", "timezone": ""}), "/windows/0/timezone"),
        (json!({"name": "w", "timezone": "UTC"}), "/windows/0/timezone"),
        (json!({"name": "w", "reset": "daily", "keep": 1001}), "/windows/0/keep"),
        (json!({"name": "w", "reset": "daily", "keep": -1}), "/windows/0/keep"),
    ] {
        let answer = app.put("/v1/leaderboards/race", json!({"windows": [window]})).await;
        answer.fails_at(&[pointer]);
    }
}

#[tokio::test]
async fn other_resets_are_refused_once_there_are_entries() {
    let app = TestApp::spawn().await;
    app.create("race", daily_and_all()).await;
    let with = |window: Value| json!({"windows": [window, {"name": "all_time"}]});
    let weekly = json!({"name": "daily", "reset": "weekly"});
    app.put("/v1/leaderboards/race", with(weekly.clone())).await.is(200);
    app.submit("race", "alice", 1).await;
    for window in [
        json!({"name": "daily", "reset": "daily"}),
        json!({"name": "daily"}),
        json!({"name": "daily",
        "reset": "weekly", "timezone": "Asia/Seoul"}),
    ] {
        let refused = app.put("/v1/leaderboards/race", with(window)).await.fails_with(409, "conflict");
        assert!(refused.detail().contains("`daily`"), "{}", refused.text());
    }
    let never = json!({"windows": [weekly, {"name": "all_time", "reset": "daily"}]});
    app.put("/v1/leaderboards/race", never).await.fails_with(409, "conflict");
    // What says the same, and how many periods are kept, may change.
    let same = json!({"name": "daily", "reset": "weekly", "timezone": "UTC", "keep": 3});
    app.put("/v1/leaderboards/race", with(same)).await.is(200);
    assert_eq!(app.rankings("race", "").await.members(), ["alice"]);
    let order = json!({"order": "ascending", "windows": [{"name": "daily", "reset": "weekly"}]});
    app.advance(7 * DAY);
    app.put("/v1/leaderboards/race", order).await.fails_with(409, "conflict");
}

#[tokio::test]
async fn an_added_window_begins_empty_and_is_read_at_once() {
    let app = TestApp::spawn().await;
    app.create("race", daily_and_all()).await;
    app.submit("race", "alice", 1).await;
    let mut windows = daily_and_all();
    windows["windows"].as_array_mut().expect("a list").push(json!({"name": "weekly", "reset": "weekly"}));
    app.put("/v1/leaderboards/race", windows).await.is(200);
    assert_eq!(app.rankings("race", "window=weekly").await.is(200)["total"], 0);
    app.submit("race", "bob", 2).await;
    app.advance(7 * DAY);
    let week = app.rankings("race", &format!("window=weekly&period={TODAY}")).await.is(200);
    assert_eq!(week.members(), ["bob"], "noted though the day was already");
}

#[tokio::test]
async fn windows_and_leaderboards_that_go_take_their_periods_along() {
    let app = TestApp::spawn().await;
    let settings = json!({"windows": [{"name": "all_time"}, {"name": "daily", "reset": "daily"},
        {"name": "weekly", "reset": "weekly"}]});
    app.create("race", settings.clone()).await;
    for day in 0..3 {
        app.submit_row("race", json!({"member": format!("m{day}"), "score": day, "metadata": 1})).await.is(200);
        app.rankings("race", "window=daily&ranking=dense").await.is(200);
        app.advance(DAY);
    }
    let of = |window: &str| {
        let keys = app.keys();
        keys.into_iter().filter(|key| key.contains(&format!(":{window}"))).count()
    };
    assert!(of("daily") >= 12, "{:?}", app.keys());
    let without = json!({"windows": [{"name": "all_time"}, {"name": "weekly", "reset": "weekly"}]});
    app.put("/v1/leaderboards/race", without).await.is(200);
    assert_eq!(of("daily"), 0, "{:?}", app.keys());
    assert!(of("weekly") > 0 && of("all_time") > 0);
    app.put("/v1/leaderboards/race", settings).await.is(200);
    daily(&app, TODAY).await.fails_with(404, "not-found");
    app.delete("/v1/leaderboards/race").await.is(204);
    assert_eq!(app.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_clock_that_goes_back_reopens_nothing() {
    let app = TestApp::spawn().await;
    app.create("race", daily_and_all()).await;
    app.submit("race", "alice", 1).await;
    app.advance(DAY);
    app.submit("race", "alice", 2).await;
    let before = daily(&app, TODAY).await;
    app.advance_to("2026-11-23T06:00:00Z");
    let answer = app.submit_row("race", json!({"member": "alice", "score": 3})).await;
    // The service's own clock is the one that went back here, so it never finds the period that is open.
    answer.fails_with(503, "store-unavailable");
    assert_eq!(daily(&app, TODAY).await.text(), before.text());
}
