//! Totals that decay: `half_life_ms`.

use std::time::Duration;

use ranq::leaderboard::bench::Decay;
use ranq::leaderboard::{Operator, Settings};
use ranq::types::{Score, Timestamp};
use serde_json::{Value, json};

use crate::support::{Answer, OwnRedis, TestApp, entries};

const DAY: Duration = Duration::from_secs(24 * 3600);
const DAY_MS: u64 = 24 * 3600 * 1000;
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn daily_decay() -> Value {
    json!({"operator": "sum", "half_life_ms": DAY_MS})
}

/// The entries of an answer as (member, score).
fn scores(answer: &Answer) -> Vec<(String, f64)> {
    let of = |entry: &Value| {
        (entry["member"].as_str().expect("a member").to_owned(), entry["score"].as_f64().expect("a score"))
    };
    entries(answer.json()).iter().map(of).collect()
}

fn of(member: &str, score: f64) -> (String, f64) {
    (member.to_owned(), score)
}

async fn app_with(settings: Value) -> TestApp {
    let app = TestApp::spawn().await;
    app.create("hot", settings).await;
    app
}

#[tokio::test]
async fn a_total_halves_in_a_half_life_and_new_points_count_in_full() {
    let app = app_with(daily_decay()).await;
    let first = app.submit("hot", "ann", 100).await;
    assert_eq!((&first["score"], &first["updated"], &first["previous"]), (&json!(100), &json!(true), &Value::Null));
    assert_eq!(app.member("hot", "ann").await["score"], 100);
    app.advance(DAY);
    assert_eq!(app.member("hot", "ann").await["score"], 50);
    let more = app.submit("hot", "ann", 100).await;
    assert_eq!((&more["score"], &more["previous"]), (&json!(150), &json!({"score": 50, "rank": 1})));
    assert_eq!(more["windows"]["all_time"]["score"], 150);
    app.advance(2 * DAY);
    assert_eq!(app.member("hot", "ann").await["score"], 37.5);
    // Nothing is added: nothing changes, its time included.
    let nothing = app.submit("hot", "ann", 0).await;
    assert_eq!((&nothing["score"], &nothing["updated"]), (&json!(37.5), &json!(false)));
    let batch =
        app.batch("hot", vec![json!({"member": "ann", "score": 2.5}), json!({"member": "bob", "score": 0})]).await;
    assert_eq!((&batch["results"][0]["score"], &batch["results"][1]["score"]), (&json!(40), &json!(0)));
    assert_eq!(app.get("/v1/leaderboards/hot").await["settings"]["half_life_ms"], DAY_MS);
}

#[tokio::test]
async fn who_scored_later_overtakes_who_scored_more() {
    for (order, turn) in [("descending", 1.0), ("ascending", -1.0)] {
        let app = app_with(json!({"operator": "sum", "half_life_ms": DAY_MS, "order": order})).await;
        app.submit("hot", "ann", 100.0 * turn).await;
        app.submit("hot", "cat", -8.0 * turn).await;
        app.submit("hot", "eve", 0).await;
        app.advance(DAY);
        // Half of what ann has is behind her, and half of what cat lacks is, too.
        app.submit("hot", "bob", 60.0 * turn).await;
        app.submit("hot", "dan", -6.0 * turn).await;
        let shown = [of("bob", 60.0), of("ann", 50.0), of("eve", 0.0), of("cat", -4.0), of("dan", -6.0)];
        let shown: Vec<(String, f64)> = shown.into_iter().map(|(member, score)| (member, score * turn + 0.0)).collect();
        assert_eq!(scores(&app.rankings("hot", "").await.is(200)), shown, "{order}");
        // Across zero and back.
        assert_eq!(app.submit("hot", "cat", 5.0 * turn).await["rank"], 3);
        assert_eq!(app.submit("hot", "cat", -turn).await["score"], 0);
        assert_eq!(app.submit("hot", "ann", 20.0 * turn).await["rank"], 1);
    }
}

