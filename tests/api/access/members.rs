//! A player's token and the scores of others.

use serde_json::{Value, json};

use super::assert_unchanged;
use crate::support::{Answer, Request, TestApp, encoded};

const PLAYER: [&str; 2] = ["leaderboards:read", "scores:write"];

impl TestApp {
    async fn player(&self, member: &str) -> String {
        self.token_of(&PLAYER, json!({"member": member})).await
    }

    fn submission_by(&self, token: &str, row: Value) -> Request<'_> {
        self.request("POST", "/v1/leaderboards/race/scores").token(token).body(row)
    }

    fn batch_by(&self, token: &str, items: &Value) -> Request<'_> {
        self.request("POST", "/v1/leaderboards/race/scores/batch").token(token).body(json!({"scores": items}))
    }
}

fn statuses(answer: &Answer) -> Vec<u64> {
    let results = answer["results"].as_array().expect("results");
    results.iter().map(|result| result["status"].as_u64().expect("a status")).collect()
}

#[tokio::test]
async fn a_player_submits_for_nobody_else() {
    let app = TestApp::guarded().await;
    app.submit("race", "bob", 5).await;
    let ann = app.player("ann").await;
    let before = app.dump();
    let refused = app.submission_by(&ann, json!({"member": "bob", "score": 9})).send().await;
    let refused = refused.fails_with(403, "forbidden");
    assert_eq!(refused.detail(), "this token is not member `bob`'s");
    let elsewhere = app.request("POST", "/v1/leaderboards/new/scores").token(&ann);
    elsewhere.body(json!({"member": "bob", "score": 9})).send().await.fails_with(403, "forbidden");
    assert_unchanged(&before, &app.dump());
    app.submission_by(&ann, json!({"member": "ann", "score": 9})).send().await.is(200);
    assert_eq!(app.rankings("race", "").await.members(), ["ann", "bob"]);
}

#[tokio::test]
async fn in_a_players_batch_the_items_of_others_fail_alone() {
    let app = TestApp::guarded().await;
    let ann = app.player("ann").await;
    let items = json!([{"member": "bob", "score": 1}, {"member": "ann", "score": 2}, {"score": 3}, {"member": "carol", "score": 4}]);
    let answer = app.batch_by(&ann, &items).send().await.is(200);
    assert_eq!(statuses(&answer), [403, 200, 422, 403]);
    let refused = &answer["results"][0];
    assert_eq!((&refused["member"], &refused["updated"]), (&json!("bob"), &json!(false)));
    assert_eq!(refused["problem"]["type"], "/problems/forbidden");
    assert_eq!(app.rankings("race", "").await.members(), ["ann"]);
    // With keys for the whole and for items, and again: the same answer, and nothing of the others.
    let keyed = json!([
        {"member": "bob", "score": 11, "idempotency_key": "b"},
        {"member": "ann", "score": 12, "idempotency_key": "a"}
    ]);
    let first = app.batch_by(&ann, &keyed).key("whole").send().await.is(200);
    let again = app.batch_by(&ann, &keyed).key("whole").send().await.is(200);
    assert_eq!((statuses(&first), first.was_replayed()), (vec![403, 200], false));
    assert_eq!((first.json(), again.was_replayed()), (again.json(), true));
    assert_eq!(app.rankings("race", "").await.members(), ["ann"]);
}

