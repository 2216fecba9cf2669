//! Periods that have ended go to the archive, leave Redis, and read there as they did before.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Database, away, with_archive};
use crate::support::{Answer, OwnRedis, Process, TestApp, client_builder, encoded, eventually};

/// Days from the clock's start, 2026-11-23T05:40:00Z, on.
const DAYS: [&str; 4] =
    ["2026-11-23T00:00:00.000Z", "2026-11-24T00:00:00.000Z", "2026-11-25T00:00:00.000Z", "2026-11-26T00:00:00.000Z"];
const DAY: Duration = Duration::from_secs(24 * 3600);
const LIVE: &str = "ranq; hit";
const MISS: &str = "ranq; fwd=miss";
const CACHED: &str = "ranq; hit; detail=archived";

/// Settings with a daily window that keeps so many periods, and whatever else.
fn daily(keep: u32, more: &Value) -> Value {
    let mut settings = json!({"windows": [{"name": "daily", "reset": "daily", "keep": keep}, {"name": "all_time"}]});
    settings.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    settings
}

/// Members with equal scores, and whatever an entry may have.
async fn fill(app: &TestApp, board: &str, settings: &Value) {
    let has = |name: &str| settings.get(name).is_some();
    let row = |number: i64| {
        let mut row = json!({"member": format!("m{number:02}, \"ä\" %"), "score": number / 3 * 10 - 40});
        if has("subscores") {
            row["subscores"] = json!({"time": number % 2, "kills": 0.5});
        }
        if number % 4 != 0 {
            row["metadata"] = json!({"of": number, "text": "\u{0}\u{1} ✓"});
        }
        if has("segments") && number % 5 != 0 {
            let country = match number % 3 {
                0 => "KR",
                1 => "JP",
                _ => "a+b:\"c\"",
            };
            row["segments"] = json!({"country": country, "platform": "ios"});
        }
        row
    };
    for numbers in [0..13, 13..26, 26..40] {
        app.batch(board, numbers.map(row).collect()).await.is(200);
        app.advance(Duration::from_secs(7));
    }
}

/// An entry of another day.
async fn later(app: &TestApp, board: &str, settings: &Value) {
    let mut row = json!({"member": "later", "score": 1});
    if settings.get("subscores").is_some() {
        row["subscores"] = json!({"time": 1, "kills": 1});
    }
    app.submit_row(board, row).await.is(200);
}

/// Every kind of read of a period: its path, and what is sent with it.
fn reads(board: &str, period: &str, has_segments: bool) -> Vec<(String, Option<Value>)> {
    let mut reads = Vec::new();
    let member = encoded("m17, \"ä\" %");
    let mut segments = vec![String::new()];
    if has_segments {
        segments.extend([
            "&segment=country:KR".to_owned(),
            format!("&segment={}", encoded("platform:ios,country:a+b:\"c\"")),
            "&segment=country:never".to_owned(),
        ]);
    }
    for segment in &segments {
        for ranking in ["ordinal", "competition", "dense"] {
            let view = format!("window=daily&period={period}&ranking={ranking}{segment}");
            for which in [
                "rankings?limit=7",
                "rankings?offset=9&limit=1000",
                "rankings?offset=1000",
                &format!("members/{member}?"),
                "members/nobody?",
                &format!("members/{member}/around?radius=3"),
                &format!("members/{member}/around?radius=0"),
                &format!("members/{}/around?radius=100", encoded("m39, \"ä\" %")),
                "around?score=20&radius=2",
                "around?score=21.5&radius=3",
                "around?score=-1e300",
                "around?score=1e300",
            ] {
                reads.push((format!("/v1/leaderboards/{board}/{which}&{view}"), None));
            }
            let members =
                json!({"members": ["nobody", "m17, \"ä\" %", "m00, \"ä\" %", "m17, \"ä\" %", "m21, \"ä\" %"]});
            reads.push((format!("/v1/leaderboards/{board}/members/lookup?{view}"), Some(members)));
        }
        for buckets in [1, 7, 200] {
            let view = format!("window=daily&period={period}{segment}&buckets={buckets}");
            reads.push((format!("/v1/leaderboards/{board}/distribution?{view}"), None));
        }
    }
    reads
}

