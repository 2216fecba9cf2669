//! Showing totals that decay as they are at a time.

use super::board::Board;
use super::decay::Decay;
use super::entry::{Entry, View};
use super::store::Chosen;
use super::{Leaderboards, OPEN_PERIOD};
use crate::error::Result;

impl Leaderboards {
    /// How the totals of a leaderboard decay, if they do, and the time in µs at which a view shows those of a ranking: the
    /// one that it names, else the Redis server's; and never one after the period's end.
    pub(super) async fn decay_time(&self, board: &Board, chosen: &Chosen, view: &View) -> Result<Option<(Decay, i64)>> {
        let Some(decay) = board.decay() else { return Ok(None) };
        if let Some(at_us) = view.at_us {
            return Ok(Some((decay, at_us)));
        }
        let now_us = self.store.server_us().await?;
        let (window, period) = (&chosen.ranking.window, chosen.ranking.period.as_str());
        if period == OPEN_PERIOD {
            return Ok(Some((decay, now_us)));
        }
        let end_ms = self.store.period_end(board, window, period).await?;
        let end_us = end_ms.map_or(i64::MAX, |end_ms| end_ms.saturating_mul(1000));
        Ok(Some((decay, now_us.min(end_us))))
    }
}

/// Puts the totals of that time in the place of what is kept of them.
pub(super) fn show_decayed(time: Option<(Decay, i64)>, view: &View, entries: &mut [Entry]) {
    let Some((decay, at_us)) = time else { return };
    for entry in entries {
        entry.score = if view.all_digits { decay.total(entry.score, at_us) } else { decay.shown(entry.score, at_us) };
    }
}
