//! Bans of members on one leaderboard.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Request, TestApp};

const TO_MIDNIGHT: Duration = Duration::from_secs(18 * 3600 + 20 * 60);

impl TestApp {
    pub async fn ban(&self, board: &str, member: &str, body: Value) -> Answer {
        self.put(format!("/v1/leaderboards/{board}/bans/{member}"), body).await
    }

    pub async fn unban(&self, board: &str, member: &str) -> Answer {
        self.delete(format!("/v1/leaderboards/{board}/bans/{member}")).await
    }
}

fn keyed<'a>(app: &'a TestApp, row: &Value) -> Request<'a> {
    app.request("POST", "/v1/leaderboards/race/scores").key("k1").body(row.clone())
}

/// Three members, two of them equal, in two windows.
async fn race(settings: Value) -> TestApp {
    let app = TestApp::spawn().await;
    app.create("race", settings).await;
    app.fill("race", [("ann", 30), ("bob", 20), ("cid", 20)]).await;
    app
}

#[tokio::test]
async fn a_banned_member_vanishes_and_ranks_close_up() {
    let app = race(json!({"windows": [{"name": "daily", "reset": "daily"}, {"name": "all_time"}]})).await;
    app.rankings("race", "ranking=dense").await.is(200);
    let ban = app.ban("race", "ann", json!({"reason": "speed hack"})).await.is(201);
    let expected = json!({"member": "ann", "shadow": false, "reason": "speed hack",
        "banned_at": "2026-11-23T05:40:00.000Z", "banned_by": "anyone"});
    assert_eq!(*ban.json(), expected);
    for window in ["daily", "all_time"] {
        let list = app.rankings("race", &format!("window={window}")).await.is(200);
        assert_eq!((list.members(), list.ranks(), &list["total"]), (vec!["bob", "cid"], vec![1, 2], &json!(2)));
        let dense = app.rankings("race", &format!("window={window}&ranking=dense")).await.is(200);
        assert_eq!(dense.ranks(), [1, 1]);
    }
    app.member("race", "ann").await.fails_with(404, "not-found");
    app.get("/v1/leaderboards/race/members/ann/around").await.fails_with(404, "not-found");
    let found = app.post("/v1/leaderboards/race/members/lookup", json!({"members": ["ann", "bob"]})).await;
    assert_eq!((found.members(), &found["missing"]), (vec!["bob"], &json!(["ann"])));
    assert_eq!(app.get("/v1/leaderboards/race/distribution").await["max"], 20);
    assert_eq!(app.get("/v1/leaderboards/race").await["entries"], 2);
    assert_eq!(app.get("/v1/members/ann/rankings?leaderboards=race").await["missing"], json!(["race"]));
    let exported = app.get("/v1/leaderboards/race/export").await.is(200);
    assert!(!exported.text().contains("ann"), "{}", exported.text());
}

#[tokio::test]
async fn submissions_of_a_banned_member_are_refused_and_change_nothing() {
    let app = race(json!({"operator": "sum"})).await;
    app.ban("race", "ann", json!({})).await.is(201);
    let refused = app.submit_row("race", json!({"member": "ann", "score": 5})).await;
    assert_eq!(refused.fails_with(403, "banned").detail(), "member `ann` is banned");
    let batch =
        app.batch("race", vec![json!({"member": "ann", "score": 5}), json!({"member": "bob", "score": 1})]).await;
    let results = &batch.is(200)["results"];
    assert_eq!((&results[0]["status"], &results[0]["problem"]["type"]), (&json!(403), &json!("/problems/banned")));
    assert_eq!((&results[1]["status"], &results[1]["score"]), (&json!(200), &json!(21)));
    app.unban("race", "ann").await.is(204);
    assert_eq!(app.member("race", "ann").await["score"], 30);
}

#[tokio::test]
async fn a_ban_that_is_lifted_brings_the_entries_back_as_they_were() {
    let app = race(json!({"windows": [{"name": "all_time"}, {"name": "daily", "reset": "daily"}],
        "subscores": [{"name": "laps", "order": "descending"}]}))
    .await;
    let row = |member: &str, laps| json!({"member": member, "score": 7, "subscores": {"laps": laps}, "metadata": {"m": laps}});
    for (member, laps) in [("eve", 3), ("fay", 3), ("gil", 1)] {
        app.submit_row("race", row(member, laps)).await.is(200);
    }
    let read = async || (app.rankings("race", "").await.is(200), app.rankings("race", "window=daily").await.is(200));
    let before = read().await;
    for member in ["eve", "fay", "gil"] {
        app.ban("race", member, json!({})).await.is(201);
    }
    assert_eq!(app.rankings("race", "").await["total"], 0);
    for member in ["gil", "fay", "eve"] {
        app.unban("race", member).await.is(204);
    }
    let after = read().await;
    assert_eq!((after.0.json(), after.1.json()), (before.0.json(), before.1.json()));
    app.unban("race", "eve").await.fails_with(404, "not-found");
    let keys = app.keys();
    assert!(!keys.iter().any(|key| key.contains(":hidden:") || key.contains(":bans:")), "{keys:?}");
}

