//! Schedules: jobs that are enqueued again and again by the clock.

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::job::{NewJob, Start};
use super::store::{Prepared, StoredSchedule, Tick, Versioned, definition};
use super::{MOST_TRIES, Queue, Queues, changing, record};
use crate::cron::{Cron, CronFault};
use crate::error::{Error, Result};
use crate::types::{JobId, Limit, Payload, QueueName, ScheduleName, Timestamp};

/// Schedules that one queue may have.
const MOST_SCHEDULES: u64 = 1000;

/// A schedule to store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewSchedule {
    /// When it ticks: a cron line of five fields, or of six with seconds first.
    pub cron: String,
    /// In which time zone (IANA), UTC without.
    pub timezone: Option<String>,
    /// What its jobs carry.
    pub payload: Payload,
    /// The priority of its jobs.
    pub priority: u8,
    /// Whether ticks that were missed are all run, one after another; the latest alone otherwise.
    pub catch_up: bool,
}

/// A schedule as it stands.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its name.
    pub name: ScheduleName,
    /// Its queue.
    pub queue: QueueName,
    /// What was put.
    pub settings: NewSchedule,
    /// When it ticks next.
    pub next_run_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
}

impl NewSchedule {
    fn cron(&self) -> Result<Cron> {
        Cron::parse(&self.cron, self.timezone.as_deref()).map_err(|fault| match fault {
            CronFault::Line(detail) => Error::invalid("/cron", detail),
            CronFault::Zone(detail) => Error::invalid("/timezone", detail),
        })
    }

    /// What decides when it ticks.
    fn timing(&self) -> String {
        format!("{} {}", self.cron, self.timezone.as_deref().unwrap_or("UTC"))
    }

    fn job(&self) -> NewJob {
        NewJob {
            id: None,
            payload: self.payload.clone(),
            priority: self.priority,
            start: Start::Now,
            max_attempts: None,
            key: None,
            unique: None,
            expires_in_ms: None,
            headers: None,
        }
    }
}

fn read(queue: &QueueName, stored: StoredSchedule) -> Result<Schedule> {
    let StoredSchedule { name, next_run_at, definition, created_at } = stored;
    let unreadable = || Error::Internal(format!("schedule `{name}` of `{queue}` cannot be read"));
    let settings = serde_json::from_str(&definition).map_err(|_| unreadable())?;
    let name = ScheduleName::try_from(name.clone()).map_err(|_| unreadable())?;
    Ok(Schedule { name, queue: queue.clone(), settings, next_run_at, created_at })
}

impl Queues {
    /// Creates a schedule or replaces it; tells whether it was created. The queue is made if it is missing.
    ///
    /// # Errors
    ///
    /// `Invalid` for a cron line or a time zone that is none; `Conflict` where the queue has too many schedules.
    pub async fn put_schedule(
        &self,
        name: &QueueName,
        schedule: &ScheduleName,
        settings: NewSchedule,
    ) -> Result<(bool, Schedule)> {
        let cron = settings.cron()?;
        let definition = serde_json::to_string(&settings)
            .map_err(|error| Error::Internal(format!("a schedule has no JSON: {error}")))?;
        for _ in 0..MOST_TRIES {
            let queue = self.create_missing(name).await?;
            let next = cron.next_after(self.store.now().await?);
            let next = next.ok_or_else(|| Error::invalid("/cron", "never ticks"))?;
            let timing = settings.timing();
            let put = self.store.put_schedule(&queue, schedule, (&timing, &definition), next, MOST_SCHEDULES).await?;
            match put {
                Versioned::Stale => self.queues.invalidate(name),
                Versioned::Current(None) => {
                    return Err(Error::Conflict(format!("queue `{name}` has its {MOST_SCHEDULES} schedules already")));
                }
                Versioned::Current(Some(put)) => {
                    let stands = Schedule {
                        name: schedule.clone(),
                        queue: name.clone(),
                        settings,
                        next_run_at: Some(put.next_run_at),
                        created_at: put.created_at,
                    };
                    return Ok((put.created, stands));
                }
            }
        }
        Err(changing(name))
    }

    async fn create_missing(&self, name: &QueueName) -> Result<std::sync::Arc<Queue>> {
        match self.find(name).await {
            Err(Error::NoQueue(_)) => self.create(name).await,
            found => found,
        }
    }

    /// A schedule.
    ///
    /// # Errors
    ///
    /// `NoQueue`, `NoSchedule`.
    pub async fn schedule(&self, name: &QueueName, schedule: &ScheduleName) -> Result<Schedule> {
        let (mut found, _) = self.store.schedules(name, None, 1, Some(schedule)).await?;
        let missing = || Error::NoSchedule { queue: name.clone(), schedule: schedule.clone() };
        read(name, found.pop().ok_or_else(missing)?)
    }

    /// Schedules of a queue by name, and the name to go on after, if there are more.
    ///
    /// # Errors
    ///
    /// `NoQueue`.
    pub async fn schedules(
        &self,
        name: &QueueName,
        after: Option<&str>,
        limit: Limit,
    ) -> Result<(Vec<Schedule>, Option<ScheduleName>)> {
        let (found, more) = self.store.schedules(name, after, limit.get().into(), None).await?;
        let found: Vec<Schedule> = found.into_iter().map(|stored| read(name, stored)).collect::<Result<_>>()?;
        let next = found.last().filter(|_| more).map(|schedule| schedule.name.clone());
        Ok((found, next))
    }

    /// Deletes a schedule. Jobs that it has made stay.
    ///
    /// # Errors
    ///
    /// `NoQueue`, `NoSchedule`.
    pub async fn delete_schedule(&self, name: &QueueName, schedule: &ScheduleName) -> Result<()> {
        self.get(name).await?;
        if self.store.delete_schedule(name, schedule).await? {
            return Ok(());
        }
        Err(Error::NoSchedule { queue: name.clone(), schedule: schedule.clone() })
    }

    /// Runs a tick that is due, and sets the next one; tells whether it has made the job.
    pub(super) async fn tick(&self, queue: &Queue, name: &str, due: i64, stored: &[u8], now: i64) -> Result<bool> {
        let (text, _) = definition(stored)?;
        let unreadable = |detail: String| Error::Internal(format!("schedule `{name}` cannot be read: {detail}"));
        let settings: NewSchedule = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        let cron = settings.cron()?;
        // Of ticks that were missed the latest stands for all, unless all are wanted.
        let run = if settings.catch_up { due } else { cron.latest_until(due, now).unwrap_or(due) };
        let next = cron.next_after(run);
        if next.is_none() {
            warn!(queue.name = %queue.name, schedule.name = name, "schedule `{name}` of `{}` has ticked for the last time", queue.name);
        }
        let job = settings.job();
        let prepared = Prepared {
            id: JobId::try_from(format!("{name}@{run}")).map_err(unreadable)?,
            priority: job.priority,
            max_attempts: queue.settings.max_attempts,
            tail: record::tail(&job),
            options: record::options(&NewJob { id: Some(record::new_id()), ..job }),
        };
        let tick = Tick { schedule: name, stored, due, run, next };
        match self.store.tick(queue, &tick, &prepared).await? {
            Versioned::Stale => {
                self.queues.invalidate(&queue.name);
                Ok(false)
            }
            Versioned::Current(made) => {
                self.counts.0.jobs_enqueued(queue.name.as_str(), made.into());
                Ok(made)
            }
        }
    }
}
