//! Closing windows by hand, and what becomes of their periods.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, TestApp, eventually};

const HOUR: Duration = Duration::from_secs(3600);
/// Where the clock starts, as the name of a period.
const BEGIN: &str = "2026-11-23T05:40:00.000Z";
const TODAY: &str = "2026-11-23T00:00:00.000Z";

impl TestApp {
    pub async fn close_window(&self, board: &str, window: &str) -> Answer {
        self.post(format!("/v1/leaderboards/{board}/windows/{window}/close"), json!({})).await
    }

    /// The periods of a window as (name, state, entries), the newest first.
    pub async fn period_states(&self, board: &str, window: &str) -> Vec<(String, String, u64)> {
        let page = self.get(format!("/v1/leaderboards/{board}/windows/{window}/periods")).await.is(200);
        let text = |period: &Value, field: &str| period[field].as_str().expect("a text").to_owned();
        let periods = page["periods"].as_array().expect("periods").iter();
        periods
            .map(|period| (text(period, "period"), text(period, "state"), period["entries"].as_u64().expect("entries")))
            .collect()
    }
}

fn of(period: &str, state: &str, entries: u64) -> (String, String, u64) {
    (period.to_owned(), state.to_owned(), entries)
}

#[tokio::test]
async fn a_window_without_a_reset_begins_anew_when_it_is_closed() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"subscores": [{"name": "time"}]})).await;
    for (member, score) in [("ann", 3), ("bob", 5)] {
        let row = json!({"member": member, "score": score, "subscores": {"time": 1}, "metadata": {"of": member}});
        app.submit_row("race", row).await.is(200);
    }
    let before = app.rankings("race", "ranking=dense").await.is(200);
    app.advance(HOUR);
    assert_eq!(app.close_window("race", "all_time").await.is(202)["period"], BEGIN);
    assert_eq!(app.rankings("race", "").await["total"], 0);
    let closed = app.rankings("race", &format!("period={BEGIN}&ranking=dense")).await.is(200);
    assert_eq!((&closed["entries"], &closed["period"]), (&before["entries"], &json!(BEGIN)));
    // The new one takes scores, and the old one stays as it is.
    let row = json!({"member": "cat", "score": 1, "subscores": {"time": 1}});
    app.submit_row("race", row).await.is(200);
    assert_eq!(app.rankings("race", "period=open").await.members(), ["cat"]);
    assert_eq!(app.rankings("race", &format!("period={BEGIN}")).await.members(), ["bob", "ann"]);
    let states = [of("open", "open", 1), of(BEGIN, "closed", 2)];
    assert_eq!(app.period_states("race", "all_time").await, states);
    let page = app.get("/v1/leaderboards/race/windows/all_time/periods?limit=1").await.is(200);
    let rest = format!("/v1/leaderboards/race/windows/all_time/periods?cursor={}", page.next_cursor().expect("more"));
    let rest = app.get(rest).await.is(200);
    assert_eq!(
        (&rest["periods"][0]["period"], &rest["periods"][0]["ended_at"]),
        (&json!(BEGIN), &json!("2026-11-23T06:40:00.000Z"))
    );
    assert_eq!(rest["periods"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_window_that_resets_goes_on_until_its_next_reset() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "daily", "reset": "daily"}, {"name": "all_time"}]})).await;
    app.fill("race", [("ann", 3), ("bob", 5)]).await;
    assert_eq!(app.close_window("race", "daily").await.is(202)["period"], TODAY);
    let score = json!({"member": "cat", "score": 1, "if_period": {"daily": TODAY}});
    app.submit_row("race", score).await.fails_with(409, "period-closed");
    let standing = app.submit("race", "cat", 1).await;
    assert_eq!(
        (&standing["windows"]["daily"]["period"], &standing["windows"]["daily"]["rank"]),
        (&json!(BEGIN), &json!(1))
    );
    assert_eq!(standing["windows"]["all_time"]["rank"], 3);
    assert_eq!(app.period_states("race", "daily").await, [of(BEGIN, "open", 1), of(TODAY, "closed", 2)]);
    app.advance(Duration::from_secs(24 * 3600));
    let next = app.submit("race", "cat", 1).await;
    assert_eq!(next["windows"]["daily"]["period"], "2026-11-24T00:00:00.000Z");
    let ends: Vec<Value> = app.get("/v1/leaderboards/race/windows/daily/periods").await["periods"]
        .as_array()
        .expect("periods")
        .iter()
        .map(|period| period["ended_at"].clone())
        .collect();
    assert_eq!(ends, [Value::Null, json!("2026-11-24T00:00:00.000Z"), json!(BEGIN)]);
}

