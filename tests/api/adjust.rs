//! Setting scores, removing members by score, and the list of what was done.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

impl TestApp {
    async fn adjust(&self, member: &str, body: Value) -> Answer {
        self.put(format!("/v1/leaderboards/race/members/{member}"), body).await
    }

    async fn remove_by_score(&self, query: &str) -> Answer {
        self.delete(format!("/v1/leaderboards/race/members?{query}")).await
    }
}

async fn race(settings: Value) -> TestApp {
    let app = TestApp::spawn().await;
    app.create("race", settings).await;
    app.fill("race", [("ann", 30), ("bob", 20), ("cid", 10)]).await;
    app
}

fn two_windows(operator: &str) -> Value {
    json!({"operator": operator, "windows": [{"name": "daily", "reset": "daily"}, {"name": "all_time"}]})
}

#[tokio::test]
async fn a_score_is_set_whatever_the_operator() {
    for operator in ["best", "latest", "sum"] {
        let app = race(two_windows(operator)).await;
        app.advance(Duration::from_secs(5));
        let body = json!({"score": 15, "metadata": {"by": "hand"}, "reason": "the bonus counted twice"});
        let answer = app.adjust("ann", body).await.is(200);
        assert_eq!((&answer["score"], &answer["rank"], &answer["updated"]), (&json!(15), &json!(2), &json!(true)));
        assert_eq!(answer["previous"], json!({"score": 30, "rank": 1}));
        for window in ["daily", "all_time"] {
            assert_eq!(answer["windows"][window]["score"], 15, "{operator}");
            let list = app.rankings("race", &format!("window={window}")).await.is(200);
            assert_eq!(list.members(), ["bob", "ann", "cid"], "{operator}");
            let entry = list.entry("ann");
            assert_eq!(
                (&entry["metadata"], &entry["achieved_at"]),
                (&json!({"by": "hand"}), &json!("2026-11-23T05:40:05.000Z"))
            );
        }
    }
}

#[tokio::test]
async fn a_score_is_set_in_one_window_and_may_be_new() {
    let app = race(two_windows("best")).await;
    let answer = app.adjust("zoe", json!({"score": 25, "window": "all_time", "reason": "was lost"})).await.is(200);
    let expected = json!({"member": "zoe", "score": 25, "rank": 2, "updated": true, "previous": null,
        "windows": {"all_time": {"period": "open", "score": 25, "rank": 2, "updated": true}}});
    assert_eq!(*answer.json(), expected);
    assert_eq!(app.rankings("race", "").await["total"], 3);
    assert_eq!(app.rankings("race", "window=all_time").await.members(), ["ann", "zoe", "bob", "cid"]);
}

#[tokio::test]
async fn a_score_that_is_set_opens_a_period() {
    let app = TestApp::spawn().await;
    app.create("race", two_windows("best")).await;
    app.adjust("ann", json!({"score": 1, "reason": "the first"})).await.is(200);
    app.advance(Duration::from_secs(24 * 3600));
    let periods = app.get("/v1/leaderboards/race/windows/daily/periods").await.is(200);
    let entries: Vec<&Value> =
        periods["periods"].as_array().expect("periods").iter().map(|it| &it["entries"]).collect();
    assert_eq!(entries, [0, 1]);
}

#[tokio::test]
async fn a_score_that_is_set_keeps_to_the_rules() {
    let app = race(json!({"min_score": 0, "max_score": 100, "subscores": [{"name": "laps"}]})).await;
    for (body, pointers) in [
        (json!({"score": 101, "subscores": {"laps": 1}, "reason": "r"}), &["/score"][..]),
        (json!({"score": 1, "reason": "r"}), &["/subscores/laps"]),
        (json!({"score": 1, "subscores": {"laps": 1}}), &["/reason"]),
        (json!({"score": 1, "subscores": {"laps": 1}, "reason": ""}), &["/reason"]),
        (json!({"score": "x", "reason": "r"}), &["/score"]),
        (json!({"score": 1, "reason": "r", "member": "bob"}), &["/member"]),
    ] {
        app.adjust("ann", body).await.fails_at(pointers);
    }
    let elsewhere = json!({"score": 1, "subscores": {"laps": 1}, "window": "none", "reason": "r"});
    app.adjust("ann", elsewhere).await.fails_with(404, "not-found");
    app.put("/v1/leaderboards/none/members/ann", json!({"score": 1, "reason": "r"})).await.fails_with(404, "not-found");
    assert_eq!(app.get("/v1/leaderboards/race/audit").await.is(200)["entries"], json!([]));
}

