//! The loop of a worker.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use serde::Serialize;
use tracing::info;

use super::Worker;
use super::attempt;
use super::desk::Desk;
use super::job::{Job, JobError};
use super::summary::Summary;

/// Why a worker stopped without having been told to.
#[derive(Debug, thiserror::Error)]
#[error("the service refuses this worker: {detail}")]
#[non_exhaustive]
pub struct RunError {
    /// What the service answered, its status first.
    pub detail: String,
    /// What was done before.
    pub summary: Summary,
}

impl Worker {
    /// Runs the handler on job after job until `shutdown` is done; then lets running jobs finish for the
    /// [`grace`](super::WorkerBuilder::grace), and gives back the others.
    ///
    /// What the handler gives is the job's result, any JSON of at most 256 KiB; `()` and `None` are none. While the
    /// handler runs, its lease is extended. If the lease is lost all the same, or the job is cancelled, the handler's
    /// future is dropped and the service is told nothing. A handler that panics has failed.
    ///
    /// A job may be run more than once: a worker may die after the work and before the service has heard of it.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the service refuses to give jobs for a reason that does not pass, such as a token without the
    /// scope; running jobs are finished before. All else is tried again for as long as it takes.
    ///
    /// # Examples
    ///
    /// See [the module](super).
    pub async fn run<H, F, R>(self, handler: H, shutdown: impl Future<Output = ()>) -> Result<Summary, RunError>
    where
        H: Fn(Job) -> F + Send + Sync + 'static,
        F: Future<Output = Result<R, JobError>> + Send + 'static,
        R: Serialize + Send + 'static,
    {
        let Self { settings, service } = self;
        let settings = Arc::new(settings);
        let begin = attempt::beginning(service.clone(), Arc::clone(&settings), handler);
        let mut desk = Desk::new(service, settings, begin);
        let mut shutdown = pin!(shutdown);
        let refused = loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break None,
                refused = desk.turn() => match refused {
                    Ok(()) => {}
                    Err(detail) => break Some(detail),
                },
            }
        };
        info!("the worker stops");
        let summary = desk.finish().await;
        match refused {
            None => Ok(summary),
            Some(detail) => Err(RunError { detail, summary }),
        }
    }
}
