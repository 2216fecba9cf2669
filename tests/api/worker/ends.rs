//! `ranq worker`: jobs that take long, workers and services that stop or die.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{last_error, pids, service, without_backoff, written};
use crate::support::{Process, TestApp, WorkerProcess, client_builder, eventually, is_alive, signal};

/// Writes its process id and that of a child of its own, and ends when it is killed.
const HANG: &str = r#"sleep 600 & echo "$$ $!" >"$0/pids"; wait"#;
/// Says that it has begun, and goes on when it is told to.
const UNTIL_TOLD: &str = r#"echo begun >"$0/begun"; until [ -e "$0/go" ]; do sleep 0.02; done; echo "$RANQ_ATTEMPT""#;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    fn path(&self) -> &str {
        self.0.path().to_str().expect("UTF-8")
    }

    /// A worker of the queue `work` that runs a line of shell, whose `$0` is this place.
    fn worker(&self, app: &TestApp, line: &str, options: &[&str]) -> WorkerProcess {
        self.worker_for(&format!("http://{}", app.address()), line, options)
    }

    fn worker_for(&self, url: &str, line: &str, options: &[&str]) -> WorkerProcess {
        let arguments = [&["--queue", "work"], options, &["--exec", "sh", "--", "-c", line, self.path()]].concat();
        WorkerProcess::spawn_for(url, &arguments)
    }

    async fn begun(&self) {
        written(&self.0.path().join("begun")).await;
    }

    fn go(&self) {
        std::fs::write(self.0.path().join("go"), "").expect("written");
    }

    async fn pids(&self) -> Vec<i32> {
        pids(&self.0.path().join("pids"), 2).await
    }
}

/// Whether a process runs; one that nobody has reaped yet does not.
fn runs(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_zombie = status.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
    is_alive(pid) && !is_zombie
}

fn time(text: &Value) -> Timestamp {
    text.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{text} is no time"))
}

