//! What administrators do to entries: setting a member's row, and removing members by score.

use super::audit::{Act, Action, AuditNote};
use super::board::Board;
use super::import::rules;
use super::store::{LeaderboardStore, Versioned};
use super::submission::{Standing, Submission};
use super::{Leaderboards, reply};
use crate::error::{Error, Result};
use crate::types::{LeaderboardName, Member, Score, WindowName};

/// Entries that a script call removes, counted in all windows: about a millisecond of Redis.
const REMOVED_AT_ONCE: usize = 100;

/// Which scores, both ends included.
#[derive(Debug, Clone, Copy)]
pub struct ScoreRange {
    /// None: from the lowest.
    pub min: Option<Score>,
    /// None: to the highest.
    pub max: Option<Score>,
}

impl ScoreRange {
    /// The ends as the ranking of a leaderboard sorts them.
    pub(super) fn ranked(&self, board: &Board) -> (String, String) {
        let text = |score: Score| board.settings.turned(score).to_redis();
        let (min, max) = (self.min.map(text), self.max.map(text));
        let (low, high) = if board.settings.order == super::Order::Descending { (max, min) } else { (min, max) };
        (low.unwrap_or_else(|| "-inf".to_owned()), high.unwrap_or_else(|| "+inf".to_owned()))
    }
}

/// What was removed by score.
#[derive(Debug, Clone, Default)]
pub struct Removed {
    /// The members with the scores that they had in the window, best first.
    pub members: Vec<(Member, Score)>,
    /// How many such members are still there.
    pub remaining: u64,
}

impl Leaderboards {
    /// Sets a member's row in all open rankings, or in that of one window, whatever the operator; it counts as reached now.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`, `NoWindow`; `Invalid` for a row that breaks the leaderboard's rules.
    pub async fn adjust(
        &self,
        name: &LeaderboardName,
        submission: &Submission,
        window: Option<&WindowName>,
        act: &Act,
    ) -> Result<Standing> {
        let note = AuditNote::new(act, Action::Adjust, Some(&submission.member)).with("score", submission.score);
        let note = if submission.subscores.is_empty() { note } else { note.with("subscores", &submission.subscores) };
        let note = if let Some(window) = window { note.with("window", window) } else { note };
        let windows = self
            .on_current(name, async |board| {
                let row = submission.to_row(&rules(&board.settings), "adjust")?;
                let number = window.map(|window| window_number(board, window)).transpose()?;
                self.store.adjust(board, &row, number, &note).await
            })
            .await?;
        Ok(Standing { member: submission.member.clone(), windows, replayed: false })
    }

    /// Removes up to `limit` members whose scores in a window, by default the first one, are within a range. They leave the open
    /// rankings of all windows.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`, `NoWindow`.
    pub async fn remove_by_score(
        &self,
        name: &LeaderboardName,
        range: ScoreRange,
        window: Option<&WindowName>,
        limit: usize,
        act: &Act,
    ) -> Result<Removed> {
        let note = AuditNote::new(act, Action::RemoveByScore, None).with("min_score", range.min);
        let note = note.with("max_score", range.max);
        let mut removed = Removed::default();
        loop {
            let left = limit - removed.members.len();
            let step = self.on_current(name, async |board| {
                let number = window.map_or(Ok(0), |window| window_number(board, window))?;
                let most = left.min((REMOVED_AT_ONCE / board.settings.windows.len().max(1)).max(1));
                let named = board.settings.windows.get(number).map(|window| &window.name);
                let note = note.clone().with("window", named);
                self.store.remove_by_score_of_all(board, number, &range, most, &note).await
            });
            let step = match step.await {
                Ok(step) => step,
                // What is gone is told; the same request goes on.
                Err(_) if !removed.members.is_empty() => return Ok(removed),
                Err(error) => return Err(error),
            };
            let more = !step.members.is_empty() && step.remaining > 0;
            removed.members.extend(step.members);
            removed.remaining = step.remaining;
            if !more || removed.members.len() >= limit {
                return Ok(removed);
            }
        }
    }
}

/// The place of a window in the settings.
fn window_number(board: &Board, window: &WindowName) -> Result<usize> {
    board
        .settings
        .windows
        .iter()
        .position(|known| known.name == *window)
        .ok_or_else(|| Error::NoWindow { leaderboard: board.name.clone(), window: window.to_string() })
}

impl LeaderboardStore {
    /// The members that a script removed, with their scores.
    pub(super) fn removed(board: &Board, mut reply: reply::Reply) -> Result<Versioned<Removed>> {
        let mut removed = Removed { members: Vec::new(), remaining: reply.count()? };
        while !reply.is_empty() {
            let (element, ranked) = (reply.bytes()?, reply.score()?);
            let entry = reply::entry(board, &element, ranked, None, None)?;
            removed.members.push((entry.member, entry.score));
        }
        Ok(Versioned::Current(removed))
    }
}
