//! Tokens: what they are made with, and what they open.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, OwnRedis, TestApp, eventually};

const ADMIN: &str = "an-admin-token-of-tests";

#[tokio::test]
async fn a_token_opens_what_its_scopes_name() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let made = app.post("/v1/tokens", json!({"name": "game", "scopes": ["scores:write"]})).await.is(201);
    assert_eq!((&made["name"], &made["scopes"]), (&json!("game"), &json!(["scores:write"])));
    assert_eq!(made["created_at"], "2026-11-23T05:40:00.000Z");
    let token = made["token"].as_str().expect("the text");
    assert!(token.len() == 58 && token.starts_with("rq_"), "{token}");

    let submit = app.request("POST", "/v1/leaderboards/race/scores").body(json!({"member": "ann", "score": 1}));
    submit.token(token).send().await.is(200);
    let read = app.request("GET", "/v1/leaderboards/race").token(token).send().await;
    let refused = read.fails_with(403, "forbidden");
    assert!(refused.text().contains("`leaderboards:read`"), "{}", refused.text());
}

#[tokio::test]
async fn a_token_ends() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let body = json!({"name": "short", "scopes": ["leaderboards:read"], "expires_in_ms": 60_000});
    let made = app.post("/v1/tokens", body).await.is(201);
    assert_eq!(made["expires_at"], "2026-11-23T05:41:00.000Z");
    let token = made["token"].as_str().expect("the text");
    app.advance(Duration::from_millis(59_999));
    app.request("GET", "/v1/leaderboards").token(token).send().await.is(200);
    app.advance(Duration::from_millis(1));
    app.request("GET", "/v1/leaderboards").token(token).send().await.fails_with(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_reaches_what_its_patterns_match() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    app.create("race.eu", json!({})).await;
    app.create("other", json!({})).await;
    let token = app.mint(json!({"name": "eu", "scopes": ["leaderboards:read"], "leaderboards": ["race.*"]})).await;
    app.request("GET", "/v1/leaderboards/race.eu").token(&token).send().await.is(200);
    app.request("GET", "/v1/leaderboards/race.us").token(&token).send().await.fails_with(404, "not-found");
    for foreign in ["other", "nowhere"] {
        let target = format!("/v1/leaderboards/{foreign}/rankings");
        app.request("GET", target).token(&token).send().await.fails_with(403, "forbidden");
    }
}

#[tokio::test]
async fn what_a_token_is_made_with_is_checked() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    for (body, pointer) in [
        (json!({"scopes": ["admin"]}), "/name"),
        (json!({"name": "a"}), "/scopes"),
        (json!({"name": "a", "scopes": []}), "/scopes"),
        (json!({"name": "a", "scopes": ["scores"]}), "/scopes/0"),
        (json!({"name": "", "scopes": ["admin"]}), "/name"),
        (json!({"name": "a", "scopes": ["admin"], "leaderboards": []}), "/leaderboards"),
        (json!({"name": "a", "scopes": ["admin"], "queues": ["a*b"]}), "/queues/0"),
        (json!({"name": "a", "scopes": ["admin"], "expires_in_ms": 0}), "/expires_in_ms"),
        (json!({"name": "a", "scopes": ["admin"], "rate_limit": {"limit": 0, "per_ms": 1}}), "/rate_limit/limit"),
        (json!({"name": "a", "scopes": ["admin"], "rate_limit": {"limit": 1}}), "/rate_limit/per_ms"),
        (json!({"name": "a", "scopes": ["admin"], "member": "a\u{1}"}), "/member"),
        (json!({"name": "a", "scopes": ["admin"], "extra": 1}), "/extra"),
    ] {
        app.post("/v1/tokens", body).await.fails_at(&[pointer]);
    }
}

/// Two services on one Redis.
async fn two() -> (OwnRedis, TestApp, TestApp) {
    let redis = OwnRedis::spawn().await;
    let spawn = || TestApp::with().admin_token(ADMIN).redis_url(&redis.url()).spawn();
    let (one, other) = (spawn().await, spawn().await);
    (redis, one, other)
}

impl TestApp {
    async fn with_token(&self, token: &str) -> Answer {
        self.request("GET", "/v1/leaderboards").token(token).send().await
    }

