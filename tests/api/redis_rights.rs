//! The least rights of the service's user at Redis, as docs/operations.md tells them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use crate::support::{OwnRedis, TestApp, eventually};

const DOCUMENT: &str = include_str!("../../docs/operations.md");
const PASSWORD: &str = "swordfish";

/// Commands that no line of the code names: a subscription is made by the client, and scripts are run by their digest.
const UNNAMED: [&str; 2] = ["ping", "subscribe"];
/// Commands that only a Cluster, Sentinels, or waiting for replicas need.
const OF_DEPLOYMENTS: [&str; 5] = ["+asking", "+cluster|slots", "+role", "+sentinel|master", "+wait"];
/// Commands that do no harm when they are refused.
const OPTIONAL: [&str; 1] = ["config"];

/// The line of the document with this password.
fn rule() -> String {
    let line = DOCUMENT.lines().find(|line| line.starts_with("user ranq on ")).expect("the document has a rule");
    line.replace(">PASSWORD", &format!(">{PASSWORD}"))
}

/// A server where the service's user has these rights alone.
async fn with_rules(rule: &str) -> (OwnRedis, String) {
    let redis = OwnRedis::spawn().await;
    redis.admin(&["ACL", "SETUSER", "ranq", "reset"]);
    redis.admin(&[&["ACL", "SETUSER"], &rule.split(' ').skip(1).collect::<Vec<_>>()[..]].concat());
    let url = format!("{}?user=ranq&pass={PASSWORD}", redis.url());
    (redis, url)
}

fn denied(redis: &OwnRedis) -> usize {
    let log: Vec<redis::Value> =
        redis::cmd("ACL").arg("LOG").query(&mut redis.connect().expect("it runs")).expect("a list");
    log.len()
}

