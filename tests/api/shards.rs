//! Leaderboards that are spread over several shards answer as those with one.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp, encoded};

const ONE: &str = "one";
const MANY: &str = "many";
const SHARDS: u64 = 7;

/// An answer without what may differ: the names, cursors, and the time to the microsecond.
fn comparable(answer: &Answer) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for name in ["leaderboard", "next_cursor", "achieved_at", "instance", "created_at", "detail", "shards"]
                {
                    if let Some(field) = fields.get_mut(name) {
                        *field = json!(!field.is_null());
                    }
                }
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut body = answer.json().clone();
    strip(&mut body);
    json!({"status": answer.status, "body": body})
}

/// The first thing that differs.
fn difference(at: &str, many: &Value, one: &Value) -> Option<String> {
    match (many, one) {
        (Value::Object(many), Value::Object(one)) => {
            let names: std::collections::BTreeSet<&String> = many.keys().chain(one.keys()).collect();
            let of =
                |fields: &serde_json::Map<String, Value>, name: &str| fields.get(name).cloned().unwrap_or_default();
            names.into_iter().find_map(|name| difference(&format!("{at}/{name}"), &of(many, name), &of(one, name)))
        }
        (Value::Array(many), Value::Array(one)) if many.len() == one.len() => {
            let mut pairs = many.iter().zip(one).enumerate();
            pairs.find_map(|(place, (many, one))| difference(&format!("{at}/{place}"), many, one))
        }
        _ => (many != one).then(|| format!("{at} is {many} in many shards, and {one} in one")),
    }
}

/// Two leaderboards with the same settings, but for the shards.
struct Pair {
    app: TestApp,
    random: Rng,
    members: usize,
}

impl Pair {
    async fn new(settings: Value, seed: u64) -> Self {
        let app = TestApp::spawn().await;
        app.create(ONE, settings.clone()).await;
        let mut spread = settings;
        spread["shards"] = json!(SHARDS);
        app.create(MANY, spread).await;
        Self { app, random: Rng::with_seed(seed), members: 60 }
    }

    fn member(&mut self) -> String {
        format!("m{}", self.random.usize(..self.members))
    }

    /// The same request to both, which must be answered alike; the answer.
    async fn both(&self, method: &'static str, path: &str, body: Option<Value>) -> Answer {
        let send = async |board: &str| {
            let request = self.app.request(method, format!("/v1/leaderboards/{board}{path}"));
            match &body {
                Some(body) => request.body(body.clone()).send().await,
                None => request.send().await,
            }
        };
        let (one, many) = (send(ONE).await, send(MANY).await);
        if let Some(difference) = difference("", &comparable(&many), &comparable(&one)) {
            panic!("{method} {path}: {difference}");
        }
        many
    }

    fn row(&mut self, settings: &Value) -> Value {
        let mut row = json!({"member": self.member(), "score": self.random.i64(0..12)});
        if settings["segments"].is_array() && self.random.bool() {
            row["segments"] = json!({"country": (["KR", "JP", "FR"][self.random.usize(..3)])});
        }
        if settings["subscores"].is_array() {
            row["subscores"] = json!({"time": self.random.i64(0..3)});
        }
        if self.random.u8(..4) == 0 {
            row["metadata"] = json!({"n": self.random.u8(..)});
        }
        row
    }

    async fn change(&mut self, settings: &Value) {
        match self.random.u8(..20) {
            0 => {
                let path = format!("/members/{}", self.member());
                self.both("DELETE", &path, None).await;
            }
            1 => {
                let row = self.row(settings);
                let path = format!("/members/{}", row["member"].as_str().expect("a name"));
                let mut body = json!({"score": row["score"]});
                if row["subscores"].is_object() {
                    body["subscores"] = row["subscores"].clone();
                }
                self.both("PUT", &path, Some(body)).await;
            }
            2 => {
                let rows: Vec<Value> = (0..self.random.usize(1..70)).map(|_| self.row(settings)).collect();
                // Ranks are those of the moment after fifty items, and not after each.
                self.both("POST", "/scores/batch?ranks=false", Some(json!({"scores": rows}))).await;
            }
            _ => {
                let row = self.row(settings);
                self.both("POST", "/scores", Some(row)).await;
            }
        }
    }