    /// A token that reads leaderboards: its id and its text.
    async fn reader(&self) -> (String, String) {
        let made = self.post("/v1/tokens", json!({"name": "reader", "scopes": ["leaderboards:read"]})).await.is(201);
        (text_of(&made["id"]), text_of(&made["token"]))
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_token_is_listed_and_given_without_its_text() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let body = json!({"name": format!("n{number}"), "scopes": ["jobs:work"], "queues": ["mail*"],
            "rate_limit": {"limit": 5, "per_ms": 1000}});
        let made = app.post("/v1/tokens", body).await.is(201);
        let given = app.get(format!("/v1/tokens/{}", text_of(&made["id"]))).await.is(200);
        let mut expected = made.json().clone();
        expected.as_object_mut().expect("an object").remove("token");
        assert_eq!(given.json(), &expected);
        assert_eq!(given["created_by"], json!({"name": "admin"}));
        ids.push(text_of(&made["id"]));
        app.advance(Duration::from_secs(1));
    }
    let mut listed: Vec<String> = Vec::new();
    let mut target = "/v1/tokens?limit=2".to_owned();
    loop {
        let page = app.get(&target).await.is(200);
        assert!(!page.text().contains("rq_"), "{}", page.text());
        listed.extend(page["tokens"].as_array().expect("tokens").iter().map(|token| text_of(&token["id"])));
        let Some(cursor) = page.json().get("next_cursor") else { break };
        target = format!("/v1/tokens?limit=2&cursor={}", text_of(cursor));
    }
    assert_eq!(listed, ids);
    app.get("/v1/tokens/00000000000").await.fails_with(404, "not-found");
    app.get("/v1/tokens/short").await.fails_at(&["id"]);
}

#[tokio::test]
async fn nothing_stored_gives_a_token_away() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let body = json!({"name": "a", "scopes": ["leaderboards:read"]});
    let made = app.request("POST", "/v1/tokens").key("once").body(body).send().await.is(201);
    let token = text_of(&made["token"]);
    app.with_token(&token).await.is(200);
    let mut redis = app.redis();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut redis).expect("KEYS works");
    assert!(keys.iter().any(|key| key.contains("token:")), "{keys:?}");
    for key in keys {
        let dump: Vec<u8> = redis::cmd("DUMP").arg(&key).query(&mut redis).expect("DUMP works");
        for secret in [&token, &token[14..40], ADMIN] {
            assert!(!dump.windows(secret.len()).any(|part| part == secret.as_bytes()), "{key}");
        }
    }
}

#[tokio::test]
async fn a_revoked_token_opens_nothing_anywhere_within_a_second() {
    let (_redis, one, other) = two().await;
    for _ in 0..5 {
        let (id, token) = one.reader().await;
        one.with_token(&token).await.is(200);
        other.with_token(&token).await.is(200);
        one.delete(format!("/v1/tokens/{id}")).await.is(204);
        let revoked = Instant::now();
        one.with_token(&token).await.fails_with(401, "unauthenticated");
        eventually("the other instance has heard", async || {
            (other.with_token(&token).await.status == 401).then_some(())
        })
        .await;
        assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
        one.delete(format!("/v1/tokens/{id}")).await.fails_with(404, "not-found");
        one.get(format!("/v1/tokens/{id}")).await.fails_with(404, "not-found");
    }
}

#[tokio::test]
async fn a_revocation_counts_where_its_message_is_lost() {
    let (redis, one, other) = two().await;
    let mut connection = redis.connect().expect("it answers");
    // Nobody hears anything: the channel is not allowed.
    let mut acl = redis::cmd("ACL");
    acl.arg("SETUSER").arg("default").arg("resetchannels");
    let () = acl.query(&mut connection).expect("the channels are closed");
    let (id, token) = one.reader().await;
    other.with_token(&token).await.is(200);
    let revoked = one.delete(format!("/v1/tokens/{id}")).await;
    // The message cannot be published either, and the script that revokes says so before or after the fact.
    assert!(matches!(revoked.status, 204 | 500 | 503), "{}", revoked.text());
    let is_over = async || (other.with_token(&token).await.status == 401).then_some(());
    eventually("the other instance has looked", is_over).await;
}

#[tokio::test]
async fn a_token_used_by_many_while_it_is_revoked_is_over_for_all() {
    let (_redis, one, other) = two().await;
    for _ in 0..20 {
        let (id, token) = one.reader().await;
        // First uses race with the revocation: what was read before it must not be kept.
        let uses = join_all((0..8).map(|_| other.with_token(&token)));
        let (_, revoked) = futures_util::future::join(uses, one.delete(format!("/v1/tokens/{id}"))).await;
        revoked.is(204);
        let is_over = async || (other.with_token(&token).await.status == 401).then_some(());
        eventually("the other instance has heard", is_over).await;
        let after = join_all((0..8).map(|_| other.with_token(&token))).await;
        assert!(after.iter().all(|answer| answer.status == 401));
    }
}

