//! Limits of requests: for a token, a player, an address.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, OwnRedis, TestApp};

const ADMIN: &str = "an-admin-token-of-tests";
const ALL: [&str; 5] = ["leaderboards:read", "scores:write", "jobs:enqueue", "jobs:work", "queues:read"];

fn limited(limit: u64, per_ms: u64) -> Value {
    json!({"name": "limited", "scopes": ALL, "rate_limit": {"limit": limit, "per_ms": per_ms}})
}

async fn list(app: &TestApp, token: &str) -> Answer {
    app.request("GET", "/v1/leaderboards").token(token).send().await
}

async fn post(app: &TestApp, token: &str, target: &str, body: Value) -> Answer {
    app.request("POST", target).token(token).body(body).send().await
}

fn fields(answer: &Answer) -> (String, String) {
    (answer.header("ratelimit-policy").to_owned(), answer.header("ratelimit").to_owned())
}

#[tokio::test]
async fn a_token_makes_as_many_requests_as_its_limit_says_over_all_instances() {
    let redis = OwnRedis::spawn().await;
    let spawn = || TestApp::with().admin_token(ADMIN).redis_url(&redis.url()).spawn();
    let apps = [spawn().await, spawn().await];
    let token = apps[0].mint(limited(10, 60_000)).await;
    let answers = join_all((0..40).map(|number| list(&apps[number % 2], &token))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 10);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        let problem = answer.fails_with(429, "rate-limited");
        assert_eq!(problem.header("retry-after"), "6");
        assert_eq!(problem["retryable"], true);
        assert!(
            problem["detail"].as_str().is_some_and(|text| text.starts_with("this token may make 10")),
            "{problem:?}"
        );
    }
    for app in &apps {
        app.advance(Duration::from_millis(5999));
        list(app, &token).await.is(429);
        app.advance(Duration::from_millis(1));
    }
    let answers = [list(&apps[0], &token).await.status, list(&apps[1], &token).await.status];
    assert_eq!(answers, [200, 429], "one is free again");
}

#[tokio::test]
async fn answers_say_what_is_left() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let token = app.mint(limited(5, 10_000)).await;
    let policy = "\"token\";q=5;w=10".to_owned();
    assert_eq!(fields(&list(&app, &token).await.is(200)), (policy.clone(), "\"token\";r=4;t=2".to_owned()));
    let missing = app.request("GET", "/v1/leaderboards/nowhere").token(&token).send().await.is(404);
    assert_eq!(fields(&missing), (policy.clone(), "\"token\";r=3;t=4".to_owned()));
    let forbidden = app.request("GET", "/v1/tokens").token(&token).send().await.is(403);
    assert_eq!(fields(&forbidden), (policy.clone(), "\"token\";r=2;t=6".to_owned()));
    let invalid = post(&app, &token, "/v1/leaderboards/race/scores", json!({"member": "ann"})).await.is(422);
    assert_eq!(fields(&invalid), (policy.clone(), "\"token\";r=1;t=8".to_owned()));
    post(&app, &token, "/v1/leaderboards/race/scores", json!({"member": "ann", "score": 1})).await.is(200);
    let refused = list(&app, &token).await.is(429);
    assert_eq!(fields(&refused), (policy, "\"token\";r=0;t=10".to_owned()));
    let odd = app.mint(limited(1, 500)).await;
    assert_eq!(fields(&list(&app, &odd).await).0, "\"token\";q=1", "a window of half a second has no whole number");
    let free = app.mint(json!({"name": "free", "scopes": ["leaderboards:read"]})).await;
    assert_eq!(fields(&list(&app, &free).await), (String::new(), String::new()));
    assert_eq!(fields(&app.get("/v1/leaderboards").await), (String::new(), String::new()));
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let token = app.mint(limited(1, 60_000)).await;
    list(&app, &token).await.is(200);
    for (target, body) in [
        ("/v1/leaderboards/race/scores", json!({"member": "ann", "score": 1})),
        ("/v1/leaderboards/race/scores/batch", json!({"scores": [{"member": "ann", "score": 1}]})),
        ("/v1/queues/mail/jobs", json!({"payload": 1})),
    ] {
        post(&app, &token, target, body).await.is(429);
    }
    app.get("/v1/leaderboards/race").await.is(404);
    app.get("/v1/queues/mail").await.is(404);
}

