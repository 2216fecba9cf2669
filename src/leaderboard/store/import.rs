//! The script that an import calls.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{
    BANS, DESCRIBE, ENTRY_WRITE, HIDDEN, LeaderboardStore, RANKING, STAMP, TELL, directory_hash, keys_with, ties_name,
};
use crate::db::{Effect, Script, Versioned};
use crate::error::Result;
use crate::leaderboard::bans::Severity;
use crate::leaderboard::board::{Board, RankingKeys};
use crate::leaderboard::settings::Operator;
use crate::leaderboard::submission::Row;
use crate::types::ExactTimestamp;

static IMPORT: LazyLock<Script> = LazyLock::new(|| {
    let body = include_str!("../lua/import.lua");
    let entries = [ENTRY_WRITE, DESCRIBE, STAMP, RANKING];
    Script::new("import", Effect::Store, &[&entries[..], &[HIDDEN, BANS, TELL, body]].concat())
});

impl LeaderboardStore {
    /// Sets rows of one ranking in one script call, each with the time that it brings. Gives for each the dimension that has
    /// no room for its value, if so.
    pub(in crate::leaderboard) async fn import_rows(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        rows: &[(Row, Option<ExactTimestamp>)],
    ) -> Result<Versioned<Vec<Option<u64>>>> {
        if !board.is_spread() {
            return self.import(board, ranking, rows.iter().collect()).await;
        }
        let mut by_shard: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, (row, _)) in rows.iter().enumerate() {
            by_shard.entry(board.shard_of(&row.member)).or_default().push(place);
        }
        let mut all = vec![None; rows.len()];
        // A row may be set twice: it is the same then. So what is stale comes again as a whole.
        for (shard, places) in by_shard {
            let shard = board.shard(shard);
            let ranking = shard.sections.ranking(&ranking.window, &ranking.period, ranking.span);
            let its = places.iter().map(|place| &rows[*place]).collect();
            let Versioned::Current(refused) = self.import(shard, &ranking, its).await? else {
                return Ok(Versioned::Stale);
            };
            for (place, refused) in places.into_iter().zip(refused) {
                all[place] = refused;
            }
        }
        Ok(Versioned::Current(all))
    }

    /// The same for rows of one shard.
    async fn import(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        rows: Vec<&(Row, Option<ExactTimestamp>)>,
    ) -> Result<Versioned<Vec<Option<u64>>>> {
        let (described, bans_key) = (board.described_key(), board.bans_key());
        let mut keys = keys_with(board, ranking);
        keys.extend([described.as_str(), &bans_key]);
        let (bans_version, bans) = self.bans.of(rows.iter().map(|(row, _)| &row.member));
        let mut call = IMPORT
            .keys(&keys)
            .arg(board.version.text())
            .arg(self.clock.to_argument())
            .arg(if board.settings.operator == Operator::Best { "1" } else { "0" })
            .arg(ties_name(board.settings.ties))
            .number(board.sub_width as u64)
            .number(board.settings.max_entries.unwrap_or(0))
            .arg(board.dimensions.as_argument())
            .number(bans_version);
        for ((row, achieved_at), ban) in rows.into_iter().zip(bans) {
            call = call
                .arg(row.member.as_str())
                .number(directory_hash(&row.member).into())
                .arg(row.ranked.to_redis())
                .arg(&row.sub_key)
                .arg(achieved_at.map_or(String::new(), |time| time.as_micros().to_string()))
                .arg(row.metadata.as_ref().map_or("", |metadata| metadata.as_str()))
                .arg(board.dimensions.pack(&row.segments))
                // Rows are set, not submitted: none is refused.
                .arg(ban.map_or("", |_| Severity::Shadow.letter()));
        }
        let Versioned::Current((_, reply)) = self.answered(board, call.run(&self.db).await?).await? else {
            return Ok(Versioned::Stale);
        };
        Ok(Versioned::Current(reply.texts()?.iter().map(|number| number.parse().ok()).collect()))
    }
}
