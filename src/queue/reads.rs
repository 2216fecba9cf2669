//! Reading jobs and workers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::dequeue::{LOOK_AGAIN, is_passing};
use super::job::{Job, State};
use super::{Queues, finished_topic, record};
use crate::error::{Error, Result};
use crate::types::{JobId, Limit, NameRange, QueueName, Timestamp, WorkerName};

/// Leases that one look at the workers of a queue reads: under a millisecond.
const LEASES_A_LOOK: u64 = 200;
/// Leases of one queue that are looked at for the list of workers.
const MOST_LEASES: u64 = 100_000;

/// Where a list of jobs goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListPlace {
    /// At the first job of a state.
    Start,
    /// After a job of a state that is ordered by a time.
    After(ScorePlace),
    /// Among the ready ones.
    Ready(ReadyPlace),
    /// There is no more.
    End,
}

impl ListPlace {
    /// Whether a list of this state may go on here.
    pub fn fits(&self, state: State) -> bool {
        match self {
            Self::Start => true,
            Self::After(_) => state != State::Ready,
            Self::Ready(place) => state == State::Ready && matches!(place.priority, -3 | -1..=9),
            Self::End => false,
        }
    }
}

/// A job of a state that is ordered by a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScorePlace {
    pub(super) score: String,
    pub(super) id: String,
}

/// A place among the ready jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyPlace {
    /// The priority that comes next; -1 for the lines of keys, -3 for what the rates of keys hold back.
    pub(super) priority: i64,
    /// How many stand from there to the end of its LIST, which does not change as the front of it is leased.
    pub(super) rest: Option<u64>,
    /// The place in the lines of keys.
    pub(super) line: String,
}

/// A page of jobs, and where the next one begins: state and place.
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// Where to go on.
    pub next: Option<(State, ListPlace)>,
}

/// A worker that was seen in the last minute.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Its name.
    pub worker: WorkerName,
    /// The queues that it asked.
    pub queues: BTreeSet<QueueName>,
    /// The jobs that it holds.
    pub active: u64,
    /// When it last asked or extended a lease.
    pub last_seen_at: Timestamp,
}

/// Workers by name.
type Seen = BTreeMap<String, Worker>;

fn note(workers: &mut Seen, name: String, queue: &QueueName, seen: u64) -> Result<()> {
    let worker = WorkerName::try_from(name.clone()).map_err(Error::Internal)?;
    let seen = record::millis(seen);
    let new = Worker { worker, queues: BTreeSet::new(), active: 0, last_seen_at: seen };
    let known = workers.entry(name).or_insert(new);
    known.queues.insert(queue.clone());
    known.last_seen_at = known.last_seen_at.max(seen);
    Ok(())
}

impl Queues {
    /// A job; with a wait, when it is finished or the wait has ended.
    ///
    /// # Errors
    ///
    /// `NoJob`.
    pub async fn job(&self, name: &QueueName, id: &JobId, wait: Duration) -> Result<Job> {
        let until = Instant::now() + wait;
        let mut has_looked = false;
        loop {
            // Registered before the look: an end that comes between the two would be missed otherwise.
            let waiting = (!wait.is_zero()).then(|| self.waiters.on(&[finished_topic(name.as_str(), id.as_str())]));
            let looked = self.look_at_job(name, id, waiting.is_some()).await;
            let now = Instant::now();
            let may_wait = now < until && !self.waiters.is_closed();
            let look_again = match &looked {
                // Who waits goes on waiting while Redis is away.
                Err(error) if has_looked && may_wait && is_passing(error) => until.min(now + LOOK_AGAIN),
                Ok(job) if may_wait && !job.state.is_final() => until,
                Ok(_) | Err(_) => return looked,
            };
            has_looked = true;
            if let Some(waiting) = waiting {
                tokio::select! {
                    () = waiting.woken() => {}
                    () = tokio::time::sleep_until(look_again.into()) => {}
                }
            }
        }
    }