#[tokio::test]
async fn a_batch_of_others_scores_alone_makes_nothing() {
    let app = TestApp::guarded().await;
    let ann = app.player("ann").await;
    let before = app.dump();
    let items = json!([{"member": "bob", "score": 1}, {"member": "carol", "score": 4}]);
    for key in ["", "whole"] {
        let answer = app.batch_by(&ann, &items).key(key).send().await.is(200);
        assert_eq!(statuses(&answer), [403, 403]);
    }
    assert_unchanged(&before, &app.dump());
    let strict = TestApp::with().admin_token(super::ADMIN).without_auto_create().spawn().await;
    let ann = strict.player("ann").await;
    strict.batch_by(&ann, &items).send().await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_player_learns_nothing_by_the_keys_of_others_and_takes_none_away() {
    let app = TestApp::guarded().await;
    let (ann, bob) = (app.player("ann").await, app.player("bob").await);
    let of_bob = json!({"member": "bob", "score": 5});
    app.submission_by(&bob, of_bob.clone()).key("k").send().await.is(200);
    let items = json!([{"member": "bob", "score": 6, "idempotency_key": "i"}]);
    app.batch_by(&bob, &items).key("w").send().await.is(200);
    let backend = json!({"member": "bob", "score": 7});
    app.request("POST", "/v1/leaderboards/race/scores").key("backend").body(backend.clone()).send().await.is(200);
    let before = app.dump();
    // The same request under the same key is not answered again to somebody else.
    app.submission_by(&ann, of_bob).key("k").send().await.fails_with(403, "forbidden");
    app.submission_by(&ann, backend).key("backend").send().await.fails_with(403, "forbidden");
    for key in ["w", "other"] {
        let answer = app.batch_by(&ann, &items).key(key).send().await.is(200);
        assert_eq!((statuses(&answer), answer.was_replayed()), (vec![403], false));
        assert!(answer["results"][0].get("score").is_none(), "{}", answer.text());
    }
    assert_unchanged(&before, &app.dump());
    // A key that somebody else has used is not taken for one's own.
    for key in ["k", "backend", "w"] {
        let own = app.submission_by(&ann, json!({"member": "ann", "score": 8})).key(key).send().await.is(200);
        assert!(!own.was_replayed());
        let again = app.submission_by(&ann, json!({"member": "ann", "score": 8})).key(key).send().await.is(200);
        assert!(again.was_replayed());
    }
    let another = app.player("ann").await;
    let again = app.submission_by(&another, json!({"member": "ann", "score": 8})).key("k").send().await.is(200);
    assert!(again.was_replayed(), "a new token of the player has the same keys");
}

#[tokio::test]
async fn what_looks_like_the_member_is_another_one() {
    let app = TestApp::guarded().await;
    let owner = "ann é";
    let token = app.player(owner).await;
    let before = app.dump();
    for other in [
        "ann e\u{301}",
        "Ann é",
        "ann  é",
        "ann é ",
        " ann é",
        "ann\u{a0}é",
        "аnn é",
        "ann é\u{200b}",
        "ann%20é",
        "ann+é",
        "a",
        "ann é/x",
    ] {
        let refused = app.submission_by(&token, json!({"member": other, "score": 1})).send().await;
        refused.fails_with(403, "forbidden");
    }
    assert_unchanged(&before, &app.dump());
    // The same text, written in another way.
    let escaped = r#"{"member": "\u0061nn \u00e9", "score": 1}"#;
    let same = app.request("POST", "/v1/leaderboards/race/scores").token(&token).body(escaped).send().await.is(200);
    assert_eq!(same["member"], owner);
    // A member given twice is no way around.
    let twice = r#"{"member": "ann é", "member": "bob", "score": 1}"#;
    let refused = app.request("POST", "/v1/leaderboards/race/scores").token(&token).body(twice).send().await;
    assert!(matches!(refused.status, 400 | 422), "{}", refused.text());
    assert_eq!(app.rankings("race", "").await.members(), [owner]);
}

#[tokio::test]
async fn nothing_but_submissions_lets_a_player_change_anything() {
    let app = TestApp::guarded().await;
    app.fill("race", [("ann", 1), ("bob", 2)]).await;
    let ann = app.player("ann").await;
    let before = app.dump();
    let lookup = app.request("POST", "/v1/leaderboards/race/members/lookup").token(&ann);
    let found = lookup.body(json!({"members": ["bob", "nobody"]})).send().await.is(200);
    assert_eq!(found.members(), ["bob"]);
    let rows = "{\"member\":\"ann\",\"score\":9}\n";
    let import = app.request("POST", "/v1/leaderboards/race/import").token(&ann);
    import.header("content-type", "application/x-ndjson").body(rows).send().await.fails_with(403, "forbidden");
    for member in ["ann", "bob"] {
        let target = format!("/v1/leaderboards/race/members/{}", encoded(member));
        app.request("PUT", &target).token(&ann).body(json!({"score": 9})).send().await.fails_with(403, "forbidden");
        app.request("DELETE", &target).token(&ann).send().await.fails_with(403, "forbidden");
    }
    assert_unchanged(&before, &app.dump());
}