#[tokio::test]
async fn five_thousand_half_lives_later_the_order_stands_and_nothing_overflows() {
    let app = app_with(daily_decay()).await;
    app.fill("hot", [("ann", 3), ("bob", 2), ("cat", -2), ("dan", -3)]).await;
    app.submit("hot", "max", f64::MAX).await;
    let more = app.submit_row("hot", json!({"member": "max", "score": f64::MAX})).await;
    more.fails_at(&["/score"]);
    app.advance(5000 * DAY);
    let order = ["max", "ann", "bob", "cat", "dan"];
    let page = app.rankings("hot", "").await.is(200);
    assert_eq!(page.members(), order);
    assert!(scores(&page).iter().all(|(_, score)| *score == 0.0), "{}", page.text());
    // Rows that show the same score are not equal.
    assert_eq!(app.rankings("hot", "ranking=competition").await.ranks(), [1, 2, 3, 4, 5]);
    assert_eq!(app.rankings("hot", "ranking=dense").await.ranks(), [1, 2, 3, 4, 5]);
    let later = app.submit("hot", "dan", 0.25).await;
    assert_eq!((&later["score"], &later["rank"], &later["previous"]["score"]), (&json!(0.25), &json!(1), &json!(0)));
    app.submit("hot", "max", f64::MAX).await;
    assert_eq!(app.rankings("hot", "").await.members(), ["max", "dan", "ann", "bob", "cat"]);
    let spread = app.get("/v1/leaderboards/hot/distribution").await.is(200);
    assert_eq!((&spread["total"], &spread["min"]), (&json!(5), &json!(0)));
}

#[tokio::test]
async fn all_reads_show_the_totals_of_now() {
    let app = app_with(daily_decay()).await;
    app.fill("hot", [("ann", 400), ("bob", 300), ("cat", 200), ("dan", 100)]).await;
    app.advance(2 * DAY);
    let shown = [of("ann", 100.0), of("bob", 75.0), of("cat", 50.0), of("dan", 25.0)];
    assert_eq!(scores(&app.rankings("hot", "").await.is(200)), shown);
    let page = app.rankings("hot", "limit=2").await.is(200);
    let cursor = page.next_cursor().expect("there is more").to_owned();
    // A cursor is a position, which time does not move.
    app.advance(DAY);
    let rest = app.rankings("hot", &format!("cursor={cursor}")).await.is(200);
    assert_eq!((scores(&rest), rest.ranks()), (vec![of("cat", 25.0), of("dan", 12.5)], vec![3, 4]));
    let around = app.get("/v1/leaderboards/hot/members/cat/around?radius=1").await.is(200);
    assert_eq!(scores(&around), [of("bob", 37.5), of("cat", 25.0), of("dan", 12.5)]);
    assert_eq!(around["next"], json!({"member": "bob", "gap": 12.5}));
    let at = app.get("/v1/leaderboards/hot/around?score=30&radius=1").await.is(200);
    assert_eq!((&at["rank"], scores(&at)), (&json!(3), vec![of("bob", 37.5), of("cat", 25.0)]));
    // What is submitted stands where it was said to.
    assert_eq!(app.submit("hot", "eve", 30).await["rank"], 3);
    let found = app.post("/v1/leaderboards/hot/members/lookup", json!({"members": ["dan", "ann"]})).await.is(200);
    assert_eq!(scores(&found), [of("ann", 50.0), of("dan", 12.5)]);
    let one = app.member("hot", "dan").await;
    assert_eq!((&one["score"], &one["percentile"]), (&json!(12.5), &json!(20.0)));
    let many = app.get("/v1/members/dan/rankings?leaderboards=hot").await.is(200);
    assert_eq!(many["rankings"][0]["score"], 12.5);
    let spread = app.get("/v1/leaderboards/hot/distribution?buckets=3").await.is(200);
    let buckets = [(12.5, 25.0, 1), (25.0, 37.5, 2), (37.5, 50.0, 2)];
    let buckets = buckets.map(|(from, to, count)| json!({"from": from, "to": to, "count": count}));
    let plain =
        |value: &Value| serde_json::from_str::<Value>(&value.to_string().replace(".0,", ",").replace(".0}", "}"));
    assert_eq!(spread["buckets"], plain(&json!(buckets)).expect("JSON"));
    assert_eq!((&spread["min"], &spread["max"], &spread["quantiles"]["p50"]), (&json!(12.5), &json!(50), &json!(30)));
}

