//! A job as a handler sees it, and how it says that the job failed.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::wire::LeasedJob;

/// A job that this worker holds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Job {
    /// Its id.
    pub id: String,
    /// The queue that it comes from.
    pub queue: String,
    /// What was enqueued, byte for byte.
    pub payload: Box<RawValue>,
    /// From 0 to 9; 9 goes first.
    pub priority: u8,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How many attempts there are.
    pub max_attempts: u32,
    /// When it was enqueued, as RFC 3339.
    pub enqueued_at: String,
    /// What it shares limits and order with.
    pub key: Option<String>,
    /// What was sent along with the payload.
    pub headers: BTreeMap<String, String>,
    stop: watch::Receiver<bool>,
}

impl Job {
    pub(super) fn new(leased: LeasedJob, stop: watch::Receiver<bool>) -> Self {
        let LeasedJob { id, queue, payload, priority, attempt, max_attempts, enqueued_at, key, headers, .. } = leased;
        Self { id, queue, payload, priority, attempt, max_attempts, enqueued_at, key, headers, stop }
    }

    /// The payload as a type of one's own.
    ///
    /// # Errors
    ///
    /// When it does not have that form.
    pub fn payload_as<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.payload.get())
    }

    /// Is done when the handler should end: its lease is lost, the job was cancelled or took too long, or the worker's
    /// grace is over.
    ///
    /// Of use with [`WorkerBuilder::cleanup`](super::WorkerBuilder::cleanup); without it the handler's future is dropped
    /// in the same moment.
    pub fn stop_requested(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.clone();
        async move { told(&mut stop).await }
    }
}

/// Is done when the value is true; never if it can become so no more.
pub(super) async fn told(value: &mut watch::Receiver<bool>) {
    if value.wait_for(|value| *value).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Why a job failed, and what is to become of it.
///
/// Every error turns into one by `?`, its causes included; the job is then tried again as its queue says.
///
/// ```
/// use std::time::Duration;
/// use ranq::worker::JobError;
///
/// fn charge(card: &str) -> Result<u64, JobError> {
///     let number: u64 = card.parse()?;
///     match number {
///         0 => Err(JobError::new("the card does not exist").dead()),
///         1 => Err(JobError::new("the bank is closed").retry_in(Duration::from_secs(3600))),
///         number => Ok(number),
///     }
/// }
/// assert_eq!(charge("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobError {
    pub(super) text: String,
    pub(super) next: Next,
}

/// What becomes of a job that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// As its queue says.
    AsSet,
    /// Another attempt after this time.
    RetryIn(Duration),
    /// No other attempt.
    Dead,
}

impl JobError {
    /// An error with this text, of which the service keeps the first 4 KiB.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), next: Next::AsSet }
    }

    /// The next attempt, if one is left, is made after this time rather than when the queue says.
    #[must_use]
    pub fn retry_in(mut self, delay: Duration) -> Self {
        self.next = Next::RetryIn(delay);
        self
    }

    /// No other attempt is made.
    #[must_use]
    pub fn dead(mut self) -> Self {
        self.next = Next::Dead;
        self
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// It is no `std::error::Error` itself, since this would overlap with `From<T> for T`.
impl<E: std::error::Error> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::new(with_causes(&error))
    }
}

/// An error and its causes in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Some errors repeat their cause.
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the letter was not sent")]
    struct Outer(#[source] std::num::ParseIntError);

    #[test]
    fn an_error_brings_its_causes() {
        let error = Outer("x".parse::<u8>().expect_err("no number"));
        assert_eq!(JobError::from(error).text, "the letter was not sent: invalid digit found in string");
    }

    #[tokio::test]
    async fn a_stop_is_heard_before_and_after_it_was_asked_for() {
        let (stop, stopped) = watch::channel(false);
        let leased = serde_json::json!({"id": "1", "queue": "q", "lease": "l", "payload": 1, "priority": 4, "attempt": 1,
            "max_attempts": 5, "enqueued_at": "2026-11-23T05:40:00.123Z"});
        let job = Job::new(serde_json::from_str(&leased.to_string()).expect("a job"), stopped);
        let asked = job.stop_requested();
        stop.send_replace(true);
        asked.await;
        job.stop_requested().await;
        assert_eq!(job.payload_as::<u8>().expect("a number"), 1);
    }
}
