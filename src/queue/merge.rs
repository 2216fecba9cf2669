//! Single calls that wait at the same time share a script call.
//!
//! While enough calls are under way, what arrives waits for the next round, which makes one call for each queue and kind. So
//! nothing waits when little is going on, and a busy queue pays the fixed cost of a call once for many.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::debug;

use super::figures::Counts;
use super::line::Queue;
use super::store::{Added, Call, CallResult, Prepared, QueueStore, Versioned};
use crate::error::{Error, Result};
use crate::types::{JobId, LeaseToken};

/// Calls that may wait for the next round; more wait in their own tasks.
const QUEUE: usize = 4096;
/// Calls that one round takes up.
const ROUND: usize = 128;
/// Jobs that one script call adds, leases or settles: about a millisecond of Redis.
pub(super) const CHUNK: usize = 100;
/// Two, so that Redis works on one call while the thread makes the next.
const CALLS_UNDER_WAY: usize = 2;

type Answer<T> = oneshot::Sender<Result<Versioned<T>>>;

struct Enqueue {
    queue: Arc<Queue>,
    job: Prepared,
    answer: Answer<(u64, Added)>,
}

struct Work {
    queue: Arc<Queue>,
    call: Call,
    answer: Answer<CallResult>,
}

enum Waiting {
    Enqueue(Enqueue),
    Work(Work),
    Release(Arc<Queue>, Vec<(JobId, LeaseToken)>),
}

/// Merges the calls of one thread. Its task ends with it.
pub(super) struct Merger {
    sender: mpsc::Sender<Waiting>,
    task: JoinHandle<()>,
}

impl Merger {
    /// Starts the task. Must be called inside a tokio runtime.
    pub(super) fn start(store: QueueStore, counts: Counts) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let releaser = Releaser(sender.downgrade());
        Self { task: tokio::spawn(run(store, counts, releaser, receiver)), sender }
    }

    /// Adds a job together with those that wait; gives the time, and what became of it.
    pub(super) async fn enqueue(&self, queue: &Arc<Queue>, job: Prepared) -> Result<Versioned<(u64, Added)>> {
        let (answer, answered) = oneshot::channel();
        self.send(Waiting::Enqueue(Enqueue { queue: Arc::clone(queue), job, answer }), answered).await
    }

    /// Settles and leases together with those that wait.
    pub(super) async fn work(&self, queue: &Arc<Queue>, call: Call) -> Result<Versioned<CallResult>> {
        let (answer, answered) = oneshot::channel();
        self.send(Waiting::Work(Work { queue: Arc::clone(queue), call, answer }), answered).await
    }

    async fn send<T>(&self, waiting: Waiting, answered: oneshot::Receiver<Result<T>>) -> Result<T> {
        let ended = "the task that calls Redis has ended";
        self.sender.send(waiting).await.map_err(|_| Error::StoreUnavailable(ended.to_owned()))?;
        answered.await.map_err(|_| Error::OutcomeUnknown(ended.to_owned()))?
    }

    /// What gives leases back that nobody gets.
    pub(super) fn releaser(&self) -> Releaser {
        Releaser(self.sender.downgrade())
    }
}

impl Drop for Merger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Gives leases back.
#[derive(Clone)]
pub(super) struct Releaser(mpsc::WeakSender<Waiting>);

impl Releaser {
    /// Gives leases back soon. Where even that cannot be done they run out by themselves.
    pub(super) fn release(&self, queue: &Arc<Queue>, leases: Vec<(JobId, LeaseToken)>) {
        let waiting = Waiting::Release(Arc::clone(queue), leases);
        if self.0.upgrade().is_none_or(|sender| sender.try_send(waiting).is_err()) {
            debug!(queue.name = %queue.name, "leases of `{}` are left to run out", queue.name);
        }
    }
}

async fn run(store: QueueStore, counts: Counts, releaser: Releaser, mut receiver: mpsc::Receiver<Waiting>) {
    let mut arrived = Vec::with_capacity(ROUND);
    let mut calls = FuturesUnordered::new();
    loop {
        // Calls are sent in the order in which they are made, and Redis runs them in that order.
        tokio::select! {
            biased;
            Some(()) = calls.next() => {}
            count = receiver.recv_many(&mut arrived, ROUND), if calls.len() < CALLS_UNDER_WAY => {
                if count == 0 {
                    return;
                }
                calls.extend(rounds(arrived.drain(..)).into_iter().map(|round| make(&store, &counts, &releaser, round)));
            }
        }
    }
}

/// Payload bytes that one script call adds.
const CHUNK_BYTES: usize = 1024 * 1024;

