//! Leasing jobs from one or several queues, at once or when there are some.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::job::{Ack, Job};
use super::merge::{CHUNK, Releaser};
use super::store::{Answered, Call, CallResult, Once, Settled, Versioned};
use super::{MOST_TRIES, Queue, Queues, changing, ready_topic, record};
use crate::error::{Error, Result};
use crate::types::{JobId, LeaseToken, QueueName, WorkerName};

/// Calls of one look at a queue whose first jobs are held back by their keys, or have gone.
const MOST_LOOKS: usize = 200;
/// When who waits looks again after a look that failed because Redis is away.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// In which order several queues are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum QueueOrder {
    /// As they are listed: a later one only where the earlier ones are empty.
    #[default]
    Strict,
    /// By chance, by these weights; 1 for a queue without.
    Weighted(BTreeMap<QueueName, u32>),
}

/// What a worker asks for.
#[derive(Debug, Clone)]
pub struct Dequeue {
    /// The queues.
    pub queues: Vec<QueueName>,
    /// In which order.
    pub order: QueueOrder,
    /// How many jobs at most; 0 for acks alone.
    pub limit: u32,
    /// How long to wait for the first one.
    pub wait: Duration,
    /// How long the leases last; as the queues say otherwise.
    pub lease_ms: Option<u64>,
    /// Who asks.
    pub worker: Option<WorkerName>,
    /// Leases to settle before.
    pub acks: Vec<Ack>,
}

/// What a worker gets.
pub struct Dequeued {
    /// The jobs, with their leases.
    pub jobs: Vec<Job>,
    /// What became of each ack.
    pub acked: Vec<(JobId, Result<()>)>,
    /// Gives the leases back unless it is told that the worker has them.
    pub guard: LeaseGuard,
}

/// Leases that go back to their queues unless they are delivered.
#[derive(Default)]
pub struct LeaseGuard(Vec<Held>);

/// Leases of one queue, and what gives them back.
type Held = (Releaser, Arc<Queue>, Vec<(JobId, LeaseToken)>);

impl LeaseGuard {
    /// The leases are on their way to the worker.
    pub fn delivered(&mut self) {
        self.0.clear();
    }

    pub(super) fn keep(&mut self, releaser: Releaser, queue: &Arc<Queue>, jobs: &[Job]) {
        let leases: Vec<_> = jobs.iter().filter_map(|job| Some((job.id.clone(), job.lease.clone()?))).collect();
        if !leases.is_empty() {
            self.0.push((releaser, Arc::clone(queue), leases));
        }
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        for (releaser, queue, leases) in self.0.drain(..) {
            releaser.release(&queue, leases);
        }
    }
}

/// What is known after a look at the queues.
struct Looked {
    jobs: Vec<Job>,
    guard: LeaseGuard,
    /// The sooner of the times after which a limit has room.
    room_in: Option<Duration>,
    replayed: bool,
}

impl Looked {
    fn nothing(room_in: Option<Duration>) -> Self {
        Self { jobs: Vec::new(), guard: LeaseGuard::default(), room_in, replayed: false }
    }
}

/// Whether Redis is away, so that who waits may go on: what was asked for may be there later.
pub(super) fn is_passing(error: &Error) -> bool {
    matches!(error.root(), Error::StoreUnavailable(_) | Error::OutcomeUnknown(_))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Once,
    BeforeWaiting,
}

impl Queues {
    /// Settles leases, then leases jobs; waits for the first one as long as is asked.
    ///
    /// # Errors
    ///
    /// `IdempotencyMismatch`, and those of the store. A queue that does not exist has no jobs.
    pub async fn dequeue(&self, request: &Dequeue, once: Option<&Once>) -> Result<Answered<Dequeued>> {
        let until = Instant::now() + request.wait;
        // In boxes, since a waiter should not keep the room that its looks have needed.
        let (order, first_call) = Box::pin(self.known_order(request, once)).await?;
        let (mut acked, last) = Box::pin(self.settle_beforehand(request, once)).await?;
        let mut acks = Acks::of(last);
        let may_wait = !request.wait.is_zero() && request.limit > 0 && first_call;
        let topics: Vec<String> = match may_wait {
            true => request.queues.iter().map(|queue| ready_topic(queue.as_str())).collect(),
            false => Vec::new(),
        };
        // Registered before each look: a job that comes between the two would be missed otherwise.
        let mut waiting = may_wait.then(|| self.waiters.on(&topics));
        let kind = if may_wait { Look::BeforeWaiting } else { Look::Once };
        let mut looked = Box::pin(self.look(request, &order, Some(&mut acks), kind, once)).await?;
        acked.extend(acks.outcome());
        let mut woken: Option<crate::events::Waiting> = None;
        loop {
            // A wake-up is used up only by a look that has ended: until then it would go to the next waiter.
            if let Some(woken) = woken.take() {
                woken.settle();
            }
            let now = Instant::now();
            let registered = match waiting.take() {
                Some(registered)
                    if looked.jobs.is_empty() && !looked.replayed && now < until && !self.waiters.is_closed() =>
                {
                    registered
                }
                _ => {
                    let Looked { jobs, guard, replayed, room_in: _ } = looked;
                    return Ok(Answered { answer: Dequeued { jobs, acked, guard }, replayed });
                }
            };
            let look_again = looked.room_in.map_or(until, |room_in| until.min(now + room_in));
            tokio::select! {
                () = registered.woken() => woken = Some(registered),
                () = tokio::time::sleep_until(look_again.into()) => drop(registered),
            }
            waiting = Some(self.waiters.on(&topics));
            let order = self.order(request);
            looked = match Box::pin(self.look(request, &order, None, Look::BeforeWaiting, once)).await {
                // What such a look has leased, if anything, runs out; who waits goes on waiting.
                Err(error) if is_passing(&error) && Instant::now() < until => Looked::nothing(Some(LOOK_AGAIN)),
                outcome => outcome?,
            };
        }
    }