#[tokio::test]
async fn a_rotated_token_opens_with_both_texts_until_the_overlap_ends() {
    let (_redis, one, other) = two().await;
    let (id, first) = one.reader().await;
    let rotate = async |body: Value| one.post(format!("/v1/tokens/{id}/rotate"), body).await.is(200);
    let rotated = rotate(json!({"overlap_ms": 60_000})).await;
    let second = text_of(&rotated["token"]);
    assert_eq!((&rotated["id"], &rotated["name"]), (&json!(id), &json!("reader")));
    assert_eq!(rotated["overlaps_until"], "2026-11-23T05:41:00.000Z");
    for text in [&first, &second] {
        one.with_token(text).await.is(200);
        eventually("the other instance knows", async || (other.with_token(text).await.status == 200).then_some(()))
            .await;
    }
    for app in [&one, &other] {
        app.advance(Duration::from_millis(60_000));
        app.with_token(&first).await.fails_with(401, "unauthenticated");
        app.with_token(&second).await.is(200);
    }
    // A second rotation ends the oldest text at once.
    let third = text_of(&rotate(json!({})).await["token"]);
    let fourth = text_of(&rotate(json!({})).await["token"]);
    one.with_token(&second).await.fails_with(401, "unauthenticated");
    one.with_token(&third).await.is(200);
    one.with_token(&fourth).await.is(200);
    let last = text_of(&rotate(json!({"overlap_ms": 0})).await["token"]);
    one.with_token(&fourth).await.fails_with(401, "unauthenticated");
    one.with_token(&last).await.is(200);
    let texts: BTreeSet<&String> = [&first, &second, &third, &fourth, &last].into_iter().collect();
    assert_eq!(texts.len(), 5);
    one.post(format!("/v1/tokens/{id}/rotate"), json!({"overlap_ms": -1})).await.fails_at(&["/overlap_ms"]);
    one.post("/v1/tokens/00000000000/rotate", json!({})).await.fails_with(404, "not-found");
}

#[tokio::test]
async fn the_same_key_gives_the_same_text_again() {
    let (_redis, one, other) = two().await;
    let body = json!({"name": "a", "scopes": ["leaderboards:read"]});
    let make = async |app: &TestApp, body: Value| app.request("POST", "/v1/tokens").key("k1").body(body).send().await;
    let made = make(&one, body.clone()).await.is(201);
    let again = make(&other, body.clone()).await.is(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.json(), made.json());
    make(&one, json!({"name": "b", "scopes": ["leaderboards:read"]})).await.fails_with(409, "idempotency-mismatch");
    assert_eq!(one.get("/v1/tokens").await["tokens"].as_array().map(Vec::len), Some(1));

    let target = format!("/v1/tokens/{}/rotate", text_of(&made["id"]));
    let rotate = async |app: &TestApp| app.request("POST", target.clone()).key("k2").body(json!({})).send().await;
    let rotated = rotate(&one).await.is(200);
    assert_ne!(rotated["token"], made["token"]);
    assert_eq!(rotate(&other).await.is(200)["token"], rotated["token"]);
    one.delete(format!("/v1/tokens/{}", text_of(&made["id"]))).await.is(204);
    assert_eq!(rotate(&other).await.is(200)["token"], rotated["token"], "the first answer, though it is revoked");
    assert_eq!(make(&other, body).await.is(201).json(), made.json());
    one.with_token(&text_of(&rotated["token"])).await.fails_with(401, "unauthenticated");
}

#[tokio::test]
async fn a_key_of_somebody_else_gives_no_text_away() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let body = json!({"name": "a", "scopes": ["leaderboards:read"]});
    let minter = json!({"name": "minter", "scopes": ["tokens:admin", "leaderboards:read"]});
    let (first, second) = (app.mint(minter.clone()).await, app.mint(minter).await);
    let make = async |token: &str| {
        app.request("POST", "/v1/tokens").token(token).key("same").body(body.clone()).send().await.is(201)
    };
    let (one, other, again) = (make(&first).await, make(&second).await, make(&first).await);
    assert_ne!(one["token"], other["token"]);
    assert_ne!(one["id"], other["id"]);
    assert_eq!(one.json(), again.json());
}

