//! Clients that hang up while they wait for a job: nothing is lost with them.

use std::io::Read as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Plain, TestApp};

const ROUNDS: usize = 1000;
const LANES: usize = 25;
const SHORT_MS: u64 = 1000;
const LONG_MS: u64 = 60_000;

/// A dequeue on a connection of its own.
async fn waiter(address: SocketAddr, queue: &str, lease_ms: u64) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the service listens");
    let body = json!({"wait_ms": 30_000, "lease_ms": lease_ms}).to_string();
    let head = format!("POST /v1/queues/{queue}/dequeue HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// The answer, if it has arrived in full.
fn arrived(stream: &mut std::net::TcpStream) -> Option<Value> {
    let mut bytes = vec![0; 16 * 1024];
    let length = stream.read(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes[..length]);
    let (_, body) = text.split_once("\r\n\r\n")?;
    serde_json::from_str::<Value>(body).ok()
}

/// What became of jobs whose waiter hung up.
#[derive(Debug, Default)]
struct Outcome {
    /// The waiter had the whole answer before it hung up.
    received: usize,
    /// Somebody else got it within half a second.
    at_once: usize,
    /// Somebody else got it when the lease ended.
    with_the_lease: usize,
    /// Nobody got it in time.
    held: usize,
}

/// One lane: waiters one after the other, who hang up around the moment at which their job is delivered.
async fn lane(address: SocketAddr, client: &Plain, lane: usize, rounds: usize, lease_ms: u64) -> Outcome {
    let queue = format!("lane{lane}");
    let (jobs, dequeue) = (format!("/v1/queues/{queue}/jobs"), format!("/v1/queues/{queue}/dequeue"));
    let mut random = fastrand::Rng::with_seed(lane as u64);
    let mut outcome = Outcome::default();
    let mut delivery = Duration::from_millis(5);
    for round in 0..rounds {
        let stream = waiter(address, &queue, lease_ms).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        let started = Instant::now();
        let enqueue = async {
            let (status, answer) = client.post(&jobs, json!({"payload": round})).await;
            assert_eq!(status, 201, "{answer}");
        };
        let hang_up = async {
            if round % 10 == 0 {
                // How long a delivery takes now.
                stream.readable().await.expect("the connection stands");
                delivery = delivery.mul_f64(0.5) + started.elapsed().mul_f64(0.5);
            } else {
                tokio::time::sleep(delivery.mul_f64(random.f64() * 1.5)).await;
            }
            if random.bool() {
                stream.set_zero_linger().expect("the connection stands");
            }
            // The system knows of an answer before the runtime does.
            let mut stream = stream.into_std().expect("a socket");
            arrived(&mut stream)
        };
        let ((), answer) = futures_util::future::join(enqueue, hang_up).await;
        if let Some(answer) = answer {
            let job = &answer["jobs"][0];
            let acked = client
                .post(&format!("{jobs}/{}/ack", job["id"].as_str().expect("an id")), json!({"lease": job["lease"]}))
                .await;
            // On a busy machine the short lease may have ended: then it is as if it had not been received.
            assert!(acked.0 == 200 || (acked.0 == 409 && lease_ms == SHORT_MS), "{}", acked.1);
            if acked.0 == 200 {
                outcome.received += 1;
                continue;
            }
        }
        let hung_up = Instant::now();
        let wait_ms = if lease_ms == SHORT_MS { 20_000 } else { 2000 };
        let (status, answer) = client.post(&dequeue, json!({"wait_ms": wait_ms})).await;
        assert_eq!(status, 200, "{answer}");
        let Some(job) = answer["jobs"].get(0) else {
            outcome.held += 1;
            continue;
        };
        assert_eq!(job["payload"], round, "{job}");
        if hung_up.elapsed() < Duration::from_millis(500) {
            outcome.at_once += 1;
        } else {
            outcome.with_the_lease += 1;
        }
        let answer = client.post(&dequeue, json!({"ack": [{"id": job["id"], "lease": job["lease"]}]})).await.1;
        assert_eq!(answer["acked"][0]["status"], 200, "{answer}");
    }
    outcome
}

async fn hang_up(app: &TestApp, rounds: usize, lease_ms: u64) -> Outcome {
    let client = Plain::to(app.address());
    let lanes = join_all((0..LANES).map(|number| lane(app.address(), &client, number, rounds / LANES, lease_ms))).await;
    lanes.into_iter().fold(Outcome::default(), |sum, one| Outcome {
        received: sum.received + one.received,
        at_once: sum.at_once + one.at_once,
        with_the_lease: sum.with_the_lease + one.with_the_lease,
        held: sum.held + one.held,
    })
}

async fn completed(app: &TestApp) -> u64 {
    let counts =
        join_all((0..LANES).map(|number| async move { app.count(&format!("lane{number}"), "completed").await }));
    counts.await.into_iter().sum()
}

#[tokio::test]
async fn a_waiter_that_hangs_up_at_the_moment_of_delivery_loses_no_job() {
    let app = TestApp::with().server_clock().spawn().await;
    let outcome = hang_up(&app, ROUNDS, SHORT_MS).await;
    println!("lease of 1 s: {outcome:?}");
    assert_eq!((outcome.held, completed(&app).await), (0, ROUNDS as u64), "{outcome:?}");
}

#[tokio::test]
async fn its_job_does_not_wait_for_the_end_of_a_long_lease() {
    let app = TestApp::with().server_clock().spawn().await;
    let outcome = hang_up(&app, ROUNDS, LONG_MS).await;
    println!("lease of 60 s: {outcome:?}");
    // Who hangs up in the very moment in which the answer is written has it, for all that anybody can tell: such a job comes back
    // with its lease.
    assert!(outcome.held <= ROUNDS / 8, "{outcome:?}");
}

#[tokio::test]
async fn a_waiter_that_has_hung_up_is_given_nothing() {
    let app = TestApp::spawn().await;
    app.create_queue("work", json!({})).await;
    let address = app.address();
    let streams = join_all((0..20).map(|_| waiter(address, "work", 60_000))).await;
    app.until_in_flight(20).await;
    drop(streams);
    app.until_in_flight(0).await;
    app.enqueue("work", 1).await;
    let leased = app.lease_one("work").await;
    assert_eq!(leased.attempt(), 1);
}