async fn read(app: &TestApp, (path, body): &(String, Option<Value>)) -> Answer {
    match body {
        Some(body) => app.post(path, body.clone()).await,
        None => app.get(path).await,
    }
}

/// All pages of a period by their cursors.
async fn walk(app: &TestApp, board: &str, view: &str) -> Vec<String> {
    let mut pages = Vec::new();
    let mut next = String::new();
    loop {
        let page = app.rankings(board, &format!("{view}&limit=6{next}")).await.is(200);
        pages.push(page.text().to_owned());
        match page.next_cursor() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return pages,
        }
    }
}

/// Waits until a period is read from the archive.
async fn until_gone(app: &TestApp, board: &str, period: &str) {
    eventually(&format!("{period} of {board} is archived"), async || {
        let page = app.rankings(board, &format!("window=daily&limit=1&period={period}")).await;
        (page.status == 200 && page.header("cache-status") != LIVE).then_some(())
    })
    .await;
    let left = async || {
        let is_of = |key: &&String| key.contains(&format!(":{board}}}")) && key.contains(period);
        app.keys().iter().all(|key| !is_of(&key)).then_some(())
    };
    eventually(&format!("no key of {period} is left"), left).await;
}

async fn seasons_read_back_the_same(database: Database) {
    let app = with_archive(&database.url()).spawn().await;
    let columns = json!([{"name": "time", "order": "ascending"}, {"name": "kills"}]);
    let boards = [
        ("plain", daily(1, &json!({}))),
        ("rich", daily(1, &json!({"segments": ["country", "country+platform"], "subscores": columns}))),
        (
            "rising",
            daily(1, &json!({"order": "ascending", "ties": "latest", "segments": ["country", "country+platform"]})),
        ),
        ("short", daily(1, &json!({"ties": "member", "subscores": columns}))),
        ("hot", daily(1, &json!({"operator": "sum", "half_life_ms": 3_600_000}))),
        ("wide", daily(1, &json!({"shards": 3, "segments": ["country", "country+platform"], "subscores": columns}))),
    ];
    for (board, settings) in &boards {
        app.create(board, settings.clone()).await;
    }
    for (board, settings) in &boards {
        fill(&app, board, settings).await;
    }
    app.advance(DAY);
    let mut live = Vec::new();
    for (board, settings) in &boards {
        later(&app, board, settings).await;
        for what in reads(board, DAYS[0], settings.get("segments").is_some()) {
            let answer = read(&app, &what).await;
            assert!(answer.status != 200 || answer.header("cache-status") == LIVE, "{what:?}");
            live.push((what, answer));
        }
    }
    let view = format!("window=daily&period={}", DAYS[0]);
    let mut pages = Vec::new();
    for (board, _) in &boards {
        pages.push(walk(&app, board, &view).await);
    }
    assert!(live.iter().filter(|(_, answer)| answer.status == 200).count() > 200);
    app.advance(DAY);
    for (board, settings) in &boards {
        later(&app, board, settings).await;
        until_gone(&app, board, DAYS[0]).await;
    }
    for wanted in [MISS, CACHED] {
        for (what, before) in &live {
            let answer = read(&app, what).await;
            assert_eq!(answer.status, before.status, "{what:?}: {}", answer.text());
            if before.status == 200 {
                assert_eq!(answer.text(), before.text(), "{what:?}");
                assert_eq!(answer.header("cache-status"), wanted, "{what:?}");
                assert_eq!(answer.header("etag"), before.header("etag"), "{what:?}");
            }
        }
    }
    for ((board, _), pages) in boards.iter().zip(pages) {
        assert_eq!(walk(&app, board, &view).await, pages, "{board}");
        // A cursor that was given while it was live.
        let first: Value = serde_json::from_str(&pages[0]).expect("JSON");
        let cursor = first["next_cursor"].as_str().expect("there is more");
        let second = app.rankings(board, &format!("{view}&limit=6&cursor={cursor}")).await.is(200);
        assert_eq!(second.text(), pages[1], "{board}");
        app.rankings(board, &format!("{view}&cursor=x{cursor}")).await.fails_with(400, "malformed-request");
    }
    assert_eq!(database.count("SELECT COUNT(*) FROM ranq_standings WHERE part = ''").await, 6 * 40);
    assert_eq!(database.count("SELECT COUNT(*) FROM ranq_periods WHERE archived_at IS NULL").await, 0);
}

