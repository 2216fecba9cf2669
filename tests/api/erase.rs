//! Members that are removed from everywhere.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, OwnRedis, TestApp, eventually};

const ADMIN: &str = "a-long-secret-of-ours";
const DAY: Duration = Duration::from_secs(86_400);
/// A name that stands in nothing else.
const ZOE: &str = "zoe-4711";
const PENDING: &str = "ranq:erasing";

impl TestApp {
    async fn erase(&self, member: &str, query: &str) -> Answer {
        self.delete(format!("/v1/members/{member}?{query}")).await
    }

    /// The keys that know of a text, in their names or in what they hold.
    fn keys_with(&self, text: &str) -> Vec<String> {
        let mut redis = self.redis();
        let mut holds = |key: &String| {
            let kind: String = redis::cmd("TYPE").arg(key).query(&mut redis).expect("TYPE works");
            let read: &[&str] = match kind.as_str() {
                "hash" => &["HGETALL"],
                "zset" | "list" => &[if kind == "list" { "LRANGE" } else { "ZRANGE" }],
                "stream" => &["XRANGE"],
                "set" => &["SMEMBERS"],
                "string" => &["GET"],
                _ => return false,
            };
            let mut command = redis::cmd(read[0]);
            command.arg(key);
            match kind.as_str() {
                "zset" | "list" => drop(command.arg(0).arg(-1)),
                "stream" => drop(command.arg("-").arg("+")),
                _ => {}
            }
            let value: redis::Value = command.query(&mut redis).expect("it is read");
            holds_text(&value, text.as_bytes()) || key.contains(text)
        };
        self.keys().into_iter().filter(|key| holds(key)).collect()
    }

    /// A leaderboard with whatever one may keep of a member: two windows, metadata, segments, a submission limit, snapshots.
    async fn full_board(&self, board: &str) {
        let windows = json!([{"name": "daily", "reset": "daily"}, {"name": "all_time"}]);
        let settings = json!({"windows": windows, "segments": ["country"], "snapshots": {"top": 100, "keep": 5},
            "submission_limit": {"limit": 5, "per_ms": 864_000_000}});
        self.create(board, settings).await.is(201);
    }

    async fn rows(&self, board: &str, rows: &[(&str, u64)]) {
        for (member, score) in rows {
            let row =
                json!({"member": member, "score": score, "metadata": {"of": member}, "segments": {"country": "ch"}});
            self.submit_row(board, row).await.is(200);
        }
    }

    async fn pending_erasures(&self) -> usize {
        redis::cmd("HLEN").arg(PENDING).query(&mut self.redis()).expect("HLEN works")
    }
}

fn holds_text(value: &redis::Value, text: &[u8]) -> bool {
    match value {
        redis::Value::BulkString(bytes) => bytes.windows(text.len()).any(|part| part == text),
        redis::Value::SimpleString(found) => found.as_bytes() == text,
        redis::Value::Array(values) | redis::Value::Set(values) => values.iter().any(|value| holds_text(value, text)),
        redis::Value::Map(pairs) => pairs.iter().any(|(name, value)| holds_text(name, text) || holds_text(value, text)),
        _ => false,
    }
}

fn counts(answer: &Answer) -> [u64; 4] {
    ["leaderboards", "entries", "tokens", "archived"].map(|count| answer[count].as_u64().expect("a count"))
}