    /// Settles what is more than goes into one call; gives the outcomes, and the acks that are left.
    async fn settle_beforehand<'a>(
        &self,
        request: &'a Dequeue,
        once: Option<&Once>,
    ) -> Result<(Vec<(JobId, Result<()>)>, &'a [Ack])> {
        let (first, last) = match (&request.queues[..], once) {
            ([_], None) => request.acks.split_at(request.acks.len().saturating_sub(CHUNK)),
            _ => (&[][..], &request.acks[..]),
        };
        let mut outcomes = Vec::with_capacity(request.acks.len());
        for chunk in first.chunks(CHUNK) {
            let Some(name) = request.queues.first() else { break };
            match self.settle(name, chunk.to_vec(), false, None).await {
                Ok(settled) => {
                    let settled = settled.answer.into_iter().zip(chunk);
                    outcomes.extend(settled.map(|(how, ack)| (ack.id.clone(), how.into_result(name, ack.id.clone()))));
                }
                Err(Error::NoQueue(_)) => {
                    outcomes.extend(chunk.iter().map(|ack| (ack.id.clone(), Err(Error::LeaseLost(ack.id.clone())))));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((outcomes, last))
    }

    /// The queues in the order in which to look at them, and whether this is the first call with its key: where it is not, only
    /// those that had a part in the first answer.
    async fn known_order(&self, request: &Dequeue, once: Option<&Once>) -> Result<(Vec<QueueName>, bool)> {
        let order = self.order(request);
        let (Some(once), true) = (once, order.len() > 1) else { return Ok((order, true)) };
        let mut known = Vec::new();
        for name in &order {
            if let Ok(queue) = self.find(name).await
                && self.store.has_answered(&queue, once).await?
            {
                known.push(name.clone());
            }
        }
        if known.is_empty() { Ok((order, true)) } else { Ok((known, false)) }
    }

    fn order(&self, request: &Dequeue) -> Vec<QueueName> {
        let QueueOrder::Weighted(weights) = &request.order else { return request.queues.clone() };
        // Efraimidis and Spirakis, "Weighted random sampling with a reservoir": the order of u^(1/w) for a random u.
        let mut drawn: Vec<(f64, &QueueName)> = request
            .queues
            .iter()
            .map(|queue| (fastrand::f64().powf(1.0 / f64::from(weights.get(queue).copied().unwrap_or(1))), queue))
            .collect();
        drawn.sort_by(|one, other| other.0.total_cmp(&one.0));
        drawn.into_iter().map(|(_, queue)| queue.clone()).collect()
    }

    /// Looks at the queues one after another until there are enough jobs.
    async fn look(
        &self,
        request: &Dequeue,
        order: &[QueueName],
        mut acks: Option<&mut Acks>,
        look: Look,
        once: Option<&Once>,
    ) -> Result<Looked> {
        let mut looked = Looked::nothing(None);
        for name in order {
            let wanted = request.limit - u32::try_from(looked.jobs.len()).unwrap_or(request.limit).min(request.limit);
            let open_acks = acks.as_ref().map(|acks| acks.open()).unwrap_or_default();
            if wanted == 0 && open_acks.is_empty() {
                break;
            }
            let Some((queue, answered)) = self.look_at(request, name, wanted, open_acks, look, once).await? else {
                continue;
            };
            let Answered { answer: mut result, replayed } = answered;
            looked.replayed |= replayed;
            if let Some(acks) = acks.as_mut() {
                acks.settle(name, std::mem::take(&mut result.acks));
            }
            if let Some(room_in) = result.room_in_ms.map(Duration::from_millis) {
                looked.room_in = Some(looked.room_in.map_or(room_in, |known| known.min(room_in)));
            }
            // Without a key the merger has seen to it.
            if once.is_some() && !replayed {
                result.guard.keep(self.merger().releaser(), &queue, &result.jobs);
            }
            looked.guard.0.append(&mut result.guard.0);
            looked.jobs.append(&mut result.jobs);
        }
        Ok(looked)
    }

    /// Looks at one queue; nothing where there is none.
    async fn look_at(
        &self,
        request: &Dequeue,
        name: &QueueName,
        limit: u32,
        acks: Vec<Ack>,
        look: Look,
        once: Option<&Once>,
    ) -> Result<Option<(Arc<Queue>, Answered<CallResult>)>> {
        let (mut acks, mut settled, mut tries, mut looks) = (acks, Vec::new(), 0, 0);
        while tries < MOST_TRIES {
            let queue = match self.find(name).await {
                Ok(queue) => queue,
                Err(Error::NoQueue(_)) => {
                    if let Some(worker) = &request.worker
                        && self.is_to_be_noted(name, worker)
                    {
                        self.store.note_worker(name, worker).await?;
                    }
                    if look == Look::BeforeWaiting {
                        self.watch(name, "waiters").await?;
                    }
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            let call = Call {
                limit,
                lease_ms: request.lease_ms.unwrap_or(queue.settings.lease_ms),
                worker: request.worker.clone(),
                note: request.worker.as_ref().is_some_and(|worker| self.is_to_be_noted(name, worker)),
                waits: look == Look::BeforeWaiting,
                token: record::random_text(16),
                acks: acks.clone(),
                full: false,
            };
            let answered = match once {
                None => self.merger().work(&queue, call).await?.map(|answer| Answered { answer, replayed: false }),
                Some(_) => match self.store.dequeue(&queue, std::slice::from_ref(&call), once).await? {
                    Versioned::Stale => Versioned::Stale,
                    Versioned::Current(mut answered) => {
                        if !answered.replayed {
                            self.counts.worked(name, &answered.answer);
                        }
                        let result = answered.answer.results.pop();
                        let answer = result.ok_or_else(|| Error::Internal(format!("`{name}` did not answer")))?;
                        Versioned::Current(Answered { answer, replayed: answered.replayed })
                    }
                },
            };
            match answered {
                Versioned::Stale => {
                    self.queues.invalidate(name);
                    tries += 1;
                }
                Versioned::Current(mut answered) => {
                    settled.append(&mut answered.answer.acks);
                    acks.clear();
                    // There was only what is held back, or gone, as far as one call looks.
                    let is_crowded = answered.answer.jobs.is_empty() && answered.answer.room_in_ms == Some(0);
                    if limit > 0 && is_crowded && looks < MOST_LOOKS {
                        looks += 1;
                        continue;
                    }
                    answered.answer.acks = settled;
                    return Ok(Some((queue, answered)));
                }
            }
        }
        Err(changing(name))
    }

    /// Makes known that somebody waits. On a server that is full nobody is told, and the waiters look now and then.
    pub(super) async fn watch(&self, name: &QueueName, key: &str) -> Result<()> {
        match self.store.watch(name, key).await {
            Err(Error::StoreUnavailable(_)) => Ok(()),
            watched => watched,
        }
    }

    /// Whether it is time to note that a worker was seen.
    fn is_to_be_noted(&self, queue: &QueueName, worker: &WorkerName) -> bool {
        let Some(noted) = &self.noted else { return true };
        let seen = (queue.clone(), worker.clone());
        let is_known = noted.contains_key(&seen);
        if !is_known {
            noted.insert(seen, ());
        }
        !is_known
    }
}

/// The acks of a request, and what is known of each: one that a queue does not know may be another queue's.
struct Acks(Vec<(Ack, Option<Settled>, Option<QueueName>)>);

impl Acks {
    fn of(acks: &[Ack]) -> Self {
        Self(acks.iter().map(|ack| (ack.clone(), None, None)).collect())
    }

    fn is_open(settled: Option<&Settled>) -> bool {
        !matches!(settled, Some(Settled::Done { .. }))
    }

    fn open(&self) -> Vec<Ack> {
        self.0.iter().filter(|(_, settled, _)| Self::is_open(settled.as_ref())).map(|(ack, ..)| ack.clone()).collect()
    }

    fn settle(&mut self, queue: &QueueName, results: Vec<Settled>) {
        let open = self.0.iter_mut().filter(|(_, settled, _)| Self::is_open(settled.as_ref()));
        for ((_, settled, at), result) in open.zip(results) {
            // That a lease is lost says more than that another queue does not know the job.
            if !(matches!(settled, Some(Settled::Lost)) && matches!(result, Settled::Missing)) {
                *settled = Some(result);
                *at = Some(queue.clone());
            }
        }
    }

    fn outcome(self) -> Vec<(JobId, Result<()>)> {
        let outcome = |(ack, settled, queue): (Ack, Option<Settled>, Option<QueueName>)| {
            let result = match (settled, queue) {
                (Some(settled), Some(queue)) => settled.into_result(&queue, ack.id.clone()),
                // No queue that was asked exists.
                (Some(_) | None, _) => Err(Error::LeaseLost(ack.id.clone())),
            };
            (ack.id, result)
        };
        self.0.into_iter().map(outcome).collect()
    }
}
