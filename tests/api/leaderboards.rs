//! Creating, changing, listing, reading and deleting leaderboards.

use serde_json::{Value, json};

use crate::support::TestApp;

#[tokio::test]
async fn a_put_creates_a_leaderboard_with_the_defaults() {
    let app = TestApp::spawn().await;
    let created = app.put("/v1/leaderboards/race", json!({})).await.is(201);
    assert_eq!(created["leaderboard"], "race");
    assert_eq!(created["entries"], 0);
    assert_eq!(created["created_at"], "2026-11-23T05:40:00.000Z");
    let defaults = json!({
        "order": "descending", "operator": "best", "ties": "earliest", "windows": [{"name": "all_time"}],
        "segments": [], "subscores": [], "min_score": null, "max_score": null, "submission_limit": null,
        "max_entries": null, "shards": 1, "rewards": [],
    });
    assert_eq!(created["settings"], defaults);
}

#[tokio::test]
async fn the_settings_given_are_the_settings_read() {
    let app = TestApp::spawn().await;
    let settings = json!({
        "order": "ascending", "operator": "sum", "ties": "member", "windows": [{"name": "all_time"}, {"name": "beta"}],
        "segments": [], "subscores": [{"name": "time_ms", "order": "ascending"}, {"name": "kills", "order": "descending"}],
        "min_score": -10.5, "max_score": 1e300, "submission_limit": {"limit": 10, "per_ms": 60000},
        "max_entries": 9_007_199_254_740_991_u64, "shards": 1, "rewards": [],
    });
    app.create("race", settings.clone()).await;
    assert_eq!(app.get("/v1/leaderboards/race").await.is(200)["settings"], settings);
}

#[tokio::test]
async fn a_second_put_replaces_all_settings() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"max_score": 10, "max_entries": 5})).await;
    app.advance(std::time::Duration::from_secs(60));
    let changed = app.put("/v1/leaderboards/race", json!({"min_score": 1})).await.is(200);
    assert_eq!(changed["settings"]["min_score"], 1);
    assert_eq!(changed["settings"]["max_score"], Value::Null, "what is left out has its default");
    assert_eq!(changed["settings"]["max_entries"], Value::Null);
    assert_eq!(changed["created_at"], "2026-11-23T05:40:00.000Z", "a change creates nothing");
}

#[tokio::test]
async fn a_change_of_settings_keeps_the_entries() {
    let app = TestApp::spawn().await;
    app.submit("race", "alice", 5).await;
    let changed = app.put("/v1/leaderboards/race", json!({"max_score": 10})).await.is(200);
    assert_eq!(changed["entries"], 1);
    assert_eq!(app.rankings("race", "").await.members(), ["alice"]);
}

#[tokio::test]
async fn what_a_ranking_with_entries_cannot_change_is_a_conflict() {
    let app = TestApp::spawn().await;
    app.submit("race", "alice", 5).await;
    for settings in [
        json!({"order": "ascending"}),
        json!({"operator": "sum"}),
        json!({"ties": "latest"}),
        json!({"subscores": [{"name": "time"}]}),
    ] {
        app.put("/v1/leaderboards/race", settings).await.fails_with(409, "conflict");
    }
    let kept = app.get("/v1/leaderboards/race").await;
    assert_eq!(
        (&kept["settings"]["order"], &kept["settings"]["operator"], &kept["settings"]["ties"]),
        (&json!("descending"), &json!("best"), &json!("earliest"))
    );
    assert_eq!(kept["settings"]["subscores"], json!([]));
}

#[tokio::test]
async fn a_ranking_without_entries_can_change_everything() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    app.submit("race", "alice", 5).await;
    app.delete("/v1/leaderboards/race/members/alice").await.is(204);
    let settings = json!({"order": "ascending", "operator": "sum", "ties": "member", "subscores": [{"name": "time"}]});
    app.put("/v1/leaderboards/race", settings).await.is(200);
    app.submit_row("race", json!({"member": "bob", "score": 3, "subscores": {"time": 1}})).await.is(200);
    let sum = app.submit_row("race", json!({"member": "bob", "score": 4, "subscores": {"time": 1}})).await.is(200);
    assert_eq!(sum["score"], 7);
}

#[tokio::test]
async fn the_first_score_creates_its_leaderboard() {
    let app = TestApp::spawn().await;
    app.submit("race", "alice", 5).await;
    let created = app.get("/v1/leaderboards/race").await.is(200);
    assert_eq!((&created["entries"], &created["settings"]["operator"]), (&json!(1), &json!("best")));
}

#[tokio::test]
async fn the_first_batch_creates_its_leaderboard() {
    let app = TestApp::spawn().await;
    app.fill("race", [("alice", 5)]).await;
    assert_eq!(app.get("/v1/leaderboards/race").await.is(200)["entries"], 1);
}

