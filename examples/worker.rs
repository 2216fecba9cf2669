//! A worker as a Rust program: it takes jobs such as `{"to": "ann@example.com"}` from the queue `emails`.
//!
//! ```text
//! RANQ_URL=http://127.0.0.1:8080 cargo run --example worker
//! ```

use std::error::Error;
use std::time::Duration;

use ranq::config::LogFormat;
use ranq::worker::{Job, JobError, Worker};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Deserialize)]
struct Email {
    to: String,
}

/// What is given goes to whoever reads the job, as its `result`.
async fn send(job: Job) -> Result<Value, JobError> {
    // A payload of another form stays so: no other attempt is made.
    let email: Email = job.payload_as().map_err(|error| JobError::new(error.to_string()).dead())?;
    if email.to.ends_with("@busy.example") {
        return Err(JobError::new("the mail server is busy").retry_in(Duration::from_secs(60)));
    }
    // The lease is extended for as long as this takes.
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(json!({"sent_to": email.to, "attempt": job.attempt}))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    ranq::telemetry::start("info", LogFormat::Text)?;
    let url = std::env::var("RANQ_URL").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned());
    let worker = Worker::builder(url)
        .token(std::env::var("RANQ_TOKEN").unwrap_or_default())
        .queue("emails")
        .concurrency(4)
        .timeout(Duration::from_secs(60))
        .build()?;

    // Running jobs are finished at SIGTERM and Ctrl-C.
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    let summary = worker.run(send, shutdown).await?;
    println!("{summary}");
    Ok(())
}
