//! Submitting scores one by one.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::TestApp;

#[tokio::test]
async fn a_first_score_is_answered_with_its_rank() {
    let app = TestApp::spawn().await;
    let standing = app.submit("race", "alice", 1500).await;
    let expected = json!({
        "member": "alice", "score": 1500, "rank": 1, "updated": true, "previous": null,
        "windows": {"all_time": {"period": "open", "score": 1500, "rank": 1, "updated": true}},
    });
    assert_eq!(standing.json(), &expected);
}

#[tokio::test]
async fn a_better_score_is_answered_with_what_stood_before() {
    let app = TestApp::spawn().await;
    app.fill("race", [("alice", 10), ("bob", 20)]).await;
    let standing = app.submit("race", "alice", 30).await;
    assert_eq!((&standing["rank"], &standing["updated"]), (&json!(1), &json!(true)));
    assert_eq!(standing["previous"], json!({"score": 10, "rank": 2}));
}

#[tokio::test]
async fn best_keeps_the_better_score() {
    let app = TestApp::spawn().await;
    app.submit("race", "alice", 10).await;
    let standing = app.submit("race", "alice", 5).await;
    assert_eq!((&standing["score"], &standing["updated"]), (&json!(10), &json!(false)));
    assert_eq!(standing["previous"], json!({"score": 10, "rank": 1}));
    assert_eq!(app.submit("race", "alice", 11).await["score"], 11);
}

#[tokio::test]
async fn best_keeps_the_lower_score_when_ascending() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"order": "ascending"})).await;
    app.submit("race", "alice", 10).await;
    assert_eq!(app.submit("race", "alice", 20).await["score"], 10);
    assert_eq!(app.submit("race", "alice", -3).await["score"], -3);
}

#[tokio::test]
async fn latest_replaces_the_score() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "latest"})).await;
    app.submit("race", "alice", 10).await;
    let standing = app.submit("race", "alice", 5).await;
    assert_eq!((&standing["score"], &standing["updated"]), (&json!(5), &json!(true)));
    assert_eq!(standing["previous"]["score"], 10);
}

#[tokio::test]
async fn sum_adds_up_negative_scores_too() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "sum"})).await;
    app.submit("race", "alice", 10).await;
    assert_eq!(app.submit("race", "alice", -30).await["score"], -20);
    assert_eq!(app.submit("race", "alice", 0.5).await["score"], -19.5);
    assert_eq!(app.submit("race", "alice", 19.5).await["score"], 0);
    let nothing_added = app.submit("race", "alice", 0).await;
    assert_eq!(nothing_added["updated"], false);
}

#[tokio::test]
async fn sum_works_upside_down() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "sum", "order": "ascending"})).await;
    app.fill("race", [("alice", 10), ("bob", 5), ("alice", -6)]).await;
    assert_eq!(app.rankings("race", "").await.members(), ["alice", "bob"]);
    assert_eq!(app.member("race", "alice").await["score"], 4);
}

#[tokio::test]
async fn a_sum_beyond_a_double_is_refused_and_changes_nothing() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "sum"})).await;
    app.submit("race", "alice", 1e308).await;
    app.submit_row("race", json!({"member": "alice", "score": 1e308})).await.fails_at(&["/score"]);
    assert_eq!(app.member("race", "alice").await["score"], 1e308);
    app.submit("race", "alice", -1e308).await;
    assert_eq!(app.member("race", "alice").await["score"], 0);
}

#[tokio::test]
async fn an_equal_score_changes_nothing_its_time_and_metadata_included() {
    for operator in ["best", "latest"] {
        let app = TestApp::spawn().await;
        app.create("race", json!({"operator": operator})).await;
        app.submit_row("race", json!({"member": "alice", "score": 5, "metadata": 1})).await.is(200);
        app.advance(Duration::from_secs(1));
        app.submit("race", "bob", 5).await;
        app.advance(Duration::from_secs(1));
        let again = app.submit_row("race", json!({"member": "alice", "score": 5, "metadata": 2})).await.is(200);
        assert_eq!(again["updated"], false, "{operator}");
        let alice = app.member("race", "alice").await;
        assert_eq!(alice["achieved_at"], "2026-11-23T05:40:00.000Z", "{operator}");
        assert_eq!((&alice["metadata"], &alice["rank"]), (&json!(1), &json!(1)), "{operator}");
    }
}