#[tokio::test]
async fn seasons_read_back_the_same_from_sqlite() {
    seasons_read_back_the_same(Database::sqlite()).await;
}

#[tokio::test]
async fn seasons_read_back_the_same_from_postgres() {
    seasons_read_back_the_same(Database::postgres().await).await;
}

/// Days with entries, of which the first ones are archived.
async fn some_days(app: &TestApp, keep: u32, days: usize) {
    app.create("race", daily(keep, &json!({}))).await;
    for day in 0..days {
        app.fill("race", [("ann", 10 + day as i64), ("bob", 20), ("cat", 20), ("dan", 5)]).await;
        app.advance(DAY);
    }
    app.submit("race", "eve", 1).await;
    for day in &DAYS[..days - keep as usize] {
        until_gone(app, "race", day).await;
    }
}

#[tokio::test]
async fn a_client_that_has_an_archived_page_is_told_so() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    some_days(&app, 0, 1).await;
    let path = format!("/v1/leaderboards/race/rankings?period={}", DAYS[0]);
    let page = app.get(&path).await.is(200);
    let again = app.request("GET", &path).header("if-none-match", page.header("etag")).send().await.is(304);
    assert_eq!((again.header("cache-status"), again.text()), (CACHED, ""));
    // A read that names no period is as it was.
    assert_eq!(app.rankings("race", "").await.is(200).header("cache-status"), "");
}

#[tokio::test]
async fn archived_periods_are_listed_behind_the_live_ones() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    some_days(&app, 1, 3).await;
    let list =
        async |query: &str| app.get(format!("/v1/leaderboards/race/windows/daily/periods?{query}")).await.is(200);
    let all = list("").await;
    let of = |period: &Value| (period["period"].clone(), period["state"].clone(), period["entries"].clone());
    let listed: Vec<_> = all["periods"].as_array().expect("periods").iter().map(of).collect();
    let wanted = [(DAYS[3], "open", 1), (DAYS[2], "closed", 4), (DAYS[1], "archived", 4), (DAYS[0], "archived", 4)];
    assert_eq!(listed, wanted.map(|(period, state, entries)| (json!(period), json!(state), json!(entries))));
    let oldest = &all["periods"][3];
    assert_eq!((&oldest["started_at"], &oldest["ended_at"]), (&json!(DAYS[0]), &json!(DAYS[1])));
    for limit in 1..=5 {
        let (mut found, mut next) = (Vec::new(), String::new());
        loop {
            let page = list(&format!("limit={limit}{next}")).await;
            let periods = page["periods"].as_array().expect("periods");
            assert!(periods.len() <= limit);
            found.extend(periods.iter().map(of));
            match page.next_cursor() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(found, listed, "{limit} at a time");
    }
    app.get("/v1/leaderboards/race/windows/never/periods").await.is(404);
}

