//! What becomes of jobs: enqueued, settled, extended, retried, cancelled.

use super::job::{Ack, Job, Nack, NewJob, NextAttempt, State};
use super::merge::CHUNK;
use super::store::{Added, Answered, Call, Once, Prepared, Settled, Versioned};
use super::{MOST_TRIES, Queue, Queues, changing, record};
use crate::error::{Error, Result};
use crate::types::{JobId, LeaseToken, QueueName, Raw, Timestamp};

/// The most bytes that one script call adds.
const CHUNK_BYTES: usize = 1024 * 1024;

/// The lease of a job after its heartbeat.
#[derive(Debug, Clone, Copy)]
pub struct Extended {
    /// When it runs out.
    pub lease_expires_at: Timestamp,
    /// Whether the job was cancelled: its worker may stop.
    pub cancelled: bool,
}

fn prepare(queue: &Queue, job: &NewJob) -> Prepared {
    Prepared {
        id: job.id.clone().unwrap_or_else(record::new_id),
        priority: job.priority,
        max_attempts: job.max_attempts.unwrap_or(queue.settings.max_attempts),
        tail: record::tail(job),
        options: record::options(job),
    }
}

/// The job that a new one has become; nothing where its id has to be made again.
fn outcome(queue: &QueueName, job: &NewJob, max_attempts: u32, now: u64, added: Added) -> Option<Result<Job>> {
    match added {
        Added::New { id, run_at } => Some(Ok(record::added(queue, job, id, max_attempts, now, run_at))),
        Added::Duplicate(there) => Some(Ok(*there)),
        Added::Late => Some(Err(Error::invalid("/run_at", "must be at most ten years ahead"))),
        Added::Taken => None,
    }
}

impl Queues {
    /// Enqueues a job; one whose id or unique key is there already gives that one.
    ///
    /// # Errors
    ///
    /// `NoQueue` without auto-creation; `IdempotencyMismatch`.
    pub async fn enqueue(&self, name: &QueueName, job: &NewJob, once: Option<&Once>) -> Result<Answered<Job>> {
        for _ in 0..MOST_TRIES {
            let queue = self.find_or_create(name).await?;
            let prepared = prepare(&queue, job);
            let max_attempts = prepared.max_attempts;
            let answered = match once {
                None => {
                    let answer = self.merger().enqueue(&queue, prepared).await?;
                    answer.map(|(now, added)| Answered { answer: (now, Some(added)), replayed: false })
                }
                Some(_) => self.store.enqueue(&queue, &[prepared], once).await?.map(|answered| {
                    if !answered.replayed {
                        self.counts.enqueued(name, &answered.answer.1);
                    }
                    answered.map(|(now, mut added)| (now, added.pop()))
                }),
            };
            let Versioned::Current(Answered { answer: (now, added), replayed }) = answered else {
                self.queues.invalidate(name);
                continue;
            };
            let added = added.ok_or_else(|| Error::Internal(format!("a job for `{name}` was not answered")))?;
            if let Some(answer) = outcome(name, job, max_attempts, now, added) {
                return Ok(Answered { answer: answer?, replayed });
            }
        }
        Err(changing(name))
    }

    /// Enqueues many jobs, each for itself; with a key for the whole, once. What could not be read keeps its error.
    ///
    /// # Errors
    ///
    /// `NoQueue` without auto-creation, `IdempotencyMismatch`, and those of the store where they met every job.
    pub async fn enqueue_many(
        &self,
        name: &QueueName,
        jobs: &[Result<NewJob>],
        once: Option<&Once>,
    ) -> Result<Answered<Vec<Result<Job>>>> {
        self.find_or_create(name).await?;
        let good: Vec<&NewJob> = jobs.iter().filter_map(|job| job.as_ref().ok()).collect();
        let (mut outcomes, mut replayed, mut last_error) = (Vec::with_capacity(good.len()), !good.is_empty(), None);
        for (number, chunk) in chunks(&good).into_iter().enumerate() {
            let part = once.map(|once| Once {
                key: if number == 0 { once.key.clone() } else { format!("{} {number}", once.key) },
                fingerprint: once.fingerprint.clone(),
            });
            match self.enqueue_chunk(name, chunk, part.as_ref()).await {
                Ok(answered) => {
                    replayed &= answered.replayed;
                    outcomes.extend(answered.answer);
                }
                Err(error @ (Error::IdempotencyMismatch | Error::NoQueue(_))) => return Err(error),
                Err(error) => {
                    outcomes.extend(chunk.iter().map(|_| Err(error.clone())));
                    last_error = Some(error);
                }
            }
        }
        if let Some(error) = last_error
            && outcomes.iter().all(Result::is_err)
        {
            return Err(error);
        }
        let mut outcomes = outcomes.into_iter();
        let unanswered = || Err(Error::Internal(format!("a job for `{name}` was not answered")));
        let answer = jobs.iter().map(|job| match job {
            Ok(_) => outcomes.next().unwrap_or_else(unanswered),
            Err(error) => Err(error.clone()),
        });
        Ok(Answered { answer: answer.collect(), replayed })
    }

