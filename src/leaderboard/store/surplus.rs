//! Periods that leave for an archive.

use redis::Value;

use super::super::board::Board;
use super::super::reply::Reply;
use super::super::section::ranking_keys;
use super::closing::closing_field;
use super::{ENDED, LEAVING, LeaderboardStore, RELEASE, Versioned};
use crate::db::Effect;
use crate::error::Result;
use crate::types::WindowName;

/// What a look at a period of one shard found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::leaderboard) struct Ended {
    pub(in crate::leaderboard) listed: bool,
    pub(in crate::leaderboard) entries: u64,
    /// Entries of all parts of its segments together.
    pub(in crate::leaderboard) in_parts: u64,
}

impl LeaderboardStore {
    /// Looks whether a period has ended for good, and counts its entries; nothing to tell where it has not.
    pub(in crate::leaderboard) async fn ended(
        &self,
        board: &Board,
        window: &WindowName,
        (period, end_ms): (&str, i64),
    ) -> Result<Versioned<Option<Ended>>> {
        let ranking = board.sections.ranking(window, period, None);
        let own = [board.key.clone(), board.closing_key(), board.periods_key(window), ranking.rank, ranking.segments];
        let call = ENDED
            .keys(&own)
            .arg(board.version.text())
            .arg(self.clock.to_argument())
            .arg(end_ms.to_string())
            .arg(period)
            .arg(closing_field(window, period));
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "stale" => Ok(Versioned::Stale),
            "open" => Ok(Versioned::Current(None)),
            _ => {
                let (listed, entries, in_parts) = (reply.count()? == 1, reply.count()?, reply.count()?);
                Ok(Versioned::Current(Some(Ended { listed, entries, in_parts })))
            }
        }
    }

    /// Frees a period of one shard.
    pub(in crate::leaderboard) async fn release(&self, board: &Board, window: &WindowName, period: &str) -> Result<()> {
        let of = format!("{}{period}", board.sections.stem(window));
        let mut keys = vec![board.periods_key(window)];
        keys.extend(ranking_keys(board.keyspace(), &board.name, &of));
        RELEASE.keys(&keys).arg(period).run(&self.db).await.map(drop)
    }

    /// Notes that a period is being freed in all shards.
    pub(in crate::leaderboard) async fn note_leaving(
        &self,
        board: &Board,
        window: &WindowName,
        period: &str,
    ) -> Result<()> {
        LEAVING.keys(&[board.leaving_key()]).arg(closing_field(window, period)).run(&self.db).await.map(drop)
    }

    /// Notes that it has been.
    pub(in crate::leaderboard) async fn note_left(
        &self,
        board: &Board,
        window: &WindowName,
        period: &str,
    ) -> Result<()> {
        let mut command = redis::cmd("HDEL");
        command.arg(board.leaving_key()).arg(closing_field(window, period));
        self.db.run(&command, "note_left", Effect::Free).await.map(drop)
    }

    /// Whether a period is being freed.
    pub(in crate::leaderboard) async fn is_leaving(
        &self,
        board: &Board,
        window: &WindowName,
        period: &str,
    ) -> Result<bool> {
        let mut command = redis::cmd("HEXISTS");
        command.arg(board.leaving_key()).arg(closing_field(window, period));
        Ok(self.db.run(&command, "is_leaving", Effect::Read).await? == Value::Int(1))
    }

    /// The periods that are being freed, as `WINDOW:PERIOD`.
    pub(in crate::leaderboard) async fn leaving(&self, board: &Board) -> Result<Vec<String>> {
        let mut command = redis::cmd("HKEYS");
        command.arg(board.leaving_key());
        Reply::of(self.db.run(&command, "list_leaving", Effect::Read).await?)?.texts()
    }
}
