//! From the outboxes of queues and leaderboards into the archive.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tracing::warn;

use super::Archive;
use super::store::Turn;
use crate::config::ArchiveSettings;
use crate::error::{Error, Result};
use crate::leaderboard::{Leaderboards, MemberEvent, Origin};
use crate::metrics::Metrics;
use crate::queue::{Finished, Queues};
use crate::task::{Again, Report, Task};
use crate::types::{EntryId, QueueName};

/// A batch is full with so many bytes, however few rows these are.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How long the turn of an instance that has gone lasts at most, beside two of its pauses.
const TURN_LASTS: Duration = Duration::from_secs(2);

/// Writes finished jobs and what happened to members to the archive, and takes them out of their outboxes, in this order: what is cut
/// off in between is written again, which changes nothing.
pub struct Drain {
    archive: Archive,
    leaderboards: Leaderboards,
    queues: Queues,
    metrics: Metrics,
    batch: u64,
    every: Duration,
    /// The name of this instance among those that take turns.
    me: String,
    /// Which outbox comes first, in turn.
    turn: AtomicUsize,
    is_failing: AtomicBool,
}

/// Where something waits.
enum Outbox {
    Queue(QueueName),
    Scores(Origin),
}

/// What came from several outboxes, and the last entry of each.
#[derive(Default)]
struct Batch {
    jobs: Vec<Finished>,
    events: Vec<(Origin, MemberEvent)>,
    bytes: usize,
    upto: Vec<(Outbox, Option<EntryId>)>,
}

impl Batch {
    fn rows(&self) -> u64 {
        (self.jobs.len() + self.events.len()) as u64
    }
}

impl Drain {
    /// The task for these.
    pub fn new(
        archive: Archive,
        (leaderboards, queues): (Leaderboards, Queues),
        settings: &ArchiveSettings,
        metrics: Metrics,
    ) -> Self {
        Self {
            archive,
            leaderboards,
            queues,
            metrics,
            batch: settings.batch,
            every: settings.every,
            me: format!("{:016x}", fastrand::u64(..)),
            turn: AtomicUsize::new(0),
            is_failing: AtomicBool::new(false),
        }
    }

    fn room(&self, batch: &Batch) -> u64 {
        if batch.bytes < BATCH_BYTES { self.batch.saturating_sub(batch.rows()) } else { 0 }
    }

    async fn collect(&self) -> Result<Batch> {
        let queues = self.queues.unarchived().await?.into_iter().map(Outbox::Queue);
        let mut outboxes: Vec<Outbox> =
            queues.chain(self.leaderboards.unarchived().await?.into_iter().map(Outbox::Scores)).collect();
        if !outboxes.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % outboxes.len();
            outboxes.rotate_left(turn);
        }
        let mut batch = Batch::default();
        for outbox in outboxes {
            let room = self.room(&batch);
            if room == 0 {
                break;
            }
            let upto = match &outbox {
                Outbox::Queue(name) => {
                    let mut jobs = self.queues.to_archive(name, room).await?;
                    let upto = jobs.last().map(|job| job.entry);
                    batch.bytes += jobs.iter().map(|job| job.bytes).sum::<usize>();
                    batch.jobs.append(&mut jobs);
                    upto
                }
                Outbox::Scores(origin) => {
                    let found = self.leaderboards.to_archive(origin, room).await?;
                    batch.bytes += found.bytes;
                    batch.events.extend(found.events.into_iter().map(|event| (origin.clone(), event)));
                    found.upto
                }
            };
            batch.upto.push((outbox, upto));
        }
        Ok(batch)
    }

    async fn write(&self, batch: &Batch) -> Result<u64> {
        let started = Instant::now();
        let rows = self.noted(self.archive.write(&batch.jobs).await)?;
        let rows = rows + self.noted(self.archive.write_events(&batch.events).await)?;
        if batch.rows() > 0 {
            self.metrics.archive_written(rows, started.elapsed());
        }
        Ok(rows)
    }

    /// Takes out what has been written, and tells what was lost before.
    async fn take_out(&self, outbox: &Outbox, upto: Option<EntryId>) -> Result<()> {
        match outbox {
            Outbox::Queue(name) => {
                let left = self.queues.archived(name, upto).await?;
                if left.dropped > 0 {
                    self.metrics.archive_dropped(name.as_str(), left.dropped);
                    warn!(queue.name = %name, "{} finished jobs of `{name}` made room and are not archived", left.dropped);
                }
            }
            Outbox::Scores(origin) => {
                let left = self.leaderboards.archived(origin, upto).await?;
                if left.dropped > 0 {
                    self.metrics.archive_scores_dropped(left.dropped);
                    warn!("{} changes of scores made room and are not archived ({origin:?})", left.dropped);
                }
            }
        }
        Ok(())
    }

    /// Counts what the archive did not take, and says why the first time.
    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        let was_failing = self.is_failing.swap(result.is_err(), Ordering::Relaxed);
        if let Err(error) = &result {
            self.metrics.archive_failed();
            if let Error::ArchiveUnavailable { cause, .. } = error
                && !was_failing
            {
                warn!("the archive cannot be written, finished jobs and scores wait in Redis: {cause}");
            }
        }
        result
    }
}

impl Task for Drain {
    const NAME: &'static str = "archive.drain";
    const EVERY: Duration = Duration::from_millis(200);

    fn every(&self) -> Duration {
        self.every
    }

    async fn run_once(&self) -> Result<Report> {
        let (waiting, lag) = self.leaderboards.waiting_for_archive().await?;
        self.metrics.archive_scores_waiting(waiting, lag);
        // Who fails comes back ever later, and so leaves its turn to another instance.
        if !self.archive.take_turn(Turn::Write, &self.me, 2 * self.every + TURN_LASTS).await? {
            return Ok(Report { done: 0, again: Again::AfterTick });
        }
        self.noted(self.archive.prepare().await)?;
        let batch = self.collect().await?;
        let done = self.write(&batch).await?;
        for (outbox, upto) in &batch.upto {
            self.take_out(outbox, *upto).await?;
        }
        let again = if self.room(&batch) == 0 { Again::Now } else { Again::AfterTick };
        Ok(Report { done, again })
    }
}
