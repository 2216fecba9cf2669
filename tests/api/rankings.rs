//! Reading rankings: pages, ways of ranking, places of scores, distributions, entity tags.

use serde_json::{Value, json};

use crate::support::{Answer, TestApp, entries};

/// Ten members a to j with the scores 100, 90, …, 10.
async fn ten(app: &TestApp, board: &str) {
    app.fill(board, ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].into_iter().zip((1..=10).rev().map(|n| n * 10)))
        .await;
}

#[tokio::test]
async fn a_ranking_names_what_it_shows() {
    let app = TestApp::spawn().await;
    app.submit_row("race", json!({"member": "alice", "score": 5, "metadata": {"car": 1}})).await.is(200);
    let ranking = app.rankings("race", "").await.is(200);
    let expected = json!({
        "leaderboard": "race", "window": "all_time", "period": "open", "total": 1,
        "entries": [{
            "rank": 1, "member": "alice", "score": 5, "achieved_at": "2026-11-23T05:40:00.000Z", "metadata": {"car": 1},
        }],
    });
    assert_eq!(ranking.json(), &expected);
}

#[tokio::test]
async fn fifty_entries_are_given_unless_asked_otherwise() {
    let app = TestApp::spawn().await;
    let names: Vec<String> = (0..60).map(|number| format!("m{number}")).collect();
    app.fill("race", names.iter().map(String::as_str).zip(0..)).await;
    let page = app.rankings("race", "").await;
    assert_eq!((page.members().len(), &page["total"]), (50, &json!(60)));
    assert!(page.next_cursor().is_some());
}

#[tokio::test]
async fn an_offset_passes_entries_over() {
    let app = TestApp::spawn().await;
    ten(&app, "race").await;
    let page = app.rankings("race", "offset=3&limit=2").await;
    assert_eq!((page.members(), page.ranks()), (vec!["d", "e"], vec![4, 5]));
    assert_eq!(app.rankings("race", "offset=8&limit=5").await.members(), ["i", "j"]);
}

#[tokio::test]
async fn past_the_end_there_are_no_entries() {
    let app = TestApp::spawn().await;
    ten(&app, "race").await;
    for ranking in ["ordinal", "competition", "dense"] {
        for offset in ["10", "11", "4503599627370496"] {
            let page = app.rankings("race", &format!("offset={offset}&ranking={ranking}")).await.is(200);
            assert_eq!((page.members().len(), &page["total"], page.next_cursor()), (0, &json!(10), None));
        }
    }
}

#[tokio::test]
async fn an_empty_ranking_is_read_in_every_way() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    for ranking in ["ordinal", "competition", "dense"] {
        let page = app.rankings("race", &format!("ranking={ranking}")).await.is(200);
        assert_eq!((entries(page.json()).len(), &page["total"]), (0, &json!(0)));
    }
}

/// Follows cursors to the end; `between` runs after each page but the last.
async fn walk(app: &TestApp, board: &str, query: &str, mut between: impl AsyncFnMut(usize)) -> Vec<(u64, String)> {
    let (mut found, mut cursor, mut page_number) = (Vec::new(), String::new(), 0);
    loop {
        let page = app.rankings(board, &format!("{query}{cursor}")).await.is(200);
        found.extend(page.ranks().into_iter().zip(page.members().into_iter().map(str::to_owned)));
        let Some(next) = page.next_cursor() else { return found };
        cursor = format!("&cursor={next}");
        between(page_number).await;
        page_number += 1;
        assert!(page_number < 100, "cursors lead round in circles");
    }
}

fn names(walked: &[(u64, String)]) -> Vec<&str> {
    walked.iter().map(|(_, member)| member.as_str()).collect()
}