#[tokio::test]
async fn bounds_are_of_what_is_submitted_and_replays_give_the_first_answer() {
    let settings =
        json!({"operator": "sum", "half_life_ms": DAY_MS, "min_score": 1, "max_score": 100, "max_entries": 2});
    let app = app_with(settings).await;
    for bad in [json!(0), json!(101)] {
        app.submit_row("hot", json!({"member": "ann", "score": bad})).await.fails_at(&["/score"]);
    }
    let submit = async || {
        let row = json!({"member": "ann", "score": 100});
        app.request("POST", "/v1/leaderboards/hot/scores")
            .header("Idempotency-Key", "once")
            .body(row)
            .send()
            .await
            .is(200)
    };
    let first = submit().await;
    app.advance(DAY);
    let again = submit().await;
    assert_eq!((again.text(), again.was_replayed()), (first.text(), true));
    assert_eq!(app.member("hot", "ann").await["score"], 50);
    // The best are kept by what they are worth now.
    app.fill("hot", [("bob", 49), ("cat", 60)]).await;
    assert_eq!(app.rankings("hot", "").await.members(), ["cat", "ann"]);
}

#[tokio::test]
async fn a_period_that_has_ended_shows_its_end() {
    let windows = json!([{"name": "daily", "reset": "daily"}, {"name": "all_time"}]);
    let app = app_with(json!({"operator": "sum", "half_life_ms": DAY_MS / 2, "windows": windows})).await;
    app.advance_to("2026-11-23T12:00:00Z");
    app.fill("hot", [("ann", 100), ("bob", 40)]).await;
    let period = "window=daily&period=2026-11-23T00:00:00.000Z";
    assert_eq!(scores(&app.rankings("hot", period).await.is(200)), [of("ann", 100.0), of("bob", 40.0)]);
    for time in ["2026-11-24T00:00:00Z", "2026-11-24T12:00:00Z", "2026-11-30T12:00:00Z"] {
        app.advance_to(time);
        let ended = app.rankings("hot", period).await.is(200);
        assert_eq!(scores(&ended), [of("ann", 50.0), of("bob", 20.0)], "{time}");
        let spread = app.get(format!("/v1/leaderboards/hot/distribution?{period}")).await.is(200);
        assert_eq!((&spread["min"], &spread["max"]), (&json!(20), &json!(50)));
        let at = app.get(format!("/v1/leaderboards/hot/around?score=30&{period}")).await.is(200);
        assert_eq!(at["rank"], 2);
    }
    let all = app.get("/v1/leaderboards/hot/members/ann?window=all_time").await.is(200);
    assert_eq!(all["score"], 100.0 / 2_f64.powi(14));
}

#[tokio::test]
async fn an_export_imported_gives_the_same_order() {
    let app = app_with(daily_decay()).await;
    let names: Vec<String> = (0..1200).map(|number| format!("m{number}")).collect();
    for (day, chunk) in names.chunks(300).enumerate() {
        // Totals that differ by little, and some that are the same.
        let rows = chunk.iter().map(String::as_str).zip((0_i64..).map(|number| number / 3 + 100));
        app.fill("hot", rows).await;
        app.advance(DAY * u32::try_from(day % 2).expect("small"));
    }
    app.advance(Duration::from_millis(12_345));
    let order = async |board: &str| {
        let mut members = Vec::new();
        for offset in [0, 1000] {
            let page = app.rankings(board, &format!("limit=1000&offset={offset}")).await.is(200);
            members.extend(page.members().into_iter().map(str::to_owned));
        }
        members
    };
    for format in ["ndjson", "csv"] {
        let file = app.get(format!("/v1/leaderboards/hot/export?format={format}")).await.is(200).text().to_owned();
        let copy = format!("copy-{format}");
        app.create(&copy, json!({"operator": "sum", "half_life_ms": DAY_MS})).await;
        let into = format!("/v1/leaderboards/{copy}/import?format={format}");
        let media = if format == "csv" { "text/csv" } else { "application/x-ndjson" };
        let body = file.into_bytes();
        let done = app.request("POST", into).header("content-type", media).body(body).send().await.is(200);
        assert_eq!((&done["imported"], &done["rejected"]), (&json!(1200), &json!(0)));
        assert_eq!(order(&copy).await, order("hot").await, "{format}");
        let (there, here) = (app.rankings(&copy, "").await, app.rankings("hot", "").await);
        assert_eq!(scores(&there), scores(&here));
    }
}

