//! The values of segments: which there are, and how those of a dimension go that is no longer declared.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Leaderboards;
use super::board::{Board, RankingKeys};
use super::entry::View;
use super::store::Versioned;
use crate::error::Result;
use crate::types::{LeaderboardName, Limit, WindowName};

/// Entries that one script call takes out of a dimension: under a millisecond of Redis.
const UNDESCRIBE_STEP: u64 = 64;

/// Values of a segment of one ranking.
#[derive(Debug, Clone)]
pub struct SegmentValues {
    /// The window read.
    pub window: WindowName,
    /// Its period.
    pub period: String,
    /// How many values there are.
    pub total: u64,
    /// Each as values by dimension, and its entries; in byte order.
    pub values: Vec<(BTreeMap<String, String>, u64)>,
    /// After what the next page begins, if there is one.
    pub next: Option<String>,
}

impl Leaderboards {
    /// The values that a segment (`country` or `country+platform`) of a ranking has, after `after`.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::rankings`]; `Invalid` for a segment that is not declared.
    pub async fn segment_values(
        &self,
        name: &LeaderboardName,
        segment: &str,
        view: &View,
        after: Option<&str>,
        limit: Limit,
    ) -> Result<SegmentValues> {
        self.on_current(name, async |board| {
            let (listed, chosen) = (board.dimensions.listed(segment)?, self.choose(board, view).await?);
            // One more tells whether there is a next page.
            let most = u64::from(limit.get()) + 1;
            let read = self.store.all_segment_values(board, &chosen, listed.number, after, most).await?;
            let read = self.still(board, &chosen, Ok(read)).await?;
            Ok(read.map(|mut raw| {
                let more = raw.values.len() as u64 == most;
                raw.values.truncate(limit.get() as usize);
                let next = raw.values.last().filter(|_| more).map(|(value, _)| value.clone());
                SegmentValues {
                    window: chosen.ranking.window.clone(),
                    period: chosen.ranking.period.clone(),
                    total: raw.total,
                    values: raw.values.iter().map(|(value, entries)| (listed.values(value), *entries)).collect(),
                    next,
                }
            }))
        })
        .await
    }

    /// Takes all entries out of the dimensions that `old` had and `board` has not, in short steps.
    pub(super) async fn drop_dimensions(&self, old: &Board, board: &Board) -> Result<()> {
        let dropped: Vec<u64> = old.dimensions.missing_in(&board.dimensions).collect();
        if dropped.is_empty() {
            return Ok(());
        }
        for (old, new) in old.parts().iter().zip(board.parts()) {
            Box::pin(self.drop_dimensions(old, new)).await?;
        }
        let mut rankings: Vec<Arc<RankingKeys>> = self.store.section(board).rankings.clone();
        for window in &board.settings.windows {
            for (period, _) in self.store.periods(board, &window.name, None, self.most_periods()).await? {
                rankings.push(Arc::new(board.sections.ranking(&window.name, &period, None)));
            }
        }
        for ranking in &rankings {
            for dimension in &dropped {
                // A stale answer means that the settings have changed again. What is left then is in nobody's way: its
                // number is never given again.
                while let Versioned::Current(1..) =
                    self.store.undescribe(board, ranking, *dimension, UNDESCRIBE_STEP).await?
                {}
            }
        }
        Ok(())
    }
}