#[tokio::test]
async fn cursors_lead_through_all_entries_once() {
    let app = TestApp::spawn().await;
    ten(&app, "race").await;
    for limit in [1, 3, 5, 9] {
        let walked = walk(&app, "race", &format!("limit={limit}"), async |_| {}).await;
        assert_eq!(names(&walked), ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"], "limit {limit}");
        assert!(walked.iter().map(|(rank, _)| *rank).eq(1..=10), "limit {limit}");
    }
    assert_eq!(app.rankings("race", "limit=10").await.next_cursor(), None);
}

#[tokio::test]
async fn entries_that_do_not_move_are_neither_repeated_nor_skipped() {
    for ties in ["earliest", "latest", "member"] {
        let app = TestApp::spawn().await;
        app.create("race", json!({"ties": ties, "operator": "latest"})).await;
        ten(&app, "race").await;
        let walked = walk(&app, "race", "limit=3", async |page| match page {
            // Above the cursor: one comes, two go.
            0 => {
                app.submit("race", "new top", 1000).await;
                app.delete("/v1/leaderboards/race/members/a").await.is(204);
                app.delete("/v1/leaderboards/race/members/b").await.is(204);
            }
            // Below it: one comes that belongs into the rest.
            1 => drop(app.submit("race", "new low", 35).await),
            _ => {}
        })
        .await;
        assert_eq!(names(&walked), ["a", "b", "c", "d", "e", "f", "g", "new low", "h", "i", "j"], "{ties}");
    }
}

#[tokio::test]
async fn a_cursor_holds_when_its_own_entry_has_gone() {
    for ties in ["earliest", "latest", "member"] {
        let app = TestApp::spawn().await;
        app.create("race", json!({"ties": ties})).await;
        ten(&app, "race").await;
        let walked = walk(&app, "race", "limit=2", async |page| {
            let own = ["b", "d", "f", "h", "j"][page];
            app.delete(format!("/v1/leaderboards/race/members/{own}")).await.is(204);
        })
        .await;
        assert_eq!(names(&walked), ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"], "{ties}");
    }
}

#[tokio::test]
async fn a_cursor_holds_when_its_own_entry_has_moved() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "latest"})).await;
    ten(&app, "race").await;
    let walked = walk(&app, "race", "limit=2", async |page| match page {
        0 => drop(app.submit("race", "b", 1000).await),
        1 => drop(app.submit("race", "d", 1).await),
        _ => {}
    })
    .await;
    assert_eq!(names(&walked), ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "d"]);
}

#[tokio::test]
async fn cursors_hold_among_equal_scores() {
    for ties in ["earliest", "latest", "member"] {
        let app = TestApp::spawn().await;
        app.create("race", json!({"ties": ties})).await;
        app.fill("race", ["c", "a", "f", "b", "e", "d"].map(|member| (member, 7))).await;
        let before: Vec<String> = app.rankings("race", "").await.members().into_iter().map(str::to_owned).collect();
        let walked = walk(&app, "race", "limit=2", async |page| match page {
            // The cursor's own entry goes, and one further up.
            0 => {
                app.delete(format!("/v1/leaderboards/race/members/{}", before[1])).await.is(204);
                app.delete(format!("/v1/leaderboards/race/members/{}", before[0])).await.is(204);
            }
            // The cursor's own entry moves up.
            1 => drop(app.submit("race", &before[3], 8).await),
            _ => {}
        })
        .await;
        assert_eq!(names(&walked), before, "{ties}");
    }
}

#[tokio::test]
async fn cursors_hold_while_others_submit() {
    let app = TestApp::spawn().await;
    let names_still: Vec<String> = (0..60).map(|number| format!("still{number:02}")).collect();
    app.fill("race", names_still.iter().map(String::as_str).zip((0..60).rev().map(|n| n * 10))).await;
    let submit = async {
        for number in 0..60 {
            app.submit("race", &format!("moving{}", number % 7), (number * 37) % 600).await;
        }
    };
    let (walked, ()) = tokio::join!(walk(&app, "race", "limit=4", async |_| {}), submit);
    let still: Vec<&str> = names(&walked).into_iter().filter(|name| name.starts_with("still")).collect();
    assert_eq!(still, names_still);
}

/// a 50, b 40, c 40, d 40, e 30.
async fn equal_scores(app: &TestApp, settings: Value) {
    app.create("race", settings).await;
    app.fill("race", [("a", 50), ("b", 40), ("c", 40), ("d", 40), ("e", 30)]).await;
}

#[tokio::test]
async fn equal_scores_share_ranks_as_asked() {
    for ties in ["earliest", "member"] {
        let app = TestApp::spawn().await;
        equal_scores(&app, json!({"ties": ties})).await;
        for (ranking, ranks) in
            [("ordinal", [1, 2, 3, 4, 5]), ("competition", [1, 2, 2, 2, 5]), ("dense", [1, 2, 2, 2, 3])]
        {
            let page = app.rankings("race", &format!("ranking={ranking}")).await;
            assert_eq!(page.ranks(), ranks, "{ties} {ranking}");
            for start in 0..5_usize {
                let page = app.rankings("race", &format!("ranking={ranking}&offset={start}")).await;
                assert_eq!(page.ranks(), ranks[start..], "{ties} {ranking} from {start}");
            }
            let walked = walk(&app, "race", &format!("ranking={ranking}&limit=2"), async |_| {}).await;
            assert!(walked.iter().map(|(rank, _)| *rank).eq(ranks), "{ties} {ranking}: {walked:?}");
        }
    }
}