#[tokio::test]
async fn the_documented_rights_are_enough() {
    let (redis, url) = with_rules(&rule()).await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let archive = format!("sqlite:{}", directory.path().join("jobs.db").display());
    let app = TestApp::with().redis_url(&url).set("peer_limit", "10000/1s").set("archive_url", &archive);
    let app = app.set("archive_outbox_max", "1").set("archive_retention_ms", "3153600000000").spawn().await;
    app.get("/health/ready").await.is(200);
    // Leaderboards.
    let window = json!([{"name": "all_time"}, {"name": "weekly", "reset": "weekly", "keep": 1}]);
    let settings = json!({"operator": "sum", "windows": window, "segments": ["country"], "subscores": [{"name": "time"}],
        "submission_limit": {"limit": 100, "per_ms": 1000}, "max_entries": 100, "snapshots": {"top": 10, "keep": 2},
        "rewards": [{"window": "all_time", "from_rank": 1, "to_rank": 3, "queue": "rewards", "payload": {"gems": 5}}]});
    app.create("race", settings.clone()).await;
    for (member, score) in [("ann", 5), ("bob", 4), ("cid", 3)] {
        let row = json!({"member": member, "score": score, "subscores": {"time": score}, "metadata": {"a": 1},
            "segments": {"country": "KR"}});
        app.request("POST", "/v1/leaderboards/race/scores").key(member).body(row).send().await.is(200);
    }
    app.batch("race", vec![json!({"member": "dan", "score": 1, "subscores": {"time": 1}})]).await.is(200);
    for read in [
        "",
        "/rankings?ranking=dense",
        "/rankings?ranking=competition",
        "/rankings?segment=country:KR",
        "/members/ann",
        "/members/ann/around",
        "/around?score=3",
        "/distribution",
        "/segments/country",
        "/windows/weekly/periods",
        "/windows/all_time/snapshots",
        "/export",
        "/bans",
        "/audit",
    ] {
        app.get(format!("/v1/leaderboards/race{read}")).await.is(200);
    }
    app.post("/v1/leaderboards/race/members/lookup", json!({"members": ["ann"]})).await.is(200);
    app.get("/v1/members/ann/rankings?leaderboards=race").await.is(200);
    app.get("/v1/leaderboards").await.is(200);
    let import = app.request("POST", "/v1/leaderboards/race/import").header("content-type", "application/x-ndjson");
    import.body("{\"member\":\"eve\",\"score\":2,\"subscores\":{\"time\":2}}\n").send().await.is(200);
    app.put("/v1/leaderboards/race/bans/bob", json!({"reason": "speed"})).await.is(201);
    app.delete("/v1/leaderboards/race/bans/bob").await.is(204);
    app.put("/v1/bans/cid", json!({})).await.is(201);
    app.get("/v1/bans").await.is(200);
    app.delete("/v1/bans/cid").await.is(204);
    app.delete("/v1/leaderboards/race/members/dan").await.is(204);
    let erased = app.delete("/v1/members/eve?bans=true").await;
    assert!(matches!(erased.status, 200 | 202), "{}", erased.text());
    let mut events = app.events("race", "").await;
    events.next().await;
    app.post("/v1/leaderboards/race/windows/all_time/close", json!({})).await.is(202);
    let paid = async || (app.queue("rewards").await.status == 200).then_some(());
    eventually("rewards are paid", paid).await;
    app.advance_to("2027-01-23T05:40:00Z");
    app.request("POST", "/v1/leaderboards/race/scores")
        .key("late")
        .body(json!({"member": "ann", "score": 1,
        "subscores": {"time": 1}}))
        .send()
        .await
        .is(200);
    // Queues.
    let keys = json!({"max_concurrency": 1, "rate_limit": {"limit": 100, "per_ms": 1000}, "fair": true});
    let settings = json!({"rate_limit": {"limit": 100, "per_ms": 1000}, "max_concurrency": 10, "keys": keys});
    app.create_queue("emails", settings).await;
    for number in 0..5 {
        let job = json!({"payload": number, "key": "k", "unique_key": format!("u{number}"), "priority": number});
        app.enqueue_job("emails", job).await.is(201);
    }
    for number in 0..4 {
        app.enqueue("plain", number).await;
    }
    app.enqueue_job("plain", json!({"payload": 1, "delay_ms": 1000})).await.is(201);
    let held = app.lease("plain", 3).await;
    app.extend(&held[0], json!({"lease_ms": 5000, "progress": 1})).await.is(200);
    app.ack(&held[0]).await.is(200);
    app.nack(&held[1], json!({"error": "no", "dead": true})).await.is(200);
    app.nack(&held[2], json!({"error": "no"})).await.is(200);
    let held = app.lease_one("emails").await;
    app.ack(&held).await.is(200);
    for state in crate::support::STATES {
        app.jobs("plain", state).await;
    }
    app.jobs("emails", "ready").await;
    app.post("/v1/queues/plain/redrive", json!({"to": "emails"})).await.is(200);
    app.put("/v1/queues/plain/schedules/nightly", json!({"cron": "0 3 * * *", "payload": 1})).await.is(201);
    app.get("/v1/queues/plain/schedules").await.is(200);
    app.post("/v1/queues/plain/pause", json!({})).await.is(204);
    app.post("/v1/queues/plain/resume", json!({})).await.is(204);
    app.get("/v1/queues").await.is(200);
    app.get("/v1/workers").await.is(200);
    app.delete("/v1/queues/plain/jobs?state=completed").await.is(200);
    app.delete("/v1/queues/plain/schedules/nightly").await.is(204);
    app.delete("/v1/queues/emails").await.is(204);
    app.delete("/v1/leaderboards/race").await.is(204);
    // Tokens, and the limits of requests (the service is open: those of the address).
    let made = app.post("/v1/tokens", json!({"name": "a", "scopes": ["jobs:work"], "expires_in_ms": 60_000})).await;
    let id = made.is(201)["id"].as_str().expect("an id").to_owned();
    app.get(format!("/v1/tokens/{id}")).await.is(200);
    app.get("/v1/tokens").await.is(200);
    app.post(format!("/v1/tokens/{id}/rotate"), json!({})).await.is(200);
    app.delete(format!("/v1/tokens/{id}")).await.is(204);
    app.get("/v1/audit").await.is(200);
    // What has finished.
    app.enqueue("done", 1).await;
    let leased = app.lease_one("done").await;
    app.ack(&leased).await.is(200);
    app.job("plain", "never").await.is(404);
    let archived = async || (!app.get("/v1/queues/done/history").await.is(200).jobs().is_empty()).then_some(());
    eventually("what has finished is archived", archived).await;
    app.get("/v1/queues/plain/jobs/never").await.is(404);
    app.delete("/v1/queues/plain/history?before=2030-01-01T00:00:00Z").await.is(200);
    // Only what does no harm was refused.
    let scrape = app.scrape().await;
    for call in scrape.text().lines().filter(|line| line.starts_with("ranq_redis_errors_total{")) {
        assert!(call.contains("config_get"), "{call}");
    }
    assert!(denied(&redis) <= 1, "only CONFIG is refused");
}

