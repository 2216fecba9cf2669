//! Reading a whole ranking, a page at a time.

use super::Leaderboards;
use super::entry::{Page, Start, View};
use crate::error::Result;
use crate::types::{LeaderboardName, Limit};

/// Entries that are read at once: about a millisecond of Redis, and at most 1.2 MB.
const PAGE: u64 = 500;

/// An export under way.
///
/// Each page begins behind the position (score and ZSET member) at which the one before ended. So an entry that does not
/// move is given exactly once, whatever moves around it. One that moves meanwhile may be given where it was, where it is
/// now, in both places, or, where it overtakes the position reached, in neither.
pub struct Export {
    leaderboards: Leaderboards,
    name: LeaderboardName,
    view: View,
    next: Option<Start>,
}

impl Leaderboards {
    /// Begins to read a ranking from its best entry to its last.
    pub fn export(&self, name: LeaderboardName, view: View) -> Export {
        // An import sorts by what it reads.
        let view = View { all_digits: true, ..view };
        Export { leaderboards: self.clone(), name, view, next: Some(Start::Offset(0)) }
    }
}

impl Export {
    /// The next entries; `None` after the last.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::rankings`]; a leaderboard that was deleted or emptied and made to sort in another way meanwhile
    /// has no next page either.
    pub async fn next_page(&mut self) -> Result<Option<Page>> {
        let Some(start) = self.next.take() else { return Ok(None) };
        let limit = Limit::try_from(PAGE).unwrap_or(Limit::MOST);
        let page = self.leaderboards.rankings(&self.name, &self.view, &start, limit).await?;
        // A reset must not turn the rest into another period's.
        self.view.window = Some(page.window.clone());
        self.view.period = Some(page.period.clone());
        // All totals are of one time, so that those who decay at the same pace keep their distance.
        self.view.at_us = page.at_us;
        self.next = page.next_cursor.clone().map(Start::Cursor);
        Ok(Some(page))
    }
}
