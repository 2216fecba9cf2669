//! Members of a ranking: reading, looking around, looking up, removing.

use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

/// a 50, b 40, c 30, d 20, e 10.
async fn five(app: &TestApp) {
    app.fill("race", [("a", 50), ("b", 40), ("c", 30), ("d", 20), ("e", 10)]).await;
}

async fn around(app: &TestApp, member: &str, query: &str) -> Answer {
    app.get(format!("/v1/leaderboards/race/members/{member}/around?{query}")).await.is(200)
}

#[tokio::test]
async fn a_member_is_read_with_its_percentile() {
    let app = TestApp::spawn().await;
    five(&app).await;
    let entry = app.member("race", "b").await.is(200);
    let expected = json!({
        "rank": 2, "member": "b", "score": 40, "achieved_at": "2026-11-23T05:40:00.000Z", "percentile": 80.0, "total": 5,
    });
    assert_eq!(entry.json(), &expected);
    assert_eq!(app.member("race", "a").await["percentile"], 100.0);
    assert_eq!(app.member("race", "e").await["percentile"], 20.0);
}

#[tokio::test]
async fn the_percentile_goes_by_the_rank_asked_for() {
    let app = TestApp::spawn().await;
    app.fill("race", [("a", 5), ("b", 4), ("c", 4), ("d", 3)]).await;
    for (ranking, percentile) in [("ordinal", 50.0), ("competition", 75.0)] {
        let entry = app.get(format!("/v1/leaderboards/race/members/c?ranking={ranking}")).await;
        assert_eq!(entry["percentile"], percentile, "{ranking}");
    }
    let dense = app.get("/v1/leaderboards/race/members/d?ranking=dense").await;
    assert_eq!((&dense["rank"], &dense["percentile"]), (&json!(3), &json!(25.0)));
}