async fn a_member_leaves_archived_periods_too(database: Database) {
    let app = with_archive(&database.url()).spawn().await;
    some_days(&app, 1, 2).await;
    let page = async || {
        let page = app.rankings("race", &format!("period={}&ranking=competition", DAYS[0])).await.is(200);
        (page.members().into_iter().map(str::to_owned).collect::<Vec<_>>(), page.ranks(), page["total"].clone())
    };
    let of = |members: &[&str], ranks: &[u64]| {
        let members: Vec<String> = members.iter().map(|&member| member.to_owned()).collect();
        (members.clone(), ranks.to_vec(), json!(members.len()))
    };
    assert_eq!(page().await, of(&["bob", "cat", "ann", "dan"], &[1, 1, 3, 4]));
    let dense = async || app.rankings("race", &format!("period={}&ranking=dense", DAYS[0])).await.is(200).ranks();
    assert_eq!(dense().await, [1, 1, 2, 3]);
    app.delete("/v1/leaderboards/race/members/bob").await.is(204);
    assert_eq!(page().await, of(&["cat", "ann", "dan"], &[1, 2, 3]));
    assert_eq!(dense().await, [1, 2, 3]);
    app.delete("/v1/leaderboards/race/members/ann").await.is(204);
    assert_eq!(page().await, of(&["cat", "dan"], &[1, 2]));
    assert_eq!(dense().await, [1, 2]);
    app.delete("/v1/leaderboards/race/members/ann").await.fails_with(404, "not-found");
    app.member("race", "bob").await.is(404);
    assert_eq!(database.count("SELECT COUNT(*) FROM ranq_standings").await, 2);
    assert_eq!(database.count("SELECT entries FROM ranq_periods").await, 2);
}

#[tokio::test]
async fn a_member_leaves_archived_periods_too_in_sqlite() {
    a_member_leaves_archived_periods_too(Database::sqlite()).await;
}

#[tokio::test]
async fn a_member_leaves_archived_periods_too_in_postgres() {
    a_member_leaves_archived_periods_too(Database::postgres().await).await;
}

#[tokio::test]
async fn a_member_that_stands_only_in_the_archive_is_removed_there() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    app.create("race", json!({"windows": [{"name": "daily", "reset": "daily", "keep": 0}]})).await;
    app.fill("race", [("ann", 1), ("bob", 2)]).await;
    app.advance(DAY);
    app.submit("race", "cat", 1).await;
    until_gone(&app, "race", DAYS[0]).await;
    app.delete("/v1/leaderboards/race/members/ann").await.is(204);
    app.delete("/v1/leaderboards/race/members/ann").await.fails_with(404, "not-found");
    assert_eq!(app.rankings("race", &format!("period={}", DAYS[0])).await.members(), ["bob"]);
    // Who is removed from everywhere, from there as well.
    let erased = app.delete("/v1/members/bob").await;
    assert!([200, 202].contains(&erased.status) && erased["archived"].as_u64() >= Some(1), "{erased:?}");
    assert!(app.rankings("race", &format!("period={}", DAYS[0])).await.is(200).members().is_empty());
}

