//! What happened to members, in the archive: on its way, there, and read back.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Database, away, with_archive};
use crate::support::{Answer, OwnRedis, Process, TestApp, at, client_builder, encoded, eventually};

const ADMIN: &str = "an-admin-token-of-tests";
const DAY: Duration = Duration::from_secs(86_400);

impl TestApp {
    async fn member_history(&self, board: &str, member: &str, query: &str) -> Answer {
        self.get(format!("/v1/leaderboards/{board}/members/{}/history?{query}", encoded(member))).await
    }

    /// Waits until so many events of a member are archived, and gives them, the latest first.
    async fn until_happened(&self, board: &str, member: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} events of {member} on {board} are archived"), async || {
            let page = self.member_history(board, member, "limit=1000").await;
            (page.status == 200 && events(&page).len() == count).then(|| events(&page).to_vec())
        })
        .await
    }

    async fn until_nothing_is_on_its_way(&self) {
        eventually("nothing is on its way", async || (on_their_way(self) == 0).then_some(())).await;
    }
}

fn events(page: &Answer) -> &[Value] {
    page["history"].as_array().expect("a history")
}

/// How many entries all outboxes of leaderboards have.
fn on_their_way(app: &TestApp) -> u64 {
    let keys = app.keys().into_iter().filter(|key| key.ends_with(":to_archive"));
    keys.map(|key| redis::cmd("XLEN").arg(key).query::<u64>(&mut app.redis()).expect("XLEN works")).sum()
}

/// What each event tells in short: its kind, and of each window name and score.
fn told(events: &[Value]) -> Vec<String> {
    let window = |window: &Value| format!(" {}={}", window["window"].as_str().expect("a name"), window["score"]);
    let windows = |event: &Value| event["windows"].as_array().expect("windows").iter().map(window).collect::<String>();
    events.iter().map(|event| event["kind"].as_str().expect("a kind").to_owned() + &windows(event)).collect()
}

fn windows() -> Value {
    json!([{"name": "all_time"}, {"name": "daily", "reset": "daily"}])
}

async fn a_history_has_what_changed(database: Database) {
    let app = with_archive(&database.url()).spawn().await;
    let columns = json!([{"name": "time", "order": "ascending"}, {"name": "stars"}]);
    app.create("race", json!({"windows": windows(), "subscores": columns})).await;
    let row =
        |score: f64, time: i64| json!({"member": "ann", "score": score, "subscores": {"time": time, "stars": -1}});
    app.submit_row("race", row(10.5, 3)).await.is(200);
    // Worse: nothing changes.
    app.submit_row("race", row(9.0, 3)).await.is(200);
    app.advance(DAY);
    // Better than that of this day alone.
    app.submit_row("race", row(7.0, 4)).await.is(200);
    app.advance(Duration::from_secs(1));
    app.submit_row("race", row(10.5, 2)).await.is(200);
    let happened = app.until_happened("race", "ann", 3).await;
    assert_eq!(told(&happened), ["score all_time=10.5 daily=10.5", "score daily=7", "score all_time=10.5 daily=10.5"]);
    let first = json!({"at": "2026-11-23T05:40:00.000Z", "kind": "score", "windows": [
        {"window": "all_time", "period": "open", "score": 10.5, "subscores": {"stars": -1, "time": 3}},
        {"window": "daily", "period": "2026-11-23T00:00:00.000Z", "score": 10.5, "subscores": {"stars": -1, "time": 3}}]});
    assert_eq!(happened[2], first);
    assert_eq!(happened[1]["windows"][0]["period"], "2026-11-24T00:00:00.000Z");
    assert_eq!(database.events().await, 3);
    let unknown = app.member_history("never", "ann", "").await.is(200);
    assert_eq!(unknown.json(), &json!({"leaderboard": "never", "member": "ann", "history": []}));
}

#[tokio::test]
async fn a_history_has_what_changed_in_sqlite() {
    a_history_has_what_changed(Database::sqlite()).await;
}

#[tokio::test]
async fn a_history_has_what_changed_in_postgres() {
    a_history_has_what_changed(Database::postgres().await).await;
}

