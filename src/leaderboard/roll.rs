//! What happens to periods by themselves: they are closed when they have ended, and freed when they are kept no longer.

use std::time::Duration;

use super::Leaderboards;
use super::board::Board;
use super::outbox::Origin;
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
        let board = match self.leaderboards.find(name).await {
            Ok(board) => board,
            // What a deletion that was cut off has left.
            Err(Error::NoLeaderboard(_)) => {
                let store = &self.leaderboards.store;
                self.leaderboards.note_staying(name, 0);
                return Ok((0, store.free(store.keyspace(), name).await? > 0));
            }
            Err(error) => return Err(error),
        };
        let (mut closed, mut left, mut staying) = (0, false, 0);
        self.leaderboards.release_rest(&board).await?;
        for shard in board.shards() {
            match self.roll_one(shard).await? {
                Some((did, more, stay)) => {
                    (closed, left, staying) = (closed + did, left | more, stay.max(staying));
                }
                None => {
                    self.leaderboards.refresh(&board).await?;
                    return Ok((closed, true));
                }
            }
        }
        self.leaderboards.note_staying(name, staying);
        Ok((closed, left))
    }

    /// Looks at one shard; nothing to tell where it has changed. Tells as well how many periods stay for the archive.
    async fn roll_one(&self, board: &Board) -> Result<Option<(u64, bool, u64)>> {
        let store = &self.leaderboards.store;
        let most = if self.leaderboards.has_archive() { 0 } else { BATCH };
        let Versioned::Current(rolled) = store.roll(board, most).await? else { return Ok(None) };
        store.look_at_outbox(&Origin::of(board)).await?;
        if rolled.closing {
            self.leaderboards.note_closing(&board.name);
        }
        if rolled.to_free == 0 {
            return Ok(Some((rolled.closed, false, rolled.staying)));
        }
        Ok(Some((rolled.closed, store.free(board.keyspace(), &board.name).await? > 0, rolled.staying)))
    }
}

impl Task for Roll {
    const NAME: &'static str = "leaderboard.roll";
    const EVERY: Duration = Duration::from_secs(1);

    async fn run_once(&self) -> Result<Report> {
        self.rounds.run(&self.leaderboards, AT_ONCE, async |name| self.roll(name).await).await
    }
}