#[tokio::test]
async fn a_shadow_ban_is_not_noticed_by_who_submits() {
    let app = race(json!({"operator": "sum", "max_entries": 3})).await;
    app.ban("race", "bob", json!({"shadow": true})).await.is(201);
    let answer = app.submit("race", "bob", 5).await;
    assert_eq!((&answer["score"], &answer["rank"], &answer["updated"]), (&json!(25), &json!(2), &json!(true)));
    assert_eq!(answer["previous"], json!({"score": 20, "rank": 2}));
    let answer = app.submit("race", "bob", 10).await;
    assert_eq!((&answer["score"], &answer["rank"]), (&json!(35), &json!(1)));
    assert_eq!(answer["previous"], json!({"score": 25, "rank": 2}));
    let batch = app.batch("race", vec![json!({"member": "bob", "score": 1})]).await.is(200);
    assert_eq!(batch["results"], json!([{"status": 200, "member": "bob", "score": 36, "rank": 1, "updated": true}]));
    app.member("race", "bob").await.fails_with(404, "not-found");
    assert_eq!(app.rankings("race", "").await.members(), ["ann", "cid"]);
    app.unban("race", "bob").await.is(204);
    assert_eq!(app.member("race", "bob").await["score"], 36);
}

#[tokio::test]
async fn a_shadow_banned_member_that_is_new_is_kept_and_not_seen() {
    let app = race(json!({"submission_limit": {"limit": 3, "per_ms": 60_000}})).await;
    app.ban("race", "zoe", json!({"shadow": true})).await.is(201);
    let answer = app.submit("race", "zoe", 25).await;
    assert_eq!((&answer["rank"], &answer["previous"]), (&json!(2), &Value::Null));
    let again = app.submit("race", "zoe", 10).await;
    assert_eq!((&again["score"], &again["rank"], &again["updated"]), (&json!(25), &json!(2), &json!(false)));
    app.submit("race", "zoe", 26).await;
    app.submit_row("race", json!({"member": "zoe", "score": 27})).await.fails_with(429, "rate-limited");
    assert_eq!(app.rankings("race", "").await["total"], 3);
    app.unban("race", "zoe").await.is(204);
    assert_eq!(app.rankings("race", "").await.members(), ["ann", "zoe", "bob", "cid"]);
}

#[tokio::test]
async fn a_shadow_banned_score_that_max_entries_would_keep_out_is_kept_out() {
    let app = race(json!({"max_entries": 3})).await;
    app.ban("race", "zoe", json!({"shadow": true})).await.is(201);
    let answer = app.submit("race", "zoe", 10).await;
    assert_eq!((&answer["rank"], &answer["updated"]), (&Value::Null, &json!(false)));
    app.submit("race", "zoe", 40).await;
    app.unban("race", "zoe").await.is(204);
    assert_eq!(app.rankings("race", "").await.members(), ["zoe", "ann", "bob"], "the ranking is trimmed");
}

#[tokio::test]
async fn a_ban_may_change_its_kind_and_keeps_the_entries() {
    let app = race(json!({})).await;
    app.ban("race", "ann", json!({})).await.is(201);
    assert_eq!(app.ban("race", "ann", json!({"shadow": true, "reason": "watched"})).await.is(200)["shadow"], true);
    assert_eq!(app.submit("race", "ann", 50).await["previous"], json!({"score": 30, "rank": 1}));
    app.ban("race", "ann", json!({})).await.is(200);
    app.submit_row("race", json!({"member": "ann", "score": 60})).await.fails_with(403, "banned");
    app.unban("race", "ann").await.is(204);
    assert_eq!(app.member("race", "ann").await["score"], 50);
}

#[tokio::test]
async fn a_submission_made_before_the_ban_keeps_its_answer() {
    let app = race(json!({})).await;
    let row = json!({"member": "ann", "score": 40});
    let first = keyed(&app, &row).send().await.is(200);
    app.ban("race", "ann", json!({})).await.is(201);
    let again = keyed(&app, &row).send().await.is(200);
    assert!(again.was_replayed() && again.json() == first.json(), "{}", again.text());
    keyed(&app, &json!({"member": "ann", "score": 41})).send().await.fails_with(409, "idempotency-mismatch");
}

#[tokio::test]
async fn periods_that_have_ended_stay_as_they_are() {
    let app = race(json!({"windows": [{"name": "daily", "reset": "daily"}]})).await;
    let today = app.rankings("race", "").await["period"].clone();
    app.ban("race", "bob", json!({})).await.is(201);
    app.advance(TO_MIDNIGHT);
    app.ban("race", "ann", json!({"shadow": true})).await.is(201);
    let query = format!("period={}", today.as_str().expect("a period"));
    assert_eq!(app.rankings("race", &query).await.members(), ["ann", "cid"]);
    app.submit("race", "ann", 5).await;
    assert_eq!(app.rankings("race", "").await["total"], 0);
    app.unban("race", "ann").await.is(204);
    app.unban("race", "bob").await.is(204);
    assert_eq!(app.rankings("race", "").await.members(), ["ann"]);
    assert_eq!(app.rankings("race", &query).await.members(), ["ann", "cid"], "bob was not in it when it ended");
}