    async fn compare(&mut self, settings: &Value) {
        let mut views = vec![String::new(), "&ranking=competition".to_owned()];
        if settings["segments"].is_array() {
            views.extend(["&segment=country:KR", "&segment=country:KR&ranking=competition"].map(str::to_owned));
            self.both("GET", "/segments/country", None).await;
            self.both("GET", "/segments/country?limit=1", None).await;
        }
        if settings["windows"].is_array() {
            views.push("&window=daily".to_owned());
            self.both("GET", "/windows/daily/periods", None).await;
            self.both("GET", "/windows/all_time/periods", None).await;
        }
        self.both("GET", "", None).await;
        for view in &views {
            for offset in [0, 1, 7, 30, 59, 200] {
                for limit in [1, 4, 20] {
                    self.both("GET", &format!("/rankings?offset={offset}&limit={limit}{view}"), None).await;
                }
            }
            self.walk(view).await;
            for _ in 0..8 {
                let member = self.member();
                self.both("GET", &format!("/members/{}?{view}", encoded(&member)), None).await;
                let radius = self.random.u8(..6);
                self.both("GET", &format!("/members/{}/around?radius={radius}{view}", encoded(&member)), None).await;
            }
            for score in [-1, 3, 4, 11, 500] {
                self.both("GET", &format!("/around?score={score}&radius=4{view}"), None).await;
            }
            let members: Vec<String> = (0..70).map(|number| format!("m{number}")).collect();
            self.both("POST", &format!("/members/lookup?{view}"), Some(json!({"members": members}))).await;
            if !view.contains("ranking") {
                for buckets in [1, 5, 20] {
                    self.both("GET", &format!("/distribution?buckets={buckets}{view}"), None).await;
                }
            }
        }
    }

    /// Page by page, each going on where the one before ended.
    async fn walk(&self, view: &str) {
        let mut cursors: [Option<String>; 2] = [None, None];
        loop {
            let mut pages = Vec::new();
            for (board, cursor) in [ONE, MANY].into_iter().zip(&mut cursors) {
                let at = cursor.take().map_or(String::new(), |cursor| format!("&cursor={cursor}"));
                let page = self.app.get(format!("/v1/leaderboards/{board}/rankings?limit=7{view}{at}")).await.is(200);
                *cursor = page.next_cursor().map(str::to_owned);
                pages.push(comparable(&page));
            }
            assert_eq!(difference("", &pages[1], &pages[0]), None, "{view}");
            if cursors[0].is_none() {
                return;
            }
        }
    }
}

async fn the_same(settings: Value, seed: u64) {
    let mut pair = Pair::new(settings.clone(), seed).await;
    for round in 0..3 {
        for _ in 0..90 {
            pair.change(&settings).await;
            if pair.random.u8(..10) == 0 {
                pair.app.advance(Duration::from_millis(pair.random.u64(1..5000)));
            }
        }
        pair.compare(&settings).await;
        if round == 1 && settings["windows"].is_array() {
            pair.app.advance(Duration::from_secs(20 * 3600));
        }
    }
}

#[tokio::test]
async fn the_best_score_counts_and_the_first_who_reached_it_is_ahead() {
    the_same(json!({"segments": ["country"]}), 1).await;
}

#[tokio::test]
async fn sums_with_windows_and_the_last_who_reached_a_score_ahead() {
    let windows = json!([{"name": "all_time"}, {"name": "daily", "reset": "daily", "keep": 3}]);
    the_same(json!({"operator": "sum", "ties": "latest", "windows": windows}), 2).await;
}

#[tokio::test]
async fn the_latest_score_upwards_with_subscores_and_ties_by_member() {
    let subscores = json!([{"name": "time", "order": "ascending"}]);
    let settings = json!({"operator": "latest", "order": "ascending", "ties": "member", "subscores": subscores});
    the_same(settings, 3).await;
}

/// Pages so deep that their place is told by splitters first.
#[tokio::test]
async fn pages_in_the_depth_are_the_same() {
    let mut pair = Pair::new(json!({}), 4).await;
    pair.members = 1_000_000;
    for _ in 0..8 {
        let rows: Vec<Value> = (0..1000).map(|_| json!({"member": pair.member(), "score": 0})).collect();
        let rows: Vec<Value> = rows
            .into_iter()
            .map(|mut row| {
                row["score"] = json!(pair.random.i64(0..300));
                row
            })
            .collect();
        pair.both("POST", "/scores/batch?ranks=false", Some(json!({"scores": rows}))).await;
    }
    for offset in [480, 501, 777, 1999, 4000, 5555, 7900, 7990, 9000] {
        for view in ["", "&ranking=competition"] {
            pair.both("GET", &format!("/rankings?offset={offset}&limit=100{view}"), None).await;
        }
    }
    pair.both("GET", "/distribution?buckets=10", None).await;
}

