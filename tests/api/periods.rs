//! Periods that have ended: read as the open one is, until they are freed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{OwnRedis, TestApp, eventually};

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

/// The periods of a window as (name, state, entries).
async fn listed(app: &TestApp, window: &str) -> Vec<(String, String, u64)> {
    let page = app.get(format!("/v1/leaderboards/race/windows/{window}/periods")).await.is(200);
    let periods = page["periods"].as_array().expect("periods").iter();
    let text = |period: &Value, field: &str| period[field].as_str().expect("a text").to_owned();
    periods
        .map(|period| (text(period, "period"), text(period, "state"), period["entries"].as_u64().expect("a number")))
        .collect()
}

fn of(day: &str, state: &str, entries: u64) -> (String, String, u64) {
    (day.to_owned(), state.to_owned(), entries)
}

/// Waits until the background work has brought the periods to this.
async fn until_listed(app: &TestApp, window: &str, expected: &[(String, String, u64)]) {
    eventually("the periods are closed and freed", async || (listed(app, window).await == expected).then_some(()))
        .await;
}

#[tokio::test]
async fn periods_are_listed_the_newest_first() {
    let app = TestApp::spawn().await;
    app.create("race", daily()).await;
    assert_eq!(listed(&app, "daily").await, [of(DAYS[0], "open", 0)]);
    assert_eq!(listed(&app, "all_time").await, [of("open", "open", 0)]);
    app.fill("race", [("ann", 1), ("bob", 2)]).await;
    // A day without scores leaves nothing.
    app.advance(2 * DAY);
    until_listed(&app, "daily", &[of(DAYS[2], "open", 0), of(DAYS[0], "closed", 2)]).await;
    app.submit("race", "ann", 3).await;
    let page = app.get("/v1/leaderboards/race/windows/daily/periods").await.is(200);
    let expected = json!({"periods": [
        {"period": DAYS[2], "state": "open", "started_at": DAYS[2], "entries": 1},
        {"period": DAYS[0], "state": "closed", "started_at": DAYS[0], "ended_at": DAYS[1], "entries": 2},
    ]});
    assert_eq!(page.json(), &expected);
    let open = app.get("/v1/leaderboards/race/windows/all_time/periods").await.is(200);
    assert_eq!(open.json(), &json!({"periods": [{"period": "open", "state": "open", "entries": 2}]}));

    app.get("/v1/leaderboards/race/windows/weekly/periods").await.fails_with(404, "not-found");
    app.get("/v1/leaderboards/none/windows/daily/periods").await.fails_with(404, "not-found");
    app.get("/v1/leaderboards/race/windows/a%20b/periods").await.fails_at(&["window"]);
    for cursor in ["x", "eA", "", "%00"] {
        let target = format!("/v1/leaderboards/race/windows/daily/periods?cursor={cursor}");
        app.get(target).await.fails_with(400, "malformed-request");
    }
}

#[tokio::test]
async fn periods_are_listed_by_pages() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "daily", "reset": "daily", "keep": 20}]})).await;
    let mut expected = Vec::new();
    for _ in 0..7 {
        expected.insert(0, app.submit("race", "ann", 1).await["windows"]["daily"]["period"].clone());
        app.advance(DAY);
    }
    expected.insert(0, app.rankings("race", "").await["period"].clone());
    for limit in [1, 2, 3, 4, 8, 9] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let target = format!("/v1/leaderboards/race/windows/daily/periods?limit={limit}{cursor}");
            let page = app.get(target).await.is(200);
            let periods = page["periods"].as_array().expect("periods");
            assert!(!periods.is_empty() && periods.len() <= limit);
            found.extend(periods.iter().map(|period| period["period"].clone()));
            match page.next_cursor() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found, expected, "pages of {limit}");
    }
}

#[tokio::test]
async fn periods_beyond_what_is_kept_are_freed() {
    let app = TestApp::spawn().await;
    let settings = |keep: Value| json!({"subscores": [{"name": "t"}], "windows": [{"name": "daily", "reset": "daily", "keep": keep}, {"name": "all_time"}]});
    app.create("race", settings(json!(2))).await;
    let submit = async |member: &str| {
        let row = json!({"member": member, "score": 1, "subscores": {"t": 1}, "metadata": {"a": 1}});
        app.submit_row("race", row).await.is(200);
        app.rankings("race", "ranking=dense").await.is(200);
    };
    for number in 0..5 {
        submit(&format!("m{number}")).await;
        app.advance(DAY);
    }
    let days = ["2026-11-28", "2026-11-27", "2026-11-26"].map(|day| format!("{day}T00:00:00.000Z"));
    let kept = [of(&days[0], "open", 0), of(&days[1], "closed", 1), of(&days[2], "closed", 1)];
    until_listed(&app, "daily", &kept).await;
    app.rankings("race", &format!("period={}", DAYS[0])).await.fails_with(404, "not-found");
    assert_eq!(app.rankings("race", &format!("period={}", days[2])).await.members(), ["m3"]);
    let of_days = || -> Vec<String> {
        app.keys().into_iter().filter(|key| key.contains(":daily:2026") || key.ends_with(":free")).collect()
    };
    eventually("the keys are gone", async || (of_days().len() == 8).then_some(())).await;
    assert!(of_days().iter().all(|key| key.contains("2026-11-26") || key.contains("2026-11-27")), "{:?}", of_days());
    // Fewer are kept from now on.
    app.put("/v1/leaderboards/race", settings(json!(0))).await.is(200);
    until_listed(&app, "daily", &kept[..1]).await;
    eventually("the keys are gone", async || of_days().is_empty().then_some(())).await;
    assert_eq!(app.rankings("race", "window=all_time").await["total"], 5);
}

