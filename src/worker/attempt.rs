//! One job from its lease to its verdict.

use std::any::Any;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::builder::{Settings, in_ms};
use super::heartbeat::{self, Gone};
use super::job::{Job, JobError, Next, told};
use super::lease::Lease;
use super::service::Service;
use super::settle::Verdict;
use super::wire::LeasedJob;

/// The service takes no larger result.
const MAX_RESULT_BYTES: usize = 256 * 1024;
const RELEASED: &str = "the worker stopped before the job was done";

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The service is to be told.
    Settle(Verdict),
    /// The worker stopped; the service is to be told, too.
    Release(Verdict),
    /// There is nothing to tell.
    Gone(Gone),
}

/// Why a handler is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Gone(Gone),
    TimedOut(Duration),
    Released,
}

/// Begins an attempt. The receiver turns true when the worker's grace is over.
pub(super) type Begin = Box<dyn Fn(Arc<Lease>, LeasedJob, watch::Receiver<bool>) -> Attempt + Send + Sync>;
type Attempt = Pin<Box<dyn Future<Output = Outcome> + Send>>;
type Handling = JoinSet<Result<Option<Box<RawValue>>, JobError>>;

/// How attempts begin with this handler. What it is made of is nobody else's concern from here on.
pub(super) fn beginning<H, F, R>(service: Service, settings: Arc<Settings>, handler: H) -> Begin
where
    H: Fn(Job) -> F + Send + Sync + 'static,
    F: Future<Output = Result<R, JobError>> + Send + 'static,
    R: Serialize + Send + 'static,
{
    let handler = Arc::new(handler);
    Box::new(move |lease, leased, release| {
        let (service, settings, handler) = (service.clone(), Arc::clone(&settings), Arc::clone(&handler));
        let (ask_to_stop, stop_asked) = watch::channel(false);
        let job = Job::new(leased, stop_asked);
        Box::pin(async move {
            // A task of its own: a handler that computes for long, or panics, does not hold up the heartbeat.
            let mut handling = Handling::new();
            handling.spawn(async move { handler(job).await.and_then(to_result) });
            attend(&service, &settings, &lease, handling, &ask_to_stop, release).await
        })
    })
}

/// Waits for the end of the handler, keeping the lease meanwhile, and stops it where it has to.
async fn attend(
    service: &Service,
    settings: &Settings,
    lease: &Lease,
    mut handling: Handling,
    ask_to_stop: &watch::Sender<bool>,
    mut release: watch::Receiver<bool>,
) -> Outcome {
    let mut keeping = pin!(heartbeat::keep(service, lease));
    let mut timing = pin!(sleep(settings.timeout.unwrap_or(Duration::ZERO)));
    let mut drop_at = Instant::now();
    let mut stop: Option<Stop> = None;
    loop {
        let before = stop;
        tokio::select! {
            biased;
            Some(ended) = handling.join_next() => return outcome(Some(ended), stop),
            gone = &mut keeping, if !matches!(stop, Some(Stop::Gone(_))) => stop = Some(Stop::Gone(gone)),
            () = &mut timing, if stop.is_none() && settings.timeout.is_some() => {
                stop = settings.timeout.map(Stop::TimedOut);
            }
            () = told(&mut release), if stop.is_none() => stop = Some(Stop::Released),
            () = sleep_until(drop_at), if stop.is_some() => {
                handling.shutdown().await;
                return outcome(None, stop);
            }
        }
        if before.is_none() {
            ask_to_stop.send_replace(true);
            drop_at = Instant::now() + settings.cleanup;
        }
    }
}

type Ended = Result<Result<Option<Box<RawValue>>, JobError>, JoinError>;

/// What the end of a handler means; none if it was dropped.
fn outcome(ended: Option<Ended>, stop: Option<Stop>) -> Outcome {
    if let Some(Stop::Gone(gone)) = stop {
        return Outcome::Gone(gone);
    }
    let error = match ended {
        Some(Ok(Ok(result))) => return Outcome::Settle(Verdict::Ack(result)),
        Some(Ok(Err(error))) => error,
        Some(Err(error)) => JobError::new(panic_text(error)),
        None => JobError::new(""),
    };
    match stop {
        None => Outcome::Settle(Verdict::Nack(error)),
        Some(Stop::TimedOut(limit)) => {
            let text = format!("the job took longer than {} ms", in_ms(limit));
            Outcome::Settle(Verdict::Nack(JobError { text: joined(text, &error.text), next: error.next }))
        }
        Some(Stop::Released | Stop::Gone(_)) => {
            let text = joined(RELEASED.to_owned(), &error.text);
            Outcome::Release(Verdict::Nack(JobError { text, next: Next::RetryIn(Duration::ZERO) }))
        }
    }
}

fn joined(what: String, words: &str) -> String {
    if words.is_empty() { what } else { format!("{what}: {words}") }
}

/// The result as JSON. `null`, which is what `()` and `None` come to, is none.
fn to_result(value: impl Serialize) -> Result<Option<Box<RawValue>>, JobError> {
    let text = serde_json::value::to_raw_value(&value)
        .map_err(|error| JobError::new(format!("the result is no JSON: {error}")))?;
    match text.get() {
        "null" => Ok(None),
        json if json.len() > MAX_RESULT_BYTES => {
            Err(JobError::new(format!("the result has {} bytes, and {MAX_RESULT_BYTES} are allowed", json.len())))
        }
        _ => Ok(Some(text)),
    }
}

fn panic_text(error: JoinError) -> String {
    let words = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
    };
    match error.try_into_panic() {
        Ok(panic) => joined("the handler panicked".to_owned(), &words(panic)),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nack(outcome: Outcome) -> JobError {
        match outcome {
            Outcome::Settle(Verdict::Nack(error)) | Outcome::Release(Verdict::Nack(error)) => error,
            other => panic!("{other:?} is no nack"),
        }
    }

    #[test]
    fn null_is_no_result_and_other_json_keeps_its_bytes() {
        assert!(to_result(()).expect("JSON").is_none());
        assert!(to_result(None::<u8>).expect("JSON").is_none());
        let raw = RawValue::from_string(r#"{"a":1e400,"a": 2}"#.to_owned()).expect("JSON");
        let kept = to_result(Some(raw)).expect("JSON").expect("a result");
        assert_eq!(kept.get(), r#"{"a":1e400,"a": 2}"#);
        let error = to_result("x".repeat(MAX_RESULT_BYTES)).expect_err("too large");
        assert!(error.text.contains("262146 bytes"), "{error}");
    }

    #[test]
    fn a_stop_decides_what_a_failure_means_and_a_success_stays_one() {
        let failed = || Some(Ok(Err(JobError::new("no route"))));
        assert_eq!(nack(outcome(failed(), None)).text, "no route");
        let late = nack(outcome(failed(), Some(Stop::TimedOut(Duration::from_secs(1)))));
        assert_eq!(late.text, "the job took longer than 1000 ms: no route");
        let released = nack(outcome(None, Some(Stop::Released)));
        assert_eq!((released.text.as_str(), released.next), (RELEASED, Next::RetryIn(Duration::ZERO)));
        let done = outcome(Some(Ok(Ok(None))), Some(Stop::Released));
        assert!(matches!(done, Outcome::Settle(Verdict::Ack(None))), "{done:?}");
        let gone = outcome(Some(Ok(Ok(None))), Some(Stop::Gone(Gone::Lost)));
        assert!(matches!(gone, Outcome::Gone(Gone::Lost)), "{gone:?}");
    }
}
