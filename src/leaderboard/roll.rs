//! What happens to periods by themselves: they are closed when they have ended, and freed when they are kept no longer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::Leaderboards;
use super::store::Versioned;
use crate::error::{Error, Result};
use crate::task::{Again, Report, Task};
use crate::types::{LeaderboardName, Limit};

/// Leaderboards that a run looks at, in turn.
const LOOKS_A_RUN: u64 = 250;
/// Looks under way at once.
const AT_ONCE: usize = 8;
/// Periods of a window that one look hands on to be freed: under a millisecond of Redis.
const BATCH: u64 = 50;

/// Closes periods, and frees those beyond what is kept.
pub struct Roll {
    leaderboards: Leaderboards,
    /// Where the round of looks goes on.
    after: Mutex<Option<LeaderboardName>>,
}

impl Roll {
    /// The task for these leaderboards.
    pub fn new(leaderboards: Leaderboards) -> Self {
        Self { leaderboards, after: Mutex::default() }
    }

    fn after(&self) -> MutexGuard<'_, Option<LeaderboardName>> {
        self.after.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at one leaderboard; tells how much was done, and whether there is more.
    async fn roll(&self, name: &LeaderboardName) -> Result<(u64, bool)> {
        let store = &self.leaderboards.store;
        let mut closed = 0;
        match self.leaderboards.find(name).await {
            Ok(board) => match store.roll(&board, BATCH).await? {
                Versioned::Stale => {
                    self.leaderboards.boards.invalidate(name);
                    return Ok((0, true));
                }
                Versioned::Current(rolled) => {
                    if rolled.closing {
                        self.leaderboards.note_closing(name);
                    }
                    if rolled.to_free == 0 {
                        return Ok((rolled.closed, false));
                    }
                    closed = rolled.closed;
                }
            },
            // What a deletion that was cut off has left.
            Err(Error::NoLeaderboard(_)) => {}
            Err(error) => return Err(error),
        }
        let left = store.free(name).await?;
        Ok((closed, left > 0))
    }
}

impl Task for Roll {
    const NAME: &'static str = "leaderboard.roll";
    const EVERY: Duration = Duration::from_secs(1);

    async fn run_once(&self) -> Result<Report> {
        let after = self.after().clone();
        let looks = Limit::try_from(LOOKS_A_RUN).unwrap_or_default();
        let (names, more) = self.leaderboards.store.names(after.as_ref().map(LeaderboardName::as_str), looks).await?;
        let looks = stream::iter(&names).map(|name| self.roll(name)).buffer_unordered(AT_ONCE);
        let results: Vec<Result<(u64, bool)>> = looks.collect().await;
        let (mut done, mut left, mut failure, mut succeeded) = (0, false, None, names.is_empty());
        for result in results {
            match result {
                Ok((did, again)) => (done, left, succeeded) = (done + did, left | again, true),
                // One leaderboard must not keep the others waiting.
                Err(error) => failure = Some(error),
            }
        }
        // Where there is more to do the same ones are looked at again.
        if !left {
            *self.after() = names.last().filter(|_| more).cloned();
        }
        match failure {
            Some(error) if !succeeded => Err(error),
            Some(_) | None => Ok(Report { done, again: if left { Again::Now } else { Again::AfterTick } }),
        }
    }
}