#[tokio::test]
async fn a_score_has_the_time_of_its_submission() {
    let app = TestApp::spawn().await;
    app.advance(Duration::from_millis(1234));
    app.submit("race", "alice", 5).await;
    assert_eq!(app.member("race", "alice").await["achieved_at"], "2026-11-23T05:40:01.234Z");
    app.advance(Duration::from_hours(1));
    app.submit("race", "alice", 6).await;
    assert_eq!(app.member("race", "alice").await["achieved_at"], "2026-11-23T06:40:01.234Z");
}

#[tokio::test]
async fn descending_puts_higher_scores_ahead() {
    let app = TestApp::spawn().await;
    app.fill("race", [("low", -5), ("high", 7), ("zero", 0)]).await;
    assert_eq!(app.rankings("race", "").await.members(), ["high", "zero", "low"]);
}

#[tokio::test]
async fn ascending_puts_lower_scores_ahead() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"order": "ascending"})).await;
    app.fill("race", [("low", -5), ("high", 7), ("zero", 0)]).await;
    assert_eq!(app.rankings("race", "").await.members(), ["low", "zero", "high"]);
}

/// Three members reach the same score: b and c in the same moment, a later.
async fn ties(app: &TestApp, board: &str, settings: Value) -> Vec<String> {
    app.create(board, settings).await;
    app.submit(board, "b", 5).await;
    app.submit(board, "c", 5).await;
    app.advance(Duration::from_millis(1));
    app.submit(board, "a", 5).await;
    app.rankings(board, "").await.members().into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn with_earliest_who_reached_the_score_first_is_ahead() {
    let app = TestApp::spawn().await;
    for order in ["descending", "ascending"] {
        assert_eq!(ties(&app, order, json!({"ties": "earliest", "order": order})).await, ["b", "c", "a"]);
    }
}

#[tokio::test]
async fn with_latest_who_reached_the_score_last_is_ahead() {
    let app = TestApp::spawn().await;
    for order in ["descending", "ascending"] {
        assert_eq!(ties(&app, order, json!({"ties": "latest", "order": order})).await, ["a", "c", "b"]);
    }
}

#[tokio::test]
async fn with_member_the_lower_id_is_ahead() {
    let app = TestApp::spawn().await;
    for order in ["descending", "ascending"] {
        assert_eq!(ties(&app, order, json!({"ties": "member", "order": order})).await, ["a", "b", "c"]);
    }
    assert_eq!(app.member("ascending", "a").await["achieved_at"], Value::Null);
}

#[tokio::test]
async fn member_ties_go_by_bytes() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"ties": "member"})).await;
    app.fill("race", [("é", 5), ("a", 5), ("Z", 5), ("ab", 5), ("名", 5), ("z", 5)]).await;
    assert_eq!(app.rankings("race", "").await.members(), ["Z", "a", "ab", "z", "é", "名"]);
}

#[tokio::test]
async fn who_leaves_a_score_and_comes_back_to_it_has_reached_it_last() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "latest"})).await;
    app.submit("race", "alice", 5).await;
    app.submit("race", "bob", 5).await;
    app.submit("race", "alice", 4).await;
    app.submit("race", "alice", 5).await;
    assert_eq!(app.rankings("race", "").await.members(), ["bob", "alice"]);
}

#[tokio::test]
async fn under_the_servers_own_clock_equal_scores_stand_in_their_order() {
    let app = TestApp::with().server_clock().spawn().await;
    for member in ["a", "b", "c", "d"] {
        app.submit("race", member, 5).await;
    }
    assert_eq!(app.rankings("race", "").await.members(), ["a", "b", "c", "d"]);
}

fn row(member: &str, score: i64, time: i64) -> Value {
    json!({"member": member, "score": score, "subscores": {"time": time}})
}

#[tokio::test]
async fn subscores_decide_between_equal_scores() {
    let app = TestApp::spawn().await;
    let columns = json!([{"name": "time", "order": "ascending"}, {"name": "kills", "order": "descending"}]);
    app.create("race", json!({"subscores": columns})).await;
    for (member, score, time, kills) in [
        ("slow", 10, 90, 5),
        ("quick", 10, 30, 1),
        ("deadly", 10, 30, 8),
        ("best", 11, 99, 0),
        ("negative", 10, -1, 0),
        ("fraction", 10, 30, 7),
    ] {
        let row = json!({"member": member, "score": score, "subscores": {"time": time, "kills": kills}});
        app.submit_row("race", row).await.is(200);
    }
    let ranking = app.rankings("race", "").await;
    assert_eq!(ranking.members(), ["best", "negative", "deadly", "fraction", "quick", "slow"]);
    assert_eq!(ranking.entry("deadly")["subscores"], json!({"time": 30, "kills": 8}));
}

