//! Segments: rankings beside the whole, by what describes their members.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

const TO_MIDNIGHT: Duration = Duration::from_secs(18 * 3600 + 20 * 60);

async fn submit(app: &TestApp, member: &str, score: i64, segments: Value) -> Answer {
    app.submit_row("race", json!({"member": member, "score": score, "segments": segments})).await
}

async fn in_segment(app: &TestApp, segment: &str) -> Answer {
    app.rankings("race", &format!("segment={segment}")).await.is(200)
}

async fn members(app: &TestApp, segment: &str) -> Vec<String> {
    in_segment(app, segment).await.members().into_iter().map(str::to_owned).collect()
}

async fn values(app: &TestApp, segment: &str) -> Vec<(Value, u64)> {
    let read = app.get(format!("/v1/leaderboards/race/segments/{segment}")).await.is(200);
    let values: Vec<(Value, u64)> = read["values"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|value| (value["segments"].clone(), value["entries"].as_u64().expect("a number")))
        .collect();
    assert_eq!(read["total"], values.len());
    values
}

/// Five members in two countries on two platforms.
async fn race(settings: Value) -> TestApp {
    let app = TestApp::spawn().await;
    app.create("race", settings).await;
    for (member, score, country, platform) in [
        ("ann", 50, "KR", "ios"),
        ("bob", 40, "JP", "ios"),
        ("cat", 30, "KR", "web"),
        ("dan", 30, "KR", "ios"),
        ("eve", -10, "JP", "web"),
    ] {
        submit(&app, member, score, json!({"country": country, "platform": platform})).await.is(200);
    }
    app.submit("race", "fay", 45).await.is(200);
    app
}

fn all_segments() -> Value {
    json!({"segments": ["country", "platform", "platform+country"]})
}

#[tokio::test]
async fn each_value_is_a_ranking_of_its_own() {
    let app = race(all_segments()).await;
    assert_eq!(app.rankings("race", "").await.members(), ["ann", "fay", "bob", "cat", "dan", "eve"]);
    let korea = in_segment(&app, "country:KR").await;
    assert_eq!((korea.members(), korea.ranks()), (vec!["ann", "cat", "dan"], vec![1, 2, 3]));
    assert_eq!(korea["total"], 3);
    let expected = json!({"rank": 2, "member": "cat", "score": 30, "achieved_at": "2026-11-23T05:40:00.000Z",
        "segments": {"country": "KR", "platform": "web"}});
    assert_eq!(korea.entry("cat"), &expected);
    assert_eq!(members(&app, "country:JP").await, ["bob", "eve"]);
    assert_eq!(members(&app, "platform:web").await, ["cat", "eve"]);
    for combined in ["country:KR,platform:ios", "platform:ios,country:KR", "country%2Bplatform:KR%2Bios"] {
        assert_eq!(members(&app, combined).await, ["ann", "dan"], "{combined}");
    }
    let shared = app.rankings("race", "segment=country:KR&ranking=competition").await;
    assert_eq!(shared.ranks(), [1, 2, 2]);
    assert!(app.rankings("race", "").await.entry("fay").get("segments").is_none());
}