#[tokio::test]
async fn the_hidden_score_of_a_banned_member_is_set() {
    let app = race(two_windows("best")).await;
    app.ban("race", "ann", json!({})).await.is(201);
    let answer = app.adjust("ann", json!({"score": 15, "reason": "too high"})).await.is(200);
    assert_eq!((&answer["rank"], &answer["previous"]), (&json!(2), &json!({"score": 30, "rank": 1})));
    app.member("race", "ann").await.fails_with(404, "not-found");
    app.unban("race", "ann").await.is(204);
    app.put("/v1/bans/bob", json!({})).await.is(201);
    app.adjust("bob", json!({"score": 1, "window": "all_time", "reason": "too high"})).await.is(200);
    app.delete("/v1/bans/bob").await.is(204);
    assert_eq!(app.rankings("race", "window=all_time").await.members(), ["ann", "cid", "bob"]);
    assert_eq!(app.rankings("race", "").await.members(), ["bob", "ann", "cid"]);
}

#[tokio::test]
async fn members_are_removed_by_score_from_all_windows() {
    for (order, expected) in [("descending", ["ann", "bob"]), ("ascending", ["bob", "ann"])] {
        let mut settings = two_windows("latest");
        settings["order"] = json!(order);
        let app = race(settings).await;
        let removed = app.remove_by_score("min_score=20&reason=impossible").await.is(200);
        let names: Vec<&Value> =
            removed["removed"].as_array().expect("removed").iter().map(|removed| &removed["member"]).collect();
        assert_eq!(
            (names, &removed["remaining"]),
            (expected.iter().map(|name| json!(name)).collect::<Vec<_>>().iter().collect(), &json!(0))
        );
        for window in ["daily", "all_time"] {
            assert_eq!(app.rankings("race", &format!("window={window}")).await.members(), ["cid"]);
        }
        let entry = app.get("/v1/leaderboards/race/audit").await.is(200)["entries"][0].clone();
        assert_eq!((&entry["action"], &entry["reason"]), (&json!("remove_by_score"), &json!("impossible")));
        let details = json!({"min_score": 20, "max_score": null, "window": "daily", "members": expected});
        assert_eq!(entry["details"], details);
    }
}

