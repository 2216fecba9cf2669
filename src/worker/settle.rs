//! Tells the service what became of a job.

use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::backoff::Backoff;
use super::builder::in_ms;
use super::job::{JobError, Next};
use super::lease::Lease;
use super::service::{Failure, Service, job_path};
use super::wire::{Ack, Nack};

const SHORTEST_CALL: Duration = Duration::from_secs(1);
const LONGEST_CALL: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The service keeps no more of an error.
const MAX_ERROR_BYTES: usize = 4096;

/// What the service is told.
#[derive(Debug)]
pub(super) enum Verdict {
    Ack(Option<Box<RawValue>>),
    Nack(JobError),
}

/// Settles the job by a call of its own, which is repeated until the lease has ended. Gives the verdict that the service
/// took, or none if the lease was lost before.
pub(super) async fn settle(service: &Service, lease: &Lease, verdict: Verdict) -> Option<Verdict> {
    let mut verdict = verdict;
    let mut backoff = Backoff::up_to((lease.length / 6).min(LONGEST_PAUSE));
    let mut unsure = false;
    let id = &lease.id;
    loop {
        let failure = match call(service, lease, &verdict).await {
            Ok(IgnoredAny) => return Some(verdict),
            Err(failure) => failure,
        };
        match (failure, &verdict) {
            // A try whose answer was lost has settled it: then a nack voids the lease, and a finished job may be gone.
            (Failure::Refused { status: 404, .. }, _) | (Failure::Refused { status: 409, .. }, Verdict::Nack(_))
                if unsure =>
            {
                return Some(verdict);
            }
            (Failure::Refused { status, detail }, Verdict::Ack(Some(_))) if !matches!(status, 404 | 409) => {
                warn!(job.id = %id, "the result of job {id} is refused ({detail}), so the job has failed");
                verdict = Verdict::Nack(JobError::new(format!("its result was refused: {detail}")));
            }
            (Failure::Refused { detail, .. }, _) => {
                warn!(job.id = %id, "job {id} is no longer this worker's: {detail}");
                return None;
            }
            (Failure::Passing { detail, wait, unsure: maybe_taken }, _) => {
                unsure |= maybe_taken;
                let pause = backoff.pause(wait);
                if Instant::now() + pause >= lease.ends() {
                    warn!(job.id = %id, "job {id} could not be settled before its lease ended: {detail}");
                    return None;
                }
                warn!(job.id = %id, "job {id} cannot be settled and is tried again: {detail}");
                sleep(pause).await;
            }
        }
    }
}

async fn call(service: &Service, lease: &Lease, verdict: &Verdict) -> Result<IgnoredAny, Failure> {
    let left = lease.ends().saturating_duration_since(Instant::now());
    let timeout = left.clamp(SHORTEST_CALL, LONGEST_CALL);
    match verdict {
        Verdict::Ack(result) => {
            let body = Ack { lease: &lease.token, result: result.as_deref() };
            service.post(&job_path(&lease.queue, &lease.id, "ack"), &body, timeout).await
        }
        Verdict::Nack(JobError { text, next }) => {
            let (retry_in_ms, dead) = match next {
                Next::AsSet => (None, None),
                Next::RetryIn(delay) => (Some(in_ms(*delay)), None),
                Next::Dead => (None, Some(true)),
            };
            let error = &text[..text.floor_char_boundary(MAX_ERROR_BYTES)];
            let body = Nack { lease: &lease.token, error, retry_in_ms, dead };
            service.post(&job_path(&lease.queue, &lease.id, "nack"), &body, timeout).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Scripted, Turn};
    use super::*;

    const DONE: Turn = Turn::Answer("200 OK", "{}");
    const LOST: Turn = Turn::Answer("409 Conflict", r#"{"type":"/problems/lease-lost"}"#);
    const GONE: Turn = Turn::Answer("404 Not Found", r#"{"type":"/problems/not-found"}"#);

    fn ack() -> Verdict {
        Verdict::Ack(Some(RawValue::from_string("[1e400]".to_owned()).expect("JSON")))
    }

    fn nack() -> Verdict {
        Verdict::Nack(JobError::new("é".repeat(4000)).retry_in(Duration::from_secs(2)))
    }

    /// What becomes of the verdict, and the requests that were made.
    async fn settled(verdict: Verdict, turns: Vec<Turn>) -> (Option<Verdict>, Vec<String>) {
        let server = Scripted::start(turns).await;
        let lease = Lease::for_test(Duration::from_secs(20));
        let settled = settle(&server.service(), &lease, verdict).await;
        (settled, server.requests())
    }

    #[tokio::test]
    async fn a_verdict_is_told_in_full() {
        let (settled, requests) = self::settled(ack(), vec![DONE]).await;
        assert!(matches!(settled, Some(Verdict::Ack(_))), "{settled:?}");
        assert_eq!(requests, [r#"POST /v1/queues/q/jobs/1/ack {"lease":"l","result":[1e400]}"#]);
        let (_, requests) = self::settled(nack(), vec![DONE]).await;
        let error = "é".repeat(2048);
        let expected = format!(r#"POST /v1/queues/q/jobs/1/nack {{"lease":"l","error":"{error}","retry_in_ms":2000}}"#);
        assert_eq!(requests, [expected]);
    }

    #[tokio::test]
    async fn what_passes_is_tried_again() {
        for passing in
            [Turn::HangUp, Turn::Answer("503 Service Unavailable", ""), Turn::Answer("429 Too Many Requests", "")]
        {
            let (settled, requests) = self::settled(ack(), vec![passing, DONE]).await;
            assert!(settled.is_some());
            assert_eq!(requests.len(), 2);
        }
    }

    #[tokio::test]
    async fn a_lost_lease_is_final_unless_an_earlier_try_may_have_been_taken() {
        for (verdict, turns, taken) in [
            (ack(), vec![LOST], false),
            (nack(), vec![GONE], false),
            (ack(), vec![Turn::HangUp, LOST], false),
            (ack(), vec![Turn::HangUp, GONE], true),
            (nack(), vec![Turn::HangUp, LOST], true),
            (nack(), vec![Turn::Answer("429 Too Many Requests", ""), LOST], false),
        ] {
            let what = format!("{verdict:?} {turns:?}");
            assert_eq!(settled(verdict, turns).await.0.is_some(), taken, "{what}");
        }
    }

    #[tokio::test]
    async fn a_result_that_is_refused_fails_the_job() {
        let refused = Turn::Answer("422 Unprocessable", r#"{"detail":"too deep"}"#);
        let (settled, requests) = self::settled(ack(), vec![refused, DONE]).await;
        assert!(matches!(settled, Some(Verdict::Nack(_))), "{settled:?}");
        let expected = r#"POST /v1/queues/q/jobs/1/nack {"lease":"l","error":"its result was refused: 422: too deep"}"#;
        assert_eq!(requests[1], expected);
    }

    #[tokio::test]
    async fn it_is_given_up_when_the_lease_ends() {
        let server = Scripted::start(vec![Turn::HangUp; 100]).await;
        let lease = Lease::for_test(Duration::from_millis(300));
        assert!(settle(&server.service(), &lease, ack()).await.is_none());
        assert!(Instant::now() <= lease.ends() + Duration::from_millis(100));
        assert!(server.requests().len() > 1);
    }
}