#[tokio::test]
async fn entries_are_spread_and_go_with_the_leaderboard() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"shards": 5})).await;
    let rows: Vec<(String, i64)> = (0..100).map(|number| (format!("m{number}"), number)).collect();
    app.fill("race", rows.iter().map(|(member, score)| (member.as_str(), *score))).await;
    let rankings: Vec<String> = app.keys().into_iter().filter(|key| key.contains("}:rank:")).collect();
    assert_eq!(rankings.len(), 5, "{rankings:?}");
    assert!(rankings[4].starts_with("ranq:{lb:race}:") || rankings[4].starts_with("ranq:{lb4:race}:"), "{rankings:?}");
    assert_eq!(app.get("/v1/leaderboards/race").await["entries"], 100);
    app.delete("/v1/leaderboards/race").await.is(204);
    assert_eq!(app.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_key_counts_once_whichever_shards_it_meets() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "sum", "shards": 9})).await;
    let submit = async |key: &str, member: &str| {
        let request = app.request("POST", "/v1/leaderboards/race/scores").key(key);
        request.body(json!({"member": member, "score": 5})).send().await
    };
    for number in 0..20 {
        let (key, member) = (format!("k{number}"), format!("m{number}"));
        let first = submit(&key, &member).await.is(200);
        let again = submit(&key, &member).await.is(200);
        assert!(again.was_replayed() && !first.was_replayed());
        assert_eq!((&again["score"], &again["rank"]), (&first["score"], &first["rank"]));
        submit(&key, &format!("other{number}")).await.fails_with(409, "idempotency-mismatch");
    }
    assert_eq!(app.get("/v1/leaderboards/race").await["entries"], 20);
    let batch = async |rows: Vec<Value>| {
        let request = app.request("POST", "/v1/leaderboards/race/scores/batch").key("whole");
        request.body(json!({"scores": rows})).send().await
    };
    let rows: Vec<Value> = (0..120).map(|number| json!({"member": format!("m{number}"), "score": 1})).collect();
    let first = batch(rows.clone()).await.is(200);
    let again = batch(rows).await.is(200);
    // Ranks are those of now: of all shards, no script can keep them with the answer.
    let standings = |answer: &Answer| -> Vec<Value> {
        let results = answer["results"].as_array().expect("results").iter();
        results.map(|result| json!([result["member"], result["score"], result["updated"]])).collect()
    };
    assert_eq!(standings(&first), standings(&again));
    batch(vec![json!({"member": "m1", "score": 2})]).await.fails_with(409, "idempotency-mismatch");
    assert_eq!(app.member("race", "m1").await["score"], 6);
    assert_eq!(app.member("race", "m100").await["score"], 1);
}

#[tokio::test]
async fn settings_reach_all_shards_and_one_that_is_behind_is_brought_to_them() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"shards": 4})).await;
    for number in 0..40 {
        app.submit("race", &format!("m{number}"), number).await;
    }
    app.put("/v1/leaderboards/race", json!({"shards": 4, "max_score": 50})).await.is(200);
    app.submit_row("race", json!({"member": "m1", "score": 51})).await.fails_at(&["/score"]);
    // Somebody has removed one by hand.
    let () = redis::cmd("DEL").arg("ranq:{lb3:race}:board").query(&mut app.redis()).expect("DEL works");
    for number in 0..40 {
        app.submit("race", &format!("m{number}"), number + 1).await;
    }
    assert_eq!(app.rankings("race", "limit=100").await["total"], 40);
    app.put("/v1/leaderboards/race", json!({"shards": 5})).await.fails_with(409, "conflict");
    app.put("/v1/leaderboards/race", json!({"shards": 4, "order": "ascending"})).await.fails_with(409, "conflict");
}

#[tokio::test]
async fn what_needs_all_shards_at_once_is_refused() {
    let app = TestApp::spawn().await;
    let rewards = json!([{"window": "all_time", "to_rank": 3, "queue": "q", "payload": {"gems": 1}}]);
    for (setting, value) in [
        ("max_entries", json!(10)),
        ("half_life_ms", json!(100_000)),
        ("snapshots", json!({"top": 10, "keep": 2})),
        ("rewards", rewards),
    ] {
        let mut settings = json!({"shards": 2, "operator": "sum"});
        settings[setting] = value;
        app.put("/v1/leaderboards/race", settings).await.fails_at(&[&format!("/{setting}")]);
    }
    app.create("race", json!({"shards": 2})).await;
    app.rankings("race", "ranking=dense").await.fails_with(422, "invalid");
    app.post("/v1/leaderboards/race/windows/all_time/close", json!({})).await.fails_with(409, "conflict");
    app.put("/v1/leaderboards/wide", json!({"shards": 257})).await.fails_at(&["/shards"]);
}