    async fn enqueue_chunk(
        &self,
        name: &QueueName,
        jobs: &[&NewJob],
        once: Option<&Once>,
    ) -> Result<Answered<Vec<Result<Job>>>> {
        for _ in 0..MOST_TRIES {
            let queue = self.find_or_create(name).await?;
            let prepared: Vec<Prepared> = jobs.iter().map(|job| prepare(&queue, job)).collect();
            let attempts: Vec<u32> = prepared.iter().map(|prepared| prepared.max_attempts).collect();
            let Versioned::Current(answered) = self.store.enqueue(&queue, &prepared, once).await? else {
                self.queues.invalidate(name);
                continue;
            };
            let replayed = answered.replayed;
            let (now, added) = answered.answer;
            if !replayed {
                self.counts.enqueued(name, &added);
            }
            let mut answer = Vec::with_capacity(jobs.len());
            for ((job, max_attempts), added) in jobs.iter().zip(attempts).zip(added) {
                match outcome(name, job, max_attempts, now, added) {
                    Some(job) => answer.push(job),
                    // Another job has the id that was made: this one alone is tried again.
                    None => answer.push(self.enqueue(name, job, None).await.map(|enqueued| enqueued.answer)),
                }
            }
            return Ok(Answered { answer, replayed });
        }
        Err(changing(name))
    }

    /// Completes a job; the same again changes nothing.
    ///
    /// # Errors
    ///
    /// `NoQueue`, `NoJob`, `LeaseLost`, `IdempotencyMismatch`.
    pub async fn ack(&self, name: &QueueName, ack: Ack, once: Option<&Once>) -> Result<Answered<Job>> {
        let id = ack.id.clone();
        let settled = self.settle(name, vec![ack], true, once).await?;
        let replayed = settled.replayed;
        match settled.answer.into_iter().next() {
            Some(Settled::Done { job: Some(job), .. }) => Ok(Answered { answer: *job, replayed }),
            Some(Settled::Missing) => Err(Error::NoJob { queue: name.clone(), job: id }),
            Some(Settled::Lost) => Err(Error::LeaseLost(id)),
            Some(Settled::Done { job: None, .. }) | None => {
                Err(Error::Internal(format!("an ack of `{name}` was not answered")))
            }
        }
    }

    /// Completes many jobs, each for itself.
    ///
    /// # Errors
    ///
    /// `NoQueue`, `IdempotencyMismatch`; the errors of single acks are in the list.
    pub async fn ack_many(
        &self,
        name: &QueueName,
        acks: Vec<Ack>,
        once: Option<&Once>,
    ) -> Result<Answered<Vec<Result<()>>>> {
        let ids: Vec<JobId> = acks.iter().map(|ack| ack.id.clone()).collect();
        let (mut answer, mut replayed) = (Vec::with_capacity(ids.len()), once.is_some());
        for (number, chunk) in acks.chunks(CHUNK).enumerate() {
            let part = once.map(|once| Once {
                key: if number == 0 { once.key.clone() } else { format!("{} {number}", once.key) },
                fingerprint: once.fingerprint.clone(),
            });
            let settled = self.settle(name, chunk.to_vec(), false, part.as_ref()).await?;
            replayed &= settled.replayed;
            answer.extend(settled.answer);
        }
        let answer = answer.into_iter().zip(ids).map(|(settled, id)| settled.into_result(name, id));
        Ok(Answered { answer: answer.collect(), replayed })
    }

    pub(super) async fn settle(
        &self,
        name: &QueueName,
        acks: Vec<Ack>,
        full: bool,
        once: Option<&Once>,
    ) -> Result<Answered<Vec<Settled>>> {
        let call = Call { acks, full, ..Call::default() };
        self.on_current(name, async |queue| match once {
            None => {
                let answer = self.merger().work(queue, call.clone()).await?;
                Ok(answer.map(|result| Answered { answer: result.acks, replayed: false }))
            }
            Some(_) => {
                let answered = self.store.dequeue(queue, std::slice::from_ref(&call), once).await?;
                Ok(answered.map(|answered| {
                    if !answered.replayed {
                        self.counts.worked(name, &answered.answer);
                    }
                    answered.map(|worked| worked.results.into_iter().flat_map(|result| result.acks).collect())
                }))
            }
        })
        .await
    }