#[tokio::test]
async fn a_half_life_needs_sums_without_subscores_and_is_fixed_with_entries() {
    let app = TestApp::spawn().await;
    let put = async |settings: Value| app.put("/v1/leaderboards/hot", settings).await;
    put(json!({"half_life_ms": 1000})).await.fails_at(&["/half_life_ms"]);
    put(json!({"operator": "latest", "half_life_ms": 1000})).await.fails_at(&["/half_life_ms"]);
    put(json!({"operator": "sum", "half_life_ms": 1000, "subscores": [{"name": "t"}]}))
        .await
        .fails_at(&["/half_life_ms"]);
    for bad in [json!(0), json!(999), json!(315_360_000_001_u64), json!(-1), json!(1.5), json!("1s")] {
        put(json!({"operator": "sum", "half_life_ms": bad})).await.fails_at(&["/half_life_ms"]);
    }
    put(json!({"operator": "sum", "half_life_ms": null})).await.is(201);
    put(json!({"operator": "sum", "half_life_ms": 1000})).await.is(200);
    app.submit("hot", "ann", 1).await;
    for other in [json!({"operator": "sum"}), json!({"operator": "sum", "half_life_ms": 2000})] {
        put(other).await.fails_with(409, "conflict");
    }
    put(json!({"operator": "sum", "half_life_ms": 1000, "max_score": 5})).await.is(200);
    app.delete("/v1/leaderboards/hot/members/ann").await.is(204);
    put(json!({"operator": "sum"})).await.is(200);
    app.submit("hot", "ann", 1).await;
    app.advance(YEAR);
    assert_eq!(app.member("hot", "ann").await["score"], 1, "without a half-life totals stay");
}

#[tokio::test]
async fn short_half_lives_show_what_is_true_after_years() {
    let app = app_with(json!({"operator": "sum", "half_life_ms": 1000})).await;
    app.advance(9 * YEAR);
    assert_eq!(app.submit("hot", "ann", 1_234_567).await["score"], 1_234_567);
    app.advance(Duration::from_secs(3));
    assert_eq!(app.submit("hot", "ann", 0.125).await["score"], 154_321.0);
    assert_eq!(app.submit("hot", "bob", 100).await["score"], 100);
}

#[tokio::test]
async fn by_the_servers_clock_totals_fall_while_nobody_writes() {
    let app = TestApp::with().server_clock().spawn().await;
    app.create("hot", json!({"operator": "sum", "half_life_ms": 1000})).await;
    let first = app.submit("hot", "ann", 100).await["score"].as_f64().expect("a score");
    let seen = async || app.member("hot", "ann").await["score"].as_f64().expect("a score");
    let (one, other) = (seen().await, seen().await);
    assert!(first == 100.0 && one < first && other < one && other > 1.0, "{first} {one} {other}");
}