#[tokio::test]
async fn nobody_makes_sees_or_ends_what_allows_more_than_their_own() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let scopes = json!(["tokens:admin", "scores:write", "leaderboards:read"]);
    let backend = app.mint(json!({"name": "backend", "scopes": scopes, "leaderboards": ["race*"]})).await;
    let as_backend = |method, target: &str| app.request(method, target.to_owned()).token(&backend);
    let make = async |body: Value| as_backend("POST", "/v1/tokens").body(body).send().await;
    for beyond in [
        json!({"name": "a", "scopes": ["admin"]}),
        json!({"name": "a", "scopes": ["scores:write"]}),
        json!({"name": "a", "scopes": ["scores:write"], "leaderboards": ["rac*"]}),
        json!({"name": "a", "scopes": ["jobs:work"], "leaderboards": ["race"]}),
    ] {
        make(beyond).await.fails_with(403, "forbidden");
    }
    // Of tokens of the same second any may be listed first.
    app.advance(Duration::from_secs(1));
    let player =
        make(json!({"name": "ann", "scopes": ["scores:write"], "leaderboards": ["race.1"], "member": "ann"})).await;
    let player = player.is(201);
    assert_eq!(player["created_by"]["name"], "backend");

    let (foreign, foreign_text) = app.reader().await;
    let listed = as_backend("GET", "/v1/tokens").send().await.is(200);
    let names: Vec<&Value> = listed["tokens"].as_array().expect("tokens").iter().map(|token| &token["name"]).collect();
    assert_eq!(names, ["backend", "ann"]);
    for (method, target) in [
        ("GET", format!("/v1/tokens/{foreign}")),
        ("DELETE", format!("/v1/tokens/{foreign}")),
        ("POST", format!("/v1/tokens/{foreign}/rotate")),
    ] {
        as_backend(method, &target).send().await.fails_with(404, "not-found");
        // Nor by a request that is to count once.
        as_backend(method, &target).key("once").send().await.fails_with(404, "not-found");
    }
    app.with_token(&foreign_text).await.is(200);
    assert!(app.get(format!("/v1/tokens/{foreign}")).await.is(200).json().get("overlaps_until").is_none());
    app.get(format!("/v1/tokens/{foreign}")).await.is(200);
    as_backend("DELETE", &format!("/v1/tokens/{}", text_of(&player["id"]))).send().await.is(204);
}

#[tokio::test]
async fn a_players_token_is_short_and_narrow() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let player = |rest: Value| {
        let mut body = json!({"name": "ann's", "member": "ann", "scopes": ["scores:write", "leaderboards:read"]});
        body.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        body
    };
    let made = app.post("/v1/tokens", player(json!({}))).await.is(201);
    assert_eq!(made["expires_at"], "2026-11-23T06:40:00.000Z");
    app.post("/v1/tokens", player(json!({"expires_in_ms": 30_u64 * 24 * 3600 * 1000 + 1})))
        .await
        .fails_at(&["/expires_in_ms"]);
    for scope in
        ["leaderboards:admin", "jobs:enqueue", "jobs:work", "queues:read", "queues:admin", "tokens:admin", "admin"]
    {
        app.post("/v1/tokens", player(json!({"scopes": ["scores:write", scope]}))).await.fails_at(&["/scopes"]);
    }
}

#[tokio::test]
async fn the_last_use_of_a_token_is_noted_to_the_minute() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let (id, token) = app.reader().await;
    app.advance(Duration::from_secs(90));
    app.with_token(&token).await.is(200);
    // A stop writes what was not written yet.
    let app = app.restart().await;
    let used = app.get(format!("/v1/tokens/{id}")).await.is(200);
    assert_eq!(used["last_used_at"], "2026-11-23T05:41:30.000Z");
    app.advance(Duration::from_secs(59));
    app.with_token(&token).await.is(200);
    let app = app.restart().await;
    assert_eq!(app.get(format!("/v1/tokens/{id}")).await["last_used_at"], "2026-11-23T05:41:30.000Z");
    app.advance(Duration::from_secs(1));
    app.with_token(&token).await.is(200);
    let app = app.restart().await;
    assert_eq!(app.get(format!("/v1/tokens/{id}")).await["last_used_at"], "2026-11-23T05:42:30.000Z");
}

#[tokio::test]
async fn a_token_that_has_ended_leaves_nothing() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let keys = app.keys();
    for _ in 0..150 {
        app.mint(json!({"name": "a", "scopes": ["scores:write"], "member": "ann", "expires_in_ms": 1000})).await;
    }
    assert!(app.keys().len() > 150);
    app.advance(Duration::from_secs(1));
    assert_eq!(app.get("/v1/tokens").await["tokens"], json!([]));
    let mint = |keys: Vec<String>| keys.into_iter().filter(|key| !key.ends_with(":mint")).collect::<Vec<_>>();
    let swept = async || (mint(app.keys()) == mint(keys.clone())).then_some(());
    eventually("what has ended is swept", swept).await;
}