#[test]
fn every_right_is_needed_and_none_is_missing() {
    let mut named: BTreeSet<String> = UNNAMED.map(str::to_owned).into();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut named);
    named.retain(|command| !OPTIONAL.contains(&command.as_str()));
    let rule = rule();
    let granted: BTreeSet<String> =
        rule.split(' ').filter_map(|word| word.strip_prefix('+')).map(str::to_owned).collect();
    for right in OF_DEPLOYMENTS {
        assert!(DOCUMENT.contains(&format!("`{right}`")), "{right} is nowhere in the document");
        let command = right.trim_start_matches('+').split('|').next().expect("a command");
        assert!(named.remove(command), "{command} is named nowhere");
    }
    assert_eq!(granted, named);
}

/// Notes the commands that files name.
fn collect(directory: &Path, commands: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, commands);
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("UTF-8");
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for opening in ["redis.call('", "cmd(\""] {
            for rest in text.split(opening).skip(1) {
                let end = rest.find(['\'', '"']).expect("a closing quote");
                commands.insert(rest[..end].to_ascii_lowercase());
            }
        }
    }
}

#[tokio::test]
async fn a_missing_right_is_told_and_the_service_recovers_when_it_is_given() {
    let (redis, url) = with_rules(&rule().replace(" +evalsha", "").replace(" ~ranq:*", " ~other:*")).await;
    let app = TestApp::with().redis_url(&url).spawn().await;
    for answer in [app.submit_row("race", json!({"member": "ann", "score": 1})).await, app.rankings("race", "").await] {
        let answer = answer.fails_with(503, "store-unavailable");
        assert!(answer.detail().contains("not all rights"), "{}", answer.text());
        assert!(!answer.text().contains(PASSWORD));
    }
    app.get("/health/ready").await.is(503);
    redis.admin(&["ACL", "SETUSER", "ranq", "+evalsha", "~ranq:*"]);
    let works =
        async || (app.submit_row("race", json!({"member": "ann", "score": 1})).await.status == 200).then_some(());
    eventually("the service works", works).await;
}

#[tokio::test]
async fn a_right_that_is_missing_in_the_middle_of_a_script_leaves_the_outcome_open() {
    let (redis, url) = with_rules(&rule().replace(" +hset ", " ")).await;
    let app = TestApp::with().redis_url(&url).spawn().await;
    let answer = app.submit_row("race", json!({"member": "ann", "score": 1})).await;
    answer.fails_with(503, "outcome-unknown");
    assert!(denied(&redis) > 0);
}

#[tokio::test]
async fn what_is_not_the_services_own_is_out_of_its_reach() {
    let (redis, url) = with_rules(&rule()).await;
    redis.admin(&["SET", "theirs", "1"]);
    let client = redis::Client::open(url).expect("an address");
    let mut connection = client.get_connection().expect("it is let in");
    for command in [
        vec!["GET", "theirs"],
        vec!["KEYS", "*"],
        vec!["FLUSHALL"],
        vec!["CONFIG", "GET", "requirepass"],
        vec!["SUBSCRIBE", "other"],
        vec!["ACL", "LIST"],
    ] {
        let refused: redis::RedisResult<redis::Value> =
            redis::cmd(command[0]).arg(&command[1..]).query(&mut connection);
        let error = refused.expect_err("it is refused");
        assert_eq!(error.code(), Some("NOPERM"), "{command:?}: {error}");
    }
}