#[tokio::test]
async fn best_compares_whole_rows() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"subscores": [{"name": "time", "order": "descending"}]})).await;
    app.submit_row("race", row("alice", 100, 5)).await.is(200);
    assert_eq!(app.submit_row("race", row("alice", 50, 99)).await.is(200)["updated"], false);
    let kept = app.member("race", "alice").await;
    assert_eq!((&kept["score"], &kept["subscores"]), (&json!(100), &json!({"time": 5})));
    assert_eq!(app.submit_row("race", row("alice", 100, 4)).await.is(200)["updated"], false);
    assert_eq!(app.submit_row("race", row("alice", 100, 6)).await.is(200)["updated"], true);
    assert_eq!(app.submit_row("race", row("alice", 101, 0)).await.is(200)["updated"], true);
    let replaced = app.member("race", "alice").await;
    assert_eq!((&replaced["score"], &replaced["subscores"]), (&json!(101), &json!({"time": 0})));
}

#[tokio::test]
async fn latest_replaces_whole_rows() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "latest", "subscores": [{"name": "time"}]})).await;
    app.submit_row("race", row("alice", 100, 5)).await.is(200);
    assert_eq!(app.submit_row("race", row("alice", 100, 4)).await.is(200)["updated"], true);
    assert_eq!(app.submit_row("race", row("alice", 100, 4)).await.is(200)["updated"], false);
    assert_eq!(app.member("race", "alice").await["subscores"], json!({"time": 4}));
}

#[tokio::test]
async fn sum_adds_subscores_column_by_column() {
    let app = TestApp::spawn().await;
    let columns = json!([{"name": "up", "order": "ascending"}, {"name": "down", "order": "descending"}]);
    app.create("race", json!({"operator": "sum", "subscores": columns})).await;
    for (score, up, down) in [(1.0, 0.1, -7.0), (2.0, 0.2, 3.5), (-3.0, -1000.0, 1e15)] {
        let row = json!({"member": "alice", "score": score, "subscores": {"up": up, "down": down}});
        app.submit_row("race", row).await.is(200);
    }
    let alice = app.member("race", "alice").await;
    assert_eq!(alice["score"], 0);
    assert_eq!(alice["subscores"], json!({"up": 0.1 + 0.2 - 1000.0, "down": -7.0 + 3.5 + 1e15}));
}

#[tokio::test]
async fn a_sum_of_subscores_beyond_a_double_changes_nothing() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "sum", "subscores": [{"name": "time"}]})).await;
    let row = json!({"member": "alice", "score": 1, "subscores": {"time": 1.7e308}});
    app.submit_row("race", row.clone()).await.is(200);
    app.submit_row("race", row).await.fails_with(422, "invalid");
    assert_eq!(app.member("race", "alice").await["score"], 1);
}

#[tokio::test]
async fn a_sum_beyond_a_double_in_one_window_changes_no_window() {
    let app = TestApp::spawn().await;
    let settings = |windows: &[&str]| {
        let windows: Vec<Value> = windows.iter().map(|name| json!({"name": name})).collect();
        json!({"operator": "sum", "windows": windows})
    };
    app.create("race", settings(&["old"])).await;
    app.submit("race", "alice", 1e308).await;
    app.put("/v1/leaderboards/race", settings(&["new", "old"])).await.is(200);
    app.submit_row("race", json!({"member": "alice", "score": 1e308})).await.fails_with(422, "invalid");
    assert_eq!(app.rankings("race", "window=new").await["total"], 0);
    assert_eq!(app.rankings("race", "window=old").await.entry("alice")["score"], 1e308);
}