async fn are_dead(pids: &[i32]) {
    let dead = async || (!pids.iter().any(|pid| runs(*pid))).then_some(());
    eventually("the command and its child are dead", dead).await;
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_killed_and_has_failed() {
    let (app, place) = (service().await, Place::new());
    app.create_queue("work", json!({"max_attempts": 1})).await;
    let _worker = place.worker(&app, HANG, &["--timeout-ms", "300"]);
    let id = app.enqueue_id("work", 1).await;
    let job = app.until("work", &id, "dead").await;
    assert_eq!(last_error(&job), "the job took longer than 300 ms");
    are_dead(&place.pids().await).await;
}

#[tokio::test]
async fn a_command_that_ignores_sigterm_is_killed_with_its_children() {
    let (app, place) = (service().await, Place::new());
    app.create_queue("work", json!({"max_attempts": 1})).await;
    let line = format!("trap 'echo not yet >&2' TERM; {HANG}; wait");
    let _worker = place.worker(&app, &line, &["--timeout-ms", "300"]);
    let id = app.enqueue_id("work", 1).await;
    let job = app.until("work", &id, "dead").await;
    assert_eq!(last_error(&job), "the job took longer than 300 ms: not yet");
    are_dead(&place.pids().await).await;
}

#[tokio::test]
async fn what_a_command_leaves_running_ends_with_it() {
    let (app, place) = (service().await, Place::new());
    let _worker = place.worker(&app, r#"sleep 600 & echo "$$ $!" >"$0/pids"; echo done"#, &[]);
    let id = app.enqueue_id("work", 1).await;
    assert_eq!(app.until("work", &id, "completed").await["result"], "done");
    are_dead(&place.pids().await).await;
}

#[tokio::test]
async fn heartbeats_keep_a_job_longer_than_its_lease() {
    let (app, place) = (service().await, Place::new());
    let _worker = place.worker(&app, UNTIL_TOLD, &["--lease-ms", "1000"]);
    let id = app.enqueue_id("work", 1).await;
    place.begun().await;
    let first = time(&app.job("work", &id).await["lease_expires_at"]);
    eventually("the first two leases are over", async || {
        let job = app.job("work", &id).await;
        assert_eq!((&job["state"], &job["attempt"]), (&json!("active"), &json!(1)), "{}", job.text());
        (time(&job["lease_expires_at"]) > first + Duration::from_secs(2)).then_some(())
    })
    .await;
    place.go();
    assert_eq!(app.until("work", &id, "completed").await["result"], 1);
}

#[tokio::test]
async fn the_lease_is_that_of_the_queue_unless_one_is_asked_for() {
    let (app, place) = (service().await, Place::new());
    app.create_queue("work", json!({"lease_ms": 1500, "max_attempts": 2})).await;
    let _worker = place.worker(&app, UNTIL_TOLD, &[]);
    let id = app.enqueue_id("work", 1).await;
    place.begun().await;
    let first = app.job("work", &id).await["lease_expires_at"].clone();
    eventually("it is extended", async || {
        let job = app.job("work", &id).await;
        (job["state"] == "active" && job["lease_expires_at"] != first).then_some(())
    })
    .await;
    place.go();
    assert_eq!(app.until("work", &id, "completed").await["attempt"], 1);
}

#[tokio::test]
async fn a_signal_lets_the_running_job_finish_and_takes_no_other() {
    for signal in [Signal::TERM, Signal::INT] {
        let (app, place) = (service().await, Place::new());
        let mut worker = place.worker(&app, UNTIL_TOLD, &[]);
        let (first, second) = (app.enqueue_id("work", 1).await, app.enqueue_id("work", 2).await);
        place.begun().await;
        worker.signal(signal);
        worker.says("the worker stops").await;
        place.go();
        assert_eq!(worker.ended().await.code(), Some(0), "{}", worker.log());
        assert_eq!(app.job("work", &first).await["state"], "completed");
        assert_eq!(app.job("work", &second).await["state"], "ready");
        worker.says("stopped; 1 taken: 1 completed").await;
    }
}

#[tokio::test]
async fn an_idle_worker_stops_at_once() {
    let (app, place) = (service().await, Place::new());
    let mut worker = place.worker(&app, "true", &[]);
    let id = app.enqueue_id("work", 1).await;
    app.until("work", &id, "completed").await;
    let started = Instant::now();
    worker.stop().await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_job_that_outlasts_the_grace_is_given_back() {
    let (app, place) = (service().await, Place::new());
    let mut worker = place.worker(&app, HANG, &["--grace-ms", "100"]);
    let id = app.enqueue_id("work", 1).await;
    let pids = place.pids().await;
    worker.stop().await;
    are_dead(&pids).await;
    worker.says("1 taken: 0 completed, 0 failed, 0 cancelled, 1 released").await;
    let other = Place::new();
    let _worker = other.worker(&app, "true", &[]);
    let job = app.until("work", &id, "completed").await;
    assert_eq!((&job["attempt"], last_error(&job)), (&json!(2), "the worker stopped before the job was done"));
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let (app, place) = (service().await, Place::new());
    let mut worker = place.worker(&app, HANG, &[]);
    app.enqueue("work", 1).await;
    let pids = place.pids().await;
    worker.signal(Signal::TERM);
    worker.says("the worker stops").await;
    worker.signal(Signal::INT);
    assert_eq!(worker.ended().await.code(), Some(1), "{}", worker.log());
    worker.says("ranq: stopped before the running jobs were done").await;
    are_dead(&pids).await;
}

#[tokio::test]
async fn a_job_of_a_worker_that_was_killed_is_done_by_another() {
    let (app, place, other) = (service().await, Place::new(), Place::new());
    let lease = ["--lease-ms", "1500"];
    let mut worker = place.worker(&app, HANG, &lease);
    let id = app.enqueue_id("work", 1).await;
    let pids = place.pids().await;
    let _other = other.worker(&app, "echo \"$RANQ_ATTEMPT\"", &lease);
    worker.signal(Signal::KILL);
    worker.ended().await;
    let ends = time(&app.job("work", &id).await["lease_expires_at"]);
    // Not even by its children is the job worked on any more.
    are_dead(&pids).await;
    let job = app.until("work", &id, "completed").await;
    let started = time(&job["started_at"]);
    let (earliest, latest) = (ends, ends + Duration::from_millis(500));
    assert!((earliest..=latest).contains(&started), "started at {started}, the lease ended at {ends}");
    assert_eq!((&job["result"], &job["attempt"]), (&json!(2), &json!(2)));
}

#[tokio::test]
async fn a_cancelled_job_is_killed() {
    let (app, place) = (service().await, Place::new());
    let mut worker = place.worker(&app, HANG, &["--lease-ms", "1500"]);
    let id = app.enqueue_id("work", 1).await;
    let pids = place.pids().await;
    app.delete(format!("/v1/queues/work/jobs/{id}")).await.is(204);
    are_dead(&pids).await;
    assert_eq!(app.job("work", &id).await["state"], "cancelled");
    worker.stop().await;
    worker.says("1 taken: 0 completed, 0 failed, 1 cancelled").await;
}

#[tokio::test]
async fn a_job_whose_lease_was_lost_is_killed_and_the_other_worker_has_it() {
    let (app, place, other) = (service().await, Place::new(), Place::new());
    app.create_queue("work", without_backoff()).await;
    let mut worker = place.worker(&app, HANG, &["--lease-ms", "1000"]);
    let id = app.enqueue_id("work", 1).await;
    let pids = place.pids().await;
    // It cannot extend its lease while it stands still.
    worker.signal(Signal::STOP);
    let _other = other.worker(&app, "echo \"$RANQ_ATTEMPT\"", &[]);
    assert_eq!(app.until("work", &id, "completed").await["result"], 2);
    worker.signal(Signal::CONT);
    are_dead(&pids).await;
    worker.stop().await;
    worker.says("0 released, 1 lost").await;
    assert_eq!(app.job("work", &id).await["result"], 2);
}

#[tokio::test]
async fn a_worker_outlives_its_service() {
    let directory = TempDir::new().expect("a directory");
    let place = Place::new();
    let mut service = Process::spawn(directory.path()).await;
    let address = service.address().to_string();
    let url = format!("http://{address}");
    let client = client_builder().build().expect("a client");
    let enqueue = async |payload: Value| {
        let body = json!({ "payload": payload });
        let response = client.post(format!("{url}/v1/queues/work/jobs")).json(&body).send().await.expect("an answer");
        let job: Value = response.json().await.expect("JSON");
        job["id"].as_str().expect("an id").to_owned()
    };
    let mut worker = place.worker_for(&url, UNTIL_TOLD, &["--lease-ms", "6000"]);
    let first = enqueue(json!(1)).await;
    place.begun().await;
    service.signal(Signal::KILL);
    service.ended().await;
    // The job ends while nobody is there to be told.
    place.go();
    worker.says("is tried again").await;
    let service = Process::spawn_on(directory.path(), &address).await;
    let second = enqueue(json!(2)).await;
    for id in [first, second] {
        eventually("both jobs are completed", async || {
            let job = service.get(&format!("/v1/queues/work/jobs/{id}")).await;
            (job["state"] == "completed").then(|| assert_eq!(job["attempt"], 1, "{job}"))
        })
        .await;
    }
    worker.stop().await;
    worker.says("2 taken: 2 completed").await;
}

#[tokio::test]
async fn a_worker_may_start_before_its_service() {
    let directory = TempDir::new().expect("a directory");
    let place = Place::new();
    let address = Process::spawn(directory.path()).await.address().to_string();
    let url = format!("http://{address}");
    let mut worker = place.worker_for(&url, "true", &[]);
    worker.says("no jobs can be had").await;
    let _service = Process::spawn_on(directory.path(), &address).await;
    let client = client_builder().build().expect("a client");
    let sent = client.post(format!("{url}/v1/queues/work/jobs")).json(&json!({"payload": 1})).send().await;
    assert_eq!(sent.expect("an answer").status(), 201);
    worker.says("is completed").await;
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_takes_many_commands_along() {
    let (app, place) = (service().await, Place::new());
    let line = r#"sleep 600 & echo "$$ $!" >>"$0/pids"; wait"#;
    let mut worker = place.worker(&app, line, &["--concurrency", "5"]);
    for number in 0..5 {
        app.enqueue("work", number).await;
    }
    let pids = pids(&place.0.path().join("pids"), 10).await;
    // One of them is gone before.
    signal(pids[0], Signal::KILL);
    worker.says("killed by signal 9").await;
    worker.signal(Signal::KILL);
    worker.ended().await;
    are_dead(&pids).await;
}