#[tokio::test]
async fn a_batch_costs_its_items() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let scores = |count: usize| -> Value {
        json!({"scores": (0..count).map(|number| json!({"member": format!("m{number}"), "score": 1})).collect::<Vec<_>>()})
    };
    let jobs = |count: usize| json!({"jobs": vec![json!({"payload": 1}); count]});
    let acks = |count: usize| json!(vec![json!({"id": "j", "lease": "1.x"}); count]);
    let names = |count: usize| (0..count).map(|number| format!("b{number}")).collect::<Vec<_>>();
    let submit = "/v1/leaderboards/race/scores/batch";
    for (target, body) in [
        (submit, scores(7)),
        ("/v1/leaderboards/race/members/lookup", json!({"members": names(7)})),
        ("/v1/queues/mail/jobs/batch", jobs(7)),
        ("/v1/queues/mail/acks", json!({"acks": acks(7)})),
        ("/v1/queues/mail/dequeue", json!({"ack": acks(7)})),
        ("/v1/dequeue", json!({"queues": ["mail"], "ack": acks(7)})),
    ] {
        let token = app.mint(limited(10, 60_000)).await;
        let answer = post(&app, &token, target, body).await.is(200);
        assert_eq!(fields(&answer).1, "\"token\";r=3;t=42", "{target}");
    }
    let token = app.mint(limited(10, 60_000)).await;
    let target = format!("/v1/members/ann/rankings?leaderboards={}", names(7).join(","));
    let answer = app.request("GET", target).token(&token).send().await.is(200);
    assert_eq!(fields(&answer).1, "\"token\";r=3;t=42");

    // One that does not fit costs no more than a request, and stores nothing of it.
    let before = app.get("/v1/leaderboards/race").await["entries"].clone();
    let refused = post(&app, &token, submit, scores(5)).await.is(429);
    assert_eq!((refused.header("retry-after"), fields(&refused).1), ("12", "\"token\";r=2;t=48".to_owned()));
    assert_eq!(app.get("/v1/leaderboards/race").await["entries"], before);
    let never = post(&app, &token, submit, scores(11)).await;
    let never = never.fails_at(&["/scores"]);
    assert!(never.text().contains("takes 10 at once"), "{}", never.text());
}

#[tokio::test]
async fn all_tokens_of_a_player_share_a_limit() {
    let app = TestApp::with().admin_token(ADMIN).set("player_limit", "3/1m").set("token_limit", "2/1m").spawn().await;
    let player =
        |member: &str| json!({"name": member, "member": member, "scopes": ["scores:write", "leaderboards:read"]});
    let (first, second, other) =
        (app.mint(player("ann")).await, app.mint(player("ann")).await, app.mint(player("bob")).await);
    let answer = list(&app, &first).await.is(200);
    let both =
        ("\"token\";q=2;w=60, \"player\";q=3;w=60".to_owned(), "\"token\";r=1;t=30, \"player\";r=2;t=20".to_owned());
    assert_eq!(fields(&answer), both);
    list(&app, &first).await.is(200);
    let refused = list(&app, &first).await.is(429);
    assert!(refused.text().contains("this token may make 2"), "{}", refused.text());
    list(&app, &second).await.is(200);
    let refused = list(&app, &second).await.is(429);
    assert!(refused.text().contains("this player may make 3"), "{}", refused.text());
    list(&app, &other).await.is(200);
}

#[tokio::test]
async fn a_token_without_a_limit_of_its_own_has_that_of_the_settings() {
    let app = TestApp::with().admin_token(ADMIN).set("token_limit", "2/1m").spawn().await;
    let plain = app.mint(json!({"name": "plain", "scopes": ALL})).await;
    let own = app.mint(limited(3, 60_000)).await;
    for (token, most) in [(&plain, 2), (&own, 3)] {
        for _ in 0..most {
            list(&app, token).await.is(200);
        }
        list(&app, token).await.is(429);
    }
    // The admin token has none.
    for _ in 0..5 {
        app.get("/v1/leaderboards").await.is(200);
    }
}