#[tokio::test]
async fn two_closings_in_one_millisecond_give_two_periods() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "all_time"}, {"name": "daily", "reset": "daily"}]})).await;
    let mut names = Vec::new();
    for member in ["ann", "bob", "cat"] {
        app.submit("race", member, 1).await;
        for window in ["all_time", "daily"] {
            let period = app.close_window("race", window).await.is(202)["period"].as_str().expect("a name").to_owned();
            let closed = app.rankings("race", &format!("window={window}&period={period}")).await;
            assert_eq!(closed.members(), [member], "{window}");
            names.push((window, period));
        }
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
    // Empty ones are closed too.
    app.close_window("race", "all_time").await.is(202);
    assert_eq!(app.period_states("race", "all_time").await[1].2, 0);
}

#[tokio::test]
async fn a_closing_with_a_key_closes_once() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    let close = async |window: &str, key: &str| {
        app.request("POST", format!("/v1/leaderboards/race/windows/{window}/close"))
            .key(key)
            .body(json!({}))
            .send()
            .await
    };
    let first = close("all_time", "k").await.is(202);
    app.advance(HOUR);
    let again = close("all_time", "k").await.is(202);
    assert_eq!((&again["period"], again.header("idempotent-replayed")), (&first["period"], "true"));
    assert_eq!(app.period_states("race", "all_time").await.len(), 2);
    app.put("/v1/leaderboards/race", json!({"windows": [{"name": "all_time"}, {"name": "w"}]})).await.is(200);
    close("w", "k").await.fails_with(409, "idempotency-mismatch");
    close("x", "k2").await.fails_with(404, "not-found");
    app.close_window("none", "all_time").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn closed_periods_of_a_window_without_a_reset_are_kept_as_long_as_it_says() {
    let app = TestApp::spawn().await;
    let settings = json!({"windows": [{"name": "all_time", "keep": 1}]});
    app.create("race", settings).await;
    for member in ["ann", "bob"] {
        app.submit("race", member, 1).await;
        app.close_window("race", "all_time").await.is(202);
        app.advance(HOUR);
    }
    app.submit("race", "cat", 1).await;
    eventually("the older one is freed", async || {
        (app.period_states("race", "all_time").await.len() == 2).then_some(())
    })
    .await;
    // What a member leaves, it leaves everywhere.
    app.delete("/v1/leaderboards/race/members/bob").await.is(204);
    assert_eq!(app.period_states("race", "all_time").await[1].2, 0);
    // A window that goes takes its periods along, and comes back empty.
    app.submit("race", "dan", 1).await;
    app.close_window("race", "all_time").await.is(202);
    app.put("/v1/leaderboards/race", json!({"windows": [{"name": "other"}]})).await.is(200);
    app.put("/v1/leaderboards/race", json!({"windows": [{"name": "other"}, {"name": "all_time"}]})).await.is(200);
    assert_eq!(app.period_states("race", "all_time").await, [of("open", "open", 0)]);
    app.advance(HOUR);
    let begun = app.close_window("race", "all_time").await.is(202);
    assert_eq!(begun["period"], "2026-11-23T07:40:00.000Z");
    app.delete("/v1/leaderboards/race").await.is(204);
    assert_eq!(app.keys(), [] as [&str; 0]);
}

#[tokio::test]
async fn if_period_open_holds_after_a_closing() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    let row = |period: &str| json!({"member": "ann", "score": 1, "if_period": {"all_time": period}});
    app.submit_row("race", row("open")).await.is(200);
    app.close_window("race", "all_time").await.is(202);
    app.submit_row("race", row("open")).await.is(200);
    app.submit_row("race", row(BEGIN)).await.fails_with(409, "period-closed");
    assert_eq!(app.period_states("race", "all_time").await, [of("open", "open", 1), of(BEGIN, "closed", 1)]);
}