#[tokio::test]
async fn the_range_is_inclusive_and_of_the_window_asked() {
    let app = race(two_windows("sum")).await;
    app.advance(Duration::from_secs(24 * 3600));
    app.fill("race", [("ann", 1), ("bob", 2), ("cid", 3)]).await;
    let removed = app.remove_by_score("min_score=13&max_score=22&window=all_time").await.is(200);
    assert_eq!(removed["removed"], json!([{"member": "bob", "score": 22}, {"member": "cid", "score": 13}]));
    assert_eq!(app.rankings("race", "").await.members(), ["ann"]);
    let none = app.remove_by_score("min_score=2&max_score=5").await.is(200);
    assert_eq!(*none.json(), json!({"removed": [], "remaining": 0}));
    app.remove_by_score("min_score=2&window=none").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn many_members_are_removed_in_calls_of_a_thousand() {
    let app = TestApp::spawn().await;
    let names: Vec<String> = (0..1300).map(|number| format!("m{number}")).collect();
    for chunk in names.chunks(1000) {
        app.fill("race", chunk.iter().map(|name| (name.as_str(), 7))).await;
    }
    app.submit("race", "ann", 1).await;
    let first = app.remove_by_score("min_score=7").await.is(200);
    assert_eq!((first["removed"].as_array().map(Vec::len), &first["remaining"]), (Some(1000), &json!(300)));
    let second = app.remove_by_score("min_score=7&limit=150").await.is(200);
    assert_eq!((second["removed"].as_array().map(Vec::len), &second["remaining"]), (Some(150), &json!(150)));
    app.remove_by_score("min_score=7").await.is(200);
    assert_eq!(app.rankings("race", "").await.members(), ["ann"]);
}

#[tokio::test]
async fn a_bad_range_is_refused_by_name() {
    let app = race(json!({})).await;
    for (query, parameter) in [
        ("", "min_score"),
        ("min_score=5&max_score=4", "min_score"),
        ("min_score=x", "min_score"),
        ("max_score=NaN", "max_score"),
        ("max_score=inf", "max_score"),
        ("min_score=1&limit=1001", "limit"),
        ("min_score=1&reason=", "reason"),
        ("min_score=1&member=ann", "member"),
    ] {
        app.remove_by_score(query).await.fails_at(&[parameter]);
    }
    assert_eq!(app.rankings("race", "").await["total"], 3);
}

#[tokio::test]
async fn what_was_done_is_listed_the_newest_first() {
    let app = race(json!({})).await;
    app.ban("race", "ann", json!({"shadow": true, "reason": "watched"})).await.is(201);
    app.advance(Duration::from_secs(1));
    app.adjust("bob", json!({"score": 25, "reason": "lost"})).await.is(200);
    app.delete("/v1/leaderboards/race/members/cid").await.is(204);
    app.delete("/v1/leaderboards/race/members/cid").await.fails_with(404, "not-found");
    app.unban("race", "ann").await.is(204);
    let list = app.get("/v1/leaderboards/race/audit?limit=3").await.is(200);
    let (early, late) = ("2026-11-23T05:40:00.000Z", "2026-11-23T05:40:01.000Z");
    let expected = json!([
        {"at": late, "by": "anyone", "action": "unban", "member": "ann"},
        {"at": late, "by": "anyone", "action": "remove", "member": "cid"},
        {"at": late, "by": "anyone", "action": "adjust", "member": "bob", "reason": "lost", "details": {"score": 25}},
    ]);
    assert_eq!(list["entries"], expected);
    let cursor = list.next_cursor().expect("there is more");
    app.adjust("bob", json!({"score": 26, "reason": "between the pages"})).await.is(200);
    let rest = app.get(format!("/v1/leaderboards/race/audit?limit=3&cursor={cursor}")).await.is(200);
    let expected = json!([{"at": early, "by": "anyone", "action": "ban", "member": "ann", "reason": "watched",
        "details": {"shadow": true}}]);
    assert_eq!((&rest["entries"], rest.next_cursor()), (&expected, None));
    app.get("/v1/leaderboards/race/audit?cursor=bm9uZQ").await.fails_with(400, "malformed-request");
    app.get("/v1/leaderboards/none/audit").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn the_list_of_what_was_done_is_bounded() {
    let app = race(json!({})).await;
    app.adjust("ann", json!({"score": 1, "reason": "the first"})).await.is(200);
    let key = app.keys().into_iter().find(|key| key.contains(":audit:")).expect("a list");
    let mut redis = app.redis();
    let mut pipe = redis::pipe();
    for _ in 0..10_000 {
        pipe.cmd("XADD").arg(&key).arg("*").arg(&["at", "0", "entry", "{\"by\":\"x\",\"action\":\"ban\"}"]).ignore();
    }
    pipe.query::<()>(&mut redis).expect("XADD works");
    app.adjust("ann", json!({"score": 2, "reason": "the last"})).await.is(200);
    let length: u64 = redis::cmd("XLEN").arg(&key).query(&mut redis).expect("XLEN works");
    assert_eq!(length, 10_000);
    assert_eq!(app.get("/v1/leaderboards/race/audit?limit=1").await["entries"][0]["reason"], "the last");
}