    /// Fails an attempt: the job is scheduled for its next one, or dead.
    ///
    /// # Errors
    ///
    /// `NoQueue`, `NoJob`, `LeaseLost`, `IdempotencyMismatch`.
    pub async fn nack(
        &self,
        name: &QueueName,
        id: &JobId,
        lease: &LeaseToken,
        nack: &Nack,
        once: Option<&Once>,
    ) -> Result<Answered<Job>> {
        let answered = self
            .on_current(name, async |queue| {
                let delay_ms = match nack.next {
                    NextAttempt::Backoff => Some(queue.settings.backoff.delay_ms(attempt_of(lease))),
                    NextAttempt::After(delay_ms) => Some(delay_ms),
                    NextAttempt::Never => None,
                };
                self.store.nack(queue, id, lease, delay_ms, &nack.error, once).await
            })
            .await?;
        let Answered { answer: (settled, died), replayed } = answered;
        match settled {
            Settled::Done { job: Some(job), .. } => {
                if !replayed {
                    self.counts.failed(name, 1, died.into());
                    self.counts.ran(name, &job, job.errors.last().map(|error| error.at));
                }
                Ok(Answered { answer: *job, replayed })
            }
            Settled::Missing => Err(Error::NoJob { queue: name.clone(), job: id.clone() }),
            Settled::Done { job: None, .. } | Settled::Lost => Err(Error::LeaseLost(id.clone())),
        }
    }

    /// Moves the deadline of a lease, and notes the progress.
    ///
    /// # Errors
    ///
    /// `NoQueue`, `NoJob`, `LeaseLost`, `IdempotencyMismatch`.
    pub async fn extend(
        &self,
        name: &QueueName,
        id: &JobId,
        lease: &LeaseToken,
        lease_ms: Option<u64>,
        progress: Option<&Raw>,
        once: Option<&Once>,
    ) -> Result<Answered<Extended>> {
        let answered = self
            .on_current(name, async |queue| {
                let lease_ms = lease_ms.unwrap_or(queue.settings.lease_ms);
                self.store.extend(queue, id, lease, lease_ms, progress, once).await
            })
            .await?;
        Ok(answered.map(|(deadline, cancelled)| Extended { lease_expires_at: record::millis(deadline), cancelled }))
    }

    /// Makes a dead or scheduled job ready now; a dead one has all its attempts again.
    ///
    /// # Errors
    ///
    /// `NoQueue`, `NoJob`, `IdempotencyMismatch`; `Conflict` in another state, or where another job has its unique key.
    pub async fn retry(&self, name: &QueueName, id: &JobId, once: Option<&Once>) -> Result<Answered<Job>> {
        let answered = self.on_current(name, async |queue| self.store.retry(queue, id, once).await).await?;
        Ok(answered.map(|job| *job))
    }

    /// Cancels a job that is not completed. A worker that holds it is told at its next heartbeat.
    ///
    /// # Errors
    ///
    /// `NoQueue`, `NoJob`; `Conflict` for a completed job.
    pub async fn cancel(&self, name: &QueueName, id: &JobId) -> Result<()> {
        self.on_current(name, async |queue| self.store.cancel(queue, id).await).await
    }

    /// Deletes the jobs of a state; gives how many.
    ///
    /// # Errors
    ///
    /// `NoQueue`; `Invalid` for jobs that are leased.
    pub async fn purge(&self, name: &QueueName, state: State) -> Result<u64> {
        if state == State::Active {
            return Err(Error::invalid("state", "must be another than active: cancel leased jobs one by one"));
        }
        let there = self.get(name).await?.figures.count(state);
        let mut deleted = 0;
        // What comes in meanwhile may stay, so that this ends.
        while deleted < there {
            let purged =
                self.on_current(name, async |queue| self.store.purge(queue, state, CHUNK as u64).await).await?;
            deleted += purged.deleted;
            if !purged.more {
                break;
            }
        }
        Ok(deleted)
    }
}

impl Settled {
    pub(super) fn into_result(self, queue: &QueueName, id: JobId) -> Result<()> {
        match self {
            Self::Done { .. } => Ok(()),
            Self::Missing => Err(Error::NoJob { queue: queue.clone(), job: id }),
            Self::Lost => Err(Error::LeaseLost(id)),
        }
    }
}

/// The attempt that a lease is for: it stands before the token's first `-`.
fn attempt_of(lease: &LeaseToken) -> u32 {
    lease.as_str().split('-').next().and_then(|attempt| attempt.parse().ok()).unwrap_or(1)
}

/// Runs of jobs that one script call takes each.
fn chunks<'a, 'b>(jobs: &'a [&'b NewJob]) -> Vec<&'a [&'b NewJob]> {
    let (mut chunks, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, job) in jobs.iter().enumerate() {
        let size = job.payload.as_str().len();
        if at - from == CHUNK || (at > from && bytes + size > CHUNK_BYTES) {
            chunks.push(&jobs[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += size;
    }
    if from < jobs.len() {
        chunks.push(&jobs[from..]);
    }
    chunks
}
