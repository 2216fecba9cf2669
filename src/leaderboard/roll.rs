//! What happens to periods by themselves: they are closed when they have ended, and freed when they are kept no longer.

use std::time::Duration;

use super::Leaderboards;
use super::rounds::Rounds;
use super::store::Versioned;
use crate::error::{Error, Result};
use crate::task::{Report, Task};
use crate::types::LeaderboardName;

/// Looks under way at once.
const AT_ONCE: usize = 8;
/// Periods of a window that one look hands on to be freed: under a millisecond of Redis.
const BATCH: u64 = 50;

/// Closes periods, and frees those beyond what is kept.
pub struct Roll {
    leaderboards: Leaderboards,
    rounds: Rounds,
}

impl Roll {
    /// The task for these leaderboards.
    pub fn new(leaderboards: Leaderboards) -> Self {
        Self { leaderboards, rounds: Rounds::default() }
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
        self.rounds.run(&self.leaderboards, AT_ONCE, async |name| self.roll(name).await).await
    }
}
