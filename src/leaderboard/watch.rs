//! Watching a leaderboard: what changes it then tells so to all instances.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::Leaderboards;
use crate::error::{Error, Result};
use crate::types::{LeaderboardName, WindowName};

/// What the message of a change begins with.
const CHANGED: &str = "ranking ";
/// How long it is noted that somebody watches.
const WATCH_LASTS: Duration = Duration::from_secs(35);

/// The message that says that a leaderboard has changed.
pub(super) fn change_message(name: &LeaderboardName) -> String {
    format!("{CHANGED}{name}")
}

/// The leaderboard that a message says to have changed.
pub fn changed_leaderboard(message: &str) -> Option<LeaderboardName> {
    LeaderboardName::try_from(message.strip_prefix(CHANGED)?.to_owned()).ok()
}

impl Leaderboards {
    /// Makes known for 35 seconds that somebody watches; look only after this, so that nothing is missed.
    ///
    /// # Errors
    ///
    /// Those of the store. Where there is no such leaderboard, nothing happens.
    pub async fn watch(&self, name: &LeaderboardName) -> Result<()> {
        match self.find(name).await {
            Ok(board) => {
                let watch = board.shards().map(|shard| self.store.watch(shard.keyspace(), name, WATCH_LASTS));
                try_join_all(watch).await.map(drop)
            }
            Err(Error::NoLeaderboard(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How long it is until a window (the first one by default) begins anew, as far as it is known here.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`, `NoWindow`.
    pub async fn resets_in(&self, name: &LeaderboardName, window: Option<&WindowName>) -> Result<Option<Duration>> {
        let board = self.find(name).await?;
        let Some(span) = self.open_ranking(&board, window)?.span else { return Ok(None) };
        let (_, end_us) = span.bounds_us();
        let left_us = end_us.saturating_sub(self.store.now_us());
        Ok(Some(Duration::from_micros(u64::try_from(left_us).unwrap_or(0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_leaderboard_that_changed() {
        let name = LeaderboardName::try_from("race".to_owned()).expect("a name");
        assert_eq!(changed_leaderboard(&change_message(&name)), Some(name));
        for other in ["ready 1 race", "ranking ", "ranking", "ranking a b"] {
            assert_eq!(changed_leaderboard(other), None, "{other}");
        }
    }
}