#[tokio::test]
async fn a_subscore_of_minus_zero_is_zero() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "latest", "subscores": [{"name": "time"}]})).await;
    app.submit_row("race", r#"{"member":"alice","score":1,"subscores":{"time":0}}"#).await.is(200);
    let again = app.submit_row("race", r#"{"member":"alice","score":1,"subscores":{"time":-0.0}}"#).await.is(200);
    assert_eq!(again["updated"], false);
}

#[tokio::test]
async fn subscores_are_exactly_those_of_the_settings() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"subscores": [{"name": "time"}, {"name": "kills"}]})).await;
    for (subscores, pointers) in [
        (json!({"time": 1}), &["/subscores/kills"][..]),
        (json!({}), &["/subscores/time", "/subscores/kills"]),
        (json!({"time": 1, "kills": 2, "deaths": 3}), &["/subscores/deaths"]),
        (json!({"time": 1, "kills": "2"}), &["/subscores/kills"]),
        (json!({"time": 1, "kills": null}), &["/subscores/kills"]),
    ] {
        let row = json!({"member": "alice", "score": 1, "subscores": subscores});
        app.submit_row("race", row).await.fails_at(pointers);
    }
    app.submit_row("race", json!({"member": "alice", "score": 1})).await.fails_with(422, "invalid");
    assert_eq!(app.rankings("race", "").await["total"], 0);
}

#[tokio::test]
async fn metadata_belongs_to_the_standing_score() {
    let app = TestApp::spawn().await;
    app.submit_row("race", json!({"member": "alice", "score": 5, "metadata": {"car": "red"}})).await.is(200);
    app.submit_row("race", json!({"member": "alice", "score": 4, "metadata": {"car": "blue"}})).await.is(200);
    assert_eq!(app.member("race", "alice").await["metadata"], json!({"car": "red"}), "a score that loses keeps it");
    app.submit_row("race", json!({"member": "alice", "score": 6, "metadata": [1, 2]})).await.is(200);
    assert_eq!(app.member("race", "alice").await["metadata"], json!([1, 2]), "a score that wins replaces it");
    app.submit("race", "alice", 7).await;
    assert!(app.member("race", "alice").await.json().get("metadata").is_none(), "one without removes it");
}