    async fn look_at_job(&self, name: &QueueName, id: &JobId, waits: bool) -> Result<Job> {
        if waits {
            self.watch(name, "watchers").await?;
        }
        let job = self.store.job(name, id).await?;
        job.ok_or_else(|| Error::NoJob { queue: name.clone(), job: id.clone() })
    }

    /// Jobs of a state, or of all states one after another.
    ///
    /// # Errors
    ///
    /// `NoQueue`.
    pub async fn jobs(
        &self,
        name: &QueueName,
        only: Option<State>,
        from: Option<(State, ListPlace)>,
        limit: Limit,
    ) -> Result<JobPage> {
        self.get(name).await?;
        let limit = limit.get() as usize;
        let (mut state, mut place) = from.unwrap_or((only.unwrap_or(State::ALL[0]), ListPlace::Start));
        let mut jobs = Vec::new();
        loop {
            let (mut found, next) = self.some_jobs(name, state, place, limit - jobs.len()).await?;
            jobs.append(&mut found);
            place = next;
            if place == ListPlace::End {
                let after = State::ALL.iter().position(|known| *known == state).map_or(0, |at| at + 1);
                match State::ALL.get(after).filter(|_| only.is_none()) {
                    Some(following) => (state, place) = (*following, ListPlace::Start),
                    None => return Ok(JobPage { jobs, next: None }),
                }
            }
            if jobs.len() >= limit {
                return Ok(JobPage { jobs, next: Some((state, place)) });
            }
        }
    }

    async fn some_jobs(
        &self,
        name: &QueueName,
        state: State,
        place: ListPlace,
        most: usize,
    ) -> Result<(Vec<Job>, ListPlace)> {
        if state == State::Ready {
            let start = ReadyPlace { priority: 9, rest: None, line: String::new() };
            let at = if let ListPlace::Ready(at) = place { at } else { start };
            return self.store.list_ready(name, &at, most as u64).await;
        }
        let after = if let ListPlace::After(after) = place { Some(after) } else { None };
        // One more tells whether there is more.
        let (mut found, more) = self.store.list(name, state, after.as_ref(), most as u64 + 1).await?;
        found.truncate(most);
        let last = found.last().map(|(place, _)| ListPlace::After(place.clone()));
        let next = last.filter(|_| more).unwrap_or(ListPlace::End);
        Ok((found.into_iter().map(|(_, job)| job).collect(), next))
    }

    /// Workers of queues of these ranges that were seen in the last minute, by name, with what they do there.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn workers(&self, ranges: &[NameRange]) -> Result<Vec<Worker>> {
        let mut workers = Seen::new();
        let mut after: Option<QueueName> = None;
        loop {
            let (names, more) = self.store.names_in(ranges, after.as_ref().map(QueueName::as_str), Limit::MOST).await?;
            for name in &names {
                self.workers_of(name, &mut workers).await?;
            }
            after = names.last().cloned();
            if !more {
                break;
            }
        }
        for (queue, worker, seen) in self.store.early_workers().await? {
            if ranges.iter().any(|range| range.holds(&queue)) {
                note(&mut workers, worker, &QueueName::try_from(queue).map_err(Error::Internal)?, seen)?;
            }
        }
        Ok(workers.into_values().collect())
    }

    async fn workers_of(&self, queue: &QueueName, workers: &mut Seen) -> Result<()> {
        let mut from = 0;
        loop {
            let page = self.store.active(queue, from, LEASES_A_LOOK).await?;
            for (name, seen) in page.seen {
                note(workers, name, queue, seen)?;
            }
            for name in page.workers {
                if let Some(worker) = workers.get_mut(&name) {
                    worker.active += 1;
                }
            }
            from += page.leases;
            if page.leases < LEASES_A_LOOK || from >= MOST_LEASES {
                return Ok(());
            }
        }
    }
}
