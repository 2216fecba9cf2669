//! Workers: the command of the binary, the examples, and the library.

mod command;
mod ends;
mod examples;
mod library;

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{TestApp, encoded, eventually};

/// A service whose time is real, as that of workers is.
async fn service() -> TestApp {
    TestApp::with().server_clock().spawn().await
}

impl TestApp {
    /// Enqueues the text of a job as it is. Past the contract's check, whose reader of JSON knows no 1e400.
    async fn enqueue_text(&self, queue: &str, job: &str) {
        let head = format!("POST /v1/queues/{queue}/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let length = job.len();
        let rest = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{job}");
        self.raw(head + &rest).await.is(201);
    }

    /// Waits until a job is completed; gives it as it was answered, likewise.
    async fn until_completed_text(&self, queue: &str, id: &str) -> String {
        let target = format!("/v1/queues/{queue}/jobs/{}", encoded(id));
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        eventually(&format!("job {id} of {queue} is completed"), async || {
            let job = self.raw(&request).await.is(200);
            job.text().contains(r#""state":"completed""#).then(|| job.text().to_owned())
        })
        .await
    }

    async fn enqueue_id(&self, queue: &str, payload: impl Into<Value>) -> String {
        self.enqueue(queue, payload).await.id().to_owned()
    }

    /// Waits until a job is in a state; gives the job.
    async fn until(&self, queue: &str, id: &str, state: &str) -> Value {
        let what = format!("job {id} of {queue} is {state}");
        eventually(&what, async || {
            let job = self.job(queue, id).await.is(200).json().clone();
            (job["state"] == state).then_some(job)
        })
        .await
    }
}

/// What a command wrote, once it is whole: such files end with a line feed.
async fn written(path: &Path) -> String {
    let what = format!("{} is written", path.display());
    eventually(&what, async || std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))).await
}

/// The process ids that a command wrote.
async fn pids(path: &Path, count: usize) -> Vec<i32> {
    eventually("the process ids are written", async || {
        let text = std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))?;
        let pids: Vec<i32> = text.split_whitespace().map(|pid| pid.parse().expect("a number")).collect();
        (pids.len() == count).then_some(pids)
    })
    .await
}

/// The last error of a job.
fn last_error(job: &Value) -> &str {
    let errors = job["errors"].as_array().expect("a list");
    errors.last().and_then(|error| error["error"].as_str()).unwrap_or("")
}

/// Settings under which a job that failed is tried again at once.
fn without_backoff() -> Value {
    json!({"backoff": {"kind": "fixed", "base_ms": 0}})
}
