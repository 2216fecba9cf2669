//! From the outboxes of queues and leaderboards into the archive.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tracing::warn;

use super::Archive;
use super::store::Turn;
use crate::config::ArchiveSettings;
use crate::error::{Error, Result};
use crate::leaderboard::{Leaderboards, MemberEvent, Origin};
use crate::metrics::Metrics;
use crate::queue::{Outgoing, Queues};
use crate::task::{Again, Report, Task};
use crate::types::{EntryId, QueueName};

/// A batch is full with so many bytes, however few rows these are.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How many full statements a transaction has at most: the disk is waited for once for all of them.
const MOST_STATEMENTS: u64 = 8;
/// A transaction that took longer is followed by a smaller one: none may come near the deadline of a statement.
const QUICK: Duration = Duration::from_millis(500);

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
    /// How many full statements the next transaction may have.
    statements: AtomicU64,
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
    jobs: Vec<Outgoing>,
    events: Vec<(Origin, MemberEvent)>,
    bytes: usize,
    upto: Vec<(Outbox, Option<EntryId>)>,
}

impl Batch {
    fn rows(&self) -> u64 {
        self.jobs.iter().map(Outgoing::count).sum::<u64>() + self.events.len() as u64
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
            statements: AtomicU64::new(1),
            is_failing: AtomicBool::new(false),
        }
    }

    /// How many rows may be read at once for this batch.
    fn room(&self, batch: &Batch) -> u64 {
        let most = self.statements.load(Ordering::Relaxed) * self.batch;
        let room = if batch.bytes < BATCH_BYTES { most.saturating_sub(batch.rows()) } else { 0 };
        room.min(self.batch)
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
            if self.room(&batch) == 0 {
                break;
            }
            let upto = match &outbox {
                Outbox::Queue(name) => self.collect_jobs(name, &mut batch).await?,
                Outbox::Scores(origin) => self.collect_events(origin, &mut batch).await?,
            };
            batch.upto.push((outbox, upto));
        }
        Ok(batch)
    }

    /// Takes finished jobs of a queue into a batch, as long as there is room; gives the last one's entry.
    async fn collect_jobs(&self, name: &QueueName, batch: &mut Batch) -> Result<Option<EntryId>> {
        let (mut upto, mut has_more) = (None, true);
        while has_more && self.room(batch) > 0 {
            let jobs;
            (jobs, has_more) = self.queues.to_archive(name, upto, self.room(batch)).await?;
            upto = jobs.last().map(|job| job.entry).or(upto);
            batch.bytes += jobs.iter().map(|job| job.bytes).sum::<usize>();
            batch.jobs.extend(jobs);
        }
        Ok(upto)
    }

    /// The same with what happened to members.
    async fn collect_events(&self, origin: &Origin, batch: &mut Batch) -> Result<Option<EntryId>> {
        let (mut upto, mut has_more) = (None, true);
        while has_more && self.room(batch) > 0 {
            let found = self.leaderboards.to_archive(origin, upto, self.room(batch)).await?;
            (upto, has_more) = (found.upto.or(upto), found.has_more);
            batch.bytes += found.bytes;
            batch.events.extend(found.events.into_iter().map(|event| (origin.clone(), event)));
        }
        Ok(upto)
    }

    async fn write(&self, batch: &Batch) -> Result<u64> {
        let started = Instant::now();
        let at_once = usize::try_from(self.batch).unwrap_or(usize::MAX);
        // If this fails or is cut off.
        let statements = self.statements.swap(1, Ordering::Relaxed);
        let rows = self.noted(self.archive.write(&batch.jobs, at_once).await)?;
        let rows = rows + self.noted(self.archive.write_events(&batch.events, at_once).await)?;
        let took = started.elapsed();
        let next = if took <= QUICK { 2 * statements } else { statements / 2 };
        self.statements.store(next.clamp(1, MOST_STATEMENTS), Ordering::Relaxed);
        if batch.rows() > 0 {
            self.metrics.archive_written(rows, took);
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
        let again = if self.room(&batch) == 0 { Again::Now } else { Again::AfterTick };
        let done = self.write(&batch).await?;
        for (outbox, upto) in &batch.upto {
            self.take_out(outbox, *upto).await?;
        }
        Ok(Report { done, again })
    }
}