#[tokio::test]
async fn a_refused_first_score_leaves_no_entry() {
    let app = TestApp::spawn().await;
    app.submit_row("race", json!({"member": "alice", "score": 5, "segments": {"country": "KR"}}))
        .await
        .fails_at(&["/segments/country"]);
    app.member("race", "alice").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn without_auto_creation_an_unknown_leaderboard_takes_no_scores() {
    let app = TestApp::with().without_auto_create().spawn().await;
    app.submit_row("race", json!({"member": "alice", "score": 5})).await.fails_with(404, "not-found");
    app.batch("race", vec![json!({"member": "alice", "score": 5})]).await.fails_with(404, "not-found");
    assert_eq!(app.keys(), [""; 0]);
    app.create("race", json!({})).await;
    app.submit("race", "alice", 5).await;
}

#[tokio::test]
async fn reading_creates_nothing() {
    let app = TestApp::spawn().await;
    for path in ["", "/rankings", "/members/alice", "/members/alice/around", "/around?score=1", "/distribution"] {
        app.get(format!("/v1/leaderboards/race{path}")).await.fails_with(404, "not-found");
    }
    app.post("/v1/leaderboards/race/members/lookup", json!({"members": ["alice"]})).await.fails_with(404, "not-found");
    assert_eq!(app.keys(), [""; 0]);
}

#[tokio::test]
async fn a_list_gives_every_leaderboard_once_over_several_pages() {
    let app = TestApp::spawn().await;
    let mut names: Vec<String> = (0..7).map(|number| format!("board{number}")).collect();
    names.extend(["Upper".to_owned(), "a.b-c_d".to_owned(), "0".to_owned()]);
    for name in &names {
        app.create(name, json!({})).await;
    }
    names.sort();
    let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = app.get(format!("/v1/leaderboards?limit=4{cursor}")).await.is(200);
        let rows = page["leaderboards"].as_array().expect("a list");
        assert!(rows.len() <= 4);
        found.extend(rows.iter().map(|row| row["leaderboard"].as_str().expect("a name").to_owned()));
        pages += 1;
        match page.next_cursor() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((found, pages), (names, 3));
}

#[tokio::test]
async fn a_list_that_fits_its_page_has_no_cursor() {
    let app = TestApp::spawn().await;
    assert_eq!(app.get("/v1/leaderboards").await.is(200).json(), &json!({"leaderboards": []}));
    app.create("a", json!({})).await;
    app.create("b", json!({})).await;
    assert_eq!(app.get("/v1/leaderboards?limit=2").await.next_cursor(), None);
}

#[tokio::test]
async fn a_list_shows_settings_and_sizes() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"order": "ascending"})).await;
    app.fill("race", [("alice", 1), ("bob", 2)]).await;
    let list = app.get("/v1/leaderboards").await;
    let row = &list["leaderboards"][0];
    assert_eq!((&row["entries"], &row["settings"]["order"]), (&json!(2), &json!("ascending")));
}

#[tokio::test]
async fn a_deleted_leaderboard_is_gone_from_everywhere() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "all_time"}, {"name": "beta"}], "subscores": [{"name": "time"}]}))
        .await;
    let row = json!({"member": "alice", "score": 5, "subscores": {"time": 1}, "metadata": {"level": 7}});
    app.submit_row("race", row).await.is(200);
    app.rankings("race", "ranking=dense").await.is(200);
    app.rankings("race", "ranking=dense&window=beta").await.is(200);
    assert!(!app.keys().is_empty());

    app.delete("/v1/leaderboards/race").await.is(204);
    assert_eq!(app.keys(), [""; 0]);
    app.get("/v1/leaderboards/race").await.fails_with(404, "not-found");
    app.rankings("race", "").await.fails_with(404, "not-found");
    app.member("race", "alice").await.fails_with(404, "not-found");
    assert_eq!(app.get("/v1/leaderboards").await["leaderboards"], json!([]));
    app.delete("/v1/leaderboards/race").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn after_a_deletion_only_keys_that_expire_remain() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"submission_limit": {"limit": 5, "per_ms": 60000}})).await;
    let row = json!({"member": "alice", "score": 5});
    app.request("POST", "/v1/leaderboards/race/scores").key("k1").body(row).send().await.is(200);
    app.delete("/v1/leaderboards/race").await.is(204);
    let mut redis = app.redis();
    let keys = app.keys();
    assert_eq!(keys.len(), 2, "the idempotency record and the limit log: {keys:?}");
    for key in keys {
        let ttl: i64 = redis::cmd("PTTL").arg(&key).query(&mut redis).expect("PTTL works");
        assert!(ttl > 0, "{key} stays for ever");
    }
}

#[tokio::test]
async fn a_leaderboard_created_again_is_empty() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"order": "ascending", "submission_limit": {"limit": 1, "per_ms": 60000}})).await;
    app.submit("race", "alice", 5).await;
    app.delete("/v1/leaderboards/race").await.is(204);
    app.create("race", json!({"submission_limit": {"limit": 1, "per_ms": 60000}})).await;
    assert_eq!(app.rankings("race", "").await.is(200)["total"], 0);
    let first = app.submit("race", "alice", 3).await;
    assert_eq!(first["previous"], Value::Null, "and the old submissions count against no limit");
}

