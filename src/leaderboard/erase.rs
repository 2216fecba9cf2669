//! All that leaderboards have of a member, removed for good.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt as _, stream};

use super::board::Board;
use super::outbox::Origin;
use super::store::Versioned;
use super::{Leaderboards, RANKINGS_AT_ONCE};
use crate::error::{Error, Result};
use crate::types::{LeaderboardName, Limit, Member, Timestamp};

/// Leaderboards that are looked at at once.
const AT_ONCE: usize = 8;
/// Names of leaderboards read in one call.
const NAMES_AT_ONCE: u64 = 250;

/// What was removed of a member.
#[derive(Debug, Default)]
pub struct ErasedEntries {
    /// On how many leaderboards there was something.
    pub leaderboards: u64,
    /// In how many rankings it stood.
    pub entries: u64,
    /// Why others were not reached; nothing where all were.
    pub left: Option<Error>,
}

impl Leaderboards {
    /// Removes all that any leaderboard has of a member: entries in open periods and in those that have ended, hidden ones, ranks in
    /// snapshots, bans on single leaderboards, what describes it, and the log of its submissions. It may be called again and again.
    ///
    /// What could not be reached by `until`, or at all, is told in the answer. Acts in lists of what administrators did stay.
    pub async fn erase(&self, member: &Member, until: Option<Instant>) -> ErasedEntries {
        let mut erased = ErasedEntries::default();
        let mut after: Option<LeaderboardName> = None;
        let most = Limit::try_from(NAMES_AT_ONCE).unwrap_or_default();
        loop {
            let listed = self.store.names(after.as_ref().map(LeaderboardName::as_str), most).await;
            let (names, more) = match listed {
                Ok(listed) => listed,
                Err(error) => return ErasedEntries { left: Some(error), ..erased },
            };
            let removals =
                stream::iter(&names).map(|name| self.erase_on(name, member, until)).buffer_unordered(AT_ONCE);
            for removal in removals.collect::<Vec<_>>().await {
                match removal {
                    Ok((entries, found)) => {
                        erased.entries += entries;
                        erased.leaderboards += u64::from(found);
                    }
                    // One leaderboard must not keep the others waiting.
                    Err(error) => erased.left = Some(error),
                }
            }
            if !more {
                return erased;
            }
            after = names.last().cloned();
        }
    }

    async fn erase_on(&self, name: &LeaderboardName, member: &Member, until: Option<Instant>) -> Result<(u64, bool)> {
        if until.is_some_and(|until| Instant::now() >= until) {
            return Err(Error::StoreUnavailable("not all leaderboards were reached in time".to_owned()));
        }
        // Counted over all tries: one that meets new settings may have removed entries before.
        let (entries, found) = (Cell::new(0), Cell::new(false));
        let erase = async |board: &Arc<Board>| {
            let board = board.shard(board.shard_of(member));
            let section = self.store.section(board);
            // Listed before the open ones are emptied: what ends in between makes that call come again.
            let ended = self.ended_rankings(board, &section).await?;
            let only_while = board.sections.change().then(|| section.bounds());
            let steps = std::iter::once((&section.rankings[..], only_while));
            for (rankings, only_while) in steps.chain(ended.chunks(RANKINGS_AT_ONCE).map(|chunk| (chunk, None))) {
                let Versioned::Current((removed, any)) = self.store.erase(board, member, rankings, only_while).await?
                else {
                    return Ok(Versioned::Stale);
                };
                entries.set(entries.get() + removed);
                found.set(found.get() | any);
            }
            Ok(Versioned::Current(()))
        };
        match self.on_current(name, erase).await {
            Ok(()) | Err(Error::NoLeaderboard(_)) => Ok((entries.get(), found.get())),
            Err(error) => Err(error),
        }
    }

    /// When the oldest of what is on its way from leaderboards to the archive came in.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn oldest_to_archive(&self) -> Result<Option<Timestamp>> {
        let mut oldest = self.store.oldest_to_archive(&Origin::Service).await?;
        for deleted in self.store.deleted_unarchived().await? {
            oldest = [oldest, self.store.oldest_to_archive(&deleted).await?].into_iter().flatten().min();
        }
        let mut after: Option<LeaderboardName> = None;
        let most = Limit::try_from(NAMES_AT_ONCE).unwrap_or_default();
        loop {
            let (names, more) = self.store.names(after.as_ref().map(LeaderboardName::as_str), most).await?;
            let looks = stream::iter(&names).map(|name| self.oldest_to_archive_on(name)).buffer_unordered(AT_ONCE);
            for look in looks.collect::<Vec<_>>().await {
                oldest = [oldest, look?].into_iter().flatten().min();
            }
            if !more {
                return Ok(oldest);
            }
            after = names.last().cloned();
        }
    }

    async fn oldest_to_archive_on(&self, name: &LeaderboardName) -> Result<Option<Timestamp>> {
        let board = match self.find(name).await {
            Ok(board) => board,
            Err(Error::NoLeaderboard(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut oldest = None;
        for shard in board.shards() {
            oldest = [oldest, self.store.oldest_to_archive(&Origin::of(shard)).await?].into_iter().flatten().min();
        }
        Ok(oldest)
    }

    /// The time by the clock of Redis.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn server_time(&self) -> Result<Timestamp> {
        Ok(Timestamp::from_millis(self.store.server_us().await?.div_euclid(1000)))
    }
}