#[tokio::test]
async fn rows_are_equal_only_with_equal_subscores() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"subscores": [{"name": "time", "order": "ascending"}]})).await;
    for (member, score, time) in [("a", 50, 1), ("b", 40, 1), ("c", 40, 1), ("d", 40, 2), ("e", 30, 1)] {
        let row = json!({"member": member, "score": score, "subscores": {"time": time}});
        app.submit_row("race", row).await.is(200);
    }
    for (ranking, ranks) in [("competition", [1, 2, 2, 4, 5]), ("dense", [1, 2, 2, 3, 4])] {
        assert_eq!(app.rankings("race", &format!("ranking={ranking}")).await.ranks(), ranks);
        for (member, rank) in ["a", "b", "c", "d", "e"].into_iter().zip(ranks) {
            let path = format!("/v1/leaderboards/race/members/{member}?ranking={ranking}");
            assert_eq!(app.get(path).await["rank"], rank, "{ranking} {member}");
        }
    }
}

/// The dense rank of each entry, each read on its own, so that none follows from the one above.
async fn dense_ranks(app: &TestApp) -> Vec<u64> {
    let total = app.rankings("race", "limit=1").await["total"].as_u64().expect("a number");
    let mut ranks = Vec::new();
    for offset in 0..total {
        ranks.extend(app.rankings("race", &format!("ranking=dense&limit=1&offset={offset}")).await.ranks());
    }
    assert_eq!(app.rankings("race", "ranking=dense").await.ranks(), ranks, "a page says the same");
    ranks
}

#[tokio::test]
async fn dense_ranks_stay_right_through_every_change() {
    let app = TestApp::spawn().await;
    equal_scores(&app, json!({"operator": "latest"})).await;
    assert_eq!(dense_ranks(&app).await, [1, 2, 2, 2, 3]);
    app.submit("race", "f", 45).await;
    assert_eq!(dense_ranks(&app).await, [1, 2, 3, 3, 3, 4], "a new score");
    app.submit("race", "f", 40).await;
    assert_eq!(dense_ranks(&app).await, [1, 2, 2, 2, 2, 3], "an only one moves away");
    app.submit("race", "b", 50).await;
    assert_eq!(dense_ranks(&app).await, [1, 1, 2, 2, 2, 3], "one of several moves away");
    app.delete("/v1/leaderboards/race/members/c").await.is(204);
    assert_eq!(dense_ranks(&app).await, [1, 1, 2, 2, 3], "one of several goes");
    app.delete("/v1/leaderboards/race/members/a").await.is(204);
    app.delete("/v1/leaderboards/race/members/b").await.is(204);
    assert_eq!(dense_ranks(&app).await, [1, 1, 2], "the last of several goes");
    for member in ["d", "e", "f"] {
        app.delete(format!("/v1/leaderboards/race/members/{member}")).await.is(204);
    }
    app.fill("race", [("x", 1), ("y", 2)]).await;
    assert_eq!(dense_ranks(&app).await, [1, 2], "all went and others came");
}

#[tokio::test]
async fn dense_ranks_stay_right_when_entries_are_trimmed() {
    let app = TestApp::spawn().await;
    equal_scores(&app, json!({"max_entries": 5, "order": "ascending"})).await;
    assert_eq!(dense_ranks(&app).await, [1, 2, 2, 2, 3]);
    app.fill("race", [("f", 20), ("g", 25)]).await;
    assert_eq!(dense_ranks(&app).await, [1, 2, 3, 4, 4], "the worst two went");
    app.put("/v1/leaderboards/race", json!({"max_entries": 2, "order": "ascending"})).await.is(200);
    assert_eq!(dense_ranks(&app).await, [1, 2]);
    app.put("/v1/leaderboards/race", json!({"order": "ascending"})).await.is(200);
    app.fill("race", [("y", 40), ("z", 99)]).await;
    assert_eq!(dense_ranks(&app).await, [1, 2, 3, 4], "no trimmed score is counted");
}