#[tokio::test]
async fn lowering_max_entries_trims_at_once() {
    let app = TestApp::spawn().await;
    let names: Vec<String> = (0..500).map(|number| format!("m{number}")).collect();
    app.create("race", json!({"windows": [{"name": "all_time"}, {"name": "beta"}]})).await;
    app.fill("race", names.iter().map(String::as_str).zip(0..)).await;
    let trimmed = app
        .put("/v1/leaderboards/race", json!({"max_entries": 3, "windows": [{"name": "all_time"}, {"name": "beta"}]}));
    assert_eq!(trimmed.await.is(200)["entries"], 3);
    for window in ["all_time", "beta"] {
        let left = app.rankings("race", &format!("window={window}")).await;
        assert_eq!(left.members(), ["m499", "m498", "m497"], "{window}");
        assert_eq!(left["total"], 3);
    }
    app.member("race", "m0").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_window_that_goes_takes_its_entries_along() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "all_time"}, {"name": "beta"}]})).await;
    app.submit("race", "alice", 5).await;
    app.put("/v1/leaderboards/race", json!({"windows": [{"name": "all_time"}]})).await.is(200);
    app.rankings("race", "window=beta").await.fails_with(404, "not-found");
    app.put("/v1/leaderboards/race", json!({"windows": [{"name": "all_time"}, {"name": "beta"}]})).await.is(200);
    assert_eq!(app.rankings("race", "window=beta").await["total"], 0);
    assert_eq!(app.rankings("race", "window=all_time").await["total"], 1);
}

#[tokio::test]
async fn every_broken_rule_of_the_settings_is_named_at_once() {
    let app = TestApp::spawn().await;
    let settings = json!({
        "min_score": 2, "max_score": 1, "max_entries": 0, "windows": [], "shards": 0,
        "submission_limit": {"limit": 0, "per_ms": 0},
        "subscores": [{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "d"}, {"name": "a"}],
    });
    let refused = app.put("/v1/leaderboards/race", settings).await.fails_with(422, "invalid");
    let mut pointers = refused.pointers();
    pointers.sort_unstable();
    pointers.dedup();
    let expected = [
        "/max_entries",
        "/min_score",
        "/shards",
        "/submission_limit/limit",
        "/submission_limit/per_ms",
        "/subscores",
        "/windows",
    ];
    assert_eq!(pointers, expected);
    app.get("/v1/leaderboards/race").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn settings_that_break_a_rule_are_refused() {
    let app = TestApp::spawn().await;
    let many_windows: Vec<Value> = (0..17).map(|number| json!({"name": format!("w{number}")})).collect();
    for (settings, pointer) in [
        (json!({"order": "upward"}), "/order"),
        (json!({"min_score": "1"}), "/min_score"),
        (json!({"max_entries": -1}), "/max_entries"),
        (json!({"max_entries": 1.5}), "/max_entries"),
        (json!({"max_entries": 9_007_199_254_740_992_u64}), "/max_entries"),
        (json!({"shards": 257}), "/shards"),
        (json!({"windows": null}), "/windows"),
        (json!({"windows": many_windows}), "/windows"),
        (json!({"windows": [{"name": "a"}, {"name": "a"}]}), "/windows"),
        (json!({"windows": [{"name": "a b"}]}), "/windows/0/name"),
        (json!({"windows": [{"name": "a"}, {}]}), "/windows/1/name"),
        (json!({"windows": [{"name": "a", "colour": 1}]}), "/windows/0/colour"),
        (json!({"subscores": [{"name": "a", "order": "x"}]}), "/subscores/0/order"),
        (json!({"submission_limit": {"limit": 1}}), "/submission_limit/per_ms"),
        (json!({"submission_limit": {"limit": 1001, "per_ms": 1}}), "/submission_limit/limit"),
        (json!({"colour": "red"}), "/colour"),
    ] {
        let refused = app.put("/v1/leaderboards/race", settings.clone()).await.fails_with(422, "invalid");
        assert_eq!(refused.pointers(), [pointer], "{settings}: {}", refused.text());
    }
    assert_eq!(app.keys(), [""; 0]);
}

#[tokio::test]
async fn a_choice_of_the_wrong_type_is_refused_by_name() {
    let app = TestApp::spawn().await;
    for field in ["order", "operator", "ties"] {
        for value in [json!(null), json!(1), json!(["best"]), json!({"best": null}), json!(true)] {
            let settings = json!({field: value});
            let refused = app.put("/v1/leaderboards/race", settings.clone()).await;
            assert_eq!(
                (refused.slug(), refused.pointers()),
                ("invalid", vec![format!("/{field}").as_str()]),
                "{settings}"
            );
        }
    }
}

#[tokio::test]
async fn bounds_are_finite_numbers() {
    let app = TestApp::spawn().await;
    app.put("/v1/leaderboards/race", r#"{"max_score":1e999}"#).await.fails_at(&["/max_score"]);
    app.put("/v1/leaderboards/race", r#"{"min_score":-1.7976931348623157e308}"#).await.is(201);
    let read = app.get("/v1/leaderboards/race").await;
    assert!(read.text().contains("\"min_score\":-1.7976931348623157e"), "{}", read.text());
}
