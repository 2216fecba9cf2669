//! Bans of members on one leaderboard.

use std::sync::Arc;

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::Leaderboards;
use super::audit::{Act, Action, AuditNote};
use super::board::Board;
use super::store::{BanChange, Changed};
use crate::error::{Error, Result};
use crate::types::{LeaderboardName, Limit, Member, Reason, Timestamp};

/// The most bans of a leaderboard, and of the service: each process keeps the latter in memory.
pub const MOST_BANS: u64 = 100_000;

/// What a ban does to submissions. Either kind hides the member's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// They are refused.
    Hard,
    /// They are answered as usual, kept, and seen by nobody.
    Shadow,
}

impl Severity {
    /// As scripts take it.
    pub(super) fn letter(self) -> &'static str {
        match self {
            Self::Hard => "h",
            Self::Shadow => "s",
        }
    }

    /// That of a letter; none for any other text.
    pub(super) fn of_letter(letter: &str) -> Option<Self> {
        [Self::Hard, Self::Shadow].into_iter().find(|severity| severity.letter() == letter)
    }
}

/// A ban of a member.
#[derive(Debug, Clone)]
pub struct Ban {
    /// Who is banned.
    pub member: Member,
    /// What becomes of its submissions.
    pub severity: Severity,
    /// Why.
    pub reason: Option<Reason>,
    /// Since when it stands as it is.
    pub at: Timestamp,
    /// Who set it.
    pub by: String,
}

/// What of a ban is kept as JSON; scripts write the severity's letter and the time in front of it.
#[derive(Serialize, Deserialize)]
struct StoredBan {
    by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

impl Ban {
    pub(super) fn json(act: &Act) -> Result<String> {
        let stored = StoredBan { by: act.by.clone(), reason: act.reason.clone() };
        serde_json::to_string(&stored).map_err(|error| Error::Internal(format!("a ban has no JSON: {error}")))
    }

    /// The ban that a script wrote: letter, ms since 1970, a space, JSON. None for an empty text, and for the mark of a
    /// service-wide ban.
    pub(super) fn read(member: &Member, text: &str) -> Result<Option<Self>> {
        if text.is_empty() || text == "-" {
            return Ok(None);
        }
        let parsed = || {
            let (head, json) = text.split_once(' ')?;
            let (letter, millis) = head.split_at_checked(1)?;
            let StoredBan { by, reason } = serde_json::from_str(json).ok()?;
            let at = Timestamp::from_millis(millis.parse().ok()?);
            Some(Self { member: member.clone(), severity: Severity::of_letter(letter)?, reason, at, by })
        };
        parsed().map(Some).ok_or_else(|| Error::Internal(format!("the ban of `{member}` cannot be read")))
    }
}

/// What is audited of a ban.
pub(super) fn ban_note(member: &Member, severity: Severity, act: &Act) -> AuditNote {
    AuditNote::new(act, Action::Ban, Some(member)).with("shadow", severity == Severity::Shadow)
}

impl Leaderboards {
    /// Bans a member on a leaderboard, or changes its ban; tells whether it is new.
    ///
    /// Its entries in all open rankings are hidden in one step, and ranks close up.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`; `Conflict` where there are too many bans.
    pub async fn ban(
        &self,
        name: &LeaderboardName,
        member: &Member,
        severity: Severity,
        act: &Act,
    ) -> Result<(bool, Ban)> {
        let change = BanChange::Set { severity, json: Ban::json(act)? };
        let note = ban_note(member, severity, act);
        let ban = async |board: &Arc<Board>| {
            self.store.ban(board.shard(board.shard_of(member)), member, &change, Some(&note)).await
        };
        self.on_current(name, ban).await?.into_ban(member)
    }

    /// Lifts a member's ban on a leaderboard. Its entries are back at once, unless it is banned service-wide, too.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`, `NoBan`.
    pub async fn lift_ban(&self, name: &LeaderboardName, member: &Member, act: &Act) -> Result<()> {
        let note = AuditNote::new(act, Action::Unban, Some(member));
        let lift = async |board: &Arc<Board>| {
            self.store.ban(board.shard(board.shard_of(member)), member, &BanChange::Lift, Some(&note)).await
        };
        self.on_current(name, lift).await?.into_lifted(member)
    }

    /// A member's ban on a leaderboard.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`, `NoBan`.
    pub async fn get_ban(&self, name: &LeaderboardName, member: &Member) -> Result<Ban> {
        let board = self.load(name).await?;
        let stored = self.store.get_ban(&board.shard(board.shard_of(member)).bans_key(), member).await?;
        Ban::read(member, &stored)?.ok_or_else(|| Error::NoBan(member.clone()))
    }

    /// The bans of a leaderboard by member, after `after`; and the member to go on after, if there are more.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`.
    pub async fn list_bans(
        &self,
        name: &LeaderboardName,
        after: Option<&Member>,
        limit: Limit,
    ) -> Result<(Vec<Ban>, Option<Member>)> {
        let board = self.load(name).await?;
        let lists = board
            .shards()
            .map(async |shard| self.store.list_bans(&shard.banned_key(), &shard.bans_key(), after, limit).await);
        let lists = try_join_all(lists).await?;
        let mut more = lists.iter().any(|(_, next)| next.is_some());
        let mut bans: Vec<Ban> = lists.into_iter().flat_map(|(bans, _)| bans).collect();
        bans.sort_by(|a, b| a.member.cmp(&b.member));
        more |= bans.len() > limit.get() as usize;
        bans.truncate(limit.get() as usize);
        let next = bans.last().filter(|_| more).map(|ban| ban.member.clone());
        Ok((bans, next))
    }
}

impl Changed {
    /// The ban that was set, and whether it is new.
    pub(super) fn into_ban(self, member: &Member) -> Result<(bool, Ban)> {
        match self {
            Self::Full => Err(Error::Conflict(format!("there are {MOST_BANS} bans already: lift some"))),
            Self::Absent => Err(Error::NoBan(member.clone())),
            Self::Done { before, now } => {
                let ban = Ban::read(member, &now)?;
                let ban = ban.ok_or_else(|| Error::Internal(format!("the ban of `{member}` was not set")))?;
                Ok((before.is_empty(), ban))
            }
        }
    }

    /// Success where there was a ban.
    pub(super) fn into_lifted(self, member: &Member) -> Result<()> {
        match self {
            Self::Done { .. } => Ok(()),
            Self::Full | Self::Absent => Err(Error::NoBan(member.clone())),
        }
    }
}