#[tokio::test]
async fn many_dense_ranks_are_right_from_the_first_read() {
    let app = TestApp::spawn().await;
    let names: Vec<String> = (0..1000).map(|number| format!("m{number}")).collect();
    app.create("race", json!({"order": "ascending"})).await;
    app.fill("race", names.iter().map(String::as_str).zip((0..1000).map(|number| number / 3))).await;
    let last = app.rankings("race", "ranking=dense&offset=990").await;
    assert_eq!(last.ranks(), [331, 331, 331, 332, 332, 332, 333, 333, 333, 334]);
}

#[tokio::test]
async fn dense_ranks_that_are_first_read_amid_changes_are_right() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "latest"})).await;
    let names: Vec<String> = (0..3000).map(|number| format!("m{number}")).collect();
    for part in names.chunks(1000) {
        app.fill("race", part.iter().map(String::as_str).zip((0..1000).map(|number| number % 400))).await;
    }
    let change = async {
        for round in 0..30 {
            let changes = names.iter().skip(round * 100).take(100).map(String::as_str);
            app.fill("race", changes.zip((0..100).map(|number| number * 7 + 1))).await;
        }
    };
    let read = async {
        for _ in 0..20 {
            app.rankings("race", "ranking=dense&limit=1").await.is(200);
        }
    };
    tokio::join!(change, read);
    let (mut above, mut expected) = (Value::Null, 0);
    for offset in [0, 1000, 2000] {
        let page = app.rankings("race", &format!("ranking=dense&limit=1000&offset={offset}")).await;
        for entry in entries(page.json()) {
            expected += u64::from(above != entry["score"]);
            above = entry["score"].clone();
            assert_eq!(entry["rank"], expected, "{entry}");
        }
    }
}

#[tokio::test]
async fn dense_ranks_of_members_agree_with_the_ranking() {
    let app = TestApp::spawn().await;
    app.fill("race", [("a", 50), ("b", 40), ("c", 40), ("d", 30)]).await;
    for (member, rank) in [("a", 1), ("b", 2), ("c", 2), ("d", 3)] {
        assert_eq!(app.get(format!("/v1/leaderboards/race/members/{member}?ranking=dense")).await["rank"], rank);
    }
}

#[tokio::test]
async fn where_a_score_would_stand_depends_on_ties() {
    for (ties, rank) in [("earliest", 5), ("latest", 2)] {
        let app = TestApp::spawn().await;
        equal_scores(&app, json!({"ties": ties})).await;
        assert_eq!(app.get("/v1/leaderboards/race/around?score=40").await.is(200)["rank"], rank, "{ties}");
        let standing = app.submit("race", "new", 40).await;
        assert_eq!(standing["rank"], rank, "{ties}: it does stand there");
    }
}

#[tokio::test]
async fn around_a_score_are_the_entries_next_to_its_place() {
    let app = TestApp::spawn().await;
    ten(&app, "race").await;
    let at = async |query: &str| app.get(format!("/v1/leaderboards/race/around?{query}")).await.is(200);
    let middle = at("score=55&radius=2").await;
    assert_eq!((&middle["rank"], middle.members()), (&json!(6), vec!["d", "e", "f", "g"]));
    assert_eq!(middle.ranks(), [4, 5, 6, 7]);
    let top = at("score=1e300&radius=2").await;
    assert_eq!((&top["rank"], top.members()), (&json!(1), vec!["a", "b"]));
    let bottom = at("score=-1&radius=2").await;
    assert_eq!((&bottom["rank"], bottom.members()), (&json!(11), vec!["i", "j"]));
    let nobody = at("score=55&radius=0").await;
    assert_eq!((&nobody["rank"], nobody.members().len(), &nobody["total"]), (&json!(6), 0, &json!(10)));
    assert_eq!(at("score=55").await.members().len(), 10, "the radius is 5 unless asked otherwise");
}

#[tokio::test]
async fn a_score_stands_somewhere_in_an_empty_ranking() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"order": "ascending"})).await;
    for ranking in ["ordinal", "competition", "dense"] {
        let around = app.get(format!("/v1/leaderboards/race/around?score=5&ranking={ranking}")).await.is(200);
        assert_eq!(around.json(), &json!({"rank": 1, "total": 0, "entries": []}), "{ranking}");
    }
}

