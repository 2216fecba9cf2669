//! Submitting many scores at once.

use serde_json::{Value, json};

use crate::support::TestApp;

#[tokio::test]
async fn each_item_is_answered_in_its_place() {
    let app = TestApp::spawn().await;
    let answer = app.fill("race", [("bob", 2), ("alice", 3), ("carol", 1)]).await;
    let expected = json!({"results": [
        {"status": 200, "member": "bob", "score": 2, "rank": 1, "updated": true},
        {"status": 200, "member": "alice", "score": 3, "rank": 1, "updated": true},
        {"status": 200, "member": "carol", "score": 1, "rank": 3, "updated": true},
    ]});
    assert_eq!(answer.json(), &expected);
}

#[tokio::test]
async fn bad_items_fail_alone() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"max_score": 100})).await;
    let answer = app
        .batch(
            "race",
            vec![
                json!({"member": "alice", "score": 1}),
                json!({"member": "", "score": 1}),
                json!({"member": "bob", "score": 2}),
                json!({"member": "carol", "score": "x"}),
                json!({"member": "dave", "score": 101}),
                json!({"member": "eve", "score": 3, "colour": 1}),
                json!(5),
                json!({"member": "frank", "score": 4, "segments": {"country": "KR"}}),
                json!({"member": "grace", "score": 5}),
                json!({"member": "heidi", "score": 1, "if_period": {"all_time": "closed"}}),
                json!({"member": "ivan", "score": 1, "idempotency_key": "with space"}),
            ],
        )
        .await
        .is(200);
    let results = answer["results"].as_array().expect("results");
    let statuses: Vec<&Value> = results.iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, [200, 422, 200, 422, 422, 422, 422, 422, 200, 409, 422]);
    for (number, pointer) in [
        (1, "/scores/1/member"),
        (3, "/scores/3/score"),
        (4, "/scores/4/score"),
        (5, "/scores/5/colour"),
        (6, "/scores/6"),
        (7, "/scores/7/segments/country"),
        (10, "/scores/10/idempotency_key"),
    ] {
        let problem = &results[number]["problem"];
        assert_eq!((&problem["type"], &problem["status"]), (&json!("/problems/invalid"), &json!(422)));
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert_eq!(results[number]["updated"], false);
    }
    assert_eq!(results[9]["problem"]["type"], "/problems/period-closed");
    assert_eq!(results[4]["member"], "dave", "an item that could be read is named");
    assert_eq!(app.rankings("race", "").await.members(), ["grace", "bob", "alice"]);
}

#[tokio::test]
async fn a_batch_of_bad_items_changes_nothing() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    let answer = app.batch("race", vec![json!({"member": "alice"}), json!(null)]).await.is(200);
    assert_eq!((&answer["results"][0]["status"], &answer["results"][1]["status"]), (&json!(422), &json!(422)));
    assert_eq!(app.rankings("race", "").await["total"], 0);
}

#[tokio::test]
async fn an_empty_batch_has_no_results() {
    let app = TestApp::spawn().await;
    assert_eq!(app.batch("race", Vec::new()).await.is(200).json(), &json!({"results": []}));
}

#[tokio::test]
async fn a_batch_has_at_most_1000_items() {
    let app = TestApp::spawn().await;
    let items: Vec<Value> = (0..1001).map(|number| json!({"member": format!("m{number}"), "score": number})).collect();
    app.batch("race", items.clone()).await.fails_at(&["/scores"]);
    app.rankings("race", "").await.fails_with(404, "not-found");
    let answer = app.batch("race", items[..1000].to_vec()).await.is(200);
    let results = answer["results"].as_array().expect("results");
    assert!(results.iter().zip(0..).all(|(result, number)| result["member"] == format!("m{number}")));
    assert_eq!(results.len(), 1000);
    assert_eq!(app.rankings("race", "").await["total"], 1000);
}

