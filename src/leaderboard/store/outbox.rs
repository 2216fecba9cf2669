//! What is on its way from leaderboards to the archive.

use std::sync::LazyLock;
use std::time::Duration;

use super::super::board::Board;
use super::super::outbox::{Origin, ScoresLeft, Unarchived, setting_of};
use super::super::reply::Reply;
use super::super::section::TAG;
use super::{LeaderboardStore, board_key};
use crate::db::{Effect, Script, ScriptCall};
use crate::error::{Error, Result};
use crate::types::{EntryId, LeaderboardName};

/// Deleted leaderboards' shards that are looked at in one go.
const DELETED: u64 = 300;

const OUTBOX: &str = include_str!("../lua/_outbox.lua");

static SCORES_TO_ARCHIVE: LazyLock<Script> =
    LazyLock::new(|| Script::new("scores_to_archive", Effect::Read, &[include_str!("../lua/scores_to_archive.lua")]));
static SCORES_ARCHIVED: LazyLock<Script> = LazyLock::new(|| {
    Script::new("scores_archived", Effect::Free, &[OUTBOX, include_str!("../lua/scores_archived.lua")])
});
static SCORES_WAITING: LazyLock<Script> =
    LazyLock::new(|| Script::new("scores_waiting", Effect::Read, &[OUTBOX, include_str!("../lua/scores_waiting.lua")]));
static LIST_UNARCHIVED: LazyLock<Script> =
    LazyLock::new(|| Script::new("list_unarchived", Effect::Free, &[include_str!("../lua/list_unarchived.lua")]));

/// The outboxes of a service with an archive.
#[derive(Clone)]
pub(super) struct Outbox {
    /// How many entries each has room for; 0 for any number.
    most: u64,
    unarchived: Unarchived,
}

/// An entry as it stands in an outbox.
pub(in crate::leaderboard) struct RawEntry {
    pub(in crate::leaderboard) id: EntryId,
    pub(in crate::leaderboard) of: String,
    pub(in crate::leaderboard) label: String,
    pub(in crate::leaderboard) note: String,
    pub(in crate::leaderboard) rows: Vec<u8>,
}

fn entry(reply: &mut Reply) -> Result<RawEntry> {
    let id = reply.text()?.parse().map_err(Error::Internal)?;
    let (of, label, note) = (reply.text()?, reply.text()?, reply.text()?);
    Ok(RawEntry { id, of, label, note, rows: reply.bytes()? })
}

impl LeaderboardStore {
    /// The same store, whose changes of scores go to an archive as well.
    pub(in crate::leaderboard) fn with_outbox(self, most: u64) -> Self {
        Self { outbox: Some(Outbox { most, unarchived: Unarchived::default() }), ..self }
    }

    /// The outboxes that were seen to have something, where there is an archive.
    pub(in crate::leaderboard) fn unarchived(&self) -> Option<&Unarchived> {
        self.outbox.as_ref().map(|outbox| &outbox.unarchived)
    }

    /// What a script takes with an archive: the key, behind all others, and the argument.
    pub(super) fn outbox_of(&self, board: &Board) -> (Option<String>, String) {
        match &self.outbox {
            None => (None, String::new()),
            Some(Outbox { most, .. }) => (Some(outbox_key(board)), setting_of(board, *most)),
        }
    }

    /// The same of service-wide bans.
    pub(super) fn outbox_of_service(&self) -> (Option<String>, String) {
        let key = self.outbox.as_ref().map(|_| self.service_key("to_archive"));
        (key, self.outbox.as_ref().map_or(String::new(), |outbox| format!("{} service", outbox.most)))
    }

    /// Notes that a script has sent something.
    pub(super) fn has_sent(&self, board: &Board) {
        if let Some(outbox) = &self.outbox {
            outbox.unarchived.sent(Origin::of(board));
        }
    }

    /// Whose it is, and the outbox.
    pub(super) fn keys_of_outbox(&self, origin: &Origin) -> [String; 2] {
        match origin {
            Origin::Shard(name, shard) => {
                let keyspace = self.keyspace.shard(*shard);
                [board_key(&keyspace, name), keyspace.spread(TAG, name.as_str(), "to_archive")]
            }
            Origin::Service => [self.service_key("state"), self.service_key("to_archive")],
        }
    }