#[tokio::test]
async fn eight_ended_periods_are_kept_unless_asked_otherwise() {
    let app = TestApp::spawn().await;
    app.create("race", daily()).await;
    for _ in 0..10 {
        app.submit("race", "ann", 1).await;
        app.advance(DAY);
    }
    let kept = async || (listed(&app, "daily").await.len() == 9).then_some(());
    eventually("the open one and eight are left", kept).await;
    app.rankings("race", "period=2026-11-25T00:00:00.000Z").await.is(200);
    app.rankings("race", "period=2026-11-24T00:00:00.000Z").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn what_ended_while_nothing_ran_is_closed_and_freed_afterwards() {
    let app = three_days(json!({"windows": [{"name": "daily", "reset": "daily", "keep": 1}]})).await;
    app.advance(30 * DAY);
    let app = app.restart().await;
    let expected = [of("2026-12-25T00:00:00.000Z", "open", 0), of(DAYS[2], "closed", 1)];
    until_listed(&app, "daily", &expected).await;
}

#[tokio::test]
async fn what_a_deletion_that_was_cut_off_left_is_freed() {
    let app = three_days(daily()).await;
    // As the deletion's script leaves it.
    let mut redis = app.redis();
    let keys = app.keys();
    let rank = keys.iter().find(|key| key.contains(":rank:") && key.contains(":daily:")).expect("an ended ranking");
    let entry = rank.split(":rank:").nth(1).expect("its end").trim_end_matches(':').to_owned();
    for key in keys.iter().filter(|key| !key.contains(":daily:")) {
        let _: () = redis::cmd("DEL").arg(key).query(&mut redis).expect("DEL works");
    }
    for other in keys.iter().filter(|key| key.contains(":rank:") && key.contains(":daily:")) {
        let entry = other.split(":rank:").nth(1).expect("its end").trim_end_matches(':');
        let _: () = redis::cmd("RPUSH").arg("ranq:{lb:race}:free").arg(entry).query(&mut redis).expect("RPUSH works");
    }
    assert!(entry.contains(":daily:2026"), "{entry}");
    eventually("nothing is left", async || app.keys().is_empty().then_some(())).await;
}

#[tokio::test]
async fn two_instances_share_periods_and_one_that_ends_leaves_nothing_undone() {
    let redis = OwnRedis::spawn().await;
    let spawn = || TestApp::with().server_clock().redis_url(&redis.url()).spawn();
    let (one, other) = (spawn().await, spawn().await);
    let windows = json!([{"name": "second", "reset": "* * * * * *", "keep": 3}, {"name": "all_time"}]);
    one.create("race", json!({"operator": "sum", "windows": windows})).await;
    let submit = async |app: &TestApp, member: &str, until: Instant| {
        let mut count = 0;
        while Instant::now() < until {
            let answer = app.submit("race", member, 1).await;
            // What one has just said, the same one reads.
            let path = format!("/v1/leaderboards/race/members/{member}?window=second");
            let read = app
                .get(format!("{path}&period={}", answer["windows"]["second"]["period"].as_str().expect("one")))
                .await;
            assert_eq!(read.is(200)["score"], answer["windows"]["second"]["score"]);
            count += 1;
        }
        count
    };
    let now = Instant::now();
    let (by_one, by_other) = tokio::join!(
        submit(&one, "ann", now + Duration::from_secs(3)),
        submit(&other, "bob", now + Duration::from_secs(5)),
    );
    drop(one);
    let all = other.rankings("race", "window=all_time").await.is(200);
    assert_eq!((&all.entry("ann")["score"], &all.entry("bob")["score"]), (&json!(by_one), &json!(by_other)));
    let keys_of_periods = async || {
        let keys: Vec<String> =
            redis::cmd("KEYS").arg("*:second:2*").query(&mut redis.connect().expect("it runs")).expect("KEYS works");
        // Three that are kept, with a ranking and its directory each.
        (keys.len() == 6).then_some(())
    };
    eventually("three ended periods are left", keys_of_periods).await;
    let page = other.get("/v1/leaderboards/race/windows/second/periods").await.is(200);
    let states: Vec<&str> =
        page["periods"].as_array().expect("periods").iter().filter_map(|period| period["state"].as_str()).collect();
    assert_eq!(states, ["open", "closed", "closed", "closed"]);
}
