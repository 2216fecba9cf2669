//! What is removed of a member for good, and what is on its way from leaderboards to an archive.

use std::sync::{Arc, LazyLock};

use super::{BANS, ENTRY_WRITE, HIDDEN, LeaderboardStore, PERIOD, RANKING, STAMP, TELL, Versioned, directory_hash};
use crate::db::{Effect, Script};
use crate::error::Result;
use crate::leaderboard::board::{Board, RankingKeys};
use crate::leaderboard::outbox::Origin;
use crate::leaderboard::reply::Reply;
use crate::types::{Member, Timestamp};

static ERASE: LazyLock<Script> = LazyLock::new(|| {
    let parts = [ENTRY_WRITE, STAMP, RANKING, PERIOD, HIDDEN, BANS, TELL, include_str!("../lua/erase.lua")];
    Script::new("erase", Effect::Free, &parts)
});

impl LeaderboardStore {
    /// Removes all that a shard has of a member in these rankings, and beside them; gives in how many it was, and whether there was
    /// anything. `only_while` is when they are the open ones.
    pub(in crate::leaderboard) async fn erase(
        &self,
        board: &Board,
        member: &Member,
        rankings: &[Arc<RankingKeys>],
        only_while: Option<(i64, i64)>,
    ) -> Result<Versioned<(u64, bool)>> {
        let limit = board.limit_key(member);
        let own = [board.key.clone(), board.described_key(), board.bans_key(), board.banned_key(), limit];
        let mut keys: Vec<&str> = own.iter().map(String::as_str).collect();
        keys.extend(rankings.iter().flat_map(|ranking| ranking.all()));
        keys.extend(rankings.iter().map(|ranking| ranking.snapshots.as_str()));
        let call = ERASE
            .keys(&keys)
            .arg(self.asked(board, only_while))
            .number(board.width as u64)
            .number(board.sub_width as u64)
            .arg(member.as_str())
            .number(directory_hash(member).into())
            .number(rankings.len() as u64);
        match self.current(call.run(&self.db).await?)? {
            Versioned::Stale => Ok(Versioned::Stale),
            Versioned::Current(mut reply) => Ok(Versioned::Current((reply.count()?, reply.count()? == 1))),
        }
    }

    /// When the oldest of what is in an outbox came in, by the clock that gave it its id.
    pub(in crate::leaderboard) async fn oldest_to_archive(&self, origin: &Origin) -> Result<Option<Timestamp>> {
        let [_, outbox] = self.keys_of_outbox(origin);
        let mut command = redis::cmd("XRANGE");
        command.arg(outbox).arg("-").arg("+").arg("COUNT").arg(1);
        let mut reply = Reply::of(self.db.run(&command, "oldest_to_archive", Effect::Read).await?)?;
        if reply.is_empty() {
            return Ok(None);
        }
        let id = reply.list()?.text()?;
        Ok(id.split_once('-').and_then(|(millis, _)| millis.parse().ok()).map(Timestamp::from_millis))
    }
}
