//! Keeps a lease while its job runs.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{debug, warn};

use super::backoff::Backoff;
use super::builder::in_ms;
use super::lease::Lease;
use super::service::{Failure, Service, job_path};
use super::wire::{Extend, Extended};

/// A request that hangs longer is given up for another one.
const LONGEST_CALL: Duration = Duration::from_secs(10);
const SHORTEST_CALL: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why a job must not run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// It was cancelled.
    Cancelled,
    /// Another worker may have it.
    Lost,
}

/// Extends the lease at a third of its length, again and again, until the job is gone.
pub(super) async fn keep(service: &Service, lease: &Lease) -> Gone {
    let path = job_path(&lease.queue, &lease.id, "extend");
    // Said each time, so that it stays as long where its queue gets another setting.
    let body = Extend { lease: &lease.token, lease_ms: in_ms(lease.length) };
    let id = &lease.id;
    let call_timeout = (lease.length / 3).clamp(SHORTEST_CALL, LONGEST_CALL);
    let mut backoff = Backoff::up_to((lease.length / 6).min(LONGEST_PAUSE));
    let mut next = Instant::now() + lease.length / 3;
    loop {
        sleep_until(next).await;
        let sent = Instant::now();
        match timeout_at(lease.ends(), service.post::<Extended>(&path, &body, call_timeout)).await {
            Ok(Ok(Extended { cancelled: true })) => return Gone::Cancelled,
            Ok(Ok(Extended { cancelled: false })) => {
                lease.extended(sent);
                backoff.reset();
                next = sent + lease.length / 3;
                debug!(job.id = %id, lease_ms = in_ms(lease.length), "job {id} keeps its lease");
            }
            Ok(Err(failure)) if failure.is_lost() => return Gone::Lost,
            Ok(Err(failure)) => {
                let wished = match &failure {
                    Failure::Passing { wait, .. } => *wait,
                    Failure::Refused { .. } => None,
                };
                let pause = backoff.pause(wished);
                warn!(job.id = %id, "the lease of job {id} cannot be extended and is tried again: {}", failure.detail());
                let Ok(()) = timeout_at(lease.ends(), sleep(pause)).await else { return Gone::Lost };
                next = Instant::now();
            }
            // Another worker may have the job by now, and two must not work on it.
            Err(_) => return Gone::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Scripted, Turn};
    use super::*;

    const EXTENDED: Turn =
        Turn::Answer("200 OK", r#"{"cancelled":false,"lease_expires_at":"2026-11-23T05:40:00.123Z"}"#);

    /// How a lease of 900 ms is gone, what was asked, and whether it held to its first end.
    async fn kept(turns: Vec<Turn>) -> (Gone, Vec<String>, bool) {
        let server = Scripted::start(turns).await;
        let lease = Lease::for_test(Duration::from_millis(900));
        let first_end = lease.ends();
        let gone = keep(&server.service(), &lease).await;
        (gone, server.requests(), Instant::now() >= first_end)
    }

    #[tokio::test]
    async fn it_is_extended_by_its_length_until_the_job_is_gone() {
        let cancelled = Turn::Answer("200 OK", r#"{"cancelled":true}"#);
        let (gone, requests, _) = kept(vec![EXTENDED, EXTENDED, cancelled]).await;
        assert_eq!(gone, Gone::Cancelled);
        assert_eq!(requests, [r#"POST /v1/queues/q/jobs/1/extend {"lease":"l","lease_ms":900}"#; 3]);
        for lost in [Turn::Answer("409 Conflict", "{}"), Turn::Answer("404 Not Found", "{}")] {
            assert_eq!(kept(vec![EXTENDED, lost]).await.0, Gone::Lost);
        }
    }

    #[tokio::test]
    async fn a_failure_is_tried_again_in_time() {
        let (gone, requests, _) = kept(vec![Turn::HangUp, EXTENDED, Turn::Answer("409 Conflict", "{}")]).await;
        assert_eq!((gone, requests.len()), (Gone::Lost, 3));
    }

    #[tokio::test]
    async fn it_is_lost_when_it_ends_unextended() {
        let (gone, requests, past_its_end) = kept(vec![Turn::HangUp; 100]).await;
        assert_eq!((gone, past_its_end), (Gone::Lost, true));
        assert!(requests.len() > 1, "{requests:?}");
    }
}
