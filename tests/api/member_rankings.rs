//! One member in many leaderboards.

use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

async fn rankings_of(app: &TestApp, member: &str, query: &str) -> Answer {
    app.get(format!("/v1/members/{member}/rankings?{query}")).await
}

fn leaderboards(answer: &Answer) -> Vec<&Value> {
    answer["rankings"].as_array().expect("a list").iter().map(|ranking| &ranking["leaderboard"]).collect()
}

#[tokio::test]
async fn a_member_is_read_in_many_leaderboards() {
    let app = TestApp::spawn().await;
    app.create("laps", json!({"order": "ascending", "subscores": [{"name": "crashes", "order": "ascending"}]})).await;
    app.fill("race", [("ann", 10), ("bob", 20)]).await;
    app.submit_row(
        "laps",
        json!({"member": "ann", "score": 91.5, "subscores": {"crashes": 2}, "metadata": {"car": 7}}),
    )
    .await
    .is(200);
    let read = rankings_of(&app, "ann", "leaderboards=race,laps").await.is(200);
    let expected = json!({"rankings": [
        {"leaderboard": "race", "window": "all_time", "period": "open", "rank": 2, "member": "ann", "score": 10,
            "achieved_at": "2026-11-23T05:40:00.000Z", "total": 2},
        {"leaderboard": "laps", "window": "all_time", "period": "open", "rank": 1, "member": "ann", "score": 91.5,
            "subscores": {"crashes": 2}, "achieved_at": "2026-11-23T05:40:00.000Z", "metadata": {"car": 7}, "total": 1},
    ], "missing": []});
    assert_eq!(read.json(), &expected);
}

#[tokio::test]
async fn what_does_not_hold_the_member_is_missing() {
    let app = TestApp::spawn().await;
    app.create("weekly", json!({"windows": [{"name": "week"}, {"name": "all_time"}]})).await;
    app.submit("weekly", "ann", 1).await;
    app.submit("race", "ann", 1).await;
    app.submit("others", "bob", 1).await;
    let read = rankings_of(&app, "ann", "leaderboards=nothing,weekly,others,race&window=week").await.is(200);
    assert_eq!(leaderboards(&read), ["weekly"]);
    assert_eq!(read["rankings"][0]["window"], "week");
    assert_eq!(read["missing"], json!(["nothing", "others", "race"]));
    assert_eq!(app.get("/v1/leaderboards/nothing").await.status, 404, "a read creates nothing");
}

#[tokio::test]
async fn they_come_in_the_order_asked_and_each_once() {
    let app = TestApp::spawn().await;
    for board in ["a", "b", "c"] {
        app.submit(board, "ann", 1).await;
    }
    let read = rankings_of(&app, "ann", "leaderboards=c,a,x,c,b,x").await.is(200);
    assert_eq!(leaderboards(&read), ["c", "a", "b"]);
    assert_eq!(read["missing"], json!(["x"]));
}

#[tokio::test]
async fn a_hundred_leaderboards_are_read_and_no_more() {
    let app = TestApp::spawn().await;
    let names: Vec<String> = (0..101).map(|number| format!("board{number}")).collect();
    for name in names.iter().step_by(10) {
        app.submit(name, "名前", 1).await;
    }
    let member = crate::support::encoded("名前");
    let read = rankings_of(&app, &member, &format!("leaderboards={}", names[..100].join(","))).await.is(200);
    assert_eq!(leaderboards(&read).len(), 10);
    assert_eq!(read["missing"].as_array().map(Vec::len), Some(90));
    rankings_of(&app, &member, &format!("leaderboards={}", names.join(","))).await.fails_at(&["leaderboards"]);
    let repeated = format!("leaderboards={},board0", names[..100].join(","));
    rankings_of(&app, &member, &repeated).await.fails_at(&["leaderboards"]);
    let twice = format!("leaderboards={},board0", names[..99].join(","));
    assert_eq!(leaderboards(&rankings_of(&app, &member, &twice).await.is(200)).len(), 10);
}

#[tokio::test]
async fn bad_parameters_are_refused_by_name() {
    let app = TestApp::spawn().await;
    for (query, pointer) in [
        ("", "leaderboards"),
        ("leaderboards=", "leaderboards"),
        ("leaderboards=a,,b", "leaderboards"),
        ("leaderboards=a,b%20c", "leaderboards"),
        ("leaderboards=a&leaderboards=b", "leaderboards"),
        ("leaderboards=a&window=%20", "window"),
        ("leaderboards=a&limit=1", "limit"),
    ] {
        rankings_of(&app, "ann", query).await.fails_at(&[pointer]);
    }
    rankings_of(&app, &"x".repeat(129), "leaderboards=a").await.fails_at(&["member"]);
    app.post("/v1/members/ann/rankings?leaderboards=a", json!({})).await.fails_with(405, "method-not-allowed");
}

#[tokio::test]
async fn the_answer_has_a_tag_and_needs_the_token() {
    let app = TestApp::with().admin_token("secret").spawn().await;
    app.submit("race", "ann", 1).await;
    let target = "/v1/members/ann/rankings?leaderboards=race";
    let read = app.get(target).await.is(200);
    app.request("GET", target).header("if-none-match", read.header("etag")).send().await.is(304);
    app.request("GET", target).without_token().send().await.fails_with(401, "unauthenticated");
}

#[tokio::test]
async fn one_that_is_deleted_elsewhere_is_missing_at_once() {
    let app = TestApp::spawn().await;
    app.submit("race", "ann", 1).await;
    rankings_of(&app, "ann", "leaderboards=race").await.is(200);
    app.delete("/v1/leaderboards/race").await.is(204);
    assert_eq!(rankings_of(&app, "ann", "leaderboards=race").await["missing"], json!(["race"]));
}
