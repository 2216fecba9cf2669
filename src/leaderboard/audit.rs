//! What administrators did.

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Leaderboards;
use super::board::Board;
use crate::error::{Error, Result};
use crate::types::{AuditId, LeaderboardName, Limit, Member, Reason, Timestamp};

/// Who does something, and why.
#[derive(Debug, Clone)]
pub struct Act {
    /// The name of the token's holder.
    pub by: String,
    /// The reason, if one was given.
    pub reason: Option<Reason>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A member was banned, or its ban changed.
    Ban,
    /// A ban was lifted.
    Unban,
    /// A member's score was set.
    Adjust,
    /// A member was removed.
    Remove,
    /// The members with scores in a range were removed.
    RemoveByScore,
}

/// What is noted of an act; the script that does it adds the time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AuditNote {
    pub(super) by: String,
    pub(super) action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) member: Option<Member>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) details: Map<String, Value>,
}

impl AuditNote {
    pub(super) fn new(act: &Act, action: Action, member: Option<&Member>) -> Self {
        let Act { by, reason } = act.clone();
        Self { by, action, member: member.cloned(), reason, details: Map::new() }
    }

    /// The same with one more detail.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.details.insert(name.to_owned(), value);
        }
        self
    }

    pub(super) fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::Internal(format!("an act has no JSON: {error}")))
    }
}

/// An act in the list.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// Where it stands.
    pub id: AuditId,
    /// When it was done.
    pub at: Timestamp,
    /// Who did it.
    pub by: String,
    /// What was done.
    pub action: Action,
    /// To whom; none where it was done to many.
    pub member: Option<Member>,
    /// Why.
    pub reason: Option<Reason>,
    /// What else there is to know, by what was done.
    pub details: Map<String, Value>,
}

impl AuditEntry {
    /// The entry of a note that the store kept; `members` are those that the script found.
    pub(super) fn read(id: String, at_ms: i64, note: &str, members: Vec<String>) -> Result<Self> {
        let unreadable = || Error::Internal("an entry of an audit list cannot be read".to_owned());
        let AuditNote { by, action, member, reason, mut details } =
            serde_json::from_str(note).map_err(|_| unreadable())?;
        if action == Action::RemoveByScore {
            details.insert("members".to_owned(), members.into());
        }
        let id = AuditId::try_from(id).map_err(|_| unreadable())?;
        Ok(Self { id, at: Timestamp::from_millis(at_ms), by, action, member, reason, details })
    }
}

impl Leaderboards {
    /// What administrators did to a leaderboard's entries and bans, the newest first, before `before`; and where to go on, if
    /// there is more.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`.
    pub async fn audit(
        &self,
        name: &LeaderboardName,
        before: Option<AuditId>,
        limit: Limit,
    ) -> Result<(Vec<AuditEntry>, Option<AuditId>)> {
        let board = self.load(name).await?;
        let lists = board.shards().map(async |shard| self.store.audit(&shard.audit_key(), before, limit).await);
        let lists = try_join_all(lists).await?;
        let mut more = lists.iter().any(|(_, next)| next.is_some());
        let mut entries: Vec<AuditEntry> = lists.into_iter().flat_map(|(entries, _)| entries).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.id));
        more |= entries.len() > limit.get() as usize;
        entries.truncate(limit.get() as usize);
        let next = entries.last().filter(|_| more).map(|entry| entry.id);
        Ok((entries, next))
    }

    /// The leaderboard as it is now, whatever is cached: for reads that no script checks.
    pub(super) async fn load(&self, name: &LeaderboardName) -> Result<std::sync::Arc<Board>> {
        self.store.load(name).await?.ok_or_else(|| Error::NoLeaderboard(name.clone()))
    }
}
