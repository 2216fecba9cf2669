//! Snapshots: who stood where, kept once a day.

use std::time::Duration;

use moka::sync::Cache;

use super::board::{Board, Version};
use super::entry::View;
use super::rounds::Rounds;
use super::store::Versioned;
use super::{CACHED_BOARDS, Leaderboards};
use crate::error::{Error, Result};
use crate::task::{Report, Task};
use crate::types::{LeaderboardName, Timestamp, WindowName};

/// Looks under way at once.
const AT_ONCE: usize = 4;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// A snapshot of a ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was taken, by the Redis server's clock.
    pub taken_at: Timestamp,
    /// Entries in it.
    pub entries: u64,
}

impl Leaderboards {
    /// The snapshots that are kept of a window's period, by default of the open one; the newest first.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`, `NoWindow`, `NoPeriod`.
    pub async fn snapshots(
        &self,
        name: &LeaderboardName,
        window: &WindowName,
        period: Option<String>,
    ) -> Result<Vec<Snapshot>> {
        let view = View { window: Some(window.clone()), period, ..View::default() };
        self.on_current(name, async |board| {
            let chosen = self.choose(board, &view).await?;
            let kept = self.store.snapshots(&chosen.ranking).await?;
            let shown = kept
                .into_iter()
                .rev()
                .map(|kept| Snapshot { taken_at: Timestamp::from_millis(kept.taken_ms), entries: kept.entries });
            Ok(Versioned::Current(shown.collect()))
        })
        .await
    }
}

/// Takes a snapshot of each open ranking that is to have one, once a day.
pub struct TakeSnapshots {
    leaderboards: Leaderboards,
    rounds: Rounds,
    /// When a leaderboard's next snapshots are due, in ms.
    next: Cache<LeaderboardName, (Version, i64)>,
}

impl TakeSnapshots {
    /// The task for these leaderboards.
    pub fn new(leaderboards: Leaderboards) -> Self {
        Self { leaderboards, rounds: Rounds::default(), next: Cache::new(CACHED_BOARDS) }
    }

    /// Looks at one leaderboard; gives how many snapshots were taken.
    async fn look(&self, name: &LeaderboardName) -> Result<u64> {
        let board = match self.leaderboards.find(name).await {
            Ok(board) => board,
            Err(Error::NoLeaderboard(_)) => return Ok(0),
            Err(error) => return Err(error),
        };
        let now_ms = self.leaderboards.store.estimate_ms();
        let waits = |(version, due_ms): (Version, i64)| version == board.version && now_ms < due_ms;
        if board.settings.snapshots.is_none() || self.next.get(name).is_some_and(waits) {
            return Ok(0);
        }
        let Versioned::Current((taken, looked_ms)) = self.take(&board).await? else {
            // Other settings, or another period: the next run knows them.
            self.leaderboards.boards.invalidate(name);
            return Ok(0);
        };
        let midnight_ms = looked_ms - looked_ms.rem_euclid(DAY_MS) + DAY_MS;
        self.next.insert(name.clone(), (board.version.clone(), midnight_ms));
        Ok(taken)
    }

    /// Takes the snapshots that are due; gives how many, and when it began to look by the server's clock, in ms.
    async fn take(&self, board: &Board) -> Result<Versioned<(u64, i64)>> {
        let store = &self.leaderboards.store;
        let (mut taken, mut looked_ms) = (0, i64::MAX);
        let Some(wanted) = board.settings.snapshots else { return Ok(Versioned::Current((0, 0))) };
        for ranking in &store.section(board).rankings {
            let Versioned::Current(due) = store.due_snapshot(board, ranking, wanted.top).await? else {
                return Ok(Versioned::Stale);
            };
            looked_ms = looked_ms.min(due.now_ms);
            // One without entries gets none: of a period without any nothing is known that could be freed.
            if due.best.is_empty() {
                continue;
            }
            match store.keep_snapshot(board, ranking, &due, wanted.keep).await? {
                Versioned::Stale => return Ok(Versioned::Stale),
                Versioned::Current(was_first) => taken += u64::from(was_first),
            }
        }
        Ok(Versioned::Current((taken, looked_ms)))
    }
}

impl Task for TakeSnapshots {
    const NAME: &'static str = "leaderboard.snapshots";
    const EVERY: Duration = Duration::from_secs(1);

    async fn run_once(&self) -> Result<Report> {
        self.rounds.run(&self.leaderboards, AT_ONCE, async |name| Ok((self.look(name).await?, false))).await
    }
}