#[tokio::test]
async fn an_open_service_counts_by_address() {
    let app = TestApp::with().set("peer_limit", "2/1m").spawn().await;
    let answer = app.get("/v1/leaderboards").await.is(200);
    assert_eq!(fields(&answer), ("\"peer\";q=2;w=60".to_owned(), "\"peer\";r=1;t=30".to_owned()));
    app.submit_row("race", json!({"member": "ann", "score": 1})).await.is(200);
    app.submit_row("race", json!({"member": "ann", "score": 2})).await.fails_with(429, "rate-limited");
    app.get("/health/live").await.is(200);
    app.advance(Duration::from_secs(30));
    assert_eq!(app.member("race", "ann").await.is(200)["score"], 1);
}

#[tokio::test]
async fn an_address_guesses_tokens_only_so_often_and_good_ones_do_not_suffer() {
    let app = TestApp::with().admin_token(ADMIN).set("peer_limit", "3/1m").spawn().await;
    let good = app.mint(json!({"name": "good", "scopes": ALL})).await;
    for bad in ["rq_guess", "", "another"] {
        let refused = list(&app, bad).await.fails_with(401, "unauthenticated");
        assert!(fields(&refused).1.starts_with("\"peer\";r="), "{:?}", refused.headers);
    }
    list(&app, "rq_guess").await.fails_with(429, "rate-limited");
    for _ in 0..5 {
        list(&app, &good).await.is(200);
    }
}

#[tokio::test]
async fn a_flood_beyond_a_limit_costs_redis_nothing() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let token = app.mint(limited(2, 3_600_000)).await;
    for status in [200, 200, 429] {
        list(&app, &token).await.is(status);
    }
    let counted = async || {
        let metrics = app.get("/metrics").await;
        let line = metrics.text().lines().find(|line| line.starts_with("ranq_redis_calls_total{call=\"take\"}"));
        line.map(str::to_owned).expect("it was called")
    };
    let before = counted().await;
    for _ in 0..100 {
        let refused = list(&app, &token).await.is(429);
        assert_eq!(refused.header("retry-after"), "1800");
    }
    assert_eq!(counted().await, before);
    // It ends by the clock.
    app.advance(Duration::from_secs(1800));
    list(&app, &token).await.is(200);
}

#[tokio::test]
async fn a_full_redis_lets_in_who_makes_room() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    app.submit("race", "ann", 1).await;
    let body = json!({"name": "a", "scopes": ["leaderboards:admin", "leaderboards:read"], "rate_limit": {"limit": 100, "per_ms": 60_000}});
    let token = app.mint(body).await;
    let () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").query(&mut app.redis()).expect("it is full");
    let delete = app.request("DELETE", "/v1/leaderboards/race").token(&token).send().await;
    let () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("0").query(&mut app.redis()).expect("it is not");
    delete.is(204);
}

#[tokio::test]
async fn the_servers_own_clock_counts_as_well() {
    let app = TestApp::with().admin_token(ADMIN).server_clock().spawn().await;
    let token = app.mint(limited(20, 1000)).await;
    let started = std::time::Instant::now();
    let (mut let_in, mut asked) = (0, 0);
    while started.elapsed() < Duration::from_secs(2) {
        asked += 1;
        let_in += usize::from(list(&app, &token).await.status == 200);
    }
    // 20 at once, and 20 in each second: no more, and no fewer but for what the last moment leaves.
    let most = 20 + (started.elapsed().as_millis() / 50) as usize;
    assert!(asked > most && (most - 3..=most).contains(&let_in), "{let_in} of {asked}, at most {most}");
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_a_limit_of_its_own() {
    let app = TestApp::with().set("peer_limit", "1/1m").set("trusted_proxies", "127.0.0.1").spawn().await;
    let from = async |client: &str| {
        app.request("GET", "/v1/leaderboards").header("x-forwarded-for", client).send().await.status
    };
    assert_eq!((from("192.0.2.1").await, from("192.0.2.1").await, from("192.0.2.2").await), (200, 429, 200));
    // What a client writes itself stands to the left of what the proxy saw.
    assert_eq!(from("203.0.113.9, 192.0.2.1").await, 429);
    assert_eq!((from("2001:db8::1").await, from("2001:db8::2").await, from("2001:db8:0:1::1").await), (200, 429, 200));

    let app = TestApp::with().set("peer_limit", "1/1m").spawn().await;
    let from = async |client: &str| {
        app.request("GET", "/v1/leaderboards").header("x-forwarded-for", client).send().await.status
    };
    assert_eq!((from("192.0.2.1").await, from("192.0.2.2").await), (200, 429), "nobody is trusted here");
}
