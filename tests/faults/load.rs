//! What clients do while faults strike.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Ask, Client};
use crate::history::{Ack, History, Lease, Outcome, Sent};

const SCORERS: usize = 3;
const PRODUCERS: usize = 2;
const WORKERS: usize = 3;
/// Members whose sums are kept by all scorers together.
const MEMBERS: usize = 6;
pub const LEASE: Duration = Duration::from_millis(1000);
/// Entries of the season that is closed meanwhile, each of which is paid once.
pub const SEASON_ENTRIES: usize = 150;
const SETUP_BATCH: usize = 50;

/// Clients at work.
pub struct Load {
    clients: JoinSet<()>,
}

impl Load {
    pub fn start(urls: &[String], history: &Arc<History>, seed: u64) -> Self {
        let mut clients = JoinSet::new();
        let numbers = Arc::new(AtomicU64::new(0));
        for client in 0..SCORERS {
            clients.spawn(score(Client::new(client, urls, history, seed)));
        }
        clients.spawn(score_in_batches(Client::new(SCORERS, urls, history, seed)));
        clients.spawn(improve(Client::new(SCORERS + 1, urls, history, seed)));
        let first = SCORERS + 2;
        for client in first..first + PRODUCERS {
            clients.spawn(enqueue(Client::new(client, urls, history, seed), Arc::clone(&numbers)));
        }
        let first = first + PRODUCERS;
        for client in first..first + WORKERS {
            clients.spawn(work(Client::new(client, urls, history, seed)));
        }
        Self { clients }
    }

    /// Waits until every client has brought to its end what it began.
    pub async fn end(mut self) {
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client does not panic");
        }
    }
}

/// What stands before the load begins.
pub async fn set_up(client: &mut Client) {
    let put = reqwest::Method::PUT;
    for (path, body) in [
        ("/v1/leaderboards/total", json!({"operator": "sum"})),
        (
            "/v1/leaderboards/best",
            json!({"windows": [{"name": "all_time"}, {"name": "short", "reset": "*/3 * * * * *", "keep": 3}]}),
        ),
        ("/v1/queues/work", json!({"max_attempts": 1000, "backoff": {"kind": "fixed", "base_ms": 50}})),
        ("/v1/queues/late", json!({})),
        (
            "/v1/leaderboards/season",
            json!({"rewards": [{"window": "all_time", "to_rank": 100_000, "queue": "rewards", "payload": {"gems": 5}}]}),
        ),
    ] {
        let reply = client.send_to(0, put.clone(), &Ask::new("set up", path, path, body)).await;
        assert!(reply.is_ok(), "{path}: {:?}", reply.body);
    }
    for first in (0..SEASON_ENTRIES).step_by(SETUP_BATCH) {
        let scores: Vec<Value> = (first..first + SETUP_BATCH)
            .map(|number| json!({"member": format!("p{number}"), "score": number}))
            .collect();
        let ask = Ask::new("set up", "season", "/v1/leaderboards/season/scores/batch", json!({"scores": scores}));
        assert!(client.send(&ask).await.is_ok(), "the season has entries");
    }
}

/// Closes the season, until it is said to be closed.
pub async fn close_season(mut client: Client) {
    let ask = Ask::new("close", "season", "/v1/leaderboards/season/windows/all_time/close", json!({})).once("end");
    if let Some(reply) = client.insist(&ask).await {
        client.history.fact(|facts| facts.season_closed = Some(reply.ended));
    }
}

/// Scores that add up: most until they are answered, some once, whatever the answer.
async fn score(mut client: Client) {
    let mut count = 0_u64;
    while !client.history.is_stopping() {
        count += 1;
        let value = client.random.i64(1..=100);
        let is_given_up = client.random.u8(..5) == 0;
        // What may or may not have counted is alone in its member.
        let member = if is_given_up {
            format!("once-{}-{count}", client.number)
        } else {
            format!("m{}", client.random.usize(..MEMBERS))
        };
        let body = json!({"member": member, "score": value});
        let ask = Ask::new("score", &member, "/v1/leaderboards/total/scores", body);
        let ask = ask.once(format!("s-{}-{count}", client.number));
        let acked = if is_given_up {
            let reply = client.send(&ask).await;
            if !reply.is_ok() && !reply.is_open() {
                client.history.violated(&member, format!("a score was refused: {}", reply.body), None);
            }
            reply.is_ok().then_some(reply.ended)
        } else {
            client.insist(&ask).await.map(|reply| reply.ended)
        };
        client.history.fact(|facts| facts.sums.entry(member).or_default().push(Sent { value, acked }));
        client.pause(2, 12).await;
    }
}

/// Batches that add up, each item under a key of its own, until every item is answered.
async fn score_in_batches(mut client: Client) {
    let mut count = 0_u64;
    while !client.history.is_stopping() {
        count += 1;
        let items: Vec<(String, i64)> =
            (0..5).map(|_| (format!("m{}", client.random.usize(..MEMBERS)), client.random.i64(1..=100))).collect();
        let scores: Vec<Value> = items
            .iter()
            .enumerate()
            .map(|(item, (member, score))| {
                json!({"member": member, "score": score, "idempotency_key": format!("b-{count}-{item}")})
            })
            .collect();
        let ask = Ask::new("batch", "m", "/v1/leaderboards/total/scores/batch", json!({"scores": scores}));
        let mut acked = vec![None; items.len()];
        let begun = client.history.now();
        while acked.iter().any(Option::is_none) {
            let Some(reply) = client.insist(&ask).await else { break };
            for (item, result) in reply.body["results"].as_array().into_iter().flatten().enumerate() {
                match result["status"].as_u64() {
                    Some(200) => acked[item] = acked[item].or(Some(reply.ended)),
                    Some(503) => {}
                    _ => client.history.violated(&items[item].0, format!("an item of a batch: {result}"), None),
                }
            }
            if client.history.now() > begun + Duration::from_secs(30) {
                client.history.violated("m", "a batch is never done", None);
                break;
            }
        }
        client.history.fact(|facts| {
            for ((member, value), acked) in items.into_iter().zip(acked) {
                facts.sums.entry(member).or_default().push(Sent { value, acked });
            }
        });
        client.pause(10, 30).await;
    }
}