#[tokio::test]
async fn a_score_shares_its_rank_as_asked() {
    let app = TestApp::spawn().await;
    equal_scores(&app, json!({})).await;
    for (ranking, score, rank) in [
        ("competition", 40, 2),
        ("competition", 35, 5),
        ("dense", 40, 2),
        ("dense", 35, 3),
        ("dense", 30, 3),
        ("dense", 1, 4),
        ("dense", 99, 1),
    ] {
        let around = app.get(format!("/v1/leaderboards/race/around?score={score}&ranking={ranking}")).await.is(200);
        assert_eq!(around["rank"], rank, "{ranking} {score}");
    }
}

#[tokio::test]
async fn around_a_score_entries_share_ranks_as_asked() {
    let app = TestApp::spawn().await;
    equal_scores(&app, json!({})).await;
    for (ranking, ranks) in [("ordinal", [1, 2, 3, 4, 5]), ("competition", [1, 2, 2, 2, 5]), ("dense", [1, 2, 2, 2, 3])]
    {
        for score in [99, 40, 35, 1] {
            let around = app.get(format!("/v1/leaderboards/race/around?score={score}&ranking={ranking}")).await.is(200);
            let shown =
                around.members().first().map_or(0, |first| ["a", "b", "c", "d", "e"].binary_search(first).unwrap());
            assert_eq!(around.ranks(), ranks[shown..], "{ranking} {score}");
        }
    }
}

async fn distribution(app: &TestApp, query: &str) -> Answer {
    app.get(format!("/v1/leaderboards/race/distribution?{query}")).await.is(200)
}

fn buckets(answer: &Answer) -> Vec<(f64, f64, u64)> {
    let list = answer["buckets"].as_array().expect("buckets").iter();
    let number = |bucket: &Value, name: &str| bucket[name].as_f64().expect("a number");
    list.map(|it| (number(it, "from"), number(it, "to"), it["count"].as_u64().expect("a count"))).collect()
}

#[tokio::test]
async fn buckets_hold_every_entry_once() {
    for order in ["descending", "ascending"] {
        let app = TestApp::spawn().await;
        app.create("race", json!({"order": order})).await;
        ten(&app, "race").await;
        let spread = distribution(&app, "buckets=2").await;
        assert_eq!(buckets(&spread), [(10.0, 55.0, 5), (55.0, 100.0, 5)], "{order}");
        assert_eq!((&spread["total"], &spread["min"], &spread["max"]), (&json!(10), &json!(10), &json!(100)));
        for count in [1, 2, 7, 20, 200] {
            let spread = buckets(&distribution(&app, &format!("buckets={count}")).await);
            assert_eq!((spread.len(), spread.iter().map(|(_, _, count)| count).sum::<u64>()), (count, 10));
            assert!(spread.windows(2).all(|pair| pair[0].1 == pair[1].0), "{order}: the edges join");
        }
    }
}

#[tokio::test]
async fn a_bucket_holds_its_lower_edge_and_the_last_one_both() {
    for order in ["descending", "ascending"] {
        let app = TestApp::spawn().await;
        app.create("race", json!({"order": order})).await;
        app.fill("race", [("a", 0), ("b", 1), ("c", 2), ("d", 3), ("e", 4)]).await;
        let spread = buckets(&distribution(&app, "buckets=4").await);
        assert_eq!(spread, [(0.0, 1.0, 1), (1.0, 2.0, 1), (2.0, 3.0, 1), (3.0, 4.0, 2)], "{order}");
    }
}

#[tokio::test]
async fn quantiles_are_scores_that_stand() {
    for order in ["descending", "ascending"] {
        let app = TestApp::spawn().await;
        app.create("race", json!({"order": order})).await;
        ten(&app, "race").await;
        let spread = distribution(&app, "").await;
        for (name, score) in [("p1", 10), ("p10", 10), ("p25", 30), ("p50", 50), ("p75", 80), ("p90", 90), ("p99", 100)]
        {
            assert_eq!(spread["quantiles"][name], score, "{order} {name}");
        }
        assert_eq!(buckets(&spread).len(), 20, "unless asked otherwise");
    }
}

#[tokio::test]
async fn an_empty_ranking_has_an_empty_distribution() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    assert_eq!(distribution(&app, "").await.json(), &json!({"total": 0, "quantiles": {}, "buckets": []}));
}