enum Round {
    Enqueue(Vec<Enqueue>),
    Work(Vec<Work>),
    Release(Arc<Queue>, Vec<(JobId, LeaseToken)>),
}

fn same(one: &Arc<Queue>, other: &Arc<Queue>) -> bool {
    Arc::ptr_eq(one, other)
}

fn fits_in(jobs: &[Enqueue], new: &Enqueue) -> bool {
    let bytes: usize = jobs.iter().map(|job| job.job.tail.len()).sum();
    jobs.len() < CHUNK && same(&jobs[0].queue, &new.queue) && bytes + new.job.tail.len() <= CHUNK_BYTES
}

fn weight(call: &Call) -> usize {
    call.limit as usize + call.acks.len()
}

/// One call for each queue and kind, none of them too large.
fn rounds(arrived: impl Iterator<Item = Waiting>) -> Vec<Round> {
    let mut rounds: Vec<Round> = Vec::new();
    for waiting in arrived {
        match waiting {
            Waiting::Enqueue(new) => {
                let fitting = rounds.iter_mut().find_map(|round| match round {
                    Round::Enqueue(jobs) if fits_in(jobs, &new) => Some(jobs),
                    Round::Enqueue(_) | Round::Work(_) | Round::Release(..) => None,
                });
                match fitting {
                    Some(jobs) => jobs.push(new),
                    None => rounds.push(Round::Enqueue(vec![new])),
                }
            }
            Waiting::Work(new) => {
                let fits = |calls: &[Work]| {
                    same(&calls[0].queue, &new.queue)
                        && calls.iter().map(|work| weight(&work.call)).sum::<usize>() + weight(&new.call) <= CHUNK
                };
                let fitting = rounds.iter_mut().find_map(|round| match round {
                    Round::Work(calls) if fits(calls) => Some(calls),
                    Round::Work(_) | Round::Enqueue(_) | Round::Release(..) => None,
                });
                match fitting {
                    Some(calls) => calls.push(new),
                    None => rounds.push(Round::Work(vec![new])),
                }
            }
            Waiting::Release(queue, leases) => rounds.push(Round::Release(queue, leases)),
        }
    }
    rounds
}

async fn make(store: &QueueStore, counts: &Counts, releaser: &Releaser, round: Round) {
    match round {
        Round::Enqueue(jobs) => enqueue(store, counts, jobs).await,
        Round::Work(calls) => work(store, counts, releaser, calls).await,
        Round::Release(queue, leases) => release(store, &queue, &leases).await,
    }
}

async fn enqueue(store: &QueueStore, counts: &Counts, round: Vec<Enqueue>) {
    let Some(queue) = round.first().map(|first| Arc::clone(&first.queue)) else { return };
    let (jobs, answers): (Vec<Prepared>, Vec<_>) = round.into_iter().map(|new| (new.job, new.answer)).unzip();
    match store.enqueue(&queue, &jobs, None).await {
        Ok(Versioned::Current(answered)) => {
            let (now, added) = answered.answer;
            counts.enqueued(&queue.name, &added);
            for (answer, added) in answers.into_iter().zip(added) {
                // Nobody waits any more where the client has gone.
                let _ = answer.send(Ok(Versioned::Current((now, added))));
            }
        }
        Ok(Versioned::Stale) => answers.into_iter().for_each(|answer| drop(answer.send(Ok(Versioned::Stale)))),
        Err(error) => answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone())))),
    }
}

async fn work(store: &QueueStore, counts: &Counts, releaser: &Releaser, round: Vec<Work>) {
    let Some(queue) = round.first().map(|first| Arc::clone(&first.queue)) else { return };
    let (calls, answers): (Vec<Call>, Vec<_>) = round.into_iter().map(|work| (work.call, work.answer)).unzip();
    match store.dequeue(&queue, &calls, None).await {
        Ok(Versioned::Current(answered)) => {
            counts.worked(&queue.name, &answered.answer);
            for (answer, mut result) in answers.into_iter().zip(answered.answer.results) {
                // Where the caller has gone, or goes before it looks, what it would have had goes back.
                result.guard.keep(releaser.clone(), &queue, &result.jobs);
                let _ = answer.send(Ok(Versioned::Current(result)));
            }
        }
        Ok(Versioned::Stale) => answers.into_iter().for_each(|answer| drop(answer.send(Ok(Versioned::Stale)))),
        Err(error) => answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone())))),
    }
}

async fn release(store: &QueueStore, queue: &Queue, leases: &[(JobId, LeaseToken)]) {
    if let Err(error) = store.release(queue, leases).await {
        debug!(queue.name = %queue.name, %error, "leases of `{}` are left to run out: {error}", queue.name);
    }
}
