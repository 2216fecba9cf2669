//! Single calls that wait at the same time share a script call for each queue and kind.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::figures::Counts;
use super::line::Queue;
use super::store::{Added, Call, CallResult, Prepared, QueueStore, Versioned};
use crate::error::{Error, Result};
use crate::merge::{self, answer_all};
use crate::types::{JobId, LeaseToken};

/// Calls that may wait for the next round; more wait in their own tasks.
const QUEUE: usize = 4096;
/// Calls that one round takes up.
const ROUND: usize = 128;
/// Jobs that one script call adds, leases or settles: about a millisecond of Redis.
pub(super) const CHUNK: usize = 100;

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

/// Merges the calls of one thread.
pub(super) struct Merger(merge::Merger<Waiting>);

impl Merger {
    /// Starts the task. Must be called inside a tokio runtime.
    pub(super) fn start(store: QueueStore, counts: Counts) -> Self {
        Self(merge::Merger::start(QUEUE, ROUND, |sender| {
            let maker = Arc::new(Maker { store, counts, releaser: Releaser(sender) });
            move |arrived| rounds(arrived).into_iter().map(|round| Arc::clone(&maker).make(round)).collect()
        }))
    }

    /// Adds a job together with those that wait; gives the time, and what became of it.
    pub(super) async fn enqueue(&self, queue: &Arc<Queue>, job: Prepared) -> Result<Versioned<(u64, Added)>> {
        self.0
            .ask(Error::OutcomeUnknown, |answer| Waiting::Enqueue(Enqueue { queue: Arc::clone(queue), job, answer }))
            .await
    }

    /// Settles and leases together with those that wait.
    pub(super) async fn work(&self, queue: &Arc<Queue>, call: Call) -> Result<Versioned<CallResult>> {
        self.0.ask(Error::OutcomeUnknown, |answer| Waiting::Work(Work { queue: Arc::clone(queue), call, answer })).await
    }

    /// What gives leases back that nobody gets.
    pub(super) fn releaser(&self) -> Releaser {
        Releaser(self.0.sender())
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
fn rounds(arrived: Vec<Waiting>) -> Vec<Round> {
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

/// Makes the calls of one thread.
struct Maker {
    store: QueueStore,
    counts: Counts,
    releaser: Releaser,
}

impl Maker {
    async fn make(self: Arc<Self>, round: Round) {
        match round {
            Round::Enqueue(jobs) => self.enqueue(jobs).await,
            Round::Work(calls) => self.work(calls).await,
            Round::Release(queue, leases) => self.release(&queue, &leases).await,
        }
    }

    async fn enqueue(&self, round: Vec<Enqueue>) {
        let Some(queue) = round.first().map(|first| Arc::clone(&first.queue)) else { return };
        let (jobs, answers): (Vec<Prepared>, Vec<_>) = round.into_iter().map(|new| (new.job, new.answer)).unzip();
        match self.store.enqueue(&queue, &jobs, None).await {
            Ok(Versioned::Current(answered)) => {
                let (now, added) = answered.answer;
                self.counts.enqueued(&queue.name, &added);
                for (answer, added) in answers.into_iter().zip(added) {
                    // Nobody waits any more where the client has gone.
                    let _ = answer.send(Ok(Versioned::Current((now, added))));
                }
            }
            Ok(Versioned::Stale) => answer_all(answers, || Ok(Versioned::Stale)),
            Err(error) => answer_all(answers, || Err(error.clone())),
        }
    }

    async fn work(&self, round: Vec<Work>) {
        let Some(queue) = round.first().map(|first| Arc::clone(&first.queue)) else { return };
        let (calls, answers): (Vec<Call>, Vec<_>) = round.into_iter().map(|work| (work.call, work.answer)).unzip();
        match self.store.dequeue(&queue, &calls, None).await {
            Ok(Versioned::Current(answered)) => {
                self.counts.worked(&queue.name, &answered.answer);
                for (answer, mut result) in answers.into_iter().zip(answered.answer.results) {
                    // Where the caller has gone, or goes before it looks, what it would have had goes back.
                    result.guard.keep(self.releaser.clone(), &queue, &result.jobs);
                    let _ = answer.send(Ok(Versioned::Current(result)));
                }
            }
            Ok(Versioned::Stale) => answer_all(answers, || Ok(Versioned::Stale)),
            Err(error) => answer_all(answers, || Err(error.clone())),
        }
    }

    async fn release(&self, queue: &Queue, leases: &[(JobId, LeaseToken)]) {
        if let Err(error) = self.store.release(queue, leases).await {
            debug!(queue.name = %queue.name, %error, "leases of `{}` are left to run out: {error}", queue.name);
        }
    }
}