#[tokio::test]
async fn everything_of_a_member_goes_and_nothing_of_others() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    app.full_board("race").await;
    app.create("wide", json!({"shards": 7})).await.is(201);
    app.create("ties", json!({"ties": "member", "segments": ["country"]})).await.is(201);
    app.create("others", json!({})).await.is(201);
    app.rows("race", &[("ann", 30), (ZOE, 20), ("bob", 10)]).await;
    app.rows("ties", &[("ann", 30), (ZOE, 20)]).await;
    for (member, score) in [("ann", 30), (ZOE, 20), ("bob", 10), ("cid", 5), ("dan", 4)] {
        app.submit("wide", member, score).await;
    }
    app.submit("others", "ann", 1).await;
    app.advance(DAY);
    let taken = async || {
        let answer = app.get("/v1/leaderboards/race/windows/all_time/snapshots").await.is(200);
        (answer["snapshots"].as_array().expect("snapshots").len() == 1).then_some(())
    };
    eventually("a snapshot is taken", taken).await;
    app.rows("race", &[("ann", 31), (ZOE, 40)]).await;
    // Hidden on one of them, and beside what comes afterwards.
    app.put(format!("/v1/leaderboards/ties/bans/{ZOE}"), json!({"shadow": true})).await.is(201);
    let since = "2026-11-24T05:40:00Z";
    let before = app.get(format!("/v1/leaderboards/race/rankings?window=all_time&since={since}")).await.is(200);
    assert_eq!(before["entries"][0]["previous_rank"], 2, "{}", before.text());
    assert!(app.keys_with(ZOE).len() > 15, "{:?}", app.keys_with(ZOE));

    let answer = app.erase(ZOE, "reason=asked%20for%20it").await.is(200);
    assert_eq!((answer["member"].as_str(), counts(&answer)), (Some(ZOE), [3, 5, 0, 0]));
    let left = app.keys_with(ZOE);
    let lists = ["ranq:{audit:service}:log", "ranq:{lb:ties}:audit:"];
    assert!(left.iter().all(|key| lists.iter().any(|list| key.starts_with(list))), "{left:?}");
    assert_eq!(app.pending_erasures().await, 0);

    for board in ["race", "wide", "ties"] {
        app.member(board, ZOE).await.fails_with(404, "not-found");
    }
    let after = app.get(format!("/v1/leaderboards/race/rankings?window=all_time&since={since}")).await.is(200);
    assert_eq!((after.members(), after.ranks()), (vec!["ann", "bob"], vec![1, 2]));
    let previous: Vec<&Value> =
        after["entries"].as_array().expect("entries").iter().map(|e| &e["previous_rank"]).collect();
    assert_eq!(previous, [1, 3], "they are as they were then");
    let ended = app.rankings("race", "window=daily&period=2026-11-23T00:00:00.000Z").await.is(200);
    assert_eq!((ended.members(), ended.ranks()), (vec!["ann", "bob"], vec![1, 2]));
    let wide = app.rankings("wide", "").await.is(200);
    assert_eq!((wide.members(), wide.ranks()), (vec!["ann", "bob", "cid", "dan"], vec![1, 2, 3, 4]));
    assert_eq!(app.rankings("ties", "segment=country:ch").await.is(200).members(), ["ann"]);
    assert_eq!(app.rankings("others", "").await.is(200).members(), ["ann"]);
    assert_eq!(app.member("race", "ann").await.is(200)["metadata"], json!({"of": "ann"}));

    let entry = app.get("/v1/audit?limit=1").await.is(200)["entries"][0].clone();
    assert_eq!((&entry["operation"], &entry["reason"]), (&json!("erase_member"), &json!("asked for it")));
    assert_eq!(entry["parameters"], json!({"member": ZOE}));
    assert_eq!(counts(&app.erase(ZOE, "").await.is(200)), [0, 0, 0, 0], "nothing is left, and it is no error");
}

#[tokio::test]
async fn a_score_that_comes_afterwards_is_a_new_entry() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "sum", "submission_limit": {"limit": 1, "per_ms": 60_000}})).await.is(201);
    app.submit("race", "ann", 50).await;
    app.put("/v1/leaderboards/race/bans/ann", json!({})).await.is(201);
    assert_eq!(counts(&app.erase("ann", "").await.is(200)), [1, 1, 0, 0]);
    app.get("/v1/leaderboards/race/bans/ann").await.fails_with(404, "not-found");
    assert!(app.get("/v1/leaderboards/race/bans").await.is(200)["bans"].as_array().expect("bans").is_empty());
    let answer = app.submit_row("race", json!({"member": "ann", "score": 7})).await.is(200);
    assert_eq!(answer["score"], 7, "{}", answer.text());
    assert_eq!(app.member("race", "ann").await.is(200)["score"], 7);
}

#[tokio::test]
async fn its_tokens_open_no_more_and_those_of_others_do() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let token = async |member: Option<&str>| {
        let mut token = json!({"name": "player", "scopes": ["scores:write", "leaderboards:read"]});
        if let Some(member) = member {
            token["member"] = json!(member);
        }
        app.mint(token).await
    };
    let (first, second) = (token(Some("ann")).await, token(Some("ann")).await);
    let (other, backend) = (token(Some("anna")).await, token(None).await);
    let submit = async |token: &str, member: &str| {
        let row = json!({"member": member, "score": 5});
        app.request("POST", "/v1/leaderboards/race/scores").token(token).body(row).send().await
    };
    for (token, member) in [(&first, "ann"), (&second, "ann"), (&other, "anna"), (&backend, "bob")] {
        submit(token, member).await.is(200);
    }
    app.request("DELETE", "/v1/members/ann").token(&first).send().await.fails_with(403, "forbidden");
    let some = json!({"name": "some", "scopes": ["leaderboards:admin"], "leaderboards": ["race"]});
    let some = app.mint(some).await;
    app.request("DELETE", "/v1/members/ann").token(&some).send().await.fails_with(403, "forbidden");
    assert_eq!(counts(&app.erase("ann", "").await.is(200)), [1, 1, 2, 0]);
    submit(&first, "ann").await.fails_with(401, "unauthenticated");
    submit(&second, "ann").await.fails_with(401, "unauthenticated");
    submit(&other, "anna").await.is(200);
    submit(&backend, "ann").await.is(200);
}

