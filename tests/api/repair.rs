//! What is damaged by hand: it is found, mended, and the service goes on.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Leased, Process, TestApp, TestRedis, eventually};

const ROUNDS: u64 = 5;
/// Fields, members and keys that a round damages.
const DAMAGES: usize = 12;
/// What is not mended: without it a leaderboard is gone, or nothing can be known of it.
const LEFT_ALONE: [&str; 9] =
    [":board", ":idem:", ":audit:", ":closing:", ":free", ":described:", ":limit:", ":inbox", "{auth:"];

async fn build(app: &TestApp) {
    let settings = json!({"segments": ["country", "platform", "country+platform"],
        "subscores": [{"name": "time", "order": "ascending"}], "windows": [{"name": "all_time"}, {"name": "daily", "reset": "daily"}]});
    app.create("full", settings).await;
    app.create("plain", json!({"ties": "member", "operator": "sum"})).await;
    for number in 0..120 {
        let row = json!({"member": format!("m{number}"), "score": number / 3, "subscores": {"time": number % 4},
            "segments": {"country": format!("C{}", number % 5), "platform": if number % 2 == 0 { "ios" } else { "web" }},
            "metadata": {"number": number}});
        app.submit_row("full", row).await.is(200);
    }
    let rows = (0..60).map(|number| json!({"member": format!("p{number}"), "score": number}));
    app.batch("plain", rows.collect()).await.is(200);
    for board in ["full", "plain"] {
        app.rankings(board, "ranking=dense").await.is(200);
    }
    for number in [3, 50] {
        app.put(format!("/v1/leaderboards/full/bans/m{number}"), json!({"reason": "x"})).await;
    }
    // What is leased here and never settled comes back.
    for (queue, keys) in [
        ("jobs", Value::Null),
        ("keyed", json!({"max_concurrency": 2})),
        ("fair", json!({"fair": true, "max_concurrency": 1})),
    ] {
        app.create_queue(queue, json!({"lease_ms": 1500, "max_attempts": 100, "keys": keys})).await;
    }
    for queue in ["jobs", "keyed", "fair"] {
        for number in 0..40 {
            let mut job = json!({"payload": number, "key": format!("k{}", number % 4), "priority": number % 3});
            if number % 5 == 0 {
                job["unique_key"] = json!(format!("u{number}"));
            }
            if number % 7 == 0 {
                job["delay_ms"] = json!(3_600_000);
            }
            if number % 6 == 0 {
                job["expires_in_ms"] = json!(3_600_000);
            }
            app.enqueue_job(queue, job).await;
        }
        let held = app.lease(queue, 6).await;
        app.ack(&held[0]).await.is(200);
        app.nack(&held[1], json!({"dead": true})).await.is(200);
        app.nack(&held[2], json!({"retry_in_ms": 500})).await.is(200);
        app.delete(format!("/v1/queues/{queue}/jobs/{}", held[3].id)).await.is(204);
        app.put(format!("/v1/queues/{queue}/schedules/nightly"), json!({"cron": "0 3 * * *", "payload": 1})).await;
    }
}

/// Does something to a random key; says what.
fn damage(app: &TestApp, random: &mut fastrand::Rng) -> String {
    let mut redis = app.redis();
    let mut keys = app.keys();
    keys.extend(["ranq:leaderboards", "ranq:queues"].map(str::to_owned));
    keys.retain(|key| !LEFT_ALONE.iter().any(|part| key.contains(part)));
    let key = keys[random.usize(..keys.len())].clone();
    let kind: String = redis::cmd("TYPE").arg(&key).query(&mut redis).expect("TYPE works");
    let run = |command: &[&[u8]], redis: &mut TestRedis| {
        let mut call = redis::cmd(std::str::from_utf8(command[0]).expect("a name"));
        let _: redis::Value = call.arg(&command[1..]).query(redis).expect("the damage is done");
    };
    // Without its settings a queue is mended too, so its HASH may go, as a whole.
    if random.u8(..8) == 0 || key.ends_with(":queue") {
        run(&[b"DEL", key.as_bytes()], &mut redis);
        return format!("DEL {key}");
    }
    let list = |verb: &str, redis: &mut TestRedis| -> Vec<Vec<u8>> {
        let mut command = redis::cmd(verb);
        command.arg(&key);
        if verb != "HKEYS" {
            command.arg(0).arg(-1);
        }
        command.query(redis).expect("it is read")
    };
    let verbs = match kind.as_str() {
        "hash" => ("HKEYS", "HDEL"),
        "zset" => ("ZRANGE", "ZREM"),
        "list" => ("LRANGE", "LREM"),
        _ => return String::new(),
    };
    let members = list(verbs.0, &mut redis);
    let member = &members[random.usize(..members.len())];
    match verbs.1 {
        "LREM" => run(&[b"LREM", key.as_bytes(), b"1", member], &mut redis),
        // Put elsewhere, as well as taken away.
        "ZREM" if random.bool() && !key.ends_with("s") && !key.contains(":rank:") => {
            run(&[b"ZADD", key.as_bytes(), b"12345", member], &mut redis);
        }
        verb => run(&[verb.as_bytes(), key.as_bytes(), member], &mut redis),
    }
    format!("{} {key} {}", verbs.1, String::from_utf8_lossy(member))
}

