//! Periods beyond what is kept, into the archive and out of Redis.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::Archive;
use super::store::Turn;
use crate::config::ArchiveSettings;
use crate::error::{Error, Result};
use crate::leaderboard::{Copying, Leaderboards, PeriodName, Surplus};
use crate::metrics::Metrics;
use crate::task::{Again, Report, Task};

/// Pages of a period that a run copies: a second at most, so that it ends in time and the turn is kept.
const PAGES_A_RUN: usize = 10;
/// Leaderboards that a run looks at for a period to begin with.
const LOOKS_A_RUN: usize = 50;
/// How long the turn of an instance that has gone lasts.
const TURN_LASTS: Duration = Duration::from_secs(10);

/// Copies periods that are kept no longer to the archive, one after another, and frees them when they stand there whole.
///
/// A copy that was cut off is begun anew. Two at once do no harm: each begins by removing what is not complete, and whose copy is gone
/// finds that out with its next row.
pub struct ArchivePeriods {
    archive: Archive,
    leaderboards: Leaderboards,
    metrics: Metrics,
    batch: usize,
    /// The name of this instance among those that take turns.
    me: String,
    /// The copy under way.
    copy: RefCell<Option<Begun>>,
    /// Which leaderboard comes first, in turn.
    turn: Cell<usize>,
    is_failing: Cell<bool>,
}

/// A copy under way: its id in the archive, and what is still to be read.
struct Begun {
    id: i64,
    rows: u64,
    reading: Copying,
}

impl ArchivePeriods {
    /// The task for these.
    pub fn new(archive: Archive, leaderboards: Leaderboards, settings: &ArchiveSettings, metrics: Metrics) -> Self {
        Self {
            archive,
            leaderboards,
            metrics,
            batch: usize::try_from(settings.batch).unwrap_or(1),
            me: format!("{:016x}", fastrand::u64(..)),
            copy: RefCell::default(),
            turn: Cell::default(),
            is_failing: Cell::default(),
        }
    }

    /// Goes on with the copy under way, or begins the next; tells how much was written, and when to go on.
    async fn go_on(&self) -> Result<(u64, Again)> {
        let under_way = self.copy.take();
        let copy = match under_way {
            Some(copy) => Some(copy),
            None => self.begin().await?,
        };
        let Some(mut copy) = copy else { return Ok((0, Again::AfterTick)) };
        let before = copy.rows;
        for _ in 0..PAGES_A_RUN {
            let Some(rows) = self.leaderboards.copy_page(&mut copy.reading).await? else {
                self.finish(copy).await?;
                return Ok((1, Again::Now));
            };
            let started = Instant::now();
            self.noted(self.archive.parts()?.sink.write_standings(copy.id, &rows, self.batch).await)?;
            copy.rows += rows.len() as u64;
            self.metrics.archive_written(rows.len() as u64, started.elapsed());
        }
        let written = copy.rows - before;
        *self.copy.borrow_mut() = Some(copy);
        Ok((written, Again::Now))
    }

    /// Begins with the first period that waits, if there is one.
    async fn begin(&self) -> Result<Option<Begun>> {
        let mut names = self.leaderboards.staying();
        if names.is_empty() {
            return Ok(None);
        }
        let turn = self.turn.get() % names.len();
        names.rotate_left(turn);
        for (name, _) in names.into_iter().take(LOOKS_A_RUN) {
            // One that fails does not keep the others waiting.
            self.turn.set(self.turn.get().wrapping_add(1));
            for period in self.leaderboards.surplus(&name).await? {
                if let Some(copy) = self.begin_with(period).await? {
                    return Ok(Some(copy));
                }
            }
        }
        Ok(None)
    }

    async fn begin_with(&self, period: Surplus) -> Result<Option<Begun>> {
        let sink = &self.archive.parts()?.sink;
        let found = self.noted(sink.find_period(&name_of(&period)).await)?;
        if found.is_some_and(|found| found.ended_ms == period.ended_ms) {
            // Whoever wrote it did not come to free it.
            self.leave(&period).await?;
            return Ok(None);
        }
        let board = period.board()?;
        let Some(reading) = self.leaderboards.copy(period).await? else { return Ok(None) };
        let id = self.noted(sink.begin_period(&reading.of, &board).await)?;
        Ok(Some(Begun { id, rows: 0, reading }))
    }

    /// Completes a copy and frees the period, if nothing was removed from it meanwhile.
    async fn finish(&self, copy: Begun) -> Result<()> {
        let sink = &self.archive.parts()?.sink;
        let period = &copy.reading.of;
        let (name, window) = (period.leaderboard(), &period.window);
        if !self.leaderboards.is_copied(&copy.reading).await? {
            debug!(leaderboard.name = %name, "a period of `{name}` has changed while it was copied");
            return self.noted(sink.drop_period(copy.id).await);
        }
        if !self.noted(sink.complete_period(copy.id, &name_of(period)).await)? {
            return Err(Error::Conflict(format!("another one archives a period of `{name}`")));
        }
        self.leave(period).await?;
        info!(leaderboard.name = %name, "the period {} of {window} of `{name}` is archived", period.period);
        Ok(())
    }

    /// Frees what is archived. That there was no such period is forgotten first.
    async fn leave(&self, period: &Surplus) -> Result<()> {
        self.archive.parts()?.store.begin_era(period.leaderboard()).await?;
        self.leaderboards.release(period).await
    }

    /// Counts what the archive did not take, and says why the first time.
    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        let was_failing = self.is_failing.replace(result.is_err());
        if let Err(error) = &result {
            self.metrics.archive_failed();
            if let Error::ArchiveUnavailable { cause, .. } = error
                && !was_failing
            {
                warn!("the archive cannot be written, periods wait in Redis: {cause}");
            }
        }
        result
    }
}

fn name_of(period: &Surplus) -> PeriodName {
    PeriodName {
        leaderboard: period.leaderboard().clone(),
        epoch: period.epoch().to_owned(),
        window: period.window.clone(),
        period: period.period.clone(),
    }
}

impl Task for ArchivePeriods {
    const NAME: &'static str = "archive.periods";
    const EVERY: Duration = Duration::from_secs(1);

    async fn run_once(&self) -> Result<Report> {
        let waiting = self.leaderboards.staying();
        self.metrics.archive_periods_waiting(waiting.iter().map(|(_, count)| count).sum());
        if waiting.is_empty() && self.copy.borrow().is_none() {
            return Ok(Report { done: 0, again: Again::AfterTick });
        }
        if !self.archive.take_turn(Turn::Periods, &self.me, TURN_LASTS).await? {
            // Whoever has it removes what is not complete.
            self.copy.take();
            return Ok(Report { done: 0, again: Again::AfterTick });
        }
        let (done, again) = self.go_on().await?;
        Ok(Report { done, again })
    }
}
