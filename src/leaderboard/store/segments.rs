//! The values of segments, and what becomes of those of a dimension that is no longer declared.

use std::sync::LazyLock;

use super::super::board::{Board, RankingKeys};
use super::{Chosen, ENTRY_WRITE, LeaderboardStore, ORDER, PERIOD, RANKING, STAMP, Versioned, keys_with};
use crate::db::{Effect, Script};
use crate::error::Result;

/// Values that one step of listing looks at: about a millisecond of Redis.
const LIST_STEP: u64 = 200;

static SEGMENTS: LazyLock<Script> = LazyLock::new(|| {
    let body = include_str!("../lua/segments.lua");
    Script::new("segments", Effect::Read, &[ORDER, STAMP, RANKING, PERIOD, body])
});
static UNDESCRIBE: LazyLock<Script> = LazyLock::new(|| {
    let body = include_str!("../lua/undescribe.lua");
    Script::new("undescribe", Effect::Free, &[ENTRY_WRITE, RANKING, body])
});

/// Values of a segment, and how many there are.
pub(in crate::leaderboard) struct RawValues {
    pub(in crate::leaderboard) total: u64,
    /// As the ranking keeps them, with their entries.
    pub(in crate::leaderboard) values: Vec<(String, u64)>,
}

impl LeaderboardStore {
    /// Lists up to `limit` values of a dimension in byte order, after `after`, in short steps.
    pub(in crate::leaderboard) async fn segment_values(
        &self,
        board: &Board,
        chosen: &Chosen,
        dimension: u64,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Versioned<RawValues>> {
        let mut listed = RawValues { total: 0, values: Vec::new() };
        loop {
            let step = LIST_STEP.min(limit - listed.values.len() as u64);
            let last = listed.values.last().map(|(value, _)| value.as_str()).or(after);
            let call = SEGMENTS
                .keys(&keys_with(board, &chosen.ranking))
                .arg(self.asked(board, chosen.only_while))
                .number(dimension)
                .arg(last.unwrap_or(""))
                .number(step);
            let Versioned::Current(mut reply) = self.current(call.run(&self.db).await?)? else {
                return Ok(Versioned::Stale);
            };
            listed.total = reply.count()?;
            let before = listed.values.len() as u64;
            while !reply.is_empty() {
                listed.values.push((reply.text()?, reply.count()?));
            }
            let found = listed.values.len() as u64;
            if found - before < step || found >= limit {
                return Ok(Versioned::Current(listed));
            }
        }
    }

    /// Takes up to `most` entries out of a dimension that is no longer declared; gives how many there were.
    pub(in crate::leaderboard) async fn undescribe(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        dimension: u64,
        most: u64,
    ) -> Result<Versioned<u64>> {
        let call = UNDESCRIBE
            .keys(&keys_with(board, ranking))
            .arg(board.version.text())
            .number(board.width as u64)
            .number(dimension)
            .number(most);
        match self.current(call.run(&self.db).await?)? {
            Versioned::Stale => Ok(Versioned::Stale),
            Versioned::Current(mut reply) => Ok(Versioned::Current(reply.count()?)),
        }
    }
}
