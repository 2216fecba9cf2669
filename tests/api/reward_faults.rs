//! Rewards while instances are killed: each entry is paid exactly once.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{OwnRedis, Process, client_builder, eventually};

const MEMBERS: usize = 150;
/// Rounds of the normal run; `RANQ_REWARD_ROUNDS` asks for more.
const ROUNDS: usize = 10;

async fn send(address: std::net::SocketAddr, method: &str, path: &str, key: &str, body: &Value) -> Option<Value> {
    let client = client_builder().build().expect("a client");
    let method = method.parse().expect("a method");
    let mut request = client.request(method, format!("http://{address}{path}")).json(body);
    if !key.is_empty() {
        request = request.header("idempotency-key", key);
    }
    let response = request.timeout(Duration::from_secs(10)).send().await.ok()?;
    assert!(response.status().is_success() || response.status().is_server_error(), "{path}: {}", response.status());
    if response.status().is_server_error() { None } else { response.json().await.ok() }
}

/// What was paid, as (period, member).
async fn paid(address: std::net::SocketAddr, queue: &str) -> Vec<(String, String)> {
    let mut paid = Vec::new();
    loop {
        let body = json!({"limit": 100, "lease_ms": 3_600_000});
        let answer = send(address, "POST", &format!("/v1/queues/{queue}/dequeue"), "", &body).await;
        let Some(answer) = answer else { continue };
        let jobs = answer["jobs"].as_array().expect("jobs");
        if jobs.is_empty() {
            return paid;
        }
        let text = |job: &Value, field: &str| job["payload"][field].as_str().expect("a text").to_owned();
        paid.extend(jobs.iter().map(|job| (text(job, "period"), text(job, "member"))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_entry_is_paid_once_whoever_is_killed() {
    let rounds = std::env::var("RANQ_REWARD_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let (redis, directory) = (OwnRedis::spawn().await, TempDir::new().expect("a directory"));
    let url = redis.url();
    let spawn = async || Process::spawn_with(directory.path(), &["--redis-url", &url]).await;
    let mut processes = [spawn().await, spawn().await];
    let mut killed_in_payment = 0;
    for round in 0..rounds {
        let (board, queue) = (format!("b{round}"), format!("q{round}"));
        let by_time = round % 4 == 3;
        let window =
            if by_time { json!({"name": "w", "reset": "* * * * * *", "keep": 1000}) } else { json!({"name": "w"}) };
        let rewards = json!([{"window": "w", "to_rank": 40, "queue": queue},
            {"window": "w", "from_rank": 41, "to_rank": 1000, "queue": queue}]);
        let settings = json!({"windows": [window], "rewards": rewards});
        let (stays, goes) = (processes[round % 2].address(), processes[(round + 1) % 2].address());
        send(stays, "PUT", &format!("/v1/leaderboards/{board}"), "", &settings).await.expect("it is created");
        let rows: Vec<Value> =
            (0..MEMBERS).map(|number| json!({"member": format!("m{number}"), "score": number})).collect();
        let path = format!("/v1/leaderboards/{board}/scores/batch");
        send(stays, "POST", &path, "fill", &json!({"scores": rows})).await.expect("it is filled");
        let close = format!("/v1/leaderboards/{board}/windows/w/close");
        let closing = async {
            if !by_time {
                // Both are told, so that both pay.
                let nothing = json!({});
                let told = [goes, stays].map(|address| send(address, "POST", &close, "close", &nothing));
                // The answer of the one that is killed may be lost.
                drop(join_all(told).await);
            }
        };
        let most_us = if by_time { 1_200_000 } else { 30_000 };
        let victim = &processes[(round + 1) % 2];
        let killing = async {
            tokio::time::sleep(Duration::from_micros(fastrand::u64(0..most_us))).await;
            victim.signal(Signal::KILL);
        };
        tokio::join!(closing, killing);
        if !by_time {
            // Asked again with its key it closes once.
            eventually("it is closed", async || send(stays, "POST", &close, "close", &json!({})).await).await;
        }
        let place = (round + 1) % 2;
        processes[place].ended().await;
        let states = format!("/v1/leaderboards/{board}/windows/w/periods?limit=1000");
        let look = async || processes[round % 2].get(&states).await["periods"].as_array().expect("periods").clone();
        killed_in_payment += usize::from(look().await.iter().any(|period| period["state"] == "closing"));
        processes[place] = spawn().await;
        let look = async || processes[round % 2].get(&states).await["periods"].as_array().expect("periods").clone();
        let expected = eventually("all is paid", async || {
            let periods = look().await;
            let entries = |period: &Value| period["entries"].as_u64().expect("entries");
            let open = |period: &&Value| period["state"] == "open";
            let ended = periods
                .iter()
                .all(|period| if open(&period) { entries(period) == 0 } else { period["state"] == "closed" });
            ended.then(|| periods.iter().map(entries).sum::<u64>())
        })
        .await;
        let paid = paid(stays, &queue).await;
        let distinct: BTreeSet<_> = paid.iter().collect();
        assert_eq!((paid.len(), distinct.len()), (expected as usize, paid.len()), "round {round}");
        assert_eq!(expected as usize, MEMBERS, "round {round}");
    }
    eprintln!("{rounds} rounds: each of {MEMBERS} entries was paid once; {killed_in_payment} were killed while paying");
}
