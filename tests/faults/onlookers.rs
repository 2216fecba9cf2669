//! Who is there while faults strike: a waiting worker, a stream, and whoever asks whether the service is ready.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::{Ask, Client};
use crate::history::{At, History};
use crate::load::LEASE;

const WAIT: Duration = Duration::from_secs(29);
/// How soon after the fault's end a waiter must have what was enqueued, and a stream what has changed.
const SOON: Duration = Duration::from_secs(8);

/// They hold connections to the first instance, which no fault kills.
pub struct Onlookers {
    waiter: JoinHandle<()>,
    stream: JoinHandle<()>,
    health: JoinHandle<()>,
    seen: Arc<Seen>,
    history: Arc<History>,
}

#[derive(Default)]
struct Seen {
    /// When the waiter was answered, with how many jobs.
    waiter: Mutex<Option<(At, usize, String)>>,
    /// When the stream told something, and when it ended.
    events: Mutex<Vec<At>>,
    stream_ended: Mutex<Option<At>>,
    ready: Mutex<Vec<(At, u16)>>,
}

impl Onlookers {
    pub async fn start(urls: &[String], history: &Arc<History>, seed: u64) -> Self {
        let seen = Arc::new(Seen::default());
        let client = |number| Client::new(number, urls, history, seed);
        let waiter = tokio::spawn(wait(client(90), Arc::clone(&seen)));
        // It stands before anything happens: what is not there yet may be refused.
        let stream = begin(&urls[0]).await;
        let stream = tokio::spawn(follow(stream, Arc::clone(history), Arc::clone(&seen)));
        let health = tokio::spawn(ask_whether_ready(urls[0].clone(), Arc::clone(history), Arc::clone(&seen)));
        Self { waiter, stream, health, seen, history: Arc::clone(history) }
    }

    /// After the fault: the waiter gets a job that is enqueued now, and the stream goes on.
    pub async fn end(self, urls: &[String], fault_ended: At, seed: u64) -> Readiness {
        let Self { waiter, stream, health, seen, history } = self;
        if let Some((at, jobs, told)) = &*seen.waiter.lock().expect("no panic") {
            let text = format!("who waited was answered at {at:?} with {jobs} jobs before there was one: {told}");
            history.violated("late", text, None);
        }
        let mut client = Client::new(91, urls, &history, seed);
        let ask = Ask::new("enqueue late", "late", "/v1/queues/late/jobs", json!({"payload": "late"})).once("late");
        client.insist(&ask).await;
        match timeout(SOON, waiter).await {
            Ok(ended) => {
                ended.expect("no panic");
                let found = seen.waiter.lock().expect("no panic").clone();
                if found.as_ref().is_none_or(|(_, jobs, _)| *jobs != 1) {
                    history.violated("late", format!("who waited got {found:?}"), None);
                }
            }
            Err(_) => history.violated("late", format!("who waited has no job {SOON:?} after it was enqueued"), None),
        }
        let goes_on = async {
            while !seen.events.lock().expect("no panic").iter().any(|at| *at > fault_ended) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(SOON, goes_on).await.is_err() {
            history.violated("stream", format!("the stream told nothing {SOON:?} after the fault"), None);
        }
        if let Some(at) = *seen.stream_ended.lock().expect("no panic") {
            history.violated("stream", format!("the stream ended at {at:?}"), None);
        }
        let is_ready = async {
            while seen.ready.lock().expect("no panic").last().is_none_or(|(_, status)| *status != 200) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(SOON, is_ready).await.is_err() {
            history.violated("ready", "the service is not ready again", None);
        }
        stream.abort();
        health.abort();
        let looks = seen.ready.lock().expect("no panic").clone();
        Readiness { was_down: looks.iter().any(|(_, status)| *status == 503) }
    }
}

/// What `/health/ready` said.
pub struct Readiness {
    pub was_down: bool,
}

async fn wait(client: Client, seen: Arc<Seen>) {
    // A look whose answer is lost may have leased the job: it comes back when that lease ends.
    let body = json!({"wait_ms": WAIT.as_millis() as u64, "lease_ms": LEASE.as_millis() as u64});
    let ask = Ask::new("wait", "late", "/v1/queues/late/dequeue", body).waiting(WAIT);
    let reply = client.send_to(0, Method::POST, &ask).await;
    let jobs = reply.body["jobs"].as_array().map_or(0, Vec::len);
    let told = format!("{:?} {}", reply.outcome, reply.body);
    *seen.waiter.lock().expect("no panic") = Some((reply.ended, jobs, told));
}

async fn begin(url: &str) -> reqwest::Response {
    let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().expect("a client");
    let response = client.get(format!("{url}/v1/leaderboards/total/events?limit=3")).send().await;
    response.and_then(reqwest::Response::error_for_status).expect("the stream begins")
}

async fn follow(mut response: reqwest::Response, history: Arc<History>, seen: Arc<Seen>) {
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if String::from_utf8_lossy(&chunk).contains("event: rankings") => {
                seen.events.lock().expect("no panic").push(history.now());
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => {
                *seen.stream_ended.lock().expect("no panic") = Some(history.now());
                return;
            }
        }
    }
}

async fn ask_whether_ready(url: String, history: Arc<History>, seen: Arc<Seen>) {
    let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().timeout(Duration::from_secs(5)).build();
    let client = client.expect("a client");
    loop {
        let status = match client.get(format!("{url}/health/ready")).send().await {
            Ok(response) => response.status().as_u16(),
            Err(_) => 0,
        };
        seen.ready.lock().expect("no panic").push((history.now(), status));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