#[tokio::test]
async fn every_read_is_of_the_segment() {
    let app = race(all_segments()).await;
    let path = "/v1/leaderboards/race";
    let member = app.get(format!("{path}/members/cat?segment=country:KR")).await.is(200);
    assert_eq!((&member["rank"], &member["total"]), (&json!(2), &json!(3)));
    assert_eq!(member["percentile"], 200.0 / 3.0);
    app.get(format!("{path}/members/bob?segment=country:KR")).await.fails_with(404, "not-found");
    app.get(format!("{path}/members/fay?segment=country:KR")).await.fails_with(404, "not-found");

    let around = app.get(format!("{path}/members/eve/around?segment=country:JP&radius=1")).await.is(200);
    assert_eq!((around.members(), around.ranks()), (vec!["bob", "eve"], vec![1, 2]));
    assert_eq!(around["next"], json!({"member": "bob", "gap": 50}));

    for (score, ranking, rank, shown) in [
        (60, "ordinal", 1, vec!["ann"]),
        (30, "ordinal", 4, vec!["dan"]),
        (30, "competition", 2, vec!["dan"]),
        (-99, "ordinal", 4, vec!["dan"]),
    ] {
        let query = format!("score={score}&radius=1&segment=country:KR&ranking={ranking}");
        let stands = app.get(format!("{path}/around?{query}")).await.is(200);
        assert_eq!((&stands["rank"], stands.members()), (&json!(rank), shown), "{query}");
    }

    let body = json!({"members": ["dan", "bob", "ann", "nobody"]});
    let found = app.post(format!("{path}/members/lookup?segment=country:KR"), body).await.is(200);
    assert_eq!((found.members(), found.ranks()), (vec!["ann", "dan"], vec![1, 3]));
    assert_eq!(found["missing"], json!(["bob", "nobody"]));

    let spread = app.get(format!("{path}/distribution?segment=country:JP&buckets=2")).await.is(200);
    assert_eq!((&spread["total"], &spread["min"], &spread["max"]), (&json!(2), &json!(-10), &json!(40)));
    assert_eq!(spread["buckets"], json!([{"from": -10, "to": 15, "count": 1}, {"from": 15, "to": 40, "count": 1}]));
    assert_eq!(spread["quantiles"]["p50"], -10);

    let rows = app.get(format!("{path}/export?format=csv&segment=country:JP")).await.is(200);
    let expected = "rank,member,score,achieved_at,metadata,segments.country,segments.platform\n\
        1,bob,40,2026-11-23T05:40:00.000001Z,,JP,ios\n2,eve,-10,2026-11-23T05:40:00.000004Z,,JP,web\n";
    assert_eq!(rows.text(), expected);
}

#[tokio::test]
async fn pages_of_a_segment_follow_each_other_and_belong_to_it() {
    let app = race(all_segments()).await;
    let first = app.rankings("race", "segment=country:KR&limit=2").await.is(200);
    assert_eq!(first.members(), ["ann", "cat"]);
    let cursor = first.next_cursor().expect("there is more");
    let next = app.rankings("race", &format!("segment=country:KR&cursor={cursor}")).await.is(200);
    assert_eq!((next.members(), next.ranks(), next.next_cursor()), (vec!["dan"], vec![3], None));
    for other in ["", "segment=country:JP&", "segment=platform:ios&"] {
        let refused = app.rankings("race", &format!("{other}cursor={cursor}")).await;
        refused.fails_with(400, "malformed-request");
    }
    let past = app.rankings("race", "segment=country:KR&offset=2&limit=5").await.is(200);
    assert_eq!((past.members(), past.ranks()), (vec!["dan"], vec![3]));
    assert!(app.rankings("race", "segment=country:KR&offset=3").await.is(200).members().is_empty());
}

#[tokio::test]
async fn a_member_moves_when_it_is_described_anew() {
    let app = race(all_segments()).await;
    // The score is worse: it changes nothing.
    let moved = submit(&app, "ann", 1, json!({"country": "JP"})).await.is(200);
    assert_eq!((&moved["updated"], &moved["score"]), (&json!(false), &json!(50)));
    assert_eq!(members(&app, "country:KR").await, ["cat", "dan"]);
    assert_eq!(members(&app, "country:JP").await, ["ann", "bob", "eve"]);
    assert_eq!(members(&app, "platform:ios").await, ["ann", "bob", "dan"], "the other dimension stays");
    assert_eq!(members(&app, "country:JP,platform:ios").await, ["ann", "bob"]);
    // Left out, what is known holds.
    app.submit("race", "ann", 60).await.is(200);
    assert_eq!(members(&app, "country:JP").await, ["ann", "bob", "eve"]);
    submit(&app, "fay", 70, json!({"country": "JP"})).await.is(200);
    assert_eq!(members(&app, "country:JP").await, ["fay", "ann", "bob", "eve"]);
    assert_eq!(members(&app, "country:JP,platform:ios").await, ["ann", "bob"], "fay has no platform");
    assert_eq!(app.member("race", "fay").await["segments"], json!({"country": "JP"}));
}

