//! A worker for Rust programs: takes jobs from the queues of a service, runs a handler on each, and settles them.
//!
//! It speaks the service's HTTP interface and uses no other module of the crate, so that a worker needs neither Redis
//! nor the service's settings.
//!
//! ```no_run
//! use ranq::worker::{Job, JobError, Worker};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Email {
//!     to: String,
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let worker = Worker::builder("http://127.0.0.1:8080").queue("emails").concurrency(4).build()?;
//! let handler = |job: Job| async move {
//!     let email: Email = job.payload_as().map_err(|error| JobError::new(error.to_string()).dead())?;
//!     Ok::<_, JobError>(format!("sent to {}", email.to))
//! };
//! let shutdown = async { drop(tokio::signal::ctrl_c().await) };
//! let summary = worker.run(handler, shutdown).await?;
//! println!("{summary}");
//! # Ok(())
//! # }
//! ```

mod attempt;
mod backoff;
mod builder;
mod dequeue;
mod desk;
mod heartbeat;
mod job;
mod lease;
mod run;
#[cfg(test)]
mod scripted;
mod service;
mod settle;
mod summary;
mod wire;

pub use self::builder::{BuildError, WorkerBuilder};
pub use self::job::{Job, JobError};
pub use self::run::RunError;
pub use self::summary::Summary;
pub use self::wire::Order;

use self::builder::Settings;

/// A worker that is set up and does not work yet; see [`Worker::run`].
#[derive(Debug)]
pub struct Worker {
    settings: Settings,
    service: service::Service,
}