#[tokio::test]
async fn a_removed_member_is_gone_from_what_is_hidden_and_stays_banned() {
    let app = race(json!({})).await;
    app.ban("race", "ann", json!({"shadow": true})).await.is(201);
    app.delete("/v1/leaderboards/race/members/ann").await.is(204);
    app.delete("/v1/leaderboards/race/members/ann").await.fails_with(404, "not-found");
    assert_eq!(app.submit("race", "ann", 1).await["previous"], Value::Null);
    app.unban("race", "ann").await.is(204);
    assert_eq!(app.member("race", "ann").await["score"], 1);
}

#[tokio::test]
async fn an_import_sets_rows_of_banned_members_where_nobody_sees_them() {
    let app = race(json!({})).await;
    app.ban("race", "ann", json!({})).await.is(201);
    let rows = "{\"member\": \"ann\", \"score\": 90}\n{\"member\": \"dan\", \"score\": 10}\n";
    let request = app.request("POST", "/v1/leaderboards/race/import?format=ndjson").body(rows);
    let answer = request.header("content-type", "application/x-ndjson").send().await.is(200);
    assert_eq!(answer["imported"], 2);
    assert_eq!(app.rankings("race", "").await.members(), ["bob", "cid", "dan"]);
    app.unban("race", "ann").await.is(204);
    assert_eq!(app.member("race", "ann").await["score"], 90);
}

#[tokio::test]
async fn bans_are_listed_by_member_and_read_one_by_one() {
    let app = race(json!({})).await;
    for member in ["bob", "ann", "cid"] {
        app.ban("race", member, json!({"shadow": member == "bob"})).await.is(201);
    }
    let first = app.get("/v1/leaderboards/race/bans?limit=2").await.is(200);
    let names = |page: &Answer| -> Vec<String> {
        let bans = page["bans"].as_array().expect("bans");
        bans.iter().map(|ban| ban["member"].as_str().expect("a member").to_owned()).collect()
    };
    assert_eq!(names(&first), ["ann", "bob"]);
    let cursor = first.next_cursor().expect("there is more");
    let second = app.get(format!("/v1/leaderboards/race/bans?limit=2&cursor={cursor}")).await.is(200);
    assert_eq!((names(&second), second.next_cursor()), (vec!["cid".to_owned()], None));
    assert_eq!(app.get("/v1/leaderboards/race/bans/bob").await.is(200)["shadow"], true);
    app.get("/v1/leaderboards/race/bans/zoe").await.fails_with(404, "not-found");
    app.get("/v1/leaderboards/none/bans").await.fails_with(404, "not-found");
    app.ban("none", "ann", json!({})).await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_bad_ban_is_refused_by_name() {
    let app = race(json!({})).await;
    for (body, pointer) in [
        (json!({"reason": ""}), "/reason"),
        (json!({"reason": "x".repeat(501)}), "/reason"),
        (json!({"reason": "a\nb"}), "/reason"),
        (json!({"reason": null}), "/reason"),
        (json!({"shadow": "yes"}), "/shadow"),
        (json!({"until": 5}), "/until"),
    ] {
        app.ban("race", "ann", body).await.fails_at(&[pointer]);
    }
    app.ban("race", "ann", json!({"reason": "ä".repeat(500)})).await.is(201);
    app.request("PUT", "/v1/leaderboards/race/bans/bob").send().await.is(201);
}

#[tokio::test]
async fn what_is_hidden_holds_the_settings_and_goes_with_the_leaderboard() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    app.submit("race", "ann", 30).await;
    app.ban("race", "ann", json!({})).await.is(201);
    app.put("/v1/leaderboards/race", json!({"order": "ascending"})).await.fails_with(409, "conflict");
    app.delete("/v1/leaderboards/race").await.is(204);
    assert_eq!(app.keys(), Vec::<String>::new());
    app.submit("race", "ann", 30).await;
    assert_eq!(app.member("race", "ann").await["score"], 30);
}

#[tokio::test]
async fn bans_need_an_administrator() {
    let app = TestApp::with().admin_token("secret").spawn().await;
    app.create("race", json!({})).await;
    for (method, path) in [
        ("PUT", "/v1/leaderboards/race/bans/ann"),
        ("GET", "/v1/leaderboards/race/bans/ann"),
        ("DELETE", "/v1/leaderboards/race/bans/ann"),
        ("GET", "/v1/leaderboards/race/bans"),
        ("GET", "/v1/leaderboards/race/audit"),
        ("PUT", "/v1/bans/ann"),
        ("GET", "/v1/bans/ann"),
        ("DELETE", "/v1/bans/ann"),
        ("GET", "/v1/bans"),
        ("GET", "/v1/audit"),
    ] {
        app.request(method, path).without_token().send().await.fails_with(401, "unauthenticated");
    }
    assert_eq!(app.ban("race", "ann", json!({})).await.is(201)["banned_by"], "admin");
}