#[tokio::test]
async fn a_leaderboard_that_is_created_again_has_no_earlier_seasons() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    some_days(&app, 0, 1).await;
    app.delete("/v1/leaderboards/race").await.is(204);
    app.rankings("race", &format!("period={}", DAYS[0])).await.fails_with(404, "not-found");
    app.create("race", daily(0, &json!({}))).await;
    app.submit("race", "ann", 1).await;
    app.rankings("race", &format!("period={}", DAYS[0])).await.fails_with(404, "not-found");
    let listed = app.get("/v1/leaderboards/race/windows/daily/periods").await.is(200);
    assert_eq!(listed["periods"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn ranks_are_compared_with_those_of_archived_periods() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    some_days(&app, 1, 3).await;
    app.fill("race", [("dan", 50), ("bob", 20)]).await;
    let previous = async |query: &str| {
        let page = app.rankings("race", query).await.is(200);
        let entries = page["entries"].as_array().expect("entries").iter();
        entries.map(|entry| (entry["member"].clone(), entry["previous_rank"].clone())).collect::<Vec<_>>()
    };
    let of = |pairs: &[(&str, Option<u64>)]| {
        pairs.iter().map(|(member, rank)| (json!(member), json!(rank))).collect::<Vec<_>>()
    };
    // A live one with an archived one, the other way round, and two archived ones.
    let live = previous(&format!("since={}", DAYS[0])).await;
    assert_eq!(live, of(&[("dan", Some(4)), ("bob", Some(1)), ("eve", None)]));
    let archived = previous(&format!("period={}&since={}", DAYS[0], DAYS[3])).await;
    assert_eq!(archived, of(&[("bob", Some(2)), ("cat", None), ("ann", None), ("dan", Some(1))]));
    let archived = previous(&format!("period={}&since={}", DAYS[1], DAYS[0])).await;
    assert_eq!(archived, of(&[("bob", Some(1)), ("cat", Some(2)), ("ann", Some(3)), ("dan", Some(4))]));
    let path = format!("/v1/leaderboards/race/rankings?period={}&since=", DAYS[0]);
    app.get(format!("{path}{}", DAYS[0])).await.fails_with(404, "not-found");
    app.get(format!("{path}x")).await.fails_at(&["since"]);
}

#[tokio::test]
async fn nothing_is_freed_while_the_database_is_away() {
    let directory = TempDir::new().expect("a directory");
    let (url, path) = away(&directory);
    let app = with_archive(&url).spawn().await;
    app.create("race", daily(0, &json!({}))).await;
    for _ in 0..3 {
        app.fill("race", [("ann", 1), ("bob", 2)]).await;
        app.advance(DAY);
    }
    app.submit("race", "eve", 1).await;
    let waiting = async |count: f64| {
        eventually(&format!("{count} periods wait"), async || {
            let waiting = app.scrape().await.sum("ranq_archive_periods_waiting", &[]);
            (waiting == Some(count)).then_some(())
        })
        .await;
    };
    waiting(3.0).await;
    eventually("it is tried", async || {
        let failed = app.scrape().await.sum("ranq_archive_failures_total", &[]).unwrap_or(0.0);
        (failed >= 2.0).then_some(())
    })
    .await;
    for day in &DAYS[..3] {
        let page = app.rankings("race", &format!("period={day}")).await.is(200);
        assert_eq!((page.members(), page.header("cache-status")), (vec!["bob", "ann"], LIVE), "{day}");
    }
    std::fs::create_dir(&path).expect("it can be made");
    for day in &DAYS[..3] {
        until_gone(&app, "race", day).await;
    }
    waiting(0.0).await;
}

#[tokio::test]
async fn who_was_removed_while_the_database_is_away_does_not_arrive_there() {
    let directory = TempDir::new().expect("a directory");
    let (url, path) = away(&directory);
    let app = with_archive(&url).spawn().await;
    app.create("race", daily(0, &json!({}))).await;
    app.fill("race", [("ann", 1), ("bob", 2)]).await;
    app.advance(DAY);
    app.submit("race", "eve", 1).await;
    // It is gone from Redis, and whether it stood in the archive is not known.
    app.delete("/v1/leaderboards/race/members/bob").await.fails_with(503, "archive-unavailable");
    std::fs::create_dir(&path).expect("it can be made");
    until_gone(&app, "race", DAYS[0]).await;
    assert_eq!(app.rankings("race", &format!("period={}", DAYS[0])).await.members(), ["ann"]);
    app.delete("/v1/leaderboards/race/members/bob").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn two_instances_archive_each_season_once() {
    const SEASONS: i64 = 4;
    let (redis, database) = (OwnRedis::spawn().await, Database::sqlite());
    let app = async || with_archive(&database.url()).redis_url(&redis.url()).server_clock().spawn().await;
    let (one, other) = tokio::join!(app(), app());
    one.create("race", json!({"windows": [{"name": "season", "keep": 0}], "shards": 1})).await;
    let mut seasons = Vec::new();
    for _ in 0..SEASONS {
        one.fill("race", [("ann", 1), ("bob", 2), ("cat", 2)]).await;
        let closed = other.post("/v1/leaderboards/race/windows/season/close", json!({})).await.is(202);
        seasons.push(closed["period"].as_str().expect("a name").to_owned());
    }
    for (season, app) in seasons.iter().zip([&one, &other].into_iter().cycle()) {
        eventually("it is archived, and read by each", async || {
            let page = app.rankings("race", &format!("period={season}")).await.is(200);
            assert_eq!(page.members(), ["bob", "cat", "ann"]);
            (page.header("cache-status") != LIVE).then_some(())
        })
        .await;
    }
    assert_eq!(database.count("SELECT COUNT(*) FROM ranq_periods").await, SEASONS);
    assert_eq!(database.count("SELECT COUNT(*) FROM ranq_standings").await, 3 * SEASONS);
}

/// Rounds, each of which closes a season and ends with a kill in the middle of its copy.
async fn no_kill_loses_or_doubles_an_entry(database: Database) {
    const ROUNDS: usize = 5;
    const MEMBERS: usize = 2500;
    let (redis, directory) = (OwnRedis::spawn().await, TempDir::new().expect("a directory"));
    let (redis_url, url) = (redis.url(), database.url());
    let arguments =
        ["--redis-url", &redis_url, "--archive-url", &url, "--archive-batch", "50", "--archive-every-ms", "10"];
    let client = client_builder().build().expect("a client");
    let settings = json!({"windows": [{"name": "season", "keep": 0}], "segments": ["country"]});
    for round in 0..ROUNDS {
        let mut service = Process::spawn_with(directory.path(), &arguments).await;
        let at = format!("http://{}/v1/leaderboards/race", service.address());
        if round == 0 {
            let made = client.put(&at).json(&settings).send().await.expect("the service answers");
            assert_eq!(made.status(), 201);
        }
        for first in (0..MEMBERS).step_by(500) {
            let row = |number: usize| json!({"member": format!("{round}-{number}"), "score": number % 100, "segments": {"country": "KR"}});
            let rows: Vec<Value> = (first..first + 500).map(row).collect();
            let sent = client.post(format!("{at}/scores/batch")).json(&json!({"scores": rows})).send().await;
            assert_eq!(sent.expect("the service answers").status(), 200);
        }
        let closed = client.post(format!("{at}/windows/season/close")).send().await.expect("the service answers");
        assert_eq!(closed.status(), 202);
        eventually("it writes", async || {
            let begun = database.count("SELECT COUNT(*) FROM ranq_periods").await;
            (begun > round as i64 / 2).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(30 * round as u64)).await;
        service.signal(Signal::KILL);
        service.ended().await;
        // Its turn would end by itself.
        let mut connection = redis.connect().expect("it runs");
        redis::cmd("DEL").arg("ranq:period_archiver").exec(&mut connection).expect("DEL works");
    }
    let _service = Process::spawn_with(directory.path(), &arguments).await;
    let complete = "SELECT COUNT(*) FROM ranq_periods WHERE archived_at IS NOT NULL AND entries = 2500";
    eventually("all seasons are there", async || (database.count(complete).await == ROUNDS as i64).then_some(())).await;
    let emptied = async || {
        let mut connection = redis.connect().expect("it runs");
        let keys: Vec<String> =
            redis::cmd("KEYS").arg("ranq:{lb:race}:rank:*").query(&mut connection).expect("KEYS works");
        keys.is_empty().then_some(())
    };
    eventually("nothing is left in Redis", emptied).await;
    assert_eq!(database.count("SELECT COUNT(*) FROM ranq_periods").await, ROUNDS as i64);
    let rows = i64::try_from(ROUNDS * MEMBERS).expect("a number");
    for part in
        ["SELECT COUNT(*) FROM ranq_standings WHERE part = ''", "SELECT COUNT(*) FROM ranq_standings WHERE part <> ''"]
    {
        assert_eq!(database.count(part).await, rows, "{part}");
    }
}

#[tokio::test]
async fn no_kill_loses_or_doubles_an_entry_in_sqlite() {
    no_kill_loses_or_doubles_an_entry(Database::sqlite()).await;
}

#[tokio::test]
async fn no_kill_loses_or_doubles_an_entry_in_postgres() {
    no_kill_loses_or_doubles_an_entry(Database::postgres().await).await;
}