#[tokio::test]
async fn bans_exports_and_streams_know_all_shards() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"shards": 6})).await;
    for number in 0..30 {
        app.submit("race", &format!("m{number}"), number).await;
    }
    let mut events = app.events("race", "limit=3").await;
    events.next().await;
    app.submit("race", "m7", 1000).await;
    events.until(|event| event.data.to_string().contains("m7")).await;
    for number in [3, 4, 9] {
        app.put(format!("/v1/leaderboards/race/bans/m{number}"), json!({})).await.is(201);
    }
    app.put("/v1/bans/m10", json!({})).await.is(201);
    assert_eq!(app.rankings("race", "").await["total"], 26);
    let bans = app.get("/v1/leaderboards/race/bans?limit=2").await.is(200);
    assert_eq!(bans["bans"].as_array().map(Vec::len), Some(2));
    assert_eq!(bans["bans"][0]["member"], "m3");
    app.submit_row("race", json!({"member": "m10", "score": 5})).await.fails_with(403, "banned");
    app.delete("/v1/leaderboards/race/bans/m3").await.is(204);
    app.delete("/v1/bans/m10").await.is(204);
    assert_eq!(app.rankings("race", "").await["total"], 28);
    assert_eq!(app.get("/v1/leaderboards/race/audit").await["entries"].as_array().map(Vec::len), Some(4));

    let rows = app.get("/v1/leaderboards/race/export").await.is(200).text().to_owned();
    assert_eq!(rows.lines().count(), 28);
    app.create("copy", json!({"shards": 3})).await;
    let import = app.request("POST", "/v1/leaderboards/copy/import").header("content-type", "application/x-ndjson");
    import.body(rows.as_str()).send().await.is(200);
    assert_eq!(app.get("/v1/leaderboards/copy/export").await.text(), rows);

    let path = "/v1/leaderboards/race/members?min_score=10&max_score=20&limit=5";
    let removed = app.delete(path).await;
    assert_eq!(removed["removed"][0]["member"], "m20");
    assert_eq!(removed["removed"][4]["member"], "m16");
    assert_eq!((removed.status, &removed["remaining"]), (200, &json!(6)), "{}", removed.text());
}

#[tokio::test]
async fn what_comes_again_is_answered_as_at_first_whatever_the_settings_are_by_now() {
    let app = TestApp::spawn().await;
    let windows = json!([{"name": "all_time"}, {"name": "other"}]);
    let settings = |max_score: i64, windows: &Value| json!({"operator": "sum", "shards": 5, "max_score": max_score, "windows": windows});
    app.create("race", settings(10, &windows)).await;
    // Every third is refused at first; later they would be let in, or others refused.
    let rows: Vec<Value> = (0..60)
        .map(|number| json!({"member": format!("m{number}"), "score": if number % 3 == 0 { 50 } else { number % 10 }}))
        .collect();
    let batch = async || {
        let request = app.request("POST", "/v1/leaderboards/race/scores/batch").key("whole");
        let answer = request.body(json!({"scores": rows})).send().await.is(200);
        let results = answer["results"].as_array().expect("results").iter();
        let told = |result: &Value| json!([result["status"], result["member"], result["score"], result["updated"]]);
        (results.map(told).collect::<Vec<Value>>(), answer)
    };
    let single = async || {
        let request = app.request("POST", "/v1/leaderboards/race/scores").key("one");
        request.body(json!({"member": "m1", "score": 7})).send().await.is(200)
    };
    let (first, _) = batch().await;
    assert_eq!(first.iter().filter(|result| result[0] == 422).count(), 20);
    let one = single().await;
    for max_score in [1000, 2] {
        let fewer = json!([{"name": "all_time"}]);
        app.put("/v1/leaderboards/race", settings(max_score, &fewer)).await.is(200);
        assert_eq!(batch().await.0, first, "max_score {max_score}");
        let again = single().await;
        assert_eq!((&again["score"], &again["windows"]["other"]["score"]), (&one["score"], &json!(8)));
        assert_eq!(again["windows"]["other"]["rank"], Value::Null);
    }
    let rankings = app.rankings("race", "limit=100").await;
    let sum: f64 = crate::support::entries(rankings.json()).iter().filter_map(|entry| entry["score"].as_f64()).sum();
    let counted: i64 = (0..60).filter(|number| number % 3 != 0).map(|number| number % 10).sum();
    assert_eq!((rankings["total"].as_u64(), sum as i64), (Some(40), counted + 7));
}