/// Best scores: the same again changes nothing, so no key is needed.
async fn improve(mut client: Client) {
    while !client.history.is_stopping() {
        let (member, value) = (format!("b{}", client.random.usize(..MEMBERS)), client.random.i64(1..=1_000_000));
        let ask = Ask::new("best", &member, "/v1/leaderboards/best/scores", json!({"member": member, "score": value}));
        let reply = client.send(&ask).await;
        let acked = reply.is_ok().then_some(reply.ended);
        client.history.fact(|facts| facts.bests.entry(member).or_default().push(Sent { value, acked }));
        client.pause(5, 20).await;
    }
}

/// Jobs: most under a key, until they are answered; some without, once.
async fn enqueue(mut client: Client, numbers: Arc<AtomicU64>) {
    while !client.history.is_stopping() {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let mut body = json!({"payload": number, "priority": client.random.u8(..3)});
        if client.random.u8(..6) == 0 {
            body["delay_ms"] = json!(client.random.u64(1..400));
        }
        let ask = Ask::new("enqueue", format!("payload {number}"), "/v1/queues/work/jobs", body);
        let acked = if client.random.u8(..5) == 0 {
            let reply = client.send(&ask).await;
            reply.is_ok().then_some(reply.ended)
        } else {
            client.insist(&ask.once(format!("j-{number}"))).await.map(|reply| reply.ended)
        };
        client.history.fact(|facts| {
            facts.jobs.insert(number, acked);
        });
        client.pause(5, 20).await;
    }
}

/// Takes jobs under short leases; acks most, in time or too late, and fails or extends the others.
async fn work(mut client: Client) {
    let wait = Duration::from_millis(200);
    while !client.history.is_stopping() {
        let lease_ms = u64::try_from(LEASE.as_millis()).expect("a second");
        let body = json!({"limit": client.random.u8(1..=3), "wait_ms": 200, "lease_ms": lease_ms});
        let reply = client.send(&Ask::new("dequeue", "", "/v1/queues/work/dequeue", body).waiting(wait)).await;
        if !reply.is_ok() {
            client.pause(10, 40).await;
            continue;
        }
        let leases: Vec<Lease> = reply.body["jobs"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|job| Lease {
                job: job["id"].as_str().unwrap_or_default().to_owned(),
                token: job["lease"].as_str().unwrap_or_default().to_owned(),
                asked: reply.sent,
                ends: reply.ended + LEASE,
            })
            .collect();
        client.history.fact(|facts| facts.leases.extend(leases.iter().cloned()));
        for lease in leases {
            attempt(&mut client, lease).await;
        }
    }
}

async fn attempt(client: &mut Client, mut lease: Lease) {
    client.pause(0, 15).await;
    let path = |verb: &str| format!("/v1/queues/work/jobs/{}/{verb}", lease.job);
    match client.random.u8(..20) {
        0..2 => {
            let ask = Ask::new("nack", &lease.job, path("nack"), json!({"lease": lease.token, "retry_in_ms": 20}));
            refused_or_done(client, &ask).await;
            return;
        }
        // It is forgotten: its lease runs out.
        2 => return,
        // Too late: another has the job by then.
        3 => tokio::time::sleep(LEASE + Duration::from_millis(300)).await,
        4..7 => {
            let ask = Ask::new("extend", &lease.job, path("extend"), json!({"lease": lease.token, "lease_ms": 1000}));
            let reply = client.send(&ask).await;
            // Where the answer was lost, the lease may have been prolonged.
            lease.ends = lease.ends.max(reply.ended + LEASE);
            if !reply.is_ok() && !reply.is_open() {
                refused(client, &ask, reply.outcome, &reply.body);
            }
        }
        _ => {}
    }
    let ask = Ask::new("ack", &lease.job, path("ack"), json!({"lease": lease.token, "result": lease.token}));
    let first_sent = client.history.now();
    let acked = refused_or_done(client, &ask).await;
    let ack = Ack { job: lease.job, lease: lease.token, first_sent, lease_ends: lease.ends, acked };
    client.history.fact(|facts| facts.acks.push(ack));
}

/// Sends it until it is answered; when it was done, if it was.
async fn refused_or_done(client: &mut Client, ask: &Ask) -> Option<Duration> {
    let reply = client.settle(ask).await?;
    if reply.is_ok() {
        return Some(reply.ended);
    }
    refused(client, ask, reply.outcome, &reply.body);
    None
}

/// A lease that has ended is all that a worker may be refused for.
fn refused(client: &Client, ask: &Ask, outcome: Outcome, body: &Value) {
    if outcome != Outcome::Status(409) || !body["type"].as_str().is_some_and(|kind| kind.ends_with("lease-lost")) {
        client.history.violated(&ask.key, format!("{}: {outcome:?}: {body}", ask.what), None);
    }
}