async fn a_history_is_filtered_and_paged(database: Database) {
    let app = with_archive(&database.url()).spawn().await;
    app.create(
        "race",
        json!({"operator": "latest", "windows": [{"name": "all"}, {"name": "all_time"}, {"name": "all.x"}]}),
    )
    .await;
    for score in 0..7 {
        app.submit("race", "ann", score).await;
        app.submit("race", "an", 100 + score).await;
        if score % 2 == 0 {
            app.advance(Duration::from_secs(1));
        }
    }
    let only = json!({"score": 70, "window": "all", "reason": "a test"});
    app.put("/v1/leaderboards/race/members/ann", only).await.is(200);
    app.delete("/v1/leaderboards/race/members/ann").await.is(204);
    app.until_happened("race", "ann", 9).await;
    app.until_happened("race", "an", 7).await;

    let scores = async |query: &str| -> Vec<String> {
        let page = app.member_history("race", "ann", query).await.is(200);
        told(events(&page)).iter().map(|event| event.rsplit('=').next().unwrap_or_default().to_owned()).collect()
    };
    let all = ["removal", "70", "6", "5", "4", "3", "2", "1", "0"];
    assert_eq!(scores("").await, all);
    assert_eq!(scores("window=all_time").await, ["removal", "6", "5", "4", "3", "2", "1", "0"]);
    assert_eq!(scores("window=all").await, all);
    assert_eq!(scores("window=al").await, ["removal"]);
    let span = format!("from={}&to={}", encoded(&at(1000)), encoded(&at(3000)));
    assert_eq!(scores(&span).await, ["4", "3", "2", "1"]);

    for limit in 1..4 {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app.member_history("race", "ann", &format!("limit={limit}{cursor}")).await.is(200);
            assert!(events(&page).len() <= limit);
            seen.extend(events(&page).to_vec());
            let Some(next) = page.next_cursor() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, events(&app.member_history("race", "ann", "").await), "{limit} at once");
    }
    let next = app.member_history("race", "ann", "limit=1").await.next_cursor().expect("there is more").to_owned();
    app.member_history("race", "an", &format!("cursor={next}")).await.fails_with(400, "malformed-request");
    app.member_history("other", "ann", &format!("cursor={next}")).await.fails_with(400, "malformed-request");
    for (query, parameter) in
        [("window=a%20b", "window"), ("from=x", "from"), ("limit=0", "limit"), ("period=x", "period")]
    {
        app.member_history("race", "ann", query).await.fails_with(422, "invalid").fails_at(&[parameter]);
    }
}

#[tokio::test]
async fn a_history_is_filtered_and_paged_in_sqlite() {
    a_history_is_filtered_and_paged(Database::sqlite()).await;
}

#[tokio::test]
async fn a_history_is_filtered_and_paged_in_postgres() {
    a_history_is_filtered_and_paged(Database::postgres().await).await;
}

