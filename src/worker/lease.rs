//! The right to settle a job, and until when it holds.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::wire::LeasedJob;

/// What a queue gives by default; only for a service that does not say what it gave.
const FALLBACK: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Lease {
    pub queue: String,
    pub id: String,
    pub token: String,
    /// How long it holds from each extension on.
    pub length: Duration,
    ends: Mutex<Instant>,
}

impl Lease {
    /// The lease of a job that was answered just now; `asked` is the length that was asked for, if any was.
    pub(super) fn of(job: &LeasedJob, asked: Option<Duration>) -> Self {
        let length = asked.or_else(|| length_of(job)).unwrap_or(FALLBACK).max(SHORTEST);
        Self {
            queue: job.queue.clone(),
            id: job.id.clone(),
            token: job.lease.clone(),
            length,
            ends: Mutex::new(Instant::now() + length),
        }
    }

    /// When it ends by the clock of this machine.
    pub(super) fn ends(&self) -> Instant {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was extended by a request that was sent at `sent`.
    pub(super) fn extended(&self, sent: Instant) {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = sent + self.length;
    }
}

/// By the clock of the service alone, so that the two clocks need not agree.
fn length_of(job: &LeasedJob) -> Option<Duration> {
    let started: Timestamp = job.started_at.as_ref()?.parse().ok()?;
    let expires: Timestamp = job.lease_expires_at.as_ref()?.parse().ok()?;
    expires.duration_since(started).try_into().ok()
}

#[cfg(test)]
impl Lease {
    /// The lease of job 1 of the queue q.
    pub(super) fn for_test(length: Duration) -> Self {
        let (queue, id, token) = ("q".to_owned(), "1".to_owned(), "l".to_owned());
        Self { queue, id, token, length, ends: Mutex::new(Instant::now() + length) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn leased(times: &Value) -> LeasedJob {
        let mut job = json!({"id": "1", "queue": "q", "lease": "l", "payload": 1, "priority": 4, "attempt": 1,
            "max_attempts": 5, "enqueued_at": "2026-11-23T05:40:00.123Z"});
        for (name, time) in times.as_object().expect("an object") {
            job[name] = time.clone();
        }
        serde_json::from_str(&job.to_string()).expect("a job")
    }

    #[test]
    fn the_length_is_what_was_asked_for_or_what_the_service_says() {
        let job =
            leased(&json!({"started_at": "2026-11-23T05:40:00.500Z", "lease_expires_at": "2026-11-23T05:41:00.500Z"}));
        assert_eq!(Lease::of(&job, None).length, Duration::from_secs(60));
        assert_eq!(Lease::of(&job, Some(Duration::from_secs(5))).length, Duration::from_secs(5));
        assert_eq!(Lease::of(&leased(&json!({})), None).length, FALLBACK);
    }
}