#[tokio::test]
async fn a_batch_names_what_is_wrong_with_itself() {
    let app = TestApp::spawn().await;
    for (body, pointer) in [
        (json!({}), "/scores"),
        (json!({"scores": null}), "/scores"),
        (json!({"scores": {}}), "/scores"),
        (json!({"scores": [], "colour": 1}), "/colour"),
        (json!([]), ""),
    ] {
        app.post("/v1/leaderboards/race/scores/batch", body).await.fails_at(&[pointer]);
    }
    app.get("/v1/leaderboards/race").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn ranks_may_be_left_out() {
    let app = TestApp::spawn().await;
    let items = json!({"scores": [{"member": "alice", "score": 1}, {"member": "bob", "score": 2}]});
    let answer = app.post("/v1/leaderboards/race/scores/batch?ranks=false", items.clone()).await.is(200);
    assert_eq!(answer["results"][1], json!({"status": 200, "member": "bob", "score": 2, "updated": true}));
    let answer = app.post("/v1/leaderboards/race/scores/batch?ranks=true", items).await.is(200);
    assert_eq!(answer["results"][1], json!({"status": 200, "member": "bob", "score": 2, "rank": 1, "updated": false}));
}

#[tokio::test]
async fn a_member_may_come_twice() {
    let app = TestApp::spawn().await;
    let answer = app.fill("race", [("alice", 5), ("alice", 3), ("alice", 7)]).await;
    let seen: Vec<(i64, bool)> = answer["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|result| (result["score"].as_i64().expect("a score"), result["updated"] == true))
        .collect();
    assert_eq!(seen, [(5, true), (5, false), (7, true)]);
    app.create("sum", json!({"operator": "sum"})).await;
    app.fill("sum", [("alice", 5), ("alice", 3)]).await;
    assert_eq!(app.member("sum", "alice").await["score"], 8);
}

#[tokio::test]
async fn equal_scores_of_one_batch_stand_in_its_order() {
    let names: Vec<String> = (0..300).map(|number| format!("m{}", (number * 7) % 300)).collect();
    for (ties, turned) in [("earliest", false), ("latest", true)] {
        let app = TestApp::spawn().await;
        app.create("race", json!({"ties": ties})).await;
        app.fill("race", names.iter().map(|name| (name.as_str(), 1))).await;
        let mut expected: Vec<&str> = names.iter().map(String::as_str).collect();
        if turned {
            expected.reverse();
        }
        assert_eq!(app.rankings("race", "limit=1000").await.members(), expected, "{ties}");
    }
}

#[tokio::test]
async fn a_limit_counts_within_a_batch() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"submission_limit": {"limit": 2, "per_ms": 60000}})).await;
    let answer = app.fill("race", [("alice", 1), ("alice", 2), ("alice", 3), ("bob", 1)]).await;
    let statuses: Vec<&Value> = answer["results"].as_array().expect("results").iter().map(|it| &it["status"]).collect();
    assert_eq!(statuses, [200, 200, 429, 200]);
    assert_eq!(answer["results"][2]["problem"]["type"], "/problems/rate-limited");
    assert_eq!(app.member("race", "alice").await["score"], 2);
}

#[tokio::test]
async fn max_entries_hold_within_a_batch() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"max_entries": 2})).await;
    let answer = app.fill("race", [("a", 1), ("b", 2), ("c", 3), ("d", 0)]).await;
    let last = &answer["results"][3];
    assert_eq!((&last["status"], &last["updated"], last.get("rank")), (&json!(200), &json!(false), None));
    assert_eq!(app.rankings("race", "").await.members(), ["c", "b"]);
}

#[tokio::test]
async fn a_sum_beyond_a_double_fails_alone() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "sum"})).await;
    let answer = app
        .batch(
            "race",
            vec![
                json!({"member": "alice", "score": 1e308}),
                json!({"member": "alice", "score": 1e308}),
                json!({"member": "bob", "score": 1}),
            ],
        )
        .await;
    let failed = &answer["results"][1];
    assert_eq!(
        (&failed["status"], &failed["problem"]["errors"][0]["pointer"]),
        (&json!(422), &json!("/scores/1/score"))
    );
    assert_eq!(answer["results"][2]["status"], 200);
}

#[tokio::test]
async fn a_batch_of_full_items_fits() {
    let app = TestApp::spawn().await;
    let metadata = "x".repeat(2000);
    let items = (0..1000).map(|number| json!({"member": format!("m{number}"), "score": number, "metadata": metadata}));
    let answer = app.batch("race", items.collect()).await.is(200);
    assert!(answer["results"].as_array().expect("results").iter().all(|result| result["status"] == 200));
    assert_eq!(app.member("race", "m999").await["metadata"], metadata);
}