#[tokio::test]
async fn administrators_see_who_did_what_and_others_what_became_of_scores() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).admin_token(ADMIN).spawn().await;
    let reader = app.mint(json!({"name": "reader", "scopes": ["leaderboards:read"]})).await;
    let board = "/v1/leaderboards/race";
    app.submit("race", "ann", 5).await;
    app.put(format!("{board}/members/ann"), json!({"score": 3, "reason": "too \u{e9}arly"})).await.is(200);
    app.put(format!("{board}/bans/ann"), json!({"shadow": true, "reason": "bot"})).await.is(201);
    app.submit("race", "ann", 90).await;
    app.delete(format!("{board}/bans/ann")).await.is(204);
    // What is on all leaderboards has a clock of its own, which may be a little behind.
    app.advance(Duration::from_secs(1));
    app.put("/v1/bans/ann", json!({})).await.is(201);
    app.delete("/v1/bans/ann").await.is(204);
    app.advance(Duration::from_secs(1));
    app.submit("race", "bob", 50).await;
    app.delete(format!("{board}/members?min_score=60")).await.is(200);
    app.submit("race", "ann", 1).await;
    app.delete(format!("{board}/members/ann")).await.is(204);

    let happened = app.until_happened("race", "ann", 10).await;
    let expected = [
        "removal",
        "score all_time=1",
        "removal",
        "unban",
        "ban",
        "unban",
        "score all_time=90",
        "ban",
        "adjustment all_time=3",
        "score all_time=5",
    ];
    assert_eq!(told(&happened), expected);
    let flags: Vec<(bool, bool)> =
        happened.iter().map(|event| (event["hidden"] == true, event["service_wide"] == true)).collect();
    let set = |flag: fn(&(bool, bool)) -> bool| -> Vec<usize> {
        flags.iter().enumerate().filter(|(_, flags)| flag(flags)).map(|(at, _)| at).collect()
    };
    assert_eq!((set(|flags| flags.0), set(|flags| flags.1)), (vec![6, 7], vec![3, 4]));
    assert_eq!((&happened[8]["by"], &happened[8]["reason"]), (&json!("admin"), &json!("too \u{e9}arly")));
    assert_eq!((&happened[7]["by"], &happened[7]["reason"]), (&json!("admin"), &json!("bot")));
    assert_eq!(happened[9].get("by"), None);

    let seen = app.request("GET", format!("{board}/members/ann/history")).token(&reader).send().await.is(200);
    assert_eq!(
        told(events(&seen)),
        ["removal", "score all_time=1", "removal", "adjustment all_time=3", "score all_time=5"]
    );
    for hidden in ["by", "reason", "hidden"] {
        assert!(events(&seen).iter().all(|event| event.get(hidden).is_none()), "{hidden}");
    }
    let fewer = app.mint(json!({"name": "fewer", "scopes": ["leaderboards:read"], "leaderboards": ["other*"]})).await;
    app.request("GET", format!("{board}/members/ann/history")).token(&fewer).send().await.fails_with(403, "forbidden");
}

#[tokio::test]
async fn what_counts_once_stands_there_once() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    app.create("race", json!({"operator": "sum", "ties": "member"})).await;
    for _ in 0..3 {
        let one =
            app.request("POST", "/v1/leaderboards/race/scores").key("k").body(json!({"member": "ann", "score": 5}));
        one.send().await.is(200);
        let items = json!({"scores": [{"member": "ann", "score": 1}, {"member": "ann", "score": 1}, {"member": "bob", "score": 1}]});
        app.request("POST", "/v1/leaderboards/race/scores/batch").key("b").body(items).send().await.is(200);
    }
    // The clock stands, and there are no times in the ranking: they are told apart all the same.
    assert_eq!(
        told(&app.until_happened("race", "ann", 3).await),
        ["score all_time=7", "score all_time=6", "score all_time=5"]
    );
    app.until_nothing_is_on_its_way().await;
    assert_eq!(database.events().await, 4);
}

#[tokio::test]
async fn totals_that_decay_are_kept_as_they_were() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    app.create("hot", json!({"operator": "sum", "half_life_ms": 86_400_000})).await;
    app.submit("hot", "ann", 100).await;
    app.advance(DAY);
    app.submit("hot", "ann", 7).await;
    app.advance(DAY);
    assert_eq!(told(&app.until_happened("hot", "ann", 2).await), ["score all_time=57", "score all_time=100"]);
}

#[tokio::test]
async fn every_shard_and_every_item_of_a_batch_arrives() {
    const MEMBERS: i64 = 500;
    for settings in [json!({"shards": 7}), json!({"order": "ascending", "windows": windows()})] {
        let database = Database::sqlite();
        let app = with_archive(&database.url()).set("archive_batch", "7").spawn().await;
        app.create("wide", settings).await;
        let rows: Vec<(String, i64)> = (0..MEMBERS).map(|number| (format!("member-{number}"), number)).collect();
        app.fill("wide", rows.iter().map(|(member, score)| (member.as_str(), *score))).await;
        for (member, _) in &rows[..20] {
            app.put(format!("/v1/leaderboards/wide/bans/{member}"), json!({})).await.is(201);
        }
        let removed = app.delete("/v1/leaderboards/wide/members?min_score=100&max_score=349&limit=1000").await.is(200);
        assert_eq!(removed["removed"].as_array().map(Vec::len), Some(250));
        let all = MEMBERS + 20 + 250;
        eventually("all rows are there", async || (database.events().await == all).then_some(())).await;
        app.until_nothing_is_on_its_way().await;
        assert_eq!(database.events().await, all);
        let first = app.member_history("wide", "member-3", "").await.is(200);
        assert_eq!(told(events(&first)).len(), 2);
        let gone = app.member_history("wide", "member-120", "window=all_time").await.is(200);
        assert_eq!(told(&events(&gone)[..1]), ["removal"]);
    }
}