    /// Looks whether an outbox has something, where there is an archive.
    pub(in crate::leaderboard) async fn look_at_outbox(&self, origin: &Origin) -> Result<()> {
        let Some(outbox) = &self.outbox else { return Ok(()) };
        let [_, key] = self.keys_of_outbox(origin);
        let mut reply = Reply::of(SCORES_WAITING.keys(&[key]).run(&self.db).await?)?;
        reply.text()?;
        let (waiting, age) = (reply.count()?, Duration::from_millis(reply.count()?));
        outbox.unarchived.found(origin.clone(), waiting, age);
        Ok(())
    }

    /// The oldest entries from one on, with up to `most` rows, and whether there may be more.
    pub(in crate::leaderboard) async fn to_archive(
        &self,
        origin: &Origin,
        from: EntryId,
        most: u64,
    ) -> Result<(Vec<RawEntry>, bool)> {
        let [_, outbox] = self.keys_of_outbox(origin);
        let call = SCORES_TO_ARCHIVE.keys(&[outbox]).number(most).arg(from.to_string());
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        reply.text()?;
        let has_more = reply.count()? == 1;
        let mut entries = Vec::new();
        while !reply.is_empty() {
            entries.push(entry(&mut reply)?);
        }
        Ok((entries, has_more))
    }

    /// Takes out entries before `stays`; gives what is left, and whether whose it is is there.
    pub(in crate::leaderboard) async fn archived(&self, origin: &Origin, stays: EntryId) -> Result<(ScoresLeft, bool)> {
        let call = SCORES_ARCHIVED.keys(&self.keys_of_outbox(origin)).arg(stays.to_string());
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        reply.text()?;
        let (dropped, waiting) = (reply.count()?, reply.count()?);
        let age = Duration::from_millis(reply.count()?);
        Ok((ScoresLeft { waiting, age, dropped }, reply.count()? == 1))
    }

    fn deleted_key(&self) -> String {
        self.keyspace.global("archiving_scores")
    }

    /// Notes that a leaderboard may have something for the archive though it is gone, where there is an archive.
    pub(in crate::leaderboard) async fn list_unarchived(&self, board: &Board) -> Result<()> {
        if self.outbox.is_none() {
            return Ok(());
        }
        let call = LIST_UNARCHIVED.keys(&[self.deleted_key()]);
        let listed = |call: ScriptCall<'static>, shard: &Board| {
            call.arg(format!("{} {}", shard.keyspace().shard_number(), shard.name))
        };
        board.shards().fold(call, listed).run(&self.db).await.map(drop)
    }

    pub(in crate::leaderboard) async fn unlist_unarchived(&self, origin: &Origin) -> Result<()> {
        let Origin::Shard(name, shard) = origin else { return Ok(()) };
        let mut command = redis::cmd("ZREM");
        command.arg(self.deleted_key()).arg(format!("{shard} {name}"));
        self.db.run(&command, "unlist_unarchived_scores", Effect::Free).await.map(drop)
    }

    /// The outboxes of deleted leaderboards that may have something for the archive.
    pub(in crate::leaderboard) async fn deleted_unarchived(&self) -> Result<Vec<Origin>> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.deleted_key()).arg(0).arg(DELETED - 1);
        let mut reply = Reply::of(self.db.run(&command, "unarchived_scores", Effect::Read).await?)?;
        let mut origins = Vec::new();
        while !reply.is_empty() {
            let text = reply.text()?;
            let parts = text.split_once(' ').and_then(|(shard, name)| {
                Some(Origin::Shard(LeaderboardName::try_from(name.to_owned()).ok()?, shard.parse().ok()?))
            });
            origins.extend(parts);
        }
        Ok(origins)
    }
}

fn outbox_key(board: &Board) -> String {
    board.keyspace().spread(TAG, board.name.as_str(), "to_archive")
}
