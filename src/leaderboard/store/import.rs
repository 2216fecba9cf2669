//! The script that an import calls.

use std::sync::LazyLock;

use super::{
    DIRECTORY, DIRECTORY_WRITE, ENTRY, ENTRY_WRITE, LeaderboardStore, ORDER, RANKING, STAMP, TELL, directory_hash,
    keys_with, ties_name,
};
use crate::db::{Effect, Script, Versioned};
use crate::error::Result;
use crate::leaderboard::board::{Board, RankingKeys};
use crate::leaderboard::settings::Operator;
use crate::leaderboard::submission::Row;
use crate::types::ExactTimestamp;

static IMPORT: LazyLock<Script> = LazyLock::new(|| {
    let body = include_str!("../lua/import.lua");
    Script::new(
        "import",
        Effect::Store,
        &[ORDER, DIRECTORY, DIRECTORY_WRITE, ENTRY, ENTRY_WRITE, STAMP, RANKING, TELL, body],
    )
});

impl LeaderboardStore {
    /// Sets rows of one ranking in one script call, each with the time that it brings.
    pub(in crate::leaderboard) async fn import(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        rows: &[(Row, Option<ExactTimestamp>)],
    ) -> Result<Versioned<()>> {
        let mut call = IMPORT
            .keys(&keys_with(board, ranking))
            .arg(board.version.text())
            .arg(self.clock.to_argument())
            .arg(if board.settings.operator == Operator::Best { "1" } else { "0" })
            .arg(ties_name(board.settings.ties))
            .number(board.sub_width as u64)
            .number(board.settings.max_entries.unwrap_or(0));
        for (row, achieved_at) in rows {
            call = call
                .arg(row.member.as_str())
                .number(directory_hash(&row.member).into())
                .arg(row.ranked.to_redis())
                .arg(&row.sub_key)
                .arg(achieved_at.map_or(String::new(), |time| time.as_micros().to_string()))
                .arg(row.metadata.as_ref().map_or("", |metadata| metadata.as_str()));
        }
        Ok(self.current(call.run(&self.db).await?)?.map(drop))
    }
}
