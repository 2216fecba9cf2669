//! A service of one's own for each test, and what tests ask of it.

mod answer;
mod app;
mod certificates;
pub mod contract;
mod deployment;
#[path = "../../deployments/mod.rs"]
pub mod deployments;
mod events;
mod jobs;
mod metrics;
mod operations;
mod plain;
mod postgres;
mod process;
mod queues;
mod raw;
mod worker;

pub use self::answer::{Answer, entries};
pub use self::app::{Body, Options, Request, TestApp, encoded};
pub use self::certificates::{Authority, free_port};
pub use self::contract::document;
pub use self::deployment::TestRedis;
pub use self::events::Events;
pub use self::jobs::{STATES, TEN_YEARS_MS, assert_prompt, at, ids, millis};
pub use self::metrics::{Scrape, until_in_flight};
pub use self::operations::{Named, Operation, operations};
pub use self::plain::Plain;
pub use self::postgres::Postgres;
pub use self::process::{OwnRedis, Process, is_alive, signal};
pub use self::queues::Leased;
pub use self::worker::{WorkerProcess, example};

use std::time::{Duration, Instant};

/// How long a state may take to come about.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks again and again until `look` gives something.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < give_up, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A client without certificates, since tests speak plain HTTP alone.
pub fn client_builder() -> reqwest::ClientBuilder {
    // Another test of the process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().tls_certs_only([])
}