/// `ranq check`: whether all was well, and what it said.
async fn check(app: &TestApp, repair: bool) -> (bool, String) {
    let url = app.redis_url();
    let mut arguments = vec!["--redis-url", &url];
    arguments.extend(repair.then_some("--repair"));
    let mut command = Process::command("check", &arguments);
    let output = command.stdout(Stdio::piped()).output().expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Everything is read and used, and nothing is a fault of the service.
async fn use_all(app: &TestApp) {
    for board in ["full", "plain"] {
        for query in
            ["limit=200", "ranking=dense&limit=200", "ranking=competition", "segment=country:C1", "window=daily"]
        {
            let query = if board == "plain" {
                query.replace("segment=country:C1", "").replace("window=daily", "")
            } else {
                query.to_owned()
            };
            let answer = app.rankings(board, &query).await.is(200);
            let ranks = answer.ranks();
            assert!(ranks.is_sorted() && ranks.first().is_none_or(|first| *first == 1), "{board} {query}: {ranks:?}");
        }
    }
    for number in 0..120 {
        let row = json!({"member": format!("m{number}"), "score": 1000 + number, "subscores": {"time": 1},
            "segments": {"country": "C1"}});
        let banned = app.submit_row("full", row).await;
        assert!(matches!(banned.status, 200 | 403), "{}", banned.text());
        app.submit("plain", &format!("p{}", number % 60), 1).await;
    }
    let whole = app.rankings("full", "limit=1000").await.is(200);
    let members: std::collections::BTreeSet<&str> = whole.members().into_iter().collect();
    assert_eq!(members.len(), whole.members().len(), "nobody stands twice");
    for queue in ["jobs", "keyed", "fair"] {
        app.get(format!("/v1/queues/{queue}")).await.is(200);
        app.enqueue_job(queue, json!({"payload": "after", "key": "k1"})).await.is(201);
        let last = eventually("all is worked off", async || {
            let leased = app.lease(queue, 50).await;
            let acks: Vec<Value> = leased.iter().map(Leased::to_ack).collect();
            if !acks.is_empty() {
                app.post(format!("/v1/queues/{queue}/acks"), json!({"acks": acks})).await.is(200);
            }
            let left = app.get(format!("/v1/queues/{queue}")).await.is(200);
            (left["counts"]["ready"] == 0 && left["counts"]["active"] == 0).then_some(left)
        });
        last.await;
    }
}

#[tokio::test]
async fn what_is_damaged_by_hand_is_found_mended_and_works_again() {
    let mut random = fastrand::Rng::with_seed(8);
    for round in 0..ROUNDS {
        let app = TestApp::with().server_clock().spawn().await;
        build(&app).await;
        let (is_well, text) = check(&app, false).await;
        assert!(is_well, "{text}");
        let damages: Vec<String> = (0..DAMAGES).map(|_| damage(&app, &mut random)).collect();
        let damages = damages.join("\n");
        let (is_well, found) = check(&app, false).await;
        assert!(!is_well, "round {round} finds nothing of\n{damages}");
        let (is_mended, text) = check(&app, true).await;
        assert!(is_mended, "round {round}:\n{damages}\n{text}");
        let (is_well, left) = check(&app, false).await;
        assert!(is_well, "round {round}:\n{damages}\nfound: {found}\nmended: {text}\nleft: {left}");
        use_all(&app).await;
        let (is_well, left) = check(&app, false).await;
        assert!(is_well, "round {round}:\n{damages}\nmended: {text}\nafter use: {left}");
    }
}

#[tokio::test]
async fn an_active_job_whose_lease_is_lost_has_its_deadline_again() {
    let app = TestApp::with().server_clock().spawn().await;
    app.enqueue("work", 1).await;
    let leased = app.lease_one("work").await;
    let () = redis::cmd("DEL").arg("ranq:{q:work}:leased").query(&mut app.redis()).expect("DEL works");
    let (is_well, text) = check(&app, true).await;
    assert!(is_well, "{text}");
    let expected = format!("  job `{}` is leased and does not stand there: put there\n", leased.id);
    assert!(text.contains(&expected), "{text}");
    app.ack(&leased).await.is(200);
}

#[tokio::test]
async fn a_directory_is_built_anew_from_its_ranking() {
    let app = TestApp::with().server_clock().spawn().await;
    let rows = (0..100).map(|number| json!({"member": format!("m{number}"), "score": number}));
    app.batch("race", rows.collect()).await.is(200);
    let before = app.rankings("race", "limit=200").await.text().to_owned();
    let directory = app.keys().into_iter().find(|key| key.contains(":ids:")).expect("there is one");
    let () = redis::cmd("HDEL").arg(&directory).arg(&[2, 5]).query(&mut app.redis()).expect("HDEL works");
    let (is_well, _) = check(&app, false).await;
    assert!(!is_well);
    let (is_well, text) = check(&app, true).await;
    assert!(is_well, "{text}");
    assert_eq!(app.rankings("race", "limit=200").await.text(), before);
    for number in 0..100 {
        assert_eq!(app.member("race", &format!("m{number}")).await.is(200)["score"], number);
    }
}
