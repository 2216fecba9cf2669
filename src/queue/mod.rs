//! Queues: jobs that are enqueued, leased to workers, and settled.

mod check;
mod deliver;
mod dequeue;
mod figures;
mod job;
mod line;
mod merge;
mod outbox;
mod reads;
mod record;
mod redrive;
mod retry;
mod schedule;
mod settings;
mod store;
mod tend;
mod work;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use moka::sync::Cache;

pub use self::check::CheckReport;
pub use self::deliver::Delivery;
pub use self::dequeue::{Dequeue, Dequeued, LeaseGuard, QueueOrder};
pub use self::job::{
    Ack, AttemptError, Job, MAX_ERROR_BYTES, Nack, NewJob, NextAttempt, OnDuplicate, Start, State, Unique, UniqueUntil,
    cut_error,
};
pub use self::line::Queue;
pub use self::outbox::{Left, News, Outbox, Outgoing, Withdrawn};
pub use self::reads::{JobPage, ListPlace, Worker};
pub use self::schedule::{NewSchedule, Schedule};
pub use self::settings::{
    ATTEMPTS, Backoff, BackoffKind, KeySettings, LEASE_MS, LONGEST_MS, RateLimit, Settings as QueueSettings,
};
pub use self::store::{Answered, Figures, Once};
pub use self::tend::{ListenForWakes, Tend, WakeWaiters};
pub use self::work::Extended;

use self::figures::Counts;
use self::merge::Merger;
use self::outbox::Unarchived;
use self::settings::Settings;
use self::store::{QueueStore, Versioned};
use crate::db::{Db, Keyspace, Version};
use crate::error::{Error, Result};
use crate::events::Waiters;
use crate::metrics::Metrics;
use crate::types::{Clock, Limit, NameRange, QueueName, Timestamp, WorkerName};

/// Queues whose settings are kept in the process.
const CACHED_QUEUES: u64 = 10_000;
/// How often a call is made again because the settings changed under it.
const MOST_TRIES: usize = 5;
/// How often a worker that dequeues is noted as seen.
const NOTE_EVERY: Duration = Duration::from_secs(10);
const NOTED_WORKERS: u64 = 100_000;

/// The queues of a service. Clones share the cache of settings and the waiters.
#[derive(Clone)]
pub struct Queues {
    store: QueueStore,
    queues: Cache<QueueName, Arc<Queue>>,
    merger: Arc<OnceLock<Merger>>,
    waiters: Waiters,
    counts: Counts,
    noted: Option<Cache<(QueueName, WorkerName), ()>>,
    unarchived: Option<Unarchived>,
    auto_create: bool,
}

/// A queue and how it stands.
#[derive(Debug, Clone)]
pub struct QueueSummary {
    /// The queue.
    pub queue: Arc<Queue>,
    /// How it stands.
    pub figures: Figures,
}

impl Queues {
    /// The queues kept in `db`. With `auto_create`, the first job of an unknown one creates it.
    pub fn new(db: Db, keyspace: Keyspace, clock: Clock, metrics: Metrics, auto_create: bool) -> Self {
        let noted = match clock {
            Clock::Server => Some(Cache::builder().max_capacity(NOTED_WORKERS).time_to_live(NOTE_EVERY).build()),
            // A clock that is moved says nothing of how long ago a worker was noted.
            Clock::Fixed(_) => None,
        };
        Self {
            store: QueueStore::new(db, keyspace, clock),
            queues: Cache::new(CACHED_QUEUES),
            merger: Arc::default(),
            waiters: Waiters::new(),
            counts: Counts(metrics),
            noted,
            unarchived: None,
            auto_create,
        }
    }

    /// The same queues, whose finished jobs go to an archive as well.
    #[must_use]
    pub fn with_outbox(self, outbox: Outbox) -> Self {
        Self { store: self.store.with_outbox(outbox), unarchived: Some(Unarchived::default()), ..self }
    }

    /// The same queues through another connection.
    #[must_use]
    pub fn on(&self, db: Db) -> Self {
        Self { store: self.store.on(db), merger: Arc::default(), ..self.clone() }
    }

    /// Ends every wait: the service stops.
    pub fn close(&self) {
        self.waiters.close();
    }

    /// Creates a queue or replaces its settings; tells whether it was created.
    ///
    /// # Errors
    ///
    /// `Invalid` for settings that break a rule.
    pub async fn put(&self, name: &QueueName, settings: Settings) -> Result<(bool, QueueSummary)> {
        let faults = settings.faults();
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        for _ in 0..MOST_TRIES {
            let old = self.store.read(name).await?.map(|(queue, _)| queue);
            if self.put_over(name, old.as_deref(), settings.clone()).await?.is_some() {
                return Ok((old.is_none(), self.get(name).await?));
            }
        }
        Err(changing(name))
    }