#[tokio::test]
async fn metadata_comes_back_byte_for_byte() {
    let app = TestApp::spawn().await;
    for metadata in [
        r#"{"z":1,"a":2,"big":123456789012345678901234567890,"exact":0.10,"exp":1E5}"#,
        r#"{"spaced" :  [ 1,	2 ],"twice":1,"twice":2}"#,
        r#""\u00e9é\/""#,
        "\"\u{1F3CE}\"",
        "false",
        "[]",
        "-0.0",
    ] {
        app.submit_row("race", format!(r#"{{"member":"alice","score":1,"metadata":{metadata}}}"#)).await.is(200);
        for answer in [app.member("race", "alice").await, app.rankings("race", "").await] {
            assert!(answer.text().contains(&format!(r#""metadata":{metadata}"#)), "{metadata} in {}", answer.text());
        }
        app.delete("/v1/leaderboards/race/members/alice").await.is(204);
    }
}

#[tokio::test]
async fn metadata_may_have_2_kib() {
    let app = TestApp::spawn().await;
    let most = json!({"member": "alice", "score": 1, "metadata": "x".repeat(2046)});
    app.submit_row("race", most).await.is(200);
    let more = json!({"member": "bob", "score": 1, "metadata": "x".repeat(2047)});
    app.submit_row("race", more).await.fails_at(&["/metadata"]);
    app.member("race", "bob").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn scores_come_back_as_the_doubles_they_are() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "latest", "subscores": [{"name": "time"}]})).await;
    for (sent, back) in [
        ("-0", "0"),
        ("-0.0", "0"),
        ("1e308", "1e308"),
        ("1.7976931348623157e308", "1.7976931348623157e308"),
        ("-1.7976931348623157e308", "-1.7976931348623157e308"),
        ("5e-324", "5e-324"),
        ("2.2250738585072014e-308", "2.2250738585072014e-308"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("0.1", "0.1"),
        ("1e2", "100"),
        ("9007199254740991", "9007199254740991"),
        ("9007199254740993", "9007199254740992"),
        ("4611686018427387904", "4611686018427387904"),
        ("123456789.12345679", "123456789.12345679"),
    ] {
        let row = format!(r#"{{"member":"alice","score":{sent},"subscores":{{"time":{sent}}}}}"#);
        let standing = app.submit_row("race", row).await.is(200);
        let read = app.member("race", "alice").await;
        for (answer, what) in [(&standing, "score"), (&read, "score"), (&read, "time")] {
            assert_eq!(number(answer.text(), what), back.parse::<f64>().expect("a number").to_bits(), "{sent}: {what}");
        }
        if sent.starts_with("-0") {
            assert!(read.text().contains(r#""score":0,"#), "{}", read.text());
        }
    }
}

/// The bits of the first number called `name`, read by the standard library, which rounds as it should.
fn number(text: &str, name: &str) -> u64 {
    let (_, rest) = text.split_once(&format!("\"{name}\":")).expect("the field is there");
    let end = rest.find([',', '}']).expect("something follows");
    rest[..end].parse::<f64>().expect("a number").to_bits()
}

#[tokio::test]
async fn the_smallest_difference_decides() {
    let app = TestApp::spawn().await;
    for (member, score) in [("less", "0.3"), ("more", "0.30000000000000004"), ("zero", "0"), ("tiny", "5e-324")] {
        app.submit_row("race", format!(r#"{{"member":"{member}","score":{score}}}"#)).await.is(200);
    }
    assert_eq!(app.rankings("race", "").await.members(), ["more", "less", "tiny", "zero"]);
}

#[tokio::test]
async fn max_entries_keeps_the_best() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"max_entries": 3})).await;
    for (member, score) in [("a", 10), ("b", 20), ("c", 30), ("d", 25)] {
        assert_eq!(app.submit("race", member, score).await["updated"], true);
    }
    assert_eq!(app.rankings("race", "").await.members(), ["c", "d", "b"]);
    app.member("race", "a").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_score_that_max_entries_keeps_out_is_told_so() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"max_entries": 2})).await;
    app.fill("race", [("a", 10), ("b", 20)]).await;
    let kept_out = app.submit("race", "c", 5).await;
    assert_eq!((&kept_out["updated"], &kept_out["rank"]), (&json!(false), &Value::Null));
    assert_eq!(kept_out["previous"], Value::Null);
    assert_eq!(kept_out["windows"]["all_time"]["rank"], Value::Null);
    let equal = app.submit("race", "d", 10).await;
    assert_eq!((&equal["updated"], &equal["rank"]), (&json!(false), &Value::Null), "a had the score first");
    assert_eq!(app.rankings("race", "").await.members(), ["b", "a"]);
}

#[tokio::test]
async fn scores_outside_the_bounds_are_refused() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"min_score": -1.5, "max_score": 10})).await;
    for score in [json!(-1.6), json!(10.000001), json!(1e300)] {
        app.submit_row("race", json!({"member": "alice", "score": score})).await.fails_at(&["/score"]);
    }
    app.member("race", "alice").await.fails_with(404, "not-found");
    app.submit("race", "alice", -1.5).await;
    app.submit("race", "bob", 10).await;
}

#[tokio::test]
async fn a_member_submits_as_often_as_the_limit_allows() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"submission_limit": {"limit": 2, "per_ms": 60000}})).await;
    app.submit("race", "alice", 1).await;
    app.advance(Duration::from_secs(10));
    app.submit("race", "alice", 2).await;
    let refused = app.submit_row("race", json!({"member": "alice", "score": 3})).await.fails_with(429, "rate-limited");
    assert_eq!((refused.header("retry-after"), &refused["retryable"]), ("50", &json!(true)));
    assert_eq!(app.member("race", "alice").await["score"], 2, "nothing was changed");
    app.submit("race", "bob", 1).await;

    app.advance(Duration::from_millis(49_999));
    app.submit_row("race", json!({"member": "alice", "score": 3})).await.fails_with(429, "rate-limited");
    app.advance(Duration::from_millis(1));
    app.submit("race", "alice", 3).await;
    let refused = app.submit_row("race", json!({"member": "alice", "score": 4})).await.fails_with(429, "rate-limited");
    assert_eq!(refused.header("retry-after"), "10", "the second one leaves the span first");
}

#[tokio::test]
async fn a_refused_submission_does_not_count_against_the_limit() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"max_score": 10, "submission_limit": {"limit": 1, "per_ms": 60000}})).await;
    app.submit_row("race", json!({"member": "alice", "score": 11})).await.fails_with(422, "invalid");
    app.submit("race", "alice", 1).await;
}