#[tokio::test]
async fn an_absent_member_is_not_found() {
    let app = TestApp::spawn().await;
    five(&app).await;
    app.member("race", "nobody").await.fails_with(404, "not-found");
    app.get("/v1/leaderboards/race/members/nobody/around").await.fails_with(404, "not-found");
    app.delete("/v1/leaderboards/race/members/nobody").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn around_a_member_are_its_neighbours() {
    let app = TestApp::spawn().await;
    five(&app).await;
    let middle = around(&app, "c", "radius=1").await;
    assert_eq!((middle.members(), middle.ranks()), (vec!["b", "c", "d"], vec![2, 3, 4]));
    assert_eq!((&middle["total"], middle.next_cursor()), (&json!(5), None));
    assert_eq!(around(&app, "c", "").await.members(), ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn at_the_edges_there_are_fewer_neighbours() {
    let app = TestApp::spawn().await;
    five(&app).await;
    assert_eq!(around(&app, "a", "radius=2").await.members(), ["a", "b", "c"]);
    assert_eq!(around(&app, "b", "radius=2").await.members(), ["a", "b", "c", "d"]);
    assert_eq!(around(&app, "e", "radius=100").await.members(), ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn the_next_one_above_is_named_with_the_gap() {
    let app = TestApp::spawn().await;
    five(&app).await;
    assert_eq!(around(&app, "c", "radius=1").await["next"], json!({"member": "b", "gap": 10}));
    assert!(around(&app, "a", "").await.json().get("next").is_none(), "nobody is above the first");
}

#[tokio::test]
async fn a_radius_of_0_gives_the_member_alone_and_still_the_next() {
    let app = TestApp::spawn().await;
    five(&app).await;
    for ranking in ["ordinal", "competition", "dense"] {
        let alone = around(&app, "c", &format!("radius=0&ranking={ranking}")).await;
        assert_eq!((alone.members(), alone.ranks()), (vec!["c"], vec![3]));
        assert_eq!(alone["next"], json!({"member": "b", "gap": 10}));
    }
    assert_eq!(around(&app, "a", "radius=0").await.members(), ["a"]);
}

#[tokio::test]
async fn a_gap_is_never_negative() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"order": "ascending"})).await;
    app.fill("race", [("a", -10), ("b", 5), ("c", 5)]).await;
    assert_eq!(around(&app, "b", "").await["next"], json!({"member": "a", "gap": 15}));
    assert_eq!(around(&app, "c", "").await["next"], json!({"member": "b", "gap": 0}));
}

#[tokio::test]
async fn around_a_member_equal_scores_share_ranks_as_asked() {
    let app = TestApp::spawn().await;
    app.fill("race", [("a", 50), ("b", 40), ("c", 40), ("d", 40), ("e", 30)]).await;
    for (ranking, ranks) in [("competition", [2, 2, 5]), ("dense", [2, 2, 3])] {
        assert_eq!(around(&app, "d", &format!("radius=1&ranking={ranking}")).await.ranks(), ranks, "{ranking}");
    }
}

async fn lookup(app: &TestApp, members: Value, query: &str) -> Answer {
    app.post(format!("/v1/leaderboards/race/members/lookup?{query}"), json!({"members": members})).await.is(200)
}

#[tokio::test]
async fn a_lookup_is_a_ranking_among_those_asked_for() {
    let app = TestApp::spawn().await;
    five(&app).await;
    let friends = lookup(&app, json!(["e", "nobody", "b", "d", "noone"]), "").await;
    assert_eq!((friends.members(), friends.ranks()), (vec!["b", "d", "e"], vec![2, 4, 5]));
    let places: Vec<&Value> = friends["entries"].as_array().expect("entries").iter().map(|it| &it["place"]).collect();
    assert_eq!(places, [1, 2, 3]);
    assert_eq!(friends["missing"], json!(["nobody", "noone"]));
}

#[tokio::test]
async fn a_member_looked_up_twice_counts_once() {
    let app = TestApp::spawn().await;
    five(&app).await;
    let friends = lookup(&app, json!(["c", "a", "c", "nobody", "nobody"]), "").await;
    assert_eq!((friends.members(), &friends["missing"]), (vec!["a", "c"], &json!(["nobody"])));
}

#[tokio::test]
async fn a_lookup_orders_equal_scores_as_the_ranking_does() {
    for ties in ["earliest", "latest", "member"] {
        let app = TestApp::spawn().await;
        app.create("race", json!({"ties": ties, "subscores": [{"name": "time"}]})).await;
        for (member, time) in [("c", 1), ("a", 1), ("d", 2), ("b", 1)] {
            let row = json!({"member": member, "score": 7, "subscores": {"time": time}, "metadata": member});
            app.submit_row("race", row).await.is(200);
        }
        let friends = lookup(&app, json!(["a", "b", "c", "d"]), "").await;
        let ranking = app.rankings("race", "").await;
        assert_eq!(friends.members(), ranking.members(), "{ties}");
        assert_eq!(friends.ranks(), [1, 2, 3, 4]);
        assert_eq!(friends.entry("d")["metadata"], "d");
        assert_eq!(friends.entry("d")["subscores"], json!({"time": 2}));
    }
}

#[tokio::test]
async fn a_lookup_shares_ranks_as_asked() {
    let app = TestApp::spawn().await;
    app.fill("race", [("a", 50), ("b", 40), ("c", 40), ("d", 30)]).await;
    assert_eq!(lookup(&app, json!(["c", "d"]), "ranking=competition").await.ranks(), [2, 4]);
    assert_eq!(lookup(&app, json!(["c", "d"]), "ranking=dense").await.ranks(), [2, 3]);
}

#[tokio::test]
async fn a_lookup_takes_1000_members() {
    let app = TestApp::spawn().await;
    five(&app).await;
    let members: Vec<String> = (0..1001).map(|number| format!("m{number}")).collect();
    let found = lookup(&app, json!(members[..1000]), "").await;
    assert_eq!(found["missing"].as_array().expect("a list").len(), 1000);
    app.post("/v1/leaderboards/race/members/lookup", json!({"members": members})).await.fails_at(&["/members"]);
    assert_eq!(lookup(&app, json!([]), "").await.json(), &json!({"entries": [], "missing": []}));
}

#[tokio::test]
async fn a_lookup_names_the_bad_member() {
    let app = TestApp::spawn().await;
    five(&app).await;
    for (body, pointer) in [
        (json!({"members": ["a", ""]}), "/members/1"),
        (json!({"members": ["a", 5]}), "/members/1"),
        (json!({"members": "a"}), "/members"),
        (json!({"members": null}), "/members"),
        (json!({}), "/members"),
        (json!({"members": [], "limit": 1}), "/limit"),
    ] {
        app.post("/v1/leaderboards/race/members/lookup", body).await.fails_at(&[pointer]);
    }
}

#[tokio::test]
async fn a_removed_member_leaves_every_window() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "all_time"}, {"name": "beta"}]})).await;
    app.fill("race", [("a", 50), ("b", 40), ("c", 30)]).await;
    app.delete("/v1/leaderboards/race/members/b").await.is(204);
    for window in ["all_time", "beta"] {
        let ranking = app.rankings("race", &format!("window={window}")).await;
        assert_eq!((ranking.members(), ranking.ranks()), (vec!["a", "c"], vec![1, 2]), "{window}");
    }
    app.member("race", "b").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_removed_member_starts_anew() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "sum"})).await;
    app.submit_row("race", json!({"member": "a", "score": 50, "metadata": 1})).await.is(200);
    app.delete("/v1/leaderboards/race/members/a").await.is(204);
    let anew = app.submit("race", "a", 5).await;
    assert_eq!((&anew["score"], &anew["previous"]), (&json!(5), &Value::Null));
    assert!(app.member("race", "a").await.json().get("metadata").is_none());
}

#[tokio::test]
async fn every_read_has_windows_and_periods() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "all_time"}, {"name": "beta"}]})).await;
    five(&app).await;
    for path in ["/rankings?", "/members/a?", "/members/a/around?", "/around?score=1&", "/distribution?"] {
        let path = format!("/v1/leaderboards/race{path}");
        app.get(format!("{path}window=beta&period=open")).await.is(200);
        app.get(format!("{path}window=weekly")).await.fails_with(404, "not-found");
        app.get(format!("{path}period=2026-11-16T00:00:00.000Z")).await.fails_with(404, "not-found");
        app.get(format!("{path}segment=country:KR")).await.fails_at(&["segment"]);
    }
}