#[tokio::test]
async fn a_member_keeps_its_values_in_the_next_period_and_the_last_one_stays_as_it_was() {
    let app = TestApp::spawn().await;
    let windows = json!([{"name": "daily", "reset": "daily"}, {"name": "all_time"}]);
    app.create("race", json!({"windows": windows, "segments": ["country"]})).await;
    submit(&app, "ann", 10, json!({"country": "KR"})).await.is(200);
    app.advance(TO_MIDNIGHT);
    app.submit("race", "ann", 5).await.is(200);
    assert_eq!(members(&app, "country:KR").await, ["ann"]);
    submit(&app, "ann", 6, json!({"country": "JP"})).await.is(200);
    assert!(members(&app, "country:KR").await.is_empty());
    assert_eq!(members(&app, "country:JP").await, ["ann"]);
    assert_eq!(members(&app, "country:JP&window=all_time").await, ["ann"], "every open ranking");
    let last = "country:KR&period=2026-11-23T00:00:00.000Z";
    let ended = in_segment(&app, last).await;
    assert_eq!(ended.entry("ann")["segments"], json!({"country": "KR"}));
}

#[tokio::test]
async fn what_leaves_the_whole_leaves_its_segments() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"segments": ["country"], "max_entries": 2})).await;
    for (member, score) in [("ann", 10), ("bob", 20), ("cat", 30)] {
        submit(&app, member, score, json!({"country": "KR"})).await.is(200);
    }
    assert_eq!(members(&app, "country:KR").await, ["cat", "bob"]);
    app.delete("/v1/leaderboards/race/members/cat").await.is(204);
    assert_eq!(members(&app, "country:KR").await, ["bob"]);
    app.submit("race", "cat", 30).await.is(200);
    assert_eq!(members(&app, "country:KR").await, ["bob"], "a member that was removed is forgotten");
    for member in ["bob", "cat"] {
        app.delete(format!("/v1/leaderboards/race/members/{member}")).await.is(204);
    }
    assert!(values(&app, "country").await.is_empty());
    app.delete("/v1/leaderboards/race").await.is(204);
    assert!(app.keys().iter().all(|key| !key.contains("{lb:race}")), "{:?}", app.keys());
}

#[tokio::test]
async fn values_are_listed() {
    let app = race(all_segments()).await;
    let country = |name: &str| json!({"country": name});
    assert_eq!(values(&app, "country").await, [(country("JP"), 2), (country("KR"), 3)]);
    let both = |country: &str, platform: &str| json!({"country": country, "platform": platform});
    let expected = [(both("JP", "ios"), 1), (both("JP", "web"), 1), (both("KR", "ios"), 2), (both("KR", "web"), 1)];
    assert_eq!(values(&app, "country+platform").await, expected);
    let mut seen = Vec::new();
    let mut target = "/v1/leaderboards/race/segments/platform+country?limit=1".to_owned();
    loop {
        let page = app.get(&target).await.is(200);
        assert_eq!(page["total"], 4);
        seen.push((page["values"][0]["segments"].clone(), page["values"][0]["entries"].as_u64().expect("a number")));
        let Some(cursor) = page.next_cursor() else { break };
        target = format!("/v1/leaderboards/race/segments/platform+country?limit=1&cursor={cursor}");
    }
    assert_eq!(seen, expected);
    submit(&app, "cat", 1, json!({"platform": "ios"})).await.is(200);
    submit(&app, "eve", 1, json!({"platform": "ios"})).await.is(200);
    assert_eq!(values(&app, "platform").await, [(json!({"platform": "ios"}), 5)]);
    app.get("/v1/leaderboards/race/segments/region").await.fails_at(&["segment"]);
}