/// How often commands were called, all but those that ask for it and those of the background.
fn calls(redis: &mut impl redis::ConnectionLike, script: &str) -> u64 {
    let stats: String = redis::cmd("INFO").arg("commandstats").query(redis).expect("INFO works");
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{script}:calls="))).unwrap_or("0,");
    line.split(',').next().and_then(|count| count.parse().ok()).expect("a number")
}

#[tokio::test]
async fn a_flood_of_bad_tokens_costs_redis_nothing() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let (id, token) = app.reader().await;
    app.with_token(&token).await.is(200);
    app.delete(format!("/v1/tokens/{id}")).await.is(204);
    app.with_token(&token).await.is(401);
    let mut redis = app.redis();
    // Tokens are read with HMGET alone, and nothing else runs that uses it.
    let before = calls(&mut redis, "hmget");
    let mut forged = token.clone().into_bytes();
    for number in 0..300_usize {
        let at = 3 + number % 55;
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let text = String::from_utf8(forged.clone()).expect("ASCII");
        app.with_token(&text).await.is(401);
        app.with_token(&token).await.is(401);
        app.with_token(&format!("garbage{number}")).await.is(401);
    }
    // What has just changed is forgotten once more in the round after, and read again then.
    assert!(calls(&mut redis, "hmget") - before <= 1);
}

#[tokio::test]
async fn every_bad_token_has_the_same_answer() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let (id, revoked) = app.reader().await;
    app.delete(format!("/v1/tokens/{id}")).await.is(204);
    let ended = app.mint(json!({"name": "a", "scopes": ["admin"], "expires_in_ms": 1})).await;
    app.advance(Duration::from_millis(1));
    let (_, good) = app.reader().await;
    let mut typo = good.clone();
    typo.replace_range(20..21, if &good[20..21] == "a" { "b" } else { "a" });
    let bearers = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Basic {good}"),
        good.clone(),
        format!("Bearer {revoked}"),
        format!("Bearer {ended}"),
        format!("Bearer {typo}"),
        format!("Bearer {good}x"),
        format!("Bearer {}", &good[..57]),
        format!("Bearer {}", good.to_lowercase()),
        format!("Bearer {ADMIN}x"),
        format!("Bearer {}", "x".repeat(5000)),
    ];
    let mut answers = BTreeSet::new();
    for bearer in &bearers {
        let request = app.request("GET", "/v1/leaderboards").without_token().header("x-request-id", "same");
        let answer = request.header("authorization", bearer.clone()).send().await.is(401);
        let headers: BTreeSet<String> = answer
            .headers
            .iter()
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        answers.insert(format!("{headers:?} {}", answer.text()));
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
    let twice = format!(
        "GET /v1/leaderboards HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {good}\r\nauthorization: Bearer {good}\r\n\r\n"
    );
    assert_eq!(app.raw(twice).await.status, 401);
    app.with_token(&good).await.is(200);
}

/// The time of an answer tells nothing of what is wrong with a token, though some are looked for in Redis and others not.
#[tokio::test]
async fn every_bad_token_takes_the_same_time() {
    const ROUNDS: usize = 60;
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let (id, revoked) = app.reader().await;
    app.delete(format!("/v1/tokens/{id}")).await.is(204);
    let (_, good) = app.reader().await;
    app.with_token(&good).await.is(200);
    let near_miss = format!("{}{}", &good[..57], if good.ends_with('a') { "b" } else { "a" });
    let kinds = [String::new(), "garbage".to_owned(), near_miss, revoked, format!("{ADMIN}x"), "x".repeat(4000)];
    let mut times = vec![Vec::new(); kinds.len()];
    for _ in 0..ROUNDS {
        // In turns, so that what else the machine does meets all alike.
        for (kind, times) in kinds.iter().zip(&mut times) {
            let started = Instant::now();
            app.with_token(kind).await.is(401);
            times.push(started.elapsed());
        }
    }
    let medians: Vec<Duration> = times
        .iter_mut()
        .map(|times| {
            times.sort();
            times[ROUNDS / 2]
        })
        .collect();
    let (least, most) = (medians.iter().min().expect("some"), medians.iter().max().expect("some"));
    assert!(*least >= Duration::from_millis(5), "none is answered before its time: {medians:?}");
    assert!(*most - *least < Duration::from_millis(3), "{medians:?}");
}