#[tokio::test]
async fn a_submission_enters_every_window() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "first"}, {"name": "second"}]})).await;
    let standing = app.submit("race", "alice", 5).await;
    let windows = standing["windows"].as_object().expect("windows");
    assert_eq!(windows.keys().collect::<Vec<_>>(), ["first", "second"]);
    for window in ["first", "second"] {
        let ranking = app.rankings("race", &format!("window={window}")).await;
        assert_eq!((ranking["window"].as_str(), ranking.members()), (Some(window), vec!["alice"]));
    }
}

#[tokio::test]
async fn a_score_for_the_open_period_counts() {
    let app = TestApp::spawn().await;
    let row = json!({"member": "alice", "score": 5, "if_period": {"all_time": "open"}});
    app.submit_row("race", row).await.is(200);
}

#[tokio::test]
async fn a_score_for_a_period_that_has_ended_changes_nothing() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    let row = json!({"member": "alice", "score": 5, "if_period": {"all_time": "2026-11-16T00:00:00.000Z"}});
    app.submit_row("race", row).await.fails_with(409, "period-closed");
    app.member("race", "alice").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_score_for_a_period_of_an_unknown_window_is_refused() {
    let app = TestApp::spawn().await;
    let row = json!({"member": "alice", "score": 5, "if_period": {"weekly": "open"}});
    app.submit_row("race", row).await.fails_at(&["/if_period/weekly"]);
}

/// Ids that break naive paths, keys and patterns.
const STRANGE_IDS: [&str; 20] = [
    "ann, bob",
    "a/b",
    "/",
    "//",
    "50%",
    "%2F",
    "with space",
    " ",
    "名前",
    "🏎",
    "{curly}",
    "a:b:c",
    "around",
    "lookup",
    "scores",
    "a?b#c&d=e+f",
    "\"quoted\\",
    "*[a-z]*",
    "~.-_",
    "ß\u{301}",
];

#[tokio::test]
async fn any_text_can_be_a_member() {
    for ties in ["earliest", "member"] {
        let app = TestApp::spawn().await;
        app.create("race", json!({"ties": ties})).await;
        for id in STRANGE_IDS {
            app.submit_row("race", json!({"member": id, "score": 1, "metadata": id})).await.is(200);
        }
        for id in STRANGE_IDS {
            let entry = app.member("race", id).await.is(200);
            assert_eq!((&entry["member"], &entry["metadata"]), (&json!(id), &json!(id)));
            let around = format!("/v1/leaderboards/race/members/{}/around?radius=0", crate::support::encoded(id));
            assert_eq!(app.get(around).await.is(200).members(), [id]);
        }
        let looked_up = app.post("/v1/leaderboards/race/members/lookup", json!({"members": STRANGE_IDS})).await.is(200);
        assert_eq!(looked_up["missing"], json!([]));
        assert_eq!(app.rankings("race", "").await.members().len(), STRANGE_IDS.len());
        for id in STRANGE_IDS {
            app.delete(format!("/v1/leaderboards/race/members/{}", crate::support::encoded(id))).await.is(204);
        }
        assert_eq!(app.rankings("race", "").await["total"], 0);
    }
}

#[tokio::test]
async fn a_member_has_1_to_128_bytes() {
    let app = TestApp::spawn().await;
    for good in ["x".repeat(128), "ä".repeat(64)] {
        app.submit("race", &good, 1).await;
        app.member("race", &good).await.is(200);
    }
    for bad in
        [String::new(), "x".repeat(129), "ä".repeat(65), "a\nb".to_owned(), "a\u{0}".to_owned(), "\u{7f}".to_owned()]
    {
        app.submit_row("race", json!({"member": bad, "score": 1})).await.fails_at(&["/member"]);
    }
}

#[tokio::test]
async fn one_thousand_members_are_each_found() {
    let app = TestApp::spawn().await;
    let names: Vec<String> = (0..1000).map(|number| format!("member-{number}")).collect();
    app.fill("race", names.iter().map(String::as_str).zip(0..)).await;
    let all = app.rankings("race", "limit=1000").await;
    assert_eq!((all.members().len(), &all["total"]), (1000, &json!(1000)));
    let looked_up = app.post("/v1/leaderboards/race/members/lookup", json!({"members": names})).await.is(200);
    assert_eq!((looked_up.members(), &looked_up["missing"]), (all.members(), &json!([])));
}