    async fn put_over(&self, name: &QueueName, old: Option<&Queue>, settings: Settings) -> Result<Option<Arc<Queue>>> {
        if old.is_none() {
            // Listed before it is there, in case this process ends in between, and once more after, in case a deletion
            // took the name from the list in between.
            self.store.list_name(name).await?;
        }
        let version = old.map_or_else(Version::first, |old| old.version.next());
        let mut new = self.store.queue(name.clone(), version, settings, Timestamp::from_millis(0));
        let Versioned::Current(created) = self.store.put(old, &new).await? else { return Ok(None) };
        if old.is_none() {
            self.store.list_name(name).await?;
        }
        new.created_at = record::millis(created);
        let new = Arc::new(new);
        self.queues.insert(name.clone(), Arc::clone(&new));
        if old.is_some_and(|old| old.settings.keys.is_some() && old.settings.keys != new.settings.keys) {
            self.unpark(name).await?;
        }
        Ok(Some(new))
    }

    /// Lets keys that their old limits held back look again.
    async fn unpark(&self, name: &QueueName) -> Result<()> {
        let mut cursor = "0".to_owned();
        loop {
            cursor = self.store.unpark(name, &cursor).await?;
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    /// The queue and how it stands.
    ///
    /// # Errors
    ///
    /// `NoQueue`.
    pub async fn get(&self, name: &QueueName) -> Result<QueueSummary> {
        let found = self.store.read(name).await?;
        let (queue, figures) = found.ok_or_else(|| Error::NoQueue(name.clone()))?;
        Ok(QueueSummary { queue, figures })
    }

    /// Queues of these ranges by name, after `after`; and the name to go on after, if there are more.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn list(
        &self,
        ranges: &[NameRange],
        after: Option<&str>,
        limit: Limit,
    ) -> Result<(Vec<QueueSummary>, Option<QueueName>)> {
        let (names, more) = self.store.names_in(ranges, after, limit).await?;
        let reads = futures_util::future::join_all(names.iter().map(|name| self.get(name))).await;
        let mut summaries = Vec::with_capacity(names.len());
        for read in reads {
            match read {
                Ok(summary) => summaries.push(summary),
                // Listed a moment before it is created, or after it is deleted.
                Err(Error::NoQueue(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((summaries, names.last().filter(|_| more).cloned()))
    }

    /// Pauses or resumes a queue; tells whether the answer is the first one again.
    ///
    /// # Errors
    ///
    /// `NoQueue`, `IdempotencyMismatch`.
    pub async fn pause(&self, name: &QueueName, paused: bool, once: Option<&Once>) -> Result<bool> {
        let queue = self.get(name).await?.queue;
        self.store.pause(&queue, paused, once).await
    }

    /// Deletes a queue with all that it holds.
    ///
    /// # Errors
    ///
    /// `NoQueue`.
    pub async fn delete(&self, name: &QueueName) -> Result<()> {
        if self.unarchived.is_some() {
            // Before it is gone, in case this process ends in between: what is on its way to the archive is found by this list.
            self.store.list_unarchived(name).await?;
        }
        self.on_current(name, async |queue| self.store.delete(queue).await).await?;
        self.queues.invalidate(name);
        self.store.unlist_name(name).await?;
        // Created again in the meantime: it belongs in the list.
        if self.store.read(name).await?.is_some() {
            self.store.list_name(name).await?;
        }
        self.counts.0.queue_gone(name.as_str(), &State::ALL.map(State::name));
        Ok(())
    }

    async fn find(&self, name: &QueueName) -> Result<Arc<Queue>> {
        if let Some(queue) = self.queues.get(name) {
            return Ok(queue);
        }
        let (queue, _) = self.store.read(name).await?.ok_or_else(|| Error::NoQueue(name.clone()))?;
        self.queues.insert(name.clone(), Arc::clone(&queue));
        Ok(queue)
    }

    async fn find_or_create(&self, name: &QueueName) -> Result<Arc<Queue>> {
        match self.find(name).await {
            Err(Error::NoQueue(_)) if self.auto_create => self.create(name).await,
            found => found,
        }
    }

    /// The queue as it is, or a new one with the default settings.
    async fn create(&self, name: &QueueName) -> Result<Arc<Queue>> {
        for _ in 0..MOST_TRIES {
            if let Some((queue, _)) = self.store.read(name).await? {
                return Ok(queue);
            }
            if let Some(queue) = self.put_over(name, None, Settings::default()).await? {
                return Ok(queue);
            }
        }
        Err(changing(name))
    }

    fn merger(&self) -> &Merger {
        self.merger.get_or_init(|| Merger::start(self.store.clone(), self.counts.clone()))
    }

    /// Runs `call` with the queue as it is cached, and again with what the store has where that has changed.
    async fn on_current<T>(
        &self,
        name: &QueueName,
        call: impl AsyncFn(&Arc<Queue>) -> Result<Versioned<T>>,
    ) -> Result<T> {
        for _ in 0..MOST_TRIES {
            let queue = self.find(name).await?;
            match call(&queue).await? {
                Versioned::Current(answer) => return Ok(answer),
                Versioned::Stale => self.queues.invalidate(name),
            }
        }
        Err(changing(name))
    }
}

fn changing(name: &QueueName) -> Error {
    Error::StoreUnavailable(format!("queue `{name}` changes too often at the moment"))
}

/// What waiters for jobs of a queue wait for.
fn ready_topic(name: &str) -> String {
    format!("ready {name}")
}

/// What waiters for the end of a job wait for.
fn finished_topic(name: &str, id: &str) -> String {
    format!("finished {name} {id}")
}