#[tokio::test]
async fn a_single_score_has_a_single_bucket() {
    let app = TestApp::spawn().await;
    app.fill("race", [("a", 7), ("b", 7)]).await;
    let spread = distribution(&app, "").await;
    assert_eq!(buckets(&spread), [(7.0, 7.0, 2)]);
    assert_eq!(spread["quantiles"]["p50"], 7);
}

#[tokio::test]
async fn a_distribution_spans_the_whole_range_of_a_double() {
    let app = TestApp::spawn().await;
    for (member, score) in [("low", -1.7e308), ("zero", 0.0), ("high", 1.7e308)] {
        app.submit("race", member, score).await;
    }
    let spread = buckets(&distribution(&app, "buckets=4").await);
    assert_eq!(spread.iter().map(|(_, _, count)| *count).collect::<Vec<_>>(), [1, 0, 1, 1]);
}

#[tokio::test]
async fn reads_have_a_weak_tag_and_a_known_one_gives_304() {
    let app = TestApp::spawn().await;
    app.submit("race", "alice", 5).await;
    let reads = ["/rankings", "/members/alice", "/members/alice/around", "/around?score=1", "/distribution"];
    let reads = reads.map(|path| format!("/v1/leaderboards/race{path}"));
    for path in &reads {
        let tag = app.get(path).await.is(200).header("etag").to_owned();
        assert!(tag.starts_with("W/\""), "{path}: {tag}");
        for known in [tag.clone(), format!("\"other\", {tag}"), "*".to_owned(), tag[2..].to_owned()] {
            let same = app.request("GET", path).header("if-none-match", known.clone()).send().await;
            assert_eq!((same.status, same.header("etag")), (304, tag.as_str()), "{path} {known}");
        }
        app.request("GET", path).header("if-none-match", "W/\"other\"").send().await.is(200);
    }
    let tags = async |app: &TestApp| {
        let mut tags = Vec::new();
        for path in &reads {
            tags.push(app.get(path).await.header("etag").to_owned());
        }
        tags
    };
    let before = tags(&app).await;
    app.fill("race", [("alice", 6), ("bob", 3)]).await;
    let after = tags(&app).await;
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "a change gives new tags");
}

#[tokio::test]
async fn a_read_with_a_tag_documents_its_304() {
    let app = TestApp::spawn().await;
    let tag = app.get("/v1/leaderboards").await.is(200).header("etag").to_owned();
    if !tag.is_empty() {
        app.request("GET", "/v1/leaderboards").header("if-none-match", tag).send().await.is(304);
    }
}

#[tokio::test]
async fn a_client_reads_its_own_writes() {
    let app = TestApp::spawn().await;
    for score in 1..50 {
        app.submit("race", "alice", score).await;
        assert_eq!(app.member("race", "alice").await["score"], score);
    }
}

#[tokio::test]
async fn changed_settings_hold_for_the_next_request() {
    let app = TestApp::spawn().await;
    for round in 0..20 {
        app.put("/v1/leaderboards/race", json!({"max_score": round})).await;
        app.submit("race", "alice", round).await;
        app.submit_row("race", json!({"member": "alice", "score": round + 1})).await.fails_with(422, "invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_wait_at_the_same_time_share_calls_and_each_has_its_own_answer() {
    let app = TestApp::with().server_clock().spawn().await;
    let rows: Vec<(String, i64)> = (0..300).map(|number| (format!("m{number}"), 1000 - number)).collect();
    app.fill("race", rows.iter().map(|(member, score)| (member.as_str(), *score))).await;
    let calls = async || app.scrape().await.sum("ranq_redis_calls_total", &[("call", "pages")]).unwrap_or(0.0);
    let before = calls().await;
    let read = async |number: usize| match number % 4 {
        0 => assert_eq!(app.rankings("race", "limit=3").await.is(200).members(), ["m0", "m1", "m2"]),
        1 => assert_eq!(app.member("race", &format!("m{number}")).await.is(200)["rank"], number + 1),
        2 => {
            let around = app.get(format!("/v1/leaderboards/race/members/m{number}/around?radius=1")).await.is(200);
            assert_eq!(around.ranks(), [number as u64, number as u64 + 1, number as u64 + 2]);
        }
        _ => drop(app.member("race", &format!("nobody{number}")).await.fails_with(404, "not-found")),
    };
    futures_util::future::join_all((0..240).map(read)).await;
    let made = calls().await - before;
    assert!(made > 0.0 && made < 200.0, "240 reads made {made} calls");
}