#[tokio::test]
async fn without_an_archive_nothing_of_a_history_is_kept() {
    let app = TestApp::spawn().await;
    app.submit("race", "ann", 1).await;
    app.put("/v1/leaderboards/race/bans/ann", json!({})).await.is(201);
    app.put("/v1/bans/bob", json!({})).await.is(201);
    app.delete("/v1/leaderboards/race").await.is(204);
    assert!(app.keys().iter().all(|key| !key.contains("archiv")), "{:?}", app.keys());
    app.member_history("race", "ann", "").await.fails_with(409, "archive-off");
}

#[tokio::test]
async fn scores_go_on_counting_while_the_archive_is_away_and_all_arrive() {
    for ending in ["", "deleted"] {
        let directory = TempDir::new().expect("a directory");
        let (url, path) = away(&directory);
        // Full at once: what is sent is kept all the same.
        let mut app = with_archive(&url).set("archive_outbox_max", "2").spawn().await;
        app.create("race", json!({"operator": "sum", "shards": 2})).await;
        for _ in 0..10 {
            app.submit("race", "ann", 1).await;
            app.submit("race", "bob", 1).await;
        }
        let counted =
            async || app.scrape().await.sum("ranq_archive_scores_waiting", &[]).filter(|count| *count >= 20.0);
        eventually("what waits is counted", counted).await;
        app.member_history("race", "ann", "").await.fails_with(503, "archive-unavailable");
        if ending == "deleted" {
            app.delete("/v1/leaderboards/race").await.is(204);
            app.create("race", json!({})).await;
            app.submit("race", "ann", 7).await;
            app.delete("/v1/leaderboards/race").await.is(204);
            // What a process had in its memory is not needed.
            app = app.restart().await;
        }
        std::fs::create_dir(&path).expect("made");
        let count = if ending == "deleted" { 11 } else { 10 };
        let happened = app.until_happened("race", "ann", count).await;
        // The clock stands, so the later leaderboard has the times of the earlier one.
        let told = told(&happened);
        assert!([1, 10].iter().all(|score| told.contains(&format!("score all_time={score}"))), "{told:?}");
        app.until_happened("race", "bob", 10).await;
        let nothing = async || {
            let waits = app.scrape().await.sum("ranq_archive_scores_waiting", &[]);
            let outboxes =
                app.keys().into_iter().filter(|key| key.ends_with(":to_archive") || key.contains("archiving"));
            (waits == Some(0.0) && (ending.is_empty() || outboxes.count() == 0)).then_some(())
        };
        eventually("nothing is left", nothing).await;
        assert_eq!(app.scrape().await.sum("ranq_archive_scores_dropped_total", &[]), Some(0.0));
    }
}

#[tokio::test]
async fn the_oldest_changes_make_room_where_the_settings_say_so() {
    let directory = TempDir::new().expect("a directory");
    let (url, path) = away(&directory);
    let app = with_archive(&url).set("archive_outbox_max", "2").set("archive_when_full", "drop-oldest").spawn().await;
    app.create("race", json!({"operator": "sum"})).await;
    app.fill("race", [("ann", 1), ("bob", 1), ("cid", 1)]).await;
    for _ in 0..4 {
        app.submit("race", "ann", 1).await;
    }
    assert_eq!(on_their_way(&app), 2);
    std::fs::create_dir(&path).expect("made");
    assert_eq!(told(&app.until_happened("race", "ann", 2).await), ["score all_time=5", "score all_time=4"]);
    // A batch of three, and two.
    let dropped = async || app.scrape().await.sum("ranq_archive_scores_dropped_total", &[]).filter(|rows| *rows == 5.0);
    eventually("five rows are counted as dropped", dropped).await;
    assert!(events(&app.member_history("race", "bob", "").await.is(200)).is_empty());
}