#[tokio::test]
async fn what_breaks_a_rule_is_named() {
    let app = TestApp::spawn().await;
    for (segments, pointers) in [
        (json!(["a", "a"]), &["/segments/1"][..]),
        (json!(["a+b", "b+a"]), &["/segments/1"]),
        (json!(["a+a", "b c", "+"]), &["/segments/0", "/segments/1", "/segments/2"]),
        (json!(["a+b+c+d+e"]), &["/segments/0"]),
        (json!(["a", "b", "c", "d", "e", "f", "g", "h", "i"]), &["/segments"]),
        (json!([1]), &["/segments/0"]),
    ] {
        app.put("/v1/leaderboards/race", json!({"segments": segments})).await.fails_at(pointers);
    }
    app.create("race", json!({"segments": ["country", "country+platform"]})).await;
    for (segments, pointer) in [
        (json!({"country": ""}), "/segments/country"),
        (json!({"country": "a,b"}), "/segments/country"),
        (json!({"country": "a\u{1f}b"}), "/segments/country"),
        (json!({"country": "x".repeat(65)}), "/segments/country"),
        (json!({"region": "EU"}), "/segments/region"),
        (json!({"country+platform": "KR+ios"}), "/segments/country+platform"),
    ] {
        submit(&app, "ann", 1, segments).await.fails_at(&[pointer]);
    }
    submit(&app, "ann", 1, json!({"country": "a:b+ %é", "platform": "ios"})).await.is(200);
    assert_eq!(members(&app, "country:a:b%2B%20%25%C3%A9").await, ["ann"]);
    for query in ["platform:ios", "region:EU", "country", "country:", "country:KR,country:JP", "country%2Bplatform:KR"]
    {
        let refused = app.rankings("race", &format!("segment={query}")).await.fails_at(&["segment"]);
        assert!(query != "platform:ios" || refused.text().contains("`country`, `country+platform`"));
    }
    app.rankings("race", "segment=country:KR&ranking=dense").await.fails_at(&["ranking"]);
    assert!(members(&app, "country:nowhere").await.is_empty());
}

#[tokio::test]
async fn a_dimension_has_so_many_values_and_no_more() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"segments": ["country"]})).await;
    let row = |number: usize| json!({"member": format!("m{number}"), "score": number, "segments": {"country": format!("c{number}")}});
    let filled = app.batch("race", (0..1000).map(row).collect()).await.is(200);
    assert!(filled["results"].as_array().expect("a list").iter().all(|result| result["status"] == 200));
    let refused = submit(&app, "new", 5, json!({"country": "one more"})).await;
    assert!(refused.fails_at(&["/segments/country"]).detail().contains("1000"));
    app.get("/v1/leaderboards/race/members/new").await.fails_with(404, "not-found");
    let known = json!({"member": "new", "score": 1, "segments": {"country": "c7"}});
    let batch = app.batch("race", vec![row(1000), known]).await.is(200);
    let statuses: Vec<&Value> = batch["results"].as_array().expect("a list").iter().map(|it| &it["status"]).collect();
    assert_eq!(statuses, [422, 200]);
    assert_eq!(batch["results"][0]["problem"]["errors"][0]["pointer"], "/scores/0/segments/country");
    app.delete("/v1/leaderboards/race/members/m0").await.is(204);
    submit(&app, "new", 5, json!({"country": "one more"})).await.is(200);
    let listed = app.get("/v1/leaderboards/race/segments/country?limit=1000").await.is(200);
    let listed: BTreeSet<&str> = listed["values"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|value| value["segments"]["country"].as_str().expect("a value"))
        .collect();
    assert_eq!(listed.len(), 1000);
}