/// Numbers that look random, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[tokio::test]
async fn totals_are_those_of_plain_sums_that_are_halved() {
    const MEMBERS: usize = 8;
    for (seed, half_life_ms) in [(1, 60_000), (2, DAY_MS)] {
        let app = app_with(json!({"operator": "sum", "half_life_ms": half_life_ms})).await;
        let mut numbers = Numbers(seed);
        // The total of each member, as it is now.
        let mut totals: [Option<f64>; MEMBERS] = [None; MEMBERS];
        for _ in 0..150 {
            let elapsed_ms = numbers.next(half_life_ms / 2);
            app.advance(Duration::from_millis(elapsed_ms));
            let left = (-(elapsed_ms as f64) / half_life_ms as f64).exp2();
            totals.iter_mut().flatten().for_each(|total| *total *= left);
            let member = numbers.next(MEMBERS as u64) as usize;
            let points = (numbers.next(2001) as f64 - 800.0) / 8.0;
            let answer = app.submit("hot", &format!("m{member}"), points).await;
            let total = totals[member].unwrap_or(0.0) + points;
            totals[member] = Some(total);
            let shown = answer["score"].as_f64().expect("a score");
            assert!((shown - total).abs() < 1e-8, "{shown} is not {total}");
            let better = totals.iter().flatten().filter(|other| **other > total).count();
            assert_eq!(answer["rank"], better + 1);
        }
        let mut expected: Vec<(String, f64)> =
            (0..).zip(totals).filter_map(|(member, total)| Some((format!("m{member}"), total?))).collect();
        expected.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let shown = scores(&app.rankings("hot", "").await.is(200));
        assert_eq!(shown.len(), expected.len());
        for ((member, shown), (expected, total)) in shown.iter().zip(&expected) {
            assert!(member == expected && (shown - total).abs() < 1e-8, "{member} {shown}, {expected} {total}");
        }
    }
}

/// What `_decay.lua` keeps and shows of totals, against what Rust does.
#[tokio::test]
async fn lua_and_rust_agree() {
    const CREATED_MS: i64 = 1_795_412_400_000;
    let part = include_str!("../../src/leaderboard/lua/_decay.lua");
    let code = format!(
        "{part}\nlocal age = decay_age(ARGV[1], ARGV[2])\nlocal kept = string.format('%.17g', decay_encode(tonumber(ARGV[3]), age))\n\
         return {{ kept, score_shown(kept, decay_age(ARGV[1], ARGV[4])) }}"
    );
    let redis = OwnRedis::spawn().await;
    let mut connection = redis.connect().expect("it runs");
    let script = redis::Script::new(&code);
    let mut numbers = Numbers(3);
    let mut next = |below: u64| (numbers.next(1 << 31) << 31 | numbers.next(1 << 31)) % below;
    for half_life_ms in [1000, 3_600_000, DAY_MS, 365 * DAY_MS, 3650 * DAY_MS] {
        let settings = Settings { operator: Operator::Sum, half_life_ms: Some(half_life_ms), ..Settings::default() };
        let decay = Decay::of(&settings, Timestamp::from_millis(CREATED_MS)).expect("it decays");
        for round in 0..400 {
            let then = CREATED_MS * 1000 + next(3650 * DAY_MS * 1000) as i64;
            let later = then + next(half_life_ms * 30_000) as i64;
            let total = match round {
                0 => 0.0,
                1 => f64::MAX,
                2 => 5e-324,
                3 => f64::MIN_POSITIVE,
                4 => -1.0,
                _ => (next(2_000_001) as f64 - 1e6) * 10_f64.powi(next(40) as i32 - 20),
            };
            let (kept, shown): (String, String) = script
                .arg(decay.to_argument())
                .arg(then)
                .arg(format!("{total:e}"))
                .arg(later)
                .invoke(&mut connection)
                .expect("the script runs");
            let (kept, shown): (f64, f64) = (kept.parse().expect("a number"), shown.parse().expect("a number"));
            let ours = decay.kept(Score::new(total).expect("finite"), then);
            let near = |a: f64, b: f64, part: f64| a == b || (a - b).abs() <= a.abs() * part;
            assert!(near(kept, ours.value(), 5e-16), "{total:e} after {half_life_ms}: {kept} and {ours:?}");
            let theirs = Score::new(kept).expect("finite");
            let ours = decay.shown(theirs, later).value();
            // A half may be rounded to either side; below the normal numbers, digits are fewer.
            let part = if kept.abs() < 7000.0 { 1.1e-11 } else { 1.1e-6 };
            assert!(near(shown, ours, part) || ours.abs() < 1e-300, "{kept} of {total:e}: {shown} and {ours}");
        }
    }
}