#[tokio::test]
async fn a_service_wide_ban_stays_unless_it_is_to_go() {
    let app = TestApp::spawn().await;
    app.fill("race", [("ann", 30), ("bob", 20)]).await;
    app.put("/v1/bans/ann", json!({"shadow": true})).await.is(201);
    assert_eq!(counts(&app.erase("ann", "").await.is(200)), [1, 1, 0, 0], "what is hidden goes");
    app.get("/v1/bans/ann").await.is(200);
    app.submit("race", "ann", 40).await;
    assert_eq!(app.rankings("race", "").await.members(), ["bob"], "and it is still banned");
    assert_eq!(counts(&app.erase("ann", "bans=true").await.is(200)), [1, 1, 0, 0]);
    app.get("/v1/bans/ann").await.fails_with(404, "not-found");
    assert_eq!(app.rankings("race", "").await.members(), ["bob"]);
    app.submit("race", "ann", 5).await;
    assert_eq!(app.rankings("race", "").await.members(), ["bob", "ann"]);
    app.erase("ann", "bans=maybe").await.fails_with(422, "invalid").fails_at(&["bans"]);
    app.erase("ann", "force=true").await.fails_with(422, "invalid").fails_at(&["force"]);
}

/// A leaderboard whose settings cannot be read stands in the way.
#[tokio::test]
async fn what_was_cut_off_another_instance_finishes() {
    let redis = OwnRedis::spawn().await;
    let app = async || TestApp::with().redis_url(&redis.url()).spawn().await;
    let one = app().await;
    for board in ["a", "b", "c"] {
        one.fill(board, [(ZOE, 30), ("bob", 20)]).await;
    }
    one.put(format!("/v1/bans/{ZOE}"), json!({})).await.is(201);
    drop(one);
    let mut connection = redis.connect().expect("it can be reached");
    let key = "ranq:{lb:b}:board";
    let settings: String = redis::cmd("HGET").arg(&[key, "settings"]).query(&mut connection).expect("HGET works");
    redis::cmd("HSET").arg(&[key, "settings", "{"]).exec(&mut connection).expect("HSET works");
    // Nothing of `b` is cached.
    let one = app().await;
    let answer = one.erase(ZOE, "bans=true").await.is(202);
    assert_eq!(counts(&answer), [2, 2, 0, 0], "the others are reached");
    assert_eq!(one.pending_erasures().await, 1);
    one.get(format!("/v1/bans/{ZOE}")).await.is(200);
    let other = app().await;
    redis::cmd("HSET").arg(&[key, "settings", &settings]).exec(&mut connection).expect("HSET works");
    drop(one);
    other.advance(Duration::from_secs(20));
    eventually("it is finished", async || (other.pending_erasures().await == 0).then_some(())).await;
    for board in ["a", "b", "c"] {
        assert_eq!(other.rankings(board, "").await.is(200).members(), ["bob"]);
    }
    other.get(format!("/v1/bans/{ZOE}")).await.fails_with(404, "not-found");
    other.submit("b", ZOE, 1).await;
}

#[tokio::test]
async fn with_an_archive_it_goes_on_until_all_has_arrived_there() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("later");
    let url = format!("sqlite:{}", path.join("jobs.db").display());
    let app = TestApp::with().set("archive_url", &url).set("archive_every_ms", "10").spawn().await;
    app.submit("race", ZOE, 30).await;
    app.submit("race", "ann", 10).await;
    assert_eq!(counts(&app.erase(ZOE, "").await.is(202)), [1, 1, 0, 0], "the archive is away");
    app.member("race", ZOE).await.fails_with(404, "not-found");
    assert_eq!(app.pending_erasures().await, 1);
    // What was on its way arrives.
    std::fs::create_dir(&path).expect("it is made");
    eventually("all has arrived", async || (app.events_of("ann").await == Some(1)).then_some(())).await;
    let taken_off = async || {
        app.advance(Duration::from_secs(40));
        (app.pending_erasures().await == 0).then_some(())
    };
    eventually("it is taken off", taken_off).await;
    assert_eq!((app.events_of(ZOE).await, app.events_of("ann").await), (Some(0), Some(1)));
}

impl TestApp {
    /// How many events of a member on `race` the archive has.
    async fn events_of(&self, member: &str) -> Option<usize> {
        let page = self.get(format!("/v1/leaderboards/race/members/{member}/history")).await;
        (page.status == 200).then(|| page.json()["history"].as_array().expect("a list").len())
    }
}
