//! Rows leave the archive when they are old enough.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::Archive;
use super::purge::{Ageing, NAMES_AT_ONCE, ROWS_AT_ONCE};
use super::row::IS_WITHDRAWN;
use super::store::Turn;
use crate::error::Result;
use crate::metrics::Metrics;
use crate::task::{Again, Report, Task};
use crate::types::{Clock, Timestamp};

/// How long it is known that a job was deleted: no instance stands still for so long in the midst of writing.
const WITHDRAWN_LASTS: Duration = Duration::from_secs(3600);

/// The tables that rows leave by their age. How closed periods ended is none of them. First what needs no setting.
const AGEING: [Ageing; 3] = [
    Ageing {
        table: "ranq_jobs",
        names: "queue",
        time: "finished_at",
        per_ms: 1,
        only: Some((IS_WITHDRAWN, WITHDRAWN_LASTS)),
    },
    Ageing { table: "ranq_jobs", names: "queue", time: "finished_at", per_ms: 1, only: None },
    Ageing { table: "ranq_history", names: "leaderboard", time: "at_us", per_ms: 1000, only: None },
];

/// How long the turn of an instance that has gone lasts at most.
const TURN_LASTS: Duration = Duration::from_secs(15);
/// The longest pause behind a full batch, which is as long as that took: half of the time is the writer's.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Deletes what is older than the settings keep, a bounded batch at a time.
pub struct Retain {
    archive: Archive,
    metrics: Metrics,
    clock: Clock,
    /// For ever without one.
    kept: Option<Duration>,
    /// The name of this instance among those that take turns.
    me: String,
    at: RefCell<Place>,
}

/// How far a walk over all tables has come.
#[derive(Debug, Clone, Default)]
struct Place {
    table: usize,
    /// The last name of the table that was looked at.
    after: Option<String>,
}

impl Retain {
    /// The task for this archive, of which rows are kept so long, for ever without one.
    pub fn new(archive: Archive, kept: Option<Duration>, clock: Clock, metrics: Metrics) -> Self {
        let me = format!("{:016x}", fastrand::u64(..));
        Self { archive, metrics, clock, kept, me, at: RefCell::default() }
    }

    /// What is looked through next, and before which time its rows are old; nothing at the end.
    fn ageing(&self, place: &Place) -> Option<(&'static Ageing, Timestamp)> {
        let ageing = AGEING.get(place.table)?;
        let kept = ageing.only.map(|(_, lasts)| lasts).or(self.kept)?;
        Some((ageing, self.before(kept)))
    }

    fn before(&self, kept: Duration) -> Timestamp {
        let kept = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis((self.clock.estimate_us() / 1000).saturating_sub(kept))
    }
}

impl Task for Retain {
    const NAME: &'static str = "archive.retain";
    const EVERY: Duration = Duration::from_secs(5);

    async fn run_once(&self) -> Result<Report> {
        if !self.archive.take_turn(Turn::Retain, &self.me, TURN_LASTS).await? {
            return Ok(Report { done: 0, again: Again::AfterTick });
        }
        let mut at = self.at.borrow().clone();
        let Some((ageing, before)) = self.ageing(&at) else {
            self.at.take();
            return Ok(Report { done: 0, again: Again::AfterTick });
        };
        let sink = &self.archive.parts()?.sink;
        let names = sink.names(ageing, at.after.as_deref()).await?;
        let began = Instant::now();
        let done = if names.is_empty() { 0 } else { sink.age_out(ageing, &names, before).await? };
        if ageing.only.is_none() {
            self.metrics.archive_purged(done);
        }
        if done >= ROWS_AT_ONCE as u64 {
            tokio::time::sleep(began.elapsed().min(LONGEST_PAUSE)).await;
            return Ok(Report { done, again: Again::Now });
        }
        match names.last() {
            Some(last) if names.len() == NAMES_AT_ONCE => at.after = Some(last.clone()),
            Some(_) | None => at = Place { table: at.table + 1, after: None },
        }
        self.at.replace(at);
        Ok(Report { done, again: Again::Now })
    }
}