/// Rounds of scores, each of which ends with a kill in the middle of what is written.
async fn no_kill_loses_or_doubles_an_event(database: Database) {
    const ROUNDS: usize = 5;
    const CALLS: usize = 30;
    const ITEMS: usize = 10;
    let (redis, directory) = (OwnRedis::spawn().await, TempDir::new().expect("a directory"));
    let (redis_url, url) = (redis.url(), database.url());
    let arguments =
        ["--redis-url", &redis_url, "--archive-url", &url, "--archive-batch", "20", "--archive-every-ms", "10"];
    let client = client_builder().build().expect("a client");
    let board = |service: &Process, rest: &str| format!("http://{}/v1/leaderboards/race{rest}", service.address());
    for round in 0..ROUNDS {
        let mut service = Process::spawn_with(directory.path(), &arguments).await;
        if round == 0 {
            let settings = json!({"operator": "sum", "ties": "member", "shards": 3});
            client.put(board(&service, "")).json(&settings).send().await.expect("the service answers");
        }
        let before = database.events().await;
        for _ in 0..CALLS {
            let item = |number: usize| json!({"member": format!("m{number}"), "score": 1});
            let body = json!({"scores": (0..ITEMS).map(item).collect::<Vec<Value>>()});
            let answer = client.post(board(&service, "/scores/batch")).json(&body).send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
        }
        // Whose turn it is writes the first rows when the turn of the one before has run out.
        eventually("it writes", async || (database.events().await > before).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(15 * round as u64)).await;
        service.signal(Signal::KILL);
        service.ended().await;
    }
    let service = Process::spawn_with(directory.path(), &arguments).await;
    let wanted = i64::try_from(ROUNDS * CALLS * ITEMS).expect("a number");
    eventually("all rows are there", async || (database.events().await == wanted).then_some(())).await;
    let emptied = async || {
        let mut connection = redis.connect().expect("it runs");
        let left = |key: &str| redis::cmd("XLEN").arg(key).query::<u64>(&mut redis.connect().expect("it runs"));
        let keys: Vec<String> = redis::cmd("KEYS").arg("*:to_archive").query(&mut connection).expect("KEYS works");
        keys.iter().all(|key| left(key).expect("XLEN works") == 0).then_some(())
    };
    eventually("nothing is on its way", emptied).await;
    assert_eq!(database.events().await, wanted);
    let history: Value = service.get("/v1/leaderboards/race/members/m3/history?limit=1000").await;
    let scores: Vec<i64> = (1..=i64::try_from(ROUNDS * CALLS).expect("a number")).rev().collect();
    let kept = history["history"].as_array().expect("a history").iter();
    assert_eq!(kept.map(|event| event["windows"][0]["score"].as_i64().expect("a score")).collect::<Vec<_>>(), scores);
}

#[tokio::test]
async fn no_kill_loses_or_doubles_an_event_in_sqlite() {
    no_kill_loses_or_doubles_an_event(Database::sqlite()).await;
}

#[tokio::test]
async fn no_kill_loses_or_doubles_an_event_in_postgres() {
    no_kill_loses_or_doubles_an_event(Database::postgres().await).await;
}

#[tokio::test]
async fn a_server_that_goes_away_and_comes_back_gets_all_events() {
    let Database::Postgres(mut server) = Database::postgres().await else { panic!("it is one") };
    let app = with_archive(&server.url()).spawn().await;
    app.create("race", json!({"operator": "sum"})).await;
    app.submit("race", "ann", 1).await;
    app.until_happened("race", "ann", 1).await;
    server.stop();
    for _ in 0..3 {
        app.submit("race", "ann", 1).await;
    }
    app.member_history("race", "ann", "").await.fails_with(503, "archive-unavailable");
    server.start().await;
    app.until_happened("race", "ann", 4).await;
}