#[tokio::test]
async fn dimensions_come_empty_and_go_with_all_they_hold() {
    let app = race(json!({"segments": ["country", "platform"]})).await;
    app.put("/v1/leaderboards/race", json!({"segments": ["platform", "guild"]})).await.is(200);
    app.rankings("race", "segment=country:KR").await.fails_at(&["segment"]);
    assert_eq!(app.member("race", "ann").await["segments"], json!({"platform": "ios"}));
    assert!(values(&app, "guild").await.is_empty());
    submit(&app, "bob", 1, json!({"guild": "red"})).await.is(200);
    assert_eq!(members(&app, "guild:red").await, ["bob"]);

    app.put("/v1/leaderboards/race", json!({"segments": ["country", "platform"]})).await.is(200);
    assert!(values(&app, "country").await.is_empty(), "declared anew, it knows nothing of before");
    app.submit("race", "ann", 99).await.is(200);
    assert!(values(&app, "country").await.is_empty());
    assert_eq!(members(&app, "platform:ios").await, ["ann", "bob", "dan"]);

    app.put("/v1/leaderboards/race", json!({})).await.is(200);
    let left: Vec<String> =
        app.keys().into_iter().filter(|key| key.contains("segments") || key.contains("described")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_round_trip_keeps_what_describes_members() {
    let app = race(all_segments()).await;
    for (format, media_type) in [("ndjson", "application/x-ndjson"), ("csv", "text/csv")] {
        let rows = app.get(format!("/v1/leaderboards/race/export?format={format}")).await.is(200).text().to_owned();
        let board = format!("copy-{format}");
        app.create(&board, all_segments()).await;
        let target = format!("/v1/leaderboards/{board}/import?format={format}");
        let done =
            app.request("POST", target).header("content-type", media_type).body(rows.clone()).send().await.is(200);
        assert_eq!((&done["imported"], &done["errors"]), (&json!(6), &json!([])));
        let again = app.get(format!("/v1/leaderboards/{board}/export?format={format}")).await.is(200);
        assert_eq!(again.text(), rows);
        let korea = app.rankings(&board, "segment=country:KR,platform:ios").await.is(200);
        assert_eq!(korea.members(), ["ann", "dan"]);
    }
    let row = "{\"member\":\"ann\",\"score\":1,\"segments\":{\"country\":\"JP\"}}\n{\"member\":\"x\",\"score\":1,\"segments\":{\"a\":\"b\"}}\n";
    let target = "/v1/leaderboards/race/import";
    let done =
        app.request("POST", target).header("content-type", "application/x-ndjson").body(row).send().await.is(200);
    assert_eq!((&done["imported"], &done["rejected"]), (&json!(1), &json!(1)));
    assert_eq!(members(&app, "country:JP").await, ["ann", "bob", "eve"], "described anew, though its row stays");
}

#[tokio::test]
async fn a_submission_with_a_key_is_described_by_its_segments_too() {
    let app = race(all_segments()).await;
    let send = |country: &'static str| {
        let body = json!({"member": "ann", "score": 70, "segments": {"country": country}});
        app.request("POST", "/v1/leaderboards/race/scores").key("once").body(body).send()
    };
    send("JP").await.is(200);
    submit(&app, "ann", 1, json!({"country": "KR"})).await.is(200);
    assert!(send("JP").await.is(200).was_replayed());
    assert_eq!(members(&app, "country:JP").await, ["bob", "eve"], "given again, an answer moves nobody");
    send("KR").await.fails_with(409, "idempotency-mismatch");
}

#[tokio::test]
async fn rankings_sort_inside_a_segment_as_outside() {
    for settings in [
        json!({"segments": ["half"], "order": "ascending", "ties": "latest"}),
        json!({"segments": ["half"], "operator": "sum", "ties": "member"}),
        json!({"segments": ["half"], "subscores": [{"name": "a"}, {"name": "b", "order": "ascending"}], "operator": "latest"}),
    ] {
        let app = TestApp::spawn().await;
        app.create("race", settings.clone()).await;
        let has_columns = settings.get("subscores").is_some();
        let scores = [0.0, -1.5, 1e300, -1e300, 5e-324, 7.0, 7.0, -5e-324];
        for (number, score) in scores.iter().cycle().take(40).enumerate() {
            let half = if number % 3 == 0 { "a" } else { "b" };
            let mut row = json!({"member": format!("m{number}"), "score": score, "segments": {"half": half}});
            if has_columns {
                row["subscores"] = json!({"a": number % 4, "b": -((number % 5) as i64)});
            }
            app.submit_row("race", row).await.is(200);
        }
        let whole = app.rankings("race", "limit=100").await.is(200);
        for half in ["a", "b"] {
            let part = app.rankings("race", &format!("limit=100&segment=half:{half}")).await.is(200);
            let expected: Vec<&str> =
                whole.members().into_iter().filter(|member| whole.entry(member)["segments"]["half"] == half).collect();
            assert_eq!(part.members(), expected, "{settings}");
            for member in expected {
                assert_eq!(part.entry(member)["score"], whole.entry(member)["score"]);
            }
        }
    }
}
